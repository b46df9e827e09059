"""The networks of efforts.py, built to be timed: with random weights, on pictures of noise."""

import functools

import keras

from common.cli import restore_config
from common.training import cuts, fit
from common.training.timing import Specimen, draw_features, draw_labels, draw_pictures
from replications.bone_acgan import acgan, models
from replications.bone_acgan.config import CLASSES, GANS, Config
from replications.bone_acgan.efforts import LOWER, WHOLE


def build_specimen(settings: dict, batch: int) -> Specimen:
    """settings: config, network, part (see `efforts.describe_classifier`, `efforts.describe_gan`)."""
    config, network, part = restore_config(Config, settings["config"]), settings["network"], settings["part"]
    labels = draw_labels(batch, len(CLASSES))
    if network in GANS:
        model = acgan.build_acgan(network, config, len(CLASSES), 0, jit_compile=fit.use_xla())
        fit.build_optimizers(model)
        pictures = draw_pictures(batch, config.height, config.width, 1)
        return Specimen(model, (pictures, labels.astype("int32")), scores=False, passes=2)
    template = _build_template(network, config)
    pictures = draw_pictures(batch, config.picture_height, config.picture_width, 1)
    if part == WHOLE:
        whole = models.compile_classifier(keras.models.clone_model(template), config, fit.use_xla())
        return Specimen(whole, (pictures, labels))
    cuts.freeze_except(template, [models.HEAD])
    cut = cuts.split_network(template)
    if part == LOWER:
        return Specimen(cut.lower, (pictures,), trains=False)
    upper = models.compile_classifier(keras.models.clone_model(cut.upper), config, fit.use_xla())
    return Specimen(upper, (draw_features(upper, batch), labels))


@functools.lru_cache(maxsize=1)
def _build_template(network: str, config: Config) -> keras.Model:
    shape = (config.picture_height, config.picture_width)
    return models.build_classifier(network, shape, config, {}, settled=False)
