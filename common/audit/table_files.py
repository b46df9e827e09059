"""Printed tables in files of their own: CSV, TSV, Markdown and Excel, every cell with its place for error messages.

The files come from anywhere: sizes are bounded before anything is read, and what cannot be read is a UsageError of one line.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.audit.workbooks import read_workbook
from common.errors import UsageError
from common.files import check_file
from common.records.printed_tables import Place, Rows

SUFFIXES = (".csv", ".tsv", ".txt", ".md", ".markdown", ".xlsx", ".xlsm")
MOST_BYTES = 5_000_000  # of a file: a table of a paper has a few thousand
MOST_ROWS, MOST_COLUMNS = 2000, 200
RULE = re.compile(r"\s*:?-+:?\s*")  # a cell of the line below the heads of a Markdown table
SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas"}


@dataclass(frozen=True)
class Grid:
    """A table as it stands in a file: its first line holds the heads, its first column the names of the rows."""

    label: str  # the file, and which of its tables
    name: str  # the same, without folders
    rows: Rows


def read_table_file(path: Path) -> list[Grid]:
    """The tables of a file: one of a CSV or TSV, all of a Markdown file and every sheet of a workbook that holds something.

    Text is UTF-8 (with or without its mark), UTF-16 with its mark, or Windows-1252. A CSV may be separated by commas,
    semicolons or tabs, whichever divides its first line. Raises UsageError, one line, with file and line or cell.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     _ = path.write_text("model;Acc\\nCNN;87,5\\n")
    ...     (grid,) = read_table_file(path)
    >>> [[place.text for place in row] for row in grid.rows], grid.rows[1][1].where.rpartition("table.csv")[2]
    ([['model', 'Acc'], ['CNN', '87,5']], ', line 2, column 2 (Acc)')
    """
    suffix = path.suffix.lower()
    if suffix == ".xls":
        raise UsageError(f"{path}: the old .xls cannot be read; save it as .xlsx or .csv")
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: cannot tell what it is; a table is {', '.join(SUFFIXES)}, a paper .toml")
    try:
        if check_file(path).st_size > MOST_BYTES:
            raise UsageError(f"{path}: larger than {MOST_BYTES:,} bytes; give the table alone")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a table") from None
    markdown = False
    if suffix in (".xlsx", ".xlsm"):
        sheets = read_workbook(content, path, MOST_ROWS, MOST_COLUMNS)
        found = [(f", sheet {name}", rows) for name, rows in sheets]
    else:
        text = _decode(content, path)
        markdown = suffix in (".md", ".markdown") or (suffix == ".txt" and any(_is_rule(line) for line in text.splitlines()))
        tables = list(_find_markdown(text, path)) if markdown else [(1, _split_text(text, path, suffix))]
        found = [(f", table {i} (line {line})", rows) for i, (line, rows) in enumerate(tables, start=1)]
    grids = [
        Grid(f"{path}{which}" if len(found) > 1 else str(path), f"{path.name}{which}" if len(found) > 1 else path.name, rows)
        for which, rows in found
    ]
    for grid in grids:
        if len(grid.rows) < 2:
            raise UsageError(f"{grid.label}: a table needs a line of heads and a row below it")
    if not grids:
        raise UsageError(
            f"{path}: no table in it" + ("; a Markdown table has a line |---|---| below its heads" if markdown else "")
        )
    return grids


def _decode(content: bytes, path: Path) -> str:
    """Text of a file in one of the encodings that spreadsheets write."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-16":
            raise UsageError(f"{path}: damaged: begins as UTF-16 and goes on as something else; save it as UTF-8") from None
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: byte {error.start + 1} belongs to no text; save it as UTF-8") from None
    if "\0" in text:
        raise UsageError(f"{path}: not a text file; a workbook ends in .xlsx")
    return text


def _split_text(text: str, path: Path, suffix: str) -> Rows:
    """The rows of a CSV or TSV; empty lines are passed over."""
    lines = text.splitlines(keepends=True)
    declared = re.fullmatch(r"sep=(.)", lines[0].strip("\r\n")) if lines else None  # as Excel writes and reads it
    separator = declared[1] if declared else "\t" if suffix == ".tsv" else _guess_separator(lines)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    heads: list[str] = []
    rows: list[tuple[Place, ...]] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or (declared and reader.line_num == 1):
                continue
            where = f"{path}, line {reader.line_num}"
            if not heads:
                heads = [cell.strip() for cell in cells]
                _check_size(heads, rows, where)
            cells = _cut(cells, len(heads), where, separator)
            rows.append(_place_cells(cells, heads, where))
            _check_size(heads, rows, where)
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}; an open quotation mark?") from None
    return tuple(rows)


def _guess_separator(lines: list[str]) -> str:
    """The sign that divides the first line that is not empty: semicolons before tabs before commas, which stand in numbers."""
    first = next((re.sub(r'"[^"]*"', "", line) for line in lines if line.strip()), "")
    return next((sign for sign in SEPARATORS if sign in first), ",")


def _cut(cells: list[str], width: int, where: str, separator: str) -> list[str]:
    """The cells of a row, as many as there are heads; those that are missing at its end are empty."""
    if any(cell.strip() for cell in cells[width:]):
        hint = "; numbers with a decimal comma need quotes, or semicolons between the cells" if separator == "," else ""
        raise UsageError(f"{where}: {len(cells)} cells below {width} heads, separated by {_name_separator(separator)}{hint}")
    return [*cells[:width], *[""] * (width - len(cells))]


def _name_separator(separator: str) -> str:
    return SEPARATORS.get(separator, "bars" if separator == "|" else repr(separator))


def _place_cells(cells: list[str], heads: list[str], where: str) -> tuple[Place, ...]:
    return tuple(
        Place(cell.strip(), f"{where}, column {i}" + (f" ({head[:40]})" if head else ""))
        for i, (cell, head) in enumerate(zip(cells, heads, strict=True), start=1)
    )


def _check_size(heads: list[str], rows: list[tuple[Place, ...]], where: str) -> None:
    if len(heads) > MOST_COLUMNS or len(rows) > MOST_ROWS:
        raise UsageError(f"{where}: more than {MOST_ROWS} rows or {MOST_COLUMNS} columns; give the table alone")


def _find_markdown(text: str, path: Path) -> Iterator[tuple[int, Rows]]:
    """(line, rows) of each table with bars: a line of heads, a line such as |---|:-:|, and the rows below."""
    lines = text.splitlines()
    i = 1
    while i < len(lines):
        if not (_is_rule(lines[i]) and "|" in lines[i - 1]):
            i += 1
            continue
        start, heads = i, _split_bars(lines[i - 1])
        rows = [_place_cells(heads, heads, f"{path}, line {i}")]
        _check_size(heads, rows, f"{path}, line {i}")
        i += 1
        while i < len(lines) and "|" in lines[i]:
            where = f"{path}, line {i + 1}"
            rows.append(_place_cells(_cut(_split_bars(lines[i]), len(heads), where, "|"), heads, where))
            _check_size(heads, rows, where)
            i += 1
        yield start, tuple(rows)


def _is_rule(line: str) -> bool:
    return "|" in line and "-" in line and all(RULE.fullmatch(cell) for cell in line.strip().strip("|").split("|"))


def _split_bars(line: str) -> list[str]:
    r"""Cells of a line of a Markdown table; \| is no border."""
    inner = re.sub(r"(?<!\\)\|$", "", line.strip().removeprefix("|"))
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]
