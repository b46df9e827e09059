"""How alike are two pictures of one kind? They are registered, then correlated.

Registration: template matching over scales and shifts, then OpenCV's affine refinement (Evangelidis GD, Psarakis EZ. IEEE
Trans Pattern Anal Mach Intell 2008;30:1858-1865). Comparison: the normalised cross-correlation of the band-passed overlap.
The band pass removes brightness and shading, in which images of one anatomy all agree.
"""

import cv2
import numpy as np

THUMBNAIL = 48  # side of the images that are compared, pixels
BORDER = 6  # width of the widest black border that is filled, pixels
BLACK = 8  # brightest grey level of such a border
TEMPLATE = 34  # side of the central part that is looked for in the other image: leaves +-7 pixels (15 %) of shift
FINE, COARSE = 0.7, 4.0  # standard deviations (pixels) of the two Gaussians of the band pass
FLAT = 1.0  # grey levels: band-passed images with a smaller standard deviation have no structure
ORIENTATIONS = 4  # as is, mirrored, transposed, both; half turns are tried with each
ROUGH_SCALES = (0.95, 1.05)  # enlargements of the second image that are tried first
OTHER_SCALES = (0.90, 1.00, 1.11)  # and then
# A comparison stops where a correlation is below these. Copies by the transformations in benchmarks/near_duplicates.py lie
# above: at least 99 % of each kind, 98 % of those shifted by 10 % in both directions with black borders.
UNLIKE = 0.55  # of the descriptions (common.cases.duplicates)
HOPELESS = 0.60  # of the templates, after the rough scales
PROMISING = 0.72  # of the templates, after all scales
WORTH_REFINING = 0.70  # of the overlap, before the affine refinement
# A refined registration beyond these is no copy but a stranger pulled into shape.
MAX_STRETCH = 1.10  # ratio of the two axes' scales; copies gave up to 1.06
MAX_SCALE = 1.20  # and 1 / MAX_SCALE
MAX_TURN = 12.0  # degrees


def fill_border(image: np.ndarray) -> np.ndarray:
    """Continue the picture over a black border, as shifting leaves it; `image` itself where it has none.

    image: (48, 48) uint8. A border is at most BORDER pixels wide and at most BLACK bright, and counts where the picture begins
    with a step along most of it: a dark background is part of the picture. Returns (48, 48) uint8.

    >>> picture = np.full((48, 48), 100, np.uint8)
    >>> picture[:3] = 0
    >>> int(fill_border(picture).min())
    100
    """
    if all(edge.max() > BLACK for edge in (image[0], image[-1], image[:, 0], image[:, -1])):
        return image
    filled = image
    for turns in range(4):
        side = np.rot90(filled, turns)
        if side[0].max() > BLACK:
            continue
        rows = int((side[: BORDER + 1] <= BLACK).all(axis=1).argmin())  # 0 also where the black is wider than BORDER
        if rows and (side[rows + 1] > 2 * BLACK).mean() > 0.8:
            filled = filled.copy() if filled is image else filled
            np.rot90(filled, turns)[: rows + 1] = side[rows + 1]  # one row more: it mixes border and picture
    return filled


def filter_band(image: np.ndarray) -> np.ndarray:
    """Band-passed image, (h, w) float32: the difference of two Gaussian blurs, of FINE and of COARSE pixels.

    image: (h, w) of any number type. Even brightness is removed:

    >>> picture = np.arange(48 * 48).reshape(48, 48) % 256
    >>> bool(np.allclose(filter_band(picture), filter_band(picture + 20), atol=1e-3))
    True
    """
    image = image.astype(np.float32)
    return cv2.GaussianBlur(image, (0, 0), FINE) - cv2.GaussianBlur(image, (0, 0), COARSE)


def compare_thumbnails(a: np.ndarray, b: np.ndarray, orientation: int) -> float:
    """Similarity of two thumbnails: the normalised cross-correlation of their band-passed overlap, -1 to 1.

    a, b: (48, 48) uint8 grey. orientation: how b is turned before it is registered: 0 as is, 1 mirrored, 2 transposed,
    3 both; each is tried with and without a further half turn. A comparison that goes badly stops early: similarities below
    PROMISING are those of a rough registration. Images without structure give 0. Black borders are tried as they are and
    filled: their step outweighs the picture, but they may be part of it.

    >>> rough = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    >>> picture = cv2.resize(rough, (48, 48), interpolation=cv2.INTER_CUBIC)
    >>> round(compare_thumbnails(picture, picture, 0), 2), round(compare_thumbnails(picture, picture[:, ::-1], 1), 2)
    (1.0, 1.0)
    """
    similarity = _register(a, b, orientation)
    filled_a, filled_b = fill_border(a), fill_border(b)
    if filled_a is a and filled_b is b:
        return similarity
    return max(similarity, _register(filled_a, filled_b, orientation))


def _register(a: np.ndarray, b: np.ndarray, orientation: int) -> float:
    passed_a, passed_b = filter_band(a), filter_band(b)
    edge = (THUMBNAIL - TEMPLATE) // 2
    if passed_b[edge:-edge, edge:-edge].std() < FLAT:
        return 0.0
    # Windows without structure would give quotients of two rounding errors.
    mean = cv2.boxFilter(passed_a, -1, (TEMPLATE, TEMPLATE))
    variance = cv2.boxFilter(passed_a * passed_a, -1, (TEMPLATE, TEMPLATE)) - mean * mean
    middle, places = TEMPLATE // 2, THUMBNAIL - TEMPLATE + 1
    flat = variance[middle : middle + places, middle : middle + places] < FLAT**2
    halves = [_turn_image(passed_b, orientation), _turn_image(passed_b, orientation)[::-1, ::-1]]
    rough = [_match(passed_a, half, scale, flat) + (turn,) for turn, half in enumerate(halves) for scale in ROUGH_SCALES]
    best = max(rough)
    if best[0] < HOPELESS:
        return best[0]
    turn = best[-1]
    best = max([best] + [_match(passed_a, halves[turn], scale, flat) + (turn,) for scale in OTHER_SCALES])
    if best[0] < PROMISING:
        return best[0]
    turned_b = _turn_image(b, orientation)[::-1, ::-1] if turn else _turn_image(b, orientation)
    scale, left, top = best[1:4]
    # From a pixel of a to the pixel of b, pixel centres at integers.
    warp = np.array([[1 / scale, 0, (0.5 - left) / scale - 0.5], [0, 1 / scale, (0.5 - top) / scale - 0.5]], np.float32)
    unrefined = _correlate_overlap(a, turned_b, warp)
    if unrefined < WORTH_REFINING:
        return unrefined
    return max(unrefined, _correlate_overlap(a, turned_b, _refine(passed_a, halves[turn], warp)))


def _turn_image(image: np.ndarray, orientation: int) -> np.ndarray:
    image = image.T if orientation & 2 else image
    return image[:, ::-1] if orientation & 1 else image


def _match(a: np.ndarray, b: np.ndarray, scale: float, flat: np.ndarray) -> tuple[float, float, int, int]:
    """Best place of b's centre, enlarged by `scale`, in a: (correlation, scale, left, top of the enlarged b in a)."""
    side = round(THUMBNAIL * scale)
    margin = (side - TEMPLATE) // 2
    template = cv2.resize(np.ascontiguousarray(b), (side, side), interpolation=cv2.INTER_LINEAR)
    template = np.ascontiguousarray(template[margin : margin + TEMPLATE, margin : margin + TEMPLATE])
    scores = cv2.matchTemplate(a, template, cv2.TM_CCOEFF_NORMED)
    scores[flat] = 0
    _, value, _, (x, y) = cv2.minMaxLoc(scores)
    return value, side / THUMBNAIL, x - margin, y - margin


def _refine(a: np.ndarray, b: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """Affine refinement of `warp` on the band-passed images; `warp` itself where it fails or is no plausible copy."""
    mask = cv2.erode(_cover(warp), np.ones((7, 7), np.uint8)).astype(np.uint8)  # keeps a filled border's edge out
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)
    try:
        refined = cv2.findTransformECC(a, np.ascontiguousarray(b), warp.copy(), cv2.MOTION_AFFINE, stop, mask, 1)[1]
    except cv2.error:
        return warp
    left, (large, small), right = np.linalg.svd(refined[:, :2])
    turn = left @ right
    plausible = (
        large <= MAX_STRETCH * small
        and large <= MAX_SCALE
        and small >= 1 / MAX_SCALE
        and turn[0, 0] >= np.cos(np.radians(MAX_TURN))
    )
    return refined if plausible else warp


def _cover(warp: np.ndarray) -> np.ndarray:
    """Mask (48, 48) float32 of a's pixels that b covers."""
    ones = np.ones((THUMBNAIL, THUMBNAIL), np.float32)
    return cv2.warpAffine(ones, warp, ones.shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)


def _correlate_overlap(a: np.ndarray, b: np.ndarray, warp: np.ndarray) -> float:
    """Normalised cross-correlation of the band-passed overlap; -1 where less than half of the image overlaps."""
    mask = cv2.erode(_cover(warp), np.ones((3, 3), np.uint8), borderValue=1.0)
    inside = mask > 0
    if inside.mean() < 0.5:
        return -1.0
    linear = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(b.astype(np.float32), warp, mask.shape, flags=linear, borderMode=cv2.BORDER_REPLICATE)
    # Blurring within the mask only, the same for both: nothing from outside the overlap takes part.
    fine, coarse = (np.maximum(cv2.GaussianBlur(mask, (0, 0), sigma), 1e-3) for sigma in (FINE, COARSE))
    parts = []
    for image in (a.astype(np.float32), moved):
        image = image * mask
        passed = cv2.GaussianBlur(image, (0, 0), FINE) / fine - cv2.GaussianBlur(image, (0, 0), COARSE) / coarse
        parts.append(passed[inside] - passed[inside].mean())
    spreads = [part.std() for part in parts]
    if min(spreads) < FLAT:
        return 0.0
    return float(np.mean(parts[0] * parts[1]) / (spreads[0] * spreads[1]))
