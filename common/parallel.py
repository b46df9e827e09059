"""Work spread over the cores of this machine: threads or processes of ours, while the libraries beneath keep to one thread each.

BLAS and OpenCV start threads of their own for every product and filter. Below several threads of ours these only wait for each
other: the search for near-duplicates took eight times the processor time. Processes take a second to start; they pay where much
is done in many short calls, between which threads wait for Python's lock.
"""

import contextlib
import functools
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BACKENDS
from threadpoolctl import threadpool_limits

from common.cli import count_cores
from common.errors import NUMBER, RunError, explain_system_error

ItemT = TypeVar("ItemT")
DoneT = TypeVar("DoneT")
AHEAD = 4  # pieces of work for each core that wait or whose result waits
MANY = 1000  # things from which on processes pay
WINDOW = 32  # lots for each core that are sent before all of them are done: no more results wait
IDLE = 60  # seconds after which a process without work ends
WATCH = 1  # seconds after which a process sees that ours was killed
SHARED = "16K"  # arrays from this size on are mapped into the processes instead of sent with every piece of work


@contextlib.contextmanager
def limit_libraries() -> Iterator[None]:
    """BLAS, OpenMP and OpenCV compute in the thread that calls them, and as before afterwards.

    >>> with limit_libraries():
    ...     cv2.getNumThreads()
    1
    """
    with threadpool_limits(1):
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(before)


def spread(work: Callable[[ItemT], DoneT], items: Iterable[ItemT]) -> Iterator[DoneT]:
    """`work` of every item, in the order of the items, on all cores; items are taken as they are needed.

    The first item that fails, in their order, ends it with its exception. However it ends, a generator of items is closed.

    >>> list(spread(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    cores = count_cores()
    with limit_libraries(), ThreadPoolExecutor(cores) as pool:
        waiting: deque[Future[DoneT]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= AHEAD * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            if isinstance(items, Generator):  # a traceback would keep it open, and a line of progress coming
                items.close()


def spread_apart(work: Callable[[ItemT], DoneT], items: Sequence[ItemT], lot: int = 1) -> Iterator[DoneT]:
    """`work` of every item, in the order of the items, in a process on each core.

    lot: items that are sent together. work: large arrays among the arguments of a `functools.partial` are written once to a
    temporary folder, and the processes map them. An item that fails ends it with its exception. Raises RunError where a process
    is ended from outside, or the folder takes no more. Threads do it (`spread`) where there can be no processes: the system has
    no semaphores to share (/dev/shm is missing or read-only), this process may have no children, or its screen is closed.

    >>> list(spread_apart(abs, [-1, 2, -3], lot=2))
    [1, 2, 3]
    """
    closed = None in (sys.stdout, sys.stderr)  # joblib flushes both
    if closed or "loky" not in BACKENDS or multiprocessing.current_process().daemon:
        yield from spread(work, items)
        return
    cores = count_cores()
    lots = [items[first : first + lot] for first in range(0, len(items), lot)]
    window = WINDOW * cores
    with (
        parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=IDLE),
        Parallel(n_jobs=cores, return_as="generator", batch_size=1, max_nbytes=SHARED) as pool,
    ):
        try:
            for first in range(0, len(lots), window):
                found = pool(delayed(_work_alone)(os.getpid(), work, part) for part in lots[first : first + window])
                try:
                    for done in found:
                        yield from done
                finally:
                    with warnings.catch_warnings(action="ignore"):  # that what was sent ahead was in vain
                        found.close()
        except BrokenProcessPool:
            raise RunError(
                "a process of this command was ended from outside, as where memory runs out; the same command starts it again"
            ) from None
        except Exception as error:
            if type(error).__name__ == "PicklingError" and (numbers := NUMBER.search(str(error.__cause__))):
                number = int(numbers[1] or numbers[2])
                told = explain_system_error(OSError(number, os.strerror(number)), "folder of what processes share")
                raise RunError(f"{told}; JOBLIB_TEMP_FOLDER names another") from None
            raise


def _work_alone(parent: int, work: Callable[[ItemT], DoneT], lot: Sequence[ItemT]) -> list[DoneT]:
    if parent != os.getpid():  # with one core there is no other process
        _watch(parent)
    with limit_libraries():
        return [work(item) for item in lot]


@functools.cache
def _watch(parent: int) -> None:
    """From here on this process ends where its parent does, which may have been killed: it holds memory and the screen."""

    def end() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
