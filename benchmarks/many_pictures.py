"""A folder of very many small pictures through `data` and through all that `run` does before it trains.

python -m benchmarks.many_pictures [--pictures 20000] [--side 64] writes the folder (a picture of noise and a patient each) and
runs `python -m replications.thyroid_ensemble.data` and `... .run` on it, `run` in a first and in a second start. `run` is ended
as soon as it says what it will train: its pictures are then listed, read, hashed and searched for copies, and its splits proven.
Printed are the seconds to the first letter on the screen, to the end, and of the processors. Limits: 2 s and 60 s on 2 idle
cores; exit code 1 where one is missed or a command fails.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

FIRST, LAST = 2.0, 60.0  # seconds
PACKAGE = "replications.thyroid_ensemble"
PREPARED = (b"measuring the run's networks", b"to do:", b"nothing left to train")  # what `run` says when only training is left


@dataclass(frozen=True)
class Measured:
    """Seconds of one command, and how it ended."""

    first: float  # to the first letter on the screen
    last: float  # to the end, or until only training was left
    processor: float
    code: int  # 0: done, or ended when only training was left
    said: str  # its last lines


def write_pictures(folder: Path, count: int, side: int) -> None:
    """`count` pictures, each of a patient of its own, every second one malignant, and cases.csv."""
    folder.mkdir(parents=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(partial(write_picture, folder, side), range(count), chunksize=250))
    lines = ["path,label,patient,x0,y0,x1,y1"]
    for number in range(count):
        label = ("benign", "malignant")[number % 2]
        lines.append(f"{number:06d}.png,{label},patient {number},0,0,{side},{side}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")


def write_picture(folder: Path, side: int, number: int) -> None:
    grains = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
    picture = Image.fromarray(grains).resize((side, side), Image.Resampling.BILINEAR)
    picture.save(folder / f"{number:06d}.png", compress_level=1)


def measure(command: list[str], most: float, until: tuple[bytes, ...] = ()) -> Measured:
    """Seconds of a command, which is ended as soon as a line begins with one of `until`, or after `most` seconds."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    first, lines, ended = 0.0, [b""], False
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
        assert process.stdout
        while part := os.read(process.stdout.fileno(), 2**16):
            first = first or time.perf_counter() - started
            new = (lines.pop() + part).split(b"\n")
            lines = [*lines[-20:], *new]
            ended = any(line.startswith(until) for line in new) if until else False
            if ended or time.perf_counter() - started > most:
                process.terminate()
                break
        last = time.perf_counter() - started
        process.stdout.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = b"\n".join(lines).decode(errors="replace").strip()
    return Measured(first, last, processor, 0 if ended else process.returncode, said)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--most", type=float, default=600, help="seconds after which a command is stopped")
    given = parser.parse_args(arguments)
    missed = False
    with tempfile.TemporaryDirectory() as home:
        pictures = Path(home) / "pictures"
        write_pictures(pictures, given.pictures, given.side)
        own = ["--data", str(pictures), "--cases", "cases.csv"]
        smoke = ["--preset", "smoke", "--weights", "random", "--out", f"{home}/runs", "--dry-run"]
        for name, module, extra in (("data", "data", []), ("run", "run", smoke), ("run, second start", "run", smoke)):
            command = [sys.executable, "-m", f"{PACKAGE}.{module}", *own, *extra]
            found = measure(command, given.most, PREPARED if extra else ())
            missed |= found.first > FIRST or found.last > LAST or found.code != 0
            seconds = f"first word after {found.first:.1f} s, end after {found.last:.1f} s"
            print(f"{name}: {seconds}, {found.processor:.1f} s of processor time; {given.pictures} pictures", flush=True)
            if found.code:
                print(f"{name} failed with code {found.code}: {found.said[-500:]}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
