"""What a run will do, before it is done: trainings, their networks and steps, and from the times of these the time of all.

Nothing here imports Keras: networks are named by the function that builds them, and are timed in a worker (`runs/estimate.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Times = Mapping[str, float]  # of one network: what common.training.timing.measure_cell says of it
START = 0.25  # seconds that each training costs beside its networks: data read, products written
LIBRARY, TRACING = 10, 5  # seconds that TensorFlow takes to start, and to trace a network, at most where none is measured
LIBRARY_BYTES = 0.7e9  # of a process that holds TensorFlow
STEP_BYTES = 16  # a weight, its gradient and the optimiser's two numbers


@dataclass(frozen=True)
class Network:
    """A network that is stepped. function: "module:name", gives a `Specimen` of common.training.timing for settings (JSON) and
    batch. most: multiply-adds that one picture takes at most, forward; from the published network, so that it need not be
    built to see that a run is short."""

    name: str  # unique among the networks of a run
    function: str
    settings: dict = field(hash=False)
    batch: int
    most: float


@dataclass(frozen=True)
class Below:
    """Frozen layers below a network, computed once for all its trainings and kept, if they fit into limit_bytes; else in every
    step."""

    network: Network
    pictures: int  # that they are computed for
    limit_bytes: float
    of: str = ""  # what else tells these pictures from others


@dataclass(frozen=True)
class Stage:
    """A network stepped `steps` times in each epoch, then `scored` pictures; `once`: pictures through it afterwards."""

    network: Network
    epochs: int
    steps: int
    scored: int = 0
    once: int = 0
    below: Below | None = None


@dataclass(frozen=True)
class Work:
    """One training: its key (see cells.Cell), its stages, and seconds of what rests on no network, by rule of thumb."""

    key: str
    stages: tuple[Stage, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Amount:
    """What a run costs. operations: multiply-adds."""

    trainings: int
    epochs: int
    operations: float
    seconds: float
    disk_bytes: float
    cache_bytes: float  # of these: frozen activations, which are computed again and again where the disk is short
    memory_bytes: float


def list_networks(works: Sequence[Work]) -> list[Network]:
    """Every network once, the dearest first by what it takes at most in the whole run; after it the cheapest, which shows what a
    step costs beside its arithmetic."""
    cost: dict[Network, float] = defaultdict(float)
    for stage in (stage for work in works for stage in work.stages):
        cost[stage.network] += stage.network.most * _count_pictures(stage)
        if stage.below:
            cost[stage.below.network] += stage.below.network.most * stage.below.pictures
    ordered = sorted(cost, key=lambda network: -cost[network])
    if len(ordered) > 2:
        least = min(ordered[1:], key=lambda network: network.most)
        ordered = [ordered[0], least, *(network for network in ordered[1:] if network is not least)]
    return ordered


def _count_pictures(stage: Stage) -> float:
    """Pictures that a stage takes forward, a training step counted as three passes."""
    return stage.epochs * (3 * stage.steps * stage.network.batch + stage.scored) + stage.once


def bound_seconds(works: Sequence[Work], rate: float, workers: int) -> float:
    """Seconds of the whole at a low rate (multiply-adds a second of one worker), by what the networks take at most."""
    below = {stage.below for work in works for stage in work.stages if stage.below}
    operations = sum(stage.network.most * _count_pictures(stage) for work in works for stage in work.stages)
    operations += sum(one.network.most * one.pictures for one in below)
    started = TRACING * len(list_networks(works)) + sum(work.seconds + 1 for work in works)
    return LIBRARY + (operations / rate + started) / max(1, min(workers, len(works)))


def complete_times(found: Mapping[str, Times], networks: Sequence[Network], rate: float) -> dict[str, Times]:
    """The times of all networks: those only counted get the seconds of measured ones with as many operations; those not even
    built are taken to lie as far below their bounds as the built ones.

    rate: multiply-adds a second, for networks that were neither timed nor counted, and where none was timed.
    """
    complete: dict[str, dict[str, float]] = {
        network.name: _count_most(network) | dict(found.get(network.name, {})) for network in networks
    }
    shares = _share_bounds(found, networks)
    for name, of_step, operations, least in (("step", True, "step_operations", 3e-3), ("picture", False, "operations", 1e-5)):
        timed = sorted((_size(complete[n.name], n, operations, of_step), complete[n.name][name], n.name) for n in networks
                       if name in found.get(n.name, {}))  # fmt: skip
        for network in networks:
            times = complete[network.name]
            if name not in times:
                size = shares[network.name] * _size(times, network, operations, of_step)
                times[name] = _interpolate(size, timed, rate, least)
    _add_starts(complete, found, shares)
    return dict(complete)


def _share_bounds(found: Mapping[str, Times], networks: Sequence[Network]) -> dict[str, float]:
    """Network -> the share of its bound of operations that it is taken to have: 1 where they were counted."""
    built = [(found[network.name]["operations"], network.most) for network in networks if network.name in found]
    below = min(1.0, sum(one for one, _ in built) / max(sum(most for _, most in built), 1.0)) if built else 1.0
    return {network.name: 1.0 if network.name in found else below for network in networks}


def _add_starts(complete: Mapping[str, dict[str, float]], found: Mapping[str, Times], shares: Mapping[str, float]) -> None:
    """Seconds that a network takes beside its steps where they were not measured: the usual ones, and tracing by its size, as a
    large network has more layers to trace, though not in proportion."""
    usual = {name: [t[name] for t in found.values() if name in t] for name in ("epoch", "call", "build")}
    middle = {name: float(np.median(values)) if values else 0.0 for name, values in usual.items()}
    traced = sorted((t["step_operations"], t["trace"]) for t in found.values() if "trace" in t) or [(0.0, 0.0)]
    sizes, seconds = zip(*traced, strict=True)
    for name, times in complete.items():
        times.setdefault("trace", float(np.interp(shares[name] * times["step_operations"], sizes, seconds)))
        for usually, value in middle.items():
            times.setdefault(usually, value)


def _count_most(network: Network) -> dict[str, float]:
    return {"operations": network.most, "step_operations": 3 * network.most, "weights": 0, "held": 0, "given": 0}


def _size(times: Times, network: Network, operations: str, of_step: bool) -> float:
    return times[operations] * (network.batch if of_step else 1)


def _interpolate(size: float, timed: Sequence[tuple[float, float, str]], rate: float, least: float) -> float:
    """Seconds of as many operations, between measured (operations, seconds); beyond the largest in proportion, at most at `rate`:
    a small step takes nearly all its time beside its arithmetic. least: of none."""
    if not timed:
        return max(size / rate, least)
    sizes, seconds = [0.0, *(one[0] for one in timed)], [min(least, timed[0][1]), *(one[1] for one in timed)]
    if size > sizes[-1] > 0:
        return min(seconds[-1] * size / sizes[-1], seconds[-1] + (size - sizes[-1]) / rate)
    return float(np.interp(size, sizes, seconds))


def add_up(works: Sequence[Work], times: Mapping[str, Times], workers: int, done: Sequence[Work] = ()) -> Amount:
    """The cost of trainings on so many workers, each network traced once by each worker that comes to it. done: trainings that
    have left frozen activations, which are not computed again."""
    there = {stage.below for work in done for stage in work.stages if stage.below}
    kept = {stage.below for work in works for stage in work.stages if stage.below and _fits(stage.below, times)} - there
    alone = [sum((_time_stage(stage, times) for stage in work.stages), START + work.seconds) for work in works]
    users = Counter(name for work in works for name in {stage.network.name for stage in work.stages})
    traced = sum(times[name]["trace"] * min(count, workers) for name, count in users.items())
    upper = {stage.network.name for work in works for stage in work.stages if stage.below}
    traced += sum(times[name]["build"] * min(users[name], workers) for name in upper)
    filled = sum(times[one.network.name]["picture"] * one.pictures + times[one.network.name]["trace"] for one in kept)
    busy = max(1, min(workers, len(works)))
    operations = sum(_count_operations(stage, times) for work in works for stage in work.stages)
    operations += sum(times[one.network.name]["operations"] * one.pictures for one in kept)
    cache = sum(4 * times[one.network.name]["given"] * one.pictures for one in kept)
    weights = [max((times[stage.network.name]["weights"] for stage in work.stages), default=0) for work in works]
    return Amount(
        trainings=len(works),
        epochs=sum(stage.epochs for work in works for stage in work.stages),
        operations=operations,
        seconds=max((sum(alone) + traced + filled) / busy, max(alone, default=0.0)),
        disk_bytes=cache + sum(4 * w for w in weights),
        cache_bytes=cache,
        memory_bytes=busy * max((_hold(stage, times) for work in works for stage in work.stages), default=LIBRARY_BYTES),
    )


def _fits(below: Below, times: Mapping[str, Times]) -> bool:
    return 4 * times[below.network.name]["given"] * below.pictures <= below.limit_bytes


def _time_stage(stage: Stage, times: Mapping[str, Times]) -> float:
    of = times[stage.network.name]
    scoring = of["call"] + stage.scored * of["picture"] if stage.scored else 0.0
    seconds = 0.0 if stage.below else of["build"]  # a part above frozen layers is built once, and its weights are set anew
    seconds += stage.epochs * (of["epoch"] + stage.steps * of["step"] + scoring)
    seconds += of["call"] + stage.once * of["picture"] if stage.once else 0.0
    if stage.below and not _fits(stage.below, times):
        seconds += _count_plain(stage) * times[stage.below.network.name]["picture"]
    return seconds


def _count_plain(stage: Stage) -> float:
    """Pictures that go through frozen layers of which nothing is kept."""
    return stage.epochs * (stage.steps * stage.network.batch + stage.scored) + stage.once


def _count_operations(stage: Stage, times: Mapping[str, Times]) -> float:
    of = times[stage.network.name]
    found = stage.epochs * stage.steps * stage.network.batch * of["step_operations"]
    found += (stage.epochs * stage.scored + stage.once) * of["operations"]
    if stage.below and not _fits(stage.below, times):
        found += _count_plain(stage) * times[stage.below.network.name]["operations"]
    return found


def _hold(stage: Stage, times: Mapping[str, Times]) -> float:
    of = times[stage.network.name]
    return LIBRARY_BYTES + STEP_BYTES * of["weights"] + 8 * of["held"] * stage.network.batch
