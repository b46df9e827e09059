"""Initial weights follow the seed, also of a second network of a process, and what was traced stays."""

import time

import keras
import numpy as np
import pytest

from common.training.random_networks import seed_weights, settle_statistics

pytestmark = pytest.mark.usefixtures("backend")


def build() -> keras.Model:
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(keras.layers.Dropout(0.5)(x)))


def test_the_same_seed_gives_the_same_weights():
    drawn = {}
    for seed in (1, 2, 1):
        seed_weights(seed)
        network = build()
        dropped = np.asarray(network(np.ones((1, 12, 12, 3), np.float32), training=True))
        weights = [*network.get_weights(), dropped]
        for known, weight in zip(drawn.setdefault(seed, weights), weights, strict=True):
            np.testing.assert_array_equal(known, weight)
    assert (drawn[1][0] != drawn[2][0]).any()


def test_an_optimised_graph_is_kept():
    """TensorFlow forgets what it has optimised whenever its own seed is set; a second training would pay for it again."""
    import tensorflow as tf

    seed_weights(0)

    @tf.function
    def compute(x):
        for _ in range(600):
            x = tf.sin(x) * 1.01 + tf.cos(x)
        return x

    def measure() -> float:
        started = time.perf_counter()
        compute(tf.ones(8))
        return time.perf_counter() - started

    measure()
    seed_weights(1)
    kept = measure()
    keras.utils.set_random_seed(1)
    assert measure() > 3 * kept


def test_statistics_settle_on_noise_and_momentum_comes_back():
    seed_weights(0)
    network = build()
    (norm,) = (layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = norm.momentum
    settle_statistics(network, 4, (12, 12), seed=0)
    assert norm.momentum == before
    assert np.abs(norm.moving_mean.numpy()).max() > 1e-3
    first = norm.moving_variance.numpy()
    settle_statistics(network, 4, (12, 12), seed=0)
    np.testing.assert_array_equal(norm.moving_variance.numpy(), first)
