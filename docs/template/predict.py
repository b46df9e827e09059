"""Probabilities for new pictures from the networks of a finished run.

`python -m replications.new_paper.predict IMAGE... --run DIR` asks the network of every seed of a row; shown are mean and spread.
Research software, not a medical device.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common import cli
from common.data.pictures import read_picture
from common.errors import UsageError, run_main
from common.runs.cells import quiet_start
from common.runs.networks import escape, list_warnings, read_network, read_run, writing
from replications.new_paper.config import CLASSES, NETWORKS, Config

NAME = Path(__file__).parent.name


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG or PNG pictures")
    add("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    add("--row", choices=NETWORKS, default=NETWORKS[0], help="row of the table whose networks are asked (default: %(default)s)")
    add("--protocol", choices=cli.PROTOCOLS, default="leakfree", help="default: %(default)s")
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv")
    return run_main(lambda: predict(parser.parse_args(argv)))


def predict(given: argparse.Namespace) -> int:
    """Ask every stored network of the row; print a line an image, write predictions.csv."""
    results = read_run(given.run, NAME)
    config = cli.restore_config(Config, results.config)
    found = []
    for record in sorted((given.run / "cells").glob("*/cell.json")):
        settings = json.loads(record.read_text())["settings"]
        if (settings["row"], settings["protocol"]) == (given.row, given.protocol):
            found.append(read_network(record.parent)[0])
    if not found:
        raise UsageError(f"{given.run}: no network of row {given.row!r} under protocol {given.protocol!r}")
    side = (config.side, config.side)
    images = np.stack([cv2.resize(read_picture(path), side, interpolation=cv2.INTER_AREA) for path in given.images])[..., None]
    print(*list_warnings(results), sep="\n", file=sys.stderr)
    with quiet_start():
        from common.training import fit
        from common.training.stored import open_network
    scores = np.stack([fit.predict(open_network(path), images) for path in found])[..., 1]  # (networks, images)
    table = pd.DataFrame({
        "image": [escape(path.name) for path in given.images],
        "predicted": [CLASSES[int(score > 0.5)] for score in scores.mean(axis=0)],
        f"p({CLASSES[1]})": scores.mean(axis=0).round(4),
        "sd over networks": scores.std(axis=0, ddof=1).round(4) if len(found) > 1 else np.nan,
    })  # fmt: skip
    with writing(given.out):
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "predictions.csv", index=False)
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
