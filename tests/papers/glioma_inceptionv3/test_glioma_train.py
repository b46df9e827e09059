"""The last layer: equal to plain NumPy, several rates side by side, the draws and schedules of the script; random backbones."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from glioma_bottlenecks import SMALL, draw_features, make_dataset, make_task

from replications.glioma_inceptionv3 import models, train
from replications.glioma_inceptionv3.bottlenecks import map_attention
from replications.glioma_inceptionv3.config import DEMO, PAPER
from replications.glioma_inceptionv3.rows import AS_RUN, INCEPTION, LEAKFREE, MOBILENET, RANDOM, REPORT

pytestmark = pytest.mark.usefixtures("backend")


def train_plainly(task: train.Task, numbers: np.ndarray, labels: np.ndarray, kernel: np.ndarray, rates: np.ndarray):
    """The same steps in float64: softmax regression by gradient descent on the given batches."""
    kernel, bias, size = kernel.astype(np.float64), np.zeros(kernel.shape[1]), task.config.batch_size
    for step, rate in enumerate(rates):
        batch = slice(step * size, (step + 1) * size)
        x, y = task.features[numbers[batch]].astype(np.float64), np.eye(kernel.shape[1])[labels[batch]]
        odds = np.exp(x @ kernel + bias)
        slope = (odds / odds.sum(axis=1, keepdims=True) - y) / size
        kernel, bias = kernel - rate * x.T @ slope, bias - rate * slope.sum(axis=0)
    return kernel, bias


def list_batches(task: train.Task) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng([task.config.split_seed, task.settings["seed"], task.fold.fold, 5])
    drawn = train.draw_balanced(task.fold.train, task.labels, task.config.steps * task.config.batch_size, random)
    return task.source[drawn], task.labels[drawn]


@pytest.mark.parametrize("mode", [AS_RUN, REPORT])
def test_equal_to_plain_numpy(mode):
    dataset = make_dataset()
    features = draw_features(dataset.cases, 1.0, 0.0) * np.float32(0.1)  # larger ones are chaotic: nothing could be compared
    task = make_task(dataset, features, mode, 1, 1, SMALL)
    model, history = train.train_head(task)
    rates = np.full(SMALL.steps, 0.1) if mode == AS_RUN else 0.1 * np.exp(-np.arange(SMALL.steps) * np.log(100) / SMALL.steps)
    kernel = models.draw_head(features.shape[1], 3, SMALL.initial_std, seed=101)
    expected = train_plainly(task, *list_batches(task), kernel, rates)
    found = model.get_layer(models.HEAD).get_weights()
    assert found[0] == pytest.approx(expected[0], abs=2e-6)
    assert found[1] == pytest.approx(expected[1], abs=2e-6)
    assert np.abs(found[0]).max() > 0.01
    assert [entry["epoch"] for entry in history] == [100, 200, 300, 400]


def test_heads_side_by_side_are_trainings_of_their_own():
    """Under leakfree every rate gives what descent at that rate alone gives, from the same batches."""
    dataset = make_dataset()
    features = draw_features(dataset.cases, 1.0, 0.5) * np.float32(0.1)
    task = make_task(dataset, features, LEAKFREE, 1, 2, SMALL)
    model, _ = train.train_head(task)
    kernels, biases = model.get_layer(models.HEAD).get_weights()
    kernel = models.draw_head(features.shape[1], 3, SMALL.initial_std, seed=102)
    for number, rate in enumerate(SMALL.leakfree_rates):
        expected = train_plainly(task, *list_batches(task), kernel, np.full(SMALL.steps, rate))
        own = slice(3 * number, 3 * number + 3)
        assert kernels[:, own] == pytest.approx(expected[0], abs=2e-6), rate
        assert biases[own] == pytest.approx(expected[1], abs=2e-6), rate


def test_the_same_training_twice_and_another_seed():
    dataset = make_dataset()
    features = draw_features(dataset.cases, 1.0, 0.0)
    config = replace(SMALL, steps=200)
    weights = []
    for seed in (1, 1, 2):
        model, history = train.train_head(make_task(dataset, features, REPORT, seed, seed, config))
        weights.append((model.get_layer(models.HEAD).get_weights()[0].tobytes(), str(history)))
    assert weights[0] == weights[1] != weights[2]


def test_the_schedule_of_the_report():
    """0.1 at first; 0.00100046 at step 9999, as the formula gives; in the script it stays 0.1."""
    rate = train.build_optimizer(REPORT, PAPER)._learning_rate
    assert float(rate(0)) == pytest.approx(0.1)
    assert float(rate(9999)) == pytest.approx(0.00100046, abs=1e-8)
    assert float(train.build_optimizer(AS_RUN, PAPER).learning_rate) == pytest.approx(0.1)
    assert train.choose_rates(REPORT, PAPER) == (1.0,)


def test_draws_are_balanced_with_replacement():
    labels = np.repeat([0, 1, 2], [90, 9, 1])
    candidates = np.r_[np.arange(80), np.arange(90, 100)]
    drawn = train.draw_balanced(candidates, labels, 30000, np.random.default_rng(0))
    assert np.bincount(labels[drawn]) / 30000 == pytest.approx([1 / 3] * 3, abs=0.01)
    assert set(drawn) == set(candidates)
    assert np.bincount(drawn)[:80] == pytest.approx(125, abs=60)
    without = train.draw_balanced(np.arange(99), labels, 1000, np.random.default_rng(0))
    assert set(labels[without]) == {0, 1}  # of a class without candidates nothing is drawn


def test_the_rate_of_lowest_cross_entropy_is_chosen():
    scores = np.array([[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]])
    assert train.choose_rate(scores, np.array([0, 1])) == 1
    assert train.choose_rate(scores, np.array([1, 0])) == 2


def test_initial_weights_are_truncated_normal():
    kernel = models.draw_head(2048, 3, 0.001, seed=0)
    assert np.abs(kernel).max() <= 0.002 + 1e-9
    assert kernel.std() == pytest.approx(0.001, rel=0.15)  # Keras keeps sd of the untruncated one: 0.88 of it


@pytest.mark.parametrize(("backbone", "size"), [(INCEPTION, 768), (MOBILENET, 1280)])
def test_random_backbones_tell_pictures_apart(backbone, size):
    """Without statistics of batch normalisation all pictures would have one and the same bottlenecks."""
    config = replace(DEMO, inceptionv3_end="mixed5", statistics_pictures=8)
    network = models.build_backbone(backbone, config)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 1)).repeat(15, axis=1).repeat(15, axis=2).astype(np.float32)
    found = network.predict(pictures, verbose=0)
    assert found.shape == (4, size)
    assert np.linalg.norm(found, axis=1).min() > 1
    assert np.corrcoef(found)[np.triu_indices(4, 1)].max() < 0.99
    again = models.build_backbone(backbone, config).predict(pictures, verbose=0)
    assert np.array_equal(found, again)
    kernel = np.random.default_rng(1).normal(size=(size, 3))
    cams = map_attention(network, kernel, pictures, [0, 1, 2, 0])
    assert cams.shape == (4, 75, 75)
    assert (cams.min(), cams.max()) == (0, 1) or cams.max() <= 1


def test_a_backbone_takes_grey_levels_as_its_weights_expect():
    """-1..1 in three equal channels; MobileNetV2 at its own side."""
    config = replace(DEMO, side=96, mobilenetv2_side=64)
    network = models.build_backbone(MOBILENET, config)
    (inner,) = (layer for layer in network.layers if isinstance(layer, keras.Model))
    assert inner.input_shape == (None, 64, 64, 3)
    before = keras.Model(network.input, network.get_layer("own_side").output)
    seen = before.predict(np.array([0, 255], np.float32).reshape(2, 1, 1, 1).repeat(96, 1).repeat(96, 2), verbose=0)
    assert seen[0] == pytest.approx(-1, abs=1e-6)
    assert seen[1] == pytest.approx(1, abs=1e-6)


def test_random_is_another_network_than_the_stand_in_of_imagenet():
    """Without ImageNet's weights (trial runs) the report's backbone is random as well, yet not the same."""
    one, other = (
        models.build_backbone(name, replace(DEMO, inceptionv3_end="mixed0")).get_weights()[0] for name in (INCEPTION, RANDOM)
    )
    assert one.shape == other.shape
    assert not np.array_equal(one, other)
