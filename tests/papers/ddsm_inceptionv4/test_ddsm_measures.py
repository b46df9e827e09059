"""Tables of ours and statements against numbers worked out by hand; the judge of samples on sets whose answer is known."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sample_results import make_content, make_extra

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.evaluation.metrics import evaluate
from common.records.predictions import tabulate_scores
from common.records.results import parse_results
from replications.ddsm_inceptionv4 import claims, experiments, figures, gaps, judging, measures
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


def test_the_leak_in_a_sentence():
    good, poor = [0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6, 0.6, 0.7, 0.9], [0.1, 0.2, 0.3, 0.3, 0.4, 0.8, 0.45, 0.6, 0.7, 0.9]
    known = {"": (good, poor), " / case labels": (poor, good), " / per breast": (good, good)}
    tables = [
        tabulate(VANILLA + level, scores, protocol=protocol)
        for level, pair in known.items()
        for protocol, scores in zip(("paper", "leakfree"), pair, strict=True)
    ]
    sentence = measures.summarise_leak(evaluate(pd.concat(tables)), ["InceptionV4 transfer", VANILLA], "films")
    assert sentence.startswith(
        f"films, {VANILLA}, AUC with images split at random and with patients kept apart: image labels 1.00 ["
    )
    assert re.findall(r"\d\.\d\d(?= \[)", sentence) == ["1.00", "0.88", "0.88", "1.00"]
    assert "breast" not in sentence
    assert measures.summarise_leak(evaluate(tables[0]), [VANILLA], "films") == ""


def test_breasts_and_patients():
    """Two women of four films: the mean over the views of a breast, the higher of both breasts."""
    names = [f"{woman}.{side}.{view}" for woman in "ab" for side in ("left", "right") for view in ("CC", "MLO")]
    labels = [1, 1, 0, 0, 0, 0, 0, 0]
    cases = pd.DataFrame({"case_id": names, "patient_id": list("aaaabbbb"), "label": labels})
    scores = np.array([0.9, 0.4, 0.1, 0.2, 0.3, 0.1, 0.6, 0.2])
    table = tabulate_scores(cases, np.stack([1 - scores, scores], axis=1), protocol="leakfree", row=VANILLA, seed=0, fold=-1)
    known = cases.assign(breast=[name.split(".")[1] for name in names], listed=cases["patient_id"])
    found = experiments.average_views(table, DEMO, known)
    per_breast = found[found["row"] == f"{VANILLA} / per breast"].sort_values("case_id")
    assert per_breast["y_score_1"].tolist() == pytest.approx([0.65, 0.15, 0.2, 0.4])
    assert per_breast["y_true"].tolist() == [1, 0, 0, 0]
    per_patient = found[found["row"] == f"{VANILLA} / per patient"].sort_values("case_id")
    assert per_patient["y_score_1"].tolist() == pytest.approx([0.65, 0.4])
    assert per_patient["y_true"].tolist() == [1, 0]
    assert per_patient["y_score_0"].tolist() == pytest.approx([0.35, 0.6])


def test_joined_women_keep_their_own_breasts_and_films_of_an_unknown_side_are_left_out():
    """Two women whose pictures are alike count as one patient in the split, and as two in labels and averages."""
    cases = pd.DataFrame({"case_id": list("abcd"), "patient_id": "ann", "label": [1, 0, 0, 0]})
    scores = np.array([0.9, 0.1, 0.2, 0.3])
    table = tabulate_scores(cases, np.stack([1 - scores, scores], axis=1), protocol="leakfree", row=VANILLA, seed=0, fold=-1)
    known = cases.assign(breast=["left", "left", "left", ""], listed=["ann", "ann", "ben", "ben"])
    found = experiments.average_views(table, DEMO, known)
    per_breast = found[found["row"] == f"{VANILLA} / per breast"].sort_values("case_id")
    assert per_breast["case_id"].tolist() == ["ann left", "ben left"]
    assert per_breast["y_score_1"].tolist() == pytest.approx([0.5, 0.2])


def test_the_gap_knows_trainings_and_patients():
    one = gaps.measure_gap([0.95], [0.70], [0.0471])
    assert (one.low, one.high) == pytest.approx((0.1577, 0.3423), abs=1e-3)
    several = gaps.measure_gap([0.95, 0.95, 0.95], [0.60, 0.70, 0.80], [0.0471] * 3)
    assert several.low < one.low
    assert several.high > one.high
    assert (several.train, several.validation, several.trainings) == pytest.approx((0.95, 0.70, 3))
    right = np.repeat(np.arange(20) % 2 == 0, 4)  # four films of each woman, all right or all wrong
    apart, together = gaps.measure_error(right, np.arange(80)), gaps.measure_error(right, np.repeat(np.arange(20), 4))
    assert together / apart == pytest.approx(2, rel=0.03)  # the root of four


def check(statement: str, accuracy: dict[str, float], *, scores=None, gap=None, times=None) -> tuple[str, str]:
    """accuracy: rows that there are; scores: row -> scores of 40 cases, the last 16 ill."""
    labels = [0] * 24 + [1] * 16
    plain = [0.1] * 24 + [0.9] * 8 + [0.2] * 8
    predictions = pd.concat([tabulate(row, (scores or {}).get(row, plain), labels) for row in accuracy])
    known = {(row, "paper"): of for row, of in (gap or {}).items()}
    return claims.build_checks(PAPER, predictions, evaluate(predictions), known, times or {})[statement]("paper", accuracy)


def test_overfitting_needs_both_gaps_above_zero():
    wide, none, less = gaps.Gap(0.99, 0.6, 0.3, 0.5, 5), gaps.Gap(0.7, 0.7, -0.1, 0.1, 5), gaps.Gap(0.6, 0.8, -0.3, -0.1, 5)
    both = {VANILLA: 0.7, TRANSFER: 0.7}
    assert check("overfitting", both, gap={VANILLA: wide, TRANSFER: wide})[0] == "holds"
    assert check("overfitting", both, gap={VANILLA: wide, TRANSFER: none})[0] == "cannot tell"
    assert check("overfitting", both, gap={VANILLA: wide, TRANSFER: less})[0] == "does not hold"
    assert check("overfitting", {VANILLA: 0.7}, gap={VANILLA: wide})[0] == "partly run"
    assert check("overfitting", both)[0] == "not run"


def test_transfer_must_be_higher_in_accuracy_and_sensitivity():
    """Beyond chance: by intervals that take patients together."""
    rows = {VANILLA: 0.7, TRANSFER: 0.9, LAST: 0.9}
    better, worse = [0.1] * 24 + [0.9] * 16, [0.1] * 24 + [0.1] * 16
    assert check("transfer_higher", rows, scores={TRANSFER: better, LAST: better})[0] == "holds"
    word, text = check("transfer_higher", rows, scores={TRANSFER: worse, LAST: better})
    assert word == "does not hold"
    assert "sensitivity: −50.0 points" in text
    assert check("transfer_higher", rows)[0] == "cannot tell"  # the same answers
    assert check("transfer_higher", {VANILLA: 0.7, TRANSFER: 0.9}, scores={TRANSFER: better})[0] == "partly run"
    assert check("transfer_higher", {TRANSFER: 0.9})[0] == "not run"


def test_two_to_three_times_faster():
    rows = {VANILLA: 0.7, TRANSFER: 0.7, LAST: 0.7}
    assert check("transfer_faster", rows, times={TRANSFER: 3.05, LAST: 1.9})[0] == "holds"  # within the leeway
    assert check("transfer_faster", rows, times={TRANSFER: 3.44, LAST: 1.71}) == (
        "holds",
        f"{TRANSFER}: 3.4 times faster a step; {LAST}: 1.7 times faster a step; without an interval, 1.7 to 3.45 times count",
    )
    assert check("transfer_faster", rows, times={TRANSFER: 3.46, LAST: 2.5})[0] == "does not hold"
    assert check("transfer_faster", rows, times={TRANSFER: 4.4, LAST: 2.1})[0] == "does not hold"
    assert check("transfer_faster", rows, times={TRANSFER: 2.5})[0] == "partly run"
    assert check("transfer_faster", rows)[0] == "not run"


def test_below_image_recognition():
    rows = {VANILLA: 0.7, TRANSFER: 0.7, LAST: 0.7}
    assert check("below_image_recognition", rows)[0] == "holds"  # 80 % of forty: at most 90 %
    better = {row: [0.1] * 24 + [0.9] * 15 + [0.2] for row in rows}
    assert check("below_image_recognition", rows, scores=better)[0] == "cannot tell"
    assert check("below_image_recognition", {VANILLA: 0.7})[0] == "partly run"


def test_the_judge_tells_what_differs_and_nothing_else():
    random = np.random.default_rng(0)
    real = random.normal(size=(120, 6))
    patients = np.repeat(np.arange(60), 2)
    assert 0.35 < judging.measure_judge(real, patients, random.normal(size=(120, 6)), None, 0)[0] < 0.65
    auc, accuracy = judging.measure_judge(real, patients, random.normal(2, 1, size=(90, 6)), None, 0)
    assert auc > 0.95
    assert accuracy > 0.9


def test_the_judge_does_not_recognise_women():
    """Women with a look of their own: with their films on both sides of its folds it would tell the sets apart."""
    random = np.random.default_rng(1)
    looks = random.normal(size=(40, 6)) * 3
    women = np.repeat(np.arange(40), 4)
    films = looks[women] + random.normal(size=(160, 6)) * 0.1
    real, other = women < 20, women >= 20
    auc, _ = judging.measure_judge(films[real], women[real], films[other], women[other], 0)
    alone, _ = judging.measure_judge(films[real], np.arange(80), films[other], np.arange(80), 0)
    assert alone > auc + 0.05


def make_task(labels: np.ndarray, train: int) -> Task:
    names = np.arange(len(labels)).astype(str)
    cases = pd.DataFrame({"case_id": names, "patient_id": names, "label": labels})
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


def test_a_network_that_collapsed_bears_the_dagger_of_the_caption():
    about = {"table": "2", "row": "InceptionV4 vanilla", "n": 4, "patients": 2, "positives": 1, "below_majority": True}
    about |= {"metrics": {}, "seeds": [0]}
    collapsed = {"row": "InceptionV4 vanilla", "protocol": "leakfree", "seeds": [0]}
    rows = [about | {"protocol": protocol} for protocol in ("paper", "leakfree")]
    results = parse_results(make_content(rows=rows, extra=make_extra(collapsed=[collapsed])), "results.json")
    values = dict.fromkeys(measures.HEXAGON, 0.5)
    six = [measures.Six("InceptionV4 vanilla", protocol, values, 0.5, 0.5) for protocol in ("paper", "leakfree")]
    (picture,) = figures.draw_figure_3(SimpleNamespace(config=DEMO, six=six), results)
    assert "Dagger: one class for all cases" in picture.caption
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["InceptionV4 vanilla †"]
