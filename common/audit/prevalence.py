"""The share of positives that the metrics of a row imply, without any number of cases.

With the four cells of a confusion matrix as shares of all cases, every metric of one test set is a quotient of sums of cells, and
"it prints so" two linear inequalities. A linear programme then gives the smallest and the largest share of positives with which
all metrics print so; without a solution the row contradicts itself, whatever the test set.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import scipy

from common.audit.contradictions import find_contradictions
from common.audit.outcomes import AVERAGED, IMPOSSIBLE, POSSIBLE, VERDICT_OF_WAY, Line, Outcome
from common.audit.printed import WAYS, Printed

# Cells: tp, fn, fp, tn. metric: (cells above the line, cells below it).
CELLS = {
    "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
    "sensitivity": ((1, 0, 0, 0), (1, 1, 0, 0)),
    "specificity": ((0, 0, 0, 1), (0, 0, 1, 1)),
    "precision": ((1, 0, 0, 0), (1, 0, 1, 0)),
    "npv": ((0, 0, 0, 1), (0, 1, 0, 1)),
    "f1": ((2, 0, 0, 0), (2, 1, 1, 0)),
}
TOLERANCE = 2e-7  # of the inequalities: above the solver's own 1e-7, so that rounding errors never make a contradiction


def bound_prevalence(printed: Mapping[str, Printed], way: str = "rounded") -> tuple[float, float] | None:
    """Smallest and largest share of positives with which all metrics print so; None if there is none.

    printed: of CELLS; others are passed over. way: one of printed.WAYS.

    Accuracy is the mean of sensitivity .9 and specificity .7 with equal shares:

    >>> printed = {"sensitivity": "0.900", "specificity": "0.700", "accuracy": "0.800", "precision": "0.600"}
    >>> printed = {name: Printed(text, "fraction") for name, text in printed.items()}
    >>> bound_prevalence(printed) is None  # a precision of .6 needs a third
    True
    >>> del printed["precision"]
    >>> [round(end, 3) for end in bound_prevalence(printed)]
    [0.495, 0.505]
    """
    rows = []
    for name, number in printed.items():
        if name in CELLS:
            top, bottom = (np.array(cells, float) for cells in CELLS[name])
            low, high = map(float, number.bounds(way))
            rows += [low * bottom - top, top - high * bottom]
    if not rows:
        return 0.0, 1.0
    ends = []
    for sign in (1, -1):
        found = scipy.optimize.linprog(
            sign * np.array([1.0, 1, 0, 0]), np.array(rows), np.full(len(rows), TOLERANCE), np.ones((1, 4)), [1.0], (0, 1)
        )
        if found.status == 2:  # infeasible
            return None
        ends.append(sign * found.fun if found.status == 0 else (0.0 if sign == 1 else 1.0))
    return max(0.0, ends[0]), min(1.0, ends[1])


def check_prevalence(lines: Sequence[Line]) -> list[Outcome]:
    """Rows without cases: is there a share of positives with which all their metrics can be of one test set?

    One outcome for each line that prints at least four of CELLS; those that are stated to be averages over classes, folds or runs
    are passed over. A contradiction is "impossible" if the line says that it is of one test set with one positive class, else
    "only averaged".

    PMC9301895, Table 2, 40 keV: what the accuracy and the predictive values imply does not meet.

    >>> printed = {"accuracy": "0.818", "sensitivity": "0.792", "specificity": "0.850", "precision": "0.850", "npv": "0.792"}
    >>> line = Line("40", ("2",), {}, {name: Printed(text, "fraction") for name, text in printed.items()})
    >>> (outcome,) = check_prevalence([line])
    >>> outcome.verdict
    'within one unit'
    >>> outcome.arithmetic
    'share of positives in %: accuracy 53.4 to 56.9, precision 51.6 to 52.0, npv 51.6 to 51.9; no share gives all'
    """
    outcomes = []
    for line in lines:
        names = tuple(name for name in line.metrics if name in CELLS)
        says = line.averaging
        if line.n or len(names) < 4 or not (says.may_be_single and says.may_be_binary):
            continue
        way = next((way for way in WAYS if bound_prevalence(line.metrics, way)), None)
        verdict = VERDICT_OF_WAY[way]
        if verdict == IMPOSSIBLE and not (says.is_single and says.average == "binary"):
            verdict = AVERAGED
        text = _describe_shares(line.metrics)
        if way in ("near", None):
            text += "; no share gives all"
        elif (ends := bound_prevalence(line.metrics, way)) and verdict == POSSIBLE:
            text += f"; all with {_show(ends)}"
        found = find_contradictions(names, partial(_excludes, line.metrics)) if verdict == IMPOSSIBLE else ()
        outcomes.append(Outcome("prevalence", line.show(*names), verdict, text, line.keys, metrics=names, contradictions=found))
    return outcomes


def _excludes(metrics: Mapping[str, Printed], names: frozenset[str]) -> bool:
    some = {name: metrics[name] for name in names}
    return not any(bound_prevalence(some, way) for way in WAYS)


def _describe_shares(metrics: Mapping[str, Printed]) -> str:
    """What each metric implies together with sensitivity and specificity."""
    rates = {name: metrics[name] for name in ("sensitivity", "specificity") if name in metrics}
    parts = []
    for name in CELLS:
        if name in metrics and name not in rates:
            ends = bound_prevalence({**rates, name: metrics[name]})
            parts.append(f"{name} {_show(ends) if ends else 'none'}")
    return f"share of positives in %: {', '.join(parts)}"


def _show(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
