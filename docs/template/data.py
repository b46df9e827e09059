"""Raw pictures -> prepared data set (images.npy, cases.csv, data.json) -> folds of a protocol.

`python -m replications.new_paper.data` tells what is there, whether it is whole, and what to get where.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.cases.copies import list_copies, settle_copies
from common.cases.folds import Fold, check_folds, gather_fold
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
)
from common.cases.table import split_cases
from common.data.listing import drop_repeated, list_own
from common.data.names import find_listed
from common.data.phantoms import MARKER
from common.data.pictures import read_picture
from common.errors import UsageError, run_main
from common.files import hash_file
from replications.new_paper.config import CLASSES, PAPER, Config

PACKAGE = "new_paper"
MODULE = f"replications.{PACKAGE}.data"
LABELS = {name: label for label, name in enumerate(CLASSES)} | {"0": 0, "1": 1}
HOW_TO_GET = """\
Your own pictures (8-bit JPEG or PNG), or the paper's if you have them:
    pictures/cases.csv  columns path,label,patient
      path: of the picture, inside pictures/; label: healthy or ill (or 0, 1); patient: any name, the same for one person"""


def find_source(folder: Path | None) -> Source | None:
    """What lies in a data folder; None if there is nothing."""
    if folder is None or not (folder / "pictures" / "cases.csv").is_file():
        return None
    synthetic = (folder / MARKER).is_file()
    name = "phantoms" if synthetic else "pictures of the user"
    return Source("own", folder / "pictures", name, synthetic, substitute=not synthetic, private=not synthetic)


def read_source(source: Source, config: Config) -> Read:
    """Images uint8 (n, side, side), cases and notes of a source; notes["faults"] names every fault."""
    listed, faults = list_own(source.path, LABELS, "healthy (0) or ill (1)")
    images, lines = [], []
    for line in drop_repeated(listed, lambda line: line.path, lambda _: "", faults):
        try:
            path = find_listed(source.path, line.path)
            picture = cv2.resize(read_picture(path), (config.side, config.side), interpolation=cv2.INTER_AREA)
        except UsageError as error:
            faults.append(str(error))
            continue
        images.append(picture)
        lines.append((f"c{line.number:05d}", line.path, hash_file(path), line.patient, line.label))
    cases = pd.DataFrame(lines, columns=["case_id", "path", "sha256", "patient_id", "label"])
    stacked = np.stack(images) if images else np.empty((0, config.side, config.side), np.uint8)
    read = drop_contradictions(source, settle_patients(source, (stacked, cases, {"faults": faults})))
    return settle_copies(source, read)


def name_dataset(source: Source, config: Config) -> str:
    """File name of the set that is prepared from a source (see `name_prepared`)."""
    return name_prepared(source, {"side": config.side})


def prepare_dataset(source: Source, config: Config, folder: Path, *, skip_unreadable: bool = False) -> None:
    """Write the prepared data set of a source into a folder (see `prepare_source`)."""
    read = functools.partial(read_source, source, config)
    prepare_source(source, {"side": config.side}, folder, read, CLASSES, MODULE, skip_unreadable=skip_unreadable)


def split_dataset(dataset: Dataset, protocol: str, config: Config) -> list[Fold]:
    """The fold of a protocol.

    paper: pictures at random, test_share of them the test, as sec. 2 says. leakfree: patients whole and stratified, a part of
    the training patients for validation. Raises UsageError for too few cases, LeakError if a leakfree split leaks.
    """
    cases = dataset.cases
    if protocol == "paper":
        sides = np.full(len(cases), "train", dtype="<U10")
        random = np.random.default_rng([config.split_seed, 1])
        sides[random.permutation(len(cases))[: round(config.test_share * len(cases))]] = "test"
        folds = [gather_fold(sides, "pictures at random: patients on both sides")]
    else:
        shares = {"test_share": config.test_share, "validation_share": config.validation_share}
        found = split_cases(cases, **shares, seed=config.split_seed)
        folds = [gather_fold(found.to_numpy(dtype="<U10"), "patients whole, stratified")]
    check_folds(cases, folds, protocol, PACKAGE)
    return folds


def check_source(source: Source) -> Finding:
    """Read every file of a source; lists ALL problems."""
    about = {"name": source.name, "kind": source.kind, "path": str(source.path)}
    try:
        _, cases, notes = read_source(source, PAPER)
    except UsageError as error:
        return Finding(**about, synthetic=source.synthetic, problems=[str(error)])
    counts = count_classes(cases, CLASSES) | {"patients": int(cases["patient_id"].nunique())}
    lines = list_spellings(notes) + list_copies(notes, source.near_duplicates)
    return Finding(**about, synthetic=source.synthetic, counts={"pictures": counts}, notes=lines, problems=notes["faults"])


def list_settings(config: Config) -> dict[str, object]:
    """The settings that phantoms follow from."""
    return {name: value for name, value in asdict(config).items() if name.startswith(("phantom_", "split_seed"))}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what is there, whether it is whole, what to get where; 0 if what was found is whole, else 2."""

    given = build_parser(PACKAGE, __doc__).parse_args(argv)

    def check(folder: Path | None) -> list[Finding]:
        source = find_source(folder)
        return [check_source(answer_questions(source, given))] if source else []

    return run_main(lambda: explain_data(PACKAGE, given, check, {"pictures": HOW_TO_GET}))


if __name__ == "__main__":
    sys.exit(main())
