"""cases.csv of a user's own folder: readable lines, every other line's fault, lines that stand twice."""

from pathlib import Path

import pytest

from common.data.listing import drop_repeated, list_own
from common.errors import UsageError

LABELS = {"healthy": 0, "ill": 1, "0": 0, "1": 1}
EXPECTED = "healthy (0) or ill (1)"


def write_table(folder: Path, *lines: str, head: str = "path,label,patient,x0,y0,x1,y1,side") -> Path:
    (folder / "cases.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return folder


def test_lines_are_read_with_what_is_known(tmp_path):
    folder = write_table(tmp_path, "a.png,Ill , p 1 ,1,2,30,40,L", "b.png,0,p2,,,,,")
    listed, faults = list_own(folder, LABELS, EXPECTED, ["side", "mask"])
    assert faults == []
    first, second = listed
    assert (first.number, first.path, first.label, first.patient, first.box) == (2, "a.png", 1, "p 1", (1, 2, 30, 40))
    assert dict(first.more) == {"side": "L", "mask": ""}
    assert (second.label, second.box, second.where) == (0, None, "cases.csv line 3")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a.png,maybe,p,,,,,", "label 'maybe' is not healthy (0) or ill (1)"),
        ("a.png,1, ,,,,,", "no patient; give each patient a name of its own"),
        ("a.png,1,p\x1b,,,,,", "patient 'p\\x1b' holds control characters"),
        ("a.png,1,p,1,2,3,,", "box '1,2,3,' is not four whole numbers x0,y0,x1,y1"),
        ("a.png,1,p,1,2,-3,4,", "box '1,2,-3,4' is not four whole numbers x0,y0,x1,y1"),
        ("a.png,1,p,5,2,5,4,", "box 5,2,5,4 is empty; x0 < x1 and y0 < y1 are needed"),
    ],
)
def test_a_faulty_line_is_one_text_and_the_others_stay(tmp_path, line, fault):
    listed, faults = list_own(write_table(tmp_path, line, "b.png,0,p2,,,,,"), LABELS, EXPECTED)
    assert faults == [f"cases.csv line 2: {fault}"]
    assert [entry.path for entry in listed] == ["b.png"]


def test_a_table_without_a_needed_column_is_refused(tmp_path):
    with pytest.raises(UsageError, match="patient"):
        list_own(write_table(tmp_path, "a.png,1", head="path,label"), LABELS, EXPECTED)


def test_lines_that_stand_twice_count_once_and_contradictory_ones_not_at_all(tmp_path):
    lines = ["a.png,1,p,,,,,", "b.png,0,q,,,,,", "a.png,1,p,,,,,", "b.png,1,q,,,,,", "c.png,0,r,,,,,L", "c.png,0,r,,,,,R"]
    listed, faults = list_own(write_table(tmp_path, *lines), LABELS, EXPECTED, ["side"])
    kept = drop_repeated(listed, lambda line: (line.path, line.more["side"]), lambda _: " for a side", faults)
    assert [(line.path, line.more["side"]) for line in kept] == [("a.png", ""), ("c.png", "L"), ("c.png", "R")]
    assert faults == [
        "cases.csv line 4: 'a.png' is listed twice for a side",
        "cases.csv line 5: 'b.png' is listed twice for a side, with both labels",
    ]
