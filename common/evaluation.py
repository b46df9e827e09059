"""From the predictions table to metrics with intervals, paired comparisons and verdicts.

Predictions: one line per case, row, seed and fold with the columns
protocol, row, seed, fold, case_id, patient_id, y_true, y_score_0 .. y_score_{C-1}; the scores of a line sum to 1.
The predicted class is the one with the highest score (the first of equals). With two classes, class 1 is positive.
"""

import csv
import gzip
import io
import itertools
import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common import bootstrap, statistics
from common.errors import UsageError
from common.paper import Claim

RESAMPLED = ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "auc", "majority_rate", "brier")
METRICS = (*RESAMPLED, "ece")
PROTOCOLS = ("paper", "leakfree")
KEYS = ("protocol", "row", "seed", "fold", "case_id", "patient_id", "y_true")
MAX_CHARACTERS = 2**28  # of an unpacked predictions file: a guard against damaged or hostile archives


def read_predictions(path: Path) -> pd.DataFrame:
    """The predictions table of a .csv.gz file, checked; UsageError names the file, the line and the fault."""
    repair = "restore the file or run the experiment again"
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
            text = stream.read(MAX_CHARACTERS + 1)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a .csv.gz file ({error}); {repair}") from error
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{path}: more than {MAX_CHARACTERS} characters, not a predictions table; {repair}")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    try:
        header = next(reader, [])
        for record in reader:
            if len(record) != len(header):
                raise UsageError(f"{path}, line {reader.line_num}: {len(record)} fields, not {len(header)}; {repair}")
            records.append(record)
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}; {repair}") from error
    frame = pd.DataFrame(records, columns=header, dtype=object)
    _check_columns(frame, str(path))
    for name in frame.columns:
        if name in ("seed", "fold", "y_true") or name.startswith("y_score_"):
            frame[name] = _parse_numbers(frame[name], float if name.startswith("y_score_") else int, str(path))
    _check_predictions(frame, str(path))
    return frame


def write_predictions(frame: pd.DataFrame, path: Path) -> None:
    """Write the predictions table as .csv.gz: sorted lines, nine significant digits, the same bytes every time.

    The file appears whole or not at all. Nine digits keep float32 scores exactly.
    """
    _check_predictions(frame, "predictions")
    ordered = frame.sort_values(["protocol", "row", "seed", "fold", "case_id"], kind="stable")
    text = ordered.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as packed:
            packed.write(text.encode("utf-8"))
        raw.flush()
        os.fsync(raw.fileno())
    partial.replace(path)


def evaluate(predictions: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> list[dict]:
    """Metrics of every row and protocol, sorted by protocol and row.

    Each dict: row, protocol, n (cases), patients, positives (cases of class 1), seeds, below_majority (mean accuracy at
    or below the majority rate) and metrics {name: {mean, sd, low, high, by_seed}}. The cases of all folds of a seed are
    pooled. mean and sd (None with one seed) are over the seeds; [low, high] is the 95 % percentile interval of the mean
    over the seeds in a patient-cluster bootstrap, the same resample for all seeds. A metric that is undefined in a seed
    (no positive predicted, one class only) is None there and in the mean. ece has no interval: its bias grows in
    resamples. Two classes: ece and brier of class 1; more: ece of the highest score, brier summed over the classes.
    """
    _check_predictions(predictions, "predictions")
    found = sorted(predictions.groupby(["protocol", "row"]).groups, key=lambda key: (PROTOCOLS.index(key[0]), key[1]))
    return [_evaluate_row(predictions, row, protocol, resamples, seed) for protocol, row in found]


def confusion(predictions: pd.DataFrame, row: str, protocol: str, seed: int | None = None) -> np.ndarray:
    """Confusion matrix (C, C) int64, truth in rows, summed over the folds and over the seeds unless one is given."""
    part = _select(predictions, row, protocol)
    if seed is not None:
        part = part[part["seed"] == seed]
        if part.empty:
            raise UsageError(f"row {row!r}, protocol {protocol!r}: there are no predictions of seed {seed}")
    scores = _scores(part)
    matrix = np.zeros((scores.shape[1], scores.shape[1]), np.int64)
    np.add.at(matrix, (part["y_true"].to_numpy(), scores.argmax(axis=1)), 1)
    return matrix


def collapsed(predictions: pd.DataFrame, row: str, protocol: str) -> list[int]:
    """Seeds in which every case of the row was given one and the same class."""
    part = _select(predictions, row, protocol)
    classes_given = pd.Series(_scores(part).argmax(axis=1)).groupby(part["seed"].to_numpy()).nunique()
    return [int(seed) for seed in classes_given.index[classes_given == 1]]


def compare_rows(
    predictions: pd.DataFrame, protocol: str, rows: Sequence[str], *, resamples: int = 2000, seed: int = 0
) -> list[dict]:
    """Compare every pair of rows on their common cases and common seeds; UsageError if there are none.

    accuracy_difference (a - b) is that of the accuracies averaged over the seeds, [low, high] its 95 % patient-cluster
    bootstrap interval. McNemar and DeLong need one classifier a row: they take each case's score averaged over the
    seeds, so that seeds do not count as further cases; auc_difference and its interval belong to that score (only with
    two classes, else None). Both treat cases as independent: where patients have several cases, the bootstrap interval
    is the one to believe. *_p_holm: adjusted over all pairs of this call, so call it with the rows of one data set.
    """
    pairs = [_compare_pair(predictions, protocol, a, b, resamples, seed) for a, b in itertools.combinations(rows, 2)]
    for name in ("mcnemar_p", "delong_p"):
        known = [pair for pair in pairs if pair[name] is not None]
        for pair, adjusted in zip(known, statistics.holm([pair[name] for pair in known]), strict=True):
            pair[f"{name}_holm"] = float(adjusted)
    return pairs


def judge_claims(
    claims: Sequence[Claim],
    rows: Sequence[dict],
    not_run: Mapping[tuple[str, str] | str, str],
    protocol: str = "paper",
    *,
    positive_class: str | None = None,
    extra: Mapping[tuple[str, str, str], float] | None = None,
    impossible: Collection[str] = (),
) -> list[dict]:
    """Set each claim beside our result: {table, row, metric, where, paper, tolerance, ours, low, high, verdict, note}.

    rows: from `evaluate`; not_run: (table, row) or row -> reason; extra: (table, row, metric) -> number, for claims of
    unit "count"; impossible: rows that the audit found impossible as printed. All numbers are in the claim's own unit.
    tolerance: the printed value's 95 % sampling half-width, from the claim's case numbers (Wilson for accuracy,
    sensitivity and specificity, Hanley-McNeil for AUC; positive_class says which class is meant); 0 for counts.
    Verdict: "within" the tolerance; "outside, lower" or "outside, higher" if our interval misses the tolerance band;
    else "unclear", also without a tolerance; "not run"; "n/a" for a claim without a value.
    """
    measured = {entry["row"]: entry["metrics"] for entry in rows if entry["protocol"] == protocol}
    judged = []
    for claim in claims:
        reason = not_run.get((claim.table, claim.row), not_run.get(claim.row))
        if claim.unit == "count":
            count = (extra or {}).get((claim.table, claim.row, claim.metric))
            result, tolerance, gap = {"mean": count, "low": count, "high": count}, 0.0, ""
            missing = count is None
        else:
            _check_metric(claim)
            result = measured.get(claim.row, {}).get(claim.metric, {})
            tolerance, gap = _sampling_halfwidth(claim, positive_class)
            missing = reason is not None or not result
        unit = 100 if claim.unit == "percent" else 1
        ours, low, high = (
            None if missing or result[part] is None else result[part] * unit for part in ("mean", "low", "high")
        )
        tolerance = None if tolerance is None else tolerance * unit
        notes = [
            claim.note,
            "impossible as printed" if claim.row in impossible else "",
            gap,
            (reason or "we have no result for it") if missing else "",
            f"our {claim.metric} is undefined in at least one seed" if not missing and ours is None else "",
        ]
        judged.append(
            {
                "table": claim.table,
                "row": claim.row,
                "metric": claim.metric,
                "where": claim.where,
                "paper": claim.value,
                "tolerance": tolerance,
                "ours": ours,
                "low": low,
                "high": high,
                "verdict": "not run" if missing else _give_verdict(claim.value, tolerance, ours, low, high),
                "note": "; ".join(note for note in notes if note),
            }
        )
    return judged


def _check_columns(frame: pd.DataFrame, source: str) -> None:
    scores = [f"y_score_{c}" for c in range(len(frame.columns) - len(KEYS))]
    if len(scores) < 2 or list(frame.columns) != [*KEYS, *scores]:
        expected = ", ".join([*KEYS, "y_score_0, y_score_1, ..."])
        raise UsageError(f"{source}: the columns are {', '.join(map(str, frame.columns))}, but must be {expected}")


def _parse_numbers(column: pd.Series, kind: type, source: str) -> np.ndarray:
    values = np.empty(len(column), np.int64 if kind is int else np.float64)
    for i, text in enumerate(column):
        try:
            values[i] = kind(text)
        except (ValueError, OverflowError):
            number = "an integer" if kind is int else "a number"
            raise UsageError(f"{source}, line {i + 2}: {column.name} is {text[:40]!r}, not {number}") from None
    return values


def _check_predictions(frame: pd.DataFrame, source: str) -> None:
    """UsageError at the first line (the header is line 1) that breaks the table's rules."""
    _check_columns(frame, source)
    if frame.empty:
        raise UsageError(f"{source}: the table has no lines; nothing was predicted")
    for name in ("seed", "fold", "y_true"):
        if frame[name].dtype.kind not in "iu":
            raise UsageError(f"{source}: {name} must hold integers, not {frame[name].dtype}")
    frame = frame.reset_index(drop=True)
    scores = _scores(frame)
    y_true = frame["y_true"].to_numpy()
    text = frame[["row", "case_id", "patient_id"]].astype(str)
    labelled = frame[["protocol", "row", "case_id", "patient_id", "y_true"]].drop_duplicates()
    contradictory = labelled[labelled.duplicated(["protocol", "row", "case_id"])].index
    faults = {
        f"protocol is not one of {', '.join(PROTOCOLS)}": ~frame["protocol"].isin(PROTOCOLS),
        "row, case_id or patient_id is empty or holds a control character": np.any(
            [(text[name] == "") | text[name].str.contains(r"[\x00-\x1f]") for name in text], axis=0
        ),
        f"y_true is not a class from 0 to {scores.shape[1] - 1}": (y_true < 0) | (y_true >= scores.shape[1]),
        "a score is not a number from 0 to 1": ~np.all((scores >= 0) & (scores <= 1), axis=1),
        "the scores do not sum to 1": ~(np.abs(scores.sum(axis=1) - 1) <= 1e-3),
        "the case occurs twice in this row, seed and fold": frame.duplicated(
            ["protocol", "row", "seed", "fold", "case_id"]
        ),
        "patient_id or y_true of the case differs from an earlier line": frame.index.isin(contradictory),
    }
    for fault, at in faults.items():
        if np.any(at):
            raise UsageError(f"{source}, line {int(np.argmax(np.asarray(at))) + 2}: {fault}")


def _scores(frame: pd.DataFrame) -> np.ndarray:
    return frame[[name for name in frame.columns if name.startswith("y_score_")]].to_numpy(np.float64)


def _select(predictions: pd.DataFrame, row: str, protocol: str) -> pd.DataFrame:
    part = predictions[(predictions["row"] == row) & (predictions["protocol"] == protocol)]
    if part.empty:
        raise UsageError(f"there are no predictions of row {row!r}, protocol {protocol!r}")
    return part


def _evaluate_row(predictions: pd.DataFrame, row: str, protocol: str, resamples: int, seed: int) -> dict:
    part = _select(predictions, row, protocol).sort_values(["seed", "case_id", "fold"], kind="stable")
    seeds = [int(value) for value in part["seed"].unique()]
    of_seed = [part[part["seed"] == value] for value in seeds]
    first = of_seed[0]
    for value, other in zip(seeds, of_seed, strict=True):
        if list(other["case_id"]) != list(first["case_id"]):
            raise UsageError(
                f"row {row!r}, protocol {protocol!r}: seeds {seeds[0]} and {value} cover different cases; "
                "finish the missing cells or leave the seed out"
            )
    y_true = first["y_true"].to_numpy()
    scores = [_scores(seed_part) for seed_part in of_seed]
    prepared = [bootstrap.prepare_metrics(y_true, of, RESAMPLED) for of in scores]

    def compute(weights: np.ndarray) -> np.ndarray:
        return np.stack([statistic(weights) for statistic in prepared])  # (seeds, metrics, b)

    by_seed = compute(np.ones((y_true.size, 1)))[..., 0]
    resampled = bootstrap.cluster_bootstrap(
        first["patient_id"], lambda weights: compute(weights).mean(axis=0), resamples, seed
    )
    metrics = {
        name: _summarise(by_seed[:, i], bootstrap.percentile_interval(resampled[i])) for i, name in enumerate(RESAMPLED)
    }
    metrics["ece"] = _summarise(np.array([_calibration_error(y_true, of) for of in scores]), None)
    cases = first.drop_duplicates("case_id")
    gain = metrics["accuracy"]["mean"] - metrics["majority_rate"]["mean"]
    return {
        "row": row,
        "protocol": protocol,
        "n": len(cases),
        "patients": int(cases["patient_id"].nunique()),
        "positives": int((cases["y_true"] == 1).sum()),
        "seeds": seeds,
        "below_majority": bool(gain <= 1e-12),  # a mean of equal rates may differ from them in the last bit
        "metrics": metrics,
    }


def _calibration_error(y_true: np.ndarray, scores: np.ndarray) -> float:
    """ECE of class 1 (two classes), else of the highest score as the probability of being right."""
    if scores.shape[1] == 2:
        return statistics.expected_calibration_error(y_true, scores[:, 1])
    return statistics.expected_calibration_error(scores.argmax(axis=1) == y_true, scores.max(axis=1))


def _summarise(by_seed: np.ndarray, interval: tuple[float, float] | None) -> dict:
    defined = not np.isnan(by_seed).any()
    low, high = interval if defined and interval else (None, None)
    return {
        "mean": float(by_seed.mean()) if defined else None,
        "sd": float(by_seed.std(ddof=1)) if defined and by_seed.size > 1 else None,
        "low": low,
        "high": high,
        "by_seed": [None if np.isnan(value) else float(value) for value in by_seed],
    }


def _compare_pair(predictions: pd.DataFrame, protocol: str, a: str, b: str, resamples: int, seed: int) -> dict:
    parts = [_select(predictions, row, protocol) for row in (a, b)]
    seeds = sorted(set(parts[0]["seed"]) & set(parts[1]["seed"]))
    if not seeds:
        raise UsageError(f"rows {a!r} and {b!r}, protocol {protocol!r}: no common seed to compare them on")
    of_a, of_b = (_average_cases(part, seeds) for part in parts)
    common = of_a.index.intersection(of_b.index).sort_values()
    if common.empty:
        raise UsageError(f"rows {a!r} and {b!r}, protocol {protocol!r}: no common case to compare them on")
    of_a, of_b = of_a.loc[common], of_b.loc[common]
    for name in ("patient_id", "y_true"):
        if (of_a[name] != of_b[name]).any():
            case = common[int(np.argmax((of_a[name] != of_b[name]).to_numpy()))]
            raise UsageError(f"rows {a!r} and {b!r}, protocol {protocol!r}: {name} of case {case!r} differs")
    y_true = of_a["y_true"].to_numpy()
    score_a, score_b = _scores(of_a), _scores(of_b)
    gain = (of_a["correct"] - of_b["correct"]).to_numpy()
    interval = bootstrap.percentile_interval(
        bootstrap.cluster_bootstrap(of_a["patient_id"], bootstrap.prepare_mean(gain), resamples, seed)
    )
    mcnemar = statistics.mcnemar_exact(score_a.argmax(axis=1) == y_true, score_b.argmax(axis=1) == y_true)
    two_classes = score_a.shape[1] == 2 and np.bincount(y_true, minlength=2).min() >= 2
    delong = statistics.delong_test(y_true, score_a[:, 1], score_b[:, 1]) if two_classes else None
    return {
        "protocol": protocol,
        "row_a": a,
        "row_b": b,
        "seeds": [int(value) for value in seeds],
        "n": len(common),
        "patients": int(of_a["patient_id"].nunique()),
        "accuracy_a": float(of_a["correct"].mean()),
        "accuracy_b": float(of_b["correct"].mean()),
        "accuracy_difference": float(gain.mean()),
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "only_a": mcnemar.only_a,
        "only_b": mcnemar.only_b,
        "mcnemar_p": mcnemar.p,
        "mcnemar_p_holm": None,
        "auc_difference": delong.difference if delong else None,
        "auc_low": delong.low if delong else None,
        "auc_high": delong.high if delong else None,
        "delong_p": delong.p if delong else None,
        "delong_p_holm": None,
    }


def _average_cases(part: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """One line per case that all the seeds scored: patient_id, y_true, share of correct answers, mean scores."""
    part = part[part["seed"].isin(seeds)]
    part = part.assign(correct=(_scores(part).argmax(axis=1) == part["y_true"]).astype(float))
    score_names = [name for name in part.columns if name.startswith("y_score_")]
    # Seeds weigh alike, however often a seed's repeated folds scored the case.
    per_seed = part.groupby(["case_id", "seed"])[["correct", *score_names]].mean()
    averaged = per_seed.groupby("case_id").mean()[per_seed.groupby("case_id").size() == len(seeds)]
    labels = part.drop_duplicates("case_id").set_index("case_id")[["patient_id", "y_true"]]
    return labels.loc[averaged.index].join(averaged)


def _check_metric(claim: Claim) -> None:
    if claim.metric not in METRICS:
        known = ", ".join(METRICS)
        raise UsageError(f"claim {claim.table}, {claim.row!r}: metric {claim.metric!r} is not one of {known}")


def _give_verdict(
    paper: float | None, tolerance: float | None, ours: float | None, low: float | None, high: float | None
) -> str:
    if paper is None:
        return "n/a"
    if tolerance is None or ours is None:
        return "unclear"
    if abs(ours - paper) <= tolerance + 1e-9:
        return "within"
    if high is not None and high < paper - tolerance:
        return "outside, lower"
    if low is not None and low > paper + tolerance:
        return "outside, higher"
    return "unclear"


def _sampling_halfwidth(claim: Claim, positive_class: str | None) -> tuple[float | None, str]:
    """(95 % half-width as a fraction, or None and the reason) of a printed proportion or AUC, from its case numbers."""
    if claim.value is None:
        return None, ""
    share = claim.value / 100 if claim.unit == "percent" else claim.value
    if not claim.classes:
        return None, "no tolerance: the paper's case numbers are not known"
    if claim.metric == "accuracy":
        return _wilson_halfwidth(share, claim.n), ""
    if claim.metric not in ("sensitivity", "specificity", "auc") or len(claim.classes) != 2:
        return None, f"no tolerance: the case numbers do not give the sampling error of this {claim.metric}"
    if positive_class not in claim.classes:
        known = ", ".join(claim.classes)
        raise UsageError(f"claim {claim.table}, {claim.row!r}: positive class {positive_class!r} is not one of {known}")
    positives = claim.classes[positive_class]
    if claim.metric == "auc":
        return statistics.hanley_mcneil_halfwidth(share, positives, claim.n - positives), ""
    return _wilson_halfwidth(share, positives if claim.metric == "sensitivity" else claim.n - positives), ""


def _wilson_halfwidth(share: float, n: int) -> float:
    low, high = statistics.wilson_interval(share * n, n)
    return (high - low) / 2
