"""Raw pictures -> prepared data set (images.npy, cases.csv, data.json) -> folds of a protocol.

`python -m replications.thyroid_ensemble.data` tells what is there, whether it is whole, and what to get where.
"""

import functools
import sys
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
from common.data.folder import list_entries
from common.data.phantoms import MARKER
from common.errors import UsageError, run_main
from replications.thyroid_ensemble.config import CLASSES, PAPER, Config
from replications.thyroid_ensemble.sources import acquire, ddti, published
from replications.thyroid_ensemble.sources.phantoms import write_phantoms  # noqa: F401

READERS = {
    "own": published.read_own,
    "hou2024": published.read_hou2024,
    "tn5000": published.read_tn5000,
    "tn3k": published.read_tn3k,
    "ddti": ddti.read_ddti,
}
FOLDERS = {"own": "thyroid", "hou2024": "hou2024", "tn5000": "tn5000", "tn3k": "tn3k", "ddti": "ddti"}
NAMES = {"own": "thyroid pictures of the user", "hou2024": "Hou et al. 2024", "tn5000": "TN5000", "tn3k": "TN3K", "ddti": "DDTI"}
NOTES = {
    "own": "",
    "hou2024": "substitute: pathology of each case; whole pictures, as no lesion boxes are published",
    "tn5000": "substitute: no patients published, each picture counts as one; published test list under leakfree",
    "tn3k": "substitute: no patients published, each picture counts as one; published test list under leakfree",
    "ddti": "substitute: no pathology, the label comes from the TI-RADS grade of the case",
}
PUBLIC_IDS = {  # patients, nodules of a picture, and patients with their label
    "hou2024": r"batch[12]-[0-9]+(/[01])?",
    "tn5000": r"[0-9]{4,6}(-n[0-9]+)?(/[01])?",
    "tn3k": r"(trainval|test)-[0-9]{4}(/[01])?",
    "ddti": r"[0-9]{1,3}(_[0-9]+)?(-n[0-9]+)?(/[01])?",
}
LAYOUT = {
    "thyroid": ["cases.csv"], "hou2024": ["batch1_image.csv", "batch2_image.csv"], "tn5000": ["Annotations"],
    "tn3k": ["label4trainval.csv"], "ddti": ["*.xml", "*/*.xml"],
}  # fmt: skip
PACKAGE = "thyroid_ensemble"
MODULE = f"replications.{PACKAGE}.data"


def list_sources(folder: Path | None) -> dict[str, Source]:
    """Every source in a data folder by its kind, the preferred one first."""
    found: dict[str, Source] = {}
    if folder is None:
        return found
    for kind, name in FOLDERS.items():
        path = folder / name
        if not path.is_dir() or not (path / "cases.csv" if kind == "own" else path).exists():
            continue
        if list_entries(path):
            synthetic = kind == "own" and (folder / MARKER).is_file()
            shown = "thyroid phantoms" if synthetic else NAMES[kind]
            real = not synthetic
            about = (shown, synthetic, NOTES[kind], real, real)
            found[kind] = Source(kind, path, *about, own=kind == "own" and real, public_ids=PUBLIC_IDS.get(kind, ""))
    return found


def find_source(folder: Path | None, config: Config) -> Source | None:
    """The source that a run takes: config.source, or with 'auto' the first that is there; None if there is none.

    Raises UsageError for an unknown config.source and for one that is not there.
    """
    return pick_source(list_sources(folder), config.source, FOLDERS, folder, MODULE, LAYOUT)


def name_dataset(source: Source, config: Config) -> str:
    """File name of the set that is prepared from a source (see `name_prepared`)."""
    return name_prepared(source, list_settings(source, config))


def prepare_dataset(source: Source, config: Config, folder: Path, *, skip_unreadable: bool = False) -> None:
    """Prepare the ROIs of a source in `folder` (see `prepare_source`): images.npy, cases.csv and data.json."""
    read = functools.partial(read_source, source, config)
    prepare_source(source, list_settings(source, config), folder, read, CLASSES, MODULE, skip_unreadable=skip_unreadable)


def read_source(source: Source, config: Config) -> Read:
    """ROIs uint8 (n, roi_side, roi_side), cases and notes of a source, read from its raw files.

    notes["faults"] names every fault, paths relative to the source; a file with both labels under two names is one, and left
    out. Spellings of one patient are one (`settle_patients`); patients that share a file or a near-duplicate ROI become one
    (`settle_copies`). Further notes: patients_known (False: each picture counts as one), patients_with_both_labels, pictures,
    same_file_several_cases, and what the reader counts.
    """
    own = source.kind == "own"
    found = published.read_own(source.path, config, source.table) if own else READERS[source.kind](source.path, config)
    read = settle_patients(source, found)
    images, cases, notes = settle_copies(source, drop_contradictions(source, read))
    both = int((cases.groupby("patient_id")["label"].nunique() > 1).sum())
    return images, cases, {
        "patients_known": True,
        "pictures": int(cases["path"].nunique()),
        "patients_with_both_labels": both,
        "same_file_several_cases": int(cases["sha256"].duplicated().sum()),
        **notes,
    }  # fmt: skip


def list_settings(source: Source, config: Config) -> dict:
    """The settings that shape the prepared data set."""
    read = ("roi_side", "roi_mode", "roi_margin", *(["tirads_malignant"] if source.kind == "ddti" else []))
    return {name: value for name, value in asdict(config).items() if name in read}


def split_dataset(dataset: Dataset, protocol: str, config: Config) -> list[Fold]:
    """Folds of a protocol.

    paper: one fold (-1) without validation: of each class round(test_share) images at random are the test, as Table 1's
    counts imply; a user's own table may list the split.
    leakfree: test_share of the cases, patients whole, are the test of every fold; the others are dealt in inner_folds folds of
    patients, and fold k validates on the k-th. Where no patients are published, the test is the published list, and what
    shows one of its pictures again is left out.
    Raises UsageError for an unknown protocol or too few cases, LeakError if a leakfree split leaks.
    """
    if protocol not in ("paper", "leakfree"):
        raise UsageError(f"no protocol {protocol!r}; known: paper, leakfree")
    folds = [split_paper(dataset, config)] if protocol == "paper" else split_leakfree(dataset, config)
    check_folds(dataset.cases, folds, protocol, dataset.info.get("name", "thyroid"))
    return folds


def split_paper(dataset: Dataset, config: Config) -> Fold:
    """The paper's split (Table 1): 136 + 133 of 681 + 663 images. It depends on the set of cases, not on their order."""
    cases = dataset.cases
    if has_listed_split(cases) and dataset.info.get("patients_known", True):
        return gather_fold(cases["split"].to_numpy(dtype="<U10"), "the split that cases.csv lists")
    random = np.random.default_rng([config.split_seed, 1])
    sides = np.full(len(cases), "train", dtype="<U10")
    for label in range(len(CLASSES)):
        of_class = np.flatnonzero(cases["label"] == label)
        in_order = of_class[np.argsort(cases["case_id"].to_numpy(str)[of_class])]
        count = int(config.test_share * len(of_class) + 0.5)
        sides[random.permutation(in_order)[:count]] = "test"
    return gather_fold(sides, f"images at random, {config.test_share:.0%} of each class: patients on both sides")


def split_leakfree(dataset: Dataset, config: Config) -> list[Fold]:
    """The same test cases in every fold; see `split_dataset`."""
    cases = dataset.cases
    left_out = np.zeros(len(cases), bool)
    if has_listed_split(cases) and not dataset.info.get("patients_known", True):
        test = (cases["split"] == "test").to_numpy()
        left_out = cases["patient_id"].isin(cases["patient_id"][test]).to_numpy() & ~test
        rule = f"test: the published list, no patients known; {left_out.sum()} copies of its pictures left out"
    else:
        sides = split_cases(cases, test_share=config.test_share, validation_share=0, seed=config.split_seed)
        test = (sides == "test").to_numpy()
        rule = f"test: {config.test_share:.0%} of the cases, patients whole, stratified"
    rest = ~test & ~left_out
    fold_of = np.full(len(cases), -1)
    fold_of[rest] = fold_cases(cases[rest], config.inner_folds, config.split_seed)
    rule += f"; the same in {config.inner_folds} folds of the other patients: one validates, the others train"
    sides_of = [np.select([test, left_out, fold_of == k], ["test", "", "validation"], "train") for k in range(config.inner_folds)]
    return [gather_fold(sides, rule, fold) for fold, sides in enumerate(sides_of)]


def has_listed_split(cases: pd.DataFrame) -> bool:
    """Whether the source lists a side for every case; UsageError where it does for some alone."""
    listed = cases["split"].isin(("train", "test")) if "split" in cases else pd.Series(False, cases.index)
    if listed.any() and not listed.all():
        first = cases.loc[~listed, "case_id"].iloc[0]
        raise UsageError(f"{(~listed).sum()} of {len(cases)} cases have no split, such as {first!r}; list it for all or for none")
    return bool(listed.any())


def check_source(source: Source) -> Finding:
    """Read every file of a source and list ALL its problems."""
    finding = Finding(
        name=source.name,
        kind=source.kind,
        path=str(source.path),
        synthetic=source.synthetic,
        part="pictures" if source.kind == "own" else "",  # nothing else is to be got
        notes=[source.note] if source.note else [],
    )
    try:
        _, cases, found = read_source(source, PAPER)
    except UsageError as error:
        return replace(finding, problems=[str(error)])
    counts = {"pictures": found["pictures"], "cases": len(cases), **count_classes(cases, CLASSES)}
    counts["patients"] = int(cases["patient_id"].nunique())
    if has_listed_split(cases):
        counts |= {split: int((cases["split"] == split).sum()) for split in ("train", "test")}
    about = {"name": source.name} | {name: value for name, value in found.items() if name != "faults"}
    problems = list_obstacles(cases, about, functools.partial(split_dataset, protocol="leakfree", config=PAPER))
    problems += [*found["faults"], *acquire.compare_counts(source.kind, counts)]
    notes = [*finding.notes, *(f"not used: {count} {what}" for what, count in found.get("unused", {}).items())]
    notes += [f"TI-RADS {grade}: {count} cases" for grade, count in found.get("grades", {}).items()]
    joined = found["patients_listed"] - counts["patients"]
    worth_saying = {
        "cases without a box: the whole picture": found.get("whole_pictures", 0),
        "patients joined with another one, as they share a picture": joined,
        "patients with nodules of both classes": found["patients_with_both_labels"],
        "cases on a picture that another case shows, too": found["same_file_several_cases"],
    }
    notes += [f"{count} {what}" for what, count in worth_saying.items() if count]
    notes += list_spellings(found) + list_copies(found, source.near_duplicates)
    return replace(finding, counts={"nodules": counts}, notes=notes, problems=problems)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what is there, whether it is whole, what to get where.

    Returns 0 if what was found is whole, 2 if there is nothing or it has problems (all are listed).
    """
    parser = build_parser(PACKAGE, __doc__)
    known = ", ".join(READERS)
    parser.add_argument("--source", metavar="NAME", help=f"check only this of {known}; default: all that are there")
    given = parser.parse_args(argv)

    def check(folder: Path | None) -> list[Finding]:
        if own := take_own(given, "own", NAMES["own"]):
            return [check_source(own)]
        sources = list_sources(folder)
        if given.source and (source := find_source(folder, Config(source=given.source))):
            sources = {given.source: source}
        return [check_source(answer_questions(source, given)) for source in sources.values()]

    return run_main(lambda: explain_data(PACKAGE, given, check, {"pictures": acquire.HOW_TO_GET}, LAYOUT))


if __name__ == "__main__":
    sys.exit(main())
