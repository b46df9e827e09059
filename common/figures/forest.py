"""The forest plot of all papers as an SVG text: equal numbers give equal bytes with any version of any library.

Three marks tell printed, ours and leak-free apart without colour; the colours are those of Okabe and Ito, lighter in the dark.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from common.figures.style import BLUE, GREY, ORANGE, SKY, VERMILION, IntervalLine

WIDTH, LEFT, RIGHT = 980, 285, 665  # of the picture; ends of the axis; in pixels
TOP, LINE, HEADING, FOOT = 74, 40, 40, 48  # heights of the legend, a line, a heading, the axis
NAME, HEAD = 44, 120  # characters of a line of a row's name and of a heading
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


@dataclass(frozen=True)
class Group:
    """The lines of one paper; all numbers in 0..1."""

    title: str
    about: str  # which data ours are made on
    lines: Sequence[IntervalLine]


def draw_forest(groups: Sequence[Group], *, title: str, label: str) -> str:
    """An SVG of the groups one below the other, on one axis in percent; beside each line its verdict.

    title: what the picture says, for who cannot see it; label: the quantity with its unit. ValueError without a number.
    """
    values = [value for group in groups for line in group.lines for value in _list_ends(line)]
    if not values:
        raise ValueError("no number to draw")
    low = max(0, math.floor(10 * min(values)) * 10)
    scale = (RIGHT - LEFT) / (100 - low)
    height = TOP + FOOT + sum(HEADING + LINE * len(group.lines) for group in groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        *_draw_legend(),
    ]
    ticks = range(low, 101, 10)
    bottom = height - FOOT
    parts += [f'<line class="grid" x1="{_at(t, low, scale)}" x2="{_at(t, low, scale)}" y1="{TOP}" y2="{bottom}"/>' for t in ticks]
    y = TOP
    for group in groups:
        parts.append(f'<rect class="ground" y="{y}" width="{WIDTH}" height="{HEADING}"/>')
        parts.append(f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>')
        parts.append(_write(8, y + 17, textwrap.shorten(group.title, HEAD, placeholder=" ..."), "head"))
        parts.append(_write(8, y + 33, textwrap.shorten(group.about, HEAD, placeholder=" ..."), "soft"))
        y += HEADING
        for line in group.lines:
            parts += _draw_line(line, y + LINE / 2, low, scale)
            y += LINE
    parts.append(f'<line class="rule" x1="{LEFT}" x2="{RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts += [_write(_at(tick, low, scale), bottom + 17, str(tick), "mid") for tick in ticks]
    parts.append(_write((LEFT + RIGHT) / 2, bottom + 36, label, "mid"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _list_ends(line: IntervalLine) -> list[float]:
    """Every number that a line draws."""
    around = [line.paper - line.tolerance] if line.paper is not None and line.tolerance is not None else []
    drawn = (line.paper, line.ours, line.low, line.leakfree, line.leakfree_low, line.majority, line.leakfree_majority, *around)
    return [value for value in drawn if value is not None]


def _at(percent: float, low: float, scale: float) -> str:
    """Place of a value on the axis; what lies beyond its ends is drawn at them."""
    return f"{LEFT + scale * (min(max(percent, low), 100) - low):.1f}"


def _write(x: float | str, y: float, text: str, kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y:g}"{of_kind}>{escape(text)}</text>'


def _draw_line(line: IntervalLine, y: float, low: float, scale: float) -> list[str]:
    """Name, marks with their intervals one below the other, verdict."""
    names = textwrap.wrap(line.row, NAME)[:2]
    parts = [_write(LEFT - 12, y + 4 + 15 * (i - (len(names) - 1) / 2), name, "end") for i, name in enumerate(names)]
    parts.append(_write(RIGHT + 14, y + 4, line.verdict, "soft"))
    for rate, top, bottom in ((line.majority, -17, 4), (line.leakfree_majority, 5, 18)):
        if rate is not None:
            x = _at(100 * rate, low, scale)
            parts.append(f'<line class="majority" x1="{x}" x2="{x}" y1="{y + top:g}" y2="{y + bottom:g}"/>')
    printed, half = line.paper, line.tolerance
    ends = (None, None) if printed is None or half is None else (printed - half, printed + half)
    marks = (
        ("paper", printed, *ends, y - 11),
        ("ours", line.ours, line.low, line.high, y),
        ("leakfree", line.leakfree, line.leakfree_low, line.leakfree_high, y + 11),
    )
    for kind, mean, start, end, place in marks:
        if mean is not None:
            between = [_at(100 * value, low, scale) for value in (start, end) if value is not None]
            if len(between) == 2:
                parts.append(f'<line class="{kind}" x1="{between[0]}" x2="{between[1]}" y1="{place:g}" y2="{place:g}"/>')
            parts.append(_draw_mark(kind, float(_at(100 * mean, low, scale)), place))
    return parts


def _draw_mark(kind: str, x: float, y: float) -> str:
    """Diamond: printed; disc: ours; open square: leak-free; stroke: the most frequent class."""
    if kind == "paper":
        return f'<path class="paper" d="M{x:.1f} {y - 5:g}l5 5l-5 5l-5 -5z"/>'
    if kind == "ours":
        return f'<circle class="ours" cx="{x:.1f}" cy="{y:g}" r="4"/>'
    if kind == "leakfree":
        return f'<rect class="leakfree open" x="{x - 3.5:.1f}" y="{y - 3.5:g}" width="7" height="7"/>'
    return f'<line class="majority" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:g}" y2="{y + 9:g}"/>'


def _draw_legend() -> list[str]:
    parts = []
    for number, (kind, text) in enumerate(LEGEND):
        x, y = 24 + 330 * (number // 2), 24 + 24 * (number % 2)
        if kind != "majority":
            parts.append(f'<line class="{kind}" x1="{x - 14}" x2="{x + 14}" y1="{y}" y2="{y}"/>')
        parts += [_draw_mark(kind, x, y), _write(x + 24, y + 4, text)]
    return parts
