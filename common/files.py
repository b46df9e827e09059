"""Files: hashes, names, locks, and writing whole or not at all: a reader sees the old content or the new, never a part."""

import contextlib
import fcntl
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UsageError

LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<pid>[0-9]+)\.(?P<kind>part|old)", re.DOTALL)  # beside NAME, while it is replaced
MOST_DIGITS = 1000  # of a whole number in JSON: more take long to read
HIDDEN_FOLDER = "/path/to/"  # instead of absolute ones
FOLDERS = re.compile(r"(?<![\w:/.])/(?!path/to(?![^\s:;,'\"()]))(?:[^\s/:;,'\"()]+/)+(?=[^\s/:;,'\"()])")  # of an absolute path


KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, 64 hexadecimal digits. Raises OSError and UsageError as `check_file`."""
    check_file(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path) -> os.stat_result:
    """Facts of a file that may be opened. Raises OSError where there is none, UsageError for a folder, pipe, socket or device:
    opening it may wait for ever, reading it may never end.

    >>> check_file(Path("/dev/zero"))
    Traceback (most recent call last):
    common.errors.UsageError: /dev/zero: a device, not a file
    """
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{path}: {KINDS.get(stat.S_IFMT(facts.st_mode), 'a device')}, not a file")
    return facts


def slug(text: str) -> str:
    """Text as a file name: lower case, letters and digits joined by hyphens.

    >>> slug("LUNA16 / CNN, 10 % labels")
    'luna16-cnn-10-labels'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def hide_folders(content: Any) -> Any:
    """The same JSON content with absolute paths in its texts cut down to their last part.

    >>> hide_folders({"reason": "/home/ann/weights/net.h5: not here; get it from https://example.org/a/net.h5"})
    {'reason': '/path/to/net.h5: not here; get it from https://example.org/a/net.h5'}
    >>> hide_folders(["crop / whole", "3/4", "/path/to: not here"])
    ['crop / whole', '3/4', '/path/to: not here']
    """
    return map_texts(content, lambda text: FOLDERS.sub(HIDDEN_FOLDER, text))


def map_texts(content: Any, change: Callable[[str], str]) -> Any:
    """The same JSON content with every text, keys aside, changed.

    >>> map_texts({"a": ["b", 1]}, str.upper)
    {'a': ['B', 1]}
    """
    if isinstance(content, dict):
        return {key: map_texts(value, change) for key, value in content.items()}
    if isinstance(content, list):
        return [map_texts(value, change) for value in content]
    return change(content) if isinstance(content, str) else content


def hide_places(text: str, places: Iterable[Path]) -> str:
    """The text with `/path/to` instead of each of these files and folders, as it is named and with its whole path.

    A name without a slash may be a plain word of the text ("runs"): it is a place only before a slash, or before a colon at
    the head of the text, as errors name what they are about.

    >>> hide_places("my nets/net.h5: not here, which runs needs", [Path("my nets"), Path("runs"), Path(".")])
    '/path/to/net.h5: not here, which runs needs'
    >>> hide_places("runs: no such folder; what runs it", [Path("runs")])
    '/path/to: no such folder; what runs it'
    """
    forms = {form for place in places for form in (str(place), os.path.abspath(place), os.path.realpath(place))}
    for form in sorted(forms - {".", "/"}, key=len, reverse=True):
        name = re.escape(form)
        found = rf"{name}(?![\w.-])" if "/" in form else rf"{name}(?=/)|^{name}(?=:)"
        text = re.sub(rf"(?<![\w./-])(?:{found})", "/path/to", text)
    return text


@contextlib.contextmanager
def hold_lock(path: Path, wait: bool) -> Iterator[None]:
    """Hold an exclusive lock; without `wait`, a lock held elsewhere is a usage error. The kernel frees it on any death.

    Raises UsageError for a pipe in the place of the file, which would wait for ever; OSError for a folder.
    """
    if os.path.exists(path) and not os.path.isdir(path):
        try:
            check_file(path)
        except UsageError as error:
            raise UsageError(f"{error}; remove it") from None
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise UsageError(f"{path.parent}: another run works in this folder; wait for it or choose another --out") from None
        yield


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; without an exception it takes the place of `path`, else it goes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        _rename(temporary, path)
    except OSError as error:  # one of a write names no file, one of opening the temporary one
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(temporary)
        if named.startswith(str(temporary)):
            error.filename = str(path) + named.removeprefix(str(temporary))
        raise
    finally:
        _remove(temporary)


@contextlib.contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """The same for a folder: a new, empty one to fill, which takes the place of `path` with all that it holds."""
    with replace_file(path) as temporary:
        temporary.mkdir()
        yield temporary


def put_in_place(temporary: Path, final: Path) -> None:
    """Rename a finished file or folder to its final name, after its bytes are on disk; a folder that stands there goes, and
    stands there again if the renaming fails."""
    clear_leftovers(final, keep=temporary)
    _rename(temporary, final)


def clear_leftovers(path: Path, keep: Path | None = None) -> None:
    """Undo what killed processes left beside `path`: a folder that was moved aside for a new one (.NAME.PID.old) comes back if
    nothing stands in its place, else it goes; unfinished content (.NAME.PID.part) goes, but for `keep`.

    What another process of this machine that is alive writes is left alone.
    """
    # By name alone first: a folder may hold very many files, each written so.
    for name in sorted(name for name in os.listdir(path.parent) if name.startswith(f".{path.name}.")):
        leftover, found = path.with_name(name), LEFTOVER.fullmatch(name)
        if not found or found["name"] != path.name or leftover == keep or _is_busy(int(found["pid"])):
            continue
        with contextlib.suppress(OSError):  # another process may be clearing up as well
            if found["kind"] == "old" and not os.path.lexists(path):
                leftover.rename(path)
            else:
                _remove(leftover)


def _rename(temporary: Path, final: Path) -> None:
    folder = temporary.is_dir()
    for path in [*(item for item in temporary.rglob("*") if item.is_file()), temporary] if folder else [temporary]:
        _sync(path)
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    replaced = folder and os.path.lexists(final)
    try:
        if replaced:
            os.replace(final, old)
        os.replace(temporary, final)
    except BaseException:
        if replaced and os.path.lexists(old) and not os.path.lexists(final):
            old.rename(final)
        raise
    _sync(final.parent)
    if replaced:
        _remove(old)


def _is_busy(pid: int) -> bool:
    """Whether this is another process, and alive."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _remove(path: Path) -> None:
    """Remove a file, link or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text, line ends as they are, whole or not at all."""
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_gzip_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text, packed, whole or not at all; the same text gives the same bytes."""
    with (
        replace_file(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as packed,
    ):
        packed.write(text.encode("utf-8"))


def write_json_atomic(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all: keys sorted, floats to 6 significant digits (see `to_plain`)."""
    text = json.dumps(to_plain(content, digits=6), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text_atomic(path, text + "\n")


def load_json(path: Path) -> Any:
    """Content of a JSON file. Raises ValueError, in one line, where it is not valid JSON with finite numbers; OSError and
    UsageError as `check_file`."""

    def read_number(text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise ValueError(f"{text[:40]} is no finite number")
        return number

    def read_whole(text: str) -> int:
        if len(text) > MOST_DIGITS:
            raise ValueError(f"a whole number of {len(text)} digits")
        return int(text)

    check_file(path)
    try:
        return json.loads(
            path.read_text(encoding="utf-8"), parse_constant=read_number, parse_float=read_number, parse_int=read_whole
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def to_plain(value: Any, digits: int) -> Any:
    """The same content in plain JSON types, floats rounded to `digits` significant digits.

    NaN and infinities become None; tuples, NumPy numbers and arrays plain JSON. Raises TypeError for anything else.

    >>> to_plain({"auc": 0.93251234, "seeds": (0, 1), "sd": float("nan")}, digits=3)
    {'auc': 0.933, 'seeds': [0, 1], 'sd': None}
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, digits) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist(), digits)
    if isinstance(value, list | tuple):
        return [to_plain(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")
