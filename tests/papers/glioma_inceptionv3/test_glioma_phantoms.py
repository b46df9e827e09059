"""Phantoms: their files, and what slices of a subject and of a grade share, which is known."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from common.cases.descriptions import describe_images
from common.cases.duplicates import compare_images, find_near_duplicates, keep_alike
from common.data.phantoms import MARKER
from common.data.unmarked import read_unmarked
from common.errors import UsageError
from replications.glioma_inceptionv3 import data
from replications.glioma_inceptionv3.config import DEMO, PAPER, SMOKE
from replications.glioma_inceptionv3.sources.phantoms import draw_subject, write_phantoms
from replications.glioma_inceptionv3.sources.volumes import read_volume

SMALL = replace(SMOKE, phantom_subjects=6, phantom_slices=3)


def test_subjects_are_those_of_the_report(tmp_path):
    write_phantoms(tmp_path, replace(PAPER, phantom_slices=2), seed=0)
    with (tmp_path / "glioma" / "subjects.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert Counter(line["grade"] for line in lines) == {"Grade II": 34, "Grade III": 24, "Grade IV": 22}
    assert [line["grade"] for line in lines] != sorted(line["grade"] for line in lines)
    assert {line["site"] for line in lines} == {"A", "B", "C"}
    files = {path.relative_to(tmp_path / "glioma").as_posix() for path in (tmp_path / "glioma").rglob("*.nrrd")}
    assert files == {f"{line['subject']}/sample{end}" for line in lines for end in (".nrrd", ".seg.nrrd")}


def test_a_phantom_is_a_volume_with_a_segment_of_3d_slicer(tmp_path):
    write_phantoms(tmp_path, SMALL, seed=0)
    folder = tmp_path / "glioma" / "phantom000"
    volume, mask = (read_volume(folder / name, folder) for name in ("sample.nrrd", "sample.seg.nrrd"))
    assert volume.image.GetSpacing() == mask.image.GetSpacing() == (3.0, 3.0, 5.0)
    assert mask.pairs["Segment0_Name"] == "tumor"
    assert mask.image.GetSize()[2] < volume.image.GetSize()[2]  # cropped: it must be laid by its header


def test_the_area_filter_keeps_as_many_slices_as_asked(tmp_path):
    write_phantoms(tmp_path, DEMO, seed=0)
    source = data.find_source(tmp_path, DEMO)
    assert source.synthetic
    listing = data.READERS["own"](source.path, DEMO)
    areas = [subject.read().masks.sum(axis=(1, 2)) for subject in listing.subjects[:9]]
    kept = [len(data.select_slices(area, PAPER)) for area in areas]
    assert [int((area > 0).sum()) for area in areas] == [count + 2 for count in kept]
    assert set(kept) <= {DEMO.phantom_slices - 1, DEMO.phantom_slices, DEMO.phantom_slices + 1}


def test_phantoms_are_deterministic_and_written_once(tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        write_phantoms(folder, SMALL, seed=5)
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in files)
    assert json.loads((folders[0] / MARKER).read_text())["synthetic"] is True
    volume = folders[0] / "glioma" / "phantom001" / "sample.nrrd"
    before, content = volume.stat().st_mtime_ns, volume.read_bytes()
    write_phantoms(folders[0], SMALL, seed=5)
    assert volume.stat().st_mtime_ns == before  # whole: left alone
    volume.unlink()
    write_phantoms(folders[0], SMALL, seed=5)
    assert volume.read_bytes() == content
    for other in ({"seed": 6}, {"seed": 5, "strength": 1.0}, {"seed": 5, "config": replace(SMALL, phantom_texture=0.5)}):
        write_phantoms(folders[0], **{"config": SMALL} | other)
        assert volume.read_bytes() != content


def test_phantoms_are_not_written_among_other_files(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_phantoms(tmp_path, SMALL, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_without_signal_the_grade_changes_nothing():
    first, *others = (draw_subject(grade, 4, 0.0, 1.0, np.random.default_rng(7)) for grade in range(3))
    for other in others:
        np.testing.assert_array_equal(first[0], other[0])
        np.testing.assert_array_equal(first[1], other[1])
    assert (first[0] != draw_subject(1, 4, 0.2, 1.0, np.random.default_rng(7))[0]).any()


# What a classifier can find


def describe(tmp_path: Path, signal: float, texture: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops of DEMO at 12x12, as features (n, 144); grades; subjects."""
    config = replace(DEMO, phantom_signal=signal, phantom_texture=texture, phantom_slices=6)
    write_phantoms(tmp_path, config, seed=0)
    crops, grades, subjects = [], [], []
    for number, subject in enumerate(data.READERS["own"](tmp_path / "glioma", config).subjects):
        slices = subject.read()
        low, high = np.percentile(slices.planes, config.percentiles)
        for place in data.select_slices(slices.masks.sum(axis=(1, 2)), config):
            picture = data.make_picture(slices.planes[place], slices.masks[place], low, high, "crop", config)
            crops.append(cv2.resize(picture, (12, 12), interpolation=cv2.INTER_AREA).ravel())
            grades.append(("II", "III", "IV").index(subject.grade))
            subjects.append(number)
    return np.array(crops, float), np.array(grades), np.array(subjects)


def score(features: np.ndarray, grades: np.ndarray, groups: np.ndarray) -> float:
    """Accuracy in the test fifth of five draws of whole groups."""
    found = []
    for seed in range(5):
        drawn = np.random.default_rng(seed).permutation(groups.max() + 1)
        test = drawn[groups] < (groups.max() + 1) / 5
        model = make_pipeline(StandardScaler(), SVC(C=1000.0)).fit(features[~test], grades[~test])
        found.append(model.score(features[test], grades[test]))
    return float(np.mean(found))


@pytest.mark.parametrize(("signal", "texture"), [(0.0, 1.0), (1.0, 0.0)])
def test_known_answers(tmp_path, signal, texture):
    """Texture alone: the list named twice >= 95 %, slices far above chance, subjects at chance. Signal alone: all the same."""
    features, grades, subjects = describe(tmp_path, signal, texture)
    count = len(grades)
    once, grouped = score(features, grades, np.arange(count)), score(features, grades, subjects)
    twice = score(np.tile(features, (2, 1)), np.tile(grades, 2), np.arange(2 * count))
    most = np.bincount(grades).max() / count
    if signal:
        assert min(once, grouped, twice) > 0.97
    else:
        assert twice >= 0.95
        assert once > most + 0.3
        assert grouped < most + 0.05


@pytest.mark.parametrize(("texture", "low", "high"), [(0.0, -0.05, 0.05), (1.0, 0.5, 1.0)])
def test_texture_is_what_slices_of_a_subject_share(tmp_path, texture, low, high):
    """Mean correlation of two crops of a subject, less that of two subjects."""
    features, _, subjects = describe(tmp_path, 0.0, texture)
    alike = np.corrcoef(features - features.mean(axis=0))
    same = subjects[:, None] == subjects
    np.fill_diagonal(alike, np.nan)
    assert low <= np.nanmean(alike[same]) - np.nanmean(alike[~same]) <= high


def test_subjects_are_no_near_duplicates(tmp_path):
    for strength, texture in ((0.0, 1.0), (1.0, 0.0)):
        config = replace(SMOKE, phantom_texture=texture)
        folder = tmp_path / str(texture)
        write_phantoms(folder, config, seed=0, strength=strength)
        _, cases, notes = data.read_source(data.find_source(folder, config), config, "whole")
        assert cases["patient_id"].nunique() == config.phantom_subjects
        assert (
            len(notes["near_duplicates"]) < len(cases) / 2
        )  # of 1.5 pairs a case within subjects: most neighbours are not one picture


def test_unmarked_subjects_show_nothing_of_the_grade(tmp_path):
    """As many of each grade; their files are those of phantoms without the grade's pattern, to the byte."""
    write_phantoms(tmp_path / "some", SMALL, seed=0, strength=1.0, unmarked=1.0)
    write_phantoms(tmp_path / "none", SMALL, seed=0, strength=0.0)
    unmarked = read_unmarked(tmp_path / "some" / "glioma")
    with (tmp_path / "some" / "glioma" / "subjects.csv").open(newline="") as file:
        grades = {line["subject"]: line["grade"] for line in csv.DictReader(file)}
    assert sorted(grades[subject] for subject in unmarked) == ["Grade II", "Grade III", "Grade IV"]
    for subject in grades:
        files = [(tmp_path / folder / "glioma" / subject / "sample.nrrd").read_bytes() for folder in ("some", "none")]
        assert (files[0] == files[1]) == (subject in unmarked)
    assert not read_unmarked(tmp_path / "none" / "glioma")


def test_neighbouring_slices_are_found_as_by_registering_every_candidate(tmp_path):
    """Their templates agree by 0.6 alone where the pictures, registered, reach the limit."""
    write_phantoms(tmp_path, SMOKE, seed=0)
    images, _, notes = data.read_source(data.find_source(tmp_path, PAPER), PAPER, "whole")
    described, limit = describe_images(images), notes["near_duplicate_limit"]
    every = keep_alike(compare_images(described), limit)
    assert len(every) >= 10
    pd.testing.assert_frame_equal(find_near_duplicates(described, limit=limit), every)
