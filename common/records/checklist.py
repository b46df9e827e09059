"""The records of a checklist.toml: what a paper, and its replication, report of the items of two reporting checklists.

`load_checklist` reads the file whole and checks it: every item of both lists once, under its own topic, each answer with a place
where it can be read, each place of the paper one that the paper has.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.records.checklist_items import GUIDELINES, Guideline, Item
from common.records.paper_entries import list_entries, name_table, read_fields, refuse_repetition

YES, PARTLY, NO, NOT_APPLICABLE = "yes", "partly", "no", "not applicable"
NOT_AVAILABLE = "not in the available text"  # of a paper alone: it may be reported where our text of the paper has a gap
ANSWERS = (YES, PARTLY, NO, NOT_APPLICABLE, NOT_AVAILABLE)
CITED = (YES, PARTLY, NOT_AVAILABLE)  # answers that must say where
EXPLAINED = (PARTLY, NOT_APPLICABLE, NOT_AVAILABLE)  # answers that must say why
KINDS = {"section": "sections", "Table": "Tables", "Fig.": "Figs.", "equation": "equations"}  # one: several
CITATION = re.compile(rf"({'|'.join(map(re.escape, [*KINDS.values(), *KINDS]))}) (.+)")
FIELDS = {"section": "sections", "Table": "tables", "Fig.": "figures", "equation": "equations"}  # of [outline]


@dataclass(frozen=True)
class Outline:
    """What a citation of the paper may name, as the paper numbers it."""

    parts: tuple[str, ...]  # without a number: "title", "abstract", "references"
    sections: tuple[str, ...]
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    equations: tuple[str, ...]
    missing: tuple[str, ...]  # what the paper has and our text of it has not: "Table 1"


@dataclass(frozen=True)
class Answer:
    """Whether an item is reported, and where."""

    reported: str  # one of ANSWERS
    where: tuple[str, ...]  # of the paper: "Table 1"; of ours: a path below the repository, with #heading or ::name behind it
    remark: str


@dataclass(frozen=True)
class Entry:
    """An item, and what the paper and our replication report of it."""

    item: Item
    paper: Answer
    ours: Answer


@dataclass(frozen=True)
class Checklist:
    """Everything that a checklist.toml says; see `load_checklist`."""

    name: str  # name of the package: the folder that holds checklist.toml
    outline: Outline
    entries: Mapping[str, tuple[Entry, ...]]  # id of a guideline -> its items, all of them, in its order


def load_checklist(path: Path) -> Checklist:
    """Read a checklist.toml; the folder that holds it gives it its name. Raises UsageError as `parse_checklist` does."""
    path = Path(path)
    try:
        return parse_checklist(path.read_text(encoding="utf-8-sig"), path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a checklist.toml") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a valid TOML file: {error}") from None


def parse_checklist(text: str, path: Path) -> Checklist:
    """The answers that the text of a checklist.toml gives; `path` is where it stands, for its name and for error messages.

    Top-level entries: [outline], and one array of tables for each guideline, `claim` and `tripod`, whose entries have the fields
    item, topic (that of the guideline, so that an answer cannot slip to another item), paper and ours. Either answer has
    `reported`, one of ANSWERS, `where`, places parted by semicolons, and `remark`.

    Raises UsageError, naming the file, the line and the item, for anything missing, unknown, doubled or contradictory.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not a valid TOML file: {error}") from None
    known = {"outline", *(guideline.id for guideline in GUIDELINES)}
    if unknown := sorted(set(document) - known):
        raise UsageError(f"{path}: unknown entry {unknown[0]!r}; known: {', '.join(sorted(known))}")
    outline = _read_outline(document.get("outline"), name_table("outline", path, text))
    entries = {guideline.id: _read_entries(guideline, document, outline, path, text) for guideline in GUIDELINES}
    return Checklist(path.resolve().parent.name, outline, entries)


def _read_outline(table: Any, place: str) -> Outline:
    names = ("parts", *FIELDS.values(), "missing")
    fields = read_fields(table, place, required=dict.fromkeys(names, list))
    for name, values in fields.items():
        if not all(isinstance(value, str) and value.strip() and ";" not in value for value in values):
            raise UsageError(f"{place}: field {name!r} must list texts, none of them empty or with a semicolon")
        if len(set(values)) < len(values):
            raise UsageError(f"{place}: field {name!r} names one thing twice")
    return Outline(**{name: tuple(values) for name, values in fields.items()})


def _read_entries(guideline: Guideline, document: Any, outline: Outline, path: Path, text: str) -> tuple[Entry, ...]:
    items = {item.number: item for item in guideline.items}
    found, numbers = {}, []
    for table, place in list_entries(document, guideline.id, path, text):
        fields = read_fields(table, place, required={"item": str, "topic": str, "paper": dict, "ours": dict})
        number, place = fields["item"], f"{place}, item {fields['item']}"
        if number not in items:
            raise UsageError(f"{place}: {guideline.title} has no item {number!r}; it has {', '.join(items)}")
        if fields["topic"] != items[number].topic:
            raise UsageError(f"{place}: its topic is {items[number].topic!r}, not {fields['topic']!r}")
        paper = _read_answer(fields["paper"], f"{place}: paper")
        _check_citations(paper, outline, f"{place}: paper")
        ours = _read_answer(fields["ours"], f"{place}: ours")
        if ours.reported == NOT_AVAILABLE:
            raise UsageError(f"{place}: ours: {NOT_AVAILABLE!r} is an answer for papers alone")
        found[number] = Entry(items[number], paper, ours)
        numbers.append(f"item {number}")
    refuse_repetition(numbers, path, guideline.id)
    if missing := [number for number in items if number not in found]:
        raise UsageError(f"{path}: {guideline.title} has no answer to item {', '.join(missing)}; add [[{guideline.id}]]")
    return tuple(found[number] for number in items)


def _read_answer(table: Any, place: str) -> Answer:
    fields = read_fields(
        table, place, required={"reported": str}, optional={"where": str, "remark": str}, may_be_empty=("where", "remark")
    )
    reported, remark = fields["reported"], fields.get("remark", "").strip()
    if reported not in ANSWERS:
        raise UsageError(f"{place}: field 'reported' must be one of {', '.join(ANSWERS)}, not {reported!r}")
    where = tuple(part.strip() for part in fields.get("where", "").split(";") if part.strip())
    if reported in CITED and not where:
        raise UsageError(f"{place}: {reported!r} needs a place in 'where'")
    if reported == NO and where:
        raise UsageError(f"{place}: 'no' cites {where[0]!r}; say 'partly', or cite nothing")
    if reported in EXPLAINED and not remark:
        raise UsageError(f"{place}: {reported!r} needs a 'remark': what is missing, or why it does not apply")
    return Answer(reported, where, remark)


def _check_citations(answer: Answer, outline: Outline, place: str) -> None:
    """Refuse a citation of something that the paper does not have, or that our text of it does not have."""
    for citation in answer.where:
        if answer.reported == NOT_AVAILABLE:
            if citation not in outline.missing:
                raise UsageError(f"{place}: {citation!r} is not among what [outline] calls missing")
            continue
        for kind, name in split_citation(citation):
            known = outline.parts if kind == "part" else getattr(outline, FIELDS[kind])
            if name not in known or citation in outline.missing:
                raise UsageError(f"{place}: cites {citation!r}, which [outline] does not have")


def split_citation(citation: str) -> list[tuple[str, str]]:
    """The single things that a citation names, each with its kind.

    >>> split_citation("sections 2.1, 2.2 and 3")
    [('section', '2.1'), ('section', '2.2'), ('section', '3')]
    >>> split_citation("equation (4)"), split_citation("abstract")
    ([('equation', '4')], [('part', 'abstract')])
    """
    match = CITATION.fullmatch(citation)
    if not match:
        return [("part", citation)]
    numbers = [number.strip("()") for number in re.split(r", | and ", match[2])]
    kinds = {several: one for one, several in KINDS.items()} if len(numbers) > 1 else {one: one for one in KINDS}
    return [(kinds[match[1]], number) if match[1] in kinds else ("part", citation) for number in numbers]


def count_answers(answers: Iterable[Answer]) -> dict[str, int]:
    """How many answers are of each kind; every kind is there, in the order of ANSWERS.

    >>> count_answers([Answer("yes", ("Table 1",), ""), Answer("no", (), "")])
    {'yes': 1, 'partly': 0, 'no': 1, 'not applicable': 0, 'not in the available text': 0}
    """
    counted = Counter(answer.reported for answer in answers)
    return {answer: counted[answer] for answer in ANSWERS}
