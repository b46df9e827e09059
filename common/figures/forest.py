"""The forest plot of all papers as an SVG text: equal numbers give equal bytes with any version of any library.

Three marks tell printed, ours and leak-free apart without colour; the colours are those of Okabe and Ito, lighter in the dark.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from common.figures.style import BLUE, GREY, ORANGE, SKY, VERMILION, IntervalLine

LINE, FOOT, TEXT = 40, 48, 16  # heights of the marks of a line, of the axis, of a line of text; in pixels


@dataclass(frozen=True)
class Layout:
    """Where things stand: in pixels, names and headings in characters of a line."""

    width: int
    left: int  # ends of the axis
    right: int
    columns: int  # of the legend
    name: int
    head: int
    above: bool  # name and verdict of a row above its marks, not beside them; headings broken, not cut

    @property
    def top(self) -> int:
        """Height of the legend."""
        return 26 + 24 * math.ceil(len(LEGEND) / self.columns)


STYLE = f"""
text {{ font: 12.5px "Liberation Sans", Arial, Helvetica, sans-serif; fill: #1c2127; }}
.head {{ font-weight: bold; font-size: 13px; }} .soft {{ fill: #59636e; }}
.end {{ text-anchor: end; }} .mid {{ text-anchor: middle; }}
.ground {{ fill: #fff; }} .grid {{ stroke: #e3e6ea; }} .rule {{ stroke: #59636e; }} .open {{ fill: #fff; }}
.paper {{ stroke: #000; stroke-width: 2; }} .ours {{ stroke: {BLUE}; stroke-width: 2; }}
.leakfree {{ stroke: {VERMILION}; stroke-width: 2; }} line.leakfree {{ stroke-dasharray: 5 2; }}
.majority {{ stroke: {GREY}; stroke-width: 1.6; stroke-dasharray: 1.6 2; }}
path.paper {{ fill: #000; }} circle.ours {{ fill: {BLUE}; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e4e8ec; }} .soft {{ fill: #a3adb8; }}
.ground, .open {{ fill: #14181c; }} .grid {{ stroke: #2c343c; }} .rule {{ stroke: #a3adb8; }}
.paper {{ stroke: #fff; }} path.paper {{ fill: #fff; }} .ours {{ stroke: {SKY}; }} circle.ours {{ fill: {SKY}; }}
.leakfree {{ stroke: {ORANGE}; }} .majority {{ stroke: #a3adb8; }}
}}"""
LEGEND = (
    ("paper", "printed in the paper, 95 % sampling error"),
    ("ours", "ours, the paper's protocol, 95 % interval"),
    ("leakfree", "ours, patients kept apart (leak-free)"),
    ("majority", "always the most frequent class"),
)
WIDE = Layout(width=980, left=285, right=665, columns=2, name=44, head=120, above=False)
NARROW = Layout(width=360, left=14, right=346, columns=1, name=54, head=48, above=True)  # for a telephone


@dataclass(frozen=True)
class Group:
    """The lines of one paper; all numbers in 0..1."""

    title: str
    about: str  # which data ours are made on
    lines: Sequence[IntervalLine]


def draw_forest(groups: Sequence[Group], *, title: str, label: str, layout: Layout = WIDE) -> str:
    """An SVG of the groups one below the other, on one axis in percent; beside each line, or above it, its verdict.

    title: what the picture says, for who cannot see it; label: the quantity with its unit. ValueError without a number.
    """
    values = [value for group in groups for line in group.lines for value in _list_ends(line)]
    if not values:
        raise ValueError("no number to draw")
    low = max(0, math.floor(10 * min(values)) * 10)
    axis = _Axis(layout, low)
    body: list[str] = []
    y = layout.top
    for group in groups:
        heads = _break_heading(group, layout)
        height = 8 + TEXT * len(heads)
        body.append(f'<rect class="ground" y="{y}" width="{layout.width}" height="{height}"/>')
        body.append(f'<line class="grid" x1="0" x2="{layout.width}" y1="{y}" y2="{y}"/>')
        body += [_write(8, y + 17 + TEXT * number, text, kind) for number, (text, kind) in enumerate(heads)]
        y += height
        for line in group.lines:
            texts, drawn = _draw_line(line, y, axis)
            body += drawn
            y += TEXT * texts + LINE
    bottom, height = y, y + FOOT
    ticks = range(low, 101, 10)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{layout.width}" height="{height}" '
        f'viewBox="0 0 {layout.width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{layout.width}" height="{height}"/>',
        *_draw_legend(layout),
        *(f'<line class="grid" x1="{axis.at(t)}" x2="{axis.at(t)}" y1="{layout.top}" y2="{bottom}"/>' for t in ticks),
        *body,
        f'<line class="rule" x1="{layout.left}" x2="{layout.right}" y1="{bottom}" y2="{bottom}"/>',
        *(_write(axis.at(tick), bottom + 17, str(tick), "mid") for tick in ticks),
        _write((layout.left + layout.right) / 2, bottom + 36, label, "mid"),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _list_ends(line: IntervalLine) -> list[float]:
    """Every number that a line draws."""
    around = [line.paper - line.tolerance] if line.paper is not None and line.tolerance is not None else []
    drawn = (line.paper, line.ours, line.low, line.leakfree, line.leakfree_low, line.majority, line.leakfree_majority, *around)
    return [value for value in drawn if value is not None]


def _break_heading(group: Group, layout: Layout) -> list[tuple[str, str]]:
    """(text, kind) of the lines of a heading."""
    texts = ((group.title, "head"), (group.about, "soft"))
    if layout.above:
        return [(part, kind) for text, kind in texts for part in textwrap.wrap(text, layout.head)]
    return [(textwrap.shorten(text, layout.head, placeholder=" ..."), kind) for text, kind in texts]


@dataclass(frozen=True)
class _Axis:
    layout: Layout
    low: int  # percent at its left end

    def at(self, percent: float) -> str:
        """Place of a value; what lies beyond the ends of the axis is drawn at them."""
        scale = (self.layout.right - self.layout.left) / (100 - self.low)
        return f"{self.layout.left + scale * (min(max(percent, self.low), 100) - self.low):.1f}"


def _write(x: float | str, y: float, text: str, kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y:g}"{of_kind}>{escape(text)}</text>'


def _draw_line(line: IntervalLine, top: float, axis: _Axis) -> tuple[int, list[str]]:
    """Name and verdict, and the marks with their intervals one below the other; (lines of text above the marks, parts)."""
    layout = axis.layout
    if layout.above:
        said = [
            (part, kind) for text, kind in ((line.row, ""), (line.verdict, "soft")) for part in textwrap.wrap(text, layout.name)
        ]
        texts = len(said)
        parts = [_write(8, top + 13 + TEXT * number, text, kind) for number, (text, kind) in enumerate(said)]
        y = top + TEXT * texts + LINE / 2
    else:
        names, texts, y = textwrap.wrap(line.row, layout.name)[:2], 0, top + LINE / 2
        ends = [y + 4 + 15 * (i - (len(names) - 1) / 2) for i in range(len(names))]
        parts = [_write(layout.left - 12, end, name, "end") for end, name in zip(ends, names, strict=True)]
        parts.append(_write(layout.right + 14, y + 4, line.verdict, "soft"))
    for rate, above, below in ((line.majority, -17, 4), (line.leakfree_majority, 5, 18)):
        if rate is not None:
            x = axis.at(100 * rate)
            parts.append(f'<line class="majority" x1="{x}" x2="{x}" y1="{y + above:g}" y2="{y + below:g}"/>')
    printed, half = line.paper, line.tolerance
    limits = (None, None) if printed is None or half is None else (printed - half, printed + half)
    marks = (
        ("paper", printed, *limits, y - 11),
        ("ours", line.ours, line.low, line.high, y),
        ("leakfree", line.leakfree, line.leakfree_low, line.leakfree_high, y + 11),
    )
    for kind, mean, start, end, place in marks:
        if mean is not None:
            between = [axis.at(100 * value) for value in (start, end) if value is not None]
            if len(between) == 2:
                parts.append(f'<line class="{kind}" x1="{between[0]}" x2="{between[1]}" y1="{place:g}" y2="{place:g}"/>')
            parts.append(_draw_mark(kind, float(axis.at(100 * mean)), place))
    return texts, parts


def _draw_mark(kind: str, x: float, y: float) -> str:
    """Diamond: printed; disc: ours; open square: leak-free; stroke: the most frequent class."""
    if kind == "paper":
        return f'<path class="paper" d="M{x:.1f} {y - 5:g}l5 5l-5 5l-5 -5z"/>'
    if kind == "ours":
        return f'<circle class="ours" cx="{x:.1f}" cy="{y:g}" r="4"/>'
    if kind == "leakfree":
        return f'<rect class="leakfree open" x="{x - 3.5:.1f}" y="{y - 3.5:g}" width="7" height="7"/>'
    return f'<line class="majority" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:g}" y2="{y + 9:g}"/>'


def _draw_legend(layout: Layout) -> list[str]:
    parts = []
    rows = math.ceil(len(LEGEND) / layout.columns)
    for number, (kind, text) in enumerate(LEGEND):
        x, y = 24 + 330 * (number // rows), 24 + 24 * (number % rows)
        if kind != "majority":
            parts.append(f'<line class="{kind}" x1="{x - 14}" x2="{x + 14}" y1="{y}" y2="{y}"/>')
        parts += [_draw_mark(kind, x, y), _write(x + 24, y + 4, text)]
    return parts
