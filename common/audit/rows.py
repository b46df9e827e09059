"""Checks of printed accuracies and F1 that need no declaration: everything follows from the claims and their cases."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from common.audit.outcomes import (
    BELOW,
    IMPOSSIBLE,
    NOT_ABOVE,
    POSSIBLE,
    SWAPPED,
    UNDECIDED,
    VERDICT_OF_WAY,
    Line,
    Outcome,
    group_lines,
    join_keys,
)
from common.audit.printed import Printed, describe_counts, find_denominators, find_way, format_chance
from common.evaluation import statistics

LARGEST_CASES = 20_000  # largest number of cases tried where the stated one does not fit


def check_attainable(lines: Sequence[Line]) -> list[Outcome]:
    """Is every accuracy k/n for a whole number k of right answers? One outcome for each printed value and test set.

    This is the GRIM test (Brown NJL, Heathers JAJ. Soc Psychol Personal Sci 2017;8:363-369). Lines without cases are passed over.

    >>> lines = [Line("CNN", ("2",), {"ill": 40, "healthy": 60}, {"accuracy": Printed("91.5", "percent")})]
    >>> [(outcome.verdict, outcome.arithmetic, outcome.fits, outcome.tried) for outcome in check_attainable(lines)]
    [('impossible', '91/100 = 91.00, 92/100 = 92.00', 0, 101)]
    """
    outcomes = []
    for group in _group_accuracies(lines):
        for number in dict.fromkeys(line.metrics["accuracy"] for line in group):
            same, n = [line for line in group if line.metrics["accuracy"] == number], group[0].n
            way, counts = find_way(number, n)
            nearest = counts[len(counts) // 2] if counts else min(number.value, Fraction(1)) * n
            outcomes.append(
                Outcome(
                    "attainable",
                    f"accuracy {number.text} of {n}; " + "; ".join(dict.fromkeys(line.name for line in same)),
                    VERDICT_OF_WAY[way],
                    describe_counts(number, n),
                    join_keys(same),
                    len(counts),
                    n + 1,
                    number.chance(n),
                    statistics.wilson_interval(float(nearest), n),
                    ("accuracy",),
                )
            )
    return outcomes


def check_denominators(lines: Sequence[Line]) -> list[Outcome]:
    """Where an accuracy is not attainable over the stated cases: over which numbers of cases would all of them be?

    One outcome for each test set with such an accuracy; `limit_denominators` says how far is searched.

    >>> metrics = {"accuracy": Printed("33.3", "percent")}
    >>> [outcome.arithmetic.split(" (")[0] for outcome in check_denominators([Line("CNN", ("2",), {"ill": 10}, metrics)])]
    ['0 of 1 are attainable over 10; all are over these of 2 to 400: 3, 6, 9, 12, 15, 18, ...']
    """
    outcomes = []
    for group in _group_accuracies(lines):
        numbers, n = list(dict.fromkeys(line.metrics["accuracy"] for line in group)), group[0].n
        attained = sum(find_way(number, n)[0] is not None for number in numbers)
        if attained == len(numbers):
            continue
        largest = limit_denominators(numbers, n)
        fitting = find_denominators(numbers, largest)
        shown = ", ".join(map(str, fitting[:6])) + (", ..." if len(fitting) > 6 else "")
        chance = prod((number.chance(fitting[0] if fitting else n) for number in numbers), start=Fraction(1))
        found = f"{shown} (by chance all over {fitting[0]}: {format_chance(chance)})" if fitting else "none"
        outcomes.append(
            Outcome(
                "denominator",
                f"{len(numbers)} different accuracies over {n} cases",
                IMPOSSIBLE,
                f"{attained} of {len(numbers)} are attainable over {n}; all are over these of 2 to {largest}: {found}",
                join_keys(group),
                len(fitting),
                largest - 1,
                chance,
            )
        )
    return outcomes


def find_cases(lines: Sequence[Line]) -> int:
    """Number of cases behind lines of one test set: the stated one if all accuracies are attainable over it, else the
    smallest over which they are; the stated one if there is none.

    >>> find_cases([Line("CNN", ("2",), {"ill": 10}, {"accuracy": Printed("33.3", "percent")})])  # 1/3
    3
    """
    numbers, n = list({line.metrics["accuracy"] for line in lines if "accuracy" in line.metrics}), lines[0].n
    if not numbers or all(find_way(number, n)[0] for number in numbers):
        return n
    fitting = find_denominators(numbers, limit_denominators(numbers, n))
    return fitting[0] if fitting else n


def _group_accuracies(lines: Sequence[Line]) -> list[list[Line]]:
    return group_lines(line for line in lines if line.n and "accuracy" in line.metrics)


def limit_denominators(numbers: Sequence[Printed], n: int) -> int:
    """Largest number of cases worth trying in place of n: twice as many or 400, whichever is more.

    It is at most LARGEST_CASES and half of the numbers that the printed digits tell apart: above that nearly everything fits.

    >>> limit_denominators([Printed("91.5", "percent")], 100), limit_denominators([Printed("91.5", "percent")], 1000)
    (400, 500)
    """
    return min(max(400, 2 * n), max(int(1 / number.step) // 2 for number in numbers), LARGEST_CASES)


def check_between(lines: Sequence[Line]) -> list[Outcome]:
    """With two classes accuracy is a weighted mean of sensitivity and specificity, so it lies between them.

    One outcome for each line that prints all three; each number may be wrong by one unit of its last digit.

    >>> metrics = {"accuracy": "95.0", "sensitivity": "90.0", "specificity": "93.0"}
    >>> line = Line("CNN", ("2",), {}, {name: Printed(text, "percent") for name, text in metrics.items()})
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_between([line])]
    [('impossible', 'accuracy 95.0 is not between 90.0 and 93.0')]
    """
    outcomes = []
    for line in lines:
        names = ("accuracy", "sensitivity", "specificity")
        if len(line.classes) > 2 or not set(names) <= line.metrics.keys():
            continue
        accuracy, *ends = (line.metrics[name] for name in names)
        low, high = sorted(ends, key=lambda number: number.value)
        inside = accuracy.bounds("near")[1] >= low.bounds("near")[0] and accuracy.bounds("near")[0] <= high.bounds("near")[1]
        outcomes.append(
            Outcome(
                "between",
                line.show(*names),
                POSSIBLE if inside else IMPOSSIBLE,
                f"accuracy {accuracy.text} is {'' if inside else 'not '}between {low.text} and {high.text}",
                line.keys,
                metrics=names,
            )
        )
    return outcomes


def check_majority(lines: Sequence[Line]) -> list[Outcome]:
    """Is accuracy above that of always giving the commonest class of the test set?

    Verdicts: "below majority"; "not above majority" where the lower end of the accuracy's 95 % Wilson interval does not exceed
    it; else "possible".

    >>> line = Line("CNN", ("2",), {"ill": 40, "healthy": 60}, {"accuracy": Printed("65.0", "percent")})
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_majority([line])]  # Wilson: from 55.3 %
    [('not above majority', 'always healthy: 60/100 = 60.00; 5 cases above')]
    """
    outcomes = []
    for line in lines:
        if not line.n or "accuracy" not in line.metrics:
            continue
        number, n = line.metrics["accuracy"], line.n
        name, most = max(line.classes.items(), key=lambda item: item[1])
        _, counts = find_way(number, n)
        right = Fraction(counts[-1] if counts else number.value * n)
        low, _ = statistics.wilson_interval(float(right), n)
        verdict = BELOW if right < most else NOT_ABOVE if low <= most / n else POSSIBLE
        gap = abs(right - most)
        outcomes.append(
            Outcome(
                "majority",
                line.show("accuracy"),
                verdict,
                f"always {name}: {most}/{n} = {number.show(Fraction(most, n))}; {_format_count(gap)} cases "
                f"{'below' if right < most else 'above'}",
                line.keys,
            )
        )
    return outcomes


def _format_count(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"about {round(value)}"


def check_f1(lines: Sequence[Line]) -> list[Outcome]:
    """Is F1 2 P R / (P + R) of the printed precision P and recall R; if not, is another column?

    Verdicts: "possible"; "swapped" where another column of the row is it; else "impossible" with two classes and "undecided" with
    more, where F1 may be a mean over the classes.

    >>> metrics = {"precision": "0.50", "sensitivity": "1.00", "specificity": "0.67", "f1": "0.80"}
    >>> line = Line("CNN", ("2",), {}, {name: Printed(text, "fraction") for name, text in metrics.items()})
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_f1([line])]
    [('swapped', '2 x 0.50 x 1.00 / (0.50 + 1.00) = 0.667: the column headed specificity, 0.67')]
    """
    outcomes = []
    for line in lines:
        names = ("precision", "sensitivity", "f1")
        if not set(names) <= line.metrics.keys():
            continue
        p, r = line.metrics["precision"], line.metrics["sensitivity"]
        value = _combine_f1(p.value, r.value)
        other = find_f1_column(line)
        formula = f"2 x {p.text} x {r.text} / ({p.text} + {r.text}) = {line.metrics['f1'].show(value)}"
        if other == "f1":
            verdict, text = POSSIBLE, formula
        elif other:
            verdict, text = SWAPPED, f"{formula}: the column headed {other}, {line.metrics[other].text}"
        elif len(line.classes) == 2:
            verdict, text = IMPOSSIBLE, f"{formula}, not {line.metrics['f1'].text}"
        else:
            verdict, text = UNDECIDED, f"{formula}, not {line.metrics['f1'].text}: at best a mean of the classes' F1"
        tried = len(line.metrics.keys() - {"precision", "sensitivity"})
        outcomes.append(Outcome("F1", line.show(*names), verdict, text, line.keys, int(other is not None), tried, metrics=names))
    return outcomes


def find_f1_column(line: Line) -> str | None:
    """The metric whose printed value is 2 P R / (P + R) within rounding: "f1" where it is; None if there is none.

    The line must print precision and sensitivity.

    >>> metrics = {"precision": "0.50", "sensitivity": "1.00", "specificity": "0.67", "f1": "0.80"}
    >>> find_f1_column(Line("CNN", ("2",), {}, {name: Printed(text, "fraction") for name, text in metrics.items()}))
    'specificity'
    """
    p, r = line.metrics["precision"], line.metrics["sensitivity"]
    low, high = (_combine_f1(a, b) for a, b in zip(p.bounds("truncated"), r.bounds("truncated"), strict=True))
    for name in ("f1", *(name for name in line.metrics if name not in ("f1", "precision", "sensitivity"))):
        first, last = line.metrics[name].bounds("truncated")
        if low <= last and first <= high:
            return name
    return None


def exchange_f1(line: Line) -> Line:
    """The line with F1 and the column that is F1 exchanged, where `check_f1` says so.

    >>> metrics = {"precision": "0.50", "sensitivity": "1.00", "specificity": "0.67", "f1": "0.80"}
    >>> line = Line("CNN", ("2",), {}, {name: Printed(text, "fraction") for name, text in metrics.items()})
    >>> exchange_f1(line).show("f1", "specificity")
    'Table 2: CNN, f1 0.67, specificity 0.80'
    """
    if not {"precision", "sensitivity", "f1"} <= line.metrics.keys():
        return line
    other = find_f1_column(line)
    if other in (None, "f1"):
        return line
    return replace(line, metrics={**line.metrics, "f1": line.metrics[other], other: line.metrics["f1"]})


def _combine_f1(precision: Fraction, recall: Fraction) -> Fraction:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else Fraction(0)
