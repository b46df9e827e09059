"""Run by test_jax.py in a process of its own: steps chained to one program against Keras' own `fit`, network by network."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from common.training import fit, passes
from common.training.timing import draw_labels, draw_pictures
from replications.lung_hip_compare import dbn, models, sgan
from replications.lung_hip_compare.config import PRESETS as LUNG

LUNG_SMOKE = LUNG["smoke"]
CASES, BATCH = 22, 4  # five whole batches and a short one
PICTURES, LABELS = draw_pictures(CASES, 32, 32, 1), draw_labels(CASES, 2)
ONE_STEP = PICTURES[:BATCH].nbytes + LABELS[:BATCH].nbytes


def build_resnet() -> keras.Model:
    """With momentum: Adam makes whole steps of gradients that are zero but for rounding (biases before a norm)."""
    model = models.build_resnet50(32, replace(LUNG_SMOKE, resnet_width=2), 1)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=True)
    return model


def build_rbm() -> keras.Model:
    machine = dbn.RBM(48, 8, seed=3, weight_decay=1e-4)
    machine.compile(keras.optimizers.SGD(0.1, momentum=0.5), jit_compile=True)
    return machine


def build_gan() -> keras.Model:
    return sgan.build_sgan(32, LUNG_SMOKE, 0, jit_compile=True)


def compare(build: Callable[[], keras.Model], arrays: tuple, most_bytes: int) -> None:
    """Two passes each way from the same state: the same metrics and the same state after it."""
    plain, chained = (fit.build_compiled("one", f"{build.__name__} {way}", build, 5, BATCH) for way in (1, 2))
    fit.write_state(chained, fit.read_state(plain))
    for number in range(2):
        wanted = passes.train_pass(plain, arrays, BATCH, number)
        found = passes.chain_steps(chained, arrays, BATCH, most_bytes)
        assert wanted.keys() == found.keys(), (wanted, found)
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=f"{build.__name__} {name}")
    for one, other in zip(fit.read_state(plain), fit.read_state(chained), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5, err_msg=build.__name__)


def main(folder: Path) -> None:
    assert fit.start_backend(1)["backend"] == "jax"
    assert not passes.is_accelerated(), "the CPU trains by Keras' own fit"
    values = PICTURES[:, :4, :12, 0].reshape(CASES, 48).astype(np.float32) / 255
    compare(build_resnet, (PICTURES, LABELS), 2 * ONE_STEP)  # programs of 2, 2, 1 steps, a short batch
    compare(build_rbm, (values,), passes.PROGRAM_BYTES)
    compare(build_gan, (PICTURES[:20], LABELS[:20], PICTURES[::-1][:20]), passes.PROGRAM_BYTES)  # no short batch
    few = draw_pictures(3, 32, 32, 1), draw_labels(3, 2)
    compare(build_resnet, few, passes.PROGRAM_BYTES)  # less than one batch

    passes.is_accelerated = lambda: True
    model = fit.build_compiled("two", "", build_resnet, 0, BATCH)
    before = fit.read_state(model)
    history = fit.fit(
        model, lambda epoch: (PICTURES, LABELS), stage="s", epochs=2, batch_size=BATCH, folder=folder, report=lambda *args: None
    )
    assert [entry.keys() for entry in history] == [{"stage", "epoch", "loss", "accuracy"}] * 2
    assert not all(np.array_equal(a, b) for a, b in zip(before, fit.read_state(model), strict=True))
    print("chained on", keras.backend.backend())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
