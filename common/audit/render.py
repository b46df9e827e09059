"""What the audit found, as text, as Markdown, and for programs; the page is in common.audit.pages."""

import re
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

from common.audit.order import order_checks, order_outcomes, tally_checks
from common.audit.outcomes import IMPOSSIBLE, POSSIBLE, Outcome
from common.audit.printed import format_chance
from common.audit.sources import Audit
from common.audit.summary import Unchecked, group_unchecked, is_unchecked

# Checks with many outcomes: those that are possible are counted, not listed.
QUIET = (
    "attainable", "one matrix", "averages", "prevalence", "between", "F1", "ratio", "auc", "spread", "majority", "equation",
    "derived equation", "mean over seeds",
)  # fmt: skip


def describe_weight(outcome: Outcome) -> str:
    """How many readings fit, what chance would do, the Wilson interval, and which numbers suffice, as far as they are known.

    >>> describe_weight(Outcome("attainable", "accuracy 91.0 of 100", POSSIBLE, "91/100 = 91.00", fits=1, tried=101))
    'fits: 1 of 101'
    """
    parts = []
    if outcome.fits is not None:
        parts.append(f"fits: {outcome.fits}" + (f" of {outcome.tried}" if outcome.tried else ""))
    if outcome.chance is not None:
        parts.append(f"by chance {format_chance(outcome.chance)}")
    if outcome.interval:
        parts.append("95 % interval {:.1f} to {:.1f} %".format(*(100 * end for end in outcome.interval)))
    if outcome.verdict == IMPOSSIBLE and outcome.contradictions not in ((), (outcome.metrics,)):
        sets = [" + ".join(names) if len(names) > 1 else f"{names[0]} alone" for names in outcome.contradictions]
        parts.append(f"impossible already: {', or '.join(sets)}")
    return "; ".join(parts)


def is_quiet(outcome: Outcome) -> bool:
    """Whether it is enough to count it: possible, and one of many.

    >>> is_quiet(Outcome("attainable", "accuracy 91.0 of 100", POSSIBLE, "91/100 = 91.00"))
    True
    """
    return outcome.verdict == POSSIBLE and outcome.check in QUIET


def clean_text(text: str) -> str:
    """Text without what a terminal or a page would obey instead of show.

    >>> clean_text("A\\x1b[31m network\\u202e")
    'A�[31m network�'
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no links, no emphasis, no code, no column breaks.

    >>> print(escape_markdown("A `net` | <b>[ours](x)</b> of *two*"))
    A \\`net\\` \\| &lt;b&gt;[ours\\](x)&lt;/b&gt; of \\*two\\*
    """
    text = clean_text(" ".join(str(text).split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*|~]|\](?=[(\[])|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


def render_text(audit: Audit, everything: bool, width: int) -> str:
    """The audit for the screen: one sentence; what was assumed; what was found, the strongest first and how to check it by hand;
    what was not checked; and a tally of all checks.

    everything: list also what `is_quiet`, and each number that was not checked; width: characters of a line.

    >>> outcome = Outcome("equation", "40 + 60 = 110 (section 3)", "impossible", "40 + 60 is 100; 110 is 110")
    >>> audit = Audit("mine.toml", "A network", "Doe J, 2020", "1 number cannot be right.", (outcome,))
    >>> print(render_text(audit, everything=False, width=60).strip())
    A network. Doe J, 2020 (mine.toml)
    <BLANKLINE>
    1 number cannot be right.
    <BLANKLINE>
    equation
      impossible         40 + 60 = 110 (section 3)
                         40 + 60 is 100; 110 is 110
    <BLANKLINE>
    all checks
      equation: 1 impossible
    """
    out = [*textwrap.wrap(clean_text(_name_audit(audit)), width), ""]
    for sentence in (audit.summary, *audit.remarks):
        out += textwrap.wrap(clean_text(sentence), width)
    out.append("")
    wrap = partial(textwrap.wrap, width=width, subsequent_indent=" " * 21)
    outcomes = [outcome for outcome in audit.outcomes if not is_unchecked(outcome)]
    shown = order_outcomes(outcome for outcome in outcomes if everything or not is_quiet(outcome))
    for check in order_checks(shown):
        out.append(check)
        for outcome in (outcome for outcome in shown if outcome.check == check):
            weight = describe_weight(outcome)
            text = outcome.arithmetic + (f" [{weight}]" if weight else "")
            out += wrap(clean_text(f"  {outcome.verdict:<19}{outcome.subject}"))
            out += wrap(clean_text(" " * 21 + text))
        out.append("")
    if unchecked := _list_unchecked(audit):
        out.append(f"not checked: {sum(item.count for item in unchecked)}")
        for item in unchecked:
            names = [f"{claim.metric} of {claim.row}" for claim in item.claims] if everything else [item.subject]
            for name in names:
                out += wrap(clean_text(f"  {name}, because: {item.reason}"))
        out.append("")
    if outcomes:
        out += ["all checks", *(f"  {line}" for line in tally_checks(outcomes)), ""]
    return "\n".join(out)


def _name_audit(audit: Audit) -> str:
    """Title, authors and file, as far as they differ."""
    title = f"{audit.title}. {audit.about}" if audit.about else audit.title
    return title if audit.source == audit.title else f"{title} ({audit.source})"


def _list_unchecked(audit: Audit) -> list[Unchecked]:
    return group_unchecked(audit.paper, audit.outcomes) if audit.paper else []


def render_markdown_audit(audit: Audit, everything: bool) -> str:
    """The audit as Markdown: title, sentences, the table of `render_markdown`, what was not checked, and a tally.

    >>> outcome = Outcome("equation", "40 + 60 = 110", "impossible", "40 + 60 is 100; 110 is 110")
    >>> audit = Audit("mine.toml", "A | network", "Doe J, 2020", "1 number cannot be right.", (outcome,))
    >>> print(render_markdown_audit(audit, everything=False).splitlines()[0])
    **A \\| network. Doe J, 2020 (mine.toml)**
    """
    blocks = [f"**{escape_markdown(_name_audit(audit))}**", escape_markdown(audit.summary)]
    blocks += ["\n".join(f"- {escape_markdown(note)}" for note in audit.remarks)] if audit.remarks else []
    outcomes = [outcome for outcome in audit.outcomes if not is_unchecked(outcome)]
    blocks.append(render_markdown(outcomes, everything))
    if unchecked := _list_unchecked(audit):
        lines = [f"- {escape_markdown(item.subject)}, because: {escape_markdown(item.reason)}" for item in unchecked]
        blocks.append("Not checked:\n\n" + "\n".join(lines))
    if outcomes:
        blocks.append("All checks:\n\n" + "\n".join(f"- {escape_markdown(line)}" for line in tally_checks(outcomes)))
    return "\n\n".join(blocks)


def render_markdown(outcomes: Sequence[Outcome], everything: bool, example: tuple[str, str] | None = None) -> str:
    """The audit as a table: every outcome, or for a README one line a check and verdict, the strongest first.

    example: (table, row) that stands for the others of its line if it is among them; else the one with the fewest fits.

    >>> outcome = Outcome("equation", "40 + 60 = 110", "impossible", "40 + 60 is 100; 110 is 110")
    >>> print(render_markdown([outcome], everything=False).splitlines()[-1])
    | equation | 40 + 60 = 110 | impossible | 40 + 60 is 100; 110 is 110 |  |
    """
    shown = [(o.subject, o) for o in order_outcomes(outcomes)]
    if not everything:
        groups: dict[tuple[str, str], list[Outcome]] = {}
        for outcome in order_outcomes(outcomes):
            if not is_quiet(outcome):
                groups.setdefault((outcome.check, outcome.verdict), []).append(outcome)
        shown = []
        for group in groups.values():
            first = min(group, key=lambda o: (example not in o.rows, o.fits or 0))
            shown.append((f"{first.subject}; {len(group) - 1} more" if group[1:] else first.subject, first))
    rows = ["| check | what | verdict | arithmetic | weight |", "|---|---|---|---|---|"]
    for subject, o in shown:
        cells = (o.check, subject, o.verdict, o.arithmetic, describe_weight(o))
        escaped = (escape_markdown(cell).replace("&gt;", ">") for cell in cells)  # in a cell it begins no quotation
        rows.append(f"| {' | '.join(escaped)} |")
    return "\n".join(rows)


def list_plain(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The outcomes in plain JSON types, one dictionary each: what `python -m common.audit --json` prints.

    >>> (plain,) = list_plain([Outcome("mean", "mean 96.0", POSSIBLE, "96.01", rows=(("2", "CNN"),))])
    >>> plain["verdict"], plain["rows"], plain["chance"]
    ('possible', [{'table': '2', 'row': 'CNN'}], None)
    """
    return [
        {
            "check": o.check,
            "subject": o.subject,
            "verdict": o.verdict,
            "arithmetic": o.arithmetic,
            "rows": [{"table": table, "row": row} for table, row in o.rows],
            "metrics": list(o.metrics),
            "accused": [list(names) for names in o.accused],
            "fits": o.fits,
            "tried": o.tried,
            "chance": None if o.chance is None else float(o.chance),
            "interval": None if o.interval is None else list(o.interval),
        }
        for o in outcomes
    ]
