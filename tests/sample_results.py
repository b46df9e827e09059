"""The JSON form of a small, whole results.json, for tests that need any; and predictions beside it."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.records.predictions import tabulate_scores, write_predictions

LISTS = ("comparisons", "statements", "not_run", "collapsed", "figures", "commands", "cells")  # of extra


def write_sample_predictions(folder: Path) -> Path:
    """predictions.csv.gz of two cases."""
    cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "label": [0, 1]})
    scores = np.array([[0.4, 0.6], [0.3, 0.7]])
    path = folder / "predictions.csv.gz"
    write_predictions(tabulate_scores(cases, scores, protocol="paper", row="net", seed=0, fold=-1), path)
    return path


def make_dataset(**changes) -> dict:
    dataset = {
        "dataset": "scans", "name": "somewhere", "note": "", "synthetic": False, "cases": 10, "patients": 5,
        "classes": {"a": 6, "b": 4}, "files_sha256": "0" * 64, "unreadable": [], "splits": {},
    }  # fmt: skip
    return {**dataset, **changes}


def make_figure(file: str, **changes) -> dict:
    return {"file": file, "title": "A", "caption": "", **changes}


def make_command(*, dirty: bool) -> dict:
    return {"command": "python -m run", "started": "2026-01-01T00:00:00+00:00", "commit": "abc", "dirty": dirty}


def make_extra(**changes) -> dict:
    return {**{name: [] for name in LISTS}, "figures": [make_figure("a.png")], **changes}


def make_content(**changes) -> dict:
    """The JSON form of a whole results.json."""
    content = {
        "schema": 1, "paper": "some_paper", "preset": "paper", "protocol": "both", "overrides": {}, "on_protocol": True,
        "command": "python -m run", "git": {"commit": "abc", "dirty": False}, "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.0, "datasets": [make_dataset()],
        "environment": {"python": "3.11", "backend": None, "device": "2 CPU cores", "deterministic": True},
        "weights": {"source": "random", "sha256": None}, "config": {"epochs": 3}, "selection": {"paper": "last epoch"},
        "seeds": [0], "rows": [], "claims": [], "extra": make_extra(),
    }  # fmt: skip
    return {**content, **changes}
