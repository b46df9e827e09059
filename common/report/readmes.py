"""The generated tables of the READMEs.

`python -m common.report [--check] [--root FOLDER]` rewrites (or checks) the blocks of README.md, docs/checklists.md and
replications/*/README.md between `<!-- generated: NAME -->` and `<!-- end -->`, and the pages that are generated as a whole.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from common.audit import render
from common.audit.papers import audit_paper, describe_scope, find_impossible_claims
from common.errors import UsageError
from common.evaluation.verdicts import IMPOSSIBLE_AS_PRINTED
from common.files import write_text_atomic
from common.records.paper import Paper, load_paper
from common.records.results import Results, read_results
from common.report.background import build_deviation_table, build_remark_table, build_unstated_table
from common.report.checklists import EXPLAINED, PAGES, load_checklists, render_checklist, render_overview, render_summary
from common.report.exhibits import render_exhibits
from common.report.findings import describe_finding, find_headline
from common.report.lines import collect_lines
from common.report.pages import build_main_tables, escape_markdown, render_markdown, render_markdown_table, render_report
from common.report.wording import explain_verdict, format_duration, format_value, name_metric


def render_blocks(root: Path) -> dict[Path, dict[str, str]]:
    """{README: {block name: content}} of all papers below `root`."""
    papers, lines = {}, []
    checklists = load_checklists(root)
    for path in sorted((root / "replications").glob("*/paper.toml")):
        paper = load_paper(path)
        accepted = root / "results" / paper.name / "results.json"
        results = read_results(accepted) if accepted.is_file() else None
        lines.append(_summarise_paper(paper, results, has_code=(path.parent / "run.py").is_file()))
        shown = ["Not run yet."]
        if results:
            shown = [escape_markdown(sentence) for sentence in describe_finding(results, paper)]
            for table in build_main_tables(results, paper):
                shown += [f"**{escape_markdown(table.title)}**", render_markdown_table(table)]
        papers[path.parent / "README.md"] = {
            "results": "\n\n".join(shown),
            "deviations": render_markdown_table(build_deviation_table(paper)),
            "unstated": render_markdown_table(build_unstated_table(paper)),
            "exhibits": render_exhibits(path.parent, paper),
            "audit": _render_audit(paper),
            "remarks": render_markdown_table(build_remark_table(paper)),
            "checklist": render_summary(checklists.get(paper.name)),
        }
    head = [
        "| paper | its main number | ours | do they agree? | cost of that run | command of the whole |",
        "|---|---|---|---|---|---|",
    ]
    overview = {"checklists": render_overview(checklists.values())}
    return {root / "README.md": {"papers": "\n".join(head + lines)}, root / EXPLAINED: overview, **papers}


def _render_audit(paper: Paper) -> str:
    headline = (paper.headline.table, paper.headline.row)
    text = f"`python -m common.audit {paper.name}` computes from the printed numbers alone ({describe_scope(paper)}):"
    return f"{text}\n\n{render.render_markdown(audit_paper(paper), everything=False, example=headline)}"


def _summarise_paper(paper: Paper, results: Results | None, has_code: bool) -> str:
    key = (paper.headline.table, paper.headline.row, paper.headline.metric)
    claim = next(claim for claim in paper.claims if claim.key == key)
    sign = "\N{NO-BREAK SPACE}%" if claim.unit == "percent" else ""
    printed = "n/a" if claim.value is None else f"{claim.value:.{claim.digits}f}{sign}"
    if claim.printed_key in find_impossible_claims(paper):
        printed += f" ({IMPOSSIBLE_AS_PRINTED})"
    ours, verdict, cost = "not run yet" if has_code else "not trained: its numbers are audited", "", ""
    if results:
        line = find_headline(collect_lines(results, paper), paper)
        ours = "not run" if line.ours is None else format_value(line.ours, line.unit, line.digits) + sign
        if line.leakfree is not None:
            ours += f"; {format_value(line.leakfree, line.unit, line.digits)}{sign} with patients kept apart"
        verdict = explain_verdict(line.verdict)
        if line.ours is None and results.extra.finding:
            ours, verdict = results.extra.finding, "not run as published"
        main = [check for check in results.extra.statements if check.id == paper.headline.statement]
        if main and not results.extra.finding:
            verdict = f"the claim: {explain_verdict(main[0].verdict)}; the number: {verdict}"
        cost = _describe_cost(results, paper)
    words = [statement.text for statement in paper.statements if statement.id == paper.headline.statement]
    number = f"{claim.row}, {name_metric(claim.metric, '')}: {printed}"
    cells = ["; ".join([*words, number]), ours, verdict, cost]
    title = f"[{escape_markdown(paper.title)}](replications/{paper.name}/README.md)"
    command = f"`python -m replications.{paper.name}.run`" if has_code else f"`python -m common.audit {paper.name}`"
    return "| " + " | ".join([title, *map(escape_markdown, cells), command]) + " |"


def _describe_cost(results: Results, paper: Paper) -> str:
    """Time and device of the accepted run, and how much of the whole it was."""
    spent = f"{format_duration(results.seconds)}, {results.environment.device}"
    counted = {claim.row for claim in paper.claims if claim.unit == "count"}
    ran = {row.row for row in results.rows}
    rows = ran | {missing.row for missing in results.extra.not_run} - counted
    changed = [f"{name} = {value}" for name, value in sorted(results.overrides.items())]
    if ran == rows and not changed:
        return spent
    of_rows = "all rows" if ran == rows else f"{len(ran)} of {len(rows)} rows"
    settings = f" with {', '.join(changed) if len(changed) < 3 else f'{len(changed)} settings changed'}" if changed else ""
    return f"{spent}, for {of_rows}{settings}"


def update_readmes(root: Path, *, check: bool = False) -> list[Path]:
    """Rewrite the generated blocks of every README, the page of every checklist.toml, the table.md of every accepted run below
    `root`, and the report.html of those whose report README.md links to; with `check` change nothing. Returns the stale ones.

    Raises UsageError for a folder that is not the repository and for a block that is unknown or not closed.
    """
    if not (Path(root) / "replications").is_dir():
        raise UsageError(f"{root}: not the repository: it has no folder replications/; name it with --root")
    stale = []
    for path, content in _render_files(Path(root)).items():
        if content != (path.read_text(encoding="utf-8") if path.is_file() else ""):
            stale.append(path)
            if not check:
                write_text_atomic(path, content)
    return stale


def _render_files(root: Path) -> dict[Path, str]:
    """Every file that follows from paper.toml, checklist.toml, results.json and the code, as it should be."""
    files = {
        path: _replace_blocks(path.read_text(encoding="utf-8"), blocks, path)
        for path, blocks in render_blocks(root).items()
        if path.is_file()
    }
    for name, checklist in load_checklists(root).items():
        paper = load_paper(root / "replications" / name / "paper.toml")
        files[root / PAGES / f"{name}.md"] = render_checklist(checklist, paper)
    front = (root / "README.md").read_text(encoding="utf-8") if (root / "README.md").is_file() else ""
    for accepted in sorted((root / "results").glob("*/results.json")):
        toml = root / "replications" / accepted.parent.name / "paper.toml"
        if toml.is_file():
            results, paper = read_results(accepted), load_paper(toml)
            files[accepted.with_name("table.md")] = render_markdown(results, paper)
            page = accepted.with_name("report.html")
            if page.relative_to(root).as_posix() in front:
                files[page] = render_report(accepted.parent, results, paper)
    return files


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
