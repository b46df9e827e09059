"""The records of a paper.toml: what a paper printed, what it left open, and what a replication does differently.

`load_paper` reads the file whole and checks it; no other module parses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from common.errors import UsageError, keep_short
from common.files import check_file
from common.records.claims import Claim, read_claim
from common.records.metric_names import name_metric
from common.records.paper_entries import list_entries, name_table, read_classes, read_fields, refuse_repetition
from common.records.printed_tables import read_table_entry
from common.records.toml_lines import read_toml

EntryT = TypeVar("EntryT")


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
    settings: tuple[str, ...] = ()  # those whose values in a run are told above its tables


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
class Contrast:
    """Two rows of ours that differ by the leak, which the first page shows as one line.

    Without any, each row that was run under both protocols is such a line.
    """

    name: str  # of the line
    paper: str  # row under the paper's protocol
    leakfree: str
    control: bool = False  # trained on classes that mean nothing: it shows what the leak can do, and counts as no row


@dataclass(frozen=True)
class Headline:
    """The claim that stands for the paper in one line; where the paper's main claim is one in words, also its statement."""

    table: str
    row: str
    metric: str
    statement: str = ""  # id


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
    notes: tuple[str, ...] = ()  # what was left out of the [[table]] entries, and what was concluded
    contrasts: tuple[Contrast, ...] = ()
    figure: str = ""  # file of the figure that stands first on the paper's page; "": the first of the run
    row_names: str = ""  # what the names of rows mean, for who has not read the paper
    difference: str = ""  # what else than the leak differs between our protocols, for the tables that show their difference

    @property
    def numbers(self) -> tuple[Claim, ...]:
        """Every printed number as a claim of its own: what is printed, and the standard deviations beside it ("accuracy_sd")."""
        spreads = (
            replace(claim, metric=f"{claim.metric}_sd", value=claim.sd, digits=claim.sd_digits, sd=None, sd_digits=0)
            for claim in self.printed
            if claim.sd is not None
        )
        return (*self.printed, *spreads)


def load_paper(path: Path) -> Paper:
    """Read a paper.toml; the folder that holds it gives the paper its name. Raises UsageError as `parse_paper` does."""
    path = Path(path)
    try:
        check_file(path)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a paper.toml") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a valid TOML file: {error}") from None
    with keep_short(path):
        return parse_paper(text, path)


def parse_paper(text: str, path: Path) -> Paper:
    """The paper that the text of a paper.toml describes; `path` is where it stands, for its name and for error messages.

    Top-level entries: [paper]; optional [classes] with the cases of each class of a test set, under a name that claims use
    (`classes = "test"`); and the arrays `claim`, `table`, `reading`, `statement`, `unstated`, `deviation`, `audit`, `check`,
    `contrast`. A [[table]] is as many claims as it prints numbers. A claim whose metric a reading names is compared under every
    reading: the first keeps the table's name, the others get ", reading <id>" behind it. Without `headline` in [paper], the first
    ratio is it; a headline may name a statement besides.

    Raises UsageError, naming the file, the line, the entry and the field, for anything missing, unknown, of a wrong type,
    out of range or contradictory.
    """
    document = read_toml(text, path)

    arrays = {"claim", "table", "reading", "statement", "unstated", "deviation", "audit", "check", "contrast"}
    known = {"paper", "classes"} | arrays
    if unknown := sorted(set(document) - known):
        raise UsageError(f"{path}: unknown entry {unknown[0]!r}; known: {', '.join(sorted(known))}")

    texts = ("title", "authors", "venue", "year", "doi", "task", "positive_class")
    about = read_fields(
        document.get("paper"),
        name_table("paper", path, text),
        required=dict.fromkeys(texts, str),
        optional={"headline": dict, "difference": str, "figure": str, "row_names": str},
        may_be_empty=("doi",),
    )
    place = name_table("classes", path, text)
    compositions = {name: read_classes(value, f"{place} {name}") for name, value in document.get("classes", {}).items()}
    claims = tuple(read_claim(entry, where, compositions) for entry, where in list_entries(document, "claim", path, text))
    tables = [read_table_entry(entry, where, compositions) for entry, where in list_entries(document, "table", path, text)]
    claims = (*claims, *(claim for table in tables for claim in table.claims))
    if not claims:
        raise UsageError(f"{path}: no [[claim]] and no [[table]]; add the numbers that the paper printed")
    refuse_repetition((claim.key for claim in claims), path, "claim")
    readings = tuple(_read_reading(entry, where, compositions) for entry, where in list_entries(document, "reading", path, text))
    refuse_repetition((reading.id for reading in readings), path, "reading")

    def read_all(
        kind: type[EntryT], name: str, required: dict[str, type], optional: dict[str, type] | None = None
    ) -> tuple[EntryT, ...]:
        entries = list_entries(document, name, path, text)
        return tuple(kind(**read_fields(entry, where, required=required, optional=optional or {})) for entry, where in entries)

    statements = read_all(Statement, "statement", {"id": str, "text": str, "where": str})
    refuse_repetition((statement.id for statement in statements), path, "statement")
    headline = _read_headline(about.pop("headline", None), claims, statements, name_table("paper", path, text))
    contrasts = read_all(Contrast, "contrast", {"name": str, "paper": str, "leakfree": str}, {"control": bool})
    refuse_repetition((contrast.name for contrast in contrasts), path, "contrast")
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
        unstated=tuple(
            replace(item, settings=tuple(item.settings))
            for item in read_all(Unstated, "unstated", {"item": str, "chose": str, "because": str}, {"settings": list})
        ),
        deviations=read_all(Deviation, "deviation", {"paper": str, "ours": str, "effect": str}),
        audits=tuple(audits),
        checks=tuple((_name_metrics(entry), where) for entry, where in list_entries(document, "check", path, text)),
        contrasts=contrasts,
        notes=tuple(f"Table {table.claims[0].table}: {note}" for table in tables for note in table.notes),
        **about,
    )


def _read_headline(entry: Any, claims: Sequence[Claim], statements: Sequence[Statement], place: str) -> Headline:
    """The headline that [paper] gives, or else the first ratio; `place` is that of [paper]. UsageError if none is so called."""
    ratios = [claim for claim in claims if claim.unit != "count"]
    if entry is None and ratios:
        return Headline(*ratios[0].key)
    fields = read_fields(
        entry, f"{place} headline", required={"table": str, "row": str, "metric": str}, optional={"statement": str}
    )
    headline = Headline(**{**fields, "metric": name_metric(fields["metric"])})
    if (headline.table, headline.row, headline.metric) not in {claim.key for claim in ratios}:
        raise UsageError(
            f"{place} headline names no claim of unit percent or fraction (table {headline.table}, row {headline.row!r}, "
            f"metric {headline.metric!r})"
        )
    if headline.statement and headline.statement not in {statement.id for statement in statements}:
        raise UsageError(f"{place} headline names no [[statement]]: {headline.statement!r}")
    return headline


def _name_metrics(check: Any) -> Any:
    """A [[check]] with our names for its metrics; whatever is wrong with it stays, to be found by its reader."""
    if isinstance(check, dict):
        if isinstance(check.get("metric"), str):
            check = {**check, "metric": name_metric(check["metric"])}
        if isinstance(check.get("values"), dict):
            check = {**check, "values": {name_metric(name): value for name, value in check["values"].items()}}
    return check


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
