"""Augmentation (sec. 6.2): flips, contrast, saturation, random cropping; a fixed number of variants, or a new one every epoch."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from common.files import hold_lock, replace_file
from replications.ddsm_inceptionv4.config import Config

SHAPING = ("variants", "vertical_flip", "horizontal_flip", "contrast", "saturation", "crop_area", "split_seed")


def vary(picture: np.ndarray, random: np.random.Generator, config: Config) -> np.ndarray:
    """A variant of a picture uint8 (side, side), or (side, side, 3) in colour. What is 0, outside the breast, stays 0."""
    side = picture.shape[0]
    kept = max(1, round(side * config.crop_area**0.5))
    top, left = random.integers(0, side - kept + 1, 2)
    flips = random.random(2) < 0.5
    contrast, saturation = (random.uniform(1 - of, 1 + of) for of in (config.contrast, config.saturation))
    varied = cv2.resize(picture[top : top + kept, left : left + kept], (side, side), interpolation=cv2.INTER_LINEAR)
    varied = varied[::-1] if flips[0] and config.vertical_flip else varied
    varied = varied[:, ::-1] if flips[1] and config.horizontal_flip else varied
    return change_saturation(change_contrast(varied, contrast), saturation)


def change_contrast(picture: np.ndarray, factor: float) -> np.ndarray:
    """The picture with its distance from the mean of the breast times a factor; the outside, 0, stays.

    >>> change_contrast(np.array([[0, 50, 150]], np.uint8), 1.5).tolist()
    [[0, 25, 175]]
    """
    inside = picture > 0
    if not inside.any():
        return picture
    mean = picture[inside].mean()
    changed = np.clip(np.rint(mean + factor * (picture.astype(np.float32) - mean)), 0, 255).astype(np.uint8)
    return np.where(inside, changed, 0).astype(np.uint8)


def change_saturation(picture: np.ndarray, factor: float) -> np.ndarray:
    """Colours times a factor away from grey: of grey pictures nothing changes, as the paper's are.

    >>> grey = np.array([[[9, 9, 9]]], np.uint8)
    >>> change_saturation(grey, 1.2).tolist(), change_saturation(np.array([[[90, 60, 60]]], np.uint8), 0).tolist()
    ([[[9, 9, 9]]], [[[69, 69, 69]]])
    """
    if picture.ndim == 2:
        return picture
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip(np.rint(grey[..., None] + factor * (picture - grey[..., None])), 0, 255).astype(np.uint8)


def resize_pictures(pictures: np.ndarray, side: int) -> np.ndarray:
    """Pictures, or maps over them, (n, size, size) at another side; the type of numbers is kept."""
    if pictures.shape[1] == side:
        return np.asarray(pictures)
    kind = cv2.INTER_AREA if side < pictures.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(np.asarray(of), (side, side), interpolation=kind) for of in pictures])


def open_variants(pictures: np.ndarray, data_sha256: str, side: int, config: Config, cache: Path) -> np.ndarray:
    """All variants of all pictures uint8 (n, size, size), the original first: memory-mapped uint8 (n, count, side, side), written
    once in the folder `cache`; count: config.variants, or 1 where every epoch has new ones."""
    count = max(1, config.variants)
    settings = {name: value for name, value in asdict(config).items() if name in SHAPING}
    key = json.dumps([data_sha256, side, settings, cv2.__version__], sort_keys=True)
    path = cache / f"variants-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    cache.mkdir(parents=True, exist_ok=True)
    with hold_lock(path.with_suffix(".lock"), wait=True):
        if not path.exists():
            with replace_file(path) as temporary:
                shape = (len(pictures), count, side, side)
                stored = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
                for place, picture in enumerate(pictures):
                    original = resize_pictures(np.asarray(picture)[None], side)[0]
                    stored[place] = [original, *(vary_fixed(original, place, number, config) for number in range(1, count))]
                stored.flush()
        return np.load(path, mmap_mode="r", allow_pickle=False)


def vary_fixed(picture: np.ndarray, place: int, number: int, config: Config) -> np.ndarray:
    """Variant `number` of the picture at `place`: it depends on these and the seed of the split alone."""
    return vary(picture, np.random.default_rng([config.split_seed, 31, number, place]), config)


def vary_epoch(pictures: np.ndarray, places: np.ndarray, seed: int, epoch: int, config: Config) -> np.ndarray:
    """A new variant of each picture at `places`: uint8 (m, side, side), a function of place, seed and epoch."""
    return np.stack([vary(pictures[place], np.random.default_rng([seed, 37, epoch, place]), config) for place in places])
