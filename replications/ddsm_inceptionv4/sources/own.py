"""Mammograms of a user's own folder: cases.csv and DICOM (MG), PNG, JPEG, TIFF or PGM; so INbreast, VinDr-Mammo, CMMD are
read."""

from collections.abc import Mapping
from pathlib import Path

from common.data.csv_files import list_lines
from common.data.dicom import is_dicom
from common.data.listing import CaseTable, find_partly_filled, read_cases
from common.data.names import find_listed, name_listed
from common.errors import UsageError, to_one_line
from common.progress import track
from replications.ddsm_inceptionv4.sources.mammograms import SUFFIXES, Listing, Mammogram

TABLE = "cases.csv"
LABELS = {
    "lesion": 1, "1": 1, "positive": 1, "abnormal": 1, "no lesion": 0, "0": 0, "negative": 0, "normal": 0,
}  # fmt: skip
SIDES = {"l": "left", "left": "left", "r": "right", "right": "right", "": ""}
VIEWS = {"CC": "CC", "MLO": "MLO", "ML": "", "LM": "", "": ""}  # true laterals are neither
NEEDED, FURTHER = ("path", "label", "patient"), ("laterality", "view", "digitiser", "density")


def list_own(folder: Path, table: CaseTable | None = None) -> Listing:
    """Every image of a table (folder/cases.csv). Columns: path, label, patient and, where given, laterality, view, digitiser,
    density (1 to 4).

    `patient` may be empty or left out for DICOM, whose own id then groups them (as a checksum); it must be given for pictures.
    Where some DICOM have one, it is a fault of the others: one woman could stand under two ids.
    Faults name their line. Raises UsageError where path or label is missing.
    """
    table = table or CaseTable(folder / TABLE)
    lines = dict(list_lines(read_cases(table, NEEDED[:2], (*NEEDED[2:], *FURTHER))))
    dicom = [number for number, line in lines.items() if Path(line["path"].strip()).suffix.lower() not in SUFFIXES]
    gaps = find_partly_filled([lines[number].get("patient", "").strip() for number in dicom], "patient")
    without = {dicom[place]: fault for place, fault in gaps.items()}
    faults: list[str] = []
    mammograms: dict[str, Mammogram] = {}
    torn = set()
    for number, line in track(lines.items(), f"{to_one_line(table.name)}: lines"):
        try:
            one = _read_line(folder, {str(name): str(value).strip() for name, value in line.items()})
            if fault := without.get(number):
                raise UsageError(fault)
            known = mammograms.setdefault(file := name_listed(folder, one.path), one)
            torn |= {file} if known.label != one.label else set()
            if known is not one:
                both = ", with both labels: none of its lines is used" if file in torn else ""
                raise UsageError(f"{one.path[:80]!r} is listed twice{both}")
        except UsageError as error:
            faults.append(f"{table.name} line {number}: {error}")
    return Listing([one for file, one in mammograms.items() if file not in torn], faults)


def _read_line(folder: Path, line: Mapping[str, str]) -> Mammogram:
    name, label = line["path"], LABELS.get(line["label"].lower())
    side, view = SIDES.get(line.get("laterality", "").lower()), VIEWS.get(line.get("view", "").upper())
    density = line.get("density", "") or "0"
    if label is None:
        raise UsageError(f"label {line['label'][:40]!r} is neither lesion nor no lesion")
    if not name:
        raise UsageError("no path")
    if side is None or view is None:
        raise UsageError("laterality is left or right, view is CC or MLO")
    if density not in list("01234"):
        raise UsageError(f"density {density[:20]!r} is none of 1, 2, 3, 4")
    path = find_listed(folder, name)
    try:
        path.stat()
    except OSError as error:
        raise UsageError(f"{name[:80]!r}: {error.strerror or error}") from None
    dicom = path.suffix.lower() not in SUFFIXES and is_dicom(path)
    if not dicom and path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{name[:80]!r} is neither DICOM nor one of {', '.join(SUFFIXES)}")
    patient = line.get("patient", "")
    if not patient and not dicom:
        raise UsageError("no patient; pictures say nothing of whose they are")
    about = (side, view, int(density), line.get("digitiser", "")[:40])
    return Mammogram(name, name, patient or name, label, *about, kind="dicom" if dicom else "picture")
