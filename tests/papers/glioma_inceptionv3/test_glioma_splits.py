"""The four modes: which entries a list has, on which side they are, what stays together; the shuffled control."""

from dataclasses import replace

import numpy as np
import pytest
from glioma_bottlenecks import SMALL, make_dataset

from common.errors import UsageError
from replications.glioma_inceptionv3 import splits
from replications.glioma_inceptionv3.config import MODES
from replications.glioma_inceptionv3.rows import AS_RUN, CLEAN, LEAKFREE, REPORT

RUNS = list(range(1, 11))


@pytest.fixture(scope="module")
def dataset():
    return make_dataset(subjects=40, slices=30)


def test_the_doubled_list_has_second_entries_of_the_same_pictures(dataset):
    entries = splits.list_entries(dataset, AS_RUN, SMALL)
    count = len(dataset.cases)
    assert len(entries.cases) == 2 * count == entries.cases["case_id"].nunique()
    second = entries.cases.iloc[count:].reset_index(drop=True)
    assert (second["case_id"] == dataset.cases["case_id"] + "#2").all()
    same = ["path", "sha256", "patient_id", "label"]
    assert second[same].equals(dataset.cases[same])
    assert (entries.source == np.tile(np.arange(count), 2)).all()
    assert entries.enlarge(dataset).images.shape[0] == 2 * count


def test_shares_of_the_script_and_its_denominators(dataset):
    """10 % validation and test of the entries: of the doubled list about as many test entries as a fifth of the files."""
    for mode, times in ((REPORT, 1), (AS_RUN, 2)):
        entries, folds = splits.split_dataset(dataset, mode, SMALL, RUNS)
        sizes = np.array([[len(fold.train), len(fold.validation), len(fold.test)] for (fold,) in folds.values()])
        assert (sizes.sum(axis=1) == len(entries.cases)).all()
        assert sizes.mean(axis=0) / (times * len(dataset.cases)) == pytest.approx([0.8, 0.1, 0.1], abs=0.012)
        assert len(np.unique(sizes[:, 2])) > 3  # drawn entry by entry, not a fixed number
        assert [fold.fold for (fold,) in folds.values()] == RUNS


def test_a_twin_of_a_test_entry_is_in_training_with_probability_four_fifths(dataset):
    entries, folds = splits.split_dataset(dataset, AS_RUN, SMALL, RUNS)
    found = splits.count_leaks(entries.cases, [fold for of in folds.values() for fold in of], [])
    assert found["same picture"] == pytest.approx(0.8, abs=0.025)
    assert found["same subject"] == 1
    once, folds = splits.split_dataset(dataset, REPORT, SMALL, RUNS)
    found = splits.count_leaks(once.cases, [fold for of in folds.values() for fold in of], [])
    assert (found["same picture"], found["same subject"]) == (0, 1)


def test_an_entry_has_one_side_in_every_list_and_any_order(dataset):
    once, _ = splits.split_dataset(dataset, REPORT, SMALL, [3])
    twice, _ = splits.split_dataset(dataset, AS_RUN, SMALL, [3])
    first = splits.draw_sides(once.cases, 3, SMALL)
    both = splits.draw_sides(twice.cases, 3, SMALL)
    count = len(first)
    assert (first == both[:count]).all()
    assert (both[:count] != both[count:]).any()
    turned = once.cases[::-1]
    assert (splits.draw_sides(turned, 3, SMALL)[::-1] == first).all()
    assert (splits.draw_sides(once.cases, 4, SMALL) != first).any()
    assert (splits.draw_sides(once.cases, 3, replace(SMALL, split_seed=1)) != first).any()


@pytest.mark.parametrize("repeat", [1, 2])
def test_leakfree_keeps_subjects_apart_and_tests_each_once(dataset, repeat):
    entries, folds = splits.split_dataset(dataset, LEAKFREE, SMALL, [repeat])
    subjects, tested = entries.cases["patient_id"].to_numpy(), []
    for number, fold in enumerate(folds[repeat]):
        sides = [set(subjects[index]) for index in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 40
        assert fold.fold == number
        tested += fold.test.tolist()
        labels = entries.cases["label"].to_numpy()
        assert np.bincount(labels[fold.test]) / len(fold.test) == pytest.approx(np.bincount(labels) / len(labels), abs=0.13)
    assert sorted(tested) == list(range(len(subjects)))
    (one,), (other,) = (splits.deal_subjects(entries.cases, r, SMALL)[:1] for r in (1, 2))
    assert set(one.test) != set(other.test)


def test_slice_clean_has_one_of_each_group_of_near_duplicates(dataset):
    names = dataset.cases["case_id"].tolist()
    pairs = [{"case_ids": [names[4], names[2]]}, {"case_ids": [names[4], names[9]]}, {"case_ids": [names[20], names[21]]}]
    alike = type(dataset)(dataset.images, dataset.cases, dataset.info | {"near_duplicates": pairs})
    kept = set(splits.list_entries(alike, CLEAN, SMALL).cases["case_id"])
    assert set(names) - kept == {names[4], names[21]}
    assert not any(set(pair["case_ids"]) <= kept for pair in pairs)
    assert splits.has_no_duplicates(dataset)
    assert not splits.has_no_duplicates(alike)
    clean, report = (splits.split_dataset(alike, mode, SMALL, [1])[1][1][0] for mode in (CLEAN, REPORT))
    assert len(report.test) - 2 <= len(clean.test) <= len(report.test)
    without = splits.split_dataset(dataset, CLEAN, SMALL, [1])[1][1][0]
    assert all((getattr(without, side) == getattr(report, side)).all() for side in ("train", "validation", "test"))


def test_shuffled_grades_stay_with_subjects_in_the_same_numbers(dataset):
    true, drawn = dataset.cases, splits.shuffle_grades(dataset.cases, 0)
    assert (drawn.groupby("patient_id")["label"].nunique() == 1).all()
    numbers = [cases.drop_duplicates("patient_id")["label"].value_counts().to_dict() for cases in (true, drawn)]
    assert numbers[0] == numbers[1]
    moved = (true["label"] != drawn["label"]).mean()
    assert 0.4 < moved < 0.95
    assert drawn.equals(splits.shuffle_grades(dataset.cases, 0))
    assert not drawn.equals(splits.shuffle_grades(dataset.cases, 1))
    for mode in MODES:
        assert len(splits.list_entries(dataset, mode, SMALL, shuffled=True).cases) == len(
            splits.list_entries(dataset, mode, SMALL).cases
        )


def test_faults_are_one_line(dataset):
    with pytest.raises(UsageError, match="no mode 'paper'; known: paper-as-run"):
        splits.list_entries(dataset, "paper", SMALL)
    few = make_dataset(subjects=6, slices=2)
    with pytest.raises(UsageError, match="too few for 5 folds"):
        splits.split_dataset(few, LEAKFREE, SMALL, [1])
    with pytest.raises(UsageError, match=r"made-up, paper-report, paper: too few cases \(3\): the test side lacks a class"):
        splits.split_dataset(make_dataset(subjects=3, slices=1), REPORT, SMALL, [1])
