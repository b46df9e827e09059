"""Traditional augmentation (sec. 4.1, Table 2): rotation, translation, mirror and Poisson noise, 14 fixed variants of a picture.

A variant is a pure function of the seed of the split, its number, and the place of its picture; so the features of a frozen
network are computed once for all trainings.
"""

import cv2
import numpy as np

from common.training.augmentation import Augmentation, build_matrix, draw_transforms
from replications.bone_acgan.config import Config


def describe_augmentation(config: Config) -> Augmentation:
    """The geometry, in the terms of Keras' ImageDataGenerator, whose draws are used."""
    return Augmentation(
        rotation=config.rotation, width_shift=config.shift, height_shift=config.shift, horizontal_flip=config.mirror
    )


def enlarge_pictures(pictures: np.ndarray, white: np.ndarray, config: Config, key: int) -> np.ndarray:
    """The pictures and their variants: uint8 (n, enlargement, height, width), the original first.

    pictures: uint8 (n, height, width). white: float (n,), counts of a white pixel. key: tells sets of pictures apart that draw
    different variants. Noise stands in a share `poisson_share` of the variants. Black fills what was outside.
    """
    count, shape = len(pictures), pictures.shape[1:]
    found = np.empty((count, config.enlargement, *shape), np.uint8)
    found[:, 0] = pictures
    augmentation = describe_augmentation(config)
    for variant in range(1, config.enlargement):
        random = np.random.default_rng([config.split_seed, key, variant, 7])
        seeds = random.integers(2**32, size=count, dtype=np.uint32)
        for place, drawing in enumerate(draw_transforms(augmentation, shape, seeds)):
            matrix = build_matrix(turn_about_middle(drawing, shape), shape)
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpAffine(pictures[place], matrix, shape[::-1], flags=flags, borderValue=0)
            own = np.random.default_rng(seeds[place])
            if own.random() < config.poisson_share:
                moved = add_poisson(moved, float(white[place]), config.poisson_snr, own)
            found[place, variant] = moved
    return found


def turn_about_middle(drawing: dict[str, float], shape: tuple[int, ...]) -> dict[str, float]:
    """The same drawing about the middle of the picture.

    Keras turns about (height/2 - 0.5, width/2 - 0.5) taken as (x, y), which in a body picture twice as high as wide lies beside
    the body: turned by 10 degrees it would leave the frame by a fifth of its width. The shift makes up for it.
    """
    height, width = shape[:2]
    apart = np.array([width - height, height - width]) / 2  # from Keras' centre to the middle
    angle = np.deg2rad(drawing["theta"])
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = np.array([drawing["tx"], drawing["ty"]]) + back @ apart - apart
    return drawing | {"tx": float(moved[0]), "ty": float(moved[1])}


def add_poisson(picture: np.ndarray, white: float, snr: float, random: np.random.Generator) -> np.ndarray:
    """Poisson noise that leaves a share `snr` of the signal-to-noise ratio of counted pixels: uint8, the shape of `picture`.

    c counts vary by c; drawn again from s c counts, scaled back, they vary by c + c / s, so that the ratio falls by
    1 / sqrt(1 + 1 / s). (The paper explains the noise by tube current and voltage; scans have no tube, but counts.)
    """
    scale = 1 / (1 / snr**2 - 1)
    counts = picture.astype(np.float64) * (white / 255)
    drawn = random.poisson(counts * scale) / scale
    return np.clip(np.rint(drawn * (255 / white)), 0, 255).astype(np.uint8)
