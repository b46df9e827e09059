"""Readers of thyroid_ensemble: tables, lists, marks, masks and pictures of every collection, new pictures."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
from mutator import renew_checksums
from PIL import Image
from reader import Reader, check_read, is_chosen, raise_first
from thyroid_samples import draw, draw_contour, save, write_case, write_own

from common.data.pictures import read_picture
from replications.thyroid_ensemble import data, predict
from replications.thyroid_ensemble.config import PAPER, SMOKE
from replications.thyroid_ensemble.sources import ddti

TN5000, HOU = "tn5000/TN5000_forReview", "hou2024/26067475"


def write_table(folder: Path, name: str) -> Path:
    write_own(folder, patients=3, frames=1)
    return folder / "thyroid" / name


def write_tn5000(folder: Path, name: str) -> Path:
    root = folder / TN5000
    for split, number in (("train", 1), ("val", 2), ("test", 3)):
        save(root / "JPEGImages" / f"{number:06d}.jpg", number)
        for place, file, text in (
            ("ImageSets/Main", f"{split}.txt", f"{number:06d}\n"),
            ("Annotations", f"{number:06d}.xml",
             f"<annotation><filename>{number:06d}.jpg</filename><object><name>{number % 2}</name><bndbox><xmin>11</xmin>"
             f"<ymin>21</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object></annotation>"),
        ):  # fmt: skip
            (root / place).mkdir(parents=True, exist_ok=True)
            (root / place / file).write_text(text)
    return root / name


def write_tn3k(folder: Path, name: str) -> Path:
    for part, seed in (("trainval", 60), ("test", 70)):
        lines = []
        for number in range(2):
            save(folder / "tn3k" / f"{part}-image" / f"{number:04d}.jpg", seed + number)
            mask = np.zeros((70, 90), np.uint8)
            mask[20:50, 10:60] = mask[60:64, 80:84] = 255
            (folder / "tn3k" / f"{part}-mask").mkdir(exist_ok=True)
            Image.fromarray(mask).save(folder / "tn3k" / f"{part}-mask" / f"{number:04d}.jpg")
            lines.append(f"{number:04d}.jpg,{number % 2}\n")
        (folder / "tn3k" / f"label4{part}.csv").write_text("".join(lines))
    return folder / "tn3k" / name


def write_hou(folder: Path, name: str) -> Path:
    """Two patients with two pictures in either batch, in the second with unreadable names."""
    for batch, first in ((1, 1), (2, 601)):
        home = folder / HOU / ("" if batch == 1 else "batch2_image")
        pictures, labels = ["patient_name,path"], ["patient_index,patient_name,histo_label"]
        for index in (first, first + 1):
            person = f"Name{index}" if batch == 1 else "??"
            labels.append(f"{index},{person},{index % 2}")
            for frame in (1, 2):
                path = f"{person}_00{frame}.Jpg" if batch == 1 else f"months/{index}/x_00{frame}.Jpg"
                save(home / ("dataset" if batch == 1 else "") / path, 80 + 10 * index + frame)
                pictures.append(f"{person},{path}")
        (home / f"batch{batch}_image.csv").write_text("\n".join(pictures) + "\n", encoding="utf-8-sig")
        (home / f"batch{batch}_image_label.csv").write_text("\n".join(labels) + "\n", encoding="utf-8-sig")
    return folder / HOU / name


def write_ddti(folder: Path, name: str) -> Path:
    for number in range(1, 4):
        marks = {1: [draw_contour(10, 10, 40, 40)]}
        if number == 2:
            marks[2] = [draw_contour(5, 5, 30, 25), draw_contour(50, 30, 80, 60)]
        write_case(folder / "ddti", number, ("2", "4a", "3")[number - 1], marks)
    return folder / "ddti" / name


def write_contours(folder: Path) -> Path:
    """The JSON of one case's contours alone, so that all changes get past the XML."""
    _, _, rest = write_ddti(folder, "gt/2.xml").read_text().partition("<svg>")
    (folder / "contours.json").write_text(rest.partition("</svg>")[0])
    return folder / "contours.json"


def read_contours(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    safe = "".join(letter for letter in text if letter.isprintable()).replace("&", "").replace("<", "")
    marks = path.parent / "ddti" / "gt" / "2.xml"
    before, _, rest = marks.read_text().partition("<svg>")
    marks.write_text(f"{before}<svg>{safe}</svg>{rest.partition('</svg>')[2]}", encoding="utf-8")
    read_marks(marks)


def read_marks(path: Path) -> None:
    folder = path.parents[1]
    marks, notes = ddti.list_marks([path], folder, PAPER)
    for label, boxes in marks.values():
        assert label in (0, 1, ddti.UNKNOWN)
        assert all(0 <= x0 < x1 and 0 <= y0 < y1 for x0, y0, x1, y1 in boxes)
    raise_first(notes["faults"], folder)


def find_source(kind: str, path: Path):
    home = next(place for place in path.parents if (place / {"own": "thyroid"}.get(kind, kind)).is_dir())
    return home, data.find_source(home, replace(PAPER, source=kind))


def read_kind(kind: str, path: Path) -> None:
    home, source = find_source(kind, path)
    images, cases, notes = data.READERS[kind](source.path, PAPER)
    assert images.shape[1:] == (128, 128)
    check_read(images, cases, notes, home)


def read_whole(kind: str, path: Path) -> None:
    """Of one damaged file in fifteen up to the joined patients: the search for copies takes long, and that of DDTI begins in its
    own reader."""
    home, source = find_source(kind, path)
    if is_chosen(path):
        check_read(*data.read_source(source, PAPER), home)
    elif kind == "own":
        read_kind(kind, path)
    elif path.suffix == ".xml":
        read_marks(path)
    else:
        read_picture(path)


def write_new(folder: Path, name: str, **options) -> Path:
    draw(5, (20, 15)).save(folder / name, **options)
    return folder / name


def read_new(path: Path) -> None:
    predict.read_roi(path, None, SMOKE)


def describe(kind: str, write, name: str, mend=bytes) -> Reader:
    return Reader(functools.partial(write, name=name), functools.partial(read_kind, kind), mend)


READERS = {
    "thyroid: own table": describe("own", write_table, "cases.csv"),
    "thyroid: own picture": describe("own", write_table, "p1_0.png", renew_checksums),
    "thyroid: list of TN5000": describe("tn5000", write_tn5000, "ImageSets/Main/train.txt"),
    "thyroid: XML of TN5000": describe("tn5000", write_tn5000, "Annotations/000003.xml"),
    "thyroid: labels of TN3K": describe("tn3k", write_tn3k, "label4test.csv"),
    "thyroid: mask of TN3K": describe("tn3k", write_tn3k, "test-mask/0001.jpg"),
    "thyroid: pictures of Hou 2024": describe("hou2024", write_hou, "batch1_image.csv"),
    "thyroid: labels of Hou 2024": describe("hou2024", write_hou, "batch2_image/batch2_image_label.csv"),
    "thyroid: marks of DDTI": Reader(functools.partial(write_ddti, name="gt/2.xml"), read_marks),
    "thyroid: contours of DDTI": Reader(write_contours, read_contours),
    "thyroid: own table, prepared": Reader(
        functools.partial(write_table, name="cases.csv"), functools.partial(read_whole, "own")
    ),
    "thyroid: DDTI's picture, prepared": Reader(
        functools.partial(write_ddti, name="images/2_2.jpg"), functools.partial(read_whole, "ddti")
    ),
    "thyroid: DDTI's marks, prepared": Reader(
        functools.partial(write_ddti, name="gt/2.xml"), functools.partial(read_whole, "ddti")
    ),
    "thyroid: new TIFF": Reader(functools.partial(write_new, name="d.tif"), read_new),
    "thyroid: new LZW TIFF": Reader(functools.partial(write_new, name="d.tif", compression="tiff_lzw"), read_new),
    "thyroid: new BMP": Reader(functools.partial(write_new, name="c.bmp"), read_new),
}
