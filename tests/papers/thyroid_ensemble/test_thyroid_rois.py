"""The ROI: squares, windows, boxes of masks and contours."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.errors import UsageError
from replications.thyroid_ensemble import rois
from replications.thyroid_ensemble.config import PAPER

WINDOW = replace(PAPER, roi_mode="centre_window")


def ramp(width, height) -> np.ndarray:
    """Grey level 2 * column."""
    return np.tile(np.arange(width, dtype=np.uint8) * 2, (height, 1))


def test_square_is_centred_on_the_box_with_the_margin():
    picture = np.zeros((200, 300), np.uint8)
    picture[45:155, 95:205] = 255  # the square: 100 * 1.1 around the centre (150, 100)
    assert (rois.cut_roi(picture, (100, 80, 200, 120), PAPER) == 255).all()
    picture[45, :] = 0
    assert rois.cut_roi(picture, (100, 80, 200, 120), PAPER).min() == 0
    assert (rois.cut_roi(picture, (100, 80, 200, 120), replace(PAPER, roi_margin=0.0)) == 255).all()


@pytest.mark.parametrize("box", [(0, 0, 40, 20), (60, 40, 100, 90), (0, 70, 10, 90), (95, 0, 100, 40)])
def test_square_is_shifted_into_the_picture(box):
    """Whole pixels only, no stretching: grey levels rise by 2 a pixel wherever the box lies."""
    roi = rois.cut_roi(ramp(100, 90), box, PAPER)
    side = round(1.1 * max(box[2] - box[0], box[3] - box[1]))
    assert np.diff(roi[60].astype(float)).sum() == pytest.approx(2 * (side - side / 128), abs=2.5)
    assert roi.shape == (128, 128)
    assert roi.dtype == np.uint8


def test_square_larger_than_the_picture_ends_with_it():
    picture = np.random.default_rng(0).integers(0, 256, (50, 80), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(picture).resize((128, 128), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(rois.cut_roi(picture, (0, 0, 80, 50), PAPER), whole)
    part = Image.fromarray(picture[:, 7:62])  # the square of 55 has no more than 50 rows here
    stretched = np.asarray(part.resize((128, 128), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(rois.cut_roi(picture, (30, 0, 40, 50), PAPER), stretched)


def test_shrinking_averages_instead_of_subsampling():
    stripes = np.zeros((1280, 1280), np.uint8)
    stripes[:, ::2] = 200
    roi = rois.cut_roi(stripes, (0, 0, 1280, 1280), PAPER)
    assert np.abs(roi.astype(int) - 100).max() <= 3  # 100 on average; only at the border is a part left out


def test_window_is_cut_as_it_is_and_padded_by_repetition():
    picture = np.random.default_rng(1).integers(0, 256, (300, 400), dtype=np.uint8)
    np.testing.assert_array_equal(rois.cut_roi(picture, (190, 140, 210, 160), WINDOW), picture[86:214, 136:264])
    corner = rois.cut_roi(picture, (0, 0, 20, 20), WINDOW)
    np.testing.assert_array_equal(corner[54:, 54:], picture[:74, :74])
    assert (corner[:54, :54] == picture[0, 0]).all()
    assert rois.cut_roi(picture[:40, :40], (10, 10, 20, 20), WINDOW).shape == (128, 128)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, 0, 101, 5), (5, 5, 5, 9), (5, 9, 8, 5), (0, 85, 10, 91)])
@pytest.mark.parametrize("config", [PAPER, WINDOW])
def test_impossible_box_is_refused(box, config):
    with pytest.raises(UsageError, match="leaves the picture of 100x90"):
        rois.cut_roi(ramp(100, 90), box, config)


def test_unknown_roi_mode_is_refused():
    with pytest.raises(UsageError, match="box_resize, centre_window"):
        rois.cut_roi(ramp(100, 90), (0, 0, 9, 9), replace(PAPER, roi_mode="circle"))


@pytest.mark.parametrize("level", [1, 255])
def test_box_of_mask_is_that_of_the_largest_part(level):
    mask = np.zeros((50, 60), np.uint8)
    mask[10:20, 5:30] = level
    mask[40:45, 50:55] = level
    assert rois.box_of_mask(mask) == (5, 10, 30, 20)
    with pytest.raises(UsageError, match="empty"):
        rois.box_of_mask(np.zeros((5, 5), np.uint8))
    with pytest.raises(UsageError, match="highest grey level is 40"):
        rois.box_of_mask(np.full((5, 5), 40, np.uint8))


def test_an_inverted_mask_is_refused_and_a_lesion_that_fills_the_picture_is_not():
    mask = np.full((50, 60), 255, np.uint8)
    mask[10:20, 5:30] = 0
    for inverted in (mask, mask // 255, np.full((50, 60), 255, np.uint8)):
        with pytest.raises(UsageError, match="the mask's border is white"):
            rois.box_of_mask(inverted)
    y, x = np.mgrid[-1:1:50j, -1:1:60j]
    assert rois.box_of_mask((np.hypot(x, y) <= 1.02).astype(np.uint8)) == (0, 0, 60, 50)


def test_box_of_points():
    assert rois.box_of_points(np.array([[3, 4], [9.5, 2], [5, 8]])) == (3, 2, 10, 8)
    for line in ([[1, 2], [3, 4]], [[1, 5], [2, 5], [3, 5]]):
        with pytest.raises(UsageError, match="contour"):
            rois.box_of_points(np.array(line, float))
