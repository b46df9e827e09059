"""Data of the lung and hip comparison for its tests: pictures, patches, case tables, and damage to a picture."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from common.cases.prepared import Dataset, load_dataset
from replications.lung_hip_compare import data


def prepare(dataset, source, config, folder, **options):
    data.prepare_dataset(dataset, source, config, folder, **options)
    return load_dataset(folder)


def save_jpeg(path: Path, size=(50, 50), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)).save(path, "JPEG")


def write_patches(folder: Path):
    """Ready patches as they are published: 40 for training, 20 for the test, 5 for validation; every fifth a nodule."""
    for split, count, first in (("train", 40, 0), ("test", 20, 4000), ("val", 5, 6000)):
        lines = []
        for index in range(count):
            name = f"{split}/image_{first + 100 * index}.jpg"
            save_jpeg(folder / "luna16_patches" / name, seed=first + index)
            lines.append(f"{name} {int(index % 5 == 0)}\n")
        (folder / "luna16_patches" / f"{split}datalabels.txt").write_text("".join(lines))


def damage(path: Path, kind: str):
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "wrong size":
        save_jpeg(path, (64, 64))
    elif kind == "too little left":
        save_jpeg(path, (50, 10))
    elif kind == "not an image":
        path.write_bytes(b"<html>404</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "missing":
        path.unlink()
    elif kind == "png":
        picture = io.BytesIO()
        Image.new("L", (50, 50)).save(picture, "PNG")
        path.write_bytes(picture.getvalue())
    elif kind == "cmyk":
        Image.new("CMYK", (50, 50)).save(path, "JPEG")
    elif kind == "bomb":  # a header that claims 65,000 x 65,000 pixels
        start = content.index(b"\xff\xc0") + 5
        path.write_bytes(content[:start] + b"\xfd\xe8\xfd\xe8" + content[start + 4 :])
    elif kind == "link out":
        path.rename(path.parents[2] / "outside.jpg")
        path.symlink_to(path.parents[2] / "outside.jpg")


def make_cases(count=8000, seed=0):
    rows = np.sort(np.random.default_rng(seed).choice(551_065, count, replace=False))
    return pd.DataFrame(
        {
            "case_id": [f"row-{row}" for row in rows],
            "path": "",
            "sha256": [f"{row:064x}" for row in rows],
            "patient_id": [f"rows-{row // 620 * 620}" for row in rows],
            "label": (np.arange(count) % 6 == 0).astype(int),
            "candidate_row": rows,
            "split": np.where(np.arange(count) % 4, "train", "test"),
        }
    )


def list_torn_patients(cases, fold) -> set[str]:
    """Patients on more than one side."""
    train, validation, test = (set(cases["patient_id"].iloc[i]) for i in (fold.train, fold.validation, fold.test))
    return (train & validation) | (train & test) | (validation & test)


def as_dataset(cases):
    return Dataset(np.zeros((len(cases), 2, 2, 1), np.uint8), cases, {})
