"""What a user gives to `predict`: files and folders, told apart by name, read one by one; places in volumes.

A file that cannot be read is named, and the others are looked at all the same.
"""

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from common.data.dicom import mute_logs
from common.data.folder import walk_files
from common.data.listing import Window, read_window
from common.errors import UsageError
from common.runs.networks import escape

NEGATIVE = re.compile(r"-[.0-9]")
DIRECTORY = "DICOMDIR"  # the list on a disc of DICOM files, itself one by its content
Point = tuple[float, float, float]
WINDOW_HELP = "grey levels of black and white in pictures (PNG, JPEG, TIFF): what the columns black,white of a table of cases say"
ItemT = TypeVar("ItemT")
ReadT = TypeVar("ReadT")


def parse_window(text: str) -> Window:
    """BLACK,WHITE of the command line.

    >>> parse_window("100,4100")
    (100, 4100)
    """
    words = text.split(",")
    try:
        window = read_window(words) if len(words) == 2 else None
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if window is None:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not BLACK,WHITE, two grey levels")
    return window


def refuse_window(window: Window | None) -> None:
    """Raise UsageError for a window that what is read would not heed."""
    if window:
        raise UsageError("--window is for pictures (PNG, JPEG, TIFF); DICOM, scans and volumes say what their values are")


def join_negative(argv: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The command line with the value of a flag joined to it where it begins with a minus, which argparse takes for a flag.

    >>> join_negative(["scan.mhd", "--at", "-14.2,7,-3", "--run", "r"], ["--at"])
    ['scan.mhd', '--at=-14.2,7,-3', '--run', 'r']
    """
    joined: list[str] = []
    for text in argv:
        if joined and joined[-1] in flags and NEGATIVE.match(text):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


def parse_point(text: str) -> Point:
    """X,Y,Z in mm, as an argument; raises argparse's error for anything else.

    >>> parse_point("-14.2,7,1e2")
    (-14.2, 7.0, 100.0)
    """
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        x = y = z = math.nan
    if not all(map(math.isfinite, (x, y, z))):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not X,Y,Z in mm")
    return x, y, z


def list_inputs(paths: Iterable[Path], accepts: Callable[[Path], bool]) -> tuple[list[Path], list[str]]:
    """Files as they are given, and of each folder those below it that are accepted; and the faults: folders without any.

    Hidden files and what a Mac adds are left out; links are followed.
    """
    files: list[Path] = []
    faults = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = [file for file in walk_files(path) if file.name.upper() != DIRECTORY and accepts(file)]
        files += found
        if not found:
            faults.append(
                f"{escape(str(path))}: a folder without a file that can be read here; see --help for the kinds of files"
            )
    return files, faults


def name_apart(files: Sequence[Path]) -> list[str]:
    """A name for each file: its own, with as many of the folders above it as tell it from the others.

    >>> name_apart([Path("a/scan.png"), Path("b/scan.png"), Path("b/other.png"), Path("b/other.png")])
    ['a/scan.png', 'b/scan.png', 'other.png', 'other.png']
    """
    parts = {file: Path(os.path.abspath(file)).parts for file in files}
    tails: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for whole in set(parts.values()):
        for count in range(1, len(whole) + 1):
            tails.setdefault(whole[-count:], set()).add(whole)
    names = {}
    for file, whole in parts.items():
        alone = (whole[-count:] for count in range(1, len(whole) + 1) if len(tails[whole[-count:]]) == 1)
        names[file] = escape("/".join(next(alone, whole)))
    return [names[file] for file in files]


def name_file(path: Path, error: UsageError) -> UsageError:
    """The same error with the file in front, once, and safe to print."""
    return UsageError(f"{escape(str(path))}: {str(error).removeprefix(f'{path}: ')}")


def read_each(items: Iterable[ItemT], read: Callable[[ItemT], ReadT], faults: list[str]) -> list[tuple[ItemT, ReadT]]:
    """What `read` makes of each item; of the items that it refuses, its reasons are added to `faults`."""
    found = []
    for item in items:
        try:
            with mute_logs("PIL", "pydicom"):
                found.append((item, read(item)))
        except UsageError as error:
            faults.append(str(error))
        except MemoryError:
            faults.append(f"{escape(str(item))[:200]}: does not fit into memory")
    return found
