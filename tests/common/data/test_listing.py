"""cases.csv of a user's own folder: readable lines, every other line's fault, lines that stand twice."""

import re
from pathlib import Path

import pytest

from common.data.listing import CaseTable, drop_repeated, list_own, list_raw, locate_table, refuse_folder_named_twice
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


def test_columns_under_other_names(tmp_path):
    """The name that is mapped wins over one that is called as ours; one column may serve for two."""
    (tmp_path / "list.csv").write_text("file,diagnosis,label\na.png,ill,7\nb.png,odd,7\n", encoding="utf-8")
    table = CaseTable(tmp_path / "list.csv", (("path", "file"), ("label", "diagnosis"), ("patient", "file")))
    listed, faults = list_own(tmp_path, LABELS, EXPECTED, table=table)
    assert [(line.path, line.label, line.patient, line.where) for line in listed] == [("a.png", 1, "a.png", "list.csv line 2")]
    assert faults == ["list.csv line 3: label 'odd' is not healthy (0) or ill (1)"]


@pytest.mark.parametrize(
    ("head", "columns", "said"),
    [
        (
            "file,label,patient",
            (),
            "no column path in the header line; found: file, label, patient; yours may be named: --columns",
        ),
        ("path,label,patient", (("label", "diagnosis"),), "no column diagnosis in the header line"),
        ("path;label;patient", (), "separated by semicolons? use commas"),
        ("path\tlabel\tpatient", (), "separated by tabs? use commas"),
        ("sep=;", (), "found: sep=;; this line tells Excel the separator and is no header: delete it"),
        ("sep=,", (), "this line tells Excel the separator and is no header: delete it"),
        ("path,label,person", (("patient", "Person"),), "no column Person in the header line; found: path, label, person"),
        ("path,label,patient", (("black", "low"),), "no column low in the header line; found: path, label, patient"),
        ("path,label,patient, X0", (), "column ' X0' would not be read: the name is 'x0'; rename the column"),
        ("path,label,patient,WHITE", (("black", "label"),), "column 'WHITE' would not be read: the name is 'white'"),
        ("path,label,patient", (("hue", "label"),), "--columns hue=...: no column of this name is read; known: path, label"),
    ],
)
def test_what_is_wrong_with_the_columns_is_said(tmp_path, head, columns, said):
    (tmp_path / "list.csv").write_text(f"{head}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"(list\.csv:1: |^--columns)") as error:
        list_own(tmp_path, LABELS, EXPECTED, table=CaseTable(tmp_path / "list.csv", columns))
    assert said in str(error.value)


def test_a_name_that_is_mapped_is_no_near_miss(tmp_path):
    (tmp_path / "list.csv").write_text("path,label,patient,Black,WHITE\na.png,ill,p,0,4095\n", encoding="utf-8")
    table = CaseTable(tmp_path / "list.csv", (("black", "Black"), ("white", "WHITE")))
    assert list_own(tmp_path, LABELS, EXPECTED, table=table)[0][0].window == (0, 4095)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/d/a.png", "'/d/a.png' is an absolute path; write it relative to the data folder"),
        ("C:\\a.png", r"'C:\\a.png' is an absolute path; write it relative to the data folder"),
        ("", "no file named; write its path, relative to the data folder"),
        ("../a.png", "the name '../a.png' leaves the data folder; correct the table or archive"),
    ],
)
def test_a_path_outside_the_folder_is_a_fault_of_its_line(tmp_path, name, fault):
    for line in (f"{name},1,p,", *([f"b.png,1,p,{name}"] if name else [])):
        listed, faults = list_own(write_table(tmp_path, line, head="path,label,patient,mask"), LABELS, EXPECTED, ["mask"])
        assert (listed, faults) == ([], [f"cases.csv line 2: {fault}"])


def test_paths_that_begin_with_the_name_of_the_folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    table = CaseTable(tmp_path / "list.csv", (("path", "file"),))
    table.path.write_text("file\nimages/a.png\nimages/b.png\n", encoding="utf-8")
    refuse_folder_named_twice(table, folder)  # nothing there either way: the reader tells
    (folder / "a.png").touch()
    said = f"the paths in list.csv begin with 'images', the name of this folder; give the folder above: --data {tmp_path}"
    with pytest.raises(UsageError, match=re.escape(said)):
        refuse_folder_named_twice(table, folder)
    refuse_folder_named_twice(table, tmp_path)
    (folder / "images").mkdir()
    (folder / "images" / "b.png").touch()
    refuse_folder_named_twice(table, folder)


def test_the_table_lies_here_or_in_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (folder / "in.csv").write_text("x")
    (tmp_path / "out.csv").write_text("x")
    assert locate_table(Path("in.csv"), folder) == folder / "in.csv"
    assert locate_table(Path("out.csv"), folder) == Path("out.csv")
    (tmp_path / "in.csv").write_text("y")
    with pytest.raises(UsageError, match="there is one here and one in"):
        locate_table(Path("in.csv"), folder)


def test_prepared_data_depend_on_the_files_that_are_listed(tmp_path):
    """Not on what else lies in the folder, nor on what lies outside."""
    (tmp_path / "list.csv").write_text("file,mask\na.png,b.png\n../out.png,\nno.png,\n", encoding="utf-8")
    for name in ("a.png", "b.png", "other.png"):
        (tmp_path / name).touch()
    table = CaseTable(tmp_path / "list.csv", (("path", "file"),))
    assert [path.name for path in list_raw(table, tmp_path)] == ["a.png", "b.png", "list.csv"]
