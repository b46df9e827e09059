"""What a run collects of its trainings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cases.folds import Fold
from common.errors import UsageError
from common.records.predictions import tabulate_scores, write_predictions
from common.runs.cells import Cell, write_record
from common.runs.products import VALIDATION, collect_predictions, describe_trainings, keep_complete

CASES = pd.DataFrame({"case_id": list("abcde"), "patient_id": list("ppqqr"), "label": [0, 1, 1, 0, 1]})
FOLD = Fold(1, train=np.array([0, 1]), validation=np.array([4]), test=np.array([2, 3]))


def make_cell(row: str, seed: int, fold: int) -> Cell:
    settings = {"row": row, "protocol": "leakfree", "seed": seed, "fold": fold}
    return Cell(f"{row}-{seed}-{fold}", "module:function", settings)


def test_a_seed_that_lacks_a_fold_is_no_result():
    planned = [make_cell(row, seed, fold) for row in "ab" for seed in (0, 1) for fold in (0, 1)]
    finished = [cell for cell in planned if cell.key not in ("a-0-1", "b-1-0", "b-1-1")]
    assert [cell.key for cell in keep_complete(planned, finished)] == ["a-1-0", "a-1-1", "b-0-0", "b-0-1"]


def leave_predictions(folder: Path, index: np.ndarray, name: str = "predictions.csv.gz", cases=CASES, **identity) -> Cell:
    """A finished training that scored some cases, as they were when it began."""
    cell = make_cell("CNN", 0, 1)
    scores = np.tile([0.4, 0.6], (len(index), 1))
    table = tabulate_scores(cases.iloc[index], scores, **{"row": "CNN", "protocol": "leakfree", "seed": 0, "fold": 1, **identity})
    (folder / "cells" / cell.key).mkdir(parents=True)
    write_predictions(table, folder / "cells" / cell.key / name)
    return cell


def test_predictions_of_todays_data_are_collected(tmp_path):
    cell = leave_predictions(tmp_path / "test", FOLD.test)
    assert collect_predictions([cell], tmp_path / "test", lambda _: (CASES, [FOLD]))["case_id"].to_list() == ["c", "d"]
    cell = leave_predictions(tmp_path / "validation", FOLD.validation, VALIDATION)
    found = collect_predictions([cell], tmp_path / "validation", lambda _: (CASES, [FOLD]), VALIDATION)
    assert found["case_id"].to_list() == ["e"]


@pytest.mark.parametrize(
    "change",
    [
        {"cases": CASES.assign(label=[0, 1, 0, 0, 1])},
        {"cases": CASES.assign(patient_id=list("ppqrr"))},
        {"cases": CASES.assign(case_id=list("abxde"))},
        {"index": np.array([2])},
        {"index": np.array([1, 2, 3])},
        {"fold": 0},
        {"seed": 3},
        {"protocol": "paper"},
    ],
)
def test_predictions_of_other_data_stop_the_run(tmp_path, change):
    """One label, patient, case, fold or seed that is not today's."""
    cell = leave_predictions(tmp_path, **{"index": FOLD.test, **change})
    with pytest.raises(UsageError, match=r"cells/CNN-0-1/predictions.csv.gz: cases, labels, patients or fold are not those"):
        collect_predictions([cell], tmp_path, lambda _: (CASES, [FOLD]))


def test_a_training_that_says_not_where_it_computed_is_named(tmp_path):
    cell = make_cell("CNN", 0, 1)
    (tmp_path / "cells" / cell.key).mkdir(parents=True)
    record = {"digest": cell.digest, "files": {}, "outcome": {}, "seconds": 1.0, "settings": cell.settings, "threads": [1]}
    write_record(tmp_path / "cells" / cell.key, record)
    with pytest.raises(UsageError, match="cells/CNN-0-1: says not where it was trained; delete it and run the command again"):
        describe_trainings([cell], tmp_path)


def test_a_fold_that_is_no_longer_there_stops_the_run(tmp_path):
    cell = leave_predictions(tmp_path, FOLD.test)
    with pytest.raises(UsageError, match="are not those of today's data"):
        collect_predictions([cell], tmp_path, lambda _: (CASES, []))
