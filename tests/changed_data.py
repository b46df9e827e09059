"""Data that change between two commands: what the tests of every package share.

A change of one label, patient, split entry or pixel must lead to new trainings; no change must lead to none.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hostile import edit
from PIL import Image

from common.records.predictions import read_predictions
from common.records.results import read_results

SMALL = ["--preset", "demo", "--protocol", "paper", "--workers", "1", "--threads", "1", "--seeds", "0", "--set", "seeds=0"]


@dataclass(frozen=True)
class Example:
    """A package with data of a user, the rows that are trained, one training each, and changes of the data."""

    main: Callable[[Sequence[str]], int]
    rows: Sequence[str]
    flags: Sequence[str]
    write: Callable[[Path], None]
    changes: Mapping[str, Callable[[Path], None]]
    other_setting: str  # shapes every row

    def run(self, data: Path, out: Path, *more: str) -> None:
        argv = [*SMALL, "--rows", ",".join(self.rows), *self.flags, *more, "--data", str(data), "--out", str(out)]
        assert self.main(argv) == 0


def swap(file: str, text: str, new: str) -> Callable[[Path], None]:
    """Replace a text in a table; the file keeps its time, and its size where both texts have one length."""

    def change(data: Path) -> None:
        times = (data / file).stat()
        edit(data / file, text, new)
        os.utime(data / file, ns=(times.st_atime_ns, times.st_mtime_ns))

    return change


def change_pixels(file: str) -> Callable[[Path], None]:
    """A small dot in a picture."""

    def change(data: Path) -> None:
        pixels = np.array(Image.open(data / file))
        pixels[20:24, 22:26] ^= 255
        Image.fromarray(pixels).save(data / file)

    return change


def list_trainings(out: Path) -> dict[str, int]:
    """Finished trainings (run folder and cell) and when they were written."""
    return {str(path.parent.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("*/*/cells/*/cell.json")}


def check_changes(example: Example, folder: Path) -> None:
    """Every change is trained again in a run folder of its own, and no change is not; nor is going back."""
    data, kept, out = folder / "data", folder / "kept", folder / "out"
    example.write(data)
    shutil.copytree(data, kept)

    def train(*more: str) -> set[str]:
        """The trainings that this command did."""
        before = list_trainings(out)
        example.run(data, out, *more)
        return {cell for cell, time in list_trainings(out).items() if before.get(cell) != time}

    first = train()
    assert len(first) == len(example.rows)
    assert train() == set()
    for what, change in example.changes.items():
        change(data)
        again = train()
        assert {Path(cell).name for cell in again}, what
        assert not again & first, what
        shutil.rmtree(data)
        shutil.copytree(kept, data)
    assert train() == set()
    assert len(train("--set", example.other_setting)) == len(first)


def check_results(example: Example, folder: Path) -> None:
    """The classes that the report shows, and the labels that its numbers rest on, are those of the table as it is now."""
    data, out = folder / "data", folder / "out"
    example.write(data)
    found = []
    for change in (lambda _: None, example.changes["label"]):
        change(data)
        example.run(data, out)
        newest = max(out.glob("*/*/results.json"), key=lambda path: path.stat().st_mtime_ns).parent
        predictions = read_predictions(newest / "predictions.csv.gz")
        classes = {entry.dataset: entry.classes for entry in read_results(newest / "results.json").datasets}
        found.append((newest, classes, predictions))
    (first, before, old), (second, after, new) = found
    assert first != second
    assert before != after
    assert not old.equals(new)
