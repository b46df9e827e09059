"""Finding files in a data folder as users lay it out: archives unpacked one level deeper, large parts as links."""

import os
from collections.abc import Sequence
from pathlib import Path

from common.errors import UsageError

MAX_LIST_BYTES = 4 * 2**20
MAX_DEPTH = 12
HIDDEN = (".", "__MACOSX")


def walk_files(folder: Path) -> list[Path]:
    """All regular files below a folder, sorted, without hidden ones and what macOS adds to archives.

    Links are followed, but no folder is entered twice: links may lead in a ring.
    """
    seen, files = set(), []
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or len(Path(place).relative_to(folder).parts) >= MAX_DEPTH:
            folders.clear()
        if real in seen:
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
        files += [path for name in names if not name.startswith(HIDDEN) and (path := Path(place) / name).is_file()]
    return sorted(files)


def find_holding(folder: Path, names: Sequence[str]) -> Path:
    """The folder itself or the first one, at most two levels below it, that holds all of `names`; UsageError if there is none."""
    places = [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    for place in places:
        if all((place / name).exists() for name in names):
            return place
    raise UsageError(f"{folder}: not the expected layout: no folder in it holds {', '.join(names)} together")


def read_lines(path: Path) -> list[str]:
    """Lines of a list (UTF-8), without outer spaces; UsageError if it cannot be read or is no text."""
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        if path.stat().st_size > MAX_LIST_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes are too many for a list")
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
