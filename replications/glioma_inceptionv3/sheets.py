"""Slices for the contact sheet: of each grade some that the area filter keeps and some that it drops (sec. 2.3)."""

import numpy as np

from common.cases.sources import Source
from common.errors import UsageError
from replications.glioma_inceptionv3.config import CLASSES, Config
from replications.glioma_inceptionv3.data import READERS
from replications.glioma_inceptionv3.figures import Sheet
from replications.glioma_inceptionv3.rows import WHOLE
from replications.glioma_inceptionv3.slices import make_picture, select_slices
from replications.glioma_inceptionv3.sources.subjects import Slices

OWN = "own"  # kind of source whose slices are shown: a user's volumes, and phantoms
KEPT, DROPPED = 3, 2  # slices of a grade at most
MOST_SUBJECTS = 5  # of a grade that are read for them


def read_sheets(source: Source, config: Config) -> dict[str, Sheet]:
    """Grade -> slices of its first subjects, each kind at most one a subject until all have been read; {} for collections of
    others, whose slices are not shown."""
    if source.kind != OWN:
        return {}
    subjects = READERS[source.kind](source.path, config).subjects
    sheets = {}
    for grade in CLASSES:
        kept: list[tuple[np.ndarray, int]] = []
        dropped: list[tuple[np.ndarray, int]] = []
        for subject in [one for one in subjects if one.grade == grade][:MOST_SUBJECTS]:
            if len(kept) >= KEPT and len(dropped) >= DROPPED:
                break
            try:
                slices = subject.read()
            except UsageError:  # said where the data set is prepared
                continue
            areas = slices.masks.sum(axis=(1, 2))
            chosen = select_slices(areas, config)
            rest = np.setdiff1d(np.flatnonzero(areas), chosen)
            if len(kept) < KEPT and len(chosen):
                kept.append(_draw(slices, int(chosen[areas[chosen].argmax()]), config))
            if len(dropped) < DROPPED and len(rest):
                dropped.append(_draw(slices, int(rest[areas[rest].argmax()]), config))
        if kept:
            sheets[grade] = Sheet(kept, dropped)
    return sheets


def _draw(slices: Slices, place: int, config: Config) -> tuple[np.ndarray, int]:
    """The whole slice as the network sees it, and the area of its lesion."""
    low, high = (float(value) for value in np.percentile(slices.planes, config.percentiles))
    mask = slices.masks[place]
    return make_picture(slices.planes[place], mask, low, high, WHOLE, config), int(mask.sum())
