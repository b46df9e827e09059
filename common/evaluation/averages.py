"""Means of a metric over classes, each against the rest, with an interval from those of the classes.

A class of few patients that all came out right adds nothing to a linearised variance of the mean, though little is known of it.
So the limits are recovered from those of each class, which do not end at 1: Zou GY, Donner A. Stat Med 2008;27:1693-1702
(MOVER), with correlated parts as in their formula for a difference.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from common.evaluation.intervals import NORMAL, TAIL, Estimate, Linear, combine_quantile, find_df, measure_spread


def forget_seeds(by_seed: np.ndarray) -> np.ndarray:
    """The mean over the seeds in every seed, (..., S): an estimate from it holds what the patients add alone.

    >>> forget_seeds(np.array([0.5, 1.0])).tolist()
    [0.75, 0.75]
    """
    return np.broadcast_to(by_seed.mean(axis=-1, keepdims=True), by_seed.shape)


def estimate_average(parts: Sequence[Linear], estimates: Sequence[Estimate]) -> Estimate:
    """Interval of the mean of a metric over the classes.

    parts: one a class, with the influence of each patient on it; estimates: of the same, from `forget_seeds`, so that they hold
    the variance of the patients alone. Each limit lies sqrt(d' R d) / C from the mean: d the distances of the limits of the C
    classes, R the correlations of the classes by the patients' influences, 0 where one has none. The variance between the seeds
    is that of the mean over the classes, with its t quantile (`combine_quantile`). NaN where a class has no interval.

    One of three classes has all of its four patients right, the others 16 of 20: the lower limit allows for the first, too.

    >>> from common.evaluation.intervals import estimate_share, linearise_ratio
    >>> of_class = np.repeat(np.eye(3), [4, 20, 20], axis=1)[:, None]
    >>> right = of_class * np.r_[np.ones(20), np.zeros(4), np.ones(16), np.zeros(4)]
    >>> parts = [linearise_ratio(*pair) for pair in zip(right, of_class, strict=True)]
    >>> found = estimate_average(parts, [estimate_share(part) for part in parts])
    >>> print(f"{found.mean:.3f}, {found.low:.3f} to {found.high:.3f}; {estimate_share(parts[0]).low:.2f}")
    0.867, 0.669 to 0.924; 0.51
    """
    if len(parts) == 1:
        return estimates[0]
    classes, seeds = len(parts), parts[0].by_seed.shape[-1]
    by_seed = np.mean([part.by_seed for part in parts], axis=0)
    weighted = [part.influence.mean(axis=-2) / np.sqrt(1 - np.minimum(part.leverage, 0.9)) for part in parts]
    correlation = _correlate(np.stack(weighted, axis=-2))

    def join(distances: list[np.ndarray]) -> np.ndarray:
        of = np.nan_to_num(np.stack(distances, axis=-1))
        return np.maximum(np.einsum("...i,...ij,...j->...", of, correlation, of), 0) / classes**2

    mean = by_seed.mean(axis=-1)
    of_mean = [np.mean([getattr(part, name) for part in parts], axis=0) for name in ("influence", "leverage")]
    between = measure_spread(parts[0]._replace(by_seed=by_seed, influence=of_mean[0], leverage=of_mean[1])).seeds
    patients = join([found.error_patients for found in estimates])

    def reach(distances: list[np.ndarray]) -> np.ndarray:
        # The distances of the classes hold their own t quantiles.
        variance = join(distances) / NORMAL**2
        return combine_quantile(variance, np.full_like(variance, 1e9), between, seeds) * np.sqrt(variance + between)

    weights = np.nan_to_num(np.stack([found.error_patients**2 for found in estimates])) + 1e-300
    quantiles = stdtrit(np.nan_to_num(np.stack([found.df for found in estimates]), nan=1.0), TAIL)
    df = find_df((weights * quantiles).sum(axis=0) / weights.sum(axis=0))
    known = np.all([~np.isnan(found.low) for found in estimates], axis=0)
    found = (
        np.maximum(mean - reach([of.mean - of.low for of in estimates]), 0),
        np.minimum(mean + reach([of.high - of.mean for of in estimates]), 1),
        np.sqrt(patients + between),
        np.sqrt(patients),
        find_df(combine_quantile(patients, df, between, seeds)),
    )
    low, high, error, error_patients, df = (np.where(known & ~np.isnan(mean), part, np.nan) for part in found)
    at_limit = np.all([found.at_limit for found in estimates], axis=0) & ((mean <= 1e-12) | (mean >= 1 - 1e-12))
    alike = np.any([found.alike for found in estimates], axis=0)
    return Estimate(mean, low, high, error, error_patients, df, at_limit & known, alike & known)


def _correlate(influence: np.ndarray) -> np.ndarray:
    """Correlations (..., C, C) of the classes by influences (..., C, P); 0 of a class without any, but for 1 with itself."""
    covariance = influence @ np.swapaxes(influence, -1, -2)
    error = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    scale = error[..., :, None] * error[..., None, :]
    correlation = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    own = np.eye(influence.shape[-2], dtype=bool)
    return np.where(own, 1.0, np.clip(correlation, -1, 1))
