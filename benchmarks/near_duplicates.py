"""Near-duplicate search: speed, copies found of every kind, strangers mistaken, beside two tools that one would take instead.

Every image set is searched for near-duplicates among its own images, then for copies of a sample of them, each changed in one
way. Beside it, on the same pictures: imagehash's phash and dhash, at their usual limit and at the largest that mistakes no
stranger, and vision-data-doctor at its own settings (`pip install -e .[benchmark]`). Images are phantoms (textures of several
scales with a bright blob), or the files of a folder.

The baseline of speed compares every pair of a subset, in all orientations, with the same comparison in a Python loop; both must
find the same pairs.

    python -m benchmarks.near_duplicates [--images 20000] [--subset 150] [--copies 100] [--folder DIR] [--out FILE.json]
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from benchmarks.picture_copies import BEYOND, KINDS, copy_images
from common.cases.descriptions import describe_images
from common.cases.duplicates import choose_limit, compare_images, find_near_duplicates, keep_alike
from common.cases.registration import ORIENTATIONS, compare_thumbnails

SIDE = 50
USUAL_LIMIT = 10  # bits of 64 by which two hashes of one picture may differ
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


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


def read_folder(folder: Path) -> list[np.ndarray]:
    """All images below a folder, grey, in their own size."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    return [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]


def measure_copies(
    images: Sequence[np.ndarray], rows: np.ndarray, kinds: Sequence[str]
) -> tuple[dict[str, float], dict[str, int]]:
    """Share of the copies of each kind whose original is found among all images, and the number of other images that a copy
    is taken for and its original is not, of the kinds that have any."""
    described = describe_images(images)
    limit = choose_limit(described)
    known = keep_alike(compare_images(described), limit)
    alike = {(row, row) for row in range(len(images))}
    alike |= {pair for a, b in zip(known["index_a"], known["index_b"], strict=True) for pair in ((a, b), (b, a))}
    found, mistaken = {}, {}
    for kind in kinds:
        table = find_near_duplicates(described, describe_images(copy_images([images[row] for row in rows], kind)), limit=limit)
        pairs = set(zip(table["index_a"].tolist(), rows[table["index_b"]].tolist(), strict=True))
        found[kind] = sum((row, row) in pairs for row in rows.tolist()) / len(rows)
        mistaken[kind] = len(pairs - alike)
    return found, {kind: count for kind, count in mistaken.items() if count}


def measure_hashes(images: Sequence[np.ndarray], rows: np.ndarray, kinds: Sequence[str], name: str) -> dict[str, list[float]]:
    """Kind -> share found by a hash of imagehash at its usual limit, and at the largest limit that no two of the images fall
    below; beside it, under "strangers", how many pairs the usual limit mistakes, and the other limit.

    Near-duplicates among the images themselves (`find_near_duplicates`) are no strangers.
    """
    import imagehash
    from PIL import Image

    def compute(pictures: Sequence[np.ndarray]) -> np.ndarray:
        function = getattr(imagehash, name)
        return np.array([function(Image.fromarray(picture)).hash.ravel() for picture in pictures])

    def differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a.astype(np.float32), b.astype(np.float32)
        return a @ (1 - b).T + (1 - a) @ b.T

    originals = compute(images)
    between = differ(originals, originals)
    known = find_near_duplicates(describe_images(images))
    between[known["index_a"], known["index_b"]] = np.inf
    strangers = between[np.triu_indices(len(images), 1)]
    safe = float(strangers.min()) - 1
    found = {"strangers": [float((strangers <= USUAL_LIMIT).sum()), safe]}
    for kind in kinds:
        distance = (originals[rows] != compute(copy_images([images[row] for row in rows], kind))).sum(axis=1)
        found[kind] = [float((distance <= USUAL_LIMIT).mean()), float((distance <= safe).mean())]
    return found


def measure_doctor(images: Sequence[np.ndarray], rows: np.ndarray, kinds: Sequence[str]) -> dict[str, float]:
    """Kind -> share of the copies that vision-data-doctor takes for any image, by its `check_leakage` with its own settings;
    under "strangers" the images of one half that it takes for one of the other half."""
    from data_doctor import check_leakage

    def write(pictures: Sequence[np.ndarray], folder: Path) -> Path:
        folder.mkdir()
        for row, picture in enumerate(pictures):
            cv2.imwrite(str(folder / f"{row:06d}.png"), picture)
        return folder

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        half = len(images) // 2
        parts = write(images[:half], root / "a"), write(images[half:], root / "b")
        found = {"strangers": float(len(check_leakage(*parts).near_leaks))}
        originals = write([images[row] for row in rows], root / "originals")
        for number, kind in enumerate(kinds):
            copies = write(copy_images([images[row] for row in rows], kind), root / str(number))
            result = check_leakage(originals, copies)
            names = [leak for leak in [*result.exact_leaks, *result.near_leaks] if leak["val"] == leak["train"]]
            found[kind] = len(names) / len(rows)
    return found


def compare_all_pairs(thumbnails: np.ndarray, widths: np.ndarray, limit: float) -> set[tuple[int, int]]:
    """The near-duplicates by a loop over all pairs and orientations; thumbnails (n, 128, 128)."""

    def compare(a: int, b: int) -> float:
        width = max(widths[a], widths[b])
        return max(compare_thumbnails(thumbnails[a], thumbnails[b], orientation, width) for orientation in range(ORIENTATIONS))

    return {(a, b) for a, b in combinations(range(len(thumbnails)), 2) if compare(a, b) >= limit}


def measure_speed(images: Sequence[np.ndarray]) -> dict[str, object]:
    """Seconds of a search within all images, and what it found."""
    started, cpu_started = time.perf_counter(), time.process_time()
    described = describe_images(images)
    describing = time.perf_counter() - started
    limit = choose_limit(described)
    table = compare_images(described)
    alike = keep_alike(table, limit)
    return {
        "images": len(images),
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu_started,
        "seconds_describing": describing,
        "pairs": len(images) * (len(images) - 1) // 2,
        "compared_pairs": len(table),
        "limit": round(limit, 3),
        "pairs_found_among_originals": len(alike),
        "closest_pairs": table["similarity"].head(20).round(3).tolist(),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def measure_ratio(images: Sequence[np.ndarray]) -> dict[str, object]:
    """The search against the comparison of all pairs, on images among which there is a copy of every kind without a border."""
    rng = np.random.default_rng(2)
    kinds = [kind for kind in KINDS if "black" not in kind]
    mixed = [*images, *(copy_images([images[rng.integers(len(images))]], kind)[0] for kind in kinds)]
    started = time.perf_counter()
    described = describe_images(mixed)
    limit = choose_limit(described)
    fast = find_near_duplicates(described, limit=limit)
    search = time.perf_counter() - started
    started = time.perf_counter()
    expected = compare_all_pairs(described.thumbnails[: described.count], described.widths, limit)
    all_pairs = time.perf_counter() - started
    return {
        "subset": len(mixed),
        "subset_pairs_found": len(expected),
        "same_pairs_as_all_pairs": set(zip(fast["index_a"].tolist(), fast["index_b"].tolist(), strict=True)) == expected,
        "all_pairs_seconds": all_pairs,
        "ratio": all_pairs / search,
    }


def print_table(ours: dict[str, float], hashes: dict[str, dict[str, list[float]]], doctor: dict[str, float] | None) -> None:
    """The shares of the copies found, as a Markdown table."""
    heads = ["this suite", *(f"{name} {limit}" for name in hashes for limit in ("usual", "safe"))]
    print(f"| copy | {' | '.join([*heads, *(['vision-data-doctor'] if doctor else [])])} |")
    print("|---" * (len(heads) + 1 + bool(doctor)) + "|")
    for kind in ours:
        cells = [ours[kind], *(share for found in hashes.values() for share in found[kind]), *([doctor[kind]] if doctor else [])]
        print(f"| {kind} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=20_000, help="number of phantoms")
    parser.add_argument("--subset", type=int, default=150, help="originals in the comparison of all pairs; 0: none")
    parser.add_argument("--copies", type=int, default=100, help="copies of each kind; 0: none")
    every = [*KINDS, *BEYOND]
    parser.add_argument("--kinds", nargs="*", choices=every, default=every, metavar="KIND", help="kinds of copies; default: all")
    parser.add_argument("--folder", type=Path, help="measure on the images below this folder")
    parser.add_argument("--most", type=int, help="take only so many images of the folder, evenly spaced")
    parser.add_argument("--alone", action="store_true", help="without the other tools")
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)

    images: Sequence[np.ndarray] = read_folder(args.folder) if args.folder else draw_patches(args.images)
    if args.most and len(images) > args.most:
        images = [images[row] for row in np.linspace(0, len(images) - 1, args.most).round().astype(int)]
    numbers = measure_speed(images)
    if args.subset:
        numbers |= measure_ratio(images[: args.subset])
    if args.copies:
        rows = np.random.default_rng(1).choice(len(images), min(args.copies, len(images)), replace=False)
        ours, mistaken = measure_copies(images, rows, args.kinds)
        hashes = {} if args.alone else {name: measure_hashes(images, rows, args.kinds, name) for name in ("phash", "dhash")}
        doctor = None if args.alone else measure_doctor(images, rows, args.kinds)
        numbers |= {"copies_found": ours, "strangers_mistaken": mistaken, "hashes": hashes, "doctor": doctor}
        print_table(ours, hashes, doctor)
    print(json.dumps({name: value for name, value in numbers.items() if name not in ("hashes", "doctor")}, indent=2))
    if args.out:
        args.out.write_text(json.dumps(numbers, indent=2) + "\n")
    if numbers.get("same_pairs_as_all_pairs") is False:
        raise SystemExit("the search and the comparison of all pairs found different pairs")


if __name__ == "__main__":
    main()
