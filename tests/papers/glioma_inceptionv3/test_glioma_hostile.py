"""A damaged volume is one fault of its source, and what the library beneath cannot bear is refused before."""

import struct

import pytest
from glioma_samples import draw_brain, write_nifti, write_pairs

from common.cases.sources import Source
from common.data.nifti import read_nifti
from common.errors import UsageError
from replications.glioma_inceptionv3 import data
from replications.glioma_inceptionv3.config import SMOKE
from replications.glioma_inceptionv3.sources import pairs
from replications.glioma_inceptionv3.sources.nrrd import read_header


def test_a_damaged_volume_is_one_fault_of_its_source(tmp_path):
    write_pairs(tmp_path / "glioma", ["II", "III", "IV"])
    (tmp_path / "glioma" / "s1" / "sample.nrrd").write_bytes(b"NRRD0004\n")
    source = Source("own", tmp_path / "glioma", "gliomas", False)
    _, cases, notes = data.read_source(source, SMOKE, "crop")
    assert [fault.split(":")[0] for fault in notes["faults"]] == ["s1"]
    assert set(cases["patient_id"]) == {"s0", "s2"}


@pytest.mark.parametrize("name", ["space", "kinds", "units"])
def test_a_field_longer_than_the_buffers_of_the_reader_is_refused(tmp_path, name):
    """SimpleITK writes it into a message of 1,024 letters: the process would die."""
    fields = {"type": "uchar", "dimension": "3", "sizes": "1 1 1", "encoding": "raw", "space": "left-posterior-superior"}
    fields |= {"content": "c" * 5000}  # of any length: no message holds it
    text = "NRRD0004\n" + "".join(f"{field}: {value}\n" for field, value in (fields | {name: "[" * 2000}).items())
    (tmp_path / "a.nrrd").write_bytes(text.encode() + b"\n\0")
    with pytest.raises(UsageError, match=f"line . of the header: 2,000 letters for {name}, too many"):
        read_header(tmp_path / "a.nrrd", tmp_path)


@pytest.mark.parametrize("number", [float("nan"), 1e30])
@pytest.mark.parametrize(("form", "place"), [(252, 256), (252, 80), (254, 284)])
def test_a_nifti_header_without_a_place_is_refused_before_it_is_read(tmp_path, capfd, form, place, number):
    """The library tells such numbers on the screen. form: where qform_code and sform_code stand; place: one of their numbers."""
    path = write_nifti(tmp_path / "a.nii", draw_brain())
    content = bytearray(path.read_bytes())
    content[252:256] = bytes(4)
    struct.pack_into("<h", content, form, 1)
    struct.pack_into("<f", content, place, number)
    path.write_bytes(content)
    with pytest.raises(UsageError, match="numbers that are no place in mm"):
        read_nifti(path)
    assert capfd.readouterr() == ("", "")


def test_a_number_of_very_many_digits_is_a_name_like_any_other(tmp_path):
    (tmp_path / "UCSF-PDGM-metadata_v2.csv").write_text(f"ID,WHO CNS Grade\nUCSF-PDGM-{'9' * 5000},4\n")
    (fault,) = pairs.list_ucsf(tmp_path, SMOKE).faults
    assert fault.startswith("UCSF-PDGM-metadata_v2.csv line 2: no folder of 'UCSF-PDGM-999")
    assert len(fault) < 300
