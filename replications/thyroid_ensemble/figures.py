"""The paper's figures from finished predictions: Fig. 3, 4, 8, 9, 10, 11, and ours."""

import functools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.evaluation import metrics
from common.figures import grids, style
from common.figures.curves import plot_history, plot_reliability, plot_roc
from common.figures.intervals import plot_bars, plot_intervals, plot_steps
from common.figures.style import Picture
from common.files import slug
from common.records.paper import Paper
from common.records.results import Results
from common.report import lines, series
from common.report.wording import PROTOCOL_NAMES, show_verdict
from replications.thyroid_ensemble import rois
from replications.thyroid_ensemble.config import CLASSES, NETWORKS, SCALES, Config
from replications.thyroid_ensemble.experiments import BEST_DEPTH
from replications.thyroid_ensemble.rows import (
    BLOCK,
    CLASSICS,
    ENSEMBLE,
    FOREST,
    FUSED,
    FUSIONS,
    NINE,
    SINGLES,
    SUBSET_ROWS,
    name_depth,
    name_model,
    name_plan,
    name_scratch,
    name_step_1,
    name_transferred,
)
from replications.thyroid_ensemble.selection import Depths

CURVES = (ENSEMBLE, BLOCK, FOREST, FUSED)  # Fig. 10
METHODS = (ENSEMBLE, *FUSIONS, *CURVES[1:], *CLASSICS)
WATCHED = {  # protocol -> what early stopping looks at, in the legend and in the caption of training curves
    "paper": ("test set, not validation", "Dashed: the test set, which early stopping looks at; the paper has no validation set"),
    "leakfree": ("validation patients", "Dashed: patients of the inner fold (the first one is shown)"),
}
LOSS = "loss (cross-entropy; training: and L2)"
PENALTY = "The training loss holds the head's L2 penalty, the dashed one does not: their gap is not overfitting alone."
HARD, SURE = 8, 2  # pictures of Fig. 11: hard ones at most, and confident right ones of each class


@dataclass(frozen=True)
class Shown:
    """All that the figures show, beside the results."""

    paper: Paper
    config: Config
    dataset: Dataset
    folds_of: Mapping[str, tuple[Dataset, Sequence[Fold]]]  # protocol -> data set and folds
    predictions: pd.DataFrame
    history: pd.DataFrame
    depths: Depths  # the k that were chosen
    cases: Sequence[int]  # positions of the cases of Fig. 3 and 4
    attention: Mapping[str, np.ndarray]  # network -> Grad-CAM float32 (shown, side, side) in [0, 1]


def choose_shown_cases(dataset: Dataset, folds_of: Mapping[str, tuple[Dataset, Sequence[Fold]]]) -> list[int]:
    """Positions of the pictures of Fig. 3 and 4: the first test case of each class."""
    _, folds = folds_of.get("leakfree", next(iter(folds_of.values())))
    test = np.sort(folds[0].test)
    labels = dataset.cases["label"].to_numpy()
    return [int(test[labels[test] == label][0]) for label in (0, 1)]


def draw_figures(shown: Shown, results: Results) -> Iterator[Picture]:
    """Every figure that there are numbers for."""
    of_paper = (draw_figure_3, draw_figure_4, draw_figure_8, draw_figure_9, draw_figure_10, draw_figure_11)
    for draw in (*of_paper, draw_table_2, draw_accuracies, draw_confusions, draw_reliability, draw_trainings):
        yield from draw(shown, results)


end_caption = functools.partial(series.end_caption, positive_class=CLASSES[1])


def select(shown: Shown, row: str, protocol: str) -> pd.DataFrame:
    return shown.predictions[(shown.predictions["row"] == row) & (shown.predictions["protocol"] == protocol)]


# ------------------------------------------------------------------------------------------------ figures of the paper


def draw_figure_3(shown: Shown, _results: Results) -> Iterator[Picture]:
    """Fig. 3: the ROI with the squares of Scales 1 to 3, and the three crops, of a benign and a malignant case."""
    sides, pictures, titles = shown.config.scale_sides, [], []
    for index in shown.cases:
        roi = np.asarray(shown.dataset.images[[index]])
        pictures += [roi[0]] + [rois.crop_scale(roi, scale, shown.config)[0] for scale in SCALES]
        titles += [f"ROI, {CLASSES[shown.dataset.cases['label'][index]]}"]
        titles += [f"Scale {scale}: {side} × {side} px" for scale, side in zip(SCALES, sides, strict=True)]
    figure = grids.plot_image_grid(pictures, titles, columns=1 + len(SCALES), side=1.7)
    for axes in figure.axes[:: 1 + len(SCALES)]:
        for scale, side, line in zip(SCALES, sides, ("-", "--", ":"), strict=True):
            corner = (shown.config.roi_side - side) / 2 - 0.5
            for colour, dashes in ((style.BLACK, "-"), (style.YELLOW, line)):
                square = Rectangle((corner, corner), side, side, fill=False, lw=1.6, clip_on=False, ec=colour, ls=dashes)
                axes.add_patch(square)
            behind = {"facecolor": style.BLACK, "edgecolor": "none", "pad": 1}
            axes.text(corner + 3, corner + 3, str(scale), color=style.YELLOW, fontsize=7, va="top", bbox=behind)
    caption = (
        "Squares in the ROI: Scales 1, 2 and 3. The crops of all three are brought to the input size of a network. "
        f"n = {len(shown.cases)} pictures. Source: {shown.dataset.info['name']}."
    )
    yield Picture("figure3-scales.png", "Figure 3: the three scales of a nodule", caption, figure, True)


def draw_figure_4(shown: Shown, results: Results) -> Iterator[Picture]:
    """Fig. 4: Grad-CAM of the networks over what they see, for a benign and a malignant case."""
    if not (networks := [network for network in NETWORKS if network in shown.attention]):
        return
    pictures, maps, titles = [], [], []
    for position, index in enumerate(shown.cases):
        patch = rois.crop_scale(np.asarray(shown.dataset.images[[index]]), 1, shown.config)[0, ..., 0]
        pictures += [patch] * (1 + len(networks))
        of_networks = [cv2.resize(shown.attention[network][position], patch.shape[::-1]) for network in networks]
        maps += [None, *of_networks]
        titles += [f"ROI, {CLASSES[shown.dataset.cases['label'][index]]}"]
        titles += [n if values.any() else f"{n}: no evidence" for n, values in zip(networks, of_networks, strict=True)]
    label = f"evidence for {CLASSES[1]}\n(share of the map's maximum)"
    figure = grids.plot_overlays(pictures, maps, titles, columns=1 + len(networks), label=label)
    caption = (
        f"Grad-CAM at Scale 1 after step 1: transferred convolutions (initial weights: {results.weights.source}) "
        f"under the new head; first seed. Colour: evidence for {CLASSES[1]}, each map divided by its own maximum, so that maps "
        "compare in place, not in strength; the line bounds what is above half. The networks are those of the first inner fold "
        "of the leak-free protocol where it was trained, for which these are test pictures. The paper shows "
        f"class activation maps of one picture. n = {len(shown.cases)} pictures. Source: {shown.dataset.info['name']}. "
        + end_caption(results, [], SINGLES, intervals=False)
    )
    title = series.mark_off(results, "Figure 4: where the three networks look", SINGLES)
    yield Picture("figure4-attention.png", title, caption, figure, True)


def draw_figure_8(shown: Shown, results: Results) -> Iterator[Picture]:
    """Fig. 8: accuracy without and with transfer, where transfer trains the new head alone (sec. 2.1)."""
    without = {network: name_scratch(network) for network in NETWORKS}
    asked = {"without transfer": without, "with transfer": {network: name_transferred(network) for network in NETWORKS}}
    if protocols := series.list_protocols(results, without.values()):
        panels = [series.build_panel(results, protocol, asked) for protocol in protocols]
        figure = plot_bars(panels, label="accuracy (%)", top=100, doubtful=series.COLLAPSED, level=series.MAJORITY)
        rows = [row for of_series in asked.values() for row in of_series.values()]
        caption = (
            "Test accuracy at Scale 1 (scale not given in the paper). With transfer: all convolutions frozen as transferred, the "
            f"new head alone is trained (the rows k = 0); initial weights: {results.weights.source}. The paper's figure has no "
            f"numbers; Table 2's fine-tuned networks are not in it. {end_caption(results, protocols, rows, mark='Hatched')}"
        )
        yield Picture("figure8-transfer.png", "Figure 8: accuracy without and with transfer", caption, figure, of_paper=True)


def draw_figure_9(shown: Shown, results: Results) -> Iterator[Picture]:
    """Fig. 9: accuracy against the number of fine-tuned convolutions."""
    depths: tuple[int | str, ...] = (*shown.config.depths, "all")
    asked = {network: {str(depth): name_depth(network, depth) for depth in depths} for network in NETWORKS}
    rows = [row for of_series in asked.values() for row in of_series.values()]
    if protocols := series.list_protocols(results, rows):
        panels = [series.build_panel(results, protocol, asked) for protocol in protocols]
        best = {network: str(k) for network, k in BEST_DEPTH.items()}
        labels = {"ring": "best in the paper", "doubtful": series.COLLAPSED, "level": series.MAJORITY}
        figure = plot_steps(
            panels, list(map(str, depths)), x="fine-tuned convolutions", label="accuracy (%)", ringed=best, **labels
        )
        caption = (
            "Test accuracy at Scale 1 (scale not given in the paper) by the number of convolutions fine-tuned, counted from the "
            "last; 0: the new head alone, all: every layer. Ring: the number that the paper found best for the network "
            "(its figure has no numbers). " + end_caption(results, protocols, rows, mark="Hollow")
        )
        yield Picture("figure9-depths.png", "Figure 9: accuracy by the number of fine-tuned convolutions", caption, figure)


def draw_figure_10(shown: Shown, results: Results) -> Iterator[Picture]:
    """Fig. 10: ROC of the ensemble and of the methods of other papers."""
    printed = next(claim.value for claim in shown.paper.claims if claim.table == "Fig. 10")
    for protocol in series.list_protocols(results, CURVES):
        curves, found = [], series.find_rows(results, protocol)
        for row in [row for row in CURVES if row in found]:
            scored = series.list_runs(select(shown, row, protocol))
            curves.append(series.build_roc(results, row, protocol, scored, series.mark_row(results, row, [protocol])))
        figure = plot_roc(curves, title=PROTOCOL_NAMES[protocol], positive_class=CLASSES[1])
        caption = (
            f"Thick: mean of the seeds at equal false-positive rate; thin: seeds. The paper prints an AUC of {printed} for the "
            f"ensemble and none for the others. {end_caption(results, [protocol], CURVES)}"
        )
        yield Picture(f"figure10-roc-{protocol}.png", f"Figure 10: ROC curves, {PROTOCOL_NAMES[protocol]}", caption, figure)


def pick_cases(part: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hard cases and confident right ones of one row's predictions of one seed, at most one a patient.

    Hard: lowest probability of the true class (column of_truth) first, at most HARD and half of the patients. Confident:
    highest first, SURE of each class.
    """
    of_truth = part["y_score_1"].where(part["y_true"] == 1, part["y_score_0"])
    part = part.assign(of_truth=of_truth).sort_values(["of_truth", "case_id"])
    hard = part.drop_duplicates("patient_id").head(min(HARD, max(part["patient_id"].nunique() // 2, 1)))
    rest = part[is_right(part) & ~part["patient_id"].isin(hard["patient_id"])].iloc[::-1].drop_duplicates("patient_id")
    return hard, rest.groupby("y_true").head(SURE).sort_values("y_true", kind="stable")


def is_right(part: pd.DataFrame) -> pd.Series:
    return (part["y_score_1"] > part["y_score_0"]) == (part["y_true"] == 1)


def draw_figure_11(shown: Shown, results: Results) -> Iterator[Picture]:
    """Fig. 11: hard test cases of the ensemble, and confident right ones for contrast; leak-free if that was run."""
    for protocol in series.list_protocols(results, [ENSEMBLE])[-1:]:
        part = select(shown, ENSEMBLE, protocol)
        part = part[part["seed"] == part["seed"].min()]
        hard, sure = pick_cases(part)
        picked, kinds = pd.concat([hard, sure]), ["hard"] * len(hard) + ["sure"] * len(sure)
        images = shown.dataset.images[pd.Index(shown.dataset.cases["case_id"]).get_indexer(picked["case_id"])]
        right = is_right(picked).tolist()
        figure = grids.plot_image_grid(
            list(images),
            [f"{kind}: {CLASSES[truth]}" for kind, truth in zip(kinds, picked["y_true"], strict=True)],
            captions=[
                f"P({CLASSES[1]}) = {score:.3f}, {'right' if good else 'wrong'}"
                for score, good in zip(picked["y_score_1"], right, strict=True)
            ],
            side=1.7,
        )
        for axes, good in zip(figure.axes, right, strict=False):
            axes.spines[:].set(color=style.BLACK if good else style.VERMILION, linewidth=0.8 if good else 3)
        caption = (
            "Above a picture its true class, below it the ensemble's probability; thick frame: wrong. Hard: the "
            f"{len(hard)} lowest probabilities of the true class, sure: the highest; at most one picture a patient. First seed: "
            f"{(~is_right(part)).sum()} of {len(part)} test cases wrong. Source: {shown.dataset.info['name']}. "
            f"{end_caption(results, [protocol], [ENSEMBLE], intervals=False)}"
        )
        title = series.mark_row(results, ENSEMBLE, [protocol]).replace(ENSEMBLE, "Figure 11: hard test cases")
        yield Picture("figure11-cases.png", f"{title}, {PROTOCOL_NAMES[protocol]}", caption, figure, True)


# ------------------------------------------------------------------------------------------------------ figures of ours


def draw_table_2(shown: Shown, results: Results) -> Iterator[Picture]:
    """Table 2 as a heat map: printed, ours under both protocols."""
    names = np.array([[name_model(network, scale) for network in NETWORKS] for scale in SCALES])
    printed = {claim.row: claim.value for claim in shown.paper.claims if claim.table == "2"}
    panels = [("printed in the paper", np.array([[printed[row] for row in line] for line in names], float))]
    marked = [np.zeros(names.shape, bool)]
    if protocols := series.list_protocols(results, NINE):
        for protocol in protocols:
            values = [[series.read_accuracy(results, row, protocol) for row in line] for line in names]
            means = [[np.nan if value is None else value.mean for value in line] for line in values]
            panels.append((series.mark_off(results, f"ours, {PROTOCOL_NAMES[protocol]}", NINE), np.array(means)))
            marked.append(np.array([[series.is_collapsed(results, row, protocol) for row in line] for line in names]))
        rows = [f"Scale {s}, {side} px" for s, side in zip(SCALES, shown.config.scale_sides, strict=True)]
        figure = grids.plot_heatmap(panels, rows, NETWORKS, label="accuracy (%)")
        grids.mark_cells(figure, marked, " †")
        caption = f"Test accuracy, ours as mean over the seeds. {end_caption(results, protocols, NINE, intervals=False)}"
        yield Picture("table2.png", "Table 2 as a heat map", caption, figure, of_paper=True)


def draw_accuracies(shown: Shown, results: Results) -> Iterator[Picture]:
    """Forest plots: the printed accuracies beside ours."""
    # A row may stand in several tables; the printed ones come first.
    of_row = {line.row: line for line in reversed(lines.collect_lines(results, shown.paper)) if line.metric == "accuracy"}
    for file, title, rows in (
        ("accuracy-networks.png", "Accuracy of networks and subsets (Tables 2 and 3)", (*NINE, *SUBSET_ROWS)),
        ("accuracy-methods.png", "Accuracy of fusions and other methods (Tables 5 to 7)", METHODS),
    ):
        if protocols := series.list_protocols(results, rows):
            run = [row for row in rows if any(row in series.find_rows(results, protocol) for protocol in protocols)]
            named = [replace(of_row[row], row=series.mark_row(results, row, protocols)) for row in run]
            about = end_caption(results, protocols, run, mark="Dagger (either protocol)")
            caption = f"The paper's bar is the 95 % sampling error of its own test set, pictures taken as independent. {about}"
            yield Picture(file, title, caption, plot_intervals(named, label="accuracy (%)", say=show_verdict), of_paper=True)


def draw_confusions(shown: Shown, results: Results) -> Iterator[Picture]:
    """Confusion matrices of the nine networks, and of the ensemble and the other methods."""
    for file, title, wanted in (("networks", "the nine networks", NINE), ("methods", "fusions and other methods", METHODS)):
        for protocol in series.list_protocols(results, wanted):
            rows = [row for row in wanted if row in series.find_rows(results, protocol)]
            counts = [metrics.count_confusion(shown.predictions, row, protocol) for row in rows]
            named = [textwrap.fill(series.mark_row(results, row, [protocol]), 24) for row in rows]
            seeds = [len(series.find_rows(results, protocol)[row].seeds) for row in rows]
            figure = grids.plot_confusion_matrices(list(zip(named, counts, strict=True)), CLASSES, columns=3, runs=seeds)
            about = end_caption(results, [protocol], rows, intervals=False)
            caption = f"Counts summed over the seeds, percentages of each true class. {about}"
            name = f"Confusion matrices of {title}, {PROTOCOL_NAMES[protocol]}"
            yield Picture(f"confusion-{file}-{protocol}.png", name, caption, figure)


def draw_reliability(shown: Shown, results: Results) -> Iterator[Picture]:
    """Whether the ensemble's probabilities are frequencies, in the first seed of each protocol."""
    curves = []
    protocols = series.list_protocols(results, [ENSEMBLE])
    for protocol in protocols:
        part = select(shown, ENSEMBLE, protocol)
        part = part[part["seed"] == part["seed"].min()]
        name = series.mark_row(results, ENSEMBLE, [protocol]).replace(ENSEMBLE, f"ensemble, {PROTOCOL_NAMES[protocol]}")
        curves.append((name, part["y_true"].to_numpy(), part["y_score_1"].to_numpy()))
    if curves:
        bins = int(np.clip(min(len(labels) for _, labels, _ in curves) // 10, 2, 10))
        figure = plot_reliability(curves, bins=bins, positive_class=CLASSES[1])
        upper, lower = figure.axes
        lower.set_yscale("linear")
        if (legend := upper.get_legend()) is not None:
            legend.remove()  # wide intervals would run through it
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper left", fontsize=style.SMALL, frameon=False)
        caption = (
            f"Ensemble, first seed, {bins} groups of equally many test cases. Bars: 95 % Wilson intervals, which take pictures "
            "as independent. Below: how many cases have which score. "
            + end_caption(results, protocols, [ENSEMBLE], intervals=False)
        )
        yield Picture("reliability.png", "Reliability of the ensemble's probabilities", caption, figure)


def draw_trainings(shown: Shown, results: Results) -> Iterator[Picture]:
    """Steps 1 and 2 of the three networks at Scale 1, with the k that each seed chose."""
    for protocol in series.list_protocols(results, SINGLES):
        for network in NETWORKS:
            row, about = name_model(network, 1), f"{network}, Scale 1, {PROTOCOL_NAMES[protocol]}"
            names = [name_step_1(network, 1), *(name_plan(network, 1, k) for k in shown.config.depths)]
            part = shown.history[(shown.history["protocol"] == protocol) & shown.history["row"].isin(names)]
            part = part[part["fold"] == part["fold"].min()]
            depths = {seed: of[network] for (run, seed), of in shown.depths.items() if run == protocol and network in of}
            step_1 = {seed: series.read_curves(part, seed, "step1") for seed in depths}
            step_2 = {seed: series.read_curves(part, seed, f"step2-{k}") for seed, k in depths.items() if k}
            if not depths:
                continue
            runs, (end, last) = series.join_stages([step_1, step_2])
            called = ("training (loss with L2 penalty)", f"{WATCHED[protocol][0]} (loss without)")
            figure = plot_history(runs, title=series.mark_off(results, about, [row]), names=called, loss=LOSS)
            for axes in figure.axes if last > end else []:
                axes.axvline(end + 0.5, color=style.GREY, linestyle=":", linewidth=1.2)
            watched = f"{WATCHED[protocol][1]}. {PENALTY} " if part["val_loss"].notna().any() else ""
            chosen = ", ".join(f"{k} (seed {seed})" for seed, k in depths.items())
            caption = (
                "Step 1 (new head), from the dotted line on step 2 (fine-tuning) with the k that was chosen: "
                f"{chosen}; 0 stays with step 1. {watched}Thin: seeds; thick: mean of those still training. "
                + end_caption(results, [], [row], intervals=False)
            )
            yield Picture(f"history-{slug(network)}-{protocol}.png", f"Training of {about}", caption, figure)
