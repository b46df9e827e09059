"""CNN and ResNet-50 of the lung and hip comparison: sizes, shapes, initial weights; what all four networks have in common."""

import dataclasses
import hashlib
import itertools
import re

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from lung_hip_networks import draw_images, list_sides

from common.errors import UsageError
from replications.lung_hip_compare import dbn, models, sgan, weights
from replications.lung_hip_compare.config import IMAGENET_FILE, IMAGENET_MD5, PAPER, SMOKE

pytestmark = pytest.mark.usefixtures("backend")
SMALL_RESNET = dataclasses.replace(PAPER, resnet_width=4, resnet_blocks=(1, 2, 1, 1))


# CNN


def test_cnn_has_the_parameters_of_the_paper_at_50_pixels(find_choice):
    """Sec. 2.2: 3x3 filters, 32, 64, 128 and 256 of them, then 256 and 2 neurons; the sum is the one that paper.toml names."""
    filters = (1, 32, 64, 128, 256)
    convolutions = sum(3 * 3 * before * after + after for before, after in itertools.pairwise(filters))
    parameters = convolutions + (256 * 256 + 256) + (256 * 2 + 2)  # one pixel of 256 maps is left
    stated = re.search(r"\(([\d,]+) parameters at 50x50x1\)", find_choice("Padding, activation, bias"))[1]
    assert models.build_cnn(50, PAPER).count_params() == parameters == int(stated.replace(",", "")) == 454_146


@pytest.mark.parametrize(
    ("side", "sides"),
    [
        (50, [25, 13, 7, 4, 2, 1, 1, 1]),
        (128, [64, 32, 16, 8, 4, 2, 1, 1]),
        (256, [128, 64, 32, 16, 8, 4, 2, 1]),
    ],
)
def test_cnn_stages(side: int, sides: list[int]):
    model = models.build_cnn(side, PAPER)
    assert list_sides(model, [f"{kind}{n}" for n in (1, 2, 3, 4) for kind in ("conv", "pool")]) == sides
    assert model.get_layer("fc1").output.shape == (None, 256)
    assert model.layers[-1].name == "probabilities"


# All networks


def test_rescaling_is_inside_the_networks():
    for build in (models.build_cnn, models.build_resnet50, dbn.build_dbn):
        model = build(16, SMOKE)
        rescale = keras.Model(model.inputs, model.get_layer("rescale").output)
        white = rescale.predict_on_batch(np.full((1, 16, 16, 1), 255, np.uint8))
        np.testing.assert_allclose(white, 1, rtol=1e-6)
        scores = model.predict_on_batch(draw_images(3, 16))
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_builders_follow_the_global_seed():
    for build in (models.build_cnn, models.build_resnet50, dbn.build_dbn, sgan.build_classifier, sgan.build_generator):
        weights = []
        for seed in (1, 1, 2):
            keras.utils.set_random_seed(seed)
            weights.append(np.concatenate([w.ravel() for w in build(16, SMOKE).get_weights()]))
        np.testing.assert_array_equal(weights[0], weights[1])
        assert np.abs(weights[0] - weights[2]).max() > 0


# ResNet-50


@pytest.mark.parametrize(
    ("side", "sides", "flat", "parameters"),
    [
        (50, [25, 13, 13, 7, 4, 2, 1], 2048, 23_585_538),
        (128, [64, 32, 32, 16, 8, 4, 2], 8192, 23_597_826),
        (256, [128, 64, 64, 32, 16, 8, 4], 32768, 23_646_978),
    ],
)
def test_resnet50_stages_and_parameters(side: int, sides: list[int], flat: int, parameters: int):
    model = models.build_resnet50(side, PAPER)
    blocks = ["conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]
    assert list_sides(model, ["conv1_conv", "pool1_pool", *blocks, "avg_pool"]) == sides
    assert model.get_layer("flatten").output.shape == (None, flat)
    assert model.count_params() == parameters
    # keras.applications: 23,587,712 without top; one input channel of the 7x7 stem instead of three; 2 classes
    assert parameters == 23_587_712 - 2 * 7 * 7 * 64 + 2 * flat + 2


def test_resnet50_blocks_are_those_of_keras_applications():
    ours = models.build_resnet50(32, PAPER, channels=3)
    theirs = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))

    def describe(model: keras.Model) -> dict:
        found = {}
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                found[layer.name] = (layer.kernel.shape, layer.strides, layer.use_bias, layer.output.shape)
            if isinstance(layer, keras.layers.BatchNormalization):
                found[layer.name] = (layer.epsilon, layer.momentum)
        return found

    assert describe(ours) == describe(theirs)
    assert len([v for v in describe(ours).values() if len(v) == 4]) == 53  # 49 on the main path, 4 shortcuts


def test_resnet50_as_written_keeps_the_side_in_every_stage():
    written = dataclasses.replace(SMALL_RESNET, resnet_strides="as_written")
    model = models.build_resnet50(128, written)
    assert list_sides(model, [f"conv{n}_block1_out" for n in (2, 3, 4, 5)]) == [32, 32, 32, 32]
    assert model.get_layer("avg_pool").output.shape == (None, 16, 16, 128)


def test_resnet50_global_pooling_and_unknown_settings():
    pooled = models.build_resnet50(64, dataclasses.replace(SMALL_RESNET, resnet_pooling="global"))
    assert pooled.get_layer("avg_pool").output.shape == (None, 128)
    with pytest.raises(UsageError, match="resnet_strides = 'two': choose one of standard, as_written"):
        models.build_resnet50(64, dataclasses.replace(SMALL_RESNET, resnet_strides="two"))


def test_bottleneck_adds_before_the_last_activation():
    model = models.build_resnet50(32, SMALL_RESNET)
    block = "conv3_block2"
    parts = [model.get_layer(name).output for name in ("conv3_block1_out", f"{block}_3_bn", f"{block}_out")]
    before, residual, after = keras.Model(model.inputs, parts).predict_on_batch(draw_images(2, 32))
    np.testing.assert_allclose(after, np.maximum(before + residual, 0), rtol=1e-6)


def test_he_initialisation():
    keras.utils.set_random_seed(0)
    kernel = models.build_resnet50(32, PAPER).get_layer("conv5_block1_2_conv").kernel
    assert np.std(ops.convert_to_numpy(kernel)) == pytest.approx(np.sqrt(2 / (9 * 512)), rel=0.01)


def write_applications_file(model: keras.Model, path) -> None:
    """The layout of the weight files of keras.applications: a group a layer, names in attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{w.name}:0" for w in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=values)


def test_imagenet_weights_give_the_outputs_of_keras_applications(tmp_path):
    keras.utils.set_random_seed(3)
    theirs = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in theirs.layers:  # values of a trained network: no zero bias, no unit variance
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma * 0.7, beta + 0.1, mean - 0.2, variance * 1.5])
    write_applications_file(theirs, tmp_path / "weights.h5")
    config = dataclasses.replace(PAPER, resnet_weights="imagenet")
    for channels in (1, 3):
        ours = models.build_resnet50(32, config, channels=channels)
        models.load_imagenet(ours, tmp_path / "weights.h5")
        images = draw_images(2, 32, channels)
        colour = np.broadcast_to(images, (2, 32, 32, 3)).astype(np.float32)
        expected = theirs.predict_on_batch(keras.applications.resnet50.preprocess_input(colour.copy()))
        features = keras.Model(ours.inputs, ours.get_layer("conv5_block3_out").output).predict_on_batch(images)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * expected.max())
        assert expected.max() > 0


def test_imagenet_weights_that_cannot_be_had_say_what_to_do(tmp_path, monkeypatch):
    model = models.build_resnet50(32, dataclasses.replace(SMALL_RESNET, resnet_weights="imagenet"))
    with pytest.raises(UsageError, match=r"missing.h5: missing, damaged or not the weights of ResNet50"):
        models.load_imagenet(model, tmp_path / "missing.h5")
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(UsageError, match=r"damaged.h5: missing, damaged or not the weights of ResNet50"):
        models.load_imagenet(model, tmp_path / "damaged.h5")
    with pytest.raises(UsageError, match="built for random weights"):
        models.load_imagenet(models.build_resnet50(32, SMALL_RESNET), tmp_path / "missing.h5")

    def fail(*_, **__):
        raise Exception("URL fetch failure")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras.utils, "get_file", fail)
    steps = rf"not here: .*; get {IMAGENET_FILE} from https://.*md5 {IMAGENET_MD5}.* into {tmp_path}/keras/models"
    with pytest.raises(UsageError, match=steps):
        models.load_imagenet(model, None)


def test_imagenet_weights_fit_only_the_full_width(tmp_path):
    full = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    write_applications_file(full, tmp_path / "weights.h5")
    narrow = models.build_resnet50(32, dataclasses.replace(SMALL_RESNET, resnet_weights="imagenet"))
    with pytest.raises(UsageError, match="fit only a ResNet-50 of width 64"):
        models.load_imagenet(narrow, tmp_path / "weights.h5")


@pytest.mark.parametrize("given", ["folder", "imagenet"])
@pytest.mark.parametrize("content", [b"<!DOCTYPE html><title>sign in</title>", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_another_file_of_the_publisher_s_name_starts_no_network(tmp_path, monkeypatch, given, content):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    chosen = "imagenet" if given == "imagenet" else str(folder)
    lacking = weights.explain_missing(chosen)
    assert lacking == "" if given == "imagenet" else "not here" in lacking
    (folder / IMAGENET_FILE).write_bytes(content)
    why = weights.explain_missing(chosen)
    assert why.startswith(f"{folder / IMAGENET_FILE}: damaged or another file (")
    assert ("a web page" in why) == content.startswith(b"<")
    assert f"(its md5 {IMAGENET_MD5}) and put it into {folder}" in why
    assert weights.choose_weights(chosen, tmp_path / "run") == ("imagenet" if given == "imagenet" else "random", None)
    monkeypatch.setattr(weights, "IMAGENET_MD5", hashlib.md5(content).hexdigest())
    assert weights.explain_missing(chosen) == ""
