"""Which slices of a subject are kept, and the picture that is made of each (sections 2.3 and 2.4 of the report)."""

import numpy as np
from scipy.ndimage import zoom

from common.data.phantoms import to_uint8
from replications.glioma_inceptionv3.config import VIEWS, Config


def select_slices(areas: np.ndarray, config: Config) -> np.ndarray:
    """Positions of the lesion slices that are large enough (section 2.3), in their order: int64 (kept,).

    areas: of the lesion in each slice of one subject, pixels: int (slices,). Kept are those of at least area_share of the
    largest and area_pixels; the largest alone where none is. Without any lesion none is kept. With area_share 0 one threshold
    holds for all subjects, as section 5.2 suggests.

    >>> select_slices(np.array([0, 90, 150, 1000, 400, 0]), Config()).tolist()
    [3, 4]
    >>> select_slices(np.array([0, 9, 12, 0]), Config()).tolist(), select_slices(np.array([0, 0]), Config()).tolist()
    ([2], [])
    """
    areas = np.asarray(areas)
    if not areas.any():
        return np.empty(0, np.int64)
    kept = np.flatnonzero(areas >= max(config.area_share * areas.max(), config.area_pixels))
    return kept if len(kept) else np.array([areas.argmax()])


def find_box(mask: np.ndarray, margin: float) -> tuple[slice, slice]:
    """Rows and columns of the lesion's bounding box, with `margin` times its longest side around it, cut at the edges.

    mask: bool (rows, columns), not empty.

    >>> mask = np.zeros((50, 50), bool)
    >>> mask[10:30, 40:48] = True
    >>> find_box(mask, 0.1)
    (slice(8, 32, None), slice(38, 50, None))
    """
    spans = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] + (0, 1) for axis in (1, 0)]
    reach = round(margin * max(last - first for first, last in spans))
    rows, columns = (
        slice(max(0, int(first) - reach), min(size, int(last) + reach))
        for (first, last), size in zip(spans, mask.shape, strict=True)
    )
    return rows, columns


def make_picture(plane: np.ndarray, mask: np.ndarray, low: float, high: float, view: str, config: Config) -> np.ndarray:
    """The picture of a slice (section 2.4): uint8 (side, side), `low` and below black, `high` and above white.

    plane: float (rows, columns); mask: bool of the same shape, not empty; view: "crop", the lesion's box with its margin, or
    "whole", the whole slice. Scaled by a cubic spline to a square, whatever the shape, as the report does.

    >>> plane = np.tile(np.arange(40.0), (30, 1))
    >>> picture = make_picture(plane, plane > 30, 0.0, 39.0, "whole", Config())
    >>> picture.shape, picture.dtype, int(picture.min()), int(picture.max())
    ((299, 299), dtype('uint8'), 0, 255)
    """
    if view not in VIEWS:
        raise ValueError(f"view {view!r} is none of {', '.join(VIEWS)}")
    part = plane[find_box(mask, config.crop_margin)] if view == "crop" else plane
    grey = 255 * np.clip((part.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    return to_uint8(zoom(grey, config.side / np.array(grey.shape), order=3, mode="nearest", grid_mode=True))
