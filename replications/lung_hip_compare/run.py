"""The replication, top to bottom: data -> trainings -> predictions -> tables, figures, report.

`python -m replications.lung_hip_compare.run` reproduces Tables 1 and 2 and Figures 2, 3 and 6; see --help.
"""

import functools
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from common import cli
from common.cases.prepared import Dataset
from common.cases.sources import answer_questions, take_own
from common.data.folder import find_data
from common.data.layout import refuse_layout
from common.data.unmarked import read_unmarked
from common.errors import run_main
from common.evaluation.stopping import tabulate_chosen
from common.evaluation.unmarked import summarise_unmarked, tabulate_unmarked
from common.records.paper import Paper, load_paper
from common.records.predictions import write_predictions
from common.records.results import Weights
from common.records.rows import Row, select_rows
from common.runs import products
from common.runs.cells import Cell
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
from replications.lung_hip_compare import data, efforts, experiments, figures, held_out, weights
from replications.lung_hip_compare.config import DATASETS, NOT_IN_PAPER, PRESETS, Config
from replications.lung_hip_compare.sources import phantoms

PACKAGE = Path(__file__).parent
SELECTION = {
    "paper": "last epoch; no validation set, as in the paper",
    "leakfree": "epoch with the lowest cross-entropy on validation patients; the test set is scored once",
}
Sources = Mapping[str, data.Source | None]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    module = f"replications.{PACKAGE.name}.run"
    return run_main(lambda: run_or_undo(run, cli.parse_options(argv, module, __doc__, list(PRESETS)), PACKAGE.name))


def run(options: cli.Options) -> int:
    """One run: prepare the data, train what is not trained yet, evaluate, report."""
    paper = load_paper(PACKAGE / "paper.toml")
    preset, sources = choose_sources(options)
    config = cli.apply_overrides(PRESETS[preset], options.overrides)
    options = cli.keep_changes(options, PRESETS[preset])
    identity = asdict(config) | {"seeds": [], "sources": {part: s and [s.kind, s.name] for part, s in sources.items()}}
    wanted, reasons = choose_rows(options, config, sources, paper)
    needed = {one.dataset for one in experiments.list_trainings(config) if any(one.row in row.needs for row in wanted)}
    reasons |= {name: "its rows were not asked for" for name in DATASETS if name not in needed and name not in reasons}
    prepared = prepare_datasets(options, sources, config, needed)
    synthetic = any(source and source.synthetic for source in sources.values())
    placed = {experiments.locate_dataset(name): found for name, found in prepared.items()}
    luna, held = sources["luna"], None
    if luna and any(row.tables == (held_out.TABLE,) for row in wanted):
        placed[held_out.PLACE] = held_out.prepare(PACKAGE, options, luna, config)
        held = placed[held_out.PLACE][1]
    opened = open_run(PACKAGE, options, preset, identity, synthetic=synthetic, datasets=placed)
    asked_seeds = dict.fromkeys((row.name for row in wanted), options.seeds or config.seeds)
    guard_results(opened, asked_seeds, sources=sources.values(), keeps_rows=True)
    datasets = {name: dataset for name, (_, dataset) in prepared.items()}
    given = weights.confirm_weights(options, wanted=any(row.name == experiments.IMAGENET_ROW for row in wanted))
    start, sha256 = weights.choose_weights(given, opened.folder)
    lacking = {experiments.IMAGENET_ROW: why} if (why := weights.explain_missing(options.weights)) else {}
    print("splits: measuring what they leak", file=sys.stderr)
    described, counts, splits = experiments.describe_datasets(
        datasets, config, options.protocols
    )  # ends here if a leakfree split leaks
    tested = held and held_out.describe(held, splits, config)
    if isinstance(tested, str):
        reasons |= {row.name: tested for row in held_out.list_rows()}
        tested = None
    trainings = experiments.list_trainings(config, start, sha256)
    asked = [training for training in trainings if any(training.row in row.needs for row in wanted)]
    planned = experiments.plan_all(asked, config, options.protocols, options.seeds or config.seeds, datasets, described)
    if not announce(opened, efforts.list_works(planned, splits), lacking):
        return 0
    log_command(opened)

    failed = train(opened, planned)
    seeds = list_seeds(options, config.seeds)
    everything = experiments.plan_all(trainings, config, options.protocols, seeds, datasets, described)
    finished = products.keep_complete(everything, products.list_finished(everything, opened.folder))
    if not finished:
        return 1
    scorings = held_out.plan_cells(finished, opened.folder, tested) if tested else []
    failed |= train(opened, scorings, title=held_out.NAME)
    scored = [*finished, *products.list_finished(scorings, opened.folder)]
    splits |= tested.splits if tested else {}
    described += [tested.entry] if tested else []
    predictions = products.collect_predictions(scored, opened.folder, lambda s: splits[s["dataset"], s["protocol"]])
    history = products.collect_history(finished, opened.folder)
    write_predictions(predictions, opened.folder / "predictions.csv.gz")

    reasons |= explain_failures(failed, [*planned, *scorings])
    outcome = experiments.judge(paper, predictions, config, preset, options.protocols, described, counts, reasons, history)
    unmarked = frozenset[str]().union(*(read_unmarked(source.path) for source in sources.values() if source))
    results = build_results(
        opened,
        outcome,
        datasets=described,
        weights=Weights.model_validate({"source": start, "sha256": sha256}),
        config=asdict(config),
        selection=SELECTION,
        finished=finished,
        tables=[
            *tabulate_chosen(history, experiments.list_most_epochs(config), config.patience),
            *tabulate_unmarked(predictions, unmarked),
        ],
        finding=summarise_unmarked(predictions, unmarked),
    )
    shown = figures.Shown(paper, config, datasets, predictions, history)
    return close_run(opened, paper, results, lambda found: figures.draw_figures(shown, found), failed)


def choose_sources(options: cli.Options) -> tuple[str, Sources]:
    """Preset and sources: the data folder if there is one, else phantoms; smoke takes phantoms."""
    if own := take_own(options, *data.OWN):
        return options.preset or "paper", {"luna": None, "hip": own}
    found = find_data(PACKAGE.name, options.data)
    sources = data.find_sources(found) if found and options.preset != "smoke" else {}
    if any(sources.values()):
        return options.preset or "paper", {part: source and answer_questions(source, options) for part, source in sources.items()}
    if found and options.preset != "smoke":
        refuse_layout(PACKAGE.name, found, data.LAYOUT, data.MODULE)
    refuse_missing_data(PACKAGE, options)
    preset = options.preset or "demo"
    config = cli.apply_overrides(PRESETS[preset], options.overrides)
    made = {name: value for name, value in asdict(config).items() if name.startswith(("luna_", "hip_"))}
    folder = locate_phantoms(PACKAGE, options, made)
    phantoms.write_phantoms(folder, config, seed=config.split_seed, unmarked=phantoms.UNMARKED)
    return preset, data.find_sources(folder)


def prepare_datasets(
    options: cli.Options, sources: Sources, config: Config, needed: Collection[str]
) -> dict[str, tuple[Path, Dataset]]:
    """The data sets that the wanted rows need, read once and kept as arrays: name -> (folder, data set)."""
    datasets = {}
    for name in DATASETS:
        source = sources[data.part_of(name)]
        if name in needed and source is not None:
            prepare = functools.partial(data.prepare_dataset, name, source, config, skip_unreadable=options.skip_unreadable)
            datasets[name] = prepare_shared(PACKAGE, options, data.name_dataset(name, source, config), prepare)
    return datasets


def choose_rows(options: cli.Options, config: Config, sources: Sources, paper: Paper) -> tuple[list[Row], dict[str, str]]:
    """Rows to run, and for each other row of paper.toml and ours why it is not."""
    unavailable = {}
    for training in experiments.list_trainings(config):
        if reason := data.explain_unavailable(training.dataset, sources[data.part_of(training.dataset)]):
            unavailable[training.row] = reason
        elif (training.dataset, training.network) in NOT_IN_PAPER and training.row not in (options.rows or ()):
            unavailable[training.row] = f'the paper prints "-"; --rows "{training.row}" runs it (98 million weights at 256x256)'
        elif training.row == experiments.IMAGENET_ROW and options.weights in (None, "random"):
            unavailable[training.row] = "no ImageNet weights asked for: --weights imagenet or a folder of weight files"
        elif training.row == experiments.IMAGENET_ROW and (reason := weights.explain_missing(options.weights)):
            unavailable[training.row] = reason
        elif training.row == experiments.IMAGENET_ROW and (config.resnet_width, config.resnet_blocks) != (64, (3, 4, 6, 3)):
            unavailable[training.row] = "ImageNet weights fit only the full ResNet-50 (preset paper)"
    if reason := held_out.explain_unavailable(sources["luna"]):
        unavailable |= {row.name: reason for row in held_out.list_rows()}
    for claim in paper.claims:
        if claim.table == "1" and (reason := data.explain_unavailable(claim.row, sources[data.part_of(claim.row)])):
            unavailable[claim.row] = reason
    return select_rows(experiments.list_rows(config), options, unavailable)


def explain_failures(failed: Mapping[str, str], planned: Sequence[Cell]) -> dict[str, str]:
    """Row -> reason, for rows of which a training failed."""
    return {cell.settings["row"]: f"failed: {failed[cell.key]}" for cell in planned if cell.key in failed}


if __name__ == "__main__":
    sys.exit(main())
