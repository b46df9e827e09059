"""Cells for the tests of common.runs.cells: functions that worker processes can import. Run as a script: a run to be killed."""

import json
import os
import sys
import time
from pathlib import Path

from common.errors import UsageError
from common.runs.cells import Cell
from common.runs.workers import run_cells


def count(settings: dict, folder: Path, threads: int, report) -> dict:
    """Sum numbers slowly, with a checkpoint after each; the result depends on the settings alone."""
    checkpoint = folder / "checkpoint-sum.json"
    done, total = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, 0)
    while done < settings["steps"]:
        time.sleep(settings.get("wait", 0))
        total += (done + settings["seed"]) ** 2
        done += 1
        checkpoint.with_suffix(".new").write_text(json.dumps([done, total]))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
        report("sum", done, settings["steps"], {"loss": float(total)})
    (folder / "sum.txt").write_text(str(total))
    return {"pid": os.getpid(), "threads": threads}


def fail(settings: dict, folder: Path, threads: int, report) -> dict:
    """Fail the way the settings say."""
    if settings["how"] == "usage":
        raise UsageError("weights.h5: missing; put it here")
    raise ValueError("broken")


def die(settings: dict, folder: Path, threads: int, report) -> dict:
    """End the process at once, as the kernel does when memory is short."""
    os._exit(9)


def lose(settings: dict, folder: Path, threads: int, report) -> dict:
    """Leave a product that is gone as soon as the cell is in place: a link to one of its working files."""
    (folder / "lost.txt").symlink_to(".digest")
    return {}


def make_cells(number: int, steps: int = 3, wait: float = 0) -> list[Cell]:
    """Cells that sum `steps` numbers each."""
    return [Cell(f"cell-{i}", "toy_cells:count", {"seed": i, "steps": steps, "wait": wait}) for i in range(number)]


def write_large(settings: dict, folder: Path, threads: int, report) -> dict:
    """Leave 20 kB."""
    (folder / "large.bin").write_bytes(bytes([settings["seed"]]) * 20_000)
    return {}


def make_large_cells(number: int) -> list[Cell]:
    return [Cell(f"large-{i}", "toy_cells:write_large", {"seed": i}) for i in range(number)]


def run_out(settings: dict, folder: Path, threads: int, report) -> dict:
    """Raise what the settings say, as a library does where something runs out."""
    if settings["how"] == "memory":
        raise MemoryError("Unable to allocate 9 EiB")
    if settings["how"] == "device":
        raise type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor with shape[9,9]")
    if settings["how"] == "weights":
        raise RuntimeError("Unable to flush file (file write failed: errno = 28, error message = 'No space left on device')")
    raise OSError(int(settings["how"]), "words of the system", str(folder / "file.npz"))


if __name__ == "__main__":
    run_cells(make_cells(4, steps=20, wait=0.1), Path(sys.argv[1]), workers=int(sys.argv[2]), threads=1)
