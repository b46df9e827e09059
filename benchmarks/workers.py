"""Wall time of the same trainings with one worker on all cores and with one worker a core; and equal predictions.

`python -m benchmarks.workers [--rows "LUNA16 / CNN"] [--out FILE.json]`

Runs the demo preset of a replication (phantoms) three times, each in a fresh process and folder: one worker with all
threads, N workers with one thread each, and one worker with one thread, whose predictions must equal those of the N workers
to the last byte. The ratio is (one worker, all threads) / (N workers).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.cli import count_cores

MODULE = "replications.lung_hip_compare.run"


def time_run(out: Path, rows: str, settings: list[str], workers: int, threads: int) -> tuple[float, bytes]:
    """Seconds of one whole run, and the bytes of its predictions."""
    command = [sys.executable, "-m", MODULE, "--preset", "demo", "--tables", "2", "--rows", rows, "--out", str(out)]
    command += ["--workers", str(workers), "--threads", str(threads), *settings]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    (predictions,) = out.glob("*/demo-*/predictions.csv.gz")
    return seconds, predictions.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="LUNA16 / CNN")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cores = count_cores()
    settings = [word for item in given.settings for word in ("--set", item)]
    ways = {"one worker, all threads": (1, cores), "a worker a core": (cores, 1), "one worker, one thread": (1, 1)}
    seconds, predictions = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, (workers, threads)) in enumerate(ways.items()):
            seconds[name], predictions[name] = time_run(Path(folder) / str(index), given.rows, settings, workers, threads)
    assert predictions["a worker a core"] == predictions["one worker, one thread"]
    result = {
        "rows": given.rows,
        "cores": cores,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "ratio": round(seconds["one worker, all threads"] / seconds["a worker a core"], 2),
        "equal": "predictions, byte for byte, of one and of several workers at one thread each",
    }
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
