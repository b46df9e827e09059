"""Intervals, tests and calibration errors of classification results, on plain arrays.

Each function states its reference. All are deterministic and take the cases as independent of each other; where
patients contribute several cases, `common.evaluation.bootstrap` gives intervals that respect the patients.
Arguments that make no sense raise ValueError: they are mistakes of a program, not of its user.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import auc, roc_curve

GRID = np.linspace(0, 1, 501)  # false-positive rates at which curves are averaged


class AucInterval(NamedTuple):
    """Area under the ROC curve, its variance, and a confidence interval clipped to [0, 1]."""

    auc: float
    variance: float
    low: float
    high: float


class PairedAuc(NamedTuple):
    """Difference of two areas under the ROC curve (a - b) on the same cases: z, two-sided p, interval."""

    difference: float
    z: float
    p: float
    low: float
    high: float


class McNemar(NamedTuple):
    """Cases that only a, and only b, classified correctly, and the exact two-sided p."""

    only_a: int
    only_b: int
    p: float


def wilson_interval(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of the proportion k / n, without continuity correction; both ends in [0, 1].

    k may be fractional: a printed percentage times its n seldom is an integer.
    Wilson EB. J Am Stat Assoc 1927;22:209-212.
    """
    if not (n > 0 and 0 <= k <= n):
        raise ValueError(f"a proportion needs 0 <= k <= n and n > 0, not k = {k}, n = {n}")
    z = _normal_quantile(level)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def delong_auc(y_true: ArrayLike, score: ArrayLike, level: float = 0.95) -> AucInterval:
    """Area under the ROC curve with DeLong's variance and the plain normal interval, clipped to [0, 1].

    y_true (n,) of 0 and 1; score (n,), higher means class 1; ties count one half. Needs two cases of each class.
    A perfect ranking has variance 0, so its interval is the point 1: no statement about certainty.
    DeLong ER et al. Biometrics 1988;44:837-845; computed from midranks after Sun X, Xu W.
    IEEE Signal Process Lett 2014;21:1389-1393.
    """
    of_positives, of_negatives = _placements(y_true, score)
    auc = float(of_positives.mean())
    variance = _mean_variance(of_positives) + _mean_variance(of_negatives)
    half = _normal_quantile(level) * np.sqrt(variance)
    return AucInterval(auc, variance, max(0.0, float(auc - half)), min(1.0, float(auc + half)))


def delong_test(y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, level: float = 0.95) -> PairedAuc:
    """DeLong's test that two scores of the same cases have the same area under the ROC curve; two-sided.

    Shapes as in `delong_auc`. Scores that rank every case alike give z = 0 and p = 1.
    DeLong ER et al. Biometrics 1988;44:837-845.
    """
    positives_a, negatives_a = _placements(y_true, score_a)
    positives_b, negatives_b = _placements(y_true, score_b)
    difference = float(positives_a.mean() - positives_b.mean())
    error = float(np.sqrt(_mean_variance(positives_a - positives_b) + _mean_variance(negatives_a - negatives_b)))
    z = _ratio(difference, error)
    p = float(2 * stats.norm.sf(abs(z)))
    half = _normal_quantile(level) * error
    return PairedAuc(difference, z, p, difference - half, difference + half)


def hanley_mcneil_halfwidth(auc: float, positives: int, negatives: int, level: float = 0.95) -> float:
    """Half-width of the normal interval of an area under the ROC curve, from the area and the class sizes alone.

    The standard error is that of the negative exponential model. Hanley JA, McNeil BJ. Radiology 1982;143:29-36.
    """
    if not (0 <= auc <= 1 and positives > 0 and negatives > 0):
        raise ValueError(f"an AUC in [0, 1] and two class sizes are needed, not {auc}, {positives}, {negatives}")
    q1 = auc / (2 - auc)  # two random positives both rank above one negative
    q2 = 2 * auc * auc / (1 + auc)  # one positive ranks above two random negatives
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    return float(_normal_quantile(level) * np.sqrt(spread / (positives * negatives)))


def mcnemar_exact(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Exact McNemar test that two classifiers are right equally often on the same cases.

    correct_a, correct_b (n,) bool. p is the two-sided binomial test of the discordant cases; 1 if there are none.
    McNemar Q. Psychometrika 1947;12:153-157.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"two vectors over the same cases are needed, not shapes {a.shape} and {b.shape}")
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    discordant = only_a + only_b
    p = float(stats.binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, min(1.0, p))


def holm(p_values: ArrayLike) -> np.ndarray:
    """p values adjusted for their number by Holm's step-down method, in the order given; (m,) float64 in [0, 1].

    Holm S. Scand J Stat 1979;6:65-70.
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p values must be a vector of numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def corrected_resampled_t(differences: ArrayLike, n_train: int, n_test: int) -> tuple[float, float]:
    """(t, two-sided p) of the mean difference over repeated splits or folds, corrected for their overlap.

    differences (J,): one per split; n_train and n_test: cases of one split. The variance of the mean is taken as
    (1 / J + n_test / n_train) times the sample variance, with J - 1 degrees of freedom.
    Nadeau C, Bengio Y. Machine Learning 2003;52:239-281.
    """
    d = np.asarray(differences, np.float64)
    if d.ndim != 1 or d.size < 2 or n_train <= 0 or n_test <= 0:
        raise ValueError("at least two differences and positive numbers of training and test cases are needed")
    t = _ratio(float(d.mean()), float(np.sqrt((1 / d.size + n_test / n_train) * d.var(ddof=1))))
    return t, float(2 * stats.t.sf(abs(t), d.size - 1))


def expected_calibration_error(y_true: ArrayLike, score: ArrayLike, bins: int = 10) -> float:
    """Mean distance between predicted probability and observed share over bins of equal numbers of cases.

    y_true (n,) of 0 and 1; score (n,) probability of class 1. Equal scores share a bin, so that the result does not
    depend on the order of the cases. Biased upwards in small samples, as every plug-in estimate of it.
    Guo C et al. ICML 2017 (with bins of equal width); equal mass as in Nixon J et al. CVPR Workshops 2019.
    """
    y, s = _probabilities(y_true, score)
    if bins < 1:
        raise ValueError(f"at least one bin is needed, not {bins}")
    place = np.floor((stats.rankdata(s) - 0.5) * bins / s.size).astype(int)
    return float(np.abs(np.bincount(place, weights=s - y)).sum() / s.size)


def brier_score(y_true: ArrayLike, score: ArrayLike) -> float:
    """Mean squared distance between the probability of class 1 (n,) and the label (n,) of 0 and 1.

    Brier GW. Monthly Weather Review 1950;78:1-3 (half of his two-class sum).
    """
    y, s = _probabilities(y_true, score)
    return float(np.mean((s - y) ** 2))


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
    return float(stats.norm.ppf(0.5 + level / 2))


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
    positive, negative = s[y == 1], s[y == 0]
    if min(positive.size, negative.size) < 2:
        raise ValueError("at least two cases of each class are needed")
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    below = ranks[: positive.size] - stats.rankdata(positive)
    not_above = ranks[positive.size :] - stats.rankdata(negative)
    return below / negative.size, 1 - not_above / positive.size


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
    """(false-positive rates, true-positive rates, area). Raises ValueError if a class is missing."""
    y_true = np.asarray(y_true)
    if not (np.any(y_true == 0) and np.any(y_true == 1)):
        raise ValueError("an ROC curve needs cases of both classes")
    false_positive, true_positive, _ = roc_curve(y_true, score, pos_label=1)
    return false_positive, true_positive, float(auc(false_positive, true_positive))


def average_roc(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, float]:
    """True-positive rates at GRID, averaged over the runs at equal false-positive rate, and the mean of their areas."""
    curves = [compute_roc(y_true, score) for y_true, score in runs]
    heights = np.mean([np.interp(GRID, x, y) for x, y, _ in curves], axis=0)
    heights[0] = 0.0
    return heights, float(np.mean([area for _, _, area in curves]))
