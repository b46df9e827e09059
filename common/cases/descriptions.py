"""What the search for near-duplicates keeps of every image: thumbnails, coarse images, and spectra that rank partners.

Every image is kept as it is and, where it has a border, also without it (common.cases.borders): an image has one view or two.
A spectrum holds the magnitudes of a view's lowest spatial frequencies. A magnitude does not change when the picture moves or is
inverted, and mirroring or a quarter turn only permutes the magnitudes.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from common.cases.borders import find_content
from common.cases.registration import COARSE_SIDE, THUMBNAIL, View, build_view, choose_width
from common.cases.sketches import SKETCH, draw_sketch
from common.parallel import MANY, spread, spread_apart
from common.progress import tell_progress, track

FREQUENCIES = 6  # highest frequency of a spectrum, periods over the window
# Share trimmed from the left and right, and from the top and bottom, before a spectrum is taken: a crop of 20 % is compared with
# the whole trimmed by 10 % on every side, a picture with one side cut off with the whole trimmed by 7.5 % on two sides.
WINDOWS = ((0.0, 0.0), (0.10, 0.10), (0.075, 0.0), (0.0, 0.075))
SPECTRUM_SIDE = 32
STEPS = 40.0  # of the coarse images' int8 to 1
LOT = 64  # pictures of an array that one process describes at a time


class Looks(NamedTuple):
    """What views are compared by; arrays as in `Descriptions`."""

    thumbnails: np.ndarray
    sketches: np.ndarray
    coarse: np.ndarray
    widths: np.ndarray

    def build_view(self, view: int) -> View:
        """One of the views, ready to be compared."""
        return build_view(self.thumbnails[view], float(self.widths[view]))

    def outline(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Thumbnail and sketch of one of the views, as `promises_copy` takes them."""
        return self.thumbnails[view], self.sketches[view]

    def restore_coarse(self, view: int) -> np.ndarray:
        """Coarse image (24, 24) float32 of one of the views, as `match_templates` takes it."""
        return self.coarse[view].astype(np.float32) / STEPS


@dataclass(frozen=True)
class Descriptions:
    """What the search needs of `count` images; made by `describe_images`.

    The views of all images stand one below the other: first every image as it is, then those without their border.
    """

    count: int
    thumbnails: np.ndarray  # (views, 128, 128) uint8 grey
    sketches: np.ndarray  # (views, 64, 64) int8, `draw_sketch`
    coarse: np.ndarray  # (views, 24, 24) int8, locally normalised
    spectra: np.ndarray  # (views, 4 windows, 2 signs of the vertical frequency, 7, 7) float32; all zero without structure
    widths: np.ndarray  # (views,) float64: of the band in which each is compared (`choose_width`)
    image_of: np.ndarray  # (views,) int64: position of the image; 0..count-1, then ascending
    numbers: np.ndarray  # (views,) int64: of the views among all that were described together, of which these were taken
    # Similarities that were computed for any part of those: (view, view, orientation, limit) -> similarity.
    known: dict[tuple[int, int, int, float | None], float] = field(default_factory=dict, repr=False)

    def take(self, rows: np.ndarray) -> "Descriptions":
        """Return the descriptions of some images (positions or mask)."""
        rows = np.arange(self.count)[rows]
        inner = np.full(self.count, -1)
        inner[self.image_of[self.count :]] = np.arange(self.count, len(self.image_of))
        bordered = np.flatnonzero(inner[rows] >= 0)
        views = np.concatenate([rows, inner[rows[bordered]]])
        image_of = np.concatenate([np.arange(len(rows)), bordered])
        return Descriptions(
            len(rows),
            self.thumbnails[views],
            self.sketches[views],
            self.coarse[views],
            self.spectra[views],
            self.widths[views],
            image_of,
            self.numbers[views],
            self.known,
        )

    @property
    def looks(self) -> Looks:
        """What the views are compared by."""
        return Looks(self.thumbnails, self.sketches, self.coarse, self.widths)

    def find_contents(self) -> np.ndarray:
        """The view of every image that has no border, (count,) int64: the second one where there are two."""
        views = np.arange(self.count)
        views[self.image_of[self.count :]] = np.arange(self.count, len(self.image_of))
        return views


def describe_images(images: Iterable[np.ndarray]) -> Descriptions:
    """Describe images for `find_near_duplicates`.

    images: an array (n, h, w) or (n, h, w, c) uint8, memory-mapped or not, or any iterable of (h, w[, c]) uint8 arrays,
    whose sizes may differ. They are read once, one after the other. Raises ValueError for other types and shapes.

    Of three pictures one has a frame:

    >>> framed = np.zeros((100, 80), np.uint8)
    >>> framed[20:80, 20:60] = np.arange(100, 140)
    >>> described = describe_images([framed, np.full((9, 9), 50, np.uint8), np.full((9, 9), 90, np.uint8)])
    >>> described.count, described.thumbnails.shape, described.image_of.tolist()
    (3, (4, 128, 128), [0, 1, 2, 0])
    >>> described.take(np.array([1, 0])).image_of.tolist()
    [0, 1, 1]
    """
    lots = deque(_describe_all(images))
    count, inner = sum(lot.images for lot in lots), sum(len(lot.bordered) for lot in lots)
    views = count + inner
    image_of = np.arange(views)
    described = Descriptions(
        count,
        np.empty((views, THUMBNAIL, THUMBNAIL), np.uint8),
        np.empty((views, SKETCH, SKETCH), np.int8),
        np.empty((views, COARSE_SIDE, COARSE_SIDE), np.int8),
        np.empty((views, len(WINDOWS), 2, FREQUENCIES + 1, FREQUENCIES + 1), np.float32),
        np.empty(views),
        image_of,
        np.arange(views),
    )
    arrays = (described.thumbnails, described.sketches, described.coarse, described.spectra, described.widths)
    row, further = 0, count
    while lots:  # each is given up at once: a hundred thousand thumbnails are not to stand in memory twice
        lot = lots.popleft()
        rows = [*range(row, row + lot.images), *range(further, further + len(lot.bordered))]
        for array, part in zip(arrays, lot.views, strict=True):
            array[rows] = part
        image_of[rows[lot.images :]] = row + np.array(lot.bordered, np.int64)
        row, further = row + lot.images, further + len(lot.bordered)
    return described


# By their `hash_images`, the pictures that `describe_once` described last: a run prepares a data set, then proves its splits.
LAST: dict[str, Descriptions] = {}


def describe_once(images: np.ndarray) -> Descriptions:
    """`describe_images` of an array (n, h, w[, 1]) uint8. It is kept, with what is compared meanwhile, until `take_described`
    asks for the same pixels or other ones are described: one data set at most, as it takes 22 kB a picture.

    >>> images = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    >>> kept = describe_once(images)
    >>> sha256 = hash_images(images[..., None])
    >>> take_described(sha256) is kept, take_described(sha256) is None
    (True, True)
    """
    LAST.clear()
    return LAST.setdefault(hash_images(images), describe_images(images))


def take_described(sha256: str) -> Descriptions | None:
    """What `describe_once` kept of the pictures of this `hash_images`; it is not kept any longer. None where nothing is.

    >>> take_described("0" * 64) is None
    True
    """
    return LAST.pop(sha256, None)


def hash_images(images: np.ndarray) -> str:
    """sha256 of pictures (n, h, w) or (n, h, w, 1), the same for both; the array may be larger than the memory.

    >>> hash_images(np.zeros((2, 4, 4), np.uint8)) != hash_images(np.zeros((2, 2, 8), np.uint8))
    True
    """
    shape = images.shape[:3] if images.shape[3:] == (1,) else images.shape
    digest = hashlib.sha256(f"{shape} {images.dtype}".encode())
    for first in range(0, len(images), 1024):
        digest.update(np.ascontiguousarray(images[first : first + 1024]).data)
    return digest.hexdigest()


def join_descriptions(parts: Sequence[Descriptions]) -> Descriptions:
    """The descriptions of several lots of images, one after the other; at least one lot.

    >>> join_descriptions([describe_images(np.zeros((2, 9, 9), np.uint8)), describe_images(np.zeros((1, 9, 9), np.uint8))]).count
    3
    """
    first = np.cumsum([0, *(part.count for part in parts)]).tolist()

    def stack(arrays: list[np.ndarray]) -> np.ndarray:
        counts = [part.count for part in parts]
        whole = [array[:count] for array, count in zip(arrays, counts, strict=True)]
        return np.concatenate([*whole, *(array[count:] for array, count in zip(arrays, counts, strict=True))])

    return Descriptions(
        first[-1],
        stack([part.thumbnails for part in parts]),
        stack([part.sketches for part in parts]),
        stack([part.coarse for part in parts]),
        stack([part.spectra for part in parts]),
        stack([part.widths for part in parts]),
        stack([part.image_of + start for part, start in zip(parts, first[:-1], strict=True)]),
        np.arange(sum(len(part.image_of) for part in parts)),
    )


def compute_spectrum(view: View) -> np.ndarray:
    """Square roots of the magnitudes of a view, (windows, 2, 7, 7) float32: [:, 0] frequencies (+y, +x), [:, 1] (-y, +x).

    The same wherever the picture's content has moved to, up to what enters and leaves; turned with the picture:

    >>> rough = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    >>> picture = cv2.resize(rough, (128, 128), interpolation=cv2.INTER_CUBIC)
    >>> spectrum, mirrored = compute_spectrum(build_view(picture)), compute_spectrum(build_view(picture[:, ::-1].copy()))
    >>> bool(np.allclose(mirrored[:, ::-1], spectrum, atol=1e-2))
    True
    """
    spectrum = np.zeros((len(WINDOWS), 2, FREQUENCIES + 1, FREQUENCIES + 1), np.float32)
    if not view.structured:
        return spectrum
    parts = []
    for trimmed_x, trimmed_y in WINDOWS:
        x, y = round(trimmed_x * THUMBNAIL), round(trimmed_y * THUMBNAIL)
        part = view.everywhere[y : THUMBNAIL - y, x : THUMBNAIL - x]
        part = cv2.resize(part, (SPECTRUM_SIDE, SPECTRUM_SIDE), interpolation=cv2.INTER_AREA)
        parts.append((part - (part * TAPER).sum() / TAPER.sum()) * TAPER)
    magnitudes = np.sqrt(np.abs(np.fft.rfft2(np.stack(parts))[:, :, : FREQUENCIES + 1]))
    spectrum[:, 0] = magnitudes[:, : FREQUENCIES + 1]
    spectrum[:, 1, 0], spectrum[:, 1, 1:] = magnitudes[:, 0], magnitudes[:, : -FREQUENCIES - 1 : -1]
    return spectrum


def turn_spectra(spectra: np.ndarray, orientation: int) -> np.ndarray:
    """Spectra (..., 2, 7, 7) of the images in another orientation: bit 0 mirrored, bit 1 transposed.

    >>> turn_spectra(np.arange(8).reshape(2, 2, 2), 1).tolist()
    [[[4, 5], [6, 7]], [[0, 1], [2, 3]]]
    """
    if orientation & 1:
        spectra = np.flip(spectra, axis=-3)
    return np.swapaxes(spectra, -1, -2) if orientation & 2 else spectra


def _build_taper() -> np.ndarray:
    window = np.sqrt(np.hanning(SPECTRUM_SIDE + 2)[1:-1])
    return np.outer(window, window).astype(np.float32)


TAPER = _build_taper()


def _make_grey(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"expected a uint8 image (h, w) or (h, w, c), got {image.dtype} {image.shape}")
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] == 1 else image.mean(axis=2).astype(np.uint8)
    return np.ascontiguousarray(image)


class _Views(NamedTuple):
    """Of one view, or stacked those of several."""

    thumbnail: np.ndarray
    sketch: np.ndarray
    coarse: np.ndarray
    spectrum: np.ndarray
    width: np.ndarray | float


class _Lot(NamedTuple):
    """Stacked: some images as they are, then those of them that have a border without it."""

    images: int
    bordered: list[int]
    views: _Views


def _describe_all(images: Iterable[np.ndarray]) -> Iterator[_Lot]:
    """The images in lots, in their order."""
    what = "near-duplicates: describing pictures"
    if not isinstance(images, np.ndarray) or len(images) < MANY:
        yield from spread(_describe_lot, ([image] for image in track(images, what)))
        return
    parts = [slice(first, first + LOT) for first in range(0, len(images), LOT)]
    with tell_progress(what, len(images)) as advance:
        for lot in spread_apart(partial(_describe_part, images), parts):
            yield lot
            advance(lot.images)


def _describe_part(images: np.ndarray, part: slice) -> _Lot:
    return _describe_lot(list(images[part]))


def _describe_lot(images: list[np.ndarray]) -> _Lot:
    whole, bordered, inner = [], [], []
    for row, image in enumerate(map(_make_grey, map(np.asarray, images))):
        whole.append(_describe_view(image))
        x0, y0, x1, y1 = find_content(image)
        if (x1 - x0, y1 - y0) != (image.shape[1], image.shape[0]):
            bordered.append(row)
            inner.append(_describe_view(image[y0:y1, x0:x1]))
    return _Lot(len(images), bordered, _Views(*map(np.stack, zip(*whole, *inner, strict=True))))


def _describe_view(image: np.ndarray) -> _Views:
    interpolation = cv2.INTER_LINEAR if max(image.shape) <= THUMBNAIL else cv2.INTER_AREA
    thumbnail = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=interpolation)
    view = build_view(thumbnail, choose_width(image.shape))
    return _Views(thumbnail, draw_sketch(view), np.round(view.coarse * STEPS).astype(np.int8), compute_spectrum(view), view.width)
