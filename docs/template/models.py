"""The networks of the paper. Images are uint8 (n, side, side, 1) in 0..255; each network rescales them itself."""

import keras
from keras import layers

from replications.new_paper.config import Config


def build_cnn(side: int, config: Config, filters: tuple[int, ...]) -> keras.Model:
    """Sec. 3: convolution and pooling for each entry of `filters`, then the mean of the maps and softmax."""
    images = keras.Input((side, side, 1), name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    for number, count in enumerate(filters, start=1):
        x = layers.Conv2D(count, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)  # side / 2^number
    x = layers.GlobalMaxPooling2D(name="pooled")(x)  # the last count of filters
    scores = layers.Dense(2, activation="softmax", name="probabilities")(x)
    return keras.Model(images, scores, name="cnn")
