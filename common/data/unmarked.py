"""Phantoms whose pictures show nothing of their class: what a network gets right of them beyond chance, it learnt elsewhere.

They put a leak of known size into a trial run. With patients kept apart nothing tells their class, so of two classes half of
them come out right; where other pictures of the same patients are in training, more do. `common.evaluation.unmarked` makes the
table.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from common.csv_text import restore_cell, write_lines
from common.data.csv_files import read_csv_table

FILE = "unmarked.csv"  # in the folder of the phantoms: one column, patient


def choose_unmarked(labels: np.ndarray, share: float) -> np.ndarray:
    """Which patients are unmarked, bool (n,): `share` of the smallest class, and as many of each other, spread over them.

    labels: class of each patient, int (n,).

    >>> choose_unmarked(np.array([0, 0, 0, 0, 1, 1, 1, 1, 0]), 0.5).tolist()
    [True, False, False, False, True, False, False, True, True]
    >>> choose_unmarked(np.array([0, 2, 1, 0, 1, 2]), 0.5).tolist()
    [True, True, True, False, False, False]
    """
    chosen = np.zeros(len(labels), bool)
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    each = round(share * min(len(places) for places in classes))
    for places in classes:
        chosen[places[np.linspace(0, len(places) - 1, each).round().astype(int)]] = True
    return chosen


def write_unmarked(folder: Path, patients: Collection[str]) -> None:
    """List the unmarked patients in a folder of phantoms."""
    write_lines(folder / FILE, [["patient"], *([patient] for patient in patients)])


def read_unmarked(folder: Path) -> frozenset[str]:
    """The unmarked patients of a folder; none where it lists none."""
    path = folder / FILE
    return frozenset(map(restore_cell, read_csv_table(path, {"patient": str})["patient"])) if path.is_file() else frozenset()
