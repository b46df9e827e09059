"""Seeded fuzzing of the tables and pictures of bone scans and chest radiographs; DICOM itself: test_dicom.py."""

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from bone_samples import LABELS, SMALL, write_bs80k, write_own
from hostile import fuzz, renew_checksums

from common.errors import UsageError
from replications.bone_acgan import data
from replications.bone_acgan.sources import chests, scans


def read(reader, folder: Path) -> None:
    """Pictures and cases fit together, every fault is one line."""
    pictures, cases, notes = reader(folder, SMALL)
    assert len(pictures) == len(cases)
    assert set(cases["label"]) <= set(range(4))
    for fault in notes["faults"]:
        assert len(fault.splitlines()) == 1
        assert len(fault) < 1000
        assert not any(unicodedata.category(letter) == "Cc" for letter in fault)
    if notes["faults"]:
        raise UsageError(notes["faults"][0])


@pytest.mark.filterwarnings("error")
def test_fuzzed_tables_of_scans(tmp_path):
    write_own(tmp_path, LABELS[:3])
    fuzz(tmp_path / scans.TABLE, lambda: read(scans.read_own, tmp_path), seed=1)


@pytest.mark.filterwarnings("error")
def test_fuzzed_lists_of_bs80k(tmp_path):
    write_bs80k(tmp_path, count=2)
    fuzz(tmp_path / "wholeBodyANT" / "labels.txt", lambda: read(scans.read_bs80k, tmp_path), seed=2)


@pytest.mark.filterwarnings("error")
def test_fuzzed_radiographs(tmp_path):
    place = tmp_path / "COVID" / "images"
    place.mkdir(parents=True)
    cv2.imwrite(str(place / "a.png"), np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8))
    cv2.imwrite(str(place / "b.png"), np.random.default_rng(1).integers(0, 256, (20, 20), np.uint8))
    fuzz(place / "a.png", lambda: read(chests.read_chests, tmp_path), seed=3, mend=renew_checksums)


def test_a_scan_of_another_kind_is_a_fault_of_its_line(tmp_path):
    write_own(tmp_path / "bone_scans", LABELS[:4])
    (tmp_path / "bone_scans" / "p2.dcm").write_bytes(b"\0" * 200)
    (found,) = data.list_sources(tmp_path).values()
    _, cases, notes = data.read_source(found, SMALL)
    (fault,) = notes["faults"]
    assert fault.startswith("cases.csv case 3: ")
    assert cases["patient_id"].nunique() == 3


def test_no_name_leaves_through_a_message(tmp_path):
    """Ids and descriptions of a header stay in it, also where the file is refused."""
    write_own(tmp_path, LABELS[:2])
    content = (tmp_path / "p1.dcm").read_bytes()
    (tmp_path / "p1.dcm").write_bytes(content[:-500])
    _, cases, notes = scans.read_own(tmp_path, SMALL)
    assert len(notes["faults"]) == 1
    assert "secret" not in str(notes) + cases.to_csv()
