"""What a network costs, counted from its layers: multiply-adds, weights, and the numbers that it holds for one picture."""

from collections.abc import Sequence

import keras
import numpy as np

from common.training import cuts


def count_operations(model: keras.Model) -> dict[str, int]:
    """Layer -> multiply-adds of one picture, of convolutions and dense layers, in order.

    >>> inputs = keras.Input((8, 8, 1))
    >>> outputs = keras.layers.Dense(2, name="last")(keras.layers.Flatten()(keras.layers.Conv2D(4, 3, name="first")(inputs)))
    >>> count_operations(keras.Model(inputs, outputs))
    {'first': 1296, 'last': 288}
    """
    found: dict[str, int] = {}
    for node in cuts.list_nodes(model):
        layer = node.operation
        if isinstance(layer, keras.Model):
            found |= count_operations(layer)
            continue
        turned = isinstance(layer, keras.layers.Conv2DTranspose)  # its kernel is laid on every pixel of what it takes
        if turned or isinstance(layer, keras.layers.Dense | keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            shape = (node.input_tensors if turned else node.outputs)[0].shape[1:]
            pixels = int(np.prod(shape[:-1])) if len(shape) > 1 else 1
            found[layer.name] = pixels * int(np.prod(layer.weights[0].shape))
    return found


def list_parts(model: keras.Model) -> Sequence[keras.Model]:
    """The functional networks of a model: itself, or those that it trains by turns; none where its arithmetic is its own."""
    if cuts.is_functional(model):
        return [model]
    return [part for part in vars(model).values() if cuts.is_functional(part)]


def count_forward(model: keras.Model) -> int:
    """Multiply-adds of one picture through all parts of a model; of one without such parts, one a weight of its matrices."""
    if parts := list_parts(model):
        return sum(sum(count_operations(part).values()) for part in parts)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights if len(weight.shape) > 1)


def count_step(model: keras.Model) -> int:
    """Multiply-adds of one picture in a training step: forward, and twice as many backward for each layer down to the first that
    is trained.

    >>> inputs = keras.Input((3,))
    >>> model = keras.Model(inputs, keras.layers.Dense(2, name="last")(keras.layers.Dense(4, name="first")(inputs)))
    >>> model.get_layer("first").trainable = False
    >>> count_step(model)
    36
    """
    total = 0
    for part in list_parts(model):
        trained = {layer.name for layer in cuts.inline_models(part).layers if layer.trainable_weights}
        counts = count_operations(part)
        first = next((place for place, name in enumerate(counts) if name in trained), len(counts))
        total += sum(counts.values()) + 2 * sum(list(counts.values())[first:])
    return total or 3 * count_forward(model)


def count_held(model: keras.Model) -> int:
    """Numbers that the layers give for one picture, which a training step keeps for its way back."""
    return sum(
        int(np.prod([side or 1 for side in tensor.shape[1:]]))
        for part in list_parts(model)
        for node in cuts.list_nodes(cuts.inline_models(part))
        for tensor in node.outputs
    )
