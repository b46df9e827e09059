"""One tolerance for all printed numbers: counts, sums, means and spreads may lie one unit of the last digit away, and no more."""

from pathlib import Path

import pytest

from common.audit.checks import Check
from common.audit.declared import run_checks
from common.audit.equations import overlap, solve_equation
from common.audit.example import EXAMPLE
from common.audit.outcomes import Averaging, Line, Outcome
from common.audit.printed import Printed
from common.audit.rows import check_attainable
from common.errors import UsageError
from common.records.paper import Paper, parse_paper


@pytest.fixture
def paper() -> Paper:
    return parse_paper(EXAMPLE, Path("mine.toml"))


def check_count(right: int, n: int, printed: str) -> Outcome:
    line = Line("a", ("2",), {"ill": n}, {"accuracy": Printed(printed, "percent")}, Averaging(folds=1, runs=1))
    return check_attainable([line])[0]


def check_sum(paper: Paper, text: str, **fields) -> Outcome:
    (outcome,) = run_checks([Check("equation", "text", {"text": text, **fields}, "mine.toml: check 1")], paper, [])
    return outcome


def check_moment(paper: Paper, kind: str, values: list[str], printed: str) -> Outcome:
    lines = [Line(str(i), ("2",), {}, {"accuracy": Printed(text, "percent")}) for i, text in enumerate(values)]
    fields = {"table": "2", "metric": "accuracy", "printed": printed, "unit": "percent"}
    (outcome,) = run_checks([Check(kind, "text", fields, "mine.toml: check 1")], paper, lines)
    return outcome


@pytest.mark.parametrize(
    ("value", "verdict"),
    [("95.96", "possible"), ("96.05", "possible"), ("96.09", "only truncated"), ("95.91", "within one unit"),
     ("96.10", "only truncated"), ("95.90", "within one unit"), ("96.11", "impossible"), ("95.89", "impossible")],
)  # fmt: skip
def test_sums_and_means_have_the_slack_of_counts(paper, value, verdict):
    """Of a true `value` printed as 96.0; that 96.10 passes as cut off, at the end of a closed interval, is lenient."""
    hundredths = value.replace(".", "")
    found = {
        "sum": check_sum(paper, f"{hundredths} / 100 = 96.0").verdict,
        "mean": check_moment(paper, "mean", [f"{value}00000000", f"{value}00000000"], "96.0").verdict,
    }
    assert set(found.values()) == {verdict}, found


def test_a_count_has_it():
    assert check_count(258, 269, "96.0").verdict == "within one unit"  # 95.91
    assert check_count(173, 180, "96.0").verdict == "impossible"  # 96.11 and 95.56


def test_a_spread_has_it(paper):
    """Of 90 and 94 the standard deviation is 2.828: 2.8 by rounding, 2.9 rounded up, 3.0 by nothing."""
    values = ["90.00000000", "94.00000000"]
    found = {printed: check_moment(paper, "sd", values, printed).verdict for printed in ("2.8", "2.9", "3.0")}
    assert found == {"2.8": "possible", "2.9": "within one unit", "3.0": "impossible"}


def test_every_number_of_a_sum_has_it(paper):
    """Not the result alone: 0.30 + 0.30 may be 0.58 to 0.62, and 0.63 prints up to one unit more."""
    assert check_sum(paper, "0.30 + 0.30 = 0.63").verdict == "within one unit"
    assert check_sum(paper, "0.30 + 0.30 = 0.64").verdict == "impossible"


def test_a_divisor_that_one_unit_would_let_be_0_is_taken_as_rounded():
    assert not overlap(*solve_equation("1 / 0.1 = 30.0", way="near"))
    assert overlap(*solve_equation("1 / 0.1 = 20.0", way="near"))
    with pytest.raises(ValueError, match="division by zero"):
        solve_equation("1 / (0.1 - 0.1) = 1", way="near")


def test_a_number_that_is_not_printed_is_named(paper):
    found = check_sum(paper, "130 + 77 = 210", derived=["77"])
    assert (found.check, found.verdict, found.accused) == ("derived equation", "impossible", ())
    assert found.arithmetic == "130 + 77 is 207; 210 is 210; 77 is derived, not printed"
    with pytest.raises(UsageError, match=r"field 'derived': '7' is not a number of the equation"):
        check_sum(paper, "130 + 77 = 210", derived=["7"])


def test_a_mean_says_by_how_much_it_is_off(paper):
    found = check_moment(paper, "mean", ["96.10000000", "96.12000000"], "96.0")
    assert found.arithmetic == "mean of the 2 printed values: 96.11; printed 96.0, 1.10 units of its last digit away"
