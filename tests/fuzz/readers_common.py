"""Readers that all papers share: pictures, DICOM, MetaImage, CSV, lists, archives, records of runs, papers, audited tables."""

import functools
import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
from mutator import renew_checksums
from PIL import Image
from planted import place_slice, write_dicom
from reader import Reader
from sample_results import make_content
from test_paper import VALID

from common.audit.sources import TableOptions, audit_source
from common.cases.prepared import load_dataset, write_prepared
from common.data.csv_files import read_csv_table, read_header
from common.data.dicom_pictures import read_ct_slice, read_dicom_picture
from common.data.downloads import extract_zip
from common.data.folder import read_lines
from common.data.metaimage import read_header as read_volume_header
from common.data.metaimage import read_region, write_volume
from common.data.pictures import read_picture, read_size
from common.data.unmarked import FILE, read_unmarked, write_unmarked
from common.errors import UsageError
from common.records.predictions import read_predictions, tabulate_scores, write_predictions
from common.records.provenance import read_commands
from common.records.results import read_results
from common.runs.cells import find_record

RAMP = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
TABLE = "model,Acc (%),Sens,AUC\nCNN,91.5,0.9,0.97 (0.95-0.99)\nSVM,87.5,0.8,0.91\n"
OPTIONS = TableOptions(classes={"ill": 40, "healthy": 60}, folds=1, runs=1)


def write(name: str, content: str | bytes, folder: Path) -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def make_picture(form: str, **options) -> bytes:
    pixels = np.random.default_rng(4).integers(0, 256, (5, 5, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    exif = Image.Exif()
    exif[282], exif[296], exif[270] = 72.0, 2, "a hip"
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, form, exif=exif, **options)
    return kept.getvalue()


def check_picture(size: tuple[int, int] | None, path: Path) -> None:
    picture = read_picture(path, size)
    assert picture.dtype == np.uint8
    assert picture.ndim == 2
    assert size is None or picture.shape == size[::-1]


def write_ultrasound(folder: Path) -> Path:
    return write_dicom(folder / "a.dcm", (RAMP // 8).astype(np.uint8), "US", WindowCenter=100, WindowWidth=200)


def write_slice(folder: Path) -> Path:
    return write_dicom(folder / "a.dcm", RAMP, "CT", **place_slice(3))


def write_scan(folder: Path) -> Path:
    write_volume(folder / "scan.mhd", np.zeros((5, 7, 9), "<i2"), (0.7, 0.8, 2.5), (-100.0, 50.0, -300.5))
    return folder / "scan.mhd"


def read_scan(path: Path) -> None:
    volume = read_volume_header(path)
    read_region(volume, (0, 0, 0), volume.size)


def read_table(path: Path) -> None:
    read_header(path)
    read_csv_table(path, {"path": str, "label": int, "x": float})


def write_archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"pictures/{number}.txt", f"picture {number} " * 50)
    return folder / "data.zip"


def unpack(path: Path) -> None:
    out = path.parent / "unpacked" / "here"
    files = extract_zip(path, out)
    assert all(file.is_relative_to(out) for file in files)
    assert [*out.parent.iterdir()] == [out]


def write_table_of_scores(folder: Path) -> Path:
    cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "label": [0, 1]})
    frame = tabulate_scores(cases, np.array([[0.25, 0.75], [0.5, 0.5]]), protocol="paper", row="CNN", seed=0, fold=0)
    write_predictions(frame, folder / "predictions.csv.gz")
    return folder / "predictions.csv.gz"


def write_workbook(folder: Path) -> Path:
    book = openpyxl.Workbook()
    for line in TABLE.splitlines():
        book.active.append(line.split(","))
    book.save(folder / "table.xlsx")
    return folder / "table.xlsx"


def audit(path: Path) -> None:
    assert audit_source(path, OPTIONS)


def write_set(file: str, folder: Path) -> Path:
    cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "label": [0, 1]})
    write_prepared(folder / "set", np.zeros((2, 8, 8), np.uint8), cases, {"origin": {"side": 8}, "unreadable": []})
    return folder / "set" / file


def read_set(path: Path) -> None:
    """The very set that was written, or none: another spelling of the same JSON is no damage."""
    info = load_dataset(path.parent).info
    assert (info["origin"], info["unreadable"]) == ({"side": 8}, [])


def write_cell(folder: Path) -> Path:
    record = {"digest": "0" * 64, "files": {"model.keras": "1" * 64}, "threads": [1], "settings": {"row": "CNN", "seed": 0}}
    record |= {"dirty": False, "outcome": {"commit": "abc"}, "seconds": 1.5}  # of an earlier version, without its own sha256
    return write("cell.json", json.dumps(record), folder)


def read_cell(path: Path) -> None:
    if find_record(path.parent) is None:
        raise UsageError("damaged: the training is done anew")


COMMAND = {"command": "python -m run", "started": "2026-01-01T00:00:00+00:00", "commit": "abc", "dirty": False}
MARKDOWN = "| model | Acc | AUC |\n|---|---|---|\n| CNN | 91.5 | 0.97 |\n"
CSV = "path,label,x\na.png,1,0.5\nb.png,0,-3e4\n"

READERS = {
    **{
        f"picture: {name}, {size or 'any size'}": Reader(functools.partial(write, "picture", make_picture(*form, **options)),
                                                         functools.partial(check_picture, size), mend)
        for name, form, options, mend in (
            ("JPEG", ("JPEG",), {}, bytes), ("progressive JPEG", ("JPEG",), {"progressive": True}, bytes),
            ("PNG", ("PNG",), {}, renew_checksums),
        )
        for size in (None, (50, 50))
    },
    "picture: size alone": Reader(functools.partial(write, "picture", make_picture("PNG")), lambda path: read_size(path) and None,
                                  renew_checksums),
    "DICOM: ultrasound": Reader(write_ultrasound, lambda path: read_dicom_picture(path, ("US",), colours=True) and None),
    "DICOM: slice of a CT": Reader(write_slice, lambda path: read_ct_slice(path) and None),
    "MetaImage: header": Reader(write_scan, read_scan),
    "CSV table": Reader(functools.partial(write, "table.csv", CSV), read_table),
    "list of lines": Reader(functools.partial(write, "list.txt", "a\nb\n\u00e4\n"), lambda path: read_lines(path) and None),
    "zip archive": Reader(write_archive, unpack),
    "phantoms: unmarked": Reader(lambda folder: write_unmarked(folder, ["p1", "p2"]) or folder / FILE,
                                 lambda path: read_unmarked(path.parent) and None),
    "record: predictions": Reader(write_table_of_scores, lambda path: read_predictions(path) is None),
    "record: unpacked predictions": Reader(write_table_of_scores, lambda path: read_predictions(path) is None,
                                         functools.partial(gzip.compress, mtime=0), gzip.decompress),
    "record: results.json": Reader(functools.partial(write, "results.json", json.dumps(make_content(), indent=1)),
                                   lambda path: read_results(path) and None),
    "record: commands.json": Reader(functools.partial(write, "commands.json", json.dumps([COMMAND, COMMAND])),
                                    lambda path: read_commands(path) and None),
    "record: cell.json": Reader(write_cell, read_cell),
    "prepared set: data.json": Reader(functools.partial(write_set, "data.json"), read_set),
    **{f"prepared set: {file}": Reader(functools.partial(write_set, file), read_set, sealed=True)
       for file in ("images.npy", "cases.csv")},
    "paper.toml": Reader(functools.partial(write, "paper.toml", VALID), audit),
    "audit: CSV": Reader(functools.partial(write, "table.csv", TABLE), audit),
    "audit: Markdown": Reader(functools.partial(write, "table.md", MARKDOWN), audit),
    "audit: workbook": Reader(write_workbook, audit),
    "audit: results.json": Reader(functools.partial(write, "results.json", json.dumps(make_content(), indent=1)), audit),
}  # fmt: skip
