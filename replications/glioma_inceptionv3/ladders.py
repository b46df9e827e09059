"""The figure of the decomposition: accuracy by how the list is divided, and what each division takes away."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from common.figures.intervals import Value
from common.figures.style import BLACK, BLUE, GREY, SMALL, VERMILION, Picture, new_figure, style_axes
from common.files import slug
from common.records.results import Results
from common.report.series import find_rows, read_accuracy
from replications.glioma_inceptionv3.config import BACKBONES, VIEWS
from replications.glioma_inceptionv3.rows import AS_RUN, CLEAN, LEAKFREE, ONCE, REPORT, list_modes, name_protocol, name_row

LISTINGS = {
    AS_RUN: "every file\ntwice\n(as run)",
    ONCE: "once",
    REPORT: "falling\nrate\n(report)",
    CLEAN: "no near-\nduplicates",
    LEAKFREE: "subjects\napart",
}
TRUE, SHUFFLED = "true grades", "grades shuffled among subjects"
LOOKS: dict[str, tuple[str, LineStyleType, str, str]] = {  # colour, line, marker, its face
    TRUE: (BLUE, "-", "o", BLUE), SHUFFLED: (VERMILION, "--", "s", "white")
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """What is lost between two modes of the decomposition, in points of accuracy, with the same of shuffled grades."""

    name: str
    true: Value
    shuffled: Value | None


def list_setups(results: Results) -> list[tuple[str, str]]:
    """(backbone, view) of which at least one mode was run."""
    run = {row.row for row in results.rows}
    return [(b, v) for b in BACKBONES for v in VIEWS if run & {name_row(mode, b, v) for mode in list_modes()}]


def draw_ladders(steps: Mapping[tuple[str, str], Sequence[Step]], results: Results) -> Iterator[Picture]:
    """Where the accuracy comes from, a picture for each backbone: the modes from least to most apart, and what each step takes
    away. steps: (backbone, view) -> the steps of the decomposition, the first one first."""
    setups = list_setups(results)
    for backbone in dict.fromkeys(b for b, _ in setups):
        views = [view for b, view in setups if b == backbone]
        figure = new_figure(8.6, 0.6 + 3.1 * len(views))
        panels = figure.subplots(len(views), 2, squeeze=False, width_ratios=(1.25, 1))
        for view, (left, right) in zip(views, panels, strict=True):
            if right is not panels[0, 1]:
                right.sharex(panels[0, 1])
            _draw_modes(left, results, backbone, view)
            _draw_steps(right, steps.get((backbone, view), ()), f"{view}: what each step takes away")
        handles = [
            Line2D([], [], color=colour, linestyle=line, marker=marker, markerfacecolor=face, markersize=5.5, label=name)
            for name, (colour, line, marker, face) in LOOKS.items()
        ]
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1)), linewidth=1.4, label="always the most frequent grade"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
        entry = next(row for row in results.rows if row.row in {name_row(m, backbone, v) for m in list_modes() for v in views})
        caption = (
            "Left: accuracy of slices by how their list is divided; n: different entries tested in all runs. Right: differences "
            "of neighbours. Bars: 95 % intervals, the slices of a subject together. Shuffled: the grades permuted once among the "
            f"{entry.patients} subjects, so that a slice says nothing of its grade but whose it is. Dotted: of the true grades. "
            f"{backbone}; data: {results.datasets[0].name}."
        )
        title = f"Where the accuracy comes from: {backbone}"
        yield Picture(f"decomposition-{slug(backbone)}.png", title, caption, figure)


def _draw_modes(axes: Axes, results: Results, backbone: str, view: str) -> None:
    modes = [mode for mode in list_modes() if _find_value(results, mode, backbone, view, False) is not None]
    for number, (name, (colour, line, marker, face)) in enumerate(LOOKS.items()):
        values = {mode: _find_value(results, mode, backbone, view, name == SHUFFLED) for mode in modes}
        known = [(place + 0.1 * (number - 0.5), value) for place, mode in enumerate(modes) if (value := values[mode]) is not None]
        axes.plot([x for x, _ in known], [value.mean for _, value in known], color=colour, linestyle=line, linewidth=1.4)
        for x, value in known:
            _draw_value(axes, x, value, colour, marker, face, upright=True)
    for place, mode in enumerate(modes):
        rate = find_rows(results, name_protocol(mode))[name_row(mode, backbone, view)].metrics["majority_rate"].mean
        if rate is not None:
            axes.plot([place - 0.35, place + 0.35], [100 * rate] * 2, color=GREY, linestyle=(0, (1, 1)), linewidth=1.4, zorder=1)
    entries = [find_rows(results, name_protocol(mode))[name_row(mode, backbone, view)] for mode in modes]
    style_axes(axes, title=f"{view}: accuracy by division of the list", y="accuracy (%)")
    axes.set_xticks(range(len(modes)), [f"{LISTINGS[mode]}\nn = {entry.n}" for mode, entry in zip(modes, entries, strict=True)])
    axes.set_xlim(-0.5, len(modes) - 0.5)
    axes.set_ylim(0, 104)


def _find_value(results: Results, mode: str, backbone: str, view: str, shuffled: bool) -> Value | None:
    return read_accuracy(results, name_row(mode, backbone, view, shuffled=shuffled), name_protocol(mode))


def _draw_value(axes: Axes, place: float, value: Value, colour: str, marker: str, face: str, *, upright: bool) -> None:
    x, y = (place, value.mean) if upright else (value.mean, place)
    if value.low is not None and value.high is not None:
        errors = [[max(value.mean - value.low, 0)], [max(value.high - value.mean, 0)]]
        x_errors, y_errors = (None, errors) if upright else (errors, None)
        axes.errorbar(x, y, xerr=x_errors, yerr=y_errors, color=colour, elinewidth=1.2, capsize=3)
    axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=3)


def _draw_steps(axes: Axes, steps: Sequence[Step], title: str) -> None:
    style_axes(axes, title=title, x="lost, or left, accuracy (points)")
    if not steps:
        axes.text(0.5, 0.5, "needs the modes on both sides of a step", ha="center", fontsize=SMALL, transform=axes.transAxes)
    for position, step in enumerate(reversed(steps)):
        for value, offset, name in ((step.true, 0.13, TRUE), (step.shuffled, -0.13, SHUFFLED)):
            if value is not None:
                colour, _, marker, face = LOOKS[name]
                _draw_value(axes, position + offset, value, colour, marker, face, upright=False)
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.grid(False, axis="y")
    axes.set_yticks(range(len(steps)), [textwrap.fill(step.name, 22) for step in reversed(steps)])
    axes.set_ylim(-0.6, max(len(steps), 1) - 0.4)
