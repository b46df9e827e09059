"""The table of the planned unsupervised part: samples beside real pictures, blurred ones and the mean picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.records.results import OwnColumn, OwnTable
from common.runs.cells import Cell
from replications.ddsm_inceptionv4.rows import MEASURES


def read_samples(cells: Sequence[Cell], folder: Path) -> dict[str, dict[str, float]]:
    """Set -> measures, means over the finished judgements (judging.measure_samples)."""
    entries = [json.loads((folder / "cells" / cell.key / MEASURES).read_text()) for cell in cells]
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for entry in entries for name in entry):
        known = [entry[name] for entry in entries if name in entry]
        measures = dict.fromkeys(key for of in known for key in of)
        found[name] = {key: float(np.mean([of[key] for of in known if key in of])) for key in measures}
    return found


def order_sets(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Names of sets of pictures in the order of tables: real ones first, the more blurred the later.

    >>> order_sets({"VAE": {}, "real, other women": {}, "mean picture": {}})
    ['real, other women', 'VAE', 'mean picture']
    """
    return sorted(found, key=lambda name: (not name.startswith("real, other"), not name.startswith("real"), name))


def tabulate_samples(found: Mapping[str, Mapping[str, float]], judge: str) -> OwnTable:
    """Samples of the planned models beside real pictures, blurred ones and the mean picture."""
    names = order_sets(found)

    def show(name: str, key: str, digits: int) -> str:
        return f"{found[name][key]:.{digits}f}".replace("-", "−") if key in found[name] else "–"

    lines = [
        [
            name,
            show(name, "pictures", 0),
            show(name, "rmse", 4),
            show(name, "kid", 3),
            show(name, "auc", 3),
            show(name, "accuracy", 3),
        ]
        for name in names
    ]
    kinds = {"pictures": "text", "n": "number", "reconstruction error (RMSE)": "number", "KID": "number", "AUC": "number",
             "accuracy": "number"}  # fmt: skip
    groups = ["", "", "", "", "judge: real or not", "judge: real or not"]
    columns = [OwnColumn(name=name, kind=kind, group=group) for (name, kind), group in zip(kinds.items(), groups, strict=True)]
    note = (
        "Planned in the paper (sec. 4.1), of which nothing was run there. The judge: a logistic regression on frozen features "
        f"of {judge}, cross-validated by patient, as many of each, against the training pictures; as it also tells real "
        "pictures that are blurred by a pixel from sharp ones, its finding every fake says little. RMSE: of test pictures "
        "decoded from their latent variables, range 0..1; of the mean picture the same. KID: of the judge's features, "
        "unbiased, may be negative."
    )
    return OwnTable(title="Samples of the planned models", columns=columns, rows=lines, note=note)
