"""The patients of a case table: spellings united, questions asked and answered; near-duplicates listed, joined, refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_pictures import make_images

from common.cases.copies import leave_out_copies, list_copies, settle_copies
from common.cases.patients import list_spellings, settle_patients
from common.cases.prepared import load_dataset
from common.cases.sources import Source, prepare_source
from common.errors import UsageError

OWN = Source("own", Path("/data/pictures"), "pictures", synthetic=False)


def make_read(patients, images=None):
    count = len(patients)
    images = make_images(count) if images is None else np.stack(images)
    ids = [f"c{row}" for row in range(count)]
    cases = pd.DataFrame({"case_id": ids, "path": [f"{row}.png" for row in range(count)], "patient_id": patients})
    return images, cases.assign(sha256=[f"{row:064x}" for row in range(count)], label=np.arange(count) % 2), {"faults": []}


def test_spellings_of_one_patient_are_one_and_are_shown():
    _, cases, notes = settle_patients(OWN, make_read(["Jos\u00e9 0", "Jose\u0301 0", "Jos\u00e9\u00a00", "Ann"]))
    assert cases["patient_id"].to_list() == ["Jos\u00e9 0"] * 3 + ["Ann"]
    assert len(notes["patient_spellings"]["Jos\u00e9 0"]) == 3
    (line,) = list_spellings(notes)
    assert line.isascii()
    assert "3 ways" in line
    assert "u0301" in line


def test_doubtful_ids_are_a_question_with_two_answers():
    read = make_read(["P7", "p07", "12", "12.0", "Ann"])
    with pytest.raises(UsageError, match=r"2 patients in doubt.*'12' = '12.0'; 'P7' = 'p07'; say --patients same or") as caught:
        settle_patients(OWN, read)
    assert "\n" not in str(caught.value)
    same = settle_patients(replace(OWN, patients="same"), read)[1]["patient_id"]
    assert same.to_list() == ["P7", "P7", "12", "12", "Ann"]
    different = settle_patients(replace(OWN, patients="different"), read)[1]["patient_id"]
    assert different.to_list() == ["P7", "p07", "12", "12.0", "Ann"]
    assert "patient_spellings" not in settle_patients(OWN, make_read(["1", "2"]))[2]


def test_another_answer_prepares_anew(tmp_path):
    read = make_read(["P7", "p07", "P8", "P9"])
    counts = {}
    for answer in ("same", "different", "same"):
        source = replace(OWN, patients=answer)
        settle = partial(settle_patients, source, read)
        prepare_source(source, {"side": 50}, tmp_path / "d", settle, ("a", "b"), "m", skip_unreadable=False)
        counts.setdefault(answer, []).append(load_dataset(tmp_path / "d").info["patients"])
        read[2].setdefault("faults", [])
    assert counts == {"same": [3, 3], "different": [4]}


def test_near_duplicates_are_listed_by_file_joined_or_refused():
    images = list(make_images(24))
    images[5] = np.ascontiguousarray(255 - images[20][::-1])
    patients = [f"p{row:02d}" for row in range(24)]
    _, cases, notes = settle_copies(OWN, make_read(patients, images))
    assert [entry["files"] for entry in notes["near_duplicates"]] == [["5.png", "20.png"]]
    assert cases["patient_id"].iloc[20] == cases["patient_id"].iloc[5] == "p05"
    assert notes["patients_listed"] == 24 == cases["patient_id"].nunique() + 1
    lines = list_copies(notes, "group")
    assert lines[0].startswith("near-duplicate: 5.png ~ 20.png (")
    assert "--near-duplicates refuse" in lines[1]
    _, apart, _ = settle_copies(OWN, make_read(patients, images), join=False)
    assert apart["patient_id"].to_list() == patients
    _, _, refused = settle_copies(replace(OWN, near_duplicates="refuse"), make_read(patients, images))
    assert len(refused["faults"]) == 1
    assert "5.png ~ 20.png" in refused["faults"][0]
    sides = np.array(["train"] * 20 + ["test"] * 4)
    left = leave_out_copies(sides, cases, notes["near_duplicates"])
    assert np.flatnonzero(left != sides).tolist() == [5]
    assert left[5] == ""


def test_none_found_says_so():
    _, _, notes = settle_copies(OWN, make_read([f"p{row}" for row in range(22)]))
    assert notes["near_duplicates"] == []
    assert list_copies(notes, "group")[0].startswith("no near-duplicate pictures")
