"""Intervals from very few patients: never shorter than those of as many independent cases, and their coverage by simulation."""

import numpy as np
import pytest
from drawn_clusters import tabulate
from scipy.stats import norm

from common.evaluation import metrics
from common.evaluation.agreement import linearise_kappa
from common.evaluation.areas import estimate_area, measure_area
from common.evaluation.confusion import _linearise_f1, estimate_confusion, linearise_mcc
from common.evaluation.intervals import FEW_PATIENTS, estimate_share, linearise_ratio
from common.evaluation.statistics import hanley_mcneil_variance, score_interval


def test_one_error_each_of_four_patients_is_not_certainty():
    """42 cases, 38 of them right: the four patients hardly differ, by chance."""
    ids = np.repeat(np.arange(4), [11, 10, 10, 11])
    y = np.arange(42) % 2
    wrong = np.r_[True, ids[1:] != ids[:-1]]
    (row,) = metrics.evaluate(tabulate(y, np.where(y == ~wrong, 0.9, 0.1)[None], ids))
    accuracy = row.metrics["accuracy"]
    assert accuracy.mean == pytest.approx(38 / 42)
    assert accuracy.error == pytest.approx((38 / 42 * 4 / 42 / 42) ** 0.5)  # binomial; 0.003 between the patients
    low, high = score_interval(np.array(38 / 42), np.array(42.0), 1.96)
    assert accuracy.low < low < high < accuracy.high
    assert (accuracy.low, accuracy.high) == (pytest.approx(0.660, abs=5e-4), pytest.approx(0.976, abs=5e-4))  # docs/statistics.md
    assert accuracy.note is None or "alike" not in accuracy.note


def split_cases(rng, cases: int, classes: int) -> np.ndarray:
    """Confusion counts (1, cases, C, C) of one case a patient."""
    counts = np.zeros((1, cases, classes, classes))
    counts[0, np.arange(cases), rng.integers(0, classes, cases), rng.integers(0, classes, cases)] = 1
    return counts


@pytest.mark.parametrize("classes", [2, 3])
def test_the_variance_of_independent_cases_is_that_of_one_case_a_patient(classes):
    """Of accuracy, F1, MCC and kappa: however the same cases are dealt out to patients."""
    single = split_cases(np.random.default_rng(classes), 60, classes)
    dealt = single.reshape(1, 6, 10, classes, classes).sum(axis=2)
    for counts in (single, dealt):
        truth, given, right = counts.sum(-1)[..., 1], counts.sum(-2)[..., 1], counts[..., 1, 1]
        cases = counts.sum((-2, -1))
        linears = {
            "accuracy": linearise_ratio(np.trace(counts, axis1=-2, axis2=-1), cases),
            "f1": _linearise_f1(right, truth, given, cases),
            "mcc": linearise_mcc(counts),
            "kappa": linearise_kappa(counts),
        }
        if counts is single:
            expected = {name: (linear.influence**2).sum() for name, linear in linears.items()}
        assert {name: float(linear.alone) for name, linear in linears.items()} == pytest.approx(expected)


def test_of_an_area_it_is_hanley_and_mcneils():
    """Three patients with four cases of either class, ranked alike: 15 of 16 pairs of each."""
    ids = np.repeat(np.arange(3), 8)
    ill = np.tile([False] * 4 + [True] * 4, 3)
    score = np.tile([1.0, 2.0, 3.0, 6.5, 5.0, 7.0, 8.0, 9.0], 3)[None] + 0.01 * ids
    found = estimate_area(measure_area(ill, ~ill, score, np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])))
    assert found.error >= hanley_mcneil_variance(found.mean, 12.0, 12.0) ** 0.5 - 1e-12


def test_many_patients_are_left_alone():
    """The same shares of FEW_PATIENTS patients: what is seen between them stands."""
    cases = np.tile([11.0, 10.0], FEW_PATIENTS // 2)[None]
    many = linearise_ratio(cases - 1, cases)
    assert float(estimate_share(many).error) < 0.1 * float(many.alone) ** 0.5
    few = linearise_ratio(cases[:, 1:] - 1, cases[:, 1:])
    assert float(estimate_share(few).error) == pytest.approx(float(few.alone) ** 0.5)


@pytest.mark.parametrize("patients", [4, 9])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_coverage(patients, correlation):
    """7 to 13 cases a patient, accuracy 0.7, 2,000 samples: at least 94 %, as before; never shorter than of independent cases."""
    rng = np.random.default_rng(patients)
    sizes = rng.integers(7, 14, (2000, patients))
    latent = np.sqrt(correlation) * rng.normal(size=(2000, patients, 1)) + np.sqrt(1 - correlation) * rng.normal(
        size=(2000, patients, 13)
    )
    there, y = np.arange(13) < sizes[..., None], rng.random((2000, patients, 13)) < 0.5
    right = latent < norm.ppf(0.7)
    counts = np.stack([[(there & (y == t) & (right == (t == g))).sum(-1) for g in (0, 1)] for t in (0, 1)])
    found = estimate_confusion(np.moveaxis(counts, (0, 1), (-2, -1))[:, None].astype(float))["accuracy"]
    assert ((found.low <= 0.7) & (found.high >= 0.7)).mean() > 0.94
    low, high = score_interval(found.mean, sizes.sum(-1).astype(float), 1.96)
    inside = (found.mean > 0) & (found.mean < 1)
    assert ((found.high - found.low)[inside] >= 0.97 * (high - low)[inside]).all()
