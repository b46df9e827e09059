"""Many films to pictures: in parts, over processes or a Dask cluster, going on after a kill. Nothing is kept in memory.

A part is a cell (common.runs.cells) that leaves the pictures of PART films and what is said of each. A film that cannot be
read is a line with its fault.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import __version__
from common.cases.prepared import hash_listing
from common.cli import restore_config
from common.errors import UsageError
from common.files import hash_file
from common.runs.cells import Cell, Report
from common.runs.workers import run_cells
from replications.ddsm_inceptionv4.breast import find_range, prepare_picture, scale_levels
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.sources.mammograms import (
    Mammogram,
    check_levels,
    describe,
    locate_file,
    measure_grey,
    read_levels,
    restore,
)
from replications.ddsm_inceptionv4.sources.mg import read_mammogram

PART = 48  # films of a part: a few seconds of work at 12 megapixels
THUMBNAIL = 128  # pixels: the whole film, stretched, for the table of planted scanners
PICTURES, THUMBNAILS, FILMS = "pictures.npy", "thumbnails.npy", "films.json"
SHAPING = ("grey", "percentiles", "mask_side", "opening", "flip", "size")  # settings that the pictures follow from


@dataclass(frozen=True)
class Team:
    """Who does the work."""

    workers: int = 1
    threads: int = 1
    cluster: str | None = None


@dataclass(frozen=True)
class Film:
    """What is known of a film after it was read."""

    mammogram: Mammogram
    sha256: str
    fault: str = ""  # why there is no picture of it
    height: int = 0  # pixels
    width: int = 0
    low: float = 0.0  # percentiles of its grey levels
    high: float = 0.0
    share: float = 0.0  # of the film that the breast covers
    pieces: int = 0
    letters: int = 0
    solidity: float = 0.0
    flipped: bool = False
    doubt: str = ""


@dataclass(frozen=True)
class Films:
    """All films of a collection. pictures, thumbnails: memory-mapped uint8 (n, side, side), in the order of the films without
    fault."""

    films: Sequence[Film]
    pictures: np.ndarray
    thumbnails: np.ndarray

    @property
    def read(self) -> list[Film]:
        """Those with a picture."""
        return [film for film in self.films if not film.fault]


def prepare_films(folder: Path, mammograms: Sequence[Mammogram], config: Config, home: Path, team: Team) -> Films:
    """The pictures of all films below `folder`; what is done is kept in `home`, which may be removed afterwards.

    Raises UsageError where a part failed as a whole.
    """
    home.mkdir(parents=True, exist_ok=True)
    parts = plan_parts(folder, mammograms, config)
    started = time.monotonic()
    failed = run_cells(
        parts,
        home,
        workers=team.workers,
        threads=team.threads,
        cluster=team.cluster,
        title="films",
        noun=f"parts of {PART} films",
    )
    if failed:
        raise UsageError(f"{folder}: films could not be prepared: {next(iter(failed.values()))}")
    seconds = time.monotonic() - started
    print(f"{len(mammograms)} films in {seconds:.1f} s, {len(mammograms) / max(seconds, 1e-6):.1f} images/s", file=sys.stderr)
    return gather_films(parts, home, config)


def plan_parts(folder: Path, mammograms: Sequence[Mammogram], config: Config) -> list[Cell]:
    """The parts, in order; a part follows from its films, their files (names, sizes, times) and the settings of SHAPING."""
    settings = {name: value for name, value in asdict(config).items() if name in SHAPING}
    cells = []
    for start in range(0, len(mammograms), PART):
        films = mammograms[start : start + PART]
        known = [path for one in films if (path := locate_file(folder, one)).exists()]
        about = {
            "config": settings,
            "films": [describe(one) for one in films],
            "files": hash_listing(known),
            "folder": str(folder.resolve()),
            "version": __version__,
        }
        cells.append(Cell(f"films-{start // PART:05d}", f"{__name__}:prepare_part", about))
    return cells


def prepare_part(settings: dict, folder: Path, threads: int, report: Report) -> dict:
    """One part: pictures.npy, thumbnails.npy, films.json (a line a film, faults too)."""
    cv2.setNumThreads(threads)
    config = restore_config(Config, settings["config"])
    home = Path(settings["folder"])
    films, pictures, thumbnails = [], [], []
    for number, content in enumerate(settings["films"]):
        film, picture, thumbnail = prepare_film(home, restore(content), config)
        films.append(film)
        pictures += [picture] if picture is not None else []
        thumbnails += [thumbnail] if thumbnail is not None else []
        report("films", number + 1, len(settings["films"]), {})
    for name, of, side in ((PICTURES, pictures, config.size), (THUMBNAILS, thumbnails, THUMBNAIL)):
        np.save(folder / name, np.stack(of) if of else np.empty((0, side, side), np.uint8), allow_pickle=False)
    (folder / FILMS).write_text(json.dumps([asdict(film) for film in films]))
    return {"films": len(films)}


def prepare_film(folder: Path, mammogram: Mammogram, config: Config) -> tuple[Film, np.ndarray | None, np.ndarray | None]:
    """(what is known, picture uint8 (size, size), thumbnail uint8), without pictures where there is a fault."""
    try:
        path = locate_file(folder, mammogram)
        if mammogram.kind == "dicom":  # which says itself what a table may leave out
            found = read_mammogram(path)
            own = found.patient if mammogram.patient == mammogram.path and found.patient else mammogram.patient
            mammogram = replace(
                mammogram, patient=own, breast=mammogram.breast or found.breast, view=mammogram.view or found.view
            )
            levels = check_levels(found.levels, path)
        else:
            levels = read_levels(folder, mammogram)
        digest = hash_file(path)
        grey = measure_grey(levels, mammogram, config.grey)
        prepared = prepare_picture(grey, config, mammogram.breast)
    except UsageError as error:
        return Film(mammogram, "", fault=str(error).replace(f"{folder}/", "")), None, None
    low, high = find_range(levels, config.percentiles)
    breast = prepared.breast
    height, width = (int(length) for length in levels.shape)
    film = Film(
        mammogram, digest, "", height, width, low, high, breast.share, breast.pieces, breast.letters, breast.solidity,
        prepared.flipped, breast.doubt,
    )  # fmt: skip
    thumbnail = cv2.resize(levels, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return film, prepared.picture, scale_levels(thumbnail, low, high)


def gather_films(parts: Sequence[Cell], home: Path, config: Config) -> Films:
    """The finished parts as one, on disk."""
    folders = [home / "cells" / part.key for part in parts]
    films = [restore_film(content) for folder in folders for content in json.loads((folder / FILMS).read_text())]
    arrays = [_join(folders, home / name, name, side) for name, side in ((PICTURES, config.size), (THUMBNAILS, THUMBNAIL))]
    return Films(films, *arrays)


def restore_film(content: Mapping[str, Any]) -> Film:
    """Inverse of `asdict`."""
    return Film(**{**content, "mammogram": restore(content["mammogram"])})


def _join(folders: Sequence[Path], path: Path, name: str, side: int) -> np.ndarray:
    """Arrays of the parts one after the other, in a file."""
    counts = [len(array) for array in _open_all(folders, name)]
    if not sum(counts):
        return np.empty((0, side, side), np.uint8)
    joined = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(sum(counts), side, side))
    start = 0
    for array in _open_all(folders, name):
        joined[start : start + len(array)] = array
        start += len(array)
    joined.flush()
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _open_all(folders: Sequence[Path], name: str) -> Iterator[np.ndarray]:
    for folder in folders:
        yield np.load(folder / name, allow_pickle=False)
