"""A run from outside that is killed and begun again: its processes, how far it is, what it leaves, what it ends in."""

import contextlib
import fcntl
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from common.cases.table import hash_pixels
from common.files import LEFTOVER, hash_file
from common.records.results import read_results, to_json

ROOT = Path(__file__).parents[1]
MEASURED = ("What a training costs",)  # tables of times, which no two runs have in common
MARK = "KILL_AND_RESUME"  # in the environment of every process of an attempt
ENDING = 120.0  # seconds after a kill within which all processes must be gone


@dataclass(frozen=True)
class Case:
    """A command; share: of the kills. A cluster has its own workers."""

    name: str
    package: str
    flags: tuple[str, ...]
    share: int
    on_cluster: bool = False
    workers: int = 1
    like: str = ""  # the case whose undisturbed run it is held against; "": its own


# What is compared


def find_runs(out: Path, package: str) -> list[Path]:
    """Folders of finished runs below `out`."""
    return [path.parent for path in (out / package).glob("*/results.json")]


def list_outputs(run: Path) -> dict[str, str]:
    """What a finished run is compared by: name -> sha256. Tables of measured times, and times of files, are left out."""
    results = read_results(run / "results.json")
    measured = [table for table in results.extra.tables if table.title in MEASURED]
    kept = [table for table in results.extra.tables if table.title not in MEASURED]
    cells = [cell.model_copy(update={"seconds": 0.0}) for cell in results.extra.cells]
    datasets = [entry.model_copy(update={"info_sha256": ""}) for entry in results.datasets]  # it holds times of files
    extra = results.extra.model_copy(update={"commands": [], "cells": cells, "tables": kept})
    update = {"started": "", "seconds": 0.0, "command": "", "datasets": datasets, "extra": extra}
    found = {"results.json": hash_text(repr(to_json(results.model_copy(update=update))))}
    # The beginnings of the lines of such a table in table.csv, table.md and table.tex.
    timed = [f"{table.title}," for table in measured]
    timed += [row[0] + between + row[1] for table in measured for row in table.rows for between in (" | ", " & ")]
    for path in [*run.glob("*.csv.gz"), *run.glob("table.*"), *run.glob("figures/*"), *run.glob("cells/**/*")]:
        name = str(path.relative_to(run))
        if path.suffix == ".keras":
            found[name] = hash_weights(path)
        elif path.parent == run and path.suffix in (".csv", ".md", ".tex"):
            lines = path.read_text(encoding="utf-8").split("\n")
            found[name] = hash_text("\n".join(line for line in lines if not line.removeprefix("| ").startswith(tuple(timed))))
        elif path.is_file() and path.name != "cell.json":  # times; its threads and commit are in results.json
            found[name] = hash_file(path)
    return found


def hash_text(text: str) -> str:
    """sha256."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_weights(path: Path) -> str:
    """sha256 of all arrays of a .keras file with their names: beside them it holds the time of its writing, and the numbers by
    which Keras counts the layers that a process has made."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as packed, h5py.File(io.BytesIO(packed.read("model.weights.h5"))) as file:

        def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                digest.update(f"{name} {hash_pixels(np.asarray(item[()]))}".encode())

        file.visititems(add)
    return digest.hexdigest()


def find_differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """A line for each output that differs."""
    return [f"differs: {name}" for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]


def find_remains(out: Path) -> list[str]:
    """A line for each unfinished file and each lock that is still held, after all processes have ended."""
    lines = []
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if LEFTOVER.fullmatch(path.name) or path.suffix == ".partial" or path.name.startswith(("checkpoint-", ".checkpoint-")):
            lines.append(f"left over: {name}")
        elif path.name.endswith("lock") and path.is_file():
            with path.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lines.append(f"still locked: {name}")
    return lines


def tell_stage(out: Path, package: str) -> str:
    """How far a run has come, from what lies in its folder."""
    runs = [path for path in (out / package).glob("*") if (path / ".run.lock").exists()]
    if not runs:
        found = [path.name for path in sorted((out / package).glob("*"))]
        return "preparing data" if "prepared" in found else "phantoms" if found else "start"
    (run,) = runs
    if (run / "predictions.csv.gz").exists():
        return "report written" if (run / "report.html").exists() else "evaluation, figures"
    done = len(list(run.glob("cells/*/cell.json")))
    for partial in sorted(run.glob("cells/*.partial")):
        kept = ", with a checkpoint" if list(partial.glob("checkpoint-*")) else ""
        return f"{done} trainings done, in {partial.stem}{kept}"
    return f"{done} trainings done" if done else "splits and plan"


# Processes


def list_processes(mark: str) -> dict[int, str]:
    """Living processes that bear the mark: number -> command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


class Attempt:
    """One start of a case's command, with what it prints."""

    def __init__(self, case: Case, out: Path, mark: str, cluster: Any = None) -> None:
        self.mark, self.cluster = mark, cluster
        command = [sys.executable, "-m", f"replications.{case.package}.run", "--preset", "smoke", "--threads", "1", *case.flags]
        where = ["--workers", str(case.workers)] if cluster is None else ["--cluster", cluster.scheduler_address]
        command += ["--out", str(out), *where]
        out.mkdir(parents=True, exist_ok=True)
        self.log = out / "screen.txt"
        environment = {**os.environ, MARK: mark, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with self.log.open("w") as screen:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=screen, stderr=screen, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.began = time.monotonic()

    def wait(self, until: float) -> int | None:
        """Exit code, or None if it still runs `until` seconds after its start."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(max(0.0, self.began + until - time.monotonic()))
        return None

    def kill(self, way: str, random: np.random.Generator) -> str:
        """Kill as `way` says; "KILL all" where there is no worker. Returns the way that was taken."""
        if way == "KILL a worker":
            workers = self.find_workers()
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[random.integers(len(workers))], signal.SIGKILL)
                return way
            way = "KILL all"
        with contextlib.suppress(ProcessLookupError):
            if way in ("KILL all", "INT"):
                os.killpg(self.process.pid, signal.SIGKILL if way == "KILL all" else signal.SIGINT)
            else:
                os.kill(self.process.pid, signal.SIGTERM if way == "TERM" else signal.SIGKILL)
        return way

    def find_workers(self) -> list[int]:
        """Processes that train: of this command, or of the cluster."""
        if self.cluster is None:
            return [pid for pid, command in list_processes(self.mark).items() if "spawn_main" in command]
        own = [worker.pid for worker in self.cluster.workers.values() if worker.pid]
        return own + [pid for pid, command in list_processes("cluster").items() if "common.runs.apart" in command]

    def end(self) -> list[str]:
        """Wait until no process of it is left; those that stay are told and killed."""
        deadline = time.monotonic() + ENDING
        while left := list_processes(self.mark):
            self.process.poll()
            if time.monotonic() > deadline:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.process.wait()
                return [f"process left over: {command[:200]}" for command in left.values()]
            time.sleep(0.05)
        self.process.wait()
        return []

    def find_faults(self, killed: Sequence[str]) -> list[str]:
        """What it printed that it should not: a traceback, a refusal. killed: the ways in which it was."""
        text = self.log.read_text(errors="replace")
        code = self.process.returncode
        expected = {0: True, 1: "KILL a worker" in killed, 143: "TERM" in killed, 130: "INT" in killed}
        expected |= {-signal.SIGKILL: any(way.startswith("KILL") for way in killed)}
        starting = text.startswith("Traceback") or not text  # Python itself, before the command's first line
        alone = starting or "\nreport: " in text  # or after its last one
        expected |= {-signal.SIGTERM: "TERM" in killed and alone, -signal.SIGINT: "INT" in killed and alone}
        faults = [] if expected.get(code) else [f"exit code {code}: {' / '.join(text.splitlines()[-3:])}"]
        if "Traceback" in text and not (starting and "INT" in killed):
            faults.append(f"a traceback: {' / '.join(text[text.index('Traceback') :].splitlines())[:400]}")
        return faults
