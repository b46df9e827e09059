"""The leak that phantoms were given: accuracy on patients whose pictures show nothing of their class (`common.data.unmarked`)."""

from collections.abc import Collection

import pandas as pd

from common.cli import PROTOCOLS
from common.evaluation.metrics import evaluate
from common.records.predictions import extract_scores
from common.records.results import OwnColumn, OwnTable, RowResult

COLUMNS = {"cases": "number", "accuracy (%)": "number", "95 % interval": "text"}
NAMES = {"paper": "The paper's protocol", "leakfree": "Patients kept apart"}
IN_WORDS = {"paper": "under the paper's protocol", "leakfree": "with patients kept apart"}
NOTE = (
    "A leak put in on purpose: of some phantom patients, as many of each class, the pictures show nothing of the class. With "
    "patients kept apart, nothing but chance gets them right, and the interval should hold {chance}. What the paper's protocol "
    "has above that, it has from other pictures of the same patients among those that it trained on: at 100 it recalls every "
    "one of them."
)
FOUND = (
    "A leak was put in: the pictures of some patients show nothing of the class. Accuracy on their test cases ({cases} in each "
    "row), mean of the rows: {found}; chance is {chance:.0f} %."
)
UNSEEN = " These networks do not recall a patient by other pictures, so that this leak adds nothing to their accuracy here."
LEAST_SEEN = 0.1  # of what chance leaves


def tabulate_unmarked(predictions: pd.DataFrame, unmarked: Collection[str]) -> list[OwnTable]:
    """Accuracy of every row on the test cases of the unmarked patients, under each protocol; no table where there are none.

    predictions: the table of common.records.predictions; unmarked: ids of patients. The interval is over patients and trainings.

    Two patients that nothing tells apart, and a third; under one protocol both come out right, under the other one of them:

    >>> import numpy as np
    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abc"), "patient_id": list("abc"), "label": [0, 1, 1]})
    >>> about = {"row": "CNN", "seed": 0, "fold": 0}
    >>> leaky = tabulate_scores(cases, np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]), protocol="paper", **about)
    >>> apart = tabulate_scores(cases, np.array([[0.2, 0.8], [0.2, 0.8], [0.1, 0.9]]), protocol="leakfree", **about)
    >>> (table,) = tabulate_unmarked(pd.concat([leaky, apart]), ["a", "b"])
    >>> [line[:3] + line[4:6] for line in table.rows]
    [['CNN', '2', '100.0', '2', '50.0']]
    """
    part = predictions[predictions["patient_id"].astype(str).isin(unmarked)]
    if part.empty:
        return []
    found = {(row.protocol, row.row): row for row in evaluate(part.reset_index(drop=True))}
    protocols = [name for name in PROTOCOLS if (part["protocol"] == name).any()]
    columns = [OwnColumn(name="row", kind="text", group="")]
    for protocol in protocols:
        columns += [OwnColumn(name=name, kind=kind, group=NAMES[protocol]) for name, kind in COLUMNS.items()]
    rows = sorted({row for _, row in found})
    lines = [[row, *(text for protocol in protocols for text in _describe(found.get((protocol, row))))] for row in rows]
    note = NOTE.format(chance=f"{100 / extract_scores(part).shape[1]:.0f}")
    return [OwnTable(title="The leak that was put in", columns=columns, rows=lines, note=note)]


def summarise_unmarked(predictions: pd.DataFrame, unmarked: Collection[str]) -> str:
    """What the leak that was put in adds, in words: accuracy on the unmarked patients under each protocol beside that of chance;
    "" where none was put in. The counts are those of `tabulate_unmarked`.

    Of two unmarked patients both come out right:

    >>> import numpy as np
    >>> from common.records.predictions import tabulate_scores
    >>> cases = pd.DataFrame({"case_id": list("abc"), "patient_id": list("abc"), "label": [0, 1, 1]})
    >>> scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    >>> found = summarise_unmarked(tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=0, fold=0), ["a", "b"])
    >>> print(found.partition("class. ")[2])
    Accuracy on their test cases (2 in each row), mean of the rows: 100 % under the paper's protocol; chance is 50 %.
    """
    part = predictions[predictions["patient_id"].astype(str).isin(unmarked)].reset_index(drop=True)
    if part.empty:
        return ""
    chance = 1 / extract_scores(part).shape[1]
    right: dict[str, list[float]] = {}
    cases = []
    for row in evaluate(part):
        cases.append(row.n)
        if (mean := row.metrics["accuracy"].mean) is not None:
            right.setdefault(row.protocol, []).append(mean)
    means = {name: sum(of) / len(of) for name, of in right.items()}
    found = FOUND.format(
        cases=f"{min(cases)} to {max(cases)}" if min(cases) < max(cases) else cases[0],
        found=", ".join(f"{100 * mean:.0f} % {IN_WORDS[name]}" for name, mean in means.items()),
        chance=100 * chance,
    )
    return found + UNSEEN * (means.get("paper", 1.0) - chance < LEAST_SEEN * (1 - chance))


def _describe(row: RowResult | None) -> list[str]:
    """Cases, accuracy and interval as text."""
    metric = row.metrics["accuracy"] if row else None
    if row is None or metric is None or metric.mean is None:
        return ["–"] * 3
    interval = "–" if metric.low is None or metric.high is None else f"[{100 * metric.low:.1f}, {100 * metric.high:.1f}]"
    return [str(row.n), f"{100 * metric.mean:.1f}", interval]
