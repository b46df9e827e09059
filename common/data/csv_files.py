"""Tables (CSV) from elsewhere: read with limits, their columns checked and converted."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, cast

import numpy as np
import pandas as pd

from common.errors import UsageError, quote
from common.files import check_file

MAX_TABLE_BYTES = 256 << 20
MAX_LINE_BYTES = 1 << 16
MOST_LETTERS = 120  # of the columns that a message names


class NumberedLines(Protocol):
    """The fields of line after line, and which line was read last: what csv.reader gives."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def read_csv_table(
    path: Path, columns: Mapping[str, type], *, numbered: bool = False, max_rows: int = 10_000_000
) -> pd.DataFrame:
    """Read the named columns of a CSV file (UTF-8, comma, header line), strictly.

    columns: name -> str, int or float. Text stays as it stands (also 'NA' and '=1+1'); numbers must be whole or finite.
    Other columns are left out. numbered: the index is the line of the file on which each row begins, as an editor counts them,
    with empty lines and those within a text; else 0, 1, 2, ... Raises UsageError `file:line: what is wrong` for a missing or
    double column, a wrong count of fields, a wrong type, NUL bytes, binary content, a line over 64 KiB, a file over 256 MiB.
    """
    data = _read_table_bytes(path)
    lines = _iterate_fields(data)
    try:
        header = next(lines, [])
        missing = [name for name in columns if name not in header]
        if missing:
            found = show_columns(header)
            raise UsageError(f"{path}:1: no column {', '.join(missing)} in the header line; found: {found}{guess_form(header)}")
        double = [name for name in columns if header.count(name) > 1]
        if double:
            raise UsageError(f"{path}:1: column {double[0]} occurs twice")
        begins, next_line = [], lines.line_num + 1
        flat: list[str] = []  # all fields, row after row: a list of lists would keep the garbage collector busy
        for fields in lines:
            if len(fields) == len(header):
                flat.extend(fields)
                if numbered:
                    begins.append(next_line)
            elif fields:  # an empty line is no row
                raise UsageError(f"{path}:{lines.line_num}: {len(fields)} fields where the header has {len(header)}")
            next_line = lines.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{path}:{lines.line_num}: not a CSV line: {error}") from None
    if len(flat) > max_rows * len(header):
        raise UsageError(f"{path}: {len(flat) // len(header)} rows, more than the {max_rows} expected")
    table = {}
    for name, kind in columns.items():
        texts = flat[header.index(name) :: len(header)]
        try:
            table[name] = texts if kind is str else _convert_numbers(texts, kind)
        except (ValueError, OverflowError):
            _raise_bad_number(path, data, name, kind)
    frame = pd.DataFrame(table, index=begins if numbered else None)
    return frame.astype({name: str for name, kind in columns.items() if kind is str})


def list_lines(table: pd.DataFrame) -> list[tuple[int, dict[str, str]]]:
    """(line of the file, its fields by column) of each row of a numbered table of texts.

    >>> list_lines(pd.DataFrame({"path": ["a.png", "b.png"]}, index=[2, 4]))
    [(2, {'path': 'a.png'}), (4, {'path': 'b.png'})]
    """
    fields = cast(list[dict[str, str]], table.to_dict("records"))
    return list(zip(table.index.tolist(), fields, strict=True))


def show_columns(header: Sequence[str]) -> str:
    """The names of a table's columns as messages show them, cut where they are many or long.

    >>> show_columns(["path", "la\\tbel"]), show_columns([])
    ("path, 'la\\\\tbel'", 'nothing')
    """
    shown = ", ".join(name if name.isprintable() and len(name) < MOST_LETTERS else quote(name) for name in header)
    return shown[:MOST_LETTERS] or "nothing"


def guess_form(header: Sequence[str]) -> str:
    """What to do where a header line is that of another form of table, to be put behind a message; "" where it is not.

    >>> guess_form(["path;label;patient"]), guess_form(["path", "label"])
    ('; separated by semicolons? use commas', '')
    """
    if re.fullmatch(r"sep=.?", header[0] if header else ""):
        return "; this line tells Excel the separator and is no header: delete it"
    found = [name for sign, name in {";": "semicolons", "\t": "tabs"}.items() if len(header) == 1 and sign in header[0]]
    return f"; separated by {found[0]}? use commas" if found else ""


def read_header(path: Path) -> list[str]:
    """Names of the columns of a CSV file, as `read_csv_table` takes them; UsageError as there."""
    try:
        return next(_iterate_fields(_read_table_bytes(path)), [])
    except csv.Error as error:
        raise UsageError(f"{path}:1: not a CSV line: {error}") from None


def _convert_numbers(texts: list[str], kind: type) -> np.ndarray:
    values = np.fromiter(map(kind, texts), np.int64 if kind is int else np.float64, len(texts))
    if not np.isfinite(values).all() or any("_" in text for text in texts):  # Python takes 1_0 for a number
        raise ValueError
    return values


def _read_table_bytes(path: Path) -> bytes:
    try:
        if (size := check_file(path).st_size) > MAX_TABLE_BYTES:
            raise UsageError(f"{path}: {size} bytes are too many for a table; is it the right file?")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if _is_utf16(data):
        raise UsageError(f"{path}:1: UTF-16 text; save the table as UTF-8 CSV")
    nul = data.find(b"\0")
    if nul >= 0:
        raise UsageError(f"{path}:{data.count(10, 0, nul) + 1}: a NUL byte; this is not a CSV file")
    start = 0
    while len(data) - start > MAX_LINE_BYTES:
        end = data.rfind(b"\n", start, start + MAX_LINE_BYTES)
        if end < 0:
            line = data.count(b"\n", 0, start) + 1
            raise UsageError(f"{path}:{line}: a line of more than {MAX_LINE_BYTES} bytes; this is not a CSV table")
        start = end + 1
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text; save the table as UTF-8 CSV") from None
    return data


def _is_utf16(data: bytes) -> bool:
    """Whether a table begins as UTF-16 does: with its mark, or with plain letters of two bytes each."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    even, odd = data[:16:2], data[1:16:2]
    return len(odd) > 1 and any(not high.strip(b"\0") and b"\0" not in low for high, low in ((even, odd), (odd, even)))


def _iterate_fields(data: bytes) -> NumberedLines:
    return csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), strict=True)


def _raise_bad_number(path: Path, data: bytes, name: str, kind: type) -> NoReturn:
    """Raise UsageError for the first text of a column that is no number, with its line."""
    lines = _iterate_fields(data)
    place = next(lines).index(name)
    for fields in filter(None, lines):
        try:
            _convert_numbers([fields[place]], kind)
        except (ValueError, OverflowError):
            noun = "a whole number" if kind is int else "a finite number"
            message = f"{path}:{lines.line_num}: column {name}: {fields[place][:60]!r} is not {noun}"
            raise UsageError(message) from None
    raise AssertionError(f"{path}: column {name} failed as a whole but not in any line")
