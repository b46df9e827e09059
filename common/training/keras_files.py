"""Keras' weight files read as data: HDF5 in its two layouts, alone or inside a .keras archive; layers of nested models, too.

Nothing that a file names is imported or called, and every size that it claims is checked before arrays are made.
"""

import contextlib
import io
import math
import mmap
import re
import struct
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from common.errors import UsageError
from common.files import check_file
from common.training.formats import name_format
from common.training.torch_files import DAMAGE, shorten_error

HDF5_FILTERS = {1, 2, 3}  # deflate, shuffle, checksum; others would load a plug-in
MAX_DEFLATE = 1032  # the most that deflate can reach
MAX_WEIGHTS = 64  # of a layer
MAX_NAMES = 100_000  # of weights, in a nested model
MEMBER = "model.weights.h5"  # of a .keras archive


def read_layers(
    path: Path, wanted: Mapping[str, Sequence[tuple[int, ...]]], shown: Mapping[str, str] | None = None
) -> dict[str, list]:
    """Weights of the wanted layers of an HDF5 file or .keras archive: layer of the file -> its arrays.

    wanted: layer of the file -> shapes of its weights; shown: what messages add to its name. Raises UsageError where a layer is
    missing in the file, a shape differs, values are not finite, the file is damaged or refers to other files.
    """
    values = {}
    try:
        with open_weights(path) as file:
            found, known = find_layers(file, set(wanted), path)
            for name, shapes in wanted.items():
                where = f"{path}: layer {name}{(shown or {}).get(name, '')}"
                if (items := found.get(name)) is None:
                    raise UsageError(f"{where}: not in the file; {_show_names(known)}")
                if len(items) != len(shapes):
                    counts = f"{len(items)} weights in the file, {len(shapes)} weights in the model"
                    raise UsageError(f"{where}: {counts}: of another network?")
                values[name] = [read_dataset(item, shape, where) for item, shape in zip(items, shapes, strict=True)]
    except DAMAGE as error:
        kind = name_format(path)
        found_out = f"it is {kind}" if kind and "HDF5" not in kind else shorten_error(error)
        raise UsageError(f"{path}: missing, damaged or no HDF5 file: {found_out}") from None
    return values


def _show_names(known: Collection[str]) -> str:
    if not known:
        return "it has no layers with names"
    return f"it has {len(known)} layers: {', '.join(map(repr, sorted(known)[:4]))[:200]}{', ...' * (len(known) > 4)}"


@contextlib.contextmanager
def open_weights(path: Path) -> Iterator[h5py.File]:
    """The HDF5 file at `path`, or in the .keras archive there. Raises what zipfile and h5py raise, ValueError for a damaged heap
    of texts, UsageError for an archive without such a file."""
    check_file(path)
    content = _read_archive(path) if zipfile.is_zipfile(path) else None
    if content is not None:
        _check_heaps(content)
        with h5py.File(io.BytesIO(content), "r") as file:
            yield file
        return
    with open(path, "rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check_heaps(data)
    with h5py.File(path, "r") as file:
        yield file


def _read_archive(path: Path) -> bytes | None:
    """The weights of a .keras archive; None for other archives."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if "config.json" not in members:
            return None
        if MEMBER not in members:
            raise UsageError(f"{path}: a .keras file without {MEMBER}; save the weights alone, as .weights.h5")
        member = members[MEMBER]
        if member.file_size > max(1, member.compress_size) * MAX_DEFLATE or member.compress_size > path.stat().st_size:
            raise ValueError(f"{MEMBER} claims {member.file_size} bytes")
        return archive.read(member)


def _check_heaps(data: bytes | mmap.mmap) -> None:
    """ValueError for a heap of texts whose entries do not add up: the HDF5 library (1.14.6) can read such a one for ever."""
    for start in (found.start() for found in re.finditer(rb"GCOL\x01", data)):
        place, end = start + 16, min(start + int.from_bytes(data[start + 8 : start + 16], "little"), len(data))
        while place + 16 <= end:
            number, size = struct.unpack_from("<H6xQ", data, place)
            step = 16 + (size + 7) // 8 * 8 if number else size  # 0: what is free, its header included
            if not 0 < step <= end - place:
                raise ValueError("a heap of texts that does not add up")
            place += step


def find_layers(file: h5py.File, wanted: Collection[str], path: Path) -> tuple[dict[str, list], set[str]]:
    """Datasets of the wanted layers, in order, as far as the file has them; and the names of all layers with weights.

    Raises UsageError where a link leads elsewhere, two layers have a wanted name, or no layer has a name.
    """
    root = open_item(file, "model_weights", path) or file  # a whole model, or weights alone
    old = "layer_names" in root.attrs or "layer_names0" in root.attrs  # the layout before Keras 3
    return (_find_old if old else _find_new)(root if old else file, wanted, path)


def _find_old(root: h5py.Group, wanted: Collection[str], path: Path) -> tuple[dict[str, list], set[str]]:
    """A group a layer, which lists its weights; a nested model is one layer, whose weights begin with the names of its own."""
    found: dict[str, list] = {}
    for name in wanted:
        if isinstance(group := open_item(root, name, path), h5py.Group):
            weights = _list_old(group, path, name, MAX_WEIGHTS)
            found[name] = [open_item(group, weight, path) for weight in weights]
    if missing := set(wanted) - found.keys():
        for name in root:
            group = open_item(root, name, path)
            if not isinstance(group, h5py.Group) or not ({"weight_names", "weight_names0"} & set(group.attrs)):
                continue
            inner: dict[str, list] = {}
            for weight in _list_old(group, path, name, MAX_NAMES):
                layer = weight.split("/")[-2] if "/" in weight else ""
                if layer in missing:
                    inner.setdefault(layer, []).append(open_item(group, weight, path))
            if double := inner.keys() & found.keys():
                raise UsageError(f"{path}: two layers are called {min(double)!r}: they cannot be told apart")
            found |= inner
    return found, set(root)


def _list_old(group: h5py.Group, path: Path, name: str, most: int) -> list[str]:
    """Names of the weights of a group; long lists are kept in parts."""
    parts = ["weight_names"]
    if "weight_names0" in group.attrs:
        parts = [f"weight_names{number}" for number in range(len(group.attrs)) if f"weight_names{number}" in group.attrs]
    if sum(math.prod(group.attrs.get_id(part).shape or (0,)) for part in parts) > most:  # no layer has so many
        raise UsageError(f"{path}: layer {name}: too many weights: damaged")
    texts = [text for part in parts for text in group.attrs[part]]
    return [text.decode() if isinstance(text, bytes) else text for text in texts]


def _find_new(file: h5py.File, wanted: Collection[str], path: Path) -> tuple[dict[str, list], set[str]]:
    """A group a layer, below those of its model, whose `vars` has the layer's name and its weights by number."""
    found: dict[str, list] = {}
    known: set[str] = set()
    nameless, seen = 0, set()
    waiting: list[h5py.Group] = [file]
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # hard links may lead in a ring
            continue
        seen.add(address)
        for name in group:
            inner = open_item(group, name, path)
            if not isinstance(inner, h5py.Group) or (group == file and name == "optimizer"):
                continue
            waiting.append(inner)
            if name != "vars" or not len(inner):
                continue
            label = inner.attrs.get("name")
            nameless += label is None
            known |= {label} if isinstance(label, str) else set()
            if label in wanted:
                if label in found:
                    raise UsageError(f"{path}: two layers are called {label!r}: they cannot be told apart")
                found[label] = [open_item(inner, str(number), path) for number in range(len(inner))]
    if nameless and not known:
        raise UsageError(
            f"{path}: its {nameless} layers have no names, as early Keras 3 wrote them; save it again with a newer one"
        )
    return found, known


def open_item(group: h5py.Group, name: str, path: Path) -> Any:
    """Group or dataset below a group, or None; UsageError where a link leads elsewhere."""
    for part in filter(None, name.split("/")):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise UsageError(f"{path}: {name[:100]!r} is a link to another place or file; weights must stand in the file itself")
        group = group[part]
    return group


def read_dataset(item: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Values of a dataset, checked before anything is read. Memory: a small multiple of what the model itself takes."""
    if not isinstance(item, h5py.Dataset):
        raise UsageError(f"{where}: a weight is missing in the file")
    if item.is_virtual or item.external:
        raise UsageError(f"{where}: values stand in another file; weights must stand in the file itself")
    if item.dtype.kind not in "fiu":
        raise UsageError(f"{where}: holds {item.dtype}, not numbers")
    if item.shape != shape:
        raise UsageError(f"{where}: shape {item.shape} in the file, {shape} in the model: of another network?")
    plan, stored, chunks = item.id.get_create_plist(), item.id.get_storage_size(), item.chunks or shape
    filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if not filters <= HDF5_FILTERS:
        raise UsageError(f"{where}: compressed in an unknown way; save it without compression or with gzip")
    most = stored * MAX_DEFLATE if 1 in filters else stored
    if any(c > s for c, s in zip(chunks, shape, strict=True)) or not stored <= 2 * item.nbytes + 4096 or most < item.nbytes:
        raise UsageError(f"{where}: claims {item.nbytes} bytes, {stored} are stored: damaged")
    return check_finite(item[()], where)


def check_finite(values: np.ndarray, where: str) -> np.ndarray:
    """The values; UsageError where one is not finite."""
    if not np.isfinite(values).all():
        raise UsageError(f"{where}: values that are not finite: damaged")
    return values
