"""The region of interest (ROI) of one nodule: the square that the networks see, cut from a picture (sec. 1.2).

The paper says "fixed size 128x128" and no more. `roi_mode` "box_resize" is a square around the lesion's box, resized;
"centre_window" is a fixed window around the box's centre, as it is.
"""

import itertools
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from common.data.listing import Box, Window
from common.data.names import find_listed
from common.data.pictures import covers_border, read_picture
from common.data.reading import read_ahead
from common.errors import UsageError, quote
from common.files import hash_file
from replications.thyroid_ensemble.config import Config

ROI_MODES = ("box_resize", "centre_window")
READ_BY = ("file", "path", "window")  # lines that agree in these show one picture, and their faults call it the same
CASE_COLUMNS = ["case_id", "path", "sha256", "patient_id", "label"]


def choose_input_side(network: str, scale: int, config: Config) -> int:
    """Side in pixels of what the network takes at a scale of Fig. 3: its own (`input_mode` resize), or the patch's (native).

    AlexNet and InceptionV3 always take their own: the smaller patches vanish in their strides.
    """
    if config.input_mode not in ("resize", "native"):
        raise ValueError(f"input_mode {config.input_mode!r}: choose one of resize, native")
    if config.input_mode == "native" and network in ("VGG16", "ResNet50"):
        return config.scale_sides[scale - 1]
    return getattr(config, f"{network.lower()}_side")


def crop_scale(rois: np.ndarray, scale: int, config: Config) -> np.ndarray:
    """Centre of ROIs uint8 (n, h, w, 1): Scale 1 = 128, Scale 2 = 64, Scale 3 = 32 pixels of 128. A view."""
    side = config.scale_sides[scale - 1]
    top, left = (rois.shape[1] - side) // 2, (rois.shape[2] - side) // 2
    return rois[:, top : top + side, left : left + side]


def cut_patches(rois: np.ndarray, network: str, scale: int, config: Config) -> np.ndarray:
    """What a network takes of ROIs uint8 (n, 128, 128, 1): uint8 (n, side, side, 1); see `resize_crops`."""
    return resize_crops(crop_scale(rois, scale, config), network, scale, config)


def resize_crops(crops: np.ndarray, network: str, scale: int, config: Config) -> np.ndarray:
    """Crops of a scale uint8 (n, h, h, 1) at the input size of a network: uint8 (n, side, side, 1).

    Bilinear; pixels are averaged first where a patch shrinks (small trial runs), so that speckle does not alias.
    """
    side = choose_input_side(network, scale, config)
    if crops.shape[1] == side:
        return np.ascontiguousarray(crops)
    method = cv2.INTER_LINEAR if crops.shape[1] < side else cv2.INTER_AREA
    patches = np.empty((len(crops), side, side, 1), np.uint8)
    for patch, crop in zip(patches, crops, strict=True):
        patch[..., 0] = cv2.resize(np.ascontiguousarray(crop[..., 0]), (side, side), interpolation=method)
    return patches


def cut_roi(image: np.ndarray, box: Box, config: Config) -> np.ndarray:
    """ROI uint8 (roi_side, roi_side) around a box in a picture uint8 (height, width).

    box_resize: a square around the box's centre, its side the box's longest side times 1 + roi_margin (half the margin on
    either side). A square that leaves the picture is shifted back into it; where the picture is smaller than the square,
    the ROI ends with the picture, and is no square but stretched into one. Bilinear interpolation, which shrinks by weighted
    means over all pixels that fall into one (anti-aliasing): subsampling would alias the speckle.
    centre_window: the pixels around the box's centre, the picture's border repeated where it ends.
    Raises UsageError for a box that is empty or leaves the picture, and for an unknown roi_mode.
    """
    height, width = image.shape
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise UsageError(f"box {x0},{y0},{x1},{y1} is empty or leaves the picture of {width}x{height}")
    if config.roi_mode == "centre_window":
        along_x, along_y = (
            np.clip(np.arange(config.roi_side) + (first + last - config.roi_side) // 2, 0, size - 1)
            for first, last, size in ((x0, x1, width), (y0, y1, height))
        )
        return image[np.ix_(along_y, along_x)]
    if config.roi_mode != "box_resize":
        raise UsageError(f"roi_mode {config.roi_mode!r} is not known; known: {', '.join(ROI_MODES)}")
    side = round(max(x1 - x0, y1 - y0) * (1 + config.roi_margin))
    columns, rows = _place_square(x0, x1, width, side), _place_square(y0, y1, height, side)
    square = Image.fromarray(np.ascontiguousarray(image[rows, columns]))
    return np.asarray(square.resize((config.roi_side, config.roi_side), Image.Resampling.BILINEAR))


def _place_square(first: int, last: int, size: int, side: int) -> slice:
    """One axis of the square: centred on first..last, then shifted to stay within 0..size, the whole axis if longer."""
    side = min(side, size)
    start = math.floor((first + last - side) / 2)
    start = min(max(start, 0), size - side)
    return slice(start, start + side)


def box_of_mask(mask: np.ndarray) -> Box:
    """Box of the largest connected part of a mask (height, width) uint8: 0 and 1, or 0 and 255 with losses of JPEG.

    The largest: a picture has one label, and a box around several parts would show what lies between them.
    Raises UsageError for an empty mask, for grey levels that are neither, and for an inverted mask.
    """
    highest = int(mask.max(initial=0))
    if highest == 0:
        raise UsageError("the mask is empty")
    if 1 < highest < 128:
        raise UsageError(f"the mask's highest grey level is {highest}; expected 0 and 1 or 0 and 255")
    drawn = mask > highest / 2
    if covers_border(drawn):
        raise UsageError("the mask's border is white, so its box is the whole picture; draw the lesion white on black")
    _, _, parts, _ = cv2.connectedComponentsWithStats(drawn.astype(np.uint8), connectivity=8)
    left, top, width, height, _ = max(parts[1:].tolist(), key=lambda part: part[cv2.CC_STAT_AREA])
    return left, top, left + width, top + height


def box_of_points(points: np.ndarray) -> Box:
    """Box of a contour's points (n, 2): x, y in pixels, 0 at the picture's border. UsageError for a contour without an inside."""
    if len(points) < 3:
        raise UsageError(f"a contour of {len(points)} points")
    x0, y0 = np.floor(points.min(axis=0)).astype(int).tolist()
    x1, y1 = np.ceil(points.max(axis=0)).astype(int).tolist()
    if x0 == x1 or y0 == y1:
        raise UsageError(f"a contour without width or height at {x0},{y0}")
    return x0, y0, x1, y1


def read_rois(
    folder: Path, listed: pd.DataFrame, config: Config, faults: list[str], *, follow_links: bool = False
) -> tuple[np.ndarray, pd.DataFrame]:
    """Read the pictures of a list and cut their ROIs: uint8 (n, roi_side, roi_side), and their case table.

    listed: case_id, path (shown), file (of the picture, below the folder), patient_id, label, box (None: none is known), mask
    (a file below the folder; '': none), window (grey levels of black and white, or None; the column may be missing), and any
    other columns, which are kept. Without box and mask the whole picture is the
    ROI. What cannot be read or cut is left out, with one line in `faults`. sha256 is the file's.
    """
    images, hashes, kept = [], [], []
    lines = enumerate(listed.to_dict("records"))
    # The nodules of one picture follow each other.
    pictures = [list(group) for _, group in itertools.groupby(lines, lambda one: [one[1].get(name) for name in READ_BY])]

    def read(nodules: list[tuple[int, dict]]) -> tuple[str, list[np.ndarray | UsageError]]:
        first = nodules[0][1]
        picture, sha256 = _read_shown(folder, first["file"], first["path"], follow_links, window=first.get("window"))
        return sha256, [_cut_listed(folder, line, picture, config, follow_links) for _, line in nodules]

    for nodules, found in read_ahead(read, pictures):
        if isinstance(found, UsageError):
            faults += [str(found)] * len(nodules)
            continue
        for (index, _), roi in zip(nodules, found[1], strict=True):
            if isinstance(roi, UsageError):
                faults.append(str(roi))
                continue
            images.append(roi)
            hashes.append(found[0])
            kept.append(index)
    cases = listed.iloc[kept].reset_index(drop=True).drop(columns=["file", "box", "mask", "window"], errors="ignore")
    cases["sha256"] = pd.Series(hashes, dtype=str)
    others = [name for name in cases if name not in CASE_COLUMNS]
    return stack_rois(images, config), cases[CASE_COLUMNS + others]


def stack_rois(images: list[np.ndarray], config: Config) -> np.ndarray:
    return np.stack(images) if images else np.empty((0, config.roi_side, config.roi_side), np.uint8)


def _read_shown(
    folder: Path, file: str, shown: str, follow_links: bool, *, window: Window | None = None, deep: bool = False
) -> tuple[np.ndarray, str]:
    """Picture and sha256; in messages the file is called as it is shown (file names of one collection name patients)."""
    path = folder / file
    try:
        path = find_listed(folder, file, follow_links=follow_links, tell=shown == file)
        return read_picture(path, window=window, deep=deep), hash_file(path)
    except UsageError as error:
        raise UsageError(str(error).replace(str(path), shown).replace(quote(file), repr(shown))) from None


def _cut_listed(
    folder: Path, line: Mapping[Hashable, Any], picture: np.ndarray, config: Config, follow_links: bool
) -> np.ndarray | UsageError:
    """ROI of one line of `read_rois`' list, or its fault, which the path as it is shown begins."""
    try:
        box = line["box"] or (0, 0, picture.shape[1], picture.shape[0])
        if line["mask"]:
            mask, _ = _read_shown(folder, line["mask"], line["mask"], follow_links, deep=True)
            if mask.shape != picture.shape:
                sizes = " instead of ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (mask, picture))
                raise UsageError(f"the mask has {sizes} pixels")
            box = box_of_mask(mask)
        return cut_roi(picture, box, config)
    except UsageError as error:
        return UsageError(f"{line['path']}: {error}")
