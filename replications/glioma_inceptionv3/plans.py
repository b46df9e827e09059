"""The trainings behind the rows, and their cells: bottlenecks first, then heads and baselines on them; networks for new pictures.

Nothing here imports TensorFlow.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from common.cases.folds import Fold, describe_splits, hash_folds
from common.cases.prepared import Dataset
from common.files import hash_file, slug
from common.records.results import DatasetEntry
from common.records.rows import Row, explain_rows
from common.runs.cells import Cell
from common.training.weights import WeightFile
from replications.glioma_inceptionv3 import splits
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.rows import (
    AREA,
    AS_RUN,
    BASELINE_MODES,
    CLASSIFIERS,
    CLEAN,
    CROP,
    FIXED,
    LEAKFREE,
    RADIOMICS,
    WHOLE,
    list_modes,
    name_baseline,
    name_classifier,
    name_fixed,
    name_protocol,
    name_row,
)
from replications.glioma_inceptionv3.weights import RANDOM_WEIGHTS, Files

MODULE = "replications.glioma_inceptionv3"
HEAD, BOTTLENECKS, FEATURES_FILE = "head", "bottlenecks", "bottlenecks.npy"

Datasets = Mapping[str, Dataset]  # by view
Divided = Mapping[tuple[str, str, bool], tuple[splits.Entries, splits.Folds]]  # by mode, view, and whether grades are shuffled


@dataclass(frozen=True)
class Training:
    """What is trained for each run (leakfree: fold of a repeat). rows: classifier -> row that it scores; of a head, its own, and
    of a leak-free one also FIXED -> that of the head at the script's rate, which is one of the grid."""

    mode: str
    view: str
    backbone: str  # "" for a description of the lesion that needs none
    description: str  # head; of the baselines: bottlenecks, radiomics, area
    rows: Mapping[str, str]
    shuffled: bool = False

    @property
    def name(self) -> str:
        if self.description == HEAD:
            return self.rows[HEAD]
        return f"baselines {self.description} {self.mode} {self.backbone} {self.view}"


def list_trainings(config: Config, alike: Collection[str] = ()) -> list[Training]:
    """All trainings, those of one table of bottlenecks together.

    alike: views in which slice-clean is paper-report, as there are no near-duplicates: its rows are copied.
    """
    found = []
    for view in config.views:
        for backbone in config.backbones:
            for mode in list_modes():
                if mode == CLEAN and view in alike:
                    continue
                for shuffled in (False, True):
                    row = name_row(mode, backbone, view, shuffled=shuffled)
                    fixed = {FIXED: name_fixed(row)} if mode == LEAKFREE and config.learning_rate in config.leakfree_rates else {}
                    rows = {HEAD: row} | fixed
                    found.append(Training(mode, view, backbone, HEAD, rows, shuffled))
            if backbone in config.baseline_backbones:
                for mode in BASELINE_MODES:
                    rows = {name: name_classifier(mode, backbone, view, name) for name in CLASSIFIERS}
                    found.append(Training(mode, view, backbone, BOTTLENECKS, rows))
    for mode in BASELINE_MODES:
        by_name = {name.removeprefix("radiomics + "): name_baseline(mode, name) for name in RADIOMICS}
        found.append(Training(mode, CROP, "", "radiomics", by_name))
        found.append(Training(mode, CROP, "", "area", {"logistic regression": name_baseline(mode, AREA)}))
    return found


def list_seeds(training: Training, config: Config, asked: Sequence[int] = ()) -> list[int]:
    """Numbers of the runs (leakfree: repeats) of a training, from 1; asked: only these, of --seeds.

    >>> from replications.glioma_inceptionv3.config import PAPER
    >>> list_seeds(Training(LEAKFREE, CROP, "InceptionV3", HEAD, {HEAD: "row"}), PAPER), list_modes()[-1] == LEAKFREE
    ([1, 2], True)
    """
    runs = list(range(1, config.leakfree_repeats + 1)) if training.mode == LEAKFREE else list(config.runs)
    if training.description != HEAD:
        runs = runs[: 1 if training.mode == LEAKFREE else config.baseline_runs]
    return sorted(set(asked)) or runs


def list_row_seeds(
    wanted: Sequence[Row], needed: Sequence[Training], config: Config, asked: Sequence[int] = ()
) -> dict[str, set[int]]:
    """Row -> numbers of the runs that its trainings are asked for."""
    return {
        row.name: {seed for one in needed if one.name in row.needs for seed in list_seeds(one, config, asked)} for row in wanted
    }


def reduce_config(config: Config) -> dict:
    """The settings that a training depends on: not how many trainings there are, so that more of them leave it as it is."""
    return asdict(replace(config, runs=(), leakfree_repeats=0, backbones=(), views=(), baseline_runs=0, baseline_backbones=()))


def plan_bottlenecks(backbone: str, view: str, dataset: Dataset, config: Config, weights: Files) -> Cell:
    """The cell that computes the bottlenecks of all pictures of a view; without weights a backbone is random."""
    start: WeightFile | None = weights.get(backbone)
    settings = {
        "backbone": backbone,
        "config": reduce_config(config),
        "data_sha256": dataset.sha256,
        "view": view,
        "weights": start and start.file,
        "weights_sha256": start and start.sha256,
    }
    return Cell(slug(f"{BOTTLENECKS} {backbone} {view}"), f"{MODULE}.bottlenecks:extract_cell", settings)


def find_features(cell: Cell, folder: Path) -> WeightFile:
    """The bottlenecks that a finished cell left in the run folder."""
    file = f"cells/{cell.key}/{FEATURES_FILE}"
    return WeightFile(file, hash_file(folder / file))


def divide(datasets: Datasets, config: Config, asked: Sequence[int]) -> Divided:
    """Entries and folds of every mode and view, for all the runs of the settings and those asked for."""
    found = {}
    for view, dataset in datasets.items():
        for mode in list_modes():
            seeds = sorted({*list_seeds(Training(mode, view, "", HEAD, {}), config), *asked})
            for shuffled in (False, True):
                found[mode, view, shuffled] = splits.split_dataset(dataset, mode, config, seeds, shuffled=shuffled)
    return found


def describe_data(name: str, dataset: Dataset, divided: Divided, protocols: Sequence[str]) -> DatasetEntry:
    """The data set, and what the first run of the doubled list and the first leak-free repeat leak, on whole slices. LeakError if
    the second does. (All modes and runs: `subjects.tabulate_leaks`.)"""
    folds_of = {}
    for protocol, mode in (("paper", AS_RUN), ("leakfree", LEAKFREE)):
        if protocol in protocols:
            entries, folds = divided[mode, WHOLE, False]
            folds_of[protocol] = (entries.enlarge(dataset), folds[min(folds)])
    return describe_splits(name, dataset, folds_of)


def plan_cells(
    training: Training,
    config: Config,
    seeds: Sequence[int],
    datasets: Datasets,
    divided: Divided,
    features: Mapping[tuple[str, str], WeightFile],
) -> list[Cell]:
    """The cells of one training: one a run, under leakfree one a fold of a repeat. features: (backbone, view) -> its bottlenecks;
    of a training whose bottlenecks are missing there are no cells."""
    if training.backbone and (training.backbone, training.view) not in features:
        return []
    dataset = datasets[training.view]
    entries, folds_of = divided[training.mode, training.view, training.shuffled]
    pool = Dataset(dataset.images, entries.cases, {})
    known = features.get((training.backbone, training.view))
    settings = {
        "backbone": training.backbone,
        "config": reduce_config(config),
        "data_sha256": dataset.sha256,
        "description": training.description,
        "features": known and known.file,
        "features_sha256": known and known.sha256,
        "mode": training.mode,
        "protocol": name_protocol(training.mode),
        "row": training.rows.get(HEAD),
        "rows": dict(training.rows),
        "shuffled": training.shuffled,
        "view": training.view,
    }
    function = f"{MODULE}.train:train_cell" if training.description == HEAD else f"{MODULE}.baselines:train_cell"
    cells = []
    for seed in seeds:
        split = hash_folds(pool, folds_of[seed])
        for fold in folds_of[seed]:
            key = slug(f"{training.name} seed{seed}" + (f" fold{fold.fold}" if training.mode == LEAKFREE else ""))
            cells.append(Cell(key, function, settings | {"seed": seed, "fold": fold.fold, "split_sha256": split}))
    return cells


def find_split(divided: Divided, settings: Mapping) -> tuple[pd.DataFrame, list[Fold]]:
    """Settings of a cell -> the cases that it divides, with the grades that it learns, and the folds of its seed."""
    entries, folds = divided[settings["mode"], settings["view"], settings["shuffled"]]
    return entries.cases, folds[settings["seed"]]


def name_cell(cell: Cell) -> str:
    """The training that a cell belongs to."""
    s = cell.settings
    return Training(s["mode"], s["view"], s["backbone"], s["description"], s["rows"], s["shuffled"]).name


def name_repeat(cell: Cell) -> tuple[str, int]:
    """What the folds of a cell belong to: its training, and the run or repeat."""
    return name_cell(cell), cell.settings["seed"]


def explain_failures(
    wanted: Sequence[Row],
    needed: Sequence[Training],
    missing: Mapping[str, str],
    failed: Mapping[str, str],
    planned: Sequence[Cell],
) -> dict[str, str]:
    """Row -> why it could not be run: a training that failed, or weights of its backbone that are not there."""
    broken = {name_cell(cell): f"failed: {failed[cell.key]}" for cell in planned if cell.key in failed}
    for training in needed:
        extraction = slug(f"{BOTTLENECKS} {training.backbone} {training.view}")
        if training.backbone in missing:
            broken[training.name] = missing[training.backbone]
        elif training.backbone and extraction in failed:
            broken[training.name] = f"failed: {failed[extraction]}"
    return explain_rows(wanted, broken)


def plan_networks(
    finished: Sequence[Cell], weights: Files, config: Config, cases: Mapping[str, tuple[Sequence[int], Sequence[int]]]
) -> list[Cell]:
    """Cells that store a network for new pictures, one a view: the mean of the leak-free heads of the first repeat, which have
    each seen other subjects, on the first backbone that has any; where there is none, the head of the report's first run.

    cases: view -> positions and labels of the slices whose attention maps are computed.
    """
    heads = [c for c in finished if c.settings.get("description") == HEAD and not c.settings["shuffled"]]
    planned = []
    for view in config.views:
        of_view = [cell for cell in heads if cell.settings["view"] == view]
        free = [cell for cell in of_view if cell.settings["mode"] == LEAKFREE] or of_view[:1]
        if not free:
            continue
        first = min(free, key=lambda cell: (config.backbones.index(cell.settings["backbone"]), cell.settings["seed"])).settings
        chosen = [c for c in free if all(c.settings[name] == first[name] for name in ("backbone", "seed"))]
        start = weights.get(first["backbone"])
        settings = {
            "backbone": first["backbone"],
            "cases": list(cases[view][0]),
            "config": reduce_config(config),
            "data_sha256": first["data_sha256"],
            "head_digests": [cell.digest for cell in chosen],
            "heads": [cell.key for cell in chosen],
            "labels": list(cases[view][1]),
            "protocol": first["protocol"],
            "view": view,
            "weights": start and start.file,
            "weights_sha256": start and start.sha256,
        }
        key = slug(f"network {first['backbone']} {view} {first['protocol']}")
        planned.append(Cell(key, f"{MODULE}.bottlenecks:keep_network_cell", settings))
    return planned


def is_departing(chosen_weights: str, backbone: str) -> bool:
    """Whether random weights stand for ImageNet's.

    >>> is_departing("random", "InceptionV3"), is_departing("imagenet", "InceptionV3 random")
    (True, False)
    """
    return chosen_weights == RANDOM_WEIGHTS and bool(backbone) and not backbone.endswith("random")
