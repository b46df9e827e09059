"""The predictions table: one line per case, row, seed and fold, read, written and checked.

Columns: protocol, row, seed, fold, case_id, patient_id, y_true, y_score_0 .. y_score_{C-1}; the scores of a line sum to 1.
"""

import csv
import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from common.cli import PROTOCOLS
from common.csv_text import render_table, restore_cell
from common.errors import UsageError, shorten
from common.files import check_file, write_gzip_atomic

KEYS = ("protocol", "row", "seed", "fold", "case_id", "patient_id", "y_true")
MAX_CHARACTERS = 2**28  # of an unpacked predictions file: a guard against damaged or hostile archives


def read_predictions(path: Path) -> pd.DataFrame:
    """The predictions table of a .csv.gz file, checked; UsageError names the file, the line and the fault."""
    repair = "restore the file or run the experiment again"
    try:
        check_file(path)
        with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
            text = stream.read(MAX_CHARACTERS + 1)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a .csv.gz file ({error}); {repair}") from error
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{path}: more than {MAX_CHARACTERS} characters, not a predictions table; {repair}")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    try:
        header = next(reader, [])
        for record in reader:
            if len(record) != len(header):
                raise UsageError(f"{path}, line {reader.line_num}: {len(record)} fields, not {len(header)}; {repair}")
            records.append(record)
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}; {repair}") from error
    frame = pd.DataFrame(records, columns=header, dtype=object)
    _check_columns(frame, str(path))
    for name in frame.columns:
        if name in ("seed", "fold", "y_true") or name.startswith("y_score_"):
            frame[name] = _parse_numbers(frame[name], float if name.startswith("y_score_") else int, str(path))
        else:
            frame[name] = frame[name].map(restore_cell)
    check_predictions(frame, str(path))
    return frame


def write_predictions(frame: pd.DataFrame, path: Path) -> None:
    """Write the predictions table as .csv.gz: sorted lines, nine significant digits, the same bytes every time.

    The file appears whole or not at all. Nine digits keep float32 scores exactly.
    """
    check_predictions(frame, "predictions")
    ordered = frame.sort_values(["protocol", "row", "seed", "fold", "case_id"], kind="stable")
    write_gzip_atomic(path, render_table(ordered, "%.9g"))


def tabulate_scores(cases: pd.DataFrame, scores: np.ndarray, *, protocol: str, row: str, seed: int, fold: int) -> pd.DataFrame:
    """Predictions table of one training: scores (n, C), each line with the sum 1, of the n cases of a case table.

    >>> cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["ann", "ben"], "label": [0, 1]})
    >>> table = tabulate_scores(cases, np.array([[0.9, 0.1], [0.4, 0.6]]), protocol="paper", row="CNN", seed=0, fold=-1)
    >>> print(render_table(table).splitlines()[2])
    paper,CNN,0,-1,b,ben,1,0.4,0.6
    """
    identity: dict[str, str | int] = {"protocol": protocol, "row": row, "seed": seed, "fold": fold}
    known = {"case_id": cases["case_id"], "patient_id": cases["patient_id"], "y_true": cases["label"]}
    columns = {name: column.to_numpy() for name, column in known.items()}
    columns |= {f"y_score_{index}": scores[:, index] for index in range(scores.shape[1])}
    return pd.DataFrame({**dict.fromkeys(identity), **columns}).assign(**identity)


def check_predictions(frame: pd.DataFrame, source: str) -> None:
    """UsageError at the first line (the header is line 1) that breaks the table's rules."""
    _check_columns(frame, source)
    if frame.empty:
        raise UsageError(f"{source}: the table has no lines; nothing was predicted")
    for name in ("seed", "fold", "y_true"):
        if frame[name].dtype.kind not in "iu":
            raise UsageError(f"{source}: {name} must hold integers, not {frame[name].dtype}")
    frame = frame.reset_index(drop=True)
    scores = extract_scores(frame)
    y_true = frame["y_true"].to_numpy()
    text = frame[["row", "case_id", "patient_id"]].astype(str)
    labelled = frame[["protocol", "row", "case_id", "patient_id", "y_true"]].drop_duplicates()
    contradictory = labelled[labelled.duplicated(["protocol", "row", "case_id"])].index
    faults = {
        f"protocol is not one of {', '.join(PROTOCOLS)}": ~frame["protocol"].isin(PROTOCOLS),
        "row, case_id or patient_id is empty or holds a control character": np.any(
            [(text[name] == "") | text[name].str.contains(r"[\x00-\x1f]") for name in text], axis=0
        ),
        f"y_true is not a class from 0 to {scores.shape[1] - 1}": (y_true < 0) | (y_true >= scores.shape[1]),
        "a score is not a number from 0 to 1": ~np.all((scores >= 0) & (scores <= 1), axis=1),
        "the scores do not sum to 1": ~(np.abs(scores.sum(axis=1) - 1) <= 1e-3),
        "the case occurs twice in this row, seed and fold": frame.duplicated(["protocol", "row", "seed", "fold", "case_id"]),
        "patient_id or y_true of the case differs from an earlier line": frame.index.isin(contradictory),
    }
    for fault, at in faults.items():
        if np.any(at):
            raise UsageError(f"{source}, line {int(np.argmax(np.asarray(at))) + 2}: {fault}")


def extract_scores(frame: pd.DataFrame) -> np.ndarray:
    """The scores (cases, C) float64 of a predictions table."""
    return frame[[name for name in frame.columns if name.startswith("y_score_")]].to_numpy(np.float64)


def _check_columns(frame: pd.DataFrame, source: str) -> None:
    scores = [f"y_score_{c}" for c in range(len(frame.columns) - len(KEYS))]
    if len(scores) < 2 or list(frame.columns) != [*KEYS, *scores]:
        expected = ", ".join([*KEYS, "y_score_0, y_score_1, ..."])
        raise UsageError(f"{source}: the columns are {shorten(', '.join(map(str, frame.columns)), 120)}, but must be {expected}")


def _parse_numbers(column: pd.Series, kind: type, source: str) -> np.ndarray:
    values = np.empty(len(column), np.int64 if kind is int else np.float64)
    for i, text in enumerate(column):
        try:
            values[i] = kind(text)
        except (ValueError, OverflowError):
            number = "an integer" if kind is int else "a number"
            raise UsageError(f"{source}, line {i + 2}: {column.name} is {text[:40]!r}, not {number}") from None
    return values
