"""The accepted result of the thyroid paper: the fusions of ours follow from the published predictions of their members."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.records.predictions import extract_scores, read_predictions
from common.records.results import OwnTable, Results, read_results
from common.report.wording import PROTOCOL_NAMES
from replications.thyroid_ensemble import beyond, ensemble
from replications.thyroid_ensemble.rows import HEADS, SCALES_FUSED

HOME = Path(__file__).parents[3] / "results" / "thyroid_ensemble"
PROTOCOL = {name: protocol for protocol, name in PROTOCOL_NAMES.items()}


@pytest.fixture(scope="module")
def results() -> Results:
    return read_results(HOME / "results.json")


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return read_predictions(HOME / "predictions.csv.gz")


@pytest.fixture(scope="module")
def fusions(results) -> list[tuple[str, str, int, dict[str, float], float]]:
    """(protocol, row, seed, member -> weight, accuracy where chosen) of each line of the table."""
    (table,) = (table for table in results.extra.tables if isinstance(table, OwnTable) and table.title.startswith("Weights of"))
    found = []
    for protocol, row, seed, weighted, chosen, _ in table.rows:
        members = {name: float(weight) for weight, name in re.findall(r"(0\.\d) (.+?)(?: \+ (?=0\.)|$)", weighted)}
        found.append((PROTOCOL[protocol], row, int(seed), members, float(chosen)))
    return found


def take(predictions: pd.DataFrame, protocol: str, row: str, seed: int) -> pd.DataFrame:
    keys = (predictions["protocol"] == protocol) & (predictions["row"] == row) & (predictions["seed"] == seed)
    return predictions[keys].sort_values("case_id")


def test_fused_scores_are_the_weighted_members(predictions, fusions, results):
    run = [row for row in beyond.FUSED_BEYOND if not row.startswith("AlexNet")]
    assert {(p, row, seed) for p, row, seed, _, _ in fusions} == {
        (p, row, seed) for p in ("paper", "leakfree") for row in run for seed in results.seeds
    }
    for protocol, row, seed, members, _ in fusions:
        assert sum(members.values()) == pytest.approx(1)
        assert set(members) <= set(SCALES_FUSED.get(row, HEADS))
        expected = sum(w * extract_scores(take(predictions, protocol, name, seed)) for name, w in members.items())
        np.testing.assert_allclose(extract_scores(take(predictions, protocol, row, seed)), expected, atol=2e-6)


def test_weights_under_the_papers_protocol_are_the_best_on_the_test_images(predictions, fusions):
    """Chosen there, so none of the 36 is more accurate; the leak-free ones were chosen elsewhere and may be beaten."""
    for protocol, _, seed, members, chosen in fusions:
        if protocol == "paper":
            tables = [take(predictions, protocol, name, seed) for name in members]
            best = ensemble.choose_weights(np.stack(list(map(extract_scores, tables))), tables[0]["y_true"].to_numpy())
            assert 100 * best.accuracy == pytest.approx(chosen, abs=0.051)


def test_patients_are_apart_in_the_leak_free_protocol_alone(results):
    (dataset,) = results.datasets
    assert (dataset.name, dataset.substitute, dataset.patients) == ("DDTI", True, 297)
    leakfree, as_published = dataset.splits["leakfree"].leak, dataset.splits["paper"].leak
    assert (leakfree.same_patient, leakfree.same_pixels, leakfree.near_duplicate) == (0, 0, 0)
    assert as_published.same_patient > 0


def test_other_data_get_no_verdict(results):
    assert {claim.verdict for claim in results.claims} == {"other data", "not run"}
    reasons = {missing.row: missing.reason for missing in results.extra.not_run}
    for row, file in (
        ("Scale 1 / VGG16", "vgg16_weights"),
        ("Scale 2 / AlexNet", "alexnet-owt"),
        ("Scale 3 / ResNet50", "resnet50"),
    ):
        assert file in reasons[row], row
