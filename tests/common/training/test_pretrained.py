"""Weight files found and checked; Keras' files give the networks they came from; damaged and hostile ones end in one line."""

import hashlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from weight_writers import assert_one_line, make_single, read_weights

from common.errors import UsageError
from common.training.pretrained import find_weight_file, load_keras_file

pytestmark = pytest.mark.usefixtures("backend")


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
    for missing, message in ((tmp_path / "none.h5", "missing"), (tmp_path, "a folder, not a file")):
        with pytest.raises(UsageError, match=message):
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
    with pytest.raises(UsageError, match="net.h5: not here; get") as caught:
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
