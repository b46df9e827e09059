"""The networks of efforts.py, built to be timed: as the trainings compile them, on pictures of noise."""

import functools

import keras
import numpy as np

from common.cli import restore_config
from common.training import fit
from common.training.timing import Specimen, draw_labels, draw_pictures
from replications.lung_hip_compare import dbn, models, sgan
from replications.lung_hip_compare.config import Config
from replications.lung_hip_compare.train import compile_classifier

BUILDERS = {"CNN": models.build_cnn, "ResNet-50": models.build_resnet50, "DBN": dbn.build_dbn}


def build_specimen(settings: dict, batch: int) -> Specimen:
    """settings: config, network, side (see `efforts.describe_network`)."""
    config, network, side = restore_config(Config, settings["config"]), settings["network"], settings["side"]
    pictures, labels = draw_pictures(batch, side, side, 1), draw_labels(batch, 2)
    if network == "SGAN":
        model = sgan.build_sgan(side, config, seed=0)
        fit.build_optimizers(model)
        return Specimen(model, (pictures, labels, pictures), passes=4)
    if network.startswith("RBM"):
        layer = int(network.split()[1])
        sizes = (side * side, *config.dbn_hidden)
        rbm = dbn.RBM(sizes[layer - 1], sizes[layer], seed=0, weight_decay=config.rbm_weight_decay)
        rbm.compile(keras.optimizers.SGD(config.rbm_learning_rates[min(layer, 2) - 1], momentum=config.rbm_momentum[0]),
                    jit_compile=fit.use_xla())  # fmt: skip
        values = np.random.default_rng(0).random((batch, sizes[layer - 1]), np.float32)
        return Specimen(rbm, (values,))
    build = functools.partial(BUILDERS[network], side, config)
    return Specimen(compile_classifier(build(), config), (pictures, labels))
