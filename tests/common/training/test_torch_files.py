"""Files of PyTorch: tensors as they were saved; damaged and hostile files end in one line, and nothing in them is called."""

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_writers import WRITERS, Storage, Tensor, lay, make_state, make_tensors, save_torch
from weight_writers import assert_one_line

from common.errors import UsageError
from common.training.torch_files import read_torch_file


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


# --- hostile and damaged files


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


@pytest.mark.parametrize("content", [b"\n", b"PK\3\4", pickle.dumps(0x1950A86A20F9469CFC6C, 2), bytes(600), b"plain text"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "old.pth"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_torch_file(path)
    assert_one_line(caught, str(path), "zip")
    if content[:2] != b"PK":
        assert_one_line(caught, "before version 1.6", "torch.save(torch.load(")
    for missing in (tmp_path / "none.pth", tmp_path / "none.safetensors"):
        with pytest.raises(UsageError, match="missing"):
            read_torch_file(missing)
    with pytest.raises(UsageError, match="a folder, not a file"):
        read_torch_file(tmp_path)


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
        ({"a": {"dtype": "I6\x7f", "shape": [1], "data_offsets": [0, 4]}}, b"1234", r"unknown variant `I6\\x7f`"),
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
