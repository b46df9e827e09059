"""New images as clinics store them: the same patch from .mhd, NIfTI and DICOM slices; radiographs as DICOM; what is refused."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from planted import place_slice, write_dicom, write_nifti
from tiny_runs import Tiny, draw_picture, save_picture, write_tiny_run

from common.data.metaimage import read_header, voxel_to_world, world_to_voxel, write_volume
from common.data.nifti import turn_volume
from common.errors import UsageError
from replications.lung_hip_compare import predict
from replications.lung_hip_compare.config import PAPER

pytestmark = pytest.mark.usefixtures("backend")
HIP = "128x128 unresized"
ORIGIN, SPACING = (-98.5, 20.25, -140.0), (0.75, 0.75, 2.5)
PLACES = ("-60.5,62,-135.2", "-40,70,-131")  # in slices 1 and 3
SCORES = ["p(non-nodule)", "p(nodule)"]


@pytest.fixture(scope="module")
def tiny(backend, tmp_path_factory) -> Tiny:
    rows = [("LUNA16 / CNN", "LUNA16"), (f"{HIP} / CNN", HIP)]
    return write_tiny_run("lung_hip_compare", tmp_path_factory.mktemp("run"), rows)


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    """HU int16 (z, y, x), another texture and brightness in every slice."""
    random = np.random.default_rng(5)
    return (random.integers(-1000, 300, (6, 130, 120)) // np.arange(1, 7)[:, None, None]).astype(np.int16)


def ask(tiny: Tiny, out: Path, *argv) -> pd.DataFrame:
    assert tiny.ask(out, *argv) == 0
    return pd.read_csv(out / "predictions.csv")


def write_slices(folder: Path, voxels: np.ndarray, **changes) -> Path:
    for number, plane in enumerate(voxels):
        place = place_slice(ORIGIN[2] + SPACING[2] * number) | changes
        write_dicom(folder / f"IM{9 - number:04d}", (plane + 1024).astype(np.uint16), "CT", **place)  # names in no order
    return folder


@pytest.fixture(scope="module")
def scans(voxels, tmp_path_factory) -> dict[str, Path]:
    """One scan in every form; NIfTI also as most programs store it, from the patient's left to the right."""
    folder = tmp_path_factory.mktemp("scans")
    write_volume(folder / "scan.mhd", voxels, SPACING, ORIGIN)
    write_nifti(folder / "scan.nii.gz", voxels, SPACING, ORIGIN)
    image = sitk.ReadImage(str(folder / "scan.nii.gz"))
    sitk.WriteImage(sitk.DICOMOrient(image, "RAS"), str(folder / "turned.nii"))
    for name, axes in (("coronal", "LIP"), ("sagittal", "PIL"), ("mirrored", "RAS"), ("below", "LPI")):
        sitk.WriteImage(sitk.DICOMOrient(image, axes), str(folder / f"{name}.mhd"))
    write_slices(folder / "slices", voxels)
    turned = {name: folder / f"{name}.mhd" for name in ("coronal", "sagittal", "mirrored", "below")}
    straight = {
        "mhd": folder / "scan.mhd",
        "gz": folder / "scan.nii.gz",
        "turned": folder / "turned.nii",
        "dicom": folder / "slices",
    }
    return straight | turned


def flag(place: str) -> list[str]:
    return ["--at", place]  # with a blank: a place that begins with a minus is no flag


def test_all_forms_of_a_scan_give_the_same(tiny, scans, tmp_path):
    at = [word for place in PLACES for word in flag(place)]
    expected = ask(tiny, tmp_path / "mhd", scans["mhd"], *at)
    assert expected["image"].tolist() == ["scan at -60.5, 62, -135.2", "scan at -40, 70, -131"]
    assert np.ptp(expected["p(nodule)"]) > 1e-3  # another slice would show
    forms = {"gz": "scan.nii.gz", "turned": "turned.nii", "dicom": None}
    forms |= {form: form for form in ("coronal", "sagittal", "mirrored", "below")}
    for form, names in forms.items():
        found = ask(tiny, tmp_path / form, scans[form], *at)
        np.testing.assert_allclose(found[SCORES], expected[SCORES], atol=1e-4)
        if names:
            assert found["image"].tolist() == [name.replace("scan", names, 1) for name in expected["image"]]
        else:
            assert found["image"].tolist() == ["IM0008 at -60.5, 62, -135.2", "IM0006 at -40, 70, -131"]


CODES = [
    "".join(side[number] for side, number in zip(axes, sides, strict=True))
    for axes in itertools.permutations(("LR", "PA", "SI"))
    for sides in itertools.product((0, 1), repeat=3)
]


@pytest.mark.parametrize("rule", ["signed", "as-published"])
def test_a_volume_is_cut_alike_however_its_axes_lie(scans, tmp_path, rule):
    """All 48 ways to store a scan, as .mhd and as NIfTI: the same pixels."""
    config = replace(PAPER, luna_voxel_rule=rule)
    points = [(-59.6, 62.0, -135.2), (-40.0, 70.0, -131.0)]
    image = sitk.ReadImage(str(scans["mhd"]))
    expected = predict.read_images([scans["mhd"]], points, "LUNA16", replace(PAPER, luna_voxel_rule="signed"), [])
    assert len(CODES) == 48
    for code, ending in itertools.product(CODES, (".mhd", ".nii") if rule == "signed" else (".mhd",)):
        path = tmp_path / f"{code}{ending}"
        sitk.WriteImage(sitk.DICOMOrient(image, code), str(path))
        found = predict.read_images([path], points, "LUNA16", config, faults := [])
        assert not faults
        for one, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.image, wanted.image, str(path))


@pytest.mark.parametrize("dtype", ["i1", ">i2", "u2", "<i4", ">u4", ">f4", "f8"])
def test_voxels_of_every_type_are_turned(tmp_path, dtype):
    voxels = np.random.default_rng(0).integers(0, 120, (3, 4, 5)).astype(dtype)
    write_volume(tmp_path / "a.mhd", voxels, (1, 2, 3), (4, 5, 6), np.array([[0, 0, -1.0], [-1, 0, 0], [0, 1, 0]]))
    volume = read_header(tmp_path / "a.mhd")
    turned = turn_volume(volume)
    assert turned.voxels is not None
    assert turned.raw == volume.raw
    np.testing.assert_array_equal(turned.direction, np.eye(3))
    for x, y, z in np.ndindex(5, 4, 3):
        at = np.rint(world_to_voxel(turned, voxel_to_world(volume, [x, y, z]))).astype(int)
        assert turned.voxels[tuple(at[::-1])] == voxels[z, y, x]


def test_axial_volumes_are_not_read_whole(scans, tmp_path, monkeypatch):
    volume = read_header(scans["mhd"])
    assert turn_volume(volume) is volume
    monkeypatch.setattr("common.data.nifti.MAX_VOXELS", 1000)
    assert turn_volume(volume) is volume
    with pytest.raises(UsageError, match=r"coronal\.mhd: more than 1000 voxels"):
        turn_volume(read_header(scans["coronal"]))


@pytest.mark.parametrize("ending", [".mhd", ".nii"])
@pytest.mark.parametrize("axis", [0, 1])
def test_volumes_that_lie_askew_are_refused_as_slices_are(scans, tmp_path, ending, axis):
    image = sitk.ReadImage(str(scans["mhd"]))
    for degrees, axial in ((20, True), (35, False), (55, False), (80, True)):
        turn = sitk.Euler3DTransform()
        turn.SetRotation(*(np.deg2rad(degrees) * (np.arange(3) == axis)))
        image.SetDirection(turn.GetMatrix())
        path = tmp_path / f"{degrees}{ending}"
        sitk.WriteImage(image, str(path))
        centre = image.TransformContinuousIndexToPhysicalPoint([60.3, 65.2, 2.5])
        found = predict.read_images([path], [centre], "LUNA16", PAPER, faults := [])
        assert len(found) == axial
        assert axial or faults == [f"{path}: its slices are not axial; turn or resample the scan, so that they are"]


def test_one_slice_holds_the_candidates_above_it_by_its_thickness(tiny, scans, tmp_path, capsys):
    alone = scans["dicom"] / "IM0008"  # from -137.5 to -135 mm
    found = ask(tiny, tmp_path / "one", alone, "--at", "-60.5,62,-137.5", "--at", "-60.5,62,-135.1")
    assert found["p(nodule)"].nunique() == 1
    for z in ("-137.6", "-135"):
        assert "no slice holds" in tiny.refuse(capsys, tmp_path / "out", alone, "--at", f"-60.5,62,{z}")
    assert "lies outside the scan" in tiny.refuse(capsys, tmp_path / "out", alone, "--at", "-99.5,62,-137")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_candidates_outside_are_named_and_the_others_looked_at(tiny, scans, tmp_path, capsys):
    for form in ("mhd", "gz", "dicom"):
        assert tiny.ask(tmp_path / form, scans[form], "--at", "1.7e308,62,-135", *flag(PLACES[0])) == 1
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "1.7e+308" in errors[0]
        assert len(pd.read_csv(tmp_path / form / "predictions.csv")) == 1


def test_a_bad_slice_among_good_ones(tiny, voxels, tmp_path, capsys):
    folder = write_slices(tmp_path / "slices", voxels)
    (folder / "IM0007").write_bytes((folder / "IM0007").read_bytes()[:-100])  # slice 2, which nobody asks for
    (folder / "report.dcm").write_text("Dear colleague")
    assert tiny.ask(tmp_path / "out", folder, *flag(PLACES[0])) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ["IM0007" in errors[0], "report.dcm" in errors[1], len(errors)] == [True, True, 2]


def test_slices_of_two_series_are_refused(tiny, voxels, tmp_path, capsys):
    write_slices(tmp_path / "all" / "a", voxels)
    write_slices(tmp_path / "all" / "b", voxels, SeriesInstanceUID="1.2.4")
    assert "another series" in tiny.refuse(capsys, tmp_path / "out", tmp_path / "all", *flag(PLACES[0]))


def test_a_scan_needs_candidates_in_every_form(tiny, scans, tmp_path, capsys):
    for form in scans.values():
        assert "needs candidates" in tiny.refuse(capsys, tmp_path / "out", form)
    for form in ("mhd", "gz"):
        hip = ("--row", f"{HIP} / CNN")
        error = tiny.refuse(capsys, tmp_path / "out", scans[form], *flag(PLACES[0]), *hip)
        assert f"a CT scan, but row '{HIP}' is of hips" in error
        error = tiny.refuse(capsys, tmp_path / "out", scans[form], *flag(PLACES[0]), "--window", "0,100")
        assert "--window is for pictures" in error


def test_a_scan_among_pictures_is_a_fault_of_its_own(tiny, scans, tmp_path, capsys):
    """A row of hips takes no scan, and a scan without places shows nothing: the pictures beside it are answered all the same."""
    folder = tmp_path / "mixed"
    save_picture(folder / "hip.png", np.kron(draw_picture("thyroid_ensemble"), np.ones((2, 2), np.uint8)))
    for form in ("mhd", "gz", "coronal"):
        (folder / scans[form].name).symlink_to(scans[form])
    for given in ([folder], sorted(folder.iterdir())):
        assert tiny.ask(tmp_path / "out", *given, "--row", f"{HIP} / CNN") == 1
        assert pd.read_csv(tmp_path / "out" / "predictions.csv")["image"].tolist() == ["hip.png"]
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert sorted(error.split(": ")[1] for error in errors) == sorted(
            str(folder / scans[form].name) for form in ("mhd", "gz", "coronal")
        )
        assert all(f"a CT scan, but row '{HIP}' is of hips" in error for error in errors)
    assert f"row '{HIP}' is of hips" in tiny.refuse(capsys, tmp_path / "no", folder, *flag(PLACES[0]), "--row", f"{HIP} / CNN")
    (folder / "hip.png").unlink()
    save_picture(folder / "patch.png", np.zeros((50, 50), np.uint8))
    (folder / "slices").symlink_to(scans["dicom"])
    assert tiny.ask(tmp_path / "out", folder, folder / "patch.png", "--window", "0,200") == 1
    assert pd.read_csv(tmp_path / "out" / "predictions.csv")["image"].tolist() == ["patch.png"] * 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 4  # the slices of one scan are one
    assert all("needs candidates (--at X,Y,Z)" in error for error in errors)


def test_what_is_no_scan_is_refused(tiny, voxels, tmp_path, capsys):
    at = flag(PLACES[0])
    (tmp_path / "text.nii.gz").write_text("not a volume")
    assert "gzip" in tiny.refuse(capsys, tmp_path / "out", tmp_path / "text.nii.gz", *at)
    (tmp_path / "empty.nii").touch()
    assert "not a NIfTI-1 file" in tiny.refuse(capsys, tmp_path / "out", tmp_path / "empty.nii", *at)
    cut = write_nifti(tmp_path / "cut.nii", voxels)
    cut.write_bytes(cut.read_bytes()[:-10])
    assert "damaged or cut" in tiny.refuse(capsys, tmp_path / "out", cut, *at)
    placeless = write_nifti(tmp_path / "placeless.nii", voxels)
    content = bytearray(placeless.read_bytes())
    content[252:256] = bytes(4)  # neither qform nor sform
    placeless.write_bytes(content)
    assert "does not say where it lies" in tiny.refuse(capsys, tmp_path / "out", placeless, *at)
    series = write_nifti(tmp_path / "series.nii", np.stack([voxels, voxels]))
    assert "several volumes" in tiny.refuse(capsys, tmp_path / "out", series, *at)
    colour = write_dicom(tmp_path / "colour.dcm", np.zeros((60, 60, 3), np.uint8), "CT", **place_slice(-140))
    assert "a colour picture" in tiny.refuse(capsys, tmp_path / "out", colour, *at)
    cine = write_dicom(tmp_path / "cine.dcm", np.zeros((4, 60, 60), np.uint16), "CT", **place_slice(-140))
    assert "4 frames" in tiny.refuse(capsys, tmp_path / "out", cine, *at)
    mr = write_dicom(tmp_path / "mr.dcm", np.zeros((60, 60), np.uint16), "MR", **place_slice(-140))
    assert "modality 'MR', not CT" in tiny.refuse(capsys, tmp_path / "out", mr, *at)


def test_a_radiograph_as_dicom_gets_what_its_picture_gets(tiny, tmp_path, capsys):
    """MONOCHROME1, in 12 bits with a window: the picture as it is shown."""
    picture = np.kron(draw_picture("thyroid_ensemble"), np.ones((2, 2), np.uint8))
    levels = (255 - picture.astype(np.uint16)) * 8 + 400
    window = {"WindowCenter": 400.5 + 8 * 127.5, "WindowWidth": 8 * 255 + 1, "PhotometricInterpretation": "MONOCHROME1"}
    dicom = write_dicom(tmp_path / "hip", levels, "DX", **window)  # no ending
    hip = ("--row", f"{HIP} / CNN")
    expected = ask(tiny, tmp_path / "png", save_picture(tmp_path / "hip.png", picture), *hip)
    found = ask(tiny, tmp_path / "dicom", dicom, *hip)
    scores = ["p(no fracture)", "p(fracture)"]
    np.testing.assert_allclose(found[scores], expected[scores], atol=1e-4)
    capsys.readouterr()
    write_dicom(tmp_path / "plain.dcm", levels, "DX")
    ask(tiny, tmp_path / "plain", tmp_path / "plain.dcm", *hip)
    assert "plain.dcm: no window in its header" in capsys.readouterr().err
    ct = write_dicom(tmp_path / "ct.dcm", levels, "CT", **place_slice(0))
    assert "modality 'CT', not CR or DX" in tiny.refuse(capsys, tmp_path / "out", ct, *hip)
