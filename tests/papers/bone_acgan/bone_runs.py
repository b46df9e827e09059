"""A run folder in small: both domains prepared, and the settings of its trainings."""

from dataclasses import asdict, replace
from pathlib import Path

from bone_networks import TINY

from common.cases.folds import hash_folds
from common.cases.prepared import Dataset, load_dataset
from replications.bone_acgan import data
from replications.bone_acgan.config import Config
from replications.bone_acgan.sources import phantoms

RUN = replace(
    TINY, phantom_patients=24, phantom_chests=16, phantom_signal=4.0, picture_height=48, picture_width=32, enlargement=2,
    gan_steps=20, source_steps=20, evaluated_pictures=8, trained="head", shortened=True, classifier_updates=40, checks=2,
    leakfree_folds=2, seeds=(0,),
)  # fmt: skip


def prepare(folder: Path, config: Config = RUN) -> Dataset:
    """Phantoms of both domains, prepared where a run keeps them: folder/scans and folder/chests."""
    phantoms.write_phantoms(folder / "data", config, seed=0)
    source, chests = data.find_source(folder / "data", config), data.find_chests(folder / "data")
    assert source is not None
    assert chests is not None
    data.prepare_dataset(source, config, folder / "scans")
    data.prepare_chests(chests, config, folder / "chests")
    return load_dataset(folder / "scans")


def describe(dataset: Dataset, config: Config, protocol: str, fold: int, **more) -> dict:
    """The settings that every training on bone scans has."""
    folds = data.split_dataset(dataset, protocol, config)
    return {
        "config": asdict(replace(config, seeds=())),
        "data_sha256": dataset.sha256,
        "fold": fold,
        "protocol": protocol,
        "seed": 0,
        "split_sha256": hash_folds(dataset, folds),
        **more,
    }


def ignore(*_args) -> None:
    """A report to nobody."""
