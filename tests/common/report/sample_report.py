"""A small made-up paper and the results of a whole run of it, its folder, and a parser of report.html."""

import html.parser
import io
from pathlib import Path

from PIL import Image

from common.files import write_json_atomic
from common.records.results import Results, parse_results

PAPER = """
[paper]
title = "Networks compared"
authors = "A, B"
venue = "Journal"
year = "2020"
doi = "10.1/a_b"
task = "ill or not"
positive_class = "ill"
headline = { table = "2", row = "set / net", metric = "accuracy" }

[classes]
test = { "healthy" = 80, "ill" = 20 }

[[claim]]
table = "1"
row = "set"
metric = "train"
value = 400
digits = 0
unit = "count"
where = "Table 1"
classes = "test"

[[claim]]
table = "1"
row = "set"
metric = "test"
value = 100
digits = 0
unit = "count"
where = "Table 1"
classes = "test"

[[claim]]
table = "2"
row = "set / net"
metric = "accuracy"
value = 90.0
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"
folds = 1
runs = 1

[[claim]]
table = "2"
row = "set / old net"
metric = "accuracy"
value = 79.5
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"
folds = 1
runs = 1

[[claim]]
table = "2"
row = "set / absent net"
metric = "accuracy"
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"
folds = 1
runs = 1
note = "printed as a dash"

[[statement]]
id = "net_best"
text = "The net is best"
where = "section 4"

[[statement]]
id = "never_checked"
text = "All is well"
where = "section 5"

[[unstated]]
item = "seed"
chose = "0 and 1"
because = "none is given"

[[deviation]]
paper = "one run"
ours = "two seeds"
effect = "a spread"

[[audit]]
check = "repetition"
found = "one run"
rows = ["set / old net"]
"""


def make_metric(mean: float, half: float | None = None, sd: float | None = 0.01) -> dict:
    limits = (None, None) if half is None else (mean - half, mean + half)
    return {"mean": mean, "sd": sd, "low": limits[0], "high": limits[1], "by_seed": [mean, mean]}


def make_row(table: str, row: str, protocol: str, accuracy: float, **metrics) -> dict:
    metrics = {"accuracy": make_metric(accuracy, 0.03), "majority_rate": make_metric(0.8, 0.05), **metrics}
    below = accuracy <= metrics["majority_rate"]["mean"]
    return {"table": table, "row": row, "protocol": protocol, "n": 100, "patients": 50, "positives": 20,
            "seeds": [0, 1], "below_majority": below, "metrics": metrics}  # fmt: skip


def make_content(**changes) -> dict:
    """The JSON form of a whole results.json."""
    undefined = {"mean": None, "sd": None, "low": None, "high": None, "by_seed": [None, None]}
    rows = [
        make_row("2", "set / net", "paper", 0.912, auc=make_metric(0.95, 0.02), ece=make_metric(0.04)),
        make_row(
            "2",
            "set / net",
            "leakfree",
            0.85,
            majority_rate=make_metric(0.86, 0.05),
            auc=make_metric(0.9, 0.02),
            ece=make_metric(0.06),
        ),
        make_row("2", "set / old net", "paper", 0.7, auc=undefined),
        make_row("labels", "set / net, 10 % labels", "paper", 0.75),
    ]
    common = {"where": "Table 2", "metric": "accuracy", "table": "2"}
    claims = [
        {**common, "table": "1", "row": "set", "metric": "train", "paper": 400.0, "tolerance": None, "ours": 400,
         "low": 400, "high": 400, "difference": 0, "verdict": "equal", "note": ""},
        {**common, "table": "1", "row": "set", "metric": "test", "paper": 100.0, "tolerance": None, "ours": 99,
         "low": 99, "high": 99, "difference": -1, "verdict": "differs, lower", "note": ""},
        {**common, "row": "set / net", "paper": 90.0, "tolerance": 6.1, "ours": 91.2, "low": 88.2, "high": 94.2,
         "difference": 1.2, "difference_low": -2.9, "difference_high": 5.3, "margin": 5.0,
         "verdict": "agrees within 5 points", "note": ""},
        {**common, "row": "set / old net", "paper": 79.5, "tolerance": 7.9, "ours": 70.0, "low": 67.0, "high": 73.0,
         "difference": -9.5, "difference_low": -19.4, "difference_high": 0.4, "margin": 5.0, "patients_needed": 212,
         "verdict": "cannot tell", "impossible": True,
         "note": "about 220 test patients would tell if the difference stayed the same (here 50)"},
        {**common, "row": "set / absent net", "paper": None, "tolerance": None, "ours": None, "low": None,
         "high": None, "verdict": "not run", "note": "printed as a dash; too large; see README"},
    ]  # fmt: skip
    pair = {
        "protocol": "paper", "row_a": "set / net", "row_b": "set / old net", "seeds": [0, 1], "n": 100, "patients": 50,
        "accuracy_a": 0.912, "accuracy_b": 0.7, "accuracy_difference": 0.212, "low": 0.1, "high": 0.3,
        "only_a": 25, "only_b": 4, "mcnemar_p": 0.0004, "mcnemar_p_holm": 0.0125,
        "auc_difference": None, "auc_low": None, "auc_high": None, "delong_p": None, "delong_p_holm": None,
    }  # fmt: skip
    split = {"folds": 1, "train": 400, "validation": 0, "test": 100, "left_out": 3, "sha256": "fedcba987654321" * 4}
    leak = {"test_cases": 100, "same_patient": 77, "same_pixels": 0, "near_duplicate": 5}
    dataset = {
        "dataset": "set", "name": "hospital", "note": "as published", "synthetic": False, "cases": 500, "patients": 250,
        "classes": {"healthy": 400, "ill": 100}, "files_sha256": "0123456789abcdef" * 4, "unreadable": ["x.png"],
        "splits": {"paper": {"rule": "at random", **split, "leak": leak}},
    }  # fmt: skip
    content = {
        "schema": 1, "paper": "some_paper", "preset": "paper", "protocol": "both", "overrides": {}, "on_protocol": True,
        "command": "python -m replications.some_paper.run", "git": {"commit": "a" * 40, "dirty": False},
        "started": "2026-01-01T00:00:00+00:00", "seconds": 7500.0,
        "environment": {"python": "3.11.7", "backend": "tensorflow", "device": "2 CPU cores", "deterministic": True},
        "datasets": [dataset],
        "weights": {"source": "random", "sha256": None}, "config": {"epochs": 3},
        "selection": {"paper": "last epoch", "leakfree": "lowest validation loss"}, "seeds": [0, 1],
        "rows": rows, "claims": claims,
        "extra": {
            "comparisons": [pair],
            "statements": [{"id": "net_best", "protocol": "paper", "verdict": "holds", "detail": "91.2 against 70.0"}],
            "collapsed": [{"row": "set / old net", "protocol": "paper", "seeds": [0, 1]}],
            "commands": [
                {"command": "first", "commit": "b", "dirty": False, "started": "2025"},
                {"command": "last", "commit": "a", "dirty": False, "started": "2026"},
            ],
            "cells": [{"key": key, "commit": "b", "seconds": 3750.0, "threads": [1]} for key in "xy"],
            "not_run": [{"table": "2", "row": "set / absent net", "reason": "too large; see README"}],
            "figures": [{"file": "a.png", "title": "A figure", "caption": "of something"}],
        },
    }  # fmt: skip
    return {**content, **changes}


def make_results(**changes) -> Results:
    return parse_results(make_content(**changes), "test")


def make_png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (400, 20), "white").save(stream, "PNG")
    return stream.getvalue()


def write_run(folder: Path, content: dict) -> Path:
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.png").write_bytes(make_png())
    write_json_atomic(folder / "results.json", content)
    return folder


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and all text outside style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != [("style", {})]:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)
