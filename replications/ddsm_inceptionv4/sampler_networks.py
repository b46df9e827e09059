"""Networks of the planned unsupervised part (sec. 2.2, 4.1): encoder, decoder and discriminator of small grey pictures 0..1.

The paper has the roles of the DCGAN exchanged; here the generator (decoder) has the transposed convolutions and the
discriminator the convolutions (Radford et al. 2015).
"""

import keras
from keras import layers

from common.errors import UsageError
from replications.ddsm_inceptionv4.config import Config

LEAK = 0.2


def find_start(config: Config) -> int:
    """Side of the decoder's first map. UsageError where the pictures cannot be halved so often."""
    levels = len(config.sample_channels)
    if config.sample_size % 2**levels:
        raise UsageError(
            f"sample_size {config.sample_size} cannot be halved {levels} times, as often as sample_channels has entries"
        )
    return config.sample_size // 2**levels


def _narrow(picture, config: Config, *, normalised: bool):
    """Convolutions of stride 2, leaky ReLU."""
    x = picture
    for number, filters in enumerate(config.sample_channels):
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=not normalised or number == 0, name=f"conv{number}")(x)
        if normalised and number:
            x = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
        x = layers.LeakyReLU(LEAK, name=f"leaky{number}")(x)
    return layers.Flatten(name="flat")(x)


def build_encoder(config: Config) -> keras.Model:
    """Picture (side, side, 1) -> mean and logarithm of the variance of the latent variables, (latent,) each."""
    find_start(config)
    picture = keras.Input((config.sample_size, config.sample_size, 1), name="picture")
    x = _narrow(picture, config, normalised=True)
    mean = layers.Dense(config.latent, name="mean")(x)
    log_variance = layers.Dense(config.latent, name="log_variance")(x)
    return keras.Model(picture, [mean, log_variance], name="encoder")


def build_decoder(config: Config) -> keras.Model:
    """Latent variables (latent,) -> picture (side, side, 1) in 0..1; the DCGAN's generator."""
    start, channels = find_start(config), config.sample_channels
    latent = keras.Input((config.latent,), name="latent")
    x = layers.Dense(start * start * channels[-1], use_bias=False, name="dense")(latent)
    x = layers.Reshape((start, start, channels[-1]), name="map")(x)
    for number, filters in enumerate([*channels[-2::-1], channels[0]]):
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False, name=f"deconv{number}")(x)
    x = layers.BatchNormalization(momentum=0.9, name="norm_last")(x)
    x = layers.ReLU(name="relu_last")(x)
    outputs = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="picture")(x)
    return keras.Model(latent, outputs, name="decoder")


def build_discriminator(config: Config) -> keras.Model:
    """Picture (side, side, 1) -> logit of "real" (1,), and the features below it, by which the VAE-GAN compares pictures."""
    find_start(config)
    picture = keras.Input((config.sample_size, config.sample_size, 1), name="picture")
    x = _narrow(picture, config, normalised=False)
    return keras.Model(picture, [layers.Dense(1, name="real")(x), x], name="discriminator")
