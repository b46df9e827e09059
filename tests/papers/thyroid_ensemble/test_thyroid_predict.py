"""Thyroid ensemble, new pictures: the numbers of a stored ensemble and sheets of Grad-CAM."""

import contextlib
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_results import make_dataset
from thyroid_runs import CONFIG, FOLDS, MEMBERS, copy_run, write_results

from common.figures import grids
from replications.thyroid_ensemble import predict


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
    roi, _ = predict.read_roi(pictures / name, (20, 10, 60, 50), replace(CONFIG, roi_mode="centre_window"))
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
