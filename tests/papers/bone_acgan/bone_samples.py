"""Small folders of scans in the layouts that the package reads."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from replications.bone_acgan.config import CLASSES, SMOKE
from replications.bone_acgan.sources.dicom import write_scan

SMALL = replace(SMOKE, phantom_patients=12, phantom_chests=12, picture_height=64, picture_width=32)


def draw_counts(seed: int) -> np.ndarray:
    """Two views uint16 (2, 160, 60): a body that differs with the seed."""
    random = np.random.default_rng(seed)
    base = np.zeros((160, 60), np.float32)
    cv2.ellipse(base, (30, 20), (8, 11), 0, 0, 360, 30, -1)
    cv2.rectangle(base, (18 - seed % 4, 30), (42 + seed % 3, 90 + seed % 7), 20, -1)
    cv2.rectangle(base, (20, 90), (27, 150), 15, -1)
    cv2.rectangle(base, (33, 90), (40, 150 - seed % 5), 15, -1)
    cv2.circle(base, (22 + 3 * (seed % 6), 40 + 7 * (seed % 9)), 4, 60, -1)
    return np.stack([random.poisson(base + 0.2), random.poisson(base[:, ::-1] + 0.2)]).astype(np.uint16)


def write_own(folder: Path, labels: list[str]) -> None:
    """bone_scans/ with a DICOM of two views a patient."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,patient"]
    for number, label in enumerate(labels):
        write_scan(folder / f"p{number}.dcm", draw_counts(number), f"secret-{number}", 2.4)
        lines.append(f"p{number}.dcm,{label},patient{number}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")


def write_bs80k(folder: Path, count: int = 4) -> None:
    """BS-80K: two views of each of `count` patients, every second one abnormal."""
    for part, view in (("wholeBodyANT", 0), ("wholeBodyPOST", 1)):
        (folder / part).mkdir(parents=True)
        lines = []
        for number in range(count):
            picture = np.clip(draw_counts(number)[view] * 4, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / part / f"{number:04d}.jpg"), picture)
            lines.append(f"{number:04d}.jpg {number % 2}")
        (folder / part / "labels.txt").write_text("\n".join(lines))


LABELS = [CLASSES[number % 3] for number in range(12)]
