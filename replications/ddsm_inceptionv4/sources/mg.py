"""Mammograms as DICOM (modality MG): grey levels with tissue bright, breast and view; nothing that names a person.

Presentation states and overlays are not applied; windows and VOI tables are not either, as pictures are scaled by percentiles,
but for which end is bright. DICOM PS3.3, C.8.11 (mammography image).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.dicom import count_frames, decode_pixels, open_dicom, quiet_decoding
from common.data.dicom_levels import rescale, turn_bright
from common.errors import UsageError

SIDES = {"L": "left", "R": "right"}
VIEWS = ("CC", "MLO")
READ = ("ImageLaterality", "Laterality", "ViewPosition", "PatientID")


@dataclass(frozen=True)
class DicomMammogram:
    """What one file holds."""

    levels: np.ndarray  # float32 (rows, columns), tissue bright
    breast: str  # left, right; ""
    view: str  # CC, MLO; ""
    patient: str  # a checksum of the file's own id, to group by; "": it has none


def read_mammogram(path: Path) -> DicomMammogram:
    """Read a file. Raises UsageError in one line as `open_dicom` does, and for several frames, values that are not finite, tables
    that cannot be applied."""
    data = open_dicom(path, "MG", READ)
    if count_frames(data) != 1:
        raise UsageError(f"{path}: {count_frames(data)} frames: tomosynthesis is not read")
    stored = decode_pixels(data, path)[0]
    levels = turn_bright(rescale(stored, data, path), data, path)
    with quiet_decoding(path):
        side = str(data.get("ImageLaterality", "") or data.get("Laterality", "") or "").upper()
        view = str(data.get("ViewPosition", "") or "").upper()
        patient = str(data.get("PatientID", "") or "")
    known = hashlib.sha256(patient.encode()).hexdigest()[:12] if patient else ""
    return DicomMammogram(levels, SIDES.get(side[:1], ""), view if view in VIEWS else "", known and f"id-{known}")
