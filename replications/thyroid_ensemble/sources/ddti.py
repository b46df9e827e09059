"""DDTI (Pedraza et al. 2015, doi 10.1117/12.2073532): ultrasound pictures with contours and a TI-RADS grade a case.

An XML file a case (number, tirads, and for each picture a mark with its number and contours as JSON) and its pictures
<case>_<picture>.jpg, anywhere below the folder. The copies in circulation differ in size: cases are counted, not assumed. There
is no pathology: the label comes from the grade, the same for all nodules of a case.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
import pandas as pd

from common.cases.descriptions import Descriptions, describe_images
from common.cases.duplicates import find_near_duplicates
from common.cases.table import join_patients
from common.data.folder import walk_files
from common.data.pictures import read_picture
from common.data.reading import read_ahead
from common.errors import UsageError
from common.files import hash_file
from replications.thyroid_ensemble.config import Config
from replications.thyroid_ensemble.rois import CASE_COLUMNS, Box, box_of_points, cut_roi, stack_rois

MAX_XML_BYTES = 2**20  # a case of DDTI has up to 7 kB
MAX_DEPTH = 50
PICTURE_NAME = re.compile(r"([0-9]{1,6}_[0-9]{1,3})\.(?:jpe?g|png)", re.IGNORECASE)
TIRADS = ("1", "2", "3", "4", "4a", "4b", "4c", "5", "6", "")  # '': not graded
TIRADS_BENIGN = ("2", "3")
UNKNOWN = -1  # the label of a case whose grade gives none
MAX_PIXELS = 100_000  # a coordinate


def read_xml(path: Path, root: str) -> ElementTree.Element:
    """The element `root` of an XML file of at most 1 MiB.

    Raises UsageError: unreadable, too large, not XML, another root, nested too deep, or with a document type declaration,
    which alone could define entities (and so blow up a small file or name other files).
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def refuse(*_: object) -> None:
        raise UsageError(f"{path}: has a document type declaration; these files need none")

    def start(name: str, attributes: dict) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise UsageError(f"{path}: more than {MAX_DEPTH} elements inside each other")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        if path.stat().st_size > MAX_XML_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes are too many for such a file")
        parser.Parse(path.read_bytes(), True)
        element = builder.close()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: encodings that Python does not know
        raise UsageError(f"{path}: damaged XML ({error})") from None
    if element.tag != root:
        raise UsageError(f"{path}: {element.tag[:60]!r} where <{root}> is expected")
    return element


def find_text(element: ElementTree.Element, tag: str) -> str:
    """Text of the first child of that tag without outer spaces; '' where there is none."""
    return (element.findtext(tag) or "").strip()


def read_ddti(folder: Path, config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """ROIs uint8 (n, roi_side, roi_side), one case a contour (12_1-n2: case 12, picture 1, second contour), and notes.

    label: tirads_malignant is malignant, else 2 and 3 benign; cases of other grades or none are counted in notes["unused"].
    sha256 is the picture's. patient_id is the case number, but cases that share a picture (equal files or near-duplicates) are
    one patient, with the first of their numbers; a picture that would get both labels so is left out and counted.
    """
    files = walk_files(folder)
    marks, notes = list_marks([path for path in files if path.suffix.lower() == ".xml"], folder, config)
    paths, faults = _name_pictures(files, folder), notes["faults"]
    missing = [name for name, (_, boxes) in marks.items() if boxes and name not in paths]
    faults += [f"{name}.jpg: its contours are there, the picture is not" for name in missing]
    lines, images, seen = [], [], []

    def read_whole() -> Iterator[np.ndarray]:
        """The whole pictures, one after the other: together they may be larger than the memory."""
        for (name, path), found in read_ahead(lambda one: (read_picture(one[1]), hash_file(one[1])), list(paths.items())):
            if isinstance(found, UsageError):
                faults.append(str(found))
                continue
            picture, sha256 = found
            case = name.split("_")[0]
            label, boxes = marks.get(name, (UNKNOWN, []))
            seen.append((name, path.relative_to(folder).as_posix(), sha256, case, label))
            for number, box in enumerate(boxes if label != UNKNOWN else [], start=1):
                try:
                    images.append(cut_roi(picture, box, config))
                    lines.append((f"{name}-n{number}", len(seen) - 1))
                except UsageError as error:
                    faults.append(f"{path}: {error}")
            yield picture

    described = describe_images(read_whole())
    pictures = pd.DataFrame(seen, columns=["name", "path", "sha256", "patient_id", "label"])
    pictures["patient_id"], contradicting = _join_cases(pictures, described)
    cases = pictures.iloc[[row for _, row in lines]].reset_index(drop=True)
    cases.insert(0, "case_id", pd.Series([case_id for case_id, _ in lines], dtype=str))
    keep = ~cases["path"].isin(pictures["path"].iloc[contradicting]).to_numpy()
    cases = cases[keep].reset_index(drop=True)[CASE_COLUMNS]
    unmarked = len(paths.keys() - marks.keys())
    unused = {
        **notes["unused"], "pictures without a mark": unmarked, "nodules on pictures with both labels": int((~keep).sum())
    }  # fmt: skip
    notes = {**notes, "pictures": len(paths), "unused": {what: n for what, n in unused.items() if n}}
    return stack_rois(images, config)[keep], cases, notes


def _name_pictures(files: list[Path], folder: Path) -> dict[str, Path]:
    """<case>_<picture> -> its file."""
    found: dict[str, Path] = {}
    for path in files:
        match = PICTURE_NAME.fullmatch(path.name)
        if match and match[1] in found:
            both = f"{found[match[1]].relative_to(folder)} and {path.relative_to(folder)}"
            raise UsageError(f"{folder}: two files for picture {match[1]}: {both}; keep one copy of the collection")
        if match:
            found[match[1]] = path
    return found


def _join_cases(pictures: pd.DataFrame, described: Descriptions) -> tuple[pd.Series, list[int]]:
    """Joined patient ids of all pictures, graded or not, and positions of those whose copies have the other label."""
    if pictures.empty:
        return pictures["patient_id"], []
    copies = find_near_duplicates(described)
    pairs = [(int(a), int(b)) for a, b in zip(copies["index_a"], copies["index_b"], strict=True)]
    for rows in pictures.groupby("sha256").indices.values():
        pairs += [(int(rows[0]), int(row)) for row in rows[1:]]
    labels = pictures["label"].to_numpy()
    torn = [(a, b) for a, b in pairs if {labels[a], labels[b]} == {0, 1}]
    return join_patients(pictures, pairs), sorted({row for pair in torn for row in pair})


def list_marks(files: list[Path], folder: Path, config: Config) -> tuple[dict[str, tuple[int, list[Box]]], dict]:
    """<case>_<picture> -> (label, or UNKNOWN where the grade gives none; boxes of its contours), and notes.

    notes: `faults` [text]; `unused` {what: number}; `xml_files` and `grades` {TI-RADS: cases}.
    """
    if not files:
        raise UsageError(f"{folder}: not the expected layout: <case>.xml and <case>_<picture>.jpg, but there is no XML file")
    marks: dict[str, tuple[int, list[Box]]] = {}
    faults: list[str] = []
    unused = {"nodules without a TI-RADS grade": 0, "nodules of other grades": 0, "marks without a contour": 0,
              "contours drawn again": 0}  # fmt: skip
    grades: dict[str, int] = {}
    cases: set[str] = set()
    for path in files:
        try:
            case, grade, drawn = _read_case(path, faults)
            if case in cases:
                raise UsageError(f"{path}: case {case} is there twice; keep one copy of the collection")
        except UsageError as error:
            faults.append(str(error))
            continue
        cases.add(case)
        grades[grade or "none"] = grades.get(grade or "none", 0) + 1
        label = 1 if grade in config.tirads_malignant else 0 if grade in TIRADS_BENIGN else UNKNOWN
        for name, boxes in drawn.items():
            several = list(dict.fromkeys(boxes))  # some contours were saved several times
            unused["contours drawn again"] += len(boxes) - len(several)
            unused["marks without a contour"] += not boxes
            if label == UNKNOWN:
                unused["nodules of other grades" if grade else "nodules without a TI-RADS grade"] += len(several)
            marks[name] = (label, several)
    return marks, {"faults": faults, "unused": unused, "xml_files": len(files), "grades": dict(sorted(grades.items()))}


def _read_case(path: Path, faults: list[str]) -> tuple[str, str, dict[str, list[Box]]]:
    """Case number, TI-RADS grade and the boxes of every marked picture of one XML file; a bad mark is a fault of its own."""
    root = read_xml(path, "case")
    number, grade = find_text(root, "number"), find_text(root, "tirads").lower()
    case = path.stem if path.stem.isascii() and path.stem.isdigit() else number
    if not re.fullmatch("[0-9]{1,6}", case) or number not in ("", case):
        raise UsageError(f"{path}: case number {number[:20]!r} is not that of the file name")
    if grade not in TIRADS:
        raise UsageError(f"{path}: TI-RADS {grade[:20]!r} is none of {', '.join(filter(None, TIRADS))} or empty")
    drawn: dict[str, list[Box]] = {}
    for mark in root.findall("mark"):
        picture = find_text(mark, "image")
        name = f"{case}_{picture}"
        if not re.fullmatch("[0-9]{1,3}", picture):
            faults.append(f"{path}: picture {picture[:20]!r} is no number")
            continue
        try:
            boxes = _read_contours(mark)
        except UsageError as error:
            faults.append(f"{path}: picture {picture}: {error}")
            continue
        drawn.setdefault(name, []).extend(boxes)  # several marks of one picture come together
    return case, grade, drawn


def _read_contours(mark: ElementTree.Element) -> list[Box]:
    """Boxes of the contours of one mark: its <svg> holds JSON [{"points": [{"x": 12, "y": 34}, ...], ...}, ...] or nothing."""
    text = find_text(mark, "svg")
    if not text:
        return []
    try:
        regions = json.loads(text)
        return [box_of_points(_read_points(region["points"])) for region in regions]
    except (ValueError, RecursionError) as error:
        raise UsageError(f"damaged contour ({str(error)[:80]})") from None
    except (TypeError, KeyError):
        raise UsageError('the contour is not of the form [{"points": [{"x": 12, "y": 34}, ...]}]') from None


def _read_points(points: list) -> np.ndarray:
    """Points (n, 2) float64: x, y."""
    pairs = [(point["x"], point["y"]) for point in points]
    for value in [value for pair in pairs for value in pair]:
        if not isinstance(value, int | float) or not 0 <= value <= MAX_PIXELS:
            raise UsageError(f"a contour with a point at {str(value)[:20]!r}")
    return np.array(pairs, np.float64).reshape(-1, 2)
