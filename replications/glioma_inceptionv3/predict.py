"""Probabilities of the grades for new slices from the network of a finished run, and what they rest on.

`python -m replications.glioma_inceptionv3.predict VOLUME --mask MASK --run DIR` takes a volume (NRRD, NIfTI) with the lesion
drawn in it: its lesion slices are kept, cut and scaled as in the run, and the last line is the mean over them, as the subject
is judged. `... predict PICTURE... --run DIR` takes pictures (JPEG, PNG) of slices, whole or cut to the lesion as --view says.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from common import cli
from common.data.pictures import read_picture
from common.errors import UsageError, run_main
from common.figures import grids
from common.files import slug
from common.runs.cells import quiet_start
from common.runs.networks import escape, list_warnings, read_network, read_run, show_progress, writing
from replications.glioma_inceptionv3.config import BACKBONES, VIEWS, Config
from replications.glioma_inceptionv3.slices import make_picture, select_slices
from replications.glioma_inceptionv3.sources.segments import read_lesion
from replications.glioma_inceptionv3.sources.volumes import NIFTI, NRRD

NAME = Path(__file__).parent.name
LIST = "networks.json"  # of a run
PANEL = 256  # side of a picture on a sheet, pixels
ALL = "all slices: mean"


@dataclass(frozen=True)
class Slice:
    """One picture as the network takes it."""

    name: str
    picture: np.ndarray  # uint8 (side, side)
    area: int | None  # of the lesion in the original slice, pixels; None: unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="one volume (.nrrd, .nhdr, .nii, .nii.gz) or pictures (JPEG, PNG)")
    add("--mask", type=Path, metavar="FILE", help="the lesion in the volume: a label map or a segmentation of 3D Slicer")
    add("--segment", default="", metavar="NAME", help="which segment or label is the lesion, where there are several")
    add("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    add("--backbone", choices=BACKBONES, help="default: the first that the run stored")
    add("--view", choices=VIEWS, help="the lesion cut out, or the whole slice; default: the first that the run stored")
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv and a sheet a slice")
    return run_main(lambda: predict(parser.parse_args(argv)))


def predict(given: argparse.Namespace) -> int:
    """Ask the stored network; print a line a slice, write predictions.csv and a sheet a slice."""
    results = read_run(given.run, NAME)
    config = cli.restore_config(Config, results.config)
    classes = list(results.datasets[0].classes)
    entry = choose_network(given.run, given.backbone, given.view)
    path, _ = read_network(given.run / "cells" / entry.cell)
    slices = read_slices(given.images, given.mask, given.segment, entry.view, config)
    with writing(given.out):
        given.out.mkdir(parents=True, exist_ok=True)
    print(*list_warnings(results), sep="\n", file=sys.stderr)
    if entry.protocol != "leakfree":
        print("this network was trained on slices of all subjects: it has met every subject of its run", file=sys.stderr)

    with quiet_start():
        from common.training.stored import open_network
    network = open_network(path)
    if network.input_shape[1:] != (config.side, config.side, 1) or network.output_shape[-1] != len(classes):
        raise UsageError(f"{path}: not a network of this run; the command that made the run makes it anew")
    pictures = np.stack([one.picture for one in slices])
    heads, maps = ask(network, pictures, config.feature_batch)
    table = tabulate(slices, heads, classes, of_volume=given.mask is not None)
    with writing(given.out):
        table.to_csv(given.out / "predictions.csv", index=False)
        for number, (one, evidence) in enumerate(zip(slices, maps, strict=True), start=1):
            draw_sheet(one.picture, evidence).save(given.out / f"{number:03d}-{slug(one.name)[:60]}.png")
    print(table.astype(object).fillna("").to_string(index=False))
    about = f"{entry.backbone}, {entry.view}, {entry.protocol}, last layers: {len(heads)}"
    print(f"network: {about}; sheets in {given.out}")
    return 0


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
        stored = json.loads((run / LIST).read_text(encoding="utf-8"))
        known = [Stored(*(str(line[name]) for name in Stored._fields)) for line in stored]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{run / LIST}: missing or damaged; the command that made this run makes it anew") from None
    if any(Path(entry.cell).name != entry.cell for entry in known):
        raise UsageError(f"{run / LIST}: names a training outside the run; the command that made this run makes it anew")
    fits = [entry for entry in known if backbone in (None, entry.backbone) and view in (None, entry.view)]
    if not fits:
        listed = "; ".join(f"{entry.backbone}, {entry.view}" for entry in known) or "none"
        raise UsageError(f"{run}: no network of {backbone or 'any backbone'}, {view or 'any view'}; there are: {listed}")
    return fits[0]


def read_slices(paths: Sequence[Path], mask: Path | None, segment: str, view: str, config: Config) -> list[Slice]:
    """The slices as the network takes them, of one volume and its mask, or one of each picture.

    Raises UsageError, one line with the file, for what cannot be read, and for a volume without a mask or the reverse.
    """
    volumes = [path for path in paths if path.name.lower().endswith(NRRD + NIFTI)]
    if mask is None and not volumes:
        return [read_one(path, config) for path in paths]
    if mask is None or len(volumes) != 1 or len(paths) != 1:
        raise UsageError("give one volume with its --mask, or pictures without one")
    return read_volume_slices(paths[0], mask, segment, view, config)


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


def read_one(path: Path, config: Config) -> Slice:
    """A picture, its grey values as they are (a run stretches those of a volume), scaled to the run's size."""
    try:
        picture = read_picture(path)
    except UsageError as error:
        raise UsageError(f"{escape(str(path))}: {str(error).removeprefix(f'{path}: ')}") from None
    whole = np.ones(picture.shape, bool)
    return Slice(escape(path.name), make_picture(picture.astype(np.float32), whole, 0.0, 255.0, "whole", config), None)


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
    table["spread"] = own.std(axis=0, ddof=1).round(4) if len(heads) > 1 else np.nan
    return table


def draw_sheet(picture: np.ndarray, evidence: np.ndarray) -> Image.Image:
    """A slice uint8 (side, side), and beside it the slice under its map (side, side) in [0, 1]."""
    both = np.hstack([np.repeat(picture[..., None], 3, axis=2), grids.blend_map(picture, evidence)])
    return Image.fromarray(both).resize((2 * PANEL, PANEL), Image.Resampling.BILINEAR)


if __name__ == "__main__":
    sys.exit(main())
