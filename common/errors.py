"""What a command cannot help, in one line: faults of the command or its data, and of the machine; and what `main` makes of it."""

import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

AGAIN = "then the same command goes on where it stopped"
FULL = (errno.ENOSPC, errno.EDQUOT)
# error number -> what is wrong, what to do
REASONS = {
    **dict.fromkeys(FULL, ("no space is left on the disk", "free some, or take a folder on another disk")),
    errno.EFBIG: ("files may not become this large here", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "make it writable, or take another folder"),
    errno.EACCES: ("no permission", "give yourself access, or take another folder"),
    errno.EPERM: ("no permission", "give yourself access, or take another folder"),
    errno.ENOENT: ("is not there", "put it back"),
    errno.EISDIR: ("is a folder where a file belongs", "move it away"),
    errno.ENOTDIR: ("leads through a file where a folder belongs", "move it away, or take another folder"),
    errno.EEXIST: ("something else stands in its place", "move it away"),
    errno.ENOTEMPTY: ("something else stands in its place", "move it away"),
    errno.ELOOP: ("is a link that leads to itself", "remove it"),
    errno.ENAMETOOLONG: ("the name is too long", "take a folder with a shorter name"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n), or take fewer --workers"),
    errno.ENOMEM: ("memory ran out", "take fewer --workers, or a machine with more memory"),
    errno.EIO: ("the disk does not answer", "see whether it is sound"),
}  # fmt: skip
# Faults that every further training would meet as well.
OF_ALL = (*FULL, errno.EROFS, errno.EIO, errno.EMFILE, errno.ESTALE, errno.ENODEV)
NUMBER = re.compile(r"errno = (\d+)|\[Errno (\d+)\]")  # in the words of a library that loses the number


class Terminated(KeyboardInterrupt):
    """The program was asked to end (SIGTERM): it ends as by Ctrl-C, and what is temporary is cleared up."""


class UsageError(Exception):
    """A usage or data error: one line that says what is wrong, where, and what to do.

    `run_main` prints it without a traceback and ends with exit code 2.
    """


class RunError(Exception):
    """A run that failed through no fault of its command, as a full disk or a killed process: one line.

    `run_main` prints it without a traceback and ends with exit code 1.
    """


def find_number(error: BaseException) -> int | None:
    """Number of the system's error behind an exception, also where a library has wrapped it; None: there is none.

    >>> find_number(OSError(28, "No space left on device")), find_number(ValueError("other"))
    (28, None)
    >>> find_number(RuntimeError("Unable to flush file (file write failed: errno = 28, error message = ...)"))
    28
    """
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        return errno.ENOMEM
    if isinstance(error, OSError | RuntimeError) and (found := NUMBER.search(str(error))):
        return int(found[1] or found[2])
    return None


def tell_system_error(error: BaseException, place: Path | str = "") -> str:
    """One line on an error of the system: the file, what is wrong with it, what to do. place: as for `explain_system_error`."""
    return f"{explain_system_error(error, place)}; {AGAIN}"


def explain_system_error(error: BaseException, place: Path | str = "") -> str:
    """The file, what is wrong with it, how to put it right. place: what the error is about, where it names no file.

    >>> explain_system_error(OSError(28, "No space left on device", "/data/runs/cell.json"))
    '/data/runs/cell.json: no space is left on the disk; free some, or take a folder on another disk'
    >>> explain_system_error(OSError("1000 requested and 24 written"), "runs")
    'runs: 1000 requested and 24 written; is the disk full?'
    """
    number = find_number(error)
    named = getattr(error, "filename", None)
    where = os.fsdecode(named) if isinstance(named, str | bytes) else str(place)
    if number in REASONS:
        reason, remedy = REASONS[number]
    else:
        words = " ".join(str(getattr(error, "strerror", None) or error).split())[:200] or type(error).__name__
        reason, remedy = words, "is the disk full?" if "requested and" in words else "put that right"
    return f"{where}: {reason}; {remedy}" if where else f"{reason}; {remedy}"


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
    """One line of at most `most` letters, cut in its middle: lines begin with the file and end in what to do.

    >>> shorten("mine.toml: " + "x" * 100 + "; rename it", 40)
    'mine.toml: xxxxxxxxxx ... xxx; rename it'
    """
    line, end = to_one_line(text), (most - 5) * 2 // 5
    return line if len(line) <= most else f"{line[: most - 5 - end]} ... {line[-end:]}"


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


def show_every_letter() -> None:
    """From here on, letters that the screen's encoding lacks are written as escapes, instead of an error after hours of work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def run_main(main: Callable[[], int], most: int | None = None) -> int:
    """Call main(); turn a UsageError into one line, of `most` characters, and exit code 2, a RunError, an error of the system
    and a lack of memory into one line and exit code 1, Ctrl-C into 130, SIGTERM into 143. Any letter can be printed."""
    show_every_letter()
    try:
        with heed_termination():
            return main()
    except UsageError as error:
        line = f"error: {to_one_line(str(error))}"
        print(line if most is None else shorten(line, most), file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads our output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except RunError as error:
        print(f"error: {to_one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    except (OSError, MemoryError, RuntimeError) as error:
        if find_number(error) is None and not isinstance(error, OSError):
            raise  # a fault of ours keeps its traceback
        print(f"error: {to_one_line(tell_system_error(error))}", file=sys.stderr)
        return 1
