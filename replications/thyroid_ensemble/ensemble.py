"""Weighted fusion of three of the nine networks (sec. 1.6, 2.4), and what choosing it on the scored images gains.

Scores are arrays (models, n, 2) of class probabilities, columns benign and malignant; labels (n,) of 0 (benign) and 1
(malignant). Several seeds may be laid end to end along n: accuracies then are means over the seeds. The class with the
higher score is given, benign if they are equal.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from common.errors import UsageError
from common.records.predictions import KEYS

CANDIDATES = 5  # "five best": A to E of Table 2
KEPT = 2  # the two best of them, B and C, are in every subset
MEMBERS = 3

Select = Callable[[np.ndarray, np.ndarray], ArrayLike]  # scores (models, n, 2), labels (n,) -> weights (models,)


@dataclass(frozen=True)
class Weights:
    """The best weights of one subset, on the cases that they were chosen on."""

    weights: tuple[float, ...]
    accuracy: float
    cross_entropy: float
    ties: int  # how many of the enumerated weights reach this accuracy, these included


@dataclass(frozen=True)
class SelectedEnsemble:
    """The ensemble that the paper's procedure ends with."""

    members: tuple[str, ...]  # the added model, then the two best
    weights: tuple[float, ...]  # in the order of members
    accuracy: float  # on the cases that it was chosen on
    considered: int  # subsets times weights
    subsets: tuple[tuple[tuple[str, ...], Weights], ...]  # members and best weights of each subset


# ------------------------------------------------------------------------------------------------------------- fusion


def enumerate_weights(models: int = MEMBERS, step: float = 0.1) -> np.ndarray:
    """All positive multiples of `step` that sum to 1: (count, models) float64, in ascending order; (36, 3) as published.

    Counted in whole steps, so that no rounding adds or loses weights. UsageError if `step` is below 0.01 or does not
    divide 1 into at least `models` parts.
    """
    steps = round(1 / step) if 0.01 <= step <= 1 else 0
    if abs(steps * step - 1) > 1e-9 or steps < models:
        raise UsageError(f"weight_step = {step:g} is not 1 / N with N from {models} to 100; the paper's is 0.1")
    cuts = [(0, *inner, steps) for inner in itertools.combinations(range(1, steps), models - 1)]
    return np.diff(np.array(cuts), axis=1) / steps


def fuse(scores: np.ndarray, weights: ArrayLike) -> np.ndarray:
    """Weighted mean (..., n, 2) float64 of scores (models, n, 2); weights (..., models) >= 0 that sum to 1.

    One set of weights gives the same bits alone as among others: what was chosen is what is scored.
    """
    w = np.asarray(weights, np.float64)
    if w.shape[-1] != len(scores) or w.min() < 0 or np.abs(w.sum(axis=-1) - 1).max() > 1e-9:
        raise ValueError(f"{len(scores)} weights >= 0 that sum to 1 are needed, not {w.tolist()}")
    fused = np.zeros((*w.shape[:-1], *scores.shape[1:]))
    for of_model, model in zip(np.moveaxis(w, -1, 0), scores, strict=True):
        fused += of_model[..., None, None] * model
    return fused


def average(scores: np.ndarray) -> np.ndarray:
    """Mean probability (n, 2) of scores (models, n, 2); Table 5."""
    return np.asarray(scores, np.float64).mean(axis=0)


def vote(scores: np.ndarray) -> np.ndarray:
    """Class voting (n, 2): the share of the models (models, n, 2) that gives each class; Table 5."""
    return np.eye(2)[scores.argmax(axis=2)].mean(axis=0)


# ------------------------------------------------------------------------------------------------------------- choice


def measure_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of right classes; scores (n, 2), labels (n,)."""
    return float((scores.argmax(axis=1) == labels).mean())


def choose_weights(scores: np.ndarray, labels: np.ndarray, step: float = 0.1) -> Weights:
    """The most accurate of the enumerated weights for scores (models, n, 2) and labels (n,).

    The paper keeps "the best" and says nothing of ties: of equally accurate weights those with the lowest mean
    cross-entropy, of these the first.
    """
    weights = enumerate_weights(len(scores), step)
    fused = fuse(scores, weights)  # (count, n, 2)
    right = (fused.argmax(axis=2) == labels).sum(axis=1)
    best = np.flatnonzero(right == right.max())
    of_truth = fused[best][:, np.arange(len(labels)), labels]
    cross_entropy = -np.log(np.maximum(of_truth, np.finfo(np.float64).tiny)).mean(axis=1)
    first = int(cross_entropy.round(12).argmin())  # equals but for rounding are equals
    return Weights(
        weights=tuple(weights[best[first]].tolist()),
        accuracy=float(right.max() / len(labels)),
        cross_entropy=float(cross_entropy[first]),
        ties=len(best),
    )


def rank_models(accuracies: Mapping[str, float]) -> list[str]:
    """Names from the highest accuracy to the lowest; equals in the order given."""
    return sorted(accuracies, key=lambda name: -accuracies[name])


def choose_subset(scores: Mapping[str, np.ndarray], labels: np.ndarray, step: float = 0.1) -> SelectedEnsemble:
    """The paper's procedure: of the five most accurate models the two best are kept, each of the others is added in turn.

    scores: name -> (n, 2), in the order that breaks ties between models; labels (n,). Each subset gets its best weights;
    the most accurate subset is kept, of equals the one with the lowest cross-entropy, then the better added model.
    Fewer than five models mean fewer subsets.
    """
    ranked = rank_models({name: measure_accuracy(of, labels) for name, of in scores.items()})[:CANDIDATES]
    if len(ranked) < MEMBERS:
        raise ValueError(f"an ensemble needs {MEMBERS} models, not {len(ranked)}")
    subsets = []
    for added in ranked[KEPT:]:
        members = (added, *ranked[:KEPT])
        subsets.append((members, choose_weights(np.stack([scores[name] for name in members]), labels, step)))
    members, best = min(subsets, key=lambda subset: (-subset[1].accuracy, subset[1].cross_entropy))
    considered = len(subsets) * len(enumerate_weights(MEMBERS, step))
    return SelectedEnsemble(members, best.weights, best.accuracy, considered, tuple(subsets))


# -------------------------------------------------------------------------------------------------- gain of the choice


def split_halves(labels: np.ndarray, patients: ArrayLike, repeats: int, seed: int) -> np.ndarray:
    """Random halves (repeats, n) bool of whole patients, with about as many cases of each class in both.

    labels (n,), patients (n,). In each class of patients (with a malignant case, without one) they come in random order,
    each going to the half with fewer cases so far; the first goes to either.
    """
    names, patient_of_case, cases = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    if names.size < 2:
        raise ValueError("halves need at least two patients")
    malignant = np.zeros(names.size, bool)
    malignant[patient_of_case[labels == 1]] = True
    generator = np.random.default_rng(seed)
    halves = np.zeros((repeats, names.size), bool)
    for half in halves:
        lead = 0  # cases that the second half has more than the first, carried from one class to the next
        for of_class in (malignant, ~malignant):
            for patient in generator.permutation(np.flatnonzero(of_class)):
                half[patient] = lead > 0 or (lead == 0 and generator.random() < 0.5)
                lead += -cases[patient] if half[patient] else cases[patient]
    return halves[:, patient_of_case]


def measure_selection_gain(
    scores: np.ndarray,
    labels: np.ndarray,
    patients: ArrayLike,
    step: float = 0.1,
    *,
    select: Select | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> dict[str, float | int]:
    """How much more accurate a chosen ensemble looks on the cases that it was chosen on than on others.

    scores (models, n, 2), labels (n,), patients (n,). Each repeat splits the patients into random halves, chooses on
    either half and scores the choice on both. select: the whole choice, from scores (models, m, 2) and labels (m,) of
    one half to weights (models,), 0 for models left out; without it `choose_weights` for all
    models given.

    Returns {repeats, chosen, other, gain, sd, low, high}: mean accuracy on the half chosen on and on the other half; the
    mean, standard deviation and 2.5 and 97.5 percentiles over the repeats of their difference, both directions averaged.
    These tell how much depends on the halving of these cases, not what other cases would give. A half has fewer cases
    than the whole, so that the choice on all of them gains less than this.
    """
    if select is None:

        def select(of_half: np.ndarray, truth: np.ndarray) -> ArrayLike:
            return choose_weights(of_half, truth, step).weights

    chosen, other = np.empty((2, repeats, 2))
    for repeat, first in enumerate(split_halves(labels, patients, repeats, seed)):
        for direction, half in enumerate((first, ~first)):
            right = fuse(scores, select(scores[:, half], labels[half])).argmax(axis=1) == labels
            chosen[repeat, direction], other[repeat, direction] = right[half].mean(), right[~half].mean()
    gain = (chosen - other).mean(axis=1)
    low, high = np.quantile(gain, [0.025, 0.975])
    return {
        "repeats": repeats,
        "chosen": float(chosen.mean()),
        "other": float(other.mean()),
        "gain": float(gain.mean()),
        "sd": float(gain.std(ddof=1)),
        "low": float(low),
        "high": float(high),
    }


# ----------------------------------------------------------------------------------------------------------- patients


def aggregate_patients(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions per patient: the mean probability over a patient's images of one label.

    The case becomes "patient/label" (a patient may have nodules of both kinds) and the row gets ", per patient".
    """
    keys = ["protocol", "row", "seed", "fold", "patient_id", "y_true"]
    scores = [name for name in predictions.columns if name.startswith("y_score_")]
    mean = predictions.groupby(keys, as_index=False, sort=True)[scores].mean()
    mean["case_id"] = mean["patient_id"] + "/" + mean["y_true"].astype(str)
    mean["row"] += ", per patient"
    return mean[[*KEYS, *scores]]
