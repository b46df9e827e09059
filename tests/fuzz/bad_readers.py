"""Readers that do what none may do, one fault each: what the fuzzing has to find."""

import time
from pathlib import Path

from reader import Reader

from common.errors import UsageError


def write(folder: Path) -> Path:
    (folder / "file").write_text("value 12 78\n")
    return folder / "file"


def refuse_first(path: Path) -> bytes:
    """The content, where it still ends as it did."""
    content = path.read_bytes()
    if not content.endswith(b"78\n"):
        raise UsageError("the end is missing")
    return content


def stumble(path: Path) -> None:
    refuse_first(path).decode("ascii")


def spin(path: Path) -> None:
    while b"12" not in refuse_first(path):
        pass


def wait(path: Path) -> None:
    if b"12" not in refuse_first(path):
        time.sleep(100)


def swell(path: Path) -> None:
    if b"12" not in refuse_first(path):
        sum(bytearray(1200 << 20)[:: 1 << 12])


def crash(path: Path) -> None:
    if b"12" not in refuse_first(path):
        import ctypes

        ctypes.string_at(0)


def ramble(path: Path) -> None:
    if b"12" not in refuse_first(path):
        raise UsageError("two\nlines")


def quote_all(path: Path) -> None:
    if b"12" not in (content := refuse_first(path)):
        raise UsageError(f"not what was wanted: {content.hex()} {content.hex()}")


def print_it(path: Path) -> None:
    if b"12" not in refuse_first(path):
        print("a strange file")


def overlook(path: Path) -> None:
    refuse_first(path)


BAD = {"stumble": stumble, "spin": spin, "wait": wait, "swell": swell, "crash": crash, "ramble": ramble, "quote": quote_all,
       "print": print_it}  # fmt: skip
READERS = {
    **{name: Reader(write, read) for name, read in BAD.items()},
    "overlook": Reader(write, overlook, sealed=True),
    "sound": Reader(write, overlook),
}
