"""A user's own pictures: a table of cases says label, patient and, where known, the place in the picture."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.data.csv_files import guess_form, list_lines, read_csv_table, read_header, show_columns
from common.data.folder import has_control_characters, refuse_outside
from common.data.names import find_listed, name_listed
from common.data.patients import normalise_patient
from common.errors import UsageError, quote, to_one_line
from common.progress import track

TABLE = "cases.csv"
NEEDED = ("path", "label", "patient")
BOX = ("x0", "y0", "x1", "y1")
WINDOW = ("black", "white")
HIGHEST = 65535  # grey level of 16 bits
FILES = ("path", "mask")  # columns that name files

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 exclusive
Window = tuple[int, int]  # grey levels of black and of white


@dataclass(frozen=True)
class CaseTable:
    """A table of cases, and what its columns are called where they have other names than ours."""

    path: Path
    columns: tuple[tuple[str, str], ...] = ()  # (our name, its name)

    @property
    def name(self) -> str:
        """As faults name it."""
        return self.path.name

    def find_column(self, ours: str) -> str:
        """Its name for one of our columns.

        >>> CaseTable(Path("list.csv"), (("label", "diagnosis"),)).find_column("label")
        'diagnosis'
        """
        return dict(self.columns).get(ours, ours)


@dataclass(frozen=True)
class Listed:
    """A line of a table of cases whose label, patient and box are valid."""

    number: int  # of the line; the header is line 1
    path: str  # as given: not yet known to lie inside the folder
    label: int
    patient: str
    box: Box | None
    more: Mapping[str, str]  # the optional columns that were asked for; "" where there is none
    file: str = ""  # the same path as the file is called on disk (`find_listed`); as given where there is none
    window: Window | None = None  # which grey levels are black and white, needed for more than 8 bits
    table: str = TABLE

    @property
    def where(self) -> str:
        """The line as faults name it."""
        return f"{self.table} line {self.number}"


def locate_table(cases: Path, folder: Path) -> Path:
    """Where the table lies that the command line names: as it says, or in the data folder; UsageError if in neither, or if two
    different files are meant by one name.

    >>> locate_table(Path("no.csv"), Path("pictures"))
    Traceback (most recent call last):
    common.errors.UsageError: --cases no.csv: no such file, neither here nor in pictures
    """
    places = [place for place in dict.fromkeys([cases, folder / cases]) if place.is_file()]
    if not places:
        raise UsageError(f"--cases {cases}: no such file, neither here nor in {folder}")
    if len(places) == 2 and not places[0].samefile(places[1]):
        raise UsageError(f"--cases {cases}: there is one here and one in {folder}; give the whole path of the one that you mean")
    return places[0]


def read_cases(table: CaseTable, needed: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """The columns of a table of cases under our names, as text; those of `optional` that are there. The index is the line of
    each case, which faults name.

    Raises UsageError for what is no CSV, for a column that is not there though it is needed or the user named it, for one of
    `optional` under nearly its name, and for a name of ours that nothing reads.
    """
    known = [*needed, *optional]
    if unknown := [ours for ours, _ in table.columns if ours not in known]:
        raise UsageError(f"--columns {unknown[0]}=...: no column of this name is read; known: {', '.join(known)}")
    header = read_header(table.path)
    named = dict(table.columns)
    if missing := [name for name in known if table.find_column(name) not in header and (name in needed or name in named)]:
        unnamed = [name for name in missing if name not in named]
        hint = f"; yours may be named: --columns {','.join(f'{name}=YOURS' for name in unnamed)}" if unnamed else ""
        shown = ", ".join(table.find_column(name) for name in missing)
        found = f"{show_columns(header)}{guess_form(header) or hint}"
        raise UsageError(f"{table.path}:1: no column {shown} in the header line; found: {found}")
    there = {name: table.find_column(name) for name in known if table.find_column(name) in header}
    refuse_near_columns(table.path, header, [name for name in optional if name not in there], [*there.values()])
    read = read_csv_table(table.path, dict.fromkeys(there.values(), str), numbered=True)
    return pd.DataFrame({ours: read[theirs] for ours, theirs in there.items()})


def refuse_near_columns(path: Path, header: Sequence[str], absent: Sequence[str], read: Sequence[str] = ()) -> None:
    """UsageError for a column of a table that only capitals, blanks, hyphens or underscores tell from an optional one, which
    would be left out without a word. absent: the optional columns that the header lacks; read: columns that are read already.

    >>> refuse_near_columns(Path("list.csv"), ["path", " X0"], ["x0", "y0"])
    Traceback (most recent call last):
    common.errors.UsageError: list.csv:1: column ' X0' would not be read: the name is 'x0'; rename the column
    """
    names = {_fold_column(name): name for name in absent}
    for column in header:
        if column not in read and (name := names.get(_fold_column(column))):
            raise UsageError(f"{path}:1: column {quote(column)} would not be read: the name is {name!r}; rename the column")


def _fold_column(name: str) -> str:
    """One spelling for names of a column that a person takes for the same."""
    plain = re.sub(r"[\s_-]", "", normalise_patient(name).casefold())
    return "patient" if plain == "patientid" else plain


def list_raw(table: CaseTable, folder: Path) -> list[Path]:
    """The table and the files that it names (pictures, masks), as far as they lie in the folder: what prepared data depend on."""
    header = read_header(table.path)
    columns = [name for ours in FILES if (name := table.find_column(ours)) in header]
    found = {table.path}
    for names in read_csv_table(table.path, dict.fromkeys(columns, str)).to_dict("list").values() if columns else ():
        for name in filter(None, map(str.strip, map(str, names))):
            try:
                path = find_listed(folder, name)
                found |= {path} if path.is_file() else set()
            except (UsageError, OSError, ValueError):
                continue  # a fault, which the reader tells
    return sorted(found)


def list_own(
    folder: Path, labels: Mapping[str, int], expected: str, optional: Sequence[str] = (), table: CaseTable | None = None
) -> tuple[list[Listed], list[str]]:
    """The valid lines of the table (folder/cases.csv) in their order, and one fault, as text, for each of the other lines.

    labels: what may stand in the column label, in lower case, -> class; expected: the same in words, for the faults; optional:
    further columns to keep (`Listed.more`). Raises UsageError where the table is missing, no CSV, or lacks a column of NEEDED.
    """
    table = table or CaseTable(folder / TABLE)
    listed, faults = [], []
    lines = list_lines(read_cases(table, NEEDED, (*BOX, *WINDOW, *optional)))
    for number, line in track(lines, f"{to_one_line(table.name)}: lines"):
        more = {name: line.get(name, "").strip() for name in optional}
        try:
            box = read_box([line.get(name, "").strip() for name in BOX])
            window = read_window([line.get(name, "").strip() for name in WINDOW])
            label, patient = _read_label(line["label"], labels, expected), _read_patient(line["patient"])
            for name in (line["path"], *filter(None, map(more.get, FILES))):
                refuse_outside(name)
        except UsageError as error:
            faults.append(f"{table.name} line {number}: {error}")
            continue
        file = name_listed(folder, line["path"])
        listed.append(Listed(number, line["path"], label, patient, box, more, file, window, table.name))
    return listed, faults


def find_partly_filled(values: Sequence[str], name: str) -> dict[int, str]:
    """Position and fault of each empty cell of a column that holds for all cases or for none.

    >>> find_partly_filled(["train", "", "test"], "split"), find_partly_filled(["", ""], "split")
    ({1: 'no split, where other lines have one; fill the column in every line, or leave it out'}, {})
    """
    fault = f"no {name}, where other lines have one; fill the column in every line, or leave it out"
    return {place: fault for place, value in enumerate(values) if not value} if any(values) else {}


def refuse_folder_named_twice(table: CaseTable, folder: Path) -> None:
    """UsageError where no file of a table is found because its paths begin with the name of the folder, and are there from the
    folder above. Whatever else is wrong with the table, its reader says."""
    try:
        column = table.find_column("path")
        names = [name.strip() for name in read_csv_table(table.path, {column: str})[column]]
    except UsageError:
        return
    home = folder.resolve()
    begins = all(Path(name.replace("\\", "/")).parts[:1] == (home.name,) for name in names)
    if not names or not begins or any(_is_listed(folder, name) for name in names):
        return
    if any(_is_listed(home.parent, name) for name in names):
        what = f"the paths in {table.name} begin with {home.name!r}, the name of this folder"
        raise UsageError(
            f"--data {folder}: {what}; give the folder above: --data {folder.parent if folder.name else home.parent}"
        )


def _is_listed(folder: Path, name: str) -> bool:
    try:
        return find_listed(folder, name).is_file()
    except (UsageError, OSError, ValueError):
        return False


def drop_repeated(
    listed: Sequence[Listed], key: Callable[[Listed], Hashable], what: Callable[[Listed], str], faults: list[str]
) -> list[Listed]:
    """The first line of each thing that is listed; every further line of it becomes a fault.

    key: what a line lists: lines of one key list the same thing. If they differ in label, none of them is kept. what: text behind
    "is listed twice" in the fault of a line. faults: the list that they are appended to.
    """
    first: dict[Hashable, Listed] = {}
    torn = set()
    for line in listed:
        known = first.setdefault(key(line), line)
        if known is line:
            continue
        if known.label != line.label:
            torn.add(key(line))
        fault = f"{line.where}: {line.path[:80]!r} is listed twice{what(line)}"
        faults.append(f"{fault}, with both labels" if key(line) in torn else fault)
    return [line for place, line in first.items() if place not in torn]


def read_box(words: Sequence[str]) -> Box | None:
    """Box from four texts x0, y0, x1, y1: whole numbers of at most six digits, x0 < x1, y0 < y1. None if all are empty.

    Raises UsageError for anything else. Whether the box lies in the picture is not known here.

    >>> read_box(["10", "20", "110", "80"])
    (10, 20, 110, 80)
    >>> read_box(["", "", "", ""]) is None
    True
    """
    if not any(words):
        return None
    if not all(word.isascii() and word.isdigit() and len(word) < 7 for word in words):
        raise UsageError(f"box {','.join(words)[:60]!r} is not four whole numbers x0,y0,x1,y1")
    x0, y0, x1, y1 = map(int, words)
    if not (x0 < x1 and y0 < y1):
        raise UsageError(f"box {x0},{y0},{x1},{y1} is empty; x0 < x1 and y0 < y1 are needed")
    return x0, y0, x1, y1


def read_window(words: Sequence[str]) -> Window | None:
    """Window from two texts black, white: different whole numbers up to 65535; black above white inverts. None if both are empty.

    >>> read_window(["0", "4095"]), read_window(["", ""])
    ((0, 4095), None)
    """
    if not any(words):
        return None
    if not all(re.fullmatch("[0-9]{1,5}", word) for word in words) or words[0] == words[1]:
        raise UsageError(f"black,white {','.join(words)[:40]!r} are not two different grey levels")
    black, white = map(int, words)
    if max(black, white) > HIGHEST or black == white:
        raise UsageError(f"black,white {black},{white} are not two different grey levels up to {HIGHEST}")
    return black, white


def _read_label(text: str, labels: Mapping[str, int], expected: str) -> int:
    label = labels.get(text.strip().lower())
    if label is None:
        raise UsageError(f"label {text[:20]!r} is not {expected}")
    return label


def _read_patient(text: str) -> str:
    if not text.strip():
        raise UsageError("no patient; give each patient a name of its own")
    if not normalise_patient(text):
        raise UsageError(f"patient {text[:60]!r} shows nothing; give each patient a name of its own")
    if has_control_characters("".join(" " if letter.isspace() else letter for letter in text)):
        raise UsageError(f"patient {text[:60]!r} holds control characters")
    return text.strip()
