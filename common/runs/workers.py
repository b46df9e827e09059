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
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from common.errors import UsageError
from common.files import hold_lock
from common.runs.cells import Cell, is_done, run_cell

LOST = "its files changed after it had ended (another program, or the disk); the same command does it again"


def run_cells(
    cells: list[Cell], folder: Path, *, workers: int, threads: int, cluster: str | None = None, title: str = "cells"
) -> dict[str, str]:
    """Run every cell that is not done; return {key: reason} of the cells that failed (empty: all done).

    folder: holds `cells/`. workers: processes side by side; with one, cells run in this process. threads: threads a cell
    computes with. cluster: address of a Dask scheduler whose workers see `folder` under the same path.
    Raises KeyboardInterrupt after stopping the workers; finished cells and checkpoints stay.
    """
    home = folder / "cells"
    home.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / ".lock", wait=False):
        todo = [cell for cell in cells if not is_done(cell, home)]
        for cell in todo:  # damaged or outdated: it is trained again
            shutil.rmtree(home / cell.key, ignore_errors=True)
        with _Display(title, cells, len(cells) - len(todo)) as display:
            if cluster:
                failed = _run_on_dask(todo, home, threads, cluster, display)
            elif workers == 1 or len(todo) <= 1:
                failed = _run_here(todo, home, threads, display)
            else:
                failed = _run_in_processes(todo, home, workers, threads, display)
        lost = {cell.key: LOST for cell in todo if cell.key not in failed and not is_done(cell, home)}
        return failed | lost


def share_threads(workers: int, cores: int) -> int:
    """Threads for each of `workers` cells on `cores` cores: all busy, none fought over."""
    return max(1, cores // workers)


def _describe(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if isinstance(error, UsageError) and text else f"{type(error).__name__}: {' '.join(text)[:300]}"


def _run_here(cells: list[Cell], home: Path, threads: int, display: "_Display") -> dict[str, str]:
    failed = {}
    for cell in cells:
        try:
            run_cell(cell, home, threads, lambda *args, key=cell.key: display.report(key, *args))
        except Exception as error:
            if not isinstance(error, UsageError):
                traceback.print_exc()
            failed[cell.key] = _describe(error)
        display.finish(cell.key, failed.get(cell.key))
    return failed


_messages: multiprocessing.queues.Queue  # where a worker process reports to: `_start_worker` sets it


def _start_worker(messages: multiprocessing.queues.Queue, parent: int, slots: multiprocessing.queues.Queue, threads: int) -> None:
    """Initialise a worker: it ignores Ctrl-C (the parent ends it), dies with its parent and sees one GPU of several."""
    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    gpu = slots.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(cell: Cell, home: Path, threads: int) -> None:
    run_cell(cell, home, threads, lambda *args: _messages.put((cell.key, *args)))


def _visible_gpus() -> list[str]:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name]
    return [p.name.removeprefix("nvidia") for p in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def _run_in_processes(cells: list[Cell], home: Path, workers: int, threads: int, display: "_Display") -> dict[str, str]:
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    messages, slots = context.Queue(), context.Queue()
    gpus = _visible_gpus()
    for slot in range(workers):
        slots.put(gpus[slot % len(gpus)] if gpus else None)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (messages, os.getpid(), slots, threads))
    failed: dict[str, str] = {}
    try:
        waiting = {pool.submit(_work, cell, home, threads): cell for cell in cells}
        while waiting:
            done, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            with contextlib.suppress(queue.Empty):
                while True:
                    display.report(*messages.get_nowait())
            for future in done:
                _collect(future, waiting.pop(future), failed, display)
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return failed


def _collect(future: Future, cell: Cell, failed: dict[str, str], display: "_Display") -> None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise RuntimeError("a worker process was killed (out of memory?); the same command goes on where it stopped") from None
    if error is not None:
        if not isinstance(error, UsageError):
            traceback.print_exception(error)
        failed[cell.key] = _describe(error)
    display.finish(cell.key, failed.get(cell.key))


def _run_on_dask(cells: list[Cell], home: Path, threads: int, address: str, display: "_Display") -> dict[str, str]:
    try:
        from dask.distributed import Client, as_completed
    except ImportError:
        raise UsageError("--cluster needs Dask: pip install 'medical-replications[cluster]'") from None
    try:
        client = Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise UsageError(f"--cluster {address}: no scheduler answers there ({error})") from None
    failed: dict[str, str] = {}
    with client:
        probe = home / ".probe"
        probe.write_text(str(time.time()))
        seen = client.run(_read_probe, probe.resolve())
        if not seen or any(text != probe.read_text() for text in seen.values()):
            raise UsageError(f"--cluster {address}: its workers do not see {home}; put --out on a shared file system")
        if any(w["nthreads"] != 1 for w in client.scheduler_info(n_workers=-1)["workers"].values()):
            raise UsageError(f"--cluster {address}: start its workers with --nthreads 1 (one training per process)")
        waiting = {client.submit(_work_on_dask, cell, home.resolve(), threads, pure=False): cell for cell in cells}
        for future in as_completed(waiting):
            cell = waiting[future]
            failure = future.exception()
            if failure is not None:
                failed[cell.key] = _describe(failure)
            display.finish(cell.key, failed.get(cell.key))
    return failed


def _read_probe(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _work_on_dask(cell: Cell, home: Path, threads: int) -> None:
    run_cell(cell, home, threads, lambda *args: None)


class _Display(contextlib.AbstractContextManager):
    """One display for all cells: a bar with the time left and a line for each running cell; plain lines in a pipe."""

    def __init__(self, title: str, cells: list[Cell], done: int) -> None:
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, TimeRemainingColumn(), console=self.console, disable=not sys.stderr.isatty())
        self.total = self.progress.add_task(title, total=len(cells), completed=done)
        self.lines: dict[str, TaskID] = {}
        self.count, self.done, self.started = len(cells), done, time.monotonic()

    def __enter__(self) -> "_Display":
        self.progress.start()
        if done := self.done:
            self.console.print(f"{done} of {self.count} trainings were done before", highlight=False)
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
