"""What the thyroid paper says in words, checked on the rows that it speaks of."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from common.records.predictions import tabulate_scores
from replications.thyroid_ensemble import baselines, experiments, plans
from replications.thyroid_ensemble.config import NETWORKS, PAPER
from replications.thyroid_ensemble.rows import FUSED as FUSED_FEATURES
from replications.thyroid_ensemble.rows import QUOTED

TRANSFERRED = {f"{network}, k = 0": 0.8 for network in NETWORKS}  # sec. 2.1: convolutions frozen
SCRATCH = {"AlexNet, no transfer": 0.75, "VGG16, no transfer": 0.7, "ResNet50, no transfer": 0.6}
TUNED = {f"Scale 1 / {network}": 0.9 for network in NETWORKS}  # Table 2: fine-tuned


def check(statement: str, accuracy: dict[str, float]) -> tuple[str, str]:
    return experiments.build_checks([])[statement]("paper", accuracy)


@pytest.mark.parametrize("statement", ["transfer_helps", "gap_grows_with_depth"])
def test_transfer_is_the_new_head_on_frozen_convolutions(statement):
    """Fig. 8 and sec. 2.1: the fine-tuned networks of Table 2 have no part in it."""
    assert check(statement, TRANSFERRED | SCRATCH)[0] == "holds"
    assert check(statement, TRANSFERRED | SCRATCH | dict.fromkeys(TUNED, 0.1))[0] == "holds"
    assert check(statement, TUNED | SCRATCH)[0] == "not run"
    assert set(experiments.list_figure_8(PAPER)) == {*TRANSFERRED, *SCRATCH}


def test_figure_8_is_trained_whatever_depths_are_tried():
    config = replace(PAPER, depths=(1, 2))
    by_name = {row.name: row for row in experiments.list_rows(config)}
    trained = {t.name: t for t in plans.list_trainings(config)}
    for row in TRANSFERRED:
        (need,) = by_name[row].needs
        assert trained[need].rows["0"] == row
    first = next(t for t in plans.list_trainings(PAPER) if t.name == "transfer VGG16 1")
    assert first.rows["0"] == "Scale 1 / VGG16, k = 0"


def test_fine_tuning_shapes_no_row_without_it():
    """A row that step 1 ends is as published whatever step 2 is."""
    rows = {row.name: row for row in experiments.list_rows(PAPER)}

    def depart(row: str, **changes) -> list[str]:
        return experiments.list_departures(rows[row], replace(PAPER, **changes), PAPER, "imagenet")

    for row in TRANSFERRED:
        assert depart(row, tune_epochs=8, depths=(0, 1)) == []
        assert depart(row, transfer_epochs=8) == ["transfer_epochs = 8 instead of 50"]
    assert depart("VGG16, k = 3", tune_epochs=8) == ["tune_epochs = 8 instead of 100"]
    assert depart("Scale 1 / VGG16", depths=(0, 1)) != []


NINE = {f"Scale {scale} / {network}": 0.8 for scale in (1, 2, 3) for network in NETWORKS}
FUSED = {"ensemble": 0.9, "class voting": 0.85, "mean probability": 0.85}
COMBINED = {"{A, B, C}": 0.85, "{D, B, C}": 0.82, "{E, B, C}": 0.9}


def test_every_fusion_and_every_combination_is_held_against_every_single_network():
    """Sec. 2.4 and 1.6."""
    for statement, rows in (("fusions_beat_singles", FUSED), ("combinations_beat_singles", COMBINED)):
        assert check(statement, NINE | rows)[0] == "holds"
        for row in rows:
            assert check(statement, NINE | rows | {row: 0.79})[0] == "does not hold", row
        assert check(statement, NINE | rows | {"Scale 3 / VGG16": 0.91})[0] == "does not hold"


def test_accuracy_by_depth_has_one_peak():
    """Sec. 2.2."""
    rising = {f"{network}, k = {k}": 0.5 + 0.01 * k for network in NETWORKS for k in range(5)}
    assert check("one_peak", rising)[0] == "holds"
    assert check("one_peak", rising | {"VGG16, k = 3": 0.9})[0] == "holds"
    assert check("one_peak", rising | {"VGG16, k = 1": 0.4})[0] == "does not hold"
    assert check("one_peak", {})[0] == "not run"


def test_what_stopping_gains_is_not_claimed():
    """The gain table halves the test patients after the trainings: their epochs are what they were."""
    assert "epoch" in experiments.tabulate_gains([]).note
    assert "all choices" not in experiments.tabulate_gains([]).note


def test_results_of_others_are_entered_as_quoted(paper):
    quoted = {(c.row, c.metric): c.value for c in paper.printed if c.table == "introduction"}
    assert {row for row, _ in quoted} == set(QUOTED)
    assert [quoted["[11] as quoted", name] for name in ("accuracy", "sensitivity", "specificity")] == [96.3, 86, 99]


def test_what_is_not_said_of_the_roi_and_of_the_difference(paper):
    (roi,) = (item for item in paper.deviations if item.paper.startswith("A radiologist marks"))
    assert "whole picture" in roi.ours
    assert "Without boxes" in roi.effect
    for part in ("mean of several networks", "five, in the demo two"):
        assert part in paper.difference


def test_statements_say_where_they_rest_on_networks_that_did_not_learn():
    stuck = {("paper", "VGG16, no transfer"): [0, 2]}
    for statement in ("transfer_helps", "gap_grows_with_depth"):
        told = experiments.build_checks([], stuck)[statement]
        verdict, detail = told("paper", TRANSFERRED | SCRATCH)
        assert verdict == "holds"
        assert "depends on the initial weights (scratch_init)" in detail
        assert "VGG16, no transfer (seed 0, 2)" in detail
        assert "scratch_init" not in told("leakfree", TRANSFERRED | SCRATCH)[1]
        assert told("paper", {})[0] == "not run"
    assert "scratch_init" not in experiments.build_checks([], stuck)["one_peak"]("paper", {"VGG16, no transfer": 0.5})[1]


def test_networks_that_never_left_chance_are_found():
    cases = pd.DataFrame({"case_id": list("ab"), "patient_id": list("ab"), "label": [0, 1]})
    constant, varied = np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([[0.7, 0.3], [0.4, 0.6]])
    rows = [("VGG16, no transfer", 0, constant), ("VGG16, no transfer", 1, varied), ("AlexNet, no transfer", 0, varied),
            ("GLCM + SVM", 0, constant)]  # fmt: skip
    predictions = pd.concat(
        tabulate_scores(cases, scores, protocol="paper", row=row, seed=seed, fold=0) for row, seed, scores in rows
    )
    assert experiments.find_stuck(predictions) == {("paper", "VGG16, no transfer"): [0]}
    assert experiments.find_stuck(predictions[predictions["row"] == "GLCM + SVM"]) == {}


def test_the_readings_that_change_networks_are_told_above_the_tables(paper):
    told = [name for item in paper.unstated for name in item.settings]
    assert sorted(told) == ["augment_before_crop", "cropping", "scratch_init"]


def test_both_readings_of_the_random_crop_are_declared(find_choice, paper):
    item = "What the amplitude 0.2 means for zoom and crop, and the fill of the augmentation"
    assert "cropping = frame" in find_choice(item)
    (because,) = (one.because for one in paper.unstated if one.item == item)
    assert "One amplitude is given for shift, crop and zoom together" in because
    assert "cropping = shear" in because


@pytest.mark.parametrize(
    "change", [{"augment_before_crop": False}, {"cropping": "shear"}, {"enlargement": 2}, {"head_units": (8,)}]
)
def test_what_the_classifier_of_fused_features_never_sees_shapes_it_not(change):
    """[26]: its SVM is fitted on the training cases alone, and on features below the head."""
    rows = {row.name: row for row in experiments.list_rows(PAPER)}
    assert experiments.list_departures(rows[FUSED_FEATURES], replace(PAPER, **change), PAPER, "imagenet") == []
    assert experiments.list_departures(rows["ensemble"], replace(PAPER, **change), PAPER, "imagenet")


@pytest.mark.parametrize("protocol", ["paper", "leakfree"])
def test_support_vector_machines_see_each_training_case_once(monkeypatch, protocol):
    cases = pd.DataFrame({"label": np.arange(8) % 2, "patient_id": list("aabbccdd")})
    train, described = np.array([0, 1, 4, 5]), np.arange(16.0).reshape(8, 2)
    seen = []

    def fit_svm(features, labels, groups, config, seed):
        seen.append((features.tolist(), labels.tolist(), groups if groups is None else list(groups)))
        return SimpleNamespace(predict_proba=lambda of: np.zeros((len(of), 2)))

    monkeypatch.setattr(baselines, "fit_svm", fit_svm)
    task = SimpleNamespace(
        fold=SimpleNamespace(train=train),
        dataset=SimpleNamespace(cases=cases),
        settings={"protocol": protocol},
        config=PAPER,
        seed=0,
    )
    assert baselines._score_by_svm(task, described).shape == (8, 2)
    groups = list("aacc") if protocol == "leakfree" else None
    assert seen == [(described[train].tolist(), [0, 1, 0, 1], groups)]


def test_what_departs_from_the_text_is_declared(find_choice, paper):
    assert f"standard deviation {PAPER.scratch_std:g}" in find_choice("Networks without transfer: initial weights")
    assert f"patience {PAPER.scratch_patience}" in find_choice("Networks without transfer: optimiser")
    assert find_choice("Whether support vector machines and the forest see augmented images").startswith("No")
    assert find_choice("Batch normalisation where all layers are trained").startswith("It trains")
    (fused,) = (item for item in paper.deviations if item.paper.startswith("[26] trains the dense layers"))
    assert fused.ours.startswith("No dense layer is trained")
