"""The cost of a run before it: what is counted, measured, asked, and left behind."""

import io
from pathlib import Path

import pytest

from common.cli import parse_options
from common.errors import UsageError, run_main
from common.runs import estimate
from common.runs.run import Run, open_run
from common.runs.work import Below, Network, Stage, Work, add_up, bound_seconds, complete_times, list_networks

TOY = "toy_networks:build_specimen"
TIMES = {"build": 0.0, "call": 0.0, "epoch": 0.5, "given": 10, "held": 0, "operations": 100, "picture": 0.001, "step": 0.1,
         "step_operations": 300, "trace": 2.0, "weights": 1000}  # fmt: skip


def make_network(name: str = "net", most: float = 100, batch: int = 4) -> Network:
    return Network(name, TOY, {"side": 8, "filters": 2}, batch, most)


def open_toy(tmp_path: Path, *argv: str, preset: str = "demo") -> Run:
    options = parse_options(
        ["--out", str(tmp_path), "--workers", "1", "--threads", "1", *argv], "replications.toy.run", "", ["demo"]
    )
    return open_run(Path("replications/toy"), options, preset, {"epochs": 3}, synthetic=False, datasets={})


def list_long(days: float) -> list[Work]:
    """Works that take so many days by rule of thumb."""
    return [Work("long", seconds=days * 24 * 3600)]


# What is added up


def test_time_is_that_of_steps_epochs_scoring_and_tracing():
    work = Work("a", (Stage(make_network(), epochs=10, steps=20, scored=50, once=100),))
    alone = add_up([work], {"net": TIMES}, workers=1)
    steps, scoring, once = 10 * (0.5 + 20 * 0.1), 10 * 50 * 0.001, 100 * 0.001
    assert alone.seconds == pytest.approx(0.25 + steps + scoring + once + 2.0)
    assert (alone.trainings, alone.epochs) == (1, 10)
    assert alone.operations == 10 * 20 * 4 * 300 + (10 * 50 + 100) * 100


def test_workers_share_trainings_but_not_one_training():
    works = [Work(str(n), (Stage(make_network(), 10, 20),)) for n in range(4)]
    one, two, nine = (add_up(works, {"net": TIMES}, workers=count).seconds for count in (1, 2, 9))
    assert two == pytest.approx(one / 2, rel=0.05)
    assert nine >= 10 * (0.5 + 20 * 0.1)  # no shorter than the longest training
    assert add_up(works, {"net": TIMES}, 2).memory_bytes == 2 * add_up(works[:1], {"net": TIMES}, 2).memory_bytes


def test_frozen_layers_are_computed_once_where_they_fit_and_in_every_step_where_not():
    times = {"net": TIMES, "lower": {**TIMES, "trace": 0.0}}

    def spend(limit: float, done: tuple[Work, ...] = ()) -> float:
        below = Below(make_network("lower"), pictures=1000, limit_bytes=limit)
        works = [Work(str(n), (Stage(make_network(), 10, 20, below=below),)) for n in range(3)]
        plain = [Work(work.key, (Stage(make_network(), 10, 20),)) for work in works]
        return add_up(works, times, 1, done).seconds - add_up(plain, times, 1).seconds

    kept = spend(limit=4 * 10 * 1000)
    assert kept == pytest.approx(1000 * 0.001)
    assert spend(limit=4 * 10 * 1000 - 1) == pytest.approx(3 * 10 * 20 * 4 * 0.001)
    below = Below(make_network("lower"), 1000, 4 * 10 * 1000)
    assert spend(4 * 10 * 1000, (Work("before", (Stage(make_network(), 1, 1, below=below),)),)) == pytest.approx(0)


def test_a_part_above_frozen_layers_is_built_once_and_a_whole_network_in_every_training():
    times = {"net": {**TIMES, "build": 3.0}, "lower": {**TIMES, "trace": 0.0}}

    def spend(count: int, below: Below | None) -> float:
        works = [Work(str(number), (Stage(make_network(), 1, 1, below=below),)) for number in range(count)]
        return add_up(works, times, 1).seconds

    frozen = Below(make_network("lower"), pictures=0, limit_bytes=1.0)
    assert spend(9, None) - spend(1, None) == pytest.approx(8 * (3.0 + 0.25 + 0.5 + 0.1))
    assert spend(9, frozen) - spend(1, frozen) == pytest.approx(8 * (0.25 + 0.5 + 0.1))
    assert spend(1, frozen) == spend(1, None)


def test_networks_that_were_only_counted_lie_between_those_that_were_timed():
    networks = [make_network("small", batch=1), make_network("middle", batch=1), make_network("large", batch=1)]
    found = {
        "small": {**TIMES, "step_operations": 1e6, "step": 0.01},
        "middle": {"operations": 1e6, "step_operations": 2e6, "weights": 5, "held": 5, "given": 5},
        "large": {**TIMES, "step_operations": 3e6, "step": 0.03},
    }
    assert complete_times(found, networks, rate=1e9)["middle"]["step"] == pytest.approx(0.02)
    beyond = {"middle": found["middle"], "small": found["small"]}
    assert complete_times(beyond, networks[:2], rate=1e7)["middle"]["step"] == pytest.approx(0.02)
    # A small step takes nearly all its time beside its arithmetic: a thousand times as many operations are not as many seconds.
    assert complete_times(beyond, networks[:2], rate=1e9)["middle"]["step"] == pytest.approx(0.01 + 1e6 / 1e9)
    assert complete_times({}, networks[:1], rate=1e3)["small"]["step"] == pytest.approx(3 * 100 / 1e3)


def test_tracing_grows_with_the_network_but_not_in_proportion():
    networks = [make_network(name, batch=1) for name in ("head", "part", "whole", "larger")]
    counted = {"operations": 1.0, "weights": 5, "held": 5, "given": 5}
    found = {
        "head": {**TIMES, "step_operations": 0.0, "trace": 1.0},
        "part": {**counted, "step_operations": 1e6},
        "whole": {**TIMES, "step_operations": 2e6, "trace": 21.0},
        "larger": {**counted, "step_operations": 9e6},
    }
    times = complete_times(found, networks, rate=1e9)
    assert times["part"]["trace"] == pytest.approx(11.0)
    assert times["larger"]["trace"] == pytest.approx(21.0)
    assert complete_times({"part": found["part"]}, networks, rate=1e9)["part"]["trace"] == 0.0


def test_networks_that_were_not_built_lie_as_far_below_their_bounds_as_the_built_ones():
    networks = [make_network("built", batch=1), make_network("other", batch=1)]
    bound = networks[0].most
    found = {"built": {**TIMES, "operations": bound / 4, "step_operations": 3 * bound / 4, "step": 0.08}}
    times = complete_times(found, networks, rate=1e-9)
    assert times["other"]["step"] == pytest.approx(0.08)
    assert times["other"]["operations"] == bound


def test_the_dearest_network_is_measured_first_then_the_cheapest():
    works = [
        Work("a", (Stage(make_network("dear", 1e9), 100, 10), Stage(make_network("middle", 1e8), 10, 10))),
        Work("b", (Stage(make_network("cheap", 1e3), 10, 10),)),
    ]
    assert [network.name for network in list_networks(works)] == ["dear", "cheap", "middle"]
    assert bound_seconds(works, 1e9, 1) > 100 * 10 * 4 * 3


# What is said and asked


def test_trainings_that_are_done_do_not_count(tmp_path, capsys):
    run = open_toy(tmp_path)
    (run.folder / "cells" / "old").mkdir(parents=True)
    (run.folder / "cells" / "old" / "cell.json").write_text("{}")
    assert estimate.announce(run, [Work("old", seconds=1), Work("new", seconds=1)])
    assert "to do: 1 trainings (1 more are done)" in capsys.readouterr().err


def test_a_short_run_is_not_measured(tmp_path, capsys):
    run = open_toy(tmp_path)
    assert estimate.announce(run, [Work("new", (Stage(make_network(), 2, 2),))])
    assert "few operations, so not measured" in capsys.readouterr().err
    assert not list(run.folder.glob("cells/measurement*"))


def test_a_dry_run_leaves_no_folder_of_its_own(tmp_path, capsys):
    works = [Work("new", (Stage(make_network(), 500, 20),))]
    run = open_toy(tmp_path, "--dry-run")
    assert not estimate.announce(run, works)
    assert "expected time: " in capsys.readouterr().err
    assert not run.folder.exists()
    first = open_toy(tmp_path)
    first.lock.close()
    assert not estimate.announce(open_toy(tmp_path, "--dry-run"), works)
    assert first.folder.exists()


def test_what_is_not_run_for_want_of_weights_is_said_first(tmp_path, capsys):
    missing = {"VGG16": "vgg16.h5: not here; get it there"}
    assert not estimate.announce(open_toy(tmp_path, "--dry-run"), [Work("new", seconds=1)], missing)
    first, second, *_ = capsys.readouterr().err.splitlines()[-4:]
    assert first == "not run, what starts from weights of VGG16: vgg16.h5: not here; get it there"
    assert second.startswith("to do: 1 trainings")
    run = open_toy(tmp_path)
    with pytest.raises(UsageError, match="no row can be run without VGG16: get the files named above"):
        estimate.announce(run, [], missing)
    assert not run.folder.exists()


def test_a_dry_run_asks_nothing(tmp_path):
    assert not estimate.announce(open_toy(tmp_path, "--dry-run"), list_long(3))


def test_a_long_run_in_a_pipe_stops_with_the_line_to_type(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run.py", "--seeds", "0,1"])
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    run = open_toy(tmp_path, preset="paper")
    assert run_main(lambda: 0 if estimate.announce(run, list_long(3)) else 1) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: this run takes about 3.0 days")
    assert "python -m replications.toy.run --seeds 0,1 --yes" in error
    assert all(way in error for way in ("--preset demo", "--rows", "--seeds"))
    assert run_main(lambda: 0 if estimate.announce(open_toy(tmp_path), list_long(3)) else 1) == 2
    assert "--preset demo" not in capsys.readouterr().err.splitlines()[-1]
    again = open_toy(tmp_path, "--yes", preset="paper")  # the folder is free again
    assert estimate.announce(again, list_long(3))
    again.lock.close()
    assert estimate.announce(open_toy(tmp_path), list_long(0.9))


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("yes\n", True), ("\n", False), ("n\n", False), ("", False)])
def test_a_long_run_asks_on_a_terminal(tmp_path, monkeypatch, answer, goes_on):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", Terminal())
    run = open_toy(tmp_path)
    if goes_on:
        assert estimate.announce(run, list_long(2))
    else:
        with pytest.raises(UsageError, match="--yes"):
            estimate.announce(run, list_long(2))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (99, "99 s"),
        (100, "1.7 min"),
        (1000, "17 min"),
        (7200, "2.0 h"),
        (47 * 3600, "47 h"),
        (86400 * 120, "120 days"),
    ],
)
def test_times_are_said_as_people_would(seconds, words):
    assert estimate.name_time(seconds) == words


def test_flags_are_off_unless_given():
    options = parse_options([], "replications.toy.run", "", ["demo"])
    assert (options.dry_run, options.yes) == (False, False)
    options = parse_options(["--dry-run", "--yes"], "replications.toy.run", "", ["demo"])
    assert (options.dry_run, options.yes) == (True, True)
