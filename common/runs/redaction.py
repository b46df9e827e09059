"""What of a run may leave its folder: who the patients are, and what files are called, stays there.

A public collection says what its ids look like (`Source.public_ids`), and these stay as they are. All others become keyed
pseudonyms, equal ones equal ones, so that metrics and intervals can be computed again; the key stays in the run folder. Where any
id is not public, only numbers are kept of what a reader noted, as any text and any name in it may be a user's.
"""

import contextlib
import hmac
import os
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from common.errors import UsageError
from common.records.results import DatasetEntry

KEY = "pseudonyms.key"
IDS = {"case_id": "case", "patient_id": "patient"}  # column -> how its pseudonyms begin
DIGITS = 16  # hexadecimal, of a pseudonym: no two of a million are the same
SHA256 = re.compile(r"[0-9a-f]{64}")
# What a fault is called where its own words may not be: the first whose sign stands in it.
REASONS = (
    ("no such file", ("no such file",)),
    ("both labels", ("both labels",)),
    ("listed twice", ("twice",)),
    ("near-duplicate of another patient", ("near-duplicate",)),
    ("too large", ("more than", "claims", "too many", "larger than")),
    ("damaged or cut", ("damaged", "cut", "early", "truncated", "is empty", "holds no picture")),
    ("label, patient or place not valid", ("label", "patient", "box ")),
)
OTHER = "not of the kind that is read"


def read_key(folder: Path) -> bytes:
    """The key of a run's pseudonyms; made at the first call, for its owner alone. UsageError for a damaged one."""
    path = folder / KEY
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    try:
        text = path.read_text(encoding="ascii").strip()
        path.chmod(0o600)
    except (OSError, ValueError):
        text = ""
    if not SHA256.fullmatch(text):
        raise UsageError(f"{path}: no key of 64 hexadecimal digits; delete it, and publish again: the pseudonyms become others")
    return bytes.fromhex(text)


def find_private(predictions: pd.DataFrame, public: Iterable[str]) -> set[str]:
    """The ids of patients and cases that are none of a public collection's.

    public: the regular expressions of those; "" is none.

    >>> table = pd.DataFrame({"case_id": ["mdb001", "1.png"], "patient_id": ["ann", "ann"]})
    >>> sorted(find_private(table, ["mdb[0-9]{3}", ""]))
    ['1.png', 'ann']
    """
    known = [re.compile(pattern) for pattern in public if pattern]
    ids = {str(text) for name in IDS for text in predictions[name].unique()}
    return {text for text in ids if not any(pattern.fullmatch(text) for pattern in known)}


def hide_ids(predictions: pd.DataFrame, private: Collection[str], key: bytes) -> pd.DataFrame:
    """A predictions table with pseudonyms instead of the private ones of its ids.

    >>> table = pd.DataFrame({"case_id": ["mdb001", "1.png"], "patient_id": ["ann", "ann"]})
    >>> hide_ids(table, {"1.png", "ann"}, b"key").to_dict("list")
    {'case_id': ['mdb001', 'case-abc364277960bdb6'], 'patient_id': ['patient-96e3e668ec45f1ff', 'patient-96e3e668ec45f1ff']}
    """
    names = {(name, text): _name(noun, text, key) for name, noun in IDS.items() for text in private}
    return predictions.assign(**{name: [names.get((name, text), text) for text in predictions[name]] for name in IDS})


def _name(noun: str, text: str, key: bytes) -> str:
    return f"{noun}-{hmac.new(key, f'{noun} {text}'.encode(), 'sha256').hexdigest()[:DIGITS]}"


def reduce_entry(entry: DatasetEntry, *, public: bool) -> DatasetEntry:
    """A data set as it may be published: its unreadable files counted by reason; unless it is `public`, of all that its reader
    noted only numbers, checksums, and how many entries a list or table had.

    >>> counts = {"cases": 2, "patients": 2, "classes": {"a": 1, "b": 1}, "files_sha256": None, "splits": {}, "radiographs": 2}
    >>> about = {"dataset": "hips", "name": "of the user", "note": "", "synthetic": False, "doubtful": {"ann-1": "cut"}}
    >>> reduced = reduce_entry(DatasetEntry(**about, **counts, unreadable=["ann.png: no such file"]), public=False)
    >>> reduced.unreadable, reduced.unreadable_reasons, reduced.further
    ([], {'no such file': 1}, {'doubtful': 1, 'radiographs': 2})
    """
    reasons = Counter(entry.unreadable_reasons) + count_reasons(entry.unreadable)
    changes: dict[str, Any] = {"unreadable": [], "unreadable_reasons": dict(sorted(reasons.items()))}
    known = entry.model_dump() | changes
    if not public:
        for name, value in entry.further.items():
            if (kept := _count(value)) is None:
                del known[name]
            else:
                known[name] = kept
    return DatasetEntry.model_validate(known)


def _count(value: Any) -> Any:
    """A number, a truth or a checksum as it is, of a list or table the number of its entries; None for text."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and SHA256.fullmatch(value)):
        return value
    return len(value) if isinstance(value, list | tuple | dict) else None


def count_reasons(faults: Iterable[str]) -> Counter[str]:
    """How many faults have which reason: none of their words, only those of REASONS.

    >>> sorted(count_reasons(["ann.png: no such file", "ben.png: damaged picture (x)", "cem.png: grey"]).items())
    [('damaged or cut', 1), ('no such file', 1), ('not of the kind that is read', 1)]
    """
    return Counter(next((reason for reason, signs in REASONS if any(sign in fault for sign in signs)), OTHER) for fault in faults)
