"""The usual ways in which the numbers of a row can have come about, tried one after the other.

A row says how it was averaged (`outcomes.Averaging`); where it does not, every usual reading is tried: one test set with either
class as positive, or macro, weighted or micro averages over the classes; means over repetitions, over folds that divide every
class evenly, and over folds of any shares. What none of them explains is impossible.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from common.audit.averages import AVERAGED as SEARCHED
from common.audit.averages import AVERAGES, count_wrong, search_average
from common.audit.confusions import TWO_CLASSES, Solution, search_binary
from common.audit.means import (
    MOST_FOLDS,
    RATIOS,
    USUAL_FOLDS,
    USUAL_RUNS,
    FoldType,
    divide_evenly,
    fits_means,
    list_known,
    list_stratified,
    reach_mean,
)
from common.audit.outcomes import AVERAGED, IMPOSSIBLE, UNDECIDED, UNEVEN, VERDICT_OF_WAY, Averaging, Line
from common.audit.printed import WAYS, Printed

Explanation = tuple[str, str]  # verdict, and in words the reading that explains the row
SHOWN = {"binary": "one class against the rest", "macro": "macro means", "weighted": "weighted means", "micro": "micro means"}


def explain_line(line: Line, but_binary: bool = False) -> Explanation:
    """Verdict and words for a row whose cases per class are known: the strictest of the usual readings that explains it.

    but_binary: one test set with a positive class has been tried before. Verdicts: as for one matrix; "only averaged" if nothing
    is said of an average and only means over folds or repetitions explain the row; "only uneven folds" if the classes' shares
    must differ between the folds; "undecided" where a search was too large; else "impossible".

    >>> printed = {"accuracy": "85.0", "sensitivity": "85.4", "specificity": "85.4"}  # 35 of 40 and 50 of 60, as macro means
    >>> printed = {name: Printed(text, "percent") for name, text in printed.items()}
    >>> explain_line(Line("CNN", ("2",), {"ill": 40, "healthy": 60}, printed))
    ('possible', 'as macro means: right 35, 50 of 40, 60')
    >>> explain_line(Line("CNN", ("2",), {"ill": 40, "healthy": 60}, printed, Averaging("binary", 1, (), 1)))
    ('impossible', 'no confusion matrix gives these numbers')
    """
    cases = tuple(n for n in line.classes.values() if n)
    names = [name for name, n in line.classes.items() if n]
    if len(cases) < 2:
        return UNDECIDED, "cases of two classes are needed"
    says, open_ = line.averaging, []
    averages = [says.average] if says.average else ["binary", *AVERAGES]
    if says.may_be_single:
        for way in WAYS:
            for average in averages:
                if average == "binary" and but_binary and len(cases) == 2:
                    continue
                text, too_large = _explain_single(line.metrics, cases, average, way, names)
                if text:
                    return VERDICT_OF_WAY[way], f"as {SHOWN[average]}: {text}"
                if too_large:
                    open_.append(average)
            if open_:
                break  # the wider ways would be no smaller
    if says.may_be_single and may_be_recall(line):
        metrics = {"balanced_accuracy": line.metrics["accuracy"]} | {k: v for k, v in line.metrics.items() if k != "accuracy"}
        for way in WAYS:
            text, too_large = _explain_single(metrics, cases, "macro", way, names)
            if text:
                return VERDICT_OF_WAY[way], f"as macro means, the accuracy being the mean recall: {text}"
            if too_large:
                open_.append("macro")
                break
    if not says.is_single:
        for verdict, kind, text in list_folds(says, cases):
            ways = WAYS if verdict is None else ("near",)
            for way in ways:
                if any(_fits(line.metrics, kind, average, way, list_parts(says, cases)) for average in averages):
                    return verdict or VERDICT_OF_WAY[way], f"as {text}"
    if open_:
        return UNDECIDED, f"as {SHOWN[open_[0]]} there are too many confusion matrices to try"
    return IMPOSSIBLE, "no confusion matrix gives these numbers" + ("" if says.is_single else ", and no means over folds or runs")


def may_be_recall(line: Line) -> bool:
    """Whether the accuracy of a row may be the mean of its classes' recalls, as some print it: of three classes or more, and the
    same number as the sensitivity, where that is printed.

    >>> printed = {name: Printed("88.8", "percent") for name in ("accuracy", "sensitivity")}
    >>> line = Line("CNN", ("2",), {"a": 40, "b": 55, "c": 70}, printed, Averaging("macro", 1, (), 1))
    >>> two = Line("CNN", ("2",), {"a": 40, "b": 55}, printed, line.averaging)
    >>> may_be_recall(line), may_be_recall(two)
    (True, False)
    """
    if sum(n > 0 for n in line.classes.values()) < 3 or line.averaging.average not in ("", "macro"):
        return False
    if not {"accuracy", "sensitivity"} <= line.metrics.keys() or "balanced_accuracy" in line.metrics:
        return False
    (low, high), (first, last) = (line.metrics[name].bounds("truncated") for name in ("accuracy", "sensitivity"))
    return low <= last and first <= high


def _explain_single(
    metrics: Mapping[str, Printed], cases: tuple[int, ...], average: str, way: str, names: Sequence[str]
) -> tuple[str, bool]:
    """(the matrix in words, "" if there is none; whether the search was too large and nothing else excludes the reading)."""
    try:
        if average == "binary":
            return _explain_class(metrics, cases, way, names), False
        solution = search_average(_pick(metrics, SEARCHED), cases, average, way)
    except ValueError:
        exact = (FoldType(1.0, shares := tuple(n / sum(cases) for n in cases), shares),)
        return "", _fits(metrics, exact, average, "near")
    return (_describe(solution) if solution else ""), False


def _describe(solution: Solution) -> str:
    return f"right {', '.join(map(str, solution.correct))} of {', '.join(map(str, solution.cases))}"


def _explain_class(metrics: Mapping[str, Printed], cases: Sequence[int], way: str, names: Sequence[str]) -> str:
    """One class against the rest; its accuracy is of this matrix or, with more than two classes, of all answers."""
    n, printed = sum(cases), _pick(metrics, TWO_CLASSES)
    for j, positives in enumerate(cases):
        if found := search_binary(printed, positives, n - positives, way):
            return f"{names[j]} positive, right {found[0][0]} of {positives} and {found[0][1]} of {n - positives}"
    if len(cases) > 2 and "accuracy" in printed and len(printed) > 1:
        rest = {name: number for name, number in printed.items() if name != "accuracy"}
        for j, positives in enumerate(cases):
            for right in printed["accuracy"].counts(n, way):
                # All wrong answers: at least those for and about this class.
                for tp, tn in search_binary(rest, positives, n - positives, way):
                    if n - tp - tn <= n - right and right - tp <= n - positives:
                        return f"{names[j]} against the rest, right {tp} of {positives}; {right} of {n} in all"
    return ""


def list_parts(says: Averaging, cases: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Cases of each class in every fold and run, where the row says so much; else [].

    >>> list_parts(Averaging(folds=1, runs=2), (40, 60)), list_parts(Averaging(folds=2), (40, 60))
    ([(40, 60), (40, 60)], [])
    """
    runs, parts = max(1, says.runs), [sizes for sizes in says.fold_sizes if isinstance(sizes, tuple)]
    if len(parts) > 1:
        return parts * runs
    return [cases] * runs if says.folds == 1 and says.runs else []


def _fits(
    metrics: Mapping[str, Printed], kind: tuple[FoldType, ...], average: str, way: str, parts: Sequence[tuple[int, ...]] = ()
) -> bool:
    """Whether means over such folds give the metrics; parts: as `list_parts`, so that the counts must be whole numbers."""
    printed = _pick(metrics, RATIOS)
    classes = range(len(kind[0].low)) if average == "binary" else range(1)
    return any(
        _solve_cached(tuple(printed.items()), kind, average, way, j) and _reaches(printed, parts, average, way, j)
        for j in classes
    )


def _reaches(printed: Mapping[str, Printed], parts: Sequence[tuple[int, ...]], average: str, way: str, positive: int) -> bool:
    """Whether sensitivity and specificity, each by itself, are means of k/n over the known folds."""
    if not parts or average in ("weighted", "micro") or any(min(sizes) < 1 for sizes in parts):
        return True
    columns = [positive] if average == "binary" else range(len(parts[0]))
    sizes = {
        "sensitivity": [part[j] for part in parts for j in columns],
        "specificity": [sum(part) - part[j] for part in parts for j in columns],
    }
    return all(name not in printed or reach_mean(*printed[name].bounds(way), sizes[name]) for name in sizes)


@lru_cache(maxsize=1024)
def _solve_cached(printed: tuple, kind: tuple[FoldType, ...], average: str, way: str, positive: int) -> bool:
    return fits_means(dict(printed), kind, average, way, positive)


def _pick(metrics: Mapping[str, Printed], names: Sequence[str] | Mapping[str, object]) -> dict[str, Printed]:
    return {name: number for name, number in metrics.items() if name in names}


def list_folds(says: Averaging, cases: tuple[int, ...]) -> Iterator[tuple[str | None, tuple[FoldType, ...], str]]:
    """(verdict if such folds explain a row, None for that of the way; the folds; in words) of the means that a row can be of.

    cases: of each class, all folds together.

    >>> [text for _, _, text in list_folds(Averaging(folds=5), (40, 60))]
    ['means over 5 folds with even shares of the classes', 'means over 5 folds with uneven shares of the classes']
    """
    shares = tuple(size / sum(cases) for size in cases)
    folds = max(says.folds, len(says.fold_sizes))
    stated = None if folds or says.runs > 1 else AVERAGED
    if says.runs != 1 and folds in (0, 1):
        runs = f"{says.runs} runs" if says.runs else "runs"
        yield (None if says.runs else AVERAGED), (FoldType(1.0, shares, shares),), f"means over {runs} on the same cases"
    if folds == 1:
        return
    if len(says.fold_sizes) > 1 and all(isinstance(sizes, tuple) for sizes in says.fold_sizes):
        yield None, list_known([sizes for sizes in says.fold_sizes if isinstance(sizes, tuple)]), f"means over {folds} folds"
        return
    words = f"means over {folds or 'some'} folds with "
    even = [list_stratified(cases, count)[0] for count in ([folds] if folds else USUAL_FOLDS)]
    low, high = (
        tuple(ends(values) for values in zip(*parts, strict=True))
        for ends, parts in ((min, [kind.low for kind in even]), (max, [kind.high for kind in even]))
    )
    yield stated, (FoldType(1.0, low, high),), words + "even shares of the classes"
    if not says.stratified or min(cases) < (folds or MOST_FOLDS):
        # Images of one patient stay together, so that a fold may hold any part of a class, or none: nothing is excluded.
        yield UNEVEN, (FoldType(1.0, (0.0,) * len(cases), (1.0,) * len(cases)),), words + "uneven shares of the classes"


def explain_accuracy(number: Printed, line: Line) -> Explanation:
    """Verdict and words for the accuracy of a row alone, its cases per class known.

    >>> line = Line("CNN", ("2",), {"ill": 40, "healthy": 63}, {"accuracy": Printed("94.14", "percent")})
    >>> explain_accuracy(line.metrics["accuracy"], line)
    ('only averaged', 'as a mean over 5 folds of 20 and 21')
    """
    says, n = line.averaging, line.n
    classes = sum(size > 0 for size in line.classes.values())
    # The share of right answers, or the mean of the classes' accuracies: 1 - 2 x wrong / (classes x n).
    scales = [Fraction(1)]
    if classes > 2 and says.average in ("", "macro", "micro"):
        scales.append(Fraction(2, classes))
    if says.may_be_single:
        for scale in scales:
            for way in WAYS[:2]:
                if scale == 1 and number.counts(n, way):
                    return VERDICT_OF_WAY[way], ""
                if scale != 1 and (found := count_wrong(number, n, scale, way)):
                    return VERDICT_OF_WAY[way], f"as the mean of the classes' accuracies, {n - found[0]} of {n} right"
    if says.may_be_single and may_be_recall(line):
        for way in WAYS[:2]:
            if reach_mean(*number.bounds(way), [size for size in line.classes.values() if size]):
                return VERDICT_OF_WAY[way], "as the mean of the classes' recalls"
    averaged = None if says.is_single else _average_accuracy(number, says, n, scales)
    if averaged and averaged[0] != UNEVEN:
        return averaged
    if says.may_be_single and any(count_wrong(number, n, scale, "near") for scale in scales):
        return VERDICT_OF_WAY["near"], ""
    return averaged or (IMPOSSIBLE, "")


def _average_accuracy(number: Printed, says: Averaging, n: int, scales: Sequence[Fraction]) -> Explanation | None:
    folds = max(says.folds, len(says.fold_sizes))
    known = [size if isinstance(size, int) else sum(size) for size in says.fold_sizes]
    for way in WAYS if folds > 1 or says.runs > 1 else WAYS[:1]:
        for scale in scales:
            low, high = number.bounds(way)
            ends = (1 - high) / scale, (1 - low) / scale
            for count in [folds] if folds > 1 else USUAL_FOLDS if folds == 0 else []:
                sizes = known if len(known) > 1 else divide_evenly(n, count)
                if min(sizes) > 0 and reach_mean(*ends, sizes * max(1, says.runs)):
                    verdict = VERDICT_OF_WAY[way] if folds > 1 else AVERAGED
                    return verdict, f"as a mean over {count} folds of {' and '.join(map(str, sorted(set(sizes))))}"
            for count in ([says.runs] if says.runs > 1 else USUAL_RUNS if says.runs == 0 else []) if folds < 2 else []:
                if reach_mean(*ends, [n] * count):
                    return (VERDICT_OF_WAY[way] if says.runs else AVERAGED), f"as a mean over {count} runs"
    if folds != 1 and len(known) < 2:
        return UNEVEN, "only over folds of uneven sizes"
    return None
