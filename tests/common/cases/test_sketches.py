"""The search stops where the limit is out of reach: it finds the same pairs, and registers a fraction of the strangers."""

import cv2
import numpy as np

from common.cases import duplicates
from common.cases.descriptions import describe_images
from common.cases.duplicates import HIGHEST_LIMIT, compare_images, find_near_duplicates

COPIED = {
    "turned": np.rot90,
    "mirrored": lambda image: image[:, ::-1],
    "cropped": lambda image: image[: round(0.85 * len(image)), : round(0.9 * len(image))],
    "inverted": lambda image: 255 - image,
    "framed": lambda image: cv2.copyMakeBorder(image, 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=0),
    "darker": lambda image: (0.7 * image).astype(np.uint8),
}


def draw_blots(count: int) -> list[np.ndarray]:
    """Pictures of little detail: of these strangers many look alike at first."""
    grains = np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8)
    return [cv2.resize(picture, (64, 64), interpolation=cv2.INTER_LINEAR) for picture in grains]


def count_registered(monkeypatch) -> list[int]:
    counts = [0]
    register = duplicates.register_views

    def counted(*given):
        counts[-1] += 1
        return register(*given)

    monkeypatch.setattr(duplicates, "register_views", counted)
    return counts


def keep(table, limit):
    hits = table[table["similarity"] >= limit]
    return dict(zip(zip(hits["index_a"], hits["index_b"], strict=True), hits["similarity"], strict=True))


def test_the_same_pairs_are_found_as_by_registering_every_candidate(monkeypatch):
    pictures, limit, each = draw_blots(40), HIGHEST_LIMIT, 3
    copied = [(row, copy) for row, copy in enumerate(copy for copy in COPIED.values() for _ in range(each))]
    described = describe_images([*pictures, *(np.ascontiguousarray(copy(pictures[row])) for row, copy in copied)])
    counts = count_registered(monkeypatch)
    exhaustive = compare_images(described)
    counts.append(0)
    found = find_near_duplicates(described, limit=limit)
    assert keep(exhaustive, limit) == keep(found, limit)  # with the same similarities, to the last bit
    assert {(row, 40 + row) for row, _ in copied} == keep(found, limit).keys()
    copies = 2 * len(copied)  # registered from either side
    assert (counts[1] - copies) * 10 <= counts[0] - copies, "an order of magnitude fewer strangers"


def test_what_was_compared_for_one_fold_is_not_compared_again_for_the_next(monkeypatch):
    pictures = draw_blots(24)
    described = describe_images([*pictures, *(np.rot90(one).copy() for one in pictures)])
    parts = [np.arange(24), np.arange(24, 48)]
    counts = count_registered(monkeypatch)
    first = compare_images(*map(described.take, parts), limit=HIGHEST_LIMIT)
    counts.append(0)
    again = compare_images(described.take(np.arange(1, 24)), described.take(np.arange(25, 48)), limit=HIGHEST_LIMIT)
    assert len(keep(first, HIGHEST_LIMIT)) == len(keep(again, HIGHEST_LIMIT)) + 1 == 24
    assert counts[0] >= 24
    assert counts[1] <= counts[0] / 4  # new partners alone
