"""What `python -m benchmarks.demos` holds the demos to: that each broken promise is found."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_results import make_content

from benchmarks import demos
from common.cli import parse_options
from common.evaluation.metrics import evaluate
from common.evaluation.unmarked import tabulate_unmarked
from common.records.predictions import tabulate_scores
from common.records.results import Results, parse_results
from common.runs import estimate
from common.runs.run import open_run
from common.runs.work import Amount

CASES = 60  # of as many patients, every third ill
UNMARKED = {f"p{number}" for number in range(24)}


def predict(row: str, right: np.ndarray, protocol: str = "paper") -> pd.DataFrame:
    """One training whose answers are right where `right` says so, bool (CASES,)."""
    names = [f"p{number}" for number in range(CASES)]
    labels = (np.arange(CASES) % 3 == 0).astype(int)
    cases = pd.DataFrame({"case_id": names, "patient_id": names, "label": labels})
    scores = np.where((labels == 1) == right, 0.9, 0.1)
    return tabulate_scores(cases, np.column_stack([1 - scores, scores]), protocol=protocol, row=row, seed=0, fold=0)


def make_results() -> Results:
    return parse_results(make_content(), "results.json")


def know(share: float) -> np.ndarray:
    return np.random.default_rng(0).permutation(CASES) < share * CASES


ONE_CLASS = np.arange(CASES) % 3 != 0  # right on all healthy ones: two thirds


def judge(*predictions: pd.DataFrame, package: str = "toy") -> list[str]:
    return demos.judge_rows(package, evaluate(pd.concat(predictions, ignore_index=True)))


def test_a_network_that_answers_one_class_is_found():
    assert judge(predict("good", know(0.95)), predict("constant", ONE_CLASS)) == [
        "constant, paper: 66.7 %, most frequent class 66.7 %, AUC 0.50"
    ]


def test_a_network_hardly_better_than_the_most_frequent_class_is_found():
    """Seven of ten cases, where that class has two of three: the interval reaches below."""
    found = judge(predict("hardly", know(0.7)), predict("good", know(0.95), "leakfree"), predict("bad", ~ONE_CLASS, "leakfree"))
    assert [fault.split(":")[0] for fault in found] == ["hardly, paper", "bad, leakfree"]


def test_a_network_that_is_right_by_far_is_clear_though_few_patients_leave_its_interval_wide():
    """Ten patients, of whom one is ill: all right, but the interval reaches below 90 %."""
    cases = pd.DataFrame({"case_id": list("abcdefghij"), "patient_id": list("abcdefghij"), "label": [1] + [0] * 9})
    about = {"protocol": "paper", "row": "CNN", "seed": 0, "fold": 0}
    right, scores = np.eye(2)[cases["label"]], np.tile([0.9, 0.1], (10, 1))
    assert not judge(tabulate_scores(cases, right, **about))
    assert judge(tabulate_scores(cases, scores, **about))


def test_only_rows_that_are_named_with_a_reason_are_left_out(monkeypatch):
    monkeypatch.setitem(demos.UNLEARNABLE, "toy", {"labels shuffled": "nothing to learn"})
    assert not judge(predict("CNN / labels shuffled", ONE_CLASS))
    assert judge(predict("CNN", ONE_CLASS))


@pytest.mark.parametrize(("package", "parts"), demos.UNLEARNABLE.items(), ids=list(demos.UNLEARNABLE))
def test_rows_that_are_left_out_are_rows_of_the_demo_and_not_all(package, parts):
    config = importlib.import_module(f"replications.{package}.config").PRESETS["demo"]
    names = [row.name for row in importlib.import_module(f"replications.{package}.experiments").list_rows(config)]
    left = [name for name in names if not any(part in name for part in parts)]
    assert len(left) > len(names) / 3
    assert all(reason and any(part in name for name in names) for part, reason in parts.items())


def find_leak(paper: float, apart: float) -> list[str]:
    both = pd.concat([predict("CNN", know(paper)), predict("CNN", know(apart), "leakfree")], ignore_index=True)
    return demos.judge_leak(tabulate_unmarked(both, UNMARKED))


def test_a_leak_that_is_not_seen_or_not_told_of_is_found():
    assert not find_leak(1.0, 0.5)
    (fault,) = find_leak(0.5, 0.5)
    assert "nothing is seen" in fault
    assert demos.judge_leak([]) == ["nothing is said of a leak that was put in"]


@pytest.mark.parametrize(("expected", "taken", "kept"), [(100, 149, True), (100, 67, True), (100, 151, False), (100, 66, False)])
def test_what_is_said_beforehand_is_held_to_a_factor(expected, taken, kept):
    demo = demos.Demo("toy", make_results(), expected, taken, taken + 5, 60.0)
    assert (demos.judge_times(demo) == []) is kept


def test_a_slow_demo_and_one_that_says_nothing_are_found():
    slow = demos.Demo("toy", make_results(), 290.0, 290.0, 301.0, 60.0)
    assert demos.judge_times(slow) == ["took 301 s, more than 300"]
    silent = dataclasses.replace(slow, expected=None, wall=200.0)
    assert demos.judge_times(silent) == ["said nothing of the time that it would take"]


@pytest.mark.parametrize(
    ("seconds", "how"), [(42.0, "on this CPU"), (150.0, "on this CPU"), (7000.0, "on this CPU"), (50.0, "short")]
)
def test_the_time_that_a_run_says_is_read(tmp_path, seconds, how):
    options = parse_options(["--out", str(tmp_path)], "replications.toy.run", "", ["demo"])
    run = open_run(Path("replications/toy"), options, "demo", {}, synthetic=False, datasets={})
    lines = estimate.describe(run, Amount(2, 2, 1e6, seconds, 1.0, 0.0, 1.0), how, 0)
    (read,) = [found for line in lines if (found := demos.parse_expected(line)) is not None]
    assert read == pytest.approx(60.0 if how == "short" else seconds, rel=0.05)


def test_the_exit_code_says_whether_a_promise_is_broken(monkeypatch, tmp_path, capsys):
    both = [predict("CNN", know(0.97)), predict("CNN", ONE_CLASS, "leakfree")]
    rows, tables = evaluate(pd.concat(both, ignore_index=True)), tabulate_unmarked(pd.concat(both), UNMARKED)
    results = make_results()
    results = results.model_copy(update={"rows": rows[:1], "extra": results.extra.model_copy(update={"tables": tables})})
    monkeypatch.setattr(demos, "run_demo", lambda package, out: demos.Demo(package, results, 50.0, 50.0, 60.0, 70.0))
    assert demos.main(["--only", "bone_acgan"]) == 0
    assert "| bone_acgan | 50 | 50 | 60 | 70 | 1 of 1 |" in capsys.readouterr().out
    results = results.model_copy(update={"rows": rows})
    assert demos.main(["--only", "bone_acgan"]) == 1
    assert "bone_acgan: CNN, leakfree: 66.7 %" in capsys.readouterr().out


def test_a_demo_takes_phantoms_where_real_data_are_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("REPLICATIONS_DATA", str(tmp_path))
    given = []

    def start(command, **how):
        given.append(how["env"]["REPLICATIONS_DATA"])
        raise OSError("seen enough")

    monkeypatch.setattr(demos.subprocess, "Popen", start)
    with pytest.raises(OSError, match="seen enough"):
        demos.run_demo("bone_acgan", tmp_path)
    assert given == [""]
