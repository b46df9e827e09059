"""One test set, metrics averaged over its classes: is there a confusion matrix behind them?

macro: the mean over the classes, each against the rest; weighted: the same, weighted by the classes' cases; micro: of all answers
together. F1 may be the mean of the classes' F1 or 2 P R / (P + R) of the means, as programs and papers have it both ways, and
the accuracy the share of right answers or, as some have it, the mean of the classes' accuracies, each against the rest.
A class that is never given has precision 0 (scikit-learn's zero_division = 0).

Everything here errs towards "possible": the sieves are wider than the error of their floats by SIEVE.
Opitz J, Burst S. Macro F1 and Macro F1. arXiv 1911.03347.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from math import ceil, floor

import numpy as np

from common.audit.confusions import SIEVE, Solution
from common.audit.printed import Printed

AVERAGES = ("macro", "weighted", "micro")
AVERAGED = ("accuracy", "sensitivity", "specificity", "precision", "f1", "balanced_accuracy")  # what is searched for
MOST_PAIRS = 100_000  # right answers x wrong answers held at once
MOST_ROWS = 30_000  # ways to spread the right, or the wrong, answers over the classes
MOST_TRIED = 1_000_000  # pairs tried for one reading of a row: about a tenth of a second

Bounds = tuple[float, float]


def bound_right(printed: Mapping[str, Printed], cases: Sequence[int], average: str, way: str = "rounded") -> list[range]:
    """Every number of right answers that the accuracy and, with weighted or micro averages, the sensitivity allow, as ranges that
    do not touch, in order.

    cases: of each class; average: one of AVERAGES; way: one of printed.WAYS. Every number without an accuracy.

    68 of 100 are right, or three classes' accuracies, each against the rest, have the mean 1 - 2 x 48 / 300:

    >>> bound_right({"accuracy": Printed("68.0", "percent")}, [20, 30, 50], "macro")
    [range(52, 53), range(68, 69)]
    """
    n, classes = sum(cases), len(cases)
    right = [range(n + 1)]
    if "accuracy" in printed:
        right = [printed["accuracy"].counts(n, way)]
        if classes > 2 and average != "weighted":
            # Mean of the classes' accuracies: 1 - 2 x wrong / (classes x n).
            right.append(_complete(count_wrong(printed["accuracy"], n, Fraction(2, classes), way), n))
    limits = []
    if average != "macro":  # sensitivity is the share of right answers
        for name in ("sensitivity",) if average == "weighted" else ("sensitivity", "precision", "f1"):
            if name in printed:
                limits.append(printed[name].counts(n, way))
    if average == "micro" and "specificity" in printed:
        limits.append(_complete(count_wrong(printed["specificity"], n, Fraction(1, classes - 1), way), n))
    found: list[range] = []
    for part in sorted(right, key=lambda part: part.start):
        low = max([part.start, *(limit.start for limit in limits), *(before.stop for before in found)])
        high = min([part.stop, *(limit.stop for limit in limits)])
        if low < high:
            found.append(range(low, high))
    return found


def _complete(wrong: range, n: int) -> range:
    """The numbers of right answers of n that leave so many wrong ones."""
    return range(n + 1 - wrong.stop, n + 1 - wrong.start)


def count_wrong(number: Printed, n: int, scale: Fraction, way: str) -> range:
    """The numbers of wrong answers of n for which 1 - scale x wrong / n prints so; both ends of the interval count.

    >>> count_wrong(Printed("68.0", "percent"), 100, Fraction(2, 3), "rounded")
    range(48, 49)
    """
    low, high = number.bounds(way)
    return range(max(0, ceil((1 - high) * n / scale)), min(n, floor((1 - low) * n / scale)) + 1)


def search_average(printed: Mapping[str, Printed], cases: Sequence[int], average: str, way: str = "rounded") -> Solution | None:
    """A confusion matrix with these cases per class that gives the averaged metrics; None if there is none.

    printed: of AVERAGED; others are passed over. cases: of two classes or more, each at least one; average: "macro", "weighted"
    or "micro"; way: one of printed.WAYS. Raises ValueError where the search would be too large.

    Two right of two, one of two, one of two, as scikit-learn averages them:

    >>> printed = {"accuracy": "0.667", "sensitivity": "0.667", "precision": "0.722", "f1": "0.656"}
    >>> printed = {name: Printed(text, "fraction") for name, text in printed.items()}
    >>> search_average(printed, [2, 2, 2], "macro").correct
    (1, 1, 2)
    >>> search_average({**printed, "precision": Printed("0.750", "fraction")}, [2, 2, 2], "macro") is None
    True
    """
    sizes = np.array(cases, np.int64)
    right = bound_right(printed, cases, average, way)
    bounds = {name: _widen(number, way) for name, number in printed.items()}
    if average == "micro":  # any matrix with so many right answers will do
        return _fill(sizes, right[0].start) if right else None
    tried = 0
    for k in chain.from_iterable(right):
        for hits, calls in _list_pairs(sizes, k, average, bounds):
            tried += hits.shape[0] * max(1, calls.shape[0])
            if tried > MOST_TRIED:
                raise ValueError(f"more than {MOST_TRIED} confusion matrices: too many to search")
            found = _choose(sizes, hits, calls, average, bounds)
            if found is not None:
                return found
    return None


def _widen(number: Printed, way: str) -> Bounds:
    low, high = number.bounds(way)
    return float(low) - SIEVE, float(high) + SIEVE


def _fill(sizes: np.ndarray, right: int) -> Solution:
    correct = np.clip(right - np.concatenate([[0], np.cumsum(sizes)[:-1]]), 0, sizes)
    wrong = np.roll(sizes - correct, 1)
    return Solution(*(tuple(map(int, part)) for part in (sizes, correct, wrong)))


def _list_pairs(
    sizes: np.ndarray, right: int, average: str, bounds: Mapping[str, Bounds]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(right answers (a, classes), wrong answers given as each class (b, classes)) in pieces of at most MOST_PAIRS pairs."""
    n, classes = int(sizes.sum()), len(sizes)
    weights = np.full(classes, 1 / classes) if average == "macro" else sizes / n
    recall = bounds.get("balanced_accuracy", (0.0, 1.0))
    if average == "macro":
        recall = _meet(recall, bounds.get("sensitivity", (0.0, 1.0)))
    hits = spread(right, sizes, 1 / (classes * sizes), recall)
    if not len(hits):
        return
    low, high = bounds.get("specificity", (0.0, 1.0))
    rest = n - sizes
    if classes == 2:  # whoever is not recognised is called the other
        calls = (sizes - hits)[:, ::-1]
        kept = _within((weights * (1 - calls / rest)).sum(axis=1), (low, high))
        yield hits[kept], calls[kept]
        return
    calls = spread(n - right, np.minimum(rest, n - right), weights / rest, (1 - high, 1 - low))
    step = max(1, MOST_PAIRS // max(1, len(calls)))
    for start in range(0, len(hits) if len(calls) else 0, step):
        yield hits[start : start + step], calls


def _choose(
    sizes: np.ndarray, hits: np.ndarray, calls: np.ndarray, average: str, bounds: Mapping[str, Bounds]
) -> Solution | None:
    """The first pair that can be one matrix and gives precision and F1."""
    n, classes = int(sizes.sum()), len(sizes)
    if classes > 2:
        # A case that is missed is called something else: of the wrong answers those for a class and those about it differ.
        room = (sizes - hits).sum(axis=1, keepdims=True) - (sizes - hits)
        possible = calls[None, :, 0] <= room[:, :1]
        for j in range(1, classes):
            possible &= calls[None, :, j] <= room[:, j : j + 1]
        of_hits, of_calls = np.nonzero(possible)
        hits, calls = hits[of_hits], calls[of_calls]
    if not len(hits):
        return None
    weights = np.full(classes, 1 / classes) if average == "macro" else sizes / n
    precision, recall, of_classes = (np.zeros(len(hits)) for _ in range(3))
    for j in range(classes):
        right, given = hits[:, j], hits[:, j] + calls[:, j]
        precision += weights[j] * right / np.maximum(1, given)  # 0 for a class that is never given
        if "f1" in bounds:
            recall += (weights[j] / sizes[j]) * right
            of_classes += 2 * weights[j] * right / (sizes[j] + given)
    kept = _within(precision, bounds.get("precision"))
    if "f1" in bounds:
        of_means = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        kept &= _within(of_classes, bounds["f1"]) | _within(of_means, bounds["f1"])
    if not kept.any():
        return None
    first = int(np.argmax(kept))
    return Solution(*(tuple(map(int, part)) for part in (sizes, hits[first], calls[first])))


def spread(total: int, caps: np.ndarray, gains: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Every way to spread `total` over the classes, at most caps each, with the sum of gains x counts within the bounds.

    caps: int64 (classes,); gains: float (classes,), not negative. Returns int64 (ways, classes). Raises ValueError for more than
    MOST_ROWS ways.

    >>> spread(3, np.array([2, 2]), np.array([0.5, 0.5]), (0.0, 2.0)).tolist()
    [[1, 2], [2, 1]]
    """
    order = np.argsort(-gains, kind="stable")
    caps, gains = caps[order].astype(np.int64), gains[order]
    taken = np.zeros((1, 0), np.int64)
    left, value = np.array([total], np.int64), np.zeros(1)
    for j in range(len(caps)):
        room = int(caps[j + 1 :].sum())
        low, high = np.maximum(0, left - room), np.minimum(caps[j], left)
        if j + 1 < len(caps):
            # What is left brings at least the smallest and at most the largest gain of the classes to come.
            most, least = gains[j + 1], gains[-1]
            if gains[j] - least > 1e-12:
                high = np.minimum(high, np.floor((bounds[1] - value - least * left) / (gains[j] - least) + 1e-6))
            if gains[j] - most > 1e-12:
                low = np.maximum(low, np.ceil((bounds[0] - value - most * left) / (gains[j] - most) - 1e-6))
        counts = np.maximum(0, high - low + 1).astype(np.int64)
        if counts.sum() > MOST_ROWS:
            raise ValueError(f"{total} answers can be spread over {len(caps)} classes in too many ways to search")
        parent = np.repeat(np.arange(len(counts)), counts)
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = low.astype(np.int64)[parent] + offset
        taken = np.hstack([taken[parent], chosen[:, None]])
        left, value = left[parent] - chosen, value[parent] + gains[j] * chosen
    kept = (left == 0) & _within(value, bounds)
    result = np.empty_like(taken[kept])
    result[:, order] = taken[kept]
    return result


def _within(values: np.ndarray, bounds: Bounds | None) -> np.ndarray:
    if bounds is None:
        return np.ones(values.shape, bool)
    return (values >= bounds[0] - SIEVE) & (values <= bounds[1] + SIEVE)


def _meet(a: Bounds, b: Bounds) -> Bounds:
    return max(a[0], b[0]), min(a[1], b[1])
