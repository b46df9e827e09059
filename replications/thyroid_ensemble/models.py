"""The networks of sec. 1.4 and 1.5: backbones of keras.applications, AlexNet and SqueezeNet; standardisation, the new head.

Sizes in comments are those of the paper preset (input 224 pixels, AlexNet 227).
"""

import functools
import math
from pathlib import Path

import keras
from keras import layers, ops

from common.errors import UsageError
from common.training import cuts, pretrained
from replications.thyroid_ensemble import alexnet
from replications.thyroid_ensemble.config import CLASSES, Config

APPLICATIONS = {
    "VGG16": keras.applications.VGG16,  # 13 convolutions, block1_conv1 .. block5_conv3; 7x7x512
    "ResNet50": keras.applications.ResNet50,  # conv1_conv, then 16 blocks conv2_block1 .. conv5_block3; 7x7x2048
    "InceptionV3": keras.applications.InceptionV3,  # [11] of Table 7; 94 convolutions; 8x8x2048 at 299 pixels
    "MobileNetV2": functools.partial(keras.applications.MobileNetV2, alpha=0.35),  # ours; 7x7x1280
}
SQUEEZED = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}  # filters of the squeeze layer of SqueezeNet's fire modules
# Grey value -> what the ImageNet weights expect of it: (value - mean) * factor. VGG16 and ResNet50: 0..255 minus the mean
# colour, as SqueezeNet; InceptionV3 and MobileNetV2: -1..1; AlexNet of torchvision: 0..1, standardised by the mean standard
# deviation of the colours.
FACTORS = {
    "VGG16": 1.0, "ResNet50": 1.0, "InceptionV3": 1 / 127.5, "AlexNet": 1 / (255 * 0.2260), "AlexNet original": 1.0,
    "MobileNetV2": 1 / 127.5, "SqueezeNet": 1.0,
}  # fmt: skip
# The networks' own means (option mean = "imagenet"), in the order of channels that the weights expect.
CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red


def build_backbone(network: str, side: int, config: Config) -> keras.Model:
    """Feature maps of standardised pictures (side, side, 3), random weights; narrower where config.width < 1."""
    if network == "AlexNet":
        return alexnet.build_alexnet(side, config.alexnet_variant, config.width)
    if network == "SqueezeNet":
        model = build_squeezenet(side)
    else:
        model = APPLICATIONS[network](include_top=False, weights=None, input_shape=(side, side, 3))
    end = getattr(config, f"{network.lower()}_end")
    if end not in {layer.name for layer in model.layers}:
        raise UsageError(f"{network.lower()}_end={end}: {network} has no such layer")
    model = keras.Model(model.input, model.get_layer(end).output, name=network)
    return model if config.width == 1 else narrow(model, config.width)


def build_squeezenet(side: int) -> keras.Model:
    """SqueezeNet 1.1 (Iandola et al. 2016) without its last layer: 722,496 parameters, 13x13x512 at 227 pixels.

    Takes blue, green, red 0..255 minus the mean colour, as Caffe's, from which its weights were converted.
    """
    images = keras.Input((side, side, 3), name="images")
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(images)  # 113x113
    for number, filters in SQUEEZED.items():
        if number in (2, 4, 6):
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number - 1}")(x)  # 56x56, 27x27, 13x13
        x = layers.Conv2D(filters, 1, activation="relu", name=f"fire{number}_squeeze1x1")(x)
        one = layers.Conv2D(4 * filters, 1, activation="relu", name=f"fire{number}_expand1x1")(x)
        three = layers.Conv2D(4 * filters, 3, padding="same", activation="relu", name=f"fire{number}_expand3x3")(x)
        x = layers.Concatenate(name=f"fire{number}")([one, three])
    return keras.Model(images, x, name="squeezenet")


def narrow(model: keras.Model, width: float) -> keras.Model:
    """The same graph with `width` times as many filters in every convolution (at least 4), for small trial runs."""

    def copy(layer: keras.Layer) -> keras.Layer:
        settings = layer.get_config()
        if isinstance(layer, layers.Conv2D):
            settings["filters"] = max(4, round(settings["filters"] * width))
        return type(layer).from_config(settings)

    return keras.models.clone_model(model, clone_function=copy)


def standardise(grey: keras.KerasTensor, network: str, config: Config, dataset_mean: float | None = None) -> keras.KerasTensor:
    """Grey pictures 0..255 (side, side, 1) -> what a backbone expects (side, side, 3): "subtract the image mean" (sec. 1.2).

    dataset_mean: mean grey value of the training images, for mean = "dataset".
    """
    factor = FACTORS["AlexNet original" if (network, config.alexnet_variant) == ("AlexNet", "original") else network]
    if config.mean == "image":
        centred = grey - ops.mean(grey, axis=(1, 2, 3), keepdims=True)
        return layers.Concatenate(name="three_channels")([layers.Rescaling(factor, name="standardised")(centred)] * 3)
    if config.mean == "dataset":
        if dataset_mean is None:
            raise ValueError("mean=dataset: the mean of the training images is needed")
        centred = layers.Rescaling(factor, offset=-factor * dataset_mean, name="standardised")(grey)
        return layers.Concatenate(name="three_channels")([centred] * 3)
    if config.mean != "imagenet":
        raise UsageError(f"mean={config.mean}: choose one of image, dataset, imagenet")
    colours = layers.Concatenate(name="three_channels")([grey] * 3)
    if network in ("InceptionV3", "MobileNetV2"):
        return layers.Rescaling(factor, offset=-1.0, name="standardised")(colours)
    if network == "AlexNet" and config.alexnet_variant == "torchvision":
        means, stds = alexnet.TORCHVISION_MEAN, alexnet.TORCHVISION_STD
        scale, offset = [1 / (255 * s) for s in stds], [-m / s for m, s in zip(means, stds, strict=True)]
        return layers.Rescaling(scale, offset=offset, name="standardised")(colours)
    return layers.Rescaling([1.0] * 3, offset=[-m for m in CAFFE_MEAN], name="standardised")(colours)


def build_head(features: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Fig. 5: four layers of eight neurons with dropout and L2 in place of the fully connected layers; two outputs."""
    if config.head_pooling not in ("average", "flatten"):
        raise UsageError(f"head_pooling={config.head_pooling}: choose one of average, flatten")
    pooling = layers.GlobalAveragePooling2D if config.head_pooling == "average" else layers.Flatten
    x = pooling(name="pooled")(features)  # 512 (VGG16, SqueezeNet), 2048 (ResNet50), 256 (AlexNet), 1280 (MobileNetV2)
    for i, units in enumerate(config.head_units, start=1):
        penalty = keras.regularizers.L2(config.head_l2)
        dense = layers.Dense(units, "relu", kernel_initializer="he_normal", kernel_regularizer=penalty, name=f"head{i}")
        x = layers.Dropout(config.head_dropout, name=f"head{i}_dropout")(dense(x))
    return layers.Dense(len(CLASSES), "softmax", name="probabilities")(x)


def list_head(config: Config) -> list[str]:
    """Names of the head's layers with weights."""
    return [*(f"head{i}" for i in range(1, len(config.head_units) + 1)), "probabilities"]


def draw_head(model: keras.Model, config: Config, seed: int) -> None:
    """New initial weights of the head, a pure function of the seed: He's (Glorot's for the outputs), biases 0."""
    for number, name in enumerate(list_head(config)):
        layer = model.get_layer(name)
        layer.kernel.assign(type(layer.kernel_initializer)(seed=1000 * seed + number)(layer.kernel.shape))
        layer.bias.assign(ops.zeros(layer.bias.shape))


def build_network(
    network: str, side: int, config: Config, weights: Path | None = None, dataset_mean: float | None = None
) -> keras.Model:
    """Grey patches 0..255 (side, side, 1) -> probabilities (benign, malignant): standardisation, backbone, head in one graph.

    weights: file of the backbone's initial weights; None: random.
    """
    backbone = build_backbone(network, side, config)
    if weights is not None:
        load_backbone(backbone, network, weights, config)
    inputs = keras.Input((side, side, 1), name="patch")
    outputs = build_head(backbone(standardise(inputs, network, config, dataset_mean)), config)
    flat = cuts.inline_models(keras.Model(inputs, outputs, name=network))
    # A copy, in which every layer is called once, so that `layer.output` is what it gives here.
    copy = keras.models.clone_model(flat)
    copy.set_weights(flat.get_weights())
    return copy


def load_backbone(backbone: keras.Model, network: str, path: Path, config: Config) -> None:
    """Fill a backbone from a file of keras.applications, of AlexNet's publishers, or of `train.train_source_cell`."""
    if network == "AlexNet" and not path.name.endswith(".weights.h5"):
        alexnet.load_alexnet(backbone, path, config.alexnet_variant)
    elif network == "InceptionV3" or path.name.endswith(".weights.h5"):
        # By order, as Keras does: InceptionV3's layers are numbered on with every build, so names say nothing.
        try:
            backbone.load_weights(path)
        except (ValueError, OSError, KeyError) as error:
            raise UsageError(f"{path}: not the weights of {network} ({str(error).splitlines()[0]})") from None
    elif network == "SqueezeNet":  # its file calls layers as Keras 1 let it, "fire2/squeeze1x1"
        names = {layer.name: layer.name.replace("_", "/") for layer in backbone.layers if layer.weights}
        pretrained.load_keras_file(backbone, path, names=names)
    else:
        pretrained.load_keras_file(backbone, path)


def draw_scratch(model: keras.Model, config: Config, seed: int) -> None:
    """No transfer (sec. 2.1): "small Gaussian random weights" of mean 0 in every kernel, dense ones included; biases 0.

    scratch_init "he": the standard deviation is not scratch_std but the root of 2 / inputs of a unit (He et al. 2015), with which
    deep networks begin to learn. Batch normalisation is left as it is built.
    """
    gaussian = config.scratch_init == "gaussian"
    for i, layer in enumerate(layer for layer in model.layers if isinstance(layer, (layers.Conv2D, layers.Dense))):
        std = config.scratch_std if gaussian else (2 / math.prod(layer.kernel.shape[:-1])) ** 0.5
        layer.kernel.assign(keras.random.normal(layer.kernel.shape, stddev=std, seed=seed * 1000 + i))
        if layer.bias is not None:
            layer.bias.assign(ops.zeros(layer.bias.shape))


def list_trained(model: keras.Model, plan: int | str, config: Config) -> list[str]:
    """Layers that step 2 trains: the head and the last k convolutions (k = 0, 1, ...), the first residual block, or all."""
    convolutions = cuts.list_convolutions(model)
    if plan == "all":
        return [layer.name for layer in model.layers if layer.weights]
    if plan == "first block":  # [10] of Table 7
        return [*(name for name in convolutions if name.startswith("conv2_block1_")), *list_head(config)]
    if isinstance(plan, str):
        raise ValueError(f"plan {plan!r}: a number of convolutions, 'first block' or 'all'")
    return [*convolutions[len(convolutions) - plan :], *list_head(config)]
