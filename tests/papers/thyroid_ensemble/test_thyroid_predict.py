"""Thyroid ensemble, new pictures: the numbers of a stored ensemble, sheets of Grad-CAM, and what bad input leads to."""

import contextlib
import gzip
import io
import json
import os
import shutil
import struct
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hostile import edit, fuzz
from PIL import Image
from sample_results import make_content, make_dataset

from common.figures import grids
from common.files import hash_file
from replications.thyroid_ensemble import predict
from replications.thyroid_ensemble.config import SMOKE

CONFIG = replace(SMOKE, alexnet_variant="original", vgg16_end="block2_pool")  # the variant with a layer of its own
MEMBERS = {"Scale 2 / VGG16": 0.3, "Scale 1 / AlexNet": 0.7}
FOLDS = {"leakfree": 2, "paper": 1}
SIZE = (90, 70)  # width and height of the pictures


def write_record(cell: Path) -> None:
    """cell.json, with the checksum of what lies there; the folder is called "member NETWORK PROTOCOL fold"."""
    _, network, protocol, _ = cell.name.split()
    settings = {"network": network, "scale": 2 if network == "VGG16" else 1, "protocol": protocol}
    files = {"model.keras": hash_file(cell / "model.keras")}
    (cell / "cell.json").write_text(json.dumps({"files": files, "settings": settings}))


def write_results(run: Path, **changes) -> None:
    known = {"paper": "thyroid_ensemble", "config": asdict(CONFIG), "datasets": [make_dataset(synthetic=True)]}
    content = make_content(**{**known, **changes})
    (run / "results.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory, backend) -> Path:
    """A run folder with what matters here: two random networks, each with other weights a fold and protocol."""
    import keras

    from replications.thyroid_ensemble import models

    run = tmp_path_factory.mktemp("run")
    random = np.random.default_rng(0)
    stored = {
        protocol: {
            "members": list(MEMBERS),
            "weights": list(MEMBERS.values()),
            "cells": [f"member {name[10:]} {protocol} {fold}" for name in MEMBERS for fold in range(folds)],
            "member_of_cell": [name for name in MEMBERS for _ in range(folds)],
        }
        for protocol, folds in FOLDS.items()
    }
    for name, side in (("AlexNet", CONFIG.alexnet_side), ("VGG16", CONFIG.vgg16_side)):
        network = models.build_network(name, side, CONFIG)
        last = network.layers[-1]
        noise = random.integers(0, 256, (1, side, side, 1)).astype(np.float32)
        for cell in [cell for entry in stored.values() for cell in entry["cells"] if f" {name} " in cell]:
            for layer in network.layers:
                if layer.weights:
                    kernel, bias = layer.get_weights()
                    kernel = random.normal(0.05, 1, kernel.shape) * np.sqrt(2 / kernel[..., 0].size)
                    layer.set_weights([kernel, np.zeros_like(bias)])
            last.activation = keras.activations.linear
            last.kernel.assign(last.kernel / np.abs(network(noise)).max())  # keeps scores off 0 and 1
            last.activation = keras.activations.softmax
            (run / "cells" / cell).mkdir(parents=True)
            network.save(run / "cells" / cell / "model.keras")
            write_record(run / "cells" / cell)
    (run / "ensembles.json").write_text(json.dumps(stored))
    write_results(run)
    return run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """a.png (grey), b.jpg (colour), c.bmp, d.tif: smooth random pictures of 90x70."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(1)
    for name, channels in (("a.png", 1), ("b.jpg", 3), ("c.bmp", 1), ("d.tif", 1)):
        coarse = random.integers(0, 256, (7, 9, channels), dtype=np.uint8)
        Image.fromarray(cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)).save(folder / name)
    return folder


def ask(*argv) -> tuple[dict, list[str]]:
    """JSON of a successful call and its lines on the screen."""
    printed, screen = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(screen):
        assert predict.main([*map(str, argv), "--json"]) == 0
    return json.loads(printed.getvalue()), screen.getvalue().splitlines()


@pytest.fixture(scope="module")
def asked(tiny_run, pictures, tmp_path_factory) -> tuple[dict, list[str], Path, list[dict]]:
    """Three ROIs by the protocol that is asked by itself: JSON, screen, folder, the calls of grad_cam."""
    from common.training import gradcam

    out, calls, original = tmp_path_factory.mktemp("out"), [], gradcam.grad_cam

    def record(network, images, **options):
        calls.append(options)
        return original(network, images, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradcam, "grad_cam", record)
        images = (pictures / "a.png@20,10,60,50", pictures / "a.png@0,0,30,20", pictures / "b.jpg")
        found, screen = ask(*images, "--run", tiny_run, "--out", out)
    return found, screen, out, calls


def cut_rois(pictures: Path) -> np.ndarray:
    """The three ROIs by hand: squares of 44 and 33 pixels around the boxes (10 % margin), the second shifted back into the
    picture; the third picture is smaller than its square."""
    a, b = Image.open(pictures / "a.png"), Image.open(pictures / "b.jpg").convert("L")
    squares = [a.crop((18, 8, 62, 52)), a.crop((0, 0, 33, 33)), b]
    return np.stack([np.asarray(square.resize((128, 128), Image.Resampling.BILINEAR)) for square in squares])


def cut_patches(rois: np.ndarray) -> list[np.ndarray]:
    """What the networks take (n, side, side, 1): the inner 64 pixels halved; the whole ROI at 67 pixels."""
    pairs = rois[:, 32:96, 32:96].astype(int).reshape(-1, 32, 2, 32, 2)
    inner = ((pairs.sum(axis=(2, 4)) + 2) // 4).astype(np.uint8)
    whole = np.stack([cv2.resize(roi, (67, 67), interpolation=cv2.INTER_AREA) for roi in rois])
    return [inner[..., None], whole[..., None]]


def load(run: Path, name: str, protocol: str) -> list:
    """The networks of one member, by Keras alone."""
    import keras

    paths = sorted((run / "cells").glob(f"member {name[10:]} {protocol} */model.keras"))
    assert len(paths) == FOLDS[protocol]
    return [keras.saving.load_model(path, safe_mode=True) for path in paths]


def score_directly(run: Path, rois: np.ndarray, protocol: str) -> np.ndarray:
    """Probability of malignant float32 (models, folds, n)."""
    return np.array([
        [np.asarray(network(patches.astype(np.float32), training=False))[:, 1] for network in load(run, name, protocol)]
        for name, patches in zip(MEMBERS, cut_patches(rois), strict=True)
    ])  # fmt: skip


def test_numbers_are_those_of_a_direct_computation(asked, tiny_run, pictures):
    found, _, out, _ = asked
    direct = score_directly(tiny_run, cut_rois(pictures), "leakfree")
    assert np.ptp(direct, axis=1).min() > 1e-3  # folds differ, pictures differ: a mixed-up order would show
    assert np.ptp(direct, axis=2).min() > 1e-3
    fused = np.tensordot([0.3, 0.7], direct, 1)
    assert [line["p(malignant)"] for line in found["images"]] == pytest.approx(fused.mean(axis=0), abs=1e-5)
    assert [line["sd over folds"] for line in found["images"]] == pytest.approx(fused.std(axis=0, ddof=1), abs=1e-5)
    single = [list(line["models"].values()) for line in found["images"]]
    assert np.array(single) == pytest.approx(direct.mean(axis=1).T, abs=1e-5)
    assert [line["predicted"] for line in found["images"]] == [["benign", "malignant"][int(p > 0.5)] for p in fused.mean(axis=0)]
    assert [line["box"] for line in found["images"]] == ["20,10,60,50", "0,0,30,20", "no box"]
    assert found["models"] == [{"name": name, "weight": w, "networks": 2} for name, w in MEMBERS.items()]
    table = pd.read_csv(out / "predictions.csv")
    assert table["p(malignant)"].tolist() == [line["p(malignant)"] for line in found["images"]]
    assert table[list(MEMBERS)].to_numpy().tolist() == single


def test_screen_says_what_the_numbers_are(asked):
    found, screen, _, _ = asked
    assert found["protocol"] == "leakfree"
    *notes, last = screen
    assert notes == found["notes"]
    assert last == "asking 4 networks about 3 ROIs"
    assert notes[0].endswith("not a medical device: not for diagnosis")
    assert "phantoms" in notes[1]
    assert notes[2] == "protocol leakfree: 0.3 Scale 2 / VGG16 + 0.7 Scale 1 / AlexNet"
    assert notes[3] == "no box: the whole picture is the ROI (1 of 3 ROIs)"


def test_sheets_show_the_maps_for_malignant(asked, tiny_run, pictures):
    """Each panel against a map computed here; outside its patch a map leaves the ROI as it is."""
    from common.training import gradcam

    found, _, out, calls = asked
    assert calls == [{"class_index": 1}] * 4
    names = [line["sheet"] for line in found["images"]]
    assert names == sorted(path.name for path in out.glob("*.png")) == ["001-a.png", "002-a.png", "003-b.png"]
    rois = cut_rois(pictures)
    for column, (name, patches) in enumerate(zip(MEMBERS, cut_patches(rois), strict=True), start=1):
        maps = np.mean([gradcam.grad_cam(n, patches, class_index=1) for n in load(tiny_run, name, "leakfree")], axis=0)
        assert maps.max(axis=(1, 2)).min() > 0.1  # else there is nothing to see
        for index, sheet in enumerate(names):
            with Image.open(out / sheet) as picture:
                panels = np.asarray(picture)[predict.LINE :, : 3 * 256].astype(int)
            upper, lower = panels[:256].reshape(256, 3, 256, 3), panels[256:512].reshape(256, 3, 256, 3)
            blended = Image.fromarray(grids.blend_map(patches[index], maps[index]))
            expected = blended.resize((256, 256), Image.Resampling.BILINEAR)
            assert np.abs(upper[:, column] - np.asarray(expected)).max() <= 2
            grey = np.asarray(Image.fromarray(rois[index]).resize((256, 256), Image.Resampling.BILINEAR), int)[..., None]
            assert np.array_equal(upper[:, 0], np.repeat(grey, 3, axis=2))
            changed = np.abs(lower[:, column] - grey).max(axis=2) > 2
            if name.startswith("Scale 2"):
                assert changed[66:190, 66:190].any()
                changed[62:194, 62:194] = False
                assert not changed.any()


def test_paper_protocol_in_blocks_with_one_box(tiny_run, pictures, tmp_path, monkeypatch):
    """--protocol asks other networks, one for each model; blocks of one picture give the same numbers."""
    monkeypatch.setattr(predict, "BLOCK", 1)
    images = (pictures / "a.png@20,10,60,50", pictures / "a.png@0,0,30,20", pictures / "b.jpg")
    found, screen = ask(*images, "--run", tiny_run, "--protocol", "paper", "--out", tmp_path)
    direct = score_directly(tiny_run, cut_rois(pictures), "paper")
    expected = np.tensordot([0.3, 0.7], direct[:, 0], 1)
    assert [line["p(malignant)"] for line in found["images"]] == pytest.approx(expected, abs=1e-5)
    assert {line["sd over folds"] for line in found["images"]} == {None}
    assert screen[2].startswith("protocol paper: ")
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_table_with_one_box_where_only_paper_is_stored(tiny_run, pictures, tmp_path, capsys):
    run = copy_run(tiny_run, tmp_path)
    stored = json.loads((run / "ensembles.json").read_text())
    (run / "ensembles.json").write_text(json.dumps({"paper": stored["paper"]}))
    write_results(run, datasets=[make_dataset()])
    argv = [pictures / "a.png", "--box", "20,10,60,50", "--run", run, "--out", tmp_path / "out"]
    assert predict.main([*map(str, argv)]) == 0
    printed = capsys.readouterr()
    assert "protocol paper: " in printed.err
    assert "phantom" not in printed.err
    assert "no box" not in printed.err
    header, line, last = printed.out.splitlines()
    assert header.split()[:4] == ["image", "box", "predicted", "p(malignant)"]
    expected = np.array([0.3, 0.7]) @ score_directly(run, cut_rois(pictures)[:1], "paper")[:, 0, 0]
    assert line.split()[:2] == ["a.png", "20,10,60,50"]
    assert float(line.split()[3]) == pytest.approx(expected, abs=1e-4)
    assert str(tmp_path / "out") in last


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.bmp", "d.tif"])
def test_every_format_gives_its_grey_levels(pictures, name):
    with Image.open(pictures / name) as picture:
        grey = np.asarray(picture.convert("L"))
    roi = predict.read_roi(pictures / name, (20, 10, 60, 50), replace(CONFIG, roi_mode="centre_window"))
    expected = np.pad(grey, ((34, 64), (24, 64)), mode="edge")[:128, :128]
    assert np.array_equal(roi, expected)


def test_what_a_window_without_a_box_shows_is_said():
    stored = predict.Stored("paper", replace(CONFIG, roi_mode="centre_window"), (), ())
    assert predict.describe(stored, [None])[-1] == "no box: the centre of the picture is the ROI (1 of 1 ROIs)"


# A finished smoke run


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("protocol", ["leakfree", "paper"])
def test_a_stored_ensemble_scores_as_the_published_one(thyroid_smoke_run, protocol):
    """The stored networks give the very scores of the run's test cases."""
    rois = np.load(thyroid_smoke_run / "data" / "images.npy", allow_pickle=False)
    cases = pd.read_csv(thyroid_smoke_run / "data" / "cases.csv", dtype=str)
    with gzip.open(thyroid_smoke_run / "predictions.csv.gz", "rt") as file:
        published = pd.read_csv(file, dtype={"case_id": str})
    of_first = published[(published["protocol"] == protocol) & (published["seed"] == published["seed"].min())]
    stored = predict.find_ensemble(thyroid_smoke_run, protocol)
    networks = predict.load_networks(stored)
    expected = of_first[of_first["row"] == "ensemble"].set_index("case_id")["y_score_1"]
    positions = [cases["case_id"].tolist().index(case_id) for case_id in expected.index]
    assert len(positions) > 5
    answers = [
        predict.ask(m, of, rois[positions], stored.config, lambda: None) for m, of in zip(stored.members, networks, strict=True)
    ]
    lines = predict.tabulate(answers)
    assert [line["p(malignant)"] for line in lines] == pytest.approx(expected.to_numpy(), abs=1e-5)
    for member in stored.members:
        single = of_first[of_first["row"] == member.name].set_index("case_id")["y_score_1"][expected.index]
        assert [line["models"][member.name] for line in lines] == pytest.approx(single.to_numpy(), abs=1e-5)


@pytest.mark.usefixtures("backend")
def test_a_picture_of_a_run_gets_its_published_score(thyroid_smoke_run, tmp_path):
    """From the file and its box, through the command line, as the run read and cut it."""
    (source,) = thyroid_smoke_run.parent.glob("phantoms-*/thyroid")
    listed = pd.read_csv(source / "cases.csv", dtype=str)
    published = pd.read_csv(thyroid_smoke_run / "predictions.csv.gz", dtype={"case_id": str})
    expected = published[(published["protocol"] == "paper") & (published["row"] == "ensemble")].iloc[0]
    cases = pd.read_csv(thyroid_smoke_run / "data" / "cases.csv", dtype=str).set_index("case_id")
    path = cases.loc[expected["case_id"], "path"]
    box = ",".join(listed.set_index("path").loc[path, ["x0", "y0", "x1", "y1"]])
    found, _ = ask(source / path, "--box", box, "--run", thyroid_smoke_run, "--protocol", "paper", "--out", tmp_path)
    assert found["images"][0]["p(malignant)"] == pytest.approx(expected["y_score_1"], abs=1e-5)
    assert "phantoms" in found["notes"][1]


# Bad input: exit code 2 and one line


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
        "scan.dcm": (bytes(128) + b"DICM" + bytes(100), "not a JPEG or PNG or BMP or TIFF picture"),
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
    faults |= {"film.tif": "3 pictures in one file", "a\n\x1b[2Jb.png": "a\\n\\x1b[2Jb.png", "folder.png": "not a file"}
    faults |= {"pipe.png": "not a file", "missing.png": "No such file"}
    for name, message in faults.items():
        error = refuse(capsys, tmp_path / "out", pictures / "a.png", tmp_path / name, "--run", tiny_run)
        assert message in error
        assert name.split("\n")[0] in error


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "options"), [("d.tif", {}), ("d.tif", {"compression": "tiff_lzw"}), ("c.bmp", {})])
def test_fuzzed_pictures(pictures, tmp_path, capfd, name, options):
    """TIFF and BMP, which no other reader of this package takes; libtiff's own messages stay off the screen."""
    with Image.open(pictures / name) as picture:
        picture.resize((20, 15)).save(tmp_path / name, **options)
    fuzz(tmp_path / name, lambda: predict.read_roi(tmp_path / name, None, CONFIG), seed=3)
    assert capfd.readouterr() == ("", "")


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


def copy_run(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "copy"))


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
    assert "no ensemble was stored under protocol 'leakfree'; stored: paper" in error
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
