"""From the stored values of a DICOM picture to grey levels: its rescale or its table of values, and which end is bright.

DICOM PS3.3: C.11.1 (modality: rescale or table), C.11.2 (VOI: window or table), C.7.6.3.1.2 (MONOCHROME1), C.11.6 (presentation
shape). pydicom's own look-up wraps levels around where they have more bits than the table, and reads no 8-bit table in bytes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale

from common.data.dicom import quiet_decoding
from common.errors import UsageError

MODALITY, VOI = "ModalityLUTSequence", "VOILUTSequence"


@dataclass(frozen=True, eq=False)
class Table:
    """A look-up table of a header."""

    first: int  # the value that takes the first entry; those below do, too, and those beyond the table its last
    entries: np.ndarray  # uint16
    bits: int  # of the entries: they reach from 0 to 2 ** bits - 1

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """Whole numbers -> float32 of the same shape."""
        places = np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[places].astype(np.float32)


def read_table(data: Dataset, name: str, path: Path) -> Table | None:
    """The first table of an opened file under MODALITY or VOI; None without one. Raises UsageError for one that is not what it
    says."""
    with quiet_decoding(path):
        if not (items := data.get(name)):
            return None
        descriptor, content = items[0]["LUTDescriptor"], items[0]["LUTData"].value
        count, first, bits = (int(value) for value in descriptor.value)
        count = count % 2**16 or 2**16
        if descriptor.VR == "US" and data.PixelRepresentation == 1 and first >= 2**15:
            first -= 2**16  # stored values are signed, and so is this one, whatever its type says
        if isinstance(content, bytes):
            order = "<" if data.file_meta.TransferSyntaxUID.is_little_endian else ">"
            words = np.frombuffer(content, f"{order}u2")
        else:
            words = np.atleast_1d(np.array(content, np.int64))
        if bits == 8 and len(words) == (count + 1) // 2 < count:  # two entries a word
            words = words.astype("<u2").view(np.uint8)
        entries = words[:count]
        if not 8 <= bits <= 16 or len(entries) < count or entries.min() < 0 or entries.max() >= 2**bits:
            raise UsageError(f"{path}: a look-up table ({name}) that is not what it says; export the picture without one")
    return Table(first, entries.astype(np.uint16), bits)


def rescale(stored: np.ndarray, data: Dataset, path: Path) -> np.ndarray:
    """Stored values -> float32 of the same shape, by the table or the rescale of the header. Raises UsageError where they are not
    finite, and for a header with both."""
    table = read_table(data, MODALITY, path)
    with quiet_decoding(path):
        if table is not None:
            steps = [data.get(name, default) for name, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))]
            if any(step is not None and float(step) != usual for step, usual in zip(steps, (1, 0), strict=True)):
                raise UsageError(f"{path}: a look-up table ({MODALITY}) and a rescale in its header, which exclude each other")
            return table.look_up(stored)
        levels = np.asarray(apply_rescale(stored, data), np.float32)
    if not np.isfinite(levels).all():
        raise UsageError(f"{path}: values that are not finite")
    return levels


def has_window(data: Dataset, path: Path) -> bool:
    """Whether the header states a window; it comes before a table, which is then another view."""
    with quiet_decoding(path):
        return all(data.get(name) not in (None, "") for name in ("WindowCenter", "WindowWidth"))


def apply_voi_table(levels: np.ndarray, data: Dataset, path: Path) -> np.ndarray | None:
    """Rescaled levels -> what the VOI table of the header shows of them, 0 to 1, float32; None without one. Raises UsageError for
    levels that are no whole numbers, as the table is of these, and where all come out the same."""
    table = read_table(data, VOI, path)
    if table is None:
        return None
    if (np.rint(levels) != levels).any():
        raise UsageError(f"{path}: a look-up table ({VOI}) for values that are no whole numbers; export the picture without one")
    shown = table.look_up(levels) / np.float32(2**table.bits - 1)
    if shown.min() == shown.max():
        raise UsageError(f"{path}: a look-up table ({VOI}) by which all pixels are the same; export the picture without one")
    return shown


def is_turned(data: Dataset, path: Path) -> bool:
    """Whether low values are bright after window and table (MONOCHROME1). Raises UsageError where the header says both."""
    turned = data.PhotometricInterpretation == "MONOCHROME1"
    with quiet_decoding(path):
        shape = str(data.get("PresentationLUTShape", "") or "").strip().upper()
    if shape == ("IDENTITY" if turned else "INVERSE"):
        which = f"{'MONOCHROME1' if turned else 'MONOCHROME2'} with PresentationLUTShape {shape}"
        raise UsageError(f"{path}: its header contradicts itself on which values are bright ({which}); export it anew")
    return turned


def turn_bright(levels: np.ndarray, data: Dataset, path: Path) -> np.ndarray:
    """Rescaled levels, float32, turned between their ends where low ones are bright, by MONOCHROME1 or by a VOI table that falls:
    high ones are bright then."""
    table = read_table(data, VOI, path)
    falls = table is not None and table.entries[0] > table.entries[-1] and not has_window(data, path)
    return levels.max() + levels.min() - levels if is_turned(data, path) != falls else levels
