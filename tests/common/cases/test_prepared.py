"""A prepared data set: what tells that it is up to date, what its checksum depends on, and links to it."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cases.folds import confirm_split, gather_fold, hash_folds
from common.cases.prepared import Dataset, hash_listing, link_dataset, load_dataset, write_prepared
from common.data.folder import list_files
from common.errors import UsageError

CASES = {"case_id": list("abcd"), "patient_id": list("ppqq"), "label": [0, 1, 1, 0], "split": ["train", "test"] * 2}


def write(folder: Path, pixel=0, **columns) -> Dataset:
    images = np.zeros((4, 8, 8), np.uint8)
    images[2, 3, 3] = pixel
    write_prepared(folder, images, pd.DataFrame({**CASES, **columns}), {})
    return load_dataset(folder)


@pytest.mark.parametrize(
    "change",
    [{"pixel": 1}, {"label": [0, 1, 0, 0]}, {"patient_id": list("pqqq")}, {"split": ["train"] * 4}, {"case_id": list("abce")}],
)
def test_the_checksum_depends_on_every_pixel_and_every_entry(tmp_path, change):
    assert write(tmp_path / "a").sha256 == write(tmp_path / "b").sha256 != write(tmp_path / "c", **change).sha256


@pytest.mark.parametrize("name", ["cases.csv", "TRAIN.TXT", "1.png", "1.raw"])
def test_another_content_is_noticed_with_size_and_time_kept(tmp_path, name):
    """Of a table by reading it, of a picture by the time at which its entry changed."""
    path = tmp_path / name
    path.write_text("a,0")
    times, before = path.stat(), hash_listing([path])
    path.write_text("a,1")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hash_listing([path]) != before


def test_pictures_exchanged_by_name_are_noticed(tmp_path):
    paths = [tmp_path / name for name in ("1.png", "2.png")]
    for path in paths:
        path.write_bytes(path.name.encode())
        os.utime(path, ns=(0, 0))
    before = hash_listing(paths)
    paths[0].rename(tmp_path / "kept")
    paths[1].rename(paths[0])
    (tmp_path / "kept").rename(paths[1])
    assert hash_listing(paths) != before


@pytest.mark.parametrize("change", ["beyond a link", "hidden", "deep", "link"])
def test_every_file_that_a_reader_may_open_is_listed(tmp_path, change):
    source, other = tmp_path / "source", tmp_path / "disk"
    deep = source.joinpath(*"abcdefghijklmnop")
    for folder in (deep, source / ".pics", other / "1", other / "2"):
        folder.mkdir(parents=True)
        (folder / "x.png").write_bytes(b"x")
    (source / "subset").symlink_to(other / "1")
    (source / "ring").symlink_to(source)
    before = hash_listing(list_files(source))
    assert hash_listing(list_files(source)) == before
    if change == "link":
        (source / "subset").unlink()
        (source / "subset").symlink_to(other / "2")
    else:
        folder = {"beyond a link": other / "1", "hidden": source / ".pics", "deep": deep}[change]
        (folder / "x.png").write_bytes(b"yy")
    assert hash_listing(list_files(source)) != before


def test_altered_notes_are_damage(tmp_path):
    write(tmp_path / "a")
    path = tmp_path / "a" / "data.json"
    path.write_text(path.read_text().replace("{", '{ "substitute": false,', 1))
    with pytest.raises(UsageError, match="data.json: damaged"):
        load_dataset(tmp_path / "a")


def test_a_link_stays_when_the_source_is_prepared_anew(tmp_path):
    """The run that it belongs to goes on with its own data."""
    first = write(tmp_path / "source")
    link_dataset(tmp_path / "source", first, tmp_path / "run" / "data")
    assert (tmp_path / "run/data/images.npy").samefile(tmp_path / "source/images.npy")
    second = write(tmp_path / "source", pixel=1)
    assert load_dataset(tmp_path / "run" / "data").sha256 == first.sha256
    link_dataset(tmp_path / "source", second, tmp_path / "run" / "data")
    assert load_dataset(tmp_path / "run" / "data").sha256 == second.sha256


def test_a_damaged_link_is_made_anew_and_a_source_that_changed_meanwhile_is_refused(tmp_path):
    dataset = write(tmp_path / "source")
    link_dataset(tmp_path / "source", dataset, tmp_path / "data")
    (tmp_path / "data" / "cases.csv").unlink()
    (tmp_path / "data" / "cases.csv").write_text("case_id\n")
    link_dataset(tmp_path / "source", dataset, tmp_path / "data")
    assert load_dataset(tmp_path / "data").sha256 == dataset.sha256
    write(tmp_path / "source", pixel=1)
    (tmp_path / "data" / "cases.csv").unlink()
    with pytest.raises(UsageError, match="another run prepares this data set anew"):
        link_dataset(tmp_path / "source", dataset, tmp_path / "data")


def test_without_hard_links_it_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr(os, "link", refuse)
    dataset = write(tmp_path / "source")
    link_dataset(tmp_path / "source", dataset, tmp_path / "data")
    assert load_dataset(tmp_path / "data").sha256 == dataset.sha256


def test_a_training_refuses_other_data_and_another_split(tmp_path):
    dataset = write(tmp_path / "a")
    fold = gather_fold(np.array(["train", "train", "test", "test"]), rule="")
    other = gather_fold(np.array(["train", "test", "test", "test"]), rule="")
    planned = dataset.sha256, hash_folds(dataset, [fold])
    confirm_split(dataset, dataset, [fold], *planned)
    with pytest.raises(UsageError, match="the split is not the one that was checked"):
        confirm_split(dataset, dataset, [other], *planned)
    with pytest.raises(UsageError, match="not those that this training was planned for"):
        confirm_split(write(tmp_path / "b", label=[1, 1, 1, 0]), dataset, [fold], *planned)
