"""Training: the same seed gives the same weights, resume is exact, reuse of a traced graph changes nothing."""

import keras
import numpy as np
import pytest

from common.training import fit
from common.training.batches import shuffle_order

pytestmark = pytest.mark.usefixtures("backend")
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
LABELS = (IMAGES.mean(axis=(1, 2, 3)) > 127).astype(int)


def build() -> keras.Model:
    """A small network with all that has state: BatchNormalization, dropout, Adam."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    x = keras.layers.Dropout(0.3)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def arrays_of_epoch(epoch: int):
    order = shuffle_order(len(IMAGES), 5, epoch)
    return IMAGES[order], LABELS[order]


def train(folder, epochs=4, seed=3, graph="toy", **more):
    model = fit.build_compiled(graph, "part", build, seed, 8)
    history = fit.fit(
        model, arrays_of_epoch, stage="toy", epochs=epochs, batch_size=8, folder=folder, report=lambda *_: None,
        checkpoint_seconds=0, **more,
    )  # fmt: skip
    return model, history


def test_same_seed_same_weights_and_reuse_of_the_graph(tmp_path):
    """A second training of a traced graph equals the first; another graph in between, and a fresh one, change nothing."""
    states = []
    for name, graph in (("a", "toy"), ("b", "toy"), ("c", "other graph"), ("d", "toy")):
        (tmp_path / name).mkdir()
        model, _ = train(tmp_path / name, graph=graph)
        states.append(fit.read_state(model))
    for state in states[1:]:
        for first, other in zip(states[0], state, strict=True):
            np.testing.assert_array_equal(first, other)


def test_other_seed_other_weights(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = fit.read_state(train(tmp_path / "a", seed=3)[0])
    second = fit.read_state(train(tmp_path / "b", seed=4)[0])
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("options", [{}, {"validation": (IMAGES, LABELS), "patience": 1}], ids=["plain", "early stopping"])
def test_resume_is_exact(tmp_path, options):
    """Stopped after 2 of 6 epochs and resumed: weights, optimiser, generators and history of the uninterrupted training."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, history = train(tmp_path / "whole", epochs=6, **options)
    expected = fit.read_state(whole)
    train(tmp_path / "parts", epochs=2, **options)
    resumed, resumed_history = train(tmp_path / "parts", epochs=6, **options)
    assert resumed_history == history
    for a, b in zip(expected, fit.read_state(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_interrupted_between_checkpoints(tmp_path):
    """A training that dies in its third epoch goes on from its last checkpoint (writing them is rationed)."""
    seen = []

    def dying(epoch):
        seen.append(epoch)
        if len(seen) == 3:
            raise RuntimeError("killed")
        return arrays_of_epoch(epoch)

    (tmp_path / "whole").mkdir()
    expected = fit.read_state(train(tmp_path / "whole")[0])
    model = fit.build_compiled("toy", "part", build, 3, 8)
    settings = {"stage": "toy", "epochs": 4, "batch_size": 8, "folder": tmp_path, "report": lambda *_: None}
    settings["checkpoint_seconds"] = 0
    with pytest.raises(RuntimeError, match="killed"):
        fit.fit(model, dying, **settings)
    model = fit.build_compiled("toy", "part", build, 3, 8)
    fit.fit(model, dying, **settings)
    assert seen[:3] == [0, 1, 2]
    assert seen[3] in (1, 2)
    assert seen[3:] == list(range(seen[3], 4))
    for a, b in zip(expected, fit.read_state(model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "garbage"])
def test_damaged_checkpoint_starts_again(tmp_path, damage, capsys):
    (tmp_path / "whole").mkdir()
    expected, history = train(tmp_path / "whole")
    state = fit.read_state(expected)
    train(tmp_path, epochs=2)
    path = tmp_path / "checkpoint-toy.npz"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[:-200]
    elif damage == "flipped":
        content[len(content) // 2] ^= 255
    else:
        content = b"not a checkpoint"
    path.write_bytes(bytes(content))
    model, again = train(tmp_path)
    assert "damaged checkpoint" in capsys.readouterr().out
    assert again == history
    for a, b in zip(state, fit.read_state(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_early_stopping_restores_the_best_epoch(tmp_path):
    """With flipped validation labels the loss rises from the start: training stops and the first weights come back."""
    model, history = train(tmp_path, epochs=30, validation=(IMAGES, 1 - LABELS), patience=2)
    losses = [entry["val_loss"] for entry in history]
    best = int(np.argmin(losses))
    assert len(history) == best + 3 < 30
    assert fit.score_validation(model, IMAGES, 1 - LABELS)["val_loss"] == pytest.approx(losses[best], abs=1e-6)


def test_validation_loss_is_the_cross_entropy():
    model = fit.build_compiled("toy", "part", build, 0, 8)
    scores = fit.predict(model, IMAGES)
    found = fit.score_validation(model, IMAGES, LABELS)
    reference = keras.losses.SparseCategoricalCrossentropy()(LABELS, scores)
    assert found["val_loss"] == pytest.approx(float(reference), rel=1e-5)
    assert found["val_accuracy"] == pytest.approx((scores.argmax(1) == LABELS).mean())


def test_diverged_training_is_said(tmp_path):
    model = fit.build_compiled("toy", "part", build, 0, 8)
    model.optimizer.learning_rate = 1e38
    with pytest.raises(FloatingPointError, match="the loss became"):
        fit.fit(model, arrays_of_epoch, stage="toy", epochs=5, batch_size=8, folder=tmp_path, report=lambda *_: None)


def test_state_of_another_network_is_refused():
    model = fit.build_compiled("toy", "part", build, 0, 8)
    with pytest.raises(ValueError, match="another network"):
        fit.write_state(model, fit.read_state(model)[:-1])
