"""From the predictions table (common.records.predictions) to metrics with intervals and paired comparisons of rows.

The predicted class is the one with the highest score (the first of equals). With two classes, class 1 is positive.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.cli import PROTOCOLS
from common.errors import UsageError
from common.evaluation import bootstrap, statistics
from common.records.predictions import check_predictions, extract_scores
from common.records.results import Metric, Pair, RowResult

RESAMPLED = ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "auc", "majority_rate", "brier")
METRICS = (*RESAMPLED, "ece")


def evaluate(predictions: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> list[RowResult]:
    """Metrics of every row and protocol, sorted by protocol and row.

    predictions: the table of common.records.predictions; resamples, seed: of the bootstrap. METRICS names the metrics, all as
    fractions: those of `bootstrap.prepare_metrics`, and ece, the expected calibration error. The cases of all folds of a seed
    are pooled. mean and sd (None with one seed) are over the seeds; [low, high] is the 95 % percentile interval of the mean over
    the seeds in a patient-cluster bootstrap, the same resample for all seeds. A metric that is undefined in a seed (no positive
    predicted, one class only) is None there and in the mean. ece has no interval: its bias grows in resamples; with two classes
    it is that of class 1, with more that of the highest score. Raises UsageError for a faulty table and where the seeds of a row
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
    return [_evaluate_row(predictions, row, protocol, resamples, seed) for protocol, row in ordered]


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


def compare_rows(
    predictions: pd.DataFrame, protocol: str, rows: Sequence[str], *, resamples: int = 2000, seed: int = 0
) -> list[Pair]:
    """Compare every pair of rows on their common cases and common seeds; UsageError if there are none.

    accuracy_difference (a - b) is that of the accuracies averaged over the seeds, a fraction, [low, high] its 95 %
    patient-cluster bootstrap interval. The tests of McNemar and DeLong (see `statistics`) need one classifier a row: they take
    each case's score averaged over the seeds, so that seeds do not count as further cases; auc_difference and its interval
    belong to that score (only with two classes, else None). Both treat cases as independent: where patients have several cases,
    the bootstrap interval is the one to believe. *_p_holm: adjusted over all pairs of this call, so call it with the rows of one
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
    pairs = [_compare_pair(predictions, protocol, a, b, resamples, seed) for a, b in itertools.combinations(rows, 2)]
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


def _evaluate_row(predictions: pd.DataFrame, row: str, protocol: str, resamples: int, seed: int) -> RowResult:
    part = _select(predictions, row, protocol).sort_values(["seed", "case_id", "fold"], kind="stable")
    seeds = [int(value) for value in part["seed"].unique()]
    of_seed = [part[part["seed"] == value] for value in seeds]
    first = of_seed[0]
    for value, other in zip(seeds, of_seed, strict=True):
        if list(other["case_id"]) != list(first["case_id"]):
            raise UsageError(
                f"row {row!r}, protocol {protocol!r}: seeds {seeds[0]} and {value} cover different cases; "
                "finish the missing cells or leave the seed out"
            )
    y_true = first["y_true"].to_numpy()
    scores = [extract_scores(seed_part) for seed_part in of_seed]
    prepared = [bootstrap.prepare_metrics(y_true, of, RESAMPLED) for of in scores]

    def compute(weights: np.ndarray) -> np.ndarray:
        return np.stack([statistic(weights) for statistic in prepared])  # (seeds, metrics, b)

    by_seed = compute(np.ones((y_true.size, 1)))[..., 0]
    resampled = bootstrap.cluster_bootstrap(first["patient_id"], lambda weights: compute(weights).mean(axis=0), resamples, seed)
    metrics = {name: _summarise(by_seed[:, i], bootstrap.percentile_interval(resampled[i])) for i, name in enumerate(RESAMPLED)}
    metrics["ece"] = _summarise(np.array([_calibration_error(y_true, of) for of in scores]), None)
    cases = first.drop_duplicates("case_id")
    mean, majority = metrics["accuracy"].mean, metrics["majority_rate"].mean
    return RowResult(
        row=row,
        protocol=protocol,
        n=len(cases),
        patients=int(cases["patient_id"].nunique()),
        positives=int((cases["y_true"] == 1).sum()),
        seeds=seeds,
        # A mean of equal rates may differ from them in the last bit.
        below_majority=mean is not None and majority is not None and mean - majority <= 1e-12,
        metrics=metrics,
    )


def _calibration_error(y_true: np.ndarray, scores: np.ndarray) -> float:
    """ECE of class 1 (two classes), else of the highest score as the probability of being right."""
    if scores.shape[1] == 2:
        return statistics.expected_calibration_error(y_true, scores[:, 1])
    return statistics.expected_calibration_error(scores.argmax(axis=1) == y_true, scores.max(axis=1))


def _summarise(by_seed: np.ndarray, interval: tuple[float, float] | None) -> Metric:
    defined = not np.isnan(by_seed).any()
    low, high = interval if defined and interval else (None, None)
    return Metric(
        mean=float(by_seed.mean()) if defined else None,
        sd=float(by_seed.std(ddof=1)) if defined and by_seed.size > 1 else None,
        low=low,
        high=high,
        by_seed=[None if np.isnan(value) else float(value) for value in by_seed],
    )


def _compare_pair(predictions: pd.DataFrame, protocol: str, a: str, b: str, resamples: int, seed: int) -> Pair:
    parts = [_select(predictions, row, protocol) for row in (a, b)]
    seeds = sorted(set(parts[0]["seed"]) & set(parts[1]["seed"]))
    if not seeds:
        raise UsageError(f"rows {a!r} and {b!r}, protocol {protocol!r}: no common seed to compare them on")
    of_a, of_b = (_average_cases(part, seeds) for part in parts)
    common = of_a.index.intersection(of_b.index).sort_values()
    if common.empty:
        raise UsageError(f"rows {a!r} and {b!r}, protocol {protocol!r}: no common case to compare them on")
    of_a, of_b = of_a.loc[common], of_b.loc[common]
    for name in ("patient_id", "y_true"):
        if (of_a[name] != of_b[name]).any():
            case = common[int(np.argmax((of_a[name] != of_b[name]).to_numpy()))]
            raise UsageError(f"rows {a!r} and {b!r}, protocol {protocol!r}: {name} of case {case!r} differs")
    y_true = of_a["y_true"].to_numpy()
    score_a, score_b = extract_scores(of_a), extract_scores(of_b)
    gain = (of_a["correct"] - of_b["correct"]).to_numpy()
    interval = bootstrap.percentile_interval(
        bootstrap.cluster_bootstrap(of_a["patient_id"], bootstrap.prepare_mean(gain), resamples, seed)
    )
    mcnemar = statistics.mcnemar_exact(score_a.argmax(axis=1) == y_true, score_b.argmax(axis=1) == y_true)
    two_classes = score_a.shape[1] == 2 and np.bincount(y_true, minlength=2).min() >= 2
    delong = statistics.delong_test(y_true, score_a[:, 1], score_b[:, 1]) if two_classes else None
    return Pair(
        protocol=protocol,
        row_a=a,
        row_b=b,
        seeds=[int(value) for value in seeds],
        n=len(common),
        patients=int(of_a["patient_id"].nunique()),
        accuracy_a=float(of_a["correct"].mean()),
        accuracy_b=float(of_b["correct"].mean()),
        accuracy_difference=float(gain.mean()),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        only_a=mcnemar.only_a,
        only_b=mcnemar.only_b,
        mcnemar_p=mcnemar.p,
        mcnemar_p_holm=None,
        auc_difference=delong.difference if delong else None,
        auc_low=delong.low if delong else None,
        auc_high=delong.high if delong else None,
        delong_p=delong.p if delong else None,
        delong_p_holm=None,
    )


def _average_cases(part: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """One line per case that all the seeds scored: patient_id, y_true, share of correct answers, mean scores."""
    part = part[part["seed"].isin(seeds)]
    part = part.assign(correct=(extract_scores(part).argmax(axis=1) == part["y_true"]).astype(float))
    score_names = [name for name in part.columns if name.startswith("y_score_")]
    # Seeds weigh alike, however often a seed's repeated folds scored the case.
    per_seed = part.groupby(["case_id", "seed"])[["correct", *score_names]].mean()
    averaged = per_seed.groupby("case_id").mean()[per_seed.groupby("case_id").size() == len(seeds)]
    labels = part.drop_duplicates("case_id").set_index("case_id")[["patient_id", "y_true"]]
    return labels.loc[averaged.index].join(averaged)
