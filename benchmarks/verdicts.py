"""How often a verdict on a printed number is right: simulated replications of known truth, judged by the suite's own functions.

`python -m benchmarks.verdicts` simulates a paper (one training, n test images) and our replication of it (three trainings of
another test set of the same size), faithful or 10 points worse, and counts the verdicts. Limits: a faithful replication is
called "differs" in at most 6 %, one that is 10 points worse "agrees" in at most 1 %. Exit code 1 if one is broken. About
two minutes; `--full` adds test sets of unequal sizes, other numbers of seeds and less alike trainings; `--auc` simulates
areas under the ROC curve; `--beyond` prints test sets of few patients with many images that are much alike, outside the grid,
where the first limit is not kept.

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

from common.evaluation.areas import estimate_area, measure_area
from common.evaluation.design_effects import centre, inflate_variance, weigh_auc
from common.evaluation.differences import AGREES, HIGHER, LOWER, Evidence, name_verdict, vary_auc, vary_proportion
from common.evaluation.intervals import estimate_share, linearise_ratio

RHO = 0.5  # correlation of the images of a patient
CASE = 0.8  # of what is not the patient's: the share that all trainings have in common
WORSE = 0.10  # the replication that must not pass
RATES = ("faithful, differs", "faithful, agrees", "worse, agrees", "worse, differs")
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
    rho: float = RHO  # correlation of the images of a patient

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


BEYOND = (  # 15 to 20 patients
    Cell(160, 160, 8, 0.95, 0.0, rho=0.5),
    Cell(160, 160, 8, 0.95, 0.0, rho=0.7),
    Cell(160, 160, 8, 0.95, 0.0, rho=0.8),
    Cell(150, 150, 10, 0.93, 0.0, rho=0.8),
)


def draw_correct(
    random: np.random.Generator,
    repetitions: int,
    n: int,
    images: int,
    accuracy: float,
    spread: float,
    trainings: int,
    case: float,
    rho: float = RHO,
) -> np.ndarray:
    """Whether each training has each image right: bool (repetitions, trainings, patients, images)."""
    rho = rho if images > 1 else 0.0
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
    hits = correct.sum(axis=3, dtype=np.float64)
    return Evidence(
        ours=mean,
        paper=printed,
        ours_sampling=estimate_share(linearise_ratio(hits, np.full_like(hits, images))).error_patients ** 2,
        patients=patients,
        paper_sampling=vary_proportion(printed, paper_n, effect),
        between_seeds=of_seed.var(axis=1, ddof=1),
        seeds=seeds,
    )


def measure_rates(cell: Cell, repetitions: int, seed: int = 0) -> dict[str, float]:
    """Shares of the verdicts in a cell: "faithful, differs", "faithful, agrees", "worse, agrees", "worse, differs".

    >>> measure_rates(Cell(200, 200, 1, 0.95, 0.0), 50)["worse, agrees"]
    0.0
    """
    counts = dict.fromkeys(RATES, 0)
    for chunk, size in enumerate(_split(repetitions, CHUNK // (max(cell.n, cell.paper_n) * cell.seeds))):
        random = np.random.default_rng([seed, chunk])
        shared = {"images": cell.images, "spread": cell.spread, "case": cell.case, "rho": cell.rho}
        paper = draw_correct(random, size, cell.paper_n, accuracy=cell.accuracy, trainings=1, **shared)
        printed = paper.mean(axis=(1, 2, 3)).round(3)
        for name, accuracy in (("faithful", cell.accuracy), ("worse", cell.accuracy - WORSE)):
            ours = draw_correct(random, size, cell.n, accuracy=accuracy, trainings=cell.seeds, **shared)
            verdicts = name_verdict(gather_evidence(ours, printed, cell.paper_n))
            counts[f"{name}, agrees"] += int((verdicts == AGREES).sum())
            counts[f"{name}, differs"] += int(np.isin(verdicts, [LOWER, HIGHER] if name == "faithful" else [LOWER]).sum())
    return {name: count / repetitions for name, count in counts.items()}


def measure_auc_rates(cell: Cell, repetitions: int, seed: int = 0) -> dict[str, float]:
    """The same for areas under the ROC curve; `accuracy` and `spread` of the cell are those of the area. One at a time: slow.

    >>> measure_auc_rates(Cell(60, 60, 1, 0.95, 0.0), 20)["worse, agrees"]
    0.0
    """
    random, counts = np.random.default_rng([seed, 1]), dict.fromkeys(RATES, 0)
    for _ in range(repetitions):
        y_paper, (of_paper,) = _draw_scores(random, cell, cell.paper_n, cell.accuracy, 1)
        printed = round(compute_auc(y_paper, of_paper), 3)
        for name, area in (("faithful", cell.accuracy), ("worse", cell.accuracy - WORSE)):
            y_true, scores = _draw_scores(random, cell, cell.n, area, cell.seeds)
            patients = np.repeat(np.arange(cell.n // cell.images), cell.images)
            influences = np.stack([weigh_auc(score, y_true) for score in scores])
            areas = np.array([compute_auc(y_true, score) for score in scores])
            area_of = measure_area(y_true == 1, y_true == 0, scores, np.arange(0, cell.n, cell.images))
            positives = int(y_paper.sum())
            effect = float(inflate_variance(influences, patients))
            evidence = Evidence(
                ours=areas.mean(),
                paper=printed,
                ours_sampling=float(estimate_area(area_of).error_patients) ** 2,
                patients=cell.n // cell.images,
                paper_sampling=vary_auc(printed, positives, cell.paper_n - positives, effect),
                between_seeds=areas.var(ddof=1),
                seeds=cell.seeds,
            )
            verdict = str(name_verdict(evidence))
            counts[f"{name}, agrees"] += verdict == AGREES
            counts[f"{name}, differs"] += verdict in ((LOWER, HIGHER) if name == "faithful" else (LOWER,))
    return {name: count / repetitions for name, count in counts.items()}


def compute_auc(y_true: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of scores without ties, from the ranks of the positive cases.

    >>> compute_auc(np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 2.0, 4.0]))
    0.75
    """
    positives = int(y_true.sum())
    ranks = stats.rankdata(score)[y_true == 1].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * (y_true.size - positives)))


def _draw_scores(random: np.random.Generator, cell: Cell, n: int, area: float, trainings: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,), half of the patients ill, and scores (trainings, n) that have the area."""
    rho = RHO if cell.images > 1 else 0.0
    patients = n // cell.images
    y_true = np.repeat(random.permutation(np.arange(patients) % 2), cell.images)
    common = np.sqrt(rho) * np.repeat(random.standard_normal(patients), cell.images)
    common = common + np.sqrt((1 - rho) * cell.case) * random.standard_normal(n)
    own = np.clip(area + cell.spread * random.standard_normal((trainings, 1)), 0.5, 0.999)
    alone = np.sqrt((1 - rho) * (1 - cell.case)) * random.standard_normal((trainings, n))
    return y_true, np.sqrt(2) * stats.norm.ppf(own) * y_true + common + alone


def _split(total: int, most: int) -> Iterator[int]:
    while total > 0:
        yield min(total, max(most, 1))
        total -= max(most, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.verdicts", description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="also unequal test sets, more seeds, less alike trainings")
    parser.add_argument("--auc", action="store_true", help="areas under the ROC curve instead, 60 and 200 images (default: 1000)")
    parser.add_argument("--repetitions", type=int, help="of each cell (default: 10000)")
    parser.add_argument("--beyond", action="store_true", help="test sets outside the grid, with the correlation after each line")
    options = parser.parse_args(arguments)
    print(HEAD)
    if options.beyond:
        for cell in BEYOND:
            differs, agrees, wrong, power = (100 * rate for rate in measure_rates(cell, options.repetitions or 10_000).values())
            print(f"{cell} | {differs:>17.1f} {agrees:>6.1f} | {wrong:>22.1f} {power:>7.1f}   correlation {cell.rho}", flush=True)
        return 0
    worst = dict.fromkeys(LIMITS, 0.0)
    cells = [cell for cell in list_cells(full=options.full) if not options.auc or cell.paper_n < 1600]
    for cell in cells:
        if options.auc:
            rates = measure_auc_rates(cell, options.repetitions or 1000)
        else:
            rates = measure_rates(cell, options.repetitions or 10_000)
        differs, agrees, wrong, power = (100 * rate for rate in rates.values())
        print(f"{cell} | {differs:>17.1f} {agrees:>6.1f} | {wrong:>22.1f} {power:>7.1f}", flush=True)
        worst = {name: max(value, rates[name]) for name, value in worst.items()}
    for name, limit in LIMITS.items():
        print(f"largest share of {name}: {100 * worst[name]:.1f} %, limit {100 * limit:.0f} %")
    return int(any(worst[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
