"""The networks of efforts.py, built to be timed: with random weights, on pictures of noise."""

import functools

import keras
import numpy as np

from common.cli import restore_config
from common.training import cuts, fit
from common.training.timing import Specimen, draw_features, draw_labels, draw_pictures
from replications.ddsm_inceptionv4 import models, samplers
from replications.ddsm_inceptionv4.config import CLASSES, Config
from replications.ddsm_inceptionv4.efforts import LOWER, WHOLE
from replications.ddsm_inceptionv4.inception_v4 import list_layers
from replications.ddsm_inceptionv4.rows import SAMPLERS, SCRATCH, SOFTMAX, VAE

STEPS = 100  # of an epoch: shapes only the fall of the learning rate


def build_specimen(settings: dict, batch: int) -> Specimen:
    """settings: config, network, start, part (see `efforts.describe`)."""
    config, network, start = restore_config(Config, settings["config"]), settings["network"], settings["start"]
    if network in SAMPLERS:
        model = samplers.build_sampler(network, config, 0, fit.use_xla())
        fit.build_optimizers(model)
        pictures = draw_pictures(batch, config.sample_size, config.sample_size, 1)
        return Specimen(model, (pictures,), scores=False, passes=1 if network == VAE else 2)
    template, side = _build_template(network, config), models.choose_side(network, config)
    pictures, labels = draw_pictures(batch, side, side, 1), draw_labels(batch, len(CLASSES))
    layers = [layer.name for layer in template.layers if layer.weights]
    if start != SCRATCH:
        layers = [SOFTMAX] if start == SOFTMAX else list_layers(template, start, config.blocks)
    cuts.freeze_except(template, layers)
    cut = None if settings["part"] == WHOLE else cuts.split_network(template)
    if settings["part"] == LOWER:
        assert cut is not None
        return Specimen(cut.lower, (pictures,), trains=False)
    part = cut.upper if cut else template
    model = models.compile_network(keras.models.clone_model(part), start, STEPS, config)
    inputs = draw_features(model, batch) if cut else pictures
    return Specimen(model, (inputs, labels, np.ones(batch, np.float32)))


@functools.lru_cache(maxsize=1)
def _build_template(network: str, config: Config) -> keras.Model:
    return models.build_network(network, config, None, SCRATCH, 0)
