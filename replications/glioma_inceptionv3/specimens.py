"""The networks of efforts.py, built to be timed: with random weights, on pictures of noise."""

from dataclasses import replace

import numpy as np

from common.cli import restore_config
from common.training import fit
from common.training.timing import Specimen, draw_labels, draw_pictures
from replications.glioma_inceptionv3 import models
from replications.glioma_inceptionv3.config import CLASSES, Config
from replications.glioma_inceptionv3.train import build_optimizer

AT_ONCE = 20  # steps that Keras runs at a time, where a training has more of them in one piece


def build_specimen(settings: dict, batch: int) -> Specimen:
    """settings: config, backbone; of a last layer also features, mode, pictures, rates (see `efforts.describe_head`)."""
    config = restore_config(Config, settings["config"])
    if settings["backbone"]:
        network = models.build_backbone(
            settings["backbone"], replace(config, statistics_pictures=1)
        )  # their values do not matter
        return Specimen(network, (draw_pictures(batch, config.side, config.side, 1),), trains=False)
    rates = tuple(settings["rates"])
    model = models.build_head(settings["pictures"], settings["features"], len(CLASSES), rates)
    at_once = min(AT_ONCE, config.check_steps)
    optimizer = build_optimizer(settings["mode"], config)
    model.compile(optimizer, models.weigh_loss(rates), steps_per_execution=at_once, jit_compile=fit.use_xla())
    numbers = np.random.default_rng(0).integers(0, settings["pictures"], batch).astype(np.int32)
    return Specimen(model, (numbers, draw_labels(batch, len(CLASSES)).astype(np.int32)), scores=False)
