"""Traditional augmentation: what a variant depends on, where it turns, how much noise it gets."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from common.training.augmentation import build_matrix
from replications.bone_acgan.config import PAPER
from replications.bone_acgan.variants import add_poisson, enlarge_pictures, turn_about_middle

SMALL = replace(PAPER, picture_height=64, picture_width=32, enlargement=5)


def draw_pictures(count: int = 6) -> np.ndarray:
    random = np.random.default_rng(0)
    return cv2.GaussianBlur(random.integers(0, 256, (64, 32, count), np.uint8), (0, 0), 2).transpose(2, 0, 1).copy()


def test_originals_stay_and_variants_differ():
    pictures = draw_pictures()
    found = enlarge_pictures(pictures, np.full(6, 40.0), SMALL, 0)
    assert found.shape == (6, 5, 64, 32)
    assert (found[:, 0] == pictures).all()
    assert len({found[0, variant].tobytes() for variant in range(5)}) == 5


def test_a_variant_depends_on_its_picture_and_place_alone():
    pictures = draw_pictures()
    first = enlarge_pictures(pictures, np.full(6, 40.0), SMALL, 0)
    again = enlarge_pictures(pictures[:3], np.full(3, 40.0), SMALL, 0)
    assert (first[:3] == again).all()
    assert (first[:, 1:] != enlarge_pictures(pictures, np.full(6, 40.0), SMALL, 1)[:, 1:]).any()


@pytest.mark.parametrize("theta", [-10.0, 3.0, 90.0])
def test_pictures_turn_about_their_middle(theta):
    shape = (64, 32)
    drawing = {
        "theta": theta, "tx": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0,
        "flip_horizontal": False, "flip_vertical": False,
    }  # fmt: skip
    matrix = build_matrix(turn_about_middle(drawing, shape), shape)
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 1.0])
    np.testing.assert_allclose(matrix @ middle, middle[:2], atol=1e-9)
    assert np.abs(build_matrix(drawing, shape) @ middle - middle[:2]).max() > 0.5  # Keras' own centre lies beside it


@pytest.mark.parametrize("snr", [0.7, 0.9])
def test_noise_lowers_the_ratio_of_signal_to_noise_as_asked(snr):
    """Counted pixels: mean over standard deviation before and after."""
    random = np.random.default_rng(1)
    white = 200.0
    counts = random.poisson(100, (400, 400))
    picture = np.clip(np.rint(counts * 255 / white), 0, 255).astype(np.uint8)
    noisy = add_poisson(picture, white, snr, np.random.default_rng(2))
    before, after = (of.mean() / of.std() for of in (picture, noisy))
    assert after / before == pytest.approx(snr, abs=0.02)
    assert noisy.mean() == pytest.approx(picture.mean(), rel=0.01)
