"""Readers of weight files: HDF5 in both layouts of Keras, .keras archives, PyTorch and safetensors; all without Keras."""

import functools
import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
from reader import Reader
from safetensors.numpy import save_file
from torch_writers import make_state, make_tensors, save_torch

from common.training.formats import name_format
from common.training.keras_files import read_layers
from common.training.torch_files import read_torch_file

SHAPES = {"conv": [(3, 3, 1, 8), (8,)], "dense": [(32, 4), (4,)]}
VALUES = {
    name: [np.random.default_rng(len(name)).normal(size=shape).astype(np.float32) for shape in shapes]
    for name, shapes in SHAPES.items()
}


def write_old(file: h5py.File, **options) -> None:
    """Before Keras 3: a group a layer, whose attributes list its weights."""
    file.attrs["layer_names"] = np.array([name.encode() for name in VALUES])
    file.attrs["backend"] = "tensorflow"
    for name, arrays in VALUES.items():
        group = file.create_group(name)
        group.attrs["weight_names"] = np.array([f"{name}/{part}:0".encode() for part in ("kernel", "bias")])
        for part, values in zip(("kernel", "bias"), arrays, strict=True):
            group.create_dataset(f"{name}/{part}:0", data=values, **options)


def write_new(file: h5py.File, **options) -> None:
    """Since Keras 3: weights by number below `vars`, whose attribute is the layer's name."""
    for name, arrays in VALUES.items():
        group = file.create_group(f"layers/{name}/vars")
        group.attrs["name"] = name
        for number, values in enumerate(arrays):
            group.create_dataset(str(number), data=values, **options)


def write_hdf5(folder: Path, fill, **options) -> Path:
    with h5py.File(folder / "net.h5", "w") as file:
        fill(file, **options)
    return folder / "net.h5"


def write_keras(folder: Path) -> Path:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        write_new(file)
    with zipfile.ZipFile(folder / "net.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", content.getvalue())
    return folder / "net.keras"


def read_keras(path: Path) -> None:
    name_format(path)
    found = read_layers(path, SHAPES)
    assert {name: [values.shape for values in arrays] for name, arrays in found.items()} == SHAPES


def read_torch(path: Path) -> None:
    assert all(np.isreal(values).all() for values in read_torch_file(path).values())


PACKED = {"compression": "gzip", "chunks": True, "shuffle": True}
READERS = {
    "weights: HDF5 of Keras 2": Reader(functools.partial(write_hdf5, fill=write_old), read_keras),
    "weights: HDF5 of Keras 3": Reader(functools.partial(write_hdf5, fill=write_new), read_keras),
    "weights: packed HDF5": Reader(functools.partial(write_hdf5, fill=write_old, **PACKED), read_keras),
    "weights: .keras": Reader(write_keras, read_keras),
    "weights: PyTorch": Reader(lambda folder: save_torch(folder / "net.pth", make_state(make_tensors())), read_torch),
    "weights: safetensors": Reader(
        lambda folder: save_file(make_tensors(), folder / "net.safetensors") or folder / "net.safetensors", read_torch
    ),
}
