"""Initial weights of the ImageNet row: which file, from where, and how it comes into the run folder."""

from pathlib import Path

from common.cli import Options
from common.errors import UsageError
from common.training.weights import Offer, confirm_fetch, link_weights, locate_cache, require_folder
from replications.lung_hip_compare.config import IMAGENET_ADDRESS, IMAGENET_FILE, IMAGENET_MD5, IMAGENET_MEGABYTES


def confirm_weights(options: Options, *, wanted: bool) -> str | None:
    """What --weights says, after what it would fetch was named (see `confirm_fetch`); wanted: a row needs it."""
    if options.weights is None or not wanted:
        return options.weights
    return confirm_fetch(options.weights, [Offer(IMAGENET_ADDRESS, IMAGENET_MEGABYTES)], options)


def explain_missing(given: str | None) -> str:
    """Why the ImageNet row cannot start from what --weights says: its file lacks in the folder, or is not the publisher's.

    "" where it can, or needs no file; a file that Keras' cache lacks is fetched by the training. Raises UsageError where there is
    no such folder.
    """
    if given in (None, "random"):
        return ""
    folder = locate_cache() if given == "imagenet" else require_folder(given)
    if given == "imagenet" and not (folder / IMAGENET_FILE).exists():
        return ""
    try:
        find_file(folder)
    except UsageError as error:
        return str(error)
    return ""


def find_file(folder: Path | None) -> Path:
    """The publisher's file in a folder; None: in Keras' cache, fetched on first use. UsageError as `find_weight_file` says."""
    from common.training.pretrained import find_weight_file  # Keras is needed for files alone

    return find_weight_file(folder, IMAGENET_FILE, IMAGENET_ADDRESS, IMAGENET_MD5)


def choose_weights(given: str | None, folder: Path) -> tuple[str, str | None]:
    """random, imagenet, or a file in the run folder; and the sha256 of that file.

    given: of --weights: random, imagenet, or a folder; from one that lacks the file nothing is taken (`explain_missing`).
    """
    if given is None or given == "imagenet" or given == "random" or explain_missing(given):
        return given if given == "imagenet" else "random", None
    files, _ = link_weights([IMAGENET_FILE], lambda _name: find_file(Path(given)), folder)
    return files[IMAGENET_FILE].file, files[IMAGENET_FILE].sha256
