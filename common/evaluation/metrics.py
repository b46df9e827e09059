"""From the predictions table (common.records.predictions) to metrics with intervals.

The predicted class is the one with the highest score (the first of equals). With two classes, class 1 is positive.
"""

import numpy as np
import pandas as pd

from common.cli import PROTOCOLS
from common.errors import UsageError
from common.evaluation import statistics
from common.evaluation.areas import estimate_areas
from common.evaluation.confusion import SHARES, confusion_metrics, estimate_confusion, estimate_positive_mean
from common.evaluation.intervals import INTERVAL, Estimate
from common.evaluation.samples import choose_areas, count_by_patient, gather_sample, select_row
from common.records.predictions import check_predictions, extract_scores
from common.records.results import Metric, RowResult

METRICS = ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "auc", "majority_rate", "brier", "ece")
NO_METHOD = "none"
METHODS = {  # metric -> (of its interval, of the bound where the mean is 0 or 1); docs/statistics.md
    **dict.fromkeys(SHARES, ("logit and Wilson, t over patients", "Wilson over patients")),
    "mcc": ("Fisher's z, t over patients", "MCC at Wilson's limit over patients"),
    "auc": ("Hanley-McNeil score and logit, clustered DeLong variance", "Hanley-McNeil score over patients"),
    "brier": ("logarithm, t over patients", NO_METHOD),
}


def evaluate(predictions: pd.DataFrame) -> list[RowResult]:
    """Metrics of every row and protocol, sorted by protocol and row.

    predictions: the table of common.records.predictions. METRICS names the metrics, all as fractions: those of
    `confusion_metrics`, auc, brier (the mean squared distance between score and label: with two classes of class 1 only, with
    more summed over the classes), and ece, the expected calibration error. The cases of all folds of a seed are pooled, but for
    auc, whose pairs are formed within folds: scores of different trainings need not be one scale (the note says what pooling
    would give). mean and sd (None with one seed) are over the seeds; [low, high] is the 95 % interval of the expected value
    over patients and, with several seeds, trainings. `method` names how it was computed, `note` says where it is a bound. A
    metric that is undefined in a seed (no positive predicted, one class only) is None there and in the mean. Seeds that drew a
    split each may cover different cases (`samples.gather_sample`). ece has no interval: its bias in small samples is larger
    than its spread; with two classes it is that of class 1, with more that of the highest score. Raises UsageError for a faulty
    table and where a part of a row is missing.

    Four patients, of whom one healthy one is taken for ill:

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abcd"), "patient_id": list("abcd"), "label": [0, 0, 1, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9]])
    >>> (row,) = evaluate(tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=0))
    >>> [row.metrics[name].mean for name in ("accuracy", "sensitivity", "specificity", "auc")], row.n, row.below_majority
    ([0.75, 1.0, 0.5, 1.0], 4, False)
    """
    check_predictions(predictions, "predictions")
    found: set[tuple[str, str]] = set(zip(predictions["protocol"], predictions["row"], strict=True))
    ordered = sorted(found, key=lambda pair: (PROTOCOLS.index(pair[0]), pair[1]))
    return [_evaluate_row(predictions, row, protocol) for protocol, row in ordered]


def count_confusion(predictions: pd.DataFrame, row: str, protocol: str, seed: int | None = None) -> np.ndarray:
    """Confusion matrix (C, C) int64, truth in rows, summed over the folds and over the seeds unless one is given.

    Raises UsageError where there are no such predictions.

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abc"), "patient_id": list("abc"), "label": [0, 0, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> count_confusion(tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=0), "CNN", "paper").tolist()
    [[1, 1], [0, 1]]
    """
    part = select_row(predictions, row, protocol)
    if seed is not None:
        part = part[part["seed"] == seed]
        if part.empty:
            raise UsageError(f"row {row!r}, protocol {protocol!r}: there are no predictions of seed {seed}")
    scores = extract_scores(part)
    matrix = np.zeros((scores.shape[1], scores.shape[1]), np.int64)
    np.add.at(matrix, (part["y_true"].to_numpy(), scores.argmax(axis=1)), 1)
    return matrix


def list_collapsed_seeds(predictions: pd.DataFrame, row: str, protocol: str) -> list[int]:
    """Seeds in which every case of the row was given one and the same class: the network has learnt nothing.

    Raises UsageError where there are no such predictions.

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("ab"), "patient_id": list("ab"), "label": [0, 1]})
    >>> constant, varied = np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([[0.7, 0.3], [0.4, 0.6]])
    >>> parts = [
    ...     tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=seed, fold=0)
    ...     for seed, scores in enumerate([varied, constant])
    ... ]
    >>> list_collapsed_seeds(pd.concat(parts), "CNN", "paper")
    [1]
    """
    part = select_row(predictions, row, protocol)
    classes_given = pd.Series(extract_scores(part).argmax(axis=1)).groupby(part["seed"].to_numpy()).nunique()
    return [int(seed) for seed in classes_given.index[classes_given == 1]]


def _evaluate_row(predictions: pd.DataFrame, row: str, protocol: str) -> RowResult:
    sample = gather_sample(select_row(predictions, row, protocol), f"row {row!r}, protocol {protocol!r}")
    counts = count_by_patient(sample)
    areas, note = choose_areas(sample)
    shown = [1] if counts.shape[-1] == 2 else list(range(counts.shape[-1]))
    squares = ((sample.scores - np.eye(counts.shape[-1])[sample.y_true])[..., shown] ** 2).sum(axis=-1) * sample.present
    linear = {"auc": np.mean([area.by_seed for area in areas], axis=0)}
    estimates = estimate_confusion(counts) | {"auc": estimate_areas(areas)}
    ceiling = 1 if len(shown) == 1 else 2  # of a case's sum of squares
    squares_of_patient = np.add.reduceat(squares, sample.starts, axis=-1)
    estimates["brier"] = estimate_positive_mean(squares_of_patient, counts.sum(axis=(-2, -1)), ceiling)
    linear |= confusion_metrics(np.moveaxis(counts.sum(axis=1), 0, -1)) | {
        "brier": squares.sum(axis=-1) / sample.present.sum(axis=-1)
    }
    metrics = {name: _summarise(name, linear[name], estimates[name]) for name in METRICS if name != "ece"}
    metrics["auc"] = metrics["auc"].model_copy(update={"note": "; ".join(filter(None, (note, metrics["auc"].note)))})
    metrics["ece"] = _summarise(
        "ece",
        np.array([_calibration_error(sample.y_true[at], of[at]) for of, at in zip(sample.scores, sample.present, strict=True)]),
        None,
    )
    cases, first = np.unique(sample.case_ids, return_index=True)
    mean, majority = metrics["accuracy"].mean, metrics["majority_rate"].mean
    tested = [[int(at.sum()), int((at & (sample.y_true == 1)).sum())] for at in sample.present]
    return RowResult(
        row=row,
        protocol=protocol,
        n=len(cases),
        patients=len(sample.starts),
        positives=int((sample.y_true[first] == 1).sum()),
        seeds=sample.seeds,
        # A mean of equal rates may differ from them in the last bit.
        below_majority=mean is not None and majority is not None and mean - majority <= 1e-12,
        metrics=metrics,
        tested_by_seed=[] if all(count == len(cases) for count, _ in tested) else tested,
    )


def _calibration_error(y_true: np.ndarray, scores: np.ndarray) -> float:
    """ECE of class 1 (two classes), else of the highest score as the probability of being right."""
    if scores.shape[1] == 2:
        return statistics.expected_calibration_error(y_true, scores[:, 1])
    return statistics.expected_calibration_error(scores.argmax(axis=1) == y_true, scores.max(axis=1))


def _summarise(name: str, by_seed: np.ndarray, estimate: Estimate | None) -> Metric:
    defined = not np.isnan(by_seed).any()
    values: dict[str, float | None] = dict.fromkeys(INTERVAL)
    method, note = NO_METHOD, ""
    if estimate is not None and defined and not np.isnan(estimate.low):
        values = {key: float(getattr(estimate, key)) for key in values}
        method = METHODS[name][int(estimate.at_limit)]
        if estimate.at_limit:
            all_or_none = "none" if by_seed.mean() < 0.5 else "all"
            of = f"{all_or_none} right in every seed" if name != "majority_rate" else "all cases are of one class"
            note = f"{of}: the interval is a bound from the number of patients"
        elif estimate.alike:
            note = "no spread between the patients is seen: each counts as one case"
    elif estimate is not None and defined:
        note = "no interval: all patients are alike" if estimate.alike else "no interval: too few patients, or all alike"
    return Metric(
        mean=float(by_seed.mean()) if defined else None,
        sd=float(by_seed.std(ddof=1)) if defined and by_seed.size > 1 else None,
        by_seed=[None if np.isnan(value) else float(value) for value in by_seed],
        method=method,
        note=note,
        **values,
    )
