"""Phantoms in the paper's real formats: CT scans with candidates as LUNA16 has them, hip radiographs as JPEG with a table.

The two classes differ by one thing each, of tunable strength: a nodule, a fracture. With strength 0 they do not differ.
"""

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from common.csv_text import write_lines
from common.data.metaimage import read_header, voxel_to_world, write_volume
from common.data.phantoms import blend, smooth_noise, soft_capsule, soft_ellipsoid, to_uint8, write_once
from common.data.unmarked import choose_unmarked, write_unmarked
from replications.lung_hip_compare.config import Config

CT_SIZE = (20, 160, 176)  # slices, rows, columns: 25 pixels and more around the lungs
BODY = 144  # pixels across
CT_SPACING = (0.75, 0.75, 2.5)  # mm along x, y, z
SUBSETS = 10
UNMARKED = 0.25  # share of the fracture patients of a run's phantoms, and as many others, whose hips show nothing of their class
AIR, LUNG, TISSUE, NODULE, BONE = -1000.0, -850.0, 40.0, 350.0, 700.0  # HU; a nodule is seen on the chest wall, too
CT_BEND, HIP_BEND = (4.0, 16.0), (5.0, 40.0)  # pixels: deviation of outlines, and over which distance it changes
HIP_SIZE = (318, 382)  # rows, columns: 2544 x 3056 scaled by 1/8
HIP_CENTRES = ((150.0, 105.0), (150.0, 277.0))  # femoral heads of the standard pose, row and column
CROP_REACH = 52  # half the side of a hip's crop box


def write_phantoms(folder: Path, config: Config, seed: int, strength: float = 1.0, unmarked: float = 0.0) -> None:
    """Write luna16/ (luna_phantom_scans scans in subset folders, candidates.csv) and hips/ (hip_radiographs pictures,
    cases.csv with a crop box for each of hip_crops hips), and a marker that the folder is synthetic.

    unmarked: share of the fracture patients, and as many others, whose hips show nothing of their class. The same seed gives
    the same files; files that are there, whole, stay as they are. With luna_phantom_scans = 0 no scans are written. Raises
    UsageError if the folder holds anything else than phantoms.
    """
    settings = {name: value for name, value in asdict(config).items() if name.startswith(("luna_", "hip_"))}

    def write() -> None:
        if config.luna_phantom_scans:
            write_scans(folder / "luna16", config, np.random.default_rng([seed, 1]), strength)
        write_radiographs(folder / "hips", config, np.random.default_rng([seed, 2]), strength, unmarked)

    recipe = {"seed": seed, "settings": settings, "strength": strength} | ({"unmarked": unmarked} if unmarked else {})
    write_once(folder, recipe, ("luna16", "hips"), write)


def write_scans(folder: Path, config: Config, random: np.random.Generator, strength: float) -> None:
    """Scans of int16 HU; every third has flipped x and y axes, as some scans of LUNA16 have."""
    lines = []
    for index in range(config.luna_phantom_scans):
        scan = f"1.2.826.0.1.3680043.8.498.{index:04d}"
        subset = folder / f"subset{index % SUBSETS}"
        subset.mkdir(parents=True, exist_ok=True)
        count = config.luna_phantom_nodules
        voxels, points = draw_scan(count, count * config.luna_negatives_per_positive, random, strength)
        direction = np.diag([-1.0, -1.0, 1.0]) if index % 3 == 2 else np.eye(3)
        path = subset / f"{scan}.mhd"
        write_volume(path, voxels, CT_SPACING, random.uniform(-300, 300, 3).round(3), direction)
        worlds = voxel_to_world(read_header(path), points[:, ::-1])
        labels = np.arange(len(points)) < count
        order = random.permutation(len(points))  # candidates.csv does not sort a scan's rows by class
        lines += [[scan, *(f"{value:.6f}" for value in worlds[i]), int(labels[i])] for i in order]
    write_lines(folder / "candidates.csv", [["seriesuid", "coordX", "coordY", "coordZ", "class"], *lines])


def draw_scan(nodules: int, others: int, random: np.random.Generator, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """One CT: int16 HU (slices, rows, columns) and the candidates' voxels (n, 3), nodules first.

    Candidates of both classes lie on vessels, on the chest wall and free in the lung in the same shares; only nodules
    have a ball of 5 to 8 pixels radius, NODULE bright at strength 1.
    """
    volume = np.full(CT_SIZE, AIR, dtype=np.float32)
    middle = np.array(CT_SIZE[1:]) / 2 + random.uniform(-3, 3, 2)
    body = soft_ellipsoid(CT_SIZE[1:], middle, (BODY * 0.46, BODY * 0.48))
    blend(volume[(slice(None), *body[0])], ((slice(None),), body[1]), TISSUE)
    lungs = []
    for side in (-1, 1):
        centre = middle + (0, side * BODY * 0.22)
        radii = np.array([BODY * 0.34, BODY * 0.185]) * random.uniform(0.95, 1.05)
        lung = soft_ellipsoid(CT_SIZE[1:], centre, radii)
        blend(volume[(slice(None), *lung[0])], ((slice(None),), lung[1]), LUNG)
        lungs.append((centre, radii))
    spine = soft_ellipsoid(CT_SIZE[1:], middle + (BODY * 0.3, 0), (BODY * 0.09, BODY * 0.07))
    blend(volume[(slice(None), *spine[0])], ((slice(None),), spine[1]), BONE)
    volume[:] = bend(volume[0], *CT_BEND, random)  # so far all slices are alike
    vessels = [draw_vessel(volume, *lungs[index % 2], random) for index in range(16)]
    points = place_candidates(nodules + others, lungs, vessels, random)
    for point in points[:nodules]:
        radius = random.uniform(5, 8)
        blend(volume, soft_ellipsoid(CT_SIZE, point, (radius / 3, radius, radius), 1.5), NODULE, strength)
    volume += 30 * smooth_noise(CT_SIZE, 2, random)
    return np.clip(np.rint(volume), -1024, 3071).astype("<i2"), points


def bend(picture: np.ndarray, by: float, grain: float, random: np.random.Generator) -> np.ndarray:
    """Move every point a little, smoothly: no two bodies have the same outline, as no two patients have."""
    rows, columns = np.indices(picture.shape, dtype=np.float32)
    shifts = [np.float32(by) * smooth_noise(picture.shape, grain, random) for _ in range(2)]
    return cv2.remap(picture, columns + shifts[0], rows + shifts[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def draw_vessel(
    volume: np.ndarray, centre: np.ndarray, radii: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A tube from near the hilum outwards; its two ends, as (slice, row, column)."""
    angle, reach = random.uniform(0, 2 * np.pi), random.uniform(0.5, 0.9)
    start = np.array([random.uniform(2, CT_SIZE[0] - 3), *(centre + radii * random.uniform(-0.3, 0.3, 2))])
    end = np.array([random.uniform(2, CT_SIZE[0] - 3), *(centre + reach * radii * (np.sin(angle), np.cos(angle)))])
    blend(volume, soft_capsule(CT_SIZE, start, end, random.uniform(0.8, 1.8)), 0.0, 0.8)
    return start, end


def place_candidates(
    count: int,
    lungs: list[tuple[np.ndarray, np.ndarray]],
    vessels: list[tuple[np.ndarray, np.ndarray]],
    random: np.random.Generator,
) -> np.ndarray:
    """Voxels (count, 3) on vessels, at the wall or free, at least 9 pixels apart within neighbouring slices."""
    points: list[np.ndarray] = []
    margin = 3
    apart = 9.0
    tries = 0
    while len(points) < count:
        tries += 1
        if tries % 200 == 0:  # a crowded scan: let them come closer rather than never end
            apart *= 0.9
        kind = random.integers(3)
        centre, radii = lungs[random.integers(2)]
        angle = random.uniform(0, 2 * np.pi)
        point = np.array([random.uniform(margin, CT_SIZE[0] - 1 - margin), 0, 0])
        if kind == 0:
            start, end = vessels[random.integers(len(vessels))]
            point = start + random.uniform(0.2, 0.8) * (end - start)
            point[0] = np.clip(point[0], margin, CT_SIZE[0] - 1 - margin)
        else:
            reach = 0.93 if kind == 1 else np.sqrt(random.uniform(0, 0.6))
            point[1:] = centre + reach * radii * (np.sin(angle), np.cos(angle))
        point = np.rint(point)
        if all(abs(point[0] - other[0]) > 3 or np.hypot(*(point - other)[1:]) >= apart for other in points):
            points.append(point)
    return np.array(points)


def list_turns(pictures: int) -> list[int]:
    """Patient of each of so many pictures: about every third has two.

    >>> list_turns(7)
    [0, 1, 1, 2, 3, 3, 4]
    """
    turns: list[int] = []
    for index in range(pictures):
        again = index % 3 == 2 and turns[-2] != turns[-1]
        turns.append(turns[-1] + (not again) if turns else 0)
    return turns


def write_radiographs(folder: Path, config: Config, random: np.random.Generator, strength: float, unmarked: float) -> None:
    """Pelvic pictures as JPEG; about every third patient has two of them, of the same class.

    Crops (sec. 2.1: more crops than fractured pictures, fewer than healthy ones): one hip a picture as long as that
    suffices, then both hips of the first pictures.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    turns = [list_turns(pictures) for pictures in config.hip_radiographs]
    firsts = [0, turns[0][-1] + 1]  # patient of each class's first picture
    hidden = choose_unmarked(np.repeat([0, 1], [of[-1] + 1 for of in turns]), unmarked)
    if unmarked:
        write_unmarked(folder, [f"p{patient:03d}" for patient in np.flatnonzero(hidden)])
    lines = []
    for label, (pictures, crops) in enumerate(zip(config.hip_radiographs, config.hip_crops, strict=True)):
        for index in range(pictures):
            patient = firsts[label] + turns[label][index]
            if not index or turns[label][index] != turns[label][index - 1]:
                pose, body = random.uniform(-1, 1, 6), int(random.integers(2**32))
            hips = 2 if index < crops - pictures else 1 if index < crops else 0
            sides = [0, 1] if hips == 2 else [int(random.integers(2))]
            broken = sides if label and not hidden[patient] else []
            name = f"images/{'fracture' if label else 'normal'}_{index:03d}.jpg"
            picture, centres = draw_radiograph(pose, body, broken, random, strength)
            Image.fromarray(picture).save(folder / name, quality=92)
            for side in sides:
                row, column = np.rint(centres[side]).astype(int)
                box = [column - CROP_REACH, row - CROP_REACH, column + CROP_REACH, row + CROP_REACH]
                place = [*box] if hips else [""] * 4
                lines.append([name, label, f"p{patient:03d}", "RL"[side], *place])
    write_lines(folder / "cases.csv", [["path", "label", "patient", "side", "x0", "y0", "x1", "y1"], *lines])


def draw_radiograph(
    pose: np.ndarray, body: int, broken: list[int], random: np.random.Generator, strength: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A pelvis: uint8 (rows, columns) and the centres of its crops (row, column), left of the picture first.

    pose: 6 numbers in -1..1 (place, size, neck angle, brightness) and body, the seed of outlines and soft tissue, are a
    patient's own, the same in all his pictures. A fracture is a dark line across the
    femoral neck, a step of the shaft and a swelling around both.
    """
    picture = np.full(HIP_SIZE, 35.0, dtype=np.float32)
    shift = 3 * pose[:2] + random.uniform(-1.5, 1.5, 2)
    scale = 1 + 0.03 * pose[2]
    bright = 150 + 10 * pose[3]
    blend(picture, soft_ellipsoid(HIP_SIZE, np.array([140, 191]) + shift, (135, 185), 20), 85)
    blend(picture, soft_ellipsoid(HIP_SIZE, np.array([85, 191]) + shift, (50, 120), 6), bright * 0.85)
    blend(picture, soft_ellipsoid(HIP_SIZE, np.array([95, 191]) + shift, (34, 52), 6), 95)
    centres = []
    for side, standard in enumerate(HIP_CENTRES):
        out = -1 if side == 0 else 1  # away from the middle
        head = np.asarray(standard) + shift
        neck_end = head + scale * np.array([30 + 3 * pose[4], out * 32])
        step = np.array([-14.0, out * 8.0]) * (strength if side in broken else 0)
        if side in broken:
            blend(picture, soft_ellipsoid(HIP_SIZE, head + (20, out * 25), (95, 80), 30), bright, 0.85 * strength)
        shaft = neck_end + step + np.array([115, out * 6])
        blend(picture, soft_ellipsoid(HIP_SIZE, head, (27, 27), 3), bright * 0.95)  # socket
        blend(picture, soft_capsule(HIP_SIZE, neck_end + step, shaft, 15 * scale, 3), bright)
        blend(picture, soft_capsule(HIP_SIZE, head, neck_end + step, 13 * scale, 3), bright)
        blend(picture, soft_ellipsoid(HIP_SIZE, head, (21 * scale, 21 * scale), 3), bright * 1.15)
        if side in broken:
            middle = head + 0.6 * (neck_end - head)
            across = np.array([out * -(neck_end - head)[1], out * (neck_end - head)[0]]) * 0.42
            line = soft_capsule(HIP_SIZE, middle - across, middle + across, 5, 2)
            blend(picture, line, 55, strength)
        centres.append(head + np.array([14, out * 14]))
    own = np.random.default_rng(body)
    picture += 9 * smooth_noise(HIP_SIZE, 12, own) + 18 * smooth_noise(HIP_SIZE, 40, own)
    picture = bend(picture, *HIP_BEND, own)
    picture += 6 * smooth_noise(HIP_SIZE, 8, random) + 3 * random.standard_normal(HIP_SIZE, dtype=np.float32)
    return to_uint8(picture), centres
