"""Rectified Adam for Keras 3, on every backend (Liu et al. 2020, "On the variance of the adaptive learning rate and beyond").

Keras has none, and that of TensorFlow Addons, whose trajectories the tests repeat, ended with Keras 2.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

SERIES = 0.5  # below it 1 - x / (e^x - 1) is summed as a series: the difference would cancel


@keras.saving.register_keras_serializable("replications")
class RAdam(keras.optimizers.Optimizer):
    """Adam whose adaptive step is withheld until the variance of its second moment is tractable, and rectified from then on.

    In step t, rho_t = rho_inf - 2 t beta_2^t / (1 - beta_2^t) is the length of the simple moving average that approximates the
    second moment, rho_inf = 2 / (1 - beta_2) - 1. While rho_t < threshold, the step is learning_rate * m (bias-corrected); later
    learning_rate * r_t * m / (sqrt(v) + epsilon), with r_t the square root of
    (rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t).

    learning_rate: number or schedule. threshold: at least 4, where r_t begins to exist; 5 as in TensorFlow Addons and PyTorch
    (with beta_2 = 0.999 the sixth step is the first rectified one). factors: name of a layer -> factor on the learning rate of
    its weights, for new layers that learn faster. weight_decay of Keras is the decoupled one. Sparse gradients
    (of an Embedding, on TensorFlow) are made dense: every row's moments decay in every step. All of it in float32 without
    cancellation: rho_t is accurate to 1e-6 from the first step to the millionth. Raises ValueError for a threshold below 4.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        threshold: float = 5.0,
        factors: Mapping[str, float] | None = None,
        name: str = "radam",
        **options: Any,
    ):
        if threshold < 4:
            raise ValueError(f"threshold {threshold}: the rectification exists from 4 on only")
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.beta_1, self.beta_2, self.epsilon, self.threshold = beta_1, beta_2, epsilon, threshold
        self.factors = dict(factors or {})

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        paths = [f"/{variable.path}" for variable in variables]
        self._factor_of = [next((f for layer, f in self.factors.items() if f"/{layer}/" in path), 1.0) for path in paths]
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def _backend_update_step(self, grads: list, trainable_variables: list, learning_rate: Any) -> None:
        # What is the same for all variables is computed once: of a generator of 260 it would be half of the graph.
        super()._backend_update_step(grads, trainable_variables, (learning_rate, *self._weigh()))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate, adaptive, plain, epsilon = (ops.cast(value, variable.dtype) for value in learning_rate)
        index = self._get_variable_index(variable)
        if self._factor_of[index] != 1:
            rate = rate * self._factor_of[index]
        dense = ops.subtract(gradient, ops.zeros(variable.shape, variable.dtype))  # a sparse gradient becomes dense
        mean, square = self._means[index], self._squares[index]
        self.assign_add(mean, (1 - self.beta_1) * (dense - mean))
        self.assign_add(square, (1 - self.beta_2) * (ops.square(dense) - square))
        self.assign_sub(variable, rate * mean * (adaptive / (ops.sqrt(square) + epsilon) + plain))

    def _weigh(self) -> tuple:
        """Weights of m / (sqrt(v) + epsilon) and of m in this step, and epsilon, all for moments that are not bias-corrected:
        float32 ()."""
        t = ops.cast(self.iterations + 1, "float32")
        length, longest = measure_average(t, self.beta_2)
        ready = length >= self.threshold
        held = ops.maximum(length, self.threshold)  # the root of what is not used must be finite as well
        rectified = ops.sqrt((held - 4) * (held - 2) * longest / ((longest - 4) * (longest - 2) * held))
        of_mean = -ops.expm1(t * math.log(self.beta_1))  # 1 - beta_1^t
        root = ops.sqrt(-ops.expm1(t * math.log(self.beta_2)))
        adaptive = ops.where(ready, rectified * root / of_mean, 0.0)
        plain = ops.where(ready, 0.0, 1 / of_mean)
        return adaptive, plain, self.epsilon * root

    def get_config(self) -> dict[str, Any]:
        names = ("beta_1", "beta_2", "epsilon", "threshold", "factors")
        return super().get_config() | {name: getattr(self, name) for name in names}


def measure_average(t: Any, beta_2: float) -> tuple:
    """(rho_t, rho_inf): t a float32 tensor (); rho_t float32 (), accurate to about 1e-6; rho_inf a number.

    With x = -t ln(beta_2), t beta_2^t / (1 - beta_2^t) is x / (e^x - 1) over -ln(beta_2): what nearly cancels is gathered in a
    constant of double precision, the rest is a function of x alone.

    >>> [round(float(measure_average(ops.cast(t, "float32"), 0.999)[0]), 3) for t in (1, 5, 6, 1000)]
    [1.0, 4.996, 5.994, 835.406]
    """
    rate, longest = -math.log(beta_2), 2 / (1 - beta_2) - 1
    x = t * rate
    short = ops.minimum(x, SERIES)
    series = short / 2 - short**2 / 12 + short**4 / 720 - short**6 / 30240 + short**8 / 1209600
    long = ops.maximum(x, SERIES)
    share = ops.where(x < SERIES, series, 1 - long / ops.expm1(long))  # 1 - x / (e^x - 1)
    return (longest - 2 / rate) + (2 / rate) * share, longest


def scale_layers(optimizer: keras.optimizers.Optimizer, factors: Mapping[str, float]) -> keras.optimizers.Optimizer:
    """The same optimiser with a factor on the learning rate of some layers, by their names; all others learn at its own rate.

    For optimisers whose step is `update_step`, as Keras' are.

    >>> sgd = scale_layers(keras.optimizers.SGD(0.1), {"head": 10.0})
    >>> layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="head")
    >>> layer.build((None, 1))
    >>> sgd.apply([ops.ones((1, 1))], layer.trainable_variables)
    >>> float(layer.kernel[0, 0])
    0.0
    """
    step = optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        path = optimizer._trainable_variables[optimizer._get_variable_index(variable)].path
        factor = next((of for layer, of in factors.items() if f"/{layer}/" in f"/{path}"), 1.0)
        step(gradient, variable, learning_rate * factor)

    optimizer.update_step = update_step
    return optimizer
