"""Speed of the feature cache (`common.training.feature_cache`) against plain Keras with frozen layers, equal losses and weights.

`python -m benchmarks.feature_cache [--images 224] [--sweep-images 64] [--epochs 10] [--backbones AlexNet VGG16 ResNet50]
[--quick] [--out FILE.json]`

Frozen stage: the head alone is trained. Sweep: the head and the last k = 4, 3, 2, 1, 0 convolutions, each from the same
initial weights; the deepest cut is computed from the images, every later one from the cut before it.
Plain Keras: `compile` and `fit` with the frozen layers set trainable=False; it gets the same batches from the same
`feed_batches`, so what is gained lies in the cache alone. The cached way is the suite's: splitting, hashing, filling, writing
and opening the cache and the training with its checkpoints are all counted. Both ways were traced before, on one batch (the
column "tracing" has those seconds, which count for neither). Losses must be equal to the last bit in float32, and so must the
weights at the end.
Allowed is what operation counts allow: with s the share of the multiplications above the cut, E epochs cost E (1 + 2 s)
forward passes plainly and, once the part below is computed, 3 E s on the cache. The lowest trained convolution needs no
gradient of its inputs, and frozen ones above the cut none at all: a sweep can exceed what this rule allows. Weights and
images are random. Speed-ups are of the wall clock; those in brackets, of processor seconds, vary less on a busy machine.
"""

import argparse
import json
import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from common.cli import count_cores
from common.training import cuts, feature_cache, fit
from common.training.batches import Indexed, feed_batches, shuffle_order
from replications.thyroid_ensemble import models
from replications.thyroid_ensemble.config import NETWORKS, PAPER, Config

FROZEN_STAGE, SWEEP = (0,), (4, 3, 2, 1, 0)  # numbers of trained convolutions, the deepest cut first
SIDE, BATCH, SEED = 128, PAPER.batch_size, 0
PARTS = ("plain", "split", "fill", "train", "tracing plain", "tracing cached")  # what is timed


def compile_part(model: keras.Model, k: int, config: Config) -> None:
    """With the optimiser of step 1 (k = 0) or step 2 of the paper."""
    tuned = keras.optimizers.SGD(config.tune_learning_rate, momentum=config.tune_momentum)
    optimizer = tuned if k else keras.optimizers.Adam(config.transfer_learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
    fit.build_optimizers(model)


def train_plain(model: keras.Model, images: np.ndarray, labels: np.ndarray, epochs: int) -> list[float]:
    """Losses of the epochs."""
    losses = []
    for epoch in range(epochs):
        order = shuffle_order(len(images), SEED, epoch)
        losses += model.fit(feed_batches((images[order], labels[order]), BATCH), shuffle=False, verbose=0).history["loss"]
    return losses


def train_cached(upper: keras.Model, features: feature_cache.Features, labels: np.ndarray, epochs: int) -> list[float]:
    def arrays_of_epoch(epoch: int) -> tuple:
        order = shuffle_order(len(labels), SEED, epoch)
        return Indexed(features.inputs, order), labels[order]

    with tempfile.TemporaryDirectory() as folder:
        history = fit.fit(
            upper, arrays_of_epoch, stage="cached", epochs=epochs, batch_size=BATCH, folder=Path(folder), report=lambda *_: None
        )
    return [entry["loss"] for entry in history]


def compare_ways(model: keras.Model, depths: tuple[int, ...], count: int, epochs: int, config: Config, folder: Path) -> dict:
    """Seconds (wall clock, processors) of both ways over all depths, and the forward passes that their multiplications make."""
    random = np.random.default_rng(SEED)
    images = random.integers(0, 256, (count, *model.input_shape[1:]), dtype=np.uint8)
    labels = random.integers(0, 2, count)
    seconds = {part: np.zeros(2) for part in PARTS}
    passes = {"plain": 0.0, "cached": 0.0}

    @contextmanager
    def timed(part: str):
        started = read_clocks()
        yield
        seconds[part] += read_clocks() - started

    def fill(network: keras.Model, source, name: str) -> feature_cache.Features:
        return feature_cache.cache_features(network, source, folder / name, batch_size=BATCH, limit_bytes=1e12)

    whole = cuts.count_multiplications(model)
    cut, features, first = None, images, images[:BATCH]  # the last cut; its activations; those of one batch
    for k in depths:
        cuts.freeze_except(model, models.list_trained(model, k, config))
        before = cut
        with timed("split"):
            cut = cuts.split_network(model)
            moved = before is None or before.names != cut.names
            below = cut.lower if before is None else cuts.connect_cuts(model, before, cut.names) if moved else None
        share = cuts.count_multiplications(cut.upper) / whole
        passes["plain"] += epochs * (1 + 2 * share)
        passes["cached"] += 3 * epochs * share + (cuts.count_multiplications(below) / whole if moved else 0)

        for part in (model, cut.upper):
            compile_part(part, k, config)
        initial = [(part, fit.read_state(part)) for part in (model, cut.upper)]
        with timed("tracing plain"):
            train_plain(model, images[:BATCH], labels[:BATCH], 1)
        restore(initial)
        with timed("tracing cached"):
            first = fill(below, first, "first batch") if moved else first
            train_cached(cut.upper, first, labels[:BATCH], 1)
        restore(initial)

        with timed("plain"):
            expected = train_plain(model, images, labels, epochs)
        weights = model.get_weights()
        restore(initial)
        with timed("fill"):
            features = fill(below, features, "all") if moved else features
        with timed("train"):
            losses = train_cached(cut.upper, features, labels, epochs)
        assert losses == expected, f"k = {k}: the losses differ: {losses}, {expected}"
        for a, b in zip(weights, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        restore(initial)
    return {"seconds": seconds, "passes": passes, "multiplications": whole}


def read_clocks() -> np.ndarray:
    """Seconds of the wall clock and of this process's processors; on a busy machine the second is the steadier."""
    return np.array([time.perf_counter(), time.process_time()])


def restore(states: list[tuple[keras.Model, list[np.ndarray]]]) -> None:
    for model, state in states:
        fit.write_state(model, state)


def summarise(compared: dict[str, dict]) -> dict[str, dict]:
    """Ratios for every backbone, and in total: seconds and multiplications summed over the backbones."""
    rows = {}
    for name, members in {**{name: [one] for name, one in compared.items()}, "total": list(compared.values())}.items():
        seconds = {part: sum(one["seconds"][part] for one in members) for part in PARTS}
        work = {way: sum(one["passes"][way] * one["multiplications"] for one in members) for way in ("plain", "cached")}
        ratio = seconds["plain"] / (seconds["split"] + seconds["fill"] + seconds["train"])
        allowed = work["plain"] / work["cached"]
        rows[name] = {
            "ratio": round(ratio[0], 2),
            "ratio_of_processor_seconds": round(ratio[1], 2),
            "allowed": round(allowed, 2),
            "reached": round(ratio[0] / allowed, 3),
            "seconds": {part: round(values[0], 3) for part, values in seconds.items()},
        }
    return rows


def print_rows(title: str, rows: dict[str, dict]) -> None:
    print(f"\n{title}")
    print("           plain s   cached s (split + fill + train)     tracing s   faster (processors)  allowed  reached")
    for name, row in rows.items():
        plain, split, fill, train, *tracing = row["seconds"].values()
        print(
            f"{name:9} {plain:8.1f}  {split + fill + train:8.2f} ({split:5.2f} +{fill:6.2f} +{train:7.2f})  "
            f"{tracing[0]:6.1f},{tracing[1]:5.1f}  {row['ratio']:7.2f} ({row['ratio_of_processor_seconds']:10.2f})  "
            f"{row['allowed']:7.2f}  {row['reached']:7.0%}",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=224, help="of the frozen stage; 0: no frozen stage")
    parser.add_argument("--sweep-images", type=int, default=64, help="0: no sweep")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--backbones", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--threads", type=int, default=count_cores())
    parser.add_argument("--quick", action="store_true", help="narrow networks, small images, k = 1, 0: a trial, no measurement")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    fit.start_backend(given.threads)
    config, side = (replace(PAPER, width=0.125), 64) if given.quick else (PAPER, SIDE)
    stages = {"frozen stage": (FROZEN_STAGE, given.images), "sweep": (SWEEP[-2:] if given.quick else SWEEP, given.sweep_images)}
    result = {"images": given.images, "sweep_images": given.sweep_images, "epochs": given.epochs, "threads": given.threads}
    for stage, (depths, count) in stages.items():
        if not count:
            continue
        compared = {}
        for network in given.backbones:
            keras.utils.set_random_seed(SEED)
            with tempfile.TemporaryDirectory() as folder:
                model = models.build_network(network, side, config)
                compared[network] = compare_ways(model, depths, count, given.epochs, config, Path(folder))
            keras.backend.clear_session()
        result[stage] = summarise(compared)
        print_rows(f"{stage}: {count} images, {given.epochs} epochs, k = {', '.join(map(str, depths))}", result[stage])
    print("\nlosses and weights equal to the last bit")
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
