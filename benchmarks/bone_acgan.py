"""Speed of bone_acgan: a step of a GAN in one graph, and the three-branch classifier from cached features.

`python -m benchmarks.bone_acgan [--steps 200] [--pictures 60] [--epochs 12] [--repeats 2] [--parts gan classifier]
[--out FILE.json]`

GAN: `ACGAN.fit`, fed by a pipeline, against the plain way: generate a batch, `train_on_batch` of the discriminator on real and
generated pictures, `train_on_batch` of generator and frozen discriminator together. Same noise, classes and initial weights;
dropout off. For the plain ACGAN the weights after a few steps must be equal to TOLERANCE; frozen, MU-ACGAN's discriminator would
use moving statistics in its coordinate attention, so of it the time alone is compared. Limit: 1.5.
Classifier: the multi-scale CNN with frozen branches. Plain: `fit` of the whole network, which passes every branch in each epoch;
ours: pooled features once (`frozen.open_upper`), then `fit` of the last layer; the same order of pictures, equal weights.
Passes of the branches: epochs times the pictures against once, so the operation counts allow as many times as there are epochs.
Limit: 8.
"""

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks.glioma_head import describe_rates, time_ways
from common.training import cuts, fit, frozen
from common.training.batches import feed_batches, shuffle_order
from common.training.optimizers import RAdam
from replications.bone_acgan import acgan, models
from replications.bone_acgan.config import DEMO, Config
from replications.bone_acgan.rows import MULTI

LIMITS = {"gan": 1.5, "classifier": 8.0}  # times faster
TOLERANCE = 1e-5  # of weights
CLASSES = 3


class Plain:
    """A GAN trained by two `train_on_batch` calls a step."""

    def __init__(self, gan: str, config: Config, seed: int):
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        self.source = acgan.build_acgan(gan, config, CLASSES, seed, jit_compile=False)  # draws noise and classes
        self.generator, self.discriminator = self.source.generator, self.source.discriminator
        logits = [keras.losses.BinaryCrossentropy(from_logits=True), keras.losses.SparseCategoricalCrossentropy(from_logits=True)]
        real, fake = (keras.Input(self.discriminator.input_shape[1:]) for _ in range(2))
        of_both = [*self.discriminator(real), *self.discriminator(fake)]
        self.both = keras.Model([real, fake], of_both)
        self.both.compile(RAdam(config.gan_learning_rate, beta_1=config.gan_beta_1), [*logits, *logits], jit_compile=False)
        blank, one, label = np.zeros((2, *real.shape[1:]), np.float32), np.ones((2, 1), np.float32), np.zeros(2, np.int32)
        self.both.train_on_batch([blank, blank], [one, label, 0 * one, label])  # traced while the discriminator may change
        self.discriminator.trainable = False
        given = [keras.Input(part.shape[1:], dtype=part.dtype) for part in self.generator.inputs]
        self.chain = keras.Model(given, self.discriminator(self.generator(given)))
        self.chain.compile(RAdam(config.gan_learning_rate, beta_1=config.gan_beta_1), logits, jit_compile=False)
        self.make = tf.function(lambda noise, asked: self.generator([noise, asked], training=True))

    def step(self, pictures: np.ndarray, classes: np.ndarray) -> None:
        """One step on float pictures in [-1, 1]."""
        noise, asked = self.source.draw(len(pictures))
        fake = np.asarray(self.make(noise, asked))
        one, zero = np.ones((len(pictures), 1), np.float32), np.zeros((len(pictures), 1), np.float32)
        self.both.train_on_batch([pictures, fake], [one, classes, zero, np.asarray(asked)])
        noise, asked = self.source.draw(len(pictures))
        self.chain.train_on_batch([noise, asked], [one, np.asarray(asked)])


def compare_gans(config: Config, steps: int, repeats: int) -> dict:
    """Steps a second of both ways for both GANs, their ratio, and of the plain ACGAN the largest difference of weights."""
    random = np.random.default_rng(0)
    count = steps * config.gan_batch_size
    pictures = random.integers(0, 256, (count, config.height, config.width, 1), np.uint8)
    classes = random.integers(0, CLASSES, count).astype(np.int32)
    scaled = (pictures / 127.5 - 1).astype(np.float32)
    size = config.gan_batch_size
    found = {}
    for gan in ("ACGAN", "MU-ACGAN"):
        keras.utils.set_random_seed(1)
        ours, plain = acgan.build_acgan(gan, config, CLASSES, 1, jit_compile=False), Plain(gan, config, 1)

        def train_ours(model=ours) -> None:
            model.fit(feed_batches((pictures, classes), size), epochs=1, shuffle=False, verbose=0)

        def train_plain(model=plain) -> None:
            for first in range(0, count, size):
                model.step(scaled[first : first + size], classes[first : first + size])

        start = fit.read_state(ours)
        train_ours()  # traced
        train_plain()
        best = time_ways({"ours": train_ours, "plain": train_plain}, repeats)
        found[gan] = describe_rates(best, steps) | {
            "times faster": round(float(best["plain"][0] / best["ours"][0]), 2),
            "times faster (processor)": round(float(best["plain"][1] / best["ours"][1]), 2),
        }
        if gan == "ACGAN":
            found[gan]["weights differ by"] = compare_weights(ours, plain, start, pictures[: 8 * size], classes[: 8 * size])
    return found


def compare_weights(ours: acgan.ACGAN, plain: Plain, start: list, pictures: np.ndarray, classes: np.ndarray) -> float:
    """Largest difference of the weights of both ways after a few steps from the same state; AssertionError beyond TOLERANCE."""
    fit.write_state(ours, start)
    fit.write_state(plain.source, start)
    for optimizer in (plain.both.optimizer, plain.chain.optimizer):
        for variable in optimizer.variables:
            if "learning_rate" not in variable.path:
                variable.assign(np.zeros(variable.shape))
    size = 2
    ours.fit(feed_batches((pictures, classes), size), epochs=1, shuffle=False, verbose=0)
    for first in range(0, len(pictures), size):
        plain.step((pictures[first : first + size] / 127.5 - 1).astype(np.float32), classes[first : first + size])
    pairs = [
        (a, b)
        for one, other in ((ours.generator, plain.generator), (ours.discriminator, plain.discriminator))
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    ]
    largest = max(float(np.abs(a - b).max()) for a, b in pairs)
    assert largest < TOLERANCE, f"weights differ by {largest}"
    return largest


def compare_classifiers(config: Config, pictures: int, epochs: int, folder: Path, repeats: int) -> dict:
    """Seconds of both ways for the same training of the last layer, and the largest difference of its weights."""
    shape = (config.picture_height, config.picture_width)
    network = models.build_classifier(MULTI, shape, config, {})
    cuts.freeze_except(network, [models.HEAD])
    random = np.random.default_rng(0)
    given = random.integers(0, 256, (pictures, *shape, 1), np.uint8)
    labels = random.integers(0, CLASSES, pictures).astype(np.int32)
    heads: dict[str, list[np.ndarray]] = {}

    def train(name: str, model: keras.Model, inputs: np.ndarray) -> None:
        models.draw_head(model, 3)
        models.compile_classifier(model, config, False)
        for epoch in range(epochs):
            order = shuffle_order(pictures, 0, epoch)
            model.fit(feed_batches((inputs[order], labels[order]), config.batch_size), epochs=1, shuffle=False, verbose=0)
        heads[name] = model.get_layer(models.HEAD).get_weights()

    def train_ours() -> None:
        place = tempfile.mkdtemp(dir=folder)  # a new one each time: nothing is found there
        split = cuts.split_network(network)
        upper = frozen.open_upper(network, given, lambda: split, Path(place), batch_size=32, limit_bytes=1e12)
        train("ours", upper.model, np.asarray(upper.inputs))

    best = time_ways({"ours": train_ours, "plain": lambda: train("plain", network, given)}, repeats)
    largest = max(float(np.abs(a - b).max()) for a, b in zip(heads["ours"], heads["plain"], strict=True))
    assert largest < TOLERANCE, f"weights differ by {largest}"
    return describe_rates(best, epochs * pictures) | {
        "times faster": round(float(best["plain"][0] / best["ours"][0]), 2),
        "times faster (processor)": round(float(best["plain"][1] / best["ours"][1]), 2),
        "operation counts allow": epochs,
        "weights differ by": largest,
    }


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    fit.start_backend(1)
    config = replace(DEMO, discriminator_dropout=0.0, shortened=False, picture_height=96, picture_width=96)
    result: dict = {"load": round(os.getloadavg()[0], 1)}  # programs that ran beside this one
    if "gan" in given.parts:
        result["gan"] = compare_gans(config, given.steps, given.repeats)
    if "classifier" in given.parts:
        with tempfile.TemporaryDirectory() as name:
            result["classifier"] = compare_classifiers(config, given.pictures, given.epochs, Path(name), given.repeats)
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
