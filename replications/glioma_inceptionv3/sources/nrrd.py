"""NRRD files (https://teem.sourceforge.net/nrrd/format.html): the header is checked before SimpleITK reads a voxel.

SimpleITK allocates what a header claims, and follows the name of a data file wherever it leads. So pynrrd reads the header first:
sizes against a limit, the byte count of the voxels against the file (compressed ones are counted as they are unpacked, block by
block), and a data file only inside the data folder. Names of fields are compared in lower case, as SimpleITK does.
"""

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from nrrd.errors import NRRDError

from common.data.folder import has_control_characters
from common.data.names import find_named
from common.data.nifti import MAX_LENGTH, MAX_VOXELS, count_unpacked
from common.errors import UsageError

MAX_HEADER_BYTES = 2**20  # seven segments of 3D Slicer take 5 kB
# Of a field: SimpleITK's reader copies a longer one into a message of 1,024, beyond its end.
MOST_LETTERS = 500
# The names of C and of stdint; which voxels are signed does not matter here.
TYPE = re.compile(r"(?:signed |unsigned |u)?(char|short|int|long ?long|int8|int16|int32|int64|float|double)(?:_t| int)?")
ITEM_BYTES = {"char": 1, "int8": 1, "short": 2, "int16": 2, "int": 4, "int32": 4, "float": 4, "int64": 8, "double": 8,
              "longlong": 8, "long long": 8}  # fmt: skip
FIELDS = {
    "type", "dimension", "sizes", "encoding", "endian", "content", "space", "space dimension", "space directions", "space origin",
    "space units", "spacings", "thicknesses", "kinds", "centers", "centerings", "labels", "units", "sample units", "min", "max",
    "old min", "oldmin", "old max", "oldmax", "axis mins", "axismins", "axis maxs", "axismaxs", "measurement frame", "number",
    "block size", "blocksize", "data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip",
}  # fmt: skip
RANGE_KINDS = {"list", "point", "vector", "covariant-vector", "normal", "stub", "scalar", "complex", "2-vector", "3-color",
               "rgb-color", "hsv-color", "xyz-color", "4-color", "rgba-color", "3-vector", "3-gradient", "3-normal", "4-vector",
               "quaternion"}  # fmt: skip
FIELD, PAIR = re.compile(r"([^:]+):(?!=) *(.*)"), re.compile(r"([^:]+):=(.*)")


@dataclass(frozen=True, eq=False)
class Header:
    """A checked header: its voxels are there, as many as it claims."""

    path: Path
    size: tuple[int, ...]  # of the three axes in space, the fastest first
    layers: int  # voxel values at one place: the size of the list axis, else 1
    has_geometry: bool  # says where the voxels lie
    pairs: Mapping[str, str]  # key:=value


def read_header(path: Path, folder: Path) -> Header:
    """Header of an NRRD file inside `folder`, checked; no voxel is kept.

    Raises UsageError that names the file and the fault: no NRRD header, unknown or double fields, sizes beyond the limits, other
    than three axes in space (and one list of layers), an encoding other than raw and gzip, a data file that is missing, one of
    several or outside the folder, another count of bytes than the header claims.
    """
    lines, offset = _read_lines(path)
    fields, pairs = _parse(path, lines)
    sizes = _read_sizes(path, fields)
    ranges = _find_range_axes(path, fields, len(sizes))
    if len(sizes) - len(ranges) != 3 or len(ranges) > 1:
        shown = " x ".join(map(str, sizes))
        raise UsageError(
            f"{path}: {shown} has {len(sizes) - len(ranges)} axes in space; three are needed, and at most one list of kind list"
        )
    _check_place(path, fields, ranges)
    if fields["encoding"].lower() not in ("raw", "gzip", "gz"):
        raise UsageError(f"{path}: encoding {fields['encoding'][:20]!r} is not read; write the file with encoding raw or gzip")
    if (kind := TYPE.fullmatch(" ".join(fields["type"].lower().split()))) is None:
        raise UsageError(f"{path}: voxels of type {fields['type'][:30]!r} are not read")
    item = ITEM_BYTES[kind[1]]
    if item > 1 and fields.get("endian", "").lower() not in ("little", "big"):
        raise UsageError(f"{path}: endian must be little or big for voxels of {item} bytes")
    for name in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(name, 0) != 0:
            raise UsageError(f"{path}: {name} = {fields[name]}; only data files that begin with the voxels are read")
    data = _find_data(path, folder, fields.get("data file", fields.get("datafile")))
    claimed = int(np.prod(sizes, dtype=np.int64)) * item
    _check_bytes(path, data, 0 if data != path else offset, claimed, fields["encoding"].lower() != "raw")
    layers = sizes[ranges[0]] if ranges else 1
    space = tuple(size for axis, size in enumerate(sizes) if axis not in ranges)
    return Header(path, space, layers, "space directions" in fields or "spacings" in fields, pairs)


def _read_lines(path: Path) -> tuple[list[str], int]:
    """Header lines without their ends, and the bytes up to and with the empty line behind them (all, where there is none)."""
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        with path.open("rb") as file:
            start = file.read(MAX_HEADER_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if not start.startswith(b"NRRD"):
        raise UsageError(f"{path}: {'the file is empty' if not start else 'not an NRRD file'}")
    lines: list[str] = []
    place = 0
    while place < len(start):
        end = start.find(b"\n", place)
        end = len(start) if end < 0 else end
        line = start[place:end].removesuffix(b"\r")
        place = end + 1
        if not line:
            return lines, place
        text = line.decode("utf-8", "replace")
        if has_control_characters(text.replace("\t", " ")) or not text.strip():
            raise UsageError(f"{path}: line {len(lines) + 1} of the header holds what is no text")
        lines.append(text)
    if len(start) == MAX_HEADER_BYTES:
        raise UsageError(f"{path}: no end of the header within {MAX_HEADER_BYTES} bytes")
    return lines, place


def _parse(path: Path, lines: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields with lower-case names, as pynrrd reads them, and key:=value pairs."""
    kept, pairs = lines[:1], {}
    for number, line in enumerate(lines[1:], start=2):
        if line.startswith("#"):
            continue
        if match := PAIR.fullmatch(line):
            if match[1] in pairs:
                raise UsageError(f"{path}: line {number} of the header gives a key again")
            pairs[match[1]] = match[2].strip()
        elif (match := FIELD.fullmatch(line)) and (name := match[1].lower()) in FIELDS:
            if name in ("data file", "datafile") and re.match(r"LIST\b|.*%", match[2], re.IGNORECASE):
                raise UsageError(f"{path}: its voxels lie in several files ({match[2][:40]!r}); write them into one")
            if len(match[2]) > MOST_LETTERS and name != "content":
                raise UsageError(f"{path}: line {number} of the header: {len(match[2]):,} letters for {name}, too many")
            kept.append(f"{name}: {match[2]}")
        else:
            raise UsageError(f"{path}: line {number} of the header is no field of an NRRD header")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fields = dict(nrrd.read_header(kept))
    except (NRRDError, ValueError, IndexError, OverflowError, TypeError) as error:
        what = re.split(r"[:'\"]", str(error))[0].strip()  # what follows repeats the header, which may name people
        raise UsageError(f"{path}: damaged NRRD header ({what[:80]})") from None
    missing = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if missing:
        raise UsageError(f"{path}: no {', '.join(missing)} in the NRRD header")
    return fields, pairs


def _read_sizes(path: Path, fields: dict[str, Any]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in fields["sizes"])
    if fields["dimension"] != len(sizes):
        raise UsageError(f"{path}: dimension {fields['dimension']}, but {len(sizes)} sizes")
    total = 1
    for size in sizes:
        total *= size
        if not 1 <= size <= MAX_VOXELS or total > MAX_VOXELS:
            raise UsageError(
                f"{path}: sizes {' x '.join(map(str, sizes))[:80]}; each must be positive and their product at most {MAX_VOXELS}"
            )
    return sizes


def _find_range_axes(path: Path, fields: dict[str, Any], count: int) -> list[int]:
    """Positions of the axes that are no direction in space, by their kind or their missing direction."""
    kinds = [str(kind).lower() for kind in fields.get("kinds", [])] or ["domain"] * count
    directions = np.asarray(fields.get("space directions", np.zeros((count, 3))), float)
    found = {len(kinds), len(directions), len(fields.get("spacings", directions))}
    if found != {count} or directions.ndim != 2:
        raise UsageError(f"{path}: kinds, space directions and spacings must be {count} each, as there are {count} sizes")
    without = np.isnan(directions).any(axis=1)
    of_kind = np.array([kind in RANGE_KINDS or "matrix" in kind for kind in kinds])
    if (without & ~of_kind).any():
        axis = int((without & ~of_kind).argmax())
        raise UsageError(f"{path}: axis {axis + 1} has no direction in space; if it counts layers, its kind must be list")
    return np.flatnonzero(of_kind).tolist()


def _check_place(path: Path, fields: dict[str, Any], ranges: list[int]) -> None:
    """Raise UsageError for an origin or spacings that are no lengths. SimpleITK takes some of them for 0 or 1."""
    known = {
        "space directions": np.eye(len(fields["sizes"])),
        "spacings": np.ones(len(fields["sizes"])),
        "space origin": np.zeros(3),
    }
    with np.errstate(over="ignore"):
        directions, spacings, origin = (np.asarray(fields.get(name, default), float) for name, default in known.items())
        axes = [axis for axis in range(len(fields["sizes"])) if axis not in ranges]
        lengths = np.concatenate([np.linalg.norm(np.atleast_2d(directions)[axes], axis=1), spacings[axes]])
    good = (lengths >= 1 / MAX_LENGTH) & (lengths <= MAX_LENGTH)
    if not good.all() or not (np.abs(origin) <= MAX_LENGTH).all():
        raise UsageError(f"{path}: space directions, spacings or space origin that are no lengths in mm; correct the header")


def _find_data(path: Path, folder: Path, name: str | None) -> Path:
    """The file that holds the voxels: inside `folder`, beside or below the header."""
    if name is None:
        return path
    data = find_named(path, name)
    if not Path(os.path.realpath(data)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"{path}: its data file {name[:80]!r} leaves the data folder")
    if not data.is_file():
        raise UsageError(f"{path}: its data file {name[:80]!r} is missing; put it beside the header")
    return data


def _check_bytes(path: Path, data: Path, offset: int, claimed: int, packed: bool) -> None:
    """Raise UsageError unless the file holds exactly the bytes that the header claims."""
    found = count_unpacked(data, offset, claimed) if packed else max(0, data.stat().st_size - offset)
    if found != claimed:
        shown = f"more than {claimed}" if packed and found > claimed else str(found)
        raise UsageError(
            f"{path}: the header claims {claimed} bytes of voxels, the file has {shown}; it is damaged or cut, get it again"
        )
