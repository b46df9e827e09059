"""From a film to the picture of a breast (sec. 6.2, Fig. 4): white border, labels and noise removed, cropped, turned, resized.

The breast is the largest piece above a threshold: Otsu's, and again Otsu's of what lies below it, as a single one cuts fat
and skin off; pieces narrower than a tenth of the picture (labels, tape) are opened away before.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from replications.ddsm_inceptionv4.config import Config

BLUR = 2.0  # pixels of the small picture
FRAME_BRIGHT, FRAME_MEDIAN = 200, 230  # grey levels 0..255: a row of a white frame has its 20th percentile or median above
FRAME_MOST = 8  # a frame is at most an eighth of a side
SHARES = (0.05, 0.95)  # of the picture, which a breast covers
LEAST_PIECE = 0.0005  # of the picture: smaller bright pieces outside are noise
STROKE, LETTER_LEVEL, LETTER_CONTRAST = 15, 235, 110  # pixels; grey level of letters, and how far above what lies around
LETTER_AREAS = (8, 2500)  # pixels
MOST_LETTERS, LEAST_SOLIDITY = 1, 0.84  # more letters are doubtful; share of its convex hull that a breast fills
SAMPLED = 4_000_000  # pixels above which percentiles are taken of every fourth row and column


@dataclass(frozen=True)
class Breast:
    """Where the breast lies in a film, and how the search went."""

    mask: np.ndarray  # bool, of the small picture (mask_side)
    share: float  # of the picture that it covers
    pieces: int  # bright pieces outside it, which were removed: labels, tape, border
    letters: int  # spots inside it that stand out like letters
    solidity: float  # share of its convex hull that it fills
    doubt: str  # "" if nothing is doubtful


@dataclass(frozen=True)
class Prepared:
    """A film as the networks take it."""

    picture: np.ndarray  # uint8 (size, size), tissue bright, 0 outside the breast
    breast: Breast
    flipped: bool
    low: float  # percentiles of the grey levels of the whole film
    high: float


def find_range(levels: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """The two percentiles of the levels; of every fourth row and column in large films."""
    seen = levels[::4, ::4] if levels.size > SAMPLED else levels
    low, high = np.percentile(seen, percentiles)
    return float(low), float(high)


def scale_levels(levels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Levels to 0..255, uint8: low and below to 0, high and above to 255.

    >>> scale_levels(np.array([0, 10, 20, 30]), 10, 20).tolist()
    [0, 0, 255, 255]
    """
    return np.rint(255 * np.clip((levels.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def shrink(levels: np.ndarray, side: int) -> np.ndarray:
    """The film with its longer side `side` pixels, its shape kept, same dtype (uint8, uint16 or float32); smaller ones are
    enlarged."""
    factor = side / max(levels.shape)
    size = [max(1, round(length * factor)) for length in levels.shape]
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(levels, size[::-1], interpolation=kind)


def find_frame(small: np.ndarray) -> tuple[int, int, int, int]:
    """Rows and columns of a white frame at the top, bottom, left and right of a picture uint8; 0 where there is none.

    >>> picture = np.zeros((80, 80), np.uint8)
    >>> picture[:5], picture[:, 77:] = 255, 255
    >>> find_frame(picture)
    (5, 0, 0, 3)
    """

    def count(lines: np.ndarray) -> int:
        white = [np.percentile(line, 20) > FRAME_BRIGHT or np.median(line) > FRAME_MEDIAN for line in lines]
        return len(white) if all(white) else white.index(False)

    rows, columns = (max(1, length // FRAME_MOST) for length in small.shape)
    found = count(small[:rows]), count(small[::-1][:rows]), count(small.T[:columns]), count(small.T[::-1][:columns])
    most = (rows, rows, columns, columns)
    # As wide as it may be, it is no frame: an eighth of the film that is white through and through is tissue.
    return tuple(0 if width == limit else width for width, limit in zip(found, most, strict=True))  # type: ignore[return-value]


def find_level(blurred: np.ndarray) -> float:
    """The grey level between film and skin: Otsu's threshold of what lies below Otsu's threshold."""
    first = cv2.threshold(blurred, 0, 255, cv2.THRESH_OTSU)[0]
    below = blurred[blurred <= first]
    return float(cv2.threshold(below.reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)[0])


def find_breast(small: np.ndarray, config: Config) -> Breast:
    """The breast in a small picture of a film uint8, tissue bright. Where it covers less than 5 or more than 95 % of the picture,
    the whole is taken, and the doubt says so."""
    height, width = small.shape
    top, bottom, left, right = find_frame(small)
    inner = (slice(top, height - bottom), slice(left, width - right))
    blurred = cv2.GaussianBlur(small, (0, 0), BLUR)
    bright = np.zeros((height, width), np.uint8)
    bright[inner] = blurred[inner] > find_level(blurred[inner])
    radius = max(1.0, config.opening * max(small.shape) / 2)
    opened = open_mask(bright, radius)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    whole = np.ones((height, width), bool)
    if count < 2:
        return Breast(whole, 1.0, 0, 0, 1.0, "no breast found: the whole film is taken")
    mask = fill_holes(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())
    share = float(mask.mean())
    outside = (bright > 0) & (cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) > radius)
    _, _, pieces, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8))
    removed = int((pieces[1:, cv2.CC_STAT_AREA] > LEAST_PIECE * mask.size).sum()) + bool(top + bottom + left + right)
    if not SHARES[0] <= share <= SHARES[1]:
        return Breast(whole, share, removed, 0, 1.0, f"what was found covers {share:.0%} of the film: the whole is taken")
    letters, solidity = count_letters(small, mask), measure_solidity(mask)
    doubts = [
        f"{letters} spots stand out like letters" if letters > MOST_LETTERS else "",
        f"its outline is ragged: it fills {solidity:.0%} of its hull" if solidity < LEAST_SOLIDITY else "",
    ]
    return Breast(mask, share, removed, letters, solidity, "; ".join(filter(None, doubts)))


def open_mask(mask: np.ndarray, radius: float) -> np.ndarray:
    """Morphological opening by a disc: what no disc of that radius inside the mask covers goes; uint8 (rows, columns) of 0 and 1.

    The mask goes on beyond the picture as it is at its border, else the chest wall would be rounded off. By distances, which
    take as long for a large disc as for a small one.

    >>> mask = np.zeros((40, 40), np.uint8)
    >>> mask[:, :20], mask[5:7, 20:] = 1, 1
    >>> int(open_mask(mask, 5).sum()), int(open_mask(mask, 5)[:, 25:].sum())
    (800, 0)
    """
    side = int(np.ceil(2 * radius))
    framed = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_REPLICATE)
    far_inside = cv2.distanceTransform(framed, cv2.DIST_L2, 5) > radius
    opened = (cv2.distanceTransform((~far_inside).astype(np.uint8), cv2.DIST_L2, 5) < radius) & (framed > 0)
    return np.ascontiguousarray(opened[side:-side, side:-side], np.uint8)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with all that it encloses.

    >>> ring = np.pad(np.ones((3, 3), bool), 1)
    >>> ring[2, 2] = False
    >>> bool(fill_holes(ring)[2, 2])
    True
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 1, thickness=cv2.FILLED)
    return filled.astype(bool)


def count_letters(small: np.ndarray, mask: np.ndarray) -> int:
    """Bright spots inside the breast, not larger than letters, that lie far above all that is a stroke away: digits, markers."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (STROKE, STROKE))
    raised = cv2.morphologyEx(small, cv2.MORPH_TOPHAT, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(((small >= LETTER_LEVEL) & mask).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    contrast = np.bincount(labels.ravel(), weights=raised.ravel(), minlength=count) / np.maximum(areas, 1)
    low, high = LETTER_AREAS
    return int(((areas >= low) & (areas <= high) & (contrast > LETTER_CONTRAST))[1:].sum())


def measure_solidity(mask: np.ndarray) -> float:
    """Share of its convex hull that the mask fills.

    >>> measure_solidity(np.ones((9, 9), bool))
    1.0
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(hull, [cv2.convexHull(outline)], 1)
    return float(mask.sum() / max(1, hull.sum()))


def prepare_picture(levels: np.ndarray, config: Config, side: str = "") -> Prepared:
    """The picture of a breast from the grey levels of a film (rows, columns), tissue bright; side: left or right, where it is
    known.

    It is turned by where the breast hangs, which is doubted where `side` says otherwise, and by `side` where no breast was found.
    """
    small = shrink(levels, config.mask_side)
    low, high = find_range(small, config.percentiles)
    breast = find_breast(scale_levels(small, low, high), config)
    rows, columns = (np.flatnonzero(breast.mask.any(axis=axis)) for axis in (1, 0))
    box = [
        slice(int(first * length / inner), max(int(np.ceil((last + 1) * length / inner)), int(first * length / inner) + 1))
        for (first, last), length, inner in zip(
            ((rows[0], rows[-1]), (columns[0], columns[-1])), levels.shape, breast.mask.shape, strict=True
        )
    ]
    part = shrink(levels[box[0], box[1]], config.size)
    inside = breast.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    kept = cv2.resize(inside, part.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    picture = scale_levels(part, *find_range(part[kept], config.percentiles))
    picture[~kept] = 0
    right = side == "right" if breast.mask.all() else is_right(breast.mask)
    if side and right != (side == "right"):
        breast = replace(breast, doubt="; ".join(filter(None, [breast.doubt, f"it hangs on the other side than a {side} one"])))
    flipped = config.flip and right
    picture = picture[:, ::-1] if flipped else picture
    framed = np.zeros((config.size, config.size), np.uint8)
    top = (config.size - picture.shape[0]) // 2
    framed[top : top + picture.shape[0], : picture.shape[1]] = picture  # the chest wall stays at the left edge
    return Prepared(framed, breast, bool(flipped), *find_range(levels, config.percentiles))


def is_right(mask: np.ndarray) -> bool:
    """Whether a breast hangs on the right edge of the film: more of it lies in that half.

    >>> left = np.zeros((4, 8), bool)
    >>> left[:, :3] = True
    >>> is_right(left), is_right(left[:, ::-1])
    (False, True)
    """
    half = mask.shape[1] // 2
    return bool(mask[:, -half:].sum() > mask[:, :half].sum())
