"""The GANs in two stages (sec. 3.4, 4.2): chest radiographs first, then the bone scans of a training part.

Stage 2 takes over every weight but those that stand for the classes. Without stage 1 it is the paper's "direct" training (Fig. 8,
9).
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from common.cases.prepared import load_dataset
from common.cli import restore_config
from common.csv_text import write_table
from common.errors import UsageError
from common.files import hash_file, replace_file
from common.runs import cells
from common.runs.products import describe_training
from common.training import fit
from replications.bone_acgan import acgan, data, gan_networks, quality
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.rows import CHESTS, GENERATED, NETWORKS_FILE, SNAPSHOTS, SOURCE
from replications.bone_acgan.tasks import count_missing, open_task, plan_gan_epochs

PACKAGE = Path(__file__).parent
BATCH = 32  # pictures generated at a time


def draw_batches(labels: np.ndarray, count: int, random: np.random.Generator, *, balanced: bool) -> np.ndarray:
    """Positions of `count` pictures: int64 (count,); balanced: a random class, then a random picture of it; else every picture
    once, in a random order, again and again."""
    if not balanced:
        rounds = -(-count // len(labels))
        return np.concatenate([random.permutation(len(labels)) for _ in range(rounds)])[:count]
    known = np.unique(labels)
    of_class = [np.flatnonzero(labels == label) for label in known]
    chosen = random.integers(len(known), size=count)
    return np.array([of_class[place][random.integers(len(of_class[place]))] for place in chosen])


def build(gan: str, config: Config, classes: int, seed: int, known: Sequence[int] | None = None) -> acgan.ACGAN:
    """Compiled GAN in its initial state for the seed, traced once in a process; known: classes with pictures."""
    graph = f"{gan} {classes} {known} {replace(config, seeds=())}"
    return fit.build_compiled(
        graph,
        "gan",
        lambda: acgan.build_acgan(gan, config, classes, seed, jit_compile=fit.use_xla(), known=known),
        seed,
        config.gan_batch_size,
    )


def train_gan(
    model: acgan.ACGAN,
    pictures: np.ndarray,
    labels: np.ndarray,
    plan: tuple[int, int],
    config: Config,
    seed: int,
    folder: Path,
    report: cells.Report,
    marks: Sequence[int] = (),
) -> list[dict]:
    """Train on pictures uint8 (n, height, width); history. At the epochs `marks` pictures of the same noise are kept in
    snapshots.npy (marks, known classes * 2, height, width) uint8."""
    epochs, steps = plan

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([seed, epoch, 13])
        order = draw_batches(labels, steps * config.gan_batch_size, random, balanced=config.gan_balanced)
        return pictures[order][..., None], labels[order].astype(np.int32)

    history: list[dict] = []
    start = fit.read_state(model)
    for mark in sorted({*marks, epochs}):
        history = fit.fit(
            model,
            arrays_of_epoch,
            stage="gan",
            epochs=mark,
            batch_size=config.gan_batch_size,
            folder=folder,
            report=lambda stage, done, _of, logs: report(stage, done, epochs, logs),
        )
        kept = folder / f"checkpoint-shown-{mark}.npz"
        if mark in marks and _read_shown(kept) is None:
            if len(history) > mark:  # lost or damaged, and the generator of that epoch has gone on: all over again
                for path in folder.glob("checkpoint-*"):
                    path.unlink()
                fit.write_state(model, start)
                return train_gan(model, pictures, labels, plan, config, seed, folder, report, marks)
            made = generate(model.generator, np.repeat(model.known, 2), config, seed=config.split_seed)
            with replace_file(kept) as temporary, open(temporary, "wb") as file:
                np.savez(file, pictures=made)
    if marks:
        shown = [_read_shown(folder / f"checkpoint-shown-{mark}.npz") for mark in marks]
        np.save(folder / SNAPSHOTS, np.stack([one for one in shown if one is not None]), allow_pickle=False)
    return history


def _read_shown(path: Path) -> np.ndarray | None:
    """Pictures of a mark that an earlier start has kept; None: there are none, or they are damaged (the file has checksums)."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return kept["pictures"]
    except Exception:  # whatever zipfile, zlib and NumPy make of damaged bytes
        return None


def generate(generator: keras.Model, labels: np.ndarray, config: Config, seed: int) -> np.ndarray:
    """Pictures of these classes: uint8 (n, height, width); a pure function of generator and seed."""
    noise = np.random.default_rng([seed, 17]).standard_normal((len(labels), config.noise)).astype(np.float32)
    made = generator.predict([noise, labels.astype(np.int32)], batch_size=BATCH, verbose=0)
    return np.clip(np.rint((np.asarray(made)[..., 0] + 1) * 127.5), 0, 255).astype(np.uint8)


def train_source_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Stage 1: chest radiographs. settings: config, gan, row, seed, chests_sha256. Leaves gan.npz, history.csv, snapshots.npy."""
    environment = fit.start_backend(threads)
    config = restore_config(Config, settings["config"])
    dataset = load_dataset(folder.parents[1] / CHESTS)
    if dataset.sha256 != settings["chests_sha256"]:
        raise UsageError(f"{CHESTS}: not the pictures that this training was planned for; run the same command again")
    pictures, labels = np.asarray(dataset.images)[..., 0], dataset.cases["label"].to_numpy()
    known = np.unique(labels).tolist()
    model = build(settings["gan"], config, len(data.chests.CHESTS), settings["seed"], known)
    plan = plan_gan_epochs(len(pictures), config.source_epochs, config.source_steps, config)
    history = train_gan(model, pictures, labels, plan, config, settings["seed"], folder, report, marks=(plan[0],))
    write_weights(folder / NETWORKS_FILE, model)
    write_history(folder, settings | {"protocol": SOURCE, "fold": -1}, history)
    return describe_training(PACKAGE, environment, train=len(pictures), classes=[data.chests.CHESTS[label] for label in known])


def train_gan_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Stage 2, or direct training: the training pictures of a fold.

    settings: those of `open_task`, and gan, row, source (file of stage 1 in the run folder, or None) and source_sha256. Leaves
    generated.npz, sources.json (ids of the cases that it learned from), gan.npz, history.csv and snapshots.npy. The record says
    which classes collapsed.
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    config, train = task.config, task.fold.train
    pictures = data.shrink_pictures(np.asarray(task.dataset.images[train])[..., 0], config)
    labels = task.labels[train]
    start = None
    if settings["source"]:
        path = task.home / settings["source"]
        if hash_file(path) != settings["source_sha256"]:
            raise UsageError(f"{path}: not the first stage that this training was planned with; run the same command again")
        start = read_weights(path)
    known = np.unique(labels).tolist()
    model = build(settings["gan"], config, len(CLASSES), task.seed, known)
    if start is not None:
        for network in (model.generator, model.discriminator):
            copy_weights(network, start, gan_networks.OF_CLASSES)
    plan = plan_gan_epochs(len(pictures), config.gan_epochs, config.gan_steps, config)
    marks = sorted({max(1, round(mark * plan[0] / max(config.shown_epochs))) for mark in config.shown_epochs})
    history = train_gan(model, pictures, labels, plan, config, task.seed, folder, report, marks)
    missing = count_missing(labels)
    classes = np.repeat(known, [max(config.evaluated_pictures, missing[label]) for label in known])
    made = generate(model.generator, classes, config, seed=100 + task.seed)
    np.savez_compressed(folder / GENERATED, pictures=made, labels=classes)
    (folder / "sources.json").write_text(json.dumps(sorted(task.dataset.cases["case_id"].iloc[train])))
    write_weights(folder / NETWORKS_FILE, model)
    write_history(folder, settings, history)
    diversity = compare_diversity(made, classes, pictures, labels)
    of_made, of_real = zip(*diversity.values(), strict=True)
    collapsed = [list(diversity)[place] for place in quality.find_collapse(of_made, of_real, config.least_diversity)]
    return describe_training(
        PACKAGE,
        environment,
        train=len(train),
        diversity=diversity,
        collapsed_classes=collapsed,
        marks=marks,
    )


def compare_diversity(
    made: np.ndarray, classes: np.ndarray, pictures: np.ndarray, labels: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Class -> the mean distance of two generated and of two real pictures, by pixels 0..1."""
    return {
        CLASSES[label]: (
            quality.measure_diversity(made[classes == label].reshape((classes == label).sum(), -1) / 255),
            quality.measure_diversity(pictures[labels == label].reshape((labels == label).sum(), -1) / 255),
        )
        for label in np.unique(labels)
    }


def write_weights(path: Path, model: acgan.ACGAN) -> None:
    """All weights of generator and discriminator by network and layer."""
    arrays = {
        f"{network.name}/{layer.name}/{number}": weight
        for network in (model.generator, model.discriminator)
        for layer in network.layers
        for number, weight in enumerate(layer.get_weights())
    }
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def copy_weights(network: keras.Model, stored: dict[str, np.ndarray], skip: Sequence[str] = ()) -> None:
    """Give every layer but those in `skip` its stored weights."""
    for layer in network.layers:
        if layer.weights and layer.name not in skip:
            layer.set_weights([stored[f"{network.name}/{layer.name}/{number}"] for number in range(len(layer.weights))])


def write_history(folder: Path, settings: dict, history: Sequence[dict]) -> None:
    """history.csv of a GAN, in the columns of `products.write_products`."""
    import pandas as pd

    identity = {name: settings[name] for name in ("protocol", "seed", "fold", "row")}
    write_table(pd.DataFrame([{**identity, **entry} for entry in history]), folder / "history.csv")
