"""The one exception that a user can cause, and what a command line makes of it."""

import sys
from collections.abc import Callable


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


def run_main(main: Callable[[], int]) -> int:
    """Call main() and turn a UsageError into one line and exit code 2, Ctrl-C into 130."""
    try:
        return main()
    except UsageError as error:
        print(f"error: {to_one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
