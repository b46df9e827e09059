"""ResNet-34 and ResNeXt-50 against a forward pass in NumPy with PyTorch's weights and padding."""

from pathlib import Path

import keras
import numpy as np
import pytest
from bone_references import convolve, normalise, rectify
from keras import ops

from common.errors import UsageError
from replications.bone_acgan import resnets

pytestmark = pytest.mark.usefixtures("backend")
FILE = Path("weights.pth")


def draw_tensors(model: keras.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors as PyTorch names and shapes them, with a layer of a thousand classes that the network has no place for."""
    generator = np.random.default_rng(seed)
    tensors = {"fc.weight": np.zeros((1000, 4), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    for layer in (layer for layer in model.layers if layer.weights):
        name = layer.name.replace("_", ".")
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.weights[0].shape
            for part, low, high in (
                ("weight", 0.5, 1),
                ("bias", -0.2, 0.2),
                ("running_mean", -0.2, 0.2),
                ("running_var", 0.5, 2),
            ):
                tensors[f"{name}.{part}"] = generator.uniform(low, high, size).astype(np.float32)
            tensors[f"{name}.num_batches_tracked"] = np.array(1)
        else:
            height, width, inputs, outputs = layer.kernel.shape
            scale = (2 / (height * width * inputs)) ** 0.5
            tensors[f"{name}.weight"] = generator.normal(0, scale, (outputs, inputs, height, width)).astype(np.float32)
    return tensors


def run_reference(tensors: dict[str, np.ndarray], pictures: np.ndarray, network: str) -> np.ndarray:
    """The networks as their authors' code has them, in float64."""

    def apply(x, conv, norm, *, strides=1, groups=1):
        kernel = tensors[f"{conv}.weight"].astype(np.float64)
        x = convolve(x, kernel, strides=strides, padding=kernel.shape[-1] // 2, groups=groups)
        return normalise(x, *(tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")), 1e-5)

    x = rectify(apply(pictures.astype(np.float64), "conv1", "bn1", strides=2))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            at, strides = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            if network == "ResNet34":
                y = rectify(apply(x, f"{at}.conv1", f"{at}.bn1", strides=strides))
                y = apply(y, f"{at}.conv2", f"{at}.bn2")
            else:
                y = rectify(apply(x, f"{at}.conv1", f"{at}.bn1"))
                y = rectify(apply(y, f"{at}.conv2", f"{at}.bn2", strides=strides, groups=32))
                y = apply(y, f"{at}.conv3", f"{at}.bn3")
            if f"{at}.downsample.0.weight" in tensors:
                x = apply(x, f"{at}.downsample.0", f"{at}.downsample.1", strides=strides)
            x = rectify(x + y)
    return x


@pytest.mark.slow
@pytest.mark.parametrize(("network", "published"), [("ResNet34", 21_797_672), ("ResNeXt50", 25_028_904)])
def test_forward_pass_with_the_weights_of_pytorch(network, published):
    """Parameters with the layer of a thousand classes as published; odd and even sides."""
    model = resnets.build_resnet(network)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable + 1000 * (model.output_shape[-1] + 1) == published
    tensors = draw_tensors(model)
    resnets.load_torch_weights(model, tensors, FILE)
    pictures = np.random.default_rng(1).normal(size=(1, 45, 38, 3)).astype(np.float32)
    found = ops.convert_to_numpy(model(pictures, training=False))
    expected = run_reference(tensors, pictures, network)
    assert found.shape == expected.shape == (1, 2, 2, model.output_shape[-1])
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    lacking = {name: tensor for name, tensor in tensors.items() if name != "layer4.2.bn2.bias"}
    with pytest.raises(UsageError, match=r"weights\.pth: tensor layer4\.2\.bn2\.bias, for layer layer4_2_bn2: missing"):
        resnets.load_torch_weights(model, lacking, FILE)


def test_grouped_convolution_is_keras_own():
    keras.utils.set_random_seed(0)
    maps = np.random.default_rng(0).normal(size=(2, 7, 6, 8)).astype(np.float32)
    ours = resnets.GroupedConv2D(8, 3, strides=2, groups=4, use_bias=False)
    plain = keras.layers.Conv2D(8, 3, strides=2, groups=4, use_bias=False)
    ours.build(maps.shape), plain.build(maps.shape)
    plain.set_weights(ours.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(ours(maps)), ops.convert_to_numpy(plain(maps)), atol=1e-5)
