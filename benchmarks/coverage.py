"""Coverage of the printed 95 % intervals, and type I error of the printed tests, by simulation.

    python -m benchmarks.coverage [--full] [--replicates N] [--seed N] [--workers N]

Scores are binormal. Of a score's variance inside a class, `correlation` is the patient's, the rest the case's, of which 80 %
are common to the seeds; so trainings on the same data err on the same cases. The accuracy of a training varies between the
seeds with `seed sd`. Three seeds; what an interval should cover is the expected value over trainings and patients. The
functions under test are those that `common.evaluation.metrics` calls; only the tables around them are passed by. Without --full
24 of the 144 cells and fewer samples. With it, cells outside the promise are measured again with ten times the samples and other
random numbers: of so many cells the extremes lie outside by chance alone. Prints Markdown; takes about half a minute, --full
about half an hour of one idle core.
"""

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtr, ndtri

from benchmarks import bootstrap
from common.evaluation.areas import Area, estimate_area, measure_area
from common.evaluation.clustered import compare_areas, compare_shares
from common.evaluation.confusion import estimate_confusion, estimate_positive_mean
from common.evaluation.statistics import expected_calibration_error, mcnemar_exact

SEEDS, COMMON = 3, 0.8  # trainings of a row; share of a case's own variance that they have in common
SHOWN = ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "auc", "brier")
LOW, HIGH = 0.93, 0.98  # the coverage that is promised
AGAIN = 10  # times the samples for cells that seem to lie outside
VALUES = 2_000_000  # scores held at once


class Cell(NamedTuple):
    """A cell of the grid."""

    patients: int
    images: int  # each patient has 1 to this many cases
    correlation: float  # of the scores of one patient's cases
    accuracy: float  # expected; also sensitivity and specificity
    prevalence: float
    seed_sd: float  # of the accuracy between trainings


class Classes(NamedTuple):
    """A test set of several classes, one case a patient; the metrics are means over the classes."""

    sizes: tuple[int, ...]
    accuracy: float  # expected, of each class
    seeds: int
    seed_sd: float = 0.0


CLASSES = (
    Classes((4, 60, 60), 0.85, 1),
    Classes((10, 100, 400), 0.85, 3),
    Classes((6, 12, 42), 0.93, 3),
    Classes((10, 10, 10), 0.97, 3),
    Classes((40, 40, 40), 0.85, 3, 0.02),
)


class Sample(NamedTuple):
    """Samples of a cell: R replicates, S seeds, P patients, K places for cases each."""

    ill: np.ndarray  # (R, P) bool
    here: np.ndarray  # (R, P, K) bool: a place that holds a case
    score: np.ndarray  # (R, S, P, K); above 0: taken for ill


def list_cells(full: bool = True) -> list[Cell]:
    """The grid; correlation differs only where patients have several images."""
    clusters = ((1, 0.0), (8, 0.0), (8, 0.5))
    grid = itertools.product((30, 60, 100, 300), clusters, (0.7, 0.85, 0.97), (0.2, 0.5), (0.0, 0.02))
    cells = [Cell(p, *cluster, *rest) for p, cluster, *rest in grid]
    return (
        cells
        if full
        else [cell for cell in cells if cell.patients in (30, 100) and cell.accuracy > 0.8 and cell.prevalence > 0.3]
    )


def draw_sample(rng: np.random.Generator, cell: Cell, replicates: int, rows: int = 1) -> list[Sample]:
    """Samples of a cell; rows on the same cases have half of what is the patient's or the case's own in common."""
    shape = (replicates, cell.patients)
    images = rng.integers(1, cell.images + 1, shape)
    ill = rng.random(shape) < cell.prevalence
    while (few := (ill.sum(1) < 2) | (ill.sum(1) > cell.patients - 2)).any():
        ill[few] = rng.random((few.sum(), cell.patients)) < cell.prevalence
    here = np.arange(cell.images) < images[..., None]
    share = 1.0 if rows == 1 else 0.5

    def draw_parts(size: tuple[int, ...]) -> list[np.ndarray]:
        common = rng.standard_normal(size)
        return [np.sqrt(share) * common + np.sqrt(1 - share) * rng.standard_normal(size) for _ in range(rows)]

    samples = []
    for patient, case in zip(draw_parts((*shape, 1)), draw_parts((*shape, cell.images)), strict=True):
        base = np.sqrt(cell.correlation) * patient + np.sqrt((1 - cell.correlation) * COMMON) * case
        noise = rng.standard_normal((replicates, SEEDS, cell.patients, cell.images))
        skill = 2 * ndtri(limit_accuracy(cell.accuracy + cell.seed_sd * rng.standard_normal((replicates, SEEDS))))
        score = skill[..., None, None] * (ill[:, None, :, None] - 0.5) + base[:, None]
        samples.append(Sample(ill, here, score + np.sqrt((1 - cell.correlation) * (1 - COMMON)) * noise))
    return samples


def limit_accuracy(accuracy: np.ndarray) -> np.ndarray:
    return np.clip(accuracy, 0.5, 0.999)


def find_truth(cell: Cell) -> dict[str, float]:
    """Expected metrics, by numerical integration over the trainings (and over the score for the Brier score)."""
    places = 400
    normal = ndtri((np.arange(places) + 0.5) / places)
    a = limit_accuracy(cell.accuracy + cell.seed_sd * normal)
    p = cell.prevalence
    called = a * p + (1 - a) * (1 - p)
    score = ndtri(a)[:, None] + normal  # of an ill case, less 0; a healthy one is its mirror image
    probability = expit(2 * ndtri(cell.accuracy) * score)
    truth = {
        "accuracy": a,
        "precision": a * p / called,
        "f1": 2 * a * p / (called + p),
        "mcc": (2 * a - 1) * np.sqrt(p * (1 - p) / (called * (1 - called))),
        "auc": ndtr(np.sqrt(2) * ndtri(a)),
        "brier": (1 - probability) ** 2,
    }
    found = {name: float(np.mean(values)) for name, values in truth.items()}
    return found | dict.fromkeys(("sensitivity", "specificity"), found["accuracy"])


def count_cells(sample: Sample) -> np.ndarray:
    """Counts (R, S, P, 2, 2), truth in rows, as `estimate_confusion` takes them."""
    here = sample.here[:, None]
    called = ((sample.score > 0) & here).sum(axis=-1)
    given = np.stack([here.sum(axis=-1) - called, called], axis=-1)
    truth = np.stack([~sample.ill, sample.ill], axis=-1)[:, None]
    return (truth[..., None] * given[..., None, :]).astype(np.float64)


def rank_cases(sample: Sample) -> Area:
    """The areas of a sample, by the function that a report uses."""
    replicates, seeds, patients, images = sample.score.shape
    ill = (sample.here & sample.ill[..., None]).reshape(replicates, -1)
    healthy = (sample.here & ~sample.ill[..., None]).reshape(replicates, -1)
    return measure_area(ill, healthy, sample.score.reshape(replicates, seeds, -1), np.arange(patients) * images)


def measure_cover(cell: Cell, replicates: int, seed: int) -> dict[str, float]:
    """Share of the samples whose interval holds the expected value, for each metric; without an interval does not cover.

    Samples in which a metric is undefined in a seed (no case called ill) are left out, as no interval is printed for them.
    """
    rng = np.random.default_rng([seed, *(round(1000 * value) for value in cell)])
    truth = find_truth(cell)
    hits: dict[str, list[np.ndarray]] = {name: [] for name in SHOWN}
    for size in split_replicates(cell, replicates):
        (sample,) = draw_sample(rng, cell, size)
        counts = count_cells(sample)
        estimates = estimate_confusion(counts) | {"auc": estimate_area(rank_cases(sample))}
        slope = 2 * ndtri(cell.accuracy)
        squares = (expit(slope * sample.score) - sample.ill[:, None, :, None]) ** 2 * sample.here[:, None]
        estimates["brier"] = estimate_positive_mean(squares.sum(axis=-1), counts.sum(axis=(-2, -1)))
        for name in SHOWN:
            found = estimates[name]
            inside = (found.low <= truth[name] + 1e-12) & (found.high >= truth[name] - 1e-12)
            hits[name].append(inside[~np.isnan(found.mean)])
    return {name: float(np.concatenate(parts).mean()) for name, parts in hits.items()}


def measure_class_cover(cell: Classes, replicates: int, seed: int) -> dict[str, float]:
    """As `measure_cover`, of means over classes; a wrong case is given any of the other classes."""
    rng = np.random.default_rng([seed, 11, *cell.sizes, round(1000 * cell.accuracy), cell.seeds])
    classes, y = len(cell.sizes), np.repeat(np.arange(len(cell.sizes)), cell.sizes)
    shape = (replicates, cell.seeds, y.size)
    skill = limit_accuracy(cell.accuracy + cell.seed_sd * rng.standard_normal((replicates, cell.seeds, 1)))
    alike = np.sqrt(COMMON) * rng.standard_normal((replicates, 1, y.size)) + np.sqrt(1 - COMMON) * rng.standard_normal(shape)
    other = (y + rng.integers(1, classes, (replicates, 1, y.size))) % classes
    given = np.where(alike < ndtri(skill), y, other)
    estimates = estimate_confusion(np.eye(classes)[y][:, :, None] * np.eye(classes)[given][..., None, :])
    expected = np.full((classes, classes), (1 - cell.accuracy) / (classes - 1))
    np.fill_diagonal(expected, cell.accuracy)
    expected *= np.array(cell.sizes)[:, None]
    hits, called, cases = np.diagonal(expected), expected.sum(axis=0), np.array(cell.sizes)
    truth = {
        "sensitivity": cell.accuracy,
        "specificity": np.mean(1 - (called - hits) / (y.size - cases)),
        "precision": np.mean(hits / called),
        "f1": np.mean(2 * hits / (called + cases)),
    }
    found = {name: estimates[name] for name in truth}
    inside = {name: (of.low <= truth[name]) & (of.high >= truth[name]) for name, of in found.items()}
    return {name: float(inside[name][~np.isnan(of.mean)].mean()) for name, of in found.items()}


def split_replicates(cell: Cell, replicates: int) -> Iterator[int]:
    """Sizes of blocks that hold at most VALUES scores."""
    block = max(1, VALUES // (cell.patients * cell.images * SEEDS))
    for start in range(0, replicates, block):
        yield min(block, replicates - start)


def measure_errors(cell: Cell, replicates: int, seed: int) -> dict[str, float]:
    """Type I error at 5 % of the tests of two equally good rows, with one seed and with all."""
    rng = np.random.default_rng([seed, 7, *(round(1000 * value) for value in cell)])
    rejected: dict[str, list[np.ndarray]] = {}
    for size in split_replicates(cell, replicates):
        a, b = draw_sample(rng, cell, size, rows=2)
        for seeds, label in ((1, "one seed"), (SEEDS, "three seeds")):
            first, second = (sample._replace(score=sample.score[:, :seeds]) for sample in (a, b))
            right = [((of.score > 0) == of.ill[:, None, :, None]) & of.here[:, None] for of in (first, second)]
            gain = (right[0].astype(float) - right[1]).sum(axis=-1)
            cases = np.broadcast_to(first.here.sum(axis=-1)[:, None].astype(float), gain.shape)
            tests = {"accuracy": compare_shares(gain, cases), "AUC": compare_areas(rank_cases(first), rank_cases(second))}
            for name, found in tests.items():
                rejected.setdefault(f"{name}, {label}", []).append(found.p < 0.05)
            if seeds == 1:
                pairs = zip(*(of[:, 0].reshape(size, -1) for of in right), strict=True)
                exact = [mcnemar_exact(*pair).p < 0.05 for pair in pairs]
                rejected.setdefault("McNemar, exact", []).append(np.array(exact))
    return {name: float(np.concatenate(parts).mean()) for name, parts in rejected.items()}


def measure_bootstrap(cell: Cell, replicates: int, seed: int, resamples: int = 400) -> dict[str, float]:
    """Coverage of the percentile intervals of a bootstrap of patients, for comparison; "ece": of a calibrated score, ECE 0."""
    rng = np.random.default_rng([seed, 9, *(round(1000 * value) for value in cell)])
    truth = find_truth(cell)
    names = ("accuracy", "sensitivity", "f1", "mcc", "auc")
    hits: dict[str, list[bool]] = {name: [] for name in (*names, "ece")}
    for _ in range(replicates):
        (sample,) = draw_sample(rng, cell, 1)
        here = sample.here[0].ravel()
        ids = np.repeat(np.arange(cell.patients), cell.images)[here]
        y = np.repeat(sample.ill[0], cell.images)[here].astype(int)
        scores = expit(2 * ndtri(cell.accuracy) * sample.score[0].reshape(SEEDS, -1)[:, here])
        prepared = [bootstrap.prepare_metrics(y, np.stack([1 - s, s], axis=1), names) for s in scores]
        values = bootstrap.cluster_bootstrap(ids, lambda w, p=prepared: np.mean([of(w) for of in p], axis=0), resamples)
        for name, of in zip(names, values, strict=True):
            interval = bootstrap.percentile_interval(of)
            hits[name].append(interval is not None and interval[0] - 1e-12 <= truth[name] <= interval[1] + 1e-12)
        drawn = rng.integers(cell.patients, size=(100, cell.patients))
        rows = [np.flatnonzero(ids == patient) for patient in range(cell.patients)]
        picked = [np.concatenate([rows[patient] for patient in patients]) for patients in drawn]
        ece = [np.mean([expected_calibration_error(y[at], s[at]) for s in scores]) for at in picked]
        hits["ece"].append(float(np.quantile(ece, 0.025)) <= 0)
    return {name: float(np.mean(of)) for name, of in hits.items()}


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def describe_cell(cell: Cell) -> list[str]:
    images = "1" if cell.images == 1 else f"1 to {cell.images}"
    return [str(cell.patients), images, *(f"{value:g}" for value in cell[2:5]), f"{100 * cell.seed_sd:g}"]


def print_cover(cells: Sequence[Cell], found: Sequence[dict[str, float]]) -> list[tuple[str, Cell, float]]:
    """Print the range of each metric; returns what lies outside the promise: metric, cell, coverage."""
    lines, outside = [], []
    for name in SHOWN:
        values = np.array([of[name] for of in found])
        low, high = values < LOW, values > HIGH
        numbers = [f"{100 * value:.1f}" for value in (values.min(), np.median(values), values.max())]
        lines.append([name, *numbers, int(low.sum()), int(high.sum())])
        outside += [(name, cells[i], float(values[i])) for i in np.flatnonzero(low | high)]
    print_table(("metric", "least", "median", "most", "cells below 93", "cells above 98"), lines)
    return outside


HEAD = ("patients", "images", "correlation", "accuracy", "prevalence", "seed sd")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description="Coverage of intervals, errors of tests.")
    parser.add_argument("--full", action="store_true", help="the whole grid, and the bootstrap for comparison")
    parser.add_argument("--replicates", type=int, help="samples of a cell (default: 500; with --full 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes side by side, for the first table")
    options = parser.parse_args(arguments)
    replicates = options.replicates or (1000 if options.full else 500)
    started = time.perf_counter()
    cells = list_cells(options.full)
    with ProcessPoolExecutor(options.workers) as pool:
        found = list(pool.map(partial(measure_cover, replicates=replicates, seed=options.seed), cells))
        print(f"Coverage of 95 % intervals in %, {len(cells)} cells of {replicates} samples, three seeds:\n")
        outside = print_cover(cells, found)
        if options.full and outside:
            again = list(dict.fromkeys(cell for _, cell, _ in outside))
            more = partial(measure_cover, replicates=AGAIN * replicates, seed=options.seed + 1)
            anew = dict(zip(again, pool.map(more, again), strict=True))
            print(f"Cells outside 93 to 98, and the same with {AGAIN * replicates} other samples:\n")
            lines = [
                [name, *describe_cell(cell), f"{100 * value:.1f}", f"{100 * anew[cell][name]:.1f}"]
                for name, cell, value in outside
            ]
            print_table(("metric", *HEAD, "coverage", "again"), lines)
    print("Means over three classes:\n")
    lines = []
    for of_classes in CLASSES:
        cover = measure_class_cover(of_classes, 2 * replicates, options.seed)
        sizes, spread = ", ".join(map(str, of_classes.sizes)), 100 * of_classes.seed_sd
        lines.append(
            [sizes, of_classes.accuracy, of_classes.seeds, f"{spread:g}", *(f"{100 * value:.1f}" for value in cover.values())]
        )
    print_table(("patients of each class", "accuracy", "seeds", "seed sd", *cover), lines)
    nulls = [Cell(p, *cluster, 0.85, 0.5, sd) for p in (30, 100, 300) for cluster in ((1, 0.0), (8, 0.5)) for sd in (0.0, 0.02)]
    errors = [measure_errors(cell, replicates, options.seed) for cell in (nulls if options.full else nulls[4:8])]
    print("Type I error at 5 %, in %, two equally good rows:\n")
    names = list(errors[0])
    shown = nulls if options.full else nulls[4:8]
    print_table(
        (*HEAD, *names),
        [[*describe_cell(cell), *(f"{100 * of[name]:.1f}" for name in names)] for cell, of in zip(shown, errors, strict=True)],
    )
    if options.full:
        compared = [Cell(30, 8, 0.5, 0.97, 0.5, 0.0), Cell(100, 8, 0.5, 0.85, 0.5, 0.0), Cell(300, 8, 0.5, 0.85, 0.5, 0.02)]
        rows = []
        for cell in compared:
            of = measure_bootstrap(cell, 200, options.seed)
            rows.append([*describe_cell(cell), *(f"{100 * value:.0f}" for value in of.values())])
        print("Percentile intervals of a bootstrap of patients, 200 samples a cell:\n")
        print_table((*HEAD, *("accuracy", "sensitivity", "f1", "mcc", "auc", "ece")), rows)
    print(f"{time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
