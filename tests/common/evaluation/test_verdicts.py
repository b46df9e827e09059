"""Verdicts on printed numbers, against hand-made results with known answers."""

from dataclasses import dataclass

import pytest

from common.errors import UsageError
from common.evaluation import statistics
from common.evaluation.metrics import METRICS
from common.evaluation.verdicts import judge_claims
from common.records.results import Metric, RowResult


@dataclass(frozen=True)
class PrintedNumber:
    """What judge_claims reads of a claim."""

    value: float | None
    table: str = "2"
    row: str = "A"
    metric: str = "accuracy"
    digits: int = 1
    unit: str = "percent"
    where: str = "Table 2"
    classes: tuple = (("healthy", 80), ("ill", 20))
    note: str = ""

    @property
    def n(self):
        return sum(self.classes.values())

    @property
    def printed_key(self):
        return self.table, self.row, self.metric

    def __post_init__(self):
        object.__setattr__(self, "classes", dict(self.classes))


def rate(accuracy: float | None, low: float | None, high: float | None, row: str = "A", protocol: str = "paper") -> RowResult:
    """An evaluated row with the same interval for every metric."""
    metric = Metric(mean=accuracy, sd=None, low=low, high=high, by_seed=[accuracy])
    counts = {"n": 100, "patients": None, "positives": 20, "seeds": [0], "below_majority": False}
    return RowResult(row=row, protocol=protocol, metrics=dict.fromkeys(METRICS, metric), **counts)


@pytest.mark.parametrize(
    ("ours", "low", "high", "verdict"),
    [
        (0.90, 0.84, 0.94, "within"),
        (0.85, 0.80, 0.88, "within"),
        (0.70, 0.60, 0.78, "outside, lower"),
        (0.99, 0.98, 1.00, "outside, higher"),
        (0.80, 0.70, 0.88, "unclear"),
        (0.70, None, None, "unclear"),
    ],
)
def test_verdict_words(ours, low, high, verdict):
    # 90 % of 100 cases: Wilson [82.56, 94.48], half-width 5.96 points.
    (judged,) = judge_claims([PrintedNumber(90.0)], [rate(ours, low, high)], {})
    assert judged.verdict == verdict
    assert judged.paper == 90.0
    assert judged.tolerance == pytest.approx((94.477 - 82.563) / 2, abs=0.002)
    assert judged.ours == pytest.approx(100 * ours)
    assert judged.low == (None if low is None else pytest.approx(100 * low))


def test_tolerance_comes_from_the_class_that_the_metric_is_over():
    claims = [
        PrintedNumber(75.0, metric="sensitivity"),
        PrintedNumber(75.0, metric="specificity"),
        PrintedNumber(0.75, metric="auc", unit="fraction"),
    ]
    judged = judge_claims(claims, [rate(0.75, 0.7, 0.8)], {}, positive_class="ill")
    half = [(high - low) / 2 for low, high in (statistics.wilson_interval(15, 20), statistics.wilson_interval(60, 80))]
    assert [entry.tolerance for entry in judged[:2]] == pytest.approx([100 * half[0], 100 * half[1]])
    assert judged[2].tolerance == pytest.approx(statistics.hanley_mcneil_halfwidth(0.75, 20, 80))
    assert judged[2].ours == 0.75
    swapped = judge_claims(claims, [rate(0.75, 0.7, 0.8)], {}, positive_class="healthy")
    assert [entry.tolerance for entry in swapped[:2]] == pytest.approx([100 * half[1], 100 * half[0]])
    with pytest.raises(UsageError, match="positive class None"):
        judge_claims(claims, [], {})


def test_without_case_numbers_or_a_formula_the_verdict_stays_unclear():
    claims = [PrintedNumber(90.0, classes={}), PrintedNumber(90.0, metric="f1")]
    for judged in judge_claims(claims, [rate(0.5, 0.4, 0.6)], {}, positive_class="ill"):
        assert (judged.verdict, judged.tolerance) == ("unclear", None)
        assert "no tolerance" in judged.note


def test_claims_without_value_or_result():
    claims = [PrintedNumber(None), PrintedNumber(90.0, row="B", note="as printed"), PrintedNumber(90.0, row="C")]
    rows = [rate(0.9, 0.8, 0.95), rate(0.9, 0.8, 0.95, row="C"), rate(0.1, 0.0, 0.2, protocol="leakfree")]
    impossible = {("2", "B", "accuracy"), ("3", "C", "accuracy"), ("2", "C", "auc")}
    judged = judge_claims(claims, rows, {"C": "weights are missing"}, impossible=impossible)
    assert [entry.verdict for entry in judged] == ["n/a", "not run", "not run"]
    assert (judged[0].paper, judged[0].tolerance, judged[0].ours) == (None, None, 90.0)
    assert [entry.impossible for entry in judged] == [False, True, False]
    assert judged[1].note == "as printed; we have no result for it"
    assert (judged[2].note, judged[2].ours) == ("weights are missing", None)
    (leakfree,) = judge_claims([PrintedNumber(90.0)], rows, {}, "leakfree")
    assert leakfree.verdict == "outside, lower"


def test_counts_must_be_equal():
    def count(value):
        return PrintedNumber(value, table="1", row="dataset", metric="train", unit="count", digits=0)

    extra = {("1", "dataset", "train"): 5000}
    for value, verdict in ((5000, "within"), (5001, "outside, lower"), (4999, "outside, higher"), (None, "n/a")):
        (judged,) = judge_claims([count(value)], [], {}, extra=extra)
        assert (judged.verdict, judged.ours, judged.tolerance) == (verdict, 5000, 0)
    (missing,) = judge_claims([count(5000)], [], {"dataset": "the data is not here"})
    assert (missing.verdict, missing.note) == ("not run", "the data is not here")


def test_an_undefined_metric_of_ours_is_said():
    (judged,) = judge_claims([PrintedNumber(90.0)], [rate(None, None, None)], {})
    assert (judged.verdict, judged.ours) == ("unclear", None)
    assert "undefined" in judged.note


def test_unknown_metrics_are_refused():
    with pytest.raises(UsageError, match="metric 'kappa'"):
        judge_claims([PrintedNumber(0.5, metric="kappa")], [], {})
