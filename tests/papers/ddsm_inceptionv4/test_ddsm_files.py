"""Files as people have them: names that changed in passing, films that a scanner stored on their side or inverted."""

import cv2
import numpy as np
import pytest
from PIL import Image

from common.errors import UsageError
from replications.ddsm_inceptionv4.sources import own
from replications.ddsm_inceptionv4.sources.mammograms import Mammogram, read_levels
from replications.ddsm_inceptionv4.sources.phantoms import write_dicom

FILM = np.random.default_rng(0).integers(300, 4000, (50, 40)).astype(np.uint16)


def test_names_that_changed_in_passing(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), FILM)
    (tmp_path / "a.png").rename(tmp_path / "a.PNG")
    cv2.imwrite(str(tmp_path / "B.png"), FILM)
    lines = ["path,label,patient", "a.png,lesion,p1", "a.PNG,lesion,p1", "b.png,no lesion,p2"]
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n")
    listing = own.list_own(tmp_path)
    assert [one.path for one in listing.mammograms] == ["a.png"]
    assert (read_levels(tmp_path, listing.mammograms[0]) == FILM).all()
    assert listing.faults[0] == "cases.csv line 3: 'a.PNG' is listed twice"
    assert "'B.png' is there: correct the table or rename it" in listing.faults[1]
    lines[2] = "a.PNG,no lesion,p1"
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n")
    listing = own.list_own(tmp_path)
    assert listing.mammograms == []
    assert listing.faults[0] == "cases.csv line 3: 'a.PNG' is listed twice, with both labels: none of its lines is used"
    with pytest.raises(UsageError, match="No such file"):
        read_levels(tmp_path, Mammogram("c", "c.png", "p", 0))


def test_patients_that_stand_in_some_lines_alone_are_a_fault_of_the_others(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        write_dicom(tmp_path / name, FILM, "Ann Example", "RIGHT_MLO", lossless=True)
    for patient, kept in (("p1", ["a.dcm"]), ("", ["a.dcm", "b.dcm"])):
        (tmp_path / "cases.csv").write_text(f"path,label,patient\na.dcm,1,{patient}\nb.dcm,1,\n")
        listing = own.list_own(tmp_path)
        assert [one.path for one in listing.mammograms] == kept
        fault = "cases.csv line 3: no patient, where other lines have one; fill the column in every line, or leave it out"
        assert listing.faults == [fault] * (2 - len(kept))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_film_is_read_as_it_is_shown(tmp_path, compression):
    more = {"compression": compression} if compression else {}
    Image.fromarray(np.ascontiguousarray(np.rot90(FILM))).save(tmp_path / "a.tif", tiffinfo={274: 6}, **more)
    Image.fromarray(65535 - FILM).save(tmp_path / "b.tif", tiffinfo={262: 0}, **more)  # high levels are dark
    for name in ("a.tif", "b.tif"):
        assert (read_levels(tmp_path, Mammogram(name, name, "p", 0)) == FILM).all()
