"""Thyroid ensemble, new pictures: bad input ends with exit code 2 and one line."""

import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hostile import edit
from PIL import Image
from thyroid_runs import SIZE, copy_run, write_record, write_results

from replications.thyroid_ensemble import predict


def refuse(capsys, out: Path, *argv) -> str:
    """The one line of an error; nothing is printed or written."""
    capsys.readouterr()
    assert predict.main([*map(str, argv), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < 1000
    assert printed.out == ""
    assert not out.is_dir() or not list(out.iterdir())
    return lines[0]


def write_png(path: Path, width: int, height: int, *chunks: tuple[bytes, bytes]) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    parts = [len(of).to_bytes(4) + name + of + zlib.crc32(name + of).to_bytes(4) for name, of in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_hostile_pictures(tiny_run, pictures, tmp_path, capsys):
    png, tif = ((pictures / name).read_bytes() for name in ("a.png", "d.tif"))
    contents = {
        "cut.png": (png[: len(png) // 2], "damaged picture"),
        "cut.tif": (tif[: len(tif) // 2], "d"),  # Pillow says where it stopped, or that there is no TIFF
        "empty.jpg": (b"", "the file is empty"),
        "text.bmp": (b"hello", "not a JPEG or PNG or BMP or TIFF picture"),
        "scan.dcm": (bytes(128) + b"DICM" + bytes(100), "no modality in its header: damaged"),
    }
    for name, (content, _) in contents.items():
        (tmp_path / name).write_bytes(content)
    faults = {name: message for name, (_, message) in contents.items()}
    write_png(tmp_path / "wide.png", 60_000, 60_000)
    write_png(tmp_path / "hollow.png", 7_000, 7_000)
    write_png(tmp_path / "text.png", 10, 10, (b"zTXt", b"note\0\0" + zlib.compress(bytes(100 * 2**20))))
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(tmp_path / "deep.tif")
    Image.new("L", SIZE).save(tmp_path / "film.tif", save_all=True, append_images=[Image.new("L", SIZE)] * 2)
    (tmp_path / "a\n\x1b[2Jb.png").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    faults |= {"wide.png": "pixels", "hollow.png": "damaged picture", "text.png": "damaged picture", "deep.tif": "8-bit"}
    faults |= {
        "film.tif": "3 pictures in one file",
        "a\n\x1b[2Jb.png": "a\\n\\x1b[2Jb.png",
        "folder.png": "a folder without a file",
    }
    faults |= {"pipe.png": "not a file", "missing.png": "No such file"}
    for name, message in faults.items():
        error = refuse(capsys, tmp_path / "out", tmp_path / name, "--run", tiny_run)
        assert message in error
        assert name.split("\n")[0] in error


def test_boxes(tiny_run, pictures, tmp_path, capsys):
    a, run = pictures / "a.png", ("--run", tiny_run)
    for box in ("20,10,91,50", "20,10,60,71", "60,10,20,50", "20,10,20,50", "0,0,999999,1"):
        error = refuse(capsys, tmp_path / "out", a, "--box", box, *run)
        assert error == f"error: {a}: box {box} is empty or leaves the picture of 90x70"
        assert refuse(capsys, tmp_path / "out", f"{a}@{box}", *run) == error
    for several in ((a, a), (f"{a}@1,2,3,4",)):
        assert "write IMAGE@x0,y0,x1,y1" in refuse(capsys, tmp_path / "out", *several, "--box", "20,10,60,50", *run)
    wrong = ("1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,2,3,4", "1.5,2,3,4", "1, 2,3,4", "٣,1,8,9", f"1,2,{'9' * 5000},4")
    for box in wrong:
        for argv in ([f"{a}@{box}"], [str(a), f"--box={box}"]):
            with pytest.raises(SystemExit, match="2"):
                predict.main([*argv, "--run", str(tiny_run)])
            assert "is no box x0,y0,x1,y1" in capsys.readouterr().err
    for name in ("b@2.png", "b@2", "x@y,z/b.png"):
        assert "No such file" in refuse(capsys, tmp_path / "out", name, *run)


def test_folders_that_hold_no_ensemble(tiny_run, pictures, tmp_path, capsys):
    a, out = pictures / "a.png", tmp_path / "out"
    for folder in (tmp_path, tmp_path / "nowhere", a):
        assert "no stored networks" in refuse(capsys, out, a, "--run", folder)
    run = copy_run(tiny_run, tmp_path)
    stored = (run / "ensembles.json").read_text()
    (run / "ensembles.json").write_text("{}")
    assert "it needs all nine networks" in refuse(capsys, out, a, "--run", run)
    (run / "ensembles.json").write_text(json.dumps({"paper": json.loads(stored)["paper"]}))
    error = refuse(capsys, out, a, "--run", run, "--protocol", "leakfree")
    assert "no ensemble was stored under protocol 'leakfree'; stored: paper; name it with --protocol" in error
    weights = (("0.3", "0.4"), ("0.3", "NaN"), ("0.3", '"a"'), ("0.3, 0.7", "-0.3, 1.3"), ("0.3, ", ""))
    for old, new in (*weights, ("[", "{"), ('"cells"', '"folders"'), ("Scale 2 / VGG16", "VGG16"), ("Scale 1", "Scale 2")):
        assert old in stored
        (run / "ensembles.json").write_text(stored.replace(old, new))
        assert "ensembles.json: damaged" in refuse(capsys, out, a, "--run", run)
    (run / "ensembles.json").write_text('["leakfree", "paper"]')
    assert "ensembles.json: damaged" in refuse(capsys, out, a, "--run", run)
    (run / "ensembles.json").unlink()
    assert "not a finished run" in refuse(capsys, out, a, "--run", run)
    (run / "ensembles.json").write_text(stored)
    write_results(run, paper="bone_acgan")
    assert "a run of bone_acgan" in refuse(capsys, out, a, "--run", run)
    edit(run / "results.json", "{", "[")
    assert "results.json: damaged JSON" in refuse(capsys, out, a, "--run", run)
    (run / "results.json").unlink()
    assert "not a finished run" in refuse(capsys, out, a, "--run", run)


def test_damaged_networks(tiny_run, pictures, tmp_path, capsys):
    """Bytes that are not those of the record are refused before Keras sees them; so is what Keras cannot or must not load."""
    import keras

    a, out, run = pictures / "a.png", tmp_path / "out", copy_run(tiny_run, tmp_path)
    first, second = (run / "cells" / f"member {name} paper 0" for name in ("VGG16", "AlexNet"))
    model, ask_paper = first / "model.keras", (a, "--run", run, "--protocol", "paper")
    content = model.read_bytes()
    for damaged in (content[:-100], content + b" ", b""):
        model.write_bytes(damaged)
        assert f"{model}: missing or damaged" in refuse(capsys, out, *ask_paper)
    write_record(first)  # an empty file, as recorded
    assert "cannot be read by Keras" in refuse(capsys, out, *ask_paper)
    inputs = keras.Input((32, 32, 1))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x[:, 0, :2, 0])(inputs)).save(model)
    write_record(first)
    assert "cannot be read by Keras" in refuse(capsys, out, *ask_paper)  # code in a file is never run
    shutil.copy(second / "model.keras", model)
    write_record(first)
    assert "not a network of Scale 2 / VGG16" in refuse(capsys, out, *ask_paper)
    model.unlink()
    assert "missing or damaged" in refuse(capsys, out, *ask_paper)
    (first / "cell.json").write_text("{")
    assert "missing or damaged" in refuse(capsys, out, *ask_paper)


def test_folder_that_cannot_be_written(tiny_run, pictures, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "choose another --out" in refuse(capsys, out, pictures / "a.png", "--run", tiny_run)
