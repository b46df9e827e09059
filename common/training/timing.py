"""Seconds of a training step and of a forward pass of a run's networks, measured on this device before the run begins."""

import importlib
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.training import cuts, fit
from common.training.batches import Arrays, feed_batches
from common.training.operations import count_forward, count_held, count_step

Report = Callable[[str, int, int, dict], None]  # stage, networks done, networks in all, logs
SCORING = 256  # pictures of a forward pass at a time
LEAST = 0.3  # seconds of repeated steps, so that the clock sees more than one
FEW_STEPS, MOST_STEPS = 40, 1000  # in one call; more than the first only as far as MOST_BYTES of arrays go
MOST_BYTES = 64 * 2**20
HEAVY = 2e10  # multiply-adds of a step from which it is done with few pictures, operation by operation: tracing would take longer


@dataclass(frozen=True)
class Specimen:
    """A network to be timed: compiled as it is trained, with arrays of one batch as `fit` takes them (inputs first); one that is
    only computed, as frozen layers are, is not trained here either. scores: it gives something for a picture. passes: how often a
    step takes each part forward and back, where networks are trained by turns."""

    model: keras.Model
    arrays: tuple[Arrays, ...]
    trains: bool = True
    scores: bool = True
    passes: float = 1.0


def draw_pictures(count: int, *shape: int) -> np.ndarray:
    """Pictures to be timed with: uint8 (count, *shape)."""
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def draw_labels(count: int, classes: int) -> np.ndarray:
    """Their labels, int64 (count,)."""
    return np.random.default_rng(1).integers(0, classes, count)


def draw_features(model: keras.Model, count: int) -> Arrays:
    """What a part above a cut takes: float32 (count, ...), a tuple where it has several inputs."""
    random = np.random.default_rng(2)
    found = tuple(random.random((count, *tensor.shape[1:]), np.float32) for tensor in model.inputs)
    return found[0] if len(found) == 1 else found


def measure_cell(settings: dict, folder: Path, threads: int, report: Report) -> dict:
    """Build and count the networks in settings["networks"] (name, function, settings, batch), and time them in this order until
    settings["seconds"] have gone by; after twice that time no further one is built.

    function: "module:name", called as function(settings, batch), gives a `Specimen`. Nothing is written. Returns in the record
    device, seconds, peak_bytes and networks: name -> what `count_network` and, where there was time, `time_network` say.
    """
    device = fit.start_backend(threads)["device"]
    found: dict[str, dict[str, float]] = {}
    started, spent = time.monotonic(), 0.0
    for number, network in enumerate(settings["networks"], start=1):
        begun = time.monotonic()
        if begun - started > 2 * settings["seconds"]:
            break
        module, name = network["function"].split(":")
        specimen = getattr(importlib.import_module(module), name)(network["settings"], network["batch"])
        about = count_network(specimen) | {"build": time.monotonic() - begun}
        if spent < settings["seconds"]:
            begun = time.monotonic()
            about |= time_network(specimen, network["batch"], about["step_operations"])
            spent += time.monotonic() - begun
        found[network["name"]] = about
        report("measurement", number, len(settings["networks"]), {})
        del specimen
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "device": device,
        "networks": found,
        "peak_bytes": peak,
        "seconds": round(time.monotonic() - started, 2),
    }


def count_network(specimen: Specimen) -> dict[str, float]:
    """operations (multiply-adds of a picture, forward), step_operations (in a training step), weights, held (numbers between the
    layers), given (numbers of the outputs of frozen layers)."""
    model = specimen.model
    outputs = model.outputs if cuts.is_functional(model) and not specimen.trains else []
    forward = count_forward(model)
    return {
        "operations": forward,
        "step_operations": count_step(model) * specimen.passes if specimen.trains else forward,
        "weights": model.count_params(),
        "held": count_held(model),
        "given": sum(int(np.prod(tensor.shape[1:])) for tensor in outputs),
    }


def time_network(specimen: Specimen, batch: int, operations: float) -> dict[str, float]:
    """Seconds: trace (until the first step is done), epoch (what a call of `fit` costs beside its steps), step; call and picture
    likewise of a forward pass.

    A heavy step is timed with fewer pictures, and not traced; its time grows with their number.
    """
    model, found = specimen.model, dict[str, float]()
    heavy = operations * batch > HEAVY and fit.use_xla() is False
    few = max(1, min(batch, int(HEAVY / operations))) if heavy else batch
    model.run_eagerly = heavy
    if specimen.trains:
        arrays = _take(specimen.arrays, few)

        def train(steps: int) -> None:
            model.fit(feed_batches(_repeat(arrays, steps), few), epochs=1, shuffle=False, verbose=0)

        first, one, more = _time_calls(train, traced=not heavy, most=_limit_steps(arrays))
        found |= {"trace": max(0.0, first - one), "epoch": max(0.0, one - more), "step": more * batch / few}
    if specimen.scores:
        size = few if heavy else min(SCORING, batch if not specimen.trains else SCORING)
        inputs = _take(_repeat(specimen.arrays[0], -(-size // batch)), size)

        def predict(batches: int) -> None:
            fit.predict_values(model, _repeat(inputs, batches), size)

        first, one, more = _time_calls(predict, traced=not heavy, most=_limit_steps(inputs))
        found |= {"trace": found.get("trace", 0.0) + max(0.0, first - one), "call": max(0.0, one - more), "picture": more / size}
    model.run_eagerly = False
    return found


def _limit_steps(arrays: Any) -> int:
    """Steps of a call whose arrays are laid out beforehand."""
    size = sum(array.nbytes for array in keras.tree.flatten(arrays))
    return int(np.clip(MOST_BYTES // max(size, 1), FEW_STEPS, MOST_STEPS))


def _time_calls(call: Callable[[int], None], *, traced: bool, most: int) -> tuple[float, float, float]:
    """Seconds of the first call, of a later one of a single round, and of a further round in one call of at most `most`.

    Rounds are added until they take long beside the call itself, whose cost is never twice the same: else its whims would count
    as theirs.
    """

    def clock(rounds: int) -> float:
        started = time.monotonic()
        call(rounds)
        return time.monotonic() - started

    first = clock(1)
    if not traced and first > LEAST:
        return first, first, first
    one = clock(1)
    if one > LEAST:
        return first, one, one
    one = min(one, clock(1))
    rounds = int(np.clip(LEAST / max(one, 1e-6), 4, FEW_STEPS))
    many = clock(rounds)
    while many - one < LEAST / 2 and rounds < most:
        rounds = min(4 * rounds, most)
        many = clock(rounds)
    return first, one, max(many - one, 0.0) / (rounds - 1) if many > one else many / rounds


def _take(arrays: Any, count: int) -> Any:
    return keras.tree.map_structure(lambda array: array[:count], arrays)


def _repeat(arrays: Any, times: int) -> Any:
    return keras.tree.map_structure(lambda array: np.concatenate([array] * times), arrays)
