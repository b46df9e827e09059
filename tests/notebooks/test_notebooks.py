"""Notebooks are stored with the outputs of a fresh execution on the accepted run, where there is one; they run on any
finished run, draw its figures, train nothing. UPDATE_GOLDEN=1 stores the outputs of the accepted runs and of the audit."""

import base64
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from common.files import write_json_atomic
from common.records.predictions import read_predictions, write_predictions
from common.records.results import Results, parse_results, read_results, write_results
from common.report.pages import escape_markdown

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NO_NETWORK_LIBRARY = "import sys; assert not {'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)"
RECOMPUTING = ("find-run", "read-run", "recompute-all")  # cells that every notebook of a run has


@dataclass(frozen=True)
class Expected:
    """What is particular to the notebook of one package."""

    smoke_run: str  # fixture: folder of a smoke run
    count_pictures: Callable[[Results], int]  # results of the smoke run -> pictures drawn
    thin: tuple[tuple[str, str, int, str], ...]  # with one row under one protocol: pictures, and a text that is shown


def count_lung_pictures(results: Results) -> int:
    """Confusion matrices, ROC, training curves, pictures (2), intervals, heat maps (2), few labels."""
    files = [figure.file for figure in results.extra.figures]
    return 2 * sum(file.startswith("figure6") for file in files) + sum(file.startswith("history") for file in files) + 6


EXPECTED = {
    "bone_acgan": Expected(
        "bone_smoke_run",
        lambda results: len(results.extra.figures),  # all of the run's own
        thin=(
            ("multi-scale CNN / data set 5", "leakfree", 1, "*Nothing in this run.*"),  # confusion matrices
            ("MU-ACGAN", "paper", 1, "*None in this run.*"),  # how it trained
        ),
    ),
    "ddsm_inceptionv4": Expected(
        "ddsm_smoke_run",
        lambda results: len(results.extra.figures),  # all of the run's own
        thin=(
            ("InceptionV4 vanilla", "leakfree", 3, "*Nothing in this run.*"),
            ("metadata alone", "paper", 2, "*None in this run.*"),
        ),
    ),
    "glioma_inceptionv3": Expected(
        "glioma_smoke_run",
        lambda results: len(results.extra.figures),
        thin=(
            ("leakfree / InceptionV3 / crop", "leakfree", 3, "The doubled list was not run"),  # decomposition, rate, one matrix
            ("paper-as-run / InceptionV3 / crop", "paper", 5, "*Nothing in this run.*"),  # and validation, test accuracies
        ),
    ),
    "lung_hip_compare": Expected(
        "smoke_run",
        count_lung_pictures,
        # One matrix, ROC, training curve; intervals and two heat maps.
        thin=(
            ("LUNA16 / CNN", "leakfree", 6, "*Not run.*"),
            ("256x256 unresized / SGAN", "paper", 6, "*Not run.*"),
        ),
    ),
    "thyroid_ensemble": Expected(
        "thyroid_smoke_run",
        lambda results: len(results.extra.figures),  # all of the run's own
        thin=(
            ("Scale 1 / AlexNet", "leakfree", 3, "it has no ensemble"),  # heat map, one matrix, intervals
            ("ensemble", "paper", 4, "*Nothing in this run.*"),  # ROC, one matrix, reliability, intervals
        ),
    ),
}
of_runs = pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem in EXPECTED], ids=lambda path: path.stem)
THIN = [
    pytest.param(ROOT / "notebooks" / f"{name}.ipynb", *thin, id=f"{name}-{thin[0]}-{thin[1]}")
    for name, expected in EXPECTED.items()
    for thin in expected.thin
]


def find_smoke_run(path: Path, request) -> Path:
    return request.getfixturevalue(EXPECTED[path.stem].smoke_run)


def count_accuracies(results: Results) -> int:
    """Rows, protocols and seeds; a row that stands in several tables counts once."""
    return len({(row.row, row.protocol, seed) for row in results.rows for seed in row.seeds})


def execute(
    path: Path, run: Path | str | None, tmp_path: Path, monkeypatch, *, only: Sequence[str] | None = None
) -> tuple[str, int]:
    """All text that a notebook shows, and the number of its pictures; an error in a cell is an error here.

    only: ids of the cells to execute, else all.
    """
    if run is None:
        monkeypatch.delenv("REPLICATION_RUN", raising=False)
        monkeypatch.delenv("REPLICATIONS_DATA", raising=False)  # what is stored is what a reader without data sees
    else:
        monkeypatch.setenv("REPLICATION_RUN", str(run))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # nothing of the user's own profile
    notebook = nbformat.read(path, as_version=4)
    if only is not None:
        notebook.cells = [cell for cell in notebook.cells if cell.id in only]
        assert [cell.id for cell in notebook.cells] == list(only)
    notebook.cells.append(nbformat.v4.new_code_cell(NO_NETWORK_LIBRARY))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    if run is None and only is None:
        keep_or_compare(path, notebook.cells[:-1])
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.get("data", {}) for output in outputs]
    texts = [data[kind] for data in shown for kind in ("text/markdown", "text/html") if kind in data]
    texts += [output.text for output in outputs if output.output_type == "stream"]
    return "\n".join(texts), sum("image/png" in data for data in shown)


def keep_or_compare(path: Path, executed: Sequence[nbformat.NotebookNode]) -> None:
    """Stored outputs are those of the executed cells: all text to the letter, and as many pictures."""
    stored = nbformat.read(path, as_version=4)
    if os.environ.get("UPDATE_GOLDEN"):
        for cell, fresh in zip(stored.cells, executed, strict=True):
            if cell.cell_type == "code":
                cell.outputs = [shrink_picture(output) for output in fresh.outputs if output.get("name") != "stderr"]
                cell.execution_count = fresh.execution_count
        nbformat.write(stored, path)
    if any(cell.get("outputs") for cell in stored.cells):
        for cell, fresh in zip(stored.cells, executed, strict=True):
            assert list_shown(cell) == list_shown(fresh), f"{path.name}, cell {cell.id}: UPDATE_GOLDEN=1 stores it anew"


def shrink_picture(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A picture at the width at which it is shown, in 64 colours: a notebook of twenty figures stays below a megabyte."""
    if "image/png" in output.get("data", {}):
        picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")
        width = output.metadata["image/png"]["width"]
        small = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        with io.BytesIO() as file:
            small.quantize(64, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
            output.data["image/png"] = base64.b64encode(file.getvalue()).decode()
    return output


def list_shown(cell: nbformat.NotebookNode) -> list[str]:
    """What a reader sees below a cell: each text, and a mark for each picture."""
    shown = []
    for output in cell.get("outputs", []):
        if output.get("name") == "stdout":
            shown.append(output.text)
        data = output.get("data", {})
        shown += (
            ["picture"] if "image/png" in data else [data[kind] for kind in ("text/markdown", "text/html") if kind in data][:1]
        )
    return [re.sub(r"\bT_[0-9a-f]{5}", "T_", text) for text in shown]  # pandas numbers styled tables at random


def thin_out(source: Path, folder: Path, keep: str, protocol: str) -> Path:
    """A copy of a run that holds the rows of one name under one protocol only, without pictures: as an early run has it."""
    folder.mkdir()
    predictions = read_predictions(source / "predictions.csv.gz")
    kept = (predictions["row"] == keep) & (predictions["protocol"] == protocol)
    write_predictions(predictions[kept].reset_index(drop=True), folder / "predictions.csv.gz")
    history = pd.read_csv(source / "history.csv.gz")
    # Steps of a training stand as "row, step".
    history = history[history["row"].str.match(rf"{re.escape(keep)}(, |$)") & (history["protocol"] == protocol)]
    history = history.dropna(axis=1, how="all") if len(history) else history
    history.to_csv(folder / "history.csv.gz", index=False)
    results = json.loads((source / "results.json").read_text(encoding="utf-8"))
    results["rows"] = [row for row in results["rows"] if (row["row"], row["protocol"]) == (keep, protocol)]
    if len(results["datasets"]) > 1:
        results["datasets"] = [data for data in results["datasets"] if keep.startswith(f"{data['dataset']} / ")]
    for data in results["datasets"]:
        data["splits"] = {protocol: data["splits"][protocol]}
    for claim in results["claims"]:
        if (claim["row"], protocol) != (keep, "paper"):
            claim |= {"ours": None, "low": None, "high": None, "verdict": "not run", "note": "not asked for"}
    for name in ("comparisons", "statements", "collapsed", "tables"):
        results["extra"][name] = []
    results["extra"]["not_run"] = [{"table": "2", "row": "everything else", "reason": "not asked for"}]
    write_results(folder / "results.json", parse_results(results, "thin run"))
    return folder


def test_there_are_notebooks():
    packages = {path.parent.name for path in ROOT.glob("replications/*/paper.toml")}
    assert {path.stem for path in NOTEBOOKS} & packages == EXPECTED.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_clean(path):
    """No errors among outputs, no absolute paths, valid, and no measured number in the prose: it must be right for any run."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.metadata
        assert not re.search(r"(?<![\w:/.])/[A-Za-z_][\w.-]*/|\b[A-Za-z]:\\|~/", cell.source), cell.source
        if cell.cell_type == "code":
            assert all(output.output_type != "error" and output.get("name") != "stderr" for output in cell.outputs)
            assert cell.outputs == [] or cell.execution_count
        else:
            assert set(re.findall(r"\d+\.\d+|\d{3,}", cell.source)) <= {"0.5"}, cell.source
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert path.stat().st_size < 1_000_000
    for folder in (str(Path.home()), str(ROOT), "/tmp/"):
        assert folder not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_terms_that_are_explained_are_used(path):
    """A word that a list explains stands in what the notebook shows, or in the page on verdicts."""
    cells = nbformat.read(path, as_version=4).cells
    terms = re.findall(r"^- \*\*(.+?)\*\*", "\n".join(cell.source for cell in cells if cell.cell_type == "markdown"), flags=re.M)
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    if not outputs:
        pytest.skip("no accepted run, so no outputs are stored")
    used = json.dumps(outputs) + (ROOT / "docs/verdicts.md").read_text(encoding="utf-8")
    assert not [term for term in terms if term.lower() not in used.lower()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stored(path):
    """A reader sees tables and figures of the accepted run without running anything; audit.ipynb needs none."""
    if path.stem in EXPECTED and not (ROOT / "results" / path.stem / "results.json").is_file():
        pytest.skip(f"no accepted run in results/{path.stem} yet")
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert sum("picture" in list_shown(cell) for cell in cells) >= 3


@pytest.mark.slow
@of_runs
def test_runs_on_a_smoke_run(path, request, tmp_path, monkeypatch):
    run = find_smoke_run(path, request)
    text, pictures = execute(path, run, tmp_path, monkeypatch)
    results = read_results(run / "results.json")
    assert "Synthetic data: these numbers say nothing about the paper." in text
    for claim in results.claims:
        assert escape_markdown(claim.row) in text
    for item in results.extra.not_run:
        assert escape_markdown(item.reason) in text
    assert f"accuracies recomputed: {count_accuracies(results)}; all agree" in text
    assert pictures == EXPECTED[path.stem].count_pictures(results)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "row", "protocol", "drawn", "told"), THIN)
def test_runs_where_rows_are_missing(path, row, protocol, drawn, told, request, tmp_path, monkeypatch):
    thin = thin_out(find_smoke_run(path, request), tmp_path / "thin", row, protocol)
    text, pictures = execute(path, thin, tmp_path, monkeypatch)
    assert f"accuracies recomputed: {count_accuracies(read_results(thin / 'results.json'))}; all agree" in text
    assert "everything else" in text
    assert told in text
    assert pictures == drawn


@pytest.mark.slow
@of_runs
def test_a_wrong_number_is_found(path, request, tmp_path, monkeypatch):
    """The cell that recomputes every accuracy fails on a results.json that says something else."""
    row, protocol, *_ = EXPECTED[path.stem].thin[0]
    thin = thin_out(find_smoke_run(path, request), tmp_path / "thin", row, protocol)
    results = json.loads((thin / "results.json").read_text())
    results["rows"][-1]["metrics"]["accuracy"]["by_seed"][0] -= 0.001
    write_json_atomic(thin / "results.json", results)
    with pytest.raises(CellExecutionError, match="AssertionError"):
        execute(path, thin, tmp_path, monkeypatch, only=RECOMPUTING)


@pytest.mark.slow
@of_runs
def test_runs_on_the_accepted_run(path, tmp_path, monkeypatch):
    accepted = ROOT / "results" / path.stem
    if not (accepted / "results.json").is_file():
        pytest.skip(f"no accepted run in results/{path.stem} yet")
    text, pictures = execute(path, None, tmp_path, monkeypatch)
    results = read_results(accepted / "results.json")
    assert escape_markdown(results.command) in text
    assert "ynthetic data" not in text
    assert f"accuracies recomputed: {count_accuracies(results)}; all agree" in text
    assert pictures >= min(6, len(results.extra.figures)) > 0
