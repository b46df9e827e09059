"""Bone scans, new patients: the mean of the stored networks and of both views; refusals in one line."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from replications.bone_acgan import attention, predict, resnets
from replications.bone_acgan.body import draw_body
from replications.bone_acgan.config import CLASSES, SMOKE
from replications.bone_acgan.sources.dicom import read_scan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]


@pytest.fixture(scope="module")
def scan(bone_smoke_run):
    (folder,) = bone_smoke_run.parent.glob("phantoms-*/bone_scans")
    return folder / "phantom003.dcm"


def ask(*argv, out) -> pd.DataFrame:
    assert predict.main([*map(str, argv), "--out", str(out)]) == 0
    return pd.read_csv(out / "predictions.csv")


def test_both_views_are_judged_together_by_the_mean_of_the_networks(bone_smoke_run, scan, tmp_path, capsys):
    import keras

    found = ask(scan, "--run", bone_smoke_run, out=tmp_path)
    assert found["view"].tolist() == ["phantom003.dcm anterior", "phantom003.dcm posterior", predict.ALL]
    pictures = np.stack([draw_body(counts, SMOKE)[0] for counts in read_scan(scan).counts])[..., None]
    known = {"GroupedConv2D": resnets.GroupedConv2D, "CoordinateAttention": attention.CoordinateAttention}
    stored = sorted((bone_smoke_run / "cells").glob("network-*/model.keras"))
    networks = [keras.models.load_model(path, custom_objects=known, compile=False) for path in stored]
    assert len(networks) == SMOKE.leakfree_folds
    expected = np.mean([np.asarray(network(pictures.astype(np.float32), training=False)) for network in networks], axis=0)
    values = found[list(CLASSES)].to_numpy()
    np.testing.assert_allclose(values, np.vstack([expected, expected.mean(axis=0)]), atol=2e-4)
    assert "not for diagnosis" in capsys.readouterr().err


def test_two_pictures_of_one_patient(bone_smoke_run, scan, tmp_path):
    for view, counts in enumerate(read_scan(scan).counts):
        cv2.imwrite(str(tmp_path / f"{view}.png"), np.clip(4 * counts, 0, 255).astype(np.uint8))
    found = ask(tmp_path / "0.png", tmp_path / "1.png", "--run", bone_smoke_run, out=tmp_path / "out")
    np.testing.assert_allclose(found[list(CLASSES)].iloc[2], found[list(CLASSES)].iloc[:2].mean(), atol=2e-4)


@pytest.mark.parametrize("text", ["", "{", '[{"cell": "a"}]', '[{"cell": "../a", "protocol": "x"}]', "[]"])
def test_a_damaged_list_of_networks_is_refused(text, bone_smoke_run, scan, tmp_path, capsys):
    run = tmp_path / "run"
    (run / "cells").mkdir(parents=True)
    (run / "results.json").write_text((bone_smoke_run / "results.json").read_text())
    (run / predict.LIST).write_text(text)
    assert predict.main([str(scan), "--run", str(run), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "makes it anew" in line or "run it with --tables 8" in line


def test_what_is_no_scan_is_refused_in_one_line(bone_smoke_run, tmp_path, capsys):
    (tmp_path / "note.dcm").write_text("no scan")
    assert predict.main([str(tmp_path / "note.dcm"), "--run", str(bone_smoke_run), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no DICOM file" in line
    assert not (tmp_path / "out").exists()


def test_files_of_two_patients_are_refused(bone_smoke_run, scan, tmp_path, capsys):
    other = scan.with_name("phantom004.dcm")
    assert predict.main([str(scan), str(other), "--run", str(bone_smoke_run), "--out", str(tmp_path / "out")]) == 2
    assert "another patient" in capsys.readouterr().err


def test_the_list_names_networks_of_the_leakfree_protocol(bone_smoke_run):
    stored = json.loads((bone_smoke_run / predict.LIST).read_text())
    assert {entry["protocol"] for entry in stored} == {"leakfree"}
