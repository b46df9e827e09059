"""Clustered cases with ties, and predictions tables of them."""

import numpy as np
import pandas as pd


def draw_clusters(seed: int, patients: int = 30, seeds: int = 3):
    """(y (n,), scores of class 1 (S, n), patient of each case (n,)), clustered and with ties."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
    y = (rng.random(ids.size) < 0.4).astype(int)
    score = 0.8 * y + rng.normal(0, 1, patients)[ids] + rng.normal(0, 1, (seeds, ids.size))
    return y, np.round(1 / (1 + np.exp(-score)), 2), ids


def tabulate(y, score, ids, folds=None) -> pd.DataFrame:
    parts = []
    for seed, of in enumerate(score):
        part = {"protocol": "paper", "row": "A", "seed": seed, "fold": -1 if folds is None else folds}
        part |= {"case_id": [f"c{i:05d}" for i in range(len(y))], "patient_id": [f"p{i:04d}" for i in ids], "y_true": y}
        parts.append(pd.DataFrame(part | {"y_score_0": 1 - of, "y_score_1": of}))
    return pd.concat(parts, ignore_index=True)


def start_of(ids: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])


def tabulate_classes(y, given, row: str = "A", seed: int = 0) -> pd.DataFrame:
    """Predictions of one training, one case a patient, that call each case of class y `given`."""
    scores = 0.9 * np.eye(int(max(y)) + 1)[given]
    scores += 0.1 / scores.shape[1]
    names = {"case_id": [f"c{i:05d}" for i in range(len(y))], "patient_id": [f"p{i:05d}" for i in range(len(y))], "y_true": y}
    columns = {f"y_score_{c}": scores[:, c] for c in range(scores.shape[1])}
    return pd.DataFrame({"protocol": "paper", "row": row, "seed": seed, "fold": -1, **names, **columns})
