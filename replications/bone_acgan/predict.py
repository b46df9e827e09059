"""Probabilities of the three classes for new bone scans, from the final model of a finished run, both views fused.

`python -m replications.bone_acgan.predict SCAN... --run DIR` takes NM DICOM files (one or two frames), or PNG or JPEG pictures of
views, all of one patient; the last line is the mean over them, as a patient is judged.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd

from common import cli
from common.errors import UsageError, run_main
from common.runs.cells import quiet_start
from common.runs.networks import escape, list_warnings, read_network, read_run, writing
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.sources.scans import read_views

NAME = Path(__file__).parent.name
LIST = "networks.json"  # of a run
ALL = "all views: mean"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN", help="NM DICOM, PNG or JPEG; all of one patient")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    parser.add_argument("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv")
    return run_main(lambda: predict(parser.parse_args(argv)))


def predict(given: argparse.Namespace) -> int:
    """Ask the stored networks; print a line a view and their mean; write predictions.csv."""
    results = read_run(given.run, NAME)
    config = cli.restore_config(Config, results.config)
    cells, protocol = choose_networks(given.run)
    names, pictures = read_pictures(given.scans, config)
    with writing(given.out):
        given.out.mkdir(parents=True, exist_ok=True)
    print(*list_warnings(results), sep="\n", file=sys.stderr)
    with quiet_start():
        from common.training.stored import open_network
        from replications.bone_acgan import attention, resnets

        registered = {
            "bone_acgan>GroupedConv2D": resnets.GroupedConv2D,
            "bone_acgan>CoordinateAttention": attention.CoordinateAttention,
        }
    scores = []
    for cell in cells:
        path, _ = read_network(given.run / "cells" / cell)
        network = open_network(path, registered)
        scores.append(np.asarray(network.predict(pictures[..., None], verbose=0)))
    mean = np.mean(scores, axis=0)
    table = pd.DataFrame(np.vstack([mean, mean.mean(axis=0)]).round(4), columns=list(CLASSES))
    table.insert(0, "view", [*names, ALL])
    with writing(given.out):
        table.to_csv(given.out / "predictions.csv", index=False)
    print(table.to_string(index=False))
    print(f"networks: {len(cells)}, {protocol}; {given.out / 'predictions.csv'}")
    return 0


def choose_networks(run: Path) -> tuple[list[str], str]:
    """Cells of the stored networks, and their protocol. UsageError for a list that is missing, damaged or empty."""
    try:
        stored = json.loads((run / LIST).read_text(encoding="utf-8"))
        known = [itemgetter("cell", "protocol")(entry) for entry in stored]
        cells, protocols = [str(cell) for cell, _ in known], {str(protocol) for _, protocol in known}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{run / LIST}: missing or damaged; the command that made this run makes it anew") from None
    if not cells:
        raise UsageError(f"{run / LIST}: no stored network: the final model was not run; run it with --tables 8")
    if any(Path(cell).name != cell for cell in cells):
        raise UsageError(f"{run / LIST}: names a training outside the run; the command that made this run makes it anew")
    return cells, ", ".join(sorted(protocols))


def read_pictures(paths: Sequence[Path], config: Config) -> tuple[list[str], np.ndarray]:
    """Names and pictures uint8 (n, picture_height, picture_width) of all views of the files."""
    names, pictures, owners, seen = [], [], set(), set()
    for path in paths:
        for view in read_views(path, path.name, 0, "", "", config):
            if view.sha256 in seen:
                raise UsageError(f"{path}: the same file twice")
            seen.add(view.sha256)
            owners |= set() if view.lone else {view.patient}
            if len(owners) > 1:
                raise UsageError(f"{path}: of another patient than the files before; give the views of one patient at a time")
            names.append(escape(f"{path.name} {view.view}".strip()))
            pictures.append(view.picture)
            if view.doubt:
                print(f"{escape(path.name)}: the crop is in doubt: {view.doubt}", file=sys.stderr)
    return names, np.stack(pictures)


if __name__ == "__main__":
    sys.exit(main())
