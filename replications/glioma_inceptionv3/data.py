"""Raw volumes or slices -> prepared data sets (images.npy, cases.csv, data.json), one for each view of a slice.

`python -m replications.glioma_inceptionv3.data` tells what is there, beside the report's Tables 1 to 5, and what to get where.
"""

import copy
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.cases.copies import settle_copies
from common.cases.folds import list_obstacles
from common.cases.patients import list_spellings, settle_patients
from common.cases.prepared import hash_listing
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
    refuse_cases,
)
from common.data.folder import list_entries, list_files
from common.data.phantoms import MARKER
from common.errors import UsageError, run_main
from common.progress import track
from replications.glioma_inceptionv3.config import CLASSES, PAPER, VIEWS, Config
from replications.glioma_inceptionv3.rows import COUNTED, LEAKFREE
from replications.glioma_inceptionv3.slices import make_picture, select_slices
from replications.glioma_inceptionv3.sources import acquire, lgg, pairs
from replications.glioma_inceptionv3.sources.phantoms import UNMARKED, write_phantoms  # noqa: F401
from replications.glioma_inceptionv3.sources.subjects import Listing, Slices, Subject
from replications.glioma_inceptionv3.splits import split_entries
from replications.glioma_inceptionv3.texture import FEATURES, describe_lesion

READERS: dict[str, Callable[[Path, Config], Listing]] = {
    "own": pairs.list_own, "lgg": lgg.list_lgg, "ucsf": pairs.list_ucsf, "brats": pairs.list_brats
}  # fmt: skip
FOLDERS = {"own": "glioma", "lgg": "lgg_mri_segmentation", "ucsf": "ucsf_pdgm", "brats": "brats"}
NAMES = {
    "own": "gliomas of the user", "lgg": "TCGA-LGG slices (Buda et al. 2019)", "ucsf": "UCSF-PDGM",
    "brats": "BraTS, with grades of the user"
}  # fmt: skip
NOTES = {
    "own": "",
    "lgg": "substitute of two classes: grades II and III only, 8-bit slices as the collection has normalised them",
    "ucsf": "substitute: another collection than the report's",
    "brats": "substitute: another collection than the report's; grades from a table of the user",
}
PUBLIC_IDS = {  # subjects, and slices with their second listing; of BraTS, users may name the folders
    "lgg": r"TCGA_[A-Z0-9]{2}_[A-Z0-9]{4}(_[0-9]{1,3})?(#2)?", "ucsf": r"UCSF-PDGM-[0-9]{4}(_[0-9]{1,3})?(#2)?"
}  # fmt: skip
COLUMNS = ["case_id", "path", "sha256", "patient_id", "grade", "slice", "area", "site"]
LAYOUT = {
    "glioma": [pairs.TABLE], "lgg_mri_segmentation": ["kaggle_3m", "slices.csv"], "ucsf_pdgm": [], "brats": ["grades.csv"]
}  # fmt: skip
PACKAGE = "glioma_inceptionv3"
MODULE = f"replications.{PACKAGE}.data"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A slice that is kept."""

    pictures: dict[str, np.ndarray]  # view -> uint8 (side, side)
    line: dict[str, Any]  # of the table of cases


def list_sources(folder: Path | None) -> dict[str, Source]:
    """Every source in a data folder by its kind, the preferred one first."""
    found: dict[str, Source] = {}
    if folder is None:
        return found
    for kind, name in FOLDERS.items():
        path = folder / name
        if not path.is_dir() or not list_entries(path) or (kind == "own" and not (path / pairs.TABLE).is_file()):
            continue
        synthetic = kind == "own" and (folder / MARKER).is_file()
        shown = "glioma phantoms" if synthetic else NAMES[kind]
        real = not synthetic
        about = (shown, synthetic, NOTES[kind], real, real)
        found[kind] = Source(kind, path, *about, own=kind == "own" and real, public_ids=PUBLIC_IDS.get(kind, ""))
    return found


def find_source(folder: Path | None, config: Config) -> Source | None:
    """The source that a run takes: config.source, or with 'auto' the first that is there; None if there is none.

    Raises UsageError for an unknown config.source and for one that is not there.
    """
    return pick_source(list_sources(folder), config.source, FOLDERS, folder, MODULE, LAYOUT)


def list_settings(config: Config, view: str) -> dict[str, Any]:
    """The settings that shape the prepared data set of a view."""
    read = ("sequence", "segment", "area_share", "area_pixels", "crop_margin", "percentiles", "side")
    return {"view": view} | {name: value for name, value in asdict(config).items() if name in read or name.startswith("texture_")}


def name_dataset(source: Source, config: Config, view: str) -> str:
    """File name of the set that is prepared from a source (see `name_prepared`)."""
    return name_prepared(source, list_settings(config, view), view)


def prepare_dataset(source: Source, config: Config, view: str, folder: Path, *, skip_unreadable: bool = False) -> None:
    """Prepare the slices of a source in `folder` (see `prepare_source`): images.npy, cases.csv and data.json."""
    read = functools.partial(read_source, source, config, view)
    prepare_source(source, list_settings(config, view), folder, read, CLASSES, MODULE, skip_unreadable=skip_unreadable)


def read_source(source: Source, config: Config, view: str) -> Read:
    """Pictures uint8 (n, side, side) of the kept lesion slices in one view, cases and notes of a source.

    cases: besides the usual columns `slice` (its number in the volume), `area` (of the lesion, pixels), `site`, and a column
    `radiomics_<name>` for each feature of the lesion (`texture.describe_lesion`), of the plane as it was read. The label is
    the place of the grade among the grades at hand; both views have the same cases in the same order. notes: `faults`; `classes`
    {grade: cases}; `steps` {step of Tables 1 to 5: {grade: number}}; `sites` {site: {grade: subjects}}; `sequence`; `unused`;
    `remarks`; `listed`, the subjects with or without grade. Near-duplicates are searched for among the whole slices.

    Both views are drawn in one reading: the second one that is asked for, of the same files, is at hand.
    """
    key = (source, config, hash_listing(list_files(source.path)))
    pictures, cases, notes = _read_views(*key)
    if view not in pictures:  # handed out before
        _read_views.cache_clear()
        pictures, cases, notes = _read_views(*key)
    return pictures.pop(view), cases.copy(), copy.deepcopy(notes)


@functools.lru_cache(maxsize=1)
def _read_views(source: Source, config: Config, _listing: str) -> tuple[dict[str, np.ndarray], pd.DataFrame, dict[str, Any]]:
    """Pictures by view, cases, notes; see `read_source`."""
    listing = READERS[source.kind](source.path, config)
    steps = {step: dict.fromkeys(CLASSES, 0) for step in COUNTED}
    sites: dict[str, dict[str, int]] = {}
    remarks: dict[str, int] = {}
    drawn: list[Drawn] = []
    for subject in track(listing.subjects, f"{source.name}: reading subjects"):
        try:
            slices = subject.read()
        except UsageError as error:
            listing.faults.append(f"{subject.name}: {error}")
            continue
        if slices.remark:
            remarks[slices.remark] = remarks.get(slices.remark, 0) + 1
        areas = slices.masks.sum(axis=(1, 2))
        kept = select_slices(areas, config)
        for step, number in zip(COUNTED, (1, slices.total, int((areas > 0).sum()), len(kept)), strict=True):
            steps[step][subject.grade] += number
        sites.setdefault(subject.site, dict.fromkeys(CLASSES, 0))[subject.grade] += 1
        drawn += draw_slices(subject, slices, kept, config)
    cases = pd.DataFrame([one.line for one in drawn], columns=None if drawn else COLUMNS)
    grades = [grade for grade in CLASSES if (cases["grade"] == grade).any()]
    cases.insert(4, "label", cases.pop("grade").map(grades.index).astype(int))
    read = settle_patients(source, (np.arange(len(cases)), cases, {"faults": listing.faults}))
    rows, cases, notes = drop_contradictions(source, read)
    side = config.side
    of_view = {view: np.array([drawn[row].pictures[view] for row in rows], np.uint8).reshape(-1, side, side) for view in VIEWS}
    # The same pictures in which a run looks for leaks: others of the same slices might be a little more, or less, alike.
    _, cases, notes = settle_copies(source, (of_view["whole"], cases, notes))
    said = [f"{count} patient{'s have' if count > 1 else ' has'} {remark}" for remark, count in remarks.items()]
    notes |= {"classes": count_classes(cases, grades), "steps": steps, "sites": sites, "sequence": listing.sequence}
    notes |= {"unused": listing.unused, "remarks": said, "listed": listing.listed}
    return of_view, cases, notes


def draw_slices(subject: Subject, slices: Slices, kept: np.ndarray, config: Config) -> list[Drawn]:
    """The kept slices (positions) of a subject in all views, with their lines of the table."""
    low, high = map(float, np.percentile(slices.planes, config.percentiles))
    drawn = []
    for place in map(int, kept):
        plane, mask = slices.planes[place], slices.masks[place]
        features = describe_lesion(plane, mask, slices.spacing, config)
        line = {
            "case_id": f"{subject.name}_{slices.numbers[place]:03d}",
            "path": slices.paths[place],
            "sha256": slices.sha256[place],
            "patient_id": subject.name,
            "grade": subject.grade,
            "slice": slices.numbers[place],
            "area": int(mask.sum()),
            "site": subject.site,
            **{f"radiomics_{name}": value for name, value in zip(FEATURES, features, strict=True)},
        }
        pictures = {view: make_picture(plane, mask, low, high, view, config) for view in VIEWS}
        drawn.append(Drawn(pictures, line))
    return drawn


def check_source(source: Source, config: Config) -> Finding:
    """Read every file of a source and list ALL its problems."""
    notes = [source.note] if source.note else []
    finding = Finding(source.name, source.kind, str(source.path), source.synthetic, "slices", notes=notes)
    try:
        _, cases, found = read_source(source, config, "whole")
    except UsageError as error:
        return replace(finding, problems=[str(error)])
    notes += acquire.describe_steps(found)
    notes += acquire.describe_sites(found["sites"])
    notes += [f"not used: {count} {what}" for what, count in found["unused"].items()]
    notes += found["remarks"] + list_spellings(found) + acquire.list_copies_between(found, cases, source.near_duplicates)
    problems = list_obstacles(cases, {}, lambda dataset: split_entries(dataset.cases, LEAKFREE, config, (0,)))
    counts = {step: {**of, "total": sum(of.values())} for step, of in found["steps"].items()}
    return replace(finding, counts=counts, notes=notes, problems=[*problems, *found["faults"]])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what is there, whether it is whole, what to get where.

    Returns 0 if what was found is whole, 2 if there is nothing or it has problems (all are listed).
    """
    parser = build_parser(PACKAGE, __doc__)
    parser.add_argument("--source", metavar="NAME", help=f"check only this of {', '.join(READERS)}; default: all that are there")
    given = parser.parse_args(argv)

    def check(folder: Path | None) -> list[Finding]:
        refuse_cases(given, MODULE, "a case is a volume with its mask here, no single picture")
        sources = list_sources(folder)
        if given.source and (source := find_source(folder, replace(PAPER, source=given.source))):
            sources = {given.source: source}
        return [check_source(answer_questions(source, given), PAPER) for source in sources.values()]

    return run_main(lambda: explain_data(PACKAGE, given, check, {"slices": acquire.HOW_TO_GET}, LAYOUT))


if __name__ == "__main__":
    sys.exit(main())
