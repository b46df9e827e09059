"""Small films, cases and runs that several tests of the package share."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from replications.ddsm_inceptionv4.config import SMOKE
from replications.ddsm_inceptionv4.sources.breasts import draw_breast, draw_spot, draw_woman
from replications.ddsm_inceptionv4.sources.phantoms import write_case, write_phantoms

SMALL = replace(SMOKE, phantom_height=200, mask_side=160, size=75)


def draw_film(seed: int = 0, *, view: str = "CC", lesion: bool = True, size: tuple[int, int] = (300, 180)):
    """Brightness float32 of a left breast, and where its lesion lies."""
    random = np.random.default_rng(seed)
    woman = draw_woman(random, 1.0)
    return draw_breast(woman, draw_spot(random, 0.5) if lesion else None, view, size, random)


def to_levels(brightness: np.ndarray, low: int = 400, high: int = 3700) -> np.ndarray:
    """Twelve-bit grey levels uint16."""
    return (low + (high - low) * brightness).astype(np.uint16)


def write_archive(folder: Path, cases: int = 8, *, config=SMALL) -> Path:
    """A small archive of phantoms in DDSM's layout; returns the folder that stands for DDSM."""
    write_phantoms(folder, replace(config, phantom_cases=cases), seed=0)
    return folder / "ddsm"


def write_one(folder: Path, *, part: int = 0, scanner: int = 1, number: int = 0) -> Path:
    """One case with a lesion in one breast, or none; returns its folder. part: 0 malignant, 1 benign, 2 normal; scanner:
    0 Howtek, 1 Lumisys, 2 DBA."""
    write_case(folder, number, scanner, part, 2.0, SMALL, np.random.default_rng([7, number]), both=0.0)
    (home,) = folder.glob(f"*/*/case{number + 1:04d}")
    return home
