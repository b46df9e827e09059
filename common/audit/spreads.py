"""Mean, standard deviation and range of the same values: can there be values between 0 and 1 that have them?

A row gives the spread of a metric as `<metric>_sd`, its range as `<metric>_min` and `<metric>_max`, beside the mean under the
metric's name. For k values in [a, b] with mean m the variance is at most (b - m) (m - a), k / (k - 1) times that with the
denominator k - 1 (Bhatia R, Davis C. Am Math Mon 2000;107:353-357), less where no k values have that mean; it is at least (b -
a)^2 / (2 k) if both ends are taken.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from common.audit.outcomes import IMPOSSIBLE, VERDICT_OF_WAY, Line, Outcome
from common.audit.printed import WAYS, Printed
from common.records.claims import SIGNED, UNLIMITED

SPREADS = ("_sd", "_min", "_max")
MOST_VALUES = 1000  # of a mean whose number of values is not said
FEW_VALUES = 60  # numbers of values below are tried one by one


def name_spreads(metric: str) -> tuple[str, ...]:
    """The names of a metric's spread and range.

    >>> name_spreads("accuracy")
    ('accuracy_sd', 'accuracy_min', 'accuracy_max')
    """
    return tuple(metric + ending for ending in SPREADS)


def check_spreads(lines: Sequence[Line]) -> list[Outcome]:
    """One outcome for each metric that is printed with a standard deviation or a range; see the module.

    The number of values is that of the folds times that of the runs, where the line says both; where it says one of them, any
    multiple of it, and where none, any number from 2 will do.

    >>> printed = {"accuracy": "0.95", "accuracy_sd": "0.32"}
    >>> line = Line("CNN", ("2",), {}, {name: Printed(text, "fraction") for name, text in printed.items()})
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_spreads([line])]
    [('impossible', 'values of 0 to 1 with the mean 0.95 have an sd of at most 0.243')]
    """
    outcomes = []
    for line in lines:
        for metric, mean in line.metrics.items():
            names = [name for name in name_spreads(metric) if name in line.metrics]
            if metric.endswith(SPREADS) or metric in UNLIMITED or not names:
                continue
            says = line.averaging
            values = max(1, says.folds, len(says.fold_sizes)) * max(1, says.runs)
            is_known = values > 1 and says.runs > 0 and (says.folds > 0 or len(says.fold_sizes) > 1)
            printed = {name.rsplit("_", 1)[1]: line.metrics[name] for name in names}
            way, text = None, ""
            for way in (*WAYS, None):
                if way and not (text := _find_fault(mean, printed, values, is_known, way, -1 if metric in SIGNED else 0)):
                    break
            verdict = VERDICT_OF_WAY[way]
            shown = text if verdict == IMPOSSIBLE else f"{'-1' if metric in SIGNED else '0'} to 1 holds such values"
            outcomes.append(Outcome("spread", line.show(metric, *names), verdict, shown, line.keys, metrics=(metric, *names)))
    return outcomes


def bound_sd(ends: tuple[float, float], mean: tuple[float, float], values: int = 0, is_known: bool = True) -> float:
    """Largest sd, with the denominator k - 1, of k values between the ends with a mean in the interval; loosened by 1e-9.

    values: k, or with is_known=False what k is a multiple of; below 2 any k will do. The widest values are all at the ends, but
    for one that makes up the mean.

    >>> round(bound_sd((0, 1), (0.95, 0.95), 2), 4), round(bound_sd((0, 1), (0.95, 0.95)), 4)  # 0.9 and 1; 19 of 20 are 1
    (0.0707, 0.2236)
    """
    (a, b), most = ends, 0.0
    if b <= a:
        return 1e-9
    low, high = (min(1.0, max(0.0, (end - a) / (b - a))) for end in mean)
    is_known, unit = is_known and values > 1, max(1, values)
    first = unit if unit > 1 else 2
    for k in [values] if is_known else range(first, max(FEW_VALUES, first + 1), unit):
        # Between two whole numbers of values at the upper end the sum of squares is convex in the mean.
        sums = [low * k, high * k, *range(math.ceil(low * k), math.floor(high * k) + 1)]
        most = max([most, *((math.floor(s) + (s - math.floor(s)) ** 2 - s * s / k) / (k - 1) for s in sums)])
    if not is_known:  # of many values the sd is at most the root of m (1 - m) k / (k - 1), which falls with k
        middle = min(max(0.5, low), high)
        most = max(most, middle * (1 - middle) * FEW_VALUES / (FEW_VALUES - 1))
    return (b - a) * math.sqrt(most) + 1e-9


def _find_fault(mean: Printed, printed: dict[str, Printed], values: int, is_known: bool, way: str, lowest: int) -> str:
    """What cannot be, in words; "" if nothing. values: how many have the mean, or what that is a multiple of."""
    low, high = mean.bounds(way)
    ends = {name: number.bounds(way) for name, number in printed.items()}
    a = max(Fraction(lowest), ends["min"][0]) if "min" in ends else Fraction(lowest)
    b = min(Fraction(1), ends["max"][1]) if "max" in ends else Fraction(1)
    words = " and ".join(f"{name} {printed[name].text}" for name in ("min", "max") if name in printed)
    # The extremes are values themselves: at least one of k is each.
    count = values if is_known else max(values, MOST_VALUES)
    least = a + ((ends["max"][0] - a) / count if "max" in ends else 0)
    most = b - ((b - ends["min"][1]) / count if "min" in ends else 0)
    if high < least or low > most:
        return f"the mean {mean.text} of values with {words or 'ends 0 and 1'} is {mean.show(least)} to {mean.show(most)}"
    if "sd" not in ends:
        return ""
    bound = bound_sd((float(a), float(b)), (float(low), float(high)), values, is_known)
    if float(ends["sd"][0]) > bound:
        within = f"{mean.show(a).rstrip('0').rstrip('.')} to {mean.show(b).rstrip('0').rstrip('.')}"
        return f"values of {within} with the mean {mean.text} have an sd of at most {printed['sd'].show(Fraction(bound))}"
    if {"min", "max"} <= ends.keys() and is_known:
        apart = max(Fraction(0), ends["max"][0] - ends["min"][1])
        if ends["sd"][1] ** 2 < apart**2 / (2 * values):
            within = f"from {printed['min'].text} to {printed['max'].text}"
            return f"{values} values that lie {within} have a larger sd than {printed['sd'].text}"
    return ""
