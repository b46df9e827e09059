"""The archive of DDSM: `.ics`, OVERLAY, cases that stand twice, files astray; its index."""

import re
import shutil

import numpy as np
import pytest
from ddsm_samples import write_archive, write_one

from common.errors import UsageError
from replications.ddsm_inceptionv4.sources import ddsm
from replications.ddsm_inceptionv4.sources.ics import measure_density, read_ics
from replications.ddsm_inceptionv4.sources.mammograms import describe, read_levels, restore
from replications.ddsm_inceptionv4.sources.overlay import STEPS, draw_mask, read_chain, read_overlay, write_chain

ICS = """
ics_version 1.0
filename A-1234-1
DATE_OF_STUDY 16 11 1993
PATIENT_AGE
FILM
FILM_TYPE REGULAR
DENSITY 3
DATE_DIGITIZED 6 4 1999
DIGITIZER HOWTEK 43.5
SELECTED
LEFT_CC LINES 30 PIXELS_PER_LINE 20 BITS_PER_PIXEL 12 RESOLUTION 43.5 OVERLAY
RIGHT_MLO LINES 31 PIXELS_PER_LINE 21 BITS_PER_PIXEL 12 RESOLUTION 43.5 NON_OVERLAY
"""
OVERLAY = """TOTAL_ABNORMALITIES 2
ABNORMALITY 1
LESION_TYPE MASS SHAPE IRREGULAR MARGINS SPICULATED
LESION_TYPE CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED
ASSESSMENT 5
SUBTLETY 3
PATHOLOGY MALIGNANT
TOTAL_OUTLINES 9
BOUNDARY
3 2 2 2 4 4 6 6 0 0 #
\tCORE
4 3 2 4 6 0 #
ABNORMALITY 2
LESION_TYPE OTHER
ASSESSMENT 2
PATHOLOGY BENIGN_WITHOUT_CALLBACK
TOTAL_OUTLINES 1
BOUNDARY
28 18 2 2 2 4 4 4#
"""


def write(folder, name: str, text: str):
    path = folder / name
    path.write_text(text)
    return path


def test_all_fields_of_an_ics_file(tmp_path):
    case = read_ics(write(tmp_path, "A-1234-1.ics", ICS.replace("\n", "  \r\n")))
    assert (case.stem, case.density, case.digitiser) == ("A_1234_1", 3, "Howtek MGH")
    film = case.films["LEFT_CC"]
    assert (film.rows, film.columns, film.bits, film.overlay) == (30, 20, 12, True)
    assert (case.films["RIGHT_MLO"].rows, case.films["RIGHT_MLO"].overlay) == (31, False)
    assert "1993" not in repr(case)  # dates are dropped


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("LINES 30", "LINES many", "LEFT_CC: LINES"),
        ("LINES 30", "LINES 30000000", "cannot be"),
        ("BITS_PER_PIXEL 12", "BITS_PER_PIXEL 40", "cannot be"),
        ("RIGHT_MLO", "LEFT_CC", "stands twice"),
        ("LEFT_CC", "LEFT_XX", None),
    ],
)
def test_faults_of_an_ics_file(tmp_path, old, new, message):
    path = write(tmp_path, "A-1234-1.ics", ICS.replace(old, new, 1))
    if message is None:
        assert list(read_ics(path).films) == ["RIGHT_MLO"]
        return
    with pytest.raises(UsageError, match=message):
        read_ics(path)


@pytest.mark.parametrize(
    ("digitiser", "level", "density"),
    [
        ("DBA", 30000, (np.log10(30001) - 4.80662) / -1.07553),
        ("Howtek ISMD", 1000, 3.96604095 - 0.99055808),
        ("Lumisys", 3000, 1.0872),
    ],
)
def test_optical_density(digitiser, level, density):
    assert measure_density(np.array([level]), digitiser)[0] == pytest.approx(density, rel=1e-4)
    with pytest.raises(UsageError, match="no calibration curve"):
        measure_density(np.array([1]), "unknown")


def test_outlines_and_words_of_an_overlay(tmp_path):
    one, two = read_overlay(write(tmp_path, "A_1234_1.LEFT_CC.OVERLAY", OVERLAY))
    assert (len(one.kinds), one.assessment, one.pathology, len(one.cores)) == (2, 5, "MALIGNANT", 1)
    assert (two.pathology, two.assessment) == ("BENIGN_WITHOUT_CALLBACK", 2)
    assert draw_mask(one.boundary, 30, 20).sum() == 9
    assert draw_mask(one.cores[0], 30, 20).sum() == 4
    assert draw_mask(two.boundary, 20, 30)[18:, 28:].sum() == 3  # leaves the film: what lies on it stays


def test_a_chain_code_and_back():
    mask = np.zeros((40, 50), bool)
    mask[10:30, 5:25] = True
    mask[15:20, 25:40] = True
    points = read_chain(write_chain(mask).split(), "a")
    assert (points[0] == points[-1]).all()
    assert (draw_mask(points, 40, 50) == mask).all()
    assert [tuple(step) for step in STEPS[:3]] == [(0, -1), (1, -1), (1, 0)]  # up, then clockwise


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "does not begin"), ("TOTAL_ABNORMALITIES 1\n", "0 abnormalities"),
     (OVERLAY.replace("BOUNDARY", "EDGE"), "without BOUNDARY"),
     (OVERLAY.replace("3 2 2 2", "3 2 2 9"), "step above 7"), (OVERLAY.replace("3 2 2 2", "3 x 2 2"), "no chain code")],
)  # fmt: skip
def test_faults_of_an_overlay(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_overlay(write(tmp_path, "A_1234_1.LEFT_CC.OVERLAY", text))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("archive"))


def test_every_film_with_its_label(archive):
    found = ddsm.list_ddsm(archive)
    assert not found.faults
    assert len(found.mammograms) == 4 * found.notes["cases_of_archive"] == 32
    marked = [one for one in found.mammograms if one.label]
    assert len(marked) == 16  # two films of both breasts of every second case
    assert {one.view for one in marked} == {"CC", "MLO"}
    for one in found.mammograms:
        assert read_levels(archive, one).shape == (one.film.rows, one.film.columns)
        assert restore(describe(one)) == one
    assert sum(found.notes["classes_of_archive"].values()) == 32


def test_cases_in_two_volumes_count_once_and_any_mark_counts(tmp_path):
    home = write_one(tmp_path / "ddsm", part=1)
    other = tmp_path / "ddsm" / "cancers" / "cancer_99" / "case9999"
    shutil.copytree(home, other)
    for mark in sorted(home.glob("*.OVERLAY")):
        mark.unlink()
    found = ddsm.list_ddsm(tmp_path / "ddsm")
    assert (len(found.mammograms), sum(one.label for one in found.mammograms)) == (4, 2)
    assert (found.notes["doubled"], found.notes["contradictory"], found.notes["cases_of_archive"]) == (4, 2, 1)


def test_an_overlay_in_the_folder_of_another_case_is_matched_by_name(tmp_path):
    one, two = (write_one(tmp_path / "ddsm", part=part, number=part) for part in (0, 2))
    for path in one.glob("*.OVERLAY"):
        path.rename(two / path.name)
    found = ddsm.list_ddsm(tmp_path / "ddsm")
    assert sum(film.label for film in found.mammograms if film.patient.endswith("_0001_1")) == 2
    assert found.notes["astray"] == 2


def test_a_lesion_without_its_overlay_is_no_healthy_film(tmp_path):
    """As an interrupted download leaves it."""
    home = write_one(tmp_path / "ddsm")
    lost = sorted(home.glob("*.OVERLAY"))[0]
    lost.unlink()
    found = ddsm.list_ddsm(tmp_path / "ddsm")
    assert len(found.mammograms) == 3
    assert any("there is no OVERLAY file" in fault for fault in found.faults)
    (ics,) = home.glob("*.ics")
    ics.write_text(ics.read_text().replace(" OVERLAY", " NON_OVERLAY"))
    found = ddsm.list_ddsm(tmp_path / "ddsm")
    assert (len(found.mammograms), found.notes["unmarked"], found.faults) == (4, 1, [])


def test_what_is_named_otherwise_is_named(tmp_path):
    """A film, an OVERLAY packed, a view without a picture, an outline outside of the film, another .ics file of the case."""
    home = write_one(tmp_path / "ddsm")
    mark = sorted(home.glob("*.OVERLAY"))[0]
    side = "LEFT" if "RIGHT" in mark.name else "RIGHT"
    film = sorted(home.glob(f"*.{side}_CC.LJPEG"))[0]
    film.rename(film.with_name(film.name.replace(f".{side}", f"_{side}")))
    mark.rename(mark.with_name(f"{mark.name}.gz"))
    other = write_one(tmp_path / "ddsm", number=1)
    outside = sorted(other.glob("*.OVERLAY"))[0]
    outside.write_text(re.sub(r"BOUNDARY\n.*", "BOUNDARY\n19999 19999 2 4 6 #", outside.read_text()))
    (ics,) = other.glob("*.ics")
    (home / ics.name).write_text(re.sub("DENSITY .", "DENSITY 9", ics.read_text()))
    faults = ddsm.list_ddsm(tmp_path / "ddsm").faults
    said = ("1 pictures are not named as films", "no picture of its film", "under another ending", "there is no OVERLAY")
    for text in (*said, "outside of the film", "other density or digitiser"):
        assert any(text in fault for fault in faults), text


def test_tabs_capitals_and_other_letters_in_an_ics_file(tmp_path):
    text = ICS.replace("LEFT_CC LINES", "left_cc\tLines").replace("FILM_TYPE REGULAR", "FILM_TYPE R\xc9GULIER")
    path = tmp_path / "A-1234-1.ics"
    path.write_bytes(text.encode("latin-1"))
    assert set(read_ics(path).films) == {"LEFT_CC", "RIGHT_MLO"}


def test_faults_are_listed_by_file(tmp_path):
    home = write_one(tmp_path / "ddsm")
    (home / "B-0001-1.ics").unlink()
    damaged = sorted(home.glob("*.OVERLAY"))[0]
    damaged.write_text("nothing")
    faults = ddsm.list_ddsm(tmp_path / "ddsm").faults
    assert any("no .ics file" in fault for fault in faults)
    assert not any(str(tmp_path) in fault for fault in faults)
    (home / "B-0002-1.ics").write_text(ICS.replace("A-1234-1", "B-0001-1"))
    assert any("says that it is B_0001_1" in fault for fault in ddsm.list_ddsm(tmp_path / "ddsm").faults)


def test_the_index_of_the_archive_beside_what_is_here(archive, tmp_path):
    films = ddsm.list_ddsm(archive).mammograms
    lines = ["class,volume,case,image,view,digitised_at,has_overlay"]
    for number, one in enumerate(films):
        stem, _, view = one.case_id.partition(".")
        lines.append(f"x,v1,case{number // 4},{stem},{view},B,{one.label if number else 1 - one.label}")
    stem, _, view = films[5].case_id.partition(".")
    lines += [f"x,v2,case9,{stem},{view},B,{1 - films[5].label}", "x,v2,case9,C_9999_1,LEFT_CC,C,0"]
    counts, words, problems = ddsm.compare_index(write(tmp_path, "index.csv", "\n".join(lines) + "\n"), films)
    assert counts["images listed"] == 34
    assert (counts["different images"], counts["here"], counts["listed twice with other labels"]) == (33, 32, 1)
    assert any("1 of the 33 different images of the archive are not here" in line for line in words)
    assert ["another label here" in problem for problem in problems] == [True]
    assert any("10,412" in line for line in words)
