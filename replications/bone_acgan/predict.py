"""Probabilities of the three classes for new bone scans, from the final model of a finished run, both views fused.

`python -m replications.bone_acgan.predict SCAN... --run DIR` takes NM DICOM files (one or two frames), PNG or JPEG pictures of
views, or a folder of them, all of one patient; the last line is the mean over them, as a patient is judged.
Research software, not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd

from common import cli
from common.data.dicom_pictures import looks_like_dicom
from common.errors import UsageError, run_main
from common.files import load_json
from common.runs.answers import TABLE, check_scores, refuse_unread, show_answers, start_answers
from common.runs.cells import quiet_start
from common.runs.inputs import list_inputs, name_apart, read_each
from common.runs.networks import escape, list_warnings, read_network, read_run
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.sources.scans import DICOM, View, read_views

NAME = Path(__file__).parent.name
LIST = "networks.json"  # of a run
ALL = "all views: mean"
PICTURES = (".png", ".jpg", ".jpeg")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    parser.add_argument(
        "scans", nargs="+", type=Path, metavar="SCAN", help="NM DICOM, PNG, JPEG, or a folder of them; all of one patient"
    )
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    parser.add_argument("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return run_main(lambda: predict(parser.parse_args(argv)))


def predict(given: argparse.Namespace) -> int:
    """Ask the stored networks; print a line a view and their mean; write predictions.csv."""
    results = read_run(given.run, NAME)
    config = cli.restore_config(Config, results.config)
    cells, protocol = choose_networks(given.run)
    faults: list[str] = []
    views = read_patient(given.scans, config, faults)
    refuse_unread(views, faults)
    notes = [*list_warnings(results), *(f"{name}: the crop is in doubt: {view.doubt}" for name, view in views if view.doubt)]
    if faults:
        notes.append("the mean is that of the views that could be read")
    start_answers(given.out, notes, faults)
    pictures = np.stack([view.picture for _, view in views])
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
        network = open_network(path, registered, shape=(*pictures.shape[1:], 1), classes=len(CLASSES))
        scores.append(check_scores(np.asarray(network.predict(pictures[..., None], verbose=0)), str(path)))
    mean = np.mean(scores, axis=0)
    table = pd.DataFrame(np.vstack([mean, mean.mean(axis=0)]).round(4), columns=list(CLASSES))
    table.insert(0, "view", [*(name for name, _ in views), ALL])
    last = f"networks: {len(cells)}, {protocol}; {given.out / TABLE}"
    about = {"protocol": protocol, "networks": len(cells)}
    return show_answers(table, given.out, as_json=given.json, about=about, notes=notes, faults=faults, last=last)


def choose_networks(run: Path) -> tuple[list[str], str]:
    """Cells of the stored networks, and their protocol. UsageError for a list that is missing, damaged or empty."""
    try:
        stored = load_json(run / LIST)
        known = [itemgetter("cell", "protocol")(entry) for entry in stored]
        cells, protocols = [str(cell) for cell, _ in known], {str(protocol) for _, protocol in known}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{run / LIST}: missing or damaged; the command that made this run makes it anew") from None
    if not cells:
        raise UsageError(f"{run / LIST}: no stored network: the final model was not run; run it with --tables 8")
    if any(Path(cell).name != cell for cell in cells):
        raise UsageError(f"{run / LIST}: names a training outside the run; the command that made this run makes it anew")
    return cells, ", ".join(sorted(protocols))


def read_patient(paths: Sequence[Path], config: Config, faults: list[str]) -> list[tuple[str, View]]:
    """Names and views of all files; what cannot be read is added to `faults`.

    So is a file with the content of an earlier one, which counts once. Raises UsageError for files of several patients.
    """
    files, without = list_inputs(
        paths, lambda path: path.suffix.lower() in (*PICTURES, *filter(None, DICOM)) or looks_like_dicom(path)
    )
    faults += without
    named = zip(files, name_apart(files), strict=True)
    found: list[tuple[str, View]] = []
    owners: set[str] = set()
    seen: dict[str, Path] = {}  # sha256 -> file
    for (path, name), views in read_each(named, lambda of: list(read_views(of[0], of[0].name, 0, "", "", config)), faults):
        if twice := next((seen[view.sha256] for view in views if view.sha256 in seen), None):
            faults.append(f"{escape(str(path))}: the same content as {escape(str(twice))}, which counts once")
            continue
        for view in views:
            seen[view.sha256] = path
            owners |= set() if view.lone else {view.patient}
            if len(owners) > 1:
                raise UsageError(f"{path}: of another patient than the files before; give the views of one patient at a time")
            found.append((f"{name} {escape(view.view)}".strip(), view))
    return found


if __name__ == "__main__":
    sys.exit(main())
