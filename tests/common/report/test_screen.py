"""The table on the screen: as wide as the terminal, under headings, coloured on a terminal alone, no line twice."""

import io
import os
import re

import pytest
from sample_report import make_content, make_results

from common.records.results import parse_results
from common.report import screen
from common.report.screen import Look, choose_look, format_screen_table

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_fits_the_terminal_and_loses_nothing(paper, width):
    content = make_content()
    content["rows"][3]["row"] = "a long name " * 20
    content["extra"]["not_run"][0]["reason"] = "a long reason " * 20
    table = format_screen_table(parse_results(content, "test"), paper, Look(width, colour=True))
    assert max(len(COLOUR.sub("", line)) for line in table.splitlines()) <= width
    assert table.count("long") == 40
    for word in ("90.0", "91.2", "[88.2, 94.2]", "85.0", "(−6.2)"):  # no number or interval is broken
        assert word in table


def test_a_line_is_under_the_heading_of_its_table(paper):
    lines = format_screen_table(make_results(), paper).splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.startswith("set / net ")]
    assert lines[place - 1] == "Table 2: accuracy (%)"
    assert re.split("  +", lines[place]) == [
        "set / net",
        "100",
        "90.0",
        "91.2 [88.2, 94.2]",
        "agrees within 5 points",
        "85.0 (−6.2)",
    ]
    assert "Beyond the paper, labels: accuracy (%)" in lines


def test_no_line_twice(paper):
    content = make_content()
    content["rows"].append({**content["rows"][3], "table": "again"})
    content["extra"]["not_run"] += [{"table": "9", "row": "another", "reason": "too large; see README"}]
    table = format_screen_table(parse_results(content, "test"), paper)
    lines = [line for line in table.splitlines() if line]
    assert len(set(lines)) == len(lines)
    assert table.count("set / net, 10 % labels") == 1
    assert "again" not in table  # a heading without lines
    assert table.count("absent net") == 1  # with its reason, not in the table as well
    assert table.splitlines()[-1] == "not run: 2: set / absent net; 9: another: too large; see README"


def test_many_rows_that_were_not_run_take_one_sentence(paper):
    content = make_content()
    content["extra"]["not_run"] = [{"table": "2", "row": f"row {number}", "reason": "no data"} for number in range(85)]
    table = format_screen_table(parse_results(content, "test"), paper)
    assert "not run: 2: row 0; 2: row 1; 2: row 2 and 82 more: no data" in table


def test_colour_is_of_the_verdict_on_a_terminal_only(paper, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    plain, coloured = (format_screen_table(make_results(), paper, choose_look(stream)) for stream in (io.StringIO(), terminal))
    assert not COLOUR.search(plain)
    assert COLOUR.sub("", coloured) == plain
    assert re.findall(r"\x1b\[36m([^\x1b]+)\x1b\[0m", coloured) == ["agrees within 5 points"]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not choose_look(terminal).colour


@pytest.mark.parametrize(("columns", "width"), [(40, 80), (97, 97), (500, 200)])
def test_width_is_that_of_the_terminal_within_bounds(columns, width, monkeypatch):
    monkeypatch.setattr(screen.shutil, "get_terminal_size", lambda fallback: os.terminal_size((columns, 24)))
    assert choose_look(io.StringIO()).width == width


def test_verdicts_are_in_plain_words(paper):
    content = make_content()
    content["claims"][2] |= {"verdict": "off protocol", "difference": None, "difference_low": None, "difference_high": None}
    table = format_screen_table(parse_results(content, "test"), paper)
    assert "other settings" in table
    assert "off protocol" not in table
