"""InceptionV4 (Szegedy et al. 2016, arXiv:1602.07261) in Keras, which has none, and its ImageNet weights from PyTorch's timm.

Useful by itself: `build_inception_v4(classes=1000)` and `load_timm_weights(model, read_torch_file(path), path)` give the network
with the weights of timm's `inception_v4.tf_in1k`, which are those that Google published. Input: RGB in [-1, 1], see
`standardise`. Shapes in comments are those of 299x299 pixels.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers

from common.training.pretrained import copy_torch_weights

EPSILON = 1e-3  # of batch normalisation (TF-slim)
SOFTMAX = "softmax"
LEAST_SIDE = 75  # pixels; below it the last reductions have nothing left
Step = tuple  # (filters, kernel[, strides, padding]) of a convolution
REDUCING = (2, "valid")  # strides and padding


def list_blocks(blocks: Sequence[int]) -> list[str]:
    """Names of the blocks from input to output, the softmax last; every layer's name begins with that of its block.

    >>> list_blocks((1, 2, 1))
    ['stem', 'inception_a1', 'reduction_a', 'inception_b1', 'inception_b2', 'reduction_b', 'inception_c1', 'softmax']
    """
    a, b, c = (
        [f"inception_{letter}{number + 1}" for number in range(count)] for letter, count in zip("abc", blocks, strict=True)
    )
    return ["stem", *a, "reduction_a", *b, "reduction_b", *c, SOFTMAX]


def list_layers(model: keras.Model, first: str, blocks: Sequence[int]) -> list[str]:
    """Names of the layers of a block and of all after it: what is retrained from there on."""
    known = list_blocks(blocks)
    retrained = known[known.index(first) :]
    return [
        layer.name
        for layer in model.layers
        if layer.name == SOFTMAX or layer.name.startswith(tuple(f"{of}_" for of in retrained))
    ]


def standardise(images: np.ndarray) -> np.ndarray:
    """What the network takes: float32 (n, height, width, 3) in [-1, 1], from uint8 (n, height, width, 1 or 3).

    TypeError for anything else than uint8: pictures that were scaled before would pass as nearly black.

    >>> standardise(np.array([[[[0], [255]]]], np.uint8))[0, 0].tolist()
    [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8 in 0..255, got {images.dtype}: do not scale them before")
    colours = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    return colours.astype(np.float32) / np.float32(127.5) - 1


def build_inception_v4(
    classes: int = 1000,
    blocks: Sequence[int] = (4, 7, 3),
    size: int = 299,
    *,
    width: float = 1.0,
    dropout: float = 0.2,
    momentum: float = 0.9997,
    weight_decay: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """RGB float (n, size, size, 3) in [-1, 1] -> probabilities (n, classes).

    blocks: numbers of Inception-A, -B and -C. width: factor on all numbers of filters. dropout: share that is dropped before the
    softmax. momentum: of the moving statistics. weight_decay: as TF-slim counts it, weight_decay / 2 times the sum of the squared
    kernels. seed: of the dropout. With the defaults 42,679,816 trainable parameters. ValueError for sizes below LEAST_SIDE.
    """
    if size < LEAST_SIDE:
        raise ValueError(f"InceptionV4 needs pictures of at least {LEAST_SIDE} pixels, not {size}")
    penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    conv = partial(_convolve, width=width, momentum=momentum, penalty=penalty)
    chain = partial(_chain, conv=conv)
    image = keras.Input((size, size, 3), name="image")
    x = _build_stem(image, conv, chain)  # 35x35x384
    for number in range(blocks[0]):
        x = _build_a(x, f"inception_a{number + 1}", conv, chain)  # 35x35x384
    x = _join(
        "reduction_a",  # 17x17x1024
        conv(x, 384, 3, "reduction_a_0_0", *REDUCING),
        chain(x, [(192, 1), (224, 3), (256, 3, *REDUCING)], "reduction_a_1"),
        layers.MaxPooling2D(3, 2, name="reduction_a_pool")(x),
    )
    for number in range(blocks[1]):
        x = _build_b(x, f"inception_b{number + 1}", conv, chain)  # 17x17x1024
    x = _join(
        "reduction_b",  # 8x8x1536
        chain(x, [(192, 1), (192, 3, *REDUCING)], "reduction_b_0"),
        chain(x, [(256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, *REDUCING)], "reduction_b_1"),
        layers.MaxPooling2D(3, 2, name="reduction_b_pool")(x),
    )
    for number in range(blocks[2]):
        x = _build_c(x, f"inception_c{number + 1}", conv, chain)  # 8x8x1536
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # 1536
    x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
    outputs = layers.Dense(classes, "softmax", kernel_regularizer=penalty, name=SOFTMAX)(x)
    return keras.Model(image, outputs, name="inception_v4")


def _convolve(x, filters, kernel, name, strides=1, padding="same", *, width, momentum, penalty):
    """Convolution without bias, batch normalisation, ReLU."""
    shape = (kernel, kernel) if isinstance(kernel, int) else kernel
    x = layers.Conv2D(
        max(1, int(filters * width)), shape, strides, padding, use_bias=False, kernel_initializer="he_normal",
        kernel_regularizer=penalty, name=name,
    )(x)  # fmt: skip
    x = layers.BatchNormalization(epsilon=EPSILON, momentum=momentum, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _chain(x, steps: Sequence[Step], name: str, *, conv):
    for number, step in enumerate(steps):
        x = conv(x, step[0], step[1], f"{name}_{number}", *step[2:])
    return x


def _join(name: str, *branches):
    return layers.Concatenate(name=f"{name}_join")(list(branches))


def _average(x, name: str):
    """3x3, padded without counting the padding, as TF-slim pools."""
    return layers.AveragePooling2D(3, 1, "same", name=f"{name}_pool")(x)


def _build_stem(x, conv, chain):
    """Fig. 3 of Szegedy et al."""
    x = chain(x, [(32, 3, *REDUCING), (32, 3, 1, "valid"), (64, 3)], "stem_a")  # 149x149x32, 147x147x32, 147x147x64
    x = _join("stem_b", layers.MaxPooling2D(3, 2, name="stem_b_pool")(x), conv(x, 96, 3, "stem_b_1_0", *REDUCING))  # 73x73x160
    x = _join(
        "stem_c",  # 71x71x192
        chain(x, [(64, 1), (96, 3, 1, "valid")], "stem_c_0"),
        chain(x, [(64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, "valid")], "stem_c_1"),
    )
    return _join("stem_d", conv(x, 192, 3, "stem_d_0_0", *REDUCING), layers.MaxPooling2D(3, 2, name="stem_d_pool")(x))


def _build_a(x, name, conv, chain):
    """Fig. 4 of Szegedy et al."""
    return _join(
        name,
        conv(x, 96, 1, f"{name}_0_0"),
        chain(x, [(64, 1), (96, 3)], f"{name}_1"),
        chain(x, [(64, 1), (96, 3), (96, 3)], f"{name}_2"),
        conv(_average(x, name), 96, 1, f"{name}_3_0"),
    )


def _build_b(x, name, conv, chain):
    """Fig. 5 of Szegedy et al."""
    return _join(
        name,
        conv(x, 384, 1, f"{name}_0_0"),
        chain(x, [(192, 1), (224, (1, 7)), (256, (7, 1))], f"{name}_1"),
        chain(x, [(192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))], f"{name}_2"),
        conv(_average(x, name), 128, 1, f"{name}_3_0"),
    )


def _build_c(x, name, conv, chain):
    """Fig. 6 of Szegedy et al.: two branches fork at their end."""
    one = conv(x, 384, 1, f"{name}_1_0")
    two = chain(x, [(384, 1), (448, (3, 1)), (512, (1, 3))], f"{name}_2")
    return _join(
        name,
        conv(x, 256, 1, f"{name}_0_0"),
        conv(one, 256, (1, 3), f"{name}_1_1a"),
        conv(one, 256, (3, 1), f"{name}_1_1b"),
        conv(two, 256, (1, 3), f"{name}_2_3a"),
        conv(two, 256, (3, 1), f"{name}_2_3b"),
        conv(_average(x, name), 256, 1, f"{name}_3_0"),
    )


STEM_IN_TIMM = {
    "stem_a_0": "0", "stem_a_1": "1", "stem_a_2": "2", "stem_b_1_0": "3.conv", "stem_c_0_0": "4.branch0.0",
    "stem_c_0_1": "4.branch0.1", "stem_c_1_0": "4.branch1.0", "stem_c_1_1": "4.branch1.1", "stem_c_1_2": "4.branch1.2",
    "stem_c_1_3": "4.branch1.3", "stem_d_0_0": "5.conv",
}  # fmt: skip


def name_in_timm(layer: str, blocks: Sequence[int] = (4, 7, 3)) -> str:
    """The module of timm that holds a convolution, or its batch normalisation.

    By name: the orders of the layers differ, and ten tensors of equal shape would be exchanged silently.

    >>> name_in_timm("inception_b3_2_4"), name_in_timm("inception_c1_1_1a_bn"), name_in_timm("softmax")
    ('features.13.branch2.4.conv', 'features.19.branch1_1a.bn', 'last_linear')
    """
    if layer == SOFTMAX:
        return "last_linear"
    kind = "bn" if layer.endswith("_bn") else "conv"
    name = layer.removesuffix("_bn")
    if name in STEM_IN_TIMM:
        return f"features.{STEM_IN_TIMM[name]}.{kind}"
    block, branch, step = name.rsplit("_", 2)
    at = 6 + list_blocks(blocks).index(block) - 1
    if block.startswith("inception_c") and branch in "12":
        return f"features.{at}.branch{branch}_{step}.{kind}"
    if branch == "0" and block != "reduction_b":  # one convolution
        return f"features.{at}.branch0.{kind}"
    return f"features.{at}.branch{branch}.{int(step) + (branch == '3')}.{kind}"  # branch 3 begins with the pooling


def load_timm_weights(
    model: keras.Model, tensors: Mapping[str, np.ndarray], path: Path, blocks: Sequence[int] = (4, 7, 3)
) -> None:
    """Fill a network of 1000 classes, or one without its softmax, with the tensors of timm's inception_v4.

    tensors: of `common.training.torch_files.read_torch_file`; path: for messages. Raises UsageError as `copy_torch_weights` does:
    a tensor that is missing, left over or of another shape, another epsilon, values that are not finite.
    """
    names = {layer.name: name_in_timm(layer.name, blocks) for layer in model.layers if layer.weights}
    unused = () if SOFTMAX in names else ("last_linear",)
    copy_torch_weights(model, tensors, names, path, epsilon=EPSILON, unused=unused)
