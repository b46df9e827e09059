"""A printed number, and what a paper.toml must say of it."""

import math
from dataclasses import dataclass
from typing import Any

from common.errors import UsageError
from common.records.metric_names import name_metric, read_head
from common.records.paper_entries import read_classes, read_fields, read_fold_sizes

UNITS = ("percent", "fraction", "count")  # of a printed number: 96.0 %, 0.96, 96 of something
# How a printed metric was averaged over the classes; "": the paper does not say.
AVERAGES = ("", "binary", "macro", "weighted", "micro")
SIGNED = ("mcc", "kappa", "cohen_kappa", "weighted_kappa")  # metrics from -1 to 1
# Metrics that may have any size: likelihood and odds ratios, regression scores.
UNLIMITED = ("lr_positive", "lr_negative", "odds_ratio", "mae", "mse", "rmse", "mape", "r2")
MOST_DIGITS = 20  # decimals of a printed number: more are taken for a mistake
MOST_FOLDS, MOST_RUNS = 1000, 10_000  # more are taken for a mistake
# What a claim, or a whole table, says of how its numbers came about.
ORIGIN: dict[str, type] = {"average": str, "folds": int, "fold_sizes": list, "stratified": bool, "runs": int, "note": str}


@dataclass(frozen=True)
class Claim:
    """One printed number.

    `value` is None where the text that we have prints none: it is shown as n/a, never guessed.

    >>> claim = Claim("2", "CNN", "accuracy", 91.5, 1, "percent", "Table 2", {"ill": 40, "healthy": 60})
    >>> claim.n, claim.fraction, claim.key
    (100, 0.915, ('2', 'CNN', 'accuracy'))
    """

    table: str
    row: str
    metric: str
    value: float | None  # as printed, in `unit`
    digits: int  # decimals as printed
    unit: str  # one of UNITS; likelihood ratios, which have no upper end, are of unit "fraction"
    where: str  # place in the paper
    classes: dict[str, int]  # cases per class that the number was computed on; {} if the paper does not say
    note: str = ""
    average: str = ""  # one of AVERAGES
    folds: int = 0  # the value is a mean over so many folds of a cross-validation; 1: over none; 0: the paper does not say
    fold_sizes: tuple[int | tuple[int, ...], ...] = ()  # cases of each fold, or of each class in each fold, where they are given
    runs: int = 0  # the value is a mean over so many repetitions on the same cases; 1: over none; 0: the paper does not say
    best_of: int = 0  # the value is the best of so many choices scored on the test cases; 0: not known
    sd: float | None = None  # standard deviation over folds or runs, printed beside the value, in `unit`
    sd_digits: int = 0  # its decimals as printed
    stratified: bool = False  # the paper says that every fold has the same share of each class
    as_printed: "Claim | None" = None  # the claim in the paper's own words, where a reading changed them

    @property
    def n(self) -> int:
        """Number of cases behind the claim."""
        return sum(self.classes.values())

    @property
    def fraction(self) -> float | None:
        """The value with percent turned into a fraction; counts and fractions as they are."""
        if self.value is None:
            return None
        return self.value / 100 if self.unit == "percent" else self.value

    @property
    def key(self) -> tuple[str, str, str]:
        """(table, row, metric): what a claim is found by."""
        return self.table, self.row, self.metric

    @property
    def printed_key(self) -> tuple[str, str, str]:
        """Table, row and metric by which the paper prints the number, whatever the reading."""
        return (self.as_printed or self).key


def read_claim(entry: Any, where: str, compositions: dict[str, dict[str, int]]) -> Claim:
    """The claim of a [[claim]] as parsed. Usual spellings of a metric get our name: "ACC." is accuracy.

    where: place of the entry for error messages. compositions: the cases per class that [classes] names. Raises UsageError.

    >>> entry = {"table": "2", "row": "CNN", "metric": "Macro-F1", "value": 91.5, "digits": 1, "unit": "percent", "where": "p. 3"}
    >>> claim = read_claim(entry, "mine.toml, line 1: claim 1", {})
    >>> claim.metric, claim.average
    ('f1', 'macro')
    """
    entry = name_classes(entry, where, compositions)
    if isinstance(entry, dict):
        # bool is a kind of int in Python, but not here.
        whole = {name for name in ("value", "sd") if isinstance(entry.get(name), int) and not isinstance(entry[name], bool)}
        entry = {name: float(value) if name in whole else value for name, value in entry.items()}
    fields = read_fields(
        entry,
        where,
        required={"table": str, "row": str, "metric": str, "digits": int, "unit": str, "where": str},
        optional={"classes": dict, "value": float, "sd": float, "sd_digits": int, "best_of": int, **ORIGIN},
    )
    written = fields["metric"]
    fields["metric"] = name_metric(written)
    if fields["metric"] != written and (head := read_head(written)) and head.average:
        fields.setdefault("average", head.average)
    if "classes" in fields:
        fields["classes"] = read_classes(fields["classes"], f"{where}: field 'classes'")
    fields["fold_sizes"] = read_fold_sizes(fields.get("fold_sizes", []), fields.get("classes", {}), where)
    claim = Claim(**{"value": None, "classes": {}, **fields})
    check_claim(claim, where)
    return claim


def name_classes(entry: Any, where: str, compositions: dict[str, dict[str, int]]) -> Any:
    """The entry with the cases per class themselves where it names them (`classes = "test"`). UsageError for an unknown name."""
    if not isinstance(entry, dict) or not isinstance(entry.get("classes"), str):
        return entry
    if entry["classes"] not in compositions:
        raise UsageError(f"{where}: 'classes' names {entry['classes']!r}, which [classes] does not have")
    return {**entry, "classes": compositions[entry["classes"]]}


def check_origin(claim: Claim, where: str) -> None:
    """Raise UsageError where a claim says what cannot be of its averages, folds and runs; `where` begins the message."""
    if claim.average not in AVERAGES:
        raise UsageError(f"{where}: field 'average' must be one of {', '.join(AVERAGES[1:])}, not {claim.average!r}")
    for name, most in (("folds", MOST_FOLDS), ("runs", MOST_RUNS), ("best_of", None)):
        if (number := getattr(claim, name)) < 0:
            raise UsageError(f"{where}: field {name!r} must be at least 1, not {number}")
        if most and number > most:
            raise UsageError(f"{where}: field {name!r} must be at most {most}, not {number}")
    if claim.folds * claim.runs > MOST_RUNS:
        raise UsageError(f"{where}: 'folds' times 'runs' must be at most {MOST_RUNS}, not {claim.folds} x {claim.runs}")
    if claim.classes and claim.folds > claim.n:
        raise UsageError(f"{where}: field 'folds' must be at most the {claim.n} cases of 'classes', not {claim.folds}")
    if claim.stratified and claim.folds == 1:
        raise UsageError(f"{where}: field 'stratified' speaks of folds, and 'folds' is 1")
    sizes = [sum(size) if isinstance(size, tuple) else size for size in claim.fold_sizes]
    if not all(size > 0 for size in sizes):
        raise UsageError(f"{where}: field 'fold_sizes' must list the cases of each fold, whole numbers from 1")
    if claim.fold_sizes and claim.folds not in (0, len(claim.fold_sizes)):
        raise UsageError(f"{where}: field 'fold_sizes' lists {len(claim.fold_sizes)} folds, not {claim.folds}")
    if claim.fold_sizes and claim.classes and sum(sizes) != claim.n:
        raise UsageError(f"{where}: field 'fold_sizes' holds {sum(sizes)} cases, 'classes' {claim.n}")


def check_claim(claim: Claim, where: str) -> None:
    """Raise UsageError for a claim whose fields contradict each other or lie out of range; `where` begins the message."""
    check_origin(claim, where)
    if claim.unit not in UNITS:
        raise UsageError(f"{where}: field 'unit' must be one of {', '.join(UNITS)}, not {claim.unit!r}")
    highest = math.inf if claim.metric in UNLIMITED else {"percent": 100.0, "fraction": 1.0, "count": math.inf}[claim.unit]
    lowest = -highest if claim.metric in (*SIGNED, *UNLIMITED) else 0.0
    for name, number, digits, least in (
        ("value", claim.value, claim.digits, lowest),
        ("sd", claim.sd, claim.sd_digits, 0.0),
    ):
        count = "digits" if name == "value" else "sd_digits"
        if not 0 <= digits <= MOST_DIGITS:
            raise UsageError(f"{where}: field {count!r} must be between 0 and {MOST_DIGITS}, not {digits}")
        if number is None:
            continue
        if not (math.isfinite(number) and least <= number <= highest):
            raise UsageError(f"{where}: field {name!r} {number} is outside the range of unit {claim.unit!r}")
        if claim.unit == "count" and name == "value" and not number.is_integer():
            raise UsageError(f"{where}: field 'value' {number} of unit 'count' is not a whole number")
        if float(f"{number:.{digits}f}") != number:
            raise UsageError(f"{where}: field {name!r} {number} has more decimals than {count!r} = {digits}")
    if claim.sd is not None and claim.value is None:
        raise UsageError(f"{where}: field 'sd' without 'value': give both, or neither")
