"""Batches for `fit` and `predict`, in an order that is a pure function of (seed, epoch): a resumed training sees exactly the
batches of an uninterrupted one.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np

SMALL_BYTES = 64 * 2**20  # an indexed array of at most this size is taken at once rather than batch by batch


def shuffle_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of `count` cases in one epoch: int64 (count,), the same for the same (seed, epoch) on every machine."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def assert_uint8(images: np.ndarray) -> None:
    """Networks rescale 0..255 themselves; an image that was scaled before would pass through as almost black."""
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8 in 0..255, got {images.dtype}: do not rescale before the network")


@dataclass(frozen=True)
class Indexed:
    """array[order], read batch by batch: for arrays on disk that are larger than the memory."""

    array: np.ndarray
    order: np.ndarray  # int (n,): places along the first axis

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.array[self.order[part]]


Arrays: TypeAlias = "np.ndarray | Indexed | tuple[Arrays, ...]"  # one array, or several, grouped as a network takes them
Batches: TypeAlias = Iterable[Any]  # what Keras takes: arrays or the backend's tensors, nested like what they were made from


def feed_batches(arrays: Arrays, batch_size: int) -> Batches:
    """Batches of `arrays` in the given order, the last one short.

    arrays: one array or `Indexed`, or a tuple (x, y, ...) of them, in which a tuple stands for the inputs of a network of
    several; all of one length. On TensorFlow a tf.data pipeline with autotuning off: on few cores the autotuner of `fit(x, y)`
    waits longer than a small network computes. On other backends the same batches by their number.
    """
    members = [_take_small(member) for member in keras.tree.flatten(arrays)]
    count = -(-len(members[0]) // batch_size)
    cut = functools.partial(_cut_batch, arrays, members, batch_size)
    if keras.backend.backend() != "tensorflow":
        return NumberedBatches(count, cut)
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.threading.private_threadpool_size = 1
    if any(isinstance(member, Indexed) for member in members):
        kinds = [member.array if isinstance(member, Indexed) else member for member in members]
        flat = [tf.TensorSpec((None, *kind.shape[1:]), kind.dtype) for kind in kinds]
        batches = tf.data.Dataset.from_generator(
            lambda: map(cut, range(count)),
            output_signature=keras.tree.pack_sequence_as(arrays, flat) if isinstance(arrays, tuple) else (flat[0],),
        )
        return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1).with_options(options)
    slices = keras.tree.pack_sequence_as(arrays, members) if isinstance(arrays, tuple) else members[0]
    return tf.data.Dataset.from_tensor_slices(slices).batch(batch_size).prefetch(1).with_options(options)


def _take_small(member: np.ndarray | Indexed) -> np.ndarray | Indexed:
    """The array itself where it is small enough: a pipeline over a Python generator costs 0.1 s to set up."""
    if isinstance(member, np.memmap):
        member = Indexed(member, np.arange(len(member)))
    if isinstance(member, Indexed) and len(member) * member.array[:1].nbytes <= SMALL_BYTES:
        return member[slice(None)]
    return member


class NumberedBatches(keras.utils.PyDataset):
    """`count` batches in their order, take(number) each: Keras knows their number, as it does not of a generator's."""

    def __init__(self, count: int, take: Callable[[int], Any]):
        super().__init__()
        self.count, self.take = count, take

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return self.take(number)


def _cut_batch(arrays: Arrays, members: Sequence[np.ndarray | Indexed], batch_size: int, number: int) -> Any:
    """Batch `number`, from 0, nested like `arrays`; the last one may be short."""
    parts = [np.asarray(member[number * batch_size : (number + 1) * batch_size]) for member in members]
    return keras.tree.pack_sequence_as(arrays, parts) if isinstance(arrays, tuple) else (parts[0],)
