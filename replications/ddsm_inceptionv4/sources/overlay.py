"""The OVERLAY file of a film of DDSM: its lesions, outlined by a radiologist as a chain code, and what is said of each."""

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.data.folder import read_lines
from common.errors import UsageError

# A step of the chain code: (x, y), 0 = up, then clockwise.
STEPS = np.array([(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)])
PATHOLOGIES = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK", "UNPROVEN")
MAX_PLACE = 20_000  # pixels
MAX_ABNORMALITIES = 100
FIELDS = ("LESION_TYPE", "ASSESSMENT", "SUBTLETY", "PATHOLOGY", "TOTAL_OUTLINES", "BOUNDARY", "CORE")


@dataclass(frozen=True)
class Abnormality:
    """One lesion. Outlines: int32 (points, 2), x and y in pixels of the film, closed; some leave it."""

    kinds: tuple[str, ...]  # "MASS SHAPE IRREGULAR MARGINS SPICULATED"; a lesion may have two
    assessment: int  # BI-RADS; -1: not given
    pathology: str  # one of PATHOLOGIES; "": not given
    boundary: np.ndarray
    cores: tuple[np.ndarray, ...]


def read_overlay(path: Path) -> tuple[Abnormality, ...]:
    """The lesions of a film. Raises UsageError `file: what is wrong`: not such a file, an outline that is none, without lesion.

    TOTAL_OUTLINES is sometimes wrong in the archive and is not relied on.
    """
    words: list[str] = []
    for line in read_lines(path):
        words += re.sub("#", " # ", line).split()
    if words[:1] != ["TOTAL_ABNORMALITIES"]:
        raise UsageError(f"{path}: does not begin with TOTAL_ABNORMALITIES: not an OVERLAY file of DDSM")
    parts: list[list[str]] = []
    for word in words[2:]:
        if word == "ABNORMALITY":
            parts.append([])
        elif parts:
            parts[-1].append(word)
    if not 0 < len(parts) <= MAX_ABNORMALITIES:
        raise UsageError(f"{path}: {len(parts)} abnormalities")
    return tuple(_read_abnormality(part, path) for part in parts)


def _read_abnormality(words: list[str], path: Path) -> Abnormality:
    fields: list[tuple[str, list[str]]] = []
    for word in words[1:]:  # after its number
        if word in FIELDS:
            fields.append((word, []))
        elif fields:
            fields[-1][1].append(word)
    outlines = [(name, read_chain(of, path)) for name, of in fields if name in ("BOUNDARY", "CORE")]
    boundaries = [outline for name, outline in outlines if name == "BOUNDARY"]
    if not boundaries:
        raise UsageError(f"{path}: a lesion without BOUNDARY")
    said = {name: " ".join(of) for name, of in fields if name not in ("BOUNDARY", "CORE", "LESION_TYPE")}
    assessment, pathology = said.get("ASSESSMENT", ""), said.get("PATHOLOGY", "").upper()
    return Abnormality(
        tuple(" ".join(of) for name, of in fields if name == "LESION_TYPE"),
        int(assessment) if re.fullmatch("[0-6]", assessment) else -1,
        pathology if pathology in PATHOLOGIES else "",
        boundaries[0],
        tuple(outline for name, outline in outlines if name == "CORE"),
    )


def read_chain(words: list[str], path: Path) -> np.ndarray:
    """Column and row of the start, then steps up to "#": points int32 (n, 2).

    >>> read_chain("10 20 2 4 6 #".split(), Path("a")).tolist()
    [[10, 20], [11, 20], [11, 21], [10, 21]]
    """
    codes = words[: words.index("#")] if "#" in words else words
    if len(codes) < 3 or not all(code.isascii() and code.isdigit() and len(code) <= 5 for code in codes):
        raise UsageError(f"{path}: an outline that is no chain code")
    start, steps = np.array(codes[:2], int), np.array(codes[2:], int)
    if steps.max() > 7 or start.max() > MAX_PLACE:
        raise UsageError(f"{path}: an outline with a step above 7, or that begins beyond any film")
    return np.vstack([start, start + STEPS[steps].cumsum(axis=0)]).astype(np.int32)


def draw_mask(outline: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """What an outline encloses, itself included, as far as it lies on the film: bool (rows, columns)."""
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [outline], 1)
    return mask.astype(bool)


def write_chain(mask: np.ndarray) -> str:
    """The outer border of a mask as a chain code: "x y code code ... #".

    >>> square = np.zeros((5, 6), bool)
    >>> square[1:3, 2:5] = True
    >>> write_chain(square)
    '2 1 4 2 2 0 6 6 #'
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(contours, key=len)[:, 0]
    moves = np.diff(np.vstack([points, points[:1]]), axis=0)
    codes = [int(np.flatnonzero((move == STEPS).all(axis=1))[0]) for move in moves]
    return " ".join(map(str, [*points[0], *codes, "#"]))
