"""What the paper's procedure chooses (k, the ranking, subset, weights), and how the rows follow from the trainings.

Each seed is one run of the whole procedure: k is chosen at scale 1, nine networks are ranked, subset and weights are
enumerated. Under `paper` all this is chosen on the test images, as in the paper; under `leakfree` on the pooled out-of-fold
predictions of the inner cross-validation, and the test patients are scored once, by the mean of the folds' networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.records.predictions import extract_scores
from common.runs import products
from common.runs.cells import Cell
from replications.thyroid_ensemble.config import LETTERS, NETWORKS, SCALES, SUBSETS, Config
from replications.thyroid_ensemble.ensemble import (
    SelectedEnsemble,
    Weights,
    aggregate_patients,
    average,
    choose_subset,
    choose_weights,
    fuse,
    measure_accuracy,
    measure_selection_gain,
    rank_models,
    vote,
)
from replications.thyroid_ensemble.rows import (
    ENSEMBLE,
    FUSIONS,
    NINE,
    PUBLISHED,
    name_depth,
    name_fixed_weights,
    name_model,
    name_plan,
    name_subset,
)

Depths = dict[tuple[str, int], dict[str, int]]  # protocol, seed -> network -> k


@dataclass(frozen=True)
class Choice:
    """What one seed's run of the procedure chose, and on what."""

    protocol: str
    seed: int
    depths: dict[str, int]  # network -> k
    ranking: tuple[str, ...]  # nine models, best first
    ensemble: SelectedEnsemble
    subsets: dict[str, Weights]  # Table 3's subsets by the published letters


def collect_products(
    finished: Sequence[Cell], folder: Path, config: Config, splits: products.Splits
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame | None, pd.DataFrame]:
    """Test predictions by protocol (leakfree: the mean of the folds' networks), validation predictions, history.

    splits: as `products.collect_predictions` takes them.
    """
    tests = products.collect_predictions(finished, folder, splits)
    by_protocol = {str(protocol): part for protocol, part in tests.groupby("protocol")}
    validation = None
    if "leakfree" in by_protocol:
        by_protocol["leakfree"] = pool_folds(by_protocol["leakfree"], config.inner_folds)
        leakfree = [cell for cell in finished if cell.settings["protocol"] == "leakfree"]
        validation = products.collect_predictions(leakfree, folder, splits, products.VALIDATION)
    return by_protocol, validation, products.collect_history(finished, folder)


def pool_folds(predictions: pd.DataFrame, folds: int) -> pd.DataFrame:
    """Mean score of each case over the inner folds' networks, as fold -1; rows of which a fold is missing are left out."""
    keys = ["protocol", "row", "seed", "case_id", "patient_id", "y_true"]
    scores = [name for name in predictions.columns if name.startswith("y_score_")]
    grouped = predictions.groupby(keys, sort=False)[scores]
    pooled = grouped.mean()[grouped.size() == folds].reset_index()
    pooled.insert(3, "fold", -1)
    return pooled


def derive_rows(
    predictions: pd.DataFrame, validation: pd.DataFrame | None, config: Config
) -> tuple[pd.DataFrame, list[Choice], Depths]:
    """Predictions of every row, the choices that lead to them, and the depths chosen (also where a network is missing).

    predictions: of the test cases by every training, one protocol, fold -1. validation: out-of-fold predictions, on which
    is chosen under leakfree; None: the choice is made on the test cases themselves, as in the paper. A seed without all
    nine models gets neither chosen depths' rows that lack theirs nor ensembles.
    """
    tables, choices = [], []
    chosen: Depths = {}
    plans = {name_plan(n, scale, k): (n, scale, k) for n in NETWORKS for scale in SCALES for k in config.depths}
    for seed, of_seed in predictions.groupby("seed"):
        judged = of_seed if validation is None else validation[validation["seed"] == seed]
        test, judge = Scores(of_seed), Scores(judged)
        depths = {}
        for network in NETWORKS:
            candidates = {k: name_plan(network, 1, k) for k in config.depths}
            if all(test.has(row) and judge.has(row) for row in candidates.values()):
                depths[network] = choose_depth({k: judge.measure(row) for k, row in candidates.items()})
        chosen[test.protocol, test.seed] = depths
        best = {name_model(network, scale): name_plan(network, scale, depths[network]) for network in depths for scale in SCALES}
        best = {name: row for name, row in best.items() if test.has(row) and judge.has(row)}
        renamed = {row: name for name, row in best.items()}
        tables += [test.rename(row, name) for row, name in renamed.items()]
        for row in test.rows:
            if row not in plans:
                tables.append(test.rename(row, row))
            elif plans[row][1] == 1:  # Fig. 9 is drawn at scale 1
                network, _, depth = plans[row]
                tables.append(test.rename(row, name_depth(network, depth)))
        if len(best) == len(NINE):
            made, choice = _build_ensembles(test, judge, best, depths, config)
            tables += made
            choices.append(choice)
    return pd.concat(tables, ignore_index=True) if tables else predictions.iloc[:0], choices, chosen


def choose_depth(accuracy: dict[int, float]) -> int:
    """The depth of the highest accuracy; of equals the smallest, which trains the least."""
    return max(sorted(accuracy), key=accuracy.__getitem__)


def _build_ensembles(
    test: "Scores", judge: "Scores", best: dict[str, str], depths: dict[str, int], config: Config
) -> tuple[list[pd.DataFrame], Choice]:
    """Predictions of the ensembles that the models `best` (name -> row) give, and the choice of them; chosen on `judge`."""
    on_test = {name: test.scores(row) for name, row in best.items()}
    on_judge = {name: judge.scores(row) for name, row in best.items()}
    chosen = choose_subset(on_judge, judge.labels, config.weight_step)
    three = np.stack([on_test[name] for name in chosen.members])
    fused = {
        ENSEMBLE: fuse(three, chosen.weights),
        FUSIONS[0]: vote(three),
        FUSIONS[1]: average(three),
    }
    subsets = {}
    for letters in SUBSETS:
        names = [name_model(*LETTERS[letter]) for letter in letters]
        best_weights = choose_weights(np.stack([on_judge[n] for n in names]), judge.labels, config.weight_step)
        subsets[name_subset(letters)] = best_weights
        fused[name_subset(letters)] = fuse(np.stack([on_test[n] for n in names]), best_weights.weights)
    letters, weights = PUBLISHED
    names = [name_model(*LETTERS[letter]) for letter in letters]
    fused[name_fixed_weights()] = fuse(np.stack([on_test[n] for n in names]), weights)
    tables = [test.tabulate(row, scores) for row, scores in fused.items()]
    tables.append(aggregate_patients(tables[0]))
    ranking = rank_models({name: measure_accuracy(of, judge.labels) for name, of in on_judge.items()})
    choice = Choice(test.protocol, test.seed, depths, tuple(ranking), chosen, subsets)
    return tables, choice


class Scores:
    """The predictions of one protocol and seed by row, cases in one order."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._of = {str(row): part.sort_values("case_id") for row, part in table.groupby("row", sort=False)}
        first = next(iter(self._of.values()))
        self.labels = first["y_true"].to_numpy()
        self.patients = first["patient_id"].to_numpy()
        self._first = first

    @property
    def rows(self) -> list[str]:
        return list(self._of)

    @property
    def protocol(self) -> str:
        return str(self._first["protocol"].iloc[0])

    @property
    def seed(self) -> int:
        return int(self._first["seed"].iloc[0])

    def has(self, row: str) -> bool:
        return row in self._of

    def scores(self, row: str) -> np.ndarray:
        return extract_scores(self._of[row])

    def measure(self, row: str) -> float:
        return measure_accuracy(self.scores(row), self.labels)

    def rename(self, row: str, name: str) -> pd.DataFrame:
        return self._of[row].assign(row=name)

    def tabulate(self, row: str, scores: np.ndarray) -> pd.DataFrame:
        return self._first.assign(row=row, y_score_0=scores[:, 0], y_score_1=scores[:, 1])


# ------------------------------------------------------------------------------------------------ what choosing gains


def measure_gains(predictions: pd.DataFrame, validation: pd.DataFrame | None, config: Config, repeats: int = 200) -> list[dict]:
    """What choosing on the scored cases gains, for each seed (ratios).

    Entries {seed, what, chosen, other, gain, sd, low, high}. "halves": k, ranking, subset and weights chosen on a
    random half of the patients' test cases and scored on both halves. Under leakfree also "test": the same choice on all
    test cases against the choice on validation cases, both scored on the test cases. The stopping epoch is not among these
    choices: the trainings are taken as they ended.
    """
    gains = []
    for seed, of_seed in predictions.groupby("seed"):
        test = Scores(of_seed)
        rows = [name_plan(network, scale, k) for network in NETWORKS for scale in SCALES for k in config.depths]
        if not all(map(test.has, rows)):
            continue
        scores = np.stack([test.scores(row) for row in rows])

        def select(part: np.ndarray, labels: np.ndarray, rows: list[str] = rows) -> np.ndarray:
            best = _choose_best(dict(zip(rows, part, strict=True)), labels, config)
            chosen = choose_subset({name: of for name, (_, of) in best.items()}, labels, config.weight_step)
            by_row = dict(zip((best[name][0] for name in chosen.members), chosen.weights, strict=True))
            return np.array([by_row.get(row, 0.0) for row in rows])

        found = measure_selection_gain(
            scores, test.labels, test.patients, config.weight_step, select=select, repeats=repeats, seed=config.split_seed
        )
        found.pop("repeats")
        gains.append({"seed": test.seed, "what": "halves"} | found)
        if validation is not None:
            judge = Scores(validation[validation["seed"] == seed])
            of_judge = np.stack([judge.scores(row) for row in rows])
            chosen, other = (
                measure_accuracy(fuse(scores, select(*given)), test.labels)
                for given in ((scores, test.labels), (of_judge, judge.labels))
            )
            gains.append({"seed": test.seed, "what": "test", "chosen": chosen, "other": other, "gain": chosen - other})
    return gains


def _choose_best(scores: dict[str, np.ndarray], labels: np.ndarray, config: Config) -> dict[str, tuple[str, np.ndarray]]:
    """Model -> (row, scores) at the depth chosen at scale 1."""
    best = {}
    for network in NETWORKS:
        measured = {k: measure_accuracy(scores[name_plan(network, 1, k)], labels) for k in config.depths}
        for scale in SCALES:
            row = name_plan(network, scale, choose_depth(measured))
            best[name_model(network, scale)] = row, scores[row]
    return best


def derive_protocols(
    tests: Mapping[str, pd.DataFrame], validation: pd.DataFrame | None, config: Config
) -> tuple[pd.DataFrame, list[Choice], Depths, list[dict]]:
    """Of every protocol: predictions of all rows, what was chosen (depths also where a network is missing), what choosing on
    the test cases gains."""
    predictions, choices, gains = [], [], []
    depths: Depths = {}
    for protocol, part in tests.items():
        judged = validation if protocol == "leakfree" else None
        table, chosen, of_protocol = derive_rows(part, judged, config)
        predictions.append(table)
        choices += chosen
        depths |= of_protocol
        gains += [{"protocol": protocol} | gain for gain in measure_gains(part, judged, config)]
    return pd.concat(predictions, ignore_index=True), choices, depths, gains
