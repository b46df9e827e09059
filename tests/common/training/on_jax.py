"""Run by test_jax.py in a process of its own, where Keras computes with JAX and TensorFlow cannot be imported."""

import sys
from pathlib import Path

import keras
import numpy as np

from common.training import fit
from common.training.batches import feed_batches
from common.training.timing import draw_labels, draw_pictures
from replications.bone_acgan import acgan
from replications.bone_acgan.config import PRESETS as BONE
from replications.glioma_inceptionv3.train import feed_whole
from replications.lung_hip_compare import models, sgan
from replications.lung_hip_compare.config import PRESETS as LUNG
from replications.lung_hip_compare.train import compile_classifier

LUNG_SMOKE, BONE_SMOKE = LUNG["smoke"], BONE["smoke"]
PICTURES, LABELS = draw_pictures(22, 50, 50, 1), draw_labels(22, 2)


def train_cnn(folder: Path, epochs: int) -> list[np.ndarray]:
    """State after `epochs`; the last batch is short."""
    folder.mkdir(exist_ok=True)
    model = fit.build_compiled(
        "cnn", str(folder), lambda: compile_classifier(models.build_cnn(50, LUNG_SMOKE, 1), LUNG_SMOKE), 0, 8
    )
    fit.fit(
        model,
        lambda epoch: (PICTURES, LABELS),
        stage="CNN",
        epochs=epochs,
        batch_size=8,
        folder=folder,
        report=lambda *args: None,
        validation=(PICTURES, LABELS),
    )
    return fit.read_state(model)


def train_gan(model: keras.Model, arrays: tuple) -> dict:
    fit.build_optimizers(model)
    before = fit.read_state(model)
    logs = model.fit(feed_batches(arrays, 4), shuffle=False, verbose=0).history
    moved = sum(not np.array_equal(a, b) for a, b in zip(before, fit.read_state(model), strict=True))
    assert moved > len(before) / 2, f"{moved} of {len(before)} variables have changed"
    return logs


def main(folder: Path) -> None:
    assert fit.start_backend(1)["backend"] == "jax"
    whole = train_cnn(folder / "whole", 2)
    train_cnn(folder / "parts", 1)
    resumed = train_cnn(folder / "parts", 2)
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)

    network = sgan.build_sgan(50, LUNG_SMOKE, 0, jit_compile=True)
    half = (PICTURES[:8], LABELS[:8], PICTURES[8:16])
    assert np.isfinite(train_gan(network, half)["loss"]).all()
    bone = acgan.build_acgan("ACGAN", BONE_SMOKE, 4, 0, jit_compile=True)
    scans = draw_pictures(4, BONE_SMOKE.height, BONE_SMOKE.width, 1), draw_labels(4, 4).astype("int32")
    train_gan(bone, scans)

    head = keras.Sequential([keras.Input((), dtype="int32"), keras.layers.Embedding(8, 3), keras.layers.Softmax()])
    head.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=2)
    numbers = np.arange(24, dtype=np.int32).reshape(6, 4) % 8
    assert np.isfinite(head.fit(feed_whole(numbers, numbers % 3), verbose=0).history["loss"]).all()
    print("trained on", keras.backend.backend())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
