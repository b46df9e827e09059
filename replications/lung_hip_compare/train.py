"""One training of the paper: Adam, learning rate 1e-4, batches of 20, 100 epochs (sec. 2.2), for each of the four networks.

`paper`: all epochs, the last one scored, no validation. `leakfree`: early stopping on validation patients; hip pictures are
enlarged after the split, in the training part only.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from common.cases.folds import Fold, confirm_split
from common.cases.prepared import Dataset, load_dataset
from common.cli import restore_config
from common.errors import UsageError
from common.files import hash_file
from common.runs import cells
from common.runs.networks import read_network
from common.runs.products import Scored, describe_training, write_products
from common.training import fit
from common.training.batches import shuffle_order
from common.training.stored import open_network
from replications.lung_hip_compare import data, dbn, held_out, models, sgan
from replications.lung_hip_compare.config import Config
from replications.lung_hip_compare.sources import hips


def train_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Train one network on one split with one seed; write predictions.csv, history.csv and model.keras into `folder`.

    settings: config, data (folder of the prepared data set, relative to the run), data_sha256, split_sha256, dataset, network,
    row, protocol, seed, fold, label_share (None: all training labels). Returns what the record keeps: environment, numbers of
    cases. Raises UsageError if data or split are not those that it was planned for.
    """
    environment = fit.start_backend(threads)
    config, seed = restore_config(Config, settings["config"]), settings["seed"]
    planned = (settings["data_sha256"], settings["split_sha256"])
    dataset, folds = _load_folds(folder.parents[1] / settings["data"], planned, settings["dataset"], settings["protocol"], config)
    fold = next(f for f in folds if f.fold == settings["fold"])
    labels = dataset.cases["label"].to_numpy()
    images, targets = np.asarray(dataset.images[fold.train]), labels[fold.train]
    if settings["protocol"] == "leakfree" and data.is_hip(settings["dataset"]):
        images, targets = _enlarge_training_part(images, targets, labels, settings["dataset"], config, seed)
    validation = None
    if settings["protocol"] == "leakfree":
        validation = np.asarray(dataset.images[fold.validation]), labels[fold.validation]
    labelled = choose_labelled(targets, settings["label_share"], seed)

    part = _Part(config, images, targets, labelled, validation, seed, folder, report)
    model, history = TRAINERS[settings["network"]](part)
    scores = np.full((len(dataset.cases), 2), np.nan, np.float32)
    scores[fold.test] = fit.predict(model, np.asarray(dataset.images[fold.test]))
    write_products(settings, dataset, fold, [Scored(settings["row"], scores, history)], folder)
    keras.Model(model.inputs, model.outputs, name=model.name).save(folder / "model.keras")  # without the optimiser
    counts = {"train": len(images), "labelled": len(labelled), "test": len(fold.test)}
    return describe_training(Path(__file__).parent, environment, **counts)


def score_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Test a finished network on the held-out list (held_out.py); write predictions.csv.gz into `folder`.

    settings: data (folder of the prepared lists, relative to the run), data_sha256, split_sha256, training (key of the training
    that left the network), network_sha256, row, protocol, seed, fold, config. Raises UsageError if network, data or split are not
    those that it was planned for.
    """
    environment = fit.start_backend(threads)
    run, config, protocol = folder.parents[1], restore_config(Config, settings["config"]), settings["protocol"]
    path, trained = read_network(run / "cells" / settings["training"])
    if hash_file(path) != settings["network_sha256"]:
        raise UsageError(f"{path}: not the network that was to be tested; run the same command again")
    planned = (trained["data_sha256"], trained["split_sha256"])
    known, (own, *_) = _load_folds(run / trained["data"], planned, trained["dataset"], protocol, config)
    dataset = load_dataset(run / settings["data"])
    fold = held_out.split(dataset, known.cases, own, protocol, config)
    confirm_split(dataset, dataset, [fold], settings["data_sha256"], settings["split_sha256"])
    scores = np.full((len(dataset.cases), 2), np.nan, np.float32)
    scores[fold.test] = fit.predict(open_network(path), np.asarray(dataset.images[fold.test]))
    write_products(settings, dataset, fold, [Scored(settings["row"], scores)], folder)
    report("held-out list", 1, 1, {})
    return describe_training(Path(__file__).parent, environment, test=len(fold.test))


@functools.lru_cache(maxsize=1)
def _load_folds(folder: Path, planned: tuple[str, str], name: str, protocol: str, config: Config) -> tuple[Dataset, list[Fold]]:
    """The cases that are split, and their folds. planned: sha256 of the data set and of the split."""
    dataset = pool = load_dataset(folder)
    if protocol == "paper" and data.is_hip(name):
        pool = data.enlarge_dataset(dataset, name, config)  # before the split, as the paper
    folds = data.split_dataset(pool, name, protocol, config)
    confirm_split(dataset, pool, folds, *planned)
    return pool, folds


def _enlarge_training_part(
    images: np.ndarray, targets: np.ndarray, labels: np.ndarray, name: str, config: Config, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The paper's factor of enlargement, applied to the training part alone."""
    wanted = hips.choose_enlarged_counts(name, config)

    def count(label: int) -> int:
        there = (targets == label).sum()
        return max(int(there), round(wanted[label] * there / (labels == label).sum()))

    enlarged, source = hips.enlarge(images, targets, (count(0), count(1)), config, seed)
    return enlarged, targets[source]


def choose_labelled(labels: np.ndarray, share: float | None, seed: int) -> np.ndarray:
    """Sorted indices of the training cases whose label is used: all, or `share` of each class (at least one of each)."""
    if share is None:
        return np.arange(len(labels))
    generator = np.random.default_rng([seed, 7919])
    chosen = [
        generator.permutation(np.flatnonzero(labels == c))[: max(1, math.ceil(share * (labels == c).sum()))]
        for c in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class _Part:
    """What every trainer gets: one training part, its seed, and where it reports to."""

    config: Config
    images: np.ndarray  # uint8 (n, side, side, channels)
    targets: np.ndarray  # int (n,)
    labelled: np.ndarray  # int: indices of the cases whose target may be used
    validation: tuple[np.ndarray, np.ndarray] | None
    seed: int
    folder: Path
    report: cells.Report

    @property
    def side(self) -> int:
        return self.images.shape[1]

    @property
    def channels(self) -> int:
        return self.images.shape[3]

    def build(self, network: str, name: str, build: Callable[[], keras.Model]) -> keras.Model:
        """Compiled model `name` of a network in its initial state for this seed."""
        graph = f"{network} {self.side} {self.channels} {self.config}"
        return fit.build_compiled(graph, name, build, self.seed, self.config.batch_size)

    def fit_classifier(
        self, model: keras.Model, stage: str, arrays_of_epoch: Callable, epochs: int, batch_size: int
    ) -> list[dict]:
        """All epochs under `paper`; early stopping on the validation patients under `leakfree`."""
        return fit.fit(
            model,
            arrays_of_epoch,
            stage=stage,
            epochs=epochs,
            batch_size=batch_size,
            folder=self.folder,
            report=self.report,
            validation=self.validation,
            patience=self.config.patience if self.validation is not None else None,
        )

    def fit_labelled(self, model: keras.Model, stage: str, epochs: int) -> list[dict]:
        """Train on the labelled cases, in a new order every epoch."""

        def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
            order = self.labelled[shuffle_order(len(self.labelled), self.seed, epoch)]
            return self.images[order], self.targets[order]

        return self.fit_classifier(model, stage, arrays_of_epoch, epochs, self.config.batch_size)


def compile_classifier(model: keras.Model, config: Config) -> keras.Model:
    """Adam and cross-entropy on softmax outputs (sec. 2.2)."""
    optimizer = keras.optimizers.Adam(config.learning_rate, beta_1=config.beta_1)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
    return model


def train_cnn(part: _Part) -> tuple[keras.Model, list[dict]]:
    """Sec. 2.2."""
    build = functools.partial(models.build_cnn, part.side, part.config, part.channels)
    model = part.build("CNN", "classifier", lambda: compile_classifier(build(), part.config))
    return model, part.fit_labelled(model, "CNN", part.config.cnn_epochs)


def train_resnet50(part: _Part) -> tuple[keras.Model, list[dict]]:
    """Sec. 2.2, Fig. 4."""
    build = functools.partial(models.build_resnet50, part.side, part.config, part.channels)
    model = part.build("ResNet-50", "classifier", lambda: compile_classifier(build(), part.config))
    weights = part.config.resnet_weights
    if weights != "random":
        # A weight file of the user's folder is linked into the run folder, two levels above the training's own.
        models.load_imagenet(model, None if weights == "imagenet" else part.folder.parents[1] / weights)
    return model, part.fit_labelled(model, "ResNet-50", part.config.resnet_epochs)


def train_dbn(part: _Part) -> tuple[keras.Model, list[dict]]:
    """Sec. 1.3 and 2.2: one RBM a layer on all training images, each on the probabilities of the one below; then fine-tuning."""
    history, machines = [], []
    values = part.images.reshape(len(part.images), -1).astype(np.float32) / 255
    for layer, units in enumerate(part.config.dbn_hidden, start=1):
        rbm, entries = _train_rbm(part, values, layer, units)
        history += entries
        machines.append(rbm)
        values = fit.predict_values(rbm, values)
    build = functools.partial(dbn.build_dbn, part.side, part.config, part.channels)
    model = part.build("DBN", "classifier", lambda: compile_classifier(build(), part.config))
    for layer, rbm in enumerate(machines, start=1):
        dbn.copy_rbm(rbm, model.get_layer(f"hidden{layer}"))
    return model, history + part.fit_labelled(model, "DBN", part.config.dbn_epochs)


def _train_rbm(part: _Part, values: np.ndarray, layer: int, units: int) -> tuple[dbn.RBM, list[dict]]:
    """CD-1 with the smaller momentum for the first epochs, then the larger; the second phase takes over the whole state."""
    config = part.config
    history: list[dict] = []
    rbm: dbn.RBM | None = None
    rate = config.rbm_learning_rates[0 if layer == 1 else 1]
    phases = ((0, min(config.rbm_momentum_switch, config.rbm_epochs)), (config.rbm_momentum_switch, config.rbm_epochs))
    for (start, end), momentum in zip(phases, config.rbm_momentum, strict=True):
        if start >= end:
            continue

        def build(momentum: float = momentum) -> dbn.RBM:
            machine = dbn.RBM(values.shape[1], units, 100 * part.seed + layer, config.rbm_weight_decay)
            machine.compile(keras.optimizers.SGD(rate, momentum=momentum), jit_compile=fit.use_xla())
            return machine

        def arrays_of_epoch(epoch: int, start: int = start) -> tuple[np.ndarray]:
            return (values[shuffle_order(len(values), 100 * part.seed + layer, start + epoch)],)

        before = rbm
        rbm = part.build("DBN", f"rbm{layer} from epoch {start}", build)
        if before is not None:
            fit.write_state(rbm, fit.read_state(before))
        history += fit.fit(
            rbm,
            arrays_of_epoch,
            stage=f"rbm{layer}-from-epoch-{start}",
            epochs=end - start,
            batch_size=config.batch_size,
            folder=part.folder,
            report=part.report,
        )
    if rbm is None:
        raise ValueError(f"rbm_epochs = {config.rbm_epochs}: a machine needs at least one epoch")
    return rbm, history


def train_sgan(part: _Part) -> tuple[keras.Model, list[dict]]:
    """Sec. 1.4 and 2.2: each step sees half a batch of labelled and half a batch of unlabelled training images."""
    config, half = part.config, part.config.batch_size // 2
    count = max(1, len(part.images) // config.batch_size) * half

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rounds = math.ceil(count / len(part.labelled))
        orders = [shuffle_order(len(part.labelled), part.seed, epoch * rounds + i) for i in range(rounds)]
        labelled = part.labelled[np.concatenate(orders)[:count]]
        real = shuffle_order(len(part.images), part.seed + 1, epoch)[:count]
        return part.images[labelled], part.targets[labelled], part.images[real]

    model = part.build("SGAN", "gan", lambda: sgan.build_sgan(part.side, config, seed=part.seed))
    history = part.fit_classifier(model, "SGAN", arrays_of_epoch, config.sgan_epochs, half)
    return sgan.export_classifier(model), history


TRAINERS = {"CNN": train_cnn, "ResNet-50": train_resnet50, "DBN": train_dbn, "SGAN": train_sgan}
