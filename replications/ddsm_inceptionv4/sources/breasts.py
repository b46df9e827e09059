"""Phantom mammograms: what two films of a breast share is known, and where the lesion lies.

A film is described by how bright its tissue would be (0 film, 1 the whitest), not yet by grey levels of a digitiser.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

GRAINS = ((8, 0.12), (20, 0.07), (60, 0.04))  # of the texture: parts of the film's height, amplitude
RIDGES = 2, (5, 14), 0.3  # of the texture too: waves, each of one direction: their number, crests a film's height, amplitude
GRAIN = 0.02  # of a cluster of calcifications, share of the film's height
EDGE = (6, 0.02)  # of the outline, likewise
OWN = 0.95  # correlation of texture and outline of a woman's films, where women differ by 1 or more
MUSCLE = (0.3, 0.3)  # of the film's width and height; with more, the two views of a breast would have little in common


@dataclass(frozen=True)
class Woman:
    """What all four films share."""

    height: float  # of the breast, share of the film's
    depth: float  # towards the nipple, share of the film's width
    density: int  # BI-RADS, 1 to 4
    texture: float  # factor on the amplitude of the texture
    gland: float  # where the gland lies, share of the depth
    tissue: int  # seed of the texture and the outline that she has
    own: float  # correlation of both between her films, 0 to 1


@dataclass(frozen=True)
class Spot:
    """A lesion of a breast: place relative to it, size relative to the film, how bright."""

    along: float  # 0 chest wall, 1 nipple
    across: float  # -1 to 1
    radius: float
    contrast: float
    phase: float  # of its outline
    kind: str  # MASS, CALCIFICATION


def draw_woman(random: np.random.Generator, strength: float) -> Woman:
    """strength: how far women differ; with 0 all are the same but for their density, and films of one have no more in common than
    films of two."""

    def within(low: float, high: float) -> float:
        return (low + high) / 2 + strength * random.uniform(-0.5, 0.5) * (high - low)

    density = int(random.integers(1, 5))
    shape = within(0.33, 0.42), within(0.55, 0.8), density, within(0.7, 1.3), within(0.35, 0.55)
    return Woman(*shape, int(random.integers(2**31)), OWN * min(strength, 1.0))


def draw_spot(random: np.random.Generator, contrast: float) -> Spot:
    kind = ("MASS", "CALCIFICATION")[int(random.integers(2))]
    place = random.uniform(0.3, 0.6), random.uniform(-0.35, 0.35)
    return Spot(*place, random.uniform(0.08, 0.13), contrast, random.uniform(0, 2 * np.pi), kind)


def smooth(random: np.random.Generator, height: int, width: int, grain: int) -> np.ndarray:
    """Normal noise with structures of `grain` pixels: float32 (height, width)."""
    grain = max(1, grain)
    noise = random.normal(size=(height // grain + 3, width // grain + 3)).astype(np.float32)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def spread(parts: int, random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Normal noise at places of a breast, the same at the same places whatever the film: float32, the shape of x and y.

    parts: structures a film's height; x, y: from the chest wall and from the middle of the breast, in heights of the film.
    """
    noise = random.normal(size=(2 * parts, 2 * parts)).astype(np.float32)
    places = (x * parts).astype(np.float32), ((y + 1) * parts).astype(np.float32)
    return cv2.remap(noise, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def draw_ridges(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Waves of mean square 1 that go through the tissue in drawn directions, the same at the same places: float32, the shape of x
    and y, as in `spread`."""
    count, often, _ = RIDGES
    waves = np.zeros_like(x)
    for _ in range(count):
        turn, crests, phase = random.uniform(0, np.pi), random.uniform(*often), random.uniform(0, 2 * np.pi)
        waves += np.cos(2 * np.pi * crests * (x * np.cos(turn) + y * np.sin(turn)) + phase)
    return waves * (2 / count) ** 0.5


def draw_breast(
    woman: Woman, spot: Spot | None, view: str, size: tuple[int, int], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A film of a left breast, chest wall at the left: brightness float32 (height, width), and where the lesion lies, bool."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    middle = height * (0.5 if view == "CC" else 0.58)
    reach = np.array([height * woman.height, width * woman.depth])
    hers = np.random.default_rng(woman.tissue)

    def mix(draw: Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        shared, alone = (draw(of, x / height, (y - middle) / height) for of in (hers, random))
        return woman.own * shared + (1 - woman.own**2) ** 0.5 * alone

    radius = np.hypot(x / reach[1], (y - middle) / reach[0]) + EDGE[1] * mix(partial(spread, EDGE[0]))
    inside = radius < 1
    depth = np.clip(1 - radius, 0, 1) ** 0.35
    grains = sum(mix(partial(spread, parts)) * amplitude for parts, amplitude in GRAINS)
    texture = (grains + RIDGES[2] * mix(draw_ridges)) * woman.texture
    distance = np.hypot((x - reach[1] * woman.gland) / (reach[1] * 0.5), (y - middle) / (reach[0] * 0.6))
    gland = np.clip(1 - distance, 0, 1) * 0.22 * woman.density
    film = np.where(inside, 0.18 + 0.32 * depth + 0.35 * gland + texture * (0.4 + gland) * 0.5, 0.02)
    if view == "MLO":
        muscle = x / (width * MUSCLE[0]) + y / (height * MUSCLE[1]) < 1
        film = np.where(muscle, np.maximum(film, 0.55 + texture * 0.2), film)
        inside |= muscle
    marked = np.zeros(size, bool)
    if spot is not None:
        place = (reach[1] * spot.along, middle + reach[0] * spot.across)
        angle = np.arctan2(y - place[1], x - place[0])
        spikes = 1 + 0.18 * np.sin(5 * angle + spot.phase) + 0.1 * np.sin(9 * angle + 2 * spot.phase)
        ratio = np.hypot(x - place[0], y - place[1]) / (spot.radius * height * spikes)
        raised = np.clip(1.2 - ratio, 0, 1)
        if spot.kind == "CALCIFICATION":  # a cluster of grains
            raised = raised * (smooth(random, height, width, max(2, round(height * GRAIN))) > 0) * 1.6
        film = film + spot.contrast * raised * inside
        marked = (ratio < 1.15) & inside
    return np.clip(film, 0, 1).astype(np.float32), marked
