"""The replication, top to bottom: data -> GANs in two stages -> their pictures judged -> classifiers -> tables, figures, report.

`python -m replications.bone_acgan.run` reproduces Tables 1 to 8 and Figures 8 to 14; see --help.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from common import cli
from common.audit.papers import find_impossible_claims
from common.cases.folds import describe_splits
from common.data.unmarked import read_unmarked
from common.errors import run_main
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
from replications.bone_acgan import (
    data,
    efforts,
    experiments,
    figures,
    gan_claims,
    implied,
    lesions,
    measures,
    plans,
    stages,
    weights,
)
from replications.bone_acgan.config import PRESETS, Config
from replications.bone_acgan.rows import SCANS, list_branches
from replications.bone_acgan.shown import Shown
from replications.bone_acgan.sources import phantoms

PACKAGE = Path(__file__).parent
SELECTION = {
    "paper": "the last epoch of every training, as there is no validation set",
    "leakfree": "the epoch of the lowest cross-entropy on validation patients; the test patients are scored once",
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
    classifiers = [one for one in plans.list_classifiers() if one.row in needed]
    fed = {one.gan for one in classifiers}
    gans = [one for one in plans.list_gans() if one.row in needed or (one.transfer and one.gan in fed)]
    placed = stages.prepare(options, source, config, gans)
    opened = open_run(PACKAGE, options, preset, identity, synthetic=source.synthetic, datasets=placed)
    guard_results(opened, dict.fromkeys((row.name for row in wanted), options.seeds or config.seeds), sources=[source])
    branches = dict.fromkeys(branch for one in classifiers if one.transfer for branch in list_branches(one.network))
    usable = weights.confirm_weights(chosen, list(branches), options)
    files, missing = weights.provide_weights(usable, list(branches), opened.folder)
    features = weights.provide_features(usable, opened.folder)
    print("splits: measuring what they leak", file=sys.stderr)
    scans = placed[SCANS][1]
    folds_of = {protocol: (scans, data.split_dataset(scans, protocol, config)) for protocol in options.protocols}
    described = describe_splits(source.name, scans, folds_of)  # ends here if a leakfree split leaks
    asked = plans.list_places(config, options.protocols, options.seeds or config.seeds)
    known = plans.list_places(config, options.protocols, list_seeds(options, config.seeds))
    ready = [one for one in classifiers if not (one.transfer and any(name in missing for name in list_branches(one.network)))]
    works = efforts.list_works(gans, ready, asked, config, placed, folds_of, described.splits)
    if not announce(opened, works, missing):
        return 0
    log_command(opened)

    trained = stages.train_gans(opened, gans, asked, known, config, placed, described.splits)
    judged, unjudged = stages.judge(opened, trained, features)
    about = (config, placed, described.splits, files, missing, trained)
    planned = [stages.plan_classifiers(opened, classifiers, places, *about) for places in (asked, known)]
    failed = {**trained.failed, **unjudged, **train(opened, planned[0])}
    everything = [*judged, *planned[1]]
    finished = stages.keep_whole(products.list_finished(everything, opened.folder), known)
    if not finished:
        return 1
    splits = {protocol: (pool.cases, folds) for protocol, (pool, folds) in folds_of.items()}
    predictions = products.collect_predictions(finished, opened.folder, lambda s: splits[s["protocol"]])
    predictions = experiments.average_patients(predictions)
    predictions = predictions[predictions["row"].isin([row.name for row in wanted])].reset_index(drop=True)
    write_predictions(predictions, opened.folder / "predictions.csv.gz")
    history = products.collect_history([*trained.list_done(), *finished], opened.folder)
    found = measures.read_measures(judged, opened.folder)

    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    started = chosen if preset == "paper" else ""
    departures = {row.name: experiments.list_departures(row, config, published, started) for row in rows}
    counts = experiments.count_tables(scans.cases, folds_of["paper"][1], config) if "paper" in folds_of else {}
    cells = [*trained.first.values(), *trained.cells.values(), *everything]
    outcome = judge_run(
        paper,
        rows,
        predictions,
        protocols=options.protocols,
        compared=[experiments.COMPARED],
        checks=experiments.build_checks(predictions) | gan_claims.build_gan_checks(found, history),
        counts=counts | experiments.list_ssim(found),
        reasons=reasons | plans.explain_failures(wanted, missing, failed, cells, stages.explain_chests(placed)),
        departures=lambda row: departures.get(row, []),
        standing=lambda _row: name_standing(described, preset),
        impossible=find_impossible_claims(paper),
        apart=experiments.APART,
        # Of own data the heads of the columns are ours.
        exchanged={} if source.own else {c.printed_key: implied.name_metric(c) for c in paper.claims if c.table == "4"},
    )
    folds = {protocol: of for protocol, (_, of) in folds_of.items()}
    cases = stages.choose_cases(scans, folds)
    attention = stages.keep_networks(opened, finished, cases)
    unmarked = read_unmarked(source.path)
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
        finding=summarise_unmarked(predictions, unmarked),
        tables=[
            *tabulate_unmarked(predictions, unmarked),
            measures.tabulate_gain(outcome.comparisons),
            implied.tabulate_recall(paper, predictions),
            measures.tabulate_quality(found),
            measures.tabulate_gans(trained, opened.folder, config.least_diversity),
            *lesions.tabulate_shares(
                attention, cases[0], lesions.fit_lesions(source, scans, cases[0], config), np.asarray(scans.images)[..., 0]
            ),
        ],
    )
    shown = Shown(paper, config, predictions, history, scans, found, trained, opened.folder, cases, attention)
    return close_run(opened, paper, results, lambda record: figures.draw_figures(shown, record), failed)


def make_phantoms(folder: Path, config: Config) -> None:
    phantoms.write_phantoms(folder, config, seed=config.split_seed, unmarked=phantoms.UNMARKED)


if __name__ == "__main__":
    sys.exit(main())
