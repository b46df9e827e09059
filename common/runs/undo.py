"""A command that is refused, or only says what it would do, leaves its --out as it was."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from common.cases.noted import note_copies
from common.cases.table import LeakError
from common.cli import Options
from common.errors import UsageError
from common.runs.run import COMMANDS

PREPARED = "prepared"
OURS = re.compile(r"\.?(phantoms|\w+-(paper|leakfree|both))-[0-9a-f]{12}\b.*")  # folders that commands make beside it


def run_or_undo(run: Callable[[Options], int], options: Options, package: str) -> int:
    """The exit code of run(options). Where it raises UsageError before its first training, and after a dry run, what it has made
    below `<out>/<package>` goes: run folder, phantoms, data sets prepared from them. Data sets prepared from real pictures stay
    for the next command, as they may have taken hours, and so does what is noted of copies; and all stays where another command
    works below the folder.
    """
    home = options.out / package
    made = [folder for folder in (home, *home.parents) if not folder.exists()]  # the innermost first
    try:
        held = _open_shared(home)
    except OSError:  # cannot be written or locked: what fails then says so itself
        return run(options)
    try:
        before = _list_entries(home)
        try:
            code = _run_joining(run, options, home, before, held)
        except UsageError:
            _undo(home, before, made, held)
            raise
        if options.dry_run:
            _undo(home, before, made, held)
        return code
    finally:
        os.close(held)


def _run_joining(run: Callable[[Options], int], options: Options, home: Path, before: set[Path], held: int) -> int:
    """run(options); where the proof of a split finds near-duplicates that the search of the whole set missed, they are noted
    and it runs once more, which joins them: as long as there are new ones."""
    while True:
        try:
            return run(options)
        except LeakError as error:
            if options.near_duplicates != "group" or not error.copies or not note_copies(options.out, error.copies):
                raise
            count = f"{len(error.copies)} near-duplicate pair{'s' if len(error.copies) > 1 else ''}"
            print(f"splits: {count} found that the search of all pictures missed: joined, and drawn again", file=sys.stderr)
            error.__traceback__ = None  # holds that run, which holds the lock of its folder
            if _is_alone(held):
                for path in set(home.iterdir()) - before:  # the run of the split that leaks
                    if OURS.fullmatch(path.name) and "phantoms" not in path.name and not (path / COMMANDS).exists():
                        shutil.rmtree(path)
            fcntl.flock(held, fcntl.LOCK_SH)


def _is_alone(held: int) -> bool:
    """True, and the lock is exclusive; False where another command works here, maybe with what this one has made. Either way the
    shared lock is gone."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _open_shared(folder: Path) -> int:
    """Make the folder and hold a shared lock on it, which every command in it has: the file descriptor."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # another command has just taken it away again
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_SH)
            if folder.exists() and os.path.samestat(os.fstat(held), folder.stat()):
                return held
        except OSError:
            os.close(held)
            raise
        os.close(held)


def _list_entries(home: Path) -> set[Path]:
    return {*home.iterdir(), *(home / PREPARED).glob("*")}


def _undo(home: Path, before: set[Path], made: list[Path], held: int) -> None:
    new = _list_entries(home) - before
    if any((path / COMMANDS).exists() for path in new):  # its trainings have begun: the same command goes on there
        return
    if not _is_alone(held):
        return
    for path in new:
        if OURS.fullmatch(path.name) if path.parent == home else _is_synthetic(path):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for lock in (path for path in new if path.parent.name == PREPARED and path.suffix == ".lock"):
        if not lock.with_suffix("").exists():
            lock.unlink()
    for folder in (home / PREPARED, *made):
        if folder in new or folder in made:
            with contextlib.suppress(OSError):  # not empty, or not there
                folder.rmdir()


def _is_synthetic(prepared: Path) -> bool:
    try:
        return bool(json.loads((prepared / "data.json").read_text(encoding="utf-8"))["synthetic"])
    except (OSError, ValueError, KeyError, TypeError):  # no whole data set
        return False
