"""Readers of lung_hip_compare: headers of scans, candidates, patch lists, tables of radiographs."""

import functools
from pathlib import Path

import numpy as np
from lung_hip_samples import save_jpeg
from reader import Reader, check_read, is_chosen, raise_first

from common.cases.sources import Source
from common.data.metaimage import read_header, voxel_to_world, write_volume
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import PAPER, SMOKE
from replications.lung_hip_compare.sources import luna16

LIST = "traindatalabels.txt"


def write_scans(folder: Path, name: str) -> Path:
    """Two scans of 60x60x2 voxels with 12 candidates each, 4 of them nodules."""
    lines = ["seriesuid,coordX,coordY,coordZ,class\n"]
    random = np.random.default_rng(0)
    for index in range(2):
        path = folder / f"subset{index}" / f"1.2.{index}.mhd"
        path.parent.mkdir(parents=True)
        write_volume(path, random.integers(-1000, 1000, (2, 60, 60)).astype("<i2"), (0.7, 0.7, 2.5), (-20, -30, 40))
        worlds = voxel_to_world(read_header(path), random.uniform(0, (60, 60, 2), (12, 3)))
        lines += [f"1.2.{index},{x:.4f},{y:.4f},{z:.4f},{int(k < 4)}\n" for k, (x, y, z) in enumerate(worlds)]
    (folder / "candidates.csv").write_text("".join(lines))
    return folder / name


def read_scan(path: Path) -> None:
    volume = read_header(path)
    luna16.extract_patch(volume, volume.origin, 50, PAPER.luna_window, "signed")


def write_hips(folder: Path) -> Path:
    """Six pictures of 60x50 with a crop box each; odd names of patients."""
    lines = ["path,label,patient,side,x0,y0,x1,y1\n"]
    for index, patient in enumerate(['"NA"', '"=1+1"', '"Ä ""x"", y"', " 007", "8", "9"]):
        save_jpeg(folder / f"p{index}.jpg", (60, 50), seed=100 + index)
        lines.append(f"p{index}.jpg,{index % 2},{patient},R,10,5,40,45\n")
    (folder / "cases.csv").write_text("".join(lines))
    return folder / "cases.csv"


def read_source(dataset: str, path: Path) -> None:
    folder = path.parent
    if dataset == "LUNA16" and not is_chosen(path):  # the search for copies among the patches takes long
        return check_read(*luna16.read_originals(folder, SMOKE), folder)
    kind = "originals" if dataset == "LUNA16" else "folder"
    check_read(*data.read_source(dataset, Source(kind, folder, "data", False), SMOKE), folder)


def write_patches(folder: Path) -> Path:
    (folder / LIST).write_text("".join(f"train/image_{100 * index}.jpg {int(index % 5 == 0)}\n" for index in range(40)))
    return folder / LIST


def read_patches(path: Path) -> None:
    listed, faults = luna16.list_patches(path.parent, "train")
    assert listed["candidate_row"].is_unique
    assert listed["path"].str.fullmatch(r"train/image_[0-9]+\.jpg").all()
    raise_first(faults, path.parent)


READERS = {
    "lung: header of a scan": Reader(functools.partial(write_scans, name="subset0/1.2.0.mhd"), read_scan),
    "lung: candidates": Reader(functools.partial(write_scans, name="candidates.csv"), functools.partial(read_source, "LUNA16")),
    "hip: own table, resized": Reader(write_hips, functools.partial(read_source, "128x128 resized")),
    "hip: own table, unresized": Reader(write_hips, functools.partial(read_source, "128x128 unresized")),
    "lung: list of patches": Reader(write_patches, read_patches),
}
