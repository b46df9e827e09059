"""What one training is given: its settings, the cases of each side, the patches of its network."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.cases.folds import Fold, open_folds
from common.cases.prepared import Dataset, load_dataset
from common.cli import restore_config
from common.errors import UsageError
from common.files import hash_file
from common.runs import cells
from common.training.augmentation import Augmentation, enlarge_images
from replications.thyroid_ensemble import data
from replications.thyroid_ensemble.config import Config
from replications.thyroid_ensemble.rois import crop_scale, cut_patches, resize_crops

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
    """The task of a cell: its settings, and the prepared data set of the run that `folder` lies in.

    Raises UsageError if the data, the split or the initial weights are not those that the cell was planned for.
    """
    config = restore_config(Config, settings["config"])
    prepared = folder.parents[1] / DATA
    planned = (settings["data_sha256"], settings["split_sha256"])
    dataset, folds = _load_folds(prepared, planned, settings["protocol"], config)
    if settings["weights"] is not None:
        _confirm_weights(folder.parents[1] / settings["weights"], settings["weights_sha256"])
    fold = next(fold for fold in folds if fold.fold == settings["fold"])
    return Task(config, settings, dataset, fold, folder, report)


@functools.lru_cache(maxsize=2)
def _load_folds(prepared: Path, planned: tuple[str, str], protocol: str, config: Config) -> tuple[Dataset, Sequence[Fold]]:
    """planned: sha256 of the data set and of the split."""
    return open_folds(prepared, planned, lambda dataset: data.split_dataset(dataset, protocol, config))


@functools.lru_cache(maxsize=8)
def _confirm_weights(path: Path, sha256: str) -> None:
    if hash_file(path) != sha256:
        raise UsageError(f"{path}: not the file that this training was planned with; run the same command again")


@functools.lru_cache(maxsize=1)
def _load_patches(prepared: Path, data_sha256: str, network: str, scale: int, config: Config) -> np.ndarray:
    """Patches of all cases; with the fixed augmentation also their variants, drawn once with the seed of the split."""
    dataset = load_dataset(prepared)
    if dataset.sha256 != data_sha256:
        raise UsageError(f"{prepared}: not the data that this training was planned for; run the same command again")

    def enlarge(images: np.ndarray) -> np.ndarray:
        times = config.enlargement if config.augmentation == "fixed" else 1
        return enlarge_images(images, times, describe_augmentation(config), config.split_seed)[0]

    return augment_patches(np.asarray(dataset.images), network, scale, config, enlarge)


def augment_patches(
    rois: np.ndarray, network: str, scale: int, config: Config, augment: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Patches uint8 (m, side, side, 1) of ROIs uint8 (n, 128, 128, 1), in the order that augment_before_crop says.

    augment: images uint8 (n, h, h, 1) -> (m, h, h, 1). Sections 1.2 and 1.3 do not say whether the scale is cut before it or
    behind: behind, a shift of 0.2 of the ROI moves half of the smallest patch and more out of sight.
    """
    if config.augment_before_crop:
        return cut_patches(augment(rois), network, scale, config)
    return resize_crops(augment(np.ascontiguousarray(crop_scale(rois, scale, config))), network, scale, config)


def describe_augmentation(config: Config) -> Augmentation:
    """Sec. 1.2: shift, crop, zoom, rotation, horizontal flip. Keras has no random crop: shift and zoom together are one, or what
    was meant is the shear that its customary call names between them (`cropping`)."""
    return Augmentation(
        shear=config.shear if config.cropping == "shear" else 0,
        rotation=config.rotation,
        width_shift=config.shift,
        height_shift=config.shift,
        zoom=config.zoom,
        horizontal_flip=config.flip,
    )
