"""The count of kills at random moments: it kills and compares, and what is planted in a run is reported."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import kill_and_resume
from benchmarks.disturbed_runs import Attempt, Case, find_remains, find_runs, list_processes, tell_stage
from common.files import hold_lock

CASE = Case("texture", "thyroid_ensemble", ("--rows", "ULBP"), 1)  # the cheapest run that trains


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> SimpleNamespace:
    """Two kills of the cheapest run: its folder, exit code and output."""
    folder = tmp_path_factory.mktemp("kills")
    code = "import sys; from benchmarks import kill_and_resume as k, disturbed_runs as d; "
    code += f"k.CASES = (d.{CASE!r},); sys.exit(k.main(['--kills', '2', '--out', {str(folder)!r}]))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return SimpleNamespace(folder=folder, code=ended.returncode, said=ended.stdout, errors=ended.stderr)


@pytest.fixture
def command(counted, monkeypatch) -> list[str]:
    monkeypatch.setattr(kill_and_resume, "CASES", (CASE,))
    return ["--out", str(counted.folder), "--kills"]


def test_two_kills_end_in_the_bytes_of_the_undisturbed_run(counted):
    """Some 15 s: real commands are killed."""
    assert (counted.code, counted.errors) == (0, "")
    kills = [line for line in counted.said.splitlines() if " after " in line and "equal" not in line]
    assert len(kills) == 2
    assert kills[0].startswith("texture, chain 0: ")
    assert "| all | 2 |" in counted.said
    assert [path.name for path in (counted.folder / "texture").iterdir()] == ["undisturbed"]  # equal chains go


def test_the_same_command_has_nothing_to_do(command, capsys, monkeypatch):
    monkeypatch.setattr(kill_and_resume, "run_chain", None)
    assert kill_and_resume.main([*command, "2"]) == 0
    assert "| all | 2 |" in capsys.readouterr().out


@pytest.mark.parametrize("planted", ["predictions.csv.gz", "table.md", "figures/new.png", "cells/a/model.txt", "results.json"])
def test_a_planted_difference_is_reported(counted, command, tmp_path, capsys, monkeypatch, planted):
    """Another byte, another file, another number."""

    def end_otherwise(_case, out: Path, *_):
        shutil.copytree(counted.folder / "texture" / "undisturbed", out)
        (run,) = find_runs(out, CASE.package)
        (run / planted).parent.mkdir(exist_ok=True)
        content = (run / planted).read_bytes() if (run / planted).exists() else b""
        other = content.replace(b'"preset": "smoke"', b'"preset": "demo"') if planted == "results.json" else content + b" "
        (run / planted).write_bytes(other)
        yield kill_and_resume.Kill("KILL all", 1.0, "start")

    shutil.copytree(counted.folder, tmp_path / "kills")
    monkeypatch.setattr(kill_and_resume, "run_chain", end_otherwise)
    assert kill_and_resume.main(["--out", str(tmp_path / "kills"), "--kills", "3"]) == 1
    said = capsys.readouterr().out
    (fault,) = [line for line in said.splitlines() if "FAULT" in line]
    assert f"FAULT: differs: {planted}; seed 0, folder {tmp_path / 'kills' / 'texture' / 'chain-'}" in fault
    assert list((tmp_path / "kills" / "texture").glob("chain-*"))  # it stays
    assert kill_and_resume.main(["--out", str(tmp_path / "kills"), "--kills", "3"]) == 1  # and so does the verdict


def test_times_are_no_difference(counted, tmp_path):
    (run,) = find_runs(counted.folder / "texture" / "undisturbed", CASE.package)
    wanted = kill_and_resume.list_outputs(run)
    assert wanted.keys() >= {"results.json", "predictions.csv.gz", "history.csv.gz", "table.md", "table.csv"}
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / "results.json").read_text(encoding="utf-8")
    later = text.replace('"started": "2', '"started": "3')
    assert later != text
    (copy / "results.json").write_text(later, encoding="utf-8")
    assert kill_and_resume.list_outputs(copy) == wanted


def test_what_is_left_behind_is_found(tmp_path):
    (tmp_path / "cells" / "a.partial").mkdir(parents=True)
    for name in ("checkpoint-CNN.npz", ".table.md.123.part", ".figures.123.old", "free.lock"):
        (tmp_path / name).touch()
    with hold_lock(tmp_path / ".run.lock", wait=False):
        lines = find_remains(tmp_path)
    left = ["left over: .figures.123.old", "still locked: .run.lock", "left over: .table.md.123.part"]
    assert lines == [*left, "left over: cells/a.partial", "left over: checkpoint-CNN.npz"]
    shutil.rmtree(tmp_path / "cells")
    for path in tmp_path.iterdir():
        if path.name != "free.lock":
            path.unlink()
    assert find_remains(tmp_path) == []


def start(tmp_path, monkeypatch, code: str) -> Attempt:
    """An attempt that runs this code instead of a package."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored where the tests run in the background of a shell
    known = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **named: known([sys.executable, "-c", code], **named))
    return Attempt(CASE, tmp_path / "out", f"{tmp_path}#0")


@pytest.mark.parametrize(
    ("code", "killed", "faults"),
    [
        ("pass", [], []),
        ("raise SystemExit(2)", ["KILL all"], ["exit code 2: "]),
        ("import sys; sys.exit('a line: no such thing')", [], ["exit code 1: a line: no such thing"]),
        ("import sys; sys.exit('a worker process was killed')", ["KILL a worker"], []),
        ("import sys; print('Traceback (most recent call last):'); sys.exit(0)", ["TERM"], ["a traceback: "]),
        ("import os; os.kill(os.getpid(), 9)", ["KILL the command"], []),
        ("import os; os.kill(os.getpid(), 9)", [], ["exit code -9: "]),
        ("raise SystemExit(143)", ["INT"], ["exit code 143: "]),
        ("raise SystemExit(143)", ["TERM"], []),
    ],
)
def test_faults_of_one_attempt(tmp_path, monkeypatch, code, killed, faults):
    attempt = start(tmp_path, monkeypatch, code)
    assert attempt.wait(60) is not None
    assert attempt.end() == []
    found = attempt.find_faults(killed)
    assert len(found) == len(faults)
    assert all(line.startswith(wanted) for line, wanted in zip(found, faults, strict=True)), found


def test_a_process_that_stays_is_told_and_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.disturbed_runs.ENDING", 0.5)
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print('on')"
    attempt = start(tmp_path, monkeypatch, child)
    assert attempt.wait(60) == 0
    (line,) = attempt.end()
    assert line.startswith("process left over: ")
    assert "time.sleep(60)" in line
    deadline = time.monotonic() + 20
    while list_processes(attempt.mark):
        assert time.monotonic() < deadline


def test_each_way_ends_what_it_says(tmp_path, monkeypatch):
    sleeper = "import time; time.sleep(60)"
    for way, number in (("KILL all", 9), ("KILL the command", 9), ("KILL a worker", 9), ("TERM", 15), ("INT", 2)):
        with monkeypatch.context() as patched:
            attempt = start(tmp_path, patched, sleeper)
        taken = attempt.kill(way, np.random.default_rng(0))
        assert taken == ("KILL all" if way == "KILL a worker" else way)  # it has no worker
        assert attempt.wait(60) == -number
        assert attempt.end() == []


def test_stages(tmp_path):
    package = tmp_path / CASE.package
    run = package / "smoke-both-1"
    stages = [tell_stage(tmp_path, CASE.package)]
    for path in ("phantoms-1/a", "prepared/a", "smoke-both-1/.run.lock", "smoke-both-1/cells/a/cell.json"):
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).touch()
        stages.append(tell_stage(tmp_path, CASE.package))
    (run / "cells" / "b.partial").mkdir()
    stages.append(tell_stage(tmp_path, CASE.package))
    (run / "cells" / "b.partial" / "checkpoint-CNN.npz").touch()
    stages.append(tell_stage(tmp_path, CASE.package))
    for name in ("predictions.csv.gz", "report.html"):
        (run / name).touch()
        stages.append(tell_stage(tmp_path, CASE.package))
    trainings = ["1 trainings done", "1 trainings done, in b", "1 trainings done, in b, with a checkpoint"]
    assert stages[:4] == ["start", "phantoms", "preparing data", "splits and plan"]
    assert stages[4:] == [*trainings, "evaluation, figures", "report written"]


def test_a_record_of_another_seed_is_refused(command):
    with pytest.raises(SystemExit, match="begun with --seed 0"):
        kill_and_resume.main([*command, "2", "--seed", "1"])
    # asked to end, it ends the run that it has started
    assert {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} == {signal.default_int_handler}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
