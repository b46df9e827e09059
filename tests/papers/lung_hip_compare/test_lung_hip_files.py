"""Files as people have them: what a Mac adds, names that changed, pictures on their side or of 12 bits, no crop boxes."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hostile import edit
from lung_hip_samples import prepare, write_patches
from PIL import Image

from common.cli import parse_options
from common.errors import UsageError
from replications.lung_hip_compare import data, run
from replications.lung_hip_compare.config import DEMO, SMOKE
from replications.lung_hip_compare.sources import hips, luna16


def choose(paper, folder: Path, out: Path, *more: str):
    """Wanted rows, reasons of the others, and the data sets that are prepared."""
    options = parse_options(["--preset", "demo", "--data", str(folder), "--out", str(out), *more], "x", "", ["demo"])
    _, sources = run.choose_sources(options)
    wanted, reasons = run.choose_rows(options, SMOKE, sources, paper)
    needed = {row.name.split(" / ")[0] for row in wanted}
    return [row.name for row in wanted], reasons, list(run.prepare_datasets(options, sources, SMOKE, needed))


@pytest.mark.parametrize("boxes", ["none", "of one class"])
def test_hips_without_boxes_run_but_for_the_cropped_data_sets(paper, user_hips, tmp_path, boxes):
    table = user_hips.path / "cases.csv"
    lines = table.read_text().splitlines()
    kept = [line if boxes == "of one class" and ",1,patient" in line else line.split(",R,")[0] + ",R,,,," for line in lines[1:]]
    table.write_text("\n".join([lines[0], *kept]) + "\n")
    wanted, reasons, prepared = choose(paper, tmp_path, tmp_path / "out")
    assert prepared == ["128x128 unresized", "256x256 unresized"]
    assert {name.split(" / ")[0] for name in wanted} == set(prepared)
    for row in ("128x128 resized / CNN", "256x256 resized", "256x256 resized / SGAN"):
        assert reasons[row].startswith(f"no crop boxes{' of both classes' * (boxes != 'none')} in cases.csv")


def test_only_the_data_sets_of_the_wanted_rows_are_prepared(paper, user_hips, tmp_path):
    write_patches(tmp_path)
    (user_hips.path / "p3.jpg").write_bytes(b"damaged")  # would stop the run if it were read
    wanted, _, prepared = choose(paper, tmp_path, tmp_path / "out", "--rows", "LUNA16 / CNN", "--tables", "2")
    assert wanted == ["LUNA16 / CNN"]
    assert prepared == ["LUNA16"]
    with pytest.raises(UsageError, match="p3.jpg"):
        choose(paper, tmp_path, tmp_path / "out")


def test_a_run_reads_the_data_of_its_rows_alone(user_hips, tmp_path, monkeypatch):
    """`run` itself, up to the point where the run's folder is opened."""
    write_patches(tmp_path)
    (user_hips.path / "p3.jpg").write_bytes(b"damaged")

    class Opened(Exception):
        pass

    def stop(*_, datasets, **__):
        raise Opened(sorted(datasets))

    monkeypatch.setattr(run, "open_run", stop)
    options = ["--preset", "demo", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--rows", "LUNA16 / CNN"]
    with pytest.raises(Opened, match=r"\['data/luna16'\]"):
        run.run(parse_options([*options, "--tables", "2"], "x", "", ["demo"]))
    with pytest.raises(Opened, match=r"\['data/luna16', 'data/luna16-held-out-list'\]"):
        run.run(parse_options(options, "x", "", ["demo"]))


def test_what_a_mac_adds_is_no_scan_and_no_patch(patches, tmp_path):
    data.write_phantoms(tmp_path / "ct", SMOKE, seed=0)
    scans = tmp_path / "ct/luna16"
    expected = luna16.find_volumes(scans)
    assert expected[0]
    for path in [*scans.glob("subset*/*.mhd"), *patches.path.glob("train/*.jpg")]:
        shutil.copy(path, path.with_name(f"._{path.name}"))
    assert luna16.find_volumes(scans) == expected
    assert luna16.read_patches(patches.path, SMOKE)[2]["unused"] == {"validation patches": 5}
    for path in scans.glob("subset*/[!.]*.mhd"):
        path.unlink()
    assert data.find_sources(tmp_path / "ct")["luna"] is None


def test_names_that_changed_in_passing(user_hips, patches, tmp_path):
    expected = prepare("128x128 unresized", user_hips, DEMO, tmp_path / "a")
    (user_hips.path / "p1.jpg").rename(user_hips.path / "p1.JPG")
    edit(user_hips.path / "cases.csv", "p2.jpg,", "p2.jpg ,")
    found = prepare("128x128 unresized", user_hips, DEMO, tmp_path / "b")
    assert (found.images == expected.images).all()
    (patches.path / "train/image_100.jpg").rename(patches.path / "train/image_100.JPG")
    assert luna16.read_patches(patches.path, SMOKE)[2]["faults"] == []
    (user_hips.path / "p5.jpg").rename(user_hips.path / "P5.jpg")
    with pytest.raises(UsageError, match=r"p5.jpg: no such file; 'P5.jpg' is there"):
        prepare("128x128 unresized", user_hips, DEMO, tmp_path / "c")


def test_boxes_are_of_the_picture_as_it_is_shown(user_hips, tmp_path):
    shown = np.random.default_rng(1).integers(0, 256, (50, 60), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(shown)).save(user_hips.path / "p3.png", exif=exif)
    edit(user_hips.path / "cases.csv", "p3.jpg", "p3.png")
    prepared = prepare("128x128 resized", user_hips, SMOKE, tmp_path / "data")
    np.testing.assert_array_equal(prepared.images[3, ..., 0], hips.scale_picture(shown[5:45, 10:40], 32))


def test_twelve_bits_within_a_window(user_hips, tmp_path):
    deep = np.random.default_rng(2).integers(0, 4096, (50, 60)).astype(np.uint16)
    Image.fromarray(deep).save(user_hips.path / "p3.png")
    table = user_hips.path / "cases.csv"
    edit(table, "p3.jpg", "p3.png")
    with pytest.raises(UsageError, match="p3.png: pixel type .* state which level is black and which white"):
        prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "a")
    head, *lines = table.read_text().splitlines()
    lines = [f"{line},{'0,4095' if 'p3' in line else ','}" for line in lines]
    table.write_text("\n".join([f"{head},black,white", *lines]) + "\n")
    found = prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "b").images[3, ..., 0]
    scaled = cv2.resize(np.rint(deep / 4095 * 255).astype(np.uint8), (32, 32), interpolation=cv2.INTER_AREA)
    assert (found == scaled).all()
    other = lines[3].replace(",R,", ",L,").replace("0,4095", "0,1000")
    table.write_text("\n".join([f"{head},black,white", *lines, other]) + "\n")
    with pytest.raises(UsageError, match="'p3.png' is listed with several black,white"):
        prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "c")


def test_a_window_that_a_picture_cannot_reach_is_a_fault_of_its_line(user_hips, tmp_path):
    table = user_hips.path / "cases.csv"
    head, *lines = table.read_text().splitlines()
    lines = [f"{line},{'0,4095' if 'p3' in line else ','}" for line in lines]
    table.write_text("\n".join([f"{head},black,white", *lines]) + "\n")
    with pytest.raises(UsageError, match="p3.jpg: its highest level is 255, which the window 0,4095 exceeds; leave it empty"):
        prepare("128x128 unresized", user_hips, SMOKE, tmp_path / "a")


def test_one_file_under_two_spellings_is_one_picture(user_hips):
    """Its two hips, of which one is broken, belong together, and so do the patients that it is listed under."""
    table = user_hips.path / "cases.csv"
    head, *lines = table.read_text().splitlines()
    line = next(line for line in lines if "p3.jpg" in line)
    other = line.replace("p3.jpg,1", "p3.JPG,0").replace(",R,", ",L,")
    table.write_text("\n".join([head, *lines, other]) + "\n")
    whole, faults = hips.gather_radiographs(hips.list_radiographs(user_hips.path)[0])
    assert (len(whole), faults) == (12, [])
    assert whole.set_index("file").loc["p3.jpg", "label"] == 1
    table.write_text("\n".join([head, *lines, other.replace("patient 3", "somebody else")]) + "\n")
    _, faults = hips.gather_radiographs(hips.list_radiographs(user_hips.path)[0])
    assert faults == ["'p3.jpg' is listed under 2 patients"]


def test_the_pictures_given_instead_of_their_parent(user_hips, tmp_path, capsys):
    inner = tmp_path / "top/inner"
    shutil.copytree(user_hips.path, inner / "hips")
    for folder, advice in ((inner / "hips", f"give its parent, {inner}"), (tmp_path / "top", f"give {inner}")):
        assert run.main(["--preset", "demo", "--data", str(folder), "--out", str(tmp_path / "out")]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert advice in error
        assert f"wanted: {folder}/luna16_patches/traindatalabels.txt or " in error
    assert data.main(["--data", str(inner / "hips")]) == 2
    shown = capsys.readouterr().out
    assert f"found in {inner / 'hips'}: cases.csv, p0.jpg" in shown
    assert f"what to do: this is hips/ itself: give its parent, {inner}" in shown
