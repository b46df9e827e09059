"""A network for the tests of common.runs.estimate and common.training.timing: small, or slow by as much as is asked."""

import time

import keras
import tensorflow as tf

from common.training.timing import Specimen, draw_labels, draw_pictures


class Wait(keras.layers.Layer):
    """Passes on what it gets, and waits in each step."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def call(self, values):
        def wait(value):
            time.sleep(self.seconds)
            return value

        waited = tf.stop_gradient(tf.py_function(wait, [values], values.dtype) - values)
        return values + tf.reshape(waited, tf.shape(values))


def build_specimen(settings: dict, batch: int) -> Specimen:
    """settings: side, filters, wait (seconds of a step; none)."""
    pictures = keras.Input((settings["side"], settings["side"], 1))
    x = keras.layers.Conv2D(settings["filters"], 3, name="conv")(pictures)
    x = keras.layers.Flatten()(x)
    if "wait" in settings:
        x = Wait(settings["wait"])(x)
    model = keras.Model(pictures, keras.layers.Dense(2, "softmax", name="last")(x))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    return Specimen(model, (draw_pictures(batch, settings["side"], settings["side"], 1), draw_labels(batch, 2)))
