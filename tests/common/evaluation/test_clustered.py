"""Tests of two rows that know patients: classic tests as special cases, zero variance, errors of the first kind."""

import numpy as np
import pandas as pd
import pytest
from drawn_clusters import draw_clusters, start_of, tabulate
from scipy import stats

from benchmarks import coverage
from common.evaluation.areas import measure_area
from common.evaluation.clustered import compare_areas, compare_shares
from common.evaluation.comparisons import compare_rows
from common.evaluation.statistics import delong_test


def test_with_one_case_each_the_error_is_delongs():
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(30, int), np.ones(20, int)]
    a, b = rng.normal(y, 1), rng.normal(0.5 * y, 1)
    found = compare_areas(*(measure_area(y == 1, y == 0, of[None], np.arange(50)) for of in (a, b)))
    classic = delong_test(y, a, b)
    assert found.difference == pytest.approx(classic.difference, rel=1e-12)
    assert found.error == pytest.approx(classic.difference / classic.z, rel=1e-10)
    assert classic.p < found.p < classic.p + 0.02  # t instead of the normal distribution


def test_clustered_delong_by_loops_over_patients():
    y, score, ids = draw_clusters(4, seeds=2)
    found = compare_areas(*(measure_area(y == 1, y == 0, of[None], start_of(ids)) for of in score))
    psi = [(s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0]) for s in score]
    difference = psi[0].mean() - psi[1].mean()
    v10, v01 = (psi[0] - psi[1]).mean(axis=1), (psi[0] - psi[1]).mean(axis=0)
    a = np.array([(v10[ids[y == 1] == p] - difference).sum() for p in range(30)]) / (y == 1).sum()
    b = np.array([(v01[ids[y == 0] == p] - difference).sum() for p in range(30)]) / (y == 0).sum()
    i10, i01 = len(np.unique(ids[y == 1])), len(np.unique(ids[y == 0]))
    f10, f01 = i10 / (i10 - 1), i01 / (i01 - 1)
    variance = f10 * (a**2).sum() + f01 * (b**2).sum() + 2 * np.sqrt(f10 * f01) * (a * b).sum()
    assert found.error == pytest.approx(np.sqrt(variance), rel=1e-10)


def test_equal_clusters_give_the_paired_t_test_of_their_means():
    rng = np.random.default_rng(1)
    gain = rng.integers(-3, 4, 25).astype(float)
    found = compare_shares(gain[None], np.full((1, 25), 3.0))
    expected = stats.ttest_1samp(gain / 3, 0)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-4)
    assert found.low == pytest.approx(expected.confidence_interval().low, rel=1e-4)


def test_no_p_where_nothing_varies():
    """Three and three cases, ranked perfectly against a constant score."""
    y = np.array([0, 0, 0, 1, 1, 1])
    perfect, constant = np.where(y, 0.9, 0.1), np.full(6, 0.5)
    rows = [tabulate(y, of[None], np.arange(6)).assign(row=row) for row, of in (("A", perfect), ("B", constant))]
    (pair,) = compare_rows(pd.concat(rows), "paper", ["A", "B"])
    assert pair.auc_difference == 0.5
    assert pair.delong_p is pair.delong_p_holm is pair.auc_low is None
    assert "the areas differ alike in all patients: no test" in pair.note
    # Right in every case against wrong in every case, of patients with two cases.
    ids = np.repeat(np.arange(6), 2)
    y = np.repeat(y, 2)
    rows = [tabulate(y, np.where(y == right, 0.9, 0.1)[None], ids).assign(row=row) for row, right in (("A", 1), ("B", 0))]
    (pair,) = compare_rows(pd.concat(rows), "paper", ["A", "B"])
    assert pair.mcnemar_p is None
    assert (pair.accuracy_difference, pair.high) == (1, 1)
    assert 0.4 < pair.low < 1  # as uncertain as none of six patients
    assert "the accuracies differ alike" in pair.note


def test_seeds_that_differ_widen_the_comparison():
    rng = np.random.default_rng(0)
    gain = rng.integers(-1, 2, (1, 200)).astype(float) + 0.2
    alike = compare_shares(np.tile(gain, (3, 1)), np.full((3, 200), 3.0))
    varied = compare_shares(gain + np.array([[-0.3], [0.0], [0.3]]), np.full((3, 200), 3.0))
    assert alike.difference == pytest.approx(varied.difference)
    assert varied.error > 1.5 * alike.error
    assert alike.p < varied.p


def test_errors_of_the_first_kind():
    """Of 400 samples under the null hypothesis, within the 99.9 % binomial bounds of 4 to 6 %; McNemar's test is beyond them."""
    found = coverage.measure_errors(coverage.Cell(100, 8, 0.5, 0.85, 0.5, 0.0), 400, seed=1)
    low, high = stats.binom.ppf(0.001, 400, 0.04) / 400, stats.binom.ppf(0.999, 400, 0.06) / 400
    assert low <= found["accuracy, one seed"] <= high
    assert low <= found["AUC, one seed"] <= high
    assert found["McNemar, exact"] > high
