"""Networks counted from their layers, and timed on this device; what a run keeps of it."""

import keras
import pytest
import toy_networks

from common.cli import parse_options
from common.runs import estimate
from common.runs.run import Run, open_run
from common.runs.work import Network, Stage, Work
from common.training import operations, timing

TOY = "toy_networks:build_specimen"
SETTINGS = {"side": 8, "filters": 2}
pytestmark = pytest.mark.usefixtures("backend")


def open_toy(tmp_path) -> Run:
    options = parse_options(["--out", str(tmp_path), "--workers", "1", "--threads", "1"], "replications.toy.run", "", ["demo"])
    return open_run(tmp_path / "toy", options, "demo", {"epochs": 3}, synthetic=False, datasets={})


def make_network(name: str = "net", **settings) -> Network:
    return Network(name, TOY, SETTINGS | settings, 4, 100)


@pytest.fixture
def not_short(monkeypatch):
    """Everything is measured, for a second."""
    monkeypatch.setattr(estimate, "SHORT", 0)
    monkeypatch.setattr(estimate, "MEASURING", 1)


def test_operations_follow_from_the_layers():
    """A convolution 3x3, its transpose, a depthwise and a grouped one, a nested model: counted by hand."""
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(6, 3, name="conv")(inputs)  # 6x6
    x = keras.layers.Conv2DTranspose(2, 4, strides=2, padding="same", name="turned")(x)  # from 6x6
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depth")(x)  # 12x12
    x = keras.layers.Conv2D(4, 1, groups=2, name="groups")(x)
    inner = keras.Input((12, 12, 4))
    nested = keras.Model(inner, keras.layers.Dense(5, name="pixels")(inner))
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(keras.layers.Flatten()(nested(x))))
    expected = {
        "conv": 36 * 9 * 4 * 6,
        "turned": 36 * 16 * 6 * 2,
        "depth": 144 * 9 * 2,
        "groups": 144 * 1 * 4,
        "pixels": 144 * 4 * 5,
        "last": 720 * 2,
    }
    assert operations.count_operations(model) == expected
    assert operations.count_forward(model) == sum(expected.values())


def test_frozen_layers_cost_no_way_back():
    specimen = toy_networks.build_specimen(SETTINGS, 4)
    conv, last = 36 * 9 * 2, 72 * 2
    assert operations.count_step(specimen.model) == 3 * (conv + last)
    specimen.model.get_layer("conv").trainable = False
    assert operations.count_step(specimen.model) == conv + 3 * last


def test_timing_leaves_seconds_of_everything():
    found = timing.time_network(toy_networks.build_specimen(SETTINGS, 4), 4, 1000)
    assert found.keys() == {"trace", "epoch", "step", "call", "picture"}
    assert all(0 <= seconds < 60 for seconds in found.values())
    assert found["step"] > 0


@pytest.mark.parametrize("step", [2e-4, 5e-3])
def test_a_short_step_is_told_from_the_whims_of_a_call(monkeypatch, step):
    """A call costs 50 ms, by turns 10 ms more or less."""
    now, calls = [0.0], []

    def call(rounds: int) -> None:
        calls.append(rounds)
        now[0] += 0.05 + 0.01 * (-1) ** len(calls) + rounds * step

    monkeypatch.setattr(timing.time, "monotonic", lambda: now[0])
    _, _, more = timing._time_calls(call, traced=True, most=timing.MOST_STEPS)
    assert more == pytest.approx(step, rel=0.2)
    assert now[0] < 1.5  # it is one of many networks
    calls.clear()
    timing._time_calls(call, traced=True, most=timing.FEW_STEPS)
    assert max(calls) <= timing.FEW_STEPS  # arrays of more would not fit


def test_a_heavy_network_is_timed_with_few_pictures(monkeypatch):
    """Its step takes as many times longer as there are pictures left out."""
    seen = []
    monkeypatch.setattr(timing, "HEAVY", 2000)
    specimen = toy_networks.build_specimen(SETTINGS, 64)
    real = specimen.model.fit

    def fit(batches, **settings):
        seen.append(next(iter(batches))[0].shape[0])
        return real(batches, **settings)

    monkeypatch.setattr(specimen.model, "fit", fit)
    timing.time_network(specimen, 64, 1000)
    assert set(seen) == {2}


def test_a_network_that_finds_no_time_is_counted(tmp_path):
    networks = [{"name": str(n), "function": TOY, "settings": SETTINGS, "batch": 4} for n in range(3)]
    outcome = timing.measure_cell({"networks": networks, "seconds": 1e-9}, tmp_path, 1, lambda *_: None)
    assert set(outcome["networks"]) <= {"0"}
    outcome = timing.measure_cell({"networks": networks, "seconds": 0.2}, tmp_path, 1, lambda *_: None)
    assert "step" in outcome["networks"]["0"]
    assert outcome["networks"]["0"]["weights"] == 20 + 146
    assert outcome["peak_bytes"] > 1e8


def test_what_was_measured_is_kept_with_the_run(tmp_path, capsys, not_short, monkeypatch):
    works = [Work("new", (Stage(make_network(), 500, 20, scored=10),))]
    run = open_toy(tmp_path)
    assert estimate.announce(run, works)
    assert "1 of 1 networks measured" in capsys.readouterr().err
    (record,) = run.folder.glob("cells/measurement-1/cell.json")
    before = record.stat().st_mtime_ns
    run.lock.close()
    monkeypatch.setattr(toy_networks, "build_specimen", lambda *_: pytest.fail("measured again"))
    assert estimate.announce(open_toy(tmp_path), works)
    assert record.stat().st_mtime_ns == before
    assert "1 of 1 networks measured" in capsys.readouterr().err


def test_the_estimate_is_that_of_the_device(tmp_path, not_short):
    """A network that waits 0.2 s in each step: on a busy machine longer, never shorter."""
    run = open_toy(tmp_path)
    slow = make_network("slow", wait=0.2)
    seconds = []
    for steps in (50, 150):
        amount, how = estimate.estimate(run, [Work("new", (Stage(slow, 1, steps),))])
        assert "1 of 1 networks measured" in how
        seconds.append(amount.seconds)
    assert 0.19 < (seconds[1] - seconds[0]) / 100 < 0.6
    assert seconds[0] > 50 * 0.19 + estimate.CLOSING  # figures and the report follow


def test_a_measurement_that_fails_is_said(tmp_path, capsys, not_short):
    broken = Network("broken", f"{TOY}_that_is_not_there", {}, 4, 100)
    assert estimate.announce(open_toy(tmp_path), [Work("new", (Stage(broken, 1, 1),))])
    assert "not measured (AttributeError" in capsys.readouterr().err
