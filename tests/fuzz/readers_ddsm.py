"""Readers of ddsm_inceptionv4: .ics, LJPEG, OVERLAY and DICOM files, tables of every collection, the list of stored networks."""

import functools
import json
from pathlib import Path

import numpy as np
from ddsm_samples import SMALL, draw_film, to_levels, write_archive, write_one
from PIL import Image
from reader import Reader, raise_first

from replications.ddsm_inceptionv4.predict import LIST, choose_network
from replications.ddsm_inceptionv4.predict import read_film as read_new
from replications.ddsm_inceptionv4.sources import cbis, ddsm, mias, own
from replications.ddsm_inceptionv4.sources.ics import read_ics
from replications.ddsm_inceptionv4.sources.ljpeg import read_film
from replications.ddsm_inceptionv4.sources.mg import read_mammogram
from replications.ddsm_inceptionv4.sources.overlay import draw_mask, read_overlay
from replications.ddsm_inceptionv4.sources.phantoms import write_dicom

FILM = np.ascontiguousarray(to_levels(draw_film(size=(60, 40))[0]))
INDEX = "class,volume,case,image,view,digitised_at,has_overlay\n"
CBIS = "patient_id,breast_density,left or right breast,image view,abnormality id,pathology,image file path\n"


def write_case(folder: Path, pattern: str, scanner: int = 1) -> Path:
    return sorted(write_one(folder, scanner=scanner).glob(pattern))[0]


def read_packed(path: Path) -> None:
    read_film(path, read_ics(next(path.parent.glob("*.ics"))).films["LEFT_CC"])


def write_picture(folder: Path, lossless: bool) -> Path:
    write_dicom(folder / "film.dcm", FILM, "phantom", "LEFT_CC", lossless=lossless)
    return folder / "film.dcm"


def write_own(folder: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.fromarray(FILM).save(folder / name)
    lines = ["path,label,patient,laterality,view,digitiser,density", "a.png,lesion,p1,L,CC,Lumisys,4", "b.png,0,p2,right,mlo,,"]
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder / "cases.csv"


def write_mias(folder: Path) -> Path:
    (folder / "images").mkdir()
    for number in range(1, 4):
        Image.fromarray((FILM >> 4).astype(np.uint8)).save(folder / "images" / f"mdb{number:03d}.png")
    (folder / "Info.txt").write_text("mdb001 G CIRC B 535 425 197\nmdb002 D NORM\nmdb003 F CALC M 12 13 4\n")
    return folder / "Info.txt"


def write_cbis(folder: Path) -> Path:
    lines = []
    for number, side in enumerate(("LEFT", "RIGHT")):
        series = f"Mass-Training_P_0000{number}_{side}_CC"
        (folder / series).mkdir()
        write_dicom(folder / series / "1-1.dcm", FILM, series, "LEFT_CC", lossless=False)
        lines.append(f"P_0000{number},3,{side},CC,1,{('BENIGN', 'MALIGNANT')[number]},{series}/1.2/1.3/000000.dcm\n")
    path = folder / "mass_case_description_train_set.csv"
    path.write_text(CBIS + "".join(lines))
    return path


def write_index(folder: Path) -> Path:
    write_archive(folder, cases=1)
    lines = []
    for one in ddsm.list_ddsm(folder / "ddsm").mammograms:
        stem, _, view = one.case_id.partition(".")
        lines.append(f"x,v1,case1,{stem},{view},B,{one.label}\n")
    (folder / "index.csv").write_text(INDEX + "".join(lines))
    return folder / "index.csv"


def write_networks(folder: Path) -> Path:
    entries = [{"row": f"k = {k}", "cell": f"cell-{k}", "protocol": "leakfree"} for k in range(2)]
    (folder / LIST).write_text(json.dumps(entries))
    return folder / LIST


def read_listing(read, path: Path) -> None:
    listing = read(path.parent)
    assert {one.label for one in listing.mammograms} <= {0, 1}
    raise_first(listing.faults, path.parent)


@functools.cache
def list_films(folder: Path) -> tuple:
    return tuple(ddsm.list_ddsm(folder).mammograms)


def read_index(path: Path) -> None:
    _, _, problems = ddsm.compare_index(path, list_films(path.parent / "ddsm"))
    raise_first(problems, path.parent)


READERS = {
    "ddsm: ics": Reader(functools.partial(write_case, pattern="*.ics"), read_ics),
    "ddsm: film of Lumisys": Reader(functools.partial(write_case, pattern="*.LEFT_CC.LJPEG", scanner=1), read_packed),
    "ddsm: film of DBA": Reader(functools.partial(write_case, pattern="*.LEFT_CC.LJPEG", scanner=2), read_packed),
    "ddsm: overlay": Reader(
        functools.partial(write_case, pattern="*.OVERLAY"),
        lambda path: [draw_mask(one.boundary, 200, 120) for one in read_overlay(path)] and None,
    ),
    "ddsm: DICOM": Reader(functools.partial(write_picture, lossless=False), read_mammogram),
    "ddsm: lossless DICOM": Reader(functools.partial(write_picture, lossless=True), read_mammogram),
    "ddsm: new DICOM": Reader(
        functools.partial(write_picture, lossless=True), lambda path: read_new(path, path.name, SMALL) and None
    ),
    "ddsm: own table": Reader(write_own, functools.partial(read_listing, own.list_own)),
    "ddsm: list of mini-MIAS": Reader(write_mias, functools.partial(read_listing, mias.list_mias)),
    "ddsm: table of CBIS-DDSM": Reader(write_cbis, functools.partial(read_listing, cbis.list_cbis)),
    "ddsm: index of the archive": Reader(write_index, read_index),
    "ddsm: list of networks": Reader(write_networks, lambda path: choose_network(path.parent, "") and None),
}
