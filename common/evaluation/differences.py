"""The difference between our number and a printed one: its interval, its verdict, and how many test patients a verdict needs.

What varies: the paper's test cases and its one training, our test patients and our trainings. All numbers are fractions, and
floats or arrays that broadcast, so that the simulation (benchmarks/verdicts.py) calls the very functions that judge a claim.
docs/verdicts.md explains them and holds the measured error rates.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import ArrayLike

from common.records.results import Metric

MARGIN = 0.05  # a difference below it is taken for agreement: 5 points, of an area under the curve 0.05
LEAST_SEEDS = 3  # of ours: two trainings do not tell how much trainings vary
AGREES = f"agrees within {100 * MARGIN:g} points"
LOWER, HIGHER, CANNOT_TELL = "differs, lower", "differs, higher", "cannot tell"  # ours, against the paper's
# The variance between trainings counts so many times in the degrees of freedom alone: it is estimated from few trainings, and
# where it comes out small by chance, plain Satterthwaite gives it too little weight just then (up to 9 % false alarms).
SEED_WEIGHT = 4.0
# Of right and wrong answers of two networks on the same test cases. Measured on our LUNA16 predictions: 0.3 to 0.5 between kinds
# of networks, 0.6 between trainings of one.
CORRELATION_OF_CHOICES = 0.5


@dataclass(frozen=True)
class Evidence:
    """All that the difference is judged by; variances of fractions."""

    ours: ArrayLike  # mean over our trainings
    paper: ArrayLike  # as printed
    ours_sampling: ArrayLike  # variance of `ours` over test patients
    patients: ArrayLike  # of ours, at least 2
    paper_sampling: ArrayLike  # variance of `paper` over test cases
    between_seeds: ArrayLike  # variance of one training's number over our trainings
    seeds: int  # our trainings, at least 2
    runs: int = 1  # trainings that the printed number is a mean of
    trainings_alone: ArrayLike | None = None  # of between_seeds the part that is not chance of our test patients, if it is known

    @property
    def difference(self) -> np.ndarray:
        """Ours minus the paper's."""
        return np.asarray(self.ours, np.float64) - np.asarray(self.paper, np.float64)


def vary_proportion(share: ArrayLike, n: ArrayLike, design: ArrayLike = 1.0) -> np.ndarray:
    """Sampling variance of a printed proportion of n cases, with two right and two wrong cases added: s (1 - s) / (m + 4).

    m = n / design, s = (share m + 2) / (m + 4). share: 0 to 1; n: cases, above 0; design: the design effect, at least 1, by which
    the variance exceeds that of independent cases. Never 0, so that a perfect score of few cases does not pass for certain.
    Agresti A, Coull BA. Am Stat 1998;52:119-126.

    18 of 20 with four added: 20 of 24.

    >>> round(float(vary_proportion(0.9, 20)), 6) == round(20 / 24 * 4 / 24 / 24, 6)
    True
    """
    m = np.asarray(n, np.float64) / np.asarray(design, np.float64)
    share = (np.asarray(share, np.float64) * m + 2) / (m + 4)
    return share * (1 - share) / (m + 4)


def vary_auc(auc: ArrayLike, positives: ArrayLike, negatives: ArrayLike, design: ArrayLike = 1.0) -> np.ndarray:
    """Sampling variance of a printed area under the ROC curve, from the area and the class sizes alone.

    That of the negative exponential model (Hanley JA, McNeil BJ. Radiology 1982;143:29-36), of class sizes divided by the design
    effect; the area is first drawn towards 1/2 as `vary_proportion` draws a share, with the smaller class as n, so that a printed
    1.000 does not pass for certain. auc: 0 to 1; class sizes above 0.

    Their planning example, 0.85 with 40 and 40 cases, has a standard error of 0.0437; drawn towards 1/2 it is a little larger:

    >>> print(f"{float(vary_auc(0.85, 40, 40)) ** 0.5:.4f}")
    0.0478
    """
    ill, healthy = (np.asarray(size, np.float64) / np.asarray(design, np.float64) for size in (positives, negatives))
    fewer = np.minimum(ill, healthy)
    area = (np.asarray(auc, np.float64) * fewer + 2) / (fewer + 4)
    return _hanley_mcneil(area, ill, healthy)


def _hanley_mcneil(area: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return np.maximum(spread, 0) / (positives * negatives)


def measure_interval(evidence: Evidence, level: float) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of the difference, ours minus the paper's, at a confidence level between 0 and 1.

    difference +- t sqrt(V1 + V2 + V3): V1 our variance over patients, V2 the variance between trainings times (1 / seeds + 1 /
    runs), as the paper's training varies as ours do, V3 the paper's variance over its test cases. The degrees of freedom of t
    are Satterthwaite's (Biometrics Bull 1946;2:110-114) with patients - 1 for V1, seeds - 1 for SEED_WEIGHT times V2, and none
    lost for V3.

    One percentage point of error each, from patients and from the printed number; trainings that do not vary:

    >>> low, high = measure_interval(Evidence(0.90, 0.92, 1e-4, 50, 1e-4, 0.0, 5), 0.95)
    >>> print(f"{low:.3f} to {high:.3f}")  # 2 points +- 1.98 sqrt(2) points: t of 4 x 49 degrees of freedom
    -0.048 to 0.008
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
    patients, ours, paper, trainings = _split_variance(evidence)
    lost = ours**2 / (patients - 1) + (SEED_WEIGHT * trainings) ** 2 / (evidence.seeds - 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # without any variance of ours: infinitely many degrees of freedom
        freedom = np.where(lost > 0, (ours + paper + SEED_WEIGHT * trainings) ** 2 / lost, np.inf)
    half = scipy.stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(ours + paper + trainings)
    return evidence.difference - half, evidence.difference + half


def _split_variance(evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(patients, V1, V3, V2) of `measure_interval`."""
    patients = np.maximum(np.asarray(evidence.patients, np.float64), 2)
    ours = np.asarray(evidence.ours_sampling, np.float64)
    # All right or all wrong has no variance of its own; then each patient counts as one case.
    extreme = (np.asarray(evidence.ours) <= 0) | (np.asarray(evidence.ours) >= 1)
    ours = np.where(extreme, np.maximum(ours, vary_proportion(evidence.ours, patients)), ours)
    trainings = np.asarray(evidence.between_seeds, np.float64) * (1 / evidence.seeds + 1 / evidence.runs)
    return patients, ours, np.asarray(evidence.paper_sampling, np.float64), trainings


def name_verdict(evidence: Evidence, margin: float = MARGIN) -> np.ndarray:
    """LOWER or HIGHER where the 95 % interval of the difference excludes 0; else AGREES where its 90 % interval lies inside
    +-margin (two one-sided tests at 5 %: Schuirmann DJ. J Pharmacokinet Biopharm 1987;15:657-680); else CANNOT_TELL.

    A difference that is certain but smaller than the margin is a difference. Returns an array of text, () for floats.

    >>> certain = Evidence([0.90, 0.80, 0.99], 0.90, 1e-4, 400, 1e-4, 0.0, 5)
    >>> name_verdict(certain).tolist()
    ['agrees within 5 points', 'differs, lower', 'differs, higher']
    >>> str(name_verdict(Evidence(0.80, 0.90, 3e-3, 30, 3e-3, 0.0, 5)))
    'cannot tell'
    """
    low, high = measure_interval(evidence, 0.95)
    inner_low, inner_high = measure_interval(evidence, 0.90)
    agrees = (inner_low > -margin) & (inner_high < margin)
    return np.select([high < 0, low > 0, agrees], [LOWER, HIGHER, AGREES], CANNOT_TELL)


MOST_PATIENTS = 10**7  # beyond it no number of patients tells


def count_patients_needed(evidence: Evidence, margin: float = MARGIN) -> int | None:
    """Test patients of ours with which the same difference and spread would give a verdict; None if no number would.

    Our variance over patients shrinks with them, and so does what they add to the variance between trainings (all but
    `trainings_alone`); the paper's test set and the spread of the trainings themselves stay. evidence: of one claim, floats.

    40 patients, a standard error of 4 points, no difference: half of the 90 % interval must fall below 5 points.

    >>> count_patients_needed(Evidence(0.90, 0.90, 0.04**2, 40, 0.02**2, 0.0, 5))
    124
    >>> seen = Evidence(0.80, 0.90, 0.05**2, 60, 0.001**2, 0.04**2, 3)  # trainings that differ by chance of 60 patients alone
    >>> count_patients_needed(seen), count_patients_needed(replace(seen, trainings_alone=0.0))
    (None, 252)
    >>> count_patients_needed(Evidence(0.90, 0.90, 0.04**2, 40, 0.04**2, 0.0, 5)) is None  # the paper's own is too large
    True
    """

    def tells(patients: float) -> bool:
        return str(name_verdict(_imagine_patients(evidence, patients), margin)) != CANNOT_TELL

    if not tells(MOST_PATIENTS):
        return None
    low, high = 1, MOST_PATIENTS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle, high)
    return high


def is_spread_by_chance(evidence: Evidence, level: float = 0.95) -> bool:
    """Whether trainings that are equally good might differ as much as ours on these test patients, by chance of the patients.

    Then the variance between them, over the part that the patients add, lies below the quantile of chi-square over seeds - 1
    degrees of freedom. False where that part is not known.

    >>> seen = Evidence(0.80, 0.90, 0.05**2, 60, 0.001**2, 0.04**2, 3, trainings_alone=0.03**2)  # 16 to 7 is not 3 to 1
    >>> is_spread_by_chance(seen), is_spread_by_chance(replace(seen, trainings_alone=0.035**2))
    (True, False)
    """
    if evidence.trainings_alone is None:
        return False
    between, alone = float(evidence.between_seeds), float(evidence.trainings_alone)  # type: ignore[arg-type]
    limit = scipy.stats.chi2.ppf(level, evidence.seeds - 1) / (evidence.seeds - 1)
    return bool(between < limit * (between - alone))


def _imagine_patients(evidence: Evidence, patients: float) -> Evidence:
    """The evidence of so many test patients of ours, whose numbers otherwise stayed the same."""
    shrunk = np.asarray(evidence.patients, np.float64) / patients
    sampling = np.asarray(evidence.ours_sampling) * shrunk
    between = np.asarray(evidence.between_seeds, np.float64)
    alone = between if evidence.trainings_alone is None else np.minimum(np.asarray(evidence.trainings_alone, np.float64), between)
    return replace(evidence, ours_sampling=sampling, patients=patients, between_seeds=alone + (between - alone) * shrunk)


def explain_impossible(evidence: Evidence, margin: float = MARGIN) -> str:
    """Why no number of test patients of ours would tell (`count_patients_needed` gave None), in words.

    >>> explain_impossible(Evidence(0.90, 0.90, 0.04**2, 40, 0.04**2, 0.0, 5))
    "the paper's own test set is too small"
    """
    without = replace(_imagine_patients(evidence, MOST_PATIENTS), ours_sampling=0.0, seeds=MOST_PATIENTS)
    if str(name_verdict(replace(without, between_seeds=0.0), margin)) == CANNOT_TELL:
        return "the paper's own test set is too small"
    if str(name_verdict(without, margin)) == CANNOT_TELL:
        return "trainings vary too much, and the paper's number is one of them"
    return "trainings vary too much; more seeds would tell"


def expect_gain(choices: int, error: float, correlation: float = CORRELATION_OF_CHOICES) -> float:
    """How much the best of some equally good choices gains by chance, where all are scored on the same test cases.

    choices: their number, at least 1; error: standard error of one score over test cases; correlation: of two scores, 0 to 1.
    That is the expected largest of so many normal draws times error times sqrt(1 - correlation), in the unit of error.

    Of two, 1 / sqrt(pi) = 0.564 standard deviations; of five, 1.163 (Harter HL. Biometrika 1961;48:151-165):

    >>> [round(expect_gain(choices, 1.0, correlation=0.0), 3) for choices in (1, 2, 5)]
    [0.0, 0.564, 1.163]
    """
    draws = np.linspace(-10, 10, 20001)
    density = choices * scipy.stats.norm.pdf(draws) * scipy.stats.norm.cdf(draws) ** (choices - 1)
    return float(np.trapezoid(draws * density, draws)) * error * float(np.sqrt(1 - correlation)) + 0.0


def subtract_means(first: Metric, second: Metric) -> tuple[float, float, float] | None:
    """(difference, low, high) of two means of ours, first minus second, with its 95 % interval; None where an error is unknown.

    The errors count as independent, the degrees of freedom are Satterthwaite's. For a row under two protocols, which partly test
    the same patients, the interval is rather too wide than too narrow.

    >>> none = {"sd": None, "low": None, "high": None, "by_seed": []}
    >>> first, second = (Metric(mean=mean, error=0.01, df=50, **none) for mean in (0.9, 0.8))
    >>> print("{:.3f} [{:.3f}, {:.3f}]".format(*subtract_means(first, second)))  # t of 100 degrees of freedom: 1.984
    0.100 [0.072, 0.128]
    """
    values = (first.mean, first.error, first.df, second.mean, second.error, second.df)
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not (first.error or second.error):
        return None
    mean_a, error_a, df_a, mean_b, error_b, df_b = known
    variance = error_a**2 + error_b**2
    freedom = variance**2 / (error_a**4 / df_a + error_b**4 / df_b)
    half = float(scipy.stats.t.ppf(0.975, freedom)) * variance**0.5
    return mean_a - mean_b, mean_a - mean_b - half, mean_a - mean_b + half
