"""Files as people have them: names that changed in passing, 12 bits, pictures on their side, masks of 16 bits."""

import re
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image
from thyroid_samples import draw, prepare, write_hou2024, write_own, write_tn5000

from common.errors import UsageError
from replications.thyroid_ensemble import rois
from replications.thyroid_ensemble.config import PAPER
from replications.thyroid_ensemble.sources import published

BOX = (20, 15, 60, 45)


def rewrite(table, old: str, new: str) -> None:
    text = table.read_text(encoding="utf-8")
    assert old in text
    table.write_text(text.replace(old, new), encoding="utf-8")


def test_names_that_changed_in_passing(tmp_path):
    write_own(tmp_path)
    folder = tmp_path / "thyroid"
    expected = prepare(tmp_path, tmp_path / "a")
    (folder / "p0_0.png").rename(folder / "Jos\u00e9.PNG")
    rewrite(folder / "cases.csv", "p0_0.png", unicodedata.normalize("NFD", "Jos\u00e9.png"))
    found = prepare(tmp_path, tmp_path / "b")
    assert (found.images == expected.images).all()
    rewrite(folder / "cases.csv", "p1_0.png", "p1 0.png")
    with pytest.raises(UsageError, match="p1 0.png: no such file; 'p1_0.png' is there: correct the table or rename it"):
        prepare(tmp_path, tmp_path / "c")


def test_one_file_under_two_spellings_of_a_nodule_counts_once(tmp_path):
    write_own(tmp_path)
    folder = tmp_path / "thyroid"
    with (folder / "cases.csv").open("a", encoding="utf-8") as file:
        file.write("p0_0.PNG,benign,patient 0,20,15,60,45\n")
    _, faults = published.list_own(folder)
    assert faults == ["cases.csv line 26: 'p0_0.PNG' is listed twice with the same nodule"]


def test_what_a_mac_adds_is_no_picture_of_tn5000(tmp_path):
    write_tn5000(tmp_path)
    _, cases, notes = published.read_tn5000(tmp_path / "tn5000", PAPER)
    for path in list((tmp_path / "tn5000").rglob("*.*")):
        shutil.copy(path, path.with_name(f"._{path.name}"))
    (tmp_path / "tn5000/__MACOSX").mkdir()
    _, again, noted = published.read_tn5000(tmp_path / "tn5000", PAPER)
    assert again.equals(cases)
    assert noted == notes


def test_a_near_miss_is_not_told_where_names_of_files_name_patients(tmp_path):
    write_hou2024(tmp_path)
    folder = tmp_path / "hou2024"
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    pictures[0].rename(pictures[0].with_name(f"{pictures[0].stem} copy.png"))
    _, _, notes = published.read_hou2024(folder, PAPER)
    (fault,) = notes["faults"]
    assert "a file whose name differs little is there" in fault
    assert pictures[0].stem not in fault


def test_a_name_that_no_file_can_have_is_a_fault_of_its_line(tmp_path):
    write_hou2024(tmp_path)
    table = next(tmp_path.rglob("batch1_image.csv"))
    table.write_text(table.read_text(encoding="utf-8-sig").replace("Name2_002.Jpg", f"Name2_{'0' * 300}.Jpg"))
    _, cases, notes = published.read_hou2024(tmp_path / "hou2024", PAPER)
    (fault,) = notes["faults"]
    assert re.search("'batch1_image.csv line 5': a name of .* is too long for a file", fault)
    assert "Name2" not in fault
    assert len(cases) == 23


def test_twelve_bits_and_a_picture_on_its_side(tmp_path):
    write_own(tmp_path)
    folder = tmp_path / "thyroid"
    grey = np.asarray(draw(0))
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(np.rot90(grey, -1).astype(np.uint16) * 16).save(folder / "p0_0.png", exif=exif)
    with pytest.raises(UsageError, match=r"p0_0.png: pixel type I;16 .*state which level is black and which white"):
        prepare(tmp_path, tmp_path / "a")
    table = folder / "cases.csv"
    lines = [line + (",0,4080" if "p0_0" in line else ",,") for line in table.read_text().splitlines()[1:]]
    table.write_text("\n".join(["path,label,patient,x0,y0,x1,y1,black,white", *lines]) + "\n")
    found = prepare(tmp_path, tmp_path / "b")
    assert "window" not in found.cases
    assert (found.images[0, ..., 0] == rois.cut_roi(grey, BOX, PAPER)).all()


def test_a_window_that_one_picture_cannot_reach_is_a_fault_of_its_line(tmp_path):
    write_own(tmp_path)
    table = tmp_path / "thyroid" / "cases.csv"
    lines = [line + (",0,4095" if "p0_0" in line else ",,") for line in table.read_text().splitlines()[1:]]
    table.write_text("\n".join(["path,label,patient,x0,y0,x1,y1,black,white", *lines]) + "\n")
    _, cases, notes = published.read_own(tmp_path / "thyroid", PAPER)
    (fault,) = notes["faults"]
    assert re.search(r"p0_0.png.*: its highest level is 255, which the window 0,4095 exceeds; leave it empty", fault)
    assert len(cases) == len(lines) - 1


def test_a_mask_of_sixteen_bits(tmp_path):
    mask = np.zeros((70, 90), np.uint16)
    mask[15:45, 20:60] = 65535
    draw(0).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "cases.csv").write_text("path,label,patient,mask\na.png,0,p,mask.png\n")
    images, _, notes = published.read_own(tmp_path, PAPER)
    assert notes["faults"] == []
    assert (images[0] == rois.cut_roi(np.asarray(draw(0)), BOX, PAPER)).all()
