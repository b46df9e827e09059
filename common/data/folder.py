"""The data folder: where it lies, what is in it, and a check that lists every fault.

Its files come from elsewhere: names inside tables and archives are never trusted to stay inside the folder.
"""

import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

from common.errors import UsageError, quote, to_one_line
from common.files import check_file
from common.progress import track

MAX_LIST_BYTES = 4 * 2**20
MAX_DEPTH = 12
MOST_NAME_BYTES, MOST_PATH_BYTES = 255, 2048  # of a file, as file systems have it
SHOWN = 5  # names of a folder in a message
# What systems, editors and storage servers put beside the data: of macOS ("._a.png", ".DS_Store"), Office, Windows, NAS boxes.
HIDDEN_STARTS = (".", "~$", "__MACOSX")
HIDDEN_NAMES = {"@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "thumbs.db", "desktop.ini"}


def find_data(package: str, given: Path | None = None) -> Path | None:
    """Return the folder of a package's data, or None where there is none.

    Looked for in this order: `given` (--data; UsageError where it is no folder), $REPLICATIONS_DATA/<package>,
    data/<package> below the working directory. An empty folder counts as none, except as `given`.
    Raises UsageError for a $REPLICATIONS_DATA that is no folder, or is the package's own instead of its parent, and where it
    holds the package's folder under another spelling. Where it holds none, a line on stderr says what is there.
    """
    if given is not None:
        if not given.is_dir():
            raise UsageError(f"--data {given}: {'a file; give its folder' if given.exists() else 'no such folder'}")
        return given
    root = os.environ.get("REPLICATIONS_DATA")
    places = ([_find_below(Path(root), package)] if root else []) + [Path("data") / package]
    return next((place for place in places if list_entries(place)), None)


def _find_below(root: Path, package: str) -> Path:
    """The package's folder in $REPLICATIONS_DATA, there or not; see `find_data`."""
    wanted = f"wanted: $REPLICATIONS_DATA/{package}/"
    if not root.is_dir():
        what = "a file" if root.exists() else "no such folder"
        raise UsageError(f"$REPLICATIONS_DATA is {root}: {what}; {wanted}; correct or unset it")
    place, found = root / package, show_entries(root)
    if place.is_dir():
        return place
    plain = re.sub("[^a-z0-9]", "", package.lower())
    for entry in list_entries(root):
        if re.sub("[^a-z0-9]", "", entry.name.lower()) == plain:
            raise UsageError(f"$REPLICATIONS_DATA is {root}, with {entry.name!r}; {wanted}; rename it")
    if root.resolve().name == package:
        tell = f"set it to the parent, {root.resolve().parent}"
        raise UsageError(f"$REPLICATIONS_DATA is {root}, the folder {package} itself; {wanted}; {tell}")
    print(to_one_line(f"$REPLICATIONS_DATA is {root}; found there: {found}; {wanted}: no data from there"), file=sys.stderr)
    return place


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no data by its name, but what systems, editors and storage servers put beside the data."""
    return name.startswith(HIDDEN_STARTS) or name.strip().lower() in HIDDEN_NAMES


def list_entries(folder: Path, suffix: str = "") -> list[Path]:
    """Files and folders right in a folder, sorted, without hidden ones; [] where there is no folder. suffix: only names that end
    so, in whatever case."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not is_hidden(name) and name.lower().endswith(suffix.lower())]


def show_entries(folder: Path) -> str:
    """What is right in a folder, in one line for messages: the first names, folders with a slash, and how many more.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.png", "._b.png", "a.csv"):
    ...         (Path(folder) / name).touch()
    ...     (Path(folder) / "c").mkdir()
    ...     show_entries(Path(folder))
    'a.csv, b.png, c/'
    """
    names = [f"{entry.name}{'/' * entry.is_dir()}" for entry in list_entries(folder)]
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown or "nothing"


def has_control_characters(text: str) -> bool:
    """True for line breaks, NUL, escape sequences and the like, which spoil messages and tables."""
    return not text.isprintable() and any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text)


def refuse_outside(name: str) -> None:
    """UsageError for a name that can be of no file inside the data folder: none at all, an absolute one, one with '..'.

    >>> refuse_outside("/scans/1.png")
    Traceback (most recent call last):
    common.errors.UsageError: '/scans/1.png' is an absolute path; write it relative to the data folder
    """
    windows = PureWindowsPath(name)  # knows both separators and drive letters
    if not name.strip():
        raise UsageError("no file named; write its path, relative to the data folder")
    if windows.anchor:
        raise UsageError(f"{quote(name)} is an absolute path; write it relative to the data folder")
    if ".." in windows.parts:
        raise UsageError(f"the name {quote(name)} leaves the data folder; correct the table or archive")


def resolve_inside(folder: Path, relative: str, *, follow_links: bool = False) -> Path:
    """Return folder/relative as a path that does not leave the folder; it need not exist.

    Raises UsageError for absolute names, drive letters, '..', control characters, and symbolic links that lead out. With
    follow_links, links are accepted, for folders that the user laid out with links to large data.
    """
    sizes = [len(part.encode(errors="replace")) for part in relative.split("/")]
    if max(sizes) > MOST_NAME_BYTES or sum(sizes) > MOST_PATH_BYTES:
        raise UsageError(f"{folder}: {quote(relative)}: a name of {len(relative)} letters is too long for a file; correct it")
    if has_control_characters(relative):
        raise UsageError(f"{folder}: {quote(relative)}, a name in the data folder, holds control characters; correct it")
    try:
        refuse_outside(relative)
    except UsageError as error:
        raise UsageError(f"{folder}: {error}") from None
    path = folder / relative
    names = Path(relative)
    # Without a link below the folder nothing leads out, and that is seen at once.
    linked = not follow_links and any(os.path.islink(folder / part) for part in (names, *names.parents[:-1]))
    # Path.resolve() would raise RuntimeError on a link to itself.
    if linked and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"{folder}: {quote(relative)} is a link out of the data folder; put the file there itself")
    return path


def walk_files(folder: Path) -> list[Path]:
    """All regular files below a folder, sorted, without hidden ones (`is_hidden`).

    Links are followed, but no folder is entered twice: links may lead in a ring.
    """
    files = []
    for place, folders, names in _enter_once(folder):
        deep = len(place.relative_to(folder).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not is_hidden(name))
        files += [path for name in names if not is_hidden(name) and (path := place / name).is_file()]
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
    for place, folders, names in track(os.walk(folder, followlinks=True), "listing folders"):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield Path(place), folders, names


def find_holding(folder: Path, names: Sequence[str]) -> Path:
    """The folder itself or the first one, at most two levels below it, that holds all of `names`; UsageError if there is none."""
    level = [folder]
    for _ in range(3):
        for place in level:
            if all((place / name).exists() for name in names):
                return place
        level = [entry for place in level for entry in list_entries(place) if entry.is_dir()]
    wanted = ", ".join(names)
    raise UsageError(f"{folder}: not the expected layout: no folder in it holds {wanted} together; found: {show_entries(folder)}")


def read_lines(path: Path, errors: str = "strict") -> list[str]:
    """Lines of a list (UTF-8), without outer spaces; UsageError if it cannot be read or is no text. errors: "replace" puts a mark
    in the place of what is no UTF-8."""
    try:
        if not path.exists():
            raise UsageError(f"{path}: no such file")
        if (size := check_file(path).st_size) > MAX_LIST_BYTES:
            raise UsageError(f"{path}: {size} bytes are too many for a list")
        return [line.strip() for line in path.read_text(encoding="utf-8-sig", errors=errors).splitlines()]
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
