"""Random geometry of Keras' ImageDataGenerator, computed by OpenCV: the same draws and the same pixels, several times faster.

One affine map an image, bilinear, composed as ImageDataGenerator (Keras 3.15) composes it, with three traits of that
class that its documentation does not tell: `width_shift` moves an image up and down and `height_shift` left and right;
the centre of rotation, shear and zoom is (height/2 - 0.5, width/2 - 0.5) as (x, y), so in an image that is not square it
lies beside the middle; two zoom factors are drawn, one an axis. Square images with equal shifts notice none of the first two.

Against ImageDataGenerator.apply_transform on grey levels 0..255 (`reference=True` computes with it):
- OpenCV 5: float32 within 0.02, uint8 within one level, and that in less than 0.1 % of the pixels, even of white noise.
- OpenCV 4 rounds positions to 1/32 pixel: within 9 levels at black-white edges; on ultrasound-like speckle 0.2 on average and
  2 at most.
Results are the same for any number of OpenCV's threads; between kinds of processors they may differ as little as OpenCV 5
differs from Keras.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from common.errors import UsageError

LIMITS = {"rotation": 360, "width_shift": 1, "height_shift": 1, "zoom": 1, "shear": 90}  # Keras reads a shift from 1 as pixels
FILLS = ("nearest", "constant")


@dataclass(frozen=True)
class Augmentation:
    """What to draw, in the terms of ImageDataGenerator; every amplitude a is drawn uniformly from -a to a.

    Raises UsageError for a value outside LIMITS or an unknown fill.
    """

    rotation: float = 0  # degrees
    width_shift: float = 0  # share of the width
    height_shift: float = 0  # share of the height
    zoom: float = 0  # factors from 1 - zoom to 1 + zoom; below 1 enlarges the content
    shear: float = 0  # degrees
    horizontal_flip: bool = False  # in every second image
    vertical_flip: bool = False
    fill: str = "nearest"  # outside the image: "nearest" continues its edge, "constant" is fill_value
    fill_value: float = 0

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            if not 0 <= getattr(self, name) < limit:
                raise UsageError(f"augmentation: {name} is {getattr(self, name)}; give a number from 0 to below {limit}")
        if self.fill not in FILLS:
            raise UsageError(f'augmentation: fill is "{self.fill}"; give one of {", ".join(FILLS)}')


def build_generator(augmentation: Augmentation) -> Any:
    """Keras' own ImageDataGenerator with these settings, channels last, bilinear. Needs TensorFlow."""
    import tensorflow as tf

    return tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=augmentation.rotation,
        width_shift_range=float(augmentation.width_shift),
        height_shift_range=float(augmentation.height_shift),
        zoom_range=augmentation.zoom,
        shear_range=augmentation.shear,
        horizontal_flip=augmentation.horizontal_flip,
        vertical_flip=augmentation.vertical_flip,
        fill_mode=augmentation.fill,
        cval=augmentation.fill_value,
        interpolation_order=1,
        data_format="channels_last",
    )


def draw_transforms(augmentation: Augmentation, shape: Sequence[int], seeds: Iterable[int]) -> list[dict[str, float]]:
    """One drawing a seed (0 to 2**32 - 1), equal to ImageDataGenerator.get_random_transform(shape, seed).

    shape: (height, width, ...) in pixels. Keys: theta and shear in degrees, tx and ty in pixels, zx, zy, flip_horizontal,
    flip_vertical. NumPy's global generator is neither used nor changed.
    """
    random = np.random.RandomState(0)  # the generator behind np.random, which Keras seeds anew for every drawing
    drawings = []
    for seed in seeds:
        random.seed(seed)
        drawings.append(_draw_transform(augmentation, shape, random))
    return drawings


def _draw_transform(augmentation: Augmentation, shape: Sequence[int], random: np.random.RandomState) -> dict[str, float]:
    """The order of the draws is Keras'; an amplitude of 0 draws nothing, the flips always draw."""

    def draw(amplitude: float) -> float:
        return random.uniform(-amplitude, amplitude) if amplitude else 0.0

    theta = draw(augmentation.rotation)
    tx = draw(augmentation.height_shift) * shape[0]
    ty = draw(augmentation.width_shift) * shape[1]
    shear = draw(augmentation.shear)
    zx = zy = 1.0
    if augmentation.zoom:
        zx, zy = random.uniform(1 - augmentation.zoom, 1 + augmentation.zoom, 2).tolist()
    flip_horizontal = random.random_sample() < 0.5 and augmentation.horizontal_flip
    flip_vertical = random.random_sample() < 0.5 and augmentation.vertical_flip
    return {
        "theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy,
        "flip_horizontal": flip_horizontal, "flip_vertical": flip_vertical,
    }  # fmt: skip


def build_matrix(parameters: dict[str, float], shape: Sequence[int]) -> np.ndarray:
    """Map from the pixel (x, y, 1) of the result to its place (x, y) in the image: float64 (2, 3).

    About Keras' centre: rotation after shift after shear after zoom; before all of them the flips of the result.
    """
    height, width = shape[:2]
    theta, shear = math.radians(parameters["theta"]), math.radians(parameters["shear"])
    tx, ty, zx, zy = (parameters[name] for name in ("tx", "ty", "zx", "zy"))
    cos, sin = math.cos(theta), math.sin(theta)
    xx, xy = cos * zx, -math.sin(theta + shear) * zy
    yx, yy = sin * zx, math.cos(theta + shear) * zy
    centre_x, centre_y = height / 2 - 0.5, width / 2 - 0.5  # not swapped by mistake: so Keras has it
    x = cos * tx - sin * ty + centre_x - (xx * centre_x + xy * centre_y)
    y = sin * tx + cos * ty + centre_y - (yx * centre_x + yy * centre_y)
    if parameters["flip_horizontal"]:
        x, y, xx, yx = x + xx * (width - 1), y + yx * (width - 1), -xx, -yx
    if parameters["flip_vertical"]:
        x, y, xy, yy = x + xy * (height - 1), y + yy * (height - 1), -xy, -yy
    return np.array([[xx, xy, x], [yx, yy, y]])


def enlarge_images(
    images: np.ndarray, factor: int, augmentation: Augmentation, seed: int, *, reference: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A fixed enlargement to `factor` times: the originals, then variant 1 of every image, then variant 2, and so on.

    Returns (images (factor * n, height, width, channels), source int64 (factor * n,)): the place in `images` each came from.
    A variant depends on (seed, its number, that place) alone. images, dtypes and errors as in `transform_images`.
    """
    if factor < 1:
        raise UsageError(f"augmentation: cannot enlarge to {factor} times; 1 keeps the originals alone")
    _check_images(images, augmentation)
    count = len(images)
    result = np.empty((factor * count, *images.shape[1:]), images.dtype)
    result[:count] = images
    for variant in range(1, factor):
        _draw_variant(result[variant * count :][:count], images, augmentation, (seed, 0, variant), reference)
    return result, np.tile(np.arange(count, dtype=np.int64), factor)


def augment_epoch(
    images: np.ndarray, augmentation: Augmentation, seed: int, epoch: int, passes: int, *, reference: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The real-time reading: `passes` fresh variants of every image and no original; first pass, second pass, and so on.

    Returns (images (passes * n, height, width, channels), source int64 (passes * n,)): the place in `images` each came from.
    A variant depends on (seed, epoch, pass, that place) alone. images, dtypes and errors as in `transform_images`.
    """
    if passes < 1:
        raise UsageError(f"augmentation: {passes} passes over the images; an epoch needs at least 1")
    _check_images(images, augmentation)
    count = len(images)
    result = np.empty((passes * count, *images.shape[1:]), images.dtype)
    for index in range(passes):
        _draw_variant(result[index * count :][:count], images, augmentation, (seed, 1, epoch, index), reference)
    return result, np.tile(np.arange(count, dtype=np.int64), passes)


def _check_images(images: np.ndarray, augmentation: Augmentation) -> None:
    if images.dtype not in (np.uint8, np.float32):
        raise TypeError(f"images must be uint8 or float32, got {images.dtype}")
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(f"images must be (n, height, width, 1 or 3), got {images.shape}")
    if images.dtype == np.uint8 and augmentation.fill_value not in range(256):
        raise UsageError(f"augmentation: fill_value is {augmentation.fill_value}; 8-bit images need a whole number 0..255")


def _draw_variant(
    result: np.ndarray, images: np.ndarray, augmentation: Augmentation, key: tuple[int, ...], reference: bool
) -> None:
    """Fill `result` with a variant of each image; the seed of an image does not depend on how many there are."""
    seeds = np.random.default_rng(key).integers(2**32, size=len(images), dtype=np.uint32)
    transform_images(result, images, draw_transforms(augmentation, images.shape[1:], seeds), augmentation, reference)


def transform_images(
    result: np.ndarray,
    images: np.ndarray,
    parameters: Sequence[dict[str, float]],
    augmentation: Augmentation,
    reference: bool,
) -> None:
    """Fill `result` with each image under its drawing (see `draw_transforms`).

    result, images: uint8 or float32 (n, height, width, 1 or 3); uint8 is rounded to the nearest level (OpenCV 5: an exact tie to
    the even one, where Keras rounds up). `reference` computes with ImageDataGenerator instead, which needs TensorFlow. Raises
    ValueError where there are fewer drawings than images.
    """
    transform = build_generator(augmentation).apply_transform if reference else partial(_warp_image, augmentation)
    for place, (image, drawing) in enumerate(zip(images, parameters, strict=True)):
        result[place] = transform(image, drawing)


def _warp_image(augmentation: Augmentation, image: np.ndarray, parameters: dict[str, float]) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = build_matrix(parameters, image.shape)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE).reshape(image.shape)
    if augmentation.fill == "constant":
        warped[_find_outside(matrix, height, width)] = augmentation.fill_value
    return warped


def _find_outside(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels of the result whose place lies outside the image, bool (height, width): Keras fills them whole, where OpenCV's
    constant border would be blended with the image's edge.
    """
    rows, columns = np.arange(height)[:, None], np.arange(width)
    x, y = (offset + along_y * rows + along_x * columns for along_x, along_y, offset in matrix)
    return (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
