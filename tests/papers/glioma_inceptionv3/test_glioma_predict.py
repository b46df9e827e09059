"""Glioma report, new slices: the numbers of a stored network for volumes with a mask and for pictures; refusals in one line."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from PIL import Image
from sample_results import make_content, make_dataset

from common.files import hash_file
from replications.glioma_inceptionv3 import predict
from replications.glioma_inceptionv3.config import PAPER
from replications.glioma_inceptionv3.slices import make_picture

CONFIG = replace(PAPER, side=24, feature_batch=2)
CELL = "network-mobilenetv2-crop-leakfree"


def write_run(run: Path, network, *, classes: tuple[str, ...] = ("II", "III", "IV"), protocol: str = "leakfree") -> None:
    cell = run / "cells" / CELL
    cell.mkdir(parents=True)
    network.save(cell / "model.keras")
    record = {"files": {"model.keras": hash_file(cell / "model.keras")}, "settings": {}}
    (cell / "cell.json").write_text(json.dumps(record))
    entry = {"backbone": "MobileNetV2", "cell": CELL, "protocol": protocol, "view": "crop"}
    (run / "networks.json").write_text(json.dumps([entry, entry | {"view": "whole"}]))
    dataset = make_dataset(classes={name: 5 for name in classes})
    content = make_content(paper="glioma_inceptionv3", config=asdict(CONFIG), datasets=[dataset])
    (run / "results.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def network(backend):
    """Three maps of random filters, pooled, and two last layers that differ."""
    import keras

    keras.utils.set_random_seed(3)
    given = keras.Input((24, 24, 1), name="picture")
    maps = keras.layers.Conv2D(6, 5, strides=3, activation="relu", kernel_initializer="random_normal")(given)
    pooled = keras.layers.GlobalAveragePooling2D(name="bottlenecks")(maps)
    heads = [
        keras.layers.Dense(3, "softmax", name=f"last_layer_{n}", kernel_initializer="random_normal")(pooled) for n in range(2)
    ]
    return keras.Model(given, keras.layers.Average(name="probabilities")(heads))


@pytest.fixture(scope="module")
def run(network, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, network)
    return folder


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """Seven slices 40x36, the lesion in slices 1 to 5, of which 1 is too small; image and mask file, and their arrays."""
    folder = tmp_path_factory.mktemp("volume")
    random = np.random.default_rng(0)
    planes = random.integers(0, 1000, (7, 40, 36)).astype(np.int16)
    y, x = np.mgrid[:40, :36]
    masks = np.stack([(y - 20) ** 2 + (x - 16) ** 2 < radius**2 for radius in (0, 3, 7, 9, 8, 7, 0)])
    for name, values in (("scan.nrrd", planes), ("lesion.nrrd", masks.astype(np.uint8))):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((0.8, 0.9, 5.0))
        sitk.WriteImage(image, str(folder / name))
    return folder / "scan.nrrd", folder / "lesion.nrrd", planes, masks


def ask(*argv, out: Path) -> pd.DataFrame:
    assert predict.main([*map(str, argv), "--out", str(out)]) == 0
    return pd.read_csv(out / "predictions.csv")


def score(network, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(network(pictures[..., None].astype(np.float32), training=False))


def test_a_volume_is_read_as_in_the_run_and_judged_by_the_mean(run, network, volume, tmp_path, capsys) -> None:
    image, mask, planes, masks = volume
    found = ask(image, "--mask", mask, "--run", run, out=tmp_path)
    kept = [2, 3, 4, 5]
    low, high = np.percentile(planes, CONFIG.percentiles)
    pictures = np.stack([make_picture(planes[n].astype(np.float32), masks[n], low, high, "crop", CONFIG) for n in kept])
    expected = score(network, pictures)
    assert np.ptp(expected, axis=0).max() > 1e-3  # another order would show
    assert found["slice"].tolist() == [f"scan.nrrd slice {n}" for n in kept] + [predict.ALL]
    assert found["area (px)"].tolist()[:-1] == [masks[n].sum() for n in kept]
    probabilities = found[["p(II)", "p(III)", "p(IV)"]].to_numpy()
    np.testing.assert_allclose(probabilities, np.vstack([expected, expected.mean(axis=0)]), atol=1e-4)
    assert found["grade"].tolist() == [("II", "III", "IV")[n] for n in probabilities.argmax(axis=1)]
    assert len(list(tmp_path.glob("*.png"))) == 4
    printed, warned = capsys.readouterr()
    assert "network: MobileNetV2, crop, leakfree, last layers: 2" in printed
    assert "not a medical device" in warned


def test_the_spread_is_that_of_the_last_layers(run, network, volume, tmp_path) -> None:
    import keras

    image, mask, planes, masks = volume
    found = ask(image, "--mask", mask, "--run", run, "--view", "whole", out=tmp_path)
    low, high = np.percentile(planes, CONFIG.percentiles)
    pictures = np.stack([make_picture(planes[n].astype(np.float32), masks[n], low, high, "whole", CONFIG) for n in (2, 3, 4, 5)])
    parts = [keras.Model(network.input, network.get_layer(f"last_layer_{n}").output) for n in range(2)]
    heads = np.stack([score(part, pictures) for part in parts])
    called = heads.mean(axis=0).argmax(axis=1)
    np.testing.assert_allclose(found["spread"][:4], heads[:, np.arange(4), called].std(axis=0, ddof=1), atol=1e-4)


def test_pictures_are_taken_as_they_are(run, network, tmp_path) -> None:
    random = np.random.default_rng(1)
    names, pictures = ["a.png", "b.png", "c.png"], random.integers(0, 256, (3, 30, 50), dtype=np.uint8)
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / name)
    found = ask(*[tmp_path / name for name in names], "--run", run, out=tmp_path / "out")
    whole = np.ones((30, 50), bool)
    taken = np.stack([make_picture(picture.astype(np.float32), whole, 0, 255, "whole", CONFIG) for picture in pictures])
    np.testing.assert_allclose(found[["p(II)", "p(III)", "p(IV)"]], score(network, taken), atol=1e-4)
    assert found["slice"].tolist() == names
    assert "area (px)" not in found


def test_sheets_show_the_slice_and_its_map(run, network, tmp_path) -> None:
    picture = np.zeros((24, 24), np.uint8)
    picture[4:12, 10:18] = 220
    _, maps = predict.ask(network, picture[None], 4)
    sheet = np.asarray(predict.draw_sheet(picture, maps[0])).astype(int)
    assert sheet.shape == (256, 512, 3)
    assert (np.ptp(sheet[:, :256], axis=2) == 0).all()  # grey
    assert np.ptp(sheet[:, 256:], axis=2).max() > 30  # colour


def test_maps_lie_where_the_evidence_is(backend) -> None:
    """A filter that answers to bright pixels and one to dark ones, and a last layer that takes each for a grade of its own."""
    import keras

    given = keras.Input((24, 24, 1))
    filters = keras.layers.Conv2D(2, 1, activation="relu")
    pooled = keras.layers.GlobalAveragePooling2D(name="bottlenecks")(filters(given))
    layer = keras.layers.Dense(2, "softmax", name="last_layer_0")
    network = keras.Model(given, layer(pooled))
    filters.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 255.0])])
    layer.set_weights([0.01 * np.eye(2), np.zeros(2)])
    picture = np.full((24, 24), 5, np.uint8)
    picture[4:10, 12:20] = 250
    pictures = np.stack([picture, 255 - picture])
    heads, maps = predict.ask(network, pictures, 4)
    assert heads[0].argmax(axis=1).tolist() == [1, 0]  # mostly dark, mostly bright
    assert maps[0][15, 5] == maps[1][15, 5] == 1
    assert maps[0][7, 16] < 0.1
    assert maps[1][7, 16] < 0.1


def refuse(capsys, *argv) -> str:
    assert predict.main([*map(str, argv)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_refusals_in_one_line(run, volume, tmp_path, capsys) -> None:
    image, mask, *_ = volume
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(picture := tmp_path / "a.png")
    end = ("--run", run, "--out", tmp_path / "out")
    assert f"{picture}: no volume of a kind that is read here" in refuse(capsys, picture, "--mask", mask, *end)
    for wrong in ((image,), (image, picture, "--mask", mask), (image, picture), (image, image)):
        assert "one volume with its --mask" in refuse(capsys, *wrong, *end)
    assert "no such file" in refuse(capsys, image, "--mask", tmp_path / "no.nrrd", *end)
    assert "no label 'tumour'" in refuse(capsys, image, "--mask", mask, "--segment", "tumour", *end)
    error = refuse(capsys, picture, "--backbone", "InceptionV3", *end)
    assert "there are: MobileNetV2, crop" in error
    assert error.endswith("; name one with --backbone and --view")
    (tmp_path / "empty.png").write_bytes(b"")
    assert "the file is empty" in refuse(capsys, tmp_path / "empty.png", *end)
    assert not (tmp_path / "out").exists()


OUTSIDE = '[{"backbone": "M", "view": "crop", "protocol": "x", "cell": "../a"}]'


@pytest.mark.parametrize("text", ["", "[]x", '[{"cell": "a"}]', OUTSIDE])
def test_a_damaged_list_of_networks_is_refused(network, volume, tmp_path, capsys, text) -> None:
    write_run(tmp_path / "run", network)
    (tmp_path / "run" / "networks.json").write_text(text)
    image, mask, *_ = volume
    assert "makes it anew" in refuse(capsys, image, "--mask", mask, "--run", tmp_path / "run")


def test_another_network_is_refused(network, volume, tmp_path, capsys) -> None:
    write_run(tmp_path / "run", network, classes=("II", "III"))
    image, mask, *_ = volume
    out = ("--out", tmp_path / "out")
    assert "not a network of this run" in capsys_last(capsys, image, "--mask", mask, "--run", tmp_path / "run", *out)


def capsys_last(capsys, *argv) -> str:
    """The last line of what a refused call says: the warnings of the run stand before it."""
    assert predict.main([*map(str, argv)]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_network_that_met_all_subjects_says_so(network, volume, tmp_path, capsys) -> None:
    write_run(tmp_path / "run", network, protocol="paper")
    image, mask, *_ = volume
    ask(image, "--mask", mask, "--run", tmp_path / "run", out=tmp_path / "out")
    assert "has met every subject" in capsys.readouterr().err


@pytest.mark.realdata
def test_label_map_and_segmentation_of_a_real_volume_give_the_same(run, tmp_path) -> None:
    folder = Path(os.environ.get("REPLICATIONS_DATA", "")) / "glioma_inceptionv3" / "volumes"
    if "REPLICATIONS_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs the real images: set REPLICATIONS_DATA to the folder that holds glioma_inceptionv3/")
    masks = ("brain1_label.nrrd", "brain1_label.seg.nrrd")
    found = [ask(folder / "brain1_image.nrrd", "--mask", folder / mask, "--run", run, out=tmp_path / mask) for mask in masks]
    pd.testing.assert_frame_equal(*found)
    assert found[0]["area (px)"].tolist()[:-1] == [378, 524, 626, 247, 842, 984, 536]
