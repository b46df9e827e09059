"""A damaged volume is one fault of its source, and what the library beneath cannot bear is refused before."""

import pytest
from glioma_samples import write_pairs

from common.cases.sources import Source
from common.errors import UsageError
from replications.glioma_inceptionv3 import data
from replications.glioma_inceptionv3.config import SMOKE
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
