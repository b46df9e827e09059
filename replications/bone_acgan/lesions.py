"""How much of a network's evidence lies in the lesions, where phantoms know them (Fig. 13, sec. 5.2.2: made measurable)."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.cases.prepared import Dataset
from common.cases.sources import Source
from common.records.results import OwnColumn, OwnTable
from replications.bone_acgan.body import find_body, fit_picture
from replications.bone_acgan.config import Config
from replications.bone_acgan.sources import phantoms
from replications.bone_acgan.sources.dicom import VIEWS, read_scan

BODY = 5  # grey levels: brighter is body
LEAST = 4  # pixels of a picture: smaller lesions are none


def fit_lesions(source: Source, dataset: Dataset, positions: Sequence[int], config: Config) -> dict[int, np.ndarray]:
    """Position of a case -> its lesions in the picture, bool (picture_height, picture_width), of those that have any.

    Empty for other data than phantoms.
    """
    if not source.synthetic or not (source.path / phantoms.LESIONS).is_file():
        return {}
    masks = phantoms.read_lesions(source.path)
    found = {}
    for position in positions:
        case = dataset.cases.iloc[position]
        view = VIEWS.index(case["view"])
        mask = masks[case["path"]][view]
        if mask.any():
            crop = find_body(read_scan(source.path / case["path"]).counts[view], config)
            cut = 255 * mask[crop.rows, crop.columns].astype(np.uint8)
            fitted = fit_picture(cut, config.picture_height, config.picture_width) > 127
            if fitted.sum() >= LEAST:
                found[int(position)] = fitted
    return found


def tabulate_shares(
    attention: Mapping[str, np.ndarray], positions: Sequence[int], lesions: Mapping[int, np.ndarray], pictures: np.ndarray
) -> list[OwnTable]:
    """Share of the evidence inside of lesions, and of the body that they are; none without lesions that are known.

    attention: row -> Grad-CAM float32 (n, height, width) of the cases at `positions`. pictures: uint8 (cases, height, width).
    """
    if not lesions or not attention:
        return []
    lines = []
    for row, maps in attention.items():
        known = [(place, position) for place, position in enumerate(positions) if position in lesions and maps[place].sum() > 0]
        inside = [float(maps[place][lesions[position]].sum() / maps[place].sum()) for place, position in known]
        area = [float(lesions[position].sum() / max(1, (pictures[position] > BODY).sum())) for _, position in known]
        shown = [f"{100 * np.mean(of):.1f}" if known else "–" for of in (inside, area)]
        lines.append([row, str(len(known)), *shown])
    kinds = {
        "row": "text",
        "pictures": "number",
        "evidence inside lesions (%)": "number",
        "lesions' share of the body (%)": "number",
    }
    note = (
        "Grad-CAM for the true class of test pictures with lesions, those without any evidence left out. Evidence spread "
        "evenly over the body has the lesions' share of it."
    )
    columns = [OwnColumn(name=name, kind=kind, group="") for name, kind in kinds.items()]
    return [OwnTable(title="Evidence inside lesions", columns=columns, rows=lines, note=note)]
