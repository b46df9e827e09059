"""What the paper's macro means imply: how many images of each class a row has right (common.audit), beside ours."""

from fractions import Fraction

import numpy as np
import pandas as pd

from common.audit.confusions import Solution, list_matrices, search_macro
from common.audit.printed import Printed
from common.evaluation.metrics import count_confusion
from common.records.paper import Claim, Paper
from common.records.results import OwnColumn, OwnTable
from replications.bone_acgan.config import CLASSES

# Found by the audit: the one division of the test set, and the number added to every denominator, that explain all ten rows with
# precision, sensitivity and specificity.
TESTED, OFFSET = (37, 25, 15), Fraction(1, 100)
MOST = 100_000  # explanations of a row: all of them
METRICS = ("accuracy", "precision", "sensitivity", "specificity", "f1")
EXCHANGED = {"specificity": "f1", "f1": "specificity"}  # the last two heads of Table 4


def name_metric(claim: Claim) -> str:
    """The metric that a printed number is, whatever its column is headed."""
    return EXCHANGED.get(claim.metric, claim.metric) if claim.table == "4" else claim.metric


def imply_counts(paper: Paper) -> dict[str, list[Solution]]:
    """Row of Tables 4 to 8 -> every way in which one confusion matrix of TESTED images gives all that is printed of it."""
    printed: dict[str, dict[str, Printed]] = {}
    for claim in paper.claims:
        if claim.table in "45678" and claim.metric in METRICS and claim.value is not None:
            number = Printed(f"{claim.value:.{claim.digits}f}", claim.unit)
            printed.setdefault(claim.row, {})[name_metric(claim)] = number
    telling = {row: metrics for row, metrics in printed.items() if {"accuracy", "sensitivity"} <= metrics.keys()}
    return {row: search_macro(metrics, TESTED, OFFSET, most=MOST) for row, metrics in telling.items()}


def imply_matrix(paper: Paper, row: str) -> np.ndarray | None:
    """The confusion matrix int (classes, classes) of a row, truth in rows, where only one fits."""
    matrices = [matrix for solution in imply_counts(paper).get(row, []) for matrix in list_matrices(solution)]
    return np.array(matrices[0]) if len(matrices) == 1 else None


def tabulate_recall(paper: Paper, predictions: pd.DataFrame) -> OwnTable:
    """Recall of each class: what the paper's numbers imply, and ours."""
    lines = []
    for row, solutions in imply_counts(paper).items():
        right = sorted({solution.correct for solution in solutions})
        implied = [_show_counts([of[label] for of in right], TESTED[label]) for label in range(len(CLASSES))]
        lines.append([row, *implied, *_show_ours(predictions, row, "paper"), *_show_ours(predictions, row, "leakfree")])
    groups = {"Paper: implied": True, "Ours, the paper's protocol": False, "Ours, leak-free": False}
    columns = [OwnColumn(name="row", kind="text", group="")]
    columns += [
        OwnColumn(name=name, kind="text", group=group, printed=printed) for group, printed in groups.items() for name in CLASSES
    ]
    note = "Right of all images of the class. Ours: summed over seeds and folds."
    implied_note = (
        f"The paper's: from its macro means, by the audit, over {'/'.join(map(str, TESTED))} images; several numbers where "
        "several fit."
    )
    return OwnTable(title="Recall of each class", columns=columns, rows=lines, note=note, printed_note=implied_note)


def _show_counts(counts: list[int], cases: int) -> str:
    """ "36 of 37 (97 %)"; several counts as "9 or 10 of 15"; "–" for none."""
    known = sorted(set(counts))
    if not known:
        return "–"
    if len(known) == 1:
        return f"{known[0]} of {cases} ({100 * known[0] / cases:.0f} %)"
    shown = " or ".join(map(str, known)) if len(known) <= 3 else f"{known[0]} to {known[-1]}"
    return f"{shown} of {cases}"


def _show_ours(predictions: pd.DataFrame, row: str, protocol: str) -> list[str]:
    if not ((predictions["row"] == row) & (predictions["protocol"] == protocol)).any():
        return ["–"] * len(CLASSES)
    matrix: np.ndarray = count_confusion(predictions, row, protocol)
    return [_show_counts([int(of[label])], int(of.sum())) if of.sum() else "–" for label, of in enumerate(matrix)]
