"""Intervals of a mean over the seeds, from what each patient adds to a metric: patients and trainings are the two sources of
chance.

Everything takes leading axes, so that a simulation computes thousands of samples at once with the functions that a report uses;
S seeds and P patients stand in the last axes. `benchmarks/coverage.py` measures the coverage, `docs/statistics.md` shows it.

The variance between patients is linearised: a metric's influence function, summed over the cases of a patient (Binder DA. Int
Stat Rev 1983;51:279-292; Williams RL. Biometrics 2000;56:645-646), divided by 1 minus the patient's leverage (CR2: Bell RM,
McCaffrey DF. Survey Methodology 2002;28:169-181), which makes it unbiased where patients are alike.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtridf, stdtrit

from common.evaluation.statistics import score_interval

NORMAL = 1.959963984540054  # 97.5 % quantile of the normal distribution
TAIL = 0.975
FEW_PATIENTS = 10  # below it, the variance between patients may be small by chance
INTERVAL = ("low", "high", "error", "error_patients", "df")  # of an Estimate, besides its mean


class Linear(NamedTuple):
    """A metric in every seed, and what each patient contributes to it."""

    by_seed: np.ndarray  # (..., S), NaN where undefined
    influence: np.ndarray  # (..., S, P): by how much a patient moves the metric, to first order; sums to 0 over the patients
    leverage: np.ndarray  # (..., P), 0 to 1: share of the denominator that is the patient's; 0 for those who do not contribute
    sizes: np.ndarray  # (..., P): cases of the patient that count
    events: np.ndarray  # (...): patients with a wrong case in any seed, or with a right one, whichever are fewer
    patients: np.ndarray  # (...): how many contribute
    alone: np.ndarray = np.zeros(())  # (...): variance of one seed if all cases were independent; 0: not known


class Spread(NamedTuple):
    """Variance of a mean over the seeds, in its two parts."""

    patients: np.ndarray  # (...), which patients were drawn
    single: np.ndarray  # (...), the same of one seed, as a mean over the seeds
    seeds: np.ndarray  # (...), how the trainings went, without what the cases add to it


class Estimate(NamedTuple):
    """A mean over the seeds with its 95 % interval; NaN where undefined. All (...)."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: np.ndarray  # standard error, patients and seeds together
    error_patients: np.ndarray
    df: np.ndarray  # degrees of freedom whose t quantile the interval takes
    at_limit: np.ndarray  # bool: the mean is 0 or 1 in every seed, the interval a bound from the number of patients
    alike: np.ndarray  # bool: all patients have the same share, the interval is that of one case a patient


def measure_spread(linear: Linear) -> Spread:
    """Variance of the mean over the seeds.

    Between the seeds a metric varies by the trainings and by what each training happens to do with these cases. The latter is
    already in the variance of the patients, so it is taken off: variance between seeds minus the patients' variance of each
    seed's deviation from the mean over the seeds, at least 0. With one seed nothing is known of it, and `seeds` is 0.

    Two patients of one case, two seeds that agree on every case:

    >>> influence = np.array([[0.25, -0.25], [0.25, -0.25]])
    >>> half, one = np.array([0.5, 0.5]), np.array([1.0, 1.0])
    >>> spread = measure_spread(Linear(half, influence, half, one, np.array(1), np.array(2)))
    >>> [float(part) for part in spread]  # 2 x 0.25^2 / (1 - 1/2)
    [0.25, 0.25, 0.0]
    """
    seeds = linear.influence.shape[-2]
    weight = 1 / (1 - np.minimum(linear.leverage, 0.9))
    mean = linear.influence.mean(axis=-2)
    patients = (mean**2 * weight).sum(axis=-1)
    single = ((linear.influence**2).mean(axis=-2) * weight).sum(axis=-1)
    if seeds == 1:
        return Spread(patients, single, np.zeros_like(patients))
    deviation = (single - patients) / (seeds - 1)  # of the cases, within what varies between the seeds, over the seeds
    between = linear.by_seed.var(axis=-1, ddof=1) / seeds
    return Spread(patients, single, np.maximum(between - deviation, 0))


def raise_variance(patients: np.ndarray, linear: Linear) -> np.ndarray:
    """The variance between patients, of fewer than FEW_PATIENTS at least that of independent cases.

    Four patients of ten cases who by chance have one wrong each hardly differ, which says little of how patients do. The larger
    of the two standard errors is customary: Angrist JD, Pischke JS. Mostly Harmless Econometrics. 2009, chapter 8.
    patients: (...).

    >>> right, cases = np.array([[10.0, 9.0, 9.0, 10.0]]), np.array([[11.0, 10.0, 10.0, 11.0]])
    >>> linear = linearise_ratio(right, cases)
    >>> found = raise_variance(measure_spread(linear).patients, linear)
    >>> print(f"{measure_spread(linear).patients ** 0.5:.4f}, {found ** 0.5:.4f}")  # (38/42 x 4/42 / 42) ** 0.5
    0.0026, 0.0453
    """
    return np.where(linear.patients < FEW_PATIENTS, np.maximum(patients, linear.alone), patients)


def combine_quantile(patients: np.ndarray, df: np.ndarray, seeds: np.ndarray, count: int) -> np.ndarray:
    """Quantile of a mean whose variance is a sum: the t quantiles of both parts, weighted by their variances.

    Cochran WG. Biometrics 1964;20:191-195. Satterthwaite's degrees of freedom, put in from the estimates, are too many where the
    variance between three trainings came out small by chance: coverage then falls to 92 %.
    patients, seeds: variances (...); df: degrees of freedom of the first; count: seeds, so count - 1 of the second.

    >>> combine_quantile(np.array([1.0, 0.5]), np.array([1e9, 1e9]), np.array([0.0, 0.5]), 3).round(3)  # 1.960 and 4.303
    array([1.96 , 3.131])
    """
    first = stdtrit(np.maximum(df, 1), TAIL)
    if count == 1:
        return first
    second = stdtrit(np.float64(count - 1), TAIL)
    return _divide(patients * first + seeds * second, patients + seeds, first)


def find_df(quantile: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the t distribution with this 97.5 % quantile, at most 1e6.

    >>> find_df(np.array([4.302652729911275, 2.0])).round(1).tolist()
    [2.0, 60.4]
    >>> float(find_df(np.array(NORMAL)))
    1000000.0
    """
    found = stdtridf(TAIL, np.maximum(quantile, NORMAL + 1e-5))
    return np.minimum(np.where(np.isfinite(found) & (quantile > NORMAL + 1e-5), found, 1e6), 1e6)


def estimate_share(linear: Linear) -> Estimate:
    """Interval of a share of cases (accuracy, sensitivity, precision, F1, ...), all in [0, 1].

    The limit towards the middle is that of the logit, the one towards the near end Wilson's with the effective number of cases
    mean (1 - mean) / variance (Korn EL, Graubard BI. Survey Methodology 1998;24:193-201): of the two each covers on its side. t
    has patients - 1 degrees of freedom over the share of pairs of cases that stand within patients: with one case a patient the
    variance follows from the share itself, as in Wilson's interval, and the quantile is the normal one. Seeds halve the variance
    of few wrong cases by chance; so their gain is drawn towards none by the weight of a quarter of a patient. Where the share
    is 0 or 1, Wilson's interval over the patients, and as error Agresti and Coull's (Am Stat 1998;52:119-126). Where the share is
    another but the same in every patient, no variance is seen, and each patient counts as one case. Of few patients the variance
    is at least that of independent cases (`raise_variance`).

    Three of four patients right, one seed:

    >>> right = np.array([[1.0, 1.0, 1.0, 0.0]])
    >>> found = estimate_share(linearise_ratio(right, np.ones((1, 4))))
    >>> print(f"{found.mean:.2f}, {found.low:.3f} to {found.high:.3f}")
    0.75, 0.180 to 0.963
    """
    mean, seeds = linear.by_seed.mean(axis=-1), linear.by_seed.shape[-1]
    spread = measure_spread(linear)
    gain = _divide(spread.patients, spread.single, 1.0)
    patients = spread.single * (linear.events * gain + 0.25) / (linear.events + 0.25)
    at_limit = (mean <= 1e-12) | (mean >= 1 - 1e-12)
    alike = find_alike(spread, mean) & ~at_limit
    patients = raise_variance(np.where(alike, mean * (1 - mean) / np.maximum(linear.patients, 1), patients), linear)
    df = (linear.patients - 1) / np.maximum(share_within(linear.sizes), 1e-6)
    quantile = combine_quantile(patients, df, spread.seeds, seeds)
    variance = patients + spread.seeds
    inner = np.where(at_limit, 0.5, mean)
    cases = _divide(inner * (1 - inner), variance, np.inf)
    wilson = score_interval(inner, np.where(np.isfinite(cases), cases, 1e12), quantile)
    logit = logit_interval(inner, variance, quantile)
    bound = score_interval(np.round(mean), np.maximum(linear.patients, 1), NORMAL)
    low = np.where(mean >= 0.5, logit[0], wilson[0])
    high = np.where(mean >= 0.5, wilson[1], logit[1])
    adjusted = (np.round(mean) * linear.patients + NORMAL**2 / 2) / (linear.patients + NORMAL**2)
    limit_error = np.sqrt(adjusted * (1 - adjusted) / (linear.patients + NORMAL**2))
    return _drop_undefined(
        linear.patients >= 2,
        Estimate(
            mean,
            np.where(at_limit, bound[0], low),
            np.where(at_limit, bound[1], high),
            np.where(at_limit, limit_error, np.sqrt(variance)),
            np.where(at_limit, limit_error, np.sqrt(patients)),
            find_df(np.where(at_limit, NORMAL, quantile)),
            at_limit,
            alike,
        ),
    )


def find_alike(spread: Spread, mean: np.ndarray) -> np.ndarray:
    """Where the variance between patients is nothing but rounding, in every seed.

    >>> find_alike(Spread(np.array([0.0, 0.01]), np.array([1e-34, 0.01]), np.zeros(2)), np.array([0.5, 0.5])).tolist()
    [True, False]
    """
    return spread.single <= (1e-9 * np.abs(np.nan_to_num(mean))) ** 2


def linearise_ratio(hits: np.ndarray, cases: np.ndarray, sizes: np.ndarray | None = None) -> Linear:
    """A ratio of sums over the patients, such as right cases over cases.

    hits, cases: (..., S, P) of each seed and patient, 0 <= hits <= cases; sizes: (..., P) cases of each patient, by default the
    largest of `cases` over the seeds.

    >>> linearise_ratio(np.array([[2.0, 0.0]]), np.array([[2.0, 2.0]])).influence.tolist()  # (2 - 0.5 x 2) / 4
    [[0.25, -0.25]]
    """
    total = cases.sum(axis=-1)
    by_seed = _divide(hits.sum(axis=-1), total, np.nan)
    influence = _divide(hits - np.nan_to_num(by_seed)[..., None] * cases, total[..., None], 0.0)
    leverage = _divide(cases, total[..., None], 0.0).mean(axis=-2)
    contributes = leverage > 0
    events = np.minimum((hits < cases).any(axis=-2).sum(axis=-1), (hits > 0).any(axis=-2).sum(axis=-1))
    sizes = cases.max(axis=-2) if sizes is None else sizes
    alone = _divide(np.nan_to_num(by_seed * (1 - by_seed)), total, 0.0).mean(axis=-1)
    return Linear(by_seed, influence, leverage, np.where(contributes, sizes, 0), events, contributes.sum(axis=-1), alone)


def logit_interval(share: np.ndarray, variance: np.ndarray, quantile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interval of shares in (0, 1), symmetric on the logit scale.

    >>> low, high = logit_interval(np.array(0.5), np.array(0.01), np.array(2.0))  # logit 0 +- 2 x 0.1 / 0.25
    >>> print(f"{low:.4f}, {high:.4f}")
    0.3100, 0.6900
    """
    spread = share * (1 - share)
    centre, half = np.log(share / (1 - share)), quantile * np.sqrt(variance) / spread
    return 1 / (1 + np.exp(np.minimum(half - centre, 700))), 1 / (1 + np.exp(np.minimum(-half - centre, 700)))


def share_within(sizes: np.ndarray) -> np.ndarray:
    """Share of the ordered pairs of cases of one patient, a case with itself included, that are of two cases: 0 with one case
    each.

    >>> float(share_within(np.array([1, 1]))), float(share_within(np.array([2, 2])))
    (0.0, 0.5)
    """
    return 1 - _divide(sizes.sum(axis=-1), (sizes**2).sum(axis=-1), 1.0)


def _divide(numerator: np.ndarray, denominator: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator), np.shape(otherwise))
    out = np.broadcast_to(np.asarray(otherwise, np.float64), shape).copy()
    return np.divide(numerator, denominator, out=out, where=np.broadcast_to(np.asarray(denominator) > 0, shape))


def _drop_undefined(enough: np.ndarray, estimate: Estimate) -> Estimate:
    """NaN for all but the mean where there are too few patients."""
    kept = {name: np.where(enough & ~np.isnan(estimate.mean), getattr(estimate, name), np.nan) for name in INTERVAL}
    return estimate._replace(**kept, at_limit=estimate.at_limit & enough, alike=estimate.alike & enough)
