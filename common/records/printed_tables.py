"""A whole printed table as claims: rows and columns as they stand in the paper, in a paper.toml or in a file of its own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple

from common.errors import UsageError
from common.records.claims import ORIGIN, Claim, check_claim, check_origin, name_classes
from common.records.metric_names import RATIOS, SPELLINGS, Head, read_head
from common.records.paper_entries import read_classes, read_fields, read_fold_sizes
from common.records.table_cells import Cell, read_cell

TABLE_UNITS = ("percent", "fraction")
# Names of rows that hold no results of a model: spreads, tests and differences.
NO_RESULT = re.compile(
    r"(?:sd|s\.d\.|std\.?(?:[ -]?dev(?:iation|\.)?)?|standard[ -]deviation|±?\s*sd|sem?|standard[ -]error"
    r"|p|p[ -]?values?.*|p\s*[<(=].*|(?:95\s*%\s*)?(?:ci|c\.i\.|confidence intervals?)(?:\s*\(?95\s*%?\)?)?"
    r"|differences?|Δ|delta|(?:improvement|gain)s?)(?:\s*\(.*\))?(?: \([0-9]+\))?",
    re.IGNORECASE,
)
# The fields that each number of a table fills in; the other ones are those of the table.
BLANK: dict[str, Any] = {"row": "", "metric": "", "value": None, "digits": 0, "unit": "fraction"}


class Place(NamedTuple):
    """A cell as it stands in its file, and where that is, for error messages: "table.csv, line 3, column 2 (Sens.)"."""

    text: str
    where: str


Rows = tuple[tuple[Place, ...], ...]


@dataclass(frozen=True)
class PrintedTable:
    """What a printed table says."""

    claims: tuple[Claim, ...]
    notes: tuple[str, ...]  # what was left out, and what was taken for what: one clause each


def read_table_entry(entry: Any, where: str, compositions: dict[str, dict[str, int]]) -> PrintedTable:
    """The table of a [[table]] as parsed: `columns` holds the heads, `rows` the name of each row and its cells, in quotes.

    where: place of the entry for error messages. compositions: the cases per class that [classes] names. Raises UsageError.

    >>> entry = {"table": "4", "columns": ["Acc", "F1"], "rows": [["CNN", "0.850", "0.84"], ["SVM", "0.8", "-"]]}
    >>> table = read_table_entry(entry, "mine.toml: table 1", {})
    >>> [(claim.row, claim.metric, claim.value, claim.digits) for claim in table.claims]
    [('CNN', 'accuracy', 0.85, 3), ('CNN', 'f1', 0.84, 2), ('SVM', 'accuracy', 0.8, 1)]
    """
    fields = read_fields(
        name_classes(entry, where, compositions),
        where,
        required={"table": str, "columns": list, "rows": list},
        optional={"where": str, "unit": str, "classes": dict, **ORIGIN},
    )
    columns, rows, unit = fields.pop("columns"), fields.pop("rows"), fields.pop("unit", "")
    if not columns or not all(isinstance(head, str) and head.strip() for head in columns):
        raise UsageError(f"{where}: field 'columns' must list the heads of the columns behind that of the rows' names")
    names: set[str] = set()
    for position, row in enumerate(rows, start=1):
        if not isinstance(row, list) or not all(isinstance(cell, str) for cell in row):
            raise UsageError(
                f'{where}: row {position} must be a list of texts, so that the last digit is known: ["CNN", "0.850"]'
            )
        if len(row) != len(columns) + 1:
            raise UsageError(f"{where}: row {position} has {len(row)} cells, not a name and {len(columns)} cells")
        if not row[0].strip() or row[0] in names:
            raise UsageError(f"{where}: row {position} needs a name of its own, not {row[0]!r}")
        names.add(row[0])
    if "classes" in fields:
        fields["classes"] = read_classes(fields["classes"], f"{where}: field 'classes'")
    fields["fold_sizes"] = read_fold_sizes(fields.get("fold_sizes", []), fields.get("classes", {}), where)
    fields.setdefault("where", f"Table {fields['table']}")
    grid = [[Place(head, f"{where}: column {head!r}") for head in ["row", *columns]]]
    for row in rows:
        grid.append([Place(row[0], f"{where}: row {row[0]!r}")])
        grid[-1] += [Place(c, f"{where}: row {row[0]!r}, column {h!r}") for c, h in zip(row[1:], columns, strict=True)]
    return read_grid(grid, Claim(**{"classes": {}, **fields, **BLANK}), unit, where)


def read_grid(grid: Sequence[Sequence[Place]], about: Claim, unit: str, where: str) -> PrintedTable:
    """The claims of a table whose first line holds the heads and whose first column the names of the rows.

    A table whose first column holds the metrics is turned. Columns that are no metric that is known are left out, and named.
    about: table, place, classes, average, folds and runs of all its numbers. unit: "percent", "fraction" or "": a column is
    percent if its head or a cell says so or a value is above 1, else a fraction. Raises UsageError, beginning with `where` or
    the place of a cell: no known metric, a cell that is no number, a number out of range, a unit that can be either.

    >>> grid = [[Place(text, "") for text in row] for row in [["", "Acc", "AUC", "RMSE"], ["CNN", "91.5", "0.97", "3.1"]]]
    >>> table = read_grid(grid, Claim("4", where="Table 4", classes={}, **BLANK), "", "mine.csv")
    >>> [(claim.metric, claim.value, claim.unit) for claim in table.claims]
    [('accuracy', 91.5, 'percent'), ('auc', 0.97, 'fraction')]
    >>> table.notes
    ('taken as percent, being above 1: accuracy; as fractions: auc', 'left out, no metric that is known: RMSE')
    """
    if unit not in ("", *TABLE_UNITS):
        raise UsageError(f"{where}: field 'unit' must be one of {', '.join(TABLE_UNITS)}, not {unit!r}")
    check_origin(about, where)
    grid, turned = _turn(grid)
    columns, left_out = _choose_columns(grid[0], where)
    rows: list[tuple[str, Sequence[Place]]] = []
    no_results: list[tuple[str, Sequence[Place]]] = []
    for name, row in _list_rows(grid):
        (no_results if NO_RESULT.fullmatch(name) else rows).append((name, row))
    cells = {(name, i): _read_place(place) for name, row in rows for i, place in enumerate(row) if i in columns}
    units, note = _choose_units(columns, rows, cells, unit)
    claims = []
    for name, row in rows:
        for i, head in columns.items():
            cell = cells.get((name, i))
            if cell is not None:
                claim = replace(
                    about,
                    row=name,
                    metric=head.metric,
                    value=float(cell.text),
                    digits=_count_digits(cell.text),
                    unit="percent" if cell.percent and head.metric not in RATIOS else units[i],
                    average=head.average or about.average,
                    sd=float(cell.sd) if cell.sd else None,
                    sd_digits=_count_digits(cell.sd),
                )
                check_claim(claim, row[i].where)
                claims.append(claim)
    if not claims:
        raise UsageError(f"{where}: no number below {', '.join(grid[0][i].text.strip() for i in columns)}")
    beside = sum(cell is not None and bool(cell.beside) for cell in cells.values())
    bracketed = sum(cell is not None and cell.is_bracketed for cell in cells.values())
    notes = [
        "the metrics stand in the first column, one a row" if turned else "",
        note,
        f"left out, no metric that is known: {', '.join(left_out)}" if left_out else "",
        f"left out, rows that are no results: {', '.join(name for name, _ in no_results)}" if no_results else "",
        f"in brackets, taken as standard deviation: {bracketed} cells" if bracketed else "",
        f"not read, in brackets beside the number: intervals, counts or references of {beside} cells" if beside else "",
    ]
    return PrintedTable(tuple(claims), tuple(filter(None, notes)))


def clean_name(text: str) -> str:
    """A name of a row as one line, without signs of bold print and what cannot be printed.

    >>> clean_name("**ResNet-50**\\n (ours)")
    'ResNet-50 (ours)'
    """
    words = " ".join(re.sub(r"\*\*|__|`", "", text).split())
    return "".join(sign for sign in words if sign.isprintable()).strip("* ")[:200]


def _turn(grid: Sequence[Sequence[Place]]) -> tuple[list[list[Place]], bool]:
    """The grid with its metrics in the first line; whether it had to be turned."""
    if not any(read_head(place.text) for place in grid[0][1:]) and any(row and read_head(row[0].text) for row in grid[1:]):
        empty = Place("", "")
        return [list(column) for column in zip_longest(*grid, fillvalue=empty)], True
    return [list(row) for row in grid], False


def _choose_columns(heads: Sequence[Place], where: str) -> tuple[dict[int, Head], list[str]]:
    """{position: head} of the columns to be read, and what the others are called."""
    columns: dict[int, Head] = {}
    left_out = []
    for i, place in enumerate(heads[1:], start=1):
        head, shown = read_head(place.text), clean_name(place.text)
        if head is None:
            left_out += [shown] if shown else []
        elif twin := next((other for other, known in columns.items() if known.metric == head.metric), None):
            left_out.append(f"{shown} (a second {head.metric}, beside {clean_name(heads[twin].text)})")
        else:
            columns[i] = head
    if not columns:
        found = ", ".join(clean_name(place.text) or "(empty)" for place in heads[:8])
        raise UsageError(f"{where}: no column is a metric that is known, in {found}; known: {', '.join(SPELLINGS)}")
    return columns, left_out


def _list_rows(grid: Sequence[Sequence[Place]]) -> Iterator[tuple[str, Sequence[Place]]]:
    """(name, cells) of the rows below the heads; a name that is empty is the one above, a repeated one is numbered."""
    seen: dict[str, int] = {}
    last = "row"
    for row in grid[1:]:
        if not any(place.text.strip() for place in row[1:]):  # a line between blocks of rows, or nothing
            continue
        last = clean_name(row[0].text) or last
        seen[last] = seen.get(last, 0) + 1
        yield (last if seen[last] == 1 else f"{last} ({seen[last]})"), row


def _read_place(place: Place) -> Cell | None:
    try:
        return read_cell(place.text)
    except ValueError as error:
        raise UsageError(f"{place.where}: {error}") from None


def _choose_units(
    columns: dict[int, Head], rows: Sequence[tuple[str, Sequence[Place]]], cells: dict[tuple[str, int], Cell | None], unit: str
) -> tuple[dict[int, str], str]:
    """{position: unit} of the columns, and a note where it was concluded from the values."""
    units: dict[int, str] = {}
    concluded: dict[str, list[str]] = {"percent": [], "fraction": []}
    open_columns = []
    for i, head in columns.items():
        found = [(cell, row[i].where) for name, row in rows if (cell := cells.get((name, i)))]
        values = [abs(float(cell.text)) for cell, _ in found]
        if unit or head.metric in RATIOS:
            units[i] = "fraction" if head.metric in RATIOS else unit
        elif head.percent or any(cell.percent for cell, _ in found):
            bare = [(cell.text, where) for cell, where in found if not cell.percent and 0 < abs(float(cell.text)) <= 1]
            if bare and not head.percent:
                raise UsageError(
                    f"{bare[0][1]}: {bare[0][0]} stands in a column with % signs: percent or a fraction? Say which unit"
                )
            units[i] = "percent"
        elif any(value > 1 for value in values):
            if small := [(cell.text, where) for cell, where in found if 0 < abs(float(cell.text)) <= 1]:
                raise UsageError(
                    f"{small[0][1]}: {small[0][0]} stands in a column with values above 1: percent or a fraction? Say which unit"
                )
            units[i] = "percent"
            concluded["percent"].append(head.metric)
        elif any(0 < value < 1 for value in values):
            units[i] = "fraction"
            concluded["fraction"].append(head.metric)
        elif found:
            open_columns.append((i, head, 1 in values, found[0][1]))
    for i, head, has_one, where in open_columns:  # zeros and ones alone
        percent = "percent" in units.values()
        if has_one and percent:
            raise UsageError(f"{where}: 1 beside columns in percent: 1 % or 100 %? Say which unit")
        units[i] = "percent" if percent else "fraction"
        concluded[units[i]].append(head.metric)
    parts = [f"taken as percent, being above 1: {', '.join(concluded['percent'])}"] if concluded["percent"] else []
    parts += [f"{'as' if parts else 'taken as'} fractions: {', '.join(concluded['fraction'])}"] if concluded["fraction"] else []
    return units, "; ".join(parts)


def _count_digits(text: str) -> int:
    return len(text.partition(".")[2])
