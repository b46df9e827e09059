"""Near-duplicate images: copies that were re-encoded, cropped, shifted, mirrored, turned or brightened.

A search has two steps, so that the cost stays far below comparing every pair in Python:

1. Candidates. An image is described by the magnitudes of its lowest spatial frequencies. A magnitude does not change
   when the picture moves, and mirroring or a quarter turn only permutes the magnitudes; so a blocked matrix product
   over the descriptions ranks all partners of an image at once. Three windows (whole image, a little trimmed, more
   trimmed) make it tolerant of cropped and filled borders.
2. Comparison. The few best partners are registered and correlated (common.cases.registration).

An image without structure (a constant patch) has nothing to compare: it never becomes a near-duplicate; equal files
are found by their checksum.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from common.cases.registration import (
    COARSE,
    FLAT,
    ORIENTATIONS,
    PROMISING,
    THUMBNAIL,
    UNLIKE,
    compare_thumbnails,
    fill_border,
    filter_band,
)

# Similarity from which two images count as the same picture. Measured on 8,105 lung CT patches of 50x50 pixels, where
# many strangers look alike (a round nodule, a curved wall): of their 33 million pairs the closest of different scans
# gives 0.930; 29 pairs of neighbouring places of one scan give more than 0.96; none lies between 0.94 and 0.96. Of
# copies (JPEG quality 60, cropped or shifted by 10 %, mirrored, turned, darker) 98 % or more of each kind lie above, of
# those brightened into saturation 92 %.
NEAR_DUPLICATE_LIMIT = 0.94

FREQUENCIES = 6  # highest frequency of the description, periods over the window
WINDOWS = (0.0, 0.04, 0.10)  # share trimmed from every border before describing
# Which windows of two images are compared: whole with whole; whole with trimmed, which finds crops; the most trimmed ones,
# which leaves filled borders out.
WINDOW_PAIRS = ((0, 0), (0, 1), (1, 0), (2, 2))
# With fewer images no partner and no orientation is ruled out by its description: the statistics are too uncertain.
FEW_IMAGES = 20
QUERY_BLOCK, INDEX_BLOCK = 512, 4096  # images of b and of a that are scored at once: 8 MiB


class Descriptions(NamedTuple):
    """What the search needs of n images; made by `describe_images`."""

    thumbnails: np.ndarray  # (n, 48, 48) uint8 grey
    spectra: np.ndarray  # (n, 3 windows, 2 signs of the vertical frequency, 7, 7) float32; all zero for a flat image

    def take(self, rows: np.ndarray) -> "Descriptions":
        """Return the descriptions of some rows (positions or mask)."""
        return Descriptions(self.thumbnails[rows], self.spectra[rows])


def describe_images(images: Iterable[np.ndarray]) -> Descriptions:
    """Describe images for `find_near_duplicates`: thumbnails, and magnitudes of their lowest spatial frequencies.

    images: an array (n, h, w) or (n, h, w, c) uint8, memory-mapped or not, or any iterable of (h, w[, c]) uint8 arrays,
    whose sizes may differ. They are read once, one after the other. Raises ValueError for other types and shapes.

    >>> described = describe_images(np.zeros((3, 100, 80), np.uint8))
    >>> described.thumbnails.shape, described.spectra.shape, described.take(np.array([0, 2])).thumbnails.shape
    ((3, 48, 48), (3, 3, 2, 7, 7), (2, 48, 48))
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

    Returns a table index_a, index_b (positions, int64), similarity (float64, -1 to 1, see `compare_thumbnails`), most similar
    first, with all compared pairs of at least `limit`. For each image of b the `candidates` best partners in a are compared: of
    an image with more copies than that, that many are found. Within a, index_a < index_b. A limit of -1 gives every compared
    pair.

    Four pictures, of which the last is the first one mirrored:

    >>> rough = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    >>> pictures = [cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC) for image in rough]
    >>> table = find_near_duplicates(describe_images([*pictures, pictures[0][:, ::-1]]))
    >>> table[["index_a", "index_b"]].to_numpy().tolist(), bool(table["similarity"][0] > 0.99)
    ([[0, 3]], True)
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


def _compute_spectra(thumbnails: list[np.ndarray]) -> np.ndarray:
    """Square roots of the magnitudes, (n, windows, 2, 7, 7): [0] frequencies (+y, +x), [1] (-y, +x)."""
    thumbnails = [fill_border(image) for image in thumbnails]
    side = 32
    taper = np.sqrt(np.hanning(side + 2)[1:-1])
    taper = np.outer(taper, taper).astype(np.float32)
    spectra = np.zeros((len(thumbnails), len(WINDOWS), 2, FREQUENCIES + 1, FREQUENCIES + 1), np.float32)
    structured = np.array([filter_band(image).std() >= FLAT for image in thumbnails], bool)
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


def _find_structured(spectra: np.ndarray) -> np.ndarray:
    """Mask (n,) of the images that are not flat."""
    return np.asarray(spectra.any(axis=(1, 2, 3, 4)))


def _turn_spectra(spectra: np.ndarray, orientation: int) -> np.ndarray:
    """Spectra (..., 2, 7, 7) of the images in another orientation: bit 0 mirrored, bit 1 transposed."""
    if orientation & 1:
        spectra = np.flip(spectra, axis=-3)
    return np.swapaxes(spectra, -1, -2) if orientation & 2 else spectra


def _whiten(spectra_a: np.ndarray, spectra_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring every frequency to mean 0, spread 1 over all images, then every description to length 1; flat ones stay 0.

    What all images of one anatomy have in common is taken away, so that the products tell them apart.
    """
    parts = [part[_find_structured(part)] for part in (spectra_a, spectra_b)]
    count = max(1, sum(map(len, parts)))
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / count
    variance = sum(np.square(part - mean).sum(axis=0, dtype=np.float64) for part in parts) / count
    # The same for all orientations of a frequency: a mirrored image must get the mirrored description.
    mean, variance = (np.mean([_turn_spectra(x, turn) for turn in range(ORIENTATIONS)], axis=0) for x in (mean, variance))
    whitened = []
    for spectra in (spectra_a, spectra_b):
        result = (spectra - mean.astype(np.float32)) / np.sqrt(variance + 1e-9).astype(np.float32)
        result /= np.sqrt(np.square(result).sum(axis=(2, 3, 4), keepdims=True)) + 1e-9
        result[~_find_structured(spectra)] = 0
        whitened.append(result)
    return whitened[0], whitened[1]


def _rank_partners(
    index: np.ndarray, queries: np.ndarray, count: int, least: float, within: bool
) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield (query row, rows of its best partners in the index, their orientations), in blocks of bounded memory."""
    size = int(np.prod(index.shape[2:]))
    columns = np.ascontiguousarray(np.swapaxes(index.reshape(-1, len(WINDOWS), size), 0, 1))
    structured = _find_structured(queries), _find_structured(index)
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
