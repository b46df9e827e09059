"""What stands beside the predictions: the contact sheet's slices, the report's own curves, the cells of the baselines."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from glioma_shown import make_cases

from common.cases.prepared import load_dataset, write_prepared
from common.cases.sources import Source
from common.errors import UsageError
from common.records.predictions import read_predictions
from common.training.weights import WeightFile
from replications.glioma_inceptionv3 import baselines, plans, rows
from replications.glioma_inceptionv3.config import CLASSES, PAPER, SMOKE
from replications.glioma_inceptionv3.data import find_source, write_phantoms
from replications.glioma_inceptionv3.original import FILE, read_original_curves
from replications.glioma_inceptionv3.sheets import DROPPED, KEPT, read_sheets
from replications.glioma_inceptionv3.texture import FEATURES

CONFIG = replace(PAPER, runs=(1,), leakfree_folds=3, leakfree_repeats=1, forest_trees=20, side=48)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Source:
    folder = tmp_path_factory.mktemp("phantoms") / "made"
    write_phantoms(folder, replace(SMOKE, phantom_subjects=12), seed=0)
    source = find_source(folder, SMOKE)
    assert source is not None
    return source


def test_sheets_have_slices_of_every_grade(phantoms) -> None:
    config = replace(SMOKE, area_share=0.9, area_pixels=1)
    sheets = read_sheets(phantoms, config)
    assert list(sheets) == list(CLASSES)
    for sheet in sheets.values():
        assert 1 <= len(sheet.kept) <= KEPT
        assert len(sheet.dropped) <= DROPPED
        assert all(picture.shape == (config.side, config.side) and picture.dtype == np.uint8 for picture, _ in sheet.kept)
    dropped = [area for sheet in sheets.values() for _, area in sheet.dropped]
    assert dropped
    assert max(dropped) <= max(area for sheet in sheets.values() for _, area in sheet.kept)


def test_slices_of_a_public_collection_are_not_shown(phantoms) -> None:
    assert read_sheets(replace(phantoms, kind="lgg"), SMOKE) == {}


# ------------------------------------------------------------------------------------------------- the report's curves


def write_curves(folder: Path, steps: list[int], value: float = 0.5) -> None:
    table = pd.DataFrame({"index": steps, **{f"run{n}": value for n in range(1, 11)}})
    table.to_csv(folder / FILE, index=False)


def test_curves_are_read_where_they_are(tmp_path) -> None:
    assert read_original_curves(None) is None
    assert read_original_curves(tmp_path) is None
    (tmp_path / "volumes").mkdir()
    write_curves(tmp_path / "volumes", [0, 100, 9999])
    found = read_original_curves(tmp_path)
    assert found.shape == (3, 10)
    assert found.index.tolist() == [0, 100, 9999]


@pytest.mark.parametrize(("steps", "value"), [([0, 100, 100], 0.5), ([-100, 0], 0.5), ([], 0.5), ([0, 100], 1.5), ([0], -0.1)])
def test_other_tables_are_refused(tmp_path, steps, value) -> None:
    write_curves(tmp_path, steps, value)
    with pytest.raises(UsageError, match=FILE):
        read_original_curves(tmp_path)


@pytest.mark.realdata
def test_the_published_curves_end_where_the_report_says() -> None:
    folder = Path(os.environ.get("REPLICATIONS_DATA", "")) / "glioma_inceptionv3"
    if "REPLICATIONS_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs the real images: set REPLICATIONS_DATA to the folder that holds glioma_inceptionv3/")
    found = read_original_curves(folder)
    assert found.shape == (101, 10)
    assert found.index[-1] == 9999
    assert (found.loc[1500:].mean() > 0.9).all()  # "plateau from about step 1500"


# ------------------------------------------------------------------------------------------------ cells of the baselines


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A run folder with a prepared view, whose radiomics say the grade and whose areas do not, and its bottlenecks."""
    folder, random = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    cases = make_cases()
    grade = cases["label"].to_numpy()[:, None]
    described = random.normal(0, 0.5, (len(cases), len(FEATURES))) + 3 * (np.arange(len(FEATURES)) % 3 == grade)
    columns = {f"radiomics_{name}": described[:, n] for n, name in enumerate(FEATURES)}
    areas = {"slice": 0, "area": random.integers(100, 2000, len(cases)), "site": "A"}
    cases = pd.concat([cases, pd.DataFrame(areas | columns)], axis=1)
    info = {"name": "made up", "classes": dict.fromkeys(CLASSES, 96)}
    for view in (rows.CROP, rows.WHOLE):
        write_prepared(folder / view, np.zeros((len(cases), 4, 4), np.uint8), cases, info)
    np.save(folder / "bottlenecks.npy", described[:, :12].astype(np.float32))
    return folder


def run_cells(home: Path, description: str, mode: str, named: dict[str, str]) -> pd.DataFrame:
    """Predictions of all cells of a training of baselines."""
    datasets = {view: load_dataset(home / view) for view in (rows.CROP, rows.WHOLE)}
    divided = plans.divide(datasets, CONFIG, ())
    backbone = rows.MOBILENET if description == "bottlenecks" else ""
    from common.files import hash_file

    features = {(rows.MOBILENET, rows.CROP): WeightFile("bottlenecks.npy", hash_file(home / "bottlenecks.npy"))}
    training = plans.Training(mode, rows.CROP, backbone, description, named)
    tables = []
    for cell in plans.plan_cells(training, CONFIG, [1], datasets, divided, features):
        assert cell.function == "replications.glioma_inceptionv3.baselines:train_cell"
        folder = home / "cells" / f"{cell.key}.partial"
        folder.mkdir(parents=True)
        outcome = baselines.train_cell(json.loads(json.dumps(cell.settings)), folder, 1, lambda *_: None)
        assert outcome["environment"]["backend"] is None
        tables.append(read_predictions(folder / "predictions.csv.gz"))
    return pd.concat(tables)


def measure(table: pd.DataFrame) -> float:
    scores = table[["y_score_0", "y_score_1", "y_score_2"]].to_numpy()
    return float((scores.argmax(axis=1) == table["y_true"]).mean())


@pytest.mark.parametrize("mode", [rows.REPORT, rows.LEAKFREE])
def test_radiomics_are_read_from_the_prepared_table(home, mode) -> None:
    named = {"SVM": f"{mode} / svm", "random forest": f"{mode} / forest"}
    found = run_cells(home, "radiomics", mode, named)
    assert set(found["row"]) == set(named.values())
    assert found["fold"].nunique() == (3 if mode == rows.LEAKFREE else 1)
    assert all(measure(of_row) > 0.95 for _, of_row in found.groupby("row"))


def test_area_alone_says_nothing_here(home) -> None:
    found = run_cells(home, "area", rows.LEAKFREE, {"logistic regression": "area"})
    assert len(found) == 288
    assert measure(found) < 0.5


def test_bottlenecks_are_those_of_the_entries(home) -> None:
    named = {"k-NN": "k", "logistic regression": "l"}
    found = run_cells(home, "bottlenecks", rows.AS_RUN, named)
    assert found["case_id"].str.endswith("#2").any()
    assert measure(found) > 0.95


def test_prepared_data_of_another_version_are_refused(home) -> None:
    from types import SimpleNamespace

    task = SimpleNamespace(pool=SimpleNamespace(cases=make_cases()), settings={"description": "radiomics"})
    with pytest.raises(UsageError, match="lack the column radiomics_"):
        baselines.describe_entries(task)
