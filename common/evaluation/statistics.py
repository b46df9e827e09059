"""Intervals, tests and calibration errors of classification results, on plain arrays.

Each function states its reference. All are deterministic and take the cases as independent of each other; where
patients contribute several cases, `intervals`, `areas` and `clustered` give intervals and tests that respect the patients.
Arguments that make no sense raise ValueError: they are mistakes of a program, not of its user.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from common.evaluation.placements import place_cases

GRID = np.linspace(0, 1, 501)  # false-positive rates at which curves are averaged


class PairedAuc(NamedTuple):
    """Difference of two areas under the ROC curve (a - b) on the same cases: z, two-sided p, interval; see `delong_test`."""

    difference: float
    z: float
    p: float
    low: float
    high: float


class McNemar(NamedTuple):
    """Cases that only a, and only b, classified correctly, and the exact two-sided p; see `mcnemar_exact`."""

    only_a: int
    only_b: int
    p: float


def wilson_interval(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of the proportion k / n, without continuity correction.

    With s = k / n and z the normal quantile of the level: (s + z^2 / 2n +- z sqrt(s (1 - s) / n + z^2 / 4n^2)) / (1 + z^2 / n).
    k: successes, 0 <= k <= n, n > 0; fractional ones are allowed, since a printed percentage times its n seldom is an integer.
    Returns (low, high) in [0, 1]. Raises ValueError for other k, n or level. Wilson EB. J Am Stat Assoc 1927;22:209-212.

    The first example of Newcombe RG. Stat Med 1998;17:857-872, table I:

    >>> low, high = wilson_interval(81, 263)
    >>> print(f"{low:.4f} to {high:.4f}")
    0.2553 to 0.3662
    """
    if not (n > 0 and 0 <= k <= n):
        raise ValueError(f"a proportion needs 0 <= k <= n and n > 0, not k = {k}, n = {n}")
    low, high = score_interval(np.array(k / n), np.array(n), _normal_quantile(level))
    return float(low), float(high)


def score_interval(share: np.ndarray, n: np.ndarray, quantile: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's limits of proportions, with any quantile: the formula of `wilson_interval`, (...) each.

    share: 0 to 1; n: the number of cases, or an effective number of them, above 0; quantile: of the normal or a t distribution.

    >>> low, high = score_interval(np.array(81 / 263), np.array(263), 1.959964)
    >>> print(f"{low:.4f} to {high:.4f}")
    0.2553 to 0.3662
    """
    square = quantile * quantile
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = quantile / (1 + square / n) * np.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)


def delong_test(y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, level: float = 0.95) -> PairedAuc:
    """DeLong's test that two scores of the same cases have the same area under the ROC curve; two-sided.

    y_true: (n,) of 0 and 1; scores: (n,), any finite numbers, higher means class 1; ties count one half. Raises ValueError with
    fewer than two cases of a class. The covariance of the two areas is taken into account. Returns the difference (a minus b)
    with its z, p and normal interval, not clipped. Scores that rank every case alike give z = 0 and p = 1. DeLong ER, DeLong
    DM, Clarke-Pearson DL. Biometrics 1988;44:837-845.

    Score b is perfect. Of the positive cases, score a ranks 4 above both negative ones and 2 above one of them; the negative ones
    likewise: the variance is twice that of (1, 1/2), 1/8, over the two cases of a class, so 1/8.

    >>> found = delong_test([0, 0, 1, 1], [1, 3, 2, 4], [1, 2, 3, 4])
    >>> found.difference, round(found.z**2, 12)  # (1/4)^2 / (1/8)
    (-0.25, 0.5)
    """
    positives_a, negatives_a = _placements(y_true, score_a)
    positives_b, negatives_b = _placements(y_true, score_b)
    difference = float(positives_a.mean() - positives_b.mean())
    error = float(np.sqrt(_mean_variance(positives_a - positives_b) + _mean_variance(negatives_a - negatives_b)))
    z = _ratio(difference, error)
    p = float(2 * scipy.stats.norm.sf(abs(z)))
    half = _normal_quantile(level) * error
    return PairedAuc(difference, z, p, difference - half, difference + half)


def hanley_mcneil_halfwidth(auc: float, positives: int, negatives: int, level: float = 0.95) -> float:
    """Half-width of the normal interval of an area under the ROC curve, from the area and the class sizes alone.

    This is all that a printed area gives. auc: 0 to 1; positives, negatives: cases of the two classes, at least 1; others raise
    ValueError. The standard error is that of the negative exponential model, with Q1 = A / (2 - A) and Q2 = 2 A^2 / (1 + A).
    Hanley JA, McNeil BJ. Radiology 1982;143:29-36.

    Their planning example, an area of 0.85 with 40 normal and 40 abnormal cases, has a standard error of 0.0437:

    >>> print(f"{hanley_mcneil_halfwidth(0.85, 40, 40) / 1.959964:.4f}")
    0.0437
    """
    if not (0 <= auc <= 1 and positives > 0 and negatives > 0):
        raise ValueError(f"an AUC in [0, 1] and two class sizes are needed, not {auc}, {positives}, {negatives}")
    return float(_normal_quantile(level) * np.sqrt(hanley_mcneil_variance(np.array(auc), positives, negatives)))


def hanley_mcneil_variance(auc: np.ndarray, positives: np.ndarray | int, negatives: np.ndarray | int) -> np.ndarray:
    """Variance of areas under the ROC curve in the model of `hanley_mcneil_halfwidth`; (...) each.

    >>> print(f"{hanley_mcneil_variance(np.array(0.85), 40, 40) ** 0.5:.4f}")
    0.0437
    """
    q1 = auc / (2 - auc)  # two random positives both rank above one negative
    q2 = 2 * auc * auc / (1 + auc)  # one positive ranks above two random negatives
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    return spread / (positives * negatives)


def mcnemar_exact(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Exact McNemar test that two classifiers are right equally often on the same cases.

    correct_a, correct_b: (n,) bool, for each case whether the classifier is right; other shapes raise ValueError. p is that of
    the two-sided binomial test on the discordant cases (right with one classifier only), 1 if there are none.
    McNemar Q. Psychometrika 1947;12:153-157.

    One case that only a has right, seven that only b has: p = 2 (1 + 8) / 2^8.

    >>> mcnemar_exact([1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1, 1])
    McNemar(only_a=1, only_b=7, p=0.0703125)
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"two vectors over the same cases are needed, not shapes {a.shape} and {b.shape}")
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    discordant = only_a + only_b
    p = float(scipy.stats.binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, min(1.0, p))


def holm(p_values: ArrayLike) -> np.ndarray:
    """p values adjusted for their number by Holm's step-down method, which bounds the chance of any false finding.

    p_values: (m,), 0 to 1, else ValueError. The smallest is multiplied by m, the next by m - 1, and so on; none becomes smaller
    than the one before it, and none exceeds 1. Returns (m,) float64 in the order given. Holm S. Scand J Stat 1979;6:65-70.

    >>> holm([0.01, 0.04, 0.03, 0.005]).round(12).tolist()  # 3 x 0.01; 0.04, raised to 2 x 0.03; 4 x 0.005
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p values must be a vector of numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def expected_calibration_error(y_true: ArrayLike, score: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean distance between predicted probability and observed share, over bins of equal mass.

    The sum over the bins of |sum of y - sum of score|, over n. y_true: (n,) of 0 and 1; score: (n,), probability of class 1;
    bins: at least 1; others raise ValueError. Returns 0 (calibrated) to 1. Cases with equal scores share a bin, so that the
    result does not depend on their order. Biased upwards in small samples, as every plug-in estimate of it. Naeini MP, Cooper
    GF, Hauskrecht M. AAAI 2015:2901-2907; with bins of equal width in Guo C et al. ICML 2017; of equal mass in Nixon J et al.
    CVPR Workshops 2019.

    Three cases of score 0.2, one of them positive, and three of 0.7, all positive: (|1 - 0.6| + |3 - 2.1|) / 6.

    >>> round(expected_calibration_error([1, 0, 0, 1, 1, 1], [0.2, 0.2, 0.2, 0.7, 0.7, 0.7], bins=2), 4)
    0.2167
    """
    y, s = _probabilities(y_true, score)
    if bins < 1:
        raise ValueError(f"at least one bin is needed, not {bins}")
    place = np.floor((scipy.stats.rankdata(s) - 0.5) * bins / s.size).astype(int)
    return float(np.abs(np.bincount(place, weights=s - y)).sum() / s.size)


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
    return float(scipy.stats.norm.ppf(0.5 + level / 2))


def _ratio(mean: float, error: float) -> float:
    """mean / error, where no spread at all means 0 for no difference and infinity for any."""
    if error > 0:
        return mean / error
    return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))


def _mean_variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1) / values.size)


def _placements(y_true: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components.

    For each positive case the share of negative cases ranked below it, for each negative case the share of positive
    cases ranked above it. Ties count one half.
    """
    y, s = _labels(y_true, score)
    if min((y == 1).sum(), (y == 0).sum()) < 2:
        raise ValueError("at least two cases of each class are needed")
    placed = place_cases(y, s)
    return placed[y == 1], placed[y == 0]


def _labels(y_true: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(y_true), np.asarray(score, np.float64)
    if y.ndim != 1 or y.shape != s.shape or y.size == 0:
        raise ValueError(f"labels and scores must be vectors of one length, not {y.shape} and {s.shape}")
    if not np.all((y == 0) | (y == 1)) or not np.all(np.isfinite(s)):
        raise ValueError("labels must be 0 or 1 and scores finite")
    return y.astype(np.int64), s


def _probabilities(y_true: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, s = _labels(y_true, score)
    if s.min() < 0 or s.max() > 1:
        raise ValueError("probabilities must lie in [0, 1]")
    return y, s


def compute_roc(y_true: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Receiver operating characteristic of a score: (false-positive rates, true-positive rates, area under the curve).

    y_true: (n,) of 0 and 1; score: (n,), higher means class 1. The rates, 1 minus specificity and sensitivity, are those of every
    threshold that changes the curve, from (0, 0) to (1, 1). Raises ValueError if a class is missing.
    Fawcett T. Pattern Recognit Lett 2006;27:861-874.

    >>> x, y, area = compute_roc(np.array([0, 0, 1, 1]), np.array([1, 3, 2, 4]))
    >>> x.tolist(), y.tolist(), area  # from the highest score down: positive, negative, positive, negative
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0], 0.75)
    """
    y_true = np.asarray(y_true)
    if not (np.any(y_true == 0) and np.any(y_true == 1)):
        raise ValueError("an ROC curve needs cases of both classes")
    from sklearn.metrics import auc, roc_curve  # half a second, which the first word of every command would wait for

    false_positive, true_positive, _ = roc_curve(y_true, score, pos_label=1)
    return false_positive, true_positive, float(auc(false_positive, true_positive))


def average_roc(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, float]:
    """ROC curve averaged over runs: true-positive rates (501,) at the false-positive rates GRID, and the mean of the areas.

    runs: (y_true, score) of each, as for `compute_roc`, with its errors. Averaged vertically, at equal false-positive rate
    (Fawcett T. Pattern Recognit Lett 2006;27:861-874); the curve starts at (0, 0).

    A perfect run and one that tells nothing, whose curve is the diagonal:

    >>> heights, area = average_roc([(np.array([0, 1]), np.array([1, 2])), (np.array([0, 1]), np.array([1, 1]))])
    >>> float(GRID[250]), float(heights[250]), area
    (0.5, 0.75, 0.75)
    """
    curves = [compute_roc(y_true, score) for y_true, score in runs]
    heights = np.mean([np.interp(GRID, x, y) for x, y, _ in curves], axis=0)
    heights[0] = 0.0
    return heights, float(np.mean([area for _, _, area in curves]))
