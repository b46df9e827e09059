"""Agreement of ordered classes (grades, stages) with the truth: balanced accuracy and weighted kappa, with their intervals."""

import numpy as np

from common.evaluation.confusion import estimate_correlation, estimate_shares_of_classes
from common.evaluation.intervals import Estimate, Linear, linearise_ratio


def estimate_agreement(counts: np.ndarray) -> dict[str, Estimate]:
    """ "balanced accuracy" (mean over the classes of the share that is right) and "weighted kappa", each with its interval.

    counts: (..., S, P, C, C) cases of each seed and patient, truth in rows (`samples.count_by_patient`), C of two or more.
    Balanced accuracy: `confusion.estimate_shares_of_classes`; kappa: `confusion.estimate_correlation`. NaN where undefined.

    Four patients, of whom one of grade 2 is taken for 1:

    >>> cells = [(0, 0), (1, 1), (2, 2), (2, 1)]
    >>> found = estimate_agreement(np.array([[np.outer(np.eye(3)[truth], np.eye(3)[given]) for truth, given in cells]]))
    >>> {name: round(float(of.mean), 3) for name, of in found.items()}  # (1 + 1 + 1/2) / 3; 1 - 1 / (20 / 4)
    {'balanced accuracy': 0.833, 'weighted kappa': 0.8}
    """
    right, truth = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)
    shares = [linearise_ratio(right[..., c], truth[..., c]) for c in range(counts.shape[-1])]
    kappa = estimate_correlation(linearise_kappa(counts), counts, measure_kappa)
    return {"balanced accuracy": estimate_shares_of_classes(shares), "weighted kappa": kappa}


def measure_kappa(matrix: np.ndarray) -> np.ndarray:
    """Cohen's kappa with quadratic weights of confusion matrices (..., C, C), truth in rows; NaN where only one class occurs.

    1 minus the squared distances of truth and given class over those that chance would give. Cohen J. Psychol Bull
    1968;70:213-220.

    >>> float(measure_kappa(np.array([[1, 1], [1, 1]]))), float(measure_kappa(np.eye(3)))
    (0.0, 1.0)
    """
    weights = _weigh_distances(matrix.shape[-1])
    truth, given = matrix.sum(axis=-1), matrix.sum(axis=-2)
    seen = (weights * matrix).sum(axis=(-2, -1)) * truth.sum(axis=-1)
    chance = np.einsum("...i,ij,...j->...", truth, weights, given)
    return 1 - np.divide(seen, chance, out=np.full(np.shape(chance), np.nan), where=chance > 0)


def linearise_kappa(counts: np.ndarray) -> Linear:
    """Kappa with quadratic weights and, by its derivative to each count, each patient's influence.

    counts: (..., S, P, C, C).

    >>> cells = [(0, 0), (1, 1), (2, 2), (2, 1)]
    >>> linear = linearise_kappa(np.array([[np.outer(np.eye(3)[truth], np.eye(3)[given]) for truth, given in cells]]))
    >>> round(float(linear.by_seed[0]), 4), round(float(linear.influence.sum()), 12)
    (0.8, 0.0)
    """
    matrix = counts.sum(axis=-3)
    weights = _weigh_distances(matrix.shape[-1])
    truth, given = matrix.sum(axis=-1), matrix.sum(axis=-2)
    total = truth.sum(axis=-1)[..., None, None]
    value = measure_kappa(matrix)
    chance = np.einsum("...i,ij,...j->...", truth, weights, given)[..., None, None] / np.maximum(total, 1)
    seen = (weights * matrix).sum(axis=(-2, -1))[..., None, None]
    # How the chance part moves with a further case of (truth, given): its distances to the margins, less its share of the total.
    slope = ((given @ weights)[..., :, None] + (truth @ weights)[..., None, :] - chance) / np.maximum(total, 1)
    defined = chance > 0
    gradient = np.where(defined, (seen * slope - weights * chance) / np.where(defined, chance, 1) ** 2, 0)
    influence = (gradient[..., None, :, :] * counts).sum(axis=(-2, -1))
    cases = counts.sum(axis=(-2, -1))
    wrong = (cases > np.trace(counts, axis1=-2, axis2=-1)).any(axis=-2).sum(axis=-1)
    sizes = cases.max(axis=-2)
    leverage = (cases / np.maximum(total[..., 0], 1)).mean(axis=-2)
    alone = (gradient**2 * matrix).sum(axis=(-2, -1)).mean(axis=-1)
    return Linear(value, influence, leverage, sizes, wrong, (sizes > 0).sum(axis=-1), alone)


def _weigh_distances(classes: int) -> np.ndarray:
    return np.subtract.outer(np.arange(classes), np.arange(classes)).astype(float) ** 2
