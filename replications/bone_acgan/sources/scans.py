"""Bone scans of a user's own folder, NM DICOM or pictures, and the layout of BS-80K; reduced to pictures of bodies.

Of a DICOM file nothing but counts, views, spacing and an id to group by is read; the id leaves as a checksum.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.data.csv_files import list_lines
from common.data.dicom import is_dicom
from common.data.folder import read_lines, walk_files
from common.data.listing import CaseTable, read_cases
from common.data.names import find_listed, fold_name
from common.data.pictures import read_picture
from common.errors import UsageError
from common.files import hash_file
from common.progress import track
from replications.bone_acgan.body import draw_body
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.sources.dicom import VIEWS, read_scan

TABLE = "cases.csv"
DICOM = (".dcm", ".dicom", ".ima", "")
SPELLINGS = {
    "health": 0, "healthy": 0, "normal": 0, "0": 0, "metastases": 1, "metastasis": 1, "1": 1,
    "benign changes": 2, "benign": 2, "2": 2,
}  # fmt: skip
MOST_FRAMES, LEAST_SIDE = 2, 24  # of a file; pixels
COLUMNS = ["case_id", "path", "sha256", "patient_id", "label", "view", "white"]


@dataclass(frozen=True)
class View:
    """One view of a patient: its picture and what is known of it."""

    case_id: str
    path: str
    sha256: str
    patient: str
    label: int
    view: str  # "anterior", "posterior", "" where nothing says
    picture: np.ndarray  # uint8 (picture_height, picture_width)
    white: float  # counts of a white pixel; 0 where a picture does not say
    doubt: str  # of the crop
    lone: bool = False  # nothing says whose it is: it counts as a patient of its own


def read_own(folder: Path, config: Config, table: CaseTable | None = None) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """A user's folder: a table (folder/cases.csv) with path, label and, where given, patient and view.

    A file is NM DICOM of one or two frames, each of which is a case, or a PNG or JPEG of one view, bright where many counts are.
    Without the column patient a DICOM is grouped by its own id, and a picture counts as a patient of its own. Returns pictures,
    cases and notes with "faults", "doubtful_crops" and "lone": how many files say nothing of their patient.
    """
    table = table or CaseTable(folder / TABLE)
    faults: list[str] = []
    views: list[View] = []
    listed: dict[Path, tuple[str, int]] = {}
    torn = set()
    read = read_cases(table, ("path", "label"), ("patient", "view"))
    for number, line in track(list_lines(read), "reading pictures"):
        where = f"{table.name} line {number}"
        label = SPELLINGS.get(line["label"].strip().lower())
        name, patient = line["path"].strip(), line.get("patient", "").strip()
        try:
            if label is None:
                raise UsageError(f"label {line['label'][:40]!r} is none of {', '.join(CLASSES)}")
            if not name:
                raise UsageError("no path")
            if "patient" in read and not patient:
                raise UsageError("no patient; fill the column in every line, or leave it out")
            path = find_listed(folder, name)
            first = listed.setdefault(path, one := (name, label))
            if first[1] != label:
                torn.add(first[0])
                both = f"{CLASSES[label]}, {CLASSES[first[1]]} before"
                raise UsageError(f"{name[:80]!r} is listed with another label, {both}: none of its lines is used")
            if first is not one:
                raise UsageError(f"{name[:80]!r} is listed again")
            views += read_views(path, name, label, patient, _check_view(line.get("view", "")), config)
        except UsageError as error:
            faults.append(f"{where}: {error}")
    views = [view for view in views if view.path not in torn]
    pictures, cases, notes = gather_views(views, faults, config)
    return pictures, cases, notes | {"lone": len({view.path for view in views if view.lone})}


def _check_view(text: str) -> str:
    name = text.strip().lower()
    found = next((view for view in VIEWS if name and view.startswith(name)), "")
    if name and not found:
        raise UsageError(f"view {text[:40]!r} is none of {', '.join(VIEWS)}")
    return found


def read_views(path: Path, name: str, label: int, patient: str, view: str, config: Config) -> Iterator[View]:
    """The views of one file; name: as the table has it. Raises UsageError for what is no view of a body."""
    dicom = path.suffix.lower() in DICOM or is_dicom(path)
    if dicom:
        scan = read_scan(path)
        frames, told = scan.counts, scan.views
        if len(frames) > MOST_FRAMES:
            raise UsageError(f"{path}: {len(frames)} frames; a whole-body scan has one or two")
        if view and len(frames) == 1:
            if told[0] and told[0] != view:
                raise UsageError(f"{path}: {view} by the table, {told[0]} by the file")
            told = (view,)
        owner = patient or (f"id-{hashlib.sha256(scan.patient.encode()).hexdigest()[:12]}" if scan.patient else name)
        lone = not patient and not scan.patient and len(frames) == 1
    else:
        frames, told, owner, lone = read_picture(path, deep=True)[None].astype(np.float32), (view,), patient or name, not patient
        if is_inverted(frames[0]):
            raise UsageError(f"{path}: dark on light; invert it, so that many counts are bright")
    if min(frames.shape[1:]) < LEAST_SIDE:
        raise UsageError(f"{path}: {frames.shape[1]}x{frames.shape[2]} pixels; a view has sides of {LEAST_SIDE} or more")
    digest = hash_file(path)
    for number, (counts, shown) in enumerate(zip(frames, told, strict=True)):
        picture, crop = draw_body(counts, config)
        if not picture.any():
            raise UsageError(f"{path}: frame {number + 1} is empty")
        white = float(np.percentile(counts[crop.rows, crop.columns], config.clip_percentile))
        case_id = name if len(frames) == 1 else f"{name}#{shown if told.count(shown) == 1 and shown else number + 1}"
        # Several frames of one file are different pictures, so each has a checksum of its own.
        own = digest if len(frames) == 1 else hashlib.sha256(f"{digest} {number}".encode()).hexdigest()
        yield View(case_id, name, own, owner, label, shown, picture, white if dicom else 0.0, crop.doubt, lone)


def is_inverted(picture: np.ndarray) -> bool:
    """Whether a view is dark on light, as scans are shown: its border is brighter than its middle.

    >>> body = np.pad(np.full((40, 10), 200), 20)
    >>> is_inverted(body), is_inverted(255 - body)
    (False, True)
    """
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    height, width = picture.shape
    return bool(np.median(border) > np.median(picture[height // 4 : -(height // 4), width // 3 : -(width // 3)]))


def gather_views(views: Sequence[View], faults: list[str], config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Pictures, cases and notes of views."""
    names = ("case_id", "path", "sha256", "patient", "label", "view", "white")
    cases = pd.DataFrame([[getattr(view, name) for name in names] for view in views], columns=COLUMNS)
    cases["white"] = cases["white"].where(cases["white"] > 0, config.poisson_white)
    shape = (0, config.picture_height, config.picture_width)
    pictures = np.stack([view.picture for view in views]) if views else np.empty(shape, np.uint8)
    doubtful = {view.case_id: view.doubt for view in views if view.doubt}
    return pictures, cases, {"faults": faults, "doubtful_crops": doubtful}


def read_bs80k(folder: Path, config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """BS-80K (Huang et al. 2022), whole-body pictures: normal or abnormal, which stand for health and metastases.

    <folder>/wholeBodyANT/ and wholeBodyPOST/ hold <id>.jpg, and a list beside the pictures (`*.txt`, lines "<id>.jpg <0|1>")
    their labels. The layout is known from its description only: counts and ids are checked, and whatever does not fit is a fault.
    """
    faults: list[str] = []
    views: list[View] = []
    unlabelled = 0
    for part, view in (("wholebodyant", "anterior"), ("wholebodypost", "posterior")):
        places = [path for path in walk_files(folder) if part in path.parent.name.lower()]
        labels = _read_list([path for path in places if path.suffix.lower() == ".txt"])
        listed = sorted(path for path in places if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for path in track(listed, f"reading {view} pictures"):
            if fold_name(path.name) not in labels:
                unlabelled += 1
                continue
            name = path.relative_to(folder).as_posix()
            try:
                views += read_views(path, name, labels[fold_name(path.name)], path.stem, view, config)
            except UsageError as error:
                faults.append(f"{name}: {error}")
    stems = [{view.patient for view in views if view.view == shown} for shown in VIEWS]
    if all(stems) and len(stems[0] & stems[1]) < min(map(len, stems)) / 2:
        faults.append("most pictures of wholeBodyANT and wholeBodyPOST have different names: both views of a patient need one")
    if not views and not faults:
        raise UsageError(f"{folder}: no labelled picture in wholeBodyANT/ or wholeBodyPOST/; see `data` for the layout")
    pictures, cases, notes = gather_views(views, faults, config)
    return pictures, cases, notes | ({"unused": {"pictures without a label": unlabelled}} if unlabelled else {})


def _read_list(files: Sequence[Path]) -> dict[str, int]:
    """File name, as `fold_name` gives it -> label of the lists."""
    found: dict[str, int] = {}
    for path in files:
        for number, line in enumerate(read_lines(path), start=1):
            parts = line.split()
            if not parts:
                continue
            if len(parts) != 2 or parts[1] not in ("0", "1"):
                raise UsageError(f"{path}:{number}: not '<picture> <0 or 1>'")
            found[fold_name(Path(parts[0]).name)] = int(parts[1])
    return found
