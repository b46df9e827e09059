"""Batches for `fit` and `predict`: the order of every epoch is a pure function of (seed, epoch), so a resumed training
sees exactly the batches of an uninterrupted one.
"""

from collections.abc import Sequence

import keras
import numpy as np


def shuffle_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of `count` cases in one epoch: int64 (count,), the same for the same (seed, epoch) on every machine."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def assert_uint8(images: np.ndarray) -> None:
    """Networks rescale 0..255 themselves; an image that was scaled before would pass through as almost black."""
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8 in 0..255, got {images.dtype}: do not rescale before the network")


def feed_batches(arrays: Sequence[np.ndarray] | np.ndarray, batch_size: int):
    """Batches of `arrays` (one array, or several that become the tuple (x, y, ...)) in the given order, the last one short.

    On TensorFlow a tf.data pipeline with autotuning off: on few cores the autotuner of `fit(x, y)` waits longer than a
    small network computes. On other backends a generator over the same batches.
    """
    if keras.backend.backend() != "tensorflow":
        return _generate_batches(arrays, batch_size)
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.threading.private_threadpool_size = 1
    slices = tuple(arrays) if isinstance(arrays, (tuple, list)) else arrays
    return tf.data.Dataset.from_tensor_slices(slices).batch(batch_size).prefetch(1).with_options(options)


def _generate_batches(arrays, batch_size: int):
    several = isinstance(arrays, (tuple, list))
    count = len(arrays[0] if several else arrays)
    for start in range(0, count, batch_size):
        part = slice(start, start + batch_size)
        yield tuple(a[part] for a in arrays) if several else (arrays[part],)
