"""What the README says of the leak-free rows follows from the accepted predictions: which of them are told from chance."""

import re

import pandas as pd
import pytest

from common.evaluation.intervals import Estimate
from common.records.predictions import read_predictions
from replications.glioma_inceptionv3.subjects import measure_row

CHANCE = {"accuracy": 0.5, "balanced accuracy": 0.5, "weighted kappa": 0.0, "macro AUC": 0.5}


@pytest.fixture(scope="module")
def measured(root) -> dict[str, dict[str, Estimate]]:
    predictions: pd.DataFrame = read_predictions(root / "results" / "glioma_inceptionv3" / "predictions.csv.gz")
    rows = predictions.loc[predictions["protocol"] == "leakfree", "row"].unique()
    return {row: measure_row(predictions, row) for row in rows}


@pytest.fixture(scope="module")
def prose(root) -> str:
    text = (root / "replications" / "glioma_inceptionv3" / "README.md").read_text(encoding="utf-8")
    section = re.search(r"## What matched, what did not, and why\n(.*?)\n## ", text, re.DOTALL)
    return " ".join((text.split("\n```")[0] + section[1]).split())


def show(found: Estimate, scale: int, digits: int) -> str:
    mean, low, high = (f"{scale * float(value):.{digits}f}" for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def test_rows_that_are_told_from_chance_are_named(measured, prose):
    told = {
        row
        for row, found in measured.items()
        if any(not found[name].low <= chance <= found[name].high for name, chance in CHANCE.items())
    }
    untrained = "leakfree / InceptionV3 random / whole"
    assert told == {f"{untrained} / rate as run", f"{untrained} / grades shuffled / rate as run"}
    assert f"hardly a row is told from chance: {len(told)} of {len(measured)}" in prose
    assert f"Of the {len(measured)} leak-free rows two have a 95 % interval without chance" in prose
    true, shuffled = (measured[f"{untrained}{grades} / rate as run"] for grades in ("", " / grades shuffled"))
    assert f"rate as run` has an AUC of {show(true['macro AUC'], 1, 3)}" in prose
    assert f"balanced accuracy, {show(true['balanced accuracy'], 100, 1)}, is not told from 50" in prose
    assert f"nothing to find, a balanced accuracy of {show(shuffled['balanced accuracy'], 100, 1)}" in prose


def test_the_widest_intervals_are_given(measured, prose):
    row = "leakfree / InceptionV3 random / whole"
    slices, subjects = (measured[name]["balanced accuracy"] for name in (row, f"{row} / per subject"))
    assert f"`{row}` has {show(slices, 100, 1)}, its subjects {show(subjects, 100, 1)}" in prose
    widest = max((found["balanced accuracy"] for found in measured.values()), key=lambda found: found.high - found.low)
    assert f"shuffled) [{100 * widest.low:.1f}, {100 * widest.high:.1f}]" in prose
