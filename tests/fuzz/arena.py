"""Lets readers loose on damaged files, each in a process of its own: it may hang, crash or swell without harm to the tests.

A line of standard input asks for one reader, a line of standard output says what came of it (see `attack`).
"""

import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import cv2
from mutator import mutate
from reader import Reader, check_message

from common.errors import UsageError

WAITING = 5  # times the seconds of computing that a file may take: other programs keep the machine busy, too
MOST_MEMORY = 1 << 30  # bytes beyond the size of the file
GUARD = 6 << 30  # bytes of addresses: what asks for more fails, before the machine does
MOST_DEATHS = 10  # of a reader's process, before the rest is left out


def attack(table: str, name: str, folder: Path, mutations: int, limit: float) -> dict:
    """Read `mutations` damaged contents of a file, each in `limit` seconds of computing at most.

    Returns accepted and refused (counts), faults {what and where: [count, number of the first mutation]}, megabytes (growth of
    memory at its peak), seconds (of the slowest file). A fault is any exception but UsageError, a message of several lines or
    over 300 letters, a hang, a death, more memory than allowed, anything written to the screen, and a sealed content that was
    accepted though changed.
    """
    found = {"accepted": 0, "refused": 0, "faults": {}, "megabytes": 0, "seconds": 0.0}
    start = deaths = 0
    while start < mutations and deaths < MOST_DEATHS:
        report = folder / f"report-{start}.json"
        if not (child := os.fork()):
            try:
                _read_all(table, name, folder / f"files-{start}", range(start, mutations), report, limit)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        told = json.loads(report.read_text())
        for key in ("accepted", "refused"):
            found[key] += told[key]
        for fault, (count, first) in told["faults"].items():
            entry = found["faults"].setdefault(fault, [0, first])
            entry[0] += count
        for key in ("megabytes", "seconds"):
            found[key] = max(found[key], told[key])
        if status:
            deaths += 1
            word = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
            word = f"a hang over {limit:g} s" if word in ("SIGPROF", "SIGALRM") else f"the process died: {word}"
            entry = found["faults"].setdefault(word, [0, told["at"]])
            entry[0] += 1
        start = told["at"] + 1 if status else mutations
    return found


def _read_all(table: str, name: str, folder: Path, numbers: range, report: Path, limit: float) -> None:
    """In the reader's own process. The report is written before each file that may be the last one."""
    screen = _take_screen(report.with_suffix(".out"))
    told = {"accepted": 0, "refused": 0, "faults": {}, "megabytes": 0, "seconds": 0.0, "at": numbers.start - 1}
    folder.mkdir(parents=True)
    reader: Reader = importlib.import_module(table).READERS[name]
    try:
        path = reader.write(folder)
        reader.read(path)
    except BaseException:
        told["faults"] = {f"the file before any damage: {traceback.format_exc()[-600:]}": [1, -1]}
        report.write_text(json.dumps(told))
        return
    content = path.read_bytes()
    os.lseek(screen, 0, os.SEEK_SET)
    os.ftruncate(screen, 0)  # what the writers of samples had to say
    warnings.simplefilter("ignore" if reader.warns else "error")
    for clock in (signal.SIGPROF, signal.SIGALRM):  # ends the process: a handler of Python would wait for a library that hangs
        signal.signal(clock, signal.SIG_DFL)
    base = _peak()
    resource.setrlimit(resource.RLIMIT_AS, (GUARD, GUARD))
    for number in numbers:
        changed = reader.mend(mutate(reader.unpack(content), number))
        path.write_bytes(changed)
        told["at"] = number
        report.write_text(json.dumps(told))
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_PROF, limit)
        signal.setitimer(signal.ITIMER_REAL, WAITING * limit)
        try:
            fault = _read_one(reader, path, changed == content, told)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        told["seconds"] = max(told["seconds"], round(time.monotonic() - started, 2))
        if (grown := _peak() - base) > told["megabytes"] << 20:
            told["megabytes"] = grown >> 20
            if grown > MOST_MEMORY + len(changed) and fault is None:
                fault = "more memory than allowed"
                base = _peak()
        if fault is None and (size := os.fstat(screen).st_size):
            fault = f"on the screen: {os.pread(screen, min(size, 200), 0)!r}"
            os.ftruncate(screen, 0)
        if fault is not None:
            told["faults"].setdefault(fault, [0, number])[0] += 1
    report.write_text(json.dumps(told))


def _read_one(reader: Reader, path: Path, same: bool, told: dict) -> str | None:
    """The fault that one damaged file has brought to light."""
    try:
        reader.read(path)
    except UsageError as error:
        told["refused"] += 1
        try:
            check_message(str(error), path.parent)
        except AssertionError as fault:
            return str(fault)
        return None
    except BaseException as error:
        last = [frame for frame in traceback.extract_tb(error.__traceback__) if "/site-packages/" not in frame.filename][-1]
        return f"{type(error).__name__}: {str(error)[:150]} at {Path(last.filename).name}:{last.lineno}"
    told["accepted"] += 1
    return "accepted though changed" if reader.sealed and not same else None


def _take_screen(path: Path) -> int:
    """A file in the place of standard output and error."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    return handle


def _peak() -> int:
    """Bytes of resident memory at their peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    cv2.setNumThreads(1)  # a pool of threads that samples start on import would be missing in the processes forked from here
    importlib.import_module("readers")
    for line in sys.stdin:
        table, name, folder, mutations, limit = json.loads(line)
        print(json.dumps(attack(table, name, Path(folder), mutations, limit)), flush=True)
