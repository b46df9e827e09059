"""The stored networks of a finished run, found and checked for new pictures: what the `predict` of every package shares."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from common.errors import UsageError
from common.files import hash_file, load_json
from common.records.results import Results, read_results
from common.runs.cells import LEFT, RECORD

MODEL = "model.keras"
DISCLAIMER = "research software, not a medical device: not for diagnosis"
SYNTHETIC = "synthetic data: these networks learned from phantoms; what they say means nothing for patients"


def read_run(run: Path, paper: str) -> Results:
    """The results of a finished run; paper: name of the package that it must be of.

    Raises UsageError for a folder that is no run, an unfinished run, one of another paper, and damaged results.
    """
    if not (run / "cells").is_dir():
        raise UsageError(f"{run}: no stored networks; give the folder of a finished run, as printed at its end")
    if not (run / "results.json").is_file():
        raise UsageError(f"{run}: not a finished run; the command that began it goes on where it stopped")
    results = read_results(run / "results.json")
    if results.paper != paper:
        raise UsageError(f"{run}: a run of {results.paper}, not of {paper}")
    return results


def list_warnings(results: Results) -> list[str]:
    """What must stand beside every number and picture that the networks of a run give, one text each; the first is DISCLAIMER."""
    warnings = [DISCLAIMER]
    if results.synthetic:
        return [*warnings, SYNTHETIC]
    if others := dict.fromkeys(dataset.name for dataset in results.datasets if dataset.substitute):  # one name, several sizes
        warnings.append(f"learned from other data than the paper's: {', '.join(others)}")
    changed = [f"preset {results.preset}"] if results.preset != "paper" else []
    changed += [f"{name} = {value}" for name, value in sorted(results.overrides.items())]
    if changed:
        warnings.append(f"other settings than the paper's: {', '.join(changed)}")
    elif not others and not results.on_protocol:
        warnings.append("other settings than the paper's: not all networks were trained as published")
    return warnings


def read_network(cell: Path) -> tuple[Path, dict[str, Any]]:
    """File of the network that a finished training left, and the settings of the training.

    cell: folder of the training. The file is not opened, but its sha256 is that of the record. Raises UsageError if file or
    record are missing or damaged, or if the run was copied without its networks.
    """
    path = cell / MODEL
    try:
        record = load_json(cell / RECORD)
        if MODEL in record.get(LEFT, ()) and not path.exists():
            raise UsageError(f"{path}: left behind when the run was copied; ask the run that it was copied from")
        if hash_file(path) == find_sha256(record):
            return path, record["settings"]
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # said below
    raise UsageError(f"{path}: missing or damaged; the command that made this run makes the network anew")


def find_sha256(record: Mapping[str, Any]) -> str:
    """sha256 of the network of a finished training, though it was left behind; record: of the training.

    >>> find_sha256({"files": {"model.keras": "1f"}}), find_sha256({"files": {}, "left": {"model.keras": "1f"}})
    ('1f', '1f')
    """
    return (record.get(LEFT, {}) | record["files"])[MODEL]


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """While this is open, a file that cannot be written raises UsageError; folder: where it was to be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from None


def escape(text: str) -> str:
    """A file name for screen and tables, which line breaks and control sequences in it would spoil.

    >>> print(escape("scan 1.png"), escape("two\\nlines.png"))
    scan 1.png 'two\\nlines.png'
    """
    return text if text.isprintable() else ascii(text)


def show_progress() -> Progress:
    """A progress bar on stderr; shows nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(*Progress.get_default_columns(), console=console, disable=not console.is_terminal, transient=True)
