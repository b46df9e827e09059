"""Notebooks run from top to bottom on any finished run, draw its figures, train nothing, and are stored without outputs."""

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from common.predictions import read_predictions, write_predictions
from common.report import escape_markdown
from common.results import read_results, write_json_atomic

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NO_NETWORK_LIBRARY = "import sys; assert not {'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)"
named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def execute(path: Path, run: Path | str | None, tmp_path: Path, monkeypatch) -> tuple[str, int]:
    """All text that a notebook shows, and the number of its pictures; an error in a cell is an error here."""
    if run is None:
        monkeypatch.delenv("REPLICATION_RUN", raising=False)
    else:
        monkeypatch.setenv("REPLICATION_RUN", str(run))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # nothing of the user's own profile
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(NO_NETWORK_LIBRARY))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.get("data", {}) for output in outputs]
    texts = [data[kind] for data in shown for kind in ("text/markdown", "text/html") if kind in data]
    texts += [output.text for output in outputs if output.output_type == "stream"]
    return "\n".join(texts), sum("image/png" in data for data in shown)


def thin_out(source: Path, folder: Path, keep: str, protocol: str) -> Path:
    """A copy of a run that holds the rows of one name under one protocol only, without pictures: as an early run has it."""
    folder.mkdir()
    predictions = read_predictions(source / "predictions.csv.gz")
    kept = (predictions["row"] == keep) & (predictions["protocol"] == protocol)
    write_predictions(predictions[kept].reset_index(drop=True), folder / "predictions.csv.gz")
    history = pd.read_csv(source / "history.csv.gz")
    history = history[(history["row"] == keep) & (history["protocol"] == protocol)].dropna(axis=1, how="all")
    history.to_csv(folder / "history.csv.gz", index=False)
    results = read_results(source / "results.json")
    results["rows"] = [row for row in results["rows"] if (row["row"], row["protocol"]) == (keep, protocol)]
    results["datasets"] = [data for data in results["datasets"] if keep.startswith(f"{data['dataset']} / ")]
    for data in results["datasets"]:
        data["splits"] = {protocol: data["splits"][protocol]}
    for claim in results["claims"]:
        if (claim["row"], protocol) != (keep, "paper"):
            claim |= {"ours": None, "low": None, "high": None, "verdict": "not run", "note": "not asked for"}
    for name in ("comparisons", "statements", "collapsed"):
        results["extra"][name] = []
    results["extra"]["not_run"] = [{"table": "2", "row": "everything else", "reason": "not asked for"}]
    write_json_atomic(folder / "results.json", results)
    return folder


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} <= {path.parent.name for path in ROOT.glob("replications/*/paper.toml")}
    assert NOTEBOOKS


@named
def test_stored_clean(path):
    """No outputs, no absolute paths, valid, and no measured number in the prose: it must be right for any run."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.metadata
        assert not re.search(r"(?<![\w:/.])/[A-Za-z_][\w.-]*/|\b[A-Za-z]:\\|~/", cell.source), cell.source
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        else:
            assert set(re.findall(r"\d+\.\d+|\d{3,}", cell.source)) <= {"0.5"}, cell.source
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert str(Path.home()) not in path.read_text(encoding="utf-8")


@pytest.mark.slow
@named
def test_runs_on_a_smoke_run(path, smoke_run, tmp_path, monkeypatch):
    text, pictures = execute(path, smoke_run, tmp_path, monkeypatch)
    results = read_results(smoke_run / "results.json")
    assert "Synthetic data: these numbers say nothing about the paper." in text
    for claim in results["claims"]:
        assert claim["row"] in text
    for item in results["extra"]["not_run"]:
        assert escape_markdown(item["reason"]) in text
    accuracies = sum(len(row["seeds"]) for row in results["rows"])
    assert f"accuracies recomputed: {accuracies}; all agree" in text
    matrices = sum(figure["file"].startswith("figure6") for figure in results["extra"]["figures"])
    curves = sum(figure["file"].startswith("history") for figure in results["extra"]["figures"])
    # Confusion matrices, ROC, training curves, pictures (2), intervals, heat maps (2), few labels.
    assert pictures == 2 * matrices + curves + 6


@pytest.mark.slow
@named
@pytest.mark.parametrize(("row", "protocol"), [("LUNA16 / CNN", "leakfree"), ("256x256 unresized / SGAN", "paper")])
def test_runs_where_rows_are_missing(path, smoke_run, tmp_path, monkeypatch, row, protocol):
    thin = thin_out(smoke_run, tmp_path / "thin", row, protocol)
    text, pictures = execute(path, thin, tmp_path, monkeypatch)
    assert "accuracies recomputed: 1; all agree" in text
    assert "everything else" in text
    assert "*Not run.*" in text  # few labels
    assert pictures == 6  # one matrix, ROC, training curve; intervals and two heat maps


@pytest.mark.slow
@named
def test_a_wrong_number_is_found(path, smoke_run, tmp_path, monkeypatch):
    """The cell that recomputes every accuracy fails on a results.json that says something else."""
    thin = thin_out(smoke_run, tmp_path / "thin", "LUNA16 / CNN", "paper")
    results = json.loads((thin / "results.json").read_text())
    results["rows"][0]["metrics"]["accuracy"]["by_seed"][0] -= 0.001
    write_json_atomic(thin / "results.json", results)
    with pytest.raises(Exception, match="AssertionError"):
        execute(path, thin, tmp_path, monkeypatch)


@pytest.mark.slow
@named
def test_runs_on_the_accepted_run(path, tmp_path, monkeypatch):
    accepted = ROOT / "results" / path.stem
    if not (accepted / "results.json").is_file():
        pytest.skip(f"no accepted run in results/{path.stem} yet")
    text, pictures = execute(path, None, tmp_path, monkeypatch)
    results = read_results(accepted / "results.json")
    assert escape_markdown(results["command"]) in text
    assert "ynthetic data" not in text
    assert f"accuracies recomputed: {sum(len(row['seeds']) for row in results['rows'])}; all agree" in text
    assert pictures >= 6
