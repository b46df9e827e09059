"""Where the accuracy comes from: what each step takes away from files listed twice to subjects kept apart, and what remains.

Each step is a difference of two modes on the same subjects, paired over them and, where both draw the sides of a run alike, over
the runs. The same of shuffled grades, in which a picture says nothing of its grade but who it is of, is the part that memory
alone can give.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.evaluation.agreement import estimate_agreement
from common.evaluation.clustered import Difference, compare_unlike_shares
from common.evaluation.intervals import Estimate
from common.evaluation.samples import count_by_patient, gather_sample, select_row
from common.records.predictions import extract_scores
from common.records.results import OwnColumn, OwnTable
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.rows import (
    AS_RUN,
    CLEAN,
    CROP,
    INCEPTION,
    LEAKFREE,
    MOBILENET,
    ONCE,
    RANDOM,
    REPORT,
    WHOLE,
    name_protocol,
    name_row,
)

MAJORITY = "the most frequent grade"
STEPS = (  # name, from mode, to mode
    ("files listed twice", AS_RUN, ONCE),
    ("the constant learning rate", ONCE, REPORT),
    ("near-duplicates", REPORT, CLEAN),
    ("slices of a subject on both sides", CLEAN, LEAKFREE),
    ("what remains above the most frequent grade", LEAKFREE, MAJORITY),
)
NOTE = (
    "Neighbours differ by what the step names; the last two also by the rest of the leak-free mode: three fifths of the slices "
    "train instead of four, near-duplicates among them, at a rate chosen on validation subjects (rows 'rate as run': at the "
    "script's). The grades were shuffled once, the same way for every run. Leak-free intervals are wide where the repeats "
    "differ: two of them tell little of how much repeats vary."
)


@dataclass(frozen=True)
class Change:
    """One step: accuracies at either end and their difference with its 95 % interval, fractions; None where a row is missing."""

    name: str
    start: str  # mode
    end: str  # mode, or MAJORITY
    true: Difference | None
    shuffled: Difference | None
    accuracies: tuple[float, float] | None = None  # of the true grades, at either end
    shuffled_accuracies: tuple[float, float] | None = None
    balanced: Estimate | None = None  # accuracy of `start`, balanced over the true grades; of the last step alone


Decomposition = Mapping[tuple[str, str], Sequence[Change]]  # (backbone, view) -> steps


def decompose(predictions: pd.DataFrame, config: Config, alike: Collection[str]) -> Decomposition:
    """The steps of every backbone and view of which at least one can be computed. alike: views in which slice-clean is
    paper-report: that step is left out."""
    found = {}
    for backbone in config.backbones:
        for view in config.views:
            changes = []
            for name, start, end in STEPS:
                if end == CLEAN and view in alike:
                    continue
                true, shuffled = (_compare(predictions, backbone, view, start, end, shuffled=s) for s in (False, True))
                if true:
                    balanced = measure_balanced(predictions, name_row(start, backbone, view)) if end == MAJORITY else None
                    ends = (true[1], shuffled and shuffled[1])
                    changes.append(Change(name, start, end, true[0], shuffled and shuffled[0], *ends, balanced))
            if changes:
                found[backbone, view] = changes
    return found


def _compare(
    predictions: pd.DataFrame, backbone: str, view: str, start: str, end: str, *, shuffled: bool
) -> tuple[Difference, tuple[float, float]] | None:
    """Difference of two modes and their accuracies; None where a mode was not run."""
    parts = [
        predictions[predictions["row"] == name_row(mode, backbone, view, shuffled=shuffled)]
        for mode in (start, start if end == MAJORITY else end)
    ]
    if any(part.empty for part in parts):
        return None
    subjects = np.union1d(*(part["patient_id"].unique() for part in parts))
    right_a, cases_a = count_right(parts[0], subjects)
    often = find_majority(parts[0]) if end == MAJORITY else None
    right_b, cases_b = count_right(parts[1], subjects, given=often)
    means = tuple(
        float((right.sum(axis=1) / cases.sum(axis=1)).mean()) for right, cases in ((right_a, cases_a), (right_b, cases_b))
    )
    seeds = [np.unique(part["seed"]) for part in parts]
    alike = np.array_equal(seeds[0], seeds[1]) and (end == MAJORITY or name_protocol(start) == name_protocol(end))
    return compare_unlike_shares(right_a, cases_a, right_b, cases_b, same_seeds=alike), (means[0], means[1])


def find_majority(part: pd.DataFrame) -> int:
    """The most frequent grade of a row's entries, over all its folds and runs."""
    return int(np.bincount(part["y_true"]).argmax())


def measure_balanced(predictions: pd.DataFrame, row: str) -> Estimate:
    """Balanced accuracy of the slices of a leak-free row, with its interval."""
    counts = count_by_patient(gather_sample(select_row(predictions, row, "leakfree"), f"row {row!r}"))
    return estimate_agreement(counts)["balanced accuracy"]


def count_right(part: pd.DataFrame, subjects: np.ndarray, *, given: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Right and all entries of each run and subject, float64 (runs, subjects) each; part: predictions of one row.

    given: as if every entry were given this grade.
    """
    truth = part["y_true"].to_numpy()
    called = extract_scores(part).argmax(axis=1) if given is None else given
    seeds, at_seed = np.unique(part["seed"], return_inverse=True)
    at = at_seed, np.searchsorted(subjects, part["patient_id"])
    right, cases = np.zeros((2, len(seeds), len(subjects)))
    np.add.at(right, at, truth == called)
    np.add.at(cases, at, 1)
    return right, cases


# --------------------------------------------------------------------------------------------------------- in words


def tabulate_decomposition(found: Decomposition, alike: Collection[str], classes: Sequence[str]) -> OwnTable:
    """The decomposition as a table of the report, the finding in words below it."""
    lines = []
    for (backbone, view), changes in found.items():
        for change in changes:
            lines.append([
                backbone, view, change.name,
                *_show_ends(change.accuracies), _show(change.true),
                *_show_ends(change.shuffled_accuracies), _show(change.shuffled),
            ])  # fmt: skip
    kinds = {"backbone": ("text", ""), "view": ("text", ""), "step": ("text", "")}
    columns = [OwnColumn(name=name, kind=kind, group=group) for name, (kind, group) in kinds.items()]
    for group in ("true grades", "grades shuffled"):
        columns += [OwnColumn(name=name, kind="number", group=group) for name in ("from (%)", "to (%)", "lost (points)")]
    sentences = [describe_sources(*setup, changes, classes) for setup, changes in found.items()]
    sentences.append(NOTE)
    if alike:
        where = ", ".join(sorted(alike))
        sentences.append(
            f"No two pictures are near-duplicates ({where}): {CLEAN} coincides with {REPORT}, and its step is left out."
        )
    return OwnTable(title="Where the accuracy comes from", columns=columns, rows=lines, note=" ".join(sentences))


def describe_sources(backbone: str, view: str, changes: Sequence[Change], classes: Sequence[str]) -> str:
    """The finding of one backbone and view in words; "" where the list as run or the leak-free mode is missing."""
    by_start = {change.start: change for change in changes}
    if not {AS_RUN, LEAKFREE} <= by_start.keys():
        return ""
    whole, rest = by_start[AS_RUN], by_start[LEAKFREE]
    if whole.accuracies is None or rest.accuracies is None or rest.balanced is None:
        return ""
    parts = [f"{change.name} {_show(change.true)}" for change in changes if change is not rest]
    low, high, chance = float(rest.balanced.low), float(rest.balanced.high), 1 / len(classes)
    judged = "more than" if low > chance else "less than" if high < chance else "not distinguishable from"
    text = (
        f"{backbone}, {view}: of {100 * whole.accuracies[0]:.1f} % with the list as run, points lost: {'; '.join(parts)}. With "
        f"subjects apart {100 * rest.accuracies[0]:.1f} % remain; the most frequent of the grades {', '.join(classes)} alone "
        f"gives {100 * rest.accuracies[1]:.1f} %. Batches draw the grades evenly, so what counts is the balanced accuracy: "
        f"{100 * float(rest.balanced.mean):.1f} % [{100 * low:.1f}, {100 * high:.1f}], {judged} the {100 * chance:.1f} % of "
        "chance."
    )
    if whole.shuffled_accuracies is not None:
        shuffled = 100 * whole.shuffled_accuracies[0]
        gap = 100 * whole.accuracies[0] - shuffled
        text += (
            f" With the grades shuffled among the subjects, so that they mean nothing, the list as run gives {shuffled:.1f} %: "
            f"{abs(gap):.1f} points {'less' if gap >= 0 else 'more'} than with the true ones."
        )
    return text


def summarise(found: Decomposition, dataset: str, classes: Sequence[str]) -> str:
    """The finding in one sentence: of the report's own network if it was run, else of the first with trained weights; the lesion
    before the whole slice. "" where no decomposition is complete."""
    for backbone in (INCEPTION, MOBILENET, RANDOM):
        for view in (CROP, WHOLE):
            by_start = {change.start: change for change in found.get((backbone, view), ())}
            if not {AS_RUN, LEAKFREE} <= by_start.keys():
                continue
            whole, rest = by_start[AS_RUN], by_start[LEAKFREE]
            if whole.accuracies is None or whole.shuffled_accuracies is None or rest.accuracies is None or rest.balanced is None:
                continue
            low, mean, high = (100 * float(value) for value in (rest.balanced.low, rest.balanced.mean, rest.balanced.high))
            said, shuffled, remains = (
                f"{100 * value:.1f} %" for value in (whole.accuracies[0], whole.shuffled_accuracies[0], rest.accuracies[0])
            )
            return (
                f"{dataset}, {backbone}, {view}, grades {', '.join(classes)}: {said} with the list as run, {shuffled} with "
                f"grades that mean nothing; {remains} with patients kept apart (balanced {mean:.1f} [{low:.1f}, {high:.1f}], "
                f"chance {100 / len(classes):.1f})."
            )
    return ""


def _show(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    mean, low, high = (100 * float(value) for value in (difference.difference, difference.low, difference.high))
    return f"{mean:+.1f}" if np.isnan(low) else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _show_ends(accuracies: tuple[float, float] | None) -> list[str]:
    return ["–", "–"] if accuracies is None else [f"{100 * value:.1f}" for value in accuracies]
