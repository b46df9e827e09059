"""A run that is asked to end (SIGTERM, as a batch system does): one line, exit code 143, no process left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PROGRAM = """
import sys
from pathlib import Path
from toy_cells import make_cells
from common.errors import run_main
from common.runs.workers import run_cells

if __name__ == "__main__":
    cells = make_cells(2, steps=200, wait=0.05)
    sys.exit(run_main(lambda: run_cells(cells, Path(sys.argv[1]), workers=int(sys.argv[2]), threads=1) and 1))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_ends_a_run_like_ctrl_c(tmp_path, workers):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "run"), str(workers)]
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parents[2]}{os.pathsep}{TESTS}"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run" / "cells").glob("cell-*.partial/checkpoint-*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)  # to the parent alone
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert errors.endswith("stopped; the same command goes on where it stopped\n")
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a process is left")
    assert list((tmp_path / "run" / "cells").glob("cell-*.partial/checkpoint-*"))
