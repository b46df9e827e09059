"""Patient-cluster bootstrap: whole patients are drawn with replacement, so cases of one patient stay together.

A resample is a weight for every case: how often its patient was drawn. Metrics of many resamples then are matrix
products and cumulative sums over the weights, and no case is ever copied. Weights are whole numbers in float64, so the
counts behind every metric are exact and equal those of a loop over resampled cases to the last bit.

Efron B, Tibshirani RJ. An Introduction to the Bootstrap. 1993; clusters: Davison AC, Hinkley DV. Bootstrap Methods and
their Application. 1997, section 3.8.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

BLOCK_WEIGHTS = 2**20  # weights held at once (8 MiB), whatever the number of cases and resamples

Statistic = Callable[[np.ndarray], np.ndarray]  # weights (n, b) -> values (..., b)


def cluster_bootstrap(
    patient_ids: ArrayLike, statistic: Statistic, resamples: int = 2000, seed: int = 0, block: int | None = None
) -> np.ndarray:
    """Values of a statistic in resamples of patients: (..., resamples).

    patient_ids (n,), one per case. `statistic` takes weights (n, b) float64, whole numbers >= 0, one column per
    resample, and returns (..., b). Resample r draws as many patients as there are: the entries of
    `numpy.random.default_rng(seed).integers(P, size=(resamples, P))[r]` in the sorted list of the P patients.
    `block`: resamples computed at once; it bounds the memory and does not change which patients are drawn. All values
    are NaN if there is only one patient: it says nothing about the spread between patients.
    """
    patients, patient_of_case = np.unique(np.asarray(patient_ids), return_inverse=True)
    if patients.size == 0 or resamples < 1:
        raise ValueError("at least one case and one resample are needed")
    block = block or max(1, BLOCK_WEIGHTS // patient_of_case.size)
    generator = np.random.default_rng(seed)
    values = []
    for start in range(0, resamples, block):
        columns = min(block, resamples - start)
        drawn = generator.integers(patients.size, size=(columns, patients.size))
        flat = drawn * columns + np.arange(columns)[:, None]
        counts = np.bincount(flat.ravel(), minlength=patients.size * columns).reshape(patients.size, columns)
        values.append(statistic(counts.astype(np.float64)[patient_of_case]))
    joined = np.concatenate(values, axis=-1)
    return joined if patients.size > 1 else np.full_like(joined, np.nan)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval of bootstrap values (resamples,); None if more than 5 % of them are undefined (NaN).

    A metric may be undefined in a resample (no positive case drawn); such resamples are left out, but an interval that
    would rest on a selection of them is not given.
    """
    defined = values[~np.isnan(values)]
    if defined.size < 0.95 * values.size:
        return None
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def prepare_confusion(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> Statistic:
    """Statistic: weighted confusion matrices (classes, classes, b), truth in rows, of labels (n,) and (n,)."""
    cell = y_true * classes + y_pred
    indicator = (np.arange(classes * classes)[:, None] == cell).astype(np.float64)

    def count(weights: np.ndarray) -> np.ndarray:
        return (indicator @ weights).reshape(classes, classes, weights.shape[1])

    return count


def prepare_auc(y_true: np.ndarray, score: np.ndarray) -> Statistic:
    """Statistic: weighted area under the ROC curve (b,), ties one half, NaN where a class has no weight.

    y_true (n,) bool or 0/1, score (n,). Sorts once; a resample costs one cumulative sum over the negative cases.
    """
    positive = np.flatnonzero(np.asarray(y_true) == 1)
    negative = np.flatnonzero(np.asarray(y_true) == 0)
    positive = positive[np.argsort(score[positive], kind="stable")]
    negative = negative[np.argsort(score[negative], kind="stable")]
    below = np.searchsorted(score[negative], score[positive], side="left")
    not_above = np.searchsorted(score[negative], score[positive], side="right")

    def compute(weights: np.ndarray) -> np.ndarray:
        cumulative = np.zeros((negative.size + 1, weights.shape[1]))
        np.cumsum(weights[negative], axis=0, out=cumulative[1:])
        of_positive = weights[positive]
        half_wins = np.einsum("ib,ib->b", of_positive, cumulative[below] + cumulative[not_above])
        return _divide(half_wins / 2, of_positive.sum(axis=0) * cumulative[-1])

    return compute


def prepare_mean(values: np.ndarray) -> Statistic:
    """Statistic: weighted mean (b,) of one value per case (n,)."""
    return lambda weights: values @ weights / weights.sum(axis=0)


def prepare_metrics(y_true: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> Statistic:
    """Statistic: the named metrics (len(names), b) of labels (n,) int and class scores (n, C).

    Names: those of `confusion_metrics` for the class with the highest score (the first of equals), auc and brier. Two
    classes: auc and brier of class 1; more: mean of the one-versus-rest areas, Brier terms summed over the classes.
    """
    classes = scores.shape[1]
    scored = [1] if classes == 2 else list(range(classes))
    count = prepare_confusion(y_true, scores.argmax(axis=1), classes)
    areas = [prepare_auc(y_true == c, scores[:, c]) for c in scored]
    brier = prepare_mean(((scores - np.eye(classes)[y_true])[:, scored] ** 2).sum(axis=1))

    def compute(weights: np.ndarray) -> np.ndarray:
        found = confusion_metrics(count(weights))
        found["auc"] = np.mean([area(weights) for area in areas], axis=0)
        found["brier"] = brier(weights)
        return np.stack([found[name] for name in names])

    return compute


def confusion_metrics(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of confusion matrices (C, C, ...), truth in rows: name -> (...), NaN where undefined.

    Two classes: sensitivity, specificity, precision and F1 of class 1. More: macro means over the classes, each against
    the rest, undefined as soon as one class is. MCC is Gorodkin's R_K, which for two classes is Matthews' coefficient
    (Gorodkin J. Comput Biol Chem 2004;28:367-374). majority_rate: the accuracy of always giving the commonest class.
    """
    total = confusion.sum(axis=(0, 1))
    truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    right = np.stack([confusion[c, c] for c in range(confusion.shape[0])])
    per_class = {
        "sensitivity": _divide(right, truth),
        "specificity": _divide(total - truth - predicted + right, total - truth),
        "precision": _divide(right, predicted),
        "f1": _divide(2 * right, truth + predicted),
    }
    hits = right.sum(axis=0)
    covariance = hits * total - (truth * predicted).sum(axis=0)
    spread = np.sqrt((total**2 - (truth**2).sum(axis=0)) * (total**2 - (predicted**2).sum(axis=0)))
    summary = {name: of[1] if len(of) == 2 else of.mean(axis=0) for name, of in per_class.items()}
    return summary | {
        "accuracy": _divide(hits, total),
        "mcc": _divide(covariance, spread),
        "majority_rate": _divide(truth.max(axis=0), total),
    }


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is 0."""
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator != 0)
