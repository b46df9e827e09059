"""The benchmarks of the GANs: equal weights both ways, and judgements that tell a trained generator from a fresh one."""

import numpy as np
import pytest

from benchmarks import bone_acgan, bone_gans
from common.training import fit
from replications.bone_acgan import acgan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
SMALL = bone_acgan.replace(bone_acgan.DEMO, gan_batch_size=2, discriminator_dropout=0.0, height=16, width=16,
                           plain_channels=(8, 6, 4), plain_discriminator_channels=(4, 6))  # fmt: skip


def draw() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (8, 16, 16, 1), np.uint8), random.integers(0, 3, 8).astype(np.int32)


def test_both_ways_of_a_step_end_in_the_same_weights():
    ours = acgan.build_acgan("ACGAN", SMALL, 3, 1, jit_compile=False)
    start = fit.read_state(ours)
    plain = bone_acgan.Plain("ACGAN", SMALL, 1)
    assert bone_acgan.compare_weights(ours, plain, start, *draw()) < bone_acgan.TOLERANCE
    moved = max(np.abs(a - b).max() for a, b in zip(fit.read_state(ours), start, strict=True) if a.shape == b.shape)
    assert moved > 1e-4  # else nothing was compared
    plain.chain.optimizer.learning_rate = 0.01
    with pytest.raises(AssertionError, match="weights differ"):
        bone_acgan.compare_weights(ours, plain, start, *draw())


def test_pictures_that_a_gan_learns_come_nearer(tmp_path):
    """Bright bars whose place is the class: a few seconds of training bring the distance down."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    pictures = random.integers(0, 20, (60, 16, 16), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[:, 5 * label : 5 * label + 5] += 200
    config = bone_gans.replace(SMALL, plain_channels=(16, 8, 8), plain_discriminator_channels=(8, 16))
    looks = bone_gans.train("ACGAN", pictures, labels, config, 4.0, 0)
    assert looks[0]["steps"] == 0
    assert looks[-1]["KID"] < 0.3 * looks[0]["KID"]
    assert looks[-1]["recall"] > 0.8
