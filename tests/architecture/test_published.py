"""Committed results: metrics recomputed from the committed predictions; READMEs current; commands in them work."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.evaluation.metrics import evaluate
from common.records.paper import load_paper
from common.records.predictions import read_predictions
from common.records.results import read_results
from common.report.__main__ import main
from common.report.overview import describe_paper
from common.runs.publish import PUBLISHED_FILES
from common.runs.redaction import find_private

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted(p.parent for p in (ROOT / "results").glob("*/results.json"))
READMES = [ROOT / "README.md", *sorted((ROOT / "replications").glob("*/README.md"))]


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.name)
def test_metrics_follow_from_predictions(folder):
    published = read_results(folder / "results.json")
    rows = {(row.row, row.protocol): row for row in published.rows}
    computed = evaluate(read_predictions(folder / "predictions.csv.gz"))
    assert {(row.row, row.protocol) for row in computed} == rows.keys()
    for row in computed:
        expected = rows[row.row, row.protocol]
        assert (row.n, row.patients) == (expected.n, expected.patients)
        for name, metric in row.metrics.items():
            for part in ("mean", "sd", "low", "high"):
                wanted = getattr(expected.metrics[name], part)
                found = getattr(metric, part)
                assert found == (None if wanted is None else pytest.approx(wanted, rel=1e-5, abs=1e-6)), (row.row, name)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.name)
def test_published_runs_are_whole_and_real(folder):
    published = read_results(folder / "results.json")
    assert not published.synthetic
    assert published.git.dirty is False
    for name in PUBLISHED_FILES:
        assert (folder / name).is_file()
    for figure in published.extra.figures:
        assert (folder / "figures" / figure.file).is_file()


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.name)
def test_the_first_page_finds_the_rows_that_it_contrasts(folder):
    """Each pair of rows that paper.toml names was run, so that none is left out in silence, and the leak is known of each
    that is better than the most frequent class."""
    paper = load_paper(ROOT / "replications" / folder.name / "paper.toml")
    overview = describe_paper(paper, read_results(folder / "results.json"), has_code=True)
    shown = {line.row for line in overview.lines if line.leak or line.is_blind}
    assert shown
    assert {contrast.name for contrast in paper.contrasts} <= shown


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda p: p.name)
def test_published_ids_are_those_that_their_collections_declare(folder):
    """So that the same run, published again, keeps them; and no file or folder of a machine is named."""
    public = importlib.import_module(f"replications.{folder.name}.data").PUBLIC_IDS
    assert find_private(read_predictions(folder / "predictions.csv.gz"), public.values()) == set()
    published = read_results(folder / "results.json")
    assert not any(dataset.unreadable or dataset.further.get("own") for dataset in published.datasets)
    texts = [path.read_text(encoding="utf-8") for path in folder.iterdir() if path.suffix in (".json", ".md", ".txt", ".html")]
    assert not re.search(r"/(home|root|Users|work|tmp)/", "".join(texts))


def test_readme_tables_are_current():
    assert main(["--check", "--root", str(ROOT)]) == 0


@pytest.mark.parametrize("path", READMES[1:], ids=lambda p: p.parent.name)
def test_a_readme_begins_with_what_matched(path):
    first = path.read_text(encoding="utf-8").split("\n\n")[1]
    assert re.match(r"\*\*.*\bmatch", first, re.DOTALL | re.IGNORECASE), first


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.parent.name)
def test_commands_of_the_readme_run(path, monkeypatch):
    """Every `python -m module` that a README names answers --help, with every flag that stands beside it."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    commands = set(re.findall(r"python -m ((?:replications|common|benchmarks)[\w.]+)([^\n`#&|]*)", path.read_text()))
    assert commands
    helps = {}
    for module, rest in sorted(commands):
        if module not in helps:
            done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            helps[module] = done.stdout
        for flag in re.findall(r"--[a-z-]+", rest):
            assert flag in helps[module], f"{module} knows no {flag}"


def test_flags_of_the_readme_exist():
    table = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `--")]
    assert len(table) > 4
    shown = subprocess.run(
        [sys.executable, "-m", "replications.lung_hip_compare.run", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    for flag in re.findall(r"--[a-z-]+", "".join(line.split("|")[1] for line in table)):
        assert flag in shown


def test_the_two_commands_set_everything_up():
    """README and continuous integration agree: each command makes .venv, installs by the constraints, and runs."""
    text = (ROOT / "README.md").read_text()
    for name, end in (("run", "-m replications.lung_hip_compare.run"), ("tests", "-m pytest")):
        (command,) = re.findall(rf"<!-- command: {name} -->\n```\n(.+)\n```", text)
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e ")
        assert command.endswith(end)
    assert "<!-- command: tests -->" in (ROOT / ".ci/run").read_text()
