"""Predictions of a row as arrays: the lines of each patient together, in every seed in the same places."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.errors import UsageError
from common.evaluation.areas import Area, measure_area
from common.records.predictions import extract_scores


@dataclass(frozen=True)
class Sample:
    """Lines of the predictions table of one row and protocol, sorted by patient and case; S seeds, n lines a seed, P patients."""

    seeds: list[int]
    case_ids: np.ndarray  # (n,) text
    patient_ids: np.ndarray  # (n,) text
    y_true: np.ndarray  # (n,) int
    scores: np.ndarray  # (S, n, C) float64
    folds: np.ndarray  # (S, n) int
    starts: np.ndarray  # (P,) int: where each patient's lines begin
    present: np.ndarray  # (S, n) bool: whether the seed scored the line; without: scores 0 and fold -1

    @property
    def y_pred(self) -> np.ndarray:
        """Class with the highest score, the first of equals; (S, n) int."""
        return self.scores.argmax(axis=-1)

    @property
    def one_case_each(self) -> bool:
        """Whether no patient has two cases."""
        return len(np.unique(self.case_ids)) == self.starts.size

    @property
    def within_folds(self) -> bool:
        """Whether a seed scored the cases in several folds, each by a training of its own."""
        first = np.take_along_axis(self.folds, self.present.argmax(axis=1)[:, None], axis=1)
        return bool(((self.folds != first) & self.present).any())


@dataclass(frozen=True)
class TestSet:
    """What a verdict needs to know of the test cases of a row."""

    __test__ = False  # no test of pytest's

    folds: int  # trainings of a seed that scored them
    patients: int
    positive: int  # patients with a case of class 1
    negative: int  # patients with a case of another class


def describe_test_sets(predictions: pd.DataFrame, protocol: str) -> dict[str, TestSet]:
    """Row -> its test set.

    predictions: the table of common.records.predictions.

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abc"), "patient_id": ["ann", "ben", "ann"], "label": [0, 1, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> describe_test_sets(tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=-1), "paper")["CNN"]
    TestSet(folds=1, patients=2, positive=2, negative=1)
    """
    part = predictions[predictions["protocol"] == protocol]
    found = {}
    for row, of in part.groupby("row", sort=False):
        positive, negative = (int(of["patient_id"][side].nunique()) for side in (of["y_true"] == 1, of["y_true"] != 1))
        folds = int(of.groupby("seed")["fold"].nunique().max())
        found[str(row)] = TestSet(folds, int(of["patient_id"].nunique()), positive, negative)
    return found


def select_row(predictions: pd.DataFrame, row: str, protocol: str) -> pd.DataFrame:
    """The predictions of one row and protocol; UsageError where there are none.

    >>> select_row(pd.DataFrame({"row": ["CNN", "DBN"], "protocol": ["paper", "paper"]}), "CNN", "paper")["row"].to_list()
    ['CNN']
    """
    part = predictions[(predictions["row"] == row) & (predictions["protocol"] == protocol)]
    if part.empty:
        raise UsageError(f"there are no predictions of row {row!r}, protocol {protocol!r}")
    return part


def gather_sample(part: pd.DataFrame, place: str) -> Sample:
    """The predictions of one row and protocol as arrays.

    Seeds that share no fold number have each drawn a split of their own: they may cover different cases. Otherwise a part is
    missing, and UsageError names the place.

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abc"), "patient_id": ["ann", "ben", "ann"], "label": [0, 1, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> sample = gather_sample(tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=-1), "row 'CNN'")
    >>> sample.patient_ids.tolist(), sample.starts.tolist(), sample.y_pred.tolist()
    (['ann', 'ann', 'ben'], [0, 2], [[0, 1, 1]])
    """
    part = part.sort_values(["seed", "patient_id", "case_id", "fold"], kind="stable")
    seeds, sizes = np.unique(part["seed"], return_counts=True)
    if unlike := _find_unlike(part["case_id"].to_numpy(), sizes):
        if len(part[["seed", "fold"]].drop_duplicates()) != part["fold"].nunique():
            raise UsageError(
                f"{place}: seeds {seeds[0]} and {seeds[unlike]} cover different cases; "
                "finish the missing cells or leave the seed out"
            )
        return _align_seeds(part, seeds)
    shape = (len(seeds), sizes[0])
    patients = part["patient_id"].to_numpy()[: shape[1]]
    return Sample(
        [int(seed) for seed in seeds],
        part["case_id"].to_numpy()[: shape[1]],
        patients,
        part["y_true"].to_numpy()[: shape[1]],
        extract_scores(part).reshape(*shape, -1),
        part["fold"].to_numpy().reshape(shape),
        np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]]),
        np.ones(shape, bool),
    )


def _find_unlike(case_ids: np.ndarray, sizes: np.ndarray) -> int:
    """Number of the first seed that covers other cases than the first one; 0 if none does. case_ids: one seed after the other."""
    of_seeds = np.split(case_ids, np.cumsum(sizes)[:-1])
    return next((number for number, of in enumerate(of_seeds) if not np.array_equal(of, of_seeds[0])), 0)


def _align_seeds(part: pd.DataFrame, seeds: np.ndarray) -> Sample:
    """The predictions of seeds that cover different cases, in the places of the cases of all."""
    again = part.groupby(["seed", "case_id"]).cumcount()  # repeated folds of a seed score a case several times
    keys = pd.MultiIndex.from_arrays([part["patient_id"], part["case_id"], again])
    lines = keys.unique().sort_values()
    at = np.searchsorted(seeds, part["seed"]), lines.get_indexer(keys)
    shape = (len(seeds), len(lines))
    scores = extract_scores(part)
    all_scores, y_true = np.zeros((*shape, scores.shape[1])), np.zeros(shape[1], np.int64)
    folds, present = np.full(shape, -1), np.zeros(shape, bool)
    all_scores[at], y_true[at[1]], folds[at], present[at] = scores, part["y_true"], part["fold"], True
    patients = lines.get_level_values(0).to_numpy()
    starts = np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]])
    return Sample(
        list(map(int, seeds)), lines.get_level_values(1).to_numpy(), patients, y_true, all_scores, folds, starts, present
    )


def count_by_patient(sample: Sample) -> np.ndarray:
    """Confusion counts of every seed and patient (S, P, C, C) float64, truth in rows.

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("ab"), "patient_id": ["ann", "ann"], "label": [0, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4]])
    >>> table = tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=-1)
    >>> count_by_patient(gather_sample(table, "row 'CNN'")).tolist()
    [[[[1.0, 0.0], [1.0, 0.0]]]]
    """
    seeds, lines, classes = sample.scores.shape
    patient = np.repeat(np.arange(sample.starts.size), np.diff(np.r_[sample.starts, lines]))
    cell = (
        (patient * classes + sample.y_true) * classes
        + sample.y_pred
        + np.arange(seeds)[:, None] * sample.starts.size * classes**2
    )
    counts = np.bincount(cell[sample.present], minlength=seeds * sample.starts.size * classes**2)
    return counts.astype(np.float64).reshape(seeds, sample.starts.size, classes, classes)


def measure_areas(sample: Sample, *, pooled: bool = False) -> list[Area]:
    """Areas under the ROC curve: of class 1 (two classes), else of each class against the rest.

    Pairs are formed within folds, whose scores are those of one training; pooled: over all lines of a seed.

    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abcd"), "patient_id": list("abcd"), "label": [0, 1, 0, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]])  # the second fold scores all higher
    >>> folds = [
    ...     tabulate_scores(cases[i : i + 2], scores[i : i + 2], protocol="paper", row="CNN", seed=0, fold=i) for i in (0, 2)
    ... ]
    >>> sample = gather_sample(pd.concat(folds), "row 'CNN'")
    >>> [measure_areas(sample, pooled=pooled)[0].by_seed.tolist() for pooled in (False, True)]
    [[1.0], [0.75]]
    """
    group = sample.folds if sample.within_folds and not pooled else None
    classes = sample.scores.shape[-1]
    return [
        measure_area(sample.y_true == c, sample.y_true != c, sample.scores[..., c], sample.starts, group, sample.present)
        for c in ([1] if classes == 2 else range(classes))
    ]


def choose_areas(sample: Sample) -> tuple[list[Area], str]:
    """The areas to report and what is to be said of them: within folds, pooled only where no fold has both classes.

    Two folds, each ranked rightly, on two scales:

    >>> from common.records.predictions import tabulate_scores
    >>> tables = []
    >>> for fold, (names, ill) in enumerate([("ab", [0.1, 0.2]), ("cd", [0.8, 0.9])]):
    ...     cases = pd.DataFrame({"case_id": list(names), "patient_id": list(names), "label": [0, 1]})
    ...     scores = np.array([[1 - p, p] for p in ill])
    ...     tables.append(tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=fold))
    >>> areas, note = choose_areas(gather_sample(pd.concat(tables), "row 'CNN'"))
    >>> areas[0].by_seed.tolist(), note
    ([1.0], 'pairs within folds; 0.750 if the folds are pooled')
    """
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
