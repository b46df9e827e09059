"""What one training is given: its settings, the cases of each side, the patches of its network."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.cases.folds import Fold
from common.cases.prepared import Dataset, load_dataset
from common.cli import restore_config
from common.runs import cells
from common.training.augmentation import Augmentation, enlarge_images
from replications.thyroid_ensemble import data
from replications.thyroid_ensemble.config import Config
from replications.thyroid_ensemble.rois import cut_patches

DATA = "data"  # folder of the run that holds the prepared data set


@dataclass(frozen=True)
class Task:
    """One training: its settings, the images of its network, which of them are on which side."""

    config: Config
    settings: dict
    dataset: Dataset
    fold: Fold
    folder: Path
    report: cells.Report

    @property
    def network(self) -> str:
        return self.settings["network"]

    @property
    def seed(self) -> int:
        return self.settings["seed"]

    @property
    def patches(self) -> np.ndarray:
        """uint8 (variants * n, side, side, 1): the originals, then the first variant of each, ..."""
        prepared = self.folder.parents[1] / DATA
        return _load_patches(prepared, self.settings["data_sha256"], self.network, self.settings["scale"], self.config)

    @property
    def labels(self) -> np.ndarray:
        """Label of every patch."""
        return np.tile(self.dataset.cases["label"].to_numpy(), self.variants)

    @property
    def variants(self) -> int:
        """Patches of each case: the original and those that are drawn once."""
        return self.config.enlargement if self.config.augmentation == "fixed" else 1

    @property
    def train(self) -> np.ndarray:
        """Rows of the training patches, variants included."""
        return np.concatenate([self.fold.train + variant * len(self.dataset.cases) for variant in range(self.variants)])

    @property
    def monitored(self) -> np.ndarray | None:
        """Rows that early stopping looks at: validation patients; the paper has none, so there the test images stand in."""
        if self.settings["protocol"] == "leakfree":
            return self.fold.validation
        return self.fold.test if self.config.stopping == "test" else None

    @property
    def weights(self) -> Path | None:
        """File of the initial weights, in the run folder; None: random."""
        name = self.settings["weights"]
        return None if name is None else self.folder.parents[1] / name


def open_task(settings: dict, folder: Path, report: cells.Report) -> Task:
    """The task of a cell: its settings, and the prepared data set of the run that `folder` lies in."""
    config = restore_config(Config, settings["config"])
    if config.augmentation not in ("fixed", "realtime"):
        raise ValueError(f"augmentation={config.augmentation}: choose one of fixed, realtime")
    if config.stopping not in ("test", "none"):
        raise ValueError(f"stopping={config.stopping}: choose one of test, none")
    prepared = folder.parents[1] / DATA
    dataset, folds = _load_folds(prepared, settings["data_sha256"], settings["protocol"], config)
    fold = next(fold for fold in folds if fold.fold == settings["fold"])
    return Task(config, settings, dataset, fold, folder, report)


@functools.lru_cache(maxsize=2)
def _load_folds(prepared: Path, _data_sha256: str, protocol: str, config: Config) -> tuple[Dataset, list[Fold]]:
    dataset = load_dataset(prepared)
    return dataset, data.split_dataset(dataset, protocol, config)


@functools.lru_cache(maxsize=1)
def _load_patches(prepared: Path, _data_sha256: str, network: str, scale: int, config: Config) -> np.ndarray:
    """Patches of all cases; with the fixed augmentation also their variants, drawn once with the seed of the split."""
    rois = np.asarray(load_dataset(prepared).images)
    if config.augmentation == "fixed":
        rois, _ = enlarge_images(rois, config.enlargement, describe_augmentation(config), config.split_seed)
    return cut_patches(rois, network, scale, config)


def describe_augmentation(config: Config) -> Augmentation:
    """Sec. 1.2: shift, zoom, rotation, horizontal flip. Keras has no random crop: shift and zoom together are one."""
    return Augmentation(
        rotation=config.rotation,
        width_shift=config.shift,
        height_shift=config.shift,
        zoom=config.zoom,
        horizontal_flip=config.flip,
    )
