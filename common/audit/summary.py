"""What the audit says of each printed number, and of all of them in one sentence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from common.audit.outcomes import POSSIBLE, SAME_METRIC, Outcome
from common.audit.papers import find_contradicting_claims, find_impossible_claims
from common.records.paper import Claim, Paper

# What is said of a printed number, the strongest first; "" where no check objects.
ALONE, TOGETHER, EXCHANGED, OPEN = "cannot be right", "contradicts its row", "fits exchanged", "not checked"


@dataclass(frozen=True)
class Unchecked:
    """Numbers that no check could judge, for one reason."""

    reason: str
    claims: tuple[Claim, ...]

    @property
    def count(self) -> int:
        """How many numbers."""
        return len(self.claims)

    @property
    def subject(self) -> str:
        """Which numbers: the metrics, each with the number of rows.

        >>> claims = [Claim("2", row, "auc", 0.9, 1, "fraction", "", {}) for row in ("CNN", "SVM")]
        >>> Unchecked("no check applies", tuple(claims)).subject
        'auc of 2 rows'
        """
        metrics = dict.fromkeys(claim.metric for claim in self.claims)
        rows = {metric: [claim.row for claim in self.claims if claim.metric == metric] for metric in metrics}
        return ", ".join(f"{metric} of {names[0] if len(names) == 1 else f'{len(names)} rows'}" for metric, names in rows.items())


def list_ratios(paper: Paper) -> list[Claim]:
    """The printed ratios that have a value.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> [claim.value for claim in list_ratios(parse_paper(EXAMPLE, Path("mine/paper.toml")))]
    [91.5]
    """
    return [claim for claim in paper.printed if claim.unit != "count" and claim.value is not None]


def is_unchecked(outcome: Outcome) -> bool:
    """Whether the outcome says that no check could judge its numbers.

    >>> is_unchecked(Outcome("scope", "auc of CNN", "not checked", "no cases are given"))
    True
    """
    return outcome.verdict.startswith(OPEN)


def touches(outcome: Outcome, claim: Claim) -> bool:
    """Whether the outcome judges the number.

    >>> claim = Claim("2", "CNN", "recall", 0.9, 1, "fraction", "", {})
    >>> touches(Outcome("one matrix", "", POSSIBLE, "", (("2", "CNN"),), metrics=("accuracy", "sensitivity")), claim)
    True
    """
    return (claim.table, claim.row) in outcome.rows and SAME_METRIC.get(claim.metric, claim.metric) in outcome.metrics


def group_unchecked(paper: Paper, outcomes: Sequence[Outcome]) -> list[Unchecked]:
    """The printed ratios that no check judges, reason by reason.

    >>> from pathlib import Path
    >>> from common.records.paper import parse_paper
    >>> from common.audit.example import EXAMPLE
    >>> paper = parse_paper(EXAMPLE, Path("mine/paper.toml"))
    >>> [(item.reason, item.subject) for item in group_unchecked(paper, [])]
    [('no check applies to it', 'accuracy of ours')]
    """
    reasons: dict[str, list[Claim]] = {}
    said = [outcome for outcome in outcomes if is_unchecked(outcome)]
    judged = [outcome for outcome in outcomes if not is_unchecked(outcome)]
    for claim in list_ratios(paper):
        if reason := next((outcome.arithmetic for outcome in said if touches(outcome, claim)), ""):
            reasons.setdefault(reason.removeprefix("because "), []).append(claim)
        elif not any(touches(outcome, claim) for outcome in judged):
            reasons.setdefault("no check applies to it", []).append(claim)
    return [Unchecked(reason, tuple(claims)) for reason, claims in reasons.items()]


def judge_numbers(paper: Paper, outcomes: Sequence[Outcome]) -> dict[tuple[str, str, str], str]:
    """{key of a printed ratio: ALONE, TOGETHER, EXCHANGED, OPEN or ""}.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.audit.papers import audit_paper
    >>> from common.records.paper import parse_paper
    >>> paper = parse_paper(EXAMPLE, Path("mine/paper.toml"))
    >>> judge_numbers(paper, audit_paper(paper))
    {('2', 'ours', 'accuracy'): 'cannot be right'}
    """
    impossible = find_impossible_claims(paper)
    unchecked = {claim.key for item in group_unchecked(paper, outcomes) for claim in item.claims}
    judged = {}
    for claim in list_ratios(paper):
        metric = SAME_METRIC.get(claim.metric, claim.metric)
        if claim.key in impossible:
            judged[claim.key] = TOGETHER if claim.key in find_contradicting_claims(paper) else ALONE
        elif any(
            metric in outcome.exchanged and {(*claim.key[:2], name) for name in outcome.exchanged}.isdisjoint(impossible)
            for outcome in outcomes
            if (claim.table, claim.row) in outcome.rows
        ):
            judged[claim.key] = EXCHANGED
        else:
            judged[claim.key] = OPEN if claim.key in unchecked else ""
    return judged


def summarise_paper(paper: Paper, outcomes: Sequence[Outcome]) -> str:
    """The audit in one sentence: how many printed numbers cannot be right, contradict each other, and were not checked.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.audit.papers import audit_paper
    >>> from common.records.paper import parse_paper
    >>> paper = parse_paper(EXAMPLE, Path("mine/paper.toml"))
    >>> summarise_paper(paper, audit_paper(paper))
    'The printed number of Table 2 cannot be right as printed.'
    """
    judged = judge_numbers(paper, outcomes)
    total = len(judged)
    if not total:
        return "No printed ratio is in the available text, so that none was checked."
    numbers = f"{f'{total} printed numbers' if total > 1 else 'printed number'}{_name_tables(paper)}"
    by_mark = {mark: [key for key, found in judged.items() if found == mark] for mark in (ALONE, TOGETHER, EXCHANGED, OPEN)}
    alone, together = len(by_mark[ALONE]), len(by_mark[TOGETHER])
    how = ", in whatever usual way they were averaged" if alone and _is_open(paper, by_mark[ALONE]) else ""
    parts = []
    if alone:
        parts.append(f"{_count(alone, total, numbers)} cannot be right as printed{how}")
    if together:
        rows = len({key[:2] for key in by_mark[TOGETHER]})
        others = f"{together} other{'s' if together > 1 else ''}"
        subject = others if alone else _count(together, total, numbers)
        if together == total and not alone:
            subject = f"The {numbers}"
        wrong = "one of them, at least, is wrong" if rows == 1 else f"in each of {rows} rows one, at least, is wrong"
        verb = "contradict each other" if together > 1 else "contradicts what is printed beside it"
        parts.append(f"{subject} {verb}: {wrong}")
    if by_mark[EXCHANGED]:
        rows = len({key[:2] for key in by_mark[EXCHANGED]})
        more = "" if parts else f" of the {numbers}"
        parts.append(f"{rows} row{'s' if rows > 1 else ''}{more} fit{'' if rows > 1 else 's'} only with columns exchanged")
    if not parts:
        parts.append(f"None of the {numbers} is found impossible" if total > 1 else f"The {numbers} is not found impossible")
    if opened := len(by_mark[OPEN]):
        parts.append("none was checked" if opened == total else f"{opened} {'was' if opened == 1 else 'were'} not checked")
    missing = sum(claim.unit != "count" and claim.value is None for claim in paper.printed)
    parts += [f"{missing} more {'is' if missing == 1 else 'are'} not in the available text"] if missing else []
    return "; ".join(parts) + "."


def summarise_results(outcomes: Sequence[Outcome]) -> str:
    """The audit of our own results in one sentence.

    >>> summarise_results([Outcome("one matrix", "CNN, seed 0", POSSIBLE, "tp 3")])
    'All 1 checks of these results find them possible.'
    """
    failed = sum(outcome.verdict != POSSIBLE for outcome in outcomes)
    if failed:
        return f"{failed} of {len(outcomes)} checks find a number that cannot be right."
    return f"All {len(outcomes)} checks of these results find them possible."


def _count(some: int, total: int, numbers: str) -> str:
    """Some of all numbers, as the subject of a sentence."""
    if some < total:
        return f"{some} of the {numbers}"
    return f"{'All' if total > 1 else 'The'} {numbers}"


def _name_tables(paper: Paper) -> str:
    tables = list(dict.fromkeys(claim.table for claim in list_ratios(paper)))
    if not all(table[:1].isdigit() for table in tables):
        return ""
    tables.sort(key=lambda table: (int(re.findall(r"^[0-9]+", table)[0]), table))
    return f" of Table {tables[0]}" if len(tables) == 1 else f" of Tables {', '.join(tables[:-1])} and {tables[-1]}"


def _is_open(paper: Paper, keys: Sequence[tuple[str, str, str]]) -> bool:
    """Whether the paper says of none of these numbers how it was averaged."""
    return not any((c.average, c.folds, c.fold_sizes, c.runs) != ("", 0, (), 0) for c in paper.printed if c.key in keys)
