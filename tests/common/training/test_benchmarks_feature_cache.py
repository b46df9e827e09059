"""The benchmark of the feature cache: its arithmetic, and one small run through both ways."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from small_networks import build_chain

from benchmarks import feature_cache
from common.training import cuts
from replications.thyroid_ensemble import models
from replications.thyroid_ensemble.config import PAPER


def test_both_ways_give_equal_losses_and_weights(backend, tmp_path):
    config = replace(PAPER, head_units=(4,))
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="conv1")(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Conv2D(3, 3, activation="relu", name="conv2")(x)
    model = keras.Model(inputs, models.build_head(x, config))
    start = model.get_weights()
    compared = feature_cache.compare_ways(model, (1, 0), 64, 2, config, tmp_path)  # asserts that both are equal
    for a, b in zip(start, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(seconds[0] > 0 for seconds in compared["seconds"].values())
    below, above, head = 6 * 6 * 9 * 2, 4 * 4 * 9 * 2 * 3, 3 * 4 + 4 * 2
    whole = below + above + head
    assert compared["multiplications"] == whole
    assert compared["passes"]["plain"] == pytest.approx(2 * (2 + 2 * (above + 2 * head) / whole))
    assert compared["passes"]["cached"] == pytest.approx((below + above + 6 * (above + 2 * head)) / whole)


def test_multiplications_are_counted(backend):
    model = build_chain()
    expected = 16 * 16 * 9 * 1 * 4 + 8 * 8 * 9 * 4 * 8 + 4 * 4 * 9 * 8 * 12 + 12 * 8 + 8 * 2
    assert cuts.count_multiplications(model) == expected


def test_ratios_count_all_parts_of_the_cached_way():
    values = (12.0, 0.5, 1.0, 1.5, 99.0, 99.0)
    seconds = {part: np.full(2, value) for part, value in zip(feature_cache.PARTS, values, strict=True)}
    small = {"seconds": seconds, "passes": {"plain": 10.0, "cached": 1.0}, "multiplications": 1}
    large = {"seconds": seconds, "passes": {"plain": 10.0, "cached": 4.0}, "multiplications": 5}
    rows = feature_cache.summarise({"small": small, "large": large})
    assert rows["small"]["ratio"] == pytest.approx(4)
    assert rows["small"]["reached"] == pytest.approx(0.4)
    assert rows["total"]["allowed"] == pytest.approx(60 / 21, abs=0.01)
    assert rows["total"]["ratio"] == pytest.approx(4)
