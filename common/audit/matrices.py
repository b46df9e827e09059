"""Rows with several metrics: is there one confusion matrix that gives them all?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import prod

from common.audit.confusions import BINARY, ROOTED, TWO_CLASSES, search_binary
from common.audit.contradictions import find_contradictions, keep_metrics
from common.audit.means import RATIOS
from common.audit.outcomes import (
    IMPOSSIBLE,
    POSSIBLE,
    SWAPPED,
    UNDECIDED,
    VERDICT_OF_WAY,
    Line,
    Outcome,
    group_lines,
    join_keys,
)
from common.audit.printed import WAYS, find_way, format_chance
from common.audit.readings import explain_accuracy, explain_line, may_be_recall
from common.audit.rows import find_cases

# Strictest way in which one confusion matrix gives all metrics of a row, None if there is none or "too many" if the search was
# given up; and all such (tp, tn).
Explanation = tuple[str | None, list[tuple[int, int]]]


def check_matrix(lines: Sequence[Line], positive_class: str) -> list[Outcome]:
    """Two classes: does one confusion matrix give all metrics of a row, and which class was positive?

    The rows are judged with the class as positive that explains more of them; the outcome "orientation" says which. lines: of any
    test sets; those without cases, of other than two classes or with one metric are passed over. positive_class: as the paper
    says; several are separated by ";".

    >>> from common.audit.printed import Printed
    >>> metrics = {"accuracy": Printed("85.0", "percent"), "sensitivity": Printed("87.5", "percent")}
    >>> outcomes = check_matrix([Line("CNN", ("2",), {"ill": 40, "healthy": 60}, metrics)], "ill")
    >>> [(outcome.check, outcome.verdict) for outcome in outcomes]
    [('orientation', 'possible'), ('one matrix', 'possible')]
    >>> outcomes[1].arithmetic
    'ill positive: sensitivity 35/40 = 87.50, specificity 50/60 = 83.33, accuracy 85/100 = 85.00'
    """
    outcomes = []
    for group in group_lines(line for line in lines if is_binary(line)):
        orders = find_binary_orders(group[0], positive_class)
        explained = {order: [explain_binary(line, order) for line in group] for order in orders}
        # Rows that averages over classes, folds or runs explain, where the paper leaves that open, say nothing of the positive
        # class.
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


def is_binary(line: Line) -> bool:
    """Whether one matrix of two classes is asked for: their cases are known, and nothing says that the row is an average.

    >>> from common.audit.printed import Printed
    >>> is_binary(Line("CNN", ("2",), {"ill": 40, "healthy": 60}, {"accuracy": Printed("85.0", "percent")}))  # one metric only
    False
    """
    may_be = line.averaging.may_be_single and line.averaging.may_be_binary
    return bool(line.n) and len(line.classes) == 2 and may_be and len(line.metrics.keys() & TWO_CLASSES.keys()) > 1


def check_averages(lines: Sequence[Line]) -> list[Outcome]:
    """Averages over classes, folds or runs: does any usual reading that the line allows give all metrics of a row?

    Lines of two classes and one test set are left to `check_matrix`; those without cases, with one metric or with an accuracy
    that is impossible by itself are passed over.

    >>> from common.audit.outcomes import Averaging
    >>> from common.audit.printed import Printed
    >>> metrics = {name: Printed("90.0", "percent") for name in ("accuracy", "sensitivity", "precision")}
    >>> line = Line("CNN", ("2",), {"a": 20, "b": 30, "c": 50}, metrics, Averaging("micro", folds=1, runs=1))
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_averages([line])]
    [('possible', 'as micro means: right 20, 30, 40 of 20, 30, 50')]
    """
    outcomes = []
    for line in lines:
        names = tuple(name for name in line.metrics if name in RATIOS)
        if not line.n or len(line.classes) < 2 or len(names) < 2 or is_binary(line):
            continue
        if "accuracy" in line.metrics and explain_accuracy(line.metrics["accuracy"], line)[0] == IMPOSSIBLE:
            continue
        verdict, text = explain_line(line)
        outcome = Outcome("averages", line.show(*names), verdict, text, line.keys, metrics=names)
        if verdict == IMPOSSIBLE:
            found = find_contradictions(names, partial(_excludes_averages, line))
            outcome = replace(outcome, contradictions=found)
        outcomes.append(outcome)
    return outcomes


def _excludes_averages(line: Line, names: frozenset[str]) -> bool:
    """Whether some metrics of a row exclude each other in every reading that the row leaves open."""
    lines = [keep_metrics(line, names)]
    if "accuracy" in names and "sensitivity" not in names and may_be_recall(line):
        # What the accuracy may be shows beside the sensitivity only.
        recall = {"balanced_accuracy" if name == "accuracy" else name: number for name, number in lines[0].metrics.items()}
        lines.append(replace(line, metrics=recall))
    return all(explain_line(one)[0] == IMPOSSIBLE for one in lines)


def explain_binary(line: Line, order: tuple[str, str]) -> Explanation:
    """The strictest way in which one matrix gives the row's metrics, None or "too many"; and all such (tp, tn).

    order: positive class, other class.

    >>> from common.audit.printed import Printed
    >>> metrics = {"accuracy": Printed("85.0", "percent"), "sensitivity": Printed("87.5", "percent")}
    >>> explain_binary(Line("CNN", ("2",), {"ill": 40, "healthy": 60}, metrics), ("ill", "healthy"))
    ('rounded', [(35, 50)])
    """
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

    >>> from common.audit.printed import Printed
    >>> line = Line("CNN", ("2",), {"ill": 40, "healthy": 60}, {"accuracy": Printed("85.0", "percent")})
    >>> find_right(line, [line], "ill")
    ([85], 100)
    """
    group = [other for other in lines if dict(other.classes) == dict(line.classes)]
    n = find_cases(group)
    right = set(find_way(line.metrics["accuracy"], n)[1])
    if not right and n == line.n:
        for order in find_binary_orders(line, positive_class):
            right |= {tp + tn for tp, tn in explain_binary(line, order)[1]}
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
    found = find_contradictions(names, partial(_excludes_matrix, line, order)) if verdict == IMPOSSIBLE else ()
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
        contradictions=found,
    )


def _excludes_matrix(line: Line, order: tuple[str, str], names: frozenset[str]) -> bool:
    """Whether some metrics of a row have no matrix with this positive class, nor any other reading that the row leaves open."""
    some = keep_metrics(line, names)
    return explain_binary(some, order)[0] is None and explain_line(some, but_binary=True)[0] == IMPOSSIBLE


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
