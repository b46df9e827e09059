"""Faulty and malicious data folders through the commands that a user types, and seeded fuzzing of every reader behind them.

A faulty folder ends in exit code 2 and one line that names file and fault: no traceback, no result, nothing written into it.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replications.lung_hip_compare import data, run
from replications.lung_hip_compare.config import SMOKE

SMALL = [
    "--preset", "demo", "--protocol", "paper", "--tables", "2", "--workers", "1", "--threads", "1", "--seeds", "0",
    "--set", "seeds=0", "--set", "cnn_epochs=1", "--set", "cnn_filters=4,4,4,4", "--set", "cnn_dense=8",
]  # fmt: skip
PATIENTS = ['"NA"', '"=1+1"', '"Ä ""x"", y"', " 007", "7"]  # as cells of a CSV file; all different people
FUZZ = 300  # mutated files a reader
MAX_CPU_SECONDS = 2.0  # for one mutated file
MAX_MEMORY_GROWTH = 512 * 2**10  # KiB of resident memory, over all mutated files of a reader
WORDS = [b"\n", b"\r", b'"', b",", b"-", b"9" * 30, b"1e308", b"nan", b"..", b"/", b"\0", b"\xff", b"=", b" ", b"\x1b[2J"]


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


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is in a folder; the times of its folders tell files that were there for a moment only."""
    facts = {str(path): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {path: (fact.st_mode, fact.st_size, fact.st_mtime_ns) for path, fact in facts.items()}


def edit(path: Path, old: str, new: str):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def assert_refused(folder: Path, out: Path, capsys, *words: str):
    """Both commands end with 2 and name the fault in one line; nothing is written into the folder, no result anywhere."""
    before = snapshot(folder)
    assert run.main([*SMALL, "--rows", "/ CNN", "--data", str(folder), "--out", str(out)]) == 2
    *notes, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert all(note.startswith("run folder: ") for note in notes)
    assert len(error) < 1500
    for word in words:
        assert word in error
    assert not [path for path in out.rglob("*") if path.name in ("results.json", "cells", "images.npy", "report.html")]

    assert data.main(["--data", str(folder)]) == 2
    printed = capsys.readouterr()
    assert printed.err == ""
    problems = [line for line in printed.out.splitlines() if line.startswith("  problem: ")]
    assert any(all(word in problem for word in words) for problem in problems)
    assert snapshot(folder) == before


def prepare_skipping(folder: Path, out: Path, dataset: str) -> data.Dataset:
    source = data.find_sources(folder)[data.part_of(dataset)]
    data.prepare_dataset(dataset, source, SMOKE, out / "prepared", skip_unreadable=True)
    return data.load_dataset(out / "prepared")


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
    assert [row["row"] for row in found["rows"]] == ["LUNA16 / CNN", "128x128 unresized / CNN"]
    described = {entry["dataset"]: entry for entry in found["datasets"]}
    assert (described["LUNA16"]["cases"], described["LUNA16"]["unreadable"]) == (60, [])
    assert {described[name]["patients"] for name in described if name != "LUNA16"} == {16}
    assert snapshot(tmp_path / "data") == before
