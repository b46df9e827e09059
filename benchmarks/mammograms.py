"""Speed on mammograms: preparing films, retraining through the feature cache, and training against what the processor allows.

`python -m benchmarks.mammograms [--parts prepare cache bound] [--films 96] [--height 4600] [--images 96] [--epochs 10] [--side
149] [--batch 8]`

prepare: films of 12 megapixels, written as lossless JPEG, read and cut out by one process and by two; equal pictures. cache: the
softmax and the last block of InceptionV4 retrained on cached activations against plain Keras with frozen layers, the same
batches; equal weights, tracing not counted; limits 8 and 3 times. bound: operations a second of a training step of the whole
network, against those of a matrix product of the same process (three passes counted: forward, and backward twice). Random
pictures and weights.
"""

import argparse
import os
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from imagecodecs import jpeg8_encode

from common.cli import count_cores
from common.training import cuts, fit
from common.training.batches import feed_batches, shuffle_order
from common.training.frozen import open_upper
from replications.ddsm_inceptionv4 import costs, models
from replications.ddsm_inceptionv4.config import PAPER, Config
from replications.ddsm_inceptionv4.preparing import Team, prepare_films
from replications.ddsm_inceptionv4.rows import INCEPTION, SCRATCH, SOFTMAX, find_last_block
from replications.ddsm_inceptionv4.sources.breasts import draw_breast, draw_woman
from replications.ddsm_inceptionv4.sources.ics import Film
from replications.ddsm_inceptionv4.sources.mammograms import Mammogram
from replications.ddsm_inceptionv4.sources.phantoms import digitise

LIMITS = {SOFTMAX: 8.0, "last block": 3.0, "bound": 0.85}  # times faster; share of what a matrix product reaches
TOLERANCE = 1e-6  # of weights


def write_films(folder: Path, count: int, height: int) -> list[Mammogram]:
    """Films of phantoms, enlarged, as lossless JPEG; a few different ones, again and again."""
    import cv2

    width = round(height * 0.6)
    streams = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        brightness, _ = draw_breast(draw_woman(random, 1.0), None, "CC", (600, 360), random)
        levels = digitise(cv2.resize(brightness, (width, height)), 1, "LEFT_CC", random)
        streams.append(bytes(jpeg8_encode(levels, lossless=True, predictor=1, bitspersample=12)))
    films = []
    for number in range(count):
        name = f"B_{number:04d}_1.LEFT_CC.LJPEG"
        (folder / name).write_bytes(streams[number % 3])
        films.append(Mammogram(name, name, name, number % 2, film=Film(height, width, 12, 50.0, False), kind="film"))
    return films


def measure_preparing(count: int, height: int) -> dict[str, float]:
    """Images a second by one process and by two; the most memory (GiB) of this process, Keras included, and of a worker."""
    rates, pictures = {}, []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "films"
        folder.mkdir()
        films = write_films(folder, count, height)
        for workers in (1, 2):
            started = time.perf_counter()
            found = prepare_films(folder, films, PAPER, Path(place) / str(workers), Team(workers))
            rates[f"{workers} process" + "es" * (workers > 1)] = count / (time.perf_counter() - started)
            pictures.append(np.array(found.pictures))
    for name, who in (("GiB here", resource.RUSAGE_SELF), ("GiB of a worker", resource.RUSAGE_CHILDREN)):
        rates[name] = resource.getrusage(who).ru_maxrss / 2**20
    assert np.array_equal(*pictures)
    return rates


def measure_cache(start: str, images: int, epochs: int, config: Config) -> dict[str, float]:
    """Seconds of both ways, filling included, and how many times faster the cache is; the weights must be equal."""
    side = models.choose_side(INCEPTION, config)
    random = np.random.default_rng(0)
    pictures, labels = random.integers(0, 256, (images, side, side, 1), np.uint8), random.integers(0, 2, images)

    def train(model: keras.Model, inputs: np.ndarray, count: int) -> None:
        for epoch in range(count):
            order = shuffle_order(len(inputs), 0, epoch)
            model.fit(feed_batches((inputs[order], labels[order]), config.batch_size), shuffle=False, verbose=0)

    seconds, weights = {}, {}
    for way in ("plain", "cached"):
        model = models.build_network(INCEPTION, config, None, start, 0)
        models.draw_softmax(model, 0)
        with tempfile.TemporaryDirectory() as place:
            trained, inputs, spent = model, pictures, 0.0
            if way == "cached":
                started = time.perf_counter()
                about = {"batch_size": config.batch_size, "limit_bytes": 1e10}
                upper = open_upper(model, pictures, lambda model=model: cuts.split_network(model), Path(place), **about)
                trained, inputs, spent = upper.model, np.asarray(upper.inputs), time.perf_counter() - started
            models.compile_network(trained, start, 1, config)
            fit.build_optimizers(trained)
            state = fit.read_state(trained)
            train(trained, inputs[: config.batch_size], 1)  # traced
            fit.write_state(trained, state)
            started = time.perf_counter()
            train(trained, inputs, epochs)
            seconds[way] = spent + time.perf_counter() - started
        weights[way] = [weight for layer in trained.layers if layer.trainable for weight in layer.get_weights()]
    apart = max(float(np.abs(a - b).max()) for a, b in zip(weights["plain"], weights["cached"], strict=True))
    assert apart < TOLERANCE, f"the weights differ by {apart}"
    share = costs.share_above(model, start)
    allowed = epochs * (1 + 2 * share) / (1 + 3 * epochs * share)
    return {**seconds, "times": seconds["plain"] / seconds["cached"], "allowed": allowed, "weights differ by": apart}


def measure_bound(config: Config, batch: int) -> dict[str, float]:
    """Operations a second of a step from scratch, of a matrix product, and their ratio."""
    side = models.choose_side(INCEPTION, config)
    model = models.build_network(INCEPTION, config, None, SCRATCH, 0)
    models.compile_network(model, SCRATCH, 1, config)
    random = np.random.default_rng(0)
    pictures, labels = random.integers(0, 256, (batch, side, side, 1), np.uint8), random.integers(0, 2, batch)
    forward = 2 * sum(costs.count_operations(model).values())  # a multiplication and an addition

    def clock(work, repeats: int) -> float:
        work()
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)

    step = clock(lambda: model.train_on_batch(pictures, labels), 4)
    run = clock(lambda: model.predict_on_batch(pictures), 4)
    a = keras.ops.convert_to_tensor(random.normal(size=(2048, 2048)).astype(np.float32))
    product = clock(lambda: np.asarray(keras.ops.matmul(a, a)), 6)
    peak = 2 * 2048**3 / product
    return {
        "training images/s": batch / step, "forward images/s": batch / run, "matmul 10^9/s": peak / 1e9,
        "training share": 3 * forward * batch / step / peak, "forward share": forward * batch / run / peak,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("prepare", "cache", "bound"), default=["prepare", "cache", "bound"])
    parser.add_argument("--films", type=int, default=96, help="48 are one part of the work")
    parser.add_argument("--height", type=int, default=4600, help="of a film, pixels; 12 megapixels by default")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--side", type=int, default=149, help="of the pictures")
    parser.add_argument("--batch", type=int, default=8, help="of bound")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the numbers of filters: for trials")
    given = parser.parse_args(argv)
    fit.start_backend(count_cores())
    config = replace(PAPER, size=given.side, width=given.width, dropout=0.0)
    found: dict[str, dict[str, float]] = {}
    if "prepare" in given.parts:
        found["prepare"] = measure_preparing(given.films, given.height)
    if "cache" in given.parts:
        for name, start in ((SOFTMAX, SOFTMAX), ("last block", find_last_block(config))):
            found[name] = measure_cache(start, given.images, given.epochs, config)
    if "bound" in given.parts:
        found["bound"] = measure_bound(config, given.batch)
    for part, values in found.items():
        print(part, "; ".join(f"{name} {value:.4g}" for name, value in values.items()))
        if part in LIMITS:
            measured = values["training share" if part == "bound" else "times"]
            print(f"    limit {LIMITS[part]:g}: {'kept' if measured >= LIMITS[part] else 'missed'}")
    return found


if __name__ == "__main__":
    main()
