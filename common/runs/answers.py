"""How every `predict` answers: predictions.csv, a table or JSON on stdout, warnings and faults on stderr, the exit code."""

import contextlib
import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.csv_text import read_table, write_table
from common.errors import UsageError, to_one_line
from common.files import check_file, slug
from common.runs.networks import writing

TABLE = "predictions.csv"
ROUNDED = 0.01  # by which probabilities in half precision may miss 1
SOME_UNREAD = 1  # exit code
SHEET_NAME = re.compile(r"[0-9]{3,}-[a-z0-9-]*\.png")
SHEET = "sheet"  # column: the file of the picture that belongs to the line; in the table on the screen it is left out


def refuse_unread(found: Sequence[Any], faults: Sequence[str]) -> None:
    """UsageError where nothing could be read; all reasons but the last are printed, each a line."""
    if found:
        return
    for fault in faults[:-1]:
        print_fault(fault)
    raise UsageError(faults[-1] if faults else "nothing to look at")


def start_answers(out: Path, notes: Sequence[str], faults: Sequence[str]) -> None:
    """Make the folder; say on stderr what stands beside every number, then what could not be read."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            check_file(out / TABLE)
    for note in notes:
        print(to_one_line(note), file=sys.stderr)
    for fault in faults:
        print_fault(fault)


def print_fault(fault: str) -> None:
    """One line on stderr."""
    print(f"error: {to_one_line(fault)}", file=sys.stderr)


def check_scores(scores: np.ndarray, what: str) -> np.ndarray:
    """The scores of networks, (..., classes); UsageError where one is no number: its training diverged; and where those of a
    picture are no probabilities: another network. what: the networks that were asked."""
    if not np.isfinite(scores).all():
        raise UsageError(f"{what}: a network answers with what is no number, so its training diverged; ask another row or run")
    if (scores < -ROUNDED).any() or (np.abs(scores.sum(axis=-1) - 1) > ROUNDED).any():
        raise UsageError(f"{what}: a network answers with what are no probabilities: it is none of this run; ask another run")
    return scores


def spread_over(scores: np.ndarray) -> np.ndarray | None:
    """Standard deviation over the first axis (networks, ...), rounded; None for one network, which has none.

    >>> spread_over(np.array([[0.25], [0.75]])).tolist(), spread_over(np.array([[0.25]]))
    ([0.3536], None)
    """
    return scores.std(axis=0, ddof=1).round(4) if len(scores) > 1 else None


def show_answers(
    table: pd.DataFrame,
    out: Path,
    *,
    as_json: bool,
    about: Mapping[str, Any],
    notes: Sequence[str],
    faults: Sequence[str],
    last: str,
    images: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """Write predictions.csv and print table or JSON; returns the exit code: 0, or 1 where some files could not be read.

    The sheets that an earlier call left there, by its predictions.csv, and that this one did not draw anew go.

    about: what was asked, for JSON; notes: as printed by `start_answers`; images: lines of JSON, where they say more than the
    table. Columns without any value are left out.
    """
    with writing(out):
        _remove_sheets(out, keep=set(table.get(SHEET, ())))
    table = table.dropna(axis=1, how="all")
    table = table.astype(dict.fromkeys(table.select_dtypes("float32"), float)).round(6)  # 0.1, not 0.1000000015
    with writing(out):
        write_table(table, out / TABLE)
    if as_json:
        lines = json.loads(table.to_json(orient="records")) if images is None else images
        found = {**about, "notes": list(notes), "not_read": [*map(to_one_line, faults)], "out": str(out), "images": lines}
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        shown = table.drop(columns=SHEET, errors="ignore").astype(object)
        print(shown.where(shown.notna(), "").to_string(index=False, float_format="{:.4f}".format))
        print(last)
    return SOME_UNREAD if faults else 0


def _remove_sheets(out: Path, keep: Collection[Any]) -> None:
    """Remove the pictures that the table of an earlier call lists; nothing else, whatever stands in that table."""
    try:
        listed = read_table(out / TABLE, dtype=str, keep_default_na=False)[SHEET]
    except (OSError, ValueError, KeyError):
        return
    for name in listed:
        path = out / name
        if SHEET_NAME.fullmatch(name) and name not in keep and path.is_file() and not path.is_symlink():
            path.unlink()


def name_sheet(number: int, name: str) -> str:
    """File name of the picture that belongs to a line; number: of the line, from 1; name: as the line shows it.

    >>> name_sheet(7, "left/Scan A.png")
    '007-left-scan-a-png.png'
    """
    return f"{number:03d}-{slug(name)[:60]}.png"
