"""Long work tells on stderr how far it is: a first line within two seconds, then one every five; short work says nothing.

Of very many things the first line comes at once.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from typing import TypeVar

ItemT = TypeVar("ItemT")
MANY = 1000  # things of which the first line comes at once
FIRST, EVERY = 1.0, 5.0  # seconds
SCREEN = threading.RLock()  # held by whoever writes to stderr or leads it elsewhere for a while


@contextlib.contextmanager
def tell_progress(what: str, total: int = 0) -> Iterator[Callable[[int], None]]:
    """A function that counts so many more things as done; meanwhile lines such as 'reading pictures: 1,200 of 20,000'.

    total: 0 where it is not known. The lines come from a thread of their own, so that one slow thing does not hold them up.

    >>> with tell_progress("reading", total=2) as advance:
    ...     advance(2)
    """
    done, started, ended = 0, time.monotonic(), threading.Event()

    def advance(count: int = 1) -> None:
        nonlocal done
        done += count

    def tell(text: str) -> None:
        with SCREEN, contextlib.suppress(OSError, ValueError):  # a closed pipe is no reason to stop
            print(f"{what}: {text}", file=sys.stderr, flush=True)

    def watch() -> None:
        wait = FIRST
        while not ended.wait(wait):
            wait = EVERY
            spent = time.monotonic() - started
            left = f", about {spent / done * (total - done):.0f} s left" if 0 < done <= total else ""
            tell(f"{done:,}{f' of {total:,}' if total else ''}{left}")

    if total >= MANY:
        tell(f"{total:,}")
    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield advance
    finally:
        ended.set()
        watcher.join()


def track(items: Iterable[ItemT], what: str, *, sizes: Iterable[int] | None = None, total: int | None = None) -> Iterator[ItemT]:
    """The items, while `tell_progress` tells how many of them were taken.

    sizes: how many things each item is, where it is not one; total: how many they are together; None: the items' own number. A
    generator of items is closed, however it ends.

    >>> list(track("ab", "letters"))
    ['a', 'b']
    """
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    with tell_progress(what, total) as advance:
        try:
            for item, size in zip(items, sizes, strict=True) if sizes is not None else ((item, 1) for item in items):
                yield item
                advance(size)
        finally:
            if isinstance(items, Generator):
                items.close()
