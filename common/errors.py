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


def shorten(text: str, most: int) -> str:
    """The text, cut in its middle where it has more characters: the file stands first, what to do last.

    >>> shorten("mine.toml: " + "x" * 100 + "; rename it", 40)
    'mine.toml: xxxxxxxxxx ... xxx; rename it'
    """
    if len(text) <= most:
        return text
    end = (most - 5) * 2 // 5
    return f"{text[: most - 5 - end]} ... {text[-end:]}"


def run_main(main: Callable[[], int], most: int | None = None) -> int:
    """Call main() and turn a UsageError into one line, of `most` characters, and exit code 2, Ctrl-C into 130."""
    try:
        return main()
    except UsageError as error:
        line = f"error: {to_one_line(str(error))}"
        print(line if most is None else shorten(line, most), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
