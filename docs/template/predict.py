"""Probabilities for new pictures from the networks of a finished run.

`python -m replications.new_paper.predict IMAGE... --run DIR` asks the network of every seed of a row; shown are the mean and, of
several, the spread. A folder stands for the pictures in it. Research software, not a medical device.
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
from common.runs.answers import check_scores, refuse_unread, show_answers, spread_over, start_answers
from common.runs.cells import quiet_start
from common.runs.inputs import list_inputs, name_apart, read_each
from common.runs.networks import list_warnings, read_network, read_run
from replications.new_paper.config import CLASSES, NETWORKS, Config

NAME = Path(__file__).parent.name
ENDINGS = (".jpg", ".jpeg", ".png")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG or PNG pictures, or folders of them")
    add("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    add("--row", choices=NETWORKS, default=NETWORKS[0], help="row of the table whose networks are asked (default: %(default)s)")
    add("--protocol", choices=cli.PROTOCOLS, default="leakfree", help="default: %(default)s")
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv")
    add("--json", action="store_true", help="print JSON instead of a table")
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
    files, faults = list_inputs(given.images, lambda path: path.suffix.lower() in ENDINGS)
    named = zip(files, name_apart(files), strict=True)
    read = read_each(named, lambda one: cv2.resize(read_picture(one[0]), side, interpolation=cv2.INTER_AREA), faults)
    refuse_unread(read, faults)
    images = np.stack([picture for _, picture in read])[..., None]
    notes = list_warnings(results)
    start_answers(given.out, notes, faults)
    with quiet_start():
        from common.training import fit
        from common.training.stored import open_network
    scores = np.stack([fit.predict(open_network(path), images) for path in found])[..., 1]  # (networks, images)
    check_scores(scores, given.row)
    table = pd.DataFrame({
        "image": [name for (_, name), _ in read],
        "predicted": [CLASSES[int(score > 0.5)] for score in scores.mean(axis=0)],
        f"p({CLASSES[1]})": scores.mean(axis=0).round(4),
    })  # fmt: skip
    spread = spread_over(scores)
    if spread is not None:
        table["sd over networks"] = spread
    about = {"row": given.row, "protocol": given.protocol, "networks": len(found)}
    last = f"networks asked: {len(found)} of {given.row!r}, {given.protocol}; {given.out / 'predictions.csv'}"
    return show_answers(table, given.out, as_json=given.json, about=about, notes=notes, faults=faults, last=last)


if __name__ == "__main__":
    sys.exit(main())
