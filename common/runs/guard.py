"""What `--publish` asks of a run before anything is trained, so that no hours are lost to a refusal at the end."""

from collections.abc import Collection, Mapping
from pathlib import Path

from common.errors import UsageError
from common.records.predictions import read_predictions
from common.records.provenance import git_state
from common.records.results import read_results
from common.runs.products import PREDICTIONS
from common.runs.publish import PRESET, list_losses, locate_results, refuse_losses
from common.runs.run import Run


def guard_results(run: Run, rows: Mapping[str, Collection[int]], *, synthetic: bool, keeps_rows: bool = False) -> None:
    """With --publish, raise UsageError unless the run can become the accepted one; without it, nothing.

    rows: name -> seeds that this command asks for. synthetic: some data are. keeps_rows: the results take in rows of earlier
    commands that this one does not ask for. What it takes: the preset paper, real data, a checkout without uncommitted or
    untracked files, no setting changed that the accepted run left as published, and its rows, protocols and seeds.
    """
    if not run.options.publish:
        return
    if run.preset != PRESET:
        raise UsageError(f"--publish: preset {run.preset}: only runs of the preset {PRESET} are published; nothing was trained")
    if synthetic:
        raise UsageError("--publish: synthetic data are not published; run it on real data (--data). Nothing was trained")
    git = git_state(run.package)
    if git.commit is None:
        raise UsageError("--publish: the commit of the code is unknown; run it from a git checkout. Nothing was trained")
    if git.dirty:
        raise UsageError(
            "--publish: uncommitted or untracked files in the checkout (git status); commit first. Nothing was trained"
        )
    folder = locate_results(run.name)
    if not (folder / "results.json").is_file():
        return
    accepted = read_results(folder / "results.json")
    seeds = {(row, protocol): set(of) for row, of in rows.items() for protocol in run.options.protocols}
    for (row, protocol), known in _list_known(run.folder / PREDICTIONS).items():
        if keeps_rows or row in rows:
            seeds.setdefault((row, protocol), set()).update(known)
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
