"""Generators and discriminators: MU-ACGAN (sec. 3.2, Fig. 3) and the plain ACGAN that it is compared with.

Generators: noise (n, noise) and class (n,) int32 -> pictures (n, height, width, 1) in [-1, 1]. Discriminators: such pictures ->
log-odds of "real" (n, 1) and class logits (n, classes). Every layer is named: stage 1 and stage 2 of the transfer exchange
weights by name. Sizes in comments are those of 192x64 pictures.
"""

import keras
from keras import layers

from common.errors import UsageError
from replications.bone_acgan.attention import densify, gate, normalise
from replications.bone_acgan.config import Config

OF_CLASSES = ("class_embedding", "class_logits")  # layers that stage 2 replaces


def build_mu_generator(config: Config, classes: int, side: tuple[int, int] | None = None) -> keras.Model:
    """Generator of MU-ACGAN (Fig. 3a): a U-Net whose encoder takes, at every level, a map made of noise and class.

    side: (height, width), those of `config` if left out; both must divide by 2 to the number of levels less 1, or UsageError.
    """
    height, width = _check_side(side or (config.height, config.width), len(config.channels) - 1)
    inputs, both = _enter(config, classes)
    seeds = []
    for level, channels in enumerate(config.channels):  # 192x64x32, 96x32x64, 48x16x128, 24x8x256
        rows, columns, made = height >> level, width >> level, config.seed_channels or channels
        seed = layers.Dense(rows * columns * made, name=f"seed{level}_dense")(both)
        seed = layers.Reshape((rows, columns, made), name=f"seed{level}")(seed)
        seeds.append(seed if made == channels else layers.Conv2D(channels, 1, name=f"seed{level}_conv")(seed))
    x, skips = densify(seeds[0], config.channels[0], config, "encoder0"), []
    for level, channels in enumerate(config.channels[1:], start=1):
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"encoder{level}_pool")(x)
        x = gate(x, seeds[level], channels, config, f"encoder{level}_gate")
        x = densify(x, channels, config, f"encoder{level}")
    for level in reversed(range(len(skips))):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"decoder{level}_up")(x)  # no checkerboard
        x = gate(x, skips[level], config.channels[level], config, f"decoder{level}_gate")
        x = densify(x, config.channels[level], config, f"decoder{level}")
    picture = layers.Conv2D(1, 1, activation="tanh", name="picture")(x)
    return keras.Model(inputs, picture, name="mu_generator")


def build_mu_discriminator(config: Config, classes: int, side: tuple[int, int] | None = None, seed: int = 0) -> keras.Model:
    """Discriminator of MU-ACGAN (Fig. 3b): three RDA blocks, each halved by a strided convolution; flattened; two heads."""
    height, width = side or (config.height, config.width)
    pictures = keras.Input((height, width, 1), name="pictures")
    x = pictures
    for level, channels in enumerate(config.discriminator_channels):  # 96x32x32, 48x16x64, 24x8x128
        x = densify(x, channels, config, f"block{level}", norm=config.discriminator_norm)
        x = layers.Conv2D(channels, 3, strides=2, padding="same", name=f"block{level}_down")(x)
    return keras.Model(pictures, _judge(x, config, classes, seed), name="mu_discriminator")


def build_plain_generator(config: Config, classes: int, side: tuple[int, int] | None = None) -> keras.Model:
    """Generator of the plain ACGAN: single convolutions and upsampling, as sec. 3.2 calls them."""
    first, *further = config.plain_channels
    height, width = _check_side(side or (config.height, config.width), len(further))
    rows, columns = height >> len(further), width >> len(further)  # 12x4
    inputs, both = _enter(config, classes)
    x = layers.Dense(rows * columns * first, name="seed_dense")(both)
    x = layers.Reshape((rows, columns, first), name="seed")(x)
    for number, channels in enumerate(further):
        x = layers.UpSampling2D(2, name=f"up{number}")(x)
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(normalise(x, config, f"norm{number}"))
    picture = layers.Conv2D(1, 3, padding="same", activation="tanh", name="picture")(x)
    return keras.Model(inputs, picture, name="plain_generator")


def build_plain_discriminator(config: Config, classes: int, side: tuple[int, int] | None = None, seed: int = 0) -> keras.Model:
    """Discriminator of the plain ACGAN: four strided convolutions, two heads."""
    height, width = side or (config.height, config.width)
    pictures = keras.Input((height, width, 1), name="pictures")
    x = pictures
    for number, channels in enumerate(config.plain_discriminator_channels):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", name=f"conv{number}")(x)
        x = layers.LeakyReLU(config.plain_leak, name=f"leaky{number}")(x)
    return keras.Model(pictures, _judge(x, config, classes, seed), name="plain_discriminator")


def copy_domain(source: keras.Model, target: keras.Model) -> None:
    """Second stage of the transfer (sec. 3.4): take over every weight but those that stand for the classes (OF_CLASSES).

    source, target: the same network, built for the classes of the source domain and of the bone scans. Raises ValueError where
    the two differ in anything else.
    """
    for layer in target.layers:
        if layer.name not in OF_CLASSES:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def _check_side(side: tuple[int, int], halvings: int) -> tuple[int, int]:
    if any(length % 2**halvings for length in side):
        raise UsageError(f"pictures of {side[0]}x{side[1]} cannot be halved {halvings} times: multiples of {2**halvings} can")
    return side


def _enter(config: Config, classes: int) -> tuple[list[keras.KerasTensor], keras.KerasTensor]:
    """Inputs, and noise and embedded class side by side (n, noise + embedding).

    The embedding starts as strong as the noise: Keras' own, 20 times weaker, is hardly seen beside it.
    """
    noise, of_class = keras.Input((config.noise,), name="noise"), keras.Input((), dtype="int32", name="class")
    start = keras.initializers.RandomNormal(stddev=1.0)
    embedded = layers.Embedding(classes, config.embedding, embeddings_initializer=start, name="class_embedding")(of_class)
    return [noise, of_class], layers.Concatenate(name="noise_and_class")([noise, embedded])


def _judge(maps: keras.KerasTensor, config: Config, classes: int, seed: int) -> list[keras.KerasTensor]:
    """The heads: FC1, log-odds of "real"; FC2, class logits."""
    x = layers.Flatten(name="flatten")(maps)
    x = layers.Dropout(config.discriminator_dropout, seed=seed, name="dropout")(x)
    return [layers.Dense(1, name="real_logit")(x), layers.Dense(classes, name="class_logits")(x)]
