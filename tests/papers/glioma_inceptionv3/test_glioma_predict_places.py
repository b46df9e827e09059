"""Glioma report, new slices without a mask: a place in a volume, slices as DICOM, folders; what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from planted import write_dicom, write_nifti
from tiny_runs import Tiny, write_tiny_run

from replications.glioma_inceptionv3 import predict
from replications.glioma_inceptionv3.config import SMOKE
from replications.glioma_inceptionv3.slices import make_picture

pytestmark = pytest.mark.usefixtures("backend")
SCORES = ["p(II)", "p(III)", "p(IV)"]
SPACING, ORIGIN = (0.8, 0.9, 5.0), (-20.0, -10.0, -12.5)


@pytest.fixture(scope="module")
def tiny(backend, tmp_path_factory) -> Tiny:
    return write_tiny_run("glioma_inceptionv3", tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.integers(0, 1000, (5, 40, 36)) // np.arange(1, 6)[:, None, None]).astype(np.int16)


@pytest.fixture(scope="module")
def volume(planes, tmp_path_factory) -> Path:
    return write_nifti(tmp_path_factory.mktemp("volume") / "scan.nii.gz", planes, SPACING, ORIGIN)


def score(tiny: Tiny, pictures: np.ndarray) -> np.ndarray:
    import keras

    (model,) = tiny.run.glob("cells/*/model.keras")
    return np.asarray(keras.saving.load_model(model)(pictures[..., None].astype(np.float32), training=False))


def test_a_place_gives_the_whole_slice_through_it(tiny, volume, planes, tmp_path, capsys):
    """In NIfTI, NRRD and a volume stored from head to feet; the grey values are stretched as those of the whole volume."""
    places = ("-14.2,3,-8", "-10,0,2.4")  # slices 1 and 3
    low, high = np.percentile(planes, SMOKE.percentiles)
    whole = np.ones(planes.shape[1:], bool)
    taken = np.stack([make_picture(planes[n].astype(np.float32), whole, low, high, "whole", SMOKE) for n in (1, 3)])
    expected = score(tiny, taken)
    assert np.ptp(expected, axis=0).max() > 1e-3
    image = sitk.ReadImage(str(volume))
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    sitk.WriteImage(sitk.DICOMOrient(image, "RAI"), str(tmp_path / "turned.nii"))
    for path in (volume, tmp_path / "scan.nrrd", tmp_path / "turned.nii"):
        out = tmp_path / path.name.split(".")[0] / path.suffix[1:]
        assert tiny.ask(out, path, "--at", places[0], f"--at={places[1]}") == 0
        found = pd.read_csv(out / "predictions.csv")
        assert found["slice"].tolist() == [f"{path.name} slice 1", f"{path.name} slice 3", predict.ALL]
        np.testing.assert_allclose(found[SCORES].iloc[:2], expected, atol=1e-4)
        np.testing.assert_allclose(found[SCORES].iloc[2], expected.mean(axis=0), atol=1e-4)
        assert "whole, leakfree" in capsys.readouterr().out
        assert len(list(out.glob("*.png"))) == 2


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_places_outside_are_named_and_the_others_looked_at(tiny, volume, tmp_path, capsys):
    assert tiny.ask(tmp_path / "out", volume, "--at", "1.7e308,0,0", "--at", "-14.2,3,-8") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "1.7e+308, 0, 0 mm lies outside the volume" in errors[0]
    assert "outside the volume" in tiny.refuse(capsys, tmp_path / "none", volume, "--at", "-30,0,0")


def test_wrong_questions(tiny, volume, tmp_path, capsys):
    at, out = ("--at", "-14.2,3,-8"), tmp_path / "out"
    assert "goes with networks of whole slices" in tiny.refuse(capsys, out, volume, *at, "--view", "crop")
    assert f"{tmp_path}/a.mhd: no volume of a kind that is read here (.nrrd" in tiny.refuse(capsys, out, tmp_path / "a.mhd", *at)
    assert "--window is for pictures" in tiny.refuse(capsys, out, volume, *at, "--window", "0,9")
    for wrong in ((volume, *at, "--mask", volume), (volume, volume, *at), (volume,)):
        assert "one volume with its --mask, or with --at" in tiny.refuse(capsys, out, *wrong)
    placeless = tmp_path / "placeless.nii"
    placeless.write_bytes(write_nifti(tmp_path / "a.nii", np.zeros((3, 9, 9), np.int16)).read_bytes())
    content = bytearray(placeless.read_bytes())
    content[252:256] = bytes(4)
    placeless.write_bytes(content)
    assert "does not say where it lies" in tiny.refuse(capsys, out, placeless, *at)
    assert "not a NIfTI-1 file" in tiny.refuse(capsys, out, write_text(tmp_path / "text.nii"), *at)


def write_text(path: Path) -> Path:
    path.write_text("no volume")
    return path


def test_a_deep_picture_is_read_within_a_window(tiny, tmp_path, capsys):
    grey = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 16 + 100)
    assert "--window of predict" in tiny.refuse(capsys, tmp_path / "none", tmp_path / "deep.png")
    found = []
    for name, more in (("grey", ()), ("deep", ("--window", f"100,{255 * 16 + 100}"))):
        assert tiny.ask(tmp_path / name, tmp_path / f"{name}.png", *more) == 0
        found.append(pd.read_csv(tmp_path / name / "predictions.csv")[SCORES])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    far = (tmp_path / "grey.png", "--window", "0,4095")
    assert "grey.png: its highest level is 255" in tiny.refuse(capsys, tmp_path / "none", *far)
    slice_ = write_dicom(tmp_path / "IM1", grey.astype(np.uint16), "MR")
    assert "--window is for pictures" in tiny.refuse(capsys, tmp_path / "none", slice_, "--window", "0,9")


def test_a_slice_as_dicom_is_stretched_as_a_volume(tiny, planes, tmp_path, capsys):
    """By percentiles, as values of MR have no fixed meaning; MONOCHROME1 is turned."""
    levels = planes[2].astype(np.uint16)
    low, high = np.percentile(levels, SMOKE.percentiles)
    whole = np.ones(levels.shape, bool)
    expected = score(tiny, make_picture(levels.astype(np.float32), whole, low, high, "whole", SMOKE)[None])
    write_dicom(tmp_path / "all" / "a" / "IM1", levels, "MR", RescaleSlope=2, RescaleIntercept=5)
    turned = levels.max() + levels.min() - levels
    write_dicom(
        tmp_path / "all" / "b" / "IM1", turned, "MR", PhotometricInterpretation="MONOCHROME1", WindowCenter=9, WindowWidth=3
    )
    assert tiny.ask(tmp_path / "out", tmp_path / "all") == 0
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert found["slice"].tolist() == ["a/IM1", "b/IM1"]
    np.testing.assert_allclose(found[SCORES], np.repeat(expected, 2, axis=0), atol=1e-4)
    assert "window" not in capsys.readouterr().err
    for pixels, modality, message in (
        (levels, "CT", "modality 'CT', not MR"), (np.stack([levels] * 2), "MR", "2 frames"),
        (np.dstack([np.zeros((9, 9), np.uint8)] * 3), "MR", "a colour picture"),
    ):  # fmt: skip
        bad = write_dicom(tmp_path / "bad.dcm", pixels, modality)
        assert message in tiny.refuse(capsys, tmp_path / "none", bad)
