"""Near-duplicates that the search of a whole set missed and the proof of a split found: noted in --out, heeded from then on."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from common.errors import UsageError
from common.files import load_json, write_text_atomic

FILE = "copies.json"  # in the folder of --out
Noted = tuple[str, str, float]  # sha256 of two files, similarity


def read_noted(out: Path) -> tuple[Noted, ...]:
    """The near-duplicates that are noted in a folder of runs, sorted; none where none are. UsageError for a damaged file, and
    for what is none.

    >>> read_noted(Path("no/such/folder"))
    ()
    """
    path = out / FILE
    if not os.path.lexists(path):  # a folder is refused now, not after the proof
        return ()
    try:
        return tuple(sorted((str(a), str(b), float(similarity)) for a, b, similarity in load_json(path)["copies"]))
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UsageError(f"{path}: damaged; remove it, and the next run finds the copies again") from None


def note_copies(out: Path, copies: Sequence[Noted]) -> int:
    """Note near-duplicates beside those that are noted; returns how many are new.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     note_copies(Path(folder), [("a", "b", 0.9)]), note_copies(Path(folder), [("a", "b", 0.9), ("a", "c", 0.8)])
    ...     read_noted(Path(folder))
    (1, 1)
    (('a', 'b', 0.9), ('a', 'c', 0.8))
    """
    known = {noted[:2]: noted for noted in read_noted(out)}
    new = {(a, b): (a, b, round(similarity, 3)) for a, b, similarity in copies if (a, b) not in known}
    write_text_atomic(out / FILE, json.dumps({"copies": sorted((known | new).values())}, indent=1) + "\n")
    return len(new)
