"""From the results of a run to what its figures show: rows and protocols, values, curves, marks, and the end of a caption."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.cli import PROTOCOLS
from common.evaluation.statistics import GRID, average_roc, compute_roc
from common.evaluation.verdicts import OFF_PROTOCOL
from common.figures.curves import RocCurve
from common.figures.intervals import Panel, Value
from common.records.results import Results, RowResult
from common.report.wording import PROTOCOL_NAMES

COLLAPSED = "one class for all cases in at least one seed"
MAJORITY = "always the most frequent class of the test set"


def join_stages(
    stages: Sequence[Mapping[Any, Mapping[str, Sequence[float] | np.ndarray]]],
) -> tuple[dict[Any, dict[str, np.ndarray]], list[int]]:
    """Stages of a training end to end, for `plot_history`: seed -> curves, and the last epoch of each stage.

    stages: for each stage seed -> curves (name -> one value an epoch, as `plot_history` takes them). A stage takes as many
    epochs as its longest run; shorter runs are filled with NaN. A seed may lack a stage.
    """
    joined: dict[Any, dict[str, np.ndarray]] = {seed: {} for stage in stages for seed in stage}
    ends = [0]
    for stage in stages:
        length = max((len(values) for curves in stage.values() for values in curves.values()), default=0)
        for seed, curves in joined.items():
            for name in sorted({name for other in stages for name in other.get(seed, {})}):
                values = np.asarray(stage.get(seed, {}).get(name, ()), dtype=float)
                padded = np.concatenate([values, np.full(length - len(values), np.nan)])
                curves[name] = np.concatenate([curves.get(name, np.empty(0)), padded])
        ends.append(ends[-1] + length)
    return joined, ends[1:]


def find_rows(results: Results, protocol: str) -> dict[str, RowResult]:
    """Row -> its entry in the results of a protocol."""
    return {entry.row: entry for entry in results.rows if entry.protocol == protocol}


def list_protocols(results: Results, rows: Iterable[str]) -> list[str]:
    """Protocols under which at least one of the rows was run."""
    wanted = set(rows)
    return [protocol for protocol in PROTOCOLS if wanted & set(find_rows(results, protocol))]


def is_collapsed(results: Results, row: str, protocol: str) -> bool:
    """Whether the row gave all cases one class in a seed."""
    return any((entry.row, entry.protocol) == (row, protocol) for entry in results.extra.collapsed)


def list_off(results: Results) -> set[str]:
    """Rows that were trained otherwise than published."""
    judged = {claim.row for claim in results.claims if claim.verdict == OFF_PROTOCOL}
    return judged | {row.row for row in results.rows if row.departures}


def mark_off(results: Results, name: str, rows: Iterable[str]) -> str:
    """The name, with a star if any of the rows was trained with other settings."""
    return name + " *" * bool(set(rows) & list_off(results))


def mark_row(results: Results, row: str, protocols: Sequence[str]) -> str:
    """The row's name, with a star if trained with other settings, with a dagger if it collapsed under one of the protocols."""
    return mark_off(results, row, [row]) + " †" * any(is_collapsed(results, row, protocol) for protocol in protocols)


def end_caption(
    results: Results,
    protocols: Sequence[str],
    rows: Sequence[str],
    *,
    positive_class: str,
    mark: str = "Dagger",
    intervals: bool = True,
) -> str:
    """The last sentences of a caption: test cases and seeds, what our intervals are, what the marks of `rows` mean.

    mark: how rows that collapsed to one class are marked; intervals: whether the figure shows intervals. Needs a run on one
    data set; of each protocol at least one of the rows must have been run.
    """
    (dataset,) = results.datasets
    known, sentences = dataset.patients_known is not False, []
    for protocol in protocols:
        entries = [entry for row, entry in find_rows(results, protocol).items() if row in rows]
        patients = f" of {_span(entry.patients or 0 for entry in entries)} patients" if known else ""
        most = max(len(entry.seeds) for entry in entries)
        seeds = f"{_span(len(entry.seeds) for entry in entries)} seed{'s' * (most > 1)}"
        positives = _span(entry.positives for entry in entries)
        cases = f"n = {_span(entry.n for entry in entries)} test cases ({positives} {positive_class}){patients}, {seeds}."
        sentences.append(f"{PROTOCOL_NAMES[protocol].capitalize()}: {cases}")
    if intervals:
        units = "the cases of a patient together" if known else "cases by themselves, as no patients are known"
        sentences.append(f"Our 95 % intervals take {units}.")
    if any(is_collapsed(results, row, protocol) for row in rows for protocol in protocols):
        sentences.append(f"{mark}: {COLLAPSED}.")
    if set(rows) & list_off(results):
        sentences.append("A star marks trainings with other settings than the paper's (see the notes in the tables).")
    return " ".join(sentences)


def _span(numbers: Iterable[int]) -> str:
    """ "96" where the rows agree, else "90 to 96"."""
    known = sorted(set(numbers))
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


def read_accuracy(results: Results, row: str, protocol: str, reference: float | None = None) -> Value | None:
    """Accuracy in percent with its interval, doubtful if the row collapsed; None if it was not run.

    reference: another's value of it in percent.
    """
    if (entry := find_rows(results, protocol).get(row)) is None:
        return None
    accuracy = entry.metrics["accuracy"]
    mean, low, high = (_to_percent(value) for value in (accuracy.mean, accuracy.low, accuracy.high))
    return None if mean is None else Value(mean, low, high, is_collapsed(results, row, protocol), reference)


def _to_percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def build_panel(
    results: Results,
    protocol: str,
    series: Mapping[str, Mapping[str, str]],
    references: Mapping[str, float] | None = None,
) -> Panel:
    """Panel of accuracies in percent under a protocol, with the majority rate of the test set as its level.

    series: name of the series -> group -> row; references: row -> another's accuracy in percent. Rows that were not run are
    left out; at least one must have been run.
    """
    found = {
        name: {group: read_accuracy(results, row, protocol, (references or {}).get(row)) for group, row in rows.items()}
        for name, rows in series.items()
    }
    wanted = {row for rows in series.values() for row in rows.values()}
    entry = next(entry for row, entry in find_rows(results, protocol).items() if row in wanted)
    title = mark_off(results, f"{PROTOCOL_NAMES[protocol]}, n = {entry.n}", wanted)
    known = {name: {group: value for group, value in values.items() if value} for name, values in found.items()}
    level = _to_percent(entry.metrics["majority_rate"].mean)
    return Panel(title, {name: values for name, values in known.items() if values}, level)


def read_curves(history: pd.DataFrame, seed: int, stage: str) -> dict[str, np.ndarray]:
    """Curves of one seed and stage, one value an epoch, for `plot_history`; those that were not recorded are left out."""
    part = history[(history["seed"] == seed) & (history["stage"] == stage)].sort_values("epoch")
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return {name: part[name].to_numpy() for name in names if name in part and part[name].notna().all()}


def list_runs(part: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """(y_true (n,), score of class 1 (n,)) of each seed and fold, as the area is computed: scores of one training are one scale.

    part: predictions of one row and protocol. Folds of one class are left out; where all are, a seed's folds are taken together.
    """
    for keys in (["seed", "fold"], ["seed"]):
        runs = [(of["y_true"].to_numpy(), of["y_score_1"].to_numpy()) for _, of in part.groupby(keys)]
        both = [(y_true, score) for y_true, score in runs if np.unique(y_true).size > 1]
        if both:
            return both
    return runs


def build_roc(results: Results, row: str, protocol: str, runs: Sequence[tuple[np.ndarray, np.ndarray]], name: str) -> RocCurve:
    """ROC of a row, its area and interval as in the results. runs: see `list_runs`; name: in the legend."""
    entry = find_rows(results, protocol)[row]
    area = entry.metrics["auc"]
    heights, mean = average_roc(runs)
    return RocCurve(
        name,
        [compute_roc(*run)[:2] for run in runs],
        (GRID, heights),
        mean if area.mean is None else area.mean,
        None if area.low is None or area.high is None else (area.low, area.high),
        entry.n,
        entry.positives,
    )
