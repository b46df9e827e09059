"""Weight files to start from: found for each network, and linked into the run folder, where the trainings find them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UsageError
from common.files import hash_file


@dataclass(frozen=True)
class WeightFile:
    """A weight file to start from, linked into the run folder."""

    file: str  # relative to the run folder
    sha256: str


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
