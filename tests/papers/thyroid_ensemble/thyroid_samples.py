"""Drawn thyroid pictures in the layout of every source, and how a test prepares them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from common.cases.prepared import Dataset, load_dataset
from replications.thyroid_ensemble import data, rois
from replications.thyroid_ensemble.config import PAPER

WIDTH, HEIGHT = 90, 70  # of the drawn pictures


def draw(seed: int, size=(WIDTH, HEIGHT)) -> Image.Image:
    """Noise of large grains: every seed another picture."""
    grains = np.random.default_rng(seed).integers(0, 256, (12, 14), dtype=np.uint8)
    return Image.fromarray(grains).resize(size, Image.Resampling.BILINEAR)


def save(path: Path, seed: int, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(seed, size).save(path)


def write_own(folder: Path, patients=12, frames=2):
    """thyroid/: pictures with a box each, every second patient malignant."""
    lines = ["path,label,patient,x0,y0,x1,y1"]
    for patient in range(patients):
        for frame in range(frames):
            name = f"p{patient}_{frame}.png"
            save(folder / "thyroid" / name, 10 * patient + frame)
            lines.append(f"{name},{('benign', 'malignant')[patient % 2]},patient {patient},20,15,60,45")
    (folder / "thyroid" / "cases.csv").write_text("\n".join(lines) + "\n")


def draw_contour(x0, y0, x1, y1) -> dict:
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return {"points": [{"x": x, "y": y} for x, y in corners], "annotation": {}, "regionType": "freehand"}


def write_case(folder: Path, number: int, grade: str, marks: dict[int, list[dict]], seeds: dict[int, int] | None = None):
    """One DDTI case: <number>.xml and its pictures; seeds: for pictures that are not drawn by their own number."""
    drawn = "".join(f"<mark><image>{k}</image><svg>{json.dumps(c) if c else ''}</svg></mark>" for k, c in marks.items())
    text = f"<case><number>{number}</number><age>40</age><sex>F</sex><tirads>{grade}</tirads>{drawn}</case>"
    (folder / "gt").mkdir(parents=True, exist_ok=True)
    (folder / "gt" / f"{number}.xml").write_text(text)
    for picture in marks:
        save(folder / "images" / f"{number}_{picture}.jpg", (seeds or {}).get(picture, 1000 + 10 * number + picture))


def write_ddti(folder: Path, cases=12):
    """ddti/: case k has one picture with a contour, from the fourth on two; grades by turns benign and malignant."""
    for number in range(1, cases + 1):
        marks = {1: [draw_contour(10, 10, 40, 40)]}
        if number > 3:
            marks[2] = [draw_contour(5, 5, 30, 25), draw_contour(50, 30, 80, 60)]
        write_case(folder / "ddti", number, ("2", "4a", "3", "5")[number % 4], marks)


def write_tn5000(folder: Path, inner="TN5000_forReview"):
    root = folder / "tn5000" / inner
    lists = {"train": range(20), "val": range(20, 25), "test": range(25, 35)}
    for split, numbers in lists.items():
        names = [f"{number:06d}" for number in numbers]
        for number, name in zip(numbers, names, strict=True):
            save(root / "JPEGImages" / f"{name}.jpg", 5000 + number)
            (root / "Annotations").mkdir(exist_ok=True)
            (root / "Annotations" / f"{name}.xml").write_text(
                f"<annotation><filename>{name}.jpg</filename><object><name>{number % 2}</name><bndbox><xmin>11</xmin>"
                f"<ymin>21</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object></annotation>"
            )
        (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")


def write_tn3k(folder: Path):
    for part, count, seed in (("trainval", 20, 6000), ("test", 8, 7000)):
        lines = []
        for number in range(count):
            name = f"{number:04d}.jpg"
            save(folder / "tn3k" / f"{part}-image" / name, seed + number)
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[20:50, 10:60] = 255
            mask[60:64, 80:84] = 255  # a second, smaller part
            path = folder / "tn3k" / f"{part}-mask" / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(mask).save(path)
            lines.append(f"{name},{number % 2}\n")
        (folder / "tn3k" / f"label4{part}.csv").write_text("".join(lines))


def write_hou2024(folder: Path):
    """Six patients with two pictures in either batch; in the second the names are unreadable. Each has one without a label."""
    root = folder / "hou2024" / "26067475"
    for batch, first in ((1, 1), (2, 601)):
        home = root if batch == 1 else root / "batch2_image"
        pictures, labels = ["patient_name,path"], ["patient_index,patient_name,histo_label"]
        for index in range(first, first + 7):
            name = f"Name{index}" if batch == 1 else "??"
            if index < first + 6:
                labels.append(f"{index},{name},{index % 2}")
            for frame in (1, 2):
                path = f"{name}_00{frame}.Jpg" if batch == 1 else f"months/{index}/x_00{frame}.Jpg"
                save(home / ("dataset" if batch == 1 else "") / path, 8000 + 10 * index + frame)
                pictures.append(f"{name},{path}")
        (home / f"batch{batch}_image.csv").write_text("\n".join(pictures) + "\n", encoding="utf-8-sig")
        (home / f"batch{batch}_image_label.csv").write_text("\n".join(labels) + "\n", encoding="utf-8-sig")


WRITERS = {"own": write_own, "hou2024": write_hou2024, "tn5000": write_tn5000, "tn3k": write_tn3k, "ddti": write_ddti}


def prepare(folder: Path, out: Path, config=PAPER, **options) -> Dataset:
    data.prepare_dataset(data.find_source(folder, config), config, out, **options)
    return load_dataset(out)


def cut_by_hand(path: Path, box) -> np.ndarray:
    with Image.open(path) as picture:
        return rois.cut_roi(np.asarray(picture.convert("L")), box, PAPER)
