"""Two commands at once: one runs, the other ends in one line, and nothing that the first has prepared is replaced."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cases.prepared import load_dataset, write_prepared
from common.cli import Options, parse_options
from common.errors import UsageError
from common.runs.run import open_run, prepare_shared

ROOT = Path(__file__).parents[2]
# The command of a package up to its first training, which goes on until the file `end` is there.
COMMAND = """
import sys, time
from pathlib import Path
from replications.{name} import run
def wait(opened, *_args, **_named):
    Path(sys.argv[1], "training").touch()
    while not Path(sys.argv[1], "end").exists():
        time.sleep(0.05)
    return {{}}
run.train = wait
asked = ["--preset", "smoke", "--protocol", "leakfree", "--rows", "{row}", "--threads", "1", "--workers", "1"]
sys.exit(run.main([*asked, "--out", sys.argv[1]]))
"""


# One package is enough: what is shared stands in common/, and each package calls it (`prepare_shared`, then `open_run`).
@pytest.mark.parametrize(("name", "row"), [("lung_hip_compare", "LUNA16 / CNN")])
def test_started_at_once_in_a_fresh_folder(tmp_path, name, row):
    command = [sys.executable, "-c", COMMAND.format(name=name, row=row), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(2)]
    deadline = time.monotonic() + 200
    while all(process.poll() is None for process in both):  # one is refused while the other trains
        assert time.monotonic() < deadline
        time.sleep(0.05)
    refused = next(process for process in both if process.poll() is not None)
    first = next(process for process in both if process is not refused)
    while not (tmp_path / "training").exists():
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.05)
    (tmp_path / "end").touch()
    errors = refused.communicate(timeout=60)[1].splitlines()
    assert refused.returncode == 2
    (line,) = (line for line in errors if line.startswith("error: "))
    assert "another run works in this folder; wait for it or choose another --out" in line
    assert not any("Traceback" in line for line in [*errors, *first.communicate(timeout=60)[1].splitlines()])
    assert len(list(tmp_path.glob(f"{name}/smoke-*"))) == 1


@pytest.fixture
def options(tmp_path) -> Options:
    return parse_options(["--out", str(tmp_path)], "replications.toy.run", "", ["demo"])


def test_other_data_do_not_reach_a_run_that_works(options, tmp_path):
    """The second command, of other data, is in another folder; in the same one it is refused before it replaces anything."""
    package, identity = Path("replications/toy"), {"epochs": 3}

    def prepare(grey: int):
        cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "label": [0, 1]})
        return prepare_shared(
            package, options, "toy", lambda to: write_prepared(to, np.full((2, 4, 4), grey, np.uint8), cases, {})
        )

    first = open_run(package, options, "demo", identity, synthetic=False, datasets={"data": prepare(1)})
    with first.lock:
        before = load_dataset(first.folder / "data").sha256
        with open_run(package, options, "demo", identity, synthetic=False, datasets={"data": prepare(2)}).lock:
            assert len(list((tmp_path / "toy").glob("demo-*"))) == 2
        with pytest.raises(UsageError, match="another run works in this folder"):
            open_run(package, options, "demo", identity, synthetic=False, datasets={"data": prepare(1)})
        assert load_dataset(first.folder / "data").sha256 == before
        assert np.asarray(load_dataset(first.folder / "data").images).max() == 1
