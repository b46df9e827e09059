"""Training steps on a GPU: images a second, the share of the card's own matrix products, and plain Keras beside them.

`python -m benchmarks.gpu [--networks ResNet-50 VGG16 InceptionV4 MU-ACGAN] [--policies float32 mixed_bfloat16] [--batch 64]
[--steps 30] [--out FILE.json]`

Each network is trained on random pictures at the size of its paper (ResNet-50 and VGG16 at 224 pixels), by plain Keras (`fit` on
arrays, compiled as Keras chooses) and as the suite does it (`train_pass`, XLA where `use_xla` says so), from the same weights
on the same batches; tracing is not counted. In float32, then without TensorFloat-32, the losses must be equal to LOSSES (else it
exits with 1). The peak is that of a product of
bfloat16 matrices in the same process; a step counts the multiplications of convolutions and dense layers, forward and twice
backward. LIMIT is for ResNet-50 in mixed precision on a GPU. Runs on every backend of Keras; the feature cache has a script of
its own (`benchmarks.feature_cache`), which runs on a GPU as it is.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from common.cli import count_cores
from common.training import fit
from common.training.batches import Arrays
from common.training.operations import count_step
from common.training.passes import train_pass
from common.training.timing import Specimen, draw_labels, draw_pictures
from replications.bone_acgan import config as bone
from replications.bone_acgan import efforts as bone_efforts
from replications.bone_acgan import specimens as bone_specimens
from replications.ddsm_inceptionv4 import config as ddsm
from replications.ddsm_inceptionv4 import efforts as ddsm_efforts
from replications.ddsm_inceptionv4 import specimens as ddsm_specimens
from replications.ddsm_inceptionv4.rows import INCEPTION, SCRATCH

LIMIT = 0.4  # of the bfloat16 peak: ResNet-50 in mixed precision
LOSSES = 1e-5  # relative difference in float32
FLOAT32, MIXED = "float32", "mixed_bfloat16"


def build_application(make: Callable[..., keras.Model], side: int, batch: int, jit_compile: bool | str) -> Specimen:
    """A network of keras.applications with two classes, random weights, and the probabilities in float32."""
    features = make(include_top=False, weights=None, input_shape=(side, side, 3), pooling="avg")
    inputs = keras.Input((side, side, 3))
    scores = keras.layers.Dense(2, "softmax", dtype="float32")(features(keras.layers.Rescaling(1 / 127.5, -1)(inputs)))
    model = keras.Model(inputs, scores)
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit_compile)
    return Specimen(model, (draw_pictures(batch, side, side, 3), draw_labels(batch, 2)))


def build_network(name: str, side: int | None, batch: int, jit_compile: bool | str) -> Specimen:
    """A network as its package trains it; side: of ResNet-50 and VGG16, None: 224."""
    if name == "InceptionV4":
        settings = ddsm_efforts.describe(INCEPTION, SCRATCH, ddsm_efforts.WHOLE, ddsm.PAPER).settings
        return ddsm_specimens.build_specimen(settings, batch)
    if name == "MU-ACGAN":
        return bone_specimens.build_specimen(bone_efforts.describe_gan(name, bone.PAPER).settings, batch)
    make = {"ResNet-50": keras.applications.ResNet50, "VGG16": keras.applications.VGG16}[name]
    return build_application(make, side or 224, batch, jit_compile)


def measure_peak(side: int) -> float:
    """Operations a second of the product of two square bfloat16 matrices, the best of several."""
    matrix = keras.ops.cast(keras.random.normal((side, side), seed=0), "bfloat16")
    rounds, seconds = 8, []
    for _ in range(4):
        started = time.perf_counter()
        product = matrix
        for _ in range(rounds):  # one after the other: each takes the last one's result
            product = keras.ops.matmul(product, matrix)
        np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(product[0, 0], "float32")))
        seconds.append(time.perf_counter() - started)
    return rounds * 2 * side**3 / min(seconds[1:])


def multiply_exactly(exact: bool) -> None:
    """Whether a GPU multiplies float32 in float32 rather than in TensorFloat-32, as both libraries do unless told."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest" if exact else None)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(not exact)


def train(model: keras.Model, arrays: tuple[Arrays, ...], batch: int, *, plain: bool) -> list[float]:
    """Losses of one pass over the arrays."""
    if plain:
        history = model.fit(*arrays, batch_size=batch, shuffle=False, verbose=0).history
    else:
        history = {name: [value] for name, value in train_pass(model, arrays, batch).items()}
    return [float(value) for name, values in sorted(history.items()) if "loss" in name for value in values]


def compare_ways(name: str, policy: str, side: int | None, batch: int, steps: int, peak: float) -> dict[str, Any]:
    """Images a second of both ways, their ratio, the share of the peak, and how far their losses are apart."""
    keras.mixed_precision.set_dtype_policy(policy)
    multiply_exactly(policy == FLOAT32)
    rates, losses, operations = {}, {}, 0.0
    start: list[np.ndarray] | None = None
    for way in ("plain", "suite"):
        keras.utils.set_random_seed(0)
        specimen = build_network(name, side, batch, "auto" if way == "plain" else fit.use_xla())
        model, operations = specimen.model, count_step(specimen.model) * specimen.passes
        fit.build_optimizers(model)
        start = fit.read_state(model) if start is None else start
        arrays = keras.tree.map_structure(lambda array: np.concatenate([array] * steps), specimen.arrays)
        train(model, arrays, batch, plain=way == "plain")  # traced
        fit.write_state(model, start)
        started = time.perf_counter()
        losses[way] = train(model, arrays, batch, plain=way == "plain")
        rates[way] = steps * batch / (time.perf_counter() - started)
        keras.backend.clear_session()
    apart = max(abs(a - b) / max(abs(a), 1e-12) for a, b in zip(losses["plain"], losses["suite"], strict=True))
    found = {"images/s": round(rates["suite"], 2), "plain images/s": round(rates["plain"], 2)}
    share = 2 * operations * rates["suite"] / peak  # a multiplication and an addition
    return {**found, "times plain": round(rates["suite"] / rates["plain"], 3), "share": round(share, 4), "losses apart": apart}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["ResNet-50", "VGG16", "InceptionV4", "MU-ACGAN"]
    parser.add_argument("--networks", nargs="+", choices=names, default=names)
    parser.add_argument("--policies", nargs="+", choices=(FLOAT32, MIXED), default=[FLOAT32, MIXED])
    parser.add_argument("--side", type=int, help="pixels of ResNet-50 and VGG16, for trials")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--matrix", type=int, default=8192, help="side of the matrices")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(argv)
    device = fit.start_backend(count_cores())
    peak = measure_peak(given.matrix)
    result: dict[str, Any] = {"device": device["device"], "backend": device["backend"], "peak": peak, "batch": given.batch}
    print(f"{device['device']}, {device['backend']}: bfloat16 products {peak / 1e12:.3g} 10^12 operations/s", flush=True)
    policy = keras.mixed_precision.dtype_policy()
    try:
        for name in given.networks:
            for kind in given.policies:
                found = compare_ways(name, kind, given.side, given.batch, given.steps, peak)
                result[f"{name}, {kind}"] = found
                print(f"{name}, {kind}: " + "; ".join(f"{key} {value:.4g}" for key, value in found.items()), flush=True)
                if kind == FLOAT32 and found["losses apart"] >= LOSSES:
                    result.setdefault("losses differ", []).append(name)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
        multiply_exactly(False)
    if (measured := result.get(f"ResNet-50, {MIXED}")) and "CPU" not in device["device"].upper():
        print(f"limit {LIMIT:.0%} of the peak: {'kept' if measured['share'] >= LIMIT else 'missed'}")
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    sys.exit(1 if "losses differ" in main() else 0)
