"""Lung and hip data: phantoms, readers, prepared data sets, enlargement, splits, and what hostile files lead to."""

import http.server
import io
import json
import shutil
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from common.cases.folds import hash_folds
from common.cases.prepared import Dataset, load_dataset
from common.cases.table import LeakError
from common.data.metaimage import read_header, voxel_to_world, write_volume
from common.errors import UsageError
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import DATASETS, DEMO, PAPER, SMOKE
from replications.lung_hip_compare.sources import acquire, hips, luna16, phantoms

HIPS = [name for name in DATASETS if name != "LUNA16"]


@pytest.fixture(scope="module")
def smoke_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    data.write_phantoms(folder, SMOKE, seed=0)
    return folder


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    data.write_phantoms(folder, DEMO, seed=0)
    return folder


def prepare(dataset, source, config, folder, **options):
    data.prepare_dataset(dataset, source, config, folder, **options)
    return load_dataset(folder)


def save_jpeg(path: Path, size=(50, 50), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)).save(path)


@pytest.fixture
def patches(tmp_path):
    """A small folder of ready patches: 40 train (8 nodules), 20 test (4), rows 100 apart."""
    folder = tmp_path / "luna16_patches"
    for split, count, first in (("train", 40, 0), ("test", 20, 4000), ("val", 5, 6000)):
        lines = []
        for index in range(count):
            name = f"{split}/image_{first + 100 * index}.jpg"
            save_jpeg(folder / name, seed=first + index)
            lines.append(f"{name} {int(index % 5 == 0)}\n")
        (folder / f"{split}datalabels.txt").write_text("".join(lines))
    return data.Source("patches", folder, "test patches", True)


@pytest.fixture
def user_hips(tmp_path):
    """A user's folder: 12 patients with a picture of 60x50 each, every second broken, with a crop box."""
    folder = tmp_path / "hips"
    lines = ["path,label,patient,side,x0,y0,x1,y1"]
    for index in range(12):
        save_jpeg(folder / f"p{index}.jpg", (60, 50), seed=index)
        lines.append(f"p{index}.jpg,{index % 2},patient {index},R,10,5,40,45")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return data.Source("folder", folder, "own hips", True)


def edit(path: Path, old: str, new: str):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# Phantoms


def test_phantoms_are_found_and_named_synthetic(smoke_folder):
    sources = data.find_sources(smoke_folder)
    assert {part: source.kind for part, source in sources.items()} == {"luna": "phantom", "hip": "phantom"}
    assert all(source.synthetic for source in sources.values())


def test_phantoms_have_the_real_formats(smoke_folder):
    volumes, faults = luna16.find_volumes(smoke_folder / "luna16")
    assert len(volumes) == SMOKE.luna_phantom_scans
    assert faults == []
    headers = [read_header(path) for path, _ in volumes.values()]
    assert {header.dtype.str for header in headers} == {"<i2"}
    assert {header.direction[0, 0] for header in headers} == {1.0, -1.0}  # some scans have flipped axes
    candidates = luna16.read_candidates(smoke_folder / "luna16" / "candidates.csv")
    nodules = SMOKE.luna_phantom_scans * SMOKE.luna_phantom_nodules
    assert (candidates["class"] == 1).sum() == nodules
    assert (candidates["class"] == 0).sum() == 5 * nodules
    with Image.open(next((smoke_folder / "hips" / "images").glob("*.jpg"))) as picture:
        assert picture.format == "JPEG"
        assert picture.size[0] / picture.size[1] == pytest.approx(3056 / 2544, rel=0.01)


def test_phantoms_are_deterministic_and_written_once(smoke_folder, tmp_path):
    data.write_phantoms(tmp_path / "again", SMOKE, seed=0)
    for path in (smoke_folder / "luna16").rglob("*.*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(smoke_folder)).read_bytes() == path.read_bytes()
    picture = next((tmp_path / "again" / "hips" / "images").glob("*.jpg"))
    before = picture.stat().st_mtime_ns
    data.write_phantoms(tmp_path / "again", SMOKE, seed=0)
    assert picture.stat().st_mtime_ns == before  # whole: left alone
    picture.unlink()
    data.write_phantoms(tmp_path / "again", SMOKE, seed=0)
    assert picture.is_file()
    content = picture.read_bytes()
    data.write_phantoms(tmp_path / "again", SMOKE, seed=1)
    assert picture.read_bytes() != content


def test_phantoms_are_not_written_among_other_files(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        data.write_phantoms(tmp_path, SMOKE, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def score_pixels(images, labels, train, test) -> float:
    """AUC of a logistic regression on pixels."""
    flat = np.asarray(images).reshape(len(images), -1) / 255
    model = LogisticRegression(C=0.1, max_iter=3000).fit(flat[train], labels[train])
    return roc_auc_score(labels[test], model.decision_function(flat[test]))


@pytest.mark.parametrize("dataset", ["LUNA16", "128x128 resized", "128x128 unresized"])
@pytest.mark.parametrize("protocol", ["paper", "leakfree"])
def test_separable_phantoms_are_learned(demo_folder, tmp_path, dataset, protocol):
    source = data.find_sources(demo_folder)[data.part_of(dataset)]
    dataset_ = prepare(dataset, source, DEMO, tmp_path / "data")
    if protocol == "paper" and data.is_hip(dataset):
        dataset_ = data.enlarge_dataset(dataset_, dataset, DEMO)
    labels = dataset_.cases["label"].to_numpy()
    for fold in data.split_dataset(dataset_, dataset, protocol, DEMO):
        train = np.concatenate([fold.train, fold.validation])  # a pixel model needs no validation
        assert score_pixels(dataset_.images, labels, train, fold.test) > 0.9


def test_strength_zero_and_shuffled_labels_hold_no_signal(demo_folder, tmp_path):
    config = replace(DEMO, luna_phantom_scans=40)
    data.write_phantoms(tmp_path / "flat", config, seed=3, strength=0.0)
    flat = prepare("LUNA16", data.find_sources(tmp_path / "flat")["luna"], config, tmp_path / "a")
    labels = flat.cases["label"].to_numpy()
    (fold,) = data.split_dataset(flat, "LUNA16", "leakfree", config)
    scores = [score_pixels(flat.images, labels, fold.train, fold.test)]
    signal = prepare("LUNA16", data.find_sources(demo_folder)["luna"], DEMO, tmp_path / "b")
    (fold,) = data.split_dataset(signal, "LUNA16", "paper", DEMO)
    for seed in range(6):
        shuffled = np.random.default_rng(seed).permutation(signal.cases["label"].to_numpy())
        scores.append(score_pixels(signal.images, shuffled, fold.train, fold.test))
    assert scores[0] == pytest.approx(0.5, abs=0.25)
    assert np.mean(scores[1:]) == pytest.approx(0.5, abs=0.1)


# LUNA16 scans


def write_scan(folder, direction=None, size=(4, 70, 80)):
    voxels = np.random.default_rng(5).integers(-1100, 500, size).astype("<i2")
    write_volume(folder / "scan.mhd", voxels, (0.7, 0.8, 2.5), (-20.0, 30.0, -100.0), direction)
    return read_header(folder / "scan.mhd"), voxels


PERMUTED = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, -1.0, 1.0]), PERMUTED], ids=["plain", "flipped", "turned"])
def test_patch_is_the_window_around_the_voxel(tmp_path, direction):
    volume, voxels = write_scan(tmp_path, direction)
    patch, padded = luna16.extract_patch(volume, voxel_to_world(volume, [40, 30, 2]), 50, (-1000.0, 400.0), "signed")
    expected = np.clip((voxels[2, 5:55, 15:65] + 1000) / 1400, 0, 1) * 255
    np.testing.assert_array_equal(patch, expected.astype(np.uint8))
    assert not padded


def test_voxel_rules_agree_on_mirrored_axes_and_differ_on_turned_ones(tmp_path):
    for direction, same in ((np.eye(3), True), (np.diag([-1.0, -1.0, 1.0]), True), (PERMUTED, False)):
        volume, _ = write_scan(tmp_path, direction)
        world = voxel_to_world(volume, [40, 30, 2])
        voxels = [luna16.locate_candidate(volume, world, rule) for rule in ("signed", "as-published")]
        assert np.allclose(*voxels) == same
    with pytest.raises(UsageError, match="known: signed, as-published"):
        luna16.locate_candidate(volume, world, "unsigned")


@pytest.mark.parametrize(("voxel", "rows", "columns"), [((10, 30, 1), (0, 50), (15, 50)), ((40, 65, 1), (0, 30), (0, 50))])
def test_patch_at_the_border_is_padded_with_the_lowest_value(tmp_path, voxel, rows, columns):
    volume, _ = write_scan(tmp_path)
    patch, padded = luna16.extract_patch(volume, voxel_to_world(volume, voxel), 50, (-2000.0, 400.0), "signed")
    assert padded
    inside = np.zeros((50, 50), dtype=bool)
    inside[slice(*rows), slice(*columns)] = True
    assert (patch[~inside] == 0).all()
    assert (patch[inside] > 0).all()


def test_candidate_outside_the_scan_is_refused(tmp_path):
    volume, _ = write_scan(tmp_path)
    with pytest.raises(UsageError, match="outside the scan"):
        luna16.extract_patch(volume, voxel_to_world(volume, [40, 30, 4]), 50, (-1000.0, 400.0), "signed")


def test_window_grey_clips_and_truncates():
    grey = luna16.window_grey(np.array([-3000, -1000, -998, -300, 399, 400, 3000], dtype=np.int16), (-1000.0, 400.0))
    np.testing.assert_array_equal(grey, [0, 0, 0, 127, 254, 255, 255])


def test_recipe_gives_the_published_split_sizes():
    labels = np.zeros(551_065, dtype=int)
    labels[np.random.default_rng(0).choice(len(labels), 1351, replace=False)] = 1
    chosen = luna16.choose_candidates(labels, PAPER)
    assert {split: (len(rows), int(labels[rows].sum())) for split, rows in chosen.items()} == {
        "train": (5187, 845), "val": (1297, 224), "test": (1622, 282),
    }  # fmt: skip
    assert len(np.unique(np.concatenate(list(chosen.values())))) == 8106


def test_scans_are_read_as_they_were_drawn(smoke_folder, tmp_path):
    dataset = prepare("LUNA16", data.find_sources(smoke_folder)["luna"], SMOKE, tmp_path / "data")
    cases = dataset.cases
    assert dataset.images.shape == (len(cases), 50, 50, 1)
    assert dataset.images.dtype == np.uint8
    assert cases["patient_id"].nunique() <= SMOKE.luna_phantom_scans
    centre = np.asarray(dataset.images[:, 24:27, 24:27, 0]).mean(axis=(1, 2))
    nodule = cases["label"] == 1
    assert centre[nodule].min() > 150  # in flipped scans too
    assert cases["subset"].between(0, 9).all()
    assert dataset.info["unused"]["validation candidates"] > 0


def test_missing_and_damaged_scans_are_all_named(smoke_folder, tmp_path):
    shutil.copytree(smoke_folder, tmp_path / "copy")
    source = data.find_sources(tmp_path / "copy")["luna"]
    headers = sorted((tmp_path / "copy" / "luna16").glob("subset*/*.mhd"))
    headers[0].unlink()
    edit(headers[1], "DimSize = 176", "DimSize = 999")
    with pytest.raises(UsageError, match=r"2 faults: .*is not in subset0/ to subset9/.*header claims"):
        data.prepare_dataset("LUNA16", source, SMOKE, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    dataset = prepare("LUNA16", source, SMOKE, tmp_path / "data", skip_unreadable=True)
    assert len(dataset.info["unreadable"]) == 2
    assert dataset.cases["patient_id"].nunique() == SMOKE.luna_phantom_scans - 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("class", "klass", "no column class"),
        (",1\n", ",7\n", "class 7 is not 0 or 1"),
        (",1\n", ",\n", "not a whole number"),
        (",1\n", ",1,5\n", "7? ?fields"),
        ("seriesuid,coordX", "\0", "NUL"),
    ],
)
def test_hostile_candidate_table(smoke_folder, tmp_path, old, new, message):
    shutil.copytree(smoke_folder / "luna16", tmp_path / "luna16")
    edit(tmp_path / "luna16" / "candidates.csv", old, new)
    source = data.Source("originals", tmp_path / "luna16", "scans", True)
    with pytest.raises(UsageError, match=message) as caught:
        data.prepare_dataset("LUNA16", source, SMOKE, tmp_path / "data")
    assert "candidates.csv" in str(caught.value)


# Ready patches


def test_patches_are_prepared_and_kept(patches, tmp_path):
    dataset = prepare("LUNA16", patches, PAPER, tmp_path / "data")
    assert len(dataset.cases) == 60  # the validation list is not used
    assert dataset.info["classes"] == {"non-nodule": 48, "nodule": 12}
    assert dataset.info["unused"] == {"validation patches": 5}
    assert isinstance(dataset.images, np.memmap)
    with Image.open(patches.path / dataset.cases["path"].iloc[7]) as picture:
        np.testing.assert_array_equal(dataset.images[7, ..., 0], np.asarray(picture))
    written = (tmp_path / "data" / "images.npy").stat().st_mtime_ns
    prepare("LUNA16", patches, PAPER, tmp_path / "data")
    assert (tmp_path / "data" / "images.npy").stat().st_mtime_ns == written
    edit(patches.path / "testdatalabels.txt", "test/image_4000.jpg 1\n", "")  # the source changes: written anew
    assert len(prepare("LUNA16", patches, PAPER, tmp_path / "data").cases) == 59


@pytest.mark.parametrize("file", ["images.npy", "cases.csv", "data.json"])
def test_damaged_prepared_folder_is_refused_and_redone(patches, tmp_path, file):
    prepare("LUNA16", patches, PAPER, tmp_path / "data")
    whole = (tmp_path / "data" / file).read_bytes()
    (tmp_path / "data" / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="prepare it again"):
        load_dataset(tmp_path / "data")
    prepare("LUNA16", patches, PAPER, tmp_path / "data")
    assert (tmp_path / "data" / file).read_bytes() == whole
    assert [path.name for path in tmp_path.glob(".data*")] == []  # no temporary folder stays


def test_clipped_patch_is_left_out_by_its_size_and_named(patches, tmp_path):
    save_jpeg(patches.path / "train/image_0.jpg", (50, 47))
    dataset = prepare("LUNA16", patches, PAPER, tmp_path / "data")
    assert len(dataset.cases) == 59
    (entry,) = dataset.info["excluded"]
    assert entry["path"] == "train/image_0.jpg"
    assert "50x47" in entry["reason"]


def damage(path: Path, kind: str):
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "wrong size":
        save_jpeg(path, (64, 64))
    elif kind == "too little left":
        save_jpeg(path, (50, 10))
    elif kind == "not an image":
        path.write_bytes(b"<html>404</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "missing":
        path.unlink()
    elif kind == "png":
        picture = io.BytesIO()
        Image.new("L", (50, 50)).save(picture, "PNG")
        path.write_bytes(picture.getvalue())
    elif kind == "cmyk":
        Image.new("CMYK", (50, 50)).save(path, "JPEG")
    elif kind == "bomb":  # a header that claims 65,000 x 65,000 pixels
        start = content.index(b"\xff\xc0") + 5
        path.write_bytes(content[:start] + b"\xfd\xe8\xfd\xe8" + content[start + 4 :])
    elif kind == "link out":
        path.rename(path.parents[2] / "outside.jpg")
        path.symlink_to(path.parents[2] / "outside.jpg")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "damaged picture"),
        ("wrong size", "64x64 pixels instead of 50x50"),
        ("too little left", "50x10 pixels instead of 50x50"),
        ("not an image", "not a JPEG picture"),
        ("empty", "the file is empty"),
        ("missing", "No such file"),
        ("png", "not a JPEG picture"),
        ("cmyk", "not 8-bit grey or RGB"),
        ("bomb", "pixels"),
        ("link out", "link"),
    ],
)
def test_hostile_patch_is_one_clear_error_or_skipped_and_counted(patches, tmp_path, kind, message):
    damage(patches.path / "train/image_100.jpg", kind)
    with pytest.raises(UsageError, match=message) as caught:
        data.prepare_dataset("LUNA16", patches, PAPER, tmp_path / "data")
    assert "image_100.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)
    dataset = prepare("LUNA16", patches, PAPER, tmp_path / "data", skip_unreadable=True)
    assert len(dataset.cases) == 59
    assert len(dataset.info["unreadable"]) == 1
    with pytest.raises(UsageError, match=message):  # the skipping preparation does not satisfy a strict one
        data.prepare_dataset("LUNA16", patches, PAPER, tmp_path / "data")


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("train/image_100.jpg 2", "line 2: label '2' is not 0 or 1"),
        ("train/image_100.jpg", "line 2: expected"),
        ("train/../../secret.jpg 0", "line 2: expected"),
        ("/etc/passwd 0", "line 2: expected"),
        ("test/image_100.jpg 0", "line 2: expected"),
        ("train/image_0.jpg 1", "line 2: row 0 is listed twice"),
        ("train/image_" + "9" * 400 + ".jpg 0", "line 2: expected"),
        ("train/image_4000.jpg 0", "also in another list"),
        ("\0\0\0", "line 2: expected"),
    ],
)
def test_hostile_patch_list(patches, tmp_path, new, message):
    edit(patches.path / "traindatalabels.txt", "train/image_100.jpg 0", new)
    with pytest.raises(UsageError, match=message) as caught:
        data.prepare_dataset("LUNA16", patches, PAPER, tmp_path / "data")
    assert len(str(caught.value)) < 1000


def test_all_faults_are_counted_and_the_first_named(patches, tmp_path):
    for row in (100, 200, 300, 600, 700):
        damage(patches.path / f"train/image_{row}.jpg", "empty")
    with pytest.raises(UsageError, match=r"5 faults: .*image_100.*image_200.*image_300.*and 2 more"):
        data.prepare_dataset("LUNA16", patches, PAPER, tmp_path / "data")
    assert sum("is empty" in problem for problem in data.check_source(patches)["problems"]) == 5


def test_same_picture_with_both_labels_is_a_fault(patches, tmp_path):
    shutil.copy(patches.path / "train/image_0.jpg", patches.path / "train/image_100.jpg")
    with pytest.raises(UsageError, match="same picture has both labels: train/image_0.jpg, train/image_100.jpg"):
        data.prepare_dataset("LUNA16", patches, PAPER, tmp_path / "data")
    assert len(prepare("LUNA16", patches, PAPER, tmp_path / "data", skip_unreadable=True).cases) == 58


def test_scans_of_patches_come_from_candidates_csv(patches, tmp_path):
    lines = ["seriesuid,coordX,coordY,coordZ,class"]
    for row in range(6000):
        split_row = row - 4000 if row >= 4000 else row
        label = int(split_row % 500 == 0)
        lines.append(f"scan{row // 300:02d},1.5,2.5,3.5,{label}")
    table = patches.path / "candidates.csv"
    table.write_text("\n".join(lines) + "\n")
    dataset = prepare("LUNA16", patches, PAPER, tmp_path / "data")
    assert dataset.cases["patient_id"].str.fullmatch(r"scan\d\d").all()
    (fold,) = data.split_dataset(dataset, "LUNA16", "leakfree", PAPER)
    assert "scans at random" in fold.rule
    edit(table, "scan00,1.5,2.5,3.5,1", "scan00,1.5,2.5,3.5,0")
    with pytest.raises(UsageError, match="image_0.jpg: its row and class are not those of"):
        data.prepare_dataset("LUNA16", patches, PAPER, tmp_path / "data")


# Splits


def make_cases(count=8000, seed=0):
    rows = np.sort(np.random.default_rng(seed).choice(551_065, count, replace=False))
    return pd.DataFrame(
        {
            "case_id": [f"row-{row}" for row in rows],
            "path": "",
            "sha256": [f"{row:064x}" for row in rows],
            "patient_id": [f"rows-{row // 620 * 620}" for row in rows],
            "label": (np.arange(count) % 6 == 0).astype(int),
            "candidate_row": rows,
            "split": np.where(np.arange(count) % 4, "train", "test"),
        }
    )


def list_torn_patients(cases, fold) -> set[str]:
    """Patients on more than one side."""
    train, validation, test = (set(cases["patient_id"].iloc[i]) for i in (fold.train, fold.validation, fold.test))
    return (train & validation) | (train & test) | (validation & test)


def as_dataset(cases):
    return Dataset(np.zeros((len(cases), 2, 2, 1), np.uint8), cases, {})


def test_paper_split_is_the_published_lists():
    cases = make_cases()
    (fold,) = data.split_dataset(as_dataset(cases), "LUNA16", "paper", PAPER)
    assert fold.fold == -1
    assert (cases["split"].iloc[fold.train] == "train").all()
    assert (cases["split"].iloc[fold.test] == "test").all()
    assert len(fold.train) + len(fold.test) == len(cases)
    assert len(fold.validation) == 0


def test_row_blocks_keep_neighbours_together():
    cases = make_cases()
    rows = cases["candidate_row"].to_numpy()
    splits = set()
    for seed in range(5):
        config = replace(PAPER, split_seed=seed)
        (fold,) = data.split_dataset(as_dataset(cases), "LUNA16", "leakfree", config)
        sides = [rows[fold.train], rows[fold.validation], rows[fold.test]]
        splits.add(tuple(sides[2][:3]))
        for first in range(3):
            for second in range(first + 1, 3):
                assert np.abs(sides[first][:, None] - sides[second][None]).min() >= config.luna_gap_rows
        assert 0.6 < len(fold.train) / len(cases) < 0.75
        assert 0.17 < len(fold.test) / len(cases) < 0.23
        assert fold.left_out == len(cases) - sum(map(len, sides))
        assert 0 < fold.left_out < 0.03 * len(cases)
        assert not list_torn_patients(cases, fold)
    assert len(splits) > 1


def test_official_subsets_are_used_when_all_are_there():
    cases = make_cases(2000)
    cases["patient_id"] = [f"scan{index // 20}" for index in range(2000)]
    cases["subset"] = [index // 20 % 10 for index in range(2000)]
    (fold,) = data.split_dataset(as_dataset(cases), "LUNA16", "leakfree", PAPER)
    assert set(cases["subset"].iloc[fold.test]) == {9}
    assert set(cases["subset"].iloc[fold.validation]) == {8}
    assert set(cases["subset"].iloc[fold.train]) == set(range(8))
    part = cases[cases["subset"] < 5].reset_index(drop=True)
    (fold,) = data.split_dataset(as_dataset(part), "LUNA16", "leakfree", PAPER)
    assert "scans at random" in fold.rule
    assert not set(part["patient_id"].iloc[fold.test]) & set(part["patient_id"].iloc[fold.train])


def test_padded_candidates_are_left_out_of_the_paper_protocol_only():
    cases = make_cases(2000)
    cases["padded"] = np.arange(2000) < 7
    (fold,) = data.split_dataset(as_dataset(cases), "LUNA16", "paper", PAPER)
    assert fold.left_out == 7


def test_leak_between_sides_fails_loudly():
    cases = make_cases()
    cases["sha256"] = "a" * 64
    with pytest.raises(LeakError):
        data.split_dataset(as_dataset(cases), "LUNA16", "leakfree", PAPER)


def test_hash_folds_is_independent_of_order_and_sees_a_move():
    cases = make_cases(600)
    dataset = as_dataset(cases)
    folds = data.split_dataset(dataset, "LUNA16", "paper", PAPER)
    turned = as_dataset(cases.iloc[::-1].reset_index(drop=True))
    assert hash_folds(turned, data.split_dataset(turned, "LUNA16", "paper", PAPER)) == hash_folds(dataset, folds)
    cases.loc[0, "split"] = "train"
    assert hash_folds(dataset, data.split_dataset(dataset, "LUNA16", "paper", PAPER)) != hash_folds(dataset, folds)


@pytest.mark.parametrize("dataset", HIPS)
def test_hip_splits(smoke_folder, tmp_path, dataset):
    source = data.find_sources(smoke_folder)["hip"]
    original = prepare(dataset, source, SMOKE, tmp_path / "data")
    enlarged = data.enlarge_dataset(original, dataset, SMOKE)
    (fold,) = data.split_dataset(enlarged, dataset, "paper", SMOKE)
    for label, count in enumerate(hips.choose_enlarged_counts(dataset, SMOKE)):
        assert (enlarged.cases["label"].iloc[fold.test] == label).sum() == -(-count // 5)  # ceil of 20 %
    assert len(fold.train) + len(fold.test) == len(enlarged.cases)
    sources = enlarged.cases["source_case"]
    assert set(sources.iloc[fold.test]) & set(sources.iloc[fold.train])  # the paper's flaw is kept
    with pytest.raises(UsageError, match="enlarge_dataset"):
        data.split_dataset(original, dataset, "paper", SMOKE)
    folds = data.split_dataset(original, dataset, "leakfree", replace(SMOKE, hip_repetitions=2))
    assert [fold.fold for fold in folds] == [0, 1, 2, 3]
    for pair in (folds[:2], folds[2:]):
        assert sorted(np.concatenate([fold.test for fold in pair])) == list(range(len(original.cases)))
    for fold in folds:
        assert not list_torn_patients(original.cases, fold)


def test_paper_sizes_of_table_1():
    for counts, test in (((1877, 1877), 752), ((2780, 1578), 872)):
        sides = hips.split_images(np.repeat([0, 1], counts), PAPER)
        assert (sides == "test").sum() == test
        assert (sides == "train").sum() == sum(counts) - test


@pytest.mark.parametrize(("name", "protocol"), [("LUNA17", "paper"), ("LUNA16", "leaky")])
def test_unknown_names_are_refused(name, protocol):
    with pytest.raises(UsageError):
        data.split_dataset(as_dataset(make_cases(600)), name, protocol, PAPER)


# Hips


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


def test_phantom_counts_are_the_configured_ones(smoke_folder, tmp_path):
    source = data.find_sources(smoke_folder)["hip"]
    for dataset, counts in (("128x128 resized", SMOKE.hip_crops), ("128x128 unresized", SMOKE.hip_radiographs)):
        prepared = prepare(dataset, source, SMOKE, tmp_path / dataset[:12])
        assert prepared.info["classes"] == dict(zip(data.CLASSES["hip"], counts, strict=True))
        assert prepared.info["patients"] < sum(counts)  # some patients have several


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


def test_enlarged_pictures_are_flips_and_shifts_of_their_source():
    side = 40
    images = np.zeros((2, side, side, 1), dtype=np.uint8)
    images[:, 18:22, 8:12] = 200  # a spot left of the middle
    _, columns = np.indices((side, side))
    enlarged, source = hips.enlarge(images, np.array([0, 1]), (300, 300), SMOKE, seed=0)
    weights = enlarged[2:, ..., 0].astype(float)
    centre = (weights * columns).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    flipped = centre > side / 2
    assert 0.4 < flipped.mean() < 0.6
    moved = np.where(flipped, side - 1 - centre, centre) - 9.5
    assert np.abs(moved).max() <= SMOKE.hip_shift * side + 0.1
    assert moved.std() == pytest.approx(SMOKE.hip_shift * side / np.sqrt(3), rel=0.15)
    still, _ = hips.enlarge(images, np.array([0, 1]), (5, 5), replace(SMOKE, hip_shift=0.0, hip_flip=False), seed=0)
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


# Finding, checking, getting


def test_ready_patches_win_unless_scans_are_asked_for(smoke_folder, patches):
    folder = patches.path.parent
    (folder / "luna16").symlink_to(smoke_folder / "luna16")
    assert data.find_sources(folder)["luna"].kind == "patches"
    assert data.find_sources(folder, "originals")["luna"].kind == "originals"
    assert data.find_sources(folder / "nothing") == {"luna": None, "hip": None}
    assert data.find_sources(None) == {"luna": None, "hip": None}


def test_command_explains_what_to_get(tmp_path, capsys):
    assert data.main(["--data", str(tmp_path)]) == 2
    text = capsys.readouterr().out
    for needed in ("luna16_patches/", "CC BY", "candidates.csv", "hips/cases.csv", "FracAtlas", "--download"):
        assert needed in text
    assert data.main(["--data", str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_command_lists_every_problem_as_json(patches, user_hips, capsys):
    damage(patches.path / "train/image_100.jpg", "empty")
    edit(user_hips.path / "cases.csv", "p1.jpg,1", "p1.jpg,9")
    assert data.main(["--data", str(patches.path.parent), "--json"]) == 2
    findings = json.loads(capsys.readouterr().out)
    problems = findings["luna"]["problems"]
    assert any("image_100.jpg" in problem for problem in problems)
    assert any("instead of 6877" in problem for problem in problems)
    assert any("byte for byte" in problem for problem in problems)
    assert findings["hip"]["problems"] == ["cases.csv line 3: label '9' is not 0 (no fracture) or 1 (fracture)"]


def test_command_says_whole(smoke_folder, capsys):
    assert data.main(["--data", str(smoke_folder)]) == 0
    text = capsys.readouterr().out
    assert text.count("  whole") == 2
    assert "(synthetic)" in text


@pytest.fixture
def server(tmp_path):
    """A local web server of tmp_path/site; gives its address and folder."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options):
            super().__init__(*args, directory=str(folder), **options)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", folder
        running.shutdown()


def pack(path: Path, folder: Path, top: str):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, f"{top}/{file.relative_to(folder)}")


def test_download_unpacks_the_patches(server, patches, tmp_path):
    address, site = server
    pack(site / "archive.zip", patches.path, "LungCancerDetection-36e7980/src/data")
    acquire.download_patches(tmp_path / "new", f"{address}/archive.zip")
    assert len(list((tmp_path / "new" / "luna16_patches").glob("train/*.jpg"))) == 40
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["luna16_patches"]
    acquire.download_patches(tmp_path / "new", "http://127.0.0.1:9/never-asked")  # there already
    assert len(prepare("LUNA16", data.find_sources(tmp_path / "new")["luna"], PAPER, tmp_path / "data").cases) == 60


@pytest.mark.parametrize("fault", ["404", "no zip", "another repository", "leaves the folder", "too large"])
def test_download_that_fails_leaves_nothing(server, patches, tmp_path, fault, monkeypatch):
    address, site = server
    if fault == "no zip":
        (site / "archive.zip").write_bytes(b"<html>rate limit</html>")
    elif fault == "another repository":
        pack(site / "archive.zip", patches.path, "Other/files")
    elif fault == "leaves the folder":
        pack(site / "archive.zip", patches.path, "../../LungCancerDetection/src/data")
    elif fault == "too large":
        monkeypatch.setattr(acquire, "MAX_ARCHIVE_BYTES", 1000)
        pack(site / "archive.zip", patches.path, "LungCancerDetection/src/data")
    with pytest.raises(UsageError) as caught:
        acquire.download_patches(tmp_path / "new", f"{address}/archive.zip")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "new").iterdir()) == []


# Real data


@pytest.mark.realdata
def test_published_patches_give_the_counts_of_table_1(real_data, tmp_path, capsys):
    source = data.find_sources(real_data)["luna"]
    assert source.kind == "patches"
    dataset = prepare("LUNA16", source, PAPER, tmp_path / "data")
    assert dataset.info["classes"] == {"non-nodule": 5681, "nodule": 1127}
    assert [entry["path"] for entry in dataset.info["excluded"]] == ["train/image_393762.jpg"]
    (fold,) = data.split_dataset(dataset, "LUNA16", "paper", PAPER)
    assert (len(fold.train), len(fold.test)) == (5186, 1622)
    (fold,) = data.split_dataset(dataset, "LUNA16", "leakfree", PAPER)
    assert (len(fold.train), len(fold.validation), len(fold.test), fold.left_out) == (4619, 703, 1369, 117)
    assert data.check_source(source)["problems"] == []


@pytest.mark.realdata
def test_recipe_gives_the_published_lists_to_the_row(real_data):
    """The classes of all 551,065 candidates follow from the lists: they hold every positive row."""
    folder = real_data / "luna16_patches"
    lists = {split: luna16.list_patches(folder, split)[0] for split in luna16.PATCH_SPLITS}
    labels = np.zeros(acquire.LUNA16_COUNTS["candidates"], dtype=int)
    for listed in lists.values():
        labels[listed.loc[listed["label"] == 1, "candidate_row"]] = 1
    for split, rows in luna16.choose_candidates(labels, PAPER).items():
        np.testing.assert_array_equal(rows, lists[split]["candidate_row"])


@pytest.mark.realdata
def test_patch_of_a_real_scan_equals_simpleitk(real_data):
    sitk = pytest.importorskip("SimpleITK")
    headers = sorted((real_data / "chest_ct").glob("*.mhd"))
    assert len(headers) >= 2
    for path in headers:
        volume = read_header(path)
        image = sitk.ReadImage(str(path))
        assert volume.size == image.GetSize()
        voxels = sitk.GetArrayFromImage(image)
        for share in ((0.5, 0.5, 0.5), (0.3, 0.7, 0.2), (0.05, 0.5, 0.9)):
            index = [int(part * size) for part, size in zip(share, volume.size, strict=True)]
            world = image.TransformIndexToPhysicalPoint(index)
            patch, padded = luna16.extract_patch(volume, world, 50, PAPER.luna_window, "signed")
            x, y, z = image.TransformPhysicalPointToIndex(world)
            around = np.pad(voxels[z], 25, constant_values=-1000)[y : y + 50, x : x + 50]
            np.testing.assert_array_equal(patch, luna16.window_grey(around, PAPER.luna_window))
            assert padded == (not (25 <= x <= volume.size[0] - 25 and 25 <= y <= volume.size[1] - 25))


def test_marker_is_the_one_that_is_looked_for(smoke_folder):
    assert json.loads((smoke_folder / phantoms.MARKER).read_text())["synthetic"] is True
