"""Pictures that a user brings: files and folders, the nodule's box in each, and the region that the networks take."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.data.dicom_pictures import looks_like_dicom, read_dicom_picture
from common.data.listing import Window
from common.data.pictures import read_picture
from common.errors import UsageError
from common.runs.inputs import list_inputs, name_apart, name_file, refuse_window
from common.runs.networks import escape
from replications.thyroid_ensemble.config import Config
from replications.thyroid_ensemble.rois import Box, cut_roi

FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")  # of pictures in a folder
MODALITIES = ("US", "OT")  # of DICOM; OT: pictures that a system saved
Boxed = tuple[Path, Box | None]


def list_images(given: Sequence[Boxed], box: Box | None, faults: list[str]) -> tuple[list[Boxed], list[str]]:
    """Pictures with their boxes, folders opened, and a name for each; box: of --box. Folders without pictures become faults."""
    images = []
    for path, of in given:
        if path.is_dir() and of is not None:
            raise UsageError(f"{escape(str(path))}: a folder; a box goes with one picture")
        files, without = list_inputs([path], lambda file: file.suffix.lower() in ENDINGS or looks_like_dicom(file))
        images += [(file, of) for file in files]
        faults += without
    if box is not None:
        if len(images) != 1 or images[0][1] is not None:
            raise UsageError("--box goes with one picture that has no box yet; for several write IMAGE@x0,y0,x1,y1 each")
        images = [(images[0][0], box)]
    return images, name_apart([path for path, _ in images])


def read_roi(path: Path, box: Box | None, config: Config, window: Window | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """ROI uint8 (roi_side, roi_side) of one picture file, cut as in the run, and what has to be known of the file. window: grey
    levels of black and white, where the run's table states them. Raises UsageError, one line with the path."""
    try:
        picture, notes = _read_file(path, window)
        return cut_roi(picture, box or (0, 0, picture.shape[1], picture.shape[0]), config), notes
    except UsageError as error:
        raise name_file(path, error) from None


def _read_file(path: Path, window: Window | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if looks_like_dicom(path):
        refuse_window(window)
        found = read_dicom_picture(path, MODALITIES, colours=True)
        return found.grey, found.notes
    return read_picture(path, formats=FORMATS, window=window), ()


def parse_image(text: str) -> tuple[Path, Box | None]:
    """IMAGE or IMAGE@x0,y0,x1,y1; other names with an @ are names."""
    match = re.fullmatch(r"(.+)@([^@/]*,[^@/.]*)", text, re.DOTALL)
    return (Path(match[1]), parse_box(match[2])) if match else (Path(text), None)


def parse_box(text: str) -> Box:
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){3}", text):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is no box x0,y0,x1,y1 in whole pixels from 0")
    x0, y0, x1, y1 = map(int, text.split(","))
    return x0, y0, x1, y1
