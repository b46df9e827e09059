"""Confusion matrices behind printed metrics: is there one that explains all metrics of a row, and how many are there?

Every decision is exact. Candidates are generated from integer ranges or sieved with floats, with a margin far above
their error; what the sieve lets through is decided with rational numbers.
Fazekas A, Kovacs G. arXiv 2310.12527, Neurocomputing 2024;583:127556.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from common.audit.printed import Printed

# Metrics of two classes as (numerator, denominator) of the counts tp, fn, fp, tn.
BINARY = {
    "accuracy": lambda tp, fn, fp, tn: (tp + tn, tp + fn + fp + tn),
    "sensitivity": lambda tp, fn, fp, tn: (tp, tp + fn),
    "specificity": lambda tp, fn, fp, tn: (tn, tn + fp),
    "precision": lambda tp, fn, fp, tn: (tp, tp + fp),
    "npv": lambda tp, fn, fp, tn: (tn, tn + fn),
    "f1": lambda tp, fn, fp, tn: (2 * tp, 2 * tp + fp + fn),
    "balanced_accuracy": lambda tp, fn, fp, tn: (tp * (tn + fp) + tn * (tp + fn), 2 * (tp + fn) * (tn + fp)),
    "kappa": lambda tp, fn, fp, tn: (2 * (tp * tn - fn * fp), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)),
    "lr_positive": lambda tp, fn, fp, tn: (tp * (fp + tn), fp * (tp + fn)),
    "lr_negative": lambda tp, fn, fp, tn: (fn * (fp + tn), tn * (tp + fn)),
}
# The same with a root in it: its values are floats.
ROOTED = {"mcc": lambda tp, fn, fp, tn: (tp * tn - fn * fp, np.sqrt(1.0 * (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))}
TWO_CLASSES = {**BINARY, **ROOTED}  # everything that a search over two classes knows
MACRO = ("sensitivity", "specificity", "precision", "f1")  # means over the classes, each against the rest
MOST_PAIRS = 2_000_000  # tried in a search over two classes: about a second
MOST_CANDIDATES = 1_000_000  # held at once in a search over more than two classes
SIEVE = 1e-9  # margin of the sieve: far above the error of a sum of a few quotients


@dataclass(frozen=True)
class Solution:
    """One explanation of the macro metrics of a row: for each class its cases, how many of them were recognised (correct), and
    how many cases of other classes were taken for it (false_positives)."""

    cases: tuple[int, ...]
    correct: tuple[int, ...]
    false_positives: tuple[int, ...]


def search_binary(printed: Mapping[str, Printed], positives: int, negatives: int, way: str = "rounded") -> list[tuple[int, int]]:
    """Every (tp, tn) for which all printed metrics (of TWO_CLASSES) come out so. A metric without cases (0/0) counts as 0.

    positives, negatives: test cases of the two classes; way: one of printed.WAYS. Raises ValueError if the metrics leave more
    than MOST_PAIRS pairs to try.

    Of 40 ill and 60 healthy cases, 87.5 % sensitivity and 85 % accuracy are 35 ill and 50 healthy ones recognised:

    >>> printed = {"sensitivity": Printed("87.5", "percent"), "accuracy": Printed("85.0", "percent")}
    >>> search_binary(printed, 40, 60)
    [(35, 50)]
    """
    everything = range(positives + negatives + 1)
    ranges = {
        name: printed[name].counts(n, way) if name in printed else everything
        for name, n in (("sensitivity", positives), ("specificity", negatives), ("accuracy", positives + negatives))
    }
    rest = {name: number for name, number in printed.items() if name not in ranges}
    hits, passes = _clip(ranges["sensitivity"], 0, positives), _clip(ranges["specificity"], 0, negatives)
    right = ranges["accuracy"]
    if len(hits) * min(len(right), len(passes)) > MOST_PAIRS:
        raise ValueError(f"{len(hits) * min(len(right), len(passes))} pairs of right answers: too many to search")
    tp = np.array(hits, np.int64)[:, None]
    second = np.array(passes, np.int64)[None] if len(passes) <= len(right) else np.array(right, np.int64)[None] - tp
    tp, tn = (part.ravel() for part in np.broadcast_arrays(tp, second))
    kept = (tn >= passes.start) & (tn < passes.stop) & (tp + tn >= right.start) & (tp + tn < right.stop)
    for name, number in rest.items():
        tp, tn = tp[kept], tn[kept]
        kept = _hold(number, *TWO_CLASSES[name](tp, positives - tp, negatives - tn, tn), way)
    return list(zip(tp[kept].tolist(), tn[kept].tolist(), strict=True))


def _hold(number: Printed, numerator: np.ndarray, denominator: np.ndarray, way: str) -> np.ndarray:
    """Mask of the ratios that print so. Exact where both are whole; a ratio with a root is allowed an error of SIEVE."""
    low, high = map(float, number.bounds(way))
    nothing = np.where(numerator > 0, np.inf, 0.0)  # over 0
    values = np.divide(numerator, denominator, out=nothing, where=denominator > 0)
    margin = SIEVE * max(1.0, abs(high))
    held = (values > low - margin) & (values < high + margin)
    if numerator.dtype.kind == denominator.dtype.kind == "i":
        for i in np.flatnonzero(held & ((values < low + margin) | (values > high - margin))):
            held[i] = number.holds(Fraction(int(numerator[i]), int(denominator[i]) or 1), way)
    return held


def search_macro(
    printed: Mapping[str, Printed],
    cases: Sequence[int],
    offset: Fraction = Fraction(0),
    way: str = "rounded",
    most: int = 1000,
) -> list[Solution]:
    """Every explanation of macro metrics by one confusion matrix with `cases` per class; at most `most` of them.

    printed: accuracy, and of MACRO at least one; "f1" is 2 P R / (P + R) of the macro means P and R. `offset` is added to
    the denominator of every class's ratio: some programs add a small number against a division by 0. A ratio 0/0 counts as 0.
    way: one of printed.WAYS. Raises ValueError if more than MOST_CANDIDATES would have to be held.

    Two classes of two cases, three cases right: one of the two classes has both right.

    >>> found = search_macro({"accuracy": Printed("0.75", "fraction"), "sensitivity": Printed("0.75", "fraction")}, [2, 2])
    >>> [(solution.correct, solution.false_positives) for solution in found]
    [((1, 2), (0, 1)), ((2, 1), (1, 0))]
    """
    n, classes = sum(cases), len(cases)
    bounds = {name: number.bounds(way) for name, number in printed.items()}
    sieve = {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
    negatives = n - np.array(cases)
    found = []
    for right in printed["accuracy"].counts(n, way):
        wrong = _list_sums(n - right, classes)
        specificity = _divide(negatives - wrong, negatives + float(offset)).mean(axis=1)
        wrong = wrong[(wrong <= negatives).all(axis=1) & _keep(specificity, sieve.get("specificity"))]
        correct = _list_correct(tuple(cases), right)
        sensitivity = _divide(correct, np.array(cases) + float(offset)).mean(axis=1)
        kept = _keep(sensitivity, sieve.get("sensitivity"))
        correct, sensitivity = correct[kept], sensitivity[kept]
        if len(correct) * len(wrong) > MOST_CANDIDATES:
            raise ValueError(f"{len(correct) * len(wrong):.1g} candidates: too many to search")
        # Wrong answers for a class and wrong answers about it are different cases: together at most all wrong ones.
        missed = np.array(cases) - correct
        possible = (wrong[None] + missed[:, None] <= n - right).all(axis=2)
        precision = _divide(correct[:, None], correct[:, None] + wrong[None] + float(offset)).mean(axis=2)
        f1 = _divide(2 * precision * sensitivity[:, None], precision + sensitivity[:, None])
        possible &= _keep(precision, sieve.get("precision")) & _keep(f1, sieve.get("f1"))
        for i, j in np.argwhere(possible):
            solution = Solution(tuple(cases), tuple(correct[i].tolist()), tuple(wrong[j].tolist()))
            metrics = compute_macro(solution, offset)
            if all(number.holds(metrics[name], way) for name, number in printed.items()):
                found.append(solution)
                if len(found) == most:
                    return found
    return found


def compute_macro(solution: Solution, offset: Fraction = Fraction(0)) -> dict[str, Fraction]:
    """Accuracy and the MACRO metrics of an explanation, exactly; offset as in `search_macro`.

    Recall 2/2 and 1/2, precision 2/3 and 1/1:

    >>> {name: str(value) for name, value in compute_macro(Solution((2, 2), (2, 1), (1, 0))).items()}
    {'accuracy': '3/4', 'sensitivity': '3/4', 'specificity': '3/4', 'precision': '5/6', 'f1': '15/19'}
    """
    n = sum(solution.cases)

    def mean(pairs: list[tuple[int, int]]) -> Fraction:
        ratios = [Fraction(top) / (bottom + offset) if bottom + offset else Fraction(0) for top, bottom in pairs]
        return sum(ratios, Fraction(0)) / len(ratios)

    rows = list(zip(solution.cases, solution.correct, solution.false_positives, strict=True))
    recall = mean([(right, cases) for cases, right, _ in rows])
    precision = mean([(right, right + wrong) for _, right, wrong in rows])
    return {
        "accuracy": Fraction(sum(solution.correct), n),
        "sensitivity": recall,
        "specificity": mean([(n - cases - wrong, n - cases) for cases, _, wrong in rows]),
        "precision": precision,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0),
    }


def list_compositions(n: int, classes: int) -> list[tuple[int, ...]]:
    """Every way to write n as a sum of `classes` numbers >= 1, largest first; macro means do not depend on the order.

    >>> list_compositions(6, 3)
    [(2, 2, 2), (3, 2, 1), (4, 1, 1)]
    """
    if classes == 1:
        return [(n,)]
    return [
        (first, *rest)
        for first in range(-(-n // classes), n - classes + 2)
        for rest in list_compositions(n - first, classes - 1)
        if rest[0] <= first
    ]


def list_matrices(solution: Solution, most: int = 100) -> list[tuple[tuple[int, ...], ...]]:
    """Confusion matrices (truth in rows) with these right answers and margins; at most `most` of them.

    >>> list_matrices(Solution((2, 2, 2), (2, 1, 1), (1, 0, 1)))
    [((2, 0, 0), (0, 1, 1), (1, 0, 1))]
    """
    classes = len(solution.cases)
    missed = [cases - right for cases, right in zip(solution.cases, solution.correct, strict=True)]
    found = []

    def fill(row: int, left: tuple[int, ...], rows: tuple[tuple[int, ...], ...]) -> None:
        if row == classes:
            found.extend([rows] * (not any(left)))
            return
        for wrong in _list_sums(missed[row], classes).tolist():
            if len(found) < most and wrong[row] == 0 and all(w <= free for w, free in zip(wrong, left, strict=True)):
                remaining = tuple(free - w for free, w in zip(left, wrong, strict=True))
                fill(row + 1, remaining, (*rows, (*wrong[:row], solution.correct[row], *wrong[row + 1 :])))

    fill(0, solution.false_positives, ())
    return found


def _clip(numbers: range, low: int, high: int) -> range:
    return range(max(numbers.start, low), min(numbers.stop - 1, high) + 1)


def _keep(values: np.ndarray, bounds: tuple[float, float] | None) -> np.ndarray:
    """Mask of the values that may lie within the bounds."""
    if bounds is None:
        return np.ones(values.shape, bool)
    return (values >= bounds[0] - SIEVE) & (values <= bounds[1] + SIEVE)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, 0 where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator > 0)


@lru_cache(maxsize=16)
def _list_sums(total: int, parts: int) -> np.ndarray:
    """Every vector of `parts` whole numbers >= 0 with this sum: (count, parts) int64."""
    if (total + 1) ** (parts - 1) > MOST_CANDIDATES:
        raise ValueError(f"{total} wrong answers can be spread over {parts} classes in too many ways to search")
    return _complete(np.indices((total + 1,) * (parts - 1)).reshape(parts - 1, -1).T, total)


@lru_cache(maxsize=16)
def _list_correct(cases: tuple[int, ...], right: int) -> np.ndarray:
    """Every vector of right answers per class with this sum: (count, classes) int64."""
    if math.prod(n + 1 for n in cases[:-1]) > MOST_CANDIDATES:
        raise ValueError(f"{right} right answers can be spread over {len(cases)} classes in too many ways to search")
    grid = np.indices([n + 1 for n in cases[:-1]]).reshape(len(cases) - 1, -1).T
    complete = _complete(grid, right)
    return complete[complete[:, -1] <= cases[-1]]


def _complete(grid: np.ndarray, total: int) -> np.ndarray:
    """Rows of the grid with a last entry that makes their sum `total`, where it is not negative."""
    last = total - grid.sum(axis=1, keepdims=True)
    return np.hstack([grid, last])[last[:, 0] >= 0]
