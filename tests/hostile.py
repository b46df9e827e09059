"""Damaging files on purpose: edits, seeded fuzzing of a reader, snapshots of a folder; shared by the hostile tests."""

import os
import resource
import time
import zlib
from pathlib import Path

import numpy as np

from common.errors import UsageError

FUZZ = int(os.environ.get("REPLICATIONS_FUZZ", "300"))  # mutated files a reader
MAX_CPU_SECONDS = 5.0  # for one mutated file
MAX_MEMORY_GROWTH = 512 * 2**10  # KiB of resident memory, over all mutated files of a reader
WORDS = [b"\n", b"\r", b'"', b",", b"-", b"9" * 30, b"1e308", b"nan", b"..", b"/", b"\0", b"\xff", b"=", b" ", b"\x1b[2J"]


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is in a folder; the times of its folders tell files that were there for a moment only."""
    facts = {str(path): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {path: (fact.st_mode, fact.st_size, fact.st_mtime_ns) for path, fact in facts.items()}


def edit(path: Path, old: str, new: str):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """One to five places flipped, deleted, copied elsewhere, or with a random or an awkward piece put in."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 6)):
        place = int(random.integers(0, len(changed) + 1))
        length = int(random.integers(1, 9))
        match random.integers(5):
            case 0:
                changed[place : place + 1] = random.bytes(1)
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = random.bytes(length)
            case 3:
                start = int(random.integers(0, len(changed) + 1))
                changed[place:place] = changed[start : start + 4 * length]
            case 4:
                changed[place : place + length] = WORDS[random.integers(len(WORDS))]
    return bytes(changed[: random.integers(1, len(changed) + 2)]) if random.random() < 0.1 else bytes(changed)


def renew_checksums(content: bytes) -> bytes:
    """A PNG file whose chunks have the checksums of what is in them now: else hardly any change gets past them."""
    changed, place = bytearray(content), 8
    while place + 12 <= len(changed):
        end = place + 8 + int.from_bytes(changed[place : place + 4])
        changed[end : end + 4] = zlib.crc32(changed[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(changed[: len(content)])


def fuzz(path: Path, read, seed: int, mend=bytes) -> tuple[int, int]:
    """How many mutated contents of a file are read and how many refused; anything else than UsageError is not caught."""
    content = path.read_bytes()
    random = np.random.default_rng(seed)
    accepted = refused = 0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(FUZZ):
        path.write_bytes(mend(mutate(content, random)))
        started = time.process_time()
        try:
            read()
            accepted += 1
        except UsageError as error:
            message = str(error)
            refused += len(message.splitlines()) == 1 and len(message) < 2000
        assert time.process_time() - started < MAX_CPU_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MAX_MEMORY_GROWTH
    assert accepted + refused == FUZZ
    assert min(accepted, refused) > 0  # else the mutations test nothing
    return accepted, refused
