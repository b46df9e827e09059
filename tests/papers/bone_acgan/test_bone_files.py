"""Files as people have them: names that changed in passing, pictures of 16 bits, chests that no wanted row needs."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from bone_samples import LABELS, SMALL, draw_counts, write_bs80k

from common.cli import parse_options
from common.errors import UsageError
from replications.bone_acgan import data, plans, stages
from replications.bone_acgan.rows import CHESTS, SCANS
from replications.bone_acgan.sources import scans


def write_pictures(folder: Path, depth: int, count: int = 6) -> Path:
    folder.mkdir(parents=True)
    lines = ["path,label,patient"]
    for number in range(count):
        grey = np.clip(draw_counts(number)[0] * (1000 if depth == 16 else 4), 0, 2**depth - 1)
        cv2.imwrite(str(folder / f"s{number}.png"), grey.astype(f"u{depth // 8}"))
        lines.append(f"s{number}.png,{LABELS[number % len(LABELS)]},p{number}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_pictures_of_sixteen_bits_are_scaled_as_counts_are(tmp_path):
    pictures, cases, notes = scans.read_own(write_pictures(tmp_path / "deep", 16), SMALL)
    assert notes["faults"] == []
    assert len(cases) == 6
    assert all(len(np.unique(picture)) > 30 for picture in pictures)  # not cut to the top or the bottom


def test_names_that_changed_in_passing(tmp_path):
    folder = write_pictures(tmp_path / "own", 8)
    expected = scans.read_own(folder, SMALL)[0]
    (folder / "s1.png").rename(folder / "s1.PNG")
    assert (scans.read_own(folder, SMALL)[0] == expected).all()
    with (folder / "cases.csv").open("a") as file:
        file.write(f"s1.PNG,{LABELS[1]},p1\n")
    assert scans.read_own(folder, SMALL)[2]["faults"] == ["cases.csv line 8: 's1.PNG' is listed again"]
    (folder / "s2.png").rename(folder / "S2.png")
    assert "'S2.png' is there: correct the table" in scans.read_own(folder, SMALL)[2]["faults"][0]


def test_bs80k_with_other_endings_and_what_a_mac_adds(tmp_path):
    write_bs80k(tmp_path)
    _, cases, _ = scans.read_bs80k(tmp_path, SMALL)
    for path in list(tmp_path.rglob("*.jpg")):
        shutil.copy(path, path.with_name(f"._{path.name}"))
        path.rename(path.with_suffix(".JPG"))
    _, again, notes = scans.read_bs80k(tmp_path, SMALL)
    assert again["label"].tolist() == cases["label"].tolist()
    assert "unused" not in notes


def test_chests_are_prepared_only_where_a_wanted_gan_learns_from_them(tmp_path):
    write_pictures(tmp_path / "bone_scans", 8, count=12)
    (tmp_path / "covid_cxr").mkdir()  # no picture in it: preparing it would end the run
    source = data.find_source(tmp_path, SMALL)
    options = parse_options(["--out", str(tmp_path / "out")], "x", "", ["demo"])
    assert list(stages.prepare(options, source, SMALL, [])) == [SCANS]
    assert list(stages.prepare(options, source, SMALL, [one for one in plans.list_gans() if not one.transfer])) == [SCANS]
    with pytest.raises(UsageError, match="no pictures in folders COVID"):
        stages.prepare(options, source, SMALL, plans.list_gans())
    assert CHESTS != SCANS
