"""Tables of ours and statements against numbers worked out by hand; the judge of samples on sets whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.evaluation.metrics import evaluate
from common.records.predictions import tabulate_scores
from replications.ddsm_inceptionv4 import experiments, gaps, judging, measures
from replications.ddsm_inceptionv4.config import DEMO, PAPER
from replications.ddsm_inceptionv4.experiments import VANILLA
from replications.ddsm_inceptionv4.rows import UNLABELLED, VAE
from replications.ddsm_inceptionv4.tasks import Task

TRANSFER, LAST = "InceptionV4 transfer", "InceptionV4 transfer*"


def tabulate(row: str, scores, labels=(0, 0, 0, 0, 0, 0, 1, 1, 1, 1), patients=None, protocol: str = "paper", seed: int = 0):
    names = [f"c{number}" for number in range(len(labels))]
    cases = pd.DataFrame({"case_id": names, "patient_id": patients or names, "label": labels})
    scores = np.asarray(scores, float)
    return tabulate_scores(cases, np.stack([1 - scores, scores], axis=1), protocol=protocol, row=row, seed=seed, fold=-1)


def test_the_six_metrics():
    """Of six healthy one is called ill, of four ill three are found."""
    predictions = tabulate(VANILLA, [0.1, 0.2, 0.3, 0.3, 0.4, 0.8, 0.45, 0.6, 0.7, 0.9])
    (six,) = measures.measure_six(predictions, evaluate(predictions))
    expected = {"accuracy": 0.8, "recall": 0.75, "precision": 0.75, "specificity": 5 / 6, "F1": 0.75, "F0.5": 0.75, "F2": 0.75}
    assert {name: six.values[name] for name in expected} == pytest.approx(expected)
    assert six.values["AUC"] == pytest.approx(21 / 24)
    assert six.at_specificity == 0.25  # only the highest score passes with no healthy one called ill
    assert six.at_sensitivity == pytest.approx(5 / 6)
    table = measures.tabulate_six([six])
    assert table.rows[0][:3] == [VANILLA, "paper", "80.0"]
    assert len(table.rows[0]) == len(table.columns)


def test_nothing_called_a_lesion():
    predictions = tabulate(VANILLA, [0.1] * 10)
    (six,) = measures.measure_six(predictions, evaluate(predictions))
    assert (six.values["precision"], six.values["recall"], six.values["F1"]) == (0, 0, 0)


def test_breasts_and_patients():
    """Two women of four films: the mean over the views of a breast, the higher of both breasts."""
    names = [f"{woman}.{side}.{view}" for woman in "ab" for side in ("left", "right") for view in ("CC", "MLO")]
    labels = [1, 1, 0, 0, 0, 0, 0, 0]
    cases = pd.DataFrame({"case_id": names, "patient_id": list("aaaabbbb"), "label": labels})
    scores = np.array([0.9, 0.4, 0.1, 0.2, 0.3, 0.1, 0.6, 0.2])
    table = tabulate_scores(cases, np.stack([1 - scores, scores], axis=1), protocol="leakfree", row=VANILLA, seed=0, fold=-1)
    breasts = {name: name.split(".")[1] for name in names}
    found = experiments.average_views(table, DEMO, breasts)
    per_breast = found[found["row"] == f"{VANILLA} / per breast"].sort_values("case_id")
    assert per_breast["y_score_1"].tolist() == pytest.approx([0.65, 0.15, 0.2, 0.4])
    assert per_breast["y_true"].tolist() == [1, 0, 0, 0]
    per_patient = found[found["row"] == f"{VANILLA} / per patient"].sort_values("case_id")
    assert per_patient["y_score_1"].tolist() == pytest.approx([0.65, 0.4])
    assert per_patient["y_true"].tolist() == [1, 0]
    assert per_patient["y_score_0"].tolist() == pytest.approx([0.35, 0.6])


def test_the_gap_knows_trainings_and_pictures():
    one = gaps.measure_gap([0.95], [0.70], [100], [400])
    assert (one.low, one.high) == pytest.approx((0.1577, 0.3423), abs=1e-3)
    several = gaps.measure_gap([0.95, 0.95, 0.95], [0.60, 0.70, 0.80], [100] * 3, [400] * 3)
    assert several.low < one.low
    assert several.high > one.high
    assert (several.train, several.validation, several.trainings) == pytest.approx((0.95, 0.70, 3))


def check(statement: str, accuracy: dict[str, float], *, found=None, gap=None, times=None) -> tuple[str, str]:
    predictions = pd.concat([tabulate(row, [0.1] * 6 + [0.9 if share > 0.8 else 0.4] * 4) for row, share in accuracy.items()])
    rows = evaluate(predictions) if found is None else found
    known = {(row, "paper"): of for row, of in (gap or {}).items()}
    return experiments.build_checks(PAPER, predictions, rows, known, times or {})[statement]("paper", accuracy)


def test_overfitting_needs_both_gaps_above_zero():
    wide, none = gaps.Gap(0.99, 0.6, 0.3, 0.5, 5), gaps.Gap(0.7, 0.7, -0.1, 0.1, 5)
    both = {VANILLA: 0.7, TRANSFER: 0.7}
    assert check("overfitting", both, gap={VANILLA: wide, TRANSFER: wide})[0] == "holds"
    assert check("overfitting", both, gap={VANILLA: wide, TRANSFER: none})[0] == "does not hold"
    assert check("overfitting", {VANILLA: 0.7}, gap={VANILLA: wide})[0] == "partly run"
    assert check("overfitting", both)[0] == "not run"


def test_transfer_must_be_higher_in_accuracy_and_sensitivity():
    assert check("transfer_higher", {VANILLA: 0.7, TRANSFER: 0.9, LAST: 0.9})[0] == "holds"
    word, text = check("transfer_higher", {VANILLA: 0.85, TRANSFER: 0.9, LAST: 0.9})  # the same cases right: no more sensitive
    assert word == "does not hold"
    assert "sensitivity" in text
    assert check("transfer_higher", {VANILLA: 0.9, TRANSFER: 0.7, LAST: 0.95})[0] == "does not hold"


def test_two_to_three_times_faster():
    rows = {VANILLA: 0.7, TRANSFER: 0.7, LAST: 0.7}
    assert check("transfer_faster", rows, times={TRANSFER: 2.9, LAST: 2.1})[0] == "holds"
    assert check("transfer_faster", rows, times={TRANSFER: 3.4, LAST: 2.1})[0] == "does not hold"
    assert check("transfer_faster", rows)[0] == "not run"


def test_below_image_recognition():
    rows = {VANILLA: 0.7, TRANSFER: 0.7, LAST: 0.7}
    assert check("below_image_recognition", rows)[0] == "holds"  # 60 % of ten: at most 83 %
    assert check("below_image_recognition", {VANILLA: 0.9, TRANSFER: 0.9, LAST: 0.9})[0] == "does not hold"


def test_the_judge_tells_what_differs_and_nothing_else():
    random = np.random.default_rng(0)
    real = random.normal(size=(120, 6))
    assert 0.35 < judging.measure_judge(real, random.normal(size=(120, 6)), 0)[0] < 0.65
    auc, accuracy = judging.measure_judge(real, random.normal(2, 1, size=(120, 6)), 0)
    assert auc > 0.95
    assert accuracy > 0.9


def make_task(labels: np.ndarray, train: int) -> Task:
    cases = pd.DataFrame({"case_id": np.arange(len(labels)).astype(str), "label": labels})
    order = np.arange(len(labels))
    fold = Fold(-1, order[:train], order[:0], order[train:])
    config = replace(DEMO, labelled_share=0.1)
    return Task(config, {"seed": 0}, Dataset(np.empty(0), cases, {}), fold, None, None)


def test_few_labels_use_few_labels():
    """Added pictures without labels may help; those of noise may not change the labelled cases' share of the weight."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    features = random.normal(size=(300, 4)) + 1.5 * labels[:, None]
    task = make_task(labels, 200)
    labelled = judging.choose_labelled(task)
    assert len(labelled) == pytest.approx(20, abs=2)
    assert set(labels[labelled]) == {0, 1}
    assert set(labelled) <= set(task.fold.train)
    found = judging.learn_few(task, features, {VAE: features[:50] + 0.1})
    assert set(found) == {"", VAE, UNLABELLED}
    for scores in found.values():
        assert np.isfinite(scores[200:]).all()
        assert np.isnan(scores[:200]).all()
    assert judging.measure_error(np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)) == 0


def test_departures_are_those_of_the_row():
    rows = {row.name: row for row in experiments.list_rows(PAPER)}
    changed = replace(PAPER, epochs=9, small_size=100, phantom_signal=3.0, sample_epochs=2)
    small = experiments.list_departures(rows["InceptionV4 (1, 2, 1) vanilla"], changed, PAPER, "imagenet")
    assert small == ["small_size = 100 instead of 149", "epochs = 9 instead of 100"] or set(small) == {
        "small_size = 100 instead of 149", "epochs = 9 instead of 100",
    }  # fmt: skip
    assert experiments.list_departures(rows[TRANSFER], changed, PAPER, "random") == [
        "epochs = 9 instead of 100", "random initial weights instead of ImageNet's",
    ]  # fmt: skip
    assert experiments.list_departures(rows[VANILLA], changed, PAPER, "random") == ["epochs = 9 instead of 100"]


def test_every_setting_has_its_place_among_the_departures():
    """A setting is of pictures, of training, of a network, or free: none is forgotten."""
    from dataclasses import fields

    known = (*experiments.OF_PICTURES, *experiments.OF_TRAINING, *experiments.FREE_SETTINGS)
    known += tuple(name for of in experiments.OF_NETWORK.values() for name in of)
    assert [field.name for field in fields(PAPER) if not field.name.startswith(known)] == []
