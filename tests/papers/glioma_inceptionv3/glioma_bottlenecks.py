"""Bottlenecks with a known share of subject and grade, and trainings of the report's last layer on them, without pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.prepared import Dataset
from common.records.predictions import tabulate_scores
from replications.glioma_inceptionv3 import splits, train
from replications.glioma_inceptionv3.config import CLASSES, PAPER, Config
from replications.glioma_inceptionv3.rows import CROP, INCEPTION, name_protocol, name_row

SMALL = replace(
    PAPER,
    backbones=(INCEPTION,),
    views=(CROP,),
    steps=400,
    check_steps=100,
    runs=(1, 2, 3, 4),
    leakfree_repeats=1,
    leakfree_rates=(1e-4, 1e-3, 1e-2, 1e-1),
)


def make_dataset(subjects: int = 36, slices: int = 8, classes: int = 3) -> Dataset:
    """Cases of some subjects; the pictures are blank."""
    lines = [
        (f"s{s:02d}_{z:02d}", f"s{s:02d}/{z}", f"{s:032x}{z:032x}", f"s{s:02d}", s % classes)
        for s in range(subjects)
        for z in range(slices)
    ]
    cases = pd.DataFrame(lines, columns=["case_id", "path", "sha256", "patient_id", "label"])
    info = {"name": "made-up", "classes": {name: 1 for name in CLASSES[:classes]}, "near_duplicates": []}
    return Dataset(np.zeros((len(cases), 8, 8, 1), np.uint8), cases, info)


def draw_features(cases: pd.DataFrame, texture: float, signal: float, size: int = 512) -> np.ndarray:
    """Bottlenecks float32 (n, size): noise of the slice, a pattern of the subject and one of the grade, each of unit spread times
    its strength."""
    random = np.random.default_rng(0)
    subject = pd.factorize(cases["patient_id"])[0]
    patterns, grades = random.normal(size=(subject.max() + 1, size)), random.normal(size=(3, size))
    values = random.normal(size=(len(cases), size)) + texture * patterns[subject] + signal * grades[cases["label"]]
    return (values / np.sqrt(size) * 10).astype(np.float32)


def make_task(
    dataset: Dataset, features: np.ndarray, mode: str, seed: int, number: int, config: Config, *, shuffled: bool = False
):
    """The task of one training, as `train.open_task` would give it."""
    entries, folds = splits.split_dataset(dataset, mode, config, [seed], shuffled=shuffled)
    fold = next(fold for fold in folds[seed] if fold.fold == number)
    pool = Dataset(dataset.images, entries.cases, dataset.info)
    settings = {"mode": mode, "seed": seed, "fold": number}
    return train.Task(
        config, settings, pool, entries.source, features, fold, len(dataset.info["classes"]), Path(), lambda *_args: None
    )


def run_modes(dataset: Dataset, features: np.ndarray, config: Config, modes: tuple[str, ...]) -> pd.DataFrame:
    """Predictions of the modes, true and shuffled grades, as a run would collect them."""
    tables = []
    for mode in modes:
        seeds = range(1, config.leakfree_repeats + 1) if mode == "leakfree" else config.runs
        for shuffled in (False, True):
            _, folds = splits.split_dataset(dataset, mode, config, list(seeds), shuffled=shuffled)
            for seed in seeds:
                for fold in folds[seed]:
                    task = make_task(dataset, features, mode, seed, fold.fold, config, shuffled=shuffled)
                    model, _ = train.train_head(task)
                    scores = train.compute_scores(model, features, task.classes)[task.source]
                    labels = task.labels[fold.validation]
                    head = train.choose_rate(scores[fold.validation], labels) if scores.shape[1] > 1 else 0
                    row = name_row(mode, INCEPTION, CROP, shuffled=shuffled)
                    identity = {"protocol": name_protocol(mode), "row": row, "seed": seed, "fold": fold.fold}
                    tables.append(tabulate_scores(task.pool.cases.iloc[fold.test], scores[fold.test, head], **identity))
    return pd.concat(tables, ignore_index=True)
