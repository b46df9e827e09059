"""How every figure looks, and how it is written. Each kind of figure is a function that returns a matplotlib Figure.

Colours are those of Okabe and Ito (distinct for colour-blind readers); line styles, markers and hatching repeat the
distinction, so that every figure reads in grey.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType
from PIL import Image

from common.files import replace_file

Place = Literal["outside lower center", "outside upper left"]  # of a legend

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442",
)  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
LINES: tuple[LineStyleType, ...] = (
    "-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 3)),
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SMALL, NORMAL = 8, 9  # font sizes in points
GREY = "#5b6470"
DPI = 200
SYNTHETIC = "synthetic data: these numbers say nothing about the paper"


@dataclass(frozen=True)
class Picture:
    """A finished figure with what a report says of it."""

    file: str  # name of its PNG
    title: str
    caption: str
    figure: Figure
    shows_cases: bool = False  # pictures of patients
    of_paper: bool = False  # the paper's own numbers stand in it: no picture for a report of own data


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, width and height in inches, with the Agg canvas; nothing is registered with pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Title and labels (x, y: what the axes show, with units) in one size everywhere, light grid, no box."""
    axes.set_title(title, fontsize=NORMAL, loc="left")
    axes.set_xlabel(x, fontsize=NORMAL)
    axes.set_ylabel(y, fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.set_axisbelow(True)


def add_legend(figure: Figure, handles: Sequence[Artist], place: Place = "outside lower center") -> None:
    """A legend beside the panels in two columns, in one where two are wider than the figure."""
    for columns in (2, 1):
        legend = figure.legend(handles=handles, loc=place, ncols=columns, fontsize=SMALL, frameon=False)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def pick_style(number: int, colours: Sequence[str] = COLOURS) -> tuple[str, LineStyleType, str]:
    """Colour, line style and marker of the series with this number (from 0); they start again where they are used up."""
    return colours[number % len(colours)], LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]


def save_figure(figure: Figure, path: Path, synthetic: bool) -> None:
    """Write a PNG at 200 dpi, whole or not at all; equal figures give equal bytes.

    `synthetic` puts a strip above the picture that says so.
    """
    pixels = _render(figure)
    if synthetic:
        width = pixels.shape[1] / DPI
        strip = new_figure(width + 1 / DPI, 0.24)  # a pixel more: sizes in inches are rounded down
        strip.set_facecolor(VERMILION)
        text = SYNTHETIC if width > 4 else "synthetic data"
        strip.text(0.5, 0.5, text, color="white", fontsize=SMALL, weight="bold", ha="center", va="center_baseline")
        pixels = np.vstack([_render(strip)[:, : pixels.shape[1]], pixels])
    with replace_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="png", dpi=(DPI, DPI))


def _render(figure: Figure) -> np.ndarray:
    """Pixels of a figure of `new_figure`, drawn at DPI: uint8 (h, w, 3)."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    figure.set_dpi(DPI)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


class IntervalLine(Protocol):
    """One line of a forest plot. Numbers are fractions in 0..1, None where there is none.

    tolerance: half-width of the band around the paper's value; low, high: limits of our interval; majority: share of the most
    frequent class of the test set; verdict: on ours beside the paper's, "" where there is none. Names with leakfree_: the same
    under the leak-free protocol.
    """

    @property
    def row(self) -> str: ...
    @property
    def paper(self) -> float | None: ...
    @property
    def tolerance(self) -> float | None: ...
    @property
    def verdict(self) -> str: ...
    @property
    def ours(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def leakfree(self) -> float | None: ...
    @property
    def leakfree_low(self) -> float | None: ...
    @property
    def leakfree_high(self) -> float | None: ...
    @property
    def majority(self) -> float | None: ...
    @property
    def leakfree_majority(self) -> float | None: ...
