"""The networks of a finished run, opened again for new pictures: what every package's `predict` shares."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from common.errors import UsageError
from common.files import hash_file
from common.records.results import Results, read_results
from common.runs.cells import RECORD

MODEL = "model.keras"
DISCLAIMER = "research software, not a medical device: not for diagnosis"
SYNTHETIC = "synthetic data: these networks learned from phantoms; what they say means nothing for patients"


def read_run(run: Path, paper: str) -> Results:
    """The results of a finished run of a paper. Raises UsageError: no run, an unfinished one, one of another paper."""
    if not (run / "cells").is_dir():
        raise UsageError(f"{run}: no stored networks; give the folder of a finished run, as printed at its end")
    if not (run / "results.json").is_file():
        raise UsageError(f"{run}: not a finished run; the command that began it goes on where it stopped")
    results = read_results(run / "results.json")
    if results.paper != paper:
        raise UsageError(f"{run}: a run of {results.paper}, not of {paper}")
    return results


def list_warnings(results: Results) -> list[str]:
    """What stands beside every number and picture that a run's networks give."""
    warnings = [DISCLAIMER]
    if results.synthetic:
        warnings.append(SYNTHETIC)
    if results.overrides and not results.synthetic:
        changed = ", ".join(f"{name} = {value}" for name, value in sorted(results.overrides.items()))
        warnings.append(f"off protocol: trained with {changed}")
    return warnings


def read_network(cell: Path) -> tuple[Path, dict[str, Any]]:
    """The network's file of a finished training, if its bytes are those of the cell's record, and the settings in the record.

    Raises UsageError if it is missing or damaged.
    """
    path = cell / MODEL
    try:
        record = json.loads((cell / RECORD).read_text())
        if hash_file(path) == record["files"][MODEL]:
            return path, record["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # said below
    raise UsageError(f"{path}: missing or damaged; the command that made this run makes the network anew")


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failed write into one line."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from None


def escape(text: str) -> str:
    """A file name for screen and tables: line breaks and escape sequences would spoil them."""
    return text if text.isprintable() else ascii(text)


def show_progress() -> Progress:
    """A progress bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    return Progress(*Progress.get_default_columns(), console=console, disable=not console.is_terminal, transient=True)
