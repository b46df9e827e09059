"""Volumes with their place in the patient (NRRD, NIfTI), and masks laid on the grid of an image by what the headers say.

Arrays are (slice, row, column): axial slices from the feet up, rows to the back, columns to the patient's left.
"""

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from common.errors import UsageError
from replications.glioma_inceptionv3.sources.nrrd import MAX_LENGTH, MAX_VOXELS, Header, count_unpacked, read_header

NRRD, NIFTI = (".nrrd", ".nhdr"), (".nii", ".nii.gz")
AXIAL = "LPS"
NIFTI_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}  # code -> bits of real numbers
OUTSIDE = 0.01  # most of a mask that may lie outside the image


@dataclass(frozen=True, eq=False)
class Volume:
    """An image as SimpleITK has it, in three dimensions, with one or more values a voxel."""

    path: Path
    image: sitk.Image
    has_geometry: bool
    pairs: dict[str, str]  # key:=value of an NRRD header

    @property
    def layers(self) -> int:
        return int(self.image.GetNumberOfComponentsPerPixel())


def read_volume(path: Path, folder: Path) -> Volume:
    """A volume from a NRRD or NIfTI file inside `folder`.

    Raises UsageError for what `read_header` refuses (and the like in NIfTI), other file names, and a place in space that is none.
    """
    name = path.name.lower()
    if name.endswith(NRRD):
        header, driver = read_header(path, folder), "NrrdImageIO"
    elif name.endswith(NIFTI):
        header, driver = read_nifti_header(path), "NiftiImageIO"
    else:
        raise UsageError(f"{path}: neither NRRD nor NIfTI by its name ({', '.join(NRRD + NIFTI)})")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they go to stderr by themselves; what matters is checked here
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(driver)
    try:
        reader.ReadImageInformation()
        if reader.GetSize()[:3] != header.size or reader.GetNumberOfComponents() != header.layers or reader.GetDimension() != 3:
            raise UsageError(f"{path}: SimpleITK reads other sizes than its header says; write the file anew")
        image = reader.Execute()
    except RuntimeError as error:
        reason = re.sub(r"\(0x[0-9a-f]+\)|ITK ERROR:", "", str(error).strip().splitlines()[-1])
        raise UsageError(f"{path}: SimpleITK cannot read it ({' '.join(reason.split())[:160]})") from None
    _check_place(path, image)
    return Volume(path, image, header.has_geometry, dict(header.pairs))


def _check_place(path: Path, image: sitk.Image) -> None:
    spacing, origin = np.array(image.GetSpacing()), np.array(image.GetOrigin())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    if not ((spacing >= 1 / MAX_LENGTH) & (spacing <= MAX_LENGTH)).all() or not (np.abs(origin) <= MAX_LENGTH).all():
        raise UsageError(f"{path}: spacing {spacing.tolist()} or origin {origin.tolist()} is no place in mm")
    if not np.abs(direction.T @ direction - np.eye(3)).max() <= 1e-3:
        raise UsageError(f"{path}: its axes are not at right angles; resample the volume")


def read_nifti_header(path: Path) -> Header:
    """Header of a NIfTI-1 file (https://nifti.nimh.nih.gov/nifti-1) in one file, packed or not, checked as in `read_header`."""
    packed = path.name.lower().endswith(".gz")
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        start = _read_start(path, gzip.open if packed else open)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    orders = [order for order in "<>" if len(start) == 348 and struct.unpack(f"{order}i", start[:4]) == (348,)]
    if not orders or start[344:348] != b"n+1\0":
        raise UsageError(f"{path}: not a NIfTI-1 file in one part (.nii or .nii.gz)")
    (order,) = orders
    dimensions, *sizes = struct.unpack(f"{order}8h", start[40:56])
    code, bits = struct.unpack(f"{order}2h", start[70:74])
    (offset,) = struct.unpack(f"{order}f", start[108:112])
    forms = struct.unpack(f"{order}2h", start[252:256])
    if not 3 <= dimensions <= 7 or any(size < 1 for size in sizes[:dimensions]):
        raise UsageError(f"{path}: {dimensions} axes of {' x '.join(map(str, sizes))}; three of positive size are needed")
    if any(size != 1 for size in sizes[3:dimensions]):
        raise UsageError(f"{path}: {' x '.join(map(str, sizes[:dimensions]))} holds several volumes; write one a file")
    count = sizes[0] * sizes[1] * sizes[2]
    if NIFTI_BITS.get(code) != bits or count > MAX_VOXELS or not 352 <= offset <= 2**20:
        raise UsageError(f"{path}: {count} voxels of type {code} and {bits} bits from byte {offset} on are not read")
    claimed = int(offset) + count * bits // 8
    found = count_unpacked(path, 0, claimed) if packed else path.stat().st_size
    if found < claimed:
        raise UsageError(f"{path}: the header claims {claimed} bytes, the file has {found}; it is damaged or cut, get it again")
    return Header(path, tuple(sizes[:3]), 1, any(form > 0 for form in forms), {})


def _read_start(path: Path, opened: Callable) -> bytes:
    """The first 348 bytes, unpacked."""
    try:
        with opened(path, "rb") as file:
            return file.read(348)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path}: damaged or cut gzip data ({str(error)[:80]}); get the file again") from None


def match_grid(mask: sitk.Image, image: Volume, where: Path, has_geometry: bool) -> sitk.Image:
    """A mask (uint8, 0 or 1) on the grid of an image: resampled by what both headers say (nearest voxel), never by position in
    the array. where: of the mask, for faults.

    Raises UsageError for an empty mask, one that lies outside the image, and another grid where a header gives no place.
    """
    voxels = sitk.GetArrayViewFromImage(mask)
    if not voxels.any():
        raise UsageError(f"{where}: the mask is empty")
    if not (has_geometry and image.has_geometry):
        if has_geometry != image.has_geometry or mask.GetSize() != image.image.GetSize():
            sizes = " against ".join(" x ".join(map(str, one.GetSize())) for one in (mask, image.image))
            raise UsageError(
                f"{where}: its header or its image's does not say where it lies ({sizes} voxels); write both with their geometry"
            )
        return mask
    same = mask.GetSize() == image.image.GetSize()
    for read in ("GetOrigin", "GetSpacing", "GetDirection"):
        same = same and np.allclose(getattr(mask, read)(), getattr(image.image, read)(), rtol=0, atol=1e-4)
    if same:
        return mask
    outside = _measure_outside(mask, np.argwhere(voxels)[:, ::-1], image.image)
    if outside > OUTSIDE:
        raise UsageError(f"{where}: {outside:.0%} of the mask lies outside its image {image.path.name}; are they of one subject?")
    laid = sitk.Resample(mask, image.image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    if not sitk.GetArrayViewFromImage(laid).any():
        raise UsageError(f"{where}: the mask falls between the voxels of its image {image.path.name}")
    return laid


def _measure_outside(mask: sitk.Image, points: np.ndarray, image: sitk.Image) -> float:
    """Share of the voxels (n, 3), x, y, z of a mask whose centres lie outside an image."""

    def read(one: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
        return np.array(one.GetDirection()).reshape(3, 3) * np.array(one.GetSpacing()), np.array(one.GetOrigin())

    (axes, origin), (grid, start) = read(mask), read(image)
    places = (points @ axes.T + origin - start) @ np.linalg.inv(grid).T
    return float(((places < -0.5) | (places > np.array(image.GetSize()) - 0.5)).any(axis=1).mean())


def orient(image: sitk.Image) -> tuple[np.ndarray, tuple[float, float]]:
    """Array (slice, row, column) in axial orientation, and the spacing of rows and columns in mm."""
    turned = sitk.DICOMOrient(image, AXIAL)
    x, y, _ = turned.GetSpacing()
    return sitk.GetArrayFromImage(turned), (y, x)
