"""Faulty and malicious data folders through the commands that a user types, and seeded fuzzing of every reader behind them.

A faulty folder ends in exit code 2 and one line that names file and fault: no traceback, no result, nothing written into it.
"""

import io
import json
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hostile import edit, fuzz, renew_checksums, snapshot
from PIL import Image

from common.cases.prepared import Dataset, load_dataset
from common.data.metaimage import read_header, voxel_to_world, write_volume
from common.data.pictures import read_picture
from common.errors import UsageError
from replications.lung_hip_compare import data, run
from replications.lung_hip_compare.config import PAPER, SMOKE
from replications.lung_hip_compare.sources import luna16

SMALL = [
    "--preset", "demo", "--protocol", "paper", "--tables", "2", "--workers", "1", "--threads", "1", "--seeds", "0",
    "--set", "seeds=0", "--set", "cnn_epochs=1", "--set", "cnn_filters=4,4,4,4", "--set", "cnn_dense=8",
]  # fmt: skip
PATIENTS = ['"NA"', '"=1+1"', '"Ä ""x"", y"', " 007", "7"]  # as cells of a CSV file; all different people


def save_jpeg(path: Path, size=(50, 50), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)).save(path, "JPEG")


def write_patches(folder: Path):
    """Ready patches as they are published: 40 for training, 20 for the test, 5 for validation; every fifth a nodule."""
    for split, count, first in (("train", 40, 0), ("test", 20, 4000), ("val", 5, 6000)):
        lines = []
        for index in range(count):
            name = f"{split}/image_{first + 100 * index}.jpg"
            save_jpeg(folder / "luna16_patches" / name, seed=first + index)
            lines.append(f"{name} {int(index % 5 == 0)}\n")
        (folder / "luna16_patches" / f"{split}datalabels.txt").write_text("".join(lines))


def write_hips(folder: Path):
    """16 pictures of 60x50 with a crop box each, every second one with a fracture; odd names of patients."""
    lines = ["path,label,patient,side,x0,y0,x1,y1\n"]
    for index in range(16):
        save_jpeg(folder / "hips" / f"p{index}.jpg", (60, 50), seed=100 + index)
        patient = PATIENTS[index] if index < len(PATIENTS) else f"patient {index}"
        lines.append(f"p{index}.jpg,{index % 2},{patient},R,10,5,40,45\n")
    (folder / "hips" / "cases.csv").write_text("".join(lines))


@pytest.fixture(scope="session")
def drawn_scans(tmp_path_factory) -> Path:
    """CT phantoms in the layout of LUNA16, without the marker that they are phantoms: to the program a user's scans."""
    folder = tmp_path_factory.mktemp("scans")
    data.write_phantoms(folder, SMOKE, seed=0)
    (folder / data.MARKER).unlink()
    shutil.rmtree(folder / "hips")
    return folder


def assert_refused(folder: Path, out: Path, capsys, *words: str):
    """Both commands end with 2 and name the fault in one line; nothing is written into the folder, no result anywhere."""
    assert_run_refused(folder, out, capsys, *words)
    assert_listed(folder, capsys, *words)


def assert_run_refused(folder: Path, out: Path, capsys, *words: str):
    before = snapshot(folder)
    assert run.main([*SMALL, "--rows", "/ CNN", "--data", str(folder), "--out", str(out)]) == 2
    *notes, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert all(note.startswith("run folder: ") for note in notes)
    assert len(error) < 1500
    for word in words:
        assert word in error
    assert not [path for path in out.rglob("*") if path.name in ("results.json", "cells", "images.npy", "report.html")]
    assert snapshot(folder) == before


def assert_listed(folder: Path, capsys, *words: str):
    before = snapshot(folder)
    assert data.main(["--data", str(folder)]) == 2
    printed = capsys.readouterr()
    assert printed.err == ""
    problems = [line for line in printed.out.splitlines() if line.startswith("  problem: ")]
    assert any(all(word in problem for word in words) for problem in problems)
    assert snapshot(folder) == before


def prepare_skipping(folder: Path, out: Path, dataset: str) -> Dataset:
    source = data.find_sources(folder)[data.part_of(dataset)]
    data.prepare_dataset(dataset, source, SMOKE, out / "prepared", skip_unreadable=True)
    return load_dataset(out / "prepared")


def read_results(out: Path) -> dict:
    (path,) = out.glob("lung_hip_compare/demo-paper-*/results.json")
    return json.loads(path.read_text())


# Whole folders: the only tests that train


def test_whole_folder_runs(tmp_path, capsys):
    write_patches(tmp_path / "data")
    write_hips(tmp_path / "data")
    before = snapshot(tmp_path / "data")
    rows = "LUNA16 / CNN,128x128 unresized / CNN"
    assert run.main([*SMALL, "--rows", rows, "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().err
    assert "error:" not in printed
    assert "synthetic" not in printed
    found = read_results(tmp_path / "out")
    assert {row["row"] for row in found["rows"]} == {"LUNA16 / CNN", "128x128 unresized / CNN"}
    described = {entry["dataset"]: entry for entry in found["datasets"]}
    assert (described["LUNA16"]["cases"], described["LUNA16"]["unreadable"]) == (60, [])
    assert {described[name]["patients"] for name in described if name != "LUNA16"} == {16}
    assert snapshot(tmp_path / "data") == before


def test_faulty_pictures_are_left_out_and_counted(tmp_path, capsys):
    folder = tmp_path / "data"
    write_patches(folder)
    write_hips(folder)
    for fault in PATCH_FAULTS.values():
        fault[0](folder / "luna16_patches")
    for name in ("label", "box outside", "parent", "link out"):
        HIP_FAULTS[name][0](folder / "hips")
    before = snapshot(folder)
    command = [*SMALL, "--rows", "LUNA16 / CNN", "--data", str(folder), "--out", str(tmp_path / "out")]
    assert run.main([*command, "--skip-unreadable"]) == 0
    assert "error:" not in capsys.readouterr().err
    described = {entry["dataset"]: entry for entry in read_results(tmp_path / "out")["datasets"]}
    # Of 60 patches each fault leaves out one, but two where two files have one picture or a row is in two lists.
    assert described["LUNA16"]["cases"] == 60 - len(PATCH_FAULTS) - 2
    assert len(described["LUNA16"]["unreadable"]) == len(PATCH_FAULTS)
    assert {name: len(described[name]["unreadable"]) for name in hips_of(described)} == {
        "128x128 resized": 4, "256x256 resized": 4, "128x128 unresized": 3, "256x256 unresized": 3
    }  # fmt: skip
    assert {name: described[name]["cases"] for name in hips_of(described)} == {
        "128x128 resized": 12, "256x256 resized": 12, "128x128 unresized": 13, "256x256 unresized": 13
    }  # fmt: skip
    assert snapshot(folder) == before


def hips_of(described: dict) -> list[str]:
    return [name for name in described if name != "LUNA16"]


def test_faulty_scans_are_left_out_and_counted(drawn_scans, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(drawn_scans, folder)
    words = [fault(folder / "luna16") for fault in SCAN_FAULTS.values()]
    before = snapshot(folder)
    command = [*SMALL, "--rows", "LUNA16 / CNN", "--data", str(folder), "--out", str(tmp_path / "out")]
    assert run.main([*command, "--skip-unreadable"]) == 0
    assert "error:" not in capsys.readouterr().err
    (described,) = read_results(tmp_path / "out")["datasets"]
    assert len(described["unreadable"]) == len(SCAN_FAULTS)
    for expected in words:
        assert any(all(word in fault for word in expected) for fault in described["unreadable"])
    assert snapshot(folder) == before


# Ready patches


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_link(path: Path, target: Path):
    path.unlink()
    path.symlink_to(target)


def link_out(path: Path):
    outside = path.parents[2] / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


LIST = "traindatalabels.txt"
PATCH_FAULTS = {  # what is done to luna16_patches/, and the words that have to name it
    "truncated": (lambda f: truncate(f / "train/image_100.jpg"), ["train/image_100.jpg", "damaged"]),
    "wrong size": (lambda f: save_jpeg(f / "train/image_200.jpg", (64, 64)), ["train/image_200.jpg", "64x64"]),
    "text": (lambda f: (f / "train/image_300.jpg").write_text("hello"), ["train/image_300.jpg", "not a JPEG"]),
    "link to itself": (
        lambda f: replace_by_link(f / "train/image_400.jpg", Path("image_400.jpg")),
        ["train/image_400.jpg", "link"],
    ),
    "folder": (
        lambda f: ((f / "train/image_600.jpg").unlink(), (f / "train/image_600.jpg").mkdir()),
        ["train/image_600.jpg", "folder"],
    ),
    "link out": (lambda f: link_out(f / "train/image_700.jpg"), ["train/image_700.jpg", "link out of the data folder"]),
    "parent": (
        lambda f: edit(f / LIST, "train/image_800.jpg", "train/../../../secret.jpg"),
        [f"{LIST} line 9", "train/../../../secret.jpg"],
    ),
    "label": (lambda f: edit(f / LIST, "train/image_900.jpg 0", "train/image_900.jpg 7"), [f"{LIST} line 10", "'7'"]),
    "binary": (lambda f: edit(f / LIST, "train/image_1100.jpg", "\0\x1b[2J"), [f"{LIST} line 12", "found"]),
    "both labels in two files": (
        lambda f: shutil.copy(f / "train/image_1000.jpg", f / "train/image_1200.jpg"),
        ["train/image_1000.jpg", "train/image_1200.jpg", "both labels"],
    ),
    "listed with both labels": (
        lambda f: edit(f / LIST, "train/image_1400.jpg 0\n", "train/image_1400.jpg 0\ntrain/image_1400.jpg 1\n"),
        [f"{LIST} line 16", "row 1400", "both labels"],
    ),
    "number of another form": (
        lambda f: edit(f / LIST, "train/image_1600.jpg 0", "train/image_01700.jpg 0"), [f"{LIST} line 17", "01700"]
    ),
    "in both lists": (
        lambda f: (
            edit(f / "testdatalabels.txt", "test/image_4100.jpg", "test/image_1300.jpg"),
            (f / "test/image_4100.jpg").rename(f / "test/image_1300.jpg"),
        ),
        ["test/image_1300.jpg", "another list"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATCH_FAULTS)
def test_faulty_patches_are_refused(tmp_path, capsys, name):
    write_patches(tmp_path / "data")
    act, words = PATCH_FAULTS[name]
    act(tmp_path / "data" / "luna16_patches")
    assert_refused(tmp_path / "data", tmp_path / "out", capsys, *words)
    dataset = prepare_skipping(tmp_path / "data", tmp_path, "LUNA16")
    assert len(dataset.info["unreadable"]) == 1
    assert dataset.cases["case_id"].is_unique


@pytest.mark.parametrize("listed", ["", "\n\n", "\0\0", "image_0.jpg 1\n"], ids=["empty", "blank", "binary", "other"])
@pytest.mark.parametrize("with_table", [False, True])
def test_lists_without_patches(tmp_path, capsys, listed, with_table):
    write_patches(tmp_path / "data")
    for split in ("train", "test"):
        (tmp_path / "data/luna16_patches" / f"{split}datalabels.txt").write_text(listed)
    if with_table:
        (tmp_path / "data/luna16_patches/candidates.csv").write_text("seriesuid,coordX,coordY,coordZ,class\na,1,1,1,1\n")
    assert_run_refused(tmp_path / "data", tmp_path / "out", capsys, "luna16_patches")
    assert_listed(tmp_path / "data", capsys, "traindatalabels.txt lists 0 patches")


def test_table_beside_the_patches_that_is_not_theirs(tmp_path, capsys):
    write_patches(tmp_path / "data")
    lines = [f"scan,1,1,1,{int(row % 500 == 0)}\n" for row in range(3000)]
    (tmp_path / "data/luna16_patches/candidates.csv").write_text("seriesuid,coordX,coordY,coordZ,class\n" + "".join(lines))
    assert_refused(tmp_path / "data", tmp_path / "out", capsys, "candidates.csv", "its row and class are not")


def test_file_names_that_are_not_unicode_do_not_matter(tmp_path):
    write_patches(tmp_path / "data")
    (tmp_path / "data/luna16_patches/train" / os.fsdecode(b"image_\xff.jpg")).write_bytes(b"x")
    assert len(prepare_skipping(tmp_path / "data", tmp_path, "LUNA16").cases) == 60


# A user's radiographs

TABLE = "cases.csv"
HIP_FAULTS = {
    "label": (lambda f: edit(f / TABLE, "p1.jpg,1", "p1.jpg,7"), ["cases.csv line 3", "'7'"]),
    "box outside": (lambda f: edit(f / TABLE, "patient 12,R,10,5,40,45", "patient 12,R,10,5,61,45"),
                    ["p12.jpg", "leaves the picture of 60x50"]),
    "parent": (lambda f: edit(f / TABLE, "p3.jpg", "../../secret.jpg"), ["'../../secret.jpg'", "leaves the data folder"]),
    "link out": (lambda f: link_out(f / "p4.jpg"), ["p4.jpg", "link out of the data folder"]),
    "link to itself": (lambda f: replace_by_link(f / "p4.jpg", Path("p4.jpg")), ["p4.jpg", "link"]),
    "absolute": (lambda f: edit(f / TABLE, "p3.jpg", "/etc/passwd"), ["'/etc/passwd'", "leaves the data folder"]),
    "lines in a name": (
        lambda f: edit(f / TABLE, "p3.jpg", '"p3\nerror: all is well\x1b[2J.jpg"'), ["p3\\nerror", "control characters"]
    ),
    "lines in two names": (
        lambda f: [edit(f / TABLE, f"p{n}.jpg,{n % 2}", f'"p\nx.jpg",{n % 2}') for n in (5, 7)]
        + [edit(f / TABLE, "patient 7,R", "patient 7,L")],
        ["'p\\nx.jpg'", "2 patients"],
    ),
    "lines in a patient": (lambda f: edit(f / TABLE, "patient 8", '"a\nb"'), ["cases.csv line 10", "'a\\nb'", "control"]),
    "side": (lambda f: edit(f / TABLE, ",R,", ",above,"), ["cases.csv line 2", "'above'"]),
    "box in words": (lambda f: edit(f / TABLE, "10,5,40,45", "10,5,40,\u0664\u0665"), ["cases.csv line 2", "crop box"]),
    "listed with both labels": (lambda f: edit(f / TABLE, "p3.jpg,1", "p2.jpg,1"), ["cases.csv line 5", "p2.jpg", "both labels"]),
    "missing column": (lambda f: edit(f / TABLE, "patient", "person"), ["cases.csv:1", "no column patient"]),
    "double column": (lambda f: edit(f / TABLE, "side", "x0"), ["cases.csv:1", "x0 occurs twice"]),
    "NUL bytes": (lambda f: edit(f / TABLE, "p6.jpg", "p6\0.jpg"), ["cases.csv:8", "NUL"]),
    "UTF-16": (lambda f: (f / TABLE).write_text((f / TABLE).read_text(), "utf-16"), ["cases.csv:1"]),
    "endless line": (lambda f: edit(f / TABLE, "p6.jpg", "p" * 70_000), ["cases.csv:8", "more than 65536 bytes"]),
    "empty": (lambda f: (f / TABLE).write_text(""), ["cases.csv:1", "no column path"]),
    "no lines": (lambda f: (f / TABLE).write_text("path,label,patient\n"), ["hips"]),
}  # fmt: skip
OF_THE_TABLE = {"missing column", "double column", "NUL bytes", "UTF-16", "endless line", "empty", "no lines"}


@pytest.mark.parametrize("name", HIP_FAULTS)
def test_faulty_radiographs_are_refused(tmp_path, capsys, name):
    write_hips(tmp_path / "data")
    act, words = HIP_FAULTS[name]
    act(tmp_path / "data" / "hips")
    assert_refused(tmp_path / "data", tmp_path / "out", capsys, *words)
    if name in OF_THE_TABLE:  # nothing is left that could be read
        with pytest.raises(UsageError):
            prepare_skipping(tmp_path / "data", tmp_path, "128x128 resized")
    else:
        dataset = prepare_skipping(tmp_path / "data", tmp_path, "128x128 resized")
        assert len(dataset.info["unreadable"]) == 1
        assert len(dataset.cases) == (14 if name in ("listed with both labels", "lines in two names") else 15)
        assert dataset.cases["case_id"].is_unique


# Scans


def list_used(folder: Path) -> dict[str, list[int]]:
    """Rows of candidates.csv that become training or test patches, by scan, scans in order."""
    table = luna16.read_candidates(folder / "candidates.csv")
    chosen = luna16.choose_candidates(table["class"].to_numpy(), PAPER)
    rows = table.loc[sorted([*chosen["train"], *chosen["test"]]), "seriesuid"]
    return {scan: list(group.index) for scan, group in sorted(rows.groupby(rows))}


def find_header(folder: Path, index: int) -> Path:
    return sorted(folder.glob("subset*/*.mhd"))[index]


def cut_voxels(folder: Path) -> list[str]:
    path = find_header(folder, 0)
    os.truncate(path.with_suffix(".raw"), 1000)
    return [path.name, "has 1000"]


def claim_much(folder: Path) -> list[str]:
    path = find_header(folder, 1)
    edit(path, "DimSize = 176 160 20", "DimSize = 65535 65535 65535")
    return [path.name, "claims"]


def claim_more(folder: Path) -> list[str]:
    path = find_header(folder, 2)
    edit(path, "DimSize = 176 160 20", "DimSize = 176 160 9999999999999999")
    return [path.name, "DimSize"]


def lead_out(folder: Path) -> list[str]:
    path = find_header(folder, 3)
    edit(path, f"{path.stem}.raw", "../../../../../etc/passwd")
    return [path.name, "leaves the folder"]


def change_candidate(folder: Path, index: int, column: int, text: str) -> int:
    """Change one cell of the first used candidate of a scan; its line."""
    line = list(list_used(folder).values())[index][0] + 1
    lines = (folder / "candidates.csv").read_text().splitlines()
    cells = lines[line].split(",")
    cells[column] = text
    lines[line] = ",".join(cells)
    (folder / "candidates.csv").write_text("\n".join(lines) + "\n")
    return line + 1


def name_unknown_scan(folder: Path) -> list[str]:
    line = change_candidate(folder, 4, 0, "1.2.3" + "x" * 3000)
    return [f"candidates.csv line {line}", "1.2.3xxx", "subset0/ to subset9/"]


def leave_scan(folder: Path) -> list[str]:
    line = change_candidate(folder, 5, 1, "1e308")
    return [f"candidates.csv line {line}", "outside the scan"]


def pipe_header(folder: Path) -> list[str]:
    path = find_header(folder, 6)
    path.unlink()
    os.mkfifo(path)
    return [path.name, "not a file"]


SCAN_FAULTS = {
    "truncated voxels": cut_voxels,
    "huge size": claim_much,
    "absurd size": claim_more,
    "voxels outside": lead_out,
    "unknown scan": name_unknown_scan,
    "candidate outside": leave_scan,
    "a pipe": pipe_header,
}


@pytest.mark.parametrize("name", SCAN_FAULTS)
def test_faulty_scans_are_refused(drawn_scans, tmp_path, capsys, name):
    shutil.copytree(drawn_scans, tmp_path / "data")
    assert_refused(tmp_path / "data", tmp_path / "out", capsys, *SCAN_FAULTS[name](tmp_path / "data" / "luna16"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("class", "label", ["candidates.csv:1", "no column class"]),
        (",0\n", ",2\n", ["candidates.csv line", "class 2"]),
        (",0\n", ",none\n", ["candidates.csv:", "whole number"]),
        (".", "\0", ["candidates.csv:2", "NUL"]),
        ("1.2.826", '"1.2\n826"', ["candidates.csv:3", "not a CSV line"]),
        ("\n1.2.", "\n\x1b[2J1.2.", ["candidates.csv line 2", "control characters"]),
    ],
)
def test_faulty_candidate_table_is_refused(drawn_scans, tmp_path, capsys, old, new, words):
    shutil.copytree(drawn_scans, tmp_path / "data", copy_function=os.link)
    table = tmp_path / "data/luna16/candidates.csv"
    text = table.read_text()
    table.unlink()
    table.write_text(text.replace(old, new, 1))
    assert_refused(tmp_path / "data", tmp_path / "out", capsys, *words)


def test_table_of_too_few_candidates_is_refused(drawn_scans, tmp_path, capsys):
    shutil.copytree(drawn_scans, tmp_path / "data", copy_function=os.link)
    table = tmp_path / "data/luna16/candidates.csv"
    lines = table.read_text().splitlines()
    table.unlink()
    table.write_text("\n".join(lines[:5]) + "\n")
    assert_refused(tmp_path / "data", tmp_path / "out", capsys, "candidates.csv", "too few")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "TransformMatrix = 1 5 0 0 1 0 0 0 1", "no rotation"),
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "TransformMatrix = 9 0 0 0 .333333333333 0 0 0 .333333333333", "no rotation"),
        ("TransformMatrix = 1 0 0", "TransformMatrix = 1e300 1e300 -1e300", "no rotation"),
        ("Offset = 1", "Offset = 1e308", "Offset"),
        ("ElementSpacing = 1", "ElementSpacing = 1e-320", "ElementSpacing"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_header_with_impossible_geometry(tmp_path, old, new, message):
    write_volume(tmp_path / "scan.mhd", np.zeros((2, 8, 8), "<i2"), (1, 1, 1), (1, 1, 1))
    edit(tmp_path / "scan.mhd", old, new)
    with pytest.raises(UsageError, match=message):
        read_header(tmp_path / "scan.mhd")


@pytest.mark.filterwarnings("error")
def test_voxels_that_are_no_numbers(tmp_path):
    write_volume(tmp_path / "scan.mhd", np.full((2, 8, 8), np.nan, "<f4"))
    with pytest.raises(UsageError, match=r"scan\.raw.* not a number"):
        luna16.extract_patch(read_header(tmp_path / "scan.mhd"), np.ones(3), 50, PAPER.luna_window, "signed")


# Fuzzing


@pytest.fixture
def few_scans(tmp_path) -> Path:
    """luna16/ with two scans of 60x60x2 voxels and 12 candidates each, 8 of them nodules."""
    folder = tmp_path / "luna16"
    lines = ["seriesuid,coordX,coordY,coordZ,class\n"]
    random = np.random.default_rng(0)
    for index in range(2):
        path = folder / f"subset{index}" / f"1.2.{index}.mhd"
        path.parent.mkdir(parents=True)
        write_volume(path, random.integers(-1000, 1000, (2, 60, 60)).astype("<i2"), (0.7, 0.7, 2.5), (-20, -30, 40))
        worlds = voxel_to_world(read_header(path), random.uniform(0, (60, 60, 2), (12, 3)))
        lines += [f"1.2.{index},{x:.4f},{y:.4f},{z:.4f},{int(k < 4)}\n" for k, (x, y, z) in enumerate(worlds)]
    (folder / "candidates.csv").write_text("".join(lines))
    return folder


@pytest.mark.filterwarnings("error")
def test_fuzzed_headers(few_scans):
    path = find_header(few_scans, 0)

    def read():
        volume = read_header(path)
        luna16.extract_patch(volume, volume.origin, 50, PAPER.luna_window, "signed")

    fuzz(path, read, seed=1)


@pytest.mark.filterwarnings("error")
def test_fuzzed_candidate_tables(few_scans):
    source = data.Source("originals", few_scans, "scans", False)

    def read():
        assert_sound("LUNA16", source)

    fuzz(few_scans / "candidates.csv", read, seed=2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dataset", ["128x128 resized", "128x128 unresized"])
def test_fuzzed_case_tables(tmp_path, dataset):
    write_hips(tmp_path)
    source = data.Source("folder", tmp_path / "hips", "hips", False)
    fuzz(tmp_path / "hips" / TABLE, lambda: assert_sound(dataset, source), seed=3)


def assert_sound(dataset: str, source: data.Source):
    """What is read fits together, and every fault of it is one line."""
    images, cases, notes = data.read_source(dataset, source, SMOKE)
    assert len(images) == len(cases)
    assert cases["case_id"].is_unique
    assert cases["label"].isin((0, 1)).all()
    for fault in notes["faults"]:
        assert len(fault.splitlines()) == 1
        assert not any(unicodedata.category(letter) == "Cc" for letter in fault)
        assert len(fault) < 1000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", ["JPEG", "progressive JPEG", "PNG"])
@pytest.mark.parametrize("size", [None, (50, 50)])
def test_fuzzed_pictures(tmp_path, form, size):
    pixels = np.random.default_rng(4).integers(0, 256, (5, 5, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    exif = Image.Exif()
    exif[282], exif[296], exif[270] = 72.0, 2, "a hip"
    options = {"progressive": True, "exif": exif} if "progressive" in form else {"exif": exif}
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, form.split()[-1], **options)
    path = tmp_path / "picture"
    path.write_bytes(kept.getvalue())

    def read():
        picture = read_picture(path, size)
        assert picture.dtype == np.uint8
        assert picture.ndim == 2
        assert size is None or picture.shape == size[::-1]

    fuzz(path, read, seed=5, mend=renew_checksums if form == "PNG" else bytes)


def test_fuzzed_patch_lists(tmp_path):
    write_patches(tmp_path)
    path = tmp_path / "luna16_patches" / LIST

    def read():
        listed, faults = luna16.list_patches(path.parent, "train")
        assert listed["candidate_row"].is_unique
        assert listed["path"].str.fullmatch(r"train/image_[0-9]+\.jpg").all()
        assert all(len(fault.splitlines()) == 1 and len(fault) < 300 for fault in faults)
        if faults:
            raise UsageError(faults[0])

    fuzz(path, read, seed=6)
