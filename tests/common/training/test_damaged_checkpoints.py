"""A checkpoint with any damage is removed, and its training begins anew: nothing of it is believed, nothing blocks the cell."""

import keras
import numpy as np
import pytest
from mutator import mutate

from common.training import fit

pytestmark = pytest.mark.usefixtures("backend")
MUTATIONS = 300
HISTORY = [{"stage": "toy", "epoch": 1, "loss": 0.5}]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    model.compile("adam", "sparse_categorical_crossentropy")
    fit.build_optimizers(model)
    return model


def test_damage_of_any_kind_begins_anew(model, tmp_path, capfd):
    """The changes go past the checksums of zip, too: zip's own fields are hit as well as what they describe."""
    path = tmp_path / "checkpoint-toy.npz"
    fit._save_checkpoint(path, model, HISTORY, [np.ones(3, np.float32)])
    content, saved = path.read_bytes(), fit.read_state(model)
    removed = 0
    for number in range(MUTATIONS):
        path.write_bytes(mutate(content, number))
        history, best, done = fit._load_checkpoint(path, model)
        if path.exists():  # the change is of a byte that nobody reads
            assert (history, done, best[0].tolist()) == (HISTORY, 1, [1, 1, 1])
        else:
            assert (history, best, done) == ([], [], 0)
            removed += 1
        for kept, now in zip(saved, fit.read_state(model), strict=True):
            np.testing.assert_array_equal(kept, now)
    assert removed > 0.9 * MUTATIONS
    assert "damaged checkpoint removed, this training starts again" in capfd.readouterr().out


@pytest.mark.parametrize("error", [NotImplementedError, RuntimeError, OverflowError, MemoryError, AssertionError, IndexError])
def test_whatever_the_readers_raise(model, tmp_path, monkeypatch, error):
    """What zipfile, zlib, struct and NumPy have been seen to raise beside the errors that they document."""
    path = tmp_path / "checkpoint-toy.npz"
    path.write_bytes(b"damaged")

    def fail(*_args, **_named):
        raise error("damaged")

    monkeypatch.setattr(np, "load", fail)
    assert fit._load_checkpoint(path, model) == ([], [], 0)
    assert not path.exists()
