"""Batches: the order of an epoch, the short last one, images that were rescaled, arrays too large to be taken at once."""

import numpy as np
import pytest

from common.training import batches
from common.training.batches import Indexed, assert_uint8, feed_batches, shuffle_order

pytestmark = pytest.mark.usefixtures("backend")
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
LABELS = (IMAGES.mean(axis=(1, 2, 3)) > 127).astype(int)


def test_order_is_a_function_of_seed_and_epoch():
    assert sorted(shuffle_order(10, 1, 2)) == list(range(10))
    np.testing.assert_array_equal(shuffle_order(10, 1, 2), shuffle_order(10, 1, 2))
    assert not np.array_equal(shuffle_order(10, 1, 2), shuffle_order(10, 1, 3))
    assert not np.array_equal(shuffle_order(10, 1, 2), shuffle_order(10, 2, 2))


def test_batches_keep_order_and_the_short_last_one():
    batches = [tuple(np.asarray(a) for a in batch) for batch in feed_batches((IMAGES, LABELS), 16)]
    assert [len(x) for x, _ in batches] == [16, 16, 16, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), LABELS)


@pytest.mark.parametrize("small_bytes", [batches.SMALL_BYTES, 0], ids=["at once", "batch by batch"])
def test_indexed_arrays_give_the_batches_of_the_reordered_array(small_bytes, monkeypatch):
    monkeypatch.setattr(batches, "SMALL_BYTES", small_bytes)
    order = shuffle_order(len(IMAGES), 1, 0)[:40]
    found = list(feed_batches(((Indexed(IMAGES, order), IMAGES[order]), Indexed(LABELS, order)), 16))
    assert [len(labels) for _, labels in found] == [16, 16, 8]
    for member in (0, 1):
        np.testing.assert_array_equal(np.concatenate([inputs[member] for inputs, _ in found]), IMAGES[order])
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in found]), LABELS[order])


def test_rescaled_images_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        assert_uint8(IMAGES / 255)
