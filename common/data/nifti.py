"""NIfTI volumes (https://nifti.nimh.nih.gov/nifti-1): the header is checked before SimpleITK reads a voxel.

SimpleITK allocates what a header claims. So sizes are held against a limit and the count of bytes against the file, block by
block where it is packed. No text of a header is read. Places are in mm, x to the patient's left, y to the back, z to the head.
"""

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from common.data.metaimage import Volume, read_region
from common.errors import UsageError

NIFTI = (".nii", ".nii.gz")
AXIAL = "LPS"
MAX_VOXELS = 2**28
MAX_LENGTH = 1e6  # mm, of origins and spacings; spacings are at least 1 / MAX_LENGTH
BLOCK = 2**20
NIFTI_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}  # code -> bits of real numbers


@dataclass(frozen=True)
class NiftiHeader:
    """A checked header: its voxels are there, as many as it claims."""

    size: tuple[int, int, int]  # voxels along the three axes, the fastest first
    has_geometry: bool  # says where the voxels lie


def is_nifti(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(NIFTI)


def read_nifti_header(path: Path) -> NiftiHeader:
    """Header of a NIfTI-1 file in one part, packed or not, checked. Raises UsageError that names the file and the fault."""
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
    place = struct.unpack(f"{order}3f", start[80:92])  # distances of voxels
    place += struct.unpack(f"{order}6f", start[256:280]) if forms[0] > 0 else ()
    place += struct.unpack(f"{order}12f", start[280:328]) if forms[1] > 0 else ()
    if not (np.abs(place) <= MAX_LENGTH).all():  # SimpleITK would tell it on the screen
        raise UsageError(f"{path}: its header holds numbers that are no place in mm; write the file anew")
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
    return NiftiHeader((sizes[0], sizes[1], sizes[2]), any(form > 0 for form in forms))


def read_nifti(path: Path) -> Volume:
    """A volume with its place, held in memory. Raises UsageError as `read_nifti_header` and `read_image` do, for a header that
    does not say where the voxels lie, and for voxels that are not finite."""
    header = read_nifti_header(path)
    if not header.has_geometry:
        raise UsageError(f"{path}: its header does not say where it lies in the patient (neither qform nor sform)")
    volume = hold_image(path, read_image(path, "NiftiImageIO", header.size, 1))
    if volume.voxels is not None and volume.voxels.dtype.kind == "f" and not np.isfinite(volume.voxels).all():
        raise UsageError(f"{path}: voxels that are NaN or infinite; repair the volume")
    return volume


def read_image(path: Path, driver: str, size: tuple[int, ...], layers: int) -> sitk.Image:
    """An image of three axes by a reader of SimpleITK, after its header was checked: size and layers are those of the header.

    Raises UsageError where SimpleITK reads others or nothing, and for a place in space that is none.
    """
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they go to stderr by themselves; what matters is checked here
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(driver)
    try:
        reader.ReadImageInformation()
        if reader.GetSize()[:3] != size or reader.GetNumberOfComponents() != layers or reader.GetDimension() != 3:
            raise UsageError(f"{path}: SimpleITK reads other sizes than its header says; write the file anew")
        image = reader.Execute()
    except RuntimeError:  # its text may repeat what stands in the header
        raise UsageError(f"{path}: SimpleITK cannot read it, though its header is sound; write the file anew") from None
    check_place(path, image)
    return image


def check_place(path: Path, image: sitk.Image) -> None:
    """UsageError unless the image lies at a place in mm, with its axes at right angles."""
    spacing, origin = np.array(image.GetSpacing()), np.array(image.GetOrigin())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    if not ((spacing >= 1 / MAX_LENGTH) & (spacing <= MAX_LENGTH)).all() or not (np.abs(origin) <= MAX_LENGTH).all():
        raise UsageError(f"{path}: spacing {spacing.tolist()} or origin {origin.tolist()} is no place in mm")
    if not np.abs(direction.T @ direction - np.eye(3)).max() <= 1e-3:
        raise UsageError(f"{path}: its axes are not at right angles; resample the volume")


def hold_image(path: Path, image: sitk.Image) -> Volume:
    """An image of SimpleITK in memory, its axes turned to the patient's left, back and head."""
    turned = sitk.DICOMOrient(image, AXIAL)
    voxels = sitk.GetArrayFromImage(turned)
    return Volume(
        path=path,
        raw=path,
        offset=0,
        size=turned.GetSize(),
        dtype=voxels.dtype,
        spacing=np.array(turned.GetSpacing()),
        origin=np.array(turned.GetOrigin()),
        direction=np.array(turned.GetDirection()).reshape(3, 3),
        voxels=voxels,
    )


def turn_volume(volume: Volume) -> Volume:
    """A volume with its axes turned as `hold_image` turns them; itself, unread, where they lie so.

    Raises UsageError for one that is too large to be held, and as `read_region`.
    """
    cosines = volume.direction.ravel().tolist()
    if sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(cosines) == AXIAL:
        return volume
    if volume.size[0] * volume.size[1] * volume.size[2] > MAX_VOXELS:
        raise UsageError(f"{volume.path}: more than {MAX_VOXELS} voxels, too many to be turned; store it as {AXIAL}")
    image = sitk.GetImageFromArray(read_region(volume, (0, 0, 0), volume.size))
    image.SetSpacing(volume.spacing.tolist())
    image.SetOrigin(volume.origin.tolist())
    image.SetDirection(cosines)
    return replace(hold_image(volume.path, image), raw=volume.raw)


def count_unpacked(file: Path, offset: int, limit: int) -> int:
    """Bytes that the gzip stream from `offset` of a file on unpacks to; more than `limit` counts as limit + 1. Raises UsageError
    if it is damaged."""
    found = 0
    try:
        with file.open("rb") as raw:
            raw.seek(offset)
            with gzip.GzipFile(fileobj=raw) as stream:
                while found <= limit and (block := stream.read(min(BLOCK, limit + 1 - found))):
                    found += len(block)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{file}: damaged or cut gzip data ({str(error)[:80]}); get the file again") from None
    return found


def _read_start(path: Path, opened: Callable) -> bytes:
    """The first 348 bytes, unpacked."""
    try:
        with opened(path, "rb") as file:
            return file.read(348)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path}: damaged or cut gzip data ({str(error)[:80]}); get the file again") from None
