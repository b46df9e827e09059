"""Coordinate attention, RCAG and RDA against NumPy, on maps that are not square and with unlike weights."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from bone_references import convolve, normalise, rectify, squash
from keras import ops

from replications.bone_acgan.attention import CoordinateAttention, densify, gate
from replications.bone_acgan.config import PAPER

pytestmark = pytest.mark.usefixtures("backend")
SMALL = replace(PAPER, attention_least=3)


def draw_weights(model: keras.layers.Layer, seed: int = 0) -> dict[str, np.ndarray]:
    """Unlike values for every weight, also the moving ones; by the end of their path, float64."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        low, high = (0.5, 2.0) if "variance" in variable.path else (-1.0, 1.0)
        variable.assign(generator.uniform(low, high, variable.shape))
    return {"/".join(v.path.split("/")[-2:]): np.array(ops.convert_to_numpy(v), np.float64) for v in model.weights}


def draw_maps(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def attend(maps: np.ndarray, weights: dict[str, np.ndarray], epsilon: float) -> np.ndarray:
    """Eqs. 7 to 12; weights by the names of the layer's parts."""
    rows, columns = maps.mean(axis=2), maps.mean(axis=1)  # (n, H, C), (n, W, C)
    reduced = np.concatenate([rows, columns], axis=1) @ weights["reduce/kernel"][0, 0]
    norm = [weights[f"norm/{name}"] for name in ("gamma", "beta", "moving_mean", "moving_variance")]
    reduced = rectify(normalise(reduced, *norm, epsilon))
    height = maps.shape[1]
    of_rows = squash(reduced[:, :height] @ weights["of_rows/kernel"][0, 0] + weights["of_rows/bias"])
    of_columns = squash(reduced[:, height:] @ weights["of_columns/kernel"][0, 0] + weights["of_columns/bias"])
    return maps * of_rows[:, :, None] * of_columns[:, None]


@pytest.mark.parametrize("shape", [(2, 24, 8, 32), (2, 8, 24, 64), (1, 16, 16, 160)])
def test_coordinate_attention_is_equations_7_to_12(shape):
    layer, maps = CoordinateAttention(), draw_maps(*shape)
    layer.build(shape)
    weights = draw_weights(layer)
    assert weights["reduce/kernel"].shape[-1] == max(8, shape[-1] // 16)
    found = ops.convert_to_numpy(layer(maps))
    np.testing.assert_allclose(found, attend(maps.astype(np.float64), weights, 1e-5), atol=2e-5)
    gates = found / maps
    for channel in range(4):  # one gate of the row, one of the column: their product has rank 1
        values = np.linalg.svd(gates[0, :, :, channel], compute_uv=False)
        assert values[1] < 1e-4 * values[0]


def test_gate_joins_two_inputs_and_keeps_what_came_in():
    high, low = keras.Input((6, 4, 5)), keras.Input((6, 4, 3))
    model = keras.Model([high, low], gate(high, low, 7, SMALL, "gate"))
    weights = draw_weights(model)
    a, b = draw_maps(2, 6, 4, 5), draw_maps(2, 6, 4, 3)[::-1]
    both = np.concatenate([a, b], axis=-1).astype(np.float64)
    summed = (both + attend(both, weights, SMALL.norm_epsilon)) @ weights["gate_conv/kernel"][0, 0]
    norm = [weights[f"gate_norm/{name}"] for name in ("gamma", "beta", "moving_mean", "moving_variance")]
    expected = rectify(normalise(summed, *norm, SMALL.norm_epsilon), weights["gate_prelu/alpha"])
    np.testing.assert_allclose(ops.convert_to_numpy(model([a, b])), expected, atol=1e-5)


@pytest.mark.parametrize(("norm", "channels"), [(True, 4), (False, 6)])
def test_dense_block_is_equation_14_with_compression_attention_and_shortcut(norm, channels):
    maps = keras.Input((6, 5, 4))
    model = keras.Model(maps, densify(maps, channels, SMALL, "block", norm=norm))
    weights, given = draw_weights(model), draw_maps(2, 6, 5, 4)

    def merge(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}/kernel"][0, 0] + weights[f"{name}/bias"]

    start = given.astype(np.float64) if channels == 4 else merge("block_in", given.astype(np.float64))
    gathered, merged = [start], start
    for number in (1, 2, 3):
        kernel = weights[f"block_conv{number}/kernel"].transpose(3, 2, 0, 1)
        bias = 0.0 if norm else weights[f"block_conv{number}/bias"]
        made = convolve(merged, kernel, bias, padding=1)
        if norm:
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            made = normalise(made, *(weights[f"block_{number}_norm/{name}"] for name in names), SMALL.norm_epsilon)
        gathered.append(rectify(made, weights[f"block_{number}_prelu/alpha"]))
        merged = merge(f"block_merge{number}", np.concatenate(gathered, axis=-1))
    expected = start + attend(merged, weights, SMALL.norm_epsilon)
    np.testing.assert_allclose(ops.convert_to_numpy(model(given)), expected, atol=2e-4)
    assert weights["block_1_prelu/alpha"].shape == (1, 1, channels)  # one slope a channel


def test_attention_survives_a_safe_round_trip(tmp_path):
    maps = keras.Input((6, 4, 4))
    model = keras.Model(maps, densify(maps, 4, SMALL, "block"))
    draw_weights(model)
    model.save(tmp_path / "block.keras")
    loaded = keras.saving.load_model(tmp_path / "block.keras", safe_mode=True)
    given = draw_maps(1, 6, 4, 4)
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(given)), ops.convert_to_numpy(model(given)))
