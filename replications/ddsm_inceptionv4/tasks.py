"""What one training is given: its settings, the cases of each side with the labels of its level, pictures and their variants."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.cases.folds import Fold, open_folds
from common.cases.prepared import Dataset
from common.cli import restore_config
from common.errors import UsageError
from common.files import hash_file
from common.runs import cells
from replications.ddsm_inceptionv4 import splits
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.rows import FILMS

CACHE_BYTES = 40e9  # most that activations on disk may take
CACHE = "cache"  # folder of the run that holds variants and activations


@dataclass(frozen=True)
class Task:
    """One training: its settings, the pictures, which of them are on which side."""

    config: Config
    settings: dict
    dataset: Dataset  # with the labels of the level
    fold: Fold
    folder: Path
    report: cells.Report

    @property
    def home(self) -> Path:
        """The run's folder."""
        return self.folder.parents[1]

    @property
    def cache(self) -> Path:
        return self.home / CACHE

    @property
    def labels(self) -> np.ndarray:
        return self.dataset.cases["label"].to_numpy()

    @property
    def seed(self) -> int:
        return self.settings["seed"]

    @property
    def pictures(self) -> np.ndarray:
        """uint8 (n, size, size), memory-mapped."""
        return self.dataset.images[..., 0]

    @property
    def weights(self) -> Path | None:
        """File of the initial weights, checked; None: random. UsageError where it is not the one of the plan."""
        file = self.settings["weights"]
        if file is None:
            return None
        path = self.home / file[0]
        if _hash_once(path) != file[1]:
            raise UsageError(f"{path}: not the file that this training was planned with; run the same command again")
        return path


@functools.lru_cache(maxsize=16)
def _hash_once(path: Path) -> str:
    return hash_file(path)


def open_task(settings: dict, folder: Path, report: cells.Report) -> Task:
    """The task of a cell: its settings, and the prepared data set of the run that `folder` lies in.

    Raises UsageError if the data or the split are not those that the cell was planned for.
    """
    config = restore_config(Config, settings["config"])
    planned = (settings["data_sha256"], settings["split_sha256"])
    dataset, folds = _load_folds(folder.parents[1] / FILMS, planned, settings["protocol"], config)
    level = settings["level"]
    if level != "image":
        dataset = replace(dataset, cases=splits.relabel(dataset.cases, level))
        folds = splits.keep_known(folds, dataset.cases)
    fold = next(fold for fold in folds if fold.fold == settings["fold"])
    return Task(config, settings, dataset, fold, folder, report)


@functools.lru_cache(maxsize=2)
def _load_folds(prepared: Path, planned: tuple[str, str], protocol: str, config: Config) -> tuple[Dataset, Sequence[Fold]]:
    """planned: sha256 of the data set and of the split."""
    return open_folds(prepared, planned, lambda dataset: splits.split_dataset(dataset, protocol, config))
