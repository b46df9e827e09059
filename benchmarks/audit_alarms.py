"""False alarms of the audit on true tables, and its detection of one altered number; seeded.

Every table is made from drawn confusion matrices, averaged and written as papers do, and given to the audit twice: with the
way of averaging stated (`average`, `folds`, `fold_sizes`, `runs`) and left open. A false alarm is a true table with a finding
that accuses: "impossible" or "swapped". For detection one number of a true table is moved by 0.5 to 5 points.

    python -m benchmarks.audit_alarms [--tables 1000] [--kind binary ...] [--seed 0] [--out FILE.json]
"""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.audit.papers import audit_paper
from common.records.paper import Claim, Headline, Paper

ACCUSING = ("impossible", "swapped")
SIZES = (30, 100, 300, 1000, 3000)  # test cases, for detection
METRICS = ("accuracy", "sensitivity", "specificity", "precision", "f1")


@dataclass(frozen=True)
class Table:
    """One row as a paper prints it: {metric: value}, how it is written, and how it came about."""

    values: dict[str, float]
    classes: dict[str, int]
    digits: int
    unit: str
    truncated: bool = False
    average: str = "binary"
    folds: int = 1
    fold_sizes: tuple = ()
    runs: int = 1
    stratified: bool = False


# ------------------------------------------------------------------------------------------------- matrices and metrics


def draw_sizes(generator: np.random.Generator, classes: int, low: int = 20, high: int = 1000) -> np.ndarray:
    """Cases per class, int64 (classes,): together `low` to `high`, log-uniform; from balanced to 1 in 10."""
    n = int(np.exp(generator.uniform(np.log(low), np.log(high))))
    shares = generator.uniform(0.1, 1, classes) ** generator.choice([0, 1])
    return np.maximum(2, np.round(n * shares / shares.sum())).astype(int)


def draw_matrix(generator: np.random.Generator, sizes: np.ndarray, skill: np.ndarray) -> np.ndarray:
    """Confusion matrix, truth in rows, (classes, classes) int64; skill: chance (classes,) of a right answer in each class."""
    c = len(sizes)
    rows = []
    for j, n in enumerate(sizes):
        p = np.full(c, (1 - skill[j]) / (c - 1))
        p[j] = skill[j]
        rows.append(generator.multinomial(n, p))
    return np.array(rows)


def divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Quotient, 0 for 0/0 as scikit-learn has it."""
    return np.divide(top, bottom, out=np.zeros(np.shape(bottom)), where=np.asarray(bottom) != 0)


def compute_metrics(matrix: np.ndarray, average: str, f1_of_means: bool = False) -> dict[str, float]:
    """METRICS of a confusion matrix (classes, classes): class 0 for "binary", else averaged over the classes."""
    n, right = matrix.sum(), np.diag(matrix).astype(float)
    cases, given = matrix.sum(axis=1), matrix.sum(axis=0)
    recall, precision = divide(right, cases), divide(right, given)
    specificity = divide(n - cases - given + right, n - cases)
    f1 = divide(2 * right, cases + given)
    accuracy = right.sum() / n
    if average == "micro":
        wrong = n - right.sum()
        values = [accuracy, accuracy, 1 - wrong / ((len(cases) - 1) * n), accuracy, accuracy]
    else:
        weights = {"binary": np.eye(len(cases))[0], "macro": np.full(len(cases), 1 / len(cases)), "weighted": cases / n}[average]
        values = [accuracy, *(float(weights @ part) for part in (recall, specificity, precision, f1))]
        if f1_of_means:
            values[4] = float(divide(np.array(2 * values[3] * values[1]), np.array(values[3] + values[1])))
    return dict(zip(METRICS, values, strict=True))


def choose_writing(generator: np.random.Generator) -> dict:
    """Digits and unit: percent with 1 or 2 decimals, fractions with 2 to 4."""
    unit = str(generator.choice(["percent", "fraction"]))
    return {"unit": unit, "digits": int(generator.integers(1, 3) if unit == "percent" else generator.integers(2, 5))}


def choose_metrics(generator: np.random.Generator, values: dict[str, float]) -> dict[str, float]:
    """Accuracy and at least one of the other metrics, as different papers print different ones."""
    kept = [name for name in METRICS[1:] if generator.random() < 0.7] or [METRICS[generator.integers(1, 5)]]
    return {name: values[name] for name in ("accuracy", *kept)}


def draw_skill(generator: np.random.Generator, classes: int) -> np.ndarray:
    return np.clip(generator.uniform(0.55, 0.99) + generator.normal(0, 0.08, classes), 0.3, 0.999)


# --------------------------------------------------------------------------------------------------------------- kinds


def draw_single(generator: np.random.Generator, average: str, classes: int, truncated: bool = False) -> Table:
    """One test set."""
    sizes = draw_sizes(generator, classes)
    matrix = draw_matrix(generator, sizes, draw_skill(generator, classes))
    values = choose_metrics(generator, compute_metrics(matrix, average, average != "binary" and generator.random() < 0.5))
    names = {f"class {j}": int(n) for j, n in enumerate(sizes)}
    return Table(values, names, **choose_writing(generator), truncated=truncated, average=average)


def divide_folds(generator: np.random.Generator, sizes: np.ndarray, folds: int, stratified: bool) -> np.ndarray:
    """Cases per fold and class, (folds, classes): as StratifiedKFold or as a shuffled KFold divides them."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if stratified:
        dealt = np.concatenate([np.flatnonzero(labels == j) for j in range(len(sizes))])
        fold = np.empty(len(labels), int)
        fold[dealt] = np.arange(len(labels)) % folds
    else:
        fold = generator.permutation(np.arange(len(labels)) % folds)
    return np.stack([np.bincount(labels[fold == i], minlength=len(sizes)) for i in range(folds)])


def draw_folds(
    generator: np.random.Generator, average: str, classes: int, known: bool, stratified: bool = True, spread: bool = False
) -> Table:
    """Means over the folds of a cross-validation."""
    folds = int(generator.choice([3, 5, 10]))
    sizes = np.maximum(draw_sizes(generator, classes, 40), folds)
    parts = divide_folds(generator, sizes, folds, stratified)
    skill, of_means = draw_skill(generator, classes), average != "binary" and generator.random() < 0.5
    by_fold = [compute_metrics(draw_matrix(generator, part, skill), average, of_means) for part in parts]
    values = choose_metrics(generator, {name: float(np.mean([fold[name] for fold in by_fold])) for name in METRICS})
    if spread:
        less = int(generator.integers(0, 2))
        values |= {f"{name}_sd": float(np.std([fold[name] for fold in by_fold], ddof=less)) for name in values}
    names = {f"class {j}": int(n) for j, n in enumerate(sizes)}
    fold_sizes = tuple(int(n) for n in parts.sum(axis=1)) if known else ()
    return Table(
        values, names, **choose_writing(generator), average=average, folds=folds, fold_sizes=fold_sizes, stratified=stratified
    )


def draw_runs(generator: np.random.Generator, average: str, classes: int, spread: bool = True) -> Table:
    """Mean +- sd over trainings on one test set."""
    runs, sizes = int(generator.choice([3, 5, 10])), draw_sizes(generator, classes)
    skill = draw_skill(generator, classes)
    by_run = [compute_metrics(draw_matrix(generator, sizes, skill), average) for _ in range(runs)]
    values = choose_metrics(generator, {name: float(np.mean([run[name] for run in by_run])) for name in METRICS})
    if spread:
        less = int(generator.integers(0, 2))
        values |= {f"{name}_sd": float(np.std([run[name] for run in by_run], ddof=less)) for name in values}
    names = {f"class {j}": int(n) for j, n in enumerate(sizes)}
    return Table(values, names, **choose_writing(generator), average=average, runs=runs)


def draw_patients(generator: np.random.Generator) -> Table:
    """Means over folds of whole patients, each of one class; the recall of a class that a fold lacks is 0 or left out."""
    patients = int(generator.integers(10, 60))
    label = generator.permutation(np.arange(patients) < max(2, round(patients * generator.uniform(0.2, 0.8)))).astype(int)
    images, skill = generator.integers(1, 8, patients), draw_skill(generator, 2)
    folds = int(generator.choice([3, 5, 10, patients]))
    fold, missing = generator.permutation(np.arange(patients) % folds), generator.choice([0.0, np.nan])
    by_fold = []
    for i in range(folds):
        sizes = np.array([images[(fold == i) & (label == j)].sum() for j in (0, 1)])
        values = compute_metrics(draw_matrix(generator, sizes, skill), "binary")
        by_fold.append(values | {name: missing for name, n in zip(METRICS[1:3], sizes, strict=True) if n == 0})
    means = {name: float(np.nanmean([values[name] for values in by_fold])) for name in METRICS}
    names = {f"class {j}": int(images[label == j].sum()) for j in (0, 1)} if generator.random() < 0.5 else {}
    return Table(choose_metrics(generator, means), names, **choose_writing(generator), folds=folds)


def draw_unknown(generator: np.random.Generator, average: str, classes: int) -> Table:
    """One test set whose cases are not printed."""
    return replace(draw_single(generator, average, classes), classes={})


def _any_average(generator: np.random.Generator) -> tuple[str, int]:
    average = str(generator.choice(["binary", "macro", "weighted", "micro"]))
    return average, 2 if average == "binary" else int(generator.integers(2, 6))


KINDS: dict[str, Callable[[np.random.Generator], Table]] = {
    "binary": lambda g: draw_single(g, "binary", 2),
    "macro, 2 classes": lambda g: draw_single(g, "macro", 2),
    "macro, 3 to 5 classes": lambda g: draw_single(g, "macro", int(g.integers(3, 6))),
    "weighted, 2 classes": lambda g: draw_single(g, "weighted", 2),
    "weighted, 3 to 5 classes": lambda g: draw_single(g, "weighted", int(g.integers(3, 6))),
    "micro, 2 to 5 classes": lambda g: draw_single(g, "micro", int(g.integers(2, 6))),
    "truncated": lambda g: draw_single(g, *_any_average(g), truncated=True),
    "cases not printed": lambda g: draw_unknown(g, *_any_average(g)),
    "folds of known sizes": lambda g: draw_folds(g, *_any_average(g), known=True),
    "folds of unknown sizes": lambda g: draw_folds(g, *_any_average(g), known=False),
    "shuffled folds": lambda g: draw_folds(g, *_any_average(g), known=bool(g.integers(2)), stratified=False),
    "folds of whole patients": draw_patients,
    "mean +- sd over folds": lambda g: draw_folds(g, *_any_average(g), known=bool(g.integers(2)), spread=True),
    "mean +- sd over runs": lambda g: draw_runs(g, *_any_average(g)),
}


# -------------------------------------------------------------------------------------------------------- to the audit


def write_number(value: float, table: Table) -> float:
    """The printed number, in the table's unit; 1e-9 keeps 0.85 - 1e-17 from being cut to 0.84."""
    scaled = value * (100 if table.unit == "percent" else 1) * 10**table.digits
    whole = math.floor(scaled + 1e-9) if table.truncated else round(scaled)
    return float(f"{whole / 10**table.digits:.{table.digits}f}")


def make_claims(table: Table, stated: bool, row: str = "ours") -> list[Claim]:
    """The row's claims; with stated=False nothing is said of how it was averaged."""
    says = {name: getattr(table, name) for name in ("average", "folds", "fold_sizes", "runs", "stratified")} if stated else {}
    return [
        Claim("1", row, name, write_number(value, table), table.digits, table.unit, "Table 1", table.classes, **says)
        for name, value in table.values.items()
    ]


def audit_claims(claims: Sequence[Claim], positive_class: str = "class 0") -> Counter:
    """How often each verdict stands in the audit of these claims."""
    words = dict.fromkeys(("name", "title", "authors", "venue", "year", "doi", "task"), "")
    nothing = dict.fromkeys(("readings", "statements", "unstated", "deviations", "audits", "checks"), ())
    headline = Headline(claims[0].table, claims[0].row, claims[0].metric)
    paper = Paper(
        **words, positive_class=positive_class, headline=headline, claims=tuple(claims), printed=tuple(claims), **nothing
    )
    return Counter(outcome.verdict for outcome in audit_paper(paper))


def accuses(claims: Sequence[Claim]) -> bool:
    """Whether any finding accuses."""
    return any(verdict in ACCUSING for verdict in audit_claims(claims))


def count_alarms(kind: str, tables: int, seed: int, stated: bool) -> tuple[int, float]:
    """(false alarms among `tables` true tables, seconds)."""
    generator = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    start, alarms = time.perf_counter(), 0
    for _ in range(tables):
        alarms += accuses(make_claims(KINDS[kind](generator), stated))
    return alarms, time.perf_counter() - start


def alter_one(generator: np.random.Generator, table: Table) -> Table:
    """The table with one number moved by 0.5 to 5 points, within 0 to 100 %."""
    name = str(generator.choice([name for name in table.values if not name.endswith("_sd")]))
    while True:
        moved = table.values[name] + generator.choice([-1, 1]) * generator.uniform(0.005, 0.05)
        if 0 <= moved <= 1:
            return replace(table, values={**table.values, name: float(moved)})


def draw_of_size(generator: np.random.Generator, kind: str, n: int) -> Table:
    """A table of about n cases, percent with one decimal: accuracy, sensitivity and specificity, and for macro precision."""
    classes = 3 if kind == "macro" else 2
    share = generator.uniform(0.25, 0.5)
    sizes = np.array([round(n * share), n - round(n * share)])
    if classes == 3:
        sizes = np.array([round(n * share), round(n * (1 - share) * 0.6), n - round(n * share) - round(n * (1 - share) * 0.6)])
    skill, names = draw_skill(generator, classes), ("accuracy", "sensitivity", "specificity")
    says = {}
    if kind == "folds":
        parts = divide_folds(generator, sizes, 5, stratified=True)
        by_fold = [compute_metrics(draw_matrix(generator, part, skill), "binary") for part in parts]
        values = {name: float(np.mean([fold[name] for fold in by_fold])) for name in names}
        says = {"folds": 5, "fold_sizes": tuple(tuple(int(n) for n in part) for part in parts)}
    else:
        matrix = draw_matrix(generator, sizes, skill)
        values = {k: v for k, v in compute_metrics(matrix, kind).items() if k in (*names, *(["precision"] * (kind == "macro")))}
    cases = {f"class {j}": int(size) for j, size in enumerate(sizes)}
    return Table(values, cases, 1, "percent", average="binary" if kind == "folds" else kind, **says)


def measure_detection(kind: str, n: int, tables: int, seed: int, stated: bool) -> float:
    """Share of the altered tables that are found."""
    generator = np.random.default_rng([seed, n, len(kind)])
    return (
        sum(accuses(make_claims(alter_one(generator, draw_of_size(generator, kind, n)), stated)) for _ in range(tables)) / tables
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000, help="true tables of each kind")
    parser.add_argument("--altered", type=int, default=300, help="altered tables of each size")
    parser.add_argument("--kind", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    figures: dict[str, list] = {"alarms": [], "detection": []}
    print("| true tables | alarms, averaging stated | open | s per 1000 |\n|---|---|---|---|")
    for kind in options.kind:
        (stated, spent), (open_, more) = (count_alarms(kind, options.tables, options.seed, says) for says in (True, False))
        seconds = 500 * (spent + more) / options.tables
        print(f"| {kind} | {stated} of {options.tables} | {open_} of {options.tables} | {seconds:.1f} |", flush=True)
        figures["alarms"].append([kind, stated, open_, options.tables, seconds])
    if options.altered:
        print("\n| one number altered | " + " | ".join(f"{n} cases" for n in SIZES) + " |\n|---" * 1 + "|---" * len(SIZES) + "|")
        for kind in ("binary", "macro", "folds"):
            for stated in (True, False):
                found = [measure_detection(kind, n, options.altered, options.seed, stated) for n in SIZES]
                name = f"{kind}, {'stated' if stated else 'open'}"
                print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in found) + " |", flush=True)
                figures["detection"].append([name, *found])
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
