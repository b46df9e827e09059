"""The search for near-duplicates between the sides of a split, kept beside the prepared data set: the same search runs once.

What is kept is the search of the sides itself, not the one of the whole set at preparation: a picture is compared with the few
partners that look most like it, and where these stand on its own side, a copy on the other one would not be among them. A kept
search counts for the same pictures, case ids, sides and limit, the same code of the search and the same versions of the
libraries beneath it (`SEARCH_CODE`); anything else, or a damaged file, is searched again.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import scipy

from common.cases.candidates import learn_space
from common.cases.descriptions import Descriptions, describe_images, hash_images, take_described
from common.cases.duplicates import choose_limit, compare_images, find_near_duplicates
from common.files import load_json, write_text_atomic
from common.parallel import limit_libraries

KEPT = "searches"  # folder in that of the prepared data set
# Modules beside this one.
SEARCH_CODE = ("borders", "candidates", "descriptions", "duplicates", "registration", "searches", "sketches")

Pair = tuple[int, int, float]  # positions of two cases on different sides, and their similarity


@dataclass(frozen=True)
class Found:
    """What a search between sides found."""

    limit: float  # of similarity
    image_pairs: int  # between sides, searched
    compared: int  # because they looked alike
    closest: Pair | None  # None where nothing looked alike; below the limit its similarity may be rough (`compare_images`)
    pairs: tuple[Pair, ...]  # of at least the limit, closest first


def search_sides(
    described: Descriptions,
    sides: np.ndarray,
    names: Sequence[str],
    *,
    limit: float | None = None,
    candidates: int | None = None,
) -> Found:
    """Compare each image of the smaller of two sides with those of the larger that look most like it, for all pairs of sides.

    sides: (n,) str, '' = not used; names: of the cases, which put equal pairs in order. limit: None: `choose_limit` of the
    images that are used; candidates: as in `compare_images`.

    Of four pictures the last is the first one, mirrored:

    >>> rough = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    >>> pictures = rough.repeat(8, axis=1).repeat(8, axis=2)
    >>> described = describe_images([*pictures, pictures[0][:, ::-1]])
    >>> found = search_sides(described, np.array(["train", "train", "", "test"]), list("abcd"))
    >>> found.image_pairs, [pair[:2] for pair in found.pairs]
    (2, [(0, 3)])
    """
    used = np.flatnonzero(sides != "")
    described, sides = described.take(used), sides[used]
    limit = choose_limit(described) if limit is None else limit
    parts = sorted((np.flatnonzero(sides == side) for side in pd.unique(sides)), key=len, reverse=True)
    with limit_libraries():
        image_pairs, space = 0, learn_space(described)
    found: list[Pair] = []
    for larger, smaller in combinations(parts, 2):
        image_pairs += len(larger) * len(smaller)
        table = compare_images(described.take(larger), described.take(smaller), candidates=candidates, space=space, limit=limit)
        rows = (used[larger[table["index_a"]]].tolist(), used[smaller[table["index_b"]]].tolist(), table["similarity"].tolist())
        found.extend(zip(*rows, strict=True))
    found.sort(key=lambda pair: (-pair[2], names[pair[0]], names[pair[1]]))
    alike = tuple(pair for pair in found if pair[2] >= limit)
    return Found(limit, image_pairs, len(found), found[0] if found else None, alike)


class Searches:
    """The searches of one set of pictures, each made once; kept in `folder`, if given, from one start to the next.

    >>> rough = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    >>> searches = Searches(rough.repeat(8, axis=1).repeat(8, axis=2), list("abc"))
    >>> searches.search_sides(np.array(["train", "train", "test"]), limit=0.9).pairs
    ()
    """

    def __init__(self, images: np.ndarray, names: Iterable[str], folder: Path | None = None) -> None:
        self.images, self.names = images, [str(name) for name in names]
        self.folder = folder

    @cached_property
    def described(self) -> Descriptions:
        """The descriptions of all images; made where something must be searched, and not yet made when they were prepared."""
        return take_described(self._pixels) or describe_images(self.images)

    @cached_property
    def _pixels(self) -> str:
        return hash_images(self.images)

    def search_sides(self, sides: np.ndarray, *, limit: float | None) -> Found:
        """`search_sides` of these pictures."""
        return self._keep("sides", sides, limit, lambda: search_sides(self.described, sides, self.names, limit=limit))

    def search_pair(self, larger: np.ndarray, smaller: np.ndarray, *, limit: float | None) -> Found:
        """`find_near_duplicates` of two lots of these pictures, by their positions."""
        lots = np.full(len(self.images), "", "<U7")
        lots[larger], lots[smaller] = "larger", "smaller"

        def search() -> Found:
            a, b = self.described.take(larger), self.described.take(smaller)
            level = choose_limit(a, b) if limit is None else limit
            table = find_near_duplicates(a, b, limit=level)
            rows = (larger[table["index_a"]].tolist(), smaller[table["index_b"]].tolist(), table["similarity"].tolist())
            pairs = tuple(zip(*rows, strict=True))
            return Found(level, len(larger) * len(smaller), len(pairs), pairs[0] if pairs else None, pairs)

        return self._keep("pair", lots, limit, search)

    def _keep(self, kind: str, sides: np.ndarray, limit: float | None, search: Callable[[], Found]) -> Found:
        """What the search finds, or what it found before."""
        if self.folder is None:
            return search()
        asked = json.dumps([kind, self._pixels, self.names, sides.tolist(), limit, hash_search_code()])
        key = hashlib.sha256(asked.encode()).hexdigest()
        path = self.folder / KEPT / f"{key[:16]}.json"
        if (found := _read(path, key)) is None:
            found = search()
            text = json.dumps({"key": key, "found": asdict(found), "sha256": _hash_found(key, asdict(found))})
            with contextlib.suppress(OSError):  # what cannot be kept is searched again
                write_text_atomic(path, text + "\n")
        return found


def _read(path: Path, key: str) -> Found | None:
    """A kept search; None where there is none of this key, or a damaged one."""
    try:
        kept = load_json(path)
        found = kept["found"]
        if kept["key"] != key or kept["sha256"] != _hash_found(key, found):
            return None
        closest = tuple(found["closest"]) if found["closest"] else None
        return Found(**{**found, "closest": closest, "pairs": tuple(map(tuple, found["pairs"]))})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash_found(key: str, found: dict) -> str:
    return hashlib.sha256((key + json.dumps(found, sort_keys=True)).encode()).hexdigest()


@cache
def hash_search_code() -> str:
    """sha256 of the code that searches and of the versions of the libraries beneath it.

    >>> len(hash_search_code())
    64
    """
    digest = hashlib.sha256(f"{np.__version__} {scipy.__version__} {cv2.__version__}".encode())
    for name in SEARCH_CODE:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()
