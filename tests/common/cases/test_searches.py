"""Searches between sides that are kept with the prepared data set: the same answer as the direct search, made once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_pictures import COPIES, make_images

from common.cases import searches
from common.cases.copies import settle_copies
from common.cases.descriptions import LAST, describe_images
from common.cases.duplicates import find_near_duplicates
from common.cases.folds import Fold, describe_splits, gather_fold, measure_leak, name_sides
from common.cases.prepared import Dataset, load_dataset, write_prepared
from common.cases.sources import Source
from common.cases.table import LeakError, assert_no_leak, hash_pixels

KINDS = ("jpeg", "quarter turn", "letterboxed", "gamma 2")
COUNT, SIDE, LIMIT = 60, 50, 0.84


def resize(image: np.ndarray) -> np.ndarray:
    rows, columns = (np.arange(SIDE) * n // SIDE for n in image.shape)
    return image[rows][:, columns]


def write_set(folder: Path, *, copies: bool = True, pixel: int | None = None, **info) -> Dataset:
    """Sixty pictures; with `copies` four of the last ones are copies of the first ones."""
    images = make_images(COUNT)
    if copies:
        images[-len(KINDS) :] = [resize(COPIES[kind](image)) for kind, image in zip(KINDS, images, strict=False)]
    if pixel is not None:
        images[0, 0, 0] = pixel
    cases = pd.DataFrame({"case_id": [f"c{row:02d}" for row in range(COUNT)], "path": "", "label": np.arange(COUNT) % 2})
    cases["patient_id"], cases["sha256"] = cases["case_id"], [hash_pixels(image) for image in images]
    about = {"name": "made up", "note": "", "synthetic": True, "cases": COUNT, "patients": COUNT, "classes": {"a": 30, "b": 30}}
    extra = {"files_sha256": None, "unreadable": [], "near_duplicate_limit": LIMIT, **info}
    write_prepared(folder, images, cases, about | extra)
    return load_dataset(folder)


def make_folds() -> list[Fold]:
    """Two folds with the copies on the test side; what is tested in one is validation in the other."""
    sides = np.array(["train"] * 40 + ["validation"] * 10 + ["test"] * 10)
    turned = np.array(["train"] * 40 + ["test"] * 10 + ["validation"] * 10)
    return [gather_fold(sides, "by hand", 0), gather_fold(turned, "by hand", 1)]


def forbid(monkeypatch) -> None:
    def refuse(*_arguments, **_settings):
        raise AssertionError("searched again")

    for name in ("describe_images", "compare_images", "find_near_duplicates"):
        monkeypatch.setattr(searches, name, refuse)


def test_kept_searches_say_what_the_direct_search_says(tmp_path, monkeypatch):
    """Counts, pairs and similarities, in the first and in the second start; the second one searches nothing."""
    dataset, folds = write_set(tmp_path / "set"), make_folds()
    described = describe_images(dataset.images)
    pairs = [find_near_duplicates(described.take(fold.train), described.take(fold.test), limit=LIMIT) for fold in folds]
    expected = sum(table["index_b"].nunique() for table in pairs)
    assert expected == len(KINDS)
    sides = pd.Series(name_sides(folds[0], COUNT))
    with pytest.raises(LeakError) as direct:
        assert_no_leak(dataset.cases, sides, described, limit=LIMIT)
    for start in range(2):
        if start:
            forbid(monkeypatch)
        entry = describe_splits("made up", load_dataset(tmp_path / "set"), {"paper": (dataset, folds)})
        assert entry.splits["paper"].leak.near_duplicate == expected
        kept = searches.Searches(dataset.images, dataset.cases["case_id"], dataset.folder)
        for fold, table in zip(folds, pairs, strict=True):
            found = kept.search_pair(fold.train, fold.test, limit=LIMIT)
            rows = zip(fold.train[table["index_a"]], fold.test[table["index_b"]], table["similarity"], strict=True)
            assert list(found.pairs) == list(rows)
        with pytest.raises(LeakError) as raised:
            measure_leak(dataset, folds[:1], "leakfree", kept)
        assert str(raised.value) == str(direct.value)
    assert "4 near-duplicate pairs of similarity >= 0.84: c" in str(direct.value)


def test_a_proof_is_the_same_from_what_is_kept(tmp_path, monkeypatch):
    dataset, folds = write_set(tmp_path / "set", copies=False), make_folds()
    sides = pd.Series(name_sides(folds[0], COUNT))
    direct = assert_no_leak(dataset.cases, sides, dataset.images, limit=LIMIT)
    searches.Searches(dataset.images, dataset.cases["case_id"], dataset.folder).search_sides(sides.to_numpy(str), limit=LIMIT)
    forbid(monkeypatch)
    kept = searches.Searches(dataset.images, dataset.cases["case_id"], dataset.folder)
    found = kept.search_sides(sides.to_numpy(str), limit=LIMIT)
    assert assert_no_leak(dataset.cases, sides, found=found) == direct
    assert measure_leak(dataset, folds[:1], "leakfree", kept).near_duplicate == 0


def count_searches(dataset: Dataset, fold: Fold, monkeypatch, **settings) -> int:
    """How often pictures are described, in one start."""
    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(searches, "describe_images", lambda images: calls.append(images) or describe_images(images))
        info = dataset.info | settings
        changed = Dataset(dataset.images, dataset.cases, info, dataset.folder)
        describe_splits("made up", changed, {"paper": (changed, [fold])})
    return len(calls)


def test_whatever_the_search_depends_on_makes_a_new_one(tmp_path, monkeypatch):
    """One pixel, one side, the limit, the code, a case id, a damaged file; and nothing where nothing changed."""
    dataset, (fold, other) = write_set(tmp_path / "set"), make_folds()
    assert [count_searches(dataset, fold, monkeypatch) for _ in range(2)] == [1, 0]
    assert [count_searches(dataset, other, monkeypatch) for _ in range(2)] == [1, 0]
    assert [count_searches(dataset, fold, monkeypatch, near_duplicate_limit=0.9) for _ in range(2)] == [1, 0]
    renamed = Dataset(dataset.images, dataset.cases.assign(case_id=dataset.cases["case_id"] + "x"), dataset.info, dataset.folder)
    assert [count_searches(renamed, fold, monkeypatch) for _ in range(2)] == [1, 0]
    images = dataset.images.copy()
    images[7, 3, 3] ^= 1
    painted = Dataset(images, dataset.cases, dataset.info, dataset.folder)
    assert [count_searches(painted, fold, monkeypatch) for _ in range(2)] == [1, 0]
    with monkeypatch.context() as patch:
        patch.setattr(searches, "hash_search_code", lambda: "another version")
        assert [count_searches(dataset, fold, monkeypatch) for _ in range(2)] == [1, 0]
    assert count_searches(dataset, fold, monkeypatch) == 0
    write_set(tmp_path / "set", pixel=1)  # prepared anew: what was kept is gone
    assert not (tmp_path / "set" / searches.KEPT).exists()


@pytest.mark.parametrize("damage", ["cut", "emptied", "pairs taken out", "of another search"])
def test_a_damaged_search_is_made_again(tmp_path, monkeypatch, damage):
    dataset, (fold, other) = write_set(tmp_path / "set"), make_folds()
    count_searches(dataset, fold, monkeypatch)
    (path,) = (tmp_path / "set" / searches.KEPT).iterdir()
    text = path.read_text(encoding="utf-8")
    if damage == "pairs taken out":
        kept = json.loads(text)
        kept["found"]["pairs"] = []
        path.write_text(json.dumps(kept), encoding="utf-8")
    elif damage == "of another search":
        count_searches(dataset, other, monkeypatch)
        (second,) = (found for found in path.parent.iterdir() if found != path)
        path.write_text(second.read_text(encoding="utf-8"), encoding="utf-8")
    else:
        path.write_text(text[: len(text) // 2] if damage == "cut" else "", encoding="utf-8")
    assert count_searches(dataset, fold, monkeypatch) == 1
    assert path.read_text(encoding="utf-8") == text


def test_an_enlarged_set_is_searched_by_itself(tmp_path, monkeypatch):
    """Mirrored variants on the other side: found by the search of the enlarged pictures, and kept apart from the originals'."""
    dataset = write_set(tmp_path / "set", copies=False)
    images = np.concatenate([dataset.images, dataset.images[:, :, ::-1]])
    again = dataset.cases.assign(case_id=dataset.cases["case_id"] + "-v01")
    pool = Dataset(images, pd.concat([dataset.cases, again], ignore_index=True), dataset.info)
    fold = gather_fold(np.repeat(["train", "test"], COUNT), "variants apart")
    own = gather_fold(np.array(["train", "test"] * (COUNT // 2)), "originals")
    for start in range(2):
        if start:
            forbid(monkeypatch)
        splits = describe_splits("made up", dataset, {"paper": (pool, [fold]), "leakfree": (dataset, [own])}).splits
        assert splits["paper"].leak.near_duplicate == COUNT
        assert splits["leakfree"].leak.near_duplicate == 0


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path, monkeypatch):
    dataset, (fold, _) = write_set(tmp_path / "set"), make_folds()
    (tmp_path / "set" / searches.KEPT).write_text("in the way")
    assert [count_searches(dataset, fold, monkeypatch) for _ in range(2)] == [1, 1]


def test_pictures_are_described_once_for_preparing_them_and_for_their_splits(tmp_path, monkeypatch):
    dataset, folds = write_set(tmp_path / "set"), make_folds()
    cases = dataset.cases.assign(patient_id=dataset.cases["case_id"])
    sides = name_sides(folds[0], COUNT)
    direct = searches.Searches(dataset.images, cases["case_id"]).search_sides(sides, limit=LIMIT)
    own = Source("own", tmp_path, "made up", synthetic=True)
    settle_copies(own, (np.asarray(dataset.images)[..., 0], cases, {"faults": []}))
    described = describe_images(dataset.images)
    with monkeypatch.context() as patched:
        patched.setattr(searches, "describe_images", lambda _images: pytest.fail("described again"))
        again = searches.Searches(dataset.images, cases["case_id"])
        assert again.search_sides(sides, limit=LIMIT) == direct
    assert not LAST, "what was taken is not kept for longer"
    for name in ("thumbnails", "sketches", "spectra"):
        np.testing.assert_array_equal(getattr(again.described, name), getattr(described, name))
    settle_copies(own, (np.asarray(dataset.images)[::-1, ..., 0].copy(), cases, {"faults": []}))
    turned = searches.Searches(dataset.images, cases["case_id"])
    assert turned.search_sides(sides, limit=LIMIT) == direct, "descriptions of other pictures are not taken"
    assert len(LAST) == 1
