"""From a source of pictures to a prepared data set with its list of faults, and the `data` command that tells what is there.

A reader gives `Read`: images, uint8 (n, side, side); their case table (see common.cases.table), one line an image in the same
order; and notes, a dictionary with `faults` (a text for each) and whatever else the reader counted, as JSON takes it.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from common import __version__
from common.cases.noted import Noted, read_noted
from common.cases.prepared import Dataset, hash_listing, is_prepared, load_dataset, write_prepared
from common.cli import Options, add_data_flags
from common.data.folder import find_data, list_files
from common.data.layout import Layout, advise_layout, refuse_layout, show_layout
from common.data.listing import CaseTable, list_raw, locate_table, refuse_folder_named_twice
from common.data.pictures import hash_list
from common.errors import UsageError, to_one_line

SHOWN_FAULTS = 3
DECLARED = ("own", "public_ids")  # what a source says of itself, kept where it is so

Read = tuple[np.ndarray, pd.DataFrame, dict[str, Any]]  # images, cases, notes


@dataclass(frozen=True)
class Source:
    """Where pictures come from."""

    kind: str  # which reader takes it; each package has its own
    path: Path
    name: str  # shown in tables
    synthetic: bool  # phantoms
    note: str = ""
    substitute: bool = False  # other data than the paper's: a public substitute, or a user's own
    private: bool = False  # no picture leaves the run folder with published results
    patients: str = ""  # "same" or "different": what ids are that differ only by case, leading zeros or .0; "": not known
    near_duplicates: str = "group"  # patients that share a near-duplicate picture become one; "refuse": they are faults
    noted: tuple[Noted, ...] = ()  # near-duplicates that the proof of a split has found (common.cases.noted)
    own: bool = False  # a user's: its report is about it, not about the paper's numbers
    public_ids: str = ""  # regular expression of the ids of a public collection's patients and cases; others are not published
    table: CaseTable | None = None  # the user's list of cases, where it is not the one of the layout


@dataclass(frozen=True)
class Finding:
    """What the `data` command found of one source."""

    name: str
    kind: str
    path: str
    synthetic: bool
    part: str = ""  # of the paper's data, where it has several
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # heading -> what -> how many
    notes: Sequence[str] = ()
    problems: Sequence[str] = ()  # all of them; none: the source is whole


def answer_questions(source: Source, given: argparse.Namespace | Options) -> Source:
    """The source with the answers of the command line, --patients and --near-duplicates, and what is noted in --out.

    >>> own = Source("own", Path("pictures"), "pictures", synthetic=False)
    >>> answer_questions(own, build_parser("paper", None).parse_args(["--patients", "same"])).patients
    'same'
    """
    noted = read_noted(given.out) if isinstance(given, Options) else ()
    return replace(source, patients=given.patients, near_duplicates=given.near_duplicates, noted=noted)


def take_own(given: argparse.Namespace | Options, kind: str, name: str) -> Source | None:
    """The source of --data FOLDER --cases FILE: a user's own pictures in a folder as it is; None where --cases is not given.

    kind: which reader takes it; name: shown in tables. Raises UsageError for a folder or table that is not there, and for a
    flag that lacks another.

    >>> take_own(build_parser("paper", None).parse_args(["--cases", "list.csv"]), "own", "pictures")
    Traceback (most recent call last):
    common.errors.UsageError: --cases list.csv: --data must say in which folder its pictures lie
    """
    if given.cases is None:
        if given.columns:
            raise UsageError("--columns says what the columns of a table are called: name it with --cases")
        return None
    folder = find_data("", given.data) if given.data else None
    if folder is None:
        raise UsageError(f"--cases {given.cases}: --data must say in which folder its pictures lie")
    table = CaseTable(locate_table(given.cases, folder), tuple(given.columns.items()))
    refuse_folder_named_twice(table, folder)
    source = Source(kind, folder, name, synthetic=False, substitute=True, private=True, own=True, table=table)
    return answer_questions(source, given)


def refuse_cases(given: argparse.Namespace | Options, module: str, why: str) -> None:
    """UsageError for --cases where single pictures are no cases; why: in words; module: the `data` command of the package.

    >>> refuse_cases(build_parser("paper", None).parse_args(["--cases", "list.csv"]), "paper.data", "cases are volumes")
    Traceback (most recent call last):
    common.errors.UsageError: --cases: cases are volumes; `python -m paper.data` says in which folder they go, and how
    """
    if given.cases is not None or given.columns:
        raise UsageError(f"--cases: {why}; `python -m {module}` says in which folder they go, and how")


def pick_source(
    found: Mapping[str, Source], asked: str, folders: Mapping[str, str], folder: Path | None, module: str, layout: Layout
) -> Source | None:
    """The source of the kind that is asked for, or with 'auto' the first that was found; None if there is none.

    found: by kind, the preferred one first; folders: kind -> name of its folder below `folder`; module: the `data` command that
    says what to put there; layout: the folders that are wanted, as `refuse_layout` takes them. Raises UsageError for an
    unknown kind and for one that is not there, and as `refuse_layout` where nothing was found in `folder`.

    >>> pick_source({}, "own", {"own": "pictures"}, Path("data"), "replications.paper.data", {"pictures": ["cases.csv"]})
    Traceback (most recent call last):
    common.errors.UsageError: data: nothing in pictures/ for source own; python -m replications.paper.data says what to put there
    """
    if asked not in ("auto", *folders):
        raise UsageError(f"source {asked!r} is not known; known: auto, {', '.join(folders)}")
    if asked == "auto":
        if folder is not None and not found:
            refuse_layout(module.split(".")[-2], folder, layout, module)
        return next(iter(found.values()), None)
    if asked not in found:
        tell = f"python -m {module} says what to put there"
        raise UsageError(f"{folder}: nothing in {folders[asked]}/ for source {asked}; {tell}")
    return found[asked]


def prepare_source(
    source: Source,
    settings: Mapping[str, Any],
    folder: Path,
    read: Callable[[], Read],
    classes: Sequence[str],
    module: str,
    *,
    skip_unreadable: bool,
    further: Sequence[Path] = (),
) -> None:
    """Prepare a source: write images.npy (uint8 (n, side, side, 1)), cases.csv and data.json (where it comes from) into `folder`.

    settings: what the reader makes of the files depends on them (JSON). A folder that holds a whole set of the same settings,
    files (`hash_listing` of all below the source, and of `further`), answers of the source and version of the suite stays as it
    is; any other is written anew, and appears whole or not at all. read: called only where something must be written. classes:
    names of the labels 0, 1, ...; module: the `data` command that lists all faults. With `skip_unreadable` faulty files are left
    out, and data.json lists their faults. Raises UsageError where there are faults (their number, the first ones in words), fewer
    than two classes, or files that change while they are read; nothing is written then.

    >>> import tempfile
    >>> columns = {"case_id": ["a", "b"], "path": ["a.png", "b.png"], "sha256": ["0" * 64, "1" * 64]}
    >>> cases = pd.DataFrame(columns | {"patient_id": ["ann", "ben"], "label": [0, 1]})
    >>> source = Source("own", Path("pictures"), "two pictures", synthetic=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read = lambda: (np.zeros((2, 4, 4), np.uint8), cases, {"faults": []})
    ...     place = Path(folder) / "data"
    ...     prepare_source(source, {"side": 4}, place, read, ["no", "yes"], "replications.paper.data", skip_unreadable=False)
    ...     sorted(path.name for path in place.iterdir()), np.load(place / "images.npy").shape
    (['cases.csv', 'data.json', 'images.npy'], (2, 4, 4, 1))
    """
    origin = _describe_origin(source, settings, further)
    if is_prepared(folder, origin, skip_unreadable) and (not source.noted or _heeds_noted(load_dataset(folder), source.noted)):
        return
    images, cases, notes = read()
    if _describe_origin(source, settings, further) != origin:
        raise UsageError(f"{source.path}: its files changed while they were read; run the same command again")
    faults = notes.pop("faults")
    if faults and not skip_unreadable:
        ways = "repair them, or leave them out and count them (--skip-unreadable)"
        raise UsageError(f"{source.path}: {summarize_faults(faults, module)}; {ways}")
    if cases["label"].nunique() < 2:
        raise UsageError(f"{source.path}: {len(cases)} readable cases with fewer than two classes; nothing to learn")
    about = {name: getattr(source, name) for name in ("name", "note", "synthetic", "substitute", "private")}
    about |= {name: value for name in DECLARED if (value := getattr(source, name))}
    info = {
        "origin": origin,
        **about,
        "cases": len(cases),
        "patients": int(cases["patient_id"].nunique()),
        "classes": count_classes(cases, classes),
        "files_sha256": hash_list(cases["sha256"]),
        "unreadable": faults,
        **notes,
    }
    write_prepared(folder, images, cases, info)


def _heeds_noted(dataset: Dataset, noted: Sequence[Noted]) -> bool:
    """Whether a prepared set lists every noted pair of files that are both in it."""
    sha_of = dict(zip(dataset.cases["case_id"], dataset.cases["sha256"], strict=True))
    listed = {frozenset(sha_of.get(name) for name in pair["case_ids"]) for pair in dataset.info.get("near_duplicates", ())}
    files = set(sha_of.values())
    return all({a, b} in listed or not {a, b} <= files for a, b, _ in noted)


def _describe_origin(source: Source, settings: Mapping[str, Any], further: Sequence[Path]) -> dict[str, Any]:
    """All that a prepared set depends on, as JSON gives it back: tuples become lists. Of a user's list of cases: the files that
    it names, as other things may go on in that folder, such as this very run."""
    left_out = ("path", "table", "noted", *DECLARED)
    about = {field.name: getattr(source, field.name) for field in fields(source) if field.name not in left_out}
    about |= {name: value for name in DECLARED if (value := getattr(source, name))}
    about |= {"columns": source.table.columns} if source.table else {}
    listing = hash_listing([*(list_raw(source.table, source.path) if source.table else list_files(source.path)), *further])
    return json.loads(json.dumps({**about, "settings": dict(settings), "listing_sha256": listing, "version": __version__}))


def name_prepared(source: Source, settings: Mapping[str, Any], part: str = "") -> str:
    """File name for the set that is prepared from a source with these settings (JSON); part: which of several, as a file name.

    It does not depend on the files of the source: a source that changed is prepared anew in the same place.

    >>> source = Source("own", Path("pictures"), "two pictures", synthetic=False)
    >>> name_prepared(source, {"side": 4}) == name_prepared(source, {"side": 4}) != name_prepared(source, {"side": 8})
    True
    """
    table = [[str(source.table.path.resolve()), source.table.columns]] if source.table else []
    text = json.dumps([source.kind, str(source.path.resolve()), dict(settings), *table], sort_keys=True)
    return "-".join(filter(None, [source.kind, part, hashlib.sha256(text.encode()).hexdigest()[:12]]))


def drop_contradictions(source: Source, read: Read, apart: str = "path") -> Read:
    """The same without the pictures that bear several labels; each of them becomes one fault.

    A picture is its sha256. Lines that agree in the column `apart` are one thing with several labels, such as the nodules of one
    file, and stay. Paths in all faults become relative to the source.

    >>> cases = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "sha256": ["x", "x", "y"], "label": [0, 1, 1]})
    >>> source = Source("own", Path("pictures"), "three pictures", synthetic=False)
    >>> images, cases, notes = drop_contradictions(source, (np.zeros((3, 4, 4), np.uint8), cases, {"faults": []}))
    >>> len(images), cases["path"].tolist(), notes["faults"]
    (1, ['c.png'], ['the same picture has both labels: a.png, b.png (2 cases)'])
    """
    images, cases, notes = read
    several = cases["sha256"].duplicated(keep=False)
    for sha256, group in cases[several].groupby("sha256"):
        if group["label"].nunique() > 1 and group[apart].nunique() > 1:
            shown = ", ".join(group["path"].unique()[:SHOWN_FAULTS])
            notes["faults"].append(f"the same picture has both labels: {shown} ({len(group)} cases)")
            keep = (cases["sha256"] != sha256).to_numpy()
            cases, images = cases[keep].reset_index(drop=True), images[keep]
    # Not behind a quotation mark: there stands what the table says.
    home = re.compile(rf"(?<![\w'\"/.-]){re.escape(str(source.path))}/")
    notes["faults"] = [home.sub("", fault) for fault in notes["faults"]]
    return images, cases, notes


def count_classes(cases: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    """Number of cases of each class by its name; classes: names of the labels 0, 1, ...

    >>> count_classes(pd.DataFrame({"label": [1, 0, 1]}), ["benign", "malignant"])
    {'benign': 1, 'malignant': 2}
    """
    return {name: int((cases["label"] == label).sum()) for label, name in enumerate(classes)}


def summarize_faults(faults: Sequence[str], module: str) -> str:
    """Number of faults (at least one), the first SHOWN_FAULTS in words, and which command lists the others.

    >>> summarize_faults(["a.png: damaged", "b.png: no such file"], "replications.paper.data")
    '2 faults: a.png: damaged; b.png: no such file'
    """
    shown = "; ".join(faults[:SHOWN_FAULTS])
    more = len(faults) - SHOWN_FAULTS
    tail = f"; and {more} more (python -m {module} lists all)" if more > 0 else ""
    return f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: {shown}{tail}"


# The command `python -m replications.<paper>.data`


def build_parser(package: str, description: str | None) -> argparse.ArgumentParser:
    """Parser of the flags that the `data` command of every package has; description: what --help says first.

    >>> build_parser("paper", None).parse_args(["--json"])
    Namespace(data=None, cases=None, columns={}, patients='', near_duplicates='group', json=True)
    """
    parser = argparse.ArgumentParser(prog=f"python -m replications.{package}.data", description=description)
    add = parser.add_argument
    add_data_flags(parser)
    add("--json", action="store_true", help="print the findings as JSON")
    return parser


def explain_data(
    package: str,
    given: argparse.Namespace,
    check: Callable[[Path | None], list[Finding]],
    how_to_get: Mapping[str, str],
    layout: Layout | None = None,
) -> int:
    """Print which data are there and whether they are whole, and how to get each part that is missing.

    given: the parsed flags of `build_parser`. check: finds the sources in a data folder (None: there is no folder) and reads
    them. how_to_get: part of the paper's data -> text. layout: the folders that are wanted, shown beside what is there where
    nothing was recognised. Returns the exit code: 0 if something was found and all of it is whole,
    else 2. Raises UsageError as `check` does, or for a data folder that was asked for and does not exist.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     given = build_parser("paper", None).parse_args(["--data", folder, "--json"])
    ...     explain_data("paper", given, lambda _folder: [], {"pictures": "ask ann"})  # doctest: +ELLIPSIS
    {
     "folder": "...",
     "sources": []
    }
    2
    """
    folder = find_data(package, given.data)
    findings = check(folder)
    if given.json:
        content = {"folder": str(folder) if folder else None, "sources": [asdict(finding) for finding in findings]}
        print(json.dumps(content, indent=1, sort_keys=True))
    else:
        console = Console(highlight=False, soft_wrap=True, markup=False)
        console.print(f"data folder: {folder or 'none found; give one with --data or in $REPLICATIONS_DATA'}")
        if folder and layout and not findings:
            advice = advise_layout(folder, layout)
            console.print(to_one_line(f"nothing of this paper recognised; {show_layout(folder, layout)}"))
            console.print(to_one_line(f"what to do: {advice}") if advice else "", end="\n" * bool(advice))
        for finding in findings:
            console.print()
            _show_finding(console, finding)
        for part, text in how_to_get.items():
            if part not in {finding.part for finding in findings}:
                console.print(f"\n{text}")
    return 0 if findings and not any(finding.problems for finding in findings) else 2


def _show_finding(console: Console, finding: Finding) -> None:
    console.print(to_one_line(f"{finding.name} in {finding.path}{' (synthetic)' if finding.synthetic else ''}"))
    for name, counts in finding.counts.items():
        console.print(f"  {name}: " + ", ".join(f"{what} {count}" for what, count in counts.items()))
    for note in finding.notes:
        console.print(to_one_line(f"  note: {note}"))
    for problem in finding.problems:
        console.print(to_one_line(f"  problem: {problem}"))
    faults = len(finding.problems)
    console.print("  whole" if not faults else f"  {faults} problem{'s' if faults > 1 else ''}")
