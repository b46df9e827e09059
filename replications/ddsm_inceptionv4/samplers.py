"""Models that draw samples (sec. 4.1): VAE, DCGAN, and both combined. Each is trained by `fit` on pictures uint8 (side, side, 1).

VAE: Kingma & Welling 2013; DCGAN: Radford et al. 2015; VAE-GAN: Larsen, Sonderby et al. 2015 (the paper's "Boesen et al. 2015").
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from common.training import turns
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.rows import DCGAN, VAE, VAE_GAN
from replications.ddsm_inceptionv4.sampler_networks import build_decoder, build_discriminator, build_encoder

Tensor = Any


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z = mean + noise * deviation (SGVB, sec. 2.2.1): a draw through which gradients pass; noise: standard normal."""
    return mean + noise * ops.exp(0.5 * log_variance)


def measure_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), nats: (n,)."""
    return 0.5 * ops.sum(ops.exp(log_variance) + ops.square(mean) - 1.0 - log_variance, axis=-1)


def measure_likelihood(pictures: Tensor, decoded: Tensor, variance: float) -> Tensor:
    """log p(x | z) of pixels that are normal about the decoded ones with that variance, nats: (n,)."""
    pixels = math.prod(pictures.shape[1:])
    squares = ops.sum(ops.reshape(ops.square(pictures - decoded), (-1, pixels)), axis=-1)
    return -0.5 * squares / variance - 0.5 * pixels * math.log(2 * math.pi * variance)


def measure_elbo(
    pictures: Tensor, mean: Tensor, log_variance: Tensor, decode: Callable[[Tensor], Tensor], noise: Tensor, variance: float
) -> Tensor:
    """Evidence lower bound of each picture by one draw, nats: (n,)."""
    decoded = decode(reparameterise(mean, log_variance, noise))
    return measure_likelihood(pictures, decoded, variance) - measure_divergence(mean, log_variance)


class Sampler(turns.TurnTrained):
    """What the three have in common: pictures uint8 become 0..1, losses are reported by name, noise comes from a generator of the
    model's own. networks: all of them; seed: of the noise."""

    def __init__(self, networks: Sequence[keras.Model], names: Sequence[str], seed: int, name: str):
        super().__init__(name=name)
        self.networks = list(networks)
        self.draws = keras.random.SeedGenerator(seed)
        self.means = {known: keras.metrics.Mean(name=known) for known in ("loss", *names)}
        self.built = True

    @property
    def metrics(self):
        return list(self.means.values())

    def draw(self, count, size):
        """Standard normal noise (count, size)."""
        return turns.draw_for_replica(lambda shape: keras.random.normal(shape, seed=self.draws), (count, size))

    def note(self, name, loss):
        """Report a loss; it is divided by the number of devices, whose sums the optimiser takes."""
        for known in (name, "loss"):
            self.means[known].update_state(loss)
        return loss / turns.count_replicas()


def scale_pictures(pictures):
    """uint8 0..255 -> float32 0..1."""
    return ops.cast(pictures, "float32") / 255.0


def join_networks(encoder: keras.Model, decoder: keras.Model) -> keras.Model:
    """Encoder and decoder as one network, whose weights one update changes."""
    return keras.Model(encoder.input, decoder(encoder(encoder.input)[0]), name="autoencoder")


class VariationalAutoencoder(Sampler):
    """Minus the evidence lower bound, mean over the pictures."""

    def __init__(self, encoder: keras.Model, decoder: keras.Model, variance: float, seed: int):
        super().__init__([encoder, decoder], ("elbo",), seed, "vae")
        self.encoder, self.decoder, self.variance = encoder, decoder, variance
        self.joined = join_networks(encoder, decoder)

    def list_updates(self, pictures) -> list[turns.Update]:
        pictures = scale_pictures(pictures)

        def lose():
            mean, log_variance = self.encoder(pictures, training=True)
            noise = self.draw(ops.shape(pictures)[0], mean.shape[-1])
            decode = lambda z: self.decoder(z, training=True)  # noqa: E731
            elbo = ops.mean(measure_elbo(pictures, mean, log_variance, decode, noise, self.variance))
            return -self.note("elbo", elbo)

        return [(self.joined, self.optimizers[0], lose)]


class AdversarialSampler(Sampler):
    """DCGAN: the discriminator tells real pictures from generated ones, then the generator is told what fools it
    (non-saturating)."""

    def __init__(self, decoder: keras.Model, discriminator: keras.Model, seed: int):
        super().__init__([decoder, discriminator], ("discriminator", "generator", "real_found", "fake_found"), seed, "dcgan")
        self.decoder, self.discriminator = decoder, discriminator

    def list_updates(self, pictures) -> list[turns.Update]:
        pictures = scale_pictures(pictures)
        count = ops.shape(pictures)[0]

        def tell():
            made = self.decoder(self.draw(count, self.decoder.input_shape[-1]), training=True)
            real, fake = (self.discriminator(of, training=True)[0] for of in (pictures, made))
            self.means["real_found"].update_state(ops.cast(real > 0, "float32"))
            self.means["fake_found"].update_state(ops.cast(fake < 0, "float32"))
            return self.note("discriminator", say_real(real, 1.0) + say_real(fake, 0.0))

        def fool():
            made = self.decoder(self.draw(count, self.decoder.input_shape[-1]), training=True)
            return self.note("generator", say_real(self.discriminator(made, training=True)[0], 1.0))

        of_discriminator, of_generator = self.optimizers
        return [(self.discriminator, of_discriminator, tell), (self.decoder, of_generator, fool)]


class AdversarialAutoencoder(Sampler):
    """VAE-GAN: pictures are compared by the discriminator's features, and both decoded and drawn pictures have to pass it."""

    WEIGHT = 1.0  # of what fools the discriminator, beside the likelihood of its features, in the decoder's loss

    def __init__(self, encoder: keras.Model, decoder: keras.Model, discriminator: keras.Model, seed: int):
        networks = [encoder, decoder, discriminator]
        super().__init__(networks, ("discriminator", "encoder", "generator", "real_found", "fake_found"), seed, "vae_gan")
        self.encoder, self.decoder, self.discriminator = networks

    def decode(self, pictures):
        """(decoded pictures, drawn pictures, mean, logarithm of the variance)."""
        mean, log_variance = self.encoder(pictures, training=True)
        count, size = ops.shape(pictures)[0], mean.shape[-1]
        decoded = self.decoder(reparameterise(mean, log_variance, self.draw(count, size)), training=True)
        return decoded, self.decoder(self.draw(count, size), training=True), mean, log_variance

    def compare(self, pictures, decoded):
        """Half the squared distance of the discriminator's features, mean over features and pictures."""
        features = [self.discriminator(of, training=True)[1] for of in (pictures, decoded)]
        return 0.5 * ops.mean(ops.square(features[0] - features[1]))

    def list_updates(self, pictures) -> list[turns.Update]:
        pictures = scale_pictures(pictures)

        def tell():
            decoded, drawn, _, _ = self.decode(pictures)
            real, *fakes = (self.discriminator(of, training=True)[0] for of in (pictures, decoded, drawn))
            self.means["real_found"].update_state(ops.cast(real > 0, "float32"))
            self.means["fake_found"].update_state(ops.cast(fakes[1] < 0, "float32"))
            return self.note("discriminator", say_real(real, 1.0) + 0.5 * sum(say_real(fake, 0.0) for fake in fakes))

        def encode():
            decoded, _, mean, log_variance = self.decode(pictures)
            divergence = ops.mean(measure_divergence(mean, log_variance)) / math.prod(pictures.shape[1:])
            return self.note("encoder", self.compare(pictures, decoded) + divergence)

        def fool():
            decoded, drawn, _, _ = self.decode(pictures)
            fooled = 0.5 * sum(say_real(self.discriminator(of, training=True)[0], 1.0) for of in (decoded, drawn))
            return self.note("generator", self.compare(pictures, decoded) + self.WEIGHT * fooled)

        of_discriminator, of_encoder, of_decoder = self.optimizers
        return [
            (self.discriminator, of_discriminator, tell),
            (self.encoder, of_encoder, encode),
            (self.decoder, of_decoder, fool),
        ]


def say_real(logits: Tensor, target: float) -> Tensor:
    """Cross-entropy of saying "real" with these logits where it is (1) or is not (0), mean over the pictures.

    >>> float(say_real(ops.zeros((2, 1)), 1.0)) - math.log(2) < 1e-6
    True
    """
    return ops.mean(ops.softplus(-logits) if target else ops.softplus(logits))


def build_sampler(name: str, config: Config, seed: int, jit_compile: bool | str = "auto") -> Sampler:
    """VAE, DCGAN or VAE-GAN, compiled with an Adam for each network; initial weights are those of `seed_layers`."""
    encoder = build_encoder(config) if name != DCGAN else None
    decoder = build_decoder(config)
    discriminator = build_discriminator(config) if name != VAE else None
    model: Sampler
    if name == VAE:
        model = VariationalAutoencoder(encoder, decoder, config.sample_variance, seed)
        turned = [model.joined]
    elif name == DCGAN:
        model, turned = AdversarialSampler(decoder, discriminator, seed), [discriminator, decoder]
    else:
        assert name == VAE_GAN
        model, turned = AdversarialAutoencoder(encoder, decoder, discriminator, seed), [discriminator, encoder, decoder]
    beta_1 = 0.9 if name == VAE else config.sample_beta_1
    model.compile_turns([(keras.optimizers.Adam(config.sample_rate, beta_1), network) for network in turned], jit_compile)
    return model
