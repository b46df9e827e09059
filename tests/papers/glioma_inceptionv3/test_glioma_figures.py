"""Figures of the glioma report: what is drawn are the numbers that were given, and nothing where there are none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from glioma_shown import make_shown
from matplotlib.figure import Figure

from common.figures.style import Picture, save_figure
from common.records.paper import Paper, load_paper
from common.records.results import Results
from replications.glioma_inceptionv3 import rows
from replications.glioma_inceptionv3.config import PAPER
from replications.glioma_inceptionv3.figures import Shown, draw_figures, list_rates

AS_RUN = rows.name_row(rows.AS_RUN, rows.MOBILENET, rows.WHOLE)
FILES = {
    "figure-learning-rate.png", "figure-validation-mobilenetv2-whole.png", "figure-test-mobilenetv2-whole.png",
    "decomposition-mobilenetv2.png", "baselines-mobilenetv2-whole.png", "confusion-mobilenetv2-whole.png", "attention.png",
    "slices.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def paper(root) -> Paper:
    return load_paper(root / "replications" / "glioma_inceptionv3" / "paper.toml")


@pytest.fixture(scope="module")
def made(paper) -> tuple[Shown, Results]:
    return make_shown(paper)


@pytest.fixture(scope="module")
def pictures(made) -> dict[str, Picture]:
    return {picture.file: picture for picture in draw_figures(*made)}


def read_texts(figure: Figure) -> str:
    legends = [legend for owner in (figure, *figure.axes) for legend in getattr(owner, "legends", [])]
    axes = [text for a in figure.axes for text in (a.get_title(loc="left"), a.get_xlabel(), a.get_ylabel())]
    ticks = [tick.get_text() for a in figure.axes for tick in (*a.get_xticklabels(), *a.get_yticklabels())]
    return "\n".join([text.get_text() for legend in legends for text in legend.get_texts()] + axes + ticks)


def test_every_figure_once(pictures) -> None:
    assert set(pictures) == FILES
    assert {file for file, picture in pictures.items() if picture.shows_cases} == {"attention.png", "slices.png"}


def test_quantities_units_and_numbers_of_cases_are_said(pictures) -> None:
    units = {
        "figure-learning-rate.png": ("training step", "learning rate"),
        "figure-validation-mobilenetv2-whole.png": ("training step", "validation accuracy (%)", "n = 10 runs"),
        "figure-test-mobilenetv2-whole.png": ("test accuracy (%)", "run", "mean 96.1 %"),
        "decomposition-mobilenetv2.png": (
            "accuracy (%)",
            "lost, or left, accuracy (points)",
            "n = ",
            "grades shuffled among subjects",
        ),
        "baselines-mobilenetv2-whole.png": ("accuracy of slices (%)", "radiomics + SVM", "area alone", "95 % interval"),
        "confusion-mobilenetv2-whole.png": ("grade II", "n = ", "share of the true class (%)"),
        "attention.png": ("share of the map's maximum",),
    }
    for file, texts in units.items():
        found = read_texts(pictures[file].figure)
        for text in texts:
            assert text in found, (file, text)
    assert "n = 12 slices" in pictures["slices.png"].caption
    assert "test entries a run" in pictures["figure-test-mobilenetv2-whole.png"].caption


def test_figures_can_be_written_and_are_not_empty(pictures, tmp_path) -> None:
    for file in ("decomposition-mobilenetv2.png", "figure-test-mobilenetv2-whole.png"):
        save_figure(pictures[file].figure, tmp_path / file, synthetic=True)
        assert (tmp_path / file).stat().st_size > 20_000


def test_learning_rate_is_that_of_the_report() -> None:
    rates = list_rates(PAPER)
    assert len(rates) == 10_000
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.00100046, abs=5e-9)  # 0.1 exp(-9999 ln(100) / 10000)
    np.testing.assert_allclose(rates[1:] / rates[:-1], np.exp(-np.log(100) / 10_000))


def test_validation_curves_are_the_history(made, pictures) -> None:
    shown, results = made
    axes = pictures["figure-validation-mobilenetv2-whole.png"].figure.axes[0]
    drawn = [100 * of["val_accuracy"].to_numpy() for _, of in shown.history[shown.history["row"] == AS_RUN].groupby("seed")]
    lines = [np.asarray(line.get_ydata()) for line in axes.lines]
    assert len(drawn) == 10
    for values in (*drawn, np.mean(drawn, axis=0), 100 * shown.original.mean(axis=1)):
        assert any(len(line) == len(values) and np.allclose(line, values) for line in lines)
    accuracy = next(row for row in results.rows if row.row == AS_RUN).metrics["accuracy"].by_seed
    best = next(line for line in axes.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(best.get_ydata(), drawn[int(np.argmax(accuracy))])


def test_bars_are_the_printed_and_our_accuracies(made, pictures, paper) -> None:
    _, results = made
    printed, ours, _ = pictures["figure-test-mobilenetv2-whole.png"].figure.axes
    claimed = [100 * claim.value for claim in paper.claims if claim.table == "6"]
    np.testing.assert_allclose([bar.get_height() for bar in printed.containers[0]], claimed)
    accuracy = next(row for row in results.rows if row.row == AS_RUN).metrics["accuracy"]
    np.testing.assert_allclose([bar.get_height() for bar in ours.containers[0]], 100 * np.array(accuracy.by_seed))
    assert np.allclose(ours.lines[0].get_ydata(), 100 * accuracy.mean)
    (band,) = [patch for patch in ours.patches if patch not in ours.containers[0].patches]
    box = band.get_bbox()
    np.testing.assert_allclose([box.y0, box.y1], [100 * accuracy.low, 100 * accuracy.high])


def test_decomposition_shows_modes_and_steps_with_the_shuffled_control(made, pictures) -> None:
    shown, results = made
    left, right = pictures["decomposition-mobilenetv2.png"].figure.axes
    known = {row.row: row.metrics["accuracy"] for row in results.rows}
    for shuffled, line in zip(
        (False, True), [line for line in left.lines if len(line.get_xdata()) == len(rows.list_modes())], strict=True
    ):
        names = [rows.name_row(mode, rows.MOBILENET, rows.WHOLE, shuffled=shuffled) for mode in rows.list_modes()]
        np.testing.assert_allclose(line.get_ydata(), [100 * known[name].mean for name in names])
    points = {round(float(line.get_xdata()[0]), 6) for line in right.lines if line.get_marker() in ("o", "s")}
    steps = shown.steps[rows.MOBILENET, rows.WHOLE]
    assert points == {value.mean for step in steps for value in (step.true, step.shuffled)}
    assert [tick.get_text().replace("\n", " ") for tick in right.get_yticklabels()] == [step.name for step in steps][::-1]


def test_reads_in_grey(pictures) -> None:
    """True and shuffled differ in marker, its face and line style; the bars of the two modes in hatching."""
    left = pictures["decomposition-mobilenetv2.png"].figure.axes[0]
    true, shuffled = [line for line in left.lines if len(line.get_xdata()) == len(rows.list_modes())]
    assert true.get_linestyle() != shuffled.get_linestyle()
    markers = {line.get_marker(): line.get_markerfacecolor() for line in left.lines if line.get_marker() in ("o", "s")}
    assert markers["s"] == "white" != markers["o"]
    _, as_run, report = pictures["figure-test-mobilenetv2-whole.png"].figure.axes
    assert as_run.containers[0].patches[0].get_hatch() != report.containers[0].patches[0].get_hatch()


def test_an_even_map_is_not_drawn_as_evidence(made) -> None:
    """A backbone whose last map has one pixel knows no place; a map without anything says so."""
    shown, results = made
    first = shown.attention[0]
    even = [replace(first, evidence=np.full((60, 60), value)) for value in (1.0, 0.0)]
    found = {p.file: p for p in draw_figures(replace(shown, attention=[first, *even]), results)}
    axes = found["attention.png"].figure.axes
    assert [a.get_title() for a in axes[1:6:2]] == ["evidence", "no place: even evidence", "no evidence"]
    drawn = [np.squeeze(np.asarray(a.images[0].get_array())) for a in axes[:6]]
    assert drawn[1].ndim == 3  # coloured
    for evidence, picture in ((drawn[3], drawn[2]), (drawn[5], drawn[4])):
        np.testing.assert_array_equal(evidence, picture)


def test_without_the_reports_numbers_only_ours_are_drawn(made) -> None:
    shown, results = made
    found = {p.file: p for p in draw_figures(replace(shown, original=None, attention=(), sheets={}), results)}
    assert set(found) == FILES - {"attention.png", "slices.png"}
    picture = found["figure-validation-mobilenetv2-whole.png"]
    assert "report" not in read_texts(picture.figure).replace(rows.REPORT, "")
    assert len(picture.figure.axes[0].lines) == 12  # ten runs, mean, best


def test_a_run_of_one_row_draws_what_it_has(made) -> None:
    """Leak-free alone: no runs to draw, one mode without steps, and a control that is missing."""
    shown, results = made
    name = rows.name_row(rows.LEAKFREE, rows.MOBILENET, rows.WHOLE)
    kept = results.model_copy(update={"rows": [row for row in results.rows if row.row == name]})
    thin = replace(
        shown, predictions=shown.predictions[shown.predictions["row"] == name], history=pd.DataFrame(), steps={}, attention=(),
        sheets={},
    )  # fmt: skip
    found = {picture.file: picture for picture in draw_figures(thin, kept)}
    assert set(found) == {"figure-learning-rate.png", "decomposition-mobilenetv2.png", "confusion-mobilenetv2-whole.png"}
    left, right = found["decomposition-mobilenetv2.png"].figure.axes
    assert [tick.get_text() for tick in left.get_xticklabels()] == [f"subjects\napart\nn = {kept.rows[0].n}"]
    assert right.texts[0].get_text().startswith("needs the modes")
