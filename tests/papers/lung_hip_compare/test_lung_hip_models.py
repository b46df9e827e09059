"""The four networks of the lung and hip comparison: sizes, shapes, and every equation against NumPy."""

import dataclasses
import itertools
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from common.errors import UsageError
from common.training.batches import feed_batches
from replications.lung_hip_compare import dbn, models, sgan
from replications.lung_hip_compare.config import IMAGENET_FILE, IMAGENET_MD5, PAPER, SMOKE

pytestmark = pytest.mark.usefixtures("backend")

SMALL_RESNET = dataclasses.replace(PAPER, resnet_width=4, resnet_blocks=(1, 2, 1, 1))
SMALL_SGAN = dataclasses.replace(PAPER, sgan_filters=4, learning_rate=1e-3)


def draw_images(count: int, side: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def list_sides(model: keras.Model, names: list[str]) -> list[int]:
    return [model.get_layer(name).output.shape[1] for name in names]


# CNN


def test_cnn_has_the_parameters_of_the_paper_at_50_pixels():
    assert models.build_cnn(50, PAPER).count_params() == 454_146


@pytest.mark.parametrize(
    ("side", "sides"),
    [
        (50, [25, 13, 7, 4, 2, 1, 1, 1]),
        (128, [64, 32, 16, 8, 4, 2, 1, 1]),
        (256, [128, 64, 32, 16, 8, 4, 2, 1]),
    ],
)
def test_cnn_stages(side: int, sides: list[int]):
    model = models.build_cnn(side, PAPER)
    assert list_sides(model, [f"{kind}{n}" for n in (1, 2, 3, 4) for kind in ("conv", "pool")]) == sides
    assert model.get_layer("fc1").output.shape == (None, 256)
    assert model.layers[-1].name == "probabilities"


def test_rescaling_is_inside_the_networks():
    for build in (models.build_cnn, models.build_resnet50, dbn.build_dbn):
        model = build(16, SMOKE)
        rescale = keras.Model(model.inputs, model.get_layer("rescale").output)
        white = rescale.predict_on_batch(np.full((1, 16, 16, 1), 255, np.uint8))
        np.testing.assert_allclose(white, 1, rtol=1e-6)
        scores = model.predict_on_batch(draw_images(3, 16))
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_builders_follow_the_global_seed():
    for build in (models.build_cnn, models.build_resnet50, dbn.build_dbn, sgan.build_classifier, sgan.build_generator):
        weights = []
        for seed in (1, 1, 2):
            keras.utils.set_random_seed(seed)
            weights.append(np.concatenate([w.ravel() for w in build(16, SMOKE).get_weights()]))
        np.testing.assert_array_equal(weights[0], weights[1])
        assert np.abs(weights[0] - weights[2]).max() > 0


# ResNet-50


@pytest.mark.parametrize(
    ("side", "sides", "flat", "parameters"),
    [
        (50, [25, 13, 13, 7, 4, 2, 1], 2048, 23_585_538),
        (128, [64, 32, 32, 16, 8, 4, 2], 8192, 23_597_826),
        (256, [128, 64, 64, 32, 16, 8, 4], 32768, 23_646_978),
    ],
)
def test_resnet50_stages_and_parameters(side: int, sides: list[int], flat: int, parameters: int):
    model = models.build_resnet50(side, PAPER)
    blocks = ["conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]
    assert list_sides(model, ["conv1_conv", "pool1_pool", *blocks, "avg_pool"]) == sides
    assert model.get_layer("flatten").output.shape == (None, flat)
    assert model.count_params() == parameters
    # keras.applications: 23,587,712 without top; one input channel of the 7x7 stem instead of three; 2 classes
    assert parameters == 23_587_712 - 2 * 7 * 7 * 64 + 2 * flat + 2


def test_resnet50_blocks_are_those_of_keras_applications():
    ours = models.build_resnet50(32, PAPER, channels=3)
    theirs = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))

    def describe(model: keras.Model) -> dict:
        found = {}
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                found[layer.name] = (layer.kernel.shape, layer.strides, layer.use_bias, layer.output.shape)
            if isinstance(layer, keras.layers.BatchNormalization):
                found[layer.name] = (layer.epsilon, layer.momentum)
        return found

    assert describe(ours) == describe(theirs)
    assert len([v for v in describe(ours).values() if len(v) == 4]) == 53  # 49 on the main path, 4 shortcuts


def test_resnet50_as_written_keeps_the_side_in_every_stage():
    written = dataclasses.replace(SMALL_RESNET, resnet_strides="as_written")
    model = models.build_resnet50(128, written)
    assert list_sides(model, [f"conv{n}_block1_out" for n in (2, 3, 4, 5)]) == [32, 32, 32, 32]
    assert model.get_layer("avg_pool").output.shape == (None, 16, 16, 128)


def test_resnet50_global_pooling_and_unknown_settings():
    pooled = models.build_resnet50(64, dataclasses.replace(SMALL_RESNET, resnet_pooling="global"))
    assert pooled.get_layer("avg_pool").output.shape == (None, 128)
    with pytest.raises(UsageError, match="resnet_strides = 'two': choose one of standard, as_written"):
        models.build_resnet50(64, dataclasses.replace(SMALL_RESNET, resnet_strides="two"))


def test_bottleneck_adds_before_the_last_activation():
    model = models.build_resnet50(32, SMALL_RESNET)
    block = "conv3_block2"
    parts = [model.get_layer(name).output for name in ("conv3_block1_out", f"{block}_3_bn", f"{block}_out")]
    before, residual, after = keras.Model(model.inputs, parts).predict_on_batch(draw_images(2, 32))
    np.testing.assert_allclose(after, np.maximum(before + residual, 0), rtol=1e-6)


def test_he_initialisation():
    keras.utils.set_random_seed(0)
    kernel = models.build_resnet50(32, PAPER).get_layer("conv5_block1_2_conv").kernel
    assert np.std(ops.convert_to_numpy(kernel)) == pytest.approx(np.sqrt(2 / (9 * 512)), rel=0.01)


def write_applications_file(model: keras.Model, path) -> None:
    """The layout of the weight files of keras.applications: a group a layer, names in attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{w.name}:0" for w in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=values)


def test_imagenet_weights_give_the_outputs_of_keras_applications(tmp_path):
    keras.utils.set_random_seed(3)
    theirs = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in theirs.layers:  # values of a trained network: no zero bias, no unit variance
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma * 0.7, beta + 0.1, mean - 0.2, variance * 1.5])
    write_applications_file(theirs, tmp_path / "weights.h5")
    config = dataclasses.replace(PAPER, resnet_weights="imagenet")
    for channels in (1, 3):
        ours = models.build_resnet50(32, config, channels=channels)
        models.load_imagenet(ours, tmp_path / "weights.h5")
        images = draw_images(2, 32, channels)
        colour = np.broadcast_to(images, (2, 32, 32, 3)).astype(np.float32)
        expected = theirs.predict_on_batch(keras.applications.resnet50.preprocess_input(colour.copy()))
        features = keras.Model(ours.inputs, ours.get_layer("conv5_block3_out").output).predict_on_batch(images)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * expected.max())
        assert expected.max() > 0


def test_imagenet_weights_that_cannot_be_had_say_what_to_do(tmp_path, monkeypatch):
    config = dataclasses.replace(SMALL_RESNET, resnet_weights="imagenet")
    model = models.build_resnet50(32, config)
    four_steps = rf"{IMAGENET_FILE} from https://.*MD5 {IMAGENET_MD5}.* into .*models"
    with pytest.raises(UsageError, match="no such file; get " + four_steps):
        models.load_imagenet(model, tmp_path / "missing.h5")
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(UsageError, match="not the weights of ResNet50 without top; get " + four_steps):
        models.load_imagenet(model, tmp_path / "damaged.h5")
    with pytest.raises(UsageError, match="built for random weights"):
        models.load_imagenet(models.build_resnet50(32, SMALL_RESNET), tmp_path / "missing.h5")

    def fail(*_, **__):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(UsageError, match="cannot be downloaded; get " + four_steps):
        models.load_imagenet(model, None)


def test_imagenet_weights_fit_only_the_full_width(tmp_path):
    full = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    write_applications_file(full, tmp_path / "weights.h5")
    narrow = models.build_resnet50(32, dataclasses.replace(SMALL_RESNET, resnet_weights="imagenet"))
    with pytest.raises(UsageError, match="fit only a ResNet-50 of width 64"):
        models.load_imagenet(narrow, tmp_path / "weights.h5")


# DBN


def build_rbm(visible: int = 6, hidden: int = 4, weight_decay: float = 0.0) -> dbn.RBM:
    rbm = dbn.RBM(visible, hidden, seed=5, weight_decay=weight_decay)
    generator = np.random.default_rng(1)
    rbm.set_weights([generator.normal(0, 0.5, w.shape) if w.dtype == np.float32 else w for w in rbm.get_weights()])
    return rbm


def test_free_energy_is_the_sum_over_all_hidden_states():
    rbm = build_rbm(visible=5, hidden=4)
    visible = np.random.default_rng(2).random((3, 5), dtype=np.float32)
    energies = [
        ops.convert_to_numpy(dbn.compute_energy(rbm, visible, np.tile(np.float32(state), (3, 1))))
        for state in itertools.product((0, 1), repeat=4)
    ]
    expected = -np.log(np.exp(-np.array(energies, np.float64)).sum(axis=0))
    np.testing.assert_allclose(dbn.free_energy(rbm, visible), expected, rtol=1e-5)


def test_energy_is_equation_3():
    rbm = build_rbm(visible=3, hidden=2)
    W, a, b = (ops.convert_to_numpy(w).astype(float) for w in (rbm.W, rbm.a, rbm.b))
    v, h = np.array([0.2, 1.0, 0.5]), np.array([1.0, 0.0])
    expected = -sum(W[i, j] * h[j] * v[i] for i in range(3) for j in range(2)) - a @ v - b @ h
    energy = dbn.compute_energy(rbm, v[None].astype(np.float32), h[None].astype(np.float32))
    assert float(energy[0]) == pytest.approx(expected, rel=1e-6)


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


# SGAN


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
    probabilities = sgan.unsupervised_probability(logits.astype(np.float32))
    np.testing.assert_allclose(probabilities, z / (z + 1), rtol=1e-5)
    extreme = ops.convert_to_numpy(sgan.unsupervised_probability(np.float32([[500, 0], [-500, -600]])))
    np.testing.assert_array_equal(extreme, [1, 0])  # the exponentials themselves overflow


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
        sgan.apply_update(network, optimizer, compute_loss)
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
