"""Seeded fuzzing of every reader of the lung and hip comparison: sound data, or one line that names the fault."""

import io
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hostile import fuzz, renew_checksums
from lung_hip_faults import LIST, TABLE, find_header, write_hips
from lung_hip_samples import write_patches
from PIL import Image

from common.cases.sources import Source
from common.data.metaimage import read_header, voxel_to_world, write_volume
from common.data.pictures import read_picture
from common.errors import UsageError
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import PAPER, SMOKE
from replications.lung_hip_compare.sources import luna16


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
    source = Source("originals", few_scans, "scans", False)

    def read():
        assert_sound("LUNA16", source)

    fuzz(few_scans / "candidates.csv", read, seed=2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dataset", ["128x128 resized", "128x128 unresized"])
def test_fuzzed_case_tables(tmp_path, dataset):
    write_hips(tmp_path)
    source = Source("folder", tmp_path / "hips", "hips", False)
    fuzz(tmp_path / "hips" / TABLE, lambda: assert_sound(dataset, source), seed=3)


def assert_sound(dataset: str, source: Source):
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
