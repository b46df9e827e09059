"""The lesion in a mask file: a segment of 3D Slicer (`.seg.nrrd`), or a label of a plain label map.

A segment is what has its LabelValue in its Layer: several share a file, in one layer or, where they overlap, in several.
`Segment*_Extent` is not the lesion (3D Slicer writes the extent of the whole segmentation) and is not used.
https://slicer.readthedocs.io/en/latest/user_guide/modules/segmentations.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from common.data.pictures import covers_border
from common.errors import UsageError
from replications.glioma_inceptionv3.sources.volumes import Volume, match_grid, orient, read_volume

LESION = re.compile(r"(?:whole |brain )?(?:tumou?r|lesion|glioma|mass)(?: core)?", re.IGNORECASE)
KEY = re.compile(r"Segment([0-9]{1,4})_(?:ID|Name|LabelValue|Layer)")
ANY = "any"


@dataclass(frozen=True)
class Segment:
    """One segment of a `.seg.nrrd` as its header describes it."""

    number: int
    id: str
    name: str
    layer: int
    value: int


@dataclass(frozen=True, eq=False)
class Lesion:
    """An image and the lesion in it, on one grid: axial slices."""

    planes: np.ndarray  # float32 (slices, rows, columns)
    masks: np.ndarray  # bool of the same shape
    spacing: tuple[float, float]  # mm between rows, between columns


def list_segments(pairs: Mapping[str, str], layers: int, path: Path) -> list[Segment]:
    """Segments by their number. Old files say neither layer nor value: then each segment has a layer of its own, of ones."""
    found: list[Segment] = []
    numbers = sorted({int(match[1]) for name in pairs if (match := KEY.fullmatch(name))})
    for number in numbers:
        id_, name, value, layer = (pairs.get(f"Segment{number}_{what}", "") for what in ("ID", "Name", "LabelValue", "Layer"))
        layer = layer or (str(len(found)) if not value else "0")
        value = value or "1"
        if not re.fullmatch("[0-9]{1,6}", layer) or not re.fullmatch("-?[0-9]{1,9}", value):
            raise UsageError(
                f"{path}: segment {number} has layer {layer[:20]!r} and label value {value[:20]!r}; numbers are needed"
            )
        if int(layer) >= layers:
            raise UsageError(f"{path}: segment {number} is said to lie in layer {layer}; the file has {layers}, from 0 on")
        found.append(Segment(number, id_, name, int(layer), int(value)))
    return found


def choose_segment(segments: list[Segment], wanted: str, path: Path) -> Segment:
    """The segment of that name, id or number; for '' the only one, or the only one that is named after a lesion.

    Raises UsageError with the names of all where none or several fit.
    """
    shown = ", ".join(f"{one.number} {one.name!r}" for one in segments)[:160]
    if wanted:
        by_name = [one for one in segments if one.name.casefold() == wanted.casefold()]
        fits = by_name or [one for one in segments if wanted in (one.id, str(one.number))]
    else:
        fits = segments if len(segments) == 1 else [one for one in segments if LESION.fullmatch(one.name.strip())]
    if len(fits) != 1:
        which = f"segments are called {wanted[:60]!r}" if wanted else "segments may be the lesion"
        raise UsageError(f"{path}: {len(fits) or 'no'} {which}; give the name or number of one: {shown}")
    return fits[0]


def read_mask(volume: Volume, wanted: str) -> sitk.Image:
    """The lesion of a mask file on its own grid: uint8, 0 or 1."""
    path = volume.path
    segments = list_segments(volume.pairs, volume.layers, path)
    if segments:
        chosen = choose_segment(segments, wanted, path)
        layer, value = chosen.layer, chosen.value
    elif volume.layers > 1:
        raise UsageError(f"{path}: {volume.layers} values a voxel and no segments in the header; write one label map")
    else:
        layer, value = 0, None
    image = sitk.VectorIndexSelectionCast(volume.image, layer) if volume.layers > 1 else volume.image
    voxels = sitk.GetArrayViewFromImage(image)
    if value is None:
        values = _list_values(voxels, path)
        lesion = np.isin(voxels, choose_values(values, wanted, path))
        if covers_border(lesion):
            raise UsageError(f"{path}: the lesion surrounds the volume; an inverted mask? 0 must be what is no lesion")
    else:
        lesion = voxels == value
    mask = sitk.GetImageFromArray(lesion.astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def _list_values(voxels: np.ndarray, path: Path) -> list[int]:
    if voxels.dtype.kind == "f" and not (np.isfinite(voxels).all() and (voxels == np.rint(voxels)).all()):
        raise UsageError(f"{path}: holds NaN or fractions; a label map holds whole numbers")
    return [int(value) for value in np.unique(voxels) if value]


def choose_values(values: list[int], wanted: str, path: Path) -> list[int]:
    """Values of a plain label map that are the lesion; wanted: one of them, "any" for all, '' for the only one."""
    if not values:
        raise UsageError(f"{path}: the mask is empty")
    if wanted == ANY or (not wanted and len(values) == 1):
        return values
    if wanted in map(str, values):
        return [int(wanted)]
    which = f"no label {wanted[:20]!r}" if wanted else "several labels"
    raise UsageError(f"{path}: {which}; give one of {', '.join(map(str, values[:20]))}, or any for all of them")


def read_lesion(image: Path, mask: Path, folder: Path, wanted: str) -> Lesion:
    """Image and lesion of a subject, both inside `folder`, the lesion laid on the image's grid, in axial slices.

    wanted: see `choose_segment` and `choose_values`. Raises UsageError for what cannot be read or does not fit together, for
    several values a voxel of the image, and for values that are not finite.
    """
    volume, drawn = read_volume(image, folder), read_volume(mask, folder)
    if volume.layers != 1:
        raise UsageError(f"{image}: {volume.layers} values a voxel; write one sequence a file")
    laid = match_grid(read_mask(drawn, wanted), volume, mask, drawn.has_geometry)
    planes, spacing = orient(volume.image)
    if planes.dtype.kind == "f" and not np.isfinite(planes).all():
        raise UsageError(f"{image}: {int((~np.isfinite(planes)).sum())} voxels are NaN or infinite; repair the volume")
    return Lesion(planes.astype(np.float32), orient(laid)[0].astype(bool), spacing)
