"""Rows with several metrics: is there one confusion matrix that gives them all?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import comb, factorial, prod

from common.audit.confusions import (
    BINARY,
    MACRO,
    ROOTED,
    TWO_CLASSES,
    Solution,
    compute_macro,
    list_compositions,
    list_matrices,
    search_binary,
    search_macro,
)
from common.audit.outcomes import (
    IMPOSSIBLE,
    POSSIBLE,
    SWAPPED,
    UNDECIDED,
    VERDICT_OF_WAY,
    Averaging,
    Line,
    Outcome,
    group_lines,
    join_keys,
)
from common.audit.printed import WAYS, Printed, find_way, format_chance
from common.audit.readings import explain_accuracy, explain_line
from common.audit.rows import exchange_f1, find_cases, find_f1_column

# Divisions of the cases into classes x rows x offsets x ways to spread the right answers: what is tried in about ten seconds.
MOST_WORK = 50_000_000

# Strictest way in which one confusion matrix gives all metrics of a row, None if there is none or "too many" if the search was
# given up; and all such (tp, tn).
Explanation = tuple[str | None, list[tuple[int, int]]]


def check_matrix(lines: Sequence[Line], positive_class: str) -> list[Outcome]:
    """Two classes: does one confusion matrix give all metrics of a row, and which class was positive?

    The rows are judged with the class as positive that explains more of them; the outcome "orientation" says which. lines: of any
    test sets; those without cases, of other than two classes or with one metric are passed over. positive_class: as the paper
    says; several are separated by ";".

    >>> metrics = {"accuracy": Printed("85.0", "percent"), "sensitivity": Printed("87.5", "percent")}
    >>> outcomes = check_matrix([Line("CNN", ("2",), {"ill": 40, "healthy": 60}, metrics)], "ill")
    >>> [(outcome.check, outcome.verdict) for outcome in outcomes]
    [('orientation', 'possible'), ('one matrix', 'possible')]
    >>> outcomes[1].arithmetic
    'ill positive: sensitivity 35/40 = 87.50, specificity 50/60 = 83.33, accuracy 85/100 = 85.00'
    """
    outcomes = []
    for group in group_lines(line for line in lines if _is_binary(line)):
        orders = find_binary_orders(group[0], positive_class)
        explained = {order: [_explain(line, order) for line in group] for order in orders}
        # Rows that averages over classes, folds or runs explain, where the paper leaves that open, say nothing of the positive class.
        otherwise = [
            None if any(explained[order][i][0] in WAYS for order in orders[:1]) else explain_line(line, but_binary=True)
            for i, line in enumerate(group)
        ]
        telling = [other is None or other[0] in (IMPOSSIBLE, UNDECIDED) for other in otherwise]
        fitting = {
            order: sum(way in WAYS and tells for (way, _), tells in zip(found, telling, strict=True))
            for order, found in explained.items()
        }
        best = max(orders, key=fitting.__getitem__)  # as stated if both explain as many
        for line, (way, solutions), other in zip(group, explained[best], otherwise, strict=True):
            outcomes.append(_judge_row(line, best, way, solutions, other))
        if len(set(group[0].classes.values())) == 2:
            named = any(name in map(str.strip, positive_class.split(";")) for name in group[0].classes)
            outcomes.insert(0, _judge_orientation(group, orders, explained, best, named))
    return outcomes


def _is_binary(line: Line) -> bool:
    """Whether one matrix of two classes is asked for."""
    may_be = line.averaging.may_be_single and line.averaging.may_be_binary
    return bool(line.n) and len(line.classes) == 2 and may_be and len(line.metrics.keys() & TWO_CLASSES.keys()) > 1


def check_averages(lines: Sequence[Line]) -> list[Outcome]:
    """Averages over classes, folds or runs: does any usual reading that the line allows give all metrics of a row?

    Lines of two classes and one test set are left to `check_matrix`; those without cases, with one metric or with an accuracy that is
    impossible by itself are passed over.

    >>> metrics = {name: Printed("90.0", "percent") for name in ("accuracy", "sensitivity", "precision")}
    >>> line = Line("CNN", ("2",), {"a": 20, "b": 30, "c": 50}, metrics, Averaging("micro", folds=1, runs=1))
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_averages([line])]
    [('possible', 'as micro means: right 20, 30, 40 of 20, 30, 50')]
    """
    outcomes = []
    for line in lines:
        names = tuple(name for name in line.metrics if name in TWO_CLASSES)
        if not line.n or len(line.classes) < 2 or len(names) < 2 or _is_binary(line):
            continue
        if "accuracy" in line.metrics and explain_accuracy(line.metrics["accuracy"], line)[0] == IMPOSSIBLE:
            continue
        verdict, text = explain_line(line)
        outcomes.append(Outcome("averages", line.show(*names), verdict, text, line.keys, metrics=names))
    return outcomes


def _explain(line: Line, order: tuple[str, str]) -> Explanation:
    positives, negatives = (line.classes[name] for name in order)
    known = {name: number for name, number in line.metrics.items() if name in TWO_CLASSES}
    for way in WAYS:
        try:
            solutions = search_binary(known, positives, negatives, way)
        except ValueError:
            return "too many", []
        if solutions:
            return way, solutions
    return None, []


def find_right(line: Line, lines: Sequence[Line], positive_class: str) -> tuple[list[int], int]:
    """(possible numbers of right answers of a row, number of cases). From the accuracy; if that is not attainable, from a
    confusion matrix of two classes that is within one unit of all metrics. `lines`: all rows of the paper.

    >>> line = Line("CNN", ("2",), {"ill": 40, "healthy": 60}, {"accuracy": Printed("85.0", "percent")})
    >>> find_right(line, [line], "ill")
    ([85], 100)
    """
    group = [other for other in lines if dict(other.classes) == dict(line.classes)]
    n = find_cases(group)
    right = set(find_way(line.metrics["accuracy"], n)[1])
    if not right and n == line.n:
        for order in find_binary_orders(line, positive_class):
            right |= {tp + tn for tp, tn in _explain(line, order)[1]}
    return sorted(right), n


def _judge_row(
    line: Line, order: tuple[str, str], way: str | None, solutions: list[tuple[int, int]], otherwise: tuple[str, str] | None
) -> Outcome:
    positives, negatives = (line.classes[name] for name in order)
    names = tuple(name for name in line.metrics if name in TWO_CLASSES)
    tests = [number.chance(line.classes[order[i]]) for i, name in enumerate(("sensitivity", "specificity"))
             if (number := line.metrics.get(name))]  # fmt: skip
    verdict, text = VERDICT_OF_WAY[way], f"{order[0]} positive: " + _describe_matrix(line, positives, negatives, solutions)
    if way not in WAYS and otherwise and (verdict == IMPOSSIBLE or otherwise[0] not in (IMPOSSIBLE, UNDECIDED)):
        verdict, text = otherwise[0], text if otherwise[0] in (IMPOSSIBLE, UNDECIDED) else f"{otherwise[1]}; {text}"
    return Outcome(
        "one matrix",
        line.show(*names),
        verdict,
        text,
        line.keys,
        len(solutions),
        (positives + 1) * (negatives + 1),
        prod(tests, start=Fraction(1)) if tests else None,
        metrics=names,
    )


def _describe_matrix(line: Line, positives: int, negatives: int, solutions: list[tuple[int, int]]) -> str:
    """The metrics that the first solution gives; without one, those of the counts nearest to sensitivity and specificity."""
    if solutions:
        tp, tn = solutions[0]
    elif {"sensitivity", "specificity"} <= line.metrics.keys():
        tp, tn = (round(line.metrics[name].value * n) for name, n in (("sensitivity", positives), ("specificity", negatives)))
    else:
        return "no confusion matrix gives these metrics, or there are too many to try"
    parts = []
    for name in ("sensitivity", "specificity", *(name for name in line.metrics if name in BINARY), "accuracy"):
        top, bottom = BINARY[name](tp, positives - tp, negatives - tn, tn)
        number = line.metrics.get(name, next(iter(line.metrics.values())))
        text = f"{name} {top}/{bottom} = {number.show(Fraction(top, bottom or 1))}"
        if name in line.metrics and not solutions and not number.holds(Fraction(top, bottom or 1), "near"):
            text += f" (printed {number.text})"
        parts.append(text)
    for name, metric in ROOTED.items():
        if name in line.metrics:
            top, root = metric(tp, positives - tp, negatives - tn, tn)
            parts.append(f"{name} {top}/{root:.6g} = {line.metrics[name].show(Fraction(top / root if root else 0.0))}")
    return ", ".join(dict.fromkeys(parts))


def _judge_orientation(
    group: Sequence[Line],
    orders: Sequence[tuple[str, str]],
    explained: Mapping[tuple[str, str], list[Explanation]],
    best: tuple[str, str],
    named: bool,
) -> Outcome:
    texts = []
    for order in orders:
        ways = Counter(way for way, _ in explained[order] if way in WAYS)
        words = {"rounded": "rounded", "truncated": "some truncated", "near": "some off by one unit of the last digit"}
        split = ", ".join(f"{count} {words[way]}" for way in WAYS if (count := ways[way]))
        alone = []
        for name, cases in zip(("sensitivity", "specificity"), (group[0].classes[c] for c in order), strict=True):
            numbers = [line.metrics[name] for line in group if name in line.metrics]
            if numbers:
                hits = sum(find_way(number, cases)[0] is not None for number in numbers)
                chance = format_chance(numbers[0].chance(cases))
                alone.append(f"{name} alone is k/{cases} in {hits} of {len(numbers)}, {chance} each by chance")
        texts.append(
            f"{order[0]} positive ({group[0].classes[order[0]]}): {ways.total()} of {len(group)} rows have a confusion matrix"
            + (f" ({split})" if split else "") + "".join(f"; {text}" for text in alone)
        )  # fmt: skip
    if best != orders[0] and named:
        texts.append(f"So {best[0]} was the positive class, or the numbers of cases of the two classes are exchanged")
    return Outcome(
        "orientation",
        f"{len(group)} row{'s' * (len(group) > 1)} of {group[0].n} cases, {orders[0][0]} positive",
        POSSIBLE if best == orders[0] or not named else SWAPPED,
        ". ".join(texts),
        join_keys(group),
        sum(way in WAYS for way, _ in explained[best]),
        len(group),
    )


def find_binary_orders(line: Line, positive_class: str) -> list[tuple[str, str]]:
    """(positive class, other class) of two classes, as stated first; [] for a row of more classes.

    >>> find_binary_orders(Line("CNN", ("2",), {"ill": 40, "healthy": 60}, {}), "healthy")
    [('healthy', 'ill'), ('ill', 'healthy')]
    """
    if len(line.classes) != 2:
        return []
    stated = [part.strip() for part in positive_class.split(";")]
    first, second = sorted(line.classes, key=lambda name: name not in stated)
    return [(first, second), (second, first)]


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
    """(way, solutions) of the strictest of "rounded" and "truncated" that has any."""
    for way in WAYS[:2]:
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
    return Outcome("macro row", subject, VERDICT_OF_WAY[way], "; ".join(parts), line.keys, len(matrices))
