"""The losses against their formulas, and what each update of a step changes."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from bone_networks import TINY, draw_pictures
from keras import ops

from common.training import fit, turns
from replications.bone_acgan import acgan

pytestmark = pytest.mark.usefixtures("backend")
STILL = replace(TINY, discriminator_dropout=0.0)
CLASSES = np.array([0, 2, 1, 2])


def build(name: str, config=STILL) -> acgan.ACGAN:
    keras.utils.set_random_seed(0)
    return acgan.build_acgan(name, config, 3, seed=0, jit_compile=False)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_losses_are_those_of_odena():
    """Discriminator: minus the log-likelihoods of source and class (eqs. 2, 3) of both halves; generator: of being taken for
    real, and of its class."""
    model = build("ACGAN")
    pictures = acgan.scale_pictures(draw_pictures(4))
    noise, asked = (np.array(ops.convert_to_numpy(part)) for part in model.draw(4))
    model.draw = lambda count: (noise, asked)
    real, of_real = (np.array(ops.convert_to_numpy(x), np.float64) for x in model.discriminator(pictures, training=True))
    generated = model.generator([noise, asked], training=True)
    fake, of_fake = (np.array(ops.convert_to_numpy(x), np.float64) for x in model.discriminator(generated, training=True))
    source = np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean()
    rows = np.arange(4)
    classes = -log_softmax(of_real)[rows, CLASSES].mean() - log_softmax(of_fake)[rows, asked].mean()
    assert float(model.discriminate(pictures, CLASSES)) == pytest.approx(source + classes, rel=1e-5)
    wanted = np.log1p(np.exp(-fake)).mean() - log_softmax(of_fake)[rows, asked].mean()
    assert float(model.imitate(4)) == pytest.approx(wanted, rel=1e-5)
    shares = {name: float(mean.result()) for name, mean in model.means.items()}
    assert shares["real_found"] == (real > 0).mean()
    assert shares["fake_found"] == (fake < 0).mean()
    assert shares["real_class"] == (of_real.argmax(axis=1) == CLASSES).mean()
    assert shares["fake_class"] == (of_fake.argmax(axis=1) == asked).mean()


def test_pictures_are_scaled_once():
    pictures = draw_pictures(2)
    scaled = ops.convert_to_numpy(acgan.scale_pictures(pictures))
    np.testing.assert_allclose(scaled, pictures / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(acgan.scale_pictures(scaled)), scaled)


@pytest.mark.parametrize("name", list(acgan.BUILDERS))
def test_every_update_trains_one_network_alone(name):
    model = build(name)
    updates = model.list_updates(draw_pictures(4), CLASSES)
    assert [network for network, _, _ in updates] == [model.discriminator, model.generator]
    for network, optimizer, compute_loss in updates:
        before = [np.array(v.numpy()) for v in model.trainable_variables]
        slots = [[np.array(v.numpy()) for v in other.variables] for other in model.optimizers]
        turns.apply_update(network, optimizer, compute_loss)
        changed = {id(v) for v, old in zip(model.trainable_variables, before, strict=True) if (v.numpy() != old).any()}
        assert changed <= {id(v) for v in network.trainable_variables}
        assert len(changed) > 0.9 * len(network.trainable_variables)  # a PReLU may see positive values alone
        for other, old in zip(model.optimizers, slots, strict=True):
            moved = any((v.numpy() != o).any() for v, o in zip(other.variables, old, strict=True))
            assert moved == (other is optimizer)


def test_classes_are_asked_for_with_equal_chance():
    model = build("ACGAN")
    _, asked = model.draw(3000)
    counts = np.bincount(ops.convert_to_numpy(asked), minlength=3)
    assert counts.min() > 900  # 1000 +- 26
    assert any(variable is model.draws.state for variable in model.variables)  # so that resume goes on with the same draws


def test_a_class_without_real_pictures_is_never_asked_for():
    model = acgan.build_acgan("ACGAN", STILL, 4, seed=0, jit_compile=False, known=[0, 2, 3])
    assert np.unique(ops.convert_to_numpy(model.draw(500)[1])).tolist() == [0, 2, 3]
    assert model.discriminator.outputs[1].shape[-1] == 4


@pytest.mark.slow
def test_training_goes_on_exactly_from_its_state():
    model = build("ACGAN", TINY)
    arrays = draw_pictures(8), np.arange(8) % 3

    def train() -> dict[str, list[float]]:
        return model.fit(*arrays, batch_size=4, epochs=1, shuffle=False, verbose=0).history

    assert set(train()) == {"loss", "discriminator", "generator", "real_found", "fake_found", "real_class", "fake_class"}
    state, outcomes = fit.read_state(model), []
    for _ in range(2):
        fit.write_state(model, state)
        train()
        outcomes.append(fit.read_state(model))
    for first, second in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(first, second)
