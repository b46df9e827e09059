"""Speed of `common.training.augmentation` against Keras' ImageDataGenerator, which it equals.

`python -m benchmarks.augmentation [--images 400] [--repeats 5] [--threads 1] [--out FILE.json]`

Three ways make one variant of each image, by turns in one process: the fast path, ImageDataGenerator.apply_transform on the
same drawings, and ImageDataGenerator.flow in batches of 32 as it is commonly run (other drawings of the same settings). The
first turn of each is not counted. The images are ultrasound-like speckle, 128x128. The first two must agree within the
tolerance of OpenCV 5 that `common.training.augmentation` states.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np

from common.data.phantoms import speckle, to_uint8
from common.training.augmentation import Augmentation, augment_epoch, build_generator

SETTINGS = Augmentation(rotation=30, width_shift=0.2, height_shift=0.2, zoom=0.2, horizontal_flip=True)
SIDE = 128
TOLERANCES = {"float32": 0.02, "uint8": 1}  # grey levels
BATCH = 32


def draw_images(count: int, channels: int, dtype: str) -> np.ndarray:
    random = np.random.default_rng(0)
    grey = np.stack([to_uint8(80 * speckle((SIDE, SIDE), 4, random)) for _ in range(count)])
    return np.repeat(grey[..., None], channels, axis=3).astype(dtype)


def compare_ways(images: np.ndarray, repeats: int) -> dict:
    """Median images a second of the three ways, and how far the fast path is from apply_transform."""
    generator = build_generator(SETTINGS)

    def run_flow(epoch: int) -> None:
        batches = generator.flow(images, batch_size=BATCH, shuffle=False, seed=epoch)
        for _ in range(len(batches)):
            next(batches)

    ways = {
        "fast path": lambda epoch: augment_epoch(images, SETTINGS, 0, epoch, 1)[0],
        "apply_transform": lambda epoch: augment_epoch(images, SETTINGS, 0, epoch, 1, reference=True)[0],
        "flow": run_flow,
    }
    seconds = {name: [] for name in ways}
    worst = 0.0
    for epoch in range(repeats + 1):
        made = {}
        for name, run in ways.items():
            started = time.perf_counter()
            made[name] = run(epoch)
            seconds[name].append(time.perf_counter() - started)
        worst = max(worst, float(np.abs(made["fast path"].astype(float) - made["apply_transform"]).max()))
    assert worst <= TOLERANCES[images.dtype.name], f"the two ways differ by {worst} grey levels"
    speed = {name: len(images) / float(np.median(times[1:])) for name, times in seconds.items()}
    return {
        "images_per_second": {name: round(value) for name, value in speed.items()},
        "ratio_to_flow": round(speed["fast path"] / speed["flow"], 1),
        "ratio_to_apply_transform": round(speed["fast path"] / speed["apply_transform"], 1),
        "largest_difference_in_grey_levels": round(worst, 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV; ImageDataGenerator uses one in any case")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    result = {"images": given.images, "threads": given.threads, "opencv": cv2.__version__}
    for channels, dtype in ((3, "float32"), (1, "uint8")):
        images = draw_images(given.images, channels, dtype)
        result[f"{SIDE}x{SIDE}x{channels} {dtype}"] = compare_ways(images, given.repeats)
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
