"""What the tests of the four networks share."""

import keras
import numpy as np


def draw_images(count: int, side: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def list_sides(model: keras.Model, names: list[str]) -> list[int]:
    return [model.get_layer(name).output.shape[1] for name in names]
