"""The benchmark of the feature cache: its arithmetic, and one small run through both ways."""

import json

import numpy as np
import pytest

from benchmarks import feature_cache


def test_both_ways_give_equal_losses_and_weights(backend, tmp_path):
    out = tmp_path / "figures.json"
    options = ["--quick", "--backbones", "AlexNet", "--images", "0", "--sweep-images", "64", "--epochs", "2", "--threads", "1"]
    result = feature_cache.main([*options, "--out", str(out)])
    assert json.loads(out.read_text()) == result
    row = result["sweep"]["AlexNet"]
    assert result["sweep"]["total"] == row
    assert min(row["seconds"].values()) > 0
    assert 1 < row["allowed"] < 4  # k = 1, 0 for two epochs: at most 4 forward passes and what is trained, against 1


def test_ratios_count_all_parts_of_the_cached_way():
    seconds = {part: np.full(2, value) for part, value in zip(feature_cache.PARTS, (12.0, 0.5, 1.0, 1.5, 99.0, 99.0), strict=True)}
    small = {"seconds": seconds, "passes": {"plain": 10.0, "cached": 1.0}, "multiplications": 1}
    large = {"seconds": seconds, "passes": {"plain": 10.0, "cached": 4.0}, "multiplications": 5}
    rows = feature_cache.summarise({"small": small, "large": large})
    assert rows["small"]["ratio"] == pytest.approx(4)
    assert rows["small"]["reached"] == pytest.approx(0.4)
    assert rows["total"]["allowed"] == pytest.approx(60 / 21, abs=0.01)
    assert rows["total"]["ratio"] == pytest.approx(4)
