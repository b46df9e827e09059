"""What the figures show: all of a finished run that they need, and the curves that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from common.cases.prepared import Dataset
from common.runs.cells import Cell
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.measures import Six
from replications.ddsm_inceptionv4.shortcuts import Planted


@dataclass(frozen=True)
class Attention:
    """Grad-CAM of test pictures: positions of the cases, their maps float32 (n, side, side), and the row of the network."""

    row: str
    places: Sequence[int]
    maps: np.ndarray


@dataclass(frozen=True)
class Shown:
    """All that the figures show, beside the results. A published run has its predictions and its history alone: the figures of
    pictures are not drawn from it."""

    config: Config
    predictions: pd.DataFrame
    history: pd.DataFrame
    six: Sequence[Six]
    planted: Sequence[Planted] = ()
    sets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of samples, see sample_measures.read_samples
    films: Dataset | None = None
    whole: Dataset | None = None
    folder: Path | None = None  # of the run
    samplers: Mapping[str, Cell] = field(default_factory=dict)  # sampler -> its first training
    attention: Attention | None = None
    test: Sequence[int] = ()  # positions of test cases, leak-free where that was run
