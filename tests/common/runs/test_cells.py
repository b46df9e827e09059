"""Cells: done once, skipped afterwards, redone when damaged or outdated, the same on any number of workers or after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_cells import make_cells

from common.errors import RunError, UsageError
from common.files import hold_lock
from common.runs import cells
from common.runs.cells import Cell, is_done, read_record, run_cell
from common.runs.workers import run_cells, share_threads, stop_workers

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def _no_worker_stays():
    yield
    stop_workers()


def results(folder: Path) -> dict[str, str]:
    return {p.parent.name: p.read_text() for p in sorted((folder / "cells").glob("*/sum.txt"))}


@pytest.fixture
def finished(tmp_path):
    todo = make_cells(3)
    assert run_cells(todo, tmp_path, workers=1, threads=1) == {}
    return tmp_path, todo


def test_result_is_whole_and_listed(finished):
    folder, todo = finished
    assert results(folder) == {"cell-0": "5", "cell-1": "14", "cell-2": "29"}
    record = read_record(todo[0], folder / "cells")
    assert set(record["files"]) == {"sum.txt"}
    assert record["threads"] == [1]
    assert sorted(p.name for p in (folder / "cells" / "cell-0").iterdir()) == ["cell.json", "sum.txt"]


def test_done_cells_are_not_run_again(finished):
    folder, todo = finished
    before = (folder / "cells/cell-1/cell.json").stat().st_mtime_ns
    run_cells(todo, folder, workers=1, threads=2)
    assert (folder / "cells/cell-1/cell.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["byte", "missing", "record", "truncated record"])
def test_damaged_cell_is_redone(finished, damage):
    folder, todo = finished
    home = folder / "cells" / "cell-1"
    if damage == "byte":
        (home / "sum.txt").write_text("15")
    elif damage == "missing":
        (home / "sum.txt").unlink()
    elif damage == "record":
        (home / "cell.json").write_text("[]")
    else:
        (home / "cell.json").write_text((home / "cell.json").read_text()[:-30])
    assert not is_done(todo[1], folder / "cells")
    run_cells(todo, folder, workers=1, threads=1)
    assert results(folder)["cell-1"] == "14"


def test_other_settings_are_another_cell(finished):
    folder, _ = finished
    changed = Cell("cell-1", "toy_cells:count", {"seed": 1, "steps": 4, "wait": 0})
    run_cells([changed], folder, workers=1, threads=1)
    assert results(folder)["cell-1"] == "30"


def test_checkpoint_of_other_settings_is_not_used(tmp_path):
    partial = tmp_path / "cells" / "cell-0.partial"
    partial.mkdir(parents=True)
    (partial / "checkpoint-sum.json").write_text("[2, 1000]")
    (partial / ".digest").write_text("another digest\n1")
    run_cells(make_cells(1), tmp_path, workers=1, threads=1)
    assert results(tmp_path) == {"cell-0": "5"}


def test_checkpoint_of_the_same_settings_is_used(tmp_path):
    (cell,) = make_cells(1)
    partial = tmp_path / "cells" / "cell-0.partial"
    partial.mkdir(parents=True)
    (partial / "checkpoint-sum.json").write_text("[2, 1000]")
    (partial / ".digest").write_text(f"{cell.digest}\n4")
    run_cells([cell], tmp_path, workers=1, threads=1)
    assert results(tmp_path) == {"cell-0": "1004"}
    assert read_record(cell, tmp_path / "cells")["threads"] == [1, 4]


def test_killed_between_the_record_and_the_rename(tmp_path):
    """The record of such a start is no product of the next one, which would count its own as damaged ever after."""
    (cell,) = make_cells(1)
    run_cells([cell], tmp_path, workers=1, threads=1)
    home = tmp_path / "cells"
    (home / cell.key).rename(home / f"{cell.key}.partial")
    (home / f"{cell.key}.partial" / ".digest").write_text(f"{cell.digest}\n1")
    assert run_cells([cell], tmp_path, workers=1, threads=1) == {}
    assert is_done(cell, home)
    assert set(read_record(cell, home)["files"]) == {"sum.txt"}


@pytest.mark.parametrize("seen", [[True], [False, True]], ids=["before", "meanwhile"])
def test_a_cell_that_another_worker_has_done_leaves_nothing(tmp_path, monkeypatch, seen):
    """A worker of a cluster goes on with it when its command is killed; what waited for it finds it done."""
    (cell,) = make_cells(1)
    run_cell(cell, tmp_path, 1, lambda *_: None)
    answers = iter(seen)
    monkeypatch.setattr(cells, "is_done", lambda *_: next(answers))
    run_cell(cell, tmp_path, 1, lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == [cell.key]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cell_whose_files_changed_after_it_ended_is_said_to_have_failed(tmp_path, workers):
    lost = [Cell(f"lost-{n}", "toy_cells:lose", {"n": n}) for n in range(2)]
    failed = run_cells(lost, tmp_path, workers=workers, threads=1)
    assert failed.keys() == {"lost-0", "lost-1"}
    assert all("changed after it had ended" in reason for reason in failed.values())


def test_workers_do_not_change_results(tmp_path):
    run_cells(make_cells(5), tmp_path / "one", workers=1, threads=1)
    run_cells(make_cells(5), tmp_path / "two", workers=2, threads=1)
    assert results(tmp_path / "one") == results(tmp_path / "two")
    pids = {json.loads(p.read_text())["outcome"]["pid"] for p in (tmp_path / "two/cells").glob("*/cell.json")}
    assert os.getpid() not in pids


def read_pid(folder: Path, key: str) -> int:
    return json.loads((folder / "cells" / key / "cell.json").read_text())["outcome"]["pid"]


def test_workers_stay_for_the_next_stage_and_end_with_the_run(tmp_path):
    first, second = make_cells(4)[:2], make_cells(4)[2:]
    run_cells(first, tmp_path, workers=2, threads=1)
    run_cells(second[:1], tmp_path, workers=2, threads=1)  # one cell alone: also by a process that is there
    pids = {read_pid(tmp_path, cell.key) for cell in first}
    assert read_pid(tmp_path, second[0].key) in pids - {os.getpid()}
    stop_workers()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    run_cells(second, tmp_path, workers=2, threads=1)
    assert read_pid(tmp_path, second[1].key) == os.getpid()  # one cell is left: it starts no process


def test_cells_of_one_kin_are_done_by_one_process(tmp_path):
    todo = [Cell(f"{kin}-{n}", "toy_cells:count", {"seed": n, "steps": 2, "wait": 0.1}, kin) for kin in "ab" for n in range(4)]
    run_cells(todo, tmp_path, workers=2, threads=1)
    pids = {kin: {read_pid(tmp_path, cell.key) for cell in todo if cell.kin == kin} for kin in "ab"}
    assert pids["a"] != pids["b"]
    assert max(map(len, pids.values())) <= 2
    assert min(map(len, pids.values())) == 1
    assert todo[0].digest == Cell("other", "toy_cells:count", todo[0].settings).digest


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_cell_does_not_stop_the_others(tmp_path, workers, capfd):
    todo = [
        Cell("usage", "toy_cells:fail", {"how": "usage"}),
        Cell("broken", "toy_cells:fail", {"how": "error"}),
        *make_cells(2),
    ]
    failed = run_cells(todo, tmp_path, workers=workers, threads=1)
    assert failed == {"usage": "weights.h5: missing; put it here", "broken": "ValueError: broken"}
    assert list(results(tmp_path)) == ["cell-0", "cell-1"]
    assert "ValueError: broken" in capfd.readouterr().err  # a fault of ours keeps its traceback


def test_a_killed_worker_is_said(tmp_path):
    with pytest.raises(RunError, match="a worker process was killed"):
        run_cells([Cell("dies", "toy_cells:die", {}), *make_cells(2)], tmp_path, workers=2, threads=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_and_resume_equals_uninterrupted(tmp_path, workers):
    """The parent is killed in the middle; its workers end by themselves; the same command ends in the same results."""
    command = [sys.executable, str(TESTS / "toy_cells.py"), str(tmp_path / "killed"), str(workers)]
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parents[2]}{os.pathsep}{TESTS}"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not list((tmp_path / "killed/cells").glob("cell-*/sum.txt")):  # at least one cell has ended
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(results(tmp_path / "killed")) < 4
    subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=True, timeout=60)
    run_cells(make_cells(4, steps=20), tmp_path / "whole", workers=1, threads=1)
    assert results(tmp_path / "killed") == results(tmp_path / "whole")


def test_ctrl_c_stops_cleanly(tmp_path):
    command = [sys.executable, str(TESTS / "toy_cells.py"), str(tmp_path), "2"]
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parents[2]}{os.pathsep}{TESTS}"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 30
    while not list((tmp_path / "cells").glob("cell-*.partial/checkpoint-*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
    _, errors = process.communicate(timeout=10)
    assert process.returncode != 0
    assert errors.decode().count("KeyboardInterrupt") <= 1  # of the parent alone


def test_two_runs_in_one_folder_are_refused(tmp_path):
    (tmp_path / "cells").mkdir()
    with hold_lock(tmp_path / ".lock", wait=False), pytest.raises(UsageError, match="another run works in this folder"):
        run_cells(make_cells(1), tmp_path, workers=1, threads=1)


def test_threads_are_shared_out():
    assert [share_threads(w, 8) for w in (1, 2, 3, 8, 16)] == [8, 4, 2, 1, 1]


def test_dask_cluster_gives_the_same(tmp_path):
    distributed = pytest.importorskip("dask.distributed", reason="needs the extra 'cluster'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        todo = [*make_cells(3), Cell("usage", "toy_cells:fail", {"how": "usage"})]
        failed = run_cells(todo, tmp_path / "dask", workers=1, threads=1, cluster=cluster.scheduler_address)
    run_cells(make_cells(3), tmp_path / "one", workers=1, threads=1)
    assert failed == {"usage": "weights.h5: missing; put it here"}
    assert results(tmp_path / "dask") == results(tmp_path / "one")


def test_no_cluster_at_the_address(tmp_path):
    pytest.importorskip("dask.distributed", reason="needs the extra 'cluster'")
    with pytest.raises(UsageError, match="address|scheduler"):
        run_cells(make_cells(1), tmp_path, workers=1, threads=1, cluster="not-an-address")


def test_asking_whether_a_cell_is_done_removes_nothing(tmp_path):
    """A command that plans other settings finds nothing done, and costs nothing."""
    (cell, *_) = make_cells(1)
    assert run_cells([cell], tmp_path, workers=1, threads=1) == {}
    other = Cell(cell.key, cell.function, cell.settings | {"other": 1})
    assert not is_done(other, tmp_path / "cells")
    assert is_done(cell, tmp_path / "cells")
