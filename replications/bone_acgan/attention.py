"""The blocks of MU-ACGAN (sec. 3.2): coordinate attention, the gate RCAG, the dense block RDA.

Maps are (n, H, W, C), channels last.
"""

import keras
from keras import layers, ops

from common.training import turns
from replications.bone_acgan.config import Config

SLOPE = 0.25  # of the parametric ReLU at the start (He et al. 2015)


@keras.saving.register_keras_serializable("bone_acgan")
class CoordinateAttention(layers.Layer):
    """Coordinate attention (Hou et al. 2021; eqs. 7 to 12): (n, H, W, C) times a gate of the row and one of the column.

    The means over the columns (n, H, C) and over the rows (n, W, C) are put one after the other, reduced by a 1x1 convolution
    to max(least, C // reduction) channels, batch normalised and rectified (eq. 9; h-swish in the original), parted again, and
    each brought back to C channels by a 1x1 convolution with a sigmoid (eqs. 10, 11). momentum, epsilon: of the normalisation.
    """

    def __init__(self, reduction: int = 16, least: int = 8, momentum: float = 0.9, epsilon: float = 1e-5, **options):
        super().__init__(**options)
        self.reduction, self.least, self.momentum, self.epsilon = reduction, least, momentum, epsilon

    def build(self, shape):
        count, height, width, channels = shape
        narrow = max(self.least, channels // self.reduction)
        self.reduce = layers.Conv2D(narrow, 1, use_bias=False, name="reduce")
        about = {"momentum": self.momentum, "epsilon": self.epsilon, "synchronized": turns.count_replicas() > 1}
        self.norm = layers.BatchNormalization(name="norm", **about)
        self.of_rows = layers.Conv2D(channels, 1, activation="sigmoid", name="of_rows")
        self.of_columns = layers.Conv2D(channels, 1, activation="sigmoid", name="of_columns")
        self.reduce.build((count, height + width, 1, channels))
        self.norm.build((count, height + width, 1, narrow))
        self.of_rows.build((count, height, 1, narrow))
        self.of_columns.build((count, width, 1, narrow))
        self.height = height
        super().build(shape)

    def call(self, maps, training=False):
        rows = ops.mean(maps, axis=2, keepdims=True)  # (n, H, 1, C), eq. 7
        columns = ops.swapaxes(ops.mean(maps, axis=1, keepdims=True), 1, 2)  # (n, W, 1, C), eq. 8
        both = ops.concatenate([rows, columns], axis=1)
        reduced = ops.relu(self.norm(self.reduce(both), training=training))  # (n, H + W, 1, narrow), eq. 9
        gate_rows = self.of_rows(reduced[:, : self.height])  # (n, H, 1, C), eq. 10
        gate_columns = ops.swapaxes(self.of_columns(reduced[:, self.height :]), 1, 2)  # (n, 1, W, C), eq. 11
        return maps * gate_rows * gate_columns  # eq. 12

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        names = ("reduction", "least", "momentum", "epsilon")
        return super().get_config() | {name: getattr(self, name) for name in names}


def attend(maps: keras.KerasTensor, config: Config, name: str) -> keras.KerasTensor:
    """Coordinate attention with the settings of the paper."""
    settings = {"momentum": config.norm_momentum, "epsilon": config.norm_epsilon}
    return CoordinateAttention(config.attention_reduction, config.attention_least, name=name, **settings)(maps)


def gate(high: keras.KerasTensor, low: keras.KerasTensor, channels: int, config: Config, name: str) -> keras.KerasTensor:
    """RCAG, the residual coordinate attention gate of two inputs of one size (Fig. 5, eqs. 6 to 13): (n, H, W, channels).

    Concatenated, attended, added to what came in; then 1x1 convolution, batch normalisation and parametric ReLU, as text and
    figure have it (eq. 13 repeats the ReLU of eq. 9).
    """
    both = layers.Concatenate(name=f"{name}_both")([high, low])
    attended = attend(both, config, f"{name}_attention")
    summed = layers.Add(name=f"{name}_sum")([both, attended])
    return activate(layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_conv")(summed), config, name)


def densify(maps: keras.KerasTensor, channels: int, config: Config, name: str, *, norm: bool = True) -> keras.KerasTensor:
    """RDA, the residual dense attention block (Fig. 6, eq. 14): (n, H, W, channels).

    Three 3x3 convolutions, each with normalisation and parametric ReLU; after each all maps so far are concatenated and brought
    to `channels` by a 1x1 convolution; after the third coordinate attention, and the input is added. An input of other channels
    first passes a 1x1 convolution. norm: whether the 3x3 convolutions are batch normalised.
    """
    if maps.shape[-1] != channels:
        maps = layers.Conv2D(channels, 1, name=f"{name}_in")(maps)
    gathered, merged = [maps], maps
    for number in (1, 2, 3):
        convolved = layers.Conv2D(channels, 3, padding="same", use_bias=not norm, name=f"{name}_conv{number}")(merged)
        gathered.append(activate(convolved, config, f"{name}_{number}", norm=norm))
        dense = layers.Concatenate(name=f"{name}_dense{number}")(gathered)  # (number + 1) * channels
        merged = layers.Conv2D(channels, 1, name=f"{name}_merge{number}")(dense)
    return layers.Add(name=f"{name}_out")([maps, attend(merged, config, f"{name}_attention")])


def normalise(maps: keras.KerasTensor, config: Config, name: str) -> keras.KerasTensor:
    """Batch normalisation; over the batches of all devices, where there are several: those of one hold a picture or two."""
    about = {"momentum": config.norm_momentum, "epsilon": config.norm_epsilon, "synchronized": turns.count_replicas() > 1}
    return layers.BatchNormalization(name=name, **about)(maps)


def activate(maps: keras.KerasTensor, config: Config, name: str, *, norm: bool = True) -> keras.KerasTensor:
    """Batch normalisation and parametric ReLU with one slope a channel."""
    if norm:
        maps = normalise(maps, config, f"{name}_norm")
    start = keras.initializers.Constant(SLOPE)
    return layers.PReLU(shared_axes=[1, 2], alpha_initializer=start, name=f"{name}_prelu")(maps)
