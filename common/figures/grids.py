"""Figures in a grid: confusion matrices, tables of numbers in colour, pictures side by side, maps laid over pictures."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from common.figures.style import BLACK, NORMAL, SMALL, new_figure, style_axes


def blend_map(image: np.ndarray, values: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """An image under a map laid over it in colour: uint8 (h, w, 3).

    image: (h, w), (h, w, 1) or (h, w, 3) in 0..255; values: the map, (h, w) in [0, 1]. The colours are transparent where the
    map is 0 and have the opacity `strength` (0..1) where it is 1.
    """
    opacity = strength * values[..., None]
    colours = 255 * colormaps["inferno"](values)[..., :3]
    image = np.asarray(image, float)
    image = image[..., None] if image.ndim == 2 else image
    return np.rint((1 - opacity) * image + opacity * colours).astype(np.uint8)


def plot_overlays(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray | None],
    titles: Sequence[str],
    *,
    columns: int,
    label: str,
) -> Figure:
    """Images uint8 (h, w), each with its title above and under its map (h, w) in [0, 1], if it has one; with a colour bar.

    A contour encloses where the map exceeds 0.5, so that this shows without colour; label: what the maps are.
    """
    blended = [image if values is None else blend_map(image, values) for image, values in zip(images, maps, strict=True)]
    figure = plot_image_grid(blended, titles, columns=columns)
    figure.set_size_inches(figure.get_figwidth() + 1.1, figure.get_figheight())  # room for the colour bar
    for axes, values in zip(figure.axes, maps, strict=False):
        if values is not None and values.min() < 0.5 < values.max():
            axes.contour(values, levels=[0.5], colors=BLACK, linewidths=2.2)
            axes.contour(values, levels=[0.5], colors="white", linewidths=1.0)
    scale = np.linspace(0, 1, 256)
    shown = ListedColormap(blend_map(np.full((1, 256), 128), scale[None])[0] / 255)  # as over a middle grey
    bar = figure.colorbar(ScalarMappable(cmap=shown), ax=figure.axes, shrink=0.7, pad=0.02)
    bar.ax.axhline(0.5, color="white", linewidth=1.0)
    bar.set_label(label, fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def mark_cells(figure: Figure, marked: Sequence[np.ndarray], mark: str) -> None:
    """Append a mark to numbers in a figure of `plot_heatmap`; marked: which ones, bool (rows, columns) for each panel."""
    for axes, of_panel in zip(figure.axes, marked, strict=False):
        for text in axes.texts:
            column, row = (int(place) for place in text.get_position())
            if of_panel[row, column]:
                text.set_text(text.get_text() + mark)


def plot_confusion_matrices(
    matrices: Sequence[tuple[str, np.ndarray]], class_names: Sequence[str], columns: int = 4, runs: Sequence[int] = ()
) -> Figure:
    """A panel for each matrix: the counts, and below each its share of the row, that is of the true class, in %.

    matrices: (title, counts (classes, classes) with the truth in rows and the prediction in columns). runs: of each matrix, over
    how many trainings it is summed that score the same cases: the title then says "n = 5 × 269", not that there are 1,345.
    """
    columns = min(columns, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    side = max(2.3, 0.75 * len(class_names))
    figure = new_figure(side * columns + 0.8, (side + 0.55) * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for position, axes in enumerate(panels.flat):
        if position >= len(matrices):
            axes.set_axis_off()
            continue
        title, counts = matrices[position]
        times = runs[position] if runs else 1
        counts = np.asarray(counts)
        totals = counts.sum(axis=1, keepdims=True)
        shares = 100 * np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for (truth, answer), count in np.ndenumerate(counts):
            percent = f"{shares[truth, answer]:.1f} %" if totals[truth, 0] else "no case"
            axes.text(
                answer,
                truth,
                f"{count:,}\n{percent}",
                ha="center",
                va="center",
                fontsize=NORMAL,
                color="white" if shares[truth, answer] > 65 else "black",
            )
        style_axes(
            axes,
            title=f"{title}\nn = {f'{times} × ' * (times > 1)}{counts.sum() // times:,}",
            x="predicted" if position + columns >= len(matrices) else "",
            y="truth" if position % columns == 0 else "",
        )
        axes.grid(False)
        axes.set_xticks(range(len(class_names)), class_names)
        axes.set_yticks(range(len(class_names)), class_names, rotation=90, va="center")
    bar = figure.colorbar(image, ax=panels, shrink=0.7, pad=0.02)
    bar.set_label("share of the true class (%)", fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def plot_heatmap(
    panels: Sequence[tuple[str, np.ndarray]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    label: str,
    digits: int = 1,
) -> Figure:
    """Tables of numbers side by side on one colour scale, each number written into its cell.

    panels: (title, values (rows, columns)); a NaN is hatched and marked "not run". label: what the values are, with unit;
    digits: after the point. ValueError where the values do not fit the names of rows and columns.
    """
    stacked = np.array([values for _, values in panels], dtype=float)
    if stacked.shape[1:] != (len(row_names), len(column_names)):
        raise ValueError(f"values of shape {stacked.shape[1:]} for {len(row_names)} rows, {len(column_names)} columns")
    known = stacked[np.isfinite(stacked)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    high = high if high > low else low + 1
    figure = new_figure(2.0 + len(panels) * (0.72 * len(column_names) + 0.35), 1.1 + 0.42 * len(row_names))
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    scale = matplotlib.colormaps["cividis"]
    for axes, (title, _), values in zip(all_axes, panels, stacked, strict=True):
        image = axes.imshow(values, cmap=scale, vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _alpha = scale((value - low) / (high - low))
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                axes.text(
                    column,
                    row,
                    f"{value:.{digits}f}",
                    ha="center",
                    va="center",
                    fontsize=NORMAL,
                    color="white" if dark else "black",
                )
            else:
                axes.add_patch(
                    Rectangle(
                        (column - 0.5, row - 0.5),
                        1,
                        1,
                        facecolor="white",
                        edgecolor="#aab2bd",
                        hatch="////",
                        linewidth=0,
                    )
                )
                axes.text(
                    column,
                    row,
                    "not run",
                    ha="center",
                    va="center",
                    fontsize=SMALL - 1,
                    color="black",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )
        style_axes(axes, title=title)
        axes.grid(False)
        axes.set_xticks(range(len(column_names)), column_names, rotation=20, ha="right")
        axes.set_yticks(range(len(row_names)), row_names)
    bar = figure.colorbar(image, ax=list(all_axes), pad=0.02)
    bar.set_label(label, fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def plot_image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    columns: int = 4,
    captions: Sequence[str] = (),
    side: float = 1.5,
) -> Figure:
    """Images side by side with titles above and captions below.

    images: (h, w), (h, w, 1) or (h, w, 3), uint8 in 0..255 or float in 0..1. side: width of one image in inches. ValueError
    where titles or captions are not as many as the images.
    """
    if len(titles) != len(images) or (captions and len(captions) != len(images)):
        raise ValueError(f"{len(images)} images, {len(titles)} titles, {len(captions)} captions")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    figure = new_figure((side + 0.15) * columns, (side + 0.35 + 0.16 * lines) * rows)
    for position, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_xticks([])
        axes.set_yticks([])
        if position >= len(images):
            axes.set_axis_off()
            continue
        image = np.squeeze(np.asarray(images[position]))
        axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, interpolation="nearest")
        axes.set_title(titles[position], fontsize=SMALL, parse_math=False)
        if captions:
            axes.set_xlabel(captions[position], fontsize=SMALL)
    return figure
