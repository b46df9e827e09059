"""What is trained of a network whose lower part is frozen: the part above the cut, on activations computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from common.training.cuts import Cut, connect_cuts
from common.training.feature_cache import Features, NoRoomError, cache_features


@dataclass(frozen=True)
class Upper:
    """The part above the cut and its activations, or the whole network and its images."""

    model: keras.Model
    inputs: np.ndarray | tuple[np.ndarray, ...]
    note: str  # how the frozen part was computed
    cut: Cut | None = None
    features: Features | None = None


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
    """Part to train and its inputs, from the feature cache.

    find_cut: where the freezing plan cuts the network; ValueError if nothing is frozen at the inputs. deeper: has the
    activations of a deeper cut, from which these follow. cache, batch_size, limit_bytes: see `cache_features`. Without a cache
    (nothing is frozen, no room) the whole network is trained, frozen layers included: slower, the same result; the note
    says why.
    """
    try:
        cut = find_cut()
    except ValueError:
        return Upper(network, images, "computed in every epoch: nothing is frozen at the inputs")
    lower, source = cut.lower, images
    if deeper is not None and deeper.cut is not None and deeper.features is not None:
        if deeper.cut.names == cut.names:
            return Upper(cut.upper, deeper.inputs, deeper.note, cut, deeper.features)
        lower, source = connect_cuts(network, deeper.cut, cut.names), deeper.features
    try:
        features = cache_features(lower, source, cache, batch_size=batch_size, limit_bytes=limit_bytes)
    except NoRoomError as reason:
        return Upper(network, images, f"computed in every epoch: {reason}")
    return Upper(cut.upper, features.inputs, f"cached at {', '.join(cut.names)}", cut, features)
