"""The replication, top to bottom: data -> trainings (cells) -> what is chosen -> predictions -> tables, figures, report.

`python -m replications.thyroid_ensemble.run` reproduces Tables 1 to 7 and Figures 3, 4, 8, 9, 10 and 11; see --help.
"""

import datetime
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from common import cells, cli, evaluation, results, runs
from common.audit import find_impossible_claims
from common.datasets import find_data
from common.errors import UsageError, run_main
from common.files import write_json_atomic
from common.paper import Paper, load_paper
from common.predictions import write_predictions
from common.prepared import Dataset, describe_splits, load_dataset
from common.report import format_screen_table
from common.verdicts import judge_claims, mark_departures
from replications.thyroid_ensemble import data, drawings, experiments, rows, selection, weights
from replications.thyroid_ensemble.config import CLASSES, PRESETS, Config

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name
MODULE = f"replications.{NAME}.run"
SELECTION = {
    "paper": "k, networks, weights and, by early stopping, epochs: on the test images, as in the paper",
    "leakfree": "k, networks, weights, epochs: on validation patients of an inner cross-validation; the test set is scored once",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    return run_main(lambda: run(cli.parse_options(argv, MODULE, __doc__, list(PRESETS))))


def run(options: cli.Options) -> int:
    """One run: prepare the data, train what is not trained yet, choose, evaluate, report."""
    started, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
    paper = load_paper(PACKAGE / "paper.toml")
    preset, source, config = choose_source(options)
    chosen_weights = weights.choose_weights(options.weights, preset, config)
    protocol = "both" if len(options.protocols) == 2 else options.protocols[0]
    identity = asdict(config) | {"seeds": [], "source": [source.kind, source.name], "weights": chosen_weights}
    folder = results.run_folder(options.out, NAME, preset, protocol, identity)
    folder.mkdir(parents=True, exist_ok=True)
    if source.synthetic:
        print("synthetic data: these numbers say nothing about the paper", file=sys.stderr)
    print(f"run folder: {folder}", file=sys.stderr)

    wanted = choose_rows(options, config)
    needed = [t for t in experiments.list_trainings(config) if wanted_by(t, wanted)]
    networks = list(dict.fromkeys(t.network for t in needed if t.pretrained))
    files, missing = weights.provide_weights(chosen_weights, networks, config, folder)
    data.prepare_dataset(source, config, folder / "data", skip_unreadable=options.skip_unreadable)
    dataset = load_dataset(folder / "data")
    print("splits: measuring what they leak", file=sys.stderr)
    folds_of = {p: (dataset, data.split_dataset(dataset, p, config)) for p in options.protocols}
    described = describe_splits(dataset, folds_of) | {"dataset": source.name}  # ends here if a leakfree split leaks
    runs.log_command(folder, MODULE, PACKAGE, started)

    workers = options.workers
    threads = options.threads or (1 if options.cluster else cells.share_threads(workers, cli.count_cores()))
    spread = {"workers": workers, "threads": threads, "cluster": options.cluster}
    if chosen_weights == weights.PHANTOM:
        sources = [experiments.plan_source(network, config) for network in networks]
        if cells.run_cells(sources, folder, **spread, title="initial weights"):
            return 1
        files = {network: experiments.find_source(cell, folder) for network, cell in zip(networks, sources, strict=True)}
    ready = [t for t in needed if t.network not in missing]
    planned = plan(ready, config, options.protocols, options.seeds or config.seeds, dataset, files)
    failed = cells.run_cells(planned, folder, **spread, title=NAME)

    seeds = tuple(sorted({*config.seeds, *(options.seeds or ())}))
    everything = plan(experiments.list_trainings(config), config, options.protocols, seeds, dataset, files)
    finished = [cell for cell in everything if cells.is_done(cell, folder / "cells")]
    if not finished:
        return 1
    tests, validation, history = collect(finished, folder, config)
    predictions, choices, gains = derive(tests, validation, config)
    predictions = predictions[predictions["row"].isin(wanted)].reset_index(drop=True)
    write_predictions(predictions, folder / "predictions.csv.gz")
    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    reasons = explain_missing(config, wanted, missing, failed, planned)
    counts = experiments.count_table_1(*folds_of["paper"]) if "paper" in folds_of else {}
    departures = experiments.list_departures(config, published, chosen_weights)
    content = evaluate(paper, departures, predictions, choices, counts, reasons, options.protocols)
    content["extra"]["tables"] = [experiments.tabulate_choices(choices), experiments.tabulate_gains(gains)]
    trained = runs.describe_trainings(finished, folder)
    content["extra"]["cells"] = trained.pop("cells")
    outcome = results.build_results(
        paper=NAME,
        preset=preset,
        protocol=protocol,
        overrides=options.overrides,
        command=runs.describe_command(MODULE),
        git=results.git_state(PACKAGE),
        started=started.isoformat(timespec="seconds"),
        datasets=[described],
        weights={"source": describe_weights(chosen_weights)} | {f"{n} sha256": file["sha256"] for n, file in files.items()},
        config=asdict(config),
        selection={protocol: SELECTION[protocol] for protocol in options.protocols},
        seeds=sorted({cell.settings["seed"] for cell in finished}),
        **trained,
        **content,
    )
    shown = drawings.choose_shown_cases(dataset, folds_of)
    attention = use_networks(choices, finished, shown, folder, spread)
    drawn = drawings.Drawn(config, dataset, folds_of, predictions, history, outcome, shown, attention)
    runs.write_run(folder, paper, outcome, lambda to: drawings.draw_figures(to, drawn))
    print(format_screen_table(outcome, paper))
    print(f"\ntable, figures, predictions: {folder}\nreport: {folder / 'report.html'}   ({time.monotonic() - clock:.0f} s)")
    if options.publish:
        results.publish(folder, Path("results") / NAME)
        print(f"published in {Path('results') / NAME}")
    return 1 if failed else 0


def choose_source(options: cli.Options) -> tuple[str, data.Source, Config]:
    """Preset, source and settings: the data folder if there is one, else phantoms; smoke always takes phantoms."""
    folder = find_data(NAME, options.data)
    if folder and options.preset != "smoke":
        preset = options.preset or "paper"
        config = cli.apply_overrides(PRESETS[preset], options.overrides)
        if source := data.find_sources(folder, config):
            return preset, source, config
    if options.preset == "paper" or options.data:
        where = options.data or "$REPLICATIONS_DATA or data/"
        raise UsageError(f"{where}: no data of this paper; `python -m replications.{NAME}.data` says what to get, and where")
    preset = options.preset or "demo"
    config = cli.apply_overrides(PRESETS[preset], options.overrides)
    made = {name: value for name, value in asdict(config).items() if name.startswith(("phantom_", "split_seed"))}
    phantoms = options.out / NAME / f"phantoms-{results.config_hash(made)}"
    data.write_phantoms(phantoms, config, seed=config.split_seed)
    return preset, data.find_sources(phantoms, config), config


def choose_rows(options: cli.Options, config: Config) -> list[str]:
    """Rows that are asked for; UsageError for an unknown table or if none is left."""
    for table in options.tables or ():
        if table not in rows.TABLES:
            raise UsageError(f"--tables {table}: no such table; known: {', '.join(rows.TABLES)}")
    chosen = [
        row
        for row in rows.list_rows(config)
        if (not options.tables or set(rows.list_tables(row)) & set(options.tables))
        and (not options.rows or any(part in row for part in options.rows))
    ]
    if not chosen:
        raise UsageError("no row is left: check --tables and --rows against the rows of paper.toml")
    return chosen


def wanted_by(training: experiments.Training, wanted: Sequence[str]) -> bool:
    """Whether a wanted row follows from the training."""
    return any(experiments.name_training(training) in rows.list_needs(row) for row in wanted)


def plan(trainings, config: Config, protocols, seeds, dataset: Dataset, files: weights.Weights) -> list[cells.Cell]:
    """All cells of the trainings; neighbours share a network, so graphs are traced once."""
    return [
        cell
        for training in trainings
        for protocol in protocols
        for cell in experiments.plan_cells(training, config, protocol, seeds, dataset.info["images_sha256"], files)
    ]


def collect(
    finished: list[cells.Cell], folder: Path, config: Config
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame | None, pd.DataFrame]:
    """Test predictions by protocol (leakfree: the mean of the folds' networks), validation predictions, history."""
    tests = runs.collect_predictions(finished, folder)
    by_protocol = {protocol: part for protocol, part in tests.groupby("protocol")}
    validation = None
    if "leakfree" in by_protocol:
        by_protocol["leakfree"] = selection.pool_folds(by_protocol["leakfree"], config.inner_folds)
        validation = runs.collect_predictions(finished, folder, "validation.csv.gz")
    return by_protocol, validation, runs.collect_history(finished, folder)


def derive(tests: dict[str, pd.DataFrame], validation: pd.DataFrame | None, config: Config):
    """Predictions of all rows, what was chosen, what choosing on the test cases gains; of every protocol."""
    predictions, choices, gains = [], [], []
    for protocol, part in tests.items():
        judged = validation if protocol == "leakfree" else None
        table, chosen = selection.derive_rows(part, judged, config)
        predictions.append(table)
        choices += chosen
        gains += [{"protocol": protocol} | gain for gain in selection.measure_gains(part, judged, config)]
    return pd.concat(predictions, ignore_index=True), choices, gains


def explain_missing(config: Config, wanted, missing: dict[str, str], failed: dict[str, str], planned) -> dict[str, str]:
    """Row -> why it was not run."""
    broken = {
        f"{cell.settings['kind']} {cell.settings['network']} {cell.settings['scale']}": failed[cell.key]
        for cell in planned
        if cell.key in failed
    }
    broken |= {
        experiments.name_training(t): missing[t.network]
        for t in experiments.list_trainings(config)
        if t.pretrained and t.network in missing
    }
    reasons = {row: "not asked for (--tables, --rows)" for row in rows.list_rows(config) if row not in wanted}
    for row in wanted:
        if faults := sorted(broken[name] for name in rows.list_needs(row) if name in broken):
            reasons[row] = faults[0]
    return reasons | {"[10] as quoted": "quoted from another paper; not a result of this one"}


def evaluate(paper: Paper, departures, predictions, choices, counts, reasons: dict[str, str], protocols) -> dict:
    """Everything of results.json that follows from the predictions: rows, claims, comparisons, statements."""
    found = evaluation.evaluate(predictions)
    printed = {row["row"]: [claim.table for claim in paper.claims if claim.row == row["row"]] for row in found}
    tables_of = {row: dict.fromkeys([*rows.list_tables(row), *tables]) for row, tables in printed.items()}
    lines = [{"table": table, **row} for row in found for table in tables_of[row["row"]]]
    done = {row["row"] for row in found}
    reasons = {row: reason for row, reason in reasons.items() if row not in done}
    claims = judge_claims(
        paper.claims,
        found,
        reasons | {row: "the paper's protocol was not asked for" for row in done if "paper" not in protocols},
        positive_class=CLASSES[1],
        extra=counts,
        impossible=find_impossible_claims(paper),
    )
    comparisons = []
    for protocol in protocols:
        present = {row["row"] for row in found if row["protocol"] == protocol}
        compared = [row for row in experiments.COMPARED if row in present]
        if len(compared) > 1:
            comparisons += evaluation.compare_rows(predictions, protocol, compared)
    collapsed = [
        {"row": row["row"], "protocol": row["protocol"], "seeds": seeds}
        for row in found
        if (seeds := evaluation.collapsed(predictions, row["row"], row["protocol"]))
    ]
    table_of = {claim.row: claim.table for claim in reversed(paper.claims)}
    not_run = [
        {"table": table, "row": row, "reason": why}
        for row, why in sorted(reasons.items())
        for table in (rows.list_tables(row) or (table_of.get(row, ""),))
    ]
    return {
        "rows": lines,
        "claims": mark_departures(claims, lambda _row: departures),
        "extra": {
            "comparisons": comparisons,
            "statements": experiments.check_statements(paper.statements, found, choices),
            "not_run": not_run,
            "collapsed": collapsed,
        },
    }


def describe_weights(chosen: str) -> str:
    if chosen == weights.PHANTOM:
        return "phantom: trained on synthetic pictures, not ImageNet"
    return chosen if chosen in ("imagenet", "random") else "imagenet, files of the user"


def use_networks(
    choices: list[selection.Choice], finished: list[cells.Cell], shown: Sequence[int], folder: Path, spread: dict
) -> dict[str, np.ndarray]:
    """What needs the trained networks again: the stored ensembles for new images (ensembles.json), networks of the first
    seed and the weights of their fusion; and Grad-CAM of Fig. 4: network -> float32 (shown, side, side)."""
    stored = experiments.plan_members(choices, finished)
    attention = experiments.plan_attention(finished, shown)
    kept = [cell for members in stored.values() for cell in members["cells"]]
    failed = cells.run_cells([*kept, *attention.values()], folder, **spread, title="networks")
    described = {
        protocol: members | {"cells": [cell.key for cell in members["cells"]]}
        for protocol, members in stored.items()
        if not any(cell.key in failed for cell in members["cells"])
    }
    if described:
        write_json_atomic(folder / "ensembles.json", described)
    done = {network: cell for network, cell in attention.items() if cell.key not in failed}
    return {n: np.load(folder / "cells" / cell.key / "cams.npy", allow_pickle=False) for n, cell in done.items()}


if __name__ == "__main__":
    sys.exit(main())
