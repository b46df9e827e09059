"""Reading files on all cores, very many in processes, in their order, with a line on the screen about how far it is."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from common.errors import UsageError
from common.parallel import MANY, spread, spread_apart
from common.progress import tell_progress, track

ItemT = TypeVar("ItemT")
ReadT = TypeVar("ReadT")
LOT = 32  # files that one process reads at a time


def read_ahead(
    read: Callable[[ItemT], ReadT], items: Sequence[ItemT], what: str = "reading pictures"
) -> Iterator[tuple[ItemT, ReadT | UsageError]]:
    """Every item with what `read` makes of it, or with its UsageError: a fault of one file, which the caller lists.

    Items come in their order, and are read a few ahead; what: for the lines of progress.

    >>> def read(name):
    ...     if name == "b":
    ...         raise UsageError("b: damaged")
    ...     return name.upper()
    >>> list(read_ahead(read, ["a", "b"]))
    [('a', 'A'), ('b', UsageError('b: damaged'))]
    """

    def attempt(item: ItemT) -> tuple[ItemT, ReadT | UsageError]:
        try:
            return item, read(item)
        except UsageError as error:
            return item, error

    if len(items) < MANY:
        yield from spread(attempt, track(items, what))
        return
    with tell_progress(what, len(items)) as advance:
        for done in spread_apart(attempt, items, LOT):
            yield done
            advance(1)
