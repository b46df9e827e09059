"""Generated README blocks: rewritten, checked, and refused where they are damaged."""

import re
from pathlib import Path

import pytest
from sample_report import PAPER, make_content, write_run

from common.report.__main__ import main

README = """# Title

<!-- generated: papers -->
old
<!-- end -->

Text stays.
"""
PACKAGE_README = "\n\n".join(
    f"<!-- generated: {name} -->\n<!-- end -->" for name in ("results", "deviations", "unstated", "audit", "remarks")
)


@pytest.mark.parametrize("place", ["nope", "empty"])
def test_a_folder_that_is_not_the_repository_is_refused(tmp_path, capsys, place):
    (tmp_path / "empty").mkdir()
    assert main(["--root", str(tmp_path / place), "--check"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{tmp_path / place}: not the repository" in error


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
    assert "| not trained: its numbers are audited |  |  |  |  | `python -m common.audit some_paper` |" in first
    (root / "replications" / "some_paper" / "run.py").write_text("")
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    first = (root / "README.md").read_text()
    assert "not run yet" in first
    assert "`python -m replications.some_paper.run --data /path/to/data`" in first  # without data it runs on phantoms
    assert first.endswith("<!-- end -->\n\nText stays.\n")
    package = (root / "replications" / "some_paper" / "README.md").read_text()
    assert "Not run yet." in package
    assert "| one run | two seeds | a spread |" in package
    assert "`python -m common.audit some_paper` computes from the printed numbers alone (printed ratios: 2;" in package
    assert "| attainable | accuracy 79.5 of 100; Table 2: set / old net | impossible | 79/100 = 79.00, 80/100 =" in package
    assert "| repetition | one run | set / old net |" in package

    write_run(root / "results" / "some_paper", make_content())
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert re.search(
        r"90\.0\s% \| 91\.2\s%; 85\.0\s% with patients kept apart \| agrees: not more than 5 points apart \| "
        r"real pictures: hospital, 500 of 250 patients \| not measured \| 2 h 05 min, 2 CPU cores, for 3 of 4 rows \|",
        (root / "README.md").read_text(),
    )
    assert "| set / net | 90.0 | 80.0 | 91.2 |" in (root / "replications" / "some_paper" / "README.md").read_text()
    table = root / "results" / "some_paper" / "table.md"
    assert "| set / net | 90.0 | 80.0 | 91.2 |" in table.read_text()
    table.write_text("of an older state")
    assert main([*arguments, "--check"]) == 1


def test_a_finding_stands_in_for_a_main_number_that_was_not_run(tmp_path):
    root = make_repository(tmp_path)
    content = make_content()
    key = (content["rows"][0]["table"], content["rows"][0]["row"])
    content["rows"] = [row for row in content["rows"] if (row["table"], row["row"]) != key]
    content["extra"]["finding"] = "Other pictures: 97 % listed twice."
    write_run(root / "results" / "some_paper", content)
    assert main(["--root", str(root)]) == 0
    assert "| Other pictures: 97 % listed twice. | not run as published |" in (root / "README.md").read_text()
    assert "Other pictures: 97 % listed twice." in (root / "replications" / "some_paper" / "README.md").read_text()


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


def test_an_impossible_headline_is_marked_in_the_table_of_papers(tmp_path):
    root = make_repository(tmp_path)
    path = root / "replications" / "some_paper" / "paper.toml"
    assert main(["--root", str(root)]) == 0
    assert "impossible" not in (root / "README.md").read_text()
    path.write_text(PAPER.replace("value = 90.0", "value = 90.5"))
    assert main(["--root", str(root)]) == 0
    assert re.search(r"\| set / net, accuracy: 90\.5\s% \(impossible as printed\) \|", (root / "README.md").read_text())


def test_the_report_of_an_accepted_run_follows_where_the_first_page_links_to_it(tmp_path):
    root = make_repository(tmp_path)
    accepted = write_run(root / "results" / "some_paper", make_content())
    assert main(["--root", str(root)]) == 0
    page = accepted / "report.html"
    assert not page.exists()
    (root / "README.md").write_text(README + "[report](results/some_paper/report.html)\n")
    assert main(["--root", str(root), "--check"]) == 1
    assert main(["--root", str(root)]) == 0
    assert "<title>Replication: Networks compared</title>" in page.read_text()
    page.write_text("of an older state")
    assert main(["--root", str(root), "--check"]) == 1
