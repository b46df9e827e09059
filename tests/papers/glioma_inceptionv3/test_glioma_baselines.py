"""The baselines: learnt from the training slices alone, equal weight of the classes, memory where there is nothing to learn."""

from dataclasses import replace

import numpy as np
import pytest

from common.errors import UsageError
from replications.glioma_inceptionv3.baselines import fit_scores
from replications.glioma_inceptionv3.config import PAPER
from replications.glioma_inceptionv3.rows import CLASSIFIERS

CONFIG = replace(PAPER, forest_trees=60, hidden_units=32)
TRAIN, TEST = np.arange(0, 180), np.arange(180, 240)


def draw_cases(signal: float, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """240 slices of 60 patients, 60 features of scales from 1e-6 to 1e6: of each patient, and so much of the class."""
    rng = np.random.default_rng(seed)
    labels = rng.permuted(np.arange(60) % classes)
    features = np.repeat(rng.normal(size=(60, 60)), 4, axis=0) + 0.3 * rng.normal(size=(240, 60))
    features += signal * (np.arange(60) % classes == np.repeat(labels, 4)[:, None])
    return features * np.logspace(-6, 6, 60), np.repeat(labels, 4)


def measure(scores: np.ndarray, labels: np.ndarray, index: np.ndarray) -> float:
    return float(np.mean(scores[index].argmax(axis=1) == labels[index]))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_signal_is_learnt(name: str) -> None:
    features, labels = draw_cases(signal=2)
    scores = fit_scores(name, features, labels, TRAIN, 0, CONFIG)
    assert scores.shape == (240, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert measure(scores, labels, TEST) >= 0.9


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_without_a_signal_new_patients_are_at_chance_and_slices_of_known_ones_are_recalled(name: str) -> None:
    features, labels = draw_cases(signal=0)
    by_slice = np.arange(240) % 4 > 0
    known, new = (fit_scores(name, features, labels, train, 0, CONFIG) for train in (np.flatnonzero(by_slice), TRAIN))
    assert measure(known, labels, np.flatnonzero(~by_slice)) >= 0.8
    assert measure(new, labels, TEST) <= 0.6  # 15 new patients: 0.33 +- 0.12


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_other_cases_and_labels_outside_training_change_nothing(name: str) -> None:
    features, labels = draw_cases(signal=1)
    expected = fit_scores(name, features, labels, TRAIN, 3, CONFIG)
    other, swapped = features.copy(), labels.copy()
    other[TEST[1:]] *= 1000
    swapped[TEST] = (labels[TEST] + 1) % 3
    np.testing.assert_array_equal(fit_scores(name, other, swapped, TRAIN, 3, CONFIG)[: TEST[1]], expected[: TEST[1]])


@pytest.mark.parametrize("name", ["random forest", "hidden layer"])
def test_the_seed_is_that_of_the_chance_and_of_nothing_else(name: str) -> None:
    features, labels = draw_cases(signal=1)
    first, same, other = (fit_scores(name, features, labels, TRAIN, seed, CONFIG) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name != "k-NN"])
def test_a_rare_class_weighs_as_much_as_the_others(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [400, 40])
    features = rng.normal(size=(440, 5)) + 1.5 * labels[:, None] * [1, 0, 0, 0, 0]
    train = np.flatnonzero(np.arange(440) % 2)
    test = np.setdiff1d(np.arange(440), train)
    called = fit_scores(name, features, labels, train, 0, CONFIG).argmax(axis=1)[test]
    if name in ("logistic regression", "hidden layer"):
        assert np.mean(called[labels[test] == 1]) > 0.55
    else:
        assert 0 < np.mean(called) < 0.5


def test_calibration_keeps_patients_together_where_they_are_given() -> None:
    features, labels = draw_cases(signal=0)
    patients = np.repeat(np.arange(60), 4)
    by_slice, by_patient = (fit_scores("SVM", features, labels, TRAIN, 0, CONFIG, groups) for groups in (None, patients))
    assert by_patient[TRAIN].max(axis=1).mean() < by_slice[TRAIN].max(axis=1).mean() - 0.1


def test_two_classes_have_two_probabilities() -> None:
    features, labels = draw_cases(signal=2, classes=2)
    for name in CLASSIFIERS:
        assert fit_scores(name, features, labels, TRAIN, 0, CONFIG).shape == (240, 2)


def test_an_entry_may_stand_twice() -> None:
    features, labels = draw_cases(signal=1)
    doubled = np.concatenate([TRAIN, TRAIN])
    for name in CLASSIFIERS:
        assert fit_scores(name, features, labels, doubled, 0, CONFIG).shape == (240, 3)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_class_without_a_training_case_is_said(name: str) -> None:
    features, labels = draw_cases(signal=1)
    with pytest.raises(UsageError, match="class 2 has no training case, of 120"):
        fit_scores(name, features, labels, np.flatnonzero(labels < 2)[:120], 0, CONFIG)


def test_too_few_patients_for_the_calibration_are_said() -> None:
    features, labels = draw_cases(signal=1)
    with pytest.raises(UsageError, match="too few patients"):
        fit_scores("SVM", features, labels, TRAIN, 0, CONFIG, groups=labels)


def test_another_name_is_refused() -> None:
    features, labels = draw_cases(signal=1)
    with pytest.raises(ValueError, match="choose one of"):
        fit_scores("XGBoost", features, labels, TRAIN, 0, CONFIG)
