"""The pages of docs/site: all papers on one, one for each paper, and the audit.

They open from the disk, ask nothing of the network, hold no script and no date of their making; figures of accepted runs are
shown from results/, where they lie.
"""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import jinja2

from common.audit.pages import MEANINGS, SIGNS, STYLES, list_tables, render_page
from common.audit.papers import audit_paper
from common.audit.sources import Audit
from common.audit.summary import summarise_paper
from common.errors import UsageError
from common.figures.forest import NARROW, WIDE, Group, draw_forest
from common.records.paper import Paper
from common.records.results import Results, find_figures
from common.report.background import (
    build_audit_table,
    build_deviation_table,
    build_leak_table,
    build_unstated_table,
    describe_used,
)
from common.report.findings import describe_finding, list_banners
from common.report.overview import FRONT_COLUMNS, Overview, describe_all, find_claim, show_leak
from common.report.pages import build_main_tables, choose_first, fold_tables, read_figure
from common.report.tables import Column, Table, build_missing_table
from common.report.wording import NONE, choose_tone, format_interval, format_value, name_metric

SITE = Path("docs") / "site"
INDEX, AUDIT, FOREST, NARROW_FOREST = "index.html", "audit.html", "papers.svg", "papers_narrow.svg"
MOST_LINES = 8  # of one paper in the picture, and in the table that repeats it in numbers
DOCUMENTS = {  # file -> what it is
    "README.md": "how to install and run it",
    "docs/statistics.md": "what an interval covers",
    "docs/verdicts.md": "what a verdict rests on",
    "docs/leaks.md": "how a leak is found",
    "docs/audit.md": "how printed numbers are checked",
    "docs/own_data.md": "a report of your own pictures",
    "docs/new_paper.md": "how a further paper is added",
}
RECORDS = {  # the same of a paper, by the name of its package
    "replications/{}/README.md": "what matched, what did not and why; each table and figure with the function that makes it",
    "replications/{}/paper.toml": "every printed number with its place, what the paper leaves open, what is done otherwise",
    "results/{}/table.md": "all tables of the accepted run",
    "results/{}/results.json": "its record: settings, versions, data, numbers",
    "results/{}/predictions.csv.gz": "its predictions, from which every number follows",
    "results/{}/report.html": "its report as one file",
}


@dataclass(frozen=True)
class LinkedFigure:
    """A figure as the page shows it: its file, from the page, and its size in pixels of the screen."""

    title: str
    caption: str
    address: str
    width: int
    height: int


def render_site(root: Path, overviews: Sequence[Overview], made: Container[Path]) -> dict[Path, str]:
    """{file: content} of the site of the repository `root`; of no papers none. made: files that are written with it.

    Raises UsageError for a figure that an accepted result lists and that is missing or damaged.
    """
    if not overviews:
        return {}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("common.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"tone": choose_tone, "metric": lambda name: name_metric(name, "")}
    shared = {"heads": FRONT_COLUMNS, "index": INDEX, "audit": AUDIT}
    forests = draw_papers(overviews)
    pages = {
        INDEX: environment.get_template("site_index.html").render(
            **shared,
            overviews=overviews,
            summary=describe_all(overviews),
            forests=list(forests),
            controls=any(line.control for overview in overviews for line in overview.lines),
            documents=_list_links(root, DOCUMENTS, made),
        ),
        AUDIT: render_page([_audit(overview.paper) for overview in overviews], "python -m common.audit --html", home=INDEX),
        **forests,
    }
    for overview in overviews:
        page = environment.get_template("site_paper.html")
        pages[f"{overview.paper.name}.html"] = page.render(**shared, **_gather(root, overview, made))
    return {root / SITE / name: text.rstrip("\n") + "\n" for name, text in pages.items()}


def list_leftovers(root: Path, files: Mapping[Path, str]) -> list[Path]:
    """Pages and pictures in the folder of the site that are none of `files`: of a paper that is gone."""
    return sorted(path for path in (root / SITE).glob("*") if path.suffix in (".html", ".svg") and path not in files)


def _name_metrics(overviews: Sequence[Overview]) -> str:
    metrics = {overview.paper.headline.metric for overview in overviews}
    return name_metric(metrics.pop(), "") if len(metrics) == 1 else "the main metric of each paper"


def draw_papers(overviews: Sequence[Overview]) -> dict[str, str]:
    """{file: SVG} of the picture of all papers, by the main metric of each, wide and for a telephone; of no number none."""
    groups = []
    for overview in overviews:
        lines = []
        for line in overview.lines[:MOST_LINES]:
            worth = f"leak {show_leak(line.leak, 'percent').removesuffix(' points')}" if line.leak else ""
            worth = "no better than the most frequent class" if line.is_blind else worth
            worth = "leak-free: stopped early" if line.hardly_trained else worth
            said = (line.verdict, "control" * line.control, worth)
            lines.append(replace(line, verdict="; ".join(part for part in said if part)))
        more = len(overview.lines) - len(lines)
        about = [f"{overview.paper.authors.split(',')[0]}, {overview.paper.year}", f"ours: {overview.made_on or 'not trained'}"]
        about += [f"{more} more rows in the report"] * bool(more)
        groups.append(Group(overview.paper.title, "; ".join(about), lines))
    if not any(group.lines for group in groups):
        return {}
    title = "Each paper's printed number, ours under its protocol and ours with patients kept apart, with 95 % intervals"
    label = f"{_name_metrics(overviews)} (%)"
    layouts = {FOREST: WIDE, NARROW_FOREST: NARROW}
    return {name: draw_forest(groups, title=title, label=label, layout=layout) for name, layout in layouts.items()}


def _audit(paper: Paper) -> Audit:
    """As `python -m common.audit` makes it of the paper's package."""
    outcomes = audit_paper(paper)
    source = f"replications/{paper.name}/paper.toml"
    about = f"{paper.authors}, {paper.year}"
    return Audit(source, paper.title, about, summarise_paper(paper, outcomes), outcomes, paper.notes, paper)


def _gather(root: Path, overview: Overview, made: Container[Path]) -> dict[str, object]:
    """What the page of a paper shows."""
    paper, results = overview.paper, overview.results
    outcomes = audit_paper(paper)
    summary = summarise_paper(paper, outcomes)
    if results:
        finding = results.extra.finding or f"The paper: {overview.claim}. Ours: {overview.ours} ({overview.verdict})."
        more = [sentence for sentence in describe_finding(results, paper) if sentence != results.extra.finding]
    else:
        finding, more = f"No number of ours stands here: nothing was trained on real data. {summary}", []
    printed = [] if results else list_tables(paper, outcomes)
    marks = {number.mark for table in printed for _, numbers in table.rows for number in numbers}
    ratios = [claim for claim in paper.printed if claim.unit != "count"]
    return {
        "paper": paper,
        "used": describe_used(results, paper) if results else "",
        "overview": overview,
        "finding": finding,
        "more": more,
        "banners": list_banners(results) if results else [],
        "pairs": _build_pair_table(overview),
        "tables": _fold_main_tables(results, paper) if results else [],
        "printed": printed,
        "signs": SIGNS,
        "styles": STYLES,
        "legend": [(SIGNS[mark], MEANINGS[mark]) for mark in SIGNS if mark in marks],
        "figures": _link_figures(root, overview),
        "leaks": [build_leak_table(results)] if results else [],
        "summary": summary,
        "background": [build_audit_table(paper), build_deviation_table(paper), build_unstated_table(paper)],
        "missing": build_missing_table(results) if results else None,
        "waiting": len({(claim.table, claim.row) for claim in ratios}),
        "commands": list(dict.fromkeys(command.command for command in results.extra.commands)) if results else [],
        "links": _list_links(root, {name.format(paper.name): about for name, about in RECORDS.items()}, made),
    }


def _build_pair_table(overview: Overview) -> Table:
    """The lines of the picture in numbers."""
    unit = find_claim(overview.paper).unit

    def show(value: float | None, low: float | None = None, high: float | None = None) -> str:
        digits = 1 if unit == "percent" else 3
        interval = [format_interval(low, high, unit, digits)] if low is not None else []
        return " ".join([format_value(value, unit, digits), *interval])

    rows = [
        [
            f"{line.row} (control)" if line.control else line.row,
            show(line.paper),
            show(line.ours, line.low, line.high),
            show(line.leakfree, line.leakfree_low, line.leakfree_high),
            show_leak(line.leak, unit).removesuffix(" points") if line.leak else NONE,
            line.verdict or NONE,
        ]
        for line in overview.lines[:MOST_LINES]
    ]
    heads = ("printed", "ours, the paper's protocol", "ours, patients kept apart", "what the leak is worth")
    columns = (Column("row"), *(Column(head, "number") for head in heads), Column("verdict", "verdict"))
    title = f"In short: {name_metric(overview.paper.headline.metric, unit)} with and without the leak"
    note = (
        "In brackets 95 % intervals. The leak: the paper's protocol minus patients kept apart. The training and test cases of "
        "the two differ as well, so part of it, how much is not known, need not be the leak; where the interval holds 0, none is "
        "shown."
    )
    if any(line.is_blind for line in overview.lines[:MOST_LINES]):
        note += " A row that is no better than always giving the most frequent class shows no leak, either: a dash."
    if any(line.hardly_trained for line in overview.lines[:MOST_LINES]):
        note += " Nor does one whose leak-free networks were stopped in their first epochs: a dash."
    if len(overview.lines) > MOST_LINES:
        note += f" {len(overview.lines) - MOST_LINES} more rows that were run both ways stand in the tables below."
    return Table(title, columns, rows, note)


def _fold_main_tables(results: Results, paper: Paper) -> list[tuple[Table, bool]]:
    """The tables of the report, but for what was not run, which stands in a part of its own."""
    missing = build_missing_table(results).title
    tables = [table for table in build_main_tables(results, paper) if table.title != missing]
    return fold_tables(tables, choose_first(results, paper))


def _link_figures(root: Path, overview: Overview) -> list[LinkedFigure]:
    if overview.results is None:
        return []
    folder = root / "results" / overview.paper.name
    figures = {}
    for entry, path in zip(overview.results.extra.figures, find_figures(folder, overview.results), strict=True):
        size = read_figure(path)[1]
        figures[entry.file] = LinkedFigure(entry.title, entry.caption, _find_address(root, path), *size)
    first = overview.paper.figure
    if first and first not in figures:
        raise UsageError(f"replications/{overview.paper.name}/paper.toml: [paper] figure {first!r} is none of the accepted run's")
    return [figures[name] for name in sorted(figures, key=lambda name: name != first)]


def _find_address(root: Path, path: Path) -> str:
    """Of a file, from the pages of the site."""
    return quote(Path(os.path.relpath(path, root / SITE)).as_posix())


def _list_links(root: Path, names: Mapping[str, str], made: Container[Path]) -> list[tuple[str, str, str]]:
    """(address, name, what it is) of those files of the repository that are there or are made now. names: file -> what it is."""
    known = {name: about for name, about in names.items() if (root / name).exists() or root / name in made}
    return [(_find_address(root, root / name), name, about) for name, about in known.items()]
