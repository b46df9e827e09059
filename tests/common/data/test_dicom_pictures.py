"""DICOM as a picture for the eye and as a slice with its place: windows, inversion, colour, compressions, what is refused."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from planted import place_slice, write_dicom
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from common.data.dicom import open_dicom
from common.data.dicom_pictures import BURNED, NO_WINDOW, read_ct_slice, read_dicom_picture
from common.data.metaimage import world_to_voxel
from common.errors import UsageError

RAMP = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
EIGHT = (RAMP // 8).astype(np.uint8)  # 0 to 249


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.dcm"


def show(path: Path, modality: str = "DX", *, colours: bool = False) -> np.ndarray:
    return read_dicom_picture(path, (modality,), colours=colours).grey


def test_eight_bits_without_a_window_are_taken_as_they_are(path):
    found = read_dicom_picture(write_dicom(path, EIGHT, "US"), ("US",))
    np.testing.assert_array_equal(found.grey, EIGHT)
    np.testing.assert_array_equal(found.levels, EIGHT)
    assert found.notes == ()


def test_more_bits_without_a_window_are_shown_from_end_to_end_and_that_is_said(path):
    found = read_dicom_picture(write_dicom(path, RAMP + 500, "DX"), ("DX",))
    np.testing.assert_array_equal(found.grey, np.rint(RAMP * (255 / 1999)))
    assert found.notes == (NO_WINDOW,)


def test_monochrome1_is_turned(path):
    np.testing.assert_array_equal(show(write_dicom(path, EIGHT, "DX", PhotometricInterpretation="MONOCHROME1")), 255 - EIGHT)
    changes = {"WindowCenter": 1000, "WindowWidth": 500}
    plain = show(write_dicom(path, RAMP, "DX", **changes)).astype(int)
    turned = show(write_dicom(path, RAMP, "DX", **changes, PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(plain + turned - 255).max() <= 1
    assert np.ptp(plain) == 255


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, lambda hu: (hu - 39.5) / 399 + 0.5),
        ("LINEAR", lambda hu: (hu - 39.5) / 399 + 0.5),
        ("LINEAR_EXACT", lambda hu: (hu - 40) / 400 + 0.5),
        ("SIGMOID", lambda hu: 1 / (1 + np.exp(-4 * (hu - 40) / 400))),
    ],
)
def test_a_ct_slice_is_rescaled_then_windowed(path, kind, expected):
    """By the formulas of PS3.3 C.11.2.1; of several windows by the first."""
    changes = {"VOILUTFunction": kind} if kind else {}
    changes |= {"WindowCenter": [40, -600], "WindowWidth": [400, 1500], "RescaleSlope": 2, "RescaleIntercept": -1024}
    found = read_dicom_picture(write_dicom(path, RAMP, "CT", **changes), ("CT",))
    hu = RAMP * 2.0 - 1024
    np.testing.assert_allclose(found.levels, hu)
    np.testing.assert_allclose(found.grey, 255 * np.clip(expected(hu), 0, 1), atol=0.51)


def test_colour_is_turned_to_luminance_where_it_may_be(path):
    colour = np.dstack([EIGHT, EIGHT[::-1], EIGHT.T.reshape(EIGHT.shape)])
    write_dicom(path, colour, "US")
    np.testing.assert_array_equal(show(path, "US", colours=True), np.asarray(Image.fromarray(colour).convert("L")))
    with pytest.raises(UsageError, match="a colour picture, not grey levels"):
        show(path, "US")
    ybr = np.asarray(Image.fromarray(colour).convert("YCbCr"))
    write_dicom(path, ybr, "US", PhotometricInterpretation="YBR_FULL")
    assert np.abs(show(path, "US", colours=True).astype(int) - ybr[..., 0]).max() <= 3
    write_dicom(path, EIGHT, "US", PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(UsageError, match="a palette"):
        show(path, "US", colours=True)


@pytest.mark.parametrize(("form", "syntax"), [("JPEG", JPEGBaseline8Bit), ("JPEG2000", JPEG2000Lossless)])
@pytest.mark.parametrize("colour", [False, True])
def test_compressions_of_ultrasound(path, form, syntax, colour):
    picture = np.repeat(EIGHT[..., None], 3, axis=2) if colour else EIGHT
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, form, **({"quality": 100} if form == "JPEG" else {"no_jp2": True}))
    data = pydicom.dcmread(write_dicom(path, picture, "US"))
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate([stream.getvalue()])
    data["PixelData"].VR = "OB"
    if colour:
        data.PhotometricInterpretation = "YBR_FULL_422" if form == "JPEG" else "RGB"
    data.save_as(path, enforce_file_format=True)
    assert np.abs(show(path, "US", colours=True).astype(int) - EIGHT).max() <= 3
    if not colour:
        with pytest.raises(UsageError, match="compressed as JPEG"):  # where values are measured
            open_dicom(path, "US")


def test_sixteen_bits_as_jpeg_2000(path):
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "JPEG2000", no_jp2=True)
    data = pydicom.dcmread(write_dicom(path, RAMP, "DX"))
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.PixelData = encapsulate([stream.getvalue()])
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(show(path), np.rint(RAMP * (255 / 1999)))


def test_rle_is_read(path):
    data = pydicom.dcmread(write_dicom(path, RAMP, "DX"))
    data.compress(RLELossless)
    data.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(show(path), np.rint(RAMP * (255 / 1999)))


def test_text_in_the_pixels_is_said(path):
    assert read_dicom_picture(write_dicom(path, EIGHT, "US", BurnedInAnnotation="YES"), ("US",)).notes == (BURNED,)
    assert read_dicom_picture(write_dicom(path, EIGHT, "US", BurnedInAnnotation="NO"), ("US",)).notes == ()


REFUSED = {
    "frames": (np.stack([EIGHT] * 3), {}, "3 frames in one file; save the one that counts"),
    "modality": (EIGHT, {"Modality": "MR"}, "modality 'MR', not DX"),
    "odd modality": (EIGHT, {"Modality": "SMITHSON"}, "another modality, not DX"),
    "flat": (np.full_like(RAMP, 7), {}, "all pixels are the same"),
    "window": (RAMP, {"WindowCenter": 5, "WindowWidth": 0}, "shows nothing"),
    "window beyond float32": (RAMP, {"WindowCenter": "1e308", "WindowWidth": 200}, "shows nothing"),
    "window's shape": (RAMP, {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "SMITHSON"}, "a shape that is not known"),
    "slope": (RAMP, {"RescaleSlope": "1e39", "RescaleIntercept": 0}, "not finite"),
    "no pixels": (RAMP, {"PixelData": None}, "holds no picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_in_one_line(path, name):
    pixels, changes, message = REFUSED[name]
    with pytest.raises(UsageError, match=message) as refused:
        show(write_dicom(path, pixels, "DX", **changes))
    assert str(refused.value).startswith(str(path))
    assert "SMITHSON" not in str(refused.value)


def test_a_slice_knows_its_place(path):
    """Also where the patient lies the other way round: the axes are turned to left, back and head."""
    plain = read_ct_slice(write_dicom(path, RAMP, "CT", **place_slice(-140)))
    np.testing.assert_allclose(plain.volume.voxels[0], RAMP - 1024.0)
    np.testing.assert_allclose(world_to_voxel(plain.volume, [-98.5 + 7.5, 20.25 + 3, -140]), [10, 4, 0])
    turned = place_slice(-140) | {
        "ImageOrientationPatient": [-1, 0, 0, 0, -1, 0],
        "ImagePositionPatient": [-98.5 + 0.75 * 49, 20.25 + 0.75 * 39, -140],
    }
    other = read_ct_slice(write_dicom(path, np.ascontiguousarray(RAMP[::-1, ::-1]), "CT", **turned))
    np.testing.assert_array_equal(other.volume.voxels, plain.volume.voxels)
    np.testing.assert_allclose(other.volume.origin, plain.volume.origin)
    np.testing.assert_allclose(other.volume.direction, np.eye(3))


UNPLACED = {
    "position": ({"ImagePositionPatient": None}, "does not say where it lies"),
    "thickness": ({"SliceThickness": None}, "does not say where it lies"),
    "rescale": ({"RescaleIntercept": None}, "no Hounsfield units"),
    "spacing": ({"PixelSpacing": [0, 1]}, "none in mm"),
    "oblique": ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.5, 0]}, "right angles"),
    "no number": ({"ImageOrientationPatient": [1, "nan", 0, 0, 1, 0]}, "none in mm"),
    "coronal": ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not an axial slice"),
    "short": ({"ImageOrientationPatient": [1, 0, 0]}, "where it lies|right angles"),
    "far": ({"ImagePositionPatient": ["1e30", 0, 0]}, "place in mm"),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("name", UNPLACED)
def test_a_slice_without_a_place_is_refused(path, name):
    changes, message = UNPLACED[name]
    with pytest.raises(UsageError, match=message):
        read_ct_slice(write_dicom(path, RAMP, "CT", **{**place_slice(-140), **changes}))
