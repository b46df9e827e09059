"""Labels of a level, and the folds of a protocol."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from common.cases.folds import Fold, check_folds, gather_fold
from common.cases.prepared import Dataset
from common.cases.table import fold_cases, split_cases
from common.errors import UsageError
from replications.ddsm_inceptionv4.config import Config

DENSE = 3  # BI-RADS from which tissue counts as dense
RARE = 10  # patients: a kind of case that fewer have is not kept even across the sides


def relabel(cases: pd.DataFrame, level: str) -> pd.DataFrame:
    """The cases with the labels of a level: of the image, or the highest of the breast's or the (listed) patient's images;
    density: whether the tissue is dense, -1 where it is not known.

    >>> about = {"listed": list("aab"), "breast": ["left", "right", "left"], "density": [0, 4, 2]}
    >>> cases = pd.DataFrame({"label": [1, 0, 0], **about})
    >>> [relabel(cases, level)["label"].to_list() for level in ("image", "breast", "case", "density")]
    [[1, 0, 0], [1, 0, 0], [1, 1, 0], [-1, 1, 0]]
    """
    if level == "image":
        return cases
    if level == "density":
        return cases.assign(label=np.where(cases["density"] == 0, -1, cases["density"] >= DENSE).astype(int))
    groups = ["listed", "breast"] if level == "breast" else ["listed"]
    return cases.assign(label=cases.groupby(groups)["label"].transform("max"))


def split_dataset(dataset: Dataset, protocol: str, config: Config) -> list[Fold]:
    """Folds of a protocol: validation_share and test_share of the images, or with several folds each tested once.

    paper: images at random, stratified by label. leakfree: patients, stratified by lesion, digitiser and density; the official
    test cases where the collection has such.
    Raises UsageError for an unknown protocol or too few cases, LeakError if a leakfree split leaks.
    """
    if protocol not in ("paper", "leakfree"):
        raise UsageError(f"no protocol {protocol!r}; known: paper, leakfree")
    cases = dataset.cases
    folds = split_paper(cases, config) if protocol == "paper" else split_leakfree(cases, config)
    check_folds(cases, folds, protocol, dataset.info.get("name", "mammograms"))
    return folds


def keep_known(folds: Sequence[Fold], cases: pd.DataFrame) -> list[Fold]:
    """The folds without the cases whose label is not known (-1 in `relabel`): every level has the same sides otherwise."""
    known = (cases["label"] >= 0).to_numpy()
    sides = ("train", "validation", "test")
    return [replace(fold, **{side: (of := getattr(fold, side))[known[of]] for side in sides}) for fold in folds]


def split_paper(cases: pd.DataFrame, config: Config) -> list[Fold]:
    """Images at random: the four films of a woman on any sides."""
    return _divide(cases, config, "case_id", "images at random, stratified by label: the films of a woman on both sides")


def split_leakfree(cases: pd.DataFrame, config: Config) -> list[Fold]:
    """Patients, all their films on one side."""
    if set(cases["split"]) == {"train", "test"}:
        return [split_official(cases, config)]
    strata = name_strata(cases)
    rule = "patients, all films on one side, stratified by lesion, digitiser and density"
    return _divide(cases.assign(label=strata), config, "patient_id", rule)


def _divide(cases: pd.DataFrame, config: Config, by: str, rule: str) -> list[Fold]:
    """One split, or folds of which each is tested once; of what is not tested some validates."""
    if config.folds == 1:
        test, validation = config.test_share, config.validation_share
        sides = split_cases(cases, test_share=test, validation_share=validation, seed=config.split_seed, by=by)
        return [gather_fold(sides.to_numpy(str), rule)]
    fold_of = fold_cases(cases, config.folds, config.split_seed, by=by).to_numpy()
    share = config.validation_share / (1 - 1 / config.folds)
    folds = []
    for fold in range(config.folds):
        rest = fold_of != fold
        names = np.full(len(cases), "test", dtype="<U10")
        inner = split_cases(cases[rest], test_share=0, validation_share=share, seed=config.split_seed + fold, by=by)
        names[rest] = inner.to_numpy()
        folds.append(gather_fold(names, f"{rule}, in {config.folds} folds", fold))
    return folds


def split_official(cases: pd.DataFrame, config: Config) -> Fold:
    """The collection's own test cases; films of their women that it has in training are on no side; some of the others
    validate."""
    test = (cases["split"] == "test").to_numpy()
    shared = cases["patient_id"].isin(cases["patient_id"][test]).to_numpy()
    sides = np.where(test, "test", "").astype("<U10")
    rest = ~shared
    share = config.validation_share / (1 - config.test_share)
    inner = split_cases(cases[rest], test_share=0, validation_share=share, seed=config.split_seed)
    sides[rest] = inner.to_numpy()
    return gather_fold(sides, "the official test cases; patients of both official sides train nothing")


def name_strata(cases: pd.DataFrame) -> pd.Series:
    """The stratum of each case, int: lesion, digitiser and density; of kinds that fewer than RARE patients have, lesion and
    digitiser, or lesion alone."""
    parts = [cases["label"].astype(str), cases["digitiser"].astype(str), cases["density"].astype(str)]
    names = parts[0]
    for part in parts[1:]:
        finer = names + "/" + part
        patients = cases["patient_id"].groupby(finer).transform("nunique")
        names = finer.where(patients >= RARE, names)
    patients = cases["patient_id"].groupby(names).transform("nunique")
    names = names.where(patients >= RARE, parts[0])
    return pd.Series(pd.factorize(names, sort=True)[0], index=cases.index)
