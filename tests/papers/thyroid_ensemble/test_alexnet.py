"""AlexNet in both forms against NumPy; its response normalisation against a plain loop."""

import hashlib

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from common.errors import UsageError
from replications.thyroid_ensemble.alexnet import (
    ALEXNET_ADDRESS,
    ALEXNET_FILE,
    ALEXNET_SHA256,
    LocalResponseNormalization,
    build_alexnet,
    load_alexnet,
)

pytestmark = pytest.mark.usefixtures("backend")
LAYERS = {
    "torchvision": ["images", "conv1_pad", "conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5"],
    "original": ["images", "conv1", "norm1", "pool1", "conv2", "norm2", "pool2", "conv3", "conv4", "conv5", "pool5"],
}
TORCHVISION_PLACES = {1: 0, 2: 3, 3: 6, 4: 8, 5: 10}


def normalise(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """Response normalisation of (..., channels), channel after channel."""
    result = np.empty_like(x)
    channels = x.shape[-1]
    for channel in range(channels):
        near = [x[..., other] ** 2 for other in range(channels) if abs(other - channel) <= size // 2]
        result[..., channel] = x[..., channel] / (k + alpha / size * sum(near)) ** beta
    return result


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int, pad: int, groups: int) -> np.ndarray:
    """ReLU of the cross-correlation of (n, side, side, channels) with a kernel (outputs, inputs of a group, rows, columns)."""
    x = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    outputs, inputs, size, _ = kernel.shape
    side = (x.shape[1] - size) // stride + 1
    each = outputs // groups
    result = np.tile(bias.astype(np.float64), (len(x), side, side, 1))
    for group in range(groups):
        source, own = x[..., group * inputs : (group + 1) * inputs], slice(group * each, (group + 1) * each)
        for row in range(size):
            for column in range(size):
                patch = source[:, row : row + side * stride : stride, column : column + side * stride : stride][:, :side, :side]
                result[..., own] += patch @ kernel[own, :, row, column].T
    return np.maximum(result, 0)


def pool(x: np.ndarray) -> np.ndarray:
    side = (x.shape[1] - 3) // 2 + 1
    return np.max([x[:, r : r + 2 * side : 2, c : c + 2 * side : 2][:, :side, :side] for r in range(3) for c in range(3)], axis=0)


def compute_reference(images: np.ndarray, tensors: dict[str, np.ndarray], variant: str) -> np.ndarray:
    original = variant == "original"
    x = images.astype(np.float64)
    for number, stride, pad, groups in ((1, 4, 0, 1), (2, 1, 2, 2), (3, 1, 1, 1), (4, 1, 1, 2), (5, 1, 1, 2)):
        name = f"conv{number}/" if original else f"features.{TORCHVISION_PLACES[number]}."
        if not original:
            pad, groups = (2, 2, 1, 1, 1)[number - 1], 1
        x = convolve(x, tensors[f"{name}weight"], tensors[f"{name}bias"], stride, pad, groups)
        if original and number < 3:
            x = normalise(x, 5, 1e-4, 0.75, 1.0)
        if number in (1, 2, 5):
            x = pool(x)
    return x


def make_tensors(model: keras.Model, variant: str, seed: int = 0) -> dict[str, np.ndarray]:
    random, tensors = np.random.default_rng(seed), {}
    for number, place in TORCHVISION_PLACES.items():
        height, width, inputs, outputs = model.get_layer(f"conv{number}").kernel.shape
        name = f"conv{number}/" if variant == "original" else f"features.{place}."
        scale = np.sqrt(2 / (height * width * inputs))
        tensors[f"{name}weight"] = random.normal(0, scale, (outputs, inputs, height, width)).astype(np.float32)
        tensors[f"{name}bias"] = random.normal(0, 0.1, outputs).astype(np.float32)
    dense = "fc6/" if variant == "original" else "classifier.1."
    return tensors | {f"{dense}weight": np.ones((2, 3), np.float32), f"{dense}bias": np.ones(2, np.float32)}


@pytest.mark.parametrize(("variant", "parameters", "sides"), [
    ("torchvision", 2_469_696, (56, 27, 13, 6)),
    ("original", 2_334_080, (55, 27, 13, 6)),
])  # fmt: skip
def test_parameters_and_shapes(variant, parameters, sides):
    model = build_alexnet(227, variant)
    assert model.count_params() == parameters
    assert [layer.name for layer in model.layers] == LAYERS[variant]
    assert tuple(model.get_layer(name).output.shape[1] for name in ("conv1", "pool1", "pool2", "pool5")) == sides
    assert model.output.shape == (None, 6, 6, 256)


def test_sides_widths_and_variants():
    assert build_alexnet(224, "torchvision").get_layer("conv1").output.shape == (None, 55, 55, 64)
    for variant, smallest in (("torchvision", 63), ("original", 67)):
        model = build_alexnet(smallest, variant, width=0.01)
        assert model.output.shape == (None, 1, 1, 2)
        with pytest.raises(UsageError, match=f"alexnet_side = {smallest - 1}.* takes {smallest} pixels"):
            build_alexnet(smallest - 1, variant)
    assert build_alexnet(67, "original", width=0.125).get_layer("conv2").kernel.shape == (5, 5, 6, 32)
    with pytest.raises(UsageError, match="alexnet_variant = 'zf': choose one of torchvision, original"):
        build_alexnet(227, "zf")


@pytest.mark.parametrize("variant", ["torchvision", "original"])
def test_network_computes_what_numpy_computes(variant, tmp_path):
    model = build_alexnet(71, variant, width=0.06)
    tensors = make_tensors(model, variant)
    save_file(tensors, tmp_path / "alexnet.safetensors")
    load_alexnet(model, tmp_path / "alexnet.safetensors", variant)
    images = np.random.default_rng(1).normal(0, 40 if variant == "original" else 1, (2, 71, 71, 3)).astype(np.float32)
    expected = compute_reference(images, tensors, variant)
    assert (expected > 0).mean() > 0.2
    np.testing.assert_allclose(np.asarray(model(images)), expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_files_that_do_not_fit(tmp_path):
    model, path = build_alexnet(67, "torchvision", width=0.06), tmp_path / "alexnet.safetensors"
    tensors = make_tensors(model, "torchvision")
    for changed, message in [
        ({name: v for name, v in tensors.items() if name != "features.6.bias"}, r"features\.6\.bias, for layer conv3: missing"),
        (tensors | {"features.3.weight": tensors["features.3.weight"][:, :2].copy()}, r"for layer conv2: shape \(12, 2, 5, 5\)"),
        (tensors | {"features.12.weight": tensors["features.0.bias"]}, r"1 tensors have no layer.*features\.12"),
        (make_tensors(model, "original"), r"features\.0\.weight, for layer conv1: missing"),
    ]:
        save_file(changed, path)
        with pytest.raises(UsageError, match=message):
            load_alexnet(model, path, "torchvision")
    (tmp_path / ALEXNET_FILE).write_bytes(b"PK\3\4 another file")
    with pytest.raises(UsageError, match="damaged or another file") as caught:
        load_alexnet(model, tmp_path / ALEXNET_FILE, "torchvision")
    for part in (ALEXNET_FILE, ALEXNET_ADDRESS, f"begins with {ALEXNET_SHA256}", str(tmp_path)):
        assert part in str(caught.value)
    assert not hashlib.sha256(b"PK\3\4 another file").hexdigest().startswith(ALEXNET_SHA256)


@pytest.mark.parametrize("settings", [
    {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
    {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0},
    {"size": 3, "alpha": 2.0, "beta": 0.5, "k": 0.7},
])  # fmt: skip
def test_response_normalisation(settings):
    x = np.random.default_rng(0).normal(0, 30, (2, 3, 4, 7))
    layer = LocalResponseNormalization(**settings, dtype="float64")
    expected = normalise(x, **settings)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, rtol=1e-12)
    assert np.abs(expected - x).max() > 0.1


def test_response_normalisation_has_its_gradient():
    import tensorflow as tf

    random = np.random.default_rng(0)
    x, direction, weights = (random.normal(size=(2, 2, 2, 6)) for _ in range(3))
    settings = {"size": 5, "alpha": 3.0, "beta": 0.75, "k": 1.0}
    layer, images = LocalResponseNormalization(**settings, dtype="float64"), tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(layer(images) * weights)
    slope = (np.asarray(tape.gradient(total, images)) * direction).sum()
    ends = [(normalise(x + step * direction, **settings) * weights).sum() for step in (-1e-5, 1e-5)]
    np.testing.assert_allclose(slope, (ends[1] - ends[0]) / 2e-5, rtol=1e-6)


def test_original_survives_saving(tmp_path):
    model = build_alexnet(67, "original", width=0.06)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert again.get_layer("norm2").get_config() == model.get_layer("norm2").get_config()
    images = np.random.default_rng(0).normal(0, 40, (1, 67, 67, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(again(images)), np.asarray(model(images)))
