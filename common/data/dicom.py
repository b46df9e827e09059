"""One DICOM picture: opened with the attributes that are named and no other, its header checked, decoded.

Names, dates and all other attributes are skipped by the reader, and no error repeats what a text in the file says. Grey levels
are read uncompressed, as RLE and as lossless JPEG; pictures for the eye (`for_the_eye`) as JPEG and JPEG 2000, too.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLossless, JPEGLosslessSV1, RLELossless

from common.data.lossless_jpeg import decode_stream
from common.errors import UsageError

MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 64_000_000  # of all frames
MAX_FRAMES = 64
OF_PIXELS = (
    "Modality", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PixelData",
    "TransferSyntaxUID", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTSequence", "PresentationLUTShape",
)  # fmt: skip
SUFFIXES = (".dcm", ".dicom", ".ima")
MODALITIES = (
    "CR", "CT", "DX", "ES", "IO", "IVUS", "MG", "MR", "NM", "OCT", "OP", "OT", "PT", "PX", "RF", "RG", "SC", "SM", "SR", "US",
    "XA", "XC",
)  # those that an error names: whatever else stands there may be any text  # fmt: skip
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
LOSSLESS_JPEG = (JPEGLossless, JPEGLosslessSV1)
FOR_THE_EYE = (JPEGBaseline8Bit, JPEG2000, JPEG2000Lossless)


def is_dicom(path: Path) -> bool:
    """By its content: export programs name files by their ids, without an ending."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextmanager
def mute_logs(*names: str) -> Iterator[None]:
    """Nothing is logged by these libraries, whose messages repeat what stands in a file, a patient's name included."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def quiet_decoding(path: Path) -> Iterator[None]:
    """Keep pydicom's warnings away, which repeat what stands in the file, and turn the dozen kinds of errors that it raises on
    damaged files into UsageError, which names the file and the kind alone."""
    with mute_logs("pydicom"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{path}: no DICOM file, damaged, or not what its header says ({type(error).__name__})") from None


def open_dicom(
    path: Path,
    modality: str | Sequence[str],
    others: Sequence[str] = (),
    *,
    colours: bool = False,
    for_the_eye: bool = False,
) -> Dataset:
    """A file of one modality ("NM", "MG"), or of one of several, with the attributes OF_PIXELS and `others`. colours: colour
    pictures are taken, too; for_the_eye: so are compressions that lose something.

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
        _check_header(data, path, [modality] if isinstance(modality, str) else modality, colours, for_the_eye)
    return data


def count_frames(data: Dataset) -> int:
    """Frames of an opened file."""
    return int(data.get("NumberOfFrames", 1) or 1)


def _check_header(data: Dataset, path: Path, modalities: Sequence[str], colours: bool, for_the_eye: bool) -> None:
    found = str(data.get("Modality", "") or "")
    if not found:
        raise UsageError(f"{path}: no modality in its header: damaged or cut short?")
    if found not in modalities:
        shown = f"modality {found!r}" if found in MODALITIES else "another modality"
        raise UsageError(f"{path}: {shown}, not {' or '.join(modalities)}")
    numbers = {name: data.get(name) for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PixelRepresentation")}
    for name, value in numbers.items():
        if not isinstance(value, int):
            raise UsageError(f"{path}: {name} is missing or no number")
    kinds = {1: GREY, 3: COLOURS if colours else ()}.get(numbers["SamplesPerPixel"], ())
    if data.get("PhotometricInterpretation") not in kinds:
        what = "a palette or another kind of colour that is not read" if colours else "a colour picture"
        raise UsageError(f"{path}: {what}, not grey levels")
    frames = count_frames(data)
    pixels = frames * numbers["Rows"] * numbers["Columns"]
    if not (0 < frames <= MAX_FRAMES and 0 < pixels <= MAX_PIXELS):
        raise UsageError(f"{path}: claims {frames} frames of {numbers['Rows']}x{numbers['Columns']} pixels")
    if "PixelData" not in data:
        raise UsageError(f"{path}: holds no picture")
    syntax = data.file_meta.TransferSyntaxUID
    needed = pixels * _count_bits(data, numbers) // 8
    if not syntax.is_encapsulated and len(data.PixelData) < needed:
        raise UsageError(f"{path}: its picture has {len(data.PixelData)} bytes, {needed} needed: truncated?")
    if syntax.is_encapsulated and syntax not in (RLELossless, *LOSSLESS_JPEG, *(FOR_THE_EYE if for_the_eye else ())):
        kind = str(syntax.name)[:60] if syntax.name != str(syntax) else "no known kind"  # a UID without a name is any text
        raise UsageError(f"{path}: compressed as {kind}, which is not read; convert it to an uncompressed file")


def _count_bits(data: Dataset, numbers: Mapping[str, Any]) -> int:
    """Bits of a pixel, all samples; YBR_FULL_422 shares two of three between neighbours."""
    samples = 2 if data.PhotometricInterpretation == "YBR_FULL_422" else numbers["SamplesPerPixel"]
    return samples * numbers["BitsAllocated"]


def decode_pixels(data: Dataset, path: Path) -> np.ndarray:
    """Stored values of all frames, (frames, rows, columns), neither rescaled nor inverted; (..., 3) red, green, blue of a colour
    picture. UsageError where they are damaged."""
    shape: tuple[int, ...] = (count_frames(data), int(data.Rows), int(data.Columns))
    shape += (3,) if data.SamplesPerPixel == 3 else ()
    with quiet_decoding(path):
        if data.file_meta.TransferSyntaxUID not in LOSSLESS_JPEG:
            stored = np.asarray(pixel_array(data))
            if stored.size != np.prod(shape):
                raise UsageError(f"{path}: its picture does not fit its header")
            return stored.reshape(shape)
        streams = list(generate_frames(data.PixelData, number_of_frames=shape[0]))
        found = np.stack([decode_stream(stream, str(path))[0] for stream in streams])
        if found.shape != shape:
            raise UsageError(f"{path}: frames of {' x '.join(map(str, found.shape[1:]))} pixels, {shape[1]}x{shape[2]} announced")
        return found.astype(f"i{found.itemsize}") if data.PixelRepresentation == 1 else found
