"""Phantoms that look like scans: two views of one body, lesions where their class has them; and the crop of a body."""

from dataclasses import replace

import numpy as np
import pytest

from common.data.unmarked import read_unmarked
from common.errors import UsageError
from replications.bone_acgan.body import draw_body, find_body, fit_picture, scale_counts
from replications.bone_acgan.config import CLASSES, PAPER
from replications.bone_acgan.sources import phantoms
from replications.bone_acgan.sources.anatomy import COLUMNS, MM_PER_PIXEL, ROWS, TOP, draw_anatomy, expect_counts
from replications.bone_acgan.sources.dicom import read_scan


def draw(label: int, signal: float = 1.0, anatomy: float = 1.0, seed: int = 0) -> np.ndarray:
    return phantoms.draw_scan(label, anatomy, signal, np.random.default_rng([seed, label]))[0]


def test_counts_are_those_of_a_scan():
    scan = draw(0)
    assert (scan.shape, scan.dtype) == ((2, ROWS, COLUMNS), np.uint16)
    body = scan[:, 100:600, 60:200]
    assert 1 < body.mean() < 60
    assert scan.max() < 1000
    air = scan[:, 650:, :20]
    assert air.mean() < 1
    assert 0.7 < air.var() / air.mean() < 1.6  # Poisson


def test_views_mirror_each_other_and_show_other_bones():
    """The posterior view is seen from behind: the spine is brighter, the sternum is not seen."""
    body = draw_anatomy(np.random.default_rng(0), strength=0)
    anterior, posterior = (expect_counts(body, [], view) for view in (False, True))
    row = round(TOP + 400 * body.height / MM_PER_PIXEL)
    spine = slice(COLUMNS // 2 - 4, COLUMNS // 2 + 4)
    lumbar = slice(round(TOP + 600 * body.height / MM_PER_PIXEL), round(TOP + 690 * body.height / MM_PER_PIXEL))
    assert posterior[lumbar, spine].mean() > 1.4 * anterior[lumbar, spine].mean()
    assert anterior[row - 8 : row + 8, spine].mean() > 0.5 * posterior[row - 8 : row + 8, spine].mean()
    assert np.corrcoef(anterior.ravel(), posterior[:, ::-1].ravel())[0, 1] > 0.75


def test_classes_have_their_lesions():
    random = np.random.default_rng(0)
    assert phantoms.draw_lesions(0, 1.0, random) == []
    metastases = [phantoms.draw_lesions(1, 1.0, random) for _ in range(60)]
    assert {len(lesions) for lesions in metastases} <= set(range(4, 14))
    assert max(abs(lesion.x) for lesions in metastases for lesion in lesions) < 220  # no limbs but the upper ends
    benign = [phantoms.draw_lesions(2, 1.0, random) for _ in range(60)]
    paired = [lesions for lesions in benign if len(lesions) > 1]
    assert 25 < len(paired) < 55
    for left, right in ((lesions[0], lesions[1]) for lesions in paired):
        assert left.x < 0 < right.x or abs(left.x + right.x) < 20
        assert abs(left.y - right.y) < 20


def test_signal_and_anatomy_have_the_strength_that_is_asked_for():
    plain, with_lesions = draw(1, signal=0.0), draw(1, signal=1.0)
    assert with_lesions.sum() > plain.sum()
    alike = [draw_anatomy(np.random.default_rng(seed), strength=0) for seed in (1, 2)]
    assert (alike[0].counts, alike[0].bend) == (alike[1].counts, alike[1].bend)
    differ = [draw_anatomy(np.random.default_rng(seed)) for seed in (1, 2)]
    assert differ[0].counts != differ[1].counts


def measure_regions(strength: float, posterior: bool) -> np.ndarray:
    """Share of the counts above the shoulders and below the hips, (12 patients, 2)."""
    found = []
    for seed in range(12):
        body = draw_anatomy(np.random.default_rng(seed), strength)
        view = expect_counts(body, [], posterior)
        head, legs = (round(TOP + y * body.height / MM_PER_PIXEL) for y in (225, 1000))
        found.append([view[:head].sum() / view.sum(), view[legs:].sum() / view.sum()])
    return np.array(found)


def test_both_views_show_the_regions_that_take_up_more_in_a_patient():
    anterior, posterior = (measure_regions(1.0, view) for view in (False, True))
    for region in range(2):
        assert anterior[:, region].std() > 0.1 * anterior[:, region].mean()
        assert np.corrcoef(anterior[:, region], posterior[:, region])[0, 1] > 0.9
    assert measure_regions(0.0, False).std(axis=0).max() < 1e-6


def test_the_sides_of_a_patient_take_up_alike():
    """But for lesions and a crooked spine a view is its own mirror image."""
    body = replace(draw_anatomy(np.random.default_rng(3)), tilt=0.0, shift=0.0, bend=0.0)
    for posterior in (False, True):
        view = expect_counts(body, [], posterior)
        view = view[:, :-1] if posterior else view[:, 1:]  # the midline is the middle of a pixel
        assert np.abs(view - view[:, ::-1]).mean() < 0.02 * view.mean()


def test_files_are_the_same_every_time(tmp_path):
    config = replace(PAPER, phantom_patients=6)
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        phantoms.write_phantoms(folder, config, seed=3)
    names = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)
    lines = (folders[0] / "bone_scans" / phantoms.TABLE).read_text().splitlines()
    assert lines[0] == "path,label,patient"
    labels = [line.split(",")[1] for line in lines[1:]]
    assert [labels.count(name) for name in CLASSES] == [3, 2, 1]
    found = read_scan(folders[0] / "bone_scans" / lines[1].split(",")[0])
    assert found.views == ("anterior", "posterior")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        phantoms.write_phantoms(tmp_path / "c", config, seed=3)


def test_body_is_cut_out_and_fitted():
    for counts in draw(0, seed=4):
        picture, crop = draw_body(counts.astype(np.float32), PAPER)
        assert picture.shape == (PAPER.picture_height, PAPER.picture_width)
        assert not crop.doubt
        rows = np.flatnonzero(picture.max(axis=1) > 20)
        assert rows[0] < 0.1 * PAPER.picture_height
        assert rows[-1] > 0.9 * PAPER.picture_height
    assert find_body(np.zeros((50, 20)), PAPER).doubt == "no body found"
    pair = np.concatenate(list(draw(0, seed=5)), axis=1).astype(np.float32)
    assert find_body(pair, PAPER).doubt == "a second body beside it"
    half = np.zeros((100, 40))
    half[60:90, 10:30] = 40
    assert find_body(half, PAPER).doubt.startswith("fills")


def test_scaling_keeps_shape_and_cuts_hot_spots():
    counts = np.ones((100, 50))
    counts[0, 0] = 1e6
    assert scale_counts(counts, 99.5).mean() == pytest.approx(1)
    framed = fit_picture(np.full((20, 40), 100, np.uint8), 60, 60)
    assert (framed[15:45] == 100).all()
    assert (framed[:14] == 0).all()


def test_unmarked_patients_show_no_lesion(tmp_path):
    """As many of each class; their files are those of phantoms without any lesion, to the byte."""
    config = replace(PAPER, phantom_patients=12, phantom_chests=1)
    phantoms.write_phantoms(tmp_path / "some", config, seed=0, unmarked=0.5)
    phantoms.write_phantoms(tmp_path / "none", config, seed=0, strength=0.0)
    unmarked = read_unmarked(tmp_path / "some" / "bone_scans")
    lines = [line.split(",") for line in (tmp_path / "some" / "bone_scans" / phantoms.TABLE).read_text().splitlines()[1:]]
    assert sorted(label for _, label, patient in lines if patient in unmarked) == sorted(CLASSES)
    for name, label, patient in lines:
        files = [(tmp_path / folder / "bone_scans" / name).read_bytes() for folder in ("some", "none")]
        assert (files[0] == files[1]) == (patient in unmarked or label == CLASSES[0])
    lesions = phantoms.read_lesions(tmp_path / "some" / "bone_scans")
    assert not any(lesions[f"{patient}.dcm"].any() for patient in unmarked)
