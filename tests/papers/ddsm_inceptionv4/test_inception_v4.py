"""InceptionV4: parameters, shapes, names; timm's weights by name, and the same output as an independent computation."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UsageError
from replications.ddsm_inceptionv4.inception_v4 import (
    build_inception_v4,
    list_blocks,
    list_layers,
    load_timm_weights,
    name_in_timm,
    standardise,
)

BLOCKS = (1, 2, 1)


@pytest.fixture(scope="module")
def whole(backend) -> keras.Model:
    return build_inception_v4(size=299)


def test_parameters_and_shapes(whole):
    assert sum(int(np.prod(weight.shape)) for weight in whole.trainable_weights) == 42_679_816
    shapes = {
        name: tuple(whole.get_layer(name).output.shape[1:]) for name in ("stem_d_join", "reduction_a_join", "reduction_b_join")
    }
    assert shapes == {"stem_d_join": (35, 35, 384), "reduction_a_join": (17, 17, 1024), "reduction_b_join": (8, 8, 1536)}
    assert whole.get_layer("pool").output.shape[1:] == (1536,)
    assert [whole.get_layer(name).output.shape[1] for name in ("stem_a_0", "stem_a_1", "stem_a_2")] == [149, 147, 147]
    convolutions = [layer for layer in whole.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 149


def test_every_layer_belongs_to_a_block(whole):
    blocks = list_blocks((4, 7, 3))
    assert len(blocks) == 4 + 7 + 3 + 4
    weighted = [layer.name for layer in whole.layers if layer.weights]
    assert all(name == "softmax" or name.startswith(tuple(f"{block}_" for block in blocks)) for name in weighted)
    last = [name for name in list_layers(whole, "inception_c3", (4, 7, 3)) if name in weighted]
    assert {name.rsplit("_", 2)[0] if not name.endswith("_bn") else name.rsplit("_", 3)[0] for name in last} == {
        "inception_c3",
        "softmax",
    }
    assert len(last) == 2 * 10 + 1  # ten convolutions, their normalisation, the softmax
    assert len(list_layers(whole, "softmax", (4, 7, 3))) == 1


def test_pictures_that_were_scaled_before_are_refused():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 1), np.uint8)
    assert standardise(pictures).shape == (2, 5, 5, 3)
    assert (standardise(pictures).min(), standardise(pictures).max()) >= (-1, -1)
    with pytest.raises(TypeError, match="do not scale them before"):
        standardise(pictures / 255)
    with pytest.raises(ValueError, match="at least 75"):
        build_inception_v4(size=74)


# An independent computation, module by module as timm has them: channels first, "features.N", batch normalisation of its own


class Timm:
    """Forward pass on a dictionary of tensors with timm's names. x: (n, height, width, channels)."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.tensors = tensors

    def conv(self, x, name, stride=1, padding=(0, 0)):
        kernel = self.tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0)
        x = tf.pad(x, [[0, 0], [padding[0]] * 2, [padding[1]] * 2, [0, 0]])
        x = tf.nn.conv2d(x, kernel, stride, "VALID")
        mean, variance, scale, offset = (
            self.tensors[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return tf.nn.relu((x - mean) / np.sqrt(variance + 1e-3) * scale + offset)

    def max(self, x):
        return tf.nn.max_pool2d(x, 3, 2, "VALID")

    def average(self, x):
        """3x3 about every pixel, over the pixels that there are."""
        ones = tf.ones_like(x[..., :1])
        total, count = (tf.nn.avg_pool2d(tf.pad(of, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 1, "VALID") for of in (x, ones))
        return total / count

    def chain(self, x, name, *steps):
        for number, (stride, padding) in steps:
            x = self.conv(x, f"{name}.{number}", stride, padding)
        return x

    def features(self, x, blocks):
        f, same = "features.{}".format, (1, 1)
        x = self.conv(x, f(0), 2)
        x = self.conv(self.conv(x, f(1)), f(2), padding=same)
        x = tf.concat([self.max(x), self.conv(x, f"{f(3)}.conv", 2)], -1)
        chain = partial(self.chain, x)
        one = chain(f"{f(4)}.branch0", (0, (1, (0, 0))), (1, (1, (0, 0))))
        two = chain(f"{f(4)}.branch1", (0, (1, (0, 0))), (1, (1, (0, 3))), (2, (1, (3, 0))), (3, (1, (0, 0))))
        x = tf.concat([one, two], -1)
        x = tf.concat([self.conv(x, f"{f(5)}.conv", 2), self.max(x)], -1)
        at = 6
        for kind, count in zip("aAbBc", (blocks[0], 1, blocks[1], 1, blocks[2]), strict=True):
            for _ in range(count):
                x = getattr(self, {"a": "in_a", "A": "re_a", "b": "in_b", "B": "re_b", "c": "in_c"}[kind])(x, f(at))
                at += 1
        return tf.reduce_mean(x, (1, 2))

    def in_a(self, x, n):
        chain = partial(self.chain, x)
        return tf.concat([
            self.conv(x, f"{n}.branch0"), chain(f"{n}.branch1", (0, (1, (0, 0))), (1, (1, (1, 1)))),
            chain(f"{n}.branch2", (0, (1, (0, 0))), (1, (1, (1, 1))), (2, (1, (1, 1)))),
            self.conv(self.average(x), f"{n}.branch3.1"),
        ], -1)  # fmt: skip

    def re_a(self, x, n):
        steps = ((0, (1, (0, 0))), (1, (1, (1, 1))), (2, (2, (0, 0))))
        return tf.concat([self.conv(x, f"{n}.branch0", 2), self.chain(x, f"{n}.branch1", *steps), self.max(x)], -1)

    def in_b(self, x, n):
        one = ((0, (1, (0, 0))), (1, (1, (0, 3))), (2, (1, (3, 0))))
        two = ((0, (1, (0, 0))), (1, (1, (3, 0))), (2, (1, (0, 3))), (3, (1, (3, 0))), (4, (1, (0, 3))))
        return tf.concat([
            self.conv(x, f"{n}.branch0"), self.chain(x, f"{n}.branch1", *one), self.chain(x, f"{n}.branch2", *two),
            self.conv(self.average(x), f"{n}.branch3.1"),
        ], -1)  # fmt: skip

    def re_b(self, x, n):
        one = ((0, (1, (0, 0))), (1, (2, (0, 0))))
        two = ((0, (1, (0, 0))), (1, (1, (0, 3))), (2, (1, (3, 0))), (3, (2, (0, 0))))
        return tf.concat([self.chain(x, f"{n}.branch0", *one), self.chain(x, f"{n}.branch1", *two), self.max(x)], -1)

    def in_c(self, x, n):
        wide, high = (0, 1), (1, 0)
        one = self.conv(x, f"{n}.branch1_0")
        two = self.conv(x, f"{n}.branch2_0")
        two = self.conv(self.conv(two, f"{n}.branch2_1", padding=high), f"{n}.branch2_2", padding=wide)
        return tf.concat([
            self.conv(x, f"{n}.branch0"), self.conv(one, f"{n}.branch1_1a", padding=wide),
            self.conv(one, f"{n}.branch1_1b", padding=high), self.conv(two, f"{n}.branch2_3a", padding=wide),
            self.conv(two, f"{n}.branch2_3b", padding=high), self.conv(self.average(x), f"{n}.branch3.1"),
        ], -1)  # fmt: skip


def draw_tensors(model: keras.Model, blocks) -> dict[str, np.ndarray]:
    """Random tensors with timm's names and layouts, for every layer of a model."""
    random = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = name_in_timm(layer.name, blocks)
        shape = tuple(layer.weights[0].shape)
        if isinstance(layer, keras.layers.Conv2D):
            found[f"{name}.weight"] = random.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape).transpose(3, 2, 0, 1)
        elif isinstance(layer, keras.layers.Dense):
            found |= {f"{name}.weight": random.normal(0, 0.05, shape[::-1]), f"{name}.bias": random.normal(0, 0.05, shape[1])}
        else:
            found |= {f"{name}.{part}": random.uniform(0.8, 1.2, shape) for part in ("weight", "running_var")}
            found |= {f"{name}.{part}": random.normal(0, 0.1, shape) for part in ("bias", "running_mean")}
            found[f"{name}.num_batches_tracked"] = np.array(1)
    return {name: tensor.astype(np.float32) for name, tensor in found.items()}


@pytest.mark.parametrize(("blocks", "width", "size"), [(BLOCKS, 0.25, 299), ((2, 3, 2), 0.25, 107)])
def test_the_same_output_as_an_independent_computation(backend, tmp_path, blocks, width, size):
    model = build_inception_v4(10, blocks, size, width=width)
    tensors = draw_tensors(model, blocks)
    load_timm_weights(model, tensors, tmp_path / "timm.safetensors", blocks)
    images = standardise(np.random.default_rng(1).integers(0, 256, (2, size, size, 3), np.uint8))
    pooled = Timm(tensors).features(tf.constant(images), blocks)
    logits = np.asarray(pooled) @ tensors["last_linear.weight"].T + tensors["last_linear.bias"]
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.ptp(expected) > 0.01  # else the comparison says nothing
    assert np.abs(np.asarray(model(images)) - expected).max() < 1e-4


def test_a_file_of_another_network_is_refused(backend, tmp_path):
    model = build_inception_v4(10, BLOCKS, 75, width=0.25)
    tensors = draw_tensors(model, BLOCKS)
    path = tmp_path / "timm.safetensors"
    without = {name: tensor for name, tensor in tensors.items() if "features.6.branch0" not in name}
    with pytest.raises(UsageError, match=r"features\.6\.branch0\.\S+, for layer inception_a1_0_0\S*: missing"):
        load_timm_weights(model, without, path, BLOCKS)
    with pytest.raises(UsageError, match="have no layer"):
        load_timm_weights(model, tensors | {"features.99.conv.weight": np.zeros(1)}, path, BLOCKS)
    wrong = tensors | {"features.6.branch0.conv.weight": tensors["features.6.branch0.conv.weight"][:, :-1]}
    with pytest.raises(UsageError, match="shape"):
        load_timm_weights(model, wrong, path, BLOCKS)
    headless = keras.Model(model.input, model.get_layer("pool").output)
    load_timm_weights(headless, tensors, path, BLOCKS)


def test_names_in_timm_are_all_different(whole):
    names = [name_in_timm(layer.name) for layer in whole.layers if layer.weights]
    assert len(names) == len(set(names)) == 299
