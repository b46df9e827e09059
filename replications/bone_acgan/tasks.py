"""What one training is given: its settings, the cases of each side, pictures and their variants."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.cases.folds import Fold, open_folds
from common.cases.prepared import Dataset, load_dataset
from common.cli import restore_config
from common.errors import UsageError
from common.files import hash_file
from common.runs import cells
from replications.bone_acgan import data
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.rows import SCANS
from replications.bone_acgan.variants import enlarge_pictures

CACHE_BYTES = 8e9  # most that pooled features on disk may take
MOST_COMPARED = 200  # pictures of a class that are compared with each other by SSIM
PIECES = 20  # into which a training of gan_steps is parted, as if they were epochs
REAL, MADE = 0, 1  # sets of pictures that draw variants of their own


@dataclass(frozen=True)
class Task:
    """One training on bone scans: its settings, the pictures, which of them are on which side."""

    config: Config
    settings: dict
    dataset: Dataset
    fold: Fold
    folder: Path
    report: cells.Report

    @property
    def home(self) -> Path:
        """The run's folder."""
        return self.folder.parents[1]

    @property
    def labels(self) -> np.ndarray:
        return self.dataset.cases["label"].to_numpy()

    @property
    def seed(self) -> int:
        return self.settings["seed"]


def open_task(settings: dict, folder: Path, report: cells.Report) -> Task:
    """The task of a cell: its settings, and the prepared data set of the run that `folder` lies in.

    Raises UsageError if the data or the split are not those that the cell was planned for.
    """
    config = restore_config(Config, settings["config"])
    planned = (settings["data_sha256"], settings["split_sha256"])
    dataset, folds = _load_folds(folder.parents[1] / SCANS, planned, settings["protocol"], config)
    fold = next(fold for fold in folds if fold.fold == settings["fold"])
    return Task(config, settings, dataset, fold, folder, report)


@functools.lru_cache(maxsize=2)
def _load_folds(prepared: Path, planned: tuple[str, str], protocol: str, config: Config) -> tuple[Dataset, Sequence[Fold]]:
    """planned: sha256 of the data set and of the split."""
    return open_folds(prepared, planned, lambda dataset: data.split_dataset(dataset, protocol, config))


@functools.lru_cache(maxsize=1)
def load_variants(prepared: Path, sha256: str, config: Config) -> np.ndarray:
    """Pictures and variants of all cases: uint8 (n, enlargement, height, width)."""
    dataset = load_dataset(prepared)
    if dataset.sha256 != sha256:
        raise UsageError(f"{prepared}: not the data that this training was planned for; run the same command again")
    white = dataset.cases["white"].to_numpy(float)
    return enlarge_pictures(np.asarray(dataset.images)[..., 0], white, config, REAL)


@dataclass(frozen=True)
class Generated:
    """Pictures that a GAN made of each class, in the order of the classes."""

    pictures: np.ndarray  # uint8 (m, height, width)
    labels: np.ndarray  # int64 (m,)

    def choose(self, counts: list[int]) -> np.ndarray:
        """Positions of the first so many pictures of each class."""
        return np.concatenate([np.flatnonzero(self.labels == label)[:count] for label, count in enumerate(counts)])


def read_generated(path: Path, sha256: str) -> Generated:
    """Raises UsageError where the file is not that one."""
    if hash_file(path) != sha256:
        raise UsageError(f"{path}: not the pictures that this training was planned with; run the same command again")
    with np.load(path, allow_pickle=False) as stored:
        return Generated(stored["pictures"], stored["labels"])


def count_missing(labels: np.ndarray) -> list[int]:
    """How many pictures of each class a balanced set lacks: as many as the largest class has more; of a class without any, none.

    >>> count_missing(np.array([0, 0, 0, 1, 2, 2])), count_missing(np.array([0, 0, 1]))
    ([0, 2, 1], [0, 1, 0])
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    return np.where(counts > 0, counts.max() - counts, 0).tolist()


def plan_gan_epochs(count: int, epochs: int, steps: int, config: Config) -> tuple[int, int]:
    """(epochs, steps of an epoch) on `count` pictures; steps: of the whole training, 0: as many epochs as the paper.

    >>> plan_gan_epochs(274, 500, 0, Config()), plan_gan_epochs(274, 500, 400, Config())
    ((500, 137), (20, 20))
    """
    if not steps:
        return epochs, max(1, -(-count // config.gan_batch_size))
    return PIECES, max(1, steps // PIECES)


def plan_classifier_epochs(count: int, config: Config) -> tuple[int, int]:
    """(epochs, inputs of an epoch) for `count` training inputs: classifier_epochs of all of them, as the paper; or checks parts
    of classifier_updates, whatever their number.

    >>> plan_classifier_epochs(4110, Config()), plan_classifier_epochs(4110, Config(classifier_updates=500, checks=10))
    ((500, 4110), (10, 200))
    """
    if not config.classifier_updates:
        return config.classifier_epochs, count
    return config.checks, max(1, config.classifier_updates // config.checks) * config.batch_size
