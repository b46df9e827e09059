"""What the figures show: all of a finished run that they need, and where its GANs lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.prepared import Dataset
from common.records.paper import Paper
from common.runs.cells import Cell
from replications.bone_acgan.config import Config
from replications.bone_acgan.measures import Judged
from replications.bone_acgan.plans import Gan
from replications.bone_acgan.rows import SOURCE
from replications.bone_acgan.stages import Place, Trained


@dataclass(frozen=True)
class Shown:
    """All that the figures show, beside the results. A published run has its predictions and its history alone: the figures of
    pictures are not drawn from it."""

    paper: Paper
    config: Config
    predictions: pd.DataFrame
    history: pd.DataFrame
    scans: Dataset | None = None
    judged: Sequence[Judged] = ()
    trained: Trained | None = None
    folder: Path | None = None  # of the run
    cases: tuple[Sequence[int], Sequence[int]] = ((), ())  # positions and labels of pictures, those that are shown first
    attention: Mapping[str, np.ndarray] = field(default_factory=dict)  # row -> Grad-CAM float32 (cases, height, width)


def cells_of(shown: Shown) -> Path:
    """The folder of a run's trainings."""
    assert shown.folder is not None  # of a published run nothing that lies there is drawn
    return shown.folder / "cells"


def find_cell(shown: Shown, gan: Gan) -> tuple[Place, Path] | None:
    """The first place at which a GAN was trained, and the folder of its training; the paper's protocol first."""
    known = list_places(shown, gan)
    return (known[0][0], cells_of(shown) / known[0][1].key) if known else None


def find_trained(shown: Shown, gan: Gan) -> Cell:
    """That training; there must be one."""
    return list_places(shown, gan)[0][1]


def list_places(shown: Shown, gan: Gan) -> list[tuple[Place, Cell]]:
    """Where a GAN was trained, the paper's protocol first."""
    trained = shown.trained
    if trained is None or shown.folder is None:
        return []
    known = [(place, cell) for (one, place), cell in trained.cells.items() if one == gan and cell.key not in trained.failed]
    return sorted(known, key=lambda entry: (entry[0][0] != "paper", entry[0][2], entry[0][1]))


def find_curve(shown: Shown, gan: Gan) -> tuple[Place, pd.DataFrame] | None:
    """The first place at which a GAN was trained, by the history, and its curve; the paper's protocol first."""
    part = shown.history[(shown.history["row"] == gan.row) & (shown.history["protocol"] != SOURCE)]
    if part.empty:
        return None
    places = part[["protocol", "fold", "seed"]].drop_duplicates().itertuples(index=False)
    protocol, fold, seed = min(places, key=lambda place: (place.protocol != "paper", place.seed, place.fold))
    curve = part[(part["protocol"] == protocol) & (part["fold"] == fold) & (part["seed"] == seed)]
    return (str(protocol), int(fold), int(seed)), curve.sort_values("epoch")


def describe_place(place: Place) -> str:
    protocol, fold, seed = place
    return f"{protocol}, seed {seed}" + (f", fold {fold}" if fold >= 0 else "")
