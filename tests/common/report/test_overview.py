"""A paper in a few words: what it claims, what ours are made on, what the leak is worth."""

from dataclasses import replace

import pytest
from sample_report import PAPER, make_content, make_metric, make_results

from common.records.paper import Contrast, parse_paper
from common.records.results import parse_results
from common.report.lines import collect_lines
from common.report.overview import describe_all, describe_paper

ERRORS = {"error": 0.01, "df": 50.0}


def make_paired_content() -> dict:
    """Two rows under both protocols, with the errors of their means."""
    content = make_content()
    first, second, *_ = content["rows"]
    for row in (first, second):
        row["metrics"]["accuracy"] |= ERRORS
    other = [{**row, "row": f"{row['protocol']} / other", "table": "ours"} for row in (first, second)]
    values = {"paper": 0.95, "leakfree": 0.55}
    for row in other:
        row["metrics"] = {**row["metrics"], "accuracy": {**make_metric(values[row["protocol"]], 0.02), **ERRORS}}
    content["rows"] = [first, second, *content["rows"][2:], *other]
    return content


def test_without_results_the_paper_stands_with_what_it_printed(paper):
    overview = describe_paper(paper, None, has_code=True)
    assert overview.claim == "set / net, accuracy: 90.0\N{NO-BREAK SPACE}%"
    assert (overview.ours, overview.verdict, overview.cost) == ("not run yet", "", "")
    assert overview.made_on == "phantoms (made-up pictures) only"
    assert overview.leak == "not measured"
    (line,) = overview.lines
    assert (line.row, line.paper, line.ours, line.verdict) == ("set / net", 0.9, None, "not run")
    assert describe_paper(paper, None, has_code=False).made_on == ""


def test_the_leak_is_the_papers_protocol_minus_leak_free(paper):
    results = parse_results(make_paired_content(), "test")
    overview = describe_paper(paper, results, has_code=True)
    assert [line.row for line in overview.lines] == ["set / net"]  # the only one that was run under both by one name
    (line,) = overview.lines
    assert (line.paper, line.ours, line.leakfree) == (0.9, 0.912, 0.85)
    assert line.verdict == "agrees within 5 points"
    # 91.2 - 85.0; standard error sqrt(2) points, t of 100 degrees of freedom 1.984
    assert line.leak == pytest.approx((0.062, 0.062 - 1.984 * 0.01 * 2**0.5, 0.062 + 1.984 * 0.01 * 2**0.5), abs=1e-5)
    assert overview.leak == "accuracy +6.2 [+3.4, +9.0] points: set / net"


def set_majority(content: dict, rates: dict[str, float]) -> dict:
    """The same with these rates of the most frequent class in all rows of a name. rates: by the name of the row."""
    for row in content["rows"]:
        if row["row"] in rates:
            row["metrics"]["majority_rate"] = make_metric(rates[row["row"]])
    return content


def test_rows_that_only_give_the_most_frequent_class_show_no_leak(paper):
    content = make_paired_content()
    for row in content["rows"][-2:]:
        row["row"] = "other"
    seen = describe_paper(paper, parse_results(set_majority(content, {"set / net": 0.8, "other": 0.8}), "test"), has_code=True)
    assert seen.leak.endswith("points: set / net; all 2 rows: +6.2 to +40.0")
    one = describe_paper(paper, parse_results(set_majority(content, {"set / net": 0.95, "other": 0.8}), "test"), has_code=True)
    no_better = "no better than always giving the most frequent class under both protocols"
    assert one.leak.endswith(f"points: other; 1 more row is {no_better}")
    none = describe_paper(paper, parse_results(set_majority(content, {"set / net": 0.95, "other": 0.95}), "test"), has_code=True)
    assert none.leak == f"not to be seen: the accuracy of all 2 rows is {no_better}"


def test_rows_stopped_in_their_first_epochs_show_no_leak(paper):
    content = make_paired_content()
    content["extra"]["hardly_trained"] = ["set / net"]
    results = parse_results(content, "test")
    overview = describe_paper(paper, results, has_code=True)
    assert [(line.row, line.leak, line.hardly_trained) for line in overview.lines] == [("set / net", None, True)]
    assert overview.leak == "not to be seen: the rows were stopped in their first epochs leak-free"
    lines = [line for line in collect_lines(results, paper) if line.row == "set / net" and line.leakfree is not None]
    assert lines
    for line in lines:
        assert line.difference is None
        assert "leak-free: stopped in its first epochs, so no difference is given" in line.note


def test_beside_a_main_number_that_was_not_run_stands_the_first_that_was(paper):
    content = make_content()
    main = [row for row in content["rows"] if row["row"] == "set / net"]
    other = [row for row in content["rows"] if row["row"] != "set / net"]
    shown = describe_paper(paper, parse_results({**content, "rows": other}, "test"), has_code=True).ours
    assert shown == "not run; beside it set / old net: 70.0\N{NO-BREAK SPACE}%"
    shown = describe_paper(paper, parse_results({**content, "rows": main}, "test"), has_code=True).ours
    assert shown.startswith("91.2")
    assert describe_paper(paper, parse_results({**content, "rows": []}, "test"), has_code=True).ours == "not run"


def test_the_cell_of_the_leak_says_that_more_differs(paper):
    results = parse_results(make_paired_content(), "test")
    told = replace(paper, difference="the leak-free score is the mean of five networks")
    cells = [describe_paper(of, results, has_code=True).leak for of in (told, paper)]
    assert cells[0].replace("; not the leak alone: its page says what else differs", "") == cells[1] != cells[0]


def test_rows_that_bear_two_names_are_paired_by_a_contrast(paper):
    contrasts = (Contrast("the other net", "paper / other", "leakfree / other"), Contrast("a third", "absent", "absent"))
    results = parse_results(make_paired_content(), "test")
    overview = describe_paper(replace(paper, contrasts=contrasts), results, has_code=True)
    assert [line.row for line in overview.lines] == ["set / net", "the other net"]  # the main number stands before them
    assert overview.lines[0].leak is None
    assert overview.leak == "accuracy +40.0 [+37.2, +42.8] points: the other net"
    both = (Contrast("set / net", "set / net", "set / net"), *contrasts)
    overview = describe_paper(replace(paper, contrasts=both), results, has_code=True)
    assert overview.leak == "accuracy +6.2 [+3.4, +9.0] points: set / net; all 2 rows: +6.2 to +40.0"


def test_without_errors_of_the_means_nothing_is_said_of_the_leak(paper):
    overview = describe_paper(paper, make_results(), has_code=True)
    assert overview.lines[0].leak is None
    assert overview.leak == "not measured"


@pytest.mark.parametrize(
    ("substitute", "departures", "verdict"),
    [
        (False, [], ""),
        (False, ["epochs = 5 instead of 10"], "other settings"),
        (True, ["epochs = 5 instead of 10"], "other data"),
    ],
)
def test_a_row_of_ours_alone_says_why_no_verdict_is_due(paper, substitute, departures, verdict):
    content = make_paired_content()
    content["datasets"][0]["substitute"] = substitute
    content["rows"][-1]["departures"] = departures
    contrast = Contrast("the other net", "paper / other", "leakfree / other")
    overview = describe_paper(replace(paper, contrasts=(contrast,)), parse_results(content, "test"), has_code=True)
    assert overview.lines[-1].verdict == verdict


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "real pictures: hospital, 500 of 250 patients"),
        ({"substitute": True}, "real pictures, not the paper's: hospital, 500 of 250 patients"),
        ({"synthetic": True}, "made-up pictures: hospital, 500 of 250 patients"),
        ({"patients_known": False}, "real pictures: hospital, 500"),
        ({"stand_ins": "rows"}, "real pictures: hospital, 500 of 250 stand-ins for patients"),
    ],
)
def test_what_ours_are_made_on_is_said_plainly(paper, changes, words):
    content = make_content()
    content["datasets"][0] |= changes
    assert describe_paper(paper, parse_results(content, "test"), has_code=True).made_on == words


def test_two_tasks_on_one_collection_name_it_once(paper):
    content = make_content()
    content["datasets"] = [content["datasets"][0] | {"dataset": task, "cases": cases} for task, cases in (("a", 500), ("b", 900))]
    made_on = describe_paper(paper, parse_results(content, "test"), has_code=True).made_on
    assert made_on == "real pictures: hospital, 500 and 900 of 250 patients"


def test_contrasts_are_read_and_refused_twice(tmp_path):
    entry = '[[contrast]]\nname = "a"\npaper = "b"\nleakfree = "c"\n'
    assert parse_paper(PAPER + entry, tmp_path / "paper.toml").contrasts == (Contrast("a", "b", "c"),)
    with pytest.raises(Exception, match="contrast a stands twice"):
        parse_paper(PAPER + entry + entry, tmp_path / "paper.toml")
    with pytest.raises(Exception, match="field 'leakfree' is missing"):
        parse_paper(PAPER + entry.replace('leakfree = "c"\n', ""), tmp_path / "paper.toml")


def test_a_control_is_shown_and_counted_nowhere(paper, tmp_path):
    """Of classes that mean nothing the leak is the largest, and says nothing of what the paper's way of splitting adds."""
    contrasts = (Contrast("set / net", "set / net", "set / net"), Contrast("shuffled", "paper / other", "leakfree / other", True))
    overview = describe_paper(replace(paper, contrasts=contrasts), parse_results(make_paired_content(), "test"), has_code=True)
    assert [(line.row, line.control) for line in overview.lines] == [("set / net", False), ("shuffled", True)]
    assert [line.row for line in overview.pairs] == ["set / net"]
    counted, _, apart = overview.leak.partition("; ")
    assert counted == "accuracy +6.2 [+3.4, +9.0] points: set / net"
    assert apart == "not counted, a control: +40.0 [+37.2, +42.8] points: shuffled"
    told = describe_all([overview])
    assert "A leak shows in 1 of them, of 1 paper: there the paper's way of splitting adds +6.2 to +6.2 points" in told
    entry = '[[contrast]]\nname = "a"\npaper = "b"\nleakfree = "c"\ncontrol = true\n'
    assert parse_paper(PAPER + entry, tmp_path / "paper.toml").contrasts[0].control


def test_what_was_run_of_all_papers_is_said_from_the_records(paper):
    """Not that each was trained as it says: how many, on which data, which part, with which settings, and where a leak shows."""
    untouched = describe_paper(paper, None, has_code=True)
    assert describe_all([untouched]) == "1 paper; none was trained on real data so far."
    whole = describe_paper(paper, parse_results(make_paired_content(), "test"), has_code=True)
    content = make_paired_content()
    content["datasets"][0]["substitute"] = True
    content["overrides"] = {"epochs": "5"}
    content["rows"] = [row for row in content["rows"] if row["row"] != "set / net"]
    part = describe_paper(paper, parse_results(content, "test"), has_code=True)
    run, pairs, leak = describe_all([untouched, whole, part]).split(". ")
    assert run == (
        "3 papers; 2 trained anew on real data so far, 1 on other data than the paper's: 9 of 11 rows, in 1 with changed "
        "settings; the main number itself in 1 of them"
    )
    assert pairs == "1 row was run both as the paper splits its pictures and with the pictures of a patient never on both sides"
    assert (
        leak == "A leak shows in 1 of them, of 1 paper: there the paper's way of splitting adds +6.2 to +6.2 points of accuracy."
    )
    none = describe_paper(paper, make_results(), has_code=True)  # without errors of the means
    assert describe_all([none]).endswith("never on both sides. A leak shows in none of them.")


def test_a_main_number_that_is_not_in_the_text_is_said_in_words(paper):
    unread = replace(paper, claims=tuple(replace(claim, value=None) for claim in paper.claims))
    claim = describe_paper(unread, None, has_code=True).claim
    assert claim == "set / net, accuracy: no number in the available text"
