"""One step of an ACGAN (sec. 2.1; Odena et al. 2017): the discriminator, then the generator.

Eqs. 2 and 3 are log-likelihoods of what the discriminator has right. The sentence below eq. 5 has the generator minimise
L_C - L_S, which would teach it to be found out and to draw the wrong class; eq. 4, L_G = L_S - L_C, contradicts it and is,
minimised, Odena's form, which is taken here. Discriminator: cross-entropy of real and generated pictures, and of the class
of both. Generator: cross-entropy of "real" for what it made (non-saturating), and of the class that was asked for.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from common.training import turns
from common.training.optimizers import RAdam
from replications.bone_acgan import gan_networks
from replications.bone_acgan.config import Config

BUILDERS = {
    "MU-ACGAN": (gan_networks.build_mu_generator, gan_networks.build_mu_discriminator),
    "ACGAN": (gan_networks.build_plain_generator, gan_networks.build_plain_discriminator),
}


class ACGAN(turns.TurnTrained):
    """Generator and discriminator trained by turns; `fit` takes batches (pictures float in [-1, 1] or uint8, classes int).

    uint8 pictures are scaled to [-1, 1]. Real and generated pictures pass the discriminator apart, so that batch
    normalisation does not tell them from each other. As many pictures are generated as there are real ones, each of a class drawn
    with equal chance. Reports the losses "discriminator" and "generator", their mean "loss", and the shares "real_found",
    "fake_found", "real_class", "fake_class" that the discriminator has right. known: the classes with real pictures; no other is
    asked for. seed: of noise and classes; its state is in `variables`.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model, known: Sequence[int], seed: int):
        super().__init__(name="acgan")
        self.generator, self.discriminator = generator, discriminator
        self.known = np.array(known, np.int32)
        self.draws = keras.random.SeedGenerator(seed)
        self.real_loss = keras.losses.BinaryCrossentropy(from_logits=True)
        self.class_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        names = ("loss", "discriminator", "generator", "real_found", "fake_found", "real_class", "fake_class")
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    @property
    def metrics(self):
        return list(self.means.values())

    def draw(self, count):
        """Noise (count, noise) and known classes (count,) int32, with equal chance."""
        noise = turns.draw_for_replica(
            lambda shape: keras.random.normal(shape, seed=self.draws), (count, self.generator.inputs[0].shape[-1])
        )
        many = len(self.known)
        places = turns.draw_for_replica(lambda shape: keras.random.randint(shape, 0, many, seed=self.draws), (count,))
        return noise, ops.take(self.known, places)

    def discriminate(self, pictures, classes):
        """Loss of the discriminator on a batch of real pictures and as many generated ones."""
        noise, asked = self.draw(ops.shape(pictures)[0])
        generated = self.generator([noise, asked], training=True)
        real, of_real = self.discriminator(pictures, training=True)
        fake, of_fake = self.discriminator(generated, training=True)
        loss = (
            self.real_loss(ops.ones_like(real), real)
            + self.real_loss(ops.zeros_like(fake), fake)
            + self.class_loss(classes, of_real)
            + self.class_loss(asked, of_fake)
        )
        self.note("discriminator", loss)
        self.means["real_found"].update_state(ops.cast(real > 0, "float32"))
        self.means["fake_found"].update_state(ops.cast(fake < 0, "float32"))
        self.means["real_class"].update_state(find_right(classes, of_real))
        return loss

    def note(self, name, loss):
        """Report a loss; Keras' losses are already divided by the number of devices, whose means are averaged again."""
        for known in (name, "loss"):
            self.means[known].update_state(loss * turns.count_replicas())

    def imitate(self, count):
        """Loss of the generator on `count` pictures."""
        noise, asked = self.draw(count)
        fake, of_fake = self.discriminator(self.generator([noise, asked], training=True), training=True)
        loss = self.real_loss(ops.ones_like(fake), fake) + self.class_loss(asked, of_fake)
        self.note("generator", loss)
        self.means["fake_class"].update_state(find_right(asked, of_fake))
        return loss

    def list_updates(self, pictures, classes) -> list[turns.Update]:
        pictures = scale_pictures(pictures)
        of_discriminator, of_generator = self.optimizers
        return [
            (self.discriminator, of_discriminator, lambda: self.discriminate(pictures, classes)),
            (self.generator, of_generator, lambda: self.imitate(ops.shape(pictures)[0])),
        ]


def scale_pictures(pictures):
    """uint8 0..255 -> float32 [-1, 1]; floats stay."""
    integer = keras.backend.standardize_dtype(pictures.dtype) == "uint8"
    return ops.cast(pictures, "float32") / 127.5 - 1.0 if integer else pictures


def find_right(classes, logits):
    """1 where the largest logit is that of the class, else 0: float32 (n,)."""
    return ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), ops.cast(classes, "int32")), "float32")


def build_acgan(
    name: str,
    config: Config,
    classes: int,
    seed: int,
    jit_compile: bool | str = "auto",
    known: Sequence[int] | None = None,
) -> ACGAN:
    """MU-ACGAN or ACGAN, compiled with two RAdams (sec. 4.2); known: classes with real pictures, None: all; seed: of dropout,
    noise and classes. Initial weights are those of `seed_layers`."""
    build_generator, build_discriminator = BUILDERS[name]
    networks = build_generator(config, classes), build_discriminator(config, classes, seed=seed)
    model = ACGAN(*networks, range(classes) if known is None else known, seed)
    optimizers = [RAdam(config.gan_learning_rate, beta_1=config.gan_beta_1) for _ in range(2)]
    model.compile_turns(list(zip(optimizers, (model.discriminator, model.generator), strict=True)), jit_compile)
    return model
