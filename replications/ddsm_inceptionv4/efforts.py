"""What each training will do, for the cost of a run before it: networks, steps, pictures. Nothing here imports TensorFlow."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.files import slug
from common.runs.cells import Cell
from common.runs.work import Below, Network, Stage, Work
from replications.ddsm_inceptionv4 import plans
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.rows import INCEPTION, JUDGEMENT, MOBILE, SAMPLERS, SCRATCH, SMALL, SOFTMAX, find_last_block
from replications.ddsm_inceptionv4.tasks import CACHE_BYTES

BUILD = "replications.ddsm_inceptionv4.specimens:build_specimen"
WHOLE, UPPER, LOWER = "whole", "upper", "lower"  # parts of a network, cut at the freeze boundary
PUBLISHED = {INCEPTION: (12.3e9, 299), SMALL: (12.3e9, 299), MOBILE: (0.06e9, 224)}  # multiply-adds, side
TIMED = 30  # steps of costs.measure_costs_cell
OF_METADATA, OF_PLANTED, OF_JUDGEMENT = 2.0, 10.0, 20.0  # seconds, by rule of thumb
Folds = Mapping[str, tuple[Dataset, Sequence[Fold]]]  # protocol -> cases, folds


def list_works(
    cells: Sequence[Cell], sources: Sequence[str], judged: Sequence[plans.Place], divided: Folds, config: Config
) -> list[Work]:
    """The work of planned cells; of the initial weights of networks (`sources`); of the judgement of samples at places."""
    works = []
    for network in sources:
        steps = math.ceil(config.source_task_images / config.batch_size)
        whole = describe(network, SCRATCH, WHOLE, config)
        works.append(Work(plans.plan_source(network, config).key, (Stage(whole, config.source_task_epochs, steps),)))
    works += [plan_work(cell, divided, config) for cell in cells]
    return works + [Work(slug(f"{JUDGEMENT} {plans.describe_place(place)}"), seconds=OF_JUDGEMENT) for place in judged]


def plan_work(cell: Cell, divided: Folds, config: Config) -> Work:
    """Epochs and steps as the functions of train.py and sampling.py make them, if no training stops early."""
    s, function = cell.settings, cell.function.partition(":")[2]
    if function == "measure_costs_cell":
        return Work(cell.key, (Stage(describe(INCEPTION, SCRATCH, WHOLE, config), 1, TIMED),))
    if function in ("train_metadata_cell", "plant_cell"):
        return Work(cell.key, seconds=OF_PLANTED if function == "plant_cell" else OF_METADATA)
    films, folds = divided[s["protocol"]]
    fold = next(fold for fold in folds if fold.fold == s["fold"])
    if s["row"] in SAMPLERS:
        steps = max(1, len(fold.train) // config.sample_batch)
        return Work(cell.key, (Stage(describe_sampler(s["row"], config), config.sample_epochs, steps),))
    about: dict[str, Any] = {"steps": math.ceil(len(fold.train) / config.batch_size), "scored": len(fold.validation)}
    about["once"] = len(fold.test) + len(fold.validation) + min(2000, len(fold.train))  # also the gap to what was learned
    network, start = s["network"], s["start"]
    if start in (SCRATCH, "stem") or not config.variants:  # from the stem on nothing is frozen
        return Work(cell.key, (Stage(describe(network, start, WHOLE, config), config.epochs, **about),))
    below = Below(describe(network, start, LOWER, config), len(films.cases) * config.variants, CACHE_BYTES)
    return Work(cell.key, (Stage(describe(network, start, UPPER, config), config.epochs, **about, below=below),))


def describe(network: str, start: str, part: str, config: Config) -> Network:
    """A part of a network that is retrained from `start`."""
    side = {INCEPTION: config.size, SMALL: config.small_size, MOBILE: config.mobile_size}[network]
    width = {INCEPTION: config.width, SMALL: config.small_width, MOBILE: 1.0}[network]
    operations, published = PUBLISHED[network]
    blocks = {INCEPTION: config.blocks, SMALL: config.small_blocks}.get(network)
    depth = 0.4 + 0.6 * sum(blocks) / 14 if blocks else 1.0  # of 14 blocks, above the stem
    most = operations * (side / published) ** 2 * min(width, 1.5 * width**2) * depth
    if part == UPPER:
        most = 1e5 if start == SOFTMAX else 0.1 * most if start == find_last_block(config) else most
    title = f"{network}, {side} pixels" + ("" if start == SCRATCH else f", {part} part from {start}")
    settings = {"config": plans.reduce_config(config), "network": network, "part": part, "start": start}
    return Network(title, BUILD, settings, config.batch_size, most)


def describe_sampler(name: str, config: Config) -> Network:
    """A model of unlabelled pictures."""
    pairs = zip((1, *config.sample_channels), config.sample_channels, strict=False)
    once = sum(16.0 * a * b * config.sample_size**2 / 4 ** (number + 1) for number, (a, b) in enumerate(pairs))
    settings = {"config": plans.reduce_config(config), "network": name, "part": WHOLE, "start": SCRATCH}
    return Network(f"{name}, {config.sample_size} pixels", BUILD, settings, config.sample_batch, 8 * once)
