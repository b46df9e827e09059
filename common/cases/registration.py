"""How alike are two pictures of one kind? They are registered, then correlated.

Registration: matching of a coarse template over scales and shifts, then OpenCV's affine refinement, blurred and sharp
(Evangelidis GD, Psarakis EZ. IEEE Trans Pattern Anal Mach Intell 2008;30:1858-1865). Comparison: the normalised
cross-correlation of the overlap after local normalisation: a band pass, which removes brightness and shading, in which images
of one anatomy all agree, divided by its local spread, which removes contrast, so that a gamma curve or an equalised histogram
changes little. An inverted copy correlates negatively, and just as well. The three tenths of the overlap that agree least do not
count: labels and callipers are drawn into copies.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from common.cases.borders import mask_background

THUMBNAIL = 128  # side of the images that are compared, pixels
COARSE_SIDE = 24  # of the images that are matched over scales and shifts
TEMPLATE, ROOM = 16, 4  # side of the central part that is looked for, and how far it may leave the other image, coarse pixels
SCALES = (1.0, 0.91, 0.82, 1.1, 1.22)  # enlargements of the second image that are tried
FINE, COARSE = 0.9, 3.0  # standard deviations (pixels) of the two Gaussians of the band pass, times the width of the band
MOST_WIDTH = 4 / 3  # of a picture smaller than a thumbnail: enlarging it shows no finer details, only those of its encoding
AGREEMENT = 5.0  # standard deviation of the window in which agreement is measured
LEFT_OUT = 0.3  # share of the overlap that agrees least
FLAT = 1.0  # grey levels: spread that counts as noise
LEAST_ENERGY = 0.05  # mean square of a locally normalised image without structure
CLIP = 3.0  # local spreads
ORIENTATIONS = 4  # as is, mirrored, transposed, both; half turns are tried with each
# A comparison stops where a correlation is below these; copies of the kinds in benchmarks/picture_copies.py lie above.
HOPELESS = 0.55  # of the templates
WORTH_REFINING = 0.75  # of the overlap, after the blurred refinement
# Where only similarities of at least a limit count, the overlap may then lie at most so far below it; common.cases.sketches.
BELOW_BLURRED = 0.10
# A registration beyond these is no copy but a stranger pulled into shape.
MAX_STRETCH = 1.24  # ratio of the two axes' scales: a side cut by 15 % gives 1.18
MAX_SCALE = 1.32  # and 1 / MAX_SCALE: a crop of 20 % gives 1.25
MAX_TURN = 8.0  # degrees
MAX_SHEAR = 0.05  # stretch along a diagonal: copies are stretched along the axes
LEAST_OVERLAP, LEAST_SHARE = 0.25, 0.55  # of the image; of the smaller of the two contents
# Correlation of two pictures as they lie: the closest strangers of 2,000 CT patches, 474 ultrasound pictures and 322 mammograms
# reach 0.970, 0.910 and 0.984.
IN_PLACE = 0.995
# From a template to the central part of a coarse image, by its enlargement.
WARPS = {
    scale: np.array([[1 / scale, 0, offset], [0, 1 / scale, offset]], np.float32)
    for scale in SCALES
    for offset in [(COARSE_SIDE - 1) / 2 - (TEMPLATE - 1) / 2 / scale]
}
LINEAR, NEAREST = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class View:
    """A thumbnail (128, 128) uint8, what of it is picture, and both locally normalised, float32."""

    thumbnail: np.ndarray
    mask: np.ndarray
    normalised: np.ndarray  # within the mask; 0 outside
    # All of it, to find partners and places by: what is flat black in a dark copy may not be in the original.
    everywhere: np.ndarray
    coarse: np.ndarray  # (24, 24), of `everywhere`
    width: float  # of the band, 1 to MOST_WIDTH

    @property
    def structured(self) -> bool:
        """Whether there is anything to compare."""
        return bool(np.square(self.normalised).mean() >= LEAST_ENERGY)


class Match(NamedTuple):
    """Where the templates agree best: the half turn, the sign (-1: inverted), the enlargement of b, its place in a."""

    correlation: float
    half: int
    sign: int
    scale: float
    left: int  # of the template in a, coarse pixels
    top: int


def build_view(thumbnail: np.ndarray, width: float = 1.0) -> View:
    """View of a thumbnail (128, 128) uint8 grey; width: see `choose_width`.

    >>> build_view(np.full((128, 128), 100, np.uint8)).structured
    False
    """
    mask = mask_background(thumbnail)
    normalised = normalise_locally(thumbnail.astype(np.float32), mask, width)
    everywhere = normalised if mask.all() else normalise_locally(thumbnail.astype(np.float32), np.ones_like(mask), width)
    blurred = cv2.GaussianBlur(everywhere, (0, 0), THUMBNAIL / 48)
    coarse = cv2.resize(blurred, (COARSE_SIDE, COARSE_SIDE), interpolation=cv2.INTER_AREA)
    return View(thumbnail, mask, normalised, everywhere, coarse, width)


def choose_width(shape: tuple[int, ...]) -> float:
    """Width of the band in which a picture of (height, width) pixels is compared.

    >>> choose_width((512, 400)), round(choose_width((50, 50)), 2)
    (1.0, 1.33)
    """
    return float(np.clip(THUMBNAIL / min(shape[:2]), 1.0, MOST_WIDTH))


def normalise_locally(image: np.ndarray, mask: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Band-passed image divided by its local spread, (h, w) float32, 0 outside the mask; blurred within the mask only.

    image: (h, w) float32; mask: (h, w) float32 of 0 and 1. Neither brightness nor contrast matters:

    >>> rough = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.float32)
    >>> picture, everywhere = cv2.resize(rough, (128, 128), interpolation=cv2.INTER_CUBIC), np.ones((128, 128), np.float32)
    >>> changed = normalise_locally(0.5 * picture + 20, everywhere) - normalise_locally(picture, everywhere)
    >>> bool(np.abs(changed).mean() < 0.1)
    True
    """
    sigmas = (FINE * width, COARSE * width)
    everywhere = bool(mask.all())
    fine, coarse = (_blur_ones(mask.shape, sigma) if everywhere else _blur_mask(mask, sigma) for sigma in sigmas)
    image = image * mask
    passed = (cv2.GaussianBlur(image, (0, 0), sigmas[0]) / fine - cv2.GaussianBlur(image, (0, 0), sigmas[1]) / coarse) * mask
    squares = passed * passed
    spread = cv2.GaussianBlur(squares, (0, 0), sigmas[1]) / coarse + FLAT**2 + 0.02 * squares.sum() / max(mask.sum(), 1.0)
    return np.clip(passed / np.sqrt(spread), -CLIP, CLIP) * mask


def _blur_mask(mask: np.ndarray, sigma: float) -> np.ndarray:
    return np.maximum(cv2.GaussianBlur(mask, (0, 0), sigma), 1e-3)


@lru_cache(maxsize=16)
def _blur_ones(shape: tuple[int, int], sigma: float) -> np.ndarray:
    """The same of a mask of ones: that of most pictures."""
    return _blur_mask(np.ones(shape, np.float32), sigma)


def turn_image(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image in another orientation: bit 0 mirrored, bit 1 transposed, bit 2 a further half turn; contiguous.

    >>> turn_image(np.array([[1, 2], [3, 4]]), 1).tolist(), turn_image(np.array([[1, 2], [3, 4]]), 6).tolist()
    ([[2, 1], [4, 3]], [[4, 2], [3, 1]])
    """
    image = image.T if orientation & 2 else image
    image = image[:, ::-1] if orientation & 1 else image
    return np.ascontiguousarray(image[::-1, ::-1] if orientation & 4 else image)


def cut_templates(coarse: np.ndarray, orientation: int) -> list[tuple[int, float, np.ndarray]]:
    """The central part of a coarse image (24, 24) float32 at every scale, as it is turned and with a further half turn:
    (half turn 0 or 4, scale, template (16, 16) float32 of length 1).

    >>> templates = cut_templates(np.ones((24, 24), np.float32), orientation=0)
    >>> len(templates), templates[0][2].shape
    (10, (16, 16))
    """
    found = []
    for half in (0, 4):
        turned = turn_image(coarse, orientation | half)
        for scale, warp in WARPS.items():
            template = cv2.warpAffine(turned, warp, (TEMPLATE, TEMPLATE), flags=LINEAR)
            flat = template.ravel()
            found.append((half, scale, template / max(float(np.sqrt(flat @ flat)), 1e-3)))
    return found


def match_templates(coarse: np.ndarray, templates: list[tuple[int, float, np.ndarray]]) -> Match:
    """The best place of the templates in a coarse image (24, 24) float32, by absolute correlation (0 to about 1).

    >>> rough = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)
    >>> match = match_templates(rough, cut_templates(-rough, orientation=0))
    >>> round(match.correlation, 2), match.half, match.sign, match.scale, match.left, match.top
    (1.0, 0, -1, 1.0, 4, 4)
    """
    padded = cv2.copyMakeBorder(coarse, ROOM, ROOM, ROOM, ROOM, cv2.BORDER_CONSTANT, value=0)
    window = (TEMPLATE, TEMPLATE)
    energy = cv2.boxFilter(padded * padded, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    places = padded.shape[0] - TEMPLATE + 1
    middle = slice(TEMPLATE // 2, TEMPLATE // 2 + places)
    lengths = np.sqrt(np.maximum(energy[middle, middle], 1e-6))
    inverse = 1 / np.maximum(lengths, 0.3 * lengths.max())  # windows without structure are quotients of rounding errors
    best = Match(-1.0, 0, 1, 1.0, 0, 0)
    for half, scale, template in templates:
        scores = cv2.matchTemplate(padded, template, cv2.TM_CCORR) * inverse
        low, high, low_place, high_place = cv2.minMaxLoc(scores)
        sign, value, (x, y) = (1, high, high_place) if high >= -low else (-1, -low, low_place)
        if value > best.correlation:
            best = Match(value, half, sign, scale, x - ROOM, y - ROOM)
    return best


def place_template(match: Match) -> np.ndarray:
    """Warp (2, 3) float32 from a pixel of a to the pixel of the turned b, pixel centres at integers.

    >>> place_template(Match(1.0, 0, 1, 1.0, 4, 4)).tolist()  # the middle in the middle
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    scale, ratio = match.scale, THUMBNAIL / COARSE_SIDE
    middle = (COARSE_SIDE - 1) / 2 - (TEMPLATE - 1) / 2 / scale
    moves = [ratio * (middle - place / scale + 0.5 - 0.5 / scale) - 0.5 + 0.5 / scale for place in (match.left, match.top)]
    return np.array([[1 / scale, 0, moves[0]], [0, 1 / scale, moves[1]]], np.float32)


def register_views(a: View, b: View, orientation: int, match: Match, limit: float | None = None) -> float:
    """Similarity of two views from a match of their templates (`cut_templates` of b): -1 to 1, see `compare_thumbnails`.

    limit: only similarities of at least so much count; others may be those of the blurred refinement.

    >>> rough = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    >>> view = build_view(cv2.resize(rough, (128, 128), interpolation=cv2.INTER_CUBIC))
    >>> match = match_templates(view.coarse, cut_templates(view.coarse, orientation=0))
    >>> round(register_views(view, view, 0, match), 2)
    1.0
    """
    parts = (b.thumbnail, b.mask, match.sign * b.normalised)
    thumbnail, mask, normalised = (turn_image(part, orientation | match.half) for part in parts)
    in_place = match.sign * float(cv2.matchTemplate(a.thumbnail, thumbnail, cv2.TM_CCOEFF_NORMED)[0, 0])
    if in_place >= IN_PLACE:
        return in_place
    turned = replace(b, thumbnail=thumbnail, mask=mask, normalised=normalised)
    rough = _refine_small(a, turned, place_template(match))
    similarity = _correlate_overlap(a, turned, match.sign, rough)
    if similarity < max(WORTH_REFINING, -1 if limit is None else limit - BELOW_BLURRED):
        return similarity
    sharp = _refine(a.normalised, turned.normalised, turned.mask, rough, 1)
    return max(similarity, _correlate_overlap(a, turned, match.sign, sharp))


def compare_thumbnails(a: np.ndarray, b: np.ndarray, orientation: int, width: float = 1.0) -> float:
    """Similarity of two thumbnails: the normalised cross-correlation of their locally normalised overlap, -1 to 1.

    a, b: (128, 128) uint8 grey. orientation: how b is turned before it is registered: 0 as is, 1 mirrored, 2 transposed,
    3 both; each is tried with and without a further half turn. width: of the band (`choose_width`). The three tenths of the
    overlap that agree least do not count. Where the pictures as they lie correlate by at least IN_PLACE, not normalised, that is
    the similarity: what JPEG changes between strong edges is faint, and local normalisation would raise it. A comparison that
    goes badly stops early: low similarities are those of a rough registration. Images without structure give 0.

    >>> rough = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    >>> picture = cv2.resize(rough, (128, 128), interpolation=cv2.INTER_CUBIC)
    >>> round(compare_thumbnails(picture, 255 - picture, 0), 2), round(compare_thumbnails(picture, picture[:, ::-1], 1), 2)
    (1.0, 1.0)
    """
    view_a, view_b = build_view(a, width), build_view(b, width)
    if not (view_a.structured and view_b.structured):
        return 0.0
    match = match_templates(view_a.coarse, cut_templates(view_b.coarse, orientation))
    return register_views(view_a, view_b, orientation, match) if match.correlation >= HOPELESS else 0.0


def _refine_small(a: View, b: View, warp: np.ndarray) -> np.ndarray:
    """Affine refinement of `warp` on blurred images of half the side."""
    half = (THUMBNAIL // 2, THUMBNAIL // 2)
    small_a, small_b, mask = (
        cv2.resize(image, half, interpolation=cv2.INTER_AREA) for image in (a.normalised, b.normalised, b.mask)
    )
    # A pixel at x in half the side lies at 2 x + 0.5 in the whole.
    middle = warp[:, :2].sum(axis=1) / 2
    small = np.column_stack([warp[:, :2], (warp[:, 2] + middle - 0.5) / 2]).astype(np.float32)
    refined = _refine(small_a, small_b, mask, small, 3)
    middle = refined[:, :2].sum(axis=1) / 2
    return np.column_stack([refined[:, :2], 2 * refined[:, 2] - middle + 0.5]).astype(np.float32)


def _refine(a: np.ndarray, b: np.ndarray, mask: np.ndarray, warp: np.ndarray, blur: int) -> np.ndarray:
    """Affine refinement of `warp` on normalised images, mask of b; `warp` itself where it fails or is no plausible copy."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)
    try:
        refined = cv2.findTransformECC(a, b, warp.copy(), cv2.MOTION_AFFINE, stop, (mask > 0.5).astype(np.uint8), blur)[1]
    except cv2.error:
        return warp
    return refined if _is_plausible(refined[:, :2]) else warp


def _is_plausible(linear: np.ndarray) -> bool:
    left, (large, small), right = np.linalg.svd(linear)
    shear = (right.T * [large, small]) @ right
    return bool(
        large <= MAX_STRETCH * small
        and large <= MAX_SCALE
        and small >= 1 / MAX_SCALE
        and (left @ right)[0, 0] >= np.cos(np.radians(MAX_TURN))
        and abs(shear[0, 1]) <= MAX_SHEAR
    )


def _correlate_overlap(a: View, b: View, sign: int, warp: np.ndarray) -> float:
    """Normalised cross-correlation of the locally normalised overlap without the part that agrees least; -1 where the two
    overlap too little."""
    side = (THUMBNAIL, THUMBNAIL)
    mask = ((cv2.warpAffine(b.mask, warp, side, flags=LINEAR) > 0.99) & (a.mask > 0)).astype(np.float32)
    if mask.mean() < max(LEAST_OVERLAP, LEAST_SHARE * min(a.mask.mean(), b.mask.mean())):
        return -1.0
    moved = cv2.warpAffine(b.thumbnail.astype(np.float32), warp, side, flags=LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # Both are normalised within the overlap only: nothing from outside takes part.
    width = max(a.width, b.width)
    first, second = (normalise_locally(image.astype(np.float32), mask, width) for image in (a.thumbnail, moved))
    products, squares_a, squares_b, weight = (
        cv2.GaussianBlur(image, (0, 0), AGREEMENT) for image in (first * second, first * first, second * second, mask)
    )
    inside = mask > 0
    noise = 0.02 * weight + 1e-6
    agreement = (sign * products / np.sqrt((squares_a + noise) * (squares_b + noise)))[inside]
    x, y = first[inside], second[inside]
    kept = agreement >= np.quantile(agreement, LEFT_OUT)
    x, y = x[kept] - x.mean(), y[kept] - y.mean()
    energy = np.sqrt(np.square(x).mean() * np.square(y).mean())
    return float(sign * (x * y).mean() / energy) if energy >= LEAST_ENERGY else 0.0
