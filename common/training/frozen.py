"""A network whose lower part is frozen: only the part above the cut is trained, on activations that are computed once."""

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import keras
import numpy as np

from common.training.batches import Arrays, Indexed
from common.training.cuts import Cut, connect_cuts, count_multiplications, inline_models, list_nodes
from common.training.feature_cache import Features, NoRoomError, cache_features, measure_activations, measure_room

Plan = TypeVar("Plan")  # name of what is left unfrozen
ENTRY_BYTES = 4096  # of an entry, beside its activations
NOTHING = "computed in every epoch: nothing is frozen at the inputs"


@dataclass(frozen=True)
class Upper:
    """What is trained and what it takes: the part above a cut and the activations there, or the whole network and its images."""

    model: keras.Model
    inputs: np.ndarray | tuple[np.ndarray, ...]  # (n, ...), in the order of the images; a tuple where the cut has several tensors
    note: str  # how the frozen part was computed
    cut: Cut | None = None  # where the network can be cut; None: nowhere
    features: Features | None = None  # the inputs as the cache keeps them; None: the whole network is trained

    def index_inputs(self, order: np.ndarray) -> Arrays:
        """The inputs of the cases `order`, int (n,), in that order, read batch by batch; a tuple where the part has several."""
        if isinstance(self.inputs, tuple):
            return tuple(Indexed(array, order) for array in self.inputs)
        return Indexed(self.inputs, order)


def open_upper(
    network: keras.Model,
    images: np.ndarray,
    find_cut: Callable[[], Cut],
    cache: Path,
    *,
    batch_size: int,
    limit_bytes: float,
    deeper: Upper | None = None,
) -> Upper:
    """The part of a network to train and its inputs, taken from the feature cache or computed into it.

    network: its frozen layers are marked; images: (n, ...), what it takes. find_cut: cuts the network; raises ValueError if
    nothing is frozen at its inputs. deeper: what was opened for a deeper cut of the same network and images; its activations are
    the start. cache (folder), batch_size, limit_bytes: as for `cache_features`. Where nothing is frozen, or the activations do
    not fit, the whole network is returned, frozen layers included, and the note says why: slower to train, with the same result.
    """
    try:
        cut = find_cut()
    except ValueError:
        return Upper(network, images, NOTHING)
    lower: keras.Model = cut.lower
    source: np.ndarray | Features = images
    if deeper is not None and deeper.cut is not None and deeper.features is not None:
        if deeper.cut.names == cut.names:
            return Upper(cut.upper, deeper.inputs, deeper.note, cut, deeper.features)
        lower, source = connect_cuts(network, deeper.cut, cut.names), deeper.features
    try:
        features = cache_features(lower, source, cache, batch_size=batch_size, limit_bytes=limit_bytes)
    except NoRoomError as reason:
        return Upper(network, images, f"computed in every epoch: {reason}", cut)
    return Upper(cut.upper, features.inputs, f"cached at {', '.join(cut.names)}", cut, features)


def open_uppers(
    network: keras.Model,
    images: np.ndarray,
    find_cuts: Mapping[Plan, Callable[[], Cut]],
    cache: Path,
    *,
    batch_size: int,
    limit_bytes: float,
) -> dict[Plan, Upper]:
    """`open_upper` for several freezing plans of one network, so that all fit into the cache at once.

    Which cuts are kept is planned before anything is computed (`plan_cuts`). A plan whose own cut is not kept is trained from
    the nearest deeper one that is, or as the whole network: slower, with the same result; the note says so.
    """
    found: dict[Plan, Cut] = {}
    for plan, find in find_cuts.items():
        try:
            found[plan] = find()
        except ValueError:
            continue
    places = {node.operation.name: i for i, node in enumerate(list_nodes(inline_models(network)))}
    found = dict(sorted(found.items(), key=lambda item: places[item[1].names[-1]]))  # single tensors lie on one line
    room = measure_room(cache, limit_bytes)
    chosen = plan_cuts(found, len(images), room)
    uppers: dict[Plan, Upper] = {}
    deepest: Upper | None = None
    for plan, cut in found.items():
        base = chosen[plan]
        size = f"activations of {measure_activations(cut.lower, len(images)) / 1e9:.2f} GB beside those of the other depths"
        reason = f"computed in every epoch: {size} for a cache that may take {room / 1e9:.2f} GB"
        if base is None:
            uppers[plan] = Upper(network, images, reason, cut)
        elif base != plan:
            below = uppers[base]
            uppers[plan] = replace(below, note=f"{below.note}; above it {reason}") if below.features is not None else below
        else:
            uppers[plan] = open_upper(
                network,
                images,
                functools.partial(found.__getitem__, plan),
                cache,
                batch_size=batch_size,
                limit_bytes=limit_bytes,
                deeper=deepest,
            )
            if uppers[plan].features is not None:
                deepest = uppers[plan]
            elif deepest is not None:  # another process took the room meanwhile
                uppers[plan] = replace(deepest, note=f"{deepest.note}; above it {reason}")
    return {plan: uppers[plan] if plan in uppers else Upper(network, images, NOTHING) for plan in find_cuts}


def plan_cuts(found: Mapping[Plan, Cut], count: int, room: float) -> dict[Plan, Plan | None]:
    """Plan -> the plan whose cut it is trained from, None: the whole network, such that the kept activations of `count` images
    fit into `room` bytes together and the fewest multiplications are done again in every epoch.

    found: the cuts in the order of their depth, the deepest first. Of equal choices the one that takes the least room.
    """
    plans = list(found)
    work = {plan: count_multiplications(found[plan].lower) for plan in plans}
    sizes = {plan: measure_activations(found[plan].lower, count) + ENTRY_BYTES for plan in plans}
    distinct = [plan for i, plan in enumerate(plans) if not any(found[p].names == found[plan].names for p in plans[:i])]

    def find_base(i: int, kept: tuple[Plan, ...]) -> Plan | None:
        """The nearest kept cut at or below that of the i-th plan."""
        return next((p for p in reversed(plans[: i + 1]) if any(p == k for k in kept)), None)

    def measure(kept: tuple[Plan, ...]) -> tuple[int, int]:
        bases = [find_base(i, kept) for i in range(len(plans))]
        again = sum(work[plan] - (0 if base is None else work[base]) for plan, base in zip(plans, bases, strict=True))
        return again, sum(sizes[plan] for plan in kept)

    subsets = itertools.chain.from_iterable(itertools.combinations(distinct, n) for n in range(len(distinct) + 1))
    best = min((kept for kept in subsets if sum(sizes[plan] for plan in kept) <= room), key=measure, default=())
    return {plan: find_base(i, best) for i, plan in enumerate(plans)}
