"""Initial weights follow the seed alone, also of a second network of a process, and what was traced stays."""

import random
import threading
import time

import keras
import numpy as np
import pytest

from common.training import random_networks
from common.training.random_networks import seed_layers, settle_statistics, take_statistics

pytestmark = pytest.mark.usefixtures("backend")


def build() -> keras.Model:
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(keras.layers.Dropout(0.5)(x)))


def test_the_same_seed_gives_the_same_weights():
    drawn = {}
    for seed in (1, 2, 1):
        with seed_layers(seed):
            network = build()
        dropped = np.asarray(network(np.ones((1, 12, 12, 3), np.float32), training=True))
        weights = [*network.get_weights(), dropped]
        for known, weight in zip(drawn.setdefault(seed, weights), weights, strict=True):
            np.testing.assert_array_equal(known, weight)
    assert (drawn[1][0] != drawn[2][0]).any()


@pytest.fixture
def drawing_thread():
    """A thread that draws from the global generators all the time, as a cluster's engine does."""
    ended = threading.Event()

    def draw() -> None:
        while not ended.is_set():
            random.random()
            np.random.random()  # noqa: NPY002
            time.sleep(1e-5)

    thread = threading.Thread(target=draw)
    thread.start()
    yield
    ended.set()
    thread.join()


def read_seeds(network: keras.Model) -> list[int]:
    """The seeds that Keras made up, in the order of the layers."""
    return [layer.kernel_initializer.seed for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.mark.usefixtures("drawing_thread")
def test_a_thread_that_draws_changes_nothing():
    seeds = set()
    for _ in range(20):
        with seed_layers(3):
            network = build()
        seeds.add(tuple(read_seeds(network)))
    assert len(seeds) == 1


def test_global_generators_are_neither_used_nor_changed():
    """The seeds are those that Keras draws after `set_random_seed`, from a generator of our own."""
    keras.utils.set_random_seed(5)
    expected = read_seeds(build())
    random.seed(0)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with seed_layers(5):
        assert read_seeds(build()) == expected
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_an_outer_seeding_goes_on_after_an_inner_one():
    with seed_layers(1):
        expected = read_seeds(build()), read_seeds(build())
    with seed_layers(1):
        first = read_seeds(build())
        with seed_layers(2):
            build()
        assert (first, read_seeds(build())) == expected


def test_a_keras_that_makes_up_seeds_elsewhere_is_refused(monkeypatch):
    monkeypatch.setattr(random_networks.seed_generator, "make_default_seed", lambda: 1)
    monkeypatch.setattr(keras.initializers.GlorotUniform, "__init__", lambda self: setattr(self, "seed", 1))
    with pytest.raises(RuntimeError, match=r"constraints\.txt"), seed_layers(1):
        pass


def test_an_optimised_graph_is_kept():
    """TensorFlow forgets what it has optimised whenever its own seed is set; a second training would pay for it again."""
    import tensorflow as tf

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
    with seed_layers(1):
        build()
    kept = measure()
    keras.utils.set_random_seed(1)
    assert measure() > 3 * kept


def test_statistics_settle_on_noise_and_momentum_comes_back():
    with seed_layers(0):
        network = build()
    (norm,) = (layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = norm.momentum
    settle_statistics(network, 4, (12, 12), seed=0)
    assert norm.momentum == before
    assert np.abs(norm.moving_mean.numpy()).max() > 1e-3
    first = norm.moving_variance.numpy()
    settle_statistics(network, 4, (12, 12), seed=0)
    np.testing.assert_array_equal(norm.moving_variance.numpy(), first)


def test_statistics_are_those_of_the_batch_and_the_momentum_stays():
    """Pictures that come out alike by statistics that have hardly moved are told apart by those of a batch."""
    inputs = keras.Input((12, 12, 3))
    normalise = keras.layers.BatchNormalization(momentum=0.999)
    inner = keras.Model(inputs, normalise(keras.layers.Conv2D(4, 3)(inputs)))
    model = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Rescaling(1e-3), inner])
    batch = np.random.default_rng(0).random((64, 12, 12, 3)).astype(np.float32)
    before = np.asarray(model(batch)).std()
    take_statistics(inner, lambda: model(batch, training=True))
    after = np.asarray(model(batch))
    assert before < 0.01
    assert after.mean() == pytest.approx(0, abs=0.01)
    assert normalise.momentum == 0.999
    np.testing.assert_allclose(after, np.asarray(model(batch, training=True)), atol=0.02)
