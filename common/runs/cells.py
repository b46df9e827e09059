"""A run is many independent trainings ("cells"): run them side by side, skip what is done, go on after `kill -9`.

A cell is a function and its JSON settings. It works in `cells/<key>.partial/` (where its checkpoints live) and becomes
`cells/<key>/` by one rename, after every file of it is on disk and listed with its sha256 in `cell.json`. So a cell is
there whole or not at all; a damaged or outdated one is done again. Its result depends on its settings and on the number of
threads that it computed with (recorded: a list, as a resumed cell may have had several), not on the number of workers or
the order.
"""

import contextlib
import hashlib
import importlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import OF_ALL, RunError, UsageError, find_number, tell_system_error
from common.files import hash_file, hold_lock, load_json, put_in_place, write_text_atomic
from common.records.provenance import has_changed_code

RECORD = "cell.json"
CHECKSUM = "record_sha256"  # of the record's other fields
LEFT = "left"  # files that were left behind by leave_networks.py
KINDS: dict[str, type | tuple[type, ...]] = {
    "digest": str, "dirty": (bool, type(None)), "files": dict, LEFT: dict, "outcome": dict, "seconds": (int, float),
    "settings": dict, "threads": list, CHECKSUM: str,
}  # fmt: skip
MACHINE: dict[str, type | tuple[type, ...]] = {
    "backend": (str, type(None)),
    "device": (str, type(None)),
    "deterministic": bool,
}  # where a training computed
LATER = {"dirty", LEFT, CHECKSUM}  # fields that not every record has
THREADS = re.compile("[0-9]{1,6}")
UNCLEAN = ".unclean"  # in the folder of a begun cell: some start of it had uncommitted code
Report = Callable[[str, int, int, dict], None]  # stage, epochs done, epochs in all, logs


@dataclass(frozen=True)
class Cell:
    """One training. function: "module:name", called as function(settings, folder, threads, report) and writing its products
    into folder; it returns a JSON-able dict for the record. key: file name, unique in the run. settings: JSON-able, all
    that the result depends on. kin: what it has in common with others that one process does faster one after the other, as a
    network that is built and traced once; changes no result."""

    key: str
    function: str
    settings: dict = field(hash=False)
    kin: str = ""

    @property
    def digest(self) -> str:
        """sha256 of function and settings: an outdated result is recognised by it."""
        text = json.dumps([self.function, self.settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def is_done(cell: Cell, home: Path) -> bool:
    """True if the cell's result is there, whole and up to date.

    Nothing is removed: a command that asks for less may not cost finished work.
    """
    folder = home / cell.key
    record = find_record(folder)
    if record is None or record["digest"] != cell.digest:
        return False
    return all(_hash(folder / name) == digest for name, digest in record["files"].items())


def read_record(cell: Cell, home: Path) -> dict:
    """The record of a finished cell: digest, seconds, threads, files, whether its code was committed, what its function
    returned."""
    record = find_record(home / cell.key)
    if record is None:
        raise UsageError(f"{home / cell.key}: not a finished cell; run the same command again")
    return record


def find_record(folder: Path) -> dict | None:
    """The record that a finished cell has left in its folder; None where there is none that can be read, and none for a damaged
    one: it holds the sha256 of all that it says."""
    try:
        record = load_json(folder / RECORD)
        return record if is_whole(record) else None
    except (UsageError, OSError, ValueError, RecursionError):  # UsageError: a folder or pipe of that name
        return None


def is_whole(record: Any) -> bool:
    """Whether the content of a cell.json is a record, unchanged. Those of earlier versions, without a sha256 of their own, pass
    if each field is of its kind."""
    if not isinstance(record, dict) or not record.keys() <= KINDS.keys() or not KINDS.keys() - LATER <= record.keys():
        return False
    if CHECKSUM in record:
        return record[CHECKSUM] == _hash_record(record)
    if not all(isinstance(value, KINDS[name]) for name, value in record.items()):
        return False
    texts, threads = record["files"].values(), record["threads"]
    known = all(isinstance(text, str) for text in texts) and all(isinstance(number, int) for number in threads)
    return known and _is_described(record["outcome"])


def _is_described(outcome: Mapping[str, Any]) -> bool:
    """Whether what an outcome says of the code and machine of a training, if anything, is what results take from it."""
    environment, versions = (outcome.get(name, {}) for name in ("environment", "versions"))
    if not isinstance(environment, dict) or not isinstance(versions, dict):
        return False
    if "environment" in outcome and not all(isinstance(environment.get(name, ()), kind) for name, kind in MACHINE.items()):
        return False
    return all(isinstance(text, str | None) for text in (outcome.get("commit"), *versions.values()))


def _hash_record(record: Mapping[str, Any]) -> str:
    known = {name: value for name, value in record.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def describe_failure(error: BaseException) -> str:
    """Why a cell failed, in one line."""
    text = str(error).strip().splitlines()
    known = isinstance(error, UsageError | RunError) and text
    return text[0] if known else f"{type(error).__name__}: {' '.join(text)[:300]}"


def run_cell(cell: Cell, home: Path, threads: int, report: Report) -> None:
    """Run one cell and put its result in place by one rename.

    Errors of the system and a lack of memory are raised in one line: as RunError where every other cell would meet them as well,
    else as UsageError.
    """
    partial, final = home / f"{cell.key}.partial", home / cell.key
    try:
        if is_done(cell, home):  # by a worker of a cluster whose command was killed
            return
        partial.mkdir(parents=True, exist_ok=True)
        with hold_lock(partial / ".lock", wait=True):
            if is_done(cell, home):  # meanwhile
                shutil.rmtree(partial, ignore_errors=True)
                return
            _run_function(cell, partial, threads, report)
            put_in_place(partial, final)
        for name in (".lock", ".digest", UNCLEAN):
            (final / name).unlink(missing_ok=True)
    except Exception as error:
        number = find_number(error)
        if number is None and not isinstance(error, OSError):
            raise
        fatal = number in OF_ALL or number is None  # without a number: a file that was not written whole
        raise (RunError if fatal else UsageError)(tell_system_error(error, partial)) from error


def _run_function(cell: Cell, partial: Path, threads: int, report: Report) -> None:
    """Run the function of a cell in its working folder, which then holds its products and its record."""
    claim = partial / ".digest"  # first line: the digest; then the threads of every start
    lines = claim.read_text(errors="replace").split() if claim.is_file() else []
    if lines[:1] != [cell.digest] or not all(THREADS.fullmatch(line) for line in lines[1:]):
        _clear(partial)  # checkpoints of other settings, or damaged
        lines = [cell.digest]
    lines.append(str(threads))
    write_text_atomic(claim, "\n".join(lines))
    _remove(partial / RECORD)  # of a start that was killed before the last rename: no product
    module, name = cell.function.split(":")
    with quiet_start():
        source = importlib.import_module(module)
        function = getattr(source, name)
    dirty = has_changed_code(Path(source.__file__ or "").parent)
    if dirty:
        (partial / UNCLEAN).touch()
    started = time.monotonic()
    outcome = function(cell.settings, partial, threads, report)
    seconds = round(time.monotonic() - started, 3)
    for path in [*partial.glob("checkpoint-*"), *partial.glob(".checkpoint-*")]:
        path.unlink()
    products = sorted(p for p in partial.rglob("*") if p.is_file() and not p.name.startswith("."))
    record = {
        "digest": cell.digest,
        "dirty": True if (partial / UNCLEAN).exists() else dirty,  # None: not known
        "files": {str(p.relative_to(partial)): hash_file(p) for p in products},
        "outcome": outcome,
        "seconds": seconds,
        "settings": cell.settings,
        "threads": sorted({int(n) for n in lines[1:]}),
    }
    write_record(partial, record)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a cell into its folder, with the sha256 of all that it says."""
    record = {name: value for name, value in json.loads(json.dumps(record)).items() if name != CHECKSUM}  # as it will be read
    text = json.dumps(record | {CHECKSUM: _hash_record(record)}, sort_keys=True, indent=1)
    (folder / RECORD).write_text(text, encoding="utf-8")


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != ".lock":
            _remove(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except (OSError, UsageError):
        return None


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keep a network library's own start-up messages off the screen; they come back if the import fails.

    Its later advice on retracing is silenced as well: every training has a network of its own.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
        except BaseException:
            messages.seek(0)
            os.write(screen, messages.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
