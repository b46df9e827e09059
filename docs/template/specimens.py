"""The networks of efforts.py, built to be timed: as the trainings compile them, on pictures of noise."""

import keras

from common.cli import restore_config
from common.training import fit
from common.training.timing import Specimen, draw_labels, draw_pictures
from replications.new_paper import models
from replications.new_paper.config import CLASSES, Config


def build_specimen(settings: dict, batch: int) -> Specimen:
    """settings: config, filters."""
    config = restore_config(Config, settings["config"])
    model = models.build_cnn(config.side, config, tuple(settings["filters"]))
    optimizer = keras.optimizers.Adam(config.learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
    return Specimen(model, (draw_pictures(batch, config.side, config.side, 1), draw_labels(batch, len(CLASSES))))
