"""What a document may hold at most, wherever it comes from, and how a fault of one is told: in one line, cut."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from common.errors import UsageError

MOST_DEPTH = 20  # of entries in entries; our own documents have 6
MOST_DIGITS = 18  # of a whole number
MOST_NAME, MOST_TEXT = 300, 20_000  # characters of a key or the name of something, and of any other text
MOST_ROWS = 5000  # of results; ours have 300
NAMES = frozenset({"table", "row", "metric", "dataset", "name", "paper", "id", "kind", "title", "check"})
SHOWN = 60  # characters of a name in a message

Protocol = Annotated[str, Field(pattern="^(paper|leakfree)$")]
Count = Annotated[int, Field(ge=0, le=10**8)]  # cases, patients
Seen = Annotated[list[Count], Field(min_length=2, max_length=2)]  # cases, and those of class 1


def refuse_excess(content: Any, place: str) -> None:
    """Raise UsageError where JSON or TOML content goes beyond the bounds above, with the entry; place: of the document.

    >>> refuse_excess({"rows": [{"n": 10**30}]}, "results.json")
    Traceback (most recent call last):
    common.errors.UsageError: results.json: entry 'rows.0.n': a whole number of more than 18 digits
    """
    waiting: list[tuple[Any, tuple[str, ...]]] = [(content, ())]
    while waiting:
        value, where = waiting.pop()
        fault = ""
        if len(where) > MOST_DEPTH:
            fault = f"nested more than {MOST_DEPTH} deep"
        elif isinstance(value, dict):
            for key, item in value.items():
                if len(key) > MOST_NAME:
                    where, fault = (*where, key), f"a name of more than {MOST_NAME} characters"
                    break
                waiting.append((item, (*where, key)))
        elif isinstance(value, list):
            waiting += [(item, (*where, str(place))) for place, item in enumerate(value)]
        elif isinstance(value, str):
            most = MOST_NAME if where and where[-1] in NAMES else MOST_TEXT
            fault = f"a text of {len(value)} characters, more than {most}" if len(value) > most else ""
        elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            fault = f"a whole number of more than {MOST_DIGITS} digits"
        if fault:
            raise UsageError(f"{place}: entry {name_entry(where)!r}: {fault}")


def check_seeds(seeds: Sequence[int], lists: Mapping[str, Sequence[Any]], metrics: Mapping[str, Any]) -> None:
    """ValueError for a list, or a metric's `by_seed`, that has not one value for each seed."""
    every = {**lists, **{name: metric.by_seed for name, metric in metrics.items()}}
    if wrong := [name for name, values in every.items() if len(values) != len(seeds)]:
        raise ValueError(f"{wrong[0]} has not one value for each of {len(seeds)} seeds")


def name_entry(where: Sequence[str | int]) -> str:
    """The place of an entry in a document, its names cut.

    >>> name_entry(["rows", 0, "x" * 100]) == "rows.0." + "x" * 60 + "..."
    True
    """
    parts = [part if len(part) <= SHOWN else f"{part[:SHOWN]}..." for part in map(str, where)]
    return ".".join(parts if len(parts) <= 6 else [*parts[:5], "..."])


def describe_fault(error: ValidationError) -> str:
    """The first fault of a record, in one line: where and what."""
    first = error.errors()[0]
    message = re.sub(r"^Value error, ", "", first["msg"])
    fault = "is missing" if first["type"] == "missing" else message[:1].lower() + message[1:]
    return f"entry {name_entry(first['loc'])!r}: {fault[:200]}"
