"""Files that a table names, though file systems and editors have changed the name: matched, or the error names the near miss.

A table is written on one machine and the files lie on another. On the way names change their Unicode composition (macOS), the
case of their extension, slashes, and spaces at their ends: none of it makes another file. Other differences are told.
"""

import functools
import os
import re
import unicodedata
from pathlib import Path, PureWindowsPath

from common.data.folder import is_hidden, resolve_inside
from common.data.patients import normalise_patient
from common.errors import UsageError, quote

# Endings of one picture that was saved in another format; "" where an editor hides the ending.
PICTURES = {"", "bmp", "dcm", "gif", "jpe", "jpeg", "jpg", "pgm", "png", "tif", "tiff", "webp"}
COPIED = re.compile(r"( \(\d+\)| copy( \d+)?| - copy)$")


def find_listed(folder: Path, relative: str, *, follow_links: bool = False, tell: bool = True, named_in: str = "table") -> Path:
    """The file or folder that a table names, inside `folder`: the very name, else the one that differs only in Unicode
    composition, outer spaces and dots, invisible characters, the kind of slash or the case of the extension.

    Where there is nothing of the sort the path as it is named comes back, and reading it says so. tell: name the near miss; not
    where names of files name patients. named_in: what names the file, and is to be corrected. Raises UsageError as
    `resolve_inside`; for several files that differ only so; and with the near miss, where one differs by more (capitals, spaces
    or dashes, another picture format, a mark of a copy).
    """
    path = resolve_inside(folder, relative, follow_links=follow_links)
    if os.path.lexists(path):
        return path
    place = folder
    for part in (part for part in re.split(r"[\\/]", relative) if part not in ("", ".")):
        if os.path.lexists(place / part):
            place = place / part
            continue
        same, near = _index_names(place)
        found = same.get(fold_name(part), [])
        if len(found) == 1:
            place = place / found[0]
            continue
        others = found or near.get(_read_loosely(part), [])
        if not others:
            return path
        shown = " and ".join(map(repr, others[:3])) if tell else "a file whose name differs little"
        advice = "keep one of them" if found else f"correct the {named_in} or rename it"
        raise UsageError(f"{path}: no such file; {shown} is there: {advice}")
    return resolve_inside(folder, place.relative_to(folder).as_posix(), follow_links=follow_links) if place != folder else path


def find_named(header: Path, name: str) -> Path:
    """The file that a header names in its own folder, as `find_listed` finds it; its errors name the header and the file."""
    windows = PureWindowsPath(name)  # knows both separators and drive letters
    if windows.anchor or ".." in windows.parts:
        fault = "is an absolute path" if windows.anchor else "leaves the data folder"
        raise UsageError(f"{header}: the name {quote(name)} in it {fault}; put the file beside the header and correct the header")
    try:
        return find_listed(header.parent, name, named_in="header")
    except UsageError as error:
        reason = str(error).removeprefix(f"{header.parent / name}: ").removeprefix(f"{header.parent}: ")
        quoted = f"{quote(name)}: " if not reason.startswith(quote(name)) else ""
        raise UsageError(f"{header}: {quoted}{reason}") from None


def name_listed(folder: Path, relative: str) -> str:
    """The name, relative to `folder`, under which a listed file lies there; as it is listed where it is not found."""
    try:
        return find_listed(folder, relative).relative_to(folder).as_posix()
    except UsageError:
        return relative


def fold_name(name: str) -> str:
    """One spelling for names that only file systems and editors tell apart; no longer a name to open.

    >>> {fold_name(name) for name in ("Jose\u0301.JPG", "Jos\u00e9.jpg ", "Jos\u00e9.jpg")} == {"Jos\u00e9.jpg"}
    True
    """
    seen = "".join(letter for letter in unicodedata.normalize("NFC", name) if unicodedata.category(letter) != "Cf")
    stem, ending = _split(seen.strip().rstrip(". "))
    return f"{stem}.{ending}" if ending else stem


def _index_names(place: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Names in a folder by `fold_name` and by `_read_loosely`; none where there is no such folder."""
    try:
        return _index_folder(str(place), os.stat(place).st_mtime_ns)
    except (OSError, ValueError):  # ValueError: a NUL byte
        return {}, {}


@functools.lru_cache(maxsize=64)
def _index_folder(place: str, _changed: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    same: dict[str, list[str]] = {}
    near: dict[str, list[str]] = {}
    for name in sorted(os.listdir(place)):
        if not is_hidden(name):
            same.setdefault(fold_name(name), []).append(name)
            near.setdefault(_read_loosely(name), []).append(name)
    return same, near


def _split(name: str) -> tuple[str, str]:
    stem, dot, ending = name.rpartition(".")
    return (stem, ending.lower()) if dot and stem and re.fullmatch("[A-Za-z0-9]{1,5}", ending) else (name, "")


def _read_loosely(name: str) -> str:
    """One spelling for names that a person may take for each other."""
    stem, ending = _split(fold_name(name))
    again, doubled = _split(stem)
    if ending and doubled == ending:  # a.jpg.jpg, where endings are hidden
        stem = again
    plain = COPIED.sub("", normalise_patient(stem).casefold())
    return re.sub(r"[\s_-]", "", plain) + ("" if ending in PICTURES else f".{ending}")
