"""One DICOM picture of grey levels: opened with the attributes that are named and no other, its header checked, decoded.

Names, dates and all other attributes are skipped by the reader. Uncompressed, RLE and lossless JPEG pictures are read.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGLossless, JPEGLosslessSV1, RLELossless

from common.data.lossless_jpeg import decode_stream
from common.errors import UsageError

MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 64_000_000  # of all frames
MAX_FRAMES = 64
OF_PIXELS = (
    "Modality", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PixelData", "TransferSyntaxUID",
)  # fmt: skip


def is_dicom(path: Path) -> bool:
    """By its content: export programs name files by their ids, without an ending."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextmanager
def quiet_decoding(path: Path) -> Iterator[None]:
    """Keep pydicom's warnings away, which repeat what stands in the file, and turn the dozen kinds of errors that it raises on
    damaged files into UsageError, which names the file and the kind alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{path}: no DICOM file, damaged, or not what its header says ({type(error).__name__})") from None


def open_dicom(path: Path, modality: str, others: Sequence[str] = ()) -> Dataset:
    """A file of one modality ("NM", "MG"), with the attributes OF_PIXELS and `others`.

    Raises UsageError in one line: missing, empty, damaged or too large, another modality, colour, a picture whose size does not
    fit its bytes, a compression that is not read.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if not path.is_file() or not 0 < size <= MAX_FILE_BYTES:
        raise UsageError(f"{path}: no file, an empty one, or larger than {MAX_FILE_BYTES // 2**20} MiB")
    with quiet_decoding(path):
        data = dcmread(path, specific_tags=[*OF_PIXELS, *others])
        _check_header(data, path, modality)
    return data


def count_frames(data: Dataset) -> int:
    """Frames of an opened file."""
    return int(data.get("NumberOfFrames", 1) or 1)


def _check_header(data: Dataset, path: Path, modality: str) -> None:
    found = str(data.get("Modality", "") or "none")[:16]
    if found == "none":
        raise UsageError(f"{path}: no modality in its header: damaged or cut short?")
    if found != modality:
        raise UsageError(f"{path}: modality {found!r}, not {modality}")
    numbers = {name: data.get(name) for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PixelRepresentation")}
    for name, value in numbers.items():
        if not isinstance(value, int):
            raise UsageError(f"{path}: {name} is missing or no number")
    if numbers["SamplesPerPixel"] != 1 or data.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise UsageError(f"{path}: a colour picture, not grey levels")
    frames = count_frames(data)
    pixels = frames * numbers["Rows"] * numbers["Columns"]
    if not (0 < frames <= MAX_FRAMES and 0 < pixels <= MAX_PIXELS):
        raise UsageError(f"{path}: claims {frames} frames of {numbers['Rows']}x{numbers['Columns']} pixels")
    if "PixelData" not in data:
        raise UsageError(f"{path}: holds no picture")
    syntax = data.file_meta.TransferSyntaxUID
    needed = pixels * numbers["BitsAllocated"] // 8
    if not syntax.is_encapsulated and len(data.PixelData) < needed:
        raise UsageError(f"{path}: its picture has {len(data.PixelData)} bytes, {needed} needed: truncated?")
    if syntax.is_encapsulated and syntax not in (RLELossless, JPEGLossless, JPEGLosslessSV1):
        raise UsageError(f"{path}: compressed as {str(syntax.name)[:60]}, which is not read; convert it to an uncompressed file")


def decode_pixels(data: Dataset, path: Path) -> np.ndarray:
    """Stored values of all frames, (frames, rows, columns), neither rescaled nor inverted. UsageError where they are damaged."""
    shape = (count_frames(data), int(data.Rows), int(data.Columns))
    with quiet_decoding(path):
        if data.file_meta.TransferSyntaxUID not in (JPEGLossless, JPEGLosslessSV1):
            stored = np.asarray(pixel_array(data))
            if stored.size != np.prod(shape):
                raise UsageError(f"{path}: its picture does not fit its header")
            return stored.reshape(shape)
        streams = list(generate_frames(data.PixelData, number_of_frames=shape[0]))
        found = np.stack([decode_stream(stream, str(path))[0] for stream in streams])
        if found.shape != shape:
            raise UsageError(f"{path}: frames of {found.shape[1]}x{found.shape[2]} pixels, {shape[1]}x{shape[2]} announced")
        return found.astype(f"i{found.itemsize}") if data.PixelRepresentation == 1 else found
