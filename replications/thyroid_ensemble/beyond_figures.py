"""Figures of the rows that are ours: accuracy by scale and fused, areas under the curve beside the classic features', curves."""

from collections.abc import Iterator
from dataclasses import replace

from common.cli import PROTOCOLS
from common.evaluation import metrics
from common.figures import grids
from common.figures.curves import plot_roc
from common.figures.intervals import plot_intervals, plot_steps
from common.figures.style import Picture
from common.records.results import Metric, Results
from common.report import lines, series
from common.report.lines import Line
from common.report.wording import PROTOCOL_NAMES
from replications.thyroid_ensemble import beyond
from replications.thyroid_ensemble.config import CLASSES, SCALES, SMALL_NETWORKS
from replications.thyroid_ensemble.figures import Shown, end_caption, select
from replications.thyroid_ensemble.rows import CLASSICS, SCALES_FUSED, SMALL_ENSEMBLE, name_head, name_scratch_scale

STEPS = (*map(str, SCALES), "fused")
NOTHING = Metric(mean=None, sd=None, low=None, high=None, by_seed=[])
CURVES = (SMALL_ENSEMBLE, *(row for row in SCALES_FUSED if row.startswith(SMALL_NETWORKS)), *CLASSICS)


def draw_figures(shown: Shown, results: Results) -> Iterator[Picture]:
    """Every figure that there are numbers for."""
    for draw in (draw_scales, draw_forest, draw_curves, draw_confusions):
        yield from draw(shown, results)


def draw_scales(_shown: Shown, results: Results) -> Iterator[Picture]:
    """Do scales help: accuracy at each scale and of their fusion."""
    fused = dict(zip((*SMALL_NETWORKS, "AlexNet"), SCALES_FUSED, strict=True))
    asked = {f"{n}, head alone": {str(s): name_head(n, s) for s in SCALES} | {"fused": fused[n]} for n in SMALL_NETWORKS}
    asked["AlexNet, no transfer"] = {str(s): name_scratch_scale("AlexNet", s) for s in SCALES} | {"fused": fused["AlexNet"]}
    rows = [row for of_series in asked.values() for row in of_series.values()]
    if protocols := series.list_protocols(results, rows):
        panels = [series.build_panel(results, protocol, asked) for protocol in protocols]
        marks = series.COLLAPSED, series.MAJORITY
        figure = plot_steps(panels, STEPS, x="scale", label="accuracy (%)", doubtful=marks[0], level=marks[1])
        caption = (
            "Rows of ours, not in the paper: test accuracy at each of its three scales, and of the three fused by weights of its "
            f"grid. {end_caption(results, protocols, rows, mark='Hollow')}"
        )
        yield Picture("beyond-scales.png", "Beyond the paper: accuracy by scale", caption, figure)


def draw_forest(shown: Shown, results: Results) -> Iterator[Picture]:
    """Does transfer beat features: accuracies of both."""
    of_row = {line.row: line for line in reversed(lines.collect_lines(results, shown.paper)) if line.metric == "accuracy"}
    if protocols := series.list_protocols(results, beyond.ROWS):
        run = [row for row in beyond.SHOWN if any(row in series.find_rows(results, protocol) for protocol in protocols)]
        named = [replace(of_row[row], row=series.mark_row(results, row, protocols), paper=None, verdict="") for row in run]
        caption = (
            "Rows of ours, and the paper's classic features beside them. "
            f"{end_caption(results, protocols, run, mark='Dagger (either protocol)')}"
        )
        figure = plot_intervals(named, label="accuracy (%)")
        yield Picture("beyond-accuracy.png", "Beyond the paper: accuracy of transfer and features", caption, figure)
        areas = [measure_area(line, row, results) for line, row in zip(named, run, strict=True)]
        figure = plot_intervals(areas, label="area under the curve", scale=1)
        caption = caption.replace(
            "Rows", "As before, areas under the curve, which do not depend on how often a class occurs. Rows"
        )
        yield Picture("beyond-auc.png", "Beyond the paper: areas under the curve of transfer and features", caption, figure)


def measure_area(line: Line, row: str, results: Results) -> Line:
    """The line with areas in place of accuracies; always the most frequent class has 0.5."""
    found = [series.find_rows(results, protocol).get(row) for protocol in PROTOCOLS]
    ours, leakfree = (entry.metrics["auc"] if entry else NOTHING for entry in found)
    values = replace(line, metric="auc", ours=ours.mean, low=ours.low, high=ours.high, majority=0.5, leakfree_majority=0.5)
    return replace(values, leakfree=leakfree.mean, leakfree_low=leakfree.low, leakfree_high=leakfree.high)


def draw_curves(shown: Shown, results: Results) -> Iterator[Picture]:
    """ROC curves, which do not depend on how often a class occurs."""
    for protocol in series.list_protocols(results, CURVES[: -len(CLASSICS)]):
        found = series.find_rows(results, protocol)
        curves = []
        for row in [row for row in CURVES if row in found]:
            scored = series.list_runs(select(shown, row, protocol))
            name = series.mark_row(results, row, [protocol]).replace("head alone, three scales", "scales")  # legends are narrow
            curves.append(series.build_roc(results, row, protocol, scored, name))
        figure = plot_roc(curves, title=PROTOCOL_NAMES[protocol], positive_class=CLASSES[1])
        caption = (
            f"Thick: mean of the seeds at equal false-positive rate; thin: seeds. {end_caption(results, [protocol], CURVES)}"
        )
        title = f"Beyond the paper: ROC curves, {PROTOCOL_NAMES[protocol]}"
        yield Picture(f"beyond-roc-{protocol}.png", title, caption, figure)


def draw_confusions(shown: Shown, results: Results) -> Iterator[Picture]:
    """Confusion matrices of the rows of ours."""
    for protocol in series.list_protocols(results, beyond.ROWS):
        found = series.find_rows(results, protocol)
        rows = [row for row in beyond.ROWS if row in found]
        counts = [metrics.count_confusion(shown.predictions, row, protocol) for row in rows]
        named = [series.mark_row(results, row, [protocol]).replace(", ", ",\n", 1) for row in rows]
        seeds = [len(found[row].seeds) for row in rows]
        figure = grids.plot_confusion_matrices(list(zip(named, counts, strict=True)), CLASSES, columns=3, runs=seeds)
        about = end_caption(results, [protocol], rows, intervals=False)
        caption = f"Counts summed over the seeds, percentages of each true class. {about}"
        title = f"Beyond the paper: confusion matrices, {PROTOCOL_NAMES[protocol]}"
        yield Picture(f"beyond-confusion-{protocol}.png", title, caption, figure)
