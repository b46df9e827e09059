"""Thyroid ensemble: choice and fusion of networks against brute force and simulation; paper.toml against arithmetic."""

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from common.audit.papers import find_impossible_claims
from common.errors import UsageError
from common.evaluation.verdicts import judge_claims
from common.records.paper import load_paper
from common.records.predictions import check_predictions
from replications.thyroid_ensemble import ensemble
from replications.thyroid_ensemble.config import LETTERS, NETWORKS, PAPER, SCALES, SUBSETS


@pytest.fixture(scope="module")
def paper(root):
    return load_paper(root / "replications" / "thyroid_ensemble" / "paper.toml")


@pytest.fixture(scope="module")
def sizes(paper) -> dict[str, int]:
    """Test images of each class and in all."""
    return {claim.metric: int(claim.value) for claim in paper.claims if (claim.table, claim.row) == ("1", "test")}


@pytest.fixture(scope="module")
def accuracies(paper) -> list[float]:
    """Printed accuracies of E, B and C, the published ensemble's members."""
    rows = [f"Scale {LETTERS[x][1]} / {LETTERS[x][0]}" for x in SUBSETS[-1]]
    fractions = {claim.row: claim.fraction for claim in paper.claims if claim.table == "2"}
    return [fractions[row] for row in rows]


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
    placed = ensemble.place_weights(found, list(by_name))
    assert placed[[list(by_name).index(name) for name in members]].tolist() == list(weights)
    assert ensemble.measure_accuracy(ensemble.fuse(scores, placed), labels) == found.accuracy


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
        return ensemble.place_weights(ensemble.choose_subset(dict(zip(names, of_half, strict=True)), truth), names)

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


# paper.toml


def test_paper_is_complete(paper):
    tables = pd.Series([claim.table for claim in paper.printed])
    expected = {"1": 6, "2": 9, "3": 3, "4": 12, "5": 9, "6": 12, "7": 12, "Fig. 10": 1, "introduction": 3}
    assert tables.value_counts(sort=False).to_dict() == expected
    assert all(claim.value is not None for claim in paper.printed)
    assert [claim.row for claim in paper.claims if claim.table == "2"] == [f"Scale {s} / {n}" for s in SCALES for n in NETWORKS]
    assert [claim.row for claim in paper.claims if claim.table == "3"] == [f"{{{', '.join(of)}}}" for of in SUBSETS]
    assert len({statement.id for statement in paper.statements}) == 9
    judged = judge_claims(paper.claims, [], {}, positive_class=paper.positive_class)
    assert {claim.verdict for claim in judged} == {"not run"}


def test_one_number_everywhere(paper):
    """The ensemble's numbers are printed four times, those of single networks twice: always the same."""
    for row in {claim.row for claim in paper.printed}:
        for metric in ("accuracy", "sensitivity", "specificity"):
            assert len({claim.value for claim in paper.printed if (claim.row, claim.metric) == (row, metric)}) <= 1


def test_published_weights_are_enumerated(paper):
    grid = {tuple(weights) for weights in ensemble.enumerate_weights(3, PAPER.weight_step).tolist()}
    for claim in paper.claims:
        if claim.table == "3":
            terms = re.findall(r"(0\.\d) ([A-E])", claim.note)
            assert tuple(float(weight) for weight, _ in terms) in grid
            assert "{" + ", ".join(letter for _, letter in terms) + "}" == claim.row


def test_readings_share_out_the_same_numbers(paper, sizes):
    first, second = paper.readings
    assert first.metrics == {"sensitivity": "specificity", "specificity": "sensitivity"}
    claims = {claim.key: claim for claim in paper.claims}
    recall = claims["4", "ensemble", "specificity"], claims["4, reading b", "ensemble", "sensitivity"]
    assert recall[0].value == recall[1].value == printed(paper, "4")["ensemble"]["sensitivity"]
    # Either way the printed sensitivity is the recall of the larger class.
    assert recall[0].classes["benign"] == recall[1].classes["malignant"] == sizes["benign"]


def printed(paper, *tables: str) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for claim in paper.printed:
        if claim.table in tables:
            rows.setdefault(claim.row, {})[claim.metric] = claim.value
    return rows


def find_counts(value: float, n: int) -> tuple[list[int], list[int]]:
    """Numbers of n whose percentage is printed as `value` with one decimal: if rounded, if truncated."""
    tenths = round(10 * value)
    rounded = [k for k in range(n + 1) if (2000 * k + n) // (2 * n) == tenths]
    return rounded, [k for k in range(n + 1) if 1000 * k // n == tenths]


def test_sums_of_table_1(paper):
    counts = {(claim.row, claim.metric): claim.value for claim in paper.claims if claim.table == "1"}
    for row in ("training", "test"):
        assert counts[row, "benign"] + counts[row, "malignant"] == counts[row, "total"]
    for name in ("benign", "malignant"):
        assert counts["test", name] == round(PAPER.test_share * (counts["training", name] + counts["test", name]))
    stated = next(claim.classes for claim in paper.claims if claim.table == "2")
    assert stated == {name: counts["test", name] for name in ("benign", "malignant")}


def test_positive_class(paper, sizes):
    """The readings stand on this count, made here once more without the audit's code."""
    rows = printed(paper, "4", "5", "6", "7")
    assert len(rows) == 12
    fits = {"malignant": 0, "sensitivity": 0, "rounded": 0, "truncated": 0, "near": 0, "exact": 0}
    for row in rows.values():
        sensitivity = find_counts(row["sensitivity"], sizes["malignant"])
        specificity = find_counts(row["specificity"], sizes["benign"])
        fits["malignant"] += any(sensitivity) and any(specificity)
        first, _ = find_counts(row["sensitivity"], sizes["benign"])
        second, truncated = find_counts(row["specificity"], sizes["malignant"])
        fits["sensitivity"] += bool(first)
        fits["rounded"] += bool(second)
        fits["truncated"] += not second and bool(truncated)
        totals = [a + b for a in first for b in second or truncated]
        fits["near"] += any(abs(100 * k / sizes["total"] - row["accuracy"]) <= 0.1 for k in totals)
        fits["exact"] += any(k in find_counts(row["accuracy"], sizes["total"])[0] for k in totals) and bool(second)
    assert fits == {"malignant": 0, "sensitivity": 11, "rounded": 9, "truncated": 3, "near": 7, "exact": 4}


def test_impossible_claims(paper, sizes):
    """Accuracies that are no count; rows that have no matrix, whole; nothing else: neither the AUC nor the ensemble's recalls."""
    accuracies = [claim for claim in paper.printed if claim.metric == "accuracy" and claim.classes]
    expected = {claim.key for claim in accuracies if not any(find_counts(claim.value, sizes["total"]))}
    assert {row for _, row, _ in expected} >= {"ensemble", "{E, B, C}"}
    whole = {("4", f"Scale 1 / {name}") for name in NETWORKS} | {("6", "GLCM + SVM"), ("6", "Gabor + SVM")}
    whole.add(("introduction", "[10] as quoted"))
    expected |= {claim.key for claim in paper.printed if claim.key[:2] in whole}
    assert find_impossible_claims(paper) == expected


def test_a_claim_under_a_reading_is_marked_as_it_is_printed(paper):
    judged = judge_claims(paper.claims, [], {}, positive_class=paper.positive_class, impossible=find_impossible_claims(paper))
    marked = {claim.key for claim in judged if claim.impossible}
    assert len(marked) == 27 + 2 * 5  # sensitivity and specificity of the five rows without a matrix, under reading b
    row = "Scale 1 / ResNet50"  # its printed sensitivity is no count: that row is impossible in Table 4, not its accuracy alone
    assert {key for key in marked if key[1] == row} == {
        ("4", row, "accuracy"),
        *((table, row, metric) for table in ("4", "4, reading b") for metric in ("sensitivity", "specificity")),
    }
    assert {metric for _, name, metric in marked if name == "ensemble"} == {"accuracy"}


def test_numbers_of_the_remarks(paper):
    found = {audit.check: audit.found for audit in paper.audits}
    value = printed(paper, "5")
    rounded, cut = (value[row]["specificity"] for row in ("mean probability", "class voting"))
    assert f"129 of 133 is printed {cut} for class voting and {rounded}" in found["Rounded here, cut off there"]
    counts = [find_counts(rounded, 133), find_counts(cut, 133)]
    assert (counts[0][0], counts[1]) == ([129], ([], [129]))
    images, patients, mean = re.search(
        r"(\d+) images of (\d+) patients are ([\d.]+) a", found["Images of one patient on both sides"]
    ).groups()
    assert f"{int(images) / int(patients):.1f}" == mean
    assert f"With {mean} images a patient" in found["Sampling error"]
