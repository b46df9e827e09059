"""The paper's semi-supervised GAN (sec. 1.4 and 2.2, Fig. 5; Salimans et al. 2016), as the textbook Keras SGAN builds it.

One network gives the class logits l. Classifier C: softmax(l). Discriminator D (the "custom activation"): Z / (Z + 1)
with Z = sum of exp(l), computed as sigmoid(logsumexp(l)), which does not overflow. C and D share every weight; C, D and
the generator G have an Adam each. A step makes four updates: C on labelled images, D on real ones, D on generated ones,
G. Initial weights are those of `seed_layers`. Comments give shapes at the paper's widths for 50x50 | 128x128 | 256x256.
"""

import keras
from keras import layers, ops

from common.errors import UsageError
from common.training import turns
from replications.lung_hip_compare.config import Config


def build_generator(side: int, config: Config) -> keras.Model:
    """Generator: noise (n, config.sgan_noise) to images (n, side, side, 1) in [-1, 1].

    The first map has config.sgan_base pixels a side (0: 14 for 50 pixels, a quarter of the side otherwise) and is
    doubled twice. The last convolution keeps the size, or loses its margin of 3 where that gives the side exactly
    (56 -> 50); what is still too large is cropped at the centre (base 13: 52 -> 50). Raises UsageError if the base is
    too small for the side.
    """
    base = config.sgan_base or (14 if side == 50 else side // 4)
    surplus = 4 * base - side
    if surplus < 0:
        raise UsageError(f"sgan_base {base} makes images of {4 * base}, not {side}: set it to at least {-(-side // 4)}")
    filters = config.sgan_filters
    noise = keras.Input((config.sgan_noise,), name="noise")
    x = layers.Dense(filters * base * base, name="fc")(noise)
    x = layers.LeakyReLU(config.sgan_leak, name="fc_leaky")(x)
    x = layers.Reshape((base, base, filters), name="reshape")(x)  # 14 | 32 | 64  x 128
    for number in (1, 2):  # 28, 56 | 64, 128 | 128, 256  x 128
        x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", name=f"deconv{number}")(x)
        x = layers.LeakyReLU(config.sgan_leak, name=f"deconv{number}_leaky")(x)
    padding = "valid" if surplus == 6 else "same"
    x = layers.Conv2D(1, 7, padding=padding, activation="tanh", name="conv")(x)  # 50 | 128 | 256  x 1
    if padding == "same" and surplus:
        before = surplus // 2
        x = layers.Cropping2D((before, surplus - before), name="crop")(x)
    return keras.Model(noise, x, name="generator")


def build_classifier(side: int, config: Config, classes: int = 2, seed: int = 0) -> keras.Model:
    """Body shared by C and D: images (n, side, side, 1) in 0..255 to class logits (n, classes).

    seed: of the dropout before the dense layer.
    """
    images = keras.Input((side, side, 1), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(images)  # -1..1
    for number in (1, 2, 3):  # 25, 13, 7 | 64, 32, 16 | 128, 64, 32  x 128
        x = layers.Conv2D(config.sgan_filters, 3, strides=2, padding="same", name=f"conv{number}")(x)
        x = layers.LeakyReLU(config.sgan_leak, name=f"conv{number}_leaky")(x)
    x = layers.Flatten(name="flatten")(x)  # 6,272 | 32,768 | 131,072
    x = layers.Dropout(config.sgan_dropout, seed=seed, name="dropout")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(images, logits, name="classifier")


def unsupervised_logit(logits):
    """Log-odds of "real": logsumexp of the class logits, (n, classes) to (n, 1).

    The probability of "real" is D = Z / (Z + 1), Z = sum of exp(logits): the sigmoid of log Z.
    """
    return ops.logsumexp(logits, axis=-1, keepdims=True)


class SGAN(turns.TurnTrained):
    """Generator and classifier trained by turns; calling it gives class probabilities (n, classes) of images in 0..255.

    `fit` takes batches (labelled images, labels int, real images), the halves of the paper's batch, images in 0..255.
    The generator is updated with as many noises as both halves hold. It reports "loss" and "accuracy" of C on the
    labelled half, and the mean cross-entropies "discriminator_real", "discriminator_fake" and "generator".
    seed: of the noise; its state is in `variables`. Backends: TensorFlow (tf.distribute included) and JAX.
    """

    def __init__(self, generator: keras.Model, classifier: keras.Model, seed: int):
        super().__init__(name="sgan")
        self.generator = generator
        self.classifier = classifier
        self.noise_state = keras.random.SeedGenerator(seed)
        self.class_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.real_loss = keras.losses.BinaryCrossentropy(from_logits=True)  # stable: softplus of the log-odds
        self.class_metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="loss")
        self.accuracy_metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.real_metrics = {
            name: keras.metrics.BinaryCrossentropy(from_logits=True, name=name)
            for name in ("discriminator_real", "discriminator_fake", "generator")
        }
        self.built = True

    def call(self, images, training=False):
        return ops.softmax(self.classifier(images, training=training))

    @property
    def metrics(self):
        return [self.class_metric, self.accuracy_metric, *self.real_metrics.values()]

    def compile(self, classifier_optimizer, discriminator_optimizer, generator_optimizer, jit_compile="auto"):
        """Three optimisers, one for each of C, D and G."""
        optimizers = (classifier_optimizer, discriminator_optimizer, generator_optimizer)
        networks = (self.classifier, self.classifier, self.generator)
        self.compile_turns(list(zip(optimizers, networks, strict=True)), jit_compile)

    def draw_noise(self, count):
        """Normal noise (count, noise); under tf.distribute every replica takes its own part of a common draw."""
        shape = (count, self.generator.input_shape[-1])
        return turns.draw_for_replica(lambda whole: keras.random.normal(whole, seed=self.noise_state), shape)

    def generate(self, count):
        """Generated images (count, side, side, 1), float in 0..255 as the classifier takes them."""
        return self.generator(self.draw_noise(count), training=True) * 127.5 + 127.5

    def classify(self, images, labels):
        """Loss of C: cross-entropy of the labels."""
        logits = self.classifier(images, training=True)
        self.class_metric.update_state(labels, logits)
        self.accuracy_metric.update_state(labels, logits)
        return self.class_loss(labels, logits)

    def discriminate(self, images, real: bool, name: str):
        """Loss of D and G: cross-entropy of D(images) with "real" (or not), also added to the metric `name`."""
        logit = unsupervised_logit(self.classifier(images, training=True))
        target = ops.full_like(logit, float(real))
        self.real_metrics[name].update_state(target, logit)
        return self.real_loss(target, logit)

    def list_updates(self, images, labels, real) -> list:
        """The four updates of a step in order: (network that changes, its optimiser, function that gives the loss)."""
        half, full = ops.shape(real)[0], ops.shape(images)[0] + ops.shape(real)[0]
        classifier_optimizer, discriminator_optimizer, generator_optimizer = self.optimizers
        return [
            (self.classifier, classifier_optimizer, lambda: self.classify(images, labels)),
            (self.classifier, discriminator_optimizer, lambda: self.discriminate(real, True, "discriminator_real")),
            (
                self.classifier,
                discriminator_optimizer,
                lambda: self.discriminate(self.generate(half), False, "discriminator_fake"),
            ),
            (self.generator, generator_optimizer, lambda: self.discriminate(self.generate(full), True, "generator")),
        ]


def build_sgan(side: int, config: Config, seed: int, classes: int = 2, jit_compile="auto") -> SGAN:
    """SGAN compiled with three Adams (config.learning_rate, config.sgan_beta_1); seed: of dropout and noise."""
    model = SGAN(build_generator(side, config), build_classifier(side, config, classes, seed), seed)
    of_classifier, of_discriminator, of_generator = (
        keras.optimizers.Adam(config.learning_rate, beta_1=config.sgan_beta_1) for _ in range(3)
    )
    model.compile(of_classifier, of_discriminator, of_generator, jit_compile=jit_compile)
    return model


def export_classifier(sgan: SGAN) -> keras.Model:
    """C alone as a functional model, images in 0..255 to the softmax "probabilities"; it shares the SGAN's weights."""
    body = sgan.classifier
    return keras.Model(body.input, layers.Softmax(name="probabilities")(body.output), name="sgan")
