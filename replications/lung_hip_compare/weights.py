"""Initial weights of the ImageNet row: which file, from where, and how it comes into the run folder."""

from pathlib import Path

from common.cli import Options
from common.training.weights import Offer, confirm_fetch, link_weights, require_folder
from replications.lung_hip_compare.config import IMAGENET_ADDRESS, IMAGENET_FILE, IMAGENET_MD5, IMAGENET_MEGABYTES


def confirm_weights(options: Options, *, wanted: bool) -> str | None:
    """What --weights says, after what it would fetch was named (see `confirm_fetch`); wanted: a row needs it."""
    if options.weights is None or not wanted:
        return options.weights
    return confirm_fetch(options.weights, [Offer(IMAGENET_ADDRESS, IMAGENET_MEGABYTES)], options)


def explain_missing(given: str | None) -> str:
    """Why the folder of --weights cannot serve the ImageNet row: "" where it holds the file, or is none.

    Raises UsageError where there is no such folder.
    """
    if given in (None, "random", "imagenet") or (path := require_folder(given) / IMAGENET_FILE).is_file():
        return ""
    return f"{path}: no such file; get it from {IMAGENET_ADDRESS} (MD5 {IMAGENET_MD5})"


def choose_weights(given: str | None, folder: Path) -> tuple[str, str | None]:
    """random, imagenet, or a file in the run folder; and the sha256 of that file.

    given: of --weights: random, imagenet, or a folder; from one that lacks the file nothing is taken (`explain_missing`).
    """
    if given is None or given == "imagenet" or given == "random" or explain_missing(given):
        return given if given == "imagenet" else "random", None
    files, _ = link_weights([IMAGENET_FILE], lambda name: Path(given) / name, folder)
    return files[IMAGENET_FILE].file, files[IMAGENET_FILE].sha256
