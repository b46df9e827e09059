"""A prepared data set: images.npy, cases.csv, data.json in one folder, written whole or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.csv_text import read_table, write_table
from common.errors import UsageError
from common.files import hash_file, load_json, replace_folder
from common.progress import track

FILES = {"images": "images.npy", "cases": "cases.csv"}
# Columns that are text even where every value looks like a number.
# Files that say what the pictures are: small, and a changed label may leave size and time as they were.
TABLES = (".csv", ".json", ".mhd", ".toml", ".tsv", ".txt", ".xml")
MOST_TABLE_BYTES = 2**24
TEXT_COLUMNS = dict.fromkeys(("case_id", "path", "sha256", "patient_id", "split", "side", "source_case"), str)


@dataclass(frozen=True)
class Dataset:
    """Images and the table of their cases, in the same order."""

    images: np.ndarray  # uint8 (n, side, side, 1), memory-mapped when it comes from disk
    cases: pd.DataFrame  # one line an image: case_id, path, sha256, patient_id, label, ...
    info: dict  # data.json
    folder: Path | None = None  # that it was loaded from

    @property
    def sha256(self) -> str:
        """Of all that is prepared: pixels, labels, patients, listed splits; 64 hexadecimal digits. KeyError unless it comes from
        disk."""
        return hashlib.sha256(" ".join(self.info[f"{name}_sha256"] for name in FILES).encode()).hexdigest()


def write_prepared(folder: Path, images: np.ndarray, cases: pd.DataFrame, info: dict) -> None:
    """Write images (n, side, side) uint8, their case table and info (JSON); the checksums of both files are added to info.

    The folder appears at once (temporary folder, then rename); one that stands there is replaced. `load_dataset` reads it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_prepared(Path(folder) / "hips", np.zeros((2, 8, 8), np.uint8), pd.DataFrame({"label": [0, 1]}), {})
    ...     sorted(path.name for path in (Path(folder) / "hips").iterdir())
    ['cases.csv', 'data.json', 'images.npy']
    """
    with replace_folder(folder) as temporary:
        np.save(temporary / FILES["images"], images[..., None], allow_pickle=False)
        write_table(cases, temporary / FILES["cases"])
        info = {**info, **{f"{name}_sha256": hash_file(temporary / file) for name, file in FILES.items()}}
        info["info_sha256"] = _hash_info(info)
        text = json.dumps(info, indent=1, sort_keys=True)
        (temporary / "data.json").write_text(text + "\n", encoding="utf-8")


def _hash_info(info: dict) -> str:
    known = {name: value for name, value in info.items() if name != "info_sha256"}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def is_prepared(folder: Path, origin: dict, skip_unreadable: bool) -> bool:
    """Whether the folder holds a whole data set of this origin (and, unless they may be skipped, without unreadable files).

    origin: what the data set was made of and how, as in its data.json.

    >>> is_prepared(Path("no/such/folder"), {"side": 50}, skip_unreadable=False)
    False
    """
    try:
        info = load_dataset(folder).info
    except UsageError:
        return False
    return info["origin"] == origin and (skip_unreadable or not info["unreadable"])


def load_dataset(folder: Path) -> Dataset:
    """A prepared data set; images are memory-mapped, read-only. Raises UsageError if it is missing or damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_prepared(Path(folder) / "hips", np.zeros((2, 8, 8), np.uint8), pd.DataFrame({"label": [0, 1]}), {"side": 8})
    ...     hips = load_dataset(Path(folder) / "hips")
    >>> hips.images.shape, hips.cases["label"].to_list(), hips.info["side"]
    ((2, 8, 8, 1), [0, 1], 8)
    """
    try:
        info = load_json(folder / "data.json")
        if _hash_info(info) != info["info_sha256"]:
            raise UsageError(f"{folder / 'data.json'}: damaged; delete the folder and prepare it again")
        for name, file in FILES.items():
            if hash_file(folder / file) != info[f"{name}_sha256"]:
                raise UsageError(f"{folder / file}: damaged; delete the folder and prepare it again")
        images = np.load(folder / FILES["images"], mmap_mode="r", allow_pickle=False)
        cases = read_table(folder / FILES["cases"], dtype=TEXT_COLUMNS, keep_default_na=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{folder}: no whole prepared data set ({error}); prepare it again") from None
    return Dataset(images, cases, info, folder)


def link_dataset(source: Path, dataset: Dataset, folder: Path) -> None:
    """Put a prepared data set into another folder as hard links (copies where the file system has none).

    source: the folder that it was loaded from. What stands in `folder` already, whole and the same, stays; anything else is
    replaced, whole or not at all. Raises UsageError if the source is no longer what was loaded.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     write_prepared(Path(home) / "a", np.zeros((2, 8, 8), np.uint8), pd.DataFrame({"label": [0, 1]}), {})
    ...     dataset = load_dataset(Path(home) / "a")
    ...     link_dataset(Path(home) / "a", dataset, Path(home) / "b")
    ...     load_dataset(Path(home) / "b").sha256 == dataset.sha256
    True
    """
    with contextlib.suppress(UsageError):
        if load_dataset(folder).sha256 == dataset.sha256:
            return
    with replace_folder(folder) as temporary:
        for file in (*FILES.values(), "data.json"):
            try:
                os.link(source / file, temporary / file)
            except OSError:
                shutil.copyfile(source / file, temporary / file)
    if load_dataset(folder).sha256 != dataset.sha256:
        raise UsageError(f"{source}: another run prepares this data set anew; run the same command again")


def hash_listing(files: Collection[Path]) -> str:
    """sha256 of names, sizes and times of raw files, and of the content of tables: tells whether they are still those that were
    read. Pictures are not opened: one that is written over in place with size and both times kept passes for the same.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (picture := Path(folder) / "1.png").touch()
    ...     before, again = hash_listing([picture]), hash_listing([picture])
    ...     _ = picture.write_bytes(b"other")
    ...     (before == again, before == hash_listing([picture]))
    (True, False)
    """
    listing = hashlib.sha256()
    for path in track(files, "looking for changed files"):
        if path.is_dir():  # a link to a folder: where it leads
            listing.update(os.fsencode(path) + b"\t" + os.fsencode(os.path.realpath(path)) + b"\n")
            continue
        stat = path.stat()
        table = path.suffix.lower() in TABLES and stat.st_size <= MOST_TABLE_BYTES
        # The time of the last change of the entry and its number tell files that were exchanged with their sizes and times kept.
        times = f"{stat.st_mtime_ns}\t{stat.st_ctime_ns}\t{stat.st_ino}"
        content = hash_file(path) if table else f"{stat.st_size}\t{times}"
        listing.update(os.fsencode(path) + f"\t{content}\n".encode())
    return listing.hexdigest()
