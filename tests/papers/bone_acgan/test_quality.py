"""Measures of generated pictures: against scikit-image, a matrix root, and sets of which the answer is known."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity

from common.evaluation.generated import measure_fid, measure_kid
from replications.bone_acgan import quality


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def test_ssim_is_that_of_scikit_image():
    a, b = draw(40, 25), draw(40, 25, seed=1)
    for other in (b, a**2, 0.5 * a + 0.5 * b):
        window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        _, expected = structural_similarity(a, other, full=True, **window)
        assert quality.measure_ssim(a, other) == pytest.approx(expected.mean(), abs=1e-9)


def test_sets_are_compared_with_levels_matched():
    pictures, models = draw(3, 24, 16), draw(2, 24, 16, seed=1)
    found = quality.compare_sets(pictures, models)
    for row, column in np.ndindex(3, 2):
        matched = quality.match_levels(pictures[row], models[column])
        assert matched.std() == pytest.approx(models[column].std())
        assert found[row, column] == pytest.approx(quality.measure_ssim(matched, models[column]))
    darker = quality.compare_sets(0.3 * models + 0.1, models)
    np.testing.assert_allclose(np.diagonal(darker), 1)
    assert np.isnan(np.diagonal(quality.compare_sets(models, models, same=True))).all()


def test_the_mean_picture_beats_real_ones_in_ssim():
    """Why Table 3 needs its two rows of reference: blur is rewarded."""
    shape = np.outer(np.hanning(24), np.hanning(16))
    pictures = np.clip(shape + np.random.default_rng(0).normal(0, 0.2, (12, 24, 16)), 0, 1)
    real = np.nanmean(quality.compare_sets(pictures, pictures, same=True))
    mean = quality.compare_sets(pictures.mean(axis=0, keepdims=True), pictures).mean()
    assert mean > real + 0.1


def test_fid_is_that_of_a_matrix_root():
    a, b = draw(60, 5), draw(40, 5, seed=1) ** 2
    covariances = [np.cov(of, rowvar=False) for of in (a, b)]
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * np.real(sqrtm(covariances[0] @ covariances[1]))
    )
    assert measure_fid(a, b) == pytest.approx(expected, rel=1e-9)
    assert measure_fid(a, a) == pytest.approx(0, abs=1e-9)


def test_kid_is_unbiased_and_grows_with_the_distance():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 150, 4))
    values = [measure_kid(a, b + shift, np.random.default_rng(1), size=100)[0] for shift in (0, 0.5, 1)]
    assert abs(values[0]) < 0.05 < values[1] < values[2]
    whole = measure_kid(a, b, np.random.default_rng(1), size=150, subsets=1)[0]
    loops = [(np.dot(x, y) / 4 + 1) ** 3 for of in (a, b) for i, x in enumerate(of) for j, y in enumerate(of) if i != j]
    across = [(np.dot(x, y) / 4 + 1) ** 3 for x in a for y in b]
    assert whole == pytest.approx(2 * np.mean(loops) - 2 * np.mean(across))
    with pytest.raises(ValueError, match="sets of 150 and 20 pictures; 100 of each"):
        measure_kid(a, b[:20], random, size=100)


def test_copies_are_found_and_neither_fresh_draws_nor_blur():
    random = np.random.default_rng(0)
    training, held_out, fresh = (random.normal(size=(n, 40)) for n in (120, 40, 60))
    assert not quality.find_copies(fresh, training, held_out).memorised
    blurred = 0.2 * random.normal(size=(60, 40))  # near to everything, and a copy of nothing
    found = quality.find_copies(blurred, training, held_out)
    assert found.generated < found.held_out
    assert not found.memorised
    some = fresh.copy()
    some[:6] = training[random.integers(0, 8, 6)] + 0.05 * random.normal(size=(6, 40))
    found = quality.find_copies(some, training, held_out)
    assert found.memorised
    assert found.share == pytest.approx(0.1)
    brute = [min(np.linalg.norm(row - other) for other in training) for row in fresh]
    np.testing.assert_allclose(quality.find_nearest(fresh, training), brute)


def test_diversity_shows_a_collapse():
    real = np.random.default_rng(0).normal(size=(30, 6))
    made = real[:1] + 0.05 * np.random.default_rng(1).normal(size=(30, 6))
    spreads = [quality.measure_diversity(of) for of in (real, made)]
    assert quality.find_collapse([spreads[0], spreads[1]], [spreads[0]] * 2, 0.5) == [1]
    assert np.isnan(quality.measure_diversity(real[:1]))
