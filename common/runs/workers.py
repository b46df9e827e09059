"""The trainings of a run side by side: in this process, in worker processes, or on a Dask cluster."""

import contextlib
import multiprocessing.queues
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from common.errors import RunError, UsageError
from common.files import hold_lock
from common.runs.apart import die_with
from common.runs.cells import Cell, describe_failure, is_done, run_cell
from common.runs.cluster import run_on_dask

KILLED = "a worker process was killed (out of memory?); the same command goes on where it stopped"
LOST = "its files changed after it had ended (another program, or the disk); the same command does it again"


def run_cells(
    cells: list[Cell],
    folder: Path,
    *,
    workers: int,
    threads: int,
    cluster: str | None = None,
    title: str = "cells",
    noun: str = "trainings",
) -> dict[str, str]:
    """Run every cell that is not done; return {key: reason} of the cells that failed (empty: all done).

    folder: holds `cells/`. workers: processes side by side; with one, cells run in this process. threads: threads a cell
    computes with. cluster: address of a Dask scheduler whose workers see `folder` under the same path. noun: what a cell is.
    Raises KeyboardInterrupt after stopping the workers; finished cells and checkpoints stay. The processes wait for further cells
    until `stop_workers`. Raises RunError where no further cell can be run: the disk is full, a worker was killed, the cluster is
    gone.
    """
    home = folder / "cells"
    home.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / ".lock", wait=False):
        todo = [cell for cell in cells if not is_done(cell, home)]
        for cell in todo:  # damaged or outdated: it is trained again
            shutil.rmtree(home / cell.key, ignore_errors=True)
        with _Display(title, cells, len(cells) - len(todo), noun) as display:
            if cluster:
                failed = run_on_dask(todo, home, threads, cluster, display)
            elif workers == 1 or (len(todo) <= 1 and (workers, threads) not in _teams):
                failed = _run_here(todo, home, threads, display)
            else:
                failed = _run_in_processes(todo, home, workers, threads, display)
        lost = {cell.key: LOST for cell in todo if cell.key not in failed and not is_done(cell, home)}
        return failed | lost


def share_threads(workers: int, cores: int) -> int:
    """Threads for each of `workers` cells on `cores` cores: all busy, none fought over."""
    return max(1, cores // workers)


def _run_here(cells: list[Cell], home: Path, threads: int, display: "_Display") -> dict[str, str]:
    failed = {}
    for cell in cells:
        try:
            run_cell(cell, home, threads, lambda *args, key=cell.key: display.report(key, *args))
        except Exception as error:
            failed[cell.key] = tell_failure(cell, error)
        display.finish(cell.key, failed.get(cell.key))
    return failed


def tell_failure(cell: Cell, error: BaseException) -> str:
    """Why a cell failed, in one line; a fault of ours is printed with its traceback. Raises RunError where all would fail."""
    if isinstance(error, RunError):
        raise RunError(f"{cell.key}: {error}") from None
    if not isinstance(error, UsageError):
        traceback.print_exception(error)
    return describe_failure(error)


_messages: multiprocessing.queues.Queue  # where a worker process reports to: `_start_worker` sets it


def _start_worker(messages: multiprocessing.queues.Queue, parent: int, gpu: str | None, threads: int) -> None:
    """Initialise a worker: it ignores Ctrl-C (the parent ends it), dies with its parent and sees one GPU of several."""
    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with, args=(parent,), daemon=True).start()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def _work(cell: Cell, home: Path, threads: int) -> None:
    run_cell(cell, home, threads, lambda *args: _messages.put((cell.key, *args)))


def _visible_gpus() -> list[str]:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name]
    return [p.name.removeprefix("nvidia") for p in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def _run_in_processes(cells: list[Cell], home: Path, workers: int, threads: int, display: "_Display") -> dict[str, str]:
    team = _open_team((workers, threads))
    failed: dict[str, str] = {}
    todo = list(cells)
    running: dict[Future, tuple[Cell, _Worker]] = {}
    free = list(team.processes)
    try:
        while todo or running:
            while todo and free:
                worker = free.pop(0)
                cell = todo.pop(choose_next(todo, worker.kin, [other.kin for _, other in running.values()]))
                worker.kin = cell.kin
                running[worker.pool.submit(_work, cell, home, threads)] = cell, worker
            done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            with contextlib.suppress(queue.Empty):
                while True:
                    display.report(*team.messages.get_nowait())
            for future in done:
                cell, worker = running.pop(future)
                free.append(worker)
                _collect(future, cell, failed, display)
    except BaseException as error:
        for worker in team.processes:
            for process in list((worker.pool._processes or {}).values()):
                process.kill()
        stop_workers()
        if isinstance(error, BrokenProcessPool):  # also of one that was idle
            raise RunError(KILLED) from None
        raise
    return failed


def choose_next(todo: Sequence[Cell], last: str, taken: Collection[str]) -> int:
    """Position of the cell that a free worker takes: one of the kin that it did last, else the first of the kin that the fewest
    other workers are at. taken: the kin of each of them.

    >>> todo = [Cell("a", "", {}, "VGG16"), Cell("b", "", {}, "VGG16"), Cell("c", "", {}, "ResNet50")]
    >>> choose_next(todo, "ResNet50", ["VGG16"]), choose_next(todo[:2], "", ["VGG16"]), choose_next(todo, "", ["VGG16"])
    (2, 0, 2)
    >>> choose_next(todo, "", ["VGG16", "VGG16", "ResNet50"])
    2
    """
    kin = [cell.kin for cell in todo]
    if last and last in kin:
        return kin.index(last)
    busy = Counter(name for name in taken if name)
    return min(range(len(kin)), key=lambda place: busy[kin[place]])


@dataclass
class _Worker:
    """A process, and the kin of its last cell."""

    pool: ProcessPoolExecutor  # of one process
    kin: str = ""


@dataclass(frozen=True)
class _Team:
    """The processes of a run, and the queue that they report to."""

    processes: list[_Worker]
    messages: multiprocessing.queues.Queue


# They stay from one stage of a run to the next: starting them, with TensorFlow, costs seconds each time.
_teams: dict[tuple[int, int], _Team] = {}


def _open_team(key: tuple[int, int]) -> _Team:
    """Worker processes; key: their number, and the threads of each."""
    if key not in _teams:
        stop_workers()
        workers, threads = key
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        messages, gpus = context.Queue(), _visible_gpus()
        chosen = [gpus[slot % len(gpus)] if gpus else None for slot in range(workers)]
        about = [(messages, os.getpid(), gpu, threads) for gpu in chosen]
        _teams[key] = _Team([_Worker(ProcessPoolExecutor(1, context, _start_worker, of)) for of in about], messages)
    return _teams[key]


def stop_workers() -> None:
    """End the processes that `run_cells` left for further stages of the run."""
    while _teams:
        _, team = _teams.popitem()
        watchers: list[Any] = [worker.pool._executor_manager_thread for worker in team.processes]  # each ends after its process
        for worker in team.processes:  # all are told to end before the first is waited for
            worker.pool.shutdown(wait=False, cancel_futures=True)
        for watcher in watchers:
            if watcher is not None:
                watcher.join()


def _collect(future: Future, cell: Cell, failed: dict[str, str], display: "_Display") -> None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise error
    if error is not None:
        failed[cell.key] = tell_failure(cell, error)
    display.finish(cell.key, failed.get(cell.key))


class _Display(contextlib.AbstractContextManager):
    """One display for all cells: a bar with the time left and a line for each running cell; plain lines in a pipe."""

    def __init__(self, title: str, cells: list[Cell], done: int, noun: str) -> None:
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, TimeRemainingColumn(), console=self.console, disable=not sys.stderr.isatty())
        self.total = self.progress.add_task(title, total=len(cells), completed=done)
        self.lines: dict[str, TaskID] = {}
        self.count, self.done, self.noun, self.started = len(cells), done, noun, time.monotonic()

    def __enter__(self) -> "_Display":
        self.progress.start()
        if done := self.done:
            self.console.print(f"{done} of {self.count} {self.noun} were done before", highlight=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def report(self, key: str, stage: str, epoch: int, epochs: int, logs: dict) -> None:
        """Show the epoch of a running cell."""
        if key not in self.lines:
            self.lines[key] = self.progress.add_task(key, total=epochs)
        shown = ", ".join(f"{name} {logs[name]:.3f}" for name in ("loss", "val_loss") if name in logs)
        self.progress.update(self.lines[key], completed=epoch, total=epochs, description=f"{key} {stage} {shown}")

    def finish(self, key: str, failure: str | None) -> None:
        """Count a cell as ended; in a pipe, print one line with the time left."""
        self.done += 1
        self.progress.update(self.total, advance=1)
        if key in self.lines:
            self.progress.remove_task(self.lines.pop(key))
        if failure:
            self.console.print(f"{key}: {failure}", highlight=False, markup=False, soft_wrap=True)
        elif self.progress.disable:
            spent = time.monotonic() - self.started
            self.console.print(f"[{self.done}/{self.count}] {key} ({spent:.0f} s)", highlight=False, markup=False, soft_wrap=True)
