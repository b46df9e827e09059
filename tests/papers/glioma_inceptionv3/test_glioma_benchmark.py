"""The benchmark of the new last layer: both ways take the same draws and end in the same weights; its limits."""

import numpy as np
import pytest

from benchmarks import glioma_head
from replications.glioma_inceptionv3.rows import AS_RUN, REPORT


@pytest.fixture(scope="module")
def measured(backend) -> dict:
    return glioma_head.main(["--quick", "--parts", "head", "--features", "16", "--pictures", "240", "--repeats", "1"])


def test_both_ways_end_in_the_same_weights(measured) -> None:
    assert set(measured["head"]) == {AS_RUN, REPORT}
    for of_mode in measured["head"].values():
        assert of_mode["weights differ by"] < glioma_head.TOLERANCE
        assert all(rate > 0 for clock in ("a second", "a processor second") for rate in of_mode[clock].values())


def test_a_training_on_other_draws_is_noticed(backend, tmp_path, monkeypatch) -> None:
    cases = glioma_head.make_dataset(240)
    features = glioma_head.make_features(cases, 16)
    config = glioma_head.replace(glioma_head.PAPER, steps=200)
    draw = glioma_head.draw_training
    monkeypatch.setattr(glioma_head, "draw_training", lambda task: draw(task)[::-1])
    with pytest.raises(AssertionError, match="weights differ"):
        glioma_head.compare_weights(cases, features, AS_RUN, config, tmp_path)


def test_cases_have_the_reports_shares() -> None:
    cases = glioma_head.make_dataset(1208)
    subjects = cases.drop_duplicates("patient_id")
    assert subjects["label"].value_counts().sort_index().tolist() == [34, 24, 22]  # Tables 1 to 5
    assert len(cases) == 1208
    assert cases["case_id"].is_unique


def test_limits_are_judged_by_processor_time() -> None:
    ways = {AS_RUN: {"times faster": 3.0, "times faster (processor)": 5.1}, REPORT: {"times faster (processor)": 6.0}}
    result = {
        "head": ways, "cache": {"share": 0.5, "share (processor)": 0.95},
        "table": {"seconds": 300.0, "processor seconds a worker": 121.0},
    }  # fmt: skip
    assert glioma_head.check_limits(result) == {"table": False, "head": True, "cache": True}
    assert glioma_head.check_limits({}) == {}


def test_the_fastest_repeat_counts() -> None:
    turns = []
    best = glioma_head.time_ways({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 3)
    assert turns == ["a", "b"] * 3
    assert all(np.all(of >= 0) and of.shape == (2,) for of in best.values())
