"""Near-duplicate images: copies that were encoded again, framed, cropped, turned, labelled, or given other grey levels.

A search has three steps, so that the cost stays far below comparing every pair:

1. Description of every image, as it is and without its border (common.cases.descriptions).
2. Candidates: the partners with the most similar spectra (common.cases.candidates).
3. Comparison: they are registered and correlated (common.cases.registration).

From which similarity two images count as one picture depends on how alike strangers are in the data set at hand
(`choose_limit`). An image without structure (a constant patch) has nothing to compare: it never becomes a near-duplicate;
equal files are found by their checksum. docs/leaks.md says what is found, as measured, and what is not.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import ndtri

from common.cases.candidates import QUERY_BLOCK, Space, learn_space, place_spectra, rank_partners
from common.cases.descriptions import Descriptions, Looks, join_descriptions
from common.cases.registration import (
    HOPELESS,
    ORIENTATIONS,
    View,
    cut_templates,
    match_templates,
    register_views,
)
from common.cases.sketches import promises_copy
from common.parallel import limit_libraries, spread, spread_apart
from common.progress import tell_progress, track

# With fewer images all are compared, in every orientation: too few to learn from.
FEW_IMAGES = 20
# Partners of an image that are compared, twice (by the whole images and by parts): all comparisons stay near COMPARISONS.
MOST_CANDIDATES, LEAST_CANDIDATES, COMPARISONS = 10, 3, 80_000
APART = 4000  # comparisons from which on processes pay
BLOCK = 128  # comparisons that one thread or process makes at a time
LOWEST_LIMIT, HIGHEST_LIMIT = 0.84, 0.95  # of similarity
STRANGERS, STRANGERS_EACH = 300, 2  # pairs of images that the limit is learnt from: at most, and for each image
FEW_STRANGERS = 40  # with fewer images there is no limit to learn
FALSE_ALARMS = 0.01  # pairs of strangers that are expected above the limit, in the whole data set
# The tail of strangers is longer than a normal one. The closest of 51,681 pairs of mammograms (what looks like one breast
# exposed twice, under two numbers) lies 6.6 spreads out, where 4.1 are expected; the limit then lies at 7.1.
TAIL = 1.4


def find_near_duplicates(
    a: Descriptions, b: Descriptions | None = None, *, limit: float | None = None, candidates: int | None = None
) -> pd.DataFrame:
    """Find the pairs of near-duplicates between a and b, or within a when b is None.

    Returns the rows of `compare_images` of at least `limit`: index_a, index_b (positions, int64), similarity (float64), most
    similar first. limit None: `choose_limit` of a and b.

    Four pictures, of which the last is the first one mirrored, inverted and framed:

    >>> from common.cases.descriptions import describe_images
    >>> rough = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    >>> pictures = list(rough.repeat(8, axis=1).repeat(8, axis=2))
    >>> table = find_near_duplicates(describe_images([*pictures, np.pad(255 - pictures[0][:, ::-1], 10)]))
    >>> table[["index_a", "index_b"]].to_numpy().tolist(), bool(table["similarity"][0] > 0.95)
    ([[0, 3]], True)
    """
    limit = choose_limit(a, b) if limit is None else limit
    return keep_alike(compare_images(a, b, candidates=candidates, limit=limit), limit)


def keep_alike(table: pd.DataFrame, limit: float) -> pd.DataFrame:
    """The rows of a table of `compare_images` whose similarity is at least `limit`.

    >>> keep_alike(pd.DataFrame({"index_a": [0, 1], "index_b": [2, 3], "similarity": [0.9, 0.5]}), 0.8)["index_b"].to_list()
    [2]
    """
    return table[table["similarity"] >= limit].reset_index(drop=True)


def choose_limit(a: Descriptions, b: Descriptions | None = None, *, highest: float = HIGHEST_LIMIT) -> float:
    """The similarity from which two images of a data set count as the same picture, LOWEST_LIMIT to `highest`.

    Where everything looks alike (mammograms) it is high, where little does (ultrasound) low: STRANGERS pairs of images (of a and
    b, or of a alone) are drawn, always the same ones, and registered as well as they can be. Nearly all are strangers, and the
    Fisher transforms (artanh) of their similarities are about normal. Median and the range from the lower quartile to nine tenths
    (below lie those that no registration brings together) give mean and spread, and the limit is where FALSE_ALARMS of all pairs
    are expected above, TAIL times as far out. With fewer than FEW_STRANGERS images nothing is learnt: `highest`. Above
    HIGHEST_LIMIT it may lie where strangers are all laid out alike, as whole bodies are.

    >>> from common.cases.descriptions import describe_images
    >>> smooth = np.random.default_rng(0).integers(0, 256, (40, 3, 3), np.uint8).repeat(20, axis=1).repeat(20, axis=2)
    >>> rough = np.random.default_rng(0).integers(0, 256, (40, 20, 20), np.uint8).repeat(3, axis=1).repeat(3, axis=2)
    >>> smooth, rough = describe_images(smooth), describe_images(rough)
    >>> choose_limit(rough) < choose_limit(smooth), choose_limit(smooth.take(np.arange(9)))
    (True, 0.95)
    """
    within, b = b is None, a if b is None else b
    images = a.count + (0 if within else b.count)
    if min(a.count, b.count) == 0 or images < FEW_STRANGERS:
        return highest
    draws = min(STRANGERS, STRANGERS_EACH * images)
    random = np.random.default_rng(0)
    rows_a, rows_b = random.integers(a.count, size=draws), random.integers(b.count, size=draws)
    contents_a, contents_b = a.find_contents(), b.find_contents()

    def register(rows: tuple[int, int]) -> float:
        views = {rows, (int(contents_a[rows[0]]), int(contents_b[rows[1]]))}
        return max(_register_best(a, b, *pair) for pair in views)

    drawn = [rows for rows in zip(rows_a.tolist(), rows_b.tolist(), strict=True) if not (within and rows[0] == rows[1])]
    similarities = list(spread(register, track(drawn, "near-duplicates: pairs of strangers, for the limit")))
    low, median, high = np.quantile(np.arctanh(np.clip(similarities, 0, 0.999)), [0.25, 0.5, 0.9])
    pairs = a.count * (a.count - 1) / 2 if within else a.count * b.count
    deviation = (high - low) / (ndtri(0.9) - ndtri(0.25))
    limit = float(np.tanh(median - TAIL * deviation * ndtri(min(0.5, FALSE_ALARMS / pairs))))
    return min(max(limit, LOWEST_LIMIT), highest)


def _register_best(a: Descriptions, b: Descriptions, view_a: int, view_b: int) -> float:
    """Similarity of two views in the orientation in which their coarse images agree best, however little that is."""
    coarse_a, coarse_b = a.looks.restore_coarse(view_a), b.looks.restore_coarse(view_b)
    matches = [match_templates(coarse_a, cut_templates(coarse_b, turn)) for turn in range(ORIENTATIONS)]
    turn = int(np.argmax([match.correlation for match in matches]))
    return register_views(a.looks.build_view(view_a), b.looks.build_view(view_b), turn, matches[turn])


def compare_images(
    a: Descriptions,
    b: Descriptions | None = None,
    *,
    candidates: int | None = None,
    space: Space | None = None,
    limit: float | None = None,
) -> pd.DataFrame:
    """Compare every image of b with those of a that may show the same picture, or the images of a with each other.

    Returns a table index_a, index_b (positions, int64), similarity (float64, -1 to 1, see `compare_thumbnails`), most similar
    first; within a, index_a < index_b. candidates: partners of each image that are compared, by the whole pictures and as many
    again by parts of them; of an image with more copies than that, that many are found. None: 3 to 10, by the number of images.
    space: where spectra are compared; None: learnt from a and b (`learn_space`). limit: only similarities of at least so much
    count, and a comparison stops where it cannot be reached (`promises_copy`): lower ones are rough, 0 where it stopped early.

    >>> from common.cases.descriptions import describe_images
    >>> rough = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    >>> table = compare_images(describe_images(rough.repeat(8, axis=1).repeat(8, axis=2)))
    >>> sorted(table[["index_a", "index_b"]].to_numpy().tolist()), bool(table["similarity"].max() < 0.9)
    ([[0, 1], [0, 2], [1, 2]], True)
    """
    within, b = b is None, a if b is None else b
    listed = _list_comparisons(a, b, candidates, space, within)
    similarities = _compare_views(a, b, listed, limit)
    pairs = np.stack([a.image_of[listed[:, 0]], b.image_of[listed[:, 1]]], axis=1)
    first, second = np.sort(pairs, axis=1).T if within else pairs.T
    table = pd.DataFrame({"index_a": first, "index_b": second, "similarity": similarities})
    table = table.groupby(["index_a", "index_b"])[["similarity"]].max().reset_index()
    return table.sort_values("similarity", ascending=False, kind="stable", ignore_index=True)


def _list_comparisons(a: Descriptions, b: Descriptions, candidates: int | None, space: Space | None, within: bool) -> np.ndarray:
    """Which views are compared, int64 (n, 3): of a, of b, orientation of the second; those of one view of b together."""
    if not (a.count and b.count):
        return np.empty((0, 3), np.int64)
    images = a.count + (0 if within else b.count)
    few = images < FEW_IMAGES
    count = a.count if few else candidates or int(np.clip(COMPARISONS // (a.count + b.count), LEAST_CANDIDATES, MOST_CANDIDATES))
    with limit_libraries():
        space = space or learn_space(a if within else join_descriptions([a, b]))
        index, queries = (place_spectra(space, lot.spectra) for lot in (a, b))
    listed = [np.empty((0, 3), np.int64)]
    for views_a, views_b, rows in _pair_views(a, b, within):
        chosen_a, chosen_b = index[:, views_a], queries[:, views_b]

        def rank(block: np.ndarray) -> list[np.ndarray]:
            found = []
            for one in rank_partners(space, chosen_a, chosen_b, block, count, within=within):  # noqa: B023
                turns = np.tile(np.arange(ORIENTATIONS), len(one.partners)) if few else one.orientations
                partners = np.repeat(one.partners, ORIENTATIONS) if few else one.partners
                query = np.full(len(partners), views_b[one.query])  # noqa: B023
                found.append(np.stack([views_a[partners], query, turns], axis=1))  # noqa: B023
            return found

        blocks = [rows[first : first + QUERY_BLOCK] for first in range(0, len(rows), QUERY_BLOCK)]
        told = track(blocks, "near-duplicates: looking for partners", sizes=map(len, blocks), total=len(rows))
        listed += [one for found in spread(rank, told) for one in found]
    return np.concatenate(listed)


def _compare_views(a: Descriptions, b: Descriptions, listed: np.ndarray, limit: float | None) -> np.ndarray:
    """Similarity (n,) float64 of each of `_list_comparisons`, 0 or more. Of parts of one set, such as the sides of several
    folds, no two views are compared twice."""
    known = a.known if a.known is b.known else {}
    numbers = zip(a.numbers[listed[:, 0]].tolist(), b.numbers[listed[:, 1]].tolist(), listed[:, 2].tolist(), strict=True)
    keys = [(*number, limit) for number in numbers]
    new = {key: row for row, key in enumerate(keys) if key not in known}
    rows = np.fromiter(new.values(), np.int64, len(new))
    rows = rows[np.argsort(listed[rows, 1], kind="stable")]
    blocks = [listed[rows[first : first + BLOCK]] for first in range(0, len(rows), BLOCK)]
    compare = partial(_compare_block, a.looks, b.looks, limit)
    for row, similarity in zip(rows.tolist(), _compare_all(compare, blocks, len(rows)), strict=True):
        known[keys[row]] = similarity
    return np.maximum(0.0, np.fromiter((known[key] for key in keys), np.float64, len(keys)))


def _compare_all(compare: Callable[[np.ndarray], list[float]], blocks: Sequence[np.ndarray], count: int) -> Iterator[float]:
    """What `compare` finds of one comparison after the other; few, of seconds, in threads and without a line on the screen."""
    if count < APART:
        yield from itertools.chain.from_iterable(spread(compare, blocks))
        return
    with tell_progress("near-duplicates: comparing pictures", count) as advance:
        for found in spread_apart(compare, blocks):
            yield from found
            advance(len(found))


def _pair_views(a: Descriptions, b: Descriptions, within: bool) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Views of all images of a and of b that are compared, and the queries of b: all as they are; then without borders, as far
    as one of the two has one."""
    yield np.arange(a.count), np.arange(b.count), np.arange(b.count)
    contents_a, contents_b = a.find_contents(), b.find_contents()
    bordered_a, bordered_b = contents_a >= a.count, contents_b >= b.count
    if bordered_b.any():
        yield contents_a, contents_b, np.flatnonzero(bordered_b)
    if bordered_a.any() and not within:
        yield contents_a[bordered_a], contents_b, np.flatnonzero(~bordered_b)


def _compare_block(a: Looks, b: Looks, limit: float | None, block: np.ndarray) -> list[float]:
    """Similarity of each of some comparisons (n, 3): views of a and of b, orientation; 0 where it stopped early."""
    a, b = (Looks(*map(np.asarray, looks)) for looks in (a, b))  # in a process they are mapped: slower, one by one
    found = []
    last = -1
    view_b: View | None = None
    templates: dict[int, list] = {}
    for partner, query, orientation in block.tolist():
        if query != last:  # those of one view of b come one after the other
            last, view_b, templates = query, None, {}
        if orientation not in templates:
            templates[orientation] = cut_templates(b.restore_coarse(query), orientation)
        match = match_templates(a.restore_coarse(partner), templates[orientation])
        similarity = 0.0
        if match.correlation >= HOPELESS and (
            limit is None or promises_copy(a.outline(partner), b.outline(query), orientation, match, limit)
        ):
            view_b = view_b or b.build_view(query)
            similarity = register_views(a.build_view(partner), view_b, orientation, match, limit)
        found.append(similarity)
    return found
