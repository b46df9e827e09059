"""The classifiers (sec. 3.3, Tables 4 to 7): seven backbones of ImageNet, one alone or three side by side, and a new last layer.

Sizes in comments are those of the paper preset (448x224). The GANs stand in gan_networks.py and acgan.py.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers

from common.errors import UsageError
from common.training import cuts, fit, pretrained
from common.training.optimizers import RAdam
from common.training.random_networks import seed_layers, settle_statistics
from common.training.torch_files import read_torch_file
from replications.bone_acgan import resnets
from replications.bone_acgan.attention import attend
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.rows import list_branches

HEAD = "probabilities"
APPLICATIONS = {
    "VGG16": keras.applications.VGG16,  # 14x7x512
    "DenseNet121": keras.applications.DenseNet121,  # 14x7x1024
    "MobileNetV3": keras.applications.MobileNetV3Large,  # 14x7x960
    "InceptionV3": keras.applications.InceptionV3,  # 12x5x2048
    "EfficientNet": keras.applications.EfficientNetB0,  # 14x7x1280
}
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, 0..1
CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red, 0..255
# Where a backbone ends in trial runs (`shortened`): random networks lose what is small the deeper they are.
ENDS = {
    "VGG16": "block3_pool", "DenseNet121": "pool3_pool", "MobileNetV3": "expanded_conv_6_depthwise_bn", "InceptionV3": "mixed2",
    "EfficientNet": "block2b_expand_activation", "ResNet34": "layer2_3_relu", "ResNeXt50": "layer2_3_relu",
}  # fmt: skip


def build_backbone(
    backbone: str, shape: tuple[int, int], config: Config, weights: Path | None = None, seed: int = 0, *, settled: bool = True
) -> keras.Model:
    """Grey pictures 0..255 (height, width, 1) -> feature maps, the network's own preprocessing inside.

    weights: file of keras.applications, or of PyTorch for ResNet34 and ResNeXt50; None: random, if settled with the statistics of
    one batch of noise. Raises UsageError for a file of other weights.
    """
    with seed_layers(_choose_seed(backbone, seed)):
        return _assemble_backbone(backbone, shape, config, weights, seed, settled=settled)


def _choose_seed(backbone: str, seed: int) -> int:
    return 100 * seed + len(backbone)


def _assemble_backbone(
    backbone: str, shape: tuple[int, int], config: Config, weights: Path | None, seed: int, *, settled: bool
) -> keras.Model:
    colour_shape = (None, None, 3) if config.shortened else (*shape, 3)  # InceptionV3 refuses sides below 75 that end in nothing
    if backbone in APPLICATIONS:
        network = APPLICATIONS[backbone](include_top=False, weights=None, input_shape=colour_shape)
    else:
        network = resnets.build_resnet(backbone, colour_shape)
    if weights is not None:
        load_weights(network, backbone, weights)
    if config.shortened:
        network = keras.Model(network.input, network.get_layer(ENDS[backbone]).output, name=f"{backbone}_shortened")
    if weights is None and settled:
        scale, offset = describe_range(backbone)
        settle_statistics(network, 16, shape, seed, scale=scale, offset=offset)
    grey = keras.Input((*shape, 1), name="picture")
    outputs = network(preprocess(grey, backbone))
    return cuts.inline_models(keras.Model(grey, outputs, name=backbone))


def describe_range(backbone: str) -> tuple[float, float]:
    """Factor and offset that bring noise in -1..1 to the range that a network takes."""
    return (127.5, 127.5) if backbone in ("MobileNetV3", "EfficientNet") else (128.0, 0.0) if backbone == "VGG16" else (1.0, 0.0)


def preprocess(grey: keras.KerasTensor, backbone: str) -> keras.KerasTensor:
    """Grey 0..255 (n, height, width, 1) -> the three channels that the weights of a backbone expect."""
    colours = layers.Concatenate(name=f"{backbone}_colours")([grey] * 3)
    name = f"{backbone}_standardised"
    if backbone == "VGG16":
        return layers.Rescaling([1.0] * 3, offset=[-mean for mean in CAFFE_MEAN], name=name)(colours)
    if backbone == "InceptionV3":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name=name)(colours)
    if backbone in ("MobileNetV3", "EfficientNet"):  # scale 0..255 themselves
        return colours
    scale, offset = [1 / (255 * std) for std in RGB_STD], [-m / s for m, s in zip(RGB_MEAN, RGB_STD, strict=True)]
    return layers.Rescaling(scale, offset=offset, name=name)(colours)


def load_weights(network: keras.Model, backbone: str, path: Path) -> None:
    """Fill a backbone from the file of its publishers."""
    if backbone in ("ResNet34", "ResNeXt50"):
        resnets.load_torch_weights(network, read_torch_file(path), path)
        return
    if backbone == "InceptionV3":  # by order, as Keras does: its layers are numbered on with every build, so names say nothing
        try:
            network.load_weights(path)
        except (ValueError, OSError, KeyError) as error:
            raise UsageError(f"{path}: not the weights of {backbone} ({str(error).splitlines()[0]})") from None
        return
    pretrained.load_keras_file(network, path)
    if backbone == "EfficientNet":
        # Keras divides by the root of the standard deviation once in the file's Normalization (whose variance is that deviation)
        # and, where it downloads the file itself, once more in a layer that a model without weights lacks.
        norm = next(layer for layer in network.layers if isinstance(layer, layers.Normalization))
        mean, variance, *rest = norm.get_weights()
        norm.set_weights([mean, variance * np.array(RGB_STD, np.float32).reshape(np.shape(variance)[-1:]), *rest])


def build_classifier(
    network: str, shape: tuple[int, int], config: Config, weights: Mapping[str, Path], seed: int = 0, *, settled: bool = True
) -> keras.Model:
    """Grey pictures 0..255 (height, width, 1) -> probabilities of the three classes (Fig. 7).

    The feature maps of every branch are pooled over the picture, put side by side (1024 + 512 + 2048 = 3584) and given to one
    dense layer with softmax. weights: branch -> file of its initial weights; a branch without one starts at random,
    if settled with the statistics of noise.
    """
    grey = keras.Input((*shape, 1), name="picture")
    pooled = []
    for branch in list_branches(network):
        with seed_layers(_choose_seed(branch, seed)):
            maps = _assemble_backbone(branch, shape, config, weights.get(branch), seed, settled=settled)(grey)
            if config.attention:
                maps = attend(maps, config, f"{branch}_attention")
        pooled.append(layers.GlobalAveragePooling2D(name=f"{branch}_pooled")(maps))
    features = layers.Concatenate(name="features")(pooled) if len(pooled) > 1 else pooled[0]
    outputs = layers.Dense(len(CLASSES), "softmax", name=HEAD)(features)
    flat = cuts.inline_models(keras.Model(grey, outputs, name=network.replace(" ", "_")))
    copy = keras.models.clone_model(flat)  # in which every layer is called once
    copy.set_weights(flat.get_weights())
    return copy


def draw_head(model: keras.Model, seed: int) -> None:
    """New initial weights of the last layer, a pure function of the seed: Glorot's, biases 0."""
    layer = model.get_layer(HEAD)
    layer.kernel.assign(keras.initializers.GlorotUniform(seed=seed)(layer.kernel.shape))
    layer.bias.assign(np.zeros(layer.bias.shape, np.float32))


def build_optimizer(config: Config) -> RAdam:
    """RAdam (sec. 4.2), the new layer at a rate of its own."""
    return RAdam(config.branch_learning_rate, factors={HEAD: config.head_learning_rate / config.branch_learning_rate})


def map_evidence(model: keras.Model, pictures: np.ndarray, network: str, classes: np.ndarray) -> np.ndarray:
    """Grad-CAM (Fig. 13) for a class of each picture: float32 (n, height, width) in [0, 1].

    Below average pooling and a linear layer the gradient of a class's logit is the layer's weight of each map, over the number of
    its pixels. Maps of several branches are enlarged, each weighed so, and added before what speaks against the class is cut off.
    """
    kernel = model.get_layer(HEAD).kernel.numpy()
    total, start = np.zeros(pictures.shape[:3], np.float64), 0
    for branch in list_branches(network):
        tensor = model.get_layer(f"{branch}_pooled").input
        maps = np.asarray(keras.Model(model.input, tensor).predict(pictures, verbose=0), np.float64)
        size = maps.shape[1] * maps.shape[2]
        weights = kernel[start : start + maps.shape[-1], :][:, classes].T / size
        start += maps.shape[-1]
        cam = np.einsum("nhwf,nf->nhw", maps, weights)
        total += np.asarray(keras.ops.image.resize(cam[..., None].astype(np.float32), pictures.shape[1:3]))[..., 0]
    total = np.maximum(total, 0)
    return (total / np.maximum(total.max(axis=(1, 2), keepdims=True), 1e-12)).astype(np.float32)


def compile_classifier(model: keras.Model, config: Config, jit_compile: bool) -> keras.Model:
    """RAdam and cross-entropy (sec. 4.2)."""
    loss: str | Callable = "sparse_categorical_crossentropy"
    model.compile(build_optimizer(config), loss, metrics=[fit.build_accuracy()], jit_compile=jit_compile)
    return model
