"""Large test sets and many classes: answered in seconds, or refused in one line."""

import time
from fractions import Fraction

import numpy as np
import pytest

from common.audit.__main__ import main
from common.audit.averages import AVERAGES, bound_right
from common.audit.printed import Printed
from common.errors import run_main
from common.records.paper_entries import MOST_CLASSES


def list_right(printed: dict[str, Printed], cases: list[int], average: str, way: str) -> list[int]:
    """By trying every number of right answers."""
    n, classes, found = sum(cases), len(cases), []
    for right in range(n + 1):
        share, wrong = Fraction(right, n), Fraction(n - right, n)
        shares = {share} | ({1 - wrong * Fraction(2, classes)} if classes > 2 and average != "weighted" else set())
        held = [any(_holds(printed["accuracy"], value, way) for value in shares)] if "accuracy" in printed else []
        names = {"macro": (), "weighted": ("sensitivity",), "micro": ("sensitivity", "precision", "f1")}[average]
        held += [_holds(printed[name], share, way) for name in names if name in printed]
        if average == "micro" and "specificity" in printed:
            held.append(_holds(printed["specificity"], 1 - wrong / (classes - 1), way))
        found += [right] if all(held) else []
    return found


def _holds(number: Printed, value: Fraction, way: str) -> bool:
    low, high = number.bounds(way)
    return low <= value <= high


@pytest.mark.parametrize("average", AVERAGES)
def test_the_ranges_of_right_answers_are_those_found_by_trying(average):
    rng, met = np.random.default_rng(0), 0
    for _ in range(200):
        cases = [int(size) for size in rng.integers(1, 40, rng.integers(2, 5))]
        right = int(rng.integers(0, sum(cases) + 1))
        names = [name for name in ("accuracy", "sensitivity", "specificity", "f1") if rng.random() < 0.6]
        share = right / sum(cases)
        values = {name: share for name in names} | (
            {"specificity": 1 - (1 - share) / (len(cases) - 1)} if "specificity" in names else {}
        )
        printed = {name: Printed(f"{100 * value:.1f}", "percent") for name, value in values.items()}
        found = bound_right(printed, cases, average, "near")
        met += right in [k for part in found for k in part]
        assert [k for part in found for k in part] == list_right(printed, cases, average, "near")
        assert all(a.stop <= b.start for a, b in zip(found, found[1:], strict=False))
    assert met > 150


def test_a_thousand_million_cases_are_no_list():
    started = time.process_time()
    found = bound_right({"accuracy": Printed("91", "percent")}, [4 * 10**8, 6 * 10**8], "macro")
    assert sum(map(len, found)) == 10**7 + 1  # 90.5 to 91.5 %
    assert time.process_time() - started < 1  # a set of them took minutes


def test_too_many_classes_are_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("model,accuracy,recall\na,0.9,0.8\n")
    classes = ",".join(f"c{i}=10" for i in range(MOST_CLASSES + 1))
    assert run_main(lambda: main([str(tmp_path / "t.csv"), "--classes", classes])) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(
        f"error: --classes: {MOST_CLASSES + 1} classes are too many to search; at most {MOST_CLASSES} are taken"
    )
