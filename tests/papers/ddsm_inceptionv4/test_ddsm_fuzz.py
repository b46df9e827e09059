"""Damaged `.ics`, LJPEG, OVERLAY and MG DICOM files: refused in one line or read, never a crash, a hang or much memory."""

import numpy as np
import pytest
from ddsm_samples import draw_film, to_levels, write_one
from hostile import fuzz

from replications.ddsm_inceptionv4.sources.ics import read_ics
from replications.ddsm_inceptionv4.sources.ljpeg import read_film
from replications.ddsm_inceptionv4.sources.mg import read_mammogram
from replications.ddsm_inceptionv4.sources.overlay import draw_mask, read_overlay
from replications.ddsm_inceptionv4.sources.phantoms import write_dicom


@pytest.fixture
def home(tmp_path):
    return write_one(tmp_path)


def test_mutated_ics_files(home):
    (path,) = home.glob("*.ics")
    fuzz(path, lambda: read_ics(path), seed=1)


@pytest.mark.parametrize("scanner", [1, 2])
def test_mutated_films(tmp_path, scanner):
    home = write_one(tmp_path, scanner=scanner)
    path = sorted(home.glob("*.LEFT_CC.LJPEG"))[0]
    film = read_ics(next(home.glob("*.ics"))).films["LEFT_CC"]
    fuzz(path, lambda: read_film(path, film), seed=2)


def test_mutated_overlays(home):
    path = sorted(home.glob("*.OVERLAY"))[0]
    fuzz(path, lambda: [draw_mask(one.boundary, 200, 120) for one in read_overlay(path)], seed=3)


@pytest.mark.parametrize("lossless", [False, True])
def test_mutated_dicom(tmp_path, lossless):
    path = tmp_path / "film.dcm"
    write_dicom(path, np.ascontiguousarray(to_levels(draw_film(size=(60, 40))[0])), "phantom", "LEFT_CC", lossless=lossless)
    fuzz(path, lambda: read_mammogram(path), seed=4)
