"""Over-fitting (sec. 6.3): how much better a network is on its training pictures than on validation pictures, with an
interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

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


def measure_gap(train: Sequence[float], validation: Sequence[float], cases: Sequence[int], seen: Sequence[int]) -> Gap:
    """The gap of several trainings: their accuracies, and how many validation and training pictures each saw.

    The variance: of the binomial of the validation and training pictures of one training, which trainings share, plus that
    between trainings; t with as many degrees of freedom as trainings less one where there are several. Pictures of one patient
    are not independent, so with few patients the interval is somewhat too narrow.

    >>> gap = measure_gap([1.0, 1.0], [0.6, 0.6], [100, 100], [400, 400])
    >>> round(gap.low, 3), round(gap.high, 3)
    (0.304, 0.496)
    """
    a, b = np.asarray(train, float), np.asarray(validation, float)
    count, difference = len(a), float((a - b).mean())
    within = a.mean() * (1 - a.mean()) / np.mean(seen) + b.mean() * (1 - b.mean()) / np.mean(cases)
    between = (a - b).var(ddof=1) / count if count > 1 else 0.0
    quantile = stats.norm.ppf(0.975)
    half = (
        quantile * np.sqrt(within)
        if not between
        else np.hypot(quantile * np.sqrt(within), stats.t.ppf(0.975, count - 1) * np.sqrt(between))
    )
    return Gap(float(a.mean()), float(b.mean()), difference - float(half), difference + float(half), count)


def collect_gaps(finished: Sequence[Cell], folder: Path) -> dict[tuple[str, str], Gap]:
    """(row, protocol) -> the gap of its finished trainings."""
    found: dict[tuple[str, str], list[dict]] = {}
    for cell in finished:
        outcome = read_record(cell, folder / "cells")["outcome"]
        if "train_accuracy" in outcome:
            found.setdefault((cell.settings["row"], cell.settings["protocol"]), []).append(outcome)

    def gather(outcomes: Sequence[dict], name: str) -> list:
        return [outcome[name] for outcome in outcomes]

    names = ("train_accuracy", "validation_accuracy", "validation_cases", "train_cases")
    return {key: measure_gap(*(gather(outcomes, name) for name in names)) for key, outcomes in found.items()}
