"""The `.ics` file of a DDSM case: which films there are, their size, who digitised them. Dates and ages are dropped.

Format: Heath et al. 2000, The Digital Database for Screening Mammography, and the archive's own notes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.folder import read_lines
from common.errors import UsageError

FILMS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
STEM = re.compile(r"([A-D])[-_](\d{4})[-_](\d)")
MAX_PIXELS = 100_000_000
DIGITISERS = {"DBA": "DBA", "LUMISYS": "Lumisys", "HOWTEK": "Howtek"}  # beginnings of the names, all spellings
LABORATORIES = {"A": "Howtek MGH", "D": "Howtek ISMD"}  # letter of the case -> whose Howtek curve
CURVES = ("DBA", "Howtek MGH", "Howtek ISMD", "Lumisys")


@dataclass(frozen=True)
class Film:
    """One view, as the `.ics` file describes it."""

    rows: int
    columns: int
    bits: int
    resolution: float  # micrometres
    overlay: bool  # lesions are marked


@dataclass(frozen=True)
class Ics:
    """A case. stem: "A_1234_1", which its files begin with."""

    stem: str
    films: Mapping[str, Film]
    density: int  # BI-RADS, 1 to 4; 0: not given
    digitiser: str  # DBA, Howtek MGH, Howtek ISMD, Lumisys; "": unknown


def read_ics(path: Path) -> Ics:
    """Read a file. Empty lines, trailing blanks and unknown fields are allowed; SELECTED stands for SEQUENCE in some files.

    Raises UsageError `file: what is wrong`: no stem, a film without sizes or with impossible ones, no film at all.
    """
    fields: dict[str, str] = {}
    films: dict[str, Film] = {}
    for line in read_lines(path, errors="replace"):  # remarks are of any encoding
        words = line.split()
        name = words[0].upper() if words else ""
        if name in FILMS:
            if name in films:
                raise UsageError(f"{path}: {name} stands twice")
            films[name] = _read_film(name, words[1:], path)
        elif name:
            fields.setdefault(name, " ".join(words[1:]))
    found = STEM.fullmatch(fields.get("FILENAME", "")) or STEM.search(path.name)
    if found is None or not films:
        raise UsageError(f"{path}: no {'name of a case' if found is None else 'film'} in it: not an .ics file of DDSM")
    density = fields.get("DENSITY", "")
    return Ics(
        "_".join(found.groups()),
        films,
        int(density) if density in ("1", "2", "3", "4") else 0,
        name_digitiser(fields.get("DIGITIZER", ""), found[1]),
    )


def _read_film(name: str, words: list[str], path: Path) -> Film:
    words = [word.upper() for word in words]
    values = dict(zip(words[:-1:2], words[1::2], strict=False))
    overlay = words[-1:] == ["OVERLAY"]
    try:
        rows, columns, bits = (int(values[key]) for key in ("LINES", "PIXELS_PER_LINE", "BITS_PER_PIXEL"))
        resolution = float(values.get("RESOLUTION", "nan"))
    except (KeyError, ValueError):
        raise UsageError(f"{path}: {name}: LINES, PIXELS_PER_LINE or BITS_PER_PIXEL is missing or no number") from None
    if not (rows > 0 and columns > 0 and rows * columns <= MAX_PIXELS and bits in range(8, 17)):
        raise UsageError(f"{path}: {name}: {rows}x{columns} pixels of {bits} bits cannot be")
    return Film(rows, columns, bits, resolution, overlay)


def name_digitiser(written: str, letter: str) -> str:
    """One name for all spellings; letter: of the case, which tells the two Howteks apart.

    >>> name_digitiser("LUMISYS LASER_DENSOTOMETER", "B"), name_digitiser("HOWTEK 43.5", "A"), name_digitiser("?", "A")
    ('Lumisys', 'Howtek MGH', '')
    """
    kind = next((name for start, name in DIGITISERS.items() if written.strip().upper().startswith(start)), "")
    return LABORATORIES.get(letter, "") if kind == "Howtek" else kind


def measure_density(levels: np.ndarray, digitiser: str) -> np.ndarray:
    """Optical density of the film, float32, 0 (clear) to about 4, from the grey levels of a digitiser of `name_digitiser`.

    The calibration curves of the archive. UsageError for another digitiser.

    >>> measure_density(np.array([0, 4000]), "Howtek MGH").round(3).tolist()
    [3.7890000343322754, 0.006000000052154064]
    """
    x = levels.astype(np.float32)
    if digitiser == "DBA":
        return (np.log10(x + 1) - 4.80662) / -1.07553
    if digitiser == "Howtek MGH":
        return 3.789 - 0.00094568 * x
    if digitiser == "Howtek ISMD":
        return 3.96604095 - 0.00099055808 * x
    if digitiser == "Lumisys":
        return (x - 4096.99) / -1009.01
    raise UsageError(f"digitiser {digitiser!r}: no calibration curve is known")
