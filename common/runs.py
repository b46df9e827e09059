"""What every run does around its trainings: the log of commands, collecting products, putting the result together."""

import datetime
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from common import cells, results
from common.files import write_gzip_atomic, write_json_atomic, write_text_atomic
from common.paper import Paper
from common.predictions import read_predictions
from common.report import write_report


def describe_command(module: str) -> str:
    """The command as typed, absolute paths cut to their last part: results are published."""
    words = [f"/path/to/{Path(word).name}" if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *words])


def log_command(folder: Path, module: str, package: Path, started: datetime.datetime) -> None:
    """Append this command to commands.json of the run: a run may take several."""
    path = folder / "commands.json"
    known = json.loads(path.read_text()) if path.exists() else []
    entry = {"command": describe_command(module), "started": started.isoformat(timespec="seconds")}
    write_json_atomic(path, [*known, entry | results.git_state(package)])


def collect_predictions(finished: Sequence[cells.Cell], folder: Path, name: str = "predictions.csv.gz") -> pd.DataFrame:
    """Predictions of all finished trainings that have the file."""
    paths = [folder / "cells" / cell.key / name for cell in finished]
    return pd.concat([read_predictions(path) for path in paths if path.is_file()], ignore_index=True)


def collect_history(finished: Sequence[cells.Cell], folder: Path) -> pd.DataFrame:
    """Histories of all finished trainings, also written as history.csv.gz of the run (the same bytes every time).

    Without any (classic features have none) the header alone.
    """
    paths = [folder / "cells" / cell.key / "history.csv" for cell in finished]
    keys = ["protocol", "row", "seed", "fold"]
    header = pd.DataFrame(columns=[*keys, "stage", "epoch", "loss", "accuracy"])
    history = pd.concat([pd.read_csv(path) for path in paths if path.is_file()] or [header], ignore_index=True)
    history = history.sort_values(keys, kind="stable")
    write_gzip_atomic(folder / "history.csv.gz", history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return history


def describe_trainings(finished: Sequence[cells.Cell], folder: Path) -> dict:
    """What results.json says of the trainings: {seconds, environment, cells}."""
    records = [cells.read_record(cell, folder / "cells") for cell in finished]
    environments = [record["outcome"]["environment"] for record in records]
    # A row of classic features needs no network library; the others say which one they had.
    first = next((known for known in environments if known["backend"]), environments[0])
    return {
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "environment": results.environment(**{name: first[name] for name in ("backend", "device", "deterministic")}),
        "cells": [
            {"key": cell.key, "seconds": r["seconds"], "threads": r["threads"], "commit": r["outcome"]["commit"]}
            for cell, r in zip(finished, records, strict=True)
        ],
    }


def write_run(folder: Path, paper: Paper, outcome: dict, draw_figures: Callable[[Path], list[dict]]) -> None:
    """Figures, results.json, environment.txt, table.md and report.html. draw_figures writes into a folder and lists them."""
    shutil.rmtree(folder / "figures", ignore_errors=True)
    (folder / "figures").mkdir()
    outcome["extra"]["commands"] = json.loads((folder / "commands.json").read_text())
    outcome["extra"]["figures"] = draw_figures(folder / "figures")
    write_json_atomic(folder / "results.json", outcome)
    write_text_atomic(folder / "environment.txt", results.list_packages())
    write_report(folder, paper)
