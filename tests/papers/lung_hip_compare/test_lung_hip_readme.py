"""The sentences of the package's README are true: their numbers follow from the accepted result."""

import re

import pandas as pd
import pytest

from common.records.results import Results, RowResult, read_results


@pytest.fixture(scope="module")
def accepted(root) -> Results:
    return read_results(root / "results" / "lung_hip_compare" / "results.json")


@pytest.fixture(scope="module")
def prose(root) -> str:
    """What the README says of the comparison with the paper, on one line."""
    text = (root / "replications" / "lung_hip_compare" / "README.md").read_text(encoding="utf-8")
    section = re.search(r"## What matched, what did not, and why\n(.*?)\n## ", text, re.DOTALL)
    return " ".join(section[1].split())


def find(accepted: Results, network: str, protocol: str) -> RowResult:
    (row,) = (row for row in accepted.rows if (row.row, row.protocol) == (f"LUNA16 / {network}", protocol))
    return row


def drop(accepted: Results, network: str, metric: str) -> float:
    """By how much a metric is lower leak-free, as a fraction."""
    paper, leakfree = (find(accepted, network, protocol).metrics[metric].mean for protocol in ("paper", "leakfree"))
    return paper - leakfree


def test_verdicts_and_differences(accepted, prose):
    judged = {claim.row: claim for claim in accepted.claims if claim.metric == "accuracy" and claim.ours is not None}
    cnn, dbn = judged["LUNA16 / CNN"], judged["LUNA16 / DBN"]
    low, high = (f"{value:+.1f}".replace("-", "−") for value in (cnn.difference_low, cnn.difference_high))
    seeds = [100 * value for value in find(accepted, "CNN", "paper").metrics["accuracy"].by_seed]
    assert f"**CNN (5 seeds): {cnn.verdict}.** Our mean is {-cnn.difference:.1f} points lower" in prose
    assert f"(95 % interval of the difference {low} to {high})" in prose
    assert f"our seeds reach {min(seeds):.1f} to {max(seeds):.1f} %" in prose
    assert f"**DBN (1 seed): {dbn.verdict}.** Ours is {dbn.difference:.1f} points higher" in prose


def test_every_seed_ends_with_a_training_accuracy_of_1(root, prose):
    history = pd.read_csv(root / "results" / "lung_hip_compare" / "history.csv.gz")
    cnn = history[(history["row"] == "LUNA16 / CNN") & (history["protocol"] == "paper")]
    last = cnn.sort_values("epoch").groupby("seed")["accuracy"].last()
    assert len(last) == 5
    assert (last == 1).all()
    assert "All our seeds reach a training accuracy of 100 %" in prose


def test_rates_and_leak(accepted, prose):
    cnn, dbn = (find(accepted, network, "paper").metrics for network in ("CNN", "DBN"))
    assert f"With {100 * cnn['majority_rate'].mean:.1f} % of the test patches negative" in prose
    accuracy, sensitivity = (100 * cnn[metric].mean for metric in ("accuracy", "sensitivity"))
    assert f"the CNN's {accuracy:.1f} % goes with a sensitivity of {sensitivity:.1f} %" in prose
    assert f"the DBN finds {100 * dbn['sensitivity'].mean:.1f} % of the nodules" in prose
    (dataset,) = accepted.datasets
    paper, leakfree = dataset.splits["paper"], dataset.splits["leakfree"]
    assert f"{paper.leak.same_patient} of the paper's {paper.leak.test_cases} test patches share a block" in prose
    of = {(n, m): drop(accepted, n, m) for n in ("CNN", "DBN") for m in ("accuracy", "auc", "sensitivity")}
    assert (
        f"the CNN's accuracy is {100 * of['CNN', 'accuracy']:.1f} points lower, its AUC {of['CNN', 'auc']:.3f}, its sensitivity "
        f"{100 * of['CNN', 'sensitivity']:.1f} points; the DBN's {100 * of['DBN', 'accuracy']:.1f}, {of['DBN', 'auc']:.3f} and "
        f"{100 * of['DBN', 'sensitivity']:.1f}."
    ) in prose
    majority = find(accepted, "CNN", "leakfree").metrics["majority_rate"].mean
    assert f"train on {leakfree.train} instead of {paper.train} patches" in prose
    assert f"tested on {leakfree.test} other patches, of which fewer are nodules (majority rate {100 * majority:.1f} %)" in prose
