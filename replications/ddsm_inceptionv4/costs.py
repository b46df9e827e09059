"""What a training costs: operations counted from the layers, and seconds of a step measured, with all layers computed as the
paper's retraining does, and by the feature cache."""

import time
from pathlib import Path

import keras
import numpy as np

from common.cli import restore_config
from common.runs import cells
from common.runs.products import describe_training
from common.training import fit
from common.training.operations import count_operations
from replications.ddsm_inceptionv4 import models
from replications.ddsm_inceptionv4.config import CLASSES, Config
from replications.ddsm_inceptionv4.rows import INCEPTION, SCRATCH, SOFTMAX, find_last_block

PACKAGE = Path(__file__).parent
WARM, MEASURED = 2, 8  # steps before the clock starts, and with it


def share_above(model: keras.Model, start: str) -> float:
    """Share of a network's operations in the layers that are retrained; 1 for training from scratch.

    With the backward pass of a layer at twice its forward pass, an epoch from scratch costs 3 forward passes, one with frozen
    layers 1 + 2 * share, and one by the feature cache 3 * share, after one forward pass in all.
    """
    counts = count_operations(model)
    trained = {layer.name for layer in model.layers if layer.trainable}
    return 1.0 if start == SCRATCH else sum(n for name, n in counts.items() if name in trained) / sum(counts.values())


def measure_costs_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Seconds of a step of InceptionV4 from scratch and with frozen layers, all computed in every step; nothing is written. They
    are measured beside the trainings of the run, as the seconds of their epochs are.

    settings: config. Returns in the record, by start: step_seconds, share (of the operations above the cut), and forward (10^9
    multiplications of a picture).
    """
    environment = fit.start_backend(threads)
    config = restore_config(Config, settings["config"])
    side = models.choose_side(INCEPTION, config)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (config.batch_size, side, side, 1), np.uint8)
    labels = random.integers(0, len(CLASSES), config.batch_size)
    found = {}
    starts = (SCRATCH, SOFTMAX, find_last_block(config))
    for number, start in enumerate(starts):
        model = models.build_network(INCEPTION, config, None, start, 0)
        share, total = share_above(model, start), sum(count_operations(model).values())
        models.compile_network(model, start, 1, config)
        fit.build_optimizers(model)
        for _ in range(WARM):
            model.train_on_batch(pictures, labels)
        times = []
        for _ in range(MEASURED):
            started = time.monotonic()
            model.train_on_batch(pictures, labels)
            times.append(time.monotonic() - started)
        found[start or "scratch"] = {"step_seconds": float(np.median(times)), "share": share, "forward": total / 1e9}
        report("cost", number + 1, len(starts), {})
    return describe_training(PACKAGE, environment, costs=found, batch=config.batch_size, side=side)
