"""A user's own pictures, and the phantoms: a table cases.csv beside them says label, patient and where the nodule lies."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from common.datasets import has_control_characters, read_csv_table
from replications.thyroid_ensemble.config import CLASSES, Config
from replications.thyroid_ensemble.rois import Box, read_rois

NEEDED = ["path", "label", "patient"]
BOX = ["x0", "y0", "x1", "y1"]
OPTIONAL = [*BOX, "mask", "case_id", "split"]
LABELS = {name: label for label, name in enumerate(CLASSES)} | {"0": 0, "1": 1}
SPLITS = ("", "train", "test")


def read_own(folder: Path, config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """ROIs uint8 (n, roi_side, roi_side), cases and notes (`faults`) of folder/cases.csv."""
    listed, faults = list_own(folder)
    images, cases = read_rois(folder, listed, config, faults)
    return images, cases, {"faults": faults, "whole_pictures": int((listed["box"].isna() & (listed["mask"] == "")).sum())}


def list_own(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """cases.csv as `read_rois` takes it, and every faulty line as one text.

    Columns: path, label (benign or 0, malignant or 1), patient and, as far as known, x0, y0, x1, y1 (box in pixels, x1 and y1
    exclusive), mask (path of a picture), case_id, split (train or test, as published). One line a nodule: a picture may come
    several times, with other boxes or masks. One that comes twice with the same counts once, and not at all if its labels
    differ. Raises UsageError for a table that cannot be read.
    """
    path = folder / "cases.csv"
    read_csv_table(path, dict.fromkeys(NEEDED, str))  # whatever is wrong with the file is said here
    with path.open(encoding="utf-8-sig", newline="") as file:
        optional = [name for name in next(csv.reader(file)) if name in OPTIONAL]
    table = read_csv_table(path, dict.fromkeys(NEEDED + optional, str))
    lines, places, faults, torn = {}, {}, [], set()
    for number, line in enumerate(table.to_dict("records"), start=2):
        where = f"cases.csv line {number}"
        try:
            entry = _read_line(line, number)
        except ValueError as error:
            faults.append(f"{where}: {error}")
            continue
        nodule = (entry["path"], entry["box"], entry["mask"])
        if nodule in places:
            torn |= {places[nodule]} if lines[places[nodule]]["label"] != entry["label"] else set()
            fault = f"{where}: {entry['path'][:80]!r} is listed twice with the same nodule"
            faults.append(f"{fault}, with both labels" if places[nodule] in torn else fault)
        elif entry["case_id"] in lines:
            faults.append(f"{where}: case_id {entry['case_id'][:60]!r} occurs twice")
        else:
            places[nodule] = entry["case_id"]
            lines[entry["case_id"]] = entry
    columns = ["case_id", "path", "file", "patient_id", "label", "box", "mask", *(["split"] if "split" in optional else [])]
    listed = pd.DataFrame([line for case_id, line in lines.items() if case_id not in torn], columns=columns)
    return listed.astype({"box": object}), faults


def _read_line(line: dict[str, str], number: int) -> dict:
    """One line as a row of the list; ValueError says what is wrong with it."""
    label, patient = line["label"].strip().lower(), line["patient"].strip()
    mask, split = line.get("mask", "").strip(), line.get("split", "").strip()
    case_id = line.get("case_id", "").strip() or f"t{number - 1:04d}"
    box = _read_box([line.get(name, "").strip() for name in BOX])
    if label not in LABELS:
        raise ValueError(f"label {line['label'][:20]!r} is not benign (0) or malignant (1)")
    if not patient:
        raise ValueError("no patient; give each patient a name of its own")
    for name, value in (("patient", patient), ("case_id", case_id)):
        if has_control_characters(value):
            raise ValueError(f"{name} {value[:60]!r} holds control characters")
    if box is not None and mask:
        raise ValueError("a box and a mask; one of them is enough")
    if split not in SPLITS:
        raise ValueError(f"split {split[:20]!r} is not train, test or empty")
    shown = line["path"] if not has_control_characters(line["path"]) else repr(line["path"][:200])
    return {
        "case_id": case_id, "path": shown, "file": line["path"], "patient_id": patient, "label": LABELS[label], "box": box,
        "mask": mask, "split": split,
    }  # fmt: skip


def _read_box(words: list[str]) -> Box | None:
    if not any(words):
        return None
    if not all(word.isascii() and word.isdigit() and len(word) < 7 for word in words):
        raise ValueError(f"box {','.join(words)[:60]!r} is not four whole numbers x0,y0,x1,y1")
    x0, y0, x1, y1 = map(int, words)
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"box {x0},{y0},{x1},{y1} is empty; x0 < x1 and y0 < y1 are needed")
    return x0, y0, x1, y1
