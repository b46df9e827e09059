"""The subjects of a source: grade, site and how to get their slices; and the table of subjects that goes with volumes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.data.csv_files import list_lines, read_csv_table, read_header
from common.data.folder import has_control_characters
from common.data.listing import refuse_near_columns
from common.data.patients import normalise_patient
from common.errors import UsageError
from replications.glioma_inceptionv3.config import CLASSES

UNKNOWN = "unknown"  # site
TCGA = re.compile(r"TCGA[-_.]([A-Z0-9]{2})[-_.][A-Z0-9]{4}\b.*", re.IGNORECASE)
NUMERALS = {"1": "I", "2": "II", "3": "III", "4": "IV"}
NO_GRADE = ("", "na", "n/a", "nan", "none", "null", "unknown", "not available", "[not available]", "-", "?")


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices of one subject, in their order: all of them, or those with a lesion where no others are known."""

    planes: np.ndarray  # float32 (slices, rows, columns)
    masks: np.ndarray  # bool of the same shape
    spacing: tuple[float, float]  # mm between rows, between columns
    total: int  # slices of the subject, as far as known
    numbers: list[int]  # of each slice in its volume
    paths: list[str]  # of each slice's file, relative to the source
    sha256: list[str]  # of each slice: of its file, or of its pixels where the file holds several
    remark: str = ""  # what is to be said of this subject; "" nothing


@dataclass(frozen=True, eq=False)
class Subject:
    """A subject with a grade."""

    name: str
    grade: str  # one of CLASSES
    site: str
    read: Callable[[], Slices]  # raises UsageError


@dataclass
class Listing:
    """What a reader found of a collection, before a picture is read."""

    subjects: list[Subject] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unused: dict[str, int] = field(default_factory=dict)  # what -> how many subjects
    listed: int = 0  # subjects, with or without grade
    sequence: str = ""  # which one is used; "": as given


def read_grade(text: str) -> str | None:
    """WHO grade from what tables say, one of CLASSES; None where there is none.

    Raises UsageError for grade I and for what is no grade.

    >>> [read_grade(text) for text in ("II", "Grade 3", "G4", "WHO IV", "who grade ii", "3.0", " g 2 ", "n/a", "")]
    ['II', 'III', 'IV', 'IV', 'II', 'III', 'II', None, None]
    >>> read_grade("GBM")
    Traceback (most recent call last):
    common.errors.UsageError: grade 'GBM' is none of II, III, IV (or 2, 3, 4; G2; Grade II; WHO 2)
    """
    plain = " ".join(normalise_patient(text).split()).casefold()
    if plain in NO_GRADE:
        return None
    match = re.fullmatch(r"(?:(?:who|cns)[\s_.:-]*)*(?:(?:grade|grad|g)[\s_.:-]*)?(iv|iii|ii|i|[1-4])(?:\.0+)?", plain)
    grade = NUMERALS.get(match[1], match[1].upper()) if match else ""
    if grade not in CLASSES:
        raise UsageError(f"grade {text.strip()[:20]!r} is none of {', '.join(CLASSES)} (or 2, 3, 4; G2; Grade II; WHO 2)")
    return grade


def read_site(name: str, column: str = "") -> str:
    """Where a subject was treated: as the table says, else the tissue source site in an id of TCGA, else "unknown".

    >>> read_site("TCGA_CS_4941"), read_site("TCGA-02-0003_1997.06.08"), read_site("p1", "Bern"), read_site("p1")
    ('CS', '02', 'Bern', 'unknown')
    """
    match = TCGA.fullmatch(name)
    return normalise_patient(column) or (match[1].upper() if match else UNKNOWN)


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a table of subjects, with a valid subject and grade."""

    where: str
    subject: str
    grade: str
    more: dict[str, str]  # further columns that were asked for; "" where there is none


def read_table(path: Path, listing: Listing, subject: str, grade: str, optional: tuple[str, ...] = ()) -> list[Line]:
    """Lines of a CSV table with a valid grade; faults, subjects without grade and the number of subjects go into `listing`.

    subject, grade: names of the columns. Raises UsageError for what is no such table.
    """
    read_csv_table(path, {subject: str, grade: str})  # whatever is wrong with the file is said here
    header = read_header(path)
    known = [name for name in header if name in optional]
    refuse_near_columns(path, header, [name for name in optional if name not in known], [subject, grade])
    table = read_csv_table(path, dict.fromkeys([subject, grade, *known], str), numbered=True)
    lines: dict[str, Line] = {}
    torn = set()
    for number, entry in list_lines(table):
        where = f"{path.name} line {number}"
        name = entry[subject].strip()
        if not normalise_patient(name) or has_control_characters(name):
            listing.faults.append(f"{where}: {name[:40]!r} is no name of a subject")
            continue
        listing.listed += 1
        try:
            found = read_grade(entry[grade])
        except UsageError as error:
            listing.faults.append(f"{where}: {error}")
            continue
        if found is None:
            listing.unused["subjects without a grade"] = listing.unused.get("subjects without a grade", 0) + 1
            continue
        more = {column: entry.get(column, "").strip() for column in optional}
        line, key = Line(where, name, found, more), normalise_patient(name)
        if key in lines:
            both = ", with two grades: none of its lines is used" if lines[key].grade != found else ""
            listing.faults.append(f"{where}: subject {name[:40]!r} is listed twice{both}")
            torn |= {key} if both else set()
        lines.setdefault(key, line)
    return [line for key, line in lines.items() if key not in torn]
