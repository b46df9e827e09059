"""Faulty and malicious thyroid folders through the data command and the preparation.

A faulty folder ends in exit code 2 and one line a fault that names file and fault: no traceback, nothing written into it.
"""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hostile import edit, snapshot
from PIL import Image
from thyroid_samples import WRITERS, draw_contour, prepare, write_case, write_own

from common.errors import UsageError
from replications.thyroid_ensemble import data
from replications.thyroid_ensemble.config import PAPER
from replications.thyroid_ensemble.sources.ddti import read_xml

CASES = {"own": 24, "hou2024": 24, "tn5000": 35, "tn3k": 28, "ddti": 30}  # of the whole folders
BOMB = '<!DOCTYPE case [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
) + "]>"  # fmt: skip


def truncate(path: Path):
    os.truncate(path, path.stat().st_size // 2)


def link_out(path: Path):
    outside = path.parents[2] / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


def pipe(path: Path):
    path.unlink()
    os.mkfifo(path)


def claim_pixels(path: Path):
    """A JPEG header that claims 65,000 x 65,000 pixels."""
    content = path.read_bytes()
    start = content.index(b"\xff\xc0") + 5
    path.write_bytes(content[:start] + b"\xfd\xe8\xfd\xe8" + content[start + 4 :])


def save_mask(path: Path, size=(90, 70), level=0):
    Image.new("L", size, level).save(path)


OWN, DDTI, TN5000 = "thyroid/cases.csv", "ddti/gt/5.xml", "tn5000/TN5000_forReview"
LIST = f"{TN5000}/ImageSets/Main/train.txt"
HOU = "hou2024/26067475"
# Layout, what is done to it, words that the one fault has to name, and how many cases are left without it.
FAULTS = {
    "own: truncated": ("own", lambda f: truncate(f / "thyroid/p1_0.png"), ["p1_0.png", "damaged"], 23),
    "own: missing": ("own", lambda f: (f / "thyroid/p1_0.png").unlink(), ["p1_0.png", "No such file"], 23),
    "own: text": ("own", lambda f: (f / "thyroid/p1_0.png").write_text("hello"), ["p1_0.png", "not a JPEG or PNG"], 23),
    "own: folder": ("own", lambda f: ((f / "thyroid/p1_0.png").unlink(), (f / "thyroid/p1_0.png").mkdir()),
                    ["p1_0.png", "a folder"], 23),
    "own: pipe": ("own", lambda f: pipe(f / "thyroid/p1_0.png"), ["p1_0.png", "not a file"], 23),
    "own: link out": ("own", lambda f: link_out(f / "thyroid/p1_0.png"), ["p1_0.png", "link out of the data folder"], 23),
    "own: parent": ("own", lambda f: edit(f / OWN, "p1_0.png", "../../secret.png"), ["../../secret.png", "leaves"], 23),
    "own: absolute": ("own", lambda f: edit(f / OWN, "p1_0.png", "/etc/passwd"), ["line 4", "is an absolute path"], 23),
    "own: lines in a name": ("own", lambda f: edit(f / OWN, "p1_0.png", '"p\n1\x1b[2J.png"'), ["p\\\\n1", "control"], 23),
    "own: lines in a patient": ("own", lambda f: edit(f / OWN, "patient 1,", '"a\x1bb",'), ["cases.csv line 4", "control"], 23),
    "own: label": ("own", lambda f: edit(f / OWN, "malignant", "bad"), ["cases.csv line 4", "'bad'"], 23),
    "own: no patient": ("own", lambda f: edit(f / OWN, "patient 1,", " ,"), ["cases.csv line 4", "no patient"], 23),
    "own: box outside": ("own", lambda f: edit(f / OWN, "20,15,60,45", "20,15,91,45"), ["p0_0.png", "leaves the picture"], 23),
    "own: box empty": ("own", lambda f: edit(f / OWN, "20,15,60,45", "20,15,20,45"), ["cases.csv line 2", "is empty"], 23),
    "own: box in words": ("own", lambda f: edit(f / OWN, "20,15,60,45", "20,15,\u0666\u0660,45"), ["line 2", "box"], 23),
    "own: half a box": ("own", lambda f: edit(f / OWN, "20,15,60,45", "20,15,,"), ["cases.csv line 2", "box"], 23),
    "own: both labels": ("own", lambda f: edit(f / OWN, "p1_0.png", "p0_0.png"), ["cases.csv line 4", "both labels"], 22),
    "own: huge picture": ("own", lambda f: Image.new("1", (8100, 8100)).save(f / "thyroid/p1_0.png"), ["p1_0.png", "pixels"], 23),
    "ddti: truncated picture": ("ddti", lambda f: truncate(f / "ddti/images/5_2.jpg"), ["5_2.jpg", "damaged"], 28),
    "ddti: missing picture": ("ddti", lambda f: (f / "ddti/images/5_2.jpg").unlink(), ["5_2.jpg", "the picture is not"], 28),
    "ddti: pixel bomb": ("ddti", lambda f: claim_pixels(f / "ddti/images/5_2.jpg"), ["5_2.jpg", "pixels"], 28),
    "ddti: truncated XML": ("ddti", lambda f: truncate(f / DDTI), ["5.xml", "damaged XML"], 27),
    "ddti: empty XML": ("ddti", lambda f: (f / DDTI).write_text(""), ["5.xml", "damaged XML"], 27),
    "ddti: entities": ("ddti", lambda f: (edit(f / DDTI, "<case>", BOMB + "<case>"), edit(f / DDTI, "40<", "&i;<")),
                       ["5.xml", "document type"], 27),
    "ddti: entities in UTF-16": (
        "ddti", lambda f: (f / DDTI).write_bytes((BOMB + (f / DDTI).read_text()).encode("utf-16")), ["5.xml", "document type"], 27
    ),
    "ddti: file entity": (
        "ddti", lambda f: edit(f / DDTI, "<case>", '<!DOCTYPE case [<!ENTITY x SYSTEM "file:///etc/passwd">]><case>'),
        ["5.xml", "document type"], 27,
    ),
    "ddti: deep": ("ddti", lambda f: (f / DDTI).write_text("<case>" + "<a>" * 100_000), ["5.xml", "inside each other"], 27),
    "ddti: unknown encoding": ("ddti", lambda f: edit(f / DDTI, "<case>", '<?xml version="1.0" encoding="x-y"?><case>'),
                               ["5.xml", "damaged XML"], 27),
    "ddti: large": ("ddti", lambda f: edit(f / DDTI, "<case>", "<case>" + " " * 2**20), ["5.xml", "too many"], 27),
    "ddti: another root": ("ddti", lambda f: (f / DDTI).write_text("<annotation/>"), ["5.xml", "'annotation'"], 27),
    "ddti: another number": ("ddti", lambda f: edit(f / DDTI, "<number>5", "<number>6"), ["5.xml", "'6'"], 27),
    "ddti: grade": ("ddti", lambda f: edit(f / DDTI, "4a", "7\x85"), ["5.xml", "TI-RADS '7"], 27),
    "ddti: picture": ("ddti", lambda f: edit(f / DDTI, "<image>2", "<image>../2"), ["5.xml", "'../2'"], 28),
    "ddti: half of JSON": ("ddti", lambda f: edit(f / DDTI, "</svg>", "[</svg>"), ["5.xml", "picture 1", "damaged contour"], 29),
    "ddti: deep JSON": ("ddti", lambda f: edit(f / DDTI, "<svg>", "<svg>" + "[" * 100_000), ["5.xml", "damaged contour"], 29),
    "ddti: long number": ("ddti", lambda f: edit(f / DDTI, '"x": 10', '"x": ' + "9" * 5000), ["5.xml", "damaged contour"], 29),
    "ddti: no number": ("ddti", lambda f: edit(f / DDTI, '"x": 10', '"x": NaN'), ["5.xml", "point at 'nan'"], 29),
    "ddti: infinite": ("ddti", lambda f: edit(f / DDTI, '"x": 10', '"x": 1e999'), ["5.xml", "point at 'inf'"], 29),
    "ddti: negative": ("ddti", lambda f: edit(f / DDTI, '"x": 10', '"x": -1'), ["5.xml", "point at '-1'"], 29),
    "ddti: text for a number": ("ddti", lambda f: edit(f / DDTI, '"x": 10', '"x": "10"'), ["5.xml", "point at '10'"], 29),
    "ddti: JSON of another form": ("ddti", lambda f: edit(f / DDTI, '"points"', '"point"'), ["5.xml", "not of the form"], 29),
    "ddti: contour outside": ("ddti", lambda f: edit(f / DDTI, '"x": 80', '"x": 91'), ["5_2.jpg", "leaves the picture"], 29),
    "ddti: mere line": ("ddti", lambda f: write_case(f / "ddti", 5, "4a", {1: [draw_contour(5, 5, 5, 30)], 2: []}),
                        ["5.xml", "without width"], 27),
    "ddti: no case": ("ddti", lambda f: (f / "ddti/gt/x.xml").write_text("<case><number>x</number></case>"), ["x.xml"], 30),
    "ddti: case twice": ("ddti", lambda f: (f / "ddti/images/5.xml").write_bytes((f / DDTI).read_bytes()),
                         ["5.xml", "there twice"], 30),
    "tn5000: unsafe name": ("tn5000", lambda f: edit(f / LIST, "000003", "../../000003"), ["train.txt line 4", "../../"], 34),
    "tn5000: in two lists": ("tn5000", lambda f: edit(f / LIST, "000003", "000030"), ["000030", "train.txt, test.txt"], 33),
    "tn5000: label": ("tn5000", lambda f: edit(f / TN5000 / "Annotations/000003.xml", "<name>1", "<name>2"),
                      ["000003.xml", "'2'"], 34),
    "tn5000: box": ("tn5000", lambda f: edit(f / TN5000 / "Annotations/000003.xml", "<xmax>50", "<xmax>-5"),
                    ["000003.xml", "11,21,-5,60"], 34),
    "tn5000: box outside": ("tn5000", lambda f: edit(f / TN5000 / "Annotations/000003.xml", "<xmax>50", "<xmax>91"),
                            ["000003.jpg", "leaves the picture"], 34),
    "tn5000: no annotation": ("tn5000", lambda f: (f / TN5000 / "Annotations/000003.xml").unlink(),
                              ["000003.xml", "no such file"], 34),
    "tn5000: no object": ("tn5000", lambda f: (f / TN5000 / "Annotations/000003.xml").write_text("<annotation/>"),
                          ["000003.xml", "no object"], 34),
    "tn3k: unsafe name": ("tn3k", lambda f: edit(f / "tn3k/label4test.csv", "0003", "../3"), ["label4test.csv line 4"], 27),
    "tn3k: both labels": ("tn3k", lambda f: edit(f / "tn3k/label4test.csv", "0003", "0002"),
                          ["label4test.csv line 4", "both labels"], 26),
    "tn3k: empty mask": ("tn3k", lambda f: save_mask(f / "tn3k/test-mask/0003.jpg"), ["test-image/0003.jpg", "is empty"], 27),
    "tn3k: mask of another size": ("tn3k", lambda f: save_mask(f / "tn3k/test-mask/0003.jpg", (9, 9), 255),
                                   ["test-image/0003.jpg", "9x9 instead of 90x70"], 27),
    "tn3k: grey mask": ("tn3k", lambda f: save_mask(f / "tn3k/test-mask/0003.jpg", level=40), ["0003.jpg", "grey level"], 27),
    "hou2024: unsafe path": ("hou2024", lambda f: edit(f / HOU / "batch1_image.csv", "Name1_001", "../../Name1_001"),
                             ["batch1_image.csv line 2", "leaves"], 23),
    "hou2024: label": ("hou2024", lambda f: edit(f / HOU / "batch1_image_label.csv", "Name2,0", "Name2,5"),
                       ["batch1_image_label.csv line 3", "'5'"], 22),
    "hou2024: index": ("hou2024", lambda f: edit(f / HOU / "batch1_image_label.csv", "2,Name2", "Name2,2"),
                       ["batch1_image_label.csv line 3", "patient_index"], 22),
}  # fmt: skip
# The whole source is unusable: one line, with or without skipping.
FATAL = {
    "own: missing column": ("own", lambda f: edit(f / OWN, "patient,", "person,"), ["cases.csv:1", "no column patient"]),
    "own: double column": ("own", lambda f: edit(f / OWN, "y1", "x0"), ["cases.csv:1", "x0 occurs twice"]),
    "own: NUL": ("own", lambda f: edit(f / OWN, "p1_0.png", "p\0.png"), ["cases.csv:4", "NUL"]),
    "own: UTF-16": ("own", lambda f: (f / OWN).write_text((f / OWN).read_text(), "utf-16"), ["cases.csv:1", "UTF-16"]),
    "own: endless line": ("own", lambda f: edit(f / OWN, "p1_0.png", "p" * 70_000), ["cases.csv:4", "more than 65536 bytes"]),
    "own: no lines": ("own", lambda f: (f / OWN).write_text("path,label,patient\n"), ["0 readable ", "nothing to learn"]),
    "own: one class": ("own", lambda f: (f / OWN).write_text((f / OWN).read_text().replace("benign", "1")), ["two classes"]),
    "ddti: no XML": ("ddti", lambda f: shutil.rmtree(f / "ddti/gt"), ["there is no XML file"]),
    "ddti: two copies": ("ddti", lambda f: shutil.copytree(f / "ddti/images", f / "ddti/copy"), ["two files", "10_1"]),
    "tn5000: binary list": ("tn5000", lambda f: (f / LIST).write_bytes(b"\xff\xfe\0"), ["train.txt", "not UTF-8"]),
    "tn5000: no list": ("tn5000", lambda f: (f / LIST).unlink(), ["train.txt", "no such file"]),
    "tn5000: large list": ("tn5000", lambda f: os.truncate(f / LIST, 2**30), ["train.txt", "too many for a list"]),
    "tn3k: a pipe": ("tn3k", lambda f: pipe(f / "tn3k/label4test.csv"), ["label4test.csv", "a pipe, not a file"]),
    "hou2024: missing column": ("hou2024", lambda f: edit(f / HOU / "batch1_image.csv", "path", "file"), ["no column path"]),
}  # fmt: skip


def list_problems(folder: Path, capsys) -> list[str]:
    before = snapshot(folder)
    assert data.main(["--data", str(folder)]) == 2
    printed = capsys.readouterr()
    assert printed.err == ""
    assert snapshot(folder) == before
    return [line for line in printed.out.splitlines() if line.startswith("  problem: ")]


def refuse(folder: Path, out: Path, words: list[str], **options):
    before = snapshot(folder)
    with pytest.raises(UsageError) as caught:
        prepare(folder, out, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 1500
    assert all(word in message for word in words), message
    assert snapshot(folder) == before
    assert not out.exists()


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_is_refused_or_skipped_and_counted(tmp_path, capsys, name):
    kind, act, words, left = FAULTS[name]
    folder = tmp_path / "data"
    WRITERS[kind](folder)
    act(folder)
    refuse(folder, tmp_path / "out", ["1 fault: ", *words])
    assert any(all(word in problem for word in words) for problem in list_problems(folder, capsys))
    dataset = prepare(folder, tmp_path / "out", skip_unreadable=True)
    assert len(dataset.info["unreadable"]) == 1
    assert len(dataset.cases) == left
    assert dataset.cases["case_id"].is_unique


@pytest.mark.parametrize("name", FATAL)
def test_useless_source_is_refused_in_one_line(tmp_path, capsys, name):
    kind, act, words = FATAL[name]
    folder = tmp_path / "data"
    WRITERS[kind](folder)
    act(folder)
    for skip in (False, True):
        refuse(folder, tmp_path / f"out{skip}", words, skip_unreadable=skip)
    assert list_problems(folder, capsys)


def test_all_faults_are_counted_and_the_first_named(tmp_path, capsys):
    write_own(tmp_path / "data")
    for patient in range(5):
        (tmp_path / "data/thyroid" / f"p{patient}_0.png").write_bytes(b"")
    refuse(tmp_path / "data", tmp_path / "out", ["5 faults: ", "p0_0.png", "p2_0.png", "and 2 more"])
    assert len(list_problems(tmp_path / "data", capsys)) == 5


def test_whole_folders_have_no_fault(tmp_path):
    for kind, writer in WRITERS.items():
        writer(tmp_path)
        dataset = prepare(tmp_path, tmp_path / "out", replace(PAPER, source=kind))
        assert (len(dataset.cases), dataset.info["unreadable"]) == (CASES[kind], [])


def test_xml_bomb_costs_nothing(tmp_path):
    (tmp_path / "5.xml").write_text(BOMB + "<case>&i;</case>")
    started = time.process_time()
    with pytest.raises(UsageError, match="document type"):
        read_xml(tmp_path / "5.xml", "case")
    assert time.process_time() - started < 0.5
