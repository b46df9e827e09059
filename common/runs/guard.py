"""What `--publish` asks of a run before anything is trained, so that no hours are lost to a refusal at the end."""

import shutil
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from common.cases.sources import Source
from common.errors import UsageError
from common.records.predictions import read_predictions
from common.records.provenance import git_state, read_commands
from common.records.results import read_results
from common.runs.products import PREDICTIONS
from common.runs.publish import OWN, PRESET, find_unclean, list_losses, locate_results, refuse_losses
from common.runs.run import COMMANDS, Run


def guard_results(
    run: Run, rows: Mapping[str, Collection[int]], *, sources: Iterable[Source | None], keeps_rows: bool = False
) -> None:
    """With --publish, raise UsageError unless the run can become the accepted one; without it, nothing.

    rows: name -> seeds that this command asks for. sources: where the pictures come from. keeps_rows: the results take in rows of
    earlier commands that this one does not ask for. What it takes: the preset paper, real data that are not a user's own, a
    checkout without uncommitted or untracked files, no setting changed that the accepted run left as published, and its rows,
    protocols and seeds. Trainings of earlier commands that rest on uncommitted code are removed (not with --dry-run); nothing
    that those commands left counts then.
    """
    if not run.options.publish:
        return
    if run.preset != PRESET:
        raise UsageError(f"--publish: preset {run.preset}: only runs of the preset {PRESET} are published; nothing was trained")
    known = [source for source in sources if source is not None]
    if any(source.synthetic for source in known):
        raise UsageError("--publish: synthetic data are not published; run it on real data (--data). Nothing was trained")
    if any(source.own for source in known):
        raise UsageError(f"--publish: {OWN}. Nothing was trained")
    git = git_state(run.package)
    if git.commit is None:
        raise UsageError("--publish: the commit of the code is unknown; run it from a git checkout. Nothing was trained")
    if git.dirty:
        raise UsageError(
            "--publish: uncommitted or untracked files in the checkout (git status); commit first. Nothing was trained"
        )
    unclean = find_unclean(run.folder / "cells", read_commands(run.folder / COMMANDS))
    seeds = {(row, protocol): set(of) for row, of in rows.items() for protocol in run.options.protocols}
    for (row, protocol), earlier in ({} if unclean else _list_known(run.folder / PREDICTIONS)).items():
        if keeps_rows or row in rows:
            seeds.setdefault((row, protocol), set()).update(earlier)
    _refuse_less(run, seeds)
    if unclean and not run.options.dry_run:
        for folder in unclean:
            shutil.rmtree(folder)
        what = "1 training was" if len(unclean) == 1 else f"{len(unclean)} trainings were"
        print(f"{what} made with uncommitted code, and removed: what is published is trained anew", file=sys.stderr)


def _refuse_less(run: Run, seeds: Mapping[tuple[str, str], Collection[int]]) -> None:
    """Raise UsageError for a run of less than the accepted one; seeds: of each row and protocol."""
    folder = locate_results(run.name)
    if not (folder / "results.json").is_file():
        return
    accepted = read_results(folder / "results.json")
    losses = list_losses(accepted, {key: len(of) for key, of in seeds.items()})
    changed = sorted(run.options.overrides.keys() - accepted.overrides.keys())
    losses += [f"--set {name}, which it left as published" for name in changed]
    refuse_losses("--publish: nothing was trained", losses, folder)


def _list_known(predictions: Path) -> dict[tuple[str, str], set[int]]:
    """(row, protocol) -> seeds of the predictions that earlier commands of the run have left."""
    try:
        table = read_predictions(predictions)
    except UsageError:  # none yet, or damaged: it is written anew after the trainings, and judged then
        return {}
    return {(str(row), str(protocol)): set(of["seed"].tolist()) for (row, protocol), of in table.groupby(["row", "protocol"])}
