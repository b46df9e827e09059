"""Where the accuracy comes from, on bottlenecks with a known share of subject and grade; tables and sentences of it."""

import numpy as np
import pandas as pd
import pytest
from glioma_bottlenecks import SMALL, draw_features, make_dataset, run_modes

from common.evaluation.clustered import compare_unlike_shares
from common.evaluation.metrics import evaluate
from replications.glioma_inceptionv3 import decomposition, derived, subjects
from replications.glioma_inceptionv3.rows import (
    AS_RUN,
    CLEAN,
    CROP,
    INCEPTION,
    LEAKFREE,
    MEAN,
    MOBILENET,
    ONCE,
    RANDOM,
    REPORT,
    name_row,
    name_run,
    name_subjects,
)

MODES = (AS_RUN, ONCE, REPORT, LEAKFREE)
GRADES = ["II", "III", "IV"]
SETUP = INCEPTION, CROP


@pytest.fixture(scope="module")
def memory(backend) -> pd.DataFrame:
    """Subjects look alike in all their slices, grades do not: all that is scored is memory."""
    dataset = make_dataset()
    found = run_modes(dataset, draw_features(dataset.cases, texture=0.55, signal=0.0), SMALL, MODES)
    return derived.derive_rows(found, SMALL, {CROP})


@pytest.fixture(scope="module")
def grading(backend) -> pd.DataFrame:
    """Grades differ, and the slices of a subject have no more in common than those of its grade."""
    dataset = make_dataset()
    found = run_modes(dataset, draw_features(dataset.cases, texture=0.0, signal=0.3), SMALL, MODES)
    return derived.derive_rows(found, SMALL, {CROP})


def measure(predictions: pd.DataFrame) -> dict[tuple[str, bool], float]:
    found = {row.row: row.metrics["accuracy"].mean for row in evaluate(predictions)}
    return {(mode, shuffled): found[name_row(mode, *SETUP, shuffled=shuffled)] for mode in MODES for shuffled in (False, True)}


def test_memory_alone_looks_like_grading_until_subjects_are_apart(memory):
    accuracy = measure(memory)
    for shuffled in (False, True):  # shuffled grades are as good as true ones
        assert accuracy[AS_RUN, shuffled] >= 0.94
        assert 0.6 < accuracy[REPORT, shuffled] < accuracy[AS_RUN, shuffled]
        assert 0.1 < accuracy[LEAKFREE, shuffled] < 0.5


def test_the_steps_name_memory(memory):
    steps = {step.name: step for step in decomposition.decompose(memory, SMALL, {CROP})[SETUP]}
    assert list(steps) == [name for name, _, end in decomposition.STEPS if end != CLEAN]
    twice, _, slices, rest = steps.values()
    assert 0 < twice.true.low < twice.true.high
    assert 0 < slices.true.low < slices.true.high
    assert slices.shuffled.low > 0
    assert rest.true.low < 0 < rest.true.high
    whole = twice.accuracies[0]
    assert sum(float(step.true.difference) for step in steps.values()) == pytest.approx(whole - rest.accuracies[1])
    assert rest.accuracies[1] == pytest.approx(1 / 3)


def test_the_sentence_says_what_is_left(memory, grading):
    said = decomposition.tabulate_decomposition(decomposition.decompose(memory, SMALL, {CROP}), {CROP}, GRADES)
    assert "not distinguishable from the 33.3 % of chance" in said.note
    assert "points lost: files listed twice +" in said.note
    assert "The grades were shuffled once" in said.note
    assert "slice-clean coincides with paper-report" in said.note
    assert all(len(line) == len(said.columns) for line in said.rows)
    other = decomposition.tabulate_decomposition(decomposition.decompose(grading, SMALL, {CROP}), {CROP}, GRADES)
    assert "more than the 33.3 % of chance" in other.note


def test_the_finding_in_one_sentence(memory):
    steps = decomposition.decompose(memory, SMALL, {CROP})
    said = decomposition.summarise(steps, "slices", GRADES)
    whole, rest = steps[SETUP][0], steps[SETUP][-1]
    assert said.startswith("slices, InceptionV3, crop, grades II, III, IV: ")
    assert (
        f"{100 * whole.accuracies[0]:.1f} % with the list as run, {100 * whole.shuffled_accuracies[0]:.1f} % with grades" in said
    )
    assert f"{100 * rest.accuracies[0]:.1f} % with patients kept apart" in said
    both = {(RANDOM, CROP): steps[SETUP], (MOBILENET, CROP): steps[SETUP]}
    assert "MobileNetV2" in decomposition.summarise(both, "slices", GRADES)  # trained weights before random ones
    assert decomposition.summarise({SETUP: steps[SETUP][1:]}, "slices", GRADES) == ""


def test_grading_alone_is_the_same_in_every_mode(grading):
    accuracy = measure(grading)
    true = [accuracy[mode, False] for mode in MODES]
    assert min(true) > 0.9
    assert max(true) - min(true) < 0.05
    steps = {step.start: step for step in decomposition.decompose(grading, SMALL, {CROP})[SETUP]}
    assert abs(float(steps[CLEAN].true.difference)) < 0.05
    assert steps[LEAKFREE].true.low > 0.4
    assert accuracy[LEAKFREE, True] < 0.5


def test_leakfree_metrics_of_subjects(memory, grading):
    for predictions, low, high in ((memory, 0.25, 0.7), (grading, 0.95, 1.0)):
        table = predictions
        row = name_subjects(name_row(LEAKFREE, *SETUP))
        found = subjects.measure_row(table, row) | subjects.measure_cuts(table, row, GRADES)
        assert list(found) == [
            "accuracy", "balanced accuracy", "weighted kappa", "macro AUC", "II against III, IV", "II, III against IV",
        ]  # fmt: skip
        assert low <= float(found["macro AUC"].mean) <= high
        assert low <= float(found["II against III, IV"].mean) <= high
        assert float(found["accuracy"].mean) == pytest.approx(float(found["balanced accuracy"].mean))  # as many of each grade
        shown = subjects.tabulate_subjects(table, SMALL, GRADES)
        assert all(len(line) == len(shown.columns) for line in shown.rows)
        assert [tuple(line[2:4]) for line in shown.rows] == [
            ("true", "slice"), ("true", "subject"), ("grades shuffled", "slice"), ("grades shuffled", "subject"),
        ]  # fmt: skip
        assert "5 folds, 1 repeat." in shown.note


def test_gain_over_the_folds_by_hand(grading):
    row = name_row(LEAKFREE, *SETUP)
    part = grading[grading["row"] == row]
    scores = part[["y_score_0", "y_score_1", "y_score_2"]].to_numpy()
    right = pd.Series(scores.argmax(axis=1) == part["y_true"].to_numpy()).groupby(part["fold"].to_numpy()).mean()
    often = part.groupby("fold")["y_true"].agg(lambda labels: (labels == part["y_true"].mode()[0]).mean())
    found = subjects.compare_folds(grading, row, 1 / 3)
    assert found.mean == pytest.approx(float((right - often).mean()))
    assert found.p < 0.001


def test_chance_is_no_loss_where_one_grade_prevails(backend):
    """Batches draw the grades evenly, so a network that knows nothing lies below the most frequent grade; that is no finding."""
    dataset = make_dataset()
    subject = dataset.cases["patient_id"].str[1:].astype(int)
    dataset.cases["label"] = np.select([subject % 6 < 4, subject % 6 == 4], [0, 1], 2)  # 24, 6 and 6 subjects
    found = run_modes(dataset, draw_features(dataset.cases, texture=0.3, signal=0.0), SMALL, (AS_RUN, LEAKFREE))
    steps = decomposition.decompose(found, SMALL, {CROP})[SETUP]
    (rest,) = [step for step in steps if step.start == LEAKFREE]
    assert rest.accuracies[0] < rest.accuracies[1] - 0.05
    assert rest.balanced.low < 1 / 3 < rest.balanced.high


def test_derived_rows(memory):
    table, rows = memory, set(memory["row"])
    assert {name_run(run) for run in SMALL.runs} | {MEAN, name_row(CLEAN, *SETUP)} <= rows
    of_run = table[table["row"] == name_run(2)]
    source = memory[(memory["row"] == name_row(AS_RUN, *SETUP)) & (memory["seed"] == 2)]
    assert len(of_run) == len(source) > 0
    assert (of_run["seed"] == 2).all()
    of_subjects = table[table["row"] == name_subjects(name_row(LEAKFREE, *SETUP))]
    assert of_subjects["patient_id"].is_unique
    one = of_subjects.iloc[0]
    slices = memory[(memory["row"] == name_row(LEAKFREE, *SETUP)) & (memory["patient_id"] == one["patient_id"])]
    assert one["y_score_1"] == pytest.approx(slices["y_score_1"].mean())
    clean, report = (memory[memory["row"] == name_row(mode, *SETUP)].drop(columns="row") for mode in (CLEAN, REPORT))
    assert clean.reset_index(drop=True).equals(report.reset_index(drop=True))
    without = derived.derive_rows(memory[memory["row"] == name_row(REPORT, *SETUP)], SMALL, set())
    assert set(without["row"]) == {name_row(REPORT, *SETUP)}


def test_counts_by_subject():
    part = pd.DataFrame(
        {"seed": [1, 1, 2], "patient_id": ["a", "b", "b"], "y_true": [0, 1, 1], "y_score_0": [0.9, 0.6, 0.2]}
    ).assign(y_score_1=lambda table: 1 - table["y_score_0"])
    right, cases = decomposition.count_right(part, np.array(["a", "b", "c"]))
    assert right.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert cases.tolist() == [[1, 1, 0], [0, 1, 0]]
    often, _ = decomposition.count_right(part, np.array(["a", "b", "c"]), given=decomposition.find_majority(part))
    assert often.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert float(compare_unlike_shares(right, cases, often, cases).difference) == 0
