"""The table of the leak that phantoms were given."""

import numpy as np
import pandas as pd

from common.evaluation.unmarked import summarise_unmarked, tabulate_unmarked
from common.records.predictions import tabulate_scores


def predict(protocol: str, right: float, seed: int) -> pd.DataFrame:
    """60 cases of 30 patients, p00 to p29; those of the first 20 come out right with the probability `right`, others always."""
    random = np.random.default_rng(seed)
    patients = np.repeat([f"p{number:02d}" for number in range(30)], 2)
    labels = np.repeat(np.arange(30) % 2, 2)
    hit = (random.random(60) < right) | (np.arange(60) >= 40)
    scores = np.where((labels == 1) == hit, 0.9, 0.1)
    cases = pd.DataFrame({"case_id": [f"c{number}" for number in range(60)], "patient_id": patients, "label": labels})
    return tabulate_scores(cases, np.column_stack([1 - scores, scores]), protocol=protocol, row="CNN", seed=seed, fold=0)


def test_memory_is_told_from_chance():
    parts = [predict(protocol, right, seed) for protocol, right in (("paper", 0.9), ("leakfree", 0.5)) for seed in range(3)]
    (table,) = tabulate_unmarked(pd.concat(parts), {f"p{number:02d}" for number in range(20)})
    (line,) = table.rows
    assert [column.group for column in table.columns] == ["", *["The paper's protocol"] * 3, *["Patients kept apart"] * 3]
    assert line[1] == line[4] == "40"
    leaky, apart = (tuple(map(float, text.strip("[]").split(","))) for text in (line[3], line[6]))
    assert leaky[0] > 70
    assert apart[0] < 50 < apart[1]
    assert float(line[2]) > 80 > 65 > float(line[5])


def test_no_table_where_nothing_was_put_in():
    assert not tabulate_unmarked(predict("paper", 0.5, 0), frozenset())


def test_a_row_of_one_protocol_alone_has_dashes():
    both = pd.concat([predict("paper", 1.0, 0), predict("leakfree", 0.5, 0), predict("paper", 1.0, 0).assign(row="SGAN")])
    (table,) = tabulate_unmarked(both, {"p00", "p01"})
    assert [line[0] for line in table.rows] == ["CNN", "SGAN"]
    assert table.rows[1][4:] == ["–"] * 3


def test_the_leak_is_said_as_accuracies_beside_that_of_chance():
    """Of 40 cases the paper's protocol gets all right, patients apart half."""
    both = pd.concat([predict("paper", 1.0, 0), predict("leakfree", 0.0, 0), predict("leakfree", 1.0, 1).assign(seed=1)])
    said = summarise_unmarked(both, {f"p{number:02d}" for number in range(20)})
    assert said.endswith("100 % under the paper's protocol, 50 % with patients kept apart; chance is 50 %.")
    assert summarise_unmarked(both, frozenset()) == ""


def test_the_counts_of_the_sentence_are_those_of_the_table():
    """Rows that test different cases: none tests all that any of them does."""
    every, unmarked = predict("paper", 1.0, 0), {f"p{number:02d}" for number in range(20)}
    few = every[every["case_id"].isin([f"c{number}" for number in range(30, 60)])].assign(row="SGAN")
    many = every[every["case_id"].isin([f"c{number}" for number in range(30)])]
    both = pd.concat([few, many], ignore_index=True)
    (table,) = tabulate_unmarked(both, unmarked)
    assert [line[1] for line in table.rows] == ["30", "10"]
    assert "on their test cases (10 to 30 in each row)" in summarise_unmarked(both, unmarked)
    assert "on their test cases (30 in each row)" in summarise_unmarked(many, unmarked)


def test_chance_is_that_of_the_classes():
    """Three classes, of which every patient is given the first: a third is right, which is chance."""
    labels = np.arange(30) % 3
    names = [f"p{number}" for number in range(30)]
    cases = pd.DataFrame({"case_id": names, "patient_id": names, "label": labels})
    scores = np.tile([0.8, 0.1, 0.1], (30, 1))
    predictions = tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=0)
    (table,) = tabulate_unmarked(predictions, set(names))
    assert "the interval should hold 33." in table.note
    said = summarise_unmarked(predictions, set(names))
    assert ": 33 % under the paper's protocol; chance is 33 %. These networks do not recall a patient" in said
    wrong = tabulate_scores(cases, np.roll(np.eye(3)[labels], 1, axis=1), protocol="paper", row="CNN", seed=0, fold=0)
    assert ": 0 % under the paper's protocol; chance is 33 %. These networks" in summarise_unmarked(wrong, set(names))
