"""The replication, top to bottom: data -> bottlenecks -> last layers -> predictions -> decomposition, figures, report.

`python -m replications.glioma_inceptionv3.run` reproduces Tables 1 to 6 and the report's three result figures, and takes its
accuracy apart; see --help.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from common import cli
from common.audit.papers import find_impossible_claims
from common.cases.prepared import Dataset
from common.data.unmarked import read_unmarked
from common.errors import run_main
from common.evaluation.outcome import judge_run, list_changes
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
    log_command,
    open_run,
    prepare_shared,
    train,
)
from common.runs.undo import run_or_undo
from replications.glioma_inceptionv3 import (
    data,
    decomposition,
    derived,
    efforts,
    experiments,
    figures,
    plans,
    shown,
    splits,
    subjects,
    weights,
)
from replications.glioma_inceptionv3.config import PRESETS, Config
from replications.glioma_inceptionv3.rows import MEAN, WHOLE, name_protocol
from replications.glioma_inceptionv3.sheets import read_sheets

PACKAGE = Path(__file__).parent
SELECTION = {
    "paper": "nothing: the last layer after the last step, as in the report",
    "leakfree": "the learning rate, by cross-entropy on validation subjects; the test subjects are scored once",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    module = f"replications.{PACKAGE.name}.run"
    return run_main(lambda: run_or_undo(run, cli.parse_options(argv, module, __doc__, list(PRESETS)), PACKAGE.name))


def run(options: cli.Options) -> int:
    """One run: prepare the data, compute bottlenecks, train what is not trained yet, take apart, report."""
    paper = load_paper(PACKAGE / "paper.toml")
    preset, source, config = choose_source(options)
    options = cli.keep_changes(options, PRESETS[preset])
    chosen = weights.choose_weights(options.weights, preset)
    identity = asdict(config) | {"runs": [], "source": [source.kind, source.name], "weights": chosen}
    placed = prepare_views(options, source, config)
    datasets = {view: dataset for view, (_, dataset) in placed.items()}
    alike = {view for view in config.views if splits.has_no_duplicates(datasets[view])}
    rows = experiments.list_rows(config, alike)
    wanted, reasons = select_rows(rows, options, {})
    everything = [t for t in plans.list_trainings(config, alike) if name_protocol(t.mode) in options.protocols]
    needed = [training for training in everything if any(training.name in row.needs for row in wanted)]
    opened = open_run(PACKAGE, options, preset, identity, synthetic=source.synthetic, datasets=placed)
    guard_results(opened, plans.list_row_seeds(wanted, needed, config, options.seeds or ()), sources=[source])
    backbones = list(dict.fromkeys(t.backbone for t in needed))
    files, missing = weights.provide_weights(weights.confirm_weights(chosen, backbones, options), backbones, opened.folder)
    print("splits: measuring what they leak", file=sys.stderr)
    divided = plans.divide(datasets, config, options.seeds or ())
    described = plans.describe_data(
        source.name, datasets[WHOLE], divided, options.protocols
    )  # ends here if a leakfree split leaks
    setups = dict.fromkeys((t.backbone, t.view) for t in needed if t.backbone and t.backbone not in missing)
    extractions = {setup: plans.plan_bottlenecks(*setup, datasets[setup[1]], config, files) for setup in setups}
    works = efforts.list_works(needed, extractions, config, datasets, divided, options.seeds or ())
    if not announce(opened, works, missing):
        return 0
    log_command(opened)

    failed = train(opened, list(extractions.values()), "bottlenecks")
    features = {s: plans.find_features(cell, opened.folder) for s, cell in extractions.items() if cell.key not in failed}
    plan = functools.partial(plans.plan_cells, datasets=datasets, divided=divided, features=features)
    planned = [cell for t in needed for cell in plan(t, config, plans.list_seeds(t, config, options.seeds or ()))]
    failed |= train(opened, planned)
    known = [cell for t in needed for cell in plan(t, config, sorted({*plans.list_seeds(t, config), *(options.seeds or ())}))]
    finished = products.keep_complete(known, products.list_finished(known, opened.folder), plans.name_repeat)
    if not finished:
        return 1

    predictions = products.collect_predictions(finished, opened.folder, functools.partial(plans.find_split, divided))
    predictions = derived.derive_rows(predictions, config, alike)
    predictions = predictions[predictions["row"].isin([row.name for row in wanted])].reset_index(drop=True)
    write_predictions(predictions, opened.folder / "predictions.csv.gz")
    history = products.collect_history(finished, opened.folder)

    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    started = chosen if preset == "paper" else ""
    runs = set(predictions.loc[predictions["row"] == MEAN, "seed"])
    departures = {row.name: experiments.list_departures(row, config, published, started, runs) for row in rows}
    departures |= {row: list_changes(config, published, experiments.OF_COUNTS) for row in experiments.COUNTED}
    info = datasets[WHOLE].info
    outcome = judge_run(
        paper,
        rows,
        predictions,
        protocols=options.protocols,
        compared=[experiments.list_compared(config)],
        checks=experiments.build_checks(config, history),
        counts=experiments.count_table_1_to_5(info) | experiments.count_text(info),
        reasons=reasons | plans.explain_failures(wanted, needed, missing, failed, planned),
        departures=lambda row: departures.get(row, []),
        standing=lambda _row: name_standing(described, preset),
        impossible=find_impossible_claims(paper),
    )
    steps = decomposition.decompose(predictions, config, alike)
    classes, unmarked = list(info["classes"]), read_unmarked(source.path)
    results = build_results(
        opened,
        outcome,
        datasets=[described],
        weights=Weights.model_validate(
            {"source": weights.describe_weights(chosen), **{f"{name} sha256": file.sha256 for name, file in files.items()}}
        ),
        config=asdict(config),
        selection=SELECTION,
        finished=finished,
        tables=[
            decomposition.tabulate_decomposition(steps, alike, classes),
            subjects.tabulate_subjects(predictions, config, classes),
            subjects.tabulate_leaks(divided, datasets, config),
            subjects.tabulate_rates(finished, opened.folder, config),
            *subjects.tabulate_recalled(predictions, unmarked, config),
        ],
        finding=subjects.summarise_recalled(predictions, unmarked, config)
        or decomposition.summarise(steps, described.name, classes),
    )
    attention = use_networks(opened, finished, files, datasets, config)
    pictures = shown.gather(paper, config, source, datasets, predictions, history, steps, attention, read_sheets(source, config))
    return close_run(opened, paper, results, lambda found: figures.draw_figures(pictures, found), failed)


def choose_source(options: cli.Options) -> tuple[str, data.Source, Config]:
    """Preset, source and settings: the data folder if there is one, else phantoms; smoke takes phantoms."""

    def make(folder: Path, config: Config) -> None:
        data.write_phantoms(folder, config, seed=config.split_seed, unmarked=data.UNMARKED if config.phantom_signal else 0.0)

    return find_or_make(PACKAGE, options, PRESETS, data.find_source, make)


def prepare_views(options: cli.Options, source: data.Source, config: Config) -> dict[str, tuple[Path, Dataset]]:
    """View -> (folder, prepared data set); the whole slices always, in which near-duplicates are looked for."""
    placed = {}
    for view in dict.fromkeys([*config.views, WHOLE]):
        prepare = functools.partial(data.prepare_dataset, source, config, view, skip_unreadable=options.skip_unreadable)
        placed[view] = prepare_shared(PACKAGE, options, data.name_dataset(source, config, view), prepare)
    return placed


def use_networks(
    opened: Run, finished: Sequence[Cell], files: weights.Files, datasets: plans.Datasets, config: Config
) -> list[figures.Attention]:
    """Networks for new pictures (networks.json); and what they look at in one slice of each grade."""
    cases = {view: shown.choose_cases(dataset) for view, dataset in datasets.items()}
    networks = plans.plan_networks(finished, files, config, cases)
    failed = train(opened, networks, "networks")
    kept = [cell for cell in networks if cell.key not in failed]
    stored = [{"cell": cell.key} | {name: cell.settings[name] for name in ("backbone", "protocol", "view")} for cell in kept]
    write_json_atomic(opened.folder / "networks.json", stored)
    return [one for cell in kept for one in shown.read_attention(opened.folder, cell, datasets)]


if __name__ == "__main__":
    sys.exit(main())
