"""How often a verdict on a printed number is right: simulated replications of known truth, judged by the suite's own functions.

`python -m benchmarks.verdicts` simulates a paper (one training, n test images) and our replication of it (three trainings of
another test set of the same size), faithful or 10 points worse, and counts the verdicts. Limits: a faithful replication is
called "differs" in at most 6 %, one that is 10 points worse "agrees" in at most 1 %. Exit code 1 if one is broken. About
two minutes; `--full` adds test sets of unequal sizes, other numbers of seeds and less alike trainings.

The model: a case's score is its class, plus a share that its patient's images have in common (correlation RHO), plus one that all
trainings have in common (CASE of the rest), plus one of the training alone; each training has an accuracy of its own, normal
around the nominal one, below 0.999. Half of the patients are ill.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from common.evaluation.design_effects import centre, inflate_variance
from common.evaluation.differences import AGREES, HIGHER, LOWER, Evidence, name_verdict, vary_proportion

RHO = 0.5  # correlation of the images of a patient
CASE = 0.8  # of what is not the patient's: the share that all trainings have in common
WORSE = 0.10  # the replication that must not pass
LIMITS = {"faithful, differs": 0.06, "worse, agrees": 0.01}
CHUNK = 2_000_000  # scores drawn at a time


@dataclass(frozen=True)
class Cell:
    """One simulated situation."""

    paper_n: int  # test images of the paper
    n: int  # of ours
    images: int  # of a patient
    accuracy: float  # the paper's network's true one
    spread: float  # standard deviation of the trainings' true accuracies
    seeds: int = 3  # our trainings
    case: float = CASE

    def __str__(self) -> str:
        sizes = f"{self.paper_n:>5} {self.n:>5} {self.images:>6}"
        return f"{sizes} {self.accuracy:>8.2f} {100 * self.spread:>7.0f} {self.seeds:>5} {self.case:>5.1f}"


HEAD = (
    "paper  ours images accuracy seed sd seeds alike | faithful: differs agrees | 10 points worse: agrees differs\n"
    "    n     n a patient          (points)         |                %      % |                      %       %"
)


def list_cells(*, full: bool = False) -> list[Cell]:
    """The grid; full: and what lies beyond it."""
    grid = [
        Cell(n, n, images, accuracy, spread)
        for images, n, spread, accuracy in itertools.product((1, 4), (60, 200, 1600), (0.0, 0.01, 0.03), (0.85, 0.95))
    ]
    if not full:
        return grid
    sizes = [(60, 1600), (1600, 60), (200, 1600), (1600, 200)]
    unequal = [
        Cell(paper_n, n, images, accuracy, spread)
        for (paper_n, n), images, spread, accuracy in itertools.product(sizes, (1, 4), (0.0, 0.03), (0.85, 0.95))
    ]
    others = [replace(cell, seeds=seeds) for cell in grid for seeds in (5, 10) if cell.paper_n == 1600]
    unlike = [replace(cell, case=0.3) for cell in [*grid, *unequal] if cell.images == 4 and cell.accuracy == 0.85]
    return [*grid, *unequal, *others, *unlike]


def draw_correct(
    random: np.random.Generator,
    repetitions: int,
    n: int,
    images: int,
    accuracy: float,
    spread: float,
    trainings: int,
    case: float,
) -> np.ndarray:
    """Whether each training has each image right: bool (repetitions, trainings, patients, images)."""
    rho = RHO if images > 1 else 0.0
    shape = (repetitions, n // images, images)

    def draw(share: float, *size: int) -> np.ndarray:
        return np.sqrt(share, dtype=np.float32) * random.standard_normal(size, dtype=np.float32)

    common = draw(rho, repetitions, n // images, 1) + draw((1 - rho) * case, *shape)
    ill = np.where(random.random((*shape[:2], 1)) < 0.5, np.float32(1), np.float32(-1))
    correct = np.empty((repetitions, trainings, *shape[1:]), bool)
    for training in range(trainings):
        own = np.clip(accuracy + spread * random.standard_normal((repetitions, 1, 1)), 0.5, 0.999)
        correct[:, training] = ill * (common + draw((1 - rho) * (1 - case), *shape)) > stats.norm.ppf(1 - own)
    return correct


def gather_evidence(correct: np.ndarray, printed: np.ndarray, paper_n: int) -> Evidence:
    """What a claim of accuracy is judged by, for every repetition at once.

    correct: of `draw_correct`, ours; printed: (repetitions,) fractions.
    """
    repetitions, seeds, patients, images = correct.shape
    cases = correct.reshape(repetitions, seeds, -1).astype(np.float32)
    of_seed = cases.mean(axis=2, dtype=np.float64)
    effect = inflate_variance(centre(cases, np.ones_like(cases)), np.repeat(np.arange(patients), images))
    mean = of_seed.mean(axis=1)
    return Evidence(
        ours=mean,
        paper=printed,
        ours_sampling=vary_mean(correct),
        patients=patients,
        paper_sampling=vary_proportion(printed, paper_n, effect),
        between_seeds=of_seed.var(axis=1, ddof=1),
        seeds=seeds,
    )


def vary_mean(correct: np.ndarray) -> np.ndarray:
    """Variance over patients of the accuracy averaged over the trainings, linearised: (repetitions,)."""
    _, _, patients, images = correct.shape
    of_patients = correct.mean(axis=1).sum(axis=2)
    return of_patients.var(axis=1, ddof=1) / patients / images**2


def measure_rates(cell: Cell, repetitions: int, seed: int = 0) -> dict[str, float]:
    """Shares of the verdicts in a cell: "faithful, differs", "faithful, agrees", "worse, agrees", "worse, differs".

    >>> measure_rates(Cell(200, 200, 1, 0.95, 0.0), 50)["worse, agrees"]
    0.0
    """
    counts = dict.fromkeys(("faithful, differs", "faithful, agrees", "worse, agrees", "worse, differs"), 0)
    for chunk, size in enumerate(_split(repetitions, CHUNK // (max(cell.n, cell.paper_n) * cell.seeds))):
        random = np.random.default_rng([seed, chunk])
        shared = {"images": cell.images, "spread": cell.spread, "case": cell.case}
        paper = draw_correct(random, size, cell.paper_n, accuracy=cell.accuracy, trainings=1, **shared)
        printed = paper.mean(axis=(1, 2, 3)).round(3)
        for name, accuracy in (("faithful", cell.accuracy), ("worse", cell.accuracy - WORSE)):
            ours = draw_correct(random, size, cell.n, accuracy=accuracy, trainings=cell.seeds, **shared)
            verdicts = name_verdict(gather_evidence(ours, printed, cell.paper_n))
            counts[f"{name}, agrees"] += int((verdicts == AGREES).sum())
            counts[f"{name}, differs"] += int(np.isin(verdicts, [LOWER, HIGHER] if name == "faithful" else [LOWER]).sum())
    return {name: count / repetitions for name, count in counts.items()}


def _split(total: int, most: int) -> Iterator[int]:
    while total > 0:
        yield min(total, max(most, 1))
        total -= max(most, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.verdicts", description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="also unequal test sets, more seeds, less alike trainings")
    parser.add_argument("--repetitions", type=int, default=10_000, help="of each cell (default: 10000)")
    options = parser.parse_args(arguments)
    print(HEAD)
    worst = dict.fromkeys(LIMITS, 0.0)
    for cell in list_cells(full=options.full):
        rates = measure_rates(cell, options.repetitions)
        differs, agrees, wrong, power = (100 * rate for rate in rates.values())
        print(f"{cell} | {differs:>17.1f} {agrees:>6.1f} | {wrong:>22.1f} {power:>7.1f}", flush=True)
        worst = {name: max(value, rates[name]) for name, value in worst.items()}
    for name, limit in LIMITS.items():
        print(f"largest share of {name}: {100 * worst[name]:.1f} %, limit {100 * limit:.0f} %")
    return int(any(worst[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
