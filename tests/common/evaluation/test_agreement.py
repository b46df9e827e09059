"""Weighted kappa and balanced accuracy against scikit-learn and numerical derivatives; the corrected t test against a loop."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from common.evaluation.agreement import estimate_agreement, linearise_kappa, measure_kappa
from common.evaluation.resampled import compare_resampled


def draw_counts(rng: np.random.Generator, patients: int = 30, classes: int = 3, right: float = 0.7) -> tuple[np.ndarray, ...]:
    """Counts (1, P, C, C) of patients with up to four cases, and the labels and answers behind them."""
    counts, truth, given = np.zeros((1, patients, classes, classes)), [], []
    for patient in range(patients):
        label = int(rng.integers(classes))
        for _ in range(int(rng.integers(1, 5))):
            answer = label if rng.random() < right else int(rng.integers(classes))
            counts[0, patient, label, answer] += 1
            truth.append(label)
            given.append(answer)
    return counts, np.array(truth), np.array(given)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_equal_to_scikit_learn(classes):
    counts, truth, given = draw_counts(np.random.default_rng(classes), classes=classes)
    found = estimate_agreement(counts)
    assert float(found["weighted kappa"].mean) == pytest.approx(cohen_kappa_score(truth, given, weights="quadratic"))
    assert float(found["balanced accuracy"].mean) == pytest.approx(balanced_accuracy_score(truth, given))


def test_influence_is_the_derivative():
    counts, *_ = draw_counts(np.random.default_rng(0))
    linear = linearise_kappa(counts)
    for patient in (0, 7, 20):
        step = counts.copy()
        step[0, patient] *= 1 + 1e-6
        moved = measure_kappa(step.sum(axis=1)) - measure_kappa(counts.sum(axis=1))
        assert linear.influence[0, patient] == pytest.approx(float(moved[0]) / 1e-6, rel=1e-3, abs=1e-9)
    assert linear.influence.sum() == pytest.approx(0, abs=1e-12)


def test_the_intervals_cover_what_many_patients_give():
    rng = np.random.default_rng(1)
    many, *_ = draw_counts(rng, patients=20000)
    truth = {name: float(found.mean) for name, found in estimate_agreement(many).items()}
    drawn = [estimate_agreement(draw_counts(rng, patients=40)[0]) for _ in range(400)]
    for name, value in truth.items():
        covered = np.mean([found[name].low <= value <= found[name].high for found in drawn])
        assert 0.92 <= covered <= 0.985, name


def test_limits():
    perfect = np.zeros((1, 6, 3, 3))
    for patient in range(6):
        perfect[0, patient, patient % 3, patient % 3] = 2
    found = estimate_agreement(perfect)["weighted kappa"]
    assert (float(found.mean), float(found.high)) == (1.0, 1.0)
    assert 0 < float(found.low) < 1
    one_class = perfect * (np.arange(6) % 3 == 0)[None, :, None, None]
    assert np.isnan(estimate_agreement(one_class)["weighted kappa"].mean)


def test_corrected_t_test_by_hand():
    values = np.random.default_rng(2).normal(0.3, 0.5, 10)
    found = compare_resampled(values, 0.25)
    t = values.mean() / np.sqrt((1 / 10 + 0.25) * values.var(ddof=1))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 9))
    assert found.p > stats.ttest_1samp(values, 0).pvalue
    assert np.isnan(compare_resampled([1.0], 0.25).p)
    assert compare_resampled([1.0, 1.0], 0.25).p == 0.0


def test_corrected_t_test_keeps_its_level_where_the_plain_one_does_not():
    """Ten folds of repeated cross-validation of a mean: the data set decides, the folds add nothing."""
    rng, plain, corrected = np.random.default_rng(3), [], []
    for _ in range(400):
        data, folds = rng.normal(0, 1, 50), []
        for _ in range(2):
            for test in np.split(rng.permutation(50), 5):
                train = np.setdiff1d(np.arange(50), test)
                folds.append((data[test] + data[train].mean()).mean())
        plain.append(stats.ttest_1samp(folds, 0).pvalue < 0.05)
        corrected.append(compare_resampled(folds, 0.25).p < 0.05)
    assert np.mean(corrected) < np.mean(plain)
