"""The networks of efforts.py, built to be timed: with random weights, on pictures of noise."""

import functools

import keras

from common.cli import restore_config
from common.training import cuts, fit
from common.training.timing import Specimen, draw_features, draw_labels, draw_pictures
from replications.thyroid_ensemble import models
from replications.thyroid_ensemble.config import CLASSES, Config
from replications.thyroid_ensemble.efforts import LOWER, MIDDLE, WHOLE

GREY = 128.0  # stands for the mean of training images


def build_specimen(settings: dict, batch: int) -> Specimen:
    """settings: config, network, side, plan, part, deepest (see `efforts.describe`)."""
    config = restore_config(Config, settings["config"])
    part, side = settings["part"], settings["side"]
    template = _build_template(settings["network"], side, config)
    pictures, labels = draw_pictures(batch, side, side, 1), draw_labels(batch, len(CLASSES))
    if part == WHOLE:
        cuts.freeze_except(template, models.list_trained(template, "all", config))
        return Specimen(_compile(template, config), (pictures, labels))
    cut = _cut(template, settings["plan"], config)
    if part == LOWER:
        return Specimen(cut.lower, (pictures,), trains=False)
    if part == MIDDLE:
        deeper = _cut(template, settings["deepest"], config)
        middle = cuts.connect_cuts(template, deeper, cut.names) if deeper.names != cut.names else cut.upper
        return Specimen(middle, (draw_features(middle, batch),), trains=False)
    model = _compile(cut.upper, config)
    return Specimen(model, (draw_features(model, batch), labels))


@functools.lru_cache(maxsize=1)
def _build_template(network: str, side: int, config: Config) -> keras.Model:
    return models.build_network(network, side, config, None, GREY if config.mean == "dataset" else None)


def _cut(template: keras.Model, plan: str, config: Config) -> cuts.Cut:
    cuts.freeze_except(template, models.list_trained(template, int(plan) if plan.isdecimal() else plan, config))
    return cuts.split_network(template)


def _compile(part: keras.Model, config: Config) -> keras.Model:
    model = keras.models.clone_model(part)
    optimizer = keras.optimizers.SGD(config.tune_learning_rate, momentum=config.tune_momentum)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
    return model
