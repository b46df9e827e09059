"""From a source of pictures to a prepared data set with its list of faults, and the `data` command that tells what is there.

A reader gives (images, cases, notes): images uint8 (n, height, width), cases (see common.cases.table) in the same order, notes
with `faults` (one text a fault) and whatever it counted.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from common.cases.prepared import is_prepared, write_prepared
from common.data.folder import find_data
from common.data.pictures import hash_list
from common.errors import UsageError

SHOWN_FAULTS = 3

Read = tuple[np.ndarray, pd.DataFrame, dict[str, Any]]


@dataclass(frozen=True)
class Source:
    """Where pictures come from."""

    kind: str  # which reader takes it; each package has its own
    path: Path
    name: str  # shown in tables
    synthetic: bool  # phantoms
    note: str = ""
    substitute: bool = False  # other data than the paper's
    private: bool = False  # no picture leaves the run folder with published results


@dataclass(frozen=True)
class Finding:
    """What the `data` command found of one source."""

    name: str
    kind: str
    path: str
    synthetic: bool
    part: str = ""  # of the paper's data, where it has several
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # heading -> what -> how many
    notes: Sequence[str] = ()
    problems: Sequence[str] = ()  # all of them; none: the source is whole


def prepare_source(
    source: Source,
    origin: Mapping[str, Any],
    folder: Path,
    read: Callable[[], Read],
    classes: Sequence[str],
    module: str,
    *,
    skip_unreadable: bool,
) -> None:
    """Write `folder`/images.npy (uint8 (n, side, side, 1)), cases.csv and data.json (where it comes from).

    origin: what the prepared set depends on (JSON); the folder is left as it is if it already holds the same data set, whole.
    read: reads the source, only if it must be; classes: names of the labels 0, 1, ...; module: whose command lists all faults.
    The folder appears at once. Raises UsageError that names every fault in number and the first ones in words; with
    `skip_unreadable` faulty files are left out and counted in data.json.
    """
    if is_prepared(folder, dict(origin), skip_unreadable):
        return
    images, cases, notes = read()
    faults = notes.pop("faults")
    if faults and not skip_unreadable:
        raise UsageError(f"{source.path}: {summarize_faults(faults, module)}; repair them or skip and count them")
    if cases["label"].nunique() < 2:
        raise UsageError(f"{source.path}: {len(cases)} readable pictures with fewer than two classes; nothing to learn")
    about = {name: getattr(source, name) for name in ("name", "note", "synthetic", "substitute", "private")}
    info = {
        "origin": origin,
        **about,
        "cases": len(cases),
        "patients": int(cases["patient_id"].nunique()),
        "classes": count_classes(cases, classes),
        "files_sha256": hash_list(cases["sha256"]),
        "unreadable": faults,
        **notes,
    }
    write_prepared(folder, images, cases, info)


def drop_contradictions(source: Source, read: Read, apart: str = "path") -> Read:
    """Leave out pictures that bear both labels, under several values of the column `apart`; each becomes one fault.

    Paths in faults become relative to the source.
    """
    images, cases, notes = read
    for sha256, group in cases.groupby("sha256"):
        if group["label"].nunique() > 1 and group[apart].nunique() > 1:
            shown = ", ".join(group["path"].unique()[:SHOWN_FAULTS])
            notes["faults"].append(f"the same picture has both labels: {shown} ({len(group)} cases)")
            keep = (cases["sha256"] != sha256).to_numpy()
            cases, images = cases[keep].reset_index(drop=True), images[keep]
    notes["faults"] = [fault.replace(f"{source.path}/", "") for fault in notes["faults"]]
    return images, cases, notes


def count_classes(cases: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    """Cases of each class, by its name."""
    return {name: int((cases["label"] == label).sum()) for label, name in enumerate(classes)}


def summarize_faults(faults: Sequence[str], module: str) -> str:
    """Their number, the first ones, and where all are listed."""
    shown = "; ".join(faults[:SHOWN_FAULTS])
    more = len(faults) - SHOWN_FAULTS
    tail = f"; and {more} more (python -m {module} lists all)" if more > 0 else ""
    return f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: {shown}{tail}"


# The command `python -m replications.<paper>.data`


def build_parser(package: str, description: str | None) -> argparse.ArgumentParser:
    """The flags that every package's `data` command has."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{package}.data", description=description)
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="data folder; default: $REPLICATIONS_DATA/<package> or data/<package>")
    add("--json", action="store_true", help="print the findings as JSON")
    return parser


def explain_data(
    package: str, given: argparse.Namespace, check: Callable[[Path | None], list[Finding]], how_to_get: Mapping[str, str]
) -> int:
    """Print what is there and whether it is whole, and for each missing part how to get it.

    check: data folder (None: there is none) -> what was found in it. how_to_get: part -> text. Returns 0 if all that was found is
    whole, 2 if there is nothing or it has problems.
    """
    folder = find_data(package, given.data)
    findings = check(folder)
    if given.json:
        content = {"folder": str(folder) if folder else None, "sources": [asdict(finding) for finding in findings]}
        print(json.dumps(content, indent=1, sort_keys=True))
    else:
        console = Console(highlight=False, soft_wrap=True, markup=False)
        console.print(f"data folder: {folder or 'none found; give one with --data or in $REPLICATIONS_DATA'}")
        for finding in findings:
            console.print()
            _show_finding(console, finding)
        for part, text in how_to_get.items():
            if part not in {finding.part for finding in findings}:
                console.print(f"\n{text}")
    return 0 if findings and not any(finding.problems for finding in findings) else 2


def _show_finding(console: Console, finding: Finding) -> None:
    console.print(f"{finding.name} in {finding.path}{' (synthetic)' if finding.synthetic else ''}")
    for name, counts in finding.counts.items():
        console.print(f"  {name}: " + ", ".join(f"{what} {count}" for what, count in counts.items()))
    for note in finding.notes:
        console.print(f"  note: {note}")
    for problem in finding.problems:
        console.print(f"  problem: {problem}")
    faults = len(finding.problems)
    console.print("  whole" if not faults else f"  {faults} problem{'s' if faults > 1 else ''}")
