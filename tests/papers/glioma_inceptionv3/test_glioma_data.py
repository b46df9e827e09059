"""From raw files to cases: tables of subjects, layouts of the collections, counts of Tables 1 to 5, sites, the data command."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from glioma_samples import draw_brain, draw_lesion, write_collection, write_nifti, write_nrrd, write_pairs, write_subjects
from PIL import Image

from common.cases.prepared import load_dataset
from common.cases.sources import Source
from common.errors import UsageError
from replications.glioma_inceptionv3 import data
from replications.glioma_inceptionv3.config import PAPER, SMOKE
from replications.glioma_inceptionv3.slices import find_box, make_picture, select_slices
from replications.glioma_inceptionv3.sources import acquire, lgg, pairs
from replications.glioma_inceptionv3.sources.subjects import Listing, read_grade, read_table
from replications.glioma_inceptionv3.texture import FEATURES

GRADES = ["Grade II", "G3", "4", "WHO 2", "III", "IV"]


def own(folder: Path) -> Source:
    return Source("own", folder, "gliomas", False)


@pytest.fixture
def pairs_folder(tmp_path) -> Path:
    write_pairs(tmp_path / "glioma", GRADES)
    return tmp_path / "glioma"


# Grades and tables


@pytest.mark.parametrize(
    "text", ["Grade II", "G2", "2", "II", "WHO 2", "who grade ii", "grade: 2", "2.0", "Grad II", " II ", "\u2161"]
)
def test_spellings_of_a_grade(text):
    assert read_grade(text) == "II"


@pytest.mark.parametrize("text", ["I", "1", "5", "V", "GBM", "22", "II/III", "low", "-2", "2.5", "IIII", "G"])
def test_what_is_no_grade(text):
    with pytest.raises(UsageError, match=r"is none of II, III, IV"):
        read_grade(text)


def test_a_table_keeps_what_is_valid_and_names_the_rest(tmp_path):
    lines = [["a", "II"], ["b", ""], ["c", "GBM"], ["d", "3"], ["d", "3"], ["e", "3"], ["e", "4"], ["", "2"], ["f", "n/a"]]
    write_subjects(tmp_path, lines)
    listing = Listing()
    found = read_table(tmp_path / "subjects.csv", listing, "subject", "grade")
    assert [(line.subject, line.grade) for line in found] == [("a", "II"), ("d", "III")]
    assert listing.listed == 8
    assert listing.unused == {"subjects without a grade": 2}
    assert listing.faults == [
        "subjects.csv line 4: grade 'GBM' is none of II, III, IV (or 2, 3, 4; G2; Grade II; WHO 2)",
        "subjects.csv line 6: subject 'd' is listed twice",
        "subjects.csv line 8: subject 'e' is listed twice, with two grades: none of its lines is used",
        "subjects.csv line 9: '' is no name of a subject",
    ]


def test_a_table_without_grades_is_no_table(tmp_path):
    write_subjects(tmp_path, [["a", "x"]], "subject,class")
    with pytest.raises(UsageError, match="no column grade"):
        pairs.list_own(tmp_path, SMOKE)


@pytest.mark.parametrize("column", ["Mask", "SITE", " image"])
def test_a_column_under_nearly_its_name_is_named(tmp_path, column):
    write_subjects(tmp_path, [["a", "II", "x"]], f"subject,grade,{column}")
    with pytest.raises(UsageError, match=f"column '{column}' would not be read: the name is '{column.strip().lower()}'"):
        pairs.list_own(tmp_path, SMOKE)


# Slices


def test_the_area_filter():
    areas = np.array([0, 50, 99, 100, 150, 700, 1000, 199, 200, 0])
    assert select_slices(areas, PAPER).tolist() == [5, 6, 8]  # 20 % of 1000
    assert select_slices(areas // 4, PAPER).tolist() == [5, 6]  # 100 pixels
    assert select_slices(areas // 20, PAPER).tolist() == [6]  # the largest
    assert select_slices(areas, replace(PAPER, area_share=0.0)).tolist() == [3, 4, 5, 6, 7, 8]  # one threshold for all, sec. 5.2


def test_pictures_show_the_lesion_or_the_slice():
    plane = np.zeros((60, 80), np.float32)
    plane[20:40, 30:40] = 100
    mask = plane > 0
    assert find_box(mask, 0.1) == (slice(18, 42), slice(28, 42))
    crop, whole = (make_picture(plane, mask, 0, 100, view, PAPER) for view in ("crop", "whole"))
    assert crop.shape == whole.shape == (299, 299)
    assert crop.mean() / 255 == pytest.approx(200 / (24 * 14), abs=0.02)
    assert whole.mean() / 255 == pytest.approx(200 / 4800, abs=0.005)
    assert (crop.min(), crop.max()) == (0, 255)
    with pytest.raises(ValueError, match="view"):
        make_picture(plane, mask, 0, 100, "half", PAPER)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2)])
def test_pictures_of_tiny_and_of_flat_lesions(shape):
    plane = np.full((12, 12), 7.0, np.float32)
    mask = np.zeros(plane.shape, bool)
    mask[: shape[0], : shape[1]] = True
    assert make_picture(plane, mask, 7.0, 7.0, "crop", PAPER).shape == (299, 299)


# A user's own volumes


def test_own_volumes_become_cases(pairs_folder):
    images, cases, notes = data.read_source(own(pairs_folder), SMOKE, "crop")
    assert images.shape == (24, SMOKE.side, SMOKE.side)
    assert images.dtype == np.uint8
    assert notes["faults"] == []
    assert notes["classes"] == {"II": 8, "III": 8, "IV": 8}
    assert notes["steps"]["all slices"] == {"II": 12, "III": 12, "IV": 12}
    assert notes["steps"]["lesion slices"] == notes["steps"]["slices after the area filter"] == notes["classes"]
    assert notes["steps"]["subjects with grade"] == {"II": 2, "III": 2, "IV": 2}
    assert cases["case_id"].tolist()[:4] == ["s0_001", "s0_002", "s0_003", "s0_004"]
    assert cases["label"].tolist()[::4] == [0, 1, 2, 0, 1, 2]
    assert cases["area"].tolist()[::4] == [144, 156, 168] * 2
    assert cases["site"].unique().tolist() == ["unknown"]
    assert cases["sha256"].is_unique
    assert [name for name in cases if name.startswith("radiomics_")] == [f"radiomics_{name}" for name in FEATURES]
    assert cases["radiomics_shape_pixel_area"].tolist()[::4] == [144, 156, 168] * 2  # of 1 mm2


def test_both_views_have_the_same_cases_from_one_reading(pairs_folder, monkeypatch):
    opened = []
    read = pairs.read_lesion
    monkeypatch.setattr(pairs, "read_lesion", lambda *given: opened.append(given) or read(*given))
    whole, cases, _ = data.read_source(own(pairs_folder), SMOKE, "whole")
    crop, again, _ = data.read_source(own(pairs_folder), SMOKE, "crop")
    assert cases.equals(again)
    assert (whole != crop).any()
    assert len(opened) == 6
    np.testing.assert_array_equal(data.read_source(own(pairs_folder), SMOKE, "whole")[0], whole)
    assert len(opened) == 12
    (pairs_folder / "subjects.csv").write_text((pairs_folder / "subjects.csv").read_text().replace("Grade II", "IV"))
    assert data.read_source(own(pairs_folder), SMOKE, "crop")[1]["label"][0] == 2


def test_the_prepared_set_says_what_is_in_it(pairs_folder, tmp_path):
    source = own(pairs_folder)
    for view in ("whole", "crop"):
        data.prepare_dataset(source, SMOKE, view, tmp_path / view)
    whole, crop = (load_dataset(tmp_path / view) for view in ("whole", "crop"))
    assert whole.images.shape == (24, SMOKE.side, SMOKE.side, 1)
    assert whole.cases.equals(crop.cases)
    assert whole.info["classes"] == {"II": 8, "III": 8, "IV": 8}
    assert data.name_dataset(source, SMOKE, "crop") != data.name_dataset(source, SMOKE, "whole")
    assert data.name_dataset(source, SMOKE, "crop") != data.name_dataset(source, replace(SMOKE, area_share=0.5), "crop")
    assert data.name_dataset(source, SMOKE, "crop") == data.name_dataset(source, replace(SMOKE, steps=7), "crop")


def test_grades_at_hand_are_the_classes(tmp_path):
    write_pairs(tmp_path, ["II", "IV", "IV", "II"])
    _, cases, notes = data.read_source(own(tmp_path), SMOKE, "crop")
    assert notes["classes"] == {"II": 8, "IV": 8}
    assert cases["label"].tolist()[::4] == [0, 1, 1, 0]


def test_columns_of_the_table_name_files_sites_and_segments(tmp_path):
    write_nifti(tmp_path / "x" / "t1.nii.gz", draw_brain())
    write_nifti(tmp_path / "x" / "labels.nii", draw_lesion() * np.uint8(2) + (draw_brain() > 700).astype(np.uint8))
    line = ["p1", "II", "x/t1.nii.gz", "x/labels.nii", "Bern", "2"]
    write_subjects(tmp_path, [line], "subject,grade,image,mask,site,segment")
    (subject,) = pairs.list_own(tmp_path, SMOKE).subjects
    assert (subject.grade, subject.site) == ("II", "Bern")
    assert subject.read().masks.sum(axis=(1, 2)).tolist() == [0, 0, 0, 6, 4, 2, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "s1" / "sample.nrrd").unlink(), "line 3: no image of 's1'"),
        (lambda folder: (folder / "s1" / "sample.seg.nrrd").unlink(), "line 3: no mask of 's1'"),
        (lambda folder: (folder / "s1" / "sample.nrrd").write_bytes(b""), "s1: s1/sample.nrrd: the file is empty"),
        (
            lambda folder: write_nrrd(folder / "s1" / "sample.seg.nrrd", np.zeros((6, 20, 24), np.uint8)),
            "s1: .*the mask is empty",
        ),
        (
            lambda folder: write_nrrd(
                folder / "s1" / "sample.seg.nrrd",
                np.pad(np.zeros((6, 10, 12), np.uint8), ((0, 0), (5, 5), (6, 6)), constant_values=1),
            ),
            "s1: .*the lesion surrounds the volume; an inverted mask",
        ),
        (
            lambda folder: write_nrrd(folder / "s1" / "sample.seg.nrrd", draw_lesion(), origin=(99, 0, 0)),
            "s1: .*outside its image",
        ),
        (lambda folder: write_nrrd(folder / "s1" / "sample.nrrd", np.full((6, 20, 24), np.nan, "f4")), "s1: .*NaN"),
    ],
)
def test_faults_of_a_subject_are_one_line_each(pairs_folder, change, message):
    change(pairs_folder)
    _, cases, notes = data.read_source(own(pairs_folder), SMOKE, "crop")
    (fault,) = notes["faults"]
    assert re.search(message, fault)
    assert str(pairs_folder) not in fault
    assert "s1" not in set(cases["patient_id"])
    with pytest.raises(UsageError, match="1 fault: "):
        data.prepare_dataset(own(pairs_folder), SMOKE, "crop", pairs_folder.parent / "prepared")


@pytest.mark.parametrize("name", ["../secret.nrrd", "/etc/passwd", "C:\\x.nrrd"])
def test_names_in_the_table_stay_inside_the_folder(tmp_path, name):
    write_subjects(tmp_path, [["a", "II", name, name]], "subject,grade,image,mask")
    (fault,) = pairs.list_own(tmp_path, SMOKE).faults
    assert ("leaves the data folder" if ".." in name else "is an absolute path; write it relative") in fault


def test_nothing_readable_is_no_crash(tmp_path):
    write_subjects(tmp_path, [["a", "II"]])
    images, cases, notes = data.read_source(own(tmp_path), SMOKE, "crop")
    assert (len(images), len(cases), len(notes["faults"])) == (0, 0, 1)


# The published slices


@pytest.mark.parametrize("prepared", [False, True])
def test_layouts_of_the_published_slices(tmp_path, prepared):
    write_collection(tmp_path, prepared=prepared)
    listing = lgg.list_lgg(tmp_path, SMOKE)
    assert [(one.grade, one.site) for one in listing.subjects] == [("II", "CS"), ("III", "CS"), ("II", "DU"), ("III", "DU")]
    slices = listing.subjects[0].read()
    assert slices.numbers == [2, 3]
    assert slices.total == 4
    assert slices.masks.sum(axis=(1, 2)).tolist() == [180, 195]
    assert 80 <= slices.planes.min() <= slices.planes.max() < 140  # green: FLAIR, which all patients have
    assert listing.sequence == "flair"


@pytest.mark.parametrize(("sequence", "low"), [("pre", 10), ("flair", 80), ("post", 160)])
def test_the_sequence_is_a_channel(tmp_path, sequence, low):
    write_collection(tmp_path, prepared=True)
    planes = lgg.list_lgg(tmp_path, replace(SMOKE, sequence=sequence)).subjects[0].read().planes
    assert low <= planes.min() <= planes.max() < low + 60
    with pytest.raises(UsageError, match="sequence 't3' is none of"):
        lgg.list_lgg(tmp_path, replace(SMOKE, sequence="t3"))


def test_patients_whose_sequence_is_a_copy_of_flair_are_counted(tmp_path):
    write_collection(tmp_path, prepared=True)
    for path in sorted((tmp_path / "images").glob("TCGA_CS_4001*")):
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., 2] = pixels[..., 1]
        Image.fromarray(pixels).save(path)
    _, _, notes = data.read_source(Source("lgg", tmp_path, "slices", False), replace(SMOKE, sequence="post"), "crop")
    assert notes["remarks"] == ["1 patient has no sequence post: the collection has put FLAIR there"]


def test_inverted_masks_of_the_collection_are_a_fault_of_the_patient(tmp_path):
    write_collection(tmp_path, prepared=True)
    for path in (tmp_path / "masks").glob("TCGA_CS_4001*"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    _, _, notes = data.read_source(Source("lgg", tmp_path, "slices", False), SMOKE, "crop")
    (fault,) = notes["faults"]
    assert re.search("TCGA_CS_4001.*the masks of this patient are white around the lesion", fault)


def test_grades_of_the_collection_are_codes_unless_they_are_spelled(tmp_path):
    write_collection(tmp_path, prepared=True)
    table = tmp_path / "data.csv"
    table.write_text(table.read_text().replace(",1,1", ",1,").replace(",1,3", ",1,2"))
    listing = lgg.list_lgg(tmp_path, SMOKE)
    assert {one.grade for one in listing.subjects} == {"III"}
    assert listing.unused == {"patients with slices and no grade": 2}
    table.write_text(table.read_text().replace(",1,2", ",1,G2"))
    assert {one.grade for one in lgg.list_lgg(tmp_path, SMOKE).subjects} == {"II"}


def test_two_copies_of_the_collection_are_refused(tmp_path):
    """The public archive holds every slice twice."""
    write_collection(tmp_path, prepared=False)
    write_collection(tmp_path / "lgg-mri-segmentation", prepared=False)
    with pytest.raises(UsageError, match="32 slices are there several times"):
        lgg.list_lgg(tmp_path, SMOKE)


def test_faults_of_slices(tmp_path):
    write_collection(tmp_path, prepared=True)
    source = Source("lgg", tmp_path, "slices", False)
    first, second, third, _ = sorted({path.name.rsplit("_", 1)[0] for path in (tmp_path / "images").iterdir()})
    (tmp_path / "images" / f"{first}_2.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "masks" / f"{second}_2.png")
    Image.fromarray(np.full((9, 9), 255, np.uint8)).save(tmp_path / "masks" / f"{third}_3.png")
    _, cases, notes = data.read_source(source, SMOKE, "crop")
    assert ["not a" in notes["faults"][0], "differ in size" in notes["faults"][1]] == [True, True]
    assert len(notes["faults"]) == 2
    assert len(cases) == 3  # of the second patient one slice is left


# UCSF-PDGM and BraTS


def write_sequences(folder: Path, name: str, sequences: list[str], mask: str) -> None:
    for number, sequence in enumerate(sequences):
        write_nifti(folder / f"{name}{sequence}.nii.gz", draw_brain() + np.int16(1000 * number))
    write_nifti(folder / f"{name}{mask}.nii.gz", draw_lesion() * np.uint8(4))


def test_ucsf_pdgm(tmp_path):
    """Ids of three digits in the table, of four in the folders; follow-ups are not used; T1 after contrast of all."""
    (tmp_path / "UCSF-PDGM-metadata_v2.csv").write_text(
        "ID,Sex,WHO CNS Grade\nUCSF-PDGM-004,M,4\nUCSF-PDGM-0123,F,2\nUCSF-PDGM-123_FU003d,F,2\n"
    )
    for name in ("UCSF-PDGM-0004", "UCSF-PDGM-0123", "UCSF-PDGM-0123_FU003d"):
        write_sequences(tmp_path / "v3" / f"{name}_nifti", name, ["_T1", "_FLAIR", "_T1c"], "_tumor_segmentation")
    listing = pairs.list_ucsf(tmp_path, SMOKE)
    assert [(one.name, one.grade) for one in listing.subjects] == [("UCSF-PDGM-004", "IV"), ("UCSF-PDGM-0123", "II")]
    assert listing.subjects[0].read().planes.min() == 2007
    assert listing.sequence == "post"
    assert listing.faults == ["UCSF-PDGM-metadata_v2.csv line 4: no folder of 'UCSF-PDGM-123_FU003d'"]


def test_brats_uses_one_sequence_for_all(tmp_path):
    (tmp_path / "grades.csv").write_text("subject,grade,site\nTCGA-02-0003,4,\nBraTS20_Training_001,2,X\nmissing,3,\n")
    write_sequences(tmp_path / "TCGA-02-0003", "TCGA-02-0003_1997.06.08", ["_t1", "_flair", "_t1Gd"], "_GlistrBoost")
    write_sequences(tmp_path / "deep" / "BraTS20_Training_001", "BraTS20_Training_001", ["_t1", "_flair"], "_seg")
    listing = pairs.list_brats(tmp_path, SMOKE)
    assert [(one.name, one.grade, one.site) for one in listing.subjects] == [
        ("TCGA-02-0003", "IV", "02"), ("BraTS20_Training_001", "II", "X")
    ]  # fmt: skip
    assert listing.sequence == "flair"  # the second has no T1 after contrast
    assert {int(one.read().planes.min()) for one in listing.subjects} == {1007}
    assert listing.faults == ["grades.csv line 4: no folder of 'missing'"]
    listing = pairs.list_brats(tmp_path, replace(SMOKE, sequence="post"))
    assert [one.name for one in listing.subjects] == ["TCGA-02-0003"]
    assert "has no sequence 'post'" in listing.faults[1]


# The data command


def test_sources_are_found_by_their_folders(tmp_path, pairs_folder):
    write_collection(tmp_path / "lgg_mri_segmentation", prepared=True)
    assert list(data.list_sources(tmp_path)) == ["own", "lgg"]
    assert data.find_source(tmp_path, SMOKE).kind == "own"
    assert data.find_source(tmp_path, replace(SMOKE, source="lgg")).substitute
    assert data.find_source(None, SMOKE) is None
    with pytest.raises(UsageError, match="nothing in brats/"):
        data.find_source(tmp_path, replace(SMOKE, source="brats"))
    with pytest.raises(UsageError, match="source 'x' is not known"):
        data.find_source(tmp_path, replace(SMOKE, source="x"))


def test_a_site_that_is_a_grade_is_a_warning():
    sites = {"A": {"II": 9, "III": 1}, "B": {"II": 2, "III": 3}, "C": {"II": 0, "III": 2}}
    first, second, third, last = acquire.describe_sites(sites)
    assert "WARNING: 9 of 10 subjects are of grade II: the site tells the grade" in first
    assert "WARNING" not in second + third  # mixed; too few
    assert last == "the site alone names the grade of 82 % of the subjects (the commonest grade: 65 %)"


def test_the_command_prints_our_counts_beside_the_printed_ones(tmp_path, pairs_folder, capsys):
    assert data.main(["--data", str(tmp_path)]) == 2  # six subjects are too few for the protocol
    text = capsys.readouterr().out
    assert "subjects with grade: II 2 (report 34), III 2 (report 24), IV 2 (report 22), total 6 (report 80)" in text
    assert (
        "slices after the area filter: II 8 (report 600), III 8 (report 338), IV 8 (report 270), total 24 (report 1208)" in text
    )
    assert "kept by the area filter: 100.0% of the lesion slices (report: 1208 of 1508, 80.1 %)" in text
    assert "site unknown: II 2, III 2, IV 2" in text
    (pairs_folder / "s0" / "sample.nrrd").write_bytes(b"NRRD0004\n")
    assert data.main(["--data", str(tmp_path), "--json"]) == 2
    (finding,) = json.loads(capsys.readouterr().out)["sources"]
    few, damaged = finding["problems"]
    assert few.startswith("the leak-free protocol cannot divide them: split: class 0 has cases of 1 different patient_id")
    assert "sample.nrrd" in damaged


def test_the_command_without_data_says_what_to_get(tmp_path, capsys):
    assert data.main(["--data", str(tmp_path)]) == 2
    assert "lgg_mri_segmentation/" in capsys.readouterr().out
