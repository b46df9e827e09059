"""Reporting checklists as pages: what a paper and its replication report of each item, and how many items that makes.

`python -m common.report` writes docs/checklists/<package>.md of every package that has a checklist.toml.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.errors import UsageError
from common.records.checklist import ANSWERS, Answer, Checklist, Entry, count_answers, load_checklist
from common.records.checklist_items import GUIDELINES
from common.records.paper import Paper
from common.report.pages import escape_markdown

FILE = "checklist.toml"  # of a package
EXPLAINED = "docs/checklists.md"
PAGES = "docs/checklists"
HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)
HEADS = ("list", "items", "reported by", *ANSWERS)  # of the counts
FENCED = re.compile(r"^ *```.*?^ *```", flags=re.MULTILINE | re.DOTALL)


def load_checklists(root: Path) -> dict[str, Checklist]:
    """{package: its checklist} of all packages below `root` that have one, every place of ours seen to exist; else UsageError."""
    checklists = {}
    for path in sorted((root / "replications").glob(f"*/{FILE}")):
        checklist = load_checklist(path)
        for guideline in GUIDELINES:
            for entry in checklist.entries[guideline.id]:
                for place in entry.ours.where:
                    if fault := find_fault(root, place):
                        raise UsageError(f"{path}: {guideline.id}, item {entry.item.number}: ours: {place!r}: {fault}")
        checklists[checklist.name] = checklist
    return checklists


def find_fault(root: Path, place: str) -> str:
    """What is wrong with a place of ours: "" if the file is there and has that heading (#) or name (::)."""
    path, _, name = place.partition("::")
    path, _, anchor = path.partition("#")
    file = root / path
    if not file.resolve().is_relative_to(root.resolve()):
        return "not below the repository"
    if not file.exists():
        return "no such file or folder in the repository"
    if anchor and (file.suffix != ".md" or anchor not in {name_anchor(title) for title in _list_headings(file)}):
        return f"no heading #{anchor}"
    if name and name not in _list_names(file):
        return f"no name {name} at its top level"
    return ""


def name_anchor(title: str) -> str:
    """The anchor that a heading gets on the pages of a repository.

    >>> name_anchor("What matched, what did not, and why")
    'what-matched-what-did-not-and-why'
    """
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _list_headings(file: Path) -> list[str]:
    return HEADING.findall(FENCED.sub("", file.read_text(encoding="utf-8")))


def _list_names(file: Path) -> set[str]:
    """Names at the top level of a file: functions, classes and constants of a module, keys of TOML or JSON."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if file.suffix == ".toml":
        return set(tomllib.loads(text))
    if file.suffix == ".json":
        return set(json.loads(text))
    names: set[str] = set()
    if file.suffix == ".py":
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def tabulate_counts(checklist: Checklist) -> list[list[str]]:
    """A line for each list and side: list, number of its items, whose report, and the number of each of ANSWERS."""
    lines = []
    for guideline in GUIDELINES:
        entries = checklist.entries[guideline.id]
        for side, answers in (("paper", [e.paper for e in entries]), ("this replication", [e.ours for e in entries])):
            lines.append([guideline.title, str(len(entries)), side, *map(str, count_answers(answers).values())])
    return lines


def render_summary(checklist: Checklist | None) -> str:
    """The block of a package's README: the counts, and where the answers are."""
    if checklist is None:
        return f"No {FILE} yet."
    page = f"{PAGES}/{checklist.name}.md"
    links = f"[{page}](../../{page}); what the lists are, and how to read this: [{EXPLAINED}](../../{EXPLAINED})."
    return f"{_join_table(HEADS, tabulate_counts(checklist))}\n\nItem by item, with places: {links}"


def render_overview(checklists: Iterable[Checklist]) -> str:
    """The block of docs/checklists.md: the counts of all packages."""
    rows = [[f"[{c.name}](checklists/{c.name}.md)", *line] for c in checklists for line in tabulate_counts(c)]
    return _join_table(["package", *HEADS], rows)


def render_checklist(checklist: Checklist, paper: Paper) -> str:
    """The page of a package in Markdown: counts, then every item of both lists with both answers."""
    about = ". ".join(part.rstrip(".") for part in (paper.authors, paper.title, paper.venue, paper.year))
    lines = [
        f"# Reporting checklists: {checklist.name}",
        "",
        f"{escape_markdown(about)}.",
        "",
        "Both lists are younger than this paper, which could not follow them: "
        f"[how to read this page](../{Path(EXPLAINED).name}). Written by `python -m common.report` from "
        f"[{FILE}](../../replications/{checklist.name}/{FILE}).",
        "",
        _join_table(HEADS, tabulate_counts(checklist)),
        "",
    ]
    if checklist.outline.missing:
        lines += [f"Our text of the paper lacks: {escape_markdown(', '.join(checklist.outline.missing))}.", ""]
    for guideline in GUIDELINES:
        lines += [
            f"## {guideline.title}",
            "",
            f"{guideline.reference}, [doi:{guideline.doi}](https://doi.org/{guideline.doi}).",
            "",
        ]
        entries = checklist.entries[guideline.id]
        for part in dict.fromkeys(entry.item.part for entry in entries):
            lines += [f"### {guideline.title}, {part[0].lower()}{part[1:]}", ""]
            rows = [_list_cells(entry) for entry in entries if entry.item.part == part]
            lines += [_join_table(["item", "asked for", "the paper", "this replication"], rows), ""]
    return "\n".join(lines)


def _list_cells(entry: Entry) -> list[str]:
    item = entry.item
    paper = _describe(entry.paper, [escape_markdown(place) for place in entry.paper.where])
    ours = _describe(entry.ours, [_link(place) for place in entry.ours.where])
    return [item.number, escape_markdown(f"{item.topic}: {item.asks}"), paper, ours]


def _describe(answer: Answer, places: Sequence[str]) -> str:
    parts = [f"**{answer.reported}**", *([f"({'; '.join(places)})"] if places else [])]
    return " ".join([*parts, escape_markdown(answer.remark)]).strip()


def _link(place: str) -> str:
    """A Markdown link from a page in docs/checklists/ to a place of ours.

    >>> _link("docs/leaks.md#patients"), _link("common/files.py::slug")
    ('[docs/leaks.md, patients](../leaks.md#patients)', '[common/files.py, slug](../../common/files.py)')
    """
    path, _, name = place.partition("::")
    file, _, anchor = path.partition("#")
    shown = ", ".join(filter(None, [file, anchor.replace("-", " "), name]))
    address = path.removeprefix("docs/") if path.startswith("docs/") else path
    return f"[{escape_markdown(shown)}]({'../' if path.startswith('docs/') else '../../'}{address})"


def _join_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
