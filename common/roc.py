"""Curves of scores: ROC (points by scikit-learn, mean over seeds) and reliability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.metrics import auc, roc_curve

from common.figures import COLOURS, GREY, LINES, MARKERS, NORMAL, SMALL, new_figure, style_axes

GRID = np.linspace(0, 1, 501)  # false-positive rates at which curves are averaged


@dataclass(frozen=True)
class RocCurve:
    """runs: (y_true (n,) of 0 and 1, score (n,)) of each seed; interval: 95 % limits of the AUC, if known."""

    name: str
    runs: Sequence[tuple[np.ndarray, np.ndarray]]
    interval: tuple[float, float] | None = None


def compute_roc(y_true: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(false-positive rates, true-positive rates, area). Raises ValueError if a class is missing."""
    y_true = np.asarray(y_true)
    if not (np.any(y_true == 0) and np.any(y_true == 1)):
        raise ValueError("an ROC curve needs cases of both classes")
    false_positive, true_positive, _ = roc_curve(y_true, score, pos_label=1)
    return false_positive, true_positive, float(auc(false_positive, true_positive))


def average_roc(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, float]:
    """True-positive rates at GRID, averaged over the runs at equal false-positive rate, and the mean of their areas."""
    curves = [compute_roc(y_true, score) for y_true, score in runs]
    heights = np.mean([np.interp(GRID, x, y) for x, y, _ in curves], axis=0)
    heights[0] = 0.0
    return heights, float(np.mean([area for _, _, area in curves]))


def plot_roc(curves: Sequence[RocCurve], *, title: str = "", positive_class: str = "positive") -> Figure:
    """Mean ROC of every curve (thick), its seeds (thin), AUC with interval in the legend, chance line."""
    figure = new_figure(4.8, 5.4 + 0.17 * len(curves))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="chance, AUC 0.5")
    for number, curve in enumerate(curves):
        colour, line = COLOURS[number % len(COLOURS)], LINES[number % len(LINES)]
        if len(curve.runs) > 1:
            for y_true, score in curve.runs:
                x, y, _ = compute_roc(y_true, score)
                axes.plot(x, y, color=colour, linewidth=0.6, alpha=0.35)
        heights, area = average_roc(curve.runs)
        limits = f" [{curve.interval[0]:.3f}, {curve.interval[1]:.3f}]" if curve.interval else ""
        seeds = f"{len(curve.runs)} seed{'s' if len(curve.runs) > 1 else ''}"
        axes.plot(
            GRID,
            heights,
            color=colour,
            linestyle=line,
            linewidth=1.8,
            label=f"{curve.name}: AUC {area:.3f}{limits}, {seeds}",
        )
    if curves:
        y_true = np.asarray(curves[0].runs[0][0])
        counts = f"n = {len(y_true):,}, of which {int((y_true == 1).sum()):,} {positive_class}"
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
    """Observed frequency of the positive class against its mean score, in bins of equal numbers of cases.

    curves: (name, y_true (n,) of 0 and 1, score (n,) in 0..1). Bars are 95 % Wilson intervals of the observed
    frequency. The lower panel counts the scores.
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
        limits = [binomtest(int(y_true[group].sum()), len(group)).proportion_ci(method="wilson") for group in groups]
        errors = [observed - [limit.low for limit in limits], [limit.high for limit in limits] - observed]
        colour, line, marker = (style[number % len(style)] for style in (COLOURS, LINES, MARKERS))
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
    upper.legend(fontsize=SMALL, frameon=False, loc="upper left")
    return figure
