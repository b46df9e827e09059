"""Checks of printed accuracies and F1 that need no declaration: everything follows from the claims and their cases."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from common.audit.outcomes import (
    AVERAGED,
    BELOW,
    IMPOSSIBLE,
    NEAR,
    NOT_ABOVE,
    POSSIBLE,
    STRONGEST_FIRST,
    SWAPPED,
    TRUNCATED,
    UNEVEN,
    Line,
    Outcome,
    group_lines,
    join_keys,
)
from common.audit.printed import Printed, describe_counts, find_denominators, find_way, format_chance
from common.audit.readings import explain_accuracy
from common.evaluation import statistics

# Folds whose cases are not known: the share of a class in a fold is taken to be within this of its mean, on either side.
SHARE_SPREAD = Fraction(1, 4)
LARGEST_CASES = 20_000  # largest number of cases tried where the stated one does not fit


def check_attainable(lines: Sequence[Line]) -> list[Outcome]:
    """Is every accuracy k/n for a whole number k of right answers? One outcome for each printed value and test set.

    This is the GRIM test (Brown NJL, Heathers JAJ. Soc Psychol Personal Sci 2017;8:363-369). Lines without cases are passed over.
    Where the line does not say that it is of one test set and one training, a mean over folds or runs explains most values.

    >>> from common.audit.outcomes import Averaging
    >>> metrics = {"accuracy": Printed("91.5", "percent")}
    >>> lines = [Line("CNN", ("2",), {"ill": 40, "healthy": 60}, metrics, Averaging(folds=1, runs=1))]
    >>> [(outcome.verdict, outcome.arithmetic, outcome.fits, outcome.tried) for outcome in check_attainable(lines)]
    [('impossible', '91/100 = 91.00, 92/100 = 92.00', 0, 101)]
    >>> [outcome.verdict for outcome in check_attainable([replace(lines[0], averaging=Averaging())])]
    ['only averaged']
    """
    outcomes = []
    for group in _group_accuracies(lines):
        for number in dict.fromkeys(line.metrics["accuracy"] for line in group):
            same, n = [line for line in group if line.metrics["accuracy"] == number], group[0].n
            verdict, reading = explain_accuracy(number, same[0])
            counts = find_way(number, n)[1]
            nearest = counts[len(counts) // 2] if counts else min(number.value, Fraction(1)) * n
            outcomes.append(
                Outcome(
                    "attainable",
                    f"accuracy {number.text} of {n}; " + "; ".join(dict.fromkeys(line.name for line in same)),
                    verdict,
                    "; ".join(filter(None, [describe_counts(number, n), reading])),
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

    One outcome for each test set with such an accuracy; `limit_denominators` says how far is searched. Lines that are stated to
    be means over folds or runs are passed over. The verdict is the strongest of the accuracies'.

    >>> metrics = {"accuracy": Printed("33.3", "percent")}
    >>> [outcome.arithmetic.split(" (")[0] for outcome in check_denominators([Line("CNN", ("2",), {"ill": 10}, metrics)])]
    ['0 of 1 are attainable over 10; all are over these of 2 to 400: 3, 6, 9, 12, 15, 18, ...']
    """
    outcomes = []
    for group in _group_accuracies(lines):
        numbers, n = list(dict.fromkeys(line.metrics["accuracy"] for line in group)), group[0].n
        attained = sum(find_way(number, n)[0] is not None for number in numbers)
        verdicts = [explain_accuracy(number, group[0])[0] for number in numbers]
        if attained == len(numbers) or not group[0].averaging.may_be_single or set(verdicts) <= {POSSIBLE, TRUNCATED}:
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
                min(verdicts, key=STRONGEST_FIRST.index),
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

    One outcome for each line that prints all three, but for those of three or more classes; each number may be wrong by one unit
    of its last digit. Outside, it is "impossible" if averages over classes or folds cannot explain it either, as far as the line
    leaves them open: else "only averaged", or "only uneven folds" where the shares of a class in the folds must lie further apart
    than SHARE_SPREAD, as where folds are a few whole patients.

    >>> metrics = {"accuracy": "97.0", "sensitivity": "80.0", "specificity": "64.0"}
    >>> line = Line("CNN", ("2",), {}, {name: Printed(text, "percent") for name, text in metrics.items()})
    >>> [outcome.verdict for outcome in check_between([line])]
    ['only uneven folds']
    >>> from common.audit.outcomes import Averaging
    >>> line = replace(line, averaging=Averaging(folds=1, runs=1))
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_between([line])]
    [('impossible', 'accuracy 97.0 is not between 64.0 and 80.0')]
    """
    outcomes = []
    for line in lines:
        names = ("accuracy", "sensitivity", "specificity")
        if len(line.classes) > 2 or not set(names) <= line.metrics.keys():
            continue
        accuracy, *ends = (line.metrics[name] for name in names)
        low, high = sorted(ends, key=lambda number: number.value)
        inside = accuracy.bounds("near")[1] >= low.bounds("near")[0] and accuracy.bounds("near")[0] <= high.bounds("near")[1]
        verdict, reading = (POSSIBLE, "") if inside else _explain_outside(line)
        outcomes.append(
            Outcome(
                "between",
                line.show(*names),
                POSSIBLE if reading and line.averaging.is_mean else verdict,
                f"accuracy {accuracy.text} is {'' if inside else 'not '}between {low.text} and {high.text}"
                + (f", but may be with {reading}" if reading else ""),
                line.keys,
                metrics=names,
            )
        )
    return outcomes


def _explain_outside(line: Line) -> tuple[str, str]:
    """Verdict, and the averages that put an accuracy outside sensitivity and specificity; "" if the line allows none that do."""
    says, two = line.averaging, len(line.classes) == 2
    (a_low, a), (s_low, s), (c_low, c) = (
        line.metrics[name].bounds("near") for name in ("accuracy", "sensitivity", "specificity")
    )
    if says.average in ("", "macro") and s >= c_low and c >= s_low and 2 * s_low - 1 <= a and a_low <= 2 * s:
        return AVERAGED, "macro means of two classes"  # both are the mean of the two recalls
    if says.average in ("", "weighted") and a >= s_low and s >= a_low:
        return AVERAGED, "weighted means"  # whose sensitivity is the accuracy
    if says.average in ("", "micro") and a >= s_low and s >= a_low:
        return AVERAGED, "micro means"
    of_two = {"npv", "lr_positive", "lr_negative"} & line.metrics.keys()  # metrics that nobody averages over classes
    # The share of wrong answers is the sum of (1 - share) x rate over the classes, so at least the rates of all classes but the
    # worst; the accuracy may be the mean of the classes' accuracies, each against the rest.
    most = 1 - Fraction(2, 3) * max(Fraction(0), 3 * (1 - c) - 1)
    if not two and says.average in ("", "macro") and not of_two and a_low <= most:
        return AVERAGED, "macro means of three or more classes"
    if not two and not says.average and a_low <= max(s, c):
        return AVERAGED, "one class against the rest, and the accuracy of all classes"
    # In every fold A is C + share x (S - C), so at most S + C and at least S + C - 1, as is the mean. A class that a fold lacks
    # changes neither, whether its rate is taken for 0 or 1 or is left out.
    one_fold = says.is_single or (says.folds == 1 and says.runs)
    if not one_fold and s_low + c_low - 1 <= a and a_low <= s + c:
        room = SHARE_SPREAD * min(s + c, 2 - s_low - c_low, Fraction(1))  # mean |S - C| is at most that of the means
        near = min(s_low, c_low) - room <= a and a_low <= max(s, c) + room
        if near or says.folds > 1 or says.fold_sizes:
            return AVERAGED, "folds of different shares of the classes"
        return UNEVEN, "folds of very different shares of the classes, as of a few patients each"
    return IMPOSSIBLE, ""


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

    A mean of F1 over classes, folds or runs is no more than that, and at least P + R - 1 (`means.bound_f1`). Verdicts:
    "possible"; "only averaged" where only such a mean explains it and the line leaves that open; outside "swapped" where another
    column of the row is it, else "impossible".

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
        p, r, f1 = (line.metrics[name] for name in names)
        value = _combine_f1(p.value, r.value)
        other = find_f1_column(line)
        formula = f"2 x {p.text} x {r.text} / ({p.text} + {r.text}) = {f1.show(value)}"
        least = p.bounds("near")[0] + r.bounds("near")[0] - 1
        most = _combine_f1(*(max(Fraction(0), number.bounds("near")[1]) for number in (p, r)))
        low, high = f1.bounds("near")
        single = line.averaging.is_single and line.averaging.average in ("binary", "micro")
        if other == "f1":
            verdict, text = POSSIBLE, formula
        elif low <= most and high >= _combine_f1(*(max(Fraction(0), number.bounds("near")[0]) for number in (p, r))):
            verdict, text = NEAR, f"{formula}, not {f1.text}"
        elif low <= most and high >= least and not single:
            mean = "a mean of the F1 of classes, folds or runs"
            verdict, text = AVERAGED, f"{formula}, not {f1.text}: {mean}, if anything"
            if line.averaging.is_mean:
                verdict, text = POSSIBLE, f"{formula}, not {f1.text}, being {mean}"
        elif other:
            verdict, text = SWAPPED, f"{formula}: the column headed {other}, {line.metrics[other].text}"
        else:
            average = "" if single else f"; no mean of F1 is outside {f1.show(max(Fraction(0), least))} to {f1.show(most)}"
            verdict, text = IMPOSSIBLE, f"{formula}, not {f1.text}{average}"
        tried = len(line.metrics.keys() - {"precision", "sensitivity"})
        # One of the two suffices where F1 is too large even if the other were 1.
        pairs = tuple((name, "f1") for name in names[:2] if low > _combine_f1(line.metrics[name].bounds("near")[1], Fraction(1)))
        outcomes.append(
            Outcome(
                "F1",
                line.show(*names),
                verdict,
                text,
                line.keys,
                int(other is not None),
                tried,
                metrics=names,
                contradictions=pairs,
                exchanged=("f1", other) if verdict == SWAPPED and other else (),
            )
        )
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
