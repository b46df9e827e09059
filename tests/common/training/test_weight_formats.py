"""Weight files as people have them: nested models, whole .keras files, compiled networks; and files that are something else."""

import io
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from safetensors.numpy import save_file
from torch_writers import make_state, make_tensors, save_torch
from weight_writers import assert_one_line

from common.errors import UsageError
from common.training.pretrained import copy_torch_weights, find_weight_file, load_keras_file
from common.training.stored import open_network
from common.training.torch_files import read_torch_file

pytestmark = pytest.mark.usefixtures("backend")


def build_nested(names: tuple[str, str] = ("c1", "b1"), functional: bool = True, twice: bool = False) -> keras.Model:
    """A model in a model in a model."""
    convolution, norm = names
    inner = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3, name=convolution)], name="inner")
    images = keras.Input((6, 6, 1))
    if functional:
        base = keras.Model(images, layers.BatchNormalization(name=norm)(inner(images)), name="base")
    else:
        base = keras.Sequential([keras.Input((6, 6, 1)), inner, layers.BatchNormalization(name=norm)], name="base")
    start = keras.Input((6, 6, 1))
    x = base(start)
    if twice:
        x = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(2, 1, name=convolution)], name="other")(x)
    return keras.Model(start, layers.Dense(2, name="d")(layers.Flatten(name="f")(x)), name="whole")


def build_flat() -> keras.Model:
    images = keras.Input((6, 6, 1))
    x = layers.BatchNormalization(name="b1")(layers.Conv2D(2, 3, name="c1")(images))
    return keras.Model(images, layers.Dense(2, name="d")(layers.Flatten()(x)))


def fill(model: keras.Model) -> keras.Model:
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


def save(model: keras.Model, path: Path) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("functional", [True, False])
@pytest.mark.parametrize("name", ["net.weights.h5", "net.keras", "net.h5"])
def test_nested_models_and_whole_files_load_by_the_names_of_layers(tmp_path, name, functional):
    source = fill(build_nested(functional=functional))
    path = save(source, tmp_path / name)
    for model in (build_nested(), build_flat()):
        load_keras_file(model, path)
        images = np.random.default_rng(1).normal(size=(3, 6, 6, 1)).astype(np.float32)
        np.testing.assert_allclose(model(images), source(images), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["net.weights.h5", "net.keras", "net.h5"])
def test_layers_that_cannot_be_told_apart_are_refused(tmp_path, name):
    path = save(build_nested(twice=True), tmp_path / name)
    with pytest.raises(UsageError, match="two layers are called 'c1'") as caught:
        load_keras_file(build_flat(), path)
    assert_one_line(caught, str(path))


def test_another_network_is_guessed_only_where_shapes_say_so(tmp_path):
    path = save(build_nested(("first", "b1")), tmp_path / "net.weights.h5")
    with pytest.raises(UsageError) as caught:
        load_keras_file(build_flat(), path)
    assert_one_line(caught, "layer c1: not in the file; it has 3 layers: 'b1', 'd', 'first'")
    assert "another network" not in str(caught.value)
    images = keras.Input((6, 6, 1))
    wide = keras.Model(images, layers.Conv2D(5, 3, name="first")(images))
    with pytest.raises(UsageError, match="layer first: shape .*: of another network?"):
        load_keras_file(wide, path)


def test_layers_without_names_are_named_for_what_they_are(tmp_path):
    path = save(build_flat(), tmp_path / "net.weights.h5")
    with h5py.File(path, "r+") as file:
        for group in file["layers"].values():
            del group["vars"].attrs["name"]
        del file["vars"].attrs["name"]
    with pytest.raises(UsageError, match="its 3 layers have no names, as early Keras 3 wrote them"):
        load_keras_file(build_flat(), path)


def test_groups_that_hold_each_other_end(tmp_path):
    path = save(fill(build_flat()), tmp_path / "net.weights.h5")
    with h5py.File(path, "r+") as file:
        for number in range(3):
            file[f"layers/again{number}"] = file["layers"]  # hard links in a ring
            file[f"layers/root{number}"] = file["/"]
    load_keras_file(build_flat(), path)


def test_hostile_keras_archives(tmp_path):
    whole = save(fill(build_flat()), tmp_path / "net.keras")
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def refuse(message: str, change: dict, compression: int = zipfile.ZIP_STORED) -> None:
        path = tmp_path / "bad.keras"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in (members | change).items():
                if content is not None:
                    archive.writestr(name, content)
        with pytest.raises(UsageError, match=message) as caught:
            load_keras_file(build_flat(), path)
        assert_one_line(caught, str(path))

    refuse("without model.weights.h5; save the weights alone", {"model.weights.h5": None})
    refuse("missing, damaged or no HDF5 file", {"model.weights.h5": members["model.weights.h5"][:2000]})
    refuse("missing, damaged or no HDF5 file", {"model.weights.h5": b""})
    refuse("it is a zip archive", {"config.json": None})


WRAPPED = {
    "compiled": "_orig_mod.{}",
    "compiled, then spread": "module._orig_mod.{}",
    "spread, then compiled": "_orig_mod.module.{}",
}


@pytest.mark.parametrize("form", ["net.safetensors", "net.pth"])
@pytest.mark.parametrize("kind", WRAPPED)
def test_names_of_wrapped_networks_are_those_of_the_network(tmp_path, kind, form):
    tensors = make_tensors()
    named = {WRAPPED[kind].format(name): values for name, values in tensors.items()}
    path = tmp_path / form
    if form.endswith("pth"):
        save_torch(path, make_state(named))
    else:
        save_file(named, path)
    found = read_torch_file(path)
    assert found.keys() == tensors.keys()
    assert all((found[name] == tensors[name]).all() for name in tensors)


def test_a_compiled_part_and_two_networks_in_one_file(tmp_path):
    save_file({"body._orig_mod.0.weight": np.ones(1), "module.bias": np.ones(2)}, tmp_path / "a.safetensors")
    assert read_torch_file(tmp_path / "a.safetensors").keys() == {"body.0.weight", "module.bias"}
    save_file({"a._orig_mod.w": np.ones(1), "a.w": np.ones(2)}, tmp_path / "b.safetensors")
    with pytest.raises(UsageError, match="two networks in one file"):
        read_torch_file(tmp_path / "b.safetensors")


def test_a_tensor_that_stands_deeper_is_named(tmp_path):
    images = keras.Input((6, 6, 1))
    model = keras.Model(images, layers.Conv2D(2, 3, name="c1")(images))
    tensors = {"model.conv.weight": np.ones((2, 1, 3, 3), np.float32), "model.conv.bias": np.ones(2, np.float32)}
    with pytest.raises(UsageError, match="missing in the file; it is called 'model.conv.weight' there"):
        copy_torch_weights(model, tensors, {"c1": "conv"}, tmp_path / "net.pth")


def write_npz(path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, a=np.ones(2))
    path.write_bytes(content.getvalue())


def write_script(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("net/data.pkl", "net/constants.pkl", "net/code/net.py"):
            archive.writestr(name, b"")


OTHERS = {
    "a web page": lambda path: path.write_bytes(b"\n<!DOCTYPE html><html>sign in</html>"),
    "a pointer of Git LFS": lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "an empty file": lambda path: path.write_bytes(b""),
    "NumPy arrays": write_npz,
    "a TorchScript program": write_script,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_files_that_are_something_else_are_named(tmp_path, kind):
    path = tmp_path / "net.h5"
    OTHERS[kind](path)
    for read in (lambda p: load_keras_file(build_flat(), p), read_torch_file, open_network):
        with pytest.raises(UsageError, match=kind) as caught:
            read(path)
        assert_one_line(caught, str(path))
    with pytest.raises(UsageError, match=rf"damaged or another file \({kind}"):
        find_weight_file(tmp_path, "net.h5", "https://example.org/net.h5", "0" * 32)
    with pytest.raises(UsageError, match=rf"no weight file: it is {kind}.*; get net.h5 from https://example.org/net.h5 and put"):
        find_weight_file(tmp_path, "net.h5", "https://example.org/net.h5", "")


def test_without_a_checksum_whatever_holds_weights_is_taken(tmp_path):
    save(build_flat(), tmp_path / "net.weights.h5")
    save(build_flat(), tmp_path / "net.keras")
    save_file(make_tensors(), tmp_path / "net.safetensors")
    save_torch(tmp_path / "net.pth", make_state(make_tensors()))
    for name in ("net.weights.h5", "net.keras", "net.safetensors", "net.pth"):
        assert find_weight_file(tmp_path, name, "https://example.org/net", "") == tmp_path / name
    (tmp_path / "net.h5").write_bytes(bytes(range(256)))
    with pytest.raises(UsageError, match="no weight file: it is of no known kind"):
        find_weight_file(tmp_path, "net.h5", "https://example.org/net", "")


def test_files_of_the_other_family_are_named(tmp_path):
    keras_file, weights = save(build_flat(), tmp_path / "net.keras"), save(build_flat(), tmp_path / "net.weights.h5")
    for path, kind in ((keras_file, "a whole model of Keras"), (weights, "an HDF5 file, as Keras writes weights")):
        with pytest.raises(UsageError, match=f"not what PyTorch writes, but {kind}"):
            read_torch_file(path)
    save_file(make_tensors(), tmp_path / "net.bin")  # by its content
    assert read_torch_file(tmp_path / "net.bin").keys() == make_tensors().keys()
    for path, kind in (
        (tmp_path / "net.bin", "a safetensors file"),
        (save_torch(tmp_path / "a.pth", {}), "a weight file of PyTorch"),
    ):
        with pytest.raises(UsageError, match=f"no HDF5 file: it is {kind}"):
            load_keras_file(build_flat(), path)
    with pytest.raises(UsageError, match="it is an HDF5 file, as Keras writes weights"):
        open_network(weights)
