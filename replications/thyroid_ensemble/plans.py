"""The trainings behind the tables and figures, and their cells; the networks that are opened again.

Nothing here imports TensorFlow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.files import hash_file, slug
from common.records.results import Split
from common.records.rows import Row, explain_rows
from common.runs.cells import Cell
from common.training.weights import WeightFile
from replications.thyroid_ensemble.config import NETWORKS, SCALES, SMALL_NETWORKS, Config
from replications.thyroid_ensemble.rows import (
    BLOCK,
    DESCRIPTORS,
    FOREST,
    FUSED,
    name_classic,
    name_depth,
    name_forest,
    name_head,
    name_model,
    name_plan,
    name_scratch,
    name_scratch_scale,
    name_training,
    name_transferred,
)
from replications.thyroid_ensemble.selection import Choice

MODULE = "replications.thyroid_ensemble"


@dataclass(frozen=True)
class Training:
    """One function of train.py or baselines.py on one network and scale; rows: plan -> row that it scores."""

    kind: str
    function: str
    network: str
    scale: int
    rows: dict[str, str]
    pretrained: bool = True  # starts from weights of another task

    @property
    def name(self) -> str:
        return name_training(self.kind, self.network, self.scale)


def list_trainings(config: Config) -> list[Training]:
    """All trainings of one fold and seed; neighbours share a network, so that graphs are traced once."""
    transfer, trainings = f"{MODULE}.train:train_transfer_cell", []
    for network in NETWORKS:
        for scale in SCALES:
            rows = {str(k): name_plan(network, scale, k) for k in config.depths}
            if scale == 1:
                rows |= {} if "0" in rows else {"0": name_transferred(network)}  # Fig. 8
                rows |= {"all": name_depth(network, "all")} | ({"first block": BLOCK} if network == "ResNet50" else {})
            trainings.append(Training("transfer", transfer, network, scale, rows))
        scratch = {"all": name_scratch(network)}
        trainings.append(Training("scratch", f"{MODULE}.train:train_scratch_cell", network, 1, scratch, pretrained=False))
        if network == "VGG16":
            trainings.append(Training("fused", f"{MODULE}.baselines:train_fused_cell", network, 1, {"svm": FUSED}))
    trainings.append(Training("forest", f"{MODULE}.baselines:train_forest_cell", "InceptionV3", 1, {"all": FOREST}))
    trainings += _list_beyond(transfer)
    for name in DESCRIPTORS:
        for kind, row in (("classic", {"svm": name_classic(name)}), ("trees", {"trees": name_forest(name)})):
            trainings.append(Training(kind, f"{MODULE}.baselines:train_classic_cell", name, 1, row, pretrained=False))
    return trainings


def _list_beyond(transfer: str) -> list[Training]:
    """Rows of ours: the new head on two small networks, and AlexNet without transfer at the other scales."""
    heads = [Training("head", transfer, n, scale, {"0": name_head(n, scale)}) for n in SMALL_NETWORKS for scale in SCALES]
    scratch = f"{MODULE}.train:train_scratch_cell"
    others = {scale: {"all": name_scratch_scale("AlexNet", scale)} for scale in SCALES if scale != 1}
    return heads + [Training("scratch", scratch, "AlexNet", scale, rows, pretrained=False) for scale, rows in others.items()]


def name_cell(cell: Cell) -> str:
    """The training that a cell belongs to."""
    return name_training(*(cell.settings[part] for part in ("kind", "network", "scale")))


def plan_source(network: str, config: Config) -> Cell:
    """The training that gives a network its initial weights where there is no ImageNet (trial runs)."""
    settings = {"config": asdict(replace(config, seeds=())), "network": network}
    return Cell(slug(f"source {network}"), f"{MODULE}.train:train_source_cell", settings)


def find_source(cell: Cell, folder: Path) -> WeightFile:
    """The weights that a finished `plan_source` left in the run folder."""
    file = f"cells/{cell.key}/backbone.weights.h5"
    return WeightFile(file, hash_file(folder / file))


def plan_cells(
    training: Training,
    config: Config,
    protocol: str,
    seeds: Sequence[int],
    data_sha256: str,
    split_sha256: str,
    weights: Mapping[str, WeightFile],
) -> list[Cell]:
    """The cells of one training: one a seed, and an inner fold under leakfree.

    data_sha256: of the prepared data set, split_sha256: of its folds under the protocol (`Dataset.sha256`, `hash_folds`).
    weights: initial weights of each network; a network without any starts at random. The transfer trainings of the first seed
    keep their weights on disk, for new images.
    """
    start = weights.get(training.network) if training.pretrained else None
    settings = {
        "config": asdict(replace(config, seeds=())),
        "data_sha256": data_sha256,
        "kind": training.kind,
        "network": training.network,
        "protocol": protocol,
        "rows": training.rows,
        "scale": training.scale,
        "split_sha256": split_sha256,
        "weights": start and start.file,
        "weights_sha256": start and start.sha256,
    }
    folds = range(config.inner_folds) if protocol == "leakfree" else (-1,)
    cells = []
    for seed in seeds:
        for fold in folds:
            key = slug(f"{training.name} {protocol} seed{seed}" + (f" fold{fold}" if fold >= 0 else ""))
            keep = training.kind == "transfer" and seed == config.seeds[0]
            settings_of_cell = settings | {"seed": seed, "fold": fold, "keep_weights": keep}
            cells.append(Cell(key, training.function, settings_of_cell, kin=f"{training.network} {training.scale}"))
    return cells


def plan_all(
    trainings: Sequence[Training],
    config: Config,
    protocols: Sequence[str],
    seeds: Sequence[int],
    data_sha256: str,
    splits: Mapping[str, Split],
    weights: Mapping[str, WeightFile],
) -> list[Cell]:
    """All cells of the trainings; neighbours share a network, so graphs are traced once. splits: by protocol, as they were
    proven."""
    return [
        cell
        for training in trainings
        for protocol in protocols
        for cell in plan_cells(training, config, protocol, seeds, data_sha256, splits[protocol].sha256, weights)
    ]


def explain_failures(
    wanted: Sequence[Row],
    needed: Sequence[Training],
    missing: Mapping[str, str],
    failed: Mapping[str, str],
    planned: Sequence[Cell],
) -> dict[str, str]:
    """Row -> why it could not be run: a training that failed, or initial weights that are not there."""
    broken = {name_cell(cell): f"failed: {failed[cell.key]}" for cell in planned if cell.key in failed}
    broken |= {t.name: missing[t.network] for t in needed if t.pretrained and t.network in missing}
    return explain_rows(wanted, broken)


def plan_members(choices: Sequence[Choice], finished: Sequence[Cell]) -> dict[str, dict]:
    """The networks to keep for new images: protocol -> {members, weights (of their fusion), cells (one a member
    and inner fold), member_of_cell}.

    Those of the first seed, whose trainings left their weights. A protocol without one of its members is left out.
    """
    trained: dict[tuple[str, str], list[Cell]] = {}
    for cell in finished:
        if cell.settings["kind"] == "transfer" and cell.settings["keep_weights"]:
            key = cell.settings["protocol"], name_model(cell.settings["network"], cell.settings["scale"])
            trained.setdefault(key, []).append(cell)
    stored = {}
    for choice in choices:
        if choice.protocol in stored or not all((choice.protocol, name) in trained for name in choice.ensemble.members):
            continue
        cells, of_cell = [], []
        for name in choice.ensemble.members:
            for source in trained[choice.protocol, name]:
                plan = str(choice.depths[source.settings["network"]])
                settings = source.settings | {"source": source.key, "source_digest": source.digest, "plan": plan}
                cells.append(Cell(f"member-{source.key}", f"{MODULE}.train:keep_network_cell", settings))
                of_cell.append(name)
        stored[choice.protocol] = {
            "members": choice.ensemble.members,
            "weights": choice.ensemble.weights,
            "cells": cells,
            "member_of_cell": of_cell,
        }
    return stored


def plan_attention(finished: Sequence[Cell], cases: Sequence[int]) -> dict[str, Cell]:
    """Grad-CAM of Fig. 4: network -> cell, for the three networks of scale 1 after step 1 (pretrained convolutions, new head).

    cases: positions of the pictures. Leak-free networks where they are there: they have not seen the test pictures. Networks
    whose training kept no weights, or no k = 0, are left out.
    """
    planned: dict[str, Cell] = {}
    for cell in sorted(finished, key=lambda cell: cell.settings["protocol"] != "leakfree"):
        s = cell.settings
        if s["kind"] == "transfer" and s["scale"] == 1 and s["keep_weights"] and "0" in s["rows"] and s["fold"] < 1:
            settings = s | {"source": cell.key, "source_digest": cell.digest, "plan": "0", "cases": list(cases)}
            planned.setdefault(s["network"], Cell(f"cam-{cell.key}", f"{MODULE}.train:map_attention_cell", settings))
    return planned
