"""The pages of docs/site, read as text: every part, links that lead somewhere, nothing from outside, the same bytes again."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from sample_report import PAPER, Page, make_content, make_metric, write_run

from common.report.__main__ import main

ROOT = Path(__file__).parents[3]
PUBLISHED = sorted((ROOT / "docs/site").glob("*.html"))
HOSTILE = "<img src=http://x/y onerror=alert(1)>\"'&{{ 7*7 }}"


def make_site(root: Path, content: dict | None = None, paper: str = PAPER) -> Path:
    """The site of a repository with one paper; content: of its accepted run, if it has one."""
    package = root / "replications" / "some_paper"
    package.mkdir(parents=True)
    (package / "paper.toml").write_text(paper, encoding="utf-8")
    (package / "run.py").write_text("")
    if content:
        write_run(root / "results" / "some_paper", content)
    assert main(["--root", str(root)]) == 0
    return root / "docs" / "site"


def find_outside(text: str) -> list[str]:
    """Everything that a browser would fetch from elsewhere: not what a reader may follow."""
    fetched = re.findall(r"""\b(?:src|srcset|poster|data|background|action)\s*=\s*["']?([^"'\s>]+)""", text)
    fetched += re.findall(r"""url\(\s*["']?([^"')]+)""", text) + re.findall(r"""@import\s+["']?([^"';]+)""", text)
    fetched += [given for tag in re.findall(r"<link\b[^>]*>", text) for given in re.findall(r"""href=["']?([^"'\s>]+)""", tag)]
    return [address for address in fetched if re.match(r"(?:[a-z][a-z0-9+.-]*:)?//|[a-z][a-z0-9+.-]*:(?!image/)", address)]


def check_links(path: Path) -> int:
    """Every link and picture of a page leads to a file, and to a place in it that is there; returns their number."""
    page = Page(path.read_text(encoding="utf-8"))
    addresses = [given[name] for _, given in page.tags for name in ("href", "src", "srcset") if given.get(name)]
    for address in addresses:
        if address.startswith("https://doi.org/10."):
            continue
        name, _, place = address.partition("#")
        target = path.parent / unquote(name) if name else path
        assert target.exists(), f"{path.name}: {address}"
        if place:
            assert re.search(rf'\bid="{place}"', target.read_text(encoding="utf-8")), f"{path.name}: {address}"
    return len(addresses)


@pytest.mark.parametrize(
    ("text", "outside"),
    [
        ('<img src="a.png"><a href="https://doi.org/10.1/x">', []),
        ('<img src="data:image/png;base64,AA">', []),
        ('<img src="https://x/y.png">', ["https://x/y.png"]),
        ("<img src=//x/y.png>", ["//x/y.png"]),
        ("<style>a { background: url('http://x/y') }</style>", ["http://x/y"]),
        ('<style>@import "https://x/y";</style>', ["https://x/y"]),
        ('<link rel="stylesheet" href="https://x/y.css">', ["https://x/y.css"]),
        ('<script src="file:///etc/x.js">', ["file:///etc/x.js"]),
    ],
)
def test_what_comes_from_outside_is_found(text, outside):
    assert find_outside(text) == outside


def test_the_published_site_is_there():
    names = {path.parent.name for path in (ROOT / "replications").glob("*/paper.toml")}
    assert {path.stem for path in PUBLISHED} == names | {"index", "audit"}
    assert sum(path.stat().st_size for path in (ROOT / "docs/site").iterdir()) < 3_000_000


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_pages_fetch_nothing_and_their_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    assert not find_outside(text)
    assert not {"script", "iframe", "object", "embed", "base", "link", "form"} & {tag for tag, _ in Page(text).tags}
    policy = next(given["content"] for _, given in Page(text).tags if given.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert check_links(path)


def test_a_paper_without_a_run_shows_what_is_printed_and_what_is_missing(tmp_path):
    site = make_site(tmp_path)
    text = Page((site / "some_paper.html").read_text(encoding="utf-8")).text
    for expected in [
        "No number of ours stands here: nothing was trained on real data. 1 of the 2 printed numbers of Table 2",
        "made on phantoms (made-up pictures) only",
        "set / net 90.0 % set / old net 79.5 % ✕",
        "✕ cannot be right as printed",
        "What is missing An accepted run on real data. All 3 printed rows wait for it.",
        "python -m replications.some_paper.data",
        "python -m replications.some_paper.run --data /path/to/data",
        "python -m replications.some_paper.run --preset smoke",
        "python -m common.audit some_paper",
    ]:
        assert expected in text
    assert "Paper and ours" not in text
    index = Page((site / "index.html").read_text(encoding="utf-8"))
    assert "1 paper; none was trained on real data so far." in index.text
    (row,) = re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", (site / "index.html").read_text(encoding="utf-8"), re.DOTALL)
    assert row.count("<td") == 6  # as many cells as heads, empty ones included
    for path in site.glob("*.html"):
        assert check_links(path)


def test_an_accepted_run_shows_tables_figures_and_the_way_back(tmp_path):
    site = make_site(tmp_path, make_content())
    page = Page((site / "some_paper.html").read_text(encoding="utf-8"))
    for expected in [
        "The paper: set / net, accuracy: 90.0 %. Ours: 91.2 %; 85.0 % with patients kept apart (agrees: not more than 5 points",
        "set / net 90.0 91.2 [88.2, 94.2] 85.0 [82.0, 88.0] – agrees within 5 points",
        "set / net 90.0 80.0 91.2 1.0 2 [88.2, 94.2] +1.2 [−2.9, +5.3] agrees within 5 points 85.0 [82.0, 88.0] −6.2 86.0",
        "A figure. of something",
        "2 set / absent net too large; see README",
        "The accepted run, in this order, on data and weights in folders of yours: first last",
        "set 100 77 (77.0 %) 0 5 (5.0 %)",
    ]:
        assert expected in page.text
    (picture,) = [given for tag, given in page.tags if tag == "img"]
    assert picture["src"] == "../../results/some_paper/figures/a.png"
    assert (picture["width"], picture["height"]) == ("230", "12")  # 400 x 20 pixels at 200 dpi, on a screen
    for path in site.glob("*.html"):
        assert check_links(path)
        assert not find_outside(path.read_text(encoding="utf-8"))


def test_the_figure_that_paper_toml_names_stands_first(tmp_path, capsys):
    content = make_content()
    content["extra"]["figures"].append({"file": "b.png", "title": "The main figure", "caption": "of all"})
    paper = PAPER.replace("headline =", 'figure = "b.png"\nheadline =')
    write_run(tmp_path / "results" / "some_paper", content)
    (tmp_path / "results/some_paper/figures/b.png").write_bytes((tmp_path / "results/some_paper/figures/a.png").read_bytes())
    site = make_site(tmp_path, paper=paper)
    pictures = [given["src"] for tag, given in Page((site / "some_paper.html").read_text()).tags if tag == "img"]
    assert [Path(src).name for src in pictures] == ["b.png", "a.png"]
    (tmp_path / "replications/some_paper/paper.toml").write_text(paper.replace("b.png", "c.png"))
    assert main(["--root", str(tmp_path)]) == 2
    assert "figure 'c.png' is none of the accepted run's" in capsys.readouterr().err


def test_the_audit_page_leads_to_each_paper_and_back(tmp_path):
    page = Page((make_site(tmp_path) / "audit.html").read_text(encoding="utf-8"))
    links = [given["href"] for tag, given in page.tags if tag == "a"]
    assert links == ["index.html", "#some_paper"]
    assert "python -m common.audit --html" in page.text


def test_of_many_rows_the_first_stand_in_the_picture_and_the_short_table(tmp_path):
    content = make_content()
    first, second = content["rows"][:2]
    for row in (first, second):
        row["metrics"]["accuracy"] |= {"error": 0.01, "df": 50.0}
    content["rows"] += [{**row, "table": "ours", "row": f"net {i}"} for i in range(9) for row in (first, second)]
    site = make_site(tmp_path, content)
    text = (site / "papers.svg").read_text(encoding="utf-8")
    assert "set / net<" in text
    assert re.findall(r">(net \d)<", text) == [f"net {i}" for i in range(7)]
    assert "2 more rows in the report" in text
    assert "agrees within 5 points; leak +6.2 [+3.4, +9.0]" in text
    page = (site / "some_paper.html").read_text(encoding="utf-8")
    assert "2 more rows that were run both ways stand in the tables below." in page
    assert re.search(r"<h3>In short.*?</table>", page, re.DOTALL)[0].count("<tr>") == 1 + 8
    index = Page((site / "index.html").read_text(encoding="utf-8")).text
    assert (
        "10 rows were run both as the paper splits its pictures and with the pictures of a patient never on both sides." in index
    )
    assert (
        "A leak shows in 10 of them, of 1 paper: there the paper's way of splitting adds +6.2 to +6.2 points of accuracy" in index
    )
    assert "so part of it, how much is not known, need not be the leak" in index
    assert "small part" not in index + page


def test_a_row_that_only_gives_the_most_frequent_class_shows_no_leak(tmp_path):
    content = make_content()
    for row in content["rows"]:
        row["metrics"]["accuracy"] |= {"error": 0.01, "df": 50.0}
        row["metrics"]["majority_rate"] = make_metric(0.95)
    site = make_site(tmp_path, content)
    picture = (site / "papers.svg").read_text(encoding="utf-8")
    assert "agrees within 5 points; no better than the most frequent class" in picture
    assert "leak +" not in picture
    page = (site / "some_paper.html").read_text(encoding="utf-8")
    assert "A row that is no better than always giving the most frequent class shows no leak" in page
    index = Page((site / "index.html").read_text(encoding="utf-8")).text
    assert "way of splitting adds" not in index
    assert (
        "1 of these can show no leak, being no better than always giving the most frequent class. A leak shows in none" in index
    )


def test_the_same_inputs_give_the_same_bytes_wherever_the_checkout_lies(tmp_path):
    here, there = (make_site(tmp_path / name, make_content()) for name in ("here", "a much longer place/there"))
    names = sorted(path.name for path in here.iterdir())
    assert names == ["audit.html", "index.html", "papers.svg", "papers_narrow.svg", "some_paper.html"]
    for name in names:
        assert (here / name).read_bytes() == (there / name).read_bytes()
        assert str(tmp_path) not in (here / name).read_text(encoding="utf-8")


def test_a_stale_page_and_the_page_of_a_paper_that_is_gone_are_found(tmp_path, capsys):
    site = make_site(tmp_path, make_content())
    check = ["--root", str(tmp_path), "--check"]
    assert main(check) == 0
    (site / "papers.svg").write_text("of an older state")
    (site / "gone.html").write_text("of a paper that is gone")
    capsys.readouterr()
    assert main(check) == 1
    assert [Path(line.split()[1]).name for line in capsys.readouterr().out.splitlines()] == ["papers.svg", "gone.html"]
    assert main(check[:-1]) == 0
    assert not (site / "gone.html").exists()
    assert main(check) == 0


def test_hostile_names_are_shown_not_run(tmp_path):
    content = make_content(command=HOSTILE)
    content["datasets"][0].update(dataset=HOSTILE, name=HOSTILE)
    content["rows"][3]["row"] = HOSTILE
    content["extra"]["figures"][0].update(title=HOSTILE, caption=HOSTILE)
    content["extra"]["commands"][0]["command"] = HOSTILE
    content["extra"]["finding"] = HOSTILE
    site = make_site(tmp_path, content, PAPER.replace('title = "Networks compared"', f"title = '''{HOSTILE}'''"))
    for path in site.glob("*.html"):
        page = Page(path.read_text(encoding="utf-8"))
        assert not [given for _, given in page.tags if "onerror" in given or "http://x/y" in given.get("src", "")]
        assert "{{ 7*7 }}" in page.text
    assert Page((site / "some_paper.html").read_text(encoding="utf-8")).text.count("onerror=alert(1)>") >= 6


def test_every_colour_of_text_is_a_variable_that_the_dark_sets_anew(tmp_path):
    style = re.search(r"<style>(.*?)</style>", (make_site(tmp_path) / "index.html").read_text(), re.DOTALL)[1]
    light, dark = (set(re.findall(r"(--[a-z-]+):", part)) for part in re.findall(r":root \{(.*?)\}", style, re.DOTALL))
    assert light == dark
    rest = re.sub(r":root \{.*?\}", "", style, flags=re.DOTALL)
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", rest)) <= {"#fff"}  # on the banner, and behind the figures
