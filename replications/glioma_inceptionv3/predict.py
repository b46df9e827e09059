"""Probabilities of the grades for new slices from the network of a finished run, and what they rest on.

`python -m replications.glioma_inceptionv3.predict VOLUME --mask MASK --run DIR` takes a volume (NRRD, NIfTI) with the lesion
drawn in it: its lesion slices are kept, cut and scaled as in the run, and the last line is the mean over them, as the subject
is judged. Without a mask, `--at X,Y,Z` (mm, x to the patient's left, y to the back, z to the head) takes the whole slice through
a place, for networks of whole slices. `... predict PICTURE... --run DIR` takes slices, whole or cut to the lesion as --view says:
JPEG, PNG, DICOM (MR, one frame), or folders of them. Research software, not a medical device.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from common import cli
from common.data.dicom_pictures import OF_VIEW, looks_like_dicom, read_dicom_picture
from common.data.listing import Window
from common.data.metaimage import world_to_voxel
from common.data.nifti import NIFTI, hold_image
from common.data.pictures import read_picture
from common.errors import UsageError, run_main
from common.figures import grids
from common.files import load_json
from common.runs.answers import check_scores, name_sheet, refuse_unread, show_answers, spread_over, start_answers
from common.runs.cells import quiet_start
from common.runs.inputs import (
    WINDOW_HELP,
    Point,
    join_negative,
    list_inputs,
    name_apart,
    name_file,
    parse_point,
    parse_window,
    read_each,
    refuse_window,
)
from common.runs.networks import escape, list_warnings, read_network, read_run, show_progress, writing
from replications.glioma_inceptionv3.config import BACKBONES, VIEWS, Config
from replications.glioma_inceptionv3.slices import make_picture, select_slices
from replications.glioma_inceptionv3.sources.segments import read_lesion
from replications.glioma_inceptionv3.sources.volumes import NRRD, read_volume

NAME = Path(__file__).parent.name
LIST = "networks.json"  # of a run
PANEL = 256  # side of a picture on a sheet, pixels
ALL = "all slices: mean"
PICTURES = (".jpg", ".jpeg", ".png")
MODALITIES = ("MR",)  # of DICOM


@dataclass(frozen=True)
class Slice:
    """One picture as the network takes it."""

    name: str
    picture: np.ndarray  # uint8 (side, side)
    area: int | None  # of the lesion in the original slice, pixels; None: unknown
    notes: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="one volume (.nrrd, .nhdr, .nii, .nii.gz), or slices (JPEG, PNG, DICOM) and folders of them",
    )
    add("--mask", type=Path, metavar="FILE", help="the lesion in the volume: a label map or a segmentation of 3D Slicer")
    add("--segment", default="", metavar="NAME", help="which segment or label is the lesion, where there are several")
    place = "the whole slice through a place in the volume, mm (repeatable: --at -14.2,30,7.5)"
    add("--at", type=parse_point, action="append", default=[], metavar="X,Y,Z", help=place)
    add("--window", type=parse_window, metavar="BLACK,WHITE", help=WINDOW_HELP)
    add("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    add("--backbone", choices=BACKBONES, help="default: the first that the run stored")
    add("--view", choices=VIEWS, help="the lesion cut out, or the whole slice; default: the first that the run stored")
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv and a sheet a slice")
    add("--json", action="store_true", help="print JSON instead of a table")
    words = join_negative(sys.argv[1:] if argv is None else argv, ["--at"])
    return run_main(lambda: predict(parser.parse_args(words)))


def predict(given: argparse.Namespace) -> int:
    """Ask the stored network; print a line a slice, write predictions.csv and a sheet a slice."""
    results = read_run(given.run, NAME)
    config = cli.restore_config(Config, results.config)
    classes = list(results.datasets[0].classes)
    entry = choose_network(given.run, given.backbone, given.view or ("whole" if given.at else None))
    path, _ = read_network(given.run / "cells" / entry.cell)
    faults: list[str] = []
    slices = read_slices(given, entry.view, config, faults)
    refuse_unread(slices, faults)
    notes = list_warnings(results)
    if entry.protocol != "leakfree":
        notes.append("this network was trained on slices of all subjects: it has met every subject of its run")
    notes += [f"{one.name}: {note}" for one in slices for note in one.notes]
    start_answers(given.out, notes, faults)

    with quiet_start():
        from common.training.stored import open_network, refuse_network
        from replications.glioma_inceptionv3.models import HEAD, TABLE
    network = open_network(path, shape=(config.side, config.side, 1), classes=len(classes))
    names = [layer.name for layer in network.layers]
    if TABLE not in names or not any(name.startswith(HEAD) for name in names):
        refuse_network(network, path)
    pictures = np.stack([one.picture for one in slices])
    heads, maps = ask(network, pictures, config.feature_batch)
    check_scores(heads, str(path))
    table = tabulate(slices, heads, classes, of_volume=given.mask is not None or bool(given.at))
    sheets = [name_sheet(number, one.name) for number, one in enumerate(slices, start=1)]
    table["sheet"] = pd.Series(sheets).reindex(table.index)
    with writing(given.out):
        for sheet, one, evidence in zip(sheets, slices, maps, strict=True):
            draw_sheet(one.picture, evidence).save(given.out / sheet)
    about = {"network": entry.backbone, "view": entry.view, "protocol": entry.protocol, "last_layers": len(heads)}
    last = f"network: {entry.backbone}, {entry.view}, {entry.protocol}, last layers: {len(heads)}; sheets in {given.out}"
    return show_answers(table, given.out, as_json=given.json, about=about, notes=notes, faults=faults, last=last)


class Stored(NamedTuple):
    """An entry of networks.json."""

    backbone: str
    view: str
    protocol: str
    cell: str


def choose_network(run: Path, backbone: str | None, view: str | None) -> Stored:
    """The first entry of networks.json that fits.

    Raises UsageError for a damaged list and where none fits (names those there are).
    """
    try:
        stored = load_json(run / LIST)
        known = [Stored(*(str(line[name]) for name in Stored._fields)) for line in stored]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{run / LIST}: missing or damaged; the command that made this run makes it anew") from None
    if any(Path(entry.cell).name != entry.cell for entry in known):
        raise UsageError(f"{run / LIST}: names a training outside the run; the command that made this run makes it anew")
    fits = [entry for entry in known if backbone in (None, entry.backbone) and view in (None, entry.view)]
    if not fits:
        there = "; ".join(f"{entry.backbone}, {entry.view}" for entry in known)
        listed = f"there are: {there}; name one with --backbone and --view" if known else "there are: none"
        raise UsageError(f"{run}: no network of {backbone or 'any backbone'}, {view or 'any view'}; {listed}")
    return fits[0]


def read_slices(given: argparse.Namespace, view: str, config: Config, faults: list[str]) -> list[Slice]:
    """The slices as the network takes them, of one volume and its mask or places, or one of each picture; pictures and places
    that cannot be read are added to `faults`.

    Raises UsageError, one line with the file, for a volume that cannot be read, one without mask and places, or the reverse.
    """
    volumes = [path for path in given.images if path.name.lower().endswith(NRRD + NIFTI)]
    if given.mask is None and not given.at and not volumes:
        files, without = list_inputs(given.images, lambda path: path.suffix.lower() in PICTURES or looks_like_dicom(path))
        faults += without
        named = zip(files, name_apart(files), strict=True)
        return [one for _, one in read_each(named, lambda of: read_one(*of, config, given.window), faults)]
    refuse_window(given.window)
    if not volumes:
        first, kinds = escape(str(given.images[0])), ", ".join(NRRD + NIFTI)
        raise UsageError(f"{first}: no volume of a kind that is read here ({kinds}); only volumes take --mask and --at")
    if (given.mask is None) == (not given.at) or len(volumes) != 1 or len(given.images) != 1:
        raise UsageError(
            "give one volume with its --mask, or with --at for a network of whole slices; or pictures without either"
        )
    (image,) = volumes
    if given.at:
        if view != "whole":
            raise UsageError(
                f"--at goes with networks of whole slices, not of the view {view!r}; that one needs the lesion (--mask)"
            )
        return read_slices_at(image, given.at, config, faults)
    return read_volume_slices(image, given.mask, given.segment, view, config)


def read_slices_at(image: Path, points: Sequence[Point], config: Config, faults: list[str]) -> list[Slice]:
    """The whole slices through places (mm) of a volume; places outside are added to `faults`."""
    image = image.absolute()
    volume = read_volume(image, image.parent)
    if volume.layers != 1 or not volume.has_geometry:
        what = f"{volume.layers} values a voxel" if volume.layers != 1 else "its header does not say where it lies in the patient"
        raise UsageError(f"{image}: {what}; write it anew")
    held = hold_image(image, volume.image)
    assert held.voxels is not None
    planes = held.voxels.astype(np.float32)
    if not np.isfinite(planes).all():
        raise UsageError(f"{image}: voxels that are NaN or infinite; repair the volume")
    low, high = (float(value) for value in np.percentile(planes, config.percentiles))

    def cut(point: Point) -> Slice:
        with np.errstate(over="ignore", invalid="ignore"):  # coordinates of any size: then they are outside
            place = world_to_voxel(held, np.array(point))
        if not ((place >= -0.5) & (place < np.array(held.size) - 0.5)).all():
            raise UsageError(f"{image}: {', '.join(f'{value:g}' for value in point)} mm lies outside the volume")
        number = int(np.floor(place[2] + 0.5))
        whole = np.ones(planes.shape[1:], bool)
        return Slice(
            f"{escape(image.name)} slice {number}", make_picture(planes[number], whole, low, high, "whole", config), None
        )

    return [one for _, one in read_each(points, cut, faults)]


def read_volume_slices(image: Path, mask: Path, segment: str, view: str, config: Config) -> list[Slice]:
    """The kept lesion slices of a volume, from the feet up, as the run prepares them; numbered from 0."""
    image, mask = image.absolute(), mask.absolute()
    for path in (image, mask):
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
    lesion = read_lesion(image, mask, find_common_folder(image, mask), segment)
    areas = lesion.masks.sum(axis=(1, 2))
    low, high = (float(value) for value in np.percentile(lesion.planes, config.percentiles))
    return [
        Slice(
            f"{escape(image.name)} slice {number}",
            make_picture(lesion.planes[number], lesion.masks[number], low, high, view, config),
            int(areas[number]),
        )
        for number in map(int, select_slices(areas, config))
    ]


def find_common_folder(one: Path, other: Path) -> Path:
    """The deepest folder that holds both files: no header may lead out of it."""
    return next(folder for folder in one.parents if folder in other.parents)


def read_one(path: Path, name: str, config: Config, window: Window | None = None) -> Slice:
    """A picture, its grey values as they are or within a window, or a DICOM slice, its values stretched as a run stretches those
    of a volume; scaled to the run's size."""
    low, high = 0.0, 255.0
    notes: tuple[str, ...] = ()
    try:
        if looks_like_dicom(path):
            refuse_window(window)
            found = read_dicom_picture(path, MODALITIES)
            levels = found.levels
            notes = tuple(note for note in found.notes if note not in OF_VIEW)  # no window is applied here
            low, high = (float(value) for value in np.percentile(levels, config.percentiles))
        else:
            levels = read_picture(path, window=window).astype(np.float32)
    except UsageError as error:
        raise name_file(path, error) from None
    return Slice(name, make_picture(levels, np.ones(levels.shape, bool), low, high, "whole", config), None, notes)


def ask(network: Any, pictures: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float64 (heads, n, classes) of every last layer, and the class activation maps float32 (n, side, side) of
    the class of the highest mean. network: a stored Keras model; pictures: uint8 (n, side, side)."""
    import keras

    from replications.glioma_inceptionv3.bottlenecks import map_attention
    from replications.glioma_inceptionv3.models import HEAD

    layers = [layer for layer in network.layers if layer.name.startswith(HEAD)]
    asked = keras.Model(network.input, [layer.output for layer in layers])
    given = pictures[..., None].astype(np.float32)
    heads = []
    with show_progress() as progress:
        for start in progress.track(range(0, len(given), batch), description="slices"):
            scores = asked.predict_on_batch(given[start : start + batch])
            heads.append(np.stack(scores if len(layers) > 1 else [scores]).astype(np.float64))
    found = np.concatenate(heads, axis=1)
    kernel = np.mean([layer.get_weights()[0] for layer in layers], axis=0)
    return found, map_attention(network, kernel, given, found.mean(axis=0).argmax(axis=1).tolist())


def tabulate(slices: Sequence[Slice], heads: np.ndarray, classes: Sequence[str], *, of_volume: bool) -> pd.DataFrame:
    """A line a slice: grade and probabilities, the mean of the last layers; spread: standard deviation of the called grade's
    probability over them. of_volume: one line more, the mean over the slices, with the spread of the layers' means."""
    scores = np.concatenate([heads, heads.mean(axis=1, keepdims=True)], axis=1) if of_volume else heads
    mean = scores.mean(axis=0)
    called = mean.argmax(axis=1)
    own = scores[:, np.arange(len(called)), called]
    table = pd.DataFrame({"slice": [*(one.name for one in slices), *([ALL] if of_volume else [])]})
    if of_volume:
        table["area (px)"] = pd.array([*(one.area for one in slices), None], "Int64")
    table["grade"] = [classes[index] for index in called]
    for index, name in enumerate(classes):
        table[f"p({name})"] = mean[:, index].round(4)
    spread = spread_over(own)
    if spread is not None:
        table["spread"] = spread
    return table


def draw_sheet(picture: np.ndarray, evidence: np.ndarray) -> Image.Image:
    """A slice uint8 (side, side), and beside it the slice under its map (side, side) in [0, 1]."""
    both = np.hstack([np.repeat(picture[..., None], 3, axis=2), grids.blend_map(picture, evidence)])
    return Image.fromarray(both).resize((2 * PANEL, PANEL), Image.Resampling.BILINEAR)


if __name__ == "__main__":
    sys.exit(main())
