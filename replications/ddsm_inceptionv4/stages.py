"""The stages of a run, each from what the one before it left. Nothing here imports TensorFlow."""

import functools
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from common import cli
from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.cases.sources import Source
from common.runs.cells import Cell, read_record
from common.runs.products import list_finished, name_result
from common.runs.run import Run, prepare_shared, train
from common.runs.workers import share_threads
from common.training.weights import WeightFile
from replications.ddsm_inceptionv4 import data, plans
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.plans import Place, Planner
from replications.ddsm_inceptionv4.preparing import Team
from replications.ddsm_inceptionv4.rows import FILMS, JUDGEMENT, SAMPLERS, WHOLE, Model
from replications.ddsm_inceptionv4.shown import Attention

PACKAGE = Path(__file__).parent
MAPS = "cams.npy"  # what attention.map_cell leaves
EACH = 4  # test cases of each class whose attention is shown
Placed = Mapping[str, tuple[Path, Dataset]]
Sampled = Mapping[Place, Mapping[str, Cell]]
Folds = Mapping[str, tuple[Dataset, Sequence[Fold]]]  # protocol -> cases, folds


def prepare(options: cli.Options, source: Source, config: Config) -> Placed:
    """Pictures and whole films in small: folder of the run -> (folder, data set)."""
    threads = options.threads or (1 if options.cluster else share_threads(options.workers, cli.count_cores()))
    team = Team(options.workers, threads, options.cluster)
    pictures = functools.partial(data.prepare_dataset, source, config, skip_unreadable=options.skip_unreadable, team=team)
    films = prepare_shared(PACKAGE, options, data.name_dataset(source, config), pictures)
    small = functools.partial(data.prepare_thumbnails, source, config, pictures=films[0], team=team)
    return {FILMS: films, WHOLE: prepare_shared(PACKAGE, options, data.name_dataset(source, config, "whole"), small)}


def train_sources(run: Run, networks: Collection[str], config: Config) -> tuple[dict[str, WeightFile], dict[str, str]]:
    """Initial weights of networks from the synthetic task, for trial runs; and why there are none."""
    cells = {network: plans.plan_source(network, config) for network in networks}
    failed = train(run, list(cells.values()), "initial weights")
    found = {network: plans.find_source(cell, run.folder) for network, cell in cells.items() if cell.key not in failed}
    return found, {network: failed[cell.key] for network, cell in cells.items() if cell.key in failed}


def plan_rows(
    planner: Planner, models: Sequence[Model], levels: Sequence[str], places: Sequence[Place], missing: Mapping[str, str]
) -> list[Cell]:
    """The cells of all rows whose weights are there; levels: of the classifiers of metadata. Layer-wise rows are leak-free
    alone."""
    extra = plans.list_layerwise(planner.config)
    ready = [one for one in models if not (one.transfer and one.network in missing)]
    cells = [
        planner.plan_model(one, place) for one in ready for place in places if one.row not in extra or place[0] == "leakfree"
    ]
    return cells + [planner.plan_metadata(level, place) for level in levels for place in places]


def choose_sampled(places: Sequence[Place]) -> list[Place]:
    """Where the planned models are trained: leak-free, the first fold, every seed."""
    return [place for place in places if place[0] == "leakfree" and place[1] in (-1, 0)]


def plan_samplers(planner: Planner, places: Sequence[Place]) -> Sampled:
    """The planned models at each place: place -> sampler -> its cell."""
    return {place: {name: planner.plan_sampler(name, place) for name in SAMPLERS} for place in places}


def list_samplers(planner: Planner, places: Sequence[Place]) -> list[Cell]:
    """The cells of `plan_samplers`."""
    return [cell for of in plan_samplers(planner, places).values() for cell in of.values()]


def plan_judgements(run: Run, planner: Planner, made: Sampled, failed: Collection[str], judge: str) -> list[Cell]:
    """Their judgement at each place where all of them were trained."""
    whole = {place: of for place, of in made.items() if not any(cell.key in failed for cell in of.values())}
    return [planner.plan_judgement(of, place, judge, run.folder) for place, of in whole.items()]


def list_results(run: Run, cells: Sequence[Cell], known: Sequence[Place]) -> list[Cell]:
    """The finished cells whose row has every fold of its protocol and seed: a part of the folds is no result. The planned models
    are trained on one fold alone."""
    finished = list_finished(list(cells), run.folder)
    wanted = Counter((protocol, seed) for protocol, _, seed in known)
    have = Counter(name_result(cell) for cell in finished)

    def is_whole(cell: Cell) -> bool:
        single = cell.settings["row"] in (*SAMPLERS, JUDGEMENT)
        return single or have[name_result(cell)] == wanted[cell.settings["protocol"], cell.settings["seed"]]

    return [cell for cell in finished if is_whole(cell)]


def plan_networks(run: Run, planner: Planner, finished: Sequence[Cell], order: Sequence[str]) -> dict[str, Cell]:
    """Networks for new pictures: of each row in `order` the leak-free one of the first seed and fold, the one of the highest
    validation AUC first.

    Returns row -> the cell that keeps its network.
    """
    chosen: list[Cell] = []
    for row in order:
        known = [cell for cell in finished if cell.settings["row"] == row and cell.settings.get("keep")]
        free = [cell for cell in known if cell.settings["protocol"] == "leakfree"] or known
        chosen += [min(free, key=lambda cell: (cell.settings["seed"], cell.settings["fold"]))] if free else []
    chosen.sort(key=lambda cell: -read_record(cell, run.folder / "cells")["outcome"]["validation_auc"])
    return {cell.settings["row"]: planner.plan_kept(cell) for cell in chosen}


def list_networks(run: Run, kept: Mapping[str, Cell], failed: Collection[str]) -> dict[str, Cell]:
    """Those of `plan_networks` that were kept, listed in networks.json."""
    done = {row: cell for row, cell in kept.items() if cell.key not in failed}
    stored = [{"row": row, "cell": cell.key, "protocol": cell.settings["protocol"]} for row, cell in done.items()]
    (run.folder / "networks.json").write_text(json.dumps(stored, indent=1))
    return done


def map_attention(
    run: Run, planner: Planner, kept: Mapping[str, Cell], finished: Sequence[Cell], films: Dataset, folds_of: Folds
) -> Attention | None:
    """Grad-CAM of the first kept network, on test cases of its own fold; None where no network is kept."""
    for row, cell in kept.items():
        trained = next(of for of in finished if of.key == cell.settings["trained"])
        test = choose_shown(films, find_fold(folds_of, cell))
        planned = planner.plan_attention(trained, cell, test)
        if train(run, [planned], "attention"):
            return None
        maps = np.load(run.folder / "cells" / planned.key / MAPS, allow_pickle=False)
        return Attention(row, test, maps)
    return None


def find_fold(folds_of: Folds, cell: Cell) -> Fold:
    """The fold of a training."""
    return next(fold for fold in folds_of[cell.settings["protocol"]][1] if fold.fold == cell.settings["fold"])


def choose_shown(films: Dataset, fold: Fold) -> list[int]:
    """Positions of test cases whose attention is shown: EACH with a lesion and EACH without."""
    labels = films.cases["label"].to_numpy()
    return [int(place) for label in (1, 0) for place in fold.test[labels[fold.test] == label][:EACH]]


def find_samplers(finished: Sequence[Cell]) -> dict[str, Cell]:
    """Sampler -> its first training."""
    found = {name: [cell for cell in finished if cell.settings["row"] == name] for name in SAMPLERS}
    return {name: min(cells, key=lambda cell: cell.settings["seed"]) for name, cells in found.items() if cells}
