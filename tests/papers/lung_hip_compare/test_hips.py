"""Hip radiographs: a user's table, FracAtlas, crops, enlargement, and what hostile files lead to."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hostile import edit
from lung_hip_samples import damage, prepare, save_jpeg
from PIL import Image

from common.errors import UsageError
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import PAPER, SMOKE
from replications.lung_hip_compare.sources import hips


@pytest.mark.parametrize(("dataset", "side"), [("128x128 resized", 32), ("256x256 resized", 48), ("256x256 unresized", 48)])
def test_hip_pictures_are_cropped_and_scaled(user_hips, tmp_path, dataset, side):
    prepared = prepare(dataset, user_hips, SMOKE, tmp_path / "data")
    assert prepared.images.shape == (12, side, side, 1)
    assert prepared.cases["case_id"].tolist()[:2] == ["h000", "h001"]
    with Image.open(user_hips.path / "p3.jpg") as picture:
        picture = np.asarray(picture)
    part = picture[5:45, 10:40] if hips.is_cropped(dataset) else picture
    np.testing.assert_array_equal(prepared.images[3, ..., 0], hips.scale_picture(part, side))


def test_a_picture_with_two_hips_is_one_radiograph(user_hips, tmp_path):
    with (user_hips.path / "cases.csv").open("a") as file:
        file.write("p0.jpg,1,patient 0,L,30,5,60,45\n")
    whole = prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "a")
    crops = prepare("128x128 resized", user_hips, SMOKE, tmp_path / "b")
    assert len(whole.cases) == 12
    assert whole.cases["label"].iloc[0] == 1  # one of its hips is broken
    assert len(crops.cases) == 13
    assert crops.cases["sha256"].is_unique  # though two crops share a file


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("p1.jpg,1", "p1.jpg,2", "line 3: label '2' is not 0"),
        ("p1.jpg,1,patient 1", "p1.jpg,1, ", "line 3: no patient"),
        ("p1.jpg,1", "p0.jpg,1", "line 3: 'p0.jpg' is listed twice for side R"),
        ("p1.jpg,1", "../../etc/passwd,1", "'../../etc/passwd'"),
        ("p1.jpg,1", "/etc/passwd,1", "'/etc/passwd'"),
        ("p1.jpg,1", "C:\\x.jpg,1", "x.jpg"),
        ("p1.jpg,1", "absent.jpg,1", "No such file"),
        ("R,10,5,40,45", "R,10,5,400,45", "leaves the picture of 60x50"),
        ("R,10,5,40,45", "R,40,5,10,45", "is empty"),
        ("R,10,5,40,45", "R,-10,5,40,45", "not four whole numbers"),
        ("R,10,5,40,45", "R,10,,40,45", "not four whole numbers"),
        ("R,10,5,40,45", "R,10,5,40," + "9" * 300, "not four whole numbers"),
        ("path,label", "file,label", "no column path"),
        ("p1.jpg,1,patient 1,R,10,5,40,45", "p1.jpg,1", "2 fields"),
        ("p1.jpg", "p1\0.jpg", "NUL"),
    ],
)
def test_hostile_hip_table(user_hips, tmp_path, old, new, message):
    edit(user_hips.path / "cases.csv", old, new)
    with pytest.raises(UsageError, match=message) as caught:
        data.prepare_dataset("128x128 resized", user_hips, SMOKE, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", ["truncated", "not an image", "empty", "missing", "cmyk", "bomb"])
def test_hostile_radiograph(user_hips, tmp_path, kind):
    damage(user_hips.path / "p4.jpg", kind)
    with pytest.raises(UsageError, match="1 fault: .*p4.jpg"):
        data.prepare_dataset("128x128 unresized", user_hips, SMOKE, tmp_path / "data")
    assert len(prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "data", skip_unreadable=True).cases) == 11


def test_quoted_header_and_extra_columns_are_read(user_hips, tmp_path):
    edit(user_hips.path / "cases.csv", "path,label,patient,side,x0,y0,x1,y1", '"path","label",patient,"side","x0",y0,x1,y1')
    assert len(prepare("128x128 resized", user_hips, SMOKE, tmp_path / "data").cases) == 12


def test_one_picture_under_two_patients_stays_on_one_side(user_hips, tmp_path):
    shutil.copy(user_hips.path / "p0.jpg", user_hips.path / "p2.jpg")
    prepared = prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "data")
    assert prepared.info["same_picture_twice"] == 1
    for fold in data.split_dataset(prepared, "128x128 unresized", "leakfree", SMOKE):
        assert (0 in fold.test) == (2 in fold.test)
        assert (0 in fold.train) == (2 in fold.train)


def test_no_crop_boxes_no_cropped_data_set(user_hips, tmp_path):
    text = "path,label,patient\n" + "".join(f"p{index}.jpg,{index % 2},{index}\n" for index in range(12))
    (user_hips.path / "cases.csv").write_text(text)
    with pytest.raises(UsageError, match="no crop boxes"):
        data.prepare_dataset("128x128 resized", user_hips, SMOKE, tmp_path / "data")
    assert len(prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "data").cases) == 12


def test_fracatlas_in_its_published_layout(tmp_path):
    folder = tmp_path / "fracatlas"
    lines = ["image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique"]
    for index in range(8):
        broken, hip = index % 2, int(index < 6)
        place = "Fractured" if broken else "Non_fractured"
        save_jpeg(folder / "images" / place / f"IMG{index:07d}.jpg", (60, 50), seed=index)
        lines.append(f"IMG{index:07d}.jpg,0,0,{hip},0,0,0,0,{broken},{broken},1,0,0")
    (folder / "dataset.csv").write_text("\n".join(lines) + "\n")
    source = data.find_sources(tmp_path)["hip"]
    assert source.kind == "fracatlas"
    assert "substitute" in source.note
    assert source.substitute
    prepared = prepare("128x128 unresized", source, SMOKE, tmp_path / "data")
    assert prepared.info["classes"] == {"no fracture": 3, "fracture": 3}
    assert prepared.info["patients"] == 6
    assert "no crop boxes" in data.explain_unavailable("128x128 resized", source)
    with pytest.raises(UsageError, match="no crop boxes"):
        data.prepare_dataset("128x128 resized", source, SMOKE, tmp_path / "data")
    for hostile in ("../../../etc/passwd", "a" * 5000 + ".jpg"):
        (folder / "dataset.csv").write_text("\n".join(lines).replace("IMG0000002.jpg", hostile) + "\n")
        with pytest.raises(UsageError, match="1 fault"):
            data.prepare_dataset("128x128 unresized", source, SMOKE, tmp_path / "data")


# Enlargement


def make_pictures(side=20):
    images = np.random.default_rng(0).integers(0, 256, (5, side, side, 1), dtype=np.uint8)
    return images, np.array([0, 1, 0, 1, 1])


def test_enlarge_reaches_the_counts_with_the_originals_first():
    images, labels = make_pictures()
    enlarged, source = hips.enlarge(images, labels, (9, 16), SMOKE, seed=0)
    assert enlarged.shape == (25, 20, 20, 1)
    assert enlarged.dtype == np.uint8
    np.testing.assert_array_equal(enlarged[:5], images)
    np.testing.assert_array_equal(source[:5], range(5))
    assert np.bincount(labels[source]).tolist() == [9, 16]
    assert np.ptp(np.bincount(source)[labels == 1]) <= 1  # dealt evenly
    again, _ = hips.enlarge(images, labels, (9, 16), SMOKE, seed=0)
    np.testing.assert_array_equal(again, enlarged)
    other, _ = hips.enlarge(images, labels, (9, 16), SMOKE, seed=1)
    assert not np.array_equal(other, enlarged)


def test_enlarged_pictures_are_flips_and_shifts_of_their_source(find_choice):
    """Fig. 3c: mirrored and moved; how far, by paper.toml."""
    percent = re.match(r"Horizontal flip and shift of at most (\d+) % of the side", find_choice("Augmentation of the hip images"))
    limit = int(percent[1]) / 100
    side = 40
    images = np.zeros((2, side, side, 1), dtype=np.uint8)
    images[:, 18:22, 8:12] = 200  # a spot left of the middle
    _, columns = np.indices((side, side))
    enlarged, source = hips.enlarge(images, np.array([0, 1]), (300, 300), PAPER, seed=0)
    weights = enlarged[2:, ..., 0].astype(float)
    centre = (weights * columns).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    flipped = centre > side / 2
    assert 0.4 < flipped.mean() < 0.6
    moved = np.where(flipped, side - 1 - centre, centre) - 9.5
    assert np.abs(moved).max() <= limit * side + 0.1
    assert moved.std() == pytest.approx(limit * side / np.sqrt(3), rel=0.15)
    still, _ = hips.enlarge(images, np.array([0, 1]), (5, 5), replace(PAPER, hip_shift=0.0, hip_flip=False), seed=0)
    assert (still == images[0]).all()


def test_move_image_equals_an_affine_transform_with_nearest_fill():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.random.default_rng(1).integers(0, 256, (30, 30), dtype=np.uint8)
    for shift in (np.array([2.0, -3.0]), np.array([1.5, 0.25])):
        ours = hips.move_image(image, shift, False).astype(float)
        theirs = ndimage.shift(image.astype(float), shift, order=1, mode="nearest")
        np.testing.assert_allclose(ours, theirs, atol=4)  # cv2 rounds weights to 1/32
    np.testing.assert_array_equal(hips.move_image(image, np.zeros(2), True), image[:, ::-1])


def test_enlarge_refuses_fewer_than_the_originals():
    images, labels = make_pictures()
    with pytest.raises(UsageError, match="class 1 has 3 originals and cannot be enlarged to 2"):
        hips.enlarge(images, labels, (4, 2), SMOKE, seed=0)


def test_enlarged_data_set_keeps_track_of_patients(user_hips, tmp_path):
    original = prepare("128x128 resized", user_hips, SMOKE, tmp_path / "data")
    enlarged = data.enlarge_dataset(original, "128x128 resized", SMOKE)
    cases = enlarged.cases
    assert cases["case_id"].is_unique
    assert cases["case_id"].str.fullmatch(r"h\d{3}-v\d{2,}").all()
    assert tuple(np.bincount(cases["label"])) == SMOKE.hip_enlarged_cropped
    of_source = original.cases.set_index("case_id")["patient_id"]
    assert (cases["patient_id"] == of_source.loc[cases["source_case"]].to_numpy()).all()
    assert (cases["path"] == "").sum() == len(cases) - 12


def test_a_fold_that_leaves_one_patient_to_learn_from_says_what_to_do():
    """Two folds of three ill patients: one of them leaves one alone, which cannot both train and validate."""
    patients = [f"p{number}" for number in range(9)]
    names = {"case_id": patients, "path": patients, "patient_id": patients, "label": [0] * 6 + [1] * 3}
    cases = pd.DataFrame(names | {"sha256": [f"{number:064x}" for number in range(9)]})
    with pytest.raises(UsageError, match="a fold of 2 leaves one patient of a class .*--set hip_folds=3"):
        hips.split_leakfree(cases, replace(PAPER, hip_folds=2, hip_repetitions=1))
    assert len(hips.split_leakfree(cases, replace(PAPER, hip_folds=3, hip_repetitions=1))) == 3
