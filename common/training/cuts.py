"""Transfer learning: freeze all but the last convolutions, and cut the network there.

Below the freeze boundary a network gives the same activations in every epoch. `split_network` cuts a functional graph there;
feature_cache.py keeps the activations at the cut. A cut further up is computed from a cut further down.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import keras


def list_convolutions(model: keras.Model) -> list[str]:
    """Names of the Conv2D layers from input to output, those of nested models included."""
    return [op.name for op in _list_operations(inline_models(model)) if type(op) is keras.layers.Conv2D]


def freeze_except(model: keras.Model, trained: Collection[str]) -> None:
    """Freeze every layer but those named; compile afterwards.

    A frozen BatchNormalization works in inference mode: neither its statistics nor its scale move. Raises ValueError for a
    name that the model does not have.
    """
    layers = {op.name: op for op in _list_operations(inline_models(model)) if isinstance(op, keras.layers.Layer)}
    if unknown := sorted(set(trained) - layers.keys()):
        raise ValueError(f"{model.name} has no layer {unknown[0]!r}")
    for name, layer in layers.items():
        layer.trainable = name in trained


@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its layers: training `upper` trains the network."""

    names: tuple[str, ...]  # operations whose outputs stand at the cut
    lower: keras.Model  # inputs -> activations at the cut; nothing in it changes in training
    upper: keras.Model  # activations at the cut -> outputs


def split_network(model: keras.Model, *, several: bool = False) -> Cut:
    """Cut a functional network at its freeze boundary, given by `layer.trainable`.

    An operation is live if it owns trainable weights or state that training changes, draws random numbers, or has a live
    input. The constant tensors that live operations take (in residual and inception graphs there are several) are the
    frontier. By default the cut is the last single tensor below it through which every path goes: it needs no more
    memory, and a little is computed again in every step. `several` cuts at the frontier itself.
    Raises ValueError if there is nothing to keep: live operations right at the inputs, or nothing but standardisation below.
    """
    flat = inline_models(model)
    nodes = list_nodes(flat)
    live: set[int] = set()
    for node in nodes:
        if _is_live(node.operation) or any(id(tensor) in live for tensor in node.input_tensors):
            live.update(id(tensor) for tensor in node.outputs)
    wanted = [t for node in nodes if id(node.outputs[0]) in live for t in node.input_tensors] + list(flat.outputs)
    frontier = list({id(tensor): tensor for tensor in wanted if id(tensor) not in live}.values())
    constant = [node for node in nodes if id(node.outputs[0]) not in live]
    tensors = frontier if several else _find_bottleneck(flat, constant, frontier)
    names = {id(tensor): node.operation.name for node in nodes for tensor in node.outputs}
    lower = None
    if tensors and all(id(tensor) in names for tensor in tensors):
        lower = _connect(flat.inputs, tensors, "lower")
    if lower is None or not count_multiplications(lower):
        raise ValueError(f"{model.name}: nothing is frozen at its inputs, so there is nothing to keep")
    return Cut(tuple(names[id(tensor)] for tensor in tensors), lower, _connect(tensors, flat.outputs, "upper"))


def count_multiplications(model: keras.Model) -> int:
    """Multiplications of one forward pass of one image: convolutions and dense layers, which are nearly all."""
    total = 0
    for node in list_nodes(inline_models(model)):
        kernel = getattr(node.operation, "kernel", None)
        if isinstance(node.operation, keras.layers.Layer) and kernel is not None:
            places = node.outputs[0].shape[1:-1]  # of the output map; () for a dense layer on a vector
            total += math.prod(kernel.shape) * math.prod(places)
    return total


def _connect(inputs: list, outputs: list, name: str) -> keras.Model:
    """Functional model between tensors; a single one stands for itself."""
    return keras.Model(*(tensors[0] if len(tensors) == 1 else tensors for tensors in (inputs, outputs)), name=name)


def connect_cuts(model: keras.Model, deeper: Cut, names: Sequence[str]) -> keras.Model:
    """The part of the network between a cut and a later one: activations at `deeper` -> outputs of the operations `names`.

    Raises ValueError where the later tensors do not follow from the deeper ones alone.
    """
    nodes = list_nodes(deeper.upper)
    tensors = {node.operation.name: node.outputs[0] for node in nodes}
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"{model.name}: {missing[0]!r} does not lie above the cut at {', '.join(deeper.names)}")
    return _connect(deeper.upper.inputs, [tensors[name] for name in names], "middle")


def _is_live(operation: keras.Operation) -> bool:
    if not isinstance(operation, keras.layers.Layer):
        return False
    if operation.trainable_weights:
        return True
    if any(isinstance(value, keras.random.SeedGenerator) for value in vars(operation).values()):
        return True
    moving = operation.trainable and operation.non_trainable_weights
    return bool(moving) and not isinstance(operation, keras.layers.Normalization)  # which is fitted before training


def _find_bottleneck(flat: keras.Model, constant: list, frontier: list) -> list:
    """The last constant tensor through which every path from the inputs to the frontier goes; [] if there is none."""
    after: dict[int, list] = {}
    for node in constant:
        for tensor in node.input_tensors:
            after.setdefault(id(tensor), []).extend(node.outputs)
    goals = {id(tensor) for tensor in frontier}

    def separates(barrier: keras.KerasTensor) -> bool:
        stack, seen = [tensor for tensor in flat.inputs if tensor is not barrier], set()
        while stack:
            tensor = stack.pop()
            if id(tensor) in goals and tensor is not barrier:
                return False
            if id(tensor) not in seen:
                seen.add(id(tensor))
                stack += [following for following in after.get(id(tensor), ()) if following is not barrier]
        return True

    return next(([t] for node in reversed(constant) for t in node.outputs if separates(t)), [])


def inline_models(model: keras.Model) -> keras.Model:
    """The same function with the same layers, models inside the model expanded."""
    flat = _connect(model.inputs, model.outputs, model.name)
    if not any(isinstance(operation, keras.Model) for operation in _list_operations(flat)):
        return flat
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in flat.inputs]
    return _connect(inputs, _replay(flat, inputs), model.name)


def _replay(model: keras.Model, inputs: list) -> list:
    """Outputs of every operation of a functional model applied again, nested models expanded.

    A recorded `training` argument is dropped: Keras passes the outer call's on in any case.
    """
    known = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
    for node in list_nodes(model):
        args, kwargs = keras.tree.map_structure(
            lambda value: known[id(value)] if isinstance(value, keras.KerasTensor) else value,
            (node.arguments.args, node.arguments.kwargs),
        )
        operation = node.operation
        if isinstance(operation, keras.Model):
            inner = _connect(operation.inputs, operation.outputs, operation.name)
            results = _replay(inner, keras.tree.flatten(args[0]))
        else:
            results = keras.tree.flatten(operation(*args, **{k: v for k, v in kwargs.items() if k not in ("training", "mask")}))
        known.update({id(old): new for old, new in zip(node.outputs, results, strict=True)})
    return [known[id(tensor)] for tensor in model.outputs]


def is_functional(model: object) -> bool:
    """Whether a model is a graph of layers, not one with arithmetic of its own."""
    return isinstance(model, keras.Model) and hasattr(model, "_nodes_by_depth")


def list_nodes(model: keras.Model) -> list:
    """Calls of operations in topological order. Keras keeps them in a private attribute: it is read in this module alone."""
    depths = model._nodes_by_depth
    return [node for depth in sorted(depths, reverse=True) for node in depths[depth] if not node.is_input]


def _list_operations(model: keras.Model) -> list:
    return list(dict.fromkeys(node.operation for node in list_nodes(model)))
