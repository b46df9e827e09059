"""Cells that a spreadsheet would compute: written so that none does, read back as they were, by every writer and its reader."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from common.cases.prepared import load_dataset, write_prepared
from common.csv_text import guard_cell, read_table, render_lines, restore_cell, write_table
from common.data.unmarked import read_unmarked, write_unmarked
from common.records.predictions import read_predictions, tabulate_scores, write_predictions
from common.runs.answers import show_answers

HOSTILE = ["=1+1", "+SUM(A1)", "-2+3", "@cmd", "'=1", "''@x", '=HYPERLINK("http://a","b")', "-inf", "+49 30 1"]
PLAIN = ["ann", "-5", "+1.5e3", "'ann'", "7=7", "Zoë"]


def starts_a_formula(cell: str) -> bool:
    """As OWASP lists the signs; a number is none."""
    try:
        return cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and not np.isfinite(float(cell))
    except ValueError:
        return True


@pytest.mark.parametrize("text", [*HOSTILE, *PLAIN, "\t=1", "\r@a", "'\t", "", "'"])
def test_no_cell_is_computed_and_every_one_comes_back(text):
    assert restore_cell(guard_cell(text)) == text
    assert not starts_a_formula(guard_cell(text))
    assert (guard_cell(text) == text) == (text in PLAIN or text in ("", "'"))


def test_no_two_texts_become_one():
    texts = ["'" * marks + tail for marks in range(4) for tail in ("=1", "-5", "@", "a", "\t")]
    assert len({guard_cell(text) for text in texts}) == len(texts)


def make_cases() -> pd.DataFrame:
    ids = [*HOSTILE, *PLAIN]
    names = {name: [f"{start}{text}" for text in ids] for name, start in (("case_id", ""), ("path", ""), ("patient_id", "="))}
    return pd.DataFrame({**names, "sha256": "0" * 64, "label": np.arange(len(ids)) % 2})


def test_tables_of_cases_predictions_and_patients_come_back(tmp_path):
    cases = make_cases()
    write_prepared(tmp_path / "set", np.zeros((len(cases), 8, 8), np.uint8), cases, {})
    assert load_dataset(tmp_path / "set").cases.to_dict("list") == cases.to_dict("list")
    scores = np.full((len(cases), 2), 0.5)
    table = tabulate_scores(cases, scores, protocol="paper", row="=row", seed=0, fold=-1)
    write_predictions(table, tmp_path / "p.csv.gz")
    back = read_predictions(tmp_path / "p.csv.gz").sort_values("case_id", ignore_index=True)
    wanted = table.sort_values("case_id", ignore_index=True)
    assert back.astype(str).to_dict("list") == wanted.astype(str).to_dict("list")
    write_unmarked(tmp_path, set(cases["patient_id"]))
    assert read_unmarked(tmp_path) == frozenset(cases["patient_id"])
    for text in [(tmp_path / "set" / "cases.csv").read_text(), (tmp_path / "unmarked.csv").read_text()]:
        assert not [cell for line in csv.reader(io.StringIO(text, newline="")) for cell in line if starts_a_formula(cell)]
    raw = pd.read_csv(tmp_path / "p.csv.gz", dtype=str)
    assert not [cell for name in ("row", "case_id", "patient_id") for cell in raw[name] if starts_a_formula(cell)]


def test_answers_for_new_pictures_name_files_so_that_nothing_is_computed(tmp_path):
    table = pd.DataFrame({"file": ["=1+1.png", "a.png"], "ill": [-0.5, 0.25]})
    show_answers(table, tmp_path, as_json=False, about={}, notes=[], faults=[], last="")
    assert (tmp_path / "predictions.csv").read_text().splitlines() == ["file,ill", "'=1+1.png,-0.5", "a.png,0.25"]


def test_tables_without_such_cells_are_written_as_ever(tmp_path):
    table = pd.DataFrame({"row": ["a", "b,c"], "loss": [-0.5, np.nan], "epoch": [1, 2], "good": [True, False]})
    write_table(table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == table.to_csv(index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), pd.read_csv(tmp_path / "t.csv"))
    assert render_lines([["a", 1, -2.5, None]]) == "a,1,-2.5,\n"
