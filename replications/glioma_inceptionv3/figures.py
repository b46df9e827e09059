"""The report's last three figures (learning rate, validation accuracy, test accuracy of ten runs), then ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.evaluation.metrics import count_confusion
from common.figures import grids
from common.figures.intervals import Value, plot_intervals
from common.figures.style import BLACK, BLUE, GREY, ORANGE, SKY, SMALL, VERMILION, Picture, new_figure, style_axes
from common.files import slug
from common.records.paper import Paper
from common.records.results import Results, RowResult
from common.report.series import find_rows, mark_row, read_accuracy
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.ladders import Step, draw_ladders, list_setups
from replications.glioma_inceptionv3.rows import (
    AREA,
    AS_RUN,
    CLASSIFIERS,
    LEAKFREE,
    LINEAR,
    RADIOMICS,
    REPORT,
    list_modes,
    name_baseline,
    name_classifier,
    name_protocol,
    name_row,
    name_subjects,
)


@dataclass(frozen=True)
class Attention:
    """Where the evidence for its grade lies in a slice."""

    title: str
    picture: np.ndarray  # uint8 (side, side)
    evidence: np.ndarray  # float (side, side) in [0, 1]
    network: str  # which one looks: backbone and new last layer


@dataclass(frozen=True)
class Sheet:
    """Some lesion slices of one grade, whole, uint8 (side, side) each, with the area of the lesion in pixels."""

    kept: Sequence[tuple[np.ndarray, int]]
    dropped: Sequence[tuple[np.ndarray, int]]


@dataclass(frozen=True)
class Shown:
    """All that the figures show, beside the results."""

    paper: Paper
    config: Config
    classes: Sequence[str]  # the grades at hand
    predictions: pd.DataFrame
    history: pd.DataFrame  # protocol, row, seed, epoch (steps done), val_accuracy (0..1)
    steps: Mapping[tuple[str, str], Sequence[Step]] = field(default_factory=dict)  # (backbone, view) -> the decomposition
    original: pd.DataFrame | None = None  # validation accuracies of the report's ten runs, 0..1; index: step
    attention: Sequence[Attention] = ()
    sheets: Mapping[str, Sheet] = field(default_factory=dict)  # grade -> slices


def draw_figures(shown: Shown, results: Results) -> Iterator[Picture]:
    """Every figure that there are numbers for."""
    of_report = (draw_figure_learning_rate, draw_figure_validation, draw_figure_test)
    for draw in (*of_report, draw_decomposition, draw_baselines, draw_confusions, draw_attention, draw_sheet):
        yield from draw(shown, results)


# ------------------------------------------------------------------------------------------------ figures of the report


def list_rates(config: Config) -> np.ndarray:
    """The learning rate of every step by the formula of section 4.1, its 0.1 written as the base rate: float64 (steps,)."""
    fall = np.log(config.learning_rate / config.learning_rate_end)
    return config.learning_rate * np.exp(-fall * np.arange(config.steps) / config.steps)


def draw_figure_learning_rate(shown: Shown, _results: Results) -> Iterator[Picture]:
    """Sec. 4.1: the learning rate, by the formula and as the script ran."""
    config, figure = shown.config, new_figure(5.2, 3.2)
    axes = figure.subplots()
    rates = list_rates(config)
    axes.plot(rates, color=BLUE, linewidth=1.8, label="printed formula")
    axes.plot(
        [0, len(rates) - 1], [config.learning_rate] * 2, color=VERMILION, linestyle="--", linewidth=1.8, label="as run: constant"
    )
    axes.set_yscale("log")
    axes.set_ylim(rates.min() / 2, rates.max() * 3)
    style_axes(axes, x="training step", y="learning rate (logarithmic)")
    axes.legend(fontsize=SMALL, frameon=False, loc="lower left")
    caption = (
        f"Printed: {config.learning_rate:g} exp(-i ln(0.1 / {config.learning_rate_end:g}) / {config.steps}), which ends at "
        f"{rates[-1]:.6f}. The public script builds its optimiser with the constant {config.learning_rate:g}; the falling rate "
        "is assigned to a variable afterwards and never reaches it."
    )
    yield Picture("figure-learning-rate.png", "Learning rate (sec. 4.1)", caption, figure)


def draw_figure_validation(shown: Shown, results: Results) -> Iterator[Picture]:
    """Sec. 4.3: validation accuracy of ten runs, over that of the report's own runs where its numbers are at hand."""
    for backbone, view in list_setups(results) if len(shown.history) else ():
        curves = {mode: _select_curves(shown.history, name_row(mode, backbone, view)) for mode in (AS_RUN, REPORT)}
        if not (curves := {mode: of for mode, of in curves.items() if not of.empty}):
            continue
        figure = new_figure(0.6 + 3.6 * len(curves), 3.7)
        for axes, (mode, of_runs) in zip(
            figure.subplots(1, len(curves), sharey=True, squeeze=False)[0], curves.items(), strict=True
        ):
            if shown.original is not None:
                points = 100 * shown.original
                axes.fill_between(points.index, points.min(axis=1), points.max(axis=1), color="#d4d8dd", linewidth=0)
                axes.plot(points.index, points.mean(axis=1), color=BLACK, linestyle=":", linewidth=1.6)
            for run in of_runs:
                axes.plot(of_runs.index, 100 * of_runs[run], color=SKY, linewidth=0.6)
            axes.plot(of_runs.index, 100 * of_runs.mean(axis=1), color=BLUE, linewidth=1.8)
            best = _find_best(results, name_row(mode, backbone, view))
            if best in of_runs:
                axes.plot(of_runs.index, 100 * of_runs[best], color=VERMILION, linestyle="--", linewidth=1.1)
            x = "training step"
            style_axes(
                axes,
                title=f"{mode}, n = {of_runs.shape[1]} runs",
                x=x,
                y="validation accuracy (%)" if axes is figure.axes[0] else "",
            )
            axes.set_ylim(0, 101)
        handles: list[Artist] = [
            Line2D([], [], color=SKY, linewidth=0.6, label="ours: runs"),
            Line2D([], [], color=BLUE, linewidth=1.8, label="ours: their mean"),
            Line2D([], [], color=VERMILION, linestyle="--", linewidth=1.1, label="ours: run of the best test accuracy"),
        ]
        if shown.original is not None:
            handles.append(Patch(color="#d4d8dd", label="report: range of its runs"))
            handles.append(Line2D([], [], color=BLACK, linestyle=":", linewidth=1.6, label="report: their mean"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
        images = shown.config.check_images
        caption = (
            f"Each point: {images} validation images, drawn anew with equal chance for each grade; one point is uncertain by up "
            f"to {98 / np.sqrt(images):.0f} points (95 %). {backbone}, {view}; data: {results.datasets[0].name}."
        )
        if shown.original is not None:
            caption += (
                f" The report's {shown.original.shape[1]} runs are those behind its figure, on its own data of three grades, "
                f"from step 0 on; ours have {len(shown.classes)} grades and begin at step {shown.config.check_steps}."
            )
        title = f"Validation accuracy of the runs (sec. 4.3): {backbone}, {view}"
        yield Picture(f"figure-validation-{slug(backbone)}-{view}.png", title, caption, figure)


def _select_curves(history: pd.DataFrame, row: str) -> pd.DataFrame:
    """Validation accuracy by step (index) and run (columns)."""
    part = history[history["row"] == row].dropna(subset=["val_accuracy"])
    return part.pivot_table(index="epoch", columns="seed", values="val_accuracy")


def _find_best(results: Results, row: str) -> int | None:
    """The run of the highest test accuracy."""
    found = find_rows(results, "paper").get(row)
    known = (
        []
        if found is None
        else [(a, s) for a, s in zip(found.metrics["accuracy"].by_seed, found.seeds, strict=True) if a is not None]
    )
    return max(known)[1] if known else None


def draw_figure_test(shown: Shown, results: Results) -> Iterator[Picture]:
    """Sec. 4.3 and Table 6: test accuracy of every run as a bar, with the mean as a line."""
    printed = [claim.value for claim in shown.paper.claims if claim.table == "6" and claim.value is not None]
    for backbone, view in list_setups(results):
        rows = {mode: name_row(mode, backbone, view) for mode in (AS_RUN, REPORT)}
        rows = {mode: row for mode, row in rows.items() if row in find_rows(results, "paper")}
        if not rows:
            continue
        figure = new_figure(0.6 + 2.6 * (1 + len(rows)), 3.3)
        axes_of = figure.subplots(1, 1 + len(rows), sharey=True)
        _draw_runs(axes_of[0], "printed (Table 6)", [100 * value for value in printed], None, GREY, "")
        for axes, (mode, row) in zip(axes_of[1:], rows.items(), strict=True):
            accuracy = find_rows(results, "paper")[row].metrics["accuracy"]
            runs = [np.nan if value is None else 100 * value for value in accuracy.by_seed]
            mean = read_accuracy(results, row, "paper")
            _draw_runs(axes, mark_row(results, mode, ["paper"]), runs, mean, SKY, "" if mode == AS_RUN else "//")
        axes_of[0].set_ylabel("test accuracy (%)")
        handles = [
            Line2D([], [], color=BLACK, linewidth=1.4, label="mean of the runs"),
            Patch(facecolor=ORANGE, alpha=0.35, label="95 % interval of the mean, slices of a subject together"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
        sizes = {mode: _count_entries(shown.predictions, row) for mode, row in rows.items()}
        tested = "; ".join(f"{mode}: n = {low} to {high} test entries a run" for mode, (low, high) in sizes.items())
        subjects = find_rows(results, "paper")[next(iter(rows.values()))].patients
        caption = (
            f"{tested}; {subjects} subjects in all. The runs draw the same subjects again, so that their spread alone says "
            f"nothing of others. {backbone}, {view}; data: {results.datasets[0].name}."
        )
        title = f"Test accuracy of the runs (Table 6): {backbone}, {view}"
        yield Picture(f"figure-test-{slug(backbone)}-{view}.png", title, caption, figure, of_paper=True)


def _draw_runs(axes: Axes, title: str, runs: Sequence[float], mean: Value | None, colour: str, hatch: str) -> None:
    places = np.arange(1, len(runs) + 1)
    axes.bar(places, runs, 0.75, color=colour, edgecolor=BLACK, linewidth=0.5, hatch=hatch)
    level = float(np.nanmean(runs)) if mean is None else mean.mean
    if mean is not None and mean.low is not None and mean.high is not None:
        axes.axhspan(mean.low, mean.high, color=ORANGE, alpha=0.35, linewidth=0, zorder=3)
    axes.axhline(level, color=BLACK, linewidth=1.4, zorder=4)
    style_axes(axes, title=f"{title}\nmean {level:.1f} %", x="run")
    axes.grid(False, axis="x")
    axes.set_xticks(places)
    axes.set_ylim(0, 104)


def _count_entries(predictions: pd.DataFrame, row: str) -> tuple[int, int]:
    sizes = predictions[predictions["row"] == row].groupby("seed").size()
    return int(sizes.min()), int(sizes.max())


# ------------------------------------------------------------------------------------------------------ figures of ours


@dataclass(frozen=True)
class MethodLine:
    """A method under both protocols, as `plot_intervals` takes it; fractions."""

    row: str
    ours: float | None
    low: float | None
    high: float | None
    majority: float | None
    leakfree: float | None
    leakfree_low: float | None
    leakfree_high: float | None
    leakfree_majority: float | None
    paper: float | None = None
    tolerance: float | None = None
    verdict: str = ""


def _read_line(entry: RowResult | None) -> tuple[float | None, float | None, float | None, float | None]:
    """Accuracy, its limits, the rate of the most frequent grade."""
    if entry is None:
        return (None,) * 4
    accuracy = entry.metrics["accuracy"]
    return accuracy.mean, accuracy.low, accuracy.high, entry.metrics["majority_rate"].mean


def draw_decomposition(shown: Shown, results: Results) -> Iterator[Picture]:
    """Where the accuracy comes from."""
    yield from draw_ladders(shown.steps, results)


def draw_baselines(shown: Shown, results: Results) -> Iterator[Picture]:
    """The last layer beside other classifiers on the same bottlenecks, radiomics and the lesion's area: as run, and with
    subjects apart."""
    ends = (AS_RUN, LEAKFREE)
    for backbone, view in list_setups(results):
        methods = {LINEAR: [name_row(mode, backbone, view) for mode in ends]}
        for name in CLASSIFIERS:
            methods[f"{name} on bottlenecks"] = [name_classifier(mode, backbone, view, name) for mode in ends]
        methods |= {name: [name_baseline(mode, name) for mode in ends] for name in (*RADIOMICS, AREA)}
        found = [find_rows(results, name_protocol(mode)) for mode in ends]
        lines = []
        for name, rows in methods.items():
            entries = [of_mode.get(row) for of_mode, row in zip(found, rows, strict=True)]
            if any(entries):
                lines.append(MethodLine(name, *_read_line(entries[0]), *_read_line(entries[1])))
        if len(lines) < 2:
            continue
        figure = plot_intervals(lines, label="accuracy of slices (%)")
        caption = (
            f"{AS_RUN}: slices listed twice, entries divided at random; leak-free: subjects apart. Features are scaled, and all "
            "else is learnt, on training slices alone. The report says of radiomics that many results do not reach 90 %. "
            f"{backbone}, {view}; data: {results.datasets[0].name}."
        )
        title = f"Classifiers and features beside the last layer: {backbone}, {view}"
        yield Picture(f"baselines-{slug(backbone)}-{view}.png", title, caption, figure)


def draw_confusions(shown: Shown, results: Results) -> Iterator[Picture]:
    """Confusion matrices of the last layer: slices in every mode, subjects where they are kept apart."""
    for backbone, view in list_setups(results):
        matrices = []
        for mode in list_modes():
            row, protocol = name_row(mode, backbone, view), name_protocol(mode)
            for name, title in ((row, mode), (name_subjects(row), f"{mode}, per subject")):
                if ((shown.predictions["row"] == name) & (shown.predictions["protocol"] == protocol)).any():
                    matrices.append((title, count_confusion(shown.predictions, name, protocol)))
        if matrices:
            figure: Figure = grids.plot_confusion_matrices(matrices, [f"grade {name}" for name in shown.classes], columns=3)
            caption = f"Counts summed over runs or repeats. {backbone}, {view}; data: {results.datasets[0].name}."
            title = f"Confusion matrices: {backbone}, {view}"
            yield Picture(f"confusion-{slug(backbone)}-{view}.png", title, caption, figure)


def draw_attention(shown: Shown, results: Results) -> Iterator[Picture]:
    """Attention maps of slices."""
    if shown.attention:
        pictures, maps, titles = [], [], []
        for one in shown.attention:
            says = np.ptp(one.evidence) > 0
            pictures += [one.picture, one.picture]
            maps += [None, one.evidence if says else None]
            titles += [one.title, "evidence" if says else "no place: even evidence" if one.evidence.any() else "no evidence"]
        label = "evidence for the grade\n(share of the map's maximum)"
        figure = grids.plot_overlays(pictures, maps, titles, columns=4, label=label)
        caption = (
            "Class activation maps (Zhou et al. 2016): the backbone's last feature maps, weighted as the new last layer weighs "
            "their means for the slice's grade. Each map is divided by its own maximum; the line bounds what is above half. "
            f"Network: {'; '.join(dict.fromkeys(one.network for one in shown.attention))}. n = {len(shown.attention)} slices. "
            f"Source: {results.datasets[0].name}."
        )
        yield Picture("attention.png", "Where the evidence lies", caption, figure, shows_cases=True)


def draw_sheet(shown: Shown, results: Results) -> Iterator[Picture]:
    """Contact sheet: lesion slices that the area filter keeps, and some that it drops, of each grade."""
    entries = [
        (f"{grade}, {kind}", picture, f"{area} px")
        for grade, sheet in shown.sheets.items()
        for kind, slices in (("kept", sheet.kept), ("dropped", sheet.dropped))
        for picture, area in slices
    ]
    if entries:
        titles, pictures, captions = zip(*entries, strict=True)
        columns = max(len(sheet.kept) + len(sheet.dropped) for sheet in shown.sheets.values())
        figure = grids.plot_image_grid(pictures, titles, columns=columns, captions=captions, side=1.3)
        caption = (
            f"Below a slice the area of its lesion. Kept: at least {100 * shown.config.area_share:g} % of the subject's largest "
            f"and {shown.config.area_pixels} px. n = {len(entries)} slices. Source: {results.datasets[0].name}."
        )
        yield Picture("slices.png", "Slices kept and dropped by the area filter", caption, figure, shows_cases=True)
