"""A Dask cluster: a process for each training; one that cannot train, or that is lost meanwhile, gets a true message."""

import builtins
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_cells import make_cells

from common.errors import UsageError, run_main
from common.runs import cluster
from common.runs.apart import KILLED
from common.runs.cells import Cell, read_record
from common.runs.cluster import hash_code
from common.runs.workers import run_cells

ROOT, TESTS = Path(__file__).parents[3], Path(__file__).parent


@pytest.fixture(scope="module")
def distributed():
    return pytest.importorskip("dask.distributed", reason="needs the extra 'cluster'")


@pytest.fixture(scope="module")
def scheduler(distributed):
    """A scheduler without workers."""
    with distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None, host="127.0.0.1") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def start_worker(distributed, scheduler, tmp_path):
    """Starts a worker of the scheduler as its command line does: threads, and the folder that its code is in."""
    processes = []

    def start(threads: int = 1, code: Path = ROOT) -> None:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--nthreads", str(threads), "--no-nanny"]
        environment = os.environ | {"PYTHONPATH": f"{code}{os.pathsep}{TESTS}"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen([*command, "--no-dashboard"], cwd=tmp_path, env=environment, **quiet))
        with distributed.Client(scheduler) as client:
            client.wait_for_workers(len(processes), timeout=60)
        start.pids.append(processes[-1].pid)

    start.pids = []
    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=30)
    with distributed.Client(scheduler) as client:
        deadline = time.monotonic() + 30
        while client.scheduler_info(n_workers=-1)["workers"] and time.monotonic() < deadline:
            time.sleep(0.1)


def stop(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until(holds: Callable[[], object], seconds: float) -> None:
    """Raises what `holds` raises."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_when(folder: Path, pid: int) -> None:
    """Kill a process as soon as a training has written its first checkpoint."""

    def wait() -> None:
        wait_until(lambda: list((folder / "cells").glob("*.partial/checkpoint-*")), seconds=60)
        stop(pid)

    threading.Thread(target=wait, daemon=True).start()


def refuse(scheduler: str, folder: Path) -> str:
    """The message with which the cluster is refused."""
    with pytest.raises(UsageError, match=f"--cluster {scheduler}: ") as caught:
        run_cells(make_cells(1), folder, workers=1, threads=1, cluster=scheduler)
    assert not list((folder / "cells").glob("cell-*"))
    return str(caught.value).removeprefix(f"--cluster {scheduler}: ")


def test_no_workers(scheduler, tmp_path):
    message = refuse(scheduler, tmp_path)
    assert message.startswith("no worker is connected to it; start some from the folder of the checkout")
    assert f"dask worker {scheduler} --nthreads 1" in message


def test_too_many_threads(scheduler, start_worker, tmp_path):
    start_worker(threads=3)
    message = refuse(scheduler, tmp_path)
    assert "1 of 1 workers have more than one thread, such as tcp://" in message
    assert "with 3; one training takes a process" in message


def test_other_code(scheduler, start_worker, tmp_path):
    """The worker was started in another checkout."""
    other = tmp_path / "other"
    for room in ("common", "replications"):
        shutil.copytree(ROOT / room, other / room, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "common" / "cli.py").write_text((other / "common" / "cli.py").read_text() + "\n# changed\n")
    start_worker(code=other)
    message = refuse(scheduler, tmp_path)
    assert f"has other code ({other}) than {ROOT}; start it there" in message


def test_no_code(scheduler, start_worker, tmp_path):
    """The worker does not find the project: a module of the same name is in its way."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "common.py").write_text("")
    start_worker(code=tmp_path / "empty")
    message = refuse(scheduler, tmp_path)
    assert "does not have this code (" in message
    assert "No module named 'common.runs'" in message
    assert "start it from the folder of the checkout, with its Python" in message


def test_another_folder(scheduler, start_worker, tmp_path, monkeypatch):
    """As if the worker's machine did not have the run's folder: what is asked for is not there."""
    start_worker()
    original = Path.resolve
    monkeypatch.setattr(
        Path,
        "resolve",
        lambda self, *args: original(self, *args).with_name("elsewhere") if self.name == ".probe" else original(self, *args),
    )
    message = refuse(scheduler, tmp_path)
    assert f"does not see {tmp_path / 'cells'}; put --out on a file system" in message
    assert not list((tmp_path / "cells").iterdir())  # nothing of the question stays


def test_without_dask_the_hint_names_the_checkout(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse_dask(name, *args, **named):
        if name.startswith("dask"):
            raise ImportError(name)
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", refuse_dask)
    with pytest.raises(UsageError, match=r"in the folder of the checkout, pip install -e '\.\[cluster\]'"):
        run_cells(make_cells(1), tmp_path, workers=1, threads=1, cluster="tcp://127.0.0.1:1")


def test_the_code_of_a_checkout_is_told_apart_by_its_content(tmp_path):
    assert len(hash_code()) == 64
    assert hash_code() == hash_code()


def test_a_training_has_a_process_of_its_own(scheduler, start_worker, tmp_path):
    """Neither ours nor the worker's; one for several trainings, with the threads that were asked for."""
    start_worker()
    assert run_cells(make_cells(2), tmp_path, workers=1, threads=3, cluster=scheduler) == {}
    records = [read_record(cell, tmp_path / "cells") for cell in make_cells(2)]
    (pid,) = {record["outcome"]["pid"] for record in records}
    assert pid not in (os.getpid(), start_worker.pids[-1])
    assert [record["threads"] for record in records] == [[3], [3]]
    stop(start_worker.pids[-1])
    with pytest.raises(ProcessLookupError):  # it ends with the worker
        wait_until(lambda: os.kill(pid, 0), seconds=10)


def test_a_killed_training_is_said_and_the_others_go_on(scheduler, start_worker, tmp_path, capfd):
    start_worker()
    todo = [Cell("dies", "toy_cells:die", {}), *make_cells(1)]
    failed = run_cells(todo, tmp_path, workers=1, threads=1, cluster=scheduler)
    assert failed == {"dies": KILLED}
    assert "Traceback" not in capfd.readouterr().err


def test_a_killed_worker_costs_nothing_where_another_is_left(scheduler, start_worker, tmp_path):
    start_worker()
    start_worker()
    todo = make_cells(2, steps=20, wait=0.05)
    kill_when(tmp_path, start_worker.pids[0])
    assert run_cells(todo, tmp_path, workers=1, threads=1, cluster=scheduler) == {}
    assert run_cells(make_cells(2, steps=20), tmp_path / "here", workers=1, threads=1) == {}
    for cell in todo:
        sums = {(folder / "cells" / cell.key / "sum.txt").read_text() for folder in (tmp_path, tmp_path / "here")}
        assert len(sums) == 1


def test_all_workers_killed(scheduler, start_worker, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    start_worker()
    kill_when(tmp_path, start_worker.pids[0])
    code = run_main(lambda: len(run_cells(make_cells(1, 100, 0.1), tmp_path, workers=1, threads=1, cluster=scheduler)))
    errors = capfd.readouterr().err
    assert (code, "Traceback" in errors) == (1, False)
    start = f"dask worker {scheduler} --nthreads 1"
    assert f"error: --cluster {scheduler}: all workers cannot be reached any more; start some: {start}" in errors
    assert errors.endswith("the same command goes on where it stopped\n")


def test_the_scheduler_killed(distributed, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask, environment = [sys.executable, "-m"], os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"}
    file = tmp_path / "scheduler.json"
    where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    engine = subprocess.Popen([*dask, "distributed.cli.dask_scheduler", *where], env=environment, **quiet)
    wait_until(file.exists, seconds=60)
    options = ["--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    worker = subprocess.Popen([*dask, "distributed.cli.dask_worker", *options], env=environment, **quiet)
    address = json.loads(file.read_text())["address"]
    try:
        with distributed.Client(address) as client:
            client.wait_for_workers(1, timeout=60)
        kill_when(tmp_path, engine.pid)
        code = run_main(lambda: len(run_cells(make_cells(1, 100, 0.1), tmp_path, workers=1, threads=1, cluster=address)))
    finally:
        for process in (engine, worker):
            process.kill()
            process.wait()
    errors = capfd.readouterr().err
    assert (code, "Traceback" in errors) == (1, False)
    line = f"error: --cluster {address}: the scheduler cannot be reached any more; the same command goes on where it stopped"
    assert errors.splitlines()[-1] == line
