"""A task of generic pictures that stands for ImageNet where small networks are pretrained for trial runs."""

from collections.abc import Callable

import numpy as np

from common.data.phantoms import smooth_noise, speckle, to_uint8

SOURCE_CLASSES = ("disc", "star", "ring", "rows", "columns", "checker", "dots", "noise")


def draw_source_task(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Generic pictures uint8 (count, side, side, 1) and their classes int64 (count,), positions in SOURCE_CLASSES.

    They stand for ImageNet where narrow networks are pretrained for trial runs: edges, blobs, orientations and textures of
    random place, size, contrast and polarity, half of them under speckle. Classes differ in number by 1 at most.
    """
    random = np.random.default_rng([seed, 2])
    labels = random.permutation(np.arange(count) % len(SOURCE_CLASSES))
    images = np.empty((count, side, side, 1), np.uint8)
    for label, name in enumerate(SOURCE_CLASSES):
        images[labels == label, :, :, 0] = _draw_source_class(name, int((labels == label).sum()), side, random)
    return images, labels


def _draw_source_class(name: str, count: int, side: int, random: np.random.Generator) -> np.ndarray:
    """Pictures uint8 (count, side, side) of one class."""

    def draw(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, (count, 1, 1)).astype(np.float32)

    def draw_noise(noise: Callable, grain: float) -> np.ndarray:
        return noise((count * side, side), grain, random).reshape(count, side, side) if count else np.empty((0, side, side))

    y, x = np.indices((side, side), dtype=np.float32)[:, None] / side - 0.5
    size = draw(0.22, 0.42)
    y, x = (y - draw(-0.15, 0.15)) / size, (x - draw(-0.15, 0.15)) / size
    reach, frequency, lean = np.hypot(y, x), draw(5, 11), draw(-0.25, 0.25)
    along, across = frequency * (y + lean * x) + draw(0, 6), frequency * (x - lean * y) + draw(0, 6)
    match name:  # negative where the pattern is
        case "disc":
            pattern = reach - 1
        case "star":
            pattern = reach - 0.7 - 0.3 * np.cos(np.rint(draw(4, 8)) * np.arctan2(y, x) + draw(0, 6))
        case "ring":
            pattern = np.abs(reach - 0.85) - draw(0.1, 0.25)
        case "rows":
            pattern = np.sin(along)
        case "columns":
            pattern = np.sin(across)
        case "checker":
            pattern = np.sin(along) * np.sin(across)
        case "dots":
            pattern = draw(0.2, 0.5) - np.cos(along) * np.cos(across) * (np.cos(along) > 0)
        case "noise":
            pattern = draw_noise(smooth_noise, side / 8)
    cover = np.clip(0.5 - draw(2, 8) * pattern, 0, 1) * np.clip((1.1 - reach) * 4, 0, 1)
    picture = draw(80, 175) + np.sign(draw(-1, 1)) * draw(35, 80) * cover
    picture *= np.maximum(draw_noise(speckle, 2.2), 0.05) ** np.maximum(draw(-0.4, 0.4), 0)
    return to_uint8(picture + draw(0, 6) * random.standard_normal(picture.shape, dtype=np.float32))
