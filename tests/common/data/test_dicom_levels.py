"""Look-up tables of DICOM: applied as the standard says, or refused; which end of the values is bright."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from planted import NAME, add_table, place_slice, write_dicom
from pydicom.pixels import apply_modality_lut, apply_voi
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from common.data.dicom import open_dicom
from common.data.dicom_levels import MODALITY, VOI, read_table
from common.data.dicom_pictures import MODALITY_TABLE, NO_WINDOW, VOI_TABLE, DicomPicture, read_ct_slice, read_dicom_picture
from common.errors import UsageError

RAMP = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
EIGHT = (RAMP // 8).astype(np.uint8)  # 0 to 249
FALLING = list(range(255, -1, -1))
DEEP = list(range(4095, -1, -1))  # 12 bits


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.dcm"


def write(path: Path, pixels: np.ndarray, tables: dict[str, tuple[list[int], dict]], **changes) -> Path:
    data = pydicom.dcmread(write_dicom(path, pixels, "DX", **changes))
    for name, (entries, more) in tables.items():
        add_table(data, name, entries, **more)
    data.save_as(path, enforce_file_format=True)
    return path


def show(path: Path) -> DicomPicture:
    return read_dicom_picture(path, ("DX",))


@pytest.mark.parametrize("packed", [False, True])
def test_a_modality_table_gives_the_values(path, packed):
    """Also where its 8-bit entries lie two a word, as the standard has them; that is said."""
    found = show(write(path, EIGHT, {MODALITY: (FALLING, {"bits": 8, "packed": packed})}))
    np.testing.assert_array_equal(found.levels, 255.0 - EIGHT)
    np.testing.assert_array_equal(found.grey, 255 - EIGHT)
    assert found.notes == (MODALITY_TABLE,)
    found = show(write(path, RAMP, {MODALITY: (DEEP, {"packed": packed})}))
    np.testing.assert_array_equal(found.levels, 4095.0 - RAMP)
    np.testing.assert_array_equal(found.grey, np.rint((1999.0 - RAMP) * 255 / 1999))
    assert found.notes == (MODALITY_TABLE, NO_WINDOW)
    window = {"WindowCenter": 3096, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"}
    windowed = show(write(path, RAMP, {MODALITY: (DEEP, {})}, **window))
    np.testing.assert_allclose(windowed.grey, 255 * (4095.0 - RAMP - 2096) / 2000, atol=0.51)
    assert windowed.notes == (MODALITY_TABLE,)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("falls", [False, True])
def test_a_voi_table_shows_the_picture_where_there_is_no_window(path, photometric, falls):
    """Its whole range is from dark to bright; MONOCHROME1 turns what comes out of it; the values are turned with the picture."""
    entries = [entry * 16 for entry in (DEEP if falls else DEEP[::-1])]
    found = show(write(path, RAMP, {VOI: (entries, {})}, PhotometricInterpretation=photometric))
    shown = (4095 - RAMP if falls else RAMP) * (16 / 65535)
    bright = (photometric == "MONOCHROME1") == falls
    np.testing.assert_array_equal(found.grey, np.rint(255 * (1 - shown if photometric == "MONOCHROME1" else shown)))
    np.testing.assert_array_equal(found.levels, RAMP if bright else 1999.0 - RAMP)
    assert found.notes == (VOI_TABLE,)
    changes = {"WindowCenter": 1000, "WindowWidth": 500, "PhotometricInterpretation": photometric}
    windowed = show(write(path, RAMP, {VOI: (entries, {})}, **changes))
    plain = show(write(path, RAMP, {}, **changes))
    np.testing.assert_array_equal(windowed.grey, plain.grey)  # a table beside a window is another view
    np.testing.assert_array_equal(windowed.levels, plain.levels)
    assert windowed.notes == ()


def test_both_tables_and_a_rescale_before_the_second(path):
    both = show(write(path, RAMP, {MODALITY: (DEEP, {}), VOI: (list(range(0, 4096)), {"bits": 12})}))
    np.testing.assert_array_equal(both.grey, np.rint(255 * (4095.0 - RAMP) / 4095))
    assert both.notes == (MODALITY_TABLE, VOI_TABLE)
    voi = {VOI: (list(range(0, 4096)), {"bits": 12, "first": -1024})}
    found = show(write(path, RAMP, voi, RescaleSlope=1, RescaleIntercept=-1024))
    np.testing.assert_array_equal(found.grey, np.rint(255.0 * RAMP / 4095))
    with pytest.raises(UsageError, match="VOILUTSequence.* no whole numbers; export the picture without one"):
        show(write(path, RAMP, voi, RescaleSlope=0.5, RescaleIntercept=0))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("packed", [False, True])
def test_tables_are_read_in_every_way_of_writing(path, signed, syntax, packed):
    """Values below the table take its first entry, those beyond its last."""
    first = -700 if signed else 300
    pixels = (RAMP.astype(np.int16) - 1000) if signed else RAMP
    data = pydicom.dcmread(write(path, pixels, {MODALITY: (DEEP[:1500], {"first": first, "packed": packed})}))
    if syntax is not None:
        big = syntax == ExplicitVRBigEndian
        if big:
            data.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
            if packed:
                data.ModalityLUTSequence[0].LUTData = np.array(DEEP[:1500], ">u2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax
        data.decode()  # values that are not read yet have the former order of bytes
        pydicom.dcmwrite(path, data, enforce_file_format=True)
    expected = np.array(DEEP[:1500])[np.clip(pixels.astype(int) - first, 0, 1499)]
    np.testing.assert_array_equal(show(path).levels, expected)


def test_pydicom_says_the_same_where_it_can(path):
    """It wraps levels around beyond an 8-bit table of more than 256 entries, and signed ones that a table begins far below."""
    for name, apply in ((MODALITY, apply_modality_lut), (VOI, apply_voi)):
        for entries, more in ((DEEP[:700], {"first": 300}), (DEEP, {}), (list(range(2**16)), {})):
            write(path, RAMP, {name: (entries, more)})
            table = read_table(open_dicom(path, "DX"), name, path)
            assert table is not None
            np.testing.assert_array_equal(table.look_up(RAMP), apply(RAMP, pydicom.dcmread(path)))


def test_an_eight_bit_table_of_many_entries_does_not_wrap_around(path):
    entries = [place // 8 for place in range(2000)]
    for name in (MODALITY, VOI):
        np.testing.assert_array_equal(show(write(path, RAMP, {name: (entries, {"bits": 8})})).grey, RAMP // 8)


def test_the_first_value_of_a_signed_table_though_its_type_says_unsigned(path):
    data = pydicom.dcmread(write(path, RAMP.astype(np.int16) - 1000, {MODALITY: (DEEP, {"first": 2**16 - 1000})}))
    assert data.ModalityLUTSequence[0]["LUTDescriptor"].VR == "US"
    np.testing.assert_array_equal(show(path).levels, 4095.0 - RAMP)


def test_a_slice_in_hounsfield_units_has_no_table(path):
    data = pydicom.dcmread(write_dicom(path, RAMP, "CT", **place_slice(-140)))
    add_table(data, VOI, DEEP).save_as(path)  # for the eye alone
    np.testing.assert_array_equal(read_ct_slice(path).volume.voxels[0], RAMP - 1024.0)
    add_table(data, MODALITY, DEEP).save_as(path)
    with pytest.raises(UsageError, match=r"a look-up table \(ModalityLUTSequence\) in its header, so .* no Hounsfield units"):
        read_ct_slice(path)


def test_which_end_is_bright_is_said_twice(path):
    for photometric, shape, changes in (("MONOCHROME2", "IDENTITY", {}), ("MONOCHROME1", "INVERSE", {})):
        plain = show(write_dicom(path, EIGHT, "DX", PhotometricInterpretation=photometric, **changes))
        said = show(write_dicom(path, EIGHT, "DX", PhotometricInterpretation=photometric, PresentationLUTShape=shape, **changes))
        np.testing.assert_array_equal(said.grey, plain.grey)
        np.testing.assert_array_equal(said.levels, plain.levels)
    for photometric, shape in (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")):
        for more in ({}, {"WindowCenter": 100, "WindowWidth": 50}):
            write_dicom(path, EIGHT, "DX", PhotometricInterpretation=photometric, PresentationLUTShape=shape, **more)
            with pytest.raises(UsageError, match=rf"which values are bright \({photometric} with PresentationLUTShape {shape}\)"):
                show(path)


FALSE = {
    "too short": (FALLING[:-9], {}, {"LUTDescriptor": [256, 0, 8]}, "not what it says"),
    "too high": (DEEP, {"bits": 8}, {}, "not what it says"),
    "of bits": (FALLING, {"bits": 4}, {}, "not what it says"),
    "no data": (FALLING, {}, {"LUTData": None}, "not what its header says"),
    "no descriptor": (FALLING, {}, {"LUTDescriptor": None}, "not what its header says"),
}


@pytest.mark.parametrize("table", [MODALITY, VOI])
@pytest.mark.parametrize("name", FALSE)
def test_a_table_that_is_not_what_it_says_is_refused_in_one_line(path, table, name):
    entries, more, changes, message = FALSE[name]
    data = pydicom.dcmread(write(path, RAMP, {table: (entries, more)}))
    for attribute, value in changes.items():
        if value is None:
            delattr(data[table][0], attribute)
        else:
            setattr(data[table][0], attribute, value)
    data.save_as(path)
    with pytest.raises(UsageError, match=message) as refused:
        show(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert NAME not in str(refused.value)


def test_tables_that_cannot_be_are_refused(path):
    for changes in ({"RescaleSlope": 2, "RescaleIntercept": 0}, {"RescaleSlope": 1, "RescaleIntercept": -1024}):
        with pytest.raises(UsageError, match="ModalityLUTSequence.* and a rescale in its header, which exclude each other"):
            show(write(path, RAMP, {MODALITY: (DEEP, {})}, **changes))
    same = show(write(path, RAMP, {MODALITY: (DEEP, {})}, RescaleSlope=1, RescaleIntercept=0))
    np.testing.assert_array_equal(same.levels, 4095.0 - RAMP)
    with pytest.raises(UsageError, match="VOILUTSequence.* by which all pixels are the same"):
        show(write(path, RAMP, {VOI: (DEEP, {"first": 9000})}))
