"""The report of a small hand-made run: golden table.md, escaping, self-containedness, generated README blocks."""

import base64
import html.parser
import io
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from common.errors import UsageError
from common.files import write_json_atomic
from common.records.paper import Paper, load_paper
from common.records.results import Results, parse_results
from common.report.__main__ import main
from common.report.background import build_leak_table, build_split_table
from common.report.findings import collect_lines, describe_finding
from common.report.pages import escape_markdown, format_screen_table, render_markdown, write_report
from common.report.wording import format_duration, format_interval, format_value

GOLDEN = Path(__file__).parent / "golden" / "table.md"
HOSTILE = "<img src=x onerror=alert(1)>|`a`](http://x)"

PAPER = """
[paper]
title = "Networks compared"
authors = "A, B"
venue = "Journal"
year = "2020"
doi = "10.1/a_b"
task = "ill or not"
positive_class = "ill"
headline = { table = "2", row = "set / net", metric = "accuracy" }

[classes]
test = { "healthy" = 80, "ill" = 20 }

[[claim]]
table = "1"
row = "set"
metric = "train"
value = 400
digits = 0
unit = "count"
where = "Table 1"
classes = "test"

[[claim]]
table = "1"
row = "set"
metric = "test"
value = 100
digits = 0
unit = "count"
where = "Table 1"
classes = "test"

[[claim]]
table = "2"
row = "set / net"
metric = "accuracy"
value = 90.0
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"

[[claim]]
table = "2"
row = "set / old net"
metric = "accuracy"
value = 79.5
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"

[[claim]]
table = "2"
row = "set / absent net"
metric = "accuracy"
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"
note = "printed as a dash"

[[statement]]
id = "net_best"
text = "The net is best"
where = "section 4"

[[statement]]
id = "never_checked"
text = "All is well"
where = "section 5"

[[unstated]]
item = "seed"
chose = "0 and 1"
because = "none is given"

[[deviation]]
paper = "one run"
ours = "two seeds"
effect = "a spread"

[[audit]]
check = "repetition"
found = "one run"
rows = ["set / old net"]
"""


def make_metric(mean: float, half: float | None = None, sd: float | None = 0.01) -> dict:
    limits = (None, None) if half is None else (mean - half, mean + half)
    return {"mean": mean, "sd": sd, "low": limits[0], "high": limits[1], "by_seed": [mean, mean]}


def make_row(table: str, row: str, protocol: str, accuracy: float, **metrics) -> dict:
    metrics = {"accuracy": make_metric(accuracy, 0.03), "majority_rate": make_metric(0.8, 0.05), **metrics}
    below = accuracy <= metrics["majority_rate"]["mean"]
    return {"table": table, "row": row, "protocol": protocol, "n": 100, "patients": 50, "positives": 20,
            "seeds": [0, 1], "below_majority": below, "metrics": metrics}  # fmt: skip


def make_content(**changes) -> dict:
    """The JSON form of a whole results.json."""
    undefined = {"mean": None, "sd": None, "low": None, "high": None, "by_seed": [None, None]}
    rows = [
        make_row("2", "set / net", "paper", 0.912, auc=make_metric(0.95, 0.02), ece=make_metric(0.04)),
        make_row(
            "2",
            "set / net",
            "leakfree",
            0.85,
            majority_rate=make_metric(0.86, 0.05),
            auc=make_metric(0.9, 0.02),
            ece=make_metric(0.06),
        ),
        make_row("2", "set / old net", "paper", 0.7, auc=undefined),
        make_row("labels", "set / net, 10 % labels", "paper", 0.75),
    ]
    common = {"where": "Table 2", "metric": "accuracy", "table": "2"}
    claims = [
        {**common, "table": "1", "row": "set", "metric": "train", "paper": 400.0, "tolerance": 0.0, "ours": 400,
         "low": 400, "high": 400, "verdict": "within", "note": ""},
        {**common, "table": "1", "row": "set", "metric": "test", "paper": 100.0, "tolerance": 0.0, "ours": 99,
         "low": 99, "high": 99, "verdict": "outside, lower", "note": ""},
        {**common, "row": "set / net", "paper": 90.0, "tolerance": 6.1, "ours": 91.2, "low": 88.2, "high": 94.2,
         "verdict": "within", "note": ""},
        {**common, "row": "set / old net", "paper": 79.5, "tolerance": 7.9, "ours": 70.0, "low": 67.0, "high": 73.0,
         "verdict": "unclear", "note": "", "impossible": True},
        {**common, "row": "set / absent net", "paper": None, "tolerance": None, "ours": None, "low": None,
         "high": None, "verdict": "not run", "note": "printed as a dash; too large; see README"},
    ]  # fmt: skip
    pair = {
        "protocol": "paper", "row_a": "set / net", "row_b": "set / old net", "seeds": [0, 1], "n": 100, "patients": 50,
        "accuracy_a": 0.912, "accuracy_b": 0.7, "accuracy_difference": 0.212, "low": 0.1, "high": 0.3,
        "only_a": 25, "only_b": 4, "mcnemar_p": 0.0004, "mcnemar_p_holm": 0.0125,
        "auc_difference": None, "auc_low": None, "auc_high": None, "delong_p": None, "delong_p_holm": None,
    }  # fmt: skip
    split = {"folds": 1, "train": 400, "validation": 0, "test": 100, "left_out": 3, "sha256": "fedcba987654321" * 4}
    leak = {"test_cases": 100, "same_patient": 77, "same_pixels": 0, "near_duplicate": 5}
    dataset = {
        "dataset": "set", "name": "hospital", "note": "as published", "synthetic": False, "cases": 500, "patients": 250,
        "classes": {"healthy": 400, "ill": 100}, "files_sha256": "0123456789abcdef" * 4, "unreadable": ["x.png"],
        "splits": {"paper": {"rule": "at random", **split, "leak": leak}},
    }  # fmt: skip
    content = {
        "schema": 1, "paper": "some_paper", "preset": "paper", "protocol": "both", "overrides": {}, "on_protocol": True,
        "command": "python -m replications.some_paper.run", "git": {"commit": "a" * 40, "dirty": False},
        "started": "2026-01-01T00:00:00+00:00", "seconds": 7500.0,
        "environment": {"python": "3.11.7", "backend": "tensorflow", "device": "2 CPU cores", "deterministic": True},
        "datasets": [dataset],
        "weights": {"source": "random", "sha256": None}, "config": {"epochs": 3},
        "selection": {"paper": "last epoch", "leakfree": "lowest validation loss"}, "seeds": [0, 1],
        "rows": rows, "claims": claims,
        "extra": {
            "comparisons": [pair],
            "statements": [{"id": "net_best", "protocol": "paper", "verdict": "holds", "detail": "91.2 against 70.0"}],
            "collapsed": [{"row": "set / old net", "protocol": "paper", "seeds": [0, 1]}],
            "commands": [
                {"command": "first", "commit": "b", "dirty": False, "started": "2025"},
                {"command": "last", "commit": "a", "dirty": False, "started": "2026"},
            ],
            "cells": [{"key": key, "commit": "b", "seconds": 3750.0, "threads": [1]} for key in "xy"],
            "not_run": [{"table": "2", "row": "set / absent net", "reason": "too large; see README"}],
            "figures": [{"file": "a.png", "title": "A figure", "caption": "of something"}],
        },
    }  # fmt: skip
    return {**content, **changes}


def make_results(**changes) -> Results:
    return parse_results(make_content(**changes), "test")


def make_png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (400, 20), "white").save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    path = tmp_path / "some_paper" / "paper.toml"
    path.parent.mkdir()
    path.write_text(PAPER)
    return load_paper(path)


def write_run(folder: Path, content: dict) -> Path:
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.png").write_bytes(make_png())
    write_json_atomic(folder / "results.json", content)
    return folder


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and all text outside style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != [("style", {})]:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_table_equals_the_golden_file(tmp_path, paper):
    """After a wanted change: UPDATE_GOLDEN=1 python -m pytest -n0 tests/common/report, then read the difference."""
    run = write_run(tmp_path / "run", make_content())
    write_report(run, paper)
    table = (run / "table.md").read_text(encoding="utf-8")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(table, encoding="utf-8")
    assert table == GOLDEN.read_text(encoding="utf-8")


def test_report_needs_no_other_file_and_no_network(tmp_path, paper):
    run = write_run(tmp_path / "run", make_content())
    write_report(run, paper)
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base"}
    assert [given["src"] for _, given in page.tags if "src" in given] == [
        "data:image/png;base64," + base64.b64encode(make_png()).decode()
    ]
    outside = [given["href"] for _, given in page.tags if not given.get("href", "#").startswith("#")]
    assert outside == ["https://doi.org/10.1/a_b"]
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text
    policy = next(given["content"] for tag, given in page.tags if given.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    anchors = {given["id"] for _, given in page.tags if "id" in given}
    assert {given["href"][1:] for _, given in page.tags if given.get("href", "").startswith("#")} <= anchors


def test_report_shows_every_part(tmp_path, paper):
    run = write_run(tmp_path / "run", make_content())
    (run / "predictions.csv.gz").write_bytes(b"")
    write_report(run, paper)
    text = Page((run / "report.html").read_text(encoding="utf-8")).text
    for expected in [
        "set / net, accuracy (Table 2): the paper printed 90.0 %. Under its own protocol we get 91.2 %",
        "90.0 ±6.1 80.0 91.2 1.0 2 [88.2, 94.2] within 85.0 [82.0, 88.0] −6.2 86.0",
        "set / absent net n/a – 80.0 not run printed as a dash",
        "2 set / absent net too large; see README",
        "The net is best section 4 the paper's protocol holds 91.2 against 70.0",
        "All is well section 5 – not run not computed in this run",
        "set hospital: as published real 500 250 1 healthy 400, ill 100 0123456789ab",
        "set the paper's protocol at random 1 400 0 100 3 fedcba987654",
        "set 100 77 (77.0 %) 0 5 (5.0 %)",
        "earlier command first (2025, b)",
        "trainings 2, at commit b",
        "0.950 [0.930, 0.970]",
        "< 0.001 0.013",
        "A figure. of something",
        "one run two seeds a spread",
        "seed 0 and 1 none is given",
        "attainable impossible accuracy 79.5 of 100; Table 2: set / old net 79/100 = 79.00, 80/100 = 80.00 fits: 0 of 101",
        "printed ratios: 2; impossible as printed: 1; not in the available text: 1. Possible and not listed: attainable 1",
        "repetition one run set / old net",
        "duration 2 h 05 min",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "scored, leak-free lowest validation loss",
    ]:
        assert expected in text


def test_a_note_is_a_line_below_its_row_across_all_columns(tmp_path, paper):
    run = write_run(tmp_path / "run", make_content())
    write_report(run, paper)
    table = re.search(r"<h3>Table 2.*?</table>", (run / "report.html").read_text(encoding="utf-8"), re.DOTALL)[0]
    head, *rows = (part.split("</tr>")[0] for part in re.split(r"<tr\b", table)[2:])  # after the headings of the groups
    columns = head.count("<th")
    assert ">note<" not in head
    shown = [Page(f"<tr{row}").text.split(" ")[:3] for row in rows]
    assert [row.count("<td") for row in rows] == [columns, 1, columns, 1, 5]
    assert shown[1] == ["leak-free", "at", "or"]
    assert shown[3] == ["impossible", "as", "printed;"]
    spans = [[int(span) for span in re.findall(r'colspan="(\d+)"', row)] for row in rows]
    assert spans == [[], [columns], [], [columns], [columns - 4]]
    beyond = re.search(r"<h3>Beyond.*?</table>", (run / "report.html").read_text(encoding="utf-8"), re.DOTALL)[0]
    assert '<tr class="remark"><td colspan="10"><div>ours at or below the majority rate</div></td></tr>' in beyond
    assert "| note |" in (run / "table.md").read_text(encoding="utf-8")


def test_a_row_run_leak_free_only_keeps_its_numbers(tmp_path, paper):
    content = make_content(claims=[])
    content["rows"] = [row for row in content["rows"] if row["protocol"] == "leakfree"]
    run = write_run(tmp_path / "run", content)
    write_report(run, paper)
    text = Page((run / "report.html").read_text(encoding="utf-8")).text
    assert "set / net 90.0 – 80.0 – – – – not run 85.0 [82.0, 88.0] – 86.0" in text


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


def test_hostile_names_are_shown_not_run(tmp_path, paper):
    content = make_content(command=HOSTILE, config={HOSTILE: HOSTILE})
    content["datasets"][0].update(dataset=HOSTILE, name=HOSTILE, classes={HOSTILE: 1})
    content["rows"][3]["row"] = HOSTILE
    content["extra"]["figures"][0].update(title=HOSTILE + '"', caption=HOSTILE)
    content["extra"]["statements"][0]["detail"] = HOSTILE
    run = write_run(tmp_path / "run", content)
    write_report(run, paper)
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert not [given for _, given in page.tags if "onerror" in given]
    assert [tag for tag, _ in page.tags].count("img") == 1
    assert page.text.count("onerror=alert(1)>") >= 6
    table = (run / "table.md").read_text(encoding="utf-8")
    assert "<img" not in table
    assert not re.search(r"(?<!\\)\]\(", table)
    for line in table.splitlines():  # no name makes a further column
        if HOSTILE.split("|")[0].replace("<", "&lt;").replace(">", "&gt;") in line:
            assert r"\|" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("a\nb", "a b"),
        ("<b> & c", "&lt;b&gt; &amp; c"),
        ("[x](y)", r"[x\](y)"),
        ("_a_ b_c", r"\_a\_ b_c"),
        ("[90.6, 93.3] ±1", "[90.6, 93.3] ±1"),
    ],
)
def test_markdown_shows_text_as_it_is(text, expected):
    assert escape_markdown(text) == expected


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


def test_synthetic_data_and_overrides_are_announced_everywhere(tmp_path, paper):
    content = make_content(overrides={"epochs": "5"}, on_protocol=False)
    content["datasets"][0]["synthetic"] = True
    run = write_run(tmp_path / "run", content)
    write_report(run, paper)
    for text in (
        Page((run / "report.html").read_text(encoding="utf-8")).text,
        (run / "table.md").read_text(encoding="utf-8"),
        format_screen_table(parse_results(content, "test"), paper),
    ):
        assert "these numbers say nothing about the paper" in text
        assert "Off protocol: settings changed on the command line: epochs = 5." in text
    assert "the paper printed" not in Page((run / "report.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize("content", [None, b"not a picture"])
def test_a_missing_or_damaged_figure_is_an_error(tmp_path, paper, content):
    run = write_run(tmp_path / "run", make_content())
    (run / "figures" / "a.png").unlink()
    if content:
        (run / "figures" / "a.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.png"):
        write_report(run, paper)
    assert not (run / "report.html").exists()


def test_screen_table_fits_120_columns(paper):
    content = make_content()
    content["rows"][3]["row"] = "a long name " * 20
    content["extra"]["not_run"][0]["reason"] = "a long reason " * 20
    table = format_screen_table(parse_results(content, "test"), paper)
    assert max(map(len, table.splitlines())) <= 120
    (line,) = [line for line in table.splitlines() if line.startswith("set / net ")]
    assert line.split() == [
        "set",
        "/",
        "net",
        "100",
        "90.0",
        "±6.1",
        "91.2",
        "[88.2,",
        "94.2]",
        "within",
        "85.0",
        "(−6.2)",
    ]


def test_numbers_have_fixed_digits():
    assert format_value(0.9, "percent") == "90.0"
    assert format_value(0.91234, "fraction", 3) == "0.912"
    assert format_value(-0.012, "percent", signed=True) == "−1.2"
    assert format_value(1622.0, "count") == "1622"
    assert format_value(None, "percent") == "–"
    assert format_interval(0.1, None, "percent") == "–"
    assert [format_duration(seconds) for seconds in (12, 600, 7500)] == ["12 s", "10 min", "2 h 05 min"]


README = """# Title

<!-- generated: papers -->
old
<!-- end -->

Text stays.
"""
PACKAGE_README = "\n\n".join(
    f"<!-- generated: {name} -->\n<!-- end -->" for name in ("results", "deviations", "unstated", "audit", "remarks")
)


def make_repository(root: Path) -> Path:
    package = root / "replications" / "some_paper"
    package.mkdir(parents=True)
    (package / "paper.toml").write_text(PAPER)
    (package / "README.md").write_text(PACKAGE_README)
    (root / "README.md").write_text(README)
    return root


def test_readmes_are_rewritten_then_current(tmp_path, capsys):
    root = make_repository(tmp_path)
    arguments = ["--root", str(root)]
    assert main([*arguments, "--check"]) == 1
    assert (root / "README.md").read_text() == README
    assert str(root / "README.md") in capsys.readouterr().out
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    first = (root / "README.md").read_text()
    assert "| audit only |  |  | `python -m common.audit some_paper` |" in first
    (root / "replications" / "some_paper" / "run.py").write_text("")
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    first = (root / "README.md").read_text()
    assert "not run yet" in first
    assert "`python -m replications.some_paper.run`" in first
    assert first.endswith("<!-- end -->\n\nText stays.\n")
    package = (root / "replications" / "some_paper" / "README.md").read_text()
    assert "Not run yet." in package
    assert "| one run | two seeds | a spread |" in package
    assert "`python -m common.audit some_paper` computes from the printed numbers alone (printed ratios: 2;" in package
    assert "| attainable | accuracy 79.5 of 100; Table 2: set / old net | impossible | 79/100 = 79.00, 80/100 =" in package
    assert "| repetition | one run | set / old net |" in package

    write_json_atomic(root / "results" / "some_paper" / "results.json", make_content())
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert re.search(
        r"90\.0\s% \| 91\.2\s%; leak-free 85\.0\s% \| within \| 2 h 05 min, 2 CPU cores \|",
        (root / "README.md").read_text(),
    )
    assert "| set / net | 90.0 | ±6.1 |" in (root / "replications" / "some_paper" / "README.md").read_text()


def test_check_names_only_the_stale_file(tmp_path, capsys):
    root = make_repository(tmp_path)
    assert main(["--root", str(root)]) == 0
    package = root / "replications" / "some_paper" / "README.md"
    package.write_text(package.read_text().replace("two seeds", "three seeds"))
    capsys.readouterr()
    assert main(["--root", str(root), "--check"]) == 1
    assert capsys.readouterr().out == f"stale: {package} (python -m common.report rewrites it)\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- generated: paper -->\n<!-- end -->", "unknown block 'paper'"),
        ("<!-- generated: papers -->\n", "not closed"),
        ("<!-- generated: papers -->\n<!-- generated: papers -->\n<!-- end -->", "not closed"),
    ],
)
def test_damaged_blocks_are_errors(tmp_path, capsys, text, message):
    root = make_repository(tmp_path)
    (root / "README.md").write_text(text)
    assert main(["--root", str(root)]) == 2
    assert message in capsys.readouterr().err
    assert (root / "README.md").read_text() == text


def test_markdown_rows_have_as_many_cells_as_the_head(paper):
    for block in render_markdown(make_results(), paper).split("\n\n"):
        if block.startswith("|"):
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(counts) == 1


def test_an_impossible_headline_is_marked_in_the_table_of_papers(tmp_path):
    root = make_repository(tmp_path)
    path = root / "replications" / "some_paper" / "paper.toml"
    assert main(["--root", str(root)]) == 0
    assert "impossible" not in (root / "README.md").read_text()
    path.write_text(PAPER.replace("value = 90.0", "value = 90.5"))
    assert main(["--root", str(root)]) == 0
    assert re.search(r"\| set / net, accuracy: 90\.5\s% \(impossible as printed\) \|", (root / "README.md").read_text())
