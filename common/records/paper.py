"""Load and validate paper.toml: what a paper printed, what it left open, and what a replication does differently."""

import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.records.toml_lines import find_entry_lines, find_table_line

UNITS = ("percent", "fraction", "count")
MOST_CASES = 10**9  # of a class


@dataclass(frozen=True)
class Claim:
    """One printed number. `value` is None where the text available prints none (shown as n/a, never invented)."""

    table: str
    row: str
    metric: str
    value: float | None  # as printed, in `unit`
    digits: int  # decimals as printed
    unit: str  # one of UNITS
    where: str  # place in the paper
    classes: dict[str, int]  # cases per class that the number was computed on; {} if the paper does not say
    note: str = ""
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
    """One way to read printed metrics whose meaning the paper leaves open, such as which class was positive."""

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


@dataclass(frozen=True, eq=False)  # told apart by identity, so that what is computed from a paper can be cached
class Paper:
    name: str  # name of the package: the folder that holds paper.toml
    title: str
    authors: str
    venue: str
    year: str
    doi: str  # "" if unknown
    task: str
    positive_class: str
    headline: Headline
    claims: tuple[Claim, ...]  # as they are compared with ours: ambiguous ones once for every reading
    printed: tuple[Claim, ...]  # as they are printed
    readings: tuple[Reading, ...]
    statements: tuple[Statement, ...]
    unstated: tuple[Unstated, ...]
    deviations: tuple[Deviation, ...]
    audits: tuple[Audit, ...]
    checks: tuple[tuple[dict, str], ...]  # [[check]] as it stands and its place in the file, for common.audit.checks


def load_paper(path: Path) -> Paper:
    """Read a paper.toml.

    Top-level entries: [paper], optional [classes] (named compositions of test sets, to which a claim's `classes` may
    refer), and arrays `claim`, `reading`, `statement`, `unstated`, `deviation`, `audit`, `check`. A claim whose metric a
    reading names is compared under every reading: the first keeps the table's name, the others get ", reading <id>" behind it.

    Raises UsageError, naming the file, the line, the entry and the field, for anything missing, unknown, of a wrong type,
    out of range or contradictory.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a paper.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a valid TOML file: {error}") from None

    known = {"paper", "classes", "claim", "reading", "statement", "unstated", "deviation", "audit", "check"}
    if unknown := sorted(set(document) - known):
        raise UsageError(f"{path}: unknown entry {unknown[0]!r}; known: {', '.join(sorted(known))}")

    texts = ("title", "authors", "venue", "year", "doi", "task", "positive_class")
    about = read_fields(
        document.get("paper"),
        _name_table("paper", path, text),
        required={**dict.fromkeys(texts, str), "headline": dict},
        may_be_empty=("doi",),
    )
    headline_fields = read_fields(
        about.pop("headline"), f"{_name_table('paper', path, text)} headline", required={"table": str, "row": str, "metric": str}
    )
    headline = Headline(**headline_fields)

    place = _name_table("classes", path, text)
    compositions = {name: _read_classes(value, f"{place} {name}") for name, value in document.get("classes", {}).items()}
    claims = tuple(_read_claim(entry, where, compositions) for entry, where in _entries(document, "claim", path, text))
    if not claims:
        raise UsageError(f"{path}: no [[claim]]; add the numbers that the paper printed")
    _refuse_repetition((claim.key for claim in claims), path, "claim")
    readings = tuple(_read_reading(entry, where, compositions) for entry, where in _entries(document, "reading", path, text))
    _refuse_repetition((reading.id for reading in readings), path, "reading")
    ratios = {claim.key for claim in claims if claim.unit != "count"}
    if (headline.table, headline.row, headline.metric) not in ratios:
        raise UsageError(
            f"{_name_table('paper', path, text)} headline names no claim of unit percent or fraction (table {headline.table}, "
            f"row {headline.row!r}, metric {headline.metric!r})"
        )

    def read_all(kind: type, name: str, required: dict[str, type], optional: dict[str, type] | None = None) -> tuple:
        return tuple(
            kind(**read_fields(entry, where, required=required, optional=optional or {}))
            for entry, where in _entries(document, name, path, text)
        )

    statements = read_all(Statement, "statement", {"id": str, "text": str, "where": str})
    _refuse_repetition((statement.id for statement in statements), path, "statement")
    audits = []
    rows = {claim.row for claim in claims}
    for entry, where in _entries(document, "audit", path, text):
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
        checks=tuple(_entries(document, "check", path, text)),
        **about,
    )


def _name_table(name: str, path: Path, text: str) -> str:
    """Place of the table [name] for error messages."""
    line = find_table_line(text, name)
    return f"{path}{f', line {line}' if line else ''}: [{name}]"


def _entries(document: dict, name: str, path: Path, text: str) -> Iterable[tuple[Any, str]]:
    """(entry, place for error messages) of one array of tables."""
    entries = document.get(name, [])
    if not isinstance(entries, list):
        raise UsageError(f"{path}: {name!r} must be an array of tables ([[{name}]])")
    lines = find_entry_lines(text, name)
    for position, entry in enumerate(entries, start=1):
        names = [str(entry[key]) for key in ("row", "metric") if key in entry] if isinstance(entry, dict) else []
        label = f" ({', '.join(names)})" if names else ""
        line = f", line {lines[position - 1]}" if len(lines) == len(entries) else ""
        yield entry, f"{path}{line}: {name} {position}{label}"


def read_fields(
    table: Any,
    where: str,
    *,
    required: dict[str, type],
    optional: dict[str, type] | None = None,
    may_be_empty: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Check the keys and types of a TOML table; strings must not be empty unless listed."""
    if not isinstance(table, dict):
        raise UsageError(f"{where}: missing or not a table")
    known = {**required, **(optional or {})}
    for name in table:
        if name not in known:
            raise UsageError(f"{where}: unknown field {name!r}; known: {', '.join(known)}")
    for name in required:
        if name not in table:
            raise UsageError(f"{where}: field {name!r} is missing")
    for name, value in table.items():
        # bool is a kind of int in Python, but not here.
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            raise UsageError(f"{where}: field {name!r} must be {known[name].__name__}, not {type(value).__name__}")
        if isinstance(value, str) and not value.strip() and name not in may_be_empty:
            raise UsageError(f"{where}: field {name!r} is empty")
    return dict(table)


def _read_classes(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, dict) or not value:
        raise UsageError(f"{where}: must be a table of cases per class")
    for name, cases in value.items():
        if type(cases) is not int or not 0 <= cases <= MOST_CASES:
            raise UsageError(f"{where}: cases of class {name!r} must be a whole number from 0 to {MOST_CASES}, not {cases!r}")
    return dict(value)


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
        optional={"classes": dict, "value": float, "note": str},
    )
    if "classes" in fields:
        fields["classes"] = _read_classes(fields["classes"], f"{where}: field 'classes'")
    claim = Claim(**{"value": None, "classes": {}, **fields})
    if claim.unit not in UNITS:
        raise UsageError(f"{where}: field 'unit' must be one of {', '.join(UNITS)}, not {claim.unit!r}")
    if not 0 <= claim.digits <= 20:
        raise UsageError(f"{where}: field 'digits' must be between 0 and 20, not {claim.digits}")
    if claim.value is not None:
        highest = {"percent": 100.0, "fraction": 1.0, "count": math.inf}[claim.unit]
        if not (math.isfinite(claim.value) and 0 <= claim.value <= highest):
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
    """Claims as they are compared: the ambiguous ones once for every reading; those on unknown cases are left as printed."""
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


def _refuse_repetition(keys: Iterable, path: Path, name: str) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            raise UsageError(f"{path}: {name} {key} stands twice")
        seen.add(key)


def name_row(row: str, tables: Sequence[str]) -> str:
    """A row with the numbered tables that print it."""
    head = "Tables" if len(tables) > 1 else "Table"
    return f"{head} {', '.join(tables)}: {row}" if tables and tables[0][:1].isdigit() else row
