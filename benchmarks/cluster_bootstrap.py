"""Patient-cluster bootstrap of six metrics: weights and matrix products against a loop over resampled cases.

Both run in this process on the same resamples and must give the same values; the loop is plain NumPy (it gathers the
cases of the drawn patients, counts the confusion matrix and ranks the scores).

    python -m benchmarks.cluster_bootstrap [--cases 10000] [--resamples 2000] [--out FILE.json]
"""

import argparse
import json
import math
import resource
import time
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from benchmarks.bootstrap import cluster_bootstrap, prepare_metrics

NAMES = ("accuracy", "sensitivity", "specificity", "f1", "mcc", "auc")
CASES_PER_PATIENT = 4


def draw_cases(cases: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients (n,), labels (n,), class scores (n, 2): about 20 % positive, scores with ties and a patient effect."""
    rng = np.random.default_rng(seed)
    patients = np.arange(cases) // CASES_PER_PATIENT
    y_true = (rng.random(cases) < 0.2).astype(np.int64)
    signal = 1.5 * y_true + rng.normal(0, 0.5, patients[-1] + 1)[patients] + rng.normal(0, 1, cases) - 1
    score = np.round(1 / (1 + np.exp(-signal)), 3)
    return patients, y_true, np.stack([1 - score, score], axis=1)


def resample_in_loop(patients: np.ndarray, y_true: np.ndarray, scores: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The metrics NAMES (6, resamples) by gathering the cases of the drawn patients, one resample at a time."""
    distinct = np.unique(patients)
    cases_of = [np.flatnonzero(patients == patient) for patient in distinct]
    y_pred = scores.argmax(axis=1)
    drawn = np.random.default_rng(seed).integers(distinct.size, size=(resamples, distinct.size))
    values = np.empty((len(NAMES), resamples))
    for r in range(resamples):
        cases = np.concatenate([cases_of[patient] for patient in drawn[r]])
        y, predicted = y_true[cases], y_pred[cases]
        tn, fp, fn, tp = (int(count) for count in np.bincount(2 * y + predicted, minlength=4))
        positives, negatives = tp + fn, tn + fp
        rank_sum = rankdata(scores[cases, 1])[y == 1].sum()
        n = positives + negatives
        covariance = (tp + tn) * n - (negatives * (tn + fn) + positives * (tp + fp))
        spread = (n**2 - (negatives**2 + positives**2)) * (n**2 - ((tn + fn) ** 2 + (tp + fp) ** 2))
        values[:, r] = (
            (tp + tn) / n,
            tp / positives,
            tn / negatives,
            2 * tp / (2 * tp + fp + fn),
            covariance / math.sqrt(spread),
            (rank_sum - positives * (positives + 1) / 2) / (positives * negatives),
        )
    return values


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args(arguments)
    patients, y_true, scores = draw_cases(options.cases, seed=0)

    start = time.perf_counter()
    fast = cluster_bootstrap(patients, prepare_metrics(y_true, scores, NAMES), options.resamples, seed=0)
    fast_seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    start = time.perf_counter()
    plain = resample_in_loop(patients, y_true, scores, options.resamples, seed=0)
    loop_seconds = time.perf_counter() - start

    if not np.array_equal(fast, plain):
        raise SystemExit(f"the values differ, by at most {np.abs(fast - plain).max():.2g}")
    ratio = loop_seconds / fast_seconds
    print(f"{options.resamples} resamples of {options.cases} cases, {len(NAMES)} metrics, equal to the last bit")
    print(f"loop {loop_seconds:.2f} s, weights {fast_seconds:.2f} s: {ratio:.1f} times faster")
    print(f"peak memory of the process up to the end of the weights: {peak:.0f} MiB")
    if options.out:
        figures = {
            "cases": options.cases,
            "resamples": options.resamples,
            "metrics": NAMES,
            "loop_seconds": round(loop_seconds, 3),
            "weights_seconds": round(fast_seconds, 3),
            "ratio": round(ratio, 2),
            "peak_mib": round(peak),
            "equal": True,
        }
        options.out.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
