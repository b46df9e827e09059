"""A run around its trainings: opened in its folder, its trainings spread over workers, its results put together and written."""

import contextlib
import datetime
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from common.cases.prepared import Dataset, link_dataset, load_dataset
from common.cases.sources import Source, answer_questions, refuse_cases, take_own
from common.cli import ConfigT, Options, apply_overrides, count_cores
from common.data.folder import find_data
from common.errors import UsageError
from common.evaluation.outcome import Outcome
from common.figures.style import Picture, save_figure
from common.files import hash_file, hide_places, hold_lock, map_texts, replace_folder, to_plain, write_text_atomic
from common.records.paper import Paper
from common.records.provenance import describe_command, git_state, list_packages, read_commands, write_commands
from common.records.results import (
    SCHEMA,
    Command,
    DatasetEntry,
    Extra,
    FigureEntry,
    OwnTable,
    Results,
    RowResult,
    Weights,
    parse_results,
    to_json,
    write_results,
)
from common.report.lines import is_own
from common.report.pages import write_report
from common.report.screen import choose_look, format_screen_table
from common.runs import cells, workers
from common.runs.products import PREDICTIONS, describe_trainings
from common.runs.publish import locate_results, publish

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
    fresh: bool = False  # its folder was not there before
    # Held until `close_run`: two commands in one folder would mix their results.
    lock: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

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
    """12 hexadecimal digits that depend on every setting, to the last bit, and not on the order of the keys.

    config: anything that JSON takes. Raises ValueError for NaN and infinity.
    """
    text = json.dumps(to_plain(config, digits=17), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def refuse_missing_data(package: Path, options: Options) -> None:
    """Called where no data were found: raises UsageError if the user wanted some (--data, --preset paper)."""
    if options.preset == "paper" or options.data:
        where = options.data or "$REPLICATIONS_DATA or data/"
        tell = f"`python -m replications.{package.name}.data` says what to get, and where"
        costs = f"; what runs have cost, as measured: replications/{package.name}/README.md" * options.dry_run
        raise UsageError(f"{where}: no data of this paper; {tell}{costs}")


def locate_phantoms(package: Path, options: Options, made: Mapping[str, Any]) -> Path:
    """Folder below --out for the phantoms that the settings `made` give; other settings have another folder."""
    return options.out / package.name / f"phantoms-{config_hash(made)}"


def find_or_make(
    package: Path,
    options: Options,
    presets: Mapping[str, ConfigT],
    find: Callable[[Path, ConfigT], Source | None],
    make: Callable[[Path, ConfigT], None],
    own: tuple[str, str] | None = None,
) -> tuple[str, Source, ConfigT]:
    """Preset, source and settings of a run: what `find` sees in the data folder, else phantoms that `make` writes; smoke always
    takes phantoms.

    presets: name -> settings, with paper, demo and smoke. own: kind and name of the source of --cases, which every preset takes;
    None where single pictures are no cases. Phantoms follow from the settings phantom_* and split_seed. Raises
    UsageError as `refuse_missing_data` does.
    """
    if own is None:
        refuse_cases(options, f"replications.{package.name}.data", "cases are no single pictures here")
    elif source := take_own(options, *own):
        preset = options.preset or "paper"
        return preset, source, apply_overrides(presets[preset], options.overrides)
    folder = find_data(package.name, options.data)
    if folder and options.preset != "smoke":
        preset = options.preset or "paper"
        config = apply_overrides(presets[preset], options.overrides)
        if source := find(folder, config):
            return preset, answer_questions(source, options), config
    refuse_missing_data(package, options)
    preset = options.preset or "demo"
    config = apply_overrides(presets[preset], options.overrides)
    made = {name: value for name, value in asdict(config).items() if name.startswith(("phantom_", "split_seed"))}
    phantoms = locate_phantoms(package, options, made)
    make(phantoms, config)
    source = find(phantoms, config)
    assert source is not None  # the phantoms were just written
    return preset, source, config


def list_seeds(options: Options, seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds whose trainings are collected, in ascending order: those of the configuration and those of --seeds.

    A command with --seeds trains these alone, but its results take in what earlier commands of the run have trained.

    >>> from common.cli import parse_options
    >>> list_seeds(parse_options(["--seeds", "7,1"], "replications.paper.run", "", ["demo"]), seeds=(0, 1))
    (0, 1, 7)
    """
    return tuple(sorted({*seeds, *(options.seeds or ())}))


def prepare_shared(package: Path, options: Options, name: str, prepare: Callable[[Path], None]) -> tuple[Path, Dataset]:
    """Prepare a data set in `<out>/<paper>/prepared/<name>`, where the runs of this --out share it; (its folder, the data set).

    prepare: writes it into a folder, unless it stands there whole and up to date.
    """
    folder = options.out / package.name / "prepared" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.with_name(f"{name}.lock"), wait=True):
        prepare(folder)
        return folder, load_dataset(folder)


def open_run(
    package: Path,
    options: Options,
    preset: str,
    identity: Mapping[str, Any],
    *,
    synthetic: bool,
    datasets: Mapping[str, tuple[Path, Dataset]],
) -> Run:
    """Make the run's folder, `<out>/<paper>/<preset>-<protocol>-<hash>`, or open it again; print where it is.

    identity: all that changes the numbers (settings, weights), as JSON takes it. Its hash, with that of the data, is in the
    folder's name, so that the same command finds its unfinished run again, and another one never mixes with it. datasets: path
    in the run's folder -> what `prepare_shared` gave, which is put there. synthetic: print a warning that the numbers will say
    nothing about the paper. Raises UsageError if another command works in this folder.
    """
    lock = contextlib.ExitStack()
    run = Run(package, options, preset, Path(), datetime.datetime.now(datetime.UTC), time.monotonic(), lock=lock)
    identity = {**identity, "data": {place: dataset.sha256 for place, (_, dataset) in datasets.items()}}
    folder = options.out / run.name / f"{preset}-{run.protocol}-{config_hash(identity)}"
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock.enter_context(hold_lock(folder / ".run.lock", wait=False))
    for place, (prepared, dataset) in datasets.items():
        link_dataset(prepared, dataset, folder / place)
    if synthetic:
        print("synthetic data: these numbers say nothing about the paper", file=sys.stderr)
    print(f"run folder: {folder}", file=sys.stderr)
    return replace(run, folder=folder, fresh=fresh)


def log_command(run: Run) -> None:
    """Append this command to commands.json of the run, as several commands may have led to it."""
    path = run.folder / COMMANDS
    known = read_commands(path)
    git = git_state(run.package)
    started = run.started.isoformat(timespec="seconds")
    entry = Command(command=describe_command(run.module), started=started, commit=git.commit, dirty=git.dirty)
    write_commands(path, [*known, entry])


def train(run: Run, planned: list[cells.Cell], title: str = "") -> dict[str, str]:
    """Run every cell that is not done, over the workers that were asked for.

    title: beside the progress bar; the paper's name if empty. Returns {key of a cell: reason} for those that failed; the others
    are done all the same.
    """
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
    finding: str = "",
) -> Results:
    """The record of a run, figures still missing (`close_run` adds them).

    weights: the initial ones. config: all settings, as JSON takes them. selection: protocol -> the rule by which the model or
    epoch that is scored was chosen. finished: the trainings that the results rest on, at least one. tables: of the package's
    own, ready to print. finding: of the package's own, one sentence.
    """
    seconds, environment, trainings = describe_trainings(finished, run.folder)
    overrides = run.options.overrides
    results = Results(
        version=SCHEMA,
        paper=run.name,
        preset=run.preset,
        protocol=run.protocol,
        overrides=overrides,
        on_protocol=not overrides and follows_paper(run.preset, outcome.rows, datasets),
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
        predictions_sha256=hash_file(run.folder / PREDICTIONS),
        rows=outcome.rows,
        claims=outcome.claims,
        extra=Extra(
            comparisons=outcome.comparisons,
            statements=outcome.statements,
            not_run=outcome.not_run,
            collapsed=outcome.collapsed,
            figures=[],
            commands=read_commands(run.folder / COMMANDS),
            cells=trainings,
            tables=list(tables),
            finding=finding,
            hardly_trained=outcome.hardly_trained,
        ),
    )
    return _hide_places(run, results)


def _hide_places(run: Run, results: Results) -> Results:
    """The same without the folders of this machine in the reasons why something was not run, wherever they are told."""
    options = run.options
    given = [options.data, options.out, options.cases, options.weights and Path(options.weights), run.folder]
    places = [place for place in (*given, Path.cwd(), Path.home()) if place]
    reasons = {missing.reason: hide_places(missing.reason, places) for missing in results.extra.not_run}
    changed = {reason: hidden for reason, hidden in reasons.items() if hidden != reason}

    def hide(text: str) -> str:
        for reason, hidden in changed.items():
            text = text.replace(reason, hidden)
        return text

    return parse_results(map_texts(to_json(results), hide), str(run.folder)) if changed else results


def follows_paper(preset: str, rows: Iterable[RowResult], datasets: Iterable[DatasetEntry]) -> bool:
    """Whether a run has the paper's settings in every row, and its data: no phantoms, no substitute, no user's own.

    >>> counts = {"cases": 2, "patients": 2, "classes": {"a": 1, "b": 1}, "files_sha256": None, "unreadable": [], "splits": {}}
    >>> own = DatasetEntry(dataset="set", name="of the user", note="", synthetic=False, substitute=True, **counts)
    >>> follows_paper("paper", [], [own]), follows_paper("paper", [], [own.model_copy(update={"substitute": False})])
    (False, True)
    """
    other_data = any(dataset.synthetic or dataset.substitute for dataset in datasets)
    return preset == "paper" and not other_data and not any(row.departures for row in rows)


def close_run(
    run: Run, paper: Paper, results: Results, draw: Callable[[Results], Iterable[Picture]], failed: Mapping[str, str]
) -> int:
    """Write figures/, results.json, environment.txt, table.md and report.html; print the finding; with --publish, publish.

    draw: yields the figures for the results; each is saved before the next is drawn. failed: what `train` returned. Returns the
    exit code: 1 if a training failed, else 0. Raises UsageError where the run may not be published.
    """
    workers.stop_workers()
    drawn = []
    own = is_own(results)
    with replace_folder(run.folder / "figures") as figures:
        for picture in draw(results):
            if own and picture.of_paper:
                continue
            save_figure(picture.figure, figures / picture.file, results.synthetic)
            about = {"file": picture.file, "title": picture.title, "caption": picture.caption.strip()}
            drawn.append(FigureEntry(**about, shows_cases=picture.shows_cases))
    results = results.model_copy(update={"extra": results.extra.model_copy(update={"figures": drawn})})
    write_results(run.folder / "results.json", results)
    write_text_atomic(run.folder / "environment.txt", list_packages())
    write_report(run.folder, paper)
    print(format_screen_table(results, paper, choose_look(sys.stdout)))
    seconds = time.monotonic() - run.clock
    print(f"\ntable, figures, predictions: {run.folder}\nreport: {run.folder / 'report.html'}   ({seconds:.0f} s)")
    if run.options.publish:
        target = locate_results(run.name)
        publish(run.folder, target)
        print(f"published in {target}")
    run.lock.close()
    return 1 if failed else 0
