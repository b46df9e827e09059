"""Paired comparisons of rows on the same cases: differences of accuracies and areas, their intervals and tests."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.errors import UsageError
from common.evaluation import statistics
from common.evaluation.clustered import (
    CLUSTER_T,
    CLUSTERED_DELONG,
    DELONG,
    MCNEMAR,
    compare_areas,
    compare_own_shares,
    compare_shares,
)
from common.evaluation.samples import Sample, choose_areas, gather_sample, select_row
from common.records.results import Pair


def compare_rows(predictions: pd.DataFrame, protocol: str, rows: Sequence[str]) -> list[Pair]:
    """Compare every pair of rows on their common cases; UsageError if there are none.

    accuracy_difference (a - b) is that of the accuracies averaged over the seeds, auc_difference that of the areas as
    `evaluate` gives them (only with two classes, else None); both fractions. Their intervals and p values know patients and
    seeds (`clustered`): rows of the same seeds are compared seed by seed, others by the means over their own seeds. Where one row
    alone has a single seed there is no p, as nothing is known of how its trainings vary, and the interval leaves that out; with a
    single seed each, p is of these two trainings. The note says so. accuracy_test and auc_test name the tests.
    McNemar's exact test takes the place of the t test where each patient has one case and there is one seed. only_a, only_b:
    cases that only one row has right, by each case's score averaged over the seeds. A p is None where the difference does not
    vary between the patients; the note says so. *_p_holm: adjusted over all pairs of this call, so call it with the rows of one
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
    pairs = [_compare_pair(predictions, protocol, a, b) for a, b in itertools.combinations(rows, 2)]
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


def _compare_pair(predictions: pd.DataFrame, protocol: str, a: str, b: str) -> Pair:
    place = f"rows {a!r} and {b!r}, protocol {protocol!r}"
    parts = [select_row(predictions, row, protocol) for row in (a, b)]
    scored = [_list_complete(part) for part in parts]
    common = scored[0].intersection(scored[1])
    if common.empty:
        raise UsageError(f"{place}: no common case to compare them on")
    parts = [part[part["case_id"].isin(common)] for part in parts]
    _check_same_cases(parts[0], parts[1], place)
    samples = [gather_sample(part, place) for part in parts]
    correct, score = zip(*(_average_folds(sample) for sample in samples), strict=True)  # (S, cases), (cases, C)
    cases, first = np.unique(samples[0].case_ids, return_index=True)
    cases = cases[np.argsort(first)]  # in the order of the patients
    first = np.sort(first)
    y_true, patients = samples[0].y_true[first], samples[0].patient_ids[first]
    starts = np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]])
    seeds = [sample.seeds for sample in samples]
    single = [len(of) == 1 for of in seeds]
    paired = seeds[0] == seeds[1] or all(single)
    right = [np.add.reduceat(of, starts, axis=-1) for of in correct]
    sizes = np.diff(np.r_[starts, cases.size]).astype(float)
    if paired:
        accuracy = compare_shares(right[0] - right[1], np.broadcast_to(sizes, right[0].shape))
    else:
        accuracy = compare_own_shares(right[0], right[1], sizes)
    mcnemar = statistics.mcnemar_exact(*(of.argmax(axis=-1) == y_true for of in score))
    exact = samples[0].one_case_each and all(single)
    p, test = (mcnemar.p, MCNEMAR) if exact else (float(accuracy.p), CLUSTER_T)
    area = None
    if score[0].shape[1] == 2:
        area = compare_areas(*(choose_areas(sample)[0][0] for sample in samples), same_seeds=paired)
    classic = samples[0].one_case_each and all(single) and not any(sample.within_folds for sample in samples)
    of_area = 1.0 if area is None or np.isnan(area.difference) else float(area.p)
    notes = [
        f"the {name} differ alike in all patients: no test"
        for name, of in (("accuracies", p), ("areas", of_area))
        if np.isnan(of)
    ]
    if len(starts) < 2:
        notes = ["one patient: no test"]
    notes += _describe_trainings([a, b], single) + _describe_folds(samples)
    tested = not any(single) or all(single)  # how trainings vary is known of both rows, or the two trainings are compared
    return Pair(
        protocol=protocol,
        row_a=a,
        row_b=b,
        seeds=sorted(set(seeds[0]) & set(seeds[1])),
        seeds_a=seeds[0],
        seeds_b=seeds[1],
        n=len(cases),
        patients=len(starts),
        accuracy_a=float(correct[0].mean()),
        accuracy_b=float(correct[1].mean()),
        accuracy_difference=float(accuracy.difference),
        low=_or_none(accuracy.low),
        high=_or_none(accuracy.high),
        only_a=mcnemar.only_a,
        only_b=mcnemar.only_b,
        mcnemar_p=_or_none(p) if tested else None,
        mcnemar_p_holm=None,
        auc_difference=_or_none(area.difference) if area else None,
        auc_low=_or_none(area.low) if area else None,
        auc_high=_or_none(area.high) if area else None,
        delong_p=_or_none(area.p) if area and tested else None,
        delong_p_holm=None,
        accuracy_test=test if len(starts) > 1 and tested else "",
        auc_test="" if area is None or not tested or np.isnan(area.df) else DELONG if classic else CLUSTERED_DELONG,
        note="; ".join(notes),
    )


def _or_none(value: np.ndarray | float) -> float | None:
    return None if np.isnan(value) else float(value)


def _describe_trainings(rows: Sequence[str], single: Sequence[bool]) -> list[str]:
    if all(single):
        return ["these are two trainings"]
    return [
        f"one training of {row}: how its trainings vary is not known, no test"
        for row, one in zip(rows, single, strict=True)
        if one
    ]


def _describe_folds(samples: Sequence[Sample]) -> list[str]:
    """What is to be said where the rows share a seed but not its folds, or only one has folds."""
    of_a, of_b = (dict(zip(sample.seeds, sample.folds, strict=True)) for sample in samples)
    numbers = [len(np.unique(sample.folds)) for sample in samples]
    differ = numbers[0] != numbers[1] or any(
        of_a[seed].shape != of_b[seed].shape or _differ(of_a[seed], of_b[seed]) for seed in of_a.keys() & of_b.keys()
    )
    return ["the folds of the rows differ: their trainings saw different cases"] if differ else []


def _differ(folds_a: np.ndarray, folds_b: np.ndarray) -> bool:
    """Whether cases are divided otherwise, whatever the folds are called."""
    pairs = len(np.unique(np.stack([folds_a, folds_b]), axis=1).T)
    return pairs != len(np.unique(folds_a)) or pairs != len(np.unique(folds_b))


def _list_complete(part: pd.DataFrame) -> pd.Index:
    """Cases that all the seeds scored."""
    count = part.drop_duplicates(["case_id", "seed"]).groupby("case_id").size()
    return count.index[count == part["seed"].nunique()]


def _check_same_cases(of_a: pd.DataFrame, of_b: pd.DataFrame, place: str) -> None:
    labels = [part.drop_duplicates("case_id").set_index("case_id").sort_index() for part in (of_a, of_b)]
    for name in ("patient_id", "y_true"):
        differs = (labels[0][name] != labels[1][name]).to_numpy()
        if differs.any():
            case = labels[0].index[int(np.argmax(differs))]
            raise UsageError(f"{place}: {name} of case {case!r} differs")


def _average_folds(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Of each case, however often repeated folds scored it: share of right answers (S, cases), mean score (cases, C)."""
    starts = np.flatnonzero(np.r_[True, sample.case_ids[1:] != sample.case_ids[:-1]])
    lines = np.diff(np.r_[starts, sample.case_ids.size])
    correct = np.add.reduceat((sample.y_pred == sample.y_true).astype(float), starts, axis=-1) / lines
    scores = np.add.reduceat(sample.scores, starts, axis=1) / lines[:, None]
    return correct, scores.mean(axis=0)
