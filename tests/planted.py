"""Files with a person's name wherever a format has room for text, and the search for it in all that a program leaves behind."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NAME = "Smithson"
PERSON = f"{NAME}^Mary"


def write_dicom(path: Path, pixels: np.ndarray, modality: str, **changes) -> Path:
    """pixels: uint8, uint16 or int16 (rows, columns), (frames, rows, columns), or uint8 (rows, columns, 3); changes: attributes
    beside or instead of those written here, None to leave one out."""
    data, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    data.PatientName, data.PatientID, data.OtherPatientNames = PERSON, f"{NAME}-17", f"{NAME}^Maria"
    data.StudyDescription = data.SeriesDescription = data.ImageComments = data.ProtocolName = f"scan of {NAME}"
    data.InstitutionName, data.ReferringPhysicianName, data.OperatorsName = f"{NAME} clinic", PERSON, PERSON
    block = data.private_block(0x0011, f"{NAME} LAB", create=True)
    block.add_new(0x01, "LO", PERSON)
    data.Modality = modality
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    frames = pixels.shape[0] if pixels.ndim == 3 and not colour else 1
    data.Rows, data.Columns = pixels.shape[1:] if frames > 1 else pixels.shape[:2]
    if frames > 1:
        data.NumberOfFrames = frames
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = 0
    bits = 8 * pixels.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = np.ascontiguousarray(pixels).tobytes()
    data["PixelData"].VR = "OW" if bits == 16 else "OB"
    for name, value in changes.items():
        if value is None:
            data.pop(name, None)
        else:
            setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def add_table(data: Dataset, name: str, entries: list[int], *, first: int = 0, bits: int = 16, packed: bool = False) -> Dataset:
    """A look-up table under ModalityLUTSequence or VOILUTSequence, its explanation naming the person; packed: its entries as
    bytes, one each where they have 8 bits, else as numbers where these are not too many for a file."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 2**16, first, bits])
    item.LUTExplanation = PERSON
    if name == "ModalityLUTSequence":
        item.ModalityLUTType = "US"
    content = np.array(entries, "u1" if packed and bits == 8 else "<u2").tobytes()
    in_bytes = packed or len(entries) > 30_000
    item.add_new("LUTData", "OW" if in_bytes else "US", content + bytes(len(content) % 2) if in_bytes else entries)
    setattr(data, name, [item])
    return data


def place_slice(z: float, thickness: float = 2.5, series: str = "1.2.3") -> dict:
    """Attributes of an axial CT slice of 0.75 mm, the first voxel at (-98.5, 20.25, z)."""
    return {
        "ImagePositionPatient": [-98.5, 20.25, z], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [0.75, 0.75],
        "SliceThickness": thickness, "SeriesInstanceUID": series, "RescaleSlope": 1, "RescaleIntercept": -1024,
    }  # fmt: skip


def write_pictures(folder: Path, picture: np.ndarray, *, tiff: bool) -> list[Path]:
    """PNG with text chunks and EXIF, JPEG with a comment and EXIF, and TIFF with a description where it is read."""
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x9C9B] = f"scan of {NAME}", PERSON, NAME.encode("utf-16-le")
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Patient", PERSON)
    texts.add_text("Comment", f"scan of {NAME}", zip=True)
    texts.add_itxt("Title", PERSON)
    image.save(folder / "one.png", pnginfo=texts, exif=exif)
    image.save(folder / "two.jpg", exif=exif, comment=PERSON.encode(), quality=95)
    if tiff:
        image.save(folder / "two.tif", tiffinfo={270: PERSON, 315: PERSON, 316: NAME})
    return [folder / "one.png", folder / "two.jpg", *folder.glob("*.tif")]


def write_nifti(path: Path, voxels: np.ndarray, spacing=(0.75, 0.75, 2.5), origin=(-98.5, 20.25, -140.0)) -> Path:
    """voxels (z, y, x), places as SimpleITK has them; the header's texts name the person."""
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    for key in ("descrip", "aux_file", "intent_name", "db_name"):
        image.SetMetaData(key, PERSON)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def find_name(out: Path, *texts: str) -> list[str]:
    """Where the name is: in texts or in files below a folder; PNG chunks that may hold packed text count as well."""
    found = [text for text in texts if NAME.lower() in text.lower()]
    for path in out.rglob("*") if out.is_dir() else ():
        content = path.read_bytes() if path.is_file() else b""
        packed = any(chunk in content for chunk in (b"zTXt", b"iTXt", b"tEXt", b"eXIf", b"Exif"))
        if NAME.lower().encode() in content.lower() or NAME.lower() in path.name.lower() or packed:
            found.append(path.name)
    return found
