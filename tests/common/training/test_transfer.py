"""Freezing, cutting and caching: training on cached activations equals plain Keras to the last bit; a bad cache is never used."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from common.training import cuts, feature_cache
from common.training import fit as training_fit

pytestmark = pytest.mark.usefixtures("backend")
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (22, 16, 16, 1)).astype(np.uint8)
LABELS = RANDOM.integers(0, 2, 22)


def build_chain() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    for i in (1, 2, 3):
        x = layers.Conv2D(4 * i, 3, padding="same", activation="relu", name=f"conv{i}")(x)
        x = layers.MaxPooling2D()(x)
    return finish(inputs, x)


def build_residual() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(6, 3, padding="same", name="conv1")(x)
    for i in (2, 4):
        y = layers.Conv2D(6, 3, padding="same", name=f"conv{i}")(x)
        y = layers.BatchNormalization(name=f"norm{i}")(y)
        y = layers.Activation("relu")(y)
        y = layers.Conv2D(6, 3, padding="same", name=f"conv{i + 1}")(y)
        x = layers.Add()([x, y])
    return finish(inputs, x)


def build_branches() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    stem = layers.Conv2D(4, 3, strides=2, activation="relu", name="stem")(layers.Rescaling(1 / 255)(inputs))
    a = layers.Conv2D(3, 1, name="conv1")(stem)
    b = layers.Conv2D(3, 3, padding="same", name="conv2")(layers.Conv2D(3, 1, name="conv2a")(stem))
    return finish(inputs, layers.Concatenate()([a, b, layers.AveragePooling2D(3, 1, padding="same")(stem)]))


def finish(inputs, x) -> keras.Model:
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3, name="dropout")(layers.Dense(8, activation="relu", name="dense")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax", name="output")(x))


def compile_frozen(model: keras.Model, trained: list[str]) -> keras.Model:
    cuts.freeze_except(model, trained)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def fit(model: keras.Model, inputs, folder: Path, epochs: int = 3) -> list[float]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    training_fit.build_optimizers(model)

    def arrays_of_epoch(epoch):
        order = training_order(epoch)
        taken = tuple(training_rows(array, order) for array in arrays)
        return (taken if len(taken) > 1 else taken[0], LABELS[order])

    history = training_fit.fit(
        model, arrays_of_epoch, stage="x", epochs=epochs, batch_size=8, folder=folder, report=lambda *_: None
    )
    return [entry["loss"] for entry in history]


def training_order(epoch: int) -> np.ndarray:
    from common.training.batches import shuffle_order

    return shuffle_order(len(LABELS), 3, epoch)


def training_rows(array: np.ndarray, order: np.ndarray):
    from common.training.batches import Rows

    return Rows(array, order) if isinstance(array, np.memmap) else array[order]


CASES = {
    "head": (build_chain, ["dense", "output"], False),
    "two convolutions": (build_chain, ["conv2", "conv3", "dense", "output"], False),
    "residual": (build_residual, ["conv5", "dense", "output"], False),
    "residual, frontier": (build_residual, ["conv5", "dense", "output"], True),
    "residual, moving statistics": (build_residual, ["norm4", "conv5", "dense", "output"], False),
    "branches": (build_branches, ["conv2", "dense", "output"], False),
    "branches, frontier": (build_branches, ["conv2", "dense", "output"], True),
}


@pytest.mark.parametrize("case", CASES)
def test_cached_training_equals_plain_keras_to_the_last_bit(case, tmp_path):
    build, trained, several = CASES[case]
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        models.append(compile_frozen(build(), trained))
    plain, cached = models
    expected = fit(plain, IMAGES, tmp_path / "plain")
    cut = cuts.split_network(cached, several=several)
    cut.upper.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    features = feature_cache.cache_features(cut.lower, IMAGES, tmp_path / "cache", batch_size=8, limit_bytes=1e9)
    assert fit(cut.upper, features.inputs, tmp_path / "cached") == expected
    for name, a, b in zip([w.path for w in plain.weights], plain.get_weights(), cached.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
    np.testing.assert_array_equal(
        training_fit.predict_values(plain, IMAGES, 8), training_fit.predict_values(cut.upper, features.inputs, 8)
    )


def test_the_frontier_holds_what_live_operations_take():
    model = compile_frozen(build_residual(), ["conv5", "dense", "output"])
    assert len(cuts.split_network(model, several=True).names) == 2  # the shortcut and the block's own path
    assert len(cuts.split_network(model).names) == 1
    model = compile_frozen(build_branches(), ["conv2", "dense", "output"])
    cut = cuts.split_network(model, several=True)
    assert {"conv1", "conv2a"} < set(cut.names)
    assert len(cut.names) == 3
    assert cut.bytes_per_image == 4 * 7 * 7 * (3 + 3 + 4)
    assert not cut.lower.trainable_weights


def test_dropout_and_moving_statistics_are_live():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1, name="below")(inputs)
    x = layers.Dropout(0.5, name="drop")(x)
    x = layers.Conv2D(3, 1, name="between")(x)
    x = layers.BatchNormalization(name="norm")(x)
    model = keras.Model(inputs, layers.Dense(2, name="output")(layers.Flatten()(x)))
    cuts.freeze_except(model, ["output"])
    assert cuts.split_network(model).names == ("below",)
    cuts.freeze_except(model, ["norm", "output"])
    model.get_layer("drop").rate = 0.0
    assert cuts.split_network(model).names == ("below",)  # a generator of random numbers is there, whatever the rate
    with pytest.raises(ValueError, match="no layer 'nothing'"):
        cuts.freeze_except(model, ["nothing"])
    cuts.freeze_except(model, ["below", "output"])
    with pytest.raises(ValueError, match="nothing is frozen at its inputs"):
        cuts.split_network(model)


def test_models_inside_the_model_are_expanded():
    inner = keras.Sequential([keras.Input((16, 16, 4)), layers.Conv2D(3, 3, name="inner1"), layers.Conv2D(3, 3, name="inner2")])
    inputs = keras.Input((16, 16, 1))
    outputs = finish(inputs, inner(layers.Conv2D(4, 3, padding="same", name="conv1")(inputs))).outputs
    model = keras.Model(inputs, outputs)
    assert cuts.list_convolutions(model) == ["conv1", "inner1", "inner2"]
    compile_frozen(model, ["inner2", "dense", "output"])
    cut = cuts.split_network(model)
    assert cut.names == ("inner1",)
    values = IMAGES.astype(np.float32)
    np.testing.assert_array_equal(cut.upper(cut.lower(values)), model(values))


def test_a_sweep_derives_later_cuts_from_the_deepest(tmp_path):
    model = build_chain()
    compile_frozen(model, ["conv2", "conv3", "dense", "output"])
    deepest = cuts.split_network(model)
    features = feature_cache.cache_features(deepest.lower, IMAGES, tmp_path, batch_size=8, limit_bytes=1e9)
    compile_frozen(model, ["dense", "output"])
    later = cuts.split_network(model)
    direct = feature_cache.cache_features(later.lower, IMAGES, tmp_path, batch_size=8, limit_bytes=1e9)
    middle = cuts.connect_cuts(model, deepest, later.names)
    derived = feature_cache.cache_features(middle, features, tmp_path, batch_size=8, limit_bytes=1e9)
    np.testing.assert_array_equal(derived.inputs, direct.inputs)
    with pytest.raises(ValueError, match="does not lie above the cut"):
        cuts.connect_cuts(model, later, deepest.names)


@pytest.fixture
def lower() -> keras.Model:
    keras.utils.set_random_seed(1)
    return cuts.split_network(compile_frozen(build_chain(), ["dense", "output"])).lower


def cache(lower, folder, images=IMAGES, batch_size=8, limit_bytes=1e9):
    return feature_cache.cache_features(lower, images, folder, batch_size=batch_size, limit_bytes=limit_bytes)


def entries(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob(f"*/{feature_cache.RECORD}")]


def count_passes(monkeypatch) -> list:
    passes, fill = [], feature_cache._fill
    monkeypatch.setattr(feature_cache, "_fill", lambda *args: (passes.append(1), fill(*args)))
    return passes


def test_found_again_and_not_computed_again(lower, tmp_path, monkeypatch):
    passes = count_passes(monkeypatch)
    first, second = cache(lower, tmp_path), cache(lower, tmp_path)
    assert len(passes) == 1
    assert first.digest == second.digest
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert isinstance(first.inputs, np.memmap)


def test_other_weights_images_or_batch_size_are_another_entry(lower, tmp_path):
    digests = {cache(lower, tmp_path).digest, cache(lower, tmp_path, batch_size=4).digest}
    digests.add(cache(lower, tmp_path, images=255 - IMAGES).digest)
    lower.set_weights([w * 2 for w in lower.get_weights()])
    digests.add(cache(lower, tmp_path).digest)
    assert len(digests) == len(entries(tmp_path)) == 4


def test_the_same_graph_built_twice_is_the_same_entry(tmp_path):
    digests = set()
    for _ in range(2):  # Keras numbers unnamed layers on
        keras.utils.set_random_seed(1)
        digests.add(cache(cuts.split_network(compile_frozen(build_chain(), ["dense", "output"])).lower, tmp_path).digest)
    assert len(digests) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "record", "delete", "swap"])
def test_a_damaged_entry_is_never_used(lower, tmp_path, damage):
    expected = np.array(cache(lower, tmp_path).inputs)
    (entry,) = entries(tmp_path)
    file = entry / "000.npy"
    if damage == "flip":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "truncate":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "record":
        (entry / feature_cache.RECORD).write_text("{")
    elif damage == "delete":
        file.unlink()
    else:  # whole, but of another origin
        record = json.loads((entry / feature_cache.RECORD).read_text())
        (entry / feature_cache.RECORD).write_text(json.dumps(record | {"digest": "0" * 64}))
    np.testing.assert_array_equal(cache(lower, tmp_path).inputs, expected)


def test_a_pass_that_was_killed_leaves_nothing_that_counts(lower, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(feature_cache, "_fill", stop)
        with pytest.raises(KeyboardInterrupt):
            cache(lower, tmp_path)
    assert not entries(tmp_path)
    assert cache(lower, tmp_path).inputs.shape == (22, 12)


def test_bounded_and_says_so(lower, tmp_path):
    needed = 22 * 12 * 4
    with pytest.raises(feature_cache.NoRoomError, match="GB"):
        cache(lower, tmp_path, limit_bytes=needed - 1)
    assert not entries(tmp_path)
    cache(lower, tmp_path)
    (first,) = entries(tmp_path)
    os.utime(first, (1, 1))
    cache(lower, tmp_path, batch_size=4, limit_bytes=2.5 * needed + 1000)
    assert len(entries(tmp_path)) == 2
    cache(lower, tmp_path, batch_size=2, limit_bytes=2.5 * needed + 1000)  # the one used longest ago gives way
    assert len(entries(tmp_path)) == 2
    assert first not in entries(tmp_path)


def test_multiplications_are_counted():
    model = build_chain()
    expected = 16 * 16 * 9 * 1 * 4 + 8 * 8 * 9 * 4 * 8 + 4 * 4 * 9 * 8 * 12 + 12 * 8 + 8 * 2
    assert cuts.count_multiplications(model) == expected
