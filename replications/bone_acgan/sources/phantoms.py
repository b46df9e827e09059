"""Phantoms: whole-body bone scans as nuclear-medicine DICOM, two frames a patient, the table of their classes, where their
lesions lie; and chest radiographs, the source domain.

What two views of a patient share is known: the anatomy (of strength `phantom_anatomy`) and the lesions (`phantom_signal`). Of the
anatomy the regions of the skeleton tell a patient best: how much each takes up is the patient's own, drawn without the class, and
as much on both sides, as one view is nearly the other's mirror image and small networks see a mirrored picture as another.
Metastases are several asymmetric foci of the axial skeleton; benign changes are joints of both sides, or a single focus.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from common.csv_text import write_lines
from common.data.phantoms import write_once
from common.data.unmarked import choose_unmarked, write_unmarked
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.sources.anatomy import COLUMNS, MM_PER_PIXEL, ROWS, Lesion, draw_anatomy, expect_counts
from replications.bone_acgan.sources.chests import write_chests
from replications.bone_acgan.sources.dicom import write_scan

CHESTS = "chests"  # folder
TABLE, LESIONS = "cases.csv", "lesions.npz"
VISIBLE = 2.0  # counts of a pixel
SHARES = (0.4682, 0.3642)  # of health and metastases, Table 1
UNMARKED = 0.5  # share of the rarest class's patients in a run's phantoms, and as many of each other, whose views show no lesion
# Places of lesions: x, y (mm), how much the anterior and the posterior view show.
SPINE = [(0, y, 0.45 if y > 560 else 0.3, 1.0) for y in range(235, 730, 27)]
RIBS = [(70, 345, 0.5, 0.9), (100, 380, 0.7, 0.8), (120, 425, 0.8, 0.8), (135, 465, 0.8, 0.8), (140, 505, 0.8, 0.8),
        (130, 550, 0.8, 0.8), (60, 470, 0.3, 1), (75, 520, 0.3, 1)]  # fmt: skip
PELVIS = [(90, 745, 0.8, 0.9), (120, 770, 0.9, 0.7), (70, 800, 0.5, 1), (50, 890, 0.9, 0.8), (100, 850, 0.9, 0.7),
          (30, 790, 0.3, 1)]  # fmt: skip
OTHERS = [(35, 80, 0.8, 0.8), (0, 360, 1, 0.2), (0, 420, 1, 0.2), (105, 940, 0.8, 0.8), (180, 350, 0.8, 0.8),
          (88, 395, 0.2, 1)]  # fmt: skip
JOINTS = [(175, 322), (78, 1252), (66, 1605), (240, 868), (218, 628), (98, 848), (18, 318)]
SINGLE = [*SPINE[12:], *RIBS, (72, 1650, 0.9, 0.8), (80, 1270, 0.9, 0.7), (24, 690, 0.6, 1)]


def write_phantoms(folder: Path, config: Config, seed: int, strength: float = 1.0, unmarked: float = 0.0) -> None:
    """Write bone_scans/ and chests/, and a marker that the folder is synthetic.

    bone_scans: cases.csv (path, label, patient) and a file for each of phantom_patients patients, in the paper's shares of the
    classes; lesions.npz, where their lesions lie (`read_lesions`). chests: phantom_chests pictures (`chests.write_chests`).
    strength: factor on phantom_signal; unmarked: share of the patients of the rarest class, and as many of each other, of whose
    lesions the views show nothing. The same seed gives the same files; files that are there, whole, stay as they are.
    Raises UsageError if the folder holds anything else.
    """
    settings = {name: value for name, value in asdict(config).items() if name.startswith("phantom_")}

    def write() -> None:
        (folder / "bone_scans").mkdir(parents=True)
        _write_scans(folder / "bone_scans", config, seed, strength, unmarked)
        write_chests(folder / CHESTS, config.phantom_chests, seed)

    recipe = {"seed": seed, "settings": settings, "strength": strength} | ({"unmarked": unmarked} if unmarked else {})
    write_once(folder, recipe, ("bone_scans", CHESTS), write)


def _write_scans(folder: Path, config: Config, seed: int, strength: float, unmarked: float) -> None:
    count = config.phantom_patients
    first, second = (round(count * share) for share in SHARES)
    labels = np.repeat(np.arange(3), (first, second, count - first - second))
    labels = np.random.default_rng([seed, 1]).permutation(labels)
    hidden = choose_unmarked(labels, unmarked)
    if unmarked:
        write_unmarked(folder, [f"phantom{number:03d}" for number in np.flatnonzero(hidden)])
    lines, masks = [], {}
    for number, label in enumerate(map(int, labels)):
        name = f"phantom{number:03d}"
        random = np.random.default_rng([seed, 2, number])
        signal = 0.0 if hidden[number] else strength * config.phantom_signal
        counts, masks[f"{name}.dcm"] = draw_scan(label, config.phantom_anatomy, signal, random)
        write_scan(folder / f"{name}.dcm", counts, name, MM_PER_PIXEL)
        lines.append([f"{name}.dcm", CLASSES[label], name])
    packed: dict[str, Any] = {name: np.packbits(mask) for name, mask in masks.items()}
    np.savez_compressed(folder / LESIONS, **packed)
    write_lines(folder / TABLE, [["path", "label", "patient"], *lines])


def read_lesions(folder: Path) -> dict[str, np.ndarray]:
    """File name -> where lesions add to the counts of both views of a phantom: bool (2, ROWS, COLUMNS). folder: bone_scans/."""
    shape = (2, ROWS, COLUMNS)
    with np.load(folder / LESIONS, allow_pickle=False) as stored:
        return {name: np.unpackbits(stored[name], count=int(np.prod(shape))).reshape(shape).astype(bool) for name in stored.files}


def draw_scan(label: int, anatomy: float, signal: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the anterior and the posterior view of a patient, uint16 (2, ROWS, COLUMNS), with Poisson noise; and where
    lesions add VISIBLE or more counts: bool, the same shape."""
    body, lesions = draw_anatomy(random, anatomy), draw_lesions(label, signal, random)
    expected = np.stack([expect_counts(body, lesions, posterior) for posterior in (False, True)])
    plain = np.stack([expect_counts(body, [], posterior) for posterior in (False, True)]) if lesions else expected
    return np.minimum(random.poisson(expected), 2**16 - 1).astype(np.uint16), expected - plain >= VISIBLE


def draw_lesions(label: int, signal: float, random: np.random.Generator) -> list[Lesion]:
    """Lesions of a class, 0 for health, which has none."""

    def move(place: tuple[float, float, float, float], side: int, spread: float) -> tuple[float, float, float, float]:
        x, y, anterior, posterior = place
        return side * x + random.normal(0, spread), y + random.normal(0, spread), anterior, posterior

    def lay(place: tuple[float, float, float, float], radius: float, uptake: float) -> Lesion:
        return Lesion(place[0], place[1], radius, signal * uptake, *place[2:])

    if label == 1:
        sites = [*SPINE, *SPINE, *RIBS, *RIBS, *PELVIS, *PELVIS, *OTHERS]
        chosen = random.choice(len(sites), random.integers(4, 14), replace=False)
        return [lay(move(sites[i], random.choice((-1, 1)), 6), random.uniform(8, 17), random.uniform(0.9, 2.6)) for i in chosen]
    if label == 2 and random.random() < 0.8:
        found = []
        for joint in random.choice(len(JOINTS), random.integers(2, 5), replace=False):
            radius, uptake = random.uniform(12, 18), random.uniform(0.9, 1.7)
            for side in (-1, 1):
                place = move((*JOINTS[joint], 0.9, 0.8), side, 3)
                found.append(lay(place, radius * random.uniform(0.9, 1.1), uptake * random.uniform(0.8, 1.2)))
        return found
    if label == 2:
        place = move(SINGLE[random.integers(len(SINGLE))], random.choice((-1, 1)), 4)
        return [lay(place, random.uniform(12, 18), random.uniform(1.2, 1.8))]
    return []
