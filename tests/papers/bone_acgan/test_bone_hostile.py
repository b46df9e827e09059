"""Damaged scans: a fault of their line, and no name of a patient in it."""

from bone_samples import LABELS, SMALL, write_own

from replications.bone_acgan import data
from replications.bone_acgan.sources import scans


def test_a_scan_of_another_kind_is_a_fault_of_its_line(tmp_path):
    write_own(tmp_path / "bone_scans", LABELS[:4])
    (tmp_path / "bone_scans" / "p2.dcm").write_bytes(b"\0" * 200)
    (found,) = data.list_sources(tmp_path).values()
    _, cases, notes = data.read_source(found, SMALL)
    (fault,) = notes["faults"]
    assert fault.startswith("cases.csv line 4: ")
    assert cases["patient_id"].nunique() == 3


def test_no_name_leaves_through_a_message(tmp_path):
    """Ids and descriptions of a header stay in it, also where the file is refused."""
    write_own(tmp_path, LABELS[:2])
    content = (tmp_path / "p1.dcm").read_bytes()
    (tmp_path / "p1.dcm").write_bytes(content[:-500])
    _, cases, notes = scans.read_own(tmp_path, SMALL)
    assert len(notes["faults"]) == 1
    assert "secret" not in str(notes) + cases.to_csv()
