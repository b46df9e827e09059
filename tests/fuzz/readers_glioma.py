"""Readers of glioma_inceptionv3: volumes and segments in every layout, slices, tables of every collection, stored networks."""

import functools
import gzip
import json
from pathlib import Path

import numpy as np
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
from reader import Reader, raise_first

from replications.glioma_inceptionv3.config import SMOKE
from replications.glioma_inceptionv3.predict import LIST, Stored, choose_network
from replications.glioma_inceptionv3.sources import lgg, pairs
from replications.glioma_inceptionv3.sources.segments import read_lesion

LAYOUTS = {
    "raw": {},
    "big-endian": {"endian": "big", "newline": "\r\n"},
    "packed": {"encoding": "gzip", "data_file": "voxels.raw.gz"},
    "detached": {"data_file": "voxels.raw"},
}  # fmt: skip


def write_image(folder: Path, layout: str) -> Path:
    write_nrrd(folder / "mask.seg.nrrd", draw_lesion())
    return write_nrrd(folder / "image.nrrd", draw_brain(), **LAYOUTS[layout])


def write_mask(folder: Path, layout: str) -> Path:
    write_nrrd(folder / "image.nrrd", draw_brain())
    both = np.stack([np.ones(SHAPE, np.uint8), draw_lesion()])
    pairs_of = describe_segments(("brain", 0, 1), ("tumor", 1, 1))
    return write_nrrd(folder / "mask.seg.nrrd", both, axes="xyzl", pairs=pairs_of, **LAYOUTS[layout])


def write_voxels(folder: Path) -> Path:
    """The packed voxels beside a header."""
    write_image(folder, "packed")
    return folder / "voxels.raw.gz"


def write_volume(folder: Path, name: str) -> Path:
    write_nifti(folder / "mask.nii", draw_lesion())
    return write_nifti(folder / name, draw_brain())


def check_lesion(path: Path) -> None:
    folder = path.parent
    (image,), (mask,) = ([*folder.glob(f"{stem}.[ns]*")] for stem in ("image", "mask"))
    lesion = read_lesion(image, mask, folder, "")
    assert lesion.planes.ndim == 3
    assert lesion.planes.shape == lesion.masks.shape
    assert np.isfinite(lesion.planes).all()
    assert lesion.masks.any()
    assert min(lesion.spacing) > 0


def write_own(folder: Path) -> Path:
    write_pairs(folder, ["Grade II", "G3", "4", "WHO 2"])
    return folder / "subjects.csv"


def write_slices(folder: Path, name: str) -> Path:
    write_collection(folder, prepared=name.endswith(".csv"), patients=2)
    return folder / name if name.endswith(".csv") else sorted(folder.glob(f"kaggle_3m/*/*_2{name}"))[0]


def write_public(folder: Path, table: str) -> Path:
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
    return folder / table


def write_networks(folder: Path) -> Path:
    entry = dict.fromkeys(Stored._fields, "leakfree") | {"cell": "cell-0"}
    (folder / LIST).write_text(json.dumps([entry, {**entry, "cell": "cell-1"}]))
    return folder / LIST


def read_subjects(read, path: Path) -> None:
    listing = read(path.parent, SMOKE)
    assert {subject.grade for subject in listing.subjects} <= {"II", "III", "IV"}
    raise_first(listing.faults, path.parent)


@functools.cache
def find_subject(folder: Path, name: str):
    return next(one for one in lgg.list_lgg(folder, SMOKE).subjects if name.startswith(one.read().paths[0].split("/")[-1][:12]))


def read_slices(path: Path) -> None:
    slices = find_subject(path.parents[2], path.name).read()
    assert slices.planes.shape == slices.masks.shape


UCSF, BRATS = "UCSF-PDGM-metadata.csv", "grades.csv"
READERS = {
    **{f"glioma: {layout} image": Reader(functools.partial(write_image, layout=layout), check_lesion) for layout in LAYOUTS},
    **{f"glioma: {layout} segments": Reader(functools.partial(write_mask, layout=layout), check_lesion) for layout in LAYOUTS},
    "glioma: packed voxels": Reader(write_voxels, check_lesion),
    "glioma: NIfTI": Reader(functools.partial(write_volume, name="image.nii"), check_lesion),
    # Packed anew, else no change gets past the checksum of gzip.
    "glioma: packed NIfTI": Reader(
        functools.partial(write_volume, name="image.nii.gz"),
        check_lesion,
        functools.partial(gzip.compress, mtime=0),
        gzip.decompress,
    ),
    "glioma: damaged gzip": Reader(functools.partial(write_volume, name="image.nii.gz"), check_lesion),
    "glioma: own table": Reader(write_own, functools.partial(read_subjects, pairs.list_own)),
    "glioma: table of grades": Reader(
        functools.partial(write_slices, name="data.csv"), functools.partial(read_subjects, lgg.list_lgg)
    ),
    "glioma: table of slices": Reader(
        functools.partial(write_slices, name="slices.csv"), functools.partial(read_subjects, lgg.list_lgg)
    ),
    "glioma: table of UCSF-PDGM": Reader(
        functools.partial(write_public, table=UCSF), functools.partial(read_subjects, pairs.list_ucsf)
    ),
    "glioma: table of BraTS": Reader(
        functools.partial(write_public, table=BRATS), functools.partial(read_subjects, pairs.list_brats)
    ),
    "glioma: slice": Reader(functools.partial(write_slices, name=".tif"), read_slices),
    "glioma: mask of a slice": Reader(functools.partial(write_slices, name="_mask.tif"), read_slices),
    "glioma: list of networks": Reader(write_networks, lambda path: choose_network(path.parent, None, None) and None),
}
