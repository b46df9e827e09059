"""Probabilities and Grad-CAM for new images from the networks of a finished run.

`python -m replications.lung_hip_compare.predict IMAGE... --run DIR --row "LUNA16 / CNN"`; for a CT scan (.mhd, NIfTI, DICOM
slices of one series) give the world coordinates of each candidate with --at X,Y,Z (mm, x to the patient's left, y to the back, z
to the head), as candidates.csv has them. Rows of hips take pictures and radiographs (DICOM); those of "resized" hips, cropped to
the hip. A folder stands for the images in it. Every network of the row is asked (one a seed, and a fold where there are folds);
shown are the mean and, of several, the spread. Research software, not a medical device.
"""

import argparse
import functools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from common import cli
from common.data.dicom_pictures import looks_like_dicom, read_ct_slice, read_dicom_picture
from common.data.listing import Window
from common.data.metaimage import Volume, check_axial, read_header
from common.data.nifti import is_nifti, read_nifti, turn_volume
from common.data.pictures import read_picture
from common.errors import UsageError, run_main
from common.figures import grids
from common.files import load_json
from common.runs.answers import check_scores, name_sheet, refuse_unread, show_answers, spread_over, start_answers
from common.runs.cells import LEFT, quiet_start
from common.runs.inputs import (
    WINDOW_HELP,
    Point,
    join_negative,
    list_inputs,
    name_apart,
    parse_point,
    parse_window,
    read_each,
    refuse_window,
)
from common.runs.networks import MODEL, escape, list_warnings, read_network, read_run, writing
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import Config
from replications.lung_hip_compare.sources import hips, luna16

NAME = Path(__file__).parent.name

PICTURES = (".jpg", ".jpeg", ".png")
RADIOGRAPHS = ("CR", "DX", "RF", "RG")  # modalities
FINE_MAPS = {"cnn": "conv2", "resnet50": r"conv3_block\d+_out"}  # layers that Grad-CAM explains


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog="python -m replications.lung_hip_compare.predict", description=__doc__)
    add = parser.add_argument
    kinds = "JPEG or PNG pictures, radiographs (DICOM), a CT scan (.mhd, .nii, .nii.gz, DICOM slices); or folders of them"
    add("images", nargs="+", type=Path, metavar="IMAGE", help=kinds)
    add("--run", type=Path, required=True, metavar="DIR", help="folder of a finished run (runs/lung_hip_compare/...)")
    add("--row", default="LUNA16 / CNN", help="row of the table whose networks are asked (default: %(default)s)")
    add("--protocol", choices=cli.PROTOCOLS, default="leakfree", help="default: %(default)s")
    place = "candidate in a CT scan, mm (repeatable: --at -98.5,-67.3,-140.2)"
    add("--at", type=parse_point, action="append", default=[], metavar="X,Y,Z", help=place)
    add("--window", type=parse_window, metavar="BLACK,WHITE", help=WINDOW_HELP)
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv and the overlays")
    add("--json", action="store_true", help="print JSON instead of a table")
    words = join_negative(sys.argv[1:] if argv is None else argv, ["--at"])
    return run_main(lambda: predict(parser.parse_args(words)))


def predict(given: argparse.Namespace) -> int:
    """Ask every stored network of the row; print a line an image, write predictions.csv and one overlay an image."""
    results = read_run(given.run, NAME)
    stored = find_networks(given.run, given.row, given.protocol)
    settings = stored[0][1]
    config = cli.restore_config(Config, settings["config"])
    faults: list[str] = []
    found = read_images(given.images, given.at, settings["dataset"], config, faults, given.window)
    refuse_unread(found, faults)
    images = np.stack([one.image for one in found])[..., None]
    notes = [*list_warnings(results), *(f"{one.name}: {note}" for one in found for note in one.notes)]
    start_answers(given.out, notes, faults)

    classes = data.CLASSES[data.part_of(settings["dataset"])]
    with quiet_start():
        from common.training import fit
        from common.training.stored import looking_into, open_network
    networks = [open_network(path, shape=images.shape[1:], classes=len(classes)) for path, _ in stored]
    scores = np.stack([fit.predict(network, images) for network in networks])  # (networks, images, classes)
    check_scores(scores, f"{given.row} ({given.protocol})")
    mean = scores.mean(axis=0)
    predicted = mean.argmax(axis=1)
    cams = np.zeros(images.shape[:3], np.float32)
    for (path, _), network in zip(stored, networks, strict=True):
        with looking_into(path):
            cams += _map_evidence(network, images, predicted) / len(networks)

    table = pd.DataFrame({"image": [one.name for one in found], "predicted": [classes[c] for c in predicted]})
    for index, name in enumerate(classes):
        table[f"p({name})"] = mean[:, index].round(4)
    spread = spread_over(scores[..., 1])
    if spread is not None:
        table["sd over networks"] = spread
    table["sheet"] = [name_sheet(number, one.name) for number, one in enumerate(found, start=1)]
    for sheet, image, cam in zip(table["sheet"], images, cams, strict=True):
        picture = np.hstack([np.repeat(image, 3, axis=2), grids.blend_map(image, cam)])
        side = max(256 // image.shape[0], 1) * image.shape[0]
        resized = Image.fromarray(picture).resize((2 * side, side), Image.Resampling.NEAREST)
        with writing(given.out):
            resized.save(given.out / sheet)
    about = {"row": given.row, "protocol": given.protocol, "networks": len(networks)}
    last = f"networks asked: {len(networks)} of {given.row!r}, {given.protocol}; overlays in {given.out}"
    return show_answers(table, given.out, as_json=given.json, about=about, notes=notes, faults=faults, last=last)


def find_networks(run: Path, row: str, protocol: str) -> list[tuple[Path, dict]]:
    """(model.keras, settings) of every finished training of a row.

    Raises UsageError: a network that is missing or damaged; no such row or protocol (names those there are).
    """
    found, known = [], set()
    for record in sorted((run / "cells").glob("*/cell.json")):
        try:
            written = load_json(record)
            settings = written["settings"]
            if MODEL not in written["files"] | written.get(LEFT, {}):
                continue  # a scoring of a network, not a training
            known.add((settings["row"], settings["protocol"]))
        except (UsageError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # a damaged cell: the run itself redoes it
        if (settings["row"], settings["protocol"]) == (row, protocol):
            found.append(read_network(record.parent))
    if not found:
        there = "; ".join(f"{name} ({of})" for name, of in sorted(known))
        listed = f"there are: {there}; name one with --row, and --protocol" if known else "there are: none"
        raise UsageError(f"{run}: no network of row {row!r} under protocol {protocol!r}; {listed}")
    return found


class Shown(NamedTuple):
    """One image as the networks take it."""

    name: str
    image: np.ndarray  # uint8 (side, side)
    notes: tuple[str, ...] = ()


def read_images(
    paths: Sequence[Path], points: Sequence[Point], dataset: str, config: Config, faults: list[str], window: Window | None = None
) -> list[Shown]:
    """The images of files and folders as the networks of a data set take them; what cannot be read is added to `faults`.

    window: grey levels of black and white in pictures, as the table of the run's own pictures has them.

    Raises UsageError for a scan with a window, and for candidates without a scan or with one of a row of hips.
    """
    files, without = list_inputs(
        paths, lambda path: _is_scan(path, dataset) or path.suffix.lower() in PICTURES or looks_like_dicom(path)
    )
    faults += without
    scans = [path for path in files if _is_scan(path, dataset)]
    if unasked := _list_unasked(scans, points, dataset):
        if points:
            raise UsageError(unasked[0])
        faults += unasked
        files, scans = [path for path in files if path not in scans], []
    if points and not scans:
        first = f"{escape(str(files[0]))}: " if files else ""
        raise UsageError(f"{first}no CT scan of a kind that is read here (.mhd, NIfTI, DICOM slices); only scans take --at")
    if scans:
        refuse_window(window)
    named = list(zip(files, name_apart(files), strict=True))
    slices = [(path, name) for path, name in named if path in scans and looks_like_dicom(path)]
    others = [one for one in named if one not in slices]
    read = read_each(others, lambda of: _read_file(*of, points, dataset, config, faults, window), faults)
    return [one for _, several in read for one in several] + search_slices(slices, points, config, faults)


def _is_scan(path: Path, dataset: str) -> bool:
    return path.suffix.lower() == ".mhd" or is_nifti(path) or (looks_like_dicom(path) and not data.is_hip(dataset))


def _list_unasked(scans: Sequence[Path], points: Sequence[Point], dataset: str) -> list[str]:
    """Why scans cannot be looked at, a fault each; of DICOM slices, which may be hundreds of one scan, the first."""
    slices = [path for path in scans if looks_like_dicom(path)]
    several = set(slices)
    shown = [escape(str(path)) for path in [*(path for path in scans if path not in several), *slices[:1]]]
    if data.is_hip(dataset):
        return [f"{name}: a CT scan, but row {dataset!r} is of hips; name a row of LUNA16 with --row" for name in shown]
    return [] if points else [f"{name}: a CT scan needs candidates (--at X,Y,Z)" for name in shown]


def _read_file(
    path: Path, name: str, points: Sequence[Point], dataset: str, config: Config, faults: list[str], window: Window | None
) -> list[Shown]:
    """One picture, or the candidates of one scan; candidates that lie outside are added to `faults`."""
    if is_nifti(path) or path.suffix.lower() == ".mhd":
        volume = check_axial(read_nifti(path) if is_nifti(path) else turn_volume(read_header(path)))
        called = name.removesuffix(".mhd").removesuffix(".MHD")
        return [one for _, one in read_each(points, lambda point: _cut_candidate(volume, called, point, config), faults)]
    if not data.is_hip(dataset):
        # A patch shows a fixed field (50 voxels): scaling another picture to it would change what the network measures.
        return [Shown(name, read_picture(path, (config.luna_side, config.luna_side), window=window))]
    side = hips.choose_side(dataset, config)
    if looks_like_dicom(path):
        refuse_window(window)
        picture = read_dicom_picture(path, RADIOGRAPHS)
        return [Shown(name, hips.scale_picture(picture.grey, side), picture.notes)]
    return [Shown(name, hips.scale_picture(read_picture(path, window=window), side))]


def _cut_candidate(volume: Volume, name: str, point: Point, config: Config) -> Shown:
    patch, padded = luna16.extract_patch(volume, np.array(point), config.luna_side, config.luna_window, config.luna_voxel_rule)
    place = f"{name} at {', '.join(f'{value:g}' for value in point)}"
    return Shown(f"{place} (partly outside the slice)" if padded else place, luna16.compress_jpeg(patch))


def search_slices(slices: Sequence[tuple[Path, str]], points: Sequence[Point], config: Config, faults: list[str]) -> list[Shown]:
    """The candidates in CT slices (file, name) of one series, each in the slice that holds it.

    A slice reaches from its own place up to its thickness, as the run takes the voxel below a point; where slices overlap, the
    nearest below counts. A candidate that lies in none is added to `faults`. Raises UsageError for slices of several series.
    """
    best: dict[Point, tuple[float, Volume, str]] = {}  # candidate -> mm above the slice, slice, name
    series = set()
    read = 0
    for path, name in slices:
        for _, one in read_each([path], read_ct_slice, faults):
            read += 1
            series.add(one.series)
            if len(series) > 1:
                raise UsageError(f"{escape(str(path))}: a slice of another series than those before; give one series at a time")
            for point in points:
                with np.errstate(over="ignore", invalid="ignore"):  # coordinates of any size: then they are outside
                    depth = float(luna16.locate_candidate(one.volume, np.array(point), "signed")[2])
                above = depth * float(one.volume.spacing[2])
                if 0 <= depth < 1 and (point not in best or above < best[point][0]):
                    best[point] = above, one.volume, name
    if read:
        faults += [f"no slice holds {luna16.show_point(np.array(at))} mm ({read} read)" for at in points if at not in best]
    held = [point for point in points if point in best]
    return [one for _, one in read_each(held, lambda point: _cut_candidate(*best[point][1:], point, config), faults)]


def _map_evidence(network: Any, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Grad-CAM for the given class of each image, or the input gradient where a network has no feature map (DBN): float32
    (n, side, side). network: of Keras, which this module imports only when it is needed."""
    from common.training import gradcam

    explain = gradcam.saliency
    if any("conv" in layer.name for layer in network.layers):
        # The last maps of these two have 2x2 pixels at 50x50, too few to show a place; these have 7x7.
        fine = [layer.name for layer in network.layers if re.fullmatch(FINE_MAPS.get(network.name, "-"), layer.name)]
        explain = functools.partial(gradcam.grad_cam, layer=fine[-1] if fine else None)
    cams = np.empty(images.shape[:3], np.float32)
    for index in np.unique(classes):  # the class that is shown, not the one that this network alone prefers
        cams[classes == index] = explain(network, images[classes == index], class_index=int(index))
    return cams


if __name__ == "__main__":
    sys.exit(main())
