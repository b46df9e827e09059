"""Figures mark what was trained off protocol, and say what the paper's names of the hip data sets mean."""

from dataclasses import replace

import pandas as pd
import pytest

from common.records.paper import load_paper
from common.records.predictions import read_predictions
from common.records.results import Results, read_results
from replications.lung_hip_compare import figures
from replications.lung_hip_compare.config import DATASETS, NETWORKS, PAPER


@pytest.fixture(scope="module")
def results(root) -> Results:
    """The accepted run, as if the DBN had been cut short; no hip row was run."""
    accepted = read_results(root / "results" / "lung_hip_compare" / "results.json")
    rows = [
        row.model_copy(update={"departures": ["dbn_epochs = 6 instead of 100"]}) if row.row == "LUNA16 / DBN" else row
        for row in accepted.rows
    ]
    return accepted.model_copy(update={"rows": rows})


@pytest.fixture(scope="module")
def shown(root) -> figures.Shown:
    folder = root / "results" / "lung_hip_compare"
    paper = load_paper(root / "replications" / "lung_hip_compare" / "paper.toml")
    history = pd.read_csv(folder / "history.csv.gz")
    return figures.Shown(paper, PAPER, {}, read_predictions(folder / "predictions.csv.gz"), history)


def list_texts(panel) -> list[str]:
    return [text.get_text() for text in panel.texts]


def test_the_heat_map_marks_our_values_alone(shown, results):
    (picture,) = figures.draw_table_2(shown, results)
    printed, *ours = picture.figure.axes[:3]
    assert not [text for text in list_texts(printed) if "*" in text]
    for panel in ours:
        texts = dict(zip(NETWORKS, list_texts(panel), strict=False))
        assert {name for name, text in texts.items() if text.endswith(" *")} == {"DBN"}
        assert "not run" not in texts.values()
        assert list_texts(panel)[len(NETWORKS) :] == ["not run"] * (len(DATASETS) - 1) * len(NETWORKS)
    assert picture.caption.startswith("A star marks networks trained with other settings")


def test_names_of_data_sets_are_explained_in_the_heat_map(shown, results):
    (picture,) = figures.draw_table_2(shown, results)
    names = [label.get_text() for label in picture.figure.axes[0].get_yticklabels()]
    meaning = {"resized": "(cropped to the hip)", "unresized": "(whole radiograph)"}
    assert names == [f"{name}\n{meaning[name.split()[1]]}" if " " in name else name for name in DATASETS]


def test_training_curves_mark_what_was_cut_short(shown, results):
    pictures = {picture.file: picture for picture in figures.draw_histories(shown, results)}
    assert len(pictures) == 2 * len(NETWORKS)
    for file, picture in pictures.items():
        short = "dbn" in file
        assert (" *, LUNA16" in picture.title) is short, file
        assert ("epochs = 6 instead of 100" in picture.caption) is short, file


def test_matrices_count_the_seeds_that_score_the_same_cases(shown, results):
    pictures = {picture.file: picture for picture in figures.draw_figure_6(shown, results)}
    panels = pictures["figure6-luna16-paper.png"].figure.axes
    titles = [panel.get_title(loc="left") for panel in panels]
    sizes = dict(title.split("\nn = ") for title in titles if title)
    test = f"{results.datasets[0].splits['paper'].test:,}"
    assert sizes == {name: f"5 × {test}" for name in ("CNN", "ResNet-50", "DBN *", "SGAN")}


def test_forest_plot_and_matrices_explain_the_names_of_hips(shown, results):
    """As if the hips had been run: rows renamed."""
    known = results.rows[0]
    hips = known.model_copy(update={"row": "128x128 resized / CNN"})
    claims = [
        claim.model_copy(update={"ours": 80.0, "verdict": "phantoms"}) if claim.row == hips.row else claim
        for claim in results.claims
    ]
    table = shown.predictions[shown.predictions["row"] == known.row].assign(row=hips.row)
    changed = results.model_copy(update={"rows": [hips], "claims": claims})
    (picture,) = figures.draw_intervals(shown, changed)
    labels = [label.get_text() for axes in picture.figure.axes for label in axes.get_yticklabels()]
    assert any("128x128 resized (cropped to the hip) / CNN" in label for label in labels)
    words = {text.get_text() for axes in picture.figure.axes for text in axes.texts}
    assert "synthetic data" in words  # as the tables say
    assert "phantoms" not in words
    (matrix, *_) = figures.draw_figure_6(replace(shown, predictions=table), changed)
    assert "128x128 resized (cropped to the hip)" in matrix.title
