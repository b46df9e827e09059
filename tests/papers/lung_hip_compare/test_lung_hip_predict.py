"""Prediction for new images from the networks of a finished run: right numbers, overlays, and what bad input leads to."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.data.metaimage import read_header, voxel_to_world, write_volume
from replications.lung_hip_compare import predict
from replications.lung_hip_compare.sources import phantoms
from replications.lung_hip_compare.sources.luna16 import compress_jpeg, window_grey

WINDOW = (-1000.0, 400.0)  # HU, config.luna_window
ORIGIN, SPACING = (-98.5, 20.25, -140.0), (0.75, 0.75, 2.5)
VOXEL = np.array([[88, 80, 10], [60, 70, 12]])  # x, y, z: patches that lie inside the slice


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    """One phantom CT as .mhd and .raw."""
    path = tmp_path_factory.mktemp("scan") / "scan.mhd"
    voxels, _ = phantoms.draw_scan(2, 4, np.random.default_rng(0), 1.0)
    write_volume(path, voxels, SPACING, ORIGIN)
    return path


def cut_patch(scan: Path, voxel: np.ndarray) -> np.ndarray:
    """uint8 (50, 50) around a voxel, cut from the raw file by hand."""
    size = read_header(scan).size[::-1]
    voxels = np.frombuffer(scan.with_suffix(".raw").read_bytes(), "<i2").reshape(size)
    x, y, z = voxel
    return window_grey(voxels[z, y - 25 : y + 25, x - 25 : x + 25], WINDOW)


@pytest.fixture(scope="module")
def patch(scan) -> Path:
    """A phantom patch as JPEG of 50x50."""
    path = scan.parent / "patch.jpg"
    Image.fromarray(cut_patch(scan, VOXEL[0])).save(path)
    return path


@pytest.fixture(scope="module")
def hip(tmp_path_factory) -> Path:
    """A phantom radiograph as JPEG."""
    path = tmp_path_factory.mktemp("hip") / "hip.jpg"
    picture, _ = phantoms.draw_radiograph(np.zeros(6), 0, [1], np.random.default_rng(0), 1.0)
    Image.fromarray(picture).save(path)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def ask(out: Path, *argv: str | Path) -> pd.DataFrame:
    """predictions.csv of a successful call."""
    assert predict.main([*map(str, argv), "--out", str(out)]) == 0
    return pd.read_csv(out / "predictions.csv")


def score_directly(run: Path, pattern: str, images: np.ndarray) -> np.ndarray:
    """Scores (networks, n, 2) of the stored networks whose folder matches, by Keras alone."""
    import keras

    models = sorted((run / "cells").glob(f"{pattern}/model.keras"))
    assert models
    values = images[..., None].astype(np.float32)
    return np.stack([np.asarray(keras.saving.load_model(path)([values], training=False)) for path in models])


def check_overlays(out: Path, count: int, side: int) -> None:
    """One picture an image: the image itself, and beside it the image under its colours, enlarged."""
    overlays = sorted(out.glob("*.png"))
    assert len(overlays) == count
    for path in overlays:
        picture = read(path)
        shown = 256 // side * side
        assert picture.shape == (shown, 2 * shown, 3)
        plain = picture[:, :shown]
        assert (plain == plain[..., :1]).all()  # grey


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("network", ["CNN", "ResNet-50", "DBN", "SGAN"])
def test_a_patch_gets_what_the_stored_network_says(smoke_run, patch, tmp_path, network):
    table = ask(tmp_path, patch, "--run", smoke_run, "--row", f"LUNA16 / {network}")
    direct = score_directly(smoke_run, f"luna16-{network.lower()}-leakfree-seed*", read(patch)[None]).mean(axis=0)
    found = table[["p(non-nodule)", "p(nodule)"]].to_numpy()
    assert found.sum(axis=1) == pytest.approx(1, abs=2e-4)
    assert found == pytest.approx(direct, abs=1e-4)
    assert table["image"].tolist() == ["patch.jpg"]
    assert table["predicted"].tolist() == [["non-nodule", "nodule"][direct.argmax()]]
    check_overlays(tmp_path, 1, 50)
    overlay = read(next(tmp_path.glob("*.png")))
    assert (overlay[::5, :250:5] == read(patch)[..., None]).all()  # the left half is the patch, five times as large


@pytest.mark.usefixtures("backend")
def test_screen_says_what_the_numbers_are(smoke_run, patch, tmp_path, capsys):
    """Beside the table, on stderr, so that it is there wherever the table goes: no device, and what the networks learned from."""
    ask(tmp_path, patch, "--run", smoke_run)
    printed = capsys.readouterr()
    device, phantoms_ = printed.err.splitlines()[:2]
    assert device.endswith("not a medical device: not for diagnosis")
    assert "phantoms" in phantoms_
    assert "diagnosis" not in printed.out
    assert printed.out.splitlines()[0].split()[:2] == ["image", "predicted"]


@pytest.mark.usefixtures("backend")
def test_protocol_chooses_other_networks(smoke_run, patch, tmp_path):
    row = ("--run", smoke_run, "--row", "LUNA16 / CNN")
    found = {p: ask(tmp_path / p, patch, *row, "--protocol", p)["p(nodule)"][0] for p in ("paper", "leakfree")}
    for protocol, score in found.items():
        direct = score_directly(smoke_run, f"luna16-cnn-{protocol}-seed*", read(patch)[None]).mean(axis=0)
        assert score == pytest.approx(direct[0, 1], abs=1e-4)


@pytest.mark.usefixtures("backend")
def test_candidates_of_a_scan(smoke_run, scan, tmp_path):
    """Coordinates in mm give the same patch, JPEG included, as cutting the voxels by hand."""
    worlds = voxel_to_world(read_header(scan), VOXEL)
    points = [f"--at={x:.6f},{y:.6f},{z:.6f}" for x, y, z in worlds]
    table = ask(tmp_path, scan, *points, "--run", smoke_run, "--row", "LUNA16 / CNN")
    patches = np.stack([compress_jpeg(cut_patch(scan, voxel)) for voxel in VOXEL])
    direct = score_directly(smoke_run, "luna16-cnn-leakfree-seed*", patches).mean(axis=0)
    assert table[["p(non-nodule)", "p(nodule)"]].to_numpy() == pytest.approx(direct, abs=1e-4)
    assert table["image"].str.startswith("scan at ").all()
    check_overlays(tmp_path, 2, 50)


@pytest.mark.usefixtures("backend")
def test_a_candidate_at_the_border_is_marked(smoke_run, scan, tmp_path):
    x, y, z = voxel_to_world(read_header(scan), np.array([2, 80, 10]))
    table = ask(tmp_path, scan, f"--at={x},{y},{z}", "--run", smoke_run, "--row", "LUNA16 / CNN")
    assert table["image"].str.endswith("(partly outside the slice)").all()


@pytest.mark.usefixtures("backend")
def test_folds_are_averaged(smoke_run, hip, tmp_path):
    """A hip row has one network a fold: shown are their mean and their spread, on the scaled radiograph."""
    table = ask(tmp_path, hip, hip, "--run", smoke_run, "--row", "128x128 unresized / ResNet-50")
    cells = sorted((smoke_run / "cells").glob("128x128-unresized-resnet-50-leakfree-*/cell.json"))
    assert len(cells) > 1
    config = json.loads(cells[0].read_text())["settings"]["config"]
    side = config["hip_sides"][0]
    scaled = predict.hips.scale_picture(read(hip), side)
    direct = score_directly(smoke_run, "128x128-unresized-resnet-50-leakfree-*", scaled[None])
    assert len(direct) == len(cells)
    found = table[["p(no fracture)", "p(fracture)"]].to_numpy()
    assert found == pytest.approx(np.repeat(direct.mean(axis=0), 2, axis=0), abs=1e-4)
    assert table["sd over networks"].to_numpy() == pytest.approx(direct[:, 0, 1].std(ddof=1), abs=1e-4)
    check_overlays(tmp_path, 2, side)


@pytest.mark.usefixtures("backend")
def test_maps_explain_the_class_that_is_shown(smoke_run, patch, tmp_path, monkeypatch):
    """All networks are asked about the class of their mean, even one that prefers the other."""
    from common.training import gradcam

    asked = []
    original = gradcam.grad_cam

    def record(network, images, layer=None, class_index=None):
        asked.append(class_index)
        return original(network, images, layer, class_index)

    monkeypatch.setattr(gradcam, "grad_cam", record)
    table = ask(tmp_path, patch, "--run", smoke_run, "--row", "LUNA16 / CNN")
    shown = ["non-nodule", "nodule"].index(table["predicted"][0])
    assert asked == [shown] * len(list((smoke_run / "cells").glob("luna16-cnn-leakfree-seed*")))


# Bad input: exit code 2 and one line


def refuse(capsys, out: Path, *argv: str | Path) -> str:
    """The one line of an error."""
    capsys.readouterr()
    assert predict.main([*map(str, argv), "--out", str(out)]) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    assert captured.out == ""
    assert not list(out.glob("*")) if out.is_dir() else True
    return lines[0]


def test_bad_pictures(smoke_run, patch, tmp_path, capsys):
    content = patch.read_bytes()
    bad = {
        "cut.jpg": (content[: len(content) // 2], "damaged picture"),
        "head.jpg": (content[:20], "not a JPEG or PNG picture"),
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"this is no picture\n", "not a JPEG or PNG picture"),
        "page.png": (b"<html><body>404</body></html>", "not a JPEG or PNG picture"),
    }
    for name, (data, message) in bad.items():
        (tmp_path / name).write_bytes(data)
        error = refuse(capsys, tmp_path / "out", tmp_path / name, "--run", smoke_run)
        assert name in error
        assert message in error
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "large.jpg")
    assert "64x64 pixels instead of 50x50" in refuse(capsys, tmp_path / "out", tmp_path / "large.jpg", "--run", smoke_run)
    Image.fromarray(np.zeros((50, 50), np.uint16)).save(tmp_path / "deep.png")
    assert "8-bit" in refuse(capsys, tmp_path / "out", tmp_path / "deep.png", "--run", smoke_run)
    assert "missing.jpg" in refuse(capsys, tmp_path / "out", tmp_path / "missing.jpg", "--run", smoke_run)
    (tmp_path / "folder").mkdir()
    assert "a folder without" in refuse(capsys, tmp_path / "out", tmp_path / "folder", "--run", smoke_run)


def test_bad_scans(smoke_run, scan, tmp_path, capsys):
    run = ("--run", smoke_run)
    x, y, z = voxel_to_world(read_header(scan), VOXEL[0])
    inside = f"--at={x},{y},{z}"
    short = tmp_path / "short.mhd"
    shutil.copyfile(scan, short)
    short.write_text(short.read_text().replace("scan.raw", "short.raw"))
    short.with_suffix(".raw").write_bytes(scan.with_suffix(".raw").read_bytes()[:1000])
    error = refuse(capsys, tmp_path / "out", short, inside, *run)
    assert "short.mhd" in error
    assert "short.raw has 1000" in error
    huge = tmp_path / "huge.mhd"
    size = " ".join(map(str, read_header(scan).size))
    huge.write_text(short.read_text().replace(f"DimSize = {size}", "DimSize = 65535 65535 65535"))
    assert "has 1000" in refuse(capsys, tmp_path / "out", huge, inside, *run)
    outside = tmp_path / "outside.mhd"
    outside.write_text(short.read_text().replace("short.raw", "../scan.raw"))
    assert "leaves the folder" in refuse(capsys, tmp_path / "out", outside, inside, *run)
    (tmp_path / "noise.mhd").write_bytes(np.random.default_rng(0).bytes(500))
    assert "not a MetaImage header" in refuse(capsys, tmp_path / "out", tmp_path / "noise.mhd", inside, *run)
    for point in ("--at=0,0,9999", "--at=1e9,0,0", f"--at={x},{y},{z - 1000}"):
        assert "lies outside the scan" in refuse(capsys, tmp_path / "out", scan, point, *run)


def test_wrong_questions(smoke_run, scan, patch, hip, tmp_path, capsys):
    run = ("--run", smoke_run)
    needs = "needs candidates"
    assert needs in refuse(capsys, tmp_path / "out", scan, *run)
    assert f"{patch}: no CT scan of a kind" in refuse(capsys, tmp_path / "out", patch, "--at=1,2,3", *run)
    of_hips = refuse(capsys, tmp_path / "out", scan, "--at=1,2,3", *run, "--row", "128x128 resized / CNN")
    assert f"{scan}: a CT scan, but row '128x128 resized' is of hips" in of_hips
    error = refuse(capsys, tmp_path / "out", patch, *run, "--row", "LUNA16 / VGG")
    assert "no network of row 'LUNA16 / VGG'" in error
    assert "LUNA16 / CNN (leakfree)" in error
    assert error.endswith("; name one with --row, and --protocol")
    assert "256x256 unresized / SGAN (paper)" in error
    (tmp_path / "file").write_text("not a folder")
    assert "--out" in refuse(capsys, tmp_path / "file", patch, *run)
    for point in ("1,2", "a,b,c", "nan,0,0", "inf,0,0", ""):
        with pytest.raises(SystemExit, match="2"):
            predict.main([str(scan), f"--at={point}", "--run", str(smoke_run)])
        assert "is not X,Y,Z in mm" in capsys.readouterr().err


def test_folders_that_are_no_run(smoke_run, patch, tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "nowhere", patch):
        assert "no stored networks" in refuse(capsys, tmp_path / "out", patch, "--run", folder)
    (tmp_path / "cells").mkdir()
    assert "not a finished run" in refuse(capsys, tmp_path / "out", patch, "--run", tmp_path)
    content = (smoke_run / "results.json").read_text()
    for damaged, message in (
        (content[: len(content) // 2], "results.json"),
        (content.replace("lung_hip_", "hip_"), "a run of hip_"),
    ):
        (tmp_path / "results.json").write_text(damaged)
        assert message in refuse(capsys, tmp_path / "out", patch, "--run", tmp_path)


def test_damaged_network(smoke_run, patch, tmp_path, capsys):
    """A network whose bytes are not those of its record is refused before anything reads it."""
    name = "luna16-cnn-leakfree-seed0"
    shutil.copytree(smoke_run / "cells" / name, tmp_path / "cells" / name)
    shutil.copy(smoke_run / "results.json", tmp_path)
    model = tmp_path / "cells" / name / "model.keras"
    content = model.read_bytes()
    for damaged in (content[:-100], content.replace(b"Dense", b"Dance", 1) + b" ", b""):
        model.write_bytes(damaged)
        error = refuse(capsys, tmp_path / "out", patch, "--run", tmp_path)
        assert "model.keras: missing or damaged" in error
    model.unlink()
    assert "missing or damaged" in refuse(capsys, tmp_path / "out", patch, "--run", tmp_path)
    (model.parent / "cell.json").write_text("{")
    error = refuse(capsys, tmp_path / "out", patch, "--run", tmp_path)
    assert "no network of row 'LUNA16 / CNN'" in error
    assert error.endswith("there are: none")
