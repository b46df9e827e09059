"""What the checks that a paper.toml declares (common.audit.checks) find."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import sqrt

import scipy

from common.audit.checks import LARGEST_CASES, Check, read_cases, read_fraction, read_printed, select_numbers
from common.audit.equations import Interval, list_names, list_numbers, overlap, solve_equation
from common.audit.macro import check_macro
from common.audit.matrices import find_right
from common.audit.outcomes import (
    IMPOSSIBLE,
    LEAKS,
    NOT_SIGNIFICANT,
    POSSIBLE,
    SAME_METRIC,
    UNDECIDED,
    UNLIKELY,
    VERDICT_OF_WAY,
    Line,
    Outcome,
    group_lines,
    join_keys,
)
from common.audit.printed import (
    WAYS,
    Printed,
    bound_mcnemar_p,
    compute_binomial_p,
    compute_no_sibling,
    compute_variance,
    find_float32_fractions,
    format_chance,
    format_exact,
    print_claim,
)
from common.evaluation import statistics
from common.records.paper import Paper

# A p below the first is called impossible, below the second unlikely; above the third no test finds a difference.
IMPOSSIBLE_P, UNLIKELY_P, SIGNIFICANT_P = 1e-12, 1e-3, 0.05


def run_checks(checks: Sequence[Check], paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    """What the declared checks find; common.audit.checks lists their kinds, docs/audit.md explains them.

    lines: the printed ratios of the paper (`read_lines`). Raises UsageError, naming the check and the field, for a check that
    does not fit the paper.

    >>> from pathlib import Path
    >>> from common.audit.checks import read_checks
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> paper = parse_paper(EXAMPLE, Path("mine/paper.toml"))
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in run_checks(read_checks(paper), paper, lines=[])]
    [('impossible', '40 + 60 is 100; 110 is 110')]
    """
    runners: dict[str, Callable[[Check, Paper, Sequence[Line]], list[Outcome]]] = {
        "row": lambda check, paper, lines: [],  # checked with the rows of the tables
        "equation": _check_equation,
        "mean": _check_moment,
        "sd": _check_moment,
        "variance": _check_moment,
        "float32": _check_float32,
        "split_size": _check_split_size,
        "macro": _check_macro,
        "pair": _check_pair,
        "enlargement": _check_enlargement,
    }
    return [outcome for check in checks for outcome in runners[check.kind](check, paper, lines)]


# ------------------------------------------------------------------------------------------ sums, ratios, means, spreads


def _check_equation(check: Check, paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    text, table, derived = check.fields["text"], check.fields.get("table", ""), check.fields.get("derived", [])
    try:
        if foreign := [number for number in derived if number not in list_numbers(text)]:
            raise check.fail("derived", f"{foreign[0]!r} is not a number of the equation, in quotes and written as there")
        if not list_names(text):
            return [_name_derived(_judge_equation(text, {}, check.where, ()), derived)]
        rows: dict[str, dict[str, Printed]] = {}
        for claim in paper.printed:
            if claim.table == table and claim.value is not None:
                # As printed, percent as percent: an equation is to be read as it stands.
                rows.setdefault(claim.row, {})[claim.metric] = Printed(print_claim(claim).text, "count")
        if not rows:
            raise check.fail("table", f"the equation has names, and no number is printed in table {table!r}")
        if foreign := [row for row in check.fields.get("rows", ()) if row not in rows]:
            raise check.fail("rows", f"table {table!r} has no row {foreign[0]!r}")
        return [
            _name_derived(_judge_equation(text, rows[row], f"{check.where}: {row}", ((table, row),)), derived)
            for row in check.fields.get("rows", rows)
        ]
    except ValueError as error:
        raise check.fail("text", str(error)) from None


def _judge_equation(text: str, names: Mapping[str, Printed], where: str, rows: tuple[tuple[str, str], ...]) -> Outcome:
    for way in (*WAYS, None):
        left, right = solve_equation(text, names, way or "rounded")
        if way is None or overlap(left, right):
            break
    shown = re.sub(r"[^\W\d]\w*", lambda name: names[name[0]].text, text)
    sides = (f"{side.strip()} is {_show_interval(value)}" for side, value in zip(shown.split("="), (left, right), strict=True))
    metrics = tuple(SAME_METRIC.get(name, name) for name in list_names(text))
    return Outcome("equation", f"{shown} ({where})", VERDICT_OF_WAY[way], "; ".join(sides), rows, metrics=metrics)


def _name_derived(outcome: Outcome, derived: Sequence[str]) -> Outcome:
    """The outcome of an equation with numbers that the paper does not print: no equation of the paper, so it accuses nothing."""
    if not derived:
        return outcome
    verb = "is" if len(derived) == 1 else "are"
    text = f"{outcome.arithmetic}; {', '.join(derived)} {verb} derived, not printed"
    return replace(outcome, check="derived equation", arithmetic=text)


def _show_interval(interval: Interval) -> str:
    low, high = (f"{float(end):.6g}" for end in interval)
    return low if low == high else f"{low} to {high}"


def _check_moment(check: Check, paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    selected = select_numbers(check, lines)
    numbers = list(selected.values())
    printed = read_printed(check, "printed", check.fields["printed"], check.fields["unit"])
    if len(numbers) < 2:
        raise check.fail("rows", "at least two printed values are needed")
    way, fitting = None, []
    for way in (*WAYS, None):
        readings = _bound_moment(check.kind, numbers, way or WAYS[-1])
        fitting = [name for name, interval in readings.items() if overlap(interval, printed.bounds(way))] if way else []
        if fitting:
            break
    exact = {name: sum(interval, Fraction(0)) / 2 for name, interval in _bound_moment(check.kind, numbers, WAYS[0]).items()}
    stating = [  # rows that print the result, which are none of those it was computed from
        line
        for line in lines
        if printed in line.metrics.values() and not (line.row in selected and check.fields["table"] in line.tables)
    ]
    shown = [f"{name} {printed.show(value)}".strip() for name, value in exact.items()]
    off = min(abs(value - printed.value) for value in exact.values()) / printed.step
    units = "" if way else f", {format_exact(off, 2)} units of its last digit away"
    return [
        Outcome(
            check.kind,
            f"{check.kind} {printed.text} of {len(numbers)} values ({check.where})",
            VERDICT_OF_WAY[way],
            f"{check.kind} of the {len(numbers)} printed values: {', '.join(shown)}; printed {printed.text}{units}",
            join_keys(stating),
            len(fitting),
            len(exact),
            metrics=tuple(sorted({name for line in stating for name, number in line.metrics.items() if number == printed})),
        )
    ]


def _bound_moment(kind: str, numbers: Sequence[Printed], way: str) -> dict[str, Interval]:
    """{reading: smallest and largest mean, sd or variance} of numbers that each may have come about in this way."""
    ends = [number.bounds(way) for number in numbers]
    if kind == "mean":
        low, high = (sum(of, Fraction(0)) / len(ends) for of in zip(*ends, strict=True))
        return {"": (low, high)}
    # A spread does not change with what all values have in common: so the middles of the ends, and half their widths.
    values, half = [(low + high) / 2 for low, high in ends], max(high - low for low, high in ends) / 2
    return {f"over {name}": _bound_spread(kind, values, half, less) for name, less in (("n - 1", 1), ("n", 0))}


def _bound_spread(kind: str, values: Sequence[Fraction], half: Fraction, less: int) -> Interval:
    """Smallest and largest sd or variance of values that are each known to within `half`."""
    # The sd is a length, so it changes by no more than the length of the change; 1e-15 covers the error of the roots.
    root = Fraction(sqrt(compute_variance(values, less)))
    by = half * Fraction(sqrt(len(values) / (len(values) - less)))
    tiny = Fraction(1, 10**15)
    low, high = max(Fraction(0), (root - by) * (1 - tiny)), (root + by) * (1 + tiny)
    return (low, high) if kind == "sd" else (low**2, high**2)


# ------------------------------------------------------------------------------------------------- sizes of test sets


def _find_fractions(check: Check, lines: Sequence[Line]) -> dict[str, list[tuple[int, int]]]:
    """{row: fractions k/n that give its 32-bit float}; none for a number that is no such float."""
    limits = read_cases(check)
    return {row: find_float32_fractions(number, *limits) or [] for row, number in select_numbers(check, lines).items()}


def _choose_fractions(found: Mapping[str, list[tuple[int, int]]], near: float) -> list[tuple[int, int]]:
    """Of each value the fraction whose denominator is nearest to `near`."""
    return [min(fractions, key=lambda fraction: abs(fraction[1] - near)) for fractions in found.values()]


def _check_float32(check: Check, paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    smallest, largest = read_cases(check)
    numbers, found = select_numbers(check, lines), _find_fractions(check, lines)
    unique = {row: fractions[0] for row, fractions in found.items() if len(fractions) == 1}
    outcomes = []
    for row, fractions in found.items():
        text = ", ".join(f"{k}/{n}" for k, n in fractions[:4]) + (", ..." if len(fractions) > 4 else "")
        if not fractions:
            text = f"no k/n with n of {smallest} to {largest} is this number as a 32-bit float"
        outcomes.append(
            Outcome(
                "float32",
                f"{row}, {numbers[row].text}",
                POSSIBLE if fractions else IMPOSSIBLE,
                text,
                ((check.fields["table"], row),),
                len(fractions),
                largest - smallest + 1,
                interval=statistics.wilson_interval(*unique[row]) if row in unique else None,
                metrics=(SAME_METRIC.get(check.fields["metric"], check.fields["metric"]),),
            )
        )
    if unique and all(found.values()):
        likely = _choose_fractions(found, sum(n for _, n in unique.values()) / len(unique))
        right, n = sum(k for k, _ in likely), sum(n for _, n in likely)
        sizes = ", ".join(str(n) for n in sorted(n for _, n in unique.values()))
        text = (
            f"one denominator only: {sizes}; with those of the others nearest to their mean: mean n = {n}/{len(likely)} = "
            f"{n / len(likely):.1f}, pooled {right}/{n} = {right / n:.4f}"
        )
        subject = f"{len(unique)} of {len(found)} values have a unique denominator ({check.where})"
        outcomes.append(Outcome("float32", subject, POSSIBLE, text))
    return outcomes


def _check_split_size(check: Check, paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    total, share = check.fields["total"], read_fraction(check, "share", check.fields["share"])
    if not (0 < share < 1 and 0 < total <= LARGEST_CASES):
        raise check.fail("share", f"must lie between 0 and 1, and 'total' between 1 and {LARGEST_CASES}")
    found = _find_fractions(check, lines)
    if not all(found.values()):
        raise check.fail("metric", "not every value is k/n as a 32-bit float, so the sizes of the test sets are unknown")
    mean, sd = float(total * share), sqrt(total * share * (1 - share))
    sizes = sorted(n for _, n in _choose_fractions(found, mean))
    if sizes[-1] > total:
        raise check.fail("total", f"must be at least the largest test set, {sizes[-1]}")
    chi2 = sum((n - mean) ** 2 for n in sizes) / sd**2
    p = float(scipy.stats.chi2.sf(chi2, len(sizes)))
    text = f"{total} x {float(share):g} = {mean:.1f} +- {sd:.1f}; nearest sizes that fit {', '.join(map(str, sizes))}: "
    text += f"chi-square {chi2:.2f} on {len(sizes)} df, p = {p:.2g}"
    if unique := [fractions[0][1] for fractions in found.values() if len(fractions) == 1]:
        n = min(unique, key=lambda n: abs(n - mean))
        alone = float(compute_binomial_p(n, total, share))
        text += f"; of the unique sizes the nearest, {n}, is {abs(n - mean) / sd:.1f} sd away, p = {alone:.2g}"
    verdict = IMPOSSIBLE if p < IMPOSSIBLE_P else UNLIKELY if p < UNLIKELY_P else POSSIBLE
    return [Outcome("split size", f"{float(100 * share):g} % of {total} images as test set ({check.where})", verdict, text)]


# ------------------------------------------------------------------------------------------------- rows and pictures


def _check_macro(check: Check, paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    offsets = [read_fraction(check, "offsets", text) for text in check.fields["offsets"]]
    cases = check.fields.get("cases")
    if not 1 <= len(set(offsets)) == len(offsets):
        raise check.fail("offsets", 'must be different numbers in quotes, such as ["0", "0.01"]')
    if cases is not None and not 3 <= cases <= LARGEST_CASES:
        raise check.fail("cases", f"must be a number of cases of three or more classes, not {cases}")
    groups = group_lines(line for line in lines if len(line.classes) > 2)
    if not groups:
        raise check.fail("kind", "no row of more than two classes")
    return [outcome for group in groups for outcome in check_macro(group, offsets, cases)]


def _check_pair(check: Check, paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    numbers = select_numbers(check, lines)
    if len(numbers) != 2 or check.fields["metric"] != "accuracy":
        raise check.fail("rows", "must name two rows, and 'metric' must be accuracy")
    a, b = (next(line for line in lines if line.row == row and check.fields["table"] in line.tables) for row in numbers)
    if not a.n or dict(a.classes) != dict(b.classes):
        raise check.fail("rows", "the two rows need the same known cases")
    subject = f"{' and '.join(f'{row} {number.text}' for row, number in numbers.items())} ({check.where})"
    (first, n), (second, _) = (find_right(line, lines, paper.positive_class) for line in (a, b))
    if not first or not second:
        return [Outcome("pair", subject, UNDECIDED, f"not both are attainable over {n} cases", join_keys([a, b]))]
    difference = max(abs(first[0] - second[-1]), abs(second[0] - first[-1]))
    p = bound_mcnemar_p(difference)
    bound = f"2/2^{difference} = {float(p):.2g}" if difference else "1"
    text = f"{first[0]} and {second[0]} of {n}: at most {difference} more right, McNemar p >= {bound}"
    return [Outcome("pair", subject, NOT_SIGNIFICANT if p > SIGNIFICANT_P else POSSIBLE, text, join_keys([a, b]))]


def _check_enlargement(check: Check, paper: Paper, lines: Sequence[Line]) -> list[Outcome]:
    originals, enlarged, test = (check.fields[name] for name in ("originals", "enlarged", "test"))
    try:
        p = compute_no_sibling(originals, enlarged, test)
    except ValueError as error:
        raise check.fail("enlarged", str(error)) from None
    siblings = enlarged // originals - 1
    text = (
        f"{enlarged}/{originals} = {format_exact(Fraction(enlarged, originals), 2)} variants of each; {test} of {enlarged} drawn "
        f"at random: a test image has none of its {siblings} or more siblings in training with p = {format_chance(p)}"
    )
    subject = f"{originals} originals, {enlarged} images ({check.where})"
    return [Outcome("enlargement", subject, LEAKS if p < SIGNIFICANT_P else POSSIBLE, text)]
