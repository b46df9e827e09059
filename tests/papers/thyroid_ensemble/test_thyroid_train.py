"""The two steps of the thyroid trainings: their optimisers against NumPy, their lengths as paper.toml tells them."""

import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from replications.thyroid_ensemble import train
from replications.thyroid_ensemble.config import PAPER

pytestmark = pytest.mark.usefixtures("backend")
STEPS = 3


@pytest.fixture
def bare(monkeypatch) -> SimpleNamespace:
    """A task whose networks are only built as far as their optimiser, and whose trainings tell how long they would last."""
    monkeypatch.setattr(train, "_build_part", lambda task, part, plan, step, optimizer: optimizer())
    monkeypatch.setattr(train, "_copy_head", lambda *_: None)
    monkeypatch.setattr(
        train, "_fit", lambda task, model, upper, stage, epochs, patience: {"epochs": epochs, "patience": patience}
    )
    return SimpleNamespace(config=PAPER)


def read_lengths(text: str) -> dict[str, int]:
    epochs, patience = re.search(r"at most (\d+) epochs, patience (\d+)", text).groups()
    return {"epochs": int(epochs), "patience": int(patience)}


def apply(optimizer: keras.optimizers.Optimizer, gradients: np.ndarray, start: int = 0) -> np.ndarray:
    """Values after each step, from 0, where `start` steps have passed before."""
    variable = keras.Variable(np.zeros(gradients.shape[1], np.float32))
    optimizer.build([variable])
    optimizer.iterations.assign(start)
    values = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))])
        values.append(keras.ops.convert_to_numpy(variable))
    return np.array(values)


@pytest.mark.parametrize("start", [0, 1_000_000])
def test_step_2_is_the_papers_descent(bare, find_choice, start):
    """Sec. 1.5: gradient descent, learning rate 1e-4, momentum 0.9, decay 1e-6: after a million steps half the rate."""
    chosen = find_choice("Step 2: meaning of decay")
    decay = float(re.match(r"Learning rate / \(1 \+ ([\d.e-]+) step\), no Nesterov momentum", chosen)[1])
    assert decay == 1e-6
    optimizer, lasting = train.tune_network(bare, SimpleNamespace(model=None), 2, None)
    assert lasting == read_lengths(chosen)
    gradients = np.random.default_rng(0).normal(size=(STEPS, 4))
    value, velocity, expected = np.zeros(4), np.zeros(4), []
    for step, gradient in enumerate(gradients, start=start):
        velocity = 0.9 * velocity - 1e-4 / (1 + decay * step) * gradient
        value = value + velocity
        expected.append(value)
    np.testing.assert_allclose(apply(optimizer, gradients, start), expected, rtol=1e-5)


def test_step_1_is_adam_at_the_chosen_rate(bare, find_choice):
    """Sec. 1.5 names Adam; paper.toml the rate, the batches and the epochs."""
    chosen = find_choice("Step 1: learning rate")
    rate, batch = re.match(r"Adam ([\d.e-]+), batches of (\d+)", chosen).groups()
    optimizer, lasting = train.train_head(bare, SimpleNamespace(model=None))
    assert lasting == read_lengths(chosen)
    assert PAPER.batch_size == int(batch)
    gradients = np.random.default_rng(0).normal(size=(STEPS, 4))
    value, first, second, expected = np.zeros(4), np.zeros(4), np.zeros(4), []
    for step, gradient in enumerate(gradients, start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        value = value - float(rate) * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
        expected.append(value)
    np.testing.assert_allclose(apply(optimizer, gradients), expected, rtol=1e-4)
