"""A damaged volume is one fault of its source."""

from glioma_samples import write_pairs

from common.cases.sources import Source
from replications.glioma_inceptionv3 import data
from replications.glioma_inceptionv3.config import SMOKE


def test_a_damaged_volume_is_one_fault_of_its_source(tmp_path):
    write_pairs(tmp_path / "glioma", ["II", "III", "IV"])
    (tmp_path / "glioma" / "s1" / "sample.nrrd").write_bytes(b"NRRD0004\n")
    source = Source("own", tmp_path / "glioma", "gliomas", False)
    _, cases, notes = data.read_source(source, SMOKE, "crop")
    assert [fault.split(":")[0] for fault in notes["faults"]] == ["s1"]
    assert set(cases["patient_id"]) == {"s0", "s2"}
