"""The replication, top to bottom: films -> pictures -> trainings -> samples -> tables, figures, report.

`python -m replications.ddsm_inceptionv4.run` reproduces Table 2 and Figures 3 and 4, and what the paper plans; see --help.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from common import cli
from common.audit.papers import find_impossible_claims
from common.cases.folds import describe_splits
from common.data.unmarked import read_unmarked
from common.errors import run_main
from common.evaluation.metrics import evaluate
from common.evaluation.outcome import judge_run
from common.evaluation.unmarked import summarise_unmarked, tabulate_unmarked
from common.evaluation.verdicts import name_standing
from common.records.paper import load_paper
from common.records.predictions import write_predictions
from common.records.results import Weights
from common.records.rows import select_rows
from common.runs import products
from common.runs.estimate import announce
from common.runs.guard import guard_results
from common.runs.run import build_results, close_run, find_or_make, list_seeds, log_command, open_run, train
from common.runs.undo import run_or_undo
from replications.ddsm_inceptionv4 import (
    claims,
    data,
    efforts,
    experiments,
    figures,
    gaps,
    measures,
    plans,
    sample_measures,
    shortcuts,
    splits,
    stages,
    weights,
)
from replications.ddsm_inceptionv4.config import PRESETS, Config
from replications.ddsm_inceptionv4.rows import FILMS, JUDGEMENT, WHOLE, list_models, name_few, name_metadata
from replications.ddsm_inceptionv4.shown import Shown
from replications.ddsm_inceptionv4.sources import phantoms

PACKAGE = Path(__file__).parent
SELECTION = {
    "paper": "the epoch of the highest AUC on validation images, which are drawn at random",
    "leakfree": "the epoch of the highest AUC on validation patients; the test patients are scored once",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    module = f"replications.{PACKAGE.name}.run"
    return run_main(lambda: run_or_undo(run, cli.parse_options(argv, module, __doc__, list(PRESETS)), PACKAGE.name))


def run(options: cli.Options) -> int:
    """One run: prepare the data, train what is not trained yet, evaluate, report."""
    paper = load_paper(PACKAGE / "paper.toml")
    preset, source, config = find_or_make(PACKAGE, options, PRESETS, data.find_source, make_phantoms, ("own", data.NAMES["own"]))
    options = cli.keep_changes(options, PRESETS[preset])
    chosen = weights.choose_weights(options.weights, preset, config)
    identity = asdict(config) | {"seeds": [], "source": [source.kind, source.name], "weights": chosen}
    rows = experiments.list_rows(config)
    wanted, reasons = select_rows(rows, options, {})
    needed = {name for row in wanted for name in row.needs}
    models = plans.list_wanted(list_models(config), needed)
    placed = stages.prepare(options, source, config)
    opened = open_run(PACKAGE, options, preset, identity, synthetic=source.synthetic, datasets=placed)
    guard_results(opened, dict.fromkeys((row.name for row in wanted), options.seeds or config.seeds), sources=[source])
    planned_part = any(name_few("") in name for name in needed)
    networks = plans.list_networks(models, planned_part)
    files, missing = weights.provide_weights(weights.confirm_weights(chosen, networks, options), networks, opened.folder)
    print("splits: measuring what they leak", file=sys.stderr)
    films = placed[FILMS][1]
    folds_of = {protocol: (films, splits.split_dataset(films, protocol, config)) for protocol in options.protocols}
    described = describe_splits(source.name, films, folds_of)  # ends here if a leakfree split leaks

    asked = plans.list_places(config, options.protocols, options.seeds or config.seeds)
    known = plans.list_places(config, options.protocols, list_seeds(options, config.seeds))
    levels = [level for level in config.label_levels if name_metadata(level) in needed]
    planner = plans.Planner(config, films.sha256, described.splits, files)
    costs = [planner.plan_costs()] if {model.row for model in models} >= set(experiments.list_table_2(config)) else []
    planted = [planner.plan_planted(place, placed[WHOLE][1].sha256) for place in stages.choose_sampled(asked)[:1]]
    sources = networks if chosen == weights.PHANTOM else []
    drawn = stages.choose_sampled(asked) if planned_part and plans.choose_judge(missing) else []
    first = [*costs, *stages.list_samplers(planner, drawn), *planted, *stages.plan_rows(planner, models, levels, asked, missing)]
    if not announce(opened, efforts.list_works(first, sources, drawn, folds_of, config), missing):
        return 0
    log_command(opened)
    if sources:
        files, missing = stages.train_sources(opened, networks, config)
        planner = plans.Planner(config, films.sha256, described.splits, files)
    trained = [stages.plan_rows(planner, models, levels, places, missing) for places in (asked, known)]
    judge = plans.choose_judge(missing)
    made = stages.plan_samplers(planner, stages.choose_sampled(asked) if planned_part and judge else [])
    sampled = [cell for of in made.values() for cell in of.values()]
    failed = dict(train(opened, [*costs, *sampled, *planted, *trained[0]]))
    judged = stages.plan_judgements(opened, planner, made, failed, judge or "")
    kept = stages.plan_networks(opened, planner, stages.list_results(opened, trained[1], known), experiments.list_kept(config))
    failed |= train(opened, [*judged, *kept.values()], "networks, judgement of samples")
    planned = [*trained[1], *sampled, *judged]
    finished = stages.list_results(opened, planned, known)
    if not finished:
        return 1
    labels = {level: splits.relabel(films.cases, level) for level in ("image", *config.label_levels)}
    sides = {
        (protocol, level): (cases, splits.keep_known(folds, cases))
        for protocol, (_, folds) in folds_of.items()
        for level, cases in labels.items()
    }
    predictions = products.collect_predictions(finished, opened.folder, lambda s: sides[s["protocol"], s["level"]])
    predictions = experiments.average_views(predictions, config, films.cases)
    predictions = predictions[predictions["row"].isin([row.name for row in wanted])].reset_index(drop=True)
    write_predictions(predictions, opened.folder / "predictions.csv.gz")
    history = products.collect_history(finished, opened.folder)

    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    started = chosen if preset == "paper" else ""
    departures = {row.name: experiments.list_departures(row, config, published, started) for row in rows}
    found = evaluate(predictions)
    overfitted = gaps.collect_gaps(finished, opened.folder)
    spent = measures.read_costs(costs[0], opened.folder) if costs and costs[0].key not in failed else {}
    outcome = judge_run(
        paper,
        rows,
        predictions,
        protocols=options.protocols,
        compared=experiments.list_compared(config),
        checks=claims.build_checks(config, predictions, found, overfitted, measures.name_costs(spent, config)),
        counts=experiments.count_text(films.cases) if "paper" in folds_of else {},
        reasons=reasons | plans.explain_failures(wanted, models, missing, failed, planned),
        departures=lambda row: departures.get(row, []),
        standing=lambda _row: name_standing(described, preset),
        impossible=find_impossible_claims(paper),
        positive_class=paper.positive_class,
    )
    six, within = measures.measure_six(predictions, found), measures.tabulate_digitisers(predictions, found, films.cases)
    scanned = shortcuts.read_planted([opened.folder / "cells" / cell.key for cell in planted if cell.key not in failed])
    sets = sample_measures.read_samples([cell for cell in finished if cell.settings["row"] == JUDGEMENT], opened.folder)
    networks_of = stages.list_networks(opened, kept, failed)
    of_women, unmarked = measures.pick_women(predictions, config), read_unmarked(source.path)
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
        finding=summarise_unmarked(of_women, unmarked)
        or measures.summarise_leak(found, experiments.list_summed_up(config), described.name),
        tables=[
            *measures.tabulate_all(six, within, overfitted, spent, finished, opened.folder, config, scanned, sets, judge or ""),
            *tabulate_unmarked(of_women, unmarked),
        ],
    )
    seen = stages.map_attention(opened, planner, networks_of, finished, films, folds_of)
    samplers = stages.find_samplers(finished)
    chosen_fold = next(iter(reversed(folds_of.values())))[1][0]  # leak-free where it was run, as the samplers are
    shown = Shown(
        config,
        predictions,
        history,
        six,
        scanned,
        sets,
        films,
        placed[WHOLE][1],
        opened.folder,
        samplers,
        seen,
        chosen_fold.test.tolist(),
    )
    return close_run(opened, paper, results, lambda record: figures.draw_figures(shown, record), failed)


def make_phantoms(folder: Path, config: Config) -> None:
    phantoms.write_phantoms(folder, config, seed=config.split_seed, unmarked=phantoms.UNMARKED)


if __name__ == "__main__":
    sys.exit(main())
