"""Bone scans as nuclear-medicine DICOM: counts of the anterior and posterior view, and nothing that names a person.

One file holds both views as two frames, or one of them. Only the attributes named here are read; all others, names and dates
included, are skipped by the reader. DICOM PS3.3, C.8.4 (NM image), C.8.4.11 (detectors).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, NuclearMedicineImageStorage, generate_uid

from common.data.dicom import count_frames, decode_pixels, open_dicom, quiet_decoding
from common.data.dicom_levels import rescale, turn_bright

VIEWS = ("anterior", "posterior")
CODES = {"R-10206": "anterior", "R-10214": "posterior", "272460009": "anterior", "272461008": "posterior"}  # SNM3, SRT, SCT
READ = (
    "PixelSpacing", "DetectorVector", "EnergyWindowVector", "DetectorInformationSequence", "ViewCodeSequence", "PatientID",
)  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """What one file holds."""

    counts: np.ndarray  # float32 (frames, rows, columns), rescaled, low counts dark
    views: tuple[str, ...]  # of each frame: "anterior", "posterior" or "" where the file does not say
    spacing: tuple[float, float] | None  # mm between rows and between columns
    patient: str  # the file's own id: to group by, never to be written


def read_scan(path: Path) -> Scan:
    """Read a file. Raises UsageError in one line: missing, empty, damaged or too large, another modality, colour, a picture whose
    size does not fit its bytes, a compression that is not read, counts that are not finite, tables that cannot be applied.

    Of several energy windows the first is read.
    """
    data = open_dicom(path, "NM", READ)
    frames = count_frames(data)
    stored = decode_pixels(data, path)
    counts = rescale(stored, data, path)
    with quiet_decoding(path):
        views, windows = _find_views(data, frames), _list_numbers(data.get("EnergyWindowVector"))
        spacing, patient = _find_spacing(data), str(data.get("PatientID", "") or "")
    if len(windows) == frames and len(set(windows)) > 1:
        kept = [place for place, window in enumerate(windows) if window == windows[0]]
        counts, views = counts[kept], tuple(views[place] for place in kept)
    return Scan(turn_bright(counts, data, path), views, spacing, patient)


def _find_views(data: Dataset, frames: int) -> tuple[str, ...]:
    """The view of each frame, by its detector; without a detector vector frame k is of detector k."""
    numbers = _list_numbers(data.get("DetectorVector"))
    if len(numbers) != frames:
        numbers = list(range(1, frames + 1))
    detectors = list(data.get("DetectorInformationSequence") or [])
    return tuple(_name_view(detectors[int(n) - 1]) if 0 < int(n) <= len(detectors) else "" for n in numbers)


def _list_numbers(vector: Any) -> list:
    """A vector of a header, which is one number where it has one entry."""
    return list(vector) if isinstance(vector, Iterable) and not isinstance(vector, str) else [vector] if vector else []


def _name_view(detector: Dataset) -> str:
    codes = list(detector.get("ViewCodeSequence") or [])
    if not codes:
        return ""
    if known := CODES.get(str(codes[0].get("CodeValue", ""))):
        return known
    meaning = str(codes[0].get("CodeMeaning", "")).lower()
    return next((view for view in VIEWS if meaning.startswith(view[:4])), "")


def _find_spacing(data: Dataset) -> tuple[float, float] | None:
    spacing = data.get("PixelSpacing")
    try:
        rows, columns = (float(value) for value in spacing)
    except (TypeError, ValueError):
        return None
    return (rows, columns) if 0 < rows < 100 and 0 < columns < 100 else None


def write_scan(path: Path, counts: np.ndarray, patient: str, spacing: float, views: tuple[str, ...] = VIEWS) -> None:
    """Write counts uint16 (frames, rows, columns) as an NM file, the same bytes every time.

    patient: id, of a phantom; spacing: mm between pixels; views: of the frames.
    """
    data, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID = NuclearMedicineImageStorage
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[patient, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    data.StudyInstanceUID = generate_uid(entropy_srcs=[patient, "study"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[patient, "series"])
    data.Modality, data.PatientID, data.PatientName = "NM", patient, patient
    data.ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    data.NumberOfFrames, data.Rows, data.Columns = counts.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelSpacing = [spacing, spacing]
    data.FrameIncrementPointer = [0x00540010, 0x00540020]  # energy window and detector vector
    data.NumberOfEnergyWindows, data.EnergyWindowVector = 1, [1] * len(counts)
    data.NumberOfDetectors, data.DetectorVector = len(counts), list(range(1, len(counts) + 1))
    data.DetectorInformationSequence = Sequence([_describe_detector(view) for view in views])
    data.PixelData = np.ascontiguousarray(counts, "<u2").tobytes()
    data["PixelData"].VR = "OW"
    data.save_as(path, enforce_file_format=True)


def _describe_detector(view: str) -> Dataset:
    detector, code = Dataset(), Dataset()
    code.CodeValue = next(value for value, name in CODES.items() if name == view)
    code.CodingSchemeDesignator, code.CodeMeaning = "SNM3", view.capitalize()
    detector.ViewCodeSequence = Sequence([code])
    return detector
