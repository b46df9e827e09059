"""The trainings of the rows: InceptionV4 from scratch, retrained from the softmax or from a block, and the rows of ours.

`train_cell` is one training: one network, start of the retraining, label level, protocol, fold and seed. Frozen layers are
computed once (common.training.frozen).
"""

import functools
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import layers

from common.cli import restore_config
from common.data.source_task import SOURCE_CLASSES, draw_source_task
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from common.training import cuts, fit
from common.training.batches import Arrays, Indexed, shuffle_order
from common.training.frozen import open_upper
from common.training.random_networks import seed_layers, take_statistics
from replications.ddsm_inceptionv4 import models
from replications.ddsm_inceptionv4.config import CLASSES, Config
from replications.ddsm_inceptionv4.gaps import measure_error
from replications.ddsm_inceptionv4.rows import SCRATCH, SOFTMAX
from replications.ddsm_inceptionv4.tasks import CACHE_BYTES, Task, open_task
from replications.ddsm_inceptionv4.variants import open_variants, resize_pictures, vary_epoch

PACKAGE = Path(__file__).parent
FILL_BATCH = 32
STATISTICS = 128  # pictures of the source task that batch normalisation takes its means and variances from
MOST_SEEN = 2000  # training pictures that the gap to the validation pictures is measured on


@dataclass(frozen=True)
class Material:
    """What is trained, and its inputs: all variants of a picture one after the other, or pictures where every epoch has new
    ones."""

    model: keras.Model  # the part above the frozen layers, or the whole network; initial weights
    inputs: np.ndarray | tuple[np.ndarray, ...]  # (n * variants, ...)
    variants: int  # of a picture among the inputs
    fresh: np.ndarray | None  # pictures uint8 (n, side, side) to draw from, where nothing is kept
    fill_seconds: float  # for what the frozen layers give
    note: str

    def take(self, places: np.ndarray, numbers: np.ndarray | int = 0) -> Arrays:
        """Inputs of the pictures at `places`, of each the variant of that number."""
        rows = places * self.variants + numbers
        if isinstance(self.inputs, tuple):
            return tuple(Indexed(array, rows) for array in self.inputs)
        return Indexed(self.inputs, rows)


@functools.lru_cache(maxsize=4)
def _build_template(network: str, config: Config, weights: Path | None, start: str, seed: int) -> keras.Model:
    """The network with its initial weights; it is never trained itself."""
    with seed_layers(seed):
        return models.build_network(network, config, weights, start, seed)


def reduce_config(config: Config) -> Config:
    """The settings without those that shape no network and no picture: trainings that differ in these share graphs."""
    return replace(config, seeds=(), label_levels=())


def open_material(task: Task, network: str, start: str) -> Material:
    """The variants of all pictures, and what the frozen layers give for them.

    Random weights: for scratch those of the training's seed, for frozen layers those of the split's, computed once for all.
    """
    config = reduce_config(task.config)
    seed = task.seed if start == SCRATCH else config.split_seed
    template = _build_template(network, config, task.weights, start, seed)
    side = models.choose_side(network, config)
    variants = open_variants(task.pictures, task.settings["data_sha256"], side, config, task.cache)
    flat = variants.reshape(-1, side, side, 1)
    started = time.monotonic()
    if start == SCRATCH or not config.variants:
        fresh = resize_pictures(task.pictures, side) if not config.variants else None
        note = "computed in every epoch: nothing is frozen" if start == SCRATCH else "computed in every epoch: new variants"
        return Material(template, flat, variants.shape[1], fresh, 0.0, note)
    upper = open_upper(
        template, flat, lambda: cuts.split_network(template), task.cache, batch_size=FILL_BATCH, limit_bytes=CACHE_BYTES
    )
    return Material(upper.model, upper.inputs, variants.shape[1], None, time.monotonic() - started, upper.note)


def weigh_classes(labels: np.ndarray, *, balanced: bool) -> np.ndarray:
    """Weight of each case, float32 (n,), mean 1: balanced gives both classes the same sum.

    >>> weigh_classes(np.array([0, 0, 0, 1]), balanced=True).round(3).tolist()
    [0.6669999957084656, 0.6669999957084656, 0.6669999957084656, 2.0]
    """
    counts = np.maximum(np.bincount(labels, minlength=len(CLASSES)), 1)
    weights = len(labels) / (len(CLASSES) * counts) if balanced else np.ones(len(CLASSES))
    return weights[labels].astype(np.float32)


def train_network(task: Task, network: str, start: str, material: Material) -> tuple[keras.Model, list[dict], list[float]]:
    """(model at the epoch of the highest validation AUC, history, seconds of each epoch done here)."""
    config, fold, part = task.config, task.fold, material.model
    steps = -(-len(fold.train) // config.batch_size)

    def build() -> keras.Model:
        return models.compile_network(keras.models.clone_model(part), start, steps, config)

    graph = f"{network} {start} {part.input_shape} {steps} {reduce_config(config)}"
    model = fit.open_compiled(graph, part.name, build, task.seed, config.batch_size)
    model.set_weights(part.get_weights())
    models.draw_softmax(model, task.seed)
    weights = weigh_classes(task.labels[fold.train], balanced=config.class_weights)

    def arrays_of_epoch(epoch: int) -> tuple[Arrays, ...]:
        order = shuffle_order(len(fold.train), task.seed, epoch)
        places = fold.train[order]
        if material.fresh is not None:
            inputs: Arrays = vary_epoch(material.fresh, places, task.seed, epoch, config)[..., None]
        else:
            inputs = material.take(places, (places + epoch) % material.variants)
        return inputs, task.labels[places], weights[order]

    seconds: list[float] = []
    last = time.monotonic()

    def report(stage: str, done: int, epochs: int, logs: dict) -> None:
        nonlocal last
        seconds.append(time.monotonic() - last)
        last = time.monotonic()
        task.report(stage, done, epochs, logs)

    history = fit.fit(
        model,
        arrays_of_epoch,
        stage="network",
        epochs=config.epochs,
        batch_size=config.batch_size,
        folder=task.folder,
        report=report,
        validation=(material.take(fold.validation), task.labels[fold.validation]),
        patience=config.patience,
        watch="val_auc",
    )
    return model, history, seconds


def train_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """One training: predictions.csv.gz, history.csv, and the trained layers, trained.npz, where settings["keep"] says so.

    settings: those of `tasks.open_task`, and network, start, row, seed, weights ([file in the run folder, sha256] or None), keep.
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    material = open_material(task, settings["network"], settings["start"])
    model, history, seconds = train_network(task, settings["network"], settings["start"], material)
    scores = np.full((len(task.dataset.cases), len(CLASSES)), np.nan, np.float32)
    scores[task.fold.test] = fit.predict_values(model, material.take(task.fold.test), 64)
    scored = Scored(settings["row"], scores, history, material.note)
    write_products(settings, task.dataset, task.fold, [scored], folder)
    if settings["keep"]:
        arrays = {f"{layer.name}/{i}": w for layer in model.layers if layer.trainable for i, w in enumerate(layer.get_weights())}
        np.savez(folder / "trained.npz", **arrays)
    best = fit.find_best(history, "val_auc")
    return describe_training(
        PACKAGE,
        environment,
        **measure_gap(model, material, task),
        train=len(task.fold.train),
        epochs=len(history),
        best_epoch=best + 1,
        validation_auc=history[best]["val_auc"],
        epoch_seconds=float(np.median(seconds)) if seconds else None,
        fill_seconds=round(material.fill_seconds, 3),
        note=material.note,
    )


def measure_gap(model: keras.Model, material: Material, task: Task) -> dict[str, float]:
    """Accuracy and cross-entropy of the trained network on its training pictures (the originals) and on the validation pictures,
    and the standard error of the difference of the accuracies, patients kept together."""
    train = task.fold.train
    seen = train if len(train) <= MOST_SEEN else np.sort(np.random.default_rng(task.seed).choice(train, MOST_SEEN, replace=False))
    patients = task.dataset.cases["patient_id"].to_numpy(str)
    found: dict[str, float] = {}
    errors = []
    for name, places in (("train", seen), ("validation", task.fold.validation)):
        scores, labels = fit.predict_values(model, material.take(places), 64), task.labels[places]
        right = scores.argmax(axis=1) == labels
        likelihood = np.clip(scores[np.arange(len(labels)), labels].astype(float), 1e-7, 1)
        found |= {f"{name}_accuracy": float(right.mean()), f"{name}_loss": float(-np.log(likelihood).mean())}
        errors.append(measure_error(right, patients[places]))
    return found | {"gap_error": math.hypot(*errors)}


def train_source_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Initial weights for trial runs without ImageNet: a network trained on the synthetic source task; backbone.weights.h5.

    settings: config, network.
    """
    environment = fit.start_backend(threads)
    config, network = restore_config(Config, settings["config"]), settings["network"]
    side = models.choose_side(network, config)
    images, labels = draw_source_task(config.source_task_images, side, config.split_seed)
    kept: list[keras.Model] = []

    def build() -> keras.Model:
        backbone = models.build_backbone(network, config, config.split_seed, len(SOURCE_CLASSES))
        kept.append(backbone)
        grey = keras.Input((side, side, 1))
        colours = layers.Concatenate()([layers.Rescaling(1 / 127.5, offset=-1.0)(grey)] * 3)
        model = keras.Model(grey, backbone(colours))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
        return model

    model = fit.build_compiled(f"source {network} {reduce_config(config)}", "source", build, config.split_seed, config.batch_size)

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        order = shuffle_order(len(images), 0, epoch)
        return images[order], labels[order]

    epochs, size = config.source_task_epochs, config.batch_size
    fit.fit(model, arrays_of_epoch, stage="source", epochs=epochs, batch_size=size, folder=folder, report=report)
    take_statistics(kept[0], lambda: model(images[:STATISTICS], training=True))
    kept[0].save_weights(folder / "backbone.weights.h5")
    return describe_training(PACKAGE, environment)


def keep_network_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """The whole network of a finished training as model.keras, for new pictures.

    settings: those of the training, and its key as `trained`.
    """
    environment = fit.start_backend(threads)
    open_trained(open_task(settings, folder, report)).save(folder / "model.keras")
    return describe_training(PACKAGE, environment)


def open_trained(task: Task) -> keras.Model:
    """The whole network of a finished `train_cell`: the layers that it trained, the others as they started."""
    settings = task.settings
    seed = task.seed if settings["start"] == SCRATCH else task.config.split_seed
    template = _build_template(settings["network"], reduce_config(task.config), task.weights, settings["start"], seed)
    with seed_layers(seed):
        model = keras.models.clone_model(template)
    with np.load(task.folder.parent / settings["trained"] / "trained.npz", allow_pickle=False) as stored:
        for layer in model.layers:
            if layer.weights:
                names = [f"{layer.name}/{number}" for number in range(len(layer.weights))]
                initial = template.get_layer(layer.name).get_weights()
                layer.set_weights([stored[name] for name in names] if names[0] in stored else initial)
    return model


def describe_features(pictures: np.ndarray, network: str, weights: Path | None, config: Config) -> np.ndarray:
    """Pooled features of a frozen network for pictures uint8 (n, side, side): float32 (n, f)."""
    template = _build_template(network, reduce_config(config), weights, SOFTMAX, config.split_seed)
    side = models.choose_side(network, config)
    lower = keras.Model(template.input, template.get_layer("pool").output)
    return fit.predict_values(lower, resize_pictures(pictures, side)[..., None], FILL_BATCH)
