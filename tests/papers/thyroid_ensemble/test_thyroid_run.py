"""thyroid_ensemble through its own command line: what is this package's alone. The rest: tests/contract."""

import gzip
import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.cases import prepared
from common.cases.folds import hash_folds
from common.records import paper
from common.records.predictions import extract_scores, read_predictions
from common.records.results import read_results
from common.runs import workers
from replications.thyroid_ensemble import beyond, data, experiments, plans, rows, run
from replications.thyroid_ensemble.config import DEMO, NETWORKS, PAPER, SUBSETS

ROOT = Path(__file__).parents[3]
CLAIMS = paper.load_paper(ROOT / "replications/thyroid_ensemble/paper.toml")
PAPER_ROWS = experiments.list_rows(PAPER)
SMALL = ["--preset", "smoke", "--threads", "1", "--rows", "Scale 1 / AlexNet,ULBP"]


def finished(out: Path) -> Path:
    (folder,) = (out / "thyroid_ensemble").glob("smoke-*")
    return folder


def predictions(folder: Path) -> bytes:
    return (folder / "predictions.csv.gz").read_bytes()


def test_figures_of_the_paper_are_drawn(thyroid_smoke_run):
    drawn = {figure.file for figure in read_results(thyroid_smoke_run / "results.json").extra.figures}
    for number in (3, 4, 8, 9, 10, 11):
        assert any(name.startswith(f"figure{number}-") for name in drawn), number
    of_both = {f"beyond-{name}-{protocol}.png" for name in ("roc", "confusion") for protocol in ("paper", "leakfree")}
    assert {"beyond-scales.png", "beyond-accuracy.png", "beyond-auc.png", *of_both} <= drawn


def test_images_of_a_patient_leak_under_the_paper_s_protocol(thyroid_smoke_run):
    (dataset,) = read_results(thyroid_smoke_run / "results.json").datasets
    leak = dataset.splits["paper"].leak
    assert leak.same_patient > 0.3 * leak.test_cases


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["--weights", "imagenet"], "narrow networks"), (["--set", "source=moon"], "source=moon: must be one of auto, own, ")],
)
def test_usage_errors_of_this_package(tmp_path, capsys, argv, message):
    code = run.main(["--preset", "smoke", "--out", str(tmp_path), "--workers", "1", "--threads", "1", *argv])
    errors = [line for line in capsys.readouterr().err.splitlines() if message in line]
    assert (code, len(errors)) == (2, 1)


def test_both_readings_of_the_positive_class_are_compared(thyroid_smoke_run):
    found = {claim.key: claim for claim in read_results(thyroid_smoke_run / "results.json").claims}
    first, second = found["4", "ensemble", "specificity"], found["4, reading b", "ensemble", "sensitivity"]
    assert first.paper == second.paper == 94.1  # printed as SENS
    assert found["4", "ensemble", "sensitivity"].paper == found["4, reading b", "ensemble", "specificity"].paper == 97.7
    assert found["4", "ensemble", "sensitivity"].ours == second.ours


def test_a_head_that_answers_one_class_is_said(thyroid_smoke_run):
    found, table = read_results(thyroid_smoke_run / "results.json"), read_predictions(thyroid_smoke_run / "predictions.csv.gz")
    constant = {
        (row, protocol)
        for (row, protocol, _), part in table.groupby(["row", "protocol", "seed"])
        if len(set(extract_scores(part).argmax(axis=1))) == 1
    }
    assert {(item.row, item.protocol) for item in found.extra.collapsed} == constant
    if constant:
        assert "one class for all cases" in (thyroid_smoke_run / "table.md").read_text()


def test_choices_and_what_they_gain_are_shown(thyroid_smoke_run):
    tables = {table.title: table for table in read_results(thyroid_smoke_run / "results.json").extra.tables}
    assert len(tables["What was chosen"].rows) == 2  # one seed, two protocols
    assert len(tables["What choosing on the test cases gains"].rows) == 3


@pytest.fixture(scope="module")
def small_run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("small")
    assert run.main([*SMALL, "--out", str(out), "--workers", "1"]) == 0
    return finished(out)


def test_without_a_cache_the_same_numbers(small_run, tmp_path, capfd):
    """Frozen layers computed in every epoch: slower, said on the screen, equal predictions."""
    assert run.main([*SMALL, "--out", str(tmp_path), "--workers", "1", "--set", "cache_gigabytes=0"]) == 0
    assert "no feature cache, frozen layers are computed in every epoch" in capfd.readouterr().out
    slow = finished(tmp_path)
    table, expected = (read_predictions(folder / "predictions.csv.gz") for folder in (slow, small_run))
    assert table.drop(columns=["y_score_0", "y_score_1"]).equals(expected.drop(columns=["y_score_0", "y_score_1"]))
    np.testing.assert_allclose(extract_scores(table), extract_scores(expected), atol=1e-6)
    notes = [json.loads(path.read_text())["outcome"]["frozen"] for path in slow.glob("cells/transfer-*/cell.json")]
    assert all("in every epoch" in note for frozen in notes for note in frozen.values())


def test_fresh_variants_in_every_epoch(small_run, tmp_path):
    """The other reading of the augmentation: nothing can be cached, other numbers come out, and the run says both."""
    argv = ["--preset", "smoke", "--threads", "1", "--workers", "1", "--rows", "Scale 1 / AlexNet", "--protocol", "paper"]
    assert run.main([*argv, "--out", str(tmp_path), "--set", "augmentation=realtime"]) == 0
    folder = finished(tmp_path)
    assert not (folder / "cache").exists()
    (record,) = folder.glob("cells/transfer-*/cell.json")
    assert set(json.loads(record.read_text())["outcome"]["frozen"].values()) == {"computed in every epoch: fresh variants"}
    both = (read_predictions(f / "predictions.csv.gz").query("protocol == 'paper'") for f in (folder, small_run))
    assert not np.array_equal(*(extract_scores(table[table["row"] == "Scale 1 / AlexNet"]) for table in both))


def test_a_damaged_cell_and_a_damaged_cache_are_redone(small_run):
    expected = predictions(small_run)
    for victim in small_run.glob("cells/transfer-*"):
        (victim / "predictions.csv.gz").write_bytes(gzip.compress(b"nonsense"))
    for file in small_run.glob("cache/*/000.npy"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    assert run.main([*SMALL, "--out", str(small_run.parents[1]), "--workers", "1"]) == 0
    assert predictions(small_run) == expected


def test_rows_not_trained_as_published_are_found():
    found = PAPER_ROWS

    def depart(weights: str = "imagenet", **settings) -> dict[str, list[str]]:
        listed = {row.name: experiments.list_departures(row, replace(PAPER, **settings), PAPER, weights) for row in found}
        return {row: departures for row, departures in listed.items() if departures}

    assert depart() == depart("some/folder", seeds=(0,), cache_gigabytes=1.0) == {}
    tuned = depart(tune_epochs=8)
    assert tuned["ensemble"] == tuned[rows.FOREST] == ["tune_epochs = 8 instead of 100"]
    assert not {"ULBP + SVM", rows.FUSED, "VGG16, no transfer", *beyond.ROWS} & tuned.keys()
    untrained = {"ULBP + SVM", "GLCM + SVM", "Gabor + SVM", *(f"{network}, no transfer" for network in NETWORKS)}
    scratches = {*rows.SCRATCHES, "AlexNet, no transfer, three scales fused"}
    untrained |= {*rows.FORESTS, *scratches}
    random = depart("random")
    assert random.keys() == {row.name for row in found} - untrained
    assert {tuple(departures) for departures in random.values()} == {("random initial weights instead of ImageNet's",)}
    assert depart(lbp_points=4).keys() == {"ULBP + SVM", "ULBP + random forest", rows.FUSED}
    assert depart(forest_malignant_cost=1.0).keys() == {rows.FOREST}  # ours weigh both errors alike
    assert depart(forest_trees=10).keys() == {rows.FOREST, *rows.FORESTS}
    assert depart(squeezenet_side=224).keys() == {row for row in beyond.ROWS if "SqueezeNet" in row or row == rows.SMALL_ENSEMBLE}
    assert depart(scratch_epochs=5).keys() == {*scratches, *(f"{network}, no transfer" for network in NETWORKS)}
    # Voting and the mean are over the members that the enumeration of weights chooses; the published weights are not chosen.
    fused = {"ensemble", "class voting", "mean probability", "ensemble, per patient", *map(rows.name_subset, SUBSETS)}
    fused |= {*beyond.FUSED_BEYOND}
    assert depart(weight_step=0.2).keys() == fused
    assert depart(inner_folds=3) == {}  # of the leak-free protocol alone
    one_depth = {rows.BLOCK, *(f"{network}, all layers" for network in NETWORKS)}
    assert not one_depth & depart(depths=(0, 1)).keys()
    assert depart(tirads_malignant=("5",)).keys() == {row.name for row in found}  # other labels


def test_every_setting_shapes_some_row_or_is_free():
    for field in fields(PAPER):
        value = getattr(PAPER, field.name)
        changed = replace(PAPER, **{field.name: (*value, value[0]) if isinstance(value, tuple) else None})
        shapes = any(experiments.list_departures(row, changed, PAPER, "imagenet") for row in PAPER_ROWS)
        assert shapes != (field.name in experiments.FREE_SETTINGS or field.name.startswith("phantom_")), field.name


def test_every_row_has_a_table_and_trainings():
    made = {training.name for training in plans.list_trainings(PAPER)}
    for row in PAPER_ROWS:
        assert row.tables, row
        assert row.needs, row
        assert row.needs <= made, row
    needs = {row.name: row.needs for row in PAPER_ROWS}
    assert needs["{D, B, C}"] >= {"transfer AlexNet 2", "transfer VGG16 1", "transfer ResNet50 1"}
    assert {rows.name_subset(letters) for letters in SUBSETS} == {claim.row for claim in CLAIMS.claims if claim.table == "3"}


def learn_phantoms(folder: Path, shuffled: bool) -> float:
    """Mean AUC on held-out patients of the fine-tuned VGG16, labels as they are or dealt to the patients at random."""
    settings = replace(DEMO, phantom_patients=48, inner_folds=3)
    data.write_phantoms(folder / "raw", settings, seed=0)
    data.prepare_dataset(data.find_source(folder / "raw", settings), settings, folder / "data")
    dataset = prepared.load_dataset(folder / "data")
    if shuffled:
        truth = dataset.cases.groupby("patient_id")["label"].first()
        dealt = dict(zip(truth.index, np.random.default_rng(1).permutation(truth.to_numpy()), strict=True))
        cases = dataset.cases.assign(label=dataset.cases["patient_id"].map(dealt))
        prepared.write_prepared(folder / "data", np.asarray(dataset.images)[..., 0], cases, dict(dataset.info))
        dataset = prepared.load_dataset(folder / "data")
    source = plans.plan_source("VGG16", settings)
    assert not workers.run_cells([source], folder, workers=1, threads=1)
    training = next(t for t in plans.list_trainings(settings) if t.name == "transfer VGG16 1")
    training = replace(training, rows={"0": "k = 0", "2": "k = 2"})
    files = {"VGG16": plans.find_source(source, folder)}
    split = hash_folds(dataset, data.split_dataset(dataset, "leakfree", settings))
    planned = plans.plan_cells(training, settings, "leakfree", (0,), dataset.sha256, split, files)
    assert not workers.run_cells(planned, folder, workers=1, threads=1)
    measured = []
    for cell in planned:  # test patients and those of the inner fold: neither was trained on
        for name in ("predictions", "validation"):
            table = read_predictions(folder / "cells" / cell.key / f"{name}.csv.gz").query("row == 'k = 2'")
            measured.append(roc_auc_score(table["y_true"], table["y_score_1"]))
    return float(np.mean(measured))


@pytest.mark.usefixtures("backend")
def test_shuffled_labels_are_not(tmp_path):
    auc = learn_phantoms(tmp_path, shuffled=True)
    assert 0.25 < auc < 0.75


@pytest.mark.realdata
def test_real_pictures_through_the_same_command(tmp_path):
    """DDTI: real pictures and contours, the classic features and one network, both protocols."""
    folder = os.environ.get("REPLICATIONS_DATA")
    if not folder or not (Path(folder) / "thyroid_ensemble" / "ddti").is_dir():
        pytest.skip("needs the DDTI pictures: set REPLICATIONS_DATA to the folder that holds thyroid_ensemble/")
    argv = ["--preset", "demo", "--data", str(Path(folder) / "thyroid_ensemble"), "--rows", "no transfer,ULBP"]
    small = ["--seeds", "0", "--set", "scratch_epochs=1", "--set", "phantom_patients=2", "--workers", "2", "--threads", "1"]
    assert run.main([*argv, *small, "--out", str(tmp_path)]) == 0
    (home,) = (tmp_path / "thyroid_ensemble").glob("demo-both-*")
    found = read_results(home / "results.json")
    (dataset,) = found.datasets
    assert (dataset.name, dataset.synthetic, dataset.substitute) == ("DDTI", False, True)
    assert dataset.splits["leakfree"].leak.same_patient == 0
    assert "Other data than the paper's: DDTI" in (home / "table.md").read_text()
