"""One GAN on two devices and on JAX: the same training as on one."""

import importlib.util
import os
import subprocess
import sys

import pytest

PREPARE = """
import dataclasses, sys
sys.path.insert(0, "tests/papers/bone_acgan")
import keras, numpy as np
from bone_networks import TINY, draw_pictures
from common.training.batches import feed_batches
from replications.bone_acgan import acgan

config = dataclasses.replace(TINY, discriminator_dropout=0.0, gan_learning_rate=1e-3)
pictures, classes = draw_pictures(16), np.arange(16, dtype=np.int32) % 3

def train(gan):
    keras.utils.set_random_seed(0)
    model = acgan.build_acgan(gan, config, 3, 1, jit_compile=False)
    history = model.fit(feed_batches((pictures, classes), 4), epochs=1, shuffle=False, verbose=0).history
    return {name: values[-1] for name, values in history.items()}, [np.array(v) for v in model.get_weights()]
"""
TWO_DEVICES = (
    """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""
    + PREPARE
    + """
def run(strategy, gan):
    with strategy.scope():
        return train(gan)

(one, weights), (two, mirrored) = (
    run(s, sys.argv[1]) for s in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
)
for name in one:
    np.testing.assert_allclose(one[name], two[name], rtol=1e-3, atol=1e-4, err_msg=name)
for first, second in zip(weights, mirrored):
    np.testing.assert_allclose(first, second, atol=2e-4)
print("equal")
"""
)
ON_JAX = (
    PREPARE
    + """
found, _ = train(sys.argv[1])
assert keras.backend.backend() == "jax"
assert np.isfinite(list(found.values())).all(), found
print("trained")
"""
)


def run(code: str, gan: str, root, **environment) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code, gan]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.slow
def test_two_devices_train_as_one(root):
    """Batch normalisation included: its statistics are those of the whole batch."""
    assert run(TWO_DEVICES, "ACGAN", root) == "equal"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_a_gan_trains_on_jax(root):
    assert run(ON_JAX, "ACGAN", root, KERAS_BACKEND="jax") == "trained"
