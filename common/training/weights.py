"""Weight files to start from: found for each network, and linked into the run folder, where the trainings find them."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.cli import Options
from common.errors import UsageError
from common.files import hash_file


@dataclass(frozen=True)
class WeightFile:
    """A weight file to start from, linked into the run folder."""

    file: str  # relative to the run folder
    sha256: str


@dataclass(frozen=True)
class Offer:
    """A weight file that its publishers offer."""

    address: str
    megabytes: int
    file: str = ""  # its name in Keras' cache, where that is not the last part of the address

    @property
    def path(self) -> Path:
        """Its place in Keras' cache."""
        return locate_cache() / (self.file or self.address.rpartition("/")[2])


def locate_cache() -> Path:
    """Where Keras keeps weight files: $KERAS_HOME/models or ~/.keras/models."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


def confirm_fetch(chosen: str, offers: Sequence[Offer], options: Options) -> str:
    """What to start from; the files that "imagenet" lacks are named first, with sizes and addresses.

    chosen: imagenet, or anything else, which fetches nothing. Returns it; "random" in a dry run, for which nothing is fetched,
    and which says where the run itself would stop.
    Raises UsageError where files are lacking and the command line does not say --weights imagenet.
    """
    lacking = [offer for offer in offers if not offer.path.is_file()] if chosen == "imagenet" else []
    if not lacking:
        return chosen
    lines = [f"{offer.path.name}, {offer.megabytes} MB, {offer.address}" for offer in lacking]
    total = f"{sum(offer.megabytes for offer in lacking)} MB"
    asked = options.weights == chosen
    ways = f"--weights imagenet fetches {total}, --weights DIR takes the files from a folder, --weights random starts without"
    if not asked and not options.dry_run:
        place = locate_cache()
        raise UsageError(f"initial weights are not in {place}: {'; '.join(lines)}; nothing is fetched unasked: {ways}")
    verb = "fetching" if not options.dry_run else "would fetch" if asked else "needs"
    for line in lines:
        print(f"{verb}: {line}", file=sys.stderr)
    if not asked:
        print(f"not in {locate_cache()}: without --dry-run this command stops here; {ways}", file=sys.stderr)
    return "random" if options.dry_run else chosen


def provide_weights(
    chosen: str, networks: Sequence[str], find: Callable[[str], Path], folder: Path, *, whole: bool = False
) -> tuple[dict[str, WeightFile], dict[str, str]]:
    """Weight files linked into the run folder (see `link_weights`); and for each network without a file the reason.

    chosen: imagenet, or the user's folder of files. What such a folder lacks is no error: the rows of those networks are not
    run, and the others are (`runs.estimate.announce` says which, and refuses a run of which nothing is left). Raises UsageError
    where there is no such folder, and for imagenet where none of the files could be had; whole: where any could not.
    """
    if chosen != "imagenet":
        require_folder(chosen)
    found, missing = link_weights(networks, find, folder)
    if missing and chosen == "imagenet" and (whole or not found):
        raise UsageError("no initial weights: " + "; ".join(missing.values()) + "; or start with --weights random")
    return found, missing


def require_folder(chosen: str) -> Path:
    """The user's folder of weight files. Raises UsageError where there is none: a slip of the pen is no missing file."""
    if not Path(chosen).is_dir():
        raise UsageError(f"--weights {chosen}: no such folder; give imagenet, random, or a folder of weight files")
    return Path(chosen)


def link_weights(
    networks: Sequence[str], find: Callable[[str], Path], folder: Path
) -> tuple[dict[str, WeightFile], dict[str, str]]:
    """Link the weight file of each network into folder/weights/.

    find: network -> its file, wherever it lies; raises UsageError where there is none, with all that the user must know: which
    file, where it is offered, its checksum, and where to put it. Returns {network: file} of those that were linked, and
    {network: that message} of the others. A link that is there already is replaced; the file itself may lie there, and stays.
    Raises UsageError where another file, no link, has its name there.
    """
    found, missing = {}, {}
    for network in networks:
        try:
            path = find(network)
        except UsageError as error:
            missing[network] = str(error)
            continue
        place = folder / "weights" / path.name
        place.parent.mkdir(exist_ok=True)
        if not (place.is_file() and place.samefile(path)):
            if place.exists() and not place.is_symlink():
                raise UsageError(f"{place}: stands where the link to {path} belongs; move it away")
            source = path.resolve()
            place.unlink(missing_ok=True)
            place.symlink_to(source)
        found[network] = WeightFile(f"weights/{path.name}", hash_file(place))
    return found, missing
