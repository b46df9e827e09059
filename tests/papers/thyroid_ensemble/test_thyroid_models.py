"""Networks and trainings of thyroid_ensemble: sizes, standardisation, freezing plans, patches, steps, two devices as one."""

import re
import subprocess
import sys
import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest

from common.errors import UsageError
from common.training import cuts, fit
from replications.thyroid_ensemble import models
from replications.thyroid_ensemble.config import PAPER, SMOKE
from replications.thyroid_ensemble.rois import crop_scale, cut_patches

pytestmark = pytest.mark.usefixtures("backend")
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    return models.build_network("ResNet50", 32, SMOKE)


def test_full_size_backbones_are_those_of_keras_applications():
    """Parameters and convolutions without top, as keras.applications documents them."""
    known = {"VGG16": (14_714_688, 13, 32), "ResNet50": (23_587_712, 53, 32), "InceptionV3": (21_802_784, 94, 75)}
    for network, (parameters, convolutions, side) in known.items():
        backbone = models.build_backbone(network, side, PAPER)
        assert backbone.count_params() == parameters, network
        assert len(cuts.list_convolutions(backbone)) == convolutions, network


def test_head_is_four_layers_of_eight(resnet):
    head = [resnet.get_layer(name) for name in models.list_head(SMOKE)]
    assert [layer.units for layer in head] == [8, 8, 8, 8, 2]
    assert all(layer.kernel_regularizer is not None for layer in head[:4])
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in resnet.layers) == 4
    flat = models.build_network("VGG16", 32, replace(SMOKE, head_pooling="flatten"))
    assert flat.get_layer("head1").kernel.shape[0] == np.prod(flat.get_layer("pooled").input.shape[1:])
    with pytest.raises(UsageError, match="choose one of average, flatten"):
        models.build_network("VGG16", 32, replace(SMOKE, head_pooling="max"))


def test_head_is_what_paper_toml_chose(find_choice):
    """Fig. 5: "4 layers of neural network with 8 neurons", Dropout, L2; paper.toml says how they are read and how strong."""
    count, units, penalty, dropout = re.match(
        r"Global average pooling, (\w+) dense layers of (\d+) ReLU units each with L2 ([\d.e-]+) and dropout ([\d.]+), "
        r"softmax over two classes",
        find_choice("Head: "),
    ).groups()
    features = keras.Input((3, 3, 5))
    built = keras.Model(features, models.build_head(features, PAPER)).layers[1:]
    kinds = [keras.layers.GlobalAveragePooling2D, *[keras.layers.Dense, keras.layers.Dropout] * 4, keras.layers.Dense]
    assert count == "four"
    assert [type(layer) for layer in built] == kinds
    hidden, dropped, outputs = built[1:-1:2], built[2:-1:2], built[-1]
    assert {(layer.units, layer.activation) for layer in hidden} == {(int(units), keras.activations.relu)}
    assert [float(layer.kernel_regularizer.l2) for layer in hidden] == pytest.approx([float(penalty)] * 4)
    assert {layer.rate for layer in dropped} == {float(dropout)}
    assert (outputs.units, outputs.activation) == (2, keras.activations.softmax)


def standardised(network: str, **changes) -> tuple[np.ndarray, np.ndarray]:
    grey = RANDOM.integers(0, 256, (3, 8, 8, 1)).astype(np.float32)
    inputs = keras.Input((8, 8, 1))
    outputs = models.standardise(inputs, network, replace(PAPER, **changes), dataset_mean=100.0)
    return grey, np.asarray(keras.Model(inputs, outputs)(grey))


@pytest.mark.parametrize("network", ["VGG16", "ResNet50", "InceptionV3", "AlexNet"])
def test_the_image_mean_is_subtracted(network, find_choice):
    """ "Subtract the image mean" (sec. 1.2), in the range that paper.toml chose and Keras' networks themselves scale to."""
    assert find_choice("Which mean is subtracted").startswith("That of each image")
    chosen = re.fullmatch(
        r"Grey levels as they are for VGG16 and ResNet50, "
        r"divided by ([\d.]+) for InceptionV3 and by (\d+) x ([\d.]+) for AlexNet",
        find_choice("Value range after the mean is subtracted"),
    )
    inception, levels, deviation = map(float, chosen.groups())
    factor = {"InceptionV3": 1 / inception, "AlexNet": 1 / (levels * deviation)}.get(network, 1.0)
    grey, found = standardised(network)
    if network != "AlexNet":
        native = getattr(keras.applications, {"VGG16": "vgg16", "ResNet50": "resnet50", "InceptionV3": "inception_v3"}[network])
        ends = (native.preprocess_input(np.full((1, 1, 1, 3), level, np.float32)) for level in (1, 0))
        assert factor == pytest.approx(np.subtract(*ends).mean(), rel=1e-4)
    expected = (grey - grey.mean(axis=(1, 2, 3), keepdims=True)) * factor
    np.testing.assert_allclose(found, np.repeat(expected, 3, axis=-1), atol=1e-3)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), 0, atol=1e-3)


def test_other_means():
    grey, found = standardised("VGG16", mean="dataset")
    np.testing.assert_allclose(found, np.repeat(grey - 100, 3, axis=-1), atol=1e-3)
    colours = np.repeat(RANDOM.integers(0, 256, (2, 8, 8, 1)).astype(np.float32), 3, axis=-1)
    for network, native in (("VGG16", keras.applications.vgg16), ("InceptionV3", keras.applications.inception_v3)):
        inputs = keras.Input((8, 8, 1))
        model = keras.Model(inputs, models.standardise(inputs, network, replace(PAPER, mean="imagenet")))
        np.testing.assert_allclose(model(colours[..., :1]), native.preprocess_input(colours.copy()), atol=1e-3)
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, models.standardise(inputs, "AlexNet", replace(PAPER, mean="imagenet")))
    expected = (colours / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(model(colours[..., :1]), expected, atol=1e-4)
    with pytest.raises(UsageError, match="choose one of image, dataset, imagenet"):
        standardised("VGG16", mean="median")


def test_freezing_plans(resnet):
    convolutions = cuts.list_convolutions(resnet)
    head = models.list_head(SMOKE)
    assert models.list_trained(resnet, 0, SMOKE) == head
    assert models.list_trained(resnet, 2, SMOKE) == [*convolutions[-2:], *head]
    block = models.list_trained(resnet, "first block", SMOKE)
    assert set(block) - set(head) == {f"conv2_block1_{n}_conv" for n in (0, 1, 2, 3)}
    assert set(models.list_trained(resnet, "all", SMOKE)) == {layer.name for layer in resnet.layers if layer.weights}
    cuts.freeze_except(resnet, models.list_trained(resnet, 2, SMOKE))
    norms = [layer for layer in resnet.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert not any(layer.trainable for layer in norms)


def test_without_transfer_small_gaussian_weights(resnet):
    """Sec. 2.1: the weights of the model, so those of the dense layers, too."""
    models.draw_scratch(resnet, PAPER, seed=3)
    kernels = np.concatenate([resnet.get_layer(n).kernel.numpy().ravel() for n in cuts.list_convolutions(resnet)])
    assert abs(kernels.mean()) < 5e-4
    assert kernels.std() == pytest.approx(0.01, rel=0.05)
    dense = np.concatenate([resnet.get_layer(name).kernel.numpy().ravel() for name in models.list_head(PAPER)])
    assert dense.std() == pytest.approx(0.01, rel=0.1)
    for layer in resnet.layers:
        if getattr(layer, "bias", None) is not None:
            assert not layer.bias.numpy().any()
    first = resnet.get_layer("conv1_conv").kernel.numpy()
    models.draw_scratch(resnet, PAPER, seed=4)
    assert not np.array_equal(first, resnet.get_layer("conv1_conv").kernel.numpy())


def test_the_two_readings_of_initial_weights_without_transfer():
    """From the Gaussian a deep network gives nearly the same for any picture; He's spread lets differences through."""
    network = models.build_network("VGG16", 32, replace(PAPER, width=0.125))
    pictures = RANDOM.integers(0, 256, (8, 32, 32, 1)).astype(np.float32)
    spreads = {}
    for reading in ("gaussian", "he"):
        config = replace(PAPER, scratch_init=reading)
        models.draw_scratch(network, config, seed=0)
        spreads[reading] = float(np.ptp(network(pictures).numpy()[:, 1]))
    assert spreads["gaussian"] < 1e-6
    assert spreads["he"] > 1e-3
    kernel = network.get_layer("block4_conv2").kernel.numpy()
    assert kernel.std() == pytest.approx(np.sqrt(2 / np.prod(kernel.shape[:-1])), rel=0.05)


def test_batch_normalisation_trains_with_all_layers_only(resnet):
    """As paper.toml declares it."""
    norms = {layer.name for layer in resnet.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert norms <= set(models.list_trained(resnet, "all", SMOKE))
    for plan in (0, 2, "first block"):
        assert not norms & set(models.list_trained(resnet, plan, SMOKE))


def test_scales_are_centre_crops():
    rois = RANDOM.integers(0, 256, (2, 128, 128, 1)).astype(np.uint8)
    np.testing.assert_array_equal(crop_scale(rois, 1, PAPER), rois)
    np.testing.assert_array_equal(crop_scale(rois, 2, PAPER), rois[:, 32:96, 32:96])
    np.testing.assert_array_equal(crop_scale(rois, 3, PAPER), rois[:, 48:80, 48:80])
    assert cut_patches(rois, "AlexNet", 3, PAPER).shape == (2, 227, 227, 1)
    native = replace(PAPER, input_mode="native")
    np.testing.assert_array_equal(cut_patches(rois, "VGG16", 2, native), rois[:, 32:96, 32:96])
    assert cut_patches(rois, "AlexNet", 2, native).shape == (2, 227, 227, 1)
    flat = np.full((1, 128, 128, 1), 77, np.uint8)
    assert (cut_patches(flat, "VGG16", 2, PAPER) == 77).all()


def test_weights_of_another_network_are_refused(tmp_path):
    models.build_backbone("VGG16", 32, SMOKE).save_weights(tmp_path / "x.weights.h5")
    message = r"x\.weights\.h5: not the weights of ResNet50"
    with warnings.catch_warnings(action="ignore"), pytest.raises(UsageError, match=message):
        models.build_network("ResNet50", 32, SMOKE, tmp_path / "x.weights.h5")
    with pytest.raises(UsageError, match="vgg16_end=nothing: VGG16 has no such layer"):
        models.build_backbone("VGG16", 32, replace(SMOKE, vgg16_end="nothing"))


def test_inceptionv3_takes_keras_own_file_whatever_its_layers_are_called(tmp_path):
    """The original's names are numbered on with every build; its weights go in by order."""
    config = replace(PAPER, inceptionv3_end="mixed0")
    first = models.build_backbone("InceptionV3", 75, config)
    first.save_weights(tmp_path / "kept.weights.h5")
    second = models.build_network("InceptionV3", 75, config, tmp_path / "kept.weights.h5")
    picture = RANDOM.integers(0, 256, (1, 75, 75, 1)).astype(np.float32)
    below = keras.Model(second.inputs, second.get_layer("three_channels").output)
    features = keras.Model(second.inputs, second.get_layer("pooled").input)
    np.testing.assert_allclose(features(picture), first(below(picture)), atol=1e-5)


TWO_DEVICES = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import dataclasses, keras
from pathlib import Path
from common.training import cuts, feature_cache, fit
from common.training.batches import Indexed
from replications.thyroid_ensemble import models
from replications.thyroid_ensemble.config import SMOKE

config = dataclasses.replace(SMOKE, head_dropout=0.0)  # masks differ between replicas by nature
images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 1)).astype(np.uint8)
labels = np.random.default_rng(1).integers(0, 2, 24)

def train(strategy, name):
    fit.choose_strategy = lambda batch_size: strategy
    keras.utils.set_random_seed(0)
    template = models.build_network("VGG16", 32, config)
    cuts.freeze_except(template, models.list_trained(template, 2, config))
    cut = cuts.split_network(template)
    folder = Path(sys.argv[1])
    features = feature_cache.cache_features(cut.lower, images, folder / "cache", batch_size=8, limit_bytes=1e9)

    def build():
        model = keras.models.clone_model(cut.upper)
        model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    model = fit.build_compiled(name, "upper", build, 0, 8)
    (folder / name).mkdir()
    order = np.arange(24)
    history = fit.fit(
        model, lambda epoch: (Indexed(features.inputs, order), labels), stage="x", epochs=3, batch_size=8,
        folder=folder / name, report=lambda *_: None, validation=(Indexed(features.inputs, order), labels), patience=5,
    )
    return history, model.get_weights()

one, weights = train(tf.distribute.get_strategy(), "one")
two, mirrored = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), "two")
for first, second in zip(one, two, strict=True):
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-6, err_msg=name)
for first, second in zip(weights, mirrored, strict=True):
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
print("equal")
"""


def test_two_devices_train_as_one(root, tmp_path):
    """MirroredStrategy over two devices: losses and weights of one device at the same global batch."""
    command = [sys.executable, "-W", "ignore", "-c", TWO_DEVICES, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]


def test_a_training_does_not_depend_on_what_ran_before_in_its_process(resnet):
    """A compiled graph is used again: optimiser, dropout and head start as in a process of their own."""
    cuts.freeze_except(resnet, models.list_trained(resnet, 0, SMOKE))
    cut = cuts.split_network(resnet)
    features = RANDOM.normal(size=(16, *cut.upper.input_shape[1:])).astype(np.float32)
    labels = RANDOM.integers(0, 2, 16)

    def build() -> keras.Model:
        model = keras.models.clone_model(cut.upper)
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        return model

    def run(seed: int) -> list[np.ndarray]:
        model = fit.open_compiled("reuse", "upper", build, seed, 8)
        models.draw_head(model, SMOKE, seed)
        model.fit(features, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return fit.read_state(model)

    first, other, again = run(0), run(1), run(0)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
