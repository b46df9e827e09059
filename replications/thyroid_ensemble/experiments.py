"""What the paper reports: the trainings behind its tables and figures, its counts, its findings in words.

The rows stand in rows.py, what is chosen in selection.py, the figures in drawings.py. Nothing here imports TensorFlow.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from common.cells import Cell
from common.errors import UsageError
from common.files import hash_file, slug
from common.findings import PROTOCOLS, format_value
from common.paper import Statement
from common.prepared import Dataset, Fold
from common.verdicts import check_pairs
from replications.thyroid_ensemble.config import CLASSES, NETWORKS, SCALES, Config
from replications.thyroid_ensemble.rows import BLOCK, DESCRIPTORS, FOREST, FUSED, NINE, name_model
from replications.thyroid_ensemble.selection import Choice

MODULE = "replications.thyroid_ensemble"
BEST_DEPTH = {"AlexNet": 4, "VGG16": 3, "ResNet50": 2}  # Fig. 9
# Rows whose differences are tested: the ensemble, its kinds of fusion, single networks, the methods of others.
FUSIONS = ("class voting", "mean probability")
COMPARED = ("ensemble", *FUSIONS, *NINE[::3], *(f"{n} + SVM" for n in DESCRIPTORS), BLOCK, FOREST, FUSED)
# Settings that do not shape a training or a choice of the paper's.
FREE_SETTINGS = ("seeds", "split_seed", "cache_gigabytes", "source", "tirads_malignant", "phantom_")


# ------------------------------------------------------------------------------------------------------- the trainings


@dataclass(frozen=True)
class Training:
    """One function of train.py or baselines.py on one network and scale; rows: plan -> row that it scores."""

    kind: str
    function: str
    network: str
    scale: int
    rows: dict[str, str]
    pretrained: bool = True  # starts from weights of another task


def list_trainings(config: Config) -> list[Training]:
    """All trainings of one fold and seed; neighbours share a network, so that graphs are traced once."""
    transfer, trainings = f"{MODULE}.train:train_transfer_cell", []
    for network in NETWORKS:
        for scale in SCALES:
            rows = {str(k): f"{name_model(network, scale)}, k = {k}" for k in config.depths}
            if scale == 1:
                rows |= {"all": f"{network}, all layers"} | ({"first block": BLOCK} if network == "ResNet50" else {})
            trainings.append(Training("transfer", transfer, network, scale, rows))
        scratch = {"all": f"{network}, no transfer"}
        trainings.append(Training("scratch", f"{MODULE}.train:train_scratch_cell", network, 1, scratch, pretrained=False))
        if network == "VGG16":
            trainings.append(Training("fused", f"{MODULE}.baselines:train_fused_cell", network, 1, {"svm": FUSED}))
    trainings.append(Training("forest", f"{MODULE}.baselines:train_forest_cell", "InceptionV3", 1, {"all": FOREST}))
    for name in DESCRIPTORS:
        rows = {"svm": f"{name} + SVM"}
        trainings.append(Training("classic", f"{MODULE}.baselines:train_classic_cell", name, 1, rows, pretrained=False))
    return trainings


def name_training(training: Training) -> str:
    return f"{training.kind} {training.network} {training.scale}"


def plan_source(network: str, config: Config) -> Cell:
    """The training that gives a network its initial weights where there is no ImageNet (trial runs)."""
    settings = {"config": asdict(replace(config, seeds=())), "network": network}
    return Cell(slug(f"source {network}"), f"{MODULE}.train:train_source_cell", settings)


def find_source(cell: Cell, folder: Path) -> dict[str, str]:
    """{file, sha256} of the weights that a finished `plan_source` left in the run folder."""
    file = f"cells/{cell.key}/backbone.weights.h5"
    return {"file": file, "sha256": hash_file(folder / file)}


def plan_cells(
    training: Training, config: Config, protocol: str, seeds: Sequence[int], data_sha256: str, weights: dict
) -> list[Cell]:
    """The cells of one training: one a seed, and an inner fold under leakfree.

    weights: {network: {file, sha256}} of initial weights in the run; none: random. The first seed keeps its weights on
    disk, for new images.
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
        "weights": start and start["file"],
        "weights_sha256": start and start["sha256"],
    }
    folds = range(config.inner_folds) if protocol == "leakfree" else (-1,)
    cells = []
    for seed in seeds:
        for fold in folds:
            key = slug(f"{name_training(training)} {protocol} seed{seed}" + (f" fold{fold}" if fold >= 0 else ""))
            keep = training.kind == "transfer" and seed == config.seeds[0]
            cells.append(Cell(key, training.function, settings | {"seed": seed, "fold": fold, "keep_weights": keep}))
    return cells


def plan_members(choices: Sequence[Choice], finished: Sequence[Cell]) -> dict[str, dict]:
    """The networks to keep for new images: protocol -> {members, weights (fusion), cells (one a member and inner fold)}.

    Those of the first seed, whose trainings left their weights.
    """
    trained = {}
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


# ------------------------------------------------------------------------------------------------- tables of our own


def plan_attention(finished: Sequence[Cell], cases: Sequence[int]) -> dict[str, Cell]:
    """Grad-CAM of Fig. 4: network -> cell, for the three networks of scale 1 after step 1 (pretrained convolutions, new head).

    cases: positions of the pictures. Leak-free networks where they are there: they have not seen the test pictures. Networks
    whose training kept no weights, or no k = 0, are left out.
    """
    planned = {}
    for cell in sorted(finished, key=lambda cell: cell.settings["protocol"] != "leakfree"):
        s = cell.settings
        if s["kind"] == "transfer" and s["scale"] == 1 and s["keep_weights"] and "0" in s["rows"] and s["fold"] < 1:
            settings = s | {"source": cell.key, "source_digest": cell.digest, "plan": "0", "cases": list(cases)}
            planned.setdefault(s["network"], Cell(f"cam-{cell.key}", f"{MODULE}.train:map_attention_cell", settings))
    return planned


def tabulate_choices(choices: Sequence[Choice]) -> dict:
    """What each seed's run of the procedure chose, as a table of the report."""
    names = ("protocol", "seed", "k of AlexNet, VGG16, ResNet50", "five best models", "ensemble", "equally accurate weights")
    lines = []
    for choice in choices:
        members = zip(choice.ensemble.weights, choice.ensemble.members, strict=True)
        ties = next(weights.ties for names, weights in choice.ensemble.subsets if names == choice.ensemble.members)
        lines.append([
            PROTOCOLS[choice.protocol],
            str(choice.seed),
            ", ".join(str(choice.depths[network]) for network in NETWORKS),
            "; ".join(choice.ranking[:5]),
            " + ".join(f"{weight:g} {name}" for weight, name in members),
            f"{ties} of {choice.ensemble.considered // len(choice.ensemble.subsets)}",
        ])  # fmt: skip
    note = "Chosen on the test images under the paper's protocol, on validation patients under the leak-free one."
    columns = [{"name": name, "kind": "text", "group": ""} for name in names]
    return {"title": "What was chosen", "columns": columns, "rows": lines, "note": note}


def tabulate_gains(gains: Sequence[dict]) -> dict:
    """What choosing on the scored cases gains (`selection.measure_gains`), mean over the seeds, as a table of the report."""
    whats = {
        "halves": "chosen on one half of the test patients, scored on it and on the other half",
        "test": "chosen on all test cases instead of validation patients, scored on the test cases",
    }
    lines = []
    for protocol in PROTOCOLS:
        for what, text in whats.items():
            found = [gain for gain in gains if gain["protocol"] == protocol and gain["what"] == what]
            if found:
                mean = {name: sum(gain[name] for gain in found) / len(found) for name in ("chosen", "other", "gain")}
                worst, best = min(gain["gain"] for gain in found), max(gain["gain"] for gain in found)
                lines.append([
                    PROTOCOLS[protocol], text, str(len(found)), *(format_value(mean[n], "percent") for n in ("chosen", "other")),
                    format_value(mean["gain"], "percent", signed=True),
                    f"{format_value(worst, 'percent', signed=True)} to {format_value(best, 'percent', signed=True)}",
                ])  # fmt: skip
    kinds = {"protocol": "text", "choice of k, networks and weights": "text", "seeds": "number",
             "accuracy where chosen (%)": "number", "elsewhere (%)": "number", "gain (points)": "number",
             "by seed": "number"}  # fmt: skip
    columns = [{"name": name, "kind": kind, "group": ""} for name, kind in kinds.items()]
    note = "The gain is what an accuracy owes to being measured on the cases that the ensemble was chosen on."
    return {"title": "What choosing on the test cases gains", "columns": columns, "rows": lines, "note": note}


# ---------------------------------------------------------------------------------------- counts, departures, findings


def count_table_1(dataset: Dataset, folds: Sequence[Fold]) -> dict[tuple[str, str, str], int]:
    """Table 1 under the paper's protocol."""
    labels, counts = dataset.cases["label"].to_numpy(), {}
    for row, index in (("training", folds[0].train), ("test", folds[0].test)):
        for label, name in enumerate(CLASSES):
            counts["1", row, name] = int((labels[index] == label).sum())
        counts["1", row, "total"] = len(index)
    return counts


def list_departures(config: Config, published: Config, weights: str) -> list[str]:
    """What differs from the published settings: "tune_epochs = 8 instead of 100"; weights: as `weights.choose_weights` says."""
    departures = [
        f"{f.name} = {getattr(config, f.name)} instead of {getattr(published, f.name)}"
        for f in fields(config)
        if not f.name.startswith(FREE_SETTINGS) and getattr(config, f.name) != getattr(published, f.name)
    ]
    return departures + ["random initial weights instead of ImageNet's"] * (weights == "random")


def check_statements(statements: Sequence[Statement], rows: list[dict], choices: Sequence[Choice]) -> list[dict]:
    """Each finding that the paper words, held against our mean accuracies and choices."""
    checked = []
    for protocol in ("paper", "leakfree"):
        accuracy = {r["row"]: r["metrics"]["accuracy"]["mean"] for r in rows if r["protocol"] == protocol}
        depths = [choice.depths for choice in choices if choice.protocol == protocol]
        for statement in statements:
            if statement.id not in STATEMENTS:
                raise UsageError(f"paper.toml: statement {statement.id!r} has no check in experiments.py")
            verdict, detail = STATEMENTS[statement.id](accuracy, depths)
            checked.append({"id": statement.id, "protocol": protocol, "verdict": verdict, "detail": detail})
    return checked


def _check(pairs: list[tuple[str, str]]) -> Callable[[dict, list], tuple[str, str]]:
    return lambda accuracy, _depths: check_pairs(pairs, accuracy)


def _check_gap(accuracy: dict[str, float], _depths: list) -> tuple[str, str]:
    """The gain of transfer by network, in the order of their depth."""
    rows = {n: (name_model(n, 1), f"{n}, no transfer") for n in NETWORKS}
    if not all(row in accuracy for pair in rows.values() for row in pair):
        return "not run", "some of its rows were not run"
    gaps = [accuracy[with_] - accuracy[without] for with_, without in rows.values()]
    verdict = "holds" if gaps[0] < gaps[1] < gaps[2] else "does not hold"
    return verdict, ", ".join(f"{n} {100 * gap:+.1f} points" for n, gap in zip(rows, gaps, strict=True))


def _check_depth(_accuracy: dict[str, float], depths: list[dict[str, int]]) -> tuple[str, str]:
    if not depths:
        return "not run", "no depth was chosen"
    agree = sum(chosen == BEST_DEPTH for chosen in depths)
    text = "; ".join(f"{n}: {', '.join(str(chosen[n]) for chosen in depths)} (paper {BEST_DEPTH[n]})" for n in NETWORKS)
    return ("holds" if agree == len(depths) else "does not hold"), f"k by seed, {text}"


STATEMENTS: dict[str, Callable[[dict, list], tuple[str, str]]] = {  # id in paper.toml -> check
    "transfer_helps": _check([(name_model(n, 1), f"{n}, no transfer") for n in NETWORKS]),
    "gap_grows_with_depth": _check_gap,
    "best_depth": _check_depth,
    "all_layers_worse": _check([(name_model(n, 1), f"{n}, all layers") for n in NETWORKS]),
    "scale_1_best": _check([(name_model(n, 1), name_model(n, s)) for n in NETWORKS for s in SCALES[1:]]),
    "ensemble_beats_singles": _check([("ensemble", name) for name in NINE]),
    "weighting_beats_voting_and_mean": _check([("ensemble", "class voting"), ("ensemble", "mean probability")]),
    "beats_classic_features": _check([("ensemble", f"{name} + SVM") for name in DESCRIPTORS]),
    "beats_other_papers": _check([("ensemble", row) for row in (BLOCK, FOREST, FUSED)]),
}
