"""A prepared data set (images.npy, cases.csv, data.json in one folder), its folds, and what a split leaks."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.duplicates import describe_images, find_near_duplicates
from common.errors import UsageError
from common.files import hash_file, replace_folder
from common.results import DatasetEntry, Leak, Split
from common.samples import SIDES, assert_no_leak

FILES = {"images": "images.npy", "cases": "cases.csv"}
# Columns that are text even where every value looks like a number.
TEXT_COLUMNS = dict.fromkeys(("case_id", "path", "sha256", "patient_id", "split", "side", "source_case"), str)


@dataclass(frozen=True)
class Dataset:
    images: np.ndarray  # uint8 (n, side, side, 1), memory-mapped when it comes from disk
    cases: pd.DataFrame  # one line an image: case_id, path, sha256, patient_id, label, ...
    info: dict  # data.json


@dataclass(frozen=True)
class Fold:
    """Indices of cases, int64. `rule` says how they were drawn, `left_out` how many cases no side has."""

    fold: int  # -1 where there is one fixed split
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    rule: str = ""
    left_out: int = 0


def write_prepared(folder: Path, images: np.ndarray, cases: pd.DataFrame, info: dict) -> None:
    """Write images (n, side, side) uint8, cases and info; the folder appears at once (temporary folder, then rename)."""
    with replace_folder(folder) as temporary:
        np.save(temporary / FILES["images"], images[..., None], allow_pickle=False)
        cases.to_csv(temporary / FILES["cases"], index=False, lineterminator="\n")
        info = {**info, **{f"{name}_sha256": hash_file(temporary / file) for name, file in FILES.items()}}
        text = json.dumps(info, indent=1, sort_keys=True)
        (temporary / "data.json").write_text(text + "\n", encoding="utf-8")


def is_prepared(folder: Path, origin: dict, skip_unreadable: bool) -> bool:
    """Whether the folder holds a whole data set of this origin (and, unless they may be skipped, without unreadable files)."""
    try:
        info = load_dataset(folder).info
    except UsageError:
        return False
    return info["origin"] == origin and (skip_unreadable or not info["unreadable"])


def load_dataset(folder: Path) -> Dataset:
    """A prepared data set; images are memory-mapped, read-only. Raises UsageError if it is missing or damaged."""
    try:
        info = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        for name, file in FILES.items():
            if hash_file(folder / file) != info[f"{name}_sha256"]:
                raise UsageError(f"{folder / file}: damaged; delete the folder and prepare it again")
        images = np.load(folder / FILES["images"], mmap_mode="r", allow_pickle=False)
        cases = pd.read_csv(folder / FILES["cases"], dtype=TEXT_COLUMNS, keep_default_na=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder}: no whole prepared data set ({error}); prepare it again") from None
    return Dataset(images, cases, info)


def hash_listing(files: Collection[Path]) -> str:
    """sha256 of names, sizes and times of raw files: tells whether they are still those that were read."""
    listing = hashlib.sha256()
    for path in files:
        stat = path.stat()
        listing.update(os.fsencode(path) + f"\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    return listing.hexdigest()


def gather_fold(sides: np.ndarray, rule: str, fold: int = -1) -> Fold:
    """Fold from the side of every case: 'train', 'validation', 'test' or '' (left out), shape (n,)."""
    index = {side: np.flatnonzero(sides == side) for side in SIDES}
    return Fold(fold, **index, rule=rule, left_out=int((sides == "").sum()))


def name_sides(fold: Fold, count: int) -> np.ndarray:
    """'train', 'validation', 'test' or '' (left out) of each case, shape (count,)."""
    sides = np.full(count, "", dtype="<U10")
    for side in SIDES:
        sides[getattr(fold, side)] = side
    return sides


def hash_folds(dataset: Dataset, folds: Sequence[Fold]) -> str:
    """sha256 of a split: every case id with its side in every fold."""
    digest = hashlib.sha256()
    for fold in folds:
        sides = name_sides(fold, len(dataset.cases))
        for case_id, side in sorted(zip(dataset.cases["case_id"], sides, strict=True)):
            digest.update(f"{fold.fold}\t{case_id}\t{side}\n".encode())
    return digest.hexdigest()


def check_folds(cases: pd.DataFrame, folds: Sequence[Fold], protocol: str, name: str) -> None:
    """Raise UsageError where a side lacks a class or leakfree has no validation cases, LeakError where a leakfree split
    shares a patient or a file. (Near-duplicate pictures: `measure_leak`.)"""
    for fold in folds:
        sides = name_sides(fold, len(cases))
        for side in ("train", "test"):
            if cases.loc[sides == side, "label"].nunique() < 2:
                raise UsageError(f"{name}, {protocol}: too few cases ({len(cases)}): the {side} side lacks a class")
        if protocol == "leakfree" and not len(fold.validation):
            raise UsageError(f"{name}, {protocol}: too few cases ({len(cases)}): none is left for validation")
        if protocol == "leakfree":
            assert_no_leak(cases, pd.Series(sides, cases.index).replace("", pd.NA))


def measure_leak(dataset: Dataset, folds: Sequence[Fold], protocol: str) -> Leak:
    """Test cases (summed over folds) that have, on the training side, a case of the same patient, the same pixels, or a
    near-duplicate picture. Leakage is measured, not assumed; under `leakfree` any raises LeakError, on any two sides."""
    cases = dataset.cases
    patients, pixels = cases["patient_id"].to_numpy(), cases["sha256"].to_numpy()
    described = describe_images(dataset.images)
    leak = {"test_cases": 0, "same_patient": 0, "same_pixels": 0, "near_duplicate": 0}
    for fold in folds:
        leak["test_cases"] += len(fold.test)
        leak["same_patient"] += int(np.isin(patients[fold.test], patients[fold.train]).sum())
        leak["same_pixels"] += int(np.isin(pixels[fold.test], pixels[fold.train]).sum())
        pairs = find_near_duplicates(described.take(fold.train), described.take(fold.test))
        leak["near_duplicate"] += int(pairs["index_b"].nunique())
        if protocol == "leakfree":
            sides = pd.Series(name_sides(fold, len(cases)), index=cases.index)
            assert_no_leak(cases, sides.where(sides != ""), described)
    return Leak(**leak)


def describe_splits(name: str, dataset: Dataset, folds_of: Mapping[str, tuple[Dataset, Sequence[Fold]]]) -> DatasetEntry:
    """Entry of the data set `name` in results.json, with the split under each protocol and what it leaks.

    folds_of: protocol -> the cases that are split (the data set itself, or an enlarged one) and their folds.
    """
    splits = {
        protocol: Split(
            rule=folds[0].rule,
            folds=len(folds),
            train=len(folds[0].train),
            validation=len(folds[0].validation),
            test=len(folds[0].test),
            left_out=folds[0].left_out,
            sha256=hash_folds(pool, folds),
            leak=measure_leak(pool, folds, protocol),
        )
        for protocol, (pool, folds) in folds_of.items()
    }
    known = {key: value for key, value in dataset.info.items() if key != "origin"}
    return DatasetEntry.model_validate(known | {"dataset": name, "splits": splits})
