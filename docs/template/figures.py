"""The figures of the paper and ours: one function a figure, drawn from predictions, history and results."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from common.cases.prepared import Dataset
from common.cli import PROTOCOLS
from common.evaluation import metrics
from common.figures.curves import plot_history
from common.figures.grids import plot_confusion_matrices, plot_image_grid
from common.figures.style import Picture
from common.files import slug
from common.records.results import Results
from common.report.series import find_rows, mark_row, read_curves
from common.report.wording import PROTOCOL_NAMES
from replications.new_paper.config import CLASSES, NETWORKS


@dataclass(frozen=True)
class Shown:
    """All that the figures show, beside the results."""

    dataset: Dataset
    predictions: pd.DataFrame
    history: pd.DataFrame


def draw_figures(shown: Shown, results: Results) -> Iterator[Picture]:
    """Every figure that the finished trainings allow."""
    for draw in (draw_figure_1, draw_figure_2, draw_histories):
        yield from draw(shown, results)


def draw_figure_1(shown: Shown, _results: Results) -> Iterator[Picture]:
    """Fig. 1: pictures of each class."""
    labels = shown.dataset.cases["label"]
    chosen = [int(index) for label in (0, 1) for index in labels.index[labels == label][:3]]
    titles = [CLASSES[labels[index]] for index in chosen]
    figure = plot_image_grid([shown.dataset.images[index, ..., 0] for index in chosen], titles, columns=3)
    caption = f"Source: {shown.dataset.info['name']}."
    yield Picture("figure1-pictures.png", "Figure 1: pictures of each class", caption, figure, shows_cases=True)


def draw_figure_2(shown: Shown, results: Results) -> Iterator[Picture]:
    """Fig. 2: confusion matrices."""
    for protocol in PROTOCOLS:
        if rows := [row for row in NETWORKS if row in find_rows(results, protocol)]:
            named = [
                (mark_row(results, row, [protocol]), metrics.count_confusion(shown.predictions, row, protocol)) for row in rows
            ]
            title = f"Figure 2: confusion matrices, {PROTOCOL_NAMES[protocol]}"
            caption = "Counts summed over the seeds, percentages of each true class."
            yield Picture(f"figure2-{protocol}.png", title, caption, plot_confusion_matrices(named, CLASSES))


def draw_histories(shown: Shown, _results: Results) -> Iterator[Picture]:
    """Loss and accuracy by epoch."""
    for network in NETWORKS:
        for protocol in PROTOCOLS:
            part = shown.history[(shown.history["row"] == network) & (shown.history["protocol"] == protocol)]
            if len(part):
                curves = {seed: read_curves(part, seed, "training") for seed in sorted(part["seed"].unique())}
                about = f"{network}, {PROTOCOL_NAMES[protocol]}"
                figure = plot_history(curves, title=about)
                file = f"history-{slug(network)}-{protocol}.png"
                yield Picture(file, f"Training of {about}", "Thin: seeds; thick: their mean.", figure)
