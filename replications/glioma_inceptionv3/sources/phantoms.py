"""Phantoms: brain volumes as NRRD with the tumour as a segment of 3D Slicer, and the table of grades.

What two slices of a subject share is known. All that is random in a slice (tissue, the tumour's place and outline) is a mixture
of what the subject has and what the slice has alone, of equal variance whatever the shares: `phantom_texture`, 0 to 1, is the
subject's. The tumour also has two patterns: a smooth one that is the subject's, of strength `phantom_texture`, drawn without the
grade, and the grade's, the same in all subjects of a grade, of strength `phantom_signal`. So with texture alone a slice tells the
subject and not the grade; with signal alone it tells the grade, and nothing about its subject. Smooth, as networks of random
weights keep what is smooth and lose fine detail.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from common.csv_text import write_lines
from common.data.phantoms import blend, smooth_noise, soft_ellipsoid, write_once
from common.data.unmarked import choose_unmarked, write_unmarked
from replications.glioma_inceptionv3.config import CLASSES, Config

SIDE, EMPTY = 64, 3  # pixels of a slice; slices without lesion at either end
SPACING = (3.0, 3.0, 5.0)  # mm along x, y, z: the head is 180 mm long
SHARES = (34 / 80, 24 / 80)  # of grades II and III, tables 1 to 5
SKULL, BRAIN, TUMOUR, NOISE = 900.0, 420.0, 520.0, 4.0  # grey levels; sec. 2.4: 0 to 1024
SPAN = 500.0  # grey levels from black to white of a pattern of strength 1
TISSUE, GRAIN = 110.0, 4.0  # of the brain: grey levels, pixels
HEAD = 0.02  # deviation of the radii of the head, share
RADII, PLACE, SHAPE = (12.0, 11.0), 6.0, 0.15  # of the tumour: pixels; deviation of its centre, pixels; of its radii, share
SMALL = 0.25  # radius of the first and the last lesion slice, which the area filter drops, by that of the others
# Share of the subject at texture 1. That of the tissue is lower: else most neighbours would count as near-duplicates.
OWN = {"tissue": 0.6, "head": 0.97, "place": 0.97, "shape": 0.97}
CELLS, EDGE = 3, 3.0  # the subject's pattern: CELLS x CELLS levels; pixels over which the tumour ends
SITES = ("A", "B", "C")
UNMARKED = 0.4  # share of the rarest grade's subjects in a run's phantoms, and as many of each other, without the grade's pattern


def write_phantoms(folder: Path, config: Config, seed: int, strength: float | None = None, unmarked: float = 0.0) -> None:
    """Write glioma/subjects.csv (subject, grade, site), glioma/<subject>/sample.nrrd with sample.seg.nrrd, and a marker that the
    folder is synthetic.

    phantom_subjects subjects in the report's shares of the grades, each with about phantom_slices slices that the area filter
    keeps, and two that it drops; strength: of the grade's pattern, instead of phantom_signal; unmarked: share of the subjects of
    the rarest grade, and as many of each other, that have none. The same seed gives the same files; files that are there, whole,
    stay as they are. Raises UsageError if the folder holds anything else.
    """
    settings = {name: value for name, value in asdict(config).items() if name.startswith("phantom_")}
    signal = config.phantom_signal if strength is None else strength

    def write() -> None:
        (folder / "glioma").mkdir(parents=True)
        _write_subjects(folder / "glioma", config, seed, signal, unmarked)

    recipe = {"seed": seed, "settings": settings, "strength": signal} | ({"unmarked": unmarked} if unmarked else {})
    write_once(folder, recipe, ("glioma",), write)


def _write_subjects(folder: Path, config: Config, seed: int, signal: float, unmarked: float) -> None:
    random = np.random.default_rng([seed, 1])
    count = config.phantom_subjects
    first, second = (round(count * share) for share in SHARES)
    grades = random.permutation(np.repeat(np.arange(3), (first, second, count - first - second)))
    sites = random.choice(SITES, count)
    counts = np.maximum(config.phantom_slices + random.permutation(np.arange(count) % 3 - 1), 1)
    hidden = choose_unmarked(grades, unmarked)
    if unmarked:
        write_unmarked(folder, [f"phantom{number:03d}" for number in np.flatnonzero(hidden)])
    lines = []
    for number, (grade, site, slices) in enumerate(zip(grades, sites, counts, strict=True)):
        name = f"phantom{number:03d}"
        volume, mask = draw_subject(
            int(grade),
            int(slices) + 2,
            0.0 if hidden[number] else signal,
            config.phantom_texture,
            np.random.default_rng([seed, 2, number]),
        )
        (folder / name).mkdir()
        _write_volume(folder / name / "sample.nrrd", volume)
        _write_segments(folder / name / "sample.seg.nrrd", mask)
        lines.append([name, f"Grade {CLASSES[grade]}", site])
    write_lines(folder / "subjects.csv", [["subject", "grade", "site"], *lines])


def draw_subject(
    grade: int, slices: int, signal: float, texture: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A volume int16 (slices + 2 * EMPTY, SIDE, SIDE) and its tumour bool of the same shape. grade: 0, 1, 2."""

    def draw() -> dict[str, np.ndarray]:
        drawn = {name: random.uniform(-1, 1, 2) for name in ("head", "place", "shape")}
        drawn["pattern"] = random.uniform(-1, 1, (CELLS, CELLS))
        return drawn | {"tissue": smooth_noise((SIDE, SIDE), GRAIN, random)}

    subject = draw()
    middle = np.array([SIDE / 2, SIDE / 2])
    volume, masks = [], []
    for place in range(-EMPTY, slices + EMPTY):
        alone, mixed = draw(), {}
        for name, own in OWN.items():
            share = own * min(texture, 1.0)
            mixed[name] = share * subject[name] + np.sqrt(1 - share**2) * alone[name]
        plane = np.zeros((SIDE, SIDE), np.float32)
        blend(plane, soft_ellipsoid(plane.shape, middle, np.array([29, 24]) * (1 + HEAD * mixed["head"])), SKULL)
        box, weights = soft_ellipsoid(plane.shape, middle, np.array([26.5, 21.5]) * (1 + HEAD * mixed["head"]))
        plane[box] += weights * (BRAIN + TISSUE * mixed["tissue"][box] - plane[box])
        mask = np.zeros(plane.shape, bool)
        if 0 <= place < slices:
            size = SMALL if slices > 2 and place in (0, slices - 1) else 1.0
            radii = size * np.array(RADII) * (1 + SHAPE * mixed["shape"])
            centre = middle + PLACE * mixed["place"]
            box, weights = soft_ellipsoid(plane.shape, centre, radii, EDGE)
            rows, columns = ((grid - point) / radius for grid, point, radius in zip(np.ogrid[box], centre, radii, strict=True))
            pattern = texture * draw_pattern(subject["pattern"] + 0.05 * alone["pattern"], rows, columns)
            level = TUMOUR + SPAN / 2 * (pattern + signal * draw_grade(grade, rows, columns))
            plane[box] += weights * (level - plane[box])
            mask[box] = weights > 0.5
        plane += NOISE * smooth_noise(plane.shape, 1.0, random)
        volume.append(plane)
        masks.append(mask)
    return np.clip(np.rint(volume), 0, 2047).astype(np.int16), np.array(masks)


def draw_pattern(levels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The subject's pattern: levels (CELLS, CELLS) at points of the square -1..1, linear between them; rows (h, 1), columns
    (1, w): places in units of the tumour's half axes."""
    places = np.broadcast_arrays(*((place + 1) / 2 * (CELLS - 1) for place in (rows, columns)))
    return map_coordinates(levels, places, order=1, mode="nearest")


def draw_grade(grade: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The grade's pattern, -1..1: dark in II, bright in III, in IV a bright rim around a dark core."""
    reach = np.sqrt(rows**2 + columns**2)
    return (np.full_like(reach, -0.7), np.full_like(reach, 0.7), np.where(reach > 0.6, 1.0, -1.0))[grade]


def _write_volume(path: Path, voxels: np.ndarray) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(path), useCompression=True)


def _write_segments(path: Path, mask: np.ndarray) -> None:
    """As 3D Slicer writes it: cropped to the segment, with the segment's description as key:=value pairs."""
    spans = [np.flatnonzero(mask.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2), (0, 1))]
    cut = mask[tuple(slice(first, last + 1) for first, last in spans)]
    offset = [int(span[0]) for span in spans[::-1]]
    header = [
        "NRRD0004", "type: unsigned char", "dimension: 3", "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, cut.shape[::-1]))}",
        "space directions: " + " ".join(f"({x:g},{y:g},{z:g})" for x, y, z in np.diag(SPACING)),
        "kinds: domain domain domain", "encoding: raw",
        f"space origin: ({','.join(f'{place * step:g}' for place, step in zip(offset, SPACING, strict=True))})",
        "Segment0_ID:=Segment_1", "Segment0_Name:=tumor", "Segment0_LabelValue:=1", "Segment0_Layer:=0",
        f"Segment0_Extent:={' '.join(f'0 {size - 1}' for size in cut.shape[::-1])}",
        f"Segmentation_ReferenceImageExtentOffset:={' '.join(map(str, offset))}",
    ]  # fmt: skip
    path.write_bytes(("\n".join(header) + "\n\n").encode() + cut.astype(np.uint8).tobytes())
