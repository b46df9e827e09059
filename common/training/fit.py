"""One training: seeding, devices, fit with history, early stopping, and exact resume after `kill -9`.

Exact means: an interrupted and resumed training ends in the same weights, to the last bit, as an uninterrupted one at the
same number of threads. Everything that an epoch depends on is either saved (weights, optimiser slots and step, the states
of the random generators, best weights, history) or a pure function of (seed, epoch) (order of the cases).
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from common.files import replace_file
from common.training.batches import Arrays, assert_uint8, feed_batches
from common.training.passes import train_pass
from common.training.random_networks import seed_layers

CHECKPOINT_SECONDS = 20.0  # at most one checkpoint in this time, and never more than 5 % of the time spent writing
Report = Callable[[str, int, int, dict], None]  # stage, epochs done, epochs in all, logs


class Strategy(Protocol):
    """What is used of a tf.distribute.Strategy."""

    def scope(self) -> contextlib.AbstractContextManager: ...


_compiled: dict[tuple[str, str], keras.Model] = {}  # (graph, part) -> compiled model
_new_optimizers: dict[tuple[str, str], list[np.ndarray]] = {}  # the same -> variables of its optimiser before the first step


def start_backend(threads: int) -> dict:
    """Set threads and determinism before the first operation; return what is in force, for the record.

    threads: intra-operation threads of this process. Once TensorFlow has started they cannot be changed: asking for
    another number then raises RuntimeError. Returns {backend, device, threads, deterministic}.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        return {"backend": backend, "device": _device_of(backend), "threads": None, "deterministic": False}
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(max(1, threads))
    tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        if not tf.config.experimental.get_memory_growth(gpu):
            tf.config.experimental.set_memory_growth(gpu, True)
    return {"backend": backend, "device": _device_of(backend), "threads": threads, "deterministic": True}


def _device_of(backend: str) -> str:
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        names = {tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus}
        return f"{len(gpus)} x {', '.join(sorted(names))}" if gpus else "CPU"
    if backend == "jax":
        import jax

        found = jax.devices()
        return f"{len(found)} x {found[0].device_kind}" if found[0].platform != "cpu" else "CPU"
    return ", ".join(sorted(set(map(str, keras.distribution.list_devices()))))


def choose_strategy(batch_size: int) -> Strategy:
    """Distribution strategy for one training: MirroredStrategy over all visible GPUs, the plain one with none or one.

    The global batch stays the paper's: with a batch that does not divide by the GPUs, the largest number of them that
    divides it is used (Keras cannot build a first batch of unequal parts).
    """
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    count = max((n for n in range(1, len(gpus) + 1) if batch_size % n == 0), default=0)
    if count < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus[:count]])


def build_compiled(graph: str, part: str, build: Callable[[], keras.Model], seed: int, batch_size: int) -> keras.Model:
    """Compiled model in its initial state for `seed`; what was traced for the same graph and part is used again.

    graph: name of the network and everything that shapes it; part: one of its models, where a network is trained in
    parts. build() returns a compiled model; its layers are seeded here (`seed_layers`). Tracing costs seconds, new
    initial values cost none: a second training of the same graph takes over every variable (weights, optimiser,
    generators) of a freshly built model, so it equals one in a process of its own.
    """
    fresh = _build_in_scope(build, seed, batch_size)
    if any(known != graph for known, _ in _compiled):
        _compiled.clear()  # one graph at a time: memory stays bounded
    if (graph, part) in _compiled:
        write_state(_compiled[graph, part], read_state(fresh))
    else:
        _compiled[graph, part] = fresh
    return _compiled[graph, part]


def open_compiled(graph: str, part: str, build: Callable[[], keras.Model], seed: int, batch_size: int) -> keras.Model:
    """Compiled model with a new optimiser and its random generators set for `seed`; all weights are the caller's to set.

    As `build_compiled`, and cheaper: a model that is there already is not built again for its initial values.
    """
    if any(known != graph for known, _ in _compiled):
        _compiled.clear()
        _new_optimizers.clear()
    if (graph, part) not in _compiled:
        model = _compiled[graph, part] = _build_in_scope(build, seed, batch_size)
        _new_optimizers[graph, part] = [np.array(v) for o in optimizers_of(model) for v in o.variables]
    model = _compiled[graph, part]
    variables = [variable for optimizer in optimizers_of(model) for variable in optimizer.variables]
    for variable, value in zip(variables, _new_optimizers[graph, part], strict=True):
        variable.assign(value)
    generators = [v for layer in model.layers for v in vars(layer).values() if isinstance(v, keras.random.SeedGenerator)]
    for number, generator in enumerate(generators):
        generator.state.assign(np.array([seed, number], np.uint32))
    return model


def _build_in_scope(build: Callable[[], keras.Model], seed: int, batch_size: int) -> keras.Model:
    on_tensorflow = keras.backend.backend() == "tensorflow"
    with seed_layers(seed), choose_strategy(batch_size).scope() if on_tensorflow else contextlib.nullcontext():
        model = build()
        build_optimizers(model)
    return model


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The model's optimisers: one, or several where a network is trained by turns (GANs)."""
    return list(getattr(model, "optimizers", None) or [model.optimizer])


def build_optimizers(model: keras.Model) -> None:
    """Create the optimisers' variables now: resume and tf.distribute need them before the first step."""
    for optimizer in optimizers_of(model):
        if not optimizer.built:
            optimizer.build(model.trainable_variables)


def read_state(model: keras.Model) -> list[np.ndarray]:
    """All that training changes: weights, generator states, optimiser variables, in a fixed order."""
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in _state_variables(model)]


def write_state(model: keras.Model, state: list[np.ndarray]) -> None:
    """Inverse of `read_state`; ValueError where shapes do not fit."""
    variables = _state_variables(model)
    if [tuple(v.shape) for v in variables] != [a.shape for a in state]:
        raise ValueError("the saved state belongs to another network")
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


def _state_variables(model: keras.Model) -> list:
    found = list(model.variables)
    for optimizer in optimizers_of(model):
        found += optimizer.variables
    return list({id(v): v for v in found}.values())


def fit(
    model: keras.Model,
    arrays_of_epoch: Callable[[int], tuple[Arrays, ...]],
    *,
    stage: str,
    epochs: int,
    batch_size: int,
    folder: Path,
    report: Report,
    validation: tuple[Arrays, np.ndarray] | None = None,
    patience: int | None = None,
    watch: str = "val_loss",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> list[dict]:
    """Train `model` for `epochs`, or go on where the checkpoint in `folder` stands.

    arrays_of_epoch(epoch) gives the arrays of one epoch in their order (a pure function of the epoch), e.g. (images, labels),
    or `Indexed` ones. validation: (inputs, labels int) scored after each epoch; with `patience`, training stops after that
    many epochs without a better validation score and the weights of the best epoch are restored. watch: that score, "val_loss"
    (cross-entropy, lower is better) or "val_auc" (area under the ROC curve of class 1, higher is better, of equals the lower
    val_loss).
    Returns the history: one dict {stage, epoch (from 1), loss, ..., val_loss, val_accuracy} an epoch, val_auc if it is watched.
    """
    path = folder / f"checkpoint-{stage}.npz"
    history, best, done = _load_checkpoint(path, model)
    written, cost = time.monotonic(), 0.0
    while done < epochs and not _is_over(history, patience, watch):
        logs = train_pass(model, arrays_of_epoch(done), batch_size, done)
        entry: dict[str, Any] = {"stage": stage, "epoch": done + 1, **logs}
        if not np.isfinite(entry["loss"]):
            raise FloatingPointError(f"{stage}: the loss became {entry['loss']} in epoch {done + 1}")
        if validation is not None:
            entry.update(score_validation(model, *validation, area=watch == "val_auc"))
            if patience is not None and find_best([*history, entry], watch) == len(history):
                best = [np.array(w) for w in model.get_weights()]
        history.append(entry)
        done += 1
        report(stage, done, epochs, entry)
        due = max(checkpoint_seconds, 20 * cost)
        if done == epochs or _is_over(history, patience, watch) or time.monotonic() - written >= due:
            started = time.monotonic()
            _save_checkpoint(path, model, history, best)
            written, cost = time.monotonic(), time.monotonic() - started
    if best:
        model.set_weights(best)
    return history


def _is_over(history: list[dict], patience: int | None, watch: str) -> bool:
    return patience is not None and bool(history) and len(history) - 1 - find_best(history, watch) >= patience


def find_best(history: list[dict], watch: str) -> int:
    """Position of the best epoch, the first of equals."""
    order = [(entry["val_loss"],) if watch == "val_loss" else (-entry[watch], entry["val_loss"]) for entry in history]
    return order.index(min(order))


def predict(model: keras.Model, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Class probabilities, float32 (n, classes), of uint8 images (n, side, side, channels)."""
    assert_uint8(images)
    return predict_values(model, images, batch_size)


def predict_values(model: keras.Model, inputs: Arrays, batch_size: int = 256) -> np.ndarray:
    """Output of a model for inputs of any kind, float32 (n, ...); a tuple of arrays for a model of several inputs."""
    batches = feed_batches((inputs,) if isinstance(inputs, tuple) else inputs, batch_size)
    return np.asarray(model.predict(batches, verbose=0), np.float32)


def build_accuracy() -> keras.metrics.Metric:
    """Accuracy against integer labels, its variables made now: those that Keras makes in the first step have it traced twice."""
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")


def use_xla() -> bool:
    """Whether to compile with XLA: faster on a GPU, slower on a CPU (ResNet-50: 11 against 18.5 images/s)."""
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def score_validation(model: keras.Model, inputs: Arrays, labels: np.ndarray, *, area: bool = False) -> dict[str, float]:
    """Mean cross-entropy (nats) and accuracy of a model that gives probabilities; with `area` the AUC of class 1, too."""
    scores = predict_values(model, inputs)
    likelihood = np.clip(scores[np.arange(len(labels)), labels].astype(np.float64), 1e-7, 1.0)
    found = {
        "val_loss": float(-np.log(likelihood).mean()),
        "val_accuracy": float((scores.argmax(axis=1) == labels).mean()),
    }
    return found | ({"val_auc": float(roc_auc_score(labels == 1, scores[:, 1]))} if area else {})


def _save_checkpoint(path: Path, model: keras.Model, history: list[dict], best: list[np.ndarray]) -> None:
    state = read_state(model)
    arrays = {f"state-{i:05d}": a for i, a in enumerate(state)} | {f"best-{i:05d}": a for i, a in enumerate(best)}
    arrays["history"] = np.frombuffer(json.dumps(history).encode(), np.uint8)
    arrays["digest"] = np.frombuffer(_digest(arrays), np.uint8)
    with replace_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its types take every array for the option allow_pickle


def _load_checkpoint(path: Path, model: keras.Model) -> tuple[list[dict], list[np.ndarray], int]:
    """(history, best weights, epochs done); a damaged checkpoint is removed and training begins anew."""
    if not path.exists():
        return [], [], 0
    with open(path, "rb") as content:  # that it cannot be opened is no damage
        try:
            with np.load(content, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if arrays.pop("digest").tobytes() != _digest(arrays):
                raise ValueError("digest")
            history = json.loads(arrays["history"].tobytes())
            write_state(model, [arrays[name] for name in sorted(arrays) if name.startswith("state-")])
            return history, [arrays[name] for name in sorted(arrays) if name.startswith("best-")], len(history)
        except Exception:  # zipfile, zlib and NumPy make many things of damaged bytes
            print(f"{path}: damaged checkpoint removed, this training starts again")
            path.unlink()
            return [], [], 0


def _digest(arrays: dict[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.digest()
