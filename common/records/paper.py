"""The records of a paper.toml: what a paper printed, what it left open, and what a replication does differently.

`load_paper` reads the file whole and checks it; no other module parses it.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from common.errors import UsageError
from common.records.paper_entries import list_entries, name_table, read_classes, read_fields, read_fold_sizes, refuse_repetition

UNITS = ("percent", "fraction", "count")  # of a printed number: 96.0 %, 0.96, 96 of something
AVERAGES = (
    "",
    "binary",
    "macro",
    "weighted",
    "micro",
)  # how a printed metric was averaged over the classes; "": the paper does not say
SIGNED = ("mcc", "kappa", "cohen_kappa", "weighted_kappa")  # metrics from -1 to 1
# Metrics that may have any size: likelihood and odds ratios, regression scores.
UNLIMITED = ("lr_positive", "lr_negative", "odds_ratio", "mae", "mse", "rmse", "mape", "r2")
MOST_DIGITS = 20  # decimals of a printed number: more are taken for a mistake
EntryT = TypeVar("EntryT")


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
    unit: str  # one of UNITS
    where: str  # place in the paper
    classes: dict[str, int]  # cases per class that the number was computed on; {} if the paper does not say
    note: str = ""
    average: str = ""  # one of AVERAGES
    folds: int = 0  # the value is a mean over so many folds of a cross-validation; 1: over none; 0: the paper does not say
    fold_sizes: tuple[int | tuple[int, ...], ...] = ()  # cases of each fold, or of each class in each fold, where they are given
    runs: int = 0  # the value is a mean over so many repetitions on the same cases; 1: over none; 0: the paper does not say
    best_of: int = 0  # the value is the best of so many choices scored on the test cases; 0: not known
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


@dataclass(frozen=True)
class Statement:
    """A finding that the paper words, to be checked against our numbers; `id` is what the package's code refers to."""

    id: str
    text: str
    where: str


@dataclass(frozen=True)
class Unstated:
    """A setting that the paper leaves open."""

    item: str
    chose: str
    because: str


@dataclass(frozen=True)
class Deviation:
    """Something that is knowingly done differently."""

    paper: str
    ours: str
    effect: str


@dataclass(frozen=True)
class Audit:
    """A remark on what the paper did or printed that no arithmetic gives; what arithmetic gives is left to common.audit."""

    check: str
    found: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """One way to understand printed metrics whose meaning the paper leaves open, such as which class was positive.

    Where paper.toml gives two readings, the claims concerned are compared with ours under each of them.
    """

    id: str
    text: str
    metrics: dict[str, str]  # printed name -> our metric
    classes: dict[str, int]  # cases per class under this reading


@dataclass(frozen=True)
class Headline:
    """The claim that stands for the paper in one line."""

    table: str
    row: str
    metric: str


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is computed from a paper can be cached
class Paper:
    """Everything that a paper.toml says; see `load_paper`."""

    name: str  # name of the package: the folder that holds paper.toml
    title: str
    authors: str
    venue: str
    year: str
    doi: str  # "" if unknown
    task: str
    positive_class: str
    headline: Headline
    claims: tuple[Claim, ...]  # to be compared with ours: a claim with several readings stands here once for each
    printed: tuple[Claim, ...]  # as the paper prints them, each once
    readings: tuple[Reading, ...]
    statements: tuple[Statement, ...]
    unstated: tuple[Unstated, ...]
    deviations: tuple[Deviation, ...]
    audits: tuple[Audit, ...]
    checks: tuple[tuple[Any, str], ...]  # each [[check]] as parsed, and its place in the file; common.audit.checks reads them


def load_paper(path: Path) -> Paper:
    """Read a paper.toml; the folder that holds it gives the paper its name. Raises UsageError as `parse_paper` does."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a paper.toml") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a valid TOML file: {error}") from None
    return parse_paper(text, path)


def parse_paper(text: str, path: Path) -> Paper:
    """The paper that the text of a paper.toml describes; `path` is where it stands, for its name and for error messages.

    Top-level entries: [paper]; optional [classes] with the cases of each class of a test set, under a name that claims use
    (`classes = "test"`); and the arrays `claim`, `reading`, `statement`, `unstated`, `deviation`, `audit`, `check`. A claim
    whose metric a reading names is compared under every reading: the first keeps the table's name, the others get
    ", reading <id>" behind it.

    Raises UsageError, naming the file, the line, the entry and the field, for anything missing, unknown, of a wrong type,
    out of range or contradictory.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not a valid TOML file: {error}") from None

    known = {"paper", "classes", "claim", "reading", "statement", "unstated", "deviation", "audit", "check"}
    if unknown := sorted(set(document) - known):
        raise UsageError(f"{path}: unknown entry {unknown[0]!r}; known: {', '.join(sorted(known))}")

    texts = ("title", "authors", "venue", "year", "doi", "task", "positive_class")
    about = read_fields(
        document.get("paper"),
        name_table("paper", path, text),
        required={**dict.fromkeys(texts, str), "headline": dict},
        may_be_empty=("doi",),
    )
    headline_fields = read_fields(
        about.pop("headline"), f"{name_table('paper', path, text)} headline", required={"table": str, "row": str, "metric": str}
    )
    headline = Headline(**headline_fields)

    place = name_table("classes", path, text)
    compositions = {name: read_classes(value, f"{place} {name}") for name, value in document.get("classes", {}).items()}
    claims = tuple(_read_claim(entry, where, compositions) for entry, where in list_entries(document, "claim", path, text))
    if not claims:
        raise UsageError(f"{path}: no [[claim]]; add the numbers that the paper printed")
    refuse_repetition((claim.key for claim in claims), path, "claim")
    readings = tuple(_read_reading(entry, where, compositions) for entry, where in list_entries(document, "reading", path, text))
    refuse_repetition((reading.id for reading in readings), path, "reading")
    ratios = {claim.key for claim in claims if claim.unit != "count"}
    if (headline.table, headline.row, headline.metric) not in ratios:
        raise UsageError(
            f"{name_table('paper', path, text)} headline names no claim of unit percent or fraction (table {headline.table}, "
            f"row {headline.row!r}, metric {headline.metric!r})"
        )

    def read_all(kind: type[EntryT], name: str, required: dict[str, type]) -> tuple[EntryT, ...]:
        entries = list_entries(document, name, path, text)
        return tuple(kind(**read_fields(entry, where, required=required)) for entry, where in entries)

    statements = read_all(Statement, "statement", {"id": str, "text": str, "where": str})
    refuse_repetition((statement.id for statement in statements), path, "statement")
    audits = []
    rows = {claim.row for claim in claims}
    for entry, where in list_entries(document, "audit", path, text):
        fields = read_fields(entry, where, required={"check": str, "found": str}, optional={"rows": list})
        fields["rows"] = tuple(fields.get("rows", ()))
        if foreign := [row for row in fields["rows"] if row not in rows]:
            raise UsageError(f"{where}: 'rows' names {foreign[0]!r}, which no claim has")
        audits.append(Audit(**fields))

    return Paper(
        name=path.resolve().parent.name,
        headline=headline,
        claims=_read_claims_under(readings, claims),
        printed=claims,
        readings=readings,
        statements=statements,
        unstated=read_all(Unstated, "unstated", {"item": str, "chose": str, "because": str}),
        deviations=read_all(Deviation, "deviation", {"paper": str, "ours": str, "effect": str}),
        audits=tuple(audits),
        checks=tuple(list_entries(document, "check", path, text)),
        **about,
    )


def _read_claim(entry: Any, where: str, compositions: dict[str, dict[str, int]]) -> Claim:
    if isinstance(entry, dict) and isinstance(entry.get("classes"), str):
        if entry["classes"] not in compositions:
            raise UsageError(f"{where}: 'classes' names {entry['classes']!r}, which [classes] does not have")
        entry = {**entry, "classes": compositions[entry["classes"]]}
    if isinstance(entry, dict) and isinstance(entry.get("value"), int) and not isinstance(entry["value"], bool):
        entry = {**entry, "value": float(entry["value"])}
    fields = read_fields(
        entry,
        where,
        required={"table": str, "row": str, "metric": str, "digits": int, "unit": str, "where": str},
        optional={"classes": dict, "value": float, "note": str, "average": str, "fold_sizes": list}
        | dict.fromkeys(("folds", "runs", "best_of"), int),
    )
    if "classes" in fields:
        fields["classes"] = read_classes(fields["classes"], f"{where}: field 'classes'")
    fields["fold_sizes"] = read_fold_sizes(fields.get("fold_sizes", []), fields.get("classes", {}), where)
    claim = Claim(**{"value": None, "classes": {}, **fields})
    if claim.average not in AVERAGES:
        raise UsageError(f"{where}: field 'average' must be one of {', '.join(AVERAGES[1:])}, not {claim.average!r}")
    for name in ("folds", "runs", "best_of"):
        if getattr(claim, name) < 0:
            raise UsageError(f"{where}: field {name!r} must be at least 1, not {getattr(claim, name)}")
    sizes = [sum(size) if isinstance(size, tuple) else size for size in claim.fold_sizes]
    if not all(size > 0 for size in sizes):
        raise UsageError(f"{where}: field 'fold_sizes' must list the cases of each fold, whole numbers from 1")
    if claim.fold_sizes and claim.folds not in (0, len(claim.fold_sizes)):
        raise UsageError(f"{where}: field 'fold_sizes' lists {len(claim.fold_sizes)} folds, not {claim.folds}")
    if claim.fold_sizes and claim.classes and sum(sizes) != claim.n:
        raise UsageError(f"{where}: field 'fold_sizes' holds {sum(sizes)} cases, 'classes' {claim.n}")
    if claim.unit not in UNITS:
        raise UsageError(f"{where}: field 'unit' must be one of {', '.join(UNITS)}, not {claim.unit!r}")
    if not 0 <= claim.digits <= MOST_DIGITS:
        raise UsageError(f"{where}: field 'digits' must be between 0 and {MOST_DIGITS}, not {claim.digits}")
    if claim.value is not None:
        highest = math.inf if claim.metric in UNLIMITED else {"percent": 100.0, "fraction": 1.0, "count": math.inf}[claim.unit]
        lowest = -highest if claim.metric in SIGNED or claim.metric in UNLIMITED else 0.0
        if not (math.isfinite(claim.value) and lowest <= claim.value <= highest):
            raise UsageError(f"{where}: field 'value' {claim.value} is outside the range of unit {claim.unit!r}")
        if claim.unit == "count" and not claim.value.is_integer():
            raise UsageError(f"{where}: field 'value' {claim.value} of unit 'count' is not a whole number")
        if float(f"{claim.value:.{claim.digits}f}") != claim.value:
            raise UsageError(f"{where}: field 'value' {claim.value} has more decimals than 'digits' = {claim.digits}")
    return claim


def _read_reading(entry: Any, where: str, compositions: dict[str, dict[str, int]]) -> Reading:
    fields = read_fields(entry, where, required={"id": str, "text": str, "metrics": dict, "classes": str})
    if fields["classes"] not in compositions:
        raise UsageError(f"{where}: 'classes' names {fields['classes']!r}, which [classes] does not have")
    if not fields["metrics"] or not all(isinstance(ours, str) and ours for ours in fields["metrics"].values()):
        raise UsageError(f"{where}: field 'metrics' must give one of our metrics for each printed name")
    return Reading(**{**fields, "classes": compositions[fields["classes"]]})


def _read_claims_under(readings: tuple[Reading, ...], claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """The claims to be compared: those whose metric a reading names once for each reading, all others as printed.

    A claim on an unknown number of cases stays as printed, too: a reading could not say which class is which.
    """
    clear = tuple(c for c in claims if not c.classes or not any(c.metric in reading.metrics for reading in readings))
    if len(clear) == len(claims):
        return claims
    compared = []
    for position, reading in enumerate(readings):
        for claim in claims:
            if claim in clear:
                if position == 0:
                    compared.append(claim)
            elif claim.metric in reading.metrics:
                compared.append(_read_claim_under(reading, claim, first=position == 0))
    return tuple(compared)


def _read_claim_under(reading: Reading, claim: Claim, first: bool) -> Claim:
    metric = reading.metrics[claim.metric]
    return replace(
        claim,
        table=claim.table if first else f"{claim.table}, reading {reading.id}",
        metric=metric,
        classes=reading.classes,
        note="; ".join(filter(None, [claim.note, "" if metric == claim.metric else f"printed as {claim.metric}"])),
        as_printed=claim,
    )


def name_row(row: str, tables: Sequence[str]) -> str:
    """A row with the numbered tables that print it; alone where its "table" is no number.

    >>> name_row("CNN", ["2", "3"]), name_row("CNN", ["text"])
    ('Tables 2, 3: CNN', 'CNN')
    """
    head = "Tables" if len(tables) > 1 else "Table"
    return f"{head} {', '.join(tables)}: {row}" if tables and tables[0][:1].isdigit() else row
