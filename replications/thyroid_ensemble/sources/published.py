"""Three public collections that can stand for the paper's pictures, in the layouts in which they are offered.

The layouts of TN5000 and TN3K are documented by their authors and by code that reads them. That of Hou et al. is known from
such code only: where the label comes from (by name in the first batch; by index in the second, whose names are partly
unreadable) is taken from there.
"""

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from common.data import listing as common_listing
from common.data.csv_files import list_lines, read_csv_table
from common.data.folder import find_holding, has_control_characters, list_entries, read_lines, walk_files
from common.data.listing import CaseTable, Listed, drop_repeated, find_partly_filled
from common.data.names import find_listed, name_listed
from common.errors import UsageError
from replications.thyroid_ensemble.config import CLASSES, Config
from replications.thyroid_ensemble.rois import Box, read_rois
from replications.thyroid_ensemble.sources.ddti import find_text, read_xml

LISTED = ["case_id", "path", "file", "patient_id", "label", "box", "mask", "split"]
TN5000_FOLDERS = ("Annotations", "JPEGImages", "ImageSets/Main")
TN5000_LABELS = {"0": 0, "1": 1, "benign": 0, "malignant": 1}
TN3K_LISTS = {"label4trainval.csv": ("trainval", "train"), "label4test.csv": ("test", "test")}
IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
LABELS = {name: label for label, name in enumerate(CLASSES)} | {"0": 0, "1": 1}
SPLITS = ("", "train", "test")


def read_hou2024(folder: Path, config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Hou et al. 2024: 8508 pictures of 842 cases, diagnosed by pathology; no lesion boxes, so whole pictures.

    batch<1|2>_image.csv (patient_name, path) and batch<1|2>_image_label.csv (patient_index, patient_name, histo_label 0 or
    1), anywhere below the folder; pictures at `path` below the table's folder or below its dataset/. File names of this
    collection name patients: cases and faults name the line of the table instead.
    """
    tables = {path.name: path for path in walk_files(folder) if re.fullmatch(r"batch[12]_image(_label)?\.csv", path.name)}
    batches = [batch for batch in ("batch1", "batch2") if f"{batch}_image.csv" in tables]
    if not batches:
        raise UsageError(f"{folder}: not the expected layout: no batch1_image.csv or batch2_image.csv in it")
    faults: list[str] = []
    lines, unlabelled = [], 0
    for batch in batches:
        table, labels = tables[f"{batch}_image.csv"], tables.get(f"{batch}_image_label.csv")
        if labels is None:
            raise UsageError(f"{folder}: {batch}_image_label.csv is missing; it has the labels of {batch}_image.csv")
        by_name, by_index = _read_diagnoses(labels, faults)
        home = table.parent.relative_to(folder)
        pictures = read_csv_table(table, {"patient_name": str, "path": str}, numbered=True)
        for number, line in list_lines(pictures):
            found = by_name.get(line["patient_name"].strip()) or by_index.get(_find_index(line["path"]))
            if found is None:
                unlabelled += 1
                continue
            places = [(home / middle / line["path"]).as_posix() for middle in ("", "dataset")]
            # os.path.isfile is false, not an error, for a name that no file can have
            file = next((place for place in places if os.path.isfile(folder / name_listed(folder, place))), places[0])
            case_id, shown = f"{batch}-{number:05d}", f"{table.name} line {number}"
            lines.append((case_id, shown, file, f"{batch}-{found[0]}", found[1], None, "", ""))
    listed = pd.DataFrame(lines, columns=LISTED).astype({"box": object}).drop(columns="split")
    images, cases = read_rois(folder, listed, config, faults, follow_links=True)
    unused = {"pictures of patients without a label": unlabelled} if unlabelled else {}
    return images, cases, {"faults": faults, "unused": unused, "whole_pictures": len(cases)}


def _read_diagnoses(path: Path, faults: list[str]) -> tuple[dict[str, tuple[str, int]], dict[str, tuple[str, int]]]:
    """(patient_index, label) by the patients' names as far as they are unique, and by index."""
    by_index: dict[str, tuple[str, int]] = {}
    names, torn = [], set()
    table = read_csv_table(path, {"patient_index": str, "patient_name": str, "histo_label": str}, numbered=True)
    for number, line in list_lines(table):
        index, label = line["patient_index"].strip(), line["histo_label"].strip().removesuffix(".0")
        if not re.fullmatch(r"[0-9]{1,9}", index):
            faults.append(f"{path.name} line {number}: patient_index is no whole number")
        elif label == "":
            continue
        elif label not in ("0", "1"):
            faults.append(f"{path.name} line {number}: histo_label {label[:20]!r} is not 0 or 1")
        elif by_index.setdefault(index, (index, int(label))) != (index, int(label)):
            faults.append(f"{path.name} line {number}: patient_index {index} has both labels")
            torn.add(index)
        else:
            names.append((line["patient_name"].strip(), index))
    several = Counter(name for name, _ in set(names))
    by_index = {index: found for index, found in by_index.items() if index not in torn}
    return {name: by_index[index] for name, index in names if several[name] == 1 and index not in torn}, by_index


def _find_index(path: str) -> str:
    """Index of the patient in a path like months/612/name_004.Jpg or 239_001.Jpg; '' where there is none."""
    *folders, name = path.replace("\\", "/").split("/")
    return next((part for part in [*folders, name.split("_")[0]] if part.isascii() and part.isdigit()), "")


def read_tn5000(folder: Path, config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """TN5000 (Zhang et al. 2025): 5000 pictures in the layout of PASCAL VOC, one case a box; the published lists in `split`.

    Annotations/<name>.xml with objects named 0 (benign) or 1 (malignant), JPEGImages/<name>.jpg, ImageSets/Main/train.txt,
    val.txt and test.txt. Boxes are taken as in PASCAL VOC: from pixel 1, both ends included. No patients are published: each
    picture is its own.
    """
    root = find_holding(folder, TN5000_FOLDERS)
    home = root.relative_to(folder)
    faults: list[str] = []
    lines = []
    listed_in = _list_tn5000(root, faults)
    for name, splits in listed_in.items():
        if len(splits) > 1:  # on which side it is, nobody knows
            faults.append(f"{name} is listed more than once: in {', '.join(f'{split}.txt' for split in splits)}")
            continue
        try:
            boxes = _read_boxes(find_listed(root, f"Annotations/{name}.xml", follow_links=True))
        except UsageError as error:
            faults.append(str(error).replace(f"{root}/", ""))
            continue
        file = (home / "JPEGImages" / f"{name}.jpg").as_posix()
        for index, (label, box) in enumerate(boxes, start=1):
            case_id = name if len(boxes) == 1 else f"{name}-n{index}"
            lines.append((case_id, file, file, name, label, box, "", "test" if splits == ["test"] else "train"))
    listed = pd.DataFrame(lines, columns=LISTED).astype({"box": object})
    images, cases = read_rois(folder, listed, config, faults, follow_links=True)
    unlisted = {path.stem for path in list_entries(root / "JPEGImages", ".jpg")} - listed_in.keys()
    unused = {"pictures in none of the lists": len(unlisted)} if unlisted else {}
    return images, cases, {"faults": faults, "unused": unused, "patients_known": False}


def _list_tn5000(root: Path, faults: list[str]) -> dict[str, list[str]]:
    """Picture names with the lists that name them: train, val, test."""
    found: dict[str, list[str]] = {}
    for split in ("train", "val", "test"):
        for number, line in enumerate(read_lines(root / "ImageSets" / "Main" / f"{split}.txt"), start=1):
            if IMAGE_NAME.fullmatch(line):
                found.setdefault(line, []).append(split)
            elif line:
                faults.append(f"{split}.txt line {number}: {line[:60]!r} is no name of a picture")
    return found


def _read_boxes(path: Path) -> list[tuple[int, Box]]:
    """(label, box) of every object of an annotation in the form of PASCAL VOC."""
    boxes = []
    for thing in read_xml(path, "annotation").iter("object"):
        name, box = find_text(thing, "name"), thing.find("bndbox")
        if name not in TN5000_LABELS:
            raise UsageError(f"{path}: object {name[:20]!r} is not 0 (benign) or 1 (malignant)")
        words = [] if box is None else [find_text(box, tag) for tag in ("xmin", "ymin", "xmax", "ymax")]
        if not words or not all(re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,9})?", word) for word in words):
            raise UsageError(f"{path}: the box {','.join(words)[:60]!r} is not xmin,ymin,xmax,ymax in pixels")
        x0, y0, x1, y1 = (int(float(word)) for word in words)
        boxes.append((TN5000_LABELS[name], (max(x0 - 1, 0), max(y0 - 1, 0), x1, y1)))
    if not boxes:
        raise UsageError(f"{path}: no object")
    return boxes


def read_tn3k(folder: Path, config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """TN3K (Gong et al. 2021) with the labels that Cheng's ACL adds: 2879 + 614 pictures with a mask; published lists in `split`.

    label4trainval.csv and label4test.csv (lines name,0|1 without a header), <trainval|test>-image/ and <trainval|test>-mask/.
    No patients are published: each picture is its own (its authors kept one of each view).
    """
    root = find_holding(folder, tuple(TN3K_LISTS))
    home = root.relative_to(folder)
    lines, faults = [], []
    for table, (part, split) in TN3K_LISTS.items():
        labels: dict[str, int] = {}
        torn = set()
        for number, line in enumerate(read_lines(root / table), start=1):
            name, _, label = (word.strip() for word in line.rpartition(","))
            if not line or (number == 1 and label in ("label", "class")):
                continue
            if not IMAGE_NAME.fullmatch(name) or label not in ("0", "1"):
                faults.append(f"{table} line {number}: expected name,0|1, found {line[:60]!r}")
            elif labels.setdefault(name, int(label)) != int(label):
                faults.append(f"{table} line {number}: {name} is listed with both labels")
                torn.add(name)
        for name in sorted(labels.keys() - torn):
            file, mask = ((home / f"{part}-{kind}" / name).as_posix() for kind in ("image", "mask"))
            case_id = f"{part}-{Path(name).stem}"
            lines.append((case_id, file, file, case_id, labels[name], None, mask, split))
    listed = pd.DataFrame(lines, columns=LISTED).astype({"box": object})
    faults += [f"{path}: another picture has this number" for path in listed["path"][listed["case_id"].duplicated()]]
    images, cases = read_rois(folder, listed[~listed["case_id"].duplicated()], config, faults, follow_links=True)
    return images, cases, {"faults": faults, "patients_known": False}


def read_own(folder: Path, config: Config, table: CaseTable | None = None) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """ROIs uint8 (n, roi_side, roi_side), cases and notes (`faults`) of a table of cases; None: folder/cases.csv."""
    listed, faults = list_own(folder, table)
    images, cases = read_rois(folder, listed, config, faults)
    return images, cases, {"faults": faults, "whole_pictures": int((listed["box"].isna() & (listed["mask"] == "")).sum())}


def list_own(folder: Path, table: CaseTable | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The table (folder/cases.csv) as `read_rois` takes it, and every faulty line as one text.

    Columns: path, label (benign or 0, malignant or 1), patient and, as far as known, x0, y0, x1, y1 (box in pixels, x1 and y1
    exclusive), mask (path of a picture), case_id, split (train or test, in every line or in none). One line a nodule: a picture
    may come several times, with other boxes or masks. One that comes twice with the same counts once, and not at all if its
    labels differ. Raises UsageError for a table that cannot be read.
    """
    listed, faults = common_listing.list_own(folder, LABELS, "benign (0) or malignant (1)", ["mask", "case_id", "split"], table)
    kept = []
    gaps = find_partly_filled([line.more["split"] for line in listed], "split")
    for place, line in enumerate(listed):
        if fault := _find_fault(line) or gaps.get(place):
            faults.append(f"{line.where}: {fault}")
        else:
            kept.append(line)

    def name_nodule(line: Listed) -> tuple[str, Box | None, str]:
        return line.file, line.box, line.more["mask"]

    lines: dict[str, dict] = {}
    for line in drop_repeated(kept, name_nodule, lambda _: " with the same nodule", faults):
        case_id = line.more["case_id"] or f"t{line.number - 1:04d}"
        if case_id in lines:
            faults.append(f"{line.where}: case_id {case_id[:60]!r} occurs twice")
            continue
        shown = line.path if not has_control_characters(line.path) else repr(line.path[:200])
        lines[case_id] = {
            "case_id": case_id,
            "path": shown,
            "file": line.file,
            "patient_id": line.patient,
            "label": line.label,
            "box": line.box,
            "mask": line.more["mask"],
            "split": line.more["split"],
            "window": line.window,
        }
    split = any(line.more["split"] for line in listed)
    kept_lines = pd.DataFrame(list(lines.values()), columns=[name for name in (*LISTED, "window") if split or name != "split"])
    return kept_lines.astype({"box": object, "window": object}), faults


def _find_fault(line: Listed) -> str | None:
    """What is wrong with the optional columns of a line."""
    case_id, split = line.more["case_id"], line.more["split"]
    if has_control_characters(case_id):
        return f"case_id {case_id[:60]!r} holds control characters"
    if line.box is not None and line.more["mask"]:
        return "a box and a mask; one of them is enough"
    return None if split in SPLITS else f"split {split[:20]!r} is neither train nor test"
