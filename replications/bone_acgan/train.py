"""The classifiers of Tables 4 to 8: a network on one of the five data sets (sec. 5.1.3), with or without transfer.

`train_cell` is one training: one network, data set, protocol, fold and seed. The GANs stand in gan_training.py.
"""

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from common.cases.table import LeakError
from common.errors import UsageError
from common.files import hash_file
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from common.training import cuts, fit, frozen
from common.training.random_networks import seed_layers
from replications.bone_acgan import data, models
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.rows import SCANS, SETS
from replications.bone_acgan.tasks import (
    CACHE_BYTES,
    MADE,
    Task,
    count_missing,
    load_variants,
    open_task,
    plan_classifier_epochs,
    read_generated,
)
from replications.bone_acgan.variants import enlarge_pictures

PACKAGE = Path(__file__).parent
CACHE = "cache"  # folder of the run that holds pooled features


@functools.lru_cache(maxsize=8)  # all networks of the tables
def _build_template(
    network: str, shape: tuple[int, int], config: Config, weights: tuple[tuple[str, Path], ...], seed: int
) -> keras.Model:
    """The network with its initial weights; it is never trained itself."""
    with seed_layers(seed):
        model = models.build_classifier(network, shape, config, dict(weights), seed)
    if config.trained == "head":
        cuts.freeze_except(model, [models.HEAD])
    return model


@dataclass(frozen=True)
class Pool:
    """Pictures or pooled features of a set: what a network takes, variants of a picture one after the other."""

    inputs: np.ndarray  # (n * variants, ...)
    variants: int

    def take(self, places: np.ndarray, *, enlarged: bool) -> np.ndarray:
        """Inputs of the pictures at these places: the originals, or all variants of each."""
        rows = places[:, None] * self.variants + np.arange(self.variants if enlarged else 1)
        return np.asarray(self.inputs[rows.ravel()])


def open_pool(template: keras.Model, pictures: np.ndarray, config: Config, cache: Path) -> tuple[keras.Model, Pool]:
    """What is trained, and what it takes of pictures uint8 (n, variants, height, width): pooled features where all but the last
    layer is frozen, else the pictures."""
    flat = pictures.reshape(-1, *pictures.shape[2:], 1)
    if config.trained != "head":
        return template, Pool(flat, pictures.shape[1])
    upper = frozen.open_upper(template, flat, lambda: cuts.split_network(template), cache, batch_size=32, limit_bytes=CACHE_BYTES)
    assert isinstance(upper.inputs, np.ndarray)
    return upper.model, Pool(upper.inputs, pictures.shape[1])


@dataclass(frozen=True)
class Material:
    """One data set of the ablation, ready for `fit`."""

    model: keras.Model  # what is trained; initial weights
    inputs: np.ndarray  # training inputs
    labels: np.ndarray
    pool: Pool  # of the real pictures
    generated: int  # pictures of a GAN among them, variants not counted


def gather_material(task: Task) -> Material:
    """Training inputs of a task (sec. 5.1.3): the real training pictures, balanced by a GAN's or not, enlarged or not.

    Raises LeakError if the GAN has seen a picture or patient that is tested, under leakfree.
    """
    config, settings, train = task.config, task.settings, task.fold.train
    gan, enlarged = SETS[settings["number"]]
    shape = (config.picture_height, config.picture_width)
    reduced = replace(config, seeds=())
    template = _build_template(settings["network"], shape, reduced, _find_weights(task), choose_seed(task))
    cache = task.home / CACHE
    plain = replace(reduced, enlargement=1)  # whole networks take pictures: variants that nobody asks for would fill the memory
    real = load_variants(task.home / SCANS, settings["data_sha256"], reduced if enlarged or config.trained == "head" else plain)
    model, pool = open_pool(template, real, config, cache)
    inputs, labels = [pool.take(train, enlarged=enlarged)], [task.labels[train]]
    count = 0
    if gan:
        made = read_generated(task.home / settings["generated"], settings["generated_sha256"])
        check_sources(task)
        chosen = made.choose(count_missing(task.labels[train]))
        pictures = data.enlarge_generated(made.pictures[chosen], config)
        white = np.full(len(pictures), np.median(task.dataset.cases["white"].iloc[train]))  # else the noise would tell the class
        few = config if enlarged else replace(config, enlargement=1)
        _, of_gan = open_pool(template, enlarge_pictures(pictures, white, few, MADE), config, cache)
        inputs.append(of_gan.take(np.arange(len(chosen)), enlarged=enlarged))
        labels.append(made.labels[chosen])
        count = len(chosen)
    repeated = [np.repeat(of, config.enlargement if enlarged else 1) for of in labels]
    return Material(model, np.concatenate(inputs), np.concatenate(repeated), pool, count)


def choose_seed(task: Task) -> int:
    """Of the weights that no file gives: every training has its own; frozen ones, computed once for all, that of the split."""
    return task.config.split_seed if task.config.trained == "head" else task.seed


def _find_weights(task: Task) -> tuple[tuple[str, Path], ...]:
    """Branch -> file of its initial weights, checked."""
    found = []
    for branch, (file, sha256) in sorted(task.settings["weights"].items()):
        path = task.home / file
        if _hash_once(path) != sha256:
            raise UsageError(f"{path}: not the file that this training was planned with; run the same command again")
        found.append((branch, path))
    return tuple(found)


@functools.lru_cache(maxsize=16)
def _hash_once(path: Path) -> str:
    return hash_file(path)


def check_sources(task: Task) -> None:
    """The GAN of a leak-free training has learned from training cases of its own fold alone, and from no tested patient."""
    if task.settings["protocol"] != "leakfree":
        return
    path = (task.home / task.settings["generated"]).with_name("sources.json")
    seen = set(json.loads(path.read_text()))
    cases = task.dataset.cases
    allowed = set(cases["case_id"].iloc[task.fold.train])
    patients = set(cases["patient_id"][cases["case_id"].isin(seen)])
    tested = set(cases["patient_id"].iloc[task.fold.test])
    if not seen <= allowed or patients & tested:
        raise LeakError(f"{path}: the GAN has seen {len(seen - allowed)} pictures outside of the training part of its fold")


def train_classifier(task: Task, material: Material) -> tuple[keras.Model, list[dict]]:
    """RAdam, cross-entropy, batches of 4 (sec. 4.2). paper: the last epoch, as there is no validation set; leakfree: the epoch of
    the lowest cross-entropy on the validation patients."""
    config, fold = task.config, task.fold
    part = material.model

    def build() -> keras.Model:
        return models.compile_classifier(keras.models.clone_model(part), config, fit.use_xla())

    graph = f"{task.settings['network']} {part.input_shape} {replace(config, seeds=())} {sorted(task.settings['weights'])}"
    model = fit.open_compiled(graph, part.name, build, task.seed, config.batch_size)
    model.set_weights(part.get_weights())
    models.draw_head(model, task.seed)
    count = len(material.labels)
    epochs, size = plan_classifier_epochs(count, config)

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        first = epoch * size
        rounds = range(first // count, (first + size - 1) // count + 1)
        orders = np.concatenate([np.random.default_rng([task.seed, number, 19]).permutation(count) for number in rounds])
        order = orders[first - rounds[0] * count :][:size]
        return material.inputs[order], material.labels[order]

    validation = None
    if len(fold.validation):
        validation = material.pool.take(fold.validation, enlarged=False), task.labels[fold.validation]
    history = fit.fit(
        model,
        arrays_of_epoch,
        stage="classifier",
        epochs=epochs,
        batch_size=config.batch_size,
        folder=task.folder,
        report=task.report,
        validation=validation,
        patience=config.patience if validation else None,
    )
    return model, history


def train_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """One classifier: predictions.csv.gz, validation.csv.gz, history.csv, and its trained weights, trained.npz.

    settings: those of `tasks.open_task`, and network, number (of the data set), row, weights {branch: (file, sha256)}, generated
    (file of the GAN's pictures in the run folder, or None) and generated_sha256.
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    material = gather_material(task)
    model, history = train_classifier(task, material)
    scores = np.full((len(task.dataset.cases), len(CLASSES)), np.nan, np.float32)
    for rows in (task.fold.test, task.fold.validation):
        if len(rows):
            scores[rows] = fit.predict_values(model, material.pool.take(rows, enlarged=False), 64)
    write_products(settings, task.dataset, task.fold, [Scored(settings["row"], scores, history)], folder, validation=True)
    arrays = {f"{layer.name}/{i}": w for layer in model.layers if layer.trainable for i, w in enumerate(layer.get_weights())}
    np.savez(folder / "trained.npz", **arrays)
    counts = {"train": len(task.fold.train), "generated": material.generated, "inputs": len(material.labels)}
    return describe_training(PACKAGE, environment, test=len(task.fold.test), **counts)


def open_network(task: Task) -> keras.Model:
    """The whole network of a finished `train_cell`: the layers that it trained, the others as they started.

    The settings are those of the training with its key as `trained`.
    """
    shape = (task.config.picture_height, task.config.picture_width)
    about = (replace(task.config, seeds=()), _find_weights(task), choose_seed(task))
    template = _build_template(task.settings["network"], shape, *about)
    with seed_layers(choose_seed(task)):
        model = keras.models.clone_model(template)
    with np.load(task.folder.parent / task.settings["trained"] / "trained.npz", allow_pickle=False) as stored:
        for layer in model.layers:
            if layer.weights:
                kept = [f"{layer.name}/{number}" for number in range(len(layer.weights))]
                initial = template.get_layer(layer.name).get_weights()
                layer.set_weights([stored[name] for name in kept] if kept[0] in stored else initial)
    return model


def keep_network_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """The whole network of a finished training as model.keras, for new pictures, and Grad-CAM of some cases, cams.npy.

    settings: those of the training, its key as trained, and cases (positions), classes (of each).
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    network = open_network(task)
    pictures = np.asarray(task.dataset.images)[np.asarray(settings["cases"], int)]
    if len(pictures):
        maps = models.map_evidence(network, pictures, settings["network"], np.asarray(settings["classes"]))
        np.save(folder / "cams.npy", maps, allow_pickle=False)
    if settings["keep"]:
        network.save(folder / "model.keras")
    return describe_training(PACKAGE, environment)
