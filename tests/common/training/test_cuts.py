"""Freezing and cutting: what stays alive, where a network is cut, what a later cut follows from."""

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import IMAGES, build_branches, build_chain, build_residual, compile_frozen, finish

from common.training import cuts

pytestmark = pytest.mark.usefixtures("backend")


def test_the_frontier_holds_what_live_operations_take():
    model = compile_frozen(build_residual(), ["conv5", "dense", "output"])
    assert len(cuts.split_network(model, several=True).names) == 2  # the shortcut and the block's own path
    assert len(cuts.split_network(model).names) == 1
    model = compile_frozen(build_branches(), ["conv2", "dense", "output"])
    cut = cuts.split_network(model, several=True)
    assert {"conv1", "conv2a"} < set(cut.names)
    assert len(cut.names) == 3
    assert sum(output.shape[-1] for output in cut.lower.outputs) == 3 + 3 + 4  # channels
    assert not cut.lower.trainable_weights


def test_dropout_and_moving_statistics_are_live():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1, name="below")(inputs)
    x = layers.Dropout(0.5, name="drop")(x)
    x = layers.Conv2D(3, 1, name="between")(x)
    x = layers.BatchNormalization(name="norm")(x)
    model = keras.Model(inputs, layers.Dense(2, name="output")(layers.Flatten()(x)))
    cuts.freeze_except(model, ["output"])
    assert cuts.split_network(model).names == ("below",)
    cuts.freeze_except(model, ["norm", "output"])
    model.get_layer("drop").rate = 0.0
    assert cuts.split_network(model).names == ("below",)  # a generator of random numbers is there, whatever the rate
    with pytest.raises(ValueError, match="no layer 'nothing'"):
        cuts.freeze_except(model, ["nothing"])
    cuts.freeze_except(model, ["below", "output"])
    with pytest.raises(ValueError, match="nothing is frozen at its inputs"):
        cuts.split_network(model)


def test_models_inside_the_model_are_expanded():
    inner = keras.Sequential([keras.Input((16, 16, 4)), layers.Conv2D(3, 3, name="inner1"), layers.Conv2D(3, 3, name="inner2")])
    inputs = keras.Input((16, 16, 1))
    outputs = finish(inputs, inner(layers.Conv2D(4, 3, padding="same", name="conv1")(inputs))).outputs
    model = keras.Model(inputs, outputs)
    assert cuts.list_convolutions(model) == ["conv1", "inner1", "inner2"]
    compile_frozen(model, ["inner2", "dense", "output"])
    cut = cuts.split_network(model)
    assert cut.names == ("inner1",)
    values = IMAGES.astype(np.float32)
    np.testing.assert_array_equal(cut.upper(cut.lower(values)), model(values))


def test_a_cut_with_nothing_but_standardisation_below_is_no_cut():
    """Keeping standardised pixels would save no convolution and take four times their room."""
    model = build_chain()
    cuts.freeze_except(model, ["conv1", "conv2", "conv3", "dense", "output"])
    with pytest.raises(ValueError, match="nothing is frozen at its inputs"):
        cuts.split_network(model)
    cuts.freeze_except(model, ["conv2", "conv3", "dense", "output"])
    lower = cuts.split_network(model).lower
    assert cuts.count_multiplications(lower) == 16 * 16 * 3 * 3 * 4
