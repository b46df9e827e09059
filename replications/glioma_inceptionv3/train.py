"""The one training of the report (sec. 4; script): a new last layer on bottlenecks, by plain gradient descent.

`train_cell` is one training of a run: one mode, view and backbone, one run (leakfree: one fold of one repeat).
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import optimizers

from common.cases.folds import Fold, confirm_split
from common.cases.prepared import Dataset, load_dataset
from common.cli import restore_config
from common.errors import UsageError
from common.files import hash_file
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from common.training import fit
from common.training.batches import NumberedBatches
from replications.glioma_inceptionv3 import models, splits
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.models import HEAD, TABLE
from replications.glioma_inceptionv3.rows import AS_RUN, FIXED, LEAKFREE, ONCE

PACKAGE = Path(__file__).parent


# ---------------------------------------------------------------------------------------------- what a training is given


@dataclass(frozen=True)
class Task:
    """One training: the entries of its list, their bottlenecks, its fold."""

    config: Config
    settings: dict
    pool: Dataset  # the entries; their pictures are not needed
    source: np.ndarray  # int64 (entries,): the picture of each entry
    features: np.ndarray  # float32 (pictures, features); no column where the training needs no bottlenecks
    fold: Fold
    classes: int
    folder: Path
    report: cells.Report

    @property
    def labels(self) -> np.ndarray:
        """Grade of every entry, int (entries,)."""
        return self.pool.cases["label"].to_numpy()


def open_task(settings: dict, folder: Path, report: cells.Report) -> Task:
    """The task of a cell. settings: config, data_sha256, view, mode, shuffled, seed, fold, split_sha256, features (file in the
    run folder, or None: not needed) and features_sha256. Raises UsageError if data, split or features are not those that the
    cell was planned for.
    """
    config = restore_config(Config, settings["config"])
    home = folder.parents[1]
    planned = (settings["data_sha256"], settings["split_sha256"])
    opened = _open_split(home / settings["view"], planned, settings["mode"], settings["shuffled"], config, settings["seed"])
    dataset, entries, folds = opened
    pool = Dataset(dataset.images, entries.cases, dataset.info)
    file = settings["features"]
    features = np.empty((len(dataset.cases), 0), np.float32)
    if file is not None:
        features = _open_features(home / file, settings["features_sha256"])
    fold = next(fold for fold in folds if fold.fold == settings["fold"])
    return Task(config, settings, pool, entries.source, features, fold, len(dataset.info["classes"]), folder, report)


@functools.lru_cache(maxsize=4)
def _open_split(
    prepared: Path, planned: tuple[str, str], mode: str, shuffled: bool, config: Config, seed: int
) -> tuple[Dataset, splits.Entries, list[Fold]]:
    dataset = _open_dataset(prepared, planned[0])
    entries, folds = splits.split_dataset(dataset, mode, config, [seed], shuffled=shuffled)
    confirm_split(dataset, Dataset(dataset.images, entries.cases, {}), folds[seed], *planned)
    return dataset, entries, folds[seed]


@functools.lru_cache(maxsize=2)
def _open_dataset(prepared: Path, _sha256: str) -> Dataset:
    return load_dataset(prepared)


@functools.lru_cache(maxsize=1)
def _open_features(path: Path, sha256: str) -> np.ndarray:
    if hash_file(path) != sha256:
        raise UsageError(f"{path}: not the bottlenecks that this training was planned with; run the same command again")
    return np.load(path, allow_pickle=False)


# ------------------------------------------------------------------------------------------------------------- the draws


def draw_balanced(candidates: np.ndarray, labels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """`count` of the candidates, int (count,), with replacement, as the script draws: a random class, then a random image of it.

    candidates: positions, int (n,); labels: of all entries. Of a class without a candidate nothing is drawn.
    """
    of_class = [candidates[labels[candidates] == label] for label in np.unique(labels[candidates])]
    sizes = np.array([len(of) for of in of_class])
    classes = random.integers(len(of_class), size=count)
    places = (random.random(count) * sizes[classes]).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    return np.concatenate(of_class)[starts[classes] + places]


def draw_training(task: Task) -> np.ndarray:
    """The entries of all batches of a training, one batch after the other: int (steps * batch_size,)."""
    config = task.config
    random = np.random.default_rng([config.split_seed, task.settings["seed"], task.fold.fold, 5])
    return draw_balanced(task.fold.train, task.labels, config.steps * config.batch_size, random)


def choose_rates(mode: str, config: Config) -> tuple[float, ...]:
    """Factors of the loss of the heads that learn side by side: the grid of leakfree; one head at the optimiser's own rate."""
    return config.leakfree_rates if mode == LEAKFREE else (1.0,)


def build_optimizer(mode: str, config: Config) -> optimizers.SGD:
    """Plain gradient descent. paper-report, slice-clean: the rate falls by the formula of sec. 4, rate (end / rate)^(step /
    steps); paper-as-run, as-run-once: constant, as the falling rate never reaches the script's optimiser; leakfree: 1, see
    `choose_rates`."""
    if mode == LEAKFREE:
        return optimizers.SGD(1.0)
    if mode in (AS_RUN, ONCE):
        return optimizers.SGD(config.learning_rate)
    fall = config.learning_rate_end / config.learning_rate
    return optimizers.SGD(optimizers.schedules.ExponentialDecay(config.learning_rate, config.steps, fall))


# ---------------------------------------------------------------------------------------------------------- the training


class Checks(keras.callbacks.Callback):
    """Validation accuracy after every `check_steps` steps, on `check_images` drawn validation entries (script)."""

    def __init__(self, task: Task, random: np.random.Generator) -> None:
        super().__init__()
        self.task, self.random = task, random
        self.history: list[dict] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Called once in `check_steps` steps, as Keras runs so many at a time."""
        task, config = self.task, self.task.config
        drawn = draw_balanced(task.fold.validation, task.labels, config.check_images, self.random)
        probabilities = compute_scores(self.model, task.features[task.source[drawn]], task.classes)
        right = (probabilities.argmax(axis=-1) == task.labels[drawn][:, None]).mean(axis=0)
        self.history.append({"stage": "head", "epoch": batch + 1, "val_accuracy": right.tolist()})
        task.report("head", batch + 1, config.steps, {})


def compute_scores(model: keras.Model, features: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities float64 (n, heads, classes) of features float32 (n, features)."""
    kernel, bias = model.get_layer(HEAD).get_weights()
    logits = (features @ kernel + bias).astype(np.float64).reshape(len(features), -1, classes)
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def train_head(task: Task) -> tuple[keras.Model, list[dict]]:
    """`steps` steps of gradient descent on balanced batches; the model, and the history of the checks.

    The seed fixes initial weights, batches and checks. Training entries are passed by the number of their picture.
    """
    config, seed = task.config, [task.settings["seed"], task.fold.fold]
    rates = choose_rates(task.settings["mode"], config)
    pictures, features = task.features.shape

    def build() -> keras.Model:
        model = models.build_head(pictures, features, task.classes, rates)
        optimizer = build_optimizer(task.settings["mode"], config)
        model.compile(optimizer, models.weigh_loss(rates), steps_per_execution=config.check_steps, jit_compile=fit.use_xla())
        return model

    graph = f"head {pictures} {features} {task.classes} {config}"
    model = fit.build_compiled(graph, task.settings["mode"], build, 0, config.batch_size)
    kernel = models.draw_head(features, task.classes, config.initial_std, seed=100 * seed[0] + seed[1])
    model.get_layer(TABLE).set_weights([task.features])
    model.get_layer(HEAD).set_weights([np.tile(kernel, len(rates)), np.zeros(len(rates) * task.classes, np.float32)])
    drawn = draw_training(task)
    checks = Checks(task, np.random.default_rng([config.split_seed, *seed, 6]))
    numbers, labels = (of[drawn].astype(np.int32).reshape(config.steps, -1) for of in (task.source, task.labels))
    model.fit(feed_whole(numbers, labels), shuffle=False, verbose=0, callbacks=[checks])
    return model, checks.history


def feed_whole(numbers: np.ndarray, labels: np.ndarray) -> Iterable:
    """The batches (steps, batch) as Keras takes them: whole ones, of which it gathers none from single rows."""
    if keras.backend.backend() != "tensorflow":
        return NumberedBatches(len(numbers), lambda number: (numbers[number], labels[number]))
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((numbers, labels))


def choose_rate(scores: np.ndarray, labels: np.ndarray) -> int:
    """Number of the head of lowest cross-entropy on the validation cases; scores (n, heads, classes), labels (n,)."""
    likelihood = np.clip(scores[np.arange(len(labels)), :, labels], 1e-7, 1)
    return int((-np.log(likelihood)).mean(axis=0).argmin())


def train_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """One training: predictions.csv.gz, validation.csv.gz, history.csv, and the trained layer, head.npz (kernel, bias).

    settings: those of `open_task`, and protocol, row, rows. Under leakfree the learning rate is chosen on the validation
    subjects; the record says which; the head at the script's rate is scored as a row of its own (rows[FIXED]).
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    model, history = train_head(task)
    scores = compute_scores(model, task.features, task.classes)[task.source]
    validation = task.fold.validation
    chosen = choose_rate(scores[validation], task.labels[validation]) if scores.shape[1] > 1 else 0
    rates = choose_rates(settings["mode"], task.config)
    entries = [{**entry, "val_accuracy": entry["val_accuracy"][chosen]} for entry in history]
    scored = [Scored(settings["row"], scores[:, chosen], entries)]
    if FIXED in settings["rows"]:
        scored.append(Scored(settings["rows"][FIXED], scores[:, rates.index(task.config.learning_rate)]))
    write_products(settings, task.pool, task.fold, scored, folder, validation=True)
    kernel, bias = model.get_layer(HEAD).get_weights()
    own = slice(chosen * task.classes, (chosen + 1) * task.classes)
    np.savez(folder / "head.npz", kernel=kernel[:, own], bias=bias[own])
    rate = task.config.leakfree_rates[chosen] if settings["mode"] == LEAKFREE else None
    counts = {side: len(getattr(task.fold, side)) for side in ("train", "validation", "test")}
    return describe_training(PACKAGE, environment, rate=rate, **counts)
