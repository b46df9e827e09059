"""TOML from anywhere, read within bounds; and on which line an entry stands, which the parser of the library does not say."""

import re
import tomllib
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.records.bounds import refuse_excess

MOST_CHARACTERS = 2_000_000  # of a file; the longest of ours has 40,000
MOST_FIGURES = 60  # characters of a number with decimals
PARTS = re.compile(r"(?<![\w.-])(?:[\w-]*[ \t]*\.[ \t]*){20}")  # of a key: many take the parser long

# Strings and comments, whose contents must not be taken for brackets or headers.
OPAQUE = re.compile(r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*')


def read_toml(text: str, path: Path) -> dict[str, Any]:
    """The document. Raises UsageError for what is not TOML or goes beyond the bounds; path: for messages.

    >>> read_toml("x = " + "[" * 1000 + "]" * 1000, Path("mine.toml"))
    Traceback (most recent call last):
    common.errors.UsageError: mine.toml: not a valid TOML file: nested too deeply
    """
    fault = ""
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"{path}: {len(text)} characters, more than {MOST_CHARACTERS}; is it the right file?")
    if PARTS.search(_blank_opaque(text)):
        raise UsageError(f"{path}: not a valid TOML file: a key of more than 20 parts")
    try:
        document = tomllib.loads(text, parse_float=_read_float)
    except RecursionError:
        fault = "nested too deeply"
    except tomllib.TOMLDecodeError as error:
        fault = str(error)[:200]
    except ValueError as error:  # of int and _read_float
        fault = str(error).partition(";")[0]
    if fault:
        raise UsageError(f"{path}: not a valid TOML file: {fault}")
    refuse_excess(document, str(path))
    return document


def _read_float(text: str) -> float:
    if len(text) > MOST_FIGURES:
        raise ValueError(f"a number of {len(text)} characters")
    return float(text)


def find_entry_lines(text: str, name: str) -> list[int]:
    """Line (from 1) of each entry of the array of tables `name`, in the order in which a parser lists them.

    Both forms are found: [[name]] headers, and name = [{...}, {...}]. The text must be valid TOML.

    >>> find_entry_lines("[[claim]]\\n# [[claim]] in a comment\\n[[claim]]", "claim")
    [1, 3]
    """
    plain = _blank_opaque(text)
    starts = [match.start() for match in re.finditer(rf"^[ \t]*\[\[[ \t]*{name}[ \t]*\]\]", plain, re.MULTILINE)]
    if array := re.search(rf"^[ \t]*{name}[ \t]*=[ \t]*\[", plain, re.MULTILINE):
        depth = 1
        for place in range(array.end(), len(plain)):
            if depth == 1 and plain[place] == "{":
                starts.append(place)
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(plain[place], 0)
            if depth == 0:
                break
    return [plain.count("\n", 0, start) + 1 for start in starts]


def find_table_line(text: str, name: str) -> int | None:
    """Line (from 1) of the header [name]; None if the table is written in another form."""
    plain = _blank_opaque(text)
    header = re.search(rf"^[ \t]*\[[ \t]*{name}[ \t]*\]", plain, re.MULTILINE)
    return plain.count("\n", 0, header.start()) + 1 if header else None


def _blank_opaque(text: str) -> str:
    return OPAQUE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
