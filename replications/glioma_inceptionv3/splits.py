"""The five modes (report, sec. 4; script): which entries a list has, and how they are divided; grades shuffled as a control."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from common.cases.folds import Fold, check_folds, gather_fold
from common.cases.prepared import Dataset
from common.cases.table import fold_cases
from common.errors import UsageError
from replications.glioma_inceptionv3.config import MODES, Config
from replications.glioma_inceptionv3.rows import AS_RUN, CLEAN, LEAKFREE, name_protocol

SECOND = "#2"  # end of the case id of a second entry

Folds = dict[int, list[Fold]]  # seed (run, or repeat) -> folds


@dataclass(frozen=True)
class Entries:
    """The list that a mode divides: its cases, and the picture of each."""

    cases: pd.DataFrame
    source: np.ndarray  # int64 (entries,): position in the data set

    def enlarge(self, dataset: Dataset) -> Dataset:
        """The entries as a data set of their own, pictures repeated."""
        same = len(self.source) == len(dataset.cases) and (self.source == np.arange(len(self.source))).all()
        images = dataset.images if same else dataset.images[self.source]
        return Dataset(images, self.cases, dataset.info)


def list_entries(dataset: Dataset, mode: str, config: Config, *, shuffled: bool = False) -> Entries:
    """The list of a mode: paper-as-run names every picture twice, the second time as `<case_id>#2`, with the same subject and
    checksum; slice-clean has no two near-duplicates; the others have every picture once.

    shuffled: grades are permuted among the subjects first (`shuffle_grades`). Raises UsageError for an unknown mode.
    """
    if mode not in MODES:
        raise UsageError(f"no mode {mode!r}; known: {', '.join(MODES)}")
    cases = shuffle_grades(dataset.cases, config.split_seed) if shuffled else dataset.cases
    source = np.arange(len(cases))
    if mode == CLEAN:
        source = source[keep_distinct(cases, dataset.info.get("near_duplicates", ()))]
    if mode == AS_RUN:
        second = cases.assign(case_id=cases["case_id"] + SECOND)
        return Entries(pd.concat([cases, second], ignore_index=True), np.tile(source, 2))
    return Entries(cases.iloc[source].reset_index(drop=True), source)


def shuffle_grades(cases: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same cases with the grades permuted among the subjects: each grade keeps its number of subjects, and no picture says
    anything of it any more. A subject whose cases have two grades counts as two."""
    unit = cases["patient_id"].astype(str) + "\t" + cases["label"].astype(str)
    names, first, unit_of = np.unique(unit.to_numpy(str), return_index=True, return_inverse=True)
    labels = cases["label"].to_numpy()[first]
    drawn = np.random.default_rng([seed, len(names), 3]).permutation(labels)
    return cases.assign(label=drawn[unit_of])


def keep_distinct(cases: pd.DataFrame, pairs: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Which cases stay, bool (n,), when of near-duplicates and of equal files only the first one does.

    pairs: `near_duplicates` of the prepared data set, entries with case_ids.

    >>> cases = pd.DataFrame({"case_id": list("abcd"), "sha256": list("xyzx")})
    >>> keep_distinct(cases, [{"case_ids": ["b", "c"]}]).tolist()
    [True, True, False, False]
    """
    place = {name: position for position, name in enumerate(cases["case_id"])}
    kept = ~cases["sha256"].duplicated().to_numpy()
    for first, second in sorted(sorted(place[name] for name in pair["case_ids"]) for pair in pairs):
        if kept[first]:
            kept[second] = False
    return kept


def has_no_duplicates(dataset: Dataset) -> bool:
    """Whether the list of slice-clean is that of paper-report."""
    return bool(keep_distinct(dataset.cases, dataset.info.get("near_duplicates", ())).all())


def split_entries(entries: pd.DataFrame, mode: str, config: Config, seeds: Sequence[int], name: str = "gliomas") -> Folds:
    """Folds of a mode for each seed; they depend on the set of entries, not on their order.

    Modes of the paper: seed = number of the run, one fold of the same number (`draw_sides`). leakfree: seed = repeat, five folds
    (`deal_subjects`). Raises UsageError for too few cases, LeakError if a leakfree fold shares a subject.
    """
    found: Folds = {}
    for seed in seeds:
        if mode == LEAKFREE:
            found[seed] = deal_subjects(entries, seed, config)
        else:
            rule = f"{mode}: every entry for itself, {config.validation_percent} % validation, {config.test_percent} % test"
            found[seed] = [gather_fold(draw_sides(entries, seed, config), rule, seed)]
        check_folds(entries, found[seed], name_protocol(mode), f"{name}, {mode}")
    return found


def draw_sides(entries: pd.DataFrame, run: int, config: Config) -> np.ndarray:
    """The side of every entry of one run, text (n,), as the script draws it: a whole number below 100 for each entry, without
    regard to its subject or its twin; the first `validation_percent` are validation, the next `test_percent` test.

    The number follows from run and case id, so that an entry has the same side in every list that holds it, and two modes of one
    run are compared on the same draws.
    """
    texts = (f"{config.split_seed} {run} {case_id}".encode() for case_id in entries["case_id"])
    drawn = np.array([int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % 100 for text in texts])
    held_out = config.validation_percent + config.test_percent
    return np.select([drawn < config.validation_percent, drawn < held_out], ["validation", "test"], "train")


def deal_subjects(cases: pd.DataFrame, repeat: int, config: Config) -> list[Fold]:
    """Cross-validation in which no subject is on two sides: fold k is the test, fold k + 1 validates, the others train."""
    count = config.leakfree_folds
    fold_of = fold_cases(cases, count, seed=1000 * config.split_seed + repeat).to_numpy()
    rule = f"{LEAKFREE}: {count} folds of subjects, stratified by grade; the next fold validates"
    sides = [np.select([fold_of == k, fold_of == (k + 1) % count], ["test", "validation"], "train") for k in range(count)]
    return [gather_fold(of_fold, rule, k) for k, of_fold in enumerate(sides)]


def split_dataset(
    dataset: Dataset, mode: str, config: Config, seeds: Sequence[int], *, shuffled: bool = False
) -> tuple[Entries, Folds]:
    """The entries of a mode and their folds. Folds of subjects are stratified by the grades that are learnt, so that shuffled
    ones have folds of their own; the others do not depend on the grades."""
    entries = list_entries(dataset, mode, config, shuffled=shuffled)
    return entries, split_entries(entries.cases, mode, config, seeds, str(dataset.info.get("name", "gliomas")))


def count_leaks(entries: pd.DataFrame, folds: Sequence[Fold], pairs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Share of the test entries, over all folds, that have in training the same picture (their twin, or an equal file), a
    near-duplicate of `pairs`, another slice of the subject; fractions, and the mean number of test entries."""
    files, subjects = entries["sha256"].to_numpy(str), entries["patient_id"].to_numpy(str)
    pictures = entries["case_id"].str.removesuffix(SECOND).to_numpy(str)
    alike: dict[str, set[str]] = {}
    for pair in pairs:
        for one, other in (pair["case_ids"], pair["case_ids"][::-1]):
            alike.setdefault(one, set()).add(other)
    counts = {"same picture": 0, "near-duplicate": 0, "same subject": 0}
    for fold in folds:
        trained = set(pictures[fold.train])
        counts["same picture"] += int(np.isin(files[fold.test], files[fold.train]).sum())
        counts["near-duplicate"] += sum(bool(alike.get(name, set()) & trained) for name in pictures[fold.test])
        counts["same subject"] += int(np.isin(subjects[fold.test], subjects[fold.train]).sum())
    tested = sum(len(fold.test) for fold in folds)
    return {name: count / max(tested, 1) for name, count in counts.items()} | {"test entries": tested / max(len(folds), 1)}
