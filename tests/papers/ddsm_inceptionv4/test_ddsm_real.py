"""Real mammograms, where $REPLICATIONS_DATA has them: exact decoding, all of mini-MIAS through the preprocessing."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replications.ddsm_inceptionv4 import data
from replications.ddsm_inceptionv4.breast import prepare_picture
from replications.ddsm_inceptionv4.config import PAPER
from replications.ddsm_inceptionv4.preparing import Team, prepare_films
from replications.ddsm_inceptionv4.sources import ddsm
from replications.ddsm_inceptionv4.sources.ics import read_ics
from replications.ddsm_inceptionv4.sources.ljpeg import read_film
from replications.ddsm_inceptionv4.sources.mammograms import Mammogram, read_levels
from replications.ddsm_inceptionv4.sources.mias import list_mias

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def folder() -> Path:
    root = os.environ.get("REPLICATIONS_DATA")
    if not root or not (Path(root) / "ddsm_inceptionv4").is_dir():
        pytest.skip("needs the real mammograms: set REPLICATIONS_DATA to the folder that holds ddsm_inceptionv4/")
    return Path(root) / "ddsm_inceptionv4"


def find(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        pytest.skip(f"no {name} in {folder}")
    return folder / name


def test_a_film_of_the_codec_decodes_exactly(folder):
    place = find(folder, "ddsm_ljpeg_reencoded")
    case = read_ics(next(place.glob("*.ics")))
    film = next(place.glob("*.LJPEG"))
    reference = np.asarray(Image.open(next(place.glob("*reference*.png"))))
    assert np.array_equal(read_film(film, case.films["LEFT_CC"]), reference)


def test_a_real_case_with_a_converted_film(folder):
    place = find(folder, "ddsm")
    found = ddsm.list_ddsm(place)
    (film,) = [one for one in found.mammograms if one.case_id == "D_4606_1.LEFT_CC"]
    assert (film.density, film.digitiser, film.film.rows, film.film.columns, film.label) == (2, "Howtek ISMD", 6841, 3901, 0)
    levels = read_levels(place, film)
    assert levels.shape == (6841, 3901)
    breast = prepare_picture(levels, PAPER).breast
    assert 0.3 < breast.share < 0.5
    assert breast.pieces >= 1  # the white border


def test_the_index_of_the_archive(folder):
    counts, lines, problems = ddsm.compare_index(find(folder, "ddsm_index.csv"), ddsm.list_ddsm(find(folder, "ddsm")).mammograms)
    assert (counts["images listed"], counts["different images"], counts["cases listed"], counts["women"]) == (
        10416,
        10344,
        2604,
        2586,
    )
    assert (counts["listed twice with other labels"], counts["with a lesion"], counts["here"]) == (17, 3994, 1)
    assert any("the paper has 10,412 images" in line for line in lines)
    assert not problems


def test_all_of_mini_mias_through_the_preprocessing(folder, tmp_path):
    """322 images of 161 women; as few doubtful outlines as the contact sheets show."""
    place = find(folder, "mini_mias")
    listing = list_mias(place)
    assert (len(listing.mammograms), listing.faults) == (322, [])
    assert sum(one.label for one in listing.mammograms) == 115
    films = prepare_films(place, listing.mammograms, PAPER, tmp_path, Team())
    assert not [film.fault for film in films.films if film.fault]
    assert len(films.pictures) == 322
    sides = [film.flipped == (film.mammogram.breast == "right") for film in films.films]
    assert np.mean(sides) > 0.98  # odd numbers are right breasts
    assert min(film.share for film in films.films) > 0.1
    doubted = {Path(film.mammogram.path).stem: film.doubt for film in films.films if film.doubt}
    sided = {name for name, doubt in doubted.items() if "hangs on the other side" in doubt}
    assert sided == {"mdb151", "mdb152"}  # the pictures of this woman lie the other way round than their numbers say
    assert len(doubted.keys() - sided) <= 0.02 * 322


def test_the_mayo_mammograms(folder):
    place = find(folder, "mayo_density")
    for path in sorted(place.glob("*.jpg")):
        breast = prepare_picture(read_levels(place, Mammogram(path.stem, path.name, path.stem, 0)), PAPER).breast
        assert 0.1 < breast.share < 0.5, path.name


def test_every_collection_is_found(folder):
    assert set(data.list_sources(folder)) >= {"ddsm", "mias"}
