"""Shortcuts: metadata that gives the label away are found out; a planted scanner, and what hides it."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from ddsm_samples import SMALL, draw_film, to_levels
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.cases.prepared import write_prepared
from common.data.unmarked import read_unmarked
from common.errors import UsageError
from replications.ddsm_inceptionv4 import data
from replications.ddsm_inceptionv4.breast import find_range, scale_levels
from replications.ddsm_inceptionv4.measures import measure_within
from replications.ddsm_inceptionv4.preparing import THUMBNAIL, Team
from replications.ddsm_inceptionv4.rows import WHOLE
from replications.ddsm_inceptionv4.shortcuts import (
    BIASES,
    KINDS,
    describe_metadata,
    describe_pictures,
    equalise,
    gather_films,
    measure_planted,
    plant_scanner,
)
from replications.ddsm_inceptionv4.sources.phantoms import write_phantoms
from replications.ddsm_inceptionv4.splits import relabel


def make_table(random: np.random.Generator, shortcut: float, count: int = 400) -> tuple[pd.DataFrame, np.ndarray]:
    """Cases whose digitiser goes with the label in that share."""
    labels = random.integers(0, 2, count)
    first = random.random(count) < np.where(labels, shortcut, 1 - shortcut)
    table = pd.DataFrame({"digitiser": np.where(first, "DBA", "Lumisys"), "bits": np.where(first, 16, 12)})
    for name, mean in (("height", 5000), ("width", 3000), ("low", 500), ("high", 3500)):
        table[name] = random.normal(mean, 100, count)
    return table, labels


@pytest.mark.parametrize(("shortcut", "low", "high"), [(0.5, 0.35, 0.62), (0.9, 0.85, 0.95)])
def test_metadata_give_the_label_away_only_where_they_know_it(shortcut, low, high):
    table, labels = make_table(np.random.default_rng(0), shortcut)
    features = describe_metadata(table)
    assert features.shape == (400, 7)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features[:300], labels[:300])
    assert low < roc_auc_score(labels[300:], model.predict_proba(features[300:])[:, 1]) < high


def test_a_digitiser_that_knows_the_label_is_found_out_and_says_nothing_within_itself(tmp_path):
    """Phantoms without any lesion to see, of which one digitiser has nearly all that count as ill: metadata alone know the label
    of women who were not seen, and among films of one digitiser nothing does."""
    config = replace(SMALL, phantom_signal=0.0, phantom_scanner=0.95, phantom_cases=32, label_levels=("case",))
    write_phantoms(tmp_path, config, seed=3)
    source = data.find_source(tmp_path, config)
    films = data.read_films(source, config, tmp_path / "work", Team())
    cases = data.tabulate_films(films.read, config)
    cases = relabel(cases.assign(listed=cases["patient_id"]), "case")
    labels, women = cases["label"].to_numpy(), cases["patient_id"].to_numpy(str)
    known = np.unique(women)
    chosen = np.random.default_rng(0).permutation(known)[:20]
    train = np.isin(women, chosen)
    digitiser = cases.assign(height=0, width=0, low=0, high=0, bits=0)  # the digitiser itself
    for features, overall in ((describe_metadata(digitiser), 0.8), (describe_pictures(films.pictures), 0.0)):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=3000)).fit(features[train], labels[train])
        scores = model.predict_proba(features[~train])[:, 1]
        assert roc_auc_score(labels[~train], scores) > overall
        table = pd.DataFrame(
            {"case_id": cases["case_id"][~train], "seed": 0, "fold": -1, "y_true": labels[~train], "y_score_1": scores}
        )
        within = measure_within(table, dict(zip(cases["case_id"], cases["digitiser"], strict=True)))
        assert np.isnan(within) or 0.2 < within < 0.8


@pytest.fixture(scope="module")
def films() -> tuple[np.ndarray, np.ndarray]:
    """Whole films without any lesion, and labels at random: nothing but a planted scanner can be learnt."""
    levels = [to_levels(draw_film(seed, lesion=False)[0]) for seed in range(80)]
    films = np.stack([_square(scale_levels(of, *find_range(of, (0.5, 99.5)))) for of in levels])
    return films, np.random.default_rng(1).permutation(np.arange(80) % 2)


def _square(film: np.ndarray) -> np.ndarray:
    return cv2.resize(film, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def test_a_planted_scanner_is_learnt_from_whole_films_and_hidden_by_equalising(films):
    pictures, labels = films
    train, test = np.arange(50), np.arange(50, 80)
    found = {(one.kind, one.bias): one.auc for one in measure_planted(pictures, labels, train, test, SMALL)}
    assert len(found) == (len(KINDS) + 1) * len(BIASES)
    assert found["scanner alone", "same"] > 0.75
    assert found["scanner alone", "reversed"] < 0.25
    assert found["whole film", "same"] - found["whole film", "reversed"] > 0.4  # it has learnt the scanner
    hidden = found["prepared and equalised", "same"] - found["prepared and equalised", "reversed"]
    assert abs(hidden) < 0.5 * (found["whole film", "same"] - found["whole film", "reversed"])


def test_equalising_leaves_nothing_of_a_grey_curve():
    picture = np.zeros((40, 40), np.uint8)
    picture[:30, :30] = np.random.default_rng(0).integers(1, 200, (30, 30))
    curved = np.where(picture > 0, np.rint(255 * (picture / 255.0) ** 0.6), 0).astype(np.uint8)
    assert np.abs(equalise(picture).astype(int) - equalise(curved)).max() <= 3
    assert ((equalise(picture) == 0) == (picture == 0)).all()


def test_the_planted_scanner_has_a_frame_on_the_side_without_the_breast():
    film = np.zeros((60, 60), np.uint8)
    film[:, :20] = 120
    planted = plant_scanner(film)
    assert (planted[-4:] == 255).all()
    assert (planted[:, 0] != 255).any()
    assert (planted[:50, 10] > 120).all()


def test_other_films_than_those_of_the_plan_are_refused(tmp_path):
    write_prepared(tmp_path / WHOLE, np.zeros((1, 8, 8), np.uint8), pd.DataFrame({"case_id": ["a"]}), {})
    with pytest.raises(UsageError, match=f"{WHOLE}: not the films that this was planned for; run the same command again"):
        gather_films(SimpleNamespace(home=tmp_path, settings={"whole_sha256": "0" * 64}))


def test_unmarked_women_show_nothing_of_their_lesion(tmp_path):
    """As many with a lesion as without; their films are those of phantoms without contrast, to the byte."""
    config = replace(SMALL, phantom_cases=8)
    write_phantoms(tmp_path / "some", config, seed=0, unmarked=0.5)
    write_phantoms(tmp_path / "none", config, seed=0, strength=0.0)
    unmarked = read_unmarked(tmp_path / "some" / "ddsm")
    ill = 0
    for woman in unmarked:
        films = sorted((tmp_path / "some").rglob(f"{woman}.*.LJPEG"))
        assert len(films) == 4
        assert all(film.read_bytes() == (tmp_path / "none" / film.relative_to(tmp_path / "some")).read_bytes() for film in films)
        ill += any(film.with_suffix(".OVERLAY").is_file() for film in films)
    assert (len(unmarked), ill) == (4, 2)
    marked = [film for film in (tmp_path / "some").rglob("*.OVERLAY") if film.name.split(".")[0] not in unmarked]
    for film in (path.with_suffix(".LJPEG") for path in marked):
        assert film.read_bytes() != (tmp_path / "none" / film.relative_to(tmp_path / "some")).read_bytes()
