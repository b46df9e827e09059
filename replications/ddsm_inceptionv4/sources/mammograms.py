"""What every reader lists: a mammogram with what is known of it, and how its grey levels are read from its file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.data.names import find_listed
from common.data.pictures import read_picture
from common.errors import UsageError
from replications.ddsm_inceptionv4.sources.ics import CURVES, Film, measure_density
from replications.ddsm_inceptionv4.sources.ljpeg import read_film
from replications.ddsm_inceptionv4.sources.mg import read_mammogram

PICTURES = ("JPEG", "PNG", "TIFF", "PPM")  # formats of Pillow; PPM: .pgm
LEAST_SIDE = 32  # pixels
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm")


@dataclass(frozen=True)
class Mammogram:
    """One image. JSON takes it (`describe`)."""

    case_id: str  # unique: "A_1234_1.LEFT_CC"
    path: str  # relative to the source
    patient: str
    label: int  # 1: a lesion in this image
    breast: str = ""  # left, right; "": not known
    view: str = ""  # CC, MLO; "": not known
    density: int = 0  # BI-RADS 1 to 4; 0: not known
    digitiser: str = ""
    split: str = ""  # official side, where the collection has one: train, test
    film: Film | None = None  # of DDSM: what its .ics file says
    kind: str = "picture"  # how it is read: film, picture, dicom


@dataclass(frozen=True)
class Listing:
    """What a reader found in a collection."""

    mammograms: Sequence[Mammogram]
    faults: Sequence[str] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)  # counts, as JSON takes them


def describe(mammogram: Mammogram) -> dict[str, Any]:
    """JSON form."""
    return asdict(mammogram)


def restore(content: Mapping[str, Any]) -> Mammogram:
    """Inverse of `describe`."""
    film = content["film"]
    return Mammogram(**{**content, "film": Film(**film) if film else None})


def locate_file(folder: Path, mammogram: Mammogram) -> Path:
    """The file of a mammogram below its source, also where file systems have changed its name (`find_listed`)."""
    path = folder / mammogram.path
    return path if os.path.exists(path) else find_listed(folder, mammogram.path, follow_links=True)


def read_levels(folder: Path, mammogram: Mammogram) -> np.ndarray:
    """Grey levels uint8, uint16 or float32 (rows, columns), tissue bright. Raises UsageError for what cannot be read, or is no
    mammogram: sides below LEAST_SIDE, or one grey level."""
    path = locate_file(folder, mammogram)
    if mammogram.kind == "film":
        assert mammogram.film is not None
        levels = read_film(path, mammogram.film)
    elif mammogram.kind == "dicom":
        levels = read_mammogram(path).levels
    else:
        levels = read_picture(path, formats=PICTURES, deep=True)
    return check_levels(levels, path)


def check_levels(levels: np.ndarray, path: Path) -> np.ndarray:
    """The levels; UsageError where they are no mammogram."""
    if min(levels.shape) < LEAST_SIDE:
        raise UsageError(f"{path}: {levels.shape[0]}x{levels.shape[1]} pixels are no mammogram")
    if levels.min() == levels.max():
        raise UsageError(f"{path}: all pixels are the same")
    return levels


def measure_grey(levels: np.ndarray, mammogram: Mammogram, grey: str) -> np.ndarray:
    """What pictures are made of: the levels, or minus the optical density where the curve of the digitiser is known."""
    if grey == "density" and mammogram.digitiser in CURVES:
        return -measure_density(levels, mammogram.digitiser)
    return levels
