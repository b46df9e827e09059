"""Fixtures that several tests share. Each test process computes with one thread: two of them fill two cores."""

import fcntl
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """$REPLICATIONS_DATA/lung_hip_compare, or skip."""
    folder = os.environ.get("REPLICATIONS_DATA")
    if not folder or not (Path(folder) / "lung_hip_compare").is_dir():
        pytest.skip("needs the real images: set REPLICATIONS_DATA to the folder that holds lung_hip_compare/")
    return Path(folder) / "lung_hip_compare"


@pytest.fixture(scope="session")
def backend() -> dict:
    """TensorFlow, started once a process with one thread and deterministic operations."""
    from common.training import fit

    return fit.start_backend(1)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory) -> Path:
    """Folder of a finished smoke run of lung_hip_compare, through its own command line; one for all test processes."""
    from replications.lung_hip_compare import run

    return run_smoke(run, tmp_path_factory)


@pytest.fixture(scope="session")
def thyroid_smoke_run(tmp_path_factory) -> Path:
    """The same of thyroid_ensemble."""
    from replications.thyroid_ensemble import run

    return run_smoke(run, tmp_path_factory)


def run_smoke(run, tmp_path_factory) -> Path:
    """The finished run's folder; the first test process that asks for it runs it."""
    parallel = os.environ.get("PYTEST_XDIST_WORKER")
    base = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.getbasetemp()
    out = base / "smoke"
    with open(base / f"smoke-{run.PACKAGE.name}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(out.glob(f"{run.PACKAGE.name}/smoke-both-*/report.html")):
            assert run.main(["--preset", "smoke", "--out", str(out), "--workers", "1", "--threads", "1"]) == 0
    (folder,) = (out / run.PACKAGE.name).glob("smoke-both-*")
    return folder
