"""A Dask cluster that cannot train gets a true message: no workers, too many threads, another folder, other code."""

import builtins
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_cells import make_cells

from common.errors import UsageError
from common.runs.workers import hash_code, run_cells

ROOT = Path(__file__).parents[3]


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
        environment = os.environ | {"PYTHONPATH": str(code)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen([*command, "--no-dashboard"], cwd=tmp_path, env=environment, **quiet))
        with distributed.Client(scheduler) as client:
            client.wait_for_workers(1, timeout=60)

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=30)
    with distributed.Client(scheduler) as client:
        deadline = time.monotonic() + 30
        while client.scheduler_info(n_workers=-1)["workers"] and time.monotonic() < deadline:
            time.sleep(0.1)


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
