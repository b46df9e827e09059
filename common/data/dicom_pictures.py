"""A DICOM file as a picture for the eye (ultrasound, radiograph, slice), and a CT slice with its place in the patient.

DICOM PS3.3: C.11.2.1 (window), C.7.6.2 (image plane); values and tables: `common.data.dicom_levels`. Overlays and presentation
states are not applied. What the pixels themselves show, names burned into them included, stays in the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset

from common.data.dicom import SUFFIXES, count_frames, decode_pixels, is_dicom, open_dicom, quiet_decoding
from common.data.dicom_levels import MODALITY, apply_voi_table, has_window, is_turned, read_table, rescale, turn_bright
from common.data.metaimage import LEAST_AXIAL, Volume
from common.data.nifti import check_place, hold_image
from common.errors import UsageError

SHOWN = ("VOILUTFunction", "BurnedInAnnotation")
PLACED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SeriesInstanceUID")
MOST_LEVEL = 1e30  # of a window: beyond it float32 overflows
BURNED = "text may be burned into the picture, as its header says: look at the sheet before it is passed on"
NO_WINDOW = "no window in its header: shown from the lowest to the highest value"
MODALITY_TABLE = "its values are those of the look-up table in its header"
VOI_TABLE = "no window in its header: shown by the look-up table there"
OF_VIEW = (NO_WINDOW, VOI_TABLE)  # notes on `grey`, not on `levels`


@dataclass(frozen=True, eq=False)
class DicomPicture:
    """One picture of a file."""

    levels: np.ndarray  # float32 (rows, columns): rescaled, turned so that high values are bright
    grey: np.ndarray  # uint8 (rows, columns): as its window shows it
    notes: tuple[str, ...]  # what a reader has to know of it


@dataclass(frozen=True, eq=False)
class Slice:
    """One axial slice of a CT scan."""

    volume: Volume  # one slice deep, in HU, axes to the patient's left, back and head
    series: str  # to tell series apart, never to be written


def looks_like_dicom(path: Path) -> bool:
    """By its ending or its content."""
    return path.suffix.lower() in SUFFIXES or is_dicom(path)


def read_dicom_picture(path: Path, modalities: Sequence[str], *, colours: bool = False) -> DicomPicture:
    """The picture of a file with one frame; colours: colour is turned to luminance, else refused.

    Shown by the first window of the header; without one, by its look-up table; without both, values of 8 bits as they are, others
    from the lowest to the highest; notes say what is not the rule. Raises UsageError in one line as `open_dicom` does, and for
    several frames, values that are not finite, tables that cannot be applied, a picture without contrast.
    """
    data = open_dicom(path, modalities, SHOWN, colours=colours, for_the_eye=True)
    _refuse_frames(data, path)
    stored = decode_pixels(data, path)[0]
    notes: tuple[str, ...] = (BURNED,) if str(data.get("BurnedInAnnotation", "") or "").upper() == "YES" else ()
    if stored.ndim == 3:
        if stored.dtype != np.uint8:
            raise UsageError(f"{path}: {data.BitsAllocated} bits a colour, which would be cut to 8; export it as 8 bits")
        grey = np.asarray(Image.fromarray(stored).convert("L"))
        return DicomPicture(grey.astype(np.float32), grey, notes)
    levels = rescale(stored, data, path)
    table = read_table(data, MODALITY, path)
    notes += () if table is None else (MODALITY_TABLE,)
    if has_window(data, path):
        shown = _apply_window(levels, data, path)
    elif (looked_up := apply_voi_table(levels, data, path)) is not None:
        shown = looked_up
        notes += (VOI_TABLE,)
    else:
        if table is not None:
            eight, ends = table.bits == 8, np.array([0, 255], np.float32)
        else:
            eight = data.BitsStored <= 8 and data.PixelRepresentation == 0
            ends = rescale(np.array([0, 255], np.uint8), data, path)
        ends = ends if eight else np.array([levels.min(), levels.max()])
        if ends[0] == ends[1]:
            raise UsageError(f"{path}: all pixels are the same")
        shown = (levels - ends[0]) / (ends[1] - ends[0])
        notes += () if eight else (NO_WINDOW,)
    shown = 1 - shown if is_turned(data, path) else shown
    return DicomPicture(turn_bright(levels, data, path), np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8), notes)


def read_ct_slice(path: Path) -> Slice:
    """A CT slice in Hounsfield units, with its place.

    Raises UsageError in one line as `open_dicom` does, and for several frames, a header that does not say where the slice lies or
    what its values mean, and slices that are not axial.
    """
    data = open_dicom(path, "CT", PLACED)
    _refuse_frames(data, path)
    if data.get("RescaleIntercept") is None or data.get("RescaleSlope") is None:
        raise UsageError(f"{path}: no rescale in its header, so its values are no Hounsfield units")
    if read_table(data, MODALITY, path) is not None:
        raise UsageError(f"{path}: a look-up table ({MODALITY}) in its header, so its values are no Hounsfield units")
    levels = rescale(decode_pixels(data, path)[0], data, path)
    with quiet_decoding(path):
        try:
            position, plane, (rows, columns) = (
                np.array([float(value) for value in data[name].value])
                for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
            )
            thickness, series = float(data.SliceThickness), str(data.get("SeriesInstanceUID", "") or "")
            along, down = plane[:3], plane[3:]
            axes = np.stack([along, down, np.cross(along, down)], axis=1)
            place = np.array([columns, rows, thickness, *position, *plane])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UsageError(f"{path}: does not say where it lies (position, orientation, spacing, thickness)") from None
        if position.shape != (3,) or not np.isfinite(place).all() or not (place[:3] > 0).all():
            raise UsageError(f"{path}: its place in the patient is none in mm")
        image = sitk.GetImageFromArray(levels[None])
        image.SetSpacing(place[:3].tolist())
        image.SetOrigin(position.tolist())
        if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
            raise UsageError(f"{path}: its axes are not at right angles")
        image.SetDirection(axes.ravel().tolist())
    check_place(path, image)
    if abs(axes[2, 2]) < LEAST_AXIAL:
        raise UsageError(f"{path}: not an axial slice")
    return Slice(hold_image(path, image), series)


def _refuse_frames(data: Dataset, path: Path) -> None:
    if count_frames(data) != 1:
        raise UsageError(f"{path}: {count_frames(data)} frames in one file; save the one that counts by itself")


def _apply_window(levels: np.ndarray, data: Dataset, path: Path) -> np.ndarray:
    """What the first window of the header shows of them, 0 dark and 1 bright, not clipped."""
    with quiet_decoding(path):
        found = [data[name].value for name in ("WindowCenter", "WindowWidth")]
        first = (value if isinstance(value, (int, float, str)) else next(iter(value)) for value in found)
        centre, width = map(float, first)
        kind = str(data.get("VOILUTFunction", "") or "LINEAR")
    least = 1 if kind == "LINEAR" else 0
    if not (abs(centre) < MOST_LEVEL and least < width < MOST_LEVEL):
        raise UsageError(f"{path}: a window of centre {centre:g} and width {width:g} shows nothing")
    if kind == "LINEAR":
        return (levels - (centre - 0.5)) / (width - 1) + 0.5
    if kind == "LINEAR_EXACT":
        return (levels - centre) / width + 0.5
    if kind == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (levels - centre) / width, -80, 80)))
    raise UsageError(f"{path}: a window of a shape that is not known")
