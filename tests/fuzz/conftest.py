"""The fuzzing of every reader: how many damaged files each gets, and the process that lets readers loose on them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MOST_SECONDS = 8.0  # of computing, for one file
HERE, TESTS = Path(__file__).parent, Path(__file__).parents[1]
# Samples of all papers, and the writers of tables and weight files.
SAMPLES = [HERE, TESTS, *sorted(path for path in (TESTS / "papers").iterdir() if path.is_dir())]
SAMPLES += [TESTS / "common" / room for room in ("audit", "records", "training")]
sys.path += [str(path) for path in SAMPLES if str(path) not in sys.path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutations", type=int, default=300, help="damaged files that each reader of tests/fuzz/ gets")


@pytest.fixture(scope="session")
def mutations(request) -> int:
    """From the command line where tests/fuzz is named on it."""
    return request.config.getoption("--mutations", 300)


@pytest.fixture(scope="session")
def attack() -> Iterator[Callable[..., dict]]:
    """(table of readers, name of one, folder, mutations, seconds a file) -> what came of it (`arena.attack`); each has a process.

    All descend from one process that has imported the readers, but neither TensorFlow nor what other tests have left in theirs.
    """
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
    paths = os.pathsep.join([str(TESTS.parent), *map(str, SAMPLES)])
    with subprocess.Popen(
        [sys.executable, str(HERE / "arena.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **single, "PYTHONPATH": paths},
    ) as process:  # fmt: skip

        def ask(table: str, name: str, folder: Path, mutations: int, limit: float = MOST_SECONDS) -> dict:
            print(json.dumps([table, name, str(folder), mutations, limit]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()
