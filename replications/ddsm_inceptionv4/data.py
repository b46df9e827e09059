"""Which mammograms are here, and their preparation (images.npy, cases.csv, data.json); folds: splits.py.

`python -m replications.ddsm_inceptionv4.data` tells what is there, whether it is whole, and what to get where.
"""

import functools
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.copies import list_copies, settle_copies
from common.cases.folds import list_obstacles
from common.cases.patients import list_spellings, settle_patients
from common.cases.sources import (
    Finding,
    Read,
    Source,
    answer_questions,
    build_parser,
    count_classes,
    drop_contradictions,
    explain_data,
    name_prepared,
    pick_source,
    prepare_source,
    summarize_faults,
    take_own,
)
from common.cli import count_cores
from common.data.phantoms import MARKER
from common.errors import UsageError, run_main
from replications.ddsm_inceptionv4.config import CLASSES, PAPER, Config
from replications.ddsm_inceptionv4.preparing import SHAPING, THUMBNAIL, Film, Films, Team, prepare_films
from replications.ddsm_inceptionv4.sheets import check_sheet, draw_sheet
from replications.ddsm_inceptionv4.sources import acquire, cbis, ddsm, mias, own
from replications.ddsm_inceptionv4.sources.mammograms import Listing
from replications.ddsm_inceptionv4.splits import split_dataset

READERS = {"ddsm": ddsm.list_ddsm, "cbis": cbis.list_cbis, "mias": mias.list_mias, "own": own.list_own}
FOLDERS = {"ddsm": "ddsm", "cbis": "cbis_ddsm", "mias": "mini_mias", "own": "mammograms"}
TABLES = {"mias": mias.TABLE, "own": own.TABLE}  # a file that must be there
NAMES = {
    "ddsm": "DDSM (Heath et al. 1998)",
    "cbis": "CBIS-DDSM (Lee et al. 2017)",
    "mias": "mini-MIAS (Suckling et al. 1994)",
    "own": "mammograms of the user",
}
NOTES = {
    "ddsm": "",
    "cbis": "another task: benign (class 'no lesion') against malignant (class 'lesion'); it has no image without a lesion",
    "mias": "other data: one view of each breast, films of one digitiser",
    "own": "",
}
PUBLIC_IDS = {  # patients, films, and breasts where views are averaged
    "ddsm": r"[A-D]_[0-9]{4}_[0-9](\.(LEFT|RIGHT)_(CC|MLO)| (left|right))?",
    "cbis": r"((Mass|Calc)-(Training|Test)_)?P_[0-9]{5}(_(LEFT|RIGHT)_(CC|MLO)| (left|right))?",
    "mias": r"mdb[0-9]{3}|mias[0-9]{3}( (left|right))?",
}
HIGHEST_LIMIT = 0.999  # of similarity: breasts cropped and turned alike are alike
LAYOUT = {"ddsm": ["cancers", "normals", "benigns"], "cbis_ddsm": list(cbis.LISTS), "mini_mias": [mias.TABLE],
          "mammograms": [own.TABLE]}  # fmt: skip
PACKAGE = "ddsm_inceptionv4"
MODULE = f"replications.{PACKAGE}.data"
LOCAL = Team(workers=count_cores())


def list_sources(folder: Path | None) -> dict[str, Source]:
    """Every collection in a data folder by its kind, the paper's first."""
    found: dict[str, Source] = {}
    for kind, path in [(kind, folder / name) for kind, name in FOLDERS.items()] if folder else []:
        if not path.is_dir() or not (path / TABLES.get(kind, "")).exists():
            continue
        synthetic = kind == "ddsm" and (path.parent / MARKER).is_file()
        shown = "mammogram phantoms" if synthetic else NAMES[kind]
        private = kind in ("own", "mias")
        about = (shown, synthetic, NOTES[kind], kind != "ddsm", private)
        found[kind] = Source(kind, path, *about, own=kind == "own", public_ids=PUBLIC_IDS.get(kind, ""))
    return found


def find_source(folder: Path | None, config: Config) -> Source | None:
    """The collection that a run takes: config.source, or with 'auto' the first that is there; None if there is none.

    Raises UsageError for an unknown source and for one that is not there.
    """
    return pick_source(list_sources(folder), config.source, FOLDERS, folder, MODULE, LAYOUT)


def list_settings(config: Config) -> dict:
    """The settings that shape the prepared pictures."""
    return {name: value for name, value in asdict(config).items() if name in SHAPING}


def name_dataset(source: Source, config: Config, part: str = "") -> str:
    """File name of the set that is prepared from a source (see `name_prepared`)."""
    return name_prepared(source, list_settings(config), part)


def prepare_dataset(source: Source, config: Config, folder: Path, *, skip_unreadable: bool = False, team: Team = LOCAL) -> None:
    """Prepare the pictures of a source in `folder` (see `prepare_source`): uint8 (n, size, size, 1).

    Work that is done is kept beside the folder until the set is whole, so that a killed run goes on.
    """
    home = folder.with_name(f"{folder.name}.films")
    read = functools.partial(read_source, source, config, home, team)
    further = [path for path in [source.path.parent / ddsm.INDEX] if source.kind == "ddsm" and path.is_file()]
    prepare_source(source, list_settings(config), folder, read, CLASSES, MODULE, skip_unreadable=skip_unreadable, further=further)


def prepare_thumbnails(source: Source, config: Config, folder: Path, pictures: Path, *, team: Team = LOCAL) -> None:
    """Prepare the whole films in small, for the table of planted scanners: uint8 (n, THUMBNAIL, THUMBNAIL, 1); pictures: the
    folder that `prepare_dataset` filled, whose work is used and then cleared away."""
    home = pictures.with_name(f"{pictures.name}.films")

    def read() -> Read:
        films = read_films(source, config, home, team)
        return films.thumbnails, tabulate_films(films.read, config), {"faults": []}

    prepare_source(source, {"side": THUMBNAIL}, folder, read, CLASSES, MODULE, skip_unreadable=True)
    shutil.rmtree(home, ignore_errors=True)


def list_films(source: Source) -> Listing:
    """Every film of a source."""
    return own.list_own(source.path, source.table) if source.kind == "own" else READERS[source.kind](source.path)


def read_films(source: Source, config: Config, home: Path, team: Team) -> Films:
    """Every film of a source, prepared."""
    return prepare_films(source.path, list_films(source).mammograms, config, home, team)


def read_source(source: Source, config: Config, home: Path, team: Team) -> Read:
    """Pictures uint8 (n, size, size), cases and notes of a source, read from its raw files.

    notes["faults"] names every fault, paths relative to the source. Spellings of one patient are one; patients that share a file
    or a near-duplicate picture become one. Further notes: those of the reader, `doubtful` (case -> why its crop is doubtful),
    `digitisers`, `densities` (images of each).
    """
    listing = list_films(source)
    found = prepare_films(source.path, listing.mammograms, config, home, team)
    faults = [*listing.faults, *(film.fault for film in found.films if film.fault)]
    if not found.read:
        nothing = "its table lists none" if source.kind == "own" else "the folder holds none of this collection"
        raise UsageError(f"{source.path}: no readable mammogram; {summarize_faults(faults, MODULE) if faults else nothing}")
    cases = tabulate_films(found.read, config)
    lone = sum(film.mammogram.patient == film.mammogram.path for film in found.read)
    notes = {
        **listing.notes,
        **({"unknown_patients": lone} if lone else {}),
        "faults": faults,
        "doubtful": {film.mammogram.case_id: film.doubt for film in found.read if film.doubt},
        "digitisers": _count(cases["digitiser"]),
        "densities": _count(cases["density"]),
    }
    pictures: np.ndarray = found.pictures
    pictures, cases, notes = settle_patients(source, (pictures, cases, notes))
    read = drop_contradictions(source, (pictures, cases.assign(listed=cases["patient_id"]), notes))
    pictures, cases, notes = settle_copies(source, read, highest=HIGHEST_LIMIT)  # joins patients; labels are of those listed
    return pictures, cases, {"patients_known": not notes.get("unknown_patients"), **notes}


def _count(column: pd.Series) -> dict[str, int]:
    return {str(value) or "not known": int(count) for value, count in column.value_counts().sort_index().items()}


def tabulate_films(films: Sequence[Film], config: Config) -> pd.DataFrame:
    """The case table of films with pictures: common.cases.table, and breast, view, density, digitiser, split, height, width,
    bits, low, high (grey levels), share, pieces, letters, solidity."""
    lines = []
    for film in films:
        one = film.mammogram
        lines.append(
            {
                "case_id": one.case_id,
                "path": one.path,
                "sha256": film.sha256,
                "patient_id": one.patient,
                "label": one.label,
                **{name: getattr(one, name) for name in ("breast", "view", "density", "digitiser", "split")},
                "bits": one.film.bits if one.film else 0,
                **{
                    name: getattr(film, name)
                    for name in ("height", "width", "low", "high", "share", "pieces", "letters", "solidity")
                },
            }
        )
    return pd.DataFrame(lines)


def check_source(source: Source, sheet: Path | None = None) -> Finding:
    """What there is of a source, and every problem; sheet: draw its pictures there."""
    finding = Finding(
        source.name, source.kind, str(source.path), source.synthetic, part=source.kind, notes=[source.note] if source.note else []
    )
    try:
        listing = list_films(source)
        with tempfile.TemporaryDirectory() as home:
            pictures, cases, found = read_source(source, PAPER, Path(home), LOCAL)
            if sheet:
                draw_sheet(pictures, cases, found["doubtful"], sheet)
    except UsageError as error:
        return replace(finding, problems=[str(error)])
    problems, notes = list(found["faults"]), list(finding.notes)
    counts: dict[str, Mapping[str, int]] = {
        "images": {"images": len(cases), **count_classes(cases, CLASSES), "patients": int(cases["patient_id"].nunique())},
        "digitisers": found["digitisers"],
        "densities": found["densities"],
    }
    counts |= {name: listing.notes[name] for name in ("classes_of_archive", "pathologies") if listing.notes.get(name)}
    problems += list_obstacles(cases, {"name": source.name}, functools.partial(split_dataset, protocol="leakfree", config=PAPER))
    index = source.path.parent / ddsm.INDEX
    if source.kind == "ddsm" and index.is_file():
        try:
            counts["archive"], lines, wrong = ddsm.compare_index(index, listing.mammograms)
        except UsageError as error:
            lines, wrong = [], [str(error)]
        notes, problems = notes + lines, problems + wrong
    told = {
        "doubled": "films lie here twice: one of each is read",
        "astray": "OVERLAY files lie in the folder of another case: they are matched by name",
        "unmarked": "films have an OVERLAY file which their .ics does not know: they count as with a lesion",
        "contradictory": "films have a lesion in one of two places: they count as with a lesion",
        "unknown_patients": "files say nothing of their patient: each counts as one, and films of one may part",
        "films_of_both_lists": "films stand in the lists of masses and of calcifications: one film, malignant where either is",
        "patients_of_both_official_sides": "patients stand in both official sides: leak-free they train nothing",
    }
    notes += [f"{found[name]} {text}" for name, text in told.items() if found.get(name)]
    notes += [f"{len(found['doubtful'])} of {len(cases)} crops are in doubt (--sheet draws them all)"]
    notes += [f"crop in doubt: {case_id}: {doubt}" for case_id, doubt in found["doubtful"].items()]
    notes += list_spellings(found) + list_copies(found, source.near_duplicates)
    return replace(finding, counts=counts, notes=notes, problems=problems)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what is there, whether it is whole, what to get where; with --sheet the breasts as they were cut out.

    Returns 0 if what was found is whole, 2 if there is nothing or it has problems (all are listed).
    """
    parser = build_parser(PACKAGE, __doc__)
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="draw every breast as it was cut out, doubtful ones first")
    given = parser.parse_args(argv)

    def check(folder: Path | None) -> list[Finding]:
        if given.sheet:
            check_sheet(given.sheet)
        one = take_own(given, "own", NAMES["own"])
        found = [one] if one else [answer_questions(source, given) for source in list_sources(folder).values()]
        return [check_source(source, given.sheet if source is found[0] else None) for source in found]

    return run_main(lambda: explain_data(PACKAGE, given, check, acquire.HOW_TO_GET, LAYOUT))


if __name__ == "__main__":
    sys.exit(main())
