"""A network whose lower part is frozen: only the part above the cut is trained, on activations that are computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from common.training.batches import Arrays, Indexed
from common.training.cuts import Cut, connect_cuts
from common.training.feature_cache import Features, NoRoomError, cache_features


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
        return Upper(network, images, "computed in every epoch: nothing is frozen at the inputs")
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
