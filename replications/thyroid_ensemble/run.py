"""The replication, top to bottom: data -> trainings -> what is chosen -> predictions -> tables, figures, report.

`python -m replications.thyroid_ensemble.run` reproduces Tables 1 to 7 and Figures 3, 4, 8, 9, 10 and 11; see --help.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from common import cli
from common.audit.papers import find_impossible_claims
from common.cases.folds import describe_splits
from common.data.unmarked import read_unmarked
from common.errors import run_main
from common.evaluation.outcome import judge_run, list_changes
from common.evaluation.unmarked import summarise_unmarked, tabulate_unmarked
from common.evaluation.verdicts import name_standing
from common.files import write_json_atomic
from common.records.paper import load_paper
from common.records.predictions import write_predictions
from common.records.results import Weights
from common.records.rows import select_rows
from common.runs import products
from common.runs.cells import Cell
from common.runs.estimate import announce
from common.runs.guard import guard_results
from common.runs.run import (
    Run,
    build_results,
    close_run,
    find_or_make,
    list_seeds,
    log_command,
    open_run,
    prepare_shared,
    train,
)
from common.runs.undo import run_or_undo
from replications.thyroid_ensemble import (
    beyond,
    beyond_figures,
    data,
    efforts,
    experiments,
    figures,
    plans,
    selection,
    tasks,
    weights,
)
from replications.thyroid_ensemble.config import CLASSES, PRESETS, Config
from replications.thyroid_ensemble.rows import QUOTED
from replications.thyroid_ensemble.sources import phantoms

PACKAGE = Path(__file__).parent
SELECTION = {
    "paper": "k, networks, weights and, by early stopping, epochs: on the test images, as in the paper",
    "leakfree": "k, networks, weights, epochs: on validation patients of an inner cross-validation; the test set is scored once",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    module = f"replications.{PACKAGE.name}.run"
    return run_main(lambda: run_or_undo(run, cli.parse_options(argv, module, __doc__, list(PRESETS)), PACKAGE.name))


def run(options: cli.Options) -> int:
    """One run: prepare the data, train what is not trained yet, choose, evaluate, report."""
    paper = load_paper(PACKAGE / "paper.toml")
    preset, source, config = choose_source(options)
    options = cli.keep_changes(options, PRESETS[preset])
    chosen = weights.choose_weights(options.weights, preset, config)
    identity = asdict(config) | {"seeds": [], "source": [source.kind, source.name], "weights": chosen}
    rows = experiments.list_rows(config)
    wanted, reasons = select_rows(rows, options, dict.fromkeys(QUOTED, "quoted from another paper; not a result of this one"))
    needed = [training for training in plans.list_trainings(config) if any(training.name in row.needs for row in wanted)]
    networks = list(dict.fromkeys(training.network for training in needed if training.pretrained))
    prepare = functools.partial(data.prepare_dataset, source, config, skip_unreadable=options.skip_unreadable)
    prepared, dataset = prepare_shared(PACKAGE, options, data.name_dataset(source, config), prepare)
    placed = {tasks.DATA: (prepared, dataset)}
    opened = open_run(PACKAGE, options, preset, identity, synthetic=source.synthetic, datasets=placed)
    guard_results(opened, dict.fromkeys((row.name for row in wanted), options.seeds or config.seeds), sources=[source])
    usable = weights.confirm_weights(chosen, networks, config, options)
    files, missing = weights.provide_weights(usable, networks, config, opened.folder)
    print("splits: measuring what they leak", file=sys.stderr)
    folds_of = {protocol: (dataset, data.split_dataset(dataset, protocol, config)) for protocol in options.protocols}
    described = describe_splits(source.name, dataset, folds_of)  # ends here if a leakfree split leaks

    sources = [plans.plan_source(network, config) for network in networks] if chosen == weights.PHANTOM else []
    ready = [training for training in needed if not (training.pretrained and training.network in missing)]
    seeds, about = options.seeds or config.seeds, (dataset.sha256, described.splits)
    asked = plans.plan_all(ready, config, options.protocols, seeds, *about, files)
    if not announce(opened, efforts.list_works([*sources, *asked], folds_of, config), missing):
        return 0
    log_command(opened)
    if sources:
        if train(opened, sources, "initial weights"):
            return 1
        files = {network: plans.find_source(cell, opened.folder) for network, cell in zip(networks, sources, strict=True)}
    planned = plans.plan_all(ready, config, options.protocols, seeds, *about, files)
    failed = train(opened, planned)
    seeds = list_seeds(options, config.seeds)
    everything = plans.plan_all(plans.list_trainings(config), config, options.protocols, seeds, *about, files)
    finished = products.list_finished(everything, opened.folder)
    if not finished:
        return 1
    splits = {protocol: (pool.cases, folds) for protocol, (pool, folds) in folds_of.items()}
    tests, validation, history = selection.collect_products(finished, opened.folder, config, lambda s: splits[s["protocol"]])
    predictions, choices, depths, gains = selection.derive_protocols(tests, validation, config)
    fused, fusions = beyond.fuse_protocols(tests, validation, config)
    predictions = pd.concat([predictions, *fused], ignore_index=True)
    predictions = predictions[predictions["row"].isin([row.name for row in wanted])].reset_index(drop=True)
    write_predictions(predictions, opened.folder / "predictions.csv.gz")

    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    departures = {row.name: experiments.list_departures(row, config, published, chosen) for row in rows}
    departures |= {row: list_changes(config, published, experiments.OF_COUNTS) for row in experiments.TABLE_1}
    outcome = judge_run(
        paper,
        rows,
        predictions,
        protocols=options.protocols,
        compared=experiments.COMPARED,
        checks=experiments.build_checks(choices, experiments.find_stuck(predictions)),
        counts=experiments.count_table_1(*folds_of["paper"]) if "paper" in folds_of else {},
        reasons=reasons | plans.explain_failures(wanted, needed, missing, failed, planned),
        departures=lambda row: departures.get(row, []),
        standing=lambda _row: name_standing(described, preset),
        choices_repeated=True,  # k, networks and weights are chosen on the test images in every seed's run
        impossible=find_impossible_claims(paper),
        positive_class=CLASSES[1],
    )
    checksums = {f"{network} sha256": file.sha256 for network, file in files.items()}
    unmarked = read_unmarked(source.path)
    results = build_results(
        opened,
        outcome,
        datasets=[described],
        weights=Weights.model_validate({"source": weights.describe_weights(chosen), **checksums}),
        config=asdict(config),
        selection=SELECTION,
        finished=finished,
        tables=[
            *tabulate_unmarked(predictions, unmarked),
            experiments.tabulate_choices(choices),
            experiments.tabulate_gains(gains),
            *beyond.tabulate_areas(outcome.rows),
            *beyond.tabulate_fusions(fusions),
        ],
        finding=summarise_unmarked(predictions, unmarked),
    )
    cases = figures.choose_shown_cases(dataset, folds_of)
    attention = use_networks(opened, choices, finished, cases)
    shown = figures.Shown(paper, config, dataset, folds_of, predictions, history, depths, cases, attention)
    drawn = (figures.draw_figures, beyond_figures.draw_figures)
    return close_run(opened, paper, results, lambda found: (one for draw in drawn for one in draw(shown, found)), failed)


def choose_source(options: cli.Options) -> tuple[str, data.Source, Config]:
    """Preset, source and settings: the data folder if there is one, else phantoms; smoke takes phantoms."""

    def make(folder: Path, config: Config) -> None:
        phantoms.write_phantoms(folder, config, seed=config.split_seed, unmarked=phantoms.UNMARKED)

    return find_or_make(PACKAGE, options, PRESETS, data.find_source, make, ("own", data.NAMES["own"]))


def use_networks(
    opened: Run, choices: Sequence[selection.Choice], finished: Sequence[Cell], shown: Sequence[int]
) -> dict[str, np.ndarray]:
    """What needs the trained networks again: the stored ensembles for new images (ensembles.json, maybe of none), networks of the
    first seed and the weights of their fusion; and Grad-CAM of Fig. 4: network -> float32 (shown, side, side)."""
    stored = plans.plan_members(choices, finished)
    attention = plans.plan_attention(finished, shown)
    kept = [cell for members in stored.values() for cell in members["cells"]]
    failed = train(opened, [*kept, *attention.values()], "networks")
    described = {
        protocol: members | {"cells": [cell.key for cell in members["cells"]]}
        for protocol, members in stored.items()
        if not any(cell.key in failed for cell in members["cells"])
    }
    write_json_atomic(opened.folder / "ensembles.json", described)
    home = opened.folder / "cells"
    done = {network: home / cell.key / "cams.npy" for network, cell in attention.items() if cell.key not in failed}
    return {network: np.load(path, allow_pickle=False) for network, path in done.items()}


if __name__ == "__main__":
    sys.exit(main())
