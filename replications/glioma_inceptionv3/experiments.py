"""What the report prints: rows of its tables, its counts, its findings in words; and what departs from it.

The trainings behind the rows stand in plans.py, rows that follow from others in derived.py. Nothing here imports TensorFlow.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pandas as pd

from common.evaluation.outcome import Check, list_changes
from common.evaluation.verdicts import NOT_RUN
from common.records.rows import Row
from replications.glioma_inceptionv3.config import CLASSES, PAPER, Config
from replications.glioma_inceptionv3.plans import HEAD, Training, is_departing, list_trainings
from replications.glioma_inceptionv3.rows import (
    AREA,
    CLEAN,
    COUNTED,
    LEAKFREE,
    MEAN,
    PRINTED,
    RADIOMICS,
    REPORT,
    list_modes,
    name_baseline,
    name_fixed,
    name_row,
    name_run,
    name_subjects,
)

DOWNLOADED = "subjects downloaded"
ACCURACY = 0.9  # text, of radiomics: "many do not reach" it; held if most of ours do not
LEAST = 0.93  # text: "all above"
PLATEAU = 1500  # training curves: step from which on validation accuracy no longer rises
RISE = 0.01  # a rise of the mean curve below it is none; ours


# ---------------------------------------------------------------------------------------------------- rows of the tables


def count_table_1_to_5(info: Mapping) -> dict[tuple[str, str, str], int]:
    """Subjects and slices of each grade, step by step; info: of a prepared data set (its `steps`)."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in COUNTED:
        of_row = {grade: int(info["steps"][row].get(grade, 0)) for grade in CLASSES}
        counts |= {("1-5", row, grade): number for grade, number in of_row.items()}
        counts["1-5", row, "total"] = sum(of_row.values())
    return counts


def count_text(info: Mapping) -> dict[tuple[str, str, str], int]:
    """Subjects that the collection lists, with or without a grade."""
    known = info.get("listed") or sum(info["steps"][COUNTED[0]].values())
    return {("text", DOWNLOADED, "total"): int(known)}


def list_table_6(config: Config) -> list[str]:
    """Test accuracy of ten runs."""
    return [name_run(run) for run in config.runs]


def list_text(_config: Config) -> list[str]:
    """Their mean."""
    return [MEAN]


def list_modes_of(config: Config, *, shuffled: bool) -> list[str]:
    """The last layer in the five modes, for every backbone and view."""
    return [
        name_row(mode, backbone, view, shuffled=shuffled)
        for backbone in config.backbones
        for view in config.views
        for mode in list_modes()
    ]


TABLES: dict[str, Callable[[Config], list[str]]] = {
    "6": list_table_6,
    "text": list_text,
    "modes": lambda config: list_modes_of(config, shuffled=False),
    "grades shuffled": lambda config: list_modes_of(config, shuffled=True),
    "leak-free, rate as run": lambda config: [
        name_fixed(name_row(LEAKFREE, backbone, view, shuffled=shuffled))
        for backbone in config.backbones
        for view in config.views
        for shuffled in (False, True)
        if config.learning_rate in config.leakfree_rates
    ],
    "subjects": lambda config: [
        name_subjects(name_row(LEAKFREE, backbone, view, shuffled=shuffled))
        for backbone in config.backbones
        for view in config.views
        for shuffled in (False, True)
    ],
    "baselines": lambda config: [
        row for training in list_trainings(config) if training.description != HEAD for row in training.rows.values()
    ],
}


def list_rows(config: Config, alike: Collection[str] = ()) -> list[Row]:
    """Every row, in the order of the tables. alike: views in which slice-clean is paper-report."""
    trainings = list_trainings(config, alike)
    needs = {row: frozenset([training.name]) for training in trainings for row in training.rows.values()}
    for backbone in config.backbones:
        for view in config.views:
            for shuffled in (False, True):
                rows = [name_row(mode, backbone, view, shuffled=shuffled) for mode in (REPORT, CLEAN, LEAKFREE)]
                needs.setdefault(rows[1], needs[rows[0]])
                needs[name_subjects(rows[2])] = needs[rows[2]]
    printed = needs.get(name_row(*PRINTED), frozenset())
    needs |= {row: printed for row in (*list_table_6(config), MEAN)}
    lists = {table: names(config) for table, names in TABLES.items()}
    names = dict.fromkeys(name for of_table in lists.values() for name in of_table)
    return [Row(name, tuple(table for table, of in lists.items() if name in of), needs[name]) for name in names if needs[name]]


def list_compared(config: Config) -> list[str]:
    """Leak-free rows that are compared pairwise: the same test slices."""
    heads = [name_row(LEAKFREE, backbone, view) for backbone in config.backbones for view in config.views]
    return [*heads, *(name_baseline(LEAKFREE, name) for name in (*RADIOMICS, AREA))]


# ------------------------------------------------------------------------------------------------------------- departures

# Beginnings of the names of settings that shape the rows; those of counts, splits and pictures shape every row.
OF_COUNTS = ("sequence", "segment", "area_")
OF_PICTURES = (*OF_COUNTS, "percentiles", "side", "validation_percent", "test_percent")
OF_HEADS = ("steps", "batch_size", "learning_rate", "initial_std", "check_")
OF_BASELINES = ("texture_", "svm_", "forest_", "logistic_", "neighbours", "hidden_")
# Settings that shape no row of the report's own protocol: of ours, of the phantoms, of speed.
FREE_SETTINGS = (
    "source", "phantom_", "backbones", "views", "statistics_pictures", "feature_batch", "cache_", "leakfree_", "split_seed",
    "baseline_", "runs",
)  # fmt: skip


def list_departures(row: Row, config: Config, published: Config, weights: str, runs: Collection[int] = PAPER.runs) -> list[str]:
    """What differs from the published settings of a row: "steps = 300 instead of 10000"; weights: as `weights.choose_weights`
    says; runs: those that were trained."""
    trainings = [training for training in list_trainings(config) if training.name in row.needs]
    settings = [*OF_PICTURES]
    for training in trainings:
        settings += [*(OF_HEADS if training.description == HEAD else OF_BASELINES), *_list_own(training)]
    random = any(is_departing(weights, training.backbone) for training in trainings)
    found = list_changes(replace(config, runs=published.runs), published, settings)
    if row.name == MEAN and set(runs) != set(PAPER.runs):
        found.append(f"mean of {len(runs)} run{'s' * (len(runs) != 1)} instead of {len(PAPER.runs)}")
    return found + ["random initial weights instead of ImageNet's"] * random


def _list_own(training: Training) -> list[str]:
    mobile = ["mobilenetv2_side"] if training.backbone == "MobileNetV2" else ["inceptionv3_end"] * bool(training.backbone)
    return mobile + (["crop_margin"] if training.view == "crop" else [])


# ------------------------------------------------------------------------------------------------------- findings in words


def build_checks(config: Config, history: pd.DataFrame) -> dict[str, Check]:
    """How each statement of paper.toml is checked: id -> function of protocol and mean accuracies."""

    def check_plateau(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        if MEAN not in accuracy or protocol != "paper":
            return NOT_RUN, "not a finding of this protocol" if protocol != "paper" else "the runs of Table 6 are missing"
        return judge_plateau(history[history["row"] == name_row(*PRINTED)], config)

    return {"all_above_93": _check_runs, "plateau_1500": check_plateau, "better_than_radiomics": _check_radiomics}


def _check_runs(_protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
    """Every run of Table 6."""
    known = {row: value for row, value in accuracy.items() if row.removeprefix("run ").isdecimal()}
    if not known:
        return NOT_RUN, "the runs of Table 6 are missing"
    lowest = min(known, key=known.__getitem__)
    verdict = "holds" if known[lowest] > LEAST else "does not hold"
    return verdict, f"lowest of {len(known)}: {lowest}, {100 * known[lowest]:.1f} %"


def judge_plateau(curves: pd.DataFrame, config: Config) -> tuple[str, str]:
    """Whether the mean validation accuracy of all runs after PLATEAU steps rises by less than RISE, from the first half of what
    comes after to the second; curves: history of one row."""
    after = curves[curves["epoch"] > PLATEAU]
    if after.empty:
        return NOT_RUN, f"{config.steps} steps: none lies after step {PLATEAU}"
    middle = (PLATEAU + config.steps) / 2
    first, second = (after[side]["val_accuracy"].mean() for side in (after["epoch"] <= middle, after["epoch"] > middle))
    text = f"mean of steps {PLATEAU} to {middle:.0f} {100 * first:.1f} %, of the others {100 * second:.1f} %"
    return ("holds" if second - first < RISE else "does not hold"), text


def _check_radiomics(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
    """Radiomics with either classifier, at the report's split (paper) or with subjects apart (leakfree)."""
    rows = [name_baseline(REPORT if protocol == "paper" else LEAKFREE, name) for name in RADIOMICS]
    known = {row: accuracy[row] for row in rows if row in accuracy}
    if len(known) < len(rows):
        return NOT_RUN, "radiomics with one of the classifiers is missing"
    below = sum(value < ACCURACY for value in known.values())
    text = ", ".join(f"{row} {100 * value:.1f} %" for row, value in known.items())
    return ("holds" if below > len(known) / 2 else "does not hold"), text
