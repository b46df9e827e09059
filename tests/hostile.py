"""Edits of a file on purpose, snapshots of a folder; shared by the tests of hostile folders."""

from pathlib import Path


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is in a folder; the times of its folders tell files that were there for a moment only."""
    facts = {str(path): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {path: (fact.st_mode, fact.st_size, fact.st_mtime_ns) for path, fact in facts.items()}


def edit(path: Path, old: str, new: str):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
