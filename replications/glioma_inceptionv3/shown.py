"""What the figures are given: curves of the report's own runs, the decomposition in points, attention maps, slices."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.prepared import Dataset
from common.cases.sources import Source
from common.evaluation.clustered import Difference
from common.figures.intervals import Value
from common.records.paper import Paper
from common.runs.cells import Cell
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.decomposition import Decomposition
from replications.glioma_inceptionv3.figures import Attention, Shown
from replications.glioma_inceptionv3.ladders import Step
from replications.glioma_inceptionv3.original import read_original_curves
from replications.glioma_inceptionv3.plans import Datasets


def choose_cases(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Positions and labels of the slices whose attention is shown: of each grade the one with the largest lesion."""
    area, labels = dataset.cases["area"].to_numpy(), dataset.cases["label"].to_numpy()
    grades = np.unique(labels).tolist()
    return [int(np.where(labels == grade, area, -1).argmax()) for grade in grades], grades


def read_attention(folder: Path, cell: Cell, datasets: Datasets) -> list[Attention]:
    """Attention maps that a finished cell left in the run folder, each beside its slice."""
    maps = np.load(folder / "cells" / cell.key / "cams.npy", allow_pickle=False)
    dataset, settings = datasets[cell.settings["view"]], cell.settings
    grades, network = list(dataset.info["classes"]), _name_network(settings)
    return [
        Attention(f"{settings['view']}, grade {grades[label]}", np.asarray(dataset.images[row])[..., 0], evidence, network)
        for row, label, evidence in zip(settings["cases"], settings["labels"], maps, strict=True)
    ]


def _name_network(settings: Mapping) -> str:
    heads = (
        "mean of the leak-free heads of one repeat" if settings["protocol"] == "leakfree" else "one head of the paper's protocol"
    )
    return f"{settings['backbone']}, {heads}"


def list_steps(found: Decomposition) -> dict[tuple[str, str], list[Step]]:
    """The decomposition as the figure takes it, in points."""
    return {
        setup: [Step(c.name, true, _scale(c.shuffled)) for c in changes if (true := _scale(c.true)) is not None]
        for setup, changes in found.items()
    }


def _scale(difference: Difference | None) -> Value | None:
    if difference is None:
        return None
    mean, low, high = (100 * float(value) for value in (difference.difference, difference.low, difference.high))
    return Value(mean) if np.isnan(low) else Value(mean, low, high)


def gather(
    paper: Paper,
    config: Config,
    source: Source,
    datasets: Datasets,
    predictions: pd.DataFrame,
    history: pd.DataFrame,
    found: Decomposition,
    attention: Sequence[Attention],
    sheets: Mapping | None = None,
) -> Shown:
    """All that the figures show, beside the results."""
    classes = list(next(iter(datasets.values())).info["classes"])
    original = read_original_curves(source.path.parent)
    steps = list_steps(found)
    return Shown(paper, config, classes, predictions, history, steps, original, attention, dict(sheets or {}))
