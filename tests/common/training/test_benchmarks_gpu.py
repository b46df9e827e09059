"""The benchmark of training steps on a GPU: what it computes, on a small network of this machine."""

import keras
import numpy as np
import pytest

from benchmarks import gpu
from common.training.operations import count_step
from common.training.timing import Specimen, draw_labels, draw_pictures


def build_small(_name: str, side: int, batch: int, jit_compile: bool | str) -> Specimen:
    model = keras.Sequential([keras.Input((side, side, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3)])
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(2, "softmax", dtype="float32"))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit_compile)
    return Specimen(model, (draw_pictures(batch, side, side, 1), draw_labels(batch, 2)))


def test_rates_share_and_equal_losses(backend, monkeypatch):
    monkeypatch.setattr(gpu, "build_network", build_small)
    operations = count_step(build_small("", 8, 4, False).model)
    found = gpu.compare_ways("small", gpu.FLOAT32, 8, 4, 3, peak=1e6)
    assert found["losses apart"] < gpu.LOSSES
    assert found["times plain"] == pytest.approx(found["images/s"] / found["plain images/s"], rel=0.01)
    assert found["share"] == pytest.approx(2 * operations * found["images/s"] / 1e6, rel=0.01)


def test_unequal_losses_are_named_and_the_rest_is_measured(backend, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "build_network", build_small)
    passes = iter([[0.5], [0.5], [0.4], [0.4], *[[0.5]] * 4])
    monkeypatch.setattr(gpu, "train", lambda *_args, **_named: next(passes))
    monkeypatch.setattr(gpu, "count_cores", lambda: 1)
    given = ["--networks", "VGG16", "ResNet-50", "--policies", gpu.FLOAT32, "--side", "8", "--batch", "4", "--matrix", "32"]
    found = gpu.main(given)
    assert found["losses differ"] == ["VGG16"]
    assert found["VGG16, float32"]["losses apart"] > 0.1
    assert found["ResNet-50, float32"]["losses apart"] == 0


def test_the_peak_is_of_this_device(backend):
    assert np.isfinite(gpu.measure_peak(32))
    assert gpu.measure_peak(32) > 1e5
