"""Rows, trainings behind them, departures, checks of the findings, and what the tables of ours count."""

from dataclasses import asdict, fields, replace

import numpy as np
import pandas as pd
import pytest
from glioma_bottlenecks import make_dataset

from common.cases.prepared import Dataset
from common.cli import parse_options
from common.errors import UsageError
from common.records.paper import load_paper
from common.records.rows import select_rows
from common.runs.products import keep_complete
from common.training.weights import WeightFile
from replications.glioma_inceptionv3 import experiments, plans, rows, subjects, weights
from replications.glioma_inceptionv3.config import DEMO, PAPER, PRESETS, SMOKE, Config

FEATURES = {
    (backbone, view): WeightFile("cells/x/bottlenecks.npy", "0" * 64) for backbone in PAPER.backbones for view in PAPER.views
}


def add_checksums(dataset: Dataset) -> Dataset:
    return Dataset(dataset.images, dataset.cases, dataset.info | {"images_sha256": "0" * 64, "cases_sha256": "1" * 64})


@pytest.fixture(scope="module")
def datasets():
    return dict.fromkeys(PAPER.views, add_checksums(make_dataset()))


@pytest.fixture(scope="module")
def paper(root):
    return load_paper(root / "replications" / "glioma_inceptionv3" / "paper.toml")


@pytest.mark.parametrize("config", PRESETS.values(), ids=list(PRESETS))
@pytest.mark.parametrize("alike", [(), ("crop",)])
def test_every_printed_row_has_its_training(config, alike, paper):
    found = {row.name: row for row in experiments.list_rows(config, alike)}
    printed = {claim.row for claim in paper.claims if claim.unit != "count"}
    assert printed <= found.keys()
    names = [training.name for training in plans.list_trainings(config, alike)]
    assert len(names) == len(set(names))
    assert all(row.needs <= set(names) and len(row.needs) == 1 for row in found.values())
    assert found["run 1"].needs == {"paper-as-run / InceptionV3 / crop"}
    clean, report = (found[rows.name_row(mode, rows.INCEPTION, rows.CROP)].needs for mode in (rows.CLEAN, rows.REPORT))
    assert (clean == report) is ("crop" in alike)


def test_every_setting_shapes_rows_or_is_free():
    grouped = (*experiments.OF_PICTURES, *experiments.OF_HEADS, *experiments.OF_BASELINES, *experiments.FREE_SETTINGS)
    own = ("crop_margin", "mobilenetv2_side", "inceptionv3_end")
    unknown = [field.name for field in fields(Config) if not field.name.startswith(grouped) and field.name not in own]
    assert not unknown


@pytest.mark.parametrize(
    ("setting", "value", "marked", "unmarked"),
    [
        ("steps", 100, "run 3", "leakfree / radiomics + SVM"),
        ("svm_c", 2.0, "leakfree / radiomics + SVM", "run 3"),
        ("crop_margin", 0.5, "paper-report / MobileNetV2 / crop", "paper-report / MobileNetV2 / whole"),
        ("mobilenetv2_side", 160, "leakfree / MobileNetV2 / whole", "leakfree / InceptionV3 / whole"),
        ("area_share", 0.5, "mean of ten runs", ""),
        ("leakfree_rates", (1.0,), "", "leakfree / InceptionV3 / crop"),
        ("phantom_signal", 0.5, "", "run 1"),
    ],
)
def test_a_departure_marks_the_rows_that_it_shapes(setting, value, marked, unmarked):
    config = replace(PAPER, **{setting: value})
    found = {row.name: experiments.list_departures(row, config, PAPER, "imagenet") for row in experiments.list_rows(PAPER)}
    if marked:
        assert [text.partition(" = ")[0] for text in found[marked]] == [setting]
    if unmarked:
        assert found[unmarked] == []


def test_random_weights_are_a_departure_of_the_rows_that_want_imagenet():
    found = {row.name: experiments.list_departures(row, PAPER, PAPER, "random") for row in experiments.list_rows(PAPER)}
    said = ["random initial weights instead of ImageNet's"]
    assert found["run 1"] == found["leakfree / MobileNetV2 / whole"] == said
    assert found["leakfree / InceptionV3 random / crop"] == found["leakfree / area alone"] == []


def test_a_mean_of_fewer_runs_departs():
    found = {row.name: row for row in experiments.list_rows(PAPER)}
    fewer = ["mean of 2 runs instead of 10"]
    for name, runs, said in ((rows.MEAN, (1, 2), fewer), (rows.MEAN, PAPER.runs, []), ("run 1", (1,), [])):
        assert experiments.list_departures(found[name], PAPER, PAPER, "imagenet", runs) == said


def test_cells_are_the_runs_and_folds_of_a_training(datasets):
    divided = plans.divide(datasets, PAPER, [])
    cells = {
        training.name: plans.plan_cells(training, PAPER, plans.list_seeds(training, PAPER), datasets, divided, FEATURES)
        for training in plans.list_trainings(PAPER)
    }
    assert len(cells["paper-as-run / InceptionV3 / crop"]) == 10
    assert len(cells["leakfree / MobileNetV2 / whole / grades shuffled"]) == 10
    assert len(cells["baselines radiomics leakfree  crop"]) == 5
    everything = [cell for of_training in cells.values() for cell in of_training]
    assert len({cell.key for cell in everything}) == len(everything)
    assert {plans.name_cell(cell) for cell in everything} == cells.keys()
    same = plans.plan_cells(plans.list_trainings(PAPER)[0], replace(PAPER, runs=(1, 2, 3)), [1], datasets, divided, FEATURES)
    assert same[0].digest == cells["paper-as-run / InceptionV3 / crop"][0].digest  # more runs leave the first as it is
    training = plans.list_trainings(PAPER)[0]
    assert plans.plan_cells(training, PAPER, [1], datasets, divided, {}) == []
    repeats = cells["leakfree / MobileNetV2 / whole"]
    whole = keep_complete(repeats, repeats[1:], plans.name_repeat)
    assert {cell.settings["seed"] for cell in whole} == {2}  # of the first repeat a fold is missing


def test_seeds_that_are_asked_for(datasets):
    training = plans.list_trainings(PAPER)[0]
    assert plans.list_seeds(training, PAPER) == list(range(1, 11))
    assert plans.list_seeds(training, PAPER, [12, 3]) == [3, 12]
    divided = plans.divide(datasets, PAPER, [12])
    assert [cell.settings["fold"] for cell in plans.plan_cells(training, PAPER, [12], datasets, divided, FEATURES)] == [12]


def test_the_networks_that_are_kept(datasets):
    divided, config = plans.divide(datasets, DEMO, []), DEMO
    cells = [
        cell
        for training in plans.list_trainings(config)
        for cell in plans.plan_cells(training, config, plans.list_seeds(training, config), datasets, divided, FEATURES)
    ]
    cases = dict.fromkeys(config.views, ([0, 1], [0, 1]))
    crop, whole = plans.plan_networks(cells, {}, config, cases)
    assert (crop.settings["view"], whole.settings["view"]) == config.views
    assert crop.settings["protocol"] == "leakfree"
    assert len(crop.settings["heads"]) == config.leakfree_folds
    report = [cell for cell in cells if cell.settings["mode"] == rows.REPORT and cell.settings["description"] == "head"]
    (one, _) = plans.plan_networks(report, {}, config, cases)
    assert (one.settings["protocol"], len(one.settings["heads"])) == ("paper", 1)


def test_statement_on_all_runs():
    check = experiments.build_checks(PAPER, pd.DataFrame())["all_above_93"]
    assert check("paper", {"run 1": 0.97, "run 2": 0.94}) == ("holds", "lowest of 2: run 2, 94.0 %")
    assert check("paper", {"run 1": 0.97, "run 2": 0.92})[0] == "does not hold"
    assert check("leakfree", {"leakfree / area alone": 0.97})[0] == "not run"


def test_statement_on_the_plateau():
    steps = np.arange(100, 10001, 100)
    for late, verdict in ((0.95, "holds"), (0.99, "does not hold")):
        curve = pd.DataFrame({"epoch": steps, "val_accuracy": np.where(steps > 5750, late, 0.95)})
        assert experiments.judge_plateau(curve, PAPER)[0] == verdict
    assert experiments.judge_plateau(curve[curve["epoch"] <= 1500], SMOKE) == ("not run", "200 steps: none lies after step 1500")


def test_statement_on_radiomics():
    check = experiments.build_checks(PAPER, pd.DataFrame())["better_than_radiomics"]
    of_report = {rows.name_baseline(rows.REPORT, name): 0.85 for name in rows.RADIOMICS}
    assert check("paper", of_report)[0] == "holds"
    assert check("paper", dict.fromkeys(of_report, 0.95))[0] == "does not hold"
    assert check("leakfree", of_report)[0] == "not run"


def test_counts_of_tables_1_to_5(paper):
    steps = {row: {"II": 3, "III": 2} for row in experiments.COUNTED}
    counts = experiments.count_table_1_to_5({"steps": steps}) | experiments.count_text({"steps": steps, "listed": 9})
    assert counts["1-5", "all slices", "total"] == 5
    assert counts["1-5", "all slices", "IV"] == 0
    assert counts["text", "subjects downloaded", "total"] == 9
    assert counts.keys() == {(claim.table, claim.row, claim.metric) for claim in paper.claims if claim.unit == "count"}


def test_leaks_are_tabulated_for_every_mode(datasets):
    table = subjects.tabulate_leaks(plans.divide(datasets, PAPER, []), datasets, PAPER)
    by_mode = {line[1]: line for line in table.rows if line[0] == "crop"}
    assert list(by_mode) == list(rows.list_modes())
    assert 70 < float(by_mode[rows.AS_RUN][4]) < 90
    assert [float(value) for value in by_mode[rows.LEAKFREE][4:]] == [0, 0, 0]
    assert float(by_mode[rows.AS_RUN][3]) > 1.6 * float(by_mode[rows.REPORT][3])
    assert all(len(line) == len(table.columns) for line in table.rows)


def test_weights_that_are_missing_are_said(tmp_path):
    (tmp_path / "run").mkdir()
    found, missing = weights.provide_weights(str(tmp_path), [rows.INCEPTION], tmp_path / "run")
    assert (found, list(missing)) == ({}, [rows.INCEPTION])
    assert "inception_v3_weights" in missing[rows.INCEPTION]
    with pytest.raises(UsageError, match="no such folder"):
        weights.provide_weights(str(tmp_path / "elsewhere"), [rows.INCEPTION], tmp_path / "run")
    name = weights.ADDRESSES[rows.MOBILENET][0].rpartition("/")[2]
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    found, missing = weights.provide_weights(str(tmp_path), list(PAPER.backbones), tmp_path / "run")
    assert list(found) == [rows.MOBILENET]
    assert list(missing) == [rows.INCEPTION]
    assert weights.provide_weights("random", list(PAPER.backbones), tmp_path / "run") == ({}, {})
    assert (weights.choose_weights(None, "paper"), weights.choose_weights(None, "demo")) == ("imagenet", "random")
    assert weights.describe_weights(str(tmp_path)) == "imagenet, files of the user"
    options = parse_options([], "run", "", ["demo"])
    wanted, _ = select_rows(experiments.list_rows(PAPER), options, {})
    needed = plans.list_trainings(PAPER)
    reasons = plans.explain_failures(wanted, needed, missing, {}, [])
    assert not [row for row in reasons if "MobileNet" in row or "InceptionV3 random" in row]
    assert "inception_v3_weights" in reasons["run 1"]


def test_settings_of_a_training_are_those_that_it_depends_on():
    one, other = (
        plans.reduce_config(config) for config in (PAPER, replace(PAPER, runs=(1,), leakfree_repeats=5, views=("crop",)))
    )
    assert one == other
    assert one != plans.reduce_config(replace(PAPER, steps=5))
    assert one.keys() == asdict(PAPER).keys()
