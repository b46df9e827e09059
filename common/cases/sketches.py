"""Whether a registration is worth its cost: a cheap one of small images first, where only copies count.

A comparison stops where a correlation lies so far below the limit of similarity that the limit is out of reach. How far that is
was measured on seven sets of pictures with copies of every kind (docs/leaks.md): beside each constant stands how far below the
limit the correlation lay at most where the comparison reached the limit. The templates alone tell too little: neighbouring
slices of one volume reach the limit where they agree by 0.6.
"""

import cv2
import numpy as np

from common.cases.registration import THUMBNAIL, Match, View, place_template, turn_image

BELOW_ROUGH = {32: 0.42, 64: 0.34}  # of the sketches, registered roughly at this side: 0.295, 0.265
CERTAIN = 0.05  # templates that agree so nearly are registered in any case: a rough registration may fail
SKETCH = 64  # side of a sketch, pixels
SKETCH_STEPS, OUTSIDE = 40.0, -128  # of its int8 to 1; what marks background
ROUGH_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 6, 1e-4)
ROUGH_BLUR = 3  # side of the Gaussian of the rough registration, pixels
ROUGH_IN_PLACE = 0.97  # correlation of every fourth pixel of two pictures as they lie: they may reach IN_PLACE


def draw_sketch(view: View) -> np.ndarray:
    """A view at half the side, (64, 64) int8: locally normalised, OUTSIDE where it is background.

    >>> from common.cases.registration import build_view
    >>> int(draw_sketch(build_view(np.full((128, 128), 100, np.uint8))).max())
    0
    """
    side = (SKETCH, SKETCH)
    small, mask = (cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in (view.normalised, view.mask))
    levels = np.clip(np.round(small * SKETCH_STEPS), -127, 127)
    return np.where(mask > 0.5, levels, OUTSIDE).astype(np.int8)


def promises_copy(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], orientation: int, match: Match, limit: float
) -> bool:
    """Whether two views may reach a similarity of `limit` (`register_views`), by a registration at a tenth of its cost.

    a, b: thumbnail (128, 128) uint8 and sketch (64, 64) int8 (`draw_sketch`) of each; match: of their templates.

    >>> from common.cases.registration import build_view, cut_templates, match_templates
    >>> random = np.random.default_rng(0)
    >>> one, other = (cv2.resize(random.integers(0, 256, (9, 9), np.uint8), (128, 128)) for _ in range(2))
    >>> views = [build_view(picture) for picture in (one, 255 - one, other)]
    >>> a, b, c = [(view.thumbnail, draw_sketch(view)) for view in views]
    >>> templates = [cut_templates(view.coarse, orientation=0) for view in views]
    >>> [promises_copy(a, part, 0, match_templates(views[0].coarse, found), 0.9) for part, found in zip((b, c), templates[1:])]
    [True, False]
    """
    if match.correlation >= limit - CERTAIN:
        return True
    thumbnail, sketch = (turn_image(image, orientation | match.half) for image in b)
    if match.sign * _correlate_rough(a[0], thumbnail) >= ROUGH_IN_PLACE:
        return True
    inside, warp = (sketch != OUTSIDE).astype(np.uint8), place_template(match)
    first, second = (np.where(image == OUTSIDE, 0, image).astype(np.float32) for image in (a[1], match.sign * sketch.astype(int)))
    for side, below in BELOW_ROUGH.items():  # coarse to fine: it fails less
        size, scale = (side, side), THUMBNAIL // side
        small_a, small_b = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (first, second))
        mask = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)
        small = _scale_warp(warp, 1 / scale)
        try:
            found, refined = cv2.findTransformECC(small_a, small_b, small, cv2.MOTION_AFFINE, ROUGH_STOP, mask, ROUGH_BLUR)
        except cv2.error:
            continue  # nothing is known from this side
        if found < limit - below:
            return False
        warp = _scale_warp(refined, scale)
    return True


def _correlate_rough(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of every fourth pixel of two pictures (128, 128) uint8 as they lie; 0 without structure."""
    x, y = (image[::4, ::4].astype(np.float32) for image in (a, b))
    x, y = x - x.mean(), y - y.mean()
    energy = np.sqrt(np.square(x).sum() * np.square(y).sum())
    return float((x * y).sum() / energy) if energy > 0 else 0.0


def _scale_warp(warp: np.ndarray, scale: float) -> np.ndarray:
    """A warp between images of `scale` times the side. Pixel centres are at integers: x lies at scale (x + 0.5) - 0.5."""
    middle = warp[:, :2].sum(axis=1) / 2
    return np.column_stack([warp[:, :2], scale * (warp[:, 2] - middle + 0.5) + middle - 0.5]).astype(np.float32)
