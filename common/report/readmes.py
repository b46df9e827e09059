"""The generated tables of the READMEs, and every other file that follows from the accepted results.

`python -m common.report [--check] [--root FOLDER]` rewrites (or checks) the blocks of README.md, docs/checklists.md and
replications/*/README.md between `<!-- generated: NAME -->` and `<!-- end -->`, whole generated pages, tables and reports in
results/, and docs/site/.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.audit import render
from common.audit.papers import audit_paper, describe_scope
from common.errors import UsageError
from common.files import write_text_atomic
from common.records.paper import Paper, load_paper
from common.report.background import build_deviation_table, build_remark_table, build_unstated_table
from common.report.checklists import EXPLAINED, PAGES, load_checklists, render_checklist, render_overview, render_summary
from common.report.exhibits import render_exhibits
from common.report.findings import describe_finding
from common.report.overview import FRONT_COLUMNS, Overview, collect_overviews
from common.report.pages import build_main_tables, escape_markdown, render_markdown, render_markdown_table, render_report
from common.report.site import list_leftovers, render_site


def render_blocks(root: Path, overviews: Sequence[Overview]) -> dict[Path, dict[str, str]]:
    """{README: {block name: content}} of all papers below `root`."""
    papers = {}
    checklists = load_checklists(root)
    for overview in overviews:
        paper, results = overview.paper, overview.results
        shown = ["Not run yet."]
        if results:
            shown = [escape_markdown(sentence) for sentence in describe_finding(results, paper)]
            for table in build_main_tables(results, paper):
                shown += [f"**{escape_markdown(table.title)}**", render_markdown_table(table)]
        package = root / "replications" / paper.name
        papers[package / "README.md"] = {
            "results": "\n\n".join(shown),
            "deviations": render_markdown_table(build_deviation_table(paper)),
            "unstated": render_markdown_table(build_unstated_table(paper)),
            "exhibits": render_exhibits(package, paper),
            "audit": _render_audit(paper),
            "remarks": render_markdown_table(build_remark_table(paper)),
            "checklist": render_summary(checklists.get(paper.name)),
        }
    head = (*FRONT_COLUMNS.values(), "command of the whole")
    rows = [f"| paper | {' | '.join(head)} |", "|---" * (1 + len(head)) + "|", *map(_summarise_paper, overviews)]
    listed = {"checklists": render_overview(checklists.values())}
    return {root / "README.md": {"papers": "\n".join(rows)}, root / EXPLAINED: listed, **papers}


def _render_audit(paper: Paper) -> str:
    headline = (paper.headline.table, paper.headline.row)
    text = f"`python -m common.audit {paper.name}` computes from the printed numbers alone ({describe_scope(paper)}):"
    return f"{text}\n\n{render.render_markdown(audit_paper(paper), everything=False, example=headline)}"


def _summarise_paper(overview: Overview) -> str:
    title = f"[{escape_markdown(overview.paper.title)}](replications/{overview.paper.name}/README.md)"
    cells = [escape_markdown(getattr(overview, name)) for name in FRONT_COLUMNS]
    return "| " + " | ".join([title, *cells, f"`{overview.whole}`"]) + " |"


def update_readmes(root: Path, *, check: bool = False) -> list[Path]:
    """Rewrite the generated blocks of every README, the page of every checklist.toml, the table.md of every accepted run below
    `root`, the report.html of those whose report README.md links to, and the site; with `check` change nothing. Returns the stale
    ones.

    Raises UsageError for a folder that is not the repository and for a block that is unknown or not closed.
    """
    if not (Path(root) / "replications").is_dir():
        raise UsageError(f"{root}: not the repository: it has no folder replications/; name it with --root")
    stale = []
    files = _render_files(Path(root))
    for path, content in files.items():
        if content != (path.read_text(encoding="utf-8") if path.is_file() else ""):
            stale.append(path)
            if not check:
                write_text_atomic(path, content)
    for path in list_leftovers(Path(root), files):
        stale.append(path)
        if not check:
            path.unlink()
    return stale


def _render_files(root: Path) -> dict[Path, str]:
    """Every file that follows from paper.toml, checklist.toml, results.json and the code, as it should be."""
    overviews = collect_overviews(root)
    files = {
        path: _replace_blocks(path.read_text(encoding="utf-8"), blocks, path)
        for path, blocks in render_blocks(root, overviews).items()
        if path.is_file()
    }
    for name, checklist in load_checklists(root).items():
        paper = load_paper(root / "replications" / name / "paper.toml")
        files[root / PAGES / f"{name}.md"] = render_checklist(checklist, paper)
    front = (root / "README.md").read_text(encoding="utf-8") if (root / "README.md").is_file() else ""
    for overview in overviews:
        if overview.results:
            folder = root / "results" / overview.paper.name
            files[folder / "table.md"] = render_markdown(overview.results, overview.paper)
            page = folder / "report.html"
            if page.relative_to(root).as_posix() in front:
                files[page] = render_report(folder, overview.results, overview.paper)
    return {**files, **render_site(root, overviews, files)}


def _replace_blocks(text: str, blocks: Mapping[str, str], path: Path) -> str:
    opening = re.compile(r"<!-- generated: (\S+) -->\n")
    parts, position = [], 0
    while match := opening.search(text, position):
        end = text.find("<!-- end -->", match.end())
        following = opening.search(text, match.end())
        if end < 0 or (following and following.start() < end):
            raise UsageError(f"{path}: block {match[1]!r} is not closed; add <!-- end -->")
        if match[1] not in blocks:
            raise UsageError(f"{path}: unknown block {match[1]!r}; known: {', '.join(blocks)}")
        parts += [text[position : match.end()], blocks[match[1]], "\n"]
        position = end
    return "".join(parts) + text[position:]
