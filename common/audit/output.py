"""Printing to whatever stands behind the standard output: a terminal of few characters, a pipe that closes, a file."""

import os
import sys
from typing import TextIO

from common.errors import UsageError

PLAIN = {
    "±": "+-",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "≠": "/=",
    "\N{NO-BREAK SPACE}": " ",
}


def fit_encoding(text: str, encoding: str) -> str:
    """The text in characters that the encoding has: others as near as they come, or as ?.

    >>> fit_encoding("94.1 ± 1.2, Müller", "ascii"), fit_encoding("94.1 ± 1.2", "utf-8")
    ('94.1 +- 1.2, M?ller', '94.1 ± 1.2')
    """
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "".join(sign if _has(encoding, sign) else PLAIN.get(sign, "?") for sign in text)
    return text


def fit_page(text: str, encoding: str) -> str:
    """An HTML page that any encoding can hold: unless it is UTF-8, as the page says of itself, all else by its number.

    >>> fit_page("94.1 ± 1.2", "latin-1"), fit_page("94.1 ± 1.2", "UTF-8")
    ('94.1 &#177; 1.2', '94.1 ± 1.2')
    """
    if encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf8sig"):
        return text
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def print_text(text: str, *, page: bool = False, stream: TextIO | None = None) -> None:
    """Print a text, or an HTML page; a reader that has closed the pipe, such as `head`, ends the printing without a word.

    Raises UsageError where nothing can be written, as on a full disk.

    >>> print_text("91/100 = 91.00")
    91/100 = 91.00
    """
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        print(fit_page(text, encoding) if page else fit_encoding(text, encoding), file=stream)
        stream.flush()
    except BrokenPipeError:
        # What is left in the buffer would be written, and fail, once more at the end of the program.
        _discard(stream)
    except OSError as error:
        _discard(stream)
        raise UsageError(f"standard output: cannot be written, {error.strerror or error}") from None


def _discard(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _has(encoding: str, sign: str) -> bool:
    try:
        sign.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
