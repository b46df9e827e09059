"""Figures, one function a kind. Each returns a matplotlib Figure; `save_figure` writes it.

Colours are those of Okabe and Ito (distinct for colour-blind readers); line styles, markers and hatching repeat the
distinction, so that every figure reads in grey.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from common.files import replace_file

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442",
)  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SMALL, NORMAL = 8, 9  # font sizes in points
GREY = "#5b6470"
DPI = 200
SYNTHETIC = "synthetic data: these numbers say nothing about the paper"


@dataclass(frozen=True)
class Picture:
    """A finished figure with what a report says of it."""

    file: str  # name of its PNG
    title: str
    caption: str
    figure: Figure
    shows_cases: bool = False  # pictures of patients


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches with the Agg canvas; nothing is registered with pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Title and labels (with units) in one size everywhere, light grid, no box."""
    axes.set_title(title, fontsize=NORMAL, loc="left")
    axes.set_xlabel(x, fontsize=NORMAL)
    axes.set_ylabel(y, fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: Path, synthetic: bool) -> None:
    """Write a PNG at 200 dpi, whole or not at all; equal figures give equal bytes.

    `synthetic` puts a strip above the picture that says so.
    """
    pixels = _render(figure)
    if synthetic:
        width = pixels.shape[1] / DPI
        strip = new_figure(width + 1 / DPI, 0.24)  # a pixel more: sizes in inches are rounded down
        strip.set_facecolor(VERMILION)
        text = SYNTHETIC if width > 4 else "synthetic data"
        strip.text(0.5, 0.5, text, color="white", fontsize=SMALL, weight="bold", ha="center", va="center_baseline")
        pixels = np.vstack([_render(strip)[:, : pixels.shape[1]], pixels])
    with replace_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="png", dpi=(DPI, DPI))


def _render(figure: Figure) -> np.ndarray:
    """The drawn figure, uint8 (h, w, 3)."""
    figure.set_dpi(DPI)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def plot_confusion_matrices(
    matrices: Sequence[tuple[str, np.ndarray]], class_names: Sequence[str], columns: int = 4
) -> Figure:
    """One panel per (title, (C, C) counts with the truth in rows); counts, and percentages of each row."""
    columns = min(columns, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    side = max(2.3, 0.75 * len(class_names))
    figure = new_figure(side * columns + 0.8, (side + 0.55) * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for position, axes in enumerate(panels.flat):
        if position >= len(matrices):
            axes.set_axis_off()
            continue
        title, counts = matrices[position]
        counts = np.asarray(counts)
        totals = counts.sum(axis=1, keepdims=True)
        shares = 100 * np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for (truth, answer), count in np.ndenumerate(counts):
            percent = f"{shares[truth, answer]:.1f} %" if totals[truth, 0] else "no case"
            axes.text(
                answer,
                truth,
                f"{count:,}\n{percent}",
                ha="center",
                va="center",
                fontsize=NORMAL,
                color="white" if shares[truth, answer] > 55 else "black",
            )
        style_axes(
            axes,
            title=f"{title}\nn = {counts.sum():,}",
            x="predicted" if position + columns >= len(matrices) else "",
            y="truth" if position % columns == 0 else "",
        )
        axes.grid(False)
        axes.set_xticks(range(len(class_names)), class_names)
        axes.set_yticks(range(len(class_names)), class_names, rotation=90, va="center")
    bar = figure.colorbar(image, ax=panels, shrink=0.7, pad=0.02)
    bar.set_label("share of the true class (%)", fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def plot_heatmap(
    panels: Sequence[tuple[str, np.ndarray]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    label: str,
    digits: int = 1,
) -> Figure:
    """Panels (title, values of rows x columns) on one colour scale, each cell annotated; NaN is hatched "not run".

    label: what the values are, with unit.
    """
    stacked = np.array([values for _, values in panels], dtype=float)
    if stacked.shape[1:] != (len(row_names), len(column_names)):
        raise ValueError(f"values of shape {stacked.shape[1:]} for {len(row_names)} rows, {len(column_names)} columns")
    known = stacked[np.isfinite(stacked)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    high = high if high > low else low + 1
    figure = new_figure(2.0 + len(panels) * (0.72 * len(column_names) + 0.35), 1.1 + 0.42 * len(row_names))
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    scale = matplotlib.colormaps["cividis"]
    for axes, (title, _), values in zip(all_axes, panels, stacked, strict=True):
        image = axes.imshow(values, cmap=scale, vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _alpha = scale((value - low) / (high - low))
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                axes.text(
                    column,
                    row,
                    f"{value:.{digits}f}",
                    ha="center",
                    va="center",
                    fontsize=NORMAL,
                    color="white" if dark else "black",
                )
            else:
                axes.add_patch(
                    Rectangle(
                        (column - 0.5, row - 0.5),
                        1,
                        1,
                        facecolor="white",
                        edgecolor="#aab2bd",
                        hatch="////",
                        linewidth=0,
                    )
                )
                axes.text(
                    column,
                    row,
                    "not run",
                    ha="center",
                    va="center",
                    fontsize=SMALL - 1,
                    color="black",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )
        style_axes(axes, title=title)
        axes.grid(False)
        axes.set_xticks(range(len(column_names)), column_names, rotation=20, ha="right")
        axes.set_yticks(range(len(row_names)), row_names)
    bar = figure.colorbar(image, ax=list(all_axes), pad=0.02)
    bar.set_label(label, fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


class IntervalLine(Protocol):
    """One line of a forest plot; numbers are fractions, None where there is none."""

    @property
    def row(self) -> str: ...
    @property
    def paper(self) -> float | None: ...
    @property
    def tolerance(self) -> float | None: ...
    @property
    def ours(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def leakfree(self) -> float | None: ...
    @property
    def leakfree_low(self) -> float | None: ...
    @property
    def leakfree_high(self) -> float | None: ...
    @property
    def majority(self) -> float | None: ...
    @property
    def leakfree_majority(self) -> float | None: ...


def plot_intervals(lines: Sequence[IntervalLine], *, label: str, scale: float = 100.0) -> Figure:
    """Forest plot, one line a row: the paper's value with its tolerance, ours under both protocols with intervals.

    lines: as `findings.collect_lines` gives them. label: the quantity on the axis with its unit; scale: factor onto that unit.
    """
    if not lines:
        raise ValueError("no lines to plot")
    figure = new_figure(7.2, 1.3 + 0.46 * len(lines))
    axes = figure.subplots()
    kinds = (
        ("paper", ("tolerance",), "paper, 95 % sampling tolerance", BLACK, "D", 0.24),
        ("ours", ("low", "high"), "ours, the paper's protocol, 95 % interval", BLUE, "o", 0.0),
        ("leakfree", ("leakfree_low", "leakfree_high"), "ours, leak-free, 95 % interval", VERMILION, "s", -0.24),
    )
    for position, line in enumerate(reversed(lines)):
        for name, bounds, _, colour, marker, offset in kinds:
            mean: float | None = getattr(line, name)
            if mean is None:
                continue
            limits = [getattr(line, bound) for bound in bounds]
            if None not in limits:
                low, high = (mean - limits[0], mean + limits[0]) if len(limits) == 1 else limits
                axes.plot(
                    [scale * low, scale * high],
                    [position + offset] * 2,
                    color=colour,
                    linewidth=1.6,
                    linestyle="-" if name != "leakfree" else (0, (3, 1)),
                )
            axes.plot(
                scale * mean,
                position + offset,
                marker=marker,
                color=colour,
                markersize=5,
                linestyle="none",
                markerfacecolor="white" if name == "leakfree" else colour,
            )
        # The leak-free test set is another one: its majority rate stands beside its own marker.
        for name, top, bottom in (("majority", 0.42, -0.12), ("leakfree_majority", -0.12, -0.42)):
            if (rate := getattr(line, name)) is not None:
                axes.plot(
                    [scale * rate] * 2,
                    [position + top, position + bottom],
                    color=GREY,
                    linewidth=1.4,
                    linestyle=(0, (1, 1)),
                )
        if position:
            axes.axhline(position - 0.5, color="#e3e6ea", linewidth=0.6)
    style_axes(axes, x=label)
    axes.grid(False, axis="y")
    axes.set_yticks(range(len(lines)), [line.row for line in reversed(lines)])
    axes.set_ylim(-0.6, len(lines) - 0.4)
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.6,
            label=text,
            linestyle="-" if name != "leakfree" else (0, (3, 1)),
            markerfacecolor="white" if name == "leakfree" else colour,
        )
        for name, _, text, colour, marker, _ in kinds
    ]
    majority = "always the most frequent class of the test set"
    handles.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1)), linewidth=1.4, label=majority))
    figure.legend(handles=handles, loc="outside upper left", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def plot_history(histories: Mapping[Any, Mapping[str, Sequence[float]]], *, title: str = "") -> Figure:
    """Loss and accuracy by epoch, training and validation.

    histories: {seed: {loss, accuracy[, val_loss, val_accuracy]}}, one value an epoch, of any lengths. Thin lines are
    seeds; the thick line is the mean of the seeds still training at that epoch.
    """
    figure = new_figure(7.2, 3.1)
    panels = figure.subplots(1, 2)
    drawn = {}
    labels = ("loss (cross-entropy)", "accuracy (%)")
    for axes, heading, name, label in zip(panels, (title, ""), ("loss", "accuracy"), labels, strict=True):
        scale = 100 if name == "accuracy" else 1
        for key, text, colour, line in ((name, "training", BLUE, "-"), (f"val_{name}", "validation", VERMILION, "--")):
            runs = [scale * np.asarray(run[key], dtype=float) for run in histories.values() if len(run.get(key, ()))]
            if not runs:
                continue
            for run in runs:
                axes.plot(range(1, len(run) + 1), run, color=colour, linestyle=line, linewidth=0.7, alpha=0.4)
            padded = np.full((len(runs), max(map(len, runs))), np.nan)
            for row, run in zip(padded, runs, strict=True):
                row[: len(run)] = run
            present = np.isfinite(padded)
            mean = np.where(present, padded, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
            (drawn[text],) = axes.plot(
                range(1, len(mean) + 1),
                np.where(present.any(axis=0), mean, np.nan),
                color=colour,
                linestyle=line,
                linewidth=2,
                label=f"{text}, mean of n = {len(runs)} seed{'s' if len(runs) > 1 else ''}",
            )
        style_axes(axes, title=heading, x="epoch", y=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if drawn:
        figure.legend(handles=list(drawn.values()), loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def plot_image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    columns: int = 4,
    captions: Sequence[str] = (),
    side: float = 1.5,
) -> Figure:
    """Images ((h, w), (h, w, 1) or (h, w, 3); uint8 0..255 or float 0..1) with titles above and captions below.

    side: inches of one image.
    """
    if len(titles) != len(images) or (captions and len(captions) != len(images)):
        raise ValueError(f"{len(images)} images, {len(titles)} titles, {len(captions)} captions")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    figure = new_figure((side + 0.15) * columns, (side + 0.35 + 0.16 * lines) * rows)
    for position, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_xticks([])
        axes.set_yticks([])
        if position >= len(images):
            axes.set_axis_off()
            continue
        image = np.squeeze(np.asarray(images[position]))
        axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, interpolation="nearest")
        axes.set_title(titles[position], fontsize=SMALL)
        if captions:
            axes.set_xlabel(captions[position], fontsize=SMALL)
    return figure


def plot_shares(
    series: Mapping[str, Sequence[tuple[float, float, float | None, float | None]]], *, label: str
) -> Figure:
    """A metric against the share of labelled training data.

    series: {name: (share in 0..1, mean, low, high) ...}; low and high None where there is no interval.
    label: the metric with its unit.
    """
    figure = new_figure(5.2, 3.4)
    axes = figure.subplots()
    for number, (name, points) in enumerate(series.items()):
        points = sorted(points)
        share = [100 * point[0] for point in points]
        mean = np.array([point[1] for point in points], dtype=float)
        errors = np.array(
            [[m - (m if low is None else low), (m if high is None else high) - m] for _, m, low, high in points]
        ).T
        colour, line, marker = (style[number % len(style)] for style in (COLOURS, LINES, MARKERS))
        # Neighbouring series are moved apart a little, so that their intervals do not cover each other.
        moved = np.array(share) + 0.7 * (number - (len(series) - 1) / 2)
        axes.errorbar(
            moved,
            mean,
            yerr=np.maximum(errors, 0),
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=5,
            linewidth=1.5,
            elinewidth=1,
            capsize=3,
            label=name,
        )
    style_axes(axes, x="labelled share of the training cases (%)", y=label)
    ticks = sorted({round(100 * point[0], 6) for points in series.values() for point in points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.legend(fontsize=SMALL, frameon=False, title="95 % intervals", title_fontsize=SMALL)
    return figure
