"""A run copied without its networks stays finished; what needs a network says that it was left behind."""

import json

import pytest

from common.errors import UsageError
from common.files import hash_file
from common.runs import leave_networks
from common.runs.cells import Cell, find_record, is_done, run_cell
from common.runs.networks import find_sha256, read_network

CELL = Cell("cnn-seed0", "test_leave_networks:leave_products", {"row": "CNN"})


def leave_products(settings, folder, threads, report):
    (folder / "model.keras").write_bytes(b"a network")
    (folder / "predictions.csv.gz").write_bytes(b"predictions")
    return {"commit": None}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    run_cell(CELL, tmp_path / "run" / "cells", 1, lambda *args: None)
    (tmp_path / "run" / "cells" / "begun.partial").mkdir()
    (tmp_path / "run" / "commands.json").write_text("{}")
    return tmp_path / "run"


def test_a_copy_without_networks_stays_finished(run, tmp_path, capsys):
    whole = find_record(run / "cells" / CELL.key)
    assert leave_networks.main([str(run), str(tmp_path / "copy")]) == 0
    assert "copied without their networks: 1 finished" in capsys.readouterr().out
    home = tmp_path / "copy" / "cells" / CELL.key
    assert sorted(path.name for path in home.iterdir()) == ["cell.json", "predictions.csv.gz"]
    assert is_done(CELL, tmp_path / "copy" / "cells")
    assert find_sha256(find_record(home)) == find_sha256(whole) == hash_file(run / "cells" / CELL.key / "model.keras")
    assert {name: value for name, value in find_record(home).items() if name in ("digest", "outcome", "seconds", "threads")} == {
        name: whole[name] for name in ("digest", "outcome", "seconds", "threads")
    }
    assert (tmp_path / "copy" / "commands.json").is_file()
    assert is_done(CELL, run / "cells"), "the run itself is as it was"
    with pytest.raises(UsageError, match="left behind when the run was copied"):
        read_network(home)


def test_a_network_that_was_left_may_be_put_back_and_only_that_one(run, tmp_path):
    leave_networks.copy_without(run, tmp_path / "copy")
    home = tmp_path / "copy" / "cells" / CELL.key
    (home / "model.keras").write_bytes(b"a network")
    assert read_network(home) == (home / "model.keras", {"row": "CNN"})
    (home / "model.keras").write_bytes(b"another")
    with pytest.raises(UsageError, match="missing or damaged"):
        read_network(home)


def test_what_is_damaged_is_not_copied_as_finished(run, tmp_path):
    (run / "cells" / CELL.key / "predictions.csv.gz").write_bytes(b"others")
    with pytest.raises(UsageError, match=r"predictions\.csv\.gz: damaged"):
        leave_networks.copy_without(run, tmp_path / "copy")


def test_folders_that_are_no_run_or_hold_one_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="no finished trainings"):
        leave_networks.copy_without(tmp_path / "cells", tmp_path / "copy")
    with pytest.raises(UsageError, match="holds trainings already"):
        leave_networks.copy_without(run, run)


def test_a_copied_record_that_was_changed_is_no_result(run, tmp_path):
    leave_networks.copy_without(run, tmp_path / "copy")
    record = tmp_path / "copy" / "cells" / CELL.key / "cell.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"left": {}}))
    assert not is_done(CELL, tmp_path / "copy" / "cells")
