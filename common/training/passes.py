"""One pass over the training data: by Keras' `fit`, or, on an accelerator under JAX, many steps as one program.

Keras starts every step from Python, which costs more than the step itself where network and pictures are small: a ResNet-50 on
50 pixels has 320 variables, that Python hands over 260 times a pass.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common.training.batches import Arrays, Indexed, feed_batches

PROGRAM_BYTES = 64 * 2**20  # of arrays that are handed to one program; the next ones are made ready while it runs


def is_accelerated() -> bool:
    """Whether JAX computes, and not on the CPU: there XLA runs convolutions within a loop on one thread."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() != "cpu"


def train_pass(model: keras.Model, arrays: tuple[Arrays, ...], batch_size: int, number: int = 0) -> dict[str, float]:
    """Train `model` on all batches of `arrays` in their order, the last one short; return the values of its metrics.

    number: of the pass, from 0. Both ways make the same steps on the same batches.
    """
    if is_accelerated():
        return chain_steps(model, arrays, batch_size)
    batches = feed_batches(arrays, batch_size)
    history = model.fit(batches, initial_epoch=number, epochs=number + 1, shuffle=False, verbose=0).history
    return {name: float(values[-1]) for name, values in history.items()}


def chain_steps(
    model: keras.Model, arrays: tuple[Arrays, ...], batch_size: int, most_bytes: int = PROGRAM_BYTES
) -> dict[str, float]:
    """As `train_pass`, by programs of as many whole batches as `most_bytes` hold; JAX only, for compiled models.

    Models with a `train_step` of their own are trained by it (signature of Keras on JAX: state, data -> logs, state).
    """
    members = keras.tree.flatten(arrays)
    count = len(members[0])
    whole = count // batch_size
    held = most_bytes // max(1, batch_size * sum(_count_bytes(member) for member in members))
    steps = max(1, min(whole, held))

    def cut(start: int, rows: int, shape: tuple[int, ...]) -> Any:
        """`rows` cases from `start`, in arrays of the leading `shape`; what is not filled is never read."""
        parts = []
        for member in members:
            part = np.asarray(member[start : start + rows])
            if rows < math.prod(shape):
                part = np.concatenate([part, np.zeros((math.prod(shape) - rows, *part.shape[1:]), part.dtype)])
            parts.append(part.reshape(*shape, *part.shape[1:]))
        return keras.tree.pack_sequence_as(arrays, parts)

    rest = count - whole * batch_size
    model._symbolic_build(data_batch=cut(0, min(count, batch_size), (min(count, batch_size),)))  # makes the metrics' variables
    model.reset_metrics()
    chain, step = vars(model).get("_chained") or vars(model).setdefault("_chained", _build_programs(model))  # live as long as it
    groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables, model.metrics_variables)
    state = tuple([variable.value for variable in group] for group in groups)
    for first in range(0, whole, steps):
        here = min(steps, whole - first)
        state = chain(state, cut(first * batch_size, here * batch_size, (steps, batch_size)), here)
    if rest:
        state = step(state, cut(whole * batch_size, rest, (rest,)))
    for group, values in zip(groups, state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _count_bytes(member: np.ndarray | Indexed) -> int:
    """Of one case."""
    return (member.array if isinstance(member, Indexed) else member)[:1].nbytes


def _build_programs(model: keras.Model) -> tuple[Callable, Callable]:
    """(state, batches (steps, batch, ...), how many of them) -> state, and the same for a single batch."""
    import jax

    def step(state: tuple, batch: Any) -> tuple:
        return tuple(list(group) for group in model.train_step(state, batch)[1])

    def chain(state: tuple, batches: Any, count: int) -> tuple:
        def take(number: int, now: tuple) -> tuple:
            return step(now, keras.tree.map_structure(lambda array: array[number], batches))

        return jax.lax.fori_loop(0, count, take, state)

    return jax.jit(chain, donate_argnums=0), jax.jit(step, donate_argnums=0)
