"""Random weights: where they come from, and how a network of them nevertheless tells pictures apart."""

import random

import keras
import numpy as np
from keras import layers, ops

_seeded = False  # whether TensorFlow has a seed of its own in this process


def seed_weights(seed: int) -> None:
    """Make the initial weights that Keras draws next, dropout included, a pure function of the seed.

    As `keras.utils.set_random_seed`, but TensorFlow's own seed, from which nothing here is drawn, is set only once: it makes
    TensorFlow forget every graph that it has optimised, after which a second training of a large network starts as slowly as the
    first (MU-ACGAN: 11.5 s, else 0.5 s). Draws of `keras.random` need a seed or a generator.
    """
    global _seeded
    if not _seeded:
        keras.utils.set_random_seed(seed)
    _seeded = True
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what Keras' layers may use


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
    normalising = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    known = [layer.momentum for layer in normalising]
    for layer in normalising:
        layer.momentum = 0.0
    network(np.clip(batch, -1, 1) * scale + offset, training=True)
    for layer, momentum in zip(normalising, known, strict=True):
        layer.momentum = momentum
