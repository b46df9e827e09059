"""The data folder: where it lies, what is in it, and a check that lists every fault.

Its files come from elsewhere: names inside tables and archives are never trusted to stay inside the folder.
"""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

from common.errors import UsageError

MAX_LIST_BYTES = 4 * 2**20
MAX_DEPTH = 12
HIDDEN = (".", "__MACOSX")


def find_data(package: str, given: Path | None = None) -> Path | None:
    """Return the folder of a package's data, or None where there is none.

    Looked for in this order: `given` (--data; UsageError where it is no folder), $REPLICATIONS_DATA/<package>,
    data/<package> below the working directory. An empty folder counts as none, except as `given`.
    """
    if given is not None:
        if not given.is_dir():
            raise UsageError(f"--data {given}: {'a file; give its folder' if given.exists() else 'no such folder'}")
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


def walk_files(folder: Path) -> list[Path]:
    """All regular files below a folder, sorted, without hidden ones and what macOS adds to archives.

    Links are followed, but no folder is entered twice: links may lead in a ring.
    """
    files = []
    for place, folders, names in _enter_once(folder):
        deep = len(place.relative_to(folder).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith(HIDDEN))
        files += [path for name in names if not name.startswith(HIDDEN) and (path := place / name).is_file()]
    return sorted(files)


def list_files(folder: Path) -> list[Path]:
    """Every regular file below a folder, hidden ones included, and the links to folders, sorted; what a link leads to once.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / ".hidden").mkdir()
    ...     (Path(folder) / ".hidden" / "1.png").touch()
    ...     (Path(folder) / "latest").symlink_to(Path(folder) / ".hidden")
    ...     [path.relative_to(folder).as_posix() for path in list_files(Path(folder))]
    ['.hidden/1.png', 'latest']
    """
    found = []
    for place, folders, names in _enter_once(folder):
        folders.sort(key=lambda name: ((place / name).is_symlink(), name))
        found += [path for name in folders if (path := place / name).is_symlink()]
        found += [path for name in names if (path := place / name).is_file()]
    return sorted(found)


def _enter_once(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder below, itself included, with the names of its folders and files; no folder twice, as links may lead in a ring.
    Which folders are entered, and in which order, is what the caller leaves of their names."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield Path(place), folders, names


def find_holding(folder: Path, names: Sequence[str]) -> Path:
    """The folder itself or the first one, at most two levels below it, that holds all of `names`; UsageError if there is none."""
    places = [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    for place in places:
        if all((place / name).exists() for name in names):
            return place
    raise UsageError(f"{folder}: not the expected layout: no folder in it holds {', '.join(names)} together")


def read_lines(path: Path, errors: str = "strict") -> list[str]:
    """Lines of a list (UTF-8), without outer spaces; UsageError if it cannot be read or is no text. errors: "replace" puts a mark
    in the place of what is no UTF-8."""
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        if path.stat().st_size > MAX_LIST_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes are too many for a list")
        return [line.strip() for line in path.read_text(encoding="utf-8-sig", errors=errors).splitlines()]
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
