"""The five demos one after another: how long they take, what their networks learn, what is found of the leak that was put in.

`python -m benchmarks.demos [--only PACKAGE ...] [--out FOLDER]` runs each demo as a user does, on phantoms, and holds it to
what it promises: it ends within MOST_SECONDS; what it says beforehand of the time that is left is right within FACTOR; every
row of both protocols is clearly better than always naming the most frequent class (`is_clear`; UNLEARNABLE: rows that cannot
be, and why); and of the leak that was put in more is found under the paper's protocol than with patients kept apart.
Together they end within ALL_SECONDS. Exit code 1 if a promise is broken. Limits are those of two idle cores: on a busy
machine compare the processor time. `--read` judges the finished runs of `--out`, without times.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.records.results import OwnTable, Results, RowResult, read_results

ROOT = Path(__file__).parents[1]
PACKAGES = tuple(sorted(path.parent.name for path in ROOT.glob("replications/*/run.py")))
MOST_SECONDS, ALL_SECONDS, FACTOR = 300.0, 1200.0, 1.5
LEAK = "The leak that was put in"
LEAST_RECALLED = 10.0  # points above the leak-free accuracy on the same patients, mean of the rows
LEAST_GAIN, LEAST_AREA = 0.05, 0.8
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
# Rows that are no better than the most frequent class by design: a part of their name, and why.
UNLEARNABLE: dict[str, dict[str, str]] = {
    "ddsm_inceptionv4": {
        "metadata alone": "sees no picture",
        "MobileNetV2": "only its head is trained, on features that seconds of drawings have taught it",
    },
    "glioma_inceptionv3": {
        "area alone": "the phantoms' area says nothing of the grade",
        "grades shuffled": "the control: labels that mean nothing",
    },
    "thyroid_ensemble": {
        "head alone": "small networks of which only the head is trained, on features that seconds of drawings have taught them",
    },
}


@dataclass(frozen=True)
class Demo:
    """One demo as it ran; times in seconds, None where they were not measured."""

    package: str
    results: Results
    expected: float | None = None  # said beforehand
    taken: float | None = None  # after that
    wall: float | None = None
    processor: float | None = None
    broken: list[str] = field(default_factory=list)


def parse_expected(line: str) -> float | None:
    """Seconds that a line of the run says are expected; None of another line.

    >>> parse_expected("expected time: about 2.5 min, 2 at a time (on this CPU)"), parse_expected("disk: about 2 MB")
    (150.0, None)
    """
    found = re.match(r"expected time: (?:about|under) (a|[\d.]+) (s|minute|min|h)", line)
    if not found:
        return None
    amount, unit = found.groups()
    return (1.0 if amount == "a" else float(amount)) * UNITS["min" if unit == "minute" else unit]


def run_demo(package: str, out: Path) -> Demo:
    """Run a demo in `out` and read what it leaves. RuntimeError where it fails."""
    command = [sys.executable, "-m", f"replications.{package}.run", "--preset", "demo", "--out", str(out)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    expected = said = None
    phantoms = os.environ | {"REPLICATIONS_DATA": ""}  # else the demo takes the real data that are there
    with subprocess.Popen(
        command, cwd=ROOT, env=phantoms, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if expected is None and (expected := parse_expected(line)) is not None:
                said = time.monotonic()
            print(f"  {line.rstrip()}", flush=True)
    if process.returncode:
        raise RuntimeError(f"{package}: the demo ended with exit code {process.returncode}")
    ended, after = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Demo(package, read_run(package, out), expected, ended - said if said else None, ended - started, processor)


def read_run(package: str, out: Path) -> Results:
    """The results of the demo that was run last in `out`."""
    found = max((out / package).glob("demo-*/results.json"), key=lambda path: path.stat().st_mtime)
    return read_results(found)


# What is promised


def judge(demo: Demo) -> list[str]:
    """The promises that a demo breaks, in words."""
    return [*judge_times(demo), *judge_rows(demo.package, demo.results.rows), *judge_leak(demo.results.extra.tables)]


def judge_times(demo: Demo) -> list[str]:
    """Of its duration, and of what it says of it beforehand."""
    broken = []
    if demo.wall is not None and demo.wall > MOST_SECONDS:
        broken.append(f"took {demo.wall:.0f} s, more than {MOST_SECONDS:.0f}")
    if demo.taken is not None and demo.expected is None:
        broken.append("said nothing of the time that it would take")
    if demo.taken is not None and demo.expected is not None and not 1 / FACTOR <= demo.taken / demo.expected <= FACTOR:
        broken.append(f"expected {demo.expected:.0f} s, took {demo.taken:.0f}: not within a factor of {FACTOR:g}")
    return broken


def judge_rows(package: str, rows: Sequence[RowResult]) -> list[str]:
    """Rows that are not clearly better than always naming the most frequent class."""
    broken = []
    for row in list_learnable(package, rows):
        if not is_clear(row):
            accuracy, majority, area = (row.metrics[name].mean for name in ("accuracy", "majority_rate", "auc"))
            numbers = f"{100 * (accuracy or 0):.1f} %, most frequent class {100 * (majority or 0):.1f} %, AUC {area or 0:.2f}"
            broken.append(f"{row.row}, {row.protocol}: {numbers}")
    return broken


def is_clear(row: RowResult) -> bool:
    """Whether a row is clearly better than its majority rate: by the lower end of the 95 % interval of its accuracy; or, as few
    patients of a rare class leave that too wide, every training is more accurate by LEAST_GAIN, with an AUC of at least
    LEAST_AREA, which no network reaches that answers one class."""
    accuracy, majority, area = row.metrics["accuracy"], row.metrics["majority_rate"], row.metrics["auc"]
    if accuracy.low is not None and majority.mean is not None and accuracy.low > majority.mean:
        return True
    gains = [None if a is None or m is None else a - m for a, m in zip(accuracy.by_seed, majority.by_seed, strict=True)]
    return all(gain is not None and gain >= LEAST_GAIN for gain in gains) and all(
        value is not None and value >= LEAST_AREA for value in area.by_seed
    )


def list_learnable(package: str, rows: Sequence[RowResult]) -> list[RowResult]:
    """Every row once a protocol, without those that UNLEARNABLE names."""
    parts = UNLEARNABLE.get(package, {})
    once = {(row.row, row.protocol): row for row in rows}.values()
    return [row for row in once if not any(part in row.row for part in parts)]


def judge_leak(tables: Sequence[OwnTable]) -> list[str]:
    """Of the leak that was put in: it is told of, and more of it is found under the paper's protocol."""
    found = measure_leak(tables)
    if found is None:
        return ["nothing is said of a leak that was put in"]
    paper, apart = found
    if paper < apart + LEAST_RECALLED:
        return [f"of the leak that was put in nothing is seen: {paper:.0f} % right, {apart:.0f} % with patients kept apart"]
    return []


def measure_leak(tables: Sequence[OwnTable]) -> tuple[float, float] | None:
    """Accuracy (%) on the patients whose pictures show nothing, mean of the rows: the paper's protocol, patients kept apart."""
    (table, *_) = [*(table for table in tables if table.title == LEAK), None]
    if table is None:
        return None
    places = [number for number, column in enumerate(table.columns) if column.name == "accuracy (%)"]
    means = []
    for place in places:
        values = [float(line[place]) for line in table.rows if line[place] != "–"]
        means.append(sum(values) / len(values))
    return (means[0], means[1]) if len(means) == 2 else None


# What is printed


def describe(demo: Demo) -> str:
    """A line of the table, in Markdown."""
    rows = list_learnable(demo.package, demo.results.rows)
    above = len(rows) - len(judge_rows(demo.package, demo.results.rows))
    leak = measure_leak(demo.results.extra.tables)
    times = [demo.expected, demo.taken, demo.wall, demo.processor]
    seconds = ["–" if value is None else f"{value:.0f}" for value in times]
    found = f"{leak[0]:.0f} against {leak[1]:.0f}" if leak else "–"
    return f"| {demo.package} | {' | '.join(seconds)} | {above} of {len(rows)} | {found} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PACKAGES, default=PACKAGES, metavar="PACKAGE")
    parser.add_argument("--out", type=Path, help="folder of the runs; without it a temporary one")
    parser.add_argument("--read", action="store_true", help="judge the runs that are in --out")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        demos = []
        for package in options.only:
            print(f"{package}: load {os.getloadavg()[0]:.1f} before", flush=True)
            demos.append(Demo(package, read_run(package, out)) if options.read else run_demo(package, out))
    print("\n| demo | expected (s) | then taken (s) | all (s) | processor (s) | rows above the majority | unmarked right (%) |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for demo in demos:
        print(describe(demo))
    broken = [f"{demo.package}: {fault}" for demo in demos for fault in judge(demo)]
    spent = sum(demo.wall or 0 for demo in demos)
    if spent > ALL_SECONDS:
        broken.append(f"together {spent:.0f} s, more than {ALL_SECONDS:.0f}")
    print("\n" + ("\n".join(broken) or "every promise is kept"))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
