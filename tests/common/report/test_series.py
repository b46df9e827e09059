"""What figures show of a run's results: panels and curves, marks of doubtful rows, the end of a caption."""

import numpy as np
import pandas as pd
import pytest

from common.figures.curves import plot_history
from common.records.results import Results, parse_results
from common.report import series
from common.report.series import build_panel, end_caption, join_stages, list_protocols, mark_off, mark_row, read_curves


def make_results(*, known: bool = True, verdict: str = "within", departures: tuple[str, ...] = ()) -> Results:
    """Two rows under both protocols, a third under one; the first collapsed leak-free. departures: of the third."""

    def entry(row: str, protocol: str, accuracy: float) -> dict:
        means = {"accuracy": (accuracy, accuracy - 0.1, accuracy + 0.1), "majority_rate": (0.55, None, None)}
        metrics = {
            name: {"mean": mean, "sd": None, "low": low, "high": high, "by_seed": [mean, mean]}
            for name, (mean, low, high) in means.items()
        }
        return {"row": row, "protocol": protocol, "n": 40, "positives": 18, "patients": 25, "seeds": [0, 1],
                "below_majority": accuracy <= 0.55, "metrics": metrics}  # fmt: skip

    rows = [entry("x", "paper", 0.8), entry("y", "paper", 0.7), entry("x", "leakfree", 0.6)]
    rows.append(entry("z", "leakfree", 0.5) | {"departures": list(departures)})
    claim = {"table": "2", "row": "x", "metric": "accuracy", "where": "Table 2", "paper": 80.0, "tolerance": 12.0, "ours": 80.0,
             "low": 70.0, "high": 90.0, "verdict": verdict, "note": ""}  # fmt: skip
    dataset = {"dataset": "set", "name": "clinic", "note": "", "synthetic": False, "cases": 200, "patients": 120,
               "patients_known": known, "classes": {"healthy": 110, "ill": 90}, "files_sha256": None, "unreadable": [],
               "splits": {}}  # fmt: skip
    lists = ("comparisons", "statements", "not_run", "figures", "commands", "cells")
    content = {
        "schema": 1, "paper": "some_paper", "preset": "paper", "protocol": "both", "overrides": {}, "on_protocol": True,
        "command": "python -m run", "git": {"commit": "abc", "dirty": False}, "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.0, "datasets": [dataset], "weights": {"source": "random"}, "config": {}, "selection": {}, "seeds": [0, 1],
        "environment": {"python": "3.11", "backend": None, "device": None, "deterministic": True}, "rows": rows,
        "claims": [claim],
        "extra": dict.fromkeys(lists, []) | {"collapsed": [{"row": "x", "protocol": "leakfree", "seeds": [1]}]},
    }  # fmt: skip
    return parse_results(content, "test")


def test_stages_are_joined_at_the_longest():
    first = {0: {"loss": [3, 2], "val_loss": [4, 3]}, 1: {"loss": [3, 2, 1], "val_loss": [4, 3, 2]}}
    joined, ends = join_stages([first, {0: {"loss": [1, 0.5]}}])
    assert ends == [3, 5]
    np.testing.assert_array_equal(joined[0]["loss"], [3, 2, np.nan, 1, 0.5])
    np.testing.assert_array_equal(joined[0]["val_loss"], [4, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(joined[1]["loss"], [3, 2, 1, np.nan, np.nan])
    thick = [line for line in plot_history(joined).axes[0].lines if line.get_linewidth() == 2][0]
    np.testing.assert_array_equal(thick.get_ydata(), [3, 2, 1, 1, 0.5])


def test_curves_of_one_seed_and_stage():
    history = pd.DataFrame({
        "seed": [0, 0, 0, 1], "stage": ["a", "a", "b", "a"], "epoch": [2, 1, 1, 1],
        "loss": [1.0, 2.0, 3.0, 4.0], "accuracy": [0.6, 0.5, 0.4, 0.3], "val_loss": [1.0, np.nan, 3.0, 4.0],
    })  # fmt: skip
    curves = read_curves(history, 0, "a")
    assert {name: values.tolist() for name, values in curves.items()} == {"loss": [2.0, 1.0], "accuracy": [0.5, 0.6]}


def test_captions_count_cases_and_explain_marks():
    text = end_caption(make_results(), ["paper", "leakfree"], ["x", "y"], positive_class="ill")
    assert text == (
        "The paper's protocol: n = 40 test cases (18 ill) of 25 patients, 2 seeds. Leak-free: n = 40 test cases (18 ill) of 25 "
        "patients, 2 seeds. Our 95 % intervals take the cases of a patient together. Dagger: one class for all cases in at "
        "least one seed."
    )
    text = end_caption(make_results(known=False, verdict="off protocol"), ["paper"], ["x"], positive_class="ill")
    assert text == (
        "The paper's protocol: n = 40 test cases (18 ill), 2 seeds. Our 95 % intervals take cases by themselves, as no "
        "patients are known. A star marks trainings with other settings than the paper's (see the notes in the tables)."
    )
    assert "95 %" not in end_caption(make_results(), ["paper"], ["y"], positive_class="ill", intervals=False)


def test_rows_bear_their_marks():
    assert mark_row(make_results(), "x", ["paper"]) == "x"
    assert mark_row(make_results(), "x", ["paper", "leakfree"]) == "x †"
    assert mark_row(make_results(verdict="off protocol"), "x", ["leakfree"]) == "x * †"
    assert mark_off(make_results(verdict="off protocol"), "some", ["y", "x"]) == "some *"
    assert mark_off(make_results(verdict="off protocol"), "some", ["y", "z"]) == "some"
    assert list_protocols(make_results(), ["y"]) == ["paper"]
    assert list_protocols(make_results(), ["y", "z"]) == ["paper", "leakfree"]


def test_rows_without_a_printed_number_are_off_protocol_by_their_departures():
    assert series.list_off(make_results()) == set()
    off = make_results(verdict="off protocol", departures=("epochs = 6 instead of 100",))
    assert series.list_off(off) == {"x", "z"}
    off = make_results(departures=("epochs = 6 instead of 100",))
    assert [mark_row(off, row, ["leakfree"]) for row in ("x", "z")] == ["x †", "z *"]
    assert "A star marks" in end_caption(off, ["leakfree"], ["z"], positive_class="ill")
    assert "A star marks" not in end_caption(off, ["leakfree"], ["x"], positive_class="ill")
    assert build_panel(off, "leakfree", {"s": {"a": "x"}}).title == "leak-free, n = 40"
    assert build_panel(off, "leakfree", {"s": {"a": "x", "b": "z"}}).title == "leak-free, n = 40 *"


def test_panels_hold_percents_of_what_was_run():
    series = {"s": {"a": "x", "b": "y"}, "t": {"a": "y"}}
    panel = build_panel(make_results(), "leakfree", series, {"x": 91.0})
    assert list(panel.series) == ["s"]
    assert list(panel.series["s"]) == ["a"]
    value = panel.series["s"]["a"]
    assert (value.mean, value.low, value.high) == pytest.approx((60, 50, 70))
    assert (value.doubtful, value.reference) == (True, 91.0)
    assert panel.title == "leak-free, n = 40"
    assert panel.level == pytest.approx(55)


def test_a_caption_counts_the_seeds_of_all_its_rows():
    """One row with a single seed beside one with five is not "1 seed"."""
    results = make_results()
    rows = [row.model_copy(update={"seeds": [0, 1, 2, 3, 4], "n": 38}) if row.row == "y" else row for row in results.rows]
    many = results.model_copy(update={"rows": rows})
    said = end_caption(many, ["paper"], ["x", "y"], positive_class="ill")
    assert "n = 38 to 40 test cases (18 ill) of 25 patients, 2 to 5 seeds." in said
    assert "n = 40 test cases (18 ill) of 25 patients, 2 seeds." in end_caption(many, ["paper"], ["x"], positive_class="ill")
