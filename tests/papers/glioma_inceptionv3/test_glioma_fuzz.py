"""Seeded fuzzing of every reader of the gliomas: sound slices, or one line that names the fault.

REPLICATIONS_FUZZ=10000 python -m pytest tests/papers/glioma_inceptionv3/test_glioma_fuzz.py takes so many files a reader.
"""

import functools
import gzip
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from glioma_samples import (
    SHAPE,
    describe_segments,
    draw_brain,
    draw_lesion,
    write_collection,
    write_nifti,
    write_nrrd,
    write_pairs,
)
from hostile import fuzz

from common.cases.sources import Source
from common.errors import UsageError
from replications.glioma_inceptionv3 import data
from replications.glioma_inceptionv3.config import SMOKE
from replications.glioma_inceptionv3.sources import lgg, pairs
from replications.glioma_inceptionv3.sources.segments import read_lesion

LAYOUTS = {
    "raw": {},
    "big-endian": {"endian": "big", "newline": "\r\n"},
    "packed": {"encoding": "gzip", "data_file": "voxels.raw.gz"},
    "detached": {"data_file": "voxels.raw"},
}  # fmt: skip


def fuzz_lesion(image: Path, mask: Path, mutated: Path, seed: int, mend=bytes) -> None:
    def read():
        lesion = read_lesion(image, mask, image.parent, "")
        assert lesion.planes.ndim == 3
        assert lesion.planes.shape == lesion.masks.shape
        assert np.isfinite(lesion.planes).all()
        assert lesion.masks.any()
        assert min(lesion.spacing) > 0

    fuzz(mutated, read, seed, mend)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fuzzed_images(tmp_path, layout):
    image = write_nrrd(tmp_path / "image.nrrd", draw_brain(), **LAYOUTS[layout])
    fuzz_lesion(image, write_nrrd(tmp_path / "a.seg.nrrd", draw_lesion()), image, seed=1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fuzzed_segments(tmp_path, layout):
    both = np.stack([np.ones(SHAPE, np.uint8), draw_lesion()])
    pairs_of = describe_segments(("brain", 0, 1), ("tumor", 1, 1))
    mask = write_nrrd(tmp_path / "a.seg.nrrd", both, axes="xyzl", pairs=pairs_of, **LAYOUTS[layout])
    fuzz_lesion(write_nrrd(tmp_path / "image.nrrd", draw_brain()), mask, mask, seed=2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_fuzzed_nifti(tmp_path, name):
    image = write_nifti(tmp_path / "image.nii", draw_brain()).rename(tmp_path / name)
    mend = functools.partial(gzip.compress, mtime=0) if name.endswith(".gz") else bytes  # else no change gets past the checksum
    fuzz_lesion(image, write_nifti(tmp_path / "a.nii", draw_lesion()), image, 3, mend)


def assert_listed(listing) -> None:
    """Subjects fit together, and every fault is one line."""
    assert {subject.grade for subject in listing.subjects} <= {"II", "III", "IV"}
    for fault in listing.faults:
        assert len(fault.splitlines()) == 1
        assert not any(unicodedata.category(letter) == "Cc" for letter in fault)
        assert len(fault) < 1000
    if listing.faults:
        raise UsageError(listing.faults[0])


@pytest.mark.filterwarnings("error")
def test_fuzzed_tables_of_subjects(tmp_path):
    write_pairs(tmp_path, ["Grade II", "G3", "4", "WHO 2"])
    fuzz(tmp_path / "subjects.csv", lambda: assert_listed(pairs.list_own(tmp_path, SMOKE)), seed=4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["data.csv", "slices.csv"])
def test_fuzzed_tables_of_slices(tmp_path, name):
    write_collection(tmp_path, prepared=True)
    fuzz(tmp_path / name, lambda: assert_listed(lgg.list_lgg(tmp_path, SMOKE)), seed=5)


def write_public(folder: Path, table: str) -> None:
    """Two subjects in the layout of UCSF-PDGM or of BraTS, whose table has that name."""
    ucsf = table.startswith("UCSF")
    lines = [["ID", "WHO CNS Grade"] if ucsf else ["subject", "grade", "site"]]
    for number, grade in enumerate(("2", "4")):
        name = f"UCSF-PDGM-{4 + number:04d}" if ucsf else f"TCGA-CS-{4000 + number}"
        place = folder / (f"{name}_nifti" if ucsf else name)
        for end in ("T1c_bias", "tumor_segmentation") if ucsf else ("t1ce", "seg"):
            write_nifti(place / f"{name}_{end}.nii.gz", draw_lesion() if "seg" in end else draw_brain())
        lines.append([f"UCSF-PDGM-{4 + number:03d}", grade] if ucsf else [name, grade, "CS"])
    (folder / table).write_text("".join(",".join(line) + "\n" for line in lines))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("table", "read"), [("UCSF-PDGM-metadata.csv", pairs.list_ucsf), ("grades.csv", pairs.list_brats)])
def test_fuzzed_tables_of_public_layouts(tmp_path, table, read):
    write_public(tmp_path, table)
    assert len(read(tmp_path, SMOKE).subjects) == 2
    fuzz(tmp_path / table, lambda: assert_listed(read(tmp_path, SMOKE)), seed=7)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("end", [".tif", "_mask.tif"])
def test_fuzzed_slices(tmp_path, end):
    write_collection(tmp_path, prepared=False)
    subject = lgg.list_lgg(tmp_path, SMOKE).subjects[0]
    path = tmp_path / (subject.read().paths[0].removesuffix(".tif") + end)

    def read():
        slices = subject.read()
        assert slices.planes.shape == slices.masks.shape

    fuzz(path, read, seed=6)


def test_a_damaged_volume_is_one_fault_of_its_source(tmp_path):
    write_pairs(tmp_path / "glioma", ["II", "III", "IV"])
    (tmp_path / "glioma" / "s1" / "sample.nrrd").write_bytes(b"NRRD0004\n")
    source = Source("own", tmp_path / "glioma", "gliomas", False)
    _, cases, notes = data.read_source(source, SMOKE, "crop")
    assert [fault.split(":")[0] for fault in notes["faults"]] == ["s1"]
    assert set(cases["patient_id"]) == {"s0", "s2"}
