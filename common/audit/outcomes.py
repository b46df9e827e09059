"""Printed numbers row by row, and the form in which every check says what it found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from common.audit.printed import Printed, print_claim
from common.records.paper import Claim, name_row

# What a check says of a printed number.
POSSIBLE, TRUNCATED, NEAR, IMPOSSIBLE = "possible", "only truncated", "within one unit", "impossible"
AVERAGED, UNEVEN, UNCHECKED = "only averaged", "only uneven folds", "not checked"
SWAPPED, BELOW, NOT_ABOVE, UNDECIDED = "swapped", "below majority", "not above majority", "undecided"
NOT_SIGNIFICANT, LEAKS, UNLIKELY = "never significant", "leaks", "unlikely"
STRONGEST_FIRST = (
    IMPOSSIBLE, SWAPPED, LEAKS, UNLIKELY, BELOW, NOT_SIGNIFICANT, NOT_ABOVE, NEAR, UNEVEN, AVERAGED, TRUNCATED, UNDECIDED,
    UNCHECKED, POSSIBLE,
)  # fmt: skip
# By the way (see printed.WAYS) in which a number can have come about; None: in none, "too many": the search was given up.
VERDICT_OF_WAY = {"rounded": POSSIBLE, "truncated": TRUNCATED, "near": NEAR, None: IMPOSSIBLE, "too many": UNDECIDED}
# Other names for our metrics.
SAME_METRIC = {"recall": "sensitivity", "ppv": "precision", "f1_score": "f1"}


@dataclass(frozen=True)
class Outcome:
    """What one check says about one printed number, row or table.

    `fits` and `tried` count the readings: of so many, such as the numbers k of right answers, so many agree with what is
    printed. `chance`: how often numbers drawn at random would pass; near 1 the check says nothing.
    """

    check: str
    subject: str  # what was checked, with the printed numbers
    verdict: str
    arithmetic: str  # to be checked by hand
    rows: tuple[tuple[str, str], ...] = ()  # (table, row) of the claims
    fits: int | None = None  # readings that fit ...
    tried: int | None = None  # ... of those tried
    chance: Fraction | None = None  # that numbers drawn at random would pass
    interval: tuple[float, float] | None = None  # Wilson, 95 %, fractions
    metrics: tuple[str, ...] = ()  # of the rows, those that are judged; filled in where a row can be impossible
    # Of an impossible row, the smallest sets of its metrics that exclude each other; empty: all of `metrics` together.
    contradictions: tuple[tuple[str, ...], ...] = ()
    exchanged: tuple[str, ...] = ()  # metrics of the rows that fit only with each other's column

    @property
    def accused(self) -> tuple[tuple[str, ...], ...]:
        """Sets of metrics of which one, at least, cannot be right; empty unless the outcome is that a row is impossible.

        >>> Outcome("between", "CNN", IMPOSSIBLE, "", metrics=("accuracy", "sensitivity")).accused
        (('accuracy', 'sensitivity'),)
        """
        if self.verdict != IMPOSSIBLE or not self.metrics:
            return ()
        return self.contradictions or (self.metrics,)


@dataclass(frozen=True)
class Averaging:
    """How the numbers of a row were averaged, as far as the paper says; the fields are those of `Claim`.

    >>> Averaging().is_open, Averaging(folds=1, runs=1).is_single, Averaging(folds=5).is_single
    (True, True, False)
    """

    average: str = ""  # over the classes: "" if the paper does not say, else binary, macro, weighted, micro
    folds: int = 0  # 0: not said; 1: a single test set
    fold_sizes: tuple[int | tuple[int, ...], ...] = ()  # cases of each fold, or cases of each class in each fold
    runs: int = 0  # 0: not said; 1: one training
    stratified: bool = False  # said that the folds divide every class evenly

    @property
    def is_open(self) -> bool:
        """Whether nothing is said."""
        return self == Averaging()

    @property
    def is_single(self) -> bool:
        """Whether it is said that the numbers are of one test set and one training."""
        return self.folds == 1 and self.runs == 1 and len(self.fold_sizes) < 2

    @property
    def may_be_single(self) -> bool:
        """Whether they can be."""
        return self.folds <= 1 and self.runs <= 1 and len(self.fold_sizes) < 2

    @property
    def is_mean(self) -> bool:
        """Whether it is said that they are means: over classes, folds or runs."""
        return self.average in ("macro", "weighted") or not self.may_be_single

    @property
    def may_be_binary(self) -> bool:
        """Whether they can be those of one positive class."""
        return self.average in ("", "binary")


@dataclass(frozen=True)
class Line:
    """The printed metrics of one row; lines of several tables that repeat each other are one.

    >>> line = Line("CNN", ("2", "3"), {"ill": 40, "healthy": 60}, {"accuracy": Printed("91.0", "percent")})
    >>> line.n, line.keys, line.show("accuracy")
    (100, (('2', 'CNN'), ('3', 'CNN')), 'Tables 2, 3: CNN, accuracy 91.0')
    """

    row: str
    tables: tuple[str, ...]
    classes: Mapping[str, int]  # cases per class; empty if unknown
    metrics: Mapping[str, Printed]
    averaging: Averaging = Averaging()

    @property
    def n(self) -> int:
        """Number of test cases; 0 if unknown."""
        return sum(self.classes.values())

    @property
    def name(self) -> str:
        """The row with its tables."""
        return name_row(self.row, self.tables)

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """(table, row) for each of its tables."""
        return tuple((table, self.row) for table in self.tables)

    def show(self, *names: str) -> str:
        """The row with some of its metrics as printed; all of them without names."""
        shown = [f"{name} {self.metrics[name].text}" for name in names or self.metrics if name in self.metrics]
        return f"{self.name}, {', '.join(shown)}"


def may_lack_class(line: Line) -> bool:
    """Whether a fold may hold no case of a class, as far as the line says; programs differ in what they then take for a metric.

    >>> classes = {"ill": 40, "healthy": 60}
    >>> [may_lack_class(Line("CNN", ("2",), classes, {}, Averaging(folds=5, stratified=even))) for even in (True, False)]
    [False, True]
    """
    says, cases = line.averaging, [n for n in line.classes.values() if n]
    if says.folds == 1:
        return False
    if len(says.fold_sizes) > 1 and all(isinstance(sizes, tuple) for sizes in says.fold_sizes):
        return not all(min(sizes) for sizes in says.fold_sizes if isinstance(sizes, tuple))
    folds = max(says.folds, len(says.fold_sizes))
    return not (says.stratified and folds and cases and min(cases) >= folds)


def read_lines(claims: Iterable[Claim]) -> list[Line]:
    """Printed ratios, row by row, in the order of the claims; counts and claims without a value are left out.

    Rows of one name and the same test cases, in different tables, are one line if the metrics that they share are equal.

    >>> claims = [
    ...     Claim(table, "CNN", metric, 91.0, 1, "percent", "", {"ill": 40, "healthy": 60})
    ...     for table, metric in [("2", "accuracy"), ("2", "recall"), ("3", "accuracy")]
    ... ]
    >>> [(line.name, list(line.metrics)) for line in read_lines(claims)]
    [('Tables 2, 3: CNN', ['accuracy', 'sensitivity'])]
    """
    rows: dict[tuple[str, str, tuple[tuple[str, int], ...]], list[Claim]] = {}
    for claim in claims:
        if claim.value is not None and claim.unit != "count":
            rows.setdefault((claim.table, claim.row, tuple(claim.classes.items())), []).append(claim)
    merged: list[Line] = []
    for line in (line for row in rows.values() for line in _divide_row(row)):
        for i, other in enumerate(merged):
            common = line.metrics.keys() & other.metrics.keys()
            same = (line.row, dict(line.classes), line.averaging) == (other.row, dict(other.classes), other.averaging)
            if same and common and all(line.metrics[name] == other.metrics[name] for name in common):
                merged[i] = replace(other, tables=other.tables + line.tables, metrics={**other.metrics, **line.metrics})
                break
        else:
            merged.append(line)
    return merged


def _divide_row(claims: Sequence[Claim]) -> list[Line]:
    """The claims of one row as lines: one for each way of averaging that they state; the accuracy, which has no average over
    the classes, stands in each of them."""
    lines: dict[Averaging, dict[str, Printed]] = {}
    for claim in claims:
        says = Averaging(claim.average, claim.folds, claim.fold_sizes, claim.runs, claim.stratified)
        lines.setdefault(says, {})[SAME_METRIC.get(claim.metric, claim.metric)] = print_claim(claim)
    for says, metrics in list(lines.items()):
        hosts = [other for other in lines if other != says and replace(other, average=says.average) == says]
        if metrics.keys() == {"accuracy"} and hosts:
            for host in hosts:
                lines[host] = {**metrics, **lines[host]}
            del lines[says]
    first = claims[0]
    return [Line(first.row, (first.table,), first.classes, metrics, says) for says, metrics in lines.items()]


def group_lines(lines: Iterable[Line]) -> list[list[Line]]:
    """Lines of the same test cases, averaged in the same way, together, in the order of the claims.

    >>> lines = [Line(row, ("2",), classes, {}) for row, classes in [("A", {"ill": 1}), ("B", {}), ("C", {"ill": 1})]]
    >>> [[line.row for line in group] for group in group_lines(lines)]
    [['A', 'C'], ['B']]
    """
    groups: dict[tuple[Averaging, tuple[tuple[str, int], ...]], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.averaging, tuple(sorted(line.classes.items()))), []).append(line)
    return list(groups.values())


def join_keys(lines: Iterable[Line]) -> tuple[tuple[str, str], ...]:
    """(table, row) of all lines, each once.

    >>> join_keys([Line("A", ("2", "3"), {}, {}), Line("A", ("3",), {}, {})])
    (('2', 'A'), ('3', 'A'))
    """
    return tuple(dict.fromkeys(key for line in lines for key in line.keys))
