"""Thyroid ensemble, new pictures as DICOM and in folders: the numbers of the same picture as PNG; what is refused."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from planted import write_dicom
from thyroid_runs import CONFIG

from replications.thyroid_ensemble import predict

BOX = "20,10,60,50"


@pytest.fixture
def grey(pictures) -> np.ndarray:
    with Image.open(pictures / "a.png") as picture:
        return np.asarray(picture.convert("L"))


def ask(capsys, *argv) -> tuple[dict, str]:
    capsys.readouterr()
    assert predict.main([*map(str, argv), "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_ultrasound_as_dicom_gets_what_its_picture_gets(tiny_run, pictures, grey, tmp_path, capsys):
    """Grey, colour, MONOCHROME1; with its box."""
    colour = np.dstack([grey] * 3)
    files = [
        write_dicom(tmp_path / "grey.dcm", grey, "US"), write_dicom(tmp_path / "colour", colour, "US"),
        write_dicom(tmp_path / "turned.dcm", 255 - grey, "US", PhotometricInterpretation="MONOCHROME1"),
        write_dicom(tmp_path / "burned.dcm", grey, "OT", BurnedInAnnotation="YES"),
    ]  # fmt: skip
    expected, _ = ask(capsys, f"{pictures / 'a.png'}@{BOX}", "--run", tiny_run, "--out", tmp_path / "png")
    found, screen = ask(capsys, *[f"{path}@{BOX}" for path in files], "--run", tiny_run, "--out", tmp_path / "dicom")
    score = expected["images"][0]["p(malignant)"]
    assert [line["p(malignant)"] for line in found["images"]] == pytest.approx([score] * 4, abs=1e-5)
    assert screen.count("text may be burned into the picture") == 1
    assert "burned.dcm: text may be burned" in screen


def test_a_folder_and_boxes(tiny_run, grey, tmp_path, capsys):
    for name in ("first", "second"):
        (tmp_path / "all" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "all" / name / "a.png"), grey)
    out = ("--run", tiny_run, "--out", tmp_path / "out")
    found, _ = ask(capsys, tmp_path / "all", *out)
    assert [line["image"] for line in found["images"]] == ["first/a.png", "second/a.png"]
    assert [line["sheet"] for line in found["images"]] == ["001-first-a.png", "002-second-a.png"]
    assert predict.main([*map(str, (f"{tmp_path / 'all'}@{BOX}", *out))]) == 2
    assert "a folder; a box goes with one picture" in capsys.readouterr().err
    assert predict.main([*map(str, (tmp_path / "all", "--box", BOX, *out))]) == 2
    assert "--box goes with one picture" in capsys.readouterr().err
    one = tmp_path / "all" / "first"
    found, _ = ask(capsys, one, "--box", BOX, *out)
    assert found["images"][0]["box"] == BOX
    with pytest.raises(SystemExit, match="2"):
        predict.main([*map(str, (one, "--box", "-1,2,3,4", *out))])
    assert "'-1,2,3,4' is no box x0,y0,x1,y1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pixels", "changes", "message"),
    [
        (np.zeros((5, 70, 90), np.uint8), {}, "5 frames in one file; save the one that counts"),
        (np.zeros((70, 90), np.uint8), {"Modality": "CT"}, "modality 'CT', not US or OT"),
        (np.zeros((70, 90), np.uint8), {"PhotometricInterpretation": "PALETTE COLOR"}, "a palette"),
        (np.zeros((70, 90), np.uint8), {"Rows": 71}, "6300 bytes, 6390 needed"),
    ],
)
def test_what_is_no_ultrasound_picture_is_refused(tiny_run, tmp_path, capsys, pixels, changes, message):
    path = write_dicom(tmp_path / "a.dcm", pixels, "US", **changes)
    capsys.readouterr()
    assert predict.main([str(path), "--run", str(tiny_run), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_the_roi_of_a_dicom_is_that_of_its_picture(pictures, grey, tmp_path):
    roi, notes = predict.read_roi(write_dicom(tmp_path / "a", grey, "US"), (20, 10, 60, 50), CONFIG)
    np.testing.assert_array_equal(roi, predict.read_roi(pictures / "a.png", (20, 10, 60, 50), CONFIG)[0])
    assert notes == ()


def test_a_window_stretches_as_the_table_of_the_run_does(tiny_run, grey, tmp_path, capsys):
    """12 bits that show what an 8-bit picture shows; without the window nothing says which grey is white."""
    deep = tmp_path / "deep.png"
    Image.fromarray(grey.astype(np.uint16) * 16 + 100).save(deep)
    cv2.imwrite(str(tmp_path / "shallow.png"), grey)
    out = ("--run", tiny_run, "--out", tmp_path / "out")
    expected, _ = ask(capsys, tmp_path / "shallow.png", "--box", BOX, *out)
    found, _ = ask(capsys, deep, "--box", BOX, *out, "--window", f"100,{255 * 16 + 100}")
    assert found["images"][0]["p(malignant)"] == expected["images"][0]["p(malignant)"]
    assert predict.main([str(deep), *map(str, out)]) == 2
    assert "state which level is black and which white" in capsys.readouterr().err
    (tmp_path / "both").mkdir()
    for name in ("deep.png", "shallow.png"):
        (tmp_path / name).rename(tmp_path / "both" / name)
    assert predict.main([str(tmp_path / "both"), *map(str, out), "--window", "0,4095"]) == 1  # the deep one is answered
    printed = capsys.readouterr()
    assert "shallow.png: its highest level is 255, which the window 0,4095 exceeds" in printed.out + printed.err
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 2
    scanned = write_dicom(tmp_path / "IM1", grey, "US")
    assert predict.main([str(scanned), *map(str, out), "--window", "0,100"]) == 2
    assert "--window is for pictures" in capsys.readouterr().err
    for text in ("5", "7,7", "1,2,3", ","):
        with pytest.raises(SystemExit):
            predict.main([str(deep), *map(str, out), "--window", text])
