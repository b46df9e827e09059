"""Seeds that draw a split each: rows whose seeds cover different cases, and rows on other lists of the same patients."""

import numpy as np
import pandas as pd
import pytest

from common.errors import UsageError
from common.evaluation.clustered import compare_own_shares, compare_unlike_shares
from common.evaluation.design_effects import measure_design_effects
from common.evaluation.metrics import evaluate
from common.evaluation.samples import count_by_patient, describe_test_sets, gather_sample
from common.records.predictions import tabulate_scores

PATIENTS, CASES = 40, 6


def draw_runs(rng: np.random.Generator, runs: int, *, spread: float = 1.5, share: float = 0.3) -> pd.DataFrame:
    """Predictions of runs that each test a random part of all cases; the patients differ in how easy they are."""
    names = [f"{p:02d}-{c}" for p in range(PATIENTS) for c in range(CASES)]
    patients = np.repeat([f"p{p:02d}" for p in range(PATIENTS)], CASES)
    labels = np.repeat(np.arange(PATIENTS) % 3, CASES)
    easy = np.repeat(rng.normal(1, spread, PATIENTS), CASES)
    tables = []
    for run in range(runs):
        logits = np.eye(3)[labels] * easy[:, None] + rng.normal(0, 0.5, (len(names), 3))
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        chosen = np.flatnonzero(rng.random(len(names)) < share)
        cases = pd.DataFrame({"case_id": names, "patient_id": patients, "label": labels}).iloc[chosen]
        tables.append(tabulate_scores(cases, scores[chosen], protocol="paper", row="A", seed=run, fold=run))
    return pd.concat(tables, ignore_index=True)


def test_each_run_is_scored_on_its_own_cases():
    table = draw_runs(np.random.default_rng(0), 4)
    (together,) = evaluate(table)
    alone = [evaluate(of)[0] for _, of in table.groupby("seed")]
    for metric in ("accuracy", "sensitivity", "auc", "brier", "ece", "mcc"):
        assert together.metrics[metric].by_seed == pytest.approx([row.metrics[metric].mean for row in alone]), metric
    assert together.n == table["case_id"].nunique()
    assert together.metrics["accuracy"].sd == pytest.approx(np.std([row.metrics["accuracy"].mean for row in alone], ddof=1))
    sample = gather_sample(table, "here")
    assert sample.present.sum() == len(table) == count_by_patient(sample).sum()
    assert describe_test_sets(table, "paper")["A"].folds == 1


def test_the_interval_covers_the_mean_of_runs_over_patients():
    """Of 80 draws of patients about 95 % cover what many patients would give; cases taken for independent would cover fewer."""
    rng = np.random.default_rng(1)
    truth = np.mean([evaluate(draw_runs(rng, 2, share=0.9))[0].metrics["accuracy"].mean for _ in range(30)])
    found = [evaluate(draw_runs(rng, 5))[0].metrics["accuracy"] for _ in range(80)]
    covered = np.mean([metric.low <= truth <= metric.high for metric in found])
    assert 0.88 <= covered <= 1
    naive = [1.96 * np.sqrt(metric.mean * (1 - metric.mean) / (5 * 72)) for metric in found]
    assert np.mean([abs(metric.mean - truth) <= half for metric, half in zip(found, naive, strict=True)]) < covered


def test_a_missing_fold_is_still_an_error():
    table = draw_runs(np.random.default_rng(0), 2).assign(fold=0)
    with pytest.raises(UsageError, match="seeds 0 and 1 cover different cases"):
        evaluate(table)


def test_design_effect_is_the_mean_over_the_runs():
    table = draw_runs(np.random.default_rng(2), 3)
    alone = [measure_design_effects(of, "paper")["A"]["accuracy"] for _, of in table.groupby("seed")]
    assert measure_design_effects(table, "paper")["A"] == {"accuracy": pytest.approx(np.mean(alone))}
    assert np.mean(alone) > 1.1


def test_unlike_shares_are_paired_by_patients():
    """Two lists of the same patients: what they share cancels, whatever the number of cases."""
    rng = np.random.default_rng(3)
    easy = rng.random(PATIENTS)
    right = rng.binomial(50, np.broadcast_to(easy, (4, PATIENTS))).astype(float)
    more = rng.binomial(500, np.broadcast_to(easy, (4, PATIENTS))).astype(float)
    paired = compare_unlike_shares(right, np.full(right.shape, 50.0), more, np.full(more.shape, 500.0))
    apart = compare_unlike_shares(right, np.full(right.shape, 50.0), more[:, ::-1], np.full(more.shape, 500.0))
    assert paired.error < apart.error / 3
    runs = compare_unlike_shares(right, np.full(right.shape, 50.0), right, np.full(right.shape, 50.0), same_seeds=True)
    assert (float(runs.difference), float(runs.p)) == (0, 1)
    drift = rng.normal(0, 0.1, (4, 1))  # of each seed, in both rows alike
    a, b = ((rng.binomial(50, np.clip(easy + drift, 0, 1))).astype(float) for _ in range(2))
    errors = [
        compare_unlike_shares(a, np.full(a.shape, 50.0), b, np.full(b.shape, 50.0), same_seeds=s).error for s in (True, False)
    ]
    assert errors[0] < errors[1] / 2
    same = compare_own_shares(right, right[:2], np.full(PATIENTS, 50.0))
    assert same == compare_unlike_shares(right, np.full(right.shape, 50.0), right[:2], np.full((2, PATIENTS), 50.0))


def test_unlike_shares_cover_the_difference():
    rng, covered = np.random.default_rng(4), []
    many = rng.beta(2, 2, 500000)
    truth = np.mean(many - np.clip(many - 0.1, 0, 1))
    for _ in range(300):
        easy = rng.beta(2, 2, 30)
        sizes = [rng.integers(0, 9, (runs, 30)).astype(float) for runs in (5, 3)]
        right = [rng.binomial(size.astype(int), np.clip(easy + gain, 0, 1)) for size, gain in zip(sizes, (0, -0.1), strict=True)]
        found = compare_unlike_shares(right[0].astype(float), sizes[0], right[1].astype(float), sizes[1])
        covered.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.995
