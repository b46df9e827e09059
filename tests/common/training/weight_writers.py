"""What the tests of weight files share: networks, and what is asked of a message."""

import keras
import numpy as np
import pytest


def read_weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def assert_one_line(caught: pytest.ExceptionInfo, *parts: str) -> None:
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    for part in parts:
        assert part in message


def make_single(layer: keras.Layer) -> keras.Model:
    images = keras.Input((8, 8, 3))
    return keras.Model(images, layer(images))
