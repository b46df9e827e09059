"""What the paper reports: the rows of its tables and figures, its counts, its findings in words; and tables of ours.

The trainings behind the rows stand in plans.py, what is chosen in selection.py, the figures in figures.py. Nothing here imports
TensorFlow.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.cli import PROTOCOLS
from common.evaluation.metrics import list_collapsed_seeds
from common.evaluation.outcome import Check, list_changes
from common.evaluation.verdicts import NOT_RUN, check_pairs
from common.records.results import OwnColumn, OwnTable
from common.records.rows import Row
from common.report.wording import PROTOCOL_NAMES, format_value
from replications.thyroid_ensemble import beyond
from replications.thyroid_ensemble.config import CLASSES, LETTERS, NETWORKS, SCALES, SUBSETS, Config
from replications.thyroid_ensemble.plans import list_trainings
from replications.thyroid_ensemble.rows import (
    BLOCK,
    CLASSICS,
    DESCRIPTORS,
    ENSEMBLE,
    FOREST,
    FUSED,
    FUSIONS,
    NINE,
    PATIENTS,
    PUBLISHED,
    SINGLES,
    name_classic,
    name_depth,
    name_fixed_weights,
    name_model,
    name_scratch,
    name_subset,
    name_training,
    name_transferred,
)
from replications.thyroid_ensemble.selection import Choice

Stuck = Mapping[tuple[str, str], Sequence[int]]  # protocol, row -> seeds
BEST_DEPTH = {"AlexNet": 4, "VGG16": 3, "ResNet50": 2}  # Fig. 9
# Groups of rows whose differences are tested: the paper's (ensemble, kinds of fusion, single networks, methods of others); ours.
COMPARED = ((ENSEMBLE, *FUSIONS, *SINGLES, *CLASSICS, BLOCK, FOREST, FUSED), beyond.COMPARED)


# ---------------------------------------------------------------------------------------- rows of the tables and figures


def list_table_2(_config: Config) -> list[str]:
    """Nine networks: three scales, three architectures."""
    return list(NINE)


def list_table_3(_config: Config) -> list[str]:
    """Three subsets of the best networks with their best weights."""
    return [name_subset(letters) for letters in SUBSETS]


def list_table_4(_config: Config) -> list[str]:
    """Sensitivity and specificity of the networks at scale 1 and of the ensemble."""
    return [*SINGLES, ENSEMBLE]


def list_table_5(_config: Config) -> list[str]:
    """Kinds of fusion."""
    return [ENSEMBLE, *FUSIONS]


def list_table_6(_config: Config) -> list[str]:
    """Classic features and an SVM."""
    return [ENSEMBLE, *CLASSICS]


def list_table_7(_config: Config) -> list[str]:
    """The methods of other papers."""
    return [ENSEMBLE, BLOCK, FOREST, FUSED]


def list_figure_8(_config: Config) -> list[str]:
    """With and without transfer; with it the convolutions stay frozen and the new head alone is trained (sec. 2.1)."""
    return [*map(name_transferred, NETWORKS), *map(name_scratch, NETWORKS)]


def list_figure_9(config: Config) -> list[str]:
    """The number of fine-tuned convolutions."""
    depths = [name_depth(network, depth) for network in NETWORKS for depth in config.depths]
    return [*depths, *(name_depth(network, "all") for network in NETWORKS)]


def list_figure_10(_config: Config) -> list[str]:
    """ROC curve; the paper prints the area of the ensemble alone."""
    return [ENSEMBLE]


TABLES: dict[str, Callable[[Config], list[str]]] = {
    "2": list_table_2,
    "3": list_table_3,
    "4": list_table_4,
    "5": list_table_5,
    "6": list_table_6,
    "7": list_table_7,
    "Fig. 8": list_figure_8,
    "Fig. 9": list_figure_9,
    "Fig. 10": list_figure_10,
    "fixed weights": lambda _config: [name_fixed_weights()],
    "patients": lambda _config: [PATIENTS],
    **{table: functools.partial(beyond.list_table, table) for table in beyond.TABLES},
}


def list_rows(config: Config) -> list[Row]:
    """Every row, in the order of the tables."""
    lists = {table: names(config) for table, names in TABLES.items()}
    needs = _list_needs(config)
    return [
        Row(name, tuple(table for table, names in lists.items() if name in names), needs[name])
        for name in dict.fromkeys(name for names in lists.values() for name in names)
    ]


def _list_needs(config: Config) -> dict[str, frozenset[str]]:
    """Row -> names of the trainings that it follows from."""

    def need_transfer(*models: tuple[str, int]) -> frozenset[str]:
        scales = {*models, *((network, 1) for network, _ in models)}  # k is chosen at scale 1
        return frozenset(name_training("transfer", network, scale) for network, scale in scales)

    needs = {name_model(network, scale): need_transfer((network, scale)) for network in NETWORKS for scale in SCALES}
    needs |= {name_subset(letters): need_transfer(*(LETTERS[letter] for letter in letters)) for letters in SUBSETS}
    needs[name_fixed_weights()] = need_transfer(*(LETTERS[letter] for letter in PUBLISHED[0]))
    of_all = need_transfer(*((network, scale) for network in NETWORKS for scale in SCALES))
    needs |= dict.fromkeys((ENSEMBLE, *FUSIONS, PATIENTS), of_all)
    needs |= {BLOCK: need_transfer(("ResNet50", 1))}
    needs |= {FOREST: frozenset([name_training("forest", "InceptionV3", 1)])}
    needs |= {FUSED: frozenset([name_training("fused", "VGG16", 1)])}
    needs |= {name_classic(name): frozenset([name_training("classic", name, 1)]) for name in DESCRIPTORS}
    needs |= {name_scratch(network): frozenset([name_training("scratch", network, 1)]) for network in NETWORKS}
    depths: tuple[int | str, ...] = (0, *config.depths, "all")  # 0: Fig. 8
    needs |= {name_depth(network, depth): need_transfer((network, 1)) for network in NETWORKS for depth in depths}
    return needs | beyond.list_needs()


def count_table_1(dataset: Dataset, folds: Sequence[Fold]) -> dict[tuple[str, str, str], int]:
    """Table 1 under the paper's protocol."""
    labels, counts = dataset.cases["label"].to_numpy(), {}
    for row, index in (("training", folds[0].train), ("test", folds[0].test)):
        for label, name in enumerate(CLASSES):
            counts["1", row, name] = int((labels[index] == label).sum())
        counts["1", row, "total"] = len(index)
    return counts


# ------------------------------------------------------------------------------------------------------------- departures

TABLE_1 = ("training", "test")  # its rows
OF_COUNTS = ("test_share", "tirads_malignant")  # beginnings of the names of settings that shape the counts of Table 1
OF_ALL = (*OF_COUNTS, "roi_")  # beginnings of the names of settings that shape every row
OF_INPUTS = ("mean", "input_mode", "width", "scale_sides")
OF_NETWORKS = (
    *OF_INPUTS, "augment", "enlargement", "shift", "zoom", "cropping", "shear", "rotation", "flip", "batch_size", "head_",
)  # fmt: skip
OF_KINDS = {
    "transfer": (*OF_NETWORKS, "transfer_", "tune_", "depths", "stopping", "source_task_"),
    "scratch": (*OF_NETWORKS, "scratch_", "stopping"),
    "forest": (*OF_NETWORKS, "transfer_", "tune_", "stopping", "source_task_", "forest_"),
    "fused": (*OF_INPUTS, "source_task_", "hog_", "lbp_", "svm_"),
    "classic": ("svm_",),
    "head": (*OF_NETWORKS, "transfer_", "stopping", "source_task_"),
    "trees": ("forest_trees", "forest_leaf"),
}
OF_NAMES = {
    "AlexNet": "alexnet_", "VGG16": "vgg16_", "ResNet50": "resnet50_", "InceptionV3": "inceptionv3_",
    "ULBP": "lbp_", "GLCM": "glcm_", "Gabor": "gabor_", "MobileNetV2": "mobilenetv2_", "SqueezeNet": "squeezenet_",
}  # fmt: skip
OF_FUSIONS = ("weight_step",)
FUSED_ROWS = (
    ENSEMBLE,
    *FUSIONS,
    PATIENTS,
    *map(name_subset, SUBSETS),
    *beyond.FUSED_BEYOND,
)  # members and weights are enumerated
STEP_1 = tuple(map(name_transferred, NETWORKS))  # rows without step 2
# Settings that shape nothing of the paper's own protocol; nor do those of the phantoms.
FREE_SETTINGS = ("seeds", "split_seed", "cache_gigabytes", "source", "inner_folds")


def list_departures(row: Row, config: Config, published: Config, weights: str) -> list[str]:
    """What differs from the published settings of a row: "tune_epochs = 8 instead of 100"; weights: as
    `weights.choose_weights` says."""
    trainings = [training for training in list_trainings(config) if training.name in row.needs]
    settings = [*OF_ALL, *(OF_FUSIONS if row.name in FUSED_ROWS else ())]
    for training in trainings:
        settings += [*OF_KINDS[training.kind], OF_NAMES[training.network]]
    if row.name in (BLOCK, *list_figure_9(config), *STEP_1):  # no depth is chosen for them
        settings = [name for name in settings if name != "depths"]
    if row.name in STEP_1:
        settings = [name for name in settings if name != "tune_"]
    random = weights == "random" and any(training.pretrained for training in trainings)
    return list_changes(config, published, settings) + ["random initial weights instead of ImageNet's"] * random


# ------------------------------------------------------------------------------------------------------- findings in words


def build_checks(choices: Sequence[Choice], stuck: Stuck | None = None) -> dict[str, Check]:
    """How each statement of paper.toml is checked: id -> function of protocol and mean accuracies.

    stuck: see `find_stuck`; a statement about networks without transfer says where it rests on one that did not learn.
    """

    def check_depth(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        if not all(row in accuracy for row in SINGLES):
            return "not run", "some of its rows were not run as published"
        return _check_depth([choice.depths for choice in choices if choice.protocol == protocol])

    return {
        "transfer_helps": _tell_stuck(_build_check([(name_transferred(n), name_scratch(n)) for n in NETWORKS]), stuck or {}),
        "gap_grows_with_depth": _tell_stuck(_check_gap, stuck or {}),
        "best_depth": check_depth,
        "all_layers_worse": _build_check([(name_model(n, 1), name_depth(n, "all")) for n in NETWORKS]),
        "one_peak": _check_peak,
        "scale_1_best": _build_check([(name_model(n, 1), name_model(n, s)) for n in NETWORKS for s in SCALES[1:]]),
        "ensemble_beats_singles": _build_check([(ENSEMBLE, name) for name in NINE]),
        "combinations_beat_singles": _build_check([(name_subset(letters), name) for letters in SUBSETS for name in NINE]),
        "fusions_beat_singles": _build_check([(fusion, name) for fusion in (ENSEMBLE, *FUSIONS) for name in NINE]),
        "weighting_beats_voting_and_mean": _build_check([(ENSEMBLE, name) for name in FUSIONS]),
        "beats_classic_features": _build_check([(ENSEMBLE, name) for name in CLASSICS]),
        "beats_other_papers": _build_check([(ENSEMBLE, row) for row in (BLOCK, FOREST, FUSED)]),
    }


def find_stuck(predictions: pd.DataFrame) -> Stuck:
    """(protocol, row) of networks without transfer that never left chance -> the seeds in which they gave all cases one class."""
    there = predictions.loc[predictions["row"].isin([*map(name_scratch, NETWORKS)]), ["protocol", "row"]].drop_duplicates()
    found = {(str(p), str(row)): list_collapsed_seeds(predictions, row, p) for p, row in there.itertuples(index=False)}
    return {key: seeds for key, seeds in found.items() if seeds}


def _tell_stuck(check: Check, stuck: Stuck) -> Check:
    def told(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        verdict, detail = check(protocol, accuracy)
        rows = {name_scratch(n): stuck.get((protocol, name_scratch(n)), []) for n in NETWORKS if name_scratch(n) in accuracy}
        named = [f"{row} (seed {', '.join(map(str, seeds))})" for row, seeds in rows.items() if seeds]
        if named and verdict != NOT_RUN:
            detail += f"; depends on the initial weights (scratch_init): one class for all cases from {', '.join(named)}"
        return verdict, detail

    return told


def _build_check(pairs: list[tuple[str, str]]) -> Check:
    return lambda _protocol, accuracy: check_pairs(pairs, accuracy)


def _check_gap(_protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
    """The gain of transfer by network, in the order of their depth."""
    rows = {n: (name_transferred(n), name_scratch(n)) for n in NETWORKS}
    if not all(row in accuracy for pair in rows.values() for row in pair):
        return "not run", "some of its rows were not run as published"
    gaps = [accuracy[with_] - accuracy[without] for with_, without in rows.values()]
    verdict = "holds" if gaps[0] < gaps[1] < gaps[2] else "does not hold"
    return verdict, ", ".join(f"{n} {100 * gap:+.1f} points" for n, gap in zip(rows, gaps, strict=True))


def _check_peak(_protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
    """Fig. 9: neighbouring depths of each network, towards its own peak the higher one first."""
    pairs = []
    for network in NETWORKS:
        tried = [row for row in (name_depth(network, k) for k in range(5)) if row in accuracy]
        peak = max(range(len(tried)), key=lambda i: accuracy[tried[i]], default=0)
        for i, (fewer, more) in enumerate(itertools.pairwise(tried)):
            pairs.append((more, fewer) if i < peak else (fewer, more))
    return check_pairs(pairs, accuracy)


def _check_depth(depths: Sequence[Mapping[str, int]]) -> tuple[str, str]:
    if not depths:
        return "not run", "no depth was chosen"
    agree = sum(chosen == BEST_DEPTH for chosen in depths)
    text = "; ".join(f"{n}: {', '.join(str(chosen[n]) for chosen in depths)} (paper {BEST_DEPTH[n]})" for n in NETWORKS)
    return ("holds" if agree == len(depths) else "does not hold"), f"k by seed, {text}"


# ------------------------------------------------------------------------------------------------------- tables of ours


def tabulate_choices(choices: Sequence[Choice]) -> OwnTable:
    """What each seed's run of the procedure chose, as a table of the report."""
    names = ("protocol", "seed", "k of AlexNet, VGG16, ResNet50", "five best models", "ensemble", "equally accurate weights")
    lines = []
    for choice in choices:
        members = zip(choice.ensemble.weights, choice.ensemble.members, strict=True)
        ties = next(weights.ties for names, weights in choice.ensemble.subsets if names == choice.ensemble.members)
        lines.append([
            PROTOCOL_NAMES[choice.protocol],
            str(choice.seed),
            ", ".join(str(choice.depths[network]) for network in NETWORKS),
            "; ".join(choice.ranking[:5]),
            " + ".join(f"{weight:g} {name}" for weight, name in members),
            f"{ties} of {choice.ensemble.considered // len(choice.ensemble.subsets)}",
        ])  # fmt: skip
    note = "Chosen on the test images under the paper's protocol, on validation patients under the leak-free one."
    columns = [OwnColumn(name=name, kind="text", group="") for name in names]
    return OwnTable(title="What was chosen", columns=columns, rows=lines, note=note)


def tabulate_gains(gains: Sequence[dict]) -> OwnTable:
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
                    PROTOCOL_NAMES[protocol], text, str(len(found)),
                    *(format_value(mean[name], "percent") for name in ("chosen", "other")),
                    format_value(mean["gain"], "percent", signed=True),
                    f"{format_value(worst, 'percent', signed=True)} to {format_value(best, 'percent', signed=True)}",
                ])  # fmt: skip
    kinds = {"protocol": "text", "choice of k, networks and weights": "text", "seeds": "number",
             "accuracy where chosen (%)": "number", "elsewhere (%)": "number", "gain (points)": "number",
             "by seed": "number"}  # fmt: skip
    columns = [OwnColumn(name=name, kind=kind, group="") for name, kind in kinds.items()]
    note = (
        "The gain is what an accuracy owes to being measured on the cases that k, networks and weights were chosen on. The epoch "
        "that each training stopped at is not chosen anew, so what choosing it on the test cases gains is not in it."
    )
    return OwnTable(title="What choosing on the test cases gains", columns=columns, rows=lines, note=note)
