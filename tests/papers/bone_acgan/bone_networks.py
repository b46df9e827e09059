"""Small networks for the tests of the GAN."""

from dataclasses import replace

import numpy as np

from replications.bone_acgan.config import PAPER

TINY = replace(
    PAPER, height=24, width=16, channels=(4, 6, 8), seed_channels=1, discriminator_channels=(4, 6), attention_least=2,
    plain_channels=(8, 6, 4), plain_discriminator_channels=(4, 6),
)  # fmt: skip


def draw_pictures(count: int, seed: int = 0) -> np.ndarray:
    """Noise uint8 (count, 24, 16, 1)."""
    return np.random.default_rng(seed).integers(0, 256, (count, TINY.height, TINY.width, 1), np.uint8)
