"""Rows of ours: what they are fused from, on which cases the weights are chosen, and that descriptors are computed once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from common.evaluation.metrics import evaluate
from common.records.predictions import extract_scores, tabulate_scores
from replications.thyroid_ensemble import baselines, beyond, ensemble, experiments, plans, rows
from replications.thyroid_ensemble.config import PAPER, SMALL_NETWORKS

N = 60
LABELS = np.arange(N) % 2


def tabulate(prefix: str, protocol: str, fold: int, seed: int) -> pd.DataFrame:
    """Every head and AlexNet's trainings, each right in its own share of the cases."""
    random = np.random.default_rng([seed, fold + 1, len(prefix)])
    cases = pd.DataFrame({"case_id": [f"{prefix}{i:02}" for i in range(N)], "patient_id": [f"p{i}" for i in range(N)],
                          "label": LABELS})  # fmt: skip
    tables = []
    for number, row in enumerate((*rows.HEADS, *rows.SCRATCHES)):
        of_truth = np.clip(random.normal(0.5 + 0.02 * number, 0.2, N), 0.01, 0.99)
        malignant = np.where(LABELS == 1, of_truth, 1 - of_truth)
        scores = np.stack([1 - malignant, malignant], axis=1)
        tables.append(tabulate_scores(cases, scores, protocol=protocol, row=row, seed=seed, fold=fold))
    return pd.concat(tables, ignore_index=True)


def take(table: pd.DataFrame, members) -> np.ndarray:
    return np.stack([extract_scores(table[table["row"] == row].sort_values("case_id")) for row in members])


@pytest.mark.parametrize("leakfree", [False, True])
def test_scales_are_fused_by_the_weights_that_do_best_where_they_are_chosen(leakfree):
    """By a loop over the grid: on the test cases under the paper's protocol, else on validation cases alone."""
    test = tabulate("test", "leakfree" if leakfree else "paper", -1, 3)
    judge = tabulate("validation", "leakfree", -1, 3) if leakfree else test
    tables, fusions = beyond.fuse_rows(test, judge if leakfree else None, PAPER)
    assert [fusion.row for fusion in fusions] == [*beyond.FUSED_BEYOND]
    for table, fusion in zip(tables, fusions, strict=True):
        grid = ensemble.enumerate_weights(3, 0.1)
        right = [((w[:, None, None] * take(judge, fusion.members)).sum(0).argmax(1) == LABELS).mean() for w in grid]
        assert fusion.chosen == pytest.approx(max(right))
        assert right[[tuple(w) for w in grid.tolist()].index(fusion.weights)] == max(right)
        expected = (np.array(fusion.weights)[:, None, None] * take(test, fusion.members)).sum(0)
        np.testing.assert_allclose(extract_scores(table), expected)
        assert fusion.scored == pytest.approx((expected.argmax(1) == LABELS).mean())
        assert set(table["row"]) == {fusion.row}
    assert fusions[0].members == tuple(f"MobileNetV2, head alone, scale {scale}" for scale in (1, 2, 3))
    accuracies = {row: (take(judge, [row])[0].argmax(1) == LABELS).mean() for row in rows.HEADS}
    best = sorted(rows.HEADS, key=lambda row: -accuracies[row])
    assert fusions[-1].members[1:] == tuple(best[:2])  # the two best are kept, one of the next three is added
    assert fusions[-1].members[0] in best[2:5]


def test_what_lacks_a_member_is_not_fused():
    test = tabulate("test", "paper", -1, 0)
    _, fusions = beyond.fuse_rows(test[test["row"] != rows.HEADS[1]], None, PAPER)
    assert [fusion.row for fusion in fusions] == [row for row in rows.SCALES_FUSED if not row.startswith("MobileNetV2")]
    assert beyond.tabulate_fusions([]) == []
    (table,) = beyond.tabulate_fusions(fusions)
    assert [line[1] for line in table.rows] == [fusion.row for fusion in fusions]
    assert {len(line) for line in table.rows} == {len(table.columns)}


def test_rows_of_ours_are_no_row_of_the_paper(paper):
    """Each in a table of its own, with no printed number; no convolution is trained in a head alone."""
    printed = {claim.row for claim in paper.claims}
    found = {row.name: row for row in experiments.list_rows(PAPER)}
    tables = {claim.table for claim in paper.claims}
    for row in beyond.ROWS:
        own = set(found[row].tables) - {"Fig. 8"}  # AlexNet without transfer at scale 1 is a row of the paper
        assert own, row
        assert not own & tables, row
        assert row not in printed or row == "AlexNet, no transfer"
    heads = [t for t in plans.list_trainings(PAPER) if t.network in SMALL_NETWORKS]
    assert len(heads) == 6
    assert {tuple(t.rows) for t in heads} == {("0",)}


def test_descriptors_are_computed_once_for_all_trainings(tmp_path, monkeypatch):
    calls = []

    class Loaded:
        images = np.zeros((2, 8, 8, 1), np.uint8)

    monkeypatch.setattr(baselines, "load_dataset", lambda _folder: Loaded)
    monkeypatch.setitem(baselines.DESCRIPTORS, "ULBP", lambda images, _config: calls.append(1) or images.mean(axis=(1, 2)))
    for sha256 in ("a", "a", "b"):
        baselines._describe(tmp_path, sha256, "ULBP", replace(PAPER, seeds=()))
    assert len(calls) == 2


def test_the_forest_of_ours_weighs_both_errors_alike():
    """On classes that overlap, that of [11] calls more nodules malignant."""
    random = np.random.default_rng(0)
    labels = np.arange(300) % 2
    features = random.normal(0, 1, (300, 3)) + 0.5 * labels[:, None]
    small = replace(PAPER, forest_trees=40)
    malignant = [
        baselines.fit_forest(features, labels, replace(small, forest_malignant_cost=cost), 0).predict(features).mean()
        for cost in (1.0, small.forest_malignant_cost)
    ]
    assert malignant[1] > malignant[0] + 0.05


def test_areas_stand_beside_each_other():
    """From predictions: a row of one protocol alone has dashes, and no difference."""
    tables = [tabulate("test", protocol, -1, seed) for protocol in ("paper", "leakfree") for seed in (0, 1)]
    predictions = pd.concat(tables, ignore_index=True)
    predictions = predictions[(predictions["protocol"] == "paper") | (predictions["row"] != rows.HEADS[0])]
    found = evaluate(predictions)
    (table,) = beyond.tabulate_areas(found)
    lines = {line[0]: line for line in table.rows}
    assert {len(line) for line in table.rows} == {len(table.columns)}
    assert lines[rows.HEADS[0]][3:] == ["–", "–", "–"]
    by_seed = [
        roc_auc_score(part["y_true"], part["y_score_1"])
        for _, part in predictions[predictions["row"] == rows.HEADS[5]].groupby(["protocol", "seed"])
    ]  # leakfree first
    means = np.mean(by_seed[2:]), np.mean(by_seed[:2])
    assert [lines[rows.HEADS[5]][i] for i in (1, 3)] == [f"{mean:.3f}" for mean in means]
    assert float(lines[rows.HEADS[5]][5].replace("−", "-")) == pytest.approx(means[1] - means[0], abs=6e-4)
    assert beyond.tabulate_areas([row for row in found if row.row not in beyond.ROWS]) == []
