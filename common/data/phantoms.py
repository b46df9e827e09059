"""Primitives for phantom images and volumes: soft shapes in two or three dimensions, textures, noise.

A shape is (box, weights): the slices of the image that it touches and how much of each pixel it covers, 0..1.
Coordinates and sizes are in pixels, in array order (row, column) or (slice, row, column).
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from common import __version__
from common.errors import UsageError
from common.files import hash_file, hold_lock

MARKER = "phantoms.json"  # says that a data folder is synthetic

Shape = tuple[tuple[slice, ...], np.ndarray]
Vector = Sequence[float] | np.ndarray  # a number for each axis


def soft_ellipsoid(size: Sequence[int], centre: Vector, radii: Vector, softness: float = 1.0) -> Shape:
    """Ellipse or ellipsoid with axes along the image axes; at its edge the weights fall from 1 to 0 over `softness` pixels.

    size: shape of the image, two or three numbers; centre, radii: as many. Weights are float32.
    """
    axes = np.asarray(radii, dtype=float)
    box, offsets = _open_box(size, np.subtract(centre, axes), np.add(centre, axes), softness, centre)
    reach = np.sqrt(sum((offset / radius) ** 2 for offset, radius in zip(offsets, axes, strict=True)))
    return box, _fall_off((reach - 1) * axes.min(), softness)


def soft_capsule(size: Sequence[int], start: Vector, end: Vector, radius: float, softness: float = 1.0) -> Shape:
    """A straight tube of that radius with round ends, around the line between two points; otherwise as `soft_ellipsoid`."""
    first, last = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    box, offsets = _open_box(size, np.minimum(first, last) - radius, np.maximum(first, last) + radius, softness, first)
    axis = last - first
    length_squared = max(float(axis @ axis), 1e-12)
    along = np.clip(sum(offset * step for offset, step in zip(offsets, axis, strict=True)) / length_squared, 0, 1)
    distance = np.sqrt(sum((offset - along * step) ** 2 for offset, step in zip(offsets, axis, strict=True)))
    return box, _fall_off(distance - radius, softness)


def blend(image: np.ndarray, shape: Shape, value: float, strength: float = 1.0) -> None:
    """Move the pixels under the shape towards `value`, in place; strength 1 replaces them, 0 leaves them."""
    box, weights = shape
    image[box] += strength * weights * (value - image[box])


def smooth_noise(size: Sequence[int], grain: float, random: np.random.Generator) -> np.ndarray:
    """Stationary normal texture of mean 0 and unit variance with structures of about `grain` pixels: float32."""
    white = random.standard_normal(tuple(size), dtype=np.float32)
    texture = gaussian_filter(white, grain / 2, mode="wrap", truncate=3)
    return texture / max(float(texture.std()), 1e-6)


def speckle(size: Sequence[int], grain: float, random: np.random.Generator) -> np.ndarray:
    """Multiplicative ultrasound speckle of mean 1: Rayleigh amplitudes of two smooth fields, float32."""
    amplitude = np.hypot(smooth_noise(size, grain, random), smooth_noise(size, grain, random))
    return amplitude / np.float32(np.sqrt(np.pi / 2))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Round and clip to 0..255."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _open_box(
    size: Sequence[int], low: np.ndarray, high: np.ndarray, softness: float, origin: Vector
) -> tuple[tuple[slice, ...], list[np.ndarray]]:
    """Slices around low..high inside the image, and open-grid distances from `origin` along each axis."""
    first = np.clip(np.floor(low - softness).astype(int), 0, size)
    last = np.clip(np.ceil(high + softness).astype(int) + 1, 0, size)
    last = np.maximum(last, first)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    grids = np.ogrid[box]
    return box, [grid - float(point) for grid, point in zip(grids, origin, strict=True)]


def _fall_off(distance: np.ndarray, softness: float) -> np.ndarray:
    return np.clip(0.5 - distance / max(softness, 1e-6), 0, 1).astype(np.float32)


def write_once(folder: Path, recipe: Mapping[str, Any], parts: Sequence[str], write: Callable[[], None]) -> None:
    """Write phantoms into a folder of their own, with a marker that says that it is synthetic; whole ones stay as they are.

    recipe: all that the files follow from (JSON); the version of the suite is added. parts: the subfolders that hold them,
    written anew; write: writes them. Raises UsageError if the folder holds anything else than phantoms.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.with_name(f"{folder.name}.lock"), wait=True):  # of two commands that begin at once one writes them
        _write_anew(folder, {**recipe, "synthetic": True, "version": __version__}, parts, write)


def _write_anew(folder: Path, recipe: Mapping[str, Any], parts: Sequence[str], write: Callable[[], None]) -> None:
    marker = folder / MARKER
    if marker.is_file():
        if marker.read_text() == _describe_phantoms(recipe, folder, parts):
            return
    elif folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder}: not empty, and without {MARKER}: phantoms are not written among other files")
    for part in parts:
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(recipe, sort_keys=True) + "\n")
    write()
    marker.write_text(_describe_phantoms(recipe, folder, parts))


def _describe_phantoms(recipe: Mapping[str, Any], folder: Path, parts: Sequence[str]) -> str:
    """The recipe with number and sha256 of the files: tells a half-written, thinned-out or altered folder."""
    files = sorted(path for part in parts for path in (folder / part).rglob("*") if path.is_file())
    listing = "\n".join(f"{path.relative_to(folder).as_posix()}\t{hash_file(path)}" for path in files)
    return json.dumps({**recipe, "files": [len(files), hashlib.sha256(listing.encode()).hexdigest()]}, sort_keys=True) + "\n"
