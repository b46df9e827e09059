"""Damage of what a run keeps: a training is redone, or the file is named in one line; never a wrong result, never a traceback."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mutator import mutate
from toy_cells import make_cells

from common.cases.prepared import is_prepared, link_dataset, load_dataset, write_prepared
from common.errors import UsageError
from common.files import hold_lock
from common.records.predictions import read_predictions, tabulate_scores, write_predictions
from common.records.provenance import read_commands, write_commands
from common.records.results import Command
from common.runs.cells import RECORD, find_record, is_done, read_record, run_cell
from common.runs.products import list_finished
from common.runs.workers import run_cells

MUTATIONS = 300


def damage(path: Path, look: Callable[[], object]) -> list[object]:
    """What `look` gives for mutated contents of a file, an error's line where it raises UsageError; other errors are not caught.
    The file is whole again afterwards."""
    content = path.read_bytes()
    found: list[object] = []
    for number in range(MUTATIONS):
        path.write_bytes(mutate(content, number))
        try:
            found.append(look())
        except UsageError as error:
            found.append(str(error))
    path.write_bytes(content)
    assert not any("\n" in one for one in found if isinstance(one, str))
    return found


@pytest.fixture
def finished(tmp_path):
    todo = make_cells(2)
    assert run_cells(todo, tmp_path, workers=1, threads=1) == {}
    return tmp_path, todo


@pytest.fixture
def hurry():
    """Waiting for a pipe ends the test."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waited for a pipe"))
    signal.alarm(20)
    yield
    signal.alarm(0)


def test_a_record_is_whole_or_none(finished):
    """All fields, not only the list of files: also seconds, threads and outcome, which the results take over."""
    folder, (cell, _) = finished
    home = folder / "cells" / cell.key
    record = read_record(cell, folder / "cells")
    found = damage(home / RECORD, lambda: find_record(home))
    assert all(one is None or one == record for one in found)
    assert sum(one is None for one in found) > 0.9 * MUTATIONS


@pytest.mark.parametrize("field", ["digest", "dirty", "files", "outcome", "seconds", "settings", "threads"])
def test_a_changed_field_is_damage(finished, field):
    folder, (cell, _) = finished
    path = folder / "cells" / cell.key / RECORD
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {field: [record[field]] if field != "files" else {}}))
    assert not is_done(cell, folder / "cells")
    assert run_cells([cell], folder, workers=1, threads=1) == {}
    assert is_done(cell, folder / "cells")


def test_a_record_of_an_earlier_version_is_taken_if_its_fields_are_of_their_kinds(finished):
    folder, (cell, _) = finished
    path = folder / "cells" / cell.key / RECORD
    record = json.loads(path.read_text())
    del record["record_sha256"]
    path.write_text(json.dumps(record))
    assert is_done(cell, folder / "cells")
    wrong = [("seconds", "1"), ("threads", ["1"]), ("files", {"sum.txt": 1}), ("settings", []), ("more", 1), ("outcome", None)]
    where = {"backend": None, "device": None, "deterministic": True}
    outcomes = [
        {"environment": {}},
        {"environment": None},
        {"environment": where | {"device": 1}},
        {"versions": []},
        {"commit": 3},
    ]
    for field, value in [*wrong, *(("outcome", record["outcome"] | outcome) for outcome in outcomes)]:
        path.write_text(json.dumps(record | {field: value}))
        assert not is_done(cell, folder / "cells"), field
    path.write_text(json.dumps(record | {"outcome": {"commit": None, "environment": where, "versions": {"numpy": "2"}}}))
    assert is_done(cell, folder / "cells")


def put_pipe(path: Path) -> None:
    _clear(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def put_folder(path: Path) -> None:
    _clear(path)
    (path / "inner").mkdir(parents=True)


def _clear(path: Path) -> None:
    if path.is_file():
        path.unlink()


@pytest.mark.parametrize("put", [put_pipe, put_folder])
@pytest.mark.parametrize("name", ["cell-0/cell.json", "cell-0/sum.txt", "cell-0.partial/.digest", "cell-0.partial/cell.json"])
def test_what_is_no_file_is_redone_and_never_opened(finished, hurry, put, name):
    folder, (cell, other) = finished
    shutil.rmtree(folder / "cells" / (cell if "partial" in name else other).key)
    put(folder / "cells" / name)
    assert find_record(folder / "cells" / cell.key) is None or name.endswith("sum.txt")
    run_cell(cell, folder / "cells", 1, lambda *_: None)
    assert (folder / "cells" / cell.key / "sum.txt").read_text() == "5"
    assert is_done(cell, folder / "cells")
    assert not (folder / "cells" / f"{cell.key}.partial").exists()


@pytest.mark.parametrize("wait", [True, False])
def test_a_pipe_where_a_lock_belongs_is_one_line(tmp_path, hurry, wait):
    put_pipe(path := tmp_path / ".run.lock")
    with pytest.raises(UsageError, match=f"^{path}: a pipe, not a file; remove it$"), hold_lock(path, wait=wait):
        pass


def test_prepared_data_that_are_no_files_are_prepared_anew(tmp_path, hurry):
    cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "label": [0, 1]})
    write_prepared(tmp_path / "whole", np.zeros((2, 4, 4), np.uint8), cases, {"origin": {"side": 4}, "unreadable": []})
    whole = load_dataset(tmp_path / "whole")
    for name in ("data.json", "cases.csv", "images.npy"):
        link_dataset(tmp_path / "whole", whole, tmp_path / "run")
        put_pipe(tmp_path / "run" / name)
        assert not is_prepared(tmp_path / "run", {"side": 4}, skip_unreadable=False)
        link_dataset(tmp_path / "whole", whole, tmp_path / "run")
        assert load_dataset(tmp_path / "run").sha256 == whole.sha256


def test_damaged_products_and_folders_are_redone(finished):
    folder, todo = finished
    (folder / "cells" / "cell-0" / "sum.txt").unlink()
    (folder / "cells" / "cell-0" / "sum.txt").mkdir()
    shutil.rmtree(folder / "cells" / "cell-1")
    (folder / "cells" / "cell-1").write_text("a file where the folder was")
    assert run_cells(todo, folder, workers=1, threads=1) == {}
    assert len(list_finished(todo, folder)) == 2


@pytest.mark.parametrize("claim", ["\xff\xfe", "{digest} many", "{digest} 1 -2", "{digest}" + " 9" * 9 + "9" * 9, ""])
def test_a_damaged_claim_of_a_begun_cell_begins_it_anew(tmp_path, claim):
    (cell,) = make_cells(1)
    partial = tmp_path / "cells" / f"{cell.key}.partial"
    partial.mkdir(parents=True)
    (partial / ".digest").write_text(claim.format(digest=cell.digest), encoding="latin-1")
    (partial / "checkpoint-sum.json").write_text("[2, 1000]")
    assert run_cells([cell], tmp_path, workers=1, threads=1) == {}
    assert (tmp_path / "cells" / cell.key / "sum.txt").read_text() == "5"
    assert read_record(cell, tmp_path / "cells")["threads"] == [1]


def test_commands_are_those_that_were_written_or_named(tmp_path):
    path = tmp_path / "commands.json"
    commands = [Command(command=f"python -m run --seeds {n}", started="2026-01-01", commit="a" * 40, dirty=False) for n in (1, 2)]
    write_commands(path, commands)
    assert read_commands(path) == commands
    found = damage(path, lambda: read_commands(path))
    assert all(one == commands or str(one).startswith(f"{path}: damaged") for one in found)
    assert sum(isinstance(one, str) for one in found) > 0.8 * MUTATIONS
    path.write_text(json.dumps([command.model_dump() for command in commands]))  # as earlier versions wrote them
    assert read_commands(path) == commands


@pytest.mark.parametrize("name", ["data.json", "cases.csv", "images.npy"])
def test_prepared_data_are_those_that_were_written_or_refused(tmp_path, name):
    cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "label": [0, 1]})
    write_prepared(tmp_path / "whole", np.zeros((2, 4, 4), np.uint8), cases, {"origin": {"side": 4}, "unreadable": []})
    whole = load_dataset(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    found = damage(tmp_path / "run" / name, lambda: load_dataset(tmp_path / "run").sha256)
    assert all(one == whole.sha256 or str(one).startswith(str(tmp_path / "run")) for one in found)
    assert sum(one != whole.sha256 for one in found) > 0.8 * MUTATIONS
    (tmp_path / "run" / name).write_bytes(b"damaged")
    link_dataset(tmp_path / "whole", whole, tmp_path / "run")  # the next command puts it right
    assert load_dataset(tmp_path / "run").sha256 == whole.sha256


def test_predictions_of_a_training_are_read_or_named(tmp_path):
    cases = pd.DataFrame({"case_id": list("abcd"), "patient_id": list("pqrs"), "label": [0, 1, 0, 1]})
    scores = np.array([[0.25, 0.75]] * 4)
    path = tmp_path / "predictions.csv.gz"
    write_predictions(tabulate_scores(cases, scores, protocol="paper", row="a row", seed=0, fold=-1), path)
    found = damage(path, lambda: len(read_predictions(path)))
    assert all(one == 4 or str(one).startswith(str(path)) for one in found)
    assert sum(isinstance(one, str) for one in found) > 0.8 * MUTATIONS


def test_history_and_predictions_of_a_training_stand_in_its_record(finished):
    """So a changed one is no finished training, and nothing is collected from it."""
    folder, todo = finished
    home = folder / "cells" / "cell-0"
    (home / "history.csv").write_text("not listed")
    assert [cell.key for cell in list_finished(todo, folder)] == ["cell-0", "cell-1"]
    found = damage(home / "sum.txt", lambda: [cell.key for cell in list_finished(todo, folder)])
    assert all(one in (["cell-1"], ["cell-0", "cell-1"]) for one in found)
    assert found.count(["cell-1"]) > 0.9 * MUTATIONS
