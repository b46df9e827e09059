"""The near-duplicate pictures of a data set, found once when it is prepared: listed by file, grouped, or left out of a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.cases.descriptions import describe_once
from common.cases.duplicates import HIGHEST_LIMIT, choose_limit, find_near_duplicates
from common.cases.noted import Noted
from common.cases.sources import Read, Source
from common.cases.table import join_patients

# Kinds of copies of which less than nine in ten were found, with the least share on the three sets of docs/leaks.md: BEYOND in
# benchmarks/picture_copies.py.
NOT_FOUND = {
    "crops of 30 % or more": 0.0,
    "a side cut by 25 %": 0.05,
    "rotations by 10 degrees or more, other than quarter turns": 0.0,
    "pictures shrunk to 24 pixels": 0.07,
    "one of two pictures side by side": 0.0,
}


def describe_gaps() -> str:
    """What the search for near-duplicates misses, for every place that says that nothing leaks; '' where it misses nothing.

    >>> describe_gaps().startswith("Not found") or not NOT_FOUND
    True
    """
    missed = "; ".join(f"{kind} ({share:.0%} found)" for kind, share in NOT_FOUND.items())
    return f"Not found: {missed}; and another exposure of the same lesion, which is no copy." if missed else ""


def settle_copies(source: Source, read: Read, *, join: bool = True, highest: float = HIGHEST_LIMIT) -> Read:
    """The same with its near-duplicate pictures listed and, unless source.near_duplicates is "refuse", their patients joined.

    notes["near_duplicates"]: a list of {files: [path, path], case_ids: [id, id], similarity}, most similar first;
    notes["near_duplicate_limit"]: the similarity from which pictures count as such in this data set (`choose_limit`);
    notes["patients_listed"]: number of patients before. "group": patients that share a file or a near-duplicate picture become
    one, so that no split parts them; with join False they stay apart, for splits that are published: `leave_out_copies`.
    "refuse": every pair of different patients is a fault. highest: the limit's own limit.

    >>> from pathlib import Path
    >>> picture = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    >>> images = np.stack([picture, 255 - picture, picture.T[::2].repeat(2, axis=0) // 2])
    >>> cases = pd.DataFrame({"case_id": list("abc"), "path": ["1.png", "2.png", "3.png"], "sha256": list("xyz")})
    >>> own = Source("own", Path("pictures"), "pictures", synthetic=False)
    >>> _, joined, notes = settle_copies(own, (images[:2], cases[:2].assign(patient_id=["ann", "ben"]), {"faults": []}))
    >>> joined["patient_id"].to_list(), notes["near_duplicates"][0]["files"]
    (['ann', 'ann'], ['1.png', '2.png'])
    """
    images, cases, notes = read
    described = describe_once(images)
    limit = choose_limit(described, highest=highest)
    pairs = _add_noted(find_near_duplicates(described, limit=limit), cases["sha256"].to_numpy(str), source.noted)
    found = [
        {
            "files": [str(cases["path"].iloc[row]) for row in rows],
            "case_ids": [str(cases["case_id"].iloc[row]) for row in rows],
            "similarity": round(float(similarity), 3),
        }
        for *rows, similarity in zip(pairs["index_a"], pairs["index_b"], pairs["similarity"], strict=True)
    ]
    listed = int(cases["patient_id"].nunique())
    positions = list(zip(pairs["index_a"], pairs["index_b"], strict=True))
    if source.near_duplicates == "refuse":
        patients = cases["patient_id"].to_numpy()
        faults = [
            f"near-duplicate pictures of two patients: {describe_pair(entry)}"
            for entry, (a, b) in zip(found, positions, strict=True)
            if patients[a] != patients[b]
        ]
        notes = notes | {"faults": [*notes["faults"], *faults]}
    elif join and len(cases):
        cases = cases.assign(patient_id=join_patients(cases, positions))
    return images, cases, notes | {"near_duplicates": found, "near_duplicate_limit": limit, "patients_listed": listed}


def _add_noted(pairs: pd.DataFrame, hashes: np.ndarray, noted: Sequence[Noted]) -> pd.DataFrame:
    """Pairs of `find_near_duplicates` with those that are noted of these files, sha256 (n,): most similar first."""
    known = set(zip(pairs["index_a"], pairs["index_b"], strict=True))
    lines = []
    for first, second, similarity in noted:
        rows = ((a, b) for a in np.flatnonzero(hashes == first) for b in np.flatnonzero(hashes == second))
        lines += [(*pair, similarity) for pair in map(sorted, rows) if tuple(pair) not in known]
    if not lines:
        return pairs
    joined = pd.concat([pairs, pd.DataFrame(lines, columns=pairs.columns)]).sort_values(
        "similarity", ascending=False, kind="stable", ignore_index=True
    )
    return joined.drop_duplicates(["index_a", "index_b"], ignore_index=True)


def describe_pair(entry: dict[str, Any]) -> str:
    """A pair of `settle_copies` in words; two cases of one file by their ids.

    >>> describe_pair({"files": ["a.png", "b.png"], "case_ids": ["1", "2"], "similarity": 0.98})
    'a.png ~ b.png (0.980)'
    """
    names = entry["files"] if len(set(entry["files"])) == 2 and all(entry["files"]) else entry["case_ids"]
    return f"{names[0]} ~ {names[1]} ({entry['similarity']:.3f})"


def list_copies(notes: dict[str, Any], near_duplicates: str) -> list[str]:
    """Lines for the `data` command: every near-duplicate pair by its files, and what happens to them.

    notes: of `settle_copies`; near_duplicates: of the source.

    >>> pair = {"files": ["a.png", "b.png"], "case_ids": ["1", "2"], "similarity": 0.98}
    >>> for line in list_copies({"near_duplicates": [pair], "near_duplicate_limit": 0.8}, "group"):
    ...     print(line)
    near-duplicate: a.png ~ b.png (0.980)
    1 near-duplicate pair (similarity 0.80 or more): never on two sides of the leak-free split; --near-duplicates refuse stops
    """
    found = notes["near_duplicates"]
    if not found:
        return ["no near-duplicate pictures" + (f". {describe_gaps()}" if describe_gaps() else "")]
    what = {
        "group": "never on two sides of the leak-free split; --near-duplicates refuse stops",
        "refuse": "those of two patients are problems; --near-duplicates group keeps each pair on one side",
    }[near_duplicates]
    count = f"{len(found)} near-duplicate pair{'s' if len(found) > 1 else ''}"
    lines = [f"near-duplicate: {describe_pair(entry)}" for entry in found]
    return [*lines, f"{count} (similarity {notes['near_duplicate_limit']:.2f} or more): {what}"]


def leave_out_copies(sides: np.ndarray, cases: pd.DataFrame, pairs: Sequence[dict[str, Any]]) -> np.ndarray:
    """Sides of cases (n,) str with '' for each that is a near-duplicate of a case on a side that counts more: test, then
    validation. For published splits, which cannot be drawn anew. pairs: notes["near_duplicates"] of `settle_copies`.

    >>> pair = {"case_ids": ["1", "3"]}
    >>> leave_out_copies(np.array(["train", "train", "test"]), pd.DataFrame({"case_id": ["1", "2", "3"]}), [pair]).tolist()
    ['', 'train', 'test']
    """
    sides = sides.copy()
    place = {str(name): row for row, name in enumerate(cases["case_id"])}
    rank = {"test": 0, "validation": 1, "train": 2}
    for pair in pairs:
        a, b = (place[name] for name in pair["case_ids"])
        if sides[a] and sides[b] and sides[a] != sides[b]:
            sides[a if rank[str(sides[a])] > rank[str(sides[b])] else b] = ""
    return sides
