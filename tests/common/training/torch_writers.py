"""Weight files as torch.save and safetensors write them, made without PyTorch."""

import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file


def make_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {
        "body.0.weight": (8, 4, 3, 3), "body.1.weight": (8,), "body.1.bias": (8,), "body.1.running_mean": (8,),
        "body.1.running_var": (8,), "body.3.weight": (16, 1, 3, 3), "body.3.bias": (16,), "body.4.weight": (12, 4, 3, 3),
        "body.4.bias": (12,), "head.weight": (5, 300), "head.bias": (5,),
    }  # fmt: skip
    tensors = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    tensors["body.1.running_var"] = random.uniform(0.5, 2, 8).astype(np.float32)
    tensors["body.1.num_batches_tracked"] = np.array(7, np.int64)
    return tensors


# --- what torch.save writes: a pickle of protocol 2 in a stored zip archive, values beside it


class Storage:
    def __init__(self, values: np.ndarray):
        self.values = values.ravel()


class Tensor:
    """Laid over a storage, as a state dict holds it. parameter: as in files that keep nn.Parameter."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple, parameter: bool = False):
        self.given, self.parameter = (storage, offset, shape, strides, False, OrderedDict()), parameter

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]
        if self.parameter:
            return rebuild._rebuild_parameter, (Tensor(*self.given[:4]), True, OrderedDict())
        return rebuild._rebuild_tensor_v2, self.given


def lay(values: np.ndarray, parameter: bool = False) -> Tensor:
    strides = tuple(step // values.itemsize for step in np.ascontiguousarray(values).strides) if values.ndim else ()
    return Tensor(Storage(np.ascontiguousarray(values)), 0, values.shape, strides, parameter)


KINDS = {"<f2": "Half", "bfloat16": "BFloat16", "<f4": "Float", "<f8": "Double", "<i8": "Long", "|u1": "Byte"}


def save_torch(path: Path, value, *, claim: int = 0, protocol: int = 2, compression=zipfile.ZIP_STORED, **members) -> Path:
    """Write what torch.save would. claim: elements that every storage claims to have beyond those it has."""
    torch, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in KINDS.values():
        setattr(torch, f"{kind}Storage", type(f"{kind}Storage", (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(inner, name, function)
    torch._utils = inner
    storages: list[Storage] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if not isinstance(thing, Storage):
                return None
            if thing not in storages:
                storages.append(thing)
            dtype = thing.values.dtype
            kind = getattr(torch, KINDS[dtype.name if dtype == ml_dtypes.bfloat16 else dtype.str] + "Storage")
            return "storage", kind, str(storages.index(thing)), "cpu", thing.values.size + claim

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", inner)
        with zipfile.ZipFile(path, "w", compression) as archive:
            with archive.open("archive/data.pkl", "w") as file:
                Pickler(file, protocol).dump(value)
            archive.writestr("archive/byteorder", members.get("byteorder", "little"))
            for number, storage in enumerate(storages):
                if number != members.get("without"):
                    archive.writestr(f"archive/data/{number}", storage.values.tobytes())
            archive.writestr("archive/version", "3\n")
    return path


def make_state(tensors: dict[str, np.ndarray], parameter: bool = False) -> OrderedDict:
    state = OrderedDict((name, lay(values, parameter)) for name, values in tensors.items())
    state._metadata = OrderedDict({"": {"version": 1}, "body.1": {"version": 2}})
    return state


WRITERS = {
    "pth": lambda folder, tensors: save_torch(folder / "net.pth", make_state(tensors)),
    "parameters": lambda folder, tensors: save_torch(folder / "net.pth", make_state(tensors, parameter=True)),
    "state_dict": lambda folder, tensors: save_torch(
        folder / "net.pt",
        {"epoch": 3, "best": 0.5, "state_dict": make_state({f"module.{name}": v for name, v in tensors.items()}),
         "optimizer": {"state": {0: {"step": lay(np.ones(1, np.float32))}}, "groups": [{"lr": 0.1, "on": True, "at": None}]}},
    ),
    "safetensors": lambda folder, tensors: save_file(tensors, folder / "net.safetensors") or folder / "net.safetensors",
}  # fmt: skip
