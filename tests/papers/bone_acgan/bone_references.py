"""Independent computations in NumPy, float64, that the networks are held against. Maps are (n, H, W, C)."""

import numpy as np


def convolve(
    maps: np.ndarray, kernel: np.ndarray, bias: np.ndarray | float = 0.0, *, strides=1, padding=0, groups=1
) -> np.ndarray:
    """Convolution of PyTorch's kind: kernel (out, in / groups, height, width), the same padding on both sides."""
    outputs, inputs, height, width = kernel.shape
    padded = np.pad(maps, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))[:, ::strides, ::strides]
    parts = windows.reshape(*windows.shape[:3], groups, inputs, height, width)
    kernels = kernel.reshape(groups, outputs // groups, inputs, height, width)
    return np.einsum("nhwgiyx,goiyx->nhwgo", parts, kernels).reshape(*windows.shape[:3], outputs) + bias


def normalise(maps: np.ndarray, gamma, beta, mean, variance, epsilon: float) -> np.ndarray:
    return (maps - mean) / np.sqrt(variance + epsilon) * gamma + beta


def rectify(maps: np.ndarray, slope: np.ndarray | float = 0.0) -> np.ndarray:
    return np.where(maps > 0, maps, slope * maps)


def squash(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
