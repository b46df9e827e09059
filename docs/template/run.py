"""The replication, top to bottom: data -> trainings -> predictions -> tables, figures, report.

`python -m replications.new_paper.run` reproduces Tables 1 and 2 and Figures 1 and 2; see --help.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from common import cli
from common.audit.papers import find_impossible_claims
from common.cases.folds import describe_splits
from common.cases.sources import Source, answer_questions
from common.data.folder import find_data
from common.errors import run_main
from common.evaluation.outcome import judge_run
from common.evaluation.verdicts import name_standing
from common.records.paper import load_paper
from common.records.predictions import write_predictions
from common.records.results import Weights
from common.records.rows import select_rows
from common.runs import products
from common.runs.estimate import announce
from common.runs.guard import guard_results
from common.runs.run import (
    build_results,
    close_run,
    list_seeds,
    locate_phantoms,
    log_command,
    open_run,
    prepare_shared,
    refuse_missing_data,
    train,
)
from common.runs.undo import run_or_undo
from replications.new_paper import data, efforts, experiments, figures
from replications.new_paper.config import CLASSES, NETWORKS, PRESETS, Config
from replications.new_paper.sources.phantoms import write_phantoms

PACKAGE = Path(__file__).parent
SELECTION = {
    "paper": "last epoch; no validation set, as in the paper",
    "leakfree": "epoch with the lowest cross-entropy on validation patients; the test set is scored once",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    module = f"replications.{PACKAGE.name}.run"
    return run_main(lambda: run_or_undo(run, cli.parse_options(argv, module, __doc__, list(PRESETS)), PACKAGE.name))


def run(options: cli.Options) -> int:
    """One run: prepare the data, train what is not trained yet, evaluate, report."""
    paper = load_paper(PACKAGE / "paper.toml")
    preset, source, config = choose_source(options)
    identity = asdict(config) | {"seeds": [], "source": [source.kind, source.name]}
    rows = experiments.list_table_2()
    wanted, reasons = select_rows(rows, options, {})
    prepare = functools.partial(data.prepare_dataset, source, config, skip_unreadable=options.skip_unreadable)
    prepared, dataset = prepare_shared(PACKAGE, options, data.name_dataset(source, config), prepare)
    placed = {"data": (prepared, dataset)}
    opened = open_run(PACKAGE, options, preset, identity, synthetic=source.synthetic, datasets=placed)
    asked_seeds = dict.fromkeys((row.name for row in wanted), options.seeds or config.seeds)
    guard_results(opened, asked_seeds, sources=[source], keeps_rows=True)
    folds_of = {protocol: (dataset, data.split_dataset(dataset, protocol, config)) for protocol in options.protocols}
    described = describe_splits("pictures", dataset, folds_of)  # ends here if a leakfree split leaks

    about = (dataset.sha256, described.splits)
    networks = [row.name for row in wanted]
    planned = experiments.plan_cells(networks, config, options.protocols, options.seeds or config.seeds, *about)
    if not announce(opened, efforts.list_works(planned, folds_of, config)):
        return 0
    log_command(opened)

    failed = train(opened, planned)
    reasons |= {cell.settings["row"]: f"failed: {failed[cell.key]}" for cell in planned if cell.key in failed}
    seeds = list_seeds(options, config.seeds)
    everything = experiments.plan_cells(NETWORKS, config, options.protocols, seeds, *about)
    finished = products.list_finished(everything, opened.folder)
    if not finished:
        return 1
    splits = {protocol: (pool.cases, folds) for protocol, (pool, folds) in folds_of.items()}
    predictions = products.collect_predictions(finished, opened.folder, lambda settings: splits[settings["protocol"]])
    history = products.collect_history(finished, opened.folder)
    write_predictions(predictions, opened.folder / "predictions.csv.gz")

    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    outcome = judge_run(
        paper,
        rows,
        predictions,
        protocols=options.protocols,
        compared=[NETWORKS],
        checks=experiments.build_checks(),
        counts=experiments.count_table_1(*folds_of["paper"]) if "paper" in folds_of else {},
        reasons=reasons,
        departures=lambda row: experiments.list_departures(row, config, published),
        standing=lambda _row: name_standing(described, preset),
        impossible=find_impossible_claims(paper),
        positive_class=CLASSES[1],
    )
    results = build_results(
        opened,
        outcome,
        datasets=[described],
        weights=Weights(source="random"),
        config=asdict(config),
        selection=SELECTION,
        finished=finished,
    )
    shown = figures.Shown(dataset, predictions, history)
    return close_run(opened, paper, results, lambda found: figures.draw_figures(shown, found), failed)


def choose_source(options: cli.Options) -> tuple[str, Source, Config]:
    """Preset, source and settings: the data folder if there is one, else phantoms; smoke takes phantoms."""
    folder = find_data(PACKAGE.name, options.data)
    source = data.find_source(folder) if options.preset != "smoke" else None
    if source is None:
        refuse_missing_data(PACKAGE, options)
    preset = options.preset or ("paper" if source else "demo")
    config = cli.apply_overrides(PRESETS[preset], options.overrides)
    if source is None:
        phantoms = locate_phantoms(PACKAGE, options, data.list_settings(config))
        write_phantoms(phantoms, config, seed=config.split_seed)
        source = data.find_source(phantoms)
        assert source is not None  # just written
    return preset, answer_questions(source, options), config


if __name__ == "__main__":
    sys.exit(main())
