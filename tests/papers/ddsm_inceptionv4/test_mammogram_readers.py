"""Other collections: mini-MIAS, CBIS-DDSM, a user's own folder, DICOM; labels, patients, faults by line."""

import cv2
import numpy as np
import pydicom
import pytest
from ddsm_samples import draw_film, to_levels
from PIL import Image
from planted import add_table

from common.data.pictures import read_picture
from common.errors import UsageError
from replications.ddsm_inceptionv4.sources import cbis, mias, own
from replications.ddsm_inceptionv4.sources.ics import Film
from replications.ddsm_inceptionv4.sources.mammograms import Mammogram, measure_grey, read_levels
from replications.ddsm_inceptionv4.sources.mg import read_mammogram
from replications.ddsm_inceptionv4.sources.phantoms import write_dicom

FILM = to_levels(draw_film()[0])


def save(path, bits: int = 8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((FILM >> 4).astype(np.uint8) if bits == 8 else FILM).save(path)


INFO = """mdb001 G CIRC B 535 425 197
mdb002 D NORM
mdb003 F CALC M 12 13 4
mdb003 F CALC M 99 13 4
mdb004 F NORM
mdb005 X NORM
mdb003 F NORM
some words
"""


def test_mini_mias(tmp_path):
    (tmp_path / "Info.txt").write_text(INFO)
    for number in range(1, 4):
        save(tmp_path / "images" / f"mdb{number:03d}.png")
    Image.fromarray((FILM >> 4).astype(np.uint8)).save(tmp_path / "mdb001.pgm")  # a second copy, in the rarer format
    found = mias.list_mias(tmp_path)
    assert [(one.case_id, one.label, one.breast, one.patient, one.density) for one in found.mammograms] == [
        ("mdb001", 1, "right", "mias001", 2), ("mdb002", 0, "left", "mias001", 3), ("mdb003", 1, "right", "mias002", 1),
    ]  # fmt: skip
    assert all(one.path.endswith(".png") for one in found.mammograms)
    assert [fault.split(": ")[0] for fault in found.faults] == ["Info.txt:6", "Info.txt:7", "1 images of Info.txt are missing"]
    assert (read_levels(tmp_path, found.mammograms[0]) == FILM >> 4).all()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "Info.txt").write_text(INFO)
    with pytest.raises(UsageError, match="none of them is here"):
        mias.list_mias(tmp_path / "other")


CBIS = "patient_id,breast_density,left or right breast,image view,abnormality id,pathology,image file path\n"


def test_cbis_ddsm(tmp_path):
    lines = {
        "mass_case_description_train_set.csv": [
            "P_00001,3,LEFT,CC,1,BENIGN,Mass-Training_P_00001_LEFT_CC/1.2/1.3/000000.dcm",
            "P_00001,3,LEFT,CC,2,MALIGNANT,Mass-Training_P_00001_LEFT_CC/1.2/1.3/000000.dcm",
            "P_00002,2,RIGHT,MLO,1,BENIGN_WITHOUT_CALLBACK,Mass-Training_P_00002_RIGHT_MLO/1.2/1.3/000000.dcm",
            "P_00009,2,RIGHT,MLO,1,BENIGN,Mass-Training_P_00009_RIGHT_MLO/1.2/1.3/000000.dcm",
        ],
        "calc_case_description_test_set.csv": [
            "P_00001,3,RIGHT,CC,1,BENIGN,Calc-Test_P_00001_RIGHT_CC/1.2/1.3/000000.dcm",
            "P_00002,2,RIGHT,MLO,1,MALIGNANT,Calc-Test_P_00002_RIGHT_MLO/1.2/1.3/000000.dcm",
        ],
    }
    for name, rows in lines.items():
        header = CBIS.replace("breast_density", "breast density") if name.startswith("calc") else CBIS
        (tmp_path / name).write_text(header + "\n".join(rows) + "\n")
    for series in ("Mass-Training_P_00001_LEFT_CC", "Mass-Training_P_00002_RIGHT_MLO", "Calc-Test_P_00001_RIGHT_CC"):
        place = tmp_path / "CBIS-DDSM" / series / "1" / "2"
        place.mkdir(parents=True)
        write_dicom(place / "1-1.dcm", FILM, series, "LEFT_CC", lossless=False)
        mask = tmp_path / "CBIS-DDSM" / f"{series}_1" / "1"  # regions of interest are no films
        mask.mkdir(parents=True)
        write_dicom(mask / "1-1.dcm", FILM, series, "LEFT_CC", lossless=False)
    found = cbis.list_cbis(tmp_path)
    assert {(one.patient, one.label, one.breast, one.view, one.density, one.split) for one in found.mammograms} == {
        ("P_00001", 1, "left", "CC", 3, "train"), ("P_00002", 1, "right", "MLO", 2, "test"),
        ("P_00001", 0, "right", "CC", 3, "test"),
    }  # fmt: skip
    assert found.faults == ["Mass-Training_P_00009_RIGHT_MLO: 0 DICOM files below its folder, one expected"]
    assert found.notes == {"films_of_both_lists": 1, "patients_of_both_official_sides": 2}
    assert read_levels(tmp_path, found.mammograms[0]).shape == FILM.shape


def test_lists_of_cbis_ddsm_without_a_line(tmp_path):
    for name in cbis.LISTS:
        (tmp_path / name).write_text(CBIS)
    with pytest.raises(UsageError, match="the lists are empty"):
        cbis.list_cbis(tmp_path)


def test_a_folder_of_ones_own(tmp_path):
    save(tmp_path / "a.png", 16)
    save(tmp_path / "b.tif", 16)
    save(tmp_path / "c.jpg")
    write_dicom(tmp_path / "d", FILM, "Ann Example", "RIGHT_MLO", lossless=True)
    table = "path,label,patient,laterality,view,digitiser,density\n"
    table += "a.png,lesion,p1,L,CC,Lumisys,4\nb.tif,0,p1,right,mlo,,\nc.jpg,normal,p2,,,,2\nd,1,,,,,\n"
    table += (
        "e.png,lesion,p3,,,,\n../a.png,lesion,p3,,,,\na.png,lesion,p1,,,,\nb.tif,ill,p1,,,,\nb.tif,1,p1,up,,,\nc.jpg,1,,,,,\n"
    )
    (tmp_path / "cases.csv").write_text(table)
    found = own.list_own(tmp_path)
    assert [(one.path, one.label, one.breast, one.view, one.density, one.kind) for one in found.mammograms] == [
        ("a.png", 1, "left", "CC", 4, "picture"), ("b.tif", 0, "right", "MLO", 0, "picture"),
        ("c.jpg", 0, "", "", 2, "picture"), ("d", 1, "", "", 0, "dicom"),
    ]  # fmt: skip
    assert [fault.partition(":")[0] for fault in found.faults] == [f"cases.csv line {number}" for number in (6, 7, 8, 9, 10, 11)]
    assert (read_levels(tmp_path, found.mammograms[0]) == FILM).all()  # all sixteen bits


def test_a_table_with_semicolons_or_very_long_names(tmp_path):
    (tmp_path / "cases.csv").write_text("path;label;patient\na.png;1;p\n")
    with pytest.raises(UsageError, match="separated by semicolons"):
        own.list_own(tmp_path)
    (tmp_path / "cases.csv").write_text(f"path,label,patient\n{'a' * 300}.png,1,p\n")
    assert "a name of 304 letters is too long for a file; correct it" in own.list_own(tmp_path).faults[0]


@pytest.mark.parametrize("levels", [np.zeros((80, 60), np.uint16), np.full((1, 500), 9, np.uint16), np.arange(20).reshape(4, 5)])
def test_what_is_no_mammogram_is_refused_in_every_format(tmp_path, levels):
    write_dicom(tmp_path / "a.dcm", levels.astype(np.uint16), "p", "LEFT_CC", lossless=False)
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "a.png")
    for name, kind in (("a.dcm", "dicom"), ("a.png", "picture")):
        with pytest.raises(UsageError, match="no mammogram|all pixels are the same"):
            read_levels(tmp_path, Mammogram("a", name, "p", 0, kind=kind))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_dicom_pictures(tmp_path, lossless, inverted):
    path = tmp_path / "film.dcm"
    write_dicom(path, FILM, "Ann Example", "RIGHT_MLO", lossless=lossless, inverted=inverted)
    found = read_mammogram(path)
    assert (found.breast, found.view) == ("right", "MLO")
    assert found.patient.startswith("id-")
    assert "Ann" not in found.patient
    bright = found.levels - found.levels.min()
    assert (bright == FILM.astype(np.float32) - FILM.min()).all()  # tissue bright, whatever the file says


def test_dicom_pictures_with_tables(tmp_path):
    path = tmp_path / "film.dcm"
    write_dicom(path, FILM, "Ann Example", "RIGHT_MLO", lossless=False, inverted=False)
    plain = read_mammogram(path).levels
    data = pydicom.dcmread(path)
    falling = list(range(int(plain.max()), -1, -1))
    add_table(data, "ModalityLUTSequence", falling)
    data.save_as(path)
    np.testing.assert_array_equal(read_mammogram(path).levels, plain.max() - plain)
    del data.ModalityLUTSequence
    add_table(data, "VOILUTSequence", falling)  # what it shows is scaled by percentiles, but for which end is bright
    data.save_as(path)
    np.testing.assert_array_equal(read_mammogram(path).levels, plain.max() + plain.min() - plain)
    data.WindowCenter, data.WindowWidth = 9, 9  # another view
    data.save_as(path)
    np.testing.assert_array_equal(read_mammogram(path).levels, plain)
    data.PresentationLUTShape = "INVERSE"
    data.save_as(path)
    with pytest.raises(UsageError, match="MONOCHROME2 with PresentationLUTShape INVERSE"):
        read_mammogram(path)


def test_optical_density_where_the_digitiser_is_known():
    known = Mammogram("a", "a", "p", 0, digitiser="Lumisys", film=Film(1, 1, 12, 50, False))
    grey = measure_grey(FILM, known, "density")
    assert np.corrcoef(grey.ravel(), FILM.ravel())[0, 1] == pytest.approx(1)  # tissue stays bright
    assert (measure_grey(FILM, Mammogram("a", "a", "p", 0, digitiser="mine"), "density") == FILM).all()
    assert (measure_grey(FILM, known, "levels") == FILM).all()


def test_sixteen_bits_are_read_where_they_are_wanted(tmp_path):
    for name in ("film.png", "film.tif"):
        save(tmp_path / name, 16)
        assert (read_picture(tmp_path / name, formats=("PNG", "TIFF"), deep=True) == FILM).all()
        with pytest.raises(UsageError, match="is not 8-bit grey or RGB"):
            read_picture(tmp_path / name, formats=("PNG", "TIFF"))
    cv2.imwrite(str(tmp_path / "colour.png"), cv2.merge([FILM] * 3))
    with pytest.raises(UsageError, match="16 bits a colour"):
        read_picture(tmp_path / "colour.png")
    page = Image.fromarray((FILM >> 4).astype(np.uint8))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    with pytest.raises(UsageError, match="2 pictures in one file"):
        read_picture(tmp_path / "pages.tif", formats=("TIFF",))
    Image.fromarray(np.array([[-1, 70000]], np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(UsageError, match="beyond 16 bits"):
        read_picture(tmp_path / "deep.tif", formats=("TIFF",), deep=True)
