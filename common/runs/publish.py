"""An accepted run goes to results/: with the paper's settings, on real data, from committed code, whole, not less than before."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from common.errors import UsageError
from common.evaluation.verdicts import OFF_PROTOCOL
from common.files import hash_file, replace_folder
from common.records.predictions import read_predictions, write_predictions
from common.records.results import Command, Results, RowResult, check_predictions_file, find_figures, read_results, write_results
from common.report.wording import PROTOCOL_NAMES
from common.runs.cells import UNCLEAN, find_record
from common.runs.products import PREDICTIONS
from common.runs.redaction import find_private, hide_ids, read_key, reduce_entry

PUBLISHED_FILES = ("results.json", "predictions.csv.gz", "history.csv.gz", "environment.txt", "table.md")
PRESET = "paper"  # the only one that is published
OWN = "results/ is for the papers' data, and a user's own have patients; the report in the run folder is whole"
SHOWN = 3  # rows that a message names


def locate_results(name: str) -> Path:
    """Where the accepted run of a paper's package is kept, seen from the folder of the checkout."""
    return Path("results") / name


def publish(run: Path, results_folder: Path) -> None:
    """Replace `results_folder` by the accepted content of a run: PUBLISHED_FILES and figures/*.png.

    Figures that show pictures of a data set that may not be passed on (`private`) are left out. Ids of patients and cases that
    are none of a public collection's become pseudonyms, and no unreadable file is named (common.runs.redaction).

    Raises UsageError if the run is not of the preset paper, used synthetic or a user's own data, rests on uncommitted code, lacks
    one of the files, holds the predictions of another command, or has less than the accepted run (see `list_losses`).
    """
    run, results_folder = Path(run), Path(results_folder)
    results = read_results(run / "results.json")
    if results.synthetic:
        names = ", ".join(dataset.dataset for dataset in results.datasets if dataset.synthetic)
        raise UsageError(f"{run}: not published: synthetic data ({names}); run it on real data")
    if own := [dataset.name for dataset in results.datasets if dataset.further.get("own") is True]:
        raise UsageError(f"{run}: not published: {own[0]}; {OWN}")
    if results.preset != PRESET:
        raise UsageError(f"{run}: not published: preset {results.preset}; run it with --preset {PRESET}")
    if results.git.commit is None:
        raise UsageError(f"{run}: not published: the commit of the code is unknown; run it from a git checkout")
    if results.git.dirty:
        raise UsageError(f"{run}: not published: uncommitted changes when it ran; commit, then run again")
    unclean = [one.key for one in results.extra.cells if is_unclean(one.dirty, results.extra.commands)]
    if unclean:
        several = f" and {len(unclean) - 1} more" if len(unclean) > 1 else ""
        tell = "run the same command again, with --publish: it trains them anew"
        raise UsageError(f"{run}: not published: uncommitted changes when {unclean[0]}{several} was trained; {tell}")
    if results_folder.joinpath("results.json").is_file():
        accepted = read_results(results_folder / "results.json")
        seeds = {(row.row, row.protocol): len(row.seeds) for row in results.rows}
        refuse_losses(
            f"{run}: not published", [*list_losses(accepted, seeds), *_list_departed(accepted, results)], results_folder
        )
    if any(dataset.private for dataset in results.datasets):
        kept = [entry for entry in results.extra.figures if not entry.shows_cases]
        results = results.model_copy(update={"extra": results.extra.model_copy(update={"figures": kept})})
    check_predictions_file(run, results)
    figures = find_figures(run, results)
    missing = [str(path.relative_to(run)) for path in [*(run / name for name in PUBLISHED_FILES), *figures] if not path.is_file()]
    if missing:
        raise UsageError(f"{run}: not published: missing {', '.join(missing)}; run the same command again to finish it")
    predictions = read_predictions(run / PREDICTIONS)
    private = find_private(predictions, [dataset.public_ids for dataset in results.datasets])
    with replace_folder(results_folder) as fresh:
        (fresh / "figures").mkdir()
        for name in PUBLISHED_FILES:
            shutil.copyfile(run / name, fresh / name)
        if private:
            write_predictions(hide_ids(predictions, private, read_key(run)), fresh / PREDICTIONS)
            results = results.model_copy(update={"predictions_sha256": hash_file(fresh / PREDICTIONS)})
        reduced = [reduce_entry(one, public=bool(one.public_ids) and not private) for one in results.datasets]
        results = results.model_copy(update={"datasets": reduced})
        write_results(fresh / "results.json", results)
        for path in figures:
            shutil.copyfile(path, fresh / "figures" / path.name)


def list_losses(accepted: Results, seeds: Mapping[tuple[str, str], int]) -> list[str]:
    """What a run lacks that the accepted one has, in words: rows, and seeds of a row. seeds: (row, protocol) -> their number."""
    losses = {}
    for row in accepted.rows:
        found, wanted = seeds.get((row.row, row.protocol), 0), len(row.seeds)
        if found < wanted:
            name = f"{row.row}, {PROTOCOL_NAMES[row.protocol]}"
            losses[name] = f"{name}: {f'{found} of {wanted} seeds' if found else 'not run'}"
    return list(losses.values())


def _list_departed(accepted: Results, results: Results) -> list[str]:
    """Rows trained otherwise than published that the accepted run has as published."""
    departed = {(claim.table, claim.row) for claim in accepted.claims if claim.verdict == OFF_PROTOCOL}

    def is_off(row: RowResult) -> bool:
        return bool(row.departures) or (row.table, row.row) in departed

    published = {row.row for row in accepted.rows if not is_off(row)}
    return [
        f"{row}: {'; '.join(changes)}"
        for row, changes in {row.row: row.departures for row in results.rows if row.departures}.items()
        if row in published
    ]


def refuse_losses(head: str, losses: Sequence[str], accepted: Path) -> None:
    """Raise UsageError if there are any; `head` begins the message; accepted: folder of the accepted run."""
    if losses:
        more = f"; and {len(losses) - SHOWN} more" if len(losses) > SHOWN else ""
        tell = f"run all of it; to begin anew with less, delete {accepted} and commit that first"
        raise UsageError(f"{head}: less than the accepted run in {accepted} ({'; '.join(losses[:SHOWN])}{more}); {tell}")


def is_unclean(dirty: bool | None, commands: Iterable[Command]) -> bool:
    """Whether a training rests on uncommitted code; where it did not record that (None), whether any command of the run did."""
    return any(command.dirty for command in commands) if dirty is None else dirty


def find_unclean(home: Path, commands: Sequence[Command]) -> list[Path]:
    """Folders of finished and begun trainings that rest on uncommitted code.

    home: the folder of the run's cells. commands: all of the run.
    """
    found = []
    for folder in sorted(path for path in home.glob("*") if path.is_dir()):
        record = find_record(folder)
        if (folder / UNCLEAN).exists() or (record is not None and is_unclean(record.get("dirty"), commands)):
            found.append(folder)
    return found
