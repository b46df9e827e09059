"""Lung and hip data: what is found, prepared data sets, both protocols' splits, the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hostile import edit
from lung_hip_samples import as_dataset, damage, list_torn_patients, make_cases, prepare
from PIL import Image

from common.cases.folds import hash_folds
from common.cases.prepared import load_dataset
from common.cases.table import LeakError
from common.errors import UsageError
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import DATASETS, PAPER, SMOKE
from replications.lung_hip_compare.sources import hips

HIPS = [name for name in DATASETS if name != "LUNA16"]


# Finding


def test_ready_patches_win_unless_scans_are_asked_for(smoke_folder, patches):
    folder = patches.path.parent
    (folder / "luna16").symlink_to(smoke_folder / "luna16")
    assert data.find_sources(folder)["luna"].kind == "patches"
    assert data.find_sources(folder, "originals")["luna"].kind == "originals"
    assert data.find_sources(folder / "nothing") == {"luna": None, "hip": None}
    assert data.find_sources(None) == {"luna": None, "hip": None}


# Prepared data sets


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


# Splits


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


@pytest.mark.parametrize("dataset", HIPS)
def test_paper_sizes_of_table_1(paper, dataset):
    """Enlarged and split as the paper's own settings say, the hips have the counts that Table 1 prints."""
    printed = {claim.metric: claim.value for claim in paper.printed if (claim.table, claim.row) == ("1", dataset)}
    counts = hips.choose_enlarged_counts(dataset, PAPER)
    assert counts == (printed["negative"], printed["positive"])
    labels = np.repeat([0, 1], counts)
    sides = hips.split_images(labels, PAPER)
    assert (sides == "test").sum() == printed["test"]
    assert (sides == "train").sum() == printed["train"]
    composition = next(claim.classes for claim in paper.printed if (claim.table, claim.row) == ("2", f"{dataset} / CNN"))
    assert list(composition.values()) == np.bincount(labels[sides == "test"]).tolist()  # of the test set, as paper.toml has it


@pytest.mark.parametrize(("name", "protocol"), [("LUNA17", "paper"), ("LUNA16", "leaky")])
def test_unknown_names_are_refused(name, protocol):
    with pytest.raises(UsageError):
        data.split_dataset(as_dataset(make_cases(600)), name, protocol, PAPER)


# The command


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
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(patches.path.parent)
    luna, hip = found["sources"]
    assert (luna["part"], luna["kind"], hip["part"], hip["kind"]) == ("luna", "patches", "hip", "folder")
    problems = luna["problems"]
    assert any("image_100.jpg" in problem for problem in problems)
    assert any("instead of 6877" in problem for problem in problems)
    assert any("byte for byte" in problem for problem in problems)
    assert hip["problems"] == ["cases.csv line 3: label '9' is not 0 (no fracture) or 1 (fracture)"]


def test_command_says_whole(smoke_folder, capsys, monkeypatch):
    monkeypatch.setattr(data, "PAPER", replace(PAPER, hip_folds=SMOKE.hip_folds))
    assert data.main(["--data", str(smoke_folder)]) == 0
    text = capsys.readouterr().out
    assert text.count("  whole") == 2
    assert "(synthetic)" in text


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
    assert (len(fold.train), len(fold.validation), len(fold.test), fold.left_out) == (
        4619,
        703,
        1369,
        117,
    )  # one copy of another patch is left out
    assert data.check_source("luna", source).problems == []
