"""Curves: ROC with its seeds, reliability, and loss and accuracy by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.figures.style import BLUE, GREY, NORMAL, SMALL, VERMILION, add_legend, new_figure, pick_style, style_axes


@dataclass(frozen=True)
class RocCurve:
    """The ROC curves of a row. A curve is (false-positive rates, true-positive rates): two arrays (k,) in [0, 1]."""

    name: str
    seeds: Sequence[tuple[np.ndarray, np.ndarray]]  # one curve a training: a seed, of every fold where there are folds
    mean: tuple[np.ndarray, np.ndarray]  # the curve averaged over the seeds
    area: float  # below the curve, mean over the seeds, in [0, 1]
    interval: tuple[float, float] | None  # 95 % limits of the area, None where unknown
    cases: int
    positives: int  # of the cases


def plot_roc(curves: Sequence[RocCurve], *, title: str = "", positive_class: str = "positive") -> Figure:
    """Every curve's mean over the seeds (thick) and its seeds (thin), with the line of chance; the legend gives the AUC.

    All curves are of the same test cases: those of the first are counted in the title. positive_class: its name.
    """
    figure = new_figure(4.8, 5.4 + 0.17 * len(curves))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="chance, AUC 0.5")
    for number, curve in enumerate(curves):
        colour, line, _ = pick_style(number)
        if len(curve.seeds) > 1:
            for x, y in curve.seeds:
                axes.plot(x, y, color=colour, linewidth=0.6, alpha=0.35)
        limits = f" [{curve.interval[0]:.3f}, {curve.interval[1]:.3f}]" if curve.interval else ""
        trainings = f"{len(curve.seeds)} training{'s' if len(curve.seeds) > 1 else ''}"
        axes.plot(
            *curve.mean,
            color=colour,
            linestyle=line,
            linewidth=1.8,
            label=f"{curve.name}: AUC {curve.area:.3f}{limits}, {trainings}",
        )
    if curves:
        counts = f"n = {curves[0].cases:,}, of which {curves[0].positives:,} {positive_class}"
        title = f"{title}\n{counts}" if title else counts
    style_axes(axes, title=title, x="false-positive rate (1 - specificity)", y="true-positive rate (sensitivity)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    figure.legend(
        loc="outside lower center", fontsize=SMALL, frameon=False, title="AUC with 95 % interval", title_fontsize=NORMAL
    )
    return figure


def plot_reliability(
    curves: Sequence[tuple[str, np.ndarray, np.ndarray]], *, bins: int = 10, positive_class: str = "positive"
) -> Figure:
    """Observed share of the positive class (0..1) against its mean score (0..1), in bins of equal numbers of cases.

    curves: (name, y_true (n,) of 0 and 1, score (n,) in 0..1). Bars are 95 % Wilson intervals of the observed share. The
    lower panel counts the cases by score, in 20 steps.
    """
    figure = new_figure(4.6, 5.2)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="calibrated")
    for number, (name, y_true, score) in enumerate(curves):
        y_true, score = np.asarray(y_true), np.asarray(score, dtype=float)
        order = np.argsort(score, kind="stable")
        groups = [group for group in np.array_split(order, min(bins, len(order))) if len(group)]
        expected = [score[group].mean() for group in groups]
        observed = np.array([y_true[group].mean() for group in groups])
        limits = [scipy.stats.binomtest(int(y_true[group].sum()), len(group)).proportion_ci(method="wilson") for group in groups]
        errors = [observed - [limit.low for limit in limits], [limit.high for limit in limits] - observed]
        colour, line, marker = pick_style(number)
        upper.errorbar(
            expected,
            observed,
            yerr=np.maximum(errors, 0),
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=4,
            linewidth=1.4,
            elinewidth=0.8,
            capsize=2,
            label=f"{name} (n = {len(y_true):,})",
        )
        lower.hist(score, bins=np.linspace(0, 1, 21), histtype="step", color=colour, linestyle=line, linewidth=1.2)
    style_axes(upper, y=f"observed share of {positive_class}")
    style_axes(lower, x=f"score for {positive_class}", y="cases")
    lower.set_yscale("log")
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    add_legend(figure, upper.get_legend_handles_labels()[0])
    return figure


def plot_history(
    histories: Mapping[Any, Mapping[str, Sequence[float] | np.ndarray]],
    *,
    title: str = "",
    names: tuple[str, str] = ("training", "validation"),
    loss: str = "loss (cross-entropy)",
) -> Figure:
    """Loss (cross-entropy in nats) and accuracy (given in 0..1, drawn in %) by epoch, training and validation.

    histories: seed -> {"loss", "accuracy" and, where there are validation cases, "val_loss", "val_accuracy"}, one value an
    epoch; seeds may differ in length, NaN is a gap. Thin lines are seeds; the thick line is the mean of the seeds that have
    a value at that epoch, and the legend says how few these become. names: what the legend calls the two kinds of curves.
    loss: what the axis calls the loss, where it holds more.
    """
    figure = new_figure(7.2, 3.1)
    panels = figure.subplots(1, 2)
    drawn = {}
    labels = (loss, "accuracy (%)")
    for axes, heading, name, label in zip(panels, (title, ""), ("loss", "accuracy"), labels, strict=True):
        scale = 100 if name == "accuracy" else 1
        for key, text, colour, line in ((name, names[0], BLUE, "-"), (f"val_{name}", names[1], VERMILION, "--")):
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
                label=f"{text}, mean of n = {_name_seeds(present.sum(axis=0))}",
            )
        style_axes(axes, title=heading, x="epoch", y=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if drawn:
        add_legend(figure, list(drawn.values()))
    return figure


def _name_seeds(counts: np.ndarray) -> str:
    """How many seeds a mean is of, epoch by epoch (epochs without any are gaps): "5 seeds", "5 seeds, 2 at fewest"."""
    most, fewest = counts.max(), counts[counts > 0].min(initial=counts.max())
    return f"{most} seed{'s' if most != 1 else ''}" + (f", {fewest} at fewest" if fewest < most else "")
