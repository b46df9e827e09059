"""What a training leaves in its folder (predictions, history), and how a run collects it from all of them."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.csv_text import read_table, render_table, write_table
from common.errors import UsageError
from common.files import write_gzip_atomic
from common.records.predictions import read_predictions, tabulate_scores, write_predictions
from common.records.provenance import describe_environment, git_state, list_versions
from common.records.results import Environment, Training
from common.runs.cells import MACHINE, Cell, is_done, read_record

PREDICTIONS, VALIDATION, HISTORY = "predictions.csv.gz", "validation.csv.gz", "history.csv"
KEYS = ("protocol", "row", "seed", "fold")

Splits = Callable[
    [Mapping[str, Any]], tuple[pd.DataFrame, Sequence[Fold]]
]  # settings of a cell -> the cases that are split, folds


@dataclass(frozen=True)
class Scored:
    """What a training gives for one row of the tables."""

    row: str
    scores: np.ndarray  # float (n, classes): probabilities of all n cases of the data set; NaN for those that are not written
    history: Sequence[Mapping[str, Any]] = ()  # one entry an epoch
    note: str = ""  # how its frozen layers were computed


def write_products(
    settings: Mapping[str, Any], dataset: Dataset, fold: Fold, scored: Sequence[Scored], folder: Path, *, validation: bool = False
) -> None:
    """Write what a training leaves into `folder`: predictions.csv.gz (the test cases of the fold), with `validation` also
    validation.csv.gz (its validation cases, if it has any), and history.csv, if any row has a history.

    settings: of the cell; its protocol, seed and fold stand in every line. A row with scores of shape (0, classes) leaves its
    history alone. Raises UsageError for scores that are no probabilities.
    """
    identity = {name: settings[name] for name in ("protocol", "seed", "fold")}
    for name, index in ((PREDICTIONS, fold.test), (VALIDATION, fold.validation if validation else fold.test[:0])):
        if len(index):
            cases = dataset.cases.iloc[index]
            tables = [tabulate_scores(cases, one.scores[index], row=one.row, **identity) for one in scored if len(one.scores)]
            if not tables:
                continue
            write_predictions(pd.concat(tables, ignore_index=True), folder / name)
    entries = [{**identity, "row": one.row, **entry} for one in scored for entry in one.history]
    if entries:
        write_table(pd.DataFrame(entries), folder / HISTORY)


def describe_training(package: Path, environment: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What the record of a training keeps (JSON): commit of the code, environment, and whatever else is given.

    package: folder of the code; environment: what `fit.start_backend` returned.
    """
    versions = list_versions(_read_machine(environment)[0])
    return {"commit": git_state(package).commit, "environment": dict(environment), "versions": versions, **more}


def list_finished(cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """Those of the cells whose result is in the run `folder`, whole and up to date."""
    return [cell for cell in cells if is_done(cell, folder / "cells")]


def name_result(cell: Cell) -> tuple[str, str, int]:
    """What the folds of a cell belong to: its row, protocol and seed."""
    return cell.settings["row"], cell.settings["protocol"], cell.settings["seed"]


def keep_complete(
    planned: Sequence[Cell], finished: Sequence[Cell], name: Callable[[Cell], Hashable] = name_result
) -> list[Cell]:
    """The finished cells whose result, as `name` calls it, lacks no fold: a part of the folds is no result."""
    done = {cell.key for cell in finished}
    torn = {name(cell) for cell in planned if cell.key not in done}
    return [cell for cell in finished if name(cell) not in torn]


def collect_predictions(finished: Sequence[Cell], folder: Path, splits: Splits, name: str = PREDICTIONS) -> pd.DataFrame:
    """Predictions of all finished trainings, one table; name: PREDICTIONS or VALIDATION. Trainings without the file are left out;
    ValueError where none has it.

    splits: settings of a cell -> today's cases and folds, which the predictions must agree with: the same test cases (or
    validation cases), labels, patients. Raises UsageError where they do not, and for a damaged file.
    """
    tables = []
    for cell in finished:
        path = folder / "cells" / cell.key / name
        if path.is_file():
            table = read_predictions(path)
            cases, folds = splits(cell.settings)
            _compare_with_data(table, cell.settings, cases, folds, name, path)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _compare_with_data(
    table: pd.DataFrame, settings: Mapping[str, Any], cases: pd.DataFrame, folds: Sequence[Fold], name: str, path: Path
) -> None:
    """Raise UsageError unless the predictions of a training are those of the cases of its fold, as they are today."""
    fold = next((fold for fold in folds if fold.fold == settings["fold"]), None)
    index = np.array([], int) if fold is None else fold.test if name == PREDICTIONS else fold.validation
    expected = cases.iloc[index].set_index("case_id")[["patient_id", "label"]].sort_index()
    identity = [[settings[key] for key in ("protocol", "seed", "fold")]]
    agrees = table[["protocol", "seed", "fold"]].drop_duplicates().to_numpy(object).tolist() == identity
    for _, of_row in table.groupby("row"):
        found = of_row.set_index("case_id")[["patient_id", "y_true"]].sort_index()
        agrees &= found.index.equals(expected.index) and bool((found.to_numpy() == expected.to_numpy()).all())
    if not agrees:
        raise UsageError(
            f"{path}: cases, labels, patients or fold are not those of today's data; delete {path.parent} and run the same "
            "command again"
        )


def collect_history(finished: Sequence[Cell], folder: Path) -> pd.DataFrame:
    """Histories of all finished trainings, one line an epoch, sorted by KEYS; also written to history.csv.gz of the run.

    Equal histories give equal bytes. Where no training has one (classic features), a table without lines.
    """
    paths = [folder / "cells" / cell.key / HISTORY for cell in finished]
    header = pd.DataFrame(columns=[*KEYS, "stage", "epoch", "loss", "accuracy"])
    history = pd.concat([read_table(path) for path in paths if path.is_file()] or [header], ignore_index=True)
    history = history.sort_values(list(KEYS), kind="stable")
    write_gzip_atomic(folder / "history.csv.gz", render_table(history, "%.6g"))
    return history


def describe_trainings(finished: Sequence[Cell], folder: Path) -> tuple[float, Environment, list[Training]]:
    """What results.json says of the trainings (at least one): seconds of all together, environment, and an entry for each.

    The environment is that of the first training that needed a network library, if any did; trainings that computed with another
    library or device name theirs. Raises UsageError for a training that does not say where it computed.
    """
    records = [read_record(cell, folder / "cells") for cell in finished]
    for cell, record in zip(finished, records, strict=True):
        if not {"commit", "environment"} <= record["outcome"].keys():
            raise UsageError(f"{folder / 'cells' / cell.key}: says not where it was trained; delete it and run the command again")
    outcomes = [record["outcome"] for record in records]
    first = next((known for known in outcomes if _name_machine(known)), outcomes[0])
    shared = _name_machine(first)
    trainings = [
        Training(
            key=cell.key, seconds=r["seconds"], threads=r["threads"], commit=r["outcome"]["commit"], dirty=r.get("dirty"),
            elsewhere=None if (machine := _name_machine(r["outcome"])) in (shared, None) else machine,
        )
        for cell, r in zip(finished, records, strict=True)
    ]  # fmt: skip
    known = dict(zip(MACHINE, _read_machine(first["environment"]), strict=True))
    environment = describe_environment(**known, versions=first.get("versions", {}))
    return round(sum(record["seconds"] for record in records), 1), environment, trainings


def _read_machine(environment: Mapping[str, Any]) -> tuple:
    return tuple(environment[name] for name in MACHINE)


def _name_machine(outcome: Mapping[str, Any]) -> str | None:
    """What a training computed with, in words; None for one that needed no network library."""
    backend, device, deterministic = _read_machine(outcome["environment"])
    if not backend:
        return None
    known = outcome.get("versions", {})
    versions = f" {known[backend]}, Python {known['python']}" if known else ""
    return f"{device}, {backend}{versions}{'' if deterministic else ', not deterministic'}"
