"""Faulty and malicious data folders through the commands that a user types.

A faulty folder ends in exit code 2 and one line that names file and fault: no traceback, no result, nothing written into it.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hostile import edit, snapshot
from lung_hip_faults import HIP_FAULTS, OF_THE_TABLE, PATCH_FAULTS, SCAN_FAULTS, write_hips
from lung_hip_samples import write_patches

from common.cases.prepared import Dataset, load_dataset
from common.data.metaimage import read_header, write_volume
from common.data.phantoms import MARKER
from common.errors import UsageError
from replications.lung_hip_compare import data, run
from replications.lung_hip_compare.config import PAPER, SMOKE
from replications.lung_hip_compare.sources import luna16

SMALL = [
    "--preset", "demo", "--protocol", "paper", "--tables", "2", "--workers", "1", "--threads", "1", "--seeds", "0",
    "--set", "seeds=0", "--set", "cnn_epochs=1", "--set", "cnn_filters=4,4,4,4", "--set", "cnn_dense=8",
]  # fmt: skip


@pytest.fixture(scope="session")
def drawn_scans(tmp_path_factory) -> Path:
    """CT phantoms in the layout of LUNA16, without the marker that they are phantoms: to the program a user's scans."""
    folder = tmp_path_factory.mktemp("scans")
    data.write_phantoms(folder, SMOKE, seed=0)
    (folder / MARKER).unlink()
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
    command = [*SMALL, "--rows", "/ CNN", "--data", str(folder), "--out", str(tmp_path / "out")]
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
