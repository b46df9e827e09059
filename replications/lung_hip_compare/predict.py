"""Probabilities and Grad-CAM for new images from the networks of a finished run.

`python -m replications.lung_hip_compare.predict IMAGE... --run DIR --row "LUNA16 / CNN"`; for a CT scan (.mhd) give the
world coordinates of each candidate with --at=X,Y,Z (mm), as candidates.csv has them. Rows of "resized" hips take pictures
already cropped to the hip. Every network of the row is asked (one a seed, and a fold where there are folds); shown are the
mean and the spread.
"""

import argparse
import functools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from common import cli
from common.data.metaimage import read_header
from common.data.pictures import read_picture
from common.errors import UsageError, run_main
from common.figures import grids
from common.files import slug
from common.runs.cells import quiet_start
from common.runs.networks import escape, list_warnings, read_network, read_run, writing
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import Config
from replications.lung_hip_compare.sources import hips, luna16

NAME = Path(__file__).parent.name

FINE_MAPS = {"cnn": "conv2", "resnet50": r"conv3_block\d+_out"}  # layers that Grad-CAM explains


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog="python -m replications.lung_hip_compare.predict", description=__doc__)
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG or PNG pictures, or a CT scan as .mhd")
    add("--run", type=Path, required=True, metavar="DIR", help="folder of a finished run (runs/lung_hip_compare/...)")
    add("--row", default="LUNA16 / CNN", help="row of the table whose networks are asked (default: %(default)s)")
    add("--protocol", choices=cli.PROTOCOLS, default="leakfree", help="default: %(default)s")
    place = "candidate in a CT scan, mm (repeatable; write --at=-98.5,-67.3,-140.2)"
    add("--at", type=_read_point, action="append", default=[], metavar="X,Y,Z", help=place)
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv and the overlays")
    return run_main(lambda: predict(parser.parse_args(argv)))


def predict(given: argparse.Namespace) -> int:
    """Ask every stored network of the row; print a line an image, write predictions.csv and one overlay an image."""
    results = read_run(given.run, NAME)
    stored = find_networks(given.run, given.row, given.protocol)
    settings = stored[0][1]
    config = cli.restore_config(Config, settings["config"])
    names, images = read_images(given.images, given.at, settings["dataset"], config)
    with writing(given.out):
        given.out.mkdir(parents=True, exist_ok=True)
    print(*list_warnings(results), sep="\n", file=sys.stderr)

    with quiet_start():
        from common.training import fit
        from common.training.stored import open_network
    networks = [open_network(path) for path, _ in stored]
    scores = np.stack([fit.predict(network, images) for network in networks])  # (networks, images, classes)
    mean = scores.mean(axis=0)
    predicted = mean.argmax(axis=1)
    cams = np.mean([_map_evidence(network, images, predicted) for network in networks], axis=0)

    classes = data.CLASSES[data.part_of(settings["dataset"])]
    spread = scores.std(axis=0, ddof=1)[:, 1] if len(networks) > 1 else np.full(len(images), np.nan)
    table = pd.DataFrame({"image": [escape(name) for name in names], "predicted": [classes[c] for c in predicted]})
    for index, name in enumerate(classes):
        table[f"p({name})"] = mean[:, index].round(4)
    table["sd over networks"] = spread.round(4)
    with writing(given.out):
        table.to_csv(given.out / "predictions.csv", index=False)
    for number, (name, image, cam) in enumerate(zip(names, images, cams, strict=True), start=1):
        picture = np.hstack([np.repeat(image, 3, axis=2), grids.blend_map(image, cam)])
        side = max(256 // image.shape[0], 1) * image.shape[0]
        resized = Image.fromarray(picture).resize((2 * side, side), Image.Resampling.NEAREST)
        with writing(given.out):
            resized.save(given.out / f"{number:03d}-{slug(Path(name).stem)[:60]}.png")
    print(table.to_string(index=False))
    print(f"networks asked: {len(networks)} of {given.row!r}, {given.protocol}; overlays in {given.out}")
    return 0


def find_networks(run: Path, row: str, protocol: str) -> list[tuple[Path, dict]]:
    """(model.keras, settings) of every finished training of a row.

    Raises UsageError: a network that is missing or damaged; no such row or protocol (names those there are).
    """
    found, known = [], set()
    for record in sorted((run / "cells").glob("*/cell.json")):
        try:
            settings = json.loads(record.read_text())["settings"]
            known.add((settings["row"], settings["protocol"]))
        except (ValueError, KeyError, TypeError):
            continue  # a damaged cell: the run itself redoes it
        if (settings["row"], settings["protocol"]) == (row, protocol):
            found.append(read_network(record.parent))
    if not found:
        listed = "; ".join(f"{name} ({protocol})" for name, protocol in sorted(known))
        raise UsageError(f"{run}: no network of row {row!r} under protocol {protocol!r}; there are: {listed or 'none'}")
    return found


def read_images(
    paths: list[Path], points: Sequence[tuple[float, ...]], dataset: str, config: Config
) -> tuple[list[str], np.ndarray]:
    """Names and images uint8 (n, side, side, 1) as the networks of a data set take them."""
    names, images = [], []
    scans = [path for path in paths if path.suffix.lower() == ".mhd"]
    if bool(scans) != bool(points) or (scans and data.is_hip(dataset)):
        raise UsageError("a CT scan (.mhd) needs candidates (--at X,Y,Z) and a LUNA16 row; pictures take no --at")
    for path in paths:
        if path in scans:
            volume = read_header(path)
            for point in points:
                patch, padded = luna16.extract_patch(
                    volume, np.array(point), config.luna_side, config.luna_window, config.luna_voxel_rule
                )
                place = f"{path.stem} at {', '.join(f'{v:g}' for v in point)}"
                names.append(f"{place} (partly outside the slice)" if padded else place)
                images.append(luna16.compress_jpeg(patch))
        else:
            names.append(path.name)
            images.append(_read_image(path, dataset, config))
    return names, np.stack(images)[..., None]


def _read_image(path: Path, dataset: str, config: Config) -> np.ndarray:
    if data.is_hip(dataset):
        return hips.scale_picture(read_picture(path), hips.choose_side(dataset, config))
    # A patch shows a fixed field (50 voxels): scaling another picture to it would change what the network measures.
    return read_picture(path, (config.luna_side, config.luna_side))


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


def _read_point(text: str) -> tuple[float, ...]:
    try:
        point = tuple(float(part) for part in text.split(","))
    except ValueError:
        point = ()
    if len(point) != 3 or not np.isfinite(point).all():
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,Z in mm")
    return point


if __name__ == "__main__":
    sys.exit(main())
