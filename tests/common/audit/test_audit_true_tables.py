"""True tables of kinds that are easily accused: pooled areas, spreads of repeated folds, patients kept together, counts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from common.audit.__main__ import main
from common.audit.operating import check_auc, check_likelihood
from common.audit.outcomes import Averaging, Line
from common.audit.printed import Printed
from common.audit.readings import explain_accuracy, explain_line
from common.audit.rows import check_between
from common.audit.spreads import bound_sd, check_spreads
from common.errors import UsageError
from common.records.claims import Claim
from common.records.printed_tables import BLANK, Place, PrintedTable, read_grid
from common.records.table_cells import read_cell


def make_line(values: dict[str, str], classes: dict[str, int] | None = None, **says) -> Line:
    return Line("net", ("1",), classes or {}, {k: Printed(v, "percent") for k, v in values.items()}, Averaging(**says))


def print_percent(values: dict[str, float], digits: int = 2) -> dict[str, str]:
    return {name: f"{100 * value:.{digits}f}" for name, value in values.items()}


def read_rows(*rows: list[str]) -> PrintedTable:
    grid = [[Place(text, f"line {i}, column {j}") for j, text in enumerate(row, 1)] for i, row in enumerate(rows, 1)]
    return read_grid(grid, Claim("4", where="Table 4", classes={}, **BLANK), "", "mine.csv")


# ------------------------------------------------------------------------------------------------------ areas, spreads


def test_an_area_pooled_over_folds_has_no_bounds():
    """Every fold is ranked without a fault, on a scale of its own: pooled, the area is near one half."""
    truth = np.tile([0, 0, 1, 1], 5)
    score = truth * 1.0 + 10 * np.repeat(np.arange(5), 4)
    values = print_percent({"auc": roc_auc_score(truth, score), "sensitivity": 1, "specificity": 1})
    assert float(values["auc"]) < 70
    for says in ({"folds": 5}, {"folds": 5, "average": "binary", "runs": 1}, {}):
        assert [outcome.verdict for outcome in check_auc([make_line(values, **says)])] == ["only averaged"]
    (outcome,) = check_auc([make_line(values, folds=1, average="binary")])
    assert outcome.verdict == "impossible"


def test_the_area_of_three_classes_has_no_bounds():
    values = {"auc": "99.2", "sensitivity": "99.4", "specificity": "99.7"}  # as answers of the largest of three scores have it
    low = {**values, "auc": "98.0"}
    assert [outcome.verdict for outcome in check_auc([make_line(low, folds=1, runs=1)])] == ["only averaged"]
    assert [outcome.verdict for outcome in check_auc([make_line(low, {"a": 50, "b": 50}, folds=1, runs=1)])] == ["impossible"]


def test_the_spread_of_repeated_folds():
    """One miss among 20 cases of one fold in 25: 49 folds would do, 5 would not."""
    values = [1.0] * 24 + [0.85]
    mean, sd = np.mean(values), np.std(values, ddof=1)
    printed = print_percent({"accuracy": mean, "accuracy_sd": sd})
    verdicts = [check_spreads([make_line(printed, folds=5, runs=runs)])[0].verdict for runs in (0, 5, 1)]
    assert verdicts == ["possible", "possible", "impossible"]
    assert check_spreads([make_line(printed, runs=5)])[0].verdict == "possible"
    assert bound_sd((0, 1), (0.9, 0.9), 5, is_known=False) == pytest.approx(
        max(bound_sd((0, 1), (0.9, 0.9), 5 * r) for r in range(1, 40))
    )


# --------------------------------------------------------------------------------------------------------------- folds


@pytest.mark.parametrize("missing", [np.nan, 0.0])
def test_patients_kept_together(missing):
    """Each fold a patient or two, nearly all of one class; a fold without a class has its recall left out, or 0."""
    generator = np.random.default_rng(3)
    for _ in range(6):
        shares = generator.permutation([0.0, 1.0, 0.02, 0.97, generator.uniform()])
        truth = [(generator.random(400) < share).astype(int) for share in shares]
        right = [generator.random(400) < skill for skill in generator.choice([0.7, 0.9, 0.99], 5)]
        answer = [np.where(ok, y, 1 - y) for ok, y in zip(right, truth, strict=True)]
        folds = list(zip(truth, answer, strict=True))
        values = {
            "accuracy": np.mean([np.mean(y == a) for y, a in folds]),
            "sensitivity": np.nanmean([recall_score(y, a, zero_division=missing) for y, a in folds]),
            "specificity": np.nanmean([recall_score(y, a, pos_label=0, zero_division=missing) for y, a in folds]),
            "precision": np.mean([precision_score(y, a, zero_division=0) for y, a in folds]),
            "f1": np.mean([f1_score(y, a, zero_division=0) for y, a in folds]),
        }
        ill = int(sum(y.sum() for y in truth))
        line = make_line(print_percent(values), {"ill": ill, "healthy": 2000 - ill}, folds=5, runs=1, average="binary")
        assert explain_line(line)[0] in ("possible", "only uneven folds")


@pytest.mark.parametrize("missing", [np.nan, 0.0])
def test_an_accuracy_outside_both_recalls_over_folds_of_single_patients(missing):
    """Twenty patients of four images, a fold each: 0 for the class that a fold lacks puts the accuracy far above both means."""
    ill = np.arange(20) % 2 == 0
    right = np.where(ill, 3, 4) / 4
    values = {
        "accuracy": right.mean(),
        "sensitivity": np.nanmean(np.where(ill, right, missing)),
        "specificity": np.nanmean(np.where(ill, missing, right)),
    }
    verdicts = [
        check_between([make_line(print_percent(values), {}, average="binary", **says)])[0].verdict
        for says in ({}, {"folds": 20}, {"folds": 1, "runs": 1})
    ]
    inside = missing != 0
    assert verdicts == (["possible"] * 3 if inside else ["only uneven folds", "possible", "impossible"])
    # What no folds give is impossible, whatever they are: sensitivity and specificity bound the accuracy by their sum.
    beyond = {"accuracy": 0.95, "sensitivity": 0.40, "specificity": 0.50}
    for says in ({}, {"folds": 20}):
        assert check_between([make_line(print_percent(beyond), {}, average="binary", **says)])[0].verdict == "impossible"


def test_stated_even_shares_exclude_what_uneven_ones_explain():
    """Mean recalls .9 and .7 over folds of one half ill: accuracy .8."""
    values, classes = {"accuracy": "85.00", "sensitivity": "90.00", "specificity": "70.00"}, {"ill": 500, "healthy": 500}
    verdicts = [
        explain_line(make_line(values, classes, folds=5, runs=1, average="binary", stratified=even))[0] for even in (False, True)
    ]
    assert verdicts == ["only uneven folds", "impossible"]


def test_balanced_accuracy_of_a_fold_without_a_class():
    """scikit-learn takes the recall of the class that is there."""
    folds = [([1, 1, 1, 1], [1, 1, 1, 0]), ([0, 0, 1, 1], [0, 1, 1, 1])]
    values = {
        "balanced_accuracy": np.mean([0.75, balanced_accuracy_score(*folds[1])]),
        "sensitivity": np.mean([recall_score(*fold, zero_division=0) for fold in folds]),
        "specificity": np.mean([recall_score(*fold, pos_label=0, zero_division=0) for fold in folds]),
    }
    for says, verdict in (({"folds": 2}, "only averaged"), ({"folds": 1, "runs": 1}, "impossible")):
        (outcome,) = check_likelihood([make_line(print_percent(values), average="binary", **says)])
        assert outcome.verdict == verdict


def test_an_accuracy_that_is_the_mean_recall():
    """33 of 40, 50 of 55 and 66 of 70: no k/165, and the macro recall."""
    recall = np.mean([33 / 40, 50 / 55, 66 / 70])
    values, classes = print_percent({"accuracy": recall, "sensitivity": recall}), {"a": 40, "b": 55, "c": 70}
    line = make_line(values, classes, average="macro", folds=1, runs=1)
    assert explain_accuracy(line.metrics["accuracy"], line)[0] == "possible"
    assert explain_line(line)[0] == "possible"
    other = make_line({**values, "sensitivity": "80.00"}, classes, average="macro", folds=1, runs=1)
    assert explain_accuracy(other.metrics["accuracy"], other)[0] == "impossible"


# --------------------------------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("text", "sd"), [("88 (44)", ""), ("88.0 (44)", ""), ("95.0 (44.0)", ""), ("94.1 (1.2)", "1.2"), ("0.85 (±0.1)", "0.1")]
)
def test_a_number_in_brackets_is_a_spread_only_where_it_can_be(text, sd):
    assert read_cell(text).sd == sd
    assert bool(read_cell(text).beside) != bool(sd)


def test_a_middle_dot_is_a_decimal_point():
    assert (read_cell("0·85").text, read_cell("94·1 ± 1·2").sd) == ("0.85", "1.2")


def test_what_was_taken_for_a_spread_is_said():
    table = read_rows(["", "Acc", "AUC"], ["a", "94.1 (1.2)", "0.93 (42)"])
    assert "in brackets, taken as standard deviation: 1 cells" in table.notes
    assert "not read, in brackets beside the number: intervals, counts or references of 1 cells" in table.notes


def test_percent_signs_beside_bare_fractions_are_a_question():
    with pytest.raises(UsageError, match="line 3, column 2.*0.95 stands in a column with % signs"):
        read_rows(["", "Acc"], ["A", "95%"], ["B", "0.95"])


def test_rows_of_spreads_and_tests_are_no_results():
    names = ["SD", "Std.", "p-value", "P", "95% CI", "Difference", "p (DeLong)"]
    table = read_rows(["", "Acc"], ["PSPNet", "0.9"], *([name, "0.04"] for name in names))
    assert [claim.row for claim in table.claims] == ["PSPNet"]
    assert f"left out, rows that are no results: {', '.join(names)}" in table.notes


@pytest.mark.parametrize(
    "options",
    [["--folds", "0"], ["--folds", "1001"], ["--folds=-5"], ["--runs", "10001"], ["--classes", "ill=0,healthy=5"],
     ["--classes", "ill=2,healthy=2", "--folds", "5"], ["--folds", "1000", "--runs", "1000"]],
)  # fmt: skip
def test_counts_that_cannot_be_are_refused_in_one_line(tmp_path, options):
    path = tmp_path / "t.csv"
    path.write_text("model,Acc\nnet,0.9\n")
    with pytest.raises(UsageError) as caught:
        main([str(path), *options])
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written_is_one_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model,Acc\nnet,0.9\n")
    with pytest.raises(UsageError, match="--out .*: cannot be written, .*; name a file"):
        main([str(path), "--out", str(tmp_path)])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model,Acc\nnet,0.9\n")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "common.audit", str(path)], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: standard output: cannot be written")
