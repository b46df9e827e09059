"""A result judged anew from its predictions: no data, no training; for results that another version of the suite judged."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from common.cli import PROTOCOLS
from common.csv_text import read_table
from common.errors import UsageError
from common.evaluation.outcome import Outcome
from common.evaluation.verdicts import NOT_RUN
from common.figures.style import Picture, save_figure
from common.files import hash_file
from common.records.predictions import read_predictions
from common.records.provenance import git_state
from common.records.results import (
    DatasetEntry,
    FigureEntry,
    Results,
    StatementCheck,
    check_predictions_file,
    read_results,
    write_results,
)


@dataclass(frozen=True)
class Recorded:
    """What a finished run has left."""

    results: Results
    predictions: pd.DataFrame
    history: pd.DataFrame
    protocols: Sequence[str]
    counts: Mapping[tuple[str, str, str], float]  # claims that the run answered with a count
    reasons: Mapping[str, str]  # row -> why it was not run


def evaluate_again(
    package: Path,
    folder: Path,
    judge: Callable[[Recorded], Outcome],
    draw: Callable[[Recorded], Iterable[Picture]],
    describe: Callable[[Results], Sequence[DatasetEntry]] = lambda old: old.datasets,
) -> int:
    """Renew results.json and the figures of a result from its predictions.csv.gz; returns the exit code 0.

    package: folder of the paper's package; folder: of the result. draw: with the new results, the figures that need no pictures
    of cases. describe: the data sets anew, where the data are here; their splits must be the recorded ones. What rests on data or
    trainings stays: splits, times, further figures, and a statement that cannot be checked without them. The commit that judged
    is recorded (`Results.evaluated`). Raises UsageError for a folder without whole results of this paper.
    """
    recorded = _read_recorded(package, folder)
    described = list(describe(recorded.results))
    _compare_splits(recorded.results.datasets, described)
    recorded = replace(recorded, results=recorded.results.model_copy(update={"datasets": described}))
    old = recorded.results
    outcome = judge(recorded)
    extra = old.extra.model_copy(
        update={
            "comparisons": outcome.comparisons,
            "statements": [_choose_check(check, old) for check in outcome.statements],
            "not_run": outcome.not_run,
            "collapsed": outcome.collapsed,
            "hardly_trained": outcome.hardly_trained,
        }
    )
    results = old.model_copy(
        update={
            "rows": outcome.rows,
            "claims": outcome.claims,
            "on_protocol": old.on_protocol and not any(row.departures for row in outcome.rows),
            "predictions_sha256": hash_file(folder / "predictions.csv.gz"),
            "evaluated": git_state(package),
            "extra": extra,
        }
    )
    figures = {entry.file: entry for entry in old.extra.figures}
    for picture in draw(replace(recorded, results=results)):
        save_figure(picture.figure, folder / "figures" / picture.file, results.synthetic)
        about = {"file": picture.file, "title": picture.title, "caption": picture.caption.strip()}
        figures[picture.file] = FigureEntry(**about, shows_cases=picture.shows_cases)
    extra = extra.model_copy(update={"figures": list(figures.values())})
    write_results(folder / "results.json", results.model_copy(update={"extra": extra}))
    print(f"judged anew: {folder} ({len(outcome.rows)} rows, {len(outcome.claims)} claims)", file=sys.stderr)
    return 0


def _read_recorded(package: Path, folder: Path) -> Recorded:
    results = read_results(folder / "results.json")
    if results.paper != package.name:
        raise UsageError(f"{folder}: results of {results.paper}; this command judges those of {package.name}")
    predictions = read_predictions(folder / "predictions.csv.gz")
    check_predictions_file(folder, results)
    try:
        history = read_table(folder / "history.csv.gz")
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / 'history.csv.gz'}: cannot be read ({error}); restore the file") from None
    return Recorded(
        results,
        predictions,
        history,
        protocols=PROTOCOLS if results.protocol == "both" else (results.protocol,),
        counts={claim.key: claim.ours for claim in results.claims if isinstance(claim.ours, int)},
        reasons={missing.row: missing.reason for missing in results.extra.not_run},
    )


def _compare_splits(old: Sequence[DatasetEntry], new: Sequence[DatasetEntry]) -> None:
    splits = [{(entry.dataset, p): split.sha256 for entry in of for p, split in entry.splits.items()} for of in (old, new)]
    if splits[0] != splits[1]:
        raise UsageError("the data here are not those of the result: other cases, or another split")


def _choose_check(check: StatementCheck, old: Results) -> StatementCheck:
    """The new check of a statement, or the old one where it rests on trainings that are not here."""
    known = {(one.id, one.protocol): one for one in old.extra.statements}
    earlier = known.get((check.id, check.protocol), check)
    return earlier if check.verdict == NOT_RUN and earlier.verdict != NOT_RUN else check
