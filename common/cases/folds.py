"""The folds of a prepared data set, and what a split leaks: test cases that have a relative on the training side."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.cases.prepared import Dataset, load_dataset
from common.cases.searches import Searches
from common.cases.table import SIDES, assert_no_leak
from common.errors import UsageError
from common.records.results import DatasetEntry, Leak, Split


@dataclass(frozen=True)
class Fold:
    """One division of the cases into sides: positions of cases, int64, shapes (n_train,), (n_validation,) and (n_test,).

    `rule` says in words how they were drawn, `left_out` how many cases no side has.
    """

    fold: int  # -1 where there is one fixed split
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    rule: str = ""
    left_out: int = 0


def gather_fold(sides: np.ndarray, rule: str, fold: int = -1) -> Fold:
    """Fold from the side of every case: 'train', 'validation', 'test' or '' (left out), shape (n,).

    >>> fold = gather_fold(np.array(["train", "test", "train", ""]), rule="drawn by hand")
    >>> fold.train.tolist(), fold.validation.tolist(), fold.test.tolist(), fold.left_out
    ([0, 2], [], [1], 1)
    """
    index = {side: np.flatnonzero(sides == side) for side in SIDES}
    return Fold(fold, **index, rule=rule, left_out=int((sides == "").sum()))


def name_sides(fold: Fold, count: int) -> np.ndarray:
    """The side of each of `count` cases: 'train', 'validation', 'test' or '' (left out), shape (count,); undoes `gather_fold`.

    >>> name_sides(Fold(0, train=np.array([0, 2]), validation=np.array([], int), test=np.array([1])), 4).tolist()
    ['train', 'test', 'train', '']
    """
    sides = np.full(count, "", dtype="<U10")
    for side in SIDES:
        sides[getattr(fold, side)] = side
    return sides


def hash_folds(dataset: Dataset, folds: Sequence[Fold]) -> str:
    """sha256 of a split, 64 hexadecimal digits: every case id with its side in every fold, in whatever order the cases stand.

    >>> cases = pd.DataFrame({"case_id": ["a", "b"]})
    >>> turned = Dataset(np.zeros((2, 4, 4, 1), np.uint8), cases[::-1], {})
    >>> fold = gather_fold(np.array(["train", "test"]), rule="")
    >>> back = gather_fold(np.array(["test", "train"]), rule="")
    >>> hash_folds(Dataset(turned.images, cases, {}), [fold]) == hash_folds(turned, [back]) != hash_folds(turned, [fold])
    True
    """
    digest = hashlib.sha256()
    for fold in folds:
        sides = name_sides(fold, len(dataset.cases))
        for case_id, side in sorted(zip(dataset.cases["case_id"], sides, strict=True)):
            digest.update(f"{fold.fold}\t{case_id}\t{side}\n".encode())
    return digest.hexdigest()


def confirm_split(dataset: Dataset, pool: Dataset, folds: Sequence[Fold], data_sha256: str, split_sha256: str) -> None:
    """Called by a training: raise UsageError unless it has the data that it was planned for and the split that was proven.

    dataset: as loaded; pool: the cases that are split (the data set itself, or an enlarged one); data_sha256, split_sha256: of
    the plan, `Dataset.sha256` and `hash_folds`.

    >>> hips = Dataset(np.zeros((1, 8, 8, 1)), pd.DataFrame({"case_id": ["a"]}), {"images_sha256": "", "cases_sha256": ""})
    >>> confirm_split(hips, hips, [], hips.sha256, hash_folds(hips, [gather_fold(np.array(["test"]), rule="")]))
    Traceback (most recent call last):
    common.errors.UsageError: the split is not the one that was checked for leaks; run the same command again
    """
    if dataset.sha256 != data_sha256:
        raise UsageError("the prepared data are not those that this training was planned for; run the same command again")
    if hash_folds(pool, folds) != split_sha256:
        raise UsageError("the split is not the one that was checked for leaks; run the same command again")


def open_folds(
    folder: Path, planned: tuple[str, str], split: Callable[[Dataset], Sequence[Fold]]
) -> tuple[Dataset, Sequence[Fold]]:
    """The prepared data set of a training and its folds, confirmed (`confirm_split`); planned: sha256 of the data set and of the
    split. Raises UsageError where they are not those.

    >>> open_folds(Path("no/such/folder"), ("", ""), lambda dataset: [])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    common.errors.UsageError: no/such/folder: no whole prepared data set (...); prepare it again
    """
    dataset = load_dataset(folder)
    folds = split(dataset)
    confirm_split(dataset, dataset, folds, *planned)
    return dataset, folds


def list_obstacles(cases: pd.DataFrame, info: Mapping[str, Any], split: Callable[[Dataset], object]) -> list[str]:
    """Why readable cases cannot be learnt, for the `data` command: one class alone, or too few patients for the leak-free split.

    info: name and notes of the data set, as the split may need them; split: draws the leak-free folds, and looks at no image.

    >>> cases = pd.DataFrame({"case_id": ["1", "2"], "patient_id": ["x", "y"], "sha256": ["a", "b"], "label": [0, 0]})
    >>> list_obstacles(cases, {"name": "my hips"}, lambda dataset: [])
    ['2 readable cases with fewer than two classes; nothing to learn']
    """
    if cases["label"].nunique() < 2:
        return [f"{len(cases)} readable cases with fewer than two classes; nothing to learn"]
    try:
        split(Dataset(np.empty(0), cases, dict(info)))
    except UsageError as error:
        return [f"the leak-free protocol cannot divide them: {error}"]
    return []


def check_folds(cases: pd.DataFrame, folds: Sequence[Fold], protocol: str, name: str) -> None:
    """Raise UsageError where a side lacks a class or leakfree has no validation cases, LeakError where a leakfree split
    shares a patient or a file. (Near-duplicate pictures: `measure_leak`.)

    cases: a case table (common.cases.table); protocol: "paper" or "leakfree"; name: of the data set, for the message.

    >>> cases = pd.DataFrame({"label": [0, 1, 1]})
    >>> check_folds(cases, [gather_fold(np.array(["train", "train", "test"]), rule="")], "paper", "hips")
    Traceback (most recent call last):
    common.errors.UsageError: hips, paper: too few cases (3): the test side lacks a class
    """
    for fold in folds:
        sides = name_sides(fold, len(cases))
        for side in ("train", "test"):
            if cases.loc[sides == side, "label"].nunique() < 2:
                raise UsageError(f"{name}, {protocol}: too few cases ({len(cases)}): the {side} side lacks a class")
        if protocol == "leakfree" and not len(fold.validation):
            raise UsageError(f"{name}, {protocol}: too few cases ({len(cases)}): none is left for validation")
        if protocol == "leakfree":
            assert_no_leak(cases, pd.Series(sides, cases.index).replace("", pd.NA))


def measure_leak(dataset: Dataset, folds: Sequence[Fold], protocol: str, searches: Searches | None = None) -> Leak:
    """Test cases that have, on the training side, a case of the same patient, the same pixels, or a near-duplicate picture:
    summed over the folds, each once where all folds test the same ones. Leakage is measured, not assumed; under `leakfree`
    any raises LeakError, on any two sides. Near-duplicates are pairs of at least dataset.info["near_duplicate_limit"], as the
    data set was prepared with; where it has none, the limit is chosen anew (`choose_limit`). searches: of the pictures of the
    data set; None: nothing is kept.

    Three test cases: one of a patient in training, one whose pixels are, and one of its own; the pictures are blank:

    >>> cases = pd.DataFrame({"case_id": list("12345"), "patient_id": list("xyxvw"), "sha256": list("abcbd")})
    >>> fold = gather_fold(np.array(["train", "train", "test", "test", "test"]), rule="")
    >>> measure_leak(Dataset(np.zeros((5, 8, 8, 1), np.uint8), cases, {}), [fold], "paper")
    Leak(test_cases=3, same_patient=1, same_pixels=1, near_duplicate=0)
    """
    cases = dataset.cases
    patients, pixels = cases["patient_id"].to_numpy(), cases["sha256"].to_numpy()
    searches = searches or Searches(dataset.images, cases["case_id"])
    limit = dataset.info.get("near_duplicate_limit")
    once = all(set(fold.test) == set(folds[0].test) for fold in folds)
    leak: dict[str, set] = {"test_cases": set(), "same_patient": set(), "same_pixels": set(), "near_duplicate": set()}
    for number, fold in enumerate(folds):

        def add(kind: str, found: np.ndarray, number: int = 0 if once else number) -> None:
            leak[kind].update((number, int(case)) for case in found)

        add("test_cases", fold.test)
        add("same_patient", fold.test[np.isin(patients[fold.test], patients[fold.train])])
        add("same_pixels", fold.test[np.isin(pixels[fold.test], pixels[fold.train])])
        if protocol == "leakfree":  # raises where there is any
            sides = pd.Series(name_sides(fold, len(cases)), index=cases.index)
            found = searches.search_sides(sides.to_numpy(str), limit=limit)
            assert_no_leak(cases, sides.where(sides != ""), found=found)
        else:
            found = searches.search_pair(fold.train, fold.test, limit=limit)
            add("near_duplicate", np.array([row for _, row, _ in found.pairs], int))
    return Leak(**{kind: len(cases) for kind, cases in leak.items()})


def describe_splits(name: str, dataset: Dataset, folds_of: Mapping[str, tuple[Dataset, Sequence[Fold]]]) -> DatasetEntry:
    """Entry of the data set `name` in results.json, with the split under each protocol and what it leaks.

    folds_of: protocol -> the cases that are split (the data set itself, or an enlarged one) and their folds. The searches for
    near-duplicates are kept in the folder of the data set, if it comes from one (common.cases.searches). Raises LeakError
    as `measure_leak` does, and pydantic's ValidationError where `dataset.info` lacks what an entry needs.

    >>> cases = pd.DataFrame({"case_id": ["1", "2"], "patient_id": ["x", "y"], "sha256": ["a", "b"], "label": [0, 1]})
    >>> about = {"name": "my hips", "note": "", "synthetic": False, "cases": 2, "patients": 2, "classes": {"ill": 1, "well": 1}}
    >>> hips = Dataset(np.zeros((2, 8, 8, 1), np.uint8), cases, about | {"files_sha256": None, "unreadable": []})
    >>> fold = gather_fold(np.array(["train", "test"]), rule="half of the patients")
    >>> split = describe_splits("hips", hips, {"paper": (hips, [fold])}).splits["paper"]
    >>> split.rule, split.train, split.test, split.leak.same_patient
    ('half of the patients', 1, 1, 0)
    """
    pools = {id(pool): pool for pool, _ in folds_of.values()}
    searches = {key: Searches(pool.images, pool.cases["case_id"], dataset.folder) for key, pool in pools.items()}
    splits = {
        protocol: Split(
            rule=folds[0].rule,
            folds=len(folds),
            train=len(folds[0].train),
            validation=len(folds[0].validation),
            test=len(folds[0].test),
            left_out=folds[0].left_out,
            sha256=hash_folds(pool, folds),
            leak=measure_leak(pool, folds, protocol, searches[id(pool)]),
        )
        for protocol, (pool, folds) in folds_of.items()
    }
    # What names patients or files stays in the run folder.
    known = {key: value for key, value in dataset.info.items() if key not in ("origin", "patient_spellings", "near_duplicates")}
    known |= {key: len(dataset.info[key]) for key in ("near_duplicates",) if key in dataset.info}
    return DatasetEntry.model_validate(known | {"dataset": name, "splits": splits})
