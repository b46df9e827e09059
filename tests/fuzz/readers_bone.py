"""Readers of bone_acgan: tables and lists of scans, scans, radiographs, the list of stored networks."""

import functools
import json
from pathlib import Path

import cv2
import numpy as np
from bone_samples import LABELS, SMALL, write_bs80k, write_own
from mutator import renew_checksums
from reader import Reader, check_read

from replications.bone_acgan.predict import LIST, choose_networks
from replications.bone_acgan.sources import chests, scans
from replications.bone_acgan.sources.dicom import read_scan, write_scan

COUNTS = np.random.default_rng(0).poisson(30, (2, 12, 8)).astype(np.uint16)


def write_table(folder: Path) -> Path:
    write_own(folder, LABELS[:3])
    return folder / scans.TABLE


def write_list(folder: Path) -> Path:
    write_bs80k(folder, count=2)
    return folder / "wholeBodyANT" / "labels.txt"


def write_chests(folder: Path) -> Path:
    place = folder / "COVID" / "images"
    place.mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png")):
        cv2.imwrite(str(place / name), np.random.default_rng(number).integers(0, 256, (20, 20), np.uint8))
    return place / "a.png"


def write_one(folder: Path) -> Path:
    write_scan(folder / "scan.dcm", COUNTS, "phantom007", 2.4)
    return folder / "scan.dcm"


def write_networks(folder: Path) -> Path:
    (folder / LIST).write_text(
        json.dumps([{"cell": "final-0", "protocol": "leakfree"}, {"cell": "final-1", "protocol": "leakfree"}])
    )
    return folder / LIST


def read_source(read, up: int, path: Path) -> None:
    folder = path.parents[up]
    check_read(*read(folder, SMALL), folder, labels=4)


READERS = {
    "bone: own table": Reader(write_table, functools.partial(read_source, scans.read_own, 0)),
    "bone: list of BS-80K": Reader(write_list, functools.partial(read_source, scans.read_bs80k, 1)),
    "bone: radiograph": Reader(write_chests, functools.partial(read_source, chests.read_chests, 2), renew_checksums),
    "bone: scan": Reader(write_one, read_scan, warns=True),
    "bone: list of networks": Reader(write_networks, lambda path: choose_networks(path.parent)),
}
