"""Transfer learning: freeze all but the last convolutions, and never compute a frozen activation twice.

Below the freeze boundary a network gives the same activations in every epoch. `split_network` cuts a functional graph there;
`cache_features` computes the activations at the cut once and keeps them on disk; training the part above on them equals
training the whole network, to the last bit in float32 on one device. A cut further up is computed from a cut further down.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from common.files import hash_file, hold_lock, replace_folder

RECORD = "features.json"
SPARE_BYTES = 2**30  # left free on the disk


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


# ------------------------------------------------------------------------------------------------------------- the cut


@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its layers: training `upper` trains the network."""

    names: tuple[str, ...]  # operations whose outputs stand at the cut
    lower: keras.Model  # inputs -> activations at the cut; nothing in it changes in training
    upper: keras.Model  # activations at the cut -> outputs

    @property
    def bytes_per_image(self) -> int:
        """Size of the activations of one image at the cut, float32."""
        return sum(4 * int(np.prod(tensor.shape[1:])) for tensor in self.lower.outputs)


def split_network(model: keras.Model, *, several: bool = False) -> Cut:
    """Cut a functional network at its freeze boundary, given by `layer.trainable`.

    An operation is live if it owns trainable weights or state that training changes, draws random numbers, or has a live
    input. The constant tensors that live operations take (in residual and inception graphs there are several) are the
    frontier. By default the cut is the last single tensor below it through which every path goes: it needs no more
    memory, and a little is computed again in every step. `several` cuts at the frontier itself.
    Raises ValueError if there is nothing to keep: live operations right at the inputs.
    """
    flat = inline_models(model)
    nodes = _list_nodes(flat)
    live: set[int] = set()
    for node in nodes:
        if _is_live(node.operation) or any(id(tensor) in live for tensor in node.input_tensors):
            live.update(id(tensor) for tensor in node.outputs)
    wanted = [t for node in nodes if id(node.outputs[0]) in live for t in node.input_tensors] + list(flat.outputs)
    frontier = list({id(tensor): tensor for tensor in wanted if id(tensor) not in live}.values())
    constant = [node for node in nodes if id(node.outputs[0]) not in live]
    tensors = frontier if several else _find_bottleneck(flat, constant, frontier)
    names = {id(tensor): node.operation.name for node in nodes for tensor in node.outputs}
    if not tensors or any(id(tensor) not in names for tensor in tensors):
        raise ValueError(f"{model.name}: nothing is frozen at its inputs, so there is nothing to keep")
    return Cut(
        tuple(names[id(tensor)] for tensor in tensors),
        _connect(flat.inputs, tensors, "lower"),
        _connect(tensors, flat.outputs, "upper"),
    )


def _connect(inputs: list, outputs: list, name: str) -> keras.Model:
    """Functional model between tensors; a single one stands for itself."""
    return keras.Model(*(tensors[0] if len(tensors) == 1 else tensors for tensors in (inputs, outputs)), name=name)


def connect_cuts(model: keras.Model, deeper: Cut, names: Sequence[str]) -> keras.Model:
    """The part of the network between a cut and a later one: activations at `deeper` -> outputs of the operations `names`.

    Raises ValueError where the later tensors do not follow from the deeper ones alone.
    """
    nodes = _list_nodes(deeper.upper)
    tensors = {node.operation.name: node.outputs[0] for node in nodes}
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"{model.name}: {missing[0]!r} does not lie above the cut at {', '.join(deeper.names)}")
    return _connect(deeper.upper.inputs, [tensors[name] for name in names], "middle")


def _is_live(operation) -> bool:
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

    def separates(barrier) -> bool:
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
    for node in _list_nodes(model):
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


def _list_nodes(model: keras.Model) -> list:
    """Calls of operations in topological order. Keras keeps them in a private attribute: it is read here alone."""
    depths = model._nodes_by_depth
    return [node for depth in sorted(depths, reverse=True) for node in depths[depth] if not node.is_input]


def _list_operations(model: keras.Model) -> list:
    return list(dict.fromkeys(node.operation for node in _list_nodes(model)))


def count_multiplications(model: keras.Model) -> int:
    """Multiplications of one forward pass of one image: convolutions and dense layers, which are nearly all."""
    total = 0
    for node in _list_nodes(inline_models(model)):
        kernel = getattr(node.operation, "kernel", None)
        if isinstance(node.operation, keras.layers.Layer) and kernel is not None:
            places = node.outputs[0].shape[1:-1]  # of the output map; () for a dense layer on a vector
            total += int(np.prod(kernel.shape)) * int(np.prod(places))
    return total


# ----------------------------------------------------------------------------------------------------------- the cache


@dataclass(frozen=True)
class Features:
    """Activations at a cut, in the order of the images: memory-mapped float32 arrays (n, ...), one for each tensor."""

    arrays: tuple[np.ndarray, ...]
    digest: str  # of all that they depend on

    @property
    def inputs(self) -> np.ndarray | tuple[np.ndarray, ...]:
        """What the part above the cut takes."""
        return self.arrays[0] if len(self.arrays) == 1 else self.arrays


class NoRoomError(Exception):
    """The activations would take more than the cache may; the message says how much and of what."""


def cache_features(
    network: keras.Model, source: np.ndarray | Features, folder: Path, *, batch_size: int, limit_bytes: float
) -> Features:
    """Activations network(source), computed once and kept in `folder`; found there, whole and of the same origin, they are
    not computed again.

    network: the part below a cut (or between two); must not change in training. source: images (n, ...), or the activations
    at a deeper cut. batch_size: that of the training, for equal rounding. limit_bytes: the most that all of `folder` may
    take; older entries give way. An entry is named by the digest of graph, weights, source, batch size and versions; a
    damaged one is computed again. Memory: one batch. Raises NoRoomError, before anything is computed, if it does not fit.
    """
    source_digest = source.digest if isinstance(source, Features) else _hash_array(source)
    inputs = source.arrays if isinstance(source, Features) else (source,)
    count = len(inputs[0])
    key = {
        "graph": _describe_graph(network),
        "weights": _hash_weights(network),
        "source": source_digest,
        "batch_size": batch_size,
        "versions": [keras.__version__, keras.backend.backend(), keras.config.floatx()],
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    entry = folder / digest[:32]
    with hold_lock(folder / f"{entry.name}.lock", wait=True):  # one process computes an entry, the others find it
        if (found := _open_entry(entry, digest, count)) is not None:
            os.utime(entry)
            return Features(found, digest)
        shapes = [(count, *tensor.shape[1:]) for tensor in network.outputs]
        _make_room(folder, sum(4 * int(np.prod(shape)) for shape in shapes), limit_bytes)
        with replace_folder(entry) as partial:
            files = [partial / f"{i:03d}.npy" for i in range(len(shapes))]
            _fill(network, inputs, [_create(file, shape) for file, shape in zip(files, shapes, strict=True)], batch_size)
            record = {"digest": digest, "files": {file.name: hash_file(file) for file in files}}
            (partial / RECORD).write_text(json.dumps(record))
        return Features(tuple(np.load(entry / file.name, mmap_mode="r", allow_pickle=False) for file in files), digest)


def _fill(network: keras.Model, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], batch_size: int) -> None:
    """One pass in batches of one size (the last one padded), so that one graph is traced."""
    count = len(inputs[0])
    for start in range(0, count, batch_size):
        part = [np.asarray(array[start : start + batch_size]) for array in inputs]
        missing = batch_size - len(part[0])
        if missing:
            part = [np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) for values in part]
        results = keras.tree.flatten(network.predict_on_batch(part[0] if len(part) == 1 else tuple(part)))
        for output, result in zip(outputs, results, strict=True):
            output[start : start + batch_size] = np.asarray(result)[: count - start]
    for output in outputs:
        output.flush()


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _open_entry(entry: Path, digest: str, count: int) -> tuple[np.ndarray, ...] | None:
    """Arrays of an entry that is whole and of this origin, else None."""
    try:
        record = json.loads((entry / RECORD).read_text())
        if record["digest"] != digest or any(hash_file(entry / name) != known for name, known in record["files"].items()):
            return None
        arrays = tuple(np.load(entry / name, mmap_mode="r", allow_pickle=False) for name in sorted(record["files"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return arrays if arrays and all(len(array) == count for array in arrays) else None


def _make_room(folder: Path, needed: int, limit_bytes: float) -> None:
    """Remove the entries used longest ago until `needed` more bytes fit; memory-mapped files of others live on unlinked."""
    free = shutil.disk_usage(folder).free - SPARE_BYTES
    entries = sorted((path for path in folder.iterdir() if (path / RECORD).is_file()), key=lambda path: path.stat().st_mtime)
    sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in entries}
    room = min(limit_bytes, free + sum(sizes.values()))
    if needed > room:
        raise NoRoomError(f"activations of {needed / 1e9:.2f} GB for a cache that may take {room / 1e9:.2f} GB")
    while entries and (sum(sizes[entry] for entry in entries) + needed > limit_bytes or needed > free):
        oldest = entries.pop(0)
        free += sizes[oldest]
        shutil.rmtree(oldest, ignore_errors=True)


def _describe_graph(network: keras.Model) -> list:
    """Operations with their settings and which earlier ones they take; names do not count, as Keras numbers some of them."""
    nodes = _list_nodes(network)
    position = {id(tensor): i for i, node in enumerate(nodes) for tensor in node.outputs}
    described = []
    for node in nodes:
        operation = node.operation
        settings = operation.get_config() if isinstance(operation, keras.layers.Layer) else vars(operation)
        settings = {name: repr(value) for name, value in settings.items() if name not in ("name", "trainable") and name[0] != "_"}
        taken = [position.get(id(tensor), -1) for tensor in node.input_tensors]
        arguments = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
        constants = [repr(value) for value in arguments if not isinstance(value, keras.KerasTensor)]
        described.append([type(operation).__name__, sorted(settings.items()), taken, constants])
    return [*described, [position.get(id(tensor), -1) for tensor in network.outputs]]


def _hash_weights(network: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in network.get_weights():
        digest.update(f"{weight.dtype} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


def _hash_array(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    for start in range(0, len(array), 1024):
        digest.update(np.ascontiguousarray(array[start : start + 1024]).data)
    return digest.hexdigest()
