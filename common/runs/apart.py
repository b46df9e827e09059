"""A process of its own for the trainings that a worker of a cluster does: it shares nothing with the engine's threads.

The worker starts it for its first training and keeps it for the next ones, as a network library takes seconds to start. Run as a
module it is that process: a line of JSON for each training on stdin, a line for how it ended on stdout. It dies with the worker.
"""

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from common.errors import RunError, UsageError
from common.runs.cells import Cell, describe_failure, run_cell

KILLED = "the process of this training was killed (out of memory?); the same command goes on where it stopped"


@dataclass(frozen=True)
class Ending:
    """How a training ended: well, or with a reason in one line; `of_run`: further ones would fail in the same way."""

    reason: str | None = None
    of_run: bool = False


@dataclass
class _Child:
    """The process that this one has started."""

    process: subprocess.Popen
    threads: int


_children: list[_Child] = []  # one at most
_one_at_a_time = threading.Lock()


def run_apart(cell: Cell, home: Path, threads: int) -> Ending:
    """`run_cell` in the process of this worker; nothing is raised."""
    with _one_at_a_time:
        child = _open_child(threads)
        try:
            asked = json.dumps({"cell": asdict(cell), "home": str(home)})
            print(asked, file=child.process.stdin, flush=True)
            answer = child.process.stdout.readline()  # type: ignore[union-attr]  # a pipe
        except BrokenPipeError:
            answer = ""
        if answer:
            return Ending(**json.loads(answer))
        _end_child()
        return Ending(KILLED)


def _open_child(threads: int) -> _Child:
    if _children and (_children[0].threads != threads or _children[0].process.poll() is not None):
        _end_child()
    if not _children:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        settings = {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        command = [sys.executable, "-P", "-m", __name__, str(os.getpid()), str(threads)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=os.environ | settings, text=True, stdin=pipe, stdout=pipe)
        _children.append(_Child(process, threads))
    return _children[0]


def _end_child() -> None:
    process = _children.pop().process
    process.kill()
    process.communicate()


def die_with(parent: int) -> None:
    """End this process as soon as `parent` is no longer its parent; returns never."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _serve(parent: int, threads: int) -> None:
    """Do what comes on stdin until it ends. What a training prints goes to stderr."""
    threading.Thread(target=die_with, args=(parent,), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        ending = Ending()
        try:
            run_cell(Cell(**asked["cell"]), Path(asked["home"]), threads, lambda *args: None)
        except Exception as error:
            if not isinstance(error, UsageError | RunError):
                traceback.print_exc()
            ending = Ending(describe_failure(error), isinstance(error, RunError))
        print(json.dumps(asdict(ending)), file=answers, flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
