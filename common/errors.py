"""The one exception that a user can cause, and what a command line makes of it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


class Terminated(KeyboardInterrupt):
    """The program was asked to end (SIGTERM): it ends as by Ctrl-C, and what is temporary is cleared up."""


class UsageError(Exception):
    """A usage or data error: one line that says what is wrong, where, and what to do.

    `run_main` prints it without a traceback and ends with exit code 2.
    """


def to_one_line(text: str) -> str:
    """The text with line breaks, control sequences and marks that turn the direction of writing made visible.

    >>> print(to_one_line("two\\nlines \\x1b[31mred"))
    two\\nlines \\x1b[31mred
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def quote(text: str, most: int = 60) -> str:
    """A text from elsewhere as messages show it: in quotes, on one line, of at most that many letters.

    >>> print(quote("two\\nlines"), quote("a" * 99, 10))
    'two\\nlines' 'aaaaaa...
    """
    shown = repr(text[: most + 1])
    return shown if len(text) <= most and len(shown) <= most + 2 else shown[: most - 3] + "..."


def shorten(text: str, most: int = 240) -> str:
    """One line of at most `most` letters; what is cut out stands in the middle, as lines end in what to do.

    >>> shorten("row '" + "x" * 500 + "' is unknown; correct it", 40)
    "row 'xxxxxxxxxxx ...  unknown; correct it"
    """
    line = to_one_line(text)
    return line if len(line) <= most else f"{line[: most // 2 - 4]} ... {line[len(line) - most // 2 :]}"


@contextlib.contextmanager
def keep_short(path: Path) -> Iterator[None]:
    """A UsageError about the content of a file stays one line of moderate length, whatever stands there; its path stays whole."""
    try:
        yield
    except UsageError as error:
        before, name, after = str(error).partition(str(path))
        raise UsageError(before + name + shorten(after) if name else shorten(before)) from None


@contextlib.contextmanager
def heed_termination() -> Iterator[None]:
    """While this is open, SIGTERM raises Terminated in the main thread of this process; its children end as they always do."""
    owner = os.getpid()

    def end(number: int, _frame: object) -> None:
        if os.getpid() == owner:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if threading.current_thread() is not threading.main_thread():  # only there can it be told
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_main(main: Callable[[], int]) -> int:
    """Call main() and turn a UsageError into one line and exit code 2, Ctrl-C into 130, SIGTERM into 143."""
    try:
        with heed_termination():
            return main()
    except UsageError as error:
        print(f"error: {to_one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
