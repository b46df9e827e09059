"""Weights that PyTorch wrote, as NumPy arrays, without PyTorch: .safetensors, and .pth or .pt of torch.save since 1.6.

A weight file comes from elsewhere and is only data: nothing that it names is imported or called, and sizes that it claims are
checked before arrays are made.
"""

import math
import pickletools
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes  # with it NumPy and safetensors know bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open

from common.errors import UsageError, to_one_line
from common.files import check_file
from common.training.formats import name_format

NOT_TORCH = (
    "an HDF5",
    "a whole model of Keras",
    "a web page",
    "a pointer",
    "a TorchScript",
    "NumPy",
    "a NumPy",
    "an empty",
    "a Saved",
)
MAX_PICKLE_BYTES = 16 << 20  # names and shapes of tensors only; their values stand beside it
# What the readers of these formats raise on damaged files.
DAMAGE = (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, EOFError, SafetensorError,
          zipfile.BadZipFile)  # fmt: skip


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a PyTorch weight file by name, read-only: float16, bfloat16, float32, float64 or int64.

    .safetensors, or what torch.save writes since version 1.6 (a zip archive; .pth, .pt). A state dict may lie under
    "state_dict" or "model"; what wrappers put before the names is taken off (`unwrap_names`). Raises UsageError for older
    formats, damaged files, and anything but tensors and plain containers (the message names it).
    """
    kind = name_format(path)
    try:
        check_file(path)
        if kind.startswith(NOT_TORCH):
            raise UsageError(f"{path}: not what PyTorch writes, but {kind}")
        safe = path.suffix == ".safetensors" or kind == "a safetensors file"
        tensors = _read_safetensors(path) if safe else _read_torch_zip(path)
    except DAMAGE as error:
        raise UsageError(f"{path}: missing, damaged or not what PyTorch writes: {shorten_error(error)}") from None
    if not tensors:
        raise UsageError(f"{path}: no tensors in the file")
    names = unwrap_names(list(tensors))
    if len(set(names)) != len(names):
        raise UsageError(f"{path}: two networks in one file, one of them compiled; save the state_dict() of one")
    return dict(zip(names, tensors.values(), strict=True))


def unwrap_names(names: list[str]) -> list[str]:
    """Names of tensors without what wrappers add: "_orig_mod." of torch.compile, wherever it stands; "module." of DataParallel,
    where all names begin with it.

    >>> unwrap_names(["module._orig_mod.conv.weight", "module._orig_mod.norm.bias"])
    ['conv.weight', 'norm.bias']
    >>> unwrap_names(["body._orig_mod.0.weight", "module.bias"])
    ['body.0.weight', 'module.bias']
    """
    names = [re.sub(r"(?:(?<=^)|(?<=\.))_orig_mod\.", "", name) for name in names]
    while names and all(name.startswith("module.") for name in names):
        names = [name.removeprefix("module.") for name in names]
    return names


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    tensors = {}
    with safe_open(path, framework="numpy") as file:  # compares what the header claims with the file
        for name in file.keys():  # noqa: SIM118  (the reader is no mapping)
            kind = file.get_slice(name).get_dtype()
            if kind not in ("F16", "BF16", "F32", "F64", "I64"):
                raise UsageError(f"{path}: tensor {name[:100]!r} has the type {kind}, which is not read")
            tensors[name] = file.get_tensor(name)
            tensors[name].flags.writeable = False
    return tensors


# All that data.pkl may name, and what stands for it here.
GLOBALS = {
    "collections OrderedDict": dict,
    "torch._utils _rebuild_tensor_v2": "tensor",
    "torch._utils _rebuild_parameter": "parameter",
    "torch HalfStorage": np.dtype("<f2"), "torch FloatStorage": np.dtype("<f4"), "torch DoubleStorage": np.dtype("<f8"),
    "torch LongStorage": np.dtype("<i8"), "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
}  # fmt: skip
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip


def _read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        if file.read(4) != b"PK\3\4":
            raise UsageError(
                f"{path}: no zip archive, so a PyTorch file from before version 1.6 or something else; convert it where "
                "PyTorch is: torch.save(torch.load(OLD, map_location='cpu', weights_only=True), NEW)"
            )
    with zipfile.ZipFile(path) as archive:
        return _read_archive(archive, path)


def _read_archive(archive: zipfile.ZipFile, path: Path) -> dict[str, np.ndarray]:
    members = {member.filename: member for member in archive.infolist()}
    total, size = sum(member.file_size for member in members.values()), path.stat().st_size
    if total > size or any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise UsageError(f"{path}: compressed, or claims {total} bytes in a file of {size}; torch.save writes no such file")
    pickles = [name for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1 or members[pickles[0]].file_size > MAX_PICKLE_BYTES:
        raise UsageError(f"{path}: no tensors of PyTorch: {len(pickles)} members data.pkl, or one that is too large")
    folder = pickles[0].removesuffix("data.pkl")
    if folder + "byteorder" in members and archive.read(folder + "byteorder") != b"little":
        raise UsageError(f"{path}: written on a machine of another byte order; save it again on a common one")
    contents: dict[str, bytes] = {}

    def open_storage(key: str, dtype: np.dtype, size: int) -> np.ndarray:
        if key not in contents:
            contents[key] = archive.read(f"{folder}data/{key}")
        return np.ndarray(size, dtype, contents[key])  # ValueError, TypeError where fewer bytes are there

    root = _interpret(archive.read(pickles[0]), path, open_storage)
    inner = next((root[key] for key in ("state_dict", "model") if isinstance(root.get(key), dict)), root)
    for name, values in inner.items():
        if not isinstance(name, str) or not isinstance(values, np.ndarray):
            raise UsageError(f"{path}: {str(name)[:100]!r} is no tensor; save the network's state_dict() alone")
    return inner


def _view_storage(values: np.ndarray, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
    """A tensor as a view of its storage: thousands of tensors over one storage take no memory."""
    whole = values.ndim == 1 and values.flags.c_contiguous
    if not whole or not all(type(number) is int for number in (offset, *shape, *strides)):
        raise ValueError("a tensor that is not laid over a storage")
    count, outermost = math.prod(shape), sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or count > len(values) or (count and offset + outermost >= len(values)):
        raise ValueError(f"a tensor of shape {shape}, strides {strides} over {len(values)} values")
    steps = tuple(stride * values.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False)


def _interpret(data: bytes, path: Path, open_storage: Callable[[str, np.dtype, int], np.ndarray]) -> dict:
    """The dictionary that data.pkl describes, by the few operations that torch.save needs for it.

    Nothing is imported: names of globals are looked up in GLOBALS, and nothing else is known.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def pop(count: int | None = None) -> list:
        """Take the last items of the stack; without a count those since the last mark."""
        start = marks.pop() if count is None else len(stack) - count
        if start < 0:
            raise ValueError("data.pkl is damaged")
        items = stack[start:]
        del stack[start:]
        return items

    def last(kind: type) -> Any:
        if type(stack[-1]) is not kind:
            raise ValueError("data.pkl holds more than containers of tensors")
        return stack[-1]

    argument: Any  # a number or a text, as the operation has it
    for opcode, argument, _ in pickletools.genops(data):
        match opcode.name:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                marks.append(len(stack))
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name]())
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = opcode.name.removeprefix("TUPLE")
                stack.append(tuple(pop(int(count) if count else None)))
            case "APPEND" | "APPENDS":
                items = pop(1 if opcode.name == "APPEND" else None)
                last(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = pop(2 if opcode.name == "SETITEM" else None)
                if not all(type(key) in (str, int) for key in items[::2]):
                    raise ValueError("data.pkl has a dictionary whose keys are no names")
                last(dict).update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                if argument not in GLOBALS:
                    raise UsageError(f"{path}: refused: it asks for {argument[:100].replace(' ', '.')!r}; only tensors are read")
                stack.append(GLOBALS[argument])
            case "BINPERSID":
                word, dtype, key, _location, size = last(tuple)
                if word != "storage" or not isinstance(dtype, np.dtype) or type(key) is not str or type(size) is not int:
                    raise ValueError("data.pkl refers to what is no storage")
                stack[-1] = open_storage(key, dtype, size)
            case "REDUCE":
                called, given = pop(2)
                if called is dict and given == ():
                    stack.append({})
                elif called == "tensor":
                    stack.append(_view_storage(*given[:4]))
                elif called == "parameter":
                    stack.append(given[0])
                else:
                    raise ValueError("data.pkl calls something in an unknown way")
            case "BUILD":  # versions of modules, kept as an attribute of the state dict
                stack.pop()
                last(dict)
            case _:
                raise UsageError(f"{path}: refused: data.pkl uses the operation {opcode.name}; only tensors are read")
    if len(stack) != 1 or type(stack[0]) is not dict:
        raise UsageError(f"{path}: no state dict but something else; save the network's state_dict()")
    return stack[0]


def shorten_error(error: Exception) -> str:
    """What a library says of a damaged file, whose bytes it may quote."""
    return to_one_line(" ".join(str(error).split()))[:200] or type(error).__name__
