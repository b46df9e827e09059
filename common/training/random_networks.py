"""Random weights: where they come from, and how a network of them nevertheless tells pictures apart."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import layers, ops
from keras.src.random import seed_generator  # the one place where Keras makes up a seed for a layer that was given none


class _Draws(threading.local):
    """Stands in for the module `random` where Keras makes up seeds: in a thread that `seed_layers` seeds, a generator of its own;
    elsewhere the global one, as before."""

    own: random.Random | None = None

    def randint(self, low: int, high: int) -> int:
        return (self.own or random).randint(low, high)


_draws = _Draws()


@contextlib.contextmanager
def seed_layers(seed: int) -> Iterator[None]:
    """Give every layer and initialiser that is built in here a seed of its own: a pure function of `seed` and of how many were
    built before it.

    Initial weights and dropout then depend on no global generator, and neither draw from one nor change one, whatever other
    threads do. The seeds are those that Keras itself would draw after `keras.utils.set_random_seed(seed)`. Works for layers that
    are not ours to seed, too (keras.applications). Draws of `keras.random` outside of layers need a seed or a generator. May be
    nested; afterwards the outer seeding goes on where it was.
    """
    seed_generator.python_random = _draws  # again each time: nothing happens on import
    outer, _draws.own = _draws.own, random.Random(seed)
    try:
        _confirm_seeding(seed)
        yield
    finally:
        _draws.own = outer


def _confirm_seeding(seed: int) -> None:
    """RuntimeError where this version of Keras takes its seeds from elsewhere: results would follow chance, and nobody knew."""
    expected = random.Random(seed).randint(1, 10**9)
    if keras.initializers.GlorotUniform().seed != expected:
        raise RuntimeError(f"Keras {keras.__version__} makes up seeds in another way; install the version of constraints.txt")
    _draws.own = random.Random(seed)


def settle_statistics(
    network: keras.Model, pictures: int, shape: tuple[int, int], seed: int, *, scale: float = 1.0, offset: float = 0.0
) -> None:
    """Give a network of random weights the means and variances of batch normalisation that one batch of noise has.

    Without them every layer shrinks the activations: on brain slices the bottlenecks of a random InceptionV3 have a norm of
    0.04 and correlate by 0.9994, with them 15 and 0.23. The batch: `pictures` of smooth grey noise, (height, width) `shape`, in
    -1..1 times `scale` plus `offset`: no picture of any data. A network without batch normalisation stays as it is.
    """
    noise = np.random.default_rng([seed, 4])
    batch = np.zeros((pictures, *shape, 3), np.float32)
    for cells in (2, 5, 12, 30, 75):  # noise of several grains, each at a random strength
        size = tuple(min(cells, side) for side in shape)
        grid = noise.uniform(-1, 1, (pictures, *size, 1)) * noise.random((pictures, 1, 1, 1))
        batch += np.asarray(ops.image.resize(grid.astype(np.float32), shape))
    take_statistics(network, lambda: network(np.clip(batch, -1, 1) * scale + offset, training=True))


def take_statistics(network: keras.Model, compute: Callable[[], object]) -> None:
    """Give a network's batch normalisation the means and variances of the one batch that `compute` passes through it in training
    mode. After some hundred steps moving averages with the momentum of MobileNetV2, 0.999, still hold what they started from, and
    every picture comes out alike."""
    normalising = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    known = [layer.momentum for layer in normalising]
    for layer in normalising:
        layer.momentum = 0.0
    compute()
    for layer, momentum in zip(normalising, known, strict=True):
        layer.momentum = momentum
