"""The finding of a run for a terminal: one line a row, under the headings of the paper's tables, as wide as the terminal."""

import os
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from common.evaluation.verdicts import NOT_RUN
from common.records.paper import Paper
from common.records.results import Results
from common.report.findings import list_banners
from common.report.lines import Line, collect_lines, is_own
from common.report.tables import build_missing_table, name_tables
from common.report.wording import NONE, choose_tone, format_interval, format_value, limit_digits, name_metric, show_verdict

NARROWEST, WIDEST, USUAL = 80, 200, 120  # columns; USUAL where the output is no terminal
LEAST_NAME = 30  # of the row's name, before the other columns are broken over lines
GAP = "  "
SHOWN_ROWS = 3  # of those that were not run for one reason
KEPT = "\N{NO-BREAK SPACE}"  # a space at which no line is broken
COLOURS = {"good": "36", "lower": "33", "higher": "33", "bad": "33"}  # cyan and yellow, which colour-blind readers tell apart


@dataclass(frozen=True)
class Look:
    """How wide the table is, and whether verdicts are coloured."""

    width: int = USUAL
    colour: bool = False


def choose_look(stream: TextIO) -> Look:
    """The look for a stream: as wide as the terminal, from 80 to 200 columns; colour on a terminal only, unless $NO_COLOR is set.

    >>> import io
    >>> choose_look(io.StringIO()).colour
    False
    """
    width = min(max(shutil.get_terminal_size((USUAL, 24)).columns, NARROWEST), WIDEST)
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return Look(width, terminal and not os.environ.get("NO_COLOR"))


def format_screen_table(results: Results, paper: Paper, look: Look | None = None) -> str:
    """Banners, the table and what was not run: row, n, paper, ours, verdict, leak-free; no line is shown twice.

    Own data stand without the paper's numbers and verdicts.
    """
    look = look or Look()
    lines = collect_lines(results, paper)
    titles = name_tables(lines, is_own(results))
    reasons = {(missing.table, missing.row) for missing in results.extra.not_run}
    shown = [line for line in lines if not _stands_below(line, reasons)]
    names = [("row", False), ("n", True), ("paper", True), ("ours", True), ("verdict", False), ("leak-free", True)]
    hidden = {"paper", "verdict"} if is_own(results) else set()
    places = [place for place, (name, _) in enumerate(names) if name not in hidden]
    several = {table for table in titles if len({line.metric for line in lines if line.table == table}) > 1}
    cells = {id(line): [_list_cells(line, line.table in several)[place] for place in places] for line in shown}
    columns = [names[place] for place in places]
    widths = _choose_widths([[name for name, _ in columns], *cells.values()], look.width)
    right = [of_number for _, of_number in columns]
    coloured = columns.index(("verdict", False)) if ("verdict", False) in columns else -1
    out = [*_lay_out([name for name, _ in columns], widths, right), "-" * (sum(widths) + len(GAP) * (len(widths) - 1))]
    known: set[tuple[str, tuple[str, ...]]] = set()
    for table, title in titles.items():
        fresh = []
        for line in (line for line in shown if line.table == table):
            key = tuple(cells[id(line)])
            if (line.metric, key) not in known:
                known.add((line.metric, key))
                fresh += _lay_out(list(key), widths, right, _choose_colour(line, look), coloured)
        out += ["", *textwrap.wrap(title, look.width), *fresh] if fresh else []
    told = [] if is_own(results) else _describe_missing(results)
    if paper.difference and any(line.difference is not None for line in shown):
        told = [f"{paper.difference}.", *told]
    above, below = (
        [part for text in texts for part in textwrap.wrap(text, look.width)] for texts in (list_banners(results), told)
    )
    return "\n".join([*above, *([""] if above else []), *out, *([""] if below else []), *below])


def _stands_below(line: Line, reasons: set[tuple[str, str]]) -> bool:
    """Whether the row was not run and its reason is told below the table."""
    return line.verdict == NOT_RUN and line.leakfree is None and (line.table, line.row) in reasons


def _list_cells(line: Line, several: bool) -> list[str]:
    unit, digits = line.unit, limit_digits(line.digits)
    ours, leakfree = format_value(line.ours, unit, digits), format_value(line.leakfree, unit, digits)
    if line.low is not None:
        ours += f" {format_interval(line.low, line.high, unit, digits)}".replace(", ", f",{KEPT}")
    if line.difference is not None:
        leakfree += f" ({format_value(line.difference, unit, digits, signed=True)})"
    return [
        f"{line.row}, {name_metric(line.metric, '')}" if several else line.row,
        NONE if line.n is None else str(line.n),
        format_value(line.paper, unit, digits),
        ours,
        show_verdict(line.verdict),
        leakfree,
    ]


def _choose_widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Of each column: as its longest cell, the name of the row what is left; where that is too little, as its longest word."""
    columns = list(zip(*rows, strict=True))
    whole = [max(map(len, cells)) for cells in columns]
    words = [max(len(word) for cell in cells for word in cell.split(" ")) for cells in columns]
    for broken in range(len(columns)):  # the last columns are broken last
        others = [words[place] if place <= broken else whole[place] for place in range(1, len(columns))]
        left = width - sum(others) - len(GAP) * len(others)
        if left >= min(whole[0], LEAST_NAME):
            break
    return [min(whole[0], max(left, 1)), *others]


def _lay_out(
    cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], colour: str = "", coloured: int = -1
) -> list[str]:
    """The lines of one row: each cell broken at spaces, right or left in its column; one column in a colour."""
    parts = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    out = []
    for number in range(max(map(len, parts))):
        texts = []
        for place, (lines, width) in enumerate(zip(parts, widths, strict=True)):
            text = (lines[number] if number < len(lines) else "").replace(KEPT, " ")
            padded = text.rjust(width) if right[place] else text.ljust(width)
            is_coloured = colour and place == coloured and text
            texts.append(padded.replace(text, f"\x1b[{colour}m{text}\x1b[0m", 1) if is_coloured else padded)
        out.append(GAP.join(texts).rstrip())
    return out


def _choose_colour(line: Line, look: Look) -> str:
    return COLOURS.get(choose_tone(line.verdict), "") if look.colour else ""


def _describe_missing(results: Results) -> list[str]:
    """A sentence a reason: how many rows were not run for it, the first of them by name."""
    reasons: dict[str, list[str]] = {}
    for table, rows, reason in build_missing_table(results).rows:
        names = [f"{table}: {name}" for name in rows.split("; ")]
        reasons.setdefault(reason, []).extend(name for name in names if name not in reasons.get(reason, []))
    sentences = []
    for reason, names in reasons.items():
        more = f" and {len(names) - SHOWN_ROWS} more" if len(names) > SHOWN_ROWS else ""
        sentences.append(f"not run: {'; '.join(names[:SHOWN_ROWS])}{more}: {reason}")
    return sentences
