"""The stages of a run, each from what the one before it left: data of both domains, GANs, their judgement, classifiers, networks.

Nothing here imports TensorFlow.
"""

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import cli
from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.cases.sources import Source
from common.records.results import Split
from common.runs.cells import Cell
from common.runs.products import list_finished, name_result
from common.runs.run import Run, prepare_shared, train
from common.training.weights import WeightFile
from replications.bone_acgan import data, plans
from replications.bone_acgan.config import GANS, Config
from replications.bone_acgan.rows import CHESTS, FINAL, GENERATED, MULTI, NETWORKS_FILE, SCANS, list_branches, name_row
from replications.bone_acgan.weights import Files

PACKAGE = Path(__file__).parent
EXPLAINED = (*(name_row(branch, 4) for branch in list_branches(MULTI)), name_row(MULTI, 4))  # Fig. 13

Place = tuple[str, int, int]  # protocol, fold, seed
Placed = Mapping[str, tuple[Path, Dataset]]


def prepare(options: cli.Options, source: Source, config: Config, gans: Sequence[plans.Gan]) -> Placed:
    """The domains that are needed, prepared: folder of the run -> (folder, data set); the chest radiographs where there are any
    and one of the wanted GANs learns from them first."""
    chests = data.find_chests(data.locate_chests(source)) if any(one.transfer for one in gans) else None
    scans = functools.partial(data.prepare_dataset, source, config, skip_unreadable=options.skip_unreadable)
    placed = {SCANS: prepare_shared(PACKAGE, options, data.name_dataset(source, config), scans)}
    if chests is not None:
        radiographs = functools.partial(data.prepare_chests, chests, config, skip_unreadable=options.skip_unreadable)
        placed[CHESTS] = prepare_shared(PACKAGE, options, data.name_chests(chests, config), radiographs)
    return placed


def explain_chests(placed: Placed) -> dict[str, str]:
    """Row -> why it cannot be run, where there are no chest radiographs: those of the GANs with both stages."""
    if CHESTS in placed:
        return {}
    where = f"{data.SOURCE_DOMAIN[0]}/: no chest radiographs, which the first stage learns from; see python -m {data.MODULE}"
    return {one.row: where for one in plans.list_gans() if one.transfer}


@dataclass(frozen=True)
class Trained:
    """The GANs of a run: cells of both stages, and the reason of each that failed."""

    cells: Mapping[tuple[plans.Gan, Place], Cell]
    first: Mapping[str, Cell]  # stage 1 of each GAN
    failed: Mapping[str, str]

    def list_done(self) -> list[Cell]:
        """The cells of both stages that ended well."""
        return [cell for cell in (*self.first.values(), *self.cells.values()) if cell.key not in self.failed]

    def find_pictures(self, folder: Path) -> dict[tuple[str, Place], WeightFile]:
        """(GAN, place) -> its pictures, of those with both stages."""
        return {
            (one.gan, place): plans.find_product(cell, GENERATED, folder)
            for (one, place), cell in self.cells.items()
            if one.transfer and cell.key not in self.failed
        }


def train_gans(
    run: Run,
    gans: Sequence[plans.Gan],
    asked: Sequence[Place],
    known: Sequence[Place],
    config: Config,
    placed: Placed,
    splits: Mapping[str, Split],
) -> Trained:
    """Stage 1 of every GAN that needs it, once, and direct training at the places that are asked for; then stage 2 there.

    known: these places and those of other seeds, of which what earlier commands have trained is taken in.
    """
    scans = placed[SCANS][1].sha256
    staged = [gan for gan in GANS if CHESTS in placed and any(one.gan == gan and one.transfer for one in gans)]
    first = {gan: plans.plan_source(gan, config, placed[CHESTS][1].sha256) for gan in staged}
    direct = {
        (one, place): plans.plan_gan(one, place, config, scans, splits, None)
        for one in gans
        for place in known
        if not one.transfer
    }
    failed = dict(train(run, [*first.values(), *(direct[key] for key in direct if key[1] in asked)], "GANs, stage 1"))
    starts = {gan: plans.find_product(cell, NETWORKS_FILE, run.folder) for gan, cell in first.items() if cell.key not in failed}
    second = {
        (one, place): plans.plan_gan(one, place, config, scans, splits, starts[one.gan])
        for one in gans
        for place in known
        if one.transfer and one.gan in starts
    }
    failed |= train(run, [second[key] for key in second if key[1] in asked], "GANs, stage 2")
    planned = direct | second
    there = {cell.key for cell in list_finished(list(planned.values()), run.folder)}
    return Trained({key: cell for key, cell in planned.items() if cell.key in there | failed.keys()}, first, failed)


def judge(run: Run, trained: Trained, features: WeightFile | None) -> tuple[list[Cell], dict[str, str]]:
    """The judgement of every GAN: cells, and the reason of each that failed."""
    judged = [
        plans.plan_judgement(cell, plans.find_product(cell, GENERATED, run.folder), features)
        for cell in trained.cells.values()
        if cell.key not in trained.failed
    ]
    return judged, train(run, judged, "their pictures")


def plan_classifiers(
    run: Run,
    classifiers: Sequence[plans.Classifier],
    places: Sequence[Place],
    config: Config,
    placed: Placed,
    splits: Mapping[str, Split],
    files: Files,
    missing: Mapping[str, str],
    trained: Trained,
) -> list[Cell]:
    """The cells of all classifiers whose weights and pictures are there."""
    ready = [one for one in classifiers if not (one.transfer and any(b in missing for b in list_branches(one.network)))]
    about = (config, placed[SCANS][1].sha256, splits, files, trained.find_pictures(run.folder))
    return [cell for one in ready for place in places if (cell := plans.plan_classifier(one, place, *about))]


def keep_whole(finished: Sequence[Cell], known: Sequence[Place]) -> list[Cell]:
    """The finished cells whose row has every fold of its protocol and seed: a part of the folds is no result, also where a GAN
    before it is missing, so that its classifier could not be planned."""
    wanted = Counter((protocol, seed) for protocol, _, seed in known)
    have = Counter(name_result(cell) for cell in finished)
    return [cell for cell in finished if have[name_result(cell)] == wanted[cell.settings["protocol"], cell.settings["seed"]]]


def choose_cases(dataset: Dataset, folds_of: Mapping[str, Sequence[Fold]]) -> tuple[list[int], list[int]]:
    """Positions and labels of the test pictures whose attention is computed: those of the first fold, the first of each class
    first, which are shown (`count_shown`)."""
    test, labels = next(iter(folds_of.values()))[0].test, dataset.cases["label"].to_numpy()
    first = [int(test[labels[test] == label][0]) for label in np.unique(labels[test])]
    ordered = [*first, *(int(place) for place in test if place not in first)]
    return ordered, [int(labels[place]) for place in ordered]


def count_shown(labels: Sequence[int]) -> int:
    """How many of the cases of `choose_cases` are shown: one of each class."""
    return len(set(labels))


def keep_networks(run: Run, finished: Sequence[Cell], shown: tuple[Sequence[int], Sequence[int]]) -> dict[str, np.ndarray]:
    """Networks for new pictures: the final model of every leak-free fold of the first seed (networks.json), else that of the
    paper's protocol; and Grad-CAM of Fig. 13: row -> float32 (cases, height, width)."""
    finals = [cell for cell in finished if cell.settings["row"] == FINAL]
    free = [cell for cell in finals if cell.settings["protocol"] == "leakfree"] or finals
    seed = min((cell.settings["seed"] for cell in free), default=0)
    kept = [cell for cell in free if cell.settings["seed"] == seed]
    explained: dict[str, Cell] = {}
    for cell in finished:
        first = cell.settings["protocol"] == run.options.protocols[0]  # whose test pictures `shown` are
        if first and cell.settings["row"] in EXPLAINED and cell.settings["fold"] in (-1, 0):
            explained.setdefault(cell.settings["row"], cell)
    cells = [_plan_kept(cell, ([], []), keep=True) for cell in kept]
    maps = {row: _plan_kept(cell, shown, keep=False) for row, cell in explained.items()}
    failed = train(run, [*cells, *maps.values()], "networks")
    stored = [{"cell": cell.key, "protocol": cell.settings["protocol"]} for cell in cells if cell.key not in failed]
    (run.folder / "networks.json").write_text(json.dumps(stored, indent=1))
    home = run.folder / "cells"
    done = {row: home / cell.key / "cams.npy" for row, cell in maps.items() if cell.key not in failed}
    return {row: np.load(path, allow_pickle=False) for row, path in done.items()}


def _plan_kept(cell: Cell, shown: tuple[Sequence[int], Sequence[int]], *, keep: bool) -> Cell:
    settings = {**cell.settings, "trained": cell.key, "digest": cell.digest, "keep": keep}
    settings |= {"cases": list(shown[0]), "classes": list(shown[1])}
    return Cell(f"{'network' if keep else 'attention'}-{cell.key}", f"{plans.MODULE}.train:keep_network_cell", settings, cell.kin)
