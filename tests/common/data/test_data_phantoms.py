"""Phantom primitives against areas, lengths and statistics known from geometry."""

import numpy as np
import pytest

from common.data.phantoms import blend, smooth_noise, soft_capsule, soft_ellipsoid, speckle, to_uint8, write_once


def paint(size, shape):
    image = np.zeros(size)
    blend(image, shape, 1.0)
    return image


def test_ellipse_has_the_area_and_centre_of_an_ellipse():
    image = paint((80, 100), soft_ellipsoid((80, 100), (40, 60), (20, 30)))
    assert image.sum() == pytest.approx(np.pi * 20 * 30, rel=0.01)
    rows, columns = np.indices(image.shape)
    assert (rows * image).sum() / image.sum() == pytest.approx(40, abs=0.01)
    assert (columns * image).sum() / image.sum() == pytest.approx(60, abs=0.01)
    assert image.max() == 1
    assert image.min() == 0


def test_ball_has_the_volume_of_a_ball():
    image = paint((40, 40, 40), soft_ellipsoid((40, 40, 40), (20, 19, 21), (10, 10, 10)))
    assert image.sum() == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)


@pytest.mark.parametrize("end", [(50, 20), (20, 50), (41.2, 41.2)])
def test_tube_has_the_area_of_a_tube_in_every_direction(end):
    image = paint((80, 80), soft_capsule((80, 80), (20, 20), end, 4))
    length = np.hypot(end[0] - 20, end[1] - 20)
    assert image.sum() == pytest.approx(8 * length + np.pi * 16, rel=0.02)


def test_tube_of_no_length_is_a_ball():
    image = paint((40, 40), soft_capsule((40, 40), (20, 20), (20, 20), 6))
    assert image.sum() == pytest.approx(np.pi * 36, rel=0.02)


def test_shape_over_the_border_is_cut_and_outside_paints_nothing():
    inside = paint((40, 40), soft_ellipsoid((40, 40), (0, 20), (8, 8)))
    assert inside.sum() == pytest.approx(np.pi * 64 / 2 + 8, rel=0.05)  # the middle row lies inside
    for centre in ((-50, 20), (20, 500), (90, 90)):
        assert paint((40, 40), soft_ellipsoid((40, 40), centre, (8, 8))).sum() == 0


def test_blend_strength():
    image = np.full((9, 9), 100.0)
    shape = soft_ellipsoid((9, 9), (4, 4), (2, 2))
    blend(image, shape, 200.0, strength=0)
    assert (image == 100).all()
    blend(image, shape, 200.0, strength=0.25)
    assert image[4, 4] == pytest.approx(125)
    assert image[0, 0] == 100


@pytest.mark.parametrize("size", [(64, 80), (12, 40, 40)])
def test_smooth_noise_is_deterministic_and_smooth(size):
    noise = smooth_noise(size, 6, np.random.default_rng(0))
    assert noise.shape == size
    assert noise.std() == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(noise, smooth_noise(size, 6, np.random.default_rng(0)))
    assert not np.array_equal(noise, smooth_noise(size, 6, np.random.default_rng(1)))
    assert np.abs(np.diff(noise, axis=-1)).mean() < 0.35  # white noise: 1.13


def test_speckle_is_rayleigh():
    field = speckle((300, 300), 2, np.random.default_rng(0))
    assert field.mean() == pytest.approx(1, abs=0.05)
    assert field.std() / field.mean() == pytest.approx(0.523, abs=0.06)
    assert field.min() >= 0


def test_to_uint8_rounds_and_clips():
    np.testing.assert_array_equal(to_uint8(np.array([-5.0, 0.4, 1.6, 254.6, 900.0])), [0, 0, 2, 255, 255])


@pytest.mark.parametrize("damage", ["none", "byte", "missing", "other recipe"])
def test_written_phantoms_are_taken_as_long_as_every_byte_is_theirs(tmp_path, damage):
    writes = []

    def write():
        writes.append(1)
        for name in ("a", "b"):
            (tmp_path / "home" / "pictures").mkdir(parents=True, exist_ok=True)
            (tmp_path / "home" / "pictures" / name).write_bytes(name.encode() * 3)

    write_once(tmp_path / "home", {"seed": 0}, ["pictures"], write)
    if damage == "byte":
        (tmp_path / "home" / "pictures" / "a").write_bytes(b"aab")
    elif damage == "missing":
        (tmp_path / "home" / "pictures" / "a").unlink()
    write_once(tmp_path / "home", {"seed": int(damage == "other recipe")}, ["pictures"], write)
    assert len(writes) == (1 if damage == "none" else 2)
    assert (tmp_path / "home" / "pictures" / "a").read_bytes() == b"aaa"
