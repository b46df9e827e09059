"""Texture of a lesion: equal to pyradiomics 3.0.1 on fixed slices, and to plain counting on others."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK
from skimage.feature import graycomatrix, graycoprops

from common.errors import UsageError
from replications.glioma_inceptionv3.config import PAPER
from replications.glioma_inceptionv3.texture import (
    FEATURES,
    GLCM,
    SIZES,
    describe_glcm,
    describe_glrlm,
    describe_glszm,
    describe_lesion,
)

# Computed once with pyradiomics 3.0.1, binWidth 8, force2D over a volume of one slice, of `make_lesion()`.
PYRADIOMICS = """
121200, 3.6273872, -20, -16, 67.9, 76, 26.974359, 28.5, 47.75, 96, 24.130178, 19.015369, 39.418855, 0.0043269123, 1.8935212,
826.23011, 0.084155161,
37.2, 37.44, 35.2, 0.94623656, 0.61423384, 10.469002, 10.017118, 5.8631658, 0.58531464,
47.534169, 6.9757947, 1458.5196, 7.3036488, 24.65503, 29.185074, -0.082879271, 4.585064, 3.2176968, 7.8049786, 0.01499757,
6.2607245, -0.26641184, 0.92366241, 0.15611742, 0.25775694, 0.18417323, 0.039115975, 4.1140787, 13.460026,
0.97692943, 1.1072973, 6.3820166, 0.084535666, 71.167297, 0.94196888, 0.96794872, 13.1457, 0.03873981, 3.7357924, 0.13238088,
59.843025, 0.13197154, 57.552736, 0.13414234, 70.820998,
0.90900735, 1.5294118, 5.8529412, 0.086072664, 53.676471, 0.78935986, 0.87179487, 12.690311, 0.21366782, 3.9822946, 0.14505741,
55.323529, 0.14334322, 46.519301, 0.15328147, 110.55882
"""
NEIGHBOURS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]


def make_lesion() -> tuple[np.ndarray, np.ndarray]:
    """A ring with a tail that touches itself over corners: intensities with a negative minimum, and the mask."""
    y, x = np.mgrid[:14, :12]
    ring = ((y - 6) ** 2 / 36 + (x - 5) ** 2 / 20 < 1) & ((y - 5) ** 2 + (x - 5) ** 2 > 2)
    return (7 * y * y + 13 * x + 5 * x * y) % 97 - 20, ring | (y - x == 8)


def draw_levels(seed: int) -> np.ndarray:
    """Levels 1 to 5 of a random lesion with holes, 0 outside."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(3, 12, 2)
    return rng.integers(1, 6, (height, width)) * (rng.random((height, width)) < 0.8)


def read(described: np.ndarray, names: tuple[str, ...], **item: str) -> dict[str, float]:
    return dict(zip([name.format(**item) for name in names], described, strict=True))


def test_all_features_equal_pyradiomics() -> None:
    described = describe_lesion(*make_lesion(), (0.8, 0.6), PAPER)
    expected = np.array([float(value) for value in PYRADIOMICS.replace("\n", " ").split(",")])
    assert described.dtype == np.float64
    assert len(set(FEATURES)) == len(FEATURES) == len(expected)
    np.testing.assert_allclose(described, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def real() -> Path:
    folder = Path(os.environ.get("REPLICATIONS_DATA", "")) / "glioma_inceptionv3"
    if "REPLICATIONS_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs the real images: set REPLICATIONS_DATA to the folder that holds glioma_inceptionv3/")
    return folder


def check_texture(described: np.ndarray, expected: tuple[float, ...]) -> None:
    names = ("glrlm_short_run_emphasis", "glrlm_run_percentage", "glszm_small_zone_emphasis", "glszm_zone_percentage")
    np.testing.assert_allclose([described[FEATURES.index(name)] for name in names], expected, atol=5.1e-6)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("slice_number", "expected"),
    [
        (11, (0.97405, 0.96561, 0.90076, 0.86508)),
        (13, (0.96244, 0.95088, 0.86969, 0.81949)),
        (16, (0.97016, 0.96037, 0.90183, 0.85467)),
    ],
)
def test_real_slices_of_a_volume_equal_pyradiomics(real: Path, slice_number: int, expected: tuple[float, ...]) -> None:
    image = SimpleITK.ReadImage(str(real / "volumes" / "brain1_image.nrrd"))
    mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(real / "volumes" / "brain1_label.nrrd")))[slice_number] > 0
    plane = SimpleITK.GetArrayFromImage(image)[slice_number]
    check_texture(describe_lesion(plane, mask, image.GetSpacing()[1::-1], PAPER), expected)


@pytest.mark.realdata
def test_a_real_flair_slice_equals_pyradiomics(real: Path) -> None:
    folder, name = real / "lgg_mri_segmentation", "TCGA_DU_6404_034"
    flair = cv2.imread(str(folder / "images" / f"{name}.jpg"))[..., 1]
    mask = cv2.imread(str(folder / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE) > 0
    check_texture(describe_lesion(flair, mask, (1.0, 1.0), PAPER), (0.72882, 0.64714, 0.49296, 0.18802))


@pytest.mark.parametrize("seed", range(6))
def test_co_occurrence_equals_that_of_scikit_image(seed: int) -> None:
    levels = draw_levels(seed)
    counted = graycomatrix(levels.astype(np.uint8), [1], np.radians([0, 45, 90, 135]), levels=6, symmetric=True)[1:, 1:]
    found = read(describe_glcm(levels), GLCM)
    names = {"contrast": "contrast", "dissimilarity": "difference_average", "homogeneity": "inverse_difference_moment"}
    names |= {"ASM": "joint_energy", "correlation": "correlation", "mean": "joint_average", "variance": "sum_of_squares"}
    for theirs, ours in names.items():
        level_from_0 = theirs == "mean"
        assert found[ours] == pytest.approx(graycoprops(counted, theirs).mean() + level_from_0)


def count_runs(levels: np.ndarray) -> list[list[tuple[int, int]]]:
    """(level, length) of every run, direction by direction, by walking from every pixel that starts one."""
    directions = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        runs = []
        for place in zip(*np.nonzero(levels), strict=True):
            if look(levels, place[0] - down, place[1] - right) == levels[place]:
                continue
            length = 1
            while look(levels, place[0] + length * down, place[1] + length * right) == levels[place]:
                length += 1
            runs.append((int(levels[place]), length))
        directions.append(runs)
    return directions


def count_zones(levels: np.ndarray) -> list[tuple[int, int]]:
    """(level, area) of every zone, by flooding."""
    left, zones = set(zip(*map(list, np.nonzero(levels)), strict=True)), []
    while left:
        front = [left.pop()]
        level, area = levels[front[0]], 0
        while front:
            row, column = front.pop()
            area += 1
            around = [(row + down, column + right) for down, right in NEIGHBOURS]
            same = [place for place in around if place in left and levels[place] == level]
            left.difference_update(same)
            front += same
        zones.append((int(level), area))
    return zones


def look(levels: np.ndarray, row: int, column: int) -> int:
    inside = 0 <= row < levels.shape[0] and 0 <= column < levels.shape[1]
    return int(levels[row, column]) if inside else 0


def emphasise(pairs: list[tuple[int, int]], pixels: int) -> dict[str, float]:
    """Some features by the sums of their definitions over the matrix of levels and sizes."""
    matrix = np.zeros((6, 400))
    for level, size in pairs:
        matrix[level, size] += 1
    total = matrix.sum()
    i, s = np.indices(matrix.shape)
    share = matrix / total
    filled = share[share > 0]
    mean_level = np.sum(share * i)
    with np.errstate(divide="ignore", invalid="ignore"):
        short = np.where(matrix > 0, matrix / s**2, 0).sum() / total
        short_dark = np.where(matrix > 0, matrix / (s**2 * i**2), 0).sum() / total
    return {
        "short": short,
        "long": np.sum(matrix * s**2) / total,
        "levels": np.sum(matrix.sum(axis=1) ** 2) / total,
        "sizes": np.sum(matrix.sum(axis=0) ** 2) / total,
        "percentage": total / pixels,
        "variance": np.sum(share * (i - mean_level) ** 2),
        "entropy": -np.sum(filled * np.log2(filled)),
        "short_dark": short_dark,
    }


def check_sizes(found: dict[str, float], expected: dict[str, float], short: str, long: str, item: str) -> None:
    names = {
        "short": f"{short}_{item}_emphasis", "long": f"{long}_{item}_emphasis", "levels": "grey_level_non_uniformity",
        "sizes": f"{item}_size_non_uniformity", "percentage": f"{item}_percentage", "variance": "grey_level_variance",
        "entropy": f"{item}_entropy", "short_dark": f"{short}_{item}_low_grey_level_emphasis",
    }  # fmt: skip
    for key, name in names.items():
        assert found[name] == pytest.approx(expected[key]), name


@pytest.mark.parametrize("seed", range(6))
def test_runs_equal_walking_from_pixel_to_pixel(seed: int) -> None:
    levels = draw_levels(seed)
    by_direction = [emphasise(runs, np.count_nonzero(levels)) for runs in count_runs(levels)]
    expected = {key: float(np.mean([one[key] for one in by_direction])) for key in by_direction[0]}
    item = {"short": "short", "long": "long", "item": "run"}
    check_sizes(read(describe_glrlm(levels), SIZES, **item), expected, **item)


@pytest.mark.parametrize("seed", range(6))
def test_zones_equal_flooding(seed: int) -> None:
    levels = draw_levels(seed)
    item = {"short": "small", "long": "large", "item": "zone"}
    check_sizes(read(describe_glszm(levels), SIZES, **item), emphasise(count_zones(levels), np.count_nonzero(levels)), **item)


def test_place_and_surroundings_do_not_matter() -> None:
    plane, mask = make_lesion()
    expected = describe_lesion(plane, mask, (0.8, 0.6), PAPER)
    moved, moved_mask = np.full((40, 30), 999.0), np.zeros((40, 30), bool)
    moved[20:34, 3:15][mask] = plane[mask]
    moved_mask[20:34, 3:15] = mask
    np.testing.assert_allclose(describe_lesion(moved, moved_mask, (0.8, 0.6), PAPER), expected, rtol=1e-12)


def test_turning_by_a_right_angle_changes_nothing() -> None:
    plane, mask = make_lesion()
    expected = describe_lesion(plane, mask, (0.8, 0.6), PAPER)
    np.testing.assert_allclose(describe_lesion(np.rot90(plane), np.rot90(mask), (0.6, 0.8), PAPER), expected, rtol=1e-9)


def test_a_disc_has_its_area_and_is_round() -> None:
    y, x = np.mgrid[:81, :81]
    disc = (y - 40) ** 2 + (x - 40) ** 2 <= 30**2
    found = dict(zip(FEATURES, describe_lesion(np.zeros(disc.shape), disc, (0.5, 0.5), PAPER), strict=True))
    assert found["shape_mesh_area"] == pytest.approx(np.pi * 15**2, rel=0.01)
    assert found["shape_maximum_diameter"] == pytest.approx(30.5, abs=0.1)
    assert found["shape_elongation"] == pytest.approx(1)
    assert found["shape_major_axis"] == pytest.approx(30, rel=0.01)


SMALL = (np.eye(1, dtype=bool), np.eye(5, dtype=bool), np.indices((5, 5)).sum(axis=0) % 4 == 0, np.ones((3, 3), bool))


@pytest.mark.parametrize("mask", SMALL)
def test_small_flat_and_scattered_lesions_are_finite(mask: np.ndarray) -> None:
    described = describe_lesion(np.full(mask.shape, 7.0), mask, (1.0, 1.0), PAPER)
    found = dict(zip(FEATURES, described, strict=True))
    assert np.isfinite(described).all()
    assert (found["glcm_contrast"], found["glcm_correlation"], found["first_order_variance"]) == (0, 1, 0)


def test_big_endian_and_integer_planes_read_alike() -> None:
    plane, mask = make_lesion()
    expected = describe_lesion(plane, mask, (1.0, 1.0), PAPER)
    for kind in (">i2", "<i2", ">f4", "i8"):
        np.testing.assert_array_equal(describe_lesion(plane.astype(kind), mask, (1.0, 1.0), PAPER), expected)


def test_a_level_is_as_wide_as_set() -> None:
    plane, mask = make_lesion()
    doubled = describe_lesion(2 * plane, mask, (1.0, 1.0), replace(PAPER, texture_bin_width=16.0))
    texture = FEATURES.index(f"glcm_{GLCM[0]}")
    np.testing.assert_allclose(doubled[texture:], describe_lesion(plane, mask, (1.0, 1.0), PAPER)[texture:])


@pytest.mark.parametrize(
    ("plane", "mask", "spacing", "part"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4), bool), (1, 1), "empty"),
        (np.zeros((4, 4)), np.ones((4, 5), bool), (1, 1), "one size"),
        (np.zeros((4, 4, 1)), np.ones((4, 4, 1), bool), (1, 1), "one size"),
        (np.full((4, 4), np.nan), np.ones((4, 4), bool), (1, 1), "16 pixels"),
        (np.zeros((4, 4)), np.ones((4, 4), bool), (1, 0), "spacing"),
        (np.zeros((4, 4)), np.ones((4, 4), bool), (1, 1, 1), "spacing"),
        (np.array([[0, 1e300]]), np.ones((1, 2), bool), (1, 1), "texture_bin_width"),
    ],
)
def test_what_cannot_be_described_is_refused(plane: np.ndarray, mask: np.ndarray, spacing: tuple, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        describe_lesion(plane, mask, spacing, PAPER)


def test_values_outside_the_lesion_need_not_be_finite() -> None:
    plane, mask = make_lesion()
    expected = describe_lesion(plane, mask, (1.0, 1.0), PAPER)
    np.testing.assert_array_equal(describe_lesion(np.where(mask, plane, np.nan), mask, (1.0, 1.0), PAPER), expected)
