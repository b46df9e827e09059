"""Macro means of several classes as a paper.toml declares them: of how many cases per class, and with what offset?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import comb, factorial

from common.audit.confusions import MACRO, Solution, compute_macro, list_compositions, list_matrices, search_macro
from common.audit.outcomes import IMPOSSIBLE, POSSIBLE, UNDECIDED, VERDICT_OF_WAY, Line, Outcome, join_keys
from common.audit.printed import WAYS, Printed
from common.audit.rows import exchange_f1, find_cases, find_f1_column

# Divisions of the cases into classes x rows x offsets x ways to spread the right answers: what is tried in about ten seconds.
MOST_WORK = 50_000_000


def check_macro(lines: Sequence[Line], offsets: Sequence[Fraction], cases: int | None = None) -> list[Outcome]:
    """Macro means of several classes: which numbers of cases per class, and which offset in the denominators, explain
    all rows? Lines of one test set; `cases`: of all classes together, searched for if not given.

    The stated cases per class come first; if they explain all rows, no others are searched. Columns that `check_f1` finds
    exchanged are exchanged back; F1 counts if it is 2 P R / (P + R) in all rows that print P and R as well. offsets: tried as
    what is added to every denominator, the usual one (0) first. Returns one outcome "macro" for all lines and, if any row is
    explained, one "macro row" for each; "undecided" where the search would be too large.

    Two right of two, one of two, one of two: accuracy and macro recall 4/6, macro precision (2/3 + 1 + 1/2) / 3 = 0.722.

    >>> metrics = {"accuracy": "0.667", "sensitivity": "0.667", "precision": "0.722"}
    >>> printed = {name: Printed(text, "fraction") for name, text in metrics.items()}
    >>> outcomes = check_macro([Line("CNN", ("2",), {"a": 2, "b": 2, "c": 2}, printed)], [Fraction(0)])
    >>> [(outcome.check, outcome.verdict) for outcome in outcomes], outcomes[0].arithmetic
    ([('macro', 'possible'), ('macro row', 'possible')], '2/2/2 explains 1 of 1 rows')
    """
    lines = [exchange_f1(line) for line in lines if "accuracy" in line.metrics and set(MACRO) & line.metrics.keys()]
    if not lines:
        return []
    defining = [find_f1_column(line) for line in lines if {"precision", "sensitivity", "f1"} <= line.metrics.keys()]
    if set(defining) != {"f1"}:  # a mean of the classes' F1, or unknown
        lines = [replace(line, metrics={k: v for k, v in line.metrics.items() if k != "f1"}) for line in lines]
    stated = tuple(sorted(lines[0].classes.values(), reverse=True))
    telling = [line for line in lines if {"sensitivity", "specificity", "precision"} <= line.metrics.keys()] or lines
    n = cases or find_cases(lines)
    # Of the ordered divisions, classes! each, nearly all are the same one in another order.
    divisions = comb(n - 1, len(stated) - 1) // factorial(len(stated)) + 1
    work = divisions * len(telling) * len(offsets) * (n // len(stated) + 1) ** (len(stated) - 1)
    try:
        if n < len(stated):
            raise ValueError(f"{n} cases cannot be divided into {len(stated)} classes")
        if sum(stated) == n and _count_explained(telling, stated, offsets[0]) == len(telling):
            compositions = [stated]
        elif work > MOST_WORK:
            raise ValueError(f"{n} cases can be divided into {len(stated)} classes in about {divisions} ways: too many to search")
        else:
            compositions = list_compositions(n, len(stated))
        explained = {
            (composition, offset): _count_explained(telling, composition, offset)
            for composition in compositions
            for offset in offsets
        }
        (best, offset), most = max(explained.items(), key=lambda item: item[1])
        names = sorted(lines[0].classes, key=lines[0].classes.__getitem__, reverse=True)
        rows = [_judge_macro_row(line, best, offset, names) for line in lines] if most else []
    except ValueError as error:
        return [Outcome("macro", f"{len(lines)} rows of macro means", UNDECIDED, str(error), join_keys(lines))]
    return [_judge_composition(lines, telling, stated, explained, best, offset), *rows]


def _count_explained(lines: Sequence[Line], composition: tuple[int, ...], offset: Fraction) -> int:
    return sum(bool(search_macro(_list_macro(line), composition, offset, "truncated", most=1)) for line in lines)


def _list_macro(line: Line) -> dict[str, Printed]:
    return {name: line.metrics[name] for name in ("accuracy", *MACRO) if name in line.metrics}


def _solve_macro(line: Line, composition: tuple[int, ...], offset: Fraction) -> tuple[str | None, list[Solution]]:
    """(way, solutions) of the strictest way that has any."""
    for way in WAYS:
        if solutions := search_macro(_list_macro(line), composition, offset, way, most=100):
            return way, solutions
    return None, []


def _judge_composition(
    lines: Sequence[Line],
    telling: Sequence[Line],
    stated: tuple[int, ...],
    explained: Mapping[tuple[tuple[int, ...], Fraction], int],
    best: tuple[int, ...],
    offset: Fraction,
) -> Outcome:
    most, total = explained[best, offset], len(telling)

    def name(composition: tuple[int, ...]) -> str:
        return "/".join(map(str, composition))

    others = [count for (composition, _), count in explained.items() if composition != best]
    added = f" with {float(offset):g} added to every denominator" if offset else ""
    parts = [f"{name(best)}{added} explains {most} of {total} rows"]
    parts += [f"with offset {float(e):g} {explained[best, e]}" for c, e in explained if c == best and e != offset]
    if others:
        parts.append(f"the best other division of {sum(best)} explains {max(others)}")
    if sum(stated) != sum(best):
        parts.append(f"the stated {name(stated)} are {sum(stated)} cases, over which not all accuracies are attainable")
    good = best == stated and not offset and most == total
    return Outcome(
        "macro",
        f"{total} rows of macro means, {name(stated)} cases",
        POSSIBLE if good else IMPOSSIBLE,
        "; ".join(parts),
        join_keys(lines),
        sum(count == most for count in explained.values()),
        len(explained),
    )


def _judge_macro_row(line: Line, composition: tuple[int, ...], offset: Fraction, classes: Sequence[str]) -> Outcome:
    way, solutions = _solve_macro(line, composition, offset)
    names = tuple(_list_macro(line))
    subject = line.show(*names)
    if not solutions:
        text = f"no confusion matrix of {'/'.join(map(str, composition))} cases"
        return Outcome("macro row", subject, IMPOSSIBLE, text, line.keys, 0, metrics=names)
    first = solutions[0]
    matrices = [matrix for solution in solutions for matrix in list_matrices(solution)]
    terms = [f"{right}/{float(cases + offset):g}" for right, cases in zip(first.correct, first.cases, strict=True)]
    recall = Printed("0.0000", "fraction").show(compute_macro(first, offset)["sensitivity"])
    parts = [
        f"right {', '.join(map(str, first.correct))} of {', '.join(map(str, composition))} ({', '.join(classes)})",
        f"wrongly called so {', '.join(map(str, first.false_positives))}",
        f"sensitivity ({' + '.join(terms)}) / {len(terms)} = {recall}",
    ]
    if len(matrices) == 1:
        parts.append(f"one matrix: {', '.join(map(str, matrices[0]))}")
    elif len(solutions) > 1:
        parts.append(f"{len(solutions) - 1} other such counts")
    return Outcome("macro row", subject, VERDICT_OF_WAY[way], "; ".join(parts), line.keys, len(matrices), metrics=names)
