"""Fixtures that several tests share. Each test process computes with one thread: two of them fill two cores."""

import fcntl
import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from common import progress

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_lines_by_the_clock(monkeypatch) -> None:
    """Small work takes more than a second where the machine is busy: what tests read on stderr does not depend on that."""
    monkeypatch.setattr(progress, "FIRST", 3600.0)


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
def real_weights() -> Path:
    """$REPLICATIONS_DATA/weights, or skip."""
    folder = Path(os.environ.get("REPLICATIONS_DATA", "")) / "weights"
    if "REPLICATIONS_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs real weight files: set REPLICATIONS_DATA to the folder that holds weights/")
    return folder


@pytest.fixture(scope="session")
def backend() -> dict:
    """TensorFlow, started once a process with one thread and deterministic operations."""
    from common.training import fit

    return fit.start_backend(1)


@pytest.fixture(scope="session")
def smoke_of(tmp_path_factory) -> Callable[[str], Path]:
    """Package name -> folder of its finished smoke run, through its own command line; one for all test processes."""
    parallel = os.environ.get("PYTEST_XDIST_WORKER")
    base = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.getbasetemp()
    out = base / "smoke"

    def run_smoke(name: str) -> Path:
        run = importlib.import_module(f"replications.{name}.run")
        with open(base / f"smoke-{name}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the first test process that asks for it runs it
            if not list(out.glob(f"{name}/smoke-both-*/report.html")):
                assert run.main(["--preset", "smoke", "--out", str(out), "--workers", "1", "--threads", "1"]) == 0
        (folder,) = (out / name).glob("smoke-both-*")
        return folder

    return run_smoke


@pytest.fixture(scope="session")
def smoke_run(smoke_of) -> Path:
    """Folder of a finished smoke run of lung_hip_compare."""
    return smoke_of("lung_hip_compare")


@pytest.fixture(scope="session")
def thyroid_smoke_run(smoke_of) -> Path:
    """The same of thyroid_ensemble."""
    return smoke_of("thyroid_ensemble")


@pytest.fixture(scope="session")
def glioma_smoke_run(smoke_of) -> Path:
    """The same of glioma_inceptionv3."""
    return smoke_of("glioma_inceptionv3")


@pytest.fixture(scope="session")
def bone_smoke_run(smoke_of) -> Path:
    """The same of bone_acgan."""
    return smoke_of("bone_acgan")


@pytest.fixture(scope="session")
def ddsm_smoke_run(smoke_of) -> Path:
    """The same of ddsm_inceptionv4."""
    return smoke_of("ddsm_inceptionv4")
