"""What the paper reports: its tables as rows, the trainings behind each row, the counts and leaks of the data, its findings
in words. The figures stand in drawings.py. Nothing here imports TensorFlow.
"""

from dataclasses import asdict, dataclass, fields, replace

from common.cells import Cell
from common.files import slug
from common.paper import Statement
from common.prepared import Dataset, Fold
from common.verdicts import check_pairs
from replications.lung_hip_compare.config import DATASETS, NETWORKS, NOT_IN_PAPER, Config

TRAIN = "replications.lung_hip_compare.train:train_cell"
PREFIXES = {"CNN": ("cnn_",), "ResNet-50": ("resnet_",), "DBN": ("dbn_", "rbm_"), "SGAN": ("sgan_",)}  # of settings
TABLES = ("1", "2", "labels", "weights")


@dataclass(frozen=True)
class Row:
    """A line of a table: one network on one data set."""

    table: str
    name: str
    dataset: str
    network: str
    label_share: float | None = None  # None: all training labels
    weights: str = "random"  # initial weights
    weights_sha256: str | None = None  # of a weight file


def list_rows(config: Config, weights: dict[str, str | None] | None = None) -> list[Row]:
    """All rows: Table 2 of the paper; ours beyond it: fewer labels, ImageNet weights.

    weights: {source, sha256} of the last row's initial weights: "imagenet", or a file in the run folder.
    """
    rows = [
        Row("2", f"{dataset} / {network}", dataset, network)
        for network in NETWORKS
        for dataset in DATASETS
    ]
    rows += [
        Row("labels", f"LUNA16 / {network}, {share * 100:g} % labels", "LUNA16", network, label_share=share)
        for network in ("SGAN", "CNN")
        for share in config.label_shares
    ]
    source, sha256 = (weights["source"], weights["sha256"]) if weights else ("imagenet", None)
    rows.append(
        Row("weights", "LUNA16 / ResNet-50, ImageNet", "LUNA16", "ResNet-50", weights=source, weights_sha256=sha256)
    )
    return rows


def plan_cells(row: Row, config: Config, protocol: str, seeds: tuple[int, ...], data: str, data_sha256: str) -> list[Cell]:
    """The trainings behind one row: one a seed, and a fold where hips are cross-validated.

    data: folder of the prepared data set, relative to the run; data_sha256: of its images, so that other data are another
    cell.
    """
    folds = (-1,)
    if protocol == "leakfree" and row.dataset != "LUNA16":
        folds = tuple(range(config.hip_folds * config.hip_repetitions))
    settings = {
        "config": asdict(replace(config, resnet_weights=row.weights, seeds=())),
        "data": data,
        "data_sha256": data_sha256,
        "dataset": row.dataset,
        "label_share": row.label_share,
        "network": row.network,
        "protocol": protocol,
        "row": row.name,
    }
    if row.weights_sha256:
        settings["weights_sha256"] = row.weights_sha256
    cells = []
    for seed in seeds:
        for fold in folds:
            parts = [row.name, protocol, f"seed{seed}", *([f"fold{fold}"] if fold >= 0 else [])]
            cells.append(Cell(slug(" ".join(parts)), TRAIN, settings | {"seed": seed, "fold": fold}))
    return cells


# Table 1


def count_table_1(dataset: Dataset, folds: list[Fold]) -> dict[str, int]:
    """Table 1 of one data set under the paper's protocol: positive, negative, train, test."""
    labels = dataset.cases["label"].to_numpy()
    return {
        "positive": int((labels == 1).sum()),
        "negative": int((labels == 0).sum()),
        "train": len(folds[0].train),
        "test": len(folds[0].test),
    }


# What was not done as published


def list_departures(row: str, config: Config, published: Config) -> list[str]:
    """Settings that a row's network was trained with instead of the published ones: "resnet_epochs = 6 instead of 100"."""
    network = row.rpartition(" / ")[2].partition(",")[0]  # rows of ours end in "SGAN, 10 % labels"
    if network not in NETWORKS:
        return []
    prefixes = (*PREFIXES[network], "learning_", "batch_", "beta_", "luna_", "hip_")
    return [
        f"{f.name} = {getattr(config, f.name)} instead of {getattr(published, f.name)}"
        for f in fields(config)
        if f.name.startswith(prefixes) and getattr(config, f.name) != getattr(published, f.name)
    ]


# Findings in words


def check_statements(statements: tuple[Statement, ...], rows: list[dict]) -> list[dict]:
    """Each finding that the paper words, held against our mean accuracies."""
    accuracy = {(r["protocol"], r["row"]): r["metrics"]["accuracy"]["mean"] for r in rows}
    checked = []
    for statement in statements:
        for protocol in ("paper", "leakfree"):
            of_protocol = {row: value for (run, row), value in accuracy.items() if run == protocol}
            verdict, detail = check_pairs(STATEMENTS[statement.id], of_protocol)
            checked.append({"id": statement.id, "protocol": protocol, "verdict": verdict, "detail": detail})
    return checked


def _pairs_of_sizes() -> list[tuple[str, str]]:
    return [(f"128x128 resized / {n}", f"256x256 resized / {n}") for n in NETWORKS if n != "DBN"]


def _pairs_of_crops() -> list[tuple[str, str]]:
    sizes = [(side, n) for side in ("128x128", "256x256") for n in NETWORKS if (f"{side} resized", n) not in NOT_IN_PAPER]
    return [(f"{side} resized / {n}", f"{side} unresized / {n}") for side, n in sizes]


def _pairs_of_resnet(datasets: tuple[str, ...]) -> list[tuple[str, str]]:
    others = [(d, n) for d in datasets for n in NETWORKS if n != "ResNet-50" and (d, n) not in NOT_IN_PAPER]
    return [(f"{d} / ResNet-50", f"{d} / {n}") for d, n in others]


STATEMENTS = {  # id in paper.toml -> pairs of rows of which the first should be more accurate
    "small_beats_large_when_cropped": _pairs_of_sizes(),
    "cropped_beats_uncropped": _pairs_of_crops(),
    "resnet_best_everywhere": _pairs_of_resnet(DATASETS),
    "resnet_robust_to_imbalance": _pairs_of_resnet(("LUNA16", "128x128 unresized", "256x256 unresized")),
}
