"""The deep belief network: every equation against NumPy."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from common.training.batches import feed_batches
from replications.lung_hip_compare import dbn
from replications.lung_hip_compare.config import PAPER

pytestmark = pytest.mark.usefixtures("backend")


def build_rbm(visible: int = 6, hidden: int = 4, weight_decay: float = 0.0) -> dbn.RBM:
    rbm = dbn.RBM(visible, hidden, seed=5, weight_decay=weight_decay)
    generator = np.random.default_rng(1)
    rbm.set_weights([generator.normal(0, 0.5, w.shape) if w.dtype == np.float32 else w for w in rbm.get_weights()])
    return rbm


def test_free_energy_sums_equation_3_over_all_hidden_states():
    rbm = build_rbm(visible=5, hidden=4)
    W, a, b = (ops.convert_to_numpy(w).astype(float) for w in (rbm.W, rbm.a, rbm.b))
    visible = np.random.default_rng(2).random((3, 5), dtype=np.float32)

    def energy(v, h):
        return -sum(W[i, j] * h[j] * v[i] for i in range(5) for j in range(4)) - a @ v - b @ h

    expected = [-np.log(sum(np.exp(-energy(v, h)) for h in itertools.product((0, 1), repeat=4))) for v in visible.astype(float)]
    np.testing.assert_allclose(dbn.free_energy(rbm, visible), expected, rtol=1e-5)


def test_one_training_step_is_the_contrastive_divergence_of_the_textbook(monkeypatch):
    uniform = np.random.default_rng(4).random((8, 4))
    monkeypatch.setattr(keras.random, "uniform", lambda shape, **_: ops.convert_to_tensor(uniform, "float32"))
    rate, decay = 0.1, 0.01
    rbm = build_rbm(weight_decay=decay)
    v0 = np.random.default_rng(3).random((8, 6)).astype(np.float32)
    W, a, b = (ops.convert_to_numpy(w).astype(np.float64) for w in (rbm.W, rbm.a, rbm.b))

    def squash(x):
        return 1 / (1 + np.exp(-x))

    p0 = squash(v0 @ W + b)
    h0 = (uniform < p0).astype(float)
    v1 = squash(h0 @ W.T + a)
    p1 = squash(v1 @ W + b)
    expected = [
        W + rate * ((v0.T @ p0 - v1.T @ p1) / 8 - decay * W),
        a + rate * (v0 - v1).mean(axis=0),
        b + rate * (p0 - p1).mean(axis=0),
    ]
    rbm.compile(keras.optimizers.SGD(rate), run_eagerly=True)
    history = rbm.fit(feed_batches((v0,), 8), shuffle=False, verbose=0).history
    for found, value in zip((rbm.W, rbm.a, rbm.b), expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(found), value, atol=1e-6)
    assert history["reconstruction"][0] == pytest.approx(((v0 - v1) ** 2).mean(), rel=1e-5)


def test_samples_have_their_probabilities_and_change():
    generator = keras.random.SeedGenerator(0)
    probabilities = ops.convert_to_tensor(np.tile(np.float32([0.0, 0.2, 1.0]), (20000, 1)))
    first = ops.convert_to_numpy(dbn.sample_bernoulli(probabilities, generator))
    second = ops.convert_to_numpy(dbn.sample_bernoulli(probabilities, generator))
    assert set(np.unique(first)) == {0.0, 1.0}
    np.testing.assert_allclose(first.mean(axis=0), (0, 0.2, 1), atol=0.015)  # over five standard errors
    assert (first != second).any()


def test_rbm_learns_two_patterns_and_repeats_with_its_seed():
    patterns = np.random.default_rng(0).permutation(np.repeat([[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]], 50, axis=0))
    values, runs = patterns.astype(np.float32), []
    for _ in range(2):
        rbm = dbn.RBM(6, 3, seed=1, weight_decay=1e-4)
        rbm.compile(keras.optimizers.SGD(0.5, momentum=0.5))
        runs.append((rbm.fit(feed_batches((values,), 20), epochs=40, shuffle=False, verbose=0).history, rbm))
    errors = runs[0][0]["reconstruction"]
    assert errors[-1] < 0.05 < errors[0]
    assert runs[0][0] == runs[1][0]
    hidden = ops.convert_to_numpy(dbn.hidden_probabilities(runs[0][1], values))
    np.testing.assert_allclose(hidden, runs[0][1].predict(feed_batches(values, 20), verbose=0), rtol=1e-6)


def test_dbn_at_the_sizes_of_the_paper_and_copied_machines():
    model = dbn.build_dbn(50, PAPER)
    shapes = [model.get_layer(f"hidden{n}").kernel.shape for n in (1, 2, 3, 4)]
    assert shapes == [(2500, 1500), (1500, 1000), (1000, 500), (500, 200)]
    assert model.count_params() == sum(v * h + h for v, h in shapes) + 200 * 2 + 2
    rbm = dbn.RBM(500, 200, seed=0)
    dbn.copy_rbm(rbm, model.get_layer("hidden4"))
    values = np.random.default_rng(0).random((2, 500), dtype=np.float32)
    np.testing.assert_allclose(model.get_layer("hidden4")(values), dbn.hidden_probabilities(rbm, values), rtol=1e-6)
    with pytest.raises(ValueError, match="shape"):
        dbn.copy_rbm(rbm, model.get_layer("hidden3"))
