"""Networks trained by turns in one step, each with an optimiser of its own, as generative adversarial networks are."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from common.errors import UsageError

Update = tuple[keras.Model, keras.optimizers.Optimizer, Callable[[], Any]]  # what changes, by what, function that gives the loss


class TurnTrained(keras.Model):
    """A model whose step is a list of updates, each of which changes one of its networks and nothing else.

    A subclass gives `list_updates(*data)`: the updates of a step in their order, and `metrics`; it sets `built` where it has no
    forward pass. Backends: TensorFlow (tf.distribute included) and JAX.
    """

    def compile_turns(
        self, turns: Sequence[tuple[keras.optimizers.Optimizer, keras.Model]], jit_compile: bool | str = "auto"
    ) -> None:
        """Take the optimisers, each with its network; their variables are created here: tf.distribute and resume need them at
        once. Raises UsageError on another backend than TensorFlow and JAX."""
        backend = keras.backend.backend()
        if backend not in ("tensorflow", "jax"):
            raise UsageError(f"{self.name} trains on the backends tensorflow and jax, not on {backend}: set KERAS_BACKEND")
        keras.Model.compile(self, optimizer=None, jit_compile=jit_compile)
        self.optimizers = [optimizer for optimizer, _ in turns]
        for optimizer, network in turns:
            optimizer.build(network.trainable_variables)
        if backend == "jax":
            self.optimizer = _OptimizerVariables(self.optimizers)

    def list_updates(self, *data: Any) -> Sequence[Update]:
        """The updates of a step on one batch."""
        raise NotImplementedError

    def train_step(self, *arguments: Any) -> Any:
        """One step; arguments: (data,) on TensorFlow, (state, data) on JAX."""
        return self._train_on_jax(*arguments) if len(arguments) == 2 else self._train_on_tensorflow(*arguments)

    def _train_on_tensorflow(self, data: tuple) -> dict:
        for update in self.list_updates(*data):
            apply_update(*update)
        return self.get_metrics_result()

    def _train_on_jax(self, state: tuple, data: tuple) -> tuple:
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )  # the parts of `state`
        variables = [v for group in groups for v in group]
        values = {id(v): x for v, x in zip(variables, (x for part in state for x in part), strict=True)}
        for update in self.list_updates(*data):
            values = _update_values(variables, values, *update)
        with keras.StatelessScope([(v, values[id(v)]) for v in variables]):
            logs = self.get_metrics_result()
        return logs, tuple([values[id(v)] for v in group] for group in groups)


class _OptimizerVariables:
    """What Keras' JAX trainer asks of its one optimiser, answered for several."""

    built = True

    def __init__(self, optimizers: Sequence[keras.optimizers.Optimizer]):
        self.variables = [v for optimizer in optimizers for v in optimizer.variables]


def count_replicas() -> int:
    """Devices that share a batch in the current tf.distribute strategy; 1 on other backends."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def draw_for_replica(draw: Callable[[tuple[int, ...]], Any], shape: tuple) -> Any:
    """A draw of this shape; under tf.distribute every replica takes its own part of a common draw.

    draw: shape -> tensor, by a `keras.random.SeedGenerator`, whose state is the same on all replicas.
    """
    replicas, replica = count_replicas(), 0
    if replicas > 1:
        import tensorflow as tf

        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return draw((replicas, *shape))[replica]


def apply_update(network: keras.Model, optimizer: keras.optimizers.Optimizer, compute_loss: Callable[[], Any]) -> None:
    """Change `network`, and nothing but it, by the gradient of compute_loss(); TensorFlow only."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = compute_loss()
    optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)


def _update_values(variables: list, values: dict, network: keras.Model, optimizer: Any, compute_loss: Callable[[], Any]) -> dict:
    """`apply_update` without side effects, for JAX: values of all variables (by id) before to after."""
    import jax

    own = network.trainable_variables

    def evaluate(own_values: list) -> tuple:
        current = values | {id(v): x for v, x in zip(own, own_values, strict=True)}
        with keras.StatelessScope([(v, current[id(v)]) for v in variables]) as scope:
            loss = compute_loss()
        return loss, {id(v): scope.get_current_value(v) for v in variables}

    before = [values[id(v)] for v in own]
    gradients, after = jax.grad(evaluate, has_aux=True)(before)
    slots = [values[id(v)] for v in optimizer.variables]
    own_values, slots = optimizer.stateless_apply(slots, gradients, before)
    after |= {id(v): x for v, x in zip(own, own_values, strict=True)}
    return after | {id(v): x for v, x in zip(optimizer.variables, slots, strict=True)}
