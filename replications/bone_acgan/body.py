"""From counts to the picture of a body (sec. 4.1): clipped, cropped from head to feet, fitted into a frame."""

from dataclasses import dataclass

import cv2
import numpy as np

from replications.bone_acgan.config import Config

BLUR = 2.0  # pixels: counts are noise one by one
OCCUPIED = 0.02  # share of a row's pixels above the threshold that makes it part of the body


@dataclass(frozen=True)
class Crop:
    """Where a body lies: rows and columns, and what is doubtful about it ("" if nothing)."""

    rows: slice
    columns: slice
    doubt: str = ""


def scale_counts(counts: np.ndarray, percentile: float) -> np.ndarray:
    """Counts to 0..1, float32: what lies above the percentile is 1 (hot bladder, injection site).

    >>> scale_counts(np.arange(201.0), 50).max(), scale_counts(np.zeros((2, 2)), 99.5).max()
    (np.float32(1.0), np.float32(0.0))
    """
    return np.clip(counts.astype(np.float32) / max(float(np.percentile(counts, percentile)), 1e-6), 0, 1)


def find_body(counts: np.ndarray, config: Config) -> Crop:
    """The body in a view: the longest run of rows above crop_threshold of the percentile, with crop_margin around it.

    counts: (rows, columns). Doubtful is a body that fills less than half of the height, touches top and bottom, is wider than
    high, or has another beside it; without any counts above the threshold the whole view is taken.

    >>> counts = np.zeros((100, 40))
    >>> counts[10:80, 12:30] = 50
    >>> find_body(counts, Config(crop_margin=0.0))
    Crop(rows=slice(8, 82, None), columns=slice(10, 32, None), doubt='')
    """
    smooth = cv2.GaussianBlur(counts.astype(np.float32), (0, 0), BLUR)
    inside = smooth > config.crop_threshold * np.percentile(counts, config.clip_percentile)
    vertical, horizontal = (_find_runs(inside.mean(axis=axis) > OCCUPIED) for axis in (1, 0))
    height, width = counts.shape
    if not vertical or not horizontal:
        return Crop(slice(0, height), slice(0, width), "no body found")
    (top, bottom), (left, right) = vertical[0], horizontal[0]
    doubts = {
        f"fills {(bottom - top) / height:.0%} of the height": bottom - top < height / 2,
        "touches the upper and the lower edge": top == 0 and bottom == height,
        "is wider than high": right - left > bottom - top,
        "a second body beside it": any(2 * (last - first) > right - left for first, last in horizontal[1:]),
    }
    y, x = round(config.crop_margin * height), round(config.crop_margin * width)
    rows, columns = slice(max(0, top - y), min(height, bottom + y)), slice(max(0, left - x), min(width, right + x))
    return Crop(rows, columns, "; ".join(doubt for doubt, found in doubts.items() if found))


def _find_runs(inside: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last place of every run of True, shape (n,), the longest first."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    return sorted(runs, key=lambda run: run[0] - run[1])


def fit_picture(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to fit into a frame of that size, its shape kept, black around it: same dtype, (height, width).

    >>> fit_picture(np.full((40, 10), 200, np.uint8), 20, 20)[0].tolist() == [0] * 7 + [200] * 5 + [0] * 8
    True
    """
    factor = min(height / picture.shape[0], width / picture.shape[1])
    size = [max(1, round(length * factor)) for length in picture.shape]
    scaled = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    framed = np.zeros((height, width), picture.dtype)
    top, left = ((length - inner) // 2 for length, inner in zip((height, width), size, strict=True))
    framed[top : top + size[0], left : left + size[1]] = scaled
    return framed


def draw_body(counts: np.ndarray, config: Config) -> tuple[np.ndarray, Crop]:
    """The picture of a view, uint8 (picture_height, picture_width), bright where many counts are, and where it was cut."""
    crop = find_body(counts, config)
    grey = scale_counts(counts[crop.rows, crop.columns], config.clip_percentile)
    return fit_picture(np.round(255 * grey).astype(np.uint8), config.picture_height, config.picture_width), crop
