"""Thyroid data: which source is taken, prepared data sets, both protocols' splits, the command."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hostile import edit
from PIL import Image
from thyroid_samples import WRITERS, prepare, write_ddti, write_own, write_tn3k

from common.cases.folds import hash_folds, measure_leak
from common.cases.prepared import Dataset
from common.cases.table import LeakError
from common.data.phantoms import MARKER
from common.errors import UsageError
from replications.thyroid_ensemble import data
from replications.thyroid_ensemble.config import PAPER, SMOKE
from replications.thyroid_ensemble.sources import acquire, published


def test_sources_come_in_order_and_by_name(tmp_path):
    assert data.find_source(tmp_path, PAPER) is None
    assert data.find_source(None, PAPER) is None
    for kind in reversed(WRITERS):
        WRITERS[kind](tmp_path)
        assert data.find_source(tmp_path, PAPER).kind == kind
    for kind in WRITERS:
        assert data.find_source(tmp_path, replace(PAPER, source=kind)).kind == kind
    shutil.rmtree(tmp_path / "tn3k")
    with pytest.raises(UsageError, match="nothing in tn3k/ for source tn3k"):
        data.find_source(tmp_path, replace(PAPER, source="tn3k"))
    with pytest.raises(UsageError, match="known: auto, own, hou2024, tn5000, tn3k, ddti"):
        data.find_source(tmp_path, replace(PAPER, source="kaggle"))


def test_phantoms_are_own_pictures_named_synthetic(tmp_path):
    data.write_phantoms(tmp_path / "data", SMOKE, seed=0)
    source = data.find_source(tmp_path / "data", SMOKE)
    assert (source.kind, source.synthetic, source.substitute) == ("own", True, False)
    dataset = prepare(tmp_path / "data", tmp_path / "out", SMOKE)
    assert dataset.info["patients"] == SMOKE.phantom_patients
    for protocol in ("paper", "leakfree"):
        folds = data.split_dataset(dataset, protocol, SMOKE)
        assert measure_leak(dataset, folds, protocol).test_cases > 0
    (tmp_path / "data" / MARKER).unlink()
    assert not data.find_source(tmp_path / "data", SMOKE).synthetic


def test_patients_who_share_a_picture_become_one(tmp_path):
    write_own(tmp_path)
    folder = tmp_path / "thyroid"
    shutil.copy(folder / "p1_0.png", folder / "p3_0.png")  # the same file
    with Image.open(folder / "p5_0.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda x: int(0.9 * x)).save(folder / "p7_0.png")
    edit(folder / "cases.csv", "p7_0.png,malignant,patient 7,20,15,60,45", "p7_0.png,malignant,patient 7,30,15,70,45")
    dataset = prepare(tmp_path, tmp_path / "out")
    joined = dataset.cases.groupby("path")["patient_id"].first()
    assert joined["p3_1.png"] == joined["p1_1.png"] == "patient 1"
    assert joined["p7_1.png"] == joined["p5_1.png"] == "patient 5"
    assert (dataset.info["patients_listed"], dataset.info["patients"]) == (12, 10)


def test_file_with_both_labels_is_a_fault(tmp_path):
    write_own(tmp_path)
    shutil.copy(tmp_path / "thyroid/p0_0.png", tmp_path / "thyroid/p1_0.png")
    with pytest.raises(UsageError, match=r"the same picture has both labels: p0_0\.png, p1_0\.png"):
        prepare(tmp_path, tmp_path / "out")
    assert len(prepare(tmp_path, tmp_path / "out", skip_unreadable=True).cases) == 22


def test_prepared_again_when_a_file_changes(tmp_path):
    write_own(tmp_path)
    assert len(prepare(tmp_path, tmp_path / "out").cases) == 24
    edit(tmp_path / "thyroid/cases.csv", "p0_0.png,benign,patient 0,20,15,60,45\n", "")
    assert len(prepare(tmp_path, tmp_path / "out").cases) == 23


# Splits


def make_dataset(benign=681, malignant=663, per_patient=11, **columns) -> Dataset:
    labels = np.repeat([0, 1], [benign, malignant])
    count = len(labels)
    cases = pd.DataFrame({
        "case_id": [f"c{k:04d}" for k in range(count)], "path": "", "sha256": [f"{k:064x}" for k in range(count)],
        "patient_id": [f"p{k // per_patient}" for k in range(count)], "label": labels, **columns,
    })  # fmt: skip
    return Dataset(np.zeros((count, 2, 2, 1), np.uint8), cases, {})


def test_paper_split_has_the_counts_of_table_1():
    dataset = make_dataset()
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    labels = dataset.cases["label"].to_numpy()
    assert np.bincount(labels[fold.train]).tolist() == [545, 530]
    assert np.bincount(labels[fold.test]).tolist() == [136, 133]
    assert (fold.fold, len(fold.validation), fold.left_out) == (-1, 0, 0)
    patients = dataset.cases["patient_id"]
    assert set(patients.iloc[fold.train]) & set(patients.iloc[fold.test])  # the paper's flaw is kept


@pytest.mark.parametrize("protocol", ["paper", "leakfree"])
def test_split_depends_on_the_seed_and_not_on_the_order(protocol):
    dataset = make_dataset(120, 100, 5)
    wanted = hash_folds(dataset, data.split_dataset(dataset, protocol, PAPER))
    mixed = Dataset(dataset.images, dataset.cases.sample(frac=1, random_state=0).reset_index(drop=True), {})
    assert hash_folds(mixed, data.split_dataset(mixed, protocol, PAPER)) == wanted
    assert hash_folds(dataset, data.split_dataset(dataset, protocol, replace(PAPER, split_seed=1))) != wanted


def test_leakfree_holds_one_test_out_and_validates_every_other_case_once():
    dataset = make_dataset()
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    patients = dataset.cases["patient_id"].to_numpy()
    assert [fold.fold for fold in folds] == [0, 1, 2, 3, 4]
    assert all((fold.test == folds[0].test).all() for fold in folds)
    assert 0.18 < len(folds[0].test) / len(patients) < 0.22
    validated = np.concatenate([fold.validation for fold in folds])
    assert sorted([*validated, *folds[0].test]) == list(range(len(patients)))
    for fold in folds:
        sides = [set(patients[index]) for index in (fold.train, fold.validation, fold.test)]
        assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
        for index in (fold.train, fold.validation, fold.test):
            assert 0.45 < dataset.cases["label"].iloc[index].mean() < 0.55
        assert sum(map(len, (fold.train, fold.validation, fold.test))) == len(patients)


def test_leak_is_refused():
    dataset = make_dataset(60, 60, 4)
    dataset.cases["sha256"] = "a" * 64
    with pytest.raises(LeakError, match="1 files"):
        data.split_dataset(dataset, "leakfree", PAPER)


def test_listed_split_is_the_papers_one_and_leaves_leakfree_alone():
    listed = np.where(np.arange(220) % 4 == 0, "test", "train")
    dataset = make_dataset(120, 100, 5, split=listed)
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    np.testing.assert_array_equal(fold.test, np.flatnonzero(listed == "test"))
    assert "cases.csv" in fold.rule
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    assert hash_folds(dataset, folds) == hash_folds(dataset, data.split_dataset(make_dataset(120, 100, 5), "leakfree", PAPER))
    dataset.cases.loc[3, "split"] = ""
    with pytest.raises(UsageError, match="1 of 220 cases have no split, such as '.*'; list it for all or for none"):
        data.split_dataset(dataset, "paper", PAPER)


def test_a_split_with_gaps_is_a_fault_of_each_line_without(tmp_path):
    table = tmp_path / "cases.csv"
    sides = ["train", "", "test", " "]
    table.write_text("\n".join(["path,label,patient,split", *(f"{n}.png,{n % 2},p{n},{side}" for n, side in enumerate(sides))]))
    listed, faults = published.list_own(tmp_path)
    assert listed["path"].tolist() == ["0.png", "2.png"]
    gap = "no split, where other lines have one; fill the column in every line, or leave it out"
    assert faults == [f"cases.csv line 3: {gap}", f"cases.csv line 5: {gap}"]


def test_too_few_cases_and_unknown_protocols_are_refused():
    with pytest.raises(UsageError, match="ask for fewer folds or add data"):
        data.split_dataset(make_dataset(6, 2, 1), "leakfree", PAPER)
    with pytest.raises(UsageError, match="lacks a class"):
        data.split_dataset(make_dataset(6, 2, 1), "paper", PAPER)
    with pytest.raises(UsageError, match="known: paper, leakfree"):
        data.split_dataset(make_dataset(), "leaky", PAPER)


@pytest.mark.parametrize(("kind", "test"), [("tn5000", 10), ("tn3k", 8)])
def test_published_lists_are_the_leakfree_test(tmp_path, kind, test):
    WRITERS[kind](tmp_path)
    dataset = prepare(tmp_path, tmp_path / "out")
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    assert len(folds) == PAPER.inner_folds
    for fold in folds:
        assert (dataset.cases["split"].iloc[fold.test] == "test").all()
        assert len(fold.test) == test
        assert "published list, no patients known" in fold.rule
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    assert set(dataset.cases["split"].iloc[fold.test]) == {"train", "test"}


def test_copies_of_published_test_pictures_are_left_out_of_training(tmp_path):
    write_tn3k(tmp_path)
    shutil.copy(tmp_path / "tn3k/test-image/0001.jpg", tmp_path / "tn3k/trainval-image/0003.jpg")
    dataset = prepare(tmp_path, tmp_path / "out")
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    assert {fold.left_out for fold in folds} == {1}
    assert "1 copies of its pictures left out" in folds[0].rule
    assert measure_leak(dataset, folds, "leakfree").same_pixels == 0


# The command


def test_command_says_what_to_get(tmp_path, capsys):
    assert data.main(["--data", str(tmp_path)]) == 2
    text = capsys.readouterr().out
    for needed in ("thyroid/cases.csv", "hou2024/", "tn5000/", "tn3k/", "ddti/", "private", "licence", "by hand"):
        assert needed in text
    assert data.main(["--data", str(tmp_path / "absent")]) == 2
    assert data.main(["--data", str(tmp_path), "--source", "tn3k"]) == 2
    assert "nothing in tn3k/" in capsys.readouterr().err


def test_command_says_whole_and_counts(tmp_path, capsys):
    write_own(tmp_path)
    write_ddti(tmp_path)
    assert data.main(["--data", str(tmp_path), "--json"]) == 0
    own, ddti_ = json.loads(capsys.readouterr().out)["sources"]
    assert own["counts"] == {"nodules": {"pictures": 24, "cases": 24, "benign": 12, "malignant": 12, "patients": 12}}
    assert ddti_["counts"] == {"nodules": {"pictures": 21, "cases": 30, "benign": 16, "malignant": 14, "patients": 12}}
    assert data.main(["--data", str(tmp_path), "--source", "own"]) == 0
    assert "  whole" in capsys.readouterr().out


PUBLISHED = {  # as the collections print them
    "hou2024": {"pictures": 8508, "patients": 842},  # Sci Data 11:1272
    "tn5000": {"pictures": 5000, "train": 4000, "test": 1000},  # Sci Data 12:1437
    "tn3k": {"pictures": 3493, "train": 2879, "test": 614},  # its two files of labels
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_command_compares_with_the_published_counts(tmp_path, capsys, kind):
    WRITERS[kind](tmp_path)
    assert data.main(["--data", str(tmp_path), "--json"]) == 2
    (finding,) = json.loads(capsys.readouterr().out)["sources"]
    counts = finding["counts"]["nodules"]
    expected = [f"{counts[name]} {name} instead of the published {count}" for name, count in PUBLISHED[kind].items()]
    assert finding["problems"] == expected
    assert acquire.EXPECTED.keys() == PUBLISHED.keys()
