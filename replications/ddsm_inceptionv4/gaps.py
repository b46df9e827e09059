"""Over-fitting (sec. 6.3): how much better a network is on its training pictures than on validation pictures, with an
interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from common.runs.cells import Cell, read_record


@dataclass(frozen=True)
class Gap:
    """Accuracy on training minus validation pictures, over all trainings of a row: fractions."""

    train: float
    validation: float
    low: float  # 95 % interval of the difference
    high: float
    trainings: int

    @property
    def text(self) -> str:
        """In points.

        >>> Gap(0.9, 0.6, 0.2, 0.4, 5).text
        '90.0 % in training, 60.0 % in validation, 30.0 points [20.0, 40.0]'
        """
        gap, limits = 100 * (self.train - self.validation), f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.train:.1f} % in training, {100 * self.validation:.1f} % in validation, {gap:.1f} points {limits}"


def measure_error(right: np.ndarray, patients: np.ndarray) -> float:
    """Standard error of the share of right cases (n,) bool, the cases of a patient together; that of independent cases where each
    patient has one, and not less than that of one wrong case.

    >>> right = np.array([True, True, False, False])
    >>> round(measure_error(right, np.arange(4)), 3), round(measure_error(right, np.array([0, 0, 1, 1])), 3)
    (0.289, 0.5)
    """
    _, place = np.unique(patients, return_inverse=True)
    residual = np.bincount(place, weights=right - right.mean())
    count = len(residual)
    clustered = np.sqrt(count / max(1, count - 1) * np.sum(residual**2)) / len(right)
    return float(max(clustered, np.sqrt((1 / len(right)) * (1 - 1 / len(right)) / len(right))))


def measure_gap(train: Sequence[float], validation: Sequence[float], errors: Sequence[float]) -> Gap:
    """The gap of several trainings: their accuracies, and the standard error of each difference over its pictures.

    The variance: the mean one of a training's pictures, which trainings share in part, plus that between trainings; t with as
    many degrees of freedom as trainings less one where there are several.

    >>> gap = measure_gap([1.0, 1.0], [0.6, 0.6], [0.05, 0.05])
    >>> round(gap.low, 3), round(gap.high, 3)
    (0.302, 0.498)
    """
    a, b = np.asarray(train, float), np.asarray(validation, float)
    count, difference = len(a), float((a - b).mean())
    within = scipy.stats.norm.ppf(0.975) * np.sqrt(np.mean(np.square(errors)))
    between = scipy.stats.t.ppf(0.975, count - 1) * (a - b).std(ddof=1) / np.sqrt(count) if count > 1 else 0.0
    half = float(np.hypot(within, between))
    return Gap(float(a.mean()), float(b.mean()), difference - half, difference + half, count)


def collect_gaps(finished: Sequence[Cell], folder: Path) -> dict[tuple[str, str], Gap]:
    """(row, protocol) -> the gap of its finished trainings."""
    found: dict[tuple[str, str], list[dict]] = {}
    for cell in finished:
        outcome = read_record(cell, folder / "cells")["outcome"]
        if "train_accuracy" in outcome:
            found.setdefault((cell.settings["row"], cell.settings["protocol"]), []).append(outcome)

    def gather(outcomes: Sequence[dict], name: str) -> list:
        return [outcome[name] for outcome in outcomes]

    names = ("train_accuracy", "validation_accuracy", "gap_error")
    return {key: measure_gap(*(gather(outcomes, name) for name in names)) for key, outcomes in found.items()}
