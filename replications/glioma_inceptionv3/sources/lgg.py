"""The published slices of TCGA-LGG (Buda et al. 2019, data set lgg-mri-segmentation): grades II and III only.

Two layouts. As published: kaggle_3m/<patient>_<date>/<patient>_<date>_<slice>.tif with ..._mask.tif and data.csv, all slices.
Prepared: slices.csv, images/, masks/ and data.csv, lesion slices only. The channels red, green, blue of a slice are the sequences
before contrast, FLAIR and after contrast; where a patient lacks one of the outer two, the collection has put FLAIR there.
"""

import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd

from common.data.csv_files import read_csv_table
from common.data.folder import walk_files
from common.data.names import find_listed
from common.data.pictures import covers_border, read_picture
from common.errors import UsageError
from common.files import hash_file
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.sources.pairs import choose_sequence
from replications.glioma_inceptionv3.sources.subjects import Listing, Slices, Subject, read_site, read_table

CHANNELS = {"pre": 0, "flair": 1, "post": 2}
GRADE = "neoplasm_histologic_grade"
CODES = {"1": "II", "2": "III"}  # of data.csv: the categories G2, G3 numbered from 1
SLICE = re.compile(r"(TCGA_[A-Z0-9]{2}_[A-Z0-9]{4})_[0-9]{8}_([0-9]{1,3})\.tif", re.IGNORECASE)
FORMATS = ("TIFF", "JPEG", "PNG")
SPACING = (1.0, 1.0)  # mm; the pictures carry none
COPIED = 2.0  # mean difference of two sequences, in grey levels, below which one is a copy of the other


def list_lgg(folder: Path, config: Config) -> Listing:
    """Patients with a grade, from either layout; `data.csv` gives the grade."""
    listing = Listing()
    table = next(
        (path for path in (folder / "data.csv", folder / "kaggle_3m" / "data.csv") if path.is_file()), folder / "data.csv"
    )
    grades = _read_grades(table, listing)
    listed = folder / "slices.csv"
    slices = _read_prepared(listed) if listed.is_file() else _find_published(folder)
    # Where a patient lacks another sequence the collection puts FLAIR in its place: that alone all are sure to have.
    listing.sequence = choose_sequence(config, ["flair"])
    named = set()
    for patient, group in slices.groupby("patient", sort=True):
        name = str(patient)
        named.add(name)
        if name in grades:
            read = functools.partial(read_slices, folder, group.reset_index(drop=True), listing.sequence)
            listing.subjects.append(Subject(name, grades[name], read_site(name), read))
        else:
            listing.unused["patients with slices and no grade"] = listing.unused.get("patients with slices and no grade", 0) + 1
    if missing := sorted(grades.keys() - named):
        listing.unused["patients with a grade and no slices"] = len(missing)
    return listing


def _read_grades(path: Path, listing: Listing) -> dict[str, str]:
    """Patient -> grade. The table's codes 1 and 2 are grades II and III; grades that are spelled out are taken as such."""
    coded = read_csv_table(path, {"Patient": str, GRADE: str})
    listing.listed = len(coded)
    texts = coded[GRADE].str.strip().str.removesuffix(".0")
    if not set(texts) <= {*CODES, ""}:
        listing.listed = 0
        return {line.subject: line.grade for line in read_table(path, listing, "Patient", GRADE)}
    listing.faults += [
        f"{path.name}: patient {name[:40]!r} is listed twice" for name in coded["Patient"][coded["Patient"].duplicated()]
    ]
    return {name.strip(): CODES[text] for name, text in zip(coded["Patient"], texts, strict=True) if text}


def _read_prepared(path: Path) -> pd.DataFrame:
    """One line a slice: path, mask, patient, slice, total (slices of the patient)."""
    table = read_csv_table(path, {"path": str, "mask": str, "patient": str, "slice": int, "n_slices": int})
    return table.rename(columns={"n_slices": "total"}).sort_values(["patient", "slice"])


def _find_published(folder: Path) -> pd.DataFrame:
    """The same from the names of the collection's files."""
    lines = []
    for path in walk_files(folder):
        if match := SLICE.fullmatch(path.name):
            name = path.relative_to(folder).as_posix()
            lines.append((name, name[:-4] + "_mask" + name[-4:], match[1].upper(), int(match[2])))
    if not lines:
        raise UsageError(f"{folder}: neither slices.csv nor kaggle_3m/TCGA_*/TCGA_*_<slice>.tif; unpack the collection there")
    table = pd.DataFrame(lines, columns=["path", "mask", "patient", "slice"])
    if (again := table.duplicated(["patient", "slice"], keep=False)).any():
        shown = " and ".join(table["path"][again].iloc[[0, -1]])
        raise UsageError(
            f"{folder}: {int(again.sum())} slices are there several times ({shown}); keep one copy of the collection"
        )
    table["total"] = table.groupby("patient")["path"].transform("size")
    return table.sort_values(["patient", "slice"])


def read_slices(folder: Path, table: pd.DataFrame, sequence: str) -> Slices:
    """Slices of one patient with a lesion, in one sequence. table: lines of it, see `_read_prepared`.

    Slices without lesion are looked at (their masks) but not kept: the prepared layout has none, and both give the same.
    """
    planes, masks, numbers, paths, hashes, copied = [], [], [], [], [], []
    for line in table.to_dict("records"):
        path = find_listed(folder, line["path"])
        mask = read_picture(find_listed(folder, line["mask"]), formats=FORMATS) > 127
        if not mask.any():
            continue
        channels = read_picture(path, formats=FORMATS, colours=True)  # the three sequences
        plane = channels[..., CHANNELS[sequence]]
        copied.append(sequence != "flair" and np.abs(plane - channels[..., CHANNELS["flair"]].astype(np.float32)).mean() < COPIED)
        if plane.shape != mask.shape:
            sizes = " against ".join("x".join(map(str, one.shape)) for one in (plane, mask))
            raise UsageError(f"{path}: picture and mask differ in size ({sizes})")
        planes.append(plane)
        masks.append(mask)
        numbers.append(int(line["slice"]))
        paths.append(str(line["path"]))
        hashes.append(hash_file(path))
    if not planes:
        raise UsageError(f"{table['path'].iloc[0]}: no slice of this patient has a lesion: all masks are empty")
    if len({plane.shape for plane in planes}) > 1:
        raise UsageError(f"{table['path'].iloc[0]}: the slices of this patient differ in size")
    if covers_border(np.stack(masks)):
        raise UsageError(
            f"{table['mask'].iloc[0]}: the masks of this patient are white around the lesion; draw it white on black"
        )
    stacked, total = np.stack(planes).astype(np.float32), int(table["total"].iloc[0])
    remark = f"no sequence {sequence}: the collection has put FLAIR there" if all(copied) else ""
    return Slices(stacked, np.stack(masks), SPACING, total, numbers, paths, hashes, remark)
