"""Charts: values where they belong, marks of doubtful ones, nothing cut off; words of captions from results."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from common.figures import grids, intervals
from common.figures.curves import plot_history
from common.figures.grids import plot_heatmap, plot_overlays
from common.figures.intervals import Panel, Value, plot_bars, plot_steps
from common.figures.style import DPI, save_figure
from common.records.results import Results, parse_results
from common.report import series
from common.report.series import build_panel, explain, join_stages, list_protocols, mark_off, mark_row, read_curves

PANELS = [
    Panel("first", {"plain": {"a": Value(60, 50, 70), "b": Value(80)}, "new": {"a": Value(70, 65, 75, reference=72)}}, 50),
    Panel("second", {"plain": {"a": Value(55, 50, 100, doubtful=True), "b": Value(90, 0, 95)}}),
]
STEPS = [
    Panel("first", {"net": {"0": Value(60, 50, 70), "1": Value(80, 70, 90, doubtful=True), "all": Value(75)}}, 50),
    Panel("second", {"other": {"all": Value(55, 45, 65), "0": Value(50)}}),
]
MAP = np.linspace(0, 1, 64).reshape(8, 8)
GREY_IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def draw_bars() -> Figure:
    return plot_bars(PANELS, label="accuracy (%)", doubtful="doubtful", reference="printed", level="guessing", top=100)


def draw_steps() -> Figure:
    return plot_steps(
        STEPS, ["0", "1", "all"], x="layers", label="accuracy (%)", ringed={"net": "1", "other": "1"}, ring="best",
        doubtful="doubtful", level="guessing",
    )  # fmt: skip


def draw_overlays() -> Figure:
    return plot_overlays([GREY_IMAGE] * 2, [None, MAP], ["image", "map"], columns=2, label="evidence")


def make_results(*, known: bool = True, verdict: str = "within", departures: tuple[str, ...] = ()) -> Results:
    """Two rows under both protocols, a third under one; the first collapsed leak-free. departures: of the third."""

    def entry(row: str, protocol: str, accuracy: float) -> dict:
        means = {"accuracy": (accuracy, accuracy - 0.1, accuracy + 0.1), "majority_rate": (0.55, None, None)}
        metrics = {
            name: {"mean": mean, "sd": None, "low": low, "high": high, "by_seed": [mean, mean]}
            for name, (mean, low, high) in means.items()
        }
        return {"row": row, "protocol": protocol, "n": 40, "positives": 18, "patients": 25, "seeds": [0, 1],
                "below_majority": accuracy <= 0.55, "metrics": metrics}  # fmt: skip

    rows = [entry("x", "paper", 0.8), entry("y", "paper", 0.7), entry("x", "leakfree", 0.6)]
    rows.append(entry("z", "leakfree", 0.5) | {"departures": list(departures)})
    claim = {"table": "2", "row": "x", "metric": "accuracy", "where": "Table 2", "paper": 80.0, "tolerance": 12.0, "ours": 80.0,
             "low": 70.0, "high": 90.0, "verdict": verdict, "note": ""}  # fmt: skip
    dataset = {"dataset": "set", "name": "clinic", "note": "", "synthetic": False, "cases": 200, "patients": 120,
               "patients_known": known, "classes": {"healthy": 110, "ill": 90}, "files_sha256": None, "unreadable": [],
               "splits": {}}  # fmt: skip
    lists = ("comparisons", "statements", "not_run", "figures", "commands", "cells")
    content = {
        "schema": 1, "paper": "some_paper", "preset": "paper", "protocol": "both", "overrides": {}, "on_protocol": True,
        "command": "python -m run", "git": {"commit": "abc", "dirty": False}, "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.0, "datasets": [dataset], "weights": {"source": "random"}, "config": {}, "selection": {}, "seeds": [0, 1],
        "environment": {"python": "3.11", "backend": None, "device": None, "deterministic": True}, "rows": rows,
        "claims": [claim],
        "extra": dict.fromkeys(lists, []) | {"collapsed": [{"row": "x", "protocol": "leakfree", "seeds": [1]}]},
    }  # fmt: skip
    return parse_results(content, "test")


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("draw", [draw_bars, draw_steps, draw_overlays])
def test_nothing_is_cut_off_and_axes_are_labelled(tmp_path, draw):
    figure = draw()
    save_figure(figure, tmp_path / "a.png", synthetic=False)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == tuple(np.floor(figure.get_size_inches() * DPI + 1e-6).astype(int))
        pixels = np.asarray(image.convert("L"))
    assert 0.02 < (pixels < 250).mean() < 0.98
    assert (np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]) > 250).all()
    labels = {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())} - {""}
    assert labels == {draw_bars: {"accuracy (%)"}, draw_steps: {"layers", "accuracy (%)"}, draw_overlays: {"evidence"}}[draw]


@pytest.mark.parametrize("draw", [draw_bars, draw_steps])
def test_texts_do_not_overlap(draw):
    figure = draw()
    figure.canvas.draw()
    boxes = [
        text.get_window_extent()
        for axes in figure.axes
        for text in (axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.get_xticklabels(), *axes.texts)
        if text.get_text()
    ]
    boxes += [figure.legends[0].get_window_extent()]
    overlapping = [(i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)]
    assert overlapping == []


def test_bars_stand_for_their_values():
    figure = draw_bars()
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [60, 80, 70]
    places = [bar.get_x() + bar.get_width() / 2 for bar in first.patches]
    assert places == pytest.approx([-0.2, 0.8, 0.2])
    assert [text.get_text().strip() for text in first.texts] == ["60.0", "80.0", "70.0", "not run"]
    assert [bar.get_hatch() for bar in second.patches] == [intervals.HATCH, None]
    assert [line.get_ydata()[0] for line in first.lines if line.get_marker() == "D"] == [72]
    segments = [tuple(segment[:, 1]) for lines in first.collections for segment in lines.get_segments()]
    assert segments == [(50, 70), (65, 75)]  # no limits, no bar
    assert legend(figure) == ["plain", "new", "printed", "doubtful", "guessing"]
    assert legend(plot_bars([Panel("", {"a": {"b": Value(1)}})], label="x")) == ["a"]


def test_steps_keep_their_order_and_marks():
    figure = draw_steps()
    first, second = figure.axes
    assert [tick.get_text() for tick in second.get_xticklabels()] == ["0", "1", "all"]
    (line,) = [line for line in second.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "--"]
    assert line.get_ydata().tolist() == [50, 55]  # in the order of the steps, not of the mapping
    points = [line for line in first.lines if line.get_marker() == "o" and line.get_markersize() == 5.5]
    assert [to_hex(point.get_markerfacecolor()) == "#ffffff" for point in points] == [False, True, False]
    rings = [line for axes in figure.axes for line in axes.lines if line.get_markersize() == 13]
    assert [ring.get_ydata()[0] for ring in rings] == [80]  # the other series has no such step
    assert legend(figure) == ["net", "other", "best", "doubtful", "guessing"]


def test_series_differ_in_more_than_colour():
    lines = [line for line in draw_steps().legends[0].get_lines() if line.get_label() in ("net", "other")]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 2
    greys = [np.dot(bar.get_facecolor()[:3], (0.299, 0.587, 0.114)) for bar in draw_bars().axes[0].patches]
    assert abs(greys[0] - greys[2]) > 0.2  # the two series, printed without colour


def test_maps_are_transparent_at_0_and_coloured_at_1():
    blended = grids.blend_map(GREY_IMAGE, MAP, strength=0.5)
    assert blended.dtype == np.uint8
    assert blended[0, 0].tolist() == [0, 0, 0]
    brightest = 255 * np.array([0.988362, 0.998364, 0.644924])  # the end of inferno
    np.testing.assert_allclose(blended[-1, -1], 0.5 * 63 + 0.5 * brightest, atol=0.51)
    np.testing.assert_array_equal(grids.blend_map(GREY_IMAGE, 0 * MAP), np.repeat(GREY_IMAGE[..., None], 3, axis=2))


def test_overlays_enclose_what_is_above_half():
    image, mapped, bar = draw_overlays().axes
    assert not image.collections
    (_, line) = mapped.collections
    heights = [path.vertices[:, 1] for path in line.get_paths()]
    assert 3 < np.concatenate(heights).min() <= np.concatenate(heights).max() < 5  # the map passes 0.5 in its middle
    assert bar.get_ylim() == (0, 1)
    assert not plot_overlays([GREY_IMAGE], [0 * MAP], ["map"], columns=1, label="").axes[0].collections


def test_marked_cells():
    figure = plot_heatmap([("p", np.array([[1.0, np.nan]])), ("q", np.array([[3.0, 4.0]]))], ["r"], ["a", "b"], label="x")
    grids.mark_cells(figure, [np.zeros((1, 2), bool), np.array([[False, True]])], " †")
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]] == [["1.0", "not run"], ["3.0", "4.0 †"]]


def test_stages_are_joined_at_the_longest():
    first = {0: {"loss": [3, 2], "val_loss": [4, 3]}, 1: {"loss": [3, 2, 1], "val_loss": [4, 3, 2]}}
    joined, ends = join_stages([first, {0: {"loss": [1, 0.5]}}])
    assert ends == [3, 5]
    np.testing.assert_array_equal(joined[0]["loss"], [3, 2, np.nan, 1, 0.5])
    np.testing.assert_array_equal(joined[0]["val_loss"], [4, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(joined[1]["loss"], [3, 2, 1, np.nan, np.nan])
    thick = [line for line in plot_history(joined).axes[0].lines if line.get_linewidth() == 2][0]
    np.testing.assert_array_equal(thick.get_ydata(), [3, 2, 1, 1, 0.5])


def test_curves_of_one_seed_and_stage():
    history = pd.DataFrame({
        "seed": [0, 0, 0, 1], "stage": ["a", "a", "b", "a"], "epoch": [2, 1, 1, 1],
        "loss": [1.0, 2.0, 3.0, 4.0], "accuracy": [0.6, 0.5, 0.4, 0.3], "val_loss": [1.0, np.nan, 3.0, 4.0],
    })  # fmt: skip
    curves = read_curves(history, 0, "a")
    assert {name: values.tolist() for name, values in curves.items()} == {"loss": [2.0, 1.0], "accuracy": [0.5, 0.6]}


def test_captions_count_cases_and_explain_marks():
    text = explain(make_results(), ["paper", "leakfree"], ["x", "y"], positive_class="ill")
    assert text == (
        "The paper's protocol: n = 40 test cases (18 ill) of 25 patients, 2 seeds. Leak-free: n = 40 test cases (18 ill) of 25 "
        "patients, 2 seeds. Our 95 % intervals resample patients. Dagger: one class for all cases in at least one seed."
    )
    text = explain(make_results(known=False, verdict="off protocol"), ["paper"], ["x"], positive_class="ill")
    assert text == (
        "The paper's protocol: n = 40 test cases (18 ill), 2 seeds. Our 95 % intervals resample cases, as no patients are "
        "known. A star marks trainings off protocol (see the notes in the tables)."
    )
    assert "95 %" not in explain(make_results(), ["paper"], ["y"], positive_class="ill", intervals=False)


def test_rows_bear_their_marks():
    assert mark_row(make_results(), "x", ["paper"]) == "x"
    assert mark_row(make_results(), "x", ["paper", "leakfree"]) == "x †"
    assert mark_row(make_results(verdict="off protocol"), "x", ["leakfree"]) == "x * †"
    assert mark_off(make_results(verdict="off protocol"), "some", ["y", "x"]) == "some *"
    assert mark_off(make_results(verdict="off protocol"), "some", ["y", "z"]) == "some"
    assert list_protocols(make_results(), ["y"]) == ["paper"]
    assert list_protocols(make_results(), ["y", "z"]) == ["paper", "leakfree"]


def test_rows_without_a_printed_number_are_off_protocol_by_their_departures():
    assert series.list_off(make_results()) == set()
    off = make_results(verdict="off protocol", departures=("epochs = 6 instead of 100",))
    assert series.list_off(off) == {"x", "z"}
    off = make_results(departures=("epochs = 6 instead of 100",))
    assert [mark_row(off, row, ["leakfree"]) for row in ("x", "z")] == ["x †", "z *"]
    assert "A star marks" in explain(off, ["leakfree"], ["z"], positive_class="ill")
    assert "A star marks" not in explain(off, ["leakfree"], ["x"], positive_class="ill")
    assert build_panel(off, "leakfree", {"s": {"a": "x"}}).title == "leak-free, n = 40"
    assert build_panel(off, "leakfree", {"s": {"a": "x", "b": "z"}}).title == "leak-free, n = 40 *"


def test_panels_hold_percents_of_what_was_run():
    series = {"s": {"a": "x", "b": "y"}, "t": {"a": "y"}}
    panel = build_panel(make_results(), "leakfree", series, {"x": 91.0})
    assert list(panel.series) == ["s"]
    assert list(panel.series["s"]) == ["a"]
    value = panel.series["s"]["a"]
    assert (value.mean, value.low, value.high) == pytest.approx((60, 50, 70))
    assert (value.doubtful, value.reference) == (True, 91.0)
    assert panel.title == "leak-free, n = 40"
    assert panel.level == pytest.approx(55)
