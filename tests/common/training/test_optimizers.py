"""Rectified Adam: against TensorFlow Addons, exact fractions, and its own promises."""

import json
from fractions import Fraction
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from common.training.optimizers import RAdam, measure_average

pytestmark = pytest.mark.usefixtures("backend")
GOLDEN = json.loads((Path(__file__).parent / "golden" / "radam.json").read_text())
OPTIONS = {"threshold 5": {}, "threshold 4": {"threshold": 4.0}, "weight decay 0.01": {"weight_decay": 0.01}}


def measure_exactly(t: int, beta_2: Fraction) -> float:
    power = beta_2**t
    return float(2 / (1 - beta_2) - 1 - 2 * t * power / (1 - power))


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_are_those_of_tensorflow_addons(name):
    matrix = np.array(GOLDEN["matrix"], np.float32)
    point = keras.Variable(np.array(GOLDEN["start"], np.float32))
    optimizer = RAdam(GOLDEN["learning_rate"], **OPTIONS[name])
    optimizer.build([point])
    expected = dict(zip(GOLDEN["steps"], GOLDEN["points"][name], strict=True))
    for step in range(1, 51):
        optimizer.apply([ops.matmul(matrix, point)], [point])
        if step in expected:
            np.testing.assert_allclose(ops.convert_to_numpy(point), expected[step], atol=1e-5)


@pytest.mark.parametrize("beta_2", ["0.9", "0.99", "0.999", "0.9999"])
def test_length_of_the_average_does_not_cancel(beta_2):
    steps = [*range(1, 12), 50, 99, 100, 101, 499, 500, 501, 5000, 20_000]
    found = [float(measure_average(ops.cast(t, "float32"), float(beta_2))[0]) for t in steps]
    np.testing.assert_allclose(found, [measure_exactly(t, Fraction(beta_2)) for t in steps], rtol=2e-6)


def test_first_steps_are_plain_momentum_and_the_threshold_says_how_many():
    """A constant gradient: the bias-corrected mean is 1, so a plain step is the learning rate, a rectified one less."""
    for threshold, plain in ((4.0, 4), (5.0, 5), (6.1, 6)):
        point = keras.Variable([0.0])
        optimizer = RAdam(0.5, threshold=threshold)
        optimizer.build([point])
        moves = []
        for _ in range(8):
            before = float(point[0])
            optimizer.apply([ops.convert_to_tensor([1.0])], [point])
            moves.append(before - float(point[0]))
        assert np.isclose(moves, 0.5, rtol=1e-5).tolist() == [True] * plain + [False] * (8 - plain)
        assert max(moves[plain:]) < 0.1
    with pytest.raises(ValueError, match="from 4 on"):
        RAdam(threshold=3.9)


def test_an_embedding_is_trained_as_a_dense_weight():
    """Rows that a batch does not name move on, as their moments decay; on TensorFlow their gradient is sparse."""
    rows = np.array([[0], [1]])
    table = np.arange(8, dtype=np.float32).reshape(4, 2) / 4
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(4, 2), keras.layers.Flatten()])
    model.set_weights([table])
    model.compile(RAdam(0.1), "mse", jit_compile=False)
    dense = keras.Variable(table)
    optimizer = RAdam(0.1)
    optimizer.build([dense])
    for row in (0, 1, 0):
        values = ops.convert_to_numpy(dense)
        gradient = np.zeros_like(values)
        gradient[row] = values[row]  # of the mean square of two numbers
        model.train_on_batch(rows[row : row + 1], np.zeros((1, 2)))
        optimizer.apply([ops.convert_to_tensor(gradient)], [dense])
    np.testing.assert_allclose(model.get_weights()[0], ops.convert_to_numpy(dense), atol=1e-6)
    assert (model.get_weights()[0][1] != table[1]).all()


def test_it_is_saved_with_a_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(RAdam(0.25, beta_1=0.5, beta_2=0.99, epsilon=1e-8, threshold=4.5), "mse")
    model.train_on_batch(np.ones((2, 2)), np.ones((2, 1)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.optimizer.get_config()["threshold"] == 4.5
    for found, expected in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))
