"""DDSM as it was published (Heath et al. 1998, 2000): a folder a case with its `.ics`, four films, an OVERLAY where there are
lesions.

A film is known by its stem and view ("A_1234_1.LEFT_CC"), wherever its files lie: numbers of folders occur more than once, some
OVERLAY files lie in the folder of another case, and 18 cases stand in two volumes. Converted films (TIFF, PNG) are read, too.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.data.csv_files import read_csv_table
from common.data.folder import walk_files
from common.errors import UsageError
from common.progress import track
from replications.ddsm_inceptionv4.sources.ics import STEM, Film, Ics, read_ics
from replications.ddsm_inceptionv4.sources.mammograms import SUFFIXES, Listing, Mammogram
from replications.ddsm_inceptionv4.sources.overlay import read_overlay

FILM = re.compile(r"([A-D]_\d{4}_\d)\.((?:LEFT|RIGHT)_(?:CC|MLO))\.(.+)", re.IGNORECASE)
ORDER = (".ljpeg", ".ljpeg.gz", ".ljpeg.1", ".ljpeg.1.gz")  # how a film is read, the first that is there; then pictures
INDEX = "ddsm_index.csv"
PAPER_IMAGES, PAPER_VIEWS = "10,412", 4  # sec. 6.1


def list_ddsm(folder: Path) -> Listing:
    """Every film below a folder. Label: 1 where an OVERLAY file of that stem and view is there, in any folder.

    Notes: "cases_of_archive", "doubled" (films that lie there twice), "astray" (OVERLAY files in the folder of another case),
    "contradictory" (cases that stand in two volumes of which only one marks a film), "classes" (images of each part of the
    archive), "pathologies" (images by what their OVERLAY says), "unmarked" (films with an OVERLAY file of which their .ics file
    says nothing).
    """
    known = _Files(folder)
    faults = list(known.faults)
    if known.unnamed:
        shown = _name(folder, known.unnamed[0])
        faults.append(f"{len(known.unnamed)} pictures are not named as films of DDSM are (A_1234_1.LEFT_CC...), first {shown}")
    faults += [
        f"{stem.replace('_', '-')}.ics: no picture of its film {view}"
        for stem, case in known.cases.items()
        for view in case.films
        if (stem, view) not in known.films and any((stem, other) in known.films for other in case.films)
    ]
    mammograms: list[Mammogram] = []
    pathologies: dict[str, int] = defaultdict(int)
    unmarked = 0
    for (stem, view), places in track(sorted(known.films.items()), "reading the descriptions of films"):
        path = _choose(places)
        if path is None:
            faults.append(f"{_name(folder, places[0])}: no film that is read; known: .LJPEG, .LJPEG.1, {', '.join(SUFFIXES)}")
            continue
        name, kind = (
            _name(folder, path),
            "film" if ".ljpeg" in path.name.lower() and path.suffix.lower() not in SUFFIXES else "picture",
        )
        case = known.cases.get(stem)
        film = case.films.get(view) if case else None
        if kind == "film" and film is None:
            faults.append(f"{name}: no .ics file says how large it is")
            continue
        try:
            marked = [read_overlay(of) for of in known.overlays[stem, view]]
        except UsageError as error:
            faults.append(str(error).replace(f"{folder}/", ""))
            continue
        if film and film.overlay and not marked:
            faults.append(f"{name}: a lesion is marked on it by its .ics file, and there is no OVERLAY file")
            continue
        unmarked += bool(film and marked and not film.overlay)
        if film and any(not _touches(one.boundary, film) for of in marked for one in of):
            faults.append(f"{name}: its OVERLAY file outlines a lesion outside of the film")
            continue
        for abnormality in {one.pathology or "not given" for of in marked for one in of}:
            pathologies[abnormality.lower()] += 1
        breast, _, projection = view.partition("_")
        about = (case.density, case.digitiser) if case else (0, "")
        mammograms.append(
            Mammogram(f"{stem}.{view}", name, stem, int(bool(marked)), breast.lower(), projection, *about, film=film, kind=kind)
        )
    notes: dict[str, Any] = {"cases_of_archive": len({one.patient for one in mammograms}), **known.count(mammograms)}
    notes["unmarked"] = unmarked
    notes["pathologies"] = dict(sorted(pathologies.items()))
    return Listing(mammograms, faults, notes)


class _Files:
    """The files of the archive by stem and view."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.faults: list[str] = []
        self.cases: dict[str, Ics] = {}
        self.films: dict[tuple[str, str], list[Path]] = defaultdict(list)
        self.overlays: dict[tuple[str, str], list[Path]] = defaultdict(list)
        self.ignored: dict[tuple[str, str], list[Path]] = defaultdict(list)
        self.unnamed: list[Path] = []  # pictures that are not named as films are
        self.homes: dict[str, set[Path]] = defaultdict(set)  # folders with the .ics of a stem
        for path in walk_files(folder):
            self._take(path)

    def _take(self, path: Path) -> None:
        if path.suffix.lower() == ".ics":
            self._take_case(path)
        elif found := FILM.fullmatch(path.name):
            key = found[1].upper(), found[2].upper()
            ending = found[3].upper()
            if ending.startswith("OVERLAY") and ending != "OVERLAY":
                self.faults.append(
                    f"{_name(self.folder, path)}: an OVERLAY file under another ending; unpack or rename it to .OVERLAY"
                )
            (self.overlays if ending == "OVERLAY" else self.films if not ending.startswith("OVERLAY") else self.ignored)[
                key
            ].append(path)
        elif path.name.lower().endswith((*ORDER, *SUFFIXES)):
            self.unnamed.append(path)

    def _take_case(self, path: Path) -> None:
        try:
            case = read_ics(path)
        except UsageError as error:
            self.faults.append(str(error).replace(f"{self.folder}/", ""))
            return
        named = STEM.search(path.name)
        if named and "_".join(named.groups()) != case.stem:
            self.faults.append(f"{_name(self.folder, path)}: says that it is {case.stem}")
            return
        known = self.cases.setdefault(case.stem, case)
        if known != case:
            what = "films" if known.films != case.films else "density or digitiser"
            self.faults.append(f"{_name(self.folder, path)}: other {what} than in another .ics file of {case.stem}")
        self.homes[case.stem].add(path.parent)

    def count(self, mammograms: Sequence[Mammogram]) -> dict[str, Any]:
        """What of the archive is doubled, astray or contradictory, and the images of each of its parts."""
        doubled = [key for key, places in self.films.items() if len({place.parent for place in places}) > 1]
        astray = [
            path
            for (stem, _), paths in self.overlays.items()
            for path in paths
            if path.parent not in self.homes.get(stem, {path.parent})
        ]
        torn = [
            key
            for key in doubled
            if 0 < len({path.parent for path in self.overlays[key]} & {p.parent for p in self.films[key]}) < 2
        ]
        parts: dict[str, int] = defaultdict(int)
        for one in mammograms:
            parts[_name_part(one.path)] += 1
        return {
            "doubled": len(doubled),
            "astray": len(astray),
            "contradictory": len(torn),
            "classes_of_archive": dict(sorted(parts.items())),
        }


def _touches(outline: np.ndarray, film: Film) -> bool:
    """Whether a point of an outline lies on the film."""
    return bool(((outline >= 0) & (outline < (film.columns, film.rows))).all(axis=1).any())


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _name_part(path: str) -> str:
    """The part of the archive that a path names: cancers, benigns, benign_without_callbacks, normals; "other"."""
    known = ("benign_without_callback", "benign", "cancer", "normal")
    return next((part for word in path.lower().split("/") for part in known if word.startswith(part)), "other")


def _choose(places: Sequence[Path]) -> Path | None:
    """The file that a film is read from: lossless before converted, the first by name."""
    for ending in ORDER:
        if found := sorted(path for path in places if path.name.lower().endswith(ending)):
            return found[0]
    found = sorted(path for path in places if path.name.lower().endswith(SUFFIXES))
    return found[0] if found else None


def compare_index(table: Path, mammograms: Sequence[Mammogram]) -> tuple[dict[str, int], list[str], list[str]]:
    """The listing of the whole archive (ddsm_index.csv) beside what is here: counts, notes and problems in words.

    Columns: class, volume, case, image, view, digitised_at, has_overlay. Raises UsageError where they are missing.
    """
    index = read_csv_table(table, {"volume": str, "case": str, "image": str, "view": str, "has_overlay": int})
    if not index["has_overlay"].isin([0, 1]).all():
        raise UsageError(f"{table}: has_overlay is 0 or 1")
    stems = (index["image"] + "." + index["view"]).str.upper()
    marked = index.groupby(stems)["has_overlay"]
    entries = (index["volume"] + "/" + index["case"]).nunique()
    here: Mapping[str, Mammogram] = {one.case_id: one for one in mammograms}
    known = pd.Index(stems.unique())
    counts = {
        "images listed": len(index),
        "different images": len(known),
        "cases listed": entries,
        "women": index["image"].nunique(),
        "listed twice with other labels": int((marked.nunique() > 1).sum()),
        "with a lesion": int(marked.max().sum()),
        "here": int(known.isin(list(here)).sum()),
    }
    torn = counts["listed twice with other labels"]
    paper = f"the paper has {PAPER_IMAGES} images, {PAPER_VIEWS} a patient"
    lines = [
        f"the archive lists {len(index):,} images in {entries:,} cases; {paper}",
        f"{len(index) - len(known)} images are listed twice, {torn} of them with other labels: a lesion in either listing counts",
    ]
    if missing := len(known) - counts["here"]:
        lines.append(f"{missing:,} of the {len(known):,} different images of the archive are not here")
    wrong = [str(name) for name, label in marked.max().items() if str(name) in here and here[str(name)].label != label]
    problems = [f"{len(wrong)} images have another label here than in {INDEX}: {', '.join(wrong[:3])}"] if wrong else []
    return counts, lines, problems
