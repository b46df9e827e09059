"""Pages of reporting checklists: written, found stale, and refused where a place of ours does not exist."""

from pathlib import Path

import pytest
from sample_report import PAPER

from common.records.checklist_items import GUIDELINES
from common.report.__main__ import main
from common.report.checklists import find_fault, load_checklists, tabulate_counts

OUTLINE = '[outline]\nparts = ["title"]\nsections = []\ntables = ["1"]\nfigures = []\nequations = []\nmissing = ["Table 2"]\n'
OURS = 'ours = { reported = "yes", where = "PLACE" }'


def make_repository(root: Path, place: str = "README.md#data | more") -> Path:
    """One package whose every item is reported by ours at `place`, and by the paper not but for its first."""
    package = root / "replications" / "some_paper"
    package.mkdir(parents=True)
    (package / "paper.toml").write_text(PAPER)
    (package / "README.md").write_text("<!-- generated: checklist -->\n<!-- end -->\n")
    (root / "docs").mkdir()
    (root / "docs" / "checklists.md").write_text("<!-- generated: checklists -->\n<!-- end -->\n")
    (root / "README.md").write_text("# Title\n\n## Data, and more\n\n```\n# in a block\n```\n")
    (root / "code.py").write_text("LIMIT: int = 3\nMARGIN = 5\n\n\ndef draw():\n    inner = 1\n    return inner\n")
    lines = [OUTLINE]
    for guideline in GUIDELINES:
        for item in guideline.items:
            paper = '{ reported = "yes", where = "title", remark = "a | b" }' if item.number == "1" else '{ reported = "no" }'
            lines.append(f'[[{guideline.id}]]\nitem = "{item.number}"\ntopic = "{item.topic}"\npaper = {paper}')
            lines.append(OURS.replace("PLACE", place))
    (package / "checklist.toml").write_text("\n".join(lines))
    return root


def test_pages_and_counts_are_written_then_current(tmp_path, capsys):
    root = make_repository(tmp_path, "README.md#data-and-more; code.py::draw")
    arguments = ["--root", str(root)]
    page = root / "docs" / "checklists" / "some_paper.md"
    assert main([*arguments, "--check"]) == 1
    assert str(page) in capsys.readouterr().out
    assert not page.exists()
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    text = page.read_text()
    assert text.startswith("# Reporting checklists: some_paper\n")
    assert "**yes** (title) a \\| b |" in text
    assert "[README.md, data and more](../../README.md#data-and-more); [code.py, draw](../../code.py)" in text
    assert "Our text of the paper lacks: Table 2." in text
    for guideline in GUIDELINES:
        assert f"## {guideline.title}\n" in text
        assert guideline.doi in text
        for item in guideline.items:
            assert f"| {item.number} | {item.topic}: " in text
    for line in (
        "| CLAIM 2024 | 44 | paper | 1 | 0 | 43 | 0 | 0 |",
        "| TRIPOD+AI | 52 | this replication | 52 | 0 | 0 | 0 | 0 |",
    ):
        assert line in text
        assert line in (root / "replications" / "some_paper" / "README.md").read_text()
        assert f"[some_paper](checklists/some_paper.md) {line}" in (root / "docs" / "checklists.md").read_text()

    toml = root / "replications" / "some_paper" / "checklist.toml"
    toml.write_text(toml.read_text().replace('{ reported = "no" }', '{ reported = "not applicable", remark = "why" }', 1))
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert "| CLAIM 2024 | 44 | paper | 1 | 0 | 42 | 1 | 0 |" in page.read_text()


def test_a_place_that_does_not_exist_is_refused(tmp_path, capsys):
    root = make_repository(tmp_path, "README.md; results/some_paper/table.md")
    assert main(["--root", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "checklist.toml: claim, item 1: ours: 'results/some_paper/table.md': no such file or folder" in error
    assert not (root / "docs" / "checklists").exists()


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("README.md", ""),
        ("docs", ""),
        ("README.md#data-and-more", ""),
        ("README.md#title", ""),
        ("code.py::draw", ""),
        ("code.py::LIMIT", ""),
        ("code.py::MARGIN", ""),
        ("replications/some_paper/checklist.toml::outline", ""),
        ("READ.md", "no such file or folder in the repository"),
        ("README.md#data", "no heading #data"),
        ("README.md#in-a-block", "no heading #in-a-block"),
        ("code.py#draw", "no heading #draw"),
        ("code.py::inner", "no name inner at its top level"),
        ("README.md::Data", "no name Data at its top level"),
        ("replications/some_paper/checklist.toml::claims", "no name claims at its top level"),
        ("../README.md", "not below the repository"),
    ],
)
def test_places_of_ours(tmp_path, place, fault):
    assert find_fault(make_repository(tmp_path / "here", "README.md"), place) == fault


def test_a_package_without_a_checklist_has_no_page_and_says_so(tmp_path):
    root = make_repository(tmp_path)
    (root / "replications" / "some_paper" / "checklist.toml").unlink()
    assert load_checklists(root) == {}
    assert main(["--root", str(root)]) == 0
    assert "No checklist.toml yet." in (root / "replications" / "some_paper" / "README.md").read_text()
    assert not (root / "docs" / "checklists").exists()


def test_counts_add_up(tmp_path):
    (checklist,) = load_checklists(make_repository(tmp_path, "README.md")).values()
    for _, items, _, *counts in tabulate_counts(checklist):
        assert sum(map(int, counts)) == int(items)
