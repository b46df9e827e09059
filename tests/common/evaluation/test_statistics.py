"""Intervals and tests against published values, independent libraries, brute force and simulated coverage."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from confidenceinterval import roc_auc_score as roc_auc_with_interval
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, f1_score, matthews_corrcoef, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from benchmarks import bootstrap
from common.evaluation import statistics

# Ovarian cancer patients of DeLong et al. 1988 with all three tests known, as listed in the SAS/STAT guide (PROC
# LOGISTIC, "Comparing Receiver Operating Characteristic Curves"): albumin, protein, Krebs-Goplerud score, outcome.
# Expected values below: DeLong's definition over all pairs of patients, worked out apart from this code, four decimals.
OVARIAN = np.fromstring(
    """3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)
OUTCOME = OVARIAN[:, 3]
ALBUMIN, PROTEIN, KG_SCORE = OVARIAN[:, 0], OVARIAN[:, 1], 10 - OVARIAN[:, 2]


class Area(NamedTuple):
    """One area under the ROC curve with its variance and normal interval."""

    auc: float
    variance: float
    low: float
    high: float


def measure_auc(y, score) -> Area:
    """DeLong's variance of one area: that of its difference from a constant score, whose area is 1/2 without variance."""
    found = statistics.delong_test(y, score, np.zeros(len(y)))
    half = (found.high - found.low) / 2
    return Area(found.difference + 0.5, (half / norm.ppf(0.975)) ** 2, found.low + 0.5, found.high + 0.5)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_newcombe_1998(k, n, low, high):
    # Newcombe RG. Stat Med 1998;17:857-872, table I, score method without continuity correction.
    assert statistics.wilson_interval(k, n) == pytest.approx((low, high), abs=5.1e-5)


def test_wilson_matches_statsmodels_at_every_k():
    for level in (0.9, 0.95):
        for k in range(78):
            expected = proportion_confint(k, 77, 1 - level, method="wilson")
            assert statistics.wilson_interval(k, 77, level) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0), (math.nan, 5)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match="proportion"):
        statistics.wilson_interval(k, n)


@pytest.mark.parametrize(
    ("score", "auc", "error"), [(ALBUMIN, 0.7366, 0.0927), (PROTEIN, 0.6478, 0.1000), (KG_SCORE, 0.7258, 0.1028)]
)
def test_delong_on_the_ovarian_patients(score, auc, error):
    found = measure_auc(OUTCOME, score)
    assert found.auc == pytest.approx(auc, abs=5.1e-5)
    assert math.sqrt(found.variance) == pytest.approx(error, abs=5.1e-5)
    assert found.low == pytest.approx(found.auc - 1.959964 * math.sqrt(found.variance), abs=1e-6)
    assert found.high == pytest.approx(found.auc + 1.959964 * math.sqrt(found.variance), abs=1e-6)


@pytest.mark.parametrize(
    ("score", "difference", "low", "high", "p"),
    [(ALBUMIN, 0.0108, -0.1761, 0.1976, 0.9102), (PROTEIN, -0.0780, -0.2830, 0.1271, 0.4561)],
)
def test_delong_difference_on_the_ovarian_patients(score, difference, low, high, p):
    found = statistics.delong_test(OUTCOME, score, KG_SCORE)
    assert found.difference == pytest.approx(difference, abs=5.1e-5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)
    assert found.p == pytest.approx(p, abs=5.1e-5)


def test_delong_equals_the_definition_by_all_pairs():
    rng = np.random.default_rng(1)
    y = (rng.random(60) < 0.3).astype(int)
    a, b = np.round(rng.normal(y, 1), 1), np.round(rng.normal(y, 2), 0)
    wins = [(s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0]) for s in (a, b)]
    covariance = np.cov([w.mean(axis=1) for w in wins]) / (y == 1).sum()
    covariance += np.cov([w.mean(axis=0) for w in wins]) / (y == 0).sum()
    assert measure_auc(y, a)[:2] == pytest.approx((wins[0].mean(), covariance[0, 0]), rel=1e-12)
    found = statistics.delong_test(y, a, b)
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.z == pytest.approx((wins[0].mean() - wins[1].mean()) / error, rel=1e-12)
    assert statistics.delong_test(y, b, a).p == pytest.approx(found.p, rel=1e-12)


def test_delong_matches_scikit_learn_and_confidenceinterval():
    rng = np.random.default_rng(2)
    y = (rng.random(500) < 0.2).astype(int)
    score = 1 / (1 + np.exp(-rng.normal(y, 1)))
    found = measure_auc(y, score)
    auc, (low, high) = roc_auc_with_interval(y.tolist(), score.tolist(), confidence_level=0.95)
    assert found.auc == pytest.approx(auc, abs=1e-12)
    assert found.auc == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-8)


def test_delong_of_equal_and_of_perfect_rankings():
    y = np.array([0, 0, 0, 1, 1])
    same = statistics.delong_test(y, [0.1, 0.4, 0.2, 0.3, 0.9], [1, 4, 2, 3, 9])
    assert (same.difference, same.z, same.p) == (0, 0, 1)
    assert measure_auc(y, y) == (1, 0, 1, 1)
    opposite = statistics.delong_test(y, y, -y)
    assert (opposite.difference, opposite.p) == (1, 0)


@pytest.mark.parametrize(
    ("y", "score"), [([0, 1, 1], [1, 2, 3]), ([0, 0, 1, 2], [1, 2, 3, 4]), ([0, 0, 1, 1], [1, 2, 3, math.nan])]
)
def test_delong_refuses_what_has_no_variance(y, score):
    with pytest.raises(ValueError, match=r"two cases|0 or 1"):
        statistics.delong_test(y, score, score)


@pytest.mark.parametrize(("cases", "error"), [(40, 0.0437), (60, 0.0356)])
def test_hanley_mcneil_matches_their_planning_example(cases, error):
    # Hanley JA, McNeil BJ. Radiology 1982;143:29-36: an area of 0.85 with equally many normal and abnormal cases.
    assert statistics.hanley_mcneil_halfwidth(0.85, cases, cases) / 1.959964 == pytest.approx(error, abs=5.1e-5)


def test_hanley_mcneil_is_exact_for_chance_and_for_exponential_scores():
    # At 0.5 the formula is the null variance of the Mann-Whitney statistic, (m + n + 1) / (12 m n).
    assert statistics.hanley_mcneil_halfwidth(0.5, 7, 11) == pytest.approx(1.959964 * math.sqrt(19 / 924), rel=1e-6)
    rng = np.random.default_rng(3)
    y = np.repeat([1, 0], [30, 60])
    areas = [measure_auc(y, rng.exponential(1 + 3 * y)).auc for _ in range(4000)]
    assert np.mean(areas) == pytest.approx(0.8, abs=0.005)
    assert statistics.hanley_mcneil_halfwidth(0.8, 30, 60) == pytest.approx(1.959964 * np.std(areas), rel=0.05)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (12, 2, 0.0129),  # Armitage P, Berry G. Statistical Methods in Medical Research, 3rd ed. 1994, p. 127
        (1, 7, 2 * (1 + 8) / 2**8),  # the tail of the binomial distribution, written out
        (0, 8, 2 / 2**8),
        (5, 5, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_matches_textbook_and_binomial_tail(only_a, only_b, p):
    a = [True] * only_a + [False] * only_b + [True] * 20 + [False] * 16
    b = [False] * only_a + [True] * only_b + [True] * 20 + [False] * 16
    found = statistics.mcnemar_exact(a, b)
    assert found[:2] == (only_a, only_b)
    assert found.p == pytest.approx(p, abs=5.1e-5)


def test_mcnemar_matches_statsmodels():
    for only_a in range(12):
        for only_b in range(1, 15):
            a = [True] * only_a + [False] * only_b
            expected = mcnemar([[3, only_a], [only_b, 4]], exact=True).pvalue
            assert statistics.mcnemar_exact(a, np.invert(a)).p == pytest.approx(expected, rel=1e-9)


def test_holm_by_hand_and_against_statsmodels():
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04 raised to what stands before it.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(4).random(15) ** 3
    assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-15)
    assert statistics.holm([]).size == 0
    with pytest.raises(ValueError, match="p values"):
        statistics.holm([0.5, math.nan])


def test_calibration_error_matches_scikit_learn_bins():
    rng = np.random.default_rng(5)
    score = rng.random(400)
    y = (rng.random(400) < score**2).astype(int)
    observed, predicted = calibration_curve(y, score, n_bins=8, strategy="quantile")
    expected = np.abs(observed - predicted).mean()
    assert statistics.expected_calibration_error(y, score, 8) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_by_hand_and_free_of_the_order_of_ties():
    # Two bins: scores 0.2 (three cases, one positive) and 0.7 (three cases, all positive).
    y, score = np.array([1, 0, 0, 1, 1, 1]), np.array([0.2, 0.2, 0.2, 0.7, 0.7, 0.7])
    assert statistics.expected_calibration_error(y, score, 2) == pytest.approx((3 * (1 / 3 - 0.2) + 3 * 0.3) / 6)
    y, score = np.array([0] * 6 + [1] * 6), np.full(12, 0.5)
    shuffled = np.random.default_rng(6).permutation(y)
    assert statistics.expected_calibration_error(y, score, 4) == 0
    assert statistics.expected_calibration_error(shuffled, score, 4) == 0
    with pytest.raises(ValueError, match="probabilities"):
        statistics.expected_calibration_error([0, 1], [0.5, 1.5])


# Bootstrap


def draw_clustered(patients: int, cases: int, seed: int):
    """Unequal patients, labels, scores with ties."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"p{i}" for i in rng.integers(patients, size=cases)])
    y = (rng.random(cases) < 0.35).astype(int)
    score = np.round(1 / (1 + np.exp(-rng.normal(2 * y - 1, 1.5))), 2)
    return ids, y, np.stack([1 - score, score], axis=1)


def test_bootstrap_equals_a_loop_over_resampled_cases():
    ids, y, scores = draw_clustered(30, 150, 7)
    names = ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "auc", "majority_rate", "brier")
    values = bootstrap.cluster_bootstrap(ids, bootstrap.prepare_metrics(y, scores, names), 60, seed=11, block=7)
    distinct = sorted(set(ids))
    drawn = np.random.default_rng(11).integers(len(distinct), size=(60, len(distinct)))
    for r in range(60):
        cases = [i for patient in drawn[r] for i in range(150) if ids[i] == distinct[patient]]
        truth, right, score = y[cases], scores[cases].argmax(axis=1), scores[cases, 1]
        tp, fp = int(((truth == 1) & (right == 1)).sum()), int(((truth == 0) & (right == 1)).sum())
        fn, tn = int(((truth == 1) & (right == 0)).sum()), int(((truth == 0) & (right == 0)).sum())
        pairs = sum(Fraction(int(a > b) * 2 + int(a == b), 2) for a in score[truth == 1] for b in score[truth == 0])
        exact = {
            "accuracy": Fraction(tp + tn, len(cases)),
            "sensitivity": Fraction(tp, tp + fn),
            "specificity": Fraction(tn, tn + fp),
            "precision": Fraction(tp, tp + fp),
            "f1": Fraction(2 * tp, 2 * tp + fp + fn),
            "auc": pairs / ((tp + fn) * (tn + fp)),
            "majority_rate": Fraction(max(tp + fn, tn + fp), len(cases)),
        }
        found = dict(zip(names, values[:, r], strict=True))
        assert {name: found[name] for name in exact} == {name: float(value) for name, value in exact.items()}
        assert found["mcc"] == pytest.approx(matthews_corrcoef(truth, right), abs=1e-12)
        assert found["f1"] == pytest.approx(f1_score(truth, right), abs=1e-12)
        assert found["auc"] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert found["brier"] == pytest.approx(brier_score_loss(truth, score), abs=1e-12)


def test_bootstrap_does_not_depend_on_blocks_or_on_the_order_of_cases():
    ids, y, scores = draw_clustered(40, 200, 8)
    names = ("accuracy", "auc", "mcc")
    values = []
    for order, block in ((np.arange(200), None), (np.arange(200), 1), (np.arange(200)[::-1], 33)):
        statistic = bootstrap.prepare_metrics(y[order], scores[order], names)
        values.append(bootstrap.cluster_bootstrap(ids[order], statistic, 100, 3, block))
    assert np.array_equal(values[0], values[1])
    assert np.array_equal(values[0], values[2])
    other = bootstrap.cluster_bootstrap(ids, bootstrap.prepare_metrics(y, scores, names), 100, 4)
    assert not np.array_equal(values[0], other)


def test_undefined_metrics_are_nan_and_end_the_interval():
    y, scores = np.array([0, 0, 0, 1]), np.array([[0.9, 0.1]] * 4)
    names = ("accuracy", "precision", "mcc", "auc", "sensitivity")
    values = bootstrap.prepare_metrics(y, scores, names)(np.array([[1.0, 1.0]] * 3 + [[1.0, 0.0]]))
    assert values[:, 0] == pytest.approx([0.75, np.nan, np.nan, 0.5, 0], nan_ok=True)
    assert values[:, 1] == pytest.approx([1, np.nan, np.nan, np.nan, np.nan], nan_ok=True)
    assert bootstrap.percentile_interval(np.r_[np.full(6, np.nan), np.arange(94.0)]) is None
    assert bootstrap.percentile_interval(np.r_[np.full(5, np.nan), np.arange(95.0)]) == pytest.approx((2.35, 91.65))


def test_one_patient_gives_no_interval():
    values = bootstrap.cluster_bootstrap(["a"] * 5, bootstrap.prepare_mean(np.arange(5.0)), 50)
    assert np.isnan(values).all()
    assert bootstrap.percentile_interval(values) is None


def test_three_classes_match_scikit_learn():
    rng = np.random.default_rng(9)
    y = rng.integers(3, size=120)
    scores = rng.dirichlet(np.ones(3), 120) + 0.5 * np.eye(3)[y]
    scores /= scores.sum(axis=1, keepdims=True)
    right = scores.argmax(axis=1)
    names = ("accuracy", "sensitivity", "f1", "mcc", "auc", "brier")
    found = dict(zip(names, bootstrap.prepare_metrics(y, scores, names)(np.ones((120, 1)))[:, 0], strict=True))
    expected = {
        "accuracy": (y == right).mean(),
        "sensitivity": np.mean([(right[y == c] == c).mean() for c in range(3)]),
        "f1": f1_score(y, right, average="macro"),
        "mcc": matthews_corrcoef(y, right),
        "auc": roc_auc_score(y, scores, multi_class="ovr", average="macro"),
        "brier": ((scores - np.eye(3)[y]) ** 2).sum(axis=1).mean(),
    }
    assert found == pytest.approx(expected, abs=1e-12)


# Simulated coverage of nominal 95 % intervals


def test_wilson_coverage():
    rng = np.random.default_rng(0)
    for n, p in ((300, 0.9), (1600, 0.92), (700, 0.75)):
        draws = rng.binomial(n, p, 20_000)
        interval = {k: statistics.wilson_interval(k, n) for k in np.unique(draws)}
        assert 0.94 <= np.mean([interval[k][0] <= p <= interval[k][1] for k in draws]) <= 0.96


def test_delong_coverage():
    rng = np.random.default_rng(0)
    truth = norm.cdf(1.2 / math.sqrt(2))  # two normal distributions 1.2 standard deviations apart
    y = np.repeat([1, 0], [250, 400])
    intervals = [measure_auc(y, rng.normal(1.2 * y, 1)) for _ in range(4000)]
    assert 0.94 <= np.mean([interval.low <= truth <= interval.high for interval in intervals]) <= 0.96


def cover_by_bootstrap(clustered: bool, repetitions: int) -> float:
    """Coverage of an accuracy of 0.75 where patients tend to be right or wrong as a whole (correlation 0.56)."""
    patients, cases = 500, 2
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(patients), cases) if clustered else np.arange(patients * cases)
    hits = 0
    for repetition in range(repetitions):
        skill = rng.beta(0.6, 0.2, patients)
        right = (rng.random((patients, cases)) < skill[:, None]).astype(float).ravel()
        values = bootstrap.cluster_bootstrap(ids, bootstrap.prepare_mean(right), 500, seed=repetition)
        low, high = bootstrap.percentile_interval(values)
        hits += low <= 0.75 <= high
    return hits / repetitions


def test_cluster_bootstrap_coverage():
    assert 0.94 <= cover_by_bootstrap(clustered=True, repetitions=1000) <= 0.96


def test_ignoring_patients_covers_too_little():
    assert cover_by_bootstrap(clustered=False, repetitions=250) < 0.92
