"""A figure of every kind, for the tests of figures."""

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from common.evaluation.statistics import GRID, average_roc, compute_roc
from common.figures.curves import RocCurve, plot_history, plot_reliability, plot_roc
from common.figures.grids import plot_confusion_matrices, plot_heatmap, plot_image_grid, plot_overlays
from common.figures.intervals import Panel, Value, plot_bars, plot_intervals, plot_shares, plot_steps

RANDOM = np.random.default_rng(0)
Y_TRUE = (np.arange(200) % 4 == 0).astype(int)
SCORES = [np.clip(0.3 * Y_TRUE + 0.5 * RANDOM.random(200), 0, 1) for _ in range(3)]
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
    verdict: str = "cannot tell"


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


def draw_bars() -> Figure:
    return plot_bars(PANELS, label="accuracy (%)", doubtful="doubtful", reference="printed", level="guessing", top=100)


def draw_steps() -> Figure:
    return plot_steps(
        STEPS, ["0", "1", "all"], x="layers", label="accuracy (%)", ringed={"net": "1", "other": "1"}, ring="best",
        doubtful="doubtful", level="guessing",
    )  # fmt: skip


def draw_overlays() -> Figure:
    return plot_overlays([GREY_IMAGE] * 2, [None, MAP], ["image", "map"], columns=2, label="evidence")


ALL = [
    draw_confusion, draw_heatmap, draw_intervals, draw_history, draw_images, draw_shares, draw_roc, draw_reliability,
    draw_bars, draw_steps, draw_overlays,
]  # fmt: skip


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")) if text.get_text()]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]
