"""One judgement for all papers: from predictions to rows, verdicts on claims, comparisons and checked statements.

Departures belong to a row: what was trained otherwise than published is shown, but neither judged, nor compared, nor used to
check a statement. So does its standing: numbers from phantoms, or from other data than the paper's, are compared with each
other, but neither judged nor used to check a statement.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

import pandas as pd

from common.cli import PROTOCOLS, Configuration
from common.errors import UsageError
from common.evaluation.comparisons import compare_rows
from common.evaluation.design_effects import measure_design_effects
from common.evaluation.metrics import evaluate, list_collapsed_seeds
from common.evaluation.samples import describe_test_sets
from common.evaluation.verdicts import NOT_RUN, OFF_PROTOCOL, OTHER_DATA, PHANTOMS, judge_claims
from common.records.paper import Paper, Statement
from common.records.results import Collapse, JudgedClaim, Missing, Pair, RowResult, StatementCheck
from common.records.rows import Row

# How a statement of the paper is checked: (protocol, {row: mean accuracy}) -> (verdict, detail in words); see `check_pairs`.
Check = Callable[[str, Mapping[str, float]], tuple[str, str]]
WITHHELD = {
    PHANTOMS: "synthetic data say nothing about the paper",
    OTHER_DATA: "run on other data than the paper's",
    OFF_PROTOCOL: "run with other settings than the paper's",
}
NAMED = 3  # departures of a row, in its note
IN_WORDS = {"paper": "under the paper's protocol", "leakfree": "leak-free"}
HARDLY_TRAINED = "networks that it compares were stopped in their first epochs"


@dataclass(frozen=True)
class Outcome:
    """Everything of results.json that follows from the predictions."""

    rows: list[RowResult]  # once for every table that a row stands in
    claims: list[JudgedClaim]
    comparisons: list[Pair]
    statements: list[StatementCheck]
    not_run: list[Missing]
    collapsed: list[Collapse]
    hardly_trained: list[str] = field(default_factory=list)  # rows whose leak-free networks were stopped in their first epochs


def judge_run(
    paper: Paper,
    rows: Sequence[Row],
    predictions: pd.DataFrame,
    *,
    protocols: Sequence[str],
    compared: Sequence[Sequence[str]],
    checks: Mapping[str, Check],
    counts: Mapping[tuple[str, str, str], float],
    reasons: Mapping[str, str],
    departures: Callable[[str], Sequence[str]],
    standing: Callable[[str], str],
    impossible: Collection[tuple[str, str, str]],
    positive_class: str | None = None,
    choices_repeated: bool = False,
    apart: Collection[str] = (),
    exchanged: Mapping[tuple[str, str, str], str] | None = None,
    hardly_trained: Collection[str] = (),
) -> Outcome:
    """Judge the predictions of a run.

    compared: groups of rows, on the same test cases each, of which every pair is compared, the first named minus the other;
    checks: statement id -> how it is checked; counts: (table, row, metric) -> number, for claims of unit "count"; reasons:
    row -> why it was not run; departures: row -> settings that differ from the published ones; standing: row -> why its data or
    preset allow no verdict, as `verdicts.name_standing` says; impossible: `printed_key`s of claims that the audit found
    impossible; positive_class: which class of a claim our class 1 is, for claims of sensitivity, specificity and AUC;
    choices_repeated, apart, exchanged: see `judge_claims`; hardly_trained: rows that check no statement leak-free, as their
    networks were stopped in the first epochs there (`stopping`). Raises UsageError for a statement of paper.toml without a check.

    A paper that printed 90 % of 100 cases for its CNN, of which ours has every one right but was trained more briefly:

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from common.records.paper import Claim
    >>> from common.records.predictions import tabulate_scores
    >>> claim = Claim("2", "CNN", "accuracy", 90.0, 1, "percent", "Table 2", {"healthy": 60, "ill": 40})
    >>> paper = SimpleNamespace(claims=[claim], statements=[])  # what is read of a Paper
    >>> cases = pd.DataFrame({"case_id": list("ab"), "patient_id": list("ab"), "label": [0, 1]})
    >>> predictions = tabulate_scores(cases, np.eye(2), protocol="paper", row="CNN", seed=0, fold=0)
    >>> given = {"protocols": ["paper"], "compared": [], "checks": {}, "counts": {}, "reasons": {}, "impossible": ()}
    >>> rows = [Row("CNN", ("2",), frozenset())]
    >>> more_briefly = lambda row: ["epochs = 6 instead of 100"]
    >>> outcome = judge_run(paper, rows, predictions, departures=more_briefly, standing=lambda row: "", **given)
    >>> [(claim.ours, claim.verdict, claim.note) for claim in outcome.claims]
    [(100.0, 'off protocol', 'epochs = 6 instead of 100')]
    """
    found = evaluate(predictions)
    done = {(row.row, row.protocol) for row in found}
    unjudged = {row: why for row, why in reasons.items() if (row, "paper") not in done}
    reasons = _list_missing(reasons, protocols, done)
    if "paper" not in protocols:
        unjudged |= {row.row: "the paper's protocol was not asked for" for row in found}
    claims = judge_claims(
        paper.claims,
        found,
        unjudged,
        positive_class=positive_class,
        extra=counts,
        impossible=impossible,
        design_effects=measure_design_effects(predictions, "paper"),
        test_sets=describe_test_sets(predictions, "paper"),
        withheld=lambda row: _withhold(standing(row), departures(row)),
        choices_repeated=choices_repeated,
        apart=apart,
        exchanged=exchanged,
    )
    comparable = [row for row in found if not departures(row.row)]
    return Outcome(
        rows=[
            row.model_copy(update={"table": table, "departures": list(departures(row.row))})
            for row in found
            for table in _list_tables(row.row, rows, paper, everywhere=True)
        ],
        claims=claims,
        comparisons=_compare(predictions, protocols, compared, comparable),
        statements=_check_statements(paper.statements, checks, comparable, standing, hardly_trained),
        not_run=[
            Missing(table=table, row=row, reason=why)
            for row, why in sorted(reasons.items())
            for table in _list_tables(row, rows, paper, everywhere=False)
        ],
        collapsed=[
            Collapse(row=row.row, protocol=row.protocol, seeds=seeds)
            for row in found
            if (seeds := list_collapsed_seeds(predictions, row.row, row.protocol))
        ],
        hardly_trained=[row for row in hardly_trained if (row, "leakfree") in done],
    )


def _list_missing(reasons: Mapping[str, str], protocols: Sequence[str], done: Collection[tuple[str, str]]) -> dict[str, str]:
    """The reasons of the rows that lack a protocol; of those that lack one and have the other it is named."""
    missing = {}
    for row, why in reasons.items():
        lacking = [protocol for protocol in protocols if (row, protocol) not in done]
        if lacking:
            named = "" if len(lacking) == len(protocols) else f"{IN_WORDS[lacking[0]]}: "
            missing[row] = named + why.removeprefix(named)  # judged again, it says so already
    return missing


def _withhold(standing: str, departures: Sequence[str]) -> tuple[str, list[str]]:
    """Why no verdict is due on a row ("" if one is), and what to say of it: its first departures, if it has any."""
    said = shorten_departures(departures) or [WITHHELD[OFF_PROTOCOL]] * (standing == OFF_PROTOCOL)
    return standing or (OFF_PROTOCOL if departures else ""), said


def shorten_departures(departures: Sequence[str]) -> list[str]:
    """The first three, and how many more there are: a note is one line.

    >>> shorten_departures(["epochs = 6 instead of 100", "b", "c", "d", "e"])
    ['epochs = 6 instead of 100', 'b', 'c', 'and 2 more']
    """
    return [*departures[:NAMED], *([f"and {len(departures) - NAMED} more"] if len(departures) > NAMED else [])]


def list_changes(config: Configuration, published: Configuration, settings: Sequence[str]) -> list[str]:
    """Settings of a row that differ from the published ones, as departures: "epochs = 6 instead of 100".

    config, published: configurations (dataclasses of one kind); settings: beginnings of the names of those that matter.

    >>> from dataclasses import make_dataclass
    >>> Config = make_dataclass("Config", ["epochs", "epochs_frozen", "seed"])
    >>> list_changes(Config(6, 2, 1), Config(100, 2, 0), ["epochs"])
    ['epochs = 6 instead of 100']
    """
    return [
        f"{field.name} = {getattr(config, field.name)} instead of {getattr(published, field.name)}"
        for field in fields(config)
        if field.name.startswith(tuple(settings)) and getattr(config, field.name) != getattr(published, field.name)
    ]


def _list_tables(name: str, rows: Sequence[Row], paper: Paper, *, everywhere: bool) -> list[str]:
    """Tables that a row stands in: its own and (everywhere, or if it has none) those of its claims."""
    own = next((list(row.tables) for row in rows if row.name == name), [])
    printed = list(dict.fromkeys(claim.table for claim in paper.claims if claim.row == name))
    if everywhere:
        return list(dict.fromkeys([*own, *printed]))
    return own or printed[:1] or [""]


def _compare(
    predictions: pd.DataFrame, protocols: Sequence[str], compared: Sequence[Sequence[str]], comparable: Sequence[RowResult]
) -> list[Pair]:
    pairs = []
    for protocol in protocols:
        present = {row.row for row in comparable if row.protocol == protocol}
        for group in compared:
            of_group = [row for row in group if row in present]
            if len(of_group) > 1:
                pairs += compare_rows(predictions, protocol, of_group)
    return pairs


def _check_statements(
    statements: Sequence[Statement],
    checks: Mapping[str, Check],
    comparable: Sequence[RowResult],
    standing: Callable[[str], str],
    hardly_trained: Collection[str],
) -> list[StatementCheck]:
    """The checks on the rows whose numbers may be judged; where these are none, the standing of those that there are, or that
    their leak-free networks were hardly trained."""
    if unknown := [statement.id for statement in statements if statement.id not in checks]:
        raise UsageError(f"paper.toml: statement {unknown[0]!r} has no check in experiments.py")
    accuracy: dict[str, dict[str, dict[str, float]]] = {protocol: {} for protocol in PROTOCOLS}
    for row in comparable:
        if (mean := row.metrics["accuracy"].mean) is not None:
            accuracy[row.protocol].setdefault(standing(row.row), {})[row.row] = mean
    checked = []
    for statement in statements:
        for protocol in PROTOCOLS:
            known, check = accuracy[protocol], checks[statement.id]
            stopped = hardly_trained if protocol == "leakfree" else ()
            judged = {row: mean for row, mean in known.get("", {}).items() if row not in stopped}
            verdict, detail = check(protocol, judged)
            if verdict == NOT_RUN and check(protocol, known.get("", {}))[0] != NOT_RUN:
                detail = HARDLY_TRAINED
            if verdict == NOT_RUN or not judged:
                withheld = [word for word in WITHHELD if word in known and check(protocol, judged | known[word])[0] != NOT_RUN]
                verdict, detail = (withheld[0], WITHHELD[withheld[0]]) if withheld else (verdict, detail)
            checked.append(StatementCheck(id=statement.id, protocol=protocol, verdict=verdict, detail=detail))
    return checked
