"""What lies in the data folder, whether it is whole, and what to get where: the texts and checks behind data.py's command."""

import sys
import tempfile
from pathlib import Path

from common.data.downloads import extract_zip, fetch
from common.data.folder import list_entries, walk_files
from common.data.pictures import hash_list
from common.errors import UsageError
from common.files import hash_file
from replications.lung_hip_compare.sources import luna16

ARCHIVE_MEGABYTES = 13
PATCHES_URL = "https://github.com/swethasubramanian/LungCancerDetection/archive/36e7980.zip"
PATCH_FILES = {"train": 6877, "test": 1622, "val": 1297}  # pictures; 1690 of train/ are rotated copies, not listed
PATCH_LINES = {"train": 5187, "test": 1622, "val": 1297}  # lines of the lists
PATCH_COUNTS = {"non-nodule": 5681, "nodule": 1127, "train": 5186, "test": 1622}  # Table 1
# Over the sorted sha256 of the 9,796 pictures; GitHub fixes no checksum of its archives.
PATCHES_SHA256 = "af2d06ac6c8a03a6df9d321685c131fa7a7e0667e61597549fcda819fc4899df"
MAX_ARCHIVE_BYTES, MAX_UNPACKED_BYTES = 200 * 2**20, 500 * 2**20
BY_HAND = (
    f"try again, or by hand: page https://github.com/swethasubramanian/LungCancerDetection, address {PATCHES_URL}, "
    "put its src/data into the data folder as luna16_patches/, then run python -m replications.lung_hip_compare.data"
)
LUNA16_COUNTS = {"scans": 888, "candidates": 551_065}

HOW_TO_GET = {
    "luna": f"""\
Lung part, the ready patches (13 MB; code MIT, pixels LIDC-IDRI / LUNA16, CC BY):
  python -m replications.lung_hip_compare.data --download [--data DIR]
  or by hand: {PATCHES_URL} and put its folder src/data here as luna16_patches/
    luna16_patches/train/image_<row>.jpg  ({PATCH_FILES["train"]})
    luna16_patches/test/image_<row>.jpg   ({PATCH_FILES["test"]})
    luna16_patches/val/image_<row>.jpg    ({PATCH_FILES["val"]})
    luna16_patches/traindatalabels.txt    ({PATCH_LINES["train"]} lines "train/image_<row>.jpg 0|1")
    luna16_patches/testdatalabels.txt     ({PATCH_LINES["test"]} lines)
    luna16_patches/valdatalabels.txt      ({PATCH_LINES["val"]} lines)
  expected: 1127 nodules, 5681 others; 5186 train, 1622 test (train/image_393762.jpg is clipped and left out)
  optional: candidates.csv of LUNA16 beside them; it tells the scan of each patch, so that scans can be kept apart
Lung part, the scans (about 66 GB unpacked; CC BY 4.0): https://luna16.grand-challenge.org/Download/
    luna16/candidates.csv  ({LUNA16_COUNTS["candidates"]:,} rows; version 1, not candidates_V2.csv)
    luna16/subset0/*.mhd, *.raw  to  luna16/subset9/  ({LUNA16_COUNTS["scans"]} scans)""",
    "hip": """\
Hip part: the paper's radiographs are private. Your own (JPEG or PNG):
    hips/cases.csv  columns path,label,patient and, where known, side,x0,y0,x1,y1,black,white
      path: of the picture, inside hips/; label: 0 no fracture, 1 fracture; patient: any name, the same for one person
      one line a picture, or one a hip (side R or L); x0,y0,x1,y1: crop box of the hip in pixels of the picture as viewers
      show it; without boxes the cropped data sets are not run. black,white: their grey levels, needed for 12 and 16 bits
  expected for the paper's sizes: 77 radiographs with fracture and 147 without, 100 crops of each
Hip part, a public substitute (CC BY 4.0): FracAtlas, https://doi.org/10.6084/m9.figshare.22363012
    fracatlas/dataset.csv, fracatlas/images/Fractured/*.jpg, fracatlas/images/Non_fractured/*.jpg
  its hip pictures only; no crop boxes (uncropped data sets only), no patients; some of its files are known to be damaged
  (--skip-unreadable of the run leaves them out and counts them)""",
}


def check_patches(folder: Path, counts: dict[str, int]) -> list[str]:
    """Differences from the published folder: numbers of files and lines, counts of Table 1, checksum of all pictures."""
    problems, hashes = [], []
    for split, expected in PATCH_FILES.items():
        files = [path for path in list_entries(folder / split, ".jpg") if path.is_file()]
        hashes += [hash_file(path) for path in files]
        if len(files) != expected:
            problems.append(f"{split}/ holds {len(files)} pictures instead of {expected}")
        try:
            listed, faults = luna16.list_patches(folder, split)
        except UsageError as error:
            problems.append(str(error))
            continue
        if split == "val":  # train and test have been read
            problems += faults
        if len(listed) != PATCH_LINES[split]:
            problems.append(f"{split}datalabels.txt lists {len(listed)} patches instead of {PATCH_LINES[split]}")
    for name, expected in PATCH_COUNTS.items():
        if counts.get(name, 0) != expected:
            problems.append(f"{counts.get(name, 0)} {name} patches instead of the {expected} of Table 1")
    if hash_list(hashes) != PATCHES_SHA256:
        problems.append("the pictures are not, byte for byte, the published ones (sha256 over all differs)")
    return problems


def check_scans(notes: dict) -> list[str]:
    """Differences from the published scans and candidates in number."""
    found = {"scans": notes["scans_found"], "candidates": notes["candidates"]}
    return [f"{found[name]} {name} instead of {expected}" for name, expected in LUNA16_COUNTS.items() if found[name] != expected]


def download_patches(folder: Path, url: str = PATCHES_URL) -> None:
    """Get the ready patches into folder/luna16_patches; does nothing if that exists.

    GitHub packs an archive when it is asked for: it states no size, resumes nothing and fixes no checksum. So this gets it
    in one piece, and what came is verified by counts and by a checksum over its pictures (`check_patches`).
    Raises UsageError: no connection, larger than MAX_ARCHIVE_BYTES, no src/data with the patches in it.
    """
    target = folder / "luna16_patches"
    if target.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".luna16_patches.") as temporary:
        archive = Path(temporary) / "archive.zip"
        print(f"fetching: the ready LUNA16 patches, about {ARCHIVE_MEGABYTES} MB, {url}", file=sys.stderr)
        fetch(url, archive, MAX_ARCHIVE_BYTES, BY_HAND)
        extract_zip(archive, Path(temporary) / "files", max_bytes=MAX_UNPACKED_BYTES)
        lists = [
            path for path in walk_files(Path(temporary) / "files") if path.parts[-3:] == ("src", "data", "traindatalabels.txt")
        ]
        if len(lists) != 1:
            raise UsageError(f"{url}: the archive has no folder src/data with the patches; {BY_HAND}")
        lists[0].parent.rename(target)
