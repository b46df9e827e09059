"""What one thyroid training is given: which cases, and which variants of them the augmentation of the paper makes."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.training.augmentation import enlarge_images
from replications.thyroid_ensemble import tasks
from replications.thyroid_ensemble.config import PAPER

SIDE = 128
VARIANTS = 600
ROTATION = 30.0  # degrees: sec. 1.2, "random rotation 30 degrees"


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    """What the augmentation does to a picture: VARIANTS affine maps (2, 3) from a pixel (x, y, 1) to its place in the original.

    Measured on two pictures, whose grey level is the column and the row, under the same drawings; what lies outside the original
    has to repeat the nearest pixel.
    """
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    places = np.stack([
        enlarge_images(grey.astype(np.uint8)[None, ..., None], 1 + VARIANTS, tasks.describe_augmentation(PAPER), 0)[0][1:, ..., 0]
        for grey in (columns, rows)
    ], axis=1).astype(float)  # fmt: skip
    pixels = np.stack([columns, rows, np.ones_like(columns)], axis=-1).astype(float)
    found = []
    for place in places:
        inside = ((place > 2) & (place < SIDE - 3)).all(axis=0)
        found.append(np.linalg.lstsq(pixels[inside], place[:, inside].T, rcond=None)[0].T)
        nearest = np.clip(np.einsum("ij,yxj->iyx", found[-1], pixels), 0, SIDE - 1)
        assert np.abs(place - nearest).max() <= 1
    return np.array(found)


def assert_uniform(values: np.ndarray, limit: float) -> None:
    """Drawn between -limit and limit: none beyond, some near either end, the standard deviation of the uniform distribution."""
    assert np.abs(values).max() <= limit * 1.005
    assert values.min() < -0.95 * limit
    assert values.max() > 0.95 * limit
    assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)


def test_variants_are_those_that_the_paper_describes(maps, find_choice):
    """Shift of 0.2 of width and height, zoom, rotation by 30 degrees, horizontal flip, no shear; zoom as paper.toml chose it."""
    least, most = re.match(r"Zoom by factors from ([\d.]+) to ([\d.]+)", find_choice("What the amplitude 0.2 means")).groups()
    zoom_and_shift = 0.2  # sec. 1.2: one amplitude for shift, crop and zoom
    assert (float(least), float(most)) == (1 - zoom_and_shift, 1 + zoom_and_shift)
    flipped = np.linalg.det(maps[:, :, :2]) < 0
    assert flipped.mean() == pytest.approx(0.5, abs=0.1)
    linear = np.where(flipped[:, None, None], maps[:, :, :2] * [-1, 1], maps[:, :, :2])  # as without the flip
    along_x, along_y = linear[:, :, 0], linear[:, :, 1]
    zooms = np.stack([np.linalg.norm(along_x, axis=1), np.linalg.norm(along_y, axis=1)])
    assert np.abs((along_x * along_y).sum(axis=1)).max() < 0.01  # no shear
    angles = np.arctan2(along_x[:, 1], along_x[:, 0])
    centre = np.full(2, (SIDE - 1) / 2)
    moved = np.einsum("nij,j->ni", maps[:, :, :2], centre) + maps[:, :, 2] - centre
    turned_back = np.stack([np.cos(angles) * moved[:, 0] + np.sin(angles) * moved[:, 1],
                            np.cos(angles) * moved[:, 1] - np.sin(angles) * moved[:, 0]])  # fmt: skip
    assert_uniform(np.degrees(angles), ROTATION)
    for zoom, shift in zip(zooms, turned_back, strict=True):
        assert_uniform(zoom - 1, zoom_and_shift)
        assert_uniform(shift, zoom_and_shift * SIDE)


@pytest.mark.parametrize("protocol", ["paper", "leakfree"])
def test_a_training_sees_four_times_its_training_images_and_stops_by_others(paper, find_choice, protocol):
    """ "To 4 times the original data": the training images alone, each with three variants; what is looked at has none."""
    chosen = next(entry for entry in paper.unstated if entry.item == "Fixed or real-time augmentation")
    times = int(re.search(r'"to (\d+) times the original data"', chosen.because)[1])
    assert "each training image and three variants of it" in chosen.chose
    cases = pd.DataFrame({"label": np.arange(10) % 2})
    fold = Fold(-1, np.array([1, 2, 5, 8]), np.array([3, 4]), np.array([0, 6, 7, 9]))
    dataset = Dataset(np.zeros((10, SIDE, SIDE, 1), np.uint8), cases, {})
    task = tasks.Task(PAPER, {"protocol": protocol}, dataset, fold, Path(), lambda *_: None)
    assert len(task.train) == len(set(task.train)) == times * len(fold.train) == 4 * 4
    assert sorted(task.train % 10) == sorted([*fold.train] * 4)
    np.testing.assert_array_equal(task.labels[task.train], cases["label"].to_numpy()[task.train % 10])
    stopping = find_choice("What early stopping looks at")
    assert "the loss of the test set" in stopping
    assert "Leak-free: validation patients" in stopping
    np.testing.assert_array_equal(task.monitored, fold.test if protocol == "paper" else fold.validation)
