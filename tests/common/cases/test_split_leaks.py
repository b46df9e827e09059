"""What a split leaks is counted in cases, however many folds test them."""

import numpy as np
import pandas as pd

from common.cases.folds import gather_fold, measure_leak
from common.cases.prepared import Dataset

CASES = pd.DataFrame({"case_id": list("abcdef"), "patient_id": list("vwxyvw"), "sha256": list("123456")})
DATASET = Dataset(np.zeros((6, 8, 8, 1), np.uint8), CASES, {})


def make_folds(*sides: list[str]) -> list:
    return [gather_fold(np.array(of_fold), rule="", fold=number) for number, of_fold in enumerate(sides)]


def test_a_test_set_that_all_folds_share_is_counted_once():
    folds = make_folds(
        ["train", "", "train", "validation", "test", "test"],  # e's patient v trains
        ["", "train", "validation", "train", "test", "test"],  # f's patient w trains
        ["train", "", "train", "train", "test", "test"],
    )
    leak = measure_leak(DATASET, folds, "paper")
    assert (leak.test_cases, leak.same_patient, leak.same_pixels) == (2, 2, 0)


def test_folds_that_test_other_cases_are_summed():
    folds = make_folds(
        ["test", "test", "train", "train", "train", "train"],
        ["train", "train", "test", "test", "train", "train"],
        ["train", "train", "train", "train", "test", "test"],
    )
    leak = measure_leak(DATASET, folds, "paper")
    assert (leak.test_cases, leak.same_patient) == (6, 4)
