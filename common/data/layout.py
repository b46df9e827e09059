"""A data folder that is not laid out as a package expects it: what is there, what is wanted, and what to do."""

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from common.data.folder import find_data, list_entries, show_entries
from common.data.names import find_listed
from common.errors import UsageError

PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dcm", ".bmp", ".pgm")

# Folder of a collection -> names in it (or patterns of them), one of which tells it; none: any content.
Layout = Mapping[str, Sequence[str]]


def show_layout(folder: Path, wanted: Layout) -> str:
    """What is in a folder and what is wanted there, in one line: "found in DIR: a.csv, b/; wanted: DIR/hips/cases.csv, or ...".

    >>> show_layout(Path("no/such/folder"), {"hips": ["cases.csv"], "ready": []})
    'found in no/such/folder: nothing; wanted: no/such/folder/hips/cases.csv or ready/'
    """
    names = [f"{name}/{' or '.join(marks[:1])}" for name, marks in wanted.items()]
    return f"found in {folder}: {show_entries(folder)}; wanted: {folder}/{' or '.join(names)}"


def refuse_layout(package: str, folder: Path, wanted: Layout, module: str) -> None:
    """Raise UsageError for a data folder in which nothing was recognised, if it was asked for (--data) or if what it holds lies
    at the wrong level: the tree found, the tree wanted, and what to do. module: the `data` command that says what to put there.

    A folder found without being asked for, with other things in it, is none of the package's data, and left alone.
    """
    if not list_entries(folder):
        return
    advice = advise_layout(folder, wanted)
    if advice or not _is_found_unasked(package, folder):
        tell = f"python -m {module} says what to get, and where"
        raise UsageError(f"{folder}: no data of this paper; {show_layout(folder, wanted)}; {advice or tell}")


def _is_found_unasked(package: str, folder: Path) -> bool:
    found = find_data(package)
    return found is not None and os.path.realpath(found) == os.path.realpath(folder)


def advise_layout(folder: Path, wanted: Layout) -> str:
    """What to do where the data lie a level too high or too low, or under another spelling; "" where nothing of it is seen.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "cases.csv").touch()
    ...     advise_layout(Path(folder), {"hips": ["cases.csv"]}).replace(folder, "DIR")
    'put the content of DIR into DIR/hips/'
    """
    for name, marks in wanted.items():
        if marks and _holds(folder, marks):
            if (itself := _find_itself(folder, name)) is not None:
                return f"this is {name}/ itself: give its parent, {itself.parent}"
            return f"put the content of {folder} into {folder}/{name}/"
    for entry in list_entries(folder):
        inner = next((name for name, marks in wanted.items() if _holds(entry / name, marks)), None)
        if inner:
            return f"{inner}/ lies a level lower: give {entry}"
    for name, marks in wanted.items():
        try:
            place = find_listed(folder, name)
            for mark in marks if place.is_dir() else ():
                find_listed(place, mark)
        except UsageError as error:
            return str(error)
        if place.is_dir() and marks and place.name == name and list_entries(place):
            return f"{name}/ is there without {' or '.join(marks)}; found in it: {show_entries(place)}"
    for name, marks in wanted.items():
        if list_entries(folder) and (itself := _find_itself(folder, name)) is not None:
            lacking = f", without {' or '.join(marks)}" if marks else ""
            return f"this is {name}/ itself{lacking}: give its parent, {itself.parent}"
        for above in Path(os.path.abspath(folder)).parents[:2]:
            if above.name == name and _holds(above, marks):
                return f"this lies in {name}/: give its parent, {above.parent}"
    above = Path(os.path.abspath(folder)).parent
    for name, marks in wanted.items():
        if marks and _holds(above, marks):
            return f"the folder above looks like {name}/: put the content of {above} into {above}/{name}/, and give {above}"
    if any(entry.suffix.lower() in PICTURES for entry in list_entries(folder)):
        first, marks = next(iter(wanted.items()))
        return f"these are the pictures themselves: put them into {folder}/{first}/, with {' or '.join(marks) or 'their tables'}"
    return ""


def _find_itself(folder: Path, name: str) -> Path | None:
    """The folder, if it is called so: as it was given, before links are followed."""
    return next((path for path in (Path(os.path.abspath(folder)), folder.resolve()) if path.name == name), None)


def _holds(place: Path, marks: Sequence[str]) -> bool:
    return any(_has(place, mark) for mark in marks) if marks else bool(list_entries(place))


def _has(place: Path, mark: str) -> bool:
    first, _, rest = mark.partition("/")
    found = [entry for entry in list_entries(place) if fnmatch(entry.name, first)]
    return any(_has(entry, rest) for entry in found) if rest else bool(found)
