"""The same predictions to the last bit: here and on a cluster, with a worker killed in the middle, beside a thread that draws."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from common.files import hash_file
from replications.lung_hip_compare import run

# One training with dropout and noise, one without.
ASKED = ["--preset", "smoke", "--protocol", "leakfree", "--tables", "2", "--rows", "LUNA16 / CNN,LUNA16 / SGAN", "--threads", "1"]


def train(out: Path, *argv: str) -> dict[str, str]:
    """sha256 of the predictions of the run and of every training."""
    assert run.main([*ASKED, "--out", str(out), *argv]) == 0
    (folder,) = (out / "lung_hip_compare").glob("smoke-*")
    found = sorted(folder.rglob("predictions.csv.gz"))
    assert len(found) == 3
    return {str(path.relative_to(folder)): hash_file(path) for path in found}


@pytest.fixture(scope="module")
def beside_draws(tmp_path_factory) -> dict[str, str]:
    """Trained here, beside a thread that draws from the generators of the whole process: what is drawn there is other in every
    run."""
    ended = threading.Event()

    def draw() -> None:
        random.seed()
        while not ended.is_set():
            random.random()
            np.random.random()  # noqa: NPY002
            time.sleep(1e-4)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        return train(tmp_path_factory.mktemp("here"), "--workers", "1")
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("kills", [False, True], ids=["undisturbed", "a worker killed"])
def test_on_a_cluster(beside_draws, tmp_path, kills):
    """Its one worker, killed, comes back and begins the training again."""
    distributed = pytest.importorskip("dask.distributed", reason="needs the extra 'cluster'")
    about = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}
    killed: list[int] = []

    def kill(pid: int) -> None:
        deadline = time.monotonic() + 100
        while not list(tmp_path.glob("**/*sgan*.partial/.digest")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    with distributed.LocalCluster(**about) as cluster:
        if kills:
            threading.Thread(target=kill, args=[cluster.workers[0].pid], daemon=True).start()
        assert train(tmp_path, "--cluster", cluster.scheduler_address) == beside_draws
        assert bool(killed) == kills
        assert not kills or cluster.workers[0].pid not in killed
