"""The figures of the paper (8 to 14), and ours, from a finished run."""

from collections.abc import Iterator

import numpy as np
from matplotlib.ticker import MaxNLocator

from common.evaluation.metrics import count_confusion
from common.figures import grids
from common.figures.style import SMALL, Picture, new_figure, pick_style, style_axes
from common.records.results import Results
from replications.bone_acgan.config import CLASSES
from replications.bone_acgan.gan_figures import draw_figure_8, draw_figure_9, draw_figure_10, draw_figure_11, draw_stage_1
from replications.bone_acgan.implied import TESTED, imply_matrix
from replications.bone_acgan.rows import FINAL, MU, PLAIN, SHORT, name_gan
from replications.bone_acgan.shown import Shown
from replications.bone_acgan.stages import count_shown

SNAPSHOTS = "snapshots.npy"


def draw_figures(shown: Shown, results: Results) -> Iterator[Picture]:
    """Every figure that there is material for."""
    of_paper = (draw_figure_8, draw_figure_9, draw_figure_10, draw_figure_11, draw_figure_12, draw_figure_13, draw_figure_14)
    for draw in (*of_paper, draw_stage_1):
        yield from draw(shown, results)


def draw_figure_12(shown: Shown, results: Results) -> Iterator[Picture]:
    """SSIM of one generated picture of each class with the test pictures of the class, beside that of the real ones."""
    found = {
        one.row: one for one in reversed(shown.judged) if one.protocol == "paper" and one.row in (name_gan(PLAIN), name_gan(MU))
    }
    labels = [label for label in range(len(CLASSES)) if any(f"generated {label}" in one.curves for one in found.values())]
    if not labels:
        return
    figure = new_figure(0.6 + 2.9 * len(labels), 3.2)
    panels = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    for axes, label in zip(panels, labels, strict=True):
        lines = {name: one.curves[f"generated {label}"] for name, one in sorted(found.items())}
        lines["real (mean with the others)"] = next(iter(found.values())).curves[f"real {label}"]
        for number, (name, values) in enumerate(lines.items()):
            colour, _, marker = pick_style(number)
            places = np.arange(1, len(values) + 1)
            axes.plot(places, values, color=colour, linestyle="none", marker=marker, markersize=4, label=name)
        style_axes(axes, title=f"{CLASSES[label]}, n = {len(values)}", x="test picture", y="SSIM" if axes is panels[0] else "")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
    caption = (
        "One generated picture of each class, drawn at random, against every test picture of the class, levels matched. The "
        f"comparison looks at test pictures, as the paper's did; nothing is chosen by it here. Data: {results.datasets[0].name}."
    )
    yield Picture("figure-12.png", "Fig. 12: structural similarity with test pictures", caption, figure)


def draw_figure_13(shown: Shown, results: Results) -> Iterator[Picture]:
    """Grad-CAM of the branches and of the multi-scale CNN."""
    if not shown.attention or shown.scans is None:
        return
    pictures, maps, titles = [], [], []
    positions, labels = shown.cases
    for place in range(count_shown(labels)):
        picture = np.asarray(shown.scans.images)[positions[place]][..., 0]
        evidence = {row.partition(" / ")[0]: of[place] for row, of in shown.attention.items()}
        pictures += [picture] * (1 + len(evidence))
        maps += [None, *(of if np.ptp(of) > 0 else None for of in evidence.values())]
        titles += [CLASSES[labels[place]], *evidence]
    label = "evidence for the class\n(share of the maximum)"
    figure = grids.plot_overlays(pictures, maps, titles, columns=1 + len(shown.attention), label=label)
    caption = (
        "Test pictures, and where the evidence for their true class lies (Grad-CAM, Selvaraju et al. 2017; a picture without a "
        "map has none): maps below average pooling, weighed by the last layer; those of three branches are enlarged and added. "
        f"Data set 4. Data: {results.datasets[0].name}."
    )
    yield Picture("figure-13.png", "Fig. 13: what the networks look at", caption, figure, shows_cases=True)


def draw_figure_14(shown: Shown, results: Results) -> Iterator[Picture]:
    """Confusion matrix of the final model, beside the one that the paper's numbers imply."""
    matrices = []
    for protocol, name in (("paper", "ours, the paper's protocol"), ("leakfree", "ours, leak-free")):
        if ((shown.predictions["row"] == FINAL) & (shown.predictions["protocol"] == protocol)).any():
            matrices.append((name, count_confusion(shown.predictions, FINAL, protocol)))
    implied = imply_matrix(shown.paper, FINAL)
    if matrices and implied is not None:
        matrices = [("the paper's, implied", implied), *matrices]
    if matrices:
        figure = grids.plot_confusion_matrices(matrices, list(SHORT), columns=3)
        caption = (
            f"{FINAL}; ours: counts summed over seeds and folds. The paper's follows from its macro means (common.audit): its "
            f"test set had {'/'.join(map(str, TESTED))} images. Data: {results.datasets[0].name}."
        )
        yield Picture("figure-14.png", "Fig. 14: confusion matrices of the final model", caption, figure, of_paper=True)
