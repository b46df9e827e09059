"""Work spread over the cores of this machine: threads of ours, while the libraries beneath keep to one thread each.

BLAS and OpenCV start threads of their own for every product and filter. Below several threads of ours these only wait for each
other: the search for near-duplicates took eight times the processor time.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
from threadpoolctl import threadpool_limits

from common.cli import count_cores

ItemT = TypeVar("ItemT")
DoneT = TypeVar("DoneT")
AHEAD = 4  # pieces of work for each core that wait or whose result waits


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
