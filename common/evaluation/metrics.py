"""From the predictions table (common.records.predictions) to metrics with intervals and paired comparisons of rows.

The predicted class is the one with the highest score (the first of equals). With two classes, class 1 is positive.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.cli import PROTOCOLS
from common.errors import UsageError
from common.evaluation import statistics
from common.evaluation.areas import Area, estimate_areas
from common.evaluation.bootstrap import confusion_metrics
from common.evaluation.clustered import CLUSTER_T, CLUSTERED_DELONG, DELONG, MCNEMAR, compare_areas, compare_shares
from common.evaluation.confusion import SHARES, estimate_confusion, estimate_positive_mean
from common.evaluation.intervals import INTERVAL, Estimate
from common.evaluation.samples import Sample, count_by_patient, gather_sample, measure_areas
from common.records.predictions import check_predictions, extract_scores
from common.records.results import Metric, Pair, RowResult

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
    `bootstrap.confusion_metrics`, auc, brier (of `bootstrap.prepare_metrics`), and ece, the expected calibration error. The
    cases of all folds of a seed are pooled, but for auc, whose pairs are formed within folds: scores of different trainings
    need not be one scale (the note says what pooling would give). mean and sd (None with one seed) are over the seeds; [low,
    high] is the 95 % interval of the expected value over patients and, with several seeds, trainings. `method` names how it was
    computed, `note` says where it is a bound. A metric that is undefined in a seed (no positive predicted, one class only) is
    None there and in the mean. ece has no interval: its bias in small samples is larger than its spread; with two classes it is
    that of class 1, with more that of the highest score. Raises UsageError for a faulty table and where the seeds of a row
    cover different cases.

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
    part = _select(predictions, row, protocol)
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
    part = _select(predictions, row, protocol)
    classes_given = pd.Series(extract_scores(part).argmax(axis=1)).groupby(part["seed"].to_numpy()).nunique()
    return [int(seed) for seed in classes_given.index[classes_given == 1]]


def compare_rows(predictions: pd.DataFrame, protocol: str, rows: Sequence[str]) -> list[Pair]:
    """Compare every pair of rows on their common cases and common seeds; UsageError if there are none.

    accuracy_difference (a - b) is that of the accuracies averaged over the seeds, auc_difference that of the areas as
    `evaluate` gives them (only with two classes, else None); both fractions. Their intervals and p values know patients and
    seeds (`clustered`; a seed of one row is set against the same seed of the other); accuracy_test and auc_test name the tests.
    McNemar's exact test takes the place of the t test where each patient has one case and there is one seed. only_a, only_b:
    cases that only one row has right, by each case's score averaged over the seeds. A p is None where the difference does not
    vary between the patients; the note says so. *_p_holm: adjusted over all pairs of this call, so call it with the rows of one
    data set.

    CNN has three of four cases right, DBN two; each has one right that the other has wrong, and CNN one more:

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abcd"), "patient_id": list("abcd"), "label": [0, 0, 1, 1]})
    >>> ill = {"CNN": [0.1, 0.2, 0.3, 0.9], "DBN": [0.6, 0.7, 0.8, 0.9]}
    >>> parts = [
    ...     tabulate_scores(cases, np.array([[1 - p, p] for p in scores]), protocol="paper", row=row, seed=0, fold=0)
    ...     for row, scores in ill.items()
    ... ]
    >>> (pair,) = compare_rows(pd.concat(parts), "paper", ["CNN", "DBN"])
    >>> pair.accuracy_difference, pair.only_a, pair.only_b, pair.mcnemar_p
    (0.25, 2, 1, 1.0)
    """
    pairs = [_compare_pair(predictions, protocol, a, b) for a, b in itertools.combinations(rows, 2)]
    mcnemar = _adjust([pair.mcnemar_p for pair in pairs])
    delong = _adjust([pair.delong_p for pair in pairs])
    return [
        pair.model_copy(update={"mcnemar_p_holm": of_mcnemar, "delong_p_holm": of_delong})
        for pair, of_mcnemar, of_delong in zip(pairs, mcnemar, delong, strict=True)
    ]


def _adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjustment over the p values that there are."""
    adjusted = iter(statistics.holm([p for p in p_values if p is not None]))
    return [None if p is None else float(next(adjusted)) for p in p_values]


def _select(predictions: pd.DataFrame, row: str, protocol: str) -> pd.DataFrame:
    part = predictions[(predictions["row"] == row) & (predictions["protocol"] == protocol)]
    if part.empty:
        raise UsageError(f"there are no predictions of row {row!r}, protocol {protocol!r}")
    return part


def _evaluate_row(predictions: pd.DataFrame, row: str, protocol: str) -> RowResult:
    sample = gather_sample(_select(predictions, row, protocol), f"row {row!r}, protocol {protocol!r}")
    counts = count_by_patient(sample)
    areas, note = _choose_areas(sample)
    shown = [1] if counts.shape[-1] == 2 else list(range(counts.shape[-1]))
    squares = ((sample.scores - np.eye(counts.shape[-1])[sample.y_true])[..., shown] ** 2).sum(axis=-1)
    linear = {"auc": np.mean([area.by_seed for area in areas], axis=0)}
    estimates = estimate_confusion(counts) | {"auc": estimate_areas(areas)}
    estimates["brier"] = estimate_positive_mean(np.add.reduceat(squares, sample.starts, axis=-1), counts.sum(axis=(-2, -1)))
    linear |= confusion_metrics(np.moveaxis(counts.sum(axis=1), 0, -1)) | {"brier": squares.mean(axis=-1)}
    metrics = {name: _summarise(name, linear[name], estimates[name]) for name in METRICS if name != "ece"}
    metrics["auc"] = metrics["auc"].model_copy(update={"note": "; ".join(filter(None, (note, metrics["auc"].note)))})
    metrics["ece"] = _summarise("ece", np.array([_calibration_error(sample.y_true, of) for of in sample.scores]), None)
    cases, first = np.unique(sample.case_ids, return_index=True)
    mean, majority = metrics["accuracy"].mean, metrics["majority_rate"].mean
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
    )


def _choose_areas(sample: Sample) -> tuple[list[Area], str]:
    """The areas to report and what is to be said of them: within folds, pooled only where no fold has both classes."""
    areas = measure_areas(sample)
    if not sample.within_folds:
        return areas, ""
    pooled = measure_areas(sample, pooled=True)
    within, over = (float(np.mean([area.by_seed for area in of])) for of in (areas, pooled))
    if np.isnan(within) and not np.isnan(over):
        return pooled, "no fold has cases of both classes: pairs are formed over the folds, whose scores may not be one scale"
    unpaired = sample.y_true.size - int(min((area.positives + area.negatives).sum() for area in areas))
    alone = f"; {unpaired} cases are in folds of one class and in no pair" if unpaired > 0 else ""
    return areas, f"pairs within folds; {over:.3f} if the folds are pooled{alone}"


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
            note = f"{all_or_none} right in every seed: the interval is a bound from the number of patients"
    elif estimate is not None and defined:
        note = "no interval: too few patients, or all alike"
    return Metric(
        mean=float(by_seed.mean()) if defined else None,
        sd=float(by_seed.std(ddof=1)) if defined and by_seed.size > 1 else None,
        by_seed=[None if np.isnan(value) else float(value) for value in by_seed],
        method=method,
        note=note,
        **values,
    )


def _compare_pair(predictions: pd.DataFrame, protocol: str, a: str, b: str) -> Pair:
    place = f"rows {a!r} and {b!r}, protocol {protocol!r}"
    parts = [_select(predictions, row, protocol) for row in (a, b)]
    seeds = sorted(set(parts[0]["seed"]) & set(parts[1]["seed"]))
    if not seeds:
        raise UsageError(f"{place}: no common seed to compare them on")
    scored = [_list_complete(part, seeds) for part in parts]
    common = scored[0].intersection(scored[1])
    if common.empty:
        raise UsageError(f"{place}: no common case to compare them on")
    parts = [part[part["seed"].isin(seeds) & part["case_id"].isin(common)] for part in parts]
    _check_same_cases(parts[0], parts[1], place)
    samples = [gather_sample(part, place) for part in parts]
    correct, score = zip(*(_average_folds(sample) for sample in samples), strict=True)  # (S, cases), (cases, C)
    cases, first = np.unique(samples[0].case_ids, return_index=True)
    cases = cases[np.argsort(first)]  # in the order of the patients
    first = np.sort(first)
    y_true, patients = samples[0].y_true[first], samples[0].patient_ids[first]
    starts = np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]])
    gain = np.add.reduceat(correct[0] - correct[1], starts, axis=-1)
    sizes = np.diff(np.r_[starts, cases.size]).astype(float)
    accuracy = compare_shares(gain, np.broadcast_to(sizes, gain.shape))
    mcnemar = statistics.mcnemar_exact(*(of.argmax(axis=-1) == y_true for of in score))
    exact = samples[0].one_case_each and len(seeds) == 1
    p, test = (mcnemar.p, MCNEMAR) if exact else (float(accuracy.p), CLUSTER_T)
    area = None
    if score[0].shape[1] == 2:
        area = compare_areas(*(_choose_areas(sample)[0][0] for sample in samples))
    classic = samples[0].one_case_each and len(seeds) == 1 and not any(sample.within_folds for sample in samples)
    notes = {"accuracies": p, "areas": 1.0 if area is None or np.isnan(area.difference) else float(area.p)}
    if len(starts) < 2:
        note = "one patient: no test"
    else:
        note = "; ".join(f"the {name} differ alike in all patients: no test" for name, of in notes.items() if np.isnan(of))
    return Pair(
        protocol=protocol,
        row_a=a,
        row_b=b,
        seeds=[int(value) for value in seeds],
        n=len(cases),
        patients=len(starts),
        accuracy_a=float(correct[0].mean()),
        accuracy_b=float(correct[1].mean()),
        accuracy_difference=float(accuracy.difference),
        low=_or_none(accuracy.low),
        high=_or_none(accuracy.high),
        only_a=mcnemar.only_a,
        only_b=mcnemar.only_b,
        mcnemar_p=_or_none(p),
        mcnemar_p_holm=None,
        auc_difference=_or_none(area.difference) if area else None,
        auc_low=_or_none(area.low) if area else None,
        auc_high=_or_none(area.high) if area else None,
        delong_p=_or_none(area.p) if area else None,
        delong_p_holm=None,
        accuracy_test=test if len(starts) > 1 else "",
        auc_test="" if area is None or np.isnan(area.df) else DELONG if classic else CLUSTERED_DELONG,
        note=note,
    )


def _or_none(value: np.ndarray | float) -> float | None:
    return None if np.isnan(value) else float(value)


def _list_complete(part: pd.DataFrame, seeds: Sequence[int]) -> pd.Index:
    """Cases that all the seeds scored."""
    part = part[part["seed"].isin(seeds)].drop_duplicates(["case_id", "seed"])
    count = part.groupby("case_id").size()
    return count.index[count == len(seeds)]


def _check_same_cases(of_a: pd.DataFrame, of_b: pd.DataFrame, place: str) -> None:
    labels = [part.drop_duplicates("case_id").set_index("case_id").sort_index() for part in (of_a, of_b)]
    for name in ("patient_id", "y_true"):
        differs = (labels[0][name] != labels[1][name]).to_numpy()
        if differs.any():
            case = labels[0].index[int(np.argmax(differs))]
            raise UsageError(f"{place}: {name} of case {case!r} differs")


def _average_folds(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Of each case, however often repeated folds scored it: share of right answers (S, cases), mean score (cases, C)."""
    starts = np.flatnonzero(np.r_[True, sample.case_ids[1:] != sample.case_ids[:-1]])
    lines = np.diff(np.r_[starts, sample.case_ids.size])
    correct = np.add.reduceat((sample.y_pred == sample.y_true).astype(float), starts, axis=-1) / lines
    scores = np.add.reduceat(sample.scores, starts, axis=1) / lines[:, None]
    return correct, scores.mean(axis=0)
