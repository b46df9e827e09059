"""Near-duplicate search: speed, copies found of every kind, strangers mistaken, and the ratio to comparing all pairs.

The baseline compares every pair of a subset, in all orientations, with the same comparison in a Python loop; both must
find the same pairs. Images are phantoms (textures of several scales with a bright blob), or the files of a folder.

    python -m benchmarks.near_duplicates [--images 20000] [--subset 150] [--folder DIR] [--out FILE.json]
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from common.cases.duplicates import (
    NEAR_DUPLICATE_LIMIT,
    ORIENTATIONS,
    compare_thumbnails,
    describe_images,
    find_near_duplicates,
)

SIDE = 50
COPIES_OF_EACH_KIND = 200


def draw_patches(count: int, seed: int = 0) -> np.ndarray:
    """Phantoms (count, 50, 50) uint8."""
    rng = np.random.default_rng(seed)
    patches = np.empty((count, SIDE, SIDE), np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    for row in range(count):
        texture = sum(
            weight * sigma * cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), sigma)
            for sigma, weight in ((1, 0.3), (2, 0.7), (5, 1.0))
        )
        middle_y, middle_x = rng.uniform(-0.1, 0.1, 2)
        blob = np.exp(-((y - middle_y) ** 2 + (x - middle_x) ** 2) / rng.uniform(0.005, 0.02))
        patches[row] = np.clip(90 + rng.uniform(25, 50) * texture + 80 * blob, 0, 255)
    return patches


def read_folder(folder: Path) -> np.ndarray:
    """All images below a folder, grey, 64x64 where they are larger: (n, 50..64, 50..64) uint8."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"))
    images = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
    side = min(64, min(min(image.shape) for image in images))
    return np.array([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])


def encode(image: np.ndarray) -> np.ndarray:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def shift(image: np.ndarray, share: float, border: int) -> np.ndarray:
    move = np.array([[1, 0, share * image.shape[1]], [0, 1, -share * image.shape[0]]], np.float32)
    return cv2.warpAffine(image, move, image.shape[::-1], borderMode=border)


def crop(image: np.ndarray, share: float) -> np.ndarray:
    """Cut a share of the height off the top and of the width off the right, enlarge to the old size."""
    cut = round(image.shape[0] * share)
    return cv2.resize(image[cut:, : image.shape[1] - cut], image.shape[::-1])


def brighten(image: np.ndarray, contrast: float, brightness: float) -> np.ndarray:
    return np.clip(contrast * image + brightness, 0, 255).astype(np.uint8)


def mirror(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG quality 60": encode,
    "cropped 5 %": lambda image: crop(image, 0.05),
    "cropped 10 %": lambda image: crop(image, 0.10),
    "shifted 10 % in x and y, edge continued": lambda image: shift(image, 0.1, cv2.BORDER_REPLICATE),
    "shifted 10 % in x and y, black border": lambda image: shift(image, 0.1, cv2.BORDER_CONSTANT),
    "mirrored left-right": mirror,
    "mirrored up-down": lambda image: image[::-1],
    "turned by 90 degrees": np.rot90,
    "darker, contrast 0.7": lambda image: brighten(image, 0.7, -10),
    "brighter, contrast 1.15": lambda image: brighten(image, 1.15, 10),
    "brighter into saturation, contrast 1.3": lambda image: brighten(image, 1.3, 20),
    "mirrored, shifted 7 %, JPEG": lambda image: encode(shift(mirror(image), 0.07, cv2.BORDER_REFLECT)),
    "cropped 10 %, brighter, JPEG": lambda image: encode(brighten(crop(image, 0.1), 1.15, 10)),
}


def measure_copies(images: np.ndarray, seed: int = 1) -> dict[str, float]:
    """Share of the copies of each kind whose original is found among all images."""
    described = describe_images(images)
    rows = np.random.default_rng(seed).choice(len(images), min(COPIES_OF_EACH_KIND, len(images)), replace=False)
    found = {}
    for kind, copy in KINDS.items():
        table = find_near_duplicates(described, describe_images(copy(images[row]) for row in rows))
        found[kind] = float((table["index_a"].to_numpy() == rows[table["index_b"]]).sum() / len(rows))
    return found


def compare_all_pairs(images: np.ndarray) -> set[tuple[int, int]]:
    """The near-duplicates by a loop over all pairs and orientations."""
    thumbnails = describe_images(images).thumbnails
    return {
        (first, second)
        for first, second in combinations(range(len(images)), 2)
        if max(compare_thumbnails(thumbnails[first], thumbnails[second], turn) for turn in range(ORIENTATIONS))
        >= NEAR_DUPLICATE_LIMIT
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--subset", type=int, default=150, help="originals in the comparison of all pairs")
    parser.add_argument("--folder", type=Path, help="measure on the images below this folder")
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)

    images = read_folder(args.folder) if args.folder else draw_patches(args.images)
    started, cpu_started = time.perf_counter(), time.process_time()
    described = describe_images(images)
    describing = time.perf_counter() - started
    table = find_near_duplicates(described, limit=-1)
    total, cpu_total = time.perf_counter() - started, time.process_time() - cpu_started
    alike = table[table["similarity"] >= NEAR_DUPLICATE_LIMIT]
    numbers = {
        "images": len(images),
        "describing_images_per_second": len(images) / describing,
        "seconds": total,
        "cpu_seconds": cpu_total,
        "images_per_second": len(images) / total,
        "pairs": len(images) * (len(images) - 1) // 2,
        "compared_pairs": len(table),
        "pairs_found_among_originals": len(alike),
        "closest_pairs": table["similarity"].head(5).round(4).tolist(),
    }

    part = images[: args.subset]
    rng = np.random.default_rng(2)
    copies = [np.ascontiguousarray(copy(part[rng.integers(len(part))])) for copy in KINDS.values()]
    mixed = np.concatenate([part, copies])
    started = time.perf_counter()
    expected = compare_all_pairs(mixed)
    all_pairs = time.perf_counter() - started
    started = time.perf_counter()
    fast = find_near_duplicates(describe_images(mixed))
    search = time.perf_counter() - started
    same = set(zip(fast["index_a"].tolist(), fast["index_b"].tolist(), strict=True)) == expected
    numbers |= {
        "subset": len(mixed),
        "subset_pairs_found": len(expected),
        "same_pairs_as_all_pairs": same,
        "all_pairs_seconds": all_pairs,
        "ratio": all_pairs / search,
        "copies_found": measure_copies(images),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print(json.dumps(numbers, indent=2))
    if args.out:
        args.out.write_text(json.dumps(numbers, indent=2) + "\n")
    if not same:
        raise SystemExit("the search and the comparison of all pairs found different pairs")


if __name__ == "__main__":
    main()
