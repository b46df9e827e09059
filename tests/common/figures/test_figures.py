"""Every kind of figure: size, labels, numbers shown, the mark of synthetic data."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from common.evaluation.statistics import GRID, average_roc, compute_roc
from common.figures.curves import RocCurve, plot_history, plot_reliability, plot_roc
from common.figures.grids import plot_confusion_matrices, plot_heatmap, plot_image_grid
from common.figures.intervals import plot_intervals, plot_shares
from common.figures.style import DPI, save_figure

RANDOM = np.random.default_rng(0)
Y_TRUE = (np.arange(200) % 4 == 0).astype(int)
SCORES = [np.clip(0.3 * Y_TRUE + 0.5 * RANDOM.random(200), 0, 1) for _ in range(3)]


@dataclass(frozen=True)
class Interval:
    """A line of a forest plot."""

    row: str = "net"
    paper: float | None = 0.9
    tolerance: float | None = 0.02
    ours: float | None = 0.88
    low: float | None = 0.86
    high: float | None = 0.9
    leakfree: float | None = 0.8
    leakfree_low: float | None = 0.77
    leakfree_high: float | None = 0.83
    majority: float | None = 0.7
    leakfree_majority: float | None = 0.75


LINE = Interval()


def draw_confusion() -> Figure:
    return plot_confusion_matrices([("net", np.array([[1299, 41], [92, 190]]))], ("benign", "malignant"))


def draw_heatmap() -> Figure:
    values = np.array([[92.5, np.nan], [80.0, 70.0]])
    return plot_heatmap([("paper", values), ("ours", values + 1)], ("a", "b"), ("x", "y"), label="accuracy (%)")


def draw_intervals() -> Figure:
    return plot_intervals([LINE, replace(LINE, row="other", ours=None)], label="accuracy (%)")


def draw_history() -> Figure:
    run = {"loss": [0.5, 0.4, 0.3], "accuracy": [0.7, 0.8, 0.9], "val_loss": [0.6, 0.5], "val_accuracy": [0.6, 0.7]}
    return plot_history({0: run, 1: {"loss": [0.7], "accuracy": [0.5]}}, title="net")


def draw_images() -> Figure:
    images = [RANDOM.integers(0, 256, (8, 8), dtype=np.uint8), RANDOM.random((8, 8, 1)), RANDOM.random((8, 8, 3))]
    return plot_image_grid(images, ["a", "b", "c"], columns=2, captions=["before", "after", "after"])


def draw_shares() -> Figure:
    return plot_shares({"a": [(0.5, 90, 88, 92), (0.1, 80, None, None)], "b": [(0.1, 70, 60, 75)]}, label="accuracy (%)")


def draw_roc() -> Figure:
    curve = make_curve("net", SCORES, (0.81, 0.92))
    return plot_roc([curve, make_curve("other", [1 - SCORES[0]], None)], title="data", positive_class="ill")


def make_curve(name: str, scores: list[np.ndarray], interval: tuple[float, float] | None) -> RocCurve:
    runs = [(Y_TRUE, score) for score in scores]
    heights, area = average_roc(runs)
    seeds = [compute_roc(*run)[:2] for run in runs]
    return RocCurve(name, seeds, (GRID, heights), area, interval, len(Y_TRUE), int(Y_TRUE.sum()))


def draw_reliability() -> Figure:
    return plot_reliability([("net", Y_TRUE, SCORES[0])], positive_class="ill")


ALL = [
    draw_confusion, draw_heatmap, draw_intervals, draw_history, draw_images, draw_shares, draw_roc, draw_reliability,
]  # fmt: skip


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")) if text.get_text()]


@pytest.mark.parametrize("draw", ALL)
def test_file_has_the_size_and_is_drawn(tmp_path, draw):
    figure = draw()
    save_figure(figure, tmp_path / "figures" / "a.png", synthetic=False)
    with Image.open(tmp_path / "figures" / "a.png") as image:
        assert image.size == tuple(np.floor(figure.get_size_inches() * DPI + 1e-6).astype(int))
        pixels = np.asarray(image.convert("L"))
    assert 0.02 < (pixels < 250).mean() < 0.98
    # Nothing is cut off at the edge of the paper.
    assert (np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]) > 250).all()
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["a.png"]


@pytest.mark.parametrize("draw", [draw for draw in ALL if draw is not draw_images])
def test_axes_are_labelled(draw):
    figure = draw()
    labels = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert len(labels - {""}) >= (1 if draw in (draw_heatmap, draw_intervals) else 2)


@pytest.mark.parametrize("draw", [draw for draw in ALL if draw is not draw_images])  # its pictures are random
def test_synthetic_data_are_marked(tmp_path, draw):
    """A strip above the picture, which itself stays as it is: nothing is covered."""
    save_figure(draw(), tmp_path / "marked.png", synthetic=True)
    save_figure(draw(), tmp_path / "plain.png", synthetic=False)
    with Image.open(tmp_path / "marked.png") as image, Image.open(tmp_path / "plain.png") as other:
        marked, plain = np.asarray(image), np.asarray(other)
    strip = marked[: len(marked) - len(plain)]
    np.testing.assert_array_equal(marked[len(strip) :], plain)
    assert (strip[0] == (0xD5, 0x5E, 0x00)).all()
    assert 0.01 < (strip.min(axis=2) > 200).mean() < 0.5  # white letters


def test_equal_figures_give_equal_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        save_figure(draw_confusion(), tmp_path / name, synthetic=False)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_confusion_matrices_show_counts_row_shares_and_n():
    shown = texts(draw_confusion())
    assert "1,299\n96.9 %" in shown
    assert "190\n67.4 %" in shown
    assert "net\nn = 1,622" in shown


def test_confusion_matrix_of_an_absent_class_divides_by_nothing():
    shown = texts(plot_confusion_matrices([("net", np.array([[0, 0], [1, 2]]))], ("a", "b")))
    assert shown.count("0\nno case") == 2


def test_heatmap_marks_what_was_not_run():
    figure = draw_heatmap()
    assert texts(figure).count("not run") == 2
    hatched = [patch for axes in figure.axes for patch in axes.patches if patch.get_hatch() == "////"]
    assert len(hatched) == 2
    with pytest.raises(ValueError, match="rows"):
        plot_heatmap([("paper", np.zeros((2, 3)))], ("a", "b"), ("x", "y"), label="")


def test_intervals_lie_where_the_numbers_are():
    axes = plot_intervals([LINE], label="accuracy (%)").axes[0]
    drawn = [tuple(np.round(line.get_xdata(), 6)) for line in axes.lines]
    for expected in [(88.0, 92.0), (90.0,), (86.0, 90.0), (88.0,), (77.0, 83.0), (80.0,), (70.0, 70.0), (75.0, 75.0)]:
        assert expected in drawn


def test_history_averages_the_seeds_still_training():
    loss = draw_history().axes[0]
    thick = [line for line in loss.lines if line.get_linewidth() == 2]
    assert np.allclose(thick[0].get_ydata(), [0.6, 0.4, 0.3])
    assert thick[0].get_label() == "training, mean of n = 2 seeds"
    assert thick[1].get_label() == "validation, mean of n = 1 seed"


def test_image_grid_needs_a_title_for_each_image():
    with pytest.raises(ValueError, match="2 images, 1 titles"):
        plot_image_grid([np.zeros((2, 2))] * 2, ["a"])


def test_series_differ_in_more_than_colour():
    lines = [line for line in draw_roc().axes[0].lines if line.get_linewidth() == 1.8]
    assert len({line.get_linestyle() for line in lines}) == len(lines) == 2


def test_roc_area_equals_the_share_of_ordered_pairs():
    score = np.round(SCORES[0], 1)  # with ties
    pairs = score[Y_TRUE == 1][:, None] - score[Y_TRUE == 0][None]
    assert compute_roc(Y_TRUE, score)[2] == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    with pytest.raises(ValueError, match="both classes"):
        compute_roc(np.ones(4), np.ones(4))


def test_average_roc_of_perfect_and_reversed_scores_is_the_middle():
    heights, area = average_roc([(Y_TRUE, Y_TRUE), (Y_TRUE, 1 - Y_TRUE)])
    assert area == pytest.approx(0.5)
    assert heights[250] == pytest.approx(0.5)


def test_roc_legend_gives_area_interval_and_n():
    figure = draw_roc()
    area = np.mean([compute_roc(Y_TRUE, score)[2] for score in SCORES])
    shown = texts(figure)
    assert f"net: AUC {area:.3f} [0.810, 0.920], 3 seeds" in shown
    assert any("n = 200, of which 50 ill" in text for text in shown)


def test_reliability_bins_hold_equal_numbers():
    figure = plot_reliability([("net", np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.7, 0.9]))], bins=2)
    (line,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(line.get_xydata(), [[0.15, 0], [0.8, 1]])
