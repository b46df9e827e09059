"""A run around its trainings: opened in its folder, its trainings spread over workers, its results put together and written."""

import datetime
import hashlib
import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.cli import Options, count_cores
from common.errors import UsageError
from common.evaluation.outcome import Outcome
from common.figures.style import Picture, save_figure
from common.files import to_plain, write_json_atomic, write_text_atomic
from common.records.paper import Paper
from common.records.provenance import git_state, list_packages
from common.records.results import SCHEMA, Command, DatasetEntry, Extra, FigureEntry, OwnTable, Results, Weights, write_results
from common.report.pages import format_screen_table, write_report
from common.runs import cells, workers
from common.runs.products import describe_trainings
from common.runs.publish import publish

COMMANDS = "commands.json"


@dataclass(frozen=True)
class Run:
    """An opened run: what was asked for, where it is kept, when it began."""

    package: Path  # folder of the paper's package
    options: Options
    preset: str
    folder: Path
    started: datetime.datetime
    clock: float  # time.monotonic() of the start

    @property
    def name(self) -> str:
        return self.package.name

    @property
    def module(self) -> str:
        return f"replications.{self.name}.run"

    @property
    def protocol(self) -> str:
        """paper, leakfree or both."""
        return "both" if len(self.options.protocols) == 2 else self.options.protocols[0]


def config_hash(config: Mapping[str, Any]) -> str:
    """12 hex digits that change when any setting changes; independent of the order of the keys."""
    text = json.dumps(to_plain(config, digits=17), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def refuse_missing_data(package: Path, options: Options) -> None:
    """Raise UsageError where data were asked for (--data, --preset paper): this is called where none were found."""
    if options.preset == "paper" or options.data:
        where = options.data or "$REPLICATIONS_DATA or data/"
        tell = f"`python -m replications.{package.name}.data` says what to get, and where"
        raise UsageError(f"{where}: no data of this paper; {tell}")


def open_run(package: Path, options: Options, preset: str, identity: Mapping[str, Any], *, synthetic: bool) -> Run:
    """Make the run's folder, `<out>/<paper>/<preset>-<protocol>-<hash>`, and say on the screen what will be run where.

    identity: all that changes the numbers (settings, data, weights), so that the same command finds its unfinished run again
    and a different one never mixes with it.
    """
    run = Run(package, options, preset, Path(), datetime.datetime.now(datetime.UTC), time.monotonic())
    folder = options.out / run.name / f"{preset}-{run.protocol}-{config_hash(identity)}"
    folder.mkdir(parents=True, exist_ok=True)
    if synthetic:
        print("synthetic data: these numbers say nothing about the paper", file=sys.stderr)
    print(f"run folder: {folder}", file=sys.stderr)
    return Run(package, options, preset, folder, run.started, run.clock)


def log_command(run: Run) -> None:
    """Append this command to commands.json of the run: a run may take several."""
    path = run.folder / COMMANDS
    known = json.loads(path.read_text()) if path.exists() else []
    git = git_state(run.package)
    started = run.started.isoformat(timespec="seconds")
    entry = Command(command=describe_command(run.module), started=started, commit=git.commit, dirty=git.dirty)
    write_json_atomic(path, [*known, entry.model_dump()])


def describe_command(module: str) -> str:
    """The command as typed, absolute paths cut to their last part: results are published."""
    words = [f"/path/to/{Path(word).name}" if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *words])


def train(run: Run, planned: list[cells.Cell], title: str = "") -> dict[str, str]:
    """Run every cell that is not done, over the workers that were asked for; {key: reason} of those that failed."""
    options = run.options
    threads = options.threads or (1 if options.cluster else workers.share_threads(options.workers, count_cores()))
    return workers.run_cells(
        planned,
        run.folder,
        workers=options.workers,
        threads=threads,
        cluster=options.cluster,
        title=title or run.name,
    )


def build_results(
    run: Run,
    outcome: Outcome,
    *,
    datasets: Sequence[DatasetEntry],
    weights: Weights,
    config: Mapping[str, Any],
    selection: Mapping[str, str],
    finished: Sequence[cells.Cell],
    tables: Sequence[OwnTable] = (),
) -> Results:
    """The record of a run, but for its figures. selection: protocol -> rule by which the scored model was chosen."""
    seconds, environment, trainings = describe_trainings(finished, run.folder)
    commands = json.loads((run.folder / COMMANDS).read_text())
    overrides = run.options.overrides
    return Results(
        version=SCHEMA,
        paper=run.name,
        preset=run.preset,
        protocol=run.protocol,
        overrides=overrides,
        on_protocol=not overrides and run.preset == "paper",
        command=describe_command(run.module),
        git=git_state(run.package),
        started=run.started.isoformat(timespec="seconds"),
        seconds=seconds,
        environment=environment,
        datasets=list(datasets),
        weights=weights,
        config=dict(config),
        selection={protocol: selection[protocol] for protocol in run.options.protocols},
        seeds=sorted({cell.settings["seed"] for cell in finished}),
        rows=outcome.rows,
        claims=outcome.claims,
        extra=Extra(
            comparisons=outcome.comparisons,
            statements=outcome.statements,
            not_run=outcome.not_run,
            collapsed=outcome.collapsed,
            figures=[],
            commands=[Command.model_validate(command) for command in commands],
            cells=trainings,
            tables=list(tables),
        ),
    )


def close_run(
    run: Run, paper: Paper, results: Results, draw: Callable[[Results], Iterable[Picture]], failed: Mapping[str, str]
) -> int:
    """Figures, results.json, environment.txt, table.md and report.html; the finding on the screen; --publish. The exit code.

    draw: gives the figures, one by one, to the results. failed: of `train`.
    """
    figures = run.folder / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir()
    drawn = []
    for picture in draw(results):
        save_figure(picture.figure, figures / picture.file, results.synthetic)
        about = {"file": picture.file, "title": picture.title, "caption": picture.caption.strip()}
        drawn.append(FigureEntry(**about, shows_cases=picture.shows_cases))
    results = results.model_copy(update={"extra": results.extra.model_copy(update={"figures": drawn})})
    write_results(run.folder / "results.json", results)
    write_text_atomic(run.folder / "environment.txt", list_packages())
    write_report(run.folder, paper)
    print(format_screen_table(results, paper))
    seconds = time.monotonic() - run.clock
    print(f"\ntable, figures, predictions: {run.folder}\nreport: {run.folder / 'report.html'}   ({seconds:.0f} s)")
    if run.options.publish:
        target = Path("results") / run.name
        publish(run.folder, target)
        print(f"published in {target}")
    return 1 if failed else 0
