"""Judge an accepted result anew from its predictions, after a change of metrics, intervals or verdicts; nothing is trained.

`python -m replications.lung_hip_compare.evaluate results/lung_hip_compare`; then `python -m common.report` writes its tables.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.cli import restore_config
from common.errors import run_main
from common.evaluation.outcome import Outcome
from common.figures.style import Picture
from common.records.paper import load_paper
from common.runs.again import Recorded, evaluate_again
from replications.lung_hip_compare import experiments, figures
from replications.lung_hip_compare.config import Config

PACKAGE = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{PACKAGE.name}.evaluate", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the result, such as results/lung_hip_compare")
    given = parser.parse_args(argv)
    return run_main(lambda: evaluate_again(PACKAGE, given.folder, judge, draw))


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
    )


def draw(recorded: Recorded) -> Iterator[Picture]:
    """The figures that need no pictures of cases."""
    config = restore_config(Config, recorded.results.config)
    paper = load_paper(PACKAGE / "paper.toml")
    shown = figures.Shown(paper, config, {}, recorded.predictions, recorded.history)
    return figures.draw_figures(shown, recorded.results)


if __name__ == "__main__":
    sys.exit(main())
