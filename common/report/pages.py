"""table.md and the self-contained report.html of a run, and its tables for other programs.

All of them show the same tables (common.report.tables) and the same finding (common.report.findings).
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from common.audit.render import escape_markdown
from common.errors import UsageError
from common.evaluation.differences import MARGIN
from common.figures.style import DPI
from common.files import write_text_atomic
from common.records.paper import Paper
from common.records.results import Results, find_figures, read_results
from common.report.background import (
    build_audit_table,
    build_dataset_table,
    build_deviation_table,
    build_leak_table,
    build_provenance,
    build_remark_table,
    build_split_table,
    build_unstated_table,
    describe_used,
)
from common.report.exports import render_csv, render_latex
from common.report.findings import describe_finding, list_banners
from common.report.lines import collect_lines, is_own
from common.report.tables import (
    Table,
    build_comparison_tables,
    build_count_tables,
    build_metric_tables,
    build_missing_table,
    build_own_tables,
    build_pair_table,
    build_statement_table,
    name_tables,
)
from common.report.wording import choose_tone

MOST_ROWS = 30  # of a table that the page shows open
MOST_OPEN = 24  # rows of all tables that it shows open, notes below them counted: about two screens


@dataclass(frozen=True)
class ShownFigure:
    """A figure as the page shows it."""

    title: str
    caption: str
    width: int  # in pixels of the screen
    data: str  # of its PNG file, base64


def write_report(folder: Path, paper: Paper) -> None:
    """Write report.html and its tables as table.md, table.csv and table.tex, from folder/results.json and folder/figures/.

    report.html needs no other file and no network. Raises UsageError if a file is missing or damaged.
    """
    folder = Path(folder)
    results = read_results(folder / "results.json")
    write_text_atomic(folder / "report.html", render_report(folder, results, paper))
    write_text_atomic(folder / "table.md", render_markdown(results, paper))
    tables = list_tables(results, paper)
    write_text_atomic(folder / "table.csv", render_csv(tables))
    write_text_atomic(folder / "table.tex", render_latex(tables))


def render_report(folder: Path, results: Results, paper: Paper) -> str:
    """The page of a run; its figures are read from folder/figures/, the checksum of its predictions from the folder."""
    figures = []
    for entry, path in zip(results.extra.figures, find_figures(folder, results), strict=True):
        content, (width, _) = read_figure(path)
        figures.append(ShownFigure(entry.title, entry.caption, width, base64.b64encode(content).decode()))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("common.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["tone"] = choose_tone
    own = is_own(results)
    return environment.get_template("report.html").render(
        paper=paper,
        used=describe_used(results, paper),
        is_own=own,
        banners=list_banners(results),
        finding=describe_finding(results, paper),
        main=fold_tables(build_main_tables(results, paper, statements=False), choose_first(results, paper)),
        pairs=build_pair_table(results),
        readings=[] if own else paper.readings,
        statements=[] if own else [build_statement_table(results, paper)],
        metrics=build_metric_tables(results),
        figures=figures,
        datasets=build_dataset_table(results),
        splits=build_split_table(results),
        leaks=build_leak_table(results),
        audits=[] if own else [build_audit_table(paper), build_remark_table(paper)],
        deviations=build_deviation_table(paper),
        unstated=build_unstated_table(paper),
        provenance=build_provenance(results, folder),
        margin=100 * MARGIN,
        most_rows=MOST_ROWS,
        config=json.dumps(results.config, indent=1, sort_keys=True, ensure_ascii=False),
    )


def read_figure(path: Path) -> tuple[bytes, tuple[int, int]]:
    """A PNG file and its (width, height) in pixels of the screen: printed size, a little enlarged (96 pixels an inch).

    Raises UsageError for a file that is missing or no PNG.
    """
    if not path.is_file():
        raise UsageError(f"{path}: figure listed in results.json is missing; run the same command again to draw it")
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 33:
        raise UsageError(f"{path}: not a PNG file; run the same command again to draw it")
    width, height = (round(int.from_bytes(content[at : at + 4], "big") / DPI * 96 * 1.2) for at in (16, 20))
    return content, (width, height)


def choose_first(results: Results, paper: Paper) -> str:
    """Title of the table with the paper's main number, which stands open; of own data the first table."""
    titles = name_tables(collect_lines(results, paper), is_own(results))
    return titles.get(paper.headline.table, next(iter(titles.values()), ""))


def fold_tables(tables: Sequence[Table], first: str) -> list[tuple[Table, bool]]:
    """Each table with whether the page folds it: the table `first` stands open, and others while not too much does.

    >>> tables = [Table(name, (), [[]] * rows) for name, rows in (("1", 20), ("2", 14), ("3", 8), ("4", 9))]
    >>> [folded for _, folded in fold_tables(tables, "2")]
    [True, False, False, True]
    """
    heights = {id(table): sum(2 if note else 1 for _, _, note in table.page_rows()) for table in tables}
    is_open = {id(table) for table in tables if table.title == first and len(table.rows) <= MOST_ROWS}
    for table in tables:
        if sum(heights[key] for key in is_open | {id(table)}) <= MOST_OPEN:
            is_open.add(id(table))
    return [(table, id(table) not in is_open) for table in tables]


def render_markdown(results: Results, paper: Paper) -> str:
    """The tables of the report as Markdown."""
    parts = [f"# {escape_markdown(paper.title)}", escape_markdown(f"{paper.authors}. {paper.venue}, {paper.year}.")]
    parts += [f"> **{escape_markdown(banner)}**" for banner in list_banners(results)]
    parts += [escape_markdown(sentence) for sentence in describe_finding(results, paper)]
    parts += [escape_markdown(f"{paper.row_names}.")] * bool(paper.row_names)
    parts += [escape_markdown(used)] if (used := describe_used(results, paper)) else []
    if not is_own(results):
        parts += [escape_markdown(f"Reading {reading.id}: {reading.text}.") for reading in paper.readings]
    for table in list_tables(results, paper):
        parts += [f"## {escape_markdown(table.title)}", render_markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def list_tables(results: Results, paper: Paper) -> list[Table]:
    """Every table with rows, in the order of the report; of own data none that is about the paper's numbers."""
    tables = [*build_main_tables(results, paper), build_pair_table(results), *build_metric_tables(results)]
    tables += [build_dataset_table(results), build_split_table(results), build_leak_table(results)]
    tables += [] if is_own(results) else [build_audit_table(paper), build_remark_table(paper)]
    return [table for table in tables if table.rows]


def build_main_tables(results: Results, paper: Paper, *, statements: bool = True) -> list[Table]:
    """Ours beside the paper's, tables of the package's own, what was not run and (unless they stand elsewhere) the statements."""
    tables = build_comparison_tables(results, paper)
    if is_own(results):  # whose lines and tables hold nothing of the paper's
        return [table for table in [*tables, *build_own_tables(results)] if table.rows]
    tables += [*build_count_tables(results, paper), *build_own_tables(results), build_missing_table(results)]
    tables += [build_statement_table(results, paper)] if statements else []
    return [table for table in tables if table.rows]


def render_markdown_table(table: Table) -> str:
    names = [f"{column.group}: {column.name}" if column.group else column.name for column in table.columns]
    lines = ["| " + " | ".join(escape_markdown(name) for name in names) + " |"]
    lines.append("|" + "|".join("---:" if column.kind == "number" else "---" for column in table.columns) + "|")
    lines += ["| " + " | ".join(escape_markdown(cell) for cell in row) + " |" for row in table.rows]
    if table.note:
        lines += ["", escape_markdown(table.note)]
    return "\n".join(lines)
