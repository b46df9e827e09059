"""The forest plot of all papers: where its marks stand, what tells them apart, names that are no markup, equal bytes."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace

import pytest

from common.figures.forest import NARROW, WIDE, Group, draw_forest

SVG = "{http://www.w3.org/2000/svg}"
LEFT, RIGHT = WIDE.left, WIDE.right


@dataclass(frozen=True)
class Line:
    """An `IntervalLine`."""

    row: str = "net"
    paper: float | None = 0.9
    tolerance: float | None = 0.05
    verdict: str = "cannot tell"
    ours: float | None = 0.8
    low: float | None = 0.7
    high: float | None = 0.85
    leakfree: float | None = 0.6
    leakfree_low: float | None = 0.5
    leakfree_high: float | None = 0.65
    majority: float | None = 0.55
    leakfree_majority: float | None = None


def draw(*lines: Line) -> str:
    return draw_forest([Group("A paper", "Doe, 2020", lines)], title="what it says", label="accuracy (%)")


def list_marks(svg: str, kind: str) -> list[ElementTree.Element]:
    """Elements of a kind, those of the legend left out."""
    found = [node for node in ElementTree.fromstring(svg).iter() if kind in (node.get("class") or "").split()]
    return found[2 if kind != "majority" else 1 :]


def test_marks_and_intervals_stand_at_their_values():
    svg = draw(Line())
    assert re.findall(r'class="mid">(\d+)<', svg) == ["50", "60", "70", "80", "90", "100"]
    at = {percent: LEFT + (RIGHT - LEFT) * (percent - 50) / 50 for percent in range(50, 101, 5)}
    interval, disc = list_marks(svg, "ours")
    assert [float(interval.get(name)) for name in ("x1", "x2")] == pytest.approx([at[70], at[85]], abs=0.06)
    assert float(disc.get("cx")) == pytest.approx(at[80], abs=0.06)
    interval, square = list_marks(svg, "leakfree")
    assert [float(interval.get(name)) for name in ("x1", "x2")] == pytest.approx([at[50], at[65]], abs=0.06)
    assert float(square.get("x")) + 3.5 == pytest.approx(at[60], abs=0.06)
    band, diamond = list_marks(svg, "paper")
    assert [float(band.get(name)) for name in ("x1", "x2")] == pytest.approx([at[85], at[95]], abs=0.06)
    assert float(diamond.get("d")[1:].split()[0]) == pytest.approx(at[90], abs=0.06)
    (stroke,) = list_marks(svg, "majority")
    assert float(stroke.get("x1")) == float(stroke.get("x2")) == pytest.approx(at[55], abs=0.06)


def test_what_does_not_exist_is_not_drawn():
    nothing = Line(**dict.fromkeys(("tolerance", "ours", "low", "high", "leakfree", "leakfree_low", "leakfree_high", "majority")))
    svg = draw(nothing)
    assert [node.tag for node in list_marks(svg, "paper")] == [f"{SVG}path"]
    assert not list_marks(svg, "ours") + list_marks(svg, "leakfree") + list_marks(svg, "majority")
    with pytest.raises(ValueError, match="no number"):
        draw(replace(nothing, paper=None))


def test_shape_tells_the_marks_apart_without_colour():
    svg = draw(Line())
    tags = [list_marks(svg, kind)[-1].tag.removeprefix(SVG) for kind in ("paper", "ours", "leakfree")]
    assert tags == ["path", "circle", "rect"]
    assert "open" in list_marks(svg, "leakfree")[-1].get("class")
    assert re.search(r"line\.leakfree \{ stroke-dasharray", svg)


def test_on_a_telephone_names_and_verdicts_stand_above_the_marks_and_nothing_is_cut():
    lines = [Line(row="a long name of a row " * 6, verdict="differs, lower; leak +1.0 [+0.2, +1.8]"), Line()]
    groups = [Group("A long title of a paper " * 8, "Doe, 2020; ours: many pictures of " + "patients " * 20, lines)]
    svg = draw_forest(groups, title="what it says", label="accuracy (%)", layout=NARROW)
    texts = [node for node in ElementTree.fromstring(svg).iter(f"{SVG}text") if node.get("class") != "mid"]
    said = " ".join(node.text for node in texts)
    for whole in (groups[0].title, groups[0].about, *(line.row for line in lines), *(line.verdict for line in lines)):
        assert " ".join(whole.split()) in said
    assert all(float(node.get("x")) + 6.5 * len(node.text) <= NARROW.width + 8 for node in texts)  # pixels of a letter
    _, first, _, second = list_marks(svg, "ours")
    for disc, name in ((first, "a long name"), (second, "net")):
        (above,) = [float(node.get("y")) for node in texts if node.text.startswith(name)][:1]
        assert above < float(disc.get("cy")) - 11
        assert 0 < float(disc.get("cx")) < NARROW.width
    height = float(ElementTree.fromstring(svg).get("height"))
    assert float(second.get("cy")) < height - 40


def test_a_limit_beyond_the_axis_ends_at_it():
    (band, _) = list_marks(draw(Line(paper=0.99, tolerance=0.05)), "paper")
    assert float(band.get("x2")) == RIGHT


def test_names_are_text_and_long_ones_are_broken_or_shortened():
    hostile = '<script>alert(1)</script> & "quoted" ' + "word " * 60
    svg = draw_forest([Group(hostile, hostile, [Line(row=hostile, verdict=hostile)])], title=hostile, label=hostile)
    nodes = list(ElementTree.fromstring(svg).iter())
    assert not [node for node in nodes if node.tag.endswith("script")]
    names = [node.text for node in nodes if node.get("class") == "end"]
    assert len(names) == 2
    assert max(map(len, names)) <= 44
    assert len(next(node.text for node in nodes if node.get("class") == "head")) <= 120


def test_equal_numbers_give_equal_bytes_and_nothing_is_asked_of_the_network():
    svg = draw(Line(), Line(row="other"))
    assert svg == draw(Line(), Line(row="other"))
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]  # its name space, which is not fetched
    assert "url(" not in svg
    assert "href" not in svg
