"""Tests of two rows on the same cases that know which cases are of one patient, for a mean over the seeds.

Both are t tests of a difference whose variance is linearised over the patients, with the variance between the seeds; see
`intervals`. Where the rows have the same seeds, a seed of one is set against the same seed of the other; else each mean is over
the row's own seeds, and the variance between the seeds of each row that has several is added. The classic tests, McNemar's and
DeLong's, stand in `statistics`; they hold where each patient has one case.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from common.evaluation.areas import Area, count_df, join_parts, linearise_area
from common.evaluation.intervals import NORMAL, TAIL, Linear, find_df, linearise_ratio, measure_spread
from common.evaluation.statistics import score_interval

# Names of the tests, as they are printed.
MCNEMAR, CLUSTER_T = "McNemar, exact", "cluster t"
DELONG, CLUSTERED_DELONG = "DeLong, t", "clustered DeLong, t"


class Difference(NamedTuple):
    """A difference a - b, averaged over the seeds, with its 95 % interval and two-sided p; all (...), NaN where there is none."""

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray  # 1 where nothing differs; NaN where the difference is the same in every patient, so that its variance is 0
    error: np.ndarray
    df: np.ndarray


def compare_shares(gain: np.ndarray, cases: np.ndarray) -> Difference:
    """Cluster t test that two classifiers are right equally often.

    gain: (..., S, P) cases that a has right, minus those that b has, of each seed and patient; cases: (..., S, P). A seed of a
    is set against the same seed of b, and the variance of these differences between the seeds is part of the error. Patients -
    1 degrees of freedom. The paired t test of cluster means weighted by size: Donner A, Klar N. Design and Analysis of Cluster
    Randomization Trials. 2000, chapter 6; of Durkalski VL et al. Stat Med 2003;22:2417-2428 it differs by the weights and the t
    quantile. Without any variance the limits are those of Wilson's interval for no discordant one of the patients.

    >>> found = compare_shares(np.array([[1.0, 1.0, 0.0, -1.0]]), np.ones((1, 4)))
    >>> print(f"{found.difference:.2f}, p = {found.p:.3f}")  # 0.25 / (0.957 / 2), 3 degrees of freedom
    0.25, p = 0.638
    """
    linear = linearise_ratio(gain, cases)
    found = _test(linear, linear.patients - 1.0)
    width = score_interval(np.zeros(()), np.maximum(linear.patients, 1), NORMAL)[1]
    bare = (found.error == 0) & (linear.patients >= 2)
    return found._replace(
        low=np.where(bare, np.maximum(-1, found.difference - width), found.low),
        high=np.where(bare, np.minimum(1, found.difference + width), found.high),
    )


def compare_own_shares(right_a: np.ndarray, right_b: np.ndarray, cases: np.ndarray) -> Difference:
    """The test of `compare_shares` for rows of different seeds, from what each has right.

    right_a: (..., S_a, P) right cases of each seed and patient; right_b: (..., S_b, P); cases: (..., P). The variance over the
    patients is that of the difference of the means over the seeds. Of a row with one seed nothing is known of how its trainings
    vary, so that p holds for that training alone.

    Two trainings of a against one of b; without any spread between those of a it is the paired test:

    >>> right = np.array([[1.0, 1.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0, 1.0]])
    >>> found = compare_own_shares(np.repeat(right[0], 2, axis=0), right[1], np.ones(4))
    >>> bool(np.isclose(found.p, compare_shares(right[0] - right[1], np.ones((1, 4))).p))
    True
    """
    of_a, of_b = (np.broadcast_to(cases[..., None, :], of.shape) for of in (right_a, right_b))
    return compare_unlike_shares(right_a, of_a, right_b, of_b)


def compare_unlike_shares(
    right_a: np.ndarray, cases_a: np.ndarray, right_b: np.ndarray, cases_b: np.ndarray, *, same_seeds: bool = False
) -> Difference:
    """The test of `compare_own_shares` for rows that need not have the same cases: other splits, or other lists, of one and the
    same patients, which pair them.

    right_a, cases_a: (..., S_a, P) right and all cases of each seed and patient; right_b, cases_b: (..., S_b, P). A patient
    without a case in a row adds nothing to its share. same_seeds: a seed of one is set against the same seed of the other, as in
    `compare_shares`: where both drew their splits from it alike.

    Three patients; the second row has two cases of each, alike:

    >>> right, cases = np.array([[1.0, 0.0, 1.0]]), np.ones((1, 3))
    >>> found = compare_unlike_shares(right, cases, 2 * right, 2 * cases)
    >>> float(found.difference), float(found.p)
    (0.0, 1.0)
    """
    a, b = linearise_ratio(right_a, cases_a), linearise_ratio(right_b, cases_b)
    difference = _subtract(a, b)
    if same_seeds:
        by_seed, influence = a.by_seed - b.by_seed, a.influence - b.influence
        return _test(difference._replace(by_seed=by_seed, influence=influence), difference.patients - 1.0)
    return _test_unpaired(a, b, difference, difference.patients - 1.0)


def compare_areas(a: Area, b: Area, *, same_seeds: bool = True) -> Difference:
    """Clustered DeLong test that two scores of the same cases have the same area under the ROC curve.

    a, b: from `areas.measure_area`, of the same cases, patients, and groups; same_seeds: whether a seed of one is set against
    the same seed of the other, else as in `compare_own_shares`. With one case a patient, one seed and one group
    the error is DeLong's; otherwise that of Obuchowski NA. Biometrics 1997;53:567-578, here with a t quantile (`areas.count_df`).

    >>> from common.evaluation.areas import measure_area
    >>> ill = np.array([False, False, True, True])
    >>> scores = [np.array([[1.0, 3.0, 2.0, 4.0]]), np.array([[1.0, 2.0, 3.0, 4.0]])]
    >>> found = compare_areas(*(measure_area(ill, ~ill, score, np.arange(4)) for score in scores))
    >>> print(f"{found.difference:.2f}, standard error {found.error:.4f}, p = {found.p:.3f}")  # error^2 = 1/8
    -0.25, standard error 0.3536, p = 0.553
    """
    parts = []
    for of_a, of_b in zip(linearise_area(a), linearise_area(b), strict=True):
        # Equal leverages give Obuchowski's factor, patients / (patients - 1), of each class.
        equal = (of_a.sizes > 0) / np.maximum(of_a.patients, 1)[..., None]
        if same_seeds:
            difference = {"by_seed": of_a.by_seed - of_b.by_seed, "influence": of_a.influence - of_b.influence}
            parts.append(of_a._replace(leverage=equal, **difference))
        else:
            parts.append(_subtract(of_a, of_b)._replace(leverage=equal))
    enough = (parts[0].patients >= 2) & (parts[1].patients >= 2)
    joint, df = join_parts(*parts), count_df(*parts)
    if same_seeds:
        found = _test(joint, df)
    else:
        rows = [join_parts(*linearise_area(of)) for of in (a, b)]
        found = _test_unpaired(rows[0], rows[1], joint, df)
    return found._replace(
        **{name: np.where(enough, getattr(found, name), np.nan) for name in ("low", "high", "p", "error", "df")}
    )


def _subtract(a: Linear, b: Linear) -> Linear:
    """The difference of the means over each one's own seeds, as one seed."""
    by_seed = a.by_seed.mean(axis=-1, keepdims=True) - b.by_seed.mean(axis=-1, keepdims=True)
    influence = a.influence.mean(axis=-2, keepdims=True) - b.influence.mean(axis=-2, keepdims=True)
    either = ((a.leverage > 0) | (b.leverage > 0)).sum(axis=-1)
    return a._replace(by_seed=by_seed, influence=influence, leverage=(a.leverage + b.leverage) / 2, patients=either)


def _test_unpaired(a: Linear, b: Linear, difference: Linear, df: np.ndarray) -> Difference:
    rows = [(measure_spread(of).seeds, of.by_seed.shape[-1]) for of in (a, b)]
    return _weigh(difference, measure_spread(difference).patients, rows, df)


def _test(linear: Linear, df: np.ndarray) -> Difference:
    spread = measure_spread(linear)
    return _weigh(linear, spread.patients, [(spread.seeds, linear.by_seed.shape[-1])], df)


def _weigh(linear: Linear, patients: np.ndarray, between: list[tuple[np.ndarray, int]], df: np.ndarray) -> Difference:
    """t test of the mean over the seeds; between: variance between the seeds, and their number, of each row by itself."""
    difference = linear.by_seed.mean(axis=-1)
    variance = patients + sum(seeds for seeds, _ in between)
    none = variance <= 1e-20  # rounding of differences that are equal
    error = np.sqrt(np.where(none, 0, variance))
    # The t quantiles of the parts, weighted by their variances, as in `intervals.combine_quantile`.
    parts = [(patients, stdtrit(np.maximum(df, 1), TAIL))]
    parts += [(seeds, stdtrit(np.float64(count - 1), TAIL)) for seeds, count in between if count > 1]
    weighted = sum(part * quantile for part, quantile in parts)
    quantile = np.where(none, parts[0][1], weighted / np.where(none, 1, variance))
    equivalent = find_df(quantile)
    nothing = none & (np.abs(difference) <= 1e-12)
    p = 2 * stdtr(equivalent, -np.abs(difference) / np.where(none, 1, error))
    p = np.where(nothing, 1.0, np.where(none, np.nan, p))
    enough = linear.patients >= 2
    kept = (difference - quantile * error, difference + quantile * error)
    low, high = (np.where(enough & ~none, np.clip(limit, -1, 1), np.nan) for limit in kept)
    return Difference(difference, low, high, np.where(enough, p, np.nan), error, np.where(enough, equivalent, np.nan))
