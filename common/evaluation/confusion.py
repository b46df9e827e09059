"""Metrics of confusion matrices with their intervals, from the counts of each seed and patient; and of means over cases.

Two classes: sensitivity, specificity, precision and F1 are those of class 1. More: means over the classes, each against the rest.
"""

from collections.abc import Callable

import numpy as np

from common.evaluation.averages import estimate_average, forget_seeds
from common.evaluation.intervals import (
    NORMAL,
    Estimate,
    Linear,
    combine_quantile,
    estimate_share,
    find_alike,
    find_df,
    linearise_ratio,
    measure_spread,
    raise_variance,
    share_within,
)
from common.evaluation.statistics import score_interval

SHARES = ("accuracy", "sensitivity", "specificity", "precision", "f1", "majority_rate")


def estimate_confusion(counts: np.ndarray) -> dict[str, Estimate]:
    """Every metric of `confusion_metrics` with its interval.

    counts: (..., S, P, C, C) cases of each seed and patient, truth in rows. Shares: `intervals.estimate_share`; mcc:
    `estimate_correlation`. NaN where a metric is undefined in a seed.

    Four patients, the third is ill and not recognised:

    >>> cells = [(0, 0), (0, 0), (1, 0), (1, 1)]
    >>> counts = np.array([[np.outer(np.eye(2)[truth], np.eye(2)[given]) for truth, given in cells]])
    >>> found = estimate_confusion(counts)
    >>> {name: round(float(found[name].mean), 3) for name in ("accuracy", "sensitivity", "f1", "mcc")}
    {'accuracy': 0.75, 'sensitivity': 0.5, 'f1': 0.667, 'mcc': 0.577}
    """
    truth, given = counts.sum(axis=-1), counts.sum(axis=-2)  # (..., S, P, C)
    cases = truth.sum(axis=-1)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    most = truth.sum(axis=-2).mean(axis=-2).argmax(axis=-1)
    of_most = np.take_along_axis(truth, most[..., None, None, None], axis=-1)[..., 0]
    shares = {"accuracy": linearise_ratio(right.sum(axis=-1), cases), "majority_rate": linearise_ratio(of_most, cases)}
    per_class: dict[str, list[Linear]] = {name: [] for name in ("sensitivity", "specificity", "precision", "f1")}
    for c in [1] if counts.shape[-1] == 2 else range(counts.shape[-1]):
        hits, actual, called = right[..., c], truth[..., c], given[..., c]
        per_class["sensitivity"].append(linearise_ratio(hits, actual))
        per_class["specificity"].append(linearise_ratio(cases - actual - called + hits, cases - actual))
        per_class["precision"].append(linearise_ratio(hits, called))
        per_class["f1"].append(_linearise_f1(hits, actual, called, cases))
    found = {name: estimate_share(linear) for name, linear in shares.items()}
    found |= {name: estimate_shares_of_classes(parts) for name, parts in per_class.items()}
    return found | {"mcc": estimate_correlation(linearise_mcc(counts), counts)}


def _linearise_f1(hits: np.ndarray, actual: np.ndarray, called: np.ndarray, cases: np.ndarray) -> Linear:
    linear = linearise_ratio(2 * hits, actual + called, sizes=cases.max(axis=-2))
    # A case that is found counts twice in numerator and denominator, any other once below: so F (1 - F) (2 - F) / denominator.
    value = linear.by_seed
    variance = divide(value * (1 - value) * (2 - value), (actual + called).sum(axis=-1))
    return linear._replace(alone=np.nan_to_num(variance).mean(axis=-1))


def estimate_shares_of_classes(parts: list[Linear]) -> Estimate:
    """Interval of the mean of a share over the classes: `averages.estimate_average`; of one class, `intervals.estimate_share`.

    >>> share = linearise_ratio(np.array([[1.0, 0.0, 1.0]]), np.ones((1, 3)))
    >>> found = estimate_shares_of_classes([share, share])  # wholly correlated: the interval of either
    >>> bool(np.isclose(found.low, estimate_share(share).low))
    True
    """
    if len(parts) == 1:
        return estimate_share(parts[0])
    return estimate_average(parts, [estimate_share(part._replace(by_seed=forget_seeds(part.by_seed))) for part in parts])


def linearise_mcc(counts: np.ndarray) -> Linear:
    """Matthews' coefficient (Gorodkin's R_K with more classes) and, by its derivative to each count, each patient's influence.

    counts: (..., S, P, C, C).

    >>> cells = [(0, 0), (0, 0), (1, 0), (1, 1)]
    >>> linear = linearise_mcc(np.array([[np.outer(np.eye(2)[truth], np.eye(2)[given]) for truth, given in cells]]))
    >>> round(float(linear.by_seed[0]), 4), round(float(linear.influence.sum()), 12)
    (0.5774, 0.0)
    """
    matrix = counts.sum(axis=-3)
    truth, given = matrix.sum(axis=-1), matrix.sum(axis=-2)
    total = truth.sum(axis=-1)
    hits = np.trace(matrix, axis1=-2, axis2=-1)
    covariance = hits * total - (truth * given).sum(axis=-1)
    a, b = total**2 - (truth**2).sum(axis=-1), total**2 - (given**2).sum(axis=-1)
    defined = (a > 0) & (b > 0)
    a, b = np.where(defined, a, 1), np.where(defined, b, 1)
    value = np.where(defined, covariance / np.sqrt(a * b), np.nan)

    def wide(of: np.ndarray) -> np.ndarray:
        return of[..., None, None]

    slope = wide(total) * np.eye(matrix.shape[-1]) + wide(hits) - given[..., :, None] - truth[..., None, :]
    shrink = (wide(total) - truth[..., :, None]) / wide(a) + (wide(total) - given[..., None, :]) / wide(b)
    gradient = slope / wide(np.sqrt(a * b)) - wide(np.nan_to_num(value)) * shrink
    influence = (gradient[..., None, :, :] * counts).sum(axis=(-2, -1))
    cases = counts.sum(axis=(-2, -1))
    wrong = (cases > np.trace(counts, axis1=-2, axis2=-1)).any(axis=-2).sum(axis=-1)
    leverage = (cases / total[..., None]).mean(axis=-2)
    sizes = cases.max(axis=-2)
    alone = (gradient**2 * matrix).sum(axis=(-2, -1)).mean(axis=-1)
    return Linear(value, influence, leverage, sizes, wrong, (sizes > 0).sum(axis=-1), alone)


def measure_mcc(matrix: np.ndarray) -> np.ndarray:
    """Matthews' coefficient of confusion matrices (..., C, C), truth in rows.

    >>> float(measure_mcc(np.eye(2)))
    1.0
    """
    return confusion_metrics(np.moveaxis(matrix, (-2, -1), (0, 1)))["mcc"]


def estimate_correlation(
    linear: Linear, counts: np.ndarray, measure: Callable[[np.ndarray], np.ndarray] = measure_mcc
) -> Estimate:
    """Interval of Matthews' coefficient, or of another from -1 to 1 that `measure` gives of a confusion matrix.

    Symmetric on the scale of Fisher's z, t as in `intervals.estimate_share`. Where every case is right in every seed, the
    coefficient at Wilson's lower limit over the patients, put in for the share of each class that is right; where every case of
    two classes is wrong (-1), its mirror image. No interval where all patients are alike. counts: (..., S, P, C, C), as for
    `linearise_mcc`.

    >>> counts = np.array([[np.outer(np.eye(2)[c], np.eye(2)[c]) for c in (0, 0, 0, 1, 1, 1)]])
    >>> found = estimate_correlation(linearise_mcc(counts), counts)
    >>> print(f"{found.mean:.2f}, {found.low:.2f} to {found.high:.2f}")  # Wilson's limit of 6 of 6 is 0.610
    1.00, 0.22 to 1.00
    """
    mean, seeds = linear.by_seed.mean(axis=-1), linear.by_seed.shape[-1]
    spread = measure_spread(linear)
    gain = np.divide(spread.patients, spread.single, out=np.ones_like(mean), where=spread.single > 0)
    patients = raise_variance(spread.single * (linear.events * gain + 0.25) / (linear.events + 0.25), linear)
    df = (linear.patients - 1) / np.maximum(share_within(linear.sizes), 1e-6)
    quantile = combine_quantile(patients, df, spread.seeds, seeds)
    error = np.sqrt(patients + spread.seeds)
    lowest = mean <= -1 + 1e-12
    at_limit = (mean >= 1 - 1e-12) | lowest
    inner = np.where(at_limit | np.isnan(mean), 0.0, mean)
    half = quantile * error / (1 - inner**2)
    right = score_interval(np.ones(()), np.maximum(linear.patients, 1), NORMAL)[0]
    sizes = counts.sum(axis=(-3, -1)).mean(axis=-2)  # (..., C)
    classes = sizes.shape[-1]
    share = np.eye(classes) * right[..., None, None] + (1 - np.eye(classes)) * ((1 - right) / (classes - 1))[..., None, None]
    matrix = sizes[..., :, None] * share
    bound = measure(matrix)
    enough = (linear.patients >= 2) & ~np.isnan(mean) & (at_limit | ~find_alike(spread, np.ones_like(mean)))
    limit_error = (1 - bound) / (2 * NORMAL)

    def keep(at: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        return np.where(enough, np.where(at_limit, at, otherwise), np.nan)

    return Estimate(
        mean,
        keep(np.where(lowest, -1.0, bound), np.tanh(np.arctanh(inner) - half)),
        keep(np.where(lowest, -bound, 1.0), np.tanh(np.arctanh(inner) + half)),
        keep(limit_error, error),
        keep(limit_error, np.sqrt(patients)),
        keep(find_df(np.full_like(quantile, NORMAL)), find_df(quantile)),
        at_limit & enough,
        ~at_limit & (linear.patients >= 2) & find_alike(spread, np.ones_like(mean)),
    )


def estimate_positive_mean(values: np.ndarray, cases: np.ndarray, ceiling: float = np.inf) -> Estimate:
    """Interval of a mean of non-negative values over the cases, such as the Brier score; symmetric on the logarithmic scale.

    values: (..., S, P) sums over each patient's cases; cases: (..., S, P). t with patients - 1 degrees of freedom; for the
    upper limit, since such values have a long tail that a sample may miss, not more than their fourth moment allows (at least
    2), and around the mean with a quarter of a patient more, who is as the worst. No interval where the mean is 0 or all
    patients are alike. ceiling: the most that a value can be (1 for the Brier score of two classes), which ends the interval.

    >>> found = estimate_positive_mean(np.array([[0.1, 0.3, 0.2]]), np.ones((1, 3)))
    >>> print(f"{found.mean:.1f}, {found.low:.3f} to {found.high:.3f}")  # 0.2 / 3.462, 0.2083 x 3.462
    0.2, 0.058 to 0.721
    """
    linear = linearise_ratio(values, cases)
    mean, seeds = linear.by_seed.mean(axis=-1), linear.by_seed.shape[-1]
    spread = measure_spread(linear)
    variance = spread.patients + spread.seeds
    df, influence = linear.patients - 1.0, linear.influence.mean(axis=-2)
    enough = (linear.patients >= 2) & (mean > 0) & ~find_alike(spread, mean)
    heavy = (influence**4).sum(axis=-1) - spread.patients**2 / np.maximum(linear.patients, 1)
    moment = np.where(heavy > 0, 2 * spread.patients**2 / np.where(heavy > 0, heavy, 1), np.inf)
    narrow, wide = (
        combine_quantile(spread.patients, of, spread.seeds, seeds) for of in (df, np.minimum(df, np.maximum(moment, 2)))
    )
    inner = np.where(enough, mean, 1.0)
    worst = (values / np.where(cases > 0, cases, 1)).mean(axis=-2).max(axis=-1)
    raised = inner + 0.25 * np.maximum(worst - inner, 0) / np.maximum(linear.patients, 1)
    spans = [np.exp(np.minimum(of * np.sqrt(variance) / inner, 700)) for of in (narrow, wide)]
    found = (inner / spans[0], np.minimum(raised * spans[1], ceiling), np.sqrt(variance), np.sqrt(spread.patients), find_df(wide))
    low, high, error, error_patients, df = (np.where(enough, part, np.nan) for part in found)
    return Estimate(mean, low, high, error, error_patients, df, np.zeros_like(enough), ~enough & (linear.patients >= 2))


def confusion_metrics(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of confusion matrices (C, C, ...), truth in rows: name -> (...) float64, NaN where undefined (0/0).

    Two classes: sensitivity, specificity, precision and f1 of class 1. More: macro means over the classes, each against
    the rest, undefined as soon as one class is. mcc is Gorodkin's R_K, which for two classes is Matthews' coefficient
    (Gorodkin J. Comput Biol Chem 2004;28:367-374). majority_rate: the accuracy of always giving the commonest class.

    60 healthy cases, 50 of them recognised, and 40 ill ones, 35 recognised; mcc = (35 x 50 - 10 x 5) / sqrt(45 x 40 x 60 x 55):

    >>> found = confusion_metrics(np.array([[50, 10], [5, 35]]))
    >>> [round(float(found[name]), 4) for name in ("sensitivity", "precision", "f1", "accuracy")]  # 35/40, 35/45, 70/85, 85/100
    [0.875, 0.7778, 0.8235, 0.85]
    >>> print(f"{found['mcc']:.4f}, {1700 / (45 * 40 * 60 * 55) ** 0.5:.4f}")
    0.6975, 0.6975
    """
    total = confusion.sum(axis=(0, 1))
    truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    right = np.stack([confusion[c, c] for c in range(confusion.shape[0])])
    per_class = {
        "sensitivity": divide(right, truth),
        "specificity": divide(total - truth - predicted + right, total - truth),
        "precision": divide(right, predicted),
        "f1": divide(2 * right, truth + predicted),
    }
    hits = right.sum(axis=0)
    covariance = hits * total - (truth * predicted).sum(axis=0)
    spread = np.sqrt((total**2 - (truth**2).sum(axis=0)) * (total**2 - (predicted**2).sum(axis=0)))
    summary = {name: of[1] if len(of) == 2 else of.mean(axis=0) for name, of in per_class.items()}
    return summary | {
        "accuracy": divide(hits, total),
        "mcc": divide(covariance, spread),
        "majority_rate": divide(truth.max(axis=0), total),
    }


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is 0.

    >>> divide(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator != 0)
