"""The source domain of the GANs (sec. 3.4): chest radiographs of four classes, and phantoms of them.

The COVID-19 Radiography Database (21,165 pictures: 3616 COVID, 6012 lung opacity, 10,192 normal, 1345 viral pneumonia) has a
folder a class, with the pictures in `images/` below it or right in it. The paper calls what stays of these pictures "CT
features"; they are radiographs.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.data.folder import walk_files
from common.data.phantoms import smooth_noise
from common.data.pictures import read_picture
from common.data.reading import read_ahead
from common.errors import UsageError
from common.files import hash_file
from replications.bone_acgan.config import Config

CHESTS = ("COVID-19", "lung opacity", "normal", "viral pneumonia")  # sec. 3.4
FOLDERS = {"covid": 0, "lung_opacity": 1, "normal": 2, "viral pneumonia": 3, "viral_pneumonia": 3}
PICTURES = (".png", ".jpg", ".jpeg")
SIDE = 96  # pixels of a phantom


def read_chests(folder: Path, config: Config) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Pictures uint8 (n, height, width) of the GAN's size, stretched to it; cases and notes.

    The labels are the numbers of CHESTS; a class that is not there is said in notes["missing_classes"]. Masks are left out. No
    patients are published: each picture counts as one.
    """
    faults: list[str] = []
    pictures, lines = [], []
    found = []
    for path in sorted(walk_files(folder)):
        parts = [part.lower() for part in path.relative_to(folder).parts[:-1]]
        label = next((FOLDERS[part] for part in parts if part in FOLDERS), None)
        if label is not None and "masks" not in parts and path.suffix.lower() in PICTURES:
            found.append((path, label))

    def read(one: tuple[Path, int]) -> tuple[np.ndarray, str]:
        picture = cv2.resize(read_picture(one[0]), (config.width, config.height), interpolation=cv2.INTER_AREA)
        return picture, hash_file(one[0])

    for (path, label), made in read_ahead(read, found, "reading chest radiographs"):
        if isinstance(made, UsageError):
            faults.append(str(made))
            continue
        name = path.relative_to(folder).as_posix()
        pictures.append(made[0])
        lines.append((name, name, made[1], name, label))
    if not lines:
        raise UsageError(f"{folder}: no pictures in folders COVID, Lung_Opacity, Normal, Viral Pneumonia")
    cases = pd.DataFrame(lines, columns=["case_id", "path", "sha256", "patient_id", "label"])
    missing = [name for label, name in enumerate(CHESTS) if label not in set(cases["label"])]
    return np.stack(pictures), cases, {"faults": faults, "missing_classes": missing}


def write_chests(folder: Path, count: int, seed: int) -> None:
    """Write <class>/images/<n>.png, `count` phantoms of chest radiographs of four classes by turns. The same seed gives the same
    files."""
    for number in range(count):
        label = number % len(CHESTS)
        place = folder / ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")[label] / "images"
        place.mkdir(parents=True, exist_ok=True)
        picture = draw_chest(label, np.random.default_rng([seed, 3, number]))
        cv2.imwrite(str(place / f"phantom{number:04d}.png"), picture)


def draw_chest(label: int, random: np.random.Generator) -> np.ndarray:
    """A phantom uint8 (SIDE, SIDE): two dark lungs between bright mediastinum and ribs, with the shadows of its class.

    0: patches at the edges of both lungs; 1: one large shadow; 2: clear; 3: streaks from the middle of both.
    """
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    picture = 0.62 + 0.08 * smooth_noise((SIDE, SIDE), 8.0, random)
    width, height, gap = random.uniform(0.15, 0.19), random.uniform(0.30, 0.36), random.uniform(0.20, 0.23)
    lungs = np.zeros((SIDE, SIDE))
    shadow = np.zeros((SIDE, SIDE))
    for side in (-1, 1):
        x, y = (columns - side * gap) / width, (rows + 0.02) / height
        lung = 1 / (1 + np.exp(12 * (np.hypot(x, y) - 1)))
        lungs = np.maximum(lungs, lung)
        if label == 0:
            for _ in range(3):
                angle = random.uniform(-1.2, 1.2) + (0 if side > 0 else np.pi)
                shadow += _blot(x - 0.75 * np.cos(angle), y - 0.75 * np.sin(angle), random.uniform(0.25, 0.4))
        elif label == 3:
            for _ in range(5):
                angle = random.uniform(0, 2 * np.pi)
                shadow += 0.6 * _blot(x + 0.5 * side + 0.3 * np.cos(angle), y - 0.5 * np.sin(angle), 0.2)
    if label == 1:
        side = random.choice((-1, 1))
        shadow += 1.4 * _blot((columns - side * gap) / width, (rows - random.uniform(-0.1, 0.2)) / height, 0.7)
    ribs = 0.06 * np.sin(2 * np.pi * (9 * rows + 2 * columns**2 + random.uniform(0, 1)))
    picture = picture - lungs * (0.42 - 0.30 * np.minimum(shadow, 1) - ribs)
    picture += 0.25 * np.exp(-((columns / 0.07) ** 2)) * (1 - lungs)
    picture += 0.02 * random.normal(size=picture.shape)
    return np.clip(255 * picture, 0, 255).astype(np.uint8)


def _blot(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.exp(-(x**2 + y**2) / (2 * radius**2))
