"""The validation list of the public patches, which the paper never used, scored by the finished networks: a table of ours.

Under the paper's protocol all its candidates are scored: no choice was ever made on them, but their scans are those of training.
Under the leak-free one, only those of test patients: nothing of theirs was in training, and no picture is like one that was.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.folds import Fold, describe_splits, gather_fold, hash_folds, name_sides
from common.cases.prepared import Dataset
from common.cases.sources import Source, name_prepared
from common.cli import Options
from common.files import slug
from common.records.results import DatasetEntry
from common.records.rows import Row
from common.runs.cells import Cell, read_record
from common.runs.networks import find_sha256
from common.runs.run import prepare_shared
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import NETWORKS, Config
from replications.lung_hip_compare.sources import luna16

TABLE = "held out"
NAME = "LUNA16, held-out list"  # as a data set
PLACE = f"data/{slug(NAME)}"  # in the run folder
SUFFIX = ", held-out list"  # of its rows
SCORE = "replications.lung_hip_compare.train:score_cell"
RULES = {
    "paper": "trained as in the paper; tested on the published validation list, which it does not use",
    "leakfree": "trained leak-free; tested on the published validation list, test patients alone",
}


@dataclass(frozen=True)
class HeldOut:
    """The published lists of LUNA16, the held-out one included, and which of it a protocol's networks are tested on."""

    dataset: Dataset
    folds: Mapping[str, Fold]  # protocol -> fold; train and validation as the networks had them
    entry: DatasetEntry

    @property
    def splits(self) -> dict[tuple[str, str], tuple[pd.DataFrame, Sequence[Fold]]]:
        """(NAME, protocol) -> the cases and their folds."""
        return {(NAME, protocol): (self.dataset.cases, [fold]) for protocol, fold in self.folds.items()}


def list_rows() -> list[Row]:
    """One row a network of Table 2 on LUNA16."""
    trained = [f"LUNA16 / {network}" for network in NETWORKS]
    return [Row(f"{name}{SUFFIX}", (TABLE,), frozenset([name])) for name in trained]


def explain_unavailable(source: Source | None) -> str | None:
    """Why the held-out list cannot be scored, in words for the report; None if it can."""
    if source is None:
        return data.MISSING["luna"]
    if source.kind == "patches" and not (source.path / "valdatalabels.txt").is_file():
        return "the published validation list is not here (valdatalabels.txt)"
    return None


def prepare(package: Path, options: Options, source: Source, config: Config) -> tuple[Path, Dataset]:
    """Prepare all three lists together: (folder, data set), as `prepare_shared`."""
    settings = {**data.list_settings("LUNA16", config), "lists": luna16.PATCH_SPLITS}
    name = name_prepared(source, settings, slug(NAME))
    make = functools.partial(
        data.prepare_dataset, "LUNA16", source, config, skip_unreadable=options.skip_unreadable, lists=luna16.PATCH_SPLITS
    )
    return prepare_shared(package, options, name, make)


def split(held: Dataset, trained: pd.DataFrame, fold: Fold, protocol: str, config: Config) -> Fold:
    """The fold of a protocol's networks, tested on the held-out list instead.

    trained, fold: the cases of the two lists that the paper counts, and their fold under the protocol. leakfree: without the
    held-out candidates of a patient who was trained or stopped on, those within `luna_gap_rows` of such a patient's where
    stretches of rows stand for patients, and near-duplicates of a picture that was trained or stopped on.
    """
    cases = held.cases
    side_of = dict(zip(trained["case_id"], name_sides(fold, len(trained)), strict=True))
    sides = np.array([side_of.get(case, "") for case in cases["case_id"]], dtype="<U10")
    used = np.isin(sides, ("train", "validation"))
    sides[sides == "test"] = ""
    wanted = cases["split"].to_numpy() == "val"
    if "padded" in cases:  # as the two other lists
        wanted &= ~cases["padded"].to_numpy(dtype=bool)
    if protocol == "leakfree":
        patients, rows = cases["patient_id"].to_numpy(), cases["candidate_row"].to_numpy()
        wanted &= ~np.isin(patients, patients[used])
        if cases["patient_id"].str.startswith("rows-").all():
            wanted &= _measure_distance(rows, rows[used]) >= config.luna_gap_rows
        place = {name: row for row, name in enumerate(cases["case_id"])}
        for pair in held.info.get("near_duplicates", ()):
            a, b = (place[name] for name in pair["case_ids"])
            wanted[a] &= not used[b]
            wanted[b] &= not used[a]
    sides[wanted] = "test"
    return gather_fold(sides, RULES[protocol])


def _measure_distance(rows: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Distance (n,) of each candidate row from the nearest one that is used."""
    ordered = np.sort(used)
    after = np.searchsorted(ordered, rows).clip(1, len(ordered) - 1)
    return np.minimum(np.abs(rows - ordered[after - 1]), np.abs(rows - ordered[after]))


def describe(
    held: Dataset, splits: Mapping[tuple[str, str], tuple[pd.DataFrame, Sequence[Fold]]], config: Config
) -> HeldOut | str:
    """What the finished networks are tested on, with what that leaks; or why they cannot be, in words for the report.

    splits: (data set, protocol) -> cases and folds of all data sets.
    """
    folds = {}
    for (name, protocol), (cases, (fold, *_)) in splits.items():
        if name == "LUNA16":
            folds[protocol] = found = split(held, cases, fold, protocol, config)
            if held.cases["label"].iloc[found.test].nunique() < 2:
                return f"too few held-out candidates ({len(found.test)}) for the {protocol} protocol: one class alone"
    entry = describe_splits(NAME, held, {protocol: (held, [fold]) for protocol, fold in folds.items()})
    return HeldOut(held, folds, entry)


def plan_cells(finished: Sequence[Cell], folder: Path, held: HeldOut) -> list[Cell]:
    """A scoring for each finished training of Table 2 on LUNA16; folder: of the run."""
    rows = {name for row in list_rows() for name in row.needs}
    cells = []
    for training in finished:
        settings = training.settings
        if settings["row"] in rows:
            protocol = settings["protocol"]
            about = {
                "config": settings["config"],
                "data": PLACE,
                "data_sha256": held.dataset.sha256,
                "dataset": NAME,
                "fold": -1,
                "network": settings["network"],
                "network_sha256": find_sha256(read_record(training, folder / "cells")),
                "protocol": protocol,
                "row": f"{settings['row']}{SUFFIX}",
                "seed": settings["seed"],
                "split_sha256": hash_folds(held.dataset, [held.folds[protocol]]),
                "training": training.key,
            }
            cells.append(Cell(f"{training.key}-held-out", SCORE, about))
    return cells


def name_training(row: str) -> str:
    """The training that a row rests on: of a held-out row the network's, of any other the row itself.

    >>> name_training("LUNA16 / CNN, held-out list"), name_training("LUNA16 / CNN")
    ('LUNA16 / CNN', 'LUNA16 / CNN')
    """
    return row.removesuffix(SUFFIX)
