"""Probabilities and Grad-CAM for new ultrasound pictures from the stored ensemble of a finished run.

`python -m replications.thyroid_ensemble.predict IMAGE... --run DIR` takes 8-bit pictures (PNG, JPEG, BMP, TIFF), DICOM (US, one
frame) and folders of them. A box says where the nodule lies: `--box x0,y0,x1,y1` for one picture, `IMAGE@x0,y0,x1,y1` for each of
several (or for several nodules of one); pixels, x1 and y1 exclusive. The ROI is cut around it as in the run; without a box it is
the whole picture. Each model of the ensemble (under leakfree: the mean of its inner folds' networks) gives a probability of
malignant; the weights that the run chose fuse them. Research software, not a medical device.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from common import cli
from common.errors import UsageError, run_main
from common.figures import grids
from common.files import load_json
from common.runs.answers import check_scores, name_sheet, refuse_unread, show_answers, start_answers
from common.runs.cells import quiet_start
from common.runs.inputs import WINDOW_HELP, join_negative, parse_window, read_each
from common.runs.networks import list_warnings, read_network, read_run, show_progress, writing
from replications.thyroid_ensemble import ensemble
from replications.thyroid_ensemble.config import CLASSES, NETWORKS, SCALES, Config
from replications.thyroid_ensemble.new_pictures import list_images, parse_box, parse_image, read_roi
from replications.thyroid_ensemble.rois import Box, choose_input_side, crop_scale, cut_patches
from replications.thyroid_ensemble.rows import name_model

NAME = Path(__file__).parent.name
STORED = "ensembles.json"
MODELS = {name_model(network, scale): (network, scale) for network in NETWORKS for scale in SCALES}
MALIGNANT = 1
BLOCK = 64  # pictures whose maps are in memory at a time
PANEL, LINE = 256, 18  # pixels: one picture and one line of text of a sheet


@dataclass(frozen=True)
class Member:
    """One model of a stored ensemble; files: its networks, one an inner fold under leakfree."""

    name: str
    network: str
    scale: int
    weight: float
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Stored:
    """The ensemble that a run left for new pictures under one protocol."""

    protocol: str
    config: Config
    warnings: tuple[str, ...]  # what stands beside every number and picture
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Answer:
    """What one model says of n ROIs."""

    member: Member
    patches: np.ndarray  # uint8 (n, side, side, 1), as its networks take them
    scores: np.ndarray  # float32 (folds, n, 2)
    maps: np.ndarray  # float32 (n, side, side) in [0, 1]: Grad-CAM for malignant, mean over the folds


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (see common.cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{NAME}.predict", description=__doc__)
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        type=parse_image,
        metavar="IMAGE[@x0,y0,x1,y1]",
        help="picture, and the nodule's box in it; or a folder",
    )
    add("--run", type=Path, required=True, metavar="DIR", help=f"folder of a finished run (runs/{NAME}/...)")
    add("--box", type=parse_box, metavar="x0,y0,x1,y1", help="the nodule's box, where there is one picture")
    add("--window", type=parse_window, metavar="BLACK,WHITE", help=WINDOW_HELP)
    add("--protocol", choices=cli.PROTOCOLS, help="default: leakfree if the run stored it, else paper")
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="for predictions.csv and one sheet a picture")
    add("--json", action="store_true", help="print JSON instead of a table")
    words = join_negative(sys.argv[1:] if argv is None else argv, ["--box"])
    return run_main(lambda: predict(parser.parse_args(words)))


def predict(given: argparse.Namespace) -> int:
    """Ask the stored ensemble; print a line a picture, write predictions.csv and one sheet of Grad-CAM a picture."""
    stored = find_ensemble(given.run, given.protocol)
    faults: list[str] = []
    images, names = list_images(given.images, given.box, faults)
    with show_progress() as progress:
        listed = progress.track(list(zip(images, names, strict=True)), description="pictures")
        found = read_each(listed, lambda one: read_roi(*one[0], stored.config, given.window), faults)
    refuse_unread(found, faults)
    images, names = [image for (image, _), _ in found], [name for (_, name), _ in found]
    rois = [roi for _, (roi, _) in found]
    of_files = [f"{name}: {note}" for (_, name), (_, several) in found for note in several]
    networks = load_networks(stored)
    notes = [*describe(stored, [box for _, box in images]), *of_files]
    start_answers(given.out, notes, faults)
    count = sum(map(len, networks))
    print(f"asking {count} networks about {len(images)} ROI{'s' * (len(images) > 1)}", file=sys.stderr)

    lines = []
    with show_progress() as progress:
        task = progress.add_task("networks", total=count * len(images))
        for start in range(0, len(images), BLOCK):
            block = np.stack(rois[start : start + BLOCK])[..., None]
            advance = functools.partial(progress.advance, task, len(block))
            answers = [ask(m, of, block, stored.config, advance) for m, of in zip(stored.members, networks, strict=True)]
            for index, line in enumerate(tabulate(answers)):
                (_, box), name = images[start + index], names[start + index]
                sheet = given.out / name_sheet(start + index + 1, Path(name).with_suffix("").as_posix())
                with writing(given.out):
                    draw_sheet(block[index], answers, index, line, stored).save(sheet)
                place = "no box" if box is None else ",".join(map(str, box))
                lines.append({"image": name, "box": place, **line, "sheet": sheet.name})
    table = pd.DataFrame([line | line["models"] for line in lines]).drop(columns="models")
    models = [{"name": m.name, "weight": m.weight, "networks": len(m.files)} for m in stored.members]
    return show_answers(
        table,
        given.out,
        as_json=given.json,
        about={"protocol": stored.protocol, "models": models},
        notes=notes,
        faults=faults,
        last=f"sheets and predictions.csv in {given.out}",
        images=lines,
    )


# ------------------------------------------------------------------------------------------------- the stored ensemble


def find_ensemble(run: Path, protocol: str | None) -> Stored:
    """The ensemble of a finished run; protocol None: leakfree if it is stored, else paper.

    Raises UsageError: no run, an unfinished one or one of another paper; no ensemble stored; a missing or damaged network.
    """
    results = read_run(run, NAME)
    if not (run / STORED).is_file():
        raise UsageError(f"{run}: not a finished run; the command that began it goes on where it stopped")
    try:
        entries = load_json(run / STORED)
        if not entries:
            missing = "it needs all nine networks of the first seed; run the same command without --tables, --rows and --seeds"
            raise UsageError(f"{run}: no ensemble was stored; {missing}")
        protocol = protocol or next(name for name in reversed(cli.PROTOCOLS) if name in entries)
        if protocol not in entries:
            tell = f"stored: {', '.join(entries)}; name it with --protocol"
            raise UsageError(f"{run}: no ensemble was stored under protocol {protocol!r}; {tell}")
        members = _read_members(run / "cells", entries[protocol], protocol)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
        raise UsageError(f"{run / STORED}: damaged; the command that made this run writes it anew") from None
    return Stored(protocol, cli.restore_config(Config, results.config), tuple(list_warnings(results)), members)


def _read_members(home: Path, entry: dict, protocol: str) -> tuple[Member, ...]:
    """Members of one protocol's entry; ValueError and the like where it contradicts itself or the networks' records."""
    files: dict[str, list[Path]] = {name: [] for name in entry["members"]}
    for name, cell in zip(entry["member_of_cell"], entry["cells"], strict=True):
        path, settings = read_network(home / Path(cell).name)
        if (settings["network"], settings["scale"], settings["protocol"]) != (*MODELS[name], protocol):
            raise ValueError(f"{cell} is no network of {name} under {protocol}")
        files[name].append(path)
    weights = entry["weights"]
    folds = {len(of) for of in files.values()}
    if len(folds) != 1 or folds == {0} or not (abs(sum(weights) - 1) < 1e-9 and min(weights) >= 0):
        raise ValueError("members, networks and weights do not fit together")
    return tuple(
        Member(name, *MODELS[name], weight, tuple(files[name])) for name, weight in zip(entry["members"], weights, strict=True)
    )


def load_networks(stored: Stored) -> list[list]:
    """The Keras networks of every member. Raises UsageError for a file that is none of this run's."""
    with quiet_start():
        from common.training.stored import open_network
        from replications.thyroid_ensemble import alexnet
    registered = {"thyroid_ensemble>LocalResponseNormalization": alexnet.LocalResponseNormalization}
    networks: list[list] = []
    for member in stored.members:
        side = choose_input_side(member.network, member.scale, stored.config)
        networks.append([])
        for path in member.files:
            shape, classes = (side, side, 1), len(CLASSES)
            networks[-1].append(open_network(path, registered, shape=shape, classes=classes, what=member.name))
    return networks


def describe(stored: Stored, boxes: list[Box | None]) -> list[str]:
    """What a reader has to know beside the numbers, one line each."""
    terms = " + ".join(f"{member.weight:g} {member.name}" for member in stored.members)
    notes = [*stored.warnings, f"protocol {stored.protocol}: {terms}"]
    if None in boxes:
        part = "the centre of the picture" if stored.config.roi_mode == "centre_window" else "the whole picture"
        notes.append(f"no box: {part} is the ROI ({boxes.count(None)} of {len(boxes)} ROIs)")
    return notes


# -------------------------------------------------------------------------------------------------- answers


def ask(member: Member, networks: list, rois: np.ndarray, config: Config, advance: Callable[[], None]) -> Answer:
    """Scores and Grad-CAM of one model for ROIs uint8 (n, roi_side, roi_side, 1); `advance` is called after each network."""
    from common.training import fit, gradcam
    from common.training.stored import looking_into

    patches = cut_patches(rois, member.network, member.scale, config)
    scores, maps = [], np.zeros(patches.shape[:3], np.float32)
    for network, path in zip(networks, member.files, strict=True):
        scores.append(check_scores(fit.predict(network, patches, config.batch_size), member.name))
        with looking_into(path, member.name):
            maps += gradcam.grad_cam(network, patches, class_index=MALIGNANT) / len(networks)
        advance()
    return Answer(member, patches, np.stack(scores), maps)


def tabulate(answers: list[Answer]) -> list[dict]:
    """Of each ROI: the fused class and probability of malignant, its standard deviation over the folds' ensembles (None where
    there is one), and the probability by each model."""
    scores = np.stack([answer.scores for answer in answers]).astype(np.float64)  # (models, folds, n, 2)
    of_fold = ensemble.fuse(scores, [answer.member.weight for answer in answers])
    fused, single = of_fold.mean(axis=0), scores.mean(axis=1)
    folds = len(of_fold)
    spread = of_fold[..., MALIGNANT].std(axis=0, ddof=1) if folds > 1 else np.zeros(len(fused))
    return [
        {
            "predicted": CLASSES[fused[i].argmax()],
            "p(malignant)": round(float(fused[i, MALIGNANT]), 6),
            "sd over folds": round(float(spread[i]), 6) if folds > 1 else None,
            "models": {a.member.name: round(float(p[i, MALIGNANT]), 6) for a, p in zip(answers, single, strict=True)},
        }
        for i in range(len(fused))
    ]


# ----------------------------------------------------------------------------------------------------------- the sheets


def draw_sheet(roi: np.ndarray, answers: list[Answer], index: int, line: dict, stored: Stored) -> Image.Image:
    """One ROI uint8 (side, side, 1) and, model by model, its map over the patch (above) and over the ROI (below)."""
    height = LINE + 2 * PANEL + LINE * len(stored.warnings)
    sheet = Image.new("RGB", (PANEL * (1 + len(answers)), height))
    pen = ImageDraw.Draw(sheet)
    sheet.paste(_enlarge(np.repeat(roi, 3, axis=2)), (0, LINE))
    pen.text((4, 2), f"fused: P({CLASSES[MALIGNANT]}) = {line['p(malignant)']:.3f}")
    legend = "The ROI, and Grad-CAM for malignant.\nAbove: over what the network sees.\nBelow: over the ROI."
    pen.multiline_text((4, LINE + PANEL), legend)
    for column, answer in enumerate(answers, start=1):
        left, member, patch_map = PANEL * column, answer.member, answer.maps[index]
        pen.text((left + 4, 2), f"{member.weight:g} x {member.name}: {line['models'][member.name]:.3f}")
        sheet.paste(_enlarge(grids.blend_map(answer.patches[index], patch_map)), (left, LINE))
        whole = place_map(patch_map, member.scale, stored.config)
        sheet.paste(_enlarge(grids.blend_map(roi, whole)), (left, LINE + PANEL))
    for number, text in enumerate(stored.warnings):
        pen.text((4, LINE + 2 * PANEL + LINE * number), text)
    return sheet


def place_map(patch_map: np.ndarray, scale: int, config: Config) -> np.ndarray:
    """A map float32 (side, side) of a patch where the patch lies in the ROI: float32 (roi_side, roi_side), 0 around it."""
    whole = np.zeros((1, config.roi_side, config.roi_side, 1), np.float32)
    crop = crop_scale(whole, scale, config)[0, ..., 0]  # a view
    crop[:] = cv2.resize(patch_map, crop.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return whole[0, ..., 0]


def _enlarge(colours: np.ndarray) -> Image.Image:
    return Image.fromarray(colours).resize((PANEL, PANEL), Image.Resampling.BILINEAR)


if __name__ == "__main__":
    sys.exit(main())
