"""The two small networks of our own rows: SqueezeNet against NumPy, both against their weight files, what they are fed."""

from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from common.errors import UsageError
from replications.thyroid_ensemble import models, weights
from replications.thyroid_ensemble.config import PAPER, SMALL_NETWORKS

pytestmark = pytest.mark.usefixtures("backend")
RANDOM = np.random.default_rng(0)


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int = 1, edge: int = 0) -> np.ndarray:
    """Cross-correlation of (h, w, channels) with (rows, columns, channels, filters), zeros around, and ReLU."""
    x = np.pad(x, [(edge, edge), (edge, edge), (0, 0)])
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))[::stride, ::stride]  # (h, w, channels, rows, columns)
    return np.maximum(np.einsum("hwcij,ijcf->hwf", windows, kernel) + bias, 0)


def pool(x: np.ndarray) -> np.ndarray:
    return sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2].max(axis=(3, 4))


def run_squeezenet(x: np.ndarray, of: dict[str, list[np.ndarray]]) -> np.ndarray:
    """SqueezeNet 1.1 as its authors' Caffe file lists it; of: layer -> kernel and bias."""
    x = pool(convolve(x, *of["conv1"], stride=2))
    for number in range(2, 10):
        if number in (4, 6):
            x = pool(x)
        x = convolve(x, *of[f"fire{number}_squeeze1x1"])
        parts = convolve(x, *of[f"fire{number}_expand1x1"]), convolve(x, *of[f"fire{number}_expand3x3"], edge=1)
        x = np.concatenate(parts, axis=-1)
    return x


def read_layers(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: [np.float64(w) for w in layer.get_weights()] for layer in model.layers if layer.weights}


def test_squeezenet_equals_numpy():
    model = models.build_squeezenet(35)
    assert model.count_params() == 722_496  # 1,235,496 as published, less the 513,000 of the last layer
    assert models.build_squeezenet(227).output.shape[1:] == (13, 13, 512)
    for layer in model.layers:
        if layer.weights:  # biases that are not 0
            layer.bias.assign(RANDOM.normal(0, 0.1, layer.bias.shape))
    images = RANDOM.normal(0, 1, (2, 35, 35, 3)).astype(np.float32)
    expected = np.stack([run_squeezenet(np.float64(image), read_layers(model)) for image in images])
    assert expected.std() > 1e-3
    np.testing.assert_allclose(np.asarray(model(images)), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.realdata
def test_squeezenet_of_its_file_equals_numpy(real_weights):
    """Real weights, each in its layer: also where two layers have one shape."""
    path = real_weights / weights.ADDRESSES["SqueezeNet"][0].rpartition("/")[2]
    model = models.build_backbone("SqueezeNet", 67, PAPER)
    models.load_backbone(model, "SqueezeNet", path, PAPER)
    with h5py.File(path) as file:
        layers = {layer: [file[layer][name][()] for name in file[layer].attrs["weight_names"]] for layer in file_layers(file)}
    image = RANDOM.uniform(-120, 130, (67, 67, 3)).astype(np.float32)
    expected = run_squeezenet(np.float64(image), {name.replace("/", "_"): parts for name, parts in layers.items()})
    np.testing.assert_allclose(np.asarray(model(image[None]))[0], expected, atol=1e-4 * np.abs(expected).max())
    other = models.build_backbone("SqueezeNet", 67, replace(PAPER, width=0.5))
    with pytest.raises(UsageError, match="squeezenet_weights.*layer conv1.*shape"):
        models.load_backbone(other, "SqueezeNet", path, PAPER)


def file_layers(file) -> list[str]:
    names = [name.decode() for name in file.attrs["layer_names"]]
    return [name for name in names if len(file[name].attrs["weight_names"])]


@pytest.mark.realdata
def test_mobilenet_of_its_file_is_that_of_keras(real_weights):
    path = real_weights / weights.ADDRESSES["MobileNetV2"][0].rpartition("/")[2]
    model = models.build_backbone("MobileNetV2", 96, PAPER)
    models.load_backbone(model, "MobileNetV2", path, PAPER)
    native = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=str(path))
    assert all(map(np.array_equal, model.get_weights(), native.get_weights()))
    images = RANDOM.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(model(images)), np.asarray(native(images)), atol=1e-5)


def test_small_networks_are_fed_what_their_weights_expect():
    grey = RANDOM.integers(0, 256, (2, 8, 8, 1)).astype(np.float32)
    colours = np.repeat(grey, 3, axis=-1)
    expected = {
        "MobileNetV2": keras.applications.mobilenet_v2.preprocess_input(colours.copy()),
        "SqueezeNet": colours - np.array(models.CAFFE_MEAN),  # blue, green, red, as README.md of its weights says
    }
    for network in SMALL_NETWORKS:
        inputs = keras.Input((8, 8, 1))
        native = keras.Model(inputs, models.standardise(inputs, network, replace(PAPER, mean="imagenet")))
        np.testing.assert_allclose(native(grey), expected[network], atol=1e-3)
        own = keras.Model(inputs, models.standardise(inputs, network, PAPER))
        centred = (colours - grey.mean(axis=(1, 2, 3), keepdims=True)) / (127.5 if network == "MobileNetV2" else 1)
        np.testing.assert_allclose(own(grey), centred, atol=1e-3)


def test_the_head_stands_on_frozen_convolutions():
    for network, channels in (("MobileNetV2", 1280), ("SqueezeNet", 512)):
        model = models.build_network(network, 35, PAPER)
        assert model.get_layer("head1").kernel.shape == (channels, 8)
        assert models.list_trained(model, 0, PAPER) == models.list_head(PAPER)
