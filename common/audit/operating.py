"""What one operating point says of other numbers of its row: the area under the ROC curve, likelihood ratios, their mean."""

from collections.abc import Sequence
from fractions import Fraction

from common.audit.outcomes import AVERAGED, IMPOSSIBLE, NEAR, POSSIBLE, Line, Outcome, may_lack_class
from common.audit.printed import Printed

Interval = tuple[Fraction, Fraction]


def bound_auc(sensitivity: Interval, specificity: Interval, averaged: bool) -> Interval:
    """Smallest and largest area under a ROC curve that runs through an operating point.

    sensitivity, specificity: intervals in 0..1. A curve never falls, so the area is at least sensitivity x specificity and at
    most 1 - (1 - sensitivity) (1 - specificity). averaged: the areas and the points may be means over folds or runs; then the
    chords of the two products count, sensitivity + specificity - 1 and sensitivity + specificity.

    >>> point = (Fraction(9, 10),) * 2, (Fraction(8, 10),) * 2
    >>> [[float(end) for end in bound_auc(*point, averaged)] for averaged in (False, True)]
    [[0.72, 0.98], [0.7, 1.0]]
    """
    (s_low, s), (c_low, c) = ((max(Fraction(0), low), min(Fraction(1), high)) for low, high in (sensitivity, specificity))
    if averaged:
        return max(Fraction(0), s_low + c_low - 1), min(Fraction(1), s + c)
    return s_low * c_low, 1 - (1 - s) * (1 - c)


def check_auc(lines: Sequence[Line]) -> list[Outcome]:
    """Can the ROC curve have the printed area and run through the printed sensitivity and specificity?

    One outcome for each line of one positive class that prints all three. Each number may be wrong by one unit of its last digit.
    "impossible" only where the line says that it is of one test set and of two classes: the area of answers pooled over folds,
    whose scores may lie on different scales, and the mean area of several classes know no such bounds. "only averaged" there.

    >>> from common.audit.outcomes import Averaging
    >>> printed = {"auc": "0.60", "sensitivity": "0.90", "specificity": "0.80"}
    >>> printed = {name: Printed(text, "fraction") for name, text in printed.items()}
    >>> says = Averaging("binary", folds=1)
    >>> [outcome.verdict for outcome in check_auc([Line("CNN", ("2",), {}, printed, says), Line("SVM", ("2",), {}, printed)])]
    ['impossible', 'only averaged']
    >>> check_auc([Line("CNN", ("2",), {}, printed, says)])[0].arithmetic
    'a curve through this point has an area of 0.703 to 0.983'
    """
    outcomes = []
    for line in lines:
        names, says = ("auc", "sensitivity", "specificity"), line.averaging
        if len(line.classes) > 2 or not says.may_be_binary or not set(names) <= line.metrics.keys():
            continue
        if not line.n and not says.average and line.metrics["auc"].value < Fraction(1, 2):
            continue  # areas below one half have scores whose direction is open
        auc, *point = (line.metrics[name] for name in names)
        sure = says.folds == 1 and says.runs <= 1 and (says.average == "binary" or len(line.classes) == 2)
        verdict, shown = IMPOSSIBLE if sure else AVERAGED, None
        # Of two classes macro and weighted means have the same sum of both, of which the chords speak.
        kinds = [False] * says.may_be_single + [True] * (not says.is_single or says.average != "binary")
        for averaged in kinds:
            ends = bound_auc(point[0].bounds("near"), point[1].bounds("near"), averaged)
            shown = shown or ends
            low, high = auc.bounds("near")
            if low <= ends[1] and ends[0] <= high:
                verdict = AVERAGED if averaged and says.may_be_single else POSSIBLE
                break
        else:
            ends = None
        low, high = shown or (Fraction(0), Fraction(1))
        text = f"a curve through this point has an area of {auc.show(low)} to {auc.show(high)}"
        if ends is None and not sure:
            text += "; of answers pooled over folds whose scores are not on one scale, or over classes, any other"
        outcomes.append(Outcome("auc", line.show(*names), verdict, text, line.keys, metrics=names))
    return outcomes


# metric: (of the smallest and largest sensitivity s and specificity c, whether it grows with s, with c)
RATIOS = {
    "lr_positive": (lambda s, c: s / (1 - c) if c < 1 else None, True, True, "sensitivity / (1 - specificity)"),
    "lr_negative": (lambda s, c: (1 - s) / c if c > 0 else None, False, False, "(1 - sensitivity) / specificity"),
    "balanced_accuracy": (lambda s, c: (s + c) / 2, True, True, "(sensitivity + specificity) / 2"),
    "youden": (lambda s, c: s + c - 1, True, True, "sensitivity + specificity - 1"),
}


def check_likelihood(lines: Sequence[Line]) -> list[Outcome]:
    """Likelihood ratios, balanced accuracy and Youden's index from the printed sensitivity and specificity.

    One outcome for each such metric of a line of one positive class. "within one unit" where the numbers fit with their last
    digit off by one; "only averaged" where means over classes, folds or runs, which the line leaves open, may explain the
    difference: of the ratios, which are no sums, any mean may; of the sums, folds that lack a class.

    >>> printed = {"lr_positive": "6.13", "sensitivity": "0.792", "specificity": "0.850"}
    >>> line = Line("40", ("2",), {}, {name: Printed(text, "fraction") for name, text in printed.items()})
    >>> [(outcome.verdict, outcome.arithmetic) for outcome in check_likelihood([line])]
    [('only averaged', 'sensitivity / (1 - specificity) is 5.259 to 5.322, printed 6.13')]
    """
    outcomes = []
    for line in lines:
        rates = [line.metrics[name] for name in ("sensitivity", "specificity") if name in line.metrics]
        if len(line.classes) > 2 or not line.averaging.may_be_binary or len(rates) < 2:
            continue
        for name, (_, _, _, formula) in RATIOS.items():
            if name not in line.metrics or (printed := _bound(name, rates, "truncated")) is None:
                continue
            number, verdict, (low, high) = line.metrics[name], IMPOSSIBLE, printed
            for way, found in (("truncated", POSSIBLE), ("near", NEAR)):
                interval, (first, last) = _bound(name, rates, way), number.bounds(way)
                if interval is None or (first <= interval[1] and interval[0] <= last):
                    verdict = found
                    break
            single = line.averaging.is_single and line.averaging.average == "binary"
            sums = name in ("balanced_accuracy", "youden") and line.averaging.average and not may_lack_class(line)
            if verdict == IMPOSSIBLE and not single and not sums:
                verdict = AVERAGED
            text = f"{formula} is {number.show(low)} to {number.show(high)}, printed {number.text}"
            names = (name, "sensitivity", "specificity")
            outcomes.append(Outcome("ratio", line.show(*names), verdict, text, line.keys, metrics=names))
    return outcomes


def _bound(name: str, rates: Sequence[Printed], way: str) -> Interval | None:
    compute, grows_s, grows_c, _ = RATIOS[name]
    s, c = ([max(Fraction(0), low), min(Fraction(1), high)] for low, high in (rate.bounds(way) for rate in rates))
    low, high = compute(s[not grows_s], c[not grows_c]), compute(s[grows_s], c[grows_c])
    return None if low is None or high is None else (low, high)
