"""Tables of ours: the six metrics of Fig. 3 and what else they hide, operating points, costs, over-fitting, shortcuts,
samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.evaluation.statistics import compute_roc
from common.records.predictions import extract_scores
from common.records.results import OwnColumn, OwnTable, RowResult
from common.runs.cells import Cell, read_record
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.gaps import Gap
from replications.ddsm_inceptionv4.rows import PER_BREAST, PER_PATIENT, SOFTMAX, find_last_block, list_models, name_start
from replications.ddsm_inceptionv4.sample_measures import tabulate_samples
from replications.ddsm_inceptionv4.shortcuts import BIAS, BIASES, DRAWS, Planted

HEXAGON = ("accuracy", "recall", "precision", "F1", "specificity", "AUC")  # Fig. 3, sec. 4.2
POINT = 0.9  # of specificity, or sensitivity, at which the other is read
VANILLA_COST = "scratch"
NOT_LEVELS = (PER_BREAST, PER_PATIENT)


@dataclass(frozen=True)
class Six:
    """The metrics of Fig. 3 of one row, means over the seeds: fractions, NaN where undefined."""

    row: str
    protocol: str
    values: Mapping[str, float]  # HEXAGON, and F0.5, F2
    at_specificity: float  # sensitivity where the specificity is POINT
    at_sensitivity: float  # specificity where the sensitivity is POINT


def summarise_leak(found: Sequence[RowResult], networks: Sequence[str], name: str) -> str:
    """The areas under the curve by split, in one sentence, on every label of the first of `networks` that has both protocols; ""
    where none has. name: of the data set."""
    known = {(row.row, row.protocol): row.metrics["auc"] for row in found}
    for network in networks:
        rows = [row for row, protocol in known if protocol == "paper" and (row, "leakfree") in known]
        rows = [row for row in rows if row == network or (row.startswith(f"{network} / ") and not row.endswith(NOT_LEVELS))]
        if network not in rows:
            continue
        parts = []
        for row in rows:
            areas = [known[row, protocol] for protocol in ("paper", "leakfree")]
            texts = [f"{area.mean:.2f} [{area.low:.2f}, {area.high:.2f}]" for area in areas if area.low is not None]
            if len(texts) == len(areas):
                parts.append(f"{row.removeprefix(network).removeprefix(' / ') or 'image labels'} {' and '.join(texts)}")
        return (
            f"{name}, {network}, AUC with images split at random and with patients kept apart: {'; '.join(parts)}."
            if parts
            else ""
        )
    return ""


def pick_women(predictions: pd.DataFrame, config: Config) -> pd.DataFrame:
    """The rows of networks whose labels are of the woman: all her films bear the same, so that another film of hers tells it."""
    rows = [model.row for model in list_models(config) if model.level == "case"]
    return predictions[predictions["row"].isin(rows)].reset_index(drop=True)


def measure_f(precision: float, recall: float, beta: float) -> float:
    """F-measure (sec. 4.2): (1 + beta^2) P R / (beta^2 P + R); 0 where both are 0.

    >>> round(measure_f(0.5, 1.0, 1), 3), round(measure_f(0.5, 1.0, 2), 3), measure_f(0, 0, 1)
    (0.667, 0.833, 0.0)
    """
    below = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / below if below else 0.0


def read_point(y_true: np.ndarray, score: np.ndarray, *, fixed: str) -> float:
    """The highest sensitivity at a specificity of at least POINT (fixed="specificity"), or the reverse: points of the ROC curve.

    >>> y, score = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.7, 0.6, 0.9])
    >>> read_point(y, score, fixed="specificity"), read_point(y, score, fixed="sensitivity")
    (0.5, 0.75)
    """
    false, true, _ = compute_roc(y_true, score)
    if fixed == "specificity":
        return float(true[false <= 1 - POINT + 1e-12].max())
    return float(1 - false[true >= POINT - 1e-12].min())


def measure_six(predictions: pd.DataFrame, rows: Sequence[RowResult]) -> list[Six]:
    """The six metrics of every row and protocol; AUC as in the tables, operating points of the cases pooled over folds."""
    found = []
    for row in rows:
        part = predictions[(predictions["row"] == row.row) & (predictions["protocol"] == row.protocol)]
        lines, points = [], []
        for _, of_seed in part.groupby("seed"):
            truth, score = of_seed["y_true"].to_numpy(), extract_scores(of_seed)
            answers = score.argmax(axis=1)
            right, called, ill = ((answers == 1) & (truth == 1)).sum(), (answers == 1).sum(), (truth == 1).sum()
            precision, recall = float(right / called) if called else 0.0, float(right / ill) if ill else float("nan")
            healthy = truth == 0
            lines.append(
                {
                    "accuracy": float((answers == truth).mean()),
                    "recall": recall,
                    "precision": precision,
                    "specificity": float((answers[healthy] == 0).mean()) if healthy.any() else float("nan"),
                    **{f"F{beta:g}": measure_f(precision, recall, beta) for beta in (1, 0.5, 2)},
                }
            )
            both = ill and healthy.any()
            points.append([read_point(truth, score[:, 1], fixed=of) if both else np.nan for of in ("specificity", "sensitivity")])
        values = {name: float(np.mean([line[name] for line in lines])) for name in lines[0]}
        auc = row.metrics["auc"].mean
        values["AUC"] = float("nan") if auc is None else auc
        found.append(Six(row.row, row.protocol, values, *map(float, np.mean(points, axis=0))))
    return found


def tabulate_six(found: Sequence[Six]) -> OwnTable:
    """Fig. 3 in numbers, with F0.5 and F2, and two operating points."""
    names = (*HEXAGON[:3], "F0.5", "F1", "F2", *HEXAGON[4:])
    lines = [
        [
            one.row,
            one.protocol,
            *(_percent(one.values[name]) for name in names),
            *map(_percent, (one.at_specificity, one.at_sensitivity)),
        ]
        for one in found
    ]
    columns = [OwnColumn(name=name, kind="text", group="") for name in ("row", "protocol")]
    columns += [OwnColumn(name=name, kind="number", group="%") for name in names]
    points = ("sensitivity at 90 % specificity", "specificity at 90 % sensitivity")
    columns += [OwnColumn(name=name, kind="number", group="%") for name in points]
    note = (
        "Means over the seeds; per patient: the higher of both breasts, which lies above 0.5 more often. Precision counts as 0 "
        "where nothing is called a lesion. The paper describes precision as closeness regardless of accuracy; it is TP / (TP + "
        "FP). Operating points: of the scores pooled over folds, chosen on the test cases, so they say what a threshold could "
        "give, not what one would."
    )
    return OwnTable(title="The six metrics of Fig. 3, and operating points", columns=columns, rows=lines, note=note)


def _percent(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{100 * value:.1f}"


def tabulate_gaps(gaps: Mapping[tuple[str, str], Gap]) -> OwnTable:
    """Over-fitting (sec. 6.3)."""
    lines = []
    for (row, protocol), gap in gaps.items():
        difference = f"{100 * (gap.train - gap.validation):.1f}".replace("-", "−")
        limits = f"[{100 * gap.low:.1f}, {100 * gap.high:.1f}]".replace("-", "−")
        lines.append([row, protocol, str(gap.trainings), _percent(gap.train), _percent(gap.validation), difference, limits])
    kinds = {"row": "text", "protocol": "text", "trainings": "number", "training (%)": "number", "validation (%)": "number",
             "gap (points)": "number", "95 % interval": "number"}  # fmt: skip
    note = (
        "Accuracy of the kept epoch on its own training pictures (the originals) and on the validation pictures, by which the "
        "epoch was chosen: the gap is rather too small than too large. The interval takes the films of a patient together."
    )
    columns = [OwnColumn(name=name, kind=kind, group="") for name, kind in kinds.items()]
    return OwnTable(title="Over-fitting", columns=columns, rows=lines, note=note)


def read_costs(cell: Cell, folder: Path) -> dict[str, dict[str, float]]:
    """What `costs.measure_costs_cell` measured, by the start of the retraining."""
    return read_record(cell, folder / "cells")["outcome"]["costs"]


def name_costs(costs: Mapping[str, Mapping[str, float]], config: Config) -> dict[str, float]:
    """Row of Table 2 -> how many times faster its step is than one from scratch."""
    rows = {start: name_start(start, config) for start in (SOFTMAX, find_last_block(config))}
    scratch = costs.get(VANILLA_COST, {}).get("step_seconds")
    return {row: scratch / costs[start]["step_seconds"] for start, row in rows.items() if scratch and start in costs}


def tabulate_costs(costs: Mapping[str, Mapping[str, float]], finished: Sequence[Cell], folder: Path, config: Config) -> OwnTable:
    """Seconds of an epoch and to the best epoch of every row; and, for Table 2, what a step costs without a cache, and could."""
    steps = {name_start(start, config): of for start, of in costs.items() if start != VANILLA_COST}
    scratch = costs.get(VANILLA_COST)
    if scratch:
        steps["InceptionV4 vanilla"] = scratch
    by_row: dict[str, list[dict]] = {}
    for cell in finished:
        outcome = read_record(cell, folder / "cells")["outcome"]
        if outcome.get("epoch_seconds"):
            by_row.setdefault(cell.settings["row"], []).append(outcome)
    lines = []
    for row, outcomes in by_row.items():
        epoch = float(np.median([of["epoch_seconds"] for of in outcomes]))
        best = float(np.median([of["best_epoch"] for of in outcomes]))
        fill = max(of["fill_seconds"] for of in outcomes)
        step = steps.get(row)
        lines.append(
            [row, f"{epoch:.2f}", f"{best:g}", f"{epoch * best:.1f}", f"{fill:.1f}" if fill else "–",
             f"{step['step_seconds']:.3f}" if step else "–",
             f"{scratch['step_seconds'] / step['step_seconds']:.1f}" if step and scratch else "–",
             f"{3 / (1 + 2 * step['share']):.2f}" if step else "–"]
        )  # fmt: skip
    kinds = {"row": "text", "s an epoch": "number", "epochs to the best": "number", "s to the best": "number",
             "s for the frozen layers, once": "number", "s a step": "number", "times faster than scratch": "number",
             "as operations allow": "number"}  # fmt: skip
    groups = ["", *["as run here, by the feature cache"] * 4, *["all layers in every step, as assumed of the paper"] * 3]
    columns = [OwnColumn(name=name, kind=kind, group=group) for (name, kind), group in zip(kinds.items(), groups, strict=True)]
    forward = f"a forward pass has {scratch['forward']:.2f} x 10^9 multiplications a picture; " if scratch else ""
    note = (
        "Medians over trainings; an epoch includes the scoring of the validation pictures; trainings run side by side. The "
        f"paper: two to three times faster, depending on the layers. As operations allow: {forward}a backward pass counts as "
        "two, so frozen layers save at most 3 / (1 + 2 s), s the share of the operations in retrained layers. A step: one "
        "batch, measured beside the trainings of the run."
    )
    return OwnTable(title="What a training costs", columns=columns, rows=lines, note=note)


def measure_within(predictions: pd.DataFrame, digitisers: Mapping[str, str]) -> float:
    """AUC over the pairs of an ill and a healthy case of the same digitiser, mean over seeds; NaN where there is no such pair.

    digitisers: case id -> digitiser. A score that knows the digitiser alone has 0.5.

    >>> about = {"seed": 0, "fold": -1, "y_true": [1, 0, 1, 0], "y_score_1": [0.9, 0.8, 0.3, 0.2]}
    >>> table = pd.DataFrame({"case_id": list("abcd"), **about})
    >>> measure_within(table, {"a": "DBA", "b": "DBA", "c": "Lumisys", "d": "Lumisys"})
    1.0
    """
    known = predictions.assign(digitiser=predictions["case_id"].map(digitisers))
    found = []
    for _, of_seed in known.groupby("seed"):
        right = pairs = 0.0
        for _, part in of_seed.groupby(["fold", "digitiser"]):
            truth, score = part["y_true"].to_numpy(), part["y_score_1"].to_numpy()
            count = float((truth == 1).sum() * (truth == 0).sum())
            if count:
                right, pairs = right + count * float(compute_roc(truth, score)[2]), pairs + count
        found.append(right / pairs if pairs else float("nan"))
    return float(np.mean(found))


def tabulate_digitisers(predictions: pd.DataFrame, rows: Sequence[RowResult], cases: pd.DataFrame) -> OwnTable:
    """AUC of every row among films of one digitiser, beside its AUC over all; no lines where there is one digitiser."""
    digitisers = dict(zip(cases["case_id"], cases["digitiser"], strict=True))
    lines = []
    for row in rows if cases["digitiser"].nunique() > 1 else ():
        part = predictions[(predictions["row"] == row.row) & (predictions["protocol"] == row.protocol)]
        auc = row.metrics["auc"].mean
        if auc is not None and part["case_id"].isin(digitisers).all():  # rows of images
            within = measure_within(part, digitisers)
            lines.append([row.row, row.protocol, f"{auc:.3f}", "–" if np.isnan(within) else f"{within:.3f}"])
    kinds = {"row": "text", "protocol": "text", "all films": "number", "pairs of one digitiser": "number"}
    groups = ["", "", "AUC", "AUC"]
    columns = [OwnColumn(name=name, kind=kind, group=group) for (name, kind), group in zip(kinds.items(), groups, strict=True)]
    note = (
        "A network that recognises the digitiser rather than the lesion has 0.5 among pairs of one digitiser. The row of "
        "metadata also sees size and grey range, which may differ within one."
    )
    return OwnTable(title="Within one digitiser", columns=columns, rows=lines, note=note)


def tabulate_planted(planted: Sequence[Planted]) -> OwnTable:
    """The table of planted scanners."""
    kinds = list(dict.fromkeys(one.kind for one in planted))
    auc = {(one.kind, one.bias): one.auc for one in planted}
    lines = [[kind, *(f"{auc[kind, bias]:.3f}" for bias in BIASES)] for kind in kinds]
    columns = [OwnColumn(name="pictures", kind="text", group="")]
    columns += [OwnColumn(name=f"{bias} bias", kind="number", group="AUC, test cases with the") for bias in BIASES]
    note = (
        f"A scanner of ours (a grey curve and a white frame) is laid over {BIAS:.0%} of the cases with a lesion and "
        f"{1 - BIAS:.0%} of the others in training; the test cases have it in the same, an even, or the reversed share. A "
        "picture that hides the scanner gives the same AUC in all three. A simple reader of pictures (pixels and histogram, "
        f"logistic regression), mean of {DRAWS} plantings, leak-free."
    )
    return OwnTable(title="A planted scanner", columns=columns, rows=lines, note=note)


def tabulate_all(
    six: Sequence[Six],
    within: OwnTable,
    gaps: Mapping[tuple[str, str], Gap],
    costs: Mapping[str, Mapping[str, float]],
    finished: Sequence[Cell],
    folder: Path,
    config: Config,
    planted: Sequence[Planted],
    sets: Mapping[str, Mapping[str, float]],
    judge: str,
) -> list[OwnTable]:
    """All tables of ours that there is something for."""
    return [
        *([tabulate_six(six)] if six else []),
        *([tabulate_gaps(gaps)] if gaps else []),
        *([tabulate_costs(costs, finished, folder, config)] if gaps else []),
        *([within] if within.rows else []),
        *([tabulate_planted(planted)] if planted else []),
        *([tabulate_samples(sets, judge)] if sets else []),
    ]
