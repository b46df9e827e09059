"""The sample table: one line per case, its checks, patient-grouped splits, and the proof that a split does not leak.

A case table is a pandas.DataFrame with at least

    case_id     str, unique
    path        str, relative to the data folder; '' for a case that is not a file
    sha256      str, 64 hexadecimal digits, of the file (`hash_file`) or of the pixels (`hash_pixels`)
    patient_id  str, the group that must not be torn apart: patient, scan or subject
    label       int, 0..C-1
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from common.duplicates import NEAR_DUPLICATE_LIMIT, describe_images, find_near_duplicates
from common.errors import UsageError

COLUMNS = ("case_id", "path", "sha256", "patient_id", "label")
SIDES = ("train", "validation", "test")
DEALS = 10  # random orders of the patients that are tried; the most even one is kept


class LeakError(AssertionError):
    """Two sides of a split share a patient, a file or a picture."""


def hash_file(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_pixels(pixels: np.ndarray) -> str:
    """Return the sha256 of an array: its type, shape and values, whatever its memory layout."""
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def check_cases(cases: pd.DataFrame) -> None:
    """Raise UsageError naming the first fault of a case table: columns, empty or double ids, checksums, labels."""
    missing = [name for name in COLUMNS if name not in cases]
    if missing:
        raise UsageError(f"case table: no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    if cases.empty:
        raise UsageError("case table: no cases")
    for name in ("case_id", "patient_id"):
        blank = cases[name].isna() | (cases[name].astype(str).str.strip() == "")
        if blank.any():
            raise UsageError(f"case table: {int(blank.sum())} cases without {name}, first in line {int(blank.argmax()) + 1}")
    double = cases["case_id"].astype(str).duplicated()
    if double.any():
        raise UsageError(f"case table: {int(double.sum())} case ids occur twice, first {cases['case_id'][double].iloc[0]!r}")
    wrong = ~cases["sha256"].astype(str).str.fullmatch("[0-9a-f]{64}")
    if wrong.any():
        first = cases["case_id"][wrong].iloc[0]
        raise UsageError(f"case table: {int(wrong.sum())} cases without a sha256 of 64 digits, first {first!r}")
    if not pd.api.types.is_integer_dtype(cases["label"]) or cases["label"].min() < 0:
        raise UsageError("case table: label must hold whole numbers from 0")


def split_cases(
    cases: pd.DataFrame, *, test_share: float, validation_share: float, seed: int, by: str = "patient_id"
) -> pd.Series:
    """Split cases into 'train', 'validation' and 'test', patients kept whole, classes in equal shares.

    by: the column of the group ('case_id' gives an image-level split). Shares are of the cases, 0 <= share, sum < 1; a share
    of 0 leaves that side out. Returns a Series of str with the index of `cases`. It depends on the seed and on the set of
    cases, not on their order. Raises UsageError where a class has too few patients for the sides.
    """
    if not (0 <= test_share < 1 and 0 <= validation_share < 1 and 0 < test_share + validation_share < 1):
        raise UsageError(f"split: test_share {test_share} and validation_share {validation_share} must leave a training part")
    shares = {"train": 1 - test_share - validation_share, "validation": validation_share, "test": test_share}
    shares = {side: share for side, share in shares.items() if share > 0}
    dealt = _deal_groups(cases, list(shares.values()), seed, by, "sides")
    return pd.Series(np.array(list(shares), object)[dealt], index=cases.index, name="side").astype(str)


def fold_cases(cases: pd.DataFrame, folds: int, seed: int, by: str = "patient_id") -> pd.Series:
    """Number the cases 0..folds-1 for cross-validation, grouped and stratified as in `split_cases`. Returns int64."""
    if folds < 2:
        raise UsageError(f"cross-validation needs at least 2 folds, not {folds}")
    return pd.Series(_deal_groups(cases, [1 / folds] * folds, seed, by, "folds"), index=cases.index, name="fold")


def _deal_groups(cases: pd.DataFrame, shares: list[float], seed: int, by: str, noun: str) -> np.ndarray:
    """Part number (n,) int64 of every case.

    Groups are dealt one by one, in random order, to the part where they least increase the squared deviation of the class
    counts from the wanted ones, relative to the wanted ones (the idea of scikit-learn's StratifiedGroupKFold, for unequal
    shares). Of several random orders the one with the smallest final deviation is kept.
    """
    if by not in cases:
        raise UsageError(f"split: the case table has no column {by!r} to group by")
    if cases[by].isna().any():
        raise UsageError(f"split: {int(cases[by].isna().sum())} cases without {by}: every case needs one")
    groups, group_of = np.unique(cases[by].astype(str).to_numpy(object), return_inverse=True)
    labels, label_of = np.unique(cases["label"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(groups), len(labels)))
    np.add.at(counts, (group_of, label_of), 1)
    for label, having in zip(labels, (counts > 0).sum(axis=0), strict=True):
        if having < len(shares):
            raise UsageError(
                f"split: class {label} has cases of {having} different {by}, too few for {len(shares)} {noun}: "
                f"ask for fewer {noun} or add data"
            )
    wanted = np.outer(shares, counts.sum(axis=0))
    rng = np.random.default_rng(seed)
    best, best_deviation = None, np.inf
    for _ in range(DEALS):
        have, part_of = np.zeros_like(wanted), np.empty(len(groups), np.int64)
        for group in rng.permutation(len(groups)):
            increase = (counts[group] * (2 * (have - wanted) + counts[group]) / wanted).sum(axis=1)
            part = increase.argmin()
            part_of[group] = part
            have[part] += counts[group]
        deviation = (np.square(have - wanted) / wanted).sum()
        if have.all() and deviation < best_deviation:
            best, best_deviation = part_of, deviation
    if best is None:
        raise UsageError(
            f"split: found no way to give each of the {len(shares)} {noun} cases of every class without tearing a {by} apart: "
            f"ask for fewer {noun} or add data"
        )
    return best[group_of]


def join_patients(cases: pd.DataFrame, pairs: Iterable[tuple[int, int]] = ()) -> pd.Series:
    """Give patients that share a file (sha256) or a near-duplicate picture one common group id, the first of their ids.

    pairs: positions of cases, such as the index_a and index_b of `find_near_duplicates`. Published collections list one
    picture under several patients; those have to stay on one side. Returns a Series of str with the index of `cases`.
    """
    patients, patient_of = np.unique(cases["patient_id"].astype(str).to_numpy(object), return_inverse=True)
    first_of_file = cases.groupby("sha256")["sha256"].transform(lambda same: same.index[0]) if False else None
    del first_of_file
    return pd.Series(patients[patient_of], index=cases.index)
