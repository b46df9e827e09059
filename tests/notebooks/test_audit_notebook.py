"""The notebook on the audit runs without data or a run, draws a figure for each strong finding, and is stored clean."""

from pathlib import Path

import pytest
import test_notebooks

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "audit.ipynb"


def test_stored_clean():
    test_notebooks.test_stored_clean(NOTEBOOK)


@pytest.mark.slow
def test_shows_the_findings(tmp_path, monkeypatch):
    text, pictures = test_notebooks.execute(NOTEBOOK, None, tmp_path, monkeypatch)
    assert pictures == 5  # classes, cases, offset, sizes of test sets, majority rates
    for finding in (
        "benign positive (136): 7 of 12 rows",
        "258/269 = 95.91",
        "not between 64.17 and 80.7",
        "0 of 11 are attainable over 72",
        "37/25/15 with 0.01 added to every denominator explains 10 of 10 rows",
        "(36, 1, 0), (4, 21, 0), (5, 1, 9)",
        "mean n = 2417/10 = 241.7",
        "1340/1622 = 82.61",
        "Claims without a number: 9.",
        "lung_hip_compare:",
    ):
        assert finding in text, finding
