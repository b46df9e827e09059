"""Verdicts on printed numbers, against hand-made results with known answers; and where none is due."""

from dataclasses import replace

import pytest

from common.errors import UsageError
from common.evaluation.differences import expect_gain, vary_auc, vary_proportion
from common.evaluation.metrics import METRICS
from common.evaluation.samples import TestSet
from common.evaluation.verdicts import judge_claims, name_standing
from common.records.paper import Claim
from common.records.results import DatasetEntry, JudgedClaim, Metric, RowResult


def print_number(value: float | None, **changes) -> Claim:
    """A claim of 100 cases, 20 of them ill."""
    claim = Claim("2", "A", "accuracy", value, 1, "percent", "Table 2", {"healthy": 80, "ill": 20})
    return replace(claim, **changes)


def rate(
    mean: float | None,
    error: float | None = 0.01,
    row: str = "A",
    protocol: str = "paper",
    *,
    sd: float | None = 0.005,
    seeds: int = 5,
    n: int = 1000,
    patients: int | None = 1000,
    **changes,
) -> RowResult:
    """An evaluated row, the same for every metric; error: standard error over patients."""
    limits = (None, None) if mean is None or error is None else (mean - 2 * error, mean + 2 * error)
    given = {"mean": mean, "sd": sd, "low": limits[0], "high": limits[1], "by_seed": [mean] * seeds, "error_patients": error}
    counts = {"n": n, "patients": patients, "positives": n // 5, "seeds": list(range(seeds)), "below_majority": False}
    metric = Metric(**given | changes)
    return RowResult(row=row, protocol=protocol, metrics=dict.fromkeys(METRICS, metric), **counts)


def judge(claim: Claim, row: RowResult, **given) -> JudgedClaim:
    (judged,) = judge_claims([claim], [row], {}, positive_class="ill", **given)
    return judged


MANY = {"healthy": 800, "ill": 800}


@pytest.mark.parametrize(
    ("ours", "error", "verdict"),
    [
        (0.90, 0.01, "agrees within 5 points"),
        (0.875, 0.02, "cannot tell"),
        (0.80, 0.01, "differs, lower"),
        (0.99, 0.01, "differs, higher"),
    ],
)
def test_verdict_words(ours, error, verdict):
    # 90 % of 1600: a standard error of 0.75 points; trainings 0.5 points, of five against one: 0.55 points.
    judged = judge(print_number(90.0, classes=MANY), rate(ours, error))
    assert judged.verdict == verdict
    assert (judged.paper, judged.ours, judged.margin) == (90.0, pytest.approx(100 * ours), 5.0)
    assert judged.difference == pytest.approx(100 * ours - 90)
    assert judged.tolerance == pytest.approx(1.475, abs=0.01)
    half = (judged.difference_high - judged.difference_low) / 2
    assert judged.difference == pytest.approx(judged.difference_low + half)
    assert half == pytest.approx(1.98 * (0.75**2 + 0.55**2 + (100 * error) ** 2) ** 0.5, rel=0.08)
    assert judged.low == pytest.approx(100 * (ours - 2 * error))


def test_a_model_ten_points_worse_no_longer_passes_in_a_small_test_set():
    """60 cases of the paper: its error alone is 4 points, and nothing that is 7 points off can be called alike."""
    judged = judge(print_number(85.0, classes={"healthy": 30, "ill": 30}), rate(0.78, 0.05, n=60, patients=60))
    assert judged.verdict == "cannot tell"
    assert judged.patients_needed is None
    assert judged.note == "no number of test patients of ours would tell: the paper's own test set is too small"
    better = judge(print_number(85.0, classes={"healthy": 30, "ill": 30}), rate(0.50, 0.05, n=60, patients=60))
    assert better.verdict == "differs, lower"


def test_cannot_tell_names_the_test_patients_that_would():
    judged = judge(print_number(90.0, classes=MANY), rate(0.90, 0.04, n=60, patients=60))
    assert judged.verdict == "cannot tell"
    assert 100 < judged.patients_needed < 200
    assert judged.note.endswith("test patients would tell if the difference stayed the same (here 60)")


def test_trainings_that_differ_by_chance_of_the_patients_alone_do_not_stand_in_the_way_of_more():
    """V2 holds what 60 patients add to it; more patients take that away, more seeds are not what is lacking."""
    printed = print_number(90.0, classes={"healthy": 50000, "ill": 50000})
    row = {"mean": 0.82, "error": 0.05, "sd": 0.04, "n": 60, "patients": 60, "seeds": 3}
    unknown = judge(printed, rate(**row))
    assert (unknown.patients_needed, unknown.verdict) == (None, "cannot tell")
    metric = rate(**row).metrics["accuracy"]
    by_chance = rate(**row).model_copy(update={"metrics": {"accuracy": metric.model_copy(update={"error": 0.05})}})
    known = judge(printed, by_chance)
    assert known.difference_low == unknown.difference_low  # the verdict's own interval stays as it was calibrated
    assert 60 < known.patients_needed < 1000
    partly = metric.model_copy(update={"error": (0.05**2 + 0.03**2 / 3) ** 0.5})
    open_ = judge(printed, by_chance.model_copy(update={"metrics": {"accuracy": partly}}))
    assert open_.note.startswith("whether more test patients would tell is open: 3 trainings do not show")
    varying = metric.model_copy(update={"error": (0.05**2 + 0.04**2 / 3) ** 0.5})  # all of it is the trainings'
    stays = judge(printed, by_chance.model_copy(update={"metrics": {"accuracy": varying}}))
    assert "trainings vary too much" in stays.note


def test_a_metric_of_one_class_counts_the_patients_of_the_class():
    """200 cases of class 1, of 40 patients."""
    claim = print_number(90.0, metric="sensitivity", classes=MANY)
    test_set = TestSet(folds=1, patients=100, positive=40, negative=60)
    judged = judge(claim, rate(0.90, 0.04, patients=100), test_sets={"A": test_set})
    assert judged.note.endswith("test patients of the class would tell if the difference stayed the same (here 40)")
    by_hand = rate(0.90, 0.04, patients=40)
    assert judged.difference_high == judge(claim, by_hand).difference_high  # 39 degrees of freedom


def test_printed_folds_are_trainings_only_where_ours_is_not_cross_validated():
    row, folds = rate(0.9, sd=0.02), print_number(90.0, classes=MANY, folds=10)
    ours = {number: {"A": TestSet(folds=number, patients=1000, positive=200, negative=800)} for number in (1, 10)}
    single = judge(print_number(90.0, classes=MANY), row)
    assert judge(folds, row, test_sets=ours[10]).difference_high == single.difference_high
    assert judge(folds, row, test_sets=ours[1]).difference_high < single.difference_high


def test_a_gain_of_less_than_a_tenth_of_a_point_is_not_mentioned():
    certain = {"healthy": 500_000, "ill": 500_000}
    assert "best of" not in judge(print_number(90.0, classes=certain, best_of=5), rate(0.80)).note


def test_the_limits_of_a_difference_stay_within_100_points():
    judged = judge(print_number(99.0, classes={"healthy": 2, "ill": 2}), rate(0.01, 0.3, sd=0.3, n=4, patients=4, seeds=3))
    assert judged.difference_low == -100


def test_a_certain_difference_smaller_than_the_margin_says_so():
    judged = judge(print_number(90.0, classes={"healthy": 80000, "ill": 20000}), rate(0.89, 0.001, sd=0.0005))
    assert (judged.verdict, judged.note) == ("differs, lower", "by less than 5 points")
    large = judge(print_number(90.0, classes={"healthy": 80000, "ill": 20000}), rate(0.80, 0.001, sd=0.0005))
    assert (large.verdict, large.note) == ("differs, lower", "")


def test_the_papers_error_comes_from_the_class_that_the_metric_is_over():
    claims = [
        print_number(75.0, metric="sensitivity"),
        print_number(75.0, metric="specificity"),
        print_number(0.75, metric="auc", unit="fraction", digits=9),
    ]
    judged = judge_claims(claims, [rate(0.75)], {}, positive_class="ill")
    expected = [float(vary_proportion(0.75, n)) + 0.001**2 / 12 for n in (20, 80)] + [float(vary_auc(0.75, 20, 80))]
    units = (100, 100, 1)
    assert [entry.tolerance for entry in judged] == pytest.approx(
        [unit * 1.959964 * variance**0.5 for unit, variance in zip(units, expected, strict=True)], rel=1e-6
    )
    assert judged[2].ours == 0.75
    assert judged[2].margin == 0.05
    swapped = judge_claims(claims, [rate(0.75)], {}, positive_class="healthy")
    assert [swapped[0].tolerance, swapped[1].tolerance] == pytest.approx([judged[1].tolerance, judged[0].tolerance])
    with pytest.raises(UsageError, match="positive class None"):
        judge_claims(claims, [], {})


def test_patients_with_several_images_widen_the_papers_error_as_ours():
    claim = print_number(90.0, classes=MANY)
    plain, wide = (judge(claim, rate(0.868), design_effects={"A": {"accuracy": effect}}) for effect in (1.0, 4.0))
    assert wide.difference_high - wide.difference_low > 1.1 * (plain.difference_high - plain.difference_low)
    assert (plain.verdict, wide.verdict) == ("differs, lower", "cannot tell")


def test_a_printed_mean_over_trainings_varies_less():
    single, mean = (judge(print_number(90.0, classes=MANY, runs=runs), rate(0.9, sd=0.02)) for runs in (0, 10))
    assert mean.difference_high < single.difference_high
    folds = judge(print_number(90.0, classes=MANY, folds=10), rate(0.9, sd=0.02))
    assert folds.difference_high == pytest.approx(mean.difference_high)


@pytest.mark.parametrize(
    ("changes", "row", "reason"),
    [
        ({"classes": {}}, {}, "case numbers are not known"),
        ({"metric": "f1"}, {}, "do not give the sampling error of this f1"),
        ({"metric": "sensitivity", "average": "macro"}, {}, "do not give the sampling error of this sensitivity"),
        ({}, {"seeds": 1, "sd": None}, "one training of ours"),
        ({}, {"seeds": 2}, "2 trainings of ours"),
        ({}, {"error": None}, "our accuracy has no interval"),
        ({}, {"mean": None}, "our accuracy is undefined in at least one seed"),
    ],
)
def test_without_what_an_interval_needs_the_reason_is_said(changes, row, reason):
    judged = judge(print_number(90.0, **changes), rate(**{"mean": 0.5, **row}))
    assert judged.verdict == "cannot tell"
    assert reason in judged.note
    assert (judged.difference_low, judged.difference_high, judged.margin) == (None, None, None)


def test_records_of_intervals_alone_are_judged_by_them():
    """Files of earlier versions hold no standard error."""
    known = judge(print_number(90.0, classes=MANY), rate(0.86))
    alone = judge(print_number(90.0, classes=MANY), rate(0.86, error_patients=None, low=0.86 - 0.0196, high=0.86 + 0.0196))
    assert alone.verdict == known.verdict
    assert alone.difference_low == pytest.approx(known.difference_low, abs=0.01)


def test_claims_without_value_or_result():
    claims = [print_number(None), print_number(90.0, row="B", note="as printed"), print_number(90.0, row="C")]
    rows = [rate(0.9), rate(0.9, row="C"), rate(0.1, protocol="leakfree")]
    impossible = {("2", "B", "accuracy"), ("3", "C", "accuracy"), ("2", "C", "auc")}
    judged = judge_claims(claims, rows, {"C": "weights are missing"}, impossible=impossible)
    assert [entry.verdict for entry in judged] == ["n/a", "not run", "not run"]
    assert (judged[0].paper, judged[0].tolerance, judged[0].ours) == (None, None, 90.0)
    assert [entry.impossible for entry in judged] == [False, True, False]
    assert judged[1].note == "as printed; we have no result for it"
    assert (judged[2].note, judged[2].ours) == ("weights are missing", None)
    assert judged[2].tolerance == pytest.approx(100 * 1.959964 * (float(vary_proportion(0.9, 100)) + 0.001**2 / 12) ** 0.5)
    (leakfree,) = judge_claims([print_number(90.0)], rows, {}, "leakfree")
    assert leakfree.verdict == "differs, lower"


def count(value: float | None) -> Claim:
    return print_number(value, table="1", row="dataset", metric="train", unit="count", digits=0)


def test_counts_must_be_equal():
    extra = {("1", "dataset", "train"): 5000}
    for value, verdict in ((5000, "equal"), (5001, "differs, lower"), (4999, "differs, higher"), (None, "n/a")):
        (judged,) = judge_claims([count(value)], [], {}, extra=extra)
        assert (judged.verdict, judged.ours, judged.tolerance) == (verdict, 5000, None)
        assert judged.difference == (None if value is None else 5000 - value)
    (missing,) = judge_claims([count(5000)], [], {"dataset": "the data is not here"})
    assert (missing.verdict, missing.note) == ("not run", "the data is not here")


@pytest.mark.parametrize("word", ["phantoms", "other data", "off protocol"])
def test_where_no_verdict_is_due_there_is_none(word):
    claims = [print_number(90.0), print_number(None), count(5001), print_number(90.0, row="absent")]
    extra = {("1", "dataset", "train"): 5000}
    judged = judge_claims(claims, [rate(0.2)], {}, extra=extra, withheld=lambda _row: (word, ["epochs = 6 instead of 100"]))
    assert [entry.verdict for entry in judged] == [word, word, word, "not run"]
    assert [entry.note for entry in judged[:3]] == ["epochs = 6 instead of 100"] * 3
    assert {entry.difference for entry in judged} == {None}
    assert judged[0].ours == 20.0  # shown


def test_the_best_of_several_choices_is_noted_with_the_size_of_its_gain():
    claim = print_number(90.0, classes=MANY, best_of=5)
    gain = 100 * expect_gain(5, (float(vary_proportion(0.9, 1600)) + 0.001**2 / 12) ** 0.5)
    judged = judge(claim, rate(0.80))
    about = f"printed is the best of 5 choices on the test cases: about {gain:.1f} points by chance"
    assert judged.note == f'{about}, which alone favours "lower"'
    assert judge(claim, rate(0.80), choices_repeated=True).note == f"{about}; our trainings choose alike"
    assert "best of" not in judge(replace(claim, best_of=0), rate(0.80)).note
    assert judge(replace(claim, best_of=0), rate(0.80)).verdict == judged.verdict


def test_standing_follows_from_data_and_preset():
    counts = {"cases": 2, "patients": 2, "classes": {"a": 1, "b": 1}, "files_sha256": None, "unreadable": [], "splits": {}}
    real = DatasetEntry(dataset="set", name="hospital", note="", synthetic=False, **counts)
    other, phantoms = (real.model_copy(update={name: True}) for name in ("substitute", "synthetic"))
    assert [name_standing(data, "paper") for data in (real, other, phantoms, None)] == ["", "other data", "phantoms", ""]
    assert [name_standing(data, "demo") for data in (real, other, phantoms)] == ["off protocol", "other data", "phantoms"]


def test_unknown_metrics_are_refused():
    with pytest.raises(UsageError, match="metric 'kappa'"):
        judge_claims([print_number(0.5, metric="kappa")], [], {})


def test_a_number_under_the_head_of_another_is_held_against_what_it_is():
    """Two columns exchanged in print: F1 stands under specificity."""
    claim, row = print_number(70.0, metric="specificity"), rate(0.9)
    row = row.model_copy(update={"metrics": row.metrics | {"f1": rate(0.7).metrics["f1"]}})
    plain, turned = judge(claim, row), judge(claim, row, exchanged={claim.printed_key: "f1"})
    assert (plain.ours, plain.held) == (90.0, "")
    assert (turned.ours, turned.held, turned.metric) == (70.0, "f1", "specificity")
    assert "columns exchanged in print: this is f1" in turned.note
