"""The audit as one self-contained page: to be sent, printed, read on a telephone. No scripts, no other files, no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

import common
from common.audit.order import order_outcomes, tally_checks
from common.audit.outcomes import POSSIBLE, Outcome
from common.audit.render import clean_text, describe_weight
from common.audit.sources import Audit
from common.audit.summary import (
    ALONE,
    EXCHANGED,
    OPEN,
    TOGETHER,
    Unchecked,
    group_unchecked,
    is_unchecked,
    judge_numbers,
    list_ratios,
)
from common.records.paper import Paper

TEMPLATES = Path(__file__).parent / "templates"
SIGNS = {ALONE: "✕", TOGETHER: "≠", EXCHANGED: "⇄", OPEN: "?"}  # beside a number: colours do not print
STYLES = {ALONE: "alone", TOGETHER: "together", EXCHANGED: "exchanged", OPEN: "unchecked"}
MEANINGS = {
    ALONE: "cannot be right as printed",
    TOGETHER: "contradicts others of its row",
    EXCHANGED: "fits once two columns are exchanged",
    OPEN: "not checked",
}
TONES = {POSSIBLE: "good", "impossible": "bad", "swapped": "bad", "leaks": "bad", "unlikely": "bad", "below majority": "bad"}


@dataclass(frozen=True)
class ShownNumber:
    """A cell of the table as the page shows it."""

    text: str
    mark: str  # one of SIGNS, or ""


@dataclass(frozen=True)
class ShownTable:
    """A printed table as the page shows it."""

    name: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ShownNumber, ...]], ...]


@dataclass(frozen=True)
class ShownAudit:
    """One audit in the order in which it is read."""

    audit: Audit
    tables: tuple[ShownTable, ...]
    marks: tuple[str, ...]  # those that the tables bear
    findings: tuple[Outcome, ...]  # as `order_outcomes`
    unchecked: tuple[Unchecked, ...]
    possible: tuple[Outcome, ...]
    tally: tuple[str, ...]


def render_page(audits: Sequence[Audit], command: str, home: str = "") -> str:
    """The page of some audits; command: what made it, to be shown at its end; home: address of the page that it is a part of.

    >>> from common.audit.outcomes import Outcome
    >>> outcome = Outcome("equation", "40 + 60 = 110", "impossible", "40 + 60 is 100; 110 is 110")
    >>> audit = Audit("mine.toml", "<b>A network</b>", "Doe J, 2020", "1 cannot be right.", (outcome,))
    >>> page = render_page([audit], "python -m common.audit mine.toml")
    >>> "&lt;b&gt;A network" in page, "40 + 60 is 100" in page, "<script" in page
    (True, True, False)
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["clean"] = clean_text
    environment.filters["shorten"] = _cut_folders
    return environment.get_template("audit.html").render(
        audits=[_arrange(audit) for audit in audits],
        weigh=describe_weight,
        tones=TONES,
        signs=SIGNS,
        classes=STYLES,
        meanings=MEANINGS,
        command=command,
        version=common.__version__,
        home=home,
    )


def list_tables(paper: Paper, outcomes: Sequence[Outcome]) -> list[ShownTable]:
    r"""The printed ratios, table by table, each with what is said of it.

    >>> from common.audit.example import EXAMPLE
    >>> from common.audit.papers import audit_paper
    >>> from common.records.paper import parse_paper
    >>> paper = parse_paper(EXAMPLE, Path("mine/paper.toml"))
    >>> (table,) = list_tables(paper, audit_paper(paper))
    >>> table.heads, table.rows
    (('accuracy',), (('ours', (ShownNumber(text='91.5\xa0%', mark='cannot be right'),)),))
    """
    judged = judge_numbers(paper, outcomes)
    claims = list_ratios(paper)
    tables = []
    for name in dict.fromkeys(claim.table for claim in claims):
        here = {(claim.row, claim.metric): claim for claim in claims if claim.table == name}
        heads = tuple(dict.fromkeys(metric for _, metric in here))
        rows = []
        for row in dict.fromkeys(row for row, _ in here):
            numbers = []
            for head in heads:
                claim = here.get((row, head))
                if claim is None or claim.value is None:
                    numbers.append(ShownNumber("", ""))
                    continue
                sd = "" if claim.sd is None else f" ± {claim.sd:.{claim.sd_digits}f}"
                unit = "\N{NO-BREAK SPACE}%" if claim.unit == "percent" else ""
                numbers.append(ShownNumber(f"{claim.value:.{claim.digits}f}{sd}{unit}", judged[claim.key]))
            rows.append((row, tuple(numbers)))
        tables.append(ShownTable(f"Table {name}" if name[:1].isdigit() else name, heads, tuple(rows)))
    return tables


def _cut_folders(path: str) -> str:
    """A path as others may see it: without the folders of this machine, unless it lies below the present one."""
    return Path(path).name if Path(path).is_absolute() else path


def _arrange(audit: Audit) -> ShownAudit:
    tables = list_tables(audit.paper, audit.outcomes) if audit.paper else []
    found = {number.mark for table in tables for _, numbers in table.rows for number in numbers}
    outcomes = [outcome for outcome in audit.outcomes if not is_unchecked(outcome)]
    findings = order_outcomes(outcome for outcome in outcomes if outcome.verdict != POSSIBLE)
    return ShownAudit(
        audit,
        tuple(tables),
        tuple(mark for mark in SIGNS if mark in found),
        tuple(findings),
        tuple(group_unchecked(audit.paper, audit.outcomes)) if audit.paper else (),
        tuple(order_outcomes(outcome for outcome in outcomes if outcome.verdict == POSSIBLE)),
        tuple(tally_checks(outcomes)),
    )
