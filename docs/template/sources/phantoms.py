"""Phantoms in the format in which users have their pictures: grey PNG and a table. An ill picture shows a bright disc."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from common.csv_text import write_lines
from common.data.phantoms import blend, smooth_noise, soft_ellipsoid, to_uint8, write_once
from replications.new_paper.config import CLASSES, Config

SIZE = (80, 80)  # rows, columns


def write_phantoms(folder: Path, config: Config, seed: int, strength: float = 1.0) -> None:
    """Write pictures/cases.csv (path, label, patient) and pictures/*.png of phantom_patients patients, and a marker that the
    folder is synthetic.

    strength: how much the classes differ, 0 = not at all. The same seed gives the same files; whole ones stay as they are.
    Raises UsageError if the folder holds anything else.
    """
    settings = {name: value for name, value in asdict(config).items() if name.startswith("phantom_")}

    def write() -> None:
        _write_pictures(folder / "pictures", config, np.random.default_rng([seed, 1]), strength)

    write_once(folder, {"seed": seed, "settings": settings, "strength": strength}, ("pictures",), write)


def _write_pictures(folder: Path, config: Config, random: np.random.Generator, strength: float) -> None:
    folder.mkdir(parents=True)
    lines = []
    for patient in range(config.phantom_patients):
        label, grey = patient % 2, random.uniform(80, 120)  # a patient's own grey level
        for number in range(config.phantom_images):
            picture = grey + 15 * smooth_noise(SIZE, 3.0, random)
            centre = random.uniform(25, 55, 2)
            blend(picture, soft_ellipsoid(SIZE, centre, (9.0, 9.0)), grey + 80, strength * label)
            name = f"p{patient:03d}-{number}.png"
            Image.fromarray(to_uint8(picture)).save(folder / name)
            lines.append((name, CLASSES[label], f"p{patient:03d}"))
    write_lines(folder / "cases.csv", [("path", "label", "patient"), *lines])
