"""Training on cached activations equals plain Keras to the last bit; a bad cache is never used."""

import json
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from small_networks import IMAGES, LABELS, build_branches, build_chain, build_residual, compile_frozen

from common.files import hold_lock
from common.training import cuts, feature_cache
from common.training import fit as training_fit
from common.training.batches import Indexed, shuffle_order

pytestmark = pytest.mark.usefixtures("backend")


def fit(model: keras.Model, inputs, folder: Path, epochs: int = 3) -> list[float]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    training_fit.build_optimizers(model)

    def arrays_of_epoch(epoch):
        order = shuffle_order(len(LABELS), 3, epoch)
        taken = tuple(index(array, order) for array in arrays)
        return (taken if len(taken) > 1 else taken[0], LABELS[order])

    history = training_fit.fit(
        model, arrays_of_epoch, stage="x", epochs=epochs, batch_size=8, folder=folder, report=lambda *_: None
    )
    return [entry["loss"] for entry in history]


def index(array: np.ndarray, order: np.ndarray) -> np.ndarray | Indexed:
    return Indexed(array, order) if isinstance(array, np.memmap) else array[order]


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


@pytest.mark.parametrize("damage", ["flip", "truncate", "record", "deep", "delete", "swap"])
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
    elif damage == "deep":
        (entry / feature_cache.RECORD).write_text("[" * 100_000)
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


def test_what_kill_9_left_of_any_entry_goes(lower, tmp_path):
    needed = 22 * 12 * 4
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in ("a" * 32, "b" * 32):
        left = tmp_path / f".{name}.{gone.pid}.part"
        left.mkdir(parents=True)
        (left / "000.npy").write_bytes(bytes(needed))
    with hold_lock(tmp_path / f"{'b' * 32}.lock", wait=False):  # computed by a living process, maybe of another machine
        with pytest.raises(feature_cache.NoRoomError, match="GB"):
            cache(lower, tmp_path, limit_bytes=2 * needed - 1)
        cache(lower, tmp_path, limit_bytes=2 * needed)
    assert [path.name for path in tmp_path.glob(".*")] == [left.name]
    cache(lower, tmp_path, batch_size=4)
    assert list(tmp_path.glob(".*")) == []


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
