"""table.md and the self-contained report.html of a run; the terminal's table.

All of them show the same tables (common.report.tables) and the same finding (common.report.findings).
"""

import base64
import json
import textwrap
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
)
from common.report.findings import collect_lines, describe_finding, list_banners
from common.report.tables import (
    Table,
    build_comparison_tables,
    build_count_tables,
    build_metric_tables,
    build_missing_table,
    build_own_tables,
    build_pair_table,
    build_statement_table,
)
from common.report.wording import NONE, choose_tone, format_interval, format_value, name_metric


@dataclass(frozen=True)
class ShownFigure:
    """A figure as the page shows it."""

    title: str
    caption: str
    width: int  # in pixels of the screen
    data: str  # of its PNG file, base64


def write_report(folder: Path, paper: Paper) -> None:
    """Write folder/table.md and folder/report.html from folder/results.json and folder/figures/.

    report.html needs no other file and no network. Raises UsageError if a file is missing or damaged.
    """
    folder = Path(folder)
    results = read_results(folder / "results.json")
    figures = []
    for entry, path in zip(results.extra.figures, find_figures(folder, results), strict=True):
        if not path.is_file():
            raise UsageError(f"{path}: figure listed in results.json is missing; run the same command again to draw it")
        content = path.read_bytes()
        if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 33:
            raise UsageError(f"{path}: not a PNG file; run the same command again to draw it")
        # Printed size: pixels at 200 dpi, a little enlarged for the screen (96 pixels an inch).
        width = round(int.from_bytes(content[16:20], "big") / DPI * 96 * 1.2)
        figures.append(ShownFigure(entry.title, entry.caption, width, base64.b64encode(content).decode()))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("common.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["tone"] = choose_tone
    html = environment.get_template("report.html").render(
        paper=paper,
        banners=list_banners(results),
        finding=describe_finding(results, paper),
        comparisons=build_comparison_tables(results, paper),
        counts=build_count_tables(results, paper),
        pairs=build_pair_table(results),
        readings=paper.readings,
        own=build_own_tables(results),
        statements=build_statement_table(results, paper),
        metrics=build_metric_tables(results),
        figures=figures,
        datasets=build_dataset_table(results),
        splits=build_split_table(results),
        leaks=build_leak_table(results),
        missing=build_missing_table(results),
        audit=build_audit_table(paper),
        remarks=build_remark_table(paper),
        deviations=build_deviation_table(paper),
        unstated=build_unstated_table(paper),
        provenance=build_provenance(results, folder),
        margin=100 * MARGIN,
        config=json.dumps(results.config, indent=1, sort_keys=True, ensure_ascii=False),
    )
    write_text_atomic(folder / "report.html", html)
    write_text_atomic(folder / "table.md", render_markdown(results, paper))


def render_markdown(results: Results, paper: Paper) -> str:
    """The tables of the report as Markdown."""
    parts = [f"# {escape_markdown(paper.title)}", escape_markdown(f"{paper.authors}. {paper.venue}, {paper.year}.")]
    parts += [f"> **{escape_markdown(banner)}**" for banner in list_banners(results)]
    parts += [escape_markdown(sentence) for sentence in describe_finding(results, paper)]
    parts += [escape_markdown(f"Reading {reading.id}: {reading.text}.") for reading in paper.readings]
    tables = [*build_main_tables(results, paper), build_pair_table(results), *build_metric_tables(results)]
    tables += [build_dataset_table(results), build_split_table(results), build_leak_table(results)]
    for table in [*tables, build_audit_table(paper), build_remark_table(paper)]:
        if table.rows:
            parts += [f"## {escape_markdown(table.title)}", render_markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def build_main_tables(results: Results, paper: Paper) -> list[Table]:
    tables = [*build_comparison_tables(results, paper), *build_count_tables(results, paper)]
    tables += [*build_own_tables(results), build_missing_table(results), build_statement_table(results, paper)]
    return [table for table in tables if table.rows]


def render_markdown_table(table: Table) -> str:
    names = [f"{column.group}: {column.name}" if column.group else column.name for column in table.columns]
    lines = ["| " + " | ".join(escape_markdown(name) for name in names) + " |"]
    lines.append("|" + "|".join("---:" if column.kind == "number" else "---" for column in table.columns) + "|")
    lines += ["| " + " | ".join(escape_markdown(cell) for cell in row) + " |" for row in table.rows]
    if table.note:
        lines += ["", escape_markdown(table.note)]
    return "\n".join(lines)


def format_screen_table(results: Results, paper: Paper) -> str:
    """The finding for a terminal, at most 120 columns: row, n, paper, ours, verdict, leak-free."""
    lines = collect_lines(results, paper)
    several = len({line.metric for line in lines}) > 1
    out = [f"{'row':<42} {'n':>6}  {'paper':>6}  {'ours':>20}  {'verdict':<22} {'leak-free':>13}"]
    out.append("-" * len(out[0]))
    for line in lines:
        unit, digits = line.unit, line.digits
        name = f"{line.row}, {name_metric(line.metric, '')}" if several else line.row
        name = name if len(name) <= 42 else name[:39] + "..."
        printed = format_value(line.paper, unit, digits) if line.paper is not None else NONE
        ours = format_value(line.ours, unit, digits)
        if line.low is not None:
            ours += f" {format_interval(line.low, line.high, unit, digits)}"
        leakfree = format_value(line.leakfree, unit, digits)
        if line.difference is not None:
            leakfree += f" ({format_value(line.difference, unit, digits, signed=True)})"
        out.append(
            f"{name:<42} {line.n if line.n is not None else '':>6}  {printed:>6}  {ours:>20}  "
            f"{line.verdict:<22} {leakfree:>13}".rstrip()
        )
    missing = build_missing_table(results)
    out += [f"not run, table {table}: {rows}: {reason}" for table, rows, reason in missing.rows]
    return "\n".join(part for line in [*list_banners(results), *out] for part in textwrap.wrap(line, 120) or [""])
