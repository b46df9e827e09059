"""Thyroid data: the ROI, one reader for each layout, prepared data sets, both protocols' splits, the command."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.cases.folds import hash_folds, measure_leak
from common.cases.prepared import Dataset, load_dataset
from common.cases.table import LeakError
from common.data.folder import walk_files
from common.errors import UsageError
from replications.thyroid_ensemble import data, rois
from replications.thyroid_ensemble.config import PAPER, SMOKE
from replications.thyroid_ensemble.sources import acquire, ddti, published

WIDTH, HEIGHT = 90, 70  # of the drawn pictures
WINDOW = replace(PAPER, roi_mode="centre_window")


@pytest.fixture(scope="session")
def real_thyroid() -> Path:
    """$REPLICATIONS_DATA/thyroid_ensemble, or skip."""
    root = os.environ.get("REPLICATIONS_DATA")
    if not root or not (Path(root) / "thyroid_ensemble" / "ddti").is_dir():
        pytest.skip("needs the real images: set REPLICATIONS_DATA to the folder that holds thyroid_ensemble/ddti/")
    return Path(root) / "thyroid_ensemble"


def draw(seed: int, size=(WIDTH, HEIGHT)) -> Image.Image:
    """Noise of large grains: every seed another picture."""
    grains = np.random.default_rng(seed).integers(0, 256, (12, 14), dtype=np.uint8)
    return Image.fromarray(grains).resize(size, Image.Resampling.BILINEAR)


def save(path: Path, seed: int, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(seed, size).save(path)


def write_own(folder: Path, patients=12, frames=2):
    """thyroid/: pictures with a box each, every second patient malignant."""
    lines = ["path,label,patient,x0,y0,x1,y1"]
    for patient in range(patients):
        for frame in range(frames):
            name = f"p{patient}_{frame}.png"
            save(folder / "thyroid" / name, 10 * patient + frame)
            lines.append(f"{name},{('benign', 'malignant')[patient % 2]},patient {patient},20,15,60,45")
    (folder / "thyroid" / "cases.csv").write_text("\n".join(lines) + "\n")


def draw_contour(x0, y0, x1, y1) -> dict:
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return {"points": [{"x": x, "y": y} for x, y in corners], "annotation": {}, "regionType": "freehand"}


def write_case(folder: Path, number: int, grade: str, marks: dict[int, list[dict]], seeds: dict[int, int] | None = None):
    """One DDTI case: <number>.xml and its pictures; seeds: for pictures that are not drawn by their own number."""
    drawn = "".join(f"<mark><image>{k}</image><svg>{json.dumps(c) if c else ''}</svg></mark>" for k, c in marks.items())
    text = f"<case><number>{number}</number><age>40</age><sex>F</sex><tirads>{grade}</tirads>{drawn}</case>"
    (folder / "gt").mkdir(parents=True, exist_ok=True)
    (folder / "gt" / f"{number}.xml").write_text(text)
    for picture in marks:
        save(folder / "images" / f"{number}_{picture}.jpg", (seeds or {}).get(picture, 1000 + 10 * number + picture))


def write_ddti(folder: Path, cases=12):
    """ddti/: case k has one picture with a contour, from the fourth on two; grades by turns benign and malignant."""
    for number in range(1, cases + 1):
        marks = {1: [draw_contour(10, 10, 40, 40)]}
        if number > 3:
            marks[2] = [draw_contour(5, 5, 30, 25), draw_contour(50, 30, 80, 60)]
        write_case(folder / "ddti", number, ("2", "4a", "3", "5")[number % 4], marks)


def write_tn5000(folder: Path, inner="TN5000_forReview"):
    root = folder / "tn5000" / inner
    lists = {"train": range(20), "val": range(20, 25), "test": range(25, 35)}
    for split, numbers in lists.items():
        names = [f"{number:06d}" for number in numbers]
        for number, name in zip(numbers, names, strict=True):
            save(root / "JPEGImages" / f"{name}.jpg", 5000 + number)
            (root / "Annotations").mkdir(exist_ok=True)
            (root / "Annotations" / f"{name}.xml").write_text(
                f"<annotation><filename>{name}.jpg</filename><object><name>{number % 2}</name><bndbox><xmin>11</xmin>"
                f"<ymin>21</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object></annotation>"
            )
        (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")


def write_tn3k(folder: Path):
    for part, count, seed in (("trainval", 20, 6000), ("test", 8, 7000)):
        lines = []
        for number in range(count):
            name = f"{number:04d}.jpg"
            save(folder / "tn3k" / f"{part}-image" / name, seed + number)
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[20:50, 10:60] = 255
            mask[60:64, 80:84] = 255  # a second, smaller part
            path = folder / "tn3k" / f"{part}-mask" / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(mask).save(path)
            lines.append(f"{name},{number % 2}\n")
        (folder / "tn3k" / f"label4{part}.csv").write_text("".join(lines))


def write_hou2024(folder: Path):
    """Six patients with two pictures in either batch; in the second the names are unreadable. Each has one without a label."""
    root = folder / "hou2024" / "26067475"
    for batch, first in ((1, 1), (2, 601)):
        home = root if batch == 1 else root / "batch2_image"
        pictures, labels = ["patient_name,path"], ["patient_index,patient_name,histo_label"]
        for index in range(first, first + 7):
            name = f"Name{index}" if batch == 1 else "??"
            if index < first + 6:
                labels.append(f"{index},{name},{index % 2}")
            for frame in (1, 2):
                path = f"{name}_00{frame}.Jpg" if batch == 1 else f"months/{index}/x_00{frame}.Jpg"
                save(home / ("dataset" if batch == 1 else "") / path, 8000 + 10 * index + frame)
                pictures.append(f"{name},{path}")
        (home / f"batch{batch}_image.csv").write_text("\n".join(pictures) + "\n", encoding="utf-8-sig")
        (home / f"batch{batch}_image_label.csv").write_text("\n".join(labels) + "\n", encoding="utf-8-sig")


WRITERS = {"own": write_own, "hou2024": write_hou2024, "tn5000": write_tn5000, "tn3k": write_tn3k, "ddti": write_ddti}


def edit(path: Path, old: str, new: str):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def prepare(folder: Path, out: Path, config=PAPER, **options) -> Dataset:
    data.prepare_dataset(data.find_source(folder, config), config, out, **options)
    return load_dataset(out)


# ROI


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


def test_box_of_points():
    assert rois.box_of_points(np.array([[3, 4], [9.5, 2], [5, 8]])) == (3, 2, 10, 8)
    for line in ([[1, 2], [3, 4]], [[1, 5], [2, 5], [3, 5]]):
        with pytest.raises(UsageError, match="contour"):
            rois.box_of_points(np.array(line, float))


# Readers


@pytest.mark.parametrize(
    ("kind", "cases", "patients", "malignant"),
    [("own", 24, 12, 12), ("hou2024", 24, 12, 12), ("tn5000", 35, 35, 17), ("tn3k", 28, 28, 14), ("ddti", 30, 12, 14)],
)
def test_every_layout_is_found_and_read(tmp_path, kind, cases, patients, malignant):
    WRITERS[kind](tmp_path)
    dataset = prepare(tmp_path, tmp_path / "out")
    assert dataset.images.shape == (cases, 128, 128, 1)
    assert dataset.images.dtype == np.uint8
    assert (dataset.info["cases"], dataset.info["patients"]) == (cases, patients)
    assert dataset.info["classes"] == {"benign": cases - malignant, "malignant": malignant}
    assert dataset.info["substitute"] == (kind != "own")
    assert dataset.cases["case_id"].is_unique
    assert {"case_id", "path", "sha256", "patient_id", "label"} <= set(dataset.cases)
    assert np.asarray(dataset.images).std(axis=(1, 2, 3)).min() > 5  # pictures, not borders
    written = (tmp_path / "out" / "images.npy").stat().st_mtime_ns
    prepare(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "images.npy").stat().st_mtime_ns == written
    prepare(tmp_path, tmp_path / "out", replace(PAPER, roi_margin=0.3))
    assert (tmp_path / "out" / "images.npy").stat().st_mtime_ns != written


def cut_by_hand(path: Path, box) -> np.ndarray:
    with Image.open(path) as picture:
        return rois.cut_roi(np.asarray(picture.convert("L")), box, PAPER)


def test_rois_are_those_of_the_boxes(tmp_path):
    for writer in WRITERS.values():
        writer(tmp_path)
    expected = {"own": (20, 15, 60, 45), "tn5000": (10, 20, 50, 60), "tn3k": (10, 20, 60, 50)}
    for kind, box in expected.items():
        source = data.find_source(tmp_path, replace(PAPER, source=kind))
        images, cases, _ = data.read_source(source, PAPER)
        for row in (0, len(cases) - 1):
            np.testing.assert_array_equal(images[row], cut_by_hand(source.path / cases["path"][row], box), err_msg=kind)
    source = data.find_source(tmp_path, replace(PAPER, source="ddti"))
    images, cases, _ = data.read_source(source, PAPER)
    boxes = {"12_2-n1": (5, 5, 30, 25), "12_2-n2": (50, 30, 80, 60), "3_1-n1": (10, 10, 40, 40)}
    for case_id, box in boxes.items():
        (row,) = cases.index[cases["case_id"] == case_id]
        np.testing.assert_array_equal(images[row], cut_by_hand(source.path / cases["path"][row], box))


def test_sources_come_in_order_and_by_name(tmp_path):
    assert data.find_source(tmp_path, PAPER) is None
    assert data.find_source(None, PAPER) is None
    for kind in reversed(WRITERS):
        WRITERS[kind](tmp_path)
        assert data.find_source(tmp_path, PAPER).kind == kind
    for kind in WRITERS:
        assert data.find_source(tmp_path, replace(PAPER, source=kind)).kind == kind
    shutil.rmtree(tmp_path / "tn3k")
    with pytest.raises(UsageError, match="nothing in tn3k/ for source tn3k"):
        data.find_source(tmp_path, replace(PAPER, source="tn3k"))
    with pytest.raises(UsageError, match="known: auto, own, hou2024, tn5000, tn3k, ddti"):
        data.find_source(tmp_path, replace(PAPER, source="kaggle"))


def test_phantoms_are_own_pictures_named_synthetic(tmp_path):
    data.write_phantoms(tmp_path / "data", SMOKE, seed=0)
    source = data.find_source(tmp_path / "data", SMOKE)
    assert (source.kind, source.synthetic, source.substitute) == ("own", True, False)
    dataset = prepare(tmp_path / "data", tmp_path / "out", SMOKE)
    assert dataset.info["patients"] == SMOKE.phantom_patients
    for protocol in ("paper", "leakfree"):
        folds = data.split_dataset(dataset, protocol, SMOKE)
        assert measure_leak(dataset, folds, protocol)["test_cases"] > 0
    (tmp_path / "data" / data.MARKER).unlink()
    assert not data.find_source(tmp_path / "data", SMOKE).synthetic


def test_own_table_with_masks_and_whole_pictures(tmp_path):
    write_own(tmp_path)
    folder = tmp_path / "thyroid"
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[30:50, 40:70] = 1
    Image.fromarray(mask).save(folder / "m.png")
    lines = ["case_id,label,patient,path,mask"]
    lines += [f"c{p},{p % 2},{p},p{p}_0.png,{'m.png' if p else ''}" for p in range(12)]
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    dataset = prepare(tmp_path, tmp_path / "out")
    assert dataset.cases["case_id"].tolist() == [f"c{p}" for p in range(12)]
    np.testing.assert_array_equal(dataset.images[5, ..., 0], cut_by_hand(folder / "p5_0.png", (40, 30, 70, 50)))
    np.testing.assert_array_equal(dataset.images[0, ..., 0], cut_by_hand(folder / "p0_0.png", (0, 0, WIDTH, HEIGHT)))
    assert dataset.info["whole_pictures"] == 1


def test_several_nodules_of_one_picture_may_differ_in_label(tmp_path):
    write_own(tmp_path)
    with (tmp_path / "thyroid" / "cases.csv").open("a") as file:
        file.write("p0_0.png,malignant,patient 0,50,40,80,60\n")
    dataset = prepare(tmp_path, tmp_path / "out")
    assert len(dataset.cases) == 25
    assert dataset.info["patients_with_both_labels"] == 1


def test_patients_who_share_a_picture_become_one(tmp_path):
    write_own(tmp_path)
    folder = tmp_path / "thyroid"
    shutil.copy(folder / "p1_0.png", folder / "p3_0.png")  # the same file
    with Image.open(folder / "p5_0.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda x: int(0.9 * x)).save(folder / "p7_0.png")
    edit(folder / "cases.csv", "p7_0.png,malignant,patient 7,20,15,60,45", "p7_0.png,malignant,patient 7,30,15,70,45")
    dataset = prepare(tmp_path, tmp_path / "out")
    joined = dataset.cases.groupby("path")["patient_id"].first()
    assert joined["p3_1.png"] == joined["p1_1.png"] == "patient 1"
    assert joined["p7_1.png"] == joined["p5_1.png"] == "patient 5"
    assert (dataset.info["patients_listed"], dataset.info["patients"]) == (12, 10)


def test_file_with_both_labels_is_a_fault(tmp_path):
    write_own(tmp_path)
    shutil.copy(tmp_path / "thyroid/p0_0.png", tmp_path / "thyroid/p1_0.png")
    with pytest.raises(UsageError, match=r"the same picture has both labels: p0_0\.png, p1_0\.png"):
        prepare(tmp_path, tmp_path / "out")
    assert len(prepare(tmp_path, tmp_path / "out", skip_unreadable=True).cases) == 22


# DDTI


def test_ddti_may_lie_flat(tmp_path):
    write_ddti(tmp_path)
    expected = prepare(tmp_path, tmp_path / "a")
    flat = tmp_path / "flat" / "ddti"
    flat.mkdir(parents=True)
    for path in walk_files(tmp_path / "ddti"):
        shutil.copy(path, flat / path.name)
        (flat / f"._{path.name}").write_bytes(b"what macOS puts into archives")
    found = prepare(tmp_path / "flat", tmp_path / "b")
    assert sorted(found.cases["case_id"]) == sorted(expected.cases["case_id"])


def test_ddti_behind_links(tmp_path):
    write_ddti(tmp_path / "disk")
    (tmp_path / "data" / "ddti").mkdir(parents=True)
    (tmp_path / "data" / "ddti" / "gt").symlink_to(tmp_path / "disk" / "ddti" / "gt")
    (tmp_path / "data" / "ddti" / "pictures").symlink_to(tmp_path / "disk" / "ddti" / "images")
    (tmp_path / "disk" / "ddti" / "images" / "again").symlink_to(tmp_path / "disk" / "ddti" / "images")  # a ring
    assert len(prepare(tmp_path / "data", tmp_path / "out").cases) == 30


def test_ddti_counts_what_it_does_not_use(tmp_path):
    write_ddti(tmp_path)
    folder = tmp_path / "ddti"
    once = draw_contour(10, 10, 40, 40)
    write_case(folder, 20, "", {1: [once, draw_contour(50, 10, 80, 40)]})
    write_case(folder, 21, "1", {1: [once]})
    write_case(folder, 22, "4B", {1: [once, once], 2: []})
    save(folder / "images" / "30_1.jpg", 3)
    dataset = prepare(tmp_path, tmp_path / "out")
    assert dataset.info["unused"] == {
        "nodules without a TI-RADS grade": 2, "nodules of other grades": 1, "marks without a contour": 1,
        "contours drawn again": 1, "pictures without a mark": 1,
    }  # fmt: skip
    assert "22_1-n1" in set(dataset.cases["case_id"])
    assert dataset.info["grades"] == {"1": 1, "2": 3, "3": 3, "4a": 3, "4b": 1, "5": 3, "none": 1}
    few = prepare(tmp_path, tmp_path / "out", replace(PAPER, tirads_malignant=("4b", "4c", "5")))
    assert few.info["unused"]["nodules of other grades"] == 1 + (dataset.cases["case_id"].str.match("(1|5|9)_")).sum()


def test_ddti_cases_with_one_picture_are_one_patient_even_through_an_ungraded_one(tmp_path):
    write_ddti(tmp_path)
    folder = tmp_path / "ddti"
    once = [draw_contour(10, 10, 40, 40)]
    write_case(folder, 20, "", {1: once, 2: once}, seeds={1: 1011, 2: 1051})  # the pictures of 1_1 and 5_1, both 4a
    dataset = prepare(tmp_path, tmp_path / "out")
    groups = dataset.cases.groupby(dataset.cases["case_id"].str.split("_").str[0])["patient_id"].unique()
    assert groups["1"].tolist() == groups["5"].tolist() == ["1"]
    assert dataset.info["patients"] == 11


def test_ddti_pictures_with_both_labels_are_left_out_and_counted(tmp_path):
    write_ddti(tmp_path)
    write_case(tmp_path / "ddti", 20, "2", {1: [draw_contour(40, 10, 80, 60)]}, seeds={1: 1011})  # 1_1, graded 4a
    dataset = prepare(tmp_path, tmp_path / "out")
    assert dataset.info["unused"]["nodules on pictures with both labels"] == 2
    assert not {"1_1-n1", "20_1-n1"} & set(dataset.cases["case_id"])
    assert dataset.info["unreadable"] == []


def test_ddti_marks_of_one_picture_come_together(tmp_path):
    write_ddti(tmp_path)
    path = tmp_path / "ddti/gt/1.xml"
    edit(path, "</case>", f"<mark><image>1</image><svg>{json.dumps([draw_contour(50, 30, 80, 60)])}</svg></mark></case>")
    assert {"1_1-n1", "1_1-n2"} <= set(prepare(tmp_path, tmp_path / "out").cases["case_id"])


# Published collections


def test_hou2024_shows_no_names(tmp_path, capsys):
    write_hou2024(tmp_path)
    dataset = prepare(tmp_path, tmp_path / "out")
    assert dataset.info["unused"] == {"pictures of patients without a label": 4}
    assert dataset.cases["patient_id"].nunique() == 12
    assert dataset.cases["path"].tolist()[:2] == ["batch1_image.csv line 2", "batch1_image.csv line 3"]
    label = dataset.cases.set_index("patient_id")["label"]
    assert (label["batch1-1"] == 1).all()
    assert (label["batch2-602"] == 0).all()
    for name in ("Name3_001.Jpg", "Name4_001.Jpg"):
        path = tmp_path / "hou2024/26067475/dataset" / name
        path.write_bytes(b"") if "3" in name else path.unlink()
    with pytest.raises(UsageError, match=r"2 faults: batch1_image\.csv line 6: .*batch1_image\.csv line 8: ") as caught:
        prepare(tmp_path, tmp_path / "out")
    assert data.main(["--data", str(tmp_path)]) == 2
    skipped = prepare(tmp_path, tmp_path / "out", skip_unreadable=True)
    everything = (tmp_path / "out/cases.csv").read_text() + json.dumps(skipped.info) + str(caught.value)
    assert "Name" not in everything + capsys.readouterr().out


def test_hou2024_with_a_folder_a_batch(tmp_path):
    write_hou2024(tmp_path)
    expected = prepare(tmp_path, tmp_path / "a").cases.drop(columns="path")
    root = tmp_path / "hou2024" / "26067475"
    (root / "batch1_image").mkdir()
    for name in ("dataset", "batch1_image.csv", "batch1_image_label.csv"):
        (root / name).rename(root / "batch1_image" / name)
    pd.testing.assert_frame_equal(prepare(tmp_path, tmp_path / "b").cases.drop(columns="path"), expected)


@pytest.mark.parametrize(
    ("path", "index"), [("months/612/x_1.Jpg", "612"), ("239_001.Jpg", "239"), ("Name_001.Jpg", ""), ("a\\7\\x.Jpg", "7")]
)
def test_hou2024_index_of_a_path(path, index):
    assert published._find_index(path) == index


@pytest.mark.parametrize(("kind", "test"), [("tn5000", 10), ("tn3k", 8)])
def test_published_lists_are_the_leakfree_test(tmp_path, kind, test):
    WRITERS[kind](tmp_path)
    dataset = prepare(tmp_path, tmp_path / "out")
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    assert len(folds) == PAPER.inner_folds
    for fold in folds:
        assert (dataset.cases["split"].iloc[fold.test] == "test").all()
        assert len(fold.test) == test
        assert "published list, no patients known" in fold.rule
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    assert set(dataset.cases["split"].iloc[fold.test]) == {"train", "test"}


def test_copies_of_published_test_pictures_are_left_out_of_training(tmp_path):
    write_tn3k(tmp_path)
    shutil.copy(tmp_path / "tn3k/test-image/0001.jpg", tmp_path / "tn3k/trainval-image/0003.jpg")
    dataset = prepare(tmp_path, tmp_path / "out")
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    assert {fold.left_out for fold in folds} == {1}
    assert "1 copies of its pictures left out" in folds[0].rule
    assert measure_leak(dataset, folds, "leakfree")["same_pixels"] == 0


def test_layouts_that_differ_are_one_error(tmp_path):
    for kind, (name, words) in {
        "tn5000": ("TN5000_forReview/ImageSets", "Annotations, JPEGImages, ImageSets/Main"),
        "tn3k": ("label4test.csv", "label4trainval.csv, label4test.csv"),
        "hou2024": ("26067475/batch1_image_label.csv", "batch1_image_label.csv is missing"),
    }.items():
        WRITERS[kind](tmp_path)
        path = tmp_path / kind / name
        path.rename(tmp_path / f"away-{kind}")
        with pytest.raises(UsageError, match=words):
            prepare(tmp_path, tmp_path / "out", replace(PAPER, source=kind))


# Splits


def make_dataset(benign=681, malignant=663, per_patient=11, **columns) -> Dataset:
    labels = np.repeat([0, 1], [benign, malignant])
    count = len(labels)
    cases = pd.DataFrame({
        "case_id": [f"c{k:04d}" for k in range(count)], "path": "", "sha256": [f"{k:064x}" for k in range(count)],
        "patient_id": [f"p{k // per_patient}" for k in range(count)], "label": labels, **columns,
    })  # fmt: skip
    return Dataset(np.zeros((count, 2, 2, 1), np.uint8), cases, {})


def test_paper_split_has_the_counts_of_table_1():
    dataset = make_dataset()
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    labels = dataset.cases["label"].to_numpy()
    assert np.bincount(labels[fold.train]).tolist() == [545, 530]
    assert np.bincount(labels[fold.test]).tolist() == [136, 133]
    assert (fold.fold, len(fold.validation), fold.left_out) == (-1, 0, 0)
    patients = dataset.cases["patient_id"]
    assert set(patients.iloc[fold.train]) & set(patients.iloc[fold.test])  # the paper's flaw is kept


@pytest.mark.parametrize("protocol", ["paper", "leakfree"])
def test_split_depends_on_the_seed_and_not_on_the_order(protocol):
    dataset = make_dataset(120, 100, 5)
    wanted = hash_folds(dataset, data.split_dataset(dataset, protocol, PAPER))
    mixed = Dataset(dataset.images, dataset.cases.sample(frac=1, random_state=0).reset_index(drop=True), {})
    assert hash_folds(mixed, data.split_dataset(mixed, protocol, PAPER)) == wanted
    assert hash_folds(dataset, data.split_dataset(dataset, protocol, replace(PAPER, split_seed=1))) != wanted


def test_leakfree_holds_one_test_out_and_validates_every_other_case_once():
    dataset = make_dataset()
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    patients = dataset.cases["patient_id"].to_numpy()
    assert [fold.fold for fold in folds] == [0, 1, 2, 3, 4]
    assert all((fold.test == folds[0].test).all() for fold in folds)
    assert 0.18 < len(folds[0].test) / len(patients) < 0.22
    validated = np.concatenate([fold.validation for fold in folds])
    assert sorted([*validated, *folds[0].test]) == list(range(len(patients)))
    for fold in folds:
        sides = [set(patients[index]) for index in (fold.train, fold.validation, fold.test)]
        assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
        for index in (fold.train, fold.validation, fold.test):
            assert 0.45 < dataset.cases["label"].iloc[index].mean() < 0.55
        assert sum(map(len, (fold.train, fold.validation, fold.test))) == len(patients)


def test_leak_is_refused():
    dataset = make_dataset(60, 60, 4)
    dataset.cases["sha256"] = "a" * 64
    with pytest.raises(LeakError, match="1 files"):
        data.split_dataset(dataset, "leakfree", PAPER)


def test_listed_split_is_the_papers_one_and_leaves_leakfree_alone():
    listed = np.where(np.arange(220) % 4 == 0, "test", "train")
    dataset = make_dataset(120, 100, 5, split=listed)
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    np.testing.assert_array_equal(fold.test, np.flatnonzero(listed == "test"))
    assert "cases.csv" in fold.rule
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    assert hash_folds(dataset, folds) == hash_folds(dataset, data.split_dataset(make_dataset(120, 100, 5), "leakfree", PAPER))
    dataset.cases.loc[3, "split"] = ""  # incomplete: not used
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    assert "at random" in fold.rule


def test_too_few_cases_and_unknown_protocols_are_refused():
    with pytest.raises(UsageError, match="ask for fewer sides or add data"):
        data.split_dataset(make_dataset(6, 2, 1), "leakfree", PAPER)
    with pytest.raises(UsageError, match="lacks a class"):
        data.split_dataset(make_dataset(6, 2, 1), "paper", PAPER)
    with pytest.raises(UsageError, match="known: paper, leakfree"):
        data.split_dataset(make_dataset(), "leaky", PAPER)


# The command


def test_command_says_what_to_get(tmp_path, capsys):
    assert data.main(["--data", str(tmp_path)]) == 2
    text = capsys.readouterr().out
    for needed in ("thyroid/cases.csv", "hou2024/", "tn5000/", "tn3k/", "ddti/", "private", "licence", "by hand"):
        assert needed in text
    assert data.main(["--data", str(tmp_path / "absent")]) == 2
    assert data.main(["--data", str(tmp_path), "--source", "tn3k"]) == 2
    assert "nothing in tn3k/" in capsys.readouterr().err


def test_command_says_whole_and_counts(tmp_path, capsys):
    write_own(tmp_path)
    write_ddti(tmp_path)
    assert data.main(["--data", str(tmp_path), "--json"]) == 0
    own, ddti_ = json.loads(capsys.readouterr().out)["sources"]
    assert own["counts"] == {"pictures": 24, "cases": 24, "benign": 12, "malignant": 12, "patients": 12}
    assert ddti_["counts"] == {"pictures": 21, "cases": 30, "benign": 16, "malignant": 14, "patients": 12}
    assert data.main(["--data", str(tmp_path), "--source", "own"]) == 0
    assert "  whole" in capsys.readouterr().out


@pytest.mark.parametrize("kind", acquire.EXPECTED)
def test_command_compares_with_the_published_counts(tmp_path, capsys, kind):
    WRITERS[kind](tmp_path)
    assert data.main(["--data", str(tmp_path), "--json"]) == 2
    (finding,) = json.loads(capsys.readouterr().out)["sources"]
    assert len(finding["problems"]) == len(acquire.EXPECTED[kind])
    assert all("instead of the published" in problem for problem in finding["problems"])


def test_prepared_again_when_a_file_changes(tmp_path):
    write_own(tmp_path)
    assert len(prepare(tmp_path, tmp_path / "out").cases) == 24
    edit(tmp_path / "thyroid/cases.csv", "p0_0.png,benign,patient 0,20,15,60,45\n", "")
    assert len(prepare(tmp_path, tmp_path / "out").cases) == 23


# Real data


@pytest.mark.realdata
def test_ddti_gives_what_was_counted_in_it(real_thyroid, tmp_path):
    config = replace(PAPER, source="ddti")
    dataset = prepare(real_thyroid, tmp_path / "out", config)
    info = dataset.info
    assert (info["xml_files"], info["pictures"], info["unreadable"]) == (389, 474, [])
    assert info["grades"] == {"2": 37, "3": 14, "4a": 85, "4b": 75, "4c": 56, "5": 30, "none": 92}
    assert info["classes"] == {"benign": 70, "malignant": 380}
    assert (info["patients"], info["patients_with_both_labels"]) == (297, 0)
    assert info["unused"] == {
        "contours drawn again": 9, "marks without a contour": 5, "nodules without a TI-RADS grade": 198
    }  # fmt: skip
    for protocol in ("paper", "leakfree"):
        folds = data.split_dataset(dataset, protocol, config)
        leak = measure_leak(dataset, folds, protocol)  # raises LeakError under leakfree
        assert (leak["same_patient"] > 0) == (protocol == "paper")


@pytest.mark.realdata
def test_known_copies_of_ddti_are_one_patient(real_thyroid):
    """Graded or not: with every case graded, the copies under other numbers have to come together."""
    config = replace(PAPER, source="ddti", tirads_malignant=("4a", "4b", "4c", "5", ""))
    _, cases, notes = ddti.read_ddti(real_thyroid / "ddti", config)
    assert notes["faults"] == []
    group = cases.groupby(cases["case_id"].str.split("_").str[0])["patient_id"].first()
    assert group[["150", "323", "326", "349"]].nunique() == 1
    assert group["353"] == group["396"]
    assert group["233"] == group["150"]
    assert len(group) - group.nunique() == 5
