"""The networks of the rows: InceptionV4, its small variant, MobileNetV2; grey pictures in, probabilities out.

Which layers are retrained is the paper's transfer learning (sec. 4.1, Table 2); InceptionV4 itself stands in inception_v4.py.
"""

import re
from pathlib import Path

import keras
import numpy as np
from keras import layers

from common.errors import UsageError
from common.training import cuts, fit, pretrained
from common.training.optimizers import scale_layers
from common.training.random_networks import seed_layers, settle_statistics
from common.training.torch_files import read_torch_file
from replications.ddsm_inceptionv4.config import CLASSES, Config
from replications.ddsm_inceptionv4.inception_v4 import LEAST_SIDE, SOFTMAX, build_inception_v4, list_layers, load_timm_weights
from replications.ddsm_inceptionv4.rows import INCEPTION, MOBILE, SCRATCH, SMALL

ALPHA = 0.35  # of MobileNetV2


def choose_side(network: str, config: Config) -> int:
    """Pixels of a network's pictures. UsageError where InceptionV4 cannot take them."""
    side = {INCEPTION: config.size, SMALL: config.small_size, MOBILE: config.mobile_size}[network]
    if network != MOBILE and side < LEAST_SIDE:
        raise UsageError(f"size {side}: {network} takes pictures of at least {LEAST_SIDE} pixels; set size or small_size")
    return side


def build_backbone(network: str, config: Config, seed: int, classes: int = len(CLASSES)) -> keras.Model:
    """RGB in [-1, 1] -> probabilities, random weights of the seed."""
    with seed_layers(seed):
        return _assemble_backbone(network, config, seed, classes)


def _assemble_backbone(network: str, config: Config, seed: int, classes: int) -> keras.Model:
    side = choose_side(network, config)
    if network == MOBILE:
        backbone = keras.applications.MobileNetV2(alpha=ALPHA, include_top=False, weights=None, input_shape=(side, side, 3))
        pooled = layers.GlobalAveragePooling2D(name="pool")(backbone.output)
        kept = layers.Dropout(config.dropout, seed=seed, name="dropout")(pooled)
        outputs = layers.Dense(classes, "softmax", name=SOFTMAX)(kept)
        return keras.Model(backbone.input, outputs, name="mobilenet_v2")
    small = network == SMALL
    return build_inception_v4(
        classes,
        config.small_blocks if small else config.blocks,
        side,
        width=config.small_width if small else config.width,
        dropout=config.dropout,
        momentum=config.small_momentum if small else config.norm_momentum,
        weight_decay=config.weight_decay,
        seed=seed,
    )


def build_network(network: str, config: Config, weights: Path | None, start: str, seed: int) -> keras.Model:
    """Grey pictures 0..255 (side, side, 1) -> probabilities of no lesion and lesion; layers before `start` frozen.

    weights: file of the initial weights (timm's, Keras', or of `train.train_source_cell`); None: random, and where layers are
    frozen with the statistics of one batch of noise. A new softmax layer is drawn for the seed. UsageError for a wrong file.
    """
    backbone = build_backbone(network, config, seed)
    if weights is not None:
        load_weights(backbone, network, weights, config)
    elif start != SCRATCH:
        settle_statistics(backbone, 16, backbone.input_shape[1:3], seed)
    side = backbone.input_shape[1]
    grey = keras.Input((side, side, 1), name="picture")
    colours = layers.Concatenate(name="colours")([grey] * 3)
    outputs = backbone(layers.Rescaling(1 / 127.5, offset=-1.0, name="standardised")(colours))
    flat = cuts.inline_models(keras.Model(grey, outputs, name=re.sub(r"\W+", "_", network)))
    model = keras.models.clone_model(flat)  # in which every layer is called once
    model.set_weights(flat.get_weights())
    if start == SOFTMAX:
        cuts.freeze_except(model, [SOFTMAX])
    elif start != SCRATCH:
        cuts.freeze_except(model, list_layers(model, start, config.blocks))
    return model


def find_map(model: keras.Model) -> str | None:
    """Name of the last block's output that has more than one pixel, for Grad-CAM; None: the last feature map of any network."""
    known = [
        layer for layer in model.layers if layer.name.endswith("_join") and layer.name.startswith(("inception_", "reduction_"))
    ]
    placed = [layer.name for layer in known if layer.output.shape[1] > 1]
    return placed[-1] if placed else None


def load_weights(backbone: keras.Model, network: str, path: Path, config: Config) -> None:
    """Fill a network, but for its softmax, from a file."""
    if path.suffix in (".safetensors", ".pth", ".pt"):
        without = keras.Model(backbone.input, backbone.get_layer("pool").output, name=backbone.name)
        load_timm_weights(without, read_torch_file(path), path, config.blocks)
    else:
        pretrained.load_keras_file(backbone, path, skip=[SOFTMAX])


def draw_softmax(model: keras.Model, seed: int) -> None:
    """New initial weights of the last layer, a pure function of the seed: Glorot's, biases 0."""
    layer = model.get_layer(SOFTMAX)
    layer.kernel.assign(keras.initializers.GlorotUniform(seed=seed)(layer.kernel.shape))
    layer.bias.assign(np.zeros(layer.bias.shape, np.float32))


def build_optimizer(start: str, steps: int, config: Config) -> keras.optimizers.Optimizer:
    """RMSprop with the decay of TF-slim's recipe, or Adam; steps: of an epoch. In transfer* the softmax learns at head_rate."""
    rate = config.vanilla_rate if start == SCRATCH else config.head_rate if start == SOFTMAX else config.block_rate
    schedule: float | keras.optimizers.schedules.LearningRateSchedule = rate
    if config.rate_decay != 1:
        decay = max(1, steps * config.decay_epochs)
        schedule = keras.optimizers.schedules.ExponentialDecay(rate, decay, config.rate_decay, staircase=True)
    if config.optimizer == "adam":
        optimizer: keras.optimizers.Optimizer = keras.optimizers.Adam(schedule)
    elif config.optimizer == "rmsprop":
        optimizer = keras.optimizers.RMSprop(schedule, rho=config.rho, momentum=config.momentum, epsilon=config.epsilon)
    else:
        raise UsageError(f"--set optimizer={config.optimizer}: rmsprop or adam")
    if start in (SCRATCH, SOFTMAX):
        return optimizer
    return scale_layers(optimizer, {SOFTMAX: config.head_rate / config.block_rate})


def compile_network(model: keras.Model, start: str, steps: int, config: Config) -> keras.Model:
    """Cross-entropy; "loss" holds the weights of classes and L2, "cross_entropy" neither."""
    plain = keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy")
    optimizer = build_optimizer(start, steps, config)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[fit.build_accuracy(), plain], jit_compile=fit.use_xla())
    return model
