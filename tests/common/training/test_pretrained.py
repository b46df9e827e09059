"""Weight files: Keras' and PyTorch's give the networks they were saved from; damaged and hostile files end in one line."""

import hashlib
import json
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from keras import layers
from safetensors.numpy import save_file

from common.errors import UsageError
from common.training.pretrained import copy_torch_weights, find_weight_file, load_keras_file
from common.training.torch_files import read_torch_file

pytestmark = pytest.mark.usefixtures("backend")


def read_weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def assert_one_line(caught: pytest.ExceptionInfo, *parts: str) -> None:
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    for part in parts:
        assert part in message


# --- a network, and the same in NumPy by PyTorch's rules: channels first, (outputs, inputs, rows, columns)


def build_net() -> keras.Model:
    images = keras.Input((9, 9, 4))
    x = layers.ZeroPadding2D(1)(images)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(x)  # 5
    x = layers.BatchNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depth")(x)
    x = layers.Conv2D(12, 3, padding="same", groups=4, activation="relu", name="grouped")(x)
    x = layers.Dense(5, name="dense")(layers.Flatten()(x))
    return keras.Model(images, x)


NAMES = {"stem": "body.0", "norm": "body.1", "depth": "body.3", "grouped": "body.4", "dense": "head"}
FLATTENED = {"dense": (12, 5, 5)}


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


def convolve(x: np.ndarray, kernel: np.ndarray, bias, stride: int = 1, pad: int = 1, groups: int = 1) -> np.ndarray:
    """Cross-correlation of (n, channels, side, side) as PyTorch's Conv2d defines it, one output at a time."""
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    outputs, inputs, size, _ = kernel.shape
    side = (x.shape[2] - size) // stride + 1
    result = np.zeros((len(x), outputs, side, side))
    for out in range(outputs):
        first = out // (outputs // groups) * inputs
        for row in range(side):
            for column in range(side):
                patch = x[:, first : first + inputs, row * stride : row * stride + size, column * stride : column * stride + size]
                result[:, out, row, column] = (patch * kernel[out]).sum((1, 2, 3)) + (0 if bias is None else bias[out])
    return result


def compute_reference(images: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    x = convolve(images.transpose(0, 3, 1, 2).astype(np.float64), t["body.0.weight"], None, stride=2)
    weight, bias, mean, variance = (
        t[f"body.1.{part}"].reshape(1, 8, 1, 1) for part in ("weight", "bias", "running_mean", "running_var")
    )
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * weight + bias, 0)
    x = convolve(x, t["body.3.weight"], t["body.3.bias"], groups=8)
    x = np.maximum(convolve(x, t["body.4.weight"], t["body.4.bias"], groups=4), 0)
    return x.reshape(len(x), -1) @ t["head.weight"].T + t["head.bias"]


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


@pytest.mark.parametrize("kind", WRITERS)
def test_network_from_pytorch_computes_what_pytorch_defines(kind, tmp_path):
    tensors = make_tensors()
    path = WRITERS[kind](tmp_path, tensors)
    model = build_net()
    found = read_torch_file(path)
    assert found.keys() == tensors.keys()
    copy_torch_weights(model, found, NAMES, path, flattened=FLATTENED)
    images = np.random.default_rng(1).normal(size=(3, 9, 9, 4)).astype(np.float32)
    expected = compute_reference(images, tensors)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(np.asarray(model(images)), expected, atol=2e-5)
    copy_torch_weights(model, found, NAMES, path)  # without the order of the flattened map: another function
    assert np.abs(np.asarray(model(images)) - expected).max() > 0.1


def test_storages_offsets_strides_and_types(tmp_path):
    values = np.arange(24, dtype=np.float32)
    shared = Storage(values)
    state = OrderedDict(
        a=Tensor(shared, 0, (4, 6), (6, 1)),
        b=Tensor(shared, 2, (6, 3), (1, 6)),  # a transposed part of the same storage
        empty=Tensor(shared, 0, (0, 3), (3, 1)),
        scalar=Tensor(shared, 23, (), ()),
        half=lay(values.astype(np.float16)),
        brain=lay(values.astype(ml_dtypes.bfloat16)),
        double=lay(values.astype(np.float64)),
        long=lay(np.array([1 << 40, -5])),
    )
    found = read_torch_file(save_torch(tmp_path / "a.pth", state))
    np.testing.assert_array_equal(found["a"], values.reshape(4, 6))
    np.testing.assert_array_equal(found["b"], [[2 + row + 6 * column for column in range(3)] for row in range(6)])
    assert found["empty"].shape == (0, 3)
    assert found["scalar"].shape == ()
    assert found["scalar"] == 23
    for name in ("half", "brain", "double"):
        np.testing.assert_array_equal(found[name].astype(np.float32), values)
    assert found["long"].tolist() == [1 << 40, -5]
    assert not any(array.flags.writeable for array in found.values())
    save_file({"brain": values.astype(ml_dtypes.bfloat16), "half": values.astype(np.float16)}, tmp_path / "b.safetensors")
    again = read_torch_file(tmp_path / "b.safetensors")
    assert [np.array_equal(array.astype(np.float32), values) for array in again.values()] == [True, True]


def test_bfloat16_weights_reach_the_model(tmp_path):
    tensors = {name: values.astype(ml_dtypes.bfloat16) for name, values in make_tensors().items()}
    model = build_net()
    copy_torch_weights(model, tensors, NAMES, Path("net"), flattened=FLATTENED)
    kernel = tensors["body.4.weight"].astype(np.float32).transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("grouped").get_weights()[0], kernel)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t, n: t.pop("body.4.bias"), ["tensor body.4.bias, for layer grouped", "missing"]),
        (lambda t, n: t.update({"body.4.weight": t["body.4.weight"][:, :2]}), ["grouped", "(12, 2, 3, 3)", "(12, 4, 3, 3)"]),
        (lambda t, n: t.update({"head.weight": t["head.weight"].T}), ["layer dense", "(300, 5)", "(5, 300)"]),
        (lambda t, n: t.update({"body.3.weight": t["body.3.weight"][:8]}), ["layer depth", "(8, 1, 3, 3)", "(16, 1, 3, 3)"]),
        (lambda t, n: t.update({"body.9.weight": t["head.bias"]}), ["1 tensors have no layer", "body.9.weight"]),
        (lambda t, n: t.update({"body.0.bias": t["head.bias"]}), ["1 tensors have no layer", "body.0.bias"]),
        (lambda t, n: t.update({"head.bias": t["head.bias"] * np.nan}), ["head.bias", "not finite"]),
        (lambda t, n: n.pop("norm"), ["layer norm", "model of weights only"]),
        (lambda t, n: n.update(other="body.7"), ["layer other", "map of weights only"]),
        (lambda t, n: n.update(depth="body.4"), ["body.4.weight", "layer depth"]),
    ],
)
def test_every_tensor_has_one_layer_and_every_layer_its_tensors(change, parts):
    tensors, names, model = make_tensors(), dict(NAMES), build_net()
    before = read_weights(model)
    change(tensors, names)
    with pytest.raises(UsageError) as caught:
        copy_torch_weights(model, tensors, names, Path("net.pth"), flattened=FLATTENED)
    assert_one_line(caught, "net.pth", *parts)
    for name, weights in read_weights(model).items():  # nothing was copied
        assert all(map(np.array_equal, weights, before[name]))


def test_unused_tensors_must_be_named():
    tensors, model = make_tensors() | {"aux.fc.weight": np.ones(3), "auxiliary": np.ones(3)}, build_net()
    for unused in ((), ("aux",), ("aux.fc", "aux.f"), ("auxiliary",)):
        with pytest.raises(UsageError, match="have no layer"):
            copy_torch_weights(model, tensors, NAMES, Path("net"), flattened=FLATTENED, unused=unused)
    copy_torch_weights(model, tensors, NAMES, Path("net"), flattened=FLATTENED, unused=("aux", "auxiliary"))


def make_single(layer: keras.Layer) -> keras.Model:
    images = keras.Input((8, 8, 3))
    return keras.Model(images, layer(images))


@pytest.mark.parametrize(
    ("layer", "tensors", "message"),
    [
        (layers.BatchNormalization(name="x"), {}, "layer x: epsilon is 0.001"),
        (layers.Conv2D(2, 3, strides=2, padding="same", name="x"), {}, "layer x: strided with padding 'same'"),
        (layers.SeparableConv2D(2, 3, name="x"), {}, "layer x: no rule .* SeparableConv2D"),
        (layers.Conv2D(2, 3, name="x"), {"p.weight": np.ones((2, 3, 3, 3)), "q.bias": np.ones(2)}, "p.bias.*missing"),
    ],
)
def test_layers_that_pytorch_computes_otherwise_are_refused(layer, tensors, message):
    with pytest.raises(UsageError, match=message):
        copy_torch_weights(make_single(layer), tensors, {"x": "p"}, Path("net"))


def test_parts_that_a_batch_normalization_lacks_are_not_asked_for():
    model = make_single(layers.BatchNormalization(epsilon=1e-3, scale=False, name="x"))
    tensors = {f"p.{part}": np.full(3, value) for value, part in enumerate(("bias", "running_mean", "running_var"))}
    copy_torch_weights(model, tensors, {"x": "p"}, Path("net"), epsilon=1e-3)
    assert [weight.tolist() for weight in model.get_weights()] == [[0] * 3, [1] * 3, [2] * 3]
    with pytest.raises(UsageError, match=r"1 tensors have no layer.*p\.weight"):
        copy_torch_weights(model, tensors | {"p.weight": np.ones(3)}, {"x": "p"}, Path("net"), epsilon=1e-3)


# --- hostile and damaged files of PyTorch


class Call:
    def __init__(self, function, *given):
        self.made = function, given

    def __reduce__(self):
        return self.made


FLOATS = Storage(np.arange(6, dtype=np.float32))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Call(os.system, "touch {folder}/touched"), r"asks for '(posix|nt)\.system'"),
        ({"a": Call(eval, "1")}, r"asks for '(__builtin__|builtins)\.eval'"),
        ({"a": lay(np.zeros(3, np.uint8))}, r"asks for 'torch\.ByteStorage'"),
        ({"a": Path("x")}, "asks for 'pathlib"),
        ({"a": {1, 2}}, "asks for .*set"),
        ({"a": "text"}, "'a' is no tensor"),
        ({"a": {"b": lay(np.zeros(3, np.float32))}}, "'a' is no tensor"),
        ({(1, 2): 3}, "keys are no names"),
        ([1, 2], "no state dict"),
        ({}, "no tensors in the file"),
        ({"a": Tensor(FLOATS, 0, (7,), (1,))}, "over 6 values"),
        ({"a": Tensor(FLOATS, 1, (6,), (1,))}, "over 6 values"),
        ({"a": Tensor(FLOATS, 0, (2, 2), (4, 2))}, "over 6 values"),
        ({"a": Tensor(FLOATS, -1, (2,), (1,))}, "over 6 values"),
        ({"a": Tensor(FLOATS, 5, (2,), (-1,))}, "over 6 values"),
        ({"a": Tensor(FLOATS, 0, (-1, -6), (1, 1))}, "over 6 values"),
        ({"a": Tensor(FLOATS, 0, (1 << 40,), (0,))}, "over 6 values"),
        ({"a": Tensor(FLOATS, 0, (2, 3), (1,))}, "not what PyTorch writes"),
        ({"a": Tensor(FLOATS, 0, (2.0,), (1,))}, "not laid over a storage"),
        ({"a": Tensor("text", 0, (2,), (1,))}, "no attribute"),
        ({"a": Tensor(Tensor(FLOATS, 5, (6,), (0,)), 0, (6,), (1,))}, "over 6 values|not laid"),
        ({"a": Tensor(Tensor(FLOATS, 5, (1,), (1,)), 0, (2,), (1,))}, "over 1 values"),
    ],
)  # fmt: skip
def test_only_tensors_are_read(value, message, tmp_path):
    if isinstance(value, Call):
        value.made = value.made[0], tuple(text.format(folder=tmp_path) for text in value.made[1])
    path = save_torch(tmp_path / "bad.pth", value)
    with pytest.raises(UsageError, match=message) as caught:
        read_torch_file(path)
    assert_one_line(caught, str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["bad.pth"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"claim": 1}, "buffer is too small"),
        ({"claim": 1 << 60}, "buffer is too small|dimension exceeded|too big"),
        ({"claim": -100}, "over 188 values"),
        ({"claim": -1000}, "negative"),
        ({"without": 2}, "no item named 'archive/data/2'"),
        ({"byteorder": "big"}, "another byte order"),
        ({"compression": zipfile.ZIP_DEFLATED}, "compressed"),
        ({"protocol": 4}, "uses the operation FRAME"),
        ({"protocol": 0}, "uses the operation"),
    ],
)
def test_archives_that_claim_more_or_other_things(options, message, tmp_path):
    path = save_torch(tmp_path / "bad.pth", make_state(make_tensors()), **options)
    with pytest.raises(UsageError, match=message) as caught:
        read_torch_file(path)
    assert_one_line(caught, str(path))


def test_members_that_claim_more_than_the_archive_has(tmp_path):
    path = save_torch(tmp_path / "bad.pth", make_state(make_tensors()))
    size = make_tensors()["head.weight"].nbytes.to_bytes(4, "little")
    data = path.read_bytes()
    assert data.count(size + size) == 2  # the two headers of that member
    path.write_bytes(data.replace(size + size, size + (1 << 30).to_bytes(4, "little")))
    with pytest.raises(UsageError, match=r"claims \d+ bytes in a file of"):
        read_torch_file(path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", pickle.dumps(0x1950A86A20F9469CFC6C, 2), bytes(600), b"<!DOCTYPE html>"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "old.pth"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_torch_file(path)
    assert_one_line(caught, str(path), "zip")
    if content[:2] != b"PK":
        assert_one_line(caught, "before version 1.6", "torch.save(torch.load(")
    for missing in (tmp_path / "none.pth", tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UsageError, match="missing"):
            read_torch_file(missing)


def damage(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in random.integers(0, len(data), random.integers(1, 4)):
        changed[place] = random.integers(0, 256)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_truncated_and_flipped_files_never_escape_as_another_error(kind, tmp_path):
    tensors = {"a": np.arange(4, dtype=np.float32), "b.c": np.ones((2, 2), np.float16)}
    good = WRITERS[kind](tmp_path, tensors).read_bytes()
    random, path, messages = np.random.default_rng(0), tmp_path / f"bad.{kind}", []
    for number in range(600):
        data = damage(good, random)
        path.write_bytes(data[: random.integers(len(data))] if number % 4 == 0 else data)
        try:
            assert sum(array.size for array in read_torch_file(path).values()) <= len(good)
        except UsageError as error:
            messages.append(str(error))
    assert len(messages) > 150
    assert not any("\n" in message or str(path) not in message for message in messages)


def test_flipped_descriptions_in_whole_archives(tmp_path):
    tensors = {"a": np.arange(4, dtype=np.float32), "b.c": np.ones((2, 2), np.float16)}
    path, random, messages = WRITERS["state_dict"](tmp_path, tensors), np.random.default_rng(0), []
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(1000):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, damage(content, random) if name.endswith("data.pkl") else content)
        try:
            assert sum(array.size for array in read_torch_file(path).values()) <= 8
        except UsageError as error:
            messages.append(str(error))
    assert len(messages) > 300
    assert not any("\n" in message or str(path) not in message for message in messages)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}, b"1234", "invalid shape"),
        ({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}, b"1234", "not fully covered"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"12345678", "not fully covered"),
        ({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"1234", "'a' has the type F8_E4M3"),
        ({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}, b"1234", "'a' has the type U8"),
        ({}, b"", "no tensors in the file"),
    ],
)
def test_lying_headers(header, data, message, tmp_path):
    path, text = tmp_path / "bad.safetensors", json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    with pytest.raises(UsageError, match=message) as caught:
        read_torch_file(path)
    assert_one_line(caught, str(path))
    path.write_bytes((1 << 60).to_bytes(8, "little") + text)
    with pytest.raises(UsageError, match="header too large"):
        read_torch_file(path)


# --- Keras' files


def build_keras(parts: tuple[str, ...] = ("first", "norm", "last"), width: int = 4) -> keras.Model:
    images = keras.Input((6, 6, 3))
    x = images
    for part in parts:
        layer = layers.BatchNormalization(name=part) if part == "norm" else layers.Conv2D(width, 3, padding="same", name=part)
        x = layer(x)
    return keras.Model(images, x)


def fill(model: keras.Model, seed: int = 0) -> keras.Model:
    random = np.random.default_rng(seed)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


def write_old(path: Path, model: keras.Model, **options) -> Path:
    """The layout of keras.applications' files: a group a layer, attributes that name layers and weights."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = np.array([name.encode() for name in names])
            for name, values in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=values, **options)
    return path


def save(path: Path, model: keras.Model) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


KERAS_WRITERS = {
    "applications": lambda folder, model: write_old(folder / "net.h5", model),
    "compressed": lambda folder, model: write_old(folder / "net.h5", model, compression="gzip", shuffle=True),
    "whole model": lambda folder, model: save(folder / "net.h5", model),
    "Keras 3": lambda folder, model: save(folder / "net.weights.h5", model),
}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("kind", KERAS_WRITERS)
def test_weights_go_to_layers_of_the_same_name(kind, tmp_path):
    source = fill(build_keras(("conv2d_7", "norm", "last")))
    path = KERAS_WRITERS[kind](tmp_path, source)
    expected = read_weights(source)

    def assert_loaded(model: keras.Model, names: dict[str, str]) -> None:
        for name, origin in names.items():
            assert all(map(np.array_equal, read_weights(model)[name], expected[origin]))

    whole = build_keras(("conv2d_7", "norm", "last"))
    load_keras_file(whole, path)
    assert_loaded(whole, {name: name for name in expected})
    part = build_keras(("conv2d_7", "norm"))
    load_keras_file(part, path)
    assert_loaded(part, {"conv2d_7": "conv2d_7", "norm": "norm"})
    longer = fill(build_keras(("begin", "norm", "last", "head")), seed=1)
    before = read_weights(longer)["head"]
    load_keras_file(longer, path, names={"begin": "conv2d_7"}, skip=["head"])
    assert_loaded(longer, {"begin": "conv2d_7", "norm": "norm", "last": "last"})
    assert all(map(np.array_equal, read_weights(longer)["head"], before))
    images = keras.Input((6, 6, 3))
    nested = keras.Model(images, layers.Conv2D(4, 1, name="head")(build_keras(("conv2d_7", "norm"))(images)))
    load_keras_file(nested, path, skip=["head"])
    assert_loaded(nested.layers[1], {"conv2d_7": "conv2d_7", "norm": "norm"})


@pytest.mark.parametrize("kind", ["applications", "Keras 3"])
def test_files_of_another_network_leave_the_model_as_it_was(kind, tmp_path):
    path = KERAS_WRITERS[kind](tmp_path, fill(build_keras()))
    for model, parts in {
        build_keras(("first", "norm", "other")): ["layer other", "not in the file"],
        build_keras(width=5): ["layer first", "(3, 3, 3, 4)", "(3, 3, 3, 5)"],
        make_single(layers.Conv2D(4, 3, use_bias=False, name="first")): ["layer first: 2 weights in the file, 1 weights in"],
    }.items():
        before = model.get_weights()
        with pytest.raises(UsageError) as caught:
            load_keras_file(model, path)
        assert_one_line(caught, str(path), *parts)
        assert all(map(np.array_equal, model.get_weights(), before))
    with pytest.raises(UsageError, match="layer elsewhere, for first: not in the file"):
        load_keras_file(build_keras(), path, names={"first": "elsewhere"})
    with pytest.raises(ValueError, match="build it first"):
        load_keras_file(keras.Sequential([layers.Dense(2)]), path)


def replace_item(path: Path, name: str, make) -> None:
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        del file[name]
        make(file, name, values)


def make_virtual(file, name, values):
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", values.shape)
    file.create_virtual_dataset(name, layout)


BIAS = "last/last/bias:0"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f, n, v: f.__setitem__(n, h5py.ExternalLink("/etc/other.h5", "/x")), "a link to another place or file"),
        (lambda f, n, v: f.__setitem__(n, h5py.SoftLink("/first/first/bias:0")), "a link to another place or file"),
        (lambda f, n, v: f.create_dataset(n, v.shape, v.dtype, external=[("/etc/passwd", 0, 16)]), "stand in another file"),
        (make_virtual, "stand in another file"),
        (lambda f, n, v: f.create_dataset(n, data=["a", "b", "c", "d"]), "holds object, not numbers"),
        (lambda f, n, v: f.create_dataset(n, data=np.array(b"abcd")), "not numbers"),
        (lambda f, n, v: f.create_dataset(n, v.shape, "f4"), "claims 16 bytes, 0 are stored"),
        (lambda f, n, v: f.create_dataset(n, (1 << 40,), "f4", chunks=(1 << 20,)), "shape \\(1099511627776,\\) in the file"),
        (lambda f, n, v: f.create_dataset(n, data=v, chunks=(1 << 20,), maxshape=(None,), compression="gzip"), "claims 16 bytes"),
        (lambda f, n, v: f.create_dataset(n, data=v, compression="lzf"), "compressed in an unknown way"),
        (lambda f, n, v: f.create_dataset(n, data=v * np.nan), "not finite"),
        (lambda f, n, v: f.create_group(n), "a weight is missing"),
        (lambda f, n, v: None, "a weight is missing"),
    ],
)  # fmt: skip
def test_hostile_datasets(make, message, tmp_path):
    path = write_old(tmp_path / "bad.h5", fill(build_keras()))
    replace_item(path, BIAS, make)
    with pytest.raises(UsageError, match=message) as caught:
        load_keras_file(build_keras(), path)
    assert_one_line(caught, str(path), "last")


def test_hostile_groups_and_attributes(tmp_path):
    path, model = tmp_path / "bad.h5", build_keras()

    def assert_refused(message: str, change) -> None:
        write_old(path, fill(build_keras()))
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(UsageError, match=message) as caught:
            load_keras_file(model, path)
        assert_one_line(caught, str(path))

    def link_group(file):
        del file["last"]
        file["last"] = h5py.ExternalLink("/etc/other.h5", "/x")

    def name_weights(names):
        return lambda file: file["last"].attrs.__setitem__("weight_names", names)

    assert_refused("'last' is a link to another place or file", link_group)
    assert_refused("too many weights", name_weights(np.zeros(1000, "S1")))
    assert_refused("0 weights in the file, 2 weights in the model", name_weights(np.zeros(0)))
    assert_refused("no HDF5 file", name_weights(np.zeros(2)))
    assert_refused("no HDF5 file", name_weights(h5py.Empty("f4")))
    assert_refused("a weight is missing", name_weights("ab"))
    assert_refused("no HDF5 file", lambda file: file["last"].attrs.__delitem__("weight_names"))
    assert_refused("not in the file", lambda file: file.attrs.__delitem__("layer_names"))


@pytest.mark.parametrize("size", [0x1F00, 0x2000])
def test_heap_of_texts_that_the_library_would_read_for_ever(size, tmp_path):
    path = save(tmp_path / "bad.weights.h5", fill(build_keras()))
    data = path.read_bytes()
    header = b"GCOL\1\0\0\0"
    assert data.count(header + (4096).to_bytes(8, "little")) == 1
    path.write_bytes(data.replace(header + (4096).to_bytes(8, "little"), header + size.to_bytes(8, "little")))
    with pytest.raises(UsageError, match="a heap of texts that does not add up") as caught:
        load_keras_file(build_keras(), path)
    assert_one_line(caught, str(path))


def test_truncated_and_other_files(tmp_path):
    good = write_old(tmp_path / "good.h5", fill(build_keras())).read_bytes()
    path, model = tmp_path / "bad.h5", build_keras()
    for content in (b"", b"<html>", good[:100], good[: len(good) // 2], good[:-1]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="missing, damaged or no HDF5 file") as caught:
            load_keras_file(model, path)
        assert_one_line(caught, str(path))
    for missing in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(UsageError, match="missing"):
            load_keras_file(model, missing)
    with h5py.File(path, "w") as file:
        file["layers"] = np.zeros((5, 2))
    with pytest.raises(UsageError, match="not in the file"):
        load_keras_file(model, path)


# --- where weight files lie


def test_weight_file_is_found_and_checked(tmp_path):
    content, address = b"weights", "https://example.org/net.h5"
    sums = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest(), hashlib.sha256(content).hexdigest()[:8]
    (tmp_path / "net.h5").write_bytes(content)
    for checksum in sums:
        assert find_weight_file(tmp_path, "net.h5", address, checksum) == tmp_path / "net.h5"
    (tmp_path / "net.h5").write_bytes(content[:-1])
    for checksum in sums:
        with pytest.raises(UsageError, match="damaged or another file") as caught:
            find_weight_file(tmp_path, "net.h5", address, checksum)
        assert_one_line(caught, "get net.h5", f"from {address}", f"{checksum}", f"put it into {tmp_path}")
    with pytest.raises(UsageError, match="No such file") as caught:
        find_weight_file(tmp_path / "none", "net.h5", address, sums[0])
    assert_one_line(caught, "get net.h5", f"from {address}", f"md5 {sums[0]}", f"put it into {tmp_path / 'none'}")


def test_weight_file_is_downloaded_into_the_cache_of_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    source = tmp_path / "offered.h5"
    source.write_bytes(b"weights")
    checksum = hashlib.sha256(b"weights").hexdigest()[:8]
    for _ in range(2):
        path = find_weight_file(None, "net.h5", source.as_uri(), checksum)
        assert path == tmp_path / "home/models/net.h5"
        assert path.read_bytes() == b"weights"
        source.unlink(missing_ok=True)  # the second time it is there
    with pytest.raises(UsageError) as caught:
        find_weight_file(None, "other.h5", source.as_uri(), checksum)
    assert_one_line(caught, "get other.h5", source.as_uri(), f"begins with {checksum}", str(tmp_path / "home/models"))


# --- real files


@pytest.fixture(scope="module")
def real_weights() -> Path:
    """$REPLICATIONS_DATA/weights, or skip."""
    folder = Path(os.environ.get("REPLICATIONS_DATA", "")) / "weights"
    if "REPLICATIONS_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs real weight files: set REPLICATIONS_DATA to the folder that holds weights/")
    return folder


@pytest.mark.realdata
def test_mobilenet_equals_the_loading_of_keras(real_weights):
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    address = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{name}"
    path = find_weight_file(real_weights, name, address, "94f0d2c407f6b9ad17c98e67b88e4c58")

    def build(weights):
        return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=weights)

    model, expected = build(None), build(str(path)).get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(model.get_weights(), expected, strict=True))
    load_keras_file(model, path)
    assert all(map(np.array_equal, model.get_weights(), expected))
    start = keras.Model(model.input, model.get_layer("block_3_project_BN").output)
    start.set_weights([weight + 1 for weight in start.get_weights()])
    load_keras_file(start, path)
    assert all(map(np.array_equal, model.get_weights(), expected))


@pytest.mark.realdata
def test_squeezenet_is_filled(real_weights):
    """SqueezeNet 1.1 from a file of Keras 1, whose layers carry names that Keras 3 forbids ("fire2/squeeze1x1")."""
    images = keras.Input((64, 64, 3))
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(images)
    widths = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
    for number, width in widths.items():
        if number in (2, 4, 6):
            x = layers.MaxPooling2D(3, strides=2)(x)
        x = layers.Conv2D(width, 1, activation="relu", name=f"fire{number}_squeeze1x1")(x)
        one = layers.Conv2D(4 * width, 1, activation="relu", name=f"fire{number}_expand1x1")(x)
        three = layers.Conv2D(4 * width, 3, padding="same", activation="relu", name=f"fire{number}_expand3x3")(x)
        x = layers.Concatenate()([one, three])
    model = keras.Model(images, x)
    path = real_weights / "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
    load_keras_file(model, path, names={name: name.replace("_", "/") for name in read_weights(model)})
    with h5py.File(path) as file:
        group = file["fire9/expand3x3"]
        expected = [group[name][()] for name in group.attrs["weight_names"]]
    assert all(map(np.array_equal, read_weights(model)["fire9_expand3x3"], expected))
    assert model.count_params() == 722_496  # as published: 1,235,496 with the 513,000 of its last layer
    with pytest.raises(UsageError, match="layer fire2_squeeze1x1: not in the file"):
        load_keras_file(model, path)
