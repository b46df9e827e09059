"""The folds of a prepared data set, and what a split leaks."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.cases.duplicates import describe_images, find_near_duplicates
from common.cases.prepared import Dataset
from common.cases.table import SIDES, assert_no_leak
from common.errors import UsageError
from common.records.results import DatasetEntry, Leak, Split


@dataclass(frozen=True)
class Fold:
    """Indices of cases, int64. `rule` says how they were drawn, `left_out` how many cases no side has."""

    fold: int  # -1 where there is one fixed split
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    rule: str = ""
    left_out: int = 0


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
