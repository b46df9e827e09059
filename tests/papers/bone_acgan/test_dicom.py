"""Bone scans as DICOM: read as written, in every order, and refused in one line; nothing that names a person is kept."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from planted import add_table

from common.errors import UsageError
from replications.bone_acgan.sources.dicom import read_scan, write_scan

COUNTS = np.random.default_rng(0).poisson(30, (2, 12, 8)).astype(np.uint16)


@pytest.fixture
def scan(tmp_path) -> Path:
    path = tmp_path / "scan.dcm"
    write_scan(path, COUNTS, "phantom007", 2.4)
    return path


def change(path: Path, edit) -> Path:
    data = pydicom.dcmread(path)
    edit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(path)
    return path


def test_counts_views_and_spacing_come_back(scan, tmp_path):
    found = read_scan(scan)
    np.testing.assert_array_equal(found.counts, COUNTS)
    assert (found.views, found.spacing, found.patient) == (("anterior", "posterior"), (2.4, 2.4), "phantom007")
    assert found.counts.dtype == np.float32
    again = tmp_path / "again.dcm"
    write_scan(again, COUNTS, "phantom007", 2.4)
    assert again.read_bytes() == scan.read_bytes()


def test_views_follow_the_detectors_not_the_order_of_frames(tmp_path):
    path = tmp_path / "turned.dcm"
    write_scan(path, COUNTS[::-1], "p", 2.4, views=("posterior", "anterior"))
    assert read_scan(path).views == ("posterior", "anterior")
    change(path, lambda data: setattr(data, "DetectorVector", [2, 1]))
    assert read_scan(path).views == ("anterior", "posterior")
    change(path, lambda data: delattr(data, "DetectorVector"))
    assert read_scan(path).views == ("posterior", "anterior")
    change(path, lambda data: delattr(data, "DetectorInformationSequence"))
    assert read_scan(path).views == ("", "")
    single = tmp_path / "single.dcm"
    write_scan(single, COUNTS[:1], "p", 2.4, views=("posterior",))
    found = read_scan(single)
    assert (found.counts.shape, found.views) == ((1, 12, 8), ("posterior",))


def test_rescale_inversion_and_compression(scan):
    change(scan, lambda data: (setattr(data, "RescaleSlope", 0.5), setattr(data, "RescaleIntercept", 1)))
    np.testing.assert_allclose(read_scan(scan).counts, COUNTS / 2 + 1)
    change(scan, lambda data: setattr(data, "PhotometricInterpretation", "MONOCHROME1"))
    turned = read_scan(scan).counts
    np.testing.assert_allclose(turned, (COUNTS.max() + float(COUNTS.min()) - COUNTS) / 2 + 1)
    change(scan, lambda data: setattr(data, "PhotometricInterpretation", "MONOCHROME2"))
    change(scan, lambda data: data.compress(pydicom.uid.RLELossless))
    np.testing.assert_allclose(read_scan(scan).counts, COUNTS / 2 + 1)


def test_tables_of_a_header(scan):
    """A modality table that turns the counts is applied, a VOI table tells which end is bright, a header in doubt is refused."""
    falling = list(range(2**16 - 1, -1, -1))
    change(scan, lambda data: add_table(data, "ModalityLUTSequence", falling))
    np.testing.assert_array_equal(read_scan(scan).counts, 2**16 - 1 - COUNTS.astype(float))
    change(scan, lambda data: add_table(data, "VOILUTSequence", falling))
    turned = COUNTS.astype(float) - COUNTS.min()
    np.testing.assert_array_equal(read_scan(scan).counts - read_scan(scan).counts.min(), turned)
    change(scan, lambda data: setattr(data, "PresentationLUTShape", "INVERSE"))
    with pytest.raises(UsageError, match=r"contradicts itself .*\(MONOCHROME2 with PresentationLUTShape INVERSE\)"):
        read_scan(scan)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: setattr(data, "Modality", "CT"), "modality 'CT', not NM"),
        (lambda data: setattr(data, "Rows", 60_000), "claims 2 frames of 60000x8|bytes, .* needed"),
        (lambda data: setattr(data, "NumberOfFrames", 5000), "claims 5000 frames"),
        (lambda data: setattr(data, "NumberOfFrames", 7), "has 384 bytes, 1344 needed"),
        (lambda data: setattr(data, "SamplesPerPixel", 3), "a colour picture"),
        (lambda data: delattr(data, "Rows"), "Rows is missing"),
        (lambda data: delattr(data, "PixelData"), "holds no picture"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(scan, edit, said):
    with pytest.raises(UsageError, match=said) as refused:
        read_scan(change(scan, edit))
    assert len(str(refused.value).splitlines()) == 1


def test_of_several_energy_windows_the_first_is_read(tmp_path):
    path = tmp_path / "windows.dcm"
    write_scan(path, np.concatenate([COUNTS, COUNTS // 2]), "p", 2.4, views=("anterior", "posterior") * 2)
    change(path, lambda data: (setattr(data, "EnergyWindowVector", [1, 1, 2, 2]), setattr(data, "DetectorVector", [1, 2, 1, 2])))
    found = read_scan(path)
    np.testing.assert_array_equal(found.counts, COUNTS)
    assert found.views == ("anterior", "posterior")


def test_more_bytes_than_the_header_says_are_refused(scan):
    change(scan, lambda data: setattr(data, "NumberOfFrames", 1))
    with pytest.raises(UsageError, match="does not fit its header"):
        read_scan(scan)


def test_odd_ids_leave_no_warning(scan, recwarn):
    change(scan, lambda data: data.add_new(0x00100020, "UI", "Doe,Jane 5"))
    recwarn.clear()
    read_scan(scan)
    assert not [str(warning.message) for warning in recwarn]


def test_files_that_are_none(tmp_path):
    empty, text = tmp_path / "empty.dcm", tmp_path / "text.dcm"
    empty.write_bytes(b"")
    text.write_text("no scan")
    for path, said in ((empty, "an empty one"), (text, "no DICOM file"), (tmp_path / "none.dcm", "No such file")):
        with pytest.raises(UsageError, match=said):
            read_scan(path)


def test_nothing_that_names_a_person_is_read(scan):
    def name(data: pydicom.Dataset) -> None:
        data.PatientName, data.PatientBirthDate, data.InstitutionName = "Doe^Jane", "19500101", "Hospital Nowhere"
        data.add_new(0x00091001, "LO", "Doe Jane, private")

    found = read_scan(change(scan, name))
    assert "Doe" not in repr(found)
    change(scan, lambda data: setattr(data, "PixelData", b"\0" * 10))
    with pytest.raises(UsageError) as refused:
        read_scan(scan)
    assert "Doe" not in str(refused.value)
