"""The classifiers: every backbone builds, whole and shortened, with its own preprocessing; Grad-CAM; two learning rates."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from common.training.optimizers import RAdam
from replications.bone_acgan import models
from replications.bone_acgan.config import BRANCHES, DEMO, NETWORKS, PAPER
from replications.bone_acgan.rows import MULTI

pytestmark = pytest.mark.usefixtures("backend")
SHORT = replace(DEMO, picture_height=64, picture_width=32)
MEANS = {"caffe": models.CAFFE_MEAN, "torch": models.RGB_MEAN}


def draw_pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 32, 1)).astype(np.float32)


@pytest.mark.parametrize("backbone", NETWORKS)
def test_pictures_reach_a_backbone_as_its_weights_expect(backbone):
    """Against keras.applications' own preprocessing of the same grey picture in three channels; PyTorch's for the two of its."""
    grey = keras.Input((64, 32, 1))
    given = draw_pictures(2)
    found = np.asarray(keras.Model(grey, models.preprocess(grey, backbone))(given))
    colours = np.repeat(given, 3, axis=-1)
    modes = {"VGG16": "caffe", "InceptionV3": "tf", "DenseNet121": "torch", "ResNet34": "torch", "ResNeXt50": "torch"}
    mode = modes.get(backbone)
    if mode is None:  # scale inside
        expected = colours
    elif mode == "caffe":
        expected = colours[..., ::-1] - np.array(models.CAFFE_MEAN)
    elif mode == "tf":
        expected = colours / 127.5 - 1
    else:
        expected = (colours / 255 - np.array(models.RGB_MEAN)) / np.array(models.RGB_STD)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    of_keras = {"VGG16": keras.applications.vgg16, "InceptionV3": keras.applications.inception_v3,
                "DenseNet121": keras.applications.densenet}.get(backbone)  # fmt: skip
    if of_keras:
        np.testing.assert_allclose(found, of_keras.preprocess_input(colours.copy()), atol=1e-3)


@pytest.mark.parametrize("backbone", NETWORKS)
def test_a_shortened_backbone_tells_pictures_apart(backbone):
    network = models.build_backbone(backbone, (64, 32), SHORT)
    maps = np.asarray(network(draw_pictures(3), training=False))
    assert maps.ndim == 4
    assert maps.shape[1] >= maps.shape[2] > 0
    assert np.isfinite(maps).all()
    assert maps.mean(axis=(1, 2)).std(axis=0).max() > 1e-4
    again = models.build_backbone(backbone, (64, 32), SHORT)
    for first, second in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def multi(backend):
    return models.build_classifier(MULTI, (64, 32), SHORT, {})


def test_the_multi_scale_cnn_puts_three_branches_side_by_side(multi):
    pictures = draw_pictures(2)
    parts = [np.asarray(models.build_backbone(branch, (64, 32), SHORT)(pictures)).mean(axis=(1, 2)) for branch in BRANCHES]
    features = keras.Model(multi.input, multi.get_layer("features").output)
    np.testing.assert_allclose(np.asarray(features(pictures)), np.concatenate(parts, axis=1), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(np.asarray(multi(pictures)).sum(axis=1), 1, atol=1e-5)
    names = [layer.name for layer in multi.layers]
    assert len(set(names)) == len(names)


def test_widths_of_the_paper():
    """1024 + 512 + 2048 = 3584 features (Fig. 7), by the maps that each branch ends in."""
    whole = [
        models.APPLICATIONS[name](include_top=False, weights=None, input_shape=(96, 96, 3)).output.shape[-1]
        for name in BRANCHES[:2]
    ]
    assert [*whole, models.resnets.build_resnet("ResNeXt50").output.shape[-1]] == [1024, 512, 2048]


def test_attention_maps_follow_the_gradient(multi):
    """map_evidence has no gradient in it; here is one."""
    import tensorflow as tf

    models.draw_head(multi, 3)
    pictures, classes = draw_pictures(2, seed=4), np.array([2, 0])
    found = models.map_evidence(multi, pictures, MULTI, classes)
    total = np.zeros(pictures.shape[:3])
    others = {name: keras.Model(multi.input, multi.get_layer(f"{name}_pooled").input)(pictures) for name in BRANCHES}
    for branch in BRANCHES:
        maps = multi.get_layer(f"{branch}_pooled").input
        upper = keras.Model(multi.input, [maps, multi.get_layer("features").output])
        layer = multi.get_layer(models.HEAD)
        with tf.GradientTape() as tape:
            values, _ = upper(pictures)
            tape.watch(values)
            pooled = [tf.reduce_mean(values if name == branch else others[name], (1, 2)) for name in BRANCHES]
            logits = tf.concat(pooled, axis=1) @ layer.kernel + layer.bias
            chosen = tf.reduce_sum(tf.gather(logits, classes, axis=1, batch_dims=1))
        weights = tf.reduce_mean(tape.gradient(chosen, values), (1, 2))
        cam = np.einsum("nhwf,nf->nhw", values, weights)
        total += np.asarray(ops.image.resize(cam[..., None].astype(np.float32), (64, 32)))[..., 0]
    expected = np.maximum(total, 0)
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_new_layer_learns_at_a_rate_of_its_own():
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2, name="probabilities")(keras.layers.Dense(3, name="body")(inputs))
    rates, moved = {"probabilities": 10.0}, {}
    for factors in ({}, rates):
        model = keras.Model(inputs, outputs)
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        copy.compile(RAdam(1e-4, factors=factors), "mse", jit_compile=False)
        before = {layer.name: layer.get_weights()[0] for layer in copy.layers if layer.weights}
        copy.fit(np.ones((8, 4)), np.zeros((8, 2)), batch_size=8, epochs=1, shuffle=False, verbose=0)
        moved[bool(factors)] = {name: np.abs(copy.get_layer(name).get_weights()[0] - old).max() for name, old in before.items()}
    assert moved[True]["probabilities"] == pytest.approx(10 * moved[False]["probabilities"], rel=1e-2)
    assert moved[True]["body"] == pytest.approx(moved[False]["body"], rel=1e-2)
    optimizer = models.build_optimizer(PAPER)
    assert optimizer.factors == {models.HEAD: pytest.approx(10)}
    assert RAdam.from_config(optimizer.get_config()).factors == optimizer.factors
