"""What a reader is to the fuzzing, and what every listing of faults has to keep to."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.data.folder import has_control_characters
from common.errors import UsageError

MOST_LETTERS = 300  # of a message, without the folder of the file


@dataclass(frozen=True)
class Reader:
    """write: folder -> the file to damage, written there with all that belongs to it; read: that file -> nothing, or UsageError.

    unpack: content -> what of it is damaged; mend: that, damaged -> content, such as with its checksum renewed. sealed: nothing
    but the very content is accepted. warns: warnings of the libraries beneath are no fault.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], None]
    mend: Callable[[bytes], bytes] = bytes
    unpack: Callable[[bytes], bytes] = bytes
    sealed: bool = False
    warns: bool = False


def check_message(text: str, folder: Path) -> None:
    """One line, and short. AssertionError, else. Marks that only turn the direction of writing are shown by `to_one_line`."""
    plain = text.replace(f"{folder}/", "")
    assert not has_control_characters(plain), f"control characters: {plain!r}"[:300]
    assert len(plain) < MOST_LETTERS, f"{len(plain)} letters: {plain[:120]} ... {plain[-60:]}"


def is_chosen(path: Path) -> bool:
    """Whether this content is one in fifteen, for what would take too long for all."""
    return zlib.crc32(path.read_bytes()) % 15 == 0


def raise_first(faults: Sequence[str], folder: Path) -> None:
    """UsageError with the first fault of a listing, after all were checked."""
    for fault in faults:
        check_message(fault, folder)
    if faults:
        raise UsageError(faults[0])


def check_read(images: np.ndarray, cases: pd.DataFrame, notes: dict, folder: Path, labels: int = 2) -> None:
    """Pictures and cases fit together, and every fault is one line."""
    assert len(images) == len(cases)
    assert cases["label"].isin(range(labels)).all()
    assert cases["case_id"].is_unique
    raise_first(notes["faults"], folder)
