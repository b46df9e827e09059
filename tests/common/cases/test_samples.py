"""Leaks, splits, near-duplicates. The rosters are shaped like real ones: several cases a patient, mixed labels."""

import time

import cv2
import numpy as np
import pandas as pd
import pytest

from common.cases.duplicates import NEAR_DUPLICATE_LIMIT, describe_images, find_near_duplicates
from common.cases.table import (
    LeakError,
    assert_no_leak,
    check_cases,
    fold_cases,
    hash_pixels,
    join_patients,
    split_cases,
)
from common.errors import UsageError
from common.files import hash_file


def make_roster(patients: int = 80, seed: int = 0) -> pd.DataFrame:
    """1 to 9 cases a patient, about 30 % of class 1; every sixth patient has cases of both classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        label = int(rng.random() < 0.3)
        for number in range(rng.integers(1, 10)):
            other = patient % 6 == 0 and number % 2 == 1
            rows.append((f"p{patient:03d}_{number}", f"p{patient:03d}", 1 - label if other else label))
    table = pd.DataFrame(rows, columns=["case_id", "patient_id", "label"])
    table["path"] = table["case_id"] + ".png"
    table["sha256"] = [hash_pixels(np.array([row])) for row in range(len(table))]
    return table


def make_images(count: int, side: int = 50, seed: int = 0) -> np.ndarray:
    """Lung-like textures: filtered noise of several scales, a bright blob, another contrast for every image."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, side, side), np.uint8)
    grid = np.mgrid[:side, :side] / side - 0.5
    for row in range(count):
        texture = sum(
            weight * cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), sigma) * sigma
            for sigma, weight in ((1, 0.3), (2, 0.7), (5, 1.0))
        )
        middle = rng.uniform(-0.1, 0.1, 2)
        blob = np.exp(-np.square(grid - middle[:, None, None]).sum(axis=0) / rng.uniform(0.005, 0.02))
        images[row] = np.clip(90 + rng.uniform(25, 50) * texture + 80 * blob, 0, 255).astype(np.uint8)
    return images


def encode(image: np.ndarray, quality: int = 60) -> np.ndarray:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def shift(image: np.ndarray, share: float, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    move = np.float32([[1, 0, share * image.shape[1]], [0, 1, -share * image.shape[0]]])
    return cv2.warpAffine(image, move, image.shape[::-1], borderMode=border)


def crop(image: np.ndarray, share: float) -> np.ndarray:
    cut = round(image.shape[0] * share)
    return cv2.resize(image[cut:, : image.shape[1] - cut], image.shape[::-1])


COPIES = {
    "same": lambda image: image,
    "jpeg": encode,
    "cropped 10 %": lambda image: crop(image, 0.1),
    "shifted 10 %": lambda image: shift(image, 0.1),
    "shifted 7 %, black border": lambda image: shift(image, 0.07, cv2.BORDER_CONSTANT),
    "left-right": lambda image: image[:, ::-1],
    "up-down": lambda image: image[::-1],
    "half turn": lambda image: image[::-1, ::-1],
    "quarter turn": np.rot90,
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "brighter": lambda image: np.clip(image * 1.1 + 15.0, 0, 255).astype(np.uint8),
    "mirrored, shifted, jpeg": lambda image: encode(shift(np.ascontiguousarray(image[:, ::-1]), 0.05)),
    "enlarged": lambda image: cv2.resize(image, (128, 128)),
}


# --- leaks


@pytest.mark.parametrize("by", ["patient_id", "case_id"])
def test_patient_split_does_not_leak_and_image_split_does(by):
    cases = make_roster()
    sides = split_cases(cases, test_share=0.2, validation_share=0.1, seed=1, by=by)
    if by == "patient_id":
        checked = assert_no_leak(cases, sides)
        assert checked["patients"] == 80
        assert checked["files"] == checked["cases"] == len(cases) == sum(checked["sides"].values())
        assert checked["near_duplicates"] is None
    else:
        with pytest.raises(LeakError, match=r"\d+ patients: p0\d\d \(test/") as caught:
            assert_no_leak(cases, sides)
        assert "\n" not in str(caught.value)


def test_same_file_of_two_patients_is_a_leak_until_they_are_joined():
    cases = make_roster()
    a, b = cases.index[cases["patient_id"] == "p003"][0], cases.index[cases["patient_id"] == "p040"][0]
    cases.loc[b, "sha256"] = cases.loc[a, "sha256"]
    sides = pd.Series(np.where(cases["patient_id"] < "p020", "test", "train"), index=cases.index)
    with pytest.raises(LeakError, match=r"1 files: p003_0 = p040_0 \(test/train\)$"):
        assert_no_leak(cases, sides)
    cases["patient_id"] = join_patients(cases)
    assert cases.loc[b, "patient_id"] == cases.loc[a, "patient_id"] == "p003"
    assert cases["patient_id"].nunique() == 79
    with pytest.raises(LeakError, match=r"1 patients: p003 \(test/train\); 1 files"):
        assert_no_leak(cases, sides)
    assert_no_leak(cases, split_cases(cases, test_share=0.3, validation_share=0, seed=0))


@pytest.mark.parametrize("copy", COPIES)
def test_a_copied_picture_across_the_split_is_a_leak(copy):
    cases = make_roster(patients=16)
    images = list(make_images(len(cases)))
    sides = split_cases(cases, test_share=0.25, validation_share=0.25, seed=3)
    clean = assert_no_leak(cases, sides, images)["near_duplicates"]
    assert clean["closest"] is None or clean["closest"]["similarity"] < NEAR_DUPLICATE_LIMIT
    assert clean["compared"] <= clean["image_pairs"]
    source, target = np.flatnonzero(sides == "train")[5], np.flatnonzero(sides == "test")[7]
    images[target] = np.ascontiguousarray(COPIES[copy](images[source]))
    names = {cases["case_id"].iloc[source], cases["case_id"].iloc[target]}
    with pytest.raises(LeakError, match="1 near-duplicate pairs") as caught:
        assert_no_leak(cases, sides, images)
    assert all(name in str(caught.value) for name in names)
    tolerated = assert_no_leak(cases, sides, images, limit=1.01)["near_duplicates"]
    assert tolerated["closest"]["similarity"] >= NEAR_DUPLICATE_LIMIT
    assert set(tolerated["closest"]["case_ids"]) == names
    unused = sides.mask(cases["case_id"] == cases["case_id"].iloc[target])
    assert assert_no_leak(cases, unused, images)["cases"] == len(cases) - 1


def test_leak_check_of_thousands_of_images_is_fast():
    images = make_images(3000, side=32)
    cases = pd.DataFrame({"case_id": [f"c{row}" for row in range(3000)], "path": "", "label": np.arange(3000) % 2})
    cases["patient_id"], cases["sha256"] = cases["case_id"], [hash_pixels(image) for image in images]
    sides = split_cases(cases, test_share=0.2, validation_share=0, seed=0)
    started = time.perf_counter()
    checked = assert_no_leak(cases, sides, images)
    assert time.perf_counter() - started < 15  # about 2 s on an idle core
    assert checked["near_duplicates"]["image_pairs"] == checked["sides"]["test"] * checked["sides"]["train"]


def test_leak_check_refuses_what_does_not_fit():
    cases = make_roster(patients=6)
    sides = pd.Series("train", index=cases.index)
    with pytest.raises(ValueError, match="index"):
        assert_no_leak(cases, sides.reset_index(drop=True).iloc[1:])
    with pytest.raises(ValueError, match="2 images for"):
        assert_no_leak(cases, sides, make_images(2))
    with pytest.raises(ValueError, match="uint8"):
        assert_no_leak(cases, sides, make_images(len(cases)).astype(float))


# --- near-duplicates


def test_copies_are_found_among_many_and_strangers_are_not():
    images = make_images(400)
    described = describe_images(images)
    assert find_near_duplicates(described).empty
    for name, copy in COPIES.items():
        table = find_near_duplicates(described, describe_images([copy(image) for image in images[:20]]))
        right = table["index_a"] == table["index_b"]
        assert right.sum() >= 19, name
        assert (~right).sum() == 0, name


def test_search_within_reports_each_pair_once():
    images = make_images(260)
    images[7], images[200] = encode(images[100]), images[100][:, ::-1]
    table = find_near_duplicates(describe_images(images))
    assert list(zip(table["index_a"], table["index_b"], strict=True)) in (
        [(100, 200), (7, 100), (7, 200)],
        [(100, 200), (7, 200), (7, 100)],
    )
    assert table["similarity"].is_monotonic_decreasing
    assert table["similarity"].iloc[0] == pytest.approx(1, abs=1e-4)


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


# --- splits


@pytest.mark.parametrize("seed", range(4))
def test_split_keeps_patients_whole_and_classes_even(seed):
    cases = make_roster(seed=seed)
    sides = split_cases(cases, test_share=0.2, validation_share=0.1, seed=seed)
    assert set(sides) == {"train", "validation", "test"}
    assert (sides.groupby(cases["patient_id"]).nunique() == 1).all()
    for label in (0, 1):
        shares = sides[cases["label"] == label].value_counts(normalize=True)
        assert shares["test"] == pytest.approx(0.2, abs=0.03)
        assert shares["validation"] == pytest.approx(0.1, abs=0.03)


def test_split_depends_on_the_seed_but_not_on_the_order():
    cases = make_roster()
    sides = split_cases(cases, test_share=0.2, validation_share=0.1, seed=5)
    shuffled = cases.sample(frac=1, random_state=0)
    again = split_cases(shuffled, test_share=0.2, validation_share=0.1, seed=5)
    pd.testing.assert_series_equal(again.sort_index(), sides)
    other = split_cases(cases, test_share=0.2, validation_share=0.1, seed=6)
    assert (other != sides).mean() > 0.1


def test_every_patient_gets_into_the_test_set_about_equally_often():
    cases = make_roster(patients=30)
    tested = np.zeros(30)
    for seed in range(200):
        sides = split_cases(cases, test_share=0.2, validation_share=0, seed=seed)
        tested[np.unique(cases["patient_id"][sides == "test"].str[1:].astype(int))] += 1
    # A patient with more cases of a class than a fifth of them cannot be tested if the shares are to come out.
    counts = pd.crosstab(cases["patient_id"], cases["label"])
    fitting = (counts <= 0.2 * counts.sum()).all(axis=1).to_numpy()
    assert fitting.sum() >= 25
    assert tested[fitting].min() > 15
    assert tested[fitting].max() < 85


def test_one_case_a_patient_gives_exact_counts():
    cases = pd.DataFrame({"case_id": [f"c{row}" for row in range(200)], "label": [0] * 150 + [1] * 50})
    cases["patient_id"] = cases["case_id"]
    sides = split_cases(cases, test_share=0.2, validation_share=0.2, seed=0)
    counts = pd.crosstab(sides, cases["label"])
    assert counts.loc["test"].tolist() == [30, 10]
    assert counts.loc["validation"].tolist() == [30, 10]


def test_folds_are_even():
    cases = make_roster()
    folds = fold_cases(cases, 5, seed=0)
    assert (folds.groupby(cases["patient_id"]).nunique() == 1).all()
    shares = pd.crosstab(folds, cases["label"], normalize="columns")
    assert shares.shape == (5, 2)
    assert (shares - 0.2).abs().to_numpy().max() < 0.03


def test_split_says_what_is_missing():
    cases = make_roster()
    few = cases[(cases["label"] == 0) | (cases["patient_id"].isin(cases["patient_id"][cases["label"] == 1].unique()[:2]))]
    with pytest.raises(UsageError, match="class 1 has cases of 2 different patient_id, too few for 3 sides"):
        split_cases(few, test_share=0.2, validation_share=0.1, seed=0)
    with pytest.raises(UsageError, match="too few for 5 folds"):
        fold_cases(few, 5, seed=0)
    with pytest.raises(UsageError, match="at least 2 folds"):
        fold_cases(cases, 1, seed=0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        split_cases(cases, test_share=0.6, validation_share=0.5, seed=0)
    with pytest.raises(UsageError, match="no column 'scan'"):
        split_cases(cases, test_share=0.2, validation_share=0.1, seed=0, by="scan")
    # Every class has two patients, yet of two sides one gets a single patient and misses a class.
    impossible = pd.DataFrame({"patient_id": list("aabbcc"), "case_id": list("uvwxyz"), "label": [0, 1, 1, 2, 2, 0]})
    with pytest.raises(UsageError, match="found no way to give each of the 2 sides"):
        split_cases(impossible, test_share=0.5, validation_share=0, seed=0)


# --- the case table


def test_case_table_faults_are_named():
    cases = make_roster(patients=5)
    check_cases(cases)
    for change, message in (
        (cases.drop(columns="sha256"), "no column sha256"),
        (cases.iloc[:0], "no cases"),
        (
            cases.assign(patient_id=cases["patient_id"].where(cases.index != 3)),
            "1 cases without patient_id, first in row 4",
        ),
        (cases.assign(case_id="x"), "occur twice, first 'x'"),
        (cases.assign(sha256="abc"), "sha256 of 64 digits"),
        (cases.assign(label="a"), "whole numbers"),
        (cases.assign(label=-1), "whole numbers"),
    ):
        with pytest.raises(UsageError, match=message):
            check_cases(change)


def test_hashes_tell_shape_and_type_apart(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert hash_pixels(pixels) == hash_pixels(np.asfortranarray(pixels))
    assert len({hash_pixels(pixels), hash_pixels(pixels.T), hash_pixels(pixels.astype(np.int8))}) == 3
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


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
