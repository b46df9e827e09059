"""Which numbers of an impossible row are at fault: the smallest sets of them that exclude each other.

A number that stands in no such set is free: whatever it were, the others would contradict each other all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from common.audit.outcomes import Line

MOST_TRIED = 300  # sets of numbers that are judged, for one row


def find_contradictions(names: Sequence[str], contradicts: Callable[[frozenset[str]], bool]) -> tuple[tuple[str, ...], ...]:
    """The sets of names that contradict each other, and without any one of their names do not; the smallest first.

    names: of a whole that contradicts itself. contradicts: whether some of them do by themselves. After MOST_TRIED calls no
    further set is taken apart.

    >>> find_contradictions(["a", "b", "c", "d"], lambda some: {"a", "c"} <= some or "d" in some)
    (('d',), ('a', 'c'))
    """
    known: dict[frozenset[str], bool] = {}
    smallest, seen, stack = set(), set(), [frozenset(names)]
    while stack:
        some = stack.pop()
        parts = [some - {name} for name in some if len(some) > 1]
        for part in parts:
            if part not in known and len(known) < MOST_TRIED:
                known[part] = contradicts(part)
        found = [part for part in parts if known.get(part)]
        if not found:
            smallest.add(some)
        stack += [part for part in found if part not in seen]
        seen.update(found)
    # A set that was not taken apart for want of calls may hold another one.
    kept = [some for some in smallest if not any(other < some for other in smallest)]
    ordered = [tuple(name for name in names if name in some) for some in kept]
    return tuple(sorted(ordered, key=lambda some: (len(some), [names.index(name) for name in some])))


def keep_metrics(line: Line, names: frozenset[str]) -> Line:
    """The line with some of its metrics.

    >>> from common.audit.printed import Printed
    >>> line = Line("CNN", ("2",), {}, {name: Printed("0.9", "fraction") for name in ("accuracy", "auc")})
    >>> list(keep_metrics(line, frozenset(["auc"])).metrics)
    ['auc']
    """
    return replace(line, metrics={name: number for name, number in line.metrics.items() if name in names})
