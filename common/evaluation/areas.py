"""Areas under the ROC curve of clustered cases: within folds, averaged over seeds, with the patients' influence and an interval.

A pair is a positive and a negative case that one training scored: cases of different folds were scored by different trainings,
whose scores need not be one scale, and are never compared. Leading axes are free, as in `intervals`; the last axis of scores is
the cases.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common.evaluation.averages import estimate_average, forget_seeds
from common.evaluation.intervals import (
    NORMAL,
    Estimate,
    Linear,
    combine_quantile,
    find_alike,
    find_df,
    logit_interval,
    measure_spread,
    raise_variance,
    share_within,
)
from common.evaluation.placements import count_wins
from common.evaluation.statistics import hanley_mcneil_variance

STEPS = 45  # halvings of a unit interval: 3e-14


class Area(NamedTuple):
    """An area under the ROC curve in every seed, and what each patient contributes by positive and by negative cases."""

    by_seed: np.ndarray  # (..., S)
    positive: np.ndarray  # (..., S, P): influence by the patient's positive cases
    negative: np.ndarray  # (..., S, P)
    positives: np.ndarray  # (..., P): positive cases of the patient
    negatives: np.ndarray  # (..., P)
    events: np.ndarray  # (...): patients with a case ranked wrongly in any seed, in the class in which they are fewer


def measure_area(
    positive: np.ndarray,
    negative: np.ndarray,
    score: np.ndarray,
    starts: np.ndarray,
    group: np.ndarray | None = None,
    present: np.ndarray | None = None,
) -> Area:
    """Area under the ROC curve of every seed, and the influence of each patient on it.

    positive, negative: (..., n) bool; score: (..., S, n); group: (S, n) int or None, see `count_wins`; starts: (P,) int, where
    each patient's cases begin: those of a patient stand together; present: (S, n) bool or None, which cases a seed scored. The
    area is the share of all pairs within groups that are
    ranked rightly, which for one group is the usual area; NaN without a pair. The influence is that of DeLong's structural
    components, summed over a patient's cases: Obuchowski NA. Biometrics 1997;53:567-578.

    >>> ill = np.array([False, False, True, True])
    >>> area = measure_area(ill, ~ill, np.array([[1.0, 3.0, 2.0, 4.0]]), np.arange(4))
    >>> area.by_seed.tolist(), area.positive[0, 2:].tolist()  # of the positive cases one has 1 of 2 pairs right: (1/2 - 3/4) / 2
    ([0.75], [-0.125, 0.125])
    """
    positive, negative = positive[..., None, :], negative[..., None, :]
    if present is not None:
        positive, negative = positive & present, negative & present
    wins, pairs = count_wins(positive, negative, score, group)
    total = (pairs * positive).sum(axis=-1)
    defined = total > 0
    by_seed = np.where(defined, (wins * positive).sum(axis=-1) / np.where(defined, total, 1), np.nan)
    influence = (wins - np.nan_to_num(by_seed)[..., None] * pairs) / np.where(defined, total, 1)[..., None]

    def add(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts, axis=-1)

    used = pairs > 0
    wrong = used & (wins < pairs)
    sides = [np.broadcast_to(side, score.shape) for side in (positive, negative)]
    counts = [add(np.any(side & used, axis=-2).astype(np.float64)) for side in sides]
    events = [(add(np.any(side & wrong, axis=-2).astype(np.float64)) > 0).sum(axis=-1) for side in sides]
    return Area(
        by_seed,
        add(np.asarray(influence * positive)),
        add(np.asarray(influence * negative)),
        counts[0],
        counts[1],
        np.minimum(events[0], events[1]),
    )


def linearise_area(area: Area) -> tuple[Linear, Linear]:
    """The two parts of an area, as `intervals.measure_spread` takes them: by positive and by negative cases.

    >>> ill = np.array([False, False, True, True])
    >>> positive, negative = linearise_area(measure_area(ill, ~ill, np.array([[1.0, 3.0, 2.0, 4.0]]), np.arange(4)))
    >>> float(measure_spread(positive).patients)  # of two patients: 2 x 0.125^2 / (1 - 1/2)
    0.0625
    """
    parts = []
    for influence, sizes in ((area.positive, area.positives), (area.negative, area.negatives)):
        total = sizes.sum(axis=-1)[..., None]
        leverage = sizes / np.where(total > 0, total, 1)
        parts.append(Linear(area.by_seed, influence, leverage, sizes, area.events, (sizes > 0).sum(axis=-1)))
    return parts[0], parts[1]


def join_parts(positive: Linear, negative: Linear) -> Linear:
    """Both parts of an area as one, with a patient's two influences added after the weight of each part's leverage.

    So the covariance of a patient with cases of both classes counts (Obuchowski 1997, formula 3).

    >>> ill = np.array([False, False, True, True])
    >>> parts = linearise_area(measure_area(ill, ~ill, np.array([[1.0, 3.0, 2.0, 4.0]]), np.arange(4)))
    >>> round(float(measure_spread(join_parts(*parts)).patients), 12)
    0.125
    """
    scaled = [part.influence / np.sqrt(1 - np.minimum(part.leverage, 0.9))[..., None, :] for part in (positive, negative)]
    return positive._replace(
        influence=scaled[0] + scaled[1],
        leverage=np.zeros_like(positive.leverage),
        sizes=positive.sizes + negative.sizes,
        patients=((positive.sizes + negative.sizes) > 0).sum(axis=-1),
    )


def count_df(positive: Linear, negative: Linear) -> np.ndarray:
    """Satterthwaite's degrees of freedom of an area's variance between patients: that of the two parts, each with the effective
    number of its patients (those of equal sizes that would vary alike) minus 1.

    >>> ill = np.array([False, False, True, True])
    >>> parts = linearise_area(measure_area(ill, ~ill, np.array([[1.0, 3.0, 2.0, 4.0]]), np.arange(4)))
    >>> float(count_df(*parts))  # two equal parts of 2 - 1
    2.0
    """
    parts = [
        (measure_spread(part).patients, 1 / np.maximum((part.leverage**2).sum(axis=-1), 1e-9)) for part in (positive, negative)
    ]
    weight = sum(variance**2 / np.maximum(number - 1, 1) for variance, number in parts)
    total = parts[0][0] + parts[1][0]
    return np.where(weight > 0, total**2 / np.where(weight > 0, weight, 1), sum(number for _, number in parts) - 2)


def estimate_areas(areas: list[Area]) -> Estimate:
    """Interval of an area, or of the mean of one area a class (`averages.estimate_average`), averaged over the seeds.

    >>> ill = np.array([False, False, False, True, True, True])
    >>> area = measure_area(ill, ~ill, np.array([[1.0, 2.0, 5.0, 3.0, 4.0, 6.0]]), np.arange(6))
    >>> found = estimate_areas([area, area])  # wholly correlated: the interval of either
    >>> bool(np.isclose(found.low, estimate_area(area).low))
    True
    """
    if len(areas) == 1:
        return estimate_area(areas[0])
    joint = [join_parts(*linearise_area(area)) for area in areas]
    return estimate_average(joint, [estimate_area(area._replace(by_seed=forget_seeds(area.by_seed))) for area in areas])


def estimate_area(measured_area: Area) -> Estimate:
    """Interval of an area, averaged over the seeds.

    The upper limit is that of Hanley and McNeil's variance solved for the area (score interval), times the design effect:
    clustered DeLong variance over Hanley-McNeil variance at the estimate. The lower limit is that of the logit with the clustered
    DeLong variance, its design effect drawn towards the root of that of patients who are wholly alike, by the weight of a fifth
    of a patient: where few cases are ranked wrongly, DeLong's variance is too small by chance. Degrees of freedom: `count_df`;
    for the lower limit, where patients have several cases, not more than the spread of the patients' influences allows (fourth
    moment); for the upper one more and more as the area nears 1, where it fixes the variance by itself.
    Where every pair is ranked rightly in every seed, Hanley and McNeil's score interval over the patients; where the patients'
    influence is 0 all the same (constant scores), their variance over the patients. Of few patients the variance is at least
    Hanley and McNeil's of the cases (`intervals.raise_variance`).

    Hanley JA, McNeil BJ. Radiology 1982;143:29-36; design effect: Kish L. Survey Sampling. 1965, section 8.2.

    >>> ill = np.array([False, False, False, True, True, True])
    >>> found = estimate_area(measure_area(ill, ~ill, np.arange(6.0)[None], np.arange(6)))
    >>> print(f"{found.mean:.2f}, {found.low:.2f} to {found.high:.2f}")
    1.00, 0.50 to 1.00
    """
    positive, negative = linearise_area(measured_area)
    joint = join_parts(positive, negative)
    spread, seeds = measure_spread(joint), joint.by_seed.shape[-1]
    mean = joint.by_seed.mean(axis=-1)
    at_limit = (mean <= 1e-12) | (mean >= 1 - 1e-12)
    inner = np.where(at_limit | np.isnan(mean), 0.75, mean)
    flipped = inner < 0.5  # the model of Hanley and McNeil is for areas above one half
    area = np.where(flipped, 1 - inner, inner)
    sides = (measured_area.positives, measured_area.negatives)
    cases = [np.maximum(side.sum(axis=-1), 1) for side in sides]
    people = [np.maximum((side > 0).sum(axis=-1), 1) for side in sides]

    def model(value: np.ndarray, sizes: list[np.ndarray]) -> np.ndarray:
        return hanley_mcneil_variance(value, *sizes)

    independent, alike = model(area, cases), model(area, people)
    no_spread = find_alike(spread, mean) & ~at_limit
    joint = joint._replace(alone=independent)
    spread = spread._replace(patients=raise_variance(np.where(no_spread, alike, spread.patients), joint))
    measured = (spread.patients + spread.seeds) / independent
    weight = 0.2 / (joint.events + 0.2)
    variance = ((1 - weight) * measured + weight * np.sqrt(alike / independent)) * independent
    df = count_df(positive, negative)
    within = np.maximum(share_within(joint.sizes), 1e-6)
    fourth = (joint.influence.mean(axis=-2) ** 4).sum(axis=-1)
    heavy = fourth - spread.patients**2 / np.maximum(joint.patients, 1)
    moment = np.where(heavy > 0, 2 * spread.patients**2 / np.where(heavy > 0, heavy, 1), np.inf)
    lower_df = np.minimum(df, np.maximum(moment, 6) / within)
    wide = combine_quantile(spread.patients, lower_df, spread.seeds, seeds)
    known = combine_quantile(spread.patients, np.full_like(df, 1e9), spread.seeds, seeds)
    narrow = known + (combine_quantile(spread.patients, df, spread.seeds, seeds) - known) * np.minimum(1, 2 * (1 - area))
    logit = logit_interval(area, variance, wide)[0]
    score = _solve(area, lambda value: narrow**2 * measured * model(value, cases), upwards=True)
    limit = _solve(np.ones_like(area), lambda value: NORMAL**2 * model(value, people), upwards=False)
    limit_error = np.sqrt(model((1 + limit) / 2, people))
    low = np.where(flipped, 1 - score, logit)
    high = np.where(flipped, 1 - logit, score)
    ones = np.round(np.nan_to_num(mean))
    enough = (positive.patients >= 2) & (negative.patients >= 2) & ~np.isnan(mean)

    def keep(at: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        return np.where(enough, np.where(at_limit, at, otherwise), np.nan)

    return Estimate(
        mean,
        keep(np.where(ones > 0, limit, 0), low),
        keep(np.where(ones > 0, 1, 1 - limit), high),
        keep(limit_error, np.sqrt(variance)),
        keep(limit_error, np.sqrt(np.maximum(variance - spread.seeds, 0))),
        keep(find_df(np.full_like(wide, NORMAL)), find_df(wide)),
        at_limit & enough,
        no_spread & enough,
    )


def _solve(area: np.ndarray, squared: Callable[[np.ndarray], np.ndarray], *, upwards: bool) -> np.ndarray:
    """Where the squared distance from `area` first equals `squared` of the value, above (up to 1) or below (down to 0)."""
    near, far = area.copy(), np.ones_like(area) if upwards else np.zeros_like(area)
    for _ in range(STEPS):
        middle = (near + far) / 2
        inside = (middle - area) ** 2 <= squared(middle)
        near, far = np.where(inside, middle, near), np.where(inside, far, middle)
    return (near + far) / 2
