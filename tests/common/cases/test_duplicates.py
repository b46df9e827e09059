"""Near-duplicates: what is found among many, what is not taken for a copy, and the limit."""

from itertools import combinations

import cv2
import numpy as np
import pytest
from sample_pictures import COPIES, encode, make_images

from common.cases.descriptions import describe_images, join_descriptions
from common.cases.duplicates import HIGHEST_LIMIT, LOWEST_LIMIT, choose_limit, compare_images, find_near_duplicates
from common.cases.registration import ORIENTATIONS, compare_thumbnails


def pair_up(table):
    return set(zip(table["index_a"].tolist(), table["index_b"].tolist(), strict=True))


def test_copies_are_found_among_many_and_strangers_are_not():
    images = make_images(120)
    described = describe_images(images)
    limit = choose_limit(described)
    assert find_near_duplicates(described, limit=limit).empty
    copies = describe_images([np.ascontiguousarray(copy(image)) for copy in COPIES.values() for image in images[:8]])
    table = find_near_duplicates(described, copies, limit=limit)
    right = table["index_a"] == table["index_b"] % 8
    assert right.all()
    found = np.bincount(table["index_b"] // 8, minlength=len(COPIES))
    assert not [name for name, count in zip(COPIES, found, strict=True) if count < 7]


def test_search_within_reports_each_pair_once():
    images = make_images(120)
    images[7], images[110] = encode(images[100]), images[100][:, ::-1]
    table = find_near_duplicates(describe_images(images))
    assert list(zip(table["index_a"], table["index_b"], strict=True)) in (
        [(100, 110), (7, 100), (7, 110)],
        [(100, 110), (7, 110), (7, 100)],
    )
    assert table["similarity"].is_monotonic_decreasing
    assert table["similarity"].iloc[0] == pytest.approx(1, abs=1e-4)


def test_search_finds_what_comparing_all_pairs_finds():
    images = make_images(36)
    kinds = ("jpeg", "gamma 2", "rotated", "quarter turn")
    copies = [np.ascontiguousarray(COPIES[kind](images[row])) for row, kind in enumerate(kinds)]
    described = describe_images([*images, *copies])
    thumbnails, limit = described.thumbnails, choose_limit(described)

    def compare(a, b):
        return max(compare_thumbnails(thumbnails[a], thumbnails[b], turn, described.widths[a]) for turn in range(ORIENTATIONS))

    expected = {(a, b) for a, b in combinations(range(40), 2) if compare(a, b) >= limit}
    assert expected == {(row, 36 + row) for row in range(4)}
    assert pair_up(find_near_duplicates(described, limit=limit)) == expected


def test_limit_is_learnt_from_strangers_and_copies_do_not_move_it():
    images = make_images(60)
    alone = choose_limit(describe_images(images))
    assert LOWEST_LIMIT <= alone < HIGHEST_LIMIT
    doubled = choose_limit(describe_images([*images, *images]))
    assert doubled == pytest.approx(alone, abs=0.05)
    rough = np.random.default_rng(0).integers(0, 256, (60, 3, 3), np.uint8)
    smooth = [cv2.resize(image, (50, 50), interpolation=cv2.INTER_CUBIC) for image in rough]
    assert choose_limit(describe_images(smooth)) > alone
    assert choose_limit(describe_images(images[:5])) == HIGHEST_LIMIT


def test_jpeg_between_strong_edges_is_a_copy():
    """Half bright wall, half faint texture: normalised locally, JPEG's noise would count as much as the texture."""
    images = make_images(60)
    image = np.clip(20 + (images[0].astype(float) - images[0].mean()) * 0.05, 0, 255).astype(np.uint8)
    image[:, : image.shape[1] // 2] = 240
    images[0] = image
    copies = [encode(image, 20), encode(np.ascontiguousarray(image[:, ::-1]), 20)]
    table = find_near_duplicates(describe_images(images), describe_images(copies), limit=0.95)
    assert pair_up(table) == {(0, 0), (0, 1)}


def test_descriptions_are_taken_and_joined():
    images = list(make_images(4))
    images[2] = np.pad(images[2], 10)
    whole = describe_images(images)
    parts = [describe_images(images[:3]), describe_images(images[3:])]
    joined = join_descriptions(parts)
    assert joined.count == whole.count == 4
    for name in ("thumbnails", "coarse", "spectra", "widths", "image_of"):
        assert np.array_equal(getattr(joined, name), getattr(whole, name))
    taken = whole.take(np.array([2, 0]))
    assert taken.image_of.tolist() == [0, 1, 0]
    assert np.array_equal(taken.thumbnails[2], whole.thumbnails[4])
    assert compare_images(taken.take(np.array([], int))).empty


@pytest.mark.filterwarnings("error")
def test_flat_and_nearly_flat_images_match_nothing():
    flat = np.zeros((6, 50, 50), np.uint8)
    flat[1] = 255
    flat[2] = 128
    flat[3] = 0
    flat[4, 10, 10] = 1
    flat[5] = np.arange(50, dtype=np.uint8)  # a smooth ramp: shading only
    images = np.concatenate([flat, flat, make_images(10), np.zeros((1, 50, 50), np.uint8)])
    table = find_near_duplicates(describe_images(images), limit=0.5)
    assert not (table[["index_a", "index_b"]] < 12).any(axis=None)
    assert find_near_duplicates(describe_images(flat)).empty
    half = np.concatenate([flat[:1, :25].repeat(1, axis=0), make_images(1)[:, 25:]], axis=1)  # structure in one half only
    assert len(find_near_duplicates(describe_images(np.concatenate([half, half])))) == 1


def test_empty_single_and_colour_inputs():
    images = make_images(3)
    described = describe_images(images)
    assert find_near_duplicates(describe_images(images[:0])).empty
    assert find_near_duplicates(describe_images(images[:1])).empty
    assert find_near_duplicates(described, describe_images(images[:0])).empty
    colour = describe_images(np.repeat(images[..., None], 3, axis=3))
    assert len(find_near_duplicates(described, colour)) == 3
    assert len(find_near_duplicates(described, describe_images(images[..., None]))) == 3
    for wrong in (np.zeros((2, 0, 5), np.uint8), np.zeros((2, 5), np.uint8), images.astype(np.int16)):
        with pytest.raises(ValueError, match="expected a uint8 image"):
            describe_images(wrong)


# --- real images


@pytest.mark.realdata
def test_real_patches_copies_are_found_and_neighbouring_scans_do_not_match(real_data):
    folder = real_data / "luna16_patches"
    lines = (folder / "testdatalabels.txt").read_text().split("\n")
    names = [line.split()[0] for line in lines if line.strip()]
    images = np.array([cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for name in names])
    scans = np.array([int(name.rsplit("_", 1)[1].removesuffix(".jpg")) // 620 for name in names])
    described = describe_images(images)
    table = find_near_duplicates(described)
    far = np.abs(scans[table["index_a"]] - scans[table["index_b"]]) > 1
    assert far.sum() == 0
    rows = np.arange(0, len(images), 40)
    for name in ("jpeg", "cropped 10 %", "left-right", "darker", "mirrored, shifted, jpeg"):
        copies = describe_images([COPIES[name](images[row]) for row in rows])
        table = find_near_duplicates(described, copies)
        assert len(set(table["index_b"][table["index_a"] == rows[table["index_b"]]])) >= 0.95 * len(rows), name
