"""Lung part (section 2.1): patches of LUNA16 candidates, ready-made or cut from the CT scans, and how they are split.

The counts of Table 1 are those of the ready-made patches of github.com/swethasubramanian/LungCancerDetection
(commit 36e7980): its train and test lists without one clipped patch; its validation list and its rotated
copies of positive training patches are not in the counts. A patch's file name holds its row of candidates.csv.
"""

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.model_selection import train_test_split

from common.cases.table import hash_pixels, split_cases
from common.data.csv_files import read_csv_table
from common.data.folder import has_control_characters, list_entries
from common.data.metaimage import Volume, check_axial, read_header, read_region, world_to_voxel
from common.data.names import find_listed
from common.data.pictures import read_picture, read_size
from common.data.reading import read_ahead
from common.errors import UsageError, quote
from common.files import hash_file
from common.progress import track
from replications.lung_hip_compare.config import Config

PATCH_SPLITS = ("train", "test", "val")
COUNTED = ("train", "test")  # Table 1 counts these two lists
PATCH_LINE = re.compile(r"(train|test|val)/image_(0|[1-9][0-9]{0,8})\.jpg (\S+)")
MAX_LIST_BYTES = 16 * 2**20
STRETCHES = 10  # of the rows of candidates.csv, standing in for the ten subsets of LUNA16
TEST_SUBSETS, VALIDATION_SUBSETS = (9,), (8,)  # of the official ten; 0 to 7 are for training
CANDIDATE_COLUMNS = {"seriesuid": str, "coordX": float, "coordY": float, "coordZ": float, "class": int}
RECIPE_TEST_SHARE = 0.2  # of all, then again of the rest for validation; public patch recipe


def list_patches(folder: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    """The published list of one split: path, label (0/1), candidate_row, split; and every bad line as one text.

    A row that is listed twice counts once, and not at all if its labels differ.
    """
    path = folder / f"{split}datalabels.txt"
    if not path.is_file():
        raise UsageError(f"{path}: missing; it lists the patches of '{split}', one 'path label' a line")
    if path.stat().st_size > MAX_LIST_BYTES:
        raise UsageError(f"{path}: {path.stat().st_size} bytes is too long for a list of patches")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    labels: dict[int, int] = {}
    faults, torn = [], set()
    for number, line in enumerate(text.splitlines(), start=1):
        match = PATCH_LINE.fullmatch(line.strip())
        where = f"{path.name} line {number}"
        if match is None or match[1] != split:
            faults.append(f"{where}: expected '{split}/image_<row>.jpg 0|1', found {quote(line)}")
        elif match[3] not in ("0", "1"):
            faults.append(f"{where}: label {match[3][:20]!r} is not 0 or 1")
        else:
            row, label = int(match[2]), int(match[3])
            if row not in labels:
                labels[row] = label
            elif labels[row] == label:
                faults.append(f"{where}: row {row} is listed twice")
            else:
                faults.append(f"{where}: row {row} is listed twice, with both labels")
                torn.add(row)
    lines = [(f"{split}/image_{row}.jpg", label, row, split) for row, label in labels.items() if row not in torn]
    table = pd.DataFrame(lines, columns=["path", "label", "candidate_row", "split"])
    return table.astype({"label": int, "candidate_row": int}), faults


def read_patches(folder: Path, config: Config, lists: Sequence[str] = COUNTED) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """The patches of published lists; COUNTED: those that the paper counts.

    Returns images uint8 (n, side, side), cases (one line an image) and notes: `faults` [text], `excluded` [{path,
    reason}], `unused` {what: count}. A patch that the slice border clipped (one side short, at least half of it left)
    is excluded, as the paper's counts imply; any other size is a fault.
    """
    tables = [list_patches(folder, split) for split in lists]
    listed = pd.concat([table for table, _ in tables], ignore_index=True)
    faults = [line for _, bad_lines in tables for line in bad_lines]
    unused = _count_unused(folder, listed)
    rows = listed["candidate_row"]
    faults += [f"{path}: its row is also in another list" for path in listed.loc[rows.duplicated(), "path"]]
    listed = listed[~rows.duplicated(keep=False)].reset_index(drop=True)  # which side it is on, nobody knows
    side = config.luna_side
    images, hashes, keep, excluded = [], [], [], []

    def read(relative: str) -> tuple[np.ndarray, str] | tuple[int, int]:
        path = find_listed(folder, relative)
        if path.is_file() and path.stat().st_size and _is_clipped(size := read_size(path, ("JPEG",)), side):
            return size
        return read_picture(path, (side, side), ("JPEG",)), hash_file(path)

    for index, (relative, found) in enumerate(read_ahead(read, listed["path"].to_list())):
        if isinstance(found, UsageError):
            faults.append(str(found))
        elif isinstance(found[0], int):
            reason = f"{found[0]}x{found[1]} pixels: clipped at the border of the slice; not in the paper's counts"
            excluded.append({"path": relative, "reason": reason})
        else:
            images.append(found[0])
            hashes.append(found[1])
            keep.append(index)
    cases = listed.iloc[keep].reset_index(drop=True)
    rows, block = cases["candidate_row"], config.luna_block_rows
    cases.insert(0, "case_id", pd.Series([f"row-{row:06d}" for row in rows], dtype=str))
    cases.insert(2, "sha256", pd.Series(hashes, dtype=str))
    cases.insert(3, "patient_id", pd.Series([f"rows-{row // block * block}" for row in rows], dtype=str))
    stacked = np.stack(images) if images else np.empty((0, side, side), np.uint8)
    candidates = find_candidates(folder)
    if candidates is not None:
        cases, mismatches = attach_scans(cases, candidates)
        faults += mismatches
    notes = {"faults": faults, "excluded": excluded, "unused": unused}
    if candidates is None:
        notes["stand_ins"] = f"stretches of {block} rows of candidates.csv, each about a scan,"
    return stacked, cases, notes


def _is_clipped(size: tuple[int, int], side: int) -> bool:
    # The centre of the window lies inside the slice, so at least half of the window does.
    return size != (side, side) and max(size) == side and min(size) >= side // 2


def _count_unused(folder: Path, listed: pd.DataFrame) -> dict:
    unused = {}
    for split in PATCH_SPLITS:
        found = {f"{split}/{path.stem}.jpg" for path in list_entries(folder / split, ".jpg") if path.name.startswith("image_")}
        if extra := found - set(listed["path"]):
            unused["validation patches" if split == "val" else f"unlisted files in {split}/ (rotated copies)"] = len(extra)
    return unused


def find_candidates(folder: Path) -> Path | None:
    """candidates.csv beside the ready patches or in a luna16/ next to them."""
    places = (folder / "candidates.csv", folder.parent / "luna16" / "candidates.csv")
    return next((place for place in places if place.is_file()), None)


def read_candidates(path: Path) -> pd.DataFrame:
    """candidates.csv (version 1): seriesuid, coordX, coordY, coordZ in mm, class 0/1; the index is the candidate row."""
    table = read_csv_table(path, CANDIDATE_COLUMNS)
    wrong = np.flatnonzero(~table["class"].isin((0, 1)))
    if len(wrong):
        raise UsageError(f"{path} line {wrong[0] + 2}: class {table['class'].iloc[wrong[0]]} is not 0 or 1")
    for scan in table["seriesuid"].unique():
        if not scan or has_control_characters(scan):
            line = int((table["seriesuid"] == scan).to_numpy().argmax()) + 2
            raise UsageError(f"{path} line {line}: the seriesuid {scan[:60]!r} is empty or holds control characters")
    return table


def find_volumes(folder: Path) -> tuple[dict[str, tuple[Path, int]], list[str]]:
    """Scans under subset0/ to subset9/: {seriesuid: (header, subset)}; and every scan that is there twice."""
    volumes: dict[str, tuple[Path, int]] = {}
    faults = []
    for subset in range(STRETCHES):
        for path in list_entries(folder / f"subset{subset}", ".mhd"):
            if path.stem in volumes:
                faults.append(f"scan {path.stem!r} is in subset{volumes[path.stem][1]} and subset{subset}")
            volumes.setdefault(path.stem, (path, subset))
    return volumes, faults


def choose_candidates(labels: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """Rows of candidates.csv by split, as the public recipe draws them from the classes (n,) of all rows.

    All positives and five times as many negatives (legacy NumPy seed 42; all negatives where there are fewer), then
    20 % at random for the test and 20 % of the rest for validation. With the classes of LUNA16 this gives the published
    lists to the row.
    """
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    wanted = min(config.luna_negatives_per_positive * len(positives), len(negatives))
    chosen = np.random.RandomState(config.luna_recipe_seed).choice(negatives, wanted, replace=False)
    rows = np.concatenate([positives, chosen])
    if len(rows) < 10:
        raise UsageError(f"{len(positives)} positive and {len(negatives)} negative candidates are too few to split")
    share, seed = RECIPE_TEST_SHARE, config.luna_recipe_seed
    rest, test = train_test_split(rows, test_size=share, random_state=seed)
    train, validation = train_test_split(rest, test_size=share, random_state=seed)
    return {"train": train, "test": test, "val": validation}


def locate_candidate(volume: Volume, world: np.ndarray, rule: str) -> np.ndarray:
    """Continuous voxel (x, y, z) of a world point.

    'signed' goes through the direction of the axes; 'as-published' takes |world - origin| / spacing, which agrees for
    plain and mirrored axes and is wrong for permuted or oblique ones and for points before the origin.
    """
    if rule == "as-published":
        return np.abs(np.asarray(world) - volume.origin) / volume.spacing
    if rule == "signed":
        return np.round(world_to_voxel(volume, world), 6)  # a voxel's centre must not fall below it by rounding
    raise UsageError(f"luna_voxel_rule = {rule!r}; known: signed, as-published")


def extract_patch(
    volume: Volume, world: np.ndarray, side: int, window: tuple[float, float], rule: str
) -> tuple[np.ndarray, bool]:
    """Patch uint8 (side, side) of the slice through a world point (x, y, z in mm), axial (`check_axial`); and if it was padded.

    No resampling: the window starts floor(voxel - side / 2), as the public recipe's. HU window -> 0..255, truncated.
    What lies outside the slice gets the window's lowest value. Only the rows needed are read.
    Raises UsageError if the point lies outside the volume, or if voxels are not a number.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # coordinates of any size: then it is outside
        voxel = locate_candidate(volume, world, rule)
    if not all(0 <= voxel[axis] < volume.size[axis] for axis in range(3)):
        raise UsageError(f"{volume.path}: candidate at {show_point(world)} mm lies outside the scan")
    first = np.floor(voxel[:2] - side / 2).astype(int)
    low, high = np.maximum(first, 0), np.minimum(first + side, volume.size[:2])
    columns, rows = (int(extent) for extent in high - low)
    region = read_region(volume, (int(low[0]), int(low[1]), int(voxel[2])), (columns, rows, 1))[0]
    if np.isnan(region).any():
        raise UsageError(f"{volume.raw}: voxels that are not a number near {show_point(world)} mm")
    patch = np.zeros((side, side), dtype=np.uint8)
    x, y = low - first
    patch[y : y + region.shape[0], x : x + region.shape[1]] = window_grey(region, window)
    return patch, region.shape != patch.shape


def show_point(world: np.ndarray) -> str:
    return f"({', '.join(f'{value:.7g}' for value in world)})"


def window_grey(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU -> uint8: window[0] and below 0, window[1] and above 255, fractions cut off as the public recipe does."""
    low, high = window
    return (np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def compress_jpeg(patch: np.ndarray) -> np.ndarray:
    """The patch after JPEG at Pillow's default quality: "50x50 jpg" (section 2.1), as the public patches were saved."""
    buffer = io.BytesIO()
    Image.fromarray(patch).save(buffer, "JPEG")
    with Image.open(buffer) as picture:
        return np.asarray(picture)


def read_originals(folder: Path, config: Config, lists: Sequence[str] = COUNTED) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Patches cut from the scans for the candidates of the recipe's lists; same returns as `read_patches`.

    A scan that is missing, unreadable or not axial is one fault; its candidates are left out.
    """
    table = folder / "candidates.csv"
    candidates = read_candidates(table)
    try:
        chosen = choose_candidates(candidates["class"].to_numpy(), config)
    except UsageError as error:
        raise UsageError(f"{table}: {error}") from None
    split_of = {int(row): split for split in lists for row in chosen[split]}
    volumes, faults = find_volumes(folder)
    images, lines = [], []
    for name, group in track(list(candidates.loc[list(split_of)].groupby("seriesuid", sort=True)), "reading scans"):
        scan = str(name)
        try:
            if scan not in volumes:
                where = f"candidates.csv line {group.index[0] + 2}"
                raise UsageError(f"{where}: scan {scan[:100]!r} is not in subset0/ to subset9/ ({len(group)} candidates)")
            path, subset = volumes[scan]
            volume = check_axial(read_header(Path(os.path.realpath(path))))  # the raw file lies beside the real header
        except UsageError as error:
            faults.append(str(error))
            continue
        worlds = group[["coordX", "coordY", "coordZ"]].to_numpy()
        for row, world, label in zip(group.index, worlds, group["class"], strict=True):
            try:
                patch, padded = extract_patch(volume, world, config.luna_side, config.luna_window, config.luna_voxel_rule)
            except UsageError as error:
                faults.append(f"candidates.csv line {row + 2}: {error}")
                continue
            patch = compress_jpeg(patch)
            relative = path.relative_to(folder).as_posix()
            images.append(patch)
            lines.append((f"row-{row:06d}", relative, hash_pixels(patch), scan, label, row, split_of[row], subset, padded))
    columns = ["case_id", "path", "sha256", "patient_id", "label", "candidate_row", "split", "subset", "padded"]
    cases = pd.DataFrame(lines, columns=columns)
    side = config.luna_side
    notes = {
        "faults": faults,
        "scans_found": len(volumes),
        "scans_used": int(cases["patient_id"].nunique()),
        "candidates": len(candidates),
        "padded": int(cases["padded"].sum()),
        "unused": {} if "val" in lists else {"validation candidates": len(chosen["val"])},
    }
    return np.stack(images) if images else np.empty((0, side, side), np.uint8), cases, notes


def attach_scans(cases: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Ready patches with patient_id = scan and, where the scans lie in subset folders, subset; from candidates.csv."""
    candidates = read_candidates(path)
    rows = cases["candidate_row"].to_numpy()
    known = rows < len(candidates)
    fits = np.zeros(len(rows), dtype=bool)
    fits[known] = candidates["class"].to_numpy()[rows[known]] == cases["label"].to_numpy()[known]
    faults = [f"{file}: its row and class are not those of {path}" for file in cases.loc[~fits, "path"]]
    if faults:
        return cases, faults
    scans = candidates["seriesuid"].to_numpy()[rows]
    volumes, _ = find_volumes(path.parent)
    subsets = [volumes[scan][1] if scan in volumes else -1 for scan in scans]
    return cases.assign(patient_id=scans, subset=subsets), []


def split_leakfree(cases: pd.DataFrame, config: Config) -> tuple[np.ndarray, str]:
    """Side of each case and how it was chosen: official subsets, else scans at random, else stretches of rows."""
    if cases["patient_id"].str.startswith("rows-").all():
        rule = (
            "stretches of candidate rows in place of scans (no candidates.csv): 7 train, 1 validation, 2 test; "
            f"{config.luna_gap_rows} rows left out between sides"
        )
        return split_row_blocks(cases["candidate_row"].to_numpy(), config), rule
    subsets = cases["subset"].to_numpy()
    sides = np.full(len(cases), "train", dtype="<U10")
    sides[np.isin(subsets, TEST_SUBSETS)] = "test"
    sides[np.isin(subsets, VALIDATION_SUBSETS)] = "validation"
    whole = (subsets >= 0).all() and all(
        cases.loc[sides == side, "label"].nunique() == 2 for side in ("train", "validation", "test")
    )
    if whole:
        return sides, "official subsets of LUNA16: 0-7 train, 8 validation, 9 test"
    chosen = split_cases(cases, test_share=0.2, validation_share=config.validation_share, seed=config.split_seed, by="patient_id")
    return np.asarray(chosen), "scans at random, stratified: 20 % test (not all ten official subsets are there)"


def split_row_blocks(rows: np.ndarray, config: Config) -> np.ndarray:
    """Side of each candidate row: 'train', 'validation', 'test' or '' (left out), shape (n,).

    candidates.csv is sorted by scan, so neighbouring rows share a scan. The row range is cut into ten stretches at
    multiples of `luna_block_rows`; two are the test set, one validation, seven training, drawn by `split_seed`.
    Rows within luna_gap_rows / 2 of a border between different sides are left out, more than an average scan's 620.
    """
    block = config.luna_block_rows
    borders = np.round(np.linspace(0, rows.max() + 1, STRETCHES + 1)[1:-1] / block).astype(int) * block
    order = np.random.default_rng(config.split_seed).permutation(STRETCHES)
    side_of = np.full(STRETCHES, "train", dtype="<U10")
    side_of[order[:2]], side_of[order[2]] = "test", "validation"
    sides = side_of[np.searchsorted(borders, rows, side="right")]
    for border, before, after in zip(borders, side_of[:-1], side_of[1:], strict=True):
        if before != after:
            sides[np.abs(rows - border) < config.luna_gap_rows / 2] = ""
    return sides
