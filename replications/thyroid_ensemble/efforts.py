"""What each training will do, for the cost of a run before it: networks, steps, pictures. Nothing here imports TensorFlow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.runs.cells import Cell
from common.runs.work import Below, Network, Stage, Work
from replications.thyroid_ensemble.config import Config
from replications.thyroid_ensemble.rois import choose_input_side

BUILD = "replications.thyroid_ensemble.specimens:build_specimen"
WHOLE, UPPER, LOWER, MIDDLE = "whole", "upper", "lower", "middle"  # parts of a network, cut at the freeze boundary
PUBLISHED = {
    "AlexNet": (0.71e9, 227), "VGG16": (15.5e9, 224), "ResNet50": (4.1e9, 224), "InceptionV3": (5.7e9, 299),
    "MobileNetV2": (0.059e9, 224), "SqueezeNet": (0.35e9, 227),
}  # fmt: skip
Divided = Mapping[str, tuple[Dataset, Sequence[Fold]]]  # protocol -> cases and folds


def list_works(cells: Sequence[Cell], divided: Divided, config: Config) -> list[Work]:
    """The work of every cell, those of initial weights among them (without a protocol)."""
    return [plan_work(cell, divided, config) for cell in cells]


def plan_work(cell: Cell, divided: Divided, config: Config) -> Work:
    """Epochs and steps as the functions of train.py and baselines.py make them, if no training stops early."""
    s = cell.settings
    if "protocol" not in s:
        steps = math.ceil(config.source_task_images / config.batch_size)
        return Work(cell.key, (Stage(describe(s["network"], 1, "all", WHOLE, config), config.source_task_epochs, steps),))
    dataset, folds = divided[s["protocol"]]
    fold = next(fold for fold in folds if fold.fold == s["fold"])
    count, kind, network, scale = len(dataset.cases), s["kind"], s["network"], s["scale"]
    steps = math.ceil(len(fold.train) * config.enlargement / config.batch_size)
    monitored = fold.validation if s["protocol"] == "leakfree" else fold.test if config.stopping == "test" else ()
    about: dict[str, Any] = {"steps": steps, "scored": len(monitored), "once": len(fold.test) + len(fold.validation)}
    pictures = count * (config.enlargement if config.augmentation == "fixed" else 1)

    def train(plan: str, epochs: int, deepest: str = "") -> Stage:
        """A stage of a freezing plan: on the cached activations of the frozen part, or of the whole network."""
        if plan == "all":
            return Stage(describe(network, scale, plan, WHOLE, config), epochs, **about)
        start = MIDDLE if deepest not in ("", plan) else LOWER
        frozen = describe(network, scale, plan, start, config, deepest)
        limit = config.cache_gigabytes * 1e9 if config.augmentation == "fixed" else 0.0
        below = Below(frozen, pictures, limit, f"scale {scale}")
        return Stage(describe(network, scale, plan, UPPER, config), epochs, **about, below=below)

    if kind == "scratch":
        return Work(cell.key, (train("all", config.scratch_epochs),))
    if kind == "classic":
        return Work(cell.key, seconds=_guess_svm(count, config))
    if kind == "trees":
        return Work(cell.key, seconds=1e-3 * count + 2e-3 * config.forest_trees)
    if kind == "fused":
        return Work(cell.key, (replace(train("0", 0), once=count),), _guess_svm(count, config))
    if kind == "forest":
        return Work(cell.key, (train("0", config.transfer_epochs), train("all", config.tune_epochs)))
    depths = sorted((plan for plan in s["rows"] if plan.isdecimal()), key=int)
    deepest = depths[-1] if depths else "0"
    tuned = [train(plan, config.tune_epochs, deepest if plan.isdecimal() else "") for plan in s["rows"] if plan != "0"]
    return Work(cell.key, (train("0", config.transfer_epochs, deepest), *tuned))


def _guess_svm(count: int, config: Config) -> float:
    """Seconds of descriptors (computed once a process; at most) and support vector machines, by rule of thumb."""
    machines = len(config.svm_c) * len(config.svm_gamma) * config.svm_folds
    return 4e-3 * count + 0.3 * machines * (count / 1000) ** 2


def describe(network: str, scale: int, plan: str, part: str, config: Config, deepest: str = "") -> Network:
    """A part of a network under a freezing plan; deepest: the plan whose activations a MIDDLE starts from."""
    side = choose_input_side(network, scale, config)
    settings = {"config": asdict(replace(config, seeds=())), "deepest": deepest, "network": network, "part": part, "plan": plan,
                "side": side}  # fmt: skip
    title = f"{network}, {side} pixels" if part == WHOLE else f"{network}, {side} pixels, {part} part of k = {plan}"
    operations, published = PUBLISHED[network]
    most = operations * (side / published) ** 2 * config.width**1.5
    if part in (UPPER, MIDDLE):
        head = 2e4 if config.head_pooling == "average" else 1e6  # 2048 channels to 8 units; a flattened map is larger
        most = head if plan == "0" else most if plan == "first block" else 0.4 * most
    return Network(title, BUILD, settings, config.batch_size, most)
