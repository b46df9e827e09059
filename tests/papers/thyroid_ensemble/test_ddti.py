"""DDTI: contours, grades, pictures that several cases share."""

import json
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hostile import edit
from thyroid_samples import draw_contour, prepare, save, write_case, write_ddti

from common.cases.folds import measure_leak
from common.cli import count_cores
from common.data.folder import walk_files
from common.data.pictures import read_picture
from common.parallel import AHEAD
from replications.thyroid_ensemble import data
from replications.thyroid_ensemble.config import PAPER
from replications.thyroid_ensemble.sources import ddti


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


def test_ddti_holds_few_whole_pictures_at_a_time(tmp_path, monkeypatch):
    """They are large, and of each only the nodules are kept."""
    folder, alive, most = tmp_path / "ddti", weakref.WeakValueDictionary(), 0
    write_case(folder, 1, "2", {1: [draw_contour(10, 10, 40, 40)]})
    for number in range(2, 61):
        save(folder / "images" / f"{number}_1.jpg", number)

    class Picture(np.ndarray):
        """One that can be watched."""

    def read_watched(path):
        nonlocal most
        alive[path] = picture = read_picture(path).view(Picture)
        most = max(most, len(alive))
        return picture

    monkeypatch.setattr(ddti, "read_picture", read_watched)
    assert ddti.read_ddti(folder, PAPER)[2]["pictures"] == 60
    assert 0 < most <= 2 * (AHEAD + 1) * count_cores() + 2  # some wait when they are read, and some when they are described


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
        assert (leak.same_patient > 0) == (protocol == "paper")


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
