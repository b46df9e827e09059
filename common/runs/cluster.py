"""The trainings of a run on a Dask cluster, each in a process of its own (`apart`); what keeps a cluster from training."""

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.errors import RunError, UsageError
from common.runs.apart import Ending, run_apart
from common.runs.cells import Cell, describe_failure

CHECKOUT = Path(__file__).parents[2]  # or where it is installed
PATIENCE = 30.0  # seconds without a worker, or without the scheduler, after which the run ends
LOOK = 0.3  # seconds between two looks at what has ended
GOES_ON = "the same command goes on where it stopped"


class Display(Protocol):
    """What is used of the display of a run."""

    def finish(self, key: str, failure: str | None) -> None: ...


def run_on_dask(cells: list[Cell], home: Path, threads: int, address: str, display: Display) -> dict[str, str]:
    """Run cells on the workers of the scheduler at `address`; {key: reason} of those that failed.

    home: folder of the cells, which all workers see under the same path. Raises UsageError for a cluster that cannot train,
    RunError where the scheduler or all workers are lost meanwhile.
    """
    try:
        from dask.distributed import Client
    except ImportError:
        raise UsageError("--cluster needs Dask: in the folder of the checkout, pip install -e '.[cluster]'") from None
    with _muted():  # it tells of lost connections with tracebacks
        try:
            client = Client(address, timeout=20)
        except (OSError, ValueError) as error:
            raise UsageError(f"--cluster {address}: no scheduler answers there ({error})") from None
        try:
            _check_cluster(client, address, home)
            return _follow(client, cells, home, threads, address, display)
        finally:
            with contextlib.suppress(Exception):  # nothing is left to close where the scheduler is gone
                client.close(timeout=2)


def _follow(client: Any, cells: list[Cell], home: Path, threads: int, address: str, display: Display) -> dict[str, str]:
    failed: dict[str, str] = {}
    waiting = {client.submit(run_apart, cell, home.resolve(), threads, pure=False): cell for cell in cells}
    seen = time.monotonic()  # when scheduler and a worker were last there
    while waiting:
        for future in [future for future in waiting if future.done()]:
            cell = waiting.pop(future)
            ending = _read_ending(future, address)
            if ending.of_run:
                raise RunError(f"{cell.key}: {ending.reason}")
            if ending.reason is not None:
                failed[cell.key] = ending.reason
            display.finish(cell.key, ending.reason)
        lost = _find_loss(client)
        seen = seen if lost else time.monotonic()
        if time.monotonic() - seen > PATIENCE:
            start = "" if lost == "the scheduler" else f"; start some: dask worker {address} --nthreads 1 --nworkers N"
            raise RunError(f"--cluster {address}: {lost} cannot be reached any more{start}; {GOES_ON}")
        time.sleep(LOOK)
    return failed


def _find_loss(client: Any) -> str:
    """What the cluster lacks at the moment: the scheduler, or workers; "": nothing."""
    if client.status != "running":
        return "the scheduler"
    try:
        return "" if client.scheduler_info(n_workers=-1)["workers"] else "all workers"
    except (OSError, TimeoutError, AttributeError, TypeError, RuntimeError):  # as it breaks off in the middle of an answer
        return "the scheduler"


def _read_ending(future: Any, address: str) -> Ending:
    try:
        error = future.exception()
        if error is None:
            return future.result()
    except CancelledError as cancelled:
        error = cancelled
    if isinstance(error, CancelledError) or future.status in ("cancelled", "lost"):
        raise RunError(f"--cluster {address}: the scheduler cannot be reached any more; {GOES_ON}") from None
    if type(error).__name__ == "KilledWorker":
        return Ending(f"every worker that took this training was lost (killed, or out of memory?); {GOES_ON}")
    return Ending(describe_failure(error))


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    logger = logging.getLogger("distributed")
    known = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(known)


def _check_cluster(client: Any, address: str, home: Path) -> None:
    """Raise UsageError unless the cluster has workers, of one thread each, that see the run's folder and have this code."""
    start = f"dask worker {address} --nthreads 1 --nworkers N"
    known = client.scheduler_info(n_workers=-1)["workers"]
    if not known:
        raise UsageError(
            f"--cluster {address}: no worker is connected to it; start some from the folder of the checkout: {start}"
        )
    if wrong := {name: worker["nthreads"] for name, worker in known.items() if worker["nthreads"] != 1}:
        name, threads = next(iter(wrong.items()))
        text = f"{len(wrong)} of {len(known)} workers have more than one thread, such as {name} with {threads}"
        raise UsageError(f"--cluster {address}: {text}; one training takes a process: start them anew: {start}")
    probe = home / ".probe"
    probe.write_text(str(time.time()))
    try:
        mine = Seen(probe.read_text(), hash_code(), str(CHECKOUT))
        found = client.run(look_around, probe.resolve(), on_error="return")
    finally:
        probe.unlink(missing_ok=True)
    for name, seen in found.items():
        if isinstance(seen, BaseException):
            tell = f"start it from the folder of the checkout, with its Python: {start}"
            raise UsageError(f"--cluster {address}: worker {name} does not have this code ({describe_failure(seen)}); {tell}")
        if seen.probe != mine.probe:
            tell = "put --out on a file system that all machines see under the same path"
            raise UsageError(f"--cluster {address}: worker {name} does not see {home.resolve()}; {tell}")
        if seen.code != mine.code:
            tell = "start it there, or bring both to the same commit"
            raise UsageError(f"--cluster {address}: worker {name} has other code ({seen.place}) than {mine.place}; {tell}")


@dataclass(frozen=True)
class Seen:
    """What a process finds: the text of the probe in the run's folder, and the code that it would train with."""

    probe: str | None
    code: str  # sha256
    place: str


def look_around(probe: Path) -> Seen:
    """What this process finds; run on every worker of a cluster."""
    return Seen(probe.read_text() if probe.exists() else None, hash_code(), str(CHECKOUT))


def hash_code() -> str:
    """sha256 of every module of common/ and replications/ that this process would import."""
    digest = hashlib.sha256()
    for path in sorted(path for room in ("common", "replications") for path in (CHECKOUT / room).rglob("*.py")):
        digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
