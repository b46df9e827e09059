"""MetaImage volumes (.mhd header + .raw voxels): header with checks, region reads, world and voxel coordinates.

Format: https://itk.org/Wiki/MetaIO/Documentation. Axis order is x, y, z in headers and coordinates, z, y, x in arrays.
World coordinates are the header's own (LPS millimetres in CT scans), as SimpleITK gives them.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from common.data.folder import MOST_NAME_BYTES, has_control_characters
from common.data.names import find_named
from common.errors import UsageError, quote

MAX_HEADER_BYTES = 2**20  # programs add what they know of a scan, DICOM attributes included
MAX_DIMENSION = 65_535
MAX_LENGTH = 1e9  # mm, of origins and spacings; these are at least 1 / MAX_LENGTH
LEAST_AXIAL = 0.9  # cosine between the normal of a slice and the patient's long axis
ELEMENT_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
PLAIN_TEXT = re.compile(r"[\t -~]*")
TRUTHS = {"true": 1.0, "false": 0.0}
# Other names that MetaIO accepts for the same entry.
SYNONYMS = {
    "Position": "Offset",
    "Origin": "Offset",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
USED = {
    "NDims", "CompressedData", "ElementNumberOfChannels", "BinaryData", "ElementType", "DimSize", "ElementSpacing",
    "TransformMatrix", "Offset", "BinaryDataByteOrderMSB", "HeaderSize", "ElementDataFile",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Volume:
    """A checked header: the raw file exists and holds exactly the voxels that the header claims."""

    path: Path  # of the header
    raw: Path
    offset: int  # bytes before the first voxel
    size: tuple[int, int, int]  # voxels along x, y, z
    dtype: np.dtype  # with byte order
    spacing: np.ndarray  # float64 (3,), mm
    origin: np.ndarray  # float64 (3,), world position of voxel (0, 0, 0)
    direction: np.ndarray  # float64 (3, 3), column i is the world direction of voxel axis i
    voxels: np.ndarray | None = None  # (z, y, x) of a volume that another format gave, held in memory


def read_header(path: Path, folder: Path | None = None) -> Volume:
    """Parse and check a header; reads no voxel. Entries that are not used (USED) may be anything: programs add their own.

    The raw file must lie in `folder` (default: the header's own folder), links resolved. Raises UsageError that names
    the file and the fault: not text, missing or doubled entries (those under two names that agree count once), wrong
    numbers, compressed data, a raw file that is missing, outside or of another size than the header claims.
    """
    entries = _parse_entries(path)

    def need(name: str) -> str:
        if name not in entries:
            raise UsageError(f"{path}: no {name} in the header")
        return entries[name]

    if need("NDims") != "3":
        raise UsageError(f"{path}: NDims = {entries['NDims'][:20]}; only volumes of 3 dimensions are read")
    if _read_flag(path, entries, "CompressedData"):
        raise UsageError(f"{path}: compressed voxels (.zraw) cannot be read by region; write the volume uncompressed")
    if entries.get("ElementNumberOfChannels", "1") != "1":
        raise UsageError(f"{path}: {entries['ElementNumberOfChannels'][:20]} channels; only grey volumes are read")
    if not _read_flag(path, entries, "BinaryData", default=True):
        raise UsageError(f"{path}: voxels as text (BinaryData = False) are not read")
    if need("ElementType") not in ELEMENT_TYPES:
        raise UsageError(f"{path}: ElementType {entries['ElementType'][:30]} is none of {', '.join(ELEMENT_TYPES)}")
    width, height, depth = _read_integers(path, "DimSize", need("DimSize"), 3)
    size = width, height, depth
    if not all(1 <= extent <= MAX_DIMENSION for extent in size):
        raise UsageError(f"{path}: DimSize = {entries['DimSize'][:60]}; each must be 1 to {MAX_DIMENSION}")
    spacing = _read_floats(path, "ElementSpacing", need("ElementSpacing"), 3)
    if not ((spacing >= 1 / MAX_LENGTH) & (spacing <= MAX_LENGTH)).all():
        raise UsageError(f"{path}: ElementSpacing = {entries['ElementSpacing'][:60]}; each must be positive, to {MAX_LENGTH:g}")
    direction = _read_floats(path, "TransformMatrix", entries.get("TransformMatrix", "1 0 0 0 1 0 0 0 1"), 9)
    direction = direction.reshape(3, 3).T  # the file lists the direction of one voxel axis after the other
    if np.abs(direction).max() > 1.001 or np.abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise UsageError(f"{path}: TransformMatrix = {entries['TransformMatrix'][:90]} is no rotation or reflection")
    order = ">" if _read_flag(path, entries, "BinaryDataByteOrderMSB") else "<"
    dtype = np.dtype(order + ELEMENT_TYPES[entries["ElementType"]])
    raw = _find_raw(path, need("ElementDataFile"), folder or path.parent)
    offset = _check_raw_size(path, raw, size, dtype, entries.get("HeaderSize", "0"))
    origin = _read_floats(path, "Offset", entries.get("Offset", "0 0 0"), 3)
    if not (np.abs(origin) <= MAX_LENGTH).all():
        raise UsageError(f"{path}: Offset = {entries['Offset'][:60]}; each must lie within {MAX_LENGTH:g} of 0")
    return Volume(path, raw, offset, size, dtype, spacing, origin, direction)


def check_axial(volume: Volume) -> Volume:
    """The volume; UsageError unless its slices lie across the patient's long axis, mirrored or not, tilted by 25 degrees at
    most."""
    if abs(volume.direction[2, 2]) < LEAST_AXIAL:
        raise UsageError(f"{volume.path}: its slices are not axial; turn or resample the scan, so that they are")
    return volume


def world_to_voxel(volume: Volume, world: np.ndarray) -> np.ndarray:
    """Continuous voxel coordinates (..., 3) in x, y, z of world points (..., 3) in mm; flipped axes come out right."""
    moved = np.asarray(world, dtype=np.float64) - volume.origin
    return moved @ np.linalg.inv(volume.direction).T / volume.spacing


def voxel_to_world(volume: Volume, voxel: np.ndarray) -> np.ndarray:
    """World points (..., 3) in mm of continuous voxel coordinates (..., 3) in x, y, z."""
    return (np.asarray(voxel, dtype=np.float64) * volume.spacing) @ volume.direction.T + volume.origin


def read_region(volume: Volume, start: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    """Voxels of a box, start and size in x, y, z: array (z, y, x) in native byte order.

    One seek and one read a slice, of the rows y to y + size only. Raises ValueError if the box leaves the volume,
    UsageError if the raw file has become shorter.
    """
    for axis in range(3):
        if start[axis] < 0 or size[axis] < 1 or start[axis] + size[axis] > volume.size[axis]:
            raise ValueError(f"region {start} + {size} leaves the volume {volume.size} of {volume.path}")
    (x, y, z), (columns, rows, slices) = start, size
    if volume.voxels is not None:
        return volume.voxels[z : z + slices, y : y + rows, x : x + columns]
    width, height, _ = volume.size
    item = volume.dtype.itemsize
    region = np.empty((slices, rows, columns), dtype=volume.dtype.newbyteorder("="))
    try:
        with volume.raw.open("rb", buffering=0) as file:
            for index in range(slices):
                file.seek(volume.offset + ((z + index) * height + y) * width * item)
                data = file.read(rows * width * item)
                if len(data) != rows * width * item:
                    raise UsageError(f"{volume.raw}: ends early; it was cut after its header had been checked")
                region[index] = np.frombuffer(data, dtype=volume.dtype).reshape(rows, width)[:, x : x + columns]
    except OSError as error:
        raise UsageError(f"{volume.raw}: {error.strerror or error}") from None
    return region


def write_volume(
    path: Path,
    voxels: np.ndarray,
    spacing: Iterable[float] = (1.0, 1.0, 1.0),
    origin: Iterable[float] = (0.0, 0.0, 0.0),
    direction: np.ndarray | None = None,
) -> None:
    """Write `path` (.mhd) and its .raw beside it.

    voxels: (z, y, x); spacing, origin: x, y, z in mm; direction: (3, 3), column i is the world direction of voxel axis i.
    """
    codes = {code: name for name, code in ELEMENT_TYPES.items()}
    direction = np.eye(3) if direction is None else np.asarray(direction, dtype=np.float64)

    def listed(values: Iterable[float]) -> str:
        return " ".join(f"{value:.17g}" for value in values)

    raw = path.with_suffix(".raw")
    raw.write_bytes(np.ascontiguousarray(voxels).tobytes())
    path.write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\n"
        f"BinaryDataByteOrderMSB = {_is_big_endian(voxels.dtype)}\nCompressedData = False\n"
        f"TransformMatrix = {listed(direction.T.ravel())}\nOffset = {listed(origin)}\n"
        f"ElementSpacing = {listed(spacing)}\nDimSize = {' '.join(map(str, voxels.shape[::-1]))}\n"
        f"ElementType = {codes[voxels.dtype.str[1:]]}\nElementDataFile = {raw.name}\n",
        encoding="ascii",
    )


def _is_big_endian(dtype: np.dtype) -> bool:
    return dtype.str[0] == ">"


def _parse_entries(path: Path) -> dict[str, str]:
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise UsageError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_HEADER_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    # Later bytes may be voxels (.mha): the header ends with the line of ElementDataFile.
    end = re.search(rb"^[ \t]*ElementDataFile[ \t]*=[^\n]*", data, re.MULTILINE)
    if end is None:
        size_note = f" in its first {MAX_HEADER_BYTES} bytes" if len(data) > MAX_HEADER_BYTES else ""
        raise UsageError(f"{path}: not a MetaImage header: no ElementDataFile{size_note}")
    entries: dict[str, str] = {}
    sources: dict[str, str] = {}  # entry -> the name under which it was first given
    given = set()
    for number, line in enumerate(data[: end.end()].split(b"\n"), start=1):
        written, equals, value = (part.strip() for part in _decode_line(line).partition("="))
        name = SYNONYMS.get(written, written)
        if not equals or name not in USED:
            continue
        if name == "ElementDataFile":
            if has_control_characters(value.replace("\t", " ")):
                raise UsageError(f"{path} line {number}: {written} holds control characters")
        elif not PLAIN_TEXT.fullmatch(value):
            raise UsageError(f"{path} line {number}: {written} is not plain text")
        if written in given:
            raise UsageError(f"{path} line {number}: {written} is given twice")
        given.add(written)
        if name in entries and _read_alike(value) != _read_alike(entries[name]):
            first, second = f"{sources[name]} = {entries[name][:60]}", f"{written} = {value[:60]}"
            raise UsageError(f"{path} line {number}: {second} and {first} are one entry and differ; leave one of them out")
        entries.setdefault(name, value)
        sources.setdefault(name, written)
    if len(entries) == 1:
        raise UsageError(f"{path}: not a MetaImage header: it has no entry but ElementDataFile")
    return entries


def _decode_line(line: bytes) -> str:
    """UTF-8, as SimpleITK writes names of files, else Latin-1, as older programs do."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _read_alike(value: str) -> list[float | str]:
    """One spelling for values that mean the same: numbers and truths as numbers."""
    words: list[float | str] = []
    for word in value.lower().split():
        try:
            words.append(TRUTHS[word] if word in TRUTHS else float(word))
        except ValueError:
            words.append(word)
    return words


def _read_flag(path: Path, entries: dict[str, str], name: str, default: bool = False) -> bool:
    value = entries.get(name, str(default)).lower()
    if value not in ("true", "false", "1", "0"):
        raise UsageError(f"{path}: {name} = {value[:20]}; expected True or False")
    return value in ("true", "1")


def _read_integers(path: Path, name: str, text: str, count: int) -> tuple[int, ...]:
    words = text.split()
    if len(words) != count or not all(re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
        raise UsageError(f"{path}: {name} = {text[:60]}; expected {count} whole numbers")
    return tuple(int(word) for word in words)


def _read_floats(path: Path, name: str, text: str, count: int) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split()], dtype=np.float64)
    except ValueError:
        values = np.empty(0)
    if len(values) != count or not np.isfinite(values).all():
        raise UsageError(f"{path}: {name} = {text[:60]}; expected {count} numbers")
    return values


def _find_raw(path: Path, name: str, folder: Path) -> Path:
    if name.upper() in ("LOCAL", "LIST") or name.upper().startswith("LIST ") or "%" in name:
        raise UsageError(f"{path}: ElementDataFile = {name[:60]}; only one raw file beside the header is read")
    if len(name.encode()) > MOST_NAME_BYTES:
        raise UsageError(f"{path}: ElementDataFile is a name of {len(name)} characters, too long for a file")
    raw, windows = path.parent / name, PureWindowsPath(name)
    inside = Path(os.path.realpath(raw)).is_relative_to(os.path.realpath(folder))
    if not inside or (windows.anchor and not raw.exists()):
        raise UsageError(f"{path}: ElementDataFile = {quote(name, 80)} leaves the folder {folder}")
    if not raw.exists() and ".." not in windows.parts:
        raw = find_named(path, name)  # a raw file that was renamed in passing; UsageError names the near miss
    if not raw.is_file():
        raise UsageError(f"{path}: its voxels {quote(name, 120)} are missing; put the raw file beside the header")
    return raw


def _check_raw_size(path: Path, raw: Path, size: tuple[int, int, int], dtype: np.dtype, header_size: str) -> int:
    """Offset of the first voxel. A file that is too long is refused too: the voxels could start anywhere."""
    (claimed_offset,) = _read_integers(path, "HeaderSize", header_size, 1)
    claimed = size[0] * size[1] * size[2] * dtype.itemsize
    found = raw.stat().st_size
    offset = found - claimed if claimed_offset == -1 else claimed_offset  # -1: the voxels are the end of the file
    if offset < 0 or offset + claimed != found:
        raise UsageError(
            f"{path}: the header claims {claimed} bytes of voxels{f' after {offset}' if offset > 0 else ''}, "
            f"{raw.name} has {found}; the file is damaged or cut, get it again"
        )
    return offset
