"""Generators and discriminators: shapes, parameters, what the class does, and what the second stage takes over."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from bone_networks import TINY
from keras import ops

from common.errors import UsageError
from replications.bone_acgan import gan_networks as networks
from replications.bone_acgan.config import PAPER

pytestmark = pytest.mark.usefixtures("backend")


def count_trainable(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def count_attention(c: int) -> int:
    narrow = max(8, c // 16)
    return c * narrow + 2 * narrow + 2 * (narrow * c + c)


def count_dense_block(c: int, given: int, norm: bool = True) -> int:
    convolutions = 3 * (9 * c * c + (0 if norm else c)) + sum((n + 1) * c * c + c for n in (1, 2, 3))
    return (given * c + c) * (given != c) + convolutions + 3 * (3 if norm else 1) * c + count_attention(c)


def count_gate(given: int, c: int) -> int:
    return count_attention(given) + given * c + 3 * c


@pytest.mark.slow
def test_parameters_of_mu_acgan():
    """By the formulas of the blocks; most of them stand in the dense layer to all four scales."""
    widths, sides = PAPER.channels, [(192 >> level) * (64 >> level) for level in range(4)]
    seeds = sum(151 * side * c for side, c in zip(sides, widths, strict=True))
    blocks = (
        count_dense_block(32, 32)
        + sum(count_dense_block(c, c) for c in widths[1:])
        + sum(count_dense_block(c, c) for c in widths[:3])
    )
    gates = sum(count_gate(a + b, b) for a, b in ((32, 64), (64, 128), (128, 256)))
    gates += sum(count_gate(a + b, b) for a, b in ((256, 128), (128, 64), (64, 32)))
    generator = networks.build_mu_generator(PAPER, 3)
    assert count_trainable(generator) == 3 * 50 + seeds + blocks + gates + 33 == 115_542_215
    assert seeds > 0.96 * 115_542_215
    discriminator = networks.build_mu_discriminator(PAPER, 3)
    halved = 24 * 8 * 128
    blocks = count_dense_block(32, 1) + count_dense_block(64, 32) + count_dense_block(128, 64)
    downs = sum(9 * c * c + c for c in (32, 64, 128))
    assert count_trainable(discriminator) == blocks + downs + (halved + 1) * 4 == 1_085_268


@pytest.mark.parametrize("name", ["mu", "plain"])
def test_pictures_follow_noise_and_class_and_keep_to_the_range(name):
    build = {"mu": networks.build_mu_generator, "plain": networks.build_plain_generator}[name]
    keras.utils.set_random_seed(0)
    generator = build(TINY, 3)
    noise = np.random.default_rng(0).normal(size=(1, TINY.noise)).astype(np.float32).repeat(3, axis=0)
    pictures = ops.convert_to_numpy(generator([5 * noise, np.arange(3)]))
    assert pictures.shape == (3, 24, 16, 1)
    assert np.abs(pictures).max() <= 1
    spread = np.abs(pictures - pictures[:1]).mean(axis=(1, 2, 3))
    assert spread[0] == 0
    assert spread[1:].min() > 1e-4  # the same noise, another class
    with pytest.raises(UsageError, match="30x16 cannot be halved 2 times: multiples of 4 can"):
        build(replace(TINY, height=30), 3)


@pytest.mark.parametrize("name", ["mu", "plain"])
def test_discriminator_has_two_heads(name):
    build = {"mu": networks.build_mu_discriminator, "plain": networks.build_plain_discriminator}[name]
    real, classes = build(TINY, 4)(np.zeros((2, 24, 16, 1), np.float32))
    assert (real.shape, classes.shape) == ((2, 1), (2, 4))


def test_without_norm_only_the_attention_normalises():
    kept = networks.build_mu_discriminator(replace(TINY, discriminator_norm=False), 3)
    assert not [layer for layer in kept.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [layer for layer in kept.layers if type(layer).__name__ == "CoordinateAttention"]


def test_second_stage_takes_over_all_but_the_classes():
    keras.utils.set_random_seed(1)
    for build, own in (
        (networks.build_mu_generator, {"class_embedding"}),
        (networks.build_mu_discriminator, {"class_logits"}),
        (networks.build_plain_generator, {"class_embedding"}),
        (networks.build_plain_discriminator, {"class_logits"}),
    ):
        source, target = build(TINY, 4), build(TINY, 3)
        before = {layer.name: layer.get_weights() for layer in target.layers}
        networks.copy_domain(source, target)
        for layer in target.layers:
            expected = before[layer.name] if layer.name in own else source.get_layer(layer.name).get_weights()
            for found, wanted in zip(layer.get_weights(), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)
        assert own <= {layer.name for layer in target.layers if layer.weights}
    with pytest.raises(ValueError, match="shape"):
        networks.copy_domain(networks.build_plain_generator(replace(TINY, noise=7), 4), networks.build_plain_generator(TINY, 3))
