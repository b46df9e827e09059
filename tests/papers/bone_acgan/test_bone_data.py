"""From files to pictures and folds: readers, faults, privacy, sizes of the GAN, the splits of Table 1 and of patients."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from bone_samples import LABELS, SMALL, draw_counts, write_bs80k, write_own

from common.cases.prepared import Dataset
from common.cases.sources import Source
from common.errors import UsageError
from replications.bone_acgan import data
from replications.bone_acgan.config import CLASSES, PAPER
from replications.bone_acgan.sources import phantoms
from replications.bone_acgan.sources.dicom import write_scan


def read(folder, kind="own"):
    return data.READERS[kind](folder, SMALL)


def test_own_scans_give_two_views_a_patient(tmp_path):
    write_own(tmp_path, LABELS)
    pictures, cases, notes = read(tmp_path)
    assert pictures.shape == (24, 64, 32)
    assert pictures.dtype == np.uint8
    assert notes["faults"] == []
    assert cases["view"].value_counts().to_dict() == {"anterior": 12, "posterior": 12}
    assert cases["patient_id"].nunique() == 12
    assert cases["sha256"].is_unique
    assert (cases["white"] > 0).all()


def test_no_id_of_a_file_leaves_it(tmp_path):
    write_own(tmp_path, LABELS)
    (tmp_path / "cases.csv").write_text("path,label\n" + "\n".join(f"p{n}.dcm,{label}" for n, label in enumerate(LABELS)))
    _, cases, notes = read(tmp_path)
    text = cases.to_csv() + json.dumps(notes)
    assert "secret" not in text
    assert cases["patient_id"].nunique() == 12  # still grouped by it


def test_pictures_with_views_in_the_table(tmp_path):
    for view in (0, 1):
        cv2.imwrite(str(tmp_path / f"{view}.png"), np.clip(draw_counts(3)[view] * 4, 0, 255).astype(np.uint8))
    (tmp_path / "cases.csv").write_text("path,label,patient,view\n0.png,1,a,ant\n1.png,metastasis,a,posterior\n")
    _, cases, notes = read(tmp_path)
    assert notes["faults"] == []
    assert cases["view"].tolist() == ["anterior", "posterior"]
    assert cases["label"].tolist() == [1, 1]
    assert (cases["white"] == SMALL.poisson_white).all()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("p0.dcm,unknown,a", "label 'unknown' is none of health"),
        ("../p0.dcm,health,a", "p0.dcm"),
        ("none.dcm,health,a", "No such file"),
        ("p0.dcm,metastases,a", "is listed with another label, metastases, health before: none of its lines is used"),
        ("p0.dcm,health,a", "is listed again"),
        (" ,health,a", "no path"),
        ("p1.dcm,health,", "no patient"),
        ("cases.csv,health,a", "not a JPEG or PNG picture"),
    ],
)
def test_faults_are_one_line_each(tmp_path, line, said):
    write_own(tmp_path, LABELS[:3])
    with (tmp_path / "cases.csv").open("a") as file:
        file.write(line + "\n")
    _, cases, notes = read(tmp_path)
    assert len(notes["faults"]) == 1
    assert said in notes["faults"][0]
    assert notes["faults"][0].startswith("cases.csv line 5: ")
    with_two_labels = {"p0.dcm"} if "another label" in said else set()
    assert {*cases["path"]} == {"p0.dcm", "p1.dcm", "p2.dcm"} - with_two_labels
    assert len(cases) == 2 * cases["path"].nunique()


def test_pictures_without_patients_are_said(tmp_path):
    """Both views of a patient would part unseen: data and results say that no patients are known."""
    for number in range(6):
        for view in (0, 1):
            counts = np.clip(draw_counts(number)[view] * 4, 0, 255).astype(np.uint8)
            (tmp_path / "bone_scans").mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / "bone_scans" / f"{number}-{view}.png"), counts)
    names = [f"{number}-{view}.png,{LABELS[number]}" for number in range(6) for view in (0, 1)]
    (tmp_path / "bone_scans" / "cases.csv").write_text("\n".join(["path,label", *names]))
    (source,) = data.list_sources(tmp_path).values()
    _, cases, notes = data.read_source(source, SMALL)
    assert (notes["patients_known"], notes["unknown_patients"], cases["patient_id"].nunique()) == (False, 12, 12)
    found = data.check_source(source)
    assert any("12 files say nothing of their patient" in note for note in found.notes)
    for near, name in (("Patient", "patient"), ("patient_id", "patient"), (" View", "view")):
        lines = [f"path,label,{near}", *(f"{line},a" for line in names)]
        (tmp_path / "bone_scans" / "cases.csv").write_text("\n".join(lines))
        with pytest.raises(UsageError, match=f"column '{near}' would not be read: the name is '{name}'; rename the column"):
            data.read_source(source, SMALL)


def test_what_is_no_view_is_refused(tmp_path):
    body = np.clip(draw_counts(1)[0] * 4, 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "dark.png"), 255 - body)
    cv2.imwrite(str(tmp_path / "tiny.png"), body[:9, :9])
    write_scan(tmp_path / "many.dcm", np.concatenate([draw_counts(n) for n in range(2)]), "p", 2.4, ("anterior", "posterior") * 2)
    write_scan(tmp_path / "1.2.840.5", draw_counts(3), "p", 2.4)  # named by its id
    lines = ["path,label,patient", "dark.png,health,a", "tiny.png,health,b", "many.dcm,health,c", "1.2.840.5,health,d"]
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    _, cases, notes = read(tmp_path)
    said = [fault.partition(": ")[2] for fault in notes["faults"]]
    assert ["dark on light" in said[0], "9x9 pixels" in said[1], "4 frames" in said[2]] == [True] * 3
    assert cases["case_id"].tolist() == ["1.2.840.5#anterior", "1.2.840.5#posterior"]


def test_an_unknown_view_is_a_fault(tmp_path):
    write_own(tmp_path, LABELS[:1])
    (tmp_path / "cases.csv").write_text("path,label,patient,view\np0.dcm,health,a,lateral\n")
    assert "view 'lateral' is none of anterior, posterior" in read(tmp_path)[2]["faults"][0]


def test_bs80k(tmp_path):
    write_bs80k(tmp_path)
    _, cases, notes = read(tmp_path, "bs80k")
    assert notes["faults"] == []
    assert len(cases) == 8
    assert cases.groupby("patient_id")["view"].nunique().eq(2).all()
    assert set(cases["label"]) == {0, 1}
    with pytest.raises(UsageError, match="no labelled picture"):
        read(tmp_path / "wholeBodyANT", "bs80k") if (tmp_path / "x").mkdir() else read(tmp_path / "x", "bs80k")


def make_dataset(patients: int = 173) -> Dataset:
    shares = np.repeat(np.arange(3), [81, 63, 29])[:patients]
    lines = [(f"{n}-{view}", f"{n}.dcm", f"{n:063x}{view}", str(n), label) for n, label in enumerate(shares) for view in (0, 1)]
    cases = pd.DataFrame(lines, columns=["case_id", "path", "sha256", "patient_id", "label"])
    return Dataset(np.zeros((len(cases), 4, 4, 1), np.uint8), cases, {"name": "scans"})


def test_the_papers_split_is_table_1():
    dataset = make_dataset()
    (fold,) = data.split_dataset(dataset, "paper", PAPER)
    labels = dataset.cases["label"].to_numpy()
    assert np.bincount(labels).tolist() == [162, 126, 58]
    assert np.bincount(labels[fold.test]).tolist() == [32, 25, 15]
    assert np.bincount(labels[fold.train]).tolist() == [130, 101, 43]
    patients = dataset.cases["patient_id"]
    assert set(patients.iloc[fold.train]) & set(patients.iloc[fold.test])  # as the paper: both views of a patient on both sides


def test_leakfree_folds_part_patients():
    dataset = make_dataset()
    folds = data.split_dataset(dataset, "leakfree", PAPER)
    patients = dataset.cases["patient_id"].to_numpy()
    assert len(folds) == 5
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(346))
    for fold in folds:
        sides = [set(patients[getattr(fold, side)]) for side in ("train", "validation", "test")]
        assert sum(map(len, sides)) == len(set().union(*sides))


def test_sizes_of_the_gan_and_back():
    config = replace(SMALL, picture_height=128, picture_width=64, height=96, width=32)
    picture = np.zeros((128, 64), np.uint8)
    picture[:, 16:48] = 100
    small = data.shrink_pictures(picture[None], config)
    assert small.shape == (1, 96, 32)
    large = data.enlarge_generated(small, config)
    assert large.shape == (1, 128, 64)
    assert (large[0, 40, 20:44] > 90).all()
    assert (large[0, :, :8] == 0).all()


def test_chests_are_found_beside_the_scans(tmp_path):
    phantoms.write_phantoms(tmp_path, SMALL, seed=0)
    found = data.find_chests(tmp_path)
    assert found is not None
    assert found.synthetic
    pictures, cases, notes = data.chests.read_chests(found.path, SMALL)
    assert pictures.shape == (12, SMALL.height, SMALL.width)
    assert np.bincount(cases["label"]).tolist() == [3, 3, 3, 3]
    assert notes["missing_classes"] == []


def test_copies_are_found_among_bodies_that_all_look_alike(tmp_path):
    labels = [CLASSES[n % 3] for n in range(12)]
    write_own(tmp_path, labels)
    source = Source("own", tmp_path, "scans", synthetic=False)
    images, cases, notes = data.read_source(source, SMALL)
    assert cases["patient_id"].nunique() == 12
    write_own(tmp_path, labels)


def test_the_sheet_shows_every_body_doubtful_ones_first(tmp_path, capsys):
    write_own(tmp_path / "bone_scans", LABELS)
    assert data.main(["--data", str(tmp_path), "--sheet", str(tmp_path / "sheet.png")]) in (0, 2)
    assert "contact sheet of 24 views" in capsys.readouterr().err
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert min(sheet.shape[:2]) > 200
    assert (sheet < 128).mean() > 0.01
