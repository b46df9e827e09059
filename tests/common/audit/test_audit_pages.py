"""What is sent: one sentence, a page, Markdown; hostile titles, closed pipes, narrow encodings."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from common.audit.__main__ import main
from common.audit.papers import audit_paper
from common.audit.render import escape_markdown, list_plain
from common.audit.summary import group_unchecked, judge_numbers, summarise_paper
from common.errors import run_main
from common.records.paper import parse_paper

ROOT = Path(__file__).parents[3]
TITLE = "A | `net` <script>alert(1)</script> *x* [y](javascript:z) \\u001b[31m ± Ö"
PAPER = f"""[paper]
title = "{TITLE}"
authors = "O'Neil <b>& | Sons</b>"
venue = "v"
year = "2021"
doi = ""
task = "t"
positive_class = "ill"
[classes]
test = {{ ill = 40, healthy = 60 }}
[[table]]
table = "4"
classes = "test"
folds = 1
runs = 1
columns = ["Acc (%)", "Sens", "Spec", "RMSE", "F1"]
rows = [
    ["<i>ours</i>", "91.5", "0.9", "0.95", "3", "0.909"],
    ["true | one", "91", "0.9", "0.92", "3", "-"],
    ["theirs", "90", "-", "-", "1", "-"],
]
[[claim]]
table = "5"
row = "ours"
metric = "ssim"
value = 0.91
digits = 2
unit = "fraction"
where = "p. 3"
"""  # 91.5 % is no count of 100; row "true | one": 36/40, 55/60 is 91/100


@pytest.fixture
def paper_file(tmp_path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(PAPER, encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    return run_main(lambda: main([str(argument) for argument in arguments]))


def test_the_sentence_counts_numbers(paper_file):
    paper = parse_paper(PAPER, paper_file)
    outcomes = audit_paper(paper)
    judged = judge_numbers(paper, outcomes)
    assert len(judged) == 9
    assert judged["4", "<i>ours</i>", "accuracy"] == "cannot be right"
    assert {judged["4", "true | one", metric] for metric in ("accuracy", "sensitivity", "specificity")} == {""}
    assert judged["5", "ours", "ssim"] == "not checked"
    alone = sum(mark == "cannot be right" for mark in judged.values())
    sentence = summarise_paper(paper, outcomes)
    assert sentence.startswith(f"{alone} of the 9 printed numbers of Tables 4 and 5 cannot be right as printed")
    assert sentence.endswith("1 was not checked.")
    assert sentence.count(".") == 1
    assert sum(item.count for item in group_unchecked(paper, outcomes)) == 1


def test_a_table_without_a_fault(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("model,Acc,Sens,Spec\na,91%,90%,91.67%\n")
    assert run(path, "--classes", "ill=40,healthy=60") == 0
    shown = capsys.readouterr().out
    assert "None of the 3 printed numbers is found impossible." in shown
    assert "cannot be right" not in shown


class Page(HTMLParser):
    """The tags, addresses and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "onclick", "onload")]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_whole_and_harmless(paper_file, capsys):
    assert run(paper_file, "--html") == 0
    text = capsys.readouterr().out
    page = Page(text)
    shown = " ".join("".join(page.texts).split())
    assert not {"script", "b", "i", "img", "link", "iframe"} & {*page.tags}
    assert not page.addresses
    assert not re.search(r"url\(|@import|https?:", text)
    assert "\x1b" not in text
    assert str(paper_file.parent) not in text
    assert "A | `net` <script>alert(1)</script> *x* [y](javascript:z)" in shown
    assert "O'Neil <b>& | Sons</b>, 2021" in shown
    for outcome in audit_paper(parse_paper(PAPER, paper_file)):  # everything that was found, with its arithmetic
        assert " ".join(outcome.arithmetic.removeprefix("because ").split()) in shown
    assert "91.5\xa0%✕" in text.replace('<span class="sign">', "")
    assert "left out, no metric that is known: RMSE" in shown
    assert re.search(r"ssim of ours\s*because:", shown)


def test_markdown_shows_titles_as_they_are(paper_file, capsys):
    """Rendered by a parser of its own: the text comes back, and nothing of it is code, HTML, a link or emphasis."""
    assert run(paper_file, "--markdown", "--all") == 0
    text = capsys.readouterr().out
    page = Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    assert {*page.tags} <= {"p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    shown = "".join(page.texts)
    assert "A | `net` <script>alert(1)</script> *x* [y](javascript:z)" in shown
    assert "O'Neil <b>& | Sons</b>, 2021" in shown
    assert "Table 4: true | one" in shown
    assert len({line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("|")}) == 1


@pytest.mark.parametrize(
    "text", ["a|b", "`x`", "<b>", "&lt;", "**x** _y_ __z__", "[a](b)", "[a][b]", "![a](b)", "a_b", "\\|", "~~x~~"]
)
def test_escaped_text_comes_back(text):
    page = Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"x {escape_markdown(text)}"))
    assert ({*page.tags}, "".join(page.texts).strip()) == ({"p"}, f"x {text}")


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "common.audit", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables)


@pytest.mark.parametrize("form", [(), ("--html",)])
def test_a_closed_pipe_is_no_fault(form, paper_file):
    with start(str(paper_file), "--all", *form) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("form", [(), ("--html",), ("--markdown",), ("--json",)])
def test_a_narrow_encoding_is_no_fault(form, paper_file):
    with start(str(paper_file), *form, PYTHONIOENCODING="ascii", LANG="C", LC_ALL="C") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    shown = out.decode("ascii")
    if form == ("--html",):
        assert "± Ö" in "".join(Page(shown).texts)
    elif form == ("--json",):
        assert "± Ö" in json.loads(shown)["audits"][0]["title"]
    else:
        assert "+- ?" in shown


def test_out_writes_a_file_and_json_says_what_the_text_says(paper_file, tmp_path, capsys):
    assert run(paper_file, "--json", "--out", tmp_path / "a.json") == 0
    assert capsys.readouterr().out == ""
    (audit,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["audits"]
    paper = parse_paper(PAPER, paper_file)
    assert audit["outcomes"] == list_plain(audit_paper(paper))
    assert audit["summary"] == summarise_paper(paper, audit_paper(paper))
    assert audit["notes"] == list(paper.notes)
    assert run(paper_file, "--html", "--out", tmp_path / "page.html") == 0
    assert "± Ö" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_all_lists_each_number_that_was_not_checked(paper_file, capsys):
    assert run(paper_file) == 0
    short = capsys.readouterr().out
    assert run(paper_file, "--all") == 0
    assert re.search(r"^not checked: 1\n  ssim of ours, because: ", capsys.readouterr().out, re.MULTILINE)
    assert re.search(r"^not checked: 1\n", short, re.MULTILINE)
    assert "\x1b" not in short


def test_the_guide_walks_from_a_table_to_a_page(tmp_path, monkeypatch, capsys):
    """docs/audit.md: its table, its commands, and what it says that they print."""
    pytest.importorskip("common.audit.means", reason="needs the check of means over folds")
    guide = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    guide = guide[guide.index("## From a table") : guide.index("### What a table may hold")]
    (table,) = re.findall(r"```csv\n(.*?)```", guide, re.DOTALL)
    blocks = re.findall(r"```\n(.*?)```", re.sub(r"```csv\n.*?```", "", guide, flags=re.DOTALL), re.DOTALL)
    commands = [block.split()[3:] for block in blocks if block.startswith("python -m common.audit table3.csv")]
    expected = [block for block in blocks if not block.startswith("python")]
    assert (len(commands), len(expected)) == (2, 2)
    (tmp_path / "table3.csv").write_text(table, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "112")
    assert run(*commands[0]) == 0
    shown = capsys.readouterr().out
    assert all(block in shown for block in expected)
    assert run(*commands[1]) == 0
    page = "".join(Page((tmp_path / "audit.html").read_text(encoding="utf-8")).texts)
    assert expected[0].splitlines()[0] in page


def test_what_can_be_checked_by_hand_comes_first_and_tallies_last(tmp_path, capsys):
    """Counts and matrices before means and searches, in each form; how often each check came to what, at the end."""
    rows = "a,91.5,90.0,91.67\nb,85.0,87.5,83.33\nc,97.0,60.0,70.0\n"
    (tmp_path / "t.csv").write_text(f"model,Acc,Sens,Spec\n{rows}")
    says = ("--classes", "ill=40,healthy=60", "--folds", "1", "--runs", "1")
    assert run(tmp_path / "t.csv", *says) == 0
    text = capsys.readouterr().out
    heads = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert heads[-6:] == ["attainable", "one matrix", "between", "denominator", "orientation", "all checks"]
    assert re.search(r"^all checks\n  attainable: 1 impossible, 2 possible\n  one matrix: 2 impossible, 1 possible$", text, re.M)
    assert run(tmp_path / "t.csv", *says, "--markdown") == 0
    markdown = capsys.readouterr().out
    checks = [line.split(" | ")[0].strip("| ") for line in markdown.splitlines() if line.startswith("| ")][1:]
    assert checks == ["attainable", "one matrix", "between", "denominator", "orientation"]
    assert markdown.index("All checks:") > markdown.index("| orientation")
    assert run(tmp_path / "t.csv", *says, "--html") == 0
    shown = "".join(Page(capsys.readouterr().out).texts)
    places = [shown.index(words) for words in ("91/100 = 91.00", "ill positive:", "97.0 is not between", "over these of 2 to")]
    assert places == sorted(places)
    assert shown.index("All checks") > places[-1]


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--html",)])
def test_one_sentence_says_what_is_assumed(form, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    (tmp_path / "t.csv").write_text("model,Acc,AUC\na,91.5%,0.9\n")
    for options, expected in {
        ("--classes", "ill=40,healthy=60", "--folds", "5"): (
            "the cases are as stated (ill 40, healthy 60); "
            "the numbers are as stated (means over 5 folds), and averaged over classes and trainings in every usual way."
        ),
        (): (
            "the cases of the classes are not known; "
            "how the numbers were averaged is not stated, so that every usual way is tried."
        ),
    }.items():
        assert run(tmp_path / "t.csv", *options, *form) == 0
        shown = " ".join(capsys.readouterr().out.replace("\\", "").split())
        assert "Assumed: each number, sums and means included, is rounded to the nearest, down or up: at most one unit" in shown
        assert f"accuracy in percent and auc a fraction of 1; {expected}" in shown
        assert shown.count("Assumed") == 1


def test_our_own_results_say_what_is_assumed(capsys):
    assert run(ROOT / "results/lung_hip_compare") == 0
    assert "Assumed: every number is rounded at its sixth significant digit" in capsys.readouterr().out


def test_a_card_says_that_the_word_beside_the_verdict_is_a_check(tmp_path, capsys):
    """ "impossible attainable" reads as a contradiction."""
    path = tmp_path / "paper.toml"
    path.write_text(PAPER)
    main([str(path), "--html"])
    heads = re.findall(r"<h3>(.*?)</h3>", capsys.readouterr().out)
    assert heads
    assert all('</span> <span class="check">by the check: ' in head for head in heads)
