"""Design effects: how much wider than for independent cases the sampling error is, as patients contribute several cases.

Measured on single trainings, since a printed number is one: the mean over several trainings varies less. Kish L. Survey
Sampling, Wiley 1965.
"""

import numpy as np
import pandas as pd

from common.evaluation.placements import place_cases
from common.records.predictions import extract_scores


def measure_design_effects(predictions: pd.DataFrame, protocol: str) -> dict[str, dict[str, float]]:
    """Row -> metric -> design effect, for accuracy, and with two classes sensitivity, specificity and AUC.

    predictions: the table of common.records.predictions. 1.0 where every patient has one case. A metric that no seed defines is
    left out. Where seeds drew a split each, the mean over the seeds, of accuracy alone.

    Two patients, each with two cases that are both right or both wrong: a patient is worth one case, and two patients differ
    as 2 / (2 - 1) times their variance.

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abcd"), "patient_id": list("xxyy"), "label": [0, 1, 0, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]])
    >>> predictions = tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=0)
    >>> measure_design_effects(predictions, "paper")["CNN"]["accuracy"]
    4.0
    """
    part = predictions[predictions["protocol"] == protocol]
    return {str(row): _measure_row(of_row) for row, of_row in part.groupby("row", sort=False)}


def _measure_row(predictions: pd.DataFrame) -> dict[str, float]:
    seeds = [of_seed.sort_values(["case_id", "fold"]) for _, of_seed in predictions.groupby("seed")]
    y_true = [seed["y_true"].to_numpy() for seed in seeds]
    scores = [extract_scores(seed) for seed in seeds]
    correct = [(of.argmax(axis=1) == y).astype(np.float64) for of, y in zip(scores, y_true, strict=True)]
    influences = {"accuracy": [centre(right, np.ones_like(right)) for right in correct]}
    if scores[0].shape[1] == 2:
        for metric, label in (("sensitivity", 1), ("specificity", 0)):
            influences[metric] = [
                centre(right, y == label) for right, y in zip(correct, y_true, strict=True) if (y == label).any()
            ]
        pairs = [(of[:, 1], y) for of, y in zip(scores, y_true, strict=True) if 0 < y.sum() < y.size]
        influences["auc"] = [weigh_auc(score, y) for score, y in pairs]
    patients = [pd.factorize(seed["patient_id"])[0] for seed in seeds]
    if any(not np.array_equal(of, patients[0]) for of in patients):  # each seed drew a split of its own
        effects = [inflate_variance(of[None], who) for of, who in zip(influences["accuracy"], patients, strict=True)]
        return {"accuracy": float(np.mean(effects))}
    return {
        metric: float(inflate_variance(np.stack(found), patients[0]))
        for metric, found in influences.items()
        if found and all(values.size == patients[0].size for values in found)
    }


def centre(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Influence of each case on the mean of the values that are used: value minus mean, 0 for the others.

    values, used: (..., n), of which the last axis holds the cases; at least one must be used.

    >>> centre(np.array([1.0, 1.0, 0.0, 1.0]), np.array([True, True, True, False])).round(3).tolist()
    [0.333, 0.333, -0.667, 0.0]
    """
    used = np.asarray(used, np.float64)
    mean = (values * used).sum(axis=-1, keepdims=True) / used.sum(axis=-1, keepdims=True)
    return (values - mean) * used


def weigh_auc(score: np.ndarray, y_true: np.ndarray) -> np.ndarray:
    """Influence of each case on the area under the ROC curve: its share of rightly ranked pairs minus the area, over the size
    of its class.

    score: (n,), higher means class 1; y_true: (n,) of 0 and 1, both present. Returns (n,). DeLong ER, DeLong DM, Clarke-Pearson
    DL. Biometrics 1988;44:837-845; for patients with several cases Obuchowski NA. Biometrics 1997;53:567-578.

    The second of two negative cases ranks above one of two positive ones: an area of 3/4.

    >>> weigh_auc(np.array([1, 3, 2, 4]), np.array([0, 0, 1, 1])).tolist()  # (1 - 3/4) / 2 or (1/2 - 3/4) / 2
    [0.125, -0.125, -0.125, 0.125]
    """
    placed = place_cases(y_true, score)
    sizes = np.where(y_true == 1, (y_true == 1).sum(), (y_true == 0).sum())
    return (placed - placed[y_true == 1].mean()) / sizes


def inflate_variance(influences: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Design effect from the influences of cases on a number: variance over patients by that over independent cases, at least 1.

    influences: (..., seeds, n), of each training, summed over the seeds; patients: (n,) whole numbers from 0 on. Where no case
    has any influence (all are right), the cases of a patient are taken to be wholly alike: cases a patient. Returns (...).

    >>> pairs = np.array([[1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0]])  # four patients, each twice
    >>> round(float(inflate_variance(pairs, np.repeat(np.arange(4), 2))), 4)  # 2 x 4 / (4 - 1)
    2.6667
    """
    order = np.argsort(patients, kind="stable")
    starts = np.flatnonzero(np.diff(patients[order], prepend=-1))
    count = starts.size
    independent = (influences**2).sum(axis=(-2, -1))
    if count < 2 or count == patients.size:
        return np.ones_like(independent)
    of_patients = np.add.reduceat(influences[..., order], starts, axis=-1)
    clustered = (of_patients**2).sum(axis=(-2, -1)) * count / (count - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(independent > 0, clustered / independent, patients.size / count)
    return np.maximum(effect, 1.0)
