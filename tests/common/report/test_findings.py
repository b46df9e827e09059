"""The lines of the tables and the finding in words, computed from the numbers; numbers and tables as text."""

import pytest
from sample_report import make_content, make_results, make_row

from common.records.results import parse_results
from common.report.background import build_leak_table, build_split_table
from common.report.findings import collect_lines, describe_finding, list_banners
from common.report.wording import format_duration, format_interval, format_value


def test_lines_join_claims_and_rows(paper):
    net, old, absent, labels = collect_lines(make_results(), paper)
    assert (net.paper, net.tolerance, net.ours) == (0.9, pytest.approx(0.061), 0.912)
    assert net.difference == pytest.approx(-0.062)
    assert (net.n, net.seeds, net.leakfree_seeds) == (100, 2, 2)
    assert (net.paper_majority, net.majority, net.leakfree_majority) == (0.8, 0.8, 0.86)
    assert net.note == "leak-free at or below the majority rate"
    assert old.leakfree is None
    assert old.note.split("; ") == [
        "impossible as printed",
        "paper at or below the majority rate",
        "ours at or below the majority rate",
        "the paper's protocol: one class for all cases (seed 0, 1)",
    ]
    assert (absent.verdict, absent.note, absent.reason) == (
        "not run",
        "printed as a dash",
        "too large; see README",
    )
    assert (absent.paper_majority, absent.majority, absent.leakfree_majority) == (0.8, None, None)
    assert (labels.claimed, labels.paper, labels.ours, labels.metric) == (False, None, 0.75, "accuracy")
    assert collect_lines(make_results(), paper, "labels") == [labels]


def test_finding_is_computed_from_the_numbers(paper):
    sentences = describe_finding(make_results(), paper)
    assert sentences[0].endswith("Leak-free: 85.0\u00a0% (95 % interval 82.0 to 88.0, 2 seeds).")
    assert "within (sampling tolerance ±6.1)" in sentences[0]
    assert sentences[1] == "Of 2 printed ratios: 1 within; 1 unclear."
    assert "Rows run as published under both protocols: 1." in sentences[2]
    assert "−6.2 points" in sentences[2]
    assert sentences[-1] == "Impossible as printed: Table 2: set / old net."


def test_a_row_of_ours_alone_says_that_it_is_off_protocol(paper):
    """It has no claim that could be judged; its departures say it, and it does not count as run as published."""
    content = make_content()
    content["rows"].append(make_row("labels", "set / net, 10 % labels", "leakfree", 0.6))
    for row in content["rows"][-2:]:
        row["departures"] = ["epochs = 6 instead of 100", "width = 8 instead of 64", "c", "d"]
    off = parse_results(content, "test")
    *_, line = collect_lines(off, paper)
    assert (line.row, line.verdict, line.claimed) == ("set / net, 10 % labels", "off protocol", False)
    assert line.note.startswith("off protocol: epochs = 6 instead of 100; width = 8 instead of 64; c")
    assert "Rows run as published under both protocols: 1." in describe_finding(off, paper)[2]
    for row in content["rows"][-2:]:
        row["departures"] = []
    assert "Rows run as published under both protocols: 2." in describe_finding(parse_results(content, "test"), paper)[2]


def test_a_run_without_the_headline_says_why(paper):
    content = make_content(rows=[], claims=[])
    content["extra"]["not_run"] = [{"table": "2", "row": "set / net", "reason": "no data"}]
    assert "Not run under its own protocol: no data." in describe_finding(parse_results(content, "test"), paper)[0]


def test_leaks_of_both_protocols_stand_side_by_side(paper):
    content = make_content()
    splits = content["datasets"][0]["splits"]
    clean = {"test_cases": 1200, "same_patient": 0, "same_pixels": 0, "near_duplicate": 0}
    content["datasets"][0]["splits"] = {"leakfree": {**splits["paper"], "rule": "by patient", "leak": clean}, **splits}
    content["datasets"].append({**content["datasets"][0], "dataset": "other", "splits": {"leakfree": splits["paper"]}})
    results = parse_results(content, "test")
    assert build_leak_table(results).rows == [
        ["set", "100", "77 (77.0 %)", "0", "5 (5.0 %)", "1,200", "0", "0", "0"],
        ["other", "–", "–", "–", "–", "100", "77 (77.0 %)", "0", "5 (5.0 %)"],
    ]
    assert [row[:3] for row in build_split_table(results).rows] == [
        ["set", "the paper's protocol", "at random"],
        ["set", "leak-free", "by patient"],
        ["other", "leak-free", "at random"],
    ]


def test_numbers_have_fixed_digits():
    assert format_value(0.9, "percent") == "90.0"
    assert format_value(0.91234, "fraction", 3) == "0.912"
    assert format_value(-0.012, "percent", signed=True) == "−1.2"
    assert format_value(1622.0, "count") == "1622"
    assert format_value(None, "percent") == "–"
    assert format_interval(0.1, None, "percent") == "–"
    assert [format_duration(seconds) for seconds in (12, 600, 7500)] == ["12 s", "10 min", "2 h 05 min"]


def test_departures_without_an_override_are_said_in_every_table(paper):
    """Random initial weights, leak-free only: no verdict shows it, so banner and notes do."""
    content = make_content(on_protocol=False)
    content["rows"] = [
        row | {"departures": ["random initial weights"]} for row in content["rows"] if row["protocol"] == "leakfree"
    ]
    content["claims"] = []
    results = parse_results(content, "test")
    assert list_banners(results) == ["Off protocol: some rows were trained otherwise than published (see their notes)."]
    (net,) = [line for line in collect_lines(results, paper) if line.leakfree is not None]
    assert "off protocol: random initial weights" in net.note
