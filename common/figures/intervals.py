"""Figures of measured values with their intervals: bars, values by step, the forest plot, a metric by share of labels.

Whatever differs in colour differs in hatching, marker or line style as well, so that a print in grey tells it apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    SKY,
    SMALL,
    VERMILION,
    YELLOW,
    IntervalLine,
    add_legend,
    new_figure,
    pick_style,
    style_axes,
)

BARS = ((SKY, BLACK), (BLUE, "white"), (YELLOW, BLACK), (BLACK, "white"))  # light and dark by turns, and what is legible on it
STEPS = (BLUE, VERMILION, GREEN, BLACK)
HATCH = "xxxx"


@dataclass(frozen=True)
class Value:
    """A measured value with the limits of its interval (None: there is none); all numbers in the unit of the figure's label."""

    mean: float
    low: float | None = None
    high: float | None = None
    doubtful: bool = False  # drawn hatched or hollow
    reference: float | None = None  # another's value of the same quantity


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a figure."""

    title: str
    series: Mapping[str, Mapping[str, Value]]  # name of the series -> group or step -> value
    level: float | None = None  # what all values are held against, such as guessing, in their unit


def plot_bars(
    panels: Sequence[Panel], *, label: str, doubtful: str = "", reference: str = "", level: str = "", top: float | None = None
) -> Figure:
    """Grouped bars with intervals, a panel beside the other, each mean written at the foot of its bar.

    label: the quantity with its unit; top: its highest possible value, in that unit. doubtful, reference, level: what the
    legend says of hatched bars, of diamonds and of the dotted line. Where a bar has no value stands "not run".
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
                if value.doubtful:
                    axes.bar(x, value.mean, 0.92 * width, hatch=HATCH, facecolor="white", edgecolor=face)
                else:
                    axes.bar(x, value.mean, 0.92 * width, color=face)
                _draw_limits(axes, x, value, BLACK)
                if value.reference is not None:
                    aside = x + 0.3 * width  # so that it does not cover the interval
                    axes.plot(aside, value.reference, "D", color=BLACK, markerfacecolor="white", markersize=4.5)
                ink, ground = (BLACK, "white") if value.doubtful else (ink, face)
                axes.annotate(
                    f"{value.mean:.1f}", (x, 0), (0, 4), textcoords="offset points", ha="center", zorder=4, color=ink,
                    bbox={"facecolor": ground, "edgecolor": "none", "pad": 1}, fontsize=SMALL,
                )  # fmt: skip
        style_axes(axes, title=panel.title, y=label if panel is panels[0] else "")
        axes.grid(False, axis="x")
        axes.set_xticks(range(len(groups)), groups)
        axes.set_xlim(-0.55, len(groups) - 0.45)
        axes.set_ylim(0, top and 1.04 * top)
    handles: list[Artist] = [Patch(color=BARS[number % len(BARS)][0], label=name) for number, name in enumerate(names)]
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

    x, label: what the two axes show, with units; ringed: series -> its step to be ringed. ring, doubtful, level: what the
    legend says of ringed points, of hollow points and of the dotted line.
    """
    names, _ = _list_keys(panels)
    ringed = ringed or {}
    figure = new_figure(0.8 + len(panels) * max(2.6, 0.6 + 0.5 * len(steps)), 4.0)
    for axes, panel in zip(_split(figure, panels), panels, strict=True):
        _draw_level(axes, panel)
        for number, (name, values) in enumerate(panel.series.items()):
            number = names.index(name)
            colour, line, marker = pick_style(number, STEPS)
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
    handles: list[Artist] = []
    for number, name in enumerate(names):
        colour, line, marker = pick_style(number, STEPS)
        handles.append(Line2D([], [], color=colour, linestyle=line, marker=marker, markersize=5.5, label=name))
    if any(step in panel.series.get(name, {}) for panel in panels for name, step in ringed.items()):
        circle = Line2D([], [], color=BLACK, marker="o", markerfacecolor="none", markersize=11, linestyle="none", label=ring)
        handles.append(circle)
    if any(value.doubtful for value in _list_values(panels)):
        handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linestyle="none", label=doubtful))
    _add_legend(figure, panels, handles, level)
    return figure


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


def _add_legend(figure: Figure, panels: Sequence[Panel], handles: list[Artist], level: str) -> None:
    if any(panel.level is not None for panel in panels):
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1)), linewidth=1.4, label=level))
    add_legend(figure, handles)


def plot_intervals(lines: Sequence[IntervalLine], *, label: str, scale: float = 100.0, say: Callable[[str], str] = str) -> Figure:
    """Forest plot, a line for each row: the paper's value with its tolerance, ours under both protocols with intervals.

    Beside a line stands its verdict, in the words of `say`. Numbers of `lines` are fractions; label: the quantity with the
    unit on the axis; scale: factor from a fraction to that unit. Dotted strokes: the rate of always giving the most frequent
    class, of each protocol's own test set. ValueError without lines.
    """
    if not lines:
        raise ValueError("no lines to plot")
    figure = new_figure(7.2, 1.3 + 0.46 * len(lines))
    axes = figure.subplots()
    kinds = (
        ("paper", ("tolerance",), "paper, 95 % sampling error", BLACK, "D", 0.24),
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
        if line.verdict:
            beside = axes.get_yaxis_transform()  # x in shares of the axes, y in lines
            axes.text(1.015, position, say(line.verdict), transform=beside, va="center", fontsize=SMALL, color=BLACK)
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
        if any(getattr(line, name) is not None for line in lines)
    ]
    majority = "always the most frequent class of the test set"
    handles.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1)), linewidth=1.4, label=majority))
    add_legend(figure, handles, "outside upper left")
    return figure


def plot_shares(series: Mapping[str, Sequence[tuple[float, float, float | None, float | None]]], *, label: str) -> Figure:
    """A metric against the share of the training cases that bear a label (given in 0..1, drawn in %), a line for each series,
    broken where it lacks a share that another one has.

    series: name -> points (share, mean, low, high) in any order; low and high are None where there is no interval; mean, low
    and high in the unit of `label`, which names the metric.
    """
    figure = new_figure(5.2, 3.4)
    axes = figure.subplots()
    every = sorted({point[0] for points in series.values() for point in points})
    for number, (name, given) in enumerate(series.items()):
        known = {point[0]: point for point in given}
        points = [known.get(share, (share, np.nan, None, None)) for share in every]
        share = [100 * point[0] for point in points]
        mean = np.array([point[1] for point in points], dtype=float)
        errors = np.array([[m - (m if low is None else low), (m if high is None else high) - m] for _, m, low, high in points]).T
        colour, line, marker = pick_style(number)
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
    style_axes(axes, x="labelled share of the training cases (%)", y=f"{label}, 95 % intervals")
    ticks = [round(100 * share, 6) for share in every]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    add_legend(figure, axes.get_legend_handles_labels()[0])
    return figure
