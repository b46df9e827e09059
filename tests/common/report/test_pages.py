"""report.html, table.md and the table on the screen of a small run: golden file, every part shown, names that are no markup."""

import base64
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sample_report import Page, make_content, make_png, make_results, write_run

from common.errors import UsageError
from common.records.paper import Unstated
from common.records.results import parse_results
from common.report.lines import collect_lines
from common.report.pages import escape_markdown, render_markdown, write_report
from common.report.screen import format_screen_table
from common.report.tables import build_comparison_tables, name_tables
from common.report.wording import NONE

GOLDEN = Path(__file__).parent / "golden" / "table.md"
HOSTILE = "<img src=x onerror=alert(1)>|`a`](http://x)"


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
        "90.0 80.0 91.2 1.0 2 [88.2, 94.2] +1.2 [−2.9, +5.3] agrees within 5 points 85.0 [82.0, 88.0] −6.2 86.0",
        "set / absent net n/a 80.0 not run printed as a dash",
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
        "training time, summed over all trainings 2 h 05 min",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "scored, leak-free lowest validation loss",
    ]:
        assert expected in text


def test_nothing_on_the_page_is_empty(tmp_path, paper):
    run = write_run(tmp_path / "run", make_content())
    write_report(run, paper)
    page = (run / "report.html").read_text(encoding="utf-8")
    filled = "td|th|dt|dd|p|li|h1|h2|h3|a|b|span|small|div|figcaption|pre"
    empty = {match[0] for match in re.finditer(rf"<({filled})\b[^>]*>\s*</\1>", page)}
    assert empty == {"<td></td>"}  # above a column without a group
    assert not {"None", "Undefined"} & set(Page(page).words)


def test_a_note_is_a_line_below_its_row_across_all_columns(tmp_path, paper):
    run = write_run(tmp_path / "run", make_content())
    write_report(run, paper)
    table = re.search(r"<h3>Table 2.*?</table>", (run / "report.html").read_text(encoding="utf-8"), re.DOTALL)[0]
    head, *rows = (part.split("</tr>")[0] for part in re.split(r"<tr\b", table)[2:])  # after the headings of the groups
    columns = head.count("<th")
    assert ">note<" not in head
    shown = [Page(f"<tr{row}").text.split(" ")[:3] for row in rows]
    assert [row.count("<td") for row in rows] == [columns, 1, columns, 1, 4]
    assert shown[1] == ["leak-free", "at", "or"]
    assert shown[3] == ["about", "220", "test"]
    spans = [[int(span) for span in re.findall(r'colspan="(\d+)"', row)] for row in rows]
    assert spans == [[], [columns], [], [columns], [columns - 3]]
    beyond = re.search(r"<h3>Beyond.*?</table>", (run / "report.html").read_text(encoding="utf-8"), re.DOTALL)[0]
    assert '<tr class="remark"><td colspan="10"><div>ours at or below the majority rate</div></td></tr>' in beyond
    assert "| note |" in (run / "table.md").read_text(encoding="utf-8")


def test_what_else_differs_between_the_protocols_stands_below_their_difference(paper):
    results, told = make_results(), replace(paper, difference="Fewer cases train")
    tables, noted = build_comparison_tables(results, told), 0
    for table in tables:
        place = next(i for i, column in enumerate(table.columns) if column.name == "minus paper's protocol")
        known = any(row[place] != NONE for row in table.rows)
        assert table.note == ("Fewer cases train." if known else "")
        noted += known
    assert 0 < noted <= len(tables)
    assert not any(table.note for table in build_comparison_tables(results, paper))


def test_a_row_run_leak_free_only_keeps_its_numbers(tmp_path, paper):
    content = make_content(claims=[])
    content["rows"] = [row for row in content["rows"] if row["protocol"] == "leakfree"]
    run = write_run(tmp_path / "run", content)
    write_report(run, paper)
    text = Page((run / "report.html").read_text(encoding="utf-8")).text
    assert "set / net 90.0 80.0 – – – – not run 85.0 [82.0, 88.0] – 86.0" in text


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


def test_markdown_rows_have_as_many_cells_as_the_head(paper):
    for block in render_markdown(make_results(), paper).split("\n\n"):
        if block.startswith("|"):
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(counts) == 1


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
        assert "Other settings than the paper's, given on the command line: epochs = 5." in text
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


def list_open(page: str) -> str:
    """The page without what stands in a fold, summaries kept."""
    while (inner := re.search(r"<details\b[^>]*>((?:(?!<details\b).)*?)</details>", page, re.DOTALL)) is not None:
        summary = re.search(r"<summary>.*?</summary>", inner[1], re.DOTALL)
        page = page.replace(inner[0], summary[0].replace("summary>", "b>"))
    return page


def test_long_tables_and_background_are_folded_the_main_table_is_open(tmp_path, paper):
    content = make_content()
    content["rows"] += [{**content["rows"][3], "row": f"set / net, variant {number}"} for number in range(40)]
    content["extra"]["figures"] *= 5
    run = write_run(tmp_path / "run", content)
    write_report(run, paper)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<details") == page.count("</details>") == page.count("<summary") > 8
    shown = Page(list_open(page[page.index("<body>") :])).text
    assert "set / net 90.0 80.0 91.2" in shown
    assert "Beyond the paper, labels: accuracy (%) 41 rows" in shown
    assert "variant 7" in Page(page).text
    for folded in ("variant 7", "fedcba987654", "net_best 91.2", "repetition one run", "earlier command", "0.950 [0.930"):
        assert folded not in shown
    rows = list_open(page[page.index("<body>") :]).count("<tr")
    assert rows <= 30 + 6
    assert list_open(page).count("<figure>") == 1


def test_the_page_has_rules_for_a_telephone_the_dark_and_paper(tmp_path, paper):
    """Every colour of text and ground is a variable, which the dark theme sets anew; the printed page opens what is folded."""
    run = write_run(tmp_path / "run", make_content())
    write_report(run, paper)
    style = re.search(r"<style>(.*?)</style>", (run / "report.html").read_text(encoding="utf-8"), re.DOTALL)[1]
    light, dark = (set(re.findall(r"(--[a-z-]+):", part)) for part in re.findall(r":root \{(.*?)\}", style, re.DOTALL))
    assert light == dark
    assert "color-scheme: light dark" in style
    rest = re.sub(r":root \{.*?\}", "", style, flags=re.DOTALL)
    fixed = set(re.findall(r"#[0-9a-f]{3,6}\b", rest))
    assert fixed <= {"#fff"}  # on the banner, and behind the figures
    assert "@media (max-width: 600px)" in style
    assert "details::details-content" in style.partition("@media print")[2]


def test_own_data_have_a_report_of_their_own(tmp_path, paper):
    """No printed numbers, verdicts, statements, counts, audit; no row that was not run."""
    content = make_content(overrides={})
    content["datasets"][0] |= {"own": True, "substitute": True, "private": True, "name": "hospital"}
    run = write_run(tmp_path / "run", content)
    write_report(run, paper)
    results = parse_results(content, "test")
    page = Page((run / "report.html").read_text(encoding="utf-8")).text
    table = (run / "table.md").read_text(encoding="utf-8")
    screen = format_screen_table(results, paper)
    for text in (page, table, screen):
        assert "91.2" in text
        for foreign in ("not run", "absent net", "verdict", "printed", "tolerance", "The net is best", "udit", "Other data than"):
            assert foreign not in text, foreign
    for text in (page, table):
        assert "Own data, set: 500 cases of 250 patients (healthy 400, ill 100)." in text
        assert "set / net, accuracy, images split as in the paper: 91.2 % (95 % interval 88.2 to 94.2)" in text
        assert "patients kept apart (leak-free): 85.0 % (95 % interval 82.0 to 88.0)" in text
        assert "77 of 100 test cases have a picture of the same patient in training" in text
    titles = name_tables(collect_lines(results, paper), own=True).values()
    assert set(titles) == {"As in Table 2: accuracy (%)", "Further, labels: accuracy (%)"}
    for title in titles:  # each table of the screen is in the page, in table.md and in those for other programs
        assert title in screen
        assert title in page.partition("Results")[2]
        assert f"## {title}" in table
        assert title in (run / "table.csv").read_text(encoding="utf-8")
    assert "| set / net | 91.2 | 1.0 | 2 | [88.2, 94.2] | 80.0 | 85.0 | [82.0, 88.0] | −6.2 | 86.0 |" in table
    assert "set / net 91.2 1.0 2 [88.2, 94.2] 80.0 85.0 [82.0, 88.0] −6.2 86.0" in page
    names = {column.name for one in build_comparison_tables(results, paper) for column in one.columns}
    assert names >= {"row", "mean", "95 % interval", "minus paper's protocol"}
    assert not names & {"printed", "verdict", "difference"}
    kept = parse_results({**content, "datasets": [content["datasets"][0], make_content()["datasets"][0]]}, "test")
    assert "the paper printed" in render_markdown(kept, paper)  # beside data of the paper the numbers stay


def test_of_own_data_a_table_of_the_package_loses_what_is_the_papers(paper):
    """By what a column holds, not by its words: "paper" stands in the name of a protocol as well."""
    columns = [("row", "", False), ("recall", "Implied", True), ("minus the paper's protocol", "Ours", False)]
    own = {
        "title": "Recall",
        "columns": [{"name": name, "kind": "text", "group": group, "printed": printed} for name, group, printed in columns],
        "rows": [["net", "36 of 37", "4.0"], ["absent net", "35 of 37", "–"]],
        "note": "Summed.",
        "printed_note": "Implied by the macro means.",
    }
    content = make_content()
    content["extra"]["tables"] = [own]
    table = render_markdown(parse_results(content, "test"), paper)
    assert "| absent net | 35 of 37 | – |\n\nSummed. Implied by the macro means." in table
    content["datasets"][0] |= {"own": True, "substitute": True}
    table = render_markdown(parse_results(content, "test"), paper)
    assert "| row | Ours: minus the paper's protocol |\n|---|---|\n| net | 4.0 |\n\nSummed.\n" in table
    assert "mplied" not in table


@pytest.mark.parametrize("epochs", [3, 9])
def test_what_a_run_used_of_what_the_paper_leaves_open_stands_above_its_tables(tmp_path, paper, epochs):
    content = make_content()
    content["config"]["epochs"] = epochs
    run = write_run(tmp_path / "run", content)
    write_report(run, replace(paper, unstated=(Unstated("How long", "three epochs", "time is short", ("epochs",)),)))
    for name in ("report.html", "table.md"):
        text = (run / name).read_text(encoding="utf-8")
        told = f"Left open by the paper, and used here: epochs = {epochs} (How long)."
        assert text.index(told) < text.rindex("Table 2")


def test_of_a_setting_that_is_younger_than_the_run_nothing_is_told(tmp_path, paper):
    run, entry = write_run(tmp_path / "run", make_content()), Unstated("How", "so", "it is simple", ("younger", "epochs"))
    write_report(run, replace(paper, unstated=(entry,)))
    for name in ("report.html", "table.md"):
        text = (run / name).read_text(encoding="utf-8")
        assert "used here: epochs = 3 (How)." in text
        assert "younger" not in text
    write_report(run, replace(paper, unstated=(replace(entry, settings=("younger",)),)))
    assert "used here" not in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("own", [False, True])
def test_what_the_names_of_rows_mean_stands_above_the_tables(tmp_path, paper, own):
    content = make_content()
    content["datasets"][0] |= {"own": own, "substitute": own}
    run = write_run(tmp_path / "run", content)
    write_report(run, replace(paper, row_names="k: layers that are trained (k = 0: the last alone)"))
    for name in ("report.html", "table.md"):
        text = (run / name).read_text(encoding="utf-8")
        assert text.index("k: layers that are trained (k = 0: the last alone).") < text.rindex("Table 2")
