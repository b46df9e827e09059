"""Never compute a frozen activation twice.

`cache_features` computes the activations at a cut once and keeps them on disk; training the part above on them equals
training the whole network, to the last bit in float32 on one device. A cut further up is computed from a cut further down.
"""

import contextlib
import fcntl
import gc
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from common.errors import UsageError
from common.files import LEFTOVER, check_file, clear_leftovers, hash_file, hold_lock, replace_folder
from common.training.cuts import list_nodes

RECORD = "features.json"
SPARE_BYTES = 2**30  # left free on the disk


@dataclass(frozen=True)
class Features:
    """Activations at a cut, in the order of the images: memory-mapped float32 arrays (n, ...), one for each tensor."""

    arrays: tuple[np.ndarray, ...]
    digest: str  # of all that they depend on
    held: Any = field(default=None, repr=False, compare=False)  # open file: as long as it lives the entry does not give way

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
    at a deeper cut. batch_size: that of the training, for equal rounding. limit_bytes: the most that all of `folder` may take,
    mapped entries included; older entries give way, but for those that a living process has open. An entry is named by the
    digest of graph, weights, source, batch size and versions; a damaged one is computed again. Memory: one batch. Raises
    NoRoomError, before anything is computed, if it does not fit.
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
            return found
        shapes = [(count, *tensor.shape[1:]) for tensor in network.outputs]
        _make_room(folder, sum(4 * int(np.prod(shape)) for shape in shapes), limit_bytes)
        with replace_folder(entry) as partial:
            files = [partial / f"{i:03d}.npy" for i in range(len(shapes))]
            _fill(network, inputs, [_create(file, shape) for file, shape in zip(files, shapes, strict=True)], batch_size)
            record = {"digest": digest, "files": {file.name: hash_file(file) for file in files}}
            (partial / RECORD).write_text(json.dumps(record))
        arrays = tuple(np.load(entry / file.name, mmap_mode="r", allow_pickle=False) for file in files)
        return Features(arrays, digest, _hold_entry(entry))


def measure_activations(network: keras.Model, count: int) -> int:
    """Bytes that the outputs of `network` for `count` images take on disk."""
    return count * sum(4 * int(np.prod(tensor.shape[1:])) for tensor in network.outputs)


def measure_room(folder: Path, limit_bytes: float) -> float:
    """The most bytes that the entries of a cache may take: the limit, or less where the disk is smaller."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = sum(_measure(path) for path in folder.iterdir() if path.is_dir())
    return max(0.0, min(limit_bytes, shutil.disk_usage(folder).free - SPARE_BYTES + taken))


def _fill(network: keras.Model, inputs: Sequence[np.ndarray], outputs: Sequence[np.memmap], batch_size: int) -> None:
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


def _hold_entry(entry: Path) -> IO:
    """The entry's record, opened and locked with all others that use it; the kernel frees it with the process."""
    file = open(entry / RECORD)  # noqa: SIM115  # it stays open as long as its Features
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _open_entry(entry: Path, digest: str, count: int) -> Features | None:
    """An entry that is whole and of this origin, else None."""
    try:
        check_file(entry / RECORD)
        held = _hold_entry(entry)
        record = json.loads((entry / RECORD).read_text())
        if record["digest"] != digest or any(hash_file(entry / name) != known for name, known in record["files"].items()):
            return None
        arrays = tuple(np.load(entry / name, mmap_mode="r", allow_pickle=False) for name in sorted(record["files"]))
    except (UsageError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Features(arrays, digest, held) if arrays and all(len(array) == count for array in arrays) else None


def _make_room(folder: Path, needed: int, limit_bytes: float) -> None:
    """Remove the entries used longest ago until `needed` more bytes fit. Those that are open stay: unlinked, they would take
    their bytes until they are closed, beyond the limit and uncounted."""
    gc.collect()  # what only a cycle still holds is not in use
    limit_bytes -= _clear_unfinished(folder)
    free = shutil.disk_usage(folder).free - SPARE_BYTES
    with contextlib.ExitStack() as stack:
        idle = []
        for entry in sorted((path for path in folder.iterdir() if (path / RECORD).is_file()), key=lambda p: p.stat().st_mtime):
            file = stack.enter_context(open(entry / RECORD))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                idle.append(entry)
            except BlockingIOError:
                limit_bytes -= _measure(entry)
        sizes = {entry: _measure(entry) for entry in idle}
        room = min(limit_bytes, free + sum(sizes.values()))
        if needed > room:
            raise NoRoomError(f"activations of {needed / 1e9:.2f} GB for a cache that may take {max(room, 0) / 1e9:.2f} GB")
        while idle and (sum(sizes[entry] for entry in idle) + needed > limit_bytes or needed > free):
            oldest = idle.pop(0)
            free += sizes[oldest]
            shutil.rmtree(oldest, ignore_errors=True)


def _clear_unfinished(folder: Path) -> int:
    """Remove what killed processes left of any entry; returns the bytes of those that are being computed."""
    found = [match for path in folder.iterdir() if (match := LEFTOVER.fullmatch(path.name))]
    for name in {match["name"] for match in found}:
        with contextlib.suppress(UsageError), hold_lock(folder / f"{name}.lock", wait=False):  # held: someone computes it
            clear_leftovers(folder / name)
    return sum(_measure(folder / match.string) for match in found)


def _measure(folder: Path) -> int:
    """Bytes of the files in a folder; 0 if it is gone."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0


def _describe_graph(network: keras.Model) -> list:
    """Operations with their settings and which earlier ones they take; names do not count, as Keras numbers some of them."""
    nodes = list_nodes(network)
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
