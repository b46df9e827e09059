"""Leaks and splits. The rosters are shaped like real ones: several cases a patient, mixed labels."""

import re
import time

import cv2
import numpy as np
import pandas as pd
import pytest
from sample_pictures import COPIES, make_images

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
    with pytest.raises(LeakError, match=r"1 files: p003_0.png = p040_0.png \(test/train\)$"):
        assert_no_leak(cases, sides)
    cases["patient_id"] = join_patients(cases)
    assert cases.loc[b, "patient_id"] == cases.loc[a, "patient_id"] == "p003"
    assert cases["patient_id"].nunique() == 79
    with pytest.raises(LeakError, match=r"1 patients: p003 \(test/train\); 1 files"):
        assert_no_leak(cases, sides)
    assert_no_leak(cases, split_cases(cases, test_share=0.3, validation_share=0, seed=0))


def test_copied_pictures_across_the_split_are_a_leak():
    cases = make_roster(patients=16)
    images = list(make_images(len(cases)))
    sides = split_cases(cases, test_share=0.25, validation_share=0.25, seed=3)
    clean = assert_no_leak(cases, sides, images)["near_duplicates"]
    assert clean["closest"] is None or clean["closest"]["similarity"] < clean["limit"]
    assert clean["compared"] <= clean["image_pairs"]
    sources, targets = np.flatnonzero(sides == "train"), np.flatnonzero(sides == "test")[: len(COPIES)]
    for source, target, copy in zip(sources, targets, COPIES.values(), strict=False):
        images[target] = np.ascontiguousarray(copy(images[source]))
    with pytest.raises(LeakError, match=f"{len(targets)} near-duplicate pairs") as caught:
        assert_no_leak(cases, sides, images)
    assert len(re.findall(r"p\d{3}_\d\.png ~ p\d{3}_\d\.png \(", str(caught.value))) == min(
        10, len(targets)
    )  # as the user knows them
    assert str(caught.value).endswith("give both pictures of each pair one patient in the table of cases, or leave one out")
    joined = cases.assign(patient_id=join_patients(cases, list(zip(sources, targets, strict=False))))
    again = split_cases(joined, test_share=0.2, validation_share=0.1, seed=0)
    assert assert_no_leak(joined, again, images)["cases"] == len(cases)
    unused = sides.copy()
    unused.iloc[targets] = pd.NA
    assert assert_no_leak(cases, unused, images)["cases"] == len(cases) - len(targets)


def test_a_test_set_of_letterboxed_training_pictures_is_refused():
    images = make_images(60)
    boxed = [cv2.copyMakeBorder(image, 12, 12, 0, 0, cv2.BORDER_CONSTANT, value=0) for image in images]
    cases = pd.DataFrame({"case_id": [f"c{row}" for row in range(120)], "label": np.arange(120) % 2})
    cases["patient_id"], cases["path"] = cases["case_id"], [f"{row}.png" for row in range(120)]
    cases["sha256"] = [hash_pixels(image) for image in [*images, *boxed]]
    sides = pd.Series(["train"] * 60 + ["test"] * 60)
    with pytest.raises(LeakError, match="60 near-duplicate pairs"):
        assert_no_leak(cases, sides, [*images, *boxed])


def test_leak_check_of_hundreds_of_images_is_fast():
    images = make_images(500, side=32)
    cases = pd.DataFrame({"case_id": [f"c{row}" for row in range(500)], "path": "", "label": np.arange(500) % 2})
    cases["patient_id"], cases["sha256"] = cases["case_id"], [hash_pixels(image) for image in images]
    sides = split_cases(cases, test_share=0.2, validation_share=0, seed=0)
    started = time.process_time()
    checked = assert_no_leak(cases, sides, images)
    assert time.process_time() - started < 30  # about 3 s
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


def test_a_small_side_gets_a_case_of_every_class_where_that_is_possible():
    """Two patients of a class and a small share: the counts nearest to the wanted ones would leave the class out."""
    labels = [0] * 10 + [1] * 8 + [2] * 2
    cases = pd.DataFrame({"patient_id": [str(n // 2) for n in range(40)], "label": np.repeat(labels, 2)})
    cases["case_id"] = np.arange(40).astype(str)
    for seed in range(5):
        sides = split_cases(cases, test_share=0, validation_share=0.2, seed=seed)
        assert set(cases["label"][sides == "validation"]) == {0, 1, 2}
        assert sides.groupby(cases["patient_id"]).nunique().max() == 1


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
