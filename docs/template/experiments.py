"""What the paper reports: its tables as rows, the trainings behind them, its counts, its findings in words.

The figures stand in figures.py. Nothing here imports TensorFlow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.evaluation.outcome import Check, list_changes
from common.evaluation.verdicts import check_pairs
from common.files import slug
from common.records.results import Split
from common.records.rows import Row
from common.runs.cells import Cell
from replications.new_paper.config import NETWORKS, Config

TRAIN = "replications.new_paper.train:train_cell"
FREE_SETTINGS = ("seeds", "split_seed", "patience", "validation_share")  # they shape nothing of the paper's own protocol


def count_table_1(dataset: Dataset, folds: Sequence[Fold]) -> dict[tuple[str, str, str], int]:
    """Table 1 under the paper's protocol."""
    return {("1", "pictures", "train"): len(folds[0].train), ("1", "pictures", "test"): len(folds[0].test)}


def list_table_2() -> list[Row]:
    """Table 2: the accuracy of each network."""
    return [Row(network, ("2",), frozenset([network])) for network in NETWORKS]


def plan_cells(
    networks: Sequence[str],
    config: Config,
    protocols: Sequence[str],
    seeds: Sequence[int],
    data_sha256: str,
    splits: Mapping[str, Split],
) -> list[Cell]:
    """The trainings of some networks: one a protocol and seed. splits: by protocol, as they were checked for leaks."""
    cells = []
    for network in networks:
        for protocol in protocols:
            for seed in seeds:
                settings = {
                    "config": asdict(replace(config, seeds=())),
                    "data_sha256": data_sha256,
                    "network": network,
                    "row": network,
                    "protocol": protocol,
                    "seed": seed,
                    "fold": -1,
                    "split_sha256": splits[protocol].sha256,
                }
                cells.append(Cell(slug(f"{network} {protocol} seed{seed}"), TRAIN, settings))
    return cells


def list_departures(row: str, config: Config, published: Config) -> list[str]:
    """Settings that a row was trained with instead of the published ones: "epochs = 6 instead of 50".

    Of the pictures of Table 1: settings that shape its counts.
    """
    if row == "pictures":
        return list_changes(config, published, ["test_share"])
    others = {"CNN": "small_filters", "small CNN": "filters"}  # a setting that does not shape the row's network
    free = (*FREE_SETTINGS, "phantom_patients", "phantom_images", others.get(row, ""))
    return list_changes(config, published, [name for name in asdict(config) if name not in free])


def build_checks() -> dict[str, Check]:
    """How each statement of paper.toml is checked: id -> function of protocol and mean accuracies."""
    return {"cnn_beats_small_cnn": lambda _protocol, accuracy: check_pairs([("CNN", "small CNN")], accuracy)}
