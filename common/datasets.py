"""The data folder: where it lies, tables, downloads with checksum, archives, and a check that lists every fault.

Its files come from elsewhere: names inside tables and archives are never trusted to stay inside the folder.
"""

import csv
import http
import http.client
import io
import os
import shutil
import stat
import time
import unicodedata
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import NamedTuple, NoReturn

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from common.errors import UsageError
from common.files import hash_file, put_in_place, replace_file

MAX_TABLE_BYTES = 256 << 20
MAX_LINE_BYTES = 1 << 16
BLOCK = 1 << 20
ATTEMPTS = 3  # connections per download call without any progress before it gives up
TIMEOUT = 30  # seconds without an answer
MAX_ARCHIVE_BYTES = 64 << 30  # unpacked
MAX_ARCHIVE_MEMBERS = 1_000_000
MAX_COMPRESSION = 1032  # the most that deflate can reach


class FileFacts(NamedTuple):
    """What is known of an expected file; None = not known."""

    size: int | None = None  # bytes
    sha256: str | None = None


def find_data(package: str, given: Path | None = None) -> Path | None:
    """Return the folder of a package's data, or None where there is none.

    Looked for in this order: `given` (--data; UsageError where it is no folder), $REPLICATIONS_DATA/<package>,
    data/<package> below the working directory. An empty folder counts as none, except as `given`.
    """
    if given is not None:
        if not given.is_dir():
            raise UsageError(f"--data {given}: no such folder")
        return given
    root = os.environ.get("REPLICATIONS_DATA")
    places = ([Path(root) / package] if root else []) + [Path("data") / package]
    return next((place for place in places if place.is_dir() and any(place.iterdir())), None)


def has_control_characters(text: str) -> bool:
    """True for line breaks, NUL, escape sequences and the like, which spoil messages and tables."""
    return any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text)


def resolve_inside(folder: Path, relative: str, *, follow_links: bool = False) -> Path:
    """Return folder/relative as a path that does not leave the folder; it need not exist.

    Raises UsageError for absolute names, drive letters, '..', control characters, and symbolic links that lead out. With
    follow_links, links are accepted, for folders that the user laid out with links to large data.
    """
    if has_control_characters(relative):
        raise UsageError(f"{folder}: {relative[:200]!r}, a name in the data folder, holds control characters; correct it")
    windows = PureWindowsPath(relative)  # knows both separators and drive letters
    if not relative or windows.anchor or ".." in windows.parts:
        raise UsageError(f"{folder}: the name {relative[:200]!r} leaves the data folder; correct the table or archive")
    path = folder / relative
    # Path.resolve() would raise RuntimeError on a link to itself.
    if not follow_links and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"{folder}: {relative[:200]!r} is a link out of the data folder; put the file there itself")
    return path


def read_csv_table(path: Path, columns: Mapping[str, type], *, max_rows: int = 10_000_000) -> pd.DataFrame:
    """Read the named columns of a CSV file (UTF-8, comma, header line), strictly.

    columns: name -> str, int or float. Text stays as it stands (also 'NA' and '=1+1'); numbers must be whole or finite.
    Other columns are left out. Raises UsageError `file:line: what is wrong` for a missing or double column, a wrong
    count of fields, a wrong type, NUL bytes, binary content, a line over 64 KiB, a file over 256 MiB.
    """
    data = _read_table_bytes(path)
    lines = _iterate_fields(data)
    try:
        header = next(lines, [])
        missing = [name for name in columns if name not in header]
        if missing:
            found = ", ".join(name if name.isprintable() else repr(name) for name in header)[:300] or "nothing"
            raise UsageError(f"{path}:1: no column {', '.join(missing)} in the header line; found: {found}")
        double = [name for name in columns if header.count(name) > 1]
        if double:
            raise UsageError(f"{path}:1: column {double[0]} occurs twice")
        flat: list[str] = []  # all fields, row after row: a list of lists would keep the garbage collector busy
        for fields in lines:
            if len(fields) == len(header):
                flat.extend(fields)
            elif fields:  # an empty line is no row
                raise UsageError(f"{path}:{lines.line_num}: {len(fields)} fields where the header has {len(header)}")
    except csv.Error as error:
        raise UsageError(f"{path}:{lines.line_num}: not a CSV line: {error}") from None
    if len(flat) > max_rows * len(header):
        raise UsageError(f"{path}: {len(flat) // len(header)} rows, more than the {max_rows} expected")
    table = {}
    for name, kind in columns.items():
        texts = flat[header.index(name) :: len(header)]
        try:
            table[name] = texts if kind is str else _convert_numbers(texts, kind)
        except (ValueError, OverflowError):
            _raise_bad_number(path, data, name, kind)
    return pd.DataFrame(table).astype({name: str for name, kind in columns.items() if kind is str})


def _convert_numbers(texts: list[str], kind: type) -> np.ndarray:
    values = np.fromiter(map(kind, texts), np.int64 if kind is int else np.float64, len(texts))
    if not np.isfinite(values).all() or any("_" in text for text in texts):  # Python takes 1_0 for a number
        raise ValueError
    return values


def _read_table_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes are too many for a table; is it the right file?")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    nul = data.find(b"\0")
    if nul >= 0:
        raise UsageError(f"{path}:{data.count(10, 0, nul) + 1}: a NUL byte; this is not a CSV file")
    start = 0
    while len(data) - start > MAX_LINE_BYTES:
        end = data.rfind(b"\n", start, start + MAX_LINE_BYTES)
        if end < 0:
            line = data.count(b"\n", 0, start) + 1
            raise UsageError(f"{path}:{line}: a line of more than {MAX_LINE_BYTES} bytes; this is not a CSV table")
        start = end + 1
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text; save the table as UTF-8 CSV") from None
    return data


def _iterate_fields(data: bytes) -> Iterator[list[str]]:
    return csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), strict=True)


def _raise_bad_number(path: Path, data: bytes, name: str, kind: type) -> NoReturn:
    """Raise UsageError for the first text of a column that is no number, with its line."""
    lines = _iterate_fields(data)
    place = next(lines).index(name)
    for fields in filter(None, lines):
        try:
            _convert_numbers([fields[place]], kind)
        except (ValueError, OverflowError):
            noun = "a whole number" if kind is int else "a finite number"
            message = f"{path}:{lines.line_num}: column {name}: {fields[place][:60]!r} is not {noun}"
            raise UsageError(message) from None
    raise AssertionError(f"{path}: column {name} failed as a whole but not in any line")


def download(url: str, path: Path, sha256: str, size: int, *, page: str = "") -> Path:
    """Download a file, resuming from path.part where an earlier attempt stopped, and check its size and sha256.

    An existing file with the right checksum is left alone. The file appears under its name only when it is whole and
    right. page: where a person finds the file. Raises UsageError that names page, address, checksum and folder.
    """

    def fail(reason: str) -> UsageError:
        return UsageError(
            f"{path.name}: {reason}; to get it by hand: page {page or url}, address {url}, "
            f"check sha256 {sha256} ({size} bytes), put it into {path.parent}"
        )

    if not url.startswith(("https://", "http://")):
        raise fail("only http and https addresses are fetched")
    if path.exists():
        if path.stat().st_size == size and hash_file(path) == sha256:
            return path
        raise fail("the file is there already but has another checksum; move it away first")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if part.exists() and part.stat().st_size > size:
            part.unlink()
        have = part.stat().st_size if part.exists() else 0
        if shutil.disk_usage(path.parent).free < size - have:
            raise fail(f"the disk has no room for {size - have} more bytes")
        _fetch(url, part, size, fail)
        if hash_file(part) != sha256:
            part.unlink()
            raise fail("the downloaded file has another checksum and was removed: the offered file has changed")
        put_in_place(part, path)
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror or error}") from None
    return path


def _fetch(url: str, part: Path, size: int, fail: Callable[[str], UsageError]) -> None:
    """Append to `part` until it has `size` bytes."""
    started, failures, furthest = time.monotonic(), 0, 0
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(part.stem, total=size)
        while (have := part.stat().st_size if part.exists() else 0) < size:
            try:
                _receive(url, part, have, size, lambda done: progress.update(task, completed=done))
                reason = "the connection ended early"
            except urllib.error.HTTPError as error:
                if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise fail(f"the server answers {error.code} {error.reason}") from None
                part.unlink(missing_ok=True)
                reason = "the offered file is smaller than expected"
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                reason = f"no connection: {getattr(error, 'reason', None) or error or type(error).__name__}"
            except ValueError as error:
                raise fail(str(error)) from None
            have = part.stat().st_size if part.exists() else 0
            failures = 0 if have > furthest else failures + 1
            furthest = max(have, furthest)
            if failures >= ATTEMPTS:
                raise fail(f"{reason} at {have} of {size} bytes; the same command goes on from there")
    if not console.is_terminal:
        console.print(f"{part.stem}: {size / 1e6:.1f} MB in {time.monotonic() - started:.0f} s", highlight=False)


def _receive(url: str, part: Path, have: int, size: int, show: Callable[[int], None]) -> None:
    """One connection: append what it gives. Starts again from 0 where the server does not resume."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ValueError("the server resumes at another place than asked")
        have = have if resumed else 0
        with open(part, "ab" if resumed else "wb") as file:
            while block := answer.read1(BLOCK):
                if have + len(block) > size:
                    raise ValueError(f"the offered file is larger than {size} bytes")
                file.write(block)
                have += len(block)
                show(have)


def extract_zip(
    path: Path, folder: Path, *, max_bytes: int = MAX_ARCHIVE_BYTES, max_members: int = MAX_ARCHIVE_MEMBERS
) -> list[Path]:
    """Unpack a zip archive below `folder` and return the files; existing files are replaced.

    All members are checked before the first is written. Raises UsageError for a damaged archive, names that leave the
    folder, links and devices, encryption, double names, more than max_members, more than max_bytes unpacked or than the
    disk has free, and a compression that no image reaches.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(path, folder, members, max_bytes, max_members)
            folder.mkdir(parents=True, exist_ok=True)
            return [_extract_member(archive, member, folder) for member in members if not member.is_dir()]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UsageError(f"{path}: damaged or unsupported zip archive: {error}; download it again") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be unpacked into {folder}: {error.strerror or error}") from None


def _check_members(path: Path, folder: Path, members: list[zipfile.ZipInfo], max_bytes: int, max_members: int) -> None:
    if len(members) > max_members:
        raise UsageError(f"{path}: {len(members)} members, more than {max_members}; not unpacked")
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise UsageError(f"{path}: claims {total} bytes unpacked, more than {max_bytes}; not unpacked")
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if total > shutil.disk_usage(existing).free:
        raise UsageError(f"{path}: needs {total} bytes, more than the disk of {folder} has free; not unpacked")
    names = set()
    for member in members:
        try:
            resolve_inside(folder, member.filename)
        except UsageError as error:
            raise UsageError(f"{path}: not unpacked: {error}") from None
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UsageError(f"{path}: member {member.filename[:200]!r} is a link or device; not unpacked")
        if member.flag_bits & 1:
            raise UsageError(f"{path}: member {member.filename[:200]!r} is encrypted; not unpacked")
        if member.file_size > MAX_COMPRESSION * member.compress_size + 1024:
            raise UsageError(
                f"{path}: member {member.filename[:200]!r} claims a compression that no image reaches; not unpacked"
            )
        name = member.filename.rstrip("/").casefold()
        if name in names:
            raise UsageError(f"{path}: member {member.filename[:200]!r} occurs twice; not unpacked")
        names.add(name)


def _extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    target = resolve_inside(folder, member.filename)
    # The archive's reader gives no more than the claimed size and checks the CRC.
    with replace_file(target) as part, archive.open(member) as source, open(part, "wb") as file:
        shutil.copyfileobj(source, file, BLOCK)
    return target


def check_folder(
    folder: Path,
    expected: Mapping[str, FileFacts],
    *,
    pattern: str = "**/*",
    read: Callable[[Path], object] | None = None,
) -> list[str]:
    """List every problem of a data folder, one line each, sorted; an empty list means that it is whole.

    expected: name relative to the folder -> what is known of the file. pattern: the files that belong to the data set;
    those of them that are not expected are reported. read: opens a file as its reader does; what it raises makes the
    file unreadable. Problems: missing, unexpected, wrong size, wrong checksum, unreadable, files with equal content.
    """
    problems: list[str] = []
    present = {file.relative_to(folder).as_posix() for file in folder.glob(pattern) if file.is_file()}
    problems += [f"{name}: unexpected" for name in present - expected.keys()]
    same: dict[str, list[str]] = {}
    for name, facts in sorted(expected.items()):
        file = resolve_inside(folder, name, follow_links=True)
        if not file.is_file():
            problems.append(f"{name}: missing")
            continue
        try:
            size, checksum = file.stat().st_size, hash_file(file)
            if facts.size is not None and size != facts.size:
                problems.append(f"{name}: wrong size: {size} bytes, expected {facts.size}")
            elif facts.sha256 is not None and checksum != facts.sha256:
                problems.append(f"{name}: wrong checksum")
            if read is not None:
                read(file)
        except Exception as error:  # whatever a reader raises on a damaged file is a finding
            problems.append(f"{name}: unreadable: {' '.join(str(error).split())[:200] or type(error).__name__}")
            continue
        same.setdefault(checksum, []).append(name)
    problems += [f"{names[0]}: the same content as {', '.join(names[1:])}" for names in same.values() if len(names) > 1]
    return sorted(problems)
