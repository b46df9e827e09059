"""The case table of a study: its checks, its splits into training, validation and test side, and the proof that none leaks.

A case is one labelled image. The table is a pandas.DataFrame with one line per case and at least these columns:

    case_id     str, unique
    path        str, relative to the data folder; '' for a case that is not a file
    sha256      str, 64 hexadecimal digits, of the file (`common.files.hash_file`) or of the pixels (`hash_pixels`)
    patient_id  str, the patient, scan or subject that the image is of: all its cases must stay on one side of a split
    label       int, the class, 0..C-1

A split leaks if training and test side share a patient, a file or a copy of a picture: the network is then tested on what
it has seen.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from common.cases.descriptions import Descriptions, describe_images
from common.cases.noted import Noted
from common.cases.searches import Found, search_sides
from common.errors import UsageError

COLUMNS = ("case_id", "path", "sha256", "patient_id", "label")
SIDES = ("train", "validation", "test")
# A split is the best of many random ones: so many are drawn, and the classes of the best of them are then evened out further.
DRAWN, IMPROVED = 1000, 20
SHOWN = 10  # near-duplicate pairs that a message names
# The search of the whole set missed them: what can be done.
TOLD = "give both pictures of each pair one patient in the table of cases, or leave one out"


class LeakError(UsageError):
    """Two sides of a split share a patient, a file or a picture: the data or the split must change before anything is trained.

    copies: where it is pictures alone, sha256 of both files and similarity of each pair (common.cases.noted).
    """

    copies: tuple[Noted, ...] = ()


def hash_pixels(pixels: np.ndarray) -> str:
    """sha256 of an array, 64 hexadecimal digits: its type, shape and values, whatever its memory layout.

    Two files with the same picture, packed differently, have the same hash of their pixels.

    >>> pixels = np.array([[0, 1], [2, 3]], np.uint8)
    >>> hash_pixels(pixels) == hash_pixels(np.asfortranarray(pixels)), hash_pixels(pixels) == hash_pixels(pixels.ravel())
    (True, False)
    """
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def check_cases(cases: pd.DataFrame) -> None:
    """Raise UsageError naming the first fault of a case table: columns, empty or double ids, checksums, labels.

    >>> check_cases(pd.DataFrame({"case_id": ["a"], "label": [0]}))
    Traceback (most recent call last):
    common.errors.UsageError: case table: no column path, sha256, patient_id; it needs case_id, path, sha256, patient_id, label
    """
    missing = [name for name in COLUMNS if name not in cases]
    if missing:
        raise UsageError(f"case table: no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    if cases.empty:
        raise UsageError("case table: no cases")
    for name in ("case_id", "patient_id"):
        blank = cases[name].isna() | (cases[name].astype(str).str.strip() == "")
        if blank.any():
            first = int(blank.to_numpy().argmax()) + 1
            raise UsageError(f"case table: {int(blank.sum())} cases without {name}, first in row {first}")
    double = cases["case_id"].astype(str).duplicated()
    if double.any():
        first = cases["case_id"][double].iloc[0]
        raise UsageError(f"case table: {int(double.sum())} case ids occur twice, first {first!r}")
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

    This is a stratified group split: of many random assignments of whole patients to sides, the one whose counts of each class
    are nearest to the wanted ones. by: the column of the group; 'case_id' splits image by image, which tears patients apart.
    test_share, validation_share: of the cases, 0 <= share, sum < 1; a share of 0 leaves that side out. Returns a Series of str
    with the index of `cases`; it depends on the seed and on the set of cases, not on their order. Raises UsageError where a
    class has too few patients for the sides.

    Ten patients with two images each, half of them ill:

    >>> cases = pd.DataFrame({"patient_id": np.repeat(list("abcdefghij"), 2), "label": np.repeat([0, 1], 10)})
    >>> sides = split_cases(cases, test_share=0.4, validation_share=0, seed=0)
    >>> sides.value_counts().to_dict(), int(sides.groupby(cases["patient_id"]).nunique().max())
    ({'train': 12, 'test': 8}, 1)
    """
    if not (0 <= test_share < 1 and 0 <= validation_share < 1 and 0 < test_share + validation_share < 1):
        raise UsageError(f"split: test_share {test_share} + validation_share {validation_share} must lie between 0 and 1")
    shares = {"train": 1 - test_share - validation_share, "validation": validation_share, "test": test_share}
    shares = {side: share for side, share in shares.items() if share > 0}
    part_of = _assign_groups(cases, list(shares.values()), seed, by, "sides")
    return pd.Series(np.array(list(shares), object)[part_of], index=cases.index, name="side").astype(str)


def fold_cases(cases: pd.DataFrame, folds: int, seed: int, by: str = "patient_id") -> pd.Series:
    """Folds of a cross-validation: 0..folds-1 for each case, grouped and stratified as in `split_cases`.

    Returns a Series of int64 with the index of `cases`. Raises UsageError for less than two folds and as `split_cases` does.

    >>> cases = pd.DataFrame({"patient_id": np.repeat(list("abcdef"), 2), "label": np.repeat([0, 1], 6)})
    >>> fold_cases(cases, 3, seed=0).value_counts().sort_index().to_dict()  # two patients each, one of either class
    {0: 4, 1: 4, 2: 4}
    """
    if folds < 2:
        raise UsageError(f"cross-validation needs at least 2 folds, not {folds}")
    return pd.Series(_assign_groups(cases, [1 / folds] * folds, seed, by, "folds"), index=cases.index, name="fold")


def _assign_groups(cases: pd.DataFrame, shares: list[float], seed: int, by: str, noun: str) -> np.ndarray:
    """Number of the part (side or fold) of every case, (n,) int64.

    Groups are assigned to parts at random many times, so that every group has its chance to get into any part. In the
    assignments whose class counts are nearest to the wanted ones single groups then move as long as that brings the counts
    nearer, and the first that gives every part cases of every class is taken; where none does, the nearest of those drawn that
    do. Nearness: sum of (count - wanted)^2 / wanted. The aim is that of scikit-learn's StratifiedGroupKFold, for unequal shares.
    """
    if by not in cases:
        raise UsageError(f"split: the case table has no column {by!r} to group by")
    if cases[by].isna().any():
        raise UsageError(f"split: {int(cases[by].isna().sum())} cases without {by}: every case needs one")
    if cases.empty:
        raise UsageError(f"split: no cases for {len(shares)} {noun}")
    groups, group_of = np.unique(cases[by].astype(str).to_numpy(object), return_inverse=True)
    labels, label_of = np.unique(cases["label"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(groups), len(labels)))
    np.add.at(counts, (group_of, label_of), 1)
    for label, having in zip(labels, (counts > 0).sum(axis=0), strict=True):
        if having < len(shares):
            advice = "ask for fewer folds or add data (--set ...folds=N)" if noun == "folds" else "add data"
            raise UsageError(
                f"split: class {label} has cases of {having} different {by}, too few for {len(shares)} {noun}: {advice}"
            )
    wanted = np.outer(shares, counts.sum(axis=0))
    # Of very many groups every assignment is even, and large.
    count = max(IMPROVED, min(DRAWN, 5_000_000 // len(groups)))
    drawn = np.random.default_rng(seed).choice(len(shares), size=(count, len(groups)), p=shares).astype(np.int16)
    have = np.stack([(drawn == part).astype(np.float64) @ counts for part in range(len(shares))], axis=1)
    deviation = (np.square(have - wanted) / wanted).sum(axis=(1, 2))
    for best in np.argsort(deviation, kind="stable")[:IMPROVED]:
        part_of = _even_out(drawn[best].astype(np.int64), counts, wanted)
        if all((counts[part_of == part].sum(axis=0) > 0).all() for part in range(len(shares))):
            return part_of[group_of]
    whole = np.flatnonzero((have > 0).all(axis=(1, 2)))  # few groups of a class: the counts nearest to the wanted ones may be 0
    if len(whole):
        return drawn[whole[np.argmin(deviation[whole])]].astype(np.int64)[group_of]
    raise UsageError(
        f"split: found no way to give each of the {len(shares)} {noun} cases of every class without tearing a {by} "
        f"apart: ask for fewer {noun} or add data"
    )


def _even_out(part_of: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Move one group after the other to another part as long as that brings the counts nearer to the wanted ones."""
    rows = np.arange(len(part_of))
    while True:
        have = np.stack([counts[part_of == part].sum(axis=0) for part in range(len(wanted))])
        excess = have - wanted
        enter = (counts[:, None] * (2 * excess + counts[:, None]) / wanted).sum(axis=2)
        leave = (counts * (counts - 2 * excess[part_of]) / wanted[part_of]).sum(axis=1)
        change = enter + leave[:, None]
        change[rows, part_of] = 0
        group, part = np.unravel_index(change.argmin(), change.shape)
        if change[group, part] > -1e-9:
            return part_of
        part_of[group] = part


def join_patients(cases: pd.DataFrame, pairs: Iterable[tuple[int, int]] = ()) -> pd.Series:
    """Give patients that share a file (sha256) or a near-duplicate picture one common group id, the first of their ids.

    Published collections list one picture under several patients; those have to stay on one side. The groups are the connected
    components of the graph of patients, so that sharing reaches over several patients. pairs: positions of cases, such as the
    index_a and index_b of `find_near_duplicates`. Returns a Series of str with the index of `cases`.

    >>> cases = pd.DataFrame({"patient_id": ["ann", "ben", "cem", "dan"], "sha256": ["0", "0", "1", "2"]})
    >>> join_patients(cases, [(1, 2)]).to_list()  # ann and ben share a file, ben's and cem's pictures are alike
    ['ann', 'ann', 'ann', 'dan']
    """
    patients, patient_of = np.unique(cases["patient_id"].astype(str).to_numpy(object), return_inverse=True)
    _, first, file_of = np.unique(cases["sha256"].to_numpy(str), return_index=True, return_inverse=True)
    edges = np.array([*pairs, *zip(first[file_of], range(len(cases)), strict=True)], np.int64).reshape(-1, 2)
    left, right = patient_of[edges].T
    graph = coo_array((np.ones(len(edges)), (left, right)), shape=(len(patients), len(patients)))
    _, group_of = connected_components(graph, directed=False)
    _, first_patient = np.unique(group_of, return_index=True)
    return pd.Series(patients[first_patient[group_of[patient_of]]], index=cases.index, name="patient_id").astype(str)


def assert_no_leak(
    cases: pd.DataFrame,
    sides: pd.Series,
    images: Iterable[np.ndarray] | Descriptions | None = None,
    *,
    limit: float | None = None,
    candidates: int | None = None,
    found: Found | None = None,
) -> dict[str, Any]:
    """Prove that no two sides share a patient, a file or, given the images, a near-duplicate picture.

    sides: the side ('train', ...) or fold number of every case, with the index of `cases`; missing = not used.
    images: (h, w[, c]) uint8 in the order of `cases`, or their `describe_images`. Every image of the smaller of two
    sides is compared with its `candidates` most similar ones of the other (see `compare_images`). limit: the similarity
    from which two are near-duplicates; None: `choose_limit` of all the images. found: what `search_sides` found for these cases
    and sides, instead of the images.
    Returns what was checked: {cases, patients, files, sides: {side: cases}, near_duplicates: None without images, else
    {limit, image_pairs (searched), compared (registered, because they looked alike), closest: {similarity, case_ids},
    None where nothing looked alike}}.
    Raises LeakError, one line, with the counts of all three kinds and the first offenders by their files (case ids where
    there are none); UsageError for a faulty case table; ValueError where sides or images do not fit it.

    >>> cases = pd.DataFrame({"case_id": ["1", "2"], "path": "", "sha256": ["0" * 64, "f" * 64], "label": [0, 1]})
    >>> sides = pd.Series(["train", "test"])
    >>> assert_no_leak(cases.assign(patient_id=["ann", "ben"]), sides)["sides"]
    {'test': 1, 'train': 1}
    >>> assert_no_leak(cases.assign(patient_id="ann"), sides)
    Traceback (most recent call last):
    common.cases.table.LeakError: the split leaks across sides: 1 patients: ann (test/train)
    """
    check_cases(cases)
    if not sides.index.equals(cases.index):
        raise ValueError("sides must have the index of the case table")
    used = sides.notna().to_numpy()
    described = images if images is None or isinstance(images, Descriptions) else describe_images(images)
    ids, hashes = (cases[name].astype(str).to_list() for name in ("case_id", "sha256"))
    names = dict(zip(np.flatnonzero(used).tolist(), name_cases(cases[used]), strict=True))
    if described is not None:
        if described.count != len(cases):
            raise ValueError(f"{described.count} images for {len(cases)} cases")
        sides_of = sides.astype(str).where(used, "").to_numpy(str)
        found = search_sides(described, sides_of, ids, limit=limit, candidates=candidates)
    cases, sides = cases[used], sides[used]
    faults = [_find_torn(cases, sides, "patient_id", "patients"), _find_torn(cases, sides, "sha256", "files")]
    near = None
    if found is not None:
        closest = found.closest and {"similarity": found.closest[2], "case_ids": [ids[row] for row in found.closest[:2]]}
        near = {"limit": found.limit, "image_pairs": found.image_pairs, "compared": found.compared, "closest": closest}
        if found.pairs:
            examples = ", ".join(f"{names[a]} ~ {names[b]} ({similarity:.3f})" for a, b, similarity in found.pairs[:SHOWN])
            faults.append(f"{len(found.pairs)} near-duplicate pairs of similarity >= {found.limit:.2f}: {examples}; {TOLD}")
    if any(faults):
        error = LeakError("the split leaks across sides: " + "; ".join(filter(None, faults)))
        if found is not None and not any(faults[:2]):
            error.copies = tuple((hashes[a], hashes[b], similarity) for a, b, similarity in found.pairs)
        raise error
    return {
        "cases": len(cases),
        "patients": int(cases["patient_id"].nunique()),
        "files": int(cases["sha256"].nunique()),
        "sides": {str(side): int(count) for side, count in sides.value_counts().sort_index().items()},
        "near_duplicates": near,
    }


def name_cases(cases: pd.DataFrame) -> list[str]:
    """What error texts call the cases: their file, with the case id where a file has several; the case id where there is none.

    >>> name_cases(pd.DataFrame({"case_id": ["a", "b", "c", "d"], "path": ["1.png", "2.png", "2.png", ""]}))
    ['1.png', '2.png (b)', '2.png (c)', 'd']
    """
    paths, ids = (cases[name].astype(str) for name in ("path", "case_id"))
    several = paths.duplicated(keep=False)
    return [
        (f"{path} ({case_id})" if shared else path) if path else case_id
        for path, case_id, shared in zip(paths, ids, several, strict=True)
    ]


def _find_torn(cases: pd.DataFrame, sides: pd.Series, column: str, noun: str) -> str:
    """Count and first examples of the values of a column that stand on more than one side; '' where there are none."""
    sides_of = pd.DataFrame({"value": cases[column].astype(str), "side": sides.astype(str)}).drop_duplicates()
    torn = sorted(set(sides_of["value"][sides_of["value"].duplicated()]))
    examples, names = [], pd.Series(name_cases(cases), cases.index)
    for value in torn[:3]:
        where = "/".join(sorted(sides_of["side"][sides_of["value"] == value]))
        same = " = ".join(names[cases[column].astype(str) == value].head(4))
        examples.append(f"{same if column == 'sha256' else value} ({where})")
    return f"{len(torn)} {noun}: {', '.join(examples)}" if torn else ""
