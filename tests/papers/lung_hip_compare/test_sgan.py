"""The semi-supervised GAN: sizes, every equation against NumPy, its updates; two devices as one."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from lung_hip_networks import draw_images, list_sides

from common.errors import UsageError
from common.training import turns
from common.training.batches import feed_batches
from replications.lung_hip_compare import sgan
from replications.lung_hip_compare.config import PAPER

pytestmark = pytest.mark.usefixtures("backend")
SMALL_SGAN = dataclasses.replace(PAPER, sgan_filters=4, learning_rate=1e-3)


@pytest.mark.parametrize(
    ("side", "base", "sides"),
    [
        (50, 0, [14, 28, 56, 50]),
        (50, 13, [13, 26, 52, 52]),
        (128, 0, [32, 64, 128, 128]),
        (256, 0, [64, 128, 256, 256]),
    ],
)
def test_generator_stages(side: int, base: int, sides: list[int]):
    model = sgan.build_generator(side, dataclasses.replace(SMALL_SGAN, sgan_base=base))
    assert list_sides(model, ["reshape", "deconv1", "deconv2", "conv"]) == sides
    assert model.output_shape == (None, side, side, 1)
    images = ops.convert_to_numpy(model(np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32) * 50))
    assert -1 <= images.min() < 0 < images.max() <= 1


def test_sgan_parameters_of_the_paper():
    generator, classifier = sgan.build_generator(50, PAPER), sgan.build_classifier(50, PAPER)
    assert generator.count_params() == 101 * 128 * 14 * 14 + 2 * (16 * 128 * 128 + 128) + 7 * 7 * 128 + 1
    assert classifier.count_params() == (9 + 1) * 128 + 2 * (9 * 128 * 128 + 128) + 7 * 7 * 128 * 2 + 2
    assert list_sides(classifier, ["conv1", "conv2", "conv3"]) == [25, 13, 7]


def test_generator_base_too_small_for_the_side():
    with pytest.raises(UsageError, match="sgan_base 12 makes images of 48, not 50: set it to at least 13"):
        sgan.build_generator(50, dataclasses.replace(SMALL_SGAN, sgan_base=12))


def test_custom_activation_is_z_over_z_plus_one():
    logits = np.random.default_rng(0).normal(0, 3, (50, 3))
    z = np.exp(logits).sum(axis=1)
    probabilities = ops.sigmoid(sgan.unsupervised_logit(logits.astype(np.float32)))
    np.testing.assert_allclose(probabilities[:, 0], z / (z + 1), rtol=1e-5)
    extreme = ops.convert_to_numpy(sgan.unsupervised_logit(np.float32([[500, 0], [-500, -600]])))
    np.testing.assert_array_equal(extreme, [[500], [-500]])  # the exponentials themselves overflow


def test_losses_are_the_formulas_and_stay_finite():
    model = sgan.build_sgan(16, dataclasses.replace(SMALL_SGAN, sgan_dropout=0.0), seed=0)
    images, labels = draw_images(6, 16), np.array([0, 1, 1, 0, 1, 0])
    logits = model.classifier.predict_on_batch(images).astype(np.float64)
    z = np.exp(logits).sum(axis=1)
    chosen = np.exp(logits)[np.arange(6), labels] / z
    assert float(model.classify(images, labels)) == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    real = float(model.discriminate(images, True, "discriminator_real"))
    fake = float(model.discriminate(images, False, "discriminator_fake"))
    assert real == pytest.approx(-np.log(z / (z + 1)).mean(), rel=1e-5)
    assert fake == pytest.approx(-np.log(1 / (z + 1)).mean(), rel=1e-5)
    model.classifier.get_layer("logits").set_weights([np.zeros((16, 2)), np.array([500.0, 0.0])])
    assert float(model.discriminate(images, False, "discriminator_fake")) == pytest.approx(500)


def test_generated_images_have_the_scale_of_the_classifier_input():
    model = sgan.build_sgan(16, SMALL_SGAN, seed=0)
    state = model.noise_state.state.numpy()
    images = ops.convert_to_numpy(model.generate(4))
    model.noise_state.state.assign(state)
    raw = ops.convert_to_numpy(model.generator(model.draw_noise(4)))
    rescale = keras.Model(model.classifier.input, model.classifier.get_layer("rescale").output)
    np.testing.assert_allclose(rescale.predict_on_batch(images), raw, atol=1e-6)
    assert images.min() > 0
    assert images.max() < 255
    assert images.max() > 1


def test_every_update_changes_only_its_own_network():
    model = sgan.build_sgan(16, SMALL_SGAN, seed=0)
    updates = model.list_updates(draw_images(4, 16), np.array([0, 1, 0, 1]), draw_images(4, 16, seed=1))
    networks = [network.name for network, _, _ in updates]
    assert networks == ["classifier", "classifier", "classifier", "generator"]
    used = [model.optimizers.index(optimizer) for _, optimizer, _ in updates]
    assert used == [0, 1, 1, 2]
    for network, optimizer, compute_loss in updates:
        before = {v.path: np.array(v.numpy()) for v in model.trainable_variables}
        slots = {id(o): [np.array(v.numpy()) for v in o.variables] for o in model.optimizers}
        turns.apply_update(network, optimizer, compute_loss)
        changed = {v.path for v in model.trainable_variables if (v.numpy() != before[v.path]).any()}
        assert changed == {v.path for v in network.trainable_variables}
        moved = [
            o for o in model.optimizers if any((v.numpy() != s).any() for v, s in zip(o.variables, slots[id(o)], strict=True))
        ]
        assert moved == [optimizer]


def test_sgan_separates_bright_from_dark_and_predicts_probabilities():
    keras.utils.set_random_seed(0)
    labels = np.arange(80) % 2
    images = np.clip(draw_images(80, 16) // 4 + 120 * labels[:, None, None, None], 0, 255).astype(np.uint8)
    model = sgan.build_sgan(16, SMALL_SGAN, seed=0)
    history = model.fit(feed_batches((images, labels, images), 10), epochs=10, shuffle=False, verbose=0).history
    assert set(history) == {"loss", "accuracy", "discriminator_real", "discriminator_fake", "generator"}
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    scores = model.predict(feed_batches(images, 40), verbose=0)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert (scores.argmax(axis=1) == labels).mean() > 0.95


def test_sgan_goes_on_exactly_from_its_variables():
    from common.training import fit

    arrays = draw_images(20, 16), np.arange(20) % 2, draw_images(20, 16, seed=1)
    keras.utils.set_random_seed(0)
    model = sgan.build_sgan(16, SMALL_SGAN, seed=0)
    model.fit(feed_batches(arrays, 10), shuffle=False, verbose=0)
    state = fit.read_state(model)
    outcomes = []
    for _ in range(2):
        fit.write_state(model, state)
        model.fit(feed_batches(arrays, 10), shuffle=False, verbose=0)
        outcomes.append(fit.read_state(model))
    for first, second in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(v is model.noise_state.state for v in model.variables)


def test_exported_classifier_survives_a_safe_round_trip(tmp_path):
    model = sgan.build_sgan(16, SMALL_SGAN, seed=0)
    images = draw_images(3, 16)
    sgan.export_classifier(model).save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras", safe_mode=True)
    assert loaded.layers[-1].name == "probabilities"
    np.testing.assert_allclose(loaded.predict_on_batch(images), model.predict_on_batch(images), rtol=1e-6)


TWO_DEVICES = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import dataclasses, keras
from common.training import turns
from common.training.batches import feed_batches
from replications.lung_hip_compare import dbn, sgan
from replications.lung_hip_compare.config import PAPER

config = dataclasses.replace(PAPER, sgan_filters=4, sgan_dropout=0.0, learning_rate=1e-3)
generator = np.random.default_rng(0)
images, labels = generator.integers(0, 256, (20, 16, 16, 1), np.uint8), generator.integers(0, 2, 20)
values = generator.random((20, 12), dtype=np.float32)
dbn.sample_bernoulli = lambda probabilities, generator: probabilities  # samples differ between replicas by nature

def train(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        gan, rbm = sgan.build_sgan(16, config, 1), dbn.RBM(12, 5, 3, 1e-2)
        rbm.compile(keras.optimizers.SGD(0.1, momentum=0.5))
        rbm.optimizer.build(rbm.trainable_variables)
    histories = [
        gan.fit(feed_batches((images, labels, images[::-1]), 10), epochs=2, shuffle=False, verbose=0).history,
        rbm.fit(feed_batches((values,), 10), epochs=2, shuffle=False, verbose=0).history,
    ]
    return histories, [v.numpy() for v in gan.variables + rbm.variables]

(one, weights), (two, mirrored) = (
    train(s) for s in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
)
for first, second in zip(one, two):
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-6, err_msg=name)
for first, second in zip(weights, mirrored):
    np.testing.assert_allclose(first, second, atol=1e-5)
print("equal")
"""


def test_two_devices_train_as_one(root):
    command = [sys.executable, "-W", "ignore", "-c", TWO_DEVICES]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]
