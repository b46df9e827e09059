"""Kinds of figures beside those of figures.py: bars and steps with intervals, maps laid over pictures; what captions say.

Colours, line styles and sizes are those of figures.py; what a colour says, a hatch, a marker or a line says again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.cli import PROTOCOLS
from common.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LINES,
    MARKERS,
    NORMAL,
    SKY,
    SMALL,
    VERMILION,
    YELLOW,
    new_figure,
    plot_image_grid,
    style_axes,
)
from common.findings import PROTOCOL_NAMES
from common.results import Results, RowResult
from common.verdicts import OFF_PROTOCOL

BARS = ((SKY, BLACK), (BLUE, "white"), (YELLOW, BLACK), (BLACK, "white"))  # light and dark by turns, and what is legible on it
STEPS = (BLUE, VERMILION, GREEN, BLACK)
HATCH = "xxxx"
COLLAPSED = "one class for all cases in at least one seed"
MAJORITY = "always the most frequent class of the test set"


@dataclass(frozen=True)
class Value:
    """A measured value with the limits of its interval (None: there is none)."""

    mean: float
    low: float | None = None
    high: float | None = None
    doubtful: bool = False  # drawn hatched or hollow
    reference: float | None = None  # another's value of the same quantity


@dataclass(frozen=True)
class Panel:
    """One axes: series -> group (or step) -> value; level: a value that all are held against, such as guessing."""

    title: str
    series: Mapping[str, Mapping[str, Value]]
    level: float | None = None


def plot_bars(
    panels: Sequence[Panel], *, label: str, doubtful: str = "", reference: str = "", level: str = "", top: float | None = None
) -> Figure:
    """Grouped bars with intervals, a panel beside the other, each mean written at the foot of its bar.

    label: the quantity with its unit; doubtful, reference, level: what the legend says of hatched bars, of diamonds and of the
    dotted line; top: highest possible value. A bar without a value is marked "not run".
    """
    names, groups = _list_keys(panels)
    figure = new_figure(0.9 + len(panels) * (0.3 + len(groups) * (0.25 + 0.42 * len(names))), 3.9)
    width = 0.8 / len(names)
    for axes, panel in zip(_split(figure, panels), panels, strict=True):
        _draw_level(axes, panel)
        for number, name in enumerate(names):
            for position, group in enumerate(groups):
                face, ink = BARS[number % len(BARS)]
                x = position + width * (number - (len(names) - 1) / 2)
                value = panel.series.get(name, {}).get(group)
                if value is None:
                    axes.text(x, 0, " not run", rotation=90, ha="center", va="bottom", fontsize=SMALL, color=GREY)
                    continue
                hatch = {"hatch": HATCH, "facecolor": "white", "edgecolor": face} if value.doubtful else {"color": face}
                axes.bar(x, value.mean, 0.92 * width, **hatch)
                _draw_limits(axes, x, value, BLACK)
                if value.reference is not None:
                    aside = x + 0.3 * width  # so that it does not cover the interval
                    axes.plot(aside, value.reference, "D", color=BLACK, markerfacecolor="white", markersize=4.5)
                ink, ground = (BLACK, "white") if value.doubtful else (ink, face)
                style = {"color": ink, "bbox": {"facecolor": ground, "edgecolor": "none", "pad": 1}, "fontsize": SMALL}
                axes.annotate(f"{value.mean:.1f}", (x, 0), (0, 4), textcoords="offset points", ha="center", zorder=4, **style)
        style_axes(axes, title=panel.title, y=label if panel is panels[0] else "")
        axes.grid(False, axis="x")
        axes.set_xticks(range(len(groups)), groups)
        axes.set_xlim(-0.55, len(groups) - 0.45)
        axes.set_ylim(0, top and 1.04 * top)
    handles = [Patch(color=BARS[number % len(BARS)][0], label=name) for number, name in enumerate(names)]
    values = _list_values(panels)
    if any(value.reference is not None for value in values):
        handles.append(Line2D([], [], color=BLACK, marker="D", markerfacecolor="white", linestyle="none", label=reference))
    if any(value.doubtful for value in values):
        handles.append(Patch(facecolor="white", edgecolor=GREY, hatch=HATCH, label=doubtful))
    _add_legend(figure, panels, handles, level)
    return figure


def plot_steps(
    panels: Sequence[Panel],
    steps: Sequence[str],
    *,
    x: str,
    label: str,
    ringed: Mapping[str, str] | None = None,
    ring: str = "",
    doubtful: str = "",
    level: str = "",
) -> Figure:
    """Values against ordered steps, one line a series, a panel beside the other. Steps without a value are passed over.

    x, label: the axes with their units; ringed: series -> step to be ringed; ring, doubtful, level: what the legend says of
    ringed points, of hollow points and of the dotted line.
    """
    names, _ = _list_keys(panels)
    ringed = ringed or {}
    figure = new_figure(0.8 + len(panels) * max(2.6, 0.6 + 0.5 * len(steps)), 4.0)
    for axes, panel in zip(_split(figure, panels), panels, strict=True):
        _draw_level(axes, panel)
        for number, (name, values) in enumerate(panel.series.items()):
            number = names.index(name)
            colour, line, marker = (style[number % len(style)] for style in (STEPS, LINES, MARKERS))
            # Series are moved apart a little, so that their intervals do not cover each other.
            places = {step: steps.index(step) + 0.16 * (number - (len(names) - 1) / 2) for step in steps if step in values}
            axes.plot(list(places.values()), [values[step].mean for step in places], color=colour, linestyle=line, linewidth=1.4)
            for step, place in places.items():
                value = values[step]
                _draw_limits(axes, place, value, colour)
                face = "white" if value.doubtful else colour
                axes.plot(place, value.mean, marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=3)
                if ringed.get(name) == step:
                    axes.plot(place, value.mean, "o", color=BLACK, markerfacecolor="none", markersize=13, zorder=4)
        style_axes(axes, title=panel.title, x=x, y=label if panel is panels[0] else "")
        axes.set_xticks(range(len(steps)), steps)
        axes.set_xlim(-0.5, len(steps) - 0.5)
    handles = []
    for number, name in enumerate(names):
        colour, line, marker = (style[number % len(style)] for style in (STEPS, LINES, MARKERS))
        handles.append(Line2D([], [], color=colour, linestyle=line, marker=marker, markersize=5.5, label=name))
    if any(step in panel.series.get(name, {}) for panel in panels for name, step in ringed.items()):
        plain = {"color": BLACK, "markerfacecolor": "none", "linestyle": "none"}
        handles.append(Line2D([], [], marker="o", markersize=11, label=ring, **plain))
    if any(value.doubtful for value in _list_values(panels)):
        handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linestyle="none", label=doubtful))
    _add_legend(figure, panels, handles, level)
    return figure


def blend_map(image: np.ndarray, values: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Colour picture uint8 (h, w, 3): image (h, w), (h, w, 1) or (h, w, 3) in 0..255 under a map (h, w) in [0, 1].

    The colours are transparent where the map is 0 and have the opacity `strength` where it is 1.
    """
    opacity = strength * values[..., None]
    colours = 255 * colormaps["inferno"](values)[..., :3]
    image = np.asarray(image, float)
    image = image[..., None] if image.ndim == 2 else image
    return np.rint((1 - opacity) * image + opacity * colours).astype(np.uint8)


def plot_overlays(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray | None],
    titles: Sequence[str],
    *,
    columns: int,
    label: str,
) -> Figure:
    """Pictures uint8 (h, w), each under its map (h, w) in [0, 1] if it has one, with a colour bar.

    A line bounds what is above half of the map's scale, so that it shows without colour; label: what the maps are.
    """
    blended = [image if values is None else blend_map(image, values) for image, values in zip(images, maps, strict=True)]
    figure = plot_image_grid(blended, titles, columns=columns)
    figure.set_size_inches(figure.get_figwidth() + 1.1, figure.get_figheight())  # room for the colour bar
    for axes, values in zip(figure.axes, maps, strict=False):
        if values is not None and values.min() < 0.5 < values.max():
            axes.contour(values, levels=[0.5], colors=BLACK, linewidths=2.2)
            axes.contour(values, levels=[0.5], colors="white", linewidths=1.0)
    scale = np.linspace(0, 1, 256)
    shown = ListedColormap(blend_map(np.full((1, 256), 128), scale[None])[0] / 255)  # as over a middle grey
    bar = figure.colorbar(ScalarMappable(cmap=shown), ax=figure.axes, shrink=0.7, pad=0.02)
    bar.ax.axhline(0.5, color="white", linewidth=1.0)
    bar.set_label(label, fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def mark_cells(figure: Figure, marked: Sequence[np.ndarray], mark: str) -> None:
    """Add a mark to numbers of a figure of `figures.plot_heatmap`; marked: bool (rows, columns) of each panel."""
    for axes, of_panel in zip(figure.axes, marked, strict=False):
        for text in axes.texts:
            column, row = (int(place) for place in text.get_position())
            if of_panel[row, column]:
                text.set_text(text.get_text() + mark)


def join_stages(
    stages: Sequence[Mapping[Any, Mapping[str, Sequence[float]]]],
) -> tuple[dict[Any, dict[str, np.ndarray]], list[int]]:
    """Stages of a training end to end, for `figures.plot_history`: {seed: curves}, and the epoch where each stage ends.

    stages: {seed: {loss, accuracy[, val_loss, val_accuracy]}} of each stage. A stage takes as many epochs as its longest run;
    shorter runs are filled with NaN. A seed may lack a stage.
    """
    joined, ends = {seed: {} for stage in stages for seed in stage}, [0]
    for stage in stages:
        length = max((len(values) for curves in stage.values() for values in curves.values()), default=0)
        for seed, curves in joined.items():
            for name in sorted({name for other in stages for name in other.get(seed, {})}):
                values = np.asarray(stage.get(seed, {}).get(name, ()), dtype=float)
                padded = np.concatenate([values, np.full(length - len(values), np.nan)])
                curves[name] = np.concatenate([curves.get(name, np.empty(0)), padded])
        ends.append(ends[-1] + length)
    return joined, ends[1:]


# -------------------------------------------------------------------------------------- what results.json says of a figure


def find_rows(results: Results, protocol: str) -> dict[str, RowResult]:
    """Row -> its entry in the results of a protocol."""
    return {entry.row: entry for entry in results.rows if entry.protocol == protocol}


def list_protocols(results: Results, rows: Iterable[str]) -> list[str]:
    """Protocols under which at least one of the rows was run."""
    wanted = set(rows)
    return [protocol for protocol in PROTOCOLS if wanted & set(find_rows(results, protocol))]


def is_collapsed(results: Results, row: str, protocol: str) -> bool:
    """Whether the row gave all cases one class in a seed."""
    return any((entry.row, entry.protocol) == (row, protocol) for entry in results.extra.collapsed)


def list_off(results: Results) -> set[str]:
    """Rows that were trained otherwise than published."""
    judged = {claim.row for claim in results.claims if claim.verdict == OFF_PROTOCOL}
    return judged | {row.row for row in results.rows if row.departures}


def mark_off(results: Results, name: str, rows: Iterable[str]) -> str:
    """The name, with a star if any of the rows was trained off protocol."""
    return name + " *" * bool(set(rows) & list_off(results))


def mark_row(results: Results, row: str, protocols: Sequence[str]) -> str:
    """The row's name, with a star if trained off protocol, with a dagger if it collapsed under one of the protocols."""
    return mark_off(results, row, [row]) + " †" * any(is_collapsed(results, row, protocol) for protocol in protocols)


def explain(
    results: Results,
    protocols: Sequence[str],
    rows: Sequence[str],
    *,
    positive_class: str,
    mark: str = "Dagger",
    intervals: bool = True,
) -> str:
    """The end of a caption: test cases and seeds, what our intervals are, what the marks of `rows` mean.

    mark: how rows that collapsed to one class are marked; intervals: whether the figure shows intervals. For runs on one
    data set.
    """
    (dataset,) = results.datasets
    known, sentences = dataset.patients_known is not False, []
    for protocol in protocols:
        entry = next(entry for row, entry in find_rows(results, protocol).items() if row in rows)
        patients = f" of {entry.patients} patients" if known else ""
        seeds = f"{len(entry.seeds)} seed" + "s" * (len(entry.seeds) > 1)
        cases = f"n = {entry.n} test cases ({entry.positives} {positive_class}){patients}, {seeds}."
        sentences.append(f"{PROTOCOL_NAMES[protocol].capitalize()}: {cases}")
    if intervals:
        sentences.append(f"Our 95 % intervals resample {'patients' if known else 'cases, as no patients are known'}.")
    if any(is_collapsed(results, row, protocol) for row in rows for protocol in protocols):
        sentences.append(f"{mark}: {COLLAPSED}.")
    if set(rows) & list_off(results):
        sentences.append("A star marks trainings off protocol (see the notes in the tables).")
    return " ".join(sentences)


def read_accuracy(results: Results, row: str, protocol: str, reference: float | None = None) -> Value | None:
    """Accuracy in percent with its interval; None if the row was not run."""
    if (entry := find_rows(results, protocol).get(row)) is None:
        return None
    accuracy = entry.metrics["accuracy"]
    mean, low, high = (None if value is None else 100 * value for value in (accuracy.mean, accuracy.low, accuracy.high))
    return Value(mean, low, high, is_collapsed(results, row, protocol), reference)


def build_panel(
    results: Results,
    protocol: str,
    series: Mapping[str, Mapping[str, str]],
    references: Mapping[str, float] | None = None,
) -> Panel:
    """Panel of accuracies in percent under a protocol: series -> group -> row; references: row -> another's value.

    Rows that were not run are left out; the level is the majority rate of the test set.
    """
    found = {
        name: {group: read_accuracy(results, row, protocol, (references or {}).get(row)) for group, row in rows.items()}
        for name, rows in series.items()
    }
    wanted = {row for rows in series.values() for row in rows.values()}
    entry = next(entry for row, entry in find_rows(results, protocol).items() if row in wanted)
    title = mark_off(results, f"{PROTOCOL_NAMES[protocol]}, n = {entry.n}", wanted)
    known = {name: {group: value for group, value in values.items() if value} for name, values in found.items()}
    level = 100 * entry.metrics["majority_rate"].mean
    return Panel(title, {name: values for name, values in known.items() if values}, level)


def read_curves(history: pd.DataFrame, seed: int, stage: str) -> dict[str, np.ndarray]:
    """Curves by epoch of one seed and stage, for `figures.plot_history`, without those that were not recorded."""
    part = history[(history["seed"] == seed) & (history["stage"] == stage)].sort_values("epoch")
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return {name: part[name].to_numpy() for name in names if name in part and part[name].notna().all()}


def _list_keys(panels: Sequence[Panel]) -> tuple[list[str], list[str]]:
    """Names of the series and of their groups, each once, in the order in which they come."""
    names = dict.fromkeys(name for panel in panels for name in panel.series)
    groups = dict.fromkeys(group for panel in panels for series in panel.series.values() for group in series)
    return list(names), list(groups)


def _list_values(panels: Sequence[Panel]) -> list[Value]:
    return [value for panel in panels for series in panel.series.values() for value in series.values()]


def _split(figure: Figure, panels: Sequence[Panel]) -> list[Axes]:
    return list(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0])


def _draw_level(axes: Axes, panel: Panel) -> None:
    if panel.level is not None:
        axes.axhline(panel.level, color=GREY, linestyle=(0, (1, 1)), linewidth=1.4, zorder=1.5)


def _draw_limits(axes: Axes, x: float, value: Value, colour: str) -> None:
    if value.low is not None and value.high is not None:
        errors = [[max(value.mean - value.low, 0)], [max(value.high - value.mean, 0)]]
        axes.errorbar(x, value.mean, yerr=errors, color=colour, elinewidth=1, capsize=3)


def _add_legend(figure: Figure, panels: Sequence[Panel], handles: list, level: str) -> None:
    if any(panel.level is not None for panel in panels):
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1)), linewidth=1.4, label=level))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
