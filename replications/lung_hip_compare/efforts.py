"""What each training will do, for the cost of a run before it: networks, steps, pictures. Nothing here imports TensorFlow."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

from common.cli import restore_config
from common.runs.cells import Cell
from common.runs.work import Network, Stage, Work
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import Config
from replications.lung_hip_compare.experiments import Splits, count_epochs
from replications.lung_hip_compare.sources import hips

BUILD = "replications.lung_hip_compare.specimens:build_specimen"


def list_works(cells: Sequence[Cell], splits: Splits) -> list[Work]:
    """The work of every cell; splits: (data set, protocol) -> its cases and folds."""
    return [plan_work(cell, splits) for cell in cells]


def plan_work(cell: Cell, splits: Splits) -> Work:
    """Epochs and steps as `train.train_cell` makes them, if no training stops early."""
    s = cell.settings
    config = restore_config(Config, s["config"])
    cases, folds = splits[s["dataset"], s["protocol"]]
    fold = next(fold for fold in folds if fold.fold == s["fold"])
    train, scored = len(fold.train), 0
    if s["protocol"] == "leakfree":
        scored = len(fold.validation)
        if data.is_hip(s["dataset"]):
            enlarged = hips.choose_enlarged_counts(s["dataset"], config)
            train = max(train, round(sum(enlarged) * train / len(cases)))
    labelled = math.ceil(train * (s["label_share"] or 1))
    side = choose_side(s["dataset"], config)
    test = len(fold.test)
    if s["network"] == "SGAN":
        half = config.batch_size // 2
        network = describe_network("SGAN", side, config, batch=half)
        return Work(
            cell.key, (Stage(network, count_epochs(s["network"], config), max(1, train // config.batch_size), scored, test),)
        )
    steps = math.ceil(labelled / config.batch_size)
    last = Stage(describe_network(s["network"], side, config), count_epochs(s["network"], config), steps, scored, test)
    if s["network"] != "DBN":
        return Work(cell.key, (last,))
    all_steps = math.ceil(train / config.batch_size)
    machines = [
        Stage(describe_network(f"RBM {layer}", side, config), config.rbm_epochs, all_steps, once=train)
        for layer in range(1, len(config.dbn_hidden) + 1)
    ]
    return Work(cell.key, (*machines, last))


def choose_side(dataset: str, config: Config) -> int:
    """Pixels of the pictures of a data set."""
    return (
        (config.hip_sides[0] if dataset.startswith("128") else config.hip_sides[1]) if data.is_hip(dataset) else config.luna_side
    )


def describe_network(network: str, side: int, config: Config, batch: int = 0) -> Network:
    """A network of Table 2, or a machine of the DBN ("RBM 1"), at one size of pictures."""
    settings = {"config": asdict(replace(config, seeds=())), "network": network, "side": side}
    start = "" if config.resnet_weights == "random" or network != "ResNet-50" else ", ImageNet"
    name = f"{network}{start}, {side} pixels"
    return Network(name, BUILD, settings, batch or config.batch_size, bound_operations(network, side, config))


def bound_operations(network: str, side: int, config: Config) -> float:
    """Multiply-adds of one picture at most."""
    sizes = (side * side, *config.dbn_hidden, 2)
    products = [a * b for a, b in zip(sizes, sizes[1:], strict=False)]
    if network.startswith("RBM"):
        return 3.0 * products[int(network.split()[1]) - 1]
    if network == "DBN":
        return float(sum(products))
    if network == "SGAN":
        return 4.0 * side**2 * (6 * config.sgan_filters**2 + 60 * config.sgan_filters)
    if network == "CNN":
        filters = (1, *config.cnn_filters)
        return sum(9.0 * a * b * side**2 / 4**i for i, (a, b) in enumerate(zip(filters, filters[1:], strict=False)))
    strided = 1 if config.resnet_strides == "standard" else 16
    return 6e9 * strided * (side / 224) ** 2 * (config.resnet_width / 64) ** 2  # 4.1e9 at 224 pixels
