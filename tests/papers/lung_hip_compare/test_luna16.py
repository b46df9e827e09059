"""LUNA16: patches cut from scans and ready ones, the public recipe, and what hostile files lead to."""

import shutil

import numpy as np
import pytest
from hostile import edit
from lung_hip_samples import damage, prepare, save_jpeg

from common.cases.sources import Source
from common.data.metaimage import check_axial, read_header, voxel_to_world, write_volume
from common.errors import UsageError
from common.records.results import DatasetEntry
from common.runs.redaction import reduce_entry
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import PAPER, SMOKE
from replications.lung_hip_compare.sources import acquire, luna16

# Scans


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


@pytest.mark.parametrize("matrix", ["1 0 0 0 0 -1 0 1 0", "0 1 0 0 0 1 1 0 0", "1 0 0 0 0.6 0.8 0 -0.8 0.6"])
def test_scans_that_are_not_axial_are_named_and_left_out(smoke_folder, tmp_path, matrix):
    """The patches of all others, flipped ones among them, are as they were."""
    shutil.copytree(smoke_folder / "luna16", tmp_path / "luna16")
    before, cases, _ = luna16.read_originals(tmp_path / "luna16", SMOKE)
    header = sorted((tmp_path / "luna16").glob("subset*/*.mhd"))[0]
    edit(header, "TransformMatrix = 1 0 0 0 1 0 0 0 1", f"TransformMatrix = {matrix}")
    after, left, notes = luna16.read_originals(tmp_path / "luna16", SMOKE)
    assert notes["faults"] == [f"{header}: its slices are not axial; turn or resample the scan, so that they are"]
    others = (cases["patient_id"] != header.stem).to_numpy()
    assert 0 < others.sum() < len(others)
    np.testing.assert_array_equal(after, before[others])
    assert left["case_id"].tolist() == cases.loc[others, "case_id"].tolist()


def test_scans_whose_rows_and_columns_are_exchanged_stay_as_the_recipe_cuts_them(tmp_path):
    volume, voxels = write_scan(tmp_path, PERMUTED)
    assert check_axial(volume) is volume
    patch, _ = luna16.extract_patch(volume, voxel_to_world(volume, [40, 30, 2]), 50, (-1000.0, 400.0), "signed")
    np.testing.assert_array_equal(patch, luna16.window_grey(voxels[2, 5:55, 15:65], (-1000.0, 400.0)))


def test_the_name_of_a_raw_file_is_published_nowhere(smoke_folder, tmp_path):
    """Names of raw files may be of people, in any script: a fault that quotes one becomes a count by reason."""
    shutil.copytree(smoke_folder / "luna16", tmp_path / "luna16")
    for header, name in zip(sorted((tmp_path / "luna16").glob("subset*/*.mhd")), ("M\u00fcller", "\u60a3\u8005"), strict=False):
        raw = header.with_suffix(".raw").name
        header.write_text(header.read_text().replace(f"= {raw}", f"= {name}.raw"), encoding="utf-8")
    _, _, notes = luna16.read_originals(tmp_path / "luna16", SMOKE)
    assert ["M\u00fcller" in notes["faults"][0], "\u60a3\u8005" in notes["faults"][1]] == [True, True]
    counts = {"cases": 2, "patients": 2, "classes": {"a": 1, "b": 1}, "files_sha256": None, "splits": {}}
    about = {"dataset": "LUNA16", "name": "of the user", "note": "", "synthetic": False, "unreadable": notes["faults"]}
    for public in (True, False):
        text = reduce_entry(DatasetEntry(**about, **counts), public=public).model_dump_json()
        assert "ller" not in text
        assert "\u60a3" not in text


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
    source = Source("originals", tmp_path / "luna16", "scans", True)
    with pytest.raises(UsageError, match=message) as caught:
        data.prepare_dataset("LUNA16", source, SMOKE, tmp_path / "data")
    assert "candidates.csv" in str(caught.value)


# Ready patches


def test_clipped_patch_is_left_out_by_its_size_and_named(patches, tmp_path):
    save_jpeg(patches.path / "train/image_0.jpg", (50, 47))
    dataset = prepare("LUNA16", patches, PAPER, tmp_path / "data")
    assert len(dataset.cases) == 59
    (entry,) = dataset.info["excluded"]
    assert entry["path"] == "train/image_0.jpg"
    assert "50x47" in entry["reason"]


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
    assert sum("is empty" in problem for problem in data.check_source("luna", patches).problems) == 5


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


# Real data


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
