"""Judge an accepted result anew from its predictions, after a change of metrics, intervals or verdicts; nothing is trained.

`python -m replications.lung_hip_compare.evaluate results/lung_hip_compare`; then `python -m common.report` writes its tables.
"""

import argparse
import functools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.cases.prepared import load_dataset
from common.cli import restore_config
from common.errors import UsageError, run_main
from common.evaluation.outcome import Outcome
from common.figures.style import Picture
from common.files import slug
from common.records.paper import load_paper
from common.records.results import DatasetEntry, Results
from common.runs.again import Recorded, evaluate_again
from replications.lung_hip_compare import data, experiments, figures, held_out
from replications.lung_hip_compare.config import Config
from replications.lung_hip_compare.sources import luna16

PACKAGE = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{PACKAGE.name}.evaluate", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the result, such as results/lung_hip_compare")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder: what the splits leak is measured anew, too")
    given = parser.parse_args(argv)
    describe = functools.partial(describe_data, given.data) if given.data else lambda old: old.datasets
    return run_main(lambda: evaluate_again(PACKAGE, given.folder, judge, draw, describe))


def judge(recorded: Recorded) -> Outcome:
    """What follows from the predictions (see `experiments.judge`)."""
    old = recorded.results
    return experiments.judge(
        load_paper(PACKAGE / "paper.toml"),
        recorded.predictions,
        restore_config(Config, old.config),
        old.preset,
        recorded.protocols,
        old.datasets,
        recorded.counts,
        recorded.reasons,
        recorded.history,
    )


def draw(recorded: Recorded) -> Iterator[Picture]:
    """The figures that need no pictures of cases."""
    config = restore_config(Config, recorded.results.config)
    paper = load_paper(PACKAGE / "paper.toml")
    shown = figures.Shown(paper, config, {}, recorded.predictions, recorded.history)
    return figures.draw_figures(shown, recorded.results)


def describe_data(folder: Path, old: Results) -> list[DatasetEntry]:
    """The data sets of a result, read again from a data folder, with what their splits leak."""
    config, sources = restore_config(Config, old.config), data.find_sources(folder)
    datasets = {}
    with tempfile.TemporaryDirectory() as home:
        held_out_too = any(entry.dataset == held_out.NAME for entry in old.datasets)
        for name in (entry.dataset for entry in old.datasets if entry.dataset != held_out.NAME):
            source = sources[data.part_of(name)]
            if source is None:
                raise UsageError(f"{folder}: no data of {name}")
            data.prepare_dataset(name, source, config, Path(home) / slug(name))
            datasets[name] = load_dataset(Path(home) / slug(name))
        protocols = list(old.datasets[0].splits)
        described, _, splits = experiments.describe_datasets(datasets, config, protocols)
        if held_out_too and (source := sources["luna"]):
            place = Path(home) / slug(held_out.NAME)
            data.prepare_dataset("LUNA16", source, config, place, lists=luna16.PATCH_SPLITS)
            found = held_out.describe(load_dataset(place), splits, config)
            if isinstance(found, str):
                raise UsageError(f"{folder}: {found}")
            described.append(found.entry)
        return described


if __name__ == "__main__":
    sys.exit(main())
