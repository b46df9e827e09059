"""Phantoms of thyroid nodules: files, frames of a patient, what separates the classes; the generic source task."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from common.cases.descriptions import describe_images
from common.cases.duplicates import choose_limit, find_near_duplicates
from common.cases.registration import compare_thumbnails
from common.data.phantoms import MARKER
from common.data.source_task import SOURCE_CLASSES, draw_source_task
from common.data.unmarked import read_unmarked
from common.errors import UsageError
from replications.thyroid_ensemble.baselines import describe_ulbp, fit_svm
from replications.thyroid_ensemble.config import DEMO, SMOKE
from replications.thyroid_ensemble.sources import phantoms
from replications.thyroid_ensemble.sources.phantoms import draw_patient, write_phantoms

HEADER = ["path", "label", "patient", "x0", "y0", "x1", "y1"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    write_phantoms(folder, DEMO, seed=0)
    return folder


def read_lines(folder: Path) -> list[dict]:
    with (folder / "thyroid" / "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_pictures(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, square ROIs of 128x128, labels, patients."""
    lines = read_lines(folder)
    pictures = [np.asarray(Image.open(folder / "thyroid" / line["path"])) for line in lines]
    rois = []
    for line, picture in zip(lines, pictures, strict=True):
        x0, y0, x1, y1 = (int(line[name]) for name in HEADER[3:])
        side = max(x1 - x0, y1 - y0)
        top, left = max(0, (y0 + y1 - side) // 2), max(0, (x0 + x1 - side) // 2)
        rois.append(cv2.resize(picture[top : top + side, left : left + side], (128, 128)))
    labels = np.array([int(line["label"]) for line in lines])
    return np.array(pictures), np.array(rois), labels, np.array([line["patient"] for line in lines])


def score_patterns(folder: Path) -> float:
    """AUC of local binary patterns, learned on every second patient of a class, tested on the others."""
    _, rois, labels, patients = read_pictures(folder)
    test = np.zeros(len(labels), bool)
    for label in (0, 1):
        test |= np.isin(patients, np.unique(patients[labels == label])[::2])
    rows = describe_ulbp(rois, DEMO)
    machine = fit_svm(rows[~test], labels[~test], patients[~test], DEMO, seed=0)
    return roc_auc_score(labels[test], machine.predict_proba(rows[test])[:, 1])


def test_table_lists_every_picture_with_its_box(demo):
    lines = read_lines(demo)
    assert list(lines[0]) == HEADER
    files = {path.relative_to(demo / "thyroid").as_posix() for path in (demo / "thyroid" / "images").iterdir()}
    assert {line["path"] for line in lines} == files
    for line in lines:
        with Image.open(demo / "thyroid" / line["path"]) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (320, 240))
        x0, y0, x1, y1 = (int(line[name]) for name in HEADER[3:])
        assert 0 <= x0 < x1 <= 320
        assert 0 <= y0 < y1 <= 240
        assert 40 <= max(x1 - x0, y1 - y0) <= 140


def test_patients_and_images_are_as_many_as_asked(demo):
    lines = read_lines(demo)
    labels = {line["patient"]: line["label"] for line in lines}
    assert len({(line["patient"], line["label"]) for line in lines}) == len(labels) == DEMO.phantom_patients  # one class each
    assert list(labels.values()).count("1") == 54  # 663 / 1344 of 110
    counts = [sum(line["patient"] == patient for line in lines) for patient in labels]
    assert set(counts) == {DEMO.phantom_images - 1, DEMO.phantom_images, DEMO.phantom_images + 1}
    assert sum(counts) == DEMO.phantom_patients * DEMO.phantom_images + 1  # 110 is no multiple of three: one more is left
    malignant = [patient for patient, label in labels.items() if label == "1"]
    assert malignant not in (list(labels)[:20], list(labels)[20:])  # not sorted by class


def test_phantoms_are_deterministic_and_written_once(tmp_path):
    config = replace(SMOKE, phantom_patients=4)
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        write_phantoms(folder, config, seed=5)
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in files)
    assert json.loads((folders[0] / MARKER).read_text())["synthetic"] is True
    picture = next((folders[0] / "thyroid" / "images").iterdir())
    before, content = picture.stat().st_mtime_ns, picture.read_bytes()
    write_phantoms(folders[0], config, seed=5)
    assert picture.stat().st_mtime_ns == before  # whole: left alone
    picture.unlink()
    write_phantoms(folders[0], config, seed=5)
    assert picture.read_bytes() == content
    write_phantoms(folders[0], config, seed=6)
    assert picture.read_bytes() != content
    write_phantoms(folders[0], replace(config, phantom_signal=0.5), seed=5)
    assert picture.read_bytes() != content


def test_phantoms_are_not_written_among_other_files(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_phantoms(tmp_path, SMOKE, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_frames_show_one_nodule_and_patients_differ(demo):
    """Frames are alike enough for a leak between them, patients are no near-duplicates, as pictures and as ROIs."""
    pictures, rois, _, patients = read_pictures(demo)
    _, firsts = np.unique(patients, return_index=True)
    for images in (pictures, rois):
        described = describe_images(images)
        limit = choose_limit(described)
        pairs = find_near_duplicates(described, limit=0.5)
        same = patients[pairs["index_a"]] == patients[pairs["index_b"]]
        assert not (pairs.loc[~same, "similarity"] >= limit).any()
        one_each = described.thumbnails[firsts]  # every pair, also those that the search rules out at once
        closest = max(compare_thumbnails(a, b, 0) for a, b in itertools.combinations(one_each, 2))
        assert closest < limit
        assert pairs.loc[same, "similarity"].median() > max(closest, 0.7)


def test_classes_are_separable_between_patients(demo):
    assert score_patterns(demo) > 0.85


def test_without_signal_classes_do_not_differ(tmp_path):
    config = replace(DEMO, phantom_signal=0.0, phantom_images=1)
    scores = []
    for seed in range(2):
        write_phantoms(tmp_path / str(seed), config, seed)
        scores.append(score_patterns(tmp_path / str(seed)))
    assert np.mean(scores) == pytest.approx(0.5, abs=0.25)


def test_unmarked_patients_show_nothing_of_their_class(tmp_path, monkeypatch):
    """As many of each class, drawn without a signal (of which the next test says that the label then changes nothing)."""
    drawn = []
    picture = Image.new("L", (4, 4))

    def draw(label: int, frames: int, signal: float, random: np.random.Generator) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        drawn.append((label, signal))
        return [(np.asarray(picture), (0, 0, 4, 4))] * frames

    monkeypatch.setattr(phantoms, "draw_patient", draw)
    write_phantoms(tmp_path, SMOKE, seed=0, unmarked=0.5)
    unmarked = {int(name[1:]) for name in read_unmarked(tmp_path / "thyroid")}
    assert sorted(drawn[patient][0] for patient in unmarked) == [0] * 5 + [1] * 5
    assert {signal for patient, (_, signal) in enumerate(drawn) if patient in unmarked} == {0.0}
    assert {signal for patient, (_, signal) in enumerate(drawn) if patient not in unmarked} == {SMOKE.phantom_signal}


def test_without_signal_the_label_changes_nothing():
    benign, malignant = (draw_patient(label, 2, 0.0, np.random.default_rng(7)) for label in (0, 1))
    for (picture_a, box_a), (picture_b, box_b) in zip(benign, malignant, strict=True):
        np.testing.assert_array_equal(picture_a, picture_b)
        assert box_a == box_b


def test_malignant_nodules_are_darker_taller_and_coarser():
    shapes, levels, spreads = [], [], []
    for label in (0, 1):
        frames = [draw_patient(label, 1, 1.0, np.random.default_rng(seed))[0] for seed in range(8)]
        shapes.append(np.mean([(y1 - y0) / (x1 - x0) for _, (x0, y0, x1, y1) in frames]))
        middles = []
        for picture, (x0, y0, x1, y1) in frames:
            y, x, reach = (y0 + y1) // 2, (x0 + x1) // 2, (y1 - y0) // 4
            middles.append(cv2.GaussianBlur(picture, (0, 0), 3)[y - reach : y + reach, x - reach : x + reach])
        levels.append(np.mean([middle.mean() for middle in middles]))
        spreads.append(np.mean([middle.std() / middle.mean() for middle in middles]))
    assert shapes[0] < 0.9 < 1.1 < shapes[1]
    assert levels[1] < 0.8 * levels[0]
    assert spreads[1] > 1.5 * spreads[0]


def test_source_task_is_balanced_and_deterministic():
    images, labels = draw_source_task(44, 48, seed=3)
    assert (images.shape, images.dtype, labels.shape) == ((44, 48, 48, 1), np.uint8, (44,))
    assert sorted(np.bincount(labels)) == [5] * 4 + [6] * 4
    assert len(SOURCE_CLASSES) == 8
    again, labels_again = draw_source_task(44, 48, seed=3)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert not np.array_equal(images, draw_source_task(44, 48, seed=4)[0])
    assert draw_source_task(3, 20, seed=0)[0].shape == (3, 20, 20, 1)


def test_source_task_can_be_learned():
    """Local binary patterns at a coarse grain tell most classes apart; chance is 1 in 8."""
    (train, labels), (test, truth) = draw_source_task(400, 64, seed=0), draw_source_task(160, 64, seed=1)
    rows = [describe_ulbp(np.array([cv2.resize(x, (32, 32), interpolation=cv2.INTER_AREA) for x in part]), DEMO)
            for part in (train, test)]  # fmt: skip
    assert KNeighborsClassifier(5).fit(rows[0], labels).score(rows[1], truth) > 0.3
