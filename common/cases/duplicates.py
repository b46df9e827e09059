"""Near-duplicate images: copies that were re-encoded, cropped, shifted, mirrored, turned or brightened.

A search has two steps, so that the cost stays far below comparing every pair in Python:

1. Candidates. An image is described by the magnitudes of its lowest spatial frequencies. A magnitude does not change
   when the picture moves, and mirroring or a quarter turn only permutes the magnitudes; so a blocked matrix product
   over the descriptions ranks all partners of an image at once. Three windows (whole image, a little trimmed, more
   trimmed) make it tolerant of cropped and filled borders.
2. Comparison. The few best partners are registered (template matching over scales and shifts, then OpenCV's affine
   refinement after Evangelidis & Psarakis, IEEE TPAMI 2008;30:1858) and compared by the normalised cross-correlation of
   the band-passed overlap. The band pass removes brightness and shading, in which images of one anatomy all agree.

An image without structure (a constant patch) has nothing to compare: it never becomes a near-duplicate; equal files
are found by their checksum.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

# Similarity from which two images count as the same picture. Measured on 8,105 lung CT patches of 50x50 pixels, where
# many strangers look alike (a round nodule, a curved wall): of their 33 million pairs the closest of different scans
# gives 0.930; 29 pairs of neighbouring places of one scan give more than 0.96; none lies between 0.94 and 0.96. Of
# copies (JPEG quality 60, cropped or shifted by 10 %, mirrored, turned, darker) 98 % or more of each kind lie above, of
# those brightened into saturation 92 %.
NEAR_DUPLICATE_LIMIT = 0.94

THUMBNAIL = 48  # side of the images that are compared, pixels
BORDER, BLACK = 6, 8  # widest black border that is filled, pixels; its brightest grey level
TEMPLATE = 34  # side of the central part that is looked for in the other image: leaves +-7 pixels (15 %) of shift
FINE, COARSE = 0.7, 4.0  # standard deviations (pixels) of the two Gaussians of the band pass
FLAT = 1.0  # grey levels: band-passed images with a smaller standard deviation have no structure
FREQUENCIES = 6  # highest frequency of the description, periods over the window
WINDOWS = (0.0, 0.04, 0.10)  # share trimmed from every border before describing
# Windows of the two images that are compared: 0 with 1 finds crops, 2 with 2 looks away from filled borders.
WINDOW_PAIRS = ((0, 0), (0, 1), (1, 0), (2, 2))
ORIENTATIONS = 4  # as is, mirrored, transposed, both; a half turn leaves the magnitudes as they are
ROUGH_SCALES = (0.95, 1.05)
OTHER_SCALES = (0.90, 1.00, 1.11)
# A comparison stops below these correlations: of the descriptions, after the rough scales, after all scales, of the
# unrefined overlap. Copies by the transformations in benchmarks/near_duplicates.py lie above: at least 99 % of each
# kind, 98 % of those shifted by 10 % in both directions with black borders.
UNLIKE, HOPELESS, PROMISING, WORTH_REFINING = 0.55, 0.60, 0.72, 0.70
# Refined registrations beyond these are no copies but strangers pulled into shape: ratio of the two axes' scales, scale
# (and 1 / scale), turn in degrees. Copies gave ratios up to 1.06.
MAX_STRETCH, MAX_SCALE, MAX_TURN = 1.10, 1.20, 12.0
FEW_IMAGES = 20  # below, the descriptions' statistics are too uncertain to rule out partners and orientations by them
QUERY_BLOCK, INDEX_BLOCK = 512, 4096  # one score block is 8 MiB


class Descriptions(NamedTuple):
    """What the search needs of n images."""

    thumbnails: np.ndarray  # (n, 48, 48) uint8 grey
    spectra: np.ndarray  # (n, 3 windows, 2 signs of the vertical frequency, 7, 7) float32; all zero for a flat image

    def take(self, rows: np.ndarray) -> "Descriptions":
        """Return the descriptions of some rows (positions or mask)."""
        return Descriptions(self.thumbnails[rows], self.spectra[rows])


def describe_images(images: Iterable[np.ndarray]) -> Descriptions:
    """Describe images for `find_near_duplicates`.

    images: an array (n, h, w) or (n, h, w, c) uint8, memory-mapped or not, or any iterable of (h, w[, c]) uint8 arrays,
    whose sizes may differ. They are read once, one after the other. Raises ValueError for other types and shapes.
    """
    thumbnails, spectra = [], []
    for image in images:
        thumbnails.append(_shrink(np.asarray(image)))
        if len(thumbnails) % QUERY_BLOCK == 0:
            spectra.append(_compute_spectra(thumbnails[-QUERY_BLOCK:]))
    rest = len(thumbnails) % QUERY_BLOCK
    spectra.append(_compute_spectra(thumbnails[len(thumbnails) - rest :]))
    return Descriptions(np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL), np.concatenate(spectra))


def find_near_duplicates(
    a: Descriptions, b: Descriptions | None = None, *, limit: float = NEAR_DUPLICATE_LIMIT, candidates: int = 8
) -> pd.DataFrame:
    """Find the pairs of near-duplicates between a and b, or within a when b is None.

    Returns a table index_a, index_b (positions), similarity (-1..1), most similar first, with all compared pairs of at
    least `limit`. For each image of b the `candidates` best partners in a are compared: of an image with more copies
    than that, that many are found. Within a, index_a < index_b. A limit of -1 gives every compared pair.
    """
    found: dict[tuple[int, int], float] = {}
    index, queries = _whiten(a.spectra, (a if b is None else b).spectra)
    few = len(index) + len(queries) < FEW_IMAGES
    thumbnails_b = a.thumbnails if b is None else b.thumbnails
    least = -np.inf if few else UNLIKE
    for row_b, partners, orientations in _rank_partners(index, queries, candidates, least, within=b is None):
        for row_a, orientation in zip(partners, orientations, strict=True):
            pair = (min(row_a, row_b), max(row_a, row_b)) if b is None else (row_a, row_b)
            if found.get(pair, -1.0) >= PROMISING:
                continue
            tried = range(ORIENTATIONS) if few else (orientation,)
            similarity = max(compare_thumbnails(a.thumbnails[row_a], thumbnails_b[row_b], turn) for turn in tried)
            found[pair] = max(similarity, found.get(pair, -1.0))
    rows = [(*pair, similarity) for pair, similarity in found.items() if similarity >= limit]
    rows.sort(key=lambda row: (-row[2], row[:2]))
    return pd.DataFrame(rows, columns=["index_a", "index_b", "similarity"]).astype(
        {"index_a": np.int64, "index_b": np.int64, "similarity": np.float64}
    )


def _shrink(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"expected a uint8 image (h, w) or (h, w, c), got {image.dtype} {image.shape}")
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] == 1 else image.mean(axis=2).astype(np.uint8)
    interpolation = cv2.INTER_LINEAR if max(image.shape) <= THUMBNAIL else cv2.INTER_AREA
    return cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=interpolation)


def _fill_border(image: np.ndarray) -> np.ndarray:
    """Continue the picture over a black border, as shifting leaves it; `image` itself where it has none.

    A border counts where the picture begins with a step along most of it: a dark background is part of the picture.
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


def _filter_band(image: np.ndarray) -> np.ndarray:
    image = image.astype(np.float32)
    return cv2.GaussianBlur(image, (0, 0), FINE) - cv2.GaussianBlur(image, (0, 0), COARSE)


def _compute_spectra(thumbnails: list[np.ndarray]) -> np.ndarray:
    """Square roots of the magnitudes, (n, windows, 2, 7, 7): [0] frequencies (+y, +x), [1] (-y, +x)."""
    thumbnails = [_fill_border(image) for image in thumbnails]
    side = 32
    taper = np.sqrt(np.hanning(side + 2)[1:-1])
    taper = np.outer(taper, taper).astype(np.float32)
    spectra = np.zeros((len(thumbnails), len(WINDOWS), 2, FREQUENCIES + 1, FREQUENCIES + 1), np.float32)
    structured = np.array([_filter_band(image).std() >= FLAT for image in thumbnails], bool)
    for window, trimmed in enumerate(WINDOWS):
        cut = slice(round(trimmed * THUMBNAIL), THUMBNAIL - round(trimmed * THUMBNAIL))
        small = np.zeros((len(thumbnails), side, side), np.float32)
        for row, image in enumerate(thumbnails):
            image = cv2.resize(image[cut, cut], (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
            small[row] = image - cv2.GaussianBlur(image, (0, 0), COARSE)
        spread = small.std(axis=(1, 2), keepdims=True)
        # Clipping keeps one bright edge, such as a filled border, from deciding the whole spectrum.
        small = np.clip((small - small.mean(axis=(1, 2), keepdims=True)) / np.maximum(spread, 1e-3), -1.5, 1.5)
        small -= (small * taper).sum(axis=(1, 2), keepdims=True) / taper.sum()
        magnitude = np.sqrt(np.abs(np.fft.rfft2(small * taper)))[:, :, : FREQUENCIES + 1]
        spectra[:, window, 0] = magnitude[:, : FREQUENCIES + 1]
        spectra[:, window, 1] = np.concatenate([magnitude[:, :1], magnitude[:, : -FREQUENCIES - 1 : -1]], axis=1)
    spectra[~structured] = 0
    return spectra


def _turn_spectra(spectra: np.ndarray, orientation: int) -> np.ndarray:
    """Spectra (..., 2, 7, 7) of the images in another orientation: bit 0 mirrored, bit 1 transposed."""
    if orientation & 1:
        spectra = np.flip(spectra, axis=-3)
    return np.swapaxes(spectra, -1, -2) if orientation & 2 else spectra


def _whiten(spectra_a: np.ndarray, spectra_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring every frequency to mean 0, spread 1 over all images, then every description to length 1; flat ones stay 0.

    What all images of one anatomy have in common is taken away, so that the products tell them apart.
    """
    parts = [part[part.any(axis=(1, 2, 3, 4))] for part in (spectra_a, spectra_b)]
    count = max(1, sum(map(len, parts)))
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / count
    variance = sum(np.square(part - mean).sum(axis=0, dtype=np.float64) for part in parts) / count
    # The same for all orientations of a frequency: a mirrored image must get the mirrored description.
    mean, variance = (np.mean([_turn_spectra(x, turn) for turn in range(ORIENTATIONS)], axis=0) for x in (mean, variance))
    whitened = []
    for spectra in (spectra_a, spectra_b):
        result = (spectra - mean.astype(np.float32)) / np.sqrt(variance + 1e-9).astype(np.float32)
        result /= np.sqrt(np.square(result).sum(axis=(2, 3, 4), keepdims=True)) + 1e-9
        result[~spectra.any(axis=(1, 2, 3, 4))] = 0
        whitened.append(result)
    return whitened[0], whitened[1]


def _rank_partners(
    index: np.ndarray, queries: np.ndarray, count: int, least: float, within: bool
) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield (query row, rows of its best partners in the index, their orientations), in blocks of bounded memory."""
    size = int(np.prod(index.shape[2:]))
    columns = np.ascontiguousarray(np.swapaxes(index.reshape(-1, len(WINDOWS), size), 0, 1))
    structured = queries.any(axis=(1, 2, 3, 4)), index.any(axis=(1, 2, 3, 4))
    # Within one set every pair comes twice, with exchanged roles: the mirror of a pair of windows is not needed.
    pairs = [pair for pair in WINDOW_PAIRS if not within or pair[0] <= pair[1]]
    for first in range(0, len(queries) if len(index) else 0, QUERY_BLOCK):
        turns = [_turn_spectra(queries[first : first + QUERY_BLOCK], turn) for turn in range(ORIENTATIONS)]
        turned = np.ascontiguousarray(np.swapaxes([part.reshape(-1, len(WINDOWS), size) for part in turns], 1, 2))
        best_rows, best_scores = [], []
        for start in range(0, len(index), INDEX_BLOCK):
            scores = _score_block(columns[:, start : start + INDEX_BLOCK], turned, pairs)
            if within:  # an image is not its own partner
                own = np.arange(len(scores)) + first - start
                inside = (own >= 0) & (own < scores.shape[1])
                scores[inside, own[inside]] = -np.inf
            kept = min(count, scores.shape[1])
            top = np.argpartition(scores, -kept, axis=1)[:, -kept:]
            best_rows.append(top + start)
            best_scores.append(np.take_along_axis(scores, top, axis=1))
        rows, scores = np.concatenate(best_rows, axis=1), np.concatenate(best_scores, axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
        products = [[np.einsum("qd,qkd->qk", part[b], columns[a][rows]) for a, b in pairs] for part in turned]
        orientations = np.max(products, axis=1).argmax(axis=0)
        for row in np.flatnonzero(structured[0][first : first + QUERY_BLOCK]):
            valid = (scores[row] > least) & structured[1][rows[row]]
            yield first + int(row), rows[row, valid].tolist(), orientations[row, valid].tolist()


def _score_block(columns: np.ndarray, turned: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Largest product over orientations and window pairs, (queries, columns) float32.

    columns: (windows, columns, d); turned: (orientations, windows, queries, d).
    """
    scores = np.full((turned.shape[2], columns.shape[1]), -np.inf, np.float32)
    products = np.empty_like(scores)
    for window_a, window_b in pairs:
        for part in turned:
            np.matmul(part[window_b], columns[window_a].T, out=products)
            np.maximum(scores, products, out=scores)
    return scores


def compare_thumbnails(a: np.ndarray, b: np.ndarray, orientation: int) -> float:
    """Similarity (-1..1) of thumbnails (48, 48) uint8, b turned by `orientation` (0..3), and by that and a half turn.

    Black borders are tried as they are and filled: their step outweighs the picture, but they may be part of it.
    """
    similarity = _register(a, b, orientation)
    filled_a, filled_b = _fill_border(a), _fill_border(b)
    if filled_a is a and filled_b is b:
        return similarity
    return max(similarity, _register(filled_a, filled_b, orientation))


def _register(a: np.ndarray, b: np.ndarray, orientation: int) -> float:
    passed_a, passed_b = _filter_band(a), _filter_band(b)
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
