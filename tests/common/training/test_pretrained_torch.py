"""Tensors of PyTorch copied into Keras models: the network computes what PyTorch defines; what does not fit is not copied."""

from pathlib import Path

import keras
import ml_dtypes
import numpy as np
import pytest
from keras import layers
from torch_writers import WRITERS, make_tensors
from weight_writers import assert_one_line, make_single, read_weights

from common.errors import UsageError
from common.training.pretrained import copy_torch_weights
from common.training.torch_files import read_torch_file

pytestmark = pytest.mark.usefixtures("backend")

# --- a network, and the same in NumPy by PyTorch's rules: channels first, (outputs, inputs, rows, columns)


def build_net() -> keras.Model:
    images = keras.Input((9, 9, 4))
    x = layers.ZeroPadding2D(1)(images)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(x)  # 5
    x = layers.BatchNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depth")(x)
    x = layers.Conv2D(12, 3, padding="same", groups=4, activation="relu", name="grouped")(x)
    x = layers.Dense(5, name="dense")(layers.Flatten()(x))
    return keras.Model(images, x)


NAMES = {"stem": "body.0", "norm": "body.1", "depth": "body.3", "grouped": "body.4", "dense": "head"}


FLATTENED = {"dense": (12, 5, 5)}


def convolve(x: np.ndarray, kernel: np.ndarray, bias, stride: int = 1, pad: int = 1, groups: int = 1) -> np.ndarray:
    """Cross-correlation of (n, channels, side, side) as PyTorch's Conv2d defines it, one output at a time."""
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    outputs, inputs, size, _ = kernel.shape
    side = (x.shape[2] - size) // stride + 1
    result = np.zeros((len(x), outputs, side, side))
    for out in range(outputs):
        first = out // (outputs // groups) * inputs
        for row in range(side):
            for column in range(side):
                patch = x[:, first : first + inputs, row * stride : row * stride + size, column * stride : column * stride + size]
                result[:, out, row, column] = (patch * kernel[out]).sum((1, 2, 3)) + (0 if bias is None else bias[out])
    return result


def compute_reference(images: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    x = convolve(images.transpose(0, 3, 1, 2).astype(np.float64), t["body.0.weight"], None, stride=2)
    weight, bias, mean, variance = (
        t[f"body.1.{part}"].reshape(1, 8, 1, 1) for part in ("weight", "bias", "running_mean", "running_var")
    )
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * weight + bias, 0)
    x = convolve(x, t["body.3.weight"], t["body.3.bias"], groups=8)
    x = np.maximum(convolve(x, t["body.4.weight"], t["body.4.bias"], groups=4), 0)
    return x.reshape(len(x), -1) @ t["head.weight"].T + t["head.bias"]


@pytest.mark.parametrize("kind", WRITERS)
def test_network_from_pytorch_computes_what_pytorch_defines(kind, tmp_path):
    tensors = make_tensors()
    path = WRITERS[kind](tmp_path, tensors)
    model = build_net()
    found = read_torch_file(path)
    assert found.keys() == tensors.keys()
    copy_torch_weights(model, found, NAMES, path, flattened=FLATTENED)
    images = np.random.default_rng(1).normal(size=(3, 9, 9, 4)).astype(np.float32)
    expected = compute_reference(images, tensors)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(np.asarray(model(images)), expected, atol=2e-5)
    copy_torch_weights(model, found, NAMES, path)  # without the order of the flattened map: another function
    assert np.abs(np.asarray(model(images)) - expected).max() > 0.1


def test_bfloat16_weights_reach_the_model(tmp_path):
    tensors = {name: values.astype(ml_dtypes.bfloat16) for name, values in make_tensors().items()}
    model = build_net()
    copy_torch_weights(model, tensors, NAMES, Path("net"), flattened=FLATTENED)
    kernel = tensors["body.4.weight"].astype(np.float32).transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("grouped").get_weights()[0], kernel)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t, n: t.pop("body.4.bias"), ["tensor body.4.bias, for layer grouped", "missing"]),
        (lambda t, n: t.update({"body.4.weight": t["body.4.weight"][:, :2]}), ["grouped", "(12, 2, 3, 3)", "(12, 4, 3, 3)"]),
        (lambda t, n: t.update({"head.weight": t["head.weight"].T}), ["layer dense", "(300, 5)", "(5, 300)"]),
        (lambda t, n: t.update({"body.3.weight": t["body.3.weight"][:8]}), ["layer depth", "(8, 1, 3, 3)", "(16, 1, 3, 3)"]),
        (lambda t, n: t.update({"body.9.weight": t["head.bias"]}), ["1 tensors have no layer", "body.9.weight"]),
        (lambda t, n: t.update({"body.0.bias": t["head.bias"]}), ["1 tensors have no layer", "body.0.bias"]),
        (lambda t, n: t.update({"head.bias": t["head.bias"] * np.nan}), ["head.bias", "not finite"]),
        (lambda t, n: n.pop("norm"), ["layer norm", "model of weights only"]),
        (lambda t, n: n.update(other="body.7"), ["layer other", "map of weights only"]),
        (lambda t, n: n.update(depth="body.4"), ["body.4.weight", "layer depth"]),
    ],
)
def test_every_tensor_has_one_layer_and_every_layer_its_tensors(change, parts):
    tensors, names, model = make_tensors(), dict(NAMES), build_net()
    before = read_weights(model)
    change(tensors, names)
    with pytest.raises(UsageError) as caught:
        copy_torch_weights(model, tensors, names, Path("net.pth"), flattened=FLATTENED)
    assert_one_line(caught, "net.pth", *parts)
    for name, weights in read_weights(model).items():  # nothing was copied
        assert all(map(np.array_equal, weights, before[name]))


def test_unused_tensors_must_be_named():
    tensors, model = make_tensors() | {"aux.fc.weight": np.ones(3), "auxiliary": np.ones(3)}, build_net()
    for unused in ((), ("aux",), ("aux.fc", "aux.f"), ("auxiliary",)):
        with pytest.raises(UsageError, match="have no layer"):
            copy_torch_weights(model, tensors, NAMES, Path("net"), flattened=FLATTENED, unused=unused)
    copy_torch_weights(model, tensors, NAMES, Path("net"), flattened=FLATTENED, unused=("aux", "auxiliary"))


@pytest.mark.parametrize(
    ("layer", "tensors", "message"),
    [
        (layers.BatchNormalization(name="x"), {}, "layer x: epsilon is 0.001"),
        (layers.Conv2D(2, 3, strides=2, padding="same", name="x"), {}, "layer x: strided with padding 'same'"),
        (layers.SeparableConv2D(2, 3, name="x"), {}, "layer x: no rule .* SeparableConv2D"),
        (layers.Conv2D(2, 3, name="x"), {"p.weight": np.ones((2, 3, 3, 3)), "q.bias": np.ones(2)}, "p.bias.*missing"),
    ],
)
def test_layers_that_pytorch_computes_otherwise_are_refused(layer, tensors, message):
    with pytest.raises(UsageError, match=message):
        copy_torch_weights(make_single(layer), tensors, {"x": "p"}, Path("net"))


def test_parts_that_a_batch_normalization_lacks_are_not_asked_for():
    model = make_single(layers.BatchNormalization(epsilon=1e-3, scale=False, name="x"))
    tensors = {f"p.{part}": np.full(3, value) for value, part in enumerate(("bias", "running_mean", "running_var"))}
    copy_torch_weights(model, tensors, {"x": "p"}, Path("net"), epsilon=1e-3)
    assert [weight.tolist() for weight in model.get_weights()] == [[0] * 3, [1] * 3, [2] * 3]
    with pytest.raises(UsageError, match=r"1 tensors have no layer.*p\.weight"):
        copy_torch_weights(model, tensors | {"p.weight": np.ones(3)}, {"x": "p"}, Path("net"), epsilon=1e-3)
