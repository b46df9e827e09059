"""What each training will do, for the cost of a run before it: networks, steps, pictures. Nothing here imports TensorFlow."""

import math
from collections.abc import Mapping, Sequence

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.runs.cells import Cell
from common.runs.work import Network, Stage, Work
from replications.new_paper.config import Config

BUILD = "replications.new_paper.specimens:build_specimen"


def list_works(cells: Sequence[Cell], divided: Mapping[str, tuple[Dataset, Sequence[Fold]]], config: Config) -> list[Work]:
    """Epochs and steps as `train.train_cell` makes them, if no training stops early. divided: protocol -> cases, folds."""
    works = []
    for cell in cells:
        s = cell.settings
        dataset, (fold,) = divided[s["protocol"]]
        filters = config.filters if s["network"] == "CNN" else config.small_filters
        pairs = zip((1, *filters), filters, strict=False)
        most = sum(9.0 * a * b * config.side**2 / 4**number for number, (a, b) in enumerate(pairs))
        about = {"config": s["config"], "filters": list(filters)}
        network = Network(s["network"], BUILD, about, config.batch_size, most)
        steps, scored = math.ceil(len(fold.train) / config.batch_size), len(fold.validation)
        works.append(Work(cell.key, (Stage(network, config.epochs, steps, scored, once=len(dataset.cases)),)))
    return works
