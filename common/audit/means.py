"""Means over folds or repetitions: is there any set of results whose means are the printed numbers?

In every fold accuracy is the mean of the classes' recalls weighted by their shares of the fold; the wrong answers are the
sum of what is wrongly called each class; precision and F1 lie between straight lines of recall and false-positive rate. Means
over folds inherit each of these, so that together they are a linear programme in the mean recalls and false-positive rates of the
classes. If it has no solution, no folds whatever with such shares give the printed numbers: a proof. If it has one, there may be
none in whole numbers still: this errs towards "possible".

F1 is a concave function of precision and recall, whose chords are at least P + R - 1. So a mean of F1 lies between P + R - 1 and
2 P R / (P + R) <= (P + R) / 2 of the means P and R: over classes, folds and repetitions alike.
Opitz J, Burst S. arXiv 1911.03347; linear programmes for folds: Fazekas A, Kovacs G. arXiv 2310.12527.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import scipy

from common.audit.printed import Printed

TOLERANCE = 1e-6  # by which every inequality is loosened: above the solver's own tolerance of 1e-7
RATIOS = ("accuracy", "sensitivity", "specificity", "precision", "npv", "f1", "balanced_accuracy")
Bounds = tuple[float, float]


@dataclass(frozen=True)
class FoldType:
    """Folds of one kind: their part of all folds, and for each class the smallest and the largest share of a fold's cases."""

    part: float
    low: tuple[float, ...]
    high: tuple[float, ...]


def bound_f1(precision: Bounds, recall: Bounds) -> Bounds:
    """Smallest and largest F1 of which the mean precision and recall allow the mean, whatever was averaged.

    >>> [round(end, 3) for end in bound_f1((0.8, 0.8), (0.6, 0.6))]  # 2 x 0.8 x 0.6 / 1.4
    [0.4, 0.686]
    """
    total = precision[1] + recall[1]
    return max(0.0, precision[0] + recall[0] - 1), 2 * precision[1] * recall[1] / total if total > 0 else 0.0


def fits_means(
    printed: Mapping[str, Printed], folds: Sequence[FoldType], average: str, way: str = "near", positive: int = 0
) -> bool:
    """Whether means over such folds may be the printed numbers; False is a proof that they are not.

    printed: of RATIOS; others are passed over. average: "binary", with class number `positive` as the positive one, or one of
    averages.AVERAGES; way: one of printed.WAYS.

    Four healthy cases for each ill one, in every fold; mean sensitivity .9 and specificity .8 make a mean accuracy of .82:

    >>> folds = [FoldType(1, (0.2, 0.8), (0.2, 0.8))]
    >>> rates = {"sensitivity": Printed("0.90", "fraction"), "specificity": Printed("0.80", "fraction")}
    >>> [fits_means({**rates, "accuracy": Printed(text, "fraction")}, folds, "binary") for text in ("0.82", "0.85")]
    [True, False]
    """
    bounds = {name: _bound(number, way) for name, number in printed.items() if name in RATIOS}
    classes = len(folds[0].low)
    if {"precision", "sensitivity", "f1"} <= bounds.keys():
        low, high = bound_f1(bounds["precision"], bounds["sensitivity"])
        if not low - TOLERANCE <= bounds["f1"][1] or not bounds["f1"][0] <= high + TOLERANCE:
            return False
    if average == "weighted" and {"accuracy", "sensitivity"} <= bounds.keys():  # one and the same number
        a, b = bounds["accuracy"], bounds["sensitivity"]
        if a[0] > b[1] + TOLERANCE or b[0] > a[1] + TOLERANCE:
            return False
    if average == "micro":
        return any(_fits_micro(bounds, classes, wrong) for wrong in {1.0, 2 / classes})
    # Some print the mean of the classes' accuracies, each against the rest: 1 - 2 x (wrong answers) / classes.
    scales = {1.0, 2 / classes} if average == "macro" else {1.0}
    return any(_solve(bounds, tuple(folds), average, positive, scale) for scale in scales)


def _bound(number: Printed, way: str) -> Bounds:
    low, high = number.bounds(way)
    return float(low), float(high)


def _fits_micro(bounds: Mapping[str, Bounds], classes: int, wrong_scale: float) -> bool:
    """Micro averages are all the share of right answers, but for the specificity."""
    wrong = [(1 - bounds[name][1], 1 - bounds[name][0]) for name in ("sensitivity", "precision", "f1") if name in bounds]
    for name, scale in (("accuracy", wrong_scale), ("specificity", 1 / (classes - 1))):
        if name in bounds:
            wrong.append(((1 - bounds[name][1]) / scale, (1 - bounds[name][0]) / scale))
    return not wrong or max(low for low, _ in wrong) <= min(high for _, high in wrong) + TOLERANCE


def _solve(bounds: Mapping[str, Bounds], folds: tuple[FoldType, ...], average: str, positive: int, scale: float) -> bool:
    classes, types = len(folds[0].low), len(folds)
    rows, limits = [], []

    def demand(form: np.ndarray, constant: float, least: float) -> None:
        """form . x + constant >= least, loosened."""
        rows.append(-form)
        limits.append(constant - least + TOLERANCE)

    for name, (lower, upper) in _list_forms(folds, average, positive, scale):
        if name in bounds:
            low, high = bounds[name]
            demand(-lower[0], -lower[1], -high)  # lower form <= high
            demand(upper[0], upper[1], low)  # upper form >= low
    # Both ways to count the wrong answers of a fold agree: those about each class, and those for each class.
    about, given = _count_wrong(folds)
    for most, least in ((about[1], given[0]), (given[1], about[0])):
        demand(most[0] - least[0], most[1] - least[1], 0)
    equal = None
    if classes == 2:  # one class's false positives are the other's misses
        equal = np.zeros((2 * types, 4 * types))
        for t in range(types):
            for j in range(2):
                equal[2 * t + j, 4 * t + j] = equal[2 * t + j, 4 * t + 2 + 1 - j] = 1
    found = scipy.optimize.linprog(
        np.zeros(2 * classes * types),
        np.array(rows),
        np.array(limits),
        equal,
        None if equal is None else np.ones(2 * types),
        (0, 1),
    )
    return found.status != 2  # 2: infeasible; anything else is no proof


Form = tuple[np.ndarray, float]


def _mean_form(folds: Sequence[FoldType], recalls: np.ndarray, rates: np.ndarray, constant: np.ndarray | float = 0.0) -> Form:
    """Linear form over all types of folds: recalls, rates (types, classes), constant (types,)."""
    parts = np.array([fold.part for fold in folds])
    form = np.concatenate([part * np.concatenate([a, b]) for part, a, b in zip(parts, recalls, rates, strict=True)])
    return form, float((parts * constant).sum())


def _count_wrong(folds: Sequence[FoldType]) -> tuple[tuple[Form, Form], tuple[Form, Form]]:
    """(lower, upper) forms of the share of wrong answers: about each class, and given for each class."""
    low, high = (np.array([getattr(fold, end) for fold in folds]) for end in ("low", "high"))
    nothing = np.zeros_like(low)
    about = (_mean_form(folds, -low, nothing, low.sum(axis=1)), _mean_form(folds, -high, nothing, high.sum(axis=1)))
    given = (_mean_form(folds, nothing, 1 - high), _mean_form(folds, nothing, 1 - low))
    return about, given


def _list_forms(folds: Sequence[FoldType], average: str, positive: int, scale: float) -> Iterator[tuple[str, tuple[Form, Form]]]:
    """(metric, (form that it is at least, form that it is at most)) in the recalls and false-positive rates of the classes."""
    low, high = (np.array([getattr(fold, end) for fold in folds]) for end in ("low", "high"))
    nothing, classes = np.zeros_like(low), low.shape[1]
    for lower, upper in _count_wrong(folds):
        yield "accuracy", ((-scale * upper[0], 1 - scale * upper[1]), (-scale * lower[0], 1 - scale * lower[1]))
    # Precision of a class is at least share x recall and at most 1 - (1 - share) x rate, its F1 at least 2 x share / (1 + share)
    # x recall; F1, of classes or of means, is at most (P + R) / 2.
    f1_low = 2 * low / (1 + low)
    if (low > 0).all():  # else a fold may lack a class, and it is the mean of the others' recalls
        yield "balanced_accuracy", (form := _mean_form(folds, nothing + 1 / classes, nothing), form)
    if average == "weighted":
        for lower, upper in _count_wrong(folds):
            recall = (-lower[0], 1 - lower[1])
            yield "sensitivity", ((-upper[0], 1 - upper[1]), recall)
        yield "specificity", (_mean_form(folds, nothing, -high, 1.0), _mean_form(folds, nothing, -low, 1.0))
        precision = _mean_form(folds, nothing, -high * (1 - high), high.sum(axis=1))
        yield "precision", (_mean_form(folds, low * low, nothing), precision)
        yield "f1", (_mean_form(folds, low * f1_low, nothing), _halve(precision, recall))
        return
    weights = np.zeros_like(low) + 1 / classes
    if average == "binary":
        weights = np.zeros_like(low)
        weights[:, positive] = 1
    recall = _mean_form(folds, weights, nothing)
    yield "sensitivity", (recall, recall)
    form = _mean_form(folds, nothing, -weights, 1.0)
    yield "specificity", (form, form)
    precision = _mean_form(folds, nothing, -weights * (1 - high), 1.0)
    yield "precision", (_mean_form(folds, weights * low, nothing), precision)
    yield "f1", (_mean_form(folds, weights * f1_low, nothing), _halve(precision, recall))
    if average == "binary" and classes == 2:
        other = weights[:, ::-1]
        yield "npv", (_mean_form(folds, other * low, nothing), _mean_form(folds, nothing, -other * (1 - high), 1.0))


def _halve(a: Form, b: Form) -> Form:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


# ----------------------------------------------------------------------------------------------------- kinds of folds

USUAL_FOLDS = (5, 10, 3, 2, 4, 6, 7, 8, 9)  # of a cross-validation whose number of folds is not said
MOST_FOLDS = max(USUAL_FOLDS)
USUAL_RUNS = range(2, 11)  # repetitions of a training whose number is not said
MOST_SUMS = 20_000  # different sums of right answers that are tried


@lru_cache(maxsize=4096)
def list_stratified(cases: tuple[int, ...], folds: int) -> tuple[FoldType, ...]:
    """Folds that divide every class as evenly as can be, as one type with the smallest and largest shares.

    >>> list_stratified((40, 63), 5)  # 8 and 12 or 13
    (FoldType(part=1.0, low=(0.38095238095238093, 0.6), high=(0.4, 0.6190476190476191)),)
    """
    least, most = [n // folds for n in cases], [-(-n // folds) for n in cases]
    low = tuple(a / max(1, a + sum(most) - b) for a, b in zip(least, most, strict=True))
    high = tuple(b / max(1, b + sum(least) - a) for a, b in zip(least, most, strict=True))
    return (FoldType(1.0, low, high),)


def list_known(fold_sizes: Sequence[Sequence[int]]) -> tuple[FoldType, ...]:
    """Folds whose cases of each class are known, one type for each composition.

    >>> [(fold.part, fold.low) for fold in list_known([(8, 12), (8, 12), (6, 14), (8, 12)])]
    [(0.75, (0.4, 0.6)), (0.25, (0.3, 0.7))]
    """
    types: dict[tuple[float, ...], int] = {}
    for sizes in fold_sizes:
        shares = tuple(size / sum(sizes) for size in sizes)
        types[shares] = types.get(shares, 0) + 1
    return tuple(FoldType(count / len(fold_sizes), shares, shares) for shares, count in types.items())


def reach_mean(low: Fraction, high: Fraction, sizes: Sequence[int]) -> bool:
    """Whether the mean of k/n over folds of these sizes n, each with a whole k of its own, can lie from `low` to `high`: exactly.

    The real case: 20/21, 19/21, 21/21, 18/20 and 19/20 have the mean 94.14 %, which no k/103 is.

    >>> ends = Printed("94.14", "percent").bounds()
    >>> reach_mean(*ends, [21, 21, 21, 20, 20]), reach_mean(*ends, [103])
    (True, False)
    """
    groups: dict[int, int] = {}
    for size in sizes:
        groups[size] = groups.get(size, 0) + size
    (first, most), *others = sorted(groups.items(), key=lambda item: -item[1])
    low, high = low * len(sizes), high * len(sizes)
    sums = {Fraction(0)}
    for size, total in others:
        if len(sums) * (total + 1) > MOST_SUMS:
            return True  # so many sums that one of them fits
        sums = {value + Fraction(k, size) for value in sums for k in range(total + 1)}
    return any(max(0, _ceil((low - value) * first)) <= min(most, (high - value) * first // 1) for value in sums)


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def divide_evenly(n: int, folds: int) -> list[int]:
    """Sizes of folds that differ by one at most.

    >>> divide_evenly(103, 5)
    [21, 21, 21, 20, 20]
    """
    return [n // folds + (i < n % folds) for i in range(folds)]
