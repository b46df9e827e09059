"""From predictions to an outcome: rows in their tables, verdicts, comparisons, statements; departures that belong to a row."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cli import Options, parse_options
from common.errors import UsageError
from common.evaluation.outcome import Outcome, judge_run, list_changes
from common.evaluation.verdicts import NOT_RUN, check_pairs
from common.records.paper import Paper, load_paper
from common.records.results import Collapse, Missing, StatementCheck
from common.records.rows import Row, select_rows

PAPER = """
[paper]
title = "Networks compared"
authors = "A, B"
venue = "Journal"
year = "2020"
doi = "10.1/a"
task = "ill or not"
positive_class = "ill"
headline = { table = "2", row = "net", metric = "accuracy" }

[classes]
test = { "healthy" = 80, "ill" = 20 }

[[statement]]
id = "net_best"
text = "The net is best"
where = "section 4"
"""
CLAIMS = (
    ("1", "set", "train", 400, "count"),
    ("1", "set", "test", 100, "count"),
    ("2", "net", "accuracy", 90.0, "percent"),
    ("2", "old", "accuracy", 80.0, "percent"),
    ("2", "absent", "accuracy", 85.0, "percent"),
    ("3", "net", "sensitivity", 75.0, "percent"),
    ("3", "absent", "accuracy", 85.0, "percent"),
)
ROWS = (
    Row("net", ("2", "Fig. 1"), frozenset({"net"})),
    Row("old", ("2",), frozenset({"old"})),
    Row("ours", ("beyond",), frozenset({"ours"})),
    Row("absent", ("2", "Fig. 1"), frozenset({"absent"})),
    Row("start", (), frozenset({"start"})),
)
WRONG = {"net": 10, "old": 20, "ours": 15}  # of 80 healthy cases, and a quarter of that of 20 ill ones
BOTH = ("paper", "leakfree")


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    claims = [
        f'[[claim]]\ntable = "{table}"\nrow = "{row}"\nmetric = "{metric}"\nvalue = {value}\ndigits = {int(unit != "count")}\n'
        f'unit = "{unit}"\nwhere = "Table {table}"\nclasses = "test"\n'
        for table, row, metric, value, unit in CLAIMS
    ]
    (tmp_path / "paper.toml").write_text(PAPER + "\n" + "\n".join(claims))
    return load_paper(tmp_path / "paper.toml")


def tabulate(row: str, protocol: str, seed: int, wrong: int) -> pd.DataFrame:
    """Scores of 100 cases, 20 ill; the first cases of each class are given the other one."""
    y = np.repeat([0, 1], [80, 20])
    score = np.where(y == 1, 0.9, 0.1)
    for first, count in ((0, wrong), (80, wrong // 4)):
        score[first : first + count] = 1 - score[first : first + count]
    cases = [f"case{i:03d}" for i in range(100)]
    return pd.DataFrame({
        "protocol": protocol, "row": row, "seed": seed, "fold": -1, "case_id": cases, "patient_id": cases, "y_true": y,
        "y_score_0": 1 - score, "y_score_1": score,
    })  # fmt: skip


def make_predictions(protocols: tuple[str, ...] = BOTH, **wrong: int) -> pd.DataFrame:
    counts = {**WRONG, **wrong}
    tables = [tabulate(row, p, seed, count) for p in protocols for row, count in counts.items() for seed in (0, 1, 2)]
    return pd.concat(tables, ignore_index=True)


class Recorder:
    """A check that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, float]] = {}

    def __call__(self, protocol, accuracy) -> tuple[str, str]:
        self.asked[protocol] = dict(accuracy)
        return "holds", f"{len(accuracy)} rows"


def judge(paper: Paper, predictions: pd.DataFrame | None = None, **given) -> Outcome:
    settings = {
        "protocols": BOTH,
        "compared": [("net", "old", "ours", "absent")],
        "checks": {"net_best": Recorder()},
        "counts": {("1", "set", "train"): 400, ("1", "set", "test"): 99},
        "reasons": {},
        "departures": lambda _row: [],
        "standing": lambda _row: "",
        "impossible": (),
        "positive_class": "ill",
    }
    return judge_run(paper, ROWS, make_predictions() if predictions is None else predictions, **{**settings, **given})


def verdicts_of(outcome: Outcome) -> dict[tuple[str, str, str], str]:
    return {claim.key: claim.verdict for claim in outcome.claims}


def pairs_of(outcome: Outcome) -> list[tuple[str, str, str]]:
    return [(pair.protocol, pair.row_a, pair.row_b) for pair in outcome.comparisons]


def depart(*rows: str):
    """departures: those rows were trained with other settings than the published ones."""
    return lambda row: ["epochs = 6 instead of 100", "width = 8 instead of 64"] if row in rows else []


def test_a_row_stands_in_its_tables_and_in_those_that_print_it(paper):
    outcome = judge(paper)
    for protocol in BOTH:
        assert [(row.table, row.row) for row in outcome.rows if row.protocol == protocol] == [
            ("2", "net"), ("Fig. 1", "net"), ("3", "net"), ("2", "old"), ("beyond", "ours"),
        ]  # fmt: skip
    found = [row for row in outcome.rows if row.row == "net" and row.protocol == "paper"]
    assert len({row.model_copy(update={"table": ""}).model_dump_json() for row in found}) == 1
    assert found[0].metrics["accuracy"].mean == pytest.approx(0.88)
    assert not any(row.departures for row in outcome.rows)


def test_claims_are_judged_in_their_own_units_with_counts(paper):
    outcome = judge(paper, make_predictions(old=40), impossible={("2", "old", "accuracy")})
    assert verdicts_of(outcome) == {
        ("1", "set", "train"): "equal",
        ("1", "set", "test"): "differs, lower",
        ("2", "net", "accuracy"): "cannot tell",
        ("2", "old", "accuracy"): "differs, lower",
        ("2", "absent", "accuracy"): "not run",
        ("3", "net", "sensitivity"): "cannot tell",
        ("3", "absent", "accuracy"): "not run",
    }
    claims = {claim.key: claim for claim in outcome.claims}
    assert [claims["1", "set", name].ours for name in ("train", "test")] == [400, 99]
    assert claims["2", "net", "accuracy"].ours == pytest.approx(88.0)
    assert claims["3", "net", "sensitivity"].ours == pytest.approx(90.0)  # of the ill
    assert [claim.key for claim in outcome.claims if claim.impossible] == [("2", "old", "accuracy")]
    assert claims["2", "old", "accuracy"].difference == pytest.approx(-30.0)
    swapped = {claim.key: claim for claim in judge(paper, positive_class="healthy").claims}
    assert swapped["3", "net", "sensitivity"].tolerance < claims["3", "net", "sensitivity"].tolerance
    without = judge(paper, counts={}, reasons={"set": "no data"})
    assert [(claim.verdict, claim.note) for claim in without.claims[:2]] == [("not run", "no data")] * 2


def test_every_pair_of_a_group_is_compared_under_the_protocols_asked_for(paper):
    outcome = judge(paper)
    names = [("net", "old"), ("net", "ours"), ("old", "ours")]  # in the order of the group; one was not run
    assert pairs_of(outcome) == [(protocol, *pair) for protocol in BOTH for pair in names]
    assert outcome.comparisons[0].accuracy_difference == pytest.approx(0.13)
    assert pairs_of(judge(paper, protocols=("paper",))) == [("paper", *pair) for pair in names]
    assert pairs_of(judge(paper, compared=[("ours", "net"), ("old", "absent")])) == [(p, "ours", "net") for p in BOTH]
    assert judge(paper, compared=[]).comparisons == []


def test_statements_are_checked_under_each_protocol(paper):
    check = Recorder()
    outcome = judge(paper, checks={"net_best": check, "of_another_paper": Recorder()})
    assert outcome.statements == [
        StatementCheck(id="net_best", protocol=protocol, verdict="holds", detail="3 rows") for protocol in BOTH
    ]
    for protocol in BOTH:
        assert check.asked[protocol] == pytest.approx({"net": 0.88, "old": 0.75, "ours": 0.82})
    judge(paper, make_predictions(("leakfree",)), protocols=("leakfree",), checks={"net_best": check})
    assert check.asked["paper"] == {}


def test_rows_stopped_in_their_first_epochs_check_no_statement_leak_free(paper):
    def check(_protocol, accuracy) -> tuple[str, str]:
        return ("holds", "") if {"net", "old"} <= accuracy.keys() else (NOT_RUN, "none of its rows was run as published")

    outcome = judge(paper, checks={"net_best": check}, hardly_trained=["net", "absent"])
    assert outcome.hardly_trained == ["net"]  # the other one has no leak-free numbers
    verdicts = {found.protocol: (found.verdict, found.detail) for found in outcome.statements}
    assert verdicts["paper"] == ("holds", "")
    assert verdicts["leakfree"] == (NOT_RUN, "networks that it compares were stopped in their first epochs")


def test_departures_of_one_row_concern_that_row_only(paper):
    check = Recorder()
    plain = judge(paper)
    outcome = judge(paper, departures=depart("net"), checks={"net_best": check})
    changed = {key for key, verdict in verdicts_of(outcome).items() if verdict != verdicts_of(plain)[key]}
    assert changed == {("2", "net", "accuracy"), ("3", "net", "sensitivity")}
    for claim in outcome.claims:
        if claim.row == "net":
            assert claim.verdict == "off protocol"
            assert claim.note == "epochs = 6 instead of 100; width = 8 instead of 64"
            assert claim.ours is not None  # shown, not judged
    unchanged = [claim for claim in outcome.claims if claim.row != "net"]
    assert unchanged == [claim for claim in plain.claims if claim.row != "net"]
    assert verdicts_of(outcome)["2", "old", "accuracy"] == "cannot tell"
    # Neither compared nor used; the others are.
    assert pairs_of(outcome) == [(protocol, "old", "ours") for protocol in BOTH]
    assert {protocol: set(rows) for protocol, rows in check.asked.items()} == {p: {"old", "ours"} for p in BOTH}
    # Its numbers stay, and say so.
    assert {(row.row, bool(row.departures)) for row in outcome.rows} == {("net", True), ("old", False), ("ours", False)}
    assert [row.model_copy(update={"departures": []}) for row in outcome.rows] == plain.rows


@pytest.mark.parametrize("word", ["phantoms", "other data", "off protocol"])
def test_where_no_verdict_is_due_the_columns_say_why(paper, word):
    """Claims, counts and statements; the rows are shown and compared with each other as always."""
    check = Recorder()
    outcome = judge(paper, standing=lambda _row: word, checks={"net_best": check})
    ran = {key: verdict for key, verdict in verdicts_of(outcome).items() if key[1] != "absent"}
    assert set(ran.values()) == {word}
    assert verdicts_of(outcome)["2", "absent", "accuracy"] == "not run"
    assert {statement.verdict for statement in outcome.statements} == {word}
    assert outcome.rows == judge(paper).rows
    assert outcome.comparisons == judge(paper).comparisons
    assert {claim.difference for claim in outcome.claims} == {None}


def test_the_standing_of_a_row_is_that_of_its_data(paper):
    """One data set of phantoms beside a real one: a statement about the real rows alone is checked."""
    standing = {"net": "", "old": "other data", "ours": "phantoms", "set": ""}.get
    checks = {"net_best": lambda _protocol, known: check_pairs([("net", "old")], known)}
    outcome = judge(paper, make_predictions(net=2), standing=lambda row: standing(row, ""), checks=checks)
    verdicts = verdicts_of(outcome)
    assert verdicts["2", "old", "accuracy"] == "other data"
    assert verdicts["1", "set", "train"] == "equal"
    assert "other" not in verdicts["2", "net", "accuracy"]
    assert [statement.verdict for statement in outcome.statements] == ["other data"] * 2
    checks = {"net_best": lambda _protocol, known: check_pairs([("net", "absent")], known)}
    outcome = judge(paper, standing=lambda row: standing(row, ""), checks=checks)
    assert [statement.verdict for statement in outcome.statements] == ["not run"] * 2


def test_departures_on_phantoms_are_said_beside_the_word(paper):
    outcome = judge(paper, standing=lambda _row: "phantoms", departures=depart("net"))
    (net, *_) = [claim for claim in outcome.claims if claim.row == "net"]
    assert (net.verdict, net.note) == ("phantoms", "epochs = 6 instead of 100; width = 8 instead of 64")


def test_departures_of_a_row_without_a_printed_number(paper):
    check = Recorder()
    outcome = judge(paper, departures=depart("ours"), checks={"net_best": check})
    assert verdicts_of(outcome) == verdicts_of(judge(paper))
    assert pairs_of(outcome) == [(protocol, "net", "old") for protocol in BOTH]
    assert set(check.asked["paper"]) == {"net", "old"}
    assert {row.row for row in outcome.rows if row.departures} == {"ours"}


def test_a_row_that_was_not_run_is_not_off_protocol(paper):
    assert verdicts_of(judge(paper, departures=depart("absent"))) == verdicts_of(judge(paper))


def test_without_the_papers_protocol_no_claim_is_judged(paper):
    outcome = judge(paper, make_predictions(("leakfree",)), protocols=("leakfree",), counts={}, reasons={"absent": "too large"})
    notes = {claim.row: claim.note for claim in outcome.claims if claim.table == "2"}
    not_asked = "the paper's protocol was not asked for"
    assert notes == {"net": not_asked, "old": not_asked, "absent": "too large"}
    assert set(verdicts_of(outcome).values()) == {"not run"}
    assert all(claim.ours is None for claim in outcome.claims)
    assert {row.protocol for row in outcome.rows} == {"leakfree"}
    assert [(missing.row, missing.reason) for missing in outcome.not_run] == [("absent", "too large")] * 2


def test_a_statement_without_a_check_is_an_error(paper):
    with pytest.raises(UsageError, match=r"statement 'net_best' has no check"):
        judge(paper, checks={"net_worst": Recorder()})


def test_rows_not_run_stand_in_their_tables(paper):
    reasons = {"start": "only leads to others", "net": "was said before it was run", "absent": "too large", "set": "no data"}
    assert judge(paper, reasons=reasons).not_run == [
        Missing(table="2", row="absent", reason="too large"),  # its own tables, not each that prints it
        Missing(table="Fig. 1", row="absent", reason="too large"),
        Missing(table="1", row="set", reason="no data"),  # no row of ours: the first table that prints it
        Missing(table="", row="start", reason="only leads to others"),
    ]


def test_rows_that_collapse_are_named_with_their_seeds(paper):
    predictions = make_predictions()
    constant = (predictions["row"] == "old") & (predictions["protocol"] == "leakfree") & (predictions["seed"] == 1)
    predictions.loc[constant, "y_score_1"] = 0.2
    predictions.loc[constant, "y_score_0"] = 0.8
    outcome = judge(paper, predictions)
    assert outcome.collapsed == [Collapse(row="old", protocol="leakfree", seeds=[1])]
    assert judge(paper, departures=depart("old")).collapsed == []
    assert judge(paper, predictions, departures=depart("old")).collapsed == outcome.collapsed


@dataclass(frozen=True)
class Settings:
    cnn_epochs: int = 100
    cnn_side: int = 64
    dbn_epochs: int = 10
    seeds: tuple[int, ...] = (0, 1)


def test_changes_are_those_of_the_settings_that_matter():
    published = Settings()
    config = replace(published, cnn_epochs=6, dbn_epochs=2, seeds=(0,))
    assert list_changes(config, published, ["cnn_"]) == ["cnn_epochs = 6 instead of 100"]
    assert list_changes(config, published, ["cnn_", "dbn_"]) == ["cnn_epochs = 6 instead of 100", "dbn_epochs = 2 instead of 10"]
    assert list_changes(config, published, ["seeds"]) == ["seeds = (0,) instead of (0, 1)"]
    assert list_changes(config, published, []) == []
    assert list_changes(published, published, ["cnn_", "dbn_", "seeds"]) == []


def ask(*arguments: str) -> Options:
    return parse_options(arguments, "run", "", [])


def choose(options: Options, unavailable: dict[str, str] | None = None) -> tuple[list[str], dict[str, str]]:
    wanted, reasons = select_rows(ROWS, options, unavailable or {})
    return [row.name for row in wanted], reasons


def test_all_rows_are_wanted_unless_something_is_asked_for():
    assert choose(ask()) == (["net", "old", "ours", "absent", "start"], {})


def test_rows_are_selected_by_table_and_by_part_of_the_name():
    other = "not asked for (--tables)"
    assert choose(ask("--tables", "Fig. 1,beyond")) == (["net", "ours", "absent"], {"old": other, "start": other})
    named = "not asked for (--rows)"
    assert choose(ask("--rows", "ne,art")) == (["net", "start"], dict.fromkeys(("old", "ours", "absent"), named))
    wanted, reasons = choose(ask("--tables", "2", "--rows", "o"))
    assert wanted == ["old"]
    assert reasons == {"net": named, "ours": other, "absent": named, "start": other}


def test_what_is_unavailable_keeps_its_reason():
    unavailable = {"old": "no data", "not a row": "quoted from another paper"}
    assert choose(ask(), unavailable) == (["net", "ours", "absent", "start"], unavailable)
    wanted, reasons = choose(ask("--rows", "net"), unavailable)
    assert wanted == ["net"]
    assert reasons["old"] == "no data"
    assert "not a row" in reasons
    assert unavailable == {"old": "no data", "not a row": "quoted from another paper"}  # not written to


def test_an_unknown_table_is_an_error_that_lists_the_known():
    with pytest.raises(UsageError, match=r"^--tables 9: no such table; known: 2, Fig\. 1, beyond$"):
        choose(ask("--tables", "2,9"))


@pytest.mark.parametrize(
    ("arguments", "unavailable"),
    [
        (["--rows", "nobody"], {}),
        (["--tables", "beyond", "--rows", "net"], {}),
        (["--rows", "old"], {"old": "no data"}),
        ([], {row.name: "no data" for row in ROWS}),
    ],
)
def test_nothing_left_is_an_error(arguments, unavailable):
    with pytest.raises(UsageError, match="no row is left"):
        choose(ask(*arguments), unavailable)


def test_a_row_that_lacks_one_protocol_keeps_its_reason(paper):
    """Failed under the paper's protocol, done leak-free: the claim says why it has no number."""
    predictions = pd.concat([make_predictions(("leakfree",)), tabulate("old", "paper", 0, 20)], ignore_index=True)
    outcome = judge(
        paper, predictions[predictions["row"] != "ours"], reasons={"net": "failed: out of memory", "old": "failed: disk"}
    )
    notes = {claim.key: claim.note for claim in outcome.claims}
    assert notes["2", "net", "accuracy"] == "failed: out of memory"
    reason = "under the paper's protocol: failed: out of memory"
    assert ("net", reason) in {(missing.row, missing.reason) for missing in outcome.not_run}
    again = judge(paper, predictions[predictions["row"] != "ours"], reasons={"net": reason})
    assert ("net", reason) in {(missing.row, missing.reason) for missing in again.not_run}
    (old,) = [claim for claim in outcome.claims if claim.row == "old"]
    assert old.ours is not None
    assert "old" not in {missing.row for missing in outcome.not_run}  # both protocols are there
