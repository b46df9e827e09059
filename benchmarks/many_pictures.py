"""A folder of very many small pictures through the `data` command and the dry run: when the first word comes, when it ends.

python -m benchmarks.many_pictures [--pictures 20000] [--side 64] writes the folder (a picture of noise and a patient each),
runs `python -m replications.thyroid_ensemble.data` and `... .run --preset smoke --dry-run` on it, and prints the seconds to the
first letter on the screen and to the end. Limits: 2 s and 60 s on 2 idle cores; exit code 1 where one is missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

FIRST, LAST = 2.0, 60.0  # seconds
PACKAGE = "replications.thyroid_ensemble"


def write_pictures(folder: Path, count: int, side: int) -> None:
    """thyroid/ with `count` pictures, each of a patient of its own, every second one malignant."""
    place = folder / "thyroid"
    place.mkdir(parents=True)
    random = np.random.default_rng(0)
    lines = ["path,label,patient,x0,y0,x1,y1"]
    for number in range(count):
        grains = random.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(grains).resize((side, side), Image.Resampling.BILINEAR).save(
            place / f"{number:06d}.png", compress_level=1
        )
        label = ("benign", "malignant")[number % 2]
        lines.append(f"{number:06d}.png,{label},patient {number},0,0,{side},{side}")
    (place / "cases.csv").write_text("\n".join(lines) + "\n")


def measure(command: list[str], most: float) -> tuple[float, float]:
    """Seconds to the first letter on the screen and to the end; stopped after `most`."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
        assert process.stdout
        os.read(process.stdout.fileno(), 1)
        first = time.perf_counter() - started
        try:
            process.communicate(timeout=most)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.communicate()
    return first, time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--most", type=float, default=600, help="seconds after which a command is stopped")
    given = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as home:
        write_pictures(Path(home) / "data", given.pictures, given.side)
        for name, extra in (
            ("data", []),
            ("run", ["--preset", "smoke", "--dry-run", "--weights", "random", "--out", f"{home}/runs"]),
        ):
            first, last = measure([sys.executable, "-m", f"{PACKAGE}.{name}", "--data", f"{home}/data", *extra], given.most)
            missed |= first > FIRST or last > LAST
            print(f"{name}: first word after {first:.1f} s, end after {last:.1f} s; {given.pictures} pictures", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
