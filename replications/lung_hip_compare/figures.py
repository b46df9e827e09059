"""The figures of the paper (2, 3, 6) and ours: one function a figure, drawn from predictions, history and results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common.cases.prepared import Dataset
from common.cli import PROTOCOLS
from common.evaluation import metrics
from common.figures import grids, intervals
from common.figures.curves import plot_history, plot_roc
from common.figures.style import Picture
from common.files import slug
from common.records.paper import Paper
from common.records.results import Results
from common.report.lines import collect_lines
from common.report.series import build_roc, find_rows, list_off, list_runs, mark_off, read_curves
from common.report.wording import PROTOCOL_NAMES, show_verdict
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import DATASETS, NETWORKS, Config
from replications.lung_hip_compare.sources import hips

PRINTED = "printed in the paper"
STAR = "A star marks networks trained with other settings than the paper's (see the note in the table). "
# The paper's names say it wrongly; they stay, with what they mean beside them.
MEANING = {True: "cropped to the hip", False: "whole radiograph"}
NAMES = '"resized" is the paper\'s name for radiographs cropped to the hip before scaling, "unresized" for whole ones. '


@dataclass(frozen=True)
class Shown:
    """All that the figures show, beside the results."""

    paper: Paper
    config: Config
    datasets: Mapping[str, Dataset]
    predictions: pd.DataFrame
    history: pd.DataFrame


def draw_figures(shown: Shown, results: Results) -> Iterator[Picture]:
    """Every figure that the finished trainings allow."""
    of_paper = (draw_figure_2, draw_figure_3, draw_figure_6)
    for draw in (*of_paper, draw_table_2, draw_intervals, draw_rocs, draw_labels, draw_histories):
        yield from draw(shown, results)


def _list_networks(shown: Shown) -> Iterator[tuple[str, str, list[str], pd.DataFrame]]:
    """(protocol, data set, networks that were run on it, predictions of the protocol)."""
    for protocol in PROTOCOLS:
        part = shown.predictions[shown.predictions["protocol"] == protocol]
        for dataset in DATASETS:
            if names := [network for network in NETWORKS if (part["row"] == f"{dataset} / {network}").any()]:
                yield protocol, dataset, names, part


def _explain_star(results: Results) -> str:
    return STAR if list_off(results) else ""


def explain_dataset(name: str, separator: str = " ") -> str:
    """The paper's name of a data set, for hips with what it means.

    >>> explain_dataset("128x128 resized"), explain_dataset("LUNA16")
    ('128x128 resized (cropped to the hip)', 'LUNA16')
    """
    return f"{name}{separator}({MEANING[hips.is_cropped(name)]})" if data.is_hip(name) else name


def _explain_row(row: str) -> str:
    dataset, _, network = row.partition(" / ")
    return f"{explain_dataset(dataset)} / {network}"


def plot_networks(results: Results, panels: Sequence[tuple[str, Mapping[str, float | None]]], *, label: str) -> Figure:
    """Data sets by networks as heat maps, one a panel: (its title, row -> value). A star: other settings.

    label: what the values are, with unit. The panel PRINTED shows the paper's own values, which bear no star.
    """
    rows = [[f"{dataset} / {network}" for network in NETWORKS] for dataset in DATASETS]
    values = [(title, np.array([[known.get(row) for row in line] for line in rows], float)) for title, known in panels]
    figure = grids.plot_heatmap(values, [explain_dataset(name, "\n") for name in DATASETS], NETWORKS, label=label)
    off = np.isin(np.array(rows), sorted(list_off(results)))
    grids.mark_cells(figure, [off & np.isfinite(known) & (title != PRINTED) for title, known in values], " *")
    return figure


# Figures of the paper


def draw_figure_2(shown: Shown, _results: Results) -> Iterator[Picture]:
    """Fig. 2: patches as they are, rotated by 90 and 180 degrees (the public recipe), and shifted by 10 %."""
    if (dataset := shown.datasets.get("LUNA16")) is None:
        return
    labels = dataset.cases["label"].to_numpy()
    pictures, titles = [], []
    for label, name in ((1, "nodule"), (0, "non-nodule")):
        for index in np.flatnonzero(labels == label)[:2]:
            image = np.asarray(dataset.images[index, ..., 0])
            shift = image.shape[0] // 10
            moved = hips.move_image(image, np.array([0, shift]), flip=False)
            pictures += [image, np.rot90(image), np.rot90(image, 2), moved]
            titles += [name, "rotated 90°", "rotated 180°", f"shifted {shift} px"]
    caption = (
        "A nodule and another candidate, rotated and shifted as the paper describes; its counts contain no such copies. "
        f"Source: {dataset.info['name']}."
    )
    title = "Figure 2: candidate patches before and after enlargement"
    yield Picture("figure2-patches.png", title, caption, grids.plot_image_grid(pictures, titles, columns=4), True)


def draw_figure_3(shown: Shown, _results: Results) -> Iterator[Picture]:
    """Fig. 3: whole radiographs (a), cropped (b), cropped and then flipped or shifted (c)."""
    radiographs = {name: shown.datasets[name] for name in DATASETS if name in shown.datasets and data.is_hip(name)}
    if not radiographs:
        return
    pictures, titles = [], []
    for name in [name for name in radiographs if name.startswith("128x128")]:
        dataset, classes = radiographs[name], data.CLASSES["hip"]
        labels = dataset.cases["label"].to_numpy()
        chosen = np.concatenate([np.flatnonzero(labels == c)[:2] for c in (0, 1)])
        kind = "cropped" if hips.is_cropped(name) else "whole"
        pictures += [np.asarray(dataset.images[i, ..., 0]) for i in chosen]
        titles += [f"{kind}, {classes[labels[i]]}" for i in chosen]
        originals = np.asarray(dataset.images[chosen])
        enlarged, source = hips.enlarge(originals, labels[chosen], (4, 4), shown.config, seed=shown.config.split_seed)
        variants = np.flatnonzero(np.arange(len(source)) >= len(chosen))[:4]
        pictures += list(enlarged[variants, ..., 0])
        titles += [f"variant of no. {source[i] + 1}" for i in variants]
    title = "Figure 3: hip radiographs, whole, cropped, flipped and shifted"
    caption = f"Source: {next(iter(radiographs.values())).info['name']}."
    yield Picture("figure3-hips.png", title, caption, grids.plot_image_grid(pictures, titles, columns=4), True)


def draw_figure_6(shown: Shown, results: Results) -> Iterator[Picture]:
    """Fig. 6: one confusion matrix a network; rows trained with other settings bear a star."""
    for protocol, dataset, names, part in _list_networks(shown):
        rows = {name: f"{dataset} / {name}" for name in names}
        seeds = [part.loc[part["row"] == row, "seed"].nunique() for row in rows.values()]
        matrices = [
            (mark_off(results, name, [row]), metrics.count_confusion(shown.predictions, row, protocol))
            for name, row in rows.items()
        ]
        figure = grids.plot_confusion_matrices(matrices, data.CLASSES[data.part_of(dataset)], runs=seeds)
        about = "Counts summed over seeds (and folds), percentages of each true class. The paper prints no numbers."
        title = f"Figure 6: confusion matrices, {explain_dataset(dataset)}, {PROTOCOL_NAMES[protocol]}"
        yield Picture(f"figure6-{slug(dataset)}-{protocol}.png", title, _explain_star(results) + about, figure, of_paper=True)


# Figures of ours


def draw_rocs(shown: Shown, results: Results) -> Iterator[Picture]:
    """ROC of the networks on one data set."""
    for protocol, dataset, names, part in _list_networks(shown):
        curves = []
        for name in names:
            row = f"{dataset} / {name}"
            runs = list_runs(part[part["row"] == row])
            curves.append(build_roc(results, row, protocol, runs, mark_off(results, name, [row])))
        about = f"{explain_dataset(dataset)}, {PROTOCOL_NAMES[protocol]}"
        figure = plot_roc(curves, title=about, positive_class=data.CLASSES[data.part_of(dataset)][1])
        caption = (
            "Thick: mean of the seeds at equal false-positive rate; thin: seeds. Intervals take the cases of a patient together."
        )
        file = f"roc-{slug(dataset)}-{protocol}.png"
        yield Picture(file, f"ROC curves, {about}", _explain_star(results) + caption, figure)


def draw_table_2(_shown: Shown, results: Results) -> Iterator[Picture]:
    """Accuracy of Table 2: printed, ours under both protocols."""
    printed = {claim.row: claim.paper for claim in results.claims if claim.table == "2"}
    panels: list[tuple[str, Mapping[str, float | None]]] = [(PRINTED, printed)]
    for protocol in PROTOCOLS:
        means = {row: _to_percent(found.metrics["accuracy"].mean) for row, found in find_rows(results, protocol).items()}
        panels.append((f"ours, {PROTOCOL_NAMES[protocol]}", means))
    figure = plot_networks(results, panels, label="accuracy (%)")
    caption = "Accuracy in percent: printed, ours under the paper's protocol, ours leak-free (means over the seeds)."
    yield Picture("accuracy.png", "Table 2 as a heat map", f"{_explain_star(results)}{NAMES}{caption}", figure, of_paper=True)


def draw_intervals(shown: Shown, results: Results) -> Iterator[Picture]:
    """Forest plot of Table 2."""
    lines = collect_lines(results, shown.paper, "2")
    run = [line for line in lines if line.ours is not None or line.leakfree is not None]
    if run:
        named = [replace(line, row=mark_off(results, _explain_row(line.row), [line.row])) for line in run]
        about = (
            "The paper's bar is the 95 % sampling error of its own test set, its cases taken as independent; ours take those of "
            "a patient together. Beside each line stands the verdict on ours under the paper's protocol."
        )
        figure = intervals.plot_intervals(named, label="accuracy (%)", say=show_verdict)
        yield Picture("intervals.png", "Accuracy beside the paper's", _explain_star(results) + about, figure, of_paper=True)


def draw_labels(shown: Shown, results: Results) -> Iterator[Picture]:
    """SGAN and CNN on a part of the labels, leak-free where it was run."""
    labelled = {row.protocol for row in results.rows if row.table == "labels"}
    series = {}
    for protocol in [protocol for protocol in PROTOCOLS if protocol in labelled]:
        known = {row: found.metrics["accuracy"] for row, found in find_rows(results, protocol).items()}
        for network in ("SGAN", "CNN"):
            named = [(1.0, f"LUNA16 / {network}")]
            named += [(share, f"LUNA16 / {network}, {share * 100:g} % labels") for share in shown.config.label_shares]
            series[mark_off(results, f"{network}, {PROTOCOL_NAMES[protocol]}", [row for _, row in named if row in known])] = [
                (share, 100 * m.mean, _to_percent(m.low), _to_percent(m.high))
                for share, row in named
                if (m := known.get(row)) is not None and m.mean is not None
            ]
    if labelled:
        figure = intervals.plot_shares({name: points for name, points in series.items() if points}, label="accuracy (%)")
        caption = "LUNA16. Test accuracy by share of labelled training images; SGAN sees the others without labels."
        yield Picture("labels.png", "Few labels: SGAN against CNN", _explain_star(results) + caption, figure)


def _to_percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def draw_histories(shown: Shown, results: Results, dataset: str = "LUNA16") -> Iterator[Picture]:
    """Loss and accuracy by epoch of the networks on a data set; of several folds the first."""
    for network in NETWORKS:
        row = f"{dataset} / {network}"
        for protocol in PROTOCOLS:
            part = shown.history[(shown.history["row"] == row) & (shown.history["protocol"] == protocol)]
            if len(part):
                part = part[part["fold"] == part["fold"].min()]
                curves = {seed: read_curves(part, seed, network) for seed in sorted(part["seed"].unique())}
                title = f"{mark_off(results, network, [row])}, {explain_dataset(dataset)}, {PROTOCOL_NAMES[protocol]}"
                changed = next((found.departures for found in results.rows if found.row == row and found.departures), [])
                star = f"A star: other settings, {'; '.join(changed)}. " if changed else ""
                file = f"history-{slug(dataset)}-{slug(network)}-{protocol}.png"
                caption = f"{star}Thin: seeds; thick: mean of those still training."
                yield Picture(file, f"Training of {title}", caption, plot_history(curves, title=title))
