"""Training of the samplers (sec. 4.1) on the training pictures of a fold, without their labels; and what they draw."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from common.training import fit
from common.training.batches import shuffle_order
from replications.ddsm_inceptionv4 import samplers
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.rows import DCGAN, SAMPLES
from replications.ddsm_inceptionv4.tasks import open_task
from replications.ddsm_inceptionv4.variants import resize_pictures

PACKAGE = Path(__file__).parent
BATCH = 64  # pictures drawn at a time


def build(name: str, config: Config, seed: int) -> samplers.Sampler:
    """Compiled sampler in its initial state for the seed, traced once in a process."""
    graph = f"{name} {replace(config, seeds=(), label_levels=())}"
    return fit.build_compiled(
        graph, "sampler", lambda: samplers.build_sampler(name, config, seed, fit.use_xla()), seed, config.sample_batch
    )


def draw_samples(model: samplers.Sampler, count: int, seed: int) -> np.ndarray:
    """Pictures uint8 (count, side, side), a pure function of model and seed."""
    decoder = model.decoder
    noise = np.random.default_rng([seed, 53]).standard_normal((count, decoder.input_shape[-1])).astype(np.float32)
    return to_pictures(decoder.predict(noise, batch_size=BATCH, verbose=0))


def reconstruct(model: samplers.Sampler, pictures: np.ndarray) -> np.ndarray:
    """What encoder and decoder make of pictures uint8 (n, side, side), by the mean of the latent variables: uint8, same shape."""
    mean, _ = model.encoder.predict(pictures[..., None].astype(np.float32) / 255, batch_size=BATCH, verbose=0)
    return to_pictures(model.decoder.predict(mean, batch_size=BATCH, verbose=0))


def to_pictures(values: np.ndarray) -> np.ndarray:
    """0..1 (n, side, side, 1) -> uint8 (n, side, side)."""
    return np.clip(np.rint(255 * np.asarray(values)[..., 0]), 0, 255).astype(np.uint8)


def train_sampler_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """One sampler: samples.npz (drawn, and with an encoder reconstructed test pictures), history.csv.

    settings: those of `tasks.open_task`, and row, the sampler's name.
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    config, name = task.config, settings["row"]
    pictures = resize_pictures(task.pictures, config.sample_size)
    train = task.fold.train
    model = build(name, config, task.seed)

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray]:
        order = train[shuffle_order(len(train), task.seed, epoch)]
        whole = len(order) - len(order) % config.sample_batch or len(order)  # batch normalisation dislikes a batch of one
        return (pictures[order[:whole]][..., None],)

    history = fit.fit(
        model,
        arrays_of_epoch,
        stage="sampler",
        epochs=config.sample_epochs,
        batch_size=config.sample_batch,
        folder=folder,
        report=report,
    )
    drawn = draw_samples(model, config.samples, task.seed)
    decoded = reconstruct(model, pictures[task.fold.test]) if name != DCGAN else np.empty((0, *drawn.shape[1:]), np.uint8)
    np.savez_compressed(folder / SAMPLES, drawn=drawn, decoded=decoded)
    write_products(settings, task.dataset, task.fold, [Scored(name, np.empty((0, 2)), history)], folder)
    return describe_training(PACKAGE, environment, train=len(train))
