"""Readers of the thyroid sources: one for each layout, and what each counts."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from thyroid_samples import HEIGHT, WIDTH, WRITERS, cut_by_hand, prepare, write_hou2024, write_own

from common.errors import UsageError
from replications.thyroid_ensemble import data
from replications.thyroid_ensemble.config import PAPER
from replications.thyroid_ensemble.sources import published


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
    assert dataset.info["substitute"]  # a user's own pictures, too, are other data than the paper's
    assert dataset.cases["case_id"].is_unique
    assert {"case_id", "path", "sha256", "patient_id", "label"} <= set(dataset.cases)
    assert np.asarray(dataset.images).std(axis=(1, 2, 3)).min() > 5  # pictures, not borders
    written = (tmp_path / "out" / "images.npy").stat().st_mtime_ns
    prepare(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "images.npy").stat().st_mtime_ns == written
    prepare(tmp_path, tmp_path / "out", replace(PAPER, roi_margin=0.3))
    assert (tmp_path / "out" / "images.npy").stat().st_mtime_ns != written


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
