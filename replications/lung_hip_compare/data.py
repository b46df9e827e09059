"""Raw files -> prepared data set (images.npy, cases.csv, data.json) -> folds of a protocol.

`python -m replications.lung_hip_compare.data` tells what is there, whether it is whole, and what to get where.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.copies import leave_out_copies, list_copies, settle_copies
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
    prepare_source,
    take_own,
)
from common.cases.table import hash_pixels
from common.data.folder import find_data
from common.data.phantoms import MARKER
from common.errors import UsageError, run_main
from common.files import slug
from replications.lung_hip_compare.config import DATASETS, PAPER, Config
from replications.lung_hip_compare.sources import acquire, hips, luna16
from replications.lung_hip_compare.sources.hips import enlarge, is_cropped
from replications.lung_hip_compare.sources.phantoms import write_phantoms  # noqa: F401

CLASSES = {"luna": ("non-nodule", "nodule"), "hip": ("no fracture", "fracture")}
MISSING = {
    "luna": "no lung data: python -m replications.lung_hip_compare.data says what to get, and where",
    "hip": "no hip radiographs: the paper's are private; python -m replications.lung_hip_compare.data says what else to use",
}
LAYOUT = {
    "luna16_patches": ["traindatalabels.txt"],
    "luna16": ["candidates.csv"],
    "hips": ["cases.csv"],
    "fracatlas": ["dataset.csv"],
}
PUBLIC_IDS = {"luna": r"row-[0-9]{6}|rows-[0-9]+|1(\.[0-9]+){9,}", "hip": r"h[0-9]{3,}(-v[0-9]{2,})?|IMG[0-9]{7}"}
OWN = ("folder", "hip radiographs of the user")  # kind and name
PACKAGE = "lung_hip_compare"
MODULE = f"replications.{PACKAGE}.data"


def part_of(dataset: str) -> str:
    """'luna' or 'hip': the part of the paper that a data set of Table 1 belongs to; UsageError for any other name."""
    if dataset not in DATASETS:
        raise UsageError(f"no data set {dataset!r}; the paper has {', '.join(DATASETS)}")
    return "luna" if dataset == "LUNA16" else "hip"


def is_hip(dataset: str) -> bool:
    """True for the hip radiographs of Table 1, False for LUNA16."""
    return part_of(dataset) == "hip"


def find_sources(folder: Path | None, luna_kind: str | None = None) -> dict[str, Source | None]:
    """What lies in a data folder for the two parts, {'luna': ..., 'hip': ...}; None where there is nothing.

    Ready patches win over scans unless luna_kind = 'originals' asks for these; a user's hips/ wins over FracAtlas.
    """
    found: dict[str, Source | None] = {"luna": None, "hip": None}
    if folder is None or not folder.is_dir():
        return found
    synthetic = (folder / MARKER).is_file()
    scans, patches = folder / "luna16", folder / "luna16_patches"
    luna = {}
    if (patches / "traindatalabels.txt").is_file():
        note = "the patches whose counts the paper prints"
        luna["patches"] = Source("patches", patches, "LUNA16 ready patches", synthetic, note, public_ids=PUBLIC_IDS["luna"])
    if (scans / "candidates.csv").is_file() and luna16.find_volumes(scans)[0]:
        kind, name = ("phantom", "CT phantoms") if synthetic else ("originals", "LUNA16 scans")
        note = "patches cut from the scans by the public recipe"
        luna["originals"] = Source(kind, scans, name, synthetic, note, public_ids=PUBLIC_IDS["luna"])
    found["luna"] = luna.get(luna_kind) if luna_kind else luna.get("patches") or luna.get("originals")
    if (folder / "hips" / "cases.csv").is_file():
        kind, name = ("phantom", "hip phantoms") if synthetic else OWN
        own = not synthetic
        found["hip"] = Source(kind, folder / "hips", name, synthetic, substitute=own, private=own, own=own)
    elif (folder / "fracatlas" / "dataset.csv").is_file():
        note = "substitute: hip pictures of FracAtlas; whole pictures only, one patient a picture assumed"
        about = ("FracAtlas, hip", synthetic, note)
        found["hip"] = Source("fracatlas", folder / "fracatlas", *about, substitute=True, public_ids=PUBLIC_IDS["hip"])
    return found


def explain_unavailable(dataset: str, source: Source | None) -> str | None:
    """Why a data set cannot be prepared from a source, in words for the report; None if it can."""
    if source is None:
        return MISSING[part_of(dataset)]
    if source.kind == "fracatlas" and is_cropped(dataset):
        return "FracAtlas has no crop boxes of the hip"
    return hips.explain_boxes(source.path, source.table) if is_hip(dataset) and is_cropped(dataset) else None


def name_dataset(dataset: str, source: Source, config: Config) -> str:
    """File name of the set that is prepared from a source for one data set of Table 1 (see `name_prepared`)."""
    return name_prepared(source, list_settings(dataset, config), slug(dataset))


def prepare_dataset(
    dataset: str,
    source: Source,
    config: Config,
    folder: Path,
    *,
    skip_unreadable: bool = False,
    lists: Sequence[str] = luna16.COUNTED,
) -> None:
    """Prepare one data set of Table 1 in `folder` (see `prepare_source`): images.npy, cases.csv and data.json.

    lists: of LUNA16's published lists those that are read; further ones than Table 1 counts are for held_out.py.
    """
    classes = CLASSES[part_of(dataset)]
    read = functools.partial(read_source, dataset, source, config, lists)
    settings = {"dataset": dataset, **list_settings(dataset, config)}
    if tuple(lists) != luna16.COUNTED:
        settings["lists"] = list(lists)
    further = [path for path in [luna16.find_candidates(source.path)] if path] if source.kind == "patches" else []
    prepare_source(source, settings, folder, read, classes, MODULE, skip_unreadable=skip_unreadable, further=further)


def read_source(dataset: str, source: Source, config: Config, lists: Sequence[str] = luna16.COUNTED) -> Read:
    """Images uint8 (n, side, side), cases and notes of one data set, read from its raw files; lists: see `prepare_dataset`.

    notes["faults"] names every fault, paths relative to the source; a picture with both labels is one, and left out.
    """
    reason = explain_unavailable(dataset, source)
    if reason:
        raise UsageError(f"{source.path}: {reason}")
    if is_hip(dataset):
        read = hips.read_hips(source.path, source.kind, dataset, config, source.table)
    elif source.kind == "patches":
        read = luna16.read_patches(source.path, config, lists)
    else:
        read = luna16.read_originals(source.path, config, lists)
    read = drop_contradictions(source, settle_patients(source, read), apart="case_id")
    # The split of LUNA16 is published, or cut at rows: copies are left out of it.
    images, cases, notes = settle_copies(source, read, join=is_hip(dataset))
    return images, cases, notes | {"same_picture_twice": int(cases["sha256"].duplicated().sum())}


def list_settings(dataset: str, config: Config) -> dict:
    """The settings that shape a prepared data set."""
    return {name: value for name, value in asdict(config).items() if name.startswith(f"{part_of(dataset)}_")}


def enlarge_dataset(dataset: Dataset, name: str, config: Config) -> Dataset:
    """A hip data set enlarged to the class sizes of Table 1, before any split as the paper did.

    case_id h012-v00 is the original of h012, h012-v07 its seventh variant; source_case keeps h012; patient_id is kept.
    """
    cases = dataset.cases
    counts = hips.choose_enlarged_counts(name, config)
    images, source = enlarge(dataset.images, cases["label"].to_numpy(), counts, config, config.split_seed)
    enlarged = cases.iloc[source].reset_index(drop=True)
    variant = enlarged.groupby("case_id").cumcount()
    derived = variant > 0
    enlarged["source_case"] = enlarged["case_id"]
    enlarged["case_id"] = [f"{case}-v{k:02d}" for case, k in zip(enlarged["source_case"], variant, strict=True)]
    enlarged.loc[derived, "path"] = ""
    enlarged.loc[derived, "sha256"] = [hash_pixels(images[index]) for index in np.flatnonzero(derived)]
    return Dataset(images, enlarged, {**dataset.info, "enlarged_from": len(cases)})


def split_dataset(dataset: Dataset, name: str, protocol: str, config: Config) -> list[Fold]:
    """Folds of one data set of Table 1.

    LUNA16, paper: the published train and test lists, without padded candidates, which the paper's counts leave out.
    LUNA16, leakfree: official subsets, else scans, else stretches of candidate rows (`Fold.rule` says which), without cases that
    are near-duplicates of one on the other side.
    Hips, paper: of the ENLARGED data set, ceil(20 %) of each class at random. Hips, leakfree: grouped stratified
    cross-validation of the originals; validation patients come from the training part.
    Raises UsageError for an unknown protocol or data set, LeakError if a leakfree split leaks.
    """
    hip, cases = is_hip(name), dataset.cases
    if protocol not in ("paper", "leakfree"):
        raise UsageError(f"no protocol {protocol!r}; known: paper, leakfree")
    if protocol == "paper":
        folds = [split_hips_paper(cases, config) if hip else split_luna_paper(cases)]
    elif hip:
        folds = [gather_fold(*split, fold) for fold, split in enumerate(hips.split_leakfree(cases, config))]
    else:
        sides, rule = luna16.split_leakfree(cases, config)
        folds = [gather_fold(leave_out_copies(sides, cases, dataset.info.get("near_duplicates", ())), rule)]
    check_folds(cases, folds, protocol, name)
    return folds


def split_luna_paper(cases: pd.DataFrame) -> Fold:
    """The published lists, without the candidates whose patch was padded."""
    sides = cases["split"].to_numpy(dtype="<U10")
    if "padded" in cases:
        sides[cases["padded"].to_numpy(dtype=bool)] = ""
    return gather_fold(sides, "the published train and test lists: candidates at random")


def split_hips_paper(cases: pd.DataFrame, config: Config) -> Fold:
    """Of the enlarged pictures ceil(20 %) of each class at random; UsageError for a data set that is not enlarged."""
    if "source_case" not in cases:
        raise UsageError("the paper splits the enlarged pictures: pass the result of enlarge_dataset")
    sides = hips.split_images(cases["label"].to_numpy(), config)
    return gather_fold(sides, "enlarged pictures at random: variants of one radiograph on both sides")


def check_source(part: str, source: Source) -> Finding:
    """Read every file of a source and list ALL its problems; part: 'luna' or 'hip'."""
    counts, notes, problems = {}, [source.note] if source.note else [], []
    # The two sizes of a hip data set come from the same files.
    for dataset in [name for name in DATASETS if name.startswith("128")] if part == "hip" else ["LUNA16"]:
        reason = explain_unavailable(dataset, source)
        if reason:
            notes.append(f"{dataset}: not available: {reason}")
            continue
        try:
            _, cases, found = read_source(dataset, source, PAPER)
        except UsageError as error:
            problems += [str(error)] if str(error) not in problems else []
            continue
        counts[dataset] = count_cases(cases, dataset)
        split = functools.partial(split_dataset, name=dataset, protocol="leakfree", config=PAPER)
        listed = list_obstacles(cases, {"name": dataset, "near_duplicates": found["near_duplicates"]}, split)
        problems += [problem for problem in [*listed, *found["faults"]] if problem not in problems]
        notes += [f"left out: {entry['path']}: {entry['reason']}" for entry in found.get("excluded", ())]
        notes += [f"not used: {count} {what}" for what, count in found.get("unused", {}).items()]
        if found["same_picture_twice"]:
            notes.append(f"{dataset}: {found['same_picture_twice']} pictures are there more than once")
        notes += [f"{dataset}: {line}" for line in list_spellings(found) + list_copies(found, source.near_duplicates)]
        if source.kind == "patches":
            problems += acquire.check_patches(source.path, counts[dataset])
        elif source.kind == "originals":
            problems += acquire.check_scans(found)
    return Finding(
        name=source.name,
        kind=source.kind,
        path=str(source.path),
        synthetic=source.synthetic,
        part=part,
        counts=counts,
        notes=notes,
        problems=problems,
    )


def count_cases(cases: pd.DataFrame, dataset: str) -> dict[str, int]:
    """Cases of each class and list, and the number of patients, scans, or blocks of rows that stand for scans."""
    counts = count_classes(cases, CLASSES[part_of(dataset)])
    if "split" in cases:
        counts |= {split: int((cases["split"] == split).sum()) for split in ("train", "test")}
    blocks = cases["patient_id"].str.startswith("rows-").all()
    group = "patients" if is_hip(dataset) else "blocks of rows" if blocks else "scans"
    return counts | {group: int(cases["patient_id"].nunique())}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what is there, whether it is whole, what to get where; `--download` gets the ready patches.

    Returns 0 if what was found is whole, 2 if there is nothing or it has problems (all are listed).
    """
    parser = build_parser(PACKAGE, __doc__)
    parser.add_argument("--download", action="store_true", help=f"get the ready LUNA16 patches ({acquire.ARCHIVE_MEGABYTES} MB)")
    parser.add_argument("--url", default=acquire.PATCHES_URL, help="where --download gets the archive")
    help_text = "check the LUNA16 scans where the ready patches are there too"
    parser.add_argument("--originals", action="store_true", help=help_text)
    given = parser.parse_args(argv)
    return run_main(lambda: download_and_explain(given))


def download_and_explain(given: argparse.Namespace) -> int:
    """Get the ready patches if they are asked for, then say what is there."""
    if given.download:
        folder = given.data or find_data(PACKAGE, None) or Path("data") / PACKAGE
        acquire.download_patches(folder, given.url)

    def check(folder: Path | None) -> list[Finding]:
        if own := take_own(given, *OWN):
            return [check_source("hip", own)]
        sources = find_sources(folder, "originals" if given.originals else None)
        return [check_source(part, answer_questions(source, given)) for part, source in sources.items() if source]

    return explain_data(PACKAGE, given, check, acquire.HOW_TO_GET, LAYOUT)


if __name__ == "__main__":
    sys.exit(main())
