"""Hip part (section 2.1, Table 1): radiographs and crops, their enlargement by flips and shifts, and how they are split.

"resized" (Table 1) = cropped to the hip, then scaled; "unresized" = the whole radiograph scaled. Both are scaled plainly
to a square, as the paper's 128x128 and 256x256 imply: the aspect ratio of 3056x2544 is not kept.
"""

import itertools
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.cases.table import fold_cases, hash_pixels, join_patients, split_cases
from common.data.csv_files import list_lines, read_csv_table
from common.data.listing import BOX, TABLE, CaseTable, Listed, drop_repeated, list_own
from common.data.names import find_listed, name_listed
from common.data.patients import normalise_patient
from common.data.pictures import read_picture
from common.data.reading import read_ahead
from common.errors import UsageError
from common.files import hash_file
from replications.lung_hip_compare.config import Config

LABELS = {"0": 0, "1": 1, "no fracture": 0, "fracture": 1}
SIDES = ("", "R", "L")
LISTED = ["path", "label", "patient", "side", "box", "file", "window"]
FRACATLAS_FOLDERS = {1: ("Fractured",), 0: ("Non_fractured", "Non-fractured")}


def is_cropped(dataset: str) -> bool:
    """True for the "resized" data sets of Table 1, which are cropped to the hip first."""
    return dataset.endswith(" resized")


def choose_side(dataset: str, config: Config) -> int:
    """Pixels of a side: hip_sides[0] for the 128x128 data sets, hip_sides[1] for the 256x256 ones."""
    return config.hip_sides[0 if dataset.startswith("128") else 1]


def list_radiographs(folder: Path, table: CaseTable | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The table of a user's folder (folder/cases.csv): path, label, patient, side ('R', 'L' or ''), box ((x0, y0, x1, y1) or
    None), file (as it is called on disk), window (grey levels of black and white, or None); and every fault as one text. A hip
    that is listed twice counts once, and not at all if its labels differ.
    """
    listed, faults = list_own(folder, LABELS, "0 (no fracture) or 1 (fracture)", ["side"], table)
    kept = []
    for line in listed:
        if line.more["side"] in SIDES:
            kept.append(line)
        else:
            faults.append(f"{line.where}: side {line.more['side'][:20]!r} is not R, L or empty")

    def describe(line: Listed) -> str:
        return f" for side {line.more['side']}" if line.more["side"] else ""

    hips = drop_repeated(kept, lambda line: (line.file, line.more["side"]), describe, faults)
    rows = [(line.path, line.label, line.patient, line.more["side"], line.box, line.file, line.window) for line in hips]
    return pd.DataFrame(rows, columns=LISTED), faults


def explain_boxes(folder: Path, table: CaseTable | None = None) -> str | None:
    """Why the cropped data sets cannot be made of a user's folder, in words for the report; None if they can, or if its table has
    faults that must be seen first."""
    try:
        hips, faults = list_radiographs(folder, table)
    except UsageError:
        return None
    boxed = hips[hips["box"].notna()]
    lists_all = boxed["label"].nunique() == hips["label"].nunique()  # of a table of one class, something else is said
    if lists_all or any(": box " in fault for fault in faults):
        return None
    lacking = "" if boxed.empty else " of both classes"
    where = table.name if table else TABLE
    return f"no crop boxes{lacking} in {where} (columns {','.join(BOX)}), so no cropped pictures"


def list_fracatlas(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Hip pictures of FracAtlas in its published layout. It names no patients: each picture counts as one."""
    table = read_csv_table(folder / "dataset.csv", {"image_id": str, "hip": str, "fractured": str}, numbered=True)
    lines, faults = [], []
    for number, line in list_lines(table):
        if line["hip"] not in ("0", "1") or line["fractured"] not in ("0", "1"):
            faults.append(f"dataset.csv line {number}: hip and fractured must be 0 or 1")
        elif line["hip"] == "1":
            label, name = int(line["fractured"]), line["image_id"]
            places = [f"images/{place}/{name}" for place in FRACATLAS_FOLDERS[label]]
            path = next((place for place in places if os.path.isfile(folder / name_listed(folder, place))), places[0])
            lines.append((path, label, Path(name).stem, "", None, name_listed(folder, path), None))
    return pd.DataFrame(lines, columns=LISTED), faults


def gather_radiographs(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One line a picture, from one line a hip: a picture is 'fracture' if one of its hips is. A picture under several
    patients is a fault, and left out.
    """
    readings = table["patient"].map(normalise_patient)
    patients = readings.groupby(table["file"], sort=False).nunique()
    torn = patients[patients > 1]
    faults = [f"{str(path)[:80]!r} is listed under {count} patients" for path, count in torn.items()]
    windows = table.groupby("file", sort=False)["window"].agg(lambda of_picture: len(set(of_picture)))
    faults += [f"{str(path)[:80]!r} is listed with several black,white" for path in windows.index[windows > 1]]
    table = table[~table["file"].isin(torn.index.union(windows.index[windows > 1]))]
    return table.groupby("file", sort=False, as_index=False).agg(
        label=("label", "max"), patient=("patient", "first"), side=("side", "".join), path=("path", "first"),
        window=("window", lambda of_picture: of_picture.iloc[0]),
    ), faults  # fmt: skip


def read_hips(
    folder: Path, kind: str, dataset: str, config: Config, listed: CaseTable | None = None
) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """The ORIGINAL pictures of one data set, scaled: uint8 (n, side, side), cases and notes (`faults`).

    sha256 is the file's for whole radiographs; two hips of one picture share a file, so a crop has that of its pixels.
    """
    table, faults = list_fracatlas(folder) if kind == "fracatlas" else list_radiographs(folder, listed)
    cropped = is_cropped(dataset)
    whole, torn = gather_radiographs(table)
    faults += torn
    if cropped:
        table = table[table["box"].notna() & table["file"].isin(whole["file"])].reset_index(drop=True)
        if table.empty and not faults:
            raise UsageError(f"{folder}: no crop boxes (x0,y0,x1,y1), so no picture for the cropped data set {dataset!r}")
    else:
        table = whole
    side = choose_side(dataset, config)
    images, lines = [], []
    # The hips of a picture usually follow each other.
    pictures = [list(group) for _, group in itertools.groupby(enumerate(table.to_dict("records")), lambda one: one[1]["path"])]

    def read(hips: list[tuple[int, dict]]) -> list[tuple[np.ndarray, str] | UsageError]:
        path = find_listed(folder, hips[0][1]["file"])
        picture = read_picture(path, window=hips[0][1]["window"])
        found: list[tuple[np.ndarray, str] | UsageError] = []
        for _, line in hips:
            try:
                scaled = scale_picture(crop_picture(picture, line["box"], line["path"]) if cropped else picture, side)
                found.append((scaled, hash_pixels(scaled) if cropped else hash_file(path)))
            except UsageError as error:
                found.append(error)
        return found

    for hips, found in read_ahead(read, pictures):
        for (index, line), hip in zip(hips, [found] * len(hips) if isinstance(found, UsageError) else found, strict=True):
            if isinstance(hip, UsageError):
                faults.append(str(hip))
                continue
            images.append(hip[0])
            lines.append((f"h{index:03d}", line["path"], hip[1], line["patient"], line["label"], line["side"]))
    cases = pd.DataFrame(lines, columns=["case_id", "path", "sha256", "patient_id", "label", "side"])
    stacked = np.stack(images) if images else np.empty((0, side, side), np.uint8)
    return stacked, cases, {"faults": faults, "radiographs": len(whole), "patients_known": kind != "fracatlas"}


def crop_picture(picture: np.ndarray, box: tuple[int, int, int, int], name: str) -> np.ndarray:
    """The part of a picture inside box (x0, y0, x1, y1), x1 and y1 exclusive; UsageError if it leaves the picture."""
    height, width = picture.shape
    x0, y0, x1, y1 = box
    if x1 > width or y1 > height:
        raise UsageError(f"{name}: box {x0},{y0},{x1},{y1} leaves the picture of {width}x{height}")
    return picture[y0:y1, x0:x1]


def scale_picture(picture: np.ndarray, side: int) -> np.ndarray:
    """uint8 (side, side): area means where the picture shrinks, linear interpolation where it grows."""
    shrinks = min(picture.shape) >= side
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def enlarge(
    images: np.ndarray, labels: np.ndarray, counts: tuple[int, int], config: Config, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Flips and shifts (Fig. 3c) of uint8 images (n, side, side, 1) to counts[label] images of each label.

    Returns images (sum(counts), side, side, 1) and source_index int64: the originals come first, in their order, then
    the variants, dealt evenly over a class's originals. Shift and flip as ImageDataGenerator draws them (width_shift =
    height_shift = hip_shift of the side, fill 'nearest', horizontal flip of every second). The same seed, the same images.
    """
    random = np.random.default_rng(seed)
    sources = [np.arange(len(images))]
    for label, count in enumerate(counts):
        own = np.flatnonzero(labels == label)
        if len(own) == 0 or len(own) > count:
            raise UsageError(
                f"class {label} has {len(own)} originals and cannot be enlarged to {count}; "
                f"set hip_enlarged_cropped and hip_enlarged_uncropped to at least that number"
            )
        rounds = math.ceil((count - len(own)) / len(own))
        dealt = np.concatenate([random.permutation(own) for _ in range(rounds)] or [own[:0]])
        sources.append(dealt[: count - len(own)])
    source = np.concatenate(sources).astype(np.int64)
    side = images.shape[1]
    shifts = random.uniform(-config.hip_shift, config.hip_shift, (len(source), 2)) * side
    flips = (random.random(len(source)) < 0.5) & config.hip_flip
    enlarged = np.empty((len(source), *images.shape[1:]), dtype=np.uint8)
    enlarged[: len(images)] = images
    for index in range(len(images), len(source)):
        enlarged[index, ..., 0] = move_image(images[source[index], ..., 0], shifts[index], flips[index])
    return enlarged, source


def move_image(image: np.ndarray, shift: np.ndarray, flip: bool) -> np.ndarray:
    """Shift (rows, columns) by linear interpolation with the border repeated, then mirror left and right."""
    matrix = np.array([[1, 0, shift[1]], [0, 1, shift[0]]], np.float64)
    size = image.shape[::-1]
    moved = cv2.warpAffine(np.asarray(image), matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved[:, ::-1] if flip else moved


def choose_enlarged_counts(dataset: str, config: Config) -> tuple[int, int]:
    """(without fracture, with fracture) of Table 1."""
    return config.hip_enlarged_cropped if is_cropped(dataset) else config.hip_enlarged_uncropped


def split_images(labels: np.ndarray, config: Config) -> np.ndarray:
    """The paper's split of the enlarged pictures: of each class ceil(20 %) at random, 'train' or 'test', shape (n,)."""
    random = np.random.default_rng([config.split_seed, 1])
    sides = np.full(len(labels), "train", dtype="<U10")
    for label in (0, 1):
        own = np.flatnonzero(labels == label)
        count = math.ceil(round(config.hip_test_share * len(own), 9))
        sides[random.permutation(own)[:count]] = "test"
    return sides


def split_leakfree(cases: pd.DataFrame, config: Config) -> list[tuple[np.ndarray, str]]:
    """Grouped stratified cross-validation, hip_folds times hip_repetitions: for each fold the side of each case and the
    rule in words. Patients that share a picture count as one. Validation patients are taken from the training patients:
    validation_share of the cases, in small data at least one patient of the rarer class.
    """
    cases = cases.assign(patient_id=join_patients(cases))
    folds = []
    for repetition in range(config.hip_repetitions):
        seed = config.split_seed + repetition
        fold_of = fold_cases(cases, config.hip_folds, seed).to_numpy()
        for fold in range(config.hip_folds):
            rest = cases[fold_of != fold]
            fewest = int(rest.groupby("label")["patient_id"].nunique().min())
            if fewest < 2:
                more = f"--set hip_folds={config.hip_folds + 1}, as larger folds leave fewer for training, or add patients"
                raise UsageError(
                    f"hips: a fold of {config.hip_folds} leaves one patient of a class to train and to validate with; {more}"
                )
            share = max(config.validation_share, 1 / fewest)
            sides = np.full(len(cases), "test", dtype="<U10")
            sides[fold_of != fold] = split_cases(rest, test_share=0, validation_share=share, seed=seed)
            rule = f"{config.hip_folds} folds of patients, stratified; validation: {share:.0%} of the training patients"
            folds.append((sides, rule))
    return folds
