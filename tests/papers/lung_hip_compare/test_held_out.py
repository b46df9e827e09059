"""The published validation list, which the paper never used: which of it each protocol's networks are tested on."""

import numpy as np
import pandas as pd
import pytest

from common.cases.folds import gather_fold
from common.cases.prepared import Dataset
from replications.lung_hip_compare import held_out
from replications.lung_hip_compare.config import PAPER


def make_lists(rows: list[int], lists: list[str], patients: list[str] | None = None, pairs: tuple = ()) -> Dataset:
    """A data set of candidates at these rows; patients: stretches of 620 rows where none are given."""
    stretches = [f"rows-{row // 620 * 620}" for row in rows]
    cases = pd.DataFrame({"case_id": [f"row-{row}" for row in rows], "patient_id": patients or stretches})
    cases["sha256"] = [f"{row:064d}" for row in rows]
    cases["label"] = np.arange(len(rows)) % 2
    cases["candidate_row"], cases["split"] = rows, lists
    info = {"near_duplicates": [{"case_ids": list(pair)} for pair in pairs]}
    return Dataset(np.zeros((len(rows), 8, 8, 1), np.uint8), cases, info)


def split(held: Dataset, sides: list[str], protocol: str) -> list[int]:
    """Rows that are tested; sides: of the candidates of the two lists that the paper counts."""
    counted = held.cases[held.cases["split"] != "val"].reset_index(drop=True)
    fold = held_out.split(held, counted, gather_fold(np.array(sides), ""), protocol, PAPER)
    trained = held.cases["case_id"].iloc[fold.train].tolist()
    assert trained == counted["case_id"][np.array(sides) == "train"].tolist()  # as the networks had them
    return held.cases["candidate_row"].iloc[fold.test].tolist()


ROWS = [100, 5000, 9000, 700, 6000, 6600, 9100]
LISTS = ["train", "train", "test", "val", "val", "val", "val"]
SIDES = ["train", "validation", "test"]


def test_the_papers_networks_are_tested_on_the_whole_list():
    assert split(make_lists(ROWS, LISTS), ["train", "train", "test"], "paper") == [700, 6000, 6600, 9100]


def test_leak_free_ones_on_candidates_that_are_far_from_training_and_validation():
    """700 is 600 rows from a trained candidate, 6000 is 1,000 from one of validation: less than the gap of 1,500."""
    assert split(make_lists(ROWS, LISTS), SIDES, "leakfree") == [6600, 9100]


def test_leak_free_ones_on_no_candidate_of_a_trained_scan():
    scans = ["a", "b", "c", "a", "b", "c", "d"]
    assert split(make_lists(ROWS, LISTS, scans), SIDES, "leakfree") == [6600, 9100]


@pytest.mark.parametrize("pair", [("row-6600", "row-100"), ("row-5000", "row-6600")])
def test_leak_free_ones_on_no_copy_of_a_trained_picture(pair):
    assert split(make_lists(ROWS, LISTS, pairs=(pair,)), SIDES, "leakfree") == [9100]
    assert split(make_lists(ROWS, LISTS, pairs=(pair,)), ["train", "train", "test"], "paper") == [700, 6000, 6600, 9100]


def test_padded_candidates_are_no_part_of_it():
    held = make_lists(ROWS, LISTS)
    held.cases["padded"] = held.cases["candidate_row"] == 9100
    assert split(held, SIDES, "leakfree") == [6600]


def test_a_list_of_one_class_is_named_and_not_scored():
    held = make_lists(ROWS, LISTS)
    counted = held.cases[held.cases["split"] != "val"].reset_index(drop=True)
    held.cases.loc[held.cases["split"] == "val", "label"] = 0
    splits = {("LUNA16", "leakfree"): (counted, [gather_fold(np.array(SIDES), "")])}
    found = held_out.describe(held, splits, PAPER)
    assert found == "too few held-out candidates (2) for the leakfree protocol: one class alone"


def test_its_rows_rest_on_the_networks_of_table_2():
    rows = held_out.list_rows()
    assert {held_out.name_training(row.name) for row in rows} == {name for row in rows for name in row.needs}
    assert {row.tables for row in rows} == {("held out",)}
