"""Phantoms: B-mode pictures of thyroid nodules with a table of boxes.

What raises a nodule's suspicion (ACR TI-RADS, Tessler et al. 2017: contour, shape, echogenicity, composition, foci) differs
between the classes by a tunable strength. With phantom_signal = 0 the classes do not differ.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from common.csv_text import write_lines
from common.data.phantoms import blend, smooth_noise, soft_ellipsoid, speckle, to_uint8, write_once
from common.data.unmarked import choose_unmarked, write_unmarked
from replications.thyroid_ensemble.config import Config

SIZE = (240, 320)  # rows, columns of a picture: about 4 x 5.3 cm
ROWS, COLUMNS = np.indices(SIZE, dtype=np.float32)
GRAIN = 2.1  # of the speckle, pixels
MALIGNANT_SHARE = 663 / 1344  # sec. 1.1
UNMARKED = 0.3  # share of the patients of a run's phantoms whose nodules show nothing of their class
SPREAD = 0.18  # standard deviation of a sign's strength among the nodules of a class; the classes lie `signal` apart
FAT, FASCIA, STRAP, GLAND, LUMEN, DEEP = 85.0, 150.0, 58.0, 122.0, 14.0, 48.0  # grey levels before speckle and gain
TURN = np.linspace(0, 2 * np.pi, 720, endpoint=False)
BEND, BEND_GRAIN = 4.0, 60.0  # pixels: deviation of the anatomy's outlines, and over which distance it changes


@dataclass(frozen=True)
class Nodule:
    """One nodule; the signs run from 0 (benign) to 1 (malignant)."""

    centre: tuple[float, float]  # row, column
    radius: float  # pixels: geometric mean of the half axes
    irregular: float  # contour: smooth .. spiculated
    tall: float  # shape: wider than tall .. taller than wide
    dark: float  # echogenicity: isoechoic .. hypoechoic
    coarse: float  # texture: homogeneous .. heterogeneous
    calcified: float  # none .. many micro-calcifications
    contour: np.ndarray  # (24,) phases and heights of the contour's waves
    texture: np.ndarray  # SIZE, normal: what is brighter and darker within
    specks: np.ndarray  # (n, 2): places of calcifications in units of the half axes


def write_phantoms(folder: Path, config: Config, seed: int, strength: float = 1.0, unmarked: float = 0.0) -> None:
    """Write thyroid/cases.csv (path, label, patient, box x0, y0, x1, y1 in pixels, x1 and y1 exclusive), the pictures
    thyroid/images/*.png (8-bit grey) of phantom_patients patients, and a marker that the folder is synthetic.

    A patient has one nodule and phantom_images neighbouring frames of it, one more or less by turns. unmarked: share of the
    patients of the smaller class, and as many of the other, whose nodules show nothing of their class. The same seed gives the
    same files; files that are there, whole, stay as they are. Raises UsageError if the folder holds anything else.
    """
    settings = {name: value for name, value in asdict(config).items() if name.startswith("phantom_")}

    def write() -> None:
        (folder / "thyroid" / "images").mkdir(parents=True)
        _write_cases(folder / "thyroid", config, np.random.default_rng([seed, 1]), strength, unmarked)

    recipe = {"seed": seed, "settings": settings, "strength": strength} | ({"unmarked": unmarked} if unmarked else {})
    write_once(folder, recipe, ("thyroid",), write)


def _write_cases(folder: Path, config: Config, random: np.random.Generator, strength: float, unmarked: float) -> None:
    patients = config.phantom_patients
    labels = random.permutation(np.arange(patients) < round(patients * MALIGNANT_SHARE)).astype(int)
    counts = np.maximum(config.phantom_images + random.permutation((np.arange(patients) + 1) % 3 - 1), 1)
    hidden = choose_unmarked(labels, unmarked)
    if unmarked:
        write_unmarked(folder, [f"p{patient:03d}" for patient in np.flatnonzero(hidden)])
    lines = []
    for patient, (label, count) in enumerate(zip(labels, counts, strict=True)):
        signal = 0.0 if hidden[patient] else strength * config.phantom_signal
        for frame, (picture, box) in enumerate(draw_patient(int(label), int(count), signal, random)):
            name = f"images/p{patient:03d}_{frame:02d}.png"
            Image.fromarray(picture).save(folder / name, compress_level=1)  # speckle hardly compresses
            lines.append([name, label, f"p{patient:03d}", *box])
    write_lines(folder / "cases.csv", [["path", "label", "patient", "x0", "y0", "x1", "y1"], *lines])


def draw_patient(
    label: int, frames: int, signal: float, random: np.random.Generator
) -> list[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """Frames of one nodule: pictures uint8 (240, 320), and the nodule's box x0, y0, x1, y1 in each.

    Anatomy, nodule, gain and most of the speckle are the patient's own; a frame is shifted by a few pixels, bent a little,
    and has its own part of the speckle.
    """
    nodule = draw_nodule(label, signal, random)
    echo = draw_neck(nodule.centre, random)
    attenuation, gain = random.uniform(0.1, 0.75), random.uniform(0.75, 1.3)
    own = 0.45 * _draw_speckle(random)
    pictures = []
    for _ in range(frames):
        picture = echo.copy()
        cover = blend_nodule(picture, nodule, random)
        shift = random.uniform(-5, 5, 2)
        by = [shift[i] + 1.2 * _draw_texture(BEND_GRAIN, random) for i in range(2)]
        picture, cover, moved = (_move(x, by) for x in (picture, cover, own))
        picture *= np.exp(moved + 0.25 * _draw_speckle(random))  # a logarithmic display: less contrast than Rayleigh's
        picture *= gain * random.uniform(0.96, 1.04) * np.exp(-attenuation * ROWS / SIZE[0])
        picture += 2 * random.standard_normal(SIZE, dtype=np.float32)
        rows, columns = (np.flatnonzero((cover > 0.5).any(axis=axis)) for axis in (1, 0))
        marked = random.integers(-2, 3, 4)  # no reader hits the border to the pixel
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) + marked
        x0, y0, x1, y1 = np.clip(box, 0, [SIZE[1], SIZE[0]] * 2).tolist()
        pictures.append((to_uint8(picture), (x0, y0, x1, y1)))
    return pictures


def draw_nodule(label: int, signal: float, random: np.random.Generator) -> Nodule:
    """A nodule whose signs lie around 0.5 - signal/2 (benign) or 0.5 + signal/2 (malignant)."""
    signs = np.clip(random.normal(0.5 + signal * (label - 0.5), SPREAD, 5), 0, 1)
    irregular, tall, dark, coarse, calcified = signs.tolist()
    return Nodule(
        centre=(random.uniform(108, 140), random.uniform(105, 215)),
        radius=random.uniform(30, 43),
        irregular=irregular,
        tall=tall,
        dark=dark,
        coarse=coarse,
        calcified=calcified,
        contour=np.concatenate([random.uniform(0, 2 * np.pi, 12), random.normal(0, 1, 12)]),
        texture=(_draw_texture(random.uniform(4, 8), random) + 0.6 * _draw_texture(random.uniform(25, 45), random)) / 1.17,
        specks=random.uniform(-0.65, 0.65, (14, 2)),
    )


def blend_nodule(picture: np.ndarray, nodule: Nodule, random: np.random.Generator) -> np.ndarray:
    """Draw one section through the nodule, in place; its cover (240, 320), 0..1."""
    aspect = np.exp(0.36 - 0.62 * nodule.tall + random.normal(0, 0.02))  # width / height
    radius = nodule.radius * random.uniform(0.95, 1.05)
    axes = radius / np.sqrt(aspect), radius * np.sqrt(aspect)  # rows, columns
    y, x = ((grid - centre) / axis for grid, centre, axis in zip((ROWS, COLUMNS), nodule.centre, axes, strict=True))
    reach, angle = np.hypot(x, y), np.arctan2(y, x)
    phases, heights = np.split(nodule.contour, 2)
    heights = heights + random.normal(0, 0.15, 12)
    waves = np.arange(2, 14)[:, None]
    high = np.where(waves < 4, 0.035, 0.1 * nodule.irregular * waves**-0.4)
    border = 1 + np.sum(high * heights[:, None] * np.cos(waves * TURN + phases[:, None]), axis=0)  # radius at each angle
    border = np.clip(border, 0.65, 1.3).astype(np.float32)[np.rint(angle / TURN[1]).astype(int) % len(TURN)]
    outside = (reach - border) * radius  # pixels, negative within
    cover = np.clip(0.5 - outside / (1.5 + 3 * nodule.irregular), 0, 1)
    halo = np.exp(-(((outside - 1.5) / 2.6) ** 2)) * (1 - nodule.irregular)
    picture *= 1 - 0.5 * halo
    level = GLAND * (0.85 - 0.42 * nodule.dark) * np.exp((0.06 + 0.42 * nodule.coarse) * nodule.texture)
    picture += cover * (level - picture)
    for row, column in nodule.specks[: round(len(nodule.specks) * max(0.0, 1.6 * nodule.calcified - 0.6))]:
        place = nodule.centre[0] + row * axes[0], nodule.centre[1] + column * axes[1]
        blend(picture, soft_ellipsoid(SIZE, place, random.uniform(0.9, 1.9, 2), 1.5), 235.0)
    return cover


def draw_neck(centre: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """Echogenicity (240, 320) of one patient's neck: skin, fat, strap muscles, lobe around `centre`, vessel, windpipe."""
    neck = np.full(SIZE, FAT, np.float32)
    tilt = random.uniform(-0.06, 0.06)
    bounds = [
        depth + tilt * (COLUMNS - SIZE[1] / 2) + _draw_curve(random)
        for depth in (random.uniform(20, 32), random.uniform(44, 60), random.uniform(184, 202), random.uniform(206, 224))
    ]
    fibres = [_draw_fibres(random) for _ in range(3)]
    neck *= np.exp(0.3 * fibres[0])
    _fill_below(neck, bounds[0], STRAP * np.exp(0.35 * fibres[1]))
    _fill_below(neck, bounds[1], STRAP * 1.25 * np.exp(0.3 * fibres[2]))
    half = random.uniform(60, 74), random.uniform(100, 190)
    place = centre[0] + random.uniform(-6, 6), centre[1] + random.uniform(-25, 25)
    gland = GLAND * np.exp(0.1 * _draw_texture(random.uniform(10, 40), random))
    blend(neck, soft_ellipsoid(SIZE, place, np.add(half, 3), 3), FASCIA * 1.1, random.uniform(0.4, 0.8))
    box, weights = soft_ellipsoid(SIZE, place, half, 3)
    neck[box] += weights * (gland[box] - neck[box])
    side = random.choice([-1, 1])
    _draw_windpipe(neck, SIZE[1] / 2 - side * random.uniform(150, 185), random)
    _draw_vessel(neck, (random.uniform(100, 150), centre[1] + side * random.uniform(95, 130)), random.uniform(17, 27), random)
    _fill_below(neck, bounds[2], DEEP * np.exp(0.5 * fibres[1][::-1]))
    _fill_below(neck, bounds[3], DEEP * 0.6 * np.exp(0.5 * fibres[2][:, ::-1]))
    for bound, strength in zip(bounds, random.uniform(0.5, 1.0, 4), strict=True):
        line = np.exp(-(((ROWS - bound) / random.uniform(1.3, 2.2)) ** 2)) * np.clip(0.7 + 0.4 * _draw_curve(random, 1.0), 0, 1)
        neck += strength * line * (FASCIA * 1.3 - neck)
    skin = 0.5 * (1 - np.tanh((ROWS - random.uniform(6, 10)) / 1.5))
    neck += skin * (FASCIA - neck)
    return _move(neck, [BEND * _draw_texture(BEND_GRAIN, random) for _ in range(2)])


def _draw_windpipe(neck: np.ndarray, column: float, random: np.random.Generator) -> None:
    """The bright front of the windpipe and the shadow of its air."""
    top, half = random.uniform(70, 100), random.uniform(45, 65)
    front = top + 30 * ((COLUMNS - column) / half) ** 2
    inside = np.clip((half - np.abs(COLUMNS - column)) / 9, 0, 1)
    shadow = np.clip((ROWS - front) / 5, 0, 1) * inside
    neck *= 1 - 0.85 * shadow
    neck += np.exp(-(((ROWS - front) / 2.5) ** 2)) * inside * 110


def _draw_vessel(neck: np.ndarray, centre: tuple[float, float], radius: float, random: np.random.Generator) -> None:
    """The carotid artery: a bright wall around black blood."""
    radii = radius, radius * random.uniform(0.95, 1.4)
    blend(neck, soft_ellipsoid(SIZE, centre, np.add(radii, 3), 3), FASCIA)
    blend(neck, soft_ellipsoid(SIZE, centre, radii, 2), LUMEN)


def _draw_curve(random: np.random.Generator, by: float = 3.0) -> np.ndarray:
    """A smooth line over the columns, (1, 320), of standard deviation `by`."""
    return by * smooth_noise((1, SIZE[1] * 2), 50, random)[:, : SIZE[1]]


def _draw_fibres(random: np.random.Generator) -> np.ndarray:
    """Streaks along the rows, normal."""
    return cv2.resize(smooth_noise((SIZE[0], SIZE[1] // 10), 2.5, random), SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def _draw_texture(grain: float, random: np.random.Generator) -> np.ndarray:
    """smooth_noise (240, 320) for structures of many pixels, drawn small and enlarged: several times faster."""
    shrink = max(1, int(grain / 4))
    small = smooth_noise([side // shrink + 1 for side in SIZE], grain / shrink, random)
    return cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def _draw_speckle(random: np.random.Generator) -> np.ndarray:
    """Logarithm of speckle, its grains wider than deep, as the beam is wider than the pulse is long."""
    narrow = speckle((SIZE[0], SIZE[1] * 3 // 4), GRAIN, random)
    return np.log(np.maximum(cv2.resize(narrow, SIZE[::-1], interpolation=cv2.INTER_LINEAR), 0.05))


def _fill_below(neck: np.ndarray, bound: np.ndarray, level: np.ndarray) -> None:
    neck += np.clip((ROWS - bound) / 2 + 0.5, 0, 1) * (level - neck)


def _move(picture: np.ndarray, by: list[np.ndarray]) -> np.ndarray:
    """Take every pixel from `by` (rows, columns) pixels beside it."""
    rows, columns = ((grid + part).astype(np.float32) for grid, part in zip((ROWS, COLUMNS), by, strict=True))
    return cv2.remap(picture.astype(np.float32), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
