"""Every CSV that is written here, and read back: a text that a spreadsheet would compute is marked by an apostrophe.

Patients, files and rows have any names, and `=HYPERLINK(...)` is one: a spreadsheet runs it when somebody opens the table. Cells
that begin as a formula does (= + - @ and control characters, apostrophes before them counted) get an apostrophe in front, numbers
excepted; `read_table` takes it off again. Tables of users are no affair of this module: common.data.csv_files.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # a mark in front of what looks marked already, so that no two texts become one
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def guard_cell(text: str) -> str:
    """The text as a spreadsheet shows and does not compute it.

    >>> [guard_cell(text) for text in ("=1+1", "@name", "-inf", "-1.5e-3", "'=1", "ann", "")]
    ["'=1+1", "'@name", "'-inf", '-1.5e-3', "''=1", 'ann', '']
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def restore_cell(text: str) -> str:
    """What `guard_cell` was given.

    >>> [restore_cell(guard_cell(text)) for text in ("=1+1", "'=1", "-1.5", "'quoted'")]
    ['=1+1', "'=1", '-1.5', "'quoted'"]
    """
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def render_lines(lines: Iterable[Sequence[object]], end: str = "\n") -> str:
    r"""CSV text of lines of cells.

    >>> render_lines([["patient", "x"], ["=a", -1]])
    "patient,x\n'=a,-1\n"
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end)
    writer.writerows([guard_cell(cell) if isinstance(cell, str) else cell for cell in line] for line in lines)
    return file.getvalue()


def write_lines(path: Path, lines: Iterable[Sequence[object]]) -> None:
    """Write CSV, UTF-8, one line of cells after the other."""
    path.write_text(render_lines(lines), encoding="utf-8", newline="")


def render_table(table: pd.DataFrame, float_format: str | None = None) -> str:
    r"""CSV text of a table with its header, without its index.

    >>> render_table(pd.DataFrame({"patient": ["=a", "b"], "score": [-0.25, 1]}), "%.9g")
    "patient,score\n'=a,-0.25\nb,1\n"
    """
    guarded = {name: _map_texts(table[name], guard_cell) for name in table}
    text: str = pd.DataFrame(guarded, index=table.index, columns=table.columns).to_csv(
        index=False, float_format=float_format, lineterminator="\n"
    )
    return text


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, UTF-8."""
    path.write_text(render_table(table), encoding="utf-8", newline="")


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """A table that `render_table` gave, from a file; options: of pandas.read_csv, which raises what it raises."""
    table = pd.read_csv(path, **options)
    return table.assign(**{str(name): _map_texts(table[name], restore_cell) for name in table})


def _map_texts(column: pd.Series, change: Any) -> pd.Series:
    """The column with its texts changed; itself where it holds none to change."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    changed = [change(value) if isinstance(value, str) else value for value in column]
    return column if changed == list(column) else pd.Series(changed, index=column.index, dtype=column.dtype)
