"""The ranges of settings. They stand beside the settings in a paper's config.py, and `--set` is held to them:

learning_rate: Annotated[float, above(0, 1)] = 1e-4
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from common.errors import UsageError

Conflict = tuple[tuple[str, ...], str]  # settings that contradict one another, and why
SHOWN = 60  # letters of a value in a message
DISK, MEMORY, TIME = "more fills the disk", "more fills the memory", "more does not end"  # reasons of upper limits


@dataclass(frozen=True)
class Range:
    """What a value may be."""

    words: str
    holds: Callable[[Any], bool]
    count: str = ""  # how many values, of a list

    def __str__(self) -> str:
        """As it stands behind "must be"."""
        return f"{self.count} {self.words}".strip()


def within(low: float, high: float, why: str = "") -> Range:
    """From low to high, both included. why: the reason of the limit, where the setting does not say it."""
    return Range(_explain(f"from {low:,} to {high:,}", why), lambda value: low <= value <= high)


def above(low: float, high: float, why: str = "") -> Range:
    """Above low, and at most high.

    >>> above(0, 1).words, above(0, 1).holds(1), above(0, 1).holds(0), above(0, 1).holds(float("nan"))
    ('above 0 and at most 1', True, False, False)
    """
    return Range(_explain(f"above {low:,} and at most {high:,}", why), lambda value: low < value <= high)


def below(low: float, high: float, why: str = "") -> Range:
    """At least low, and below high."""
    return Range(_explain(f"at least {low:,} and below {high:,}", why), lambda value: low <= value < high)


def between(low: float, high: float, why: str = "") -> Range:
    """Above low and below high."""
    return Range(_explain(f"above {low:,} and below {high:,}", why), lambda value: low < value < high)


def one_of(*names: str) -> Range:
    """One of these words; "" is called nothing."""
    return Range(f"one of {', '.join(name or 'nothing' for name in names)}", lambda value: value in names)


def words(most: int) -> Range:
    """Text of a length that names something in the data, of printable letters."""
    return Range(f"at most {most} printable letters", lambda value: len(value) <= most and value.isprintable())


def each(one: Range, *, least: int = 1, most: int = 16, order: str = "") -> Range:
    """A list of values, every one in the range `one`. order: "rising", "different" or nothing.

    >>> print(each(within(0, 100), order="rising"))
    1 to 16 rising values, each from 0 to 100
    """
    count = f"{least}" if least == most else f"{least} to {most:,}"

    def holds(values: Sequence[Any]) -> bool:
        pairs = zip(values, values[1:], strict=False)
        ordered = all(a < b for a, b in pairs) if order == "rising" else not order or len(set(values)) == len(values)
        return least <= len(values) <= most and all(map(one.holds, values)) and ordered

    return Range(f"{order} values, each {one.words}".strip(), holds, count)


def _explain(limits: str, why: str) -> str:
    return f"{limits} ({why})" if why else limits


SEED = within(0, 1_000_000)  # what all generators of random numbers take, also times a thousand
SEEDS = each(SEED, most=100, order="different")


def read_range(kind: type, name: str) -> tuple[Any, Range | None]:
    """Type of a setting and the range beside it, None where there is none; true or false needs none."""
    hint = get_type_hints(kind, include_extras=True)[name]
    if get_origin(hint) is not Annotated:
        return hint, None
    typed, *notes = get_args(hint)
    return typed, next((note for note in notes if isinstance(note, Range)), None)


def read_setting(kind: type, name: str, text: str, example: object) -> object:
    """The value that `--set NAME=TEXT` gives the field `name` of the dataclass `kind`.

    example: a value, for messages. Raises UsageError, one line, for another type and outside the range.

    >>> @dataclass
    ... class Config:
    ...     rate: Annotated[float, above(0, 1)] = 0.1
    >>> read_setting(Config, "rate", "-1", 0.1)
    Traceback (most recent call last):
    common.errors.UsageError: --set rate=-1: must be above 0 and at most 1
    """
    typed, allowed = read_range(kind, name)
    given = f"--set {name}={cut_end(text)}"
    try:
        value = _parse(typed, text)
    except ValueError:
        raise UsageError(f"{given}: expected {_name_type(typed)}, such as {show(example)}") from None
    if allowed is not None and not allowed.holds(value):
        fixed = get_origin(typed) is tuple and get_args(typed)[-1] is not Ellipsis
        raise UsageError(f"{given}: must be {replace(allowed, count=str(len(get_args(typed)))) if fixed else allowed}")
    return value


def refuse_conflicts(values: object, conflicts: Sequence[Conflict], given: Sequence[str]) -> None:
    """UsageError for the first conflict; values: the settings; given: those of the command line, which are named first."""
    for names, why in conflicts:
        shown = [f"{name}={show(getattr(values, name))}" for name in sorted(names, key=lambda name: name not in given)]
        raise UsageError(f"--set {' with '.join(shown)}: {why}")


def _parse(typed: Any, text: str) -> object:
    if get_origin(typed) is tuple:
        kinds, parts = get_args(typed), [part.strip() for part in text.split(",")] if text else []
        kinds = kinds[:1] * len(parts) if kinds[-1] is Ellipsis else kinds
        return tuple(_parse(one, part) for one, part in zip(kinds, parts, strict=True))  # ValueError for another number
    if typed is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    return typed(text)


def _name_type(typed: Any) -> str:
    if get_origin(typed) is tuple:
        first, *others = get_args(typed)
        count = "" if others == [Ellipsis] else f"{1 + len(others)} "
        return f"a list of {count}{first.__name__} separated by commas"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[typed]


def show(value: object) -> str:
    """A value as the command line takes it.

    >>> show((1, 2)), show(0.5)
    ('1,2', '0.5')
    """
    return cut_end(",".join(map(str, value)) if isinstance(value, tuple) else str(value))


def cut_end(text: str) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
