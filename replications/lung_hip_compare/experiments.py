"""What the paper reports: its tables as rows, the training behind each row, the counts of its data, its findings in words.

The figures stand in figures.py. Nothing here imports TensorFlow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pandas as pd

from common.audit.papers import find_impossible_claims
from common.cases.folds import Fold, describe_splits
from common.cases.prepared import Dataset
from common.evaluation.outcome import Check, Outcome, judge_run, list_changes
from common.evaluation.stopping import list_hardly_trained
from common.evaluation.verdicts import check_pairs, name_standing
from common.files import slug
from common.records.paper import Paper
from common.records.results import DatasetEntry
from common.records.rows import Row
from common.runs.cells import Cell
from replications.lung_hip_compare import data, held_out
from replications.lung_hip_compare.config import DATASETS, NETWORKS, NOT_IN_PAPER, PRESETS, Config

TRAIN = "replications.lung_hip_compare.train:train_cell"
PREFIXES = {"CNN": ("cnn_",), "ResNet-50": ("resnet_",), "DBN": ("dbn_", "rbm_"), "SGAN": ("sgan_",)}  # of settings
# Settings that shape nothing of the paper's own protocol; nor do those of the phantoms.
FREE_SETTINGS = (
    "seeds", "split_seed", "patience", "validation_share", "label_shares", "hip_folds", "hip_repetitions", "luna_block_rows",
    "luna_gap_rows",
)  # fmt: skip
OF_COUNTS = {
    "LUNA16": ("luna_negatives_per_positive", "luna_recipe_seed", "luna_voxel_rule", "luna_side"),  # the last two: what is padded
    "hips": ("hip_enlarged_", "hip_test_share"),
}  # Table 1
Splits = dict[tuple[str, str], tuple[pd.DataFrame, Sequence[Fold]]]  # data set, protocol -> the cases that are split, their folds
IMAGENET_ROW = "LUNA16 / ResNet-50, ImageNet"


@dataclass(frozen=True)
class Training:
    """One network on one data set; the row that it scores has the same name."""

    row: str
    dataset: str
    network: str
    label_share: float | None = None  # None: all training labels
    weights: str = "random"  # initial weights: random, imagenet, or a file in the run folder
    weights_sha256: str | None = None  # of that file


def list_trainings(config: Config, weights: str = "imagenet", weights_sha256: str | None = None) -> list[Training]:
    """All trainings of one protocol and seed; neighbours share a network and an input size, so that graphs are traced once.

    weights, weights_sha256: initial weights of the ImageNet row.
    """
    table_2 = [Training(f"{dataset} / {network}", dataset, network) for network in NETWORKS for dataset in DATASETS]
    labels = [
        Training(f"LUNA16 / {network}, {share * 100:g} % labels", "LUNA16", network, label_share=share)
        for network in ("SGAN", "CNN")
        for share in config.label_shares
    ]
    return [*table_2, *labels, Training(IMAGENET_ROW, "LUNA16", "ResNet-50", None, weights, weights_sha256)]


def count_epochs(network: str, config: Config) -> int:
    """Epochs that a training of a network takes at most."""
    epochs = (config.cnn_epochs, config.resnet_epochs, config.dbn_epochs, config.sgan_epochs)
    return dict(zip(NETWORKS, epochs, strict=True))[network]


def list_most_epochs(config: Config) -> dict[str, int]:
    """Row -> epochs that its training takes at most."""
    return {training.row: count_epochs(training.network, config) for training in list_trainings(config)}


# Tables


def list_table_2() -> list[Row]:
    """Table 2 of the paper: each network on each data set."""
    names = [f"{dataset} / {network}" for network in NETWORKS for dataset in DATASETS]
    return [Row(name, ("2",), frozenset([name])) for name in names]


def list_rows(config: Config) -> list[Row]:
    """All rows: Table 2 of the paper; ours beyond it: fewer labels, ImageNet weights, the held-out list."""
    labels = [training.row for training in list_trainings(config) if training.label_share is not None]
    ours = {"labels": labels, "weights": [IMAGENET_ROW]}
    beyond = [Row(name, (table,), frozenset([name])) for table, names in ours.items() for name in names]
    return list_table_2() + beyond + held_out.list_rows()


def group_table_2() -> list[list[str]]:
    """Rows that are compared with each other: the networks on one data set of Table 2."""
    return [sorted(f"{dataset} / {network}" for network in NETWORKS) for dataset in DATASETS]


def count_table_1(dataset: Dataset, folds: Sequence[Fold]) -> dict[str, int]:
    """Table 1 of one data set under the paper's protocol: positive, negative, train, test."""
    labels = dataset.cases["label"].to_numpy()
    return {
        "positive": int((labels == 1).sum()),
        "negative": int((labels == 0).sum()),
        "train": len(folds[0].train),
        "test": len(folds[0].test),
    }


def describe_datasets(
    datasets: Mapping[str, Dataset], config: Config, protocols: Sequence[str]
) -> tuple[list[DatasetEntry], dict[tuple[str, str, str], int], Splits]:
    """Each data set with its split under each protocol and what that leaks; the counts of Table 1; and by data set and protocol
    the cases that are split, with their folds."""
    described: list[DatasetEntry] = []
    splits: Splits = {}
    counts: dict[tuple[str, str, str], int] = {}
    for name, dataset in datasets.items():
        folds_of = {}
        for protocol in protocols:
            enlarged = protocol == "paper" and data.is_hip(name)
            pool = data.enlarge_dataset(dataset, name, config) if enlarged else dataset
            folds_of[protocol] = pool, data.split_dataset(pool, name, protocol, config)
        if "paper" in folds_of:
            counts |= {("1", name, metric): n for metric, n in count_table_1(*folds_of["paper"]).items()}
        described.append(describe_splits(name, dataset, folds_of))
        splits |= {(name, protocol): (pool.cases, folds) for protocol, (pool, folds) in folds_of.items()}
    return described, counts, splits


# Trainings


def plan_cells(
    training: Training, config: Config, protocol: str, seeds: Sequence[int], data: str, data_sha256: str, split_sha256: str
) -> list[Cell]:
    """The cells of one training: one a seed, and a fold where hips are cross-validated.

    data: folder of the prepared data set, relative to the run; data_sha256: of all of it, and split_sha256: of its folds under
    the protocol (`Dataset.sha256`, `hash_folds`), so that other data and another split are another cell.
    """
    folds: Sequence[int] = (-1,)
    if protocol == "leakfree" and training.dataset != "LUNA16":
        folds = range(config.hip_folds * config.hip_repetitions)
    settings: dict[str, Any] = {
        "config": asdict(replace(config, resnet_weights=training.weights, seeds=())),
        "data": data,
        "data_sha256": data_sha256,
        "dataset": training.dataset,
        "label_share": training.label_share,
        "network": training.network,
        "protocol": protocol,
        "row": training.row,
        "split_sha256": split_sha256,
    }
    if training.weights_sha256:
        settings["weights_sha256"] = training.weights_sha256
    cells = []
    for seed in seeds:
        for fold in folds:
            parts = [training.row, protocol, f"seed{seed}", *([f"fold{fold}"] if fold >= 0 else [])]
            cells.append(Cell(slug(" ".join(parts)), TRAIN, settings | {"seed": seed, "fold": fold}, kin=training.network))
    return cells


def locate_dataset(dataset: str) -> str:
    """Where a run keeps the prepared data set, relative to its folder."""
    return f"data/{slug(dataset)}"


def plan_all(
    trainings: Sequence[Training],
    config: Config,
    protocols: Sequence[str],
    seeds: Sequence[int],
    datasets: Mapping[str, Dataset],
    described: Sequence[DatasetEntry],
) -> list[Cell]:
    """All cells of the trainings whose data set is there; described: the data sets with their splits, as they were proven."""
    splits = {(entry.dataset, protocol): split.sha256 for entry in described for protocol, split in entry.splits.items()}
    return [
        cell
        for training in trainings
        if training.dataset in datasets
        for protocol in protocols
        for cell in plan_cells(
            training,
            config,
            protocol,
            seeds,
            locate_dataset(training.dataset),
            datasets[training.dataset].sha256,
            splits[training.dataset, protocol],
        )
    ]


def list_departures(row: str, config: Config, published: Config) -> list[str]:
    """Settings that a row's network was trained with instead of the published ones: "resnet_epochs = 6 instead of 100".

    Of a data set: settings that shape its counts in Table 1.
    """
    if row in DATASETS:
        return list_changes(config, published, OF_COUNTS["LUNA16" if row == "LUNA16" else "hips"])
    training = next(training for training in list_trainings(config) if training.row == held_out.name_training(row))
    part = "luna_" if training.dataset == "LUNA16" else "hip_"
    prefixes = (*PREFIXES[training.network], "learning_", "batch_", "beta_", part)
    names = [field.name for field in fields(config) if field.name.startswith(prefixes) and "_phantom_" not in field.name]
    return list_changes(config, published, [name for name in names if name not in FREE_SETTINGS])


# The judgement


def judge(
    paper: Paper,
    predictions: pd.DataFrame,
    config: Config,
    preset: str,
    protocols: Sequence[str],
    described: Sequence[DatasetEntry],
    counts: Mapping[tuple[str, str, str], float],
    reasons: Mapping[str, str],
    history: pd.DataFrame,
) -> Outcome:
    """Rows, verdicts, comparisons and statements (see `judge_run`); described: the data sets; reasons: row -> why it was not
    run; history: of all trainings."""
    early = list_hardly_trained(history, list_most_epochs(config))
    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    return judge_run(
        paper,
        list_rows(config),
        predictions,
        protocols=protocols,
        compared=group_table_2(),
        checks=build_checks(),
        counts=counts,
        reasons=reasons,
        departures=lambda row: list_departures(row, config, published),
        standing=lambda row: name_standing(find_dataset(row, described), preset),
        impossible=find_impossible_claims(paper),
        hardly_trained=[row.name for row in list_rows(config) if held_out.name_training(row.name) in early],
    )


def find_dataset(row: str, described: Sequence[DatasetEntry]) -> DatasetEntry | None:
    """The data set of a row of Table 1, which has its name, or of a network's row, "LUNA16 / CNN"; None if it is not here."""
    return next((dataset for dataset in described if dataset.dataset == row.split(" / ")[0]), None)


# Findings in words


def build_checks() -> dict[str, Check]:
    """How each statement of paper.toml is checked: id -> function of protocol and mean accuracies."""
    return {name: _build_check(pairs) for name, pairs in STATEMENTS.items()}


def _build_check(pairs: Sequence[tuple[str, str]]) -> Check:
    def check(_protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        return check_pairs(pairs, accuracy)

    return check


def _pair_sizes() -> list[tuple[str, str]]:
    """The small pictures against the large ones."""
    return [(f"128x128 resized / {n}", f"256x256 resized / {n}") for n in NETWORKS if n != "DBN"]


def _pair_crops() -> list[tuple[str, str]]:
    """Cropped pictures against whole ones."""
    sizes = [(side, n) for side in ("128x128", "256x256") for n in NETWORKS if (f"{side} resized", n) not in NOT_IN_PAPER]
    return [(f"{side} resized / {n}", f"{side} unresized / {n}") for side, n in sizes]


def _pair_resnet(datasets: tuple[str, ...]) -> list[tuple[str, str]]:
    """ResNet-50 against every other network on the data sets."""
    others = [(d, n) for d in datasets for n in NETWORKS if n != "ResNet-50" and (d, n) not in NOT_IN_PAPER]
    return [(f"{d} / ResNet-50", f"{d} / {n}") for d, n in others]


STATEMENTS = {  # id in paper.toml -> pairs of rows of which the first should be more accurate
    "small_beats_large_when_cropped": _pair_sizes(),
    "cropped_beats_uncropped": _pair_crops(),
    "resnet_best_everywhere": _pair_resnet(DATASETS),
    "resnet_robust_to_imbalance": _pair_resnet(("LUNA16", "128x128 unresized", "256x256 unresized")),
}
