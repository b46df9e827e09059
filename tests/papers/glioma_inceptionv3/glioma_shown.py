"""Made-up numbers of a whole run, for tests of the figures: drawn with known shares of right answers, by mode and grades."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sample_results import make_content, make_dataset

from common.evaluation.metrics import evaluate
from common.figures.intervals import Value
from common.records.paper import Paper
from common.records.predictions import tabulate_scores
from common.records.results import Results, parse_results
from replications.glioma_inceptionv3 import rows, splits
from replications.glioma_inceptionv3.config import CLASSES, PAPER, Config
from replications.glioma_inceptionv3.figures import Attention, Sheet, Shown
from replications.glioma_inceptionv3.ladders import Step

CONFIG = Config(runs=tuple(range(1, 11)))
SHARES = {
    rows.AS_RUN: (0.96, 0.94), rows.ONCE: (0.82, 0.81), rows.REPORT: (0.81, 0.8), rows.CLEAN: (0.8, 0.79),
    rows.LEAKFREE: (0.45, 0.38),
}  # fmt: skip


def make_cases(subjects: int = 36, slices: int = 8) -> pd.DataFrame:
    names = [f"s{number:02d}" for number in range(subjects)]
    lines = [
        (f"{name}_{z:02d}", f"{name}/{z}", f"{number:032d}{z:032d}", name, number % 3)
        for number, name in enumerate(names)
        for z in range(slices)
    ]
    return pd.DataFrame(lines, columns=["case_id", "path", "sha256", "patient_id", "label"])


def make_predictions(cases: pd.DataFrame, backbones: Sequence[str], views: Sequence[str]) -> pd.DataFrame:
    """Every mode, the backbones, the views, true and shuffled grades; baselines; subjects."""
    random, tables = np.random.default_rng(0), []
    for mode, shares in SHARES.items():
        listed = pd.concat([cases, cases.assign(case_id=cases["case_id"] + splits.SECOND)]) if mode == rows.AS_RUN else cases
        listed = listed.reset_index(drop=True)
        seeds = (0, 1) if mode == rows.LEAKFREE else CONFIG.runs
        folds_of = splits.split_entries(listed, mode, CONFIG, seeds)
        named = {
            rows.name_row(mode, backbone, view, shuffled=shuffled): shares[shuffled]
            for backbone in backbones for view in views for shuffled in (False, True)
        }  # fmt: skip
        if mode in rows.BASELINE_MODES:
            named |= {rows.name_baseline(mode, name): 0.9 * shares[0] for name in (*rows.RADIOMICS, rows.AREA)}
            named |= {rows.name_classifier(mode, rows.MOBILENET, rows.WHOLE, name): 1.05 * shares[0] for name in rows.CLASSIFIERS}
        for row, share in named.items():
            for seed, folds in folds_of.items():
                for fold in folds:
                    tested = listed.iloc[fold.test]
                    scores = draw_scores(tested["label"].to_numpy(), share, random)
                    protocol = rows.name_protocol(mode)
                    tables.append(tabulate_scores(tested, scores, row=row, protocol=protocol, seed=seed, fold=fold.fold))
    return pd.concat(tables, ignore_index=True)


def draw_scores(labels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    right = random.random(len(labels)) < share
    called = np.where(right, labels, (labels + random.integers(1, 3, len(labels))) % 3)
    return 0.7 * np.eye(3)[called] + 0.1


def make_results(predictions: pd.DataFrame) -> Results:
    found = [row.model_dump(by_alias=True) for row in evaluate(predictions)]
    dataset = make_dataset(name="made-up gliomas", dataset="whole", patients=36, cases=288)
    return parse_results(make_content(rows=found, datasets=[dataset], seeds=list(CONFIG.runs)), "made up")


def make_history(backbones: Sequence[str]) -> pd.DataFrame:
    random, lines = np.random.default_rng(1), []
    steps = np.arange(100, 10001, 100)
    for mode in (rows.AS_RUN, rows.REPORT):
        for backbone in backbones:
            for run in CONFIG.runs:
                level = SHARES[mode][0] * (1 - np.exp(-steps / 800))
                values = random.binomial(100, level) / 100
                row = rows.name_row(mode, backbone, rows.WHOLE)
                lines += [("paper", row, run, run, step, value) for step, value in zip(steps, values, strict=True)]
    return pd.DataFrame(lines, columns=["protocol", "row", "seed", "fold", "epoch", "val_accuracy"])


def make_original() -> pd.DataFrame:
    random = np.random.default_rng(2)
    steps = np.arange(0, 10001, 100)
    level = 0.34 + 0.62 * (1 - np.exp(-steps / 600))
    return pd.DataFrame({f"run{n}": random.binomial(100, level) / 100 for n in range(1, 11)}, index=steps)


def make_steps(backbones: Sequence[str], views: Sequence[str]) -> dict:
    def find(mean: float, half: float) -> Value:
        return Value(mean, mean - half, mean + half)

    steps = [
        Step("files listed twice", find(15, 2), find(14, 2)),
        Step("the constant learning rate", find(0.5, 1), find(0.5, 1)),
        Step("near-duplicate slices", find(1, 1.5), find(1, 1.5)),
        Step("slices of the same subject", find(35, 7), find(41, 7)),
    ]
    return {(backbone, view): steps for backbone in backbones for view in views}


def draw_picture(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :60]
    head = 90 * ((y - 30) ** 2 / 700 + (x - 30) ** 2 / 500 < 1)
    tumour = 120 * ((y - 20 - seed) ** 2 + (x - 34) ** 2 < 60)
    return np.clip(head + tumour + random.normal(0, 6, (60, 60)), 0, 255).astype(np.uint8)


def make_shown(
    paper: Paper, backbones: Sequence[str] = (rows.MOBILENET,), views: Sequence[str] = (rows.WHOLE,)
) -> tuple[Shown, Results]:
    predictions = make_predictions(make_cases(), backbones, views)
    y, x = np.mgrid[:60, :60]
    evidence = np.exp(-((y - 22) ** 2 + (x - 34) ** 2) / 150)
    attention = [
        Attention(f"grade {grade}", draw_picture(n), evidence * (n < 2), "InceptionV3") for n, grade in enumerate(CLASSES)
    ]
    sheets = {
        grade: Sheet([(draw_picture(n + k), 900 + 10 * k) for k in range(3)], [(draw_picture(n + 7), 40)])
        for n, grade in enumerate(CLASSES)
    }
    history, steps = make_history(backbones), make_steps(backbones, views)
    shown = Shown(paper, PAPER, CLASSES, predictions, history, steps, make_original(), attention=attention, sheets=sheets)
    return shown, make_results(predictions)
