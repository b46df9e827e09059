"""Small networks with frozen layers, for the tests of cuts and of the feature cache."""

import keras
import numpy as np
from keras import layers

from common.training import cuts

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (22, 16, 16, 1)).astype(np.uint8)
LABELS = RANDOM.integers(0, 2, 22)


def build_chain() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    for i in (1, 2, 3):
        x = layers.Conv2D(4 * i, 3, padding="same", activation="relu", name=f"conv{i}")(x)
        x = layers.MaxPooling2D()(x)
    return finish(inputs, x)


def build_residual() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(6, 3, padding="same", name="conv1")(x)
    for i in (2, 4):
        y = layers.Conv2D(6, 3, padding="same", name=f"conv{i}")(x)
        y = layers.BatchNormalization(name=f"norm{i}")(y)
        y = layers.Activation("relu")(y)
        y = layers.Conv2D(6, 3, padding="same", name=f"conv{i + 1}")(y)
        x = layers.Add()([x, y])
    return finish(inputs, x)


def build_branches() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    stem = layers.Conv2D(4, 3, strides=2, activation="relu", name="stem")(layers.Rescaling(1 / 255)(inputs))
    a = layers.Conv2D(3, 1, name="conv1")(stem)
    b = layers.Conv2D(3, 3, padding="same", name="conv2")(layers.Conv2D(3, 1, name="conv2a")(stem))
    return finish(inputs, layers.Concatenate()([a, b, layers.AveragePooling2D(3, 1, padding="same")(stem)]))


def finish(inputs, x) -> keras.Model:
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3, name="dropout")(layers.Dense(8, activation="relu", name="dense")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax", name="output")(x))


def compile_frozen(model: keras.Model, trained: list[str]) -> keras.Model:
    cuts.freeze_except(model, trained)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    return model
