"""The paper's CNN and ResNet-50 (sec. 2.2, Fig. 4). The DBN and the SGAN have modules of their own.

Both take images (n, side, side, channels) in 0..255, uint8 or float, rescale them and end in the softmax layer
"probabilities": (n, classes). Initial weights are those of `seed_layers`. Comments give shapes at the paper's widths
for inputs of 50x50 | 128x128 | 256x256.
"""

from pathlib import Path
from typing import TypeVar

import keras
import numpy as np
from keras import layers

from common.errors import UsageError
from replications.lung_hip_compare.config import Config
from replications.lung_hip_compare.weights import find_file

Value = TypeVar("Value")
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)  # what keras.applications' ResNet-50 was trained with ("caffe" mode)


def build_cnn(side: int, config: Config, channels: int = 1, classes: int = 2) -> keras.Model:
    """CNN of sec. 2.2: four times (3x3 convolution, stride 2; 3x3 max pooling, stride 2), then two dense layers.

    "same" padding: with "valid" the third convolution has no 3x3 input left at 50x50. ReLU and biases, no
    BatchNormalization. 454,146 parameters at 50x50x1 with the paper's widths.
    """
    images = keras.Input((side, side, channels), name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)  # 0..1
    for number, filters in enumerate(config.cnn_filters, start=1):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"pool{number}")(x)
        # after conv, pool 1:  25, 13 x 32 |  64, 32 | 128, 64      2:  7, 4 x 64  | 16, 8 | 32, 16
        #                  3:   2, 1 x 128 |   4, 2  |  8, 4        4:  1, 1 x 256 |  1, 1 |  2, 1
    x = layers.Flatten(name="flatten")(x)  # 256
    x = layers.Dense(config.cnn_dense, activation="relu", name="fc1")(x)
    scores = layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(images, scores, name="cnn")


def build_resnet50(side: int, config: Config, channels: int = 1, classes: int = 2) -> keras.Model:
    """ResNet-50 of sec. 2.2 (He et al. 2016, version 1): 7x7 stem, 3 + 4 + 6 + 3 bottleneck blocks, average pooling.

    Layer names, biases in the convolutions, the stride in a block's first 1x1 convolution and BatchNormalization's
    epsilon are those of keras.applications.ResNet50: up to the pooling the parameters are the same but for the stem's
    input channels. He normal initial weights. Settings (UsageError for an unknown one):
    resnet_strides "standard": the first block of Conv3..Conv5 halves the side; "as_written": stride 1 in Conv2..Conv5.
    resnet_pooling "flatten": 2x2 average pooling, then flatten; "global": global average pooling.
    resnet_weights other than "random": the input stage is the one that ImageNet weights expect (see `load_imagenet`).
    """
    images = keras.Input((side, side, channels), name="images")
    x = _prepare_resnet_input(images, config)
    # The text puts "zero padding" last; it belongs before the convolution that it serves.
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = _convolve(x, config.resnet_width, 7, 2, "conv1", padding="valid")  # 25 | 64 | 128  x 64
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)  # 13 | 32 | 64  x 64
    halve = _choose(config, "resnet_strides", {"standard": 2, "as_written": 1})
    for stage, blocks in enumerate(config.resnet_blocks):
        filters = config.resnet_width * 2**stage
        for block in range(blocks):
            stride = halve if stage > 0 and block == 0 else 1
            x = _add_bottleneck(x, filters, stride, block == 0, f"conv{stage + 2}_block{block + 1}")
        # standard: conv2 13 | 32 | 64 x 256; conv3 7 | 16 | 32 x 512; conv4 4 | 8 | 16 x 1024; conv5 2 | 4 | 8 x 2048
        # as written: side 13 | 32 | 64 in stages 2 to 5
    if _choose(config, "resnet_pooling", {"flatten": False, "global": True}):
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # 2048
    else:
        # "same" differs from "valid" only for odd sides; it keeps a map of one pixel, as very small images give.
        x = layers.AveragePooling2D(2, padding="same", name="avg_pool")(x)  # 1 | 2 | 4  x 2048
        x = layers.Flatten(name="flatten")(x)  # 2048 | 8192 | 32768
    scores = layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(images, scores, name="resnet50")


def _choose(config: Config, setting: str, known: dict[str, Value]) -> Value:
    value = getattr(config, setting)
    if value not in known:
        raise UsageError(f"{setting} = {value!r}: choose one of {', '.join(known)} with --set {setting}=...")
    return known[value]


def _prepare_resnet_input(images: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    if config.resnet_weights == "random":
        return layers.Rescaling(1 / 255, name="rescale")(images)  # 0..1
    # ImageNet weights saw blue, green, red in 0..255 less the training set's mean.
    if images.shape[-1] == 1:
        bgr = layers.Concatenate(name="grey_to_bgr")([images, images, images])
    else:
        bgr = keras.ops.flip(images, axis=-1)
    return layers.Rescaling(1.0, offset=[-mean for mean in IMAGENET_MEAN_BGR], name="rescale")(bgr)


def _convolve(x: keras.KerasTensor, filters: int, size: int, stride: int, name: str, padding: str = "same") -> keras.KerasTensor:
    x = layers.Conv2D(filters, size, strides=stride, padding=padding, kernel_initializer="he_normal", name=f"{name}_conv")(x)
    return layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)


def _add_bottleneck(x: keras.KerasTensor, filters: int, stride: int, project: bool, name: str) -> keras.KerasTensor:
    """1x1, 3x3, 1x1 convolutions plus shortcut, ReLU after the addition (eq. 2); `project`: "convolutional block"."""
    shortcut = _convolve(x, 4 * filters, 1, stride, f"{name}_0") if project else x
    x = _convolve(x, filters, 1, stride, f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _convolve(x, filters, 3, 1, f"{name}_2")
    x = layers.ReLU(name=f"{name}_2_relu")(x)
    x = _convolve(x, 4 * filters, 1, 1, f"{name}_3")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def load_imagenet(model: keras.Model, weights: Path | None) -> None:
    """Copy the ImageNet weights of keras.applications.ResNet50 (without its top) into a model of `build_resnet50`.

    model: built with config.resnet_weights = "imagenet" at the paper's width and blocks; its head stays as initialised.
    weights: the publisher's .h5 file (`weights.find_file` checks that it is); None: Keras' cache, downloaded there on first use.
    Layers are matched by name and every shape is checked. Raises UsageError if the file is missing and cannot be
    downloaded, is damaged, or does not fit the model.
    """
    if not np.array_equal(np.negative(model.get_layer("rescale").offset), IMAGENET_MEAN_BGR):
        raise UsageError("this ResNet-50 was built for random weights: build it with resnet_weights=imagenet")
    path = weights or find_file(None)
    try:
        source = keras.applications.ResNet50(include_top=False, weights=str(path), input_shape=(32, 32, 3))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{path}: missing, damaged or not the weights of ResNet50 without top") from error
    targets = {layer.name: layer for layer in model.layers if layer.weights and layer.name != "probabilities"}
    sources = {layer.name: layer for layer in source.layers if layer.weights}
    shapes = {name: [tuple(w.shape) for w in layer.weights] for name, layer in targets.items()}
    if shapes != {name: [tuple(w.shape) for w in layer.weights] for name, layer in sources.items()}:
        raise UsageError(f"{path}: ImageNet weights fit only a ResNet-50 of width 64 with blocks 3, 4, 6, 3")
    for name, layer in targets.items():
        layer.set_weights(sources[name].get_weights())
