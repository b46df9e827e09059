"""Speed of `common.training.batches.feed_batches` against plain `fit(images, labels)` on arrays, with equal losses and weights.

`python -m benchmarks.input_pipeline [--images 2000] [--epochs 3] [--deterministic] [--out FILE.json]`

Both ways train the same small network on the same batches in the same order, by turns in one process; the first turn of
each traces its graph and is not counted. Plain Keras tunes the pipeline of `fit` on arrays while it runs, which on few cores
may cost more than a small network's training; deterministic operations (--deterministic) switch that off as well.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from common.cli import count_cores
from common.training.batches import feed_batches
from common.training.fit import start_backend


def build_network() -> keras.Model:
    """Four small convolutions with stride 2 on 50x50 pixels: as cheap a step as the suite's smallest networks have."""
    inputs = keras.Input((50, 50, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64, 128, 256):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--threads", type=int, default=count_cores())
    parser.add_argument("--deterministic", action="store_true", help="as the suite trains: deterministic operations")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.deterministic:
        start_backend(given.threads)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (given.images, 50, 50, 1), dtype=np.uint8)
    labels = random.integers(0, 2, given.images)

    def fit_arrays(model):
        return model.fit(images, labels, batch_size=given.batch, shuffle=False, verbose=0)

    def fit_feed(model):
        return model.fit(feed_batches((images, labels), given.batch), shuffle=False, verbose=0)

    ways = {"fit on arrays": fit_arrays, "feed_batches": fit_feed}
    networks = {name: build_network() for name in ways}
    start = networks["fit on arrays"].get_weights()
    networks["feed_batches"].set_weights(start)
    seconds = {name: [] for name in ways}
    losses = {name: [] for name in ways}
    for _ in range(given.epochs + 1):
        for name, fit in ways.items():
            started = time.perf_counter()
            losses[name].append(fit(networks[name]).history["loss"][0])
            seconds[name].append(time.perf_counter() - started)
    assert losses["fit on arrays"] == losses["feed_batches"], "the two ways must see the same batches"
    for a, b in zip(*(network.get_weights() for network in networks.values()), strict=True):
        np.testing.assert_array_equal(a, b)
    median = {name: float(np.median(times[1:])) for name, times in seconds.items()}
    result = {
        "images": given.images,
        "batch": given.batch,
        "threads": given.threads if given.deterministic else "as TensorFlow chooses",
        "deterministic": given.deterministic,
        "images_per_second": {name: round(given.images / s) for name, s in median.items()},
        "ratio": round(median["fit on arrays"] / median["feed_batches"], 2),
        "equal": "losses and weights to the last bit",
    }
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
