"""Which images may show the same picture: partners ranked by their spectra, far below the cost of comparing every pair.

Spectra of copies differ in known ways, so the difference of two images is measured in units of what copying does: of a sample
of the images copies are made (labelled, gamma, equalised, turned by 5 degrees, encoded, saturated), and the spectra are
decorrelated by the covariance of their changes, as linear discriminant analysis does (Fisher RA. Annals of Eugenics
1936;7:179-188). Then one blocked matrix product per pair of windows ranks all partners of an image at once.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from common.cases.descriptions import WINDOWS, Descriptions, compute_spectrum, turn_spectra
from common.cases.registration import ORIENTATIONS, THUMBNAIL, build_view

SAMPLE = 32  # images of which copies are made
RIDGE = 0.05  # of the mean variance, added to each: directions in which no copy of the sample changed
# Which windows of two images are compared beyond whole with whole: whole with trimmed.
WINDOW_PAIRS = ((0, 0), *((0, window) for window in range(1, len(WINDOWS))), *((window, 0) for window in range(1, len(WINDOWS))))
QUERY_BLOCK, INDEX_BLOCK = 256, 2048  # images of b and of a that are scored at once: 2 MiB a matrix, several fit a cache


class Ranked(NamedTuple):
    """The partners of one query: rows of the index, and the orientation in which each is most like the query."""

    query: int
    partners: np.ndarray  # (k,) int64
    orientations: np.ndarray  # (k,) int64


class Space(NamedTuple):
    """Decorrelated spectra: mean and matrix, split into parts that turning an image leaves alone or negates."""

    mean: np.ndarray  # (98,) float32
    matrix: np.ndarray  # (98, 98) float32, its columns ordered by part
    parts: tuple[slice, ...]  # columns of the four parts: (mirrored, transposed) = (+, +), (+, -), (-, +), (-, -)


def learn_space(described: Descriptions) -> Space:
    """Space in which copies of the described images stay together.

    >>> from common.cases.descriptions import describe_images
    >>> space = learn_space(describe_images(np.random.default_rng(0).integers(0, 256, (5, 24, 24), np.uint8)))
    >>> space.matrix.shape, [part.stop - part.start for part in space.parts]
    ((98, 98), [28, 21, 28, 21])
    """
    whole = described.spectra[:, 0]
    structured = whole.any(axis=(1, 2, 3))
    # The same for all orientations: a mirrored image must get the mirrored description.
    mean = np.mean([turn_spectra(whole[structured].sum(axis=0, dtype=np.float64), turn) for turn in range(ORIENTATIONS)], axis=0)
    mean /= max(1, structured.sum())
    rows = np.flatnonzero(structured)
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(int)] if len(rows) else rows
    size = mean.size
    copies = ((row, copy) for row in rows for copy in _copy_thumbnail(described.thumbnails[row]))
    changes = [compute_spectrum(build_view(copy, described.widths[row]))[0] - whole[row] for row, copy in copies]
    turned = np.array([[turn_spectra(change, turn) for turn in range(ORIENTATIONS)] for change in changes]).reshape(-1, size)
    covariance = turned.T.astype(np.float64) @ turned / max(1, len(turned)) if len(turned) else np.eye(size)
    ridge = RIDGE * np.trace(covariance) / size + 1e-12
    values, vectors = np.linalg.eigh(covariance + ridge * np.eye(size))
    matrix = (vectors / np.sqrt(values)) @ vectors.T  # symmetric, so that it commutes with turning
    bases = _split_space(mean.shape)
    stops = np.cumsum([0, *(basis.shape[1] for basis in bases)]).tolist()
    parts = tuple(slice(start, stop) for start, stop in zip(stops[:-1], stops[1:], strict=True))
    return Space(mean.ravel().astype(np.float32), (matrix @ np.concatenate(bases, axis=1)).astype(np.float32), parts)


def place_spectra(space: Space, spectra: np.ndarray) -> np.ndarray:
    """Spectra (n, windows, 2, 7, 7) in the space, (windows, n, 98) float32 of length 1; 0 for images without structure.

    >>> from common.cases.descriptions import describe_images
    >>> described = describe_images(np.random.default_rng(0).integers(0, 256, (5, 24, 24), np.uint8))
    >>> placed = place_spectra(learn_space(described), described.spectra)
    >>> placed.shape, bool(np.allclose(np.linalg.norm(placed, axis=2), 1, atol=1e-5))
    ((4, 5, 98), True)
    """
    flat = spectra.reshape(len(spectra), len(WINDOWS), -1)
    placed = np.ascontiguousarray(np.swapaxes((flat - space.mean) @ space.matrix, 0, 1))
    placed /= np.sqrt(np.square(placed).sum(axis=2, keepdims=True)) + 1e-9
    placed[:, ~spectra.any(axis=(1, 2, 3, 4))] = 0
    return placed


def rank_partners(
    space: Space, index: np.ndarray, queries: np.ndarray, rows: np.ndarray, count: int, *, within: bool
) -> Iterator[Ranked]:
    """The best partners of some queries in the index, in blocks of bounded memory.

    index, queries: `place_spectra`; rows: which queries. count: partners of each, by the whole images and, as many again, by all
    pairs of windows; those that both name come once. within: index and queries are the same images: none is its own partner,
    and of a pair of windows and the reverse one suffices, as every pair of images comes twice.

    >>> from common.cases.descriptions import describe_images
    >>> images = np.random.default_rng(0).integers(0, 256, (5, 24, 24), np.uint8)
    >>> described, turned = describe_images(images), describe_images(images[3:4, ::-1].swapaxes(1, 2))
    >>> space = learn_space(described)
    >>> index, queries = place_spectra(space, described.spectra), place_spectra(space, turned.spectra)
    >>> (ranked,) = rank_partners(space, index, queries, np.arange(1), 1, within=False)
    >>> ranked.query, ranked.partners.tolist(), ranked.orientations.tolist()
    (0, [3], [3])
    """
    pairs = [pair for pair in WINDOW_PAIRS if not within or pair[0] <= pair[1]]
    filled = np.abs(index[0]).max(axis=1, initial=0) > 0
    for first in range(0, len(rows), QUERY_BLOCK):
        block = rows[first : first + QUERY_BLOCK]
        part = np.ascontiguousarray(queries[:, block])
        by_whole, by_all = _Best(len(block), count), _Best(len(block), count)
        for start in range(0, index.shape[1], INDEX_BLOCK):
            columns = index[:, start : start + INDEX_BLOCK]
            scores = np.full((len(block), columns.shape[1]), -np.inf, np.float32)
            for number, pair in enumerate(pairs):
                _raise_scores(scores, columns[pair[0]], part[pair[1]], space.parts)
                if number == 0:
                    hidden = np.broadcast_to(~filled[start : start + INDEX_BLOCK], scores.shape).copy()
                    if within:
                        own = block - start
                        inside = np.flatnonzero((own >= 0) & (own < scores.shape[1]))
                        hidden[inside, own[inside]] = True
                    scores[hidden] = -np.inf
                    by_whole.add(scores, start)
            scores[hidden] = -np.inf
            by_all.add(scores, start)
        for number, query in enumerate(block.tolist()):
            if not queries[0, query].any():
                continue
            partners = np.unique(np.concatenate([by_whole.rows[number], by_all.rows[number]]))
            partners = partners[partners >= 0]
            yield Ranked(query, partners, _choose_orientations(space, index[:, partners], queries[:, query], pairs))


class _Best:
    """The rows with the largest scores of every query so far; equal scores: the first rows."""

    def __init__(self, queries: int, count: int) -> None:
        self.scores = np.full((queries, count), -np.inf, np.float32)
        self.rows = np.full((queries, count), -1, np.int64)

    def add(self, scores: np.ndarray, start: int) -> None:
        """Take in scores (queries, columns) of the rows from `start` on."""
        count = self.scores.shape[1]
        if start == 0 and scores.shape[1] > count:
            floor = np.partition(scores, -count, axis=1)[:, -count]
            query, column = np.nonzero((scores >= floor[:, None]) & (scores > -np.inf))
        else:
            query, column = np.nonzero(scores > self.scores[:, -1:])
        if not len(query):
            return
        old = np.nonzero(self.rows >= 0)
        queries = np.concatenate([old[0], query])
        values = np.concatenate([self.scores[old], scores[query, column]])
        rows = np.concatenate([self.rows[old], column + start])
        order = np.lexsort((rows, -values, queries))
        queries = queries[order]
        place = np.arange(len(queries)) - np.searchsorted(queries, queries)
        kept = place < count
        self.scores[queries[kept], place[kept]] = values[order][kept]
        self.rows[queries[kept], place[kept]] = rows[order][kept]


def _raise_scores(scores: np.ndarray, columns: np.ndarray, queries: np.ndarray, parts: tuple[slice, ...]) -> None:
    """Raise scores (queries, columns) to the largest product over the orientations.

    Turning an image negates some parts of its description and leaves the others, so the products of the four orientations are
    sums and differences of four products of parts.
    """
    kept, transposed, mirrored, both = (queries[:, part] @ columns[:, part].T for part in parts)
    total = np.add(mirrored, both)
    np.abs(total, out=total)
    np.subtract(mirrored, both, out=both)
    np.abs(both, out=both)
    total += transposed
    both -= transposed
    np.maximum(total, both, out=total)
    total += kept
    np.maximum(scores, total, out=scores)


# Sign of the four parts in the four orientations: as is, mirrored, transposed, both.
SIGNS = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.float32)


def _choose_orientations(space: Space, partners: np.ndarray, query: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """The orientation (n,) of a query's spectra (windows, 98) with the largest product with each of (windows, n, 98)."""
    best = np.full((ORIENTATIONS, partners.shape[1]), -np.inf, np.float32)
    for a, b in pairs:
        products = np.stack([partners[a][:, part] @ query[b][part] for part in space.parts])
        np.maximum(best, SIGNS @ products, out=best)
    return best.argmax(axis=0)


def _split_space(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Orthonormal bases (98, d) of the spectra that mirroring and transposing keep (+) or negate (-): ++, +-, -+, --."""
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    bases = []
    for mirrored in (1, -1):
        for transposed in (1, -1):
            even = units + mirrored * turn_spectra(units, 1)
            even = even + transposed * turn_spectra(even, 2)
            vectors, lengths, _ = np.linalg.svd(even.reshape(len(units), -1).T)
            bases.append(vectors[:, lengths > 1e-9])
    return bases


def _copy_thumbnail(thumbnail: np.ndarray) -> list[np.ndarray]:
    """Copies (128, 128) uint8 by what the spectra should not mind."""
    grey = thumbnail / 255.0
    labelled = thumbnail.copy()
    for left, bottom in ((4, 16), (4, 123), (80, 16)):
        cv2.putText(labelled, "L 12.4", (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255)
    cv2.line(labelled, (44, 57), (84, 77), 255)
    middle = ((THUMBNAIL - 1) / 2, (THUMBNAIL - 1) / 2)
    turned = cv2.warpAffine(thumbnail, cv2.getRotationMatrix2D(middle, 5, 1), thumbnail.shape)
    data = cv2.imencode(".jpg", thumbnail, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    encoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    return [
        labelled,
        turned,
        np.round(255 * grey**2).astype(np.uint8),
        np.round(255 * grey**0.5).astype(np.uint8),
        cv2.createCLAHE(4, (8, 8)).apply(thumbnail),
        encoded,
        np.clip(1.3 * thumbnail + 20.0, 0, 255).astype(np.uint8),
    ]
