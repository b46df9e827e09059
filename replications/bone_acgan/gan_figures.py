"""The figures of the GANs: how they trained (Fig. 8, stage 1), and their pictures (Figs. 9 to 11)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.figures.style import SMALL, Picture, new_figure, pick_style, style_axes
from common.records.results import Results
from common.runs.cells import read_record
from replications.bone_acgan.config import CLASSES
from replications.bone_acgan.data import shrink_pictures
from replications.bone_acgan.plans import Gan
from replications.bone_acgan.rows import GENERATED, MU, PLAIN, SNAPSHOTS, SOURCE
from replications.bone_acgan.shown import Shown, cells_of, describe_place, find_cell, find_curve, find_trained
from replications.bone_acgan.sources.chests import CHESTS

DIRECT, TRANSFERRED, BASELINE = Gan(MU, transfer=False), Gan(MU, transfer=True), Gan(PLAIN, transfer=True)
EACH = 2  # pictures of a class in a grid


LABELS = {
    "generator": "generator", "discriminator": "discriminator", "real_found": "on real", "fake_found": "on generated",
    "real_class": "on classes of real",
}  # fmt: skip


def plot_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """A column a training: losses above, below how often the discriminator is right."""
    figure = new_figure(0.6 + 3.9 * len(curves), 5.6)
    panels = figure.subplots(2, len(curves), sharey="row", squeeze=False)
    for column, (name, curve) in enumerate(curves.items()):
        for place, columns in enumerate((("generator", "discriminator"), ("real_found", "fake_found", "real_class"))):
            axes = panels[place][column]
            for number, of in enumerate(columns):
                colour, line, _ = pick_style(number)
                axes.plot(
                    curve["epoch"],
                    (100 if place else 1) * curve[of],
                    color=colour,
                    linestyle=line,
                    linewidth=1.5,
                    label=LABELS[of],
                )
            y = ("loss (nats)", "discriminator is right (%)")[place] if column == 0 else ""
            style_axes(axes, title="" if place else name, x="epoch" if place else "", y=y)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if column == 0:
                anchor = {"loc": "lower left", "bbox_to_anchor": (0, 1.0 if place else 1.1)}
                axes.legend(fontsize=SMALL, frameon=False, ncols=len(columns), borderaxespad=0, **anchor)
    return figure


def plot_rows(rows: Mapping[str, Sequence[np.ndarray]], *, dark_on_light: bool = True) -> Figure:
    """Rows of pictures, by default dark on light as scans are read; the same number in each, named at the left."""
    columns = max(len(pictures) for pictures in rows.values())
    height, width = next(iter(rows.values()))[0].shape
    figure = new_figure(1.2 + columns * 0.95, 0.5 + len(rows) * 0.95 * height / width)
    axes_of = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (name, pictures) in zip(axes_of, rows.items(), strict=True):
        for place, axes in enumerate(axes_row):
            axes.set_xticks([])
            axes.set_yticks([])
            if place < len(pictures):
                axes.imshow(255 - pictures[place] if dark_on_light else pictures[place], cmap="gray", vmin=0, vmax=255)
        axes_row[0].set_ylabel(name, fontsize=SMALL)
    return figure


def name_columns(figure: Figure, count: int, classes: Sequence[str] = CLASSES) -> None:
    """The class above its columns."""
    for label, name in enumerate(classes):
        figure.axes[label * count].set_title(name, fontsize=SMALL, loc="left")


def read_generated(folder: Path, count: int) -> tuple[list[np.ndarray], list[str]]:
    """The first pictures of each class that a GAN made, class after class, and the classes."""
    with np.load(folder / GENERATED, allow_pickle=False) as stored:
        pictures, labels = stored["pictures"], stored["labels"]
    known = np.unique(labels)
    return [picture for label in known for picture in pictures[labels == label][:count]], [CLASSES[label] for label in known]


def draw_figure_8(shown: Shown, results: Results) -> Iterator[Picture]:
    """Losses and accuracy of MU-ACGAN's networks, trained directly and after the first stage."""
    found = {one.row: entry for one in (DIRECT, TRANSFERRED) if (entry := find_curve(shown, one))}
    if found:
        figure = plot_curves({name: curve for name, (_, curve) in found.items()})
        caption = (
            f"One training each ({describe_place(next(iter(found.values()))[0])}). An epoch is a pass over the training part, or "
            f"a twentieth of a training of fixed length. Data: {results.datasets[0].name}."
        )
        yield Picture("figure-8.png", "Fig. 8: training of MU-ACGAN without and with the first stage", caption, figure)


def draw_figure_9(shown: Shown, results: Results) -> Iterator[Picture]:
    """Pictures of MU-ACGAN without and with the first stage."""
    found = {one.row: entry for one in (DIRECT, TRANSFERRED) if (entry := find_cell(shown, one))}
    if len(found) == 2:
        made = {name: read_generated(folder, EACH) for name, (_, folder) in found.items()}
        figure = plot_rows({name: pictures for name, (pictures, _) in made.items()})
        name_columns(figure, EACH, next(iter(made.values()))[1])
        caption = f"The first {EACH} pictures of each class, none chosen. Data: {results.datasets[0].name}."
        title = "Fig. 9: generated pictures without and with the first stage"
        yield Picture("figure-9.png", title, caption, figure, shows_cases=True)


def draw_figure_10(shown: Shown, results: Results) -> Iterator[Picture]:
    """Pictures of the same noise in the course of a training."""
    entry = find_cell(shown, TRANSFERRED)
    if entry is None or not (entry[1] / SNAPSHOTS).is_file():
        return
    shots = np.load(entry[1] / SNAPSHOTS, allow_pickle=False)  # (marks, classes * 2, height, width)
    marks = read_record(find_trained(shown, TRANSFERRED), cells_of(shown))["outcome"]["marks"]
    rows = {f"after {100 * mark / max(marks):.3g} %": list(of) for mark, of in zip(marks, shots, strict=True)}
    figure = plot_rows(rows)
    name_columns(figure, 2, read_generated(entry[1], EACH)[1])
    caption = (
        f"The same noise and classes in every row; the paper shows epochs {', '.join(map(str, shown.config.shown_epochs))}, here "
        f"shares of the training ({describe_place(entry[0])}). Data: {results.datasets[0].name}."
    )
    yield Picture("figure-10.png", "Fig. 10: pictures in the course of the training", caption, figure, shows_cases=True)


def draw_figure_11(shown: Shown, results: Results) -> Iterator[Picture]:
    """ACGAN, MU-ACGAN and real pictures of each class."""
    found = {one.row: entry[1] for one in (BASELINE, TRANSFERRED) if (entry := find_cell(shown, one))}
    if not found or shown.scans is None:
        return
    rows = {name: read_generated(folder, EACH)[0] for name, folder in found.items()}
    names = read_generated(next(iter(found.values())), EACH)[1]
    labels = shown.scans.cases["label"].to_numpy()
    chosen = np.concatenate([np.flatnonzero(labels == CLASSES.index(name))[:EACH] for name in names])
    rows["real"] = list(shrink_pictures(np.asarray(shown.scans.images)[chosen][..., 0], shown.config))
    figure = plot_rows(rows)
    name_columns(figure, EACH, names)
    caption = f"The first {EACH} pictures of each class, none chosen. Data: {results.datasets[0].name}."
    yield Picture("figure-11.png", "Fig. 11: generated and real pictures", caption, figure, shows_cases=True)


def draw_stage_1(shown: Shown, results: Results) -> Iterator[Picture]:
    """The first stage: its curves, and what each GAN draws at its end."""
    part = shown.history[shown.history["protocol"] == SOURCE]
    curves = {f"{row}, stage 1": part[part["row"] == row].sort_values("epoch") for row in dict.fromkeys(part["row"])}
    if curves:
        caption = "Chest radiographs of up to four classes; the one training that all folds and seeds start from."
        yield Picture("stage-1.png", "The first stage of the GANs", caption, plot_curves(curves))
    rows, names = {}, list(CHESTS)
    for gan, cell in shown.trained.first.items() if shown.trained else ():
        path = cells_of(shown) / cell.key / SNAPSHOTS
        if path.is_file():
            rows[gan] = list(np.load(path, allow_pickle=False)[-1])
            names = read_record(cell, cells_of(shown))["outcome"]["classes"]
    if rows:
        figure = plot_rows(rows, dark_on_light=False)
        name_columns(figure, 2, names)
        caption = "What each GAN makes of the classes at the end of the first stage, two of each, none chosen."
        yield Picture("stage-1-pictures.png", "Chest radiographs of the GANs", caption, figure, shows_cases=True)
