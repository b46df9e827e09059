"""mini-MIAS (Suckling et al. 1994): 322 mediolateral-oblique mammograms of 161 women, and Info.txt with their lesions.

Even numbers are left breasts, odd ones right; two numbers are a woman. The tissue (fatty, glandular, dense) stands for a density
of 1, 2 and 3.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

from common.data.folder import read_lines, walk_files
from common.errors import UsageError
from replications.ddsm_inceptionv4.sources.mammograms import SUFFIXES, Listing, Mammogram

TABLE = "Info.txt"
LINE = re.compile(r"mdb(\d{3})\s+([FGD])\s+(CALC|CIRC|SPIC|MISC|ARCH|ASYM|NORM)\b(.*)", re.IGNORECASE)
TISSUES = {"F": 1, "G": 2, "D": 3}


def list_mias(folder: Path) -> Listing:
    """Every image of Info.txt that is there as mdbNNN.pgm (or another picture). Label: 1 where Info.txt names an abnormality.

    Several copies of an image: of the format that most images have. Raises UsageError without Info.txt or an image.
    """
    lesions: dict[str, bool] = {}
    tissues: dict[str, int] = {}
    faults = []
    for number, line in enumerate(read_lines(folder / TABLE, errors="replace"), start=1):
        found = LINE.fullmatch(line)
        if found is None:
            if re.match(r"mdb\s*\d", line, re.IGNORECASE):
                faults.append(f"{TABLE}:{number}: not a line of mini-MIAS: {line[:60]!r}")
            continue
        name, lesion, tissue = f"mdb{found[1]}", found[3].upper() != "NORM", TISSUES[found[2].upper()]
        if (lesions.get(name, lesion), tissues.get(name, tissue)) != (lesion, tissue):
            faults.append(f"{TABLE}:{number}: {name} stands twice, with another tissue, or as normal and with a lesion")
        lesions[name], tissues[name] = lesions.get(name, False) or lesion, tissue
    places: dict[str, list[Path]] = defaultdict(list)
    for path in walk_files(folder):
        if path.suffix.lower() in SUFFIXES and path.stem.lower() in lesions:
            places[path.stem.lower()].append(path)
        elif path.suffix.lower() in SUFFIXES and re.fullmatch(r"mdb\d+", path.stem.lower()):
            faults.append(f"{path.relative_to(folder).as_posix()}: not in {TABLE}")
    if not places:
        raise UsageError(f"{folder}: Info.txt lists {len(lesions)} images, none of them is here")
    usual = Counter(path.suffix.lower() for paths in places.values() for path in paths).most_common(1)[0][0]
    mammograms = []
    for name, paths in sorted(places.items()):
        path = sorted(paths, key=lambda path: (path.suffix.lower() != usual, path))[0]
        number = int(name[3:])
        mammograms.append(
            Mammogram(
                name,
                path.relative_to(folder).as_posix(),
                f"mias{(number + 1) // 2:03d}",
                int(lesions[name]),
                "right" if number % 2 else "left",
                "MLO",
                tissues[name],
            )
        )
    missing = len(lesions) - len(mammograms)
    faults += [f"{missing} images of Info.txt are missing"] if missing else []
    return Listing(mammograms, faults)
