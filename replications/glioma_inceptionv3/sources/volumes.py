"""Volumes with their place in the patient (NRRD, NIfTI), and masks laid on the grid of an image by what the headers say.

Arrays are (slice, row, column): axial slices from the feet up, rows to the back, columns to the patient's left.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from common.data.nifti import AXIAL, NIFTI, read_image, read_nifti_header
from common.errors import UsageError
from replications.glioma_inceptionv3.sources.nrrd import Header, read_header

NRRD = (".nrrd", ".nhdr")
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
        header, driver = _read_nifti_header(path), "NiftiImageIO"
    else:
        raise UsageError(f"{path}: neither NRRD nor NIfTI by its name ({', '.join(NRRD + NIFTI)})")
    image = read_image(path, driver, header.size, header.layers)
    return Volume(path, image, header.has_geometry, dict(header.pairs))


def _read_nifti_header(path: Path) -> Header:
    found = read_nifti_header(path)
    return Header(path, found.size, 1, found.has_geometry, {})


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
