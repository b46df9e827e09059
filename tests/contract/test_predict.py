"""`predict` of every package alike: warnings, JSON, folders, files of the same name, bad files among good ones, nobody's name."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import NAME, PERSON, find_name, write_dicom, write_nifti, write_pictures
from tiny_runs import PACKAGES, Tiny, draw_picture, save_picture, write_tiny_run

from common.runs.networks import DISCLAIMER, SYNTHETIC

pytestmark = pytest.mark.usefixtures("backend")
MODALITIES = {"thyroid_ensemble": "US", "glioma_inceptionv3": "MR", "ddsm_inceptionv4": "MG", "bone_acgan": "NM"}


@pytest.fixture(scope="module", params=PACKAGES)
def tiny(request, backend, tmp_path_factory) -> Tiny:
    return write_tiny_run(request.param, tmp_path_factory.mktemp(request.param))


def read_lines(out: Path) -> pd.DataFrame:
    """predictions.csv without the mean of all lines."""
    table = pd.read_csv(out / "predictions.csv")
    return table[~table.iloc[:, 0].str.startswith("all ")]


def ask_json(tiny: Tiny, capsys, out: Path, *argv, code: int = 0) -> tuple[dict, list[str]]:
    """JSON and the lines on stderr."""
    capsys.readouterr()
    assert tiny.ask(out, *argv, "--json") == code
    printed = capsys.readouterr()
    return json.loads(printed.out, parse_constant=pytest.fail), printed.err.splitlines()


def test_numbers_come_with_both_warnings_and_without_a_spread(tiny, tmp_path, capsys):
    """One network: there is no spread, so none is shown."""
    picture = save_picture(tmp_path / "a.png", draw_picture(tiny.name))
    assert tiny.ask(tmp_path / "out", picture) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[:2] == [DISCLAIMER, SYNTHETIC]
    table = (tmp_path / "out" / "predictions.csv").read_text()
    assert not re.search(r"\bnan\b", printed.out + table, re.IGNORECASE)
    assert not [name for name in table.splitlines()[0].split(",") if name.startswith(("sd", "spread"))]
    found, lines = ask_json(tiny, capsys, tmp_path / "json", picture)
    assert found["notes"][:2] == lines[:2] == [DISCLAIMER, SYNTHETIC]
    assert found["not_read"] == []
    assert len(found["images"]) >= 1
    assert (tmp_path / "json" / "predictions.csv").read_text() == table
    sheets = [line["sheet"] for line in found["images"] if line.get("sheet")]
    assert all((tmp_path / "json" / sheet).is_file() for sheet in sheets)
    assert sheets or tiny.name == "bone_acgan"  # which draws none


def test_files_of_one_name_in_a_folder_are_told_apart(tiny, tmp_path, capsys):
    for number, folder in enumerate(("left", "right")):
        save_picture(tmp_path / "all" / folder / "a.png", draw_picture(tiny.name, number))
        (tmp_path / "all" / folder / "._a.png").write_bytes(b"\0\x05\x16\x07Mac OS X")
        (tmp_path / "all" / folder / "notes.txt").write_text("no picture")
    (tmp_path / "all" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    save_picture(tmp_path / "all" / "left" / "b.png", draw_picture(tiny.name, 2))
    found, _ = ask_json(tiny, capsys, tmp_path / "out", tmp_path / "all")
    lines = read_lines(tmp_path / "out")
    assert lines.iloc[:, 0].tolist() == ["left/a.png", "b.png", "right/a.png"]
    if "sheet" in lines:
        assert lines["sheet"].nunique() == len(list((tmp_path / "out").glob("*.png"))) == 3
    names = [next(iter(line.values())) for line in found["images"]]
    assert names[:3] == lines.iloc[:, 0].tolist()
    tiny.ask(tmp_path / "one", tmp_path / "all" / "right" / "a.png")
    numbers = lines.select_dtypes("number").columns
    alone = read_lines(tmp_path / "one")[numbers].iloc[0]
    np.testing.assert_allclose(lines[numbers].iloc[2].to_numpy(float), alone.to_numpy(float), atol=2e-4)


def test_a_copy_of_a_file_stops_nothing(tiny, tmp_path, capsys):
    """Views of a bone scan are averaged: there the copy counts once, and is named."""
    first, copy = (save_picture(tmp_path / name, draw_picture(tiny.name)) for name in ("a.png", "copy.png"))
    other = save_picture(tmp_path / "b.png", draw_picture(tiny.name, 1))
    averaged = tiny.name == "bone_acgan"
    found, _ = ask_json(tiny, capsys, tmp_path / "out", first, copy, other, code=int(averaged))
    assert found["not_read"] == [f"{copy}: the same content as {first}, which counts once"] * averaged
    assert read_lines(tmp_path / "out").iloc[:, 0].tolist() == ["a.png", *(["copy.png"] * (not averaged)), "b.png"]


def test_sheets_are_those_of_the_last_call(tiny, tmp_path):
    out = tmp_path / "out"
    a, b, c = (save_picture(tmp_path / f"{name}.png", draw_picture(tiny.name, number)) for number, name in enumerate("abc"))
    assert tiny.ask(out, a, b) == 0
    own = [out / name for name in ("mine.png", "001-mine.png", "scan.dcm")]
    for path in own:
        path.write_text("of the user")
    assert tiny.ask(out, c) == 0
    table = pd.read_csv(out / "predictions.csv")
    sheets = list(table["sheet"].dropna()) if "sheet" in table else []
    assert sorted(path.name for path in out.iterdir()) == sorted([*sheets, "predictions.csv", *(path.name for path in own)])
    assert {path.read_text() for path in own} == {"of the user"}
    (out / "predictions.csv").write_text("sheet,image\nmine.png,a\n../a.png,b\n001-mine.png/../mine.png,c\n" + f"{a},d\n")
    assert tiny.ask(out, b) == 0
    assert all(path.is_file() for path in (*own, a))


def test_names_that_the_screen_cannot_show_stop_nothing(tiny, tmp_path, monkeypatch):
    picture = save_picture(tmp_path / "b\u00e9b\u00e9 \u2192.png", draw_picture(tiny.name))
    for encoding in ("ascii", "latin-1"):
        shown = io.TextIOWrapper(io.BytesIO(), encoding)
        with monkeypatch.context() as screen:
            screen.setattr("sys.stdout", shown)
            assert tiny.ask(tmp_path / encoding, picture) == 0
        shown.flush()
        assert b"\\u2192.png" in shown.buffer.getvalue()
        assert "b\u00e9b\u00e9 \u2192.png" in (tmp_path / encoding / "predictions.csv").read_text(encoding="utf-8")


def write_bad(folder: Path) -> dict[str, str]:
    """Bad files, and what their one line must say."""
    folder.mkdir()
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.jpg").touch()
    (folder / "cut.dcm").write_bytes(bytes(128) + b"DICM" + bytes(50))
    (folder / "letter.dcm").write_text("Dear Sir")
    (folder / "nothing").mkdir()
    (folder / "nothing" / "cases.csv").write_text("path,label\n")
    (folder / "book.ods").write_bytes(b"PK\x03\x04")
    return {"text.png": "not a", "empty.jpg": "empty", "cut.dcm": "", "letter.dcm": "", "nothing": "a folder without",
            "book.ods": "", "missing.png": "No such file"}  # fmt: skip


def test_bad_files_are_named_and_the_others_looked_at(tiny, tmp_path, capsys):
    bad = write_bad(tmp_path / "bad")
    good = save_picture(tmp_path / "good.png", draw_picture(tiny.name))
    needs_at = tiny.name == "lung_hip_compare"  # there, DICOM are scans, which need candidates
    names = [name for name in bad if not (needs_at and name.endswith(".dcm"))]
    paths = [tmp_path / "bad" / name for name in names]
    found, lines = ask_json(tiny, capsys, tmp_path / "out", paths[0], good, *paths[1:], code=1)
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    assert sorted(errors) == sorted(found["not_read"])
    assert len(errors) == len(names)
    for name in names:
        (line,) = [line for line in errors if name in line]
        assert bad[name] in line
    assert read_lines(tmp_path / "out").iloc[:, 0].tolist() == ["good.png"]
    assert "Traceback" not in "".join(lines)


def test_without_a_good_file_nothing_is_written(tiny, tmp_path, capsys):
    bad = [tmp_path / "bad" / name for name in write_bad(tmp_path / "bad") if not name.endswith(".dcm")]
    for some in (bad[:1], bad):
        assert tiny.ask(tmp_path / "out", *some) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == len(some)
        assert all(line.startswith("error: ") for line in printed.err.splitlines())
    assert not (tmp_path / "out").exists()


def test_a_network_that_answers_nan_is_refused(tiny, tmp_path, capsys):
    import keras

    broken = write_tiny_run(tiny.name, tmp_path / "run")
    (model,) = broken.run.glob("cells/*/model.keras")
    network = keras.saving.load_model(model)
    layer = network.get_layer("last_layer_0")
    layer.set_weights([np.full_like(layer.get_weights()[0], np.nan), layer.get_weights()[1]])
    network.save(model)
    (record,) = broken.run.glob("cells/*/cell.json")
    from common.files import hash_file

    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"files": {"model.keras": hash_file(model)}}))
    assert broken.ask(tmp_path / "out", save_picture(tmp_path / "a.png", draw_picture(tiny.name))) == 2
    printed = capsys.readouterr()
    assert "diverged" in printed.err.splitlines()[-1]
    assert printed.out == ""


def to_levels(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.uint16) * 16


def write_planted(tiny: Tiny, folder: Path) -> tuple[list[Path], list[Path], list[str]]:
    """Good files, bad files, and flags; a person's name in all of them."""
    picture = draw_picture(tiny.name)
    good = write_pictures(folder / "good", picture, tiff=tiny.name in ("thyroid_ensemble", "ddsm_inceptionv4"))
    at = []
    bad = []
    if tiny.name == "lung_hip_compare":
        voxels = np.full((6, 120, 120), -900, np.int16)
        good = [write_nifti(folder / "good" / "scan.nii.gz", voxels)]
        at = ["--at", "-50,60,-135"]
        odd = folder / "bad" / "odd.mhd"
        odd.parent.mkdir()
        odd.write_text(f"Patient Name {PERSON}\nPatientName = {PERSON}\nNDims = 3\nElementDataFile = odd.raw\n")
        bad.append(odd)
        level, modality = np.zeros((60, 60), np.int16), "CT"
    else:
        level, modality = to_levels(picture), MODALITIES[tiny.name]
        good.append(write_dicom(folder / "good" / "three.dcm", to_levels(draw_picture(tiny.name, 3)), modality))
        if tiny.name == "bone_acgan":  # all of one patient, and no pictures of nobody knows whom are needed
            good = good[-1:]
    bad.append(write_dicom(folder / "bad" / "modality.dcm", level, PERSON[:16].upper()))
    bad.append(write_dicom(folder / "bad" / "syntax.dcm", level, modality))
    content = bad[-1].read_bytes()
    assert content.count(b"1.2.840.10008.1.2.1\0") == 1
    bad[-1].write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", f"{NAME}.{'1' * 11}".encode().ljust(20, b"\0")))
    bad.append(write_dicom(folder / "bad" / "number.dcm", level, modality))
    bad[-1].write_bytes(bad[-1].read_bytes().replace(b"MONOCHROME2 ", NAME.upper().encode().ljust(12)))
    bad.append(write_dicom(folder / "bad" / "slope.dcm", level, modality))
    bad[-1].write_bytes(bad[-1].read_bytes()[:-20])
    (folder / "bad" / "ascii.pgm").write_bytes(f"P5 {NAME} {PERSON}".encode())
    (folder / "bad" / "letter.png").write_text(f"Dear {PERSON}")
    return good, [*bad, folder / "bad" / "ascii.pgm", folder / "bad" / "letter.png"], at


@pytest.mark.parametrize("form", [["--json"], []])
def test_nobodys_name_leaves_a_file(tiny, tmp_path, capfd, caplog, form):
    good, bad, at = write_planted(tiny, tmp_path)
    assert find_name(tmp_path / "good")  # what is looked for can be found
    caplog.clear()
    caplog.set_level("DEBUG")
    assert tiny.ask(tmp_path / "out", *good, *bad, *at, *form) == 1
    printed = capfd.readouterr()
    assert len([line for line in printed.err.splitlines() if line.startswith("error: ")]) == len(bad)
    assert read_lines(tmp_path / "out").shape[0] == len(good)
    assert not find_name(tmp_path / "out", printed.out, printed.err, caplog.text)
