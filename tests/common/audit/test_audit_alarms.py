"""No true table is accused, however it was averaged; what is stated is used; what is altered is found."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from benchmarks import audit_alarms
from common.audit.means import FoldType, bound_f1, divide_evenly, fits_means
from common.audit.outcomes import Averaging, Line
from common.audit.printed import Printed
from common.audit.readings import explain_accuracy, explain_line
from common.records.paper import Claim


@pytest.mark.parametrize("kind", audit_alarms.KINDS)
@pytest.mark.parametrize("stated", [True, False])
def test_true_tables_are_not_accused(kind, stated):
    tables = 25 if "3 to 5" in kind else 60  # whose searches take longest
    assert audit_alarms.count_alarms(kind, tables, seed=11, stated=stated)[0] == 0


def test_the_benchmark_averages_as_scikit_learn_does():
    generator = np.random.default_rng(2)
    for average in ("macro", "weighted", "micro"):
        matrix = audit_alarms.draw_matrix(generator, np.array([12, 9, 4]), np.array([0.8, 0.6, 0.1]))
        truth, answer = (np.repeat(part.ravel(), matrix.ravel()) for part in np.indices(matrix.shape))
        expected = precision_recall_fscore_support(truth, answer, average=average, zero_division=0)[:3]
        values = audit_alarms.compute_metrics(matrix, average)
        assert [values[name] for name in ("precision", "sensitivity", "f1")] == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "n", "least"), [("binary", 100, 0.95), ("macro", 30, 0.85), ("folds", 300, 0.7)])
def test_one_altered_number_is_found_where_the_average_is_stated(kind, n, least):
    assert audit_alarms.measure_detection(kind, n, 40, seed=3, stated=True) >= least


def make_line(values: dict[str, str], classes: dict[str, int], **says) -> Line:
    return Line("ours", ("1",), classes, {name: Printed(text, "percent") for name, text in values.items()}, Averaging(**says))


def test_the_real_case_of_five_folds_over_103():
    """20/21, 19/21, 21/21, 18/20, 19/20: 94.14 %, and no k/103."""
    mean = np.mean([20 / 21, 19 / 21, 21 / 21, 18 / 20, 19 / 20])
    number, classes = Printed(f"{100 * mean:.2f}", "percent"), {"ill": 43, "healthy": 60}
    assert (number.text, divide_evenly(103, 5)) == ("94.14", [21, 21, 21, 20, 20])
    verdicts = {}
    for name, says in {
        "open": {}, "folds": {"folds": 5}, "sizes": {"fold_sizes": (21, 21, 21, 20, 20)}, "single": {"folds": 1, "runs": 1},
    }.items():  # fmt: skip
        verdicts[name] = explain_accuracy(number, make_line({"accuracy": number.text}, classes, **says))[0]
    assert verdicts == {"open": "only averaged", "folds": "possible", "sizes": "possible", "single": "impossible"}


@pytest.mark.parametrize("field", [{"folds": 1}, {"runs": 1}])
def test_half_of_a_statement_leaves_the_other_half_open(field):
    line = make_line({"accuracy": "91.5"}, {"ill": 40, "healthy": 60}, **field)
    assert explain_accuracy(line.metrics["accuracy"], line)[0] == "only averaged"


def test_the_stated_average_is_the_one_that_is_used():
    """35 of 40 and 50 of 60: the two recalls and their mean, 85.4."""
    classes, single = {"ill": 40, "healthy": 60}, {"folds": 1, "runs": 1}
    macro = {"accuracy": "85.0", "sensitivity": "85.4", "specificity": "85.4"}
    binary = {"accuracy": "85.0", "sensitivity": "87.5", "specificity": "83.3"}
    found = {
        (name, average): explain_line(make_line(values, classes, average=average, **single))[0]
        for name, values in (("macro", macro), ("binary", binary))
        for average in ("macro", "binary", "weighted", "micro")
    }
    assert {key for key, verdict in found.items() if verdict == "possible"} == {("macro", "macro"), ("binary", "binary")}
    assert set(found.values()) == {"possible", "impossible"}


def test_a_mean_of_f1_is_within_its_bounds():
    """Means over classes and folds of random precision and recall; the harmonic mean is concave."""
    generator = np.random.default_rng(4)
    precision, recall = generator.random((2, 2000, 5)) ** generator.choice([0.1, 1, 5], (2, 2000, 1))
    f1 = (2 * precision * recall / (precision + recall)).mean(axis=1)
    for p, r, value in zip(precision.mean(axis=1), recall.mean(axis=1), f1, strict=True):
        low, high = bound_f1((p, p), (r, r))
        assert low - 1e-12 <= value <= high + 1e-12 <= (p + r) / 2 + 2e-12


def test_known_folds_leave_less_than_unknown_ones():
    """Mean recalls .9 and .7 over folds with shares of one half: accuracy .8; with shares of .4 to .6 some more."""
    printed = {"sensitivity": "0.9000", "specificity": "0.7000", "accuracy": "0.8100"}
    printed = {name: Printed(text, "fraction") for name, text in printed.items()}
    even, uneven = (FoldType(1.0, (low, low), (1 - low, 1 - low)) for low in (0.5, 0.4))
    assert not fits_means(printed, [even], "binary")
    assert fits_means(printed, [uneven], "binary")
    assert not fits_means({**printed, "accuracy": Printed("0.9500", "fraction")}, [uneven], "binary")


def test_rows_state_their_average_claim_by_claim():
    """An accuracy, which has no average, stands with the macro means of its row; a mean over folds does not."""
    from common.audit.outcomes import read_lines

    def claim(metric: str, **says) -> Claim:
        return Claim("1", "net", metric, 90.0, 1, "percent", "", {"a": 10, "b": 10}, **says)

    (line,) = read_lines([claim("accuracy"), claim("recall", average="macro")])
    assert (line.averaging.average, list(line.metrics)) == ("macro", ["accuracy", "sensitivity"])
    lines = read_lines([claim("accuracy"), claim("recall", average="macro", folds=5)])
    assert [list(line.metrics) for line in lines] == [["accuracy"], ["sensitivity"]]


def test_altered_tables_differ_from_true_ones():
    generator = np.random.default_rng(5)
    table = audit_alarms.draw_single(generator, "binary", 2)
    altered = audit_alarms.alter_one(generator, table)
    assert replace(altered, values=table.values) == table
    assert sum(altered.values[name] != value for name, value in table.values.items()) == 1
