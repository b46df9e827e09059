"""A result judged anew from its predictions."""

import shutil

import pytest

from common.records.predictions import read_predictions, write_predictions
from common.records.results import read_results, to_json, write_results
from replications.lung_hip_compare import evaluate


@pytest.fixture
def result(smoke_run, tmp_path):
    """A copy of a finished run, without data and trainings."""
    return shutil.copytree(smoke_run, tmp_path / "result", ignore=shutil.ignore_patterns("cells", "data"))


def read_figures(result):
    """All figures, of those drawn from the history (which the file rounds) the name alone."""
    files = (result / "figures").iterdir()
    return {path.name: None if path.name.startswith("history-") else path.read_bytes() for path in files}


def test_the_same_judgement_where_nothing_changed(result):
    before = to_json(read_results(result / "results.json"))
    kept = read_figures(result)
    assert evaluate.main([str(result)]) == 0
    after = to_json(read_results(result / "results.json"))
    assert after.pop("evaluated").keys() == {"commit", "dirty"}
    assert after == before
    assert read_figures(result) == kept


def test_numbers_follow_from_the_predictions(result):
    """With one class given to every case, accuracy is the share of that class, in tables and claims."""
    predictions = read_predictions(result / "predictions.csv.gz")
    write_predictions(predictions.assign(y_score_0=1.0, y_score_1=0.0), result / "predictions.csv.gz")
    old = read_results(result / "results.json")
    write_results(result / "results.json", old.model_copy(update={"predictions_sha256": None}))
    before = (result / "figures" / "intervals.png").read_bytes()
    assert evaluate.main([str(result)]) == 0
    found = read_results(result / "results.json")
    for row in found.rows:
        assert row.metrics["accuracy"].mean == pytest.approx(1 - row.positives / row.n, abs=1e-5)
    assert {entry.row for entry in found.extra.collapsed} == {row.row for row in found.rows}
    assert (result / "figures" / "intervals.png").read_bytes() != before


def test_predictions_of_another_command_are_refused(result, capsys):
    """A command that was killed between its predictions and its results leaves such a folder."""
    predictions = read_predictions(result / "predictions.csv.gz")
    write_predictions(predictions[predictions["protocol"] == "paper"], result / "predictions.csv.gz")
    assert evaluate.main([str(result)]) == 2
    assert "not the predictions that results.json was computed from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("results.json", '{"schema": 1, "paper": "lung_hip_compare"}', "results.json: entry"),
        ("history.csv.gz", "nonsense", "history.csv.gz: cannot be read"),
        ("predictions.csv.gz", "nonsense", "predictions.csv.gz: cannot be read"),
    ],
)
def test_damaged_results_are_refused_in_one_line(result, capsys, file, content, message):
    (result / file).write_text(content)
    assert evaluate.main([str(result)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_results_of_another_paper_are_refused(thyroid_smoke_run, capsys):
    assert evaluate.main([str(thyroid_smoke_run)]) == 2
    assert "results of thyroid_ensemble" in capsys.readouterr().err
