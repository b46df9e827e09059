"""Raw scans -> prepared data set (images.npy, cases.csv, data.json) -> folds of a protocol; and the source domain of the GANs.

`python -m replications.bone_acgan.data` tells what is there, whether it is whole, and what to get where.
"""

import functools
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.copies import list_copies, settle_copies
from common.cases.folds import Fold, check_folds, gather_fold, list_obstacles
from common.cases.patients import list_spellings, settle_patients
from common.cases.prepared import Dataset
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
    take_own,
)
from common.cases.table import fold_cases, split_cases
from common.data.phantoms import MARKER
from common.errors import UsageError, run_main
from common.figures.grids import plot_image_grid
from replications.bone_acgan.body import fit_picture
from replications.bone_acgan.config import CLASSES, PAPER, Config
from replications.bone_acgan.sources import acquire, chests, scans
from replications.bone_acgan.sources.phantoms import CHESTS as CHEST_PHANTOMS

READERS = {"own": scans.read_own, "bs80k": scans.read_bs80k}
FOLDERS = {"own": "bone_scans", "bs80k": "bs80k"}
NAMES = {"own": "bone scans of the user", "bs80k": "BS-80K (Huang et al. 2022)"}
NOTES = {"own": "", "bs80k": "substitute: normal and abnormal, which stand for health and metastases; no benign changes"}
SOURCE_DOMAIN = ("covid19_radiography", "covid_cxr", CHEST_PHANTOMS)  # folders, the first that is there
HIGHEST_LIMIT = 0.999  # of similarity: bodies cropped head to feet all look alike (strangers up to 0.985, copies from 0.999)
SHEET_COLUMNS = 16
LAYOUT = {"bone_scans": [scans.TABLE], "bs80k": ["wholeBodyANT"]}
PACKAGE = "bone_acgan"
MODULE = f"replications.{PACKAGE}.data"
READ = ("clip_percentile", "crop_threshold", "crop_margin", "picture_height", "picture_width", "poisson_white")


def list_sources(folder: Path | None) -> dict[str, Source]:
    """Every source of bone scans in a data folder by its kind, the preferred one first."""
    found: dict[str, Source] = {}
    for kind, path in [(kind, folder / name) for kind, name in FOLDERS.items()] if folder else []:
        if not path.is_dir() or (kind == "own" and not (path / scans.TABLE).is_file()):
            continue
        synthetic = kind == "own" and (path.parent / MARKER).is_file()
        shown = "bone scan phantoms" if synthetic else NAMES[kind]
        real = not synthetic
        found[kind] = Source(kind, path, shown, synthetic, NOTES[kind], real, real, own=kind == "own" and real)
    return found


def find_source(folder: Path | None, config: Config) -> Source | None:
    """The source that a run takes: config.source, or with 'auto' the first that is there; None if there is none.

    Raises UsageError for an unknown config.source and for one that is not there.
    """
    return pick_source(list_sources(folder), config.source, FOLDERS, folder, MODULE, LAYOUT)


def locate_chests(source: Source) -> Path:
    """The folder in which chest radiographs are sought: that of the data, which own scans with a table fill themselves."""
    return source.path if source.table else source.path.parent


def find_chests(folder: Path | None) -> Source | None:
    """The source domain of the GANs in a data folder."""
    for place in [folder / name for name in SOURCE_DOMAIN] if folder else []:
        if place.is_dir():
            synthetic = place.name == CHEST_PHANTOMS and (place.parent / MARKER).is_file()
            shown = "chest phantoms" if synthetic else "chest radiographs"
            note = "" if synthetic else "no patients published, each picture counts as one"
            return Source("chests", place, shown, synthetic, note, private=not synthetic)
    return None


def list_settings(config: Config) -> dict:
    """The settings that shape the prepared bone scans."""
    return {name: value for name, value in asdict(config).items() if name in READ}


def name_dataset(source: Source, config: Config) -> str:
    """File name of the set that is prepared from a source (see `name_prepared`)."""
    return name_prepared(source, list_settings(config))


def name_chests(source: Source, config: Config) -> str:
    """The same for the source domain of the GANs."""
    return name_prepared(source, {"height": config.height, "width": config.width})


def prepare_dataset(source: Source, config: Config, folder: Path, *, skip_unreadable: bool = False) -> None:
    """Prepare the pictures of a source in `folder` (see `prepare_source`): uint8 (n, picture_height, picture_width, 1)."""
    read = functools.partial(read_source, source, config)
    prepare_source(source, list_settings(config), folder, read, CLASSES, MODULE, skip_unreadable=skip_unreadable)


def prepare_chests(source: Source, config: Config, folder: Path, *, skip_unreadable: bool = False) -> None:
    """Prepare the source domain of the GANs: uint8 (n, height, width, 1)."""
    settings = {"height": config.height, "width": config.width}

    def read() -> Read:
        return chests.read_chests(source.path, config)

    prepare_source(source, settings, folder, read, chests.CHESTS, MODULE, skip_unreadable=skip_unreadable)


def read_source(source: Source, config: Config) -> Read:
    """Pictures of bodies uint8 (n, picture_height, picture_width), cases and notes of a source, read from its raw files.

    notes["faults"] names every fault, paths relative to the source. Spellings of one patient are one; patients that share a file
    or a near-duplicate picture become one. Further notes: patients_known, views, doubtful_crops.
    """
    own = source.kind == "own"
    found = scans.read_own(source.path, config, source.table) if own else READERS[source.kind](source.path, config)
    read = settle_patients(source, found)
    images, cases, notes = settle_copies(source, drop_contradictions(source, read), highest=HIGHEST_LIMIT)
    views = {view or "not said": int(count) for view, count in cases["view"].value_counts().items()}
    lone = notes.pop("lone", 0)
    if lone:
        notes["unknown_patients"] = lone
    return images, cases, {"patients_known": not lone, "views": views, **notes}


def split_dataset(dataset: Dataset, protocol: str, config: Config) -> list[Fold]:
    """Folds of a protocol.

    paper: one fold (-1) without validation, images at random, test_share of each class (Table 1: 32, 25 and 15).
    leakfree: leakfree_folds folds of patients, stratified; validation_share of the other patients validate.
    Raises UsageError for an unknown protocol or too few cases, LeakError if a leakfree split leaks.
    """
    if protocol not in ("paper", "leakfree"):
        raise UsageError(f"no protocol {protocol!r}; known: paper, leakfree")
    folds = [split_paper(dataset.cases, config)] if protocol == "paper" else split_leakfree(dataset.cases, config)
    check_folds(dataset.cases, folds, protocol, dataset.info.get("name", "bone scans"))
    return folds


def split_paper(cases: pd.DataFrame, config: Config) -> Fold:
    """Table 1: views at random; it depends on the set of cases, not on their order."""
    random = np.random.default_rng([config.split_seed, 1])
    sides = np.full(len(cases), "train", dtype="<U10")
    for label, share in enumerate(config.test_share):
        of_class = np.flatnonzero(cases["label"] == label)
        in_order = of_class[np.argsort(cases["case_id"].to_numpy(str)[of_class])]
        sides[random.permutation(in_order)[: round(share * len(of_class))]] = "test"
    return gather_fold(sides, "views at random, of each class the share of Table 1: patients on both sides")


def split_leakfree(cases: pd.DataFrame, config: Config) -> list[Fold]:
    """Folds of patients; of those that are not tested some validate."""
    fold_of = fold_cases(cases, config.leakfree_folds, config.split_seed).to_numpy()
    rule = (
        f"patients, stratified by class, in {config.leakfree_folds} folds; {config.validation_share:.0%} of the others validate"
    )
    folds = []
    for fold in range(config.leakfree_folds):
        rest = fold_of != fold
        inner = split_cases(cases[rest], test_share=0, validation_share=config.validation_share, seed=config.split_seed + fold)
        sides = np.full(len(cases), "test", dtype="<U10")
        sides[rest] = inner.to_numpy()
        folds.append(gather_fold(sides, rule, fold))
    return folds


def shrink_pictures(pictures: np.ndarray, config: Config) -> np.ndarray:
    """Body pictures uint8 (n, picture_height, picture_width) -> those of the GAN uint8 (n, height, width), shape kept."""
    found = np.empty((len(pictures), config.height, config.width), np.uint8)
    for place, picture in enumerate(pictures):
        columns = np.flatnonzero(picture.any(axis=0))
        inner = picture[:, columns[0] : columns[-1] + 1] if len(columns) else picture
        found[place] = fit_picture(inner, config.height, config.width)
    return found


def enlarge_generated(pictures: np.ndarray, config: Config) -> np.ndarray:
    """Generated pictures uint8 (n, height, width) -> those of the classifiers uint8 (n, picture_height, picture_width)."""
    size = config.picture_height, config.picture_width
    return np.stack([fit_picture(picture, *size) for picture in pictures]) if len(pictures) else np.empty((0, *size), np.uint8)


def check_source(source: Source) -> Finding:
    """Read every file of a source and list ALL its problems."""
    finding = Finding(
        name=source.name,
        kind=source.kind,
        path=str(source.path),
        synthetic=source.synthetic,
        part="chests" if source.kind == "chests" else "scans",
        notes=[source.note] if source.note else [],
    )
    of_chests = source.kind == "chests"
    try:
        _, cases, found = chests.read_chests(source.path, PAPER) if of_chests else read_source(source, PAPER)
    except UsageError as error:
        return replace(finding, problems=[str(error)])
    counts = {"pictures": len(cases), **count_classes(cases, chests.CHESTS if of_chests else CLASSES)}
    problems = list(found["faults"])
    notes = list(finding.notes)
    if of_chests:
        notes += [f"no pictures of the class {name}" for name in found["missing_classes"]]
        return replace(finding, counts={"source domain": counts}, notes=notes, problems=problems)
    counts["patients"] = int(cases["patient_id"].nunique())
    lacking = [name for name in CLASSES if not counts[name]]
    notes += [f"no case of {name}: networks keep an output for it, and means over classes count it" for name in lacking]
    problems += list_obstacles(cases, {"name": source.name}, functools.partial(split_dataset, protocol="leakfree", config=PAPER))
    notes += [f"not used: {count} {what}" for what, count in found.get("unused", {}).items()]
    if lone := found.get("unknown_patients"):
        notes.append(f"{lone} files say nothing of their patient: each counts as one, and views of one may part")
    if find_chests(locate_chests(source)) is None:
        notes.append("no chest radiographs: MU-ACGAN and ACGAN with both stages, and what they feed, will not be run")
    notes += [f"crop in doubt: {case_id} {doubt}" for case_id, doubt in found["doubtful_crops"].items()]
    notes += list_spellings(found) + list_copies(found, source.near_duplicates)
    return replace(finding, counts={"scans": counts, "views": found["views"]}, notes=notes, problems=problems)


def draw_sheet(pictures: np.ndarray, cases: pd.DataFrame, notes: dict, path: Path) -> None:
    """Contact sheet of body pictures, the doubtful crops first and marked: a look at all of them shows what no rule does.

    It shows the scans themselves: keep it where they are kept.
    """
    doubtful = cases["case_id"].isin(notes["doubtful_crops"]).to_numpy()
    order = np.argsort(~doubtful, kind="stable")
    titles = [f"{'? ' if doubtful[place] else ''}{cases['case_id'].iloc[place][-16:]}" for place in order]
    figure = plot_image_grid([255 - pictures[place] for place in order], titles, columns=SHEET_COLUMNS, side=0.9)
    if path.suffix.lower() != ".png":
        raise UsageError(f"--sheet {path}: must end in .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        figure.savefig(path)
    print(f"contact sheet of {len(pictures)} views: {path}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what is there, whether it is whole, what to get where; with --sheet the bodies as they were cut out.

    Returns 0 if what was found is whole, 2 if there is nothing or it has problems (all are listed).
    """
    parser = build_parser(PACKAGE, __doc__)
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="draw every body as it was cut out, doubtful crops first")
    given = parser.parse_args(argv)

    def check(folder: Path | None) -> list[Finding]:
        own = take_own(given, "own", NAMES["own"])
        found = [own] if own else [*list_sources(folder).values(), find_chests(folder)]
        if given.sheet and folder and (source := own or find_source(folder, PAPER)):
            draw_sheet(*read_source(answer_questions(source, given), PAPER), given.sheet)
        return [check_source(answer_questions(source, given)) for source in found if source]

    how = {"scans": acquire.HOW_TO_GET, "chests": acquire.HOW_TO_GET_CHESTS}
    return run_main(lambda: explain_data(PACKAGE, given, check, how, LAYOUT))


if __name__ == "__main__":
    sys.exit(main())
