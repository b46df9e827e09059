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

LARGEST_CASES = 20_000  # tried in the search for a number of cases


def check_attainable(lines: Sequence[Line]) -> list[Outcome]:
    """Is every accuracy k/n for a whole number k? One outcome for each printed value and test set."""
    outcomes = []
    for group in _group_accuracies(lines):
        for number in dict.fromkeys(line.metrics["accuracy"] for line in group):
            same, n = [line for line in group if line.metrics["accuracy"] == number], group[0].n
            way, counts = find_way(number, n)
            nearest = counts[len(counts) // 2] if counts else min(number.value, 1) * n
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
    """Where an accuracy is not attainable over the stated cases: over which numbers of cases would all of them be?"""
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
    smallest over which they are; the stated one if there is none."""
    numbers, n = list({line.metrics["accuracy"] for line in lines if "accuracy" in line.metrics}), lines[0].n
    if not numbers or all(find_way(number, n)[0] for number in numbers):
        return n
    fitting = find_denominators(numbers, limit_denominators(numbers, n))
    return fitting[0] if fitting else n


def _group_accuracies(lines: Sequence[Line]) -> list[list[Line]]:
    return group_lines(line for line in lines if line.n and "accuracy" in line.metrics)


def limit_denominators(numbers: Sequence[Printed], n: int) -> int:
    """Largest number of cases worth trying: above half of the printable numbers nearly everything fits."""
    return min(max(400, 2 * n), max(int(1 / number.step) // 2 for number in numbers), LARGEST_CASES)


def check_between(lines: Sequence[Line]) -> list[Outcome]:
    """With two classes accuracy is a weighted mean of sensitivity and specificity, so it lies between them."""
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
    """Accuracy beside that of always giving the commonest class of the test set."""
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
                f"always {name}: {most}/{n} = {number.show(Fraction(most, n))}; {format_count(gap)} cases "
                f"{'below' if right < most else 'above'}",
                line.keys,
            )
        )
    return outcomes


def format_count(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"about {round(value)}"


def check_f1(lines: Sequence[Line]) -> list[Outcome]:
    """Is F1 2 P R / (P + R) of the printed precision P and recall R; if not, is another column?"""
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
    """The metric whose printed value is 2 P R / (P + R) within rounding: "f1" where it is; None if there is none."""
    p, r = line.metrics["precision"], line.metrics["sensitivity"]
    low, high = (_combine_f1(a, b) for a, b in zip(p.bounds("truncated"), r.bounds("truncated"), strict=True))
    for name in ("f1", *(name for name in line.metrics if name not in ("f1", "precision", "sensitivity"))):
        first, last = line.metrics[name].bounds("truncated")
        if low <= last and first <= high:
            return name
    return None


def exchange_f1(line: Line) -> Line:
    """The line with F1 and the column that is F1 exchanged, where `check_f1` says so."""
    if not {"precision", "sensitivity", "f1"} <= line.metrics.keys():
        return line
    other = find_f1_column(line)
    if other in (None, "f1"):
        return line
    return replace(line, metrics={**line.metrics, "f1": line.metrics[other], other: line.metrics["f1"]})


def _combine_f1(precision: Fraction, recall: Fraction) -> Fraction:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else Fraction(0)
