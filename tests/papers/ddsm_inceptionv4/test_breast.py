"""Preprocessing: what belongs to the breast stays, frames, labels and noise go; orientation, size, doubts."""

import cv2
import numpy as np
import pytest
from ddsm_samples import SMALL, draw_film, to_levels

from replications.ddsm_inceptionv4.breast import Prepared, find_breast, find_frame, prepare_picture, shrink
from replications.ddsm_inceptionv4.sources.phantoms import digitise


def prepare(brightness: np.ndarray, scanner: int = 1, name: str = "LEFT_CC", seed: int = 0) -> Prepared:
    return prepare_picture(digitise(brightness, scanner, name, np.random.default_rng(seed)), SMALL)


def measure_overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of the breast and what was found, both at the size of what was found."""
    small = cv2.resize(truth.astype(np.uint8), found.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    return (found & small).sum() / (found | small).sum()


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("scanner", [0, 1, 2])
def test_the_breast_is_found_under_every_scanner(view, scanner):
    for seed in range(4):
        brightness, _ = draw_film(seed, view=view)
        prepared = prepare(brightness, scanner, f"LEFT_{view}", seed)
        assert measure_overlap(prepared.breast.mask, brightness > 0.1) > 0.85
        assert prepared.breast.pieces >= 1  # the label
        assert prepared.picture.shape == (SMALL.size, SMALL.size)
        assert not prepared.flipped


def test_labels_and_frames_are_gone():
    """What stands out in the film has no place in the picture: with and without it the pictures are alike."""
    brightness, _ = draw_film(1)
    plain = prepare_picture(to_levels(brightness), SMALL).picture.astype(int)
    labelled = prepare(brightness, 0).picture.astype(int)
    assert np.abs(plain - labelled).mean() < 12
    assert (labelled[:5, -5:] == 0).all()


def test_right_breasts_are_turned_to_the_left():
    brightness, _ = draw_film(2)
    left, right = prepare(brightness), prepare(np.ascontiguousarray(brightness[:, ::-1]), name="RIGHT_CC")
    assert (left.flipped, right.flipped) == (False, True)
    assert np.abs(left.picture.astype(int) - right.picture).mean() < 8
    assert left.picture[:, :10].sum() > left.picture[:, -10:].sum()


def test_a_breast_on_the_other_side_than_its_name_says_is_doubted():
    levels = to_levels(draw_film(2, lesion=False)[0])  # grains of a lesion may look like letters
    assert prepare_picture(levels, SMALL, "left").breast.doubt == ""
    assert "on the other side than a right one" in prepare_picture(levels, SMALL, "right").breast.doubt
    nothing = np.clip(np.random.default_rng(0).normal(200, 3, (160, 100)), 0, 4095).astype(np.uint16)
    assert prepare_picture(nothing, SMALL, "right").flipped


def test_a_white_frame_is_no_tissue_and_tissue_no_frame():
    film = np.zeros((160, 120), np.uint8)
    film[:, :3] = film[-4:] = 255
    assert find_frame(film) == (0, 4, 3, 0)
    film[:, :60] = 255  # half of the film is white: dense tissue at the chest wall
    assert find_frame(film) == (0, 4, 0, 0)


def test_letters_inside_the_breast_are_doubted():
    brightness, _ = draw_film(3, lesion=False)
    small = np.rint(110 * np.clip(brightness, 0, 1)).astype(np.uint8)
    assert find_breast(small, SMALL).letters == 0
    for place in ((20, 140), (40, 140), (60, 140)):
        cv2.putText(small, "X", place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 2)
    found = find_breast(small, SMALL)
    assert found.letters >= 2
    assert "like letters" in found.doubt


def test_without_a_breast_the_whole_film_is_taken():
    random = np.random.default_rng(0)
    noise = np.clip(random.normal(20, 3, (160, 100)), 0, 255).astype(np.uint8)
    found = find_breast(noise, SMALL)
    assert found.mask.all()
    assert found.doubt
    bright = find_breast(np.full((160, 100), 200, np.uint8), SMALL)
    assert bright.mask.all()
    assert bright.doubt


def test_large_and_small_films_give_the_same_picture():
    brightness, _ = draw_film(4, size=(900, 540))
    large = prepare_picture(to_levels(brightness), SMALL)
    small = prepare_picture(shrink(to_levels(brightness), 450), SMALL)
    assert np.abs(large.picture.astype(int) - small.picture).mean() < 4


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_every_kind_of_levels(kind):
    levels = to_levels(draw_film(5)[0])
    given = (levels >> 4).astype(kind) if kind == np.uint8 else levels.astype(kind)
    assert prepare_picture(given, SMALL).picture.max() == 255


def test_the_outside_is_black():
    prepared = prepare(draw_film(6)[0])
    assert (prepared.picture == 0).mean() > 0.2
    assert prepared.breast.doubt == ""
