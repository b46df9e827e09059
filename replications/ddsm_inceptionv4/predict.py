"""Probability of a lesion for new mammograms from the network of a finished run, with what was cut out and what it rests on.

`python -m replications.ddsm_inceptionv4.predict FILM... --run DIR` takes films of DDSM (.LJPEG, the .ics file beside), DICOM
(MG), PNG, JPEG, TIFF or PGM, and folders of them; it writes predictions.csv and a sheet a film: the film, the picture of the
breast, Grad-CAM. Research software, not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from common import cli
from common.data.dicom_pictures import looks_like_dicom
from common.errors import UsageError, run_main
from common.figures import grids
from common.files import load_json
from common.runs.answers import check_scores, name_sheet, refuse_unread, show_answers, start_answers
from common.runs.cells import quiet_start
from common.runs.inputs import list_inputs, name_apart, name_file, read_each
from common.runs.networks import escape, list_warnings, read_network, read_run, show_progress, writing
from replications.ddsm_inceptionv4.breast import Prepared, find_range, prepare_picture, scale_levels, shrink
from replications.ddsm_inceptionv4.config import CLASSES, Config
from replications.ddsm_inceptionv4.sources.ddsm import FILM
from replications.ddsm_inceptionv4.sources.ics import read_ics
from replications.ddsm_inceptionv4.sources.mammograms import SUFFIXES, Mammogram, measure_grey, read_levels

NAME = Path(__file__).parent.name
LIST = "networks.json"  # of a run
PANEL = 320  # side of a picture on a sheet, pixels


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    parser.add_argument(
        "films", nargs="+", type=Path, metavar="FILM", help=".LJPEG, DICOM, PNG, JPEG, TIFF, PGM, or folders of them"
    )
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    parser.add_argument(
        "--row", default="", metavar="TEXT", help="part of the row's name; default: the first that the run stored"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv and a sheet a film"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return run_main(lambda: predict(parser.parse_args(argv)))


def predict(given: argparse.Namespace) -> int:
    """Ask the stored network; print a line a film; write predictions.csv and a sheet a film."""
    results = read_run(given.run, NAME)
    config = cli.restore_config(Config, results.config)
    row, cell, protocol = choose_network(given.run, given.row)
    path, _ = read_network(given.run / "cells" / cell)
    faults: list[str] = []
    files, without = list_inputs(given.films, is_mammogram)
    faults += without
    named = list(zip(files, name_apart(files), strict=True))
    with show_progress() as progress:
        films = [
            one for _, one in read_each(progress.track(named, description="films"), lambda of: read_film(*of, config), faults)
        ]
    refuse_unread(films, faults)
    notes = [*list_warnings(results), *filter(None, dict.fromkeys(of.note for of in results.datasets))]
    if protocol != "leakfree":
        notes.append("this network was trained on films of all patients: it has met every patient of its run")
    notes += [f"{film.name}: the crop is in doubt: {film.doubt}" for film in films if film.doubt]
    start_answers(given.out, notes, faults)
    with quiet_start():
        from common.training.gradcam import grad_cam
        from common.training.stored import looking_into, open_network
        from replications.ddsm_inceptionv4.models import find_map
        from replications.ddsm_inceptionv4.variants import resize_pictures
    network = open_network(path, shape=(None, None, 1), classes=len(CLASSES))
    side = network.input_shape[1]
    lines = []
    with show_progress() as progress:
        for number, film in enumerate(progress.track(films, description="films"), start=1):
            picture = resize_pictures(film.picture[None], side)[..., None].astype(np.float32)
            score = float(check_scores(np.asarray(network.predict(picture, verbose=0)), str(path))[0, 1])
            with looking_into(path):
                evidence = grad_cam(network, picture, find_map(network), class_index=1)[0]
            sheet = name_sheet(number, film.name)
            lines.append([film.name, CLASSES[int(score > 0.5)], round(score, 4), film.doubt, sheet])
            with writing(given.out):
                draw_sheet(film, evidence).save(given.out / sheet)
    table = pd.DataFrame(lines, columns=["film", "class", f"p({CLASSES[1]})", "doubt about the crop", "sheet"])
    about = {"row": row, "protocol": protocol}
    last = f"network: {row}, {protocol}; sheets in {given.out}"
    return show_answers(table, given.out, as_json=given.json, about=about, notes=notes, faults=faults, last=last)


class Pictured(NamedTuple):
    """A film as the network takes it, and small as it was."""

    name: str
    picture: np.ndarray  # uint8 (size, size)
    outlined: np.ndarray  # uint8 (PANEL, PANEL, 3): the film with the border of what was kept
    doubt: str


def choose_network(run: Path, wanted: str) -> tuple[str, str, str]:
    """(row, cell, protocol) of the first stored network whose row holds that text.

    UsageError for a list that is missing or damaged, and where none fits (names those that there are).
    """
    again = "the command that made this run makes it anew"
    try:
        stored = load_json(run / LIST)
        known = [tuple(map(str, itemgetter("row", "cell", "protocol")(entry))) for entry in stored]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{run / LIST}: missing or damaged; {again}") from None
    if any(Path(cell).name != cell for _, cell, _ in known):
        raise UsageError(f"{run / LIST}: names a training outside the run; {again}")
    fits = [entry for entry in known if wanted in entry[0]]
    if not fits:
        listed = f"there are: {'; '.join(row for row, _, _ in known)}; name one with --row" if known else "there are: none"
        raise UsageError(f"{run}: no stored network of {f'row {wanted!r}' if wanted else 'any row'}; {listed}")
    row, cell, protocol = fits[0]
    return row, cell, protocol


def is_mammogram(path: Path) -> bool:
    """Whether a file of a folder is one, by its name or, for DICOM, its content."""
    return path.suffix.lower() in SUFFIXES or bool(FILM.fullmatch(path.name)) or looks_like_dicom(path)


def read_film(path: Path, name: str, config: Config) -> Pictured:
    """One film. UsageError, one line with the file, for what cannot be read."""
    mammogram = describe_film(path)
    try:
        levels = read_levels(path.parent, mammogram)
    except UsageError as error:
        raise name_file(path, error) from None
    prepared = prepare_picture(measure_grey(levels, mammogram, config.grey), config)
    return Pictured(name, prepared.picture, draw_outline(levels, prepared, config), prepared.breast.doubt)


def describe_film(path: Path) -> Mammogram:
    """What is known of a file by its name, and of a film of DDSM by the .ics file beside it."""
    found = FILM.fullmatch(path.name)
    if found and path.suffix.lower() not in SUFFIXES:
        stem, view = found[1].upper(), found[2].upper()
        ics = path.with_name(f"{stem.replace('_', '-')}.ics")
        if not ics.is_file():
            raise UsageError(f"{escape(str(path))}: its {ics.name}, which says how large the film is, must lie beside it")
        case = read_ics(ics)
        if case.stem != stem:
            raise UsageError(f"{escape(str(ics))}: says that it is {case.stem}")
        if view not in case.films:
            raise UsageError(f"{escape(str(ics))}: has no film {view}")
        return Mammogram(path.name, path.name, stem, 0, digitiser=case.digitiser, film=case.films[view], kind="film")
    kind = "dicom" if path.suffix.lower() not in SUFFIXES and (looks_like_dicom(path) or not path.is_file()) else "picture"
    return Mammogram(path.name, path.name, "", 0, kind=kind)


def draw_outline(levels: np.ndarray, prepared: Prepared, config: Config) -> np.ndarray:
    """A film with the border of what was kept: uint8 (PANEL, PANEL, 3)."""
    small = scale_levels(shrink(levels, PANEL), *find_range(levels, config.percentiles))
    film = np.zeros((PANEL, PANEL, 3), np.uint8)
    shown = np.repeat(small[..., None], 3, axis=2)
    mask = cv2.resize(prepared.breast.mask.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, contours, -1, (86, 180, 233), 2)
    film[: small.shape[0], (PANEL - small.shape[1]) // 2 :][:, : small.shape[1]] = shown
    return film


def draw_sheet(film: Pictured, evidence: np.ndarray) -> Image.Image:
    """The film with its outline, the picture of the breast, and the evidence for a lesion laid over it."""
    picture = cv2.resize(film.picture, (PANEL, PANEL), interpolation=cv2.INTER_AREA)
    laid = grids.blend_map(picture, cv2.resize(evidence, (PANEL, PANEL)))
    return Image.fromarray(np.hstack([film.outlined, np.repeat(picture[..., None], 3, axis=2), laid]))


if __name__ == "__main__":
    sys.exit(main())
