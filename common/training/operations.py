"""What a network costs, counted from its layers: multiply-adds, weights, and the numbers that it holds for one picture."""

from collections.abc import Iterator, Sequence
from typing import Any

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
    return {node.operation.name: count for node in _list_calls(model) if (count := _count_call(node))}


def _list_calls(model: keras.Model) -> Iterator[Any]:
    """Calls of layers in order, those of nested models in their place."""
    for node in cuts.list_nodes(model):
        if cuts.is_functional(node.operation):
            yield from _list_calls(node.operation)
        else:
            yield node


def _count_call(node: Any) -> int:
    """Multiply-adds of one call, 0 of what is neither a convolution nor dense."""
    layer = node.operation
    turned = isinstance(layer, keras.layers.Conv2DTranspose)  # its kernel is laid on every pixel of what it takes
    if not (turned or isinstance(layer, keras.layers.Dense | keras.layers.Conv2D | keras.layers.DepthwiseConv2D)):
        return 0
    shape = (node.input_tensors if turned else node.outputs)[0].shape[1:]
    return (int(np.prod(shape[:-1])) if len(shape) > 1 else 1) * int(np.prod(layer.weights[0].shape))


def list_parts(model: keras.Model) -> Sequence[keras.Model]:
    """The functional networks of a model: itself, or those that it trains by turns; none where its arithmetic is its own."""
    if cuts.is_functional(model):
        return [model]
    return [part for part in vars(model).values() if cuts.is_functional(part)]


def _list_counts(model: keras.Model) -> list[tuple[keras.Layer, int]]:
    """Layers of all parts of a model in order, each once, with their multiply-adds."""
    calls = [node for part in list_parts(model) for node in _list_calls(part)]
    return list({id(node.operation): (node.operation, _count_call(node)) for node in calls}.values())


def count_forward(model: keras.Model) -> int:
    """Multiply-adds of one picture through all parts of a model; of one without such parts, one a weight of its matrices."""
    if list_parts(model):
        return sum(count for _, count in _list_counts(model))
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
    counts = _list_counts(model)
    if not counts:
        return 3 * count_forward(model)
    first = next((place for place, (layer, _) in enumerate(counts) if getattr(layer, "trainable_weights", ())), len(counts))
    return sum(count for _, count in counts) + 2 * sum(count for _, count in counts[first:])


def count_held(model: keras.Model) -> int:
    """Numbers that the layers give for one picture, which a training step keeps for its way back."""
    return sum(
        int(np.prod([side or 1 for side in tensor.shape[1:]]))
        for part in list_parts(model)
        for node in _list_calls(part)
        for tensor in node.outputs
    )
