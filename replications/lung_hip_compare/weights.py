"""Initial weights of the ImageNet row."""

from pathlib import Path

from common.cli import Options
from common.errors import UsageError
from common.training.weights import Offer, confirm_fetch, link_weights
from replications.lung_hip_compare.config import IMAGENET_ADDRESS, IMAGENET_FILE, IMAGENET_MD5, IMAGENET_MEGABYTES


def confirm_weights(options: Options, *, wanted: bool) -> str | None:
    """What --weights says, after what it would fetch was named (see `confirm_fetch`); wanted: a row needs it."""
    if options.weights is None or not wanted:
        return options.weights
    return confirm_fetch(options.weights, [Offer(IMAGENET_ADDRESS, IMAGENET_MEGABYTES)], options)


def choose_weights(given: str | None, folder: Path) -> tuple[str, str | None]:
    """random, imagenet, or a file in the run folder; and the sha256 of that file.

    given: of --weights: random, imagenet, or a folder that holds the file. Raises UsageError if it does not.
    """
    if given is None or given in ("random", "imagenet"):
        return given or "random", None

    def find(name: str) -> Path:
        path = Path(given) / name
        if not path.is_file():
            raise UsageError(f"{path}: no such file; get it from {IMAGENET_ADDRESS} (MD5 {IMAGENET_MD5}) or leave --weights out")
        return path

    files, missing = link_weights([IMAGENET_FILE], find, folder)
    if missing:
        raise UsageError(missing[IMAGENET_FILE])
    return files[IMAGENET_FILE].file, files[IMAGENET_FILE].sha256
