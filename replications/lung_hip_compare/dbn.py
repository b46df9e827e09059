"""The paper's deep belief network (sec. 1.3 and 2.2): restricted Boltzmann machines, stacked, then fine-tuned as a classifier.

A machine is trained by contrastive divergence with one step (CD-1; Hinton, "A practical guide to training restricted
Boltzmann machines", 2010): hidden states are sampled from the data, the reconstruction uses the visible probabilities
unsampled, and the last hidden layer enters by its probabilities. Visible values are probabilities in [0, 1]. The text
of the paper swaps the names of the layers; here the visible layer receives the input.
"""

import keras
from keras import layers, ops

from replications.lung_hip_compare.config import Config


class BatchMean(keras.losses.Loss):
    """Mean over the batch of a value per case; under tf.distribute Keras divides it by the number of replicas."""

    def call(self, y_true, y_pred):
        return y_pred


class RBM(keras.Model):
    """Bernoulli-Bernoulli restricted Boltzmann machine; compile with an optimiser alone, then `fit(visible values)`.

    Weights: W (visible, hidden), normal with deviation 0.01; a (visible,) and b (hidden,), zero. `seed` fixes initial
    weights and samples; the generator's state is in `variables`. Calling it gives the hidden probabilities: float32
    (n, visible) in [0, 1] to (n, hidden). `fit` reports the free-energy difference plus the weight decay as "loss" (no
    likelihood: judge by the reconstruction) and the mean squared error of the reconstruction as "reconstruction".
    """

    def __init__(self, visible: int, hidden: int, seed: int, weight_decay: float = 0.0, name: str = "rbm"):
        super().__init__(name=name)
        normal = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        self.W = self.add_weight(shape=(visible, hidden), initializer=normal, name="W")
        self.a = self.add_weight(shape=(visible,), initializer="zeros", name="a")
        self.b = self.add_weight(shape=(hidden,), initializer="zeros", name="b")
        self.weight_decay = weight_decay
        self.generator = keras.random.SeedGenerator(seed)
        self.batch_mean = BatchMean()
        self.reconstruction = keras.metrics.Mean(name="reconstruction")
        self.built = True

    def call(self, visible):
        return hidden_probabilities(self, visible)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean free-energy difference of data and reconstruction, plus the weight decay of W; y_pred: P(h = 1 | x).

        The reconstruction is held constant, so that the gradient is the CD-1 update: positive less negative phase.
        """
        visible = ops.cast(x, self.compute_dtype)
        hidden = sample_bernoulli(y_pred, self.generator)
        reconstructed = ops.stop_gradient(visible_probabilities(self, hidden))
        self.reconstruction.update_state(ops.mean(ops.square(visible - reconstructed), axis=-1))
        difference = free_energy(self, visible) - free_energy(self, reconstructed)
        penalty = 0.5 * self.weight_decay * ops.sum(ops.square(self.W))
        return self.batch_mean(difference, difference + penalty)


def hidden_probabilities(rbm: RBM, visible):
    """P(h = 1 | v): (n, visible) in [0, 1] to (n, hidden)."""
    return ops.sigmoid(ops.matmul(visible, rbm.W) + rbm.b)


def visible_probabilities(rbm: RBM, hidden):
    """P(v = 1 | h): (n, hidden) in [0, 1] to (n, visible)."""
    return ops.sigmoid(ops.matmul(hidden, ops.transpose(rbm.W)) + rbm.a)


def sample_bernoulli(probabilities, generator: keras.random.SeedGenerator):
    """Zeros and ones with the given probabilities, same shape."""
    uniform = keras.random.uniform(ops.shape(probabilities), dtype=probabilities.dtype, seed=generator)
    return ops.cast(uniform < probabilities, probabilities.dtype)


def free_energy(rbm: RBM, visible):
    """F(v) = -log sum_h exp(-E(v, h)) = -a v - sum_j softplus((v W + b)_j): (n, visible) to (n,).

    E(v, h) = -v W h - a v - b h is eq. 3.
    """
    return -ops.matmul(visible, rbm.a) - ops.sum(ops.softplus(ops.matmul(visible, rbm.W) + rbm.b), axis=-1)


def build_dbn(side: int, config: Config, channels: int = 1, classes: int = 2) -> keras.Model:
    """Classifier to fine-tune: a sigmoid layer "hidden1", "hidden2", ... per machine, then the softmax "probabilities".

    Takes images (n, side, side, channels) in 0..255. Initial weights are those of `seed_layers`, until `copy_rbm` puts
    those of the machines into the hidden layers.
    """
    images = keras.Input((side, side, channels), name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)  # 0..1
    x = layers.Flatten(name="flatten")(x)  # 2,500 at 50x50, 16,384 at 128x128, 65,536 at 256x256
    for number, units in enumerate(config.dbn_hidden, start=1):
        x = layers.Dense(units, activation="sigmoid", name=f"hidden{number}")(x)  # 1500, 1000, 500, 200
    scores = layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(images, scores, name="dbn")


def copy_rbm(rbm: RBM, layer: layers.Dense) -> None:
    """Start a hidden layer from a trained machine: kernel W, bias b. Shapes must agree (ValueError)."""
    layer.set_weights([ops.convert_to_numpy(rbm.W), ops.convert_to_numpy(rbm.b)])
