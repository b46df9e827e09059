"""Thyroid ensemble: choice and fusion of networks against brute force and simulation."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from common.errors import UsageError
from common.records.predictions import check_predictions
from replications.thyroid_ensemble import ensemble
from replications.thyroid_ensemble.config import LETTERS, SUBSETS


def of_malignant(p) -> np.ndarray:
    """Scores (..., 2) from probabilities of class 1 (...)."""
    p = np.asarray(p, float)
    return np.stack([1 - p, p], axis=-1)


def draw_scores(rng: np.random.Generator, accuracies, correlation: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated classifiers: scores (models, n, 2) and alternating labels (n,).

    The log odds of class 1 are normal with mean +-m and variance 2 m, which makes the probabilities right, and
    m = 2 z(accuracy)^2 makes the classifier as accurate as wanted.
    """
    m = 2 * norm.ppf(np.asarray(accuracies, float)) ** 2
    labels = np.arange(n) % 2
    noise = np.sqrt(1 - correlation) * rng.standard_normal((m.size, n)) + np.sqrt(correlation) * rng.standard_normal(n)
    log_odds = m[:, None] * (2 * labels - 1) + np.sqrt(2 * m)[:, None] * noise
    return of_malignant(1 / (1 + np.exp(-log_odds))), labels


# Weights


def test_weights_are_the_positive_tenths_that_sum_to_1():
    found = ensemble.enumerate_weights()
    tenths = np.round(10 * found).astype(int)
    expected = [t for t in itertools.product(range(1, 10), repeat=3) if sum(t) == 10]
    assert found.shape == (36, 3)
    assert tenths.tolist() == [list(t) for t in expected]
    assert np.array_equal(found, tenths / 10)


@pytest.mark.parametrize(("models", "step", "count"), [(3, 0.05, 171), (3, 1 / 3, 1), (2, 0.25, 3), (4, 0.1, 84), (1, 0.5, 1)])
def test_number_of_weights(models, step, count):
    found = ensemble.enumerate_weights(models, step)
    assert found.shape == (count, models) == (math.comb(round(1 / step) - 1, models - 1), models)
    assert np.allclose(found.sum(axis=1), 1, rtol=0, atol=1e-15)
    assert found.min() > 0


@pytest.mark.parametrize("step", [0.3, 0.5, 0.0, -0.1, 2.0, 0.001, float("nan")])
def test_steps_that_do_not_divide_1(step):
    with pytest.raises(UsageError, match="weight_step"):
        ensemble.enumerate_weights(3, step)


# Fusion, by hand: case 0 is voted down by two weak votes, case 1 is a tie of the mean

THREE = of_malignant([[0.9, 0.2, 0.6], [0.4, 0.8, 0.6], [0.4, 0.5, 0.2]])


def test_fusions_by_hand():
    assert ensemble.fuse(THREE, (0.2, 0.3, 0.5)) == pytest.approx(of_malignant([0.50, 0.53, 0.40]))
    assert ensemble.average(THREE) == pytest.approx(of_malignant([1.7 / 3, 0.5, 1.4 / 3]))
    assert ensemble.vote(THREE) == pytest.approx(of_malignant([1 / 3, 1 / 3, 2 / 3]))  # 0.5 is a vote for benign


def test_weights_alone_and_among_others_give_the_same_bits():
    rng = np.random.default_rng(0)
    scores = of_malignant(rng.random((3, 500)))
    weights = ensemble.enumerate_weights()
    together = ensemble.fuse(scores, weights)
    assert together.shape == (36, 500, 2)
    assert all(np.array_equal(ensemble.fuse(scores, one), of) for one, of in zip(weights, together, strict=True))


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.5, 0.6, 0.1), (0.5, 0.7, -0.2)])
def test_fusion_refuses_other_weights(weights):
    with pytest.raises(ValueError, match="3 weights"):
        ensemble.fuse(THREE, weights)


# Choice


def choose_by_loop(scores: np.ndarray, labels: np.ndarray) -> tuple[tuple, int, float, int]:
    """(weights, right answers, cross-entropy, ties), one triple and one case at a time."""
    found = []
    for a, b in itertools.product(range(1, 9), repeat=2):
        if a + b >= 10:
            continue
        w = (a / 10, b / 10, (10 - a - b) / 10)
        right, loss = 0, 0.0
        for case, label in enumerate(labels):
            p = [sum(w[m] * scores[m, case, c] for m in range(3)) for c in range(2)]
            right += (1 if p[1] > p[0] else 0) == label
            loss -= math.log(p[label]) / len(labels)
        found.append((w, right, loss))
    most = max(right for _, right, _ in found)
    tied = [entry for entry in found if entry[1] == most]
    return *min(tied, key=lambda entry: entry[2]), len(tied)


@pytest.mark.parametrize("seed", range(5))
def test_choice_of_weights_equals_a_loop(seed):
    scores, labels = draw_scores(np.random.default_rng(seed), (0.75, 0.7, 0.65), 0.3, 40)
    chosen = ensemble.choose_weights(scores, labels)
    weights, right, loss, ties = choose_by_loop(scores, labels)
    assert (chosen.weights, chosen.accuracy, chosen.ties) == (weights, right / 40, ties)
    assert chosen.cross_entropy == pytest.approx(loss, rel=1e-12)
    assert chosen.accuracy == ensemble.measure_accuracy(ensemble.fuse(scores, chosen.weights), labels)


def test_ties_go_to_the_lowest_cross_entropy_then_to_the_first():
    labels = np.array([0, 1])
    sure, unsure = of_malignant([0.1, 0.9]), of_malignant([0.4, 0.6])
    chosen = ensemble.choose_weights(np.stack([unsure, sure, unsure]), labels)
    assert (chosen.weights, chosen.accuracy, chosen.ties) == ((0.1, 0.8, 0.1), 1.0, 36)
    assert chosen.cross_entropy == pytest.approx(-math.log(0.8 * 0.9 + 0.2 * 0.6))
    for p in (0.5, 0.7, 0.123456):  # 36 fusions that differ by rounding at most
        same = np.stack([of_malignant([1 - p, p])] * 3)
        assert ensemble.choose_weights(same, labels).weights == (0.1, 0.1, 0.8)


def test_certain_and_wrong_is_finite():
    chosen = ensemble.choose_weights(np.stack([of_malignant([1.0, 0.0])] * 3), np.array([0, 1]))
    assert chosen.accuracy == 0
    assert 100 < chosen.cross_entropy < 1000


def test_ranking_keeps_the_order_of_equals():
    assert ensemble.rank_models({"x": 0.8, "y": 0.9, "z": 0.8, "u": 0.95}) == ["u", "y", "x", "z"]


def test_procedure_on_the_published_ranking(paper):
    """Table 2's own accuracies lead to A to E, to B and C kept, and to the three subsets of Table 3."""
    printed = {claim.row: claim.value for claim in paper.claims if claim.table == "2"}
    five = ensemble.rank_models(printed)[: ensemble.CANDIDATES]
    rows = {letter: f"Scale {scale} / {network}" for letter, (network, scale) in LETTERS.items()}
    assert set(five) == set(rows.values())
    assert {frozenset([five[0], five[1], added]) for added in five[2:]} == {frozenset(rows[x] for x in of) for of in SUBSETS}


@pytest.mark.parametrize("seed", range(3))
def test_choice_of_the_subset_equals_a_loop(seed):
    accuracies = (0.6, 0.8, 0.65, 0.9, 0.7, 0.62, 0.85)
    scores, labels = draw_scores(np.random.default_rng(seed), accuracies, 0.3, 101)
    by_name = dict(zip("abcdefg", scores, strict=True))
    right = {name: sum((p[1] > p[0]) == bool(y) for p, y in zip(by_name[name], labels, strict=True)) for name in by_name}
    ranked = sorted(right, key=lambda name: (-right[name], name))
    results = []
    for added in ranked[2:5]:
        members = (added, ranked[0], ranked[1])
        results.append((members, *choose_by_loop(np.stack([by_name[name] for name in members]), labels)))
    members, weights, most, _, _ = min(results, key=lambda result: (-result[2], result[3]))
    found = ensemble.choose_subset(by_name, labels)
    assert (found.members, found.weights, found.accuracy, found.considered) == (members, weights, most / 101, 108)
    assert [(of, best.weights) for of, best in found.subsets] == [(result[0], result[1]) for result in results]
    fused = ensemble.fuse(np.stack([by_name[name] for name in found.members]), np.array(found.weights))
    assert ensemble.measure_accuracy(fused, labels) == found.accuracy


def test_an_ensemble_of_fewer_models():
    scores, labels = draw_scores(np.random.default_rng(0), (0.8, 0.7, 0.6), 0.3, 50)
    found = ensemble.choose_subset(dict(zip("abc", scores, strict=True)), labels)
    assert (found.members, found.considered) == (("c", "a", "b"), 36)
    with pytest.raises(ValueError, match="needs 3 models"):
        ensemble.choose_subset({"a": scores[0], "b": scores[1]}, labels)


# What choosing on the scored cases gains


def test_halves_keep_patients_whole_and_classes_balanced():
    rng = np.random.default_rng(1)
    patients = np.repeat([f"p{i}" for i in range(60)], rng.integers(1, 12, 60))
    kinds = rng.random(60) < 0.5
    labels = kinds[np.unique(patients, return_inverse=True)[1]].astype(int)
    halves = ensemble.split_halves(labels, patients, 50, seed=3)
    largest = np.unique(patients, return_counts=True)[1].max()
    for half in halves:
        assert pd.Series(half).groupby(patients).nunique().max() == 1
        for label in (0, 1):
            of_class = half[labels == label]
            assert abs(2 * int(of_class.sum()) - of_class.size) <= 2 * largest
    assert len({half.tobytes() for half in halves}) == 50
    share = halves.mean(axis=0)
    assert share.min() > 0.2
    assert share.max() < 0.8
    assert np.array_equal(halves, ensemble.split_halves(labels, patients, 50, seed=3))
    assert ensemble.split_halves(np.array([0, 0, 1]), ["a", "a", "b"], 20, 0).sum(axis=1).tolist().count(2) not in (0, 20)
    with pytest.raises(ValueError, match="two patients"):
        ensemble.split_halves(np.array([0, 1]), ["a", "a"], 1, 0)


def test_gain_equals_a_loop_and_sees_only_the_half():
    scores, labels = draw_scores(np.random.default_rng(5), (0.8, 0.75, 0.7), 0.3, 60)
    patients = np.arange(60) // 3
    seen = []

    def select(of_half, truth):
        seen.append(len(truth))
        assert of_half.shape == (3, len(truth), 2)
        return choose_by_loop(of_half, truth)[0]

    slow = ensemble.measure_selection_gain(scores, labels, patients, select=select, repeats=4, seed=9)
    assert slow == ensemble.measure_selection_gain(scores, labels, patients, repeats=4, seed=9)
    assert [a + b for a, b in zip(seen[::2], seen[1::2], strict=True)] == [60] * 4
    gains = []
    for half in ensemble.split_halves(labels, patients, 4, 9):
        for side in (half, ~half):
            w = choose_by_loop(scores[:, side], labels[side])[0]
            right = np.einsum("m,mnc->nc", w, scores).argmax(axis=1) == labels
            gains.append(right[side].mean() - right[~side].mean())
    by_repeat = np.mean(np.reshape(gains, (4, 2)), axis=1)
    assert (slow["gain"], slow["sd"]) == pytest.approx((by_repeat.mean(), by_repeat.std(ddof=1)))
    assert slow["gain"] == pytest.approx(slow["chosen"] - slow["other"])
    assert slow["low"] <= slow["gain"] <= slow["high"]


def test_no_choice_gains_nothing():
    scores, labels = draw_scores(np.random.default_rng(0), (0.8,), 0, 80)
    same = np.repeat(scores, 3, axis=0)
    found = ensemble.measure_selection_gain(same, labels, np.arange(80), repeats=20)
    assert abs(found["gain"]) < 1e-12
    assert abs(found["chosen"] - found["other"]) < 1e-12


def test_gain_of_models_that_know_nothing():
    """The whole procedure on nine coin tosses: what it finds on one half, the other half does not have."""
    rng = np.random.default_rng(0)
    scores, labels = of_malignant(rng.random((9, 269))), np.arange(269) % 2
    names = [f"model {i}" for i in range(9)]

    def select(of_half, truth):
        chosen = ensemble.choose_subset(dict(zip(names, of_half, strict=True)), truth)
        weights = dict(zip(chosen.members, chosen.weights, strict=True))
        return [weights.get(name, 0.0) for name in names]

    found = ensemble.measure_selection_gain(scores, labels, np.arange(269) // 10, select=select)
    assert found["gain"] > 0.05
    assert abs(found["other"] - 0.5) < 0.04


@pytest.mark.parametrize(("correlation", "gain", "sd"), [(0.3, 0.9, 1.1), (0.5, 1.0, 1.3), (0.7, 1.1, 1.5)])
def test_simulated_optimism(sizes, accuracies, correlation, gain, sd):
    """The best of 36 triples looks about one point better on the test images than it is.

    The expected values are an independent simulation's, in points; standard errors here are about 0.05.
    """
    rng = np.random.default_rng(0)
    scores, labels = draw_scores(rng, accuracies, correlation, 50_000)
    assert [ensemble.measure_accuracy(of, labels) for of in scores] == pytest.approx(accuracies, abs=0.006)
    weights = ensemble.enumerate_weights()
    truth = {tuple(w): ensemble.measure_accuracy(ensemble.fuse(scores, w), labels) for w in weights.tolist()}
    optimism = []
    for _ in range(700):
        scores, labels = draw_scores(rng, accuracies, correlation, sizes["total"])
        chosen = ensemble.choose_weights(scores, labels)
        optimism.append(100 * (chosen.accuracy - truth[chosen.weights]))
    assert np.mean(optimism) == pytest.approx(gain, abs=0.25)
    assert np.std(optimism) == pytest.approx(sd, abs=0.2)


def test_halving_measures_the_optimism_without_knowing_the_truth(sizes, accuracies):
    """Twice as many images, so that a half is a test set: the same point as in the simulation above."""
    rng = np.random.default_rng(1)
    n = 2 * sizes["total"]
    gains = []
    for _ in range(120):
        scores, labels = draw_scores(rng, accuracies, 0.5, n)
        gains.append(ensemble.measure_selection_gain(scores, labels, np.arange(n), repeats=3)["gain"])
    assert 100 * np.mean(gains) == pytest.approx(1.0, abs=0.25)


# Patients


def test_patients_get_the_mean_of_their_images():
    lines = [("a", 1, 0.2), ("a", 1, 0.6), ("a", 0, 0.1), ("b", 0, 0.4), ("b", 0, 0.5), ("b", 0, 0.9)]
    frames = [
        pd.DataFrame(
            {
                "protocol": "paper", "row": row, "seed": seed, "fold": -1,
                "case_id": [f"image {i}" for i in range(6)], "patient_id": [p for p, _, _ in lines],
                "y_true": [y for _, y, _ in lines],
                "y_score_0": [1 - shift - s for _, _, s in lines], "y_score_1": [s + shift for _, _, s in lines],
            }
        )
        for row, seed, shift in (("ensemble", 0, 0.0), ("ensemble", 1, 0.05), ("class voting", 0, 0.1))
    ]  # fmt: skip
    images = pd.concat(frames, ignore_index=True)
    before = images.copy()
    found = ensemble.aggregate_patients(images)
    check_predictions(found, "patients")
    pd.testing.assert_frame_equal(images, before)
    assert len(found) == 9
    first = found[(found["row"] == "ensemble, per patient") & (found["seed"] == 0)].set_index("case_id")
    assert first["y_score_1"].to_dict() == pytest.approx({"a/0": 0.1, "a/1": 0.4, "b/0": 0.6})
    assert first["patient_id"].to_dict() == {"a/0": "a", "a/1": "a", "b/0": "b"}
    assert set(found["row"]) == {"ensemble, per patient", "class voting, per patient"}
