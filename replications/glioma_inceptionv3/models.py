"""The backbones, cut off after average pooling (report, sec. 3), and the new last layer.

Sizes in comments are those of the paper preset.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from common.errors import UsageError
from common.training import pretrained
from common.training.random_networks import seed_layers, settle_statistics
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.rows import INCEPTION, MOBILENET, RANDOM

HEAD, TABLE = "last_layer", "bottlenecks"


def build_backbone(backbone: str, config: Config, weights: Path | None = None) -> keras.Model:
    """Grey pictures 0..255 (side, side, 1) -> bottlenecks (2048 of InceptionV3, 1280 of MobileNetV2 0.35).

    Grey is replicated to RGB and brought to -1..1, as the ImageNet weights of both networks expect it (the graph of 2015: minus
    128, over 128); MobileNetV2 sees the pictures at its own side. weights: None: random (`settle_statistics`). Raises UsageError
    for an unknown backbone and for a file of other weights.
    """
    sides = {INCEPTION: config.side, RANDOM: config.side, MOBILENET: min(config.side, config.mobilenetv2_side)}
    if backbone not in sides:
        raise UsageError(f"backbones={backbone}: not known; known: {', '.join(sides)}")
    side = sides[backbone]
    with seed_layers(100 * config.split_seed + list(sides).index(backbone)):
        if backbone == MOBILENET:
            network = keras.applications.MobileNetV2((side, side, 3), alpha=0.35, include_top=False, weights=None)  # 7x7x1280
        else:
            network = keras.applications.InceptionV3(input_shape=(side, side, 3), include_top=False, weights=None)  # 8x8x2048
    if weights is not None:
        load_backbone(network, backbone, weights)
    if config.inceptionv3_end and backbone != MOBILENET:
        network = cut_network(network, config.inceptionv3_end)
    if weights is None:
        settle_statistics(network, config.statistics_pictures, (side, side), config.split_seed)
    grey = keras.Input((config.side, config.side, 1), name="picture")
    colours = layers.Concatenate(name="three_channels")([layers.Rescaling(1 / 127.5, offset=-1.0, name="standardised")(grey)] * 3)
    if side != config.side:
        colours = layers.Resizing(side, side, name="own_side")(colours)
    pooled = layers.GlobalAveragePooling2D(name=TABLE)(network(colours, training=False))
    return keras.Model(grey, pooled, name=backbone.replace(" ", "_"))


def cut_network(network: keras.Model, end: str) -> keras.Model:
    """The network up to a layer, for small trial runs: deep random networks take alike pictures for quite different ones."""
    if end not in {layer.name for layer in network.layers}:
        raise UsageError(f"inceptionv3_end={end}: InceptionV3 has no such layer")
    return keras.Model(network.input, network.get_layer(end).output, name=f"{network.name}_{end}")


def load_backbone(network: keras.Model, backbone: str, path: Path) -> None:
    """Fill a network from a file of keras.applications."""
    if backbone == MOBILENET:
        pretrained.load_keras_file(network, path)
        return
    # By order, as Keras does: InceptionV3's layers are numbered on with every build, so names say nothing.
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise UsageError(f"{path}: not the weights of {backbone} ({str(error).splitlines()[0]})") from None


def build_head(pictures: int, features: int, classes: int, rates: tuple[float, ...]) -> keras.Model:
    """Numbers of pictures (batch,) int32 -> logits (batch, heads, classes): the new last layer on a table of bottlenecks.

    The table (pictures, features) does not train. For each of `rates` there is one head, all learning side by side from the same
    batches; the loss of each is multiplied by its rate, so that plain gradient descent at rate 1 is descent at that rate.
    """
    numbers = keras.Input((), dtype="int32", name="numbers")
    bottlenecks = layers.Embedding(pictures, features, trainable=False, name=TABLE)(numbers)
    logits = layers.Dense(len(rates) * classes, name=HEAD)(bottlenecks)
    return keras.Model(numbers, layers.Reshape((len(rates), classes))(logits))


def weigh_loss(rates: tuple[float, ...]) -> Callable:
    """Softmax cross-entropy of each head times its rate, summed over the heads: (batch,)."""
    factors = np.array(rates, np.float32)

    def loss(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        repeated = ops.repeat(ops.reshape(ops.cast(labels, "int32"), (-1, 1)), len(rates), axis=1)
        return ops.sum(factors * ops.sparse_categorical_crossentropy(repeated, logits, from_logits=True), axis=-1)

    return loss


def draw_head(features: int, classes: int, std: float, seed: int) -> np.ndarray:
    """Initial kernel (features, classes) float32: truncated normal (script), a pure function of the seed."""
    drawn = keras.initializers.TruncatedNormal(stddev=std, seed=seed)((features, classes))
    return np.asarray(ops.convert_to_numpy(drawn))
