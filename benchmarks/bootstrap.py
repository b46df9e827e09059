"""Patient-cluster bootstrap: whole patients are drawn with replacement, so cases of one patient stay together.

A resample is a weight for every case: how often its patient was drawn. Metrics of many resamples then are matrix
products and cumulative sums over the weights, and no case is ever copied. Weights are whole numbers in float64, so the
counts behind every metric are exact and equal those of a loop over resampled cases to the last bit.

A `Statistic` takes weights (n, b) float64, one column per resample, and returns values (..., b); `prepare_*` build them from
labels and scores. Weights of 1 for every case give the value in the sample itself.

The intervals of a report are those of common.evaluation.intervals: percentile intervals cover too little on tens of patients, and
leave out how the trainings vary (`benchmarks/coverage.py` measures it). So the product does not use them.

Efron B, Tibshirani RJ. An Introduction to the Bootstrap. 1993; clusters: Davison AC, Hinkley DV. Bootstrap Methods and
their Application. 1997, section 3.8.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from common.evaluation.confusion import confusion_metrics, divide

BLOCK_WEIGHTS = 2**20  # weights held at once (8 MiB), whatever the number of cases and resamples

Statistic = Callable[[np.ndarray], np.ndarray]  # weights (n, b) -> values (..., b)


def cluster_bootstrap(
    patient_ids: ArrayLike, statistic: Statistic, resamples: int = 2000, seed: int = 0, block: int | None = None
) -> np.ndarray:
    """Values of a statistic in resamples of patients: (..., resamples) float64.

    patient_ids: (n,), one per case. Resample r draws as many patients as there are: the entries of
    `numpy.random.default_rng(seed).integers(P, size=(resamples, P))[r]` in the sorted list of the P patients.
    block: resamples computed at once; it bounds the memory and does not change which patients are drawn. All values
    are NaN if there is only one patient: it says nothing about the spread between patients. Raises ValueError without cases or
    resamples.

    Cases of one patient always have the same weight, and two patients of one case each together the weight 2:

    >>> cluster_bootstrap(["ann", "ann", "ben"], lambda weights: weights[0] - weights[1], resamples=3).tolist()
    [0.0, 0.0, 0.0]
    >>> cluster_bootstrap(["ann", "ben"], lambda weights: weights.sum(axis=0), resamples=3).tolist()
    [2.0, 2.0, 2.0]
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
    """Percentile interval (low, high) of bootstrap values (resamples,); None if more than 5 % of them are undefined (NaN).

    A metric may be undefined in a resample (no positive case drawn); such resamples are left out, but an interval that
    would rest on a selection of them is not given. Efron B, Tibshirani RJ. An Introduction to the Bootstrap. 1993, chapter 13.

    >>> percentile_interval(np.arange(1001.0), level=0.5)
    (250.0, 750.0)
    >>> print(percentile_interval(np.array([1.0, np.nan])))
    None
    """
    defined = values[~np.isnan(values)]
    if defined.size < 0.95 * values.size:
        return None
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def prepare_confusion(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> Statistic:
    """Statistic: weighted confusion matrices (classes, classes, b) float64, truth in rows.

    y_true, y_pred: (n,) int, 0 to classes - 1.

    >>> prepare_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)(np.array([[1.0], [2.0], [1.0]]))[..., 0].tolist()
    [[1.0, 2.0], [0.0, 1.0]]
    """
    cell = y_true * classes + y_pred
    indicator = (np.arange(classes * classes)[:, None] == cell).astype(np.float64)

    def count(weights: np.ndarray) -> np.ndarray:
        return (indicator @ weights).reshape(classes, classes, weights.shape[1])

    return count


def prepare_auc(y_true: np.ndarray, score: np.ndarray) -> Statistic:
    """Statistic: weighted area under the ROC curve (b,), ties one half, NaN where a class has no weight.

    The area is the share of pairs of a positive and a negative case that the score ranks rightly (Mann-Whitney; Hanley JA,
    McNeil BJ. Radiology 1982;143:29-36). y_true: (n,) bool or 0/1; score: (n,) float. Sorts once; a resample costs one
    cumulative sum over the negative cases.

    >>> area = prepare_auc(np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 2.0, 4.0]))
    >>> area(np.array([[1.0, 1.0], [1.0, 3.0], [1.0, 1.0], [1.0, 1.0]])).tolist()  # 3 of 4 pairs; 5 of 8
    [0.75, 0.625]
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
        return divide(half_wins / 2, of_positive.sum(axis=0) * cumulative[-1])

    return compute


def prepare_mean(values: np.ndarray) -> Statistic:
    """Statistic: weighted mean (b,) of one value per case (n,).

    >>> prepare_mean(np.array([1.0, 0.0]))(np.array([[1.0, 3.0], [1.0, 1.0]])).tolist()
    [0.5, 0.75]
    """
    return lambda weights: values @ weights / weights.sum(axis=0)


def prepare_metrics(y_true: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> Statistic:
    """Statistic: the named metrics (len(names), b) of labels (n,) int and class scores (n, C).

    names: those of `confusion_metrics` for the class with the highest score (the first of equals), auc and brier. brier is
    the mean squared distance between score and label: with two classes of class 1 only, half of the two-class sum of Brier GW.
    Monthly Weather Review 1950;78:1-3; with more it is summed over the classes. auc is that of class 1, with more classes the
    mean of the one-versus-rest areas.

    Both cases are right; (0.2^2 + 0.4^2) / 2 = 0.1:

    >>> compute = prepare_metrics(np.array([0, 1]), np.array([[0.8, 0.2], [0.4, 0.6]]), ["accuracy", "auc", "brier"])
    >>> compute(np.ones((2, 1)))[:, 0].round(12).tolist()
    [1.0, 1.0, 0.1]
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
