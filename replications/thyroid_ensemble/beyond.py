"""Rows of ours, which the paper does not have: transfer from two small networks at its three scales, fused by its own rule;
AlexNet without transfer at each scale; random forests on the classic features.

They ask of any pictures what the paper asks of its own: does transfer beat features, do the scales help, what is the leak
worth. Nothing here imports TensorFlow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.cli import PROTOCOLS
from common.records.results import OwnColumn, OwnTable, RowResult
from common.report.wording import PROTOCOL_NAMES, format_interval, format_value
from replications.thyroid_ensemble.config import SCALES, SMALL_NETWORKS, Config
from replications.thyroid_ensemble.ensemble import choose_subset, choose_weights, fuse, measure_accuracy
from replications.thyroid_ensemble.rows import (
    CLASSICS,
    DESCRIPTORS,
    FORESTS,
    HEADS,
    SCALES_FUSED,
    SCRATCHES,
    SMALL_ENSEMBLE,
    name_forest,
    name_head,
    name_scratch_scale,
    name_training,
)
from replications.thyroid_ensemble.selection import Scores

FUSED_BEYOND = (*SCALES_FUSED, SMALL_ENSEMBLE)
ROWS = (*HEADS, *SCRATCHES, *FUSED_BEYOND, *FORESTS)
TABLES = {
    "small networks": (*HEADS, *(row for row in SCALES_FUSED if row.startswith(SMALL_NETWORKS)), SMALL_ENSEMBLE),
    "AlexNet without transfer by scale": (*SCRATCHES, *(row for row in SCALES_FUSED if not row.startswith(SMALL_NETWORKS))),
    "random forests": FORESTS,
}
# Rows of one group whose differences are tested: transfer against features, fused scales against scale 1.
COMPARED = (SMALL_ENSEMBLE, *SCALES_FUSED, *(name_head(network, 1) for network in SMALL_NETWORKS), *CLASSICS)
SHOWN = (*ROWS, *CLASSICS)  # the paper's own features stand beside ours


@dataclass(frozen=True)
class Fusion:
    """What one seed's run fused, by weights of the paper's grid."""

    protocol: str
    seed: int
    row: str
    members: tuple[str, ...]
    weights: tuple[float, ...]
    chosen: float  # accuracy on the cases that the weights were chosen on
    scored: float  # on the test cases


def list_table(table: str, _config: Config) -> list[str]:
    """A table that is not in the paper."""
    return list(TABLES[table])


def list_needs() -> dict[str, frozenset[str]]:
    """Row -> names of the trainings that it follows from."""
    single = {name_head(n, s): name_training("head", n, s) for n in SMALL_NETWORKS for s in SCALES}
    single |= {name_scratch_scale("AlexNet", s): name_training("scratch", "AlexNet", s) for s in SCALES}
    single |= {name_forest(name): name_training("trees", name, 1) for name in DESCRIPTORS}
    needs = {row: frozenset([training]) for row, training in single.items()}
    needs |= {row: frozenset(single[member] for member in members) for row, members in SCALES_FUSED.items()}
    return needs | {SMALL_ENSEMBLE: frozenset(single[member] for member in HEADS)}


def fuse_protocols(
    tests: Mapping[str, pd.DataFrame], validation: pd.DataFrame | None, config: Config
) -> tuple[list[pd.DataFrame], list[Fusion]]:
    """`fuse_rows` of every protocol. validation: out-of-fold predictions of the leak-free one."""
    found = [fuse_rows(part, validation if protocol == "leakfree" else None, config) for protocol, part in tests.items()]
    return [table for tables, _ in found for table in tables], [fusion for _, fusions in found for fusion in fusions]


def fuse_rows(
    predictions: pd.DataFrame, validation: pd.DataFrame | None, config: Config
) -> tuple[list[pd.DataFrame], list[Fusion]]:
    """Predictions of FUSED_BEYOND, those of which all members are there, and what each seed fused.

    As `selection.derive_rows`: the choice is made on `validation`, without it on the test cases themselves. The three scales of
    a network are all kept and only weighted; SMALL_ENSEMBLE is three of the six networks by the whole procedure of the paper.
    """
    tables, fusions = [], []
    for seed, of_seed in predictions.groupby("seed"):
        test = Scores(of_seed)
        judge = test if validation is None else Scores(validation[validation["seed"] == seed])
        for row, members in (*SCALES_FUSED.items(), (SMALL_ENSEMBLE, HEADS)):
            if not all(test.has(member) and judge.has(member) for member in members):
                continue
            judged = {member: judge.scores(member) for member in members}
            if row == SMALL_ENSEMBLE:
                ensemble = choose_subset(judged, judge.labels, config.weight_step)
                members, weights, chosen = ensemble.members, ensemble.weights, ensemble.accuracy
            else:
                best = choose_weights(np.stack(list(judged.values())), judge.labels, config.weight_step)
                weights, chosen = best.weights, best.accuracy
            scores = fuse(np.stack([test.scores(member) for member in members]), weights)
            tables.append(test.tabulate(row, scores))
            scored = measure_accuracy(scores, test.labels)
            fusions.append(Fusion(test.protocol, test.seed, row, tuple(members), weights, chosen, scored))
    return tables, fusions


def tabulate_areas(rows: Sequence[RowResult]) -> list[OwnTable]:
    """Areas under the curve of SHOWN under both protocols, as a table of the report; none where none of ours was run.

    Where one class is rare, accuracy is that of always giving the other, whatever was learnt: the area still tells rows apart.
    """
    found = {(row.row, row.protocol): row.metrics["auc"] for row in rows}
    if not any(row in ROWS for row, _ in found):
        return []
    lines = []
    for name in SHOWN:
        of = [found.get((name, protocol)) for protocol in PROTOCOLS]
        if any(of):
            means = [area.mean if area else None for area in of]
            gap = None if means[0] is None or means[1] is None else means[1] - means[0]
            cells = [
                text
                for area in of
                for text in (
                    format_value(area.mean if area else None, "fraction", 3),
                    format_interval(area.low if area else None, area.high if area else None, "fraction", 3),
                )
            ]
            lines.append([name, *cells, format_value(gap, "fraction", 3, signed=True)])
    groups = [PROTOCOL_NAMES[protocol] for protocol in PROTOCOLS for _ in range(2)]
    columns = [
        OwnColumn(name="row", kind="text", group=""),
        *(OwnColumn(name=("AUC", "95 % interval")[i % 2], kind="number", group=group) for i, group in enumerate(groups)),
        OwnColumn(name="leak-free minus the paper's protocol", kind="number", group=""),
    ]
    note = (
        "Rows of ours, and the paper's classic features beside them; chance is 0.5. Mean over the seeds, intervals over patients "
        "and trainings. The last column is not the leak alone: the leak-free scores are means of several networks, "
        "each trained on fewer cases, on other test cases."
    )
    return [OwnTable(title="Areas under the curve, transfer and features", columns=columns, rows=lines, note=note)]


def tabulate_fusions(fusions: Sequence[Fusion]) -> list[OwnTable]:
    """What was fused with which weights, as a table of the report; none where nothing was."""
    kinds = {"protocol": "text", "row": "text", "seed": "number", "weights": "text", "accuracy where chosen (%)": "number",
             "on the test cases (%)": "number"}  # fmt: skip
    lines = [
        [
            PROTOCOL_NAMES[fusion.protocol],
            fusion.row,
            str(fusion.seed),
            " + ".join(f"{weight:g} {member}" for weight, member in zip(fusion.weights, fusion.members, strict=True)),
            format_value(fusion.chosen, "percent"),
            format_value(fusion.scored, "percent"),
        ]
        for fusion in sorted(fusions, key=lambda one: (FUSED_BEYOND.index(one.row), one.protocol == "leakfree", one.seed))
    ]
    note = (
        "Rows of ours. Chosen on the test images under the paper's protocol, so that both accuracies are the same there; on "
        "validation patients under the leak-free one."
    )
    columns = [OwnColumn(name=name, kind=kind, group="") for name, kind in kinds.items()]
    return [OwnTable(title="Weights of the fusions of ours", columns=columns, rows=lines, note=note)] if lines else []
