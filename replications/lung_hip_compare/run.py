"""The replication, top to bottom: data -> trainings (cells) -> predictions -> tables, figures, report.

`python -m replications.lung_hip_compare.run` reproduces Tables 1 and 2 and Figures 2, 3 and 6; see --help.
"""

import datetime
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from common import cells, cli, evaluation, results, runs
from common.audit import find_impossible_claims
from common.datasets import find_data
from common.errors import UsageError, run_main
from common.files import hash_file, slug
from common.paper import Paper, load_paper
from common.predictions import write_predictions
from common.prepared import Dataset, describe_splits, load_dataset
from common.report import format_screen_table
from common.verdicts import judge_claims, mark_departures
from replications.lung_hip_compare import data, drawings, experiments
from replications.lung_hip_compare.config import (
    DATASETS,
    IMAGENET_ADDRESS,
    IMAGENET_FILE,
    IMAGENET_MD5,
    NOT_IN_PAPER,
    PRESETS,
    Config,
)

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name
MODULE = f"replications.{NAME}.run"
SELECTION = {
    "paper": "last epoch; no validation set, as in the paper",
    "leakfree": "epoch with the lowest cross-entropy on validation patients; the test set is scored once",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    return run_main(lambda: run(cli.parse_options(argv, MODULE, __doc__, list(PRESETS))))


def run(options: cli.Options) -> int:
    """One run: prepare the data, train what is not trained yet, evaluate, report."""
    started, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
    paper = load_paper(PACKAGE / "paper.toml")
    preset, sources = choose_sources(options)
    config = cli.apply_overrides(PRESETS[preset], options.overrides)
    protocol = "both" if len(options.protocols) == 2 else options.protocols[0]
    identity = asdict(config) | {"seeds": [], "sources": {part: s and [s.kind, s.name] for part, s in sources.items()}}
    folder = results.run_folder(options.out, NAME, preset, protocol, identity)
    folder.mkdir(parents=True, exist_ok=True)
    if any(s and s.synthetic for s in sources.values()):
        print("synthetic data: these numbers say nothing about the paper", file=sys.stderr)
    print(f"run folder: {folder}", file=sys.stderr)

    weights = link_weights(options.weights, folder)
    rows, not_run = choose_rows(options, config, sources, weights, paper)
    datasets = prepare_datasets(sources, config, folder, options.skip_unreadable)
    print("splits: measuring what they leak", file=sys.stderr)
    described, counts = describe_datasets(datasets, config, options.protocols)  # ends here if a leakfree split leaks
    runs.log_command(folder, MODULE, PACKAGE, started)
    planned = plan(rows, config, options.protocols, options.seeds or config.seeds, datasets)
    workers = options.workers
    threads = options.threads or (1 if options.cluster else cells.share_threads(workers, cli.count_cores()))
    failed = cells.run_cells(planned, folder, workers=workers, threads=threads, cluster=options.cluster, title=NAME)

    seeds = tuple(sorted({*config.seeds, *(options.seeds or ())}))
    everything = plan(experiments.list_rows(config, weights), config, options.protocols, seeds, datasets)
    finished = [cell for cell in everything if cells.is_done(cell, folder / "cells")]
    if not finished:
        return 1
    predictions, history = runs.collect_predictions(finished, folder), runs.collect_history(finished, folder)
    write_predictions(predictions, folder / "predictions.csv.gz")
    published = PRESETS["paper"] if preset == "paper" else config  # other presets are off protocol as a whole, and say so
    reasons = not_run | explain_failures(failed, planned)
    content = evaluate(paper, config, published, predictions, counts, reasons, options.protocols)
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
        datasets=described,
        weights=weights,
        config=asdict(config),
        selection={protocol: SELECTION[protocol] for protocol in options.protocols},
        seeds=sorted({cell.settings["seed"] for cell in finished}),
        **trained,
        **content,
    )
    runs.write_run(
        folder, paper, outcome, lambda to: drawings.draw_figures(to, paper, config, datasets, predictions, history, outcome)
    )
    print(format_screen_table(outcome, paper))
    print(f"\ntable, figures, predictions: {folder}\nreport: {folder / 'report.html'}   ({time.monotonic() - clock:.0f} s)")
    if options.publish:
        results.publish(folder, Path("results") / NAME)
        print(f"published in {Path('results') / NAME}")
    return 1 if failed else 0


def choose_sources(options: cli.Options) -> tuple[str, dict[str, data.Source | None]]:
    """Preset and sources: the data folder if there is one, else phantoms; smoke always takes phantoms."""
    found = find_data(NAME, options.data)
    sources = data.find_sources(found) if found and options.preset != "smoke" else {}
    if any(sources.values()):
        return options.preset or "paper", sources
    if options.preset == "paper" or options.data:
        where = options.data or "$REPLICATIONS_DATA or data/"
        raise UsageError(f"{where}: no data of this paper; `python -m replications.{NAME}.data` says what to get, and where")
    preset = options.preset or "demo"
    config = cli.apply_overrides(PRESETS[preset], options.overrides)
    made = {name: value for name, value in asdict(config).items() if name.startswith(("luna_", "hip_"))}
    phantoms = options.out / NAME / f"phantoms-{results.config_hash(made)}"
    data.write_phantoms(phantoms, config, seed=config.split_seed)
    return preset, data.find_sources(phantoms)


def prepare_datasets(sources, config: Config, folder: Path, skip_unreadable: bool) -> dict[str, Dataset]:
    """Every data set of Table 1 whose source is there, read once and kept as arrays in the run folder."""
    datasets = {}
    for name in DATASETS:
        source = sources[data.part_of(name)]
        if data.explain_unavailable(name, source) is None:
            place = folder / "data" / slug(name)
            data.prepare_dataset(name, source, config, place, skip_unreadable=skip_unreadable)
            datasets[name] = load_dataset(place)
    return datasets


def link_weights(given: str | None, folder: Path) -> dict[str, str | None]:
    """Initial weights of the ImageNet row: {source, sha256}. The file of a user's folder is linked into the run folder."""
    if given in (None, "random", "imagenet"):
        return {"source": given or "random", "sha256": None}
    path = Path(given) / IMAGENET_FILE
    if not path.is_file():
        raise UsageError(f"{path}: no such file; get it from {IMAGENET_ADDRESS} (MD5 {IMAGENET_MD5}) or leave --weights out")
    (folder / "weights").mkdir(exist_ok=True)
    link = folder / "weights" / IMAGENET_FILE
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())
    return {"source": f"weights/{IMAGENET_FILE}", "sha256": hash_file(path)}


def choose_rows(
    options: cli.Options, config: Config, sources, weights: dict, paper: Paper
) -> tuple[list[experiments.Row], dict[str, str]]:
    """Rows to run, and for each other row why it is not."""
    for table in options.tables or ():
        if table not in experiments.TABLES:
            raise UsageError(f"--tables {table}: no such table; known: {', '.join(experiments.TABLES)}")
    wanted, not_run = [], {}
    for row in experiments.list_rows(config, weights):
        if reason := data.explain_unavailable(row.dataset, sources[data.part_of(row.dataset)]):
            not_run[row.name] = reason
        elif options.tables and row.table not in options.tables:
            not_run[row.name] = f"table {row.table} was not asked for (--tables)"
        elif options.rows and not any(text in row.name for text in options.rows):
            not_run[row.name] = "not asked for (--rows)"
        elif (row.dataset, row.network) in NOT_IN_PAPER and row.name not in (options.rows or ()):
            not_run[row.name] = f'the paper prints "-"; --rows "{row.name}" runs it (98 million weights at 256x256)'
        elif row.weights == "random" and row.table == "weights":
            not_run[row.name] = "no ImageNet weights asked for: --weights imagenet or a folder of weight files"
        elif row.table == "weights" and (config.resnet_width, config.resnet_blocks) != (64, (3, 4, 6, 3)):
            not_run[row.name] = "ImageNet weights fit only the full ResNet-50 (preset paper)"
        else:
            wanted.append(row)
    if not wanted:
        raise UsageError("no row is left: check --tables and --rows against the rows of paper.toml")
    for claim in paper.claims:
        if claim.table == "1" and (reason := data.explain_unavailable(claim.row, sources[data.part_of(claim.row)])):
            not_run[claim.row] = reason
    return wanted, not_run


def plan(rows, config: Config, protocols, seeds, datasets: dict[str, Dataset]) -> list[cells.Cell]:
    """All trainings behind the rows; neighbours share a network and an input size, so graphs are traced once."""
    return [
        cell
        for row in rows
        if row.dataset in datasets
        for protocol in protocols
        for cell in experiments.plan_cells(
            row, config, protocol, seeds, f"data/{slug(row.dataset)}", datasets[row.dataset].info["images_sha256"]
        )
    ]


def evaluate(
    paper: Paper, config: Config, published: Config, predictions, counts, not_run: dict[str, str], protocols
) -> dict:
    """Everything of results.json that follows from the predictions: rows, claims, comparisons, statements.

    Rows trained with other settings than `published` are shown, but neither judged nor compared.
    """
    table_of = {row.name: row.table for row in experiments.list_rows(config)}
    rows = [{"table": table_of[r["row"]], **r} for r in evaluation.evaluate(predictions)]
    done = {r["row"] for r in rows}
    reasons = {row: reason for row, reason in not_run.items() if row not in done}
    claims = judge_claims(
        paper.claims,
        rows,
        reasons | {row: "the paper's protocol was not asked for" for row in done if "paper" not in protocols},
        extra=counts,
        impossible=find_impossible_claims(paper),
    )
    comparable = [r for r in rows if not experiments.list_departures(r["row"], config, published)]
    comparisons = []
    for protocol in protocols:
        for name in DATASETS:
            table_2 = [r["row"] for r in comparable if r["protocol"] == protocol and r["table"] == "2"]
            compared = [row for row in table_2 if row.startswith(f"{name} / ")]
            if len(compared) > 1:
                comparisons += evaluation.compare_rows(predictions, protocol, compared)
    collapsed = [
        {"row": r["row"], "protocol": r["protocol"], "seeds": seeds}
        for r in rows
        if (seeds := evaluation.collapsed(predictions, r["row"], r["protocol"]))
    ]
    return {
        "rows": rows,
        "claims": mark_departures(claims, lambda row: experiments.list_departures(row, config, published)),
        "extra": {
            "comparisons": comparisons,
            "statements": experiments.check_statements(paper.statements, comparable),
            "not_run": [{"table": table_of.get(row, "1"), "row": row, "reason": why} for row, why in sorted(reasons.items())],
            "collapsed": collapsed,
        },
    }


def describe_datasets(datasets, config: Config, protocols) -> tuple[list[dict], dict[tuple[str, str, str], int]]:
    """Each data set with its split under each protocol and what that leaks; and the counts of Table 1."""
    described, counts = [], {}
    for name, dataset in datasets.items():
        folds_of = {}
        for protocol in protocols:
            pool = dataset
            if protocol == "paper" and data.is_hip(name):
                pool = data.enlarge_dataset(dataset, name, config)
            folds_of[protocol] = pool, data.split_dataset(pool, name, protocol, config)
        if "paper" in folds_of:
            counts |= {("1", name, metric): n for metric, n in experiments.count_table_1(*folds_of["paper"]).items()}
        described.append(describe_splits(dataset, folds_of) | {"dataset": name})
    return described, counts


def explain_failures(failed: dict[str, str], planned: list[cells.Cell]) -> dict[str, str]:
    """Row -> reason, for rows of which a training failed."""
    return {cell.settings["row"]: f"failed: {failed[cell.key]}" for cell in planned if cell.key in failed}


if __name__ == "__main__":
    sys.exit(main())
