"""Tables in Excel workbooks (.xlsx), with the digits that the sheet shows: 0.85 in the format 0.000 is printed "0.850".

A workbook is a zip of XML and may be anything: its parts are bounded before they are unpacked, entities are refused, and a
formula is never evaluated.
"""

import io
import re
import warnings
import zipfile
import zlib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.records.printed_tables import Place, Rows

MOST_UNPACKED = 20_000_000  # bytes of all parts together: a sheet with a table has some ten thousand
MOST_PARTS = 1000
DECIMALS = re.compile(r"[#0,?]*0(?:\.(?P<decimals>0+))?(?:\s|\\ |_\))*(?P<percent>%?)")  # number formats such as 0.000 and 0.0%


def read_workbook(content: bytes, path: Path, most_rows: int, most_columns: int) -> list[tuple[str, Rows]]:
    """(name, rows) of every sheet that holds something; each cell is named as the sheet names it, "cell B3".

    content: the file's bytes; path: for error messages. Raises UsageError for a file that is damaged, packed to burst, locked
    with a password or larger than the limits.

    >>> from openpyxl import Workbook
    >>> book = Workbook()
    >>> for row in (["", "Acc"], ["CNN", 0.85]):
    ...     book.active.append(row)
    >>> book.active["B2"].number_format = "0.000"
    >>> book.save(file := io.BytesIO())
    >>> ((name, rows),) = read_workbook(file.getvalue(), Path("table.xlsx"), 100, 100)
    >>> name, rows[1][1]
    ('Sheet', Place(text='0.850', where='table.xlsx, cell B2'))
    """
    from openpyxl import load_workbook  # on demand: few audits read a workbook, and it takes longer to load than the others take

    _check_parts(content, path)
    sheets = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of extensions that are not read, such as colours by condition
            book = load_workbook(io.BytesIO(content), read_only=True, data_only=False, keep_links=False)
            for sheet in book.worksheets:
                if sheet.sheet_state == "visible":
                    sheet.reset_dimensions()  # what a file says of its size may be wrong
                    cells = [list(row) for row in sheet.iter_rows(max_row=most_rows + 2, max_col=most_columns + 1)]
                    sheets.append((sheet.title, cells))
            book.close()
    except Exception as error:  # a library of many parts, fed with anything: whatever it raises, the file is at fault
        fault = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise UsageError(f"{path}: not a readable .xlsx workbook ({fault}); save it again, or as .csv") from None
    found = []
    for title, cells in sheets:
        place = f"{path}, sheet {title!r}, cell" if len(sheets) > 1 else f"{path}, cell"
        rows = _cut_empty([[_show_cell(cell, place) for cell in row] for row in cells])
        if len(rows) > most_rows + 1 or any(len(row) > most_columns for row in rows):
            raise UsageError(
                f"{path}: sheet {title!r} has more than {most_rows} rows or {most_columns} columns; give the table alone"
            )
        if rows:
            found.append((title, rows))
    return found


def _check_parts(content: bytes, path: Path) -> None:
    """UsageError for what is no zip, holds too much, or defines entities of its own."""
    if content[:4] == b"\xd0\xcf\x11\xe0":
        raise UsageError(f"{path}: an old workbook, or one with a password; save it as .xlsx without one, or as .csv")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            parts = packed.infolist()
            # zipfile reads no more of a part than its size as stated here.
            if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
                raise UsageError(
                    f"{path}: unpacks to more than {MOST_UNPACKED:,} bytes or {MOST_PARTS} parts; give the table alone"
                )
            for part in parts:
                text = packed.read(part).replace(b"\0", b"") if part.filename.endswith((".xml", ".rels")) else b""
                if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
                    raise UsageError(f"{path}: {part.filename[:80]!r} defines entities, which no spreadsheet does; not read")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError, zlib.error) as error:
        raise UsageError(f"{path}: not a readable .xlsx workbook ({str(error)[:80]}); save it again, or as .csv") from None


def _show_cell(cell: Any, place: str) -> Place:
    """A cell as its sheet shows it. Formulas keep their text, which is no number; it is refused where a number is looked for."""
    value = getattr(cell, "value", None)
    where = f"{place} {cell.coordinate}" if value is not None else place
    if value is None:
        return Place("", where)
    if cell.data_type == "f" or (isinstance(value, str) and value.startswith("=")):
        return Place(str(value), f"{where} (a formula: paste its value)")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Place(str(value).strip(), where)
    form = DECIMALS.fullmatch(str(cell.number_format).split(";")[0])
    if not form:
        return Place(f"{value:.15g}", where)
    # As the sheet shows it: decimal halves go up.
    number = Decimal(f"{value:.15g}") * (100 if form["percent"] else 1)
    shown = number.quantize(Decimal(1).scaleb(-len(form["decimals"] or "")), ROUND_HALF_UP)
    return Place(f"{shown:f}{form['percent']}", where)


def _cut_empty(rows: list[list[Place]]) -> Rows:
    """Without the empty rows, and without the empty columns on either side."""
    filled = [row for row in rows if any(place.text for place in row)]
    used = [i for row in filled for i, place in enumerate(row) if place.text]
    first, last = (min(used), max(used) + 1) if used else (0, 0)
    width = last - first
    return tuple((*row[first:last], *[Place("", "")] * (width - len(row[first:last]))) for row in filled)
