"""Entries and fields of a paper.toml, checked one by one: what is missing, unknown, of a wrong type or repeated.

Every fault is a UsageError, one line, that names the file, the line, the entry and the field.
"""

from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.records.toml_lines import find_entry_lines, find_table_line

MOST_CASES = 10**9  # cases of one class: a larger number is taken for a mistake
MOST_CLASSES = 100  # of one test set: what is tried grows with their square


def name_table(name: str, path: Path, text: str) -> str:
    """Place of the table [name] for error messages.

    >>> name_table("paper", Path("mine.toml"), "# mine\\n[paper]")
    'mine.toml, line 2: [paper]'
    """
    line = find_table_line(text, name)
    return f"{path}{f', line {line}' if line else ''}: [{name}]"


def list_entries(document: dict[str, Any], name: str, path: Path, text: str) -> Iterator[tuple[Any, str]]:
    """(entry, its place for error messages) of the array of tables [[name]]; `text` is what `document` was parsed from.

    >>> list(list_entries({"claim": [{"row": "CNN"}]}, "claim", Path("mine.toml"), "[[claim]]\\nrow = 'CNN'"))
    [({'row': 'CNN'}, 'mine.toml, line 1: claim 1 (CNN)')]
    """
    entries = document.get(name, [])
    if not isinstance(entries, list):
        raise UsageError(f"{path}: {name!r} must be an array of tables ([[{name}]])")
    lines = find_entry_lines(text, name)
    for position, entry in enumerate(entries, start=1):
        names = [str(entry[key]) for key in ("row", "metric") if key in entry] if isinstance(entry, dict) else []
        label = f" ({', '.join(names)})" if names else ""
        line = f", line {lines[position - 1]}" if len(lines) == len(entries) else ""
        yield entry, f"{path}{line}: {name} {position}{label}"


def read_fields(
    table: Any,
    where: str,
    *,
    required: dict[str, type],
    optional: dict[str, type] | None = None,
    may_be_empty: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The fields of a TOML table, their names and types checked; texts must not be empty unless listed.

    required, optional: name -> type of the value. where: place of the table, for error messages.

    >>> read_fields({"row": 3}, "mine.toml: claim 1", required={"row": str})
    Traceback (most recent call last):
    common.errors.UsageError: mine.toml: claim 1: field 'row' must be str, not int
    """
    if not isinstance(table, dict):
        raise UsageError(f"{where}: missing or not a table")
    known = {**required, **(optional or {})}
    for name in table:
        if name not in known:
            raise UsageError(f"{where}: unknown field {name!r}; known: {', '.join(known)}")
    for name in required:
        if name not in table:
            raise UsageError(f"{where}: field {name!r} is missing")
    for name, value in table.items():
        # bool is a kind of int in Python, but not here.
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            raise UsageError(f"{where}: field {name!r} must be {known[name].__name__}, not {type(value).__name__}")
        if isinstance(value, str) and not value.strip() and name not in may_be_empty:
            raise UsageError(f"{where}: field {name!r} is empty")
    return dict(table)


def read_classes(value: Any, where: str) -> dict[str, int]:
    """The cases of each class, such as {"ill": 40, "healthy": 60}: whole numbers from 0 to MOST_CASES, at most MOST_CLASSES."""
    if not isinstance(value, dict) or not value:
        raise UsageError(f"{where}: must be a table of cases per class")
    if len(value) > MOST_CLASSES:
        raise UsageError(
            f"{where}: {len(value)} classes are too many to search; at most {MOST_CLASSES} are taken, or none: leave them out"
        )
    for name, cases in value.items():
        if type(cases) is not int or not 0 <= cases <= MOST_CASES:
            raise UsageError(f"{where}: cases of class {name!r} must be a whole number from 0 to {MOST_CASES}, not {cases!r}")
    return dict(value)


def read_fold_sizes(value: list[Any], classes: dict[str, int], where: str) -> tuple[int | tuple[int, ...], ...]:
    """Cases of each fold, or tuples of the cases of each class in it, in the order of `classes`.

    >>> read_fold_sizes([[8, 12], [7, 13]], {"ill": 15, "healthy": 25}, "mine.toml: claim 1")
    ((8, 12), (7, 13))
    """
    fault = f"{where}: field 'fold_sizes' must list the cases of each fold, whole numbers from 1, or of each class in each fold"
    for fold in value:
        parts = fold if isinstance(fold, list) else [fold]
        if not all(type(size) is int and size >= 0 for size in parts) or (isinstance(fold, list) and len(fold) != len(classes)):
            raise UsageError(fault)
    if len({type(fold) for fold in value}) > 1:
        raise UsageError(fault)
    sizes = tuple(tuple(fold) if isinstance(fold, list) else fold for fold in value)
    if sizes and isinstance(sizes[0], tuple) and tuple(map(sum, zip(*sizes, strict=True))) != tuple(classes.values()):
        raise UsageError(f"{where}: field 'fold_sizes' does not add up to the cases of 'classes'")
    return sizes


def refuse_repetition(keys: Iterable[Hashable], path: Path, name: str) -> None:
    """Raise UsageError for the first key that stands twice; name: what the keys are of, such as "claim"."""
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise UsageError(f"{path}: {name} {key} stands twice")
        seen.add(key)
