"""ResNet-34 (He et al. 2016) and ResNeXt-50 32x4d (Xie et al. 2017), which keras.applications lacks, with PyTorch's weights.

Pictures (n, H, W, 3), standardised as torchvision does (0..1, less the mean colour, over its spread) -> maps
(n, H / 32, W / 32, 512 or 2048), rounded up. Layer names are PyTorch's ("layer1.0.conv1", with _ for the dots), so that the
files of torchvision and of timm fit. Strided layers stand behind explicit zero padding: PyTorch pads both sides alike.
"""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers

from common.training.pretrained import copy_torch_weights

BLOCKS = (3, 4, 6, 3)
GROUPS, GROUP_WIDTH = 32, 4  # "32x4d"
NORM = {"epsilon": 1e-5, "momentum": 0.9}  # PyTorch's
UNUSED = ("fc",)  # the layer of the thousand classes


@keras.saving.register_keras_serializable("bone_acgan")
class GroupedConv2D(layers.Conv2D):
    """Conv2D with groups, in TensorFlow's own operation: Keras sends it through XLA, many times slower on a CPU."""

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        return tf.nn.conv2d(inputs, kernel, list(self.strides), self.padding.upper(), dilations=list(self.dilation_rate))


def build_resnet(network: str, shape: tuple[int | None, int | None, int] = (None, None, 3)) -> keras.Model:
    """Convolutional part of "ResNet34" or "ResNeXt50", random weights."""
    pictures = keras.Input(shape, name="pictures")
    x = _convolve(pictures, 64, 7, "conv1", "bn1", strides=2)  # H / 2
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)  # after the ReLU 0 is the least
    x = layers.MaxPooling2D(3, strides=2, name="maxpool")(x)  # H / 4
    for stage, blocks in enumerate(BLOCKS):  # H / 4, / 8, / 16, / 32
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            build = _add_basic_block if network == "ResNet34" else _add_grouped_block
            x = build(x, 64 << stage, strides, f"layer{stage + 1}_{block}")
    return keras.Model(pictures, x, name=network)


def _add_basic_block(x: keras.KerasTensor, width: int, strides: int, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions around a shortcut."""
    y = _convolve(x, width, 3, f"{name}_conv1", f"{name}_bn1", strides=strides)
    y = _convolve(y, width, 3, f"{name}_conv2", f"{name}_bn2", relu=False)
    return _join(x, y, strides, name)


def _add_grouped_block(x: keras.KerasTensor, width: int, strides: int, name: str) -> keras.KerasTensor:
    """1x1, grouped 3x3 and 1x1 convolution around a shortcut; the grouped one has width / 64 times 32 x 4 channels."""
    inner = GROUPS * GROUP_WIDTH * width // 64
    y = _convolve(x, inner, 1, f"{name}_conv1", f"{name}_bn1")
    y = _convolve(y, inner, 3, f"{name}_conv2", f"{name}_bn2", strides=strides, groups=GROUPS)
    y = _convolve(y, 4 * width, 1, f"{name}_conv3", f"{name}_bn3", relu=False)
    return _join(x, y, strides, name)


def _join(x: keras.KerasTensor, y: keras.KerasTensor, strides: int, name: str) -> keras.KerasTensor:
    if x.shape != y.shape or strides > 1:
        x = _convolve(x, y.shape[-1], 1, f"{name}_downsample_0", f"{name}_downsample_1", strides=strides, relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    name: str,
    norm: str,
    *,
    strides: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> keras.KerasTensor:
    if size > 1:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    kind = GroupedConv2D if groups > 1 else layers.Conv2D
    x = kind(filters, size, strides=strides, groups=groups, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=norm, **NORM)(x)
    return layers.ReLU(name=f"{norm}_relu")(x) if relu else x


def load_torch_weights(model: keras.Model, tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Copy the tensors of a file of torchvision or timm (`read_torch_file`) into the network; UsageError where they misfit."""
    names = {layer.name: name_tensor(layer.name) for layer in model.layers if layer.weights}
    copy_torch_weights(model, tensors, names, path, epsilon=NORM["epsilon"], unused=UNUSED)


def name_tensor(layer: str) -> str:
    """PyTorch's name of a layer.

    >>> name_tensor("layer2_0_downsample_1"), name_tensor("layer3_5_conv2"), name_tensor("bn1")
    ('layer2.0.downsample.1', 'layer3.5.conv2', 'bn1')
    """
    return layer.replace("_", ".")
