"""Tables of ours: leak-free metrics of subjects, what each mode leaves on both sides, the learning rates chosen."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from common.evaluation.agreement import estimate_agreement
from common.evaluation.areas import estimate_areas
from common.evaluation.confusion import estimate_confusion
from common.evaluation.intervals import Estimate
from common.evaluation.resampled import Resampled, compare_resampled
from common.evaluation.samples import choose_areas, count_by_patient, gather_sample, select_row
from common.evaluation.unmarked import summarise_unmarked, tabulate_unmarked
from common.records.predictions import extract_scores
from common.records.results import OwnColumn, OwnTable
from common.runs.cells import Cell, read_record
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.decomposition import count_right, find_majority
from replications.glioma_inceptionv3.plans import HEAD, Datasets, Divided
from replications.glioma_inceptionv3.rows import LEAKFREE, SHUFFLED, list_modes, name_row, name_subjects
from replications.glioma_inceptionv3.splits import count_leaks


def measure_row(predictions: pd.DataFrame, row: str) -> dict[str, Estimate]:
    """Leak-free metrics of a row, of slices or of subjects (`derived.average_subjects`), with intervals over the subjects:
    accuracy, balanced accuracy, weighted kappa, macro AUC (of one class of two, its AUC)."""
    sample = gather_sample(select_row(predictions, row, "leakfree"), f"row {row!r}")
    counts = count_by_patient(sample)
    areas = {"macro AUC": estimate_areas(choose_areas(sample)[0])}
    return {"accuracy": estimate_confusion(counts)["accuracy"]} | estimate_agreement(counts) | areas


def measure_cuts(predictions: pd.DataFrame, row: str, classes: Sequence[str]) -> dict[str, Estimate]:
    """AUC of each cut between the grades: "II against III, IV" and "II, III against IV", by the sum of the higher grades'
    probabilities; of two grades there is one cut, which is the AUC itself, so {}."""
    if len(classes) < 3:
        return {}
    part, found = select_row(predictions, row, "leakfree"), {}
    scores = extract_scores(part)
    keys = part[[name for name in part.columns if not name.startswith("y_score_")]]
    for cut in range(1, len(classes)):
        high = np.clip(scores[:, cut:].sum(axis=1), 0, 1)
        table = keys.assign(y_true=(part["y_true"] >= cut).astype(int), y_score_0=1 - high, y_score_1=high)
        sample = gather_sample(table, f"row {row!r}")
        found[f"{', '.join(classes[:cut])} against {', '.join(classes[cut:])}"] = estimate_areas(choose_areas(sample)[0])
    return found


def compare_folds(predictions: pd.DataFrame, row: str, test_share: float) -> Resampled:
    """Accuracy of a leak-free row minus that of the grade that is most frequent in the whole row, over the folds of all repeats
    (Nadeau and Bengio). Not in each fold, which nobody knows beforehand.

    test_share: test cases over training cases.
    """
    part = select_row(predictions, row, "leakfree")
    subjects = np.unique(part["patient_id"])
    gains, majority = [], find_majority(part)
    for _, of_fold in part.groupby(["seed", "fold"]):
        (right, cases), (often, _) = (count_right(of_fold, subjects, given=given) for given in (None, majority))
        gains.append(float((right.sum() - often.sum()) / cases.sum()))
    return compare_resampled(gains, test_share)


def tabulate_subjects(predictions: pd.DataFrame, config: Config, classes: Sequence[str]) -> OwnTable:
    """Leak-free metrics by slice and by subject of every backbone and view, true and shuffled grades."""
    share = 1 / max(config.leakfree_folds - 2, 1)
    lines, names = [], []
    for backbone, view, shuffled in product(config.backbones, config.views, (False, True)):
        of_slices = name_row(LEAKFREE, backbone, view, shuffled=shuffled)
        for level, row in (("slice", of_slices), ("subject", name_subjects(of_slices))):
            if not (predictions["row"] == row).any():
                continue
            measured = measure_row(predictions, row) | measure_cuts(predictions, row, classes)
            names = list(measured)
            gain = compare_folds(predictions, row, share)
            shown = [_show(name, found) for name, found in measured.items()]
            of_gain = f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}], p = {gain.p:.2g}"
            lines.append([backbone, view, SHUFFLED if shuffled else "true", level, *shown, of_gain])
    heads = [*names, "above the most frequent grade (points)"]
    columns = [OwnColumn(name=name, kind="text", group="") for name in ("backbone", "view", "grades", "level")]
    columns += [OwnColumn(name=name + " (%)" * ("accuracy" in name), kind="number", group="leak-free") for name in heads]
    repeats = predictions.loc[predictions["protocol"] == "leakfree", "seed"].nunique()
    note = (
        f"A subject's probability is the mean of its slices'; {config.leakfree_folds} folds, {repeats} "
        f"repeat{'s' * (repeats != 1)}. Kappa: quadratic weights. AUC: pairs within folds. Intervals over the subjects; last "
        "column: t test over the folds, corrected for the training cases that they share (Nadeau and Bengio 2003), where the "
        "decomposition has intervals over the subjects."
    )
    return OwnTable(title="Leak-free, by slice and by subject", columns=columns, rows=lines, note=note)


def _show(name: str, found: Estimate) -> str:
    if np.isnan(found.mean):
        return "–"
    scale, digits = (100, 1) if "accuracy" in name else (1, 3)
    mean, low, high = (f"{scale * float(value):.{digits}f}" for value in (found.mean, found.low, found.high))
    return mean if low == "nan" else f"{mean} [{low}, {high}]"


def tabulate_leaks(divided: Divided, datasets: Datasets, config: Config) -> OwnTable:
    """What every mode leaves on both sides, over all runs of the settings."""
    lines = []
    for view in config.views:
        pairs = datasets[view].info.get("near_duplicates", ())
        for mode in list_modes():
            entries, folds = divided[mode, view, False]
            found = count_leaks(entries.cases, [fold for of_seed in folds.values() for fold in of_seed], pairs)
            shares = [f"{100 * found[name]:.1f}" for name in ("same picture", "near-duplicate", "same subject")]
            lines.append([view, mode, str(len(entries.cases)), f"{found['test entries']:.1f}", *shares])
    kinds = {"view": "text", "mode": "text", "entries of the list": "number", "test entries, mean": "number"}
    columns = [OwnColumn(name=name, kind=kind, group="") for name, kind in kinds.items()]
    group = "share of the test entries that have in training (%)"
    columns += [
        OwnColumn(name=name, kind="number", group=group) for name in ("the same picture", "a near-duplicate", "the subject")
    ]
    note = (
        "Of the validation entries it is alike. Near-duplicates are other files, looked for on whole slices. A list that names "
        "every file twice tests twice as many entries as files."
    )
    return OwnTable(title="What each mode leaves on both sides", columns=columns, rows=lines, note=note)


def tabulate_rates(finished: Sequence[Cell], folder: Path, config: Config) -> OwnTable:
    """How often each learning rate of the grid was chosen on validation subjects."""
    chosen: dict[str, Counter] = {}
    for cell in finished:
        if cell.settings.get("description") == HEAD and cell.settings["mode"] == LEAKFREE:
            rate = read_record(cell, folder / "cells")["outcome"]["rate"]
            chosen.setdefault(cell.settings["row"], Counter())[rate] += 1
    grid = config.leakfree_rates
    lines = [[row, *(str(counts[rate]) for rate in grid)] for row, counts in chosen.items()]
    columns = [OwnColumn(name="row", kind="text", group="")]
    columns += [OwnColumn(name=f"{rate:g}", kind="number", group="trainings that chose the learning rate") for rate in grid]
    total = sum(sum(counts.values()) for counts in chosen.values())
    low, high = (sum(counts[rate] for counts in chosen.values()) for rate in (min(grid), max(grid)))
    note = (
        f"By the lowest cross-entropy on the validation subjects. At the lower edge of the grid: {low} of {total}, at the upper "
        f"{high}. Where the pictures say nothing of the grade, the best rate is the one that learns least."
    )
    return OwnTable(title="Learning rates of the leak-free mode", columns=columns, rows=lines, note=note)


def tabulate_recalled(predictions: pd.DataFrame, unmarked: Collection[str], config: Config) -> list[OwnTable]:
    """What each mode gets right of the phantoms whose tumours show nothing of the grade (see `tabulate_unmarked`): the last layer
    on each backbone and view, with the true grades. No table where there are none."""
    return tabulate_unmarked(_pick_heads(predictions, config), unmarked)


def summarise_recalled(predictions: pd.DataFrame, unmarked: Collection[str], config: Config) -> str:
    """The same in words (see `summarise_unmarked`); "" where there are none."""
    return summarise_unmarked(_pick_heads(predictions, config), unmarked)


def _pick_heads(predictions: pd.DataFrame, config: Config) -> pd.DataFrame:
    heads = [name_row(*setup) for setup in product(list_modes(), config.backbones, config.views)]
    return predictions[predictions["row"].isin(heads)].reset_index(drop=True)
